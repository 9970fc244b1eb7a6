//! A flow with its people and its times: what is sent when, and what Exotel says of the call when it is asked.

use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use patchbay_sandbox::exotel::{RecordingPlan, SimulatedCall};

use super::flow::{Expect, Flow, HookName, MethodName};

/// Exotel's clock is India's, 5:30 ahead of UTC (exotel-api §1.6).
const IST_AHEAD: SignedDuration = SignedDuration::from_mins(5 * 60 + 30);
/// How long after the end Exotel's call details are filled: 2 to 5 minutes (exotel-api §5.1).
const FACTS_AFTER_END_S: f64 = 120.0;
/// `RecordingAvailableBy` is five minutes after the callback (exotel-api §4.3).
const RECORDING_BY: SignedDuration = SignedDuration::from_mins(5);

/// Whom and what the placeholders of a flow stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast {
    /// 32 hexadecimal digits.
    pub call_sid: String,
    /// Numbers as Exotel writes them: national with a leading 0 (exotel-api §1.7).
    pub customer: String,
    pub exophone: String,
    pub agents: [CastAgent; 2],
    pub recording_url: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CastAgent {
    pub number: String,
    pub email: String,
}

/// How a call's own time passes in real time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// When the playing begins.
    pub begins: Timestamp,
    /// Seconds of the call that pass in one real second.
    pub speed: f64,
}

impl Pace {
    fn compressed(self, seconds: f64) -> Duration {
        Duration::try_from_secs_f64(seconds / self.speed).unwrap_or(Duration::MAX)
    }

    /// When the call began by Exotel's clock: so that its end is now when the playing reaches it. Real time and the call's
    /// own meet there, and durations keep their real length.
    fn call_start(self, lasts_s: u32) -> Timestamp {
        let length = Duration::from_secs(u64::from(lasts_s));
        plus(self.begins, self.compressed(f64::from(lasts_s))).checked_sub(length).unwrap_or(self.begins)
    }
}

/// A flow with its cast: concrete requests at concrete times.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub name: String,
    pub title: String,
    pub cast: Cast,
    pub requests: Vec<TimedRequest>,
    /// What Exotel answers when it is asked about this call.
    pub call: SimulatedCall,
    pub expect: Expect,
}

/// A callback as it is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedRequest {
    /// In real time, from the beginning of the playing.
    pub at: Duration,
    pub hook: HookName,
    pub method: MethodName,
    pub query: String,
    pub content_type: Option<String>,
    pub body: String,
    /// How many copies are delivered, all at once.
    pub copies: u32,
    pub late: bool,
}

impl TimedRequest {
    /// What it is, for people: `event` and, where there is one, `EventType`.
    pub fn label(&self) -> String {
        let fields: Vec<_> = url::form_urlencoded::parse(self.query.as_bytes()).collect();
        let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim().to_owned());
        match (self.hook, field("event"), field("EventType")) {
            (HookName::Status, ..) => "status".to_owned(),
            (_, Some(event), Some(kind)) => format!("{event} {kind}"),
            (_, Some(event), None) => event,
            (_, None, _) => "call-events".to_owned(),
        }
    }
}

impl Flow {
    /// The flow as a call of this cast.
    pub fn instantiate(&self, cast: Cast, pace: Pace) -> Instance {
        let started_at = pace.call_start(self.call.lasts_s);
        let mut requests: Vec<TimedRequest> = self
            .callbacks
            .iter()
            .map(|callback| {
                let happened = plus(started_at, Duration::from_secs_f64(callback.after_s));
                let body = match callback.content_type.as_deref().unwrap_or_default() {
                    kind if kind.contains("urlencoded") => fill(&callback.body, &cast, started_at, happened, form),
                    kind if kind.contains("json") => fill(&callback.body, &cast, started_at, happened, json),
                    _ => fill(&callback.body, &cast, started_at, happened, str::to_owned),
                };
                TimedRequest {
                    at: pace.compressed(callback.after_s + callback.late_s),
                    hook: callback.hook,
                    method: callback.method,
                    query: fill(&callback.query, &cast, started_at, happened, form),
                    content_type: callback.content_type.clone(),
                    body,
                    copies: callback.repeat,
                    late: callback.late_s > 0.0,
                }
            })
            .collect();
        // Stable: what happened at one moment is delivered in the file's order.
        requests.sort_by_key(|request| request.at);
        let said = |text: &String| fill(text, &cast, started_at, started_at, str::to_owned);
        let expect = Expect {
            outcome: self.expect.outcome.clone(),
            subject: said(&self.expect.subject),
            body_has: self.expect.body_has.iter().map(said).collect(),
            note_has: self.expect.note_has.iter().map(said).collect(),
            agent: self.expect.agent.as_ref().map(said),
        };
        let call = self.simulated(&cast, pace, started_at);
        Instance { name: self.name.clone(), title: self.title.clone(), requests, call, expect, cast }
    }

