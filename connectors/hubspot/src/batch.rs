//! The batch endpoints, each asked for one record: they alone upsert, and read by a unique value in the body.

use patchbay_kit::{About, Exchange, Failure, Kind, Request, Response, Retry, Safety, StatusCode, Step};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::errors::{self, On, Said};

/// What is not there may be a 404 as a whole; documented is a 207 \[V\].
pub(crate) const NOT_THERE: &[StatusCode] = &[StatusCode::NOT_FOUND];
/// What an association with something that is not there answers; both are understood \[M\].
const NOT_ASSOCIABLE: &[StatusCode] = &[StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND];

/// The property values of one record: all of them are texts.
pub(crate) type Values = Map<String, Value>;

#[derive(Deserialize)]
pub(crate) struct Id {
    pub(crate) id: String,
}

/// "Error handling, Multi-status errors" \[V\]
#[derive(Deserialize)]
struct Batch<T> {
    results: Vec<T>,
    #[serde(default)]
    errors: Vec<Value>,
}

pub(crate) fn path<const N: usize>(rest: [&str; N]) -> Vec<String> {
    ["crm", "v3", "objects"].into_iter().chain(rest).map(str::to_owned).collect()
}

/// "Calls: Upsert" and its like for every object \[V\]: `id` is the value of the unique property.
pub(crate) fn upsert(label: &'static str, objects: &str, property: &str, key: &str, values: &Values) -> Request {
    let input = json!({"idProperty": property, "id": key, "properties": values});
    Request::post(label, path([objects, "batch", "upsert"])).safety(Safety::Idempotent).json(json!({"inputs": [input]}))
}

/// "Retrieve records: batch" \[V\]; reads what is there now, unlike search.
pub(crate) fn read(
    label: &'static str,
    objects: &str,
    property: Option<&str>,
    ids: &[String],
    properties: &[&str],
) -> Request {
    let inputs: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
    let mut body = json!({"inputs": inputs, "properties": properties, "propertiesWithHistory": []});
    if let Some(property) = property {
        body["idProperty"] = json!(property);
    }
    Request::post(label, path([objects, "batch", "read"])).safety(Safety::Read).json(body)
}

/// The record an upsert wrote, or the item of `errors` that says why there is none.
pub(crate) fn written(reply: &Response) -> Result<Result<Id, Value>, Failure> {
    let mut batch: Batch<Id> = reply.json()?;
    if !batch.results.is_empty() {
        return Ok(Ok(batch.results.swap_remove(0)));
    }
    match batch.errors.into_iter().next() {
        Some(error) => Ok(Err(error)),
        None => Err(Failure::new(Kind::Malformed, Retry::Backoff).because("the batch has neither result nor error")),
    }
}

/// The records that were read; those that are not there are left out.
pub(crate) fn found<T: DeserializeOwned>(reply: &Response, on: On, app: bool) -> Result<Vec<T>, Failure> {
    if reply.status == StatusCode::NOT_FOUND {
        return Ok(Vec::new());
    }
    let batch: Batch<T> = reply.json()?;
    let passing =
        batch.errors.iter().find(|error| Said::of_body(error).category.as_deref() != Some("OBJECT_NOT_FOUND"));
    match passing {
        Some(error) => Err(errors::classify_item(error, on, app)),
        None => Ok(batch.results),
    }
}

/// "Associations v4: Set a default association" \[V\]: the same however often it is sent.
pub(crate) fn associate<T: Clone + Send + Sync + 'static>(
    label: &'static str,
    (from, id): (&str, &str),
    (to, other): (&str, &str),
    app: bool,
    then: T,
) -> Exchange<T> {
    let contact = to == "contacts";
    let told = move |failure: Failure| {
        if contact && matches!(failure.kind, Kind::Invalid | Kind::NotFound) {
            return failure.about(About::Contact);
        }
        failure
    };
    let path = ["crm", "v4", "objects", from, id, "associations", "default", to, other];
    Request::put(label, path)
        .done(move |reply| {
            if NOT_ASSOCIABLE.contains(&reply.status) {
                return Err(told(errors::classify(reply, On::Call, app)));
            }
            let batch: Batch<Value> = reply.json()?;
            match batch.errors.first() {
                Some(error) => Err(told(errors::classify_item(error, On::Call, app))),
                None => Ok(then.clone()),
            }
        })
        .accepting(NOT_ASSOCIABLE)
}

/// One exchange after the other; the second yields what comes of both.
pub(crate) fn then<T: Clone + Send + Sync + 'static>(first: Exchange<T>, second: Exchange<T>) -> Exchange<T> {
    let (request, accepts) = (first.request.clone(), first.accepts);
    request
        .then(move |reply| {
            Ok(Step::Then(match first.parse(reply)? {
                Step::Done(_) => second.clone(),
                Step::Then(next) => then(next, second.clone()),
            }))
        })
        .accepting(accepts)
}
