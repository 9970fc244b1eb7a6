//! What one node at a time does, and how a node comes by it and keeps it: a lease ends by itself unless it is renewed,
//! and has a number that grows whenever it changes hands, so that whoever lost it can write nothing in its name.
//!
//! # How several nodes share the work
//!
//! On one PostgreSQL each takes callbacks; what must be done by one at a time (a lane, the journal, an account's
//! enquiry, the renewal of a token) is leased: a row with an expiry and a number that grows when it changes hands.
//! `store/lease.rs` takes and renews them; a node stops before its lease ends, and whatever is written in its name
//! looks at the number in the same transaction, so that who lost it writes nothing. Whoever takes a lane recovers what
//! was in flight in it, to be looked for after `ambiguous_wait`, and forgets whom it remembers. Places in the journal
//! are given out by one row that is held until the commit: a sequence's numbers become visible in any order, and the
//! reader would pass one by. What a node does is told to the others by NOTIFY, after its commit; a hint that is lost
//! costs seconds. SQLite grants its leases to the one process that has it open: there is no second way through the
//! code.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedMutexGuard, watch},
    task::AbortHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{LaneRef, Store};

/// Something that one node at a time does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Duty {
    /// Reading the journal and deciding on it.
    Journal,
    /// Delivering what one integration is to be told.
    Lane(LaneRef),
    /// Asking Exotel for details of one account's calls.
    Enquiry(String),
    /// Comparing one account's calls with Exotel's list.
    Sweep(String),
    /// Renewing one integration's access token.
    Token(LaneRef),
}

/// The name of its row.
impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal => f.write_str("journal"),
            Self::Lane(lane) => write!(f, "lane {lane}"),
            Self::Enquiry(account) => write!(f, "enquiry {account}"),
            Self::Sweep(account) => write!(f, "sweep {account}"),
            Self::Token(lane) => write!(f, "token {lane}"),
        }
    }
}

/// A duty in one node's hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub duty: Duty,
    pub holder: Uuid,
    /// Never the same in two nodes' hands.
    pub fence: i64,
}

/// A lease, and until when this process may go by it.
#[derive(Clone, Debug)]
struct Held {
    lease: Lease,
    until: Instant,
}

/// This process among all that share a store: takes duties and renews them as long as they are wanted.
pub struct Node {
    id: Uuid,
    ttl: Duration,
    store: Arc<dyn Store>,
    duties: Mutex<HashMap<Duty, watch::Sender<Option<Held>>>>,
    /// Within this process a duty is one task's at a time: who does it anew waits until the one before has ended.
    turns: Mutex<HashMap<Duty, Arc<tokio::sync::Mutex<()>>>>,
    /// A duty came to be wanted, or may have fallen free.
    nudge: Notify,
    /// Held while the store is asked, so that what is given back is not renewed by a question that is on its way.
    asking: tokio::sync::Mutex<()>,
    keeping: Mutex<Option<AbortHandle>>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.id)
    }
}

