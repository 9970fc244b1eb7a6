//! From a receipt to what it says: one lenient reader for every encoding Exotel uses.

mod facts;
mod fields;
mod identity;
mod legs;
mod recording;
mod time;

#[cfg(test)]
mod tests;

use jiff::tz::Offset;

use super::{
    event::{CallEvent, EventKind, KeyedAt},
    receipt::{Hook, Receipt},
};
use fields::Fields;

pub use recording::recording_allowed;

/// The longest CallSid there may be: Exotel's have 32 characters and are the key of everything.
const MAX_CALL_SID: usize = 128;
/// The longest name of an unknown event that is kept.
const MAX_KIND: usize = 64;

/// What reading an account's callbacks depends on.
#[derive(Clone, Debug)]
pub struct Locale {
    /// Of Exotel's naive timestamps (exotel-api §1.6).
    pub utc_offset: Offset,
    /// ISO 3166 country of numbers written nationally: `IN`.
    pub country: String,
    /// Origins (scheme, host, port) beside Exotel's own hosts that a recording may come from: the account's `api_url`.
    pub recording_origins: Vec<url::Origin>,
}

/// Why a receipt cannot be read. It is set aside with this, and can be replayed once that is mended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    #[error("no CallSid in query or body")]
    NoCallSid,
    #[error("the body is not {0}")]
    Unreadable(&'static str),
}

/// Reads a receipt: query and body, form, multipart or JSON, become one set of fields (the body adds to the query), and
/// those become one event.
///
/// # Errors
/// [`Poison`] when there is no CallSid to be found in it.
pub fn normalise(receipt: &Receipt, locale: &Locale) -> Result<CallEvent, Poison> {
    let (mut fields, unreadable) = Fields::read(&receipt.query, receipt.content_type.as_deref(), &receipt.body);
    let Some(call_sid) = call_sid(&mut fields).or_else(|| asked_about(receipt)) else {
        return Err(unreadable.map_or(Poison::NoCallSid, Poison::Unreadable));
    };
    let (kind, mut facts) = match receipt.hook {
        Hook::CallEvents => {
            let (kind, keyed_at, automatic) = applet_kind(&mut fields);
            let mut facts = facts::of_applet(&mut fields, keyed_at, locale);
            facts.automatic = automatic;
            (kind, facts)
        }
        Hook::Status => match fields.take("LegSid") {
            // A leg of its own: somebody listening in (exotel-api §5.2). Its end is not the call's.
            Some(_) => (EventKind::Other("leg".to_owned()), facts::of_leg(&mut fields)),
            None => (EventKind::StatusChanged, facts::of_status(&mut fields, locale)),
        },
        Hook::Details => (EventKind::Detailed, facts::of_details(&mut fields, locale)),
    };
    let at = ["CurrentTime", "EventTime", "DateUpdated"]
        .into_iter()
        .find_map(|key| fields.take(key).and_then(|text| time::parse(&text, locale.utc_offset)));
    facts.other = fields.rest();
    if let Some(what) = unreadable {
        facts.other.insert("unreadable body".to_owned(), what.to_owned());
    }
    let id = identity::of(receipt.hook, &call_sid, &kind, at, &facts);
    Ok(CallEvent { id, call_sid, kind, at, received_at: receipt.received_at, facts })
}

fn call_sid(fields: &mut Fields) -> Option<String> {
    let plausible =
        |sid: &String| sid.chars().count() <= MAX_CALL_SID && !sid.chars().any(|c| c.is_whitespace() || c.is_control());
    fields.take("CallSid").filter(plausible).or_else(|| fields.take("Sid").filter(plausible))
}

/// The call that details were asked of: an answer that there is no such call names none (exotel-api §1.5).
fn asked_about(receipt: &Receipt) -> Option<String> {
    let file = receipt.path.rsplit('/').next().filter(|_| receipt.hook == Hook::Details)?;
    Some(file.strip_suffix(".json").unwrap_or(file).to_owned()).filter(|sid| !sid.is_empty())
}

/// What sort of event an applet's request is: by the `event` that the flow's author put into the URL, else by what
/// Exotel itself says (exotel-api §4.2 and §4.3).
fn applet_kind(fields: &mut Fields) -> (EventKind, Option<KeyedAt>, bool) {
    let Some(event) = fields.take("event") else {
        return (inferred_kind(fields), None, false);
    };
    let kind = match event.to_ascii_lowercase().as_str() {
        "pop" => popup_kind(fields),
        "answered" => EventKind::Completed,
        "automated_answered" => return (EventKind::Completed, None, true),
        "missed" => EventKind::Missed,
        "ivr" => return (EventKind::Gathered, Some(KeyedAt::Ivr), false),
        "gather" => return (EventKind::Gathered, Some(KeyedAt::Gather), false),
        "end" => EventKind::FlowEnded,
        "voicemail" => EventKind::Voicemail,
        other => EventKind::Other(other.chars().take(MAX_KIND).collect()),
    };
    (kind, None, false)
}

/// `Status` says the same as `EventType`, only less: `busy` when dialling starts, `free` when the attempt is over.
fn popup_kind(fields: &mut Fields) -> EventKind {
    let event_type = fields.take("EventType").map(|text| text.to_ascii_lowercase());
    let status = fields.peek("Status").map(|text| text.to_ascii_lowercase());
    match (event_type.as_deref(), status.as_deref()) {
        (Some("dial"), _) | (None, Some("busy")) => EventKind::Dialing,
        (Some("ringing"), _) => EventKind::Ringing,
        (Some("answered"), _) => EventKind::Answered,
        (Some("terminal"), _) | (None, Some("free")) => EventKind::AttemptEnded,
        (Some(other), _) => EventKind::Other(format!("pop {other}").chars().take(MAX_KIND).collect()),
        (None, _) => EventKind::Other("pop".to_owned()),
    }
}

fn inferred_kind(fields: &mut Fields) -> EventKind {
    let said = |key: &str| fields.peek(key).map(str::to_ascii_lowercase).unwrap_or_default();
    let popup = fields.peek("EventType").is_some()
        || (matches!(said("Status").as_str(), "busy" | "free") && fields.peek("DialWhomNumber").is_some());
    if popup {
        return popup_kind(fields);
    }
    match (said("CallType").as_str(), said("DialCallStatus").as_str()) {
        ("voicemail", _) => EventKind::Voicemail,
        (_, "completed") => EventKind::Completed,
        (_, "busy" | "no-answer" | "failed" | "canceled" | "cancelled") => EventKind::Missed,
        // `call` is how `completed` was called before 2013.
        ("completed" | "call", _) => EventKind::Completed,
        ("client-hangup" | "incomplete", _) => EventKind::Missed,
        _ if fields.peek("digits").is_some() => EventKind::Gathered,
        _ => EventKind::Other("passthru".to_owned()),
    }
}
