//! OpenAI Realtime, and Azure OpenAI in the shape of before: one session. It knows the published events, takes nothing
//! else, and hears by how loud it is. It is long because a session's events only make sense together.

use std::{collections::VecDeque, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Handshake, Message, Session, Side,
    g711::{compress, expand},
    sound::{is_speech, tone},
};

/// Of one message, in bytes of audio.
const APPEND_BYTES: usize = 15 * 1024 * 1024;
/// Audio comes in such pieces.
const DELTA_MS: u64 = 100;
/// Loud for so long is speech.
const SPEECH_MS: u64 = 60;

/// What the model does when it is its turn.
#[derive(Clone, Debug)]
pub enum Turn {
    /// Says this, as a tone of so many milliseconds.
    Says {
        text: String,
        hz: f64,
        ms: u64,
    },
    Calls {
        name: String,
        arguments: Value,
    },
    /// Fails to answer, with this code.
    Fails(String),
}

impl Turn {
    pub fn says(text: &str, hz: f64, ms: u64) -> Self {
        Self::Says { text: text.to_owned(), hz, ms }
    }
}

/// How a session will go.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Settings stand where they stood before: `input_audio_format`.
    pub flat: bool,
    /// When the answers run out, it says nothing.
    pub answers: VecDeque<Turn>,
    /// What the caller is understood to say, one turn after the other.
    pub understood: VecDeque<String>,
    /// And how long that takes.
    pub understood_after: Duration,
    /// Between two pieces of audio: none, and it comes faster than it is heard.
    pub pace: Duration,
    /// Pieces that are still sent after an answer was cancelled.
    pub late: usize,
    /// It says that its audio is this, whatever was asked.
    pub insists: Option<Value>,
    /// Errors with this code instead of taking the settings.
    pub refuses: Option<String>,
}

/// What is being said.
#[derive(Clone, Debug)]
struct Saying {
    response: u64,
    item: String,
    ms: u64,
}

/// One session.
#[derive(Debug)]
pub struct OpenAi {
    side: Side,
    plan: Plan,
    /// As it is now, in the service's words.
    pub session: Value,
    configured: bool,
    /// What the caller was heard to say, as PCM16 at [`OpenAi::rate`].
    pub heard: Vec<u8>,
    /// What was left of items: the id, and the milliseconds.
    pub truncated: Vec<(String, u64)>,
    /// What the client wrote into the conversation.
    pub texts: Vec<String>,
    /// By call.
    pub outputs: Vec<(String, String)>,
    /// Bodies of `response.create`.
    pub asked: Vec<Value>,
    /// How often the caller was heard to begin to speak.
    pub speeches: u64,
    loud_ms: u64,
    quiet_ms: u64,
    speaking: bool,
    responses: u64,
    events: u64,
    current: Option<Saying>,
    /// All that was said, for what may be truncated.
    said: Vec<Saying>,
    calls: Vec<String>,
}

fn audio_of(session: &Value, flat: bool, which: &str) -> Value {
    match flat {
        true => session[format!("{which}_audio_format")].clone(),
        false => session["audio"][which]["format"].clone(),
    }
}

/// Of a format: its rate, and which law, if one.
fn known_format(format: &Value, flat: bool) -> Option<(u32, Option<bool>)> {
    if flat {
        return match format.as_str()? {
            "pcm16" => Some((24_000, None)),
            "g711_ulaw" => Some((8000, Some(false))),
            "g711_alaw" => Some((8000, Some(true))),
            _ => None,
        };
    }
    match format["type"].as_str()? {
        "audio/pcm" if format["rate"] == 24_000 => Some((24_000, None)),
        "audio/pcmu" => Some((8000, Some(false))),
        "audio/pcma" => Some((8000, Some(true))),
        _ => None,
    }
}

