//! LeadSquared's error table: what an exception means, and what a person can do about it.

use std::time::Duration;

use patchbay_kit::{About, Failure, Kind, Response, Retry, words};
use serde_json::Value;

/// The wait after a limit that does not say over what time it counts ("Get Users", response codes \[V\]).
const WAIT: Duration = Duration::from_secs(5);
/// The wait for a limit of a day: it is asked again now and then, as nobody says when the day is over.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// The envelope of every error ("Error Handling" \[V\]).
pub(crate) struct Said {
    /// `MX…Exception`; empty where there is no envelope.
    pub(crate) kind: String,
    message: String,
}

impl Said {
    pub(crate) fn of(reply: &Response) -> Self {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(words::said).unwrap_or_default();
        Self { kind: text("ExceptionType"), message: text("ExceptionMessage") }
    }

    fn is(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind)
    }

    /// Whether it says that there is no lead: how a call route may say that it knows nobody \[M\].
    pub(crate) fn knows_nobody(&self) -> bool {
        let all = format!("{} {}", self.kind, self.message).to_ascii_lowercase();
        !self.kind.is_empty()
            && ["lead", "prospect", "owner", "record"].iter().any(|what| all.contains(what))
            && ["not found", "notfound", "no lead", "unknownprospect", "does not exist", "not exist"]
                .iter()
                .any(|gone| all.contains(gone))
    }
}

/// Whether a reply is an error, under whatever status: a limit \[C\] and a duplicate \[C\] have been seen under 200.
pub(crate) fn inside(reply: &Response) -> Result<(), Failure> {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let error = body.get("Status").and_then(Value::as_str).is_some_and(|status| status.eq_ignore_ascii_case("error"));
    if error || !reply.status.is_success() { Err(classify(reply)) } else { Ok(()) }
}

/// Whether the reply says that the lead is there already.
pub(crate) fn is_duplicate(reply: &Response) -> bool {
    Said::of(reply).is("MXDuplicateEntryException")
}

/// Whether the reply says that the activity is not there.
pub(crate) fn is_unknown_activity(reply: &Response) -> bool {
    Said::of(reply).is("MXUnknownProspectActivityException")
}

