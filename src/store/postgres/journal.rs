//! The journal behind the append: reading on from the cursor, setting aside, replaying, purging.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{fault::Fault, rows::text, server::Tx};
use crate::{
    call::{Hook, Receipt},
    store::{
        Seq, SetAside,
        documents::{self, sql_limit},
    },
};

pub(super) async fn unread(tx: &Tx<'_>, limit: usize) -> Result<Vec<(Seq, Receipt)>, Fault> {
    let found = tx
        .rows(
            "SELECT seq, id, account, hook, received_ms, method, path, query, content_type, body FROM receipt
             WHERE seq > (SELECT seq FROM cursor) ORDER BY seq LIMIT $1",
            &[&sql_limit(limit)],
        )
        .await?;
    found.iter().map(|row| Ok((Seq(row.try_get(0)?), receipt(row)?))).collect()
}

/// A receipt out of the columns after its place in the journal.
fn receipt(row: &Row) -> Result<Receipt, Fault> {
    Ok(Receipt {
        id: row.try_get(1)?,
        account: row.try_get(2)?,
        hook: Hook::parse(row.try_get(3)?).ok_or_else(|| documents::alien("hook of a receipt"))?,
        received_at: documents::time(row.try_get(4)?)?,
        method: row.try_get(5)?,
        path: row.try_get(6)?,
        query: row.try_get(7)?,
        content_type: row.try_get(8)?,
        body: row.try_get(9)?,
    })
}

pub(super) async fn list_set_aside(
    tx: &Tx<'_>,
    account: &str,
    limit: usize,
) -> Result<Vec<(Receipt, SetAside)>, Fault> {
    let found = tx
        .rows(
            "SELECT receipt.seq, id, receipt.account, hook, received_ms, method, path, query, content_type, body, error,
             at_ms FROM set_aside JOIN receipt ON receipt.seq = set_aside.seq
             WHERE set_aside.account = $1 ORDER BY set_aside.seq DESC LIMIT $2",
            &[&text(account), &sql_limit(limit)],
        )
        .await?;
    found
        .iter()
        .map(|row| {
            let (seq, error) = (Seq(row.try_get(0)?), row.try_get(10)?);
            Ok((receipt(row)?, SetAside { seq, error, at: documents::time(row.try_get(11)?)? }))
        })
        .collect()
}

/// Moves the cursor, never back.
pub(super) async fn advance(tx: &Tx<'_>, to: Seq) -> Result<(), Fault> {
    tx.run("UPDATE cursor SET seq = $1 WHERE seq < $1", &[&to.0]).await?;
    Ok(())
}

pub(super) async fn set_aside(tx: &Tx<'_>, receipts: &[SetAside]) -> Result<(), Fault> {
    for one in receipts {
        tx.run(
            "INSERT INTO set_aside (seq, account, error, at_ms) SELECT seq, account, $2, $3 FROM receipt WHERE seq = $1
             ON CONFLICT (seq) DO UPDATE SET error = excluded.error, at_ms = excluded.at_ms",
            &[&one.seq.0, &text(&one.error), &one.at.as_millisecond()],
        )
        .await?;
    }
    Ok(())
}

/// Moves receipts from where they were set aside to the journal's end, where the reader comes past them again.
pub(super) async fn replay(tx: &Tx<'_>, account: &str) -> Result<u64, Fault> {
    let taken = tx.rows("DELETE FROM set_aside WHERE account = $1 RETURNING seq", &[&text(account)]).await?;
    let mut seqs = taken.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    if seqs.is_empty() {
        return Ok(0);
    }
    seqs.sort_unstable();
    // Every place that is given out is filled, so that none of them looks like one that is still to come.
    tx.run(
        "WITH moved AS (
           SELECT receipt.seq, row_number() OVER (ORDER BY receipt.seq) AS nth FROM receipt WHERE seq = ANY($1)),
         head AS (UPDATE journal SET last = last + (SELECT count(*) FROM moved)
           RETURNING last - (SELECT count(*) FROM moved) AS base)
         UPDATE receipt SET seq = head.base + moved.nth FROM moved, head WHERE receipt.seq = moved.seq",
        &[&seqs],
    )
    .await
}

/// Receipts not yet read, and those set aside.
pub(super) async fn depths(tx: &Tx<'_>) -> Result<(u64, u64), Fault> {
    let row = tx
        .row("SELECT (SELECT last FROM journal) - (SELECT seq FROM cursor), (SELECT count(*) FROM set_aside)", &[])
        .await?
        .ok_or_else(|| documents::alien("journal"))?;
    let (unread, set_aside): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok((u64::try_from(unread).unwrap_or(0), set_aside.unsigned_abs()))
}

/// Removes the oldest receipts that may go.
pub(super) async fn purge(tx: &Tx<'_>, older_than: Timestamp, limit: usize) -> Result<u64, Fault> {
    // Only the oldest are looked at: the order of the journal is that of arrival.
    tx.run(
        "DELETE FROM receipt WHERE seq IN (
           SELECT seq FROM (
             SELECT seq, received_ms FROM receipt WHERE seq <= (SELECT seq FROM cursor)
             AND NOT EXISTS (SELECT 1 FROM set_aside WHERE set_aside.seq = receipt.seq) ORDER BY seq LIMIT $2
           ) AS oldest WHERE received_ms < $1)",
        &[&older_than.as_millisecond(), &sql_limit(limit)],
    )
    .await
}
