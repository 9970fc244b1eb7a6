//! OpenAI Realtime, as it is documented and seen, against the dialect: what it is told, what it does, what it never does.

mod support;

use std::time::Duration;

use patchbay_voice::{
    Dtmf, Rate,
    backend::{
        Answer, Brief, Dialect, Ended, Heard, Message, OpenAi, Out, Persona, Says, Speaker, Then, Tool, ToolCall,
        Utterance,
    },
    payload,
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};
use support::events;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn persona(rate: Rate) -> Persona {
    Persona {
        instructions: Some("Be brief.".to_owned()),
        rate,
        url: "wss://api.openai.com/v1/realtime?model=gpt-realtime".to_owned(),
        ..Persona::default()
    }
}

/// A conversation, and what came of the last thing that happened.
struct Talk {
    dialect: OpenAi,
    out: Out,
}

impl Talk {
    fn of(persona: Persona) -> (Self, Value) {
        let mut talk = Self { dialect: OpenAi::new(persona), out: Out::default() };
        talk.dialect.opened(&Brief { call_sid: "c1".to_owned(), ..Brief::default() }, &mut talk.out);
        let first = talk.sent().remove(0);
        (talk, first)
    }

    /// At 8 kHz, with the session as asked for.
    fn on() -> Self {
        Self::with(persona(Rate::Hz8000))
    }

    fn with(persona: Persona) -> Self {
        let (mut talk, first) = Self::of(persona);
        assert!(!talk.dialect.takes());
        talk.came(json!({ "type": "session.updated", "session": first["session"] }));
        assert!(talk.dialect.takes());
        talk
    }

    fn came(&mut self, event: Value) {
        self.dialect.came(event.to_string().as_bytes(), false, &mut self.out);
    }

    fn hear(&mut self, heard: Heard<'_>) {
        self.dialect.hear(heard, &mut self.out);
    }

    fn press(&mut self, digit: &str) {
        self.hear(Heard::Dtmf(&Dtmf { digit: digit.to_owned(), duration_ms: None }));
    }

    fn sent(&mut self) -> Vec<Value> {
        let messages = self.out.send.drain(..);
        messages.map(|message| serde_json::from_slice(message.bytes()).expect("JSON")).collect()
    }

    fn says(&mut self) -> Vec<Says> {
        self.out.says.drain(..).collect()
    }

    fn begins(&mut self, response: &str) {
        self.came(json!({ "type": "response.created", "response": { "id": response, "status": "in_progress" } }));
    }

    fn ends(&mut self, response: &str, status: &str) {
        self.came(json!({ "type": "response.done", "response": { "id": response, "status": status } }));
    }

    /// The bot says something for so long, in A-law.
    fn audio(&mut self, response: &str, item: &str, ms: usize) {
        let mut delta = Vec::new();
        payload::encode(&vec![0xd5; ms * 8], &mut delta);
        self.came(json!({
            "type": "response.output_audio.delta", "response_id": response, "item_id": item, "output_index": 0,
            "content_index": 0, "delta": String::from_utf8(delta).expect("ASCII"),
        }));
    }

    fn of_item(&mut self, kind: &str, response: &str, item: &str, more: Value) {
        let mut event = json!({
            "type": format!("response.{kind}"), "response_id": response, "item_id": item, "content_index": 0,
        });
        event.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        self.came(event);
    }

    /// A whole answer.
    fn answer(&mut self, response: &str, item: &str, ms: usize, text: &str) {
        self.begins(response);
        self.of_item("output_audio_transcript.delta", response, item, json!({ "delta": text }));
        self.audio(response, item, ms);
        self.of_item("output_audio.done", response, item, json!({}));
        self.of_item("output_audio_transcript.done", response, item, json!({ "transcript": text }));
        self.ends(response, "completed");
    }

    fn caller_speaks(&mut self) {
        self.came(json!({ "type": "input_audio_buffer.speech_started", "audio_start_ms": 1, "item_id": "u" }));
    }
}

fn texts(says: &[Says]) -> Vec<(Speaker, &str, bool)> {
    let said = says.iter().filter_map(|says| if let Says::Said(said) = says { Some(said) } else { None });
    said.map(|said| (said.speaker, said.text.as_str(), said.cut)).collect()
}

