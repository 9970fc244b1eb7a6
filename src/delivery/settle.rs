//! What follows from how an attempt ended: a pure function from the outcome to the delivery's next state.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{About, Kind, Retry, Safety};

use super::{backoff, driver::Stop, perform::Ending};
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

impl Sign {
    pub(super) fn of(stop: &Stop) -> Self {
        match stop {
            Stop::Refused { failure, .. } => match failure.kind {
                Kind::Unauthorized => Self::Unauthorized,
                Kind::Unavailable | Kind::Malformed => Self::Outage,
                _ => Self::There,
            },
            Stop::Lost { .. } => Self::Outage,
            Stop::Throttled { .. } | Stop::Several { .. } => Self::There,
            Stop::Stopping => Self::None,
            Stop::AfterCreation(stop) => Self::of(stop),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    pub outcome: AttemptOutcome,
    pub next: Next,
    pub sign: Sign,
    pub remote_code: Option<String>,
    pub detail: String,
}

/// Judges how `delivery`'s attempt ended at `now`. `remark`: what a person should know although it succeeded.
pub(super) fn judge(ending: &Ending, remark: String, delivery: &Delivery, policy: &Policy, now: Timestamp) -> Verdict {
    let verdict = |outcome, next, sign, detail| Verdict { outcome, next, sign, remote_code: None, detail };
    match ending {
        Ending::Written => verdict(AttemptOutcome::Delivered, Next::Done, Sign::There, remark),
        Ending::Unchanged => verdict(AttemptOutcome::Unchanged, Next::Done, Sign::None, remark),
        Ending::Undecidable => {
            let reason = "the record may or may not be in the CRM, and the CRM cannot be asked; look there, then \
                          retry this delivery to write it, or leave it";
            // Who retries it has looked: looking again could only end here again.
            let next = Next::Held { reason: reason.to_owned(), probe: false };
            verdict(AttemptOutcome::Held, next, Sign::None, reason.to_owned())
        }
        Ending::Stopped(stop) => stopped(stop, delivery, policy, now),
    }
}

fn stopped(stop: &Stop, delivery: &Delivery, policy: &Policy, now: Timestamp) -> Verdict {
    let sign = Sign::of(stop);
    let verdict =
        |outcome, next, detail: &str| Verdict { outcome, next, sign, remote_code: None, detail: detail.to_owned() };
    match stop {
        Stop::AfterCreation(stop) => {
            let mut delivery = delivery.clone();
            delivery.probe = true;
            stopped(stop, &delivery, policy, now)
        }
        Stop::Stopping => verdict(
            AttemptOutcome::Postponed,
            again(now, false, delivery.probe, "the service was stopping"),
            "the service was stopping",
        ),
        Stop::Several { .. } => {
            let reason = stop.told();
            let next = Next::Held { reason: reason.clone(), probe: delivery.probe };
            verdict(AttemptOutcome::Held, next, &reason)
        }
        Stop::Throttled { until } => verdict(
            AttemptOutcome::Postponed,
            again(*until, false, delivery.probe, "the CRM's request limit"),
            "the CRM's request limit",
        ),
        Stop::Lost { sent: true, safety: Safety::Creates, reason } => {
            let due_at = now + policy.ambiguous_wait.max(backoff::wait(&policy.retry, 1, delivery.id));
            let reason = format!("{reason}; the record may exist, it is looked for before it is made");
            let next =
                give_up(delivery, policy, now, true, &reason).unwrap_or_else(|| again(due_at, true, true, &reason));
            verdict(AttemptOutcome::Ambiguous, next, &reason)
        }
        Stop::Lost { reason, .. } => retry(delivery, policy, now, delivery.probe, Duration::ZERO, reason, sign),
        Stop::Refused { failure, safety, status } => {
            let reason = failure.to_string();
            let creates = *safety == Safety::Creates;
            let mut verdict = match (failure.kind, failure.about) {
                (Kind::Unauthorized, _) => {
                    verdict(AttemptOutcome::Postponed, again(now, false, delivery.probe, &reason), &reason)
                }
                (Kind::NotFound, Some(About::Record)) => {
                    let reason = "the record is not in the CRM any more; resync the call to make a new one";
                    verdict(AttemptOutcome::Dead, Next::Dead { reason: reason.to_owned(), probe: false }, reason)
                }
                (Kind::Unavailable | Kind::Malformed, _) => {
                    // Who answers 500 to a create may have made the record before; a gateway's 502 or 504 says
                    // nothing about the service behind it, which may still be at it.
                    let wait =
                        if creates && matches!(status, 502 | 504) { policy.ambiguous_wait } else { Duration::ZERO };
                    retry(delivery, policy, now, delivery.probe || creates, wait, &reason, sign)
                }
                (Kind::RateLimited, _) => verdict(
                    AttemptOutcome::Postponed,
                    again(now + Duration::from_secs(60), false, delivery.probe, &reason),
                    &reason,
                ),
                // What passes by itself (a row somebody else has locked) although it is no outage.
                _ if matches!(failure.retry, Retry::Backoff | Retry::After(_)) => {
                    let wait = if let Retry::After(wait) = failure.retry { wait } else { Duration::ZERO };
                    retry(delivery, policy, now, delivery.probe, wait, &reason, sign)
                }
                (Kind::Forbidden | Kind::NotFound | Kind::Conflict | Kind::Invalid | Kind::Unsupported, _) => {
                    verdict(AttemptOutcome::Held, Next::Held { reason: reason.clone(), probe: delivery.probe }, &reason)
                }
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

#[cfg(test)]
mod tests {
    use patchbay_kit::{CallKey, Failure, Note};
    use uuid::Uuid;

    use super::*;
    use crate::{
        call::{Content, IntentKind},
        store::DeliveryState,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn delivery(attempts: u32) -> Delivery {
        Delivery {
            id: Uuid::from_u128(1),
            account: "acme".into(),
            integration: "support".into(),
            call_sid: "c".into(),
            kind: IntentKind::Recording,
            revision: 1,
            content: Content::Recording(Note { key: CallKey("c".into()), body: String::new() }),
            state: DeliveryState::Inflight,
            reason: None,
            due_at: at(0),
            attempts,
            probe: false,
            created_at: at(0),
            updated_at: at(0),
        }
    }

    fn policy() -> Policy {
        Policy {
            retry: [Duration::from_secs(10), Duration::from_secs(60)].into(),
            give_up_after: Duration::from_secs(1000),
            ambiguous_wait: Duration::from_secs(30),
        }
    }

    fn refused(kind: Kind, safety: Safety, status: u16) -> Stop {
        Stop::Refused { failure: Failure::new(kind, Retry::Backoff), safety, status }
    }

    fn lost(sent: bool, safety: Safety) -> Stop {
        Stop::Lost { sent, safety, reason: "timed out".into() }
    }

    /// Seconds until it is due, whether it counts, whether it is probed.
    fn again(verdict: &Verdict, now: Timestamp) -> (i64, bool, bool) {
        match &verdict.next {
            Next::Again { due_at, counts, probe, .. } => (due_at.duration_since(now).as_secs(), *counts, *probe),
            next => panic!("{next:?}"),
        }
    }

    #[test]
    fn only_what_may_have_been_carried_out_is_looked_for() {
        let now = at(5);
        let judged = |stop: &Stop| stopped(stop, &delivery(0), &policy(), now);
        let (wait, counts, probe) = again(&judged(&lost(true, Safety::Creates)), now);
        assert!(wait >= 30 && counts && probe, "not before the far side must be done with it");
        for stop in [lost(false, Safety::Creates), lost(true, Safety::Read), lost(true, Safety::Idempotent)] {
            let (wait, counts, probe) = again(&judged(&stop), now);
            assert!(wait <= 11 && counts && !probe, "{stop:?}");
        }
        assert!(again(&judged(&refused(Kind::Unavailable, Safety::Creates, 500)), now).2);
        assert!(again(&judged(&refused(Kind::Unavailable, Safety::Creates, 504)), now).0 >= 30);
        assert!(again(&judged(&refused(Kind::Malformed, Safety::Creates, 200)), now).2);
        assert!(!again(&judged(&refused(Kind::Unavailable, Safety::Idempotent, 500)), now).2);
    }

    #[test]
    fn limits_stops_and_credentials_cost_no_attempt() {
        let now = at(5);
        for (stop, sign) in [
            (Stop::Throttled { until: at(65) }, Sign::There),
            (Stop::Stopping, Sign::None),
            (refused(Kind::Unauthorized, Safety::Read, 401), Sign::Unauthorized),
            (refused(Kind::RateLimited, Safety::Creates, 429), Sign::There),
        ] {
            let verdict = stopped(&stop, &delivery(3), &policy(), now);
            assert!(!again(&verdict, now).1, "{stop:?}");
            assert_eq!((verdict.sign, verdict.outcome), (sign, AttemptOutcome::Postponed), "{stop:?}");
        }
    }

    #[test]
    fn what_a_person_must_mend_is_held() {
        for kind in [Kind::Invalid, Kind::Forbidden, Kind::Conflict, Kind::NotFound, Kind::Unsupported] {
            let failure = Failure::new(kind, Retry::Never);
            let stop = Stop::Refused { failure, safety: Safety::Creates, status: 400 };
            let verdict = stopped(&stop, &delivery(0), &policy(), at(5));
            assert!(matches!(verdict.next, Next::Held { .. }), "{kind:?}");
            let passing = stopped(&refused(kind, Safety::Creates, 400), &delivery(0), &policy(), at(5));
            assert!(matches!(passing.next, Next::Again { .. }), "{kind:?} that passes by itself");
            assert_eq!(passing.sign, Sign::There);
            assert_eq!(verdict.sign, Sign::There, "{kind:?}: the CRM is there, it said so");
        }
        let gone = Failure::new(Kind::NotFound, Retry::Never).about(About::Record);
        let stop = Stop::Refused { failure: gone, safety: Safety::Idempotent, status: 404 };
        assert!(matches!(stopped(&stop, &delivery(0), &policy(), at(5)).next, Next::Dead { .. }));
    }

    #[test]
    fn what_was_created_before_the_chain_broke_off_is_looked_for() {
        let now = at(5);
        for stop in [
            Stop::Throttled { until: at(65) },
            lost(true, Safety::Read),
            refused(Kind::Unauthorized, Safety::Read, 401),
            refused(Kind::Unavailable, Safety::Read, 503),
        ] {
            assert!(!again(&stopped(&stop, &delivery(0), &policy(), now), now).2, "{stop:?}");
            let after = Stop::AfterCreation(Box::new(stop));
            assert!(again(&stopped(&after, &delivery(0), &policy(), now), now).2, "{after:?}");
        }
    }

    #[test]
    fn giving_up_takes_age_and_count() {
        let stop = refused(Kind::Unavailable, Safety::Read, 503);
        let young = stopped(&stop, &delivery(50), &policy(), at(999));
        assert!(matches!(young.next, Next::Again { .. }));
        let untried = stopped(&stop, &delivery(1), &policy(), at(5000));
        assert!(matches!(untried.next, Next::Again { .. }));
        let both = stopped(&stop, &delivery(2), &policy(), at(5000));
        assert!(matches!(both.next, Next::Dead { .. }), "{:?}", both.next);
    }

    #[test]
    fn a_delivery_that_must_be_probed_stays_so_until_it_is_delivered() {
        let mut delivery = delivery(1);
        delivery.probe = true;
        for stop in [
            lost(false, Safety::Read),
            refused(Kind::Unavailable, Safety::Read, 503),
            Stop::Stopping,
            Stop::Throttled { until: at(9) },
        ] {
            assert!(again(&stopped(&stop, &delivery, &policy(), at(5)), at(5)).2, "{stop:?}");
        }
    }
}
