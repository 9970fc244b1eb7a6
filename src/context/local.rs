//! What this node knows itself: the whole context of a single node, and what one of several goes on with while Redis is
//! away. Bounded: of too much the oldest is forgotten.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use patchbay_kit::PhoneNumber;
use uuid::Uuid;

use super::{
    CALL_KEPT, CallContext, Fact, KnownOwner, SESSION_KEPT, Session,
    facts::{Facts, Noted},
    limits::Limits,
    live::Hub,
};
use crate::store::{CallRef, LaneRef};

/// Owners that are remembered.
pub(super) const OWNERS: usize = 20_000;
/// Calls that are remembered.
const CALLS: usize = 10_000;
/// Facts about one call; what goes beyond is no call.
const FACTS: usize = 500;
/// Sessions that are remembered.
const SESSIONS: usize = 10_000;

pub(super) type OwnerKey = (LaneRef, PhoneNumber);

/// Things by key, the oldest forgotten first.
struct Kept<K, V> {
    by_key: HashMap<K, Slot<V>>,
    in_order: VecDeque<K>,
    most: usize,
}

struct Slot<V> {
    value: V,
    /// When it was last written to.
    touched: Instant,
}

impl<K: Clone + Eq + Hash, V> Kept<K, V> {
    fn new(most: usize) -> Self {
        Self { by_key: HashMap::new(), in_order: VecDeque::new(), most }
    }

    fn get(&self, key: &K, kept: Duration) -> Option<&V> {
        self.by_key.get(key).filter(|slot| slot.touched.elapsed() < kept).map(|slot| &slot.value)
    }

    /// The value under `key`, to be written to.
    fn entry(&mut self, key: &K, new: impl FnOnce() -> V) -> &mut V {
        if !self.by_key.contains_key(key) {
            self.in_order.push_back(key.clone());
            if self.in_order.len() > self.most
                && let Some(oldest) = self.in_order.pop_front()
            {
                self.by_key.remove(&oldest);
            }
        }
        let now = Instant::now();
        let slot = self.by_key.entry(key.clone()).or_insert_with(|| Slot { value: new(), touched: now });
        slot.touched = now;
        &mut slot.value
    }

    fn since(&self, since: Option<Instant>) -> impl Iterator<Item = (&K, &V)> {
        let touched = move |slot: &Slot<V>| since.is_none_or(|since| slot.touched >= since);
        self.by_key.iter().filter(move |(_, slot)| touched(slot)).map(|(key, slot)| (key, &slot.value))
    }
}

pub(super) struct Local {
    state: Mutex<State>,
    pub(super) hub: Hub,
    pub(super) limits: Limits,
}

struct State {
    owners: Kept<OwnerKey, KnownOwner>,
    calls: Kept<CallRef, Facts>,
    /// By session.
    sessions: HashMap<Uuid, Presence>,
}

struct Presence {
    session: Session,
    until: Timestamp,
    /// Its stream is open on this node; the others are only heard of.
    ours: bool,
}

/// Everything here that is to be written where others can read it.
#[derive(Default)]
pub(super) struct Knowledge {
    pub owners: Vec<(OwnerKey, KnownOwner)>,
    pub calls: Vec<(CallRef, Facts)>,
    pub sessions: Vec<(Session, Timestamp)>,
}

impl Default for Local {
    fn default() -> Self {
        let state = State { owners: Kept::new(OWNERS), calls: Kept::new(CALLS), sessions: HashMap::new() };
        Self { state: Mutex::new(state), hub: Hub::default(), limits: Limits::default() }
    }
}

/// It holds callers' and agents' numbers.
impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let (owners, calls) = (state.owners.by_key.len(), state.calls.by_key.len());
        write!(f, "Local({owners} owners, {calls} calls, {} sessions)", state.sessions.len())
    }
}

impl Local {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps facts, and says what is known then.
    pub(super) fn note(&self, call: &CallRef, facts: impl IntoIterator<Item = (String, Noted)>) -> CallContext {
        let mut facts = facts.into_iter().peekable();
        if facts.peek().is_none() {
            return self.call(call);
        }
        let mut state = self.state();
        let known = state.calls.entry(call, Facts::new);
        for (id, noted) in facts {
            if known.len() < FACTS {
                known.entry(id).or_insert(noted);
            }
        }
        CallContext::fold(known)
    }

    pub(super) fn call(&self, call: &CallRef) -> CallContext {
        self.state().calls.get(call, CALL_KEPT).map(CallContext::fold).unwrap_or_default()
    }