fn audio_ms(says: &[Says], rate: Rate) -> u64 {
    let bytes = says.iter().map(|says| if let Says::Audio(pcm) = says { pcm.len() as u64 } else { 0 });
    rate.duration(bytes.sum()).as_millis() as u64
}

#[test]
fn the_session_is_asked_for_in_the_shape_and_with_the_key_that_the_service_takes() {
    let tools = vec![Tool {
        name: "look_up".to_owned(),
        description: "Looks an order up.".to_owned(),
        parameters: json!({ "type": "object", "properties": { "order": { "type": "integer" } } }),
    }];
    let (talk, first) = Talk::of(Persona { tools: tools.clone(), ..persona(Rate::Hz8000) });
    let session = &first["session"];
    assert_eq!((&first["type"], &session["type"]), (&json!("session.update"), &json!("realtime")));
    assert_eq!(session["audio"]["input"]["format"], json!({ "type": "audio/pcma" }));
    assert_eq!(session["audio"]["input"]["turn_detection"]["interrupt_response"], true);
    assert_eq!(session["audio"]["output"], json!({ "format": { "type": "audio/pcma" } }));
    assert_eq!(session["tools"][0]["name"], "look_up");
    assert!(session["instructions"].as_str().is_some_and(|text| text.starts_with("Be brief.\n\nAbout this call")));
    assert_eq!(talk.dialect.credential("k"), ("authorization", "Bearer k".to_owned()));
    for rate in [Rate::Hz16000, Rate::Hz24000] {
        let (_, first) = Talk::of(persona(rate));
        assert_eq!(first["session"]["audio"]["output"]["format"], json!({ "type": "audio/pcm", "rate": 24000 }));
        assert!(first["session"].get("tools").is_none());
    }
    for (url, flat) in [
        ("wss://acme.openai.azure.com/openai/realtime?api-version=2025-04-01-preview&deployment=rt", true),
        ("wss://acme.openai.azure.com/openai/v1/realtime?model=rt", false),
    ] {
        let (talk, first) = Talk::of(Persona { url: url.to_owned(), ..persona(Rate::Hz8000) });
        assert_eq!(talk.dialect.credential("k"), ("api-key", "k".to_owned()));
        let session = &first["session"];
        assert_eq!(session["input_audio_format"] == "g711_alaw", flat, "{session}");
        assert_eq!(session["modalities"] == json!(["audio", "text"]), flat, "{session}");
        assert_eq!(session["audio"].is_object() && session["type"] == "realtime", !flat, "{session}");
        let transcription =
            if flat { &session["input_audio_transcription"] } else { &session["audio"]["input"]["transcription"] };
        assert_eq!(transcription["model"], "whisper-1");
    }
    // No host that only looks like it.
    let elsewhere = Persona { url: "wss://azure.com.example.org/x".to_owned(), ..persona(Rate::Hz8000) };
    assert_eq!(Talk::of(elsewhere).0.dialect.credential("k").0, "authorization");
}

#[test]
fn options_lie_over_the_session_and_the_format_follows_what_the_service_says_it_is() {
    let options = json!({ "session": { "audio": { "input": { "format": { "type": "audio/pcmu" } },
        "output": { "voice": "cedar", "format": { "type": "audio/pcmu" } } } } });
    let options = options.as_object().expect("an object").clone();
    let (mut talk, first) = Talk::of(Persona { options, ..persona(Rate::Hz8000) });
    assert_eq!(first["session"]["audio"]["output"], json!({ "format": { "type": "audio/pcmu" }, "voice": "cedar" }));
    let mut session = first["session"].clone();
    talk.came(json!({ "type": "session.updated", "session": session }));
    talk.hear(Heard::Audio(&[0; 320]));
    assert_eq!(sent_bytes(&mut talk), vec![0xff; 160], "µ-law silence");
    // It takes µ-law, and answers in what it likes.
    session["audio"]["output"]["format"] = json!({ "type": "audio/pcm", "rate": 24000 });
    talk.came(json!({ "type": "session.updated", "session": session }));
    talk.begins("r1");
    talk.audio("r1", "i1", 600);
    assert_eq!(audio_ms(&talk.says(), Rate::Hz8000), 100, "4800 bytes are 100 ms at 24 kHz");
    session["audio"]["output"]["format"] = json!({ "type": "audio/opus\u{1b}[2J" });
    talk.came(json!({ "type": "session.updated", "session": session }));
    let [Says::Failed(why)] = &talk.says()[..] else { panic!("it cannot go on") };
    assert!(why.contains("audio/opus") && why.contains("audio/pcmu") && !why.contains('\u{1b}'), "{why}");
}

