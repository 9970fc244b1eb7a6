//! Every metric there is, in one place, and how logs are set up.

use std::{io::IsTerminal, sync::atomic::AtomicU64};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{Log, LogFormat};

/// Labels of a hook's answers.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct HookLabels {
    /// The family: `call_events`, `status`, `freshworks`, `leadsquared`, `salesforce`, `zoho`, `ip_pstn`, `voicebot`; `token` for any of
    /// them behind one; `recording`, `authed_recording`; `unknown` for a path that looks like a hook and is none.
    pub hook: &'static str,
    pub status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct AppletLabels {
    /// `dialwhom`, `connect`, …
    pub applet: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct LaneLabels {
    pub account: String,
    pub integration: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct AttemptLabels {
    pub account: String,
    pub integration: String,
    pub kind: &'static str,
    pub outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PopupLabels {
    pub account: String,
    pub integration: String,
    /// `shown`, `not_told`, `dropped`, `failed`.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LiveLabels {
    pub account: String,
    /// `told`; `late`: it was no news any more; `dropped`: too much was waiting to be told.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ExchangeLabels {
    pub connector: &'static str,
    pub label: &'static str,
    /// HTTP status, or 0 when there was no reply.
    pub status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct StateLabels {
    pub account: String,
    pub integration: String,
    pub state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ToolLabels {
    /// The tool's own name where every bot has it, else `own`: bots' own are too many for a label.
    pub tool: &'static str,
    /// `done`, `failed`, `withdrawn`.
    pub result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct EnquiryLabels {
    /// `answered`, `in_progress`, `unknown_call`, `refused`, `throttled`, `failed`.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct SweepLabels {
    pub account: String,
    /// Of rounds: `done`, `refused`, `throttled`, `failed`. Of calls: `known`, `missed`.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ClickLabels {
    /// `placed`, `refused`, `unknown`, `not_placed`.
    pub state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct BackendLabels {
    /// `exotel`, `echo`, …
    pub backend: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct BriefLabels {
    /// `contact`, `owner`, `open_tickets`.
    pub part: &'static str,
    /// `known`, `unknown`, `late`.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct SessionLabels {
    /// `none` where it ended before it was known.
    pub backend: &'static str,
    /// How it ended: `stopped`, `closed`, `bot_done`, `backend_failed`, `silent`, `replaced`, `full`, …
    pub end: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct AccountLabels {
    pub account: String,
}

type Labelled<L> = Family<L, Counter>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The service's metrics, as served at `/metrics`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub hook_answers: Labelled<HookLabels>,
    /// From a hook's request to its durable receipt.
    pub ingest_seconds: Histogram,
    /// From an applet's request to its answer: a caller waits for it, and Exotel for 5 s.
    pub answer_seconds: Histograms<AppletLabels>,
    pub events: Counter,
    pub set_aside: Counter,
    pub attempts: Labelled<AttemptLabels>,
    pub attempt_seconds: Histograms<LaneLabels>,
    pub exchanges: Labelled<ExchangeLabels>,
    pub popups: Labelled<PopupLabels>,
    /// News of calls to agents' own event streams.
    pub live: Labelled<LiveLabels>,
    /// Event streams that are open on this node.
    pub streams: Gauge,
    /// 1 open, 0 not.
    pub breaker_open: Family<LaneLabels, Gauge>,
    /// 1: the lane is held because its credentials were refused.
    pub lane_held: Family<LaneLabels, Gauge>,
    /// When a credential of the configuration ends, in unix time; only where it says so itself.
    pub credential_expires: Family<LaneLabels, Gauge>,
    /// 1: nodes do not share what they know.
    pub context_degraded: Gauge,
    pub enquiries: Labelled<EnquiryLabels>,
    pub sweep_rounds: Labelled<SweepLabels>,
    /// Calls that a sweep saw in Exotel's list for the first time: those that callbacks had told of, and those they had not.
    pub sweep_calls: Labelled<SweepLabels>,
    /// Up to when Exotel's list was compared with what is known, in unix time.
    pub sweep_reached: Family<AccountLabels, Gauge>,
    pub clicks: Labelled<ClickLabels>,
    pub recordings: Labelled<HookLabels>,
    pub unread_receipts: Gauge,
    pub set_aside_receipts: Gauge,
    pub deliveries: Family<StateLabels, Gauge>,
    /// Calls that voicebots have on this node.
    pub voice_active: Family<BackendLabels, Gauge>,
    /// Those that are over.
    pub voice_sessions: Labelled<SessionLabels>,
    /// From the start of a stream until the bot is told who calls.
    pub voice_brief: Histograms<BackendLabels>,
    /// What it was told then.
    pub voice_briefs: Labelled<BriefLabels>,
    /// From the start of a stream to the first audio that goes to the caller.
    pub voice_first_audio: Histograms<BackendLabels>,
    /// From when a caller stopped speaking to the first audio of the answer.
    pub voice_turn: Histograms<BackendLabels>,
    pub voice_tools: Labelled<ToolLabels>,
    pub voice_barge_ins: Labelled<BackendLabels>,
    /// Times that the caller heard nothing in the middle of an utterance.
    pub voice_underruns: Labelled<BackendLabels>,
    /// Of the caller's audio, what was too old to be passed on, in milliseconds.
    pub voice_dropped: Labelled<BackendLabels>,
    pub up_seconds: Gauge<f64, AtomicU64>,
}

fn fast_buckets() -> Histogram {
    Histogram::new([0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0])
}

/// The last is what Exotel waits for.
fn answer_buckets() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0])
}

fn slow_buckets() -> Histogram {
    Histogram::new([0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("patchbay");
        let hook_answers = Labelled::<HookLabels>::default();
        registry.register("hook_answers", "Answers to Exotel's requests", hook_answers.clone());
        let ingest_seconds = fast_buckets();
        registry.register_with_unit(
            "ingest",
            "From a request to its durable receipt",
            Unit::Seconds,
            ingest_seconds.clone(),
        );
        let answer_seconds = Histograms::<AppletLabels>::new_with_constructor(answer_buckets);
        registry.register_with_unit(
            "answer",
            "From an applet's request to its answer",
            Unit::Seconds,
            answer_seconds.clone(),
        );
        let events = Counter::default();
        registry.register("events", "Receipts read as call events", events.clone());
        let set_aside = Counter::default();
        registry.register("set_aside", "Receipts nobody could read", set_aside.clone());
        let attempts = Labelled::<AttemptLabels>::default();
        registry.register("attempts", "Tries at a delivery", attempts.clone());
        let attempt_seconds = Histograms::<LaneLabels>::new_with_constructor(slow_buckets);
        registry.register_with_unit("attempt", "Duration of a try", Unit::Seconds, attempt_seconds.clone());
        let popups = Labelled::<PopupLabels>::default();
        registry.register("popups", "Calls shown to agents in the CRM while they ring", popups.clone());
        let live = Labelled::<LiveLabels>::default();
        registry.register("live_events", "News of calls to agents and consoles", live.clone());
        let streams = Gauge::default();
        registry.register("event_streams", "Event streams that are open", streams.clone());
        let exchanges = Labelled::<ExchangeLabels>::default();
        registry.register("exchanges", "HTTP exchanges with CRMs", exchanges.clone());
        let breaker_open = Family::<LaneLabels, Gauge>::default();
        registry.register("breaker_open", "1 while a CRM is taken to be down", breaker_open.clone());
        let lane_held = Family::<LaneLabels, Gauge>::default();
        registry.register("lane_held", "1 while a CRM refuses the credentials", lane_held.clone());
        let credential_expires = Family::<LaneLabels, Gauge>::default();
        registry.register_with_unit(
            "credential_expires",
            "When a credential that names its own end does end, unix time",
            Unit::Seconds,
            credential_expires.clone(),
        );
        let context_degraded = Gauge::default();
        registry.register("context_degraded", "1 while nodes go on without Redis", context_degraded.clone());
        let enquiries = Labelled::<EnquiryLabels>::default();
        registry.register("enquiries", "Questions to Exotel for call details", enquiries.clone());
        let sweep_rounds = Labelled::<SweepLabels>::default();
        registry.register("sweep_rounds", "Comparisons with Exotel's list of calls", sweep_rounds.clone());
        let sweep_calls = Labelled::<SweepLabels>::default();
        registry.register(
            "sweep_calls",
            "Calls first seen in Exotel's list: known by callbacks before, or missed by them",
            sweep_calls.clone(),
        );
        let sweep_reached = Family::<AccountLabels, Gauge>::default();
        registry.register_with_unit(
            "sweep_reached",
            "Up to when calls were compared with Exotel's list, unix time",
            Unit::Seconds,
            sweep_reached.clone(),
        );
        let clicks = Labelled::<ClickLabels>::default();
        registry.register("clicks", "Click-to-call, by what became of it", clicks.clone());
        let recordings = Labelled::<HookLabels>::default();
        registry.register("recordings", "Requests for recordings", recordings.clone());
        let unread_receipts = Gauge::default();
        registry.register("unread_receipts", "Receipts not yet read", unread_receipts.clone());
        let set_aside_receipts = Gauge::default();
        registry.register("set_aside_receipts", "Receipts set aside and not replayed", set_aside_receipts.clone());
        let deliveries = Family::<StateLabels, Gauge>::default();
        registry.register("deliveries", "Deliveries by state", deliveries.clone());
        let voice_active = Family::<BackendLabels, Gauge>::default();
        registry.register("voice_sessions_active", "Calls that voicebots have", voice_active.clone());
        let voice_sessions = Labelled::<SessionLabels>::default();
        registry.register(
            "voice_sessions",
            "Voicebots' calls that are over, by how they ended",
            voice_sessions.clone(),
        );
        let voice_brief = Histograms::<BackendLabels>::new_with_constructor(answer_buckets);
        registry.register_with_unit(
            "voice_brief",
            "From the start of a stream until the bot is told who calls",
            Unit::Seconds,
            voice_brief.clone(),
        );
        let voice_briefs = Labelled::<BriefLabels>::default();
        registry.register(
            "voice_briefs",
            "Parts of what bots are told of callers: known, unknown, or not there in time",
            voice_briefs.clone(),
        );
        let voice_first_audio = Histograms::<BackendLabels>::new_with_constructor(answer_buckets);
        registry.register_with_unit(
            "voice_first_audio",
            "From the start of a stream to the first audio of the bot",
            Unit::Seconds,
            voice_first_audio.clone(),
        );
        let voice_turn = Histograms::<BackendLabels>::new_with_constructor(answer_buckets);
        registry.register_with_unit(
            "voice_turn",
            "From when a caller stopped speaking to the first audio of the bot's answer",
            Unit::Seconds,
            voice_turn.clone(),
        );
        let voice_tools = Labelled::<ToolLabels>::default();
        registry.register("voice_tools", "Tools that bots used, by what came of it", voice_tools.clone());
        let voice_barge_ins = Labelled::<BackendLabels>::default();
        registry.register("voice_barge_ins", "Times that a caller interrupted a bot", voice_barge_ins.clone());
        let voice_underruns = Labelled::<BackendLabels>::default();
        registry.register("voice_underruns", "Gaps within what a bot said", voice_underruns.clone());
        let voice_dropped = Labelled::<BackendLabels>::default();
        registry.register(
            "voice_dropped_ms",
            "Caller's audio that was too old to be passed on, in milliseconds",
            voice_dropped.clone(),
        );
        let up_seconds = Gauge::<f64, AtomicU64>::default();
        registry.register_with_unit("up", "Since the service started", Unit::Seconds, up_seconds.clone());
        Self {
            registry,
            hook_answers,
            ingest_seconds,
            answer_seconds,
            events,
            set_aside,
            attempts,
            attempt_seconds,
            exchanges,
            popups,
            live,
            streams,
            breaker_open,
            lane_held,
            credential_expires,
            context_degraded,
            enquiries,
            sweep_rounds,
            sweep_calls,
            sweep_reached,
            clicks,
            recordings,
            unread_receipts,
            set_aside_receipts,
            deliveries,
            voice_active,
            voice_sessions,
            voice_brief,
            voice_briefs,
            voice_first_audio,
            voice_turn,
            voice_tools,
            voice_barge_ins,
            voice_underruns,
            voice_dropped,
            up_seconds,
        }
    }
}

impl Metrics {
    /// The text format of Prometheus (OpenMetrics 1.0).
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Sends logs to stderr; results go to stdout.
pub fn init(log: &Log) {
    let mut filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    // The web server's own start and stop say nothing that ours do not; who wants them names them.
    if !log.level.contains("actix")
        && let Ok(quiet) = "actix_server=warn".parse()
    {
        filter = filter.add_directive(quiet);
    }
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let registry = tracing_subscriber::registry().with(filter);
    // A second call (tests in one process) keeps the first subscriber.
    let _ = match log.format {
        LogFormat::Human => {
            registry.with(fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(colours)).try_init()
        }
        LogFormat::Json => {
            registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()
        }
    };
}
