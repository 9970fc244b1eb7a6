//! Popups to a CRM that shows calls itself: at once or not at all. What cannot be shown in time is dropped and counted;
//! it is never a row, for a call that has stopped ringing is no news.
//!
//! # How an agent sees the call
//!
//! Where a CRM shows calls itself, events become popups once they are durable. They go out beside the lane, at once,
//! one for each agent and phase; what cannot be shown within ten seconds of the callback is dropped and counted.
//! Nothing of it is stored.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use patchbay_kit::{Phase, Popup};
use tokio::sync::Semaphore;

use super::{
    driver::Driver,
    perform::{self, Memory},
};
use crate::call::PopupHint;

/// Popups of one integration under way at once; what comes beyond is dropped, for it would come late.
const AT_ONCE: usize = 16;
/// How long it is remembered what was shown: an agent is told once that he is rung, however often Exotel says it.
const REMEMBERED: Duration = Duration::from_secs(120);

/// How a popup ended, as the metrics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    InTime,
    /// The CRM is not told of this: another agent, another phase.
    NotTold,
    /// It came too late, or there were too many.
    Dropped,
    Failed,
}

impl Shown {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::InTime => "shown",
            Self::NotTold => "not_told",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
        }
    }
}

/// What one integration was shown lately.
#[derive(Debug)]
pub(super) struct Popups {
    places: Arc<Semaphore>,
    shown: Mutex<HashMap<(String, String, Phase), Instant>>,
}

impl Popups {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), shown: Mutex::default() }
    }

    /// Whether this is the first time.
    fn first(&self, hint: &PopupHint) -> bool {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|_, at| at.elapsed() < REMEMBERED);
        shown.insert((hint.key.0.clone(), hint.agent_number.written.clone(), hint.phase), Instant::now()).is_none()
    }

    /// Shows it, if that can be done in time.
    pub(super) async fn show(&self, driver: &Driver, memory: &Memory, hint: PopupHint) -> Shown {
        let Some(popups) = driver.connector.popups() else { return Shown::NotTold };
        if !self.first(&hint) {
            return Shown::NotTold;
        }
        let Ok(_place) = Arc::clone(&self.places).try_acquire_owned() else { return Shown::Dropped };
        let left = Duration::try_from(hint.until.duration_since(Timestamp::now())).unwrap_or_default();
        if left.is_zero() {
            return Shown::Dropped;
        }
        let shown = async {
            let mut trace = Vec::new();
            let agent = perform::agent(driver, memory, &hint.agent, &mut trace).await?;
            let popup = Popup {
                key: hint.key.clone(),
                phase: hint.phase,
                direction: hint.direction,
                customer: hint.customer.clone(),
                exophone: hint.exophone.clone(),
                agent_number: hint.agent_number.clone(),
                agent,
                contact: memory.contacts.recall(&hint.external_id).map(|contact| contact.at),
                started_at: hint.started_at,
                talk_seconds: hint.talk_seconds,
            };
            match popups.show(&popup) {
                Some(exchange) => driver.run(exchange, &mut trace).await.map(|()| Shown::InTime),
                None => Ok(Shown::NotTold),
            }
        };
        match tokio::time::timeout(left, shown).await {
            Ok(Ok(shown)) => shown,
            Ok(Err(stop)) => {
                tracing::info!(call = %hint.key, reason = stop.told(), "a popup could not be shown");
                Shown::Failed
            }
            Err(_) => Shown::Dropped,
        }
    }
}
