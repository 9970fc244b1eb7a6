//! One integration's stream of deliveries: what is taken when, how many at once, and what is learnt from each.

mod handle;
mod window;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use patchbay_kit::Contact;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    breaker::Breaker,
    driver::Driver,
    perform::{self, Ending, Memory, Performed},
    popup::Popups,
    settle::{self, Policy, Sign, Verdict},
};
use crate::{
    call::{ContactChoice, route::Sighting},
    codes::Code,
    crash,
    store::{Attempt, AttemptOutcome, Claimed, Duty, LaneRef, Lease, Node, Settlement, Store, StoreError, Term, Turn},
    telemetry::{AttemptLabels, LaneLabels, Metrics},
};

pub use handle::{LaneHandle, LaneStanding};
use window::share;

/// How long a lane sleeps when it knows of nothing to do; a missed wake-up costs no more than this.
const IDLE: Duration = Duration::from_secs(15);
/// How long it waits after the store could not be asked.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What a lane is made of.
#[derive(Debug)]
pub struct LaneParts {
    pub lane: LaneRef,
    pub driver: Driver,
    pub store: Arc<dyn Store>,
    pub node: Arc<Node>,
    pub metrics: Arc<Metrics>,
    pub breaker: Breaker,
    pub retry: Arc<[Duration]>,
    pub give_up_after: Duration,
    pub ambiguous_wait: Duration,
    pub window: usize,
    pub contact_choice: ContactChoice,
    /// Told of every contact that was found, with his owner.
    pub seen: mpsc::Sender<Sighting>,
}

/// A lane.
#[derive(Debug)]
pub struct Lane {
    lane: LaneRef,
    labels: LaneLabels,
    driver: Driver,
    store: Arc<dyn Store>,
    node: Arc<Node>,
    metrics: Arc<Metrics>,
    breaker: Mutex<Breaker>,
    policy: Policy,
    window: usize,
    memory: Memory,
    popups: Popups,
    seen: mpsc::Sender<Sighting>,
    wake: Notify,
}

impl Lane {
    /// Starts the lane on the current runtime. It ends when its driver's token is cancelled and what was under way has
    /// been settled.
    pub fn start(parts: LaneParts) -> (LaneHandle, tokio::task::JoinHandle<()>) {
        let LaneParts {
            lane,
            driver,
            store,
            node,
            metrics,
            breaker,
            retry,
            give_up_after,
            ambiguous_wait,
            window,
            contact_choice,
            seen,
        } = parts;
        let labels = LaneLabels { account: lane.account.clone(), integration: lane.integration.clone() };
        metrics.breaker_open.get_or_create(&labels).set(0);
        metrics.lane_held.get_or_create(&labels).set(0);
        let lane = Arc::new(Self {
            lane,
            labels,
            driver,
            store,
            node,
            metrics,
            breaker: Mutex::new(breaker),
            policy: Policy { retry, give_up_after, ambiguous_wait },
            window,
            memory: Memory::new(contact_choice),
            popups: Popups::new(),
            seen,
            wake: Notify::new(),
        });
        let running = tokio::spawn(Arc::clone(&lane).run());
        (LaneHandle { lane }, running)
    }

    fn duty(&self) -> Duty {
        Duty::Lane(self.lane.clone())
    }

    async fn run(self: Arc<Self>) {
        let stopping: CancellationToken = self.driver.stopping.clone();
        while let Some(term) = self.node.take(self.duty(), &stopping).await {
            let term = Arc::new(term);
            self.serve(&term, &stopping).await;
            term.end().await;
        }
    }

