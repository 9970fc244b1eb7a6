//! Freshdesk's search: a small query language over an index that is behind (`crm-api.md` §1.c, §1.f).
//!
//! A query is `field:value` terms joined by `AND`, `OR` and parentheses; strings are in single quotes, times may be
//! compared with `:>` and `:<`. All of it stands in double quotes.

use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Freshdesk,
    model::{Contact, Ticket},
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request};

const QUERY_CHARS_MAX: usize = 512;
const PER_PAGE: usize = 30;
const PAGES_MAX: usize = 10;

impl Freshdesk {
    pub(super) fn search_contacts(&self, request: &Request, now: Timestamp) -> Answer {
        let (query, page) = asked(request)?;
        for field in query.fields() {
            let known = CONTACT_FIELDS.contains(&field) || self.contact_fields.contains(field);
            check_field(field, known)?;
        }
        let found = self.contacts.as_indexed(now, self.settings.index_lag).filter(|contact| !contact.deleted);
        Ok(results(found.filter(|contact| query.holds(&|field| of_contact(contact, field))), page))
    }

    pub(super) fn search_tickets(&self, request: &Request, now: Timestamp) -> Answer {
        let (query, page) = asked(request)?;
        for field in query.fields() {
            let known = TICKET_FIELDS.contains(&field) || self.ticket_fields.contains_key(field);
            check_field(field, known)?;
        }
        let found = self.tickets.as_indexed(now, self.settings.index_lag).filter(|ticket| !ticket.deleted);
        Ok(results(found.filter(|ticket| query.holds(&|field| of_ticket(ticket, field))), page))
    }
}

const CONTACT_FIELDS: [&str; 9] =
    ["active", "created_at", "email", "mobile", "phone", "tag", "twitter_id", "unique_external_id", "updated_at"];
const TICKET_FIELDS: [&str; 8] =
    ["agent_id", "created_at", "group_id", "priority", "status", "tag", "type", "updated_at"];

fn check_field(field: &str, known: bool) -> Result<(), Refusal> {
    if known { Ok(()) } else { Err(Refusal::field(field, "invalid_field", "Unexpected/invalid field in request")) }
}

/// The values under which a record is found by a field.
fn of_contact(contact: &Contact, field: &str) -> Vec<Held> {
    match field {
        "active" => vec![Held::Text(contact.active.to_string())],
        "email" => vec![Held::of(contact.email.as_deref())],
        "mobile" => vec![Held::of(contact.mobile.as_deref())],
        "phone" => vec![Held::of(contact.phone.as_deref())],
        "twitter_id" => vec![Held::of(contact.twitter_id.as_deref())],
        "unique_external_id" => vec![Held::of(contact.unique_external_id.as_deref())],
        "tag" => contact.tags.iter().map(|tag| Held::of(Some(tag))).collect(),
        "created_at" => vec![Held::Time(contact.created_at)],
        "updated_at" => vec![Held::Time(contact.updated_at)],
        custom => vec![Held::of_custom(&contact.custom_fields, custom)],
    }
}

fn of_ticket(ticket: &Ticket, field: &str) -> Vec<Held> {
    let number = |number: Option<u64>| vec![number.map_or(Held::Nothing, |number| Held::Text(number.to_string()))];
    match field {
        "agent_id" => number(ticket.responder_id),
        "group_id" => number(ticket.group_id),
        "priority" => number(Some(ticket.priority)),
        "status" => number(Some(ticket.status)),
        "type" => vec![Held::of(ticket.kind.as_deref())],
        "tag" => ticket.tags.iter().map(|tag| Held::of(Some(tag))).collect(),
        "created_at" => vec![Held::Time(ticket.created_at)],
        "updated_at" => vec![Held::Time(ticket.updated_at)],
        custom => vec![Held::of_custom(&ticket.custom_fields, custom)],
    }
}

enum Held {
    Nothing,
    Text(String),
    Time(Timestamp),
}

impl Held {
    fn of(text: Option<&str>) -> Self {
        text.map_or(Self::Nothing, |text| Self::Text(text.to_owned()))
    }

    fn of_custom(fields: &Map<String, Value>, name: &str) -> Self {
        match fields.get(name) {
            None | Some(Value::Null) => Self::Nothing,
            Some(Value::String(text)) => Self::Text(text.clone()),
            Some(other) => Self::Text(other.to_string()),
        }
    }
}

fn results<'a, T: Serialize + 'a>(found: impl Iterator<Item = &'a T>, page: usize) -> Reply {
    #[derive(Serialize)]
    struct Results<'a, T> {
        total: usize,
        results: &'a [&'a T],
    }
    let found: Vec<&T> = found.collect();
    let from = ((page - 1) * PER_PAGE).min(found.len());
    let to = (from + PER_PAGE).min(found.len());
    Reply::json(StatusCode::OK, &Results { total: found.len(), results: &found[from..to] })
}

