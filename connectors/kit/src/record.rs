//! The values that go into a CRM and come out of it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Party, PhoneNumber};

/// A record in the CRM: `ticket 42`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordRef {
    pub kind: String,
    pub id: String,
}

impl RecordRef {
    pub fn new(kind: &str, id: impl ToString) -> Self {
        Self { kind: kind.to_owned(), id: id.to_string() }
    }
}

impl fmt::Display for RecordRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

/// A person of the customer's as the CRM knows him.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    pub at: RecordRef,
    pub name: String,
    /// The numbers the CRM holds for him, as stored; the core compares them with what it asked for.
    pub numbers: Vec<String>,
    /// When he was last changed, where the CRM says it; settles which of several matches is taken.
    pub updated_at: Option<Timestamp>,
    /// Whose contact he is: a [`RecordRef`] of kind `agent`, or another kind (`queue`, `group`) that nobody can be
    /// dialled at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<RecordRef>,
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contact({})", self.at)
    }
}

/// A contact to make for a caller nobody knows.
#[derive(Clone, PartialEq, Eq)]
pub struct NewContact {
    /// `None`: the caller withheld his number or has only a SIP address.
    pub number: Option<PhoneNumber>,
    pub name: String,
    /// The same for the same caller, always: makes the creation unique where the CRM has such a field.
    pub external_id: String,
}

impl fmt::Debug for NewContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewContact({:?})", self.number)
    }
}

/// What a call is known by on both sides: Exotel's CallSid.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallKey(pub String);

impl fmt::Display for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Incoming,
    Outgoing,
}

/// How a call ended, as far as its record is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The caller spoke with an agent.
    Answered,
    /// The caller left a voicemail.
    Voicemail,
    /// Agents were tried, none answered, or the caller hung up while it rang.
    Missed,
    /// The flow ended in an IVR or Gather, no agent was tried.
    FlowEnded,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Voicemail => "voicemail",
            Self::Missed => "missed",
            Self::FlowEnded => "flow_ended",
        }
    }
}

/// Keys a caller pressed at one step of the flow, with the name the flow's author gave that step.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Digits {
    pub tag: String,
    pub value: String,
}

/// The keys may be an account number or a PIN.
impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digits({}: {} keys)", self.tag, self.value.len())
    }
}

/// How an attempt to reach one agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriedStatus {
    /// It rings, or how it ended was not heard.
    Unknown,
    Answered,
    NoAnswer,
    Busy,
    Failed,
    Canceled,
}

impl TriedStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Answered => "answered",
            Self::NoAnswer => "no-answer",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// One agent whom the call was put through to.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tried {
    /// Where he was called.
    pub number: Party,
    pub status: TriedStatus,
    pub talk_seconds: Option<u32>,
}

impl fmt::Debug for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tried({:?} {:?})", self.number, self.status)
    }
}

/// A call as its record in the CRM should show it. Texts are composed, escaped and cut by the core.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallActivity {
    pub key: CallKey,
    pub outcome: Outcome,
    pub direction: Direction,
    /// One line of plain text.
    pub subject: String,
    /// In the manifest's text format. Contains the CallSid, by which [`crate::Activities::find`] finds the record.
    pub body: String,
    /// The customer's side.
    pub customer: Party,
    pub exophone: Party,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub talk_seconds: Option<u32>,
    /// From the first ring to the end.
    #[serde(default)]
    pub total_seconds: Option<u32>,
    /// The agents who were tried, in order.
    #[serde(default)]
    pub tried: Vec<Tried>,
    /// Patchbay's own link to the recording. Its path ends in `.mp3`.
    #[serde(default)]
    pub recording_link: Option<String>,
    pub digits: Vec<Digits>,
    /// How it ended in the word of the voicebot that had it, for CRMs with a free disposition.
    #[serde(default)]
    pub disposition: Option<String>,
    pub contact: Option<RecordRef>,
    /// The agent the record is assigned to, where the integration assigns.
    pub agent: Option<RecordRef>,
}

impl CallActivity {
    /// The agent who spoke with the customer, else the last who was tried.
    pub fn agent_number(&self) -> Option<&Party> {
        let answered = self.tried.iter().rev().find(|tried| tried.status == TriedStatus::Answered);
        answered.or(self.tried.last()).map(|tried| &tried.number)
    }
}

