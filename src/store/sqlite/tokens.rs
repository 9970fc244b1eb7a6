//! Hook tokens: which exist, and the hashes the hooks compare with.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::{fault::Fault, rows};
use crate::store::HookToken;

const COLUMNS: &str = "id, account, label, created_ms, expires_ms, hash, scope";

pub(super) fn insert(conn: &Connection, token: &HookToken, hash: [u8; 32]) -> Result<(), Fault> {
    conn.prepare_cached(&format!("INSERT INTO hook_token ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"))?.execute(
        params![
            token.id.as_bytes(),
            token.account,
            token.label,
            token.created_at.as_millisecond(),
            token.expires_at.map(Timestamp::as_millisecond),
            hash,
            token.scope,
        ],
    )?;
    Ok(())
}

pub(super) fn of_account(conn: &Connection, account: &str) -> Result<Vec<HookToken>, Fault> {
    let mut statement =
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM hook_token WHERE account = ?1 ORDER BY created_ms, id"))?;
    let mut found = statement.query([account])?;
    let mut tokens = Vec::new();
    while let Some(row) = found.next()? {
        tokens.push(token(row)?);
    }
    Ok(tokens)
}

pub(super) fn valid(conn: &Connection, now: Timestamp) -> Result<Vec<(HookToken, [u8; 32])>, Fault> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM hook_token WHERE expires_ms IS NULL OR expires_ms > ?1 ORDER BY account, created_ms, id"
    ))?;
    let mut found = statement.query([now.as_millisecond()])?;
    let mut tokens = Vec::new();
    while let Some(row) = found.next()? {
        tokens.push((token(row)?, row.get(5)?));
    }
    Ok(tokens)
}

/// Brings the end of a token's life forward, never back.
pub(super) fn expire(conn: &Connection, account: &str, id: Uuid, at: Timestamp) -> Result<bool, Fault> {
    let expired = conn
        .prepare_cached(
            "UPDATE hook_token SET expires_ms = min(coalesce(expires_ms, ?3), ?3) WHERE id = ?1 AND account = ?2",
        )?
        .execute(params![id.as_bytes(), account, at.as_millisecond()])?;
    Ok(expired > 0)
}

fn token(row: &Row<'_>) -> Result<HookToken, Fault> {
    let expires: Option<i64> = row.get(4)?;
    Ok(HookToken {
        id: rows::uuid(row.get_ref(0)?.as_blob().map_err(rows::alien)?)?,
        account: row.get(1)?,
        label: row.get(2)?,
        scope: row.get(6)?,
        created_at: rows::time(row.get(3)?)?,
        expires_at: expires.map(rows::time).transpose()?,
    })
}
