//! What can go wrong with a question to the server, and how it is told: with its cure, and nothing of what was written.

use std::error::Error as _;

use deadpool_postgres::{HookError, PoolError};
use tokio_postgres::error::SqlState;

use crate::store::StoreError;

#[derive(Debug)]
pub(super) enum Fault {
    Server(tokio_postgres::Error),
    Store(StoreError),
    /// There is no connection, for this reason.
    Away(String),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => Self::Server(error),
            PoolError::Timeout(_) => Self::Away("no connection to the server fell free in time".to_owned()),
            PoolError::Closed => Self::Away("the store is closed".to_owned()),
            other => Self::Away(other.to_string()),
        }
    }
}

impl Fault {
    pub(super) fn of_writing(self) -> StoreError {
        match self {
            Self::Server(error) => StoreError::Unwritable(told(&error)),
            Self::Away(reason) => StoreError::Unwritable(reason),
            Self::Store(error) => error,
        }
    }

    pub(super) fn of_reading(self) -> StoreError {
        match self {
            Self::Server(error) => StoreError::Unreadable(told(&error)),
            Self::Away(reason) => StoreError::Unreadable(reason),
            Self::Store(error) => error,
        }
    }
}

/// In words for the operator.
pub(super) fn told(error: &tokio_postgres::Error) -> String {
    let Some(refused) = error.as_db_error() else {
        // "error connecting to server" alone says little; the source is the system's own word.
        return match error.source() {
            Some(source) => format!("PostgreSQL: {error}: {source}"),
            None => format!("PostgreSQL: {error}"),
        };
    };
    let (code, message) = (refused.code(), refused.message());
    let cure = match *code {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "correct the user and the password in store.url, or pg_hba.conf"
        }
        SqlState::INVALID_CATALOG_NAME => "make it with createdb, or correct store.url",
        SqlState::INSUFFICIENT_PRIVILEGE | SqlState::INVALID_SCHEMA_NAME => {
            "the user of store.url needs the right to make tables: GRANT CREATE, USAGE ON SCHEMA public TO him, or let \
             him own the database"
        }
        SqlState::TOO_MANY_CONNECTIONS => "raise max_connections: each node takes up to twelve",
        SqlState::READ_ONLY_SQL_TRANSACTION => "it is a replica: store.url must name the primary",
        _ => "",
    };
    // What the server says of data quotes it: that may be somebody's number.
    let message = if matches!(&code.code()[..2], "22" | "23") { "a value was refused" } else { message };
    let separator = if cure.is_empty() { "" } else { ": " };
    format!("PostgreSQL: {message} ({}){separator}{cure}", code.code())
}
