//! Who answers a caller, behind one small trait: a session does not know which it has. Everything happens in the session's
//! own task: a backend is told what was heard and asked what is to be said, and never waits in between.

mod echo;
mod exotel;
mod service;
mod socket;
mod twilio;

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use patchbay_voice::backend::{Brief, Deepgram, Dialect, Elevenlabs, Gemini, Heard, OpenAi, Persona, Says};

use super::{call::Call, line::Message, tools};
use crate::{app::Services, config::Backend as Which, directory::Bot};
use service::Service;
use socket::{Reach, Socket};

/// What it wants of its session.
#[derive(Debug)]
pub(super) enum Wants {
    /// Nothing: whatever it took before is under way, there may be room for more.
    More,
    /// A frame of its own to go to Exotel unchanged, where it has frames.
    Frame(Message),
    That(Says),
}

impl From<Says> for Wants {
    fn from(says: Says) -> Self {
        Self::That(says)
    }
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

    /// Who is calling, once that is known or was waited for long enough: its first message may say it. Comes once,
    /// before anything is heard; the connection is made meanwhile.
    fn begin(&mut self, _: Brief) {}

    /// Whether it begins better once it is known who calls.
    fn waits_for_brief(&self) -> bool {
        true
    }

    /// Whether it takes the caller's audio or frames now. Keys, marks and answers it takes at any time.
    fn takes(&self) -> bool;

    /// Whether it is making its connection anew: what the caller says meanwhile is all kept, as before the first one.
    fn away(&self) -> bool {
        false
    }

    /// A frame of Exotel's, where it has frames.
    fn frame(&mut self, _: Message) {}

    fn hear(&mut self, heard: Heard<'_>);

    /// What it wants next. It is asked again after whatever it heard.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Wants>;

    /// The session is over: what somebody said and was not told of yet.
    fn rest(&mut self) -> Vec<Says> {
        Vec::new()
    }

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
    let (tls, patience) = (services.sessions.tls(), services.config.voicebot.connect_timeout);
    let socket = || Ok::<Socket, String>(Reach::of(bot, Arc::clone(&tls), patience)?.connect());
    let service = |dialect: Box<dyn Dialect>| -> Result<Box<dyn Backend>, String> {
        let reach = Reach::with_credential(bot, Arc::clone(&tls), patience, |key| dialect.credential(key))?;
        Ok(Box::new(Service::new(reach, dialect)))
    };
    match bot.backend {
        Which::Echo => Ok(Box::<echo::Echo>::default()),
        Which::Exotel => Ok(Box::new(exotel::Exotel::new(socket()?))),
        Which::Twilio => Ok(Box::new(twilio::Twilio::new(socket()?, call))),
        Which::OpenaiRealtime => service(Box::new(OpenAi::new(persona(services, bot, call)))),
        Which::GeminiLive => service(Box::new(Gemini::new(persona(services, bot, call)))),
        Which::Elevenlabs => service(Box::new(Elevenlabs::new(persona(services, bot, call)))),
        Which::Deepgram => service(Box::new(Deepgram::new(persona(services, bot, call)))),
    }
}

/// Who the bot is, for a service.
fn persona(services: &Services, bot: &Bot, call: &Call) -> Persona {
    Persona {
        instructions: bot.instructions.clone(),
        greeting: bot.greeting.clone(),
        options: bot.options().clone(),
        tools: tools::declared(services, &call.account, bot),
        rate: call.rate,
        url: bot.url().unwrap_or_default().to_owned(),
    }
}
