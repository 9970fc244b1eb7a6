//! Gemini Live (`BidiGenerateContent`), as strict as the service: one field a message, nothing before the setup is complete,
//! names that it knows, 16 kHz. It hears speech by its loudness, says tones, and ends connections as the service does.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Handshake, Message, Session, Side, sound};

const PATH: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
pub const IN: u32 = 16_000;
pub const OUT: u32 = 24_000;
/// What is said of an answer can be taken back by it.
const TURN: u64 = 1;
/// The setup is not complete as long as it waits.
const COMPLETE: u64 = 2;
const CHUNK_MS: u64 = 40;
/// As a voice activity detector has it: when speech begins and ends.
const BEGINS_MS: u64 = 60;
const ENDS_MS: u64 = 300;
const SETUP: [&str; 12] = [
    "model",
    "generationConfig",
    "systemInstruction",
    "tools",
    "realtimeInputConfig",
    "inputAudioTranscription",
    "outputAudioTranscription",
    "sessionResumption",
    "contextWindowCompression",
    "proactivity",
    "explicitVadSignal",
    "historyConfig",
];

/// What it says to the next thing that it hears or is told.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// What it understood, where it heard speech.
    pub heard: &'static str,
    /// A tool is called first; what it is told of it, it speaks to.
    pub calls: Option<(&'static str, Value)>,
    pub hz: f64,
    pub ms: u64,
    pub words: &'static str,
    /// Generated as fast as it can be, rather than as it is heard.
    pub burst: bool,
}

/// What all connections of a test share: sessions outlive them.
#[derive(Debug, Default)]
pub struct Plan {
    pub replies: VecDeque<Reply>,
    /// Ends connections on which something else is given, with the service's words.
    pub key: Option<String>,
    /// Knows no handle any more.
    pub forgetful: bool,
    /// How long it takes to go on with a session.
    pub slow_ms: u64,
    /// Says something of an answer after it has said that it was interrupted.
    pub stragglers: bool,
    handles: BTreeSet<String>,
    calls: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Stand(Arc<Mutex<Plan>>);

impl Stand {
    pub fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let stand = Self::default();
        stand.plan().replies.extend(replies);
        stand
    }

    pub fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection with it; for [`super::Stage::start`].
    pub fn session(&self, asked: &Handshake) -> Gemini {
        let mut gemini = Gemini { stand: self.clone(), ..Gemini::default() };
        if asked.path != PATH {
            gemini.side.wrong(format!("there is nothing at {}", asked.path));
        }
        let key = asked.header("x-goog-api-key").map(str::to_owned).or_else(|| asked.query("key"));
        gemini.key = key.unwrap_or_default();
        gemini
    }
}

/// One connection.
#[derive(Debug, Default)]
pub struct Gemini {
    side: Side,
    stand: Stand,
    key: String,
    /// As it was sent.
    pub setup: Option<Value>,
    /// All that it heard, PCM16 at [`IN`].
    pub heard: Vec<u8>,
    /// All that it was told as text.
    pub texts: Vec<String>,
    /// What tools answered, by the id of the call.
    pub answers: BTreeMap<String, Value>,
    pub interrupted: u32,
    asked: BTreeMap<String, (String, Reply)>,
    loud_ms: u64,
    quiet_ms: u64,
    speech: bool,
}

