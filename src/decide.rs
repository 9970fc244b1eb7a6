//! The loop that reads the journal: receipts → events → state → plan, each batch one transaction.
//!
//! # How a CRM that was added later gets the past
//!
//! `POST …/backfill` plans the calls since a day for all integrations of the account, as if they had just been decided:
//! what is there already is the same row with the same content. New rows are marked low, and the lane takes them only
//! from what is left over.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use patchbay_kit::Direction;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    accounts::Accounts,
    call::{
        CallEvent, CallState, EventKind, Hook, LiveHint, PopupHint, Receipt, live_news, mark, normalise, plan, popups,
        route::Sighting,
    },
    delivery::LaneHandle,
    dialer,
    directory::Agents,
    live::Live,
    store::{
        CallFilter, CallRef, Decision, Duty, LaneRef, Lease, Node, Seq, SetAside, Store, StoreError, StoredCall, Term,
        Witnessed,
    },
    telemetry::Metrics,
};

/// Receipts read, and decided on in one transaction. Few: the transaction keeps new callbacks waiting as long as it
/// takes to write, and a call costs many times what a receipt does.
const BATCH: usize = 6;
/// When all is read, the next ones are let come for a moment: each transaction costs a flush, which callbacks want too.
const GATHER: Duration = Duration::from_millis(1);
/// A missed wake-up costs no more than this.
const IDLE: Duration = Duration::from_secs(5);
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How old an event may be that says something of now.
const FRESH: SignedDuration = SignedDuration::from_secs(10);
/// Calls of the past that are listed at once.
const BACKFILL_PAGE: u32 = 200;
/// A call that the list alone tells of, and that is older, is one of the past: nobody waits for it.
const PAST: SignedDuration = SignedDuration::from_hours(24);

/// The reader of the journal.
#[derive(Debug)]
pub struct Decider {
    pub store: Arc<dyn Store>,
    pub node: Arc<Node>,
    pub accounts: Arc<Accounts>,
    pub agents: Arc<Agents>,
    pub metrics: Arc<Metrics>,
    /// Woken by every durable receipt.
    pub wake: Arc<Notify>,
    /// Told of calls that ring and of agents who are busy: nobody waits for it, and a full queue loses a hint.
    pub seen: mpsc::Sender<Sighting>,
    /// Told what agents are to see of their calls.
    pub live: Live,
    pub stopping: CancellationToken,
}

impl Decider {
    /// Runs until the service stops.
    pub async fn run(self: Arc<Self>) {
        while let Some(term) = self.node.take(Duty::Journal, &self.stopping).await {
            self.read_on(&term).await;
            term.end().await;
        }
    }

