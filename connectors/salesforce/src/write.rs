//! Writing a task, and again without what this org does not have: a call is never held for a field that is only a
//! convenience.

use std::{collections::BTreeMap, sync::Arc};

use patchbay_kit::{About, Exchange, Failure, Kind, RecordRef, Request, Response, Retry, StatusCode, Step};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{errors, query, settings::Org};

const SUBTYPE: &str = "TaskSubtype";
const REFUSED: &[StatusCode] = &[StatusCode::BAD_REQUEST];
const REFUSED_OR_GONE: &[StatusCode] = &[StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND];

/// Where a task is written.
#[derive(Clone, Debug)]
pub(crate) enum At {
    /// By the external id: made where there is none. The value, and what to call the reference.
    Key { value: String, label: &'static str, find: &'static str },
    /// By its own id.
    Id(String),
}

/// A write, with what is needed to try it with less.
pub(crate) struct Write {
    pub(crate) org: Arc<Org>,
    pub(crate) at: At,
    pub(crate) fields: Map<String, Value>,
    /// Whom the call gives it to: else a refused owner is one of the defaults.
    pub(crate) has_agent: bool,
    pub(crate) has_contact: bool,
    /// The org's fields have been asked for already.
    pub(crate) described: bool,
}

/// "REST API Developer Guide, sObject Describe" \[V\]
#[derive(Deserialize)]
struct Described {
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    name: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    length: usize,
    #[serde(default)]
    createable: bool,
    #[serde(default)]
    updateable: bool,
}

impl Field {
    /// A value as this field takes it; `None` where it cannot.
    fn fit(&self, value: &Value) -> Option<Value> {
        if !(self.createable && self.updateable) {
            return None;
        }
        match (self.kind.as_str(), value) {
            ("int" | "double" | "currency", Value::Number(_)) => Some(value.clone()),
            // Half an address leads nowhere.
            ("url", Value::String(url)) => (url.chars().count() <= self.length).then(|| value.clone()),
            ("datetime", Value::String(text)) => text.parse::<jiff::Timestamp>().ok().map(|_| value.clone()),
            ("date", Value::String(text)) => {
                text.parse::<jiff::Timestamp>().ok().and_then(|_| text.get(..10)).map(Value::from)
            }
            ("string" | "textarea" | "phone" | "picklist" | "combobox", Value::String(text)) => Some(self.cut(text)),
            ("string" | "textarea", Value::Number(number)) => Some(self.cut(&number.to_string())),
            _ => None,
        }
    }

    fn cut(&self, text: &str) -> Value {
        let most = if self.length == 0 { usize::MAX } else { self.length };
        Value::from(text.chars().take(most).collect::<String>())
    }
}

impl Write {
    /// "REST API Developer Guide, sObject Rows" and "sObject Rows by External ID" \[V\]
    pub(crate) fn exchange(self) -> Exchange<RecordRef> {
        let (request, accepted) = match &self.at {
            At::Key { value, label, .. } => {
                let path = self.org.path(["sobjects", "Task", &self.org.call_sid_field, value]);
                (Request::patch(label, path), REFUSED)
            }
            At::Id(id) => (Request::patch("task.update", self.org.path(["sobjects", "Task", id])), REFUSED_OR_GONE),
        };
        let request = request.json(Value::Object(self.fields.clone()));
        let this = Arc::new(self);
        request.then(move |reply| this.read(reply)).accepting(accepted)
    }

    fn read(self: &Arc<Self>, reply: &Response) -> Result<Step<RecordRef>, Failure> {
        match (&self.at, reply.status) {
            (At::Id(id), StatusCode::NOT_FOUND) => Err(gone(id)),
            (_, StatusCode::BAD_REQUEST) => self.with_less(reply),
            // Without a body, as is every change by an id.
            (At::Id(id), StatusCode::NO_CONTENT) => Ok(Step::Done(task(id))),
            // Before version 46 an upsert that changed a record said no more either.
            (At::Key { value, find, .. }, StatusCode::NO_CONTENT) => {
                let found = by_key(&self.org, find, value);
                let required = |reply: &Response, found: &Exchange<Option<RecordRef>>| match found.parse(reply)? {
                    Step::Done(Some(at)) => Ok(at),
                    _ => Err(errors::unexpected("names no record")),
                };
                Ok(Step::Then(found.request.clone().done(move |reply| required(reply, &found))))
            }
            _ => made(reply, &self.org).map(|id| Step::Done(task(&id))),
        }
    }

