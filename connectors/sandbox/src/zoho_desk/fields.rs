//! Reading a JSON body the way Zoho Desk does: every field is known and of its type, and all faults are told at once.

use http::{StatusCode, header};
use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::Request;

/// A body being read. What is wrong is collected and told by [`Fields::finish`].
#[derive(Debug)]
pub(super) struct Fields {
    given: Map<String, Value>,
    errors: Vec<(String, &'static str)>,
}

/// What a field holds: `None` if it was not given, `Some(None)` for null.
pub(super) type Given<T> = Option<Option<T>>;

/// What numbers may be made of (`[S]`, pattern of `phone`): letters, digits, some signs, and everything beyond ASCII.
pub(super) fn dialable(text: &str) -> bool {
    text.chars().all(|c| !c.is_ascii() || c.is_ascii_alphanumeric() || c.is_whitespace() || "_+-.$@?,;:'/!".contains(c))
}

impl Fields {
    /// Reads the body as a JSON object in which only `known` fields may stand.
    pub(super) fn of(request: &Request, known: &[&str]) -> Result<Self, Refusal> {
        let media_type = request.header(header::CONTENT_TYPE).unwrap_or("");
        if !media_type.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/json") {
            return Err(Refusal::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        if request.body.is_empty() {
            let message = "The request has no payload.";
            return Err(Refusal::coded(StatusCode::UNPROCESSABLE_ENTITY, "EMPTY_PAYLOAD", message));
        }
        let Ok(Value::Object(given)) = serde_json::from_slice(&request.body) else {
            return Err(Refusal::unprocessable("The payload is not a valid JSON object."));
        };
        if let Some(name) = given.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(Refusal::unprocessable(format!("Extra parameter '{name}' is found in the payload.")));
        }
        if given.is_empty() {
            return Err(Refusal::unprocessable("The payload holds no field."));
        }
        Ok(Self { given, errors: Vec::new() })
    }

    pub(super) fn wrong(&mut self, field: &str, kind: &'static str) {
        self.errors.push((format!("/{field}"), kind));
    }

    /// Fails if anything was wrong so far.
    pub(super) fn finish(&mut self) -> Result<(), Refusal> {
        if self.errors.is_empty() { Ok(()) } else { Err(Refusal::fields(std::mem::take(&mut self.errors))) }
    }

    /// A text of at most so many characters.
    pub(super) fn text(&mut self, name: &str, chars_max: usize) -> Given<String> {
        self.read(name, |value| value.as_str().filter(|text| text.chars().count() <= chars_max).map(str::to_owned))
    }

    /// A text that must be there (when creating) and not be blank.
    pub(super) fn mandatory(&mut self, name: &str, creating: bool, chars_max: usize) -> Option<String> {
        match self.text(name, chars_max) {
            Some(Some(text)) if !text.trim().is_empty() => Some(text),
            Some(Some(_)) => {
                self.wrong(name, "missing");
                None
            }
            None if creating => {
                self.wrong(name, "missing");
                None
            }
            // A null, or of a wrong type: the latter was told already.
            Some(None) if self.given.get(name).is_some_and(Value::is_null) => {
                self.wrong(name, "missing");
                None
            }
            _ => None,
        }
    }

    /// A phone number.
    pub(super) fn number(&mut self, name: &str, chars_max: usize) -> Given<String> {
        self.read(name, |value| {
            let text = value.as_str().filter(|text| text.chars().count() <= chars_max && dialable(text))?;
            Some(text.to_owned())
        })
    }

    /// An id, as a number or as its digits.
    pub(super) fn id(&mut self, name: &str) -> Given<u64> {
        self.read(name, |value| value.as_u64().or_else(|| value.as_str()?.parse().ok()))
    }

    /// A boolean, also in quotes, as the public documentation writes it.
    pub(super) fn boolean(&mut self, name: &str) -> Given<bool> {
        self.read(name, |value| value.as_bool().or_else(|| value.as_str()?.parse().ok()))
    }

    /// `cf`, of which each must be known.
    pub(super) fn custom(&mut self, known: impl Fn(&str) -> bool) -> Map<String, Value> {
        let Some(given) = self.given.get("cf").cloned() else {
            return Map::new();
        };
        let Value::Object(given) = given else {
            self.wrong("cf", "invalid");
            return Map::new();
        };
        for (name, value) in &given {
            if !known(name) || value.is_object() || value.is_array() {
                self.wrong(&format!("cf/{name}"), "invalid");
            }
        }
        given
    }

    /// Fields that are kept as they are.
    pub(super) fn rest(&self, names: &[&str]) -> Map<String, Value> {
        names.iter().filter_map(|name| Some(((*name).to_owned(), self.given.get(*name)?.clone()))).collect()
    }

    fn read<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Option<T>) -> Given<T> {
        let value = self.given.get(name)?;
        if value.is_null() {
            return Some(None);
        }
        let read = read(value);
        if read.is_none() {
            self.wrong(name, "invalid");
        }
        Some(read)
    }
}
