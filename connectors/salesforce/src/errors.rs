//! Salesforce's error table: what a reply that is no success means, and what a person can do about it.
//!
//! Codes are those of "REST API Developer Guide, Status Codes and Error Responses" and "SOAP API Developer Guide, Core
//! Data Types, StatusCode and ExceptionCode" \[V\]; a row with another source says so.

use std::time::Duration;

use patchbay_kit::{About, Failure, Kind, Response, Retry, StatusCode, words};
use serde_json::Value;

use crate::settings::Org;

/// The wait where no reply says how long.
const WAIT: Duration = Duration::from_secs(60);
/// Too many requests at the same time: over as soon as the long ones end.
const WAIT_CONCURRENT: Duration = Duration::from_secs(5);
/// The day's requests are used up. The 24 hours move, so some come free all the time.
const WAIT_DAILY: Duration = Duration::from_secs(900);
/// The longest wait that is believed.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// Errors that are told of one reply.
const TOLD: usize = 3;

/// One entry of an error body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) fields: Vec<String>,
}

impl Said {
    fn of(entry: &Value) -> Self {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).map(words::said).unwrap_or_default();
        let fields = entry.get("fields").and_then(Value::as_array);
        // Lists within a success (collections, upserts) call it `statusCode`.
        let code = [text("errorCode"), text("statusCode"), text("error")].into_iter().find(|code| !code.is_empty());
        let whole = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let message = [whole("message"), whole("error_description")].into_iter().find(|text| !text.is_empty());
        Self {
            code: code.unwrap_or_default(),
            message: message.map(|text| words::said(without_query(text))).unwrap_or_default(),
            fields: fields.into_iter().flatten().filter_map(Value::as_str).map(words::said).collect(),
        }
    }

    /// The fields at fault: those that are listed, else the one in quotes (`No such column 'X' …`) or behind the colon
    /// (`Unable to create/update fields: X, Y.`).
    pub(crate) fn at_fault(&self) -> Vec<String> {
        if !self.fields.is_empty() {
            return self.fields.clone();
        }
        if let Some(name) = self.message.split('\'').nth(1) {
            return vec![name.to_owned()];
        }
        let list =
            self.message.strip_prefix("Unable to create/update fields: ").and_then(|rest| rest.split('.').next());
        list.into_iter().flat_map(|list| list.split(',')).map(|name| name.trim().to_owned()).collect()
    }

    /// An external id field that is not there, or that the user may not see.
    pub(crate) fn misses_key(&self) -> bool {
        self.message.starts_with("Provided external ID field does not exist")
    }
}

/// What an error body says; a list, except where a proxy or the token server speaks.
pub(crate) fn said(body: &[u8]) -> Vec<Said> {
    match serde_json::from_slice(body).unwrap_or_default() {
        Value::Array(entries) => entries.iter().filter(|entry| entry.is_object()).map(Said::of).collect(),
        Value::Object(object) => match object.get("errors") {
            Some(Value::Array(entries)) => entries.iter().filter(|entry| entry.is_object()).map(Said::of).collect(),
            _ => vec![Said::of(&Value::Object(object))],
        },
        _ => Vec::new(),
    }
}