impl Gemini {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.stand.plan()
    }

    /// Google sends its JSON in binary frames.
    fn say(&mut self, message: &Value) {
        self.side.script.send(Message::Binary(message.to_string().into_bytes()));
    }

    fn say_later(&mut self, wait: u64, message: &Value) {
        let message = Message::Binary(message.to_string().into_bytes());
        self.side.script.send_later(Duration::from_millis(wait), TURN, message);
    }

    /// Whether it has said all of its answer.
    pub fn is_done(&self) -> bool {
        self.side.script.waiting(TURN) == 0
    }

    /// The connection will end. The session does not.
    pub fn goes_away(&mut self, left: &str) {
        self.say(&json!({ "goAway": { "timeLeft": left } }));
    }

    /// It ends now.
    pub fn ends(&mut self, code: u16, words: &str) {
        self.side.script.take_back(TURN);
        self.side.script.close_saying(code, words);
    }

    fn refuse(&mut self, what: String) {
        self.side.wrong(what);
        self.ends(1007, "Request contains an invalid argument.");
    }

    fn set_up(&mut self, setup: &Value) {
        if self.setup.is_some() {
            return self.refuse("the setup comes once".to_owned());
        }
        let known = |name: &&String| !SETUP.contains(&name.as_str());
        if let Some(name) = setup.as_object().and_then(|setup| setup.keys().find(known)) {
            return self.refuse(format!("Unknown name {name:?} at 'setup'"));
        }
        let model = setup["model"].as_str().unwrap_or_default();
        if !model.starts_with("models/") {
            return self.refuse(format!("{model:?} is no model"));
        }
        if setup["generationConfig"]["responseModalities"] != json!(["AUDIO"]) {
            return self.refuse("nothing but audio can be asked for".to_owned());
        }
        if !setup["systemInstruction"]["parts"][0]["text"].is_string() {
            return self.refuse("an instruction is text in parts".to_owned());
        }
        for declared in setup["tools"][0]["functionDeclarations"].as_array().into_iter().flatten() {
            let parameters = &declared["parameters"];
            let named = declared["name"].is_string() && declared["description"].is_string();
            let objects =
                parameters.is_null() || parameters["properties"].as_object().is_some_and(|all| !all.is_empty());
            if !named || !objects || !is_schema(parameters) {
                return self.refuse(format!("{declared} is no function"));
            }
        }
        if self.plan().key.as_ref().is_some_and(|key| *key != self.key) {
            return self.ends(1007, "API key not valid. Please pass a valid API key.");
        }
        if let Some(handle) = setup["sessionResumption"]["handle"].as_str() {
            let plan = self.plan();
            let known = plan.handles.contains(handle) && !plan.forgetful;
            drop(plan);
            if !known {
                self.setup = Some(setup.clone());
                return self.ends(1007, "Request contains an invalid argument.");
            }
        }
        let wait = match setup["sessionResumption"]["handle"].is_string() {
            true => self.plan().slow_ms,
            false => 0,
        };
        self.setup = Some(setup.clone());
        let complete = Message::Binary(json!({ "setupComplete": {} }).to_string().into_bytes());
        self.side.script.send_later(Duration::from_millis(wait), COMPLETE, complete);
        if setup["sessionResumption"].is_object() {
            self.say(&json!({ "sessionResumptionUpdate": {} }));
        }
    }

    fn realtime(&mut self, input: &Value) {
        let Some(input) = input.as_object().filter(|input| input.len() == 1) else {
            return self.refuse("one kind of input a message".to_owned());
        };
        if let Some(text) = input.get("text").and_then(Value::as_str) {
            self.texts.push(text.to_owned());
            return self.replies(false);
        }
        let audio = input.get("audio").filter(|audio| audio["mimeType"] == "audio/pcm;rate=16000");
        let pcm = audio.and_then(|audio| audio["data"].as_str()).map(|data| STANDARD.decode(data));
        match pcm {
            Some(Ok(pcm)) if pcm.len() % 2 == 0 && pcm.len() <= 3200 => self.hears(&pcm),
            _ => self.refuse(format!("that is no input: {:?}", input.keys().collect::<Vec<_>>())),
        }
    }

    fn hears(&mut self, pcm: &[u8]) {
        self.heard.extend(pcm);
        let ms = pcm.len() as u64 / 32;
        if sound::is_speech(pcm) {
            (self.loud_ms, self.quiet_ms) = (self.loud_ms + ms, 0);
        } else {
            (self.loud_ms, self.quiet_ms) = (0, self.quiet_ms + ms);
        }
        if !self.speech && self.loud_ms >= BEGINS_MS {
            self.speech = true;
            self.interrupt();
        }
        if self.speech && self.quiet_ms >= ENDS_MS {
            self.speech = false;
            self.replies(true);
        }
    }

    fn interrupt(&mut self) {
        if self.side.script.take_back(TURN) == 0 {
            return;
        }
        self.interrupted += 1;
        self.say(&json!({ "serverContent": { "interrupted": true } }));
        let asked: Vec<String> = self.asked.keys().cloned().collect();
        if !asked.is_empty() {
            self.asked.clear();
            self.say(&json!({ "toolCallCancellation": { "ids": asked } }));
        }
        if self.plan().stragglers {
            let content = audio(&sound::tone(3000.0, OUT, 200));
            self.say(&json!({ "serverContent": { "modelTurn": content } }));
        }
        self.say(&json!({ "serverContent": { "turnComplete": true } }));
        self.resumable();
    }

    fn replies(&mut self, spoken: bool) {
        let Some(reply) = self.plan().replies.pop_front() else { return };
        if spoken {
            for word in pieces(reply.heard) {
                self.say(&json!({ "serverContent": { "inputTranscription": { "text": word } } }));
            }
        }
        if let Some((name, args)) = &reply.calls {
            let id = {
                let mut plan = self.plan();
                plan.calls += 1;
                format!("function-call-{}", plan.calls)
            };
            self.say(&json!({ "sessionResumptionUpdate": { "resumable": false } }));
            self.say(&json!({ "toolCall": { "functionCalls": [{ "id": id, "name": name, "args": args }] } }));
            self.asked.insert(id, ((*name).to_owned(), reply));
        } else {
            self.speaks(&reply);
        }
    }

    fn speaks(&mut self, reply: &Reply) {
        self.say(&json!({ "sessionResumptionUpdate": { "resumable": false } }));
        let pcm = sound::tone(reply.hz, OUT, reply.ms);
        let wait = if reply.burst { 0 } else { CHUNK_MS };
        let mut words = pieces(reply.words);
        let (chunk, each) = ((u64::from(OUT) * 2 * CHUNK_MS / 1000) as usize, words.len());
        let every = (pcm.len() / chunk / each.max(1)).max(1);
        for (number, chunk) in pcm.chunks(chunk).enumerate() {
            self.say_later(
                if number == 0 { 0 } else { wait },
                &json!({ "serverContent": { "modelTurn": audio(chunk) } }),
            );
            if number % every == 0
                && let Some(word) = words.pop_front()
            {
                self.say_later(0, &json!({ "serverContent": { "outputTranscription": { "text": word } } }));
            }
        }
        for word in words {
            self.say_later(0, &json!({ "serverContent": { "outputTranscription": { "text": word } } }));
        }
        self.say_later(0, &json!({ "serverContent": { "generationComplete": true } }));
        // The service waits until it takes what it said for heard.
        let heard = if reply.burst { reply.ms } else { 0 };
        self.say_later(
            heard,
            &json!({ "serverContent": { "turnComplete": true }, "usageMetadata": { "totalTokenCount": 7 } }),
        );
        self.resumable();
    }

    fn resumable(&mut self) {
        let handle = {
            let mut plan = self.plan();
            let handle = format!("handle-{}", plan.handles.len() + 1);
            plan.handles.insert(handle.clone());
            handle
        };
        self.say(&json!({ "sessionResumptionUpdate": { "newHandle": handle, "resumable": true } }));
    }

    fn answered(&mut self, response: &Value) {
        let Some(all) = response["functionResponses"].as_array() else {
            return self.refuse("no functionResponses".to_owned());
        };
        for one in all {
            let id = one["id"].as_str().unwrap_or_default().to_owned();
            let Some((name, reply)) = self.asked.remove(&id) else {
                return self.refuse(format!("nobody has called {id:?}"));
            };
            if one["name"] != name.as_str() || !one["response"].is_object() {
                return self.refuse(format!("that is no answer of {name}"));
            }
            self.answers.insert(id, one["response"].clone());
            self.speaks(&reply);
        }
    }
}

