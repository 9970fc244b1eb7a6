//! Google's Gemini Live (BidiGenerateContent), as a dialect: 16 kHz in, 24 kHz out, JSON in text or binary frames.
//!
//! Facts are of python-genai and Google's reference (GG), Exotel's samples (AS), LiveKit (LK) and pipecat (PC). What is
//! not certain: whether every model takes text in `realtimeInput` before anything was heard (3.1 takes no other, LK;
//! 2.5 does in the samples, AS); how long after `interrupted` audio of what was interrupted may come (none, GG); whether
//! `turnComplete` always follows (late by a minute on 3.1, GG); what a handle holds that was given before a tool was
//! called (GG: "some data loss"). There is no message that says how much of an answer was heard: the model believes that
//! all it has sent was (GG), only our transcript knows better.
//!
//! A connection lasts some ten minutes and is announced to end by `goAway`, or just ends (1011, GG). It is made anew
//! with the handle of the last `sessionResumptionUpdate`, in a moment in which nobody speaks if there is one; what the
//! caller says meanwhile is kept by whoever holds us. Where the handle is refused a new session is told what was said so
//! far. Nothing is said twice: no greeting, no call of a tool is asked for again.
//!
//! It is long because it is one conversation's state, which every message reads and changes.

mod print;
mod refusal;
mod talk;

use std::{collections::BTreeMap, fmt, mem, time::Duration};

use serde_json::Value;

use super::{
    Answer, Brief, Dialect, Ended, Heard, Out, Persona, Says, Then, ToolCall,
    keys::Keys,
    pause::Pause,
    sound::{Format, Sound},
};
use crate::{Rate, payload};
use refusal::Refusal;
use talk::Talk;

/// What comes of an interrupted answer comes within this; after it a service that has not said that the turn is over is
/// heard again.
const STRAGGLERS: Duration = Duration::from_secs(1);
/// Of the time that is left on a connection, what making the next one needs.
const FAREWELL: Duration = Duration::from_secs(2);
/// Where it is not said how long it lasts.
const TIME_LEFT: Duration = Duration::from_secs(10);
/// On which a connection has been of use, though nothing was said on it.
const OF_USE: Duration = Duration::from_secs(30);
/// Connections in a row that were of no use.
const USELESS: u32 = 3;
/// Calls of tools that may wait for an answer, and texts for a connection.
const WAITING: usize = 32;

/// A call of a tool that waits for its answer.
#[derive(Debug)]
struct Asked {
    /// As Gemini named it, if it did.
    id: Option<String>,
    /// The connection it was made on: no other knows it.
    connection: u32,
}

pub struct Gemini {
    persona: Persona,
    /// As the setup names it.
    model: String,
    ear: Sound,
    voice: Sound,
    voice_rate: Rate,
    talk: Talk,
    pause: Pause,
    /// Which connection this is, of those that were opened.
    connection: u32,
    /// It has been set up.
    ready: bool,
    /// One was, before or now.
    begun: bool,
    handle: Option<String>,
    /// This connection was opened with it.
    resumed: bool,
    /// The state as it is now can be gone on with.
    resumable: bool,
    /// How many in a row ended before they were set up, and how many without being of use.
    refused: u32,
    useless: u32,
    /// The bot has said something on this one.
    spoke: bool,
    /// How much of the caller was heard, ever: the only clock there is.
    clock: Duration,
    ready_at: Duration,
    /// This connection ends: by then a new one must have been asked for.
    leaving: Option<Duration>,
    /// An answer is being generated.
    answering: bool,
    /// There is audio of it that does not follow on `Finished`.
    sounding: bool,
    /// What comes is of an answer that was interrupted, until then at most.
    dropping: Option<Duration>,
    /// Audio that may not have been heard.
    unheard: bool,
    /// A `Clear` has not been obeyed yet.
    clearing: bool,
    marks: u64,
    keys: Keys,
    tools: BTreeMap<String, Asked>,
    calls: u64,
    /// What it was told last and has said nothing to.
    prompt: Option<String>,
    /// What it is to be told once there is a connection.
    waiting: Vec<String>,
    /// The last connection ended in the middle of an answer.
    broken_off: bool,
    /// It says itself when the caller speaks.
    tells_activity: bool,
    /// Nothing more is expected of it.
    over: bool,
}

