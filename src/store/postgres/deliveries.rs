//! Deliveries on their way: taking, settling, taking up again after a crash, sending again, listing.
//!
//! Whoever changes the state of one holds its call's row first: of two that did not, each would judge by the state in
//! which the other one found it.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use patchbay_kit::Contact;

use super::{
    calls,
    fault::Fault,
    leases, rows,
    rows::{opt_text, text},
    server::Tx,
};
use crate::{
    call::{Content, IntentKind},
    store::{
        Attempt, CallRef, Claimed, Delivery, DeliveryFilter, DeliveryState, LaneRef, Lease, Link, Next, Paged,
        Settlement, StoreError, Turn,
        documents::{self, ATTEMPTS_KEPT, Settled, can_be_redriven, from_json, kind_rank, page_size, sql_limit, time},
    },
};

/// What a lane may take: account, integration, kind, now, limit. A call that somebody holds is left for the next time.
const READY: &str = "SELECT delivery.n FROM delivery JOIN call ON call.n = delivery.call
     WHERE delivery.account = $1 AND integration = $2 AND kind = $3 AND delivery.state = 'pending' AND NOT blocked
     AND NOT low AND due_ms <= $4 ORDER BY due_ms, delivery.n LIMIT $5 FOR NO KEY UPDATE OF call SKIP LOCKED";

/// The same of calls of the past: account, integration, now, limit.
const BACKFILL: &str = "SELECT delivery.n FROM delivery JOIN call ON call.n = delivery.call
     WHERE delivery.account = $1 AND integration = $2 AND delivery.state = 'pending' AND NOT blocked AND low
     AND due_ms <= $3 ORDER BY due_ms, delivery.n LIMIT $4 FOR NO KEY UPDATE OF call SKIP LOCKED";

const REFRESH: &str = "UPDATE delivery AS this SET blocked = NOT blocked
     WHERE call = ANY($1) AND state = 'pending' AND blocked <> EXISTS (
       SELECT 1 FROM delivery AS other
       WHERE other.call = this.call AND other.integration = this.integration AND other.n <> this.n
       AND (other.state = 'inflight' OR (other.kind < this.kind AND other.state NOT IN ('done', 'superseded'))))";

/// Says anew which pending deliveries of calls must wait for another one of the call. To be called after every change
/// of state that may free one or bind one.
pub(super) async fn refresh_blocked(tx: &Tx<'_>, calls: &[i64]) -> Result<(), Fault> {
    tx.run(REFRESH, &[&calls]).await?;
    Ok(())
}

pub(super) async fn claim(
    tx: &Tx<'_>,
    lease: &Lease,
    lane: &LaneRef,
    turn: Turn,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<Claimed>, Fault> {
    let (account, now, limit) = (text(&lane.account), now.as_millisecond(), sql_limit(limit));
    let ready = match turn {
        Turn::Now(kind) => tx.rows(READY, &[&account, &lane.integration, &kind_rank(kind), &now, &limit]).await?,
        // The past waits while anything of now could go.
        Turn::Backfill if live(tx, lane, now).await? => Vec::new(),
        Turn::Backfill => tx.rows(BACKFILL, &[&account, &lane.integration, &now, &limit]).await?,
    };
    let ready = ready.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    if ready.is_empty() {
        return Ok(Vec::new());
    }
    leases::check(tx, lease).await?;
    // Looked at again, now that the calls are held: until then, somebody else may have written them. Needs no new look at
    // what is blocked: whatever is pending beside one of these is of a later kind, and waits already.
    let taken = tx
        .rows(
            &format!(
                "UPDATE delivery SET state = 'inflight', updated_ms = $2
                 WHERE n = ANY($1) AND state = 'pending' AND NOT blocked AND due_ms <= $2 RETURNING {}, n, call",
                rows::DELIVERY
            ),
            &[&ready, &now],
        )
        .await?;
    let mut deliveries = taken
        .iter()
        .map(|row| Ok((rows::delivery(row)?, row.try_get(14)?, row.try_get(15)?)))
        .collect::<Result<Vec<(Delivery, i64, i64)>, Fault>>()?;
    deliveries.sort_by_key(|(delivery, n, _)| (delivery.due_at, *n));
    let of: Vec<i64> = deliveries.iter().map(|(_, _, call)| *call).collect();
    let mut links = links(tx, lane, &of).await?;
    let contacts = contacts(tx, lane, deliveries.iter().filter_map(|(delivery, ..)| external_id(delivery))).await?;
    let claimed = deliveries.into_iter().map(|(delivery, _, call)| Claimed {
        links: links.remove(&call).unwrap_or_default(),
        contact: external_id(&delivery).and_then(|id| contacts.get(&*text(id)).cloned()),
        delivery,
    });
    Ok(claimed.collect())
}

/// Whether a delivery of a call of now could be taken.
async fn live(tx: &Tx<'_>, lane: &LaneRef, now: i64) -> Result<bool, Fault> {
    let kinds = IntentKind::ALL.map(kind_rank).to_vec();
    let found = tx
        .row(
            "SELECT 1 FROM unnest($3::bigint[]) AS of (kind) CROSS JOIN LATERAL (
               SELECT 1 FROM delivery WHERE account = $1 AND integration = $2 AND delivery.kind = of.kind
               AND state = 'pending' AND NOT blocked AND NOT low AND due_ms <= $4 LIMIT 1) AS one LIMIT 1",
            &[&text(&lane.account), &lane.integration, &kinds, &now],
        )
        .await?;
    Ok(found.is_some())
}

