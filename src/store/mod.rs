//! The truth: receipts, calls, deliveries, links. The only SQL of Patchbay is below this module.

mod click;
mod delivery;
mod directory;
mod documents;
mod lease;
mod ledger;
mod postgres;
mod sqlite;
#[cfg(test)]
mod suite;

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use patchbay_kit::{Contact, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::call::{CallEvent, CallState, Intent, IntentKind, Receipt, plan::Enquiry, shape};

pub use click::{Click, ClickFilter, ClickState, ClickStep, Clicks, Kept};
pub use delivery::{
    Attempt, AttemptOutcome, Claimed, Delivery, DeliveryFilter, DeliveryState, ExchangeLog, LaneRef, Link, Next,
    Settlement, Turn, Written,
};
pub use directory::{
    AuditEntry, AuditFilter, Audited, Change, Directory, Document, DocumentKind, DocumentRef, SealedAt, Writing,
};
pub use lease::{Duty, Lease, Node, Term};
pub use ledger::{
    LedgerEntry, LedgerFilter, LedgerSeen, LedgerStanding, LedgerSummary, SilentExoPhone, Span, SweepCursor,
};
pub use postgres::{PostgresOptions, PostgresStore};
pub use sqlite::{SqliteOptions, SqliteStore};

/// Position of a receipt in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub i64);

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// More is waiting to be written than the configuration allows: the caller must be told to come again.
    #[error("the write queue is full")]
    Full,
    /// The disk is full, gone or read-only: what was asked for is not durable.
    #[error("the database cannot be written: {0}")]
    Unwritable(String),
    #[error("the database cannot be read: {0}")]
    Unreadable(String),
    /// Somebody else changed it since it was read: read it again and decide anew.
    #[error("it was changed meanwhile")]
    Conflict,
    /// Another document has the name that this one was to have.
    #[error("another has this name")]
    Taken,
    /// Another node has taken over what this was done in the name of: it is not this one's to write any more.
    #[error("another node has taken this over")]
    Fenced,
    /// Another process has it open, and would take the same deliveries.
    #[error("the database {0} is in use by another process: stop that one first, or use another database")]
    InUse(String),
    /// A `before` that no answer of this store gave out.
    #[error("not a cursor of this list")]
    BadCursor,
    #[error("the database has schema version {found}, this program knows {known}: use a newer Patchbay, or its backup")]
    NewerSchema { found: u32, known: u32 },
}

/// An account's call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CallRef {
    pub account: String,
    pub call_sid: String,
}

/// A call as stored: its events, and where asking for its details stands.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCall {
    pub version: i64,
    pub events: Vec<CallEvent>,
    pub enquiry: Option<Enquiry>,
}

/// A receipt together with the event it was read as.
#[derive(Clone, Debug, PartialEq)]
pub struct Witnessed {
    pub seq: Seq,
    pub event: CallEvent,
}

/// Everything that follows from some receipts of one call (or from planning it again): written in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub call: CallRef,
    /// Version the decision was made on; `0` for a call that is new.
    pub on_version: i64,
    /// Receipts and their events. An event that is there already is kept once; the receipt is still counted as one
    /// more witness of it.
    pub witnessed: Vec<Witnessed>,
    pub state: CallState,
    /// All intents that hold now. Those stored and not in this list, if still to be delivered, become superseded.
    pub intents: Vec<Intent>,
    pub enquiry: Enquiry,
    /// What is new of the intents waits behind everything that is not.
    pub backfill: bool,
    pub at: Timestamp,
}

/// A receipt nobody can read, set aside.
#[derive(Clone, Debug, PartialEq)]
pub struct SetAside {
    pub seq: Seq,
    pub error: String,
    pub at: Timestamp,
}

/// A call as the list shows it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CallSummary {
    pub call_sid: String,
    #[schemars(with = "Option<shape::OutcomeShape>")]
    pub outcome: Option<Outcome>,
    pub customer: Option<String>,
    pub exophone: Option<String>,
    pub agent: Option<String>,
    pub started_at: Option<Timestamp>,
    pub first_seen_at: Timestamp,
    pub updated_at: Timestamp,
    pub talk_seconds: Option<u32>,
    /// Deliveries of the call by state.
    pub deliveries: BTreeMap<DeliveryState, u32>,
}

/// Which calls to list. Newest first; `before` is the cursor of the page before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallFilter {
    pub outcome: Option<Outcome>,
    /// Digits that customer or ExoPhone must end with.
    pub number: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub before: Option<String>,
    /// 0: the default of 50.
    pub limit: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Paged<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// One receipt that witnessed an event of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Witness {
    pub seq: Seq,
    pub receipt: Uuid,
    pub received_at: Timestamp,
    pub event: crate::call::EventId,
}

/// Everything known of one call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallFile {
    pub call: StoredCall,
    pub state: CallState,
    pub first_seen_at: Timestamp,
    pub updated_at: Timestamp,
    pub witnesses: Vec<Witness>,
    pub deliveries: Vec<Delivery>,
    /// By delivery, in order.
    pub attempts: Vec<(Uuid, Attempt)>,
    pub links: Vec<(String, IntentKind, Link)>,
}

