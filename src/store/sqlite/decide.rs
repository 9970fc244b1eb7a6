//! Writing what follows from some receipts of a call: its events, its state, and what the CRMs are to say of it.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use uuid::Uuid;

use patchbay_kit::RecordRef;

use super::{calls, deliveries, fault::Fault, rows};
use crate::{
    call::{Content, Intent, SeenPopups},
    store::{Decision, DeliveryState, StoreError},
};

/// A decision with its documents already written out.
#[derive(Debug)]
pub(super) struct Draft {
    decision: Decision,
    state: String,
    /// One each, in the order of the decision.
    events: Vec<String>,
    contents: Vec<String>,
}

impl Draft {
    pub(super) fn new(decision: Decision) -> Result<Self, StoreError> {
        let events = decision.witnessed.iter().map(|one| rows::to_json("an event", &one.event));
        let contents = decision.intents.iter().map(|one| rows::to_json("content of a delivery", &one.content));
        Ok(Self {
            state: rows::to_json("a call's state", &decision.state)?,
            events: events.collect::<Result<_, _>>()?,
            contents: contents.collect::<Result<_, _>>()?,
            decision,
        })
    }
}

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
         talk_seconds = ?12, state = ?13, first_by = ?14, by_callback = ?15, by_list = ?16, popups = ?17 WHERE n = ?1",
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
        popups(state.seen.popups),
    ])?;
    Ok(n)
}

fn popups(seen: SeenPopups) -> i64 {
    match seen {
        SeenPopups::None => 0,
        SeenPopups::Dialling => 1,
        SeenPopups::Ringing => 2,
    }
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
        // One in flight cannot be called back: what becomes of it is known when it is settled.
        if matches!(unwanted.state, DeliveryState::Pending | DeliveryState::Held | DeliveryState::Dead) {
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
    let was = differs(stored, intent, content)?;
    let changed = was.is_some();
    if changed {
        conn.prepare_cached("UPDATE delivery SET content = ?2, revision = revision + 1, updated_ms = ?3 WHERE n = ?1")?
            .execute(params![stored.n, content, now])?;
    }
    // Superseded means that it was not wanted; now it is, whether or not its content is another.
    // And what was held because a person had to choose goes out once he has.
    let chosen = stored.state == DeliveryState::Held && was.is_some_and(|was| chosen(&was) != chosen(&intent.content));
    let again = chosen || stored.state == DeliveryState::Superseded || (changed && stored.state == DeliveryState::Done);
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

/// The contact that a person chose.
fn chosen(content: &Content) -> Option<&RecordRef> {
    match content {
        Content::Log(log) => log.chosen.as_ref(),
        Content::Recording(_) | Content::FollowUp(_) => None,
    }
}

/// What it was, if the content says something else now. A newer program may write the same content in other words, and must not
/// for that write every old call to every CRM again; so what is not the same text is compared as what it says.
fn differs(stored: &Stored, intent: &Intent, content: &str) -> Result<Option<Content>, Fault> {
    if stored.content == content {
        return Ok(None);
    }
    let was: Content = rows::from_json("content of a delivery", &stored.content)?;
    Ok((was != intent.content).then_some(was))
}
