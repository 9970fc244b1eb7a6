//! A suite that cannot fail proves nothing: Freshdesk with one fault at a time, and the cases that must see it.

mod subject;

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use patchbay_kit::{
    Activities, Agent, Agents, Allowance, Body, CallActivity, Changed, Connector, Contact, Contacts, Cursor, Exchange,
    Failure, FollowUps, Identity, Kind, Manifest, NewContact, Note, Notes, Owners, Page, PhoneNumber, Popups,
    RecordRef, Request, Response, Retry, Step, Text, Updates,
};
use patchbay_testkit::{
    Credentials,
    suite::{self, ErrorRow, Stored, Subject, What},
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Stops after the first page of agents.
    StopsAfterPageOne,
    /// Says that no lost record exists.
    NeverFinds,
    /// Looks only at the first page of tickets and notes.
    FindsOnPageOne,
    /// Writes notes the caller can read.
    PublicNotes,
    /// Writes everything at every update.
    WritesEverything,
    /// Lets a plus become a space.
    LosesPlus,
    /// Makes contacts while it looks for them.
    CreatesWhileFinding,
    /// Makes contacts without their external id.
    LosesExternalId,
    /// Takes every failure for an outage.
    BlamesTheNetwork,
    /// Shows a number in its Debug output.
    Prints,
    /// Wants more than it was granted time for.
    NeverEnds,
}

struct Broken {
    inner: Arc<dyn Connector>,
    fault: Fault,
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.fault == Fault::Prints { "Broken for 09876543210" } else { "Broken" })
    }
}

impl Broken {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn sent<T>(&self, mut exchange: Exchange<T>) -> Exchange<T> {
        if self.has(Fault::LosesPlus) {
            for (_, value) in &mut exchange.request.query {
                *value = value.replace('+', " ");
            }
        }
        if let (Fault::PublicNotes | Fault::LosesExternalId, Body::Json(body)) =
            (self.fault, &mut exchange.request.body)
            && let Some(fields) = body.as_object_mut()
        {
            if self.has(Fault::LosesExternalId) {
                fields.remove("unique_external_id");
            } else if let Some(private) = fields.get_mut("private") {
                *private = false.into();
            }
        }
        exchange
    }

    fn found(&self, exchange: Option<Exchange<Option<RecordRef>>>) -> Option<Exchange<Option<RecordRef>>> {
        let exchange = exchange?;
        let fault = self.fault;
        let request = exchange.request.clone();
        Some(match fault {
            Fault::NeverFinds => request.done(|_| Ok(None)),
            Fault::FindsOnPageOne => request.then(move |reply| match exchange.parse(reply)? {
                Step::Then(_) => Ok(Step::Done(None)),
                done => Ok(done),
            }),
            Fault::NeverEnds => forever(request),
            _ => exchange,
        })
    }
}

fn forever(request: Request) -> Exchange<Option<RecordRef>> {
    let next = request.clone();
    request.then(move |_| Ok(Step::Then(forever(next.clone()))))
}

impl Connector for Broken {
    fn manifest(&self) -> &'static Manifest {
        self.inner.manifest()
    }
    fn identify(&self) -> Exchange<Identity> {
        self.inner.identify()
    }
    fn classify(&self, reply: &Response) -> Failure {
        if self.has(Fault::BlamesTheNetwork) {
            return Failure::new(Kind::Unavailable, Retry::Backoff);
        }
        self.inner.classify(reply)
    }
    fn allowance(&self, reply: &Response) -> Option<Allowance> {
        self.inner.allowance(reply)
    }
    fn activities(&self) -> &dyn Activities {
        self
    }
    fn notes(&self) -> Option<&dyn Notes> {
        Some(self)
    }
    fn contacts(&self) -> Option<&dyn Contacts> {
        Some(self)
    }
    fn agents(&self) -> Option<&dyn Agents> {
        Some(self)
    }
    fn popups(&self) -> Option<&dyn Popups> {
        None
    }
    fn updates(&self) -> Option<&dyn Updates> {
        Some(self)
    }
    fn owners(&self) -> Option<&dyn Owners> {
        None
    }
    fn follow_ups(&self) -> Option<&dyn FollowUps> {
        None
    }
}

impl Activities for Broken {
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>> {
        self.found(self.inner.activities().find(call))
    }
    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        self.inner.activities().create(call)
    }
}

