//! The trait every CRM is spoken to through.

use std::fmt;

use crate::{
    Agent, Allowance, CallActivity, Changed, Contact, Cursor, Exchange, Failure, FollowUp, FollowUpKind, Identity,
    Manifest, NewContact, Note, Owner, Page, PhoneNumber, Popup, RecordRef, Response, Text, Ticket,
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
    /// Writing a record again when more is known. `None` where the CRM cannot (or not with the settings there are): a
    /// call is then written once, when all is known of it.
    fn updates(&self) -> Option<&dyn Updates>;
    /// Remarks on the record, for CRMs where recording and duration are a note and not fields of the record.
    fn notes(&self) -> Option<&dyn Notes>;
    fn contacts(&self) -> Option<&dyn Contacts>;
    fn agents(&self) -> Option<&dyn Agents>;
    /// CRMs that show the call to the agent themselves, without our widget.
    fn popups(&self) -> Option<&dyn Popups>;
    /// CRMs that can say at once who should take a caller's calls.
    fn owners(&self) -> Option<&dyn Owners>;
    /// CRMs that can say what of a contact's is open, while he calls.
    fn open_tickets(&self) -> Option<&dyn OpenTickets>;
    /// CRMs in which something to be done can follow from a call.
    fn follow_ups(&self) -> Option<&dyn FollowUps>;
}

/// The record of a call.
pub trait Activities: Send + Sync {
    /// Finds the record an earlier [`Activities::create`] may have left behind; it must not go through an index that
    /// lags behind writes. `None` where the CRM cannot be asked: the delivery is then held for a human.
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>>;
    /// Writes the record. Where the CRM has an upsert by the CallSid, this is it, and its [`crate::Safety`] says so.
    fn create(&self, call: &CallActivity) -> Exchange<RecordRef>;
}

/// The record of a call, written again.
pub trait Updates: Send + Sync {
    /// Writes the changed parts. A record that is not there any more is a [`crate::Failure`] about
    /// [`crate::About::Record`]. Yields where the record is now: it may have moved.
    fn update(&self, at: &RecordRef, call: &CallActivity, changed: Changed) -> Exchange<RecordRef>;
    /// The record's text as it stands, where agents write into the one that we write: the core puts what is new beside
    /// their words. `None` where they have a place of their own. A record that is not there any more is told as by
    /// [`Updates::update`].
    fn text(&self, at: &RecordRef) -> Option<Exchange<Text>>;
}

/// Remarks on a record: private, always; never anything the caller could read.
pub trait Notes: Send + Sync {
    /// Finds what an earlier [`Notes::create`] may have left behind, as [`Activities::find`] does. `of` is what was last
    /// written to the record, with its contact and agent.
    fn find(&self, on: &RecordRef, of: &CallActivity, note: &Note) -> Option<Exchange<Option<RecordRef>>>;
    fn create(&self, on: &RecordRef, of: &CallActivity, note: &Note) -> Exchange<RecordRef>;
    fn update(&self, at: &RecordRef, of: &CallActivity, note: &Note) -> Exchange<RecordRef>;
}

/// The people who call.
pub trait Contacts: Send + Sync {
    /// Contacts with this number in whatever writing, through an index that may lag behind writes: who is found is
    /// there, who is not may be there all the same, and is then asked for by [`Contacts::find`]. `None` where the CRM has
    /// no such search.
    fn search(&self, number: &PhoneNumber) -> Option<Exchange<Vec<Contact>>>;
    /// All contacts stored under exactly one of these writings of a number, at most
    /// [`Manifest::writings_per_find`] of them, through what lags least behind writes. Finding never creates. The core
    /// asks for the manifest's renderings in turn and compares the numbers of what comes back.
    ///
    /// In order of priority, where the CRM or its settings have one (objects before others, say).
    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>>;
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
    /// Tells the CRM. `None` where it is not told of this: a phase it does not know, an agent it does not know.
    fn show(&self, popup: &Popup) -> Option<Exchange<()>>;
}

/// Who should take a caller's calls.
pub trait Owners: Send + Sync {
    /// A caller is on the line while this runs: one request, if at all possible.
    fn of(&self, number: &PhoneNumber) -> Exchange<Option<Owner>>;
}

/// What of a contact's is open: tickets, cases, whatever this CRM calls them.
pub trait OpenTickets: Send + Sync {
    /// The newest of them, `most` at most. A caller is on the line while this runs: one request, if at all possible.
    /// `None` where a contact of this kind has none.
    fn of(&self, contact: &RecordRef, most: usize) -> Option<Exchange<Vec<Ticket>>>;
}

/// What is to be done after a call.
pub trait FollowUps: Send + Sync {
    /// Those it can make, the usual one first.
    fn kinds(&self) -> &'static [FollowUpKind];
    /// The one that a missed call or a voicemail gets by itself, as the settings say.
    fn for_missed(&self) -> Option<FollowUpKind>;
    /// Finds what an earlier [`FollowUps::create`] may have left behind, as [`Activities::find`] does.
    fn find(&self, on: &RecordRef, of: &CallActivity, it: &FollowUp) -> Option<Exchange<Option<RecordRef>>>;
    /// `on` is the call's record, `of` what was last written to it, with its contact and agent.
    fn create(&self, on: &RecordRef, of: &CallActivity, it: &FollowUp) -> Exchange<RecordRef>;
}
