//! A running lane as the rest of the service sees it: waking it, asking it, ending it.

use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use patchbay_kit::{Contact, PhoneNumber};
use schemars::JsonSchema;
use serde::Serialize;

use super::Lane;
use crate::{
    call::{Caller, PopupHint, route::Sighting},
    delivery::{
        breaker::Health,
        driver::{Driver, Stop},
        popup::Shown,
    },
    store::LaneRef,
    telemetry::{LaneLabels, PopupLabels},
};

/// How a lane stands, as `/readyz` and the API tell it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LaneStanding {
    #[serde(flatten)]
    pub health: Health,
    /// Until when the CRM's request limit holds some requests back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled_until: Option<Timestamp>,
    /// Another node runs it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub elsewhere: bool,
}

/// A running lane, as the rest of the service sees it.
#[derive(Clone, Debug)]
pub struct LaneHandle {
    pub(super) lane: Arc<Lane>,
}

impl LaneHandle {
    /// There may be something new to deliver.
    pub fn wake(&self) {
        self.lane.wake.notify_one();
    }

    /// Shows a call to an agent in the CRM, now or never.
    pub fn popup(&self, hint: PopupHint) {
        let lane = Arc::clone(&self.lane);
        tokio::spawn(async move {
            // A CRM that is down is not asked for what would come late.
            let down = lane.breaker().probe_at().is_some();
            let shown = if down { Shown::Dropped } else { lane.popups.show(&lane.driver, &lane.memory, hint).await };
            let LaneLabels { account, integration } = lane.labels.clone();
            let labels = PopupLabels { account, integration, outcome: shown.as_str() };
            lane.metrics.popups.get_or_create(&labels).inc();
        });
    }

    /// The contact of a caller who is on the line: met before, else searched for. Nobody is made.
    ///
    /// # Errors
    /// Why the CRM does not say it now.
    pub async fn look_up(&self, number: &PhoneNumber) -> Result<Option<Contact>, Stop> {
        let Lane { lane, store, driver, memory, seen, .. } = &*self.lane;
        let external_id = Caller::id_of(number);
        let met = match memory.contacts.recall(&external_id) {
            Some(met) => Some(met),
            None => store.contact(lane, &external_id).await.unwrap_or_default(),
        };
        // One whom a person chose is known by his id alone.
        if let Some(met) = met.filter(|met| !met.name.is_empty()) {
            return Ok(Some(met));
        }
        let Some(contacts) = driver.connector.contacts() else { return Ok(None) };
        let found = memory.contacts.look_up(driver, contacts, number, &mut Vec::new()).await?;
        if let Some(owner) = found.as_ref().and_then(|found| found.owner.clone()) {
            let LaneRef { account, integration } = lane.clone();
            // Whoever is to dial his owner next need not ask.
            let _ = seen.try_send(Sighting::Owner { account, integration, external_id, owner });
        }
        Ok(found)
    }

    /// Whether the CRM is taken to be out of order: who cannot wait does not ask it.
    pub fn is_down(&self) -> bool {
        self.lane.breaker().probe_at().is_some()
    }

    /// Asks the CRM at once whether it is there again.
    pub fn probe_now(&self) {
        self.lane.breaker.lock().unwrap_or_else(PoisonError::into_inner).probe_now(Timestamp::now());
        self.lane.wake.notify_one();
    }

    pub fn health(&self) -> Health {
        self.lane.breaker.lock().unwrap_or_else(PoisonError::into_inner).health().clone()
    }

    /// How it stands, for `/readyz` and the API.
    pub fn standing(&self) -> LaneStanding {
        LaneStanding {
            health: self.health(),
            throttled_until: self.throttled_until(),
            elsewhere: !self.lane.node.holds(&self.lane.duty()),
        }
    }

    /// Until when the CRM's request limit holds some requests back, if it does.
    pub fn throttled_until(&self) -> Option<Timestamp> {
        self.lane.driver.quotas().paused_until(Timestamp::now())
    }

    pub fn lane(&self) -> &LaneRef {
        &self.lane.lane
    }

    /// Takes nothing new any more; what is under way comes to its end.
    pub fn end(&self) {
        self.lane.driver.stopping.cancel();
    }

    /// Whether both are the same running lane.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.lane, &other.lane)
    }

    pub fn driver(&self) -> &Driver {
        &self.lane.driver
    }
}
