//! Salesforce with one fault at a time, and the cases that must see it.

mod subject;

use patchbay_kit::{Body, Changed, Contact, Contacts, Exchange, Method, Request, Safety};
use patchbay_testkit::broken;
use subject::Salesforce;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Creates the task instead of upserting it.
    CreatesAnew,
    /// Writes everything at every update.
    WritesEverything,
    /// Puts texts into queries as they come.
    QuotesNothing,
    /// Asks for one writing only.
    AsksForOneWriting,
    /// Makes callers without their external id.
    LosesExternalId,
    /// Says that a search changes something.
    MisnamesReading,
}

impl broken::Fault for Fault {
    fn request(self, request: &mut Request) {
        match (self, request.label) {
            (Self::CreatesAnew, "task.upsert") => {
                request.method = Method::POST;
                request.path.truncate(5);
            }
            (Self::QuotesNothing, "task.find") => {
                for (_, value) in &mut request.query {
                    *value = value.replace("\\'", "'");
                }
            }
            (Self::LosesExternalId, "contact.create") => {
                if let Body::Json(body) = &mut request.body {
                    body.as_object_mut().map(|fields| fields.remove("Exotel_Caller_Id__c"));
                }
            }
            (Self::MisnamesReading, "contact.search") => request.safety = Safety::Creates,
            _ => {}
        }
    }

    fn changed(self, changed: Changed) -> Changed {
        if matches!(self, Self::WritesEverything) { broken::EVERYTHING } else { changed }
    }

    fn find_contacts(self, honest: &dyn Contacts, writings: &[String]) -> Exchange<Vec<Contact>> {
        match self {
            Self::AsksForOneWriting => honest.find(&["+919876543210".to_owned()]),
            _ => honest.find(writings),
        }
    }
}

#[test]
fn every_fault_is_seen() {
    broken::assert_seen(
        &Salesforce::USUAL,
        &[
            (
                Fault::CreatesAnew,
                &["a record is found after its reply was lost", "a record is found at once after it was made"],
            ),
            (Fault::WritesEverything, &["an update changes what it says and no more"]),
            (Fault::QuotesNothing, &["awkward texts arrive unchanged"]),
            (Fault::AsksForOneWriting, &["every writing of a number finds its contact"]),
            (Fault::LosesExternalId, &["one external id is one contact"]),
            (Fault::MisnamesReading, &["one search finds all writings"]),
        ],
    );
}