    /// Keeps a fact unless there is one under its id, and returns the one that is kept.
    pub(super) fn first(&self, call: &CallRef, noted: Noted) -> Noted {
        let mut state = self.state();
        let known = state.calls.entry(call, Facts::new);
        if known.len() >= FACTS {
            return noted;
        }
        known.entry(noted.id()).or_insert(noted).clone()
    }

    /// The open hand-over, now taken.
    pub(super) fn take_hand_over(&self, call: &CallRef, at: Timestamp) -> Option<String> {
        let mut state = self.state();
        let known = CallContext::fold(state.calls.get(call, CALL_KEPT)?);
        let (id, target) = known.open_hand_over()?;
        let noted = Noted { at, fact: Fact::Taken { hand_over: id.to_owned() } };
        state.calls.entry(call, Facts::new).insert(noted.id(), noted);
        Some(target.to_owned())
    }

    /// Keeps the newer of what is known and what is said; returns it.
    pub(super) fn learn_owner(&self, key: &OwnerKey, owner: KnownOwner) -> KnownOwner {
        let mut state = self.state();
        let known = state.owners.entry(key, || owner.clone());
        if known.learnt_at <= owner.learnt_at {
            *known = owner;
        }
        known.clone()
    }

    pub(super) fn owner(&self, key: &OwnerKey) -> Option<KnownOwner> {
        self.state().owners.get(key, super::OWNER_KEPT).cloned()
    }

    /// Returns until when it counts.
    pub(super) fn appear(&self, session: &Session) -> Timestamp {
        let until = Timestamp::now() + SESSION_KEPT;
        let mut state = self.state();
        if state.sessions.len() < SESSIONS || state.sessions.contains_key(&session.id) {
            state.sessions.insert(session.id, Presence { session: session.clone(), until, ours: true });
        }
        until
    }

    /// Of this account there are these, and those of this node, which knows them best.
    pub(super) fn hear_of(&self, account: &str, there: Vec<(Session, Timestamp)>) {
        let mut state = self.state();
        state.sessions.retain(|_, one| one.ours || one.session.account != account);
        for (session, until) in there {
            if state.sessions.len() < SESSIONS {
                state.sessions.entry(session.id).or_insert(Presence { session, until, ours: false });
            }
        }
    }

    pub(super) fn leave(&self, session: &Session) {
        self.state().sessions.remove(&session.id);
    }

    pub(super) fn present(&self, account: &str) -> Vec<Session> {
        let now = Timestamp::now();
        let mut state = self.state();
        state.sessions.retain(|_, one| one.until > now);
        let sessions = state.sessions.values().map(|one| &one.session);
        let mut present: Vec<_> = sessions.filter(|session| session.account == account).cloned().collect();
        present.sort();
        present
    }

    /// What was written since then, or all.
    pub(super) fn knowledge(&self, since: Option<Instant>) -> Knowledge {
        let state = self.state();
        let calls = state.calls.since(since).map(|(call, facts)| (call.clone(), facts.clone()));
        let owners = state.owners.since(since).map(|(key, owner)| (key.clone(), owner.clone()));
        let now = Timestamp::now();
        let sessions = state.sessions.values().filter(|one| one.ours && one.until > now);
        let sessions = sessions.map(|one| (one.session.clone(), one.until));
        Knowledge { owners: owners.collect(), calls: calls.collect(), sessions: sessions.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_the_oldest_is_forgotten() {
        let mut kept = Kept::new(3);
        for key in 0..5 {
            *kept.entry(&key, || key) += 10;
        }
        *kept.entry(&3, || 0) += 10;
        let hour = Duration::from_secs(3600);
        let found: Vec<_> = (0..5).map(|key| kept.get(&key, hour).copied()).collect();
        assert_eq!(found, [None, None, Some(12), Some(23), Some(14)]);
        assert_eq!((kept.by_key.len(), kept.in_order.len()), (3, 3));
        assert_eq!(kept.get(&4, Duration::ZERO), None, "nor is anything known for longer than it is kept");
    }

    #[test]
    fn what_was_written_since_then_is_known() {
        let mut kept = Kept::new(10);
        kept.entry(&1, || ());
        let then = kept.by_key[&1].touched + Duration::from_nanos(1);
        kept.entry(&2, || ());
        kept.by_key.get_mut(&2).expect("it is there").touched = then;
        assert_eq!(kept.since(Some(then)).map(|(key, ())| *key).collect::<Vec<_>>(), [2]);
        assert_eq!(kept.since(None).count(), 2);
    }
}
