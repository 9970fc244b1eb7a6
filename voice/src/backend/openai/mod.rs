//! OpenAI Realtime, and who speaks its language: Azure OpenAI in the shape of before and in today's, xAI, Inworld.
//!
//! What is known: event names of today and of before (`response.output_audio.delta`, `response.audio.delta`) from OA and
//! LK; that `audio_end_ms` beyond what there is is an error from PC; one response at a time, and its error code, from
//! openai-agents-python#1466; a model that one may not use is told in `response.done` (openai-realtime-console#561); a
//! service that answers in another format than it was asked for from AS, hence `session.updated` is believed rather than
//! what was asked. Azure's `api-key` and `api-version` from its documentation.
//!
//! What is not known: whether each of them answers `session.update` when it dislikes it with our `event_id` (so every
//! error before the session is there ends it); whether a truncated item's own length may be some 85 ms less than what was
//! sent of it (PC #2106: so what was heard but for a little is left as it is); what xAI and Inworld do at their session's
//! end.
//!
//! It is long because it is one conversation's state, which every event reads and changes.

mod setup;
mod turns;

use std::{collections::VecDeque, fmt, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    Brief, Dialect, Ended, Heard, Message, Out, Persona, Says, Speaker, Then, ToolCall,
    keys::Keys,
    sound::{Format, Sound},
};
use crate::{Dtmf, Law, Rate, payload};
use setup::{Session, plain};
use turns::{Turns, heard_of, utterance};

/// By which an error names what it is about.
const SETUP: &str = "patchbay_session";
const ASKED: &str = "patchbay_response";
/// What is whole but for this was heard: the service counts a little less of its own sound than it has sent (PC #2106).
const NEARLY: Duration = Duration::from_millis(100);
/// Of each: what is beyond is from a service that does not know what it does.
const PIECES: usize = 64;
const CALLS: usize = 64;
const STALE: usize = 16;
const TEXT_BYTES: usize = 64 * 1024;
const ID_BYTES: usize = 256;
/// A service that fails to answer once may do so again; then it does not answer.
const FAILURES: u32 = 2;
const PACKET_MS: u64 = 20;

/// What the bot is saying, or has said and may not have been heard.
struct Piece {
    item: String,
    content: u64,
    response: Option<String>,
    /// Bytes of it that came, as the service counts.
    came: u64,
    /// Bytes of it that went to the call.
    said: u64,
    text: String,
    /// No more of its sound comes.
    ended: bool,
}

#[derive(Debug)]
struct Response {
    id: Option<String>,
    /// It was interrupted: nothing of it is wanted.
    stale: bool,
}

/// A conversation in this dialect.
pub struct OpenAi {
    persona: Persona,
    /// The session is as it was asked to be.
    ready: bool,
    hears: Format,
    says: Format,
    to_service: Sound,
    to_call: Sound,
    /// A byte that is half of a sample.
    half: Option<u8>,
    transcribes: bool,
    interrupts: bool,
    response: Option<Response>,
    /// Asked for, and not begun.
    asked: bool,
    /// To be asked for when the one that goes on has ended.
    wanted: bool,
    /// Responses of which nothing is wanted any more.
    stale: VecDeque<String>,
    /// The caller speaks.
    speaking: bool,
    /// Said since the last [`Says::Clear`], and not known to have been heard.
    pieces: VecDeque<Piece>,
    /// Bytes of the call's audio that were said before these, since then.
    before: u64,
    /// A [`Says::Clear`] is under way.
    clearing: bool,
    turns: Turns,
    /// Tools that were called, by the service's id: whether they were answered.
    calls: VecDeque<(String, bool)>,
    /// The names of calls that have not been made yet: where only their beginning says it.
    names: VecDeque<(String, String)>,
    keys: Keys,
    failures: u32,
    /// Nothing is to be asked of it any more.
    over: bool,
}

/// What people say and press stands in it.
impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi").field("ready", &self.ready).field("hears", &self.hears).finish_non_exhaustive()
    }
}