impl Node {
    /// Begins to keep leases; what a dead node had falls to another one after `ttl`.
    pub fn start(store: Arc<dyn Store>, ttl: Duration) -> Arc<Self> {
        let node = Arc::new(Self {
            id: Uuid::new_v4(),
            ttl,
            store,
            duties: Mutex::default(),
            turns: Mutex::default(),
            nudge: Notify::new(),
            asking: tokio::sync::Mutex::default(),
            keeping: Mutex::default(),
        });
        let keeping = tokio::spawn(Arc::clone(&node).keep()).abort_handle();
        *node.keeping.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeping);
        node
    }

    /// Waits until a duty is this node's, and nobody's else in it. `None`: it is not wanted any more.
    pub async fn take(self: &Arc<Self>, duty: Duty, stopping: &CancellationToken) -> Option<Term> {
        let turn = tokio::select! {
            turn = self.turn(&duty).lock_owned() => turn,
            () = stopping.cancelled() => return None,
        };
        let mut held = {
            let mut duties = self.duties();
            duties.entry(duty.clone()).or_insert_with(|| watch::Sender::new(None)).subscribe()
        };
        self.nudge.notify_one();
        while !stopping.is_cancelled() {
            let granted = held.borrow_and_update().clone().filter(|held| held.until > Instant::now());
            if let Some(Held { lease, .. }) = granted {
                return Some(Term { node: Arc::clone(self), lease, held, gone: CancellationToken::new(), _turn: turn });
            }
            tokio::select! {
                changed = held.changed() => changed.ok()?,
                () = stopping.cancelled() => {}
            }
        }
        // Or it might still be granted, and nobody would do it, here or elsewhere.
        let _asking = self.asking.lock().await;
        let unwanted = self.duties().remove(&duty).and_then(|held| held.borrow().clone());
        if let Some(Held { lease, .. }) = unwanted {
            self.give_back(&lease).await;
        }
        None
    }

    fn turn(&self, duty: &Duty) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|other, turn| other == duty || Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(duty.clone()).or_default())
    }

    /// Something may have fallen free.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Whether a duty is this node's now.
    pub fn holds(&self, duty: &Duty) -> bool {
        let duties = self.duties();
        duties.get(duty).is_some_and(|held| held.borrow().as_ref().is_some_and(|held| held.until > Instant::now()))
    }

    /// Gives everything back, so that nobody has to wait for it to end by itself.
    pub async fn leave(&self) {
        if let Some(keeping) = self.keeping.lock().unwrap_or_else(PoisonError::into_inner).take() {
            keeping.abort();
        }
        let held: Vec<_> = self.duties().drain().filter_map(|(_, held)| held.borrow().clone()).collect();
        for Held { lease, .. } in held {
            self.give_back(&lease).await;
        }
    }

    async fn give_back(&self, lease: &Lease) {
        // It ends by itself at the latest.
        if let Err(error) = self.store.release(lease).await {
            tracing::warn!(duty = %lease.duty, %error, "a lease could not be given back; it ends by itself");
        }
    }

    fn duties(&self) -> MutexGuard<'_, HashMap<Duty, watch::Sender<Option<Held>>>> {
        self.duties.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn keep(self: Arc<Self>) {
        loop {
            let again = if self.renew().await { self.ttl / 3 } else { self.ttl / 12 };
            tokio::select! {
                () = tokio::time::sleep(again) => {}
                () = self.nudge.notified() => {}
            }
        }
    }

    /// Asks for all that is wanted, new or held. Returns whether there was an answer.
    async fn renew(&self) -> bool {
        let _asking = self.asking.lock().await;
        let duties: Vec<Duty> = self.duties().keys().cloned().collect();
        if duties.is_empty() {
            return true;
        }
        // A lease is counted from before it was asked for, and not to its end: others may take it over there, and must
        // not find this node still at it.
        let until = Instant::now() + self.ttl.mul_f32(0.75);
        let granted = match tokio::time::timeout(self.ttl / 4, self.store.lease(self.id, &duties, self.ttl)).await {
            Ok(Ok(granted)) => granted,
            // What is held is held until its time is over.
            Ok(Err(error)) => {
                tracing::debug!(%error, "leases cannot be renewed; trying on");
                return false;
            }
            Err(_) => {
                tracing::debug!("leases cannot be renewed in time; trying on");
                return false;
            }
        };
        let wanted = self.duties();
        for duty in duties {
            let Some(held) = wanted.get(&duty) else { continue };
            let lease = granted.iter().find(|lease| lease.duty == duty).cloned();
            if lease.is_none() && held.borrow().is_none() {
                continue;
            }
            held.send_replace(lease.map(|lease| Held { lease, until }));
        }
        true
    }
}

/// A duty that is this node's, until it is lost or given back.
#[derive(Debug)]
pub struct Term {
    node: Arc<Node>,
    lease: Lease,
    held: watch::Receiver<Option<Held>>,
    /// It was lost for a moment at least: who saw that has stopped in the middle, whether or not it came back since.
    gone: CancellationToken,
    _turn: OwnedMutexGuard<()>,
}

impl Term {
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Resolves when the duty is this node's no more: another one has it, or may have it, as it could not be renewed.
    /// Once it was lost it stays lost, for all who ask.
    pub async fn lost(&self) {
        tokio::select! {
            () = self.gone.cancelled() => {}
            () = self.ended() => self.gone.cancel(),
        }
    }

