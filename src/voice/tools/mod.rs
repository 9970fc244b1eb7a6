//! What a service may have done during a call: the tools that every bot has, and those of its own. They run beside the
//! session: whatever one takes, audio goes on.
//!
//! # How a bot does more than talk
//!
//! What a service calls a tool is checked and answered in words by `voice/tools`; what takes time runs beside the
//! session's loop. A hand-over stands in the call's context before the stream is closed, because the flow's Connect
//! applet asks at once; then what the bot was saying is played, and the stream closed. What was said, found out and
//! decided is gathered for three seconds at most and goes into the journal as numbered parts (`BotSaid`), so that a
//! crash leaves what came before it; the fold puts them together in any order, and the texts show what fits: of a talk
//! that does not, how it began and ended.

mod built_in;
mod endpoint;
mod targets;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::web::Data;
use futures_util::{
    StreamExt,
    future::{AbortHandle, Abortable, abortable},
    stream::FuturesUnordered,
};
use patchbay_voice::backend::{Answer, Tool, ToolCall};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::story::{End, Story};
use crate::{
    app::{self, Services},
    call::HandOver,
    config::tool::{BUILT_IN, HttpTool},
    directory::Bot,
    store::CallRef,
};
use built_in::Wish;
use endpoint::About;
use targets::Targets;

/// Of one session, at once: a model that wants more has lost its way.
const RUNNING: usize = 8;
/// Of what a model calls a tool with.
const ARGUMENT_BYTES: usize = 32 * 1024;

/// What a service is told that it can have done.
pub(super) fn declared(services: &Services, account: &str, bot: &Bot) -> Vec<Tool> {
    let own = bot.tools().iter().map(|tool| {
        let HttpTool { name, description, parameters, .. } = tool;
        Tool { name: name.clone(), description: description.clone(), parameters: parameters.clone() }
    });
    built_in::declared(&Targets::of(services, account, bot)).into_iter().chain(own).collect()
}

/// What came of a call of a tool.
pub(super) struct Came {
    pub(super) answer: Answer,
    /// The bot's part of the call is over, and how.
    pub(super) leaves: Option<(End, Option<String>)>,
    pub(super) handed_over: Option<HandOver>,
    pub(super) took: Duration,
}

impl fmt::Debug for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Came").field("answer", &self.answer).field("leaves", &self.leaves).finish_non_exhaustive()
    }
}

struct Running {
    id: String,
    name: String,
    work: Abortable<Pin<Box<dyn Future<Output = Came>>>>,
    abort: AbortHandle,
}

impl Future for Running {
    type Output = (String, Option<Came>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let came = std::task::ready!(Pin::new(&mut self.work).poll(cx)).ok();
        Poll::Ready((std::mem::take(&mut self.name), came))
    }
}

/// The tools of a session.
pub(super) struct Tools {
    services: Data<Services>,
    call: CallRef,
    about: About,
    bot: Bot,
    running: FuturesUnordered<Running>,
}

impl Tools {
    pub(super) fn of(services: &Data<Services>, call: &super::call::Call, bot: &str, profile: &Bot) -> Self {
        let of = CallRef { account: call.account.clone(), call_sid: call.call_sid.clone() };
        let about = About::of(services, call, bot);
        Self { services: services.clone(), call: of, about, bot: profile.clone(), running: FuturesUnordered::new() }
    }

