//! HubSpot's error table: what a reply that is no success means, and what a person can do about it.

use std::time::Duration;

use patchbay_kit::{About, Failure, Kind, Response, Retry, words};
use serde_json::Value;

/// What was being written; settles which table of the configuration a remedy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Call,
    Contact,
    Task,
    Ticket,
}

impl On {
    fn table(self) -> &'static str {
        match self {
            Self::Call => "defaults",
            Self::Contact => "defaults.contact",
            Self::Task => "defaults.task",
            Self::Ticket => "defaults.ticket",
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const TEN_SECONDS: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);
/// The longest wait that is believed: a migration says up to a day ("Error handling" \[V\], 477).
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// A lock on a record lasts this long ("Error handling" \[V\], 423).
const LOCK: Duration = Duration::from_secs(2);
/// Refused properties that are told.
const PROPERTIES_TOLD: usize = 5;
/// Before the list of refused properties inside a message.
const LIST_IN_MESSAGE: &str = "Property values were not valid:";

/// A property that was refused.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) property: String,
    code: String,
    message: String,
}

impl Refused {
    /// Another record has the value, which must be unique.
    pub(crate) fn taken(&self) -> bool {
        self.code == "CONFLICTING_UNIQUE_VALUE" || self.message.contains("already has that value")
    }
}

/// An error body, also an item of a batch's `errors`. "Error handling" \[V\] says that every part of it is optional.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    message: Option<String>,
    pub(crate) category: Option<String>,
    policy: Option<String>,
    /// Properties that were required and not given.
    missing: Vec<String>,
    scopes: Vec<String>,
    pub(crate) refused: Vec<Refused>,
}

impl Said {
    pub(crate) fn of(reply: &Response) -> Self {
        Self::of_body(&serde_json::from_slice(&reply.body).unwrap_or_default())
    }

    pub(crate) fn of_body(body: &Value) -> Self {
        let text = |key: &str| body.get(key).and_then(Value::as_str);
        let texts = |path: &str| {
            let list = body.pointer(path).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).map(words::said).collect::<Vec<_>>()
        };
        let errors = body.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut refused: Vec<Refused> = errors.iter().filter_map(refused).collect();
        if refused.is_empty() {
            // Some answers have the list only inside the message, as JSON.
            let list = text("message").and_then(|message| message.split_once(LIST_IN_MESSAGE));
            let list: Vec<Value> = list.and_then(|(_, list)| serde_json::from_str(list).ok()).unwrap_or_default();
            refused = list.iter().filter_map(refused_in_message).collect();
        }
        let mut scopes = texts("/context/requiredGranularScopes");
        scopes.extend(errors.iter().flat_map(|error| {
            let list = error.pointer("/context/requiredGranularScopes").and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).map(words::said).collect::<Vec<_>>()
        }));
        Self {
            message: text("message")
                .map(|message| words::said(message.split(LIST_IN_MESSAGE).next().unwrap_or(message).trim())),
            category: text("category").or_else(|| text("errorType")).map(words::said),
            policy: text("policyName").map(words::said),
            missing: texts("/context/properties"),
            scopes,
            refused,
        }
    }

    /// The id in "Contact already exists. Existing ID: 6001" \[C\].
    pub(crate) fn existing(&self) -> Option<String> {
        let (_, rest) = self.message.as_deref()?.split_once("Existing ID:")?;
        let id: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        (!id.is_empty()).then_some(id)
    }
}

/// `{"message","code","in","context":{"propertyName":["…"]}}` \[S\]
fn refused(error: &Value) -> Option<Refused> {
    let text = |key: &str| error.get(key).and_then(Value::as_str).map(words::said);
    let named = error.pointer("/context/propertyName/0").and_then(Value::as_str).map(words::said);
    Some(Refused {
        property: named.or_else(|| text("in"))?,
        code: text("code").unwrap_or_default(),
        message: text("message").unwrap_or_default(),
    })
}

