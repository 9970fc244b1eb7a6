//! Query and body as one set of fields, whatever the encoding: nested ones are paths, names lose their case.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use serde_json::Value;
use url::form_urlencoded;

/// Values are cut here; a longer recording URL is refused, not cut.
const MAX_VALUE: usize = 2_000;
const MAX_NAME: usize = 100;
/// Fields beyond these are dropped: Exotel sends some thirty, plus a dozen per leg.
const MAX_FIELDS: usize = 2_000;
const MAX_DEPTH: usize = 6;
/// Of what nobody asked for, so much is kept with the event; the receipt has all of it.
const MAX_REST: usize = 64;
const MAX_REST_VALUE: usize = 500;

/// Wrappers around the fields: call details (exotel-api §2.2), the JSON that Dial Whom was seen to post (§4.6), and the
/// newer API's callbacks (§2.3).
const WRAPPERS: [&str; 3] = ["call", "calldetails", "response"];
/// Fields that arrive either unfolded or as JSON inside one string (exotel-api §0 quirk 5).
const NESTED: [&str; 3] = ["legs", "stream", "insights"];

#[derive(Debug)]
struct Field {
    /// Canonical names: `["legs", "0", "causecode"]`.
    path: Vec<String>,
    /// As it was written: `Legs[0][CauseCode]`.
    name: String,
    value: String,
    taken: bool,
}

/// All that a request says.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<Field>);

impl Fields {
    /// Reads query and body. A body that cannot be read is named in the second part; what could be read stays.
    pub(super) fn read(query: &str, content_type: Option<&str>, body: &[u8]) -> (Self, Option<&'static str>) {
        let mut fields = Self::default();
        fields.add_form(query.as_bytes());
        let unreadable = fields.add_body(content_type.unwrap_or_default(), body).err();
        (fields, unreadable)
    }

