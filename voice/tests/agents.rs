//! ElevenLabs and Deepgram as dialects, driven through what the services have published: an agent that is set up there or
//! by its settings, and does the rest itself.

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

#[test]
fn a_conversation_with_elevenlabs_goes_as_published() {
    let mut talk = Talk::new(Elevenlabs::new(persona(Rate::Hz8000)));
    let mut sent = talk.sent();
    published("elevenlabs").iter().for_each(|message| talk.came(message));
    assert_eq!(
        talk.says(),
        [
            by_agent("Hello! How can I help you today?", "agent-1"),
            samples(1, 16),
            Says::Clear,
            cut("Hello! How can I", "agent-1"),
            Says::CallerDone,
            by_caller("Where is my order?", Some("caller-3")),
            by_agent("Let me look.", "agent-2"),
            Says::Calls(ToolCall {
                id: "toolu_1".to_owned(),
                name: "note".to_owned(),
                arguments: json!({ "text": "asks for his order" }),
            }),
            samples(2, 16),
            Says::Failed("the agent's language model failed (llm_error)".to_owned()),
        ]
    );
    talk.answer("toolu_1", json!({ "ok": true }), false);
    talk.press("5");
    talk.silence(50);
    sent.extend(talk.sent());
    let kinds: Vec<_> = sent.iter().map(|message| message["type"].as_str().expect("a type")).collect();
    let wanted = ["conversation_initiation_client_data", "pong", "pong", "client_tool_result", "user_message"];
    assert_eq!(kinds, wanted);
    assert_eq!((&sent[1]["event_id"], &sent[2]["event_id"]), (&json!(7), &json!(8)));
    as_published("elevenlabs", &sent);
}

#[test]
fn an_elevenlabs_agent_is_told_who_calls_and_nothing_of_it_is_a_variable() {
    let mut talk = elevenlabs(Persona { rate: Rate::Hz8000, ..Persona::default() }, "pcm_8000", "pcm_8000");
    let sent = talk.sent();
    as_published("elevenlabs", &sent[1..]);
    let first = &sent[0];
    assert!(first.get("conversation_config_override").is_none(), "nothing is overridden that nobody asked for");
    let variables = &first["dynamic_variables"];
    assert_eq!((&variables["from"], &variables["call_sid"]), (&json!("+919052161119"), &json!("c1")));
    assert_eq!(variables["owner"], "", "what an agent names and is not given ends the conversation");
    let told = sent[1]["text"].as_str().expect("text");
    assert!(told.contains("Asha ((system__time))"), "{told}");
    // With instructions, the same stands behind them.
    let mut talk = elevenlabs(persona(Rate::Hz8000), "pcm_8000", "pcm_8000");
    let sent = talk.sent();
    let agent = &sent[0]["conversation_config_override"]["agent"];
    assert_eq!((sent.len(), &agent["first_message"]), (1, &json!("Hello!")));
    let prompt = agent["prompt"]["prompt"].as_str().expect("a prompt");
    assert!(prompt.starts_with("Be brief.\n\nAbout this call") && prompt.contains("+919052161119"), "{prompt}");
}

#[test]
fn every_variable_that_a_brief_has_is_one_that_is_always_given() {
    let none = Talk::new(Elevenlabs::new(Persona::default())).sent();
    let known = Brief {
        to: Some(String::new()),
        direction: Some(String::new()),
        owner: Some(String::new()),
        contact: Some(Contact { name: Some(String::new()), ..Contact::default() }),
        open_tickets: vec![patchbay_voice::backend::Ticket::default()],
        ..brief()
    };
    let given = none[0]["dynamic_variables"].as_object().expect("variables");
    assert!(known.variables().keys().all(|name| given.contains_key(name)));
    assert_eq!(known.variables().len(), given.len());
}

#[test]
fn elevenlabs_options_lie_over_what_is_said_first() {
    let options = json!({ "user_id": "u1", "dynamic_variables": { "shop": "north" },
        "conversation_config_override": { "agent": { "language": "hi", "first_message": null } } });
    let first = Talk::new(Elevenlabs::new(with_options(options))).sent().remove(0);
    assert_eq!((&first["user_id"], &first["dynamic_variables"]["shop"]), (&json!("u1"), &json!("north")));
    let agent = &first["conversation_config_override"]["agent"];
    assert_eq!((&agent["language"], agent.get("first_message")), (&json!("hi"), None));
    assert_eq!(first["dynamic_variables"]["call_sid"], "c1");
}

