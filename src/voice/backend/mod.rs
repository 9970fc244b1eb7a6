//! Who answers a caller, behind one small trait: a session does not know which it has. Everything happens in the session's
//! own task: a backend is told what was heard and asked what is to be said, and never waits in between.

mod echo;
mod exotel;
mod socket;
mod twilio;

use std::task::{Context, Poll};

use patchbay_voice::Dtmf;
use socket::Socket;

use super::{call::Call, line::Message};
use crate::{app::Services, config::Backend as Which, directory::Bot};

/// What a backend is told.
pub(super) enum Heard<'a> {
    /// A frame of Exotel's, where it takes frames.
    Frame(Message),
    /// PCM16 at the call's rate, 20 ms of it.
    Audio(&'a [u8]),
    Dtmf(&'a Dtmf),
    /// A mark of its own was reached, or will never be.
    Mark(String),
}

/// What it wants.
#[derive(Debug)]
pub(super) enum Says {
    /// Whatever it took before is under way: there may be room for more.
    Ready,
    /// For Exotel, unchanged.
    Frame(Message),
    /// PCM16 at the call's rate: any number of bytes.
    Audio(Vec<u8>),
    Mark(String),
    /// What was not heard yet is not wanted any more.
    Clear,
    /// It is done: what it has said is played, then the flow goes on.
    Done,
    /// It cannot go on, and why.
    Failed(String),
}

/// In what form a backend hears and says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Exotel's own frames, unchanged and at its own pace.
    Frames,
    /// Audio and events; pace and marks are the session's.
    Audio,
}

pub(super) trait Backend {
    fn form(&self) -> Form;

    /// Whether it takes the caller's audio or frames now. Keys and marks it takes at any time.
    fn takes(&self) -> bool;

    fn hear(&mut self, heard: Heard<'_>);

    /// What it wants next. It is asked again after whatever it heard.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Says>;

    /// The session is over: what was given to it goes out, as long as somebody waits for that.
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// The backend of a bot, as it begins.
///
/// # Errors
/// Why there is none, in words.
pub(super) fn open(services: &Services, bot: &Bot, call: &Call) -> Result<Box<dyn Backend>, String> {
    if bot.secrets_lost {
        return Err("its address and credentials were sealed with another master key: give them anew".to_owned());
    }
    let socket = || Socket::open(bot, services.sessions.tls(), services.config.voicebot.connect_timeout);
    match bot.backend {
        Which::Echo => Ok(Box::<echo::Echo>::default()),
        Which::Exotel => Ok(Box::new(exotel::Exotel::new(socket()?))),
        Which::Twilio => Ok(Box::new(twilio::Twilio::new(socket()?, call))),
        Which::OpenaiRealtime | Which::GeminiLive | Which::Elevenlabs | Which::Deepgram => {
            Err(format!("the backend {} is not built into this version", bot.backend.as_str()))
        }
    }
}
