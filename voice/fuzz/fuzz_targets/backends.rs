//! What a service sends, in any order and with anything in it, while the caller speaks and hangs on: no dialect panics, and
//! what one message makes of itself has a bound.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use patchbay_voice::{
    Dtmf, Rate,
    backend::{Answer, Brief, Deepgram, Dialect, Elevenlabs, Ended, Gemini, Heard, OpenAi, Out, Persona, Says},
};

fuzz_target!(|stream: &[u8]| {
    let persona = || Persona { rate: Rate::Hz8000, greeting: Some("Hello.".to_owned()), ..Persona::default() };
    let dialects: [Box<dyn Dialect>; 4] = [
        Box::new(OpenAi::new(persona())),
        Box::new(Gemini::new(persona())),
        Box::new(Elevenlabs::new(persona())),
        Box::new(Deepgram::new(persona())),
    ];
    for mut dialect in dialects {
        let mut out = Out::default();
        dialect.opened(&Brief::default(), &mut out);
        for (at, line) in stream.split(|byte| *byte == b'\n').enumerate() {
            // A line of the fixtures has its source beside it; a service may say anything.
            let inner = serde_json::from_slice::<serde_json::Value>(line).ok().and_then(|line| line.get("event").cloned());
            let inner = inner.map(|inner| inner.to_string().into_bytes());
            let message = inner.as_deref().unwrap_or(line);
            dialect.came(message, at % 5 == 4, &mut out);
            if dialect.takes() {
                dialect.hear(Heard::Audio(&[0; 320]), &mut out);
            }
            for says in out.says.drain(..) {
                let mut reply = Out::default();
                match says {
                    // 8 samples of 24 kHz make no more than one of 8; base64 makes less of what came.
                    Says::Audio(pcm) => assert!(pcm.len() <= message.len() * 4 + 8192),
                    Says::Said(utterance) => assert!(utterance.text.len() <= stream.len() * 8 + 4096),
                    Says::Clear => dialect.hear(Heard::Cleared { heard: Duration::from_millis(300) }, &mut reply),
                    Says::Mark(name) => dialect.hear(Heard::Mark(&name), &mut reply),
                    Says::Calls(call) => {
                        let output = serde_json::json!({ "ok": true });
                        let answer = Answer { id: call.id, name: call.name, output, failed: false, last: at % 2 == 0 };
                        dialect.hear(Heard::Answered(&answer), &mut reply);
                    }
                    _ => {}
                }
                assert!(reply.send.len() < 1000);
            }
            assert!(out.send.len() < 1000, "what one message asks for has a bound");
            out.send.clear();
            if at % 7 == 3 {
                let key = Dtmf { digit: "5".to_owned(), duration_ms: None };
                dialect.hear(Heard::Dtmf(&key), &mut out);
            }
        }
        let _ = dialect.ended(Ended::Closed);
    }
});