    /// Reads as long as the journal is this node's to read.
    async fn read_on(&self, term: &Term) {
        let mut told = false;
        while !self.stopping.is_cancelled() {
            let wait = match self.step(term.lease()).await {
                Ok(0) => {
                    told = false;
                    IDLE
                }
                Ok(BATCH) => continue,
                Ok(_) => {
                    tokio::time::sleep(GATHER).await;
                    continue;
                }
                // Somebody planned one of these calls again meanwhile: read them anew.
                Err(StoreError::Conflict) => Duration::from_millis(5),
                Err(StoreError::Fenced) => return,
                Err(error) => {
                    if !told {
                        tracing::error!(%error, "the journal cannot be read on; trying on");
                        told = true;
                    }
                    STORE_PAUSE
                }
            };
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = term.lost() => return,
                () = self.stopping.cancelled() => {}
            }
        }
    }

    /// Reads the next receipts and decides on them. Returns how many there were.
    ///
    /// # Errors
    /// What the store says; nothing is decided then.
    pub async fn step(&self, lease: &Lease) -> Result<usize, StoreError> {
        let receipts = self.store.unread(BATCH).await?;
        let Some(last) = receipts.last().map(|(seq, _)| *seq) else { return Ok(0) };
        let count = receipts.len();
        // Another node may have let them in by an account that this one has not heard of yet.
        let roll = self.accounts.load();
        if receipts.iter().any(|(_, receipt)| roll.get(&receipt.account).is_none()) {
            self.accounts.follow().await?;
        }
        let now = Timestamp::now();
        let mut set_aside = Vec::new();
        let mut by_call: BTreeMap<CallRef, Heard> = BTreeMap::new();
        for (seq, receipt) in receipts {
            match self.read(seq, &receipt) {
                Ok((call, witnessed, answer)) => by_call.entry(call).or_default().add(witnessed, answer),
                Err(error) => {
                    tracing::warn!(receipt = %receipt.id, account = %receipt.account, hook = receipt.hook.as_str(),
                        error, "a receipt cannot be read; it is set aside");
                    set_aside.push(SetAside { seq, error, at: now });
                }
            }
        }
        let refs: Vec<CallRef> = by_call.keys().cloned().collect();
        let mut stored = self.store.calls(&refs).await?;
        let mut decisions = Vec::with_capacity(by_call.len());
        let mut news = Vec::new();
        for (call, heard) in by_call {
            let was = stored.remove(&call);
            let seqs: Vec<Seq> = heard.witnessed.iter().map(|one| one.seq).collect();
            match self.decide(&call, was.as_ref(), heard, now) {
                Ok(decision) => {
                    news.extend(self.news(&decision, was.as_ref(), now));
                    decisions.push(decision);
                }
                Err(error) => {
                    tracing::error!(call = %call.call_sid, account = %call.account, error,
                        "a call cannot be decided; its new receipts are set aside");
                    set_aside.extend(seqs.into_iter().map(|seq| SetAside { seq, error: error.clone(), at: now }));
                }
            }
        }
        let events = decisions.iter().map(|decision| decision.witnessed.len()).sum::<usize>();
        let poisoned = set_aside.len();
        let accounts: Vec<String> = decisions
            .iter()
            .filter(|decision| !decision.intents.is_empty())
            .map(|decision| decision.call.account.clone())
            .collect();
        let popups = self.popups(&decisions);
        let sightings: Vec<Sighting> = decisions.iter().flat_map(|decision| sightings(decision, now)).collect();
        let asks = decisions.iter().any(|decision| decision.enquiry.due_at.is_some());
        self.marks(&decisions, now).await?;
        self.store.decide(decisions, set_aside, Some((last, lease.clone()))).await?;
        // Once the events are durable, and not before: what a crash takes back is not shown.
        let roll = self.accounts.load();
        for (lane, hint) in popups {
            if let Some(handle) = roll.lane(&lane) {
                handle.popup(hint);
            }
        }
        for (account, hint) in news {
            self.live.tell(&account, hint);
        }
        for sighting in sightings {
            let _ = self.seen.try_send(sighting);
        }
        self.metrics.events.inc_by(events as u64);
        self.metrics.set_aside.inc_by(poisoned as u64);
        roll.lanes().filter(|lane| accounts.contains(&lane.lane().account)).for_each(LaneHandle::wake);
        if asks {
            self.accounts.wake_enquirers();
        }
        Ok(count)
    }

    /// What is news to the agents of a call.
    fn news(&self, decision: &Decision, was: Option<&StoredCall>, now: Timestamp) -> Vec<(String, LiveHint)> {
        let Decision { call, witnessed, state, .. } = decision;
        let Some(running) = self.accounts.get(&call.account) else { return Vec::new() };
        let before: Vec<&CallEvent> = was.iter().flat_map(|was| &was.events).collect();
        let fresh: Vec<&CallEvent> = witnessed.iter().map(|one| &one.event).collect();
        match guarded(|| live_news(&before, &fresh, state, &running.rules.plan, now)) {
            Ok(hints) => hints.into_iter().map(|hint| (call.account.clone(), hint)).collect(),
            Err(error) => {
                tracing::error!(call = %call.call_sid, account = %call.account, error, "a call's agents are not told");
                Vec::new()
            }
        }
    }

    /// Settles the clicks whose calls Exotel tells of. Before the cursor moves: what a crash takes back is read again, and
    /// told twice it changes nothing.
    async fn marks(&self, decisions: &[Decision], now: Timestamp) -> Result<(), StoreError> {
        for decision in decisions {
            let told = decision.witnessed.iter().map(|one| &one.event).find_map(|event| {
                let exotels = matches!(event.kind, EventKind::StatusChanged | EventKind::Detailed);
                mark::read(event.facts.custom_field.as_deref().filter(|_| exotels)?)
            });
            if let Some(click) = told {
                let CallRef { account, call_sid } = &decision.call;
                dialer::heard(&*self.store, &self.metrics, account, click, call_sid, now).await?;
            }
        }
        Ok(())
    }

    /// What agents are to be shown of these calls, now.
    fn popups(&self, decisions: &[Decision]) -> Vec<(LaneRef, PopupHint)> {
        let mut all = Vec::new();
        for decision in decisions {
            let Some(running) = self.accounts.get(&decision.call.account) else { continue };
            let rules = &running.rules;
            let agents = self.agents.of(&decision.call.account);
            for integration in rules.plan.integrations.iter().filter(|integration| integration.popups) {
                let lane = LaneRef { account: decision.call.account.clone(), integration: integration.name.clone() };
                let events = decision.witnessed.iter().map(|one| &one.event);
                let hints = popups(&decision.state, events, integration, &rules.plan, agents.mapping());
                all.extend(hints.into_iter().map(|hint| (lane.clone(), hint)));
            }
        }
        all
    }

    /// Plans what an integration that was added later should say of the calls since then: behind everything of now, and
    /// nothing that is there already. Returns how many calls were looked at.
    ///
    /// # Errors
    /// What the store says; what was planned so far stays planned, and beginning anew doubles nothing.
    pub async fn backfill(&self, account: &str, since: Timestamp) -> Result<u64, StoreError> {
        let mut filter = CallFilter { since: Some(since), limit: BACKFILL_PAGE, ..CallFilter::default() };
        let mut looked = 0;
        loop {
            let page = self.store.list_calls(account, &filter).await?;
            for summary in page.items {
                if self.stopping.is_cancelled() {
                    return Ok(looked);
                }
                let call = CallRef { account: account.to_owned(), call_sid: summary.call_sid };
                self.plan_past(&call).await?;
                looked += 1;
            }
            if let Some(running) = self.accounts.get(account) {
                running.lanes().for_each(LaneHandle::wake);
            }
            let Some(next) = page.next else { return Ok(looked) };
            filter.before = Some(next);
        }
    }

    async fn plan_past(&self, call: &CallRef) -> Result<(), StoreError> {
        for _ in 0..10 {
            let mut stored = self.store.calls(std::slice::from_ref(call)).await?;
            let Some(was) = stored.remove(call) else { return Ok(()) };
            let now = Timestamp::now();
            let Ok(mut decision) = self.decide(call, Some(&was), Heard::default(), now) else { return Ok(()) };
            decision.backfill = true;
            match self.store.decide(vec![decision], Vec::new(), None).await {
                Err(StoreError::Conflict) => {}
                other => return other,
            }
        }
        Err(StoreError::Conflict)
    }

    /// Plans a call again from what is known of it: after a change of configuration, or because somebody asked.
    /// Returns whether there is such a call.
    ///
    /// # Errors
    /// What the store says.
    pub async fn replan(&self, call: &CallRef) -> Result<bool, StoreError> {
        for _ in 0..10 {
            let mut stored = self.store.calls(std::slice::from_ref(call)).await?;
            let Some(was) = stored.remove(call) else { return Ok(false) };
            let now = Timestamp::now();
            let Ok(mut decision) = self.decide(call, Some(&was), Heard::default(), now) else { return Ok(true) };
            // Exotel is asked once more, whatever the schedule says.
            decision.enquiry.due_at = Some(now);
            match self.store.decide(vec![decision], Vec::new(), None).await {
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    self.accounts.wake_enquirers();
                    return Ok(true);
                }
            }
        }
        Err(StoreError::Conflict)
    }

    fn read(&self, seq: Seq, receipt: &Receipt) -> Result<(CallRef, Witnessed, Answer), String> {
        let Some(running) = self.accounts.get(&receipt.account) else {
            return Err("its account is not in the configuration any more".to_owned());
        };
        let event = guarded(|| normalise(receipt, &running.rules.locale))?.map_err(|poison| poison.to_string())?;
        let call = CallRef { account: receipt.account.clone(), call_sid: event.call_sid.clone() };
        let answer = match (receipt.hook, &event.kind) {
            (Hook::Details, EventKind::Detailed) if event.facts.call_status.is_none() => Answer::Unknown,
            (Hook::Details, _) => Answer::Details,
            _ => Answer::None,
        };
        Ok((call, Witnessed { seq, event }, answer))
    }

    fn decide(
        &self,
        call: &CallRef,
        was: Option<&StoredCall>,
        heard: Heard,
        now: Timestamp,
    ) -> Result<Decision, String> {
        let running = self.accounts.get(&call.account).ok_or("its account is not in the configuration any more")?;
        let rules = &running.rules;
        let agents = self.agents.of(&call.account);
        let Heard { witnessed, answer } = heard;
        guarded(|| {
            let stored = was.iter().flat_map(|was| &was.events);
            let events: Vec<&CallEvent> = stored.chain(witnessed.iter().map(|one| &one.event)).collect();
            let state = CallState::fold(events).ok_or("the call has no events")?;
            let schedule = &rules.plan.enquiry_schedule;
            let mut enquiry =
                plan::enquire(&state, schedule, was.and_then(|was| was.enquiry), answer != Answer::None, now);
            if answer == Answer::Unknown && !state.over {
                // Exotel does not know the call (yet): that uses up a step, so that it is not asked for ever.
                enquiry.step = was.and_then(|was| was.enquiry).map_or(1, |was| was.step + 1);
                enquiry.due_at = schedule.get(enquiry.step).map(|wait| now + *wait);
            }
            let past = state.started_at.is_some_and(|started| now.duration_since(started) > PAST);
            let backfill = past && state.seen.by_list_alone();
            let intents = crate::call::plan(&state, &rules.plan, agents.mapping(), enquiry.step);
            Ok(Decision {
                call: call.clone(),
                on_version: was.map_or(0, |was| was.version),
                witnessed,
                state,
                intents,
                enquiry,
                backfill,
                at: now,
            })
        })?
    }
}

