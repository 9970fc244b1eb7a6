//! What an agent is to see of a call while it rings: from the events that have just come, never from old ones.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{CallKey, Direction, Party, Phase};

use super::{
    event::{CallEvent, EventKind},
    mapping::UserMapping,
    phone,
    plan::{AgentHint, IntegrationRules, PlanRules},
    state::CallState,
};

/// How old an event may be that an agent is still shown: later, the call is not ringing any more.
const FRESH: Duration = Duration::from_secs(10);

/// A popup, before the agent is found in the CRM.
#[derive(Clone, PartialEq, Eq)]
pub struct PopupHint {
    pub key: CallKey,
    pub phase: Phase,
    pub direction: Direction,
    pub customer: Party,
    pub exophone: Party,
    pub agent_number: Party,
    pub agent: AgentHint,
    /// Under which the caller's contact is known.
    pub external_id: String,
    pub started_at: Option<Timestamp>,
    pub talk_seconds: Option<u32>,
    /// Not shown after that.
    pub until: Timestamp,
}

impl fmt::Debug for PopupHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PopupHint({} {:?} {:?})", self.key, self.phase, self.agent_number)
    }
}

/// The popups that follow from `events`, which have just been read; one for each agent and phase. Those that are read too
/// late are among them, so that they are counted.
pub fn popups<'a>(
    state: &CallState,
    events: impl IntoIterator<Item = &'a CallEvent>,
    integration: &IntegrationRules,
    rules: &PlanRules,
    agents: &UserMapping,
) -> Vec<PopupHint> {
    let mut hints: Vec<PopupHint> = Vec::new();
    for event in events {
        let phase = match event.kind {
            // Whoever has clicked is rung first.
            EventKind::Dialing | EventKind::Ringing | EventKind::Placed => Phase::Ringing,
            EventKind::Answered => Phase::Answered,
            EventKind::AttemptEnded => Phase::Ended,
            _ => continue,
        };
        let Some(agent) = event.facts.agent.clone() else { continue };
        let agent_number = phone::party(Some(&agent), &rules.country);
        if hints.iter().any(|other| other.phase == phase && other.agent_number == agent_number) {
            continue;
        }
        let caller = super::plan::caller(state, &rules.country);
        hints.push(PopupHint {
            key: CallKey(state.call_sid.clone()),
            phase,
            direction: state.direction,
            customer: phone::party(state.customer.as_deref(), &rules.country),
            exophone: phone::party(state.exophone.as_deref(), &rules.country),
            agent: super::plan::hint(&agent, event.facts.agent_email.as_deref(), integration, rules, agents),
            agent_number,
            external_id: caller.external_id,
            started_at: state.started_at,
            talk_seconds: state.talk_seconds.filter(|_| phase == Phase::Ended),
            until: event.received_at + FRESH,
        });
    }
    hints
}
