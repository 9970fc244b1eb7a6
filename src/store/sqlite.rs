//! The embedded store: SQLite with one writer thread and group commit.

use std::{path::PathBuf, time::Duration};

use super::StoreError;

/// How the embedded store is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    pub path: PathBuf,
    /// Writes that may wait for the writer thread before callers are refused.
    pub queue: usize,
    /// The most that one group commit takes.
    pub group: usize,
    /// How long a reader or writer waits for a lock of another process.
    pub busy_timeout: Duration,
}

/// SQLite, durable: `journal_mode=WAL`, `synchronous=FULL`.
#[derive(Debug)]
pub struct SqliteStore {}

impl SqliteStore {
    /// Opens or makes the database, migrating its schema forward.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`], or that it cannot be opened.
    pub fn open(options: SqliteOptions) -> Result<Self, StoreError> {
        let _ = options;
        unimplemented!()
    }
}
