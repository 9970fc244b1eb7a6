//! HubSpot's limits: a rolling ten seconds per app, a day per account, and a second of its own for search
//! (`crm-api.md` §7.b).

use std::collections::VecDeque;

use http::Method;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::refusal::{rate_header, too_many};
use crate::{Reply, Request};

const ROLLING: SignedDuration = SignedDuration::from_secs(10);
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// `None` is unlimited; without `ten_secondly` no headers are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub ten_secondly: Option<u32>,
    pub daily: Option<u32>,
    /// Search has a limit of its own and is exempt from the ten-secondly one.
    pub search_secondly: Option<u32>,
}

impl Limits {
    /// No limit and no headers: the account of a benchmark.
    pub fn none() -> Self {
        Self::default()
    }

    /// A private app in an account of the plan Free or Starter.
    pub fn starter() -> Self {
        Self { ten_secondly: Some(100), daily: Some(250_000), search_secondly: Some(5) }
    }

    /// A private app in an account of the plan Professional.
    pub fn professional() -> Self {
        Self { ten_secondly: Some(190), daily: Some(650_000), search_secondly: Some(5) }
    }

    /// An app with OAuth; the day's limit is the account's.
    pub fn public_app() -> Self {
        Self { ten_secondly: Some(110), daily: None, search_secondly: Some(5) }
    }
}

/// Whether a request is a search, which counts apart.
pub(super) fn is_search(request: &Request) -> bool {
    request.method == Method::POST && request.path.last().is_some_and(|last| last == "search")
}

/// What has been used.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    rolling: VecDeque<Timestamp>,
    searches: VecDeque<Timestamp>,
    day: Option<jiff::civil::Date>,
    today: u32,
    searching: bool,
}

impl Meter {
    /// Books a request, or names the limit that is used up. A refused request is not booked.
    pub(super) fn book(&mut self, limits: &Limits, request: &Request, now: Timestamp) -> Result<(), &'static str> {
        let day = now.to_zoned(TimeZone::UTC).date();
        if self.day != Some(day) {
            (self.day, self.today) = (Some(day), 0);
        }
        self.searching = is_search(request);
        let (used, over, most, policy) = if self.searching {
            (&mut self.searches, SECOND, limits.search_secondly, "SECONDLY")
        } else {
            (&mut self.rolling, ROLLING, limits.ten_secondly, "TEN_SECONDLY_ROLLING")
        };
        while used.front().is_some_and(|at| now.duration_since(*at) >= over) {
            used.pop_front();
        }
        if limits.daily.is_some_and(|most| self.today >= most) {
            return Err("DAILY");
        }
        if most.is_some_and(|most| used.len() >= most as usize) {
            return Err(policy);
        }
        if most.is_some() {
            used.push_back(now);
        }
        self.today += 1;
        Ok(())
    }

    /// The refusal of [`Meter::book`] as a reply.
    pub(super) fn refuse(&self, limits: &Limits, policy: &'static str) -> Reply {
        self.stamp(limits, too_many(policy))
    }

    /// Puts the headers on the reply to the request booked last; a search's has none.
    pub(super) fn stamp(&self, limits: &Limits, mut reply: Reply) -> Reply {
        let Some(max) = limits.ten_secondly else { return reply };
        if self.searching {
            return reply;
        }
        let left = |most: u32, used: usize| most.saturating_sub(u32::try_from(used).unwrap_or(most)).to_string();
        if let Some(daily) = limits.daily {
            reply = reply
                .with(rate_header("daily"), daily.to_string())
                .with(rate_header("daily-remaining"), left(daily, self.today as usize));
        }
        reply
            .with(rate_header("interval-milliseconds"), "10000")
            .with(rate_header("max"), max.to_string())
            .with(rate_header("remaining"), left(max, self.rolling.len()))
    }
}
