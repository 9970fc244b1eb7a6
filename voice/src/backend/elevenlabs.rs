//! ElevenLabs Agents: what the agent is, it is there; a call tells it who calls, and is told in which format they speak.
//!
//! Facts are from EL (elevenlabs-python 54e5899), ELT (elevenlabs/packages 2a9057e, its AsyncAPI), AS (exotel/Agent-Stream,
//! bridge.py) and elevenlabs.io's pages. What is not certain:
//! - Whether text that is injected comes back as `user_transcript`: if it does, it is passed by.
//! - `agent_response_correction` is sent to those agents alone whose events name it (ELT). Without it the transcript is
//!   cut by what was heard.
//! - `interruption_event` has an `event_id` (EL, ELT), or a `reason` and none (older pages): then all audio that has come
//!   is meant.
//! - Nothing says that an utterance is whole: it is when the caller answers.
//! - A caller who says nothing is transcribed as "..." by some agents: nobody has spoken then.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::{
    Brief, Dialect, Ended, Heard, Out, Persona, Says, Speaker, Then, ToolCall, Utterance, code,
    keys::Keys,
    lay_over,
    sound::{Format, Sound},
    spoken::Spoken,
};
use crate::{Law, Rate, payload};

/// What both sides speak where the agent does not say (ELT).
const USUAL: &str = "pcm_16000";
/// What an agent may name in its texts: a variable that it names and is not given ends the conversation, so that what is
/// not known is empty.
const VARIABLES: [&str; 8] =
    ["call_sid", "from", "to", "direction", "contact_name", "contact_id", "owner", "open_tickets"];
/// Responses that may still be corrected.
const RESPONSES: usize = 16;

/// What the agent has said.
#[derive(Debug)]
struct Response {
    event: Option<i64>,
    /// Of its utterance: nothing says that each response is an event of its own.
    id: String,
    text: String,
}

#[derive(Debug)]
pub struct Elevenlabs {
    persona: Persona,
    /// What the agent is told of the call, once it can be told anything.
    about: Option<String>,
    /// To the agent and from it, once it has said how they speak.
    sounds: Option<(Sound, Sound)>,
    spoken: Spoken,
    keys: Keys,
    /// The latest audio, and the latest that was interrupted.
    audio_id: i64,
    interrupted_id: Option<i64>,
    responses: VecDeque<Response>,
    said: u64,
    injected: Option<String>,
    coded: Vec<u8>,
}

impl Elevenlabs {
    pub fn new(persona: Persona) -> Self {
        let rate = persona.rate;
        Self {
            persona,
            about: None,
            sounds: None,
            spoken: Spoken::new(rate),
            keys: Keys::new(rate),
            audio_id: 0,
            interrupted_id: None,
            responses: VecDeque::new(),
            said: 0,
            injected: None,
            coded: Vec::new(),
        }
    }

    fn began(&mut self, event: &Value, out: &mut Out) {
        let rate = self.persona.rate;
        let said = |key: &str| event[key].as_str().unwrap_or(USUAL).to_owned();
        let (hears, speaks) = (said("user_input_audio_format"), said("agent_output_audio_format"));
        let (Some(to), Some(from)) = (format(&hears), format(&speaks)) else {
            let (name, what) = match format(&hears) {
                None => (hears, "user input audio format"),
                Some(_) => (speaks, "TTS output format"),
            };
            let name = code(&Value::String(name)).map_or_else(|| "none that is known".to_owned(), str::to_owned);
            let why = format!(
                "the agent's {what} is {name}, which a call cannot be: set it to pcm_8000, pcm_16000, pcm_24000 or \
                 ulaw_8000 in the agent's settings at ElevenLabs"
            );
            return out.say(Says::Failed(why));
        };
        self.sounds = Some((Sound::to_service(rate, to), Sound::from_service(from, rate)));
        if let Some(about) = self.about.take() {
            out.json(&json!({ "type": "contextual_update", "text": about }));
        }
    }

    fn audio(&mut self, event: &Value, out: &mut Out) {
        let Some((_, from)) = &mut self.sounds else { return };
        if let Some(id) = number(&event["event_id"]) {
            if self.interrupted_id.is_some_and(|interrupted| id <= interrupted) {
                return;
            }
            self.audio_id = self.audio_id.max(id);
        }
        let text = event["audio_base_64"].as_str().or_else(|| event["audio_base64"].as_str());
        let mut bytes = Vec::new();
        if text.is_some_and(|text| payload::decode(text.as_bytes(), &mut bytes)) {
            self.spoken.audio(from.expand(&bytes), out);
        }
    }

