//! Writing what follows from some receipts of a call: its events, its state, and what the CRMs are to say of it.

use std::collections::HashMap;

use uuid::Uuid;

use patchbay_kit::Direction;

use super::{
    calls, deliveries,
    fault::Fault,
    rows::{opt_text, text},
    server::Tx,
};
use crate::{
    call::Intent,
    store::{
        CallRef, Decision, DeliveryState, StoreError,
        documents::{self, Draft, Replanned, kind_rank, reversed_digits},
    },
};

/// Calls that are held, as they are now: row and version.
pub(super) type Held = HashMap<CallRef, (i64, i64)>;

/// Holds all calls that are decided on.
pub(super) async fn hold(tx: &Tx<'_>, drafts: &[Draft]) -> Result<Held, Fault> {
    let mut held = Held::new();
    let mut rows = Vec::new();
    for draft in drafts {
        let call = &draft.decision.call;
        if let Some(n) = calls::find(tx, call).await? {
            rows.push(n);
            held.insert(call.clone(), (n, 0));
        }
    }
    calls::lock(tx, &rows).await?;
    // Only now: until they are held, somebody else may write them.
    let found = tx.rows("SELECT n, version FROM call WHERE n = ANY($1)", &[&rows]).await?;
    let versions: HashMap<i64, i64> =
        found.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, Fault>>()?;
    held.retain(|_, (n, version)| match versions.get(n) {
        Some(found) => {
            *version = *found;
            true
        }
        None => false,
    });
    Ok(held)
}

/// # Errors
/// [`StoreError::Conflict`]: the call is not as it was when this was decided.
pub(super) async fn write(tx: &Tx<'_>, held: &mut Held, draft: &Draft) -> Result<(), Fault> {
    let call = write_call(tx, held, draft).await?;
    write_events(tx, call, draft).await?;
    if write_intents(tx, call, draft).await? {
        deliveries::refresh_blocked(tx, &[call]).await?;
    }
    Ok(())
}

async fn write_call(tx: &Tx<'_>, held: &mut Held, draft: &Draft) -> Result<i64, Fault> {
    let Decision { call, on_version, state, enquiry, at, witnessed, .. } = &draft.decision;
    let found = held.get(call).copied();
    if found.map_or(0, |(_, version)| version) != *on_version {
        return Err(StoreError::Conflict.into());
    }
    let reversed = |number: &Option<String>| number.as_deref().and_then(reversed_digits);
    let n = match found {
        Some((n, _)) => n,
        None => {
            // A backlog is decided long after it arrived; the list shows when the call was, not when we came to it.
            let first_seen = witnessed.iter().map(|one| one.event.received_at).min().unwrap_or(*at);
            let made = tx
                .row(
                    "INSERT INTO call (account, call_sid, version, first_seen_ms, updated_ms, enquiry_step, state)
                     VALUES ($1, $2, 0, $3, 0, 0, '') ON CONFLICT DO NOTHING RETURNING n",
                    &[&text(&call.account), &text(&call.call_sid), &first_seen.as_millisecond()],
                )
                .await?;
            // Somebody else has made it since it was looked for.
            made.ok_or(StoreError::Conflict)?.try_get(0)?
        }
    };
    held.insert(call.clone(), (n, on_version + 1));
    tx.run(
        "UPDATE call SET version = version + 1, updated_ms = $2, enquiry_step = $3, enquiry_due_ms = $4, outcome = $5,
         customer = $6, customer_rev = $7, exophone = $8, exophone_rev = $9, agent = $10, started_ms = $11,
         talk_seconds = $12, state = $13, first_by = $14, by_callback = $15, by_list = $16, popups = $17,
         outgoing = $18 WHERE n = $1",
        &[
            &n,
            &at.as_millisecond(),
            &i64::try_from(enquiry.step).unwrap_or(i64::MAX),
            &enquiry.due_at.map(|due| due.as_millisecond()),
            &state.outcome.map(|outcome| outcome.as_str()),
            &opt_text(state.customer.as_deref()),
            &reversed(&state.customer),
            &opt_text(state.exophone.as_deref()),
            &reversed(&state.exophone),
            &opt_text(state.answered_by().map(|attempt| attempt.agent.as_str())),
            &state.started_at.map(|started| started.as_millisecond()),
            &state.talk_seconds.map(i64::from),
            &draft.state,
            &state.seen.first.map(|by| by.as_str()),
            &state.seen.callback,
            &state.seen.list,
            &documents::popups(state.seen.popups),
            &(state.direction == Direction::Outgoing),
        ],
    )
    .await?;
    Ok(n)
}

