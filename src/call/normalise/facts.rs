//! Which field means what, for each of the doors a request comes through.

use jiff::Timestamp;

use patchbay_kit::{Digits, Direction};

use super::{Locale, fields::Fields, legs, recording, time};
use crate::call::{
    event::{Facts, KeyedAt, Leg},
    phone,
};

/// Keys one caller can press at one step: Gather takes 255 at most (exotel-api §4.8).
const MAX_KEYS: usize = 255;
/// Names of steps are cut here.
const MAX_TAG: usize = 100;
/// No call lasts longer than this; Exotel ends them after four hours.
const MAX_SECONDS: f64 = 10_000_000.0;

/// An applet's request (exotel-api §4.2, §4.3). In flows, `CallFrom` is the customer in either direction, and `CallTo` the
/// ExoPhone; they are preferred to `From` and `To`, which a popup was seen to fill otherwise.
pub(super) fn of_applet(fields: &mut Fields, keyed_at: Option<KeyedAt>, locale: &Locale) -> Facts {
    let exophone = exophone(fields);
    let dialled_from = number(fields, "OutgoingPhoneNumber");
    let insights = fields.take_at(&["Insights", "DialCallStatus"]);
    let mut facts = Facts {
        direction: direction(fields),
        customer: customer(fields),
        exophone: exophone.or(dialled_from),
        agent: number(fields, "DialWhomNumber"),
        agent_email: fields.take("AgentEmail"),
        call_status: fields.take("CallStatus"),
        dial_call_status: fields.take("DialCallStatus").or(insights),
        call_type: fields.take("CallType"),
        digits: digits(fields),
        keyed_at,
        dial_seconds: seconds(fields.take("DialCallDuration")),
        ..Facts::default()
    };
    common(&mut facts, fields, locale);
    facts
}

pub(super) fn customer(fields: &mut Fields) -> Option<String> {
    first_number(fields, &["CallFrom", "From"])
}

pub(super) fn exophone(fields: &mut Fields) -> Option<String> {
    first_number(fields, &["CallTo", "To"])
}

pub(super) fn dialled(fields: &mut Fields) -> Option<String> {
    number(fields, "DialWhomNumber")
}

/// A StatusCallback (exotel-api §3): of a call between two people, agent first.
pub(super) fn of_status(fields: &mut Fields, locale: &Locale) -> Facts {
    let direction = direction(fields).unwrap_or(Direction::Outgoing);
    let mut facts = Facts { direction: Some(direction), call_status: fields.take("Status"), ..Facts::default() };
    parties(&mut facts, fields);
    common(&mut facts, fields, locale);
    facts
}

/// One leg's own callback (exotel-api §5.2). Nothing in it is a fact about the call but that this leg was there.
pub(super) fn of_leg(fields: &mut Fields) -> Facts {
    let leg = Leg {
        number: number(fields, "PhoneNumber"),
        on_call_seconds: seconds(fields.take("OnCallDuration")),
        status: fields.take("Status"),
        ..Leg::default()
    };
    Facts { legs: vec![leg], ..Facts::default() }
}

/// The answer to `GET Calls/{sid}.json?details=true` (exotel-api §2.2, §5.1).
pub(super) fn of_details(fields: &mut Fields, locale: &Locale) -> Facts {
    let mut facts = Facts {
        direction: direction(fields),
        call_status: fields.take("Status"),
        total_seconds: seconds(fields.take("Duration")),
        ..Facts::default()
    };
    parties(&mut facts, fields);
    common(&mut facts, fields, locale);
    if let Some(talked) = seconds(fields.take_at(&["Details", "ConversationDuration"])) {
        facts.conversation_seconds = Some(talked);
    }
    let statuses = [1, 2].map(|leg| fields.take_at(&["Details", &format!("Leg{leg}Status")]));
    facts.legs = legs::of_details(fields, statuses);
    facts
}

/// A call as the list shows it: flat, without details; its legs, where Exotel was asked for them, stand beside it
/// (exotel-api §5.1, §5.2).
pub(super) fn of_listed(fields: &mut Fields, locale: &Locale) -> Facts {
    let mut facts = Facts {
        direction: direction(fields),
        call_status: fields.take("Status"),
        total_seconds: seconds(fields.take("Duration")),
        ..Facts::default()
    };
    parties(&mut facts, fields);
    common(&mut facts, fields, locale);
    facts
}

