//! How many requests a CRM account may be sent: token buckets, declared by the manifest, corrected by reply headers.

use std::time::Duration;

use jiff::Timestamp;
use patchbay_kit::{Allowance, Quota};

/// One budget. Pure: it is told the time.
#[derive(Debug)]
struct Bucket {
    labels: &'static [&'static str],
    per: Duration,
    /// Requests per period that are ours. `None`: not known, so nothing is counted; it can only be paused.
    limit: Option<f64>,
    tokens: f64,
    filled_at: Timestamp,
    paused_until: Option<Timestamp>,
    /// Corrected by what the replies of any request say.
    account_wide: bool,
}

impl Bucket {
    fn fill(&mut self, now: Timestamp) {
        let passed = now.duration_since(self.filled_at).as_secs_f64().max(0.0);
        if let Some(limit) = self.limit {
            self.tokens = (self.tokens + passed * limit / self.per.as_secs_f64()).min(limit);
        }
        self.filled_at = now;
    }

    /// When a token will be there; `now` if it is.
    fn ready_at(&self, now: Timestamp) -> Timestamp {
        let at = match self.limit {
            Some(limit) => {
                let missing = (1.0 - self.tokens).max(0.0);
                now + Duration::from_secs_f64(missing * self.per.as_secs_f64() / limit)
            }
            None => now,
        };
        self.paused_until.map_or(at, |until| until.max(at))
    }

    fn covers(&self, label: &str) -> bool {
        self.labels.is_empty() || self.labels.contains(&label)
    }
}

/// All budgets of one CRM account.
#[derive(Debug)]
pub struct Quotas {
    buckets: Vec<Bucket>,
    /// Of the CRM's limit that is ours; 1 where the configuration names our requests per minute itself.
    share: f64,
    fixed: bool,
}

impl Quotas {
    /// From a manifest's quotas. `fixed_per_minute` is the configuration's word on the account-wide one: then headers
    /// no longer change the limit, only how much of it is left.
    pub fn new(declared: &[Quota], share: f64, fixed_per_minute: Option<u32>, now: Timestamp) -> Self {
        let bucket = |labels, per, limit: Option<f64>| Bucket {
            labels,
            per,
            limit: limit.map(|limit| limit.max(1.0)),
            tokens: limit.unwrap_or_default().max(1.0),
            filled_at: now,
            paused_until: None,
            account_wide: labels.is_empty(),
        };
        let mut buckets: Vec<Bucket> = declared
            .iter()
            .filter(|quota| fixed_per_minute.is_none() || !quota.labels.is_empty())
            .map(|quota| bucket(quota.labels, quota.per, quota.limit.map(|limit| f64::from(limit) * share)))
            .collect();
        if let Some(limit) = fixed_per_minute {
            buckets.push(bucket(&[], Duration::from_secs(60), Some(f64::from(limit))));
        }
        Self { buckets, share, fixed: fixed_per_minute.is_some() }
    }

    /// Takes a token for a request from every budget that covers it, or says when they will all have one.
    ///
    /// # Errors
    /// The earliest time at which it is worth asking again.
    pub fn take(&mut self, label: &str, now: Timestamp) -> Result<(), Timestamp> {
        let mut ready = now;
        for bucket in self.buckets.iter_mut().filter(|bucket| bucket.covers(label)) {
            bucket.fill(now);
            ready = ready.max(bucket.ready_at(now));
        }
        if ready > now {
            return Err(ready);
        }
        for bucket in self.buckets.iter_mut().filter(|bucket| bucket.covers(label)) {
            if bucket.limit.is_some() {
                bucket.tokens -= 1.0;
            }
        }
        Ok(())
    }

    /// Requests that may go now, and when one may if none may. Before deliveries are taken, so that a throttled lane
    /// leaves them where later facts still reach them.
    pub fn room(&mut self, now: Timestamp) -> (usize, Timestamp) {
        let mut room = usize::MAX;
        let mut ready = now;
        for bucket in self.buckets.iter_mut().filter(|bucket| bucket.account_wide) {
            bucket.fill(now);
            ready = ready.max(bucket.ready_at(now));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and not negative")]
            let tokens = bucket.tokens.max(0.0) as usize;
            room = room.min(tokens);
        }
        (if ready > now { 0 } else { room }, ready)
    }

    /// Learns from a reply's headers.
    pub fn observe(&mut self, seen: Allowance, now: Timestamp) {
        let share = self.share;
        let fixed = self.fixed;
        for bucket in self.buckets.iter_mut().filter(|bucket| bucket.account_wide) {
            bucket.fill(now);
            if let Some(total) = seen.limit.filter(|total| *total >= 1.0 && total.is_finite() && !fixed) {
                let limit = (total * share).max(1.0);
                bucket.limit = Some(limit);
                bucket.tokens = bucket.tokens.min(limit);
            }
            if let (Some(remaining), Some(total)) = (seen.remaining, seen.limit) {
                // What is left above the part that belongs to the customer's other software.
                let reserve = if fixed { 0.0 } else { total * (1.0 - share) };
                bucket.tokens = bucket.tokens.min((remaining - reserve).max(0.0));
            }
        }
    }