impl Updates for Broken {
    fn update(&self, at: &RecordRef, call: &CallActivity, changed: Changed) -> Exchange<RecordRef> {
        let all = Changed { subject: true, body: true, agent: true, contact: true, facts: true, outcome: true };
        let changed = if self.has(Fault::WritesEverything) { all } else { changed };
        self.inner.updates().expect("updates").update(at, call, changed)
    }

    fn text(&self, at: &RecordRef) -> Option<Exchange<Text>> {
        self.inner.updates().expect("updates").text(at)
    }
}

impl Notes for Broken {
    fn find(&self, on: &RecordRef, of: &CallActivity, note: &Note) -> Option<Exchange<Option<RecordRef>>> {
        self.found(self.inner.notes()?.find(on, of, note))
    }
    fn create(&self, on: &RecordRef, of: &CallActivity, note: &Note) -> Exchange<RecordRef> {
        self.sent(self.inner.notes().expect("notes").create(on, of, note))
    }
    fn update(&self, at: &RecordRef, of: &CallActivity, note: &Note) -> Exchange<RecordRef> {
        self.inner.notes().expect("notes").update(at, of, note)
    }
}

impl Contacts for Broken {
    fn search(&self, number: &PhoneNumber) -> Option<Exchange<Vec<Contact>>> {
        Some(self.sent(self.inner.contacts().expect("contacts").search(number)?))
    }
    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>> {
        let contacts = self.inner.contacts().expect("contacts");
        let found = contacts.find(writings);
        if self.has(Fault::CreatesWhileFinding) {
            let caller = patchbay_testkit::sample::withheld();
            let rendered = writings.concat();
            let created = contacts.create(&NewContact { name: rendered.clone(), external_id: rendered, ..caller });
            let request = created.request.clone();
            return request.then(move |_| Ok(Step::Then(found.clone()))).accepting(created.accepts);
        }
        self.sent(found)
    }
    fn create(&self, contact: &NewContact) -> Exchange<Contact> {
        self.sent(self.inner.contacts().expect("contacts").create(contact))
    }
    fn find_created(&self, external_id: &str) -> Option<Exchange<Option<Contact>>> {
        self.inner.contacts()?.find_created(external_id)
    }
}

impl Agents for Broken {
    fn list(&self, from: Option<&Cursor>) -> Exchange<Page<Agent>> {
        let listed = self.inner.agents().expect("agents").list(from);
        if !self.has(Fault::StopsAfterPageOne) {
            return listed;
        }
        listed.request.clone().then(move |reply| match listed.parse(reply)? {
            Step::Done(page) => Ok(Step::Done(Page { next: None, ..page })),
            then => Ok(then),
        })
    }
}

struct Suspect(Fault);

const HONEST: subject::Freshdesk = subject::Freshdesk { conflict_names_holder: true };

impl Subject for Suspect {
    type Sandbox = <subject::Freshdesk as Subject>::Sandbox;

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
    let expected: [(Fault, &[&str]); 11] = [
        (Fault::StopsAfterPageOne, &["agents are listed page by page"]),
        (
            Fault::NeverFinds,
            &["a record is found at once after it was made", "a record is found after its reply was lost"],
        ),
        (Fault::FindsOnPageOne, &["a record is found beyond page one"]),
        (Fault::PublicNotes, &["notes are private"]),
        (Fault::WritesEverything, &["an update changes what it says and no more"]),
        (Fault::LosesPlus, &["awkward texts arrive unchanged", "a contact is found at once after it was made"]),
        (Fault::CreatesWhileFinding, &["finding creates nothing"]),
        (Fault::LosesExternalId, &["one external id is one contact"]),
        (Fault::BlamesTheNetwork, &["wrong credentials are recognised", "the error table holds"]),
        (Fault::Prints, &["the manifest is sane", "a popup is shown"]),
        (Fault::NeverEnds, &["a record is found at once after it was made"]),
    ];
    for (at, (fault, cases)) in expected.into_iter().enumerate() {
        let failed = suite::failures(&Suspect(fault));
        for case in cases {
            assert!(failed.contains(case), "fault {at} is not seen by \"{case}\", only by {failed:?}");
        }
        // A fault is seen where it is, not everywhere: a suite in which all fails says nothing, either.
        assert!(failed.len() < 12 || fault == Fault::Prints, "fault {at} fails {failed:?}");
    }
}
