//! What runs for one account: its lanes, who asks Exotel for it, who compares, who dials. It is begun, ended, and replaced
//! part by part while the service runs; a part that a change does not touch goes on as it is.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Accounts, Kept,
    build::{self, locale},
    kept::Entry,
};
use crate::{
    call::{Locale, PlanRules},
    codes::Code,
    config::{Account, Integration},
    connect::expiry::{Expiry, Standing},
    delivery::{Access, LaneHandle},
    dialer::Dialer,
    exotel::{Enquirer, ExotelClient, SweepRules, Sweeper},
    telemetry::{LaneLabels, Metrics},
};

/// What reading and planning for one account depends on.
#[derive(Clone, Debug)]
pub struct AccountRules {
    pub locale: Locale,
    pub plan: PlanRules,
}

/// One account with what runs for it.
#[derive(Debug)]
pub struct Running {
    pub account: Arc<Account>,
    pub kept: Kept,
    /// Those that do not run among them, with why.
    pub integrations: BTreeMap<String, Kept>,
    pub rules: AccountRules,
    line: Arc<Line>,
    lanes: BTreeMap<String, LaneHandle>,
}

/// What runs towards Exotel: another once the account itself is another.
#[derive(Debug)]
struct Line {
    exotel: ExotelClient,
    dialer: Arc<Dialer>,
    enquiry: Arc<Notify>,
    stopping: CancellationToken,
}

impl Running {
    pub fn exotel(&self) -> &ExotelClient {
        &self.line.exotel
    }

    pub fn dialer(&self) -> &Arc<Dialer> {
        &self.line.dialer
    }

    pub fn lane(&self, integration: &str) -> Option<&LaneHandle> {
        self.lanes.get(integration)
    }

    pub fn lanes(&self) -> impl ExactSizeIterator<Item = &LaneHandle> {
        self.lanes.values()
    }

    pub fn integration(&self, name: &str) -> Option<&Integration> {
        self.account.integrations.iter().find(|one| one.name == name)
    }

    pub(super) fn wake_enquirer(&self) {
        self.line.enquiry.notify_one();
    }

    /// Whether this is what runs for it.
    pub(super) fn is(&self, entry: &Entry) -> bool {
        self.kept == entry.kept && self.integrations == entry.integrations
    }

    /// Ends what does not go on in `now`. In-flight attempts come to their end; what waits stays, for whoever takes the
    /// lane next.
    pub(super) fn end_but_for(&self, now: Option<&Self>, metrics: &Metrics) {
        if now.is_none_or(|now| !Arc::ptr_eq(&now.line, &self.line)) {
            self.line.stopping.cancel();
        }
        for (name, lane) in &self.lanes {
            let goes_on = now.and_then(|now| now.lane(name));
            if goes_on.is_none_or(|other| !other.is(lane)) {
                lane.end();
            }
            if goes_on.is_none() {
                let labels = LaneLabels { account: self.account.sid.clone(), integration: name.clone() };
                metrics.breaker_open.remove(&labels);
                metrics.lane_held.remove(&labels);
                metrics.credential_expires.remove(&labels);
            }
        }
    }
}

impl Accounts {
    /// Begins what runs for an account, but for what goes on of what ran before.
    pub(super) fn begin(&self, entry: Entry, was: Option<&Running>) -> Running {
        let Entry { account, kept, integrations } = entry;
        let same = was.filter(|was| was.kept == kept);
        let line = match same {
            Some(was) => Arc::clone(&was.line),
            None => Arc::new(self.begin_line(&account, was)),
        };
        let mut lanes = BTreeMap::new();
        for integration in &account.integrations {
            let name = &integration.name;
            // What a lane does depends on this much of its account.
            let alike = |was: &&Running| {
                was.integrations.get(name) == integrations.get(name)
                    && was.account.contact_choice == account.contact_choice
                    && was.account.utc_offset == account.utc_offset
            };
            let lane = match was.filter(alike).and_then(|was| was.lane(name)) {
                Some(lane) => lane.clone(),
                None => self.begin_lane(&account, integration),
            };
            lanes.insert(name.clone(), lane);
        }
        let rules = build::account_rules(&self.around, &account);
        Running { account, kept, integrations, rules, line, lanes }
    }

    /// It waits until the lane of this name that was before has come to its end: the duty is one task's at a time.
    fn begin_lane(&self, account: &Account, integration: &Integration) -> LaneHandle {
        tell_expiry(account, integration, &self.around.metrics, Timestamp::now());
        let (handle, running) = build::start_lane(account, integration, &self.around);
        self.orphans.spare(handle.lane());
        let lane = handle.clone();
        self.spawn(async move {
            let _ = running.await;
            if let Access::Tokens(_, keeper) = &lane.driver().access {
                keeper.settled().await;
            }
        });
        handle
    }

    fn begin_line(&self, account: &Arc<Account>, was: Option<&Running>) -> Line {
        let around = &self.around;
        let stopping = around.stopping.child_token();
        // Exotel's limits are counted in it: they do not begin anew with every change.
        let exotel = match was.filter(|was| build::same_exotel(&was.account, account)) {
            Some(was) => was.exotel().clone(),
            None => build::exotel_client(&around.config, account, around.transport.clone()),
        };
        let enquiry = Arc::new(Notify::new());
        let enquirer = Enquirer {
            account: account.sid.clone(),
            client: exotel.clone(),
            store: Arc::clone(&around.vault.store),
            node: Arc::clone(&around.node),
            metrics: Arc::clone(&around.metrics),
            wake: Arc::clone(&enquiry),
            journal: Arc::clone(&around.journal),
            stopping: stopping.clone(),
        };
        self.spawn(enquirer.run());
        let sweep = &around.config.sweep;
        if sweep.enabled {
            let sweeper = Sweeper {
                account: account.sid.clone(),
                client: exotel.clone(),
                store: Arc::clone(&around.vault.store),
                node: Arc::clone(&around.node),
                metrics: Arc::clone(&around.metrics),
                locale: locale(account),
                rules: SweepRules { every: sweep.every, overlap: sweep.overlap, since: sweep.since },
                journal: Arc::clone(&around.journal),
                stopping: stopping.clone(),
            };
            self.spawn(sweeper.run());
        }
        let dialer = build::dialer(around, account, &exotel, &stopping);
        self.spawn(Arc::clone(&dialer).run());
        Line { exotel, dialer, enquiry, stopping }
    }
}

/// A credential that ends takes a whole lane with it: it is told once at start, and in a metric that can be watched.
fn tell_expiry(account: &Account, integration: &Integration, metrics: &Metrics, now: Timestamp) {
    let Some(ends) = Expiry::of(integration.manifest.auth, &integration.secrets) else { return };
    let (account, integration) = (account.sid.clone(), integration.name.clone());
    match ends.standing(now) {
        Standing::Far => {}
        Standing::Soon => {
            tracing::warn!(code = %Code::CredentialEnds, %account, %integration, "the credential in {}", ends.told(now));
        }
        Standing::Past => {
            tracing::error!(code = %Code::CredentialEnds, %account, %integration, "the credential in {}", ends.told(now));
        }
    }
    metrics.credential_expires.get_or_create(&LaneLabels { account, integration }).set(ends.at.as_second());
}
