//! Who we are: the cheapest question that proves key, token, Account SID and region.

use jiff::{SignedDuration, Timestamp, tz::Offset};
use patchbay_kit::Request;

use super::{
    client::{ExotelClient, Host},
    error::ExotelError,
    limits::Class,
};
use crate::call::normalise::parse_time;

impl ExotelClient {
    /// `GET /v1/Accounts/{sid}.json`: 200 if and only if key, token, SID and region are right (exotel-api §1.1).
    ///
    /// # Errors
    /// What is wrong; [`ExotelError::cure`] has the likeliest cure.
    pub async fn identify(&self) -> Result<(), ExotelError> {
        let request = Request::get("exotel.account", ["v1", "Accounts", &format!("{}.json", self.sid())]);
        self.ask(Host::Api, Class::Other, request, |_| Some(())).await
    }

    /// By how much Exotel's clock is ahead of ours, by the date of an answer; to the second. `None`: it names none.
    pub async fn clock_ahead(&self) -> Option<SignedDuration> {
        let request = Request::get("exotel.account", ["v1", "Accounts", &format!("{}.json", self.sid())]);
        let answer = self.send(Host::Api, Class::Other, &request).await.ok()?;
        let theirs = parse_time(answer.reply.header("date")?, Offset::UTC)?;
        Some(theirs.duration_since(Timestamp::now()))
    }
}
