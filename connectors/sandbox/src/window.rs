//! The per-minute counter behind every sandbox's rate limit.

use jiff::{SignedDuration, Timestamp};

const MINUTE_S: i64 = 60;

/// What was used in the current minute. The minute begins with its first request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    began: Option<Timestamp>,
    used: u32,
}

impl Window {
    /// What is left of `limit` at `now`.
    pub(crate) fn left(&mut self, limit: u32, now: Timestamp) -> u32 {
        let began = *self.began.get_or_insert(now);
        if now.duration_since(began) >= SignedDuration::from_secs(MINUTE_S) {
            self.began = Some(now);
            self.used = 0;
        }
        limit.saturating_sub(self.used)
    }

    /// Books `cost`; it may exceed what is left, as it does where one request costs several.
    pub(crate) fn book(&mut self, cost: u32) {
        self.used = self.used.saturating_add(cost);
    }

    /// Whole seconds until the minute is over, at least one.
    pub(crate) fn retry_after_s(&self, now: Timestamp) -> u64 {
        let passed_ms = self.began.map_or(0, |began| now.duration_since(began).as_millis());
        let rest_ms = (i128::from(MINUTE_S) * 1000 - passed_ms).max(1);
        u64::try_from((rest_ms + 999) / 1000).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_used_up_and_then_begins_anew() {
        let start = Timestamp::UNIX_EPOCH;
        let at = |ms| start + SignedDuration::from_millis(ms);
        let mut window = Window::default();
        assert_eq!(window.left(2, at(0)), 2);
        window.book(2);
        assert_eq!(window.left(2, at(59_999)), 0);
        assert_eq!(window.retry_after_s(at(59_999)), 1);
        assert_eq!(window.retry_after_s(at(10_500)), 50);
        assert_eq!(window.left(2, at(60_000)), 2);
    }
}