/// People stand in it.
impl fmt::Debug for Gemini {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gemini")
            .field("connection", &self.connection)
            .field("ready", &self.ready)
            .field("resumed", &self.resumed)
            .finish_non_exhaustive()
    }
}

impl Gemini {
    pub fn new(persona: Persona) -> Self {
        let rate = persona.rate;
        Self {
            ear: Sound::to_service(rate, Format::pcm(Rate::Hz16000)),
            voice: Sound::from_service(Format::pcm(Rate::Hz24000), rate),
            voice_rate: Rate::Hz24000,
            talk: Talk::default(),
            pause: Pause::new(rate),
            persona,
            model: String::new(),
            connection: 0,
            ready: false,
            begun: false,
            handle: None,
            resumed: false,
            resumable: false,
            refused: 0,
            useless: 0,
            spoke: false,
            clock: Duration::ZERO,
            ready_at: Duration::ZERO,
            leaving: None,
            answering: false,
            sounding: false,
            dropping: None,
            unheard: false,
            clearing: false,
            marks: 0,
            keys: Keys::new(rate),
            tools: BTreeMap::new(),
            calls: 0,
            prompt: None,
            waiting: Vec::new(),
            broken_off: false,
            tells_activity: false,
            over: false,
        }
    }

    /// Something that the model is to say something to.
    fn prompt(&mut self, text: String, out: &mut Out) {
        if self.ready {
            print::text(&text, out);
            self.prompt = Some(text);
        } else if self.waiting.len() < WAITING {
            self.waiting.push(text);
        }
    }

    fn set_up(&mut self, out: &mut Out) {
        if mem::replace(&mut self.ready, true) {
            return;
        }
        let first = !mem::replace(&mut self.begun, true);
        (self.ready_at, self.refused, self.spoke) = (self.clock, 0, false);
        if first && let Some(greeting) = self.persona.greeting.clone().filter(|text| !text.trim().is_empty()) {
            self.prompt(format!("(The caller is on the line. Greet now, in exactly these words: {greeting})"), out);
        }
        if !first {
            self.go_on(out);
        }
        for text in mem::take(&mut self.waiting) {
            self.prompt(text, out);
        }
    }

    /// On a new connection: whatever somebody waits for is asked for, and nothing else.
    fn go_on(&mut self, out: &mut Out) {
        let broken_off = mem::take(&mut self.broken_off);
        if let Some(prompt) = self.prompt.take() {
            self.prompt(prompt, out);
        } else if !self.tools.is_empty() || !self.waiting.is_empty() {
            // It will be told something else to speak to.
        } else if broken_off {
            let told = "(Your connection broke off while you spoke and was made anew. The caller has heard what you said \
                        until then. Go on from there, and repeat nothing.)";
            self.prompt(told.to_owned(), out);
        } else if let Some(said) = self.talk.unanswered() {
            let told = format!(
                "(Your connection was made anew. The caller has just said, and waits for an answer: {})",
                said.replace(char::is_control, " ")
            );
            self.prompt(told, out);
        }
    }

    fn content(&mut self, content: &Value, out: &mut Out) {
        let is = |name| member(content, name).and_then(Value::as_bool).unwrap_or_default();
        let text = |name| {
            let said = member(content, name)?;
            Some((said.get("text").and_then(Value::as_str)?, said.get("finished").and_then(Value::as_bool)))
        };
        if is("interrupted") {
            self.interrupted(out);
        }
        if let Some((said, finished)) = text("inputTranscription") {
            self.talk.caller(said, finished.unwrap_or_default(), out);
        }
        if self.dropping.is_none() {
            for part in
                member(content, "modelTurn").and_then(|turn| turn.get("parts")?.as_array()).into_iter().flatten()
            {
                if let Some(data) = member(part, "inlineData") {
                    self.says(data, out);
                }
            }
            if let Some((said, _)) = text("outputTranscription") {
                self.answers();
                self.talk.bot_words(said, out);
            }
        }
        if is("generationComplete") {
            self.dropping = None;
            self.finished(out);
            self.answering = false;
            self.talk.bot_ends(out);
        }
        if is("turnComplete") {
            self.dropping = None;
            self.finished(out);
            self.answering = false;
            self.talk.turn_ends(out);
        }
    }

