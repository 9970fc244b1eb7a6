//! Between values of the domain and columns: what this program cannot have written is an error, never a guess.

use jiff::Timestamp;
use rusqlite::Row;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use patchbay_kit::Outcome;

pub(super) use crate::store::documents::{kind_rank, reversed_digits};

use super::fault::Fault;
use crate::{
    call::IntentKind,
    store::{Delivery, DeliveryState, documents},
};

/// Columns of a delivery, in the order [`delivery`] reads them.
pub(super) const DELIVERY: &str = "id, account, integration, call_sid, kind, revision, content, state, reason, due_ms, \
     attempts, probe, created_ms, updated_ms";

pub(super) fn time(ms: i64) -> Result<Timestamp, Fault> {
    Ok(documents::time(ms)?)
}

pub(super) fn uuid(bytes: &[u8]) -> Result<Uuid, Fault> {
    Uuid::from_slice(bytes).map_err(|_| Fault::alien("id"))
}

pub(super) fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Fault> {
    Ok(documents::from_json(what, text)?)
}

pub(super) fn kind(rank: i64) -> Result<IntentKind, Fault> {
    Ok(documents::kind(rank)?)
}

pub(super) fn state(text: &str) -> Result<DeliveryState, Fault> {
    Ok(documents::state(text)?)
}

pub(super) fn outcome(text: &str) -> Result<Outcome, Fault> {
    Ok(documents::outcome(text)?)
}

/// Reads the columns [`DELIVERY`].
pub(super) fn delivery(row: &Row<'_>) -> Result<Delivery, Fault> {
    let text = |column: usize| -> Result<&str, Fault> { row.get_ref(column)?.as_str().map_err(alien) };
    let number = |column: usize| -> Result<i64, Fault> { Ok(row.get(column)?) };
    Ok(Delivery {
        id: uuid(row.get_ref(0)?.as_blob().map_err(alien)?)?,
        account: text(1)?.to_owned(),
        integration: text(2)?.to_owned(),
        call_sid: text(3)?.to_owned(),
        kind: kind(number(4)?)?,
        revision: number(5)?,
        content: from_json("content of a delivery", text(6)?)?,
        state: state(text(7)?)?,
        reason: row.get(8)?,
        due_at: time(number(9)?)?,
        attempts: row.get(10)?,
        probe: row.get(11)?,
        created_at: time(number(12)?)?,
        updated_at: time(number(13)?)?,
    })
}

pub(super) fn alien(_: rusqlite::types::FromSqlError) -> Fault {
    Fault::alien("column")
}
