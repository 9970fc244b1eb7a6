//! The context of several nodes: what each knows is written to Redis, and what all know is read there. Each node keeps
//! its own copy and goes on with that while Redis is away; every write can be repeated and merged, so healing is writing
//! again what was written meanwhile, or everything where Redis came back empty.

mod keeper;
mod shelf;

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use jiff::Timestamp;
use patchbay_kit::PhoneNumber;
use redis::{
    Client, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError, TlsCertificates, aio::ConnectionManager, pipe,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Notify, time::Instant};

use super::{
    Admission, CALL_KEPT, CallContext, Context, DEADLINE, EventId, Fact, Health, KnownOwner, Limit, Listener,
    LiveEvent, News, OWNER_KEPT, Question, SESSION_KEPT, Session, Subscription,
    facts::{Noted, taken},
    live::{LOG, Told},
    local::{Local, OwnerKey},
};
use crate::{
    call::route::Decision,
    codes::Code,
    key::MasterKey,
    store::{CallRef, LaneRef},
};
use shelf::{ADMIT, KEEP_NEWER, LIVE, Shelf};

/// Events told while Redis is away that are told to the others when it is back.
const OWED: usize = 1_000;
/// How long opening a connection may take.
const CONNECT: Duration = Duration::from_secs(2);

/// Where Redis is, and what may be said of it.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://` or `rediss://`, with user and password if need be.
    pub url: SecretString,
    /// PEM: who signs its certificate, where that is nobody the world knows.
    pub root_certificate: Option<Vec<u8>>,
    /// How long one operation may take.
    pub deadline: Duration,
}

impl RedisOptions {
    pub fn new(url: SecretString, root_certificate: Option<Vec<u8>>) -> Self {
        Self { url, root_certificate, deadline: DEADLINE }
    }

    fn client(&self) -> Result<Client, String> {
        // The text is not repeated: there is a password in it.
        let wrong = |error: RedisError| format!("context.url: {}", error.category());
        let url = self.url.expose_secret();
        match &self.root_certificate {
            None => Client::open(url).map_err(wrong),
            Some(_) => {
                let info = url.into_connection_info().map_err(wrong)?;
                let certificates = TlsCertificates { client_tls: None, root_cert: self.root_certificate.clone() };
                Client::build_with_tls(info, certificates).map_err(wrong)
            }
        }
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisOptions(***)")
    }
}

/// Says hello, for `patchbay check`.
///
/// # Errors
/// In words, without a secret.
pub async fn greet(options: &RedisOptions) -> Result<(), String> {
    let client = options.client()?;
    let greeting = async {
        let mut connection = client.get_multiplexed_async_connection().await?;
        pipe().cmd("PING").query_async::<(String,)>(&mut connection).await
    };
    match tokio::time::timeout(CONNECT, greeting).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(told(&error)),
        Err(_) => Err(SILENT.to_owned()),
    }
}

const SILENT: &str = "Redis does not answer in time";

/// An error as it is told: neither address nor password is in it.
fn told(error: &RedisError) -> String {
    use redis::ErrorKind;
    match error.kind() {
        _ if error.is_timeout() => SILENT.to_owned(),
        ErrorKind::AuthenticationFailed => "Redis refuses user or password".to_owned(),
        ErrorKind::Io => format!("Redis cannot be reached: {error}"),
        _ => match error.clone().into_server_errors().as_deref() {
            Some([(_, refusal), ..]) => format!("Redis refuses: {}", refusal.code()),
            _ => format!("Redis cannot be used: {}", error.category()),
        },
    }
}

pub struct RedisContext {
    me: Weak<Self>,
    client: Client,
    shelf: Shelf,
    deadline: Duration,
    local: Local,
    /// There is one exactly while Redis is taken to be there.
    connection: ArcSwapOption<ConnectionManager>,
    health: Mutex<Health>,
    /// An operation failed: the keeper is to look.
    look: Notify,
    /// What was told here alone.
    owed: Mutex<VecDeque<Told>>,
    /// Of the stream, what this node has read.
    read_up_to: Mutex<EventId>,
}