impl OpenAi {
    pub fn new(persona: Persona) -> Self {
        let format = Format::pcm(Rate::Hz24000);
        let rate = persona.rate;
        Self {
            persona,
            ready: false,
            hears: format,
            says: format,
            to_service: Sound::to_service(rate, format),
            to_call: Sound::from_service(format, rate),
            half: None,
            transcribes: true,
            interrupts: true,
            response: None,
            asked: false,
            wanted: false,
            stale: VecDeque::new(),
            speaking: false,
            pieces: VecDeque::new(),
            before: 0,
            clearing: false,
            turns: Turns::default(),
            calls: VecDeque::new(),
            names: VecDeque::new(),
            keys: Keys::new(rate),
            failures: 0,
            over: false,
        }
    }

    /// The session is what the service says it is, else what was asked.
    fn follow(&mut self, session: &Session, out: &mut Out) {
        let before = (self.hears, self.says);
        for (said, ours) in [(&session.hears, &mut self.hears), (&session.says, &mut self.says)] {
            match said {
                Some(Ok(format)) => *ours = *format,
                Some(Err(format)) => {
                    out.say(Says::Failed(format!(
                        "the service's audio is {format}, which is not spoken here: set audio/pcm at 24000, audio/pcmu or \
                         audio/pcma in options"
                    )));
                }
                None => {}
            }
        }
        if before != (self.hears, self.says) {
            self.to_service = Sound::to_service(self.persona.rate, self.hears);
            self.to_call = Sound::from_service(self.says, self.persona.rate);
        }
        self.transcribes = session.transcribes.unwrap_or(self.transcribes);
        self.interrupts = session.interrupts.unwrap_or(self.interrupts);
    }

    fn updated(&mut self, event: &Value, out: &mut Out) {
        self.follow(&Session::read(&event["session"]), out);
        if std::mem::replace(&mut self.ready, true) {
            return;
        }
        if let Some(greeting) = self.persona.greeting.as_deref().map(str::trim).filter(|said| !said.is_empty()) {
            let instructions = format!(
                "The call has just been answered. Greet the caller: say exactly the following, in its own language, and \
                 nothing else: {greeting}"
            );
            self.asked = true;
            out.json(&json!({
                "type": "response.create", "event_id": ASKED, "response": { "instructions": instructions },
            }));
        }
    }

    /// The model is to speak; at once, or when it has done with what it says.
    fn ask(&mut self, out: &mut Out) {
        if self.over {
            return;
        }
        if self.response.is_some() || self.asked {
            self.wanted = true;
            return;
        }
        self.asked = true;
        out.json(&json!({ "type": "response.create", "event_id": ASKED }));
    }

    fn begun(&mut self, event: &Value) {
        self.asked = false;
        self.response = Some(Response { id: id(&event["response"]["id"]), stale: false });
    }

    fn done(&mut self, event: &Value, out: &mut Out) {
        let response = &event["response"];
        let of = id(&response["id"]);
        for at in (0..self.pieces.len()).rev() {
            if self.pieces[at].response == of {
                // Of one that was not completed this is the text there is.
                let said = utterance(Speaker::Bot, &self.pieces[at].item, &self.pieces[at].text);
                self.turns.said_if_waiting(said, out);
                self.end_of(at, out);
            }
        }
        // Of what went on and was not this one the end is still to come.
        if self.response.as_ref().is_some_and(|on| on.id.is_none() || of.is_none() || on.id == of) {
            self.response = None;
        }
        let error = &response["status_details"]["error"];
        match response["status"].as_str() {
            Some("failed") => {
                if let Some(why) = fatal(error) {
                    return out.say(Says::Failed(why));
                }
                self.failures += 1;
                if self.failures >= FAILURES {
                    let code = error["code"].as_str().or(error["type"].as_str()).unwrap_or("no reason given");
                    return out.say(Says::Failed(format!("the service fails to answer: {}", plain(code))));
                }
                self.wanted = true;
            }
            Some("completed") => self.failures = 0,
            _ => {}
        }
        if self.response.is_none() && std::mem::take(&mut self.wanted) {
            self.ask(out);
        }
    }

