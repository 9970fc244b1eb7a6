//! Gemini's dialect against the events that Google publishes, and against what callers do between them.

use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    Dtmf,
    backend::{Message, Speaker, Tool, Utterance},
};

const EVENTS: &str = include_str!("../../../tests/fixtures/backends/gemini_live.jsonl");

fn persona() -> Persona {
    Persona {
        instructions: Some("Be brief.".into()),
        greeting: Some("Hello".into()),
        tools: vec![Tool {
            name: "transfer_to_human".into(),
            description: "Hands the caller over.".into(),
            parameters: json!({ "type": "object", "properties": { "target": { "type": "string" } } }),
        }],
        url: "wss://generativelanguage.googleapis.com/ws/x".into(),
        ..Persona::default()
    }
}

/// A dialect with what it says, as a test reads it.
struct Rig {
    dialect: Gemini,
    out: Out,
}

impl Rig {
    fn opened(persona: Persona) -> Self {
        let mut rig = Self { dialect: Gemini::new(persona), out: Out::default() };
        rig.open();
        rig
    }

    fn ready(persona: Persona) -> Self {
        let mut rig = Self::opened(persona);
        rig.came(json!({ "setupComplete": {} }));
        rig.sent();
        rig
    }

    fn open(&mut self) {
        self.dialect.opened(&Brief::default(), &mut self.out);
    }

    fn came(&mut self, message: Value) {
        self.dialect.came(message.to_string().as_bytes(), true, &mut self.out);
    }

    fn content(&mut self, content: Value) {
        self.came(json!({ "serverContent": content }));
    }

    /// So much of the bot's audio, at 24 kHz.
    fn speaks(&mut self, ms: u64, text: &str) {
        let data = STANDARD.encode(vec![0; Rate::Hz24000.bytes_of_ms(ms) as usize]);
        self.content(json!({ "modelTurn": { "parts": [{ "inlineData": {
            "mimeType": "audio/pcm;rate=24000", "data": data } }] }, "outputTranscription": { "text": text } }));
    }

    fn hear(&mut self, heard: Heard<'_>) {
        self.dialect.hear(heard, &mut self.out);
    }

    /// So much of the caller's.
    fn listens(&mut self, ms: u64, level: i16) {
        for _ in 0..ms / 20 {
            let pcm: Vec<u8> = (0..160).flat_map(|at| if at % 2 == 0 { level } else { -level }.to_le_bytes()).collect();
            self.hear(Heard::Audio(&pcm));
        }
    }

    fn key(&mut self, digit: &str) {
        self.hear(Heard::Dtmf(&Dtmf { digit: digit.into(), duration_ms: None }));
    }

    /// What it sent, but audio.
    fn sent(&mut self) -> Vec<Value> {
        let sent = self.out.send.drain(..).map(|message| serde_json::from_slice(message.bytes()).expect("JSON"));
        sent.filter(|message: &Value| message["realtimeInput"]["audio"].is_null()).collect()
    }

    fn texts(&mut self) -> Vec<String> {
        let texts = self.sent().into_iter();
        texts.filter_map(|one| one["realtimeInput"]["text"].as_str().map(str::to_owned)).collect()
    }

    fn says(&mut self) -> Vec<Says> {
        self.out.says.drain(..).collect()
    }

    /// What was said, as text.
    fn said(&mut self) -> Vec<(Speaker, String, bool)> {
        let said = self.says().into_iter().filter_map(|says| match says {
            Says::Said(Utterance { speaker, text, cut, .. }) => Some((speaker, text, cut)),
            _ => None,
        });
        said.collect()
    }

    fn handle(&mut self, handle: &str) {
        self.came(json!({ "sessionResumptionUpdate": { "newHandle": handle, "resumable": true } }));
    }

    fn lost(&mut self, code: u16, said: &str) -> Then {
        self.dialect.ended(Ended::Failed { code: Some(code), why: format!("closed with {code}"), said: said.into() })
    }
}

