//! The ledger: who told of each call, and where it stands in each CRM; and how far Exotel's list was compared with it.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::{fault::Fault, rows::text, server::Tx};
use crate::{
    call::{IntentKind, SeenBy},
    store::{
        LedgerEntry, LedgerFilter, LedgerStanding, LedgerSummary, Link, Paged, SilentExoPhone, Span, SweepCursor,
        documents::{self, from_json, kind_rank, page_size, parse_call_cursor, sql_limit},
    },
};

pub(super) async fn sweep_cursor(tx: &Tx<'_>, account: &str) -> Result<Option<SweepCursor>, Fault> {
    let found = tx.row("SELECT since_ms, reached_ms FROM sweep WHERE account = $1", &[&text(account)]).await?;
    let cursor = |row: Row| {
        Ok(SweepCursor { since: documents::time(row.try_get(0)?)?, reached: documents::time(row.try_get(1)?)? })
    };
    found.map(cursor).transpose()
}

pub(super) async fn put_sweep_cursor(tx: &Tx<'_>, account: &str, cursor: SweepCursor) -> Result<(), Fault> {
    tx.run(
        "INSERT INTO sweep (account, since_ms, reached_ms) VALUES ($1, $2, $3)
         ON CONFLICT (account) DO UPDATE SET since_ms = excluded.since_ms, reached_ms = excluded.reached_ms",
        &[&text(account), &cursor.since.as_millisecond(), &cursor.reached.as_millisecond()],
    )
    .await?;
    Ok(())
}

/// `$2` and `$3` are the span, its end outside of it.
const SPAN: &str = "call.account = $1 AND began_ms >= $2 AND began_ms < $3";

pub(super) async fn list(tx: &Tx<'_>, account: &str, filter: &LedgerFilter) -> Result<Paged<LedgerEntry>, Fault> {
    let size = page_size(filter.limit);
    let (from, to) = filter.span.ms();
    let cursor = filter.before.as_deref().map(parse_call_cursor).transpose()?.unwrap_or((i64::MAX, i64::MAX));
    let (callback, listed) = filter.told();
    let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
    let log = kind_rank(IntentKind::Log);
    let sql = format!(
        "SELECT n, call_sid, first_by, by_callback, by_list, began_ms, first_seen_ms, outcome FROM call
         WHERE {SPAN} AND (began_ms, n) < ($4, $5)
         AND ($6::bool IS NULL OR by_callback = $6) AND ($7::bool IS NULL OR by_list = $7)
         AND (cardinality($8::text[]) = 0 OR EXISTS (SELECT 1 FROM delivery WHERE delivery.call = call.n
              AND kind = $10 AND delivery.state = ANY($8)))
         AND (cardinality($9::text[]) = 0 OR (SELECT count(*) FROM delivery WHERE delivery.call = call.n
              AND kind = $10 AND delivery.state = 'done' AND integration = ANY($9)) < cardinality($9))
         ORDER BY began_ms DESC, n DESC LIMIT $11"
    );
    let mut found = tx
        .rows(
            &sql,
            &[
                &text(account),
                &from,
                &to,
                &cursor.0,
                &cursor.1,
                &callback,
                &listed,
                &states,
                &filter.missing_in,
                &log,
                &sql_limit(size.saturating_add(1)),
            ],
        )
        .await?;
    let more = found.len() > size;
    found.truncate(size);
    let calls = found.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    let mut standings = standings(tx, &calls).await?;
    let mut items = Vec::with_capacity(found.len());
    for row in &found {
        items.push(entry(row, standings.remove(&row.try_get(0)?).unwrap_or_default())?);
    }
    let next = match found.last().filter(|_| more) {
        Some(last) => Some(format!("{}-{}", last.try_get::<_, i64>(5)?, last.try_get::<_, i64>(0)?)),
        None => None,
    };
    Ok(Paged { items, next })
}

