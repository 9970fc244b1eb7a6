//! What is told of a session: receipts in the journal, one line in the log, and figures. Told in any case: a session
//! whose task is dropped ends here, too.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::web::Data;
use jiff::Timestamp;
use patchbay_kit::mask;
use uuid::Uuid;

use super::{call::Call, talk::Talk, tools};
use crate::{
    app::Services,
    call::{BotSession, BotTold, HandOver, SessionEnd, TalkPart, ToolTally, Turns},
    codes::Code,
    directory::{Bot, Entry},
    telemetry::{BackendLabels, SessionLabels, ToolLabels},
};

/// Tools that are counted one by one: those that every bot has, and its own.
const TOOLS: usize = 4 + crate::config::tool::TOOLS;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Exotel said that the stream or the call is over.
    Stopped,
    /// Exotel closed the connection, as it does as often without a word.
    Closed,
    /// The bot is done.
    BotDone,
    /// The bot has the caller put through.
    HandedOver,
    /// The backend cannot be reached, or failed.
    BackendFailed,
    /// No bot, or none that can answer.
    NoBot,
    /// No sign of life from Exotel.
    Silent,
    /// A newer connection has the call.
    Replaced,
    /// There are as many as there may be.
    Full,
    /// The service stops.
    Stopping,
    /// What came is no websocket any more.
    Broken,
    /// No call started.
    NeverStarted,
    /// The task was dropped with its thread.
    Dropped,
}

impl End {
    /// The word for it: of one that ended as it should its own, of any other the code.
    fn word(self) -> Result<&'static str, Code> {
        match self {
            Self::Stopped => Ok("stopped"),
            Self::Closed => Ok("closed"),
            Self::BotDone => Ok("bot_done"),
            Self::HandedOver => Ok("handed_over"),
            Self::BackendFailed => Err(Code::BackendFailed),
            Self::NoBot => Err(Code::NoBot),
            Self::Silent => Err(Code::Silent),
            Self::Replaced => Err(Code::Replaced),
            Self::Full => Err(Code::Full),
            Self::Stopping => Err(Code::Stopping),
            Self::Broken => Err(Code::Broken),
            Self::NeverStarted => Err(Code::NeverStarted),
            Self::Dropped => Err(Code::Dropped),
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        self.word().unwrap_or_else(Code::as_str)
    }

    fn code(self) -> Option<Code> {
        self.word().err()
    }
}

/// What there is to count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) heard: Duration,
    pub(super) dropped: Duration,
    pub(super) said: Duration,
    pub(super) first_audio: Option<Duration>,
    pub(super) barge_ins: u64,
    pub(super) underruns: u64,
    pub(super) recording_lost: Duration,
    pub(super) unreadable: u64,
}

pub(super) struct Story {
    services: Data<Services>,
    account: String,
    told: BotTold,
    began: Instant,
    backend: &'static str,
    /// It was counted as one that is on.
    active: bool,
    ended: bool,
    pub(super) tally: Tally,
    pub(super) talk: Talk,
    /// When the caller stopped speaking; until the answer is heard.
    asked_at: Option<Duration>,
    /// How long he waited for answers, in milliseconds.
    turns: Vec<u32>,
    tools: Vec<ToolTally>,
}

/// More turns than these tell nothing new.
const TURNS: usize = 4096;

impl Story {
    /// Of a call that has started. Nothing is told yet.
    pub(super) fn of(services: &Data<Services>, session: Uuid, call: &Call, bot: Option<&Entry<Bot>>) -> Self {
        let backend = bot.map(|bot| bot.profile.backend.as_str());
        let told = BotTold {
            call_sid: call.call_sid.clone(),
            customer: call.customer.clone(),
            exophone: call.exophone.clone(),
            direction: call.direction,
            bot: BotSession {
                session,
                bot: bot.map(|bot| bot.id.clone()),
                backend: backend.map(str::to_owned),
                recording: None,
                end: None,
                part: None,
            },
        };
        Self {
            services: services.clone(),
            account: call.account.clone(),
            told,
            began: Instant::now(),
            backend: backend.unwrap_or("none"),
            active: false,
            ended: false,
            tally: Tally::default(),
            talk: Talk::default(),
            asked_at: None,
            turns: Vec::new(),
            tools: Vec::new(),
        }
    }

    pub(super) fn session(&self) -> Uuid {
        self.told.bot.session
    }

    /// Where it is recorded, or that it is not after all.
    pub(super) fn recorded(&mut self, name: Option<String>) {
        self.told.bot.recording = name;
    }

    /// The bot has the caller.
    pub(super) fn begin(&mut self) {
        self.active = true;
        self.services.metrics.voice_active.get_or_create(&self.labels()).inc();
        self.write(None);
    }

    /// The bot is told who calls.
    pub(super) fn briefed(&self) {
        let took = self.began.elapsed().as_secs_f64();
        self.services.metrics.voice_brief.get_or_create(&self.labels()).observe(took);
    }

    pub(super) fn first_audio(&mut self, after: Duration) {
        if self.tally.first_audio.is_none() {
            self.tally.first_audio = Some(after);
            self.services.metrics.voice_first_audio.get_or_create(&self.labels()).observe(after.as_secs_f64());
        }
    }

    /// The caller has stopped speaking.
    pub(super) fn caller_done(&mut self, now: Duration) {
        self.asked_at = Some(now);
    }