    /// There is an answer.
    fn answers(&mut self) {
        self.answering = true;
        self.prompt = None;
    }

    fn says(&mut self, data: &Value, out: &mut Out) {
        let kind = member(data, "mimeType").and_then(Value::as_str).unwrap_or("audio/pcm");
        let Some(encoded) = data.get("data").and_then(Value::as_str).filter(|_| kind.starts_with("audio/")) else {
            return;
        };
        let rate = kind.split(';').find_map(|part| part.trim().strip_prefix("rate=")).and_then(Rate::read);
        let rate = rate.unwrap_or(Rate::Hz24000);
        if rate != mem::replace(&mut self.voice_rate, rate) {
            self.voice = Sound::from_service(Format::pcm(rate), self.persona.rate);
        }
        let mut pcm = Vec::new();
        if !payload::decode(encoded.as_bytes(), &mut pcm) {
            return;
        }
        // Half a sample says nothing.
        pcm.truncate(pcm.len() / 2 * 2);
        let pcm = self.voice.expand(&pcm);
        self.answers();
        if pcm.is_empty() {
            return;
        }
        (self.sounding, self.unheard, self.spoke, self.useless) = (true, true, true, 0);
        self.talk.bot_audio(self.persona.rate.duration(pcm.len() as u64), out);
        out.say(Says::Audio(pcm));
    }

    /// The audio of an answer is whole.
    fn finished(&mut self, out: &mut Out) {
        if mem::take(&mut self.sounding) {
            self.voice.reset();
            self.talk.filled_up();
            self.marks += 1;
            out.say(Says::Finished);
            out.say(Says::Mark(format!("gemini-{}", self.marks)));
        }
    }

    /// The caller speaks over it.
    fn interrupted(&mut self, out: &mut Out) {
        self.dropping = Some(self.clock + STRAGGLERS);
        (self.answering, self.sounding) = (false, false);
        self.voice.reset();
        self.silence(out);
    }

    /// What was not heard is not wanted any more.
    fn silence(&mut self, out: &mut Out) {
        if self.unheard {
            self.talk.broken_off();
            if !mem::replace(&mut self.clearing, true) {
                out.say(Says::Clear);
            }
        } else {
            self.talk.broken_off_heard(out);
        }
    }

    /// It says itself that the caller speaks or has stopped, in either of two writings (GG).
    fn activity(&mut self, message: &Value, out: &mut Out) {
        let of = |name, kind| member(member(message, name)?, kind)?.as_str();
        let (one, other) =
            (of("voiceActivity", "voiceActivityType"), of("voiceActivityDetectionSignal", "vadSignalType"));
        match one.or(other) {
            Some("ACTIVITY_START" | "VAD_SIGNAL_TYPE_SOS") => {
                self.tells_activity = true;
                // While it is generated it is said by `interrupted`, unless it is not to be.
                if !self.answering && self.unheard {
                    self.silence(out);
                }
            }
            Some("ACTIVITY_END" | "VAD_SIGNAL_TYPE_EOS") => {
                self.tells_activity = true;
                out.say(Says::CallerDone);
            }
            _ => {}
        }
    }

