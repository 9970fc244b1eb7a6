//! Karibu CRM as its documentation has it: one key, exact look-ups, required fields, limits of texts, unique `ref`s.

use std::time::Duration;

use http::{StatusCode, header};
use jiff::Timestamp;
use patchbay_sandbox::{Crm, HeldContact, HeldRecord, Reply, Request, Sandbox};
use serde_json::{Value, json};

/// Records on one page, the most there are.
const PAGE: usize = 50;
/// Fields of a call and what a text in it may be long; all others are refused.
const CALL: &[(&str, usize)] = &[
    ("call_ref", 200),
    ("contact_id", 200),
    ("title", 200),
    ("text", 10_000),
    ("direction", 20),
    ("outcome", 20),
    ("started_at", 40),
    ("seconds", 0),
    ("recording_url", 2000),
    ("team", 100),
];

/// One Karibu account.
#[derive(Debug)]
pub(crate) struct Karibu {
    key: String,
    contacts: Vec<Value>,
    calls: Vec<Value>,
    serial: u64,
}

impl Karibu {
    pub(crate) fn new(key: &str) -> Self {
        Self { key: key.to_owned(), contacts: Vec::new(), calls: Vec::new(), serial: 0 }
    }

    pub(crate) fn call(&self, id: &str) -> Option<&Value> {
        self.calls.iter().find(|call| call["id"] == id)
    }

    /// As somebody does in the browser: the record is gone.
    pub(crate) fn delete(&mut self, id: &str) -> bool {
        let before = self.calls.len() + self.contacts.len();
        self.calls.retain(|call| call["id"] != id);
        self.contacts.retain(|contact| contact["id"] != id);
        self.calls.len() + self.contacts.len() < before
    }

    fn id(&mut self, of: &str) -> String {
        self.serial += 1;
        format!("{of}{}", self.serial)
    }

    fn make_contact(&mut self, mut fields: Value, now: Timestamp) -> Reply {
        if fields["name"].as_str().is_none_or(str::is_empty) {
            return refusal(StatusCode::UNPROCESSABLE_ENTITY, "missing_field", "name");
        }
        let taken = self.contacts.iter().find(|one| !fields["ref"].is_null() && one["ref"] == fields["ref"]);
        if let Some(taken) = taken {
            let error = json!({"code": "ref_taken", "message": "A contact has this ref", "field": "ref"});
            return Reply::json(StatusCode::CONFLICT, &json!({"error": error, "contact": taken}));
        }
        fields["id"] = self.id("p").into();
        fields["updated_at"] = json!(now);
        self.contacts.push(fields.clone());
        Reply::json(StatusCode::CREATED, &fields)
    }

    /// What is wrong with the fields of a call.
    fn wrong(&self, fields: &Value) -> Option<Reply> {
        let Some(fields) = fields.as_object() else {
            return Some(refusal(StatusCode::BAD_REQUEST, "unreadable", ""));
        };
        for (field, value) in fields {
            let Some((_, chars)) = CALL.iter().find(|(known, _)| known == field) else {
                return Some(refusal(StatusCode::UNPROCESSABLE_ENTITY, "unknown_field", field));
            };
            if value.as_str().is_some_and(|text| text.chars().count() > *chars) {
                return Some(refusal(StatusCode::UNPROCESSABLE_ENTITY, "too_long", field));
            }
        }
        let contact = fields.get("contact_id").filter(|id| !id.is_null());
        let known = contact.is_none_or(|id| self.contacts.iter().any(|one| one["id"] == *id));
        (!known).then(|| refusal(StatusCode::UNPROCESSABLE_ENTITY, "no_such_contact", "contact_id"))
    }

    fn make_call(&mut self, mut fields: Value) -> Reply {
        if let Some(refused) = self.wrong(&fields) {
            return refused;
        }
        for required in ["title", "contact_id"] {
            if fields[required].is_null() {
                return refusal(StatusCode::UNPROCESSABLE_ENTITY, "missing_field", required);
            }
        }
        fields["id"] = self.id("c").into();
        self.calls.push(fields.clone());
        Reply::json(StatusCode::CREATED, &fields)
    }