fn expand(message: &Value) -> Value {
    match message {
        Value::String(text) => match text.strip_prefix('@').and_then(|bytes| bytes.parse().ok()) {
            Some(bytes) => STANDARD.encode(vec![0u8; bytes]).into(),
            None => message.clone(),
        },
        Value::Array(all) => all.iter().map(expand).collect(),
        Value::Object(all) => all.iter().map(|(name, one)| (name.clone(), expand(one))).collect(),
        _ => message.clone(),
    }
}

#[test]
fn a_call_goes_as_published_events_say() {
    let mut rig = Rig { dialect: Gemini::new(persona()), out: Out::default() };
    rig.open();
    for (number, line) in EVENTS.lines().enumerate() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let message = expand(&line["event"]);
        match line["direction"].as_str() {
            Some("from") => rig.came(message),
            Some("to") => {
                let sent = rig.out.send.pop_front().expect("it is sent");
                assert!(matches!(sent, Message::Text(_)));
                assert_eq!(serde_json::from_slice::<Value>(sent.bytes()).expect("JSON"), message, "line {number}");
            }
            _ => {
                if let Some(ms) = message["audio"].as_u64() {
                    rig.listens(ms, 0);
                } else if let Some(ms) = message["cleared"].as_u64() {
                    rig.hear(Heard::Cleared { heard: Duration::from_millis(ms) });
                } else if let Some(digit) = message["key"].as_str() {
                    rig.key(digit);
                } else {
                    let of = |name: &str| message["answer"][name].as_str().expect("text").to_owned();
                    let output = message["answer"]["output"].clone();
                    let answer = Answer { id: of("id"), name: of("name"), output, failed: false, last: false };
                    rig.hear(Heard::Answered(&answer));
                }
            }
        }
    }
    assert!(rig.out.send.is_empty() && rig.out.reconnect, "it leaves before the connection ends");
    let told: Vec<String> = rig.says().into_iter().map(told).collect();
    let expected = [
        "audio 160",
        "Bot: Hello",
        "finished",
        "mark gemini-1",
        // The bot's first words are not marked as heard, and the caller speaks.
        "clear",
        "Caller: I want a person.",
        "caller done",
        "calls function-call-1 {\"target\":\"sales\"}",
        "calls function-call-2 {}",
        "withdrawn function-call-2",
        "audio 32000",
        "clear",
        "Bot: One moment, (cut)",
        "Caller: Wait.",
        "audio 160",
        "Bot: Yes?",
        "finished",
        "mark gemini-2",
        "audio 160",
        "finished",
        "mark gemini-3",
        "Bot: Thanks.",
    ];
    let mut sorted: Vec<&str> = told.iter().map(String::as_str).collect();
    let mut wanted = expected.to_vec();
    sorted.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(sorted, wanted, "{told:#?}");
    let spoken = |list: &[String]| -> Vec<String> { list.iter().filter(|one| one.contains(": ")).cloned().collect() };
    assert_eq!(spoken(&told), spoken(&expected.map(str::to_owned)), "in the order spoken");
}

fn told(says: Says) -> String {
    match says {
        Says::Audio(pcm) => format!("audio {}", pcm.len()),
        Says::Finished => "finished".into(),
        Says::Mark(name) => format!("mark {name}"),
        Says::Clear => "clear".into(),
        Says::CallerDone => "caller done".into(),
        Says::Said(Utterance { speaker, text, cut, .. }) => {
            format!("{speaker:?}: {text}{}", if cut { " (cut)" } else { "" })
        }
        Says::Calls(call) => format!("calls {} {}", call.id, call.arguments),
        Says::Withdrawn(id) => format!("withdrawn {id}"),
        Says::Done => "done".into(),
        Says::Failed(why) => format!("failed {why}"),
    }
}

#[test]
fn nobody_is_heard_before_it_is_set_up() {
    let mut rig = Rig::opened(persona());
    assert!(!rig.dialect.takes());
    rig.key("5");
    rig.key("#");
    rig.sent();
    rig.came(json!({ "setupComplete": {} }));
    assert!(rig.dialect.takes());
    rig.listens(20, 0);
    let texts = rig.texts();
    assert!(texts[0].contains("Hello") && texts[1] == "The caller pressed 5# on the keypad.", "{texts:?}");
}

