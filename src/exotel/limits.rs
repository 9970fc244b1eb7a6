//! Exotel's limits of requests, kept before Exotel has to: per account and class of API (exotel-api §1.4).

use std::{
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

use super::error::ExotelError;

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// `Calls/connect`, which dials.
    Connect,
    /// A call's details and lists of calls.
    Details,
    /// Lists that nobody waits for: of the limit of [`Class::Details`], and a small part of it only.
    Sweep,
    /// Legs, and what is done to them.
    Legs,
    Sms,
    /// Users, devices, ExoPhones, numbers: nothing is published of these.
    Other,
}

/// Requests per minute that are ours.
#[derive(Clone, Copy, Debug)]
pub struct PerMinute {
    pub connect: NonZeroU32,
    pub details: NonZeroU32,
    pub legs: NonZeroU32,
    pub sms: NonZeroU32,
    pub other: NonZeroU32,
}

impl PerMinute {
    /// What Exotel publishes; where it publishes nothing, the same.
    pub const PUBLISHED: Self = {
        const fn of(number: u32) -> NonZeroU32 {
            match NonZeroU32::new(number) {
                Some(number) => number,
                None => NonZeroU32::MIN,
            }
        }
        Self { connect: of(200), details: of(200), legs: of(200), sms: of(200), other: of(200) }
    };
}

/// One class's budget.
#[derive(Debug)]
struct Budget {
    limiter: DefaultDirectRateLimiter,
    /// Until when Exotel said it wants no more.
    paused_until: Mutex<Option<Instant>>,
}

impl Budget {
    fn new(per_minute: NonZeroU32) -> Self {
        Self { limiter: RateLimiter::direct(quota(per_minute)), paused_until: Mutex::new(None) }
    }

    /// Takes a request's place, or says how long there will be none.
    fn take(&self) -> Result<(), Duration> {
        let mut paused = self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        match *paused {
            Some(until) if until > Instant::now() => return Err(until.duration_since(Instant::now())),
            _ => *paused = None,
        }
        drop(paused);
        self.limiter.check().map_err(|not_yet| not_yet.wait_time_from(DefaultClock::default().now()))
    }
}

/// Never more than `per_minute` in any minute: what may go at once is taken off what comes back. (A bucket that holds a
/// minute's worth and also refills in a minute lets twice as much through.)
fn quota(per_minute: NonZeroU32) -> Quota {
    let at_once = NonZeroU32::new(per_minute.get() / 10).unwrap_or(NonZeroU32::MIN);
    let come_back = per_minute.get().saturating_sub(at_once.get()).max(1);
    let period = Duration::from_secs(60) / come_back;
    Quota::with_period(period).map_or_else(|| Quota::per_minute(per_minute), |quota| quota.allow_burst(at_once))
}

/// All budgets of one account.
#[derive(Debug)]
pub(super) struct Budgets([Budget; 6]);

/// Of so many questions about calls, one may be a sweep's.
const SWEEPS_ONE_IN: u32 = 4;

impl Budgets {
    pub(super) fn new(per_minute: PerMinute) -> Self {
        let PerMinute { connect, details, legs, sms, other } = per_minute;
        let sweep = NonZeroU32::new(details.get() / SWEEPS_ONE_IN).unwrap_or(NonZeroU32::MIN);
        Self([connect, details, sweep, legs, sms, other].map(Budget::new))
    }

    fn of(&self, class: Class) -> &Budget {
        let [connect, details, sweep, legs, sms, other] = &self.0;
        match class {
            Class::Connect => connect,
            Class::Details => details,
            Class::Sweep => sweep,
            Class::Legs => legs,
            Class::Sms => sms,
            Class::Other => other,
        }
    }

    /// Waits for a place, at most so long.
    ///
    /// # Errors
    /// [`ExotelError::Busy`] at once, when there will be none in that time; nothing is used up then.
    pub(super) async fn take(&self, class: Class, patience: Duration) -> Result<(), ExotelError> {
        let began = Instant::now();
        // Its own part first: what it may not have, it does not take from the others.
        let classes: &[Class] = if class == Class::Sweep { &[Class::Sweep, Class::Details] } else { &[class] };
        for class in classes {
            while let Err(wait) = self.of(*class).take() {
                if began.elapsed() + wait > patience {
                    return Err(ExotelError::Busy { retry_after: wait });
                }
                tokio::time::sleep(wait).await;
            }
        }
        Ok(())
    }

