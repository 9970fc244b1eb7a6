//! What a CRM is to be made to say, as rows: a delivery, its attempts, and the record that came of it.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use patchbay_kit::{CallActivity, Contact, FollowUp, Note, RecordRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::call::{Content, IntentKind};

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