#[test]
fn elevenlabs_speaks_and_hears_in_the_formats_that_the_agent_has() {
    for (hears, speaks, rate, out, back) in [
        ("pcm_8000", "pcm_8000", Rate::Hz8000, 320, 320),
        ("ulaw_8000", "ulaw_8000", Rate::Hz8000, 160, 640),
        ("pcm_16000", "pcm_24000", Rate::Hz8000, 640, 106),
        ("pcm_16000", "ulaw_8000", Rate::Hz24000, 640 / 3, 1920),
    ] {
        let mut talk = elevenlabs(persona(rate), hears, speaks);
        assert!(talk.dialect.takes());
        talk.out.send.clear();
        talk.hear(Heard::Audio(&FRAME));
        let Some(Message::Text(text)) = talk.out.send.pop_front() else { panic!("no audio") };
        let sent: Value = serde_json::from_str(&text).expect("JSON");
        as_published("elevenlabs", std::slice::from_ref(&sent));
        let mut bytes = Vec::new();
        assert!(payload::decode(sent["user_audio_chunk"].as_str().expect("audio").as_bytes(), &mut bytes));
        assert!(bytes.len().abs_diff(out) <= 2, "{hears}: {}", bytes.len());
        talk.told(agent_audio(&FRAME, 1));
        let says = talk.says();
        let [Says::Audio(pcm)] = says.as_slice() else { panic!("{says:?}") };
        assert!(pcm.len().abs_diff(back) <= 2, "{speaks}: {}", pcm.len());
    }
    for (hears, speaks, told) in [
        ("pcm_16000", "pcm_44100", "the agent's TTS output format is pcm_44100"),
        ("pcm_48000", "pcm_44100", "the agent's user input audio format is pcm_48000"),
        ("pcm_16000", "mp3 44100 of a <caller>", "TTS output format is none that is known"),
    ] {
        let mut talk = elevenlabs(persona(Rate::Hz8000), hears, speaks);
        let why = talk.failed();
        assert!(why.contains(told) && why.contains("set it to pcm_8000"), "{why}");
        assert!(!talk.dialect.takes());
    }
    // One that does not say.
    let mut talk = Talk::new(Elevenlabs::new(persona(Rate::Hz16000)));
    talk.told(json!({ "type": "conversation_initiation_metadata", "conversation_initiation_metadata_event": {} }));
    assert!(talk.dialect.takes());
}

#[test]
fn audio_that_elevenlabs_has_interrupted_is_not_heard() {
    let mut talk = elevenlabs(persona(Rate::Hz8000), "pcm_8000", "pcm_8000");
    talk.told(json!({ "type": "interruption", "interruption_event": { "event_id": 1 } }));
    assert_eq!(talk.says(), [], "nothing was said that could be taken back");
    talk.told(json!({ "type": "agent_response", "agent_response_event": { "agent_response": "one two three four" } }));
    for id in 2..=5 {
        talk.told(agent_audio(&[1; 16_000], id));
    }
    talk.says();
    talk.told(json!({ "type": "interruption", "interruption_event": { "event_id": "6" } }));
    for id in [5, 6, 7] {
        talk.told(agent_audio(&[2; 320], id));
    }
    assert_eq!(talk.says(), [Says::Clear, Says::Audio(vec![2; 320])], "what comes after it is new");
    // Without a correction of the service's own, what was heard decides.
    talk.hear(Heard::Cleared { heard: Duration::from_millis(2100) });
    assert_eq!(talk.says(), [cut("one two", "agent-1")]);
}

