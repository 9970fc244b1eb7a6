//! ElevenLabs Agents: an agent that knows what it is, wants to know who calls, and closes on whoever says something that
//! it does not know (code 1008). Facts as in the bridge's dialect: EL, ELT.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Handshake, Message, Session, Side,
    ear::{Ear, Turn},
};

/// What an agent was set up to be.
#[derive(Clone, Debug)]
pub struct Agent {
    pub key: String,
    pub id: String,
    /// Samples per second of PCM, of what it hears and of what it says.
    pub hears: u32,
    pub speaks: u32,
    /// How it says what it says, if it is not that.
    pub output_format: Option<String>,
    /// Whether a client may override prompt and first message.
    pub overrides: bool,
    /// Variables that its texts name.
    pub needs: Vec<String>,
    /// Whether `agent_response_correction` is among its events.
    pub corrects: bool,
}

impl Agent {
    pub fn new(key: &str, rate: u32) -> Self {
        Self {
            key: key.to_owned(),
            id: "agent_1".to_owned(),
            hears: rate,
            speaks: rate,
            output_format: None,
            overrides: true,
            needs: Vec::new(),
            corrects: true,
        }
    }

    /// Who may come in, and what he gets.
    ///
    /// # Errors
    /// The status that the handshake is refused with.
    pub fn door(&self, asked: &Handshake) -> Result<Conversation, StatusCode> {
        match () {
            () if asked.path != "/v1/convai/conversation" => Err(StatusCode::NOT_FOUND),
            () if asked.header("xi-api-key") != Some(&self.key) => Err(StatusCode::UNAUTHORIZED),
            () if asked.query("agent_id").as_deref() != Some(&self.id) => Err(StatusCode::NOT_FOUND),
            () => Ok(Conversation::of(self.clone())),
        }
    }
}

/// One conversation.
#[derive(Debug)]
pub struct Conversation {
    side: Side,
    agent: Agent,
    /// What the client said first.
    pub first: Option<Value>,
    pub ear: Ear,
    /// Messages beside the audio, in order, without the first.
    pub told: Vec<Value>,
    /// What is transcribed when the caller stops.
    pub transcript: String,
    event: i64,
    /// Of what is being said: its text, and its event.
    saying: Option<(String, i64)>,
    pings: Vec<i64>,
    calls: Vec<String>,
}

impl Conversation {
    fn of(agent: Agent) -> Self {
        Self {
            side: Side::default(),
            agent,
            first: None,
            ear: Ear::default(),
            told: Vec::new(),
            transcript: "Where is my order?".to_owned(),
            event: 0,
            saying: None,
            pings: Vec::new(),
            calls: Vec::new(),
        }
    }

    fn next(&mut self) -> i64 {
        self.event += 1;
        self.event
    }

    /// Says something, in events of `part_ms`: the first at once, the others each so long after the one before.
    pub fn says(&mut self, text: &str, pcm: &[u8], part_ms: u64, every: Duration) {
        let response = self.next();
        let event = json!({ "agent_response": text, "event_id": response });
        self.side.script.json(&json!({ "type": "agent_response", "agent_response_event": event }));
        let part = (u64::from(self.agent.speaks) * 2 * part_ms / 1000) as usize;
        for (number, part) in pcm.chunks(part).enumerate() {
            let event = json!({ "audio_base_64": STANDARD.encode(part), "event_id": self.next() });
            let message = Message::json(&json!({ "type": "audio", "audio_event": event }));
            let wait = if number == 0 { Duration::ZERO } else { every };
            self.side.script.send_later(wait, response as u64, message);
        }
        self.saying = Some((text.to_owned(), response));
    }

    pub fn ping(&mut self) {
        let id = self.next();
        self.pings.push(id);
        self.side.script.json(&json!({ "type": "ping", "ping_event": { "event_id": id, "ping_ms": 30 } }));
    }

    pub fn calls(&mut self, id: &str, name: &str, parameters: &Value) {
        self.calls.push(id.to_owned());
        let call = json!({ "tool_name": name, "tool_call_id": id, "parameters": parameters, "event_id": self.next() });
        self.side.script.json(&json!({ "type": "client_tool_call", "client_tool_call": call }));
    }

    /// The agent ends the call.
    pub fn hangs_up(&mut self) {
        self.side.script.close(1000);
    }

    /// An error, as it is told before the connection is closed for it.
    pub fn fails(&mut self, code: u16, kind: &str) {
        let error = json!({ "code": code, "error_type": kind, "message": "what somebody said", "reason": null });
        self.side.script.json(&json!({ "type": "error", "error_event": error }));
        self.side.script.close(code);
    }

