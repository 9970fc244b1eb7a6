//! What sort of event an applet's request is: each family of hooks says it in its own way, all mean the same few things.

use super::fields::Fields;
use crate::call::{
    event::{EventKind, KeyedAt},
    receipt::Hook,
};

/// The longest name of an unknown event that is kept.
const MAX_KIND: usize = 64;

/// A sort of event, with what else the URL says of it.
pub(super) struct Kind {
    pub(super) kind: EventKind,
    pub(super) keyed_at: Option<KeyedAt>,
    pub(super) automatic: bool,
}

impl From<EventKind> for Kind {
    fn from(kind: EventKind) -> Self {
        Self { kind, keyed_at: None, automatic: false }
    }
}

/// Where the URL does not say it, or says something unknown, what Exotel itself says counts (exotel-api §4.2 and §4.3).
pub(super) fn of(hook: Hook, path: &str, fields: &mut Fields) -> Kind {
    let path = path.strip_prefix("/h/***").unwrap_or(path).trim_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    match hook {
        Hook::Freshworks => freshworks(first, fields).into(),
        Hook::LeadSquared => leadsquared(last, fields).into(),
        Hook::Salesforce => salesforce(last, fields).into(),
        Hook::Zoho => zoho(last, fields).into(),
        Hook::IpPstn => ip_pstn(fields).into(),
        Hook::CallEvents if matches!(last, "dialwhom" | "connect") => EventKind::DialWhom.into(),
        // They ask for something; what they say of the call, its passthrus say, too.
        Hook::CallEvents
            if matches!(last, "gather" | "greeting" | "playback" | "decide" | "switch" | "answer" | "dial-up") =>
        {
            EventKind::Other(last.to_owned()).into()
        }
        Hook::CallEvents
        | Hook::Status
        | Hook::Details
        | Hook::Listed
        | Hook::Person
        | Hook::Routed
        | Hook::Click
        | Hook::Bot => canonical(fields),
    }
}

/// `event`, which the flow's author put into the URL.
fn canonical(fields: &mut Fields) -> Kind {
    let Some(event) = fields.take("event") else { return inferred(fields).into() };
    let keyed = |keyed_at| Kind { kind: EventKind::Gathered, keyed_at: Some(keyed_at), automatic: false };
    match event.to_ascii_lowercase().as_str() {
        "pop" => popup(fields).into(),
        "answered" => EventKind::Completed.into(),
        "automated_answered" => Kind { kind: EventKind::Completed, keyed_at: None, automatic: true },
        "missed" => EventKind::Missed.into(),
        "ivr" => keyed(KeyedAt::Ivr),
        "gather" => keyed(KeyedAt::Gather),
        "end" => EventKind::FlowEnded.into(),
        "voicemail" => EventKind::Voicemail.into(),
        other => EventKind::Other(other.chars().take(MAX_KIND).collect()).into(),
    }
}

/// The path says it; of those nobody spoke with, `MissedCallType` tells who left a voicemail. The manual's screen cuts
/// the word off after `voi` (seed 003, "Step 2: Configure Freshworks Plugin Call flow").
fn freshworks(step: &str, fields: &mut Fields) -> EventKind {
    let missed = fields.take("MissedCallType").unwrap_or_default().to_ascii_lowercase();
    match step {
        "pop" => popup(fields),
        "answered" => EventKind::Completed,
        "missed" if missed.starts_with("voi") => EventKind::Voicemail,
        "missed" => EventKind::Missed,
        _ => inferred(fields),
    }
}

/// One URL for whatever became of the call: which it was, only Exotel says.
fn leadsquared(step: &str, fields: &mut Fields) -> EventKind {
    match step {
        "dialwhom" => EventKind::DialWhom,
        "popup" => popup(fields),
        "passthru" => passthru(fields),
        _ => inferred(fields),
    }
}

/// `callState`, in whatever case: `Answered`, `missedCall` and `notConnected` stand side by side in the manual.
/// `notConnected` belongs under "We didn't dial anyone": nobody was there to be dialled. For the caller, and for those
/// who are to call him back, it is a missed call, one without an agent.
fn salesforce(step: &str, fields: &mut Fields) -> EventKind {
    if step == "agentpopup" {
        return popup(fields);
    }
    let state = fields.take("callState").unwrap_or_default();
    let state: String = state.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    match state.to_ascii_lowercase().as_str() {
        "answered" => EventKind::Completed,
        "missedcall" | "missed" | "notconnected" => EventKind::Missed,
        "voicemail" => EventKind::Voicemail,
        _ if step == "passthru" => passthru(fields),
        _ => inferred(fields),
    }
}

fn zoho(step: &str, fields: &mut Fields) -> EventKind {
    match step {
        "createpopup" => popup(fields),
        "incomingcallhungup" => EventKind::Completed,
        "callmissed" => EventKind::Missed,
        _ => inferred(fields),
    }
}

fn ip_pstn(fields: &mut Fields) -> EventKind {
    match fields.take("type").unwrap_or_default().to_ascii_lowercase().as_str() {
        "popup" => popup(fields),
        "incomingcallhungup" => EventKind::Completed,
        "missedcall" => EventKind::Missed,
        _ => inferred(fields),
    }
}

/// `Status` says the same as `EventType`, only less: `busy` when dialling starts, `free` when the attempt is over.
fn popup(fields: &mut Fields) -> EventKind {
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

fn inferred(fields: &mut Fields) -> EventKind {
    let status = fields.peek("Status").map(str::to_ascii_lowercase).unwrap_or_default();
    let pops = fields.peek("EventType").is_some()
        || (matches!(status.as_str(), "busy" | "free") && fields.peek("DialWhomNumber").is_some());
    if pops { popup(fields) } else { passthru(fields) }
}

fn passthru(fields: &mut Fields) -> EventKind {
    let said = |key: &str| fields.peek(key).map(str::to_ascii_lowercase).unwrap_or_default();
    match (said("CallType").as_str(), said("DialCallStatus").as_str()) {
        ("voicemail", _) => EventKind::Voicemail,
        (_, "completed") => EventKind::Completed,
        (_, "busy" | "no-answer" | "failed" | "canceled" | "cancelled") => EventKind::Missed,
        ("client-hangup" | "incomplete", _) => EventKind::Missed,
        // Behind a voicebot applet: `completed` says nothing of anybody else then.
        _ if fields.has_below("Stream") => EventKind::Other("stream".to_owned()),
        // `call` is how `completed` was called before 2013.
        ("completed" | "call", _) => EventKind::Completed,
        _ if fields.peek("digits").is_some() => EventKind::Gathered,
        _ => EventKind::Other("passthru".to_owned()),
    }
}
