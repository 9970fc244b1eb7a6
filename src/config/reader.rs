//! A reader over TOML tables that goes on after a mistake, so that all of them are told at once.

use std::{collections::BTreeSet, fmt, time::Duration};

use secrecy::SecretString;
use toml::{Table, Value};
use url::Url;

/// One thing that is wrong: where, what, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub key: String,
    pub message: String,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    pub file: String,
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        writeln!(f, "{}: {count} mistake{}", self.file, if count == 1 { "" } else { "s" })?;
        for Problem { key, message } in &self.problems {
            if key.is_empty() {
                writeln!(f, "  {message}")?;
            } else {
                writeln!(f, "  {key}: {message}")?;
            }
        }
        Ok(())
    }
}

/// A table being read. Every key must be asked for before [`Reader::finish`]; those left over are unknown.
pub(super) struct Reader<'t, 'p> {
    table: &'t Table,
    at: String,
    asked: BTreeSet<String>,
    problems: &'p mut Vec<Problem>,
}

impl<'t, 'p> Reader<'t, 'p> {
    pub(super) fn new(table: &'t Table, at: impl Into<String>, problems: &'p mut Vec<Problem>) -> Self {
        Self { table, at: at.into(), asked: BTreeSet::new(), problems }
    }

    pub(super) fn key(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }

    pub(super) fn wrong(&mut self, key: &str, message: impl Into<String>) {
        let key = self.key(key);
        self.problems.push(Problem { key, message: message.into() });
    }