#[test]
fn the_key_goes_where_its_kind_is_read() {
    let of = |url: &str, key: &str| Gemini::new(Persona { url: url.into(), ..persona() }).credential(key);
    let google = "wss://generativelanguage.googleapis.com/ws/x";
    assert_eq!(of(google, "AIza1"), ("x-goog-api-key", "AIza1".to_owned()));
    assert_eq!(of(google, "auth_tokens/1"), ("authorization", "Token auth_tokens/1".to_owned()));
    let vertex = "wss://us-central1-aiplatform.googleapis.com/ws/google.cloud.aiplatform.v1.LlmBidiService/x";
    assert_eq!(of(vertex, "abc"), ("authorization", "Bearer abc".to_owned()));
    assert_eq!(of(google, "ya29.abc").0, "authorization");
}

#[test]
fn a_tone_stays_a_tone_in_both_directions() {
    let mut rig = Rig::ready(Persona { greeting: None, ..persona() });
    let sine = |rate: u32, count: usize| -> Vec<u8> {
        let at = |n: usize| (f64::from(n as u32) * 440.0 * std::f64::consts::TAU / f64::from(rate)).sin();
        (0..count).flat_map(|n| ((at(n) * 8000.0) as i16).to_le_bytes()).collect()
    };
    let crossings = |pcm: &[u8]| {
        // Before a tone begins the filter rings.
        let all: Vec<i16> = crate::audio::samples(pcm).skip(300).collect();
        all.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count()
    };
    for frame in sine(8000, 8000).chunks(320) {
        rig.hear(Heard::Audio(frame));
    }
    let mut heard = Vec::new();
    for message in rig.out.send.drain(..) {
        let message: Value = serde_json::from_slice(message.bytes()).expect("JSON");
        heard.extend(STANDARD.decode(message["realtimeInput"]["audio"]["data"].as_str().expect("audio")).expect("it"));
    }
    assert!(heard.len() == 32_000 && (420..=441).contains(&crossings(&heard)));
    let data = STANDARD.encode(sine(24_000, 24_000));
    rig.content(json!({ "modelTurn": { "parts": [{ "inlineData": { "mimeType": "audio/pcm", "data": data } }] } }));
    let said = rig.says().into_iter().find_map(|says| match says {
        Says::Audio(pcm) => Some(pcm),
        _ => None,
    });
    let said = said.expect("audio");
    assert!(said.len() == 16_000 && (420..=441).contains(&crossings(&said)));
}

#[test]
fn an_interruption_takes_back_what_was_not_heard_once() {
    let mut rig = Rig::ready(Persona { greeting: None, ..persona() });
    rig.content(json!({ "interrupted": true }));
    assert_eq!(rig.says(), [], "there is nothing to take back");
    rig.content(json!({ "turnComplete": true }));
    rig.speaks(4000, "one two three four five six seven eight");
    rig.content(json!({ "interrupted": true }));
    rig.content(json!({ "interrupted": true }));
    assert_eq!(rig.says().iter().filter(|says| **says == Says::Clear).count(), 1);
    // What still comes of it is not heard.
    rig.speaks(500, "nine");
    assert_eq!(rig.says(), []);
    rig.hear(Heard::Mark("gemini-1"));
    rig.hear(Heard::Cleared { heard: Duration::from_secs(1) });
    assert_eq!(rig.said(), [(Speaker::Bot, "one two three".to_owned(), true)]);
    rig.content(json!({ "turnComplete": true }));
    rig.speaks(500, "Sorry?");
    rig.content(json!({ "generationComplete": true }));
    assert_eq!(rig.said(), [(Speaker::Bot, "Sorry?".to_owned(), false)]);
    // All was heard: an interruption takes nothing back.
    rig.hear(Heard::Mark("gemini-1"));
    rig.content(json!({ "interrupted": true, "turnComplete": true }));
    assert_eq!(rig.says(), []);
}

