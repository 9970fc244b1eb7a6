//! A suite that cannot fail proves nothing: a connector with one fault at a time, and the cases that must see it.
//!
//! A connector's `tests/suite_bites.rs` holds its faults and, of each, the cases that are there for it; [`assert_seen`]
//! tries them. What a fault leaves alone is the honest connector's, so that a case sees the fault and nothing else.

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{
    Activities, Agent, Agents, Allowance, CallActivity, Changed, Connector, Contact, Contacts, Cursor, Exchange,
    Failure, FollowUp, FollowUpKind, FollowUps, Identity, Manifest, NewContact, Note, Notes, OpenTickets, Owner,
    Owners, Page, PhoneNumber, Popup, Popups, RecordRef, Request, Response, Step, Text, Ticket, Updates,
};

use crate::{
    Credentials,
    suite::{self, ErrorRow, Stored, Subject, What},
};

/// Cases that may see one fault. In a suite in which all fail, none says what is wrong.
const SEEN_BY_MAX: usize = 11;

/// An update that says of every part that it has changed.
pub const EVERYTHING: Changed =
    Changed { subject: true, body: true, agent: true, contact: true, facts: true, outcome: true };

/// Something that a connector may do wrong, and where it bites. In all other places the honest connector is passed on.
pub trait Fault: fmt::Debug + Copy + Send + Sync + 'static {
    /// Whether it bites in every exchange, so that hardly a case can hold.
    fn everywhere(self) -> bool {
        false
    }

    /// The connector's Debug output.
    fn prints(self) -> &'static str {
        "Broken"
    }

    /// Any request, before it is sent; its label says of which operation.
    fn request(self, _request: &mut Request) {}

    fn classify(self, honest: &dyn Connector, reply: &Response) -> Failure {
        honest.classify(reply)
    }

    /// A search for a record or a note.
    fn found(self, honest: Exchange<Option<RecordRef>>) -> Exchange<Option<RecordRef>> {
        honest
    }

    fn find_note(
        self,
        honest: &dyn Connector,
        on: &RecordRef,
        of: &CallActivity,
        note: &Note,
    ) -> Option<Exchange<Option<RecordRef>>> {
        honest.notes()?.find(on, of, note)
    }

    fn create(self, honest: &dyn Activities, call: &CallActivity) -> Exchange<RecordRef> {
        honest.create(call)
    }

    /// What an update is told of.
    fn changed(self, changed: Changed) -> Changed {
        changed
    }

    fn find_contacts(self, honest: &dyn Contacts, writings: &[String]) -> Exchange<Vec<Contact>> {
        honest.find(writings)
    }

    fn list_agents(self, honest: &dyn Agents, from: Option<&Cursor>) -> Exchange<Page<Agent>> {
        honest.list(from)
    }
}

/// A search that never finds anything.
pub fn finds_nothing(honest: Exchange<Option<RecordRef>>) -> Exchange<Option<RecordRef>> {
    honest.request.done(|_| Ok(None)).accepting(honest.accepts)
}

/// A search that gives up after so many exchanges.
pub fn gives_up_after(exchanges: usize, honest: Exchange<Option<RecordRef>>) -> Exchange<Option<RecordRef>> {
    let (request, accepts) = (honest.request.clone(), honest.accepts);
    let read = move |reply: &Response| {
        Ok(match honest.parse(reply)? {
            Step::Then(_) if exchanges <= 1 => Step::Done(None),
            Step::Then(next) => Step::Then(gives_up_after(exchanges - 1, next)),
            done => done,
        })
    };
    request.then(read).accepting(accepts)
}

/// Tries every fault: each of its cases must see it, and few others may.
///
/// # Panics
/// When a fault is not seen where it must be, when it is seen all over, or when the subject fails without any.
pub fn assert_seen<S: Subject, F: Fault>(honest: &S, table: &[(F, &[&str])]) {
    let failed = suite::failures(honest);
    assert!(failed.is_empty(), "without a fault, too, {failed:?} fail");
    for &(fault, cases) in table {
        assert!(!cases.is_empty(), "no case is there for {fault:?}");
        let failed = suite::failures(&Suspect { honest, fault });
        for case in cases {
            assert!(failed.contains(case), "{fault:?} is not seen by \"{case}\", only by {failed:?}");
        }
        assert!(fault.everywhere() || failed.len() <= SEEN_BY_MAX, "{fault:?} is seen all over, by {failed:?}");
    }
}

