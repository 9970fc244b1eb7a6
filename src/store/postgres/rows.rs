//! Between values of the domain and columns: what this program cannot have written is an error, never a guess.

use std::borrow::Cow;

use tokio_postgres::Row;

use super::fault::Fault;
use crate::store::{
    Delivery,
    documents::{self, from_json},
};

/// Columns of a delivery, in the order [`delivery`] reads them.
pub(super) const DELIVERY: &str = "id, account, integration, call_sid, kind, revision, content, state, reason, due_ms, \
     attempts, probe, created_ms, updated_ms";

/// A text as the server takes it: it knows no NUL, and a caller may put one into whatever he says. What identifies a call
/// is written so wherever it is written or asked for.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

pub(super) fn opt_text(value: Option<&str>) -> Option<Cow<'_, str>> {
    value.map(text)
}

pub(super) fn number(value: i64) -> Result<u32, Fault> {
    u32::try_from(value).map_err(|_| documents::alien("number").into())
}

/// Reads the columns [`DELIVERY`].
pub(super) fn delivery(row: &Row) -> Result<Delivery, Fault> {
    Ok(Delivery {
        id: row.try_get(0)?,
        account: row.try_get(1)?,
        integration: row.try_get(2)?,
        call_sid: row.try_get(3)?,
        kind: documents::kind(row.try_get(4)?)?,
        revision: row.try_get(5)?,
        content: from_json("content of a delivery", row.try_get(6)?)?,
        state: documents::state(row.try_get(7)?)?,
        reason: row.try_get(8)?,
        due_at: documents::time(row.try_get(9)?)?,
        attempts: number(row.try_get(10)?)?,
        probe: row.try_get(11)?,
        created_at: documents::time(row.try_get(12)?)?,
        updated_at: documents::time(row.try_get(13)?)?,
    })
}