    fn calls(&mut self, calls: &Value, out: &mut Out) {
        self.talk.turns(out);
        self.prompt = None;
        for call in member(calls, "functionCalls").and_then(Value::as_array).into_iter().flatten() {
            let Some(name) = call.get("name").and_then(Value::as_str) else { continue };
            let own = call.get("id").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned);
            self.calls += 1;
            let id = own.clone().unwrap_or_else(|| format!("call-{}", self.calls));
            if self.tools.len() >= WAITING || self.tools.contains_key(&id) {
                continue;
            }
            self.answering = true;
            self.tools.insert(id.clone(), Asked { id: own, connection: self.connection });
            let arguments = call.get("args").filter(|args| !args.is_null()).cloned();
            let arguments = arguments.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
            out.say(Says::Calls(ToolCall { id, name: name.to_owned(), arguments }));
        }
    }

    fn withdraws(&mut self, cancelled: &Value, out: &mut Out) {
        for id in cancelled.get("ids").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if self.tools.remove(id).is_some() {
                out.say(Says::Withdrawn(id.to_owned()));
            }
        }
    }

    fn answered(&mut self, answer: &Answer, out: &mut Out) {
        let Some(asked) = self.tools.remove(&answer.id) else { return };
        if answer.last {
            // Every answer is spoken to: none is given.
            self.over = true;
        } else if self.ready && asked.connection == self.connection {
            print::answer(answer, asked.id.as_deref(), out);
            self.prompt = Some(told_of(answer));
        } else {
            self.prompt(told_of(answer), out);
        }
    }

    /// A new connection, if this one ends and nobody would notice, or notice more later.
    fn leave(&mut self, out: &mut Out) {
        let Some(until) = self.leaving.filter(|_| self.ready && !self.over) else { return };
        let busy = self.answering
            || self.prompt.is_some()
            || !self.tools.is_empty()
            || !self.keys.is_empty()
            || self.pause.speaks()
            || self.talk.unanswered().is_some();
        if until <= self.clock || (!busy && self.resumable) {
            self.lost();
            out.reconnect = true;
        }
    }

    /// There is no connection any more.
    fn lost(&mut self) {
        if self.ready {
            let of_use = self.spoke || self.clock.saturating_sub(self.ready_at) >= OF_USE;
            self.useless = if of_use { 0 } else { self.useless + 1 };
            self.broken_off = self.answering;
        }
        (self.ready, self.leaving, self.resumable) = (false, None, false);
    }

    fn went_away(&mut self, left: Option<&Value>) {
        let left = left.and_then(seconds).unwrap_or(TIME_LEFT);
        self.leaving = Some(self.clock + left.saturating_sub(FAREWELL));
    }
}

impl Dialect for Gemini {
    /// A key of the Gemini API; an ephemeral token of it (`auth_tokens/…`); for Vertex AI an access token.
    fn credential(&self, key: &str) -> (&'static str, String) {
        if key.starts_with("auth_tokens/") {
            ("authorization", format!("Token {key}"))
        } else if print::is_vertex(&self.persona.url) || key.starts_with("ya29.") {
            ("authorization", format!("Bearer {key}"))
        } else {
            ("x-goog-api-key", key.to_owned())
        }
    }

    fn opened(&mut self, brief: &Brief, out: &mut Out) {
        self.connection += 1;
        // Nothing more comes of what was being said.
        self.finished(out);
        if self.begun {
            self.talk.broken_off_heard(out);
        }
        (self.answering, self.dropping) = (false, None);
        self.ear.reset();
        self.resumed = self.handle.is_some();
        let so_far = if self.resumed { String::new() } else { self.talk.so_far() };
        match print::setup(&self.persona, brief, self.handle.as_deref(), &so_far) {
            Some((first, model)) => {
                self.model = model;
                out.json(&first);
            }
            None => out.say(Says::Failed(
                "Vertex AI wants its model named with its project: set options.setup.model to \
                 \"projects/…/locations/…/publishers/google/models/…\""
                    .to_owned(),
            )),
        }
    }

    fn came(&mut self, message: &[u8], _: bool, out: &mut Out) {
        let Ok(message) = serde_json::from_slice::<Value>(message) else { return };
        if member(&message, "setupComplete").is_some() {
            self.set_up(out);
        }
        if let Some(update) = member(&message, "sessionResumptionUpdate") {
            self.resumable = update.get("resumable").and_then(Value::as_bool).unwrap_or_default();
            if let Some(handle) =
                member(update, "newHandle").and_then(Value::as_str).filter(|handle| !handle.is_empty())
                && self.resumable
            {
                self.handle = Some(handle.to_owned());
            }
        }
        self.activity(&message, out);
        if let Some(content) = member(&message, "serverContent") {
            self.content(content, out);
        }
        if let Some(calls) = member(&message, "toolCall") {
            self.calls(calls, out);
        }
        if let Some(cancelled) = member(&message, "toolCallCancellation") {
            self.withdraws(cancelled, out);
        }
        if let Some(away) = member(&message, "goAway") {
            self.went_away(member(away, "timeLeft"));
        }
        if let Some(error) = message.get("error") {
            let of = |name| error.get(name).and_then(Value::as_str).unwrap_or_default();
            let refusal = Refusal::of(&format!("{} {}", of("status"), of("message")));
            if let Some(refusal) = refusal.filter(|refusal| refusal.is_final()) {
                out.say(Says::Failed(refusal.told(&self.model)));
            }
        }
        self.leave(out);
    }