    /// Exotel wants no more of this class for so long. A pause is never shortened.
    pub(super) fn pause(&self, class: Class, wait: Duration) {
        let until = Instant::now() + wait;
        // Exotel counts them together.
        let class = if class == Class::Sweep { Class::Details } else { class };
        let mut paused = self.of(class).paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        *paused = Some(paused.map_or(until, |was| was.max(until)));
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn budgets() -> Budgets {
        let few = NonZeroU32::new(20).unwrap();
        Budgets::new(PerMinute { connect: few, ..PerMinute::PUBLISHED })
    }

    #[tokio::test]
    async fn a_class_that_is_used_up_says_until_when_and_stops_no_other() {
        let budgets = budgets();
        for n in 0..2 {
            assert_eq!(budgets.take(Class::Connect, Duration::ZERO).await, Ok(()), "{n}");
        }
        let busy = budgets.take(Class::Connect, Duration::ZERO).await;
        // 18 come back in a minute.
        let most = Duration::from_millis(3334);
        assert!(matches!(busy, Err(ExotelError::Busy { retry_after }) if retry_after <= most), "{busy:?}");
        assert_eq!(budgets.take(Class::Details, Duration::ZERO).await, Ok(()));
    }

    #[tokio::test]
    async fn exotels_own_word_pauses_the_class_and_a_shorter_one_does_not_end_it() {
        let budgets = budgets();
        budgets.pause(Class::Legs, Duration::from_secs(300));
        budgets.pause(Class::Legs, Duration::from_secs(1));
        let busy = budgets.take(Class::Legs, Duration::from_secs(5)).await;
        let more = Duration::from_secs(200);
        assert!(matches!(busy, Err(ExotelError::Busy { retry_after }) if retry_after > more), "{busy:?}");
    }

    #[tokio::test]
    async fn sweeps_leave_most_of_the_limit_to_others_and_stop_when_it_is_used_up() {
        let of = |details| {
            let details = NonZeroU32::new(details).unwrap();
            Budgets::new(PerMinute { details, ..PerMinute::PUBLISHED })
        };
        let gone = async |budgets: &Budgets, class| {
            let mut gone = 0;
            while budgets.take(class, Duration::ZERO).await.is_ok() {
                gone += 1;
            }
            gone
        };
        // Of 400, 40 may go at once; of a sweep's hundred 10.
        let budgets = of(400);
        let swept = gone(&budgets, Class::Sweep).await;
        assert!((10..15).contains(&swept), "{swept}");
        let asked = gone(&budgets, Class::Details).await;
        assert!((25..40).contains(&asked), "{asked}: what swept is counted with the rest, and leaves most of it");
        let budgets = of(400);
        gone(&budgets, Class::Details).await;
        assert!(gone(&budgets, Class::Sweep).await <= 2, "nothing is left to sweep with");
        let budgets = of(400);
        budgets.pause(Class::Sweep, Duration::from_secs(300));
        assert_eq!(gone(&budgets, Class::Details).await, 0, "Exotel counts them together");
    }

    #[test]
    fn no_minute_sees_more_than_the_limit_and_every_minute_nearly_as_much() {
        for per_minute in [1, 2, 9, 10, 150, 200] {
            let clock = FakeRelativeClock::default();
            let limiter = RateLimiter::direct_with_clock(quota(NonZeroU32::new(per_minute).unwrap()), clock.clone());
            let mut sent = Vec::new();
            for tenth in 0..3000_u32 {
                while limiter.check().is_ok() {
                    sent.push(tenth);
                }
                clock.advance(Duration::from_millis(100));
            }
            for first in &sent {
                let within = sent.iter().filter(|at| (*first..first + 600).contains(*at)).count();
                assert!(within <= per_minute as usize, "{within} in the minute from {first}, limit {per_minute}");
            }
            // In five minutes: of a limit of ten and more, nine tenths come back in each.
            assert!(
                sent.len() * 2 >= per_minute as usize * if per_minute < 10 { 5 } else { 9 },
                "{} of {per_minute}",
                sent.len()
            );
        }
    }
}
