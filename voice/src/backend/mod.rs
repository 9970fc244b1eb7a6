//! What a bot's backend is told and what it wants, as values; and the services among them, each as a dialect: what it is
//! sent, and what its messages mean. No dialect knows a socket, a clock or another dialect.

mod brief;
mod deepgram;
mod elevenlabs;
mod gemini;
mod keys;
mod openai;
mod pause;
pub mod sound;
mod spoken;
mod talk;
pub mod tool;

use std::{collections::VecDeque, fmt, time::Duration};

use serde_json::{Map, Value};

use crate::{Dtmf, Rate};

pub use brief::{Brief, Contact, Ticket};
pub use deepgram::Deepgram;
pub use elevenlabs::Elevenlabs;
pub use gemini::Gemini;
pub use openai::OpenAi;
pub use talk::{Speaker, Utterance};
pub use tool::{Answer, Tool, ToolCall};

/// What a backend is told.
#[derive(Debug, Clone, Copy)]
pub enum Heard<'a> {
    /// PCM16 of the caller's at the call's rate, some 20 ms of it.
    Audio(&'a [u8]),
    Dtmf(&'a Dtmf),
    /// A mark of its own was reached, or will never be.
    Mark(&'a str),
    /// Its [`Says::Clear`] has been obeyed. Of the audio that it had said since the one before, so much was heard.
    Cleared {
        heard: Duration,
    },
    /// What came of a [`Says::Calls`].
    Answered(&'a Answer),
}

/// What it wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Says {
    /// PCM16 at the call's rate: any number of bytes.
    Audio(Vec<u8>),
    /// What it is saying is whole: the rest of a frame waits for nothing.
    Finished,
    Mark(String),
    /// What was not heard yet is not wanted any more. It is answered with [`Heard::Cleared`].
    Clear,
    /// The caller has stopped speaking: what he waits for the answer counts from here.
    CallerDone,
    /// Somebody has said something, as text.
    Said(Utterance),
    /// Something is to be done. It is answered with [`Heard::Answered`], unless it is withdrawn.
    Calls(ToolCall),
    /// The call of a tool with this id is not wanted any more.
    Withdrawn(String),
    /// It is done: what it has said is played, then the flow goes on.
    Done,
    /// It cannot go on, and why: without a credential, without what somebody said.
    Failed(String),
}

/// Who a bot is, as its account has set it up.
#[derive(Clone, Default, PartialEq)]
pub struct Persona {
    /// What a model is told of how to behave.
    pub instructions: Option<String>,
    /// What the bot says first, of itself.
    pub greeting: Option<String>,
    /// Laid over what the service is sent first, so that whatever it can do can be asked of it.
    pub options: Map<String, Value>,
    pub tools: Vec<Tool>,
    /// Of the call's audio.
    pub rate: Rate,
    /// Where the service is. A credential may stand in it.
    pub url: String,
}

impl fmt::Debug for Persona {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Persona").field("rate", &self.rate).field("tools", &self.tools.len()).finish_non_exhaustive()
    }
}

/// A message of a websocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Text(String),
    Binary(Vec<u8>),
}

impl Message {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// Where a dialect puts what it wants, in order.
#[derive(Debug, Default, PartialEq)]
pub struct Out {
    /// To the service.
    pub send: VecDeque<Message>,
    /// To the call.
    pub says: VecDeque<Says>,
    /// The connection is to be made anew, now: the service has said that this one ends. [`Dialect::opened`] follows.
    pub reconnect: bool,
}

impl Out {
    /// A message of JSON.
    pub fn json(&mut self, message: &Value) {
        self.send.push_back(Message::Text(message.to_string()));
    }

    pub fn say(&mut self, says: Says) {
        self.says.push_back(says);
    }
}

/// How a connection with a service ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// In order (close code 1000, 1001 or none).
    Closed,
    /// With another code, as far as there was one.
    /// `said`: the service's own words, to be understood and not shown: anything could stand in them.
    Failed { code: Option<u16>, why: String, said: String },
}

/// What follows from that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// The bot is done.
    Done,
    /// The service can go on where it was, on a new connection.
    Reconnect,
    Failed(String),
}

/// How one service is spoken with: values in, values out.
pub trait Dialect: Send {
    /// The header that a key goes in, and its value.
    fn credential(&self, key: &str) -> (&'static str, String) {
        ("authorization", format!("Bearer {key}"))
    }

    /// The connection is open, for the first time or again.
    fn opened(&mut self, brief: &Brief, out: &mut Out);

    /// What came from the service.
    fn came(&mut self, message: &[u8], binary: bool, out: &mut Out);

    /// Whether it takes the caller's audio now: once the service has said that it is ready. Until then it is kept.
    fn takes(&self) -> bool;

    /// What was heard. Audio only while it [takes](Dialect::takes) it; the rest at any time while the connection is open.
    fn hear(&mut self, heard: Heard<'_>, out: &mut Out);

    /// The call is over, and nothing is sent any more: what was said and has not been told is told now.
    fn over(&mut self, _: &mut Out) {}

    /// The connection has ended, whoever ended it.
    fn ended(&mut self, ended: Ended) -> Then {
        match ended {
            Ended::Closed => Then::Done,
            Ended::Failed { why, .. } => Then::Failed(why),
        }
    }

    /// After so long without anything sent, [`Dialect::idle`] is asked. `None`: never.
    fn keep_alive(&self) -> Option<Duration> {
        None
    }

    fn idle(&mut self, _: &mut Out) {}
}

/// Lays one object over another, member by member; what is no object replaces, `null` takes away.
pub fn lay_over(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                if value.is_null() {
                    under.remove(name);
                } else {
                    lay_over(under.entry(name.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (under, over) => *under = over.clone(),
    }
}

/// A code that a service uses, if it is one: whatever else it says may hold what somebody said.
fn code(said: &Value) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    said.as_str().filter(|said| (1..=48).contains(&said.len()) && said.chars().all(plain))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn options_lie_over_what_is_sent_and_leave_what_they_do_not_name() {
        let mut sent = json!({"session": {"type": "realtime", "audio": {"output": {"voice": "marin", "speed": 1.0}}}});
        let over = json!({"session": {"audio": {"output": {"voice": "cedar", "speed": null}}, "tools": [1]}});
        super::lay_over(&mut sent, &over);
        assert_eq!(
            sent,
            json!({"session": {"type": "realtime", "audio": {"output": {"voice": "cedar"}}, "tools": [1]}})
        );
    }
}
