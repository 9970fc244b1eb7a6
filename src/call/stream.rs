//! What Exotel says of a voicebot's stream, in the Passthru that follows it (exotel-voicebot §4.1).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::event::Facts;

/// Words of Exotel's are cut here.
const WORDS: usize = 300;
/// What stands in the place of what an address says behind its host.
const GONE: &str = "***";

/// Who let the other go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    Bot,
    Caller,
}

/// One stream, as far as Exotel told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StreamTold {
    pub stream_sid: Option<String>,
    /// `completed`, `cancelled` (the caller hung up) or `failed`; a word of tomorrow's as it is.
    pub status: Option<String>,
    pub seconds: Option<u32>,
    pub ended_by: Option<EndedBy>,
    pub error: Option<String>,
    /// `Streaming_call_throttled`, …
    pub detailed_status: Option<String>,
}

impl StreamTold {
    /// `None`: nothing is said of a stream.
    pub fn of(facts: &Facts) -> Option<Self> {
        let said = |name: &str| facts.stream.get(name).map(|text| cut(text));
        let seconds = said("duration").and_then(|text| text.parse::<f64>().ok());
        let ended_by = said("disconnectedby").and_then(|word| match word.to_ascii_lowercase().as_str() {
            "bot" => Some(EndedBy::Bot),
            "user" | "caller" => Some(EndedBy::Caller),
            _ => None,
        });
        let told = Self {
            stream_sid: said("streamsid"),
            status: said("status").map(|word| word.to_ascii_lowercase()),
            // In range, so that the conversion neither saturates nor wraps.
            seconds: seconds.filter(|seconds| (0.0..=10_000_000.0).contains(seconds)).map(|it| it.round() as u32),
            ended_by,
            error: said("error").map(|text| without_addresses(&text)).filter(|text| !text.eq_ignore_ascii_case("na")),
            detailed_status: said("detailedstatus"),
        };
        (told != Self::default()).then_some(told)
    }

    /// Nobody heard anything by it. Where status and error disagree, the error is right (exotel-voicebot §1.5).
    pub fn failed(&self) -> bool {
        self.status.as_deref() == Some("failed") || self.error.is_some()
    }

    /// What is known besides, from another word of the same stream.
    pub(super) fn with(self, later: Self) -> Self {
        Self {
            stream_sid: later.stream_sid.or(self.stream_sid),
            status: later.status.or(self.status),
            seconds: later.seconds.or(self.seconds),
            ended_by: later.ended_by.or(self.ended_by),
            error: later.error.or(self.error),
            detailed_status: later.detailed_status.or(self.detailed_status),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORDS).collect()
}

/// A text in which of every address no more is left than where it is: a path may be a credential.
pub fn without_addresses(text: &str) -> String {
    if !text.contains("://") {
        return text.to_owned();
    }
    let is_edge = |c: char| c.is_whitespace() || "\"'<>()[]{}|,;".contains(c);
    let mut left = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let start =
            rest[..at].rfind(is_edge).map_or(0, |edge| edge + rest[edge..].chars().next().map_or(1, char::len_utf8));
        let end = rest[at..].find(is_edge).map_or(rest.len(), |edge| at + edge);
        left.push_str(&rest[..start]);
        let shown = Url::parse(&rest[start..end]).ok().and_then(|url| {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            Some(format!("{}://{}{port}/{GONE}", url.scheme(), url.host_str()?))
        });
        left.push_str(shown.as_deref().unwrap_or(GONE));
        rest = &rest[end..];
    }
    left.push_str(rest);
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{CallEvent, Hook, tests::read};

    const SID: &str = "6f048d2e897a0d2d4029560f3f541947";

    fn told(event: &CallEvent) -> StreamTold {
        StreamTold::of(&event.facts).expect("a stream")
    }

    fn passthru(query: &str, content_type: Option<&str>, body: &str) -> CallEvent {
        read(Hook::CallEvents, query, content_type, body, 0)
    }

    /// As S3 shows it: nested keys, `+` as it is.
    fn nested() -> String {
        format!(
            "CallSid=c1&flow_id=f1&Direction=inbound&From=+918888000000&To=+912233344455&Stream[StreamSID]={SID}\
             &Stream[Status]=completed&Stream[Duration]=28\
             &Stream[RecordingUrl]=https://recordings.exotel.com/exotelrecordings/acme/{SID}.mp3\
             &Stream[StreamUrl]=wss://key:hunter2@stream.example.com/voicebot/hunter2&Stream[DisconnectedBy]=bot"
        )
    }