#[test]
fn elevenlabs_corrections_find_their_response() {
    let mut talk = elevenlabs(persona(Rate::Hz8000), "pcm_8000", "pcm_8000");
    for (text, id) in [("first", json!(1)), ("second", Value::Null), ("third", json!(3)), ("fourth", json!(3))] {
        talk.told(
            json!({ "type": "agent_response", "agent_response_event": { "agent_response": text, "event_id": id } }),
        );
    }
    talk.says();
    for (event, id) in [
        (json!({ "corrected_agent_response": "a", "event_id": 1 }), "agent-1"),
        (json!({ "corrected_agent_response": "a", "original_agent_response": "second " }), "agent-2"),
        (json!({ "corrected_agent_response": "a", "original_agent_response": "third", "event_id": 3 }), "agent-3"),
        (json!({ "corrected_agent_response": "a", "event_id": "3" }), "agent-4"),
        (json!({ "agent_response": "a" }), "agent-4"),
    ] {
        talk.told(json!({ "type": "agent_response_correction", "agent_response_correction_event": event }));
        assert_eq!(talk.says(), [cut("a", id)]);
    }
}

#[test]
fn a_caller_of_elevenlabs_who_says_nothing_has_said_nothing() {
    let mut talk = elevenlabs(persona(Rate::Hz8000), "pcm_8000", "pcm_8000");
    let transcript =
        |text: &str| json!({ "type": "user_transcript", "user_transcription_event": { "user_transcript": text } });
    talk.told(transcript("..."));
    assert_eq!(talk.says(), []);
    // What was said in his place he has not said.
    talk.press("4");
    talk.press("2");
    talk.silence(49);
    assert_eq!(talk.sent().len(), 1, "the first message, and no key yet");
    talk.silence(1);
    let told = "The caller pressed 42 on the keypad.";
    assert_eq!(talk.sent(), [json!({ "type": "user_message", "text": told })]);
    talk.told(transcript(told));
    assert_eq!(talk.says(), [Says::CallerDone]);
    talk.told(transcript(told));
    assert_eq!(talk.says(), [Says::CallerDone, by_caller(told, None)]);
}

#[test]
fn the_last_answer_lets_nobody_speak() {
    let mut talk = elevenlabs(persona(Rate::Hz8000), "pcm_8000", "pcm_8000");
    talk.sent();
    talk.answer("t1", json!({ "ok": true }), true);
    assert_eq!(talk.sent(), [] as [Value; 0]);
    talk.answer("t1", json!("done"), false);
    assert_eq!(talk.sent()[0]["result"], "done");
    let mut talk = deepgram(persona(Rate::Hz8000));
    talk.told(calls(&["f1"]));
    talk.answer("f1", json!({ "ok": true }), true);
    assert_eq!(talk.sent(), [] as [Value; 0]);
}