#[test]
fn a_turn_that_is_never_said_to_be_over_does_not_silence_the_bot() {
    let mut rig = Rig::ready(Persona { greeting: None, ..persona() });
    rig.speaks(1000, "a");
    rig.content(json!({ "interrupted": true }));
    rig.hear(Heard::Cleared { heard: Duration::ZERO });
    rig.says();
    rig.speaks(20, "b");
    assert_eq!(rig.says(), []);
    rig.listens(1000, 0);
    rig.speaks(20, "c");
    assert!(rig.says().iter().any(|says| matches!(says, Says::Audio(_))));
}

#[test]
fn keys_that_follow_each_other_are_one_entry() {
    let mut rig = Rig::ready(Persona { greeting: None, ..persona() });
    for digit in ["1", "2", "3", ""] {
        rig.key(digit);
        rig.listens(400, 0);
    }
    assert_eq!(rig.texts(), [] as [String; 0]);
    rig.listens(1200, 0);
    assert_eq!(rig.texts(), ["The caller pressed 123 on the keypad."]);
}

#[test]
fn that_the_caller_has_stopped_is_heard_where_it_is_not_said() {
    let mut rig = Rig::ready(Persona { greeting: None, ..persona() });
    rig.listens(500, 10);
    rig.listens(500, 5000);
    assert_eq!(rig.says(), []);
    rig.listens(300, 10);
    assert_eq!(rig.says(), [Says::CallerDone]);
    rig.came(json!({ "voiceActivity": { "voiceActivityType": "ACTIVITY_END" } }));
    assert_eq!(rig.says(), [Says::CallerDone]);
    rig.listens(500, 5000);
    rig.listens(500, 10);
    assert_eq!(rig.says(), [], "it says so itself");
}

#[test]
fn a_connection_that_ends_is_left_when_nobody_speaks() {
    let mut rig = Rig::ready(Persona { greeting: None, ..persona() });
    rig.listens(100, 10);
    rig.handle("h1");
    rig.listens(500, 5000);
    rig.came(json!({ "goAway": { "timeLeft": "60s" } }));
    assert!(!rig.out.reconnect, "the caller speaks");
    rig.listens(300, 10);
    assert!(rig.out.reconnect && !rig.dialect.takes());
    rig.out = Out::default();
    rig.open();
    let setup = &rig.sent()[0]["setup"];
    assert_eq!(setup["sessionResumption"]["handle"], "h1");
    assert!(!setup["systemInstruction"].to_string().contains("made anew"));
    rig.came(json!({ "setupComplete": {} }));
    assert_eq!(rig.sent(), [] as [Value; 0], "nothing is said that nobody asked for");
    // While it answers; and where time runs out, in the middle of it.
    rig.handle("h2");
    rig.speaks(100, "The answer is");
    rig.came(json!({ "goAway": { "timeLeft": { "seconds": "3" } } }));
    assert!(!rig.out.reconnect);
    rig.listens(900, 10);
    assert!(!rig.out.reconnect);
    rig.listens(100, 10);
    assert!(rig.out.reconnect);
    rig.open();
    assert_eq!(rig.said(), [(Speaker::Bot, "The answer is".to_owned(), true)]);
    rig.sent();
    rig.came(json!({ "setupComplete": {} }));
    let texts = rig.texts();
    assert!(texts.len() == 1 && texts[0].contains("Go on from there"), "{texts:?}");
}

