//! Zoho's error table: what a refusal means, alone, inside `data` or inside a success, and what can be done about it.

use std::time::Duration;

use patchbay_kit::{About, Failure, Kind, Response, Retry, words};
use serde_json::Value;

/// The wait after a 429: of too many requests at once, which is soon over.
const WAIT: Duration = Duration::from_secs(30);
/// The wait when the credits of the rolling day are used up; they come back bit by bit.
const WAIT_CREDITS: Duration = Duration::from_secs(15 * 60);

/// What was being written; settles which table of the configuration a remedy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Call,
    Lead,
    Task,
    Event,
    PlannedCall,
}

impl On {
    pub(crate) fn module(self) -> &'static str {
        match self {
            Self::Call | Self::PlannedCall => "Calls",
            Self::Lead => "Leads",
            Self::Task => "Tasks",
            Self::Event => "Events",
        }
    }

    /// The table of `defaults` for such a record; that of calls is `defaults` itself.
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Call => "",
            Self::Lead => "lead",
            Self::Task => "task",
            Self::Event => "event",
            Self::PlannedCall => "planned_call",
        }
    }

    fn key(self, field: &str) -> String {
        match self.table() {
            "" => format!("`defaults.{field}`"),
            table => format!("`defaults.{table}.{field}`"),
        }
    }
}

/// What Patchbay itself writes: no default can mend it.
const OUR_FIELDS: &[&str] =
    &["Subject", "Description", "Call_Type", "Call_Start_Time", "Call_Duration", "Last_Name", "Phone", "Event_Title"];

/// An error as Zoho describes it: `{"code","details","message","status":"error"}` ("Status Codes and Errors", v8 \[V\]).
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    /// `details.api_name`; for a lookup whose id is wrong, the lookup.
    pub(crate) field: Option<String>,
    /// Who holds a value that must be unique: `details.id` in older versions, `details.duplicate_record.id` in newer.
    pub(crate) holder: Option<String>,
    /// The column a query is refused for.
    pub(crate) column: Option<String>,
    message: String,
    /// The record that was to be changed is not there.
    gone: bool,
}