impl OpenAi {
    pub fn new(plan: Plan) -> Self {
        let turns = json!({ "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500,
            "create_response": true, "interrupt_response": true });
        let pcm = json!({ "type": "audio/pcm", "rate": 24_000 });
        let session = match plan.flat {
            true => json!({
                "id": "sess_1", "object": "realtime.session", "model": "gpt-4o-realtime-preview",
                "modalities": ["audio", "text"], "voice": "alloy", "instructions": "", "tools": [],
                "tool_choice": "auto", "input_audio_format": "pcm16", "output_audio_format": "pcm16",
                "input_audio_transcription": null, "turn_detection": turns,
            }),
            false => json!({
                "id": "sess_1", "object": "realtime.session", "type": "realtime", "model": "gpt-realtime",
                "output_modalities": ["audio"], "instructions": "", "tools": [], "tool_choice": "auto",
                "audio": {
                    "input": { "format": pcm, "transcription": null, "noise_reduction": null, "turn_detection": turns },
                    "output": { "format": pcm, "voice": "alloy", "speed": 1.0 },
                },
            }),
        };
        Self {
            side: Side::default(),
            plan,
            session,
            configured: false,
            heard: Vec::new(),
            truncated: Vec::new(),
            texts: Vec::new(),
            outputs: Vec::new(),
            asked: Vec::new(),
            speeches: 0,
            loud_ms: 0,
            quiet_ms: 0,
            speaking: false,
            responses: 0,
            events: 0,
            current: None,
            said: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// A door as OpenAI has it: a model, a key, and nothing of the beta.
    pub fn door(key: &str, plan: Plan) -> impl Fn(&Handshake) -> Result<Self, StatusCode> + Send + Sync + 'static {
        let bearer = format!("Bearer {key}");
        move |asked| match () {
            () if asked.path != "/v1/realtime" => Err(StatusCode::NOT_FOUND),
            () if asked.header("authorization") != Some(&bearer) => Err(StatusCode::UNAUTHORIZED),
            () if asked.query("model").is_none() || asked.header("openai-beta").is_some() => {
                Err(StatusCode::BAD_REQUEST)
            }
            () => Ok(Self::new(plan.clone())),
        }
    }

    /// A door as Azure has it for addresses with an `api-version`.
    pub fn azure_door(
        key: &str,
        plan: Plan,
    ) -> impl Fn(&Handshake) -> Result<Self, StatusCode> + Send + Sync + 'static {
        let key = key.to_owned();
        move |asked| match () {
            () if asked.path != "/openai/realtime" => Err(StatusCode::NOT_FOUND),
            () if asked.header("api-key") != Some(&key) => Err(StatusCode::UNAUTHORIZED),
            () if asked.query("deployment").is_none() || asked.query("api-version").is_none() => {
                Err(StatusCode::BAD_REQUEST)
            }
            () => Ok(Self::new(Plan { flat: true, ..plan.clone() })),
        }
    }

    /// Of what it hears.
    pub fn rate(&self) -> u32 {
        known_format(&audio_of(&self.session, self.plan.flat, "input"), self.plan.flat).map_or(24_000, |(rate, _)| rate)
    }

    /// More answers.
    pub fn will(&mut self, turn: Turn) {
        self.plan.answers.push_back(turn);
    }

    /// It has refused what it was asked to be, or is what nobody can follow: no word comes of it any more.
    pub fn wants_nothing(&self) -> bool {
        self.plan.refuses.is_some() || self.plan.insists.is_some()
    }

    /// Whether it is saying something, or has more to send of it.
    pub fn is_busy(&self) -> bool {
        self.current.as_ref().is_some_and(|saying| self.unsent(saying.response) > 0)
    }

    fn unsent(&self, response: u64) -> usize {
        self.side.script.waiting(2 * response) + self.side.script.waiting(2 * response + 1)
    }

    fn event(&mut self, kind: &str, more: &Value) -> Value {
        self.events += 1;
        let mut event = json!({ "type": self.name(kind), "event_id": format!("event_{}", self.events) });
        if let (Some(event), Some(more)) = (event.as_object_mut(), more.as_object()) {
            event.extend(more.clone());
        }
        event
    }

    /// Names of before.
    fn name(&self, kind: &str) -> String {
        match self.plan.flat {
            true => {
                kind.replace("output_audio", "audio").replace("conversation.item.added", "conversation.item.created")
            }
            false => kind.to_owned(),
        }
    }

    fn tell(&mut self, kind: &str, more: Value) {
        let event = self.event(kind, &more);
        self.side.script.json(&event);
    }

    fn tell_of(&mut self, wait: Duration, tag: u64, kind: &str, more: Value) {
        let event = self.event(kind, &more);
        self.side.script.send_later(wait, tag, Message::json(&event));
    }

