//! A suite that cannot fail proves nothing: Freshsales with one fault at a time, and the cases that must see it.

mod subject;

use std::sync::Arc;

use jiff::Timestamp;
use patchbay_kit::{
    Activities, Agents, Allowance, CallActivity, Changed, Connector, Contact, Contacts, Exchange, Failure, FollowUps,
    Identity, Manifest, NewContact, Note, Notes, Owners, PhoneNumber, Popups, RecordRef, Response, Safety, Step, Text,
    Updates,
};
use patchbay_testkit::{
    Credentials,
    suite::{self, ErrorRow, Stored, Subject, What},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Says that no lost record exists.
    NeverFinds,
    /// Takes a call log's note for that of its recording, and the other way round.
    MistakesNotes,
    /// Writes everything at every update.
    WritesEverything,
    /// Lets a plus become a space.
    LosesPlus,
    /// Looks only at mobile numbers.
    OneField,
    /// Says of a creation that it can be repeated.
    ClaimsSafety,
}

#[derive(Debug)]
struct Broken {
    inner: Arc<dyn Connector>,
    fault: Fault,
}

impl Broken {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn found(&self, exchange: Option<Exchange<Option<RecordRef>>>) -> Option<Exchange<Option<RecordRef>>> {
        let exchange = exchange?;
        Some(if self.has(Fault::NeverFinds) { exchange.request.done(|_| Ok(None)) } else { exchange })
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
        Some(self)
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
        self.found(self.inner.activities().find(call))
    }
    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        let mut exchange = self.inner.activities().create(call);
        if self.has(Fault::ClaimsSafety) {
            exchange.request.safety = Safety::Idempotent;
        }
        exchange
    }
}

impl Updates for Broken {
    fn update(&self, at: &RecordRef, call: &CallActivity, changed: Changed) -> Exchange<RecordRef> {
        let all = Changed { subject: true, body: true, ..changed };
        let changed = if self.has(Fault::WritesEverything) { all } else { changed };
        self.inner.updates().expect("updates").update(at, call, changed)
    }

    fn text(&self, at: &RecordRef) -> Option<Exchange<Text>> {
        self.inner.updates().expect("updates").text(at)
    }
}

impl Notes for Broken {
    fn find(&self, on: &RecordRef, of: &CallActivity, note: &Note) -> Option<Exchange<Option<RecordRef>>> {
        if self.has(Fault::MistakesNotes) {
            return self.inner.activities().find(&CallActivity { key: note.key.clone(), ..of.clone() });
        }
        self.found(self.inner.notes().expect("notes").find(on, of, note))
    }
    fn create(&self, on: &RecordRef, of: &CallActivity, note: &Note) -> Exchange<RecordRef> {
        self.inner.notes().expect("notes").create(on, of, note)
    }
    fn update(&self, at: &RecordRef, of: &CallActivity, note: &Note) -> Exchange<RecordRef> {
        self.inner.notes().expect("notes").update(at, of, note)
    }
}

impl Contacts for Broken {
    fn search(&self, number: &PhoneNumber) -> Option<Exchange<Vec<Contact>>> {
        self.inner.contacts().expect("contacts").search(number)
    }
    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>> {
        let mut writings = writings.to_vec();
        if self.has(Fault::LosesPlus) {
            writings.iter_mut().for_each(|writing| *writing = writing.replace('+', " "));
        }
        let find = self.inner.contacts().expect("contacts").find(&writings);
        if !self.has(Fault::OneField) {
            return find;
        }
        // The reply to the first question, read as that to the second.
        let request = find.request.clone();
        request.done(move |reply| match find.parse(reply)? {
            Step::Done(found) => Ok(found),
            Step::Then(second) => match second.parse(reply)? {
                Step::Done(found) => Ok(found),
                Step::Then(_) => panic!("two questions"),
            },
        })
    }
    fn create(&self, contact: &NewContact) -> Exchange<Contact> {
        self.inner.contacts().expect("contacts").create(contact)
    }
    fn find_created(&self, external_id: &str) -> Option<Exchange<Option<Contact>>> {
        self.inner.contacts().expect("contacts").find_created(external_id)
    }
}

struct Suspect {
    honest: subject::Freshsales,
    fault: Fault,
}

impl Subject for Suspect {
    type Sandbox = <subject::Freshsales as Subject>::Sandbox;

    fn build(&self) -> Arc<dyn Connector> {
        Arc::new(Broken { inner: self.honest.build(), fault: self.fault })
    }
    fn sandbox(&self) -> Self::Sandbox {
        self.honest.sandbox()
    }
    fn credentials(&self) -> Credentials {
        self.honest.credentials()
    }
    fn errors(&self) -> Vec<ErrorRow> {
        self.honest.errors()
    }
    fn count(&self, sandbox: &Self::Sandbox, what: What) -> usize {
        self.honest.count(sandbox, what)
    }
    fn stored(&self, sandbox: &Self::Sandbox, at: &RecordRef) -> Option<Stored> {
        self.honest.stored(sandbox, at)
    }
    fn remove(&self, sandbox: &mut Self::Sandbox, at: &RecordRef, now: Timestamp) -> bool {
        self.honest.remove(sandbox, at, now)
    }
    fn number_fields(&self) -> &'static [&'static str] {
        self.honest.number_fields()
    }
    fn add_contact(&self, sandbox: &mut Self::Sandbox, field: &str, number: &str) -> RecordRef {
        self.honest.add_contact(sandbox, field, number)
    }
    fn add_agents(&self, sandbox: &mut Self::Sandbox, how_many: usize) -> Vec<RecordRef> {
        self.honest.add_agents(sandbox, how_many)
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
        (Fault::MistakesNotes, &["a record is found at once after it was made"]),
        (Fault::WritesEverything, &["an update changes what it says and no more"]),
        (Fault::LosesPlus, &["awkward texts arrive unchanged", "every writing of a number finds its contact"]),
        (Fault::OneField, &["every writing of a number finds its contact"]),
        (Fault::ClaimsSafety, &["a record is found after its reply was lost"]),
    ];
    for (fault, cases) in expected {
        let failed = suite::failures(&Suspect { honest: subject::Freshsales::usual(), fault });
        for case in cases {
            assert!(failed.contains(case), "{fault:?} is not seen by \"{case}\", only by {failed:?}");
        }
        // A fault is seen where it is, not everywhere: a suite in which all fails says nothing, either.
        assert!(failed.len() < 12, "{fault:?} fails {failed:?}");
    }
}