    fn in_json() -> String {
        serde_json::json!({
            "StreamSID": SID, "RecordingUrl": format!("https://recordings.exotel.com/exotelrecordings/acme/{SID}.mp3"),
            "Status": "completed", "Duration": "28", "StreamUrl": "wss://h/voicebot/hunter2", "DisconnectedBy": "bot",
        })
        .to_string()
    }

    #[test]
    fn a_stream_is_read_the_same_from_every_form() {
        let wanted = StreamTold {
            stream_sid: Some(SID.to_owned()),
            status: Some("completed".to_owned()),
            seconds: Some(28),
            ended_by: Some(EndedBy::Bot),
            ..StreamTold::default()
        };
        let numbers = "CallSid=c1&From=%2B918888000000&To=%2B912233344455&Direction=inbound&flow_id=f1";
        let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("Stream", &in_json()).finish();
        let body = serde_json::json!({ "CallSid": "c1", "From": "+918888000000", "Stream": in_json() }).to_string();
        let unfolded: serde_json::Value = serde_json::from_str(&in_json()).expect("JSON");
        let object = serde_json::json!({ "CallSid": "c1", "From": "+918888000000", "Stream": unfolded }).to_string();
        for event in [
            passthru(&nested(), None, ""),
            passthru("", Some("application/x-www-form-urlencoded"), &nested()),
            passthru(&format!("{numbers}&{form}"), None, ""),
            passthru(numbers, Some("application/x-www-form-urlencoded"), &form),
            passthru("", Some("application/json"), &body),
            passthru("", Some("application/json"), &object),
        ] {
            assert_eq!(told(&event), wanted, "{event:?}");
            assert_eq!(event.facts.customer.as_deref(), Some("+918888000000"));
            let recording = event.facts.stream_recording_url.as_deref();
            assert!(recording.is_some_and(|url| url.ends_with(".mp3")), "{recording:?}");
            let stored = serde_json::to_string(&event).expect("JSON");
            assert!(!stored.contains("hunter2"), "{stored}");
        }
    }

    #[test]
    fn what_is_told_twice_is_one_event_and_another_stream_is_another() {
        let once = passthru(&nested(), None, "");
        assert_eq!(once.id, passthru(&nested(), None, "").id);
        assert_ne!(once.id, passthru(&nested().replace(SID, "other"), None, "").id);
        assert_ne!(once.id, passthru(&nested().replace("=28", "=29"), None, "").id);
    }

    #[test]
    fn a_failure_is_told_without_the_address_in_it() {
        let failed = |rest: &str| told(&passthru(&format!("CallSid=c1&Stream[StreamSID]={SID}&{rest}"), None, ""));
        let dial = failed(
            "Stream[Status]=failed&Stream[DisconnectedBy]=NA&Stream[Error]=3009 failed to establish ws conn \
             Get \"https://bot.example.com:8443/voicebot/hunter2?a=b\": dial tcp: lookup your-ip: no such host",
        );
        assert!(dial.failed() && dial.ended_by.is_none());
        let error = dial.error.expect("an error");
        assert_eq!(
            error,
            "3009 failed to establish ws conn Get \"https://bot.example.com:8443/***\": dial tcp: lookup your-ip: no such host"
        );
        let throttled = failed("Stream[Status]=failed&Stream[DetailedStatus]=Streaming_call_throttled");
        assert_eq!(throttled.detailed_status.as_deref(), Some("Streaming_call_throttled"));
        assert!(failed("Stream[Status]=completed&Stream[Error]=1006").failed(), "the error is right");
        assert!(!failed("Stream[Status]=cancelled&Stream[DisconnectedBy]=user&Stream[Error]=NA").failed());
    }

    #[test]
    fn of_an_address_its_place_is_left() {
        for (text, left) in [
            ("no address", "no address"),
            ("wss://k:t@h/p?q", "wss://h/***"),
            ("a (ws://h:1/p) b wss://", "a (ws://h:1/***) b ***"),
            ("é://x", "***"),
        ] {
            assert_eq!(without_addresses(text), left);
        }
    }

    #[test]
    fn a_recording_of_a_stranger_is_no_recording() {
        let event =
            passthru("CallSid=c1&Stream[Status]=completed&Stream[RecordingUrl]=https://evil.com/x.mp3", None, "");
        assert_eq!(event.facts.stream_recording_url, None);
        assert_eq!(event.facts.refused_recording_host.as_deref(), Some("evil.com"));
        assert!(!event.facts.stream.contains_key("recordingurl"));
    }
}
