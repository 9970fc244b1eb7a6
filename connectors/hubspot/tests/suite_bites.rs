//! A suite that cannot fail proves nothing: HubSpot with one fault at a time, and the cases that must see it.

mod subject;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use jiff::Timestamp;
use patchbay_kit::{
    Activities, Agents, Allowance, Body, CallActivity, Changed, Connector, Contact, Contacts, Exchange, Failure,
    FollowUps, Identity, Manifest, NewContact, Notes, Owners, PhoneNumber, Popups, RecordRef, Response, Text, Updates,
};
use patchbay_testkit::{
    Credentials,
    suite::{self, ErrorRow, Stored, Subject, What},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

struct Broken {
    inner: Arc<dyn Connector>,
    fault: Fault,
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Broken")
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
        self.inner.notes()
    }
    fn contacts(&self) -> Option<&dyn Contacts> {
        Some(self)
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

impl Activities for Broken {
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>> {
        self.inner.activities().find(call)
    }
    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        let mut call = call.clone();
        match self.fault {
            Fault::ForgetsContact => call.contact = None,
            Fault::NewKeyEachTime => call.key.0.push_str(&COUNT.fetch_add(1, Ordering::Relaxed).to_string()),
            _ => {}
        }
        self.inner.activities().create(&call)
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
        self.inner.contacts()?.search(number)
    }
    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>> {
        let contacts = self.inner.contacts().expect("contacts");
        match self.fault {
            Fault::LosesPlus => contacts.find(&writings.iter().map(|text| text.replace('+', " ")).collect::<Vec<_>>()),
            _ => contacts.find(writings),
        }
    }
    fn create(&self, contact: &NewContact) -> Exchange<Contact> {
        let mut exchange = self.inner.contacts().expect("contacts").create(contact);
        if let (Fault::LosesCaller, Body::Json(body)) = (self.fault, &mut exchange.request.body)
            && let Some(properties) = body["properties"].as_object_mut()
        {
            properties.remove("exotel_caller_id");
        }
        exchange
    }
    fn find_created(&self, external_id: &str) -> Option<Exchange<Option<Contact>>> {
        self.inner.contacts()?.find_created(external_id)
    }
}

struct Suspect(Fault);

const HONEST: subject::HubSpot =
    subject::HubSpot { app: false, batch_fails_whole: true, missing_associate_is_404: true };

impl Subject for Suspect {
    type Sandbox = <subject::HubSpot as Subject>::Sandbox;

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
    let expected: [(Fault, &[&str]); 5] = [
        (Fault::LosesCaller, &["one external id is one contact", "a contact is found at once after it was made"]),
        (Fault::ForgetsContact, &["a contact who is gone is told"]),
        (Fault::LosesPlus, &["awkward texts arrive unchanged", "a contact is found at once after it was made"]),
        (Fault::WritesEverything, &["an update changes what it says and no more"]),
        (Fault::NewKeyEachTime, &["a record is found at once after it was made"]),
    ];
    for (fault, cases) in expected {
        let failed = suite::failures(&Suspect(fault));
        for case in cases {
            assert!(failed.contains(case), "{fault:?} is not seen by \"{case}\", only by {failed:?}");
        }
        // A fault is seen where it is, not everywhere: a suite in which all fails says nothing, either.
        assert!(failed.len() < 14, "{fault:?} fails {failed:?}");
    }
}
