//! Between values of the domain and columns.

use jiff::Timestamp;
use rusqlite::Row;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use patchbay_kit::Outcome;

use super::fault::Fault;
use crate::{
    call::IntentKind,
    store::{Delivery, DeliveryState, StoreError},
};

/// Columns of a delivery, in the order [`delivery`] reads them.
pub(super) const DELIVERY: &str = "id, account, integration, call_sid, kind, revision, content, state, reason, due_ms, \
     attempts, probe, created_ms, updated_ms";

pub(super) fn time(ms: i64) -> Result<Timestamp, Fault> {
    Timestamp::from_millisecond(ms).map_err(|_| Fault::alien("time"))
}

pub(super) fn uuid(bytes: &[u8]) -> Result<Uuid, Fault> {
    Uuid::from_slice(bytes).map_err(|_| Fault::alien("id"))
}

pub(super) fn to_json<T: Serialize>(what: &str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Unwritable(format!("{what} cannot be put in words: {:?}", error.classify())))
}

pub(super) fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::json(what, &error))
}

/// The column's number for a kind: earlier ones are smaller, with room for those to come.
pub(super) fn kind_rank(kind: IntentKind) -> i64 {
    match kind {
        IntentKind::Log => 10,
        IntentKind::Recording => 20,
        IntentKind::FollowUp => 30,
    }
}

pub(super) fn kind(rank: i64) -> Result<IntentKind, Fault> {
    IntentKind::ALL.into_iter().find(|kind| kind_rank(*kind) == rank).ok_or_else(|| Fault::alien("kind of delivery"))
}

pub(super) fn state(text: &str) -> Result<DeliveryState, Fault> {
    DeliveryState::parse(text).ok_or_else(|| Fault::alien("state of delivery"))
}

pub(super) fn outcome(text: &str) -> Result<Outcome, Fault> {
    [Outcome::Answered, Outcome::Voicemail, Outcome::Missed, Outcome::FlowEnded]
        .into_iter()
        .find(|outcome| outcome.as_str() == text)
        .ok_or_else(|| Fault::alien("outcome"))
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

/// Digits of a number back to front, so that numbers with the same end stand together. `None` when there are none.
pub(super) fn reversed_digits(number: &str) -> Option<String> {
    let digits: String = number.chars().rev().filter(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}
