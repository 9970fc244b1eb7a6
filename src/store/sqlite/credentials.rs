//! Tokens of integrations, and consents that are waited for.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{fault::Fault, rows};
use crate::store::{Consent, LaneRef, StoreError, StoredCredential};

pub(super) fn find(conn: &Connection, lane: &LaneRef) -> Result<Option<StoredCredential>, Fault> {
    let found = conn
        .prepare_cached("SELECT version, sealed FROM credential WHERE account = ?1 AND integration = ?2")?
        .query_row(params![lane.account, lane.integration], |row| {
            Ok(StoredCredential { version: row.get(0)?, sealed: row.get(1)? })
        })
        .optional()?;
    Ok(found)
}

/// # Errors
/// [`StoreError::Conflict`]: somebody has written another since version `on_version` was read (0: none was there).
pub(super) fn put(conn: &Connection, lane: &LaneRef, on_version: i64, sealed: &[u8]) -> Result<(), Fault> {
    let written = if on_version == 0 {
        conn.prepare_cached(
            "INSERT OR IGNORE INTO credential (account, integration, version, sealed) VALUES (?1, ?2, 1, ?3)",
        )?
        .execute(params![lane.account, lane.integration, sealed])?
    } else {
        conn.prepare_cached(
            "UPDATE credential SET version = version + 1, sealed = ?4 WHERE account = ?1 AND integration = ?2 AND version = ?3",
        )?
        .execute(params![lane.account, lane.integration, on_version, sealed])?
    };
    if written == 0 { Err(StoreError::Conflict.into()) } else { Ok(()) }
}

pub(super) fn forget(conn: &Connection, lane: &LaneRef) -> Result<(), Fault> {
    conn.prepare_cached("DELETE FROM credential WHERE account = ?1 AND integration = ?2")?
        .execute(params![lane.account, lane.integration])?;
    Ok(())
}

pub(super) fn put_consent(conn: &Connection, hash: [u8; 32], consent: &Consent, now: Timestamp) -> Result<(), Fault> {
    conn.prepare_cached("DELETE FROM consent WHERE expires_ms <= ?1")?.execute([now.as_millisecond()])?;
    conn.prepare_cached(
        "INSERT INTO consent (hash, account, integration, sealed, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        hash,
        consent.lane.account,
        consent.lane.integration,
        consent.sealed,
        consent.expires_at.as_millisecond()
    ])?;
    Ok(())
}

/// Good once.
pub(super) fn take_consent(conn: &Connection, hash: [u8; 32], now: Timestamp) -> Result<Option<Consent>, Fault> {
    let found: Option<(String, String, Vec<u8>, i64)> = conn
        .prepare_cached("DELETE FROM consent WHERE hash = ?1 RETURNING account, integration, sealed, expires_ms")?
        .query_row([hash], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((account, integration, sealed, expires)) = found else { return Ok(None) };
    let consent = Consent { lane: LaneRef { account, integration }, sealed, expires_at: rows::time(expires)? };
    Ok((consent.expires_at > now).then_some(consent))
}