impl fmt::Debug for RedisContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisContext({:?}, {:?})", self.health(), self.local)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl RedisContext {
    /// Connects to nothing yet: [`RedisContext::keep`] does. A Redis that is not there holds nobody up.
    ///
    /// # Errors
    /// When the address or the certificate cannot be used at all.
    pub fn new(options: &RedisOptions, key: MasterKey) -> Result<Arc<Self>, String> {
        let client = options.client()?;
        Ok(Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            client,
            shelf: Shelf::new(key),
            deadline: options.deadline,
            local: Local::default(),
            connection: ArcSwapOption::empty(),
            health: Mutex::new(Health::Degraded {
                since: Timestamp::now(),
                reason: "Redis is not connected yet".to_owned(),
            }),
            look: Notify::new(),
            owed: Mutex::default(),
            read_up_to: Mutex::default(),
        }))
    }

    /// What Redis says, if it is there and says it in time.
    async fn ask<T: FromRedisValue>(&self, commands: &Pipeline, by: Instant) -> Option<T> {
        let mut connection = ConnectionManager::clone(self.connection.load_full()?.as_ref());
        match tokio::time::timeout_at(by, commands.query_async(&mut connection)).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => self.falter(&told(&error)),
            Err(_) => self.falter(SILENT),
        }
        None
    }

    fn by(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// Redis is taken to be away until the keeper has seen that it is there: nobody else waits for it.
    fn falter(&self, reason: &str) {
        let mut health = lock(&self.health);
        self.connection.store(None);
        self.look.notify_one();
        match &mut *health {
            Health::Well => {
                tracing::warn!(
                    code = %Code::ContextDegraded, reason,
                    "Redis does not answer: each node goes on with what it knows itself, and Redis is asked every \
                     second"
                );
                *health = Health::Degraded { since: Timestamp::now(), reason: reason.to_owned() };
            }
            Health::Degraded { reason: told, .. } if told != reason => {
                tracing::warn!(
                    code = %Code::ContextDegraded, reason,
                    "Redis does not answer: each node goes on with what it knows itself, and asks every second"
                );
                reason.clone_into(told);
            }
            Health::Degraded { .. } => {}
        }
    }

    /// Reads what the others noted of a call into what is known here.
    async fn read_call(&self, call: &CallRef, by: Instant) -> CallContext {
        let key = self.shelf.call(call);
        let read: Option<(HashMap<String, Vec<u8>>,)> = self.ask(pipe().cmd("HGETALL").arg(&key), by).await;
        let (sealed,) = read.unwrap_or_default();
        let open = |(id, sealed): (String, Vec<u8>)| {
            let noted: Noted = self.shelf.open(&key, &id, &sealed)?;
            Some((id, noted))
        };
        self.local.note(call, sealed.into_iter().filter_map(open))
    }

    fn note_in<'a>(
        &self,
        commands: &mut Pipeline,
        call: &CallRef,
        facts: impl Iterator<Item = (&'a String, &'a Noted)>,
    ) {
        let key = self.shelf.call(call);
        for (id, noted) in facts {
            if let Some(sealed) = self.shelf.seal(&key, id, noted) {
                commands.cmd("HSET").arg(&key).arg(id).arg(sealed).ignore();
            }
        }
        commands.cmd("PEXPIRE").arg(&key).arg(ms(CALL_KEPT)).ignore();
    }

    fn owner_in(&self, commands: &mut Pipeline, key: &OwnerKey, owner: &KnownOwner) {
        let key = self.shelf.owner(key);
        if let Some(sealed) = self.shelf.seal(&key, "value", owner) {
            commands.cmd("EVAL").arg(KEEP_NEWER).arg(1).arg(&key);
            commands.arg(owner.learnt_at.as_millisecond()).arg(sealed).arg(ms(OWNER_KEPT)).ignore();
        }
    }

    fn session_in(&self, commands: &mut Pipeline, session: &Session, until: Timestamp) {
        let key = self.shelf.sessions(&session.account);
        let field = session.id.to_string();
        if let Some(sealed) = self.shelf.seal(&key, &field, &(session, until)) {
            commands.cmd("HSET").arg(&key).arg(&field).arg(sealed).ignore();
            commands.cmd("PEXPIRE").arg(&key).arg(ms(SESSION_KEPT)).ignore();
        }
    }

    fn event_in(&self, commands: &mut Pipeline, told: &Told) -> bool {
        let Some(sealed) = self.shelf.seal(LIVE, "event", told) else { return false };
        commands.cmd("XADD").arg(LIVE).arg("MAXLEN").arg("~").arg(LOG).arg("*").arg("event").arg(sealed).ignore();
        commands.cmd("PEXPIRE").arg(LIVE).arg(ms(CALL_KEPT)).ignore();
        true
    }

    fn owe(&self, told: Told) {
        let mut owed = lock(&self.owed);
        if owed.len() >= OWED {
            owed.pop_front();
        }
        owed.push_back(told);
    }
}

