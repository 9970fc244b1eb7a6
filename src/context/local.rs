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

/// Things by key; what was not written to for the longest time is forgotten first.
struct Kept<K, V> {
    by_key: HashMap<K, Slot<V>>,
    /// When each was written to, as far as it was looked at.
    in_order: VecDeque<(K, Instant)>,
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
        let now = Instant::now();
        if !self.by_key.contains_key(key) {
            if self.by_key.len() >= self.most {
                self.forget_one();
            }
            self.in_order.push_back((key.clone(), now));
        }
        let slot = self.by_key.entry(key.clone()).or_insert_with(|| Slot { value: new(), touched: now });
        slot.touched = now;
        &mut slot.value
    }

    fn forget_one(&mut self) {
        while let Some((key, then)) = self.in_order.pop_front() {
            match self.by_key.get(&key).map(|slot| slot.touched) {
                // It was written to since: its turn comes later.
                Some(touched) if touched > then => self.in_order.push_back((key, touched)),
                _ => {
                    self.by_key.remove(&key);
                    return;
                }
            }
        }
    }

    fn remove(&mut self, key: &K) {
        if self.by_key.remove(key).is_some() {
            self.in_order.retain(|(other, _)| other != key);
        }
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
    /// Numbers of which a CRM knows nobody: apart, so that no number of strangers makes an owner forgotten.
    strangers: Kept<OwnerKey, KnownOwner>,
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
        let state = State {
            owners: Kept::new(OWNERS),
            strangers: Kept::new(OWNERS),
            calls: Kept::new(CALLS),
            sessions: HashMap::new(),
        };
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
        let State { owners, strangers, .. } = &mut *state;
        let newer = |known: &&KnownOwner| known.learnt_at > owner.learnt_at;
        let known = owners.get(key, super::OWNER_KEPT).or_else(|| strangers.get(key, super::OWNER_KEPT));
        if let Some(known) = known.filter(newer) {
            return known.clone();
        }
        let (its, other) = if owner.numbers.is_empty() { (strangers, owners) } else { (owners, strangers) };
        other.remove(key);
        *its.entry(key, || owner.clone()) = owner.clone();
        owner
    }

    pub(super) fn owner(&self, key: &OwnerKey) -> Option<KnownOwner> {
        let state = self.state();
        let known = state.owners.get(key, super::OWNER_KEPT);
        known.or_else(|| state.strangers.get(key, super::OWNER_KEPT)).cloned()
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
        let owners = state.owners.since(since).chain(state.strangers.since(since));
        let owners = owners.map(|(key, owner)| (key.clone(), owner.clone()));
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
    fn what_was_written_to_again_is_not_the_oldest_any_more() {
        let mut kept = Kept::new(3);
        for key in [0, 1, 2, 0, 3, 0, 4] {
            // Clocks may stand still between two writes.
            let then = kept.by_key.values().map(|slot: &Slot<()>| slot.touched).max();
            kept.entry(&key, || ());
            let later = then.map_or_else(Instant::now, |then| then + Duration::from_nanos(1));
            kept.by_key.get_mut(&key).expect("it is there").touched = later;
        }
        let mut left: Vec<_> = kept.by_key.keys().copied().collect();
        left.sort_unstable();
        assert_eq!(left, [0, 3, 4]);
        assert_eq!(kept.in_order.len(), 3);
    }

    #[test]
    fn strangers_make_no_owner_forgotten() {
        let local = Local::default();
        let key = |n: usize| {
            let lane = LaneRef { account: "acme1".to_owned(), integration: "crm".to_owned() };
            let national = format!("98{n:08}");
            (lane, PhoneNumber { e164: format!("+91{national}"), country: "91".to_owned(), national })
        };
        let learn = |n: usize, second: i64, numbers: &[&str]| {
            let numbers = numbers.iter().map(|&number| number.to_owned()).collect();
            let learnt_at = Timestamp::from_second(1_900_000_000 + second).expect("a time");
            local.learn_owner(&key(n), KnownOwner { numbers, learnt_at })
        };
        let owned = |n: usize| local.owner(&key(n)).map(|owner| owner.numbers.len());
        learn(0, 1, &["+919711581199"]);
        for n in 1..=OWNERS + 1 {
            learn(n, 2, &[]);
        }
        assert_eq!((owned(0), owned(1), owned(2)), (Some(1), None, Some(0)));
        // He is nobody's any more, and then somebody's again.
        learn(0, 3, &[]);
        assert_eq!(learn(0, 2, &["+919711581199"]).numbers.len(), 0, "that is older");
        assert_eq!(owned(0), Some(0));
        learn(0, 4, &["+919711581199"]);
        assert_eq!(owned(0), Some(1));
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