    fn change_call(&mut self, id: &str, fields: &Value) -> Reply {
        if self.call(id).is_none() {
            return refusal(StatusCode::NOT_FOUND, "no_such_call", "");
        }
        if let Some(refused) = self.wrong(fields) {
            return refused;
        }
        let call = self.calls.iter_mut().find(|call| call["id"] == id);
        let Some(Value::Object(call)) = call else { return Reply::empty(StatusCode::NOT_FOUND) };
        call.extend(fields.as_object().cloned().unwrap_or_default());
        Reply::json(StatusCode::OK, &call)
    }
}

/// An error in Karibu's form.
fn refusal(status: StatusCode, code: &str, field: &str) -> Reply {
    let message = status.canonical_reason().unwrap_or_default();
    Reply::json(status, &json!({"error": {"code": code, "message": message, "field": field}}))
}

/// Records whose `key` is one of the values that were asked for, character by character.
fn list(what: &str, all: &[Value], request: &Request, key: &str) -> Reply {
    let asked: Vec<&str> =
        request.query.iter().filter(|(name, _)| name == key).map(|(_, value)| value.as_str()).collect();
    let found = all.iter().filter(|one| one[key].as_str().is_some_and(|value| asked.contains(&value)));
    Reply::json(StatusCode::OK, &json!({ what: found.take(PAGE).collect::<Vec<_>>() }))
}

impl Sandbox for Karibu {
    fn handle(&mut self, request: &Request, now: Timestamp) -> Reply {
        if request.headers.get("x-karibu-key").is_none_or(|key| key != self.key.as_str()) {
            return self.refuse(request, StatusCode::UNAUTHORIZED, None);
        }
        let fields: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match (request.method.as_str(), request.segments().as_slice()) {
            ("GET", ["v1", "organisation"]) => Reply::json(StatusCode::OK, &json!({"name": "Karibu Safaris"})),
            ("GET", ["v1", "contacts"]) if request.param("ref").is_some() => {
                list("contacts", &self.contacts, request, "ref")
            }
            ("GET", ["v1", "contacts"]) => list("contacts", &self.contacts, request, "phone"),
            ("POST", ["v1", "contacts"]) => self.make_contact(fields, now),
            ("GET", ["v1", "calls"]) => list("calls", &self.calls, request, "call_ref"),
            ("POST", ["v1", "calls"]) => self.make_call(fields),
            ("PATCH", ["v1", "calls", id]) => self.change_call(id, &fields),
            _ => refusal(StatusCode::NOT_FOUND, "no_such_path", ""),
        }
    }

    fn refuse(&self, _: &Request, status: StatusCode, retry_after_s: Option<u64>) -> Reply {
        let reply = refusal(status, if status == StatusCode::UNAUTHORIZED { "bad_key" } else { "refused" }, "");
        match retry_after_s {
            Some(seconds) => reply.with(header::RETRY_AFTER, seconds.to_string()),
            None => reply,
        }
    }
}

/// How the tests of all CRMs look into this one.
impl Crm for Karibu {
    fn records(&self) -> Vec<HeldRecord> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let held = |call: &Value| HeldRecord {
            id: text(&call["id"]).unwrap_or_default(),
            text: [&call["title"], &call["text"], &call["outcome"]]
                .into_iter()
                .filter_map(text)
                .collect::<Vec<_>>()
                .join("\n"),
            contact: text(&call["contact_id"]),
            agent: None,
            talk_seconds: call["seconds"].as_u64().and_then(|seconds| seconds.try_into().ok()),
            recording: text(&call["recording_url"]),
            public: false,
        };
        self.calls.iter().map(held).collect()
    }

    fn contacts(&self) -> Vec<HeldContact> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let held = |contact: &Value| HeldContact {
            id: text(&contact["id"]),
            name: text(&contact["name"]),
            numbers: contact["phone"].as_str().map(str::to_owned).into_iter().collect(),
        };
        self.contacts.iter().map(held).collect()
    }

    fn add_contact(&mut self, name: &str, number: &str, now: Timestamp) -> String {
        let id = self.id("p");
        self.contacts.push(json!({"id": id, "name": name, "phone": number, "updated_at": now}));
        id
    }

    /// There are no agents in Karibu.
    fn add_agent(&mut self, _: &str, _: &str) -> String {
        String::new()
    }

    /// Nothing lags.
    fn lag(&mut self, _: Duration) {}
}