#[test]
fn a_connection_that_is_lost_is_gone_on_with() {
    let mut rig = Rig::ready(persona());
    rig.speaks(100, "Hello");
    rig.content(json!({ "generationComplete": true, "turnComplete": true }));
    rig.handle("h1");
    rig.content(json!({ "inputTranscription": { "text": "Where is\nmy order?" } }));
    assert_eq!(rig.lost(1011, "Deadline expired before operation could complete."), Then::Reconnect);
    assert!(!rig.dialect.takes());
    rig.key("#");
    rig.out.send.clear();
    rig.open();
    assert_eq!(rig.sent()[0]["setup"]["sessionResumption"]["handle"], "h1");
    rig.came(json!({ "setupComplete": {} }));
    let texts = rig.texts();
    assert!(texts.len() == 1 && texts[0].contains("Where is my order?"), "{texts:?}");
    rig.listens(20, 0);
    assert_eq!(rig.texts(), ["The caller pressed # on the keypad."]);
    rig.speaks(100, "Here.");
    rig.content(json!({ "turnComplete": true }));
    rig.content(json!({ "inputTranscription": { "text": "Thanks" } }));
    assert_eq!(rig.dialect.ended(Ended::Closed), Then::Reconnect, "it has no way to hang up");
    // The handle is refused: a new session is told what was said.
    rig.open();
    assert_eq!(rig.sent()[0]["setup"]["sessionResumption"]["handle"], "h1");
    assert_eq!(rig.lost(1007, "Request contains an invalid argument."), Then::Reconnect);
    rig.open();
    let setup = rig.sent()[0]["setup"].clone();
    assert_eq!(setup["sessionResumption"], json!({}));
    let told = setup["systemInstruction"]["parts"][0]["text"].as_str().expect("text").to_owned();
    assert!(told.contains("- you: Hello\n- caller: Where is my order?\n- you: Here.\n"), "{told}");
    rig.came(json!({ "setupComplete": {} }));
    let texts = rig.texts();
    assert!(texts.len() == 1 && texts[0].contains("Thanks") && !texts[0].contains("Greet"), "{texts:?}");
    assert_eq!(rig.lost(1007, "Request contains an invalid argument."), Then::Reconnect);
    rig.open();
    assert!(matches!(rig.lost(1007, ""), Then::Failed(why) if why.contains("options")), "that is refused, too");
}

#[test]
fn what_it_was_told_and_did_not_answer_is_told_again() {
    let mut rig = Rig::opened(persona());
    rig.came(json!({ "setupComplete": {} }));
    assert_eq!(rig.texts().len(), 1);
    assert_eq!(rig.lost(1006, ""), Then::Reconnect);
    rig.open();
    rig.sent();
    rig.came(json!({ "setupComplete": {} }));
    let texts = rig.texts();
    assert!(texts.len() == 1 && texts[0].contains("Greet now"), "nobody has heard it: {texts:?}");
}

#[test]
fn the_answer_of_a_tool_finds_its_way_to_another_connection() {
    let mut rig = Rig::ready(Persona { greeting: None, ..persona() });
    rig.handle("h1");
    rig.came(
        json!({ "toolCall": { "functionCalls": [{ "id": "f1", "name": "look_up", "args": null }, { "name": "x" }] } }),
    );
    let calls: Vec<String> = rig.says().into_iter().map(told).collect();
    assert_eq!(calls, ["calls f1 {}", "calls call-2 {}"]);
    rig.came(json!({ "goAway": {} }));
    assert!(!rig.out.reconnect, "its answer would find nobody");
    let answer =
        |id: &str, last| Answer { id: id.into(), name: "look_up".into(), output: json!(7), failed: last, last };
    rig.hear(Heard::Answered(&answer("call-2", false)));
    let sent = rig.sent();
    assert_eq!(
        sent[0]["toolResponse"]["functionResponses"][0],
        json!({ "name": "look_up", "response": { "output": 7 } })
    );
    rig.lost(1011, "");
    rig.open();
    rig.came(json!({ "setupComplete": {} }));
    rig.sent();
    rig.hear(Heard::Answered(&answer("f1", false)));
    assert_eq!(rig.texts(), ["(The tool look_up, which you have called, answered: 7)"]);
    rig.hear(Heard::Answered(&answer("f1", false)));
    assert_eq!(rig.sent(), [] as [Value; 0], "once");
    rig.came(json!({ "toolCall": { "functionCalls": [{ "id": "f2", "name": "transfer" }] } }));
    rig.hear(Heard::Answered(&answer("f2", true)));
    assert_eq!(rig.sent(), [] as [Value; 0], "there is nothing to say to it");
    assert_eq!(rig.lost(1011, ""), Then::Done);
}

