//! Whether an ExoPhone's line is up, as Exotel's heartbeat sees it.

use jiff::Timestamp;
use patchbay_kit::{PhoneNumber, Request};

use super::{
    client::{ExotelClient, Host},
    error::ExotelError,
    limits::Class,
    read::{Said, open_words},
};

open_words! {
    LineStatus { Active = "active", MajorOutage = "major_outage" }
}

/// One way of an ExoPhone's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub status: LineStatus,
    pub checked_at: Option<Timestamp>,
    /// What Exotel would use in its place.
    pub instead: Option<PhoneNumber>,
}

impl Line {
    fn read(said: Said<'_>) -> Option<Self> {
        Some(Self {
            status: LineStatus::read(&said.text("status")?),
            checked_at: said.time("last_check_time"),
            instead: said.number("alternate_exophone"),
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    pub incoming: Option<Line>,
    pub outgoing: Option<Line>,
}

impl ExotelClient {
    /// `GET /v2/accounts/{sid}/incoming-phone-numbers/{exophone_sid}` (exotel-api §5.10).
    ///
    /// # Errors
    /// [`ExotelError`].
    pub async fn heartbeat(&self, exophone_sid: &str) -> Result<Heartbeat, ExotelError> {
        let request = Request::get("exotel.heartbeat", self.v2(["incoming-phone-numbers", exophone_sid]));
        self.ask(Host::Api, Class::Other, request, |said| {
            // Whether it stands in the envelope of the newer APIs is not documented.
            let inner = said.at("response").and_then(|response| response.each("response").into_iter().next());
            let places = [Some(said), inner, inner.and_then(|inner| inner.at("data"))];
            let connectivity = places.into_iter().flatten().find_map(|place| place.at("connectivity"))?;
            Some(Heartbeat {
                incoming: connectivity.at("incoming_call").and_then(Line::read),
                outgoing: connectivity.at("outgoing_call").and_then(Line::read),
            })
        })
        .await
    }
}