    /// Whether a response's events are not wanted.
    fn is_stale(&self, response: Option<&str>) -> bool {
        match (response, &self.response) {
            (Some(of), _) if self.stale.iter().any(|stale| stale == of) => true,
            (Some(_), _) => false,
            (None, Some(on)) => on.stale,
            (None, None) => false,
        }
    }

    /// What the item says, which begins with the first of it.
    fn piece(&mut self, event: &Value, out: &mut Out) -> Option<usize> {
        let response = id(&event["response_id"]);
        if self.is_stale(response.as_deref()) {
            return None;
        }
        let (item, content) = (id(&event["item_id"])?, event["content_index"].as_u64().unwrap_or(0));
        if let Some(at) = self.pieces.iter().position(|piece| piece.item == item && piece.content == content) {
            return Some(at);
        }
        if self.pieces.len() >= PIECES {
            let oldest = self.pieces.pop_front();
            self.before += oldest.map_or(0, |piece| piece.said);
        }
        self.turns.begin(&item, out);
        self.to_call.reset();
        self.half = None;
        self.pieces.push_back(Piece { item, content, response, came: 0, said: 0, text: String::new(), ended: false });
        Some(self.pieces.len() - 1)
    }

    fn audio(&mut self, event: &Value, out: &mut Out) {
        let Some(at) = self.piece(event, out) else { return };
        let mut coded = Vec::new();
        coded.extend(self.half.take());
        let before = coded.len() as u64;
        if !payload::decode(event["delta"].as_str().unwrap_or_default().as_bytes(), &mut coded) {
            return;
        }
        self.pieces[at].came += coded.len() as u64 - before;
        if self.says.law == Law::Linear && coded.len() % 2 == 1 {
            self.half = coded.pop();
        }
        let pcm = self.to_call.expand(&coded);
        if !pcm.is_empty() {
            self.pieces[at].said += pcm.len() as u64;
            out.say(Says::Audio(pcm));
        }
    }

    /// No more of its sound comes. It is filled up here, so that what was heard can be counted, and marked, so that it is
    /// known when all of it was.
    fn end_of(&mut self, at: usize, out: &mut Out) {
        let packet = self.persona.rate.bytes_of_ms(PACKET_MS);
        let piece = &mut self.pieces[at];
        if std::mem::replace(&mut piece.ended, true) {
            return;
        }
        let missing = piece.said.next_multiple_of(packet) - piece.said;
        if missing > 0 {
            piece.said += missing;
            out.say(Says::Audio(vec![0; missing as usize]));
        }
        if piece.said > 0 {
            out.say(Says::Finished);
            out.say(Says::Mark(piece.item.clone()));
        } else {
            // There is nothing to be heard.
            self.pieces.remove(at);
        }
    }

    fn text(&mut self, event: &Value, out: &mut Out) {
        let Some(at) = self.piece(event, out) else { return };
        let (piece, delta) = (&mut self.pieces[at], event["delta"].as_str().unwrap_or_default());
        if piece.text.len() + delta.len() <= TEXT_BYTES {
            piece.text.push_str(delta);
        }
    }

    fn text_done(&mut self, event: &Value, out: &mut Out) {
        let (Some(item), false) = (id(&event["item_id"]), self.is_stale(id(&event["response_id"]).as_deref())) else {
            return;
        };
        let mut text = event["transcript"].as_str().unwrap_or_default().to_owned();
        cut_at(&mut text, TEXT_BYTES);
        self.turns.said(utterance(Speaker::Bot, &item, &text), out);
        if let Some(piece) = self.pieces.iter_mut().find(|piece| piece.item == item) {
            piece.text = text;
        }
    }

    fn audio_done(&mut self, event: &Value, out: &mut Out) {
        let item = id(&event["item_id"]);
        if let Some(at) = self.pieces.iter().position(|piece| Some(&piece.item) == item.as_ref()) {
            self.end_of(at, out);
        }
    }

