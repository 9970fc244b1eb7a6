//! Whether a CRM is taken to be there: closed, open after outages in a row, held when it refuses the credentials.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::codes::Code;

/// How a lane stands, as `/readyz`, the API and the metrics tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Health {
    Running,
    /// The CRM is down; it is asked again at `probe_at`. Rows wait and spend no attempts.
    Down {
        since: Timestamp,
        probe_at: Timestamp,
        reason: String,
    },
    /// The CRM refuses the credentials; somebody must renew them. They are tried again at `probe_at`.
    Unauthorized {
        since: Timestamp,
        probe_at: Timestamp,
        reason: String,
    },
}

impl Health {
    /// What holds the lane up.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Running => None,
            Self::Down { .. } => Some(Code::CrmDown),
            Self::Unauthorized { .. } => Some(Code::CrmUnauthorized),
        }
    }
}

/// A pure state machine: it is told what happened and when.
#[derive(Debug)]
pub struct Breaker {
    after: u32,
    probe: Arc<[Duration]>,
    held_probe: Duration,
    failures: u32,
    probes: usize,
    health: Health,
}

impl Breaker {
    pub fn new(after: u32, probe: Arc<[Duration]>, held_probe: Duration) -> Self {
        Self { after, probe, held_probe, failures: 0, probes: 0, health: Health::Running }
    }

    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The CRM answered something of its own, success or refusal: it is there.
    /// Returns whether that was news.
    pub fn answered(&mut self) -> bool {
        self.failures = 0;
        self.probes = 0;
        let news = self.health != Health::Running;
        self.health = Health::Running;
        news
    }

    /// No answer, or one that only a broken service gives. Returns whether the lane has just been opened.
    pub fn outage(&mut self, now: Timestamp, reason: &str) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures < self.after {
            return false;
        }
        let (news, since) = match &self.health {
            Health::Down { since, .. } => (false, *since),
            _ => (true, now),
        };
        if news {
            self.probes = 0;
        }
        self.health = Health::Down { since, probe_at: now + self.probe_wait(), reason: reason.to_owned() };
        news
    }

    /// The credentials were refused. Returns whether that was news: one alert per target, not one per delivery.
    pub fn unauthorized(&mut self, now: Timestamp, reason: &str) -> bool {
        let (news, since) = match &self.health {
            Health::Unauthorized { since, .. } => (false, *since),
            _ => (true, now),
        };
        self.health = Health::Unauthorized { since, probe_at: now + self.held_probe, reason: reason.to_owned() };
        news
    }

    /// A probe failed with an outage, or could not be made: the next one comes later. Without a reason that is news, the
    /// one there is stays; and so does the one that says why the credentials were refused.
    pub fn probe_failed(&mut self, now: Timestamp, reason: Option<&str>) {
        self.probes = self.probes.saturating_add(1);
        let next = now + self.probe_wait();
        match &mut self.health {
            Health::Running => {}
            Health::Down { probe_at, reason: why, .. } => {
                *probe_at = next;
                if let Some(reason) = reason {
                    reason.clone_into(why);
                }
            }
            Health::Unauthorized { probe_at, .. } => *probe_at = next,
        }
    }

    /// Whether the credentials were refused after that: what was begun then and went well proves nothing for them.
    pub fn refused_since(&self, began: Timestamp) -> bool {
        matches!(self.health, Health::Unauthorized { since, .. } if since >= began)
    }

    /// When the CRM is to be asked again whether it is there; `None` while deliveries may go.
    pub fn probe_at(&self) -> Option<Timestamp> {
        match self.health {
            Health::Running => None,
            Health::Down { probe_at, .. } | Health::Unauthorized { probe_at, .. } => Some(probe_at),
        }
    }

    /// Somebody asked for the credentials to be tried now.
    pub fn probe_now(&mut self, now: Timestamp) {
        if let Health::Down { probe_at, .. } | Health::Unauthorized { probe_at, .. } = &mut self.health {
            *probe_at = now;
        }
    }

    fn probe_wait(&self) -> Duration {
        let step = self.probes.min(self.probe.len().saturating_sub(1));
        self.probe.get(step).copied().unwrap_or(Duration::from_secs(30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(3, [Duration::from_secs(2), Duration::from_secs(10)].into(), Duration::from_secs(300))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn opens_after_outages_in_a_row_and_says_so_once() {
        let mut breaker = breaker();
        assert!(!breaker.outage(at(0), "x"));
        assert!(!breaker.outage(at(1), "x"));
        breaker.answered();
        assert!(!breaker.outage(at(2), "x"));
        assert!(!breaker.outage(at(3), "x"));
        assert!(breaker.outage(at(4), "x"));
        assert!(!breaker.outage(at(5), "x"));
        assert_eq!(breaker.probe_at(), Some(at(7)));
    }

    #[test]
    fn probes_come_further_apart_and_one_answer_closes() {
        let mut breaker = breaker();
        for second in 0..3 {
            breaker.outage(at(second), "x");
        }
        breaker.probe_failed(at(10), Some("x"));
        assert_eq!(breaker.probe_at(), Some(at(20)));
        breaker.probe_failed(at(20), Some("x"));
        assert_eq!(breaker.probe_at(), Some(at(30)));
        assert!(breaker.answered());
        assert_eq!(breaker.probe_at(), None);
    }

    #[test]
    fn refused_credentials_alert_once() {
        let mut breaker = breaker();
        assert!(breaker.unauthorized(at(0), "401"));
        assert!(!breaker.unauthorized(at(1), "401"));
        assert_eq!(breaker.probe_at(), Some(at(301)));
        breaker.probe_now(at(2));
        assert_eq!(breaker.probe_at(), Some(at(2)));
        breaker.probe_failed(at(3), Some("503"));
        assert!(matches!(breaker.health(), Health::Unauthorized { reason, .. } if reason == "401"));
        assert!(breaker.refused_since(at(0)) && !breaker.refused_since(at(3)));
    }
}