impl Refusal {
    /// Reads an error object; a success, or anything else, is none.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        let code = value.get("code")?.as_str()?;
        // PhoneBridge's pages name a general code and put the error into the message [V]; both are understood.
        let message = text(value, "message");
        let code = if code.starts_with("SC_") && !message.is_empty() { &message } else { code };
        if code == "SUCCESS" {
            return None;
        }
        let details = value.get("details").unwrap_or(&Value::Null);
        let (name, path) = (text(details, "api_name"), text(details, "json_path"));
        let field = match name.as_str() {
            "id" => path.rsplit('.').nth(1).filter(|field| !field.contains('[')).map(words::said),
            "" => None,
            name => Some(name.to_owned()),
        };
        let id = |value: &Value| value.get("id").and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            code: words::said(code),
            holder: details.get("duplicate_record").and_then(id).or_else(|| id(details)),
            column: Some(text(details, "column_name")).filter(|column| !column.is_empty()),
            gone: code == "INVALID_DATA" && field.is_none() && (name == "id" || message.contains("id given")),
            field,
            message,
        })
    }

    /// The refusal in a reply: the reply itself, or the first record's.
    pub(crate) fn in_reply(reply: &Response) -> Option<Self> {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        body.pointer("/data/0").and_then(Self::of).or_else(|| Self::of(&body))
    }

    fn about(&self) -> Option<About> {
        match self.field.as_deref() {
            _ if self.gone => Some(About::Record),
            Some("Who_Id" | "What_Id") => Some(About::Contact),
            Some("Owner") => Some(About::Agent),
            _ => None,
        }
    }

    /// What it means. Codes are those of "Status Codes and Errors" (v8) \[V\]; a row with another source says so.
    pub(crate) fn failure(&self, on: On) -> Failure {
        let failure = match self.code.as_str() {
            "INVALID_TOKEN" | "AUTHENTICATION_FAILURE" => unauthorized(),
            // PhoneBridge and older versions call it so [M].
            "INVALID_OAUTHTOKEN" => unauthorized(),
            // It comes with 401, as the page says, or 403, as others saw [C]; a new token of the same consent mends nothing.
            "OAUTH_SCOPE_MISMATCH" => Failure::new(Kind::Forbidden, Retry::Never)
                .because("the consent does not cover this; consent again with all scopes of the set-up page"),
            "NO_PERMISSION" | "PERMISSION_DENIED" => Failure::new(Kind::Forbidden, Retry::Never)
                .because("the user who consented may not do this in Zoho CRM; give his profile the permission"),
            "TOO_MANY_REQUESTS" => Failure::new(Kind::RateLimited, Retry::After(WAIT))
                .because("too many requests at once, or the day's API credits are used up"),
            "MANDATORY_NOT_FOUND" => Failure::new(Kind::Invalid, Retry::Never).because(self.missing(on)),
            "INVALID_DATA" => self.invalid(on),
            "DUPLICATE_DATA" => Failure::new(Kind::Conflict, Retry::Never).because(format!(
                "`{}` takes no value twice, and another record has it",
                self.field.as_deref().unwrap_or("a field")
            )),
            "RECORD_MODIFIED" | "RECORD_LOCKED" | "RECORD_IN_PROCESS" => Failure::new(Kind::Conflict, Retry::Backoff)
                .because(format!("the record is held by somebody else: {}", self.message)),
            "INVALID_MODULE" | "NOT_SUPPORTED" => Failure::new(Kind::Unsupported, Retry::Never)
                .because(format!("the module {} cannot be used in this organisation", on.module())),
            "INVALID_QUERY" | "SYNTAX_ERROR" => Failure::new(Kind::Invalid, Retry::Never).because(self.query()),
            "INVALID_URL_PATTERN" => {
                Failure::new(Kind::NotFound, Retry::Never).because("Zoho CRM does not know the address")
            }
            "INVALID_REQUEST_METHOD" | "LIMIT_EXCEEDED" => Failure::new(Kind::Invalid, Retry::Never)
                .because(format!("Zoho CRM refuses the request: {}", self.message)),
            "INTERNAL_ERROR" | "INTERNAL_SERVER_ERROR" => {
                Failure::new(Kind::Unavailable, Retry::Backoff).because("Zoho is in trouble")
            }
            // "PhoneBridge v3, Call Notify" [V]
            "REQUIRED_PARAM_MISSING" => {
                Failure::new(Kind::Invalid, Retry::Never).because("PhoneBridge misses a parameter of the call")
            }
            // "PhoneBridge v3, Integrate" [V]
            "PROVIDER_NOT_REGISTERED" => Failure::new(Kind::Forbidden, Retry::Never).because(
                "PhoneBridge does not know this client; have it registered as a provider, or set `phonebridge = false`",
            ),
            "DIFFERENT_PROVIDER_ALREADY_ENABLED" => Failure::new(Kind::Forbidden, Retry::Never).because(
                "another telephony provider is switched on in Zoho; switch it off under Setup, Channels, Telephony, or \
                 set `phonebridge = false`",
            ),
            // What is not known is likelier our fault than the weather: it is told, and not repeated.
            _ => Failure::new(Kind::Invalid, Retry::Never).because(format!("Zoho CRM refuses: {}", self.message)),
        };
        let failure = failure.code(self.code.as_str());
        match self.about() {
            Some(about) => failure.about(about),
            None => failure,
        }
    }

    fn missing(&self, on: On) -> String {
        match self.field.as_deref() {
            None => "Zoho CRM misses a mandatory field".to_owned(),
            Some(field) if OUR_FIELDS.contains(&field) => format!("Zoho CRM misses `{field}`, which the call has not"),
            Some(field) => format!("`{field}` is mandatory in Zoho CRM; set {}", on.key(field)),
        }
    }

    fn invalid(&self, on: On) -> Failure {
        let failure = Failure::new(Kind::Invalid, Retry::Never);
        match self.field.as_deref() {
            _ if self.gone => gone(),
            Some("Who_Id" | "What_Id") => failure.because("the caller's record is not in Zoho CRM any more"),
            Some("Owner") => {
                failure.because("the user is not active in Zoho CRM, or the call is over and keeps its owner")
            }
            Some(field) if OUR_FIELDS.contains(&field) => {
                failure.because(format!("Zoho CRM refuses the value of `{field}`: {}", self.message))
            }
            Some(field) => {
                failure.because(format!("Zoho CRM refuses `{field}`: {}; correct {}", self.message, on.key(field)))
            }
            None => failure.because(format!("Zoho CRM refuses the data: {}", self.message)),
        }
    }

    fn query(&self) -> String {
        match &self.column {
            Some(column) => format!(
                "Zoho CRM has no field `{column}` here; make it, or set `call_sid_field` to the API name it has"
            ),
            None => format!("Zoho CRM does not understand the query: {}", self.message),
        }
    }
}

