//! When Exotel is asked for a call's details: applets send no end and may be lost altogether (exotel-api §5.1, §8).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::call::state::CallState;

/// A call that still goes on is asked about at least this often.
const LONGEST_GAP: Duration = Duration::from_secs(300);
/// Older calls are let be: what details there ever will be, are there by then.
const GIVEN_UP_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Where asking Exotel for a call's details stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enquiry {
    /// Steps of the schedule used up. Questions answered "still in progress" use none.
    pub step: usize,
    pub due_at: Option<Timestamp>,
}

/// When Exotel is to be asked for this call's details next; `due_at` is `None` when nothing is left to ask or the
/// schedule is used up. `was` is how it stood; `answered`: this planning follows an answer of Exotel's.
pub fn enquire(
    state: &CallState,
    schedule: &[Duration],
    was: Option<Enquiry>,
    answered: bool,
    now: Timestamp,
) -> Enquiry {
    let mut step = was.map_or(0, |was| was.step);
    // Without a start nobody can tell when to give a call up: then every answer uses up a step.
    let progress = answered && !state.over && state.started_at.is_some();
    if answered && !progress {
        step = step.saturating_add(1);
    }
    let old = state.started_at.is_some_and(|started| now.duration_since(started) > GIVEN_UP_AFTER);
    if old {
        // The schedule counts as used up, so that what is known is written without waiting for the rest.
        // One that the list alone told of has never been asked about: once it is.
        let once = state.seen.by_list_alone() && !answered;
        step = step.max(schedule.len().saturating_sub(usize::from(once)));
    }
    let (Some(gap), false) = (schedule.get(step).copied(), state.complete()) else {
        return Enquiry { step, due_at: None };
    };
    let due_at = match was.and_then(|was| was.due_at) {
        _ if progress => later(now, growing(state, schedule, now)),
        _ if answered => later(now, gap),
        _ if old => now,
        // News of a call that is to be asked about anyway: sooner, never later.
        Some(due_at) => due_at.min(later(now, schedule[0])),
        None => later(now, gap),
    };
    Enquiry { step, due_at: Some(due_at) }
}

/// Grows with the call's age, along the schedule: no count of the questions has to be kept.
fn growing(state: &CallState, schedule: &[Duration], now: Timestamp) -> Duration {
    let age = state.started_at.map(|started| now.duration_since(started)).unwrap_or_default();
    let half = Duration::try_from(age / 2).unwrap_or_default();
    let step = schedule.iter().find(|step| **step >= half).or(schedule.last());
    step.copied().unwrap_or(LONGEST_GAP).min(LONGEST_GAP)
}

fn later(now: Timestamp, gap: Duration) -> Timestamp {
    now.checked_add(gap).unwrap_or(Timestamp::MAX)
}
