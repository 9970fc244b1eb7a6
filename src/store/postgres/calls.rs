//! Calls: reading them for the next decision, listing them, asking for their details, forgetting them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{deliveries, fault::Fault, rows, rows::text, server::Tx};
use crate::{
    call::{CallEvent, EventId, plan::Enquiry},
    store::{
        CallFile, CallFilter, CallRef, CallSummary, DeliveryState, Paged, Seq, StoredCall, Witness,
        documents::{self, from_json, page_size, parse_call_cursor, reversed_digits, sql_limit},
    },
};

pub(super) async fn find(tx: &Tx<'_>, call: &CallRef) -> Result<Option<i64>, Fault> {
    let found = tx
        .row("SELECT n FROM call WHERE account = $1 AND call_sid = $2", &[&text(&call.account), &text(&call.call_sid)])
        .await?;
    found.map(|row| Ok(row.try_get(0)?)).transpose()
}

/// Holds calls until the end of the transaction. Always in this order, so that nobody waits for one who waits for him.
pub(super) async fn lock(tx: &Tx<'_>, calls: &[i64]) -> Result<(), Fault> {
    tx.rows("SELECT n FROM call WHERE n = ANY($1) ORDER BY account, call_sid FOR NO KEY UPDATE", &[&calls]).await?;
    Ok(())
}

pub(super) async fn stored(tx: &Tx<'_>, refs: &[CallRef]) -> Result<BTreeMap<CallRef, StoredCall>, Fault> {
    let mut calls = BTreeMap::new();
    for call in refs {
        if let Some(n) = find(tx, call).await? {
            calls.insert(call.clone(), stored_call(tx, n).await?);
        }
    }
    Ok(calls)
}

async fn stored_call(tx: &Tx<'_>, n: i64) -> Result<StoredCall, Fault> {
    let row = tx.row("SELECT version, enquiry_step, enquiry_due_ms FROM call WHERE n = $1", &[&n]).await?;
    let row = row.ok_or_else(|| documents::alien("call"))?;
    let mut events: Vec<CallEvent> = Vec::new();
    for row in tx.rows("SELECT body FROM event WHERE call = $1", &[&n]).await? {
        events.push(from_json("event", row.try_get(0)?)?);
    }
    // They lie by identity, which is no order to show; the fold does not care.
    events.sort_by_key(|event| (event.received_at, event.id));
    let due: Option<i64> = row.try_get(2)?;
    let enquiry = Enquiry {
        step: usize::try_from(row.try_get::<_, i64>(1)?).map_err(|_| documents::alien("step of enquiry"))?,
        due_at: due.map(documents::time).transpose()?,
    };
    Ok(StoredCall { version: row.try_get(0)?, events, enquiry: Some(enquiry) })
}

pub(super) async fn due_enquiries(
    tx: &Tx<'_>,
    account: &str,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<(String, Timestamp)>, Fault> {
    let found = tx
        .rows(
            "SELECT call_sid, enquiry_due_ms FROM call WHERE account = $1 AND enquiry_due_ms <= $2
             ORDER BY enquiry_due_ms, n LIMIT $3",
            &[&text(account), &now.as_millisecond(), &sql_limit(limit)],
        )
        .await?;
    found.iter().map(|row| Ok((row.try_get(0)?, documents::time(row.try_get(1)?)?))).collect()
}

/// Only where a question is open: one that was meanwhile answered stays answered.
pub(super) async fn put_off_enquiry(tx: &Tx<'_>, call: &CallRef, due_at: Timestamp) -> Result<(), Fault> {
    tx.run(
        "UPDATE call SET enquiry_due_ms = $3 WHERE account = $1 AND call_sid = $2 AND enquiry_due_ms IS NOT NULL",
        &[&text(&call.account), &text(&call.call_sid), &due_at.as_millisecond()],
    )
    .await?;
    Ok(())
}

pub(super) async fn next_enquiry(tx: &Tx<'_>, account: &str) -> Result<Option<Timestamp>, Fault> {
    let found = tx
        .row(
            "SELECT min(enquiry_due_ms) FROM call WHERE account = $1 AND enquiry_due_ms IS NOT NULL",
            &[&text(account)],
        )
        .await?;
    let due: Option<i64> = found.map(|row| row.try_get(0)).transpose()?.flatten();
    Ok(due.map(documents::time).transpose()?)
}

const CONDITIONS: &str = "account = $1 AND ($2::text IS NULL OR outcome = $2) AND first_seen_ms >= $3
     AND (first_seen_ms, n) < ($4, $5)";

const SUMMARY: &str = "SELECT n, call_sid, outcome, customer, exophone, agent, started_ms, first_seen_ms, updated_ms,
     talk_seconds FROM call";

pub(super) async fn list(tx: &Tx<'_>, account: &str, filter: &CallFilter) -> Result<Paged<CallSummary>, Fault> {
    let size = page_size(filter.limit);
    let since = filter.since.map_or(i64::MIN, Timestamp::as_millisecond);
    // `until` is outside of the span; a cursor is a call already shown, and what comes next is beyond it.
    let mut end = (filter.until.map_or(i64::MAX, Timestamp::as_millisecond), i64::MIN);
    if let Some(before) = &filter.before {
        end = end.min(parse_call_cursor(before)?);
    }
    let account = text(account);
    let outcome = filter.outcome.map(|outcome| outcome.as_str());
    let limit = sql_limit(size.saturating_add(1));
    let mut found = match filter.number.as_deref().filter(|number| !number.is_empty()) {
        None => {
            let sql = format!("{SUMMARY} WHERE {CONDITIONS} ORDER BY first_seen_ms DESC, n DESC LIMIT $6");
            tx.rows(&sql, &[&account, &outcome, &since, &end.0, &end.1, &limit]).await?
        }
        Some(number) => {
            // Without a digit it is the end of no number.
            let Some(from) = reversed_digits(number) else { return Ok(Paged { items: Vec::new(), next: None }) };
            // Above every digit, so that the range holds all that start with `from`.
            let to = format!("{from}:");
            let sql = format!(
                "{SUMMARY} WHERE {CONDITIONS} AND n IN (
                   SELECT n FROM call WHERE account = $1 AND customer_rev >= $7 AND customer_rev < $8
                   UNION
                   SELECT n FROM call WHERE account = $1 AND exophone_rev >= $7 AND exophone_rev < $8)
                 ORDER BY first_seen_ms DESC, n DESC LIMIT $6"
            );
            tx.rows(&sql, &[&account, &outcome, &since, &end.0, &end.1, &limit, &from, &to]).await?
        }
    };
    let more = found.len() > size;
    found.truncate(size);
    let calls = found.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    let mut states = states(tx, &calls).await?;
    let mut items = Vec::with_capacity(found.len());
    for row in &found {
        items.push(summary(row, states.remove(&row.try_get(0)?).unwrap_or_default())?);
    }
    let next = match found.last().filter(|_| more) {
        Some(last) => Some(format!("{}-{}", last.try_get::<_, i64>(7)?, last.try_get::<_, i64>(0)?)),
        None => None,
    };
    Ok(Paged { items, next })
}