    /// An error, as the service words it: never without something of the key or the request in it.
    pub fn error(&mut self, code: &str, about: Option<&str>) {
        let kind = if code == "session_expired" { "session_expired" } else { "invalid_request_error" };
        self.tell(
            "error",
            json!({ "error": {
            "type": kind, "code": code, "message": format!("{code}: sk-backend-hunter2 and what the caller said"),
            "param": null, "event_id": about,
        } }),
        );
    }

    fn updates(&mut self, event: &Value) {
        let told = &event["session"];
        let nested = [
            "type",
            "output_modalities",
            "instructions",
            "audio",
            "tools",
            "tool_choice",
            "max_output_tokens",
            "truncation",
            "prompt",
            "tracing",
            "include",
            "reasoning",
            "parallel_tool_calls",
            "model",
        ];
        let flat = [
            "modalities",
            "instructions",
            "voice",
            "input_audio_format",
            "output_audio_format",
            "input_audio_transcription",
            "turn_detection",
            "tools",
            "tool_choice",
            "temperature",
            "max_response_output_tokens",
            "input_audio_noise_reduction",
        ];
        let known: &[&str] = if self.plan.flat { &flat } else { &nested };
        for name in told.as_object().into_iter().flatten().map(|(name, _)| name) {
            if !known.contains(&name.as_str()) {
                self.side.wrong(format!("session.{name} is no setting"));
            }
        }
        if !self.plan.flat && told["type"] != "realtime" {
            self.side.wrong("session.type must be realtime");
        }
        for which in ["input", "output"] {
            let format = audio_of(told, self.plan.flat, which);
            if !format.is_null() && known_format(&format, self.plan.flat).is_none() {
                self.side.wrong(format!("{format} is no format"));
            }
        }
        for tool in told["tools"].as_array().into_iter().flatten() {
            let named = tool["name"].as_str().is_some_and(|name| !name.is_empty());
            if tool["type"] != "function" || !named || !tool["parameters"].is_object() {
                self.side.wrong(format!("{tool} is no tool"));
            }
        }
        if let Some(code) = self.plan.refuses.clone() {
            return self.error(&code, event["event_id"].as_str());
        }
        merge(&mut self.session, told);
        if let Some(insists) = self.plan.insists.clone() {
            match self.plan.flat {
                true => self.session["output_audio_format"] = insists,
                false => self.session["audio"]["output"]["format"] = insists,
            }
        }
        self.configured = true;
        let session = self.session.clone();
        self.tell("session.updated", json!({ "session": session }));
    }

    fn hears(&mut self, event: &Value) {
        if !self.configured {
            self.side.wrong("audio came before the session said in what format");
        }
        let coded = event["audio"].as_str().and_then(|text| STANDARD.decode(text).ok());
        let Some(coded) = coded.filter(|coded| !coded.is_empty() && coded.len() <= APPEND_BYTES) else {
            return self.side.wrong("input_audio_buffer.append has no audio");
        };
        let format = known_format(&audio_of(&self.session, self.plan.flat, "input"), self.plan.flat);
        let (rate, law) = format.unwrap_or((24_000, None));
        if law.is_none() && coded.len() % 2 == 1 {
            self.side.wrong("half a sample");
        }
        let pcm = law.map_or(coded.clone(), |a_law| expand(a_law, &coded));
        self.heard.extend(&pcm);
        let ms = pcm.len() as u64 * 1000 / (2 * u64::from(rate));
        if is_speech(&pcm) {
            (self.loud_ms, self.quiet_ms) = (self.loud_ms + ms, 0);
            if self.loud_ms >= SPEECH_MS && !self.speaking {
                self.speech_starts();
            }
        } else {
            self.quiet_ms += ms;
            let turns = if self.plan.flat {
                &self.session["turn_detection"]
            } else {
                &self.session["audio"]["input"]["turn_detection"]
            };
            let patience = turns["silence_duration_ms"].as_u64().unwrap_or(500);
            if self.quiet_ms >= patience {
                self.loud_ms = 0;
                if std::mem::take(&mut self.speaking) {
                    self.speech_stops();
                }
            }
        }
    }

    fn speech_starts(&mut self) {
        self.speaking = true;
        self.speeches += 1;
        let item = format!("item_u{}", self.speeches);
        let started = json!({ "audio_start_ms": self.heard.len(), "item_id": item });
        let event = self.event("input_audio_buffer.speech_started", &started);
        self.cancel("turn_detected", Some(&event));
    }

