//! Hook tokens: which exist, and the hashes the hooks compare with.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{fault::Fault, rows::text, server::Tx};
use crate::store::{HookToken, documents};

const COLUMNS: &str = "id, account, label, created_ms, expires_ms, hash, scope";

pub(super) async fn insert(tx: &Tx<'_>, token: &HookToken, hash: [u8; 32]) -> Result<(), Fault> {
    let HookToken { id, account, label, scope, created_at, expires_at } = token;
    tx.run(
        &format!("INSERT INTO hook_token ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7)"),
        &[
            id,
            &text(account),
            &text(label),
            &created_at.as_millisecond(),
            &expires_at.map(Timestamp::as_millisecond),
            &hash.as_slice(),
            &scope,
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn of_account(tx: &Tx<'_>, account: &str) -> Result<Vec<HookToken>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM hook_token WHERE account = $1 ORDER BY created_ms, id");
    tx.rows(&sql, &[&text(account)]).await?.iter().map(token).collect()
}

pub(super) async fn valid(tx: &Tx<'_>, now: Timestamp) -> Result<Vec<(HookToken, [u8; 32])>, Fault> {
    let sql = format!(
        "SELECT {COLUMNS} FROM hook_token WHERE expires_ms IS NULL OR expires_ms > $1 ORDER BY account, created_ms, id"
    );
    let read = |row: &Row| {
        let hash: &[u8] = row.try_get(5)?;
        Ok((token(row)?, hash.try_into().map_err(|_| documents::alien("hash of a token"))?))
    };
    tx.rows(&sql, &[&now.as_millisecond()]).await?.iter().map(read).collect()
}

/// Brings the end of a token's life forward, never back.
pub(super) async fn expire(tx: &Tx<'_>, account: &str, id: Uuid, at: Timestamp) -> Result<bool, Fault> {
    let expired = tx
        .run(
            "UPDATE hook_token SET expires_ms = least(coalesce(expires_ms, $3), $3) WHERE id = $1 AND account = $2",
            &[&id, &text(account), &at.as_millisecond()],
        )
        .await?;
    Ok(expired > 0)
}

fn token(row: &Row) -> Result<HookToken, Fault> {
    let expires: Option<i64> = row.try_get(4)?;
    Ok(HookToken {
        id: row.try_get(0)?,
        account: row.try_get(1)?,
        label: row.try_get(2)?,
        scope: row.try_get(6)?,
        created_at: documents::time(row.try_get(3)?)?,
        expires_at: expires.map(documents::time).transpose()?,
    })
}