    /// The bot's audio comes: the answer, if one is waited for.
    pub(super) fn answers(&mut self, now: Duration) {
        let Some(asked_at) = self.asked_at.take() else { return };
        let waited = now.saturating_sub(asked_at);
        self.services.metrics.voice_turn.get_or_create(&self.labels()).observe(waited.as_secs_f64());
        if self.turns.len() < TURNS {
            self.turns.push(u32::try_from(waited.as_millis()).unwrap_or(u32::MAX));
        }
    }

    /// A tool was used.
    pub(super) fn used(&mut self, name: &str, result: &'static str, took: Duration) {
        let labels = ToolLabels { tool: tools::label(name), result };
        self.services.metrics.voice_tools.get_or_create(&labels).inc();
        let at = match self.tools.iter().position(|tally| tally.name == name) {
            Some(at) => at,
            // Names that a model made up are not counted one by one.
            None if self.tools.len() >= TOOLS => return,
            None => {
                self.tools.push(ToolTally { name: name.chars().take(64).collect(), ..ToolTally::default() });
                self.tools.len() - 1
            }
        };
        let tally = &mut self.tools[at];
        tally.calls += 1;
        tally.failed += u32::from(result == "failed");
        tally.max_ms = tally.max_ms.max(u32::try_from(took.as_millis()).unwrap_or(u32::MAX));
    }

    /// Of a hand-over there is word in the journal before its call can be asked about.
    pub(super) fn handed_over(&mut self, hand_over: HandOver) {
        self.talk.hand_over(hand_over);
        self.tell();
    }

    /// Writes what was said since it was written last.
    pub(super) fn tell(&mut self) {
        if let Some(part) = self.talk.take() {
            self.write(Some(part));
        }
    }

    pub(super) fn end(&mut self, end: End, told: Option<String>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.tell();
        let Tally { heard, dropped, said, first_audio, barge_ins, underruns, unreadable, recording_lost } = self.tally;
        let duration = self.began.elapsed();
        let (labels, metrics) = (self.labels(), &self.services.metrics);
        if self.active {
            metrics.voice_active.get_or_create(&labels).dec();
        }
        metrics.voice_barge_ins.get_or_create(&labels).inc_by(barge_ins);
        metrics.voice_underruns.get_or_create(&labels).inc_by(underruns);
        metrics.voice_dropped.get_or_create(&labels).inc_by(ms(dropped));
        count(&self.services, self.backend, end);
        let BotTold { call_sid, customer, bot, .. } = &self.told;
        macro_rules! line {
            ($level:ident, $told:literal) => {
                tracing::$level!(
                    code = end.code().map(tracing::field::display), account = self.account, call = call_sid,
                    session = %bot.session, bot = bot.bot.as_deref(), backend = self.backend,
                    customer = customer.as_deref().map(mask::number), end = end.as_str(), told = told.as_deref(),
                    duration_ms = ms(duration), heard_ms = ms(heard), dropped_ms = ms(dropped), said_ms = ms(said),
                    first_audio_ms = first_audio.map(ms), barge_ins, underruns, unreadable, $told
                )
            };
        }
        match end {
            End::NoBot => line!(error, "no bot answers a call; the flow goes on. Do what `told` says"),
            End::BackendFailed => line!(warn, "a bot's backend failed in a call; the flow goes on. See `told`"),
            End::Silent | End::Full | End::Broken | End::Dropped => {
                line!(warn, "a voicebot's call ended before it was done; the flow goes on");
            }
            End::Stopped
            | End::Closed
            | End::BotDone
            | End::HandedOver
            | End::Replaced
            | End::Stopping
            | End::NeverStarted => {
                line!(info, "a voicebot's call is over");
            }
        }
        self.told.bot.end = Some(SessionEnd {
            reason: end.as_str().to_owned(),
            told,
            duration_ms: ms(duration),
            heard_ms: ms(heard),
            dropped_ms: ms(dropped),
            said_ms: ms(said),
            first_audio_ms: first_audio.map(ms),
            barge_ins,
            underruns,
            recording_lost_ms: Some(ms(recording_lost)).filter(|lost| *lost > 0),
            turns: turns(&mut self.turns),
            tools: std::mem::take(&mut self.tools),
            lost_lines: self.talk.lost_lines,
        });
        self.write(None);
    }

    fn labels(&self) -> BackendLabels {
        BackendLabels { backend: self.backend }
    }

    fn write(&mut self, part: Option<TalkPart>) {
        self.told.bot.part = part;
        let receipt = self.told.receipt(Uuid::now_v7(), &self.account, Timestamp::now());
        self.told.bot.part = None;
        let Ok(receipt) = receipt else { return };
        let (store, journal) = (Arc::clone(&self.services.store), Arc::clone(&self.services.journal));
        self.services.sessions.tell(async move {
            match store.append(receipt).await {
                Ok(_) => journal.notify_one(),
                Err(error) => tracing::warn!(
                    code = %Code::TimelineIncomplete, %error,
                    "what a voicebot did is not in its call's timeline: the store did not take it"
                ),
            }
        });
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        self.end(End::Dropped, None);
    }
}

/// One more is over.
pub(super) fn count(services: &Services, backend: &'static str, end: End) {
    services.metrics.voice_sessions.get_or_create(&SessionLabels { backend, end: end.as_str() }).inc();
}

fn turns(waited: &mut [u32]) -> Option<Turns> {
    waited.sort_unstable();
    let (p50_ms, max_ms) = (*waited.get(waited.len() / 2)?, *waited.last()?);
    Some(Turns { count: u32::try_from(waited.len()).unwrap_or(u32::MAX), p50_ms, max_ms })
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
