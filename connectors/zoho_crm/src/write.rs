//! Writing records: one record in one request, and what is made of each way in which Zoho may refuse it.

use std::sync::Arc;

use patchbay_kit::{Exchange, Failure, Kind, Request, Response, Retry, StatusCode, Step};
use serde_json::{Map, Value, json};

use crate::{
    errors::{self, On, Refusal},
    path,
};

/// A request with one record is refused with 400 ("Insert Records", v8 \[V\]), or with 2xx and the error inside.
pub(crate) const REFUSED: &[StatusCode] = &[StatusCode::BAD_REQUEST];
/// Fields that an organisation may have under another name, or not let anybody write: it gets the record without them.
/// What they say stands in the description too.
const OPTIONAL: &[&str] =
    &["Voice_Recording__s", "Caller_ID", "Dialled_Number", "Outgoing_Call_Status", "Outbound_Call_Status"];

/// What became of a new record.
pub(crate) enum Made<'a> {
    New(&'a str),
    /// Another record, where Zoho names it, holds the value of a unique field.
    There {
        id: Option<&'a str>,
        field: &'a str,
    },
}

type Then<T> = Arc<dyn Fn(Made<'_>) -> Result<Step<T>, Failure> + Send + Sync>;

/// Inserts one record. That a unique value is held already is told to `then`.
///
/// No `trigger` is sent: the organisation's own automations run, as they do for a record made by hand.
pub(crate) fn insert<T: 'static>(
    label: &'static str,
    on: On,
    fields: Map<String, Value>,
    then: impl Fn(Made<'_>) -> Result<Step<T>, Failure> + Send + Sync + 'static,
) -> Exchange<T> {
    insert_with(label, on, fields, Arc::new(then))
}

fn insert_with<T: 'static>(label: &'static str, on: On, fields: Map<String, Value>, then: Then<T>) -> Exchange<T> {
    let body = json!({"data": [&fields]});
    Request::post(label, path([on.module()]))
        .json(body)
        .then(move |reply| match written(reply, on) {
            Ok(id) => then(Made::New(&id)),
            Err(Refused::Other(failure)) => Err(failure),
            Err(Refused::Record(refusal)) => {
                if let Some(mended) = mended(on, &fields, &refusal) {
                    return Ok(Step::Then(insert_with(label, on, mended, Arc::clone(&then))));
                }
                match (refusal.code.as_str(), &refusal.field) {
                    ("DUPLICATE_DATA", Some(field)) => then(Made::There { id: refusal.holder.as_deref(), field }),
                    _ => Err(refusal.failure(on)),
                }
            }
        })
        .accepting(REFUSED)
}

/// Changes fields of one record.
pub(crate) fn update<T: 'static>(
    label: &'static str,
    on: On,
    id: &str,
    fields: Map<String, Value>,
    done: impl Fn(&str) -> T + Send + Sync + 'static,
) -> Exchange<T> {
    update_with(label, on, id.to_owned(), fields, Arc::new(done))
}

fn update_with<T: 'static>(
    label: &'static str,
    on: On,
    id: String,
    fields: Map<String, Value>,
    done: Arc<dyn Fn(&str) -> T + Send + Sync>,
) -> Exchange<T> {
    let body = json!({"data": [&fields]});
    Request::put(label, path([on.module(), &id]))
        .json(body)
        .then(move |reply| match written(reply, on) {
            Ok(_) => Ok(Step::Done(done(&id))),
            Err(Refused::Other(failure)) => Err(failure),
            Err(Refused::Record(refusal)) => match mended(on, &fields, &refusal) {
                Some(mended) => Ok(Step::Then(update_with(label, on, id.clone(), mended, Arc::clone(&done)))),
                None => Err(refusal.failure(on)),
            },
        })
        .accepting(REFUSED)
}

enum Refused {
    Record(Box<Refusal>),
    Other(Failure),
}

/// The id in a write's reply: `data[0]` says by itself how it went, whatever the status ("Status Codes", v8 \[V\]).
fn written(reply: &Response, on: On) -> Result<String, Refused> {
    if let Some(refusal) = Refusal::in_reply(reply) {
        return Err(Refused::Record(Box::new(refusal)));
    }
    if !reply.status.is_success() {
        return Err(Refused::Other(errors::classify(reply, on)));
    }
    let body: Value = reply.json().map_err(Refused::Other)?;
    match body.pointer("/data/0/details/id").and_then(Value::as_str) {
        Some(id) if !id.is_empty() => Ok(id.to_owned()),
        _ => Err(Refused::Other(errors::malformed())),
    }
}

/// The record as Zoho may take it, where the refusal is one that can be answered: an optional field it does not take is
/// left out, a lead's mandatory company is filled in.
fn mended(on: On, fields: &Map<String, Value>, refusal: &Refusal) -> Option<Map<String, Value>> {
    let field = refusal.field.as_deref()?;
    let mut fields = fields.clone();
    match refusal.code.as_str() {
        "INVALID_DATA" if OPTIONAL.contains(&field) => fields.remove(field).map(|_| fields),
        // Mandatory in the standard layout, but who calls is mostly no company.
        "MANDATORY_NOT_FOUND" if on == On::Lead && field == "Company" && !fields.contains_key(field) => {
            fields.insert(field.to_owned(), fields.get("Last_Name")?.clone());
            Some(fields)
        }
        _ => None,
    }
}

/// A unique value is held by a record that is not the one wanted.
pub(crate) fn taken(field: &str) -> Failure {
    Failure::new(Kind::Conflict, Retry::Never)
        .code("DUPLICATE_DATA")
        .because(format!("`{field}` takes no value twice, and another record has it"))
}
