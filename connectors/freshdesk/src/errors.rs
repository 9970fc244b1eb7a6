//! Freshdesk's error table: what a reply that is no success means, and what a person can do about it.

use std::time::Duration;

use patchbay_kit::{About, Failure, Kind, Response, Retry, words};
use serde_json::Value;

/// What was being written; settles which table of the configuration a remedy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Ticket,
    Contact,
}

/// The wait after a 429 that does not say how long: the budget is one of a minute.
const WAIT: Duration = Duration::from_secs(60);
/// The longest wait that is believed. Accounts of before 2018 have a budget of an hour, none has a longer one.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// Field errors that are told; a refused ticket may have dozens of mandatory fields.
const FIELDS_TOLD: usize = 5;

/// Ticket and contact fields of Freshdesk's own, beside which every other name is one of `custom_fields`.
const OWN_FIELDS: &[&str] = &[
    "address",
    "cc_emails",
    "company_id",
    "description",
    "due_by",
    "email",
    "email_config_id",
    "fr_due_by",
    "group_id",
    "internal_agent_id",
    "internal_group_id",
    "job_title",
    "language",
    "lookup_parameter",
    "mobile",
    "name",
    "parent_id",
    "phone",
    "priority",
    "product_id",
    "related_ticket_ids",
    "requester_id",
    "responder_id",
    "source",
    "status",
    "subject",
    "tags",
    "time_zone",
    "twitter_id",
    "type",
    "unique_external_id",
    "view_all_tickets",
];

/// What Patchbay itself writes: no default can mend it.
const OUR_FIELDS: &[&str] = &[
    "subject",
    "description",
    "requester_id",
    "responder_id",
    "body",
    "private",
    "name",
    "mobile",
    "unique_external_id",
];

/// One entry of `errors` ("Freshdesk API v2, Errors" \[V\]).
pub(crate) struct FieldError {
    pub(crate) field: String,
    pub(crate) code: String,
    message: String,
    /// `additional_info.user_id`: who holds the value that must be unique. No public sample of it was found \[M\].
    pub(crate) holder: Option<u64>,
}

/// An error body. Everything in it is optional: bodies are empty with a 404, and HTML from a proxy.
struct Said {
    code: Option<String>,
    text: Option<String>,
    errors: Vec<FieldError>,
}

impl Said {
    fn of(reply: &Response) -> Self {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(words::said);
        Self { code: text("code"), text: text("description").or_else(|| text("message")), errors: field_errors(&body) }
    }
}

/// The field errors of a refusal.
pub(crate) fn field_errors_of(reply: &Response) -> Vec<FieldError> {
    field_errors(&serde_json::from_slice(&reply.body).unwrap_or_default())
}

fn field_errors(body: &Value) -> Vec<FieldError> {
    let read = |entry: &Value| {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).map(words::said).unwrap_or_default();
        FieldError {
            field: text("field"),
            code: text("code"),
            message: text("message"),
            holder: entry.pointer("/additional_info/user_id").and_then(Value::as_u64),
        }
    };
    body.get("errors").and_then(Value::as_array).map(|errors| errors.iter().map(read).collect()).unwrap_or_default()
}

