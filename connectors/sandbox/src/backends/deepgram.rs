//! Deepgram Voice Agent V1: says `Welcome`, is told what to be, and ends the session for a message that does not fit.
//! Facts as in the bridge's dialect: DGR, DGA, DGD, PLV.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Handshake, Message, Session, Side,
    ear::{Ear, Turn},
};

/// How it behaves.
#[derive(Clone, Debug)]
pub struct Agent {
    pub key: String,
    /// Whether it says `Welcome` by itself; else the test has it said.
    pub welcomes: bool,
    /// The code that it does not take its settings with.
    pub refuses: Option<String>,
    /// What of an interrupted response still comes after the interruption.
    pub late: Vec<u8>,
}

impl Agent {
    pub fn new(key: &str) -> Self {
        Self { key: key.to_owned(), welcomes: true, refuses: None, late: Vec::new() }
    }

    /// Who may come in, and what he gets.
    ///
    /// # Errors
    /// The status that the handshake is refused with.
    pub fn door(&self, asked: &Handshake) -> Result<Talk, StatusCode> {
        match () {
            () if asked.path != "/v1/agent/converse" => Err(StatusCode::NOT_FOUND),
            () if asked.header("authorization") != Some(&format!("Token {}", self.key)) => {
                Err(StatusCode::UNAUTHORIZED)
            }
            () => Ok(Talk::of(self.clone())),
        }
    }
}

/// One session.
#[derive(Debug)]
pub struct Talk {
    side: Side,
    agent: Agent,
    welcomed: bool,
    pub settings: Option<Value>,
    rate: u32,
    pub ear: Ear,
    /// How often the caller has begun to speak.
    pub turns: usize,
    /// Messages beside settings and audio, in order.
    pub told: Vec<Value>,
    /// What is transcribed when the caller stops.
    pub transcript: String,
    response: u64,
    speaks: bool,
    calls: Vec<String>,
}

impl Talk {
    fn of(agent: Agent) -> Self {
        Self {
            side: Side::default(),
            agent,
            welcomed: false,
            settings: None,
            rate: 0,
            ear: Ear::default(),
            turns: 0,
            told: Vec::new(),
            transcript: "Where is my order?".to_owned(),
            response: 0,
            speaks: false,
            calls: Vec::new(),
        }
    }

    pub fn welcome(&mut self) {
        self.welcomed = true;
        self.side.script.json(&json!({ "type": "Welcome", "request_id": "fc553ec9-5874-49ca-a47c-b670d525a4b1" }));
    }

    /// Says sentences, each with its audio, in messages of `part` bytes: each so long after the one before.
    pub fn says(&mut self, sentences: &[(&str, &[u8])], part: usize, every: Duration) {
        self.response += 1;
        self.speaks = true;
        let tag = self.response;
        for (number, (text, audio)) in sentences.iter().enumerate() {
            let script = &mut self.side.script;
            let text = json!({ "type": "ConversationText", "role": "assistant", "content": text });
            script.send_later(Duration::ZERO, tag, Message::json(&text));
            if number == 0 {
                let starts = json!({
                    "type": "AgentStartedSpeaking", "total_latency": 0.9, "tts_latency": 0.2, "ttt_latency": 0.5,
                });
                script.send_later(Duration::ZERO, tag, Message::json(&starts));
            }
            for part in audio.chunks(part) {
                script.send_later(every, tag, Message::Binary(part.to_vec()));
            }
        }
        self.side.script.send_later(Duration::ZERO, tag, Message::json(&json!({ "type": "AgentAudioDone" })));
    }

    pub fn calls(&mut self, id: &str, name: &str, arguments: &Value) {
        self.calls.push(id.to_owned());
        let call = json!({ "id": id, "name": name, "arguments": arguments.to_string(), "client_side": true });
        self.side.script.json(&json!({ "type": "FunctionCallRequest", "functions": [call] }));
    }

    pub fn fails(&mut self, code: &str) {
        let error = json!({ "type": "Error", "code": code, "description": "what somebody said" });
        self.side.script.json(&error);
        self.side.script.close(1011);
    }