/// `{"isValid":false,"message","error","name"}` \[C\]
fn refused_in_message(error: &Value) -> Option<Refused> {
    let text = |key: &str| error.get(key).and_then(Value::as_str).map(words::said);
    Some(Refused {
        property: text("name")?,
        code: text("error").unwrap_or_default(),
        message: text("message").unwrap_or_default(),
    })
}

/// Reads a reply that is not a success. Statuses are those of "Error handling" \[V\] unless a row says otherwise.
pub(crate) fn classify(reply: &Response, on: On, app: bool) -> Failure {
    let wait = reply.retry_after().map(|wait| wait.min(WAIT_MAX));
    read(reply.status.as_u16(), &Said::of(reply), wait, on, app)
}

/// Reads an item of a batch's `errors`: its category stands for the status that a single request would have had.
pub(crate) fn classify_item(error: &Value, on: On, app: bool) -> Failure {
    let said = Said::of_body(error);
    let status = match said.category.as_deref() {
        Some("VALIDATION_ERROR" | "INVALID_PARAMS") => 400,
        Some("MISSING_SCOPES") => 403,
        Some("OBJECT_NOT_FOUND") => 404,
        Some("CONFLICT") => 409,
        Some("RATE_LIMIT" | "RATE_LIMITS") => 429,
        // What is not plainly our fault passes.
        _ => 500,
    };
    read(status, &said, None, on, app)
}

fn read(status: u16, said: &Said, wait: Option<Duration>, on: On, app: bool) -> Failure {
    let renewed = if app { Retry::AfterRefresh } else { Retry::Never };
    let failure = match status {
        // "API usage guidelines, Rate limits" [V]: `policyName` tells which. The day ends at midnight of the account's
        // time zone, which nobody knows here: asking again every hour costs nothing.
        429 => {
            let policy = said.policy.as_deref().unwrap_or_default();
            let usual = match policy {
                "DAILY" => HOUR,
                "SECONDLY" => SECOND,
                _ => TEN_SECONDS,
            };
            let what = if policy == "DAILY" {
                "HubSpot's request limit of the day is used up"
            } else {
                "HubSpot's request limit is used up"
            };
            Failure::new(Kind::RateLimited, Retry::After(wait.unwrap_or(usual))).because(phrase(what, said))
        }
        // `EXPIRED_AUTHENTICATION`, `INVALID_AUTHENTICATION`; a private app's token does not expire.
        401 if app => Failure::new(Kind::Unauthorized, renewed).because(phrase(
            "HubSpot refuses the access token; if a new one is refused too, connect the app again (`refresh_token`)",
            said,
        )),
        401 => Failure::new(Kind::Unauthorized, renewed)
            .because(phrase("HubSpot refuses the private app's token; set the current one as `access_token`", said)),
        // `MISSING_SCOPES`
        403 => {
            let scopes = if said.scopes.is_empty() { "the set-up's".to_owned() } else { said.scopes.join(", ") };
            let ours = format!("the app lacks a scope in HubSpot; grant it {scopes}");
            Failure::new(Kind::Forbidden, Retry::Never).because(phrase(&ours, said))
        }
        // `OBJECT_NOT_FOUND`
        404 => Failure::new(Kind::NotFound, Retry::Never).because(phrase("HubSpot has no such record", said)),
        // `CONFLICT`: a unique value that is taken is for good, two writers at one record pass.
        409 if said.existing().is_some() => {
            Failure::new(Kind::Conflict, Retry::Never).because(phrase("another record has a unique value", said))
        }
        409 => Failure::new(Kind::Conflict, Retry::Backoff)
            .because(phrase("the record was written by someone else at the same time", said)),
        400 if said.refused.iter().any(Refused::taken) => {
            Failure::new(Kind::Conflict, Retry::Never).because(told(said, on))
        }
        // `VALIDATION_ERROR`
        400 | 422 => Failure::new(Kind::Invalid, Retry::Never).because(told(said, on)),
        // A method, a length or a content type that this path does not take: Patchbay's fault.
        405 | 406 | 413..=415 => {
            Failure::new(Kind::Invalid, Retry::Never).because(phrase("HubSpot does not take this request", said))
        }
        // Locked for two seconds: many requests to one record.
        423 => Failure::new(Kind::RateLimited, Retry::After(wait.unwrap_or(LOCK)))
            .because(phrase("HubSpot has locked the record for a moment", said)),
        // The account is being moved to another data centre; `Retry-After` says how long, up to a day.
        477 => Failure::new(Kind::Unavailable, Retry::After(wait.unwrap_or(HOUR)))
            .because(phrase("HubSpot is moving the account to another data centre", said)),
        // 502 and 504 are timeouts, 503 overload, 521 to 524 the network in front.
        408 | 500..=599 => {
            Failure::new(Kind::Unavailable, Retry::Backoff).because(phrase("HubSpot is in trouble", said))
        }
        300..=399 => Failure::new(Kind::Unavailable, Retry::Backoff)
            .because("HubSpot sends to another address; check `base_url`"),
        // Not in the table: not plainly our fault, so it is worth a retry.
        status => Failure::new(Kind::Malformed, Retry::Backoff)
            .because(phrase(&format!("HubSpot answers with an unknown status {status}"), said)),
    };
    let code = said.refused.first().map(|refused| refused.code.clone()).filter(|code| !code.is_empty());
    let code = code.or_else(|| said.policy.clone()).or_else(|| said.category.clone());
    let failure = match code {
        Some(code) => failure.code(code),
        None => failure,
    };
    let owner = said.refused.iter().any(|refused| refused.property == "hubspot_owner_id");
    if owner && failure.kind == Kind::Invalid { failure.about(About::Agent) } else { failure }
}