    async fn ended(&self) {
        let mut held = self.held.clone();
        loop {
            let until = match held.borrow_and_update().as_ref() {
                Some(held) if held.lease == self.lease => held.until,
                _ => return,
            };
            if until <= Instant::now() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                changed = held.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Gives the duty back. To be called once nothing is done in its name any more.
    pub async fn end(&self) {
        let _asking = self.node.asking.lock().await;
        self.node.duties().remove(&self.lease.duty);
        self.node.give_back(&self.lease).await;
    }
}

/// For a store that only one process has open: what it gives out is granted to that process, and dies with it.
#[derive(Debug, Default)]
pub(super) struct OwnLeases(Mutex<HashMap<Duty, Own>>);

#[derive(Debug)]
struct Own {
    holder: Uuid,
    fence: i64,
    /// `None`: given back.
    until: Option<Instant>,
}

impl OwnLeases {
    fn own(&self) -> MutexGuard<'_, HashMap<Duty, Own>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lease(&self, holder: Uuid, duties: &[Duty], ttl: Duration) -> Vec<Lease> {
        let now = Instant::now();
        let mut own = self.own();
        let mut granted = Vec::new();
        for duty in duties {
            let entry = own.entry(duty.clone()).or_insert(Own { holder, fence: 1, until: None });
            if entry.holder != holder {
                if entry.until.is_some_and(|until| until > now) {
                    continue;
                }
                (entry.holder, entry.fence) = (holder, entry.fence + 1);
            }
            entry.until = Some(now + ttl);
            granted.push(Lease { duty: duty.clone(), holder, fence: entry.fence });
        }
        granted
    }

    pub(super) fn release(&self, lease: &Lease) {
        let mut own = self.own();
        if let Some(entry) = own.get_mut(&lease.duty).filter(|entry| is(entry, lease)) {
            entry.until = None;
        }
    }

    /// Whether nobody has taken it over since.
    pub(super) fn holds(&self, lease: &Lease) -> bool {
        self.own().get(&lease.duty).is_some_and(|entry| is(entry, lease))
    }
}

fn is(entry: &Own, lease: &Lease) -> bool {
    entry.holder == lease.holder && entry.fence == lease.fence
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{SqliteOptions, SqliteStore};

    fn store(dir: &tempfile::TempDir) -> Arc<SqliteStore> {
        let options = SqliteOptions {
            path: dir.path().join("x.db"),
            queue: 10,
            group: 10,
            busy_timeout: Duration::from_millis(100),
        };
        Arc::new(SqliteStore::open(options).expect("open"))
    }

    #[tokio::test]
    async fn a_duty_goes_from_node_to_node() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = store(&dir);
        let hour = Duration::from_secs(3600);
        let nodes = [0, 1].map(|_| Node::start(Arc::clone(&store) as Arc<dyn Store>, hour));
        let stopping = CancellationToken::new();
        let first = nodes[0].take(Duty::Journal, &stopping).await.expect("free");
        assert!(nodes[0].holds(&Duty::Journal) && !nodes[1].holds(&Duty::Journal));
        let second = nodes[1].take(Duty::Journal, &stopping);
        let give = async {
            first.end().await;
            // It is told where nodes are several stores; here they are told by hand.
            nodes[1].nudge();
        };
        let (second, ()) = tokio::join!(second, give);
        let second = second.expect("given back");
        assert!(second.lease().fence > first.lease().fence);
        first.lost().await;
        stopping.cancel();
        assert!(nodes[0].take(Duty::Journal, &stopping).await.is_none());
        nodes[1].leave().await;
        second.lost().await;
        assert!(!store.lease(Uuid::new_v4(), &[Duty::Journal], hour).await.expect("lease").is_empty());
    }

    /// Whoever does it anew in the same process waits for the one before, and then has it: it is never two tasks', and
    /// never nobody's.
    #[tokio::test]
    async fn within_one_node_a_duty_is_one_tasks_at_a_time() {
        let dir = tempfile::tempdir().expect("a folder");
        let node = Node::start(store(&dir), Duration::from_secs(60));
        let [first, second, third] = [(); 3].map(|()| CancellationToken::new());
        let one = node.take(Duty::Journal, &first).await.expect("free");
        let mut two = std::pin::pin!(node.take(Duty::Journal, &second));
        let mut three = std::pin::pin!(node.take(Duty::Journal, &third));
        tokio::select! {
            biased;
            _ = &mut two => panic!("the first has it"),
            _ = &mut three => panic!("the first has it"),
            () = tokio::task::yield_now() => {}
        }
        second.cancel();
        assert!(two.await.is_none(), "it is not wanted any more");
        one.end().await;
        assert!(!node.holds(&Duty::Journal));
        drop(one);
        let three = three.await.expect("its turn");
        assert!(node.holds(&Duty::Journal));
        three.end().await;
    }

    /// What is not wanted any more is not kept from the others.
    #[tokio::test]
    async fn a_duty_that_is_waited_for_in_vain_is_given_up() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = store(&dir);
        let hour = Duration::from_secs(3600);
        let nodes = [0, 1].map(|_| Node::start(Arc::clone(&store) as Arc<dyn Store>, hour));
        let stopping = CancellationToken::new();
        let first = nodes[0].take(Duty::Journal, &stopping).await.expect("free");
        let unwanted = CancellationToken::new();
        let mut waiting = std::pin::pin!(nodes[1].take(Duty::Journal, &unwanted));
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("the other node has it"),
            () = tokio::task::yield_now() => {}
        }
        unwanted.cancel();
        assert!(waiting.await.is_none());
        assert!(nodes[1].duties().is_empty() && nodes[0].holds(&Duty::Journal));
        first.end().await;
    }

    /// Whoever saw that it was lost has stopped half-way; that it could be had again does not undo that.
    #[tokio::test]
    async fn what_was_lost_for_a_moment_is_lost() {
        let dir = tempfile::tempdir().expect("a folder");
        let node = Node::start(store(&dir), Duration::from_secs(60));
        let term = node.take(Duty::Journal, &CancellationToken::new()).await.expect("free");
        let (sender, until) = {
            let duties = node.duties();
            let sender = duties[&Duty::Journal].clone();
            let until = sender.borrow().as_ref().expect("held").until;
            (sender, until)
        };
        let held = |until| sender.send_replace(Some(Held { lease: term.lease().clone(), until }));
        held(Instant::now());
        term.lost().await;
        held(until);
        term.lost().await;
        assert!(node.holds(&Duty::Journal));
        term.end().await;
        assert!(!node.holds(&Duty::Journal));
    }
}
