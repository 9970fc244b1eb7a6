//! What a session is asked to be, and what the service says it is.

use serde_json::{Value, json};

use super::SETUP;
use crate::{
    Law, Rate,
    backend::{Brief, Persona, lay_over, sound::Format},
};

/// Where a session's settings stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `session.audio.input…`, as OpenAI and Azure's `/openai/v1/realtime` have it (OA), and xAI.
    Nested,
    /// `session.input_audio_format…`, of the time before: Azure's addresses with an `api-version` (LK).
    Flat,
}

impl Shape {
    /// Whoever writes options in one of the shapes has a service that wants it; else the address says it.
    pub(super) fn of(persona: &Persona) -> Self {
        let own = persona.options.get("session");
        let has = |name: &str| own.is_some_and(|own| own.get(name).is_some());
        let flat = ["modalities", "input_audio_format", "output_audio_format", "input_audio_transcription"];
        if has("audio") || has("output_modalities") {
            Self::Nested
        } else if flat.into_iter().any(has) || persona.url.contains("api-version=") {
            Self::Flat
        } else {
            Self::Nested
        }
    }
}

/// Whether the service is Azure's: its keys go in a header of their own, and its transcription is another.
pub(super) fn is_azure(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#', ':']).next().unwrap_or_default().to_ascii_lowercase();
    ["azure.com", "azure.us", "azure.cn"].iter().any(|known| host == *known || host.ends_with(&format!(".{known}")))
}

/// What is asked for unless the options say otherwise. At 8 kHz that is what a telephone line carries anyway, in India
/// A-law: nothing is lost that was there, and it has a sixth of the bytes of the service's own 24 kHz.
fn wanted(rate: Rate) -> Format {
    match rate {
        Rate::Hz8000 => Format { rate, law: Law::A },
        Rate::Hz16000 | Rate::Hz24000 => Format::pcm(Rate::Hz24000),
    }
}

fn word(shape: Shape, format: Format) -> Value {
    match (shape, format.law) {
        (Shape::Nested, Law::Linear) => json!({ "type": "audio/pcm", "rate": format.rate.hz() }),
        (Shape::Nested, Law::Mu) => json!({ "type": "audio/pcmu" }),
        (Shape::Nested, Law::A) => json!({ "type": "audio/pcma" }),
        (Shape::Flat, Law::Linear) => json!("pcm16"),
        (Shape::Flat, Law::Mu) => json!("g711_ulaw"),
        (Shape::Flat, Law::A) => json!("g711_alaw"),
    }
}

/// The first message.
pub(super) fn message(persona: &Persona, brief: &Brief) -> Value {
    let (shape, format) = (Shape::of(persona), wanted(persona.rate));
    let format = word(shape, format);
    let turns = json!({ "type": "server_vad", "create_response": true, "interrupt_response": true });
    // Azure knows the names of deployments, and this one is there without any.
    let azure = is_azure(&persona.url);
    let transcription = json!({ "model": if azure { "whisper-1" } else { "gpt-4o-mini-transcribe" } });
    let mut session = match shape {
        Shape::Nested => json!({
            "type": "realtime",
            "output_modalities": ["audio"],
            "audio": {
                "input": { "format": format, "transcription": transcription, "turn_detection": turns },
                "output": { "format": format },
            },
        }),
        Shape::Flat => json!({
            "modalities": ["audio", "text"],
            "input_audio_format": format,
            "output_audio_format": format,
            "input_audio_transcription": transcription,
            "turn_detection": turns,
        }),
    };
    session["instructions"] = brief.instructions(persona.instructions.as_deref()).into();
    if !persona.tools.is_empty() {
        let tool = |tool: &crate::backend::Tool| {
            json!({
                "type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters,
            })
        };
        session["tools"] = persona.tools.iter().map(tool).collect();
        session["tool_choice"] = "auto".into();
    }
    let mut message = json!({ "type": "session.update", "event_id": SETUP, "session": session });
    lay_over(&mut message, &Value::Object(persona.options.clone()));
    message
}

