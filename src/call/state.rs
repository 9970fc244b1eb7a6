//! What a call is, as far as its events say: a fold that does not care about their order or number.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use patchbay_kit::{Digits, Direction, Outcome, mask};

use super::event::{AttemptStatus, CallEvent};

/// One agent who was tried.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentAttempt {
    pub agent: String,
    pub email: Option<String>,
    pub status: AttemptStatus,
    pub talk_seconds: Option<u32>,
    pub cause: Option<String>,
}

impl fmt::Debug for AgentAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentAttempt({} {:?})", mask::number(&self.agent), self.status)
    }
}

/// A call, folded from its events. The same events give the same state, in any order, however often each is repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallState {
    pub call_sid: String,
    pub direction: Direction,
    /// As Exotel wrote it. `None`: withheld, or not said yet.
    pub customer: Option<String>,
    pub exophone: Option<String>,
    pub started_at: Option<Timestamp>,
    /// Only call details and status callbacks know it; applets send a placeholder.
    pub ended_at: Option<Timestamp>,
    /// In the order they were tried.
    pub attempts: Vec<AgentAttempt>,
    /// In the order they were keyed in.
    pub digits: Vec<Digits>,
    pub talk_seconds: Option<u32>,
    pub total_seconds: Option<u32>,
    pub recording_url: Option<String>,
    /// `None` until it is known: the call may still go on.
    pub outcome: Option<Outcome>,
    /// The record is marked as made automatically.
    pub automatic: bool,
    /// Exotel's call details said that the call is over.
    pub over: bool,
    pub custom_field: Option<String>,
    /// Distinct events folded.
    pub events: u32,
}

impl CallState {
    /// Folds events of one call. `None` when there are none.
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a CallEvent>) -> Option<Self> {
        let _ = events.into_iter().count();
        unimplemented!()
    }

    /// The agent who spoke with the caller.
    pub fn answered_by(&self) -> Option<&AgentAttempt> {
        self.attempts.iter().rev().find(|attempt| attempt.status == AttemptStatus::Answered)
    }

    /// Whether there is nothing left to ask Exotel for: recording (where there was a conversation or a voicemail),
    /// duration and end are known.
    pub fn complete(&self) -> bool {
        unimplemented!()
    }
}
