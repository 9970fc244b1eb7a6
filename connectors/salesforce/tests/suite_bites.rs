//! A suite that cannot fail proves nothing: Salesforce with one fault at a time, and the cases that must see it.

mod subject;

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use patchbay_kit::{
    Activities, Agents, Allowance, Body, CallActivity, Changed, Connector, Contact, Contacts, Exchange, Failure,
    FollowUps, Identity, Manifest, Method, NewContact, Notes, Owners, PhoneNumber, Popups, RecordRef, Response, Safety,
    Text, Updates,
};
use patchbay_testkit::{
    Credentials,
    suite::{self, ErrorRow, Stored, Subject, What},
};

#[derive(Clone, Copy, PartialEq, Eq)]
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

#[derive(Debug)]
struct Broken {
    inner: Arc<dyn Connector>,
    fault: Fault,
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fault")
    }
}

impl Broken {
    fn contacts_of(&self) -> &dyn Contacts {
        self.inner.contacts().expect("contacts")
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
        Some(self)
    }
    fn notes(&self) -> Option<&dyn Notes> {
        None
    }
    fn contacts(&self) -> Option<&dyn Contacts> {
        Some(self)
    }
    fn agents(&self) -> Option<&dyn Agents> {
        self.inner.agents()
    }
    fn popups(&self) -> Option<&dyn Popups> {
        None
    }
    fn owners(&self) -> Option<&dyn Owners> {
        self.inner.owners()
    }
    fn follow_ups(&self) -> Option<&dyn FollowUps> {
        self.inner.follow_ups()
    }
}

impl Activities for Broken {
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>> {
        let mut exchange = self.inner.activities().find(call)?;
        if self.fault == Fault::QuotesNothing {
            for (_, value) in &mut exchange.request.query {
                *value = value.replace("\\'", "'");
            }
        }
        Some(exchange)
    }
    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        let mut exchange = self.inner.activities().create(call);
        if self.fault == Fault::CreatesAnew {
            exchange.request.method = Method::POST;
            exchange.request.path.truncate(5);
        }
        exchange
    }
}

impl Updates for Broken {
    fn update(&self, at: &RecordRef, call: &CallActivity, changed: Changed) -> Exchange<RecordRef> {
        let all = Changed { subject: true, body: true, agent: true, contact: true, facts: true, outcome: true };
        let changed = if self.fault == Fault::WritesEverything { all } else { changed };
        self.inner.updates().expect("updates").update(at, call, changed)
    }

    fn text(&self, at: &RecordRef) -> Option<Exchange<Text>> {
        self.inner.updates().expect("updates").text(at)
    }
}

impl Contacts for Broken {
    fn search(&self, number: &PhoneNumber) -> Option<Exchange<Vec<Contact>>> {
        let mut exchange = self.contacts_of().search(number)?;
        if self.fault == Fault::MisnamesReading {
            exchange.request.safety = Safety::Creates;
        }
        Some(exchange)
    }
    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>> {
        if self.fault == Fault::AsksForOneWriting {
            return self.contacts_of().find(&["+919876543210".to_owned()]);
        }
        self.contacts_of().find(writings)
    }
    fn create(&self, contact: &NewContact) -> Exchange<Contact> {
        let mut exchange = self.contacts_of().create(contact);
        if let (Fault::LosesExternalId, Body::Json(body)) = (self.fault, &mut exchange.request.body)
            && let Some(fields) = body.as_object_mut()
        {
            fields.remove("Exotel_Caller_Id__c");
        }
        exchange
    }
    fn find_created(&self, external_id: &str) -> Option<Exchange<Option<Contact>>> {
        self.contacts_of().find_created(external_id)
    }
}

struct Suspect(Fault);

const HONEST: subject::Salesforce = subject::Salesforce::USUAL;

impl Subject for Suspect {
    type Sandbox = <subject::Salesforce as Subject>::Sandbox;

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
}

#[test]
fn every_fault_is_seen() {
    let expected: [(Fault, &[&str]); 6] = [
        (
            Fault::CreatesAnew,
            &["a record is found after its reply was lost", "a record is found at once after it was made"],
        ),
        (Fault::WritesEverything, &["an update changes what it says and no more"]),
        (Fault::QuotesNothing, &["awkward texts arrive unchanged"]),
        (Fault::AsksForOneWriting, &["every writing of a number finds its contact"]),
        (Fault::LosesExternalId, &["one external id is one contact"]),
        (Fault::MisnamesReading, &["one search finds all writings"]),
    ];
    for (at, (fault, cases)) in expected.into_iter().enumerate() {
        let failed = suite::failures(&Suspect(fault));
        for case in cases {
            assert!(failed.contains(case), "fault {at} is not seen by \"{case}\", only by {failed:?}");
        }
    }
}