/// Customer and ExoPhone of a call that REST or a StatusCallback speaks of: `PhoneNumberSid`, in lists `PhoneNumber`, is
/// the ExoPhone (exotel-api §1.7, §5.1); of outgoing calls `From` is the agent, who is dialled first, and `To` the customer, unless the call
/// went into a flow or a stream: then `To` is the ExoPhone, if it is said, and `From` the customer (exotel-api §2.1, §2.2).
fn parties(facts: &mut Facts, fields: &mut Fields) {
    let (from, to) = (first_number(fields, &["CallFrom", "From"]), first_number(fields, &["CallTo", "To"]));
    let exophone = first_number(fields, &["PhoneNumberSid", "CallerId", "PhoneNumber"]);
    // Into a stream there is no `To` to be told.
    let to_exophone = match (&to, &exophone) {
        (Some(to), Some(exophone)) => phone::same(to, exophone),
        (None, Some(_)) => true,
        _ => false,
    };
    if facts.direction == Some(Direction::Outgoing) && !to_exophone {
        facts.agent = from;
        facts.customer = to;
        facts.exophone = exophone;
    } else {
        facts.customer = from;
        facts.exophone = exophone.or(to);
    }
}

fn common(facts: &mut Facts, fields: &mut Fields, locale: &Locale) {
    let mut when = |names: &[&str]| -> Option<Timestamp> {
        let read = |text: String| time::parse(&text, locale.utc_offset);
        names.iter().fold(None, |found, name| {
            let value = fields.take(name).and_then(read);
            found.or(value)
        })
    };
    facts.started_at = when(&["StartTime", "Created", "DateCreated"]);
    facts.ended_at = when(&["EndTime"]);
    facts.conversation_seconds = seconds(fields.take("ConversationDuration"));
    facts.custom_field = fields.take("CustomField");
    facts.disconnected_by = fields.take("DisconnectedBy");
    facts.legs = legs::read(fields);
    facts.stream = legs::stream(fields);
    let mut recording = |said: Option<String>| match recording::read(&said?, &locale.recording_origins) {
        Ok(url) => Some(url),
        Err(host) => {
            facts.refused_recording_host = Some(host);
            None
        }
    };
    let of_stream = facts.stream.remove("recordingurl");
    facts.stream_recording_url = recording(of_stream);
    facts.recording_url = recording(fields.take("RecordingUrl"));
}

/// `incoming` and `inbound`, `outbound-dial`, `outbound dial` and `outbound-api` (exotel-api §2.2).
fn direction(fields: &mut Fields) -> Option<Direction> {
    let said = fields.take("Direction")?.to_ascii_lowercase();
    if said.starts_with("in") {
        Some(Direction::Incoming)
    } else if said.starts_with("out") {
        Some(Direction::Outgoing)
    } else {
        None
    }
}

/// `digits` under the tags of the URL, in order of their numbers; under none where there are none (seed 003, "IVR/Gather
/// digits in ticket details").
fn digits(fields: &mut Fields) -> Vec<Digits> {
    let mut tags = fields.take_numbered("ivr_tag_");
    tags.extend(fields.take_numbered("gather_tag_"));
    let Some(value) = fields.take("digits") else { return Vec::new() };
    let value: String = value.chars().filter(|c| !c.is_control() && *c != '"').take(MAX_KEYS).collect();
    if tags.is_empty() {
        tags.push(String::new());
    }
    tags.into_iter().map(|tag| Digits { tag: tag.chars().take(MAX_TAG).collect(), value: value.clone() }).collect()
}

fn first_number(fields: &mut Fields, names: &[&str]) -> Option<String> {
    names.iter().fold(None, |found, name| {
        let value = number(fields, name);
        found.or(value)
    })
}

/// A number as Exotel wrote it; where form decoding made a space of its `+`, that is put back.
fn number(fields: &mut Fields, name: &str) -> Option<String> {
    let raw = fields.take_raw(name)?;
    let number = raw.trim().trim_matches('"').trim();
    let lost_plus = raw.starts_with(' ') && number.starts_with(|c: char| matches!(c, '1'..='9'));
    Some(if lost_plus && number.len() > 10 { format!("+{number}") } else { number.to_owned() })
}

/// Seconds as a string or a number, whole or not (exotel-api §0 quirk 1).
pub(super) fn seconds(text: Option<String>) -> Option<u32> {
    let seconds: f64 = text?.parse().ok()?;
    // In range, so that the conversion neither saturates nor wraps.
    (0.0..=MAX_SECONDS).contains(&seconds).then(|| seconds.round() as u32)
}
