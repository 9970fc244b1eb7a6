//! Freshchat's error table: what a reply that is no success means, and what a person can do about it.

use std::time::Duration;

use patchbay_kit::{About, Failure, Kind, Response, Retry, words};
use serde_json::Value;

/// The wait after a 429 that does not say how long.
const WAIT: Duration = Duration::from_secs(60);
/// The longest wait that is believed.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// An error body. Everything in it is optional: a proxy sends HTML.
///
/// `{"code":404,"status":"AGENT_NOT_FOUND","message":"…"}` ("Freshchat API, Response message" \[V\]), or, older,
/// `{"error":"…","detail":"…","code":…,"more_info":"…"}` \[C\].
struct Said {
    word: Option<String>,
    text: Option<String>,
}

impl Said {
    fn of(reply: &Response) -> Self {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let text = |key: &str| body.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(words::said);
        Self { word: text("status").or_else(|| text("error")), text: text("message").or_else(|| text("detail")) }
    }

    /// Whether it says that one of these is not there: by its word, or where that says nothing, in words.
    fn misses(&self, what: &str) -> bool {
        let says = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default().to_ascii_lowercase().replace(['_', '-'], " ");
            text.contains(&format!("{what} not found")) || text.contains(&format!("{what} does not exist"))
        };
        says(&self.word) || says(&self.text)
    }

    /// Which thing of ours is not there. Only `AGENT_NOT_FOUND` is documented; the others are by its pattern \[M\].
    fn about(&self) -> Option<About> {
        [("agent", About::Agent), ("user", About::Contact), ("conversation", About::Record)]
            .into_iter()
            .find_map(|(what, about)| self.misses(what).then_some(about))
    }
}

/// Whether a 404 comes from Freshchat itself, not from an address where there is no API at all.
pub(crate) fn speaks(reply: &Response) -> bool {
    Said::of(reply).word.is_some()
}

/// Reads a reply that is not a success. Statuses are those of "Freshchat API, Status and error messages" \[V\]; a row with
/// another source says so.
pub(crate) fn classify(reply: &Response) -> Failure {
    let said = Said::of(reply);
    let (about, channel) = (said.about(), said.misses("channel"));
    let never = |kind, ours: &str| Failure::new(kind, Retry::Never).because(phrase(ours, &said));
    let failure = match reply.status.as_u16() {
        429 => Failure::new(Kind::RateLimited, Retry::After(retry_after(reply)))
            .because(phrase("Freshchat's request limit is used up", &said)),
        // Wrong, revoked, or past its `exp`.
        401 => never(
            Kind::Unauthorized,
            "Freshchat refuses the API token, which may have ended; generate one (Admin, API Tokens) and set `api_key`",
        ),
        403 => {
            never(Kind::Forbidden, "the API token may not do this in Freshchat; use one of an account administrator")
        }
        // A channel that is not there says 404 or, as a wrong value, 400 [M].
        400 | 404 if channel => never(Kind::Invalid, "Freshchat has no such channel; correct `channel_id`"),
        400 | 404 if about == Some(About::Agent) => never(
            Kind::Invalid,
            "the agent is not in Freshchat any more, or deactivated; correct the user mapping or `defaults.actor_id`",
        ),
        400 | 404 if about.is_some() => never(Kind::NotFound, "it is not in Freshchat any more"),
        404 => never(Kind::NotFound, "Freshchat has no such thing; if it is never found, check `domain`"),
        // `reference_id` is taken [M].
        409 => never(Kind::Conflict, "Freshchat holds it already"),
        400 | 422 => never(Kind::Invalid, "Freshchat refuses the request"),
        // Not in the table [M]: a method, size or content type that is not taken is Patchbay's fault.
        405 | 406 | 413 | 415 => never(Kind::Invalid, "Freshchat does not take this request"),
        408 | 500..=599 => {
            Failure::new(Kind::Unavailable, Retry::Backoff).because(phrase("Freshchat is in trouble", &said))
        }
        // An account that was renamed or moved is sent elsewhere [M].
        300..=399 => Failure::new(Kind::Unavailable, Retry::Backoff)
            .because("Freshchat sends to another address; check `domain`"),
        // Not in the table: not plainly our fault, so it is worth a retry.
        status => Failure::new(Kind::Malformed, Retry::Backoff)
            .because(phrase(&format!("Freshchat answers with an unknown status {status}"), &said)),
    };
    let failure = match said.word.clone() {
        Some(word) => failure.code(word),
        None => failure,
    };
    match about.filter(|_| matches!(reply.status.as_u16(), 400 | 404) && !channel) {
        Some(about) => failure.about(about),
        None => failure,
    }
}

/// The conversation that a call was written into is not there any more.
pub(crate) fn gone() -> Failure {
    Failure::new(Kind::NotFound, Retry::Never)
        .about(About::Record)
        .because("the conversation is not in Freshchat any more")
}

/// The wait that a 429 asks for.
fn retry_after(reply: &Response) -> Duration {
    reply.retry_after().map_or(WAIT, |wait| wait.min(WAIT_MAX))
}

/// Our words, and what Freshchat said.
fn phrase(ours: &str, said: &Said) -> String {
    match &said.text {
        Some(text) => format!("{ours} (\"{text}\")"),
        None => ours.to_owned(),
    }
}