/// Pipelines whose replies say nothing answer with this.
type Done = ();

#[async_trait]
impl Context for RedisContext {
    async fn note(&self, call: &CallRef, fact: Fact, at: Timestamp) {
        let noted = Noted { at, fact };
        let id = noted.id();
        self.local.note(call, [(id.clone(), noted.clone())]);
        let mut commands = pipe();
        self.note_in(&mut commands, call, std::iter::once((&id, &noted)));
        self.ask::<Done>(&commands, self.by()).await;
    }

    async fn call(&self, call: &CallRef) -> CallContext {
        self.read_call(call, self.by()).await
    }

    async fn name(&self, call: &CallRef, question: Question, decision: Decision, at: Timestamp) -> Decision {
        let noted = Noted { at, fact: Fact::Named { question, decision: decision.clone() } };
        let (key, field) = (self.shelf.call(call), noted.id());
        let Some(sealed) = self.shelf.seal(&key, &field, &noted) else { return decision };
        let mut commands = pipe();
        commands.cmd("HSETNX").arg(&key).arg(&field).arg(sealed).ignore();
        commands.cmd("PEXPIRE").arg(&key).arg(ms(CALL_KEPT)).ignore();
        commands.cmd("HGET").arg(&key).arg(&field);
        let kept: Option<(Vec<u8>,)> = self.ask(&commands, self.by()).await;
        // Without Redis the first of this node's counts.
        let first = kept.and_then(|(sealed,)| self.shelf.open(&key, &field, &sealed)).unwrap_or(noted);
        self.local.first(call, first).decision().unwrap_or(decision)
    }

    async fn take_hand_over(&self, call: &CallRef, at: Timestamp) -> Option<String> {
        let by = self.by();
        let known = self.read_call(call, by).await;
        let (hand_over, target) = known.open_hand_over()?;
        let (key, field) = (self.shelf.call(call), taken(hand_over));
        let noted = Noted { at, fact: Fact::Taken { hand_over: hand_over.to_owned() } };
        let sealed = self.shelf.seal(&key, &field, &noted)?;
        let mut commands = pipe();
        commands.cmd("HSETNX").arg(&key).arg(&field).arg(sealed);
        commands.cmd("PEXPIRE").arg(&key).arg(ms(CALL_KEPT)).ignore();
        let first: Option<(bool,)> = self.ask(&commands, by).await;
        match first {
            Some((first,)) => {
                self.local.note(call, [(field, noted)]);
                first.then(|| target.to_owned())
            }
            // Of this node's at least one alone takes it.
            None => self.local.take_hand_over(call, at),
        }
    }

