//! The one thread that writes, so that many callbacks share one flush. A flush to disk costs far more than a row, so it
//! takes all that waits into one transaction, flushes once, and only then tells the callers.
//!
//! Callbacks go first. Somebody waits for each of them, whereas whatever else is written follows from what is durable
//! already, and may take many times as long. So a transaction does not go on with other work for long, and under a load
//! of callbacks that work gets a fixed share of this thread's time: enough to come on, never enough to be in the way.

use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{CachedStatement, Connection, params};
use tokio::sync::{mpsc, oneshot};

use super::{checkpoint::Checkpointer, fault::Fault, place::Place};
use crate::{
    call::Receipt,
    store::{Seq, StoreError},
};

/// Bodies that one transaction takes, beside the bound on their number: a group must fit into memory and into the
/// patience of those who wait for it.
const GROUP_BYTES: usize = 4 << 20;

/// How long one transaction goes on with other work while somebody waits: a callback that comes now waits that long.
const SLICE: Duration = Duration::from_micros(700);
/// While callbacks keep coming, other work waits this many times as long as it last took.
const PAUSE: u32 = 16;
/// But no longer than this.
const PAUSE_MAX: Duration = Duration::from_millis(50);

const APPEND: &str =
    "INSERT INTO receipt (seq, id, account, hook, received_ms, method, path, query, content_type, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// What an operation writes with.
#[derive(Debug)]
pub(super) struct Work<'c> {
    pub(super) conn: &'c Connection,
    last_seq: &'c mut i64,
}

impl Work<'_> {
    /// The next place in the journal.
    pub(super) fn next_seq(&mut self) -> i64 {
        *self.last_seq += 1;
        *self.last_seq
    }

    /// A receipt that comes of an operation, in its transaction.
    pub(super) fn append(&mut self, receipt: &Receipt) -> Result<(), Fault> {
        let seq = self.next_seq();
        insert(&mut self.conn.prepare_cached(APPEND)?, seq, receipt)
    }
}

/// An operation and whoever waits for it, whatever its answer is.
pub(super) trait Job: Send {
    fn run(&mut self, work: &mut Work<'_>) -> Result<(), Fault>;
    /// It failed by itself: its savepoint was rolled back, the group goes on.
    fn fail(&mut self, error: StoreError);
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Operation<T, F> {
    run: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Operation<T, F>
where
    T: Send,
    F: FnOnce(&mut Work<'_>) -> Result<T, Fault> + Send,
{
    fn run(&mut self, work: &mut Work<'_>) -> Result<(), Fault> {
        if let Some(run) = self.run.take() {
            self.result = Some(Ok(run(work)?));
        }
        Ok(())
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Some(Err(error));
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (committed, self.result) {
            // It was refused for a reason of its own, which the group's fate does not change.
            (_, Some(Err(error))) | (Err(error), _) => Err(error),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Ok(()), None) => Err(closed()),
        };
        // Nobody waits any more: the caller's request was dropped. What is written stays written.
        let _ = self.reply.send(answer);
    }
}

pub(super) enum Command {
    /// The hot one: no box, no savepoint, no document.
    Append(Receipt, oneshot::Sender<Result<Seq, StoreError>>),
    Other(Box<dyn Job>),
    /// Take nothing new, finish what waits, end.
    Close,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Append(..) => "Append",
            Self::Other(_) => "Other",
            Self::Close => "Close",
        })
    }
}

impl Command {
    pub(super) fn operation<T, F>(run: F) -> (Self, oneshot::Receiver<Result<T, StoreError>>)
    where
        T: Send + 'static,
        F: FnOnce(&mut Work<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        (Self::Other(Box::new(Operation { run: Some(run), result: None, reply })), answer)
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::Unwritable("the store is closed".to_owned())
}

/// Written, and to be told so once that is durable.
enum Waiting {
    Append(Seq, oneshot::Sender<Result<Seq, StoreError>>),
    Other(Box<dyn Job>),
}

impl Waiting {
    fn answer(self, committed: Result<(), StoreError>) {
        match self {
            // Whoever asked may be gone; what is written stays written.
            Self::Append(seq, reply) => drop(reply.send(committed.map(|()| seq))),
            Self::Other(job) => job.answer(committed),
        }
    }
}

type Append = (Receipt, oneshot::Sender<Result<Seq, StoreError>>);

/// The write connection and the queue before it.
#[derive(Debug)]
pub(super) struct Writer {
    conn: Connection,
    checkpointer: Checkpointer,
    commands: mpsc::Receiver<Command>,
    group: usize,
    /// The last place in the journal given out.
    last_seq: i64,
    /// Until then, callbacks that wait are written without anything else.
    pause_until: Instant,
    commits: Arc<AtomicU64>,
    place: Place,
    /// Held as long as something may be written.
    _lock: File,
}

/// What was taken out of the queue and is not yet written.
#[derive(Default)]
struct Taken {
    appends: VecDeque<Append>,
    jobs: VecDeque<Box<dyn Job>>,
}

impl Taken {
    fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.jobs.is_empty()
    }

