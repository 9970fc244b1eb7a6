//! Which agents were tried, in which order, and how far each attempt got: from popups, `Legs` and `DialWhomNumber`.

use jiff::Timestamp;

use patchbay_kit::Direction;

use super::{AgentAttempt, Trace, Voice, outcome, voice};
use crate::call::{
    event::{AttemptStatus, CallEvent, EventKind, Leg},
    phone,
};

/// More agents than these are not tried in one call; a hostile request may say otherwise.
const MAX_ATTEMPTS: usize = 64;

/// An attempt, with what telling the answering one from the others needs.
pub(super) struct Tried {
    pub(super) attempt: AgentAttempt,
    /// When its popup said that it is over. `None`: not said.
    ended: Option<Option<Timestamp>>,
}

pub(super) fn of(trace: &Trace<'_>) -> Vec<Tried> {
    let mut tried: Vec<Tried> = Vec::new();
    for event in &trace.0 {
        match voice(&event.kind) {
            Voice::Popup => popup(&mut tried, event),
            Voice::Passthru => passthru(&mut tried, event),
            Voice::Status | Voice::Details => two_party(&mut tried, event),
            Voice::Listed => listed(&mut tried, event),
            Voice::Other => {}
        }
    }
    // Of a call that was placed into a flow, whoever was rung first is the customer, whatever else is said of him.
    let placed = trace.0.iter().filter(|event| event.kind == EventKind::Placed && event.facts.agent.is_none());
    let customers: Vec<&String> = placed.filter_map(|event| event.facts.customer.as_ref()).collect();
    tried.retain(|known| !customers.iter().any(|customer| phone::same(&known.attempt.agent, customer)));
    tried
}

/// One set of popups for each agent (exotel-api §4.2).
fn popup(tried: &mut Vec<Tried>, event: &CallEvent) {
    let Some(agent) = &event.facts.agent else { return };
    let status = match event.kind {
        EventKind::Ringing => AttemptStatus::Ringing,
        EventKind::Answered => AttemptStatus::Answered,
        EventKind::AttemptEnded => AttemptStatus::NotAnswered,
        _ => AttemptStatus::Dialing,
    };
    if let Some(at) = reach(tried, agent, status) {
        let entry = &mut tried[at];
        entry.attempt.email = entry.attempt.email.take().or_else(|| event.facts.agent_email.clone());
        if event.kind == EventKind::AttemptEnded {
            entry.ended = Some(event.at);
        }
    }
}

/// `Legs` names all whom the Connect applet tried, in order; `DialWhomNumber` is the last of them.
fn passthru(tried: &mut Vec<Tried>, event: &CallEvent) {
    let facts = &event.facts;
    let last = facts.agent.as_deref();
    let mut placed = Vec::new();
    let mut talked = false;
    for leg in &facts.legs {
        let alone = (facts.legs.len() == 1).then_some(last).flatten();
        let Some(agent) = leg.number.as_deref().or(alone) else { continue };
        let status = if spoke(leg) { AttemptStatus::Answered } else { AttemptStatus::NotAnswered };
        talked |= status == AttemptStatus::Answered;
        let Some(at) = reach(tried, agent, status) else { continue };
        let attempt = &mut tried[at].attempt;
        if status == AttemptStatus::Answered {
            attempt.talk_seconds = leg.on_call_seconds.or(attempt.talk_seconds);
        }
        attempt.cause = leg.cause_code.clone().or_else(|| leg.cause.clone()).or_else(|| attempt.cause.take());
        if !placed.contains(&at) {
            placed.push(at);
        }
    }
    in_order(tried, &placed);
    if let Some(agent) = last {
        // Before the Connect applet has run its course, the number says nothing of how it went.
        let status = match outcome::of_dialling(event) {
            Some(true) if !talked => AttemptStatus::Answered,
            Some(_) => AttemptStatus::NotAnswered,
            None => AttemptStatus::Dialing,
        };
        reach(tried, agent, status);
    }
}

