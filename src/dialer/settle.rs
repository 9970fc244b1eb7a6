//! Whether a call that may have been placed was placed: judged from Exotel's list. Pure: values and a clock reading.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    call::mark,
    exotel::{Call, CallDirection, Connect, Likeness},
    store::Click,
};

/// The longest the answer to placing a call is waited for: until then it may be on its way (exotel-api §2).
const ANSWER: SignedDuration = SignedDuration::from_secs(40);
/// Looks follow each other after this, twice as long each time, …
const FIRST_GAP: Duration = Duration::from_secs(1);
/// … until they are this far apart while a person waits, …
const WAITING_GAP: Duration = Duration::from_secs(15);
/// … or this far afterwards: then its list does not tell.
const LONGEST_GAP: Duration = Duration::from_secs(300);
/// After so long the list is looked at no more; a status callback can still settle it.
const LOOKED_FOR: SignedDuration = SignedDuration::from_hours(6);

/// What the list says of a click.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Placed {
        call_sid: String,
    },
    /// Nothing that it can be, and by now there would be.
    NotPlaced,
    /// Nothing yet.
    Later,
    /// It may be this call, and nothing in the list proves it: its details may carry the mark.
    Likely(Vec<String>),
}

/// When the list is believed that a call is not there: once its answer was given up, and what comes late has come.
pub(super) fn believed_at(click: &Click, settle_after: Duration) -> Timestamp {
    let dialled = click.dialled_at.unwrap_or(click.asked_at);
    // It became unknown then; after a crash that was long ago.
    let unknown = click.updated_at.min(dialled.checked_add(ANSWER).unwrap_or(dialled));
    unknown.checked_add(settle_after).unwrap_or(Timestamp::MAX)
}

/// When to look next, after `looks` of them.
pub(super) fn next_look(click: &Click, looks: u32, settle_after: Duration, now: Timestamp) -> Timestamp {
    let believed = believed_at(click, settle_after);
    if is_over(click, now) {
        return Timestamp::MAX;
    }
    let most = if now < believed { WAITING_GAP } else { LONGEST_GAP };
    let gap = FIRST_GAP.saturating_mul(2_u32.saturating_pow(looks)).min(most);
    let next = now.checked_add(gap).unwrap_or(Timestamp::MAX);
    // The look that decides is not put off by the gap before it.
    if now < believed { next.min(believed) } else { next }
}

/// When to look next, after the list could not be asked for.
pub(super) fn after_failure(click: &Click, now: Timestamp) -> Timestamp {
    if is_over(click, now) { Timestamp::MAX } else { now.checked_add(WAITING_GAP).unwrap_or(Timestamp::MAX) }
}

fn is_over(click: &Click, now: Timestamp) -> bool {
    now.duration_since(click.dialled_at.unwrap_or(click.asked_at)) > LOOKED_FOR
}

/// Whether this listed call is the click's, by its mark, or may be.
pub(super) fn compare(click: &Click, connect: &Connect, call: &Call) -> Likeness {
    match call.custom_field.as_deref().map(mark::read) {
        Some(Some(id)) if id == click.id => return Likeness::Same,
        Some(_) => return Likeness::Other,
        None => {}
    }
    // From the dashboard somebody dialled himself.
    if call.direction == Some(CallDirection::OutboundDial) {
        return Likeness::Other;
    }
    connect.compare(call, click.dialled_at.unwrap_or(click.asked_at))
}

/// `taken` are CallSids of which it is known whose they are.
pub(super) fn judge(
    click: &Click,
    connect: &Connect,
    calls: &[Call],
    taken: &[String],
    settle_after: Duration,
    now: Timestamp,
) -> Verdict {
    let mut likely = Vec::new();
    for call in calls {
        match compare(click, connect, call) {
            Likeness::Same => return Verdict::Placed { call_sid: call.sid.clone() },
            Likeness::Likely if !taken.contains(&call.sid) => likely.push(call.sid.clone()),
            Likeness::Likely | Likeness::Other => {}
        }
    }
    if !likely.is_empty() {
        Verdict::Likely(likely)
    } else if now >= believed_at(click, settle_after) {
        Verdict::NotPlaced
    } else {
        Verdict::Later
    }
}