/// The honest connector with a fault.
struct Broken<F> {
    honest: Arc<dyn Connector>,
    fault: F,
}

impl<F: Fault> fmt::Debug for Broken<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fault.prints())
    }
}

/// A part of the honest connector: [`Broken`] shows only those that there are.
fn part<P: ?Sized>(held: Option<&P>) -> &P {
    held.unwrap_or_else(|| panic!("a part that the connector does not hold"))
}

impl<F: Fault> Broken<F> {
    /// The exchange with the fault in its request, and in those that follow from it.
    fn sent<T: 'static>(&self, exchange: Exchange<T>) -> Exchange<T> {
        bitten(self.fault, exchange)
    }

    fn updates_of(&self) -> &dyn Updates {
        part(self.honest.updates())
    }

    fn notes_of(&self) -> &dyn Notes {
        part(self.honest.notes())
    }

    fn contacts_of(&self) -> &dyn Contacts {
        part(self.honest.contacts())
    }

    fn follow_ups_of(&self) -> &dyn FollowUps {
        part(self.honest.follow_ups())
    }
}

fn bitten<T: 'static>(fault: impl Fault, exchange: Exchange<T>) -> Exchange<T> {
    let (mut request, accepts) = (exchange.request.clone(), exchange.accepts);
    fault.request(&mut request);
    let read = move |reply: &Response| {
        Ok(match exchange.parse(reply)? {
            Step::Then(next) => Step::Then(bitten(fault, next)),
            done => done,
        })
    };
    request.then(read).accepting(accepts)
}

impl<F: Fault> Connector for Broken<F> {
    fn manifest(&self) -> &'static Manifest {
        self.honest.manifest()
    }

    fn identify(&self) -> Exchange<Identity> {
        self.sent(self.honest.identify())
    }

    fn classify(&self, reply: &Response) -> Failure {
        self.fault.classify(self.honest.as_ref(), reply)
    }

    fn allowance(&self, reply: &Response) -> Option<Allowance> {
        self.honest.allowance(reply)
    }

    fn activities(&self) -> &dyn Activities {
        self
    }

    fn updates(&self) -> Option<&dyn Updates> {
        self.honest.updates().map(|_| self as &dyn Updates)
    }

    fn notes(&self) -> Option<&dyn Notes> {
        self.honest.notes().map(|_| self as &dyn Notes)
    }

    fn contacts(&self) -> Option<&dyn Contacts> {
        self.honest.contacts().map(|_| self as &dyn Contacts)
    }

    fn agents(&self) -> Option<&dyn Agents> {
        self.honest.agents().map(|_| self as &dyn Agents)
    }

    fn popups(&self) -> Option<&dyn Popups> {
        self.honest.popups().map(|_| self as &dyn Popups)
    }

    fn owners(&self) -> Option<&dyn Owners> {
        self.honest.owners().map(|_| self as &dyn Owners)
    }

    fn open_tickets(&self) -> Option<&dyn OpenTickets> {
        self.honest.open_tickets().map(|_| self as &dyn OpenTickets)
    }

    fn follow_ups(&self) -> Option<&dyn FollowUps> {
        self.honest.follow_ups().map(|_| self as &dyn FollowUps)
    }
}

impl<F: Fault> Activities for Broken<F> {
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>> {
        Some(self.sent(self.fault.found(self.honest.activities().find(call)?)))
    }

    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        self.sent(self.fault.create(self.honest.activities(), call))
    }
}

impl<F: Fault> Updates for Broken<F> {
    fn update(&self, at: &RecordRef, call: &CallActivity, changed: Changed) -> Exchange<RecordRef> {
        self.sent(self.updates_of().update(at, call, self.fault.changed(changed)))
    }

