//! The sessions of this node: one for a call, and no more than there may be. A second connection for the same call is the
//! one that counts (exotel-voicebot §1.5: Exotel tries again when the first failed), and the older is closed.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::recorder::Recorder;
use crate::{
    codes::Code,
    config::Voicebot,
    connect::transport::{self, Transport},
    store::CallRef,
};

pub struct Sessions {
    on: Mutex<On>,
    next: AtomicU64,
    /// Connections on which no call has started yet.
    waiting: AtomicUsize,
    /// Where what is told of calls is written: a connection's own thread may be gone by then.
    runtime: Handle,
    telling: TaskTracker,
    tls: Arc<rustls::ClientConfig>,
    pub(super) recorder: Recorder,
    /// For bots' tools.
    transport: Transport,
}

#[derive(Default)]
struct On {
    calls: HashMap<CallRef, Holder>,
    of_account: HashMap<String, usize>,
}

struct Holder {
    id: u64,
    /// Sessions that begin later have greater ids, on whatever node.
    session: Uuid,
    /// The id of the bot that has the call.
    bot: String,
    replaced: CancellationToken,
    ended: CancellationToken,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sessions({})", self.on().calls.len())
    }
}

impl Sessions {
    /// Within the runtime that outlives all connections.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(transport: Transport) -> Result<Self, String> {
        Ok(Self {
            on: Mutex::default(),
            next: AtomicU64::default(),
            waiting: AtomicUsize::default(),
            runtime: Handle::current(),
            telling: TaskTracker::new(),
            tls: Arc::new(transport::tls()?),
            recorder: Recorder::default(),
            transport,
        })
    }

    fn on(&self) -> MutexGuard<'_, On> {
        self.on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tls(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.tls)
    }

    pub(super) fn transport(&self) -> Transport {
        self.transport.clone()
    }

    /// A place for a connection until its call starts. `None`: too many are waiting.
    pub(super) fn wait(self: &Arc<Self>, limits: &Voicebot) -> Option<Waiting> {
        let waiting = Waiting { sessions: Arc::clone(self), session: Uuid::now_v7() };
        // As many as there may be calls: each may be about to be one.
        (self.waiting.fetch_add(1, Ordering::Relaxed) < limits.sessions).then_some(waiting)
    }

    /// The place of a call that starts.
    ///
    /// # Errors
    /// When there are too many, or it is another's.
    pub(super) fn take(
        self: &Arc<Self>,
        call: &CallRef,
        session: Uuid,
        bot: &str,
        limits: &Voicebot,
    ) -> Result<Place, NoPlace> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (replaced, ended) = (CancellationToken::new(), CancellationToken::new());
        let mut on = self.on();
        let holder = Holder { id, session, bot: bot.to_owned(), replaced: replaced.clone(), ended: ended.clone() };
        if let Some(held) = on.calls.get_mut(call) {
            if held.session > session {
                return Err(NoPlace::Replaced);
            }
            let older = std::mem::replace(held, holder);
            older.replaced.cancel();
        } else {
            let of_account = on.of_account.get(&call.account).copied().unwrap_or_default();
            if on.calls.len() >= limits.sessions || of_account >= limits.sessions_per_account {
                return Err(NoPlace::Full);
            }
            on.calls.insert(call.clone(), holder);
            *on.of_account.entry(call.account.clone()).or_default() += 1;
        }
        drop(on);
        Ok(Place { sessions: Arc::clone(self), call: call.clone(), id, replaced, ended })
    }

    /// Ends the session of a call, politely. `bot`: only if it is this one's. Whether there is such a session here.
    pub(super) fn end(&self, call: &CallRef, bot: Option<&str>) -> bool {
        let on = self.on();
        let held = on.calls.get(call).filter(|holder| bot.is_none_or(|bot| holder.bot == bot));
        held.inspect(|holder| holder.ended.cancel()).is_some()
    }

    /// A session of the call has begun, perhaps on another node.
    pub(super) fn taken_elsewhere(&self, call: &CallRef, session: Uuid) {
        if let Some(held) = self.on().calls.get(call).filter(|held| held.session < session) {
            held.replaced.cancel();
        }
    }

    /// Writes in the background, wherever the connection is by then.
    pub(super) fn tell(&self, told: impl Future<Output = ()> + Send + 'static) {
        drop(self.telling.spawn_on(told, &self.runtime));
    }

    /// All that is to be told of calls has been told, or that took too long.
    pub async fn told(&self, patience: Duration) {
        self.telling.close();
        if tokio::time::timeout(patience, self.telling.wait()).await.is_err() {
            tracing::warn!(
                code = %Code::TimelineIncomplete,
                "how some voicebots' calls ended is not in their timelines: the store did not take it in time"
            );
        }
    }
}

