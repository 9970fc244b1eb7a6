//! Zoho Desk's error table: what a reply that is no success means, and what a person can do about it.

use std::time::Duration;

use patchbay_kit::{About, Failure, Kind, Response, Retry, words};
use serde_json::Value;

/// What was being written; settles which table of the configuration a remedy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Ticket,
    Contact,
}

/// The wait after too many requests at once: such a 429 says no time ("Concurrency Limits" \[V\]).
const BUSY: Duration = Duration::from_secs(5);
/// The wait after the day's credits are used up, where the reply does not say how long.
const SPENT: Duration = Duration::from_secs(900);
/// The longest wait that is believed: credits come back once a day.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// Field errors that are told; a refused ticket may have dozens of mandatory fields.
const FIELDS_TOLD: usize = 5;

/// What Patchbay itself writes: no default can mend it.
const OUR_FIELDS: &[&str] =
    &["subject", "description", "contactId", "assigneeId", "content", "contentType", "isPublic", "lastName", "phone"];

/// One entry of `errors` (\[S\] Common.json, `errorDetailArr`).
pub(crate) struct FieldError {
    /// Without the slash it begins with: `contactId`, `cf/cf_region`.
    pub(crate) field: String,
    /// `invalid`, `duplicate` or `missing`.
    pub(crate) kind: String,
}

/// An error body. Everything in it is optional: a proxy answers HTML.
struct Said {
    code: Option<String>,
    text: Option<String>,
    errors: Vec<FieldError>,
}

impl Said {
    fn of(reply: &Response) -> Self {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let text = |key: &str| body.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(words::said);
        Self { code: text("errorCode"), text: text("message"), errors: errors_in(&body) }
    }
}

/// The field errors of a refusal.
pub(crate) fn field_errors(reply: &Response) -> Vec<FieldError> {
    errors_in(&serde_json::from_slice(&reply.body).unwrap_or_default())
}

fn errors_in(body: &Value) -> Vec<FieldError> {
    let read = |entry: &Value| {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).map(words::said).unwrap_or_default();
        FieldError { field: text("fieldName").trim_start_matches('/').to_owned(), kind: text("errorType") }
    };
    body.get("errors").and_then(Value::as_array).map(|errors| errors.iter().map(read).collect()).unwrap_or_default()
}

/// Reads a reply that is not a success. Codes are those of \[S\] Common.json, `errorJson`, described in "Errors" \[V\]; a
/// row with another source says so.
pub(crate) fn classify(reply: &Response, on: On) -> Failure {
    let said = Said::of(reply);
    let never = |kind: Kind, ours: &str| Failure::new(kind, Retry::Never).because(phrase(ours, &said));
    let failure = match (reply.status.as_u16(), said.code.as_deref()) {
        // Credits of the day. `Retry-After` comes with these alone ("Ratelimit Response Headers" [V]).
        (429, Some("THRESHOLD_EXCEEDED")) => Failure::new(Kind::RateLimited, Retry::After(wait(reply, SPENT)))
            .because(phrase("Zoho Desk's API credits of the day are used up", &said)),
        // `TOO_MANY_REQUESTS`
        (429, _) => Failure::new(Kind::RateLimited, Retry::After(wait(reply, BUSY)))
            .because(phrase("Zoho Desk is asked too much at once", &said)),
        // `INVALID_OAUTH`, `UNAUTHORIZED`: the token has expired, or was the oldest of too many.
        (401, _) => Failure::new(Kind::Unauthorized, Retry::AfterRefresh)
            .because(phrase("Zoho Desk refuses the access token; if this stays, connect the integration again", &said)),
        // The token is of another organisation: nothing of the integration can work.
        (403, Some("OAUTH_ORG_MISMATCH")) => {
            never(Kind::Unauthorized, "the account that consented is not in this organisation; correct `org_id`")
        }
        (403, Some("SCOPE_MISMATCH")) => {
            never(Kind::Forbidden, "the consent lacks a scope; connect the integration again with those of its page")
        }
        (403, Some("LICENSE_ACCESS_LIMITED")) => never(Kind::Forbidden, "the edition of Zoho Desk does not allow this"),
        // `FORBIDDEN`, `ONLY_LIVECHAT_USER`
        (403, _) => never(
            Kind::Forbidden,
            "whoever consented may not do this in Zoho Desk; let an administrator connect the integration",
        ),
        // `URL_NOT_FOUND`
        (404, _) => never(Kind::NotFound, "Zoho Desk has no such record"),
        // `INVALID_DATA` with the fields; `UNPROCESSABLE_ENTITY`, `EMPTY_PAYLOAD` without; `BAD_REQUEST`.
        (400 | 422, _) if !said.errors.is_empty() => {
            let duplicate = said.errors.iter().all(|error| error.kind == "duplicate");
            let kind = if duplicate { Kind::Conflict } else { Kind::Invalid };
            Failure::new(kind, Retry::Never).because(refused(&said.errors, on))
        }
        (400 | 409 | 422, _) => never(Kind::Invalid, "Zoho Desk refuses the request"),
        // `METHOD_NOT_ALLOWED`, `RESOURCE_SIZE_EXCEEDED`, `UNSUPPORTED_MEDIA_TYPE`
        (405 | 406 | 413 | 415, _) => never(Kind::Invalid, "Zoho Desk does not take this request"),
        // `INTERNAL_SERVER_ERROR`
        (408 | 500..=599, _) => {
            Failure::new(Kind::Unavailable, Retry::Backoff).because(phrase("Zoho Desk is in trouble", &said))
        }
        // Another data centre [M].
        (300..=399, _) => Failure::new(Kind::Unavailable, Retry::Backoff)
            .because("Zoho Desk sends to another address; check `accounts_url`"),
        // Not in the table: not plainly our fault, so it is worth a retry.
        (status, _) => Failure::new(Kind::Malformed, Retry::Backoff)
            .because(phrase(&format!("Zoho Desk answers with an unknown status {status}"), &said)),
    };
    let about = about(&said.errors);
    let failure = match said.code {
        Some(code) => failure.code(code),
        None => failure,
    };
    match about {
        Some(about) if failure.kind == Kind::Invalid => failure.about(about),
        _ => failure,
    }
}