/// The query and the page asked for.
fn asked(request: &Request) -> Result<(Query, usize), Refusal> {
    let wrong = |message: &str| Refusal::field("query", "invalid_value", message);
    if let Some((name, _)) = request.query.iter().find(|(name, _)| !["query", "page"].contains(&name.as_str())) {
        return Err(Refusal::field(name, "invalid_field", "Unexpected/invalid field in request"));
    }
    let page =
        request.param("page").map_or(Some(1), |page| page.parse().ok().filter(|page| (1..=PAGES_MAX).contains(page)));
    let Some(page) = page else {
        let message = format!("It should be a Positive Integer less than or equal to {PAGES_MAX}");
        return Err(Refusal::field("page", "invalid_value", message));
    };
    let Some(text) = request.param("query") else {
        return Err(Refusal::field("query", "missing_field", "It should be a/an String"));
    };
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return Err(wrong("It should be in the 'query enclosed in double quotes' format"));
    };
    if inner.chars().count() > QUERY_CHARS_MAX {
        return Err(wrong("It can have maximum of 512 characters"));
    }
    let mut reader = Reader { rest: inner, depth: 0 };
    let query = reader.any().filter(|_| reader.rest.trim().is_empty());
    Ok((query.ok_or_else(|| wrong("It should be in the 'valid search query' format"))?, page))
}

enum Query {
    Any(Vec<Query>),
    All(Vec<Query>),
    Term { field: String, order: Order, value: Option<String> },
}

#[derive(Clone, Copy)]
enum Order {
    Is,
    From,
    To,
}

impl Query {
    fn fields(&self) -> Vec<&str> {
        match self {
            Self::Any(parts) | Self::All(parts) => parts.iter().flat_map(Self::fields).collect(),
            Self::Term { field, .. } => vec![field],
        }
    }

    fn holds(&self, held: &dyn Fn(&str) -> Vec<Held>) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.holds(held)),
            Self::All(parts) => parts.iter().all(|part| part.holds(held)),
            Self::Term { field, order, value } => held(field).iter().any(|held| match (held, value) {
                (Held::Nothing, None) => true,
                (Held::Text(held), Some(value)) => matches!(order, Order::Is) && held.eq_ignore_ascii_case(value),
                (Held::Time(held), Some(value)) => on_day(*held, *order, value),
                _ => false,
            }),
        }
    }
}

/// Times are searched by UTC day: on it, from it, up to it.
fn on_day(held: Timestamp, order: Order, value: &str) -> bool {
    let day = held.to_zoned(jiff::tz::TimeZone::UTC).date();
    let wanted = value.get(..10).and_then(|day| day.parse::<jiff::civil::Date>().ok());
    wanted.is_some_and(|wanted| match order {
        Order::Is => day == wanted,
        Order::From => day >= wanted,
        Order::To => day <= wanted,
    })
}

/// Recursive descent; `None` is a query that cannot be read.
struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl Reader<'_> {
    fn any(&mut self) -> Option<Query> {
        let mut parts = vec![self.all()?];
        while self.word("OR") {
            parts.push(self.all()?);
        }
        Some(Query::Any(parts))
    }

    fn all(&mut self) -> Option<Query> {
        let mut parts = vec![self.term()?];
        while self.word("AND") {
            parts.push(self.term()?);
        }
        Some(Query::All(parts))
    }

    fn term(&mut self) -> Option<Query> {
        if self.take("(") {
            // 512 characters could nest deep enough to matter to nobody but the stack.
            self.depth += 1;
            if self.depth > 32 {
                return None;
            }
            let inner = self.any()?;
            self.depth -= 1;
            return self.take(")").then_some(inner);
        }
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let (field, rest) = self.rest.split_at(end);
        self.rest = rest;
        if field.is_empty() || !self.take(":") {
            return None;
        }
        let order = if self.take(">") {
            Order::From
        } else if self.take("<") {
            Order::To
        } else {
            Order::Is
        };
        Some(Query::Term { field: field.to_owned(), order, value: self.value()? })
    }

    /// A string in quotes, a number, `true`, `false`, or `null`, which is `Some(None)`.
    fn value(&mut self) -> Option<Option<String>> {
        if let Some(rest) = self.rest.strip_prefix('\'') {
            let (value, rest) = rest.split_once('\'')?;
            self.rest = rest;
            return Some(Some(value.to_owned()));
        }
        let end = self.rest.find([' ', ')']).unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at(end);
        self.rest = rest;
        match value {
            "null" => Some(None),
            "true" | "false" => Some(Some(value.to_owned())),
            number => number.parse::<i64>().ok().map(|_| Some(number.to_owned())),
        }
    }

    fn word(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start();
        match rest.strip_prefix(word) {
            Some(after) if after.starts_with([' ', '(']) => {
                self.rest = after;
                true
            }
            _ => false,
        }
    }

    fn take(&mut self, mark: &str) -> bool {
        let rest = self.rest.trim_start();
        match rest.strip_prefix(mark) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }
}
