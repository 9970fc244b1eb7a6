//! The truth: receipts, calls, deliveries, links. The only SQL of Patchbay is below this module.

mod click;
mod directory;
mod documents;
mod lease;
mod postgres;
mod sqlite;
#[cfg(test)]
mod suite;

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use patchbay_kit::{CallActivity, Contact, FollowUp, Note, Outcome, RecordRef};

use crate::call::{CallEvent, CallState, Content, Intent, IntentKind, Receipt, SeenBy, plan::Enquiry, shape};

pub use click::{Click, ClickFilter, ClickState, ClickStep, Clicks, Kept};
pub use directory::{
    AuditEntry, AuditFilter, Audited, Change, Directory, Document, DocumentKind, DocumentRef, SealedAt, Writing,
};
pub use lease::{Duty, Lease, Node, Term};
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Waits for its turn, or for `due_at`.
    Pending,
    /// Taken by a lane; a request may be on its way.
    Inflight,
    Done,
    /// A human must change something first; `reason` says what.
    Held,
    /// Given up by age or count.
    Dead,
    /// No longer wanted.
    Superseded,
}

impl DeliveryState {
    pub const ALL: [Self; 6] = [Self::Pending, Self::Inflight, Self::Done, Self::Held, Self::Dead, Self::Superseded];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Inflight => "inflight",
            Self::Done => "done",
            Self::Held => "held",
            Self::Dead => "dead",
            Self::Superseded => "superseded",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// One thing a CRM is to be made to say, and how far that has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    pub id: Uuid,
    pub account: String,
    pub integration: String,
    pub call_sid: String,
    pub kind: IntentKind,
    /// Grows with every change of `content`.
    pub revision: i64,
    pub content: Content,
    pub state: DeliveryState,
    pub reason: Option<String>,
    pub due_at: Timestamp,
    /// Tries that count against the schedule.
    pub attempts: u32,
    /// An earlier create may have left a record behind: look for it before creating.
    pub probe: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// One integration's stream of deliveries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LaneRef {
    pub account: String,
    pub integration: String,
}

impl fmt::Display for LaneRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.integration)
    }
}

/// The CRM record that stands for a call, or for its note, and what was last written to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    pub at: RecordRef,
    pub written: Written,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Written {
    Log(Box<CallActivity>),
    Recording(Note),
    FollowUp(FollowUp),
}

/// Whose turn it is among a lane's deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Turn {
    /// Of calls of now, those of this kind.
    Now(IntentKind),
    /// Of calls of the past, all; none while one of a call of now is due.
    Backfill,
}

impl Turn {
    pub const ALL: [Self; 4] =
        [Self::Now(IntentKind::Log), Self::Now(IntentKind::Recording), Self::Now(IntentKind::FollowUp), Self::Backfill];
}

/// A delivery taken by a lane, with what is already in the CRM for its call.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    pub delivery: Delivery,
    pub links: BTreeMap<IntentKind, Link>,
    /// This lane's contact for the caller's `external_id`, if one is known. Only looked up for [`IntentKind::Log`].
    pub contact: Option<Contact>,
}

/// How one try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    Delivered,
    /// The CRM said exactly this already.
    Unchanged,
    Retry,
    /// Put off by a limit, an open breaker or a shutdown; costs no attempt.
    Postponed,
    /// The reply was lost after a create may have been carried out.
    Ambiguous,
    Held,
    Dead,
}

impl AttemptOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Unchanged => "unchanged",
            Self::Retry => "retry",
            Self::Postponed => "postponed",
            Self::Ambiguous => "ambiguous",
            Self::Held => "held",
            Self::Dead => "dead",
        }
    }
}

/// One HTTP exchange of an attempt, redacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExchangeLog {
    pub label: String,
    /// `None`: no reply.
    pub status: Option<u16>,
    pub ms: u64,
    /// What went wrong, masked and cut; empty when nothing did.
    pub error: String,
}

/// One try at a delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub at: Timestamp,
    pub revision: i64,
    pub outcome: AttemptOutcome,
    pub remote_code: Option<String>,
    pub detail: String,
    pub duration_ms: u64,
    pub exchanges: Vec<ExchangeLog>,
}

