//! What an answer looks like: each applet's body, in the form that its `Exotel-Version` header asks for.

use actix_web::{HttpResponse, http::StatusCode};
use serde_json::{Map, Value, json};

use crate::call::{
    applet::{Gather, Playback, Sound},
    route::{Decision, Routing},
};

/// An applet that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hooks) enum Applet {
    /// "Dial phone number(s) returned by URL".
    DialWhom,
    /// "Configure parameters dynamically by providing a URL".
    Connect,
    Gather,
    Greeting,
    /// What is heard around a conversation.
    Playback,
    /// A synchronous Passthru.
    Decide,
    /// A synchronous Passthru before a Switch Case.
    Switch,
    /// A Passthru at the start of a flow: is there a bot for this call?
    Answer,
    /// Behind a voicebot: is a human to go on, and who?
    DialUp,
}

impl Applet {
    const ALL: [Self; 9] = [
        Self::DialWhom,
        Self::Connect,
        Self::Gather,
        Self::Greeting,
        Self::Playback,
        Self::Decide,
        Self::Switch,
        Self::Answer,
        Self::DialUp,
    ];

    pub(in crate::hooks) fn as_str(self) -> &'static str {
        match self {
            Self::DialWhom => "dialwhom",
            Self::Connect => "connect",
            Self::Gather => "gather",
            Self::Greeting => "greeting",
            Self::Playback => "playback",
            Self::Decide => "decide",
            Self::Switch => "switch",
            Self::Answer => "answer",
            Self::DialUp => "dial-up",
        }
    }

    /// The applet that a path's last segment names.
    pub(in crate::hooks) fn of(segment: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|applet| applet.as_str() == segment)
    }
}

/// The form of an answer to a Connect applet (exotel-api §4.6, §4.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// No version: "Dial phone number(s) returned by URL".
    Plain,
    /// `1.0`: "Configure parameters dynamically by providing a URL".
    Numbers,
    /// `1.1`: the same for the call centre.
    Contacts,
}

impl Form {
    pub(super) fn of(applet: Applet, version: Option<&str>) -> Self {
        match version {
            // Its URL stands in the field of the dynamic parameters: it is no list of numbers.
            None | Some("") if applet == Applet::Connect => Self::Numbers,
            None | Some("") => Self::Plain,
            Some("1.1") => Self::Contacts,
            Some(_) => Self::Numbers,
        }
    }

    /// Nobody to dial is an answer too: the flow goes on under "We didn't dial anyone".
    pub(super) fn dial(self, decision: &Decision, rules: &Routing) -> HttpResponse {
        let numbers = &decision.numbers;
        let destination = match self {
            Self::Plain => return text(numbers.join(",")),
            Self::Numbers => json!({ "numbers": numbers }),
            Self::Contacts => numbers.iter().map(|number| json!({ "contact_uri": number })).collect(),
        };
        // Exotel's default is not to record; what this answer replaces in the flow builder is a ticked box.
        let mut body = json!({
            "fetch_after_attempt": decision.more,
            "destination": destination,
            "record": rules.record,
        });
        if let Some(seconds) = rules.ring_seconds {
            body["max_ringing_duration"] = json!(seconds);
        }
        if decision.together {
            // Ten is the most there may be (exotel-api §4.7).
            body["parallel_ringing"] = json!({ "activate": true, "max_parallel_attempts": numbers.len().min(10) });
        }
        HttpResponse::Ok().json(body)
    }
}

/// `text/plain`, and nothing else (exotel-api §4.9).
pub(super) fn text(text: impl Into<String>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body(text.into())
}

/// A synchronous Passthru reads the status alone: 200 takes one branch of the flow, anything else the other.
pub(super) fn branch(holds: bool) -> HttpResponse {
    let status = if holds { StatusCode::OK } else { StatusCode::FOUND };
    HttpResponse::build(status).content_type("text/plain").body(if holds { "yes" } else { "no" })
}

/// The case a Switch Case takes (exotel-api §4.5).
pub(super) fn select(case: &str) -> HttpResponse {
    text(json!({ "select": case }).to_string())
}

fn sound(sound: &Sound) -> Value {
    match sound {
        Sound::Text(text) => json!({ "text": text }),
        Sound::Audio(url) => json!({ "audio_url": url }),
    }
}

pub(super) fn gather(gather: &Gather) -> HttpResponse {
    let mut body = json!({
        "gather_prompt": sound(&gather.prompt),
        "max_input_digits": gather.max_digits,
        "finish_on_key": gather.finish_on_key,
        "input_timeout": gather.timeout_seconds,
        "repeat_menu": gather.repeat,
    });
    if let Some(prompt) = &gather.repeat_prompt {
        body["repeat_gather_prompt"] = sound(prompt);
    }
    HttpResponse::Ok().json(body)
}

pub(super) fn playback(playback: &Playback) -> HttpResponse {
    let heard = |sound: &Sound| -> Map<String, Value> {
        let kind = match sound {
            Sound::Text(_) => "text",
            Sound::Audio(_) => "audio_url",
        };
        [("type".to_owned(), json!(kind)), ("value".to_owned(), json!(sound.text()))].into_iter().collect()
    };
    let mut body = json!({});
    if let Some(sound) = &playback.start {
        let mut start = heard(sound);
        start.insert("playback_to".to_owned(), json!(if playback.start_to_both { "both" } else { "callee" }));
        body["start_call_playback"] = start.into();
    }
    if let Some(sound) = &playback.during {
        let mut during = heard(sound);
        during.insert("start_delay".to_owned(), json!(playback.during_after_seconds));
        during.insert("repeat_frequency".to_owned(), json!(playback.during_every_seconds));
        during.insert("play_to_callee".to_owned(), json!(true));
        during.insert("play_to_caller".to_owned(), json!(true));
        body["in_call_playback"] = during.into();
    }
    if let Some(sound) = &playback.end {
        body["end_call_playback"] = heard(sound).into();
    }
    HttpResponse::Ok().json(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_the_version() {
        for (applet, version, form) in [
            (Applet::DialWhom, None, Form::Plain),
            (Applet::DialWhom, Some(""), Form::Plain),
            (Applet::DialWhom, Some("1.0"), Form::Numbers),
            (Applet::DialWhom, Some("1.1"), Form::Contacts),
            (Applet::DialWhom, Some("2"), Form::Numbers),
            (Applet::Connect, None, Form::Numbers),
            (Applet::Connect, Some("1.1"), Form::Contacts),
        ] {
            assert_eq!(Form::of(applet, version), form, "{applet:?} {version:?}");
        }
    }

    #[test]
    fn applets_are_named_as_their_paths() {
        for applet in Applet::ALL {
            assert_eq!(Applet::of(applet.as_str()), Some(applet));
        }
        assert_eq!(Applet::of("call-events"), None);
    }
}