    fn begins(&mut self, settings: &Value) {
        if settings["type"] != "Settings" {
            return self.side.wrong("a message before its settings");
        }
        self.settings = Some(settings.clone());
        self.only(settings, &["type", "tags", "experimental", "flags", "mip_opt_out", "audio", "agent"]);
        for side in ["input", "output"] {
            let format = &settings["audio"][side];
            self.only(format, &["encoding", "sample_rate", "bitrate", "container"]);
            // It reads integers, and nothing that merely is one.
            if format["encoding"] != "linear16" || !format["sample_rate"].is_u64() {
                self.side.wrong(format!("{side}: {format}"));
            }
        }
        self.rate = settings["audio"]["input"]["sample_rate"].as_u64().unwrap_or(0) as u32;
        let agent = &settings["agent"];
        self.only(agent, &["language", "context", "listen", "think", "speak", "greeting"]);
        for stage in ["listen", "think", "speak"] {
            let provider = &agent[stage]["provider"];
            if !provider["type"].is_string() || !provider["model"].is_string() {
                self.side.wrong(format!("{stage} without a model"));
            }
        }
        self.only(&agent["think"], &["provider", "endpoint", "functions", "prompt", "context_length"]);
        for function in agent["think"]["functions"].as_array().into_iter().flatten() {
            self.only(function, &["name", "description", "parameters", "endpoint", "defer_until_eot"]);
        }
        if let Some(code) = &self.agent.refuses {
            let told = json!({ "type": "Error", "code": code, "description": "Invalid agent.think settings - model not available" });
            self.side.script.json(&told);
            return self.side.script.close(1000);
        }
        self.side.script.json(&json!({ "type": "SettingsApplied" }));
    }

    fn hears(&mut self, pcm: &[u8]) {
        if self.settings.is_none() || pcm.is_empty() || !pcm.len().is_multiple_of(2) {
            return self.side.wrong("audio that is none, or before there were settings");
        }
        match self.ear.hears(pcm, self.rate) {
            Some(Turn::Starts) => {
                self.turns += 1;
                self.side.script.json(&json!({ "type": "UserStartedSpeaking" }));
                if std::mem::take(&mut self.speaks) && self.side.script.take_back(self.response) > 0 {
                    let late = std::mem::take(&mut self.agent.late);
                    if !late.is_empty() {
                        self.side.script.send(Message::Binary(late));
                    }
                    self.side.script.json(&json!({ "type": "AgentAudioDone" }));
                }
            }
            Some(Turn::Stops) => self.transcribes(),
            None => {}
        }
    }

    fn transcribes(&mut self) {
        let text = json!({ "type": "ConversationText", "role": "user", "content": self.transcript });
        self.side.script.json(&text);
        self.side.script.json(&json!({ "type": "History", "role": "user", "content": self.transcript }));
        self.side.script.json(&json!({ "type": "AgentThinking", "content": "…" }));
    }

    fn only(&mut self, message: &Value, known: &[&str]) {
        for key in message.as_object().into_iter().flat_map(|all| all.keys()) {
            if !known.contains(&key.as_str()) {
                self.side.wrong(format!("{key} is not known"));
            }
        }
    }
}

impl Session for Talk {
    fn side(&mut self) -> &mut Side {
        &mut self.side
    }

    fn opened(&mut self) {
        if self.agent.welcomes {
            self.welcome();
        }
    }

    fn came(&mut self, message: &Message) {
        if !self.welcomed {
            self.side.wrong("a message before its Welcome");
        }
        let text = match message {
            Message::Binary(pcm) => return self.hears(pcm),
            Message::Text(text) => text,
        };
        let Ok(message) = serde_json::from_str::<Value>(text) else { return self.side.wrong("no JSON") };
        if self.settings.is_none() {
            return self.begins(&message);
        }
        let kind = message["type"].as_str().unwrap_or_default();
        let id = message["id"].as_str().unwrap_or_default();
        let well = match kind {
            "KeepAlive" => true,
            "FunctionCallResponse" => {
                self.only(&message, &["type", "id", "name", "content"]);
                let before = self.calls.len();
                self.calls.retain(|call| call != id);
                self.calls.len() < before && message["name"].is_string() && message["content"].is_string()
            }
            "InjectUserMessage" => {
                self.only(&message, &["type", "content"]);
                let echo = json!({ "type": "ConversationText", "role": "user", "content": message["content"] });
                self.side.script.json(&echo);
                message["content"].is_string()
            }
            "InjectAgentMessage" => message["message"].is_string(),
            "UpdatePrompt" => message["prompt"].is_string(),
            _ => false,
        };
        if !well {
            self.side.wrong(format!("{kind} that it does not take"));
        }
        self.told.push(message);
    }
}
