//! The ledger: who told of each call, and where it stands in each CRM; and how far Exotel's list was compared with it.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{fault::Fault, rows};
use crate::{
    call::{IntentKind, SeenBy},
    store::{
        LedgerEntry, LedgerFilter, LedgerStanding, LedgerSummary, Paged, SilentExoPhone, Span, SweepCursor,
        documents::{self, from_json, kind_rank, page_size, parse_call_cursor, sql_limit, to_json},
    },
};

pub(super) fn sweep_cursor(conn: &Connection, account: &str) -> Result<Option<SweepCursor>, Fault> {
    let found: Option<(i64, i64)> = conn
        .prepare_cached("SELECT since_ms, reached_ms FROM sweep WHERE account = ?1")?
        .query_row([account], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let cursor =
        |(since, reached)| Ok(SweepCursor { since: documents::time(since)?, reached: documents::time(reached)? });
    found.map(cursor).transpose()
}

pub(super) fn put_sweep_cursor(conn: &Connection, account: &str, cursor: SweepCursor) -> Result<(), Fault> {
    conn.prepare_cached(
        "INSERT INTO sweep (account, since_ms, reached_ms) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET since_ms = ?2, reached_ms = ?3",
    )?
    .execute(params![account, cursor.since.as_millisecond(), cursor.reached.as_millisecond()])?;
    Ok(())
}

/// `?2` and `?3` are the span, its end outside of it.
const SPAN: &str = "account = ?1 AND began_ms >= ?2 AND began_ms < ?3";

pub(super) fn list(conn: &Connection, account: &str, filter: &LedgerFilter) -> Result<Paged<LedgerEntry>, Fault> {
    let size = page_size(filter.limit);
    let (from, to) = filter.span.ms();
    let cursor = filter.before.as_deref().map(parse_call_cursor).transpose()?.unwrap_or((i64::MAX, i64::MAX));
    let (callback, listed) = filter.told();
    let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
    let states = (!states.is_empty()).then(|| to_json("states", &states)).transpose()?;
    let missing = (!filter.missing_in.is_empty()).then(|| to_json("integrations", &filter.missing_in)).transpose()?;
    let mut statement = conn.prepare_cached(&format!(
        "SELECT n, call_sid, first_by, by_callback, by_list, began_ms, first_seen_ms, outcome
         FROM call INDEXED BY call_by_start WHERE {SPAN} AND (began_ms, n) < (?4, ?5)
         AND (?6 IS NULL OR by_callback = ?6) AND (?7 IS NULL OR by_list = ?7)
         AND (?8 IS NULL OR EXISTS (SELECT 1 FROM delivery INDEXED BY delivery_of_call WHERE delivery.call = call.n
              AND kind = ?10 AND state IN (SELECT value FROM json_each(?8))))
         AND (?9 IS NULL OR (SELECT count(*) FROM delivery INDEXED BY delivery_of_call WHERE delivery.call = call.n
              AND kind = ?10 AND state = 'done' AND integration IN (SELECT value FROM json_each(?9)))
              < json_array_length(?9))
         ORDER BY began_ms DESC, n DESC LIMIT ?11"
    ))?;
    let mut found = statement.query(params![
        account,
        from,
        to,
        cursor.0,
        cursor.1,
        callback,
        listed,
        states,
        missing,
        kind_rank(IntentKind::Log),
        sql_limit(size.saturating_add(1)),
    ])?;
    let (mut items, mut last, mut more) = (Vec::new(), None, false);
    while let Some(row) = found.next()? {
        if items.len() == size {
            more = true;
            break;
        }
        last = Some((row.get::<_, i64>(5)?, row.get::<_, i64>(0)?));
        items.push(entry(conn, row)?);
    }
    let next = last.filter(|_| more).map(|(began, n)| format!("{began}-{n}"));
    Ok(Paged { items, next })
}

fn entry(conn: &Connection, row: &Row<'_>) -> Result<LedgerEntry, Fault> {
    let outcome: Option<String> = row.get(7)?;
    let first_by: Option<String> = row.get(2)?;
    Ok(LedgerEntry {
        call_sid: row.get(1)?,
        first_by: first_by.as_deref().and_then(SeenBy::parse),
        by_callback: row.get(3)?,
        by_list: row.get(4)?,
        began_at: documents::time(row.get(5)?)?,
        first_seen_at: documents::time(row.get(6)?)?,
        outcome: outcome.as_deref().map(documents::outcome).transpose()?,
        integrations: standings(conn, row.get(0)?)?,
    })
}

/// Where the call's own record stands in each CRM.
fn standings(conn: &Connection, call: i64) -> Result<BTreeMap<String, LedgerStanding>, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT delivery.integration, state, reason, json_extract(link.body, '$.at') FROM delivery
         LEFT JOIN link ON link.call = delivery.call AND link.integration = delivery.integration
           AND link.kind = delivery.kind
         WHERE delivery.call = ?1 AND delivery.kind = ?2",
    )?;
    let mut found = statement.query(params![call, kind_rank(IntentKind::Log)])?;
    let mut standings = BTreeMap::new();
    while let Some(row) = found.next()? {
        let record: Option<String> = row.get(3)?;
        let standing = LedgerStanding {
            state: documents::state(row.get_ref(1)?.as_str().map_err(rows::alien)?)?,
            reason: row.get(2)?,
            record: record.map(|record| from_json("record of a link", &record)).transpose()?,
        };
        standings.insert(row.get(0)?, standing);
    }
    Ok(standings)
}

