//! The one limit of a Freshsales account, so that a connector is seen to keep it: requests per hour (`crm-api.md`
//! §2.b).

use http::header;
use jiff::{SignedDuration, Timestamp};

use crate::Reply;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// What a plan allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests per hour; `None` is unlimited.
    pub per_hour: Option<u32>,
    /// A 429 says when to come again; no documentation shows it.
    pub says_when: bool,
}

impl Limits {
    /// No limit: the instant account of a benchmark.
    pub fn none() -> Self {
        Self::default()
    }

    /// Free and Growth.
    pub fn growth() -> Self {
        Self { per_hour: Some(1000), says_when: false }
    }

    pub fn pro() -> Self {
        Self { per_hour: Some(2000), says_when: false }
    }

    pub fn enterprise() -> Self {
        Self { per_hour: Some(5000), says_when: false }
    }
}

/// What was used in the current hour. The hour begins with its first request `[M]`.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    began: Option<Timestamp>,
    used: u32,
}

impl Meter {
    /// Books a request, or says in how many seconds it may come again.
    pub(super) fn book(&mut self, limits: Limits, now: Timestamp) -> Result<(), u64> {
        let Some(limit) = limits.per_hour else { return Ok(()) };
        let began = *self.began.get_or_insert(now);
        let passed = now.duration_since(began);
        if passed >= HOUR {
            self.began = Some(now);
            self.used = 0;
        } else if self.used >= limit {
            return Err(u64::try_from((HOUR - passed).as_secs()).unwrap_or(0).max(1));
        }
        self.used += 1;
        Ok(())
    }
}

/// Puts the wait on a 429.
pub(super) fn with_wait(reply: Reply, retry_after_s: Option<u64>) -> Reply {
    match retry_after_s {
        Some(seconds) => reply.with(header::RETRY_AFTER, seconds.to_string()),
        None => reply,
    }
}
