//! The parameters of a request that does something: form, multipart or JSON, read alike, and each asked for by name.

use std::collections::BTreeMap;

use http::header;
use serde_json::Value;

use super::course::Listener;
use crate::Request;

/// Parameters of a body. What is not asked for by name is left, and can be told of.
#[derive(Debug)]
pub(super) struct Params(BTreeMap<String, String>);

/// Why a parameter is refused, in Exotel's words.
pub(super) type Wrong = String;

impl Params {
    /// None where the body is none of the three.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let kind = request.header(header::CONTENT_TYPE).unwrap_or_default();
        if kind.starts_with("application/json") {
            let value: Value = serde_json::from_slice(&request.body).ok()?;
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            return Some(Self(value.as_object()?.iter().map(|(key, value)| (key.clone(), text(value))).collect()));
        }
        let pairs = if kind.starts_with("multipart/") { request.multipart()? } else { request.form() };
        Some(Self(pairs.into_iter().collect()))
    }

    /// The value, if there is one; an empty one is none.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    /// A number up to `most`.
    pub(super) fn number(&mut self, name: &str, most: u64) -> Result<Option<u64>, Wrong> {
        match self.take(name) {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) if number <= most => Ok(Some(number)),
                _ => Err(format!("Invalid Call Parameters: '{name}' must be a number up to {most}")),
            },
        }
    }

    /// One of these words.
    pub(super) fn word(&mut self, name: &str, words: &[&str]) -> Result<Option<String>, Wrong> {
        match self.take(name) {
            Some(word) if !words.contains(&word.as_str()) => {
                Err(format!("Invalid Call Parameters: '{name}' must be one of {}", words.join(", ")))
            }
            word => Ok(word),
        }
    }

    /// `name[0]`, `name[1]`, …, and `name[]`.
    pub(super) fn list(&mut self, name: &str) -> Vec<String> {
        let mut found: Vec<String> = (0..).map_while(|index| self.0.remove(&format!("{name}[{index}]"))).collect();
        found.extend(self.0.remove(&format!("{name}[]")));
        found
    }

    /// Where callbacks are wanted, and of what (§2.1, §5.2).
    pub(super) fn listener(&mut self, events: &[&str]) -> Result<Option<Listener>, Wrong> {
        let kinds = ["multipart/form-data", "application/json"];
        let json = self.word("StatusCallbackContentType", &kinds)?.is_some_and(|kind| kind == kinds[1]);
        let wanted = self.list("StatusCallbackEvents");
        if let Some(unknown) = wanted.iter().find(|event| !events.contains(&event.as_str())) {
            return Err(format!("Invalid Call Parameters: 'StatusCallbackEvents' cannot be {unknown}"));
        }
        let answered = (!wanted.is_empty()).then(|| wanted.iter().any(|event| event == "answered"));
        let Some(url) = self.take("StatusCallback") else { return Ok(None) };
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err("Invalid Call Parameters: 'StatusCallback' is not a URL".to_owned());
        }
        Ok(Some(Listener { url, json, answered }))
    }

    /// The names that nobody asked for.
    pub(super) fn rest(self) -> Vec<String> {
        self.0.into_keys().collect()
    }
}

/// Whether v1 takes it for a number: E.164, or national with or without its zero (§1.7).
pub(super) fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (10..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// As v1 gives numbers back, whatever they were given as: `09052161119` (§1.7).
pub(super) fn zeroed(text: &str) -> String {
    if text.starts_with("sip:") {
        return text.to_owned();
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    match digits.len() {
        10 => format!("0{digits}"),
        12 if digits.starts_with("91") => format!("0{}", &digits[2..]),
        _ if text.starts_with('+') => text.to_owned(),
        _ => digits,
    }
}