fn external_id(delivery: &Delivery) -> Option<&str> {
    match &delivery.content {
        Content::Log(content) => Some(&content.caller.external_id),
        Content::Recording(_) | Content::FollowUp(_) => None,
    }
}

async fn links(tx: &Tx<'_>, lane: &LaneRef, calls: &[i64]) -> Result<HashMap<i64, BTreeMap<IntentKind, Link>>, Fault> {
    let sql = "SELECT call, kind, body FROM link WHERE call = ANY($1) AND integration = $2";
    let mut links: HashMap<i64, BTreeMap<_, _>> = HashMap::new();
    for row in tx.rows(sql, &[&calls, &lane.integration]).await? {
        let of_call = links.entry(row.try_get(0)?).or_default();
        of_call.insert(documents::kind(row.try_get(1)?)?, from_json("link", row.try_get(2)?)?);
    }
    Ok(links)
}

pub(super) async fn contact(tx: &Tx<'_>, lane: &LaneRef, external_id: &str) -> Result<Option<Contact>, Fault> {
    Ok(contacts(tx, lane, std::iter::once(external_id)).await?.into_values().next())
}

async fn contacts(
    tx: &Tx<'_>,
    lane: &LaneRef,
    ids: impl Iterator<Item = &str>,
) -> Result<HashMap<String, Contact>, Fault> {
    let ids: Vec<String> = ids.map(|id| text(id).into_owned()).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "SELECT external_id, body FROM contact WHERE account = $1 AND integration = $2 AND external_id = ANY($3)";
    let found = tx.rows(sql, &[&text(&lane.account), &lane.integration, &ids]).await?;
    found.iter().map(|row| Ok((row.try_get(0)?, from_json("contact", row.try_get(1)?)?))).collect()
}

/// Only of those that may be taken: one that waits for another is freed by what happens to that one, not by time.
pub(super) async fn next_due(tx: &Tx<'_>, lane: &LaneRef) -> Result<Option<Timestamp>, Fault> {
    // By kind, so that each is the first of an index.
    let found = tx
        .row(
            "SELECT least(
               (SELECT min(earliest.due_ms) FROM unnest($3::bigint[]) AS of (kind) CROSS JOIN LATERAL (
                  SELECT due_ms FROM delivery WHERE account = $1 AND integration = $2 AND delivery.kind = of.kind
                  AND state = 'pending' AND NOT blocked AND NOT low ORDER BY due_ms LIMIT 1) AS earliest),
               (SELECT min(due_ms) FROM delivery WHERE account = $1 AND integration = $2
                AND state = 'pending' AND NOT blocked AND low))",
            &[&text(&lane.account), &lane.integration, &IntentKind::ALL.map(kind_rank).to_vec()],
        )
        .await?;
    let due: Option<i64> = found.map(|row| row.try_get(0)).transpose()?.flatten();
    Ok(due.map(time).transpose()?)
}

