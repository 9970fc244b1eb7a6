//! Calls: reading them for the next decision, listing them, asking for their details, forgetting them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{deliveries, fault::Fault, rows};
use crate::{
    call::{CallEvent, EventId, plan::Enquiry},
    store::{
        CallFile, CallFilter, CallRef, CallSummary, DeliveryState, Paged, Seq, StoredCall, Witness,
        documents::{page_size, parse_call_cursor, sql_limit},
    },
};

/// The call's row and version.
pub(super) fn find(conn: &Connection, account: &str, call_sid: &str) -> Result<Option<(i64, i64)>, Fault> {
    Ok(conn
        .prepare_cached("SELECT n, version FROM call WHERE account = ?1 AND call_sid = ?2")?
        .query_row([account, call_sid], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

pub(super) fn stored(conn: &Connection, refs: Vec<CallRef>) -> Result<BTreeMap<CallRef, StoredCall>, Fault> {
    let mut calls = BTreeMap::new();
    for call in refs {
        if let Some((n, _)) = find(conn, &call.account, &call.call_sid)? {
            calls.insert(call, stored_call(conn, n)?);
        }
    }
    Ok(calls)
}

fn stored_call(conn: &Connection, n: i64) -> Result<StoredCall, Fault> {
    let (version, step, due): (i64, i64, Option<i64>) = conn
        .prepare_cached("SELECT version, enquiry_step, enquiry_due_ms FROM call WHERE n = ?1")?
        .query_row([n], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut statement = conn.prepare_cached("SELECT body FROM event WHERE call = ?1")?;
    let mut found = statement.query([n])?;
    let mut events: Vec<CallEvent> = Vec::new();
    while let Some(row) = found.next()? {
        events.push(rows::from_json("event", row.get_ref(0)?.as_str().map_err(rows::alien)?)?);
    }
    // They lie by identity, which is no order to show; the fold does not care.
    events.sort_by_key(|event| (event.received_at, event.id));
    let enquiry = Enquiry {
        step: usize::try_from(step).map_err(|_| Fault::alien("step of enquiry"))?,
        due_at: due.map(rows::time).transpose()?,
    };
    Ok(StoredCall { version, events, enquiry: Some(enquiry) })
}

pub(super) fn due_enquiries(
    conn: &Connection,
    account: &str,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<(String, Timestamp)>, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT call_sid, enquiry_due_ms FROM call INDEXED BY call_by_enquiry
         WHERE account = ?1 AND enquiry_due_ms <= ?2 ORDER BY enquiry_due_ms, n LIMIT ?3",
    )?;
    let mut found = statement.query(params![account, now.as_millisecond(), sql_limit(limit)])?;
    let mut due = Vec::new();
    while let Some(row) = found.next()? {
        due.push((row.get(0)?, rows::time(row.get(1)?)?));
    }
    Ok(due)
}

/// Only where a question is open: one that was meanwhile answered stays answered.
pub(super) fn put_off_enquiry(conn: &Connection, call: &CallRef, due_at: Timestamp) -> Result<(), Fault> {
    conn.prepare_cached(
        "UPDATE call SET enquiry_due_ms = ?3 WHERE account = ?1 AND call_sid = ?2 AND enquiry_due_ms IS NOT NULL",
    )?
    .execute(params![call.account, call.call_sid, due_at.as_millisecond()])?;
    Ok(())
}

pub(super) fn next_enquiry(conn: &Connection, account: &str) -> Result<Option<Timestamp>, Fault> {
    let due: Option<i64> = conn
        .prepare_cached("SELECT min(enquiry_due_ms) FROM call INDEXED BY call_by_enquiry WHERE account = ?1 AND enquiry_due_ms IS NOT NULL")?
        .query_row([account], |row| row.get(0))?;
    due.map(rows::time).transpose()
}

const CONDITIONS: &str = "account = ?1 AND (?2 IS NULL OR outcome = ?2) AND first_seen_ms >= ?3 AND first_seen_ms <= ?4
     AND (first_seen_ms, n) < (?4, ?5)";

const SUMMARY: &str = "SELECT n, call_sid, outcome, customer, exophone, agent, started_ms, first_seen_ms, updated_ms,
     talk_seconds FROM call";

pub(super) fn list(conn: &Connection, account: &str, filter: &CallFilter) -> Result<Paged<CallSummary>, Fault> {
    let size = page_size(filter.limit);
    let since = filter.since.map_or(i64::MIN, Timestamp::as_millisecond);
    // `until` is outside of the span; a cursor is a call already shown, and what comes next is beyond it.
    let mut end = (filter.until.map_or(i64::MAX, Timestamp::as_millisecond), i64::MIN);
    if let Some(before) = &filter.before {
        end = end.min(parse_call_cursor(before)?);
    }
    let outcome = filter.outcome.map(|outcome| outcome.as_str());
    let limit = sql_limit(size.saturating_add(1));
    let mut items = Vec::new();
    let mut last = None;
    let mut more = false;
    let mut each = |row: &rusqlite::Row<'_>| -> Result<(), Fault> {
        if items.len() == size {
            more = true;
            return Ok(());
        }
        let summary = summary(conn, row)?;
        last = Some((row.get::<_, i64>(7)?, row.get::<_, i64>(0)?));
        items.push(summary);
        Ok(())
    };
    match filter.number.as_deref().filter(|number| !number.is_empty()) {
        None => {
            let mut statement = conn.prepare_cached(&format!(
                "{SUMMARY} INDEXED BY call_by_age WHERE {CONDITIONS} ORDER BY first_seen_ms DESC, n DESC LIMIT ?6"
            ))?;
            let mut found = statement.query(params![account, outcome, since, end.0, end.1, limit])?;
            while let Some(row) = found.next()? {
                each(row)?;
            }
        }
        Some(number) => {
            // Without a digit it is the end of no number.
            let Some(from) = rows::reversed_digits(number) else { return Ok(Paged { items, next: None }) };
            // Above every digit, so that the range holds all that start with `from`.
            let to = format!("{from}:");
            let mut statement = conn.prepare_cached(&format!(
                "{SUMMARY} WHERE n IN (
                   SELECT n FROM call INDEXED BY call_by_customer WHERE {CONDITIONS} AND customer_rev >= ?7 AND customer_rev < ?8
                   UNION
                   SELECT n FROM call INDEXED BY call_by_exophone WHERE {CONDITIONS} AND exophone_rev >= ?7 AND exophone_rev < ?8)
                 ORDER BY first_seen_ms DESC, n DESC LIMIT ?6"
            ))?;
            let mut found = statement.query(params![account, outcome, since, end.0, end.1, limit, from, to])?;
            while let Some(row) = found.next()? {
                each(row)?;
            }
        }
    }
    let next = last.filter(|_| more).map(|(first_seen, n)| format!("{first_seen}-{n}"));
    Ok(Paged { items, next })
}

fn summary(conn: &Connection, row: &rusqlite::Row<'_>) -> Result<CallSummary, Fault> {
    let outcome: Option<String> = row.get(2)?;
    let started: Option<i64> = row.get(6)?;
    Ok(CallSummary {
        call_sid: row.get(1)?,
        outcome: outcome.as_deref().map(rows::outcome).transpose()?,
        customer: row.get(3)?,
        exophone: row.get(4)?,
        agent: row.get(5)?,
        started_at: started.map(rows::time).transpose()?,
        first_seen_at: rows::time(row.get(7)?)?,
        updated_at: rows::time(row.get(8)?)?,
        talk_seconds: row.get(9)?,
        deliveries: states(conn, row.get(0)?)?,
    })
}

fn states(conn: &Connection, call: i64) -> Result<BTreeMap<DeliveryState, u32>, Fault> {
    let mut statement = conn.prepare_cached("SELECT state FROM delivery WHERE call = ?1")?;
    let mut found = statement.query([call])?;
    let mut states = BTreeMap::new();
    while let Some(row) = found.next()? {
        *states.entry(rows::state(row.get_ref(0)?.as_str().map_err(rows::alien)?)?).or_insert(0) += 1;
    }
    Ok(states)
}

pub(super) fn file(conn: &Connection, call: &CallRef) -> Result<Option<CallFile>, Fault> {
    let Some((n, _)) = find(conn, &call.account, &call.call_sid)? else { return Ok(None) };
    let (state, first_seen, updated): (String, i64, i64) = conn
        .prepare_cached("SELECT state, first_seen_ms, updated_ms FROM call WHERE n = ?1")?
        .query_row([n], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(Some(CallFile {
        call: stored_call(conn, n)?,
        state: rows::from_json("call's state", &state)?,
        first_seen_at: rows::time(first_seen)?,
        updated_at: rows::time(updated)?,
        witnesses: witnesses(conn, n)?,
        deliveries: deliveries::of_call(conn, n)?,
        attempts: deliveries::attempts_of_call(conn, n)?,
        links: deliveries::links_of_call(conn, n)?,
    }))
}

fn witnesses(conn: &Connection, call: i64) -> Result<Vec<Witness>, Fault> {
    let mut statement =
        conn.prepare_cached("SELECT seq, receipt, received_ms, event_id FROM witness WHERE call = ?1 ORDER BY seq")?;
    let mut found = statement.query([call])?;
    let mut witnesses = Vec::new();
    while let Some(row) = found.next()? {
        witnesses.push(Witness {
            seq: Seq(row.get(0)?),
            receipt: rows::uuid(row.get_ref(1)?.as_blob().map_err(rows::alien)?)?,
            received_at: rows::time(row.get(2)?)?,
            event: EventId(rows::uuid(row.get_ref(3)?.as_blob().map_err(rows::alien)?)?),
        });
    }
    Ok(witnesses)
}

const SETTLED: &str = "updated_ms < ?1 AND enquiry_due_ms IS NULL AND NOT EXISTS (SELECT 1 FROM delivery
     INDEXED BY delivery_of_call WHERE delivery.call = call.n AND delivery.state IN ('pending', 'inflight', 'held', 'dead'))";

/// The oldest calls that may go.
pub(super) fn purgeable(conn: &Connection, older_than: Timestamp, limit: usize) -> Result<Vec<i64>, Fault> {
    let mut statement = conn.prepare_cached(&format!("SELECT n, first_seen_ms, {SETTLED} FROM call ORDER BY n"))?;
    let older_than = older_than.as_millisecond();
    let mut found = statement.query([older_than])?;
    let mut calls = Vec::new();
    while calls.len() < limit
        && let Some(row) = found.next()?
    {
        // Rows lie in the order in which the calls were first seen.
        if row.get::<_, i64>(1)? >= older_than {
            break;
        }
        if row.get(2)? {
            calls.push(row.get(0)?);
        }
    }
    Ok(calls)
}

/// Removes those that still may go, with everything that belongs to them.
pub(super) fn purge(conn: &Connection, calls: &[i64], older_than: Timestamp) -> Result<u64, Fault> {
    let mut statement = conn.prepare_cached(&format!("DELETE FROM call WHERE {SETTLED} AND n = ?2"))?;
    let mut purged = 0;
    for n in calls {
        purged += statement.execute([older_than.as_millisecond(), *n])? as u64;
    }
    Ok(purged)
}
