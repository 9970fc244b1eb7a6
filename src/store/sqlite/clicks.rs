//! Clicks: kept before they are dialled, changed by version, looked up by key.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{fault::Fault, rows, writer::Work};
use crate::store::{Click, ClickFilter, ClickState, ClickStep, Kept, StoreError, click, documents::sql_limit};

const COLUMNS: &str =
    "id, account, version, key, fingerprint, agent, dialled, caller_id, custom_field, record, state, call_sid, code,
     told, asked_ms, dialled_ms, updated_ms, flow_url, bot";

const UNSETTLED: &str = "state IN ('intended', 'dialling', 'unknown')";

fn read(row: &Row<'_>) -> Result<Click, Fault> {
    let hash = |column: usize| -> Result<[u8; 32], Fault> {
        let bytes: Option<Vec<u8>> = row.get(column)?;
        // A click that gave its key up has none.
        bytes.map_or(Ok([0; 32]), |bytes| bytes.try_into().map_err(|_| Fault::alien("hash")))
    };
    let text =
        |column: usize| -> Result<String, Fault> { Ok(row.get::<_, Option<String>>(column)?.unwrap_or_default()) };
    let word = row.get_ref(10)?.as_str().map_err(rows::alien)?;
    let state =
        ClickState::of(word, text(11)?, text(12)?, text(13)?).ok_or_else(|| Fault::alien("state of a click"))?;
    Ok(Click {
        id: rows::uuid(row.get_ref(0)?.as_blob().map_err(rows::alien)?)?,
        account: row.get(1)?,
        version: row.get(2)?,
        key: hash(3)?,
        fingerprint: hash(4)?,
        agent: row.get(5)?,
        to: row.get(6)?,
        caller_id: row.get(7)?,
        flow_url: row.get(17)?,
        bot: click::bot_read(row.get::<_, Option<String>>(18)?.as_deref())
            .map_err(|()| Fault::alien("bot of a click"))?,
        custom_field: row.get(8)?,
        record: row.get(9)?,
        state,
        asked_at: rows::time(row.get(14)?)?,
        dialled_at: row.get::<_, Option<i64>>(15)?.map(rows::time).transpose()?,
        updated_at: rows::time(row.get(16)?)?,
    })
}

fn one(conn: &Connection, condition: &str, values: impl rusqlite::Params) -> Result<Option<Click>, Fault> {
    let mut statement = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM click WHERE {condition}"))?;
    let mut found = statement.query(values)?;
    found.next()?.map(read).transpose()
}

pub(super) fn find(conn: &Connection, account: &str, id: Uuid) -> Result<Option<Click>, Fault> {
    one(conn, "id = ?1 AND account = ?2", params![id.as_bytes(), account])
}

pub(super) fn of_key(conn: &Connection, account: &str, key: [u8; 32]) -> Result<Option<Click>, Fault> {
    one(conn, "account = ?1 AND key = ?2", params![account, key])
}

pub(super) fn intend(conn: &Connection, new: &Click, renew_before: Option<Timestamp>) -> Result<Kept, Fault> {
    if let Some(was) = of_key(conn, &new.account, new.key)? {
        if !click::gives_up(&was, renew_before) {
            return Ok(Kept::Known(Box::new(was)));
        }
        conn.prepare_cached("UPDATE click SET key = NULL WHERE id = ?1")?.execute([was.id.as_bytes()])?;
    }
    conn.prepare_cached(
        "INSERT INTO click (id, account, version, key, fingerprint, agent, dialled, caller_id, custom_field, record, state,
         asked_ms, updated_ms, flow_url, bot)
         VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'intended', ?10, ?10, ?11, ?12)",
    )?
    .execute(params![
        new.id.as_bytes(),
        new.account,
        new.key,
        new.fingerprint,
        new.agent,
        new.to,
        new.caller_id,
        new.custom_field,
        new.record,
        new.asked_at.as_millisecond(),
        new.flow_url,
        click::bot_written(new)?,
    ])?;
    Ok(Kept::New)
}

pub(super) fn step(work: &mut Work<'_>, step: ClickStep) -> Result<(), Fault> {
    let was = find(work.conn, &step.account, step.id)?;
    if was.is_none_or(|was| was.version != step.on_version || !was.state.may_become(&step.state)) {
        return Err(StoreError::Conflict.into());
    }
    let [call_sid, code, told] = step.state.parts();
    work.conn
        .prepare_cached(
            "UPDATE click SET version = version + 1, state = ?2, call_sid = ?3, code = ?4, told = ?5, updated_ms = ?6,
             dialled_ms = CASE ?2 WHEN 'dialling' THEN ?6 ELSE dialled_ms END WHERE id = ?1",
        )?
        .execute(params![step.id.as_bytes(), step.state.as_str(), call_sid, code, told, step.at.as_millisecond()])?;
    match step.receipt {
        Some(receipt) => work.append(&receipt),
        None => Ok(()),
    }
}

pub(super) fn unsettled(conn: &Connection, account: &str) -> Result<Vec<Click>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM click WHERE account = ?1 AND {UNSETTLED} ORDER BY asked_ms");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut found = statement.query([account])?;
    let mut clicks = Vec::new();
    while let Some(row) = found.next()? {
        clicks.push(read(row)?);
    }
    Ok(clicks)
}

pub(super) fn list(conn: &Connection, account: &str, filter: &ClickFilter) -> Result<Vec<Click>, Fault> {
    let sql = format!(
        "SELECT {COLUMNS} FROM click WHERE account = ?1 AND asked_ms >= ?2 AND (?3 IS NULL OR (agent = ?3 AND dialled = ?4))
         AND (?5 = '' OR instr(?5, ' ' || state || ' ') > 0)
         AND (?7 IS NULL OR agent IN (SELECT value FROM json_each(?7))) ORDER BY asked_ms DESC, id DESC LIMIT ?6"
    );
    let states = match filter.states.as_slice() {
        [] => String::new(),
        states => format!(" {} ", states.join(" ")),
    };
    let (agent, to) = filter.pair.as_ref().map_or((None, None), |(agent, to)| (Some(agent), Some(to)));
    let since = filter.since.map_or(i64::MIN, Timestamp::as_millisecond);
    let limit = if filter.limit == 0 { 50 } else { filter.limit };
    let mut statement = conn.prepare_cached(&sql)?;
    let agents = filter.agents.as_ref().map(|agents| serde_json::json!(agents).to_string());
    let mut found = statement.query(params![account, since, agent, to, states, limit, agents])?;
    let mut clicks = Vec::new();
    while let Some(row) = found.next()? {
        clicks.push(read(row)?);
    }
    Ok(clicks)
}

/// Settled ones that are old enough go, and their keys with them.
pub(super) fn purge(conn: &Connection, older_than: Timestamp, limit: usize) -> Result<u64, Fault> {
    let sql = format!(
        "DELETE FROM click WHERE id IN (SELECT id FROM click WHERE updated_ms < ?1 AND NOT {UNSETTLED} LIMIT ?2)"
    );
    Ok(conn.prepare_cached(&sql)?.execute([older_than.as_millisecond(), sql_limit(limit)])? as u64)
}

/// Whether there is anything to purge, for a reader to see.
pub(super) fn purgeable(conn: &Connection, older_than: Timestamp) -> Result<bool, Fault> {
    let sql = format!("SELECT 1 FROM click WHERE updated_ms < ?1 AND NOT {UNSETTLED} LIMIT 1");
    let found: Option<i64> =
        conn.prepare_cached(&sql)?.query_row([older_than.as_millisecond()], |row| row.get(0)).optional()?;
    Ok(found.is_some())
}