pub(super) fn summary(conn: &Connection, account: &str, span: Span) -> Result<LedgerSummary, Fault> {
    let (from, to) = span.ms();
    let count = |row: &Row<'_>, at: usize| row.get::<_, Option<i64>>(at).map(|it| it.unwrap_or(0).unsigned_abs());
    let mut summary = conn
        .prepare_cached(&format!(
            "SELECT count(*), sum(by_callback AND NOT by_list), sum(by_list AND NOT by_callback),
               sum(by_callback AND by_list), sum(outcome IS NULL), sum(by_callback AND outcome = 'answered'),
               sum(by_callback AND outcome = 'answered' AND popups >= 1),
               sum(by_callback AND outcome = 'answered' AND popups >= 2)
             FROM call INDEXED BY call_by_start WHERE {SPAN}"
        ))?
        .query_row(params![account, from, to], |row| {
            Ok(LedgerSummary {
                calls: count(row, 0)?,
                callback_only: count(row, 1)?,
                list_only: count(row, 2)?,
                both: count(row, 3)?,
                open: count(row, 4)?,
                answered: count(row, 5)?,
                answered_with_popups: count(row, 6)?,
                answered_with_ringing: count(row, 7)?,
                ..LedgerSummary::default()
            })
        })?;
    let mut statement = conn.prepare_cached(
        "SELECT integration, delivery.state, count(*) FROM call INDEXED BY call_by_start
         JOIN delivery ON delivery.call = call.n AND kind = ?4
         WHERE call.account = ?1 AND began_ms >= ?2 AND began_ms < ?3 GROUP BY 1, 2",
    )?;
    let mut found = statement.query(params![account, from, to, kind_rank(IntentKind::Log)])?;
    while let Some(row) = found.next()? {
        let state = documents::state(row.get_ref(1)?.as_str().map_err(rows::alien)?)?;
        summary.integrations.entry(row.get(0)?).or_default().insert(state, count(row, 2)?);
    }
    let mut statement = conn.prepare_cached(&format!(
        "SELECT exophone, count(*) FROM call INDEXED BY call_by_start
         WHERE {SPAN} AND exophone IS NOT NULL AND NOT outgoing
         GROUP BY 1 HAVING max(by_callback) = 0 ORDER BY 2 DESC, 1"
    ))?;
    let mut found = statement.query(params![account, from, to])?;
    while let Some(row) = found.next()? {
        summary.silent_exophones.push(SilentExoPhone { exophone: row.get(0)?, calls: count(row, 1)? });
    }
    Ok(summary)
}