fn entry(row: &Row, integrations: BTreeMap<String, LedgerStanding>) -> Result<LedgerEntry, Fault> {
    let (first_by, outcome): (Option<&str>, Option<&str>) = (row.try_get(2)?, row.try_get(7)?);
    Ok(LedgerEntry {
        call_sid: row.try_get(1)?,
        first_by: first_by.and_then(SeenBy::parse),
        by_callback: row.try_get(3)?,
        by_list: row.try_get(4)?,
        began_at: documents::time(row.try_get(5)?)?,
        first_seen_at: documents::time(row.try_get(6)?)?,
        outcome: outcome.map(documents::outcome).transpose()?,
        integrations,
    })
}

/// Where the calls' own records stand in each CRM.
async fn standings(tx: &Tx<'_>, calls: &[i64]) -> Result<BTreeMap<i64, BTreeMap<String, LedgerStanding>>, Fault> {
    let sql = "SELECT delivery.call, delivery.integration, delivery.state, delivery.reason, link.body FROM delivery
         LEFT JOIN link ON link.call = delivery.call AND link.integration = delivery.integration
           AND link.kind = delivery.kind
         WHERE delivery.call = ANY($1) AND delivery.kind = $2";
    let mut standings: BTreeMap<i64, BTreeMap<_, _>> = BTreeMap::new();
    for row in tx.rows(sql, &[&calls, &kind_rank(IntentKind::Log)]).await? {
        let link: Option<&str> = row.try_get(4)?;
        let link: Option<Link> = link.map(|link| from_json("link", link)).transpose()?;
        let standing = LedgerStanding {
            state: documents::state(row.try_get(2)?)?,
            reason: row.try_get(3)?,
            record: link.map(|link| link.at),
        };
        standings.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, standing);
    }
    Ok(standings)
}

pub(super) async fn summary(tx: &Tx<'_>, account: &str, span: Span) -> Result<LedgerSummary, Fault> {
    let (from, to) = span.ms();
    let account = text(account);
    let count = |row: &Row, at: usize| Ok::<_, Fault>(row.try_get::<_, i64>(at)?.unsigned_abs());
    let mut summary = LedgerSummary::default();
    let sql = format!(
        "SELECT count(*), count(*) FILTER (WHERE by_callback AND NOT by_list),
           count(*) FILTER (WHERE by_list AND NOT by_callback), count(*) FILTER (WHERE by_callback AND by_list),
           count(*) FILTER (WHERE outcome IS NULL), count(*) FILTER (WHERE by_callback AND outcome = 'answered'),
           count(*) FILTER (WHERE by_callback AND outcome = 'answered' AND popups >= 1),
           count(*) FILTER (WHERE by_callback AND outcome = 'answered' AND popups >= 2)
         FROM call WHERE {SPAN}"
    );
    if let Some(row) = tx.row(&sql, &[&account, &from, &to]).await? {
        let LedgerSummary { calls, callback_only, list_only, both, open, .. } = &mut summary;
        for (at, slot) in [calls, callback_only, list_only, both, open].into_iter().enumerate() {
            *slot = count(&row, at)?;
        }
        (summary.answered, summary.answered_with_popups) = (count(&row, 5)?, count(&row, 6)?);
        summary.answered_with_ringing = count(&row, 7)?;
    }
    let sql = format!(
        "SELECT delivery.integration, delivery.state, count(*) FROM call JOIN delivery ON delivery.call = call.n
         WHERE {SPAN} AND kind = $4 GROUP BY 1, 2"
    );
    for row in tx.rows(&sql, &[&account, &from, &to, &kind_rank(IntentKind::Log)]).await? {
        let state = documents::state(row.try_get(1)?)?;
        summary.integrations.entry(row.try_get(0)?).or_default().insert(state, count(&row, 2)?);
    }
    let sql = format!(
        "SELECT exophone, count(*) FROM call WHERE {SPAN} AND exophone IS NOT NULL AND NOT outgoing
         GROUP BY 1 HAVING NOT bool_or(by_callback) ORDER BY 2 DESC, 1"
    );
    for row in tx.rows(&sql, &[&account, &from, &to]).await? {
        summary.silent_exophones.push(SilentExoPhone { exophone: row.try_get(0)?, calls: count(&row, 1)? });
    }
    Ok(summary)
}
