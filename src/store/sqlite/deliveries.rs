//! Deliveries on their way: taking, settling, taking up again after a crash, sending again, listing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use patchbay_kit::Contact;

use super::{calls, fault::Fault, rows};
use crate::{
    call::{Content, IntentKind},
    store::{
        Attempt, CallRef, Claimed, Delivery, DeliveryFilter, DeliveryState, LaneRef, Link, Next, Paged, Settlement,
        StoreError, Turn,
        documents::{ATTEMPTS_KEPT, Settled, can_be_redriven, page_size, sql_limit},
    },
};

/// What a lane may take: account, integration, kind, now, limit.
pub(super) const READY: &str = "SELECT n, call FROM delivery INDEXED BY delivery_ready
     WHERE account = ?1 AND integration = ?2 AND kind = ?3 AND state = 'pending' AND blocked = 0 AND low = 0
     AND due_ms <= ?4 ORDER BY due_ms, n LIMIT ?5";

/// The same of calls of the past: account, integration, now, limit.
pub(super) const BACKFILL: &str = "SELECT n, call FROM delivery INDEXED BY delivery_backfill
     WHERE account = ?1 AND integration = ?2 AND state = 'pending' AND blocked = 0 AND low = 1
     AND due_ms <= ?3 ORDER BY due_ms, n LIMIT ?4";

// The indices are named: of a condition on call and state SQLite, knowing no numbers, would as soon walk over all that is
// pending as over the two rows of the call.
pub(super) const REFRESH: &str = "UPDATE delivery AS this INDEXED BY delivery_of_call SET blocked = NOT blocked
     WHERE call = ?1 AND state = 'pending' AND blocked <> EXISTS (
       SELECT 1 FROM delivery AS other INDEXED BY delivery_of_call
       WHERE other.call = this.call AND other.integration = this.integration AND other.n <> this.n
       AND (other.state = 'inflight' OR (other.kind < this.kind AND other.state NOT IN ('done', 'superseded'))))";

/// Says anew which pending deliveries of a call must wait for another one of the call. To be called after every change
/// of state that may free one or bind one.
pub(super) fn refresh_blocked(conn: &Connection, call: i64) -> Result<(), Fault> {
    conn.prepare_cached(REFRESH)?.execute([call])?;
    Ok(())
}

