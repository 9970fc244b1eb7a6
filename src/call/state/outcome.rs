//! How a call ended, weighed from all that was said of it.

use patchbay_kit::{Direction, Outcome};

use super::{
    Trace, Voice,
    attempts::{self, Tried},
    bot::{self, Standing},
    voice,
};
use crate::call::event::{AttemptStatus, CallEvent, EventKind, Facts};

/// Whether call details said that the call is over.
pub(super) fn over(trace: &Trace<'_>) -> bool {
    trace.0.iter().any(|event| {
        event.kind == EventKind::Detailed
            && event.facts.call_status.as_deref().is_some_and(|said| ended(said).is_some())
    })
}

/// Whether Exotel's list said that the call is over.
pub(super) fn listed_over(trace: &Trace<'_>) -> bool {
    trace.0.iter().any(|event| event.kind == EventKind::Listed && listed(event).is_some())
}

/// How a call stands in the list: `None` while it goes on.
pub(super) fn listed(event: &CallEvent) -> Option<bool> {
    ended(event.facts.call_status.as_deref()?)
}

/// A status that ends a call or a leg: whether by having been had (`completed`), or by having failed
/// (exotel-api §2.2, §4.3). Both spellings of `canceled` occur.
pub(super) fn ended(status: &str) -> Option<bool> {
    match status.to_ascii_lowercase().replace('_', "-").as_str() {
        "completed" => Some(true),
        "busy" | "no-answer" | "failed" | "canceled" | "cancelled" => Some(false),
        _ => None,
    }
}

/// How the Connect applet before this passthru went, as Exotel says it: `DialCallStatus`, else `CallType`; where it says
/// nothing, the URL that was called says it.
pub(super) fn of_dialling(event: &CallEvent) -> Option<bool> {
    said_of_dialling(&event.facts).or(match event.kind {
        EventKind::Completed => Some(true),
        EventKind::Missed => Some(false),
        _ => None,
    })
}

fn said_of_dialling(facts: &Facts) -> Option<bool> {
    if let Some(said) = facts.dial_call_status.as_deref().and_then(ended) {
        return Some(said);
    }
    match facts.call_type.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("client-hangup" | "incomplete") => Some(false),
        _ => None,
    }
}

/// How a call between two people went, as a status callback or call details say it: `None` while it goes on. The call is
/// `completed` as soon as the first leg was; what counts is the second (exotel-api §3, §5.1).
pub(super) fn of_two_party(event: &CallEvent) -> Option<bool> {
    let facts = &event.facts;
    // The first of a status callback's events comes while the call goes on.
    let status = ended(facts.call_status.as_deref()?)?;
    Some(match (second_leg(facts), facts.conversation_seconds) {
        (_, Some(seconds)) if seconds > 0 => true,
        (Some(second), _) => second,
        (None, Some(_)) => false,
        (None, None) => status,
    })
}

/// How the second leg ended. `None`: not said, not tried, or still going on.
fn second_leg(facts: &Facts) -> Option<bool> {
    facts.legs.get(1).and_then(|leg| leg.status.as_deref()).and_then(ended)
}

/// What details of a call that is over say of the conversation: `None` where they say nothing of it (yet).
fn of_details(event: &CallEvent) -> Option<bool> {
    let facts = &event.facts;
    let status = ended(facts.call_status.as_deref()?)?;
    match (facts.conversation_seconds, second_leg(facts)) {
        (Some(seconds), _) if seconds > 0 => Some(true),
        // A second leg that went through without a word being spoken is no conversation: calls that an IVR or a
        // voicemail took may have one too. Durations come minutes after the end, and may be 0 until then.
        (Some(_), Some(true)) => facts.ended_at.map(|_| false),
        (_, Some(second)) => Some(second),
        // Placed for an agent: without word of the legs, the call's status is theirs.
        (None, None) if facts.direction == Some(Direction::Outgoing) && facts.agent.is_some() => Some(status),
        // Filled in: the end is known, and there was no conversation.
        (_, None) if !status || facts.ended_at.is_some() => Some(false),
        // `completed` a moment ago: durations come minutes later.
        (_, None) => None,
    }
}