    /// Delivers as long as the lane is this node's. When this returns, nothing is under way any more.
    async fn serve(self: &Arc<Self>, term: &Arc<Term>, stopping: &CancellationToken) {
        // Another node may have had the lane, and made whom this one looked for in vain.
        self.memory.renew();
        let mut under_way: JoinSet<Turn> = JoinSet::new();
        let mut taken: BTreeMap<Turn, usize> = BTreeMap::new();
        let mut recovered = false;
        while !stopping.is_cancelled() {
            let stepped = match recovered {
                true => self.step(term, &mut under_way, &mut taken).await,
                false => self.recover(term.lease()).await.map(|()| Duration::ZERO),
            };
            let wait = match stepped {
                Ok(wait) => wait,
                Err(StoreError::Fenced) => break,
                Err(error) => {
                    tracing::error!(
                        code = %Code::StoreUnavailable, lane = %self.lane, %error,
                        "deliveries cannot be read from the store; they wait, and it is tried on"
                    );
                    tokio::select! {
                        () = tokio::time::sleep(STORE_PAUSE) => {}
                        () = stopping.cancelled() => {}
                    }
                    // Something may have been claimed although no answer came: it is recovered when the lane is taken
                    // again.
                    break;
                }
            };
            recovered = true;
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
                Some(ended) = under_way.join_next() => Self::ended(ended, &mut taken),
                () = term.lost() => {
                    tracing::warn!(
                        code = %Code::TakenOver, lane = %self.lane,
                        "the lane may be another node's by now; this one delivers no more for it"
                    );
                    break;
                }
                () = stopping.cancelled() => {}
            }
            while let Some(ended) = under_way.try_join_next() {
                Self::ended(ended, &mut taken);
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Takes up again what was in flight when whoever had the lane before ended.
    async fn recover(&self, lease: &Lease) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let not_before = now + self.policy.ambiguous_wait;
        let recovered = self.store.recover(lease, &self.lane, not_before, now).await?;
        if recovered > 0 {
            tracing::warn!(
                code = %Code::Interrupted, lane = %self.lane, recovered,
                "deliveries were under way when their process ended; each is looked for in the CRM before it is \
                 written"
            );
        }
        Ok(())
    }

    fn ended(ended: Result<Turn, tokio::task::JoinError>, taken: &mut BTreeMap<Turn, usize>) {
        match ended {
            Ok(turn) => *taken.entry(turn).or_default() -= 1,
            // A panic in an attempt: the row stays in flight and is recovered when the lane is next taken; its place in
            // the window is lost until then, which keeps a crash from repeating itself at full speed.
            Err(error) => tracing::error!(
                code = %Code::Internal, %error,
                "an attempt ended abnormally; its delivery is looked for in the CRM when the lane is next taken"
            ),
        }
    }

    /// Takes what may be taken now; says how long there is nothing to do.
    async fn step(
        self: &Arc<Self>,
        term: &Arc<Term>,
        under_way: &mut JoinSet<Turn>,
        taken: &mut BTreeMap<Turn, usize>,
    ) -> Result<Duration, StoreError> {
        let now = Timestamp::now();
        let probe_at = self.breaker().probe_at();
        if let Some(at) = probe_at {
            if at > now {
                return Ok(until(at, now));
            }
            self.probe().await;
            return Ok(Duration::ZERO);
        }
        let (room, ready) = self.driver.quotas().room(now);
        if room == 0 {
            return Ok(until(ready, now));
        }
        let mut full = false;
        for turn in Turn::ALL {
            let free = share(self.window, turn, taken).min(room);
            if free == 0 {
                full = true;
                continue;
            }
            let claimed = self.store.claim(term.lease(), &self.lane, turn, free, now).await?;
            full |= claimed.len() == free;
            for one in claimed {
                crash::point("delivery.after_claim");
                *taken.entry(turn).or_default() += 1;
                let (lane, term) = (Arc::clone(self), Arc::clone(term));
                under_way.spawn(async move {
                    lane.attempt(one, &term).await;
                    turn
                });
            }
        }
        if full {
            // There may be more; the next place that falls free wakes the loop.
            return Ok(IDLE);
        }
        let due = self.store.next_due(&self.lane).await?;
        Ok(due.map_or(IDLE, |due| until(due, now).max(Duration::from_millis(5)).min(IDLE)))
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the CRM who we are: the cheapest proof that it is there and knows the credentials.
    async fn probe(&self) {
        let mut trace = Vec::new();
        let asked = self.driver.run(self.driver.connector.identify(), &mut trace).await;
        let sign = match &asked {
            Ok(_) => Sign::There,
            Err(stop) => Sign::of(stop),
        };
        let reason = asked.err().map(|stop| stop.told()).unwrap_or_default();
        if sign == Sign::Outage {
            self.breaker().probe_failed(Timestamp::now(), Some(&reason));
        } else if trace.is_empty() && sign != Sign::Unauthorized {
            // Held back by a quota, nobody was asked: that says nothing, and the next probe comes later. A token server's
            // refusal says enough, although the CRM itself was not asked.
            self.breaker().probe_failed(Timestamp::now(), None);
        } else {
            self.learn(sign, &reason);
        }
    }

    /// [`Self::learn`] of what was begun then: what went well on credentials that were refused meanwhile is no news.
    fn learn_since(&self, began: Timestamp, sign: Sign, reason: &str) {
        let outlived = sign == Sign::There && self.breaker().refused_since(began);
        if !outlived {
            self.learn(sign, reason);
        }
    }

    /// Tells the breaker, and whoever watches, what an answer or its absence says.
    fn learn(&self, sign: Sign, reason: &str) {
        let now = Timestamp::now();
        let gauges = |down: i64, held: i64| {
            self.metrics.breaker_open.get_or_create(&self.labels).set(down);
            self.metrics.lane_held.get_or_create(&self.labels).set(held);
        };
        let mut breaker = self.breaker();
        match sign {
            Sign::There => {
                if breaker.answered() {
                    gauges(0, 0);
                    tracing::info!(lane = %self.lane, "the CRM is there again; the backlog is being delivered");
                }
            }
            Sign::Outage => {
                if breaker.outage(now, reason) {
                    gauges(1, 0);
                    tracing::warn!(code = %Code::CrmDown, lane = %self.lane, reason,
                        "the CRM is down; deliveries wait and go out by themselves once it answers");
                }
            }
            Sign::Unauthorized => {
                if breaker.unauthorized(now, reason) {
                    gauges(0, 1);
                    tracing::error!(
                        code = %Code::CrmUnauthorized, lane = %self.lane, reason,
                        "the CRM refuses the credentials; deliveries wait until they are renewed: run `patchbay \
                         check`"
                    );
                }
            }
            Sign::None => {}
        }
    }

    /// One attempt, from the claim to its settlement.
    async fn attempt(&self, claimed: Claimed, term: &Term) {
        let at = Timestamp::now();
        let began = Instant::now();
        let delivery = &claimed.delivery;
        // An outage that began since the claim: the row goes back without spending an attempt.
        let waits = self.breaker().health().code();
        let performed = if let Some(code) = waits {
            let ending = Ending::LaneWaits(code);
            Performed { ending, link: None, contact: None, remark: String::new(), trace: vec![] }
        } else {
            tokio::select! {
                performed = perform::perform(&self.driver, &self.memory, &claimed, self.policy.ambiguous_wait) => performed,
                // Whoever takes the lane over finds the row in flight, and looks before it writes.
                () = term.lost() => return,
            }
        };
        let Performed { ending, link, contact, remark, trace } = performed;
        let now = Timestamp::now();
        let Verdict { outcome, next, sign, code, remote_code, detail } =
            settle::judge(&ending, remark, delivery, &self.policy, now);
        // That it is there is said by an answer of its own alone, not by a limit of ours.
        if sign != Sign::There || trace.iter().any(|exchange| exchange.status.is_some()) {
            self.learn_since(at, sign, &detail);
        }
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some((external_id, Some(Contact { owner: Some(owner), .. }))) = &contact {
            // Nobody waits for it: a full queue loses a hint, which the CRM can be asked for.
            let _ = self.seen.try_send(Sighting::Owner {
                account: self.lane.account.clone(),
                integration: self.lane.integration.clone(),
                external_id: external_id.clone(),
                owner: owner.clone(),
            });
        }
        let settlement = Settlement {
            delivery: delivery.id,
            lane: self.lane.clone(),
            call_sid: delivery.call_sid.clone(),
            kind: delivery.kind,
            attempt: Attempt {
                at,
                revision: delivery.revision,
                outcome,
                remote_code,
                detail,
                duration_ms,
                exchanges: trace,
            },
            next,
            link,
            contact,
        };
        self.tell(&settlement, delivery.attempts + 1, code);
        crash::point("delivery.before_settle");
        self.settle(settlement, term.lease()).await;
        crash::point("delivery.after_settle");
        // A later delivery of this call may be free to go now.
        self.wake.notify_one();
    }

    /// Writes the outcome. What is in the CRM must come to be known here, so this is tried until it works; a service
    /// that is told to stop gives up, and the next start looks before it creates.
    async fn settle(&self, settlement: Settlement, lease: &Lease) {
        let mut told = false;
        loop {
            match self.store.settle(lease, settlement.clone()).await {
                Ok(()) => return,
                Err(StoreError::Fenced) => {
                    tracing::warn!(
                        code = %Code::TakenOver, lane = %self.lane, call = %settlement.call_sid,
                        "an outcome comes too late: another node has taken the lane over, and looks for the record \
                         itself"
                    );
                    return;
                }
                Err(error) => {
                    if !told {
                        tracing::error!(
                            code = %Code::StoreUnavailable, lane = %self.lane, %error,
                            "what became of a delivery cannot be stored; it is tried on"
                        );
                        told = true;
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(STORE_PAUSE) => {}
                () = self.driver.stopping.cancelled() => {
                    // One last time: the store may be draining.
                    let _ = self.store.settle(lease, settlement).await;
                    return;
                }
            }
        }
    }

    /// The one line per attempt.
    fn tell(&self, settlement: &Settlement, number: u32, code: Option<Code>) {
        let Settlement { call_sid, kind, attempt, link, .. } = settlement;
        let Attempt { revision, outcome, detail, duration_ms, exchanges, .. } = attempt;
        let labels = AttemptLabels {
            account: self.lane.account.clone(),
            integration: self.lane.integration.clone(),
            kind: kind.as_str(),
            outcome: outcome.as_str(),
        };
        self.metrics.attempts.get_or_create(&labels).inc();
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of one attempt")]
        self.metrics.attempt_seconds.get_or_create(&self.labels).observe(*duration_ms as f64 / 1000.0);
        let record = link.as_ref().map(|link| link.at.to_string()).unwrap_or_default();
        macro_rules! line {
            ($level:ident, $told:literal) => {
                tracing::$level!(
                    code = code.map(tracing::field::display), lane = %self.lane, call = %call_sid, kind = kind.as_str(),
                    attempt = number, revision, outcome = outcome.as_str(), record, exchanges = exchanges.len(),
                    ms = duration_ms, detail, $told
                )
            };
        }
        match outcome {
            AttemptOutcome::Delivered => line!(info, "a delivery is written into the CRM"),
            AttemptOutcome::Unchanged => line!(info, "a delivery is done: the CRM says this already"),
            AttemptOutcome::Postponed => line!(debug, "a delivery is put off; it goes out by itself"),
            AttemptOutcome::Retry => line!(warn, "a delivery did not go out; it is tried again by itself"),
            AttemptOutcome::Ambiguous => {
                line!(warn, "a delivery's answer was lost; it is looked for in the CRM before it is tried again");
            }
            AttemptOutcome::Held => line!(error, "a delivery is held; do what `detail` says, then retry it"),
            AttemptOutcome::Dead => {
                line!(error, "a delivery is dead, and not tried again by itself; see `detail`, then retry it")
            }
        }
    }
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}