    /// The first value of a field that says something, trimmed. Quotes, spaces and the words for nothing are no value
    /// (exotel-api §0 quirks 4 and 6).
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.take_at(&[name])
    }

    pub(super) fn take_at(&mut self, path: &[&str]) -> Option<String> {
        let path: Vec<String> = path.iter().map(|name| canonical(name)).collect();
        let mut found = None;
        for field in &mut self.0 {
            if field.path == path {
                field.taken = true;
                if found.is_none() {
                    found = said(&field.value).map(str::to_owned);
                }
            }
        }
        found
    }

    /// As [`Fields::take`], with the spaces left on: before a number they stand for a `+`.
    pub(super) fn take_raw(&mut self, name: &str) -> Option<String> {
        let path = [canonical(name)];
        let mut found = None;
        for field in &mut self.0 {
            if field.path == path {
                field.taken = true;
                if found.is_none() && said(&field.value).is_some() {
                    found = Some(field.value.clone());
                }
            }
        }
        found
    }

    pub(super) fn peek(&self, name: &str) -> Option<&str> {
        let path = [canonical(name)];
        self.0.iter().filter(|field| field.path == path).find_map(|field| said(&field.value))
    }

    /// All fields below `name`, as paths without it.
    pub(super) fn take_below(&mut self, name: &str) -> Vec<(Vec<String>, String)> {
        let name = canonical(name);
        let mut below = Vec::new();
        for field in &mut self.0 {
            if field.path.len() > 1 && field.path[0] == name {
                field.taken = true;
                if let Some(value) = said(&field.value) {
                    below.push((field.path[1..].to_vec(), value.to_owned()));
                }
            }
        }
        below
    }

    /// Whether there is any field below `name`.
    pub(super) fn has_below(&self, name: &str) -> bool {
        let name = canonical(name);
        self.0.iter().any(|field| field.path.len() > 1 && field.path[0] == name)
    }

    /// Fields whose name starts with `prefix` and goes on with a number: `ivr_tag_1`, in order of the numbers.
    pub(super) fn take_numbered(&mut self, prefix: &str) -> Vec<String> {
        let prefix = canonical(prefix);
        let mut numbered = BTreeMap::new();
        for field in &mut self.0 {
            let [name] = field.path.as_slice() else { continue };
            let Some(number) = name.strip_prefix(&prefix).and_then(|rest| rest.parse::<u32>().ok()) else { continue };
            field.taken = true;
            if let Some(value) = said(&field.value) {
                numbered.entry(number).or_insert_with(|| value.to_owned());
            }
        }
        numbered.into_values().collect()
    }

    /// What nobody took, under the names it came with.
    pub(super) fn rest(self) -> BTreeMap<String, String> {
        let mut rest = BTreeMap::new();
        for field in self.0 {
            if !field.taken && rest.len() < MAX_REST {
                rest.entry(field.name).or_insert_with(|| cut(&field.value, MAX_REST_VALUE));
            }
        }
        rest
    }

    fn add_form(&mut self, form: &[u8]) {
        for (name, value) in form_urlencoded::parse(form) {
            self.add(&name, &value);
        }
    }

    /// Adds a field of a form: unfolds its brackets, or the JSON in its value.
    fn add(&mut self, name: &str, value: &str) {
        let name = cut(name.trim(), MAX_NAME);
        let path: Vec<String> = name
            .split('[')
            .map(|part| canonical(part.trim_end_matches(']')))
            .enumerate()
            .filter(|(at, part)| *at == 0 || !part.is_empty())
            .map(|(_, part)| part)
            .take(MAX_DEPTH)
            .collect();
        if path.len() == 1
            && NESTED.contains(&path[0].as_str())
            && value.trim_start().starts_with(['[', '{'])
            && let Ok(json) = serde_json::from_str::<Value>(value.trim())
        {
            return self.add_json(&path, &name, &json);
        }
        self.push(path, name, value);
    }

    fn add_json(&mut self, path: &[String], name: &str, json: &Value) {
        let nested = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}[{part}]") };
        let below = |part: &str| path.iter().cloned().chain([canonical(part)]).collect::<Vec<_>>();
        match json {
            _ if path.len() > MAX_DEPTH || self.0.len() >= MAX_FIELDS => {}
            Value::Object(members) => {
                for (key, value) in members {
                    self.add_json(&below(key), &nested(&cut(key, MAX_NAME)), value);
                }
            }
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    let at = at.to_string();
                    self.add_json(&below(&at), &nested(&at), item);
                }
            }
            Value::Null => {}
            Value::Bool(value) => self.push(path.to_vec(), name.to_owned(), &value.to_string()),
            Value::Number(value) => self.push(path.to_vec(), name.to_owned(), &value.to_string()),
            // A nested field can be JSON in a string here too.
            Value::String(value) if path.len() == 1 => self.add(name, value),
            Value::String(value) => self.push(path.to_vec(), name.to_owned(), value),
        }
    }

    fn push(&mut self, mut path: Vec<String>, name: String, value: &str) {
        while path.len() > 1 && WRAPPERS.contains(&path[0].as_str()) {
            path.remove(0);
        }
        if self.0.len() < MAX_FIELDS && !path.is_empty() {
            self.0.push(Field { path, name, value: cut(value, MAX_VALUE), taken: false });
        }
    }

    fn add_body(&mut self, content_type: &str, body: &[u8]) -> Result<(), &'static str> {
        let text = body.trim_ascii();
        if text.is_empty() {
            return Ok(());
        }
        let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let looks_like_json = text.starts_with(b"{") || text.starts_with(b"[") || text.starts_with(b"\xef\xbb\xbf");
        if kind == "multipart/form-data" || (kind.is_empty() && text.starts_with(b"--")) {
            return self.add_multipart(content_type, body).ok_or("multipart/form-data");
        }
        if kind == "application/json" || kind.ends_with("+json") || looks_like_json {
            return self.add_json_body(text).ok_or("JSON");
        }
        self.add_form(text);
        Ok(())
    }

    fn add_json_body(&mut self, text: &[u8]) -> Option<()> {
        let text = String::from_utf8_lossy(text);
        let json = serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')).ok()?;
        // An array would be a batch, which Exotel never sends; its only member is taken for the object itself.
        let json = match json {
            Value::Array(mut items) if items.len() == 1 => items.remove(0),
            json => json,
        };
        json.is_object().then(|| self.add_json(&[], "", &json))
    }

    /// All parts are in memory: nothing here ever waits, so that the reader stays a plain function.
    fn add_multipart(&mut self, content_type: &str, body: &[u8]) -> Option<()> {
        let boundary = multer::parse_boundary(content_type).ok().or_else(|| guessed_boundary(body))?;
        let whole = stream::iter([Ok::<_, std::io::Error>(Bytes::copy_from_slice(body))]);
        let mut parts = multer::Multipart::new(whole, boundary);
        while let Some(part) = parts.next_field().now_or_never()?.ok()? {
            let name = part.name().map(str::to_owned);
            let value = part.bytes().now_or_never()?.ok()?;
            if let Some(name) = name {
                self.add(&name, &String::from_utf8_lossy(&value));
            }
        }
        Some(())
    }
}

fn guessed_boundary(body: &[u8]) -> Option<String> {
    let line = body.trim_ascii_start().split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    let boundary = std::str::from_utf8(line.strip_prefix(b"--")?).ok()?.trim_end();
    (!boundary.is_empty() && boundary.len() <= 70).then(|| boundary.to_owned())
}

/// Names are compared without case and punctuation: `CallSid`, `call_sid` and `Current Time` of the manual are one.
fn canonical(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).take(MAX_NAME).flat_map(char::to_lowercase).collect()
}

/// The value, if it says anything.
fn said(value: &str) -> Option<&str> {
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value).trim();
    let nothing = ["null", "undefined"].iter().any(|word| value.eq_ignore_ascii_case(word));
    (!value.is_empty() && value != "\"" && !nothing).then_some(value)
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}
