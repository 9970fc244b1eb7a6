//! A suite that cannot fail proves nothing: Zoho Desk with one fault at a time, and the cases that must see it.

mod subject;

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use patchbay_kit::{
    Activities, Agents, Allowance, Body, CallActivity, Connector, Contact, Contacts, Exchange, Failure, FollowUps,
    Identity, Manifest, NewContact, Note, Notes, Owners, PhoneNumber, Popups, RecordRef, Request, Response, Step, Text,
    Updates,
};
use patchbay_testkit::{
    Credentials, sample,
    suite::{self, ErrorRow, Stored, Subject, What},
};
use subject::ZohoDesk;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Writes comments that the caller can read.
    PublicComments,
    /// Leaves out whose tickets they are.
    ForgetsTheOrganisation,
    /// Takes the search's word that nobody is there.
    TrustsTheSearch,
    /// Takes the first of the caller's tickets for the call's.
    FindsAnything,
    /// Writes ids into the path as they come.
    LetsIdsSteer,
}

struct Broken {
    inner: Arc<dyn Connector>,
    fault: Fault,
}

impl Broken {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn sent<T>(&self, mut exchange: Exchange<T>) -> Exchange<T> {
        let request: &mut Request = &mut exchange.request;
        if self.has(Fault::ForgetsTheOrganisation) {
            request.headers.clear();
        }
        if let (true, Body::Json(fields)) = (self.has(Fault::PublicComments), &mut request.body)
            && fields.get("isPublic").is_some()
        {
            fields["isPublic"] = true.into();
        }
        if self.has(Fault::LetsIdsSteer) {
            // What a server makes of an id that was not encoded: the part before what it knows as a separator.
            for segment in &mut request.path {
                let end = segment.find(['/', '?', '#', '&']).unwrap_or(segment.len());
                segment.truncate(end);
            }
        }
        exchange
    }
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
        self.sent(self.inner.identify())
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
        None
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
        let find = self.inner.activities().find(call)?;
        if !self.has(Fault::FindsAnything) {
            return Some(self.sent(find));
        }
        let (request, accepts) = (find.request.clone(), find.accepts);
        let first = move |reply: &Response| {
            let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let id = body.pointer("/data/0/id").and_then(serde_json::Value::as_str);
            Ok(Step::Done(id.map(|id| RecordRef::new("ticket", id))))
        };
        Some(request.then(first).accepting(accepts))
    }
    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        self.sent(self.inner.activities().create(call))
    }
}

impl Updates for Broken {
    fn update(&self, at: &RecordRef, call: &CallActivity, changed: patchbay_kit::Changed) -> Exchange<RecordRef> {
        self.sent(self.inner.updates().expect("updates").update(at, call, changed))
    }

    fn text(&self, at: &RecordRef) -> Option<Exchange<Text>> {
        self.inner.updates().expect("updates").text(at)
    }
}

impl Notes for Broken {
    fn find(&self, on: &RecordRef, of: &CallActivity, note: &Note) -> Option<Exchange<Option<RecordRef>>> {
        self.inner.notes()?.find(on, of, note)
    }
    fn create(&self, on: &RecordRef, of: &CallActivity, note: &Note) -> Exchange<RecordRef> {
        self.sent(self.inner.notes().expect("notes").create(on, of, note))
    }
    fn update(&self, at: &RecordRef, of: &CallActivity, note: &Note) -> Exchange<RecordRef> {
        self.sent(self.inner.notes().expect("notes").update(at, of, note))
    }
}

impl Contacts for Broken {
    fn search(&self, number: &PhoneNumber) -> Option<Exchange<Vec<Contact>>> {
        self.inner.contacts()?.search(number)
    }
    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>> {
        let contacts = self.inner.contacts().expect("contacts");
        match contacts.search(&sample::number()) {
            Some(search) if self.has(Fault::TrustsTheSearch) => search,
            _ => contacts.find(writings),
        }
    }
    fn create(&self, contact: &NewContact) -> Exchange<Contact> {
        self.sent(self.inner.contacts().expect("contacts").create(contact))
    }
    fn find_created(&self, external_id: &str) -> Option<Exchange<Option<Contact>>> {
        self.inner.contacts()?.find_created(external_id)
    }
}

/// Zoho Desk with a fault, for the suite.
struct Faulty {
    sound: ZohoDesk,
    fault: Fault,
}

impl Subject for Faulty {
    type Sandbox = <ZohoDesk as Subject>::Sandbox;

    fn build(&self) -> Arc<dyn Connector> {
        Arc::new(Broken { inner: self.sound.build(), fault: self.fault })
    }
    fn sandbox(&self) -> Self::Sandbox {
        self.sound.sandbox()
    }
    fn credentials(&self) -> Credentials {
        self.sound.credentials()
    }
    fn errors(&self) -> Vec<ErrorRow> {
        self.sound.errors()
    }
    fn count(&self, sandbox: &Self::Sandbox, what: What) -> usize {
        self.sound.count(sandbox, what)
    }
    fn stored(&self, sandbox: &Self::Sandbox, at: &RecordRef) -> Option<Stored> {
        self.sound.stored(sandbox, at)
    }
    fn remove(&self, sandbox: &mut Self::Sandbox, at: &RecordRef, now: Timestamp) -> bool {
        self.sound.remove(sandbox, at, now)
    }
    fn number_fields(&self) -> &'static [&'static str] {
        self.sound.number_fields()
    }
    fn add_contact(&self, sandbox: &mut Self::Sandbox, field: &str, number: &str) -> RecordRef {
        self.sound.add_contact(sandbox, field, number)
    }
    fn add_agents(&self, sandbox: &mut Self::Sandbox, how_many: usize) -> Vec<RecordRef> {
        self.sound.add_agents(sandbox, how_many)
    }
    fn contacts_are_unique(&self) -> bool {
        self.sound.contacts_are_unique()
    }
}

#[test]
fn every_fault_is_seen_by_the_case_that_is_there_for_it() {
    for (fault, case) in [
        (Fault::PublicComments, "notes are private"),
        (Fault::ForgetsTheOrganisation, "right credentials are recognised"),
        (Fault::TrustsTheSearch, "a contact is found at once after it was made"),
        (Fault::FindsAnything, "another call's record is not found"),
        (Fault::LetsIdsSteer, "an id cannot reach another path"),
    ] {
        let failed = suite::failures(&Faulty { sound: ZohoDesk::like(|_| ()), fault });
        assert!(failed.contains(&case), "{fault:?} was not seen by \"{case}\", only by {failed:?}");
    }
}