    fn speech_stops(&mut self) {
        let item = format!("item_u{}", self.speeches);
        self.tell("input_audio_buffer.speech_stopped", json!({ "audio_end_ms": self.heard.len(), "item_id": item }));
        self.tell("input_audio_buffer.committed", json!({ "previous_item_id": null, "item_id": item }));
        self.tell(
            "conversation.item.added",
            json!({ "previous_item_id": null, "item": {
            "id": item, "object": "realtime.item", "type": "message", "status": "completed", "role": "user",
            "content": [{ "type": "input_audio", "transcript": null }] } }),
        );
        let transcribes = match self.plan.flat {
            true => &self.session["input_audio_transcription"],
            false => &self.session["audio"]["input"]["transcription"],
        };
        let transcribes = !transcribes.is_null();
        let text = self.plan.understood.pop_front().filter(|_| transcribes);
        if self.plan.understood_after.is_zero() {
            self.understood(&item, text.as_deref());
            self.respond();
        } else {
            // It takes its time; the answer does not wait for it.
            self.respond();
            self.understood(&item, text.as_deref());
        }
    }

    fn understood(&mut self, item: &str, text: Option<&str>) {
        if let Some(text) = text {
            let wait = self.plan.understood_after;
            let told = json!({ "item_id": item, "content_index": 0, "transcript": format!("{text}\n") });
            self.tell_of(wait, 0, "conversation.item.input_audio_transcription.completed", told);
        }
    }

    /// `first`: told before anything else.
    fn cancel(&mut self, reason: &str, first: Option<&Value>) -> bool {
        let saying = self.current.take().filter(|saying| self.unsent(saying.response) > 0);
        let late = saying.as_ref().map(|saying| self.take_back(saying)).unwrap_or_default();
        if let Some(first) = first {
            self.side.script.json(first);
        }
        let Some(saying) = saying else { return false };
        for delta in late {
            self.side.script.json(&delta);
        }
        let response = self.response(saying.response, "cancelled", json!({ "type": "cancelled", "reason": reason }));
        self.tell("response.done", response);
        true
    }

    /// What is not sent of it is not; but for what is under way already. How much went out is noted.
    fn take_back(&mut self, saying: &Saying) -> Vec<Value> {
        let unsent = self.side.script.waiting(2 * saying.response + 1) as u64;
        let sent = saying.ms - (unsent * DELTA_MS).min(saying.ms);
        self.side.script.take_back(2 * saying.response);
        self.side.script.take_back(2 * saying.response + 1);
        if let Some(said) = self.said.iter_mut().find(|said| said.response == saying.response) {
            said.ms = sent;
        }
        let late = self.plan.late;
        (0..late).map(|_| self.delta(saying, &self.sound(3000.0, DELTA_MS))).collect::<Vec<_>>()
    }

    fn sound(&self, hz: f64, ms: u64) -> Vec<u8> {
        let format = known_format(&audio_of(&self.session, self.plan.flat, "output"), self.plan.flat);
        let (rate, law) = format.unwrap_or((24_000, None));
        let pcm = tone(hz, rate, ms);
        law.map_or(pcm.clone(), |a_law| compress(a_law, &pcm))
    }

    fn delta(&self, saying: &Saying, coded: &[u8]) -> Value {
        json!({
            "type": self.name("response.output_audio.delta"), "event_id": "event_0",
            "response_id": format!("resp_{}", saying.response), "item_id": saying.item, "output_index": 0,
            "content_index": 0, "delta": STANDARD.encode(coded),
        })
    }

    fn response(&self, number: u64, status: &str, details: Value) -> Value {
        json!({ "response": {
            "object": "realtime.response", "id": format!("resp_{number}"), "status": status,
            "status_details": details, "output": [], "conversation_id": "conv_1",
        } })
    }