    fn takes(&self) -> bool {
        self.ready
    }

    fn hear(&mut self, heard: Heard<'_>, out: &mut Out) {
        match heard {
            Heard::Audio(pcm) => {
                self.clock += self.persona.rate.duration(pcm.len() as u64);
                if self.pause.hears(pcm) && !self.tells_activity && !self.answering {
                    out.say(Says::CallerDone);
                }
                if self.dropping.is_some_and(|until| until <= self.clock) {
                    self.dropping = None;
                }
                if let Some(told) = self.keys.passed(pcm.len()) {
                    self.prompt(told, out);
                }
                print::audio(self.ear.code(pcm), out);
                self.leave(out);
            }
            Heard::Dtmf(key) => self.keys.press(key),
            Heard::Mark(name) => {
                // A `Clear` hands all of them back, heard or not.
                let last = name.strip_prefix("gemini-").is_some_and(|number| number == self.marks.to_string());
                if last && !self.clearing && !self.sounding {
                    self.unheard = false;
                }
            }
            Heard::Cleared { heard } => {
                (self.clearing, self.unheard) = (false, false);
                self.talk.heard(heard, out);
            }
            Heard::Answered(answer) => self.answered(answer, out),
        }
    }

    fn over(&mut self, out: &mut Out) {
        self.talk.ends(out);
    }

    fn ended(&mut self, ended: Ended) -> Then {
        let (code, why, said) = match ended {
            Ended::Closed => (None, "closed the connection".to_owned(), String::new()),
            Ended::Failed { code, why, said } => (code, why, said),
        };
        let (was_ready, refusal) = (self.ready, Refusal::of(&said));
        self.lost();
        if self.over {
            return Then::Done;
        }
        if let Some(refusal) = refusal.filter(|refusal| refusal.is_final()) {
            return Then::Failed(refusal.told(&self.model));
        }
        let failed = || Then::Failed(format!("Gemini: {why}"));
        if was_ready {
            return if self.useless < USELESS { Then::Reconnect } else { failed() };
        }
        self.refused += 1;
        let message = refusal == Some(Refusal::Message) || matches!(code, Some(1007 | 1008));
        if self.resumed {
            // The handle is not known any more; or it may be that the session seems to be open elsewhere.
            if message || self.refused > 1 {
                self.handle = None;
            }
        } else if message {
            return Then::Failed(Refusal::Message.told(&self.model));
        } else if self.refused > 2 {
            return failed();
        }
        Then::Reconnect
    }
}

fn told_of(answer: &Answer) -> String {
    let Answer { name, output, failed, .. } = answer;
    let how = if *failed { "failed" } else { "answered" };
    format!("(The tool {name}, which you have called, {how}: {output})")
}

/// A member by its name in JSON; or as it is named in Google's own definitions, which some gateways write.
fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).filter(|value| !value.is_null()).or_else(|| {
        let mut other = String::with_capacity(name.len() + 4);
        for letter in name.chars() {
            if letter.is_ascii_uppercase() {
                other.push('_');
            }
            other.push(letter.to_ascii_lowercase());
        }
        value.get(&other).filter(|value| !value.is_null())
    })
}

/// `"9.5s"`, or as an object (GG).
fn seconds(said: &Value) -> Option<Duration> {
    let seconds = match said {
        Value::String(text) => text.trim().trim_end_matches('s').parse().ok()?,
        Value::Number(number) => number.as_f64()?,
        Value::Object(parts) => match parts.get("seconds")? {
            Value::String(text) => text.parse().ok()?,
            other => other.as_f64()?,
        },
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok().map(|left| left.min(Duration::from_secs(3600)))
}

#[cfg(test)]
mod tests;