    /// The caller wants to be heard: nothing that waits is said any more.
    fn interrupt(&mut self, out: &mut Out) {
        let going = self.response.as_ref().is_some_and(|on| !on.stale);
        if (self.pieces.is_empty() && !going) || self.clearing {
            return;
        }
        self.wanted = false;
        let of_pieces = self.pieces.iter().filter_map(|piece| piece.response.clone());
        let on = self.response.as_ref().and_then(|on| on.id.clone());
        for response in of_pieces.chain(on).collect::<Vec<_>>() {
            if !self.stale.contains(&response) {
                self.stale.push_back(response);
            }
        }
        self.stale.drain(..self.stale.len().saturating_sub(STALE));
        if let Some(on) = &mut self.response {
            on.stale = true;
        }
        self.clearing = true;
        out.say(Says::Clear);
    }

    /// It was obeyed: the service is told what was heard of what it has said.
    fn cleared(&mut self, heard: Duration, out: &mut Out) {
        let rate = self.persona.rate;
        let mut left = (heard.as_micros() as u64 * rate.bytes_per_second() / 1_000_000).saturating_sub(self.before);
        self.clearing = false;
        self.before = 0;
        for piece in std::mem::take(&mut self.pieces) {
            let heard = left.min(piece.said);
            left -= heard;
            let (heard, there) = (rate.duration(heard), self.duration(piece.came));
            let heard = heard.min(there);
            if piece.ended && heard + NEARLY >= there {
                self.turns.reached(&piece.item, out);
                continue;
            }
            let (ms, of) = (heard.as_millis() as u64, there.as_millis() as u64);
            if piece.came > 0 {
                out.json(&json!({
                    "type": "conversation.item.truncate", "item_id": piece.item, "content_index": piece.content,
                    "audio_end_ms": ms,
                }));
            }
            let mut said = utterance(Speaker::Bot, &piece.item, &heard_of(&piece.text, ms, of));
            said.cut = true;
            self.turns.said(said, out);
        }
    }

    /// How long so much of the service's sound is.
    fn duration(&self, bytes: u64) -> Duration {
        match self.says.law {
            Law::Linear => self.says.rate.duration(bytes),
            Law::Mu | Law::A => self.says.rate.duration(2 * bytes),
        }
    }

    /// A mark came back: up to it all was heard. While it is cleared, marks come back of what was not.
    fn reached(&mut self, item: &str, out: &mut Out) {
        if self.clearing {
            return;
        }
        let Some(at) = self.pieces.iter().position(|piece| piece.item == item && piece.ended) else { return };
        self.before += self.pieces.drain(..=at).map(|piece| piece.said).sum::<u64>();
        self.turns.reached(item, out);
    }

    fn speaks(&mut self, out: &mut Out) {
        self.speaking = true;
        self.asked = false;
        if self.interrupts {
            self.interrupt(out);
        }
    }

    /// What he has said is whole, and its text comes later.
    fn committed(&mut self, event: &Value, out: &mut Out) {
        if let Some(item) = id(&event["item_id"]).filter(|_| self.transcribes) {
            self.turns.all(out);
            self.turns.begin(&item, out);
        }
    }

    fn transcribed(&mut self, event: &Value, out: &mut Out) {
        let Some(item) = id(&event["item_id"]) else { return };
        let mut text = event["transcript"].as_str().unwrap_or_default().trim().to_owned();
        cut_at(&mut text, TEXT_BYTES);
        match text.is_empty() {
            true => self.turns.silent(&item, out),
            false => self.turns.said(utterance(Speaker::Caller, &item, &text), out),
        }
    }

    fn item_added(&mut self, event: &Value) {
        let item = &event["item"];
        if let (Some("function_call"), Some(call), Some(name)) =
            (item["type"].as_str(), id(&item["call_id"]), id(&item["name"]))
        {
            self.names.push_back((call, name));
            self.names.drain(..self.names.len().saturating_sub(CALLS));
        }
    }