    /// Begins what is wanted. What needs nobody else is done at once.
    pub(super) fn begin(&mut self, wanted: ToolCall, story: &mut Story) -> Option<Came> {
        let ToolCall { id, name, arguments } = wanted;
        let begun = Instant::now();
        let refused = |why: String| Some(Came::failed(&id, &name, why, begun));
        if arguments.to_string().len() > ARGUMENT_BYTES {
            return refused("the arguments are too long".to_owned());
        }
        if self.running.len() >= RUNNING {
            return refused("too many tools are running: wait for their results".to_owned());
        }
        if let Some(own) = self.bot.tools().iter().find(|own| own.name == name) {
            if !arguments.is_object() {
                return refused("the arguments must be an object".to_owned());
            }
            let asked =
                endpoint::ask(self.services.sessions.transport(), own.clone(), self.about.body(own, &id, arguments));
            let (of, called) = (id.clone(), name.clone());
            return self.run(id, name, async move {
                match asked.await {
                    Ok(output) => Came::done(&of, &called, output, begun),
                    Err(why) => Came::failed(&of, &called, why, begun),
                }
            });
        }
        let targets = Targets::of(&self.services, &self.call.account, &self.bot);
        match built_in::read(&name, arguments, &targets) {
            Err(why) => refused(why),
            Ok(Wish::Field { name: field, value }) => match story.talk.field(field, value) {
                Ok(()) => Some(Came::done(&id, &name, json!({ "result": "kept" }), begun)),
                Err(why) => refused(why),
            },
            Ok(Wish::Note(text)) => match story.talk.note(text) {
                Ok(()) => Some(Came::done(&id, &name, json!({ "result": "kept" }), begun)),
                Err(why) => refused(why),
            },
            Ok(Wish::End { outcome }) => {
                outcome.into_iter().for_each(|outcome| story.talk.outcome(outcome));
                let leaves = Some((End::BotDone, Some("the bot ended the call".to_owned())));
                Some(Came { leaves, ..Came::last(&id, &name, "the call ends", begun) })
            }
            Ok(Wish::HandOver(wish)) => {
                let (services, call, usual) = (self.services.clone(), self.call.clone(), targets.usual.clone());
                let (of, called) = (id.clone(), name.clone());
                self.run(id, name, async move {
                    // Known before anything is closed: the flow asks as soon as the stream has ended.
                    let mut wish = wish;
                    let mut noted = match &wish.target {
                        Some(target) => app::hand_over(&services, &call, target).await,
                        None => Ok(()),
                    };
                    // Who is set up for all cases may be gone: the caller is put through all the same.
                    if let Err(why) = &noted
                        && wish.target == usual
                    {
                        tracing::warn!(
                            call = call.call_sid,
                            why,
                            "a bot's transfer_to reaches nobody: the flow decides"
                        );
                        (wish.target, noted) = (None, Ok(()));
                    }
                    match noted {
                        Ok(()) => Came {
                            leaves: Some((End::HandedOver, None)),
                            handed_over: Some(wish),
                            ..Came::last(&of, &called, "the caller is being put through", begun)
                        },
                        Err(why) => Came::failed(&of, &called, format!("target: {why}"), begun),
                    }
                })
            }
        }
    }

    fn run(&mut self, id: String, name: String, work: impl Future<Output = Came> + 'static) -> Option<Came> {
        let work: Pin<Box<dyn Future<Output = Came>>> = Box::pin(work);
        let (work, abort) = abortable(work);
        self.running.push(Running { id, name, work, abort });
        None
    }

    /// Of what runs, what has come to an end; `None` for what was withdrawn. Pends for ever while nothing runs.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(String, Option<Came>)> {
        match self.running.poll_next_unpin(cx) {
            Poll::Ready(Some(ended)) => Poll::Ready(ended),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Nobody waits for it any more: a request that is under way is broken off.
    pub(super) fn withdraw(&mut self, id: &str) {
        self.running.iter().filter(|running| running.id == id).for_each(|running| running.abort.abort());
    }
}

impl Came {
    fn done(id: &str, name: &str, output: Value, begun: Instant) -> Self {
        let answer = Answer { id: id.to_owned(), name: name.to_owned(), output, failed: false, last: false };
        Self { answer, leaves: None, handed_over: None, took: begun.elapsed() }
    }

    fn failed(id: &str, name: &str, why: String, begun: Instant) -> Self {
        let mut came = Self::done(id, name, json!({ "error": why }), begun);
        came.answer.failed = true;
        came
    }

    pub(super) fn too_late(call: ToolCall) -> Self {
        let mut came = Self::failed(&call.id, &call.name, "the call is over for you".to_owned(), Instant::now());
        came.answer.last = true;
        came
    }

    fn last(id: &str, name: &str, told: &str, begun: Instant) -> Self {
        let mut came = Self::done(id, name, json!({ "result": told }), begun);
        came.answer.last = true;
        came
    }
}

/// As a metric names it.
pub(super) fn label(name: &str) -> &'static str {
    BUILT_IN.into_iter().find(|known| *known == name).unwrap_or("own")
}
