//! The schema and how it came to be: scripts that run forward, each once, in order.

use rusqlite::{Connection, TransactionBehavior};

use super::fault::Fault;
use crate::store::StoreError;

/// Script `i` makes version `i + 1` out of version `i`.
pub(super) const SCRIPTS: &[&str] = &[
    include_str!("schema/001.sql"),
    include_str!("schema/002.sql"),
    include_str!("schema/003.sql"),
    include_str!("schema/004.sql"),
    include_str!("schema/005.sql"),
    include_str!("schema/006.sql"),
    include_str!("schema/007.sql"),
    include_str!("schema/008.sql"),
    include_str!("schema/009.sql"),
];

/// Brings the database to the newest version, or leaves it as it was.
pub(super) fn migrate(conn: &mut Connection, scripts: &[&str]) -> Result<(), Fault> {
    let known = u32::try_from(scripts.len()).unwrap_or(u32::MAX);
    // IMMEDIATE, so that the version read is the version migrated.
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(StoreError::NewerSchema { found, known }.into());
    }
    if found == known {
        return Ok(());
    }
    for script in scripts.iter().skip(found as usize) {
        tx.execute_batch(script)?;
    }
    tx.pragma_update(None, "user_version", known)?;
    tx.commit()?;
    tracing::info!(from = found, to = known, "database schema migrated");
    Ok(())
}
