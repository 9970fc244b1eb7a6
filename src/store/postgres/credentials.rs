//! Tokens of integrations, and consents that are waited for.

use jiff::Timestamp;

use super::{fault::Fault, server::Tx};
use crate::store::{Consent, LaneRef, StoreError, StoredCredential, documents};

pub(super) async fn find(tx: &Tx<'_>, lane: &LaneRef) -> Result<Option<StoredCredential>, Fault> {
    let found = tx
        .row(
            "SELECT version, sealed FROM credential WHERE account = $1 AND integration = $2",
            &[&lane.account, &lane.integration],
        )
        .await?;
    found.map(|row| Ok(StoredCredential { version: row.try_get(0)?, sealed: row.try_get(1)? })).transpose()
}

/// # Errors
/// [`StoreError::Conflict`]: somebody has written another since version `on_version` was read (0: none was there).
pub(super) async fn put(tx: &Tx<'_>, lane: &LaneRef, on_version: i64, sealed: &[u8]) -> Result<(), Fault> {
    let LaneRef { account, integration } = lane;
    let written = if on_version == 0 {
        tx.run(
            "INSERT INTO credential (account, integration, version, sealed) VALUES ($1, $2, 1, $3)
             ON CONFLICT DO NOTHING",
            &[account, integration, &sealed],
        )
        .await?
    } else {
        tx.run(
            "UPDATE credential SET version = version + 1, sealed = $4
             WHERE account = $1 AND integration = $2 AND version = $3",
            &[account, integration, &on_version, &sealed],
        )
        .await?
    };
    if written == 0 { Err(StoreError::Conflict.into()) } else { Ok(()) }
}

pub(super) async fn forget(tx: &Tx<'_>, lane: &LaneRef) -> Result<(), Fault> {
    tx.run("DELETE FROM credential WHERE account = $1 AND integration = $2", &[&lane.account, &lane.integration])
        .await?;
    Ok(())
}

pub(super) async fn put_consent(tx: &Tx<'_>, hash: [u8; 32], consent: &Consent, now: Timestamp) -> Result<(), Fault> {
    let Consent { lane, sealed, expires_at } = consent;
    tx.run("DELETE FROM consent WHERE expires_ms <= $1", &[&now.as_millisecond()]).await?;
    tx.run(
        "INSERT INTO consent (hash, account, integration, sealed, expires_ms) VALUES ($1, $2, $3, $4, $5)",
        &[&hash.as_slice(), &lane.account, &lane.integration, sealed, &expires_at.as_millisecond()],
    )
    .await?;
    Ok(())
}

/// Good once.
pub(super) async fn take_consent(tx: &Tx<'_>, hash: [u8; 32], now: Timestamp) -> Result<Option<Consent>, Fault> {
    let found = tx
        .row(
            "DELETE FROM consent WHERE hash = $1 RETURNING account, integration, sealed, expires_ms",
            &[&hash.as_slice()],
        )
        .await?;
    let Some(row) = found else { return Ok(None) };
    let lane = LaneRef { account: row.try_get(0)?, integration: row.try_get(1)? };
    let consent = Consent { lane, sealed: row.try_get(2)?, expires_at: documents::time(row.try_get(3)?)? };
    Ok((consent.expires_at > now).then_some(consent))
}
