//! The suite fails a Freshchat connector that writes to the customer, loses what it wrote, or says it twice.

mod subject;

use std::sync::Arc;

use jiff::Timestamp;
use patchbay_kit::{
    Activities, Agents, Allowance, Body, CallActivity, Connector, Contacts, Exchange, Failure, FollowUps, Identity,
    Manifest, Notes, Owners, Popups, RecordRef, Request, Response, Step, Updates,
};
use patchbay_testkit::{
    Credentials,
    suite::{self, ErrorRow, Stored, Subject, What},
};
use serde_json::Value;
use subject::Freshchat;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Leaves out that the first message is private.
    TellsTheCustomer,
    NeverFinds,
    FindsOnPageOne,
}

#[derive(Debug)]
struct Broken {
    inner: Arc<dyn Connector>,
    fault: Fault,
}

/// The request that creates, wherever in the chain it comes, without the word that keeps it among agents.
fn told(exchange: Exchange<RecordRef>) -> Exchange<RecordRef> {
    let mut request: Request = exchange.request.clone();
    if let Body::Json(body) = &mut request.body {
        let message = body.pointer_mut("/messages/0").and_then(Value::as_object_mut);
        message.map(|message| message.remove("message_type"));
    }
    let accepts = exchange.accepts;
    let read = request.then(move |reply| {
        Ok(match exchange.parse(reply)? {
            Step::Then(next) => Step::Then(told(next)),
            done => done,
        })
    });
    read.accepting(accepts)
}

/// The third exchange of a search is the second page.
fn one_page(exchange: Exchange<Option<RecordRef>>, left: usize) -> Exchange<Option<RecordRef>> {
    let (request, accepts) = (exchange.request.clone(), exchange.accepts);
    let read = request.then(move |reply| {
        Ok(match exchange.parse(reply)? {
            Step::Then(_) if left == 0 => Step::Done(None),
            Step::Then(next) => Step::Then(one_page(next, left - 1)),
            done => done,
        })
    });
    read.accepting(accepts)
}

impl Activities for Broken {
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>> {
        let found = self.inner.activities().find(call)?;
        Some(match self.fault {
            Fault::NeverFinds => found.request.done(|_| Ok(None)).accepting(found.accepts),
            Fault::FindsOnPageOne => one_page(found, 1),
            Fault::TellsTheCustomer => found,
        })
    }
    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        let created = self.inner.activities().create(call);
        if self.fault == Fault::TellsTheCustomer { told(created) } else { created }
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
        self.inner.classify(reply)
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

struct Suspect(Fault, Freshchat);

impl Subject for Suspect {
    type Sandbox = <Freshchat as Subject>::Sandbox;

    fn build(&self) -> Arc<dyn Connector> {
        Arc::new(Broken { inner: self.1.build(), fault: self.0 })
    }
    fn sandbox(&self) -> Self::Sandbox {
        self.1.sandbox()
    }
    fn credentials(&self) -> Credentials {
        self.1.credentials()
    }
    fn errors(&self) -> Vec<ErrorRow> {
        self.1.errors()
    }
    fn count(&self, sandbox: &Self::Sandbox, what: What) -> usize {
        self.1.count(sandbox, what)
    }
    fn stored(&self, sandbox: &Self::Sandbox, at: &RecordRef) -> Option<Stored> {
        self.1.stored(sandbox, at)
    }
    fn remove(&self, sandbox: &mut Self::Sandbox, at: &RecordRef, now: Timestamp) -> bool {
        self.1.remove(sandbox, at, now)
    }
    fn number_fields(&self) -> &'static [&'static str] {
        self.1.number_fields()
    }
    fn add_contact(&self, sandbox: &mut Self::Sandbox, field: &str, number: &str) -> RecordRef {
        self.1.add_contact(sandbox, field, number)
    }
    fn add_agents(&self, sandbox: &mut Self::Sandbox, how_many: usize) -> Vec<RecordRef> {
        self.1.add_agents(sandbox, how_many)
    }
    fn appends(&self) -> bool {
        self.1.appends()
    }
}

#[test]
fn every_fault_is_seen() {
    let expected: [(Fault, &[&str]); 3] = [
        (Fault::TellsTheCustomer, &["a record is found after its reply was lost", "finding creates nothing"]),
        (
            Fault::NeverFinds,
            &["a record is found at once after it was made", "a record is found after its reply was lost"],
        ),
        (Fault::FindsOnPageOne, &["a record is found beyond page one"]),
    ];
    for (fault, cases) in expected {
        let failed = suite::failures(&Suspect(fault, Freshchat(Default::default())));
        for case in cases {
            assert!(failed.contains(case), "{fault:?} is not seen by \"{case}\", only by {failed:?}");
        }
        assert!(failed.len() < 14, "{fault:?} fails {failed:?}");
    }
}