impl Session for Gemini {
    fn side(&mut self) -> &mut Side {
        &mut self.side
    }

    fn came(&mut self, message: &Message) {
        let Message::Text(text) = message else { return self.refuse("JSON is sent as text".to_owned()) };
        let Ok(Value::Object(message)) = serde_json::from_str(text) else { return self.refuse("no JSON".to_owned()) };
        let mut members = message.iter();
        let (Some((name, value)), None) = (members.next(), members.next()) else {
            return self.refuse("one field a message".to_owned());
        };
        match name.as_str() {
            "setup" => self.set_up(value),
            _ if self.setup.is_none() || self.side.script.waiting(COMPLETE) > 0 => {
                self.refuse(format!("{name} before the setup is complete"));
            }
            "realtimeInput" => self.realtime(value),
            "toolResponse" => self.answered(value),
            "clientContent" => self.refuse("models from 3.1 on take no clientContent".to_owned()),
            _ => self.refuse(format!("Unknown name {name:?}")),
        }
    }
}

fn audio(pcm: &[u8]) -> Value {
    json!({ "role": "model", "parts": [{ "inlineData": {
        "mimeType": "audio/pcm;rate=24000", "data": STANDARD.encode(pcm) } }] })
}

/// Words as they come: each with the space before it.
fn pieces(text: &str) -> VecDeque<String> {
    text.split_whitespace()
        .enumerate()
        .map(|(at, word)| if at == 0 { word.into() } else { format!(" {word}") })
        .collect()
}