    fn simulated(&self, cast: &Cast, pace: Pace, started_at: Timestamp) -> SimulatedCall {
        let plan = &self.call;
        let ended_at = plus(started_at, Duration::from_secs(u64::from(plan.lasts_s)));
        let inbound = plan.direction == "inbound";
        let (from, to) =
            if inbound { (&cast.customer, &cast.exophone) } else { (&cast.agents[0].number, &cast.customer) };
        let mut call = SimulatedCall::new(&cast.call_sid, from, to, started_at);
        call.exophone.clone_from(&cast.exophone);
        call.direction.clone_from(&plan.direction);
        call.status.clone_from(&plan.status);
        call.ended_at = Some(ended_at);
        call.talk_seconds = u64::from(plan.talk_s);
        call.facts_after_end = pace.compressed(FACTS_AFTER_END_S);
        call.recording = plan.recording_after_s.map(|after_s| RecordingPlan {
            available_after_end: pace.compressed(after_s),
            bytes: silence(&cast.call_sid, if plan.talk_s > 0 { plan.talk_s } else { plan.lasts_s }),
        });
        call
    }
}

fn plus(at: Timestamp, duration: Duration) -> Timestamp {
    at.checked_add(duration).unwrap_or(at)
}

fn form(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

/// The inside of a JSON string.
fn json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn fill(
    text: &str,
    cast: &Cast,
    started_at: Timestamp,
    happened: Timestamp,
    encode: impl Fn(&str) -> String,
) -> String {
    let naive = |at: Timestamp| ist(at, "%Y-%m-%d %H:%M:%S");
    let worded = |at: Timestamp| ist(at, "%a, %d %b %Y %H:%M:%S");
    let value = |name: &str| {
        Some(match name {
            "CallSid" => cast.call_sid.clone(),
            "From" => cast.customer.clone(),
            "To" => cast.exophone.clone(),
            "Agent1" => cast.agents[0].number.clone(),
            "Agent1Email" => cast.agents[0].email.clone(),
            "Agent2" => cast.agents[1].number.clone(),
            "Agent2Email" => cast.agents[1].email.clone(),
            "Created" => worded(started_at),
            "StartTime" => naive(started_at),
            "Now" => naive(happened),
            "NowPlus5" => worded(happened.checked_add(RECORDING_BY).unwrap_or(happened)),
            "RecordingUrl" => cast.recording_url.clone(),
            _ => return None,
        })
    };
    let mut out = String::with_capacity(text.len() + 128);
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, after) = rest.split_at(open);
        out.push_str(before);
        let found = after[1..].find('}').and_then(|close| Some((value(&after[1..=close])?, close + 2)));
        match found {
            Some((value, behind)) => {
                out.push_str(&encode(&value));
                rest = &after[behind..];
            }
            // A brace of JSON.
            None => {
                out.push('{');
                rest = &after[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn ist(at: Timestamp, format: &str) -> String {
    at.checked_add(IST_AHEAD).unwrap_or(at).strftime(format).to_string()
}

/// An MP3 of silence that players accept, named after its call so that no two recordings are alike.
fn silence(call_sid: &str, seconds: u32) -> Bytes {
    // MPEG-1 layer III, 32 kbit/s, 44.1 kHz, mono: 104 bytes for 1152 samples; zeros behind the header mean silence.
    const FRAME_BYTES: usize = 104;
    let frames = (u64::from(seconds) * 44_100).div_ceil(1152);
    let title = [&[0], call_sid.as_bytes()].concat();
    // ID3v2.3 with one frame, the title. Sizes below 128 need one byte only.
    let title_len = u8::try_from(title.len()).unwrap_or(0).min(100);
    let title = &title[..usize::from(title_len)];
    let mut bytes = b"ID3\x03\0\0\0\0\0".to_vec();
    bytes.push(title_len + 10);
    bytes.extend_from_slice(b"TIT2\0\0\0");
    bytes.extend_from_slice(&[title_len, 0, 0]);
    bytes.extend_from_slice(title);
    for _ in 0..frames {
        bytes.extend_from_slice(&[0xff, 0xfb, 0x10, 0xc0]);
        bytes.resize(bytes.len() + FRAME_BYTES - 4, 0);
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::flow::{flows, parse, placeholders, tests::TEXT};

    fn cast() -> Cast {
        let agent = |number: &str, email: &str| CastAgent { number: number.into(), email: email.into() };
        Cast {
            call_sid: "0123456789abcdef0123456789abcdef".into(),
            customer: "+919876543210".into(),
            exophone: "08047494574".into(),
            agents: [agent("09711581199", "a+b@example.com"), agent("09052161119", "c@example.com")],
            recording_url: "http://127.0.0.1:1/exotelrecordings/acme1/x.mp3".into(),
        }
    }

    fn pace() -> Pace {
        // 2023-12-27 12:17:32 IST
        Pace { begins: "2023-12-27T06:47:32.25Z".parse().expect("a time"), speed: 10.0 }
    }

    #[test]
    fn no_compiled_in_flow_leaves_a_placeholder() {
        for flow in flows().expect("all flows") {
            let instance = flow.instantiate(cast(), pace());
            for request in &instance.requests {
                for text in [&request.query, &request.body] {
                    assert_eq!(placeholders(text).next(), None, "{}: {text}", flow.name);
                }
                assert!(format!("{}{}", request.query, request.body).contains(&cast().call_sid), "{}", flow.name);
            }
        }
    }

    #[test]
    fn a_flow_becomes_requests_in_the_order_of_delivery() {
        let instance = parse("sample", TEXT).expect("a flow").instantiate(cast(), pace());
        let [pop, answered] = instance.requests.as_slice() else { panic!("two requests") };
        assert_eq!(
            pop.query,
            "event=pop&CallSid=0123456789abcdef0123456789abcdef&CallFrom=%2B919876543210&\
             Created=Wed%2C+27+Dec+2023+12%3A17%3A07&AgentEmail=a%2Bb%40example.com&EventType=+Dial"
        );
        assert_eq!((pop.at, pop.copies, pop.late), (Duration::from_millis(1250), 2, true));
        assert_eq!(pop.label(), "pop Dial");
        assert_eq!((answered.at, answered.copies, answered.late), (Duration::from_millis(2700), 1, false));
        assert_eq!(
            answered.body,
            "{\"CallSid\":\"0123456789abcdef0123456789abcdef\",\"CurrentTime\":\"2023-12-27 12:17:34\",\
             \"Legs\":[{\"Number\":\"09711581199\"}]}"
        );
        assert_eq!(instance.expect.subject, "Incoming Call from +919876543210");
        assert_eq!(instance.expect.agent.as_deref(), Some("09711581199"));
    }

    #[test]
    fn the_simulated_call_keeps_its_length_and_ends_with_the_playing() {
        let call = parse("sample", TEXT).expect("a flow").instantiate(cast(), pace()).call;
        let ended = call.ended_at.expect("an end");
        assert_eq!(ended.duration_since(call.started_at).as_secs(), 27);
        assert_eq!(ended, pace().begins + Duration::from_millis(2700));
        let recording = call.recording.expect("a recording");
        assert_eq!(recording.available_after_end, Duration::from_secs(2));
        assert!(recording.bytes.starts_with(b"ID3"));
        assert_eq!((recording.bytes.len() - 53) % 104, 0);
    }

    #[test]
    fn at_the_speed_of_life_the_call_begins_when_its_playing_does() {
        let pace = Pace { speed: 1.0, ..pace() };
        assert_eq!(pace.call_start(27), pace.begins);
    }
}