    /// Both of its ends say so, in some services only one: it is made once.
    fn calls(&mut self, call: &Value, response: &Value, out: &mut Out) {
        let (Some(id_of), false) = (id(&call["call_id"]), self.is_stale(id(response).as_deref())) else { return };
        let known = self.names.iter().find(|(id, _)| *id == id_of).map(|(_, name)| name.clone());
        let Some(name) = id(&call["name"]).or(known) else { return };
        if self.calls.iter().any(|(id, _)| *id == id_of) || self.calls.len() >= CALLS && !self.calls[0].1 {
            return;
        }
        if self.calls.len() >= CALLS {
            self.calls.pop_front();
        }
        let text = call["arguments"].as_str().unwrap_or_default();
        let arguments = match text.trim().is_empty() {
            true => Value::Object(Map::new()),
            false => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        };
        self.calls.push_back((id_of.clone(), false));
        out.say(Says::Calls(ToolCall { id: id_of, name, arguments }));
    }

    fn answered(&mut self, answer: &super::Answer, out: &mut Out) {
        let output = match &answer.output {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        out.json(&json!({
            "type": "conversation.item.create",
            "item": { "type": "function_call_output", "call_id": answer.id, "output": output },
        }));
        if let Some(call) = self.calls.iter_mut().find(|(id, _)| *id == answer.id) {
            call.1 = true;
        }
        if answer.last {
            self.over = true;
            self.wanted = false;
        }
        // Of several it speaks when it has all; and who speaks over it is answered with them.
        if self.calls.iter().all(|(_, answered)| *answered) && !(self.speaking && self.interrupts) {
            self.ask(out);
        }
    }

    /// A key interrupts as a word does; the service has not heard it.
    fn pressed(&mut self, key: &Dtmf, out: &mut Out) {
        self.keys.press(key);
        if self.response.as_ref().is_some_and(|on| !on.stale) {
            out.json(&json!({ "type": "response.cancel" }));
        }
        self.interrupt(out);
    }

    fn tell(&mut self, text: &str, out: &mut Out) {
        out.json(&json!({
            "type": "conversation.item.create",
            "item": { "type": "message", "role": "user", "content": [{ "type": "input_text", "text": text }] },
        }));
        self.ask(out);
    }

    fn error(&mut self, error: &Value, out: &mut Out) {
        if let Some(why) = fatal(error) {
            return out.say(Says::Failed(why));
        }
        let (code, about) = (error["code"].as_str().unwrap_or_default(), error["event_id"].as_str());
        if !self.ready || about == Some(SETUP) {
            let param = error["param"].as_str().map(|param| format!(" ({})", plain(param))).unwrap_or_default();
            let code = if code.is_empty() { error["type"].as_str().unwrap_or_default() } else { code };
            return out.say(Says::Failed(format!(
                "the service does not take the session's settings: {}{param}; see options",
                plain(code)
            )));
        }
        if code == "conversation_already_has_active_response" {
            // Its own was first: ours comes behind it.
            self.asked = false;
            self.wanted = !self.over;
        } else if about == Some(ASKED) {
            self.asked = false;
        }
    }
}

impl Dialect for OpenAi {
    fn credential(&self, key: &str) -> (&'static str, String) {
        match setup::is_azure(&self.persona.url) {
            true => ("api-key", key.to_owned()),
            false => ("authorization", format!("Bearer {key}")),
        }
    }

    fn opened(&mut self, brief: &Brief, out: &mut Out) {
        let message = setup::message(&self.persona, brief);
        self.follow(&Session::read(&message["session"]), out);
        out.json(&message);
    }