    fn len(&self) -> usize {
        self.appends.len() + self.jobs.len()
    }
}

impl Writer {
    pub(super) fn new(
        conn: Connection,
        checkpointer: Checkpointer,
        commands: mpsc::Receiver<Command>,
        group: usize,
        commits: Arc<AtomicU64>,
        lock: File,
    ) -> Result<Self, Fault> {
        // Above the cursor as well: the journal may have been purged down to nothing, and what comes next must not land
        // behind the reader.
        let last_seq = conn.query_row(
            "SELECT max((SELECT seq FROM cursor), (SELECT coalesce(max(seq), 0) FROM receipt))",
            [],
            |row| row.get(0),
        )?;
        let pause_until = Instant::now();
        let place = Place::of(Path::new(conn.path().unwrap_or_default()));
        let group = group.max(1);
        Ok(Self { conn, checkpointer, commands, group, last_seq, pause_until, commits, place, _lock: lock })
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut arrived = Vec::with_capacity(self.group);
        let mut taken = Taken::default();
        let mut failing = false;
        let mut waiting = Vec::with_capacity(self.group);
        while self.take(&mut arrived, &mut taken) {
            let committed = self.write(&mut taken, &mut waiting);
            // Once when it begins and once when it ends: what is refused meanwhile is told to those who asked.
            match (&committed, failing) {
                (Err(reason), false) => tracing::error!(%reason, "nothing can be written"),
                (Ok(()), true) => tracing::info!("the database is written again"),
                _ => {}
            }
            failing = committed.is_err();
            for one in waiting.drain(..) {
                // The error is told to everybody; it cannot be cloned, as some of its kind never happen twice.
                one.answer(committed.as_ref().map_err(|reason| StoreError::Unwritable(reason.clone())).copied());
            }
        }
        drop(self.checkpointer);
        // The last connection to close folds the write-ahead log into the database; a failure costs only time at the
        // next start.
        if let Err((_, error)) = self.conn.close() {
            tracing::warn!(%error, "the database was not closed cleanly");
        }
    }

    /// Takes what waits in the queue, and waits itself only if there is nothing to do. `false`: nothing will come.
    fn take(&mut self, arrived: &mut Vec<Command>, taken: &mut Taken) -> bool {
        if taken.is_empty() {
            if self.commands.blocking_recv_many(arrived, self.group) == 0 {
                return false;
            }
        } else {
            while taken.len() + arrived.len() < self.group
                && let Ok(command) = self.commands.try_recv()
            {
                arrived.push(command);
            }
        }
        for command in arrived.drain(..) {
            match command {
                Command::Append(receipt, reply) => taken.appends.push_back((receipt, reply)),
                Command::Other(job) => taken.jobs.push_back(job),
                // What is in the queue already is still taken.
                Command::Close => self.commands.close(),
            }
        }
        true
    }

