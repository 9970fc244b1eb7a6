//! An ElevenLabs agent, set up there: what it is told of a call, and what is made of its events.

use super::*;

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