    fn came(&mut self, message: &[u8], _: bool, out: &mut Out) {
        let Ok(event) = serde_json::from_slice::<Value>(message) else { return };
        match event["type"].as_str().unwrap_or_default() {
            "session.updated" => self.updated(&event, out),
            "input_audio_buffer.speech_started" => self.speaks(out),
            "input_audio_buffer.speech_stopped" => {
                self.speaking = false;
                out.say(Says::CallerDone);
            }
            "input_audio_buffer.committed" => self.committed(&event, out),
            "conversation.item.input_audio_transcription.completed"
            | "conversation.item.input_audio_transcription.failed" => self.transcribed(&event, out),
            "response.created" => self.begun(&event),
            "response.output_audio.delta" | "response.audio.delta" => self.audio(&event, out),
            "response.output_audio.done" | "response.audio.done" => self.audio_done(&event, out),
            "response.output_audio_transcript.delta" | "response.audio_transcript.delta" => self.text(&event, out),
            "response.output_audio_transcript.done" | "response.audio_transcript.done" => self.text_done(&event, out),
            "response.output_item.added" => self.item_added(&event),
            "response.output_item.done" => {
                let item = &event["item"];
                // What was cancelled in the middle of its arguments is no call.
                if item["type"] == "function_call" && item["status"] != "incomplete" {
                    self.calls(item, &event["response_id"], out);
                }
            }
            "response.function_call_arguments.done" => self.calls(&event, &event["response_id"], out),
            "response.done" => self.done(&event, out),
            "error" => self.error(&event["error"], out),
            _ => {}
        }
    }

    fn takes(&self) -> bool {
        self.ready
    }

    fn hear(&mut self, heard: Heard<'_>, out: &mut Out) {
        match heard {
            Heard::Audio(pcm) => {
                let mut text = String::from("{\"type\":\"input_audio_buffer.append\",\"audio\":\"").into_bytes();
                payload::encode(self.to_service.code(pcm), &mut text);
                text.extend_from_slice(b"\"}");
                out.send.push_back(Message::Text(String::from_utf8(text).unwrap_or_default()));
                if let Some(keys) = self.keys.passed(pcm.len()) {
                    self.tell(&keys, out);
                }
            }
            Heard::Dtmf(key) => self.pressed(key, out),
            Heard::Mark(item) => self.reached(item, out),
            Heard::Cleared { heard } => self.cleared(heard, out),
            Heard::Answered(answer) => self.answered(answer, out),
        }
    }

    fn over(&mut self, out: &mut Out) {
        self.turns.all(out);
    }

    /// It never hangs up of itself: whoever closes has ended the session, as OpenAI does after 60 minutes.
    fn ended(&mut self, ended: Ended) -> Then {
        match ended {
            Ended::Closed => Then::Failed("ended the session, which lasts an hour at most".to_owned()),
            // "invalid_request_error.invalid_api_key"
            Ended::Failed { why, said, .. } => {
                let code = said.rsplit('.').next().unwrap_or_default();
                Then::Failed(fatal(&json!({ "code": code })).unwrap_or(why))
            }
        }
    }
}

/// An id as it may be kept.
fn id(value: &Value) -> Option<String> {
    value.as_str().filter(|id| !id.is_empty() && id.len() <= ID_BYTES).map(str::to_owned)
}

fn cut_at(text: &mut String, bytes: usize) {
    let at = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.truncate(at);
}

/// What a person must mend, in words of ours: a service's own may hold a part of the key.
fn fatal(error: &Value) -> Option<String> {
    let code = error["code"].as_str().unwrap_or_default();
    let why = match code {
        "invalid_api_key" | "unauthorized" | "401" => "the service does not take the key: see api_key",
        "insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active" | "account_deactivated" => {
            "the account with the service has nothing left to spend, or is not active"
        }
        "model_not_found" | "DeploymentNotFound" => {
            "the service has no such model, or not for this key: see model in url"
        }
        "session_expired" => "the service ended the session, which lasts an hour at most",
        "beta_api_shape_disabled" => "the service takes the header OpenAI-Beta no longer: take it away from headers",
        _ => match error["type"].as_str()? {
            "authentication_error" | "permission_error" => "the service does not take the key: see api_key",
            _ => return None,
        },
    };
    Some(why.to_owned())
}
