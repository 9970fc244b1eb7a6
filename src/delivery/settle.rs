//! What follows from how an attempt ended: a pure function from the outcome to the delivery's next state.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{About, Kind, Safety};

use super::{backoff, driver::Stop};
use crate::store::{AttemptOutcome, Delivery, Next};

/// What the verdict depends on, from the configuration.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub retry: Arc<[Duration]>,
    pub give_up_after: Duration,
    pub ambiguous_wait: Duration,
}

/// What an attempt says of the CRM's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// It answered.
    There,
    /// It did not, or only as a broken service does.
    Outage,
    /// It refuses the credentials.
    Unauthorized,
    /// Nothing was asked.
    None,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    pub outcome: AttemptOutcome,
    pub next: Next,
    pub sign: Sign,
    pub remote_code: Option<String>,
    pub detail: String,
}

/// Judges a stop of `delivery`'s attempt at `now`.
pub(super) fn judge(stop: &Stop, delivery: &Delivery, policy: &Policy, now: Timestamp) -> Verdict {
    let verdict = |outcome, next, sign, detail: &str| Verdict {
        outcome,
        next,
        sign,
        remote_code: None,
        detail: detail.to_owned(),
    };
    match stop {
        Stop::Stopping => verdict(
            AttemptOutcome::Postponed,
            again(now, false, delivery.probe, "the service was stopping"),
            Sign::None,
            "the service was stopping",
        ),
        Stop::Throttled { until } => verdict(
            AttemptOutcome::Postponed,
            again(*until, false, delivery.probe, "the CRM's request limit"),
            Sign::There,
            "the CRM's request limit",
        ),
        Stop::Lost { sent: true, safety: Safety::Creates, reason } => {
            let due_at = now + policy.ambiguous_wait.max(backoff::wait(&policy.retry, 1, delivery.id));
            let reason = format!("{reason}; the record may exist, it is looked for before it is made");
            let next =
                give_up(delivery, policy, now, true, &reason).unwrap_or_else(|| again(due_at, true, true, &reason));
            verdict(AttemptOutcome::Ambiguous, next, Sign::Outage, &reason)
        }
        Stop::Lost { reason, .. } => retry(delivery, policy, now, delivery.probe, Duration::ZERO, reason, Sign::Outage),
        Stop::Refused { failure, safety, status } => {
            let reason = failure.to_string();
            let creates = *safety == Safety::Creates;
            let mut verdict = match (failure.kind, failure.about) {
                (Kind::Unauthorized, _) => verdict(
                    AttemptOutcome::Postponed,
                    again(now, false, delivery.probe, &reason),
                    Sign::Unauthorized,
                    &reason,
                ),
                (Kind::NotFound, Some(About::Record)) => {
                    let reason = "the record is not in the CRM any more; resync the call to make a new one";
                    verdict(
                        AttemptOutcome::Dead,
                        Next::Dead { reason: reason.to_owned(), probe: false },
                        Sign::There,
                        reason,
                    )
                }
                (Kind::Unavailable | Kind::Malformed, _) => {
                    // Who answers 500 to a create may have made the record before; a gateway's 502 or 504 says
                    // nothing about the service behind it, which may still be at it.
                    let wait =
                        if creates && matches!(status, 502 | 504) { policy.ambiguous_wait } else { Duration::ZERO };
                    retry(delivery, policy, now, delivery.probe || creates, wait, &reason, Sign::Outage)
                }
                (Kind::RateLimited, _) => verdict(
                    AttemptOutcome::Postponed,
                    again(now + Duration::from_secs(60), false, delivery.probe, &reason),
                    Sign::There,
                    &reason,
                ),
                (Kind::Forbidden | Kind::NotFound | Kind::Conflict | Kind::Invalid | Kind::Unsupported, _) => verdict(
                    AttemptOutcome::Held,
                    Next::Held { reason: reason.clone(), probe: delivery.probe },
                    Sign::There,
                    &reason,
                ),
            };
            verdict.remote_code.clone_from(&failure.remote_code);
            verdict
        }
    }
}

fn retry(
    delivery: &Delivery,
    policy: &Policy,
    now: Timestamp,
    probe: bool,
    at_least: Duration,
    reason: &str,
    sign: Sign,
) -> Verdict {
    let wait = backoff::wait(&policy.retry, delivery.attempts + 1, delivery.id).max(at_least);
    let (outcome, next) = match give_up(delivery, policy, now, probe, reason) {
        Some(dead) => (AttemptOutcome::Dead, dead),
        None => (AttemptOutcome::Retry, again(now + wait, true, probe, reason)),
    };
    Verdict { outcome, next, sign, remote_code: None, detail: reason.to_owned() }
}

/// By age and count: a delivery that has been through the whole schedule and is older than `give_up_after`.
fn give_up(delivery: &Delivery, policy: &Policy, now: Timestamp, probe: bool, reason: &str) -> Option<Next> {
    let old = now.duration_since(delivery.created_at) > jiff::SignedDuration::try_from(policy.give_up_after).ok()?;
    let tried = usize::try_from(delivery.attempts).unwrap_or(usize::MAX) >= policy.retry.len();
    (old && tried).then(|| Next::Dead { reason: format!("given up: {reason}"), probe })
}

fn again(due_at: Timestamp, counts: bool, probe: bool, reason: &str) -> Next {
    Next::Again { due_at, counts, probe, reason: reason.to_owned() }
}