    fn interrupted(&mut self, event: &Value, out: &mut Out) {
        let id = number(&event["event_id"]).unwrap_or(self.audio_id);
        self.interrupted_id = Some(self.interrupted_id.map_or(id, |before| before.max(id)));
        if let Some((_, from)) = &mut self.sounds {
            from.reset();
        }
        self.spoken.interrupt(out);
    }

    fn heard_caller(&mut self, event: &Value, out: &mut Out) {
        let text = event["user_transcript"].as_str().unwrap_or_default().trim();
        if !text.contains(char::is_alphanumeric) {
            return;
        }
        if let Some((_, from)) = &mut self.sounds {
            from.end();
        }
        self.spoken.ended(out);
        out.say(Says::CallerDone);
        if self.injected.as_deref() == Some(text) {
            self.injected = None;
            return;
        }
        let id = number(&event["event_id"]).map(|id| format!("caller-{id}"));
        out.say(Says::Said(Utterance { speaker: Speaker::Caller, text: text.to_owned(), id, cut: false }));
    }

    fn responded(&mut self, event: &Value, out: &mut Out) {
        let text = event["agent_response"].as_str().unwrap_or_default().trim();
        if text.is_empty() {
            return;
        }
        self.said += 1;
        let id = format!("agent-{}", self.said);
        if self.responses.len() >= RESPONSES {
            self.responses.pop_front();
        }
        self.spoken.text(&id, text, out);
        self.responses.push_back(Response { event: number(&event["event_id"]), id, text: text.to_owned() });
    }

    /// By what it was, of the same event if that is named; else by the event, else the last.
    fn corrected(&mut self, event: &Value, out: &mut Out) {
        let corrected = event["corrected_agent_response"].as_str().or_else(|| event["agent_response"].as_str());
        let Some(text) = corrected else { return };
        let (named, was) = (number(&event["event_id"]), event["original_agent_response"].as_str().map(str::trim));
        let of_event = |one: &Response| named.is_some() && one.event == named;
        let as_it_was = |one: &Response| was == Some(one.text.as_str());
        let find = |wanted: &dyn Fn(&Response) -> bool| self.responses.iter().rev().find(|one| wanted(one));
        let found = find(&|one| of_event(one) && as_it_was(one)).or_else(|| find(&of_event));
        let found = found.or_else(|| find(&as_it_was)).or_else(|| self.responses.back());
        if let Some(id) = found.map(|one| one.id.clone()) {
            self.spoken.corrected(&id, text, out);
        }
    }

    fn calls(call: &Value, out: &mut Out) {
        let (Some(id), Some(name)) = (call["tool_call_id"].as_str(), call["tool_name"].as_str()) else { return };
        let arguments = match &call["parameters"] {
            Value::Null => json!({}),
            arguments => arguments.clone(),
        };
        out.say(Says::Calls(ToolCall { id: id.to_owned(), name: name.to_owned(), arguments }));
    }

    /// It is sent when the conversation is at its end for it (ELT).
    fn failed(event: &Value, out: &mut Out) {
        let kind = code(&event["error_type"]).unwrap_or("no reason given");
        if kind == "max_duration_exceeded" || number(&event["code"]) == Some(1000) {
            return out.say(Says::Done);
        }
        let why = match kind {
            "override_error" => REFUSES_OVERRIDES.to_owned(),
            "missing_dynamic_variable" | "missing_dynamic_variable_transfer" => MISSING_VARIABLE.to_owned(),
            "safety_violation" => "ended the conversation for its content rules (safety_violation)".to_owned(),
            kind if kind.contains("llm") || kind == "cascade_brain_error" => {
                format!("the agent's language model failed ({kind})")
            }
            kind if kind.contains("tts") => format!("the agent's voice failed ({kind})"),
            kind => format!("the agent failed ({kind})"),
        };
        out.say(Says::Failed(why));
    }
}

const REFUSES_OVERRIDES: &str = "the agent does not allow what the bot overrides: allow its system prompt (instructions) \
    and first message (greeting) under the agent's security settings at ElevenLabs, or take them away from the bot";
const MISSING_VARIABLE: &str = "the agent names a dynamic variable that the call does not have: give it in \
    options.dynamic_variables, or do not name it in the agent";

impl Dialect for Elevenlabs {
    fn credential(&self, key: &str) -> (&'static str, String) {
        ("xi-api-key", key.to_owned())
    }

