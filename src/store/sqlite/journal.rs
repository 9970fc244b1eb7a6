//! The journal behind the append: reading on from the cursor, setting aside, replaying, purging.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::{fault::Fault, rows, writer::Work};
use crate::{
    call::{Hook, Receipt},
    store::{Seq, SetAside, documents::sql_limit},
};

pub(super) fn unread(conn: &Connection, limit: usize) -> Result<Vec<(Seq, Receipt)>, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, id, account, hook, received_ms, method, path, query, content_type, body FROM receipt
         WHERE seq > (SELECT seq FROM cursor) ORDER BY seq LIMIT ?1",
    )?;
    let mut found = statement.query([sql_limit(limit)])?;
    let mut receipts = Vec::new();
    while let Some(row) = found.next()? {
        receipts.push((Seq(row.get(0)?), receipt(row)?));
    }
    Ok(receipts)
}

/// A receipt out of the columns after its place in the journal.
fn receipt(row: &Row<'_>) -> Result<Receipt, Fault> {
    let hook = row.get_ref(3)?.as_str().map_err(rows::alien)?;
    Ok(Receipt {
        id: rows::uuid(row.get_ref(1)?.as_blob().map_err(rows::alien)?)?,
        account: row.get(2)?,
        hook: Hook::parse(hook).ok_or_else(|| Fault::alien("hook of a receipt"))?,
        received_at: rows::time(row.get(4)?)?,
        method: row.get(5)?,
        path: row.get(6)?,
        query: row.get(7)?,
        content_type: row.get(8)?,
        body: row.get(9)?,
    })
}

pub(super) fn list_set_aside(
    conn: &Connection,
    account: &str,
    limit: usize,
) -> Result<Vec<(Receipt, SetAside)>, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT receipt.seq, id, receipt.account, hook, received_ms, method, path, query, content_type, body, error, at_ms
         FROM set_aside JOIN receipt ON receipt.seq = set_aside.seq
         WHERE set_aside.account = ?1 ORDER BY set_aside.seq DESC LIMIT ?2",
    )?;
    let mut found = statement.query(params![account, sql_limit(limit)])?;
    let mut receipts = Vec::new();
    while let Some(row) = found.next()? {
        let aside = SetAside { seq: Seq(row.get(0)?), error: row.get(10)?, at: rows::time(row.get(11)?)? };
        receipts.push((receipt(row)?, aside));
    }
    Ok(receipts)
}

/// Moves the cursor, never back.
pub(super) fn advance(conn: &Connection, to: Seq) -> Result<(), Fault> {
    conn.prepare_cached("UPDATE cursor SET seq = ?1 WHERE one = 1 AND seq < ?1")?.execute([to.0])?;
    Ok(())
}

pub(super) fn set_aside(conn: &Connection, receipts: &[SetAside]) -> Result<(), Fault> {
    let mut statement = conn.prepare_cached(
        "INSERT OR REPLACE INTO set_aside (seq, account, error, at_ms)
         SELECT seq, account, ?2, ?3 FROM receipt WHERE seq = ?1",
    )?;
    for one in receipts {
        statement.execute(params![one.seq.0, one.error, one.at.as_millisecond()])?;
    }
    Ok(())
}

/// Moves receipts from where they were set aside to the journal's end, where the reader comes past them again.
pub(super) fn replay(work: &mut Work<'_>, account: &str) -> Result<u64, Fault> {
    let seqs: Vec<i64> = work
        .conn
        .prepare_cached("SELECT seq FROM set_aside WHERE account = ?1 ORDER BY seq")?
        .query_map([account], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut replayed = 0;
    for seq in seqs {
        let next = work.next_seq();
        let moved = work.conn.prepare_cached("UPDATE receipt SET seq = ?2 WHERE seq = ?1")?.execute([seq, next])?;
        work.conn.prepare_cached("DELETE FROM set_aside WHERE seq = ?1")?.execute([seq])?;
        replayed += moved as u64;
    }
    Ok(replayed)
}

/// Receipts not yet read, and those set aside.
pub(super) fn depths(conn: &Connection) -> Result<(u64, u64), Fault> {
    // Behind the cursor no place in the journal is empty: only what was read is ever removed or moved.
    let (last, read): (i64, i64) =
        conn.query_row("SELECT coalesce((SELECT max(seq) FROM receipt), 0), (SELECT seq FROM cursor)", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let set_aside: i64 = conn.query_row("SELECT count(*) FROM set_aside", [], |row| row.get(0))?;
    Ok((u64::try_from(last - read).unwrap_or(0), set_aside.unsigned_abs()))
}

/// The oldest receipts that may go.
pub(super) fn purgeable(conn: &Connection, older_than: Timestamp, limit: usize) -> Result<Vec<i64>, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, received_ms FROM receipt WHERE seq <= (SELECT seq FROM cursor)
         AND NOT EXISTS (SELECT 1 FROM set_aside WHERE set_aside.seq = receipt.seq) ORDER BY seq",
    )?;
    let mut found = statement.query([])?;
    let mut seqs = Vec::new();
    while seqs.len() < limit
        && let Some(row) = found.next()?
    {
        // The order of the journal is that of arrival: behind the first that is young enough there is nothing to find.
        if row.get::<_, i64>(1)? >= older_than.as_millisecond() {
            break;
        }
        seqs.push(row.get(0)?);
    }
    Ok(seqs)
}

pub(super) fn purge(conn: &Connection, seqs: &[i64]) -> Result<u64, Fault> {
    let mut statement = conn.prepare_cached("DELETE FROM receipt WHERE seq = ?1")?;
    let mut purged = 0;
    for seq in seqs {
        purged += statement.execute([seq])? as u64;
    }
    Ok(purged)
}
