//! What a call is, as far as its events say: a fold that does not care about their order or number.

mod amd;
mod attempts;
mod bot;
mod outcome;
mod talk;

#[cfg(test)]
mod tests;

use std::{cmp::Reverse, collections::BTreeMap, fmt};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use patchbay_kit::{Digits, Direction, Outcome, RecordRef, mask};

use super::{
    event::{AttemptStatus, CallEvent, EventKind, Facts, KeyedAt, SeenBy},
    person::FollowUpWish,
    phone, shape,
    stream::StreamTold,
};

pub use amd::{Amd, AnsweredBy};
pub use bot::BotPart;

/// One agent who was tried.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// Who told of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Seen {
    /// Who was the first. `None`: nobody that is known of; the call was asked about.
    pub first: Option<SeenBy>,
    pub callback: bool,
    pub list: bool,
    pub popups: SeenPopups,
}

impl Seen {
    fn of(trace: &Trace<'_>) -> Self {
        let told = |by| trace.0.iter().any(|event| event.kind.seen_by() == Some(by));
        let first = trace.0.iter().filter_map(|event| Some((event.received_at, event.kind.seen_by()?))).min();
        let popups = trace.0.iter().map(|event| match event.kind {
            EventKind::Ringing | EventKind::Answered => SeenPopups::Ringing,
            EventKind::Dialing | EventKind::AttemptEnded => SeenPopups::Dialling,
            _ => SeenPopups::None,
        });
        Self {
            first: first.map(|(_, by)| by),
            callback: told(SeenBy::Callback),
            list: told(SeenBy::List),
            popups: popups.max().unwrap_or_default(),
        }
    }

    /// Whether nobody but Exotel's list told of it: its callbacks were lost, or its flow calls nobody.
    pub fn by_list_alone(self) -> bool {
        self.list && !self.callback
    }
}

/// Which popup events came: the later ones are sent only where Exotel has enabled them for the account (exotel-api §4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeenPopups {
    #[default]
    None,
    /// `Dial` or `Terminal`.
    Dialling,
    /// `Ringing` or `Answered`.
    Ringing,
}

/// A call, folded from its events. The same events give the same state, in any order, however often each is repeated.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallState {
    pub call_sid: String,
    #[schemars(with = "shape::DirectionShape")]
    pub direction: Direction,
    /// As Exotel wrote it. `None`: withheld, or not said yet.
    pub customer: Option<String>,
    pub exophone: Option<String>,
    pub started_at: Option<Timestamp>,
    /// When the first of its events came in.
    #[serde(default)]
    pub first_heard_at: Option<Timestamp>,
    /// Only call details and status callbacks know it; applets send a placeholder.
    pub ended_at: Option<Timestamp>,
    /// In the order they were tried.
    pub attempts: Vec<AgentAttempt>,
    /// The agent for whom the call was placed, as he is among the attempts.
    #[serde(default)]
    pub placed_for: Option<String>,
    /// In the order they were keyed in.
    #[schemars(with = "Vec<shape::DigitsShape>")]
    pub digits: Vec<Digits>,
    pub talk_seconds: Option<u32>,
    pub total_seconds: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub recording_url: Option<String>,
    /// `None` until it is known: the call may still go on.
    #[schemars(with = "Option<shape::OutcomeShape>")]
    pub outcome: Option<Outcome>,
    /// The record is marked as made automatically.
    pub automatic: bool,
    /// Exotel's call details said that the call is over.
    pub over: bool,
    /// Exotel's list of calls said so. It says nothing of who spoke with whom.
    #[serde(default)]
    pub listed_over: bool,
    #[serde(default)]
    pub seen: Seen,
    pub custom_field: Option<String>,
    /// Where Exotel listened whether a human or a machine answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amd: Option<Amd>,
    /// What voicebots were to it, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot: Option<BotPart>,
    /// What Exotel says of their streams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamTold>,
    /// By integration: the CRM object that a person chose for this call. The latest choice counts.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, shape::RecordShape>")]
    pub choices: BTreeMap<String, RecordRef>,
    /// By integration: what a person wants done after this call. The latest wish counts.
    #[serde(default)]
    pub follow_ups: BTreeMap<String, FollowUpWish>,
    /// What voicebots and the caller said and did, session by session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub talks: Vec<BotTalk>,
    /// Distinct events folded.
    pub events: u32,
}

