//! ElevenLabs and Deepgram as dialects, driven through what the services have published: an agent that is set up there or
//! by its settings, and does the rest itself.

mod deepgram;
mod elevenlabs;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use patchbay_voice::{
    Dtmf, Rate,
    backend::{
        Answer, Brief, Contact, Deepgram, Dialect, Elevenlabs, Ended, Heard, Message, Out, Persona, Says, Speaker,
        Then, Tool, ToolCall, Utterance,
    },
    payload,
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};
use support::{broken, events};

/// 20 ms at 8 kHz.
const FRAME: [u8; 320] = [1; 320];

/// What a service is published to say. Audio without JSON stands there as base64.
fn published(service: &str) -> Vec<Message> {
    let messages = events(service, "from").into_iter().map(|event| match event["binary"].as_str() {
        Some(audio) => {
            let mut bytes = Vec::new();
            assert!(payload::decode(audio.as_bytes(), &mut bytes));
            Message::Binary(bytes)
        }
        None => Message::Text(event.to_string()),
    });
    messages.collect()
}

fn tool() -> Tool {
    Tool {
        name: "note".to_owned(),
        description: "Writes something down.".to_owned(),
        parameters: json!({ "type": "object", "properties": { "text": { "type": "string" } } }),
    }
}

fn persona(rate: Rate) -> Persona {
    Persona {
        instructions: Some("Be brief.".to_owned()),
        greeting: Some("Hello!".to_owned()),
        tools: vec![tool()],
        rate,
        ..Persona::default()
    }
}

fn with_options(options: Value) -> Persona {
    let Value::Object(options) = options else { panic!("no object") };
    Persona { options, ..persona(Rate::Hz8000) }
}

fn brief() -> Brief {
    let contact = Contact {
        name: Some("Asha {{system__time}}".to_owned()),
        integration: "support".to_owned(),
        id: "7".to_owned(),
    };
    Brief {
        call_sid: "c1".to_owned(),
        from: Some("+919052161119".to_owned()),
        customer: Some("+919052161119".to_owned()),
        contact: Some(contact),
        ..Brief::default()
    }
}

/// A dialect with what comes of it.
struct Talk<D> {
    dialect: D,
    out: Out,
}

impl<D: Dialect> Talk<D> {
    fn new(dialect: D) -> Self {
        let mut talk = Self { dialect, out: Out::default() };
        talk.dialect.opened(&brief(), &mut talk.out);
        talk
    }

    fn came(&mut self, message: &Message) {
        let binary = matches!(message, Message::Binary(_));
        self.dialect.came(message.bytes(), binary, &mut self.out);
    }

    fn told(&mut self, message: Value) {
        self.came(&Message::Text(message.to_string()));
    }

    fn hear(&mut self, heard: Heard<'_>) {
        self.dialect.hear(heard, &mut self.out);
    }

    fn press(&mut self, digit: &str) {
        self.hear(Heard::Dtmf(&Dtmf { digit: digit.to_owned(), duration_ms: None }));
    }

    fn silence(&mut self, frames: usize) {
        (0..frames).for_each(|_| self.hear(Heard::Audio(&FRAME)));
    }

    fn answer(&mut self, id: &str, output: Value, last: bool) {
        let answer = Answer { id: id.to_owned(), name: "note".to_owned(), output, failed: false, last };
        self.hear(Heard::Answered(&answer));
    }

    fn says(&mut self) -> Vec<Says> {
        self.out.says.drain(..).collect()
    }

    /// What was sent to the service, as JSON, without audio.
    fn sent(&mut self) -> Vec<Value> {
        let sent = self.out.send.drain(..).filter_map(|message| match message {
            Message::Text(text) => Some(serde_json::from_str::<Value>(&text).expect("JSON")),
            Message::Binary(_) => None,
        });
        sent.filter(|message| message.get("user_audio_chunk").is_none()).collect()
    }

    fn failed(&mut self) -> String {
        match self.says().pop() {
            Some(Says::Failed(why)) => why,
            other => panic!("{other:?}"),
        }
    }
}