/// Whom a refused id stood for. A missing one stands for nobody.
fn about(errors: &[FieldError]) -> Option<About> {
    let refused = |field: &str| errors.iter().any(|error| error.field == field && error.kind != "missing");
    if refused("contactId") {
        Some(About::Contact)
    } else if refused("assigneeId") {
        Some(About::Agent)
    } else {
        None
    }
}

/// The wait that a 429 asks for, in seconds.
fn wait(reply: &Response, otherwise: Duration) -> Duration {
    reply.retry_after().map_or(otherwise, |wait| wait.min(WAIT_MAX))
}

/// Our words, and what Zoho Desk said.
fn phrase(ours: &str, said: &Said) -> String {
    match &said.text {
        Some(text) => format!("{ours} (\"{text}\")"),
        None => ours.to_owned(),
    }
}

/// The refused fields, each with what can be done.
fn refused(errors: &[FieldError], on: On) -> String {
    let mut told: Vec<String> = errors.iter().take(FIELDS_TOLD).map(|error| told(error, on)).collect();
    if errors.len() > FIELDS_TOLD {
        told.push(format!("and {} more", errors.len() - FIELDS_TOLD));
    }
    format!("Zoho Desk refuses {}", told.join("; "))
}

fn told(error: &FieldError, on: On) -> String {
    let FieldError { field, kind, .. } = error;
    format!("`{field}` [{kind}]{}", remedy(field, kind, on))
}

/// What the person who reads this can do.
fn remedy(field: &str, kind: &str, on: On) -> String {
    if field == "departmentId" {
        return ": correct `department_id` in the integration".to_owned();
    }
    if kind == "duplicate" && on == On::Contact {
        return ": another contact has it, perhaps one in the recycle bin; restore that one, or delete it forever"
            .to_owned();
    }
    if OUR_FIELDS.contains(&field) || field.is_empty() {
        return String::new();
    }
    let (table, module) = match on {
        On::Ticket => ("defaults", "Tickets"),
        On::Contact => ("defaults.contact", "Contacts"),
    };
    // `cf/cf_region`, and `cf_region` or `customFields/…` should errors name them so [M].
    let name = field.rsplit('/').next().unwrap_or(field);
    let key = if name.starts_with("cf_") { format!("{table}.cf.{name}") } else { format!("{table}.{name}") };
    match kind {
        "missing" => format!(
            ": set `{key}` in the integration, or make the field optional in Zoho Desk (Setup, Layouts and Fields, {module})"
        ),
        "invalid" => format!(": correct `{key}` in the integration, or remove it if Zoho Desk has no such field"),
        _ => String::new(),
    }
}
