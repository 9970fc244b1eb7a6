//! Streams of voicebots: how many there are now, how many there may be, and with that whether the account has voicebots at all.

use patchbay_kit::Request;

use super::{
    client::{ExotelClient, Host},
    error::ExotelError,
    limits::Class,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    pub active: Option<u32>,
    /// At once; more are refused.
    pub most: Option<u32>,
}

impl ExotelClient {
    /// `GET /v1/Accounts/{sid}/ActiveStreams`, in this very case and without `.json` (exotel-api §1.1, §5.1). What an account
    /// without voicebots is answered is not documented.
    ///
    /// # Errors
    /// [`ExotelError`].
    pub async fn streams(&self) -> Result<Streams, ExotelError> {
        let request = Request::get("exotel.streams", self.v1(["ActiveStreams"]));
        self.ask(Host::Api, Class::Other, request, |said| {
            let said = said.at("Stream").unwrap_or(said);
            let streams = Streams { active: said.count("ActiveStreamCount"), most: said.count("ThrottleLimit") };
            (streams.active.is_some() || streams.most.is_some()).then_some(streams)
        })
        .await
    }
}