/// Numbers are masked, and what the caller keyed in is not shown.
impl fmt::Debug for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallState")
            .field("call_sid", &self.call_sid)
            .field("direction", &self.direction)
            .field("customer", &self.customer.as_deref().map(mask::number))
            .field("started_at", &self.started_at)
            .field("ended_at", &self.ended_at)
            .field("attempts", &self.attempts)
            .field("digits", &self.digits)
            .field("talk_seconds", &self.talk_seconds)
            .field("total_seconds", &self.total_seconds)
            .field("recording", &self.recording_url.is_some())
            .field("outcome", &self.outcome)
            .field("automatic", &self.automatic)
            .field("over", &self.over)
            .field("seen", &self.seen)
            .field("amd", &self.amd)
            .field("bot", &self.bot)
            .field("streams", &self.streams)
            .field("choices", &self.choices)
            .field("follow_ups", &self.follow_ups)
            .field("talks", &self.talks)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

pub(super) use attempts::placed_for;
pub use talk::BotTalk;

/// Whether this event says that the whole call is over.
pub(super) fn says_over(event: &CallEvent) -> bool {
    let told = matches!(event.kind, EventKind::StatusChanged | EventKind::Detailed | EventKind::Listed);
    told && event.facts.call_status.as_deref().is_some_and(|said| outcome::ended(said).is_some())
}

/// Who says it. Later ones know better how a call ended; earlier ones wrote the numbers as the agent knows them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Voice {
    /// Of a leg of its own or something unknown: heard only where nobody else speaks.
    Other,
    Popup,
    Passthru,
    /// Exotel's list: what REST knows, without the legs.
    Listed,
    Status,
    Details,
}

fn voice(kind: &EventKind) -> Voice {
    match kind {
        EventKind::Dialing | EventKind::Ringing | EventKind::Answered | EventKind::AttemptEnded => Voice::Popup,
        EventKind::Completed
        | EventKind::Missed
        | EventKind::Gathered
        | EventKind::FlowEnded
        | EventKind::Voicemail => Voice::Passthru,
        EventKind::StatusChanged | EventKind::Placed => Voice::Status,
        EventKind::Listed => Voice::Listed,
        EventKind::Detailed => Voice::Details,
        EventKind::DialWhom
        | EventKind::Routed
        | EventKind::BotStarted
        | EventKind::BotSaid
        | EventKind::BotEnded
        | EventKind::Associated
        | EventKind::FollowUpAsked
        | EventKind::Ordered
        | EventKind::Other(_) => Voice::Other,
    }
}

/// The events of one call: each once, in order of what Exotel's clock says, never of arrival.
struct Trace<'a>(Vec<&'a CallEvent>);

impl<'a> Trace<'a> {
    fn of(events: impl IntoIterator<Item = &'a CallEvent>) -> Self {
        let mut events: Vec<&CallEvent> = events.into_iter().collect();
        // Of one event heard twice, the first hearing stays.
        let order = |event: &&CallEvent| (event.at, event.kind.clone(), event.id, event.received_at);
        events.sort_by_cached_key(order);
        let mut seen = std::collections::BTreeSet::new();
        events.retain(|event| seen.insert(event.id));
        Self(events)
    }

