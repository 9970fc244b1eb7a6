//! What a bot says on the socket, read strictly: where our own reader forgives, the kit tells what there was to forgive.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::sound;

/// What a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Media { bytes: usize, loud: bool },
    Mark(Option<String>),
    Clear,
    Other,
}

/// Whose stream a message says it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sid {
    Right,
    /// As `streamSid`.
    Camel,
    Absent,
    Wrong,
}

/// A message as far as it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) what: What,
    pub(super) sid: Sid,
    /// What a typed reader stumbles over.
    pub(super) wrong: Option<&'static str>,
    /// What is taken today, and need not be tomorrow.
    pub(super) careless: Option<&'static str>,
}

impl Said {
    fn unreadable(why: &'static str) -> Self {
        Self { what: What::Other, sid: Sid::Absent, wrong: Some(why), careless: None }
    }
}

pub(super) fn read(frame: &[u8], binary: bool, stream_sid: &str) -> Said {
    let Ok(Value::Object(message)) = serde_json::from_slice(frame) else {
        return Said::unreadable(if binary { "a binary message" } else { "a message that is no JSON object" });
    };
    let mut said = content(&message);
    said.sid = sid(&message, stream_sid, &mut said.wrong);
    if binary {
        said.wrong = Some("a binary message");
    }
    let numbered = message.get("media").unwrap_or(&Value::Null);
    for (of, key) in [(message.get("sequence_number"), "sequence_number")]
        .into_iter()
        .chain(["chunk", "timestamp"].map(|key| (numbered.get(key), key)))
    {
        if of.is_some_and(|value| !value.is_string()) {
            said.careless = Some(match key {
                "sequence_number" => "sequence_number that is no string",
                "chunk" => "media.chunk that is no string",
                _ => "media.timestamp that is no string",
            });
        }
    }
    if message.contains_key("sequenceNumber") {
        said.careless = Some("sequenceNumber instead of sequence_number");
    }
    said
}

fn content(message: &Map<String, Value>) -> Said {
    let mut said = Said { what: What::Other, sid: Sid::Absent, wrong: None, careless: None };
    match message.get("event").and_then(Value::as_str) {
        None => said.wrong = Some("a message without an event"),
        Some("media") => {
            said.what = What::Media { bytes: 0, loud: false };
            match message.get("media").and_then(|media| media.get("payload")).and_then(Value::as_str) {
                None => said.wrong = Some("media without media.payload"),
                Some(payload) => match STANDARD.decode(payload) {
                    Ok(pcm) => said.what = What::Media { bytes: pcm.len(), loud: sound::is_loud(&pcm) },
                    Err(_) => said.wrong = Some("a payload that is not padded standard base64"),
                },
            }
        }
        Some("mark") => match message.get("mark").and_then(|mark| mark.get("name")) {
            Some(Value::String(name)) if !name.is_empty() => said.what = What::Mark(Some(name.clone())),
            _ => said.what = What::Mark(None),
        },
        Some("clear") => said.what = What::Clear,
        Some(_) => said.careless = Some("an event that is neither media nor mark nor clear"),
    }
    said
}

fn sid(message: &Map<String, Value>, wanted: &str, wrong: &mut Option<&'static str>) -> Sid {
    let said = |key: &str| message.get(key).filter(|value| !value.is_null());
    match (said("stream_sid"), said("streamSid")) {
        (Some(Value::String(sid)), _) if sid == wanted => Sid::Right,
        (Some(Value::String(_)), _) => Sid::Wrong,
        (Some(_), _) => {
            *wrong = Some("a stream_sid that is no string");
            Sid::Wrong
        }
        (None, Some(sid)) if sid == wanted => Sid::Camel,
        (None, Some(_)) => Sid::Wrong,
        (None, None) => Sid::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Said {
        read(text.as_bytes(), false, "s1")
    }

    #[test]
    fn what_is_documented_has_no_fault() {
        for (text, what) in [
            (
                r#"{"event":"media","stream_sid":"s1","media":{"payload":"AQIDBA=="}}"#,
                What::Media { bytes: 4, loud: true },
            ),
            (
                r#"{"event":"media","sequence_number":"3","stream_sid":"s1","media":{"chunk":"2","timestamp":"20","payload":""}}"#,
                What::Media { bytes: 0, loud: false },
            ),
            (r#"{"event":"mark","stream_sid":"s1","mark":{"name":"m"}}"#, What::Mark(Some("m".into()))),
            (r#"{"event":"clear","stream_sid":"s1"}"#, What::Clear),
        ] {
            assert_eq!(said(text), Said { what, sid: Sid::Right, wrong: None, careless: None }, "{text}");
        }
    }

    #[test]
    fn faults_are_told_by_their_name() {
        for (text, wrong) in [
            ("hello", "no JSON"),
            ("{}", "without an event"),
            (r#"{"event":"media","payload":"AQIDBA=="}"#, "media.payload"),
            (r#"{"event":"media","media":{"payload":[1,2]}}"#, "media.payload"),
            (r#"{"event":"media","media":{"payload":"AQIDBA"}}"#, "base64"),
            (r#"{"event":"clear","stream_sid":7}"#, "stream_sid"),
        ] {
            assert!(said(text).wrong.is_some_and(|fault| fault.contains(wrong)), "{text}: {:?}", said(text));
        }
        assert!(read(br#"{"event":"clear"}"#, true, "s1").wrong.is_some_and(|fault| fault.contains("binary")));
        for (text, careless) in [
            (r#"{"event":"dtmf"}"#, "neither"),
            (r#"{"event":"mark","sequence_number":1,"mark":{"name":"m"}}"#, "sequence_number"),
            (r#"{"event":"media","media":{"chunk":1,"payload":""}}"#, "chunk"),
            (r#"{"event":"clear","sequenceNumber":"1"}"#, "sequenceNumber"),
        ] {
            let said = said(text);
            assert!(said.wrong.is_none() && said.careless.is_some_and(|fault| fault.contains(careless)), "{said:?}");
        }
    }

    #[test]
    fn a_stream_is_named_rightly_or_not() {
        for (text, sid) in [
            (r#"{"event":"clear"}"#, Sid::Absent),
            (r#"{"event":"clear","stream_sid":null}"#, Sid::Absent),
            (r#"{"event":"clear","streamSid":"s1"}"#, Sid::Camel),
            (r#"{"event":"clear","streamSid":"s2"}"#, Sid::Wrong),
            (r#"{"event":"clear","stream_sid":"s2","streamSid":"s1"}"#, Sid::Wrong),
        ] {
            assert_eq!(said(text).sid, sid, "{text}");
        }
        assert_eq!(said(r#"{"event":"mark","mark":{}}"#).what, What::Mark(None));
    }
}
