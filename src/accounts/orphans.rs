//! Lanes with something to deliver that no integration has any more (renamed, removed): what was planned for them would wait
//! unseen. It is held, with what to do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Accounts, Vault};
use crate::{
    codes::Code,
    store::{DeliveryState, Duty, LaneRef, StoreError},
};

/// A call that was being decided while its integration was removed leaves something behind that nobody tells of.
const LOOK: Duration = Duration::from_secs(60);
const REASON: &str = "there is no integration of this name in the configuration any more: give it its name back and retry \
                      this delivery, or resync the call to write it into the integrations there are";

/// Whose deliveries are being held.
#[derive(Debug)]
pub(super) struct Orphans {
    /// A lane may have been left.
    pub(super) look: Notify,
    pub(super) holding: Mutex<BTreeMap<LaneRef, CancellationToken>>,
}

impl Orphans {
    fn holding(&self) -> MutexGuard<'_, BTreeMap<LaneRef, CancellationToken>> {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is an integration of this name again.
    pub(super) fn spare(&self, lane: &LaneRef) {
        if let Some(holding) = self.holding().remove(lane) {
            holding.cancel();
        }
    }
}

impl Accounts {
    /// Runs until the service stops.
    pub(super) async fn look_for_orphans(self: Arc<Self>) {
        let stopping = self.around.stopping.clone();
        loop {
            match self.orphaned().await {
                Ok(lanes) => lanes.into_iter().for_each(|lane| self.hold(lane)),
                Err(error) => tracing::warn!(
                    code = %Code::StoreUnavailable, %error,
                    "whether deliveries wait for integrations that are gone cannot be read; it is tried again"
                ),
            }
            tokio::select! {
                () = self.orphans.look.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    async fn orphaned(&self) -> Result<BTreeSet<LaneRef>, StoreError> {
        let depths = self.around.vault.store.depths().await?.deliveries;
        // Another node may have made the integration that this one does not know.
        self.follow().await?;
        let roll = self.load();
        let waiting = depths.into_iter().filter(|((lane, state), count)| {
            let waits = matches!(state, DeliveryState::Pending | DeliveryState::Inflight);
            waits && *count > 0 && roll.lane(lane).is_none()
        });
        Ok(waiting.map(|((lane, _), _)| lane).collect())
    }

    /// Once no other node runs it, and this one does no more.
    fn hold(self: &Arc<Self>, lane: LaneRef) {
        let stopping = self.around.stopping.child_token();
        {
            let mut holding = self.orphans.holding();
            if holding.contains_key(&lane) {
                return;
            }
            holding.insert(lane.clone(), stopping.clone());
        }
        let this = Arc::clone(self);
        self.spawn(async move {
            this.hold_one(&lane, &stopping).await;
            if !stopping.is_cancelled() {
                this.orphans.holding().remove(&lane);
            }
        });
    }

    async fn hold_one(&self, lane: &LaneRef, stopping: &CancellationToken) {
        let Vault { store, .. } = &self.around.vault;
        let Some(term) = self.around.node.take(Duty::Lane(lane.clone()), stopping).await else { return };
        let now = Timestamp::now();
        let reason = format!("{}: {REASON}", Code::IntegrationGone);
        let held = async {
            store.recover(term.lease(), lane, now + self.around.config.delivery.ambiguous_wait, now).await?;
            store.hold_lane(lane, &reason, now).await
        };
        match held.await {
            Ok(0) => {}
            Ok(held) => {
                tracing::error!(
                    code = %Code::IntegrationGone, %lane, held,
                    "the integration is gone, and what waited for it is held; give it its name back and retry, or \
                     resync the calls"
                );
            }
            Err(error) => {
                tracing::error!(
                    code = %Code::IntegrationGone, %lane, %error,
                    "the integration is gone, and what waits for it cannot be held now; it is tried again"
                );
            }
        }
        term.end().await;
    }
}
