//! Live events: what is going on, told to the agents and consoles that listen on this node. What comes here from other
//! nodes, and how, is the context's business.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::CALL_KEPT;

/// Events that are remembered, for those who come back after a moment.
pub(super) const LOG: usize = 10_000;
/// Events that may wait for one subscriber. Who is further behind than that sees the past, and is told to come anew.
pub(super) const QUEUE: usize = 256;
/// Of one account, calls with something to show; of more the oldest are shown no more.
const ACTIVE: usize = 5_000;

/// An event's place in the stream, as in `Last-Event-ID`. The same on every node, but for what was told while they
/// could not hear each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventId {
    pub(super) ms: u64,
    pub(super) seq: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (ms, seq) = text.split_once('-').ok_or(())?;
        Ok(Self { ms: ms.parse().map_err(|_| ())?, seq: seq.parse().map_err(|_| ())? })
    }
}

/// Whom news is for, within an account.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    Everyone,
    /// By his id in the user mapping; whoever is not in it, by the number that is rung.
    Agent(String),
}

/// What is to be told.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct News {
    pub account: String,
    pub to: Audience,
    /// The CallSid, if it is about a call.
    pub call: Option<String>,
    /// After this there is nothing more to show of the call to this audience.
    pub ends: bool,
    pub kind: String,
    pub data: Value,
}

/// It may hold an agent's number.
impl fmt::Debug for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Everyone { "Everyone" } else { "Agent" })
    }
}

/// It holds what is shown of callers.
impl fmt::Debug for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, call, ends, kind, .. } = self;
        write!(f, "News({account}, {kind}, {}{})", call.as_deref().unwrap_or("-"), if *ends { ", ends" } else { "" })
    }
}

/// News, as it was told.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveEvent {
    pub id: EventId,
    pub told: Told,
}

/// News and when it was told. `uid` tells one that comes by twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub uid: Uuid,
    pub at: Timestamp,
    pub news: News,
}

impl Told {
    pub(super) fn now(news: News) -> Self {
        Self { uid: Uuid::new_v4(), at: Timestamp::now(), news }
    }
}

/// Who listens: an agent hears what is for him and what is for everyone; a console hears all of the account.
#[derive(Clone, PartialEq, Eq)]
pub struct Listener {
    pub account: String,
    /// One person's entries of the user mapping: he may have several numbers. `None`: a console.
    pub agents: Option<Vec<String>>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({}, {})", self.account, if self.agents.is_some() { "an agent" } else { "a console" })
    }
}

impl Listener {
    fn hears(&self, news: &News) -> bool {
        self.account == news.account
            && match (&self.agents, &news.to) {
                (None, _) | (_, Audience::Everyone) => true,
                (Some(mine), Audience::Agent(agent)) => mine.contains(agent),
            }
    }
}

/// What a subscription yields.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    Event(Arc<LiveEvent>),
    /// The subscriber did not keep up, and gets nothing more: he is to subscribe anew.
    TooSlow,
}

/// One subscriber's end.
#[derive(Debug)]
pub struct Subscription {
    /// Whether it goes on right after the event that was asked for; else it began with what is going on now.
    pub resumed: bool,
    replay: VecDeque<Arc<LiveEvent>>,
    new: mpsc::Receiver<Arc<LiveEvent>>,
    too_slow: Arc<AtomicBool>,
}

impl Subscription {
    /// Waits for the next event. `None`: there are no more.
    pub async fn next(&mut self) -> Option<Next> {
        if let Some(event) = self.replay.pop_front() {
            return Some(Next::Event(event));
        }
        match self.new.recv().await {
            Some(event) => Some(Next::Event(event)),
            None => self.too_slow.swap(false, Ordering::Relaxed).then_some(Next::TooSlow),
        }
    }
}

/// Subscribers of this node, and what they may still want to hear of.
#[derive(Debug, Default)]
pub(super) struct Hub(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    log: VecDeque<Arc<LiveEvent>>,
    /// Of those in the log.
    seen: HashSet<Uuid>,
    /// By account: the last event of each call and audience that has not ended, in order.
    active: HashMap<String, VecDeque<Arc<LiveEvent>>>,
    subscribers: Vec<Subscriber>,
    last: EventId,
}

#[derive(Debug)]
struct Subscriber {
    listener: Listener,
    new: mpsc::Sender<Arc<LiveEvent>>,
    too_slow: Arc<AtomicBool>,
}