/// Our words, and what HubSpot said.
fn phrase(ours: &str, said: &Said) -> String {
    match &said.message {
        Some(text) if !text.is_empty() => format!("{ours} (\"{text}\")"),
        _ => ours.to_owned(),
    }
}

/// The refused properties, each with what can be done.
fn told(said: &Said, on: On) -> String {
    let table = on.table();
    if !said.missing.is_empty() {
        let keys: Vec<String> = said.missing.iter().map(|name| format!("`{table}.{name}`")).collect();
        return phrase(&format!("HubSpot wants properties that are not given; set {}", keys.join(", ")), said);
    }
    // segmentio/action-destinations, pull request 3957 [C]
    if said.message.as_deref().is_some_and(|message| message.contains("non-unique")) {
        return phrase(
            "a property that must have unique values has not, or is not there; make it as the set-up says",
            said,
        );
    }
    if said.refused.is_empty() {
        return phrase("HubSpot refuses the request", said);
    }
    let one = |refused: &Refused| {
        let Refused { property, code, message } = refused;
        let remedy = match code.as_str() {
            _ if refused.taken() => ": another record has this value, perhaps one that is deleted".to_owned(),
            "PROPERTY_DOESNT_EXIST" if property.starts_with("exotel_") => {
                ": make it in HubSpot with unique values, as the set-up says".to_owned()
            }
            "PROPERTY_DOESNT_EXIST" => {
                format!(": HubSpot has no such property; make it there, or remove `{table}.{property}`")
            }
            _ if property == "hubspot_owner_id" => String::new(),
            _ => format!(": correct `{table}.{property}`, if it is set there"),
        };
        format!("`{property}` [{code}] \"{message}\"{remedy}")
    };
    let mut all: Vec<String> = said.refused.iter().take(PROPERTIES_TOLD).map(one).collect();
    if said.refused.len() > PROPERTIES_TOLD {
        all.push(format!("and {} more", said.refused.len() - PROPERTIES_TOLD));
    }
    format!("HubSpot refuses {}", all.join("; "))
}