async fn write_events(tx: &Tx<'_>, call: i64, draft: &Draft) -> Result<(), Fault> {
    let witnessed = &draft.decision.witnessed;
    if witnessed.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = witnessed.iter().map(|one| one.event.id.0).collect();
    let seqs: Vec<i64> = witnessed.iter().map(|one| one.seq.0).collect();
    tx.run(
        "INSERT INTO event (call, event_id, body) SELECT $1, id, body FROM unnest($2::uuid[], $3::text[]) AS new (id, body)
         ON CONFLICT DO NOTHING",
        &[&call, &ids, &draft.events],
    )
    .await?;
    // A receipt that was replayed has a new place in the journal and is one more witness; the same place is one.
    tx.run(
        "INSERT INTO witness (call, seq, event_id, receipt, received_ms)
         SELECT $1, receipt.seq, new.id, receipt.id, receipt.received_ms
         FROM unnest($2::bigint[], $3::uuid[]) AS new (seq, id) JOIN receipt ON receipt.seq = new.seq
         ON CONFLICT (call, seq) DO UPDATE SET event_id = excluded.event_id, receipt = excluded.receipt",
        &[&call, &seqs, &ids],
    )
    .await?;
    Ok(())
}

struct Stored {
    n: i64,
    state: DeliveryState,
    content: String,
}

/// Returns whether anything changed state.
async fn write_intents(tx: &Tx<'_>, call: i64, draft: &Draft) -> Result<bool, Fault> {
    let mut stored: HashMap<Uuid, Stored> = HashMap::new();
    for row in tx.rows("SELECT n, id, state, content FROM delivery WHERE call = $1", &[&call]).await? {
        let one = Stored { n: row.try_get(0)?, state: documents::state(row.try_get(2)?)?, content: row.try_get(3)? };
        stored.insert(row.try_get(1)?, one);
    }
    let mut moved = false;
    for (intent, content) in draft.decision.intents.iter().zip(&draft.contents) {
        moved |= match stored.remove(&intent.id) {
            None => insert(tx, call, draft, intent, content).await?,
            Some(stored) => update(tx, &stored, draft, intent, content).await?,
        };
    }
    let unwanted: Vec<i64> =
        stored.into_values().filter(|one| documents::can_be_superseded(one.state)).map(|one| one.n).collect();
    if !unwanted.is_empty() {
        tx.run(
            "UPDATE delivery SET state = 'superseded', reason = 'no longer wanted', updated_ms = $2 WHERE n = ANY($1)",
            &[&unwanted, &draft.decision.at.as_millisecond()],
        )
        .await?;
        moved = true;
    }
    Ok(moved)
}

async fn insert(tx: &Tx<'_>, call: i64, draft: &Draft, intent: &Intent, content: &str) -> Result<bool, Fault> {
    tx.run(
        "INSERT INTO delivery (id, call, account, integration, call_sid, kind, revision, content, state, blocked, due_ms,
         attempts, probe, created_ms, updated_ms, low)
         VALUES ($1, $2, $3, $4, $5, $6, 1, $7, 'pending', FALSE, $8, 0, FALSE, $8, $8, $9)",
        &[
            &intent.id,
            &call,
            &text(&draft.decision.call.account),
            &intent.integration,
            &text(&draft.decision.call.call_sid),
            &kind_rank(intent.kind),
            &content,
            &draft.decision.at.as_millisecond(),
            &draft.decision.backfill,
        ],
    )
    .await?;
    Ok(true)
}

async fn update(tx: &Tx<'_>, stored: &Stored, draft: &Draft, intent: &Intent, content: &str) -> Result<bool, Fault> {
    let now = draft.decision.at.as_millisecond();
    let Replanned { changed, again } = documents::replan(stored.state, &stored.content, intent, content)?;
    if changed {
        tx.run(
            "UPDATE delivery SET content = $2, revision = revision + 1, updated_ms = $3 WHERE n = $1",
            &[&stored.n, &content, &now],
        )
        .await?;
    }
    if again {
        // One that was held because nobody can say whether it is there is written by who retries it, not by a new wish.
        tx.run(
            "UPDATE delivery SET state = 'pending', reason = NULL, due_ms = $2, updated_ms = $2, attempts = 0,
             probe = probe OR (state <> 'done' AND attempts > 0) WHERE n = $1",
            &[&stored.n, &now],
        )
        .await?;
    }
    Ok(again)
}