    fn learn_owner(&self, lane: &LaneRef, number: &PhoneNumber, owner: KnownOwner) {
        let key = (lane.clone(), number.clone());
        let owner = self.local.learn_owner(&key, owner);
        // Without a connection there is nothing to do now; it is written when there is one again.
        let Some(me) = self.me.upgrade().filter(|_| self.connection.load().is_some()) else { return };
        let mut commands = pipe();
        self.owner_in(&mut commands, &key, &owner);
        tokio::spawn(async move {
            me.ask::<Done>(&commands, me.by()).await;
        });
    }

    async fn owner(&self, lane: &LaneRef, number: &PhoneNumber) -> Option<KnownOwner> {
        let owner = (lane.clone(), number.clone());
        let key = self.shelf.owner(&owner);
        let read: Option<(Option<Vec<u8>>,)> = self.ask(pipe().cmd("HGET").arg(&key).arg("value"), self.by()).await;
        let sealed = read.and_then(|(sealed,)| sealed);
        match sealed.and_then(|sealed| self.shelf.open(&key, "value", &sealed)) {
            Some(theirs) => Some(self.local.learn_owner(&owner, theirs)),
            None => self.local.owner(&owner),
        }
    }

    async fn appear(&self, session: &Session) {
        let until = self.local.appear(session);
        let mut commands = pipe();
        self.session_in(&mut commands, session, until);
        self.ask::<Done>(&commands, self.by()).await;
    }

    async fn leave(&self, session: &Session) {
        self.local.leave(session);
        let key = self.shelf.sessions(&session.account);
        self.ask::<(u64,)>(pipe().cmd("HDEL").arg(key).arg(session.id.to_string()), self.by()).await;
    }

    async fn present(&self, account: &str) -> Vec<Session> {
        let key = self.shelf.sessions(account);
        let read: Option<(HashMap<String, Vec<u8>>,)> = self.ask(pipe().cmd("HGETALL").arg(&key), self.by()).await;
        let Some((sealed,)) = read else { return self.local.present(account) };
        let now = Timestamp::now();
        let mut gone = Vec::new();
        let mut there = Vec::new();
        for (field, sealed) in sealed {
            match self.shelf.open::<(Session, Timestamp)>(&key, &field, &sealed) {
                Some((session, until)) if until > now => there.push((session, until)),
                _ => gone.push(field),
            }
        }
        self.local.hear_of(account, there);
        if !gone.is_empty() {
            self.ask::<(u64,)>(pipe().cmd("HDEL").arg(key).arg(gone), self.by()).await;
        }
        self.local.present(account)
    }

    async fn publish(&self, news: News) {
        let told = Told::now(news);
        let mut commands = pipe();
        // It comes back as the stream's next event, for those who listen here too: all hear in one order.
        let sent = self.event_in(&mut commands, &told) && self.ask::<Done>(&commands, self.by()).await.is_some();
        if !sent {
            self.owe(told.clone());
            self.local.hub.tell_here(told);
        }
    }

    fn subscribe(&self, listener: Listener, after: Option<EventId>) -> Subscription {
        self.local.hub.subscribe(listener, after)
    }

    fn going_on(&self, account: &str) -> Vec<Arc<LiveEvent>> {
        self.local.hub.going_on(account)
    }

    async fn admit(&self, limit: &Limit, key: &str) -> Admission {
        // Counted here as well, so that the count goes on when Redis is away or has forgotten.
        let here = self.local.limits.admit(limit, key);
        let recovery = u64::try_from(limit.recovery().as_micros()).unwrap_or(u64::MAX);
        let mut commands = pipe();
        commands.cmd("EVAL").arg(ADMIT).arg(1).arg(self.shelf.limit(limit.name, key));
        commands.arg(recovery).arg(limit.burst.get());
        let there = match self.ask::<(u64,)>(&commands, self.by()).await {
            None | Some((0,)) => Admission::Granted,
            Some((wait,)) => Admission::Refused { retry_after: Duration::from_micros(wait) },
        };
        here.and(there)
    }

    fn health(&self) -> Health {
        lock(&self.health).clone()
    }

    fn kind(&self) -> &'static str {
        "redis"
    }
}
