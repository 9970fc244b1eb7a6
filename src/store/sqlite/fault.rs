//! What can go wrong inside an operation, before it is known whether a reader or the writer met it.

use rusqlite::ErrorCode;

use crate::store::{StoreError, documents};

#[derive(Debug)]
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Fault {
    /// A value in the database that this program cannot have written.
    pub(super) fn alien(what: &str) -> Self {
        Self::Store(documents::alien(what))
    }

    pub(super) fn of_writing(self) -> StoreError {
        match self {
            Self::Sql(error) => StoreError::Unwritable(error.to_string()),
            Self::Store(error) => error,
        }
    }

    pub(super) fn of_reading(self) -> StoreError {
        match self {
            Self::Sql(error) => StoreError::Unreadable(error.to_string()),
            Self::Store(error) => error,
        }
    }

    /// Whether it is the disk or the database that failed, so that everything in the same transaction is lost with it.
    pub(super) fn is_fatal(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::ReadOnly
                    | ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::OutOfMemory
                    | ErrorCode::CannotOpen
                    | ErrorCode::DatabaseBusy
            )
        )
    }
}