    fn respond(&mut self) {
        let Some(turn) = self.plan.answers.pop_front() else { return };
        self.responses += 1;
        let (number, of) = (self.responses, format!("resp_{}", self.responses));
        let tag = 2 * number;
        let created = self.response(number, "in_progress", Value::Null);
        self.tell_of(Duration::ZERO, tag, "response.created", created);
        match turn {
            Turn::Says { text, hz, ms } => {
                let saying = Saying { response: number, item: format!("item_b{number}"), ms };
                self.said.push(saying.clone());
                self.says(&saying, &text, hz);
                self.current = Some(saying);
            }
            Turn::Calls { name, arguments } => {
                let call = format!("call_{number}");
                self.calls.push(call.clone());
                let item = |status: &str, arguments: &str| {
                    json!({ "id": format!("item_f{number}"), "object": "realtime.item", "type": "function_call",
                        "status": status, "name": name, "call_id": call, "arguments": arguments })
                };
                let arguments = arguments.to_string();
                let place = json!({ "response_id": of, "item_id": format!("item_f{number}"), "output_index": 0 });
                let with = |more: Value| {
                    let mut all = place.clone();
                    merge(&mut all, &more);
                    all
                };
                self.tell_of(
                    Duration::ZERO,
                    tag,
                    "response.output_item.added",
                    with(json!({ "item": item("in_progress", "") })),
                );
                let arguments_of = json!({ "call_id": call, "delta": arguments });
                self.tell_of(Duration::ZERO, tag, "response.function_call_arguments.delta", with(arguments_of));
                let arguments_of = json!({ "call_id": call, "name": name, "arguments": arguments });
                self.tell_of(Duration::ZERO, tag, "response.function_call_arguments.done", with(arguments_of));
                let done = with(json!({ "item": item("completed", &arguments) }));
                self.tell_of(Duration::ZERO, tag, "response.output_item.done", done);
                let done = self.response(number, "completed", Value::Null);
                self.tell_of(Duration::ZERO, tag, "response.done", done);
                self.current = Some(Saying { response: number, item: String::new(), ms: 0 });
            }
            Turn::Fails(code) => {
                let error = json!({ "type": "failed", "error": { "type": "server_error", "code": code,
                    "message": "sk-backend-hunter2" } });
                let done = self.response(number, "failed", error);
                self.tell_of(Duration::ZERO, tag, "response.done", done);
            }
        }
    }

    fn says(&mut self, saying: &Saying, text: &str, hz: f64) {
        let (tag, pace) = (2 * saying.response, self.plan.pace);
        let place = json!({ "response_id": format!("resp_{}", saying.response), "item_id": saying.item,
            "output_index": 0, "content_index": 0 });
        let with = |more: Value| {
            let mut all = place.clone();
            merge(&mut all, &more);
            all
        };
        let item = |status: &str| {
            json!({ "id": saying.item, "object": "realtime.item", "type": "message",
            "status": status, "role": "assistant", "content": [] })
        };
        self.tell_of(Duration::ZERO, tag, "response.output_item.added", with(json!({ "item": item("in_progress") })));
        self.tell_of(Duration::ZERO, tag, "conversation.item.added", json!({ "item": item("in_progress") }));
        let part = json!({ "part": { "type": "audio", "transcript": "" } });
        self.tell_of(Duration::ZERO, tag, "response.content_part.added", with(part));
        let words: Vec<&str> = text.split_inclusive(' ').collect();
        let pieces = saying.ms.div_ceil(DELTA_MS);
        let coded = self.sound(hz, saying.ms);
        let piece = coded.len().div_ceil(pieces.max(1) as usize).next_multiple_of(2);
        for (at, coded) in coded.chunks(piece.max(2)).enumerate() {
            // Words are some way ahead of their sound.
            let from = (at * words.len()).div_ceil(pieces as usize);
            let to = ((at + 1) * words.len()).div_ceil(pieces as usize);
            for word in &words[from.min(words.len())..to.min(words.len())] {
                self.tell_of(
                    Duration::ZERO,
                    tag,
                    "response.output_audio_transcript.delta",
                    with(json!({ "delta": word })),
                );
            }
            let delta = self.delta(saying, coded);
            self.side.script.send_later(pace, tag + 1, Message::json(&delta));
        }
        self.tell_of(Duration::ZERO, tag, "response.output_audio.done", with(json!({})));
        let whole = with(json!({ "transcript": text }));
        self.tell_of(Duration::ZERO, tag, "response.output_audio_transcript.done", whole);
        self.tell_of(Duration::ZERO, tag, "response.output_item.done", with(json!({ "item": item("completed") })));
        let done = self.response(saying.response, "completed", Value::Null);
        self.tell_of(Duration::ZERO, tag, "response.done", done);
    }

