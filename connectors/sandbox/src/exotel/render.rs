//! How Exotel's v1 writes: JSON where the path ends in `.json`, XML otherwise, times naive and Indian (§1.3, §1.6).

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Exotel, SimulatedCall};
use crate::{Reply, Request};

/// India is 5:30 ahead of UTC, the year round.
const IST_AHEAD: SignedDuration = SignedDuration::from_mins(5 * 60 + 30);

/// Fields in the order in which they are shown.
pub(super) type Shown = Vec<(&'static str, Value)>;

/// A path segment without the `.json`.
pub(super) fn bare(segment: &str) -> &str {
    segment.strip_suffix(".json").unwrap_or(segment)
}

fn wants_json(request: &Request) -> bool {
    request.path.last().is_some_and(|last| last.ends_with(".json"))
}

/// `2017-03-03 10:48:33`, without a zone and in IST (§1.6).
pub(super) fn ist(at: Timestamp) -> String {
    at.checked_add(IST_AHEAD).unwrap_or(at).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The other way round, as filters come.
pub(super) fn from_ist(text: &str) -> Option<Timestamp> {
    let naive = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text.trim()).ok()?;
    jiff::tz::Offset::UTC.to_timestamp(naive).ok()?.checked_sub(IST_AHEAD).ok()
}

/// A RestException (§1.5).
pub(super) fn exception(request: &Request, status: StatusCode, message: &str) -> Reply {
    exception_of(request, status, "Status", message, None)
}

/// A RestException under another name for its number, perhaps with more words.
pub(super) fn exception_of(
    request: &Request,
    status: StatusCode,
    number: &'static str,
    message: &str,
    description: Option<&str>,
) -> Reply {
    let mut said: Shown = vec![(number, json!(status.as_u16())), ("Message", json!(message))];
    said.extend(description.map(|description| ("Description", json!(description))));
    write(request, status, "RestException", &said)
}

/// The account: the probe of credentials (§1.1). Clients rely on its status only; the fields are few and from memory.
pub(super) fn account(request: &Request, sid: &str) -> Reply {
    let shown: Shown = vec![
        ("Sid", json!(sid)),
        ("FriendlyName", json!(sid)),
        ("Type", json!("Full")),
        ("Status", json!("active")),
        ("Uri", json!(format!("/v1/Accounts/{sid}"))),
    ];
    write(request, StatusCode::OK, "Account", &shown)
}

/// A call; `Details` is §5.1.
pub(super) fn call(request: &Request, account: &Exotel, call: &SimulatedCall, now: Timestamp) -> Reply {
    let mut shown = call_fields(request, account, call, now);
    if request.param("details") == Some("true") {
        let status = if call.ended(now).is_some() { call.status.as_str() } else { "in-progress" };
        shown.push(("Details", details(call, call.told(now), status, |number| account.number(number))));
    }
    write(request, StatusCode::OK, "Call", &shown)
}

/// What stands of a call everywhere: the keys, and their order, are those of §2.2.
pub(super) fn call_fields(request: &Request, account: &Exotel, call: &SimulatedCall, now: Timestamp) -> Shown {
    let number = |number: u64| account.number(number);
    let ended = call.ended(now);
    let told = call.told(now);
    let status = if ended.is_some() { call.status.as_str() } else { "in-progress" };
    let recording = call.recorded(now).map(|_| account.recording_url(&call.call_sid));
    let uri = if wants_json(request) {
        format!("/v1/Accounts/{}/Calls.json/{}", account.sid, call.call_sid)
    } else {
        format!("/v1/Accounts/{}/Calls/{}", account.sid, call.call_sid)
    };
    vec![
        ("Sid", json!(call.call_sid)),
        ("ParentCallSid", Value::Null),
        ("DateCreated", json!(ist(call.started_at))),
        ("DateUpdated", json!(ist(ended.unwrap_or(call.started_at)))),
        ("AccountSid", json!(account.sid)),
        ("To", json!(call.to)),
        ("From", json!(call.from)),
        ("PhoneNumberSid", json!(call.exophone)),
        ("Status", json!(status)),
        ("StartTime", json!(ist(call.started_at))),
        ("EndTime", told.map_or(Value::Null, |ended| json!(ist(ended)))),
        ("Duration", told.map_or(Value::Null, |ended| number(call.duration_s(ended)))),
        ("Price", told.and(call.price.as_ref()).map_or(Value::Null, |price| json!(price))),
        ("Direction", json!(call.direction)),
        ("AnsweredBy", Value::Null),
        ("ForwardedFrom", Value::Null),
        ("CallerName", Value::Null),
        ("Uri", json!(uri)),
        ("RecordingUrl", json!(recording)),
    ]
}

/// What became of the legs. The source has one sample, of an answered call; what the legs of others say is a guess: the
/// caller's leg is done, the other has the call's status. A call that was completed without a conversation, in an IVR or
/// with a voicemail, has no other.
fn details(call: &SimulatedCall, told: Option<Timestamp>, status: &str, number: impl Fn(u64) -> Value) -> Value {
    let leg1 = if status == "in-progress" { status } else { "completed" };
    let leg2 = if status == "completed" && call.talk_seconds == 0 { Value::Null } else { json!(status) };
    let leg = |id: u64, on_call_s: u64| json!({"Leg": {"Id": id, "OnCallDuration": number(on_call_s)}});
    let legs = told.map_or_else(Vec::new, |ended| {
        let mut legs = vec![leg(1, call.duration_s(ended))];
        if call.talk_seconds > 0 {
            legs.push(leg(2, call.talk_seconds));
        }
        legs
    });
    json!({
        "ConversationDuration": told.map_or(Value::Null, |_| number(call.talk_seconds)),
        "Leg1Status": leg1,
        "Leg2Status": leg2,
        "Legs": legs,
    })
}

/// Several things side by side, as lists have them beside their metadata.
pub(super) fn document(request: &Request, status: StatusCode, parts: &[(&str, Value)]) -> Reply {
    if wants_json(request) {
        return Reply::of(status, "application/json", ordered(parts));
    }
    let mut body = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<TwilioResponse>");
    for (name, value) in parts {
        // In XML it is `Legs`, in JSON `legs` (S:16735, S:16752).
        element(&mut body, if *name == "legs" { "Legs" } else { name }, value);
    }
    body.push_str("</TwilioResponse>");
    Reply::of(status, "application/xml; charset=utf-8", body)
}

/// By hand for the order of the keys, which serde_json's own map does not keep.
fn ordered(fields: &[(&str, Value)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
    format!("{{{}}}", fields.join(","))
}

fn write(request: &Request, status: StatusCode, name: &str, shown: &Shown) -> Reply {
    if wants_json(request) {
        let body = format!("{{{}:{}}}", json!(name), ordered(shown));
        return Reply::of(status, "application/json", body);
    }
    let mut body = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<TwilioResponse>");
    body.push_str(&format!("<{name}>"));
    for (key, value) in shown {
        element(&mut body, key, value);
    }
    body.push_str(&format!("</{name}></TwilioResponse>"));
    Reply::of(status, "application/xml; charset=utf-8", body)
}

fn element(body: &mut String, name: &str, value: &Value) {
    let text = match value {
        Value::Null => return body.push_str(&format!("<{name}/>")),
        Value::String(text) => escape(text),
        Value::Array(items) => {
            let mut inner = String::new();
            for item in items {
                // `{"Leg":{…}}` names itself; what does not is named after the list.
                let wrapped = item.as_object().is_some_and(|item| item.len() == 1);
                let one = name.strip_suffix('s').unwrap_or(name);
                if wrapped { fields(&mut inner, item) } else { element(&mut inner, one, item) }
            }
            inner
        }
        Value::Object(_) => {
            let mut inner = String::new();
            fields(&mut inner, value);
            inner
        }
        other => other.to_string(),
    };
    body.push_str(&format!("<{name}>{text}</{name}>"));
}

fn fields(body: &mut String, value: &Value) {
    for (key, value) in value.as_object().into_iter().flatten() {
        element(body, key, value);
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
