//! COQL, Zoho's query language: it reads the database itself, so it is never behind ("Query API", v8).
//!
//! Played are one module, comparisons joined by `and` and `or` in pairs, one column to order by, `limit` and `offset`. A
//! quote inside a text is doubled (Kaizen 171); functions, joins and groups are refused.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    ZohoCrm,
    records::Record,
    refusal::{Answer, Refusal},
    schema::Kind,
};
use crate::{Reply, Request};

const COLUMNS_MAX: usize = 50;
const CRITERIA_MAX: usize = 25;
const VALUES_MAX: usize = 50;
const LIMIT: usize = 200;
const LIMIT_MAX: usize = 2000;
/// Columns that no record holds as they are shown.
const COMPUTED: &[&str] = &["id", "Created_Time", "Modified_Time", "Full_Name", "Call_Duration_in_seconds"];

/// A query that was understood.
#[derive(Debug)]
struct Query {
    columns: Vec<String>,
    module: String,
    criteria: Criteria,
    /// A column, and whether it goes down.
    order: Option<(String, bool)>,
    limit: usize,
    offset: usize,
}

#[derive(Debug)]
enum Criteria {
    Both(Box<Criteria>, Box<Criteria>),
    Either(Box<Criteria>, Box<Criteria>),
    One { column: String, test: Test },
}

#[derive(Debug)]
enum Test {
    Among(Vec<String>),
    NotAmong(Vec<String>),
    Like(String),
    AtLeast(String),
    AtMost(String),
    Null(bool),
}

fn syntax(near: &str) -> Refusal {
    let details = json!({"near": near});
    Refusal { details, ..Refusal::bad("SYNTAX_ERROR", "error occurred while parsing the query") }
}

fn invalid(column: &str, reason: &str) -> Refusal {
    let details = json!({"column_name": column, "reason": reason});
    Refusal { details, ..Refusal::bad("INVALID_QUERY", "invalid query formed") }
}

impl ZohoCrm {
    pub(super) fn coql(&self, request: &Request) -> Answer {
        let body: Map<String, Value> = serde_json::from_slice(&request.body)
            .map_err(|_| Refusal::bad("INVALID_DATA", "body is not in proper format"))?;
        let text = body.get("select_query").and_then(Value::as_str).ok_or_else(|| Refusal::missing("select_query"))?;
        let query = parse(text)?;
        let module = self.modules.get(query.module.as_str()).ok_or_else(|| Refusal::module(&query.module))?;
        self.allowed(&query.module)?;
        for column in query.columns.iter().chain(query.order.as_ref().map(|(column, _)| column)) {
            if !module.fields.iter().any(|field| field.name == *column) {
                return Err(invalid(column, "column given seems to be invalid"));
            }
        }
        for column in query.criteria.columns() {
            match module.fields.iter().find(|field| field.name == column) {
                None => return Err(invalid(column, "column given seems to be invalid")),
                Some(field) if matches!(field.kind, Kind::Area(_)) => {
                    return Err(invalid(column, "multi-line fields cannot stand in criteria"));
                }
                Some(_) => {}
            }
        }
        // Only what matches is shown whole: a benchmark's organisation holds too many for more.
        let held = |record: &Record, column: &str| match record.values.get(column) {
            Some(value) => value.clone(),
            None if COMPUTED.contains(&column) => record.shown(module)[column].clone(),
            None => Value::Null,
        };
        let mut found: Vec<Value> = module
            .living()
            .filter(|record| query.criteria.holds(&|column| held(record, column)))
            .map(|record| record.shown(module))
            .collect();
        if let Some((column, down)) = &query.order {
            found.sort_by_key(|shown| shown[column.as_str()].to_string());
            if *down {
                found.reverse();
            }
        }
        let found: Vec<Value> = found.into_iter().skip(query.offset).take(query.limit + 1).collect();
        if found.is_empty() {
            return Ok(Reply::empty(StatusCode::NO_CONTENT));
        }
        let more = found.len() > query.limit;
        let data: Vec<Value> = found.into_iter().take(query.limit).map(|shown| query.pick(&shown)).collect();
        Ok(Reply::json(StatusCode::OK, &json!({"info": {"count": data.len(), "more_records": more}, "data": data})))
    }
}

