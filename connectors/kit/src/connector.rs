//! The trait every CRM is spoken to through.

use std::fmt;

use crate::{
    Agent, Allowance, CallActivity, Changed, Contact, Cursor, Exchange, Failure, Identity, Manifest, NewContact, Note,
    Page, PhoneNumber, RecordRef, Response,
};

/// A CRM. Holding one of the optional parts is what having that capability means: there are no flags beside them.
pub trait Connector: Send + Sync + fmt::Debug + 'static {
    fn manifest(&self) -> &'static Manifest;

    /// The cheapest call that proves the credentials. Also what half-opens a lane's breaker.
    fn identify(&self) -> Exchange<Identity>;

    /// Reads a reply that is not a success: the CRM's error table, one row per code, each with its source.
    /// What is not plainly our fault is worth a retry.
    fn classify(&self, reply: &Response) -> Failure;

    /// What the headers of any reply say of the budget.
    fn allowance(&self, reply: &Response) -> Option<Allowance>;

    /// Every CRM can record a call.
    fn activities(&self) -> &dyn Activities;
    /// Remarks on the record, for CRMs where recording and duration are a note and not fields of the record.
    fn notes(&self) -> Option<&dyn Notes>;
    fn contacts(&self) -> Option<&dyn Contacts>;
    fn agents(&self) -> Option<&dyn Agents>;
    /// CRMs that show the call to the agent themselves, without our widget.
    fn popups(&self) -> Option<&dyn Popups>;
}

/// The record of a call.
pub trait Activities: Send + Sync {
    /// Finds the record an earlier [`Activities::create`] may have left behind; it must not go through an index that
    /// lags behind writes. `None` where the CRM cannot be asked: the delivery is then held for a human.
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>>;
    fn create(&self, call: &CallActivity) -> Exchange<RecordRef>;
    /// Writes the changed parts. A record that is not there any more is a [`crate::Failure`] about
    /// [`crate::About::Record`].
    fn update(&self, at: &RecordRef, call: &CallActivity, changed: Changed) -> Exchange<RecordRef>;
}

/// Remarks on a record: private, always; never anything the caller could read.
pub trait Notes: Send + Sync {
    fn find(&self, on: &RecordRef, note: &Note) -> Option<Exchange<Option<RecordRef>>>;
    fn create(&self, on: &RecordRef, note: &Note) -> Exchange<RecordRef>;
    fn update(&self, at: &RecordRef, note: &Note) -> Exchange<RecordRef>;
}

/// The people who call.
pub trait Contacts: Send + Sync {
    /// Contacts with this number in whatever writing, through an index that may lag behind writes: who is found is
    /// there, who is not may be there all the same, and is then asked for by [`Contacts::find`]. `None` where the CRM has
    /// no such search.
    fn search(&self, number: &PhoneNumber) -> Option<Exchange<Vec<Contact>>>;
    /// All contacts stored under exactly this writing of a number. Finding never creates. The core asks for each of
    /// the manifest's renderings in turn and compares the numbers of what comes back.
    fn find(&self, rendered: &str) -> Exchange<Vec<Contact>>;
    /// Creates the contact. Where it exists already (the CRM says so by [`NewContact::external_id`] or the number),
    /// yields that one if the CRM names it, else a [`crate::Kind::Conflict`].
    fn create(&self, contact: &NewContact) -> Exchange<Contact>;
    /// Finds what [`Contacts::create`] with this `external_id` made, where the CRM has such a field.
    fn find_created(&self, external_id: &str) -> Option<Exchange<Option<Contact>>>;
}

/// The humans who answer.
pub trait Agents: Send + Sync {
    fn list(&self, from: Option<&Cursor>) -> Exchange<Page<Agent>>;
}

/// A CRM that shows the call to an agent by itself.
pub trait Popups: Send + Sync {
    fn show(&self, agent: &RecordRef, call: &CallActivity) -> Exchange<()>;
}
