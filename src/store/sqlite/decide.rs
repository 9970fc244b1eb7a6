//! Writing what follows from some receipts of a call: its events, its state, and what the CRMs are to say of it.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use uuid::Uuid;

use patchbay_kit::Direction;

use super::{calls, deliveries, fault::Fault, rows};
use crate::{
    call::Intent,
    store::{
        Decision, DeliveryState, StoreError,
        documents::{self, Draft, Replanned},
    },
};

/// # Errors
/// [`StoreError::Conflict`]: the call is not as it was when this was decided.
pub(super) fn write(conn: &Connection, draft: &Draft) -> Result<(), Fault> {
    let call = write_call(conn, draft)?;
    write_events(conn, call, draft)?;
    if write_intents(conn, call, draft)? {
        deliveries::refresh_blocked(conn, call)?;
    }
    Ok(())
}

fn write_call(conn: &Connection, draft: &Draft) -> Result<i64, Fault> {
    let Decision { call, on_version, state, enquiry, at, witnessed, .. } = &draft.decision;
    let found = calls::find(conn, &call.account, &call.call_sid)?;
    if found.map_or(0, |(_, version)| version) != *on_version {
        return Err(StoreError::Conflict.into());
    }
    let reversed = |number: &Option<String>| number.as_deref().and_then(rows::reversed_digits);
    let n = match found {
        Some((n, _)) => n,
        None => {
            // A backlog is decided long after it arrived; the list shows when the call was, not when we came to it.
            let first_seen = witnessed.iter().map(|one| one.event.received_at).min().unwrap_or(*at);
            conn.prepare_cached(
                "INSERT INTO call (account, call_sid, version, first_seen_ms, updated_ms, enquiry_step, state)
                 VALUES (?1, ?2, 0, ?3, 0, 0, '')",
            )?
            .execute(params![call.account, call.call_sid, first_seen.as_millisecond()])?;
            conn.last_insert_rowid()
        }
    };
    conn.prepare_cached(
        "UPDATE call SET version = version + 1, updated_ms = ?2, enquiry_step = ?3, enquiry_due_ms = ?4, outcome = ?5,
         customer = ?6, customer_rev = ?7, exophone = ?8, exophone_rev = ?9, agent = ?10, started_ms = ?11,
         talk_seconds = ?12, state = ?13, first_by = ?14, by_callback = ?15, by_list = ?16, popups = ?17,
         outgoing = ?18 WHERE n = ?1",
    )?
    .execute(params![
        n,
        at.as_millisecond(),
        i64::try_from(enquiry.step).unwrap_or(i64::MAX),
        enquiry.due_at.map(|due| due.as_millisecond()),
        state.outcome.map(|outcome| outcome.as_str()),
        state.customer,
        reversed(&state.customer),
        state.exophone,
        reversed(&state.exophone),
        state.answered_by().map(|attempt| attempt.agent.as_str()),
        state.started_at.map(|started| started.as_millisecond()),
        state.talk_seconds,
        draft.state,
        state.seen.first.map(|by| by.as_str()),
        state.seen.callback,
        state.seen.list,
        documents::popups(state.seen.popups),
        state.direction == Direction::Outgoing,
    ])?;
    Ok(n)
}

fn write_events(conn: &Connection, call: i64, draft: &Draft) -> Result<(), Fault> {
    let mut event = conn.prepare_cached("INSERT OR IGNORE INTO event (call, event_id, body) VALUES (?1, ?2, ?3)")?;
    // A receipt that was replayed has a new place in the journal and is one more witness; the same place is one.
    let mut witness = conn.prepare_cached(
        "INSERT OR REPLACE INTO witness (call, seq, event_id, receipt, received_ms)
         SELECT ?1, seq, ?3, id, received_ms FROM receipt WHERE seq = ?2",
    )?;
    for (one, body) in draft.decision.witnessed.iter().zip(&draft.events) {
        event.execute(params![call, one.event.id.0.as_bytes(), body])?;
        witness.execute(params![call, one.seq.0, one.event.id.0.as_bytes()])?;
    }
    Ok(())
}

struct Stored {
    n: i64,
    state: DeliveryState,
    content: String,
}

/// Returns whether anything changed state.
fn write_intents(conn: &Connection, call: i64, draft: &Draft) -> Result<bool, Fault> {
    let mut stored = stored(conn, call)?;
    let mut moved = false;
    for (intent, content) in draft.decision.intents.iter().zip(&draft.contents) {
        moved |= match stored.remove(&intent.id) {
            None => insert(conn, call, draft, intent, content)?,
            Some(stored) => update(conn, &stored, draft, intent, content)?,
        };
    }
    let now = draft.decision.at.as_millisecond();
    for unwanted in stored.into_values() {
        if documents::can_be_superseded(unwanted.state) {
            conn.prepare_cached(
                "UPDATE delivery SET state = 'superseded', reason = 'no longer wanted', updated_ms = ?2 WHERE n = ?1",
            )?
            .execute([unwanted.n, now])?;
            moved = true;
        }
    }
    Ok(moved)
}

fn stored(conn: &Connection, call: i64) -> Result<HashMap<Uuid, Stored>, Fault> {
    let mut statement = conn.prepare_cached("SELECT n, id, state, content FROM delivery WHERE call = ?1")?;
    let mut found = statement.query([call])?;
    let mut stored = HashMap::new();
    while let Some(row) = found.next()? {
        let id = rows::uuid(row.get_ref(1)?.as_blob().map_err(rows::alien)?)?;
        let state = rows::state(row.get_ref(2)?.as_str().map_err(rows::alien)?)?;
        stored.insert(id, Stored { n: row.get(0)?, state, content: row.get(3)? });
    }
    Ok(stored)
}

fn insert(conn: &Connection, call: i64, draft: &Draft, intent: &Intent, content: &str) -> Result<bool, Fault> {
    conn.prepare_cached(
        "INSERT INTO delivery (id, call, account, integration, call_sid, kind, revision, content, state, blocked, due_ms,
         attempts, probe, created_ms, updated_ms, low) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, 'pending', 0, ?8, 0, 0, ?8, ?8,
         ?9)",
    )?
    .execute(params![
        intent.id.as_bytes(),
        call,
        draft.decision.call.account,
        intent.integration,
        draft.decision.call.call_sid,
        rows::kind_rank(intent.kind),
        content,
        draft.decision.at.as_millisecond(),
        draft.decision.backfill,
    ])?;
    Ok(true)
}

fn update(conn: &Connection, stored: &Stored, draft: &Draft, intent: &Intent, content: &str) -> Result<bool, Fault> {
    let now = draft.decision.at.as_millisecond();
    let Replanned { changed, again } = documents::replan(stored.state, &stored.content, intent, content)?;
    if changed {
        conn.prepare_cached("UPDATE delivery SET content = ?2, revision = revision + 1, updated_ms = ?3 WHERE n = ?1")?
            .execute(params![stored.n, content, now])?;
    }
    if again {
        // One that was held because nobody can say whether it is there is written by who retries it, not by a new wish.
        conn.prepare_cached(
            "UPDATE delivery SET state = 'pending', reason = NULL, due_ms = ?2, updated_ms = ?2, attempts = 0,
             probe = max(probe, state <> 'done' AND attempts > 0) WHERE n = ?1",
        )?
        .execute([stored.n, now])?;
    }
    Ok(again)
}
