//! The keeper: connects to Redis, looks whether it is still there and still the same, reads what the other nodes tell,
//! and writes again what was missed. The connection manager mends a connection that broke; what it cannot see (one that
//! is stalled, a server that lost everything) is seen here.

use std::{convert::Infallible, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use redis::{
    AsyncConnectionConfig, FromRedisValue, Pipeline,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
    pipe,
    streams::{StreamId, StreamRangeReply, StreamReadReply},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    CONNECT, Health, RedisContext, SILENT, lock,
    shelf::{LIVE, MARK},
    told,
};
use crate::context::{
    EventId, LiveEvent,
    live::{LOG, Told},
};

/// How often it is looked whether Redis is still there.
const LOOK: Duration = Duration::from_secs(1);
/// How long a look, or writing a part of what was missed, may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a read waits for news; then it is asked again, so that a dead connection is noticed.
const NEWS: Duration = Duration::from_secs(2);
/// Between attempts to connect.
const AGAIN: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1)];
/// Of the past, events read at once; of what is written again, commands at once.
const AT_ONCE: usize = 500;
/// What is older than that is no news any more, and not told to the others late.
const LATE: SignedDuration = SignedDuration::from_secs(60);

/// What the keeper knows between connections.
#[derive(Default)]
struct Seen {
    /// The mark of the Redis that was written to.
    mark: Option<String>,
    /// When it was last seen to have everything.
    whole: Option<std::time::Instant>,
    /// Its stream was read before.
    met: bool,
}