    fn creates(&mut self, event: &Value) {
        let item = &event["item"];
        match item["type"].as_str() {
            Some("function_call_output") => {
                let (call, output) = (item["call_id"].as_str().unwrap_or_default(), item["output"].as_str());
                let (Some(output), true) = (output, self.calls.iter().any(|known| known == call)) else {
                    return self.side.wrong(format!("{item} answers no call"));
                };
                if self.outputs.iter().any(|(answered, _)| answered == call) {
                    self.side.wrong(format!("{call} was answered before"));
                }
                self.outputs.push((call.to_owned(), output.to_owned()));
            }
            Some("message") if item["role"] == "user" && item["content"][0]["type"] == "input_text" => {
                self.texts.push(item["content"][0]["text"].as_str().unwrap_or_default().to_owned());
            }
            _ => self.side.wrong(format!("{item} is no item")),
        }
    }

    fn truncates(&mut self, event: &Value) {
        let (item, ms) = (event["item_id"].as_str().unwrap_or_default(), event["audio_end_ms"].as_u64());
        let said = self.said.iter().find(|said| said.item == item).cloned();
        let (Some(said), Some(ms)) = (said, ms) else {
            return self.side.wrong(format!("{event} truncates nothing"));
        };
        let unsent = self.side.script.waiting(2 * said.response + 1) as u64;
        let there = said.ms - (unsent * DELTA_MS).min(said.ms);
        if ms > there || event["content_index"] != 0 {
            self.side.wrong(format!("Audio content of {there}ms is already shorter than {ms}ms"));
        }
        self.truncated.push((item.to_owned(), ms));
        self.tell("conversation.item.truncated", json!({ "item_id": item, "content_index": 0, "audio_end_ms": ms }));
    }
}

impl Session for OpenAi {
    fn side(&mut self) -> &mut Side {
        &mut self.side
    }

    fn opened(&mut self) {
        let session = self.session.clone();
        self.tell("session.created", json!({ "session": session }));
    }

    fn came(&mut self, message: &Message) {
        let Message::Text(text) = message else { return self.side.wrong("a binary message") };
        let Ok(event) = serde_json::from_str::<Value>(text) else { return self.side.wrong("no JSON") };
        match event["type"].as_str().unwrap_or_default() {
            "session.update" => self.updates(&event),
            "input_audio_buffer.append" => self.hears(&event),
            "response.create" => {
                self.asked.push(event["response"].clone());
                match self.is_busy() {
                    true => self.error("conversation_already_has_active_response", event["event_id"].as_str()),
                    false => self.respond(),
                }
            }
            "response.cancel" => {
                if !self.cancel("client_cancelled", None) {
                    self.error("response_cancel_not_active", event["event_id"].as_str());
                }
            }
            "conversation.item.create" => self.creates(&event),
            "conversation.item.truncate" => self.truncates(&event),
            "input_audio_buffer.commit" | "input_audio_buffer.clear" => {}
            other => self.side.wrong(format!("{other:?} is no event")),
        }
    }
}

fn merge(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                if name == "format" {
                    // One of several kinds: it is replaced.
                    under.remove(name);
                }
                merge(under.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_event_of_its_or_in_the_wrong_order_is_written_down() {
        for (text, told) in [
            ("{\"type\":\"input_audio_buffer.append\",\"audio\":\"1dU=\"}", "before the session"),
            (
                "{\"type\":\"session.update\",\"session\":{\"type\":\"realtime\",\"voice\":\"x\"}}",
                "session.voice is no setting",
            ),
            ("{\"type\":\"session.update\",\"session\":{}}", "session.type"),
            ("{\"type\":\"conversation.item.truncate\",\"item_id\":\"x\",\"audio_end_ms\":1}", "truncates nothing"),
            (
                "{\"type\":\"conversation.item.create\",\"item\":{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"\"}}",
                "answers no call",
            ),
            ("{\"type\":\"response.begin\"}", "is no event"),
        ] {
            let mut session = OpenAi::new(Plan::default());
            session.came(&Message::Text(text.to_owned()));
            assert!(session.side.wrong.iter().any(|wrong| wrong.contains(told)), "{told}: {:?}", session.side.wrong);
        }
    }
}