pub(super) async fn settle(tx: &Tx<'_>, lease: &Lease, settled: &Settled) -> Result<(), Fault> {
    let Settlement { delivery, kind, lane, attempt, next, .. } = &settled.settlement;
    // Purging leaves what is in flight alone, so without a row this is a delivery that never was.
    let never = || StoreError::Unreadable(format!("there is no delivery {delivery}"));
    let row = tx.row("SELECT call FROM delivery WHERE id = $1", &[&delivery]).await?.ok_or_else(never)?;
    let call: i64 = row.try_get(0)?;
    calls::lock(tx, &[call]).await?;
    leases::check(tx, lease).await?;
    let row = tx
        .row(
            "SELECT n, revision, state, (SELECT body FROM attempt WHERE attempt.delivery = delivery.n
             ORDER BY number DESC LIMIT 1) FROM delivery WHERE id = $1",
            &[&delivery],
        )
        .await?
        .ok_or_else(never)?;
    let (n, revision): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    // Written already, and the word of it was lost on its way: what has become of the delivery since is not this
    // attempt's to say.
    if row.try_get::<_, Option<&str>>(3)? == Some(&settled.attempt) {
        return Ok(());
    }
    write_contact(tx, settled).await?;
    if let Some(link) = &settled.link {
        tx.run(
            "INSERT INTO link (call, integration, kind, body) VALUES ($1, $2, $3, $4)
             ON CONFLICT (call, integration, kind) DO UPDATE SET body = excluded.body",
            &[&call, &lane.integration, &kind_rank(*kind), link],
        )
        .await?;
    }
    write_attempt(tx, n, &settled.attempt).await?;
    // What the attempt found out is kept in any case; what becomes of the delivery is for him to say who took it.
    if documents::state(row.try_get(2)?)? == DeliveryState::Inflight {
        advance(tx, n, revision, attempt, next).await?;
        refresh_blocked(tx, &[call]).await?;
    }
    Ok(())
}

async fn write_contact(tx: &Tx<'_>, settled: &Settled) -> Result<(), Fault> {
    let Settlement { lane, contact, .. } = &settled.settlement;
    let Some((external_id, _)) = contact else { return Ok(()) };
    let (account, external_id) = (text(&lane.account), text(external_id));
    match &settled.contact {
        Some(body) => {
            tx.run(
                "INSERT INTO contact (account, integration, external_id, body) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (account, integration, external_id) DO UPDATE SET body = excluded.body",
                &[&account, &lane.integration, &external_id, body],
            )
            .await?
        }
        None => {
            tx.run(
                "DELETE FROM contact WHERE account = $1 AND integration = $2 AND external_id = $3",
                &[&account, &lane.integration, &external_id],
            )
            .await?
        }
    };
    Ok(())
}

async fn write_attempt(tx: &Tx<'_>, delivery: i64, body: &str) -> Result<(), Fault> {
    let made = tx
        .row(
            "INSERT INTO attempt (delivery, number, body)
             SELECT $1, coalesce(max(number), 0) + 1, $2 FROM attempt WHERE delivery = $1 RETURNING number",
            &[&delivery, &body],
        )
        .await?;
    let number: i64 = made.ok_or_else(|| documents::alien("attempt"))?.try_get(0)?;
    if number > ATTEMPTS_KEPT {
        tx.run("DELETE FROM attempt WHERE delivery = $1 AND number <= $2", &[&delivery, &(number - ATTEMPTS_KEPT)])
            .await?;
    }
    Ok(())
}

/// Moves a delivery on from being in flight.
async fn advance(tx: &Tx<'_>, n: i64, revision: i64, attempt: &Attempt, next: &Next) -> Result<(), Fault> {
    let at = attempt.at.as_millisecond();
    let now = at.saturating_add(i64::try_from(attempt.duration_ms).unwrap_or(0));
    match next {
        Next::Done => {
            // Content that came while this one was being written is another piece of work, with a schedule of its own.
            let state = if revision > attempt.revision { DeliveryState::Pending } else { DeliveryState::Done };
            tx.run(
                "UPDATE delivery SET state = $2, reason = NULL, due_ms = $3, attempts = 0, probe = FALSE, updated_ms = $4
                 WHERE n = $1",
                &[&n, &state.as_str(), &at, &now],
            )
            .await?;
        }
        Next::Again { due_at, counts, probe, reason } => {
            tx.run(
                "UPDATE delivery SET state = 'pending', due_ms = $2, attempts = attempts + $3, probe = $4, reason = $5,
                 updated_ms = $6 WHERE n = $1",
                &[&n, &due_at.as_millisecond(), &i64::from(*counts), probe, &text(reason), &now],
            )
            .await?;
        }
        Next::Held { reason, probe } => stop(tx, n, DeliveryState::Held, reason, *probe, now).await?,
        Next::Dead { reason, probe } => stop(tx, n, DeliveryState::Dead, reason, *probe, now).await?,
    }
    Ok(())
}

async fn stop(tx: &Tx<'_>, n: i64, state: DeliveryState, reason: &str, probe: bool, now: i64) -> Result<(), Fault> {
    tx.run(
        "UPDATE delivery SET state = $2, reason = $3, probe = $4, updated_ms = $5 WHERE n = $1",
        &[&n, &state.as_str(), &text(reason), &probe, &now],
    )
    .await?;
    Ok(())
}