fn sent_bytes(talk: &mut Talk) -> Vec<u8> {
    let mut bytes = Vec::new();
    for sent in talk.sent() {
        assert_eq!(sent["type"], "input_audio_buffer.append");
        assert!(payload::decode(sent["audio"].as_str().expect("audio").as_bytes(), &mut bytes));
    }
    bytes
}

#[test]
fn it_greets_once_when_the_session_is_there_and_otherwise_waits_to_be_spoken_to() {
    let greeting = Some("Namaste, this is Acme.".to_owned());
    let mut talk = Talk::with(Persona { greeting, ..persona(Rate::Hz8000) });
    let sent = talk.sent();
    assert_eq!(sent[0]["type"], "response.create");
    let instructions = sent[0]["response"]["instructions"].as_str().expect("instructions");
    assert!(sent.len() == 1 && instructions.ends_with("Namaste, this is Acme."), "{sent:?}");
    talk.came(json!({ "type": "session.updated", "session": {} }));
    assert_eq!(talk.sent(), Vec::<Value>::new());
    assert_eq!(Talk::on().sent(), Vec::<Value>::new());
}

#[test]
fn an_answer_is_heard_whole_marked_at_its_end_and_told_as_text() {
    let mut talk = Talk::on();
    // 30 ms are no whole packets: what is missing is filled up.
    talk.answer("r1", "i1", 30, "Hello.");
    let says = talk.says();
    let [Says::Audio(sound), Says::Audio(rest), Says::Finished, Says::Mark(mark), Says::Said(said)] = &says[..] else {
        panic!("{says:?}")
    };
    assert_eq!((sound.len(), rest, mark.as_str()), (480, &vec![0; 160], "i1"));
    let told = Utterance { speaker: Speaker::Bot, text: "Hello.".to_owned(), id: Some("i1".to_owned()), cut: false };
    assert_eq!(*said, told);
    // It was heard, so the caller interrupts nothing.
    talk.hear(Heard::Mark("i1"));
    talk.caller_speaks();
    talk.came(json!({ "type": "input_audio_buffer.speech_stopped", "audio_end_ms": 2, "item_id": "u" }));
    assert_eq!((talk.says(), talk.sent().len()), (vec![Says::CallerDone], 0));
}

#[test]
fn whoever_interrupts_hears_no_more_of_it_and_the_service_learns_what_was_heard() {
    let mut talk = Talk::on();
    talk.begins("r1");
    talk.of_item("output_audio_transcript.delta", "r1", "i1", json!({ "delta": "One two three four five six." }));
    talk.audio("r1", "i1", 1000);
    talk.says();
    talk.caller_speaks();
    assert_eq!(talk.says(), [Says::Clear]);
    talk.hear(Heard::Cleared { heard: MS(480) });
    let truncate =
        json!({ "type": "conversation.item.truncate", "item_id": "i1", "content_index": 0, "audio_end_ms": 480 });
    assert_eq!(talk.sent(), [truncate]);
    assert_eq!(texts(&talk.says()), [(Speaker::Bot, "One two three", true)]);
    // What still comes of it is late.
    talk.audio("r1", "i1", 500);
    talk.of_item("output_audio.done", "r1", "i1", json!({}));
    talk.of_item("output_audio_transcript.done", "r1", "i1", json!({ "transcript": "One two three four five six." }));
    talk.ends("r1", "cancelled");
    talk.caller_speaks();
    assert_eq!((talk.says(), talk.sent().len()), (vec![], 0), "nothing is left to interrupt");
    // And the next one is heard.
    talk.answer("r2", "i2", 40, "Yes?");
    assert_eq!(audio_ms(&talk.says(), Rate::Hz8000), 40);
}