#[test]
fn why_elevenlabs_fails_is_told_in_words_that_are_not_its_own() {
    for (event, told) in [
        (json!({ "code": 1008, "error_type": "override_error", "debug_message": "hunter2" }), "security settings"),
        (json!({ "code": 1008, "error_type": "missing_dynamic_variable", "message": "hunter2" }), "dynamic variable"),
        (json!({ "code": 1002, "error_type": "tts_cascade_error" }), "voice failed (tts_cascade_error)"),
        (json!({ "code": 1002, "error_type": "transport_receive_timeout" }), "failed (transport_receive_timeout)"),
        (json!({ "code": 1011, "message": "hunter2", "error_type": "the caller said hunter2" }), "no reason given"),
    ] {
        let mut talk = elevenlabs(persona(Rate::Hz8000), "pcm_8000", "pcm_8000");
        talk.told(json!({ "type": "error", "error_event": event }));
        let why = talk.failed();
        assert!(why.contains(told) && !why.contains("hunter2"), "{why}");
    }
    let mut talk = elevenlabs(persona(Rate::Hz8000), "pcm_8000", "pcm_8000");
    talk.told(json!({ "type": "error", "error_event": { "code": 1000, "error_type": "max_duration_exceeded" } }));
    assert_eq!(talk.says(), [Says::Done]);
    assert_eq!(talk.dialect.ended(Ended::Closed), Then::Done);
    let mut early = Elevenlabs::new(persona(Rate::Hz8000));
    assert!(matches!(early.ended(Ended::Closed), Then::Failed(why) if why.contains("before the conversation")));
    for (said, told) in [
        (
            "Override for field 'first_message' is not allowed by config. hunter2",
            "does not allow what the bot overrides",
        ),
        ("Missing required dynamic variables in first message: {'hunter2'}", "names a dynamic variable"),
        ("hunter2", "1008, as it does when"),
    ] {
        let why = "closed the connection with code 1008".to_owned();
        let failed = Ended::Failed { code: Some(1008), why, said: said.to_owned() };
        let Then::Failed(why) = early.ended(failed) else { panic!("it goes on") };
        assert!(why.contains(told) && !why.contains("hunter2"), "{why}");
    }
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
fn a_conversation_with_deepgram_goes_as_published() {
    let mut talk = Talk::new(Deepgram::new(persona(Rate::Hz8000)));
    published("deepgram").iter().for_each(|message| talk.came(message));
    assert_eq!(
        talk.says(),
        [
            by_agent("Hello! How can I help you today?", "agent-1"),
            samples(1, 16),
            Says::Clear,
            Says::CallerDone,
            by_caller("Where is my order?", None),
            Says::Calls(ToolCall {
                id: "fc_1".to_owned(),
                name: "note".to_owned(),
                arguments: json!({ "text": "asks for his order" }),
            }),
            samples(2, 16),
            Says::Finished,
            mark(1),
            Says::Failed("the agent failed (CLIENT_MESSAGE_TIMEOUT)".to_owned()),
        ]
    );
    talk.answer("fc_1", json!({ "ok": true }), false);
    talk.press("5");
    talk.silence(50);
    talk.dialect.idle(&mut talk.out);
    let sent = talk.sent();
    let kinds: Vec<_> = sent.iter().map(|message| message["type"].as_str().expect("a type")).collect();
    assert_eq!(kinds, ["Settings", "FunctionCallResponse", "InjectUserMessage", "KeepAlive"]);
    as_published("deepgram", &sent);
    let prompt = sent[0]["agent"]["think"]["prompt"].as_str().expect("a prompt");
    assert!(prompt.starts_with("Be brief.\n\nAbout this call") && prompt.contains("+919052161119"), "{prompt}");
}

#[test]
fn deepgram_is_asked_for_the_calls_own_audio() {
    for rate in Rate::ALL {
        let settings = settings(persona(rate));
        for side in ["input", "output"] {
            assert_eq!(settings["audio"][side]["sample_rate"].as_u64(), Some(u64::from(rate.hz())));
            assert_eq!(settings["audio"][side]["encoding"], "linear16");
        }
        let mut talk = deepgram(persona(rate));
        talk.hear(Heard::Audio(&FRAME));
        assert_eq!(talk.out.send, [Message::Binary(FRAME.to_vec())]);
        talk.came(&Message::Binary(FRAME.to_vec()));
        assert_eq!(talk.says(), [Says::Audio(FRAME.to_vec())]);
    }
    // Others by options; a number that TOML has as a fraction is whole.
    let mulaw = json!({ "encoding": "mulaw", "sample_rate": 8000.0 });
    let options = json!({ "audio": { "input": mulaw, "output": mulaw }, "agent": { "think": { "provider": { "temperature": 0.7 } } } });
    let settings = settings(with_options(options.clone()));
    assert_eq!(settings["audio"]["input"], json!({ "encoding": "mulaw", "sample_rate": 8000 }));
    assert_eq!(settings["agent"]["think"]["provider"]["temperature"], 0.7);
    let mut talk = deepgram(with_options(options));
    talk.hear(Heard::Audio(&[0; 320]));
    assert_eq!(talk.out.send, [Message::Binary(vec![0xff; 160])]);
    talk.came(&Message::Binary(vec![0xff; 161]));
    assert_eq!(talk.says(), [Says::Audio(vec![0; 322])]);
    for options in [
        json!({ "audio": { "output": { "encoding": "mp3" } } }),
        json!({ "audio": { "output": { "container": "wav" } } }),
        json!({ "audio": { "input": { "sample_rate": 44100 } } }),
        json!({ "audio": null }),
        json!({ "audio": 5 }),
    ] {
        let mut talk = Talk::new(Deepgram::new(with_options(options)));
        talk.told(json!({ "type": "Welcome" }));
        assert!(talk.failed().contains("options ask for audio"));
        assert_eq!(talk.sent(), [] as [Value; 0]);
    }
}

#[test]
fn deepgram_agents_may_be_kept_there_and_models_may_have_others_behind_them() {
    let mut talk = Talk::new(Deepgram::new(with_options(json!({ "agent": "0b1c" }))));
    talk.told(json!({ "type": "Welcome" }));
    assert_eq!(talk.sent()[0]["agent"], "0b1c");
    talk.told(json!({ "type": "SettingsApplied" }));
    let sent = talk.sent();
    as_published("deepgram", &sent);
    assert_eq!((&sent[0]["type"], &sent[1]["message"]), (&json!("UpdatePrompt"), &json!("Hello!")));
    talk.told(json!({ "type": "SettingsApplied" }));
    assert_eq!(talk.sent(), [] as [Value; 0]);
    let models =
        json!([{ "provider": { "type": "groq", "model": "a" } }, { "provider": { "type": "open_ai", "model": "b" } }]);
    let settings = settings(with_options(json!({ "agent": { "think": models } })));
    let think = &settings["agent"]["think"];
    assert!(think[0]["prompt"].as_str().is_some_and(|prompt| prompt.starts_with("Be brief.")));
    assert_eq!((&think[0]["functions"][0]["name"], think[1].get("prompt")), (&json!("note"), None));
    for agent in [json!(null), json!(5), json!([]), json!({ "think": null }), json!({ "think": [] })] {
        Talk::new(Deepgram::new(with_options(json!({ "agent": agent })))).told(json!({ "type": "Welcome" }));
    }
}

#[test]
fn a_caller_who_interrupts_deepgram_hears_nothing_more_of_it() {
    let mut talk = deepgram(persona(Rate::Hz8000));
    talk.told(text("assistant", "one two"));
    talk.came(&Message::Binary(vec![1; 16_000]));
    talk.told(text("assistant", "three four"));
    talk.came(&Message::Binary(vec![1; 16_000]));
    talk.says();
    talk.told(json!({ "type": "UserStartedSpeaking" }));
    assert_eq!(talk.says(), [Says::Clear]);
    talk.hear(Heard::Cleared { heard: Duration::from_millis(500) });
    assert_eq!(talk.says(), [cut("one", "agent-1"), cut("", "agent-2")]);
    talk.came(&Message::Binary(vec![2; 320]));
    talk.told(text("assistant", "five"));
    talk.told(json!({ "type": "UserStartedSpeaking" }));
    assert_eq!(talk.says(), [], "all of the old");
    talk.told(text("user", "stop"));
    talk.told(json!({ "type": "AgentThinking", "content": "" }));
    talk.told(text("assistant", "fine"));
    talk.came(&Message::Binary(vec![3; 320]));
    let new = [Says::CallerDone, by_caller("stop", None), by_agent("fine", "agent-3"), Says::Audio(vec![3; 320])];
    assert_eq!(talk.says(), new);
}

#[test]
fn a_caller_of_deepgram_who_has_heard_all_interrupts_nothing() {
    let mut talk = deepgram(persona(Rate::Hz8000));
    talk.told(json!({ "type": "UserStartedSpeaking" }));
    assert_eq!(talk.says(), []);
    talk.came(&Message::Binary(vec![1; 320]));
    talk.told(json!({ "type": "AgentAudioDone" }));
    assert_eq!(talk.says(), [Says::Audio(vec![1; 320]), Says::Finished, mark(1)]);
    talk.hear(Heard::Mark("said-1"));
    talk.told(json!({ "type": "UserStartedSpeaking" }));
    assert_eq!(talk.says(), []);
    // The next one is heard, though the caller began to speak while nobody spoke.
    talk.came(&Message::Binary(vec![2; 320]));
    assert_eq!(talk.says(), [Says::Audio(vec![2; 320])]);
    // What was sent and not played is taken back, though all of it has come.
    talk.told(json!({ "type": "AgentAudioDone" }));
    talk.says();
    talk.told(json!({ "type": "UserStartedSpeaking" }));
    assert_eq!(talk.says(), [Says::Clear]);
    talk.came(&Message::Binary(vec![3; 320]));
    assert_eq!(talk.says(), [Says::Audio(vec![3; 320])]);
}

#[test]
fn calls_that_deepgram_cancels_are_not_answered() {
    let mut talk = deepgram(persona(Rate::Hz8000));
    talk.told(calls(&["f1", "f2"]));
    assert_eq!(talk.says().len(), 2);
    talk.told(json!({ "type": "FunctionCallCancelled", "functions": [{ "id": "f1" }, { "id": "f7" }, {}, 5] }));
    assert_eq!(talk.says(), [Says::Withdrawn("f1".to_owned())]);
    for id in ["f1", "f2", "f2"] {
        talk.answer(id, json!({ "error": "no" }), false);
    }
    let sent = talk.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!((&sent[0]["id"], &sent[0]["content"]), (&json!("f2"), &json!("{\"error\":\"no\"}")));
    // Arguments as a model may write them.
    for (arguments, read) in [
        (json!("{\"a\":1}"), json!({ "a": 1 })),
        (json!(""), json!({})),
        (json!(null), json!({})),
        (json!({ "a": 1 }), json!({ "a": 1 })),
        (json!("{broken"), json!("{broken")),
    ] {
        let call = json!({ "id": "f", "name": "note", "arguments": arguments });
        talk.told(json!({ "type": "FunctionCallRequest", "functions": [call] }));
        assert!(matches!(&talk.says()[..], [Says::Calls(call)] if call.arguments == read));
    }
}

#[test]
fn keys_are_said_to_deepgram_once_it_takes_them() {
    let mut talk = Talk::new(Deepgram::new(persona(Rate::Hz8000)));
    talk.press("5");
    talk.told(json!({ "type": "Welcome" }));
    assert_eq!(talk.sent().len(), 1, "the settings");
    talk.told(json!({ "type": "SettingsApplied" }));
    talk.silence(50);
    let told = json!({ "type": "InjectUserMessage", "content": "The caller pressed 5 on the keypad." });
    assert_eq!(talk.sent(), std::slice::from_ref(&told));
    // It speaks: once it has spoken.
    talk.told(json!({ "type": "InjectionRefused", "message": "" }));
    assert_eq!(talk.sent(), [] as [Value; 0]);
    talk.told(json!({ "type": "AgentAudioDone" }));
    assert_eq!(talk.sent(), std::slice::from_ref(&told));
    talk.told(json!({ "type": "AgentAudioDone" }));
    assert_eq!(talk.sent(), [] as [Value; 0]);
    // Nobody has said that.
    talk.told(text("user", "The caller pressed 5 on the keypad."));
    assert_eq!(talk.says(), []);
}

#[test]
fn why_deepgram_fails_is_told_in_words_that_are_not_its_own() {
    for (ready, code, description, told) in [
        (
            false,
            "INVALID_SETTINGS",
            "Invalid agent.think settings - model not available",
            "in agent.think, a model is not",
        ),
        (false, "UNPARSABLE_CLIENT_MESSAGE", "hunter2", "does not know something in the bot's settings"),
        (true, "FAILED_TO_SPEAK", "hunter2", "voice failed (FAILED_TO_SPEAK)"),
        (true, "THINK_REQUEST_FAILED", "hunter2", "language model failed"),
        (true, "the caller said hunter2", "", "failed (no code given)"),
    ] {
        let mut talk = Talk::new(Deepgram::new(persona(Rate::Hz8000)));
        talk.told(json!({ "type": "Welcome" }));
        if ready {
            talk.told(json!({ "type": "SettingsApplied" }));
        }
        talk.told(json!({ "type": "Error", "code": code, "description": description }));
        let why = talk.failed();
        assert!(why.contains(told) && !why.contains("hunter2"), "{why}");
    }
    let mut early = Deepgram::new(persona(Rate::Hz8000));
    assert!(matches!(early.ended(Ended::Closed), Then::Failed(why) if why.contains("settings")));
    assert_eq!(deepgram(persona(Rate::Hz8000)).dialect.ended(Ended::Closed), Then::Done);
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