    fn said<T>(&self, fact: impl Fn(&'a Facts) -> Option<T>) -> impl Iterator<Item = (Voice, usize, T)> {
        self.0
            .iter()
            .enumerate()
            .filter_map(move |(at, event)| fact(&event.facts).map(|value| (voice(&event.kind), at, value)))
    }

    /// What the best informed voice said last.
    fn latest<T>(&self, fact: impl Fn(&'a Facts) -> Option<T>) -> Option<T> {
        self.said(fact).max_by_key(|(voice, at, _)| (*voice, *at)).map(|(_, _, value)| value)
    }

    /// What was said first, applets before REST: numbers and start do not change once a record shows them.
    fn first<T>(&self, fact: impl Fn(&'a Facts) -> Option<T>) -> Option<T> {
        let order = |voice| match voice {
            Voice::Passthru => 0,
            Voice::Popup => 1,
            Voice::Status => 2,
            Voice::Listed => 3,
            Voice::Details => 4,
            Voice::Other => 5,
        };
        self.said(fact).min_by_key(|(voice, at, _)| (order(*voice), *at)).map(|(_, _, value)| value)
    }
}

impl CallState {
    /// Folds events of one call. `None` when there are none.
    ///
    /// A fact that is not there never replaces one that is; of end, durations and status, call details and status
    /// callbacks know better than applets.
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a CallEvent>) -> Option<Self> {
        let trace = Trace::of(events);
        let first = trace.0.first()?;
        let over = outcome::over(&trace);
        let mut attempts = attempts::of(&trace);
        let digits = digits(&trace);
        let outcome = outcome::of(&trace, &attempts, !digits.is_empty());
        if outcome == Some(Outcome::Answered) {
            attempts::settle_answered(&mut attempts);
        }
        let streams = bot::streams(&trace);
        let bot = bot::part(&trace, &streams, over);
        let talk_seconds = talk_seconds(&trace, &attempts, outcome, bot.as_ref());
        let direction = trace.latest(|facts| facts.direction).unwrap_or(Direction::Incoming);
        let attempts: Vec<AgentAttempt> = attempts.into_iter().map(|tried| tried.attempt).collect();
        let among = |agent: &&String| attempts.iter().any(|attempt| phone::same(&attempt.agent, agent));
        Some(Self {
            call_sid: first.call_sid.clone(),
            direction,
            customer: trace.first(|facts| facts.customer.clone()),
            exophone: trace.first(|facts| facts.exophone.clone()),
            started_at: trace.first(|facts| facts.started_at),
            first_heard_at: trace.0.iter().map(|event| event.received_at).min(),
            ended_at: trace.latest(|facts| facts.ended_at),
            placed_for: trace.0.iter().filter_map(|event| attempts::placed_for(event)).find(among).cloned(),
            attempts,
            digits,
            talk_seconds,
            total_seconds: trace.latest(|facts| facts.total_seconds),
            recording_url: trace
                .latest(|facts| facts.recording_url.clone())
                .or_else(|| trace.latest(|facts| facts.stream_recording_url.clone())),
            outcome,
            automatic: trace.0.iter().any(|event| event.facts.automatic),
            over,
            listed_over: outcome::listed_over(&trace),
            seen: Seen::of(&trace),
            custom_field: trace.latest(|facts| facts.custom_field.clone()),
            amd: amd::of(&trace),
            bot,
            streams,
            choices: asked(&trace, |facts| facts.chosen.clone()),
            follow_ups: asked(&trace, |facts| facts.follow_up.clone()),
            talks: talk::of(&trace),
            events: u32::try_from(trace.0.len()).unwrap_or(u32::MAX),
        })
    }

    /// The agent who spoke with the caller.
    pub fn answered_by(&self) -> Option<&AgentAttempt> {
        self.attempts.iter().rev().find(|attempt| attempt.status == AttemptStatus::Answered)
    }

    /// The agent whose call it is: who spoke with the customer, else who had it placed.
    pub fn agent(&self) -> Option<&AgentAttempt> {
        let placed = || {
            let agent = self.placed_for.as_deref()?;
            self.attempts.iter().find(|attempt| phone::same(&attempt.agent, agent))
        };
        self.answered_by().or_else(placed)
    }

    /// Whether there is nothing left to ask Exotel for: recording (where there was a conversation or a voicemail),
    /// duration and end are known.
    pub fn complete(&self) -> bool {
        let times = self.over && self.ended_at.is_some() && self.total_seconds.is_some();
        times
            && match self.outcome {
                Some(Outcome::Answered) => self.talk_seconds.is_some() && self.recording_url.is_some(),
                Some(Outcome::Voicemail) => self.recording_url.is_some(),
                Some(Outcome::Missed | Outcome::FlowEnded) => true,
                None => false,
            }
    }

    /// The outcome as far as it can be told when nothing more will be heard: the details stayed half empty, or Exotel
    /// never knew of the call it had told of. A call that was heard of must not stay without a record.
    pub(super) fn final_outcome(&self) -> Outcome {
        self.outcome.unwrap_or_else(|| {
            let with_bot = self.attempts.is_empty() && self.bot.as_ref().is_some_and(|bot| bot.spoke);
            if with_bot || self.answered_by().is_some() {
                Outcome::Answered
            } else if self.attempts.is_empty() && (self.over || self.listed_over || !self.digits.is_empty()) {
                Outcome::FlowEnded
            } else {
                Outcome::Missed
            }
        })
    }
}

/// What people asked for, by integration: of several the last, by when it was asked.
fn asked<T>(trace: &Trace<'_>, fact: impl Fn(&Facts) -> Option<T>) -> BTreeMap<String, T> {
    let facts = trace.0.iter().map(|event| &event.facts);
    facts.filter_map(|facts| Some((facts.integration.clone()?, fact(facts)?))).collect()
}

/// What was keyed in, step by step. A step without a tag gets its number among the untagged ones of its kind: the first
/// untagged IVR is `ivr_tag_1` (seed 003, "Screenshots of tickets with IVR and Gather inputs").
fn digits(trace: &Trace<'_>) -> Vec<Digits> {
    let mut untagged = [0_u32; 2];
    let mut keyed: Vec<Digits> = Vec::new();
    for event in trace.0.iter().filter(|event| event.kind == EventKind::Gathered) {
        for step in &event.facts.digits {
            keyed.push(tagged(step, event.facts.keyed_at, &mut untagged));
        }
    }
    // The passthru at the end repeats the last step; it is news only if that step's own passthru was lost.
    for event in trace.0.iter().filter(|event| event.kind == EventKind::FlowEnded) {
        for step in &event.facts.digits {
            if !keyed.iter().any(|known| known.value == step.value) {
                keyed.push(tagged(step, event.facts.keyed_at, &mut untagged));
            }
        }
    }
    keyed
}

fn tagged(step: &Digits, keyed_at: Option<KeyedAt>, untagged: &mut [u32; 2]) -> Digits {
    if !step.tag.is_empty() {
        return step.clone();
    }
    let (name, count) = match keyed_at {
        Some(KeyedAt::Ivr) => ("ivr_tag", &mut untagged[0]),
        Some(KeyedAt::Gather) | None => ("gather_tag", &mut untagged[1]),
    };
    *count += 1;
    Digits { tag: format!("{name}_{count}"), value: step.value.clone() }
}

/// How long they talked: as details say, else the status callback, else the answered leg, else the time of dialling and
/// talking together. A zero is believed only where nobody knows better: details carry it until they are filled in
/// (exotel-api §5.1).
fn talk_seconds(
    trace: &Trace<'_>,
    attempts: &[attempts::Tried],
    outcome: Option<Outcome>,
    bot: Option<&BotPart>,
) -> Option<u32> {
    let mut said: Vec<_> = trace
        .said(|facts| facts.conversation_seconds)
        .map(|(voice, at, seconds)| (Reverse(voice), Reverse(at), seconds))
        .collect();
    said.sort_unstable();
    let said: Vec<u32> = said.into_iter().map(|(_, _, seconds)| seconds).collect();
    if outcome != Some(Outcome::Answered) {
        return said.first().copied();
    }
    // How long a leg beside the list was up may count from when it was rung: how long they talked the details say.
    let heard = || trace.0.iter().any(|event| voice(&event.kind) != Voice::Listed && !event.facts.legs.is_empty());
    let leg = || {
        if !heard() {
            return None;
        }
        let answered = attempts.iter().rev().find(|tried| tried.attempt.status == AttemptStatus::Answered);
        answered.and_then(|tried| tried.attempt.talk_seconds)
    };
    let dialled = || trace.latest(|facts| facts.dial_seconds);
    said.iter()
        .copied()
        .find(|seconds| *seconds > 0)
        .or_else(|| leg().filter(|seconds| *seconds > 0))
        .or_else(|| dialled().filter(|seconds| *seconds > 0))
        .or_else(|| bot.filter(|bot| bot.spoke)?.seconds)
        .or_else(|| said.first().copied())
}