    /// The CRM said "too many": nothing that the exhausted budget covers goes before then. Where the reply said that the
    /// account's own budget has something left, it was one of the narrower ones, and everything else may go on. Returns
    /// whether that was news.
    pub fn pause(&mut self, label: &str, until: Timestamp, seen: Option<Allowance>, now: Timestamp) -> bool {
        let left = seen.and_then(|seen| seen.remaining).is_some_and(|remaining| remaining >= 1.0);
        let narrow = left && self.buckets.iter().any(|bucket| !bucket.account_wide && bucket.covers(label));
        let mut news = false;
        for bucket in self.buckets.iter_mut().filter(|bucket| bucket.covers(label) && !(narrow && bucket.account_wide))
        {
            news |= bucket.paused_until.is_none_or(|was| was <= now);
            bucket.paused_until = Some(bucket.paused_until.map_or(until, |was| was.max(until)));
        }
        news
    }

    /// Until when some budget is paused, if one is.
    pub fn paused_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.buckets.iter().filter_map(|bucket| bucket.paused_until).filter(|until| *until > now).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    const ACCOUNT: Quota = Quota { name: "account", per: Duration::from_secs(60), limit: Some(60), labels: &[] };
    const CREATE: Quota = Quota { name: "create", per: Duration::from_secs(60), limit: Some(2), labels: &["create"] };

    #[test]
    fn a_share_is_left_and_tokens_come_back() {
        let mut quotas = Quotas::new(&[ACCOUNT], 0.5, None, at(0));
        for n in 0..30 {
            assert!(quotas.take("x", at(0)).is_ok(), "{n}");
        }
        assert_eq!(quotas.take("x", at(0)), Err(at(2)));
        assert!(quotas.take("x", at(2)).is_ok());
    }

    #[test]
    fn a_budget_of_some_labels_stops_only_those() {
        let mut quotas = Quotas::new(&[ACCOUNT, CREATE], 1.0, None, at(0));
        assert!(quotas.take("create", at(0)).is_ok());
        assert!(quotas.take("create", at(0)).is_ok());
        assert_eq!(quotas.take("create", at(0)), Err(at(30)));
        assert!(quotas.take("read", at(0)).is_ok());
    }

    #[test]
    fn headers_correct_the_limit_and_what_is_left() {
        let mut quotas = Quotas::new(&[ACCOUNT], 0.8, None, at(0));
        quotas.observe(Allowance { limit: Some(200.0), remaining: Some(41.0) }, at(0));
        // 200 × 0.2 belong to others: one of the 41 is ours.
        assert!(quotas.take("x", at(0)).is_ok());
        assert!(quotas.take("x", at(0)).is_err());
        // 160 a minute come back from then on.
        assert_eq!(quotas.room(at(60)).0, 160);
    }

    #[test]
    fn the_configuration_has_the_last_word_on_the_limit() {
        let mut quotas = Quotas::new(&[ACCOUNT], 0.8, Some(500), at(0));
        assert_eq!(quotas.room(at(0)).0, 500);
        quotas.observe(Allowance { limit: Some(50.0), remaining: Some(10.0) }, at(0));
        assert_eq!(quotas.room(at(0)).0, 10);
        assert_eq!(quotas.room(at(60)).0, 500);
    }

    #[test]
    fn a_narrow_budget_that_is_exhausted_stops_only_what_it_covers() {
        const LISTS: Quota = Quota { name: "lists", per: Duration::from_secs(60), limit: None, labels: &["list"] };
        let mut quotas = Quotas::new(&[ACCOUNT, LISTS], 1.0, None, at(0));
        for _ in 0..50 {
            assert!(quotas.take("list", at(0)).is_ok(), "what is not known is not counted");
        }
        let seen = Allowance { limit: Some(60.0), remaining: Some(10.0) };
        quotas.pause("list", at(30), Some(seen), at(0));
        assert_eq!(quotas.take("list", at(1)), Err(at(30)));
        assert!(quotas.take("create", at(1)).is_ok());
        assert_eq!(quotas.paused_until(at(1)), Some(at(30)));
        // Without a word on what is left, it may have been the account's own.
        quotas.pause("list", at(40), None, at(31));
        assert!(quotas.take("create", at(31)).is_err());
    }

    #[test]
    fn too_many_pauses_until_then() {
        let mut quotas = Quotas::new(&[ACCOUNT], 1.0, None, at(0));
        assert!(quotas.pause("x", at(30), None, at(0)));
        assert!(!quotas.pause("x", at(30), None, at(1)), "told once");
        assert_eq!(quotas.take("x", at(0)), Err(at(30)));
        assert_eq!(quotas.room(at(0)), (0, at(30)));
        assert!(quotas.take("x", at(30)).is_ok());
    }
}
