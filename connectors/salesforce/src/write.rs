//! Writing a task, and again without what this org does not have: a call is never held for a field that is only a
//! convenience.

use std::{collections::BTreeMap, sync::Arc};

use patchbay_kit::{About, Exchange, Failure, Kind, RecordRef, Request, Response, Retry, StatusCode, Step};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{errors, query, settings::Org};

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

/// "REST API Developer Guide, sObject Describe" [V]
#[derive(Deserialize)]
struct Described {
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    name: String,
    #[serde(default)]
    createable: bool,
    #[serde(default)]
    updateable: bool,
}

impl Write {
    /// "REST API Developer Guide, sObject Rows" and "sObject Rows by External ID" [V]
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
        let unknown = matches!(said.code.as_str(), "INVALID_FIELD" | "INVALID_FIELD_FOR_INSERT_UPDATE");
        let refused: Vec<String> = if unknown { said.at_fault() } else { Vec::new() };
        let ours = |name: &String| {
            self.fields.contains_key(name) && self.org.call_fields.iter().any(|(_, field)| field == name)
        };
        // "Object Reference, Task: TaskSubtype" [V] gives it Create and not Update, so a task that is there refuses it.
        // It is a call already.
        if refused.iter().any(|name| name == "TaskSubtype") && self.fields.contains_key("TaskSubtype") {
            let mut less = self.fields.clone();
            less.remove("TaskSubtype");
            return Ok(Step::Then(self.again(less, self.described)));
        }
        if !refused.is_empty() && refused.iter().all(ours) && !self.described {
            let this = Arc::clone(self);
            let describe = Request::get("task.describe", self.org.path(["sobjects", "Task", "describe"]));
            return Ok(Step::Then(describe.then(move |reply| {
                let known: Described = reply.json()?;
                Ok(Step::Then(this.again(this.known_to(&known), true)))
            })));
        }
        Err(self.failure(reply))
    }

    /// The fields without those of the call's facts that the org does not have, or not for this user.
    fn known_to(&self, described: &Described) -> Map<String, Value> {
        let known: BTreeMap<&str, bool> =
            described.fields.iter().map(|field| (field.name.as_str(), field.createable && field.updateable)).collect();
        let optional = |name: &str| self.org.call_fields.iter().any(|(_, field)| field == name);
        let kept = |name: &str| !optional(name) || known.get(name).copied().unwrap_or_default();
        self.fields.iter().filter(|(name, _)| kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
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

/// What a create or an upsert answers ("sObject Basic Information: Create a Record" [V]).
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