    fn text(&self, at: &RecordRef) -> Option<Exchange<Text>> {
        Some(self.sent(self.updates_of().text(at)?))
    }
}

impl<F: Fault> Notes for Broken<F> {
    fn find(&self, on: &RecordRef, of: &CallActivity, note: &Note) -> Option<Exchange<Option<RecordRef>>> {
        Some(self.sent(self.fault.found(self.fault.find_note(self.honest.as_ref(), on, of, note)?)))
    }

    fn create(&self, on: &RecordRef, of: &CallActivity, note: &Note) -> Exchange<RecordRef> {
        self.sent(self.notes_of().create(on, of, note))
    }

    fn update(&self, at: &RecordRef, of: &CallActivity, note: &Note) -> Exchange<RecordRef> {
        self.sent(self.notes_of().update(at, of, note))
    }
}

impl<F: Fault> Contacts for Broken<F> {
    fn search(&self, number: &PhoneNumber) -> Option<Exchange<Vec<Contact>>> {
        Some(self.sent(self.contacts_of().search(number)?))
    }

    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>> {
        self.sent(self.fault.find_contacts(self.contacts_of(), writings))
    }

    fn create(&self, contact: &NewContact) -> Exchange<Contact> {
        self.sent(self.contacts_of().create(contact))
    }

    fn find_created(&self, external_id: &str) -> Option<Exchange<Option<Contact>>> {
        Some(self.sent(self.contacts_of().find_created(external_id)?))
    }
}

impl<F: Fault> Agents for Broken<F> {
    fn list(&self, from: Option<&Cursor>) -> Exchange<Page<Agent>> {
        self.sent(self.fault.list_agents(part(self.honest.agents()), from))
    }
}

impl<F: Fault> Popups for Broken<F> {
    fn show(&self, popup: &Popup) -> Option<Exchange<()>> {
        Some(self.sent(part(self.honest.popups()).show(popup)?))
    }
}

impl<F: Fault> Owners for Broken<F> {
    fn of(&self, number: &PhoneNumber) -> Exchange<Option<Owner>> {
        self.sent(part(self.honest.owners()).of(number))
    }
}

impl<F: Fault> OpenTickets for Broken<F> {
    fn of(&self, contact: &RecordRef, most: usize) -> Option<Exchange<Vec<Ticket>>> {
        Some(self.sent(part(self.honest.open_tickets()).of(contact, most)?))
    }
}

impl<F: Fault> FollowUps for Broken<F> {
    fn kinds(&self) -> &'static [FollowUpKind] {
        self.follow_ups_of().kinds()
    }

    fn for_missed(&self) -> Option<FollowUpKind> {
        self.follow_ups_of().for_missed()
    }

    fn find(&self, on: &RecordRef, of: &CallActivity, it: &FollowUp) -> Option<Exchange<Option<RecordRef>>> {
        Some(self.sent(self.follow_ups_of().find(on, of, it)?))
    }

    fn create(&self, on: &RecordRef, of: &CallActivity, it: &FollowUp) -> Exchange<RecordRef> {
        self.sent(self.follow_ups_of().create(on, of, it))
    }
}

/// The honest subject, whose connector has a fault.
struct Suspect<'a, S, F> {
    honest: &'a S,
    fault: F,
}

impl<S: Subject, F: Fault> Subject for Suspect<'_, S, F> {
    type Sandbox = S::Sandbox;

    fn build(&self) -> Arc<dyn Connector> {
        Arc::new(Broken { honest: self.honest.build(), fault: self.fault })
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

    fn contact_lag(&self) -> Duration {
        self.honest.contact_lag()
    }

    fn contacts_are_unique(&self) -> bool {
        self.honest.contacts_are_unique()
    }

    fn appends(&self) -> bool {
        self.honest.appends()
    }

    fn unsent(&self) -> &'static [&'static str] {
        self.honest.unsent()
    }

    fn agents_in_one_answer(&self) -> bool {
        self.honest.agents_in_one_answer()
    }

    fn more_than_a_page(&self) -> usize {
        self.honest.more_than_a_page()
    }
}
