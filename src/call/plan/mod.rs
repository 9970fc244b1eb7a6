//! What each CRM should now be made to say, and what is still to be asked of Exotel.
//!
//! # What follows from a call
//!
//! A missed call or a voicemail is planned a follow-up (task, call, event, ticket) where the connector makes one and
//! its settings say so; anybody may ask for one of any call. It is a delivery like the others, behind the record it
//! belongs to.

mod enquiry;

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use patchbay_kit::{
    CallActivity, CallKey, Direction, FollowUp, FollowUpKind, Manifest, Note, Outcome, PhoneNumber, RecordRef, Tried,
    TriedStatus, mask,
};

use super::{
    compose::{Texts, UNKNOWN_CALLER, shown_number},
    event::AttemptStatus,
    mapping::UserMapping,
    phone,
    state::{AgentAttempt, CallState},
};

pub use enquiry::{Enquiry, enquire};

/// Of intents' ids; a change of it would write every open call once more.
const NAMESPACE: Uuid = uuid::uuid!("0c6a3c8e-2c0b-4f0d-8f0e-5d6c1f3f7a11");
/// Characters of an `external_id` and of a new contact's name: CRMs give such fields 255 at most.
const MAX_EXTERNAL: usize = 120;

/// What sort of record an intent is about. Ordered: of one call, the earlier must be settled before the later starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentKind {
    /// The call's record itself.
    Log,
    /// Recording and duration, on the record.
    Recording,
    /// What is to be done after the call.
    FollowUp,
}

impl IntentKind {
    pub const ALL: [Self; 3] = [Self::Log, Self::Recording, Self::FollowUp];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Recording => "recording",
            Self::FollowUp => "follow_up",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Whom the record is about, before a contact is found for him.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// `None`: withheld, or a SIP address.
    pub number: Option<PhoneNumber>,
    /// Name of a contact that has to be made: the number as Exotel wrote it, or `Unknown caller`.
    pub name: String,
    /// The same for the same caller, always; becomes `NewContact::external_id`.
    pub external_id: String,
}

impl Caller {
    /// The external id of whoever has this number.
    pub fn id_of(number: &PhoneNumber) -> String {
        format!("exotel:{}", number.e164)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({:?})", self.number)
    }
}

/// The agent whose call it is, before a CRM user is found for him.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentHint {
    /// From the user mapping.
    pub crm_user: Option<String>,
    pub email: Option<String>,
}

impl fmt::Debug for AgentHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentHint(mapped: {})", self.crm_user.is_some())
    }
}

/// A call's record as it should be; contact and agent are found when it is delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogContent {
    pub activity: CallActivity,
    pub caller: Caller,
    pub agent: Option<AgentHint>,
    /// The contact (lead, deal …) that a person chose for this call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<RecordRef>,
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    Log(Box<LogContent>),
    Recording(Note),
    FollowUp(FollowUp),
}

/// One thing a CRM should now be made to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// uuid5 over account, integration, call and kind: planning again gives the same id.
    pub id: Uuid,
    pub integration: String,
    pub kind: IntentKind,
    pub content: Content,
}

/// What planning for one integration depends on.
#[derive(Clone)]
pub struct IntegrationRules {
    pub name: String,
    pub manifest: &'static Manifest,
    /// The connector has [`patchbay_kit::Notes`]: recording and duration become a note, else part of the record.
    pub notes: bool,
    /// The connector has [`patchbay_kit::Popups`].
    pub popups: bool,
    /// The connector has [`patchbay_kit::Updates`]: else a call is written once, when all is known of it.
    pub updates: bool,
    /// What a missed call or a voicemail gets by itself.
    pub follow_up: Option<FollowUpKind>,
    /// What can follow from a call here.
    pub follow_up_kinds: &'static [FollowUpKind],
    /// Of the customer's number only the end is shown.
    pub mask_numbers: bool,
    /// Records are assigned to the answering agent.
    pub assign: bool,
    pub texts: Arc<Texts>,
}

impl fmt::Debug for IntegrationRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntegrationRules")
            .field("name", &self.name)
            .field("connector", &self.manifest.id)
            .field("notes", &self.notes)
            .field("assign", &self.assign)
            .finish_non_exhaustive()
    }
}

/// What planning for one account depends on.
#[derive(Clone)]
pub struct PlanRules {
    pub account: String,
    pub country: String,
    pub integrations: Vec<IntegrationRules>,
    /// Patchbay's own signed link to a call's recording.
    pub recording_link: Arc<dyn Fn(&str) -> String + Send + Sync>,
    /// When, after the call's end became known, its details are asked for, until they are complete.
    pub enquiry_schedule: Arc<[Duration]>,
}

