//! A Deepgram agent, made of its settings when a call begins: what it is told, and what is made of its events.

use super::*;

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
