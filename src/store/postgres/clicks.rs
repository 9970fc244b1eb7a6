//! Clicks: kept before they are dialled, changed by version, looked up by key.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    fault::Fault,
    journal,
    rows::{opt_text, text},
    server::Tx,
};
use crate::store::{
    Click, ClickFilter, ClickState, ClickStep, Kept, StoreError, click,
    documents::{self, sql_limit},
};

/// Selects clicks, in the order [`read`] reads them; what follows is appended.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, account, version, key, fingerprint, agent, dialled, caller_id, custom_field, record, state, ",
            "call_sid, code, told, asked_ms, dialled_ms, updated_ms, flow_url, bot FROM click ",
            $rest
        )
    };
}

fn read(row: &Row) -> Result<Click, Fault> {
    let hash = |column: usize| -> Result<[u8; 32], Fault> {
        let bytes: Option<Vec<u8>> = row.try_get(column)?;
        // A click that gave its key up has none.
        bytes.map_or(Ok([0; 32]), |bytes| bytes.try_into().map_err(|_| documents::alien("hash").into()))
    };
    let text =
        |column: usize| -> Result<String, Fault> { Ok(row.try_get::<_, Option<String>>(column)?.unwrap_or_default()) };
    let word: &str = row.try_get(10)?;
    let state =
        ClickState::of(word, text(11)?, text(12)?, text(13)?).ok_or_else(|| documents::alien("state of a click"))?;
    Ok(Click {
        id: row.try_get(0)?,
        account: row.try_get(1)?,
        version: row.try_get(2)?,
        key: hash(3)?,
        fingerprint: hash(4)?,
        agent: row.try_get(5)?,
        to: row.try_get(6)?,
        caller_id: row.try_get(7)?,
        flow_url: row.try_get(17)?,
        bot: click::bot_read(row.try_get(18)?).map_err(|()| documents::alien("bot of a click"))?,
        custom_field: row.try_get(8)?,
        record: row.try_get(9)?,
        state,
        asked_at: documents::time(row.try_get(14)?)?,
        dialled_at: row.try_get::<_, Option<i64>>(15)?.map(documents::time).transpose()?,
        updated_at: documents::time(row.try_get(16)?)?,
    })
}

pub(super) async fn find(tx: &Tx<'_>, account: &str, id: Uuid) -> Result<Option<Click>, Fault> {
    let found = tx.row(select!("WHERE id = $1 AND account = $2"), &[&id, &text(account)]).await?;
    found.as_ref().map(read).transpose()
}

pub(super) async fn of_key(tx: &Tx<'_>, account: &str, key: [u8; 32]) -> Result<Option<Click>, Fault> {
    let found = tx.row(select!("WHERE account = $1 AND key = $2"), &[&text(account), &key.as_slice()]).await?;
    found.as_ref().map(read).transpose()
}

pub(super) async fn intend(tx: &Tx<'_>, new: &Click, renew_before: Option<Timestamp>) -> Result<Kept, Fault> {
    let (account, key) = (text(&new.account), new.key.as_slice());
    // Held until the commit: of two who would renew one key, the second sees what the first has made of it.
    let was = tx.row(select!("WHERE account = $1 AND key = $2 FOR UPDATE"), &[&account, &key]).await?;
    if let Some(was) = was.as_ref().map(read).transpose()? {
        if !click::gives_up(&was, renew_before) {
            return Ok(Kept::Known(Box::new(was)));
        }
        tx.run("UPDATE click SET key = NULL WHERE id = $1", &[&was.id]).await?;
    }
    let bot = click::bot_written(new)?;
    let written = tx
        .run(
            "INSERT INTO click (id, account, version, key, fingerprint, agent, dialled, caller_id, custom_field, record,
             state, asked_ms, updated_ms, flow_url, bot)
             VALUES ($1, $2, 1, $3, $4, $5, $6, $7, $8, $9, 'intended', $10, $10, $11, $12)
             ON CONFLICT DO NOTHING",
            &[
                &new.id,
                &account,
                &key,
                &new.fingerprint.as_slice(),
                &text(&new.agent),
                &text(&new.to),
                &text(&new.caller_id),
                &opt_text(new.custom_field.as_deref()),
                &new.record,
                &new.asked_at.as_millisecond(),
                &opt_text(new.flow_url.as_deref()),
                &opt_text(bot.as_deref()),
            ],
        )
        .await?;
    if written > 0 {
        return Ok(Kept::New);
    }
    // Another node was faster, between our look and our insert.
    let known = of_key(tx, &new.account, new.key).await?;
    known.map(|known| Kept::Known(Box::new(known))).ok_or_else(|| StoreError::Conflict.into())
}

pub(super) async fn step(tx: &Tx<'_>, step: &ClickStep) -> Result<(), Fault> {
    let was = tx.row(select!("WHERE id = $1 AND account = $2 FOR UPDATE"), &[&step.id, &text(&step.account)]).await?;
    let was = was.as_ref().map(read).transpose()?;
    if was.is_none_or(|was| was.version != step.on_version || !was.state.may_become(&step.state)) {
        return Err(StoreError::Conflict.into());
    }
    let [call_sid, code, told] = step.state.parts().map(opt_text);
    let dialled = (step.state == ClickState::Dialling).then(|| step.at.as_millisecond());
    tx.run(
        "UPDATE click SET version = version + 1, state = $2, call_sid = $3, code = $4, told = $5, updated_ms = $6,
         dialled_ms = coalesce($7, dialled_ms) WHERE id = $1",
        &[&step.id, &step.state.as_str(), &call_sid, &code, &told, &step.at.as_millisecond(), &dialled],
    )
    .await?;
    match &step.receipt {
        Some(receipt) => journal::append(tx, receipt).await,
        None => Ok(()),
    }
}

pub(super) async fn unsettled(tx: &Tx<'_>, account: &str) -> Result<Vec<Click>, Fault> {
    let found = tx
        .rows(
            select!("WHERE account = $1 AND state IN ('intended', 'dialling', 'unknown') ORDER BY asked_ms"),
            &[&text(account)],
        )
        .await?;
    found.iter().map(read).collect()
}

pub(super) async fn list(tx: &Tx<'_>, account: &str, filter: &ClickFilter) -> Result<Vec<Click>, Fault> {
    let (agent, to) =
        filter.pair.as_ref().map_or((None, None), |(agent, to)| (Some(agent.as_str()), Some(to.as_str())));
    let since = filter.since.map_or(i64::MIN, Timestamp::as_millisecond);
    let limit = i64::from(if filter.limit == 0 { 50 } else { filter.limit });
    let found = tx
        .rows(
            select!(
                "WHERE account = $1 AND asked_ms >= $2 AND ($3::text IS NULL OR (agent = $3 AND dialled = $4::text))
                 AND (cardinality($5::text[]) = 0 OR state = ANY($5))
                 AND ($7::text[] IS NULL OR agent = ANY($7)) ORDER BY asked_ms DESC, id DESC LIMIT $6"
            ),
            &[&text(account), &since, &opt_text(agent), &opt_text(to), &filter.states, &limit, &filter.agents],
        )
        .await?;
    found.iter().map(read).collect()
}

/// Settled ones that are old enough go, and their keys with them.
pub(super) async fn purge(tx: &Tx<'_>, older_than: Timestamp, limit: usize) -> Result<u64, Fault> {
    tx.run(
        "DELETE FROM click WHERE id IN (SELECT id FROM click WHERE updated_ms < $1
         AND state NOT IN ('intended', 'dialling', 'unknown') LIMIT $2)",
        &[&older_than.as_millisecond(), &sql_limit(limit)],
    )
    .await
}