    /// One transaction. On an error nothing of it is written, and the reason holds for all that `waiting` got.
    fn write(&mut self, taken: &mut Taken, waiting: &mut Vec<Waiting>) -> Result<(), String> {
        if taken.is_empty() {
            // Only the word to close came.
            return Ok(());
        }
        let last_seq = self.last_seq;
        let there = self.place.check().map_err(|reason| StoreError::Unwritable(reason).into());
        let outcome = there.and_then(|()| execute(&self.conn, "BEGIN IMMEDIATE"));
        let outcome = self.append(&mut taken.appends, waiting, outcome);
        // Whoever has no room left for callbacks must not keep other work waiting: it is what fills the room.
        let paused = !waiting.is_empty() && taken.jobs.len() < self.group && Instant::now() < self.pause_until;
        let outcome = if paused { outcome } else { self.work(taken, waiting, outcome) };
        let committed = outcome.and_then(|()| {
            crate::crash::point("store.before_commit");
            execute(&self.conn, "COMMIT")?;
            crate::crash::point("store.after_commit");
            self.commits.fetch_add(1, Ordering::Relaxed);
            self.checkpointer.committed();
            Ok(())
        });
        committed.map_err(|fault| {
            self.last_seq = last_seq;
            // SQLite may have rolled back by itself already.
            if !self.conn.is_autocommit()
                && let Err(error) = self.conn.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "a failed transaction could not be rolled back");
            }
            match fault.of_writing() {
                StoreError::Unwritable(reason) => reason,
                other => other.to_string(),
            }
        })
    }

    /// Writes the callbacks that wait, as many as one transaction takes, if all is well so far.
    fn append(
        &mut self,
        appends: &mut VecDeque<Append>,
        waiting: &mut Vec<Waiting>,
        mut outcome: Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut statement = match self.conn.prepare_cached(APPEND) {
            Ok(statement) => Some(statement),
            Err(error) => {
                outcome = outcome.and(Err(error.into()));
                None
            }
        };
        let mut bytes = 0;
        while waiting.len() < self.group
            && let Some((receipt, _)) = appends.front()
        {
            bytes += receipt.body.len() + receipt.query.len();
            // At least one, however large.
            if bytes > GROUP_BYTES && !waiting.is_empty() {
                break;
            }
            let Some((receipt, reply)) = appends.pop_front() else { break };
            if let (Ok(()), Some(statement)) = (&outcome, &mut statement) {
                self.last_seq += 1;
                outcome = insert(statement, self.last_seq, &receipt);
            }
            waiting.push(Waiting::Append(Seq(self.last_seq), reply));
        }
        outcome
    }

    /// Does other work, one piece at least, and no more once it took its time and somebody waits.
    fn work(
        &mut self,
        taken: &mut Taken,
        waiting: &mut Vec<Waiting>,
        mut outcome: Result<(), Fault>,
    ) -> Result<(), Fault> {
        let began = Instant::now();
        let appended = !waiting.is_empty();
        while let Some(mut job) = taken.jobs.pop_front() {
            if outcome.is_ok() {
                outcome = run(job.as_mut(), &mut Work { conn: &self.conn, last_seq: &mut self.last_seq });
            }
            waiting.push(Waiting::Other(job));
            let awaited = appended || !taken.appends.is_empty() || !self.commands.is_empty();
            if waiting.len() >= self.group || (awaited && began.elapsed() > SLICE) {
                break;
            }
        }
        let ended = Instant::now();
        self.pause_until = ended + ((ended - began) * PAUSE).min(PAUSE_MAX);
        outcome
    }
}

fn execute(conn: &Connection, sql: &str) -> Result<(), Fault> {
    conn.prepare_cached(sql)?.execute([])?;
    Ok(())
}

fn insert(statement: &mut CachedStatement<'_>, seq: i64, receipt: &Receipt) -> Result<(), Fault> {
    statement.execute(params![
        seq,
        receipt.id.as_bytes(),
        receipt.account,
        receipt.hook.as_str(),
        receipt.received_at.as_millisecond(),
        receipt.method,
        receipt.path,
        receipt.query,
        receipt.content_type,
        receipt.body,
    ])?;
    Ok(())
}

/// Runs one operation so that it is undone alone when it fails alone.
///
/// # Errors
/// Only what takes the whole transaction with it; what the operation failed with itself is in the job.
fn run(job: &mut dyn Job, work: &mut Work<'_>) -> Result<(), Fault> {
    let last_seq = *work.last_seq;
    execute(work.conn, "SAVEPOINT operation")?;
    match job.run(work) {
        Ok(()) => execute(work.conn, "RELEASE operation"),
        Err(fault) if fault.is_fatal() || work.conn.is_autocommit() => Err(fault),
        Err(fault) => {
            *work.last_seq = last_seq;
            execute(work.conn, "ROLLBACK TO operation")?;
            execute(work.conn, "RELEASE operation")?;
            job.fail(fault.of_writing());
            Ok(())
        }
    }
}