pub(super) fn claim(
    conn: &Connection,
    lane: &LaneRef,
    turn: Turn,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<Claimed>, Fault> {
    // Of one call, integration and kind there is one row, and of those ready no other of the call is in flight nor of an
    // earlier kind: so the rows found here do not stand in each other's way.
    let (now_ms, limit) = (now.as_millisecond(), sql_limit(limit));
    let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let ready: Vec<(i64, i64)> = match turn {
        Turn::Now(kind) => conn
            .prepare_cached(READY)?
            .query_map(params![lane.account, lane.integration, rows::kind_rank(kind), now_ms, limit], pair)?
            .collect::<Result<_, _>>()?,
        // The past waits while anything of now could go.
        Turn::Backfill if live(conn, lane, now_ms)? => Vec::new(),
        Turn::Backfill => conn
            .prepare_cached(BACKFILL)?
            .query_map(params![lane.account, lane.integration, now_ms, limit], pair)?
            .collect::<Result<_, _>>()?,
    };
    ready.into_iter().map(|(n, call)| take(conn, lane, n, call, now)).collect()
}

/// Whether a delivery of a call of now could be taken.
fn live(conn: &Connection, lane: &LaneRef, now_ms: i64) -> Result<bool, Fault> {
    for kind in IntentKind::ALL {
        let one = params![lane.account, lane.integration, rows::kind_rank(kind), now_ms, 1];
        if conn.prepare_cached(READY)?.exists(one)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn take(conn: &Connection, lane: &LaneRef, n: i64, call: i64, now: Timestamp) -> Result<Claimed, Fault> {
    // Needs no new look at what is blocked: whatever is pending beside it is of a later kind, and waits already.
    conn.prepare_cached("UPDATE delivery SET state = 'inflight', updated_ms = ?2 WHERE n = ?1")?
        .execute([n, now.as_millisecond()])?;
    let delivery = one(conn, n)?;
    let mut statement = conn.prepare_cached("SELECT kind, body FROM link WHERE call = ?1 AND integration = ?2")?;
    let mut found = statement.query(params![call, lane.integration])?;
    let mut links = BTreeMap::new();
    while let Some(row) = found.next()? {
        let link = rows::from_json("link", row.get_ref(1)?.as_str().map_err(rows::alien)?)?;
        links.insert(rows::kind(row.get(0)?)?, link);
    }
    let contact = match &delivery.content {
        Content::Log(content) => contact(conn, lane, &content.caller.external_id)?,
        Content::Recording(_) | Content::FollowUp(_) => None,
    };
    Ok(Claimed { delivery, links, contact })
}

pub(super) fn contact(conn: &Connection, lane: &LaneRef, external_id: &str) -> Result<Option<Contact>, Fault> {
    let body: Option<String> = conn
        .prepare_cached("SELECT body FROM contact WHERE account = ?1 AND integration = ?2 AND external_id = ?3")?
        .query_row(params![lane.account, lane.integration, external_id], |row| row.get(0))
        .optional()?;
    body.map(|body| rows::from_json("contact", &body)).transpose()
}

/// Only of those that may be taken: one that waits for another is freed by what happens to that one, not by time.
pub(super) fn next_due(conn: &Connection, lane: &LaneRef) -> Result<Option<Timestamp>, Fault> {
    let mut earliest: Option<i64> = None;
    for kind in IntentKind::ALL {
        let due: Option<i64> = conn
            .prepare_cached(
                "SELECT min(due_ms) FROM delivery INDEXED BY delivery_ready WHERE account = ?1 AND integration = ?2
                 AND kind = ?3 AND state = 'pending' AND blocked = 0 AND low = 0",
            )?
            .query_row(params![lane.account, lane.integration, rows::kind_rank(kind)], |row| row.get(0))?;
        earliest = [earliest, due].into_iter().flatten().min();
    }
    let past: Option<i64> = conn
        .prepare_cached(
            "SELECT min(due_ms) FROM delivery INDEXED BY delivery_backfill WHERE account = ?1 AND integration = ?2
             AND state = 'pending' AND blocked = 0 AND low = 1",
        )?
        .query_row(params![lane.account, lane.integration], |row| row.get(0))?;
    earliest = [earliest, past].into_iter().flatten().min();
    earliest.map(rows::time).transpose()
}

pub(super) fn settle(conn: &Connection, settled: &Settled) -> Result<(), Fault> {
    let Settlement { delivery, kind, lane, attempt, next, .. } = &settled.settlement;
    let found: Option<(i64, i64, i64, String)> = conn
        .prepare_cached("SELECT n, call, revision, state FROM delivery WHERE id = ?1")?
        .query_row([delivery.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    // Purging leaves what is in flight alone, so this is a delivery that never was.
    let Some((n, call, revision, state)) = found else {
        return Err(StoreError::Unreadable(format!("there is no delivery {delivery}")).into());
    };
    // Written already: what has become of the delivery since is not this attempt's to say.
    if newest_attempt(conn, n)?.as_deref() == Some(&settled.attempt) {
        return Ok(());
    }
    write_contact(conn, settled)?;
    if let Some(link) = &settled.link {
        conn.prepare_cached("INSERT OR REPLACE INTO link (call, integration, kind, body) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![call, lane.integration, rows::kind_rank(*kind), link])?;
    }
    write_attempt(conn, n, &settled.attempt)?;
    // What the attempt found out is kept in any case; what becomes of the delivery is for him to say who took it.
    if rows::state(&state)? == DeliveryState::Inflight {
        advance(conn, n, revision, attempt, next)?;
        refresh_blocked(conn, call)?;
    }
    Ok(())
}

fn write_contact(conn: &Connection, settled: &Settled) -> Result<(), Fault> {
    let Settlement { lane, contact, .. } = &settled.settlement;
    let Some((external_id, _)) = contact else { return Ok(()) };
    match &settled.contact {
        Some(body) => conn
            .prepare_cached(
                "INSERT OR REPLACE INTO contact (account, integration, external_id, body) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![lane.account, lane.integration, external_id, body])?,
        None => conn
            .prepare_cached("DELETE FROM contact WHERE account = ?1 AND integration = ?2 AND external_id = ?3")?
            .execute(params![lane.account, lane.integration, external_id])?,
    };
    Ok(())
}

fn newest_attempt(conn: &Connection, delivery: i64) -> Result<Option<String>, Fault> {
    let newest = conn
        .prepare_cached("SELECT body FROM attempt WHERE delivery = ?1 ORDER BY number DESC LIMIT 1")?
        .query_row([delivery], |row| row.get(0));
    Ok(newest.optional()?)
}

fn write_attempt(conn: &Connection, delivery: i64, body: &str) -> Result<(), Fault> {
    let number: i64 = conn
        .prepare_cached("SELECT coalesce(max(number), 0) + 1 FROM attempt WHERE delivery = ?1")?
        .query_row([delivery], |row| row.get(0))?;
    conn.prepare_cached("INSERT INTO attempt (delivery, number, body) VALUES (?1, ?2, ?3)")?
        .execute(params![delivery, number, body])?;
    conn.prepare_cached("DELETE FROM attempt WHERE delivery = ?1 AND number <= ?2")?
        .execute([delivery, number - ATTEMPTS_KEPT])?;
    Ok(())
}

/// Moves a delivery on from being in flight.
fn advance(conn: &Connection, n: i64, revision: i64, attempt: &Attempt, next: &Next) -> Result<(), Fault> {
    let at = attempt.at.as_millisecond();
    let now = at.saturating_add(i64::try_from(attempt.duration_ms).unwrap_or(0));
    match next {
        Next::Done => {
            // Content that came while this one was being written is another piece of work, with a schedule of its own.
            let state = if revision > attempt.revision { DeliveryState::Pending } else { DeliveryState::Done };
            conn.prepare_cached(
                "UPDATE delivery SET state = ?2, reason = NULL, due_ms = ?3, attempts = 0, probe = 0, updated_ms = ?4
                 WHERE n = ?1",
            )?
            .execute(params![n, state.as_str(), at, now])?;
        }
        Next::Again { due_at, counts, probe, reason } => {
            conn.prepare_cached(
                "UPDATE delivery SET state = 'pending', due_ms = ?2, attempts = attempts + ?3, probe = ?4, reason = ?5,
                 updated_ms = ?6 WHERE n = ?1",
            )?
            .execute(params![n, due_at.as_millisecond(), counts, probe, reason, now])?;
        }
        Next::Held { reason, probe } => stop(conn, n, DeliveryState::Held, reason, *probe, now)?,
        Next::Dead { reason, probe } => stop(conn, n, DeliveryState::Dead, reason, *probe, now)?,
    }
    Ok(())
}

fn stop(conn: &Connection, n: i64, state: DeliveryState, reason: &str, probe: bool, now: i64) -> Result<(), Fault> {
    conn.prepare_cached("UPDATE delivery SET state = ?2, reason = ?3, probe = ?4, updated_ms = ?5 WHERE n = ?1")?
        .execute(params![n, state.as_str(), reason, probe, now])?;
    Ok(())
}

pub(super) fn recover(conn: &Connection, lane: &LaneRef, not_before: Timestamp, now: Timestamp) -> Result<u64, Fault> {
    let interrupted: Vec<(i64, i64)> = conn
        .prepare_cached(
            "SELECT n, call FROM delivery INDEXED BY delivery_by_state WHERE state = 'inflight' AND account = ?1
             AND integration = ?2",
        )?
        .query_map(params![lane.account, lane.integration], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (n, call) in &interrupted {
        conn.prepare_cached(
            "UPDATE delivery SET state = 'pending', probe = 1, due_ms = ?2, reason = 'interrupted', updated_ms = ?3
             WHERE n = ?1",
        )?
        .execute([*n, not_before.as_millisecond(), now.as_millisecond()])?;
        refresh_blocked(conn, *call)?;
    }
    Ok(interrupted.len() as u64)
}

pub(super) fn hold_lane(conn: &Connection, lane: &LaneRef, reason: &str, now: Timestamp) -> Result<u64, Fault> {
    // Nothing of a lane that does not run is in flight, so nothing comes to be freed or blocked by this.
    let held = conn
        .prepare_cached(
            "UPDATE delivery SET state = 'held', reason = ?3, updated_ms = ?4
             WHERE account = ?1 AND integration = ?2 AND state = 'pending'",
        )?
        .execute(params![lane.account, lane.integration, reason, now.as_millisecond()])?;
    Ok(held as u64)
}

pub(super) fn list(conn: &Connection, account: &str, filter: &DeliveryFilter) -> Result<Paged<Delivery>, Fault> {
    let size = page_size(filter.limit);
    let found = matching(conn, account, filter, &states(filter), size)?;
    let items = found.items.into_iter().map(|n| one(conn, n)).collect::<Result<_, _>>()?;
    Ok(Paged { items, next: found.next })
}

fn states(filter: &DeliveryFilter) -> Vec<DeliveryState> {
    if filter.states.is_empty() { DeliveryState::ALL.to_vec() } else { filter.states.clone() }
}

/// Rows that match, newest first, as many as fit on a page.
fn matching(
    conn: &Connection,
    account: &str,
    filter: &DeliveryFilter,
    states: &[DeliveryState],
    size: usize,
) -> Result<Paged<i64>, Fault> {
    let before = match &filter.before {
        Some(cursor) => cursor.parse::<i64>().map_err(|_| StoreError::BadCursor)?,
        None => i64::MAX,
    };
    let mut found = if !filter.ids.is_empty() {
        few(conn, "SELECT n, account, integration, call_sid, state FROM delivery WHERE id = ?1", filter, account, {
            filter.ids.iter().map(|id| Key::Id(*id))
        })?
    } else if let Some(call_sid) = &filter.call_sid {
        let call = calls::find(conn, account, call_sid)?.map(|(n, _)| Key::Call(n));
        few(
            conn,
            "SELECT n, account, integration, call_sid, state FROM delivery WHERE call = ?1",
            filter,
            account,
            call,
        )?
    } else {
        many(conn, account, filter, states, before, size)?
    };
    found.retain(|(n, state)| *n < before && states.contains(state));
    found.sort_unstable_by_key(|(n, _)| std::cmp::Reverse(*n));
    found.dedup();
    let more = found.len() > size;
    found.truncate(size);
    let items: Vec<i64> = found.into_iter().map(|(n, _)| n).collect();
    let next = items.last().filter(|_| more).map(i64::to_string);
    Ok(Paged { items, next })
}

enum Key {
    Id(Uuid),
    Call(i64),
}

/// Those found by ids or by call: few enough to be looked through here.
fn few(
    conn: &Connection,
    sql: &str,
    filter: &DeliveryFilter,
    account: &str,
    keys: impl IntoIterator<Item = Key>,
) -> Result<Vec<(i64, DeliveryState)>, Fault> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut matches = Vec::new();
    for key in keys {
        let mut found = match &key {
            Key::Id(id) => statement.query([id.as_bytes()])?,
            Key::Call(n) => statement.query([n])?,
        };
        while let Some(row) = found.next()? {
            let is = |column: usize, wanted: Option<&str>| -> Result<bool, Fault> {
                let found = row.get_ref(column)?.as_str().map_err(rows::alien)?;
                Ok(wanted.is_none_or(|wanted| wanted == found))
            };
            if is(1, Some(account))? && is(2, filter.integration.as_deref())? && is(3, filter.call_sid.as_deref())? {
                matches.push((row.get(0)?, rows::state(row.get_ref(4)?.as_str().map_err(rows::alien)?)?));
            }
        }
    }
    Ok(matches)
}

/// A page of each state: every one of them comes in order out of the index, all together would have to be sorted.
fn many(
    conn: &Connection,
    account: &str,
    filter: &DeliveryFilter,
    states: &[DeliveryState],
    before: i64,
    size: usize,
) -> Result<Vec<(i64, DeliveryState)>, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT n FROM delivery INDEXED BY delivery_by_state WHERE state = ?1 AND account = ?2 AND n < ?3
         AND (?4 IS NULL OR integration = ?4) ORDER BY n DESC LIMIT ?5",
    )?;
    let limit = sql_limit(size.saturating_add(1));
    let mut matches = Vec::new();
    for state in states {
        let found = statement
            .query_map(params![state.as_str(), account, before, filter.integration, limit], |row| row.get(0))?;
        for n in found {
            matches.push((n?, *state));
        }
    }
    Ok(matches)
}

/// One page of sending again: the ids, and where the next page starts.
pub(super) fn redrive(
    conn: &Connection,
    account: &str,
    filter: &DeliveryFilter,
    even_done: bool,
    now: Timestamp,
) -> Result<Paged<Uuid>, Fault> {
    let states: Vec<_> = states(filter).into_iter().filter(|state| can_be_redriven(*state, even_done)).collect();
    let found = matching(conn, account, filter, &states, page_size(filter.limit))?;
    let mut items = Vec::with_capacity(found.items.len());
    for n in found.items {
        // On the right stands the row as it was: of a done one there is something new to write, though it says the same.
        let (id, call): (Uuid, i64) = conn
            .prepare_cached(
                "UPDATE delivery SET revision = revision + (state = 'done'), state = 'pending', due_ms = ?2,
                 attempts = 0, reason = NULL, updated_ms = ?2 WHERE n = ?1 RETURNING id, call",
            )?
            .query_row([n, now.as_millisecond()], |row| {
                let id: [u8; 16] = row.get(0)?;
                Ok((Uuid::from_bytes(id), row.get(1)?))
            })?;
        refresh_blocked(conn, call)?;
        items.push(id);
    }
    Ok(Paged { items, next: found.next })
}

pub(super) fn forget_links(conn: &Connection, call: &CallRef, integration: Option<&str>) -> Result<(), Fault> {
    if let Some((n, _)) = calls::find(conn, &call.account, &call.call_sid)? {
        conn.prepare_cached("DELETE FROM link WHERE call = ?1 AND (?2 IS NULL OR integration = ?2)")?
            .execute(params![n, integration])?;
        conn.prepare_cached("UPDATE delivery SET probe = 1 WHERE call = ?1 AND (?2 IS NULL OR integration = ?2)")?
            .execute(params![n, integration])?;
    }
    Ok(())
}

pub(super) fn depths(conn: &Connection) -> Result<BTreeMap<(LaneRef, DeliveryState), u64>, Fault> {
    let mut statement =
        conn.prepare_cached("SELECT account, integration, state, deliveries FROM delivery_depth WHERE deliveries > 0")?;
    let mut found = statement.query([])?;
    let mut depths = BTreeMap::new();
    while let Some(row) = found.next()? {
        let lane = LaneRef { account: row.get(0)?, integration: row.get(1)? };
        let state = rows::state(row.get_ref(2)?.as_str().map_err(rows::alien)?)?;
        depths.insert((lane, state), row.get::<_, i64>(3)?.unsigned_abs());
    }
    Ok(depths)
}

fn one(conn: &Connection, n: i64) -> Result<Delivery, Fault> {
    let mut statement = conn.prepare_cached(&format!("SELECT {} FROM delivery WHERE n = ?1", rows::DELIVERY))?;
    let mut found = statement.query([n])?;
    let row = found.next()?.ok_or_else(|| Fault::alien("delivery"))?;
    rows::delivery(row)
}

pub(super) fn of_call(conn: &Connection, call: i64) -> Result<Vec<Delivery>, Fault> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {} FROM delivery WHERE call = ?1 ORDER BY integration, kind",
        rows::DELIVERY
    ))?;
    let mut found = statement.query([call])?;
    let mut deliveries = Vec::new();
    while let Some(row) = found.next()? {
        deliveries.push(rows::delivery(row)?);
    }
    Ok(deliveries)
}

pub(super) fn attempts_of_call(conn: &Connection, call: i64) -> Result<Vec<(Uuid, Attempt)>, Fault> {
    let mut statement = conn.prepare_cached(
        "SELECT id, body FROM delivery INDEXED BY delivery_of_call JOIN attempt ON attempt.delivery = delivery.n WHERE call = ?1
         ORDER BY integration, kind, number",
    )?;
    let mut found = statement.query([call])?;
    let mut attempts = Vec::new();
    while let Some(row) = found.next()? {
        attempts.push((id(row)?, rows::from_json("attempt", row.get_ref(1)?.as_str().map_err(rows::alien)?)?));
    }
    Ok(attempts)
}

fn id(row: &Row<'_>) -> Result<Uuid, Fault> {
    rows::uuid(row.get_ref(0)?.as_blob().map_err(rows::alien)?)
}

pub(super) fn links_of_call(conn: &Connection, call: i64) -> Result<Vec<(String, IntentKind, Link)>, Fault> {
    let mut statement =
        conn.prepare_cached("SELECT integration, kind, body FROM link WHERE call = ?1 ORDER BY integration, kind")?;
    let mut found = statement.query([call])?;
    let mut links = Vec::new();
    while let Some(row) = found.next()? {
        let link = rows::from_json("link", row.get_ref(2)?.as_str().map_err(rows::alien)?)?;
        links.push((row.get(0)?, rows::kind(row.get(1)?)?, link));
    }
    Ok(links)
}