fn said(speaker: Speaker, text: &str, id: Option<&str>, cut: bool) -> Says {
    Says::Said(Utterance { speaker, text: text.to_owned(), id: id.map(str::to_owned), cut })
}

fn by_agent(text: &str, id: &str) -> Says {
    said(Speaker::Bot, text, Some(id), false)
}

fn by_caller(text: &str, id: Option<&str>) -> Says {
    said(Speaker::Caller, text, id, false)
}

fn cut(text: &str, id: &str) -> Says {
    said(Speaker::Bot, text, Some(id), true)
}

fn samples(sample: u8, bytes: usize) -> Says {
    Says::Audio([sample, 0].repeat(bytes / 2))
}

fn mark(number: u32) -> Says {
    Says::Mark(format!("said-{number}"))
}

/// Two messages of which one has all that the other has, and nothing else.
fn same_shape(sent: &Value, published: &Value, at: &str) {
    match (sent, published) {
        (Value::Object(sent), Value::Object(published)) => {
            if at.ends_with("dynamic_variables") || at.ends_with("parameters") {
                return;
            }
            let keys = |of: &serde_json::Map<String, Value>| of.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(sent), keys(published), "{at}");
            for (key, value) in sent {
                same_shape(value, &published[key], &format!("{at}/{key}"));
            }
        }
        (Value::Array(sent), Value::Array(published)) => {
            sent.iter().for_each(|one| same_shape(one, &published[0], &format!("{at}[]")));
        }
        (sent, published) => {
            assert_eq!(std::mem::discriminant(sent), std::mem::discriminant(published), "{at}: {sent} {published}");
            assert_eq!(sent.is_f64(), published.is_f64(), "{at}");
        }
    }
}

/// Each message that was sent, beside the published one of its type.
fn as_published(name: &str, sent: &[Value]) {
    let published = events(name, "to");
    for message in sent {
        let like = published.iter().find(|one| one["type"] == message["type"]);
        let like = like.unwrap_or_else(|| panic!("nobody has published {message}"));
        same_shape(message, like, message["type"].as_str().unwrap_or("audio"));
    }
}

fn elevenlabs(persona: Persona, hears: &str, speaks: &str) -> Talk<Elevenlabs> {
    let mut talk = Talk::new(Elevenlabs::new(persona));
    assert!(!talk.dialect.takes(), "before it has said how it speaks");
    talk.told(json!({ "type": "conversation_initiation_metadata", "conversation_initiation_metadata_event": {
        "conversation_id": "conv_1", "agent_output_audio_format": speaks, "user_input_audio_format": hears,
    } }));
    talk
}

fn agent_audio(bytes: &[u8], id: i64) -> Value {
    let mut text = Vec::new();
    payload::encode(bytes, &mut text);
    json!({ "type": "audio", "audio_event": { "audio_base_64": String::from_utf8(text).expect("ASCII"), "event_id": id } })
}

fn deepgram(persona: Persona) -> Talk<Deepgram> {
    let mut talk = Talk::new(Deepgram::new(persona));
    talk.told(json!({ "type": "Welcome", "request_id": "r" }));
    talk.out.send.clear();
    talk.told(json!({ "type": "SettingsApplied" }));
    assert!(talk.dialect.takes());
    talk
}

fn settings(persona: Persona) -> Value {
    let mut talk = Talk::new(Deepgram::new(persona));
    assert_eq!(talk.sent(), [] as [Value; 0], "nothing before it has said Welcome");
    talk.told(json!({ "type": "Welcome" }));
    talk.told(json!({ "type": "Welcome" }));
    let mut sent = talk.sent();
    assert!(sent.len() == 1 && !talk.dialect.takes());
    sent.remove(0)
}

fn calls(ids: &[&str]) -> Value {
    let functions = ids.iter().map(|id| json!({ "id": id, "name": "note", "arguments": "{}", "client_side": true }));
    json!({ "type": "FunctionCallRequest", "functions": functions.collect::<Vec<_>>() })
}

