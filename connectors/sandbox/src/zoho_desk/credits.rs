//! The API credits of a day, and the headers that tell of them (§6.2.b).

use http::{HeaderName, Method};
use jiff::{SignedDuration, Timestamp};

use crate::{Reply, Request};

const DAY_S: i64 = 24 * 3600;

/// What was used today. The day begins with its first request.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    began: Option<Timestamp>,
    used: u32,
    weight: u32,
}

/// One credit for a record, three for a search or a range of records ("Credit Consumption Model" of the public
/// documentation); deep ranges, which cost more, are not played.
fn weight(request: &Request) -> u32 {
    match (&request.method, request.segments().as_slice()) {
        (&Method::GET, [.., "agents" | "contacts" | "tickets" | "comments" | "search" | "departments"]) => 3,
        _ => 1,
    }
}

impl Meter {
    /// Books a request, or says in how many seconds it may come again.
    pub(super) fn book(&mut self, limit: Option<u32>, request: &Request, now: Timestamp) -> Result<(), u64> {
        self.weight = weight(request);
        let Some(limit) = limit else { return Ok(()) };
        let began = *self.began.get_or_insert(now);
        let passed = now.duration_since(began);
        if passed >= SignedDuration::from_secs(DAY_S) {
            self.began = Some(now);
            self.used = 0;
        }
        if self.used.saturating_add(self.weight) > limit {
            return Err(u64::try_from(DAY_S - passed.as_secs()).unwrap_or(1).max(1));
        }
        self.used += self.weight;
        Ok(())
    }

    /// Puts the headers on the reply to the request booked last.
    pub(super) fn stamp(&self, limit: Option<u32>, reply: Reply) -> Reply {
        let Some(limit) = limit else { return reply };
        reply
            .with(HeaderName::from_static("x-rate-limit-request-weight-v3"), self.weight.to_string())
            .with(HeaderName::from_static("x-rate-limit-remaining-v3"), limit.saturating_sub(self.used).to_string())
    }
}
