//! Reading the bodies of requests as strictly as the documentation describes them.

use http::header;
use jiff::{Timestamp, civil, tz::Offset};
use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::Request;

/// The body as JSON: "make sure that content type is set to application/json".
pub(super) fn json(request: &Request) -> Result<Value, Refusal> {
    let kind = request.header(header::CONTENT_TYPE).unwrap_or_default();
    if !kind.starts_with("application/json") {
        return Err(Refusal::Body("Content type must be application/json".to_owned()));
    }
    serde_json::from_slice(&request.body).map_err(|_| Refusal::Body("The body is not JSON".to_owned()))
}

/// A body that is one object with no other keys than these: better a refusal in a test than a silent yes.
pub(super) fn object(request: &Request, known: &[&str]) -> Result<Map<String, Value>, Refusal> {
    match json(request)? {
        Value::Object(object) => match object.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(object),
            Some(key) => Err(Refusal::Body(format!("{key} is not part of this API"))),
        },
        _ => Err(Refusal::Body("The body is not an object".to_owned())),
    }
}

/// A text that may be missing, null or empty, which are the same.
pub(super) fn text(object: &Map<String, Value>, key: &str) -> Result<Option<String>, Refusal> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(_) => Err(Refusal::invalid(key)),
    }
}

pub(super) fn required(object: &Map<String, Value>, key: &str, purpose: &str) -> Result<String, Refusal> {
    text(object, key)?.ok_or_else(|| Refusal::missing(key, purpose))
}

/// A number, or digits in a string: both stand in the documentation.
pub(super) fn number(object: &Map<String, Value>, key: &str) -> Result<Option<u32>, Refusal> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| Refusal::invalid(key)),
        Some(value) => match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(Refusal::invalid(key)),
        },
    }
}

/// A time `YYYY-MM-DD HH:MM:SS` of a zone.
pub(super) fn time(text: &str, zone: Offset, key: &str) -> Result<Timestamp, Refusal> {
    civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text)
        .and_then(|at| zone.to_timestamp(at))
        .map_err(|_| Refusal::invalid(key))
}