/// Reads a reply that is not a success. Statuses and codes are those of "Freshdesk API v2, Errors" \[V\]; a row with
/// another source says so.
pub(crate) fn classify(reply: &Response, on: On) -> Failure {
    let said = Said::of(reply);
    let code = said.errors.first().map(|error| error.code.clone()).or_else(|| said.code.clone());
    let failure = match (reply.status.as_u16(), code.as_deref()) {
        // The budget; Retry-After in seconds ("Freshdesk API v2, Rate Limit").
        (429, _) => Failure::new(Kind::RateLimited, Retry::After(retry_after(reply)))
            .because(phrase("Freshdesk's request limit is used up", &said)),
        // `invalid_credentials`
        (401, _) => Failure::new(Kind::Unauthorized, Retry::Never).because(phrase(
            "Freshdesk refuses the API key; take a new one from the profile settings and set `api_key`",
            &said,
        )),
        // The account or the key's agent is out of service as a whole: nothing of the integration can work.
        (403, Some("account_suspended" | "password_lockout" | "password_expired")) => {
            Failure::new(Kind::Unauthorized, Retry::Never)
                .because(phrase("Freshdesk has locked the account or the API key's agent", &said))
        }
        // `access_denied`, `require_feature`, `ssl_required`. A 403 also follows too many failed logins (Freshdesk
        // support, article 225440).
        (403, _) => Failure::new(Kind::Forbidden, Retry::Never).because(phrase(
            "the API key's agent may not do this in Freshdesk; use the key of an administrator",
            &said,
        )),
        // No body.
        (404, _) => Failure::new(Kind::NotFound, Retry::Never).because(phrase("Freshdesk has no such record", &said)),
        // `duplicate_value`, `inconsistent_state`
        (409, _) | (400, Some("duplicate_value")) => {
            Failure::new(Kind::Conflict, Retry::Never).because(refused(&said, on))
        }
        // `missing_field`, `invalid_value`, `datatype_mismatch`, `invalid_field`, `invalid_json`, `readonly_field`,
        // `inaccessible_field`, `incompatible_field` …
        (400, _) => Failure::new(Kind::Invalid, Retry::Never).because(refused(&said, on)),
        // A method or content type that this resource does not take: Patchbay's fault, or a record that is deleted.
        (405 | 406 | 415, _) => {
            Failure::new(Kind::Invalid, Retry::Never).because(phrase("Freshdesk does not take this request", &said))
        }
        (408 | 500..=599, _) => {
            Failure::new(Kind::Unavailable, Retry::Backoff).because(phrase("Freshdesk is in trouble", &said))
        }
        // A suspended or renamed account is sent elsewhere [M].
        (300..=399, _) => Failure::new(Kind::Unavailable, Retry::Backoff)
            .because("Freshdesk sends to another address; check `domain`"),
        // Not in the table: not plainly our fault, so it is worth a retry.
        (status, _) => Failure::new(Kind::Malformed, Retry::Backoff)
            .because(phrase(&format!("Freshdesk answers with an unknown status {status}"), &said)),
    };
    let failure = match code.filter(|code| !code.is_empty()) {
        Some(code) => failure.code(code),
        None => failure,
    };
    match about(&said.errors) {
        Some(about) if matches!(failure.kind, Kind::Invalid | Kind::Conflict) => failure.about(about),
        _ => failure,
    }
}

/// Whom a refused id stood for. A missing one stands for nobody.
fn about(errors: &[FieldError]) -> Option<About> {
    let refused = |field: &str| errors.iter().any(|error| error.field == field && error.code != "missing_field");
    if refused("requester_id") {
        Some(About::Contact)
    } else if refused("responder_id") {
        Some(About::Agent)
    } else {
        None
    }
}

/// The wait that a 429 asks for.
fn retry_after(reply: &Response) -> Duration {
    reply.retry_after().map_or(WAIT, |wait| wait.min(WAIT_MAX))
}

/// Our words, and what Freshdesk said.
fn phrase(ours: &str, said: &Said) -> String {
    match &said.text {
        Some(text) => format!("{ours} (\"{text}\")"),
        None => ours.to_owned(),
    }
}

/// The refused fields, each with what can be done.
fn refused(said: &Said, on: On) -> String {
    if said.errors.is_empty() {
        return phrase("Freshdesk refuses the request", said);
    }
    let mut told: Vec<String> = said.errors.iter().take(FIELDS_TOLD).map(|error| told(error, on)).collect();
    if said.errors.len() > FIELDS_TOLD {
        told.push(format!("and {} more", said.errors.len() - FIELDS_TOLD));
    }
    format!("Freshdesk refuses {}", told.join("; "))
}

fn told(error: &FieldError, on: On) -> String {
    let FieldError { field, code, message, .. } = error;
    let remedy = remedy(field, code, on);
    format!("`{field}` [{code}] \"{message}\"{remedy}")
}

/// What the person who reads this can do.
fn remedy(field: &str, code: &str, on: On) -> String {
    // Whether errors name custom fields with this prefix is not documented [M]; both are understood.
    let name = field.strip_prefix("custom_fields.").unwrap_or(field);
    if code == "duplicate_value" && on == On::Contact {
        return ": another contact has it, perhaps one that is deleted; restore that one, or delete it forever"
            .to_owned();
    }
    if OUR_FIELDS.contains(&name) || name.is_empty() {
        return String::new();
    }
    let (table, page) = match on {
        On::Ticket => ("defaults", "Ticket Fields"),
        On::Contact => ("defaults.contact", "Customer Fields"),
    };
    let key =
        if OWN_FIELDS.contains(&name) { format!("{table}.{name}") } else { format!("{table}.custom_fields.{name}") };
    match code {
        "missing_field" => {
            format!(": set `{key}` in the integration, or make the field optional in Freshdesk (Admin, {page})")
        }
        "invalid_field" => format!(": Freshdesk has no such field; remove `{key}` from the integration"),
        "invalid_value" | "datatype_mismatch" => format!(": correct `{key}` in the integration"),
        _ => String::new(),
    }
}
