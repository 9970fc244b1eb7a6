//! The patient way through a frame: any order, either spelling, numbers as strings or as numbers, what is missing
//! missing. The documents and the captures disagree about all of these (S1, D1, CAP).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Limits, Unreadable};
use crate::{
    audio::{Law, Rate},
    frame::{Dtmf, Frame, Media, Start, Stop},
};

type Object = Map<String, Value>;

/// A frame, and the payload that came with it: audio is decoded by whoever holds what an earlier frame left over.
pub(super) fn frame(bytes: &[u8], limits: &Limits, unsaid: Law) -> Result<(Frame, Option<String>), Unreadable> {
    let Ok(Value::Object(mut top)) = serde_json::from_slice(bytes) else { return Err(Unreadable::NotJson) };
    let event = match top.get("event") {
        Some(Value::String(event)) => event.clone(),
        _ => return Err(Unreadable::NoEvent),
    };
    let frame = match event.as_str() {
        "connected" => Frame::Connected,
        "start" => Frame::Start(Box::new(start(&top, limits, unsaid))),
        "media" => return media(&mut top),
        // Digits are documented nested and flat (D1, D4).
        "dtmf" => {
            let within = Within(&top, "dtmf");
            let digit = within.text(&["digit", "digits"], limits).ok_or(Unreadable::NoDigit)?;
            let duration_ms = within.find(&["duration"]).and_then(number);
            Frame::Dtmf(Dtmf { digit, duration_ms })
        }
        "mark" => Frame::Mark { name: Within(&top, "mark").text(&["name"], limits).ok_or(Unreadable::NoName)? },
        "clear" => Frame::Clear,
        "stop" => {
            let within = Within(&top, "stop");
            Frame::Stop(Stop {
                call_sid: within.text(&["call_sid", "callSid"], limits),
                account_sid: within.text(&["account_sid", "accountSid"], limits),
                reason: within.text(&["reason"], limits),
            })
        }
        other => Frame::Unknown { event: cut(other.to_owned(), limits.text_bytes) },
    };
    Ok((frame, None))
}

fn media(top: &mut Object) -> Result<(Frame, Option<String>), Unreadable> {
    let within = Within(top, "media");
    let media = Media {
        // An exotic sender writes it beside the payload (AS media.py); what stands at the top is the message's own.
        sequence: top
            .get("sequence_number")
            .and_then(number)
            .or_else(|| within.find(&["sequenceNumber", "sequence_number"]).and_then(number)),
        chunk: within.find(&["chunk"]).and_then(number),
        timestamp_ms: within.find(&["timestamp"]).and_then(number),
        pcm_bytes: 0,
    };
    let payload = match top.get_mut("media").and_then(|media| media.get_mut("payload")) {
        Some(payload) => payload.take(),
        None => top.get_mut("payload").map(Value::take).unwrap_or_default(),
    };
    match payload {
        Value::String(payload) => Ok((Frame::Media(media), Some(payload))),
        _ => Err(Unreadable::NoPayload),
    }
}

fn start(top: &Object, limits: &Limits, unsaid: Law) -> Start {
    let within = Within(top, "start");
    let format = within.find(&["media_format", "mediaFormat"]).and_then(Value::as_object);
    let of_format = |names: &[&str]| names.iter().find_map(|name| format?.get(*name)).and_then(text);
    let said_rate = of_format(&["sample_rate", "sampleRate"]).map(|rate| cut(rate, 32));
    Start {
        stream_sid: within.text(&["stream_sid", "streamSid"], limits),
        call_sid: within.text(&["call_sid", "callSid"], limits),
        account_sid: within.text(&["account_sid", "accountSid"], limits),
        from: within.text(&["from"], limits),
        to: within.text(&["to"], limits),
        custom_field: within.text(&["custom_field", "customField", "CustomField"], limits),
        custom_parameters: parameters(within.find(&["custom_parameters", "customParameters"]), limits),
        law: of_format(&["encoding"]).map_or(unsaid, |said| Law::read(&said)),
        rate: said_rate.as_deref().and_then(Rate::read).unwrap_or_default(),
        said_rate,
    }
}

/// A message's own part, and what stands beside it: senders put things at either place.
struct Within<'a>(&'a Object, &'static str);

impl<'a> Within<'a> {
    fn find(&self, names: &[&str]) -> Option<&'a Value> {
        let part = self.0.get(self.1).and_then(Value::as_object);
        let of = |object: &'a Object| names.iter().find_map(|name| object.get(*name).filter(|value| !value.is_null()));
        part.and_then(of).or_else(|| of(self.0))
    }

    fn text(&self, names: &[&str], limits: &Limits) -> Option<String> {
        self.find(names).and_then(text).map(|text| cut(text, limits.text_bytes))
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn parameters(value: Option<&Value>, limits: &Limits) -> BTreeMap<String, String> {
    let Some(pairs) = value.and_then(Value::as_object) else { return BTreeMap::new() };
    let clean = |text: &str| cut(unescape(text), limits.text_bytes);
    // Null is a parameter without a value, not none.
    let pairs = pairs.iter().take(limits.parameters);
    pairs.map(|(key, value)| (clean(key), clean(&text(value).unwrap_or_default()))).collect()
}

/// Shortens to whole characters.
fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        let whole = (0..=bytes).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(whole.unwrap_or(0));
    }
    text
}

/// Undoes HTML's escapes, once: what stands in a bot's URL arrives with `&quot;` and the like (#52587541174).
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        // The longest that is known is `&#1114111;`.
        let end = rest.bytes().take(10).position(|byte| byte == b';');
        match end.and_then(|end| Some((entity(&rest[1..end])?, end))) {
            Some((character, end)) => {
                out.push(character);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    match name {
        "quot" => Some('"'),
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "apos" => Some('\''),
        _ => {
            let code = name.strip_prefix('#')?;
            let code = match code.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => code.parse(),
            };
            code.ok().and_then(char::from_u32)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_once() {
        assert_eq!(unescape("{&quot;a&quot;:&#39;b&#x27;}"), "{\"a\":'b'}");
        assert_eq!(unescape("&amp;quot;"), "&quot;");
        assert_eq!(unescape("a & b &nosuch; &#xD800; &é;&"), "a & b &nosuch; &#xD800; &é;&");
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("añb".to_owned(), 2), "a");
    }
}