impl fmt::Debug for PlanRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanRules").field("account", &self.account).finish_non_exhaustive()
    }
}

/// Plans for a call: all intents that now hold, in order of kind. A call whose outcome is not known yet has none.
/// `agents` is the user mapping as it is now.
///
/// `asked` is the number of questions for details that the schedule has used up, so that a note does not wait for a
/// recording that will not come.
pub fn plan(state: &CallState, rules: &PlanRules, agents: &UserMapping, asked: usize) -> Vec<Intent> {
    let exhausted = asked >= rules.enquiry_schedule.len();
    // Details that stay half empty for good must not hide the call.
    let outcome = if exhausted { Some(state.final_outcome()) } else { state.outcome };
    let Some(outcome) = outcome else { return Vec::new() };
    let call = Settled {
        outcome,
        noted: noted(state, outcome, exhausted),
        last: exhausted || state.complete(),
        link: state.recording_url.as_ref().map(|_| (rules.recording_link)(&state.call_sid)),
    };
    let mut planned: Vec<Intent> = Vec::new();
    for integration in &rules.integrations {
        // Where only the end of a number is shown, it is so in every text and every field; the contact keeps it whole.
        let masked = integration.mask_numbers.then(|| masked(state));
        let shown = masked.as_ref().unwrap_or(state);
        let name = &integration.name;
        let mut add = |kind, content| {
            let id = id(&rules.account, name, &state.call_sid, kind);
            planned.push(Intent { id, integration: name.clone(), kind, content });
        };
        if !integration.updates && !call.last {
            continue;
        }
        add(IntentKind::Log, log(state, shown, &call, integration, rules, agents));
        if call.noted && integration.notes {
            let body = integration.texts.note(shown, outcome, call.link.as_deref());
            add(IntentKind::Recording, Content::Recording(Note { key: CallKey(state.call_sid.clone()), body }));
        }
        if let Some(it) = follow_up(shown, &call, integration) {
            add(IntentKind::FollowUp, Content::FollowUp(it));
        }
    }
    planned.sort_by_key(|intent| intent.kind);
    planned
}

/// What is known of a call whose record is due.
struct Settled {
    outcome: Outcome,
    /// Recording and duration are due, too.
    noted: bool,
    /// Nothing more will be known.
    last: bool,
    link: Option<String>,
}

fn log(
    state: &CallState,
    shown: &CallState,
    call: &Settled,
    integration: &IntegrationRules,
    rules: &PlanRules,
    agents: &UserMapping,
) -> Content {
    let Settled { outcome, noted, .. } = *call;
    let link = call.link.as_deref();
    let body = if noted && !integration.notes {
        integration.texts.body_with_note(shown, outcome, link)
    } else {
        integration.texts.body(shown, outcome)
    };
    let subject = integration.texts.subject(shown, outcome);
    let mut activity = activity(shown, outcome, integration, &rules.country, subject, body);
    activity.recording_link = call.link.clone().filter(|_| integration.manifest.record_facts && noted);
    let mut caller = caller(state, &rules.country);
    if integration.mask_numbers {
        caller.name = shown_number(shown.customer.as_deref());
    }
    let chosen = state.choices.get(&integration.name).cloned();
    Content::Log(Box::new(LogContent { activity, caller, agent: agent(state, integration, rules, agents), chosen }))
}

/// What is to be done after the call: what somebody asked for, else what a missed caller is owed.
fn follow_up(shown: &CallState, call: &Settled, integration: &IntegrationRules) -> Option<FollowUp> {
    let owed = matches!(call.outcome, Outcome::Missed | Outcome::Voicemail) && shown.direction == Direction::Incoming;
    let wish = shown.follow_ups.get(&integration.name);
    let kind = match wish {
        Some(wish) => Some(wish.kind).filter(|kind| integration.follow_up_kinds.contains(kind)),
        None => integration.follow_up.filter(|_| owed),
    };
    let subject = wish.and_then(|wish| wish.subject.clone());
    Some(FollowUp {
        key: CallKey(shown.call_sid.clone()),
        kind: kind?,
        subject: subject.unwrap_or_else(|| integration.texts.subject(shown, call.outcome)),
        body: integration.texts.body(shown, call.outcome),
        // The moment the call was, so that planning again says the same.
        due_at: wish.and_then(|wish| wish.due_at).or(shown.ended_at).or(shown.started_at).unwrap_or_default(),
    })
}

/// The call with only the end of the customer's number in it.
fn masked(state: &CallState) -> CallState {
    let mut masked = state.clone();
    masked.customer = masked.customer.map(|customer| mask::number(&customer));
    masked
}

