//! Reading a JSON body the way Freshdesk does: every field is known and of its type, and all faults are told at once.

use http::header;
use serde_json::{Map, Value};

use super::refusal::{FieldError, Refusal};
use crate::Request;

/// The longest tag (Freshdesk's API page, ticket properties) `[M]`.
const TAG_CHARS_MAX: usize = 32;

/// A body being read. What is wrong is collected and told by [`Fields::finish`].
#[derive(Debug)]
pub(super) struct Fields {
    given: Map<String, Value>,
    errors: Vec<FieldError>,
}

/// What a field holds: `None` if it was not given, `Some(None)` for null.
pub(super) type Given<T> = Option<Option<T>>;

impl Fields {
    /// Reads the body as a JSON object in which only `known` fields may stand.
    pub(super) fn of(request: &Request, known: &[&str]) -> Result<Self, Refusal> {
        let media_type = request.header(header::CONTENT_TYPE).unwrap_or("");
        if !media_type.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/json") {
            return Err(Refusal::of_status(http::StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let Ok(Value::Object(given)) = serde_json::from_slice(&request.body) else {
            return Err(Refusal::invalid_json());
        };
        let errors = given
            .keys()
            .filter(|name| !known.contains(&name.as_str()))
            .map(|name| FieldError::new(name, "invalid_field", "Unexpected/invalid field in request"))
            .collect();
        Ok(Self { given, errors })
    }

    /// Whether the field was given with a value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.given.get(name).is_some_and(|value| !value.is_null())
    }

    pub(super) fn wrong(&mut self, field: &str, code: &'static str, message: impl Into<String>) {
        self.errors.push(FieldError::new(field, code, message));
    }

    /// Fails if anything was wrong so far.
    pub(super) fn finish(&mut self) -> Result<(), Refusal> {
        if self.errors.is_empty() { Ok(()) } else { Err(Refusal::fields(std::mem::take(&mut self.errors))) }
    }

    pub(super) fn string(&mut self, name: &str) -> Given<String> {
        self.read(name, "String", |value| value.as_str().map(str::to_owned))
    }

    /// A string of at most so many characters.
    pub(super) fn string_within(&mut self, name: &str, chars_max: usize) -> Given<String> {
        let given = self.string(name);
        if let Some(Some(text)) = &given
            && text.chars().count() > chars_max
        {
            let message =
                format!("Has {} characters, it can have maximum of {chars_max} characters", text.chars().count());
            self.wrong(name, "invalid_value", message);
        }
        given
    }

    /// A string that must be there (when creating) and must not be blank.
    pub(super) fn mandatory(&mut self, name: &str, creating: bool, chars_max: usize) -> Option<String> {
        match self.given.get(name) {
            None if creating => self.wrong(name, "missing_field", "It should be a/an String"),
            None => {}
            Some(Value::Null) => self.mismatch(name, &Value::Null, "String"),
            Some(Value::String(text)) if text.trim().is_empty() => {
                self.wrong(name, "invalid_value", "It should not be blank as this is a mandatory field");
            }
            Some(_) => return self.string_within(name, chars_max).flatten(),
        }
        None
    }

    pub(super) fn id(&mut self, name: &str) -> Given<u64> {
        self.read(name, "Positive Integer", |value| value.as_u64().filter(|id| *id > 0))
    }

    pub(super) fn boolean(&mut self, name: &str) -> Given<bool> {
        self.read(name, "Boolean", Value::as_bool)
    }

    /// One of these numbers; a number in quotes is of the wrong type.
    pub(super) fn one_of(&mut self, name: &str, allowed: impl Iterator<Item = u64>) -> Option<u64> {
        let number = self.read(name, "Integer", Value::as_u64)?;
        let allowed: Vec<u64> = allowed.collect();
        if let Some(number) = number.filter(|number| allowed.contains(number)) {
            return Some(number);
        }
        // An error of type was told already; null and numbers out of range are told here.
        if self.errors.last().is_none_or(|error| error.field != name) {
            let allowed: Vec<String> = allowed.iter().map(u64::to_string).collect();
            self.wrong(name, "invalid_value", format!("It should be one of these values: '{}'", allowed.join(",")));
        }
        None
    }

    pub(super) fn strings(&mut self, name: &str) -> Option<Vec<String>> {
        self.read(name, "Array", |value| {
            value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        })
        .map(Option::unwrap_or_default)
    }

    pub(super) fn tags(&mut self) -> Option<Vec<String>> {
        let tags = self.strings("tags")?;
        if tags.iter().any(|tag| tag.chars().count() > TAG_CHARS_MAX) {
            let message = format!("It should contain elements that have maximum of {TAG_CHARS_MAX} characters");
            self.wrong("tags", "invalid_value", message);
        }
        Some(tags)
    }

    /// `custom_fields`, of which each must be known.
    pub(super) fn custom(&mut self, known: impl Fn(&str) -> bool) -> Map<String, Value> {
        let Some(given) = self.given.get("custom_fields").cloned() else {
            return Map::new();
        };
        let Value::Object(given) = given else {
            self.mismatch("custom_fields", &given, "key/value pair");
            return Map::new();
        };
        for (name, value) in &given {
            if !known(name) {
                self.wrong(name, "invalid_field", "Unexpected/invalid field in request");
            } else if value.is_object() || value.is_array() {
                self.mismatch(name, value, "String");
            }
        }
        given
    }

    fn read<T>(&mut self, name: &str, wanted: &str, read: impl FnOnce(&Value) -> Option<T>) -> Given<T> {
        let value = self.given.get(name)?;
        if value.is_null() {
            return Some(None);
        }
        let read = read(value);
        if read.is_none() {
            let value = value.clone();
            self.mismatch(name, &value, wanted);
        }
        Some(read)
    }

    fn mismatch(&mut self, name: &str, value: &Value, wanted: &str) {
        let is = match value {
            Value::Null => "Null",
            Value::Bool(_) => "Boolean",
            Value::Number(number) if number.is_f64() => "Float",
            Value::Number(_) => "Integer",
            Value::String(_) => "String",
            Value::Array(_) => "Array",
            Value::Object(_) => "key/value pair",
        };
        self.wrong(name, "datatype_mismatch", format!("Value set is of type {is}.It should be a/an {wanted}"));
    }
}