    /// He speaks over it: what was not sent is not, what was is to be dropped.
    fn interrupted(&mut self) {
        let Some((text, response)) = self.saying.take() else { return };
        self.side.script.take_back(response as u64);
        let id = self.event;
        self.side.script.json(&json!({ "type": "interruption", "interruption_event": { "event_id": id } }));
        if self.agent.corrects {
            let (first, _) = text.split_once(' ').unwrap_or((&text, ""));
            let event =
                json!({ "original_agent_response": text, "corrected_agent_response": first, "event_id": response });
            let event = json!({ "type": "agent_response_correction", "agent_response_correction_event": event });
            self.side.script.json(&event);
        }
    }

    fn begins(&mut self, first: &Value) {
        const KNOWN: [&str; 7] = [
            "type",
            "conversation_config_override",
            "custom_llm_extra_body",
            "dynamic_variables",
            "user_id",
            "source_info",
            "tool_mock_config",
        ];
        self.only(first, &KNOWN);
        let given = first["dynamic_variables"].as_object().cloned().unwrap_or_default();
        for (name, value) in &given {
            if value.is_object() || value.is_array() || value.is_null() || name.starts_with("system__") {
                self.side.wrong(format!("a dynamic variable {name} cannot be"));
            }
        }
        self.first = Some(first.clone());
        if first.get("conversation_config_override").is_some() && !self.agent.overrides {
            return self.fails(1008, "override_error");
        }
        if self.agent.needs.iter().any(|name| !given.contains_key(name)) {
            return self.fails(1008, "missing_dynamic_variable");
        }
        let speaks = self.agent.output_format.clone().unwrap_or_else(|| format!("pcm_{}", self.agent.speaks));
        let event = json!({
            "conversation_id": "conv_1", "agent_output_audio_format": speaks,
            "user_input_audio_format": format!("pcm_{}", self.agent.hears),
        });
        let event =
            json!({ "type": "conversation_initiation_metadata", "conversation_initiation_metadata_event": event });
        self.side.script.json(&event);
    }

    fn hears(&mut self, message: &Value) {
        self.only(message, &["user_audio_chunk"]);
        let pcm = message["user_audio_chunk"].as_str().and_then(|text| STANDARD.decode(text).ok());
        let Some(pcm) = pcm.filter(|pcm| !pcm.is_empty() && pcm.len() % 2 == 0) else {
            return self.side.wrong("audio that is none");
        };
        match self.ear.hears(&pcm, self.agent.hears) {
            Some(Turn::Starts) => self.interrupted(),
            Some(Turn::Stops) => {
                let event = json!({ "user_transcript": self.transcript, "event_id": self.next() });
                self.side.script.json(&json!({ "type": "user_transcript", "user_transcription_event": event }));
            }
            None => {}
        }
    }

    fn only(&mut self, message: &Value, known: &[&str]) {
        for key in message.as_object().into_iter().flat_map(|all| all.keys()) {
            if !known.contains(&key.as_str()) {
                self.side.wrong(format!("{key} is not known"));
            }
        }
    }
}

impl Session for Conversation {
    fn side(&mut self) -> &mut Side {
        &mut self.side
    }

    fn came(&mut self, message: &Message) {
        let Message::Text(text) = message else { return self.side.wrong("a binary message") };
        let Ok(message) = serde_json::from_str::<Value>(text) else { return self.side.wrong("no JSON") };
        let kind = message["type"].as_str().unwrap_or_default();
        if self.first.is_none() {
            if kind != "conversation_initiation_client_data" {
                self.side.wrong(format!("{kind} before the conversation was begun"));
            }
            return self.begins(&message);
        }
        if kind.is_empty() && message.get("user_audio_chunk").is_some() {
            return self.hears(&message);
        }
        let id = message["tool_call_id"].as_str().unwrap_or_default();
        let well = match kind {
            "pong" => {
                self.only(&message, &["type", "event_id"]);
                let before = self.pings.len();
                self.pings.retain(|id| message["event_id"].as_i64() != Some(*id));
                self.pings.len() < before
            }
            "client_tool_result" => {
                self.only(&message, &["type", "tool_call_id", "result", "is_error"]);
                let before = self.calls.len();
                self.calls.retain(|call| call != id);
                self.calls.len() < before && message["result"].is_string() && message["is_error"].is_boolean()
            }
            "user_message" | "contextual_update" => {
                self.only(&message, &["type", "text", "context_id"]);
                message["text"].is_string()
            }
            "user_activity" => true,
            _ => false,
        };
        if !well {
            self.side.wrong(format!("{kind} that it does not take"));
        }
        self.told.push(message);
    }
}