/// Whether recording and duration are due: once they are known, or nothing more will be.
fn noted(state: &CallState, outcome: Outcome, exhausted: bool) -> bool {
    let recording = state.recording_url.is_some();
    let talk = state.talk_seconds.is_some();
    let last = exhausted || state.complete();
    match outcome {
        Outcome::Answered => (recording && talk) || (last && (recording || talk)),
        Outcome::Voicemail => recording || (last && (talk || state.total_seconds.is_some())),
        Outcome::Missed | Outcome::FlowEnded => recording,
    }
}

/// Facts that a record has no fields for are left out: they stand in the texts, and a change of theirs alone would be a
/// write that says nothing new.
fn activity(
    state: &CallState,
    outcome: Outcome,
    integration: &IntegrationRules,
    country: &str,
    subject: String,
    body: String,
) -> CallActivity {
    let facts = integration.manifest.record_facts;
    CallActivity {
        key: CallKey(state.call_sid.clone()),
        outcome,
        direction: state.direction,
        subject,
        body,
        customer: phone::party(state.customer.as_deref(), country),
        exophone: phone::party(state.exophone.as_deref(), country),
        // A record with times must have one: where Exotel said none, when it was first heard of.
        started_at: state.started_at.or(state.first_heard_at.filter(|_| facts)),
        ended_at: state.ended_at.filter(|_| facts),
        talk_seconds: state.talk_seconds.filter(|_| facts),
        total_seconds: state.total_seconds.filter(|_| facts),
        tried: if facts { tried(state, country) } else { Vec::new() },
        recording_link: None,
        digits: state.digits.clone(),
        disposition: state.talks.iter().rev().find_map(|talk| talk.outcome.clone()).filter(|_| facts),
        contact: None,
        agent: None,
    }
}

fn tried(state: &CallState, country: &str) -> Vec<Tried> {
    let status = |attempt: &AgentAttempt| match attempt.status {
        AttemptStatus::Answered => TriedStatus::Answered,
        AttemptStatus::NotAnswered => match attempt.cause.as_deref().map(str::to_lowercase).unwrap_or_default() {
            cause if cause.contains("busy") => TriedStatus::Busy,
            cause if cause.contains("fail") => TriedStatus::Failed,
            cause if cause.contains("cancel") => TriedStatus::Canceled,
            _ => TriedStatus::NoAnswer,
        },
        AttemptStatus::Dialing | AttemptStatus::Ringing => TriedStatus::Unknown,
    };
    let one = |attempt: &AgentAttempt| Tried {
        number: phone::party(Some(&attempt.agent), country),
        status: status(attempt),
        talk_seconds: attempt.talk_seconds,
    };
    state.attempts.iter().map(one).collect()
}

/// One contact per number, however it is written; all who withhold theirs share one.
pub(super) fn caller(state: &CallState, country: &str) -> Caller {
    let name = shown_number(state.customer.as_deref());
    let number = state.customer.as_deref().and_then(|raw| phone::parse(raw, country));
    let id = match &number {
        Some(number) => number.e164.clone(),
        None if name == UNKNOWN_CALLER => "unknown".to_owned(),
        // A SIP address, or a short code: itself, whatever its case.
        None => name.to_lowercase().chars().take(MAX_EXTERNAL).collect(),
    };
    let name = name.chars().take(MAX_EXTERNAL).collect();
    Caller { number, name, external_id: format!("exotel:{id}") }
}

/// The agent whose call it is, where records are assigned: with what is known of him that a CRM may know too, if anything is.
fn agent(
    state: &CallState,
    integration: &IntegrationRules,
    rules: &PlanRules,
    agents: &UserMapping,
) -> Option<AgentHint> {
    if !integration.assign {
        return None;
    }
    let agent = state.agent()?;
    Some(hint(&agent.agent, agent.email.as_deref(), integration, rules, agents))
}

/// What is known of an agent that a CRM may know too.
pub(super) fn hint(
    agent: &str,
    email: Option<&str>,
    integration: &IntegrationRules,
    rules: &PlanRules,
    agents: &UserMapping,
) -> AgentHint {
    let mapped = agents.of(agent, &rules.country);
    AgentHint {
        crm_user: mapped.and_then(|mapped| mapped.crm_user.get(&integration.name).cloned()),
        email: email.map(str::to_owned).or_else(|| mapped?.email.clone()),
    }
}

/// Lengths before the parts, so that no two quadruples run into one.
fn id(account: &str, integration: &str, call_sid: &str, kind: IntentKind) -> Uuid {
    let mut name = Vec::new();
    for part in [account, integration, call_sid, kind.as_str()] {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &name)
}