fn text(role: &str, content: &str) -> Value {
    json!({ "type": "ConversationText", "role": role, "content": content })
}

#[test]
fn credentials_go_as_each_wants_them() {
    let deepgram = Deepgram::new(Persona::default());
    assert_eq!(deepgram.credential("key").1, "Token key");
    assert_eq!(deepgram.credential("eyJhbGciOi.e30.x").1, "Bearer eyJhbGciOi.e30.x");
    assert_eq!(Elevenlabs::new(Persona::default()).credential("key"), ("xi-api-key", "key".to_owned()));
}

/// Everything that a dialect may be told, of any size and at any time.
#[derive(Debug, Clone)]
enum Step {
    Came(Vec<u8>, bool),
    Audio(usize),
    Press(char),
    Mark(u8),
    Cleared(u64),
    Answered(u8),
    Idle,
}

fn steps(name: &'static str) -> impl Strategy<Value = Vec<Step>> {
    let is_binary = |message: &Message| matches!(message, Message::Binary(_));
    let messages: Vec<(Vec<u8>, bool)> =
        published(name).iter().map(|message| (message.bytes().to_vec(), is_binary(message))).collect();
    let step = prop_oneof![
        6 => proptest::sample::select(messages).prop_map(|(bytes, binary)| Step::Came(bytes, binary)),
        4 => broken(events(name, "from")).prop_map(|bytes| Step::Came(bytes, false)),
        1 => (vec(any::<u8>(), 0..400), any::<bool>()).prop_map(|(bytes, binary)| Step::Came(bytes, binary)),
        3 => (0usize..400).prop_map(|samples| Step::Audio(samples * 2)),
        1 => any::<char>().prop_map(Step::Press),
        1 => any::<u8>().prop_map(Step::Mark),
        1 => any::<u64>().prop_map(Step::Cleared),
        1 => any::<u8>().prop_map(Step::Answered),
        1 => Just(Step::Idle),
    ];
    vec(step, 0..120)
}

/// Whatever comes: nothing panics, audio is whole samples, each message is JSON, and little comes of little.
fn holds<D: Dialect>(dialect: D, steps: Vec<Step>) {
    let mut talk = Talk::new(dialect);
    for step in steps {
        let told = match &step {
            Step::Came(bytes, _) => bytes.len(),
            Step::Audio(bytes) => *bytes,
            _ => 0,
        };
        match step {
            Step::Came(bytes, binary) => talk.dialect.came(&bytes, binary, &mut talk.out),
            Step::Audio(bytes) if talk.dialect.takes() => talk.hear(Heard::Audio(&vec![7; bytes])),
            Step::Audio(_) => {}
            Step::Press(key) => talk.press(&key.to_string()),
            Step::Mark(number) => talk.hear(Heard::Mark(&format!("said-{number}"))),
            Step::Cleared(ms) => talk.hear(Heard::Cleared { heard: Duration::from_millis(ms) }),
            Step::Answered(number) => talk.answer(&format!("fc_{number}"), json!({}), number % 2 == 0),
            Step::Idle => talk.dialect.idle(&mut talk.out),
        }
        let says = talk.says();
        assert!(says.len() <= 70, "{}", says.len());
        for says in says {
            match says {
                Says::Audio(pcm) => assert!(pcm.len() % 2 == 0 && pcm.len() <= 4 * told + 64),
                Says::Failed(why) => assert!(why.len() < 500),
                _ => {}
            }
        }
        assert!(talk.out.send.len() <= 4 && !talk.out.reconnect);
        talk.sent();
    }
}

proptest! {
    #[test]
    fn whatever_elevenlabs_says_is_survived(rate in proptest::sample::select(Rate::ALL.to_vec()), steps in steps("elevenlabs")) {
        holds(Elevenlabs::new(persona(rate)), steps);
    }

    #[test]
    fn whatever_deepgram_says_is_survived(rate in proptest::sample::select(Rate::ALL.to_vec()), steps in steps("deepgram")) {
        holds(Deepgram::new(persona(rate)), steps);
    }
}
