//! Who told of which call, side by side with where its records stand: what is asked, and what is counted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use patchbay_kit::{Outcome, RecordRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DeliveryState;
use crate::call::{SeenBy, shape};

/// A stretch of time, its end outside of it. Without an end it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

impl Span {
    /// In milliseconds, its end outside of it.
    pub(super) fn ms(self) -> (i64, i64) {
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
    pub(super) fn told(&self) -> (Option<bool>, Option<bool>) {
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
