//! Deepgram Voice Agent, V1: an agent that is made of its settings when a call begins, with audio as it is.
//!
//! Facts are from DGR (deepgram-python-sdk 7da415d), DGA (deepgram-api-specs 4ba987c), DGD (developers.deepgram.com), PLV
//! (a bridge of Plivo's calls, #68333503584) and others' reports. What is not certain:
//! - `AgentStartedSpeaking` is among what is documented as hidden and experimental (DGD): audio alone is a beginning, too.
//! - After `UserStartedSpeaking` there may still come audio of what was interrupted: it ends with `AgentAudioDone`, or
//!   where something new begins (PLV).
//! - Whether the text of what the agent says comes before its audio: so it has been seen. It comes sentence by sentence.
//! - `InjectUserMessage` is documented (DGD, DGR) and used (PLV); one report has it refused as unknown (#59889752930).
//!   Its text comes back as the caller's (PLV).
//! - `client_side` in a function's declaration is refused (#56448126608, #62813964174); no `endpoint` says the same.
//! - `agent.language` is deprecated: languages are set at the providers, by options.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Brief, Dialect, Ended, Heard, Message, Out, Persona, Says, Speaker, Then, ToolCall, Utterance, code,
    keys::Keys,
    lay_over,
    sound::{Format, Sound},
    spoken::Spoken,
};
use crate::{Law, Rate};

/// It closes after some ten seconds in which nothing came (DGR); a call is never that quiet, a connection may be.
const QUIET: Duration = Duration::from_secs(5);
/// Calls of functions that may wait for an answer.
const CALLS: usize = 64;

/// What the agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Agent {
    Listens,
    /// A response is being made, or spoken.
    Responds,
    /// The caller has interrupted it: what still comes of it is not wanted.
    Interrupted,
}

#[derive(Debug)]
pub struct Deepgram {
    persona: Persona,
    brief: Brief,
    /// The settings were sent; they are in force.
    asked: bool,
    ready: bool,
    /// To the agent and from it.
    sounds: Option<(Sound, Sound)>,
    agent: Agent,
    caller_speaks: bool,
    spoken: Spoken,
    texts: u64,
    keys: Keys,
    /// What was said in the caller's place, until it comes back; and whether it was refused, and is to be said again.
    injected: Option<String>,
    refused: bool,
    calls: VecDeque<String>,
    /// What is said once there is an agent that was set up elsewhere.
    then: Vec<Value>,
}

impl Deepgram {
    pub fn new(persona: Persona) -> Self {
        let rate = persona.rate;
        Self {
            persona,
            brief: Brief::default(),
            asked: false,
            ready: false,
            sounds: None,
            agent: Agent::Listens,
            caller_speaks: false,
            spoken: Spoken::new(rate),
            texts: 0,
            keys: Keys::new(rate),
            injected: None,
            refused: false,
            calls: VecDeque::new(),
            then: Vec::new(),
        }
    }

    fn settings(&mut self) -> Value {
        let Persona { greeting, options, tools, rate, .. } = &self.persona;
        let audio = json!({ "encoding": "linear16", "sample_rate": rate.hz() });
        let prompt = self.brief.instructions(self.persona.instructions.as_deref());
        // What a caller has not finished saying is to have no effects: a function waits until he has.
        let functions = tools.iter().map(|tool| {
            json!({
                "name": tool.name, "description": tool.description, "parameters": tool.parameters,
                "defer_until_eot": true,
            })
        });
        let functions: Vec<Value> = functions.collect();
        let mut think = json!({ "provider": { "type": "open_ai", "model": "gpt-4o-mini" }, "prompt": prompt });
        if !functions.is_empty() {
            think["functions"] = functions.clone().into();
        }
        let mut settings = json!({
            "type": "Settings",
            "audio": { "input": audio, "output": audio },
            "agent": {
                "listen": { "provider": { "type": "deepgram", "model": "nova-3" } },
                "think": think,
                "speak": { "provider": { "type": "deepgram", "model": "aura-2-thalia-en" } },
            },
        });
        settings["audio"]["output"]["container"] = "none".into();
        if let Some(greeting) = greeting {
            settings["agent"]["greeting"] = greeting.as_str().into();
        }
        lay_over(&mut settings, &Value::Object(options.clone()));
        whole_numbers(&mut settings);
        match settings.get_mut("agent") {
            // An agent that is kept there, by its id: what it cannot know of this call it is told behind that.
            Some(Value::String(_)) => {
                self.then.push(json!({ "type": "UpdatePrompt", "prompt": prompt }));
                let greeting = greeting.as_ref().map(|text| json!({ "type": "InjectAgentMessage", "message": text }));
                self.then.extend(greeting);
            }
            // Models to fall back to: the first of them has the prompt.
            agent => {
                let think = agent.and_then(|agent| agent.get_mut("think")?.as_array_mut()?.first_mut());
                if let Some(Value::Object(first)) = think {
                    first.entry("prompt").or_insert_with(|| prompt.into());
                    if !functions.is_empty() {
                        first.entry("functions").or_insert_with(|| functions.into());
                    }
                }
            }
        }
        settings
    }

