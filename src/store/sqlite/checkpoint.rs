//! Folds the write-ahead log into the database beside the writer, which would keep everybody waiting while it does.

use std::{
    convert::Infallible,
    fmt,
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;

use super::fault::Fault;
use crate::{codes::Code, store::StoreError};

/// Between two rounds. A page that was written often meanwhile is folded in once, and each round's flushes are in the
/// way of the writer's on the same disk.
const REST: Duration = Duration::from_secs(1);

/// The thread that folds in, as the writer sees it.
///
/// It folds what it finds and never waits for anybody; only the writer can begin the log anew, and does so at its own
/// bound (`wal_autocheckpoint`), finding little left to fold.
pub(super) struct Checkpointer {
    /// `None` only while it is stopped.
    ends: Option<(SyncSender<()>, mpsc::Sender<Infallible>)>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Checkpointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checkpointer")
    }
}

impl Checkpointer {
    pub(super) fn start(path: &Path) -> Result<Self, Fault> {
        let conn = Connection::open(path)?;
        // FULL: the log is flushed before the database is written, the database before the log is taken for folded.
        conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA cache_size = -256;")?;
        let (wake, woken) = mpsc::sync_channel(1);
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || run(&conn, &woken, &stopped))
            .map_err(|error| StoreError::Unwritable(format!("no thread for checkpoints: {error}")))?;
        Ok(Self { ends: Some((wake, stop)), thread: Some(thread) })
    }

    /// Something was committed.
    pub(super) fn committed(&self) {
        if let Some((wake, _)) = &self.ends {
            match wake.try_send(()) {
                // It knows already, or it is gone: then the writer folds at its own bound.
                Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
            }
        }
    }
}

impl Drop for Checkpointer {
    /// Waits for the thread: the last connection to close is to be the writer's.
    fn drop(&mut self) {
        self.ends = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(
                code = %Code::Internal,
                "the thread for checkpoints had panicked; nothing is lost, the write-ahead log grows until the next \
                 start"
            );
        }
    }
}

fn run(conn: &Connection, woken: &Receiver<()>, stopped: &Receiver<Infallible>) {
    while woken.recv().is_ok() {
        let folded = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if let Err(error) = folded {
            // The writer does it at its own bound, and tells if it cannot.
            tracing::debug!(%error, "the write-ahead log was not folded in");
        }
        if stopped.recv_timeout(REST) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}
