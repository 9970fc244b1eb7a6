//! LeadSquared with one fault at a time, and the cases that must see it.

mod org;
mod subject;

use patchbay_kit::{
    Activities, Body, CallActivity, Connector, Exchange, Failure, Kind, RecordRef, Request, Response, Retry,
    StatusCode, Step,
};
use patchbay_testkit::broken;
use subject::LeadSquared;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Says that no lost log exists.
    NeverFinds,
    /// Looks only at the first page of a lead's calls.
    FindsOnPageOne,
    /// Logs calls without what they are found by.
    ForgetsTheSession,
    /// Leaves it to LeadSquared whose call it is.
    ForgetsTheLead,
    /// Takes a refusal that comes under 200 for a success.
    TrustsTheStatus,
    /// Takes every failure for an outage.
    BlamesTheNetwork,
}

impl broken::Fault for Fault {
    fn request(self, request: &mut Request) {
        if request.label != "call.log" {
            return;
        }
        let Body::Json(log) = &mut request.body else { panic!("a log is JSON") };
        let log = log.as_object_mut().expect("an object");
        match self {
            Self::ForgetsTheSession => {
                log.insert("CallSessionId".to_owned(), "1".into());
                log.remove("CallNotes");
            }
            Self::ForgetsTheLead => drop(log.remove("LeadId")),
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
        match self {
            Self::NeverFinds => broken::finds_nothing(honest),
            Self::FindsOnPageOne => broken::gives_up_after(1, honest),
            _ => honest,
        }
    }

    fn create(self, honest: &dyn Activities, call: &CallActivity) -> Exchange<RecordRef> {
        let created = honest.create(call);
        if !matches!(self, Self::TrustsTheStatus) {
            return created;
        }
        created.request.clone().then(move |reply| match created.parse(reply) {
            Err(_) => Ok(Step::Done(RecordRef::new("activity", ""))),
            read => read,
        })
    }
}

#[test]
fn every_fault_is_seen() {
    broken::assert_seen(
        &LeadSquared { keys: true, differs: |settings| settings.error_status = StatusCode::OK },
        &[
            (
                Fault::NeverFinds,
                &["a record is found at once after it was made", "a record is found after its reply was lost"],
            ),
            (Fault::FindsOnPageOne, &["a record is found beyond page one"]),
            (Fault::ForgetsTheSession, &["a record is found after its reply was lost"]),
            (Fault::ForgetsTheLead, &["a contact who is gone is told", "an id cannot reach another path"]),
            (Fault::TrustsTheStatus, &["a contact who is gone is told", "an agent who is gone is told"]),
            (Fault::BlamesTheNetwork, &["wrong credentials are recognised", "the error table holds"]),
        ],
    );
}