impl RedisContext {
    /// Keeps the context on Redis until `stopping`.
    pub async fn keep(self: Arc<Self>, stopping: CancellationToken) {
        let mut seen = Seen::default();
        let mut failures = 0;
        loop {
            let mut healed = false;
            let ended = tokio::select! {
                ended = self.session(&mut seen, &mut healed) => ended,
                () = stopping.cancelled() => return,
            };
            let Err(reason) = ended;
            self.falter(&reason);
            failures = if healed { 0 } else { failures + 1 };
            tokio::select! {
                () = tokio::time::sleep(AGAIN[failures.min(AGAIN.len() - 1)]) => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    /// Goes on until something is wrong.
    async fn session(&self, seen: &mut Seen, healed: &mut bool) -> Result<Infallible, String> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(1)
            .set_max_delay(AGAIN[0]);
        let manager = ConnectionManager::new_with_config(self.client.clone(), config);
        let manager = in_time(CONNECT, manager).await?;
        // Reading waits for news, and nothing is to wait behind it.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(2 * NEWS));
        let reader = self.client.get_multiplexed_async_connection_with_config(&config);
        let mut reader = in_time(CONNECT, reader).await?;
        let began = std::time::Instant::now();
        self.recognise(&manager, seen).await?;
        self.catch_up(&mut reader, !seen.met).await?;
        seen.met = true;
        self.rise(&manager, seen, began).await?;
        *healed = true;
        tokio::select! {
            ended = self.look_after(&manager, seen) => ended,
            ended = self.listen(&mut reader) => ended,
        }
    }

    /// Looks every now and then, and at once when an operation failed.
    async fn look_after(&self, manager: &ConnectionManager, seen: &mut Seen) -> Result<Infallible, String> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.look.notified() => {}
            }
            let began = std::time::Instant::now();
            self.recognise(manager, seen).await?;
            self.rise(manager, seen, began).await?;
        }
    }

    /// Sees whether this is the Redis of before. The look writes, too: a Redis that takes no writes is of no use.
    async fn recognise(&self, manager: &ConnectionManager, seen: &mut Seen) -> Result<(), String> {
        let ours = self.shelf.mark();
        let fresh = format!("{ours}:{}", Uuid::new_v4());
        let mut commands = pipe();
        commands.cmd("SET").arg(MARK).arg(&fresh).arg("NX").ignore().cmd("GET").arg(MARK);
        let (mark,): (String,) = ask(manager, &commands).await?;
        if mark.split(':').next() != Some(ours.as_str()) {
            return Err("this Redis is used with another master key: give every node the same key file, or this \
                        installation a database of its own (redis://host/1)"
                .to_owned());
        }
        if seen.mark.as_ref() != Some(&mark) {
            // Empty, or never seen: nothing that was written counts.
            (seen.mark, seen.whole) = (Some(mark), None);
            *lock(&self.read_up_to) = EventId::default();
        }
        Ok(())
    }

    /// Lets operations through again and writes what they could not; then all is well.
    async fn rise(
        &self,
        manager: &ConnectionManager,
        seen: &mut Seen,
        began: std::time::Instant,
    ) -> Result<(), String> {
        let well = seen.whole.is_some() && self.connection.load().is_some();
        if !well {
            // First: what is known by now goes out below, and what comes from now on goes out itself.
            self.connection.store(Some(Arc::new(manager.clone())));
            self.write_again(manager, seen.whole).await?;
            // An operation that failed meanwhile called for another look.
            let mut health = lock(&self.health);
            if self.connection.load().is_some() {
                *health = Health::Well;
                tracing::info!("the context is shared over Redis");
            }
        }
        seen.whole = Some(began);
        Ok(())
    }

    async fn write_again(&self, manager: &ConnectionManager, since: Option<std::time::Instant>) -> Result<(), String> {
        let known = self.local.knowledge(since);
        let mut commands = pipe();
        for (key, owner) in &known.owners {
            self.owner_in(&mut commands, key, owner);
            flush(manager, &mut commands, AT_ONCE).await?;
        }
        for (call, facts) in &known.calls {
            self.note_in(&mut commands, call, facts.iter());
            flush(manager, &mut commands, AT_ONCE).await?;
        }
        for (session, until) in &known.sessions {
            self.session_in(&mut commands, session, *until);
            flush(manager, &mut commands, AT_ONCE).await?;
        }
        flush(manager, &mut commands, 1).await?;
        let now = Timestamp::now();
        let owed: Vec<Told> = lock(&self.owed).iter().cloned().collect();
        for told in &owed {
            if now.duration_since(told.at) < LATE {
                self.event_in(&mut commands, told);
            }
            flush(manager, &mut commands, AT_ONCE).await?;
        }
        flush(manager, &mut commands, 1).await?;
        // Only what is there now; who reads one twice knows it by its uid.
        lock(&self.owed).retain(|told| !owed.iter().any(|sent| sent.uid == told.uid));
        Ok(())
    }

    /// Reads what was told before, and since this node last read.
    async fn catch_up(&self, reader: &mut MultiplexedConnection, at_first: bool) -> Result<(), String> {
        let mut up_to = *lock(&self.read_up_to);
        let mut past = Vec::new();
        loop {
            let mut commands = pipe();
            commands.cmd("XRANGE").arg(LIVE).arg(format!("({up_to}")).arg("+").arg("COUNT").arg(AT_ONCE);
            let (read,): (StreamRangeReply,) = in_time(PATIENCE, commands.query_async(reader)).await?;
            let last = read.ids.len() < AT_ONCE;
            past.extend(self.read(read.ids, &mut up_to));
            if last {
                break;
            }
        }
        if at_first {
            past.drain(..past.len().saturating_sub(LOG));
            self.local.hub.restore(past);
        } else {
            past.into_iter().for_each(|event| self.local.hub.tell(event));
        }
        *lock(&self.read_up_to) = up_to;
        Ok(())
    }

    async fn listen(&self, reader: &mut MultiplexedConnection) -> Result<Infallible, String> {
        loop {
            let mut up_to = *lock(&self.read_up_to);
            let mut commands = pipe();
            commands.cmd("XREAD").arg("COUNT").arg(AT_ONCE).arg("BLOCK").arg(super::ms(NEWS));
            commands.arg("STREAMS").arg(LIVE).arg(up_to.to_string());
            let (news,): (Option<StreamReadReply>,) = in_time(2 * NEWS, commands.query_async(reader)).await?;
            for entries in news.into_iter().flat_map(|news| news.keys) {
                self.read(entries.ids, &mut up_to).into_iter().for_each(|event| self.local.hub.tell(event));
                *lock(&self.read_up_to) = up_to;
            }
        }
    }

    /// Reads entries of the stream, and moves on behind them, also where one is none of ours.
    fn read(&self, entries: Vec<StreamId>, up_to: &mut EventId) -> Vec<LiveEvent> {
        let mut events = Vec::new();
        for entry in entries {
            let Ok(id) = entry.id.parse() else { continue };
            *up_to = id;
            let sealed: Option<Vec<u8>> = entry.get("event");
            let told = sealed.and_then(|sealed| self.shelf.open(LIVE, "event", &sealed));
            events.extend(told.map(|told| LiveEvent { id, told }));
        }
        events
    }
}

async fn ask<T: FromRedisValue>(manager: &ConnectionManager, commands: &Pipeline) -> Result<T, String> {
    in_time(PATIENCE, commands.query_async(&mut manager.clone())).await
}

/// Sends the commands once there are so many.
async fn flush(manager: &ConnectionManager, commands: &mut Pipeline, many: usize) -> Result<(), String> {
    if commands.len() >= many {
        ask::<()>(manager, commands).await?;
        commands.clear();
    }
    Ok(())
}

async fn in_time<T>(limit: Duration, asking: impl Future<Output = redis::RedisResult<T>>) -> Result<T, String> {
    match tokio::time::timeout(limit, asking).await {
        Ok(answer) => answer.map_err(|error| told(&error)),
        Err(_) => Err(SILENT.to_owned()),
    }
}