pub(super) async fn recover(
    tx: &Tx<'_>,
    lease: &Lease,
    lane: &LaneRef,
    not_before: Timestamp,
    now: Timestamp,
) -> Result<u64, Fault> {
    // None is added meanwhile: whoever took one in the name of an earlier lease had done so when this one was granted.
    let interrupted = tx
        .rows(
            "SELECT call FROM delivery WHERE state = 'inflight' AND account = $1 AND integration = $2",
            &[&text(&lane.account), &lane.integration],
        )
        .await?;
    let of = interrupted.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    if of.is_empty() {
        return Ok(0);
    }
    calls::lock(tx, &of).await?;
    leases::check(tx, lease).await?;
    let recovered = tx
        .run(
            "UPDATE delivery SET state = 'pending', probe = TRUE, due_ms = $4, reason = 'interrupted', updated_ms = $5
             WHERE call = ANY($3) AND state = 'inflight' AND account = $1 AND integration = $2",
            &[&text(&lane.account), &lane.integration, &of, &not_before.as_millisecond(), &now.as_millisecond()],
        )
        .await?;
    refresh_blocked(tx, &of).await?;
    Ok(recovered)
}

pub(super) async fn hold_lane(tx: &Tx<'_>, lane: &LaneRef, reason: &str, now: Timestamp) -> Result<u64, Fault> {
    // Nothing of a lane that does not run is in flight, so nothing comes to be freed or blocked by this.
    tx.run(
        "UPDATE delivery SET state = 'held', reason = $3, updated_ms = $4
         WHERE account = $1 AND integration = $2 AND state = 'pending'",
        &[&text(&lane.account), &lane.integration, &reason, &now.as_millisecond()],
    )
    .await
}

pub(super) async fn list(tx: &Tx<'_>, account: &str, filter: &DeliveryFilter) -> Result<Paged<Delivery>, Fault> {
    let found = matching(tx, account, filter, &states(filter), page_size(filter.limit)).await?;
    let sql = format!("SELECT {} FROM delivery WHERE n = ANY($1) ORDER BY n DESC", rows::DELIVERY);
    let items = tx.rows(&sql, &[&found.items]).await?;
    Ok(Paged { items: items.iter().map(rows::delivery).collect::<Result<_, _>>()?, next: found.next })
}

fn states(filter: &DeliveryFilter) -> Vec<DeliveryState> {
    if filter.states.is_empty() { DeliveryState::ALL.to_vec() } else { filter.states.clone() }
}

/// Rows that match, newest first, as many as fit on a page.
async fn matching(
    tx: &Tx<'_>,
    account: &str,
    filter: &DeliveryFilter,
    states: &[DeliveryState],
    size: usize,
) -> Result<Paged<i64>, Fault> {
    let before = match &filter.before {
        Some(cursor) => cursor.parse::<i64>().map_err(|_| StoreError::BadCursor)?,
        None => i64::MAX,
    };
    let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    let (account, limit) = (text(account), sql_limit(size.saturating_add(1)));
    let call_sid = opt_text(filter.call_sid.as_deref());
    // Those found by ids or by call are few.
    const FEW: &str = "account = $1 AND n < $2 AND state = ANY($3) AND ($4::text IS NULL OR integration = $4)
         AND ($5::text IS NULL OR call_sid = $5)";
    let found = if !filter.ids.is_empty() {
        let sql = format!("SELECT n FROM delivery WHERE id = ANY($6) AND {FEW} ORDER BY n DESC LIMIT $7");
        tx.rows(&sql, &[&account, &before, &states, &filter.integration, &call_sid, &filter.ids, &limit]).await?
    } else if call_sid.is_some() {
        let sql = format!(
            "SELECT n FROM delivery WHERE call = (SELECT call.n FROM call WHERE call.account = $1 AND call.call_sid = $5)
             AND {FEW} ORDER BY n DESC LIMIT $6"
        );
        tx.rows(&sql, &[&account, &before, &states, &filter.integration, &call_sid, &limit]).await?
    } else {
        // A page of each state: every one of them comes in order out of the index, all together would have to be sorted.
        let sql = "SELECT page.n FROM (SELECT DISTINCT state FROM unnest($3::text[]) AS wanted (state)) AS wanted
             CROSS JOIN LATERAL (
               SELECT n FROM delivery WHERE delivery.state = wanted.state COLLATE \"C\" AND account = $1 AND n < $2
               AND ($4::text IS NULL OR integration = $4) ORDER BY n DESC LIMIT $5) AS page
             ORDER BY page.n DESC LIMIT $5";
        tx.rows(sql, &[&account, &before, &states, &filter.integration, &limit]).await?
    };
    let mut items = found.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).map(i64::to_string);
    Ok(Paged { items, next })
}

