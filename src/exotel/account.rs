//! Who we are: the cheapest question that proves key, token, Account SID and region.

use patchbay_kit::Request;

use super::{
    client::{ExotelClient, Host},
    error::ExotelError,
    limits::Class,
};

impl ExotelClient {
    /// `GET /v1/Accounts/{sid}.json`: 200 if and only if key, token, SID and region are right (exotel-api §1.1).
    ///
    /// # Errors
    /// What is wrong; [`ExotelError::cure`] has the likeliest cure.
    pub async fn identify(&self) -> Result<(), ExotelError> {
        let request = Request::get("exotel.account", ["v1", "Accounts", &format!("{}.json", self.sid())]);
        self.ask(Host::Api, Class::Other, request, |_| Some(())).await
    }
}
