//! The limit of the v2 API: so many calls within five seconds (`crm-api.md` §4.b).

use jiff::{SignedDuration, Timestamp};

use super::{refusal::Refusal, settings::Settings};

pub(super) const WINDOW_S: i64 = 5;

/// What was used of the current five seconds, which begin with their first call.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    began: Option<Timestamp>,
    used: u32,
}

impl Meter {
    /// Books a call, or says in LeadSquared's form that there were too many.
    pub(super) fn book(&mut self, settings: &Settings, now: Timestamp) -> Result<(), Refusal> {
        let Some(limit) = settings.limit else { return Ok(()) };
        let began = *self.began.get_or_insert(now);
        if now.duration_since(began) >= SignedDuration::from_secs(WINDOW_S) {
            self.began = Some(now);
            self.used = 0;
        }
        self.used = self.used.saturating_add(1);
        if self.used > limit {
            return Err(Refusal::limit(settings, settings.limit_inside));
        }
        Ok(())
    }
}