    /// Nothing is overridden that the bot does not say: an agent that does not allow it ends the conversation.
    fn opened(&mut self, brief: &Brief, out: &mut Out) {
        let unknown = VARIABLES.map(|name| (name.to_owned(), String::new()));
        let known = brief.variables().into_iter().filter(|(name, _)| !name.starts_with("system__"));
        let variables: BTreeMap<String, String> = unknown.into_iter().chain(known).collect();
        let mut first = json!({ "type": "conversation_initiation_client_data", "dynamic_variables": variables });
        // What looks like a variable in what others have written is none.
        let told = brief.text().replace('{', "(").replace('}', ")");
        match self.persona.instructions.as_deref().map(str::trim).filter(|own| !own.is_empty()) {
            Some(own) => {
                let prompt = format!("{own}\n\n{told}");
                first["conversation_config_override"]["agent"]["prompt"]["prompt"] = prompt.into();
            }
            None => self.about = Some(told),
        }
        if let Some(greeting) = &self.persona.greeting {
            first["conversation_config_override"]["agent"]["first_message"] = greeting.as_str().into();
        }
        lay_over(&mut first, &Value::Object(self.persona.options.clone()));
        out.json(&first);
    }

    fn came(&mut self, message: &[u8], _: bool, out: &mut Out) {
        let Ok(message) = serde_json::from_slice::<Value>(message) else { return };
        match message["type"].as_str().unwrap_or_default() {
            "conversation_initiation_metadata" if self.sounds.is_none() => {
                self.began(&message["conversation_initiation_metadata_event"], out);
            }
            "audio" => self.audio(&message["audio_event"], out),
            "interruption" => self.interrupted(&message["interruption_event"], out),
            "user_transcript" => self.heard_caller(&message["user_transcription_event"], out),
            "agent_response" => self.responded(&message["agent_response_event"], out),
            "agent_response_correction" => self.corrected(&message["agent_response_correction_event"], out),
            "client_tool_call" => Self::calls(&message["client_tool_call"], out),
            "ping" => {
                let id = [&message["ping_event"]["event_id"], &message["event_id"]].into_iter().find_map(number);
                if let Some(id) = id {
                    out.json(&json!({ "type": "pong", "event_id": id }));
                }
            }
            "error" => Self::failed(&message["error_event"], out),
            // There are some twenty more, for screens and for those who look for mistakes.
            _ => {}
        }
    }

    fn takes(&self) -> bool {
        self.sounds.is_some()
    }

    fn hear(&mut self, heard: Heard<'_>, out: &mut Out) {
        match heard {
            Heard::Audio(pcm) => {
                let Some((to, _)) = &mut self.sounds else { return };
                self.coded.clear();
                payload::encode(to.code(pcm), &mut self.coded);
                out.json(&json!({ "user_audio_chunk": String::from_utf8_lossy(&self.coded) }));
                if let Some(told) = self.keys.passed(pcm.len()) {
                    out.json(&json!({ "type": "user_message", "text": told }));
                    self.injected = Some(told);
                }
            }
            Heard::Dtmf(key) => self.keys.press(key),
            Heard::Mark(name) => self.spoken.marked(name),
            Heard::Cleared { heard } => self.spoken.cleared(heard, out),
            // Whatever it is told, it answers.
            Heard::Answered(answer) if answer.last => {}
            Heard::Answered(answer) => {
                let result = match &answer.output {
                    Value::String(text) => text.clone(),
                    output => output.to_string(),
                };
                out.json(&json!({
                    "type": "client_tool_result", "tool_call_id": answer.id, "result": result, "is_error": answer.failed,
                }));
            }
        }
    }

    fn ended(&mut self, ended: Ended) -> Then {
        match ended {
            Ended::Closed if self.sounds.is_some() => Then::Done,
            Ended::Closed => Then::Failed("closed the connection before the conversation had begun".to_owned()),
            Ended::Failed { code: Some(1008), why, said } => {
                let said = said.to_ascii_lowercase();
                Then::Failed(match () {
                    () if said.contains("override") => REFUSES_OVERRIDES.to_owned(),
                    () if said.contains("dynamic variable") => MISSING_VARIABLE.to_owned(),
                    () => format!(
                        "{why}, as it does when it does not take what it is sent: look whether the key is one of the \
                         agent's workspace, and whether the agent allows what the bot overrides"
                    ),
                })
            }
            Ended::Failed { why, .. } => Then::Failed(why),
        }
    }
}

fn format(said: &str) -> Option<Format> {
    let (kind, rate) = said.rsplit_once('_')?;
    let law = match kind {
        "pcm" => Law::Linear,
        "ulaw" | "mulaw" => Law::Mu,
        "alaw" => Law::A,
        _ => return None,
    };
    Some(Format { rate: Rate::read(rate)?, law })
}

fn number(said: &Value) -> Option<i64> {
    said.as_i64().or_else(|| said.as_str()?.parse().ok())
}