/// A hook token as listed: never the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HookToken {
    pub id: Uuid,
    pub account: String,
    pub label: String,
    /// What it opens of the account's hooks; all of them without one.
    pub scope: Option<String>,
    pub created_at: Timestamp,
    /// Still valid until then: its successor was made.
    pub expires_at: Option<Timestamp>,
}

/// Tokens of an integration as they lie in the store: sealed with the master key.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredCredential {
    pub version: i64,
    pub sealed: Vec<u8>,
}

impl fmt::Debug for StoredCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredCredential(version {})", self.version)
    }
}

/// A person was sent to the CRM to consent; what the code that comes back is to be exchanged with, sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct Consent {
    pub lane: LaneRef,
    pub sealed: Vec<u8>,
    pub expires_at: Timestamp,
}

impl fmt::Debug for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Consent({})", self.lane)
    }
}

/// What another node has done. A hint: it may come too often, and what is missed is found out a little later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// There is more in the journal.
    Journal,
    /// There may be something to deliver, or to ask for.
    Work,
    /// A lease was given back.
    Lease,
    /// Hook tokens were made or expired.
    Tokens,
    /// An integration has other tokens.
    Credential,
    /// Agents of the user mapping were changed.
    Agents,
    /// Bots or DIDs were changed.
    Bots,
    /// Accounts or integrations were made, changed or removed.
    Accounts,
}

/// Counts for `/metrics` and `/readyz`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Depths {
    /// Receipts not yet read.
    pub unread_receipts: u64,
    pub set_aside: u64,
    pub deliveries: BTreeMap<(LaneRef, DeliveryState), u64>,
}

/// What the service asks of its database: operations of the domain, each one transaction.
#[async_trait]
pub trait Store: Clicks + Directory {
    /// Makes a receipt durable. Resolves once it is on disk, not before.
    async fn append(&self, receipt: Receipt) -> Result<Seq, StoreError>;

    /// The next receipts behind the cursor, in order. What was decided or set aside is behind it no more.
    async fn unread(&self, limit: usize) -> Result<Vec<(Seq, Receipt)>, StoreError>;

    /// The calls that exist, of those named.
    async fn calls(&self, refs: &[CallRef]) -> Result<BTreeMap<CallRef, StoredCall>, StoreError>;

    /// Writes decisions and what was set aside, and moves the journal's cursor up to where was read, all or nothing. Only
    /// who has the lease of [`Duty::Journal`] may move it.
    ///
    /// Upserting an intent: a new id is inserted pending and due at once; a stored one whose content is equal stays as
    /// it is; one whose content differs gets the content and a higher revision, and is pending and due at once if it
    /// was done; if pending its `due_at` stays; held and dead stay what they are, but for one held that a person has chosen a contact for. One that was superseded is wanted
    /// again: pending and due at once, whatever its content.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if a call's version is not `on_version`, [`StoreError::Fenced`] if the lease is another
    /// node's; nothing is written then.
    async fn decide(
        &self,
        decisions: Vec<Decision>,
        set_aside: Vec<SetAside>,
        read_up_to: Option<(Seq, Lease)>,
    ) -> Result<(), StoreError>;

    /// Receipts that were set aside, newest first, with the reason and when.
    async fn set_aside(&self, account: &str, limit: usize) -> Result<Vec<(Receipt, SetAside)>, StoreError>;

    /// Puts a set-aside receipt (or all of an account) back before the reader. Returns how many.
    async fn replay_set_aside(&self, account: &str) -> Result<u64, StoreError>;

    /// The contact of a caller, where one was found or made in this CRM.
    async fn contact(&self, lane: &LaneRef, external_id: &str) -> Result<Option<Contact>, StoreError>;