    fn ask(&mut self, out: &mut Out) {
        if std::mem::replace(&mut self.asked, true) {
            return;
        }
        let settings = self.settings();
        let (rate, audio) = (self.persona.rate, &settings["audio"]);
        let raw = matches!(audio["output"]["container"].as_str(), None | Some("none"));
        let (Some(to), Some(from)) = (format(&audio["input"]), format(&audio["output"]).filter(|_| raw)) else {
            let why = "the bot's options ask for audio that a call cannot be: encoding may be linear16, mulaw or alaw, \
                       sample_rate 8000, 16000 or 24000, container none";
            return out.say(Says::Failed(why.to_owned()));
        };
        self.sounds = Some((Sound::to_service(rate, to), Sound::from_service(from, rate)));
        out.json(&settings);
    }

    fn audio(&mut self, bytes: &[u8], out: &mut Out) {
        let Some((_, from)) = &mut self.sounds else { return };
        if self.agent == Agent::Interrupted {
            return;
        }
        self.agent = Agent::Responds;
        self.spoken.audio(from.expand(bytes), out);
    }

    /// Something new begins: what was interrupted is over.
    fn goes_on(&mut self) {
        if self.agent == Agent::Interrupted {
            self.agent = Agent::Listens;
        }
    }

    fn caller_starts(&mut self, out: &mut Out) {
        self.caller_speaks = true;
        if self.agent == Agent::Responds {
            self.agent = Agent::Interrupted;
        }
        if let Some((_, from)) = &mut self.sounds {
            from.reset();
        }
        self.spoken.interrupt(out);
    }

    fn caller_stops(&mut self, out: &mut Out) {
        if std::mem::take(&mut self.caller_speaks) {
            out.say(Says::CallerDone);
        }
    }

    fn text(&mut self, message: &Value, out: &mut Out) {
        let text = message["content"].as_str().unwrap_or_default().trim();
        match message["role"].as_str() {
            Some("user") => {
                self.goes_on();
                self.caller_stops(out);
                if self.injected.as_deref() == Some(text) {
                    self.injected = None;
                } else if !text.is_empty() {
                    let (speaker, text) = (Speaker::Caller, text.to_owned());
                    out.say(Says::Said(Utterance { speaker, text, id: None, cut: false }));
                }
            }
            // What is interrupted already nobody will hear.
            Some("assistant") if self.agent != Agent::Interrupted => {
                self.texts += 1;
                self.spoken.text(&format!("agent-{}", self.texts), text, out);
            }
            _ => {}
        }
    }

    fn calls(&mut self, functions: &[Value], out: &mut Out) {
        self.goes_on();
        // What has an endpoint of its own is done there.
        for call in functions.iter().filter(|call| call["client_side"] != false) {
            let (Some(id), Some(name)) = (call["id"].as_str(), call["name"].as_str()) else { continue };
            let arguments = match &call["arguments"] {
                Value::Null => json!({}),
                Value::String(text) if text.trim().is_empty() => json!({}),
                Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
                arguments => arguments.clone(),
            };
            if self.calls.len() >= CALLS {
                self.calls.pop_front();
            }
            self.calls.push_back(id.to_owned());
            out.say(Says::Calls(ToolCall { id: id.to_owned(), name: name.to_owned(), arguments }));
        }
    }

    fn withdraws(&mut self, functions: &[Value], out: &mut Out) {
        for id in functions.iter().filter_map(|call| call["id"].as_str()) {
            if self.no_longer(id) {
                out.say(Says::Withdrawn(id.to_owned()));
            }
        }
    }

    /// Nobody waits for this one's answer any more. Whether somebody did.
    fn no_longer(&mut self, id: &str) -> bool {
        let at = self.calls.iter().position(|one| one == id);
        at.and_then(|at| self.calls.remove(at)).is_some()
    }

    fn inject(&mut self, text: String, out: &mut Out) {
        out.json(&json!({ "type": "InjectUserMessage", "content": text }));
        self.injected = Some(text);
    }

    /// Each error is the end (DGD).
    fn failed(&self, message: &Value, out: &mut Out) {
        let code = code(&message["code"]).unwrap_or("no code given");
        // Its description may be of what somebody said; of that, where to look is kept.
        let told = message["description"].as_str().unwrap_or_default();
        let parts = ["agent.think", "agent.speak", "agent.listen", "audio.input", "audio.output", "agent.greeting"];
        let part = parts.into_iter().find(|part| told.contains(part));
        let at = part.map(|part| format!(", in {part}")).unwrap_or_default();
        let missing = if told.contains("not available") { ", a model is not available" } else { "" };
        out.say(Says::Failed(match code {
            "INVALID_SETTINGS" => {
                format!("does not take the bot's settings{at}{missing}: look at its options ({code})")
            }
            "UNPARSABLE_CLIENT_MESSAGE" if !self.ready => {
                format!("does not know something in the bot's settings{at}: look at its options ({code})")
            }
            _ if code.contains("THINK") => format!("the agent's language model failed{missing} ({code})"),
            _ if code.contains("SPEAK") => format!("the agent's voice failed{missing} ({code})"),
            _ if code.contains("LISTEN") => format!("the agent's speech recognition failed{missing} ({code})"),
            _ => format!("the agent failed{at} ({code})"),
        }));
    }
}