/// A connection on which no call has started yet.
pub(super) struct Waiting {
    sessions: Arc<Sessions>,
    /// The session that it becomes. Of two connections of a call the one that was opened later has the greater id, however
    /// long the `start` of either is under way.
    pub(super) session: Uuid,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// There are as many as there may be.
    Full,
    /// A connection that was opened later has the call.
    Replaced,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.sessions.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The place of a call; given back when it is dropped, unless a newer connection of the call has it.
pub(super) struct Place {
    sessions: Arc<Sessions>,
    call: CallRef,
    id: u64,
    /// A newer connection has taken over.
    pub(super) replaced: CancellationToken,
    /// Somebody wants it to end.
    pub(super) ended: CancellationToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut on = self.sessions.on();
        if on.calls.get(&self.call).is_none_or(|holder| holder.id != self.id) {
            return;
        }
        on.calls.remove(&self.call);
        if let Some(count) = on.of_account.get_mut(&self.call.account) {
            *count -= 1;
            if *count == 0 {
                on.of_account.remove(&self.call.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Uuid = Uuid::from_u128(1);

    fn call(account: &str, call_sid: &str) -> CallRef {
        CallRef { account: account.to_owned(), call_sid: call_sid.to_owned() }
    }

    fn limits(sessions: usize, sessions_per_account: usize) -> Voicebot {
        let usual = crate::config::parse("test", "", &Default::default()).expect("the defaults").voicebot;
        Voicebot { sessions, sessions_per_account, ..usual }
    }

    fn sessions() -> Arc<Sessions> {
        Arc::new(Sessions::new(Transport::new(Duration::from_secs(1)).expect("TLS")).expect("TLS"))
    }

    #[tokio::test]
    async fn a_newer_connection_takes_its_calls_place_and_leaves_one() {
        let sessions = sessions();
        let limits = limits(2, 1);
        let first = sessions.take(&call("a", "1"), SESSION, "sales", &limits).expect("a place");
        assert_eq!(sessions.take(&call("a", "2"), SESSION, "sales", &limits).err(), Some(NoPlace::Full));
        let second = sessions.take(&call("a", "1"), SESSION, "sales", &limits).expect("its own place");
        assert!(first.replaced.is_cancelled() && !second.replaced.is_cancelled());
        drop(first);
        assert!(sessions.take(&call("a", "2"), SESSION, "sales", &limits).is_err(), "the newer one has it still");
        let other = sessions.take(&call("b", "1"), SESSION, "sales", &limits).expect("another account's");
        assert!(sessions.take(&call("c", "1"), SESSION, "sales", &limits).is_err(), "the node's two are taken");
        drop(second);
        drop(other);
        assert!(sessions.on().calls.is_empty() && sessions.on().of_account.is_empty());
    }

    #[tokio::test]
    async fn only_a_later_session_takes_a_call_away() {
        let sessions = sessions();
        let held = Uuid::now_v7();
        let place = sessions.take(&call("a", "1"), held, "sales", &limits(2, 2)).expect("a place");
        for (of, session) in [("1", SESSION), ("1", held), ("2", Uuid::now_v7())] {
            sessions.taken_elsewhere(&call("a", of), session);
        }
        assert!(!place.replaced.is_cancelled());
        sessions.taken_elsewhere(&call("a", "1"), Uuid::now_v7());
        assert!(place.replaced.is_cancelled());
    }

    #[tokio::test]
    async fn a_session_is_ended_by_whoever_has_its_bot() {
        let sessions = sessions();
        let limits = limits(2, 2);
        let place = sessions.take(&call("a", "1"), SESSION, "sales", &limits).expect("a place");
        for (of, bot) in [(call("a", "1"), Some("other")), (call("a", "2"), None), (call("b", "1"), None)] {
            assert!(!sessions.end(&of, bot) && !place.ended.is_cancelled());
        }
        assert!(sessions.end(&call("a", "1"), Some("sales")) && place.ended.is_cancelled());
        assert!(sessions.end(&call("a", "1"), None), "as long as it is there");
        drop(place);
        assert!(!sessions.end(&call("a", "1"), None));
    }

    #[tokio::test]
    async fn of_two_connections_of_a_call_the_later_has_it_whichever_starts_first() {
        let sessions = sessions();
        let limits = limits(2, 2);
        let [first, second] = [0; 2].map(|_| sessions.wait(&limits).expect("there is room"));
        let place = sessions.take(&call("a", "1"), second.session, "sales", &limits).expect("a place");
        let late = sessions.take(&call("a", "1"), first.session, "sales", &limits);
        assert!(late.err() == Some(NoPlace::Replaced) && !place.replaced.is_cancelled());
    }

    #[tokio::test]
    async fn no_more_wait_than_may_talk() {
        let sessions = sessions();
        let limits = limits(1, 1);
        let first = sessions.wait(&limits);
        assert!(first.is_some() && sessions.wait(&limits).is_none());
        drop(first);
        assert!(sessions.wait(&limits).is_some());
    }
}
