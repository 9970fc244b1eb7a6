//! Freshsales' error table: what a reply that is no success means, and what a person can do about it.

use std::time::Duration;

use patchbay_kit::{About, Failure, Kind, Response, Retry, words};
use serde_json::Value;

/// The wait after a 429 that does not say how long. The budget is one of an hour, of which nobody knows when it begins.
const WAIT: Duration = Duration::from_secs(300);
/// The wait where a service behind Freshsales was busy.
const WAIT_BEHIND: Duration = Duration::from_secs(60);
/// The longest wait that is believed.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// Messages that are told.
const TOLD: usize = 5;

/// An error body: `{"errors":{"code":400,"message":["…"]}}`, `message` a list or one text [C, M]; with a 401
/// `{"login":"failed","message":"…"}` \[M\]. Everything in it is optional.
struct Said {
    code: Option<String>,
    messages: Vec<String>,
}

impl Said {
    fn of(reply: &Response) -> Self {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let errors = body.get("errors").unwrap_or(&Value::Null);
        let code = match errors.get("code") {
            Some(Value::Number(code)) => Some(code.to_string()),
            Some(Value::String(code)) => Some(words::said(code)),
            _ => None,
        };
        let places = [errors.get("message"), Some(errors), body.get("message"), body.get("error")];
        let messages = places.into_iter().flatten().map(texts).find(|texts| !texts.is_empty()).unwrap_or_default();
        Self { code, messages }
    }

    fn says(&self, parts: &[&str]) -> bool {
        self.messages.iter().any(|message| {
            let message = message.to_ascii_lowercase();
            parts.iter().any(|part| message.contains(part))
        })
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if !text.is_empty() => vec![words::said(text)],
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(words::said).collect(),
        _ => Vec::new(),
    }
}

/// Reads a reply that is not a success. "Freshsales API, Errors" names the statuses 400, 401, 403, 404, 429, 500 \[V\];
/// the messages are those that people report (integrately.com's list of Freshworks CRM errors), unless a row says
/// otherwise.
pub(crate) fn classify(reply: &Response) -> Failure {
    let said = Said::of(reply);
    let failure = match reply.status.as_u16() {
        // "Too many requests" (Freshworks support, API limits [V]). No header is documented; Retry-After is heeded.
        429 => Failure::new(Kind::RateLimited, Retry::After(retry_after(reply)))
            .because(phrase("Freshsales' requests of this hour are used up", &said)),
        401 => Failure::new(Kind::Unauthorized, Retry::Never).because(phrase(
            "Freshsales refuses the API key; take it anew from Settings, API Settings and set `api_key`",
            &said,
        )),
        402 | 403 => Failure::new(Kind::Forbidden, Retry::Never).because(phrase(
            "the API key's user may not do this in Freshsales, or the plan does not allow it; use an administrator's key",
            &said,
        )),
        404 => Failure::new(Kind::NotFound, Retry::Never).because(phrase("Freshsales has no such record", &said)),
        400 | 409 | 422 => refused(reply.status.as_u16(), &said),
        // A form Freshsales does not take here.
        405 | 406 | 413 | 415 => {
            Failure::new(Kind::Invalid, Retry::Never).because(phrase("Freshsales does not take this request", &said))
        }
        408 | 500..=599 => {
            Failure::new(Kind::Unavailable, Retry::Backoff).because(phrase("Freshsales is in trouble", &said))
        }
        // A renamed account is sent elsewhere [M].
        300..=399 => Failure::new(Kind::Unavailable, Retry::Backoff)
            .because("Freshsales sends to another address; check `domain`"),
        // Not in the table: not plainly our fault, so it is worth a retry.
        status => Failure::new(Kind::Malformed, Retry::Backoff)
            .because(phrase(&format!("Freshsales answers with an unknown status {status}"), &said)),
    };
    match said.code {
        Some(code) => failure.code(code),
        None => failure,
    }
}

fn refused(status: u16, said: &Said) -> Failure {
    // "UCR contact fetch failure :: response_code :: 429 :: …": the service behind that keeps contacts was busy.
    if said.says(&["response_code :: 429", "too many requests"]) {
        return Failure::new(Kind::RateLimited, Retry::After(WAIT_BEHIND))
            .because(phrase("a service behind Freshsales is busy", said));
    }
    if said.says(&["response_code :: 5"]) {
        return Failure::new(Kind::Unavailable, Retry::Backoff)
            .because(phrase("a service behind Freshsales is in trouble", said));
    }
    // "MobileNumber is not unique", "Email is not unique", "Contact is not unique".
    if status == 409 || said.says(&["is not unique", "already exists", "has already been taken"]) {
        return Failure::new(Kind::Conflict, Retry::Never).because(phrase(
            "another contact has this already, perhaps one in the recycle bin: restore it, or delete it for good",
            said,
        ));
    }
    let invalid = Failure::new(Kind::Invalid, Retry::Never);
    // [M]
    if said.says(&["targetable"]) {
        return invalid.about(About::Contact).because(phrase("Freshsales does not know whose call it is", said));
    }
    if said.says(&["not a unique field", "unique_identifier", "unique identifier"]) {
        return invalid.because(phrase(
            "Freshsales cannot tell contacts apart by their mobile number: make it unique (Admin Settings, Contacts, \
             Mobile)",
            said,
        ));
    }
    // [M] for the words.
    if said.says(&["can't be blank", "cannot be blank", "mandatory", "is required", "is missing"]) {
        return invalid.because(phrase(
            "Freshsales wants a field that Patchbay does not fill: set it in `defaults.contact` (a field of your own in \
             `defaults.contact.custom_field`), or make it optional (Admin Settings, Contacts)",
            said,
        ));
    }
    invalid.because(phrase("Freshsales refuses the request; check `defaults`", said))
}

/// Our words, and what Freshsales said.
fn phrase(ours: &str, said: &Said) -> String {
    if said.messages.is_empty() {
        return ours.to_owned();
    }
    let told: Vec<&str> = said.messages.iter().take(TOLD).map(String::as_str).collect();
    format!("{ours} (\"{}\")", told.join("\", \""))
}

/// The wait that a 429 asks for.
fn retry_after(reply: &Response) -> Duration {
    reply.retry_after().map_or(WAIT, |wait| wait.min(WAIT_MAX))
}