/// The outcome, if it is known. Answered beats voicemail, voicemail beats missed, missed beats the end of the flow.
pub(super) fn of(trace: &Trace<'_>, attempts: &[Tried], keyed: bool) -> Option<Outcome> {
    let passthrus = || trace.0.iter().filter(|event| voice(&event.kind) == Voice::Passthru);
    let details = || trace.0.iter().filter(|event| event.kind == EventKind::Detailed);
    let statuses = || trace.0.iter().filter(|event| event.kind == EventKind::StatusChanged);
    let lists = || trace.0.iter().filter(|event| event.kind == EventKind::Listed);
    let voicemail = |event: &&CallEvent| {
        event.kind == EventKind::Voicemail
            || event.facts.call_type.as_deref().is_some_and(|said| said.eq_ignore_ascii_case("voicemail"))
    };

    let left_voicemail = passthrus().any(voicemail);
    let for_bot = bot::placed_for_one(trace);
    // Nothing says whether the time of a voicemail counts as conversation, nor that with a bot: then only a second leg
    // proves one.
    let alone = left_voicemail || for_bot;
    let detailed_talk =
        details().any(|event| of_details(event) == Some(true) && (!alone || second_leg(&event.facts) == Some(true)));
    // The second leg's own status is proof; a mere absence of one is none.
    let second_leg_failed =
        details().any(|event| of_details(event) == Some(false) && second_leg(&event.facts) == Some(false));

    let answered = detailed_talk
        || passthrus().any(|event| event.facts.dial_call_status.as_deref().and_then(ended) == Some(true))
        || statuses().any(|event| match for_bot {
            true => of_two_party(event) == Some(true) && second_leg(&event.facts) == Some(true),
            false => of_two_party(event) == Some(true),
        })
        // An agent's own leg that lasted; that the whole call did says nothing of whom it was with.
        || lists().any(|event| listed(event) == Some(true) && event.facts.legs.iter().any(attempts::spoke))
        || passthrus().any(|event| {
            event.kind == EventKind::Completed
                && said_of_dialling(&event.facts).is_none()
                && !voicemail(event)
                && !second_leg_failed
                && !bot::stream_failed(event)
        });
    if answered {
        return Some(Outcome::Answered);
    }
    if left_voicemail {
        return Some(Outcome::Voicemail);
    }
    let dialled = passthrus().any(|event| event.facts.dial_call_status.as_deref().and_then(ended).is_some());
    let second = details().any(|event| second_leg(&event.facts).is_some());
    if attempts.is_empty() && !dialled && !second && !bot::humans_sought(trace) {
        match bot::standing(trace) {
            Standing::Had => return Some(Outcome::Answered),
            // The process that had it is gone, and so is what it would have told.
            Standing::Open if over(trace) => return Some(Outcome::Answered),
            // How it ended is told as soon as it has: until then nothing is concluded that it would take back.
            Standing::Open => return None,
            Standing::None if for_bot => return of_bots_call(trace),
            Standing::None => {}
        }
    }
    let concluding =
        |event: &&&CallEvent| matches!(event.kind, EventKind::Completed | EventKind::Missed | EventKind::FlowEnded);
    let missed = passthrus().filter(concluding).any(|event| of_dialling(event) == Some(false))
        // The flow goes on after a Gather, unless the caller is gone.
        || passthrus().any(|event| {
            event.facts.call_type.as_deref().is_some_and(|said| said.eq_ignore_ascii_case("client-hangup"))
        })
        || passthrus().any(|event| event.kind == EventKind::Completed)
        || statuses().any(|event| of_two_party(event) == Some(false));
    if missed {
        return Some(Outcome::Missed);
    }
    let flow_ended = passthrus().any(|event| event.kind == EventKind::FlowEnded);
    let told = of_all_details(trace, attempts, keyed || flow_ended).or(flow_ended.then_some(Outcome::FlowEnded));
    // The list knows who failed to get through. Of a call that was `completed` it does not know with whom: that is for
    // the details to say.
    let failed = || lists().find(|event| listed(event) == Some(false));
    told.or_else(|| {
        let outgoing = failed()?.facts.direction == Some(Direction::Outgoing);
        Some(if keyed && !outgoing { Outcome::FlowEnded } else { Outcome::Missed })
    })
}

/// Details are over and there was no conversation: so that no call is lost with its passthru.
fn of_all_details(trace: &Trace<'_>, attempts: &[Tried], in_flow: bool) -> Option<Outcome> {
    let silent: Vec<&&CallEvent> =
        trace.0.iter().filter(|event| event.kind == EventKind::Detailed && of_details(event) == Some(false)).collect();
    if silent.is_empty() {
        return None;
    }
    // A popup said that an agent took the call, and nobody contradicts it with more than silence.
    let contradicted =
        silent.iter().any(|event| second_leg(&event.facts).is_some() || event.facts.conversation_seconds.is_some());
    if !contradicted && attempts.iter().any(|tried| tried.attempt.status == AttemptStatus::Answered) {
        return Some(Outcome::Answered);
    }
    // Whoever had it asked whom to dial was on the way to an agent, even if he hung up before one was dialled.
    let sought = trace.0.iter().any(|event| event.kind == EventKind::DialWhom);
    let tried = sought || !attempts.is_empty() || silent.iter().any(|event| second_leg(&event.facts) == Some(false));
    let failed = silent.iter().any(|event| event.facts.call_status.as_deref().and_then(ended) == Some(false));
    let outgoing = silent.iter().any(|event| event.facts.direction == Some(Direction::Outgoing));
    Some(if tried || (failed && (!in_flow || outgoing)) { Outcome::Missed } else { Outcome::FlowEnded })
}

/// A call that was placed for a bot, and that none had: whether anybody was there.
fn of_bots_call(trace: &Trace<'_>) -> Option<Outcome> {
    let told = |event: &&&CallEvent| {
        matches!(event.kind, EventKind::StatusChanged | EventKind::Detailed | EventKind::Listed)
            || voice(&event.kind) == Voice::Passthru
    };
    let ends: Vec<(&EventKind, bool)> = trace
        .0
        .iter()
        .filter(told)
        .filter_map(|event| Some((&event.kind, ended(event.facts.call_status.as_deref()?)?)))
        .collect();
    if ends.iter().any(|(_, had)| !had) {
        return Some(Outcome::Missed);
    }
    let flow_ended =
        trace.0.iter().any(|event| voice(&event.kind) == Voice::Passthru && event.kind != EventKind::Gathered);
    // Of a call that was `completed` the list knows no more than that.
    let completed = ends.iter().any(|(kind, _)| **kind != EventKind::Listed);
    (flow_ended || completed).then_some(Outcome::FlowEnded)
}