fn summary(row: &Row, deliveries: BTreeMap<DeliveryState, u32>) -> Result<CallSummary, Fault> {
    let (outcome, started): (Option<&str>, Option<i64>) = (row.try_get(2)?, row.try_get(6)?);
    let talk: Option<i64> = row.try_get(9)?;
    Ok(CallSummary {
        call_sid: row.try_get(1)?,
        outcome: outcome.map(documents::outcome).transpose()?,
        customer: row.try_get(3)?,
        exophone: row.try_get(4)?,
        agent: row.try_get(5)?,
        started_at: started.map(documents::time).transpose()?,
        first_seen_at: documents::time(row.try_get(7)?)?,
        updated_at: documents::time(row.try_get(8)?)?,
        talk_seconds: talk.map(rows::number).transpose()?,
        deliveries,
    })
}

/// Deliveries of calls by state.
async fn states(tx: &Tx<'_>, calls: &[i64]) -> Result<BTreeMap<i64, BTreeMap<DeliveryState, u32>>, Fault> {
    let sql = "SELECT call, state, count(*) FROM delivery WHERE call = ANY($1) GROUP BY call, state";
    let mut states: BTreeMap<i64, BTreeMap<_, _>> = BTreeMap::new();
    for row in tx.rows(sql, &[&calls]).await? {
        let of_call = states.entry(row.try_get(0)?).or_default();
        of_call.insert(documents::state(row.try_get(1)?)?, rows::number(row.try_get(2)?)?);
    }
    Ok(states)
}

pub(super) async fn file(tx: &Tx<'_>, call: &CallRef) -> Result<Option<CallFile>, Fault> {
    let Some(n) = find(tx, call).await? else { return Ok(None) };
    let row = tx.row("SELECT state, first_seen_ms, updated_ms FROM call WHERE n = $1", &[&n]).await?;
    let row = row.ok_or_else(|| documents::alien("call"))?;
    Ok(Some(CallFile {
        call: stored_call(tx, n).await?,
        state: from_json("call's state", row.try_get(0)?)?,
        first_seen_at: documents::time(row.try_get(1)?)?,
        updated_at: documents::time(row.try_get(2)?)?,
        witnesses: witnesses(tx, n).await?,
        deliveries: deliveries::of_call(tx, n).await?,
        attempts: deliveries::attempts_of_call(tx, n).await?,
        links: deliveries::links_of_call(tx, n).await?,
    }))
}

async fn witnesses(tx: &Tx<'_>, call: i64) -> Result<Vec<Witness>, Fault> {
    let sql = "SELECT seq, receipt, received_ms, event_id FROM witness WHERE call = $1 ORDER BY seq";
    let found = tx.rows(sql, &[&call]).await?;
    found
        .iter()
        .map(|row| {
            Ok(Witness {
                seq: Seq(row.try_get(0)?),
                receipt: row.try_get(1)?,
                received_at: documents::time(row.try_get(2)?)?,
                event: EventId(row.try_get(3)?),
            })
        })
        .collect()
}

/// Removes the oldest calls that may go, with everything that belongs to them.
pub(super) async fn purge(tx: &Tx<'_>, older_than: Timestamp, limit: usize) -> Result<u64, Fault> {
    const SETTLED: &str = "updated_ms < $1 AND enquiry_due_ms IS NULL AND NOT EXISTS (SELECT 1 FROM delivery
         WHERE delivery.call = call.n AND delivery.state IN ('pending', 'inflight', 'held', 'dead'))";
    let older_than = older_than.as_millisecond();
    let found = tx
        .rows(
            &format!(
                "SELECT n FROM call WHERE first_seen_ms < $1 AND {SETTLED} ORDER BY first_seen_ms, n LIMIT $2
                 FOR UPDATE SKIP LOCKED"
            ),
            &[&older_than, &sql_limit(limit)],
        )
        .await?;
    let calls = found.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    if calls.is_empty() {
        return Ok(0);
    }
    // Looked at again, now that they are held: somebody may have sent one again before.
    tx.run(&format!("DELETE FROM call WHERE {SETTLED} AND n = ANY($2)"), &[&older_than, &calls]).await
}
