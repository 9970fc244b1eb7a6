//! A call as the simulation plans it: what is true of it, and when Exotel comes to say so.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

/// A call that takes its course by itself as time passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedCall {
    pub call_sid: String,
    /// Numbers as Exotel gives them: national with a leading 0 (§1.7).
    pub from: String,
    pub to: String,
    /// The ExoPhone; v1 calls it `PhoneNumberSid` (§1.7).
    pub exophone: String,
    /// `inbound`, `outbound-dial` or `outbound-api` (§2.2).
    pub direction: String,
    /// What it comes to: `completed`, `no-answer`, `busy`, `failed`, `canceled` (§2.2).
    pub status: String,
    pub started_at: Timestamp,
    /// None for a call that goes on until it is changed.
    pub ended_at: Option<Timestamp>,
    pub talk_seconds: u64,
    /// Who took it, of those the flow dialled: the second leg. None: the leg is to [`Self::to`].
    pub answered_by: Option<String>,
    pub price: Option<String>,
    pub recording: Option<RecordingPlan>,
    /// What whoever placed it had it carry.
    pub custom_field: Option<String>,
    /// The flow that whoever placed it had it put into.
    pub flow_url: Option<String>,
    /// The voicebot's websocket that whoever placed it had it connected with: it has one leg.
    pub stream_url: Option<String>,
    /// How long after the end `Duration`, `EndTime` and `Price` are filled: 2 to 5 minutes (§5.1).
    pub facts_after_end: Duration,
}

/// A recording, and how long after the end of the call it can be had: "minutes" (§7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingPlan {
    pub available_after_end: Duration,
    pub bytes: Bytes,
}

impl SimulatedCall {
    /// An inbound call that is going on; everything else is set on it.
    pub fn new(
        call_sid: impl Into<String>,
        from: impl Into<String>,
        to: impl Into<String>,
        started_at: Timestamp,
    ) -> Self {
        let to = to.into();
        Self {
            call_sid: call_sid.into(),
            from: from.into(),
            exophone: to.clone(),
            to,
            direction: "inbound".to_owned(),
            status: "completed".to_owned(),
            started_at,
            ended_at: None,
            talk_seconds: 0,
            answered_by: None,
            price: None,
            recording: None,
            custom_field: None,
            flow_url: None,
            stream_url: None,
            facts_after_end: Duration::from_secs(120),
        }
    }

    /// When it ended, if it has by `now`.
    pub(super) fn ended(&self, now: Timestamp) -> Option<Timestamp> {
        self.ended_at.filter(|ended| *ended <= now)
    }

    /// When it ended, if Exotel says so by `now`.
    pub(super) fn told(&self, now: Timestamp) -> Option<Timestamp> {
        self.ended(now).filter(|ended| passed(*ended, self.facts_after_end, now))
    }

    /// The recording, if it can be had by `now`.
    pub(super) fn recorded(&self, now: Timestamp) -> Option<&Bytes> {
        let ended = self.ended(now)?;
        self.recording.as_ref().filter(|plan| passed(ended, plan.available_after_end, now)).map(|plan| &plan.bytes)
    }

    /// Whole seconds from start to end.
    pub(super) fn duration_s(&self, ended: Timestamp) -> u64 {
        u64::try_from(ended.duration_since(self.started_at).as_secs()).unwrap_or(0)
    }
}

fn passed(from: Timestamp, after: Duration, now: Timestamp) -> bool {
    from.checked_add(after).is_ok_and(|at| at <= now)
}
