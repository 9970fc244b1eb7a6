//! The schema and how it came to be: scripts that run forward, each once, in order, on one node.

use tokio_postgres::Client;

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
];

/// "patchbay", as a number: held while a node looks at the version, so that of two that start at once one migrates.
const LOCK: i64 = 0x7061_7463_6862_6179;

/// Brings the database to the newest version, or leaves it as it was.
pub(super) async fn migrate(client: &mut Client, scripts: &[&str]) -> Result<(), Fault> {
    let known = u32::try_from(scripts.len()).unwrap_or(u32::MAX);
    let tx = client.transaction().await?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    // Looked for first: who may use the tables need not have the right to make any.
    let there: bool = tx.query_one("SELECT to_regclass('patchbay_schema') IS NOT NULL", &[]).await?.try_get(0)?;
    if !there {
        tx.batch_execute(
            "CREATE TABLE patchbay_schema (one BOOLEAN NOT NULL PRIMARY KEY DEFAULT TRUE CHECK (one), version BIGINT NOT NULL);
             INSERT INTO patchbay_schema (version) VALUES (0);",
        )
        .await?;
    }
    let found: i64 = tx.query_one("SELECT version FROM patchbay_schema", &[]).await?.try_get(0)?;
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    if found > known {
        return Err(StoreError::NewerSchema { found, known }.into());
    }
    if found == known {
        return Ok(());
    }
    for script in scripts.iter().skip(found as usize) {
        tx.batch_execute(script).await?;
    }
    tx.execute("UPDATE patchbay_schema SET version = $1", &[&i64::from(known)]).await?;
    tx.commit().await?;
    tracing::info!(from = found, to = known, "database schema migrated");
    Ok(())
}