impl Subscriber {
    /// Whether he is still there.
    fn tell(&self, event: &Arc<LiveEvent>) -> bool {
        if !self.listener.hears(&event.told.news) {
            return !self.new.is_closed();
        }
        match self.new.try_send(Arc::clone(event)) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.too_slow.store(true, Ordering::Relaxed);
                false
            }
        }
    }
}

impl State {
    /// `false`: it was told before.
    fn keep(&mut self, event: &Arc<LiveEvent>) -> bool {
        if !self.seen.insert(event.told.uid) {
            return false;
        }
        self.last = self.last.max(event.id);
        self.log.push_back(Arc::clone(event));
        if self.log.len() > LOG
            && let Some(oldest) = self.log.pop_front()
        {
            self.seen.remove(&oldest.told.uid);
        }
        self.follow(event);
        true
    }

    fn follow(&mut self, event: &Arc<LiveEvent>) {
        let news = &event.told.news;
        if news.call.is_none() {
            return;
        }
        let active = self.active.entry(news.account.clone()).or_default();
        // What ends for everyone ends for each.
        let replaced =
            |old: &News| old.call == news.call && (old.to == news.to || (news.ends && news.to == Audience::Everyone));
        active.retain(|old| !replaced(&old.told.news) && !is_over(old, event.told.at));
        if !news.ends {
            active.push_back(Arc::clone(event));
        }
        if active.len() > ACTIVE {
            active.pop_front();
        }
        if active.is_empty() {
            self.active.remove(&news.account);
        }
    }
}

/// Nobody said that this call ended, but it must have.
fn is_over(event: &LiveEvent, now: Timestamp) -> bool {
    now.duration_since(event.told.at) > jiff::SignedDuration::try_from(CALL_KEPT).unwrap_or_default()
}

impl Hub {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what has no place in the stream yet.
    pub(super) fn tell_here(&self, told: Told) {
        let mut state = self.state();
        let ms = u64::try_from(told.at.as_millisecond()).unwrap_or_default();
        let id = if ms > state.last.ms {
            EventId { ms, seq: 0 }
        } else {
            EventId { ms: state.last.ms, seq: state.last.seq.saturating_add(1) }
        };
        tell(&mut state, Arc::new(LiveEvent { id, told }));
    }

    pub(super) fn tell(&self, event: LiveEvent) {
        tell(&mut self.state(), Arc::new(event));
    }

    /// Takes in the past, which nobody needs to be told of but for what is still going on.
    pub(super) fn restore(&self, past: Vec<LiveEvent>) {
        let mut state = self.state();
        let mut fresh = HashSet::new();
        for event in past.into_iter().map(Arc::new) {
            if state.keep(&event) {
                fresh.insert(event.told.uid);
            }
        }
        let active: Vec<_> = state.active.values().flatten().filter(|event| fresh.contains(&event.told.uid)).collect();
        let going_on: Vec<_> = active.into_iter().cloned().collect();
        state.subscribers.retain(|subscriber| going_on.iter().all(|event| subscriber.tell(event)));
    }

    /// The last event of each call and audience that has not ended.
    pub(super) fn going_on(&self, account: &str) -> Vec<Arc<LiveEvent>> {
        let now = Timestamp::now();
        let state = self.state();
        let active = state.active.get(account).into_iter().flatten();
        active.filter(|event| !is_over(event, now)).cloned().collect()
    }

    pub(super) fn subscribe(&self, listener: Listener, after: Option<EventId>) -> Subscription {
        let (send, new) = mpsc::channel(QUEUE);
        let too_slow = Arc::new(AtomicBool::new(false));
        let mut state = self.state();
        let hears = |event: &&Arc<LiveEvent>| listener.hears(&event.told.news);
        let place = after.and_then(|after| state.log.iter().rposition(|event| event.id == after));
        let replay: VecDeque<_> = match place {
            Some(place) => state.log.iter().skip(place + 1).filter(hears).cloned().collect(),
            None => {
                let now = Timestamp::now();
                let active = state.active.get(&listener.account).into_iter().flatten();
                active.filter(|event| !is_over(event, now)).filter(hears).cloned().collect()
            }
        };
        state.subscribers.retain(|subscriber| !subscriber.new.is_closed());
        state.subscribers.push(Subscriber { listener, new: send, too_slow: Arc::clone(&too_slow) });
        Subscription { resumed: place.is_some(), replay, new, too_slow }
    }
}

fn tell(state: &mut State, event: Arc<LiveEvent>) {
    if state.keep(&event) {
        state.subscribers.retain(|subscriber| subscriber.tell(&event));
    }
}