    pub(super) fn value(&mut self, key: &str) -> Option<&'t Value> {
        self.asked.insert(key.to_owned());
        self.table.get(key)
    }

    fn expected(&mut self, key: &str, what: &str, got: &Value) {
        self.wrong(key, format!("must be {what}, is {}", kind(got)));
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::String(text) => Some(text.clone()),
            // An id typed without quotes is meant as text.
            Value::Integer(number) => Some(number.to_string()),
            other => {
                self.expected(key, "a string", other);
                None
            }
        }
    }

    /// A text that must not be empty.
    pub(super) fn required(&mut self, key: &str, help: &str) -> Option<String> {
        match self.text(key) {
            Some(text) if !text.trim().is_empty() => Some(text),
            Some(_) => {
                self.wrong(key, format!("is empty; {help}"));
                None
            }
            None => {
                if self.table.get(key).is_none() {
                    self.wrong(key, format!("is missing; {help}"));
                }
                None
            }
        }
    }

    pub(super) fn secret(&mut self, key: &str) -> Option<SecretString> {
        self.text(key).filter(|text| !text.is_empty()).map(SecretString::from)
    }

    pub(super) fn bool(&mut self, key: &str, default: bool) -> bool {
        match self.value(key) {
            None => default,
            Some(Value::Boolean(flag)) => *flag,
            // From the environment everything is text.
            Some(Value::String(text)) if text == "true" || text == "false" => text == "true",
            Some(other) => {
                self.expected(key, "true or false", other);
                default
            }
        }
    }

    /// A whole number within bounds.
    pub(super) fn number(&mut self, key: &str, bounds: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let number = match self.value(key)? {
            Value::Integer(number) => *number,
            Value::String(text) if text.parse::<i64>().is_ok() => text.parse().unwrap_or_default(),
            other => {
                self.expected(key, "a whole number", other);
                return None;
            }
        };
        if bounds.contains(&number) {
            Some(number)
        } else {
            self.wrong(key, format!("must be between {} and {}, is {number}", bounds.start(), bounds.end()));
            None
        }
    }

    pub(super) fn fraction(&mut self, key: &str) -> Option<f64> {
        let number = match self.value(key)? {
            Value::Float(number) => *number,
            Value::Integer(number) => f64::from(i32::try_from(*number).unwrap_or(i32::MAX)),
            Value::String(text) if text.parse::<f64>().is_ok() => text.parse().unwrap_or_default(),
            other => {
                self.expected(key, "a number such as 0.8", other);
                return None;
            }
        };
        if number > 0.0 && number <= 1.0 {
            Some(number)
        } else {
            self.wrong(key, format!("must be above 0 and at most 1, is {number}"));
            None
        }
    }

    pub(super) fn duration(&mut self, key: &str) -> Option<Duration> {
        let text = match self.value(key)? {
            Value::String(text) => text.clone(),
            other => {
                self.expected(key, "a duration such as \"30s\"", other);
                return None;
            }
        };
        let parsed = parse_duration(&text);
        if parsed.is_none() {
            self.wrong(key, format!("{text:?} is not a duration; write 250ms, 30s, 5m, 2h or 7d"));
        }
        parsed
    }

    pub(super) fn durations(&mut self, key: &str) -> Option<Vec<Duration>> {
        let items = self.texts(key)?;
        if items.is_empty() {
            self.wrong(key, "is empty; give at least one duration such as \"30s\"");
            return None;
        }
        let mut durations = Vec::new();
        for (at, text) in items.iter().enumerate() {
            match parse_duration(text) {
                Some(duration) => durations.push(duration),
                None => self.wrong(
                    &format!("{key}[{at}]"),
                    format!("{text:?} is not a duration; write 250ms, 30s, 5m, 2h or 7d"),
                ),
            }
        }
        Some(durations)
    }

    pub(super) fn texts(&mut self, key: &str) -> Option<Vec<String>> {
        match self.value(key)? {
            Value::Array(items) => {
                let mut texts = Vec::new();
                for (at, item) in items.iter().enumerate() {
                    match item {
                        Value::String(text) => texts.push(text.clone()),
                        other => self.expected(&format!("{key}[{at}]"), "a string", other),
                    }
                }
                Some(texts)
            }
            // From the environment: comma-separated.
            Value::String(text) => {
                Some(text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect())
            }
            other => {
                self.expected(key, "a list of strings", other);
                None
            }
        }
    }

    pub(super) fn table(&mut self, key: &str) -> Option<&'t Table> {
        match self.value(key)? {
            Value::Table(table) => Some(table),
            other => {
                self.expected(key, "a table", other);
                None
            }
        }
    }

    /// `[[key]]`: the tables, each with the name to use in messages.
    pub(super) fn tables(&mut self, key: &str) -> Vec<(String, &'t Table)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Value::Array(items) = value else {
            self.expected(key, &format!("a list of tables, written [[{}]]", self.key(key)), value);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (at, item) in items.iter().enumerate() {
            match item {
                Value::Table(table) => tables.push((format!("{}[{at}]", self.key(key)), table)),
                other => self.expected(&format!("{key}[{at}]"), "a table", other),
            }
        }
        tables
    }

    /// Tells of the keys nobody asked for.
    pub(super) fn finish(self) {
        for key in self.table.keys().filter(|key| !self.asked.contains(*key)) {
            let nearest = self.asked.iter().map(|known| (distance(key, known), known)).min();
            let hint = match nearest {
                Some((distance, known)) if distance <= 2 => format!("; did you mean {known:?}?"),
                _ => format!("; there are: {}", self.asked.iter().cloned().collect::<Vec<_>>().join(", ")),
            };
            let at = if self.at.is_empty() { key.clone() } else { format!("{}.{key}", self.at) };
            self.problems.push(Problem { key: at, message: format!("there is no such key{hint}") });
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// Reads `250ms`, `30s`, `5m`, `2h`, `7d`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..split].parse().ok()?;
    let ms = match text[split..].trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    // A century is more than anybody means, and keeps sums of times far from their limits.
    number.checked_mul(ms).filter(|ms| *ms <= 100 * 366 * 86_400_000).map(Duration::from_millis)
}

/// Edit distance, for "did you mean".
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut previous = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = previous + usize::from(x != *y);
            previous = row[j + 1];
            row[j + 1] = substituted.min(previous + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

pub(super) fn url(r: &mut Reader<'_, '_>, key: &str, schemes: &[&str]) -> Option<Url> {
    let text = r.text(key)?;
    let parsed = Url::parse(&text).ok().filter(|url| {
        schemes.contains(&url.scheme())
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if parsed.is_none() {
        // The text is not repeated: a credential may have been typed into it.
        r.wrong(key, "is not an address; write \"https://host\", without user, password or query");
    }
    parsed
}

pub(super) fn strip_slash(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}