impl Dialect for Deepgram {
    /// Of a temporary token, which is a JWT, it wants to know that it is one.
    fn credential(&self, key: &str) -> (&'static str, String) {
        let scheme = if key.starts_with("eyJ") { "Bearer" } else { "Token" };
        ("authorization", format!("{scheme} {key}"))
    }

    /// Nothing is sent before it has said `Welcome`.
    fn opened(&mut self, brief: &Brief, _: &mut Out) {
        self.brief = brief.clone();
    }

    fn came(&mut self, message: &[u8], binary: bool, out: &mut Out) {
        if binary {
            return self.audio(message, out);
        }
        let Ok(message) = serde_json::from_slice::<Value>(message) else { return };
        let functions = || message["functions"].as_array().map(Vec::as_slice).unwrap_or_default();
        match message["type"].as_str().unwrap_or_default() {
            "Welcome" => self.ask(out),
            "SettingsApplied" if self.sounds.is_some() => {
                self.ready = true;
                self.then.drain(..).for_each(|message| out.json(&message));
            }
            "ConversationText" => self.text(&message, out),
            "UserStartedSpeaking" => self.caller_starts(out),
            "EndOfTurn" => {
                self.goes_on();
                self.caller_stops(out);
            }
            "AgentThinking" => {
                self.goes_on();
                self.caller_stops(out);
                self.agent = Agent::Responds;
            }
            "AgentStartedSpeaking" => {
                self.caller_stops(out);
                self.agent = Agent::Responds;
            }
            "AgentAudioDone" => {
                self.agent = Agent::Listens;
                if let Some((_, from)) = &mut self.sounds {
                    from.end();
                }
                self.spoken.ended(out);
                if std::mem::take(&mut self.refused)
                    && let Some(text) = self.injected.take()
                {
                    self.inject(text, out);
                }
            }
            // While the agent speaks; it is said when it has spoken.
            "InjectionRefused" => self.refused = self.injected.is_some(),
            "FunctionCallRequest" => self.calls(functions(), out),
            "FunctionCallCancelled" => self.withdraws(functions(), out),
            "Error" => self.failed(&message, out),
            // Warnings, and what tells a screen how it goes.
            _ => {}
        }
    }

    fn takes(&self) -> bool {
        self.ready
    }

    fn hear(&mut self, heard: Heard<'_>, out: &mut Out) {
        match heard {
            Heard::Audio(pcm) => {
                let Some((to, _)) = &mut self.sounds else { return };
                out.send.push_back(Message::Binary(to.code(pcm).to_vec()));
                if let Some(told) = self.keys.passed(pcm.len()) {
                    self.inject(told, out);
                }
            }
            Heard::Dtmf(key) => self.keys.press(key),
            Heard::Mark(name) => self.spoken.marked(name),
            Heard::Cleared { heard } => self.spoken.cleared(heard, out),
            Heard::Answered(answer) => {
                // Whatever it is told, it answers.
                if self.no_longer(&answer.id) && !answer.last {
                    let content = match &answer.output {
                        Value::String(text) => text.clone(),
                        output => output.to_string(),
                    };
                    out.json(&json!({
                        "type": "FunctionCallResponse", "id": answer.id, "name": answer.name, "content": content,
                    }));
                }
            }
        }
    }

    fn ended(&mut self, ended: Ended) -> Then {
        match ended {
            Ended::Closed if self.ready => Then::Done,
            Ended::Closed => Then::Failed("closed the connection before it had taken the bot's settings".to_owned()),
            Ended::Failed { why, .. } => Then::Failed(why),
        }
    }

    fn keep_alive(&self) -> Option<Duration> {
        Some(QUIET)
    }

    fn idle(&mut self, out: &mut Out) {
        if self.ready {
            out.json(&json!({ "type": "KeepAlive" }));
        }
    }
}

fn format(said: &Value) -> Option<Format> {
    let law = match said["encoding"].as_str()? {
        "linear16" => Law::Linear,
        "mulaw" => Law::Mu,
        "alaw" => Law::A,
        _ => return None,
    };
    Some(Format { rate: Rate::read(&said["sample_rate"].as_u64()?.to_string())?, law })
}

/// It does not take 8000.0 for 8000 (DGR).
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 1e15);
            if let Some(whole) = whole {
                *value = (whole as i64).into();
            }
        }
        Value::Array(all) => all.iter_mut().for_each(whole_numbers),
        Value::Object(all) => all.values_mut().for_each(whole_numbers),
        _ => {}
    }
}
