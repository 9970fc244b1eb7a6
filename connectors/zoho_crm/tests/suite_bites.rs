//! Zoho CRM with one fault at a time, and the cases that must see it.

#[allow(dead_code, reason = "the suite's subject is more than these tests need")]
mod subject;

use patchbay_kit::{Body, Changed, Connector, Exchange, Failure, Kind, RecordRef, Request, Response, Retry};
use patchbay_testkit::broken;
use serde_json::Value;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Leaves quotes in queries as they are.
    QuotesNothing,
    /// Says that no lost record exists.
    NeverFinds,
    /// Loses the CallSid on its way into the record.
    LosesCallSid,
    /// Writes everything at every update.
    WritesEverything,
    /// Looks for callers in one field only.
    LooksInOneField,
    /// Takes every failure for an outage.
    BlamesTheNetwork,
    /// Shows a number in its Debug output.
    Prints,
}

impl broken::Fault for Fault {
    fn everywhere(self) -> bool {
        matches!(self, Self::Prints)
    }

    fn prints(self) -> &'static str {
        if matches!(self, Self::Prints) { "Broken for 09876543210" } else { "Broken" }
    }

    fn request(self, request: &mut Request) {
        let Body::Json(body) = &mut request.body else { return };
        match (self, body.get_mut("select_query")) {
            (Self::QuotesNothing, Some(Value::String(query))) => *query = query.replace("''", "'"),
            (Self::LooksInOneField, Some(Value::String(query))) => *query = query.replace("Mobile in", "Phone in"),
            (Self::LosesCallSid, None) => {
                let record = body.pointer_mut("/data/0").and_then(Value::as_object_mut);
                record.map(|record| record.remove("Exotel_CallSid"));
            }
            _ => {}
        }
    }

    fn classify(self, honest: &dyn Connector, reply: &Response) -> Failure {
        match self {
            Self::BlamesTheNetwork => Failure::new(Kind::Unavailable, Retry::Backoff),
            _ => honest.classify(reply),
        }
    }

    fn found(self, honest: Exchange<Option<RecordRef>>) -> Exchange<Option<RecordRef>> {
        if matches!(self, Self::NeverFinds) { broken::finds_nothing(honest) } else { honest }
    }

    fn changed(self, changed: Changed) -> Changed {
        if matches!(self, Self::WritesEverything) { broken::EVERYTHING } else { changed }
    }
}

#[test]
fn every_fault_is_seen() {
    broken::assert_seen(
        &subject::AS_DOCUMENTED,
        &[
            (Fault::QuotesNothing, &["awkward texts arrive unchanged"]),
            (
                Fault::NeverFinds,
                &["a record is found at once after it was made", "a record is found after its reply was lost"],
            ),
            (
                Fault::LosesCallSid,
                &["a record is found at once after it was made", "a record is found beyond page one"],
            ),
            (Fault::WritesEverything, &["an update changes what it says and no more"]),
            (Fault::LooksInOneField, &["every writing of a number finds its contact"]),
            (Fault::BlamesTheNetwork, &["wrong credentials are recognised", "the error table holds"]),
            (Fault::Prints, &["the manifest is sane"]),
        ],
    );
}
