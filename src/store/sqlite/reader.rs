//! Connections that only read: each question sees one snapshot, and never waits for the writer.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::fault::Fault;
use crate::store::StoreError;

/// Questions answered side by side. Few: they are short, and the processors are wanted for the calls.
const READERS: usize = 3;

#[derive(Debug)]
struct Pool {
    idle: Mutex<Vec<Connection>>,
    free: Arc<Semaphore>,
}

/// A few read-only connections, lent to one question each.
#[derive(Clone, Debug)]
pub(super) struct Readers(Arc<Pool>);

impl Readers {
    pub(super) fn open(path: &Path, busy_timeout: Duration) -> Result<Self, Fault> {
        let idle = (0..READERS)
            .map(|_| {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let conn = Connection::open_with_flags(path, flags)?;
                conn.busy_timeout(busy_timeout)?;
                super::steady(&conn)?;
                conn.set_prepared_statement_cache_capacity(64);
                conn.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY;")?;
                Ok(conn)
            })
            .collect::<Result<Vec<_>, Fault>>()?;
        Ok(Self(Arc::new(Pool { idle: Mutex::new(idle), free: Arc::new(Semaphore::new(READERS)) })))
    }

    /// Asks in one snapshot, on a thread that may block.
    pub(super) async fn read<T, F>(&self, question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let closed = || StoreError::Unreadable("the store is closed".to_owned());
        let permit = Arc::clone(&self.0.free).acquire_owned().await.map_err(|_| closed())?;
        let lent = Lent { conn: Some(self.take().ok_or_else(closed)?), pool: Arc::clone(&self.0), _permit: permit };
        let answer = tokio::task::spawn_blocking(move || lent.snapshot(question)).await;
        answer.map_err(|_| StoreError::Unreadable("the reading thread was ended".to_owned()))?
    }

    fn take(&self) -> Option<Connection> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Lets no further question in, waits for those under way, and closes the connections.
    pub(super) async fn close(&self) {
        let all = u32::try_from(READERS).unwrap_or(u32::MAX);
        if let Ok(free) = self.0.free.acquire_many(all).await {
            self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.0.free.close();
            drop(free);
        }
    }
}

/// A connection that goes back to the pool whatever happens to the question.
#[derive(Debug)]
struct Lent {
    conn: Option<Connection>,
    pool: Arc<Pool>,
    /// Goes after the connection is back, and even when whoever asked does not wait any more.
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    fn snapshot<T>(&self, question: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, StoreError> {
        let Some(conn) = &self.conn else { return Err(StoreError::Unreadable("no connection".to_owned())) };
        let tx = conn.unchecked_transaction().map_err(|error| Fault::from(error).of_reading())?;
        question(&tx).map_err(Fault::of_reading)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        }
    }
}