impl Query {
    /// The columns asked for, and the id, which always comes.
    fn pick(&self, shown: &Value) -> Value {
        let mut picked = Map::from_iter([("id".to_owned(), shown["id"].clone())]);
        picked.extend(self.columns.iter().map(|column| (column.clone(), shown[column.as_str()].clone())));
        Value::Object(picked)
    }
}

impl Criteria {
    fn columns(&self) -> Vec<&str> {
        match self {
            Self::Both(one, other) | Self::Either(one, other) => {
                one.columns().into_iter().chain(other.columns()).collect()
            }
            Self::One { column, .. } => vec![column],
        }
    }

    fn holds(&self, held: &dyn Fn(&str) -> Value) -> bool {
        match self {
            Self::Both(one, other) => one.holds(held) && other.holds(held),
            Self::Either(one, other) => one.holds(held) || other.holds(held),
            Self::One { column, test } => {
                let held = held(column);
                let held = held.get("id").unwrap_or(&held);
                let text = match held {
                    Value::Null => None,
                    Value::String(text) => Some(text.clone()),
                    other => Some(other.to_string()),
                };
                match (test, text) {
                    (Test::Null(wanted), text) => text.is_none() == *wanted,
                    (Test::Among(values), Some(text)) => values.iter().any(|value| value.eq_ignore_ascii_case(&text)),
                    (Test::NotAmong(values), Some(text)) => {
                        !values.iter().any(|value| value.eq_ignore_ascii_case(&text))
                    }
                    (Test::Like(pattern), Some(text)) => like(pattern, &text),
                    (Test::AtLeast(value), Some(text)) => text >= *value,
                    (Test::AtMost(value), Some(text)) => text <= *value,
                    (_, None) => false,
                }
            }
        }
    }
}

/// `%` at either end.
fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let inner = pattern.trim_matches('%');
    match (pattern.starts_with('%'), pattern.ends_with('%')) {
        (true, true) => text.contains(inner),
        (true, false) => text.ends_with(inner),
        (false, true) => text.starts_with(inner),
        (false, false) => text == inner,
    }
}

fn parse(text: &str) -> Result<Query, Refusal> {
    let mut reader = Reader { rest: text, criteria: 0 };
    reader.needs("select")?;
    let mut columns = vec![reader.name()?];
    while reader.mark(',') {
        columns.push(reader.name()?);
    }
    if columns.len() > COLUMNS_MAX {
        return Err(syntax("too many columns"));
    }
    reader.needs("from")?;
    let module = reader.name()?;
    reader.needs("where")?;
    let criteria = reader.any(0)?;
    if reader.criteria > CRITERIA_MAX {
        return Err(Refusal::bad("LIMIT_EXCEEDED", "criteria limit exceeded"));
    }
    let mut order = None;
    if reader.word("order") {
        reader.needs("by")?;
        let column = reader.name()?;
        let down = reader.word("desc");
        if !down {
            reader.word("asc");
        }
        order = Some((column, down));
    }
    let mut limit = LIMIT;
    let mut offset = 0;
    if reader.word("limit") {
        limit = reader.number()?;
        if reader.mark(',') {
            (offset, limit) = (limit, reader.number()?);
        }
    }
    if reader.word("offset") {
        offset = reader.number()?;
    }
    if limit == 0 || limit > LIMIT_MAX {
        return Err(Refusal::bad("LIMIT_EXCEEDED", "limit cannot be greater than 2000"));
    }
    if !reader.rest.trim().is_empty() {
        return Err(syntax(reader.near()));
    }
    Ok(Query { columns, module, criteria, order, limit, offset })
}

/// Recursive descent.
struct Reader<'a> {
    rest: &'a str,
    criteria: usize,
}

