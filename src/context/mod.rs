//! What the nodes share while calls are on: what is known of a call, owners, presence, live events, limits. It is never
//! the truth, so nothing here fails its caller: what cannot be known in time is "not known", and the health says so.
//!
//! # How nodes share what they know
//!
//! Every operation of the context writes to and answers from this node's own copy; with Redis it is also written there,
//! and read there first, for at most 100 ms. What is known of a call is a set of facts that only grows, owners carry
//! the time they were learnt at, sessions their end: so writing something twice, or late, changes nothing, and healing
//! is writing again. The first operation that fails takes Redis away from all the others, which then wait for nothing;
//! one task, the keeper, looks every second (with a write) whether it is there and still holds the mark that was put
//! there, writes again what it missed, or everything if it came back empty, and lets the operations through. Live
//! events go through one stream and reach every node's subscribers, the publisher's own too, in one order and under one
//! id; while it is away they are told on the node where they arise, and to the others when it is back.

mod facts;
mod limits;
mod live;
mod local;
mod memory;
mod redis;

#[cfg(test)]
mod suite;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use patchbay_kit::PhoneNumber;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    call::route::Decision,
    store::{CallRef, LaneRef},
};

pub use facts::{CallContext, Fact, Question};
pub use limits::{Admission, Limit};
pub use live::{Audience, EventId, Listener, LiveEvent, News, Next, Subscription};
pub use memory::MemoryContext;
pub use redis::{RedisContext, RedisOptions, greet};

/// How long an operation may take that somebody waits for: a caller is on the line.
pub const DEADLINE: Duration = Duration::from_millis(100);
/// How long what is known of a call is kept after the last word of it.
pub const CALL_KEPT: Duration = Duration::from_secs(6 * 3600);
/// How long an owner is kept. He is better than nobody for a caller who comes back while his CRM is down.
pub const OWNER_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// How long an owner is taken to be the one whom the CRM would name now.
pub const OWNER_FRESH: Duration = Duration::from_secs(600);
/// That a CRM knows no owner is believed for so long: he may be made one any moment.
pub const NOBODY_FRESH: Duration = Duration::from_secs(60);
/// How often an agent's session has to be heard of.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// A session that was not heard of for so long is over: two heartbeats may be lost.
pub const SESSION_KEPT: Duration = Duration::from_secs(45);

/// Whom a CRM named as the owner of a number, as numbers to dial, likeliest first; none where it knows nobody.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownOwner {
    pub numbers: Vec<String>,
    pub learnt_at: Timestamp,
}

impl KnownOwner {
    /// Whether it need not be asked for again yet. A stale owner is still the best one known.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        let fresh = if self.numbers.is_empty() { NOBODY_FRESH } else { OWNER_FRESH };
        now.duration_since(self.learnt_at) < jiff::SignedDuration::try_from(fresh).unwrap_or_default()
    }
}

/// It holds an agent's numbers.
impl fmt::Debug for KnownOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnownOwner({} numbers, learnt at {})", self.numbers.len(), self.learnt_at)
    }
}

/// One open event stream of an agent.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Session {
    pub account: String,
    /// By his id in the user mapping.
    pub agent: String,
    pub id: Uuid,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({}/{})", self.account, self.id)
    }
}

/// Whether the nodes share what they know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Well,
    /// Each node goes on with what it knows itself.
    Degraded {
        since: Timestamp,
        reason: String,
    },
}

impl Health {
    pub fn is_degraded(&self) -> bool {
        matches!(self, Self::Degraded { .. })
    }
}

/// The context. Every operation answers within [`DEADLINE`], from what this node knows itself if need be.
#[async_trait]
pub trait Context: Send + Sync + fmt::Debug + 'static {
    /// Keeps a fact about a call that became known at `at`. The same fact of the same time is kept once.
    async fn note(&self, call: &CallRef, fact: Fact, at: Timestamp);

    /// What is known of a call; empty if nothing is.
    async fn call(&self, call: &CallRef) -> CallContext;

    /// Keeps the answer to a question of whom to dial, unless it has one: of this node's, or of another's that was asked
    /// the same at the same time. Returns the one that counts.
    async fn name(&self, call: &CallRef, question: Question, decision: Decision, at: Timestamp) -> Decision;

    /// The target a bot named for this call. Whoever takes it first has it; nobody gets it twice.
    async fn take_hand_over(&self, call: &CallRef, at: Timestamp) -> Option<String>;

    /// Remembers whom the CRM named, if nothing newer is known. Nobody waits for it.
    fn learn_owner(&self, lane: &LaneRef, number: &PhoneNumber, owner: KnownOwner);

    /// Whom the CRM named last, however long ago that was.
    async fn owner(&self, lane: &LaneRef, number: &PhoneNumber) -> Option<KnownOwner>;

    /// An agent has an event stream open. To be said again every [`HEARTBEAT`].
    async fn appear(&self, session: &Session);

    /// He closed it.
    async fn leave(&self, session: &Session);

    /// Who has one open now, in an account.
    async fn present(&self, account: &str) -> Vec<Session>;

    /// Tells those who listen, on every node.
    async fn publish(&self, news: News);

    /// What is going on now, or what came after the event `after` where that is still known; then what is new.
    fn subscribe(&self, listener: Listener, after: Option<EventId>) -> Subscription;

    /// What is going on in an account, as far as this node knows: of each call and agent the last word.
    fn going_on(&self, account: &str) -> Vec<Arc<LiveEvent>>;

    /// Whether `key` may do once more what `limit` limits. It is counted if so.
    async fn admit(&self, limit: &Limit, key: &str) -> Admission;

    fn health(&self) -> Health;

    /// `memory` or `redis`, for health pages.
    fn kind(&self) -> &'static str;
}
