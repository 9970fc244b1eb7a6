//! How long a delivery waits after a failure: the schedule is data, the spread is derived from the delivery's id.

use std::time::Duration;

use uuid::Uuid;

/// The wait after the `attempts`th failure (the first is 1). After the schedule's last step, the last is repeated.
/// Spread by up to a tenth either way, so that what failed together does not come back together; the same delivery and
/// attempt always wait the same, so an incident can be replayed.
pub(super) fn wait(schedule: &[Duration], attempts: u32, delivery: Uuid) -> Duration {
    let step = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX).min(schedule.len().saturating_sub(1));
    let base = schedule.get(step).copied().unwrap_or(Duration::from_secs(60));
    let seed = delivery.as_u64_pair().1.wrapping_add(u64::from(attempts).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let thousandths = 900 + (seed ^ (seed >> 31)) % 201;
    base.mul_f64(f64::from(u32::try_from(thousandths).unwrap_or(1000)) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_followed_and_its_last_step_repeated() {
        let schedule = [Duration::from_secs(10), Duration::from_secs(100)];
        let id = Uuid::from_u128(7);
        for (attempts, base) in [(1, 10.0), (2, 100.0), (3, 100.0), (u32::MAX, 100.0)] {
            let waited = wait(&schedule, attempts, id).as_secs_f64();
            assert!((base * 0.9..=base * 1.1).contains(&waited), "{attempts}: {waited}");
            assert_eq!(wait(&schedule, attempts, id).as_secs_f64(), waited);
        }
    }

    #[test]
    fn deliveries_that_failed_together_come_back_apart() {
        let schedule = [Duration::from_secs(100)];
        let waits: std::collections::BTreeSet<_> =
            (0..50u128).map(|n| wait(&schedule, 1, Uuid::from_u128(n * 0x1234_5678_9ABC_DEF1))).collect();
        assert!(waits.len() > 25, "{}", waits.len());
    }
}