#[test]
fn what_was_heard_is_counted_over_all_that_was_said_since_the_last_interruption() {
    let mut talk = Talk::on();
    for (item, ms) in [("i1", 210), ("i2", 400), ("i3", 600)] {
        talk.answer(&format!("r-{item}"), item, ms, "One two three four.");
    }
    // 220 with what was filled up.
    talk.hear(Heard::Mark("i1"));
    talk.says();
    talk.caller_speaks();
    // Marks of what is cleared come back as if it had been heard.
    talk.hear(Heard::Mark("i2"));
    talk.hear(Heard::Cleared { heard: MS(220 + 200) });
    let truncated: Vec<_> =
        talk.sent().iter().map(|sent| (sent["item_id"].clone(), sent["audio_end_ms"].clone())).collect();
    assert_eq!(truncated, [(json!("i2"), json!(200)), (json!("i3"), json!(0))]);
    // They had been told whole.
    assert_eq!(texts(&talk.says()), [(Speaker::Bot, "One two", true), (Speaker::Bot, "", true)]);
    // What is said of the audio from now on is counted anew; never more than there is.
    talk.answer("r4", "i4", 400, "One two.");
    talk.begins("r5");
    talk.audio("r5", "i5", 100);
    talk.caller_speaks();
    talk.hear(Heard::Cleared { heard: MS(9000) });
    assert_eq!(
        talk.sent(),
        [json!({
            "type": "conversation.item.truncate", "item_id": "i5", "content_index": 0, "audio_end_ms": 100,
        })]
    );
}

#[test]
fn what_was_heard_but_for_a_little_stays_as_it_is() {
    let mut talk = Talk::on();
    talk.answer("r1", "i1", 1000, "One two three.");
    talk.says();
    talk.caller_speaks();
    talk.hear(Heard::Cleared { heard: MS(920) });
    assert_eq!((talk.sent().len(), talk.says()), (0, vec![Says::Clear]));
}

#[test]
fn a_service_that_may_not_be_interrupted_is_not() {
    let mut talk = Talk::on();
    talk.came(json!({ "type": "session.updated", "session": { "audio": { "input": {
        "turn_detection": { "type": "server_vad", "interrupt_response": false } } } } }));
    talk.begins("r1");
    talk.audio("r1", "i1", 1000);
    talk.says();
    talk.caller_speaks();
    assert_eq!(talk.says(), []);
}

#[test]
fn texts_of_both_come_in_the_order_they_were_spoken() {
    let mut talk = Talk::on();
    talk.came(json!({ "type": "input_audio_buffer.committed", "item_id": "u1" }));
    talk.answer("r1", "i1", 100, "On its way.");
    talk.came(json!({ "type": "conversation.item.input_audio_transcription.completed", "item_id": "u1",
        "transcript": "Where is it?\n" }));
    assert_eq!(texts(&talk.says()), [(Speaker::Caller, "Where is it?", false), (Speaker::Bot, "On its way.", false)]);
    // One that cannot be read holds up nothing; nor does one that never comes.
    talk.came(json!({ "type": "input_audio_buffer.committed", "item_id": "u2" }));
    talk.answer("r2", "i2", 100, "Pardon?");
    talk.came(json!({ "type": "conversation.item.input_audio_transcription.failed", "item_id": "u2",
        "error": { "code": "audio_unintelligible" } }));
    talk.came(json!({ "type": "input_audio_buffer.committed", "item_id": "u3" }));
    talk.answer("r3", "i3", 100, "Hello?");
    talk.hear(Heard::Mark("i3"));
    assert_eq!(texts(&talk.says()), [(Speaker::Bot, "Pardon?", false), (Speaker::Bot, "Hello?", false)]);
}

fn call(talk: &mut Talk, id: &str, arguments: &str) {
    // Both say it; it is one call.
    let item = json!({ "type": "function_call", "status": "completed", "name": "look_up", "call_id": id,
        "arguments": arguments });
    talk.of_item(
        "function_call_arguments.done",
        "r1",
        "f1",
        json!({ "call_id": id, "name": "look_up",
        "arguments": arguments }),
    );
    talk.came(json!({ "type": "response.output_item.done", "response_id": "r1", "item": item }));
}