impl<'a> Reader<'a> {
    fn near(&self) -> &'a str {
        let end = self.rest.char_indices().nth(20).map_or(self.rest.len(), |(at, _)| at);
        &self.rest[..end]
    }

    /// One criterion, or two joined; more have to be grouped in pairs (Kaizen 171).
    fn any(&mut self, depth: usize) -> Result<Criteria, Refusal> {
        let one = self.one(depth)?;
        let both = if self.word("and") {
            true
        } else if self.word("or") {
            false
        } else {
            return Ok(one);
        };
        let other = self.one(depth)?;
        let (one, other) = (Box::new(one), Box::new(other));
        Ok(if both { Criteria::Both(one, other) } else { Criteria::Either(one, other) })
    }

    fn one(&mut self, depth: usize) -> Result<Criteria, Refusal> {
        if self.mark('(') {
            if depth > CRITERIA_MAX {
                return Err(syntax(self.near()));
            }
            let inner = self.any(depth + 1)?;
            return if self.mark(')') { Ok(inner) } else { Err(syntax(self.near())) };
        }
        self.criteria += 1;
        let column = self.name()?;
        let test = if self.word("is") {
            let not = self.word("not");
            self.needs("null")?;
            Test::Null(!not)
        } else if self.word("not") {
            self.needs("in")?;
            Test::NotAmong(self.values()?)
        } else if self.word("in") {
            Test::Among(self.values()?)
        } else if self.word("like") {
            Test::Like(self.value()?)
        } else if self.take(">=") {
            Test::AtLeast(self.value()?)
        } else if self.take("<=") {
            Test::AtMost(self.value()?)
        } else if self.take("!=") {
            Test::NotAmong(vec![self.value()?])
        } else if self.mark('=') {
            Test::Among(vec![self.value()?])
        } else {
            return Err(syntax(self.near()));
        };
        Ok(Criteria::One { column, test })
    }

    fn values(&mut self) -> Result<Vec<String>, Refusal> {
        if !self.mark('(') {
            return Err(syntax(self.near()));
        }
        let mut values = vec![self.value()?];
        while self.mark(',') {
            values.push(self.value()?);
        }
        if values.len() > VALUES_MAX {
            return Err(Refusal::bad("LIMIT_EXCEEDED", "in takes 50 values"));
        }
        if self.mark(')') { Ok(values) } else { Err(syntax(self.near())) }
    }

    /// A text in single or double quotes, the same quote doubled inside; or a number or a word without quotes.
    fn value(&mut self) -> Result<String, Refusal> {
        let rest = self.rest.trim_start();
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
            return self.name();
        };
        let mut value = String::new();
        let mut chars = rest[1..].char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if c != quote || chars.next_if(|(_, next)| *next == quote).is_some() {
                value.push(c);
            } else {
                self.rest = &rest[1 + at + 1..];
                return Ok(value);
            }
        }
        Err(syntax(self.near()))
    }

    fn name(&mut self) -> Result<String, Refusal> {
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len());
        if end == 0 {
            return Err(syntax(self.near()));
        }
        self.rest = &rest[end..];
        Ok(rest[..end].to_owned())
    }

    fn number(&mut self) -> Result<usize, Refusal> {
        let near = self.near();
        self.name()?.parse().map_err(|_| syntax(near))
    }

    fn needs(&mut self, word: &str) -> Result<(), Refusal> {
        if self.word(word) { Ok(()) } else { Err(syntax(self.near())) }
    }

    fn word(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start();
        let Some(head) = rest.get(..word.len()) else { return false };
        let after = &rest[word.len()..];
        let ends = after.chars().next().is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_');
        if ends && head.eq_ignore_ascii_case(word) {
            self.rest = after;
            return true;
        }
        false
    }

    fn mark(&mut self, mark: char) -> bool {
        self.take(mark.encode_utf8(&mut [0; 4]))
    }

    fn take(&mut self, mark: &str) -> bool {
        match self.rest.trim_start().strip_prefix(mark) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }
}
