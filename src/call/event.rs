//! What one receipt says of a call, in one form, so that nothing behind it asks which door it came through.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use patchbay_kit::{Digits, Direction, RecordRef, mask};

use super::{
    bot::BotSession,
    person::{FollowUpWish, Order},
    placed::BotWish,
    route::Routed,
};

/// Identity of an event: a hash over what it says (hook, CallSid, leg, type, agent, statuses, digits, recording), never
/// over the CallSid alone and never over when it was received. The same callback sent twice is one event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub uuid::Uuid);

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The sort of event. Open: what is not known is kept as [`EventKind::Other`], never an error.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Popup `Dial`: an agent is being dialled.
    Dialing,
    /// Popup `Ringing`.
    Ringing,
    /// Popup `Answered`: an agent has taken the call.
    Answered,
    /// Popup `Terminal`: this agent's attempt is over, for whatever reason.
    AttemptEnded,
    /// Passthru `answered` or `automated_answered`, after the conversation.
    Completed,
    /// Passthru `missed`.
    Missed,
    /// Passthru `ivr` or `gather`.
    Gathered,
    /// Passthru `end`.
    FlowEnded,
    /// Passthru `voicemail`.
    Voicemail,
    /// Exotel has placed the call for somebody's click; nobody has been reached yet.
    Placed,
    /// A StatusCallback.
    StatusChanged,
    /// Exotel's answer to a question for call details.
    Detailed,
    /// Exotel's own list of calls has it.
    Listed,
    /// A Connect applet asked whom to dial: the call is there, and nothing more is said of it.
    DialWhom,
    /// What an applet was told: written by Patchbay itself.
    Routed,
    /// A voicebot took the call: Exotel has connected to the bridge.
    BotStarted,
    /// What was said between the caller and the voicebot, or done, since it was told last.
    BotSaid,
    /// The voicebot's part of the call is over.
    BotEnded,
    /// A person chose the CRM object that this call belongs to.
    Associated,
    /// A person wants something done after this call.
    FollowUpAsked,
    /// A person has Exotel do something with the call while it goes on.
    Ordered,
    Other(String),
}

/// By which way a call came to be known: what the ledger sets side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeenBy {
    /// Exotel called a hook.
    Callback,
    /// Exotel's list of calls has it.
    List,
    /// We had it placed.
    Click,
}

impl SeenBy {
    pub const ALL: [Self; 3] = [Self::Callback, Self::List, Self::Click];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Callback => "callback",
            Self::List => "list",
            Self::Click => "click",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.as_str() == text)
    }
}

impl EventKind {
    /// By which way this tells of the call. What we or a person asked or said of a call that is known tells of none.
    pub fn seen_by(&self) -> Option<SeenBy> {
        match self {
            Self::Listed => Some(SeenBy::List),
            Self::Placed => Some(SeenBy::Click),
            Self::Detailed | Self::Routed | Self::Associated | Self::FollowUpAsked | Self::Ordered => None,
            Self::Dialing
            | Self::Ringing
            | Self::Answered
            | Self::AttemptEnded
            | Self::Completed
            | Self::Missed
            | Self::Gathered
            | Self::FlowEnded
            | Self::Voicemail
            | Self::StatusChanged
            | Self::DialWhom
            | Self::BotStarted
            | Self::BotSaid
            | Self::BotEnded
            | Self::Other(_) => Some(SeenBy::Callback),
        }
    }
}

/// How an attempt to reach an agent stands. Ordered by how far it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptStatus {
    Dialing,
    Ringing,
    /// Over without a conversation.
    NotAnswered,
    Answered,
}

/// The applet that took the digits of a [`EventKind::Gathered`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyedAt {
    Ivr,
    Gather,
}

/// One attempted leg, as `Legs` in a passthru says it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Leg {
    pub number: Option<String>,
    pub on_call_seconds: Option<u32>,
    pub ringing_seconds: Option<u32>,
    pub status: Option<String>,
    pub cause: Option<String>,
    pub cause_code: Option<String>,
    pub disconnected_by: Option<String>,
    pub answered_by: Option<String>,
    pub amd_cause: Option<String>,
}

impl fmt::Debug for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leg")
            .field("number", &self.number.as_deref().map(mask::number))
            .field("on_call_seconds", &self.on_call_seconds)
            .field("status", &self.status)
            .field("cause", &self.cause)
            .finish_non_exhaustive()
    }
}

/// What an event states. Every field that Exotel left out, sent empty, as `null` or as a placeholder is `None`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    pub direction: Option<Direction>,
    /// The customer's side, as Exotel wrote it (`09052161119`, `sip:alice`).
    pub customer: Option<String>,
    /// The ExoPhone, as Exotel wrote it.
    pub exophone: Option<String>,
    /// The agent this event is about (`DialWhomNumber`).
    pub agent: Option<String>,
    pub agent_email: Option<String>,
    pub call_status: Option<String>,
    pub dial_call_status: Option<String>,
    pub call_type: Option<String>,
    /// The ticket is to be marked as made automatically (`event=automated_answered`).
    pub automatic: bool,
    pub legs: Vec<Leg>,
    /// What was keyed in at this step, under the step's tag. Where the flow's author gave it none the tag is empty: the
    /// fold, which alone knows all steps, numbers those.
    pub digits: Vec<Digits>,
    pub keyed_at: Option<KeyedAt>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// `DialCallDuration`: ringing and talking of the second leg.
    pub dial_seconds: Option<u32>,
    /// `ConversationDuration`: talking alone.
    pub conversation_seconds: Option<u32>,
    /// `Duration` of call details: the whole call.
    pub total_seconds: Option<u32>,
    /// Only when its host is one of Exotel's.
    pub recording_url: Option<String>,
    /// A recording URL was there and its host is not one of Exotel's: it was dropped. Host only.
    pub refused_recording_host: Option<String>,
    pub custom_field: Option<String>,
    pub disconnected_by: Option<String>,
    /// `Stream[…]` of a voicebot applet, but for its addresses.
    pub stream: BTreeMap<String, String>,
    /// Of that stream, on the terms of `recording_url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_recording_url: Option<String>,
    /// We had the call placed for this voicebot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placed_for_bot: Option<BotWish>,
    /// Of what a person asked: which integration it is about, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integration: Option<String>,
    /// … the CRM object he chose, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<RecordRef>,
    /// … what he wants done, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow_up: Option<FollowUpWish>,
    /// … what he has Exotel do with the call, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// … and who he is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    /// What an applet was told, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routed: Option<Routed>,
    /// Which voicebot had the caller, and how that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bot: Option<BotSession>,
    /// Everything else the request said, so that nothing is lost to a field that Exotel adds.
    pub other: BTreeMap<String, String>,
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("direction", &self.direction)
            .field("customer", &self.customer.as_deref().map(mask::number))
            .field("agent", &self.agent.as_deref().map(mask::number))
            .field("dial_call_status", &self.dial_call_status)
            .field("legs", &self.legs)
            .finish_non_exhaustive()
    }
}

/// One thing that happened to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallEvent {
    pub id: EventId,
    pub call_sid: String,
    pub kind: EventKind,
    /// By Exotel's clock (`CurrentTime`, `EventTime`, `DateUpdated`); what order there is comes from this.
    pub at: Option<Timestamp>,
    pub received_at: Timestamp,
    pub facts: Facts,
}