fn unauthorized() -> Failure {
    Failure::new(Kind::Unauthorized, Retry::AfterRefresh).because(
        "Zoho refuses the access token; if a new one does not help, consent again and set `refresh_token`, and see \
         that `accounts_url` is that of your data centre",
    )
}

/// Reads a reply that is not a success.
pub(crate) fn classify(reply: &Response, on: On) -> Failure {
    let status = reply.status.as_u16();
    let refusal = Refusal::in_reply(reply);
    match (status, &refusal) {
        (429, _) => {
            let used_up = reply.header("x-api-credits-remaining").is_some_and(|left| left.trim() == "0");
            let failure = if used_up {
                Failure::new(Kind::RateLimited, Retry::After(WAIT_CREDITS))
                    .because("the API credits of the last 24 hours are used up; Zoho sells more")
            } else {
                Failure::new(Kind::RateLimited, Retry::After(WAIT)).because("too many requests at once")
            };
            match refusal {
                Some(refusal) => failure.code(refusal.code),
                None => failure,
            }
        }
        // A proxy's 5xx may carry anything.
        (500..=599, refusal) => {
            let failure = Failure::new(Kind::Unavailable, Retry::Backoff).because(format!("Zoho answers {status}"));
            refusal.iter().fold(failure, |failure, refusal| failure.code(refusal.code.as_str()))
        }
        (401, None) => unauthorized(),
        (401, Some(refusal)) if refusal.code != "OAUTH_SCOPE_MISMATCH" => unauthorized().code(refusal.code.as_str()),
        (_, Some(refusal)) => refusal.failure(on),
        (403, None) => Failure::new(Kind::Forbidden, Retry::Never).because("Zoho answers 403 and does not say why"),
        (404, None) => Failure::new(Kind::NotFound, Retry::Never).because("Zoho does not know the address"),
        (400 | 405 | 406 | 413 | 415, None) => {
            Failure::new(Kind::Invalid, Retry::Never).because(format!("Zoho answers {status} and does not say why"))
        }
        (300..=399, None) => Failure::new(Kind::Unavailable, Retry::Backoff)
            .because("the address answers with a redirect; see `accounts_url` and `base_url`"),
        _ => Failure::new(Kind::Malformed, Retry::Backoff).because(format!("an answer nobody expects: {status}")),
    }
}

/// The record is not there any more.
pub(crate) fn gone() -> Failure {
    Failure::new(Kind::NotFound, Retry::Never)
        .about(About::Record)
        .because("the record is not in Zoho CRM any more; resync the call to make a new one")
}

/// A success nobody can read.
pub(crate) fn malformed() -> Failure {
    Failure::new(Kind::Malformed, Retry::Backoff).because("unreadable reply")
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).map(words::said).unwrap_or_default()
}
