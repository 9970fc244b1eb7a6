//! The suite fails a Freshchat connector that writes to the customer, loses what it wrote, or says it twice.

mod subject;

use patchbay_kit::{Body, Exchange, RecordRef, Request};
use patchbay_testkit::broken;
use serde_json::Value;
use subject::Freshchat;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Leaves out that the first message is private.
    TellsTheCustomer,
    NeverFinds,
    FindsOnPageOne,
}

impl broken::Fault for Fault {
    fn request(self, request: &mut Request) {
        if let (Self::TellsTheCustomer, Body::Json(body)) = (self, &mut request.body)
            && let Some(message) = body.pointer_mut("/messages/0").and_then(Value::as_object_mut)
        {
            message.remove("message_type");
        }
    }

    fn found(self, honest: Exchange<Option<RecordRef>>) -> Exchange<Option<RecordRef>> {
        match self {
            Self::NeverFinds => broken::finds_nothing(honest),
            // The third exchange of a search is the second page.
            Self::FindsOnPageOne => broken::gives_up_after(2, honest),
            Self::TellsTheCustomer => honest,
        }
    }
}

#[test]
fn every_fault_is_seen() {
    broken::assert_seen(
        &Freshchat(Default::default()),
        &[
            (Fault::TellsTheCustomer, &["a record is found after its reply was lost", "finding creates nothing"]),
            (
                Fault::NeverFinds,
                &["a record is found at once after it was made", "a record is found after its reply was lost"],
            ),
            (Fault::FindsOnPageOne, &["a record is found beyond page one"]),
        ],
    );
}