fn answer(id: &str, last: bool) -> Answer {
    let output = json!({ "status": "on its way" });
    Answer { id: id.to_owned(), name: "look_up".to_owned(), output, failed: false, last }
}

#[test]
fn a_tool_is_called_once_and_the_model_speaks_when_it_has_all_the_answers() {
    let mut talk = Talk::on();
    talk.begins("r1");
    call(&mut talk, "call_1", "{\"order\":12}");
    call(&mut talk, "call_2", "");
    let called =
        |id: &str, arguments: Value| Says::Calls(ToolCall { id: id.to_owned(), name: "look_up".to_owned(), arguments });
    assert_eq!(talk.says(), [called("call_1", json!({ "order": 12 })), called("call_2", json!({}))]);
    talk.hear(Heard::Answered(&answer("call_1", false)));
    let sent = talk.sent();
    assert_eq!(
        sent,
        [json!({ "type": "conversation.item.create", "item": { "type": "function_call_output",
        "call_id": "call_1", "output": "{\"status\":\"on its way\"}" } })]
    );
    // The response that called goes on: one at a time.
    talk.hear(Heard::Answered(&answer("call_2", false)));
    assert_eq!(talk.sent().len(), 1);
    talk.ends("r1", "completed");
    assert_eq!(talk.sent()[0]["type"], "response.create");
    // The service had begun one of its own, and ends it: ours comes behind.
    talk.came(json!({ "type": "error", "error": { "type": "invalid_request_error",
        "code": "conversation_already_has_active_response" } }));
    assert_eq!((talk.sent().len(), talk.says().len()), (0, 0));
    talk.ends("r7", "completed");
    assert_eq!(talk.sent().len(), 1);
}

#[test]
fn after_its_last_tool_it_is_asked_nothing_more() {
    let mut talk = Talk::on();
    talk.begins("r1");
    call(&mut talk, "call_1", "not json");
    let [Says::Calls(called)] = &talk.says()[..] else { panic!("a call") };
    assert_eq!(called.arguments, json!("not json"));
    talk.hear(Heard::Answered(&answer("call_1", true)));
    assert_eq!(talk.sent().len(), 1);
    talk.ends("r1", "completed");
    assert_eq!(talk.sent(), Vec::<Value>::new());
}

#[test]
fn a_call_that_was_cancelled_or_interrupted_is_none_and_its_name_may_stand_at_its_beginning() {
    let mut talk = Talk::on();
    talk.begins("r1");
    let item = json!({ "type": "function_call", "status": "incomplete", "name": "look_up", "call_id": "c",
        "arguments": "{\"or" });
    talk.came(json!({ "type": "response.output_item.done", "response_id": "r1", "item": item }));
    talk.caller_speaks();
    talk.hear(Heard::Cleared { heard: MS(0) });
    call(&mut talk, "d", "{}");
    assert_eq!(talk.says(), [Says::Clear]);
    talk.begins("r2");
    let item = json!({ "type": "function_call", "status": "in_progress", "name": "look_up", "call_id": "e" });
    talk.came(json!({ "type": "response.output_item.added", "response_id": "r2", "item": item }));
    talk.of_item("function_call_arguments.done", "r2", "f2", json!({ "call_id": "e", "arguments": "{}" }));
    assert!(matches!(&talk.says()[..], [Says::Calls(called)] if called.name == "look_up"));
}