/// Reads a reply that is not a success.
pub(crate) fn classify(reply: &Response, org: &Org) -> Failure {
    let all = said(&reply.body);
    let first = all.first().cloned().unwrap_or_default();
    let fail = |kind, retry, ours: &str| Failure::new(kind, retry).because(phrase(ours, &all));
    let failure = match (reply.status.as_u16(), first.code.as_str()) {
        // Not Salesforce's own, which answers 403; a gateway's.
        (429, _) => fail(Kind::RateLimited, Retry::After(wait(reply, WAIT)), "Salesforce is asked too often"),
        (_, "REQUEST_LIMIT_EXCEEDED") => {
            let concurrent = first.message.starts_with("Concurrent");
            let usual = if concurrent { WAIT_CONCURRENT } else { WAIT_DAILY };
            fail(Kind::RateLimited, Retry::After(wait(reply, usual)), "the org's request limit is used up")
        }
        // A session lives until the org's policy ends it, so that the first of these asks only for a new token.
        (401, _) | (_, "INVALID_SESSION_ID" | "INVALID_AUTH_HEADER") => fail(
            Kind::Unauthorized,
            Retry::AfterRefresh,
            "Salesforce refuses the session; if it does so with a new one, connect the integration again",
        ),
        (
            403,
            "API_DISABLED_FOR_ORG"
            | "API_CURRENTLY_DISABLED"
            | "INVALID_OPERATION_WITH_EXPIRED_PASSWORD"
            | "ORG_LOCKED",
        ) => fail(Kind::Unauthorized, Retry::Never, "the integration's user or the org may not use the API"),
        (_, "STORAGE_LIMIT_EXCEEDED") => fail(Kind::Forbidden, Retry::Never, "the org's data storage is full"),
        // With 403 as well [3P]; told below, with what it refers to.
        (400 | 403, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY") => refused(&all, org),
        (403, _) | (_, "INSUFFICIENT_ACCESS" | "INSUFFICIENT_ACCESS_OR_READONLY" | "FUNCTIONALITY_NOT_ENABLED") => {
            fail(
                Kind::Forbidden,
                Retry::Never,
                "the integration's user may not do this in Salesforce; give it the permission",
            )
        }
        // What passes by itself. The reply to a locked row is a 400.
        (_, "UNABLE_TO_LOCK_ROW") => {
            fail(Kind::Conflict, Retry::Backoff, "somebody else is writing the same record in Salesforce")
        }
        (_, "SERVER_UNAVAILABLE" | "QUERY_TIMEOUT" | "UNKNOWN_EXCEPTION") => {
            fail(Kind::Unavailable, Retry::Backoff, "Salesforce is in trouble")
        }
        (_, "DUPLICATE_VALUE") => {
            fail(Kind::Conflict, Retry::Never, "another record in Salesforce has a value that must be unique")
        }
        (_, "DUPLICATES_DETECTED") => fail(
            Kind::Conflict,
            Retry::Never,
            "a duplicate rule stops the new record; let the integration's user pass it, or let it only warn",
        ),
        // The customer's own automation. One that failed on a locked row passes by itself.
        (_, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" | "CANNOT_EXECUTE_FLOW_TRIGGER" | "APEX_ERROR") => {
            let locked = first.message.contains("UNABLE_TO_LOCK_ROW");
            let (kind, retry) = if locked { (Kind::Conflict, Retry::Backoff) } else { (Kind::Invalid, Retry::Never) };
            fail(kind, retry, "a trigger or flow of the org stops the record")
        }
        (_, "FIELD_CUSTOM_VALIDATION_EXCEPTION") => fail(
            Kind::Invalid,
            Retry::Never,
            "a validation rule of the org stops the record; set what it asks for in `defaults`, or let the \
             integration's user pass it",
        ),
        (404, _) if first.misses_key() => fail(
            Kind::Invalid,
            Retry::Never,
            &format!(
                "Salesforce shows no external id field `{}` on tasks; make it (or set `call_sid_field`), and give the \
                 integration's user access to it",
                org.call_sid_field
            ),
        ),
        (404, _) => fail(Kind::NotFound, Retry::Never, "Salesforce has no such record"),
        (410, _) => fail(Kind::Unsupported, Retry::Never, "this version of the API has ended; set `api_version`"),
        (300, _) => Failure::new(Kind::Conflict, Retry::Never).because(format!(
            "several tasks have this CallSid in `{}`; delete all but one, and make the field unique",
            org.call_sid_field
        )),
        (301..=399, _) => Failure::new(Kind::Unavailable, Retry::Backoff)
            .because("Salesforce sends to another address; connect the integration again"),
        (405 | 415, _) => fail(Kind::Invalid, Retry::Never, "Salesforce does not take this request"),
        (400..=403 | 405..=407 | 409 | 411..=417 | 422, code) if !code.is_empty() => refused(&all, org),
        (400, _) => fail(Kind::Invalid, Retry::Never, "Salesforce refuses the request"),
        (408 | 500..=599, _) => fail(Kind::Unavailable, Retry::Backoff, "Salesforce is in trouble"),
        // Not in the table: not plainly our fault, so it is worth a retry.
        (status, _) => {
            fail(Kind::Malformed, Retry::Backoff, &format!("Salesforce answers with an unknown status {status}"))
        }
    };
    let failure = if first.code.is_empty() { failure } else { failure.code(first.code.clone()) };
    match about(reply.status, &first) {
        Some(about) if failure.kind == Kind::Invalid => failure.about(about),
        _ => failure,
    }
}

/// Whom a refused id stood for, where the refusal says it.
fn about(status: StatusCode, said: &Said) -> Option<About> {
    let names = |field: &str| said.fields.iter().any(|named| named == field);
    let refers = matches!(
        said.code.as_str(),
        "INVALID_CROSS_REFERENCE_KEY"
            | "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"
            | "ENTITY_IS_DELETED"
            | "MALFORMED_ID"
            | "INVALID_CROSS_REFERENCE_TYPE_FOR_FIELD"
    );
    if said.code == "INACTIVE_OWNER_OR_USER" || refers && names("OwnerId") {
        return Some(About::Agent);
    }
    if refers && (names("WhoId") || names("WhatId")) {
        return Some(About::Contact);
    }
    // A record that is written by its own id is refused with 404.
    (said.code == "ENTITY_IS_DELETED" && status == StatusCode::BAD_REQUEST).then_some(About::Contact)
}

/// A success whose body says no.
pub(crate) fn inside(reply: &Response, org: &Org) -> Option<Failure> {
    let body: Value = serde_json::from_slice(&reply.body).ok()?;
    (body.get("success")? == &Value::Bool(false)).then(|| {
        let refused = Response { status: StatusCode::BAD_REQUEST, ..reply.clone() };
        let failure = classify(&refused, org);
        if failure.remote_code.is_some() { failure } else { unexpected("says no and not why") }
    })
}

/// A reply that is a success and no answer.
pub(crate) fn unexpected(what: &str) -> Failure {
    Failure::new(Kind::Malformed, Retry::Backoff).because(format!("Salesforce's answer {what}"))
}

/// The wait that a reply asks for; Salesforce's own never do.
fn wait(reply: &Response, usual: Duration) -> Duration {
    reply.retry_after().map_or(usual, |wait| wait.min(WAIT_MAX))
}

/// Our words, and what Salesforce said.
fn phrase(ours: &str, all: &[Said]) -> String {
    match all.first().filter(|first| !first.message.is_empty()) {
        Some(first) => format!("{ours} (\"{}\")", first.message),
        None => ours.to_owned(),
    }
}

/// A request that says something wrong.
fn refused(all: &[Said], org: &Org) -> Failure {
    let told: Vec<String> = all.iter().take(TOLD).map(|one| told(one, org)).collect();
    Failure::new(Kind::Invalid, Retry::Never).because(format!("Salesforce refuses {}", told.join("; ")))
}

/// One refusal, with what can be done.
fn told(said: &Said, org: &Org) -> String {
    let fields = said.at_fault().into_iter().take(TOLD).collect::<Vec<_>>().join("`, `");
    let Said { code, message, .. } = said;
    let named = if fields.is_empty() { "the request".to_owned() } else { format!("`{fields}`") };
    format!("{named} [{code}] \"{message}\"{}", remedy(code, &fields, org))
}

/// What the person who reads this can do.
fn remedy(code: &str, field: &str, org: &Org) -> String {
    let ours = field == org.call_sid_field || org.call_fields.iter().any(|(_, name)| name == field);
    match code {
        "INVALID_FIELD" | "INVALID_FIELD_FOR_INSERT_UPDATE" if ours => {
            ": make the field, or give the integration's user access to it".to_owned()
        }
        "INVALID_FIELD" | "INVALID_FIELD_FOR_INSERT_UPDATE" => {
            ": no such field, or no access to it; correct `defaults` and `object_priority`, or give the access"
                .to_owned()
        }
        "INVALID_TYPE" => ": no such object, or no access to it; correct `object_priority`".to_owned(),
        "REQUIRED_FIELD_MISSING" => {
            format!(": set `defaults.{field}` (`defaults.contact.{field}` for a new caller), or make it optional")
        }
        "JSON_PARSER_ERROR" => ": a field is of another type; correct it in `defaults`, or the field".to_owned(),
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST" | "STRING_TOO_LONG" => {
            ": correct it in `defaults`, or the field in Salesforce".to_owned()
        }
        _ => String::new(),
    }
}

/// A refused query is repeated before what is wrong with it (`… ERROR at Row:1:Column:8\nNo such column …`), and holds
/// numbers.
fn without_query(text: &str) -> &str {
    let after = text.rsplit_once("ERROR at Row").and_then(|(_, rest)| rest.split_once('\n'));
    after.map_or(text, |(_, rest)| rest).trim()
}
