//! A suite that cannot fail proves nothing: LeadSquared with one fault at a time, and the cases that must see it.

mod org;
mod subject;

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use patchbay_kit::{
    Activities, Agents, Allowance, Body, CallActivity, Connector, Contacts, Exchange, Failure, FollowUps, Identity,
    Kind, Manifest, Notes, Owners, Popups, RecordRef, Response, Retry, StatusCode, Step, Updates,
};
use patchbay_testkit::{
    Credentials,
    suite::{self, ErrorRow, Stored, Subject, What},
};
use subject::LeadSquared;

#[derive(Clone, Copy, PartialEq, Eq)]
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

struct Broken {
    inner: Arc<dyn Connector>,
    fault: Fault,
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Broken")
    }
}

impl Activities for Broken {
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>> {
        let exchange = self.inner.activities().find(call)?;
        let request = exchange.request.clone();
        Some(match self.fault {
            Fault::NeverFinds => request.done(|_| Ok(None)),
            Fault::FindsOnPageOne => request.then(move |reply| match exchange.parse(reply)? {
                Step::Then(_) => Ok(Step::Done(None)),
                done => Ok(done),
            }),
            _ => exchange,
        })
    }

    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        let mut exchange = self.inner.activities().create(call);
        let Body::Json(log) = &mut exchange.request.body else { panic!("a log is JSON") };
        let log = log.as_object_mut().expect("an object");
        match self.fault {
            Fault::ForgetsTheSession => {
                log.insert("CallSessionId".to_owned(), "1".into());
                log.remove("CallNotes");
            }
            Fault::ForgetsTheLead => drop(log.remove("LeadId")),
            Fault::TrustsTheStatus => {
                return exchange.request.clone().then(move |reply| match exchange.parse(reply) {
                    Err(_) => Ok(Step::Done(RecordRef::new("activity", ""))),
                    read => read,
                });
            }
            _ => {}
        }
        exchange
    }
}

impl Connector for Broken {
    fn manifest(&self) -> &'static Manifest {
        self.inner.manifest()
    }
    fn identify(&self) -> Exchange<Identity> {
        self.inner.identify()
    }
    fn classify(&self, reply: &Response) -> Failure {
        match self.fault {
            Fault::BlamesTheNetwork => Failure::new(Kind::Unavailable, Retry::Backoff),
            _ => self.inner.classify(reply),
        }
    }
    fn allowance(&self, reply: &Response) -> Option<Allowance> {
        self.inner.allowance(reply)
    }
    fn activities(&self) -> &dyn Activities {
        self
    }
    fn updates(&self) -> Option<&dyn Updates> {
        self.inner.updates()
    }
    fn notes(&self) -> Option<&dyn Notes> {
        self.inner.notes()
    }
    fn contacts(&self) -> Option<&dyn Contacts> {
        self.inner.contacts()
    }
    fn agents(&self) -> Option<&dyn Agents> {
        self.inner.agents()
    }
    fn popups(&self) -> Option<&dyn Popups> {
        self.inner.popups()
    }
    fn owners(&self) -> Option<&dyn Owners> {
        self.inner.owners()
    }
    fn follow_ups(&self) -> Option<&dyn FollowUps> {
        self.inner.follow_ups()
    }
}

struct Suspect(Fault);

const HONEST: LeadSquared = LeadSquared { keys: true, differs: |settings| settings.error_status = StatusCode::OK };

impl Subject for Suspect {
    type Sandbox = <LeadSquared as Subject>::Sandbox;

    fn build(&self) -> Arc<dyn Connector> {
        Arc::new(Broken { inner: HONEST.build(), fault: self.0 })
    }
    fn sandbox(&self) -> Self::Sandbox {
        HONEST.sandbox()
    }
    fn credentials(&self) -> Credentials {
        HONEST.credentials()
    }
    fn errors(&self) -> Vec<ErrorRow> {
        HONEST.errors()
    }
    fn count(&self, sandbox: &Self::Sandbox, what: What) -> usize {
        HONEST.count(sandbox, what)
    }
    fn stored(&self, sandbox: &Self::Sandbox, at: &RecordRef) -> Option<Stored> {
        HONEST.stored(sandbox, at)
    }
    fn remove(&self, sandbox: &mut Self::Sandbox, at: &RecordRef, now: Timestamp) -> bool {
        HONEST.remove(sandbox, at, now)
    }
    fn number_fields(&self) -> &'static [&'static str] {
        HONEST.number_fields()
    }
    fn add_contact(&self, sandbox: &mut Self::Sandbox, field: &str, number: &str) -> RecordRef {
        HONEST.add_contact(sandbox, field, number)
    }
    fn add_agents(&self, sandbox: &mut Self::Sandbox, how_many: usize) -> Vec<RecordRef> {
        HONEST.add_agents(sandbox, how_many)
    }
    fn agents_in_one_answer(&self) -> bool {
        true
    }
}

#[test]
fn every_fault_is_seen() {
    let expected: [(Fault, &[&str]); 6] = [
        (
            Fault::NeverFinds,
            &["a record is found at once after it was made", "a record is found after its reply was lost"],
        ),
        (Fault::FindsOnPageOne, &["a record is found beyond page one"]),
        (Fault::ForgetsTheSession, &["a record is found after its reply was lost"]),
        (Fault::ForgetsTheLead, &["a contact who is gone is told", "an id cannot reach another path"]),
        (Fault::TrustsTheStatus, &["a contact who is gone is told", "an agent who is gone is told"]),
        (Fault::BlamesTheNetwork, &["wrong credentials are recognised", "the error table holds"]),
    ];
    for (fault, cases) in expected {
        let failed = suite::failures(&Suspect(fault));
        for case in cases {
            assert!(failed.contains(case), "{case} does not see it; seen by {failed:?}");
        }
    }
}