/// What becomes of a delivery after an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Revision delivered; if a newer one was planned meanwhile, it is pending at once.
    Done,
    /// Pending again, due then. `counts`: the attempt counts against the schedule. `probe`: look before creating.
    Again {
        due_at: Timestamp,
        counts: bool,
        probe: bool,
        reason: String,
    },
    Held {
        reason: String,
        probe: bool,
    },
    Dead {
        reason: String,
        probe: bool,
    },
}

/// The outcome of an attempt: written in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    pub delivery: Uuid,
    pub lane: LaneRef,
    pub call_sid: String,
    pub kind: IntentKind,
    pub attempt: Attempt,
    pub next: Next,
    /// A record that exists now; stored under (integration, call, kind).
    pub link: Option<Link>,
    /// A contact found or made; stored under (integration, `external_id`). `Some((id, None))` forgets it.
    pub contact: Option<(String, Option<Contact>)>,
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

/// A stretch of time, its end outside of it. Without an end it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

impl Span {
    /// In milliseconds, its end outside of it.
    fn ms(self) -> (i64, i64) {
        let ms = |at: Option<Timestamp>, none: i64| at.map_or(none, Timestamp::as_millisecond);
        (ms(self.from, i64::MIN), ms(self.to, i64::MAX))
    }
}

/// By whom a call was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerSeen {
    CallbackOnly,
    ListOnly,
    Both,
}

/// Which calls the ledger shows, by when they began. Newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerFilter {
    pub span: Span,
    pub seen: Option<LedgerSeen>,
    /// Whose record is in one of these states in some CRM.
    pub states: Vec<DeliveryState>,
    /// Whose record is not there yet in one of these integrations, for whatever reason.
    pub missing_in: Vec<String>,
    /// Opaque cursor of the page before.
    pub before: Option<String>,
    /// 0: the default of 50.
    pub limit: u32,
}

impl LedgerFilter {
    /// Whether callbacks and whether the list told of the calls that are shown; `None`: either way.
    fn told(&self) -> (Option<bool>, Option<bool>) {
        match self.seen {
            None => (None, None),
            Some(LedgerSeen::CallbackOnly) => (Some(true), Some(false)),
            Some(LedgerSeen::ListOnly) => (Some(false), Some(true)),
            Some(LedgerSeen::Both) => (Some(true), Some(true)),
        }
    }
}

/// Where a call's own record stands in one CRM.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LedgerStanding {
    pub state: DeliveryState,
    pub reason: Option<String>,
    #[schemars(with = "Option<shape::RecordShape>")]
    pub record: Option<RecordRef>,
}

/// One call in the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerEntry {
    pub call_sid: String,
    pub first_by: Option<SeenBy>,
    pub by_callback: bool,
    pub by_list: bool,
    pub began_at: Timestamp,
    pub first_seen_at: Timestamp,
    pub outcome: Option<Outcome>,
    /// By integration; those for which nothing is planned are not in it.
    pub integrations: BTreeMap<String, LedgerStanding>,
}

/// An ExoPhone whose calls only Exotel's list tells of: its flow does not lead here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SilentExoPhone {
    /// As Exotel wrote it.
    pub exophone: String,
    pub calls: u64,
}

/// The ledger of a stretch of time, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerSummary {
    pub calls: u64,
    pub callback_only: u64,
    pub list_only: u64,
    pub both: u64,
    /// Their outcome is not known yet.
    pub open: u64,
    /// Of those answered that callbacks told of, with how many popups came, …
    pub answered: u64,
    pub answered_with_popups: u64,
    /// … and those that Exotel has to enable.
    pub answered_with_ringing: u64,
    /// By integration: calls by the state of their record.
    pub integrations: BTreeMap<String, BTreeMap<DeliveryState, u64>>,
    pub silent_exophones: Vec<SilentExoPhone>,
}

/// How far Exotel's list of calls was compared with what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepCursor {
    /// Older calls are not asked for.
    pub since: Timestamp,
    /// Up to there nothing is missing, but for what came into the list late.
    pub reached: Timestamp,
}

/// Which deliveries to list or to send again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    pub ids: Vec<Uuid>,
    pub states: Vec<DeliveryState>,
    pub integration: Option<String>,
    pub call_sid: Option<String>,
    /// Opaque cursor of the page before.
    pub before: Option<String>,
    /// 0: the default of 50; when sending again, all.
    pub limit: u32,
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
