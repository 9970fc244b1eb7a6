//! The one thread that writes. A flush to disk costs far more than a row, so it takes all that waits into one
//! transaction, flushes once, and only then tells the callers.

use std::{
    fmt,
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    vec::Drain,
};

use rusqlite::{CachedStatement, Connection, params};
use tokio::sync::{mpsc, oneshot};

use super::fault::Fault;
use crate::{
    call::Receipt,
    store::{Seq, StoreError},
};

/// Bodies that one transaction takes, beside the bound on their number: a group must fit into memory and into the
/// patience of those who wait for it.
const GROUP_BYTES: usize = 4 << 20;

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

    fn bytes(&self) -> usize {
        match self {
            Self::Append(receipt, _) => receipt.body.len() + receipt.query.len(),
            Self::Other(_) | Self::Close => 0,
        }
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

/// The write connection and the queue before it.
#[derive(Debug)]
pub(super) struct Writer {
    conn: Connection,
    commands: mpsc::Receiver<Command>,
    group: usize,
    /// The last place in the journal given out.
    last_seq: i64,
    commits: Arc<AtomicU64>,
    /// Held as long as something may be written.
    _lock: File,
}

impl Writer {
    pub(super) fn new(
        conn: Connection,
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
        Ok(Self { conn, commands, group: group.max(1), last_seq, commits, _lock: lock })
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut taken = Vec::with_capacity(self.group);
        let mut waiting = Vec::with_capacity(self.group);
        while self.commands.blocking_recv_many(&mut taken, self.group) > 0 {
            while !taken.is_empty() {
                let mut bytes = 0;
                let fit = taken.iter().position(|command: &Command| {
                    bytes += command.bytes();
                    bytes > GROUP_BYTES
                });
                // At least one, however large.
                let take = fit.map_or(taken.len(), |at| at.max(1));
                let committed = self.write(taken.drain(..take), &mut waiting);
                if let Err(reason) = &committed {
                    tracing::error!(%reason, refused = waiting.len(), "nothing could be written");
                }
                for one in waiting.drain(..) {
                    // The error is told to everybody; it cannot be cloned, as some of its kind never happen twice.
                    one.answer(committed.as_ref().map_err(|reason| StoreError::Unwritable(reason.clone())).copied());
                }
            }
        }
        // The last connection to close folds the write-ahead log into the database; a failure costs only time at the
        // next start.
        if let Err((_, error)) = self.conn.close() {
            tracing::warn!(%error, "the database was not closed cleanly");
        }
    }

    /// One transaction. On an error nothing of the group is written, and the reason holds for all of it.
    fn write(&mut self, group: Drain<'_, Command>, waiting: &mut Vec<Waiting>) -> Result<(), String> {
        let last_seq = self.last_seq;
        let mut outcome = execute(&self.conn, "BEGIN IMMEDIATE");
        {
            let mut append = match self.conn.prepare_cached(APPEND) {
                Ok(statement) => Some(statement),
                Err(error) => {
                    outcome = outcome.and(Err(error.into()));
                    None
                }
            };
            for command in group {
                match command {
                    Command::Append(receipt, reply) => {
                        if let (Ok(()), Some(statement)) = (&outcome, &mut append) {
                            self.last_seq += 1;
                            outcome = insert(statement, self.last_seq, &receipt);
                        }
                        waiting.push(Waiting::Append(Seq(self.last_seq), reply));
                    }
                    Command::Other(mut job) => {
                        if outcome.is_ok() {
                            outcome = run(job.as_mut(), &mut Work { conn: &self.conn, last_seq: &mut self.last_seq });
                        }
                        waiting.push(Waiting::Other(job));
                    }
                    Command::Close => self.commands.close(),
                }
            }
        }
        let committed = outcome.and_then(|()| {
            crate::crash::point("store.before_commit");
            execute(&self.conn, "COMMIT")?;
            crate::crash::point("store.after_commit");
            self.commits.fetch_add(1, Ordering::Relaxed);
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