fn is_schema(schema: &Value) -> bool {
    const KNOWN: [&str; 14] = [
        "type",
        "title",
        "description",
        "nullable",
        "enum",
        "properties",
        "required",
        "items",
        "anyOf",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "pattern",
    ];
    let Value::Object(members) = schema else { return schema.is_null() };
    let typed = members.get("type").is_none_or(|kind| {
        ["OBJECT", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY"].iter().any(|known| kind == known)
    });
    typed
        && members.keys().all(|name| KNOWN.contains(&name.as_str()))
        && members.get("properties").and_then(Value::as_object).is_none_or(|all| all.values().all(is_schema))
        && members.get("items").is_none_or(is_schema)
}

#[cfg(test)]
mod tests {
    use super::{super::Script, *};

    fn told(gemini: &mut Gemini, message: &Value) -> Vec<String> {
        gemini.came(&Message::json(message));
        std::mem::take(&mut gemini.side.wrong)
    }

    #[test]
    fn what_the_service_does_not_take_is_written_down() {
        let setup = json!({ "setup": { "model": "models/x", "generationConfig": { "responseModalities": ["AUDIO"] },
            "systemInstruction": { "parts": [{ "text": "" }] } } });
        let audio = json!({ "realtimeInput": { "audio": { "mimeType": "audio/pcm;rate=16000", "data": "AAAA" } } });
        let wrong = |message: &Value, told_of: &str| {
            let mut gemini = Gemini::default();
            assert_eq!(told(&mut gemini, &setup), [] as [String; 0]);
            gemini.side.script = Script::default();
            let wrong = told(&mut gemini, message);
            assert!(wrong.len() == 1 && wrong[0].contains(told_of), "{wrong:?}");
        };
        assert_eq!(told(&mut Gemini::default(), &audio), ["realtimeInput before the setup is complete"]);
        let mut hasty = Gemini::default();
        assert_eq!(told(&mut hasty, &setup), [] as [String; 0]);
        assert_eq!(told(&mut hasty, &audio), ["realtimeInput before the setup is complete"]);
        wrong(&setup, "once");
        wrong(&json!({ "clientContent": {} }), "clientContent");
        wrong(&json!({ "realtimeInput": { "audio": { "mimeType": "audio/pcm", "data": "AAAA" } } }), "no input");
        wrong(
            &json!({ "realtimeInput": { "audio": { "mimeType": "audio/pcm;rate=16000", "data": "AA==" } } }),
            "no input",
        );
        wrong(&json!({ "toolResponse": { "functionResponses": [{ "id": "x" }] } }), "nobody has called");
        wrong(&json!({ "realtimeInput": {}, "toolResponse": {} }), "one field");
        let mut odd = setup.clone();
        odd["setup"]["tools"] = json!([{ "functionDeclarations": [{ "name": "a", "description": "b",
            "parameters": { "type": "OBJECT", "properties": { "c": { "type": "string" } } } }] }]);
        assert!(told(&mut Gemini::default(), &odd)[0].contains("no function"));
    }
}
