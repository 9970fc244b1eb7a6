//! What is known of a telephone number: where it belongs, who carries it, whether it may be called.

use patchbay_kit::{PhoneNumber, Request};

use super::{
    client::{ExotelClient, Host},
    error::ExotelError,
    limits::Class,
    read::open_words,
};

open_words! {
    NumberKind { Mobile = "mobile", Landline = "landline" }
}

open_words! {
    /// The do-not-disturb register; often out of date (exotel-api §5.4).
    Dnd { Listed = "yes", NotListed = "no", Unavailable = "unavailable" }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberFacts {
    pub number: Option<PhoneNumber>,
    /// Of the telecom circle: `KA`.
    pub circle: Option<String>,
    pub circle_name: Option<String>,
    pub kind: Option<NumberKind>,
    pub operator: Option<String>,
    pub operator_name: Option<String>,
    pub dnd: Option<Dnd>,
}

impl ExotelClient {
    /// `GET Numbers/{number}.json` (exotel-api §5.4).
    ///
    /// # Errors
    /// [`ExotelError`].
    pub async fn number_facts(&self, number: &PhoneNumber) -> Result<NumberFacts, ExotelError> {
        // The documentation's example is an Indian number without anything before it.
        let written = if number.country == "91" { &number.national } else { &number.e164 };
        let request = Request::get("exotel.number", self.v1(["Numbers", &format!("{written}.json")]));
        self.ask(Host::Api, Class::Other, request, |said| {
            let said = said.at("Numbers")?.each("Number").into_iter().next()?;
            Some(NumberFacts {
                number: said.number("PhoneNumber"),
                circle: said.text("Circle"),
                circle_name: said.text("CircleName"),
                kind: said.text("Type").map(|word| NumberKind::read(&word)),
                operator: said.text("Operator"),
                operator_name: said.text("OperatorName"),
                dnd: said.text("DND").map(|word| Dnd::read(&word)),
            })
        })
        .await
    }
}