#[test]
fn what_cannot_be_mended_fails_at_once_and_the_rest_after_a_few_times() {
    let fails = |then: Then, told: &str| assert!(matches!(&then, Then::Failed(why) if why.contains(told)), "{then:?}");
    fails(Rig::opened(persona()).lost(1007, "API key not valid. Please pass a valid API key."), "api_key");
    fails(Rig::ready(persona()).lost(1011, "You exceeded your current quota"), "quota");
    let model = "models/x is not found for API version v1beta, or is not supported for bidiGenerateContent.";
    fails(Rig::opened(persona()).lost(1008, model), "options.setup.model");
    let mut rig = Rig::opened(persona());
    rig.came(json!({ "error": { "code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED" } }));
    assert!(matches!(rig.says().as_slice(), [Says::Failed(why)] if why.contains("quota")));
    // It is set up each time, and ends.
    let mut rig = Rig::ready(persona());
    for _ in 0..2 {
        assert_eq!(rig.lost(1008, "Operation is not implemented, or supported, or enabled."), Then::Reconnect);
        rig.open();
        rig.came(json!({ "setupComplete": {} }));
    }
    fails(rig.lost(1008, "Operation is not implemented, or supported, or enabled."), "1008");
    let mut rig = Rig::opened(persona());
    assert_eq!(rig.lost(1011, "The service is currently unavailable."), Then::Reconnect);
    assert_eq!(rig.lost(1011, ""), Then::Reconnect);
    fails(rig.lost(1011, ""), "1011");
    let mut vertex = Rig::opened(Persona { url: "wss://a-aiplatform.googleapis.com/x".into(), ..persona() });
    assert!(matches!(vertex.says().as_slice(), [Says::Failed(why)] if why.contains("projects/")));
}

#[test]
fn at_the_end_of_a_call_all_is_told_as_far_as_it_was_heard() {
    let mut rig = Rig::ready(Persona { greeting: None, ..persona() });
    rig.content(json!({ "inputTranscription": { "text": "Hello?" } }));
    rig.speaks(2000, "Good morning and welcome");
    rig.says();
    rig.hear(Heard::Cleared { heard: Duration::from_millis(500) });
    rig.content(json!({ "inputTranscription": { "text": "Bye" } }));
    rig.dialect.over(&mut rig.out);
    assert_eq!(
        rig.said(),
        [(Speaker::Bot, "Good morning".to_owned(), true), (Speaker::Caller, "Bye".to_owned(), false)]
    );
}

fn bounded(rig: &Rig) {
    assert!(rig.dialect.tools.len() <= WAITING && rig.dialect.waiting.len() <= WAITING);
    assert!(!format!("{:?}", rig.dialect).contains("Hello"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..20)) {
        let mut rig = Rig::ready(persona());
        for message in messages {
            rig.dialect.came(&message, true, &mut rig.out);
        }
        bounded(&rig);
    }

    /// Published events in any order, with any byte or member of them something else.
    #[test]
    fn events_that_are_off_do_no_harm(
        picked in proptest::collection::vec((0usize..64, 0usize..400, any::<u8>(), any::<bool>()), 0..60),
    ) {
        let lines: Vec<Value> = EVENTS.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let mut rig = Rig::opened(persona());
        for (line, at, byte, whole) in picked {
            let line = &lines[line % lines.len()];
            let mut text = expand(&line["event"]).to_string().into_bytes();
            if !whole {
                let at = at % text.len();
                text[at] = byte;
            }
            match byte % 7 {
                0 if rig.dialect.takes() => rig.listens(40, i16::from(byte) * 50),
                1 => rig.key("1"),
                2 => rig.hear(Heard::Cleared { heard: Duration::from_millis(at as u64 * 10) }),
                3 => {
                    rig.lost(1011, "");
                    rig.open();
                }
                _ => rig.dialect.came(&text, true, &mut rig.out),
            }
            bounded(&rig);
        }
        rig.dialect.over(&mut rig.out);
    }
}