/// Reads a reply that is not a success. Statuses are those of "Error Handling" \[V\], names of exceptions have been seen
/// in answers \[C\] unless a row says otherwise. What begins with `MX` is LeadSquared's own verdict and final: its own
/// queue tries only the others again ("Async API" \[V\]).
pub(crate) fn classify(reply: &Response) -> Failure {
    let said = Said::of(reply);
    let kind = said.kind.to_ascii_lowercase();
    let never = |kind| Failure::new(kind, Retry::Never);
    let failure = match (reply.status.as_u16(), kind.as_str()) {
        // "API calls exceeded the limit of 25 in 5 second(s)"; under 429 [V], under 200 [C].
        (429, _) | (_, "mxapiratelimitexceededexception") => {
            Failure::new(Kind::RateLimited, Retry::After(wait(&said.message)))
                .because(phrase("LeadSquared's request limit is used up", &said))
        }
        // Keys of nobody, of an inactive user, or of another region, which the message names ("Authenticate a User" [V]);
        // a capability URL of nobody [M].
        (401, _) => never(Kind::Unauthorized).because(phrase(
            "LeadSquared refuses the credentials; set `access_key`, `secret_key` and `api_url`, or the three URLs of \
             the Universal Telephony Connector, anew",
            &said,
        )),
        (403, _) | (_, "mxunauthorizedrequestexception" | "mxunauthorizedaccessexception") => never(Kind::Forbidden)
            .because(phrase("the user of the API keys may not do this; use the keys of an administrator", &said)),
        // "The API could not be found": every record is asked for by parameters, so it is the address that is wrong [V].
        (404, _) => never(Kind::Unauthorized).because(phrase(
            "LeadSquared has nothing at this address; copy the URLs of the Universal Telephony Connector again, and \
             set `api_url` to the host alone",
            &said,
        )),
        (_, "mxduplicateentryexception") => {
            never(Kind::Conflict).because(phrase("LeadSquared has this lead already", &said))
        }
        (_, "mxunknownprospectactivityexception") => never(Kind::NotFound)
            .about(About::Record)
            .because(phrase("the call's activity is not there any more", &said)),
        (_, "mxmandatoryattributemissingexception") => never(Kind::Invalid).because(missing(&said)),
        (_, "mxunknownattributeexception") => never(Kind::Invalid).because(phrase(
            "LeadSquared has no such lead field; take it out of `defaults.lead` (it wants the schema name, mx_…)",
            &said,
        )),
        // The names of these two are [M]; what they are about shows in the message as well.
        (_, kind) if kind.starts_with("mx") && about_user(kind, &said.message) => never(Kind::Invalid)
            .about(About::Agent)
            .because(phrase("LeadSquared does not take this user; he may have been deactivated", &said)),
        (_, kind) if kind.starts_with("mx") && about_lead(kind) => {
            never(Kind::Invalid).about(About::Contact).because(phrase("the lead is not there any more", &said))
        }
        // `MXInvalidInputException` and the rest of them.
        (_, kind) if kind.starts_with("mx") => {
            never(Kind::Invalid).because(phrase("LeadSquared refuses the request", &said))
        }
        // "The message body on the request is not as per API specification" [V]
        (400 | 405 | 406 | 415, _) => {
            never(Kind::Invalid).because(phrase("LeadSquared does not take this request", &said))
        }
        // Somebody has put another address in front, or has left out the `s` of https.
        (300..=399, _) => Failure::new(Kind::Unavailable, Retry::Backoff)
            .because("LeadSquared sends to another address; check `api_url` and the three URLs"),
        // An exception that is not LeadSquared's own, or none at all: theirs to mend.
        (200..=299 | 408 | 500..=599, _) => {
            Failure::new(Kind::Unavailable, Retry::Backoff).because(phrase("LeadSquared is in trouble", &said))
        }
        (status, _) => Failure::new(Kind::Malformed, Retry::Backoff)
            .because(phrase(&format!("LeadSquared answers with an unknown status {status}"), &said)),
    };
    if said.kind.is_empty() { failure } else { failure.code(said.kind) }
}

fn about_user(kind: &str, message: &str) -> bool {
    kind.contains("unknownuser") || ["UserId", "OwnerId"].iter().any(|field| message.contains(field))
}

fn about_lead(kind: &str) -> bool {
    ["unknownprospect", "unknownlead", "leadnotfound"].iter().any(|name| kind.contains(name))
}

/// What can be done about a mandatory field: those of a lead can be given a value.
fn missing(said: &Said) -> String {
    let field = said.message.split('\'').nth(1).unwrap_or("the field");
    phrase(&format!("LeadSquared wants `{field}`; set `defaults.lead.{field}`, or make the field optional there"), said)
}

/// The wait that a limit's own words suggest: "... in 5 second(s)".
fn wait(message: &str) -> Duration {
    let said = message.rsplit_once(" in ").and_then(|(_, time)| {
        let (number, unit) = time.trim().split_once(' ')?;
        let unit = match unit.to_ascii_lowercase() {
            unit if unit.starts_with("second") => 1,
            unit if unit.starts_with("minute") => 60,
            unit if unit.starts_with("hour") => 3600,
            unit if unit.starts_with("day") => 86_400,
            _ => return None,
        };
        Some(Duration::from_secs(number.parse::<u32>().ok().map(u64::from)? * unit))
    });
    said.map_or(WAIT, |wait| wait.clamp(Duration::from_secs(1), WAIT_MAX))
}

/// Our words, and what LeadSquared said.
fn phrase(ours: &str, said: &Said) -> String {
    if said.message.is_empty() { ours.to_owned() } else { format!("{ours} (\"{}\")", said.message) }
}