#[test]
fn keys_are_one_message_when_no_more_come_and_interrupt_as_words_do() {
    let mut talk = Talk::on();
    talk.begins("r1");
    talk.audio("r1", "i1", 1000);
    talk.says();
    talk.press("1");
    assert_eq!((talk.says(), talk.sent()), (vec![Says::Clear], vec![json!({ "type": "response.cancel" })]));
    talk.hear(Heard::Cleared { heard: MS(20) });
    talk.press("2");
    talk.ends("r1", "cancelled");
    talk.sent();
    for _ in 0..75 {
        talk.hear(Heard::Audio(&[0; 320]));
    }
    let mut sent = talk.sent();
    sent.retain(|sent| sent["type"] != "input_audio_buffer.append");
    assert_eq!(
        sent[0]["item"]["content"],
        json!([{ "type": "input_text", "text": "The caller pressed 12 on the keypad." }])
    );
    assert_eq!((sent.len(), &sent[1]["type"]), (2, &json!("response.create")));
    talk.begins("r2");
    talk.ends("r2", "completed");
    // With # nobody waits.
    talk.press("4");
    talk.press("#");
    talk.hear(Heard::Audio(&[0; 320]));
    assert!(talk.sent()[1].to_string().contains("pressed 4# on"));
}

#[test]
fn when_the_caller_hangs_up_the_texts_are_what_he_heard() {
    let mut talk = Talk::on();
    talk.came(json!({ "type": "input_audio_buffer.committed", "item_id": "u1" }));
    talk.answer("r1", "i1", 1000, "One two three four.");
    assert_eq!(texts(&talk.says()), [], "the caller's text is waited for");
    talk.hear(Heard::Cleared { heard: MS(500) });
    talk.dialect.over(&mut talk.out);
    assert_eq!(texts(&talk.says()), [(Speaker::Bot, "One two", true)]);
}

#[test]
fn what_a_person_must_mend_ends_it_in_words_and_the_rest_does_not() {
    let error = |code: &str| {
        json!({ "type": "error", "error": { "type": "invalid_request_error", "code": code,
        "message": "Incorrect API key provided: sk-hunter2", "param": "session.voice" } })
    };
    for (code, told) in [
        ("invalid_api_key", "api_key"),
        ("insufficient_quota", "nothing left"),
        ("model_not_found", "model"),
        ("session_expired", "an hour"),
    ] {
        let mut talk = Talk::on();
        talk.came(error(code));
        let [Says::Failed(why)] = &talk.says()[..] else { panic!("{code}") };
        assert!(why.contains(told) && !why.contains("hunter"), "{why}");
    }
    // Nobody would ever hear anything if the session were not what was asked.
    let (mut talk, _) = Talk::of(persona(Rate::Hz8000));
    talk.came(error("invalid_value"));
    let [Says::Failed(why)] = &talk.says()[..] else { panic!("it cannot begin") };
    assert!(why.contains("invalid_value (session.voice)") && !why.contains("hunter"), "{why}");
    let mut talk = Talk::on();
    for code in ["response_cancel_not_active", "invalid_value", "item_truncate_invalid_item_id"] {
        talk.came(error(code));
    }
    assert_eq!((talk.says(), talk.sent().len()), (vec![], 0));
    // Who fails to answer is asked once more.
    let failed = json!({ "type": "response.done", "response": { "id": "r", "status": "failed",
        "status_details": { "error": { "type": "server_error", "code": "rate_limit_exceeded" } } } });
    talk.came(failed.clone());
    assert_eq!((talk.says(), talk.sent().len()), (vec![], 1));
    talk.came(failed);
    assert_eq!(talk.says(), [Says::Failed("the service fails to answer: rate_limit_exceeded".to_owned())]);
    let ended = talk.dialect.ended(Ended::Closed);
    assert!(matches!(ended, Then::Failed(why) if why.contains("an hour")));
    for (said, told) in [("invalid_request_error.invalid_api_key", "api_key"), ("sk-hunter2", "code 3000")] {
        let why = "closed the connection with code 3000".to_owned();
        let ended = talk.dialect.ended(Ended::Failed { code: Some(3000), why, said: said.to_owned() });
        assert!(matches!(ended, Then::Failed(why) if why.contains(told)), "{said}");
    }
}

