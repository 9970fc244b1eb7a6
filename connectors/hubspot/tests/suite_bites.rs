//! HubSpot with one fault at a time, and the cases that must see it.

mod subject;

use std::sync::atomic::{AtomicU32, Ordering};

use patchbay_kit::{Activities, Body, CallActivity, Changed, Contact, Contacts, Exchange, RecordRef, Request};
use patchbay_testkit::broken;
use serde_json::Value;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Makes contacts without the property that tells them apart.
    LosesCaller,
    /// Leaves the contact off the call.
    ForgetsContact,
    /// Looks for numbers only as they were typed, with a plus that became a space.
    LosesPlus,
    /// Writes everything at every update.
    WritesEverything,
    /// Makes another call each time it is asked for one.
    NewKeyEachTime,
}

/// What [`Fault::NewKeyEachTime`] puts behind a CallSid.
static COUNT: AtomicU32 = AtomicU32::new(0);

impl broken::Fault for Fault {
    fn request(self, request: &mut Request) {
        if let (Self::LosesCaller, "contact.create", Body::Json(body)) = (self, request.label, &mut request.body)
            && let Some(properties) = body.get_mut("properties").and_then(Value::as_object_mut)
        {
            properties.remove("exotel_caller_id");
        }
    }

    fn create(self, honest: &dyn Activities, call: &CallActivity) -> Exchange<RecordRef> {
        let mut call = call.clone();
        match self {
            Self::ForgetsContact => call.contact = None,
            Self::NewKeyEachTime => call.key.0.push_str(&COUNT.fetch_add(1, Ordering::Relaxed).to_string()),
            _ => {}
        }
        honest.create(&call)
    }

    fn changed(self, changed: Changed) -> Changed {
        if matches!(self, Self::WritesEverything) { broken::EVERYTHING } else { changed }
    }

    fn find_contacts(self, honest: &dyn Contacts, writings: &[String]) -> Exchange<Vec<Contact>> {
        match self {
            Self::LosesPlus => honest.find(&writings.iter().map(|text| text.replace('+', " ")).collect::<Vec<_>>()),
            _ => honest.find(writings),
        }
    }
}

#[test]
fn every_fault_is_seen() {
    broken::assert_seen(
        &subject::HubSpot { app: false, batch_fails_whole: true, missing_associate_is_404: true },
        &[
            (Fault::LosesCaller, &["one external id is one contact", "a contact is found at once after it was made"]),
            (Fault::ForgetsContact, &["a contact who is gone is told"]),
            (Fault::LosesPlus, &["awkward texts arrive unchanged", "a contact is found at once after it was made"]),
            (Fault::WritesEverything, &["an update changes what it says and no more"]),
            (Fault::NewKeyEachTime, &["a record is found at once after it was made"]),
        ],
    );
}
