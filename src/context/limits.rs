//! Limits on what comes in, counted on this node: all there is without Redis, and what counts on while it is away.

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

/// After so many questions the keys that have had time to recover are forgotten.
const SWEEP: u64 = 4_096;

/// So many times at once, and again over that time (GCRA: no window at whose edge twice as many get through).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is limited, such as `hook_without_credential`; limits of one name are one limit.
    pub name: &'static str,
    pub burst: NonZeroU32,
    pub per: Duration,
}

impl Limit {
    /// How long one time takes to come back.
    pub(super) fn recovery(&self) -> Duration {
        (self.per / self.burst.get()).max(Duration::from_micros(1))
    }
}

/// Whether somebody may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Granted,
    Refused { retry_after: Duration },
}

impl Admission {
    /// Refused if either is.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Granted, other) => other,
            (refused, Self::Granted) => refused,
            (Self::Refused { retry_after: a }, Self::Refused { retry_after: b }) => {
                Self::Refused { retry_after: a.max(b) }
            }
        }
    }
}

#[derive(Default)]
pub(super) struct Limits {
    asked: AtomicU64,
    by_name: Mutex<HashMap<&'static str, Arc<DefaultKeyedRateLimiter<String>>>>,
}

/// Keys are addresses and names of people.
impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limits")
    }
}

impl Limits {
    pub(super) fn admit(&self, limit: &Limit, key: &str) -> Admission {
        if self.asked.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner).clone();
            by_name.values().for_each(|limiter| {
                limiter.retain_recent();
                limiter.shrink_to_fit();
            });
        }
        match self.limiter(limit).check_key(&key.to_owned()) {
            Ok(()) => Admission::Granted,
            Err(not_until) => {
                Admission::Refused { retry_after: not_until.wait_time_from(DefaultClock::default().now()) }
            }
        }
    }

    fn limiter(&self, limit: &Limit) -> Arc<DefaultKeyedRateLimiter<String>> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let limiter = by_name.entry(limit.name).or_insert_with(|| {
            // Never zero: see `recovery`.
            let quota = Quota::with_period(limit.recovery()).unwrap_or(Quota::per_second(NonZeroU32::MAX));
            Arc::new(RateLimiter::keyed(quota.allow_burst(limit.burst)))
        });
        Arc::clone(limiter)
    }
}