/// The documented conversation, from its first event to its last.
#[test]
fn the_published_events_are_a_conversation() {
    let mut talk = Talk::with(Persona { greeting: Some("Good morning".to_owned()), ..persona(Rate::Hz8000) });
    let (mut said, mut failed, mut called) = (Vec::new(), 0, 0);
    for event in events("openai", "from") {
        talk.came(event);
        for says in talk.says() {
            match says {
                Says::Said(one) => said.push(one.text),
                Says::Failed(_) => failed += 1,
                Says::Calls(call) => {
                    called += 1;
                    talk.hear(Heard::Answered(&answer(&call.id, false)));
                }
                Says::Mark(name) => talk.hear(Heard::Mark(&name)),
                Says::Clear => talk.hear(Heard::Cleared { heard: MS(60) }),
                _ => {}
            }
        }
    }
    assert_eq!(said, ["Good morning, Acme speaking.", "Where is my order?", "Hello"]);
    assert_eq!((failed, called), (1, 1), "the last event is a failure");
    // What is documented of the other direction is what was sent: the same types with the same members.
    let sent = talk.sent();
    for wanted in events("openai", "to") {
        let wanted = wanted.as_object().expect("an object");
        let alike = |sent: &Value| sent["type"] == wanted["type"] && wanted.keys().all(|key| sent.get(key).is_some());
        let first = wanted["type"] == "session.update" || wanted["type"] == "input_audio_buffer.append";
        assert!(first || sent.iter().any(alike), "{wanted:?}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Came(Vec<u8>),
    Audio,
    Key,
    Mark(String),
    Cleared(u64),
    Answered(String),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let event = proptest::sample::select(events("openai", "from"));
    let event = event.prop_map(|event| event.to_string().into_bytes());
    let broken = support::broken(events("openai", "from"));
    let name = || proptest::sample::select(vec!["item_b1", "item_b2", "item_b9", "call_1", ""]).prop_map(str::to_owned);
    vec(
        prop_oneof![
            6 => event.prop_map(Step::Came),
            4 => broken.prop_map(Step::Came),
            1 => vec(any::<u8>(), 0..60).prop_map(Step::Came),
            2 => Just(Step::Audio),
            1 => Just(Step::Key),
            1 => name().prop_map(Step::Mark),
            1 => (0u64..100_000).prop_map(Step::Cleared),
            1 => name().prop_map(Step::Answered),
        ],
        0..120,
    )
}

proptest! {
    /// Whatever comes, in whatever order: it says and sends only what may be said and sent, and keeps a bounded amount.
    #[test]
    fn whatever_comes_it_goes_on(rate in proptest::sample::select(Rate::ALL.to_vec()), steps in steps()) {
        let mut talk = Talk::with(persona(rate));
        let mut clears = 0u32;
        for step in steps {
            match step {
                Step::Came(bytes) => talk.dialect.came(&bytes, false, &mut talk.out),
                Step::Audio => talk.hear(Heard::Audio(&vec![0; rate.bytes_of_ms(20) as usize])),
                Step::Key => talk.press("5"),
                Step::Mark(name) => talk.hear(Heard::Mark(&name)),
                Step::Cleared(ms) => {
                    clears = 0;
                    talk.hear(Heard::Cleared { heard: MS(ms) });
                }
                Step::Answered(id) => talk.hear(Heard::Answered(&answer(&id, false))),
            }
            for says in talk.says() {
                match says {
                    Says::Clear => clears += 1,
                    Says::Audio(pcm) => prop_assert!(pcm.len() % 2 == 0 && !pcm.is_empty()),
                    Says::Done => prop_assert!(false, "it never hangs up"),
                    _ => {}
                }
            }
            prop_assert!(clears <= 1, "one clear is answered before the next");
            for sent in talk.sent() {
                prop_assert!(sent["type"].is_string());
                if sent["type"] == "conversation.item.truncate" {
                    prop_assert!(sent["audio_end_ms"].is_u64() && sent["item_id"].is_string());
                }
            }
        }
    }
}

#[test]
fn messages_of_either_opcode_are_read_and_nothing_of_a_call_stands_in_debug() {
    let mut talk = Talk::on();
    let event = json!({ "type": "response.created", "response": { "id": "r1" } }).to_string();
    talk.dialect.came(event.as_bytes(), true, &mut talk.out);
    talk.audio("r1", "i1", 20);
    talk.press("7");
    assert_eq!(talk.says().last(), Some(&Says::Clear));
    assert!(!format!("{:?}", talk.dialect).contains('7'));
    assert!(matches!(talk.out.send.pop_front(), Some(Message::Text(_))));
}