    /// Takes up to `limit` deliveries whose turn it is and that are due, oldest first: they are durably in flight when this
    /// resolves. Of one call at most one delivery is in flight, and a later kind is not taken while an earlier one of
    /// the same call is not done.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if the lease of [`Duty::Lane`] is another node's.
    async fn claim(
        &self,
        lease: &Lease,
        lane: &LaneRef,
        turn: Turn,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Claimed>, StoreError>;

    /// When the lane's next delivery is due; `None` when nothing is pending.
    async fn next_due(&self, lane: &LaneRef) -> Result<Option<Timestamp>, StoreError>;

    /// Writes the outcome of an attempt. Attempts of a delivery beyond the newest 50 are forgotten.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if the lane is another node's by now: what became of the attempt is for that one to find
    /// out, which has made the delivery pending again; nothing is written.
    async fn settle(&self, lease: &Lease, settlement: Settlement) -> Result<(), StoreError>;

    /// When a lane is taken: what was in flight when the one who had it before ended is pending again and must be
    /// probed, not before `not_before` (a request of the dead one may still be being carried out). Returns how many.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if the lane is another node's.
    async fn recover(
        &self,
        lease: &Lease,
        lane: &LaneRef,
        not_before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError>;

    /// Holds what is pending in a lane that nobody runs any more, so that it is seen. Returns how many.
    async fn hold_lane(&self, lane: &LaneRef, reason: &str, now: Timestamp) -> Result<u64, StoreError>;

    /// Calls whose details are to be asked for, with the time they were due, oldest first.
    async fn due_enquiries(
        &self,
        account: &str,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<(String, Timestamp)>, StoreError>;

    /// Puts the question off without using up a step of its schedule.
    async fn put_off_enquiry(&self, call: &CallRef, due_at: Timestamp) -> Result<(), StoreError>;

    /// The earliest time at which an enquiry of this account is due.
    async fn next_enquiry(&self, account: &str) -> Result<Option<Timestamp>, StoreError>;

    async fn list_calls(&self, account: &str, filter: &CallFilter) -> Result<Paged<CallSummary>, StoreError>;

    async fn call_file(&self, call: &CallRef) -> Result<Option<CallFile>, StoreError>;

    async fn ledger(&self, account: &str, filter: &LedgerFilter) -> Result<Paged<LedgerEntry>, StoreError>;

    async fn ledger_summary(&self, account: &str, span: Span) -> Result<LedgerSummary, StoreError>;

    async fn sweep_cursor(&self, account: &str) -> Result<Option<SweepCursor>, StoreError>;

    async fn put_sweep_cursor(&self, account: &str, cursor: SweepCursor) -> Result<(), StoreError>;

    async fn list_deliveries(&self, account: &str, filter: &DeliveryFilter) -> Result<Paged<Delivery>, StoreError>;

    /// Makes held, dead, superseded and waiting deliveries that match pending and due at once, with a fresh schedule;
    /// done ones only when `even_done` (their revision is raised, so that they are written again). In-flight ones are
    /// left alone. Returns the ids.
    async fn redrive(
        &self,
        account: &str,
        filter: &DeliveryFilter,
        even_done: bool,
        now: Timestamp,
    ) -> Result<Vec<Uuid>, StoreError>;

    /// Forgets which records stand for a call in `integration` (or in all): its deliveries must be probed, so that
    /// sending again finds those that are still there, writes them whole, and makes those that are not.
    async fn forget_links(&self, call: &CallRef, integration: Option<&str>) -> Result<(), StoreError>;

    async fn insert_hook_token(&self, token: &HookToken, hash: [u8; 32]) -> Result<(), StoreError>;
    async fn hook_tokens(&self, account: &str) -> Result<Vec<HookToken>, StoreError>;
    /// All tokens that have not expired, with their hashes: what the hooks compare with.
    async fn hook_token_hashes(&self, now: Timestamp) -> Result<Vec<(HookToken, [u8; 32])>, StoreError>;
    /// Returns whether there was one.
    async fn expire_hook_token(&self, account: &str, id: Uuid, at: Timestamp) -> Result<bool, StoreError>;

    async fn credential(&self, lane: &LaneRef) -> Result<Option<StoredCredential>, StoreError>;

    /// Writes an integration's tokens over version `on_version` (0: there were none).
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if somebody has written others meanwhile.
    async fn put_credential(&self, lane: &LaneRef, on_version: i64, sealed: Vec<u8>) -> Result<(), StoreError>;

    /// Forgets an integration's tokens: it is there no more.
    async fn forget_credential(&self, lane: &LaneRef) -> Result<(), StoreError>;

    /// Takes or renews, for `ttl` from now, those of the duties that are nobody's, the holder's already, or whose time
    /// is over. Returns what is his.
    async fn lease(&self, holder: Uuid, duties: &[Duty], ttl: Duration) -> Result<Vec<Lease>, StoreError>;

    /// Gives a lease back, if it was not taken over.
    async fn release(&self, lease: &Lease) -> Result<(), StoreError>;

    /// Waits for what another node has done that this one may have to act on. Never resolves where there is none.
    async fn news(&self) -> News {
        std::future::pending().await
    }

    /// Keeps a consent that was asked for, by the hash of its `state`; forgets those whose time is over.
    async fn put_consent(&self, hash: [u8; 32], consent: &Consent, now: Timestamp) -> Result<(), StoreError>;

    /// Takes a consent out. `None`: there is none, it was taken before, or its time is over.
    async fn take_consent(&self, hash: [u8; 32], now: Timestamp) -> Result<Option<Consent>, StoreError>;

    async fn depths(&self) -> Result<Depths, StoreError>;

    /// Removes receipts that were read and calls that are settled, older than that. Returns how many rows.
    async fn purge(&self, older_than: Timestamp, limit: usize) -> Result<u64, StoreError>;

    /// Whether a write can be made durable now.
    async fn ping(&self) -> Result<Duration, StoreError>;

    /// Finishes what is queued, and closes.
    async fn close(&self);
}
