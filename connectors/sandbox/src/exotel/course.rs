//! What becomes of a call that is placed, and what Exotel says of it: status callbacks in the forms of §3 and §5.2.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Exotel, SimulatedCall, render};

/// What a placed call comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// Until the first leg answers, or is given up.
    pub first_rings: Duration,
    /// Until the second answers.
    pub second_rings: Duration,
    pub talks: Duration,
    /// `completed`, or what else became of it: then nobody answers.
    pub status: String,
}

impl Default for Course {
    fn default() -> Self {
        let [first_rings, second_rings, talks] = [5, 4, 13].map(Duration::from_secs);
        Self { first_rings, second_rings, talks, status: "completed".to_owned() }
    }
}

/// Where a status callback goes, in which form, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) url: String,
    pub(super) json: bool,
    /// None: no events were asked for; one poor callback comes at the end (§3).
    pub(super) answered: Option<bool>,
}

/// A callback that Exotel sends: a `POST` of `body` to `url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    pub url: String,
    pub content_type: String,
    pub body: String,
}

/// One that is to come.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) due: Due,
    pub(super) listener: Listener,
    pub(super) says: Says,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    At(Timestamp),
    /// With the end of the call, whenever that is.
    End,
}

#[derive(Clone, Debug)]
pub(super) enum Says {
    /// So many legs of the call have answered.
    Answered {
        call_sid: String,
        legs: usize,
    },
    Ended {
        call_sid: String,
    },
    LegEnded {
        call_sid: String,
        leg_sid: String,
    },
}

impl Says {
    pub(super) fn call_sid(&self) -> &str {
        match self {
            Self::Answered { call_sid, .. } | Self::Ended { call_sid } | Self::LegEnded { call_sid, .. } => call_sid,
        }
    }
}

impl Exotel {
    /// The status callbacks that are due, oldest first; each is given once. To be posted by whoever asks.
    pub fn take_callbacks(&mut self, now: Timestamp) -> Vec<Callback> {
        let mut due: Vec<(Timestamp, Pending)> = Vec::new();
        let mut later = Vec::new();
        for pending in std::mem::take(&mut self.pending) {
            let call = self.calls.get(pending.says.call_sid());
            let ended = call.and_then(|call| call.ended(now));
            let at = match (&pending.due, &pending.says) {
                // A call that was hung up before is answered by nobody any more.
                (Due::At(at), _) if ended.is_some_and(|ended| ended < *at) => continue,
                (Due::At(at), _) => Some(*at).filter(|at| *at <= now),
                (Due::End, Says::LegEnded { call_sid, leg_sid }) => {
                    self.leg(call_sid, leg_sid).and_then(|leg| leg.ended_at).or(ended)
                }
                (Due::End, _) => ended,
            };
            match at {
                Some(at) => due.push((at, pending)),
                None => later.push(pending),
            }
        }
        self.pending = later;
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().filter_map(|(at, pending)| self.callback(&pending, at, now)).collect()
    }

    fn callback(&self, pending: &Pending, at: Timestamp, now: Timestamp) -> Option<Callback> {
        let call = self.calls.get(pending.says.call_sid())?;
        let fields = match &pending.says {
            Says::Answered { legs, .. } => self.status_fields(call, "answered", *legs, at, now),
            Says::Ended { .. } if pending.listener.answered.is_some() => {
                self.status_fields(call, "terminal", 2, at, now)
            }
            Says::Ended { .. } => vec![
                ("CallSid", json!(call.call_sid)),
                ("Status", json!(call.status)),
                ("RecordingUrl", self.recording_told(call)),
                ("DateUpdated", json!(render::ist(at))),
            ],
            Says::LegEnded { leg_sid, .. } => self.leg_fields(call, self.leg(&call.call_sid, leg_sid)?, at),
        };
        let Listener { url, json, .. } = &pending.listener;
        let (content_type, body) = if *json {
            let object: Map<String, Value> = fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            ("application/json".to_owned(), Value::Object(object).to_string())
        } else {
            multipart(&fields)
        };
        Some(Callback { url: url.clone(), content_type, body })
    }

    /// The address is told at the end, whether the file is there or not (§7).
    fn recording_told(&self, call: &SimulatedCall) -> Value {
        call.recording.as_ref().map_or(Value::Null, |_| json!(self.recording_url(&call.call_sid)))
    }

    fn status_fields(
        &self,
        call: &SimulatedCall,
        event: &'static str,
        legs: usize,
        at: Timestamp,
        now: Timestamp,
    ) -> Vec<(&'static str, Value)> {
        let over = event == "terminal";
        let ended = call.ended(now).filter(|_| over);
        let number = |number: u64| json!(number.to_string());
        let leg = |index: usize| {
            let talked = if index == 0 { ended.map_or(0, |ended| call.duration_s(ended)) } else { call.talk_seconds };
            let status = match (over, index < legs) {
                (true, _) if index == 1 && call.status != "completed" => "null",
                (true, _) => call.status.as_str(),
                (false, true) => "in-progress",
                (false, false) => "",
            };
            let mut leg = json!({"Status": status});
            if over {
                leg["OnCallDuration"] = number(talked);
            }
            leg
        };
        let mut fields = vec![
            ("CallSid", json!(call.call_sid)),
            ("EventType", json!(event)),
            ("DateCreated", json!(render::ist(call.started_at))),
            ("DateUpdated", json!(render::ist(at))),
            ("Status", json!(if over { call.status.as_str() } else { "in-progress" })),
            ("To", json!(call.to)),
            ("From", json!(call.from)),
            ("PhoneNumberSid", json!(call.exophone)),
            ("StartTime", json!(render::ist(call.started_at))),
            ("EndTime", json!(ended.map_or_else(|| "1970-01-01 05:30:00".to_owned(), render::ist))),
            ("Direction", json!(call.direction)),
            ("Legs", if call.stream_url.is_some() { json!([leg(0)]) } else { json!([leg(0), leg(1)]) }),
            ("EventTime", json!(render::ist(at))),
        ];
        if over {
            fields.push(("ConversationDuration", number(call.talk_seconds)));
            fields.push(("RecordingUrl", self.recording_told(call)));
            // It comes with the end only (§2.1).
            fields.extend(call.custom_field.as_ref().map(|mark| ("CustomField", json!(mark))));
        }
        fields
    }
}

/// The default form: every value a part of its own, those of a list under `Legs[0][Status]`.
fn multipart(fields: &[(&'static str, Value)]) -> (String, String) {
    const BOUNDARY: &str = "------------------------d74496d66958873e";
    let mut flat: Vec<(String, String)> = Vec::new();
    for (key, value) in fields {
        match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    for (name, value) in item.as_object().into_iter().flatten() {
                        flat.push((format!("{key}[{index}][{name}]"), value.as_str().unwrap_or_default().to_owned()));
                    }
                }
            }
            Value::String(text) => flat.push(((*key).to_owned(), text.clone())),
            // Nothing is said in the word for it (§0, quirk 6).
            Value::Null => flat.push(((*key).to_owned(), "null".to_owned())),
            other => flat.push(((*key).to_owned(), other.to_string())),
        }
    }
    let mut body = String::new();
    for (name, value) in flat {
        body.push_str(&format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"));
    }
    body.push_str(&format!("--{BOUNDARY}--\r\n"));
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}