    /// A refusal, and what may still be tried.
    fn with_less(self: &Arc<Self>, reply: &Response) -> Result<Step<RecordRef>, Failure> {
        let said = errors::said(&reply.body).into_iter().next().unwrap_or_default();
        let refused = said.at_fault();
        let ours = |name: &String| self.fields.contains_key(name) && self.is_fact(name);
        let only_ours = !refused.is_empty() && refused.iter().all(ours);
        match said.code.as_str() {
            // "Object Reference, Task: TaskSubtype" [V] gives it Create and not Update, so a task that is there refuses
            // it. It is a call already.
            "INVALID_FIELD_FOR_INSERT_UPDATE" if refused.iter().any(|name| name == SUBTYPE) => self.without(&[SUBTYPE]),
            "INVALID_FIELD" | "INVALID_FIELD_FOR_INSERT_UPDATE" | "STRING_TOO_LONG" if only_ours => self.ask(),
            // Which field it is, is not said.
            "JSON_PARSER_ERROR" if self.fields.keys().any(|name| self.is_fact(name)) => self.ask(),
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST" if only_ours => {
                self.without(&refused.iter().map(String::as_str).collect::<Vec<_>>())
            }
            _ => Err(self.failure(reply)),
        }
        .and_then(|step| step.ok_or_else(|| self.failure(reply)))
    }

    /// Whether it is a field for a fact of the call, which the org may have or not.
    fn is_fact(&self, name: &str) -> bool {
        self.org.call_fields.iter().any(|(_, field)| field == name)
    }

    /// Once more without these fields, if any of them was there.
    fn without(&self, names: &[&str]) -> Result<Option<Step<RecordRef>>, Failure> {
        let mut less = self.fields.clone();
        less.retain(|name, _| !names.contains(&name.as_str()));
        Ok((less.len() < self.fields.len()).then(|| Step::Then(self.again(less, self.described))))
    }

    /// Asks the org, once, what its fields are, and writes again what fits.
    fn ask(self: &Arc<Self>) -> Result<Option<Step<RecordRef>>, Failure> {
        if self.described {
            return Ok(None);
        }
        let this = Arc::clone(self);
        let describe = Request::get("task.describe", self.org.path(["sobjects", "Task", "describe"]));
        Ok(Some(Step::Then(describe.then(move |reply| {
            let known: Described = reply.json()?;
            Ok(Step::Then(this.again(this.fitted(&known), true)))
        }))))
    }

    /// The fields, those for facts as the org has them and the others as they are.
    fn fitted(&self, described: &Described) -> Map<String, Value> {
        let known: BTreeMap<&str, &Field> = described.fields.iter().map(|field| (field.name.as_str(), field)).collect();
        let fit = |name: &str, value: &Value| match self.is_fact(name) {
            true => known.get(name)?.fit(value),
            false => Some(value.clone()),
        };
        self.fields.iter().filter_map(|(name, value)| Some((name.clone(), fit(name, value)?))).collect()
    }

    fn again(&self, fields: Map<String, Value>, described: bool) -> Exchange<RecordRef> {
        Self {
            org: Arc::clone(&self.org),
            at: self.at.clone(),
            fields,
            has_agent: self.has_agent,
            has_contact: self.has_contact,
            described,
        }
        .exchange()
    }

    /// The table's verdict, and with what this write referred to.
    fn failure(&self, reply: &Response) -> Failure {
        let mut failure = errors::classify(reply, &self.org);
        let refers = matches!(
            failure.remote_code.as_deref(),
            Some("INVALID_CROSS_REFERENCE_KEY" | "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY")
        );
        if failure.about.is_none() && refers {
            // No field is named. Of the two the owner's refusal says what it is about.
            let owner = failure.detail.contains("Assigned To") || failure.detail.contains("owner");
            failure.about = if owner || !self.has_contact { Some(About::Agent) } else { Some(About::Contact) };
        }
        match failure.about {
            Some(About::Agent) if !self.has_agent => {
                failure.about = None;
                failure.detail.push_str("; the owner is that of `defaults.OwnerId`, which needs another");
            }
            Some(About::Contact) if !self.has_contact => failure.about = None,
            _ => {}
        }
        failure
    }
}

/// What a create or an upsert answers ("sObject Basic Information: Create a Record" \[V\]).
pub(crate) fn made(reply: &Response, org: &Org) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Made {
        id: Option<String>,
    }
    if let Some(failure) = errors::inside(reply, org) {
        return Err(failure);
    }
    let made: Made = reply.json()?;
    made.id.filter(|id| !id.is_empty()).ok_or_else(|| errors::unexpected("names no record"))
}

/// The task with this value of the external id. A query knows a record at once; only the search is behind.
pub(crate) fn by_key(org: &Org, label: &'static str, value: &str) -> Exchange<Option<RecordRef>> {
    let soql = format!("SELECT Id FROM Task WHERE {} = {} LIMIT 1", org.call_sid_field, query::literal(value));
    org.query(label, &soql).done(|reply| {
        let found: query::Records<query::Id> = reply.json()?;
        Ok(found.records.into_iter().next().map(|one| task(&one.id)))
    })
}

pub(crate) fn task(id: &str) -> RecordRef {
    RecordRef::new("task", id)
}

/// The task is not there any more.
pub(crate) fn gone(id: &str) -> Failure {
    Failure::new(Kind::NotFound, Retry::Never)
        .about(About::Record)
        .because(format!("task {id} has been deleted in Salesforce"))
}