/// One page of sending again: the ids, and where the next page starts.
pub(super) async fn redrive(
    tx: &Tx<'_>,
    account: &str,
    filter: &DeliveryFilter,
    even_done: bool,
    now: Timestamp,
) -> Result<Paged<Uuid>, Fault> {
    let states: Vec<_> = states(filter).into_iter().filter(|state| can_be_redriven(*state, even_done)).collect();
    let found = matching(tx, account, filter, &states, page_size(filter.limit)).await?;
    let of = tx.rows("SELECT DISTINCT call FROM delivery WHERE n = ANY($1)", &[&found.items]).await?;
    let of = of.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    calls::lock(tx, &of).await?;
    // On the right stands the row as it was: of a done one there is something new to write, though it says the same.
    let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    let sent = tx
        .rows(
            "WITH sent AS (
               UPDATE delivery SET revision = revision + (state = 'done')::int, state = 'pending', due_ms = $2,
                 attempts = 0, reason = NULL, updated_ms = $2 WHERE n = ANY($1) AND state = ANY($3) RETURNING id, n)
             SELECT id FROM sent ORDER BY n DESC",
            &[&found.items, &now.as_millisecond(), &states],
        )
        .await?;
    refresh_blocked(tx, &of).await?;
    let items = sent.iter().map(|row| row.try_get(0)).collect::<Result<Vec<Uuid>, _>>()?;
    Ok(Paged { items, next: found.next })
}

pub(super) async fn forget_links(tx: &Tx<'_>, call: &CallRef, integration: Option<&str>) -> Result<(), Fault> {
    if let Some(n) = calls::find(tx, call).await? {
        calls::lock(tx, &[n]).await?;
        let of = "call = $1 AND ($2::text IS NULL OR integration = $2)";
        tx.run(&format!("DELETE FROM link WHERE {of}"), &[&n, &integration]).await?;
        tx.run(&format!("UPDATE delivery SET probe = TRUE WHERE {of}"), &[&n, &integration]).await?;
    }
    Ok(())
}

pub(super) async fn depths(tx: &Tx<'_>) -> Result<BTreeMap<(LaneRef, DeliveryState), u64>, Fault> {
    // What two nodes sum up at once is summed up once: the later one finds the rows gone.
    tx.run(
        "WITH gone AS (DELETE FROM delivery_change RETURNING account, integration, state, deliveries)
         INSERT INTO delivery_change SELECT account, integration, state, sum(deliveries)::bigint FROM gone
         GROUP BY account, integration, state HAVING sum(deliveries) <> 0",
        &[],
    )
    .await?;
    let found = tx
        .rows(
            "SELECT account, integration, state, sum(deliveries)::bigint FROM delivery_change
             GROUP BY account, integration, state HAVING sum(deliveries) > 0",
            &[],
        )
        .await?;
    let mut depths = BTreeMap::new();
    for row in found {
        let lane = LaneRef { account: row.try_get(0)?, integration: row.try_get(1)? };
        depths.insert((lane, documents::state(row.try_get(2)?)?), row.try_get::<_, i64>(3)?.unsigned_abs());
    }
    Ok(depths)
}

pub(super) async fn of_call(tx: &Tx<'_>, call: i64) -> Result<Vec<Delivery>, Fault> {
    let sql = format!("SELECT {} FROM delivery WHERE call = $1 ORDER BY integration, kind", rows::DELIVERY);
    tx.rows(&sql, &[&call]).await?.iter().map(rows::delivery).collect()
}

pub(super) async fn attempts_of_call(tx: &Tx<'_>, call: i64) -> Result<Vec<(Uuid, Attempt)>, Fault> {
    let sql = "SELECT id, body FROM delivery JOIN attempt ON attempt.delivery = delivery.n WHERE call = $1
         ORDER BY integration, kind, number";
    let read = |row: &Row| Ok((row.try_get(0)?, from_json("attempt", row.try_get(1)?)?));
    tx.rows(sql, &[&call]).await?.iter().map(read).collect()
}

pub(super) async fn links_of_call(tx: &Tx<'_>, call: i64) -> Result<Vec<(String, IntentKind, Link)>, Fault> {
    let sql = "SELECT integration, kind, body FROM link WHERE call = $1 ORDER BY integration, kind";
    let read =
        |row: &Row| Ok((row.try_get(0)?, documents::kind(row.try_get(1)?)?, from_json("link", row.try_get(2)?)?));
    tx.rows(sql, &[&call]).await?.iter().map(read).collect()
}