/// What of these receipts is news to those who answer callers on the line: events that have just come, never old ones.
fn sightings(decision: &Decision, now: Timestamp) -> Vec<Sighting> {
    let Decision { call, state, .. } = decision;
    let fresh = |one: &&Witnessed| now.duration_since(one.event.received_at) < FRESH;
    let mut seen = Vec::new();
    if state.outcome.is_some() || state.over {
        seen.push(Sighting::Over { account: call.account.clone(), call_sid: call.call_sid.clone() });
        return seen;
    }
    for Witnessed { event, .. } in decision.witnessed.iter().filter(fresh) {
        let busy = match event.kind {
            EventKind::Dialing | EventKind::Ringing | EventKind::Answered => true,
            EventKind::AttemptEnded => false,
            _ => continue,
        };
        if let Some(agent) = event.facts.agent.clone() {
            let (account, call_sid) = (call.account.clone(), call.call_sid.clone());
            seen.push(Sighting::Agent { account, call_sid, agent, busy });
        }
    }
    let heard = decision.witnessed.iter().filter(fresh).any(|one| one.event.kind != EventKind::Routed);
    if let (true, Direction::Incoming, Some(customer)) = (heard, state.direction, &state.customer) {
        seen.push(Sighting::Ringing { account: call.account.clone(), customer: customer.clone() });
    }
    seen
}

/// What the receipts of a batch say of one call.
#[derive(Debug, Default)]
struct Heard {
    witnessed: Vec<Witnessed>,
    /// Of several answers the one that says most.
    answer: Answer,
}

impl Heard {
    fn add(&mut self, witnessed: Witnessed, answer: Answer) {
        self.witnessed.push(witnessed);
        self.answer = self.answer.max(answer);
    }
}

/// What a receipt says to an open question for details.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    /// It is no answer.
    #[default]
    None,
    /// Exotel does not know the call.
    Unknown,
    Details,
}

/// A mistake of ours in reading one receipt must not stop the journal: a panic becomes an error of that receipt.
fn guarded<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|_| "Patchbay failed on it; please report this".to_owned())
}
