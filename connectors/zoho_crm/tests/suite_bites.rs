//! A suite that cannot fail proves nothing: Zoho CRM with one fault at a time, and the cases that must see it.

#[allow(dead_code, reason = "the suite's subject is more than these tests need")]
mod subject;

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use patchbay_kit::{
    Activities, Agents, Allowance, Body, CallActivity, Changed, Connector, Contact, Contacts, Exchange, Failure,
    FollowUps, Identity, Kind, Manifest, NewContact, Notes, Owners, PhoneNumber, Popups, RecordRef, Response, Retry,
    Text, Updates,
};
use patchbay_testkit::{
    Credentials,
    suite::{self, ErrorRow, Stored, Subject, What},
};
use serde_json::Value;
use subject::AS_DOCUMENTED;

#[derive(Clone, Copy, PartialEq, Eq)]
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

    fn asked<T>(&self, mut exchange: Exchange<T>) -> Exchange<T> {
        if let Body::Json(body) = &mut exchange.request.body
            && let Some(Value::String(query)) = body.get_mut("select_query")
        {
            if self.has(Fault::QuotesNothing) {
                *query = query.replace("''", "'");
            }
            if self.has(Fault::LooksInOneField) {
                *query = query.replace("Mobile in", "Phone in");
            }
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
        let found = self.asked(self.inner.activities().find(call)?);
        Some(if self.has(Fault::NeverFinds) { found.request.done(|_| Ok(None)) } else { found })
    }
    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        let mut created = self.inner.activities().create(call);
        if self.has(Fault::LosesCallSid)
            && let Body::Json(body) = &mut created.request.body
            && let Some(record) = body.pointer_mut("/data/0").and_then(Value::as_object_mut)
        {
            record.remove("Exotel_CallSid");
        }
        created
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

impl Contacts for Broken {
    fn search(&self, number: &PhoneNumber) -> Option<Exchange<Vec<Contact>>> {
        self.inner.contacts()?.search(number)
    }
    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>> {
        self.asked(self.inner.contacts().expect("contacts").find(writings))
    }
    fn create(&self, contact: &NewContact) -> Exchange<Contact> {
        self.inner.contacts().expect("contacts").create(contact)
    }
    fn find_created(&self, external_id: &str) -> Option<Exchange<Option<Contact>>> {
        self.inner.contacts()?.find_created(external_id)
    }
}

struct Suspect(Fault);

impl Subject for Suspect {
    type Sandbox = <subject::ZohoCrm as Subject>::Sandbox;

    fn build(&self) -> Arc<dyn Connector> {
        Arc::new(Broken { inner: AS_DOCUMENTED.build(), fault: self.0 })
    }
    fn sandbox(&self) -> Self::Sandbox {
        AS_DOCUMENTED.sandbox()
    }
    fn credentials(&self) -> Credentials {
        AS_DOCUMENTED.credentials()
    }
    fn errors(&self) -> Vec<ErrorRow> {
        AS_DOCUMENTED.errors()
    }
    fn count(&self, sandbox: &Self::Sandbox, what: What) -> usize {
        AS_DOCUMENTED.count(sandbox, what)
    }
    fn stored(&self, sandbox: &Self::Sandbox, at: &RecordRef) -> Option<Stored> {
        AS_DOCUMENTED.stored(sandbox, at)
    }
    fn remove(&self, sandbox: &mut Self::Sandbox, at: &RecordRef, now: Timestamp) -> bool {
        AS_DOCUMENTED.remove(sandbox, at, now)
    }
    fn number_fields(&self) -> &'static [&'static str] {
        AS_DOCUMENTED.number_fields()
    }
    fn add_contact(&self, sandbox: &mut Self::Sandbox, field: &str, number: &str) -> RecordRef {
        AS_DOCUMENTED.add_contact(sandbox, field, number)
    }
    fn add_agents(&self, sandbox: &mut Self::Sandbox, how_many: usize) -> Vec<RecordRef> {
        AS_DOCUMENTED.add_agents(sandbox, how_many)
    }
    fn contacts_are_unique(&self) -> bool {
        AS_DOCUMENTED.contacts_are_unique()
    }
}

#[test]
fn every_fault_is_seen() {
    let expected: [(Fault, &[&str]); 7] = [
        (Fault::QuotesNothing, &["awkward texts arrive unchanged"]),
        (
            Fault::NeverFinds,
            &["a record is found at once after it was made", "a record is found after its reply was lost"],
        ),
        (Fault::LosesCallSid, &["a record is found at once after it was made", "a record is found beyond page one"]),
        (Fault::WritesEverything, &["an update changes what it says and no more"]),
        (Fault::LooksInOneField, &["every writing of a number finds its contact"]),
        (Fault::BlamesTheNetwork, &["wrong credentials are recognised", "the error table holds"]),
        (Fault::Prints, &["the manifest is sane"]),
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