/// A call that was placed for an agent: he is `From`, and was reached if the customer was.
fn two_party(tried: &mut Vec<Tried>, event: &CallEvent) {
    let Some(agent) = placed_for(event) else { return };
    let status = match outcome::of_two_party(event) {
        Some(true) => AttemptStatus::Answered,
        Some(false) => AttemptStatus::NotAnswered,
        None => AttemptStatus::Dialing,
    };
    reach(tried, agent, status);
}

/// For whom a call in the list was placed; and the agents' legs, where Exotel was asked for them.
fn listed(tried: &mut Vec<Tried>, event: &CallEvent) {
    if let Some(agent) = placed_for(event) {
        let failed = outcome::listed(event) == Some(false);
        reach(tried, agent, if failed { AttemptStatus::NotAnswered } else { AttemptStatus::Dialing });
    }
    for leg in &event.facts.legs {
        let Some(agent) = &leg.number else { continue };
        let status = if spoke(leg) { AttemptStatus::Answered } else { AttemptStatus::NotAnswered };
        if let Some(at) = reach(tried, agent, status)
            && status == AttemptStatus::Answered
        {
            let attempt = &mut tried[at].attempt;
            attempt.talk_seconds = attempt.talk_seconds.or(leg.on_call_seconds);
        }
    }
}

/// For whom a call was placed, where this event tells of one that was.
pub(in crate::call) fn placed_for(event: &CallEvent) -> Option<&String> {
    let two_party = matches!(voice(&event.kind), Voice::Status | Voice::Listed | Voice::Details);
    event.facts.agent.as_ref().filter(|_| two_party && event.facts.direction == Some(Direction::Outgoing))
}

pub(super) fn spoke(leg: &Leg) -> bool {
    match leg.on_call_seconds {
        Some(seconds) => seconds > 0,
        None => leg.status.as_deref().is_some_and(|status| status.eq_ignore_ascii_case("completed")),
    }
}

/// Notes that an attempt got at least so far, and yields its place.
fn reach(tried: &mut Vec<Tried>, agent: &str, status: AttemptStatus) -> Option<usize> {
    if let Some(at) = tried.iter().position(|known| phone::same(&known.attempt.agent, agent)) {
        let attempt = &mut tried[at].attempt;
        attempt.status = attempt.status.max(status);
        return Some(at);
    }
    if tried.len() >= MAX_ATTEMPTS {
        return None;
    }
    let attempt = AgentAttempt { agent: agent.to_owned(), email: None, status, talk_seconds: None, cause: None };
    tried.push(Tried { attempt, ended: None });
    Some(tried.len() - 1)
}

/// Puts the attempts at these places into this order, and leaves all others where they are: a lost popup must not let the
/// second agent appear first.
fn in_order(tried: &mut Vec<Tried>, order: &[usize]) {
    let mut places: Vec<usize> = order.to_vec();
    places.sort_unstable();
    let mut slots: Vec<Option<Tried>> = tried.drain(..).map(Some).collect();
    let moved: Vec<Option<Tried>> = order.iter().map(|at| slots[*at].take()).collect();
    for (place, entry) in places.into_iter().zip(moved) {
        slots[place] = entry;
    }
    tried.extend(slots.into_iter().flatten());
}

/// The call was answered, and nobody has said by whom: by him whose attempt ended last, since all others' end when he picks
/// up, in sequence or in parallel.
pub(super) fn settle_answered(tried: &mut [Tried]) {
    if tried.iter().any(|known| known.attempt.status == AttemptStatus::Answered) {
        return;
    }
    // An attempt whose end was not heard of may still go on: it counts as the latest.
    let latest = tried.iter_mut().enumerate().max_by_key(|(at, known)| match known.ended {
        None => (true, None, *at),
        Some(when) => (false, when, *at),
    });
    if let Some((_, known)) = latest {
        known.attempt.status = AttemptStatus::Answered;
    }
}