impl fmt::Debug for CallActivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallActivity({} {:?})", self.key, self.outcome)
    }
}

/// Which parts of a record differ from what was last written; only these are sent, so that an agent's edits stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    pub subject: bool,
    pub body: bool,
    pub agent: bool,
    /// Whose call it is: it was not known when the record was made.
    pub contact: bool,
    /// Times, durations, agents tried, recording, outcome: for CRMs with fields of their own for them.
    pub facts: bool,
    /// How the call ended is another thing than was written: what follows from it is written again, although people
    /// may change it too (a disposition, a status).
    pub outcome: bool,
}

impl Changed {
    pub fn any(self) -> bool {
        self.subject || self.body || self.agent || self.contact || self.facts || self.outcome
    }

    /// What differs between two versions of a record.
    pub fn between(was: &CallActivity, is: &CallActivity) -> Self {
        Self {
            subject: was.subject != is.subject,
            body: was.body != is.body,
            agent: was.agent != is.agent && is.agent.is_some(),
            contact: was.contact != is.contact && is.contact.is_some(),
            facts: was.outcome != is.outcome
                || was.started_at != is.started_at
                || was.ended_at != is.ended_at
                || was.talk_seconds != is.talk_seconds
                || was.total_seconds != is.total_seconds
                || was.tried != is.tried
                || was.recording_link != is.recording_link
                || was.digits != is.digits,
            // Whether a missed call rang anybody is part of it.
            outcome: was.outcome != is.outcome
                || (is.outcome == Outcome::Missed && was.tried != is.tried)
                || was.disposition != is.disposition,
        }
    }
}

/// A record's text as it stands in the CRM, with whatever people have written into it.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

/// A remark on a call's record, seen by agents only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub key: CallKey,
    /// In the manifest's text format; contains the CallSid, by which [`crate::Notes::find`] finds the note.
    pub body: String,
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Note({}, {} bytes)", self.key, self.body.len())
    }
}

/// Where a call stands that an agent is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Ringing,
    Answered,
    Ended,
}

/// A call as the agent whom it rings is to see it, now.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Popup {
    pub key: CallKey,
    pub phase: Phase,
    pub direction: Direction,
    /// The customer's side.
    pub customer: Party,
    pub exophone: Party,
    /// Where the agent is called.
    pub agent_number: Party,
    /// The agent in the CRM, by the user mapping or his e-mail address.
    pub agent: Option<RecordRef>,
    /// The caller's contact, where he was met before.
    pub contact: Option<RecordRef>,
    pub started_at: Option<Timestamp>,
    pub talk_seconds: Option<u32>,
}

impl fmt::Debug for Popup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Popup({} {:?})", self.key, self.phase)
    }
}

/// What is to be done after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowUpKind {
    Task,
    Call,
    Event,
    Ticket,
}

impl FollowUpKind {
    pub const ALL: [Self; 4] = [Self::Task, Self::Call, Self::Event, Self::Ticket];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Call => "call",
            Self::Event => "event",
            Self::Ticket => "ticket",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A task, planned call, appointment or ticket that follows from a call: one per call.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowUp {
    pub key: CallKey,
    pub kind: FollowUpKind,
    /// One line of plain text.
    pub subject: String,
    /// In the manifest's text format; contains the CallSid, by which [`crate::FollowUps::find`] finds it.
    pub body: String,
    pub due_at: Timestamp,
}

impl fmt::Debug for FollowUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FollowUp({} {:?})", self.key, self.kind)
    }
}

/// A human who answers calls, as the CRM lists him.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// By what records are assigned to him.
    pub at: RecordRef,
    pub name: String,
    pub email: Option<String>,
    /// His phone numbers, as stored.
    pub numbers: Vec<String>,
    pub active: bool,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Agent({}, active: {})", self.at, self.active)
    }
}

/// Who should take a caller's calls, as the CRM says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub at: Option<RecordRef>,
    /// Where he is reached, likeliest first, as stored.
    pub numbers: Vec<String>,
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({} numbers)", self.numbers.len())
    }
}

/// Something of a contact's that is open.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    pub at: RecordRef,
    /// What people call it by, where that is not its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    pub subject: String,
    /// In the CRM's words.
    pub status: String,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.at)
    }
}

/// Where the next page starts, in the connector's own terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<Cursor>,
}

/// Whose credentials these are, in words for `patchbay check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub account: String,
}