/// What matters of a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Session {
    /// What the service hears, and what it says. `None`: it does not tell. `Err`: what nobody here speaks.
    pub hears: Option<Result<Format, String>>,
    pub says: Option<Result<Format, String>>,
    /// The caller's words come as text.
    pub transcribes: Option<bool>,
    /// It stops by itself when the caller speaks.
    pub interrupts: Option<bool>,
}

impl Session {
    /// Of a `session`, in either shape.
    pub(super) fn read(session: &Value) -> Self {
        let (input, output) = (&session["audio"]["input"], &session["audio"]["output"]);
        let named = |nested: &Value, flat: &str| match nested["format"].is_null() {
            false => format(&nested["format"]),
            true => format(&session[flat]),
        };
        // There, and `null` where it is off.
        let either = |name: &str, flat: &str| input.get(name).or_else(|| session.get(flat)).cloned();
        let turns = either("turn_detection", "turn_detection");
        Self {
            hears: named(input, "input_audio_format"),
            says: named(output, "output_audio_format"),
            transcribes: either("transcription", "input_audio_transcription").map(|how| !how.is_null()),
            interrupts: turns.map(|turns| turns["interrupt_response"].as_bool().unwrap_or(true)),
        }
    }
}

/// `{"type": "audio/pcm", "rate": 24000}`, `{"type": "audio/pcmu"}`, `"pcm16"`, `"g711_ulaw"`.
fn format(said: &Value) -> Option<Result<Format, String>> {
    let name = said["type"].as_str().or(said.as_str())?.to_ascii_lowercase();
    let (law, usual) = match name.as_str() {
        "audio/pcmu" | "g711_ulaw" | "pcmu" => (Law::Mu, Rate::Hz8000),
        "audio/pcma" | "g711_alaw" | "pcma" => (Law::A, Rate::Hz8000),
        "audio/pcm" | "pcm16" | "pcm" => (Law::Linear, Rate::Hz24000),
        _ => return Some(Err(plain(&name))),
    };
    // G.711 has one rate, whatever a service leaves standing beside it.
    let rate = match &said["rate"] {
        rate if law == Law::Linear && !rate.is_null() => Rate::read(&rate.to_string()),
        _ => Some(usual),
    };
    match rate {
        Some(rate) => Some(Ok(Format { rate, law })),
        None => Some(Err(format!("{} at {}", plain(&name), plain(&said["rate"].to_string())))),
    }
}

/// A service's word, as it may stand in a sentence of ours: nothing long, nothing that is no word.
pub(super) fn plain(word: &str) -> String {
    let known = |c: &char| c.is_ascii_alphanumeric() || "_-./[] ".contains(*c);
    word.chars().filter(known).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_in_every_writing_that_is_known() {
        let law = |law| Some(Ok(Format { rate: Rate::Hz8000, law }));
        for (said, read) in [
            (json!({ "type": "audio/pcm", "rate": 24000 }), Some(Ok(Format::pcm(Rate::Hz24000)))),
            (json!({ "type": "audio/pcm" }), Some(Ok(Format::pcm(Rate::Hz24000)))),
            (json!({ "type": "audio/pcm", "rate": 8000.0 }), Some(Ok(Format::pcm(Rate::Hz8000)))),
            (json!({ "type": "audio/pcm", "rate": 44100 }), Some(Err("audio/pcm at 44100".to_owned()))),
            (json!("pcm16"), Some(Ok(Format::pcm(Rate::Hz24000)))),
            (json!({ "type": "audio/pcmu" }), law(Law::Mu)),
            (json!({ "type": "audio/pcma", "rate": 24000 }), law(Law::A)),
            (json!("g711_ulaw"), law(Law::Mu)),
            (json!("g711_alaw"), law(Law::A)),
            (json!("mp3\u{7}"), Some(Err("mp3".to_owned()))),
            (json!({ "rate": 8000 }), None),
            (json!(null), None),
        ] {
            assert_eq!(format(&said), read, "{said}");
        }
        let off = json!({ "audio": { "input": { "transcription": null, "turn_detection": null } } });
        let read = Session::read(&off);
        assert_eq!((read.transcribes, read.interrupts, read.hears), (Some(false), Some(true), None));
        assert_eq!(Session::read(&json!(7)), Session::default());
    }
}
