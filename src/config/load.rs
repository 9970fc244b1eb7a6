//! Reading a configuration: the compiled-in defaults, the file over them, the environment over both.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{Timestamp, tz::Offset};
use secrecy::ExposeSecret;
use toml::{Table, Value};
use url::Url;

use super::{
    bot,
    integration::{Given, integration},
    model::{
        Account, Agent, Config, Context, ContextUrl, Delivery, Dialer, Enquiry, Hooks, Live, Log, LogFormat, Recording,
        Server, Store, StoreUrl, Sweep, Voicebot,
    },
    reader::{ConfigError, Problem, Reader},
    routing::{self, Place},
};
use crate::call::{CallingTimes, ContactChoice, Hook, phone, route::Routing};

/// The defaults, as the documentation of every key.
pub const DEFAULT: &str = include_str!("../../config/default.toml");

/// Environment variables with this prefix override keys of the file.
const PREFIX: &str = "PATCHBAY__";

/// The shortest admin token that is let through.
const ADMIN_TOKEN_CHARS: usize = 24;

/// Reads the file at `path`, with the process's environment over it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
        file: file.clone(),
        problems: vec![Problem { key: String::new(), message: format!("cannot be read: {error}") }],
    })?;
    let env: BTreeMap<String, String> = std::env::vars().collect();
    parse(&file, &text, &env)
}

/// Reads a configuration from its text; `file` is its name in messages.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(file: &str, text: &str, env: &BTreeMap<String, String>) -> Result<Config, ConfigError> {
    let mut problems = Vec::new();
    let config = read(text, env, &mut problems);
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigError { file: file.to_owned(), problems }),
    }
}

fn read(text: &str, env: &BTreeMap<String, String>, problems: &mut Vec<Problem>) -> Option<Config> {
    let mut table = parse_table(DEFAULT, problems)?;
    merge(&mut table, parse_table(text, problems)?);
    override_from(&mut table, env, problems);
    expand(&mut table, "", env, problems);

    let mut root = Reader::new(&table, "", problems);
    let sections = [
        "server",
        "store",
        "context",
        "log",
        "delivery",
        "enquiry",
        "sweep",
        "hooks",
        "dialer",
        "live",
        "voicebot",
        "recording",
    ]
    .map(|name| (name, root.table(name)));
    let accounts = root.tables("account");
    root.finish();
    let section = |name: &str| sections.iter().find(|(key, _)| *key == name).and_then(|(_, table)| *table);

    let server = server(section("server")?, problems);
    let store = store(section("store")?, problems);
    if let (Some(Server { master_key_file: None, .. }), Some(Store { url: StoreUrl::Postgres { .. }, .. })) =
        (&server, &store)
    {
        let message = "must be set where store.url is PostgreSQL: make the file with `openssl rand -hex 32`, and give \
                       every node the same";
        problems.push(Problem { key: "server.master_key_file".to_owned(), message: message.to_owned() });
    }
    let context = context(section("context")?, problems);
    if let (Some(store), Some(Context { url: ContextUrl::Memory, .. })) = (&store, &context)
        && store.url.is_shared()
    {
        let message = "several nodes share this store, and must share the context: write \"redis://host:6379/0\"";
        problems.push(Problem { key: "context.url".to_owned(), message: message.to_owned() });
    }
    let log = log(section("log")?, problems);
    let delivery = delivery(section("delivery")?, problems);
    let enquiry = enquiry(section("enquiry")?, problems);
    let sweep = sweep(section("sweep")?, problems);
    let hooks = hooks(section("hooks")?, problems);
    let dialer = dialer(section("dialer")?, problems);
    let live = live(section("live")?, problems);
    if let (Some(live), Some(server)) = (&live, &server)
        && live.streams > server.connections / 2
    {
        let message = "must be at most half of server.connections: callbacks need the others";
        problems.push(Problem { key: "live.streams".to_owned(), message: message.to_owned() });
    }
    let voicebot = voicebot(section("voicebot")?, problems);
    if let (Some(voicebot), Some(server)) = (&voicebot, &server)
        && voicebot.sessions > server.connections / 4
    {
        let message = "must be at most a quarter of server.connections: callbacks need the others";
        problems.push(Problem { key: "voicebot.sessions".to_owned(), message: message.to_owned() });
    }
    let recording = recording(section("recording")?, problems);
    let accounts: Vec<_> = accounts.into_iter().map(|(at, table)| account(&at, table, problems)).collect();
    for (at, one) in accounts.iter().enumerate() {
        let Some(one) = one else { continue };
        if accounts[..at].iter().flatten().any(|other| other.sid == one.sid) {
            problems.push(Problem {
                key: format!("account[{at}].sid"),
                message: format!("{:?} is configured twice; put its integrations under one [[account]]", one.sid),
            });
        }
        let taken = |app: &&String| accounts[..at].iter().flatten().any(|other| other.app_ids.contains(*app));
        for app in one.app_ids.iter().filter(taken) {
            problems.push(Problem {
                key: format!("account[{at}].app_ids"),
                message: format!("{app:?} is another account's already; an app belongs to one account"),
            });
        }
    }
    Some(Config {
        server: server?,
        store: store?,
        context: context?,
        log: log?,
        delivery: delivery?,
        enquiry: enquiry?,
        sweep: sweep?,
        hooks: hooks?,
        dialer: dialer?,
        live: live?,
        voicebot: voicebot?,
        recording: recording?,
        accounts: accounts.into_iter().collect::<Option<_>>()?,
    })
}

fn parse_table(text: &str, problems: &mut Vec<Problem>) -> Option<Table> {
    match text.parse::<Table>() {
        Ok(table) => Some(table),
        Err(error) => {
            // Neither the offending line (it may hold a secret) nor more than the position is shown.
            let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
            let at = line.map(|line| format!("line {line}")).unwrap_or_default();
            problems.push(Problem { key: at, message: format!("is not TOML: {}", error.message()) });
            None
        }
    }
}

fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Puts `PATCHBAY__A__B=x` at `a.b`, `PATCHBAY__ACCOUNT__0__SID=x` at `account[0].sid`.
fn override_from(table: &mut Table, env: &BTreeMap<String, String>, problems: &mut Vec<Problem>) {
    for (name, value) in env {
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        let keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        if keys.iter().any(String::is_empty) || !put(table, &keys, value) {
            problems.push(Problem {
                key: name.clone(),
                message: "names no place in the configuration; write PATCHBAY__SECTION__KEY".to_owned(),
            });
        }
    }
}

fn put(table: &mut Table, keys: &[String], value: &str) -> bool {
    let [key, rest @ ..] = keys else { return false };
    if rest.is_empty() {
        table.insert(key.clone(), Value::String(value.to_owned()));
        return true;
    }
    if let Some(index) = rest[0].parse::<usize>().ok().filter(|_| rest.len() > 1) {
        let slot = table.entry(key.clone()).or_insert_with(|| Value::Array(Vec::new()));
        let Value::Array(items) = slot else { return false };
        return match items.get_mut(index) {
            Some(Value::Table(item)) => put(item, &rest[1..], value),
            _ => false,
        };
    }
    let slot = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
    match slot {
        Value::Table(inner) => put(inner, rest, value),
        _ => false,
    }
}

/// Replaces `${NAME}` in every string.
fn expand(table: &mut Table, at: &str, env: &BTreeMap<String, String>, problems: &mut Vec<Problem>) {
    for (key, value) in table.iter_mut() {
        let at = if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
        expand_value(value, &at, env, problems);
    }
}

fn expand_value(value: &mut Value, at: &str, env: &BTreeMap<String, String>, problems: &mut Vec<Problem>) {
    match value {
        Value::String(text) => {
            let mut out = String::new();
            let mut rest = text.as_str();
            while let Some(start) = rest.find("${") {
                let Some(len) = rest[start + 2..].find('}') else {
                    let message = "has a ${ without its }; write ${NAME}".to_owned();
                    problems.push(Problem { key: at.to_owned(), message });
                    break;
                };
                let name = &rest[start + 2..start + 2 + len];
                out.push_str(&rest[..start]);
                match env.get(name) {
                    Some(found) => out.push_str(found),
                    None => {
                        // Left as it stands, so that it is not told of as empty as well.
                        out.push_str(&rest[start..start + 3 + len]);
                        problems.push(Problem {
                            key: at.to_owned(),
                            message: format!("the environment variable {name} is not set"),
                        });
                    }
                }
                rest = &rest[start + 3 + len..];
            }
            out.push_str(rest);
            *text = out;
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                expand_value(item, &format!("{at}[{index}]"), env, problems);
            }
        }
        Value::Table(table) => expand(table, at, env, problems),
        _ => {}
    }
}

fn server(table: &Table, problems: &mut Vec<Problem>) -> Option<Server> {
    let mut r = Reader::new(table, "server", problems);
    let listen = r.text("listen").and_then(|text| {
        let parsed = text.parse().ok();
        if parsed.is_none() {
            r.wrong("listen", format!("{text:?} is not an address and port; write 127.0.0.1:8080 or [::1]:8080"));
        }
        parsed
    });
    let public_url = url(&mut r, "public_url", &["http", "https"]).map(|url| strip_slash(&url));
    let admin_token = r.secret("admin_token");
    if let Some(token) = &admin_token {
        let chars = token.expose_secret().chars().count();
        if chars < ADMIN_TOKEN_CHARS {
            r.wrong("admin_token", format!("has {chars} characters, must have at least {ADMIN_TOKEN_CHARS}"));
        }
    }
    let master_key_file = r.text("master_key_file").map(Into::into);
    let previous_key_files = r.texts("previous_key_files").unwrap_or_default().into_iter().map(Into::into).collect();
    let workers = r.number("workers", 1..=256);
    let body_limit = r.number("body_limit", 1024..=64 * 1024 * 1024);
    let connections = r.number("connections", 1..=1_000_000);
    let request_timeout = r.duration("request_timeout");
    let drain_timeout = r.duration("drain_timeout");
    r.finish();
    Some(Server {
        listen: listen?,
        public_url,
        admin_token,
        master_key_file,
        previous_key_files,
        workers: to_usize(workers?),
        body_limit_bytes: to_usize(body_limit?),
        connections: to_usize(connections?),
        request_timeout: request_timeout?,
        drain_timeout: drain_timeout?,
    })
}

fn store(table: &Table, problems: &mut Vec<Problem>) -> Option<Store> {
    let mut r = Reader::new(table, "store", problems);
    // What is wrong is told without the value: there is a password in it.
    let url = r.text("url").and_then(|text| match text.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => {
            Some(StoreUrl::Sqlite(path.strip_prefix("//").unwrap_or(path).into()))
        }
        Some(("postgres" | "postgresql", _)) => match postgres_place(&text) {
            Ok(place) => Some(StoreUrl::Postgres { url: text.into(), place }),
            Err(message) => {
                r.wrong("url", message);
                None
            }
        },
        _ => {
            r.wrong(
                "url",
                "must be \"sqlite:\" and the path of a file, such as \"sqlite:data/patchbay.db\", or \
                 \"postgres://user:password@host/database\"",
            );
            None
        }
    });
    let queue = r.number("queue", 1..=10_000_000);
    let lease = r.duration("lease");
    let keep = r.duration("keep");
    if lease.is_some_and(|lease| lease < Duration::from_secs(1)) {
        r.wrong("lease", "must be at least 1s");
    }
    r.finish();
    Some(Store { url: url?, queue: to_usize(queue?), lease: lease?, keep: keep? })
}

/// Host and database of a PostgreSQL URL, to be shown.
fn postgres_place(text: &str) -> Result<String, &'static str> {
    let form = "must be \"postgres://user:password@host/database\"; %-encode what is special in a URL";
    let url = Url::parse(text).map_err(|_| form)?;
    let database = url.path().trim_start_matches('/');
    if database.is_empty() || url.username().is_empty() {
        return Err(form);
    }
    let host = url.host_str().filter(|host| !host.is_empty()).unwrap_or("localhost");
    Ok(format!("postgres://{host}:{}/{database}", url.port().unwrap_or(5432)))
}

fn context(table: &Table, problems: &mut Vec<Problem>) -> Option<Context> {
    let mut r = Reader::new(table, "context", problems);
    let url = r.text("url").and_then(|text| match text.as_str() {
        "memory:" => Some(ContextUrl::Memory),
        text => match redis_url(text) {
            Ok(()) => Some(ContextUrl::Redis(text.into())),
            Err(message) => {
                r.wrong("url", message);
                None
            }
        },
    });
    let root_certificate =
        r.text("root_certificate_file").filter(|path| !path.is_empty()).and_then(|path| match std::fs::read(&path) {
            Ok(pem) => Some(pem),
            Err(error) => {
                r.wrong(
                    "root_certificate_file",
                    format!("{path}: {error}; it is the PEM file of who signs Redis' certificate"),
                );
                None
            }
        });
    r.finish();
    Some(Context { url: url?, root_certificate })
}

/// What is wrong with Redis' address, without repeating it: a password may stand in it.
fn redis_url(text: &str) -> Result<(), String> {
    const FORM: &str =
        "write \"memory:\", \"redis://host:6379/0\" or, with TLS, \"rediss://user:password@host:6379/0\"";
    // A bare "/" or "@" in a password splits the address in another place, mostly to one that is none.
    let url = Url::parse(text).map_err(|_| {
        format!("is not an address; {FORM}; in a password write / @ : # ? % as %2F %40 %3A %23 %3F %25")
    })?;
    if !matches!(url.scheme(), "redis" | "rediss") {
        return Err(format!("must begin with memory:, redis:// or rediss://; {FORM}"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(format!("names no host; {FORM}"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("takes neither ? nor # (in a password they are %3F and %23); {FORM}"));
    }
    let database = url.path().trim_start_matches('/');
    if !database.is_empty() && database.parse::<u16>().is_err() {
        return Err(format!("ends with what is no number of a database (in a password / is %2F); {FORM}"));
    }
    Ok(())
}

fn log(table: &Table, problems: &mut Vec<Problem>) -> Option<Log> {
    let mut r = Reader::new(table, "log", problems);
    let format = match r.text("format").as_deref() {
        Some("human") => Some(LogFormat::Human),
        Some("json") => Some(LogFormat::Json),
        Some(other) => {
            let message = format!("must be \"human\" or \"json\", is {other:?}");
            r.wrong("format", message);
            None
        }
        None => None,
    };
    let level = r.text("level").and_then(|level| match level.parse::<tracing_subscriber::filter::EnvFilter>() {
        Ok(_) => Some(level),
        Err(error) => {
            r.wrong("level", format!("{level:?} is not a filter ({error}); write info, or info,patchbay=debug"));
            None
        }
    });
    r.finish();
    Some(Log { format: format?, level: level? })
}

fn delivery(table: &Table, problems: &mut Vec<Problem>) -> Option<Delivery> {
    let mut r = Reader::new(table, "delivery", problems);
    let retry = r.durations("retry");
    let give_up_after = r.duration("give_up_after");
    let ambiguous_wait = r.duration("ambiguous_wait");
    let request_timeout = r.duration("request_timeout");
    let connect_timeout = r.duration("connect_timeout");
    let response_limit = r.number("response_limit", 1024..=1024 * 1024 * 1024);
    let window = r.number("window", 1..=1000);
    let breaker_after = r.number("breaker_after", 1..=1_000_000);
    let breaker_probe = r.durations("breaker_probe");
    let held_probe = r.duration("held_probe");
    let limit_wait = r.duration("limit_wait");
    let share = r.fraction("share");
    r.finish();
    Some(Delivery {
        retry: retry?.into(),
        give_up_after: give_up_after?,
        ambiguous_wait: ambiguous_wait?,
        request_timeout: request_timeout?,
        connect_timeout: connect_timeout?,
        response_limit_bytes: to_usize(response_limit?),
        window: to_usize(window?),
        breaker_after: u32::try_from(breaker_after?).ok()?,
        breaker_probe: breaker_probe?.into(),
        held_probe: held_probe?,
        limit_wait: limit_wait?,
        share: share?,
    })
}

fn enquiry(table: &Table, problems: &mut Vec<Problem>) -> Option<Enquiry> {
    let mut r = Reader::new(table, "enquiry", problems);
    let schedule = r.durations("schedule");
    let request_timeout = r.duration("request_timeout");
    let per_minute = r.number("per_minute", 1..=100_000);
    r.finish();
    Some(Enquiry {
        schedule: schedule?.into(),
        request_timeout: request_timeout?,
        per_minute: u32::try_from(per_minute?).ok()?,
    })
}

fn sweep(table: &Table, problems: &mut Vec<Problem>) -> Option<Sweep> {
    let mut r = Reader::new(table, "sweep", problems);
    let enabled = r.bool("enabled", true);
    let every = r.duration("every");
    if every.is_some_and(|every| every.is_zero()) {
        r.wrong("every", "must be more than nothing; write \"5m\", or enabled = false");
    }
    let overlap = r.duration("overlap");
    let since = r.text("since").and_then(|text| {
        let parsed = text.parse::<Timestamp>().ok();
        if parsed.is_none() {
            r.wrong("since", format!("{text:?} is not a time with its zone; write \"2026-11-01T00:00:00+05:30\""));
        }
        parsed
    });
    r.finish();
    Some(Sweep { enabled, every: every?, overlap: overlap?, since })
}

/// Exotel waits this long at most (exotel-api §4.1); the answer has to travel, too.
const ANSWER_DEADLINE: std::time::Duration = std::time::Duration::from_millis(4500);

fn hooks(table: &Table, problems: &mut Vec<Problem>) -> Option<Hooks> {
    let mut r = Reader::new(table, "hooks", problems);
    let answer_deadline = r.duration("answer_deadline");
    if answer_deadline.is_some_and(|deadline| deadline > ANSWER_DEADLINE) {
        r.wrong("answer_deadline", "must be at most 4500ms: Exotel waits 5 s, and then goes on without an answer");
    }
    r.finish();
    Some(Hooks { answer_deadline: answer_deadline? })
}

fn dialer(table: &Table, problems: &mut Vec<Problem>) -> Option<Dialer> {
    let mut r = Reader::new(table, "dialer", problems);
    let wait = r.duration("wait");
    let settle_after = r.duration("settle_after");
    r.finish();
    Some(Dialer { wait: wait?, settle_after: settle_after? })
}

/// Presence ends after three of these.
const HEARTBEATS: std::ops::RangeInclusive<std::time::Duration> =
    std::time::Duration::from_millis(100)..=std::time::Duration::from_secs(15);

fn live(table: &Table, problems: &mut Vec<Problem>) -> Option<Live> {
    let mut r = Reader::new(table, "live", problems);
    let heartbeat = r.duration("heartbeat");
    if heartbeat.is_some_and(|heartbeat| !HEARTBEATS.contains(&heartbeat)) {
        r.wrong("heartbeat", "must be 100ms to 15s: whoever is silent for longer is taken to be gone");
    }
    let streams = r.number("streams", 1..=1_000_000);
    let streams_per_agent = r.number("streams_per_agent", 1..=1000);
    r.finish();
    Some(Live { heartbeat: heartbeat?, streams: to_usize(streams?), streams_per_agent: to_usize(streams_per_agent?) })
}

/// A bot's first word waits no longer.
const BRIEF_MAX: Duration = Duration::from_secs(5);
const FRAMES: std::ops::RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_secs(1);
const AHEAD_MAX: Duration = Duration::from_secs(5);
const QUEUES: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

fn voicebot(table: &Table, problems: &mut Vec<Problem>) -> Option<Voicebot> {
    let mut r = Reader::new(table, "voicebot", problems);
    let sessions = r.number("sessions", 1..=1_000_000);
    let sessions_per_account = r.number("sessions_per_account", 1..=1_000_000);
    let silence = r.duration("silence");
    if silence.is_some_and(|silence| silence < Duration::from_millis(500)) {
        r.wrong("silence", "must be 500ms or more: a network may be late");
    }
    let connect_timeout = r.duration("connect_timeout");
    let brief_timeout = r.duration("brief_timeout");
    if brief_timeout.is_some_and(|wait| wait > BRIEF_MAX) {
        r.wrong("brief_timeout", "must be 5s or less: the caller hears nothing meanwhile");
    }
    let (frame, ahead, queue) = (r.duration("frame"), r.duration("ahead"), r.duration("queue"));
    if frame
        .is_some_and(|frame| !FRAMES.contains(&frame) || !frame.as_nanos().is_multiple_of(FRAMES.start().as_nanos()))
    {
        r.wrong("frame", "must be a multiple of 20ms, from 20ms to 1s: Exotel plays whole packets of 20 ms");
    }
    if frame.zip(ahead).is_some_and(|(frame, ahead)| ahead < frame * 2 || ahead > AHEAD_MAX) {
        r.wrong("ahead", "must be from twice voicebot.frame to 5s: less is heard with gaps, more cannot be taken back");
    }
    if queue.is_some_and(|queue| !QUEUES.contains(&queue)) {
        r.wrong("queue", "must be from 1s to 10m");
    }
    let (strict_frames, numbered_frames) = (r.bool("strict_frames", false), r.bool("numbered_frames", false));
    let recordings = r.text("recordings").filter(|path| !path.is_empty()).map(PathBuf::from);
    let recordings_for = r.duration("recordings_for");
    r.finish();
    Some(Voicebot {
        sessions: to_usize(sessions?),
        sessions_per_account: to_usize(sessions_per_account?),
        silence: silence?,
        connect_timeout: connect_timeout?,
        brief_timeout: brief_timeout?,
        frame: frame?,
        ahead: ahead?,
        strict_frames,
        numbered_frames,
        queue: queue?,
        recordings,
        recordings_for: recordings_for?,
    })
}

/// `calling_hours` and `calling_days`; `None`: neither is set.
fn calling_times(r: &mut Reader<'_, '_>) -> Option<CallingTimes> {
    let (hours, days) = (r.text("calling_hours"), r.texts("calling_days"));
    if hours.is_none() && days.is_none() {
        return None;
    }
    let hours = hours.unwrap_or_else(|| "00:00-24:00".to_owned());
    let Some((from, until)) = hours.split_once('-') else {
        r.wrong("calling_hours", format!("{hours:?} are no hours; write \"09:00-18:30\""));
        return None;
    };
    let days = days.unwrap_or_default();
    CallingTimes::read(from, until, &[]).map_err(|wrong| r.wrong("calling_hours", wrong)).ok()?;
    CallingTimes::read(from, until, &days).map_err(|wrong| r.wrong("calling_days", wrong)).ok()
}

fn recording(table: &Table, problems: &mut Vec<Problem>) -> Option<Recording> {
    let mut r = Reader::new(table, "recording", problems);
    let link_ttl = r.duration("link_ttl");
    let limit = r.number("limit", 1024..=i64::MAX);
    let timeout = r.duration("timeout");
    r.finish();
    Some(Recording { link_ttl: link_ttl?, limit_bytes: u64::try_from(limit?).ok()?, timeout: timeout? })
}

/// Exotel's addresses in one region.
struct Region {
    api: &'static str,
    ccm: &'static str,
    cpaas: &'static str,
    portal: &'static str,
}

/// Exotel's addresses by region (exotel-api §1.1).
fn region(name: &str) -> Option<Region> {
    match name {
        "singapore" => Some(SINGAPORE),
        "mumbai" => Some(Region {
            api: "https://api.in.exotel.com",
            ccm: "https://ccm-api.in.exotel.com",
            cpaas: "https://cpaas-api.in.exotel.com",
            portal: "https://my.in.exotel.com",
        }),
        _ => None,
    }
}

/// The APIs of the other regions, by name, where the account's is one of a region's: what may be asked to find out
/// whether the region is wrong.
pub fn elsewhere(account: &Account) -> Vec<(&'static str, Url)> {
    let names = ["singapore", "mumbai"];
    let all = names.iter().filter_map(|name| Some((*name, Url::parse(region(name)?.api).ok()?)));
    let all: Vec<(&'static str, Url)> = all.collect();
    if !all.iter().any(|(_, api)| *api == account.api_url) {
        return Vec::new();
    }
    all.into_iter().filter(|(_, api)| *api != account.api_url).collect()
}

const SINGAPORE: Region = Region {
    api: "https://api.exotel.com",
    ccm: "https://ccm-api.exotel.com",
    cpaas: "https://cpaas-api.exotel.com",
    portal: "https://my.exotel.com",
};

pub(super) fn account(at: &str, table: &Table, problems: &mut Vec<Problem>) -> Option<Account> {
    let mut r = Reader::new(table, at, problems);
    let sid = r.required("sid", "the Account SID from Exotel's dashboard, API Settings");
    if let Some(sid) = sid.as_deref().filter(|sid| !sid.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)))
    {
        r.wrong("sid", format!("{sid:?} is not an Account SID: only letters, digits, - _ and ."));
    }
    let region_name = r.text("region").unwrap_or_else(|| "singapore".to_owned());
    let defaults = region(&region_name);
    if defaults.is_none() {
        r.wrong("region", format!("must be \"singapore\" or \"mumbai\", is {region_name:?}"));
    }
    let Region { api, ccm, cpaas, portal } = defaults.unwrap_or(SINGAPORE);
    let api_url = url_or(&mut r, "api_url", api);
    let ccm_url = url_or(&mut r, "ccm_url", ccm);
    let cpaas_url = url_or(&mut r, "cpaas_url", cpaas);
    let portal_url = url_or(&mut r, "portal_url", portal);
    r.required("api_key", "Exotel's API key; it is also the user name in the hooks' URLs");
    let api_key = r.secret("api_key");
    r.required("api_token", "Exotel's API token; it is also the password in the hooks' URLs");
    let api_token = r.secret("api_token");
    let utc_offset = r.text("utc_offset").unwrap_or_else(|| "+05:30".to_owned());
    let offset = parse_offset(&utc_offset);
    if offset.is_none() {
        r.wrong("utc_offset", format!("{utc_offset:?} is not an offset; write \"+05:30\""));
    }
    let country = r.text("country").unwrap_or_else(|| "IN".to_owned()).to_uppercase();
    if country.len() != 2 || phone::parse("+12015550123", &country).is_none() {
        r.wrong("country", format!("{country:?} is not a country; write two letters such as \"IN\""));
    }
    let open_hooks = r.texts("open_hooks").unwrap_or_default();
    let families = Hook::OPENABLE.map(Hook::as_str);
    for family in open_hooks.iter().filter(|family| !families.contains(&family.as_str())) {
        r.wrong("open_hooks", format!("there is no family {family:?}; there are: {}", families.join(", ")));
    }
    let app_ids = r.texts("app_ids").unwrap_or_default();
    if app_ids.iter().any(|app| app.is_empty() || app.contains('/')) {
        r.wrong("app_ids", "must be the app ids of Exotel's WebRTC integration, as its URLs have them");
    }
    let contact_choice = r.text("contact_choice").map_or(Some(ContactChoice::default()), |text| {
        let choice = ContactChoice::parse(&text);
        if choice.is_none() {
            let known: Vec<&str> = ContactChoice::ALL.map(ContactChoice::as_str).into();
            r.wrong("contact_choice", format!("there is no policy {text:?}; there are: {}", known.join(", ")));
        }
        choice
    });
    let calling_times = calling_times(&mut r);
    let record_calls = r.bool("record_calls", true);
    let routing = r.table("routing");
    let integrations = r.tables("integration");
    let agents = r.tables("agent");
    let bots = r.tables("bot");
    let dids = r.tables("did");
    r.finish();

    let place = Place { country: &country, utc_offset: offset.unwrap_or(Offset::UTC) };
    let routing = routing
        .map_or_else(Routing::default, |table| routing::routing(&format!("{at}.routing"), table, place, problems));
    let integrations: Vec<_> = integrations
        .into_iter()
        .map(|(at, table)| {
            let sid = sid.as_deref().unwrap_or_default();
            integration(Given::InFile, &at, table, sid, offset.unwrap_or(Offset::UTC), problems)
        })
        .collect();
    for (index, one) in integrations.iter().enumerate() {
        let Some(one) = one else { continue };
        if integrations[..index].iter().flatten().any(|other| other.name == one.name) {
            problems.push(Problem {
                key: format!("{at}.integration[{index}].name"),
                message: format!("{:?} is the name of another integration of this account; give it its own", one.name),
            });
        }
    }
    let names: Vec<&str> = integrations.iter().flatten().map(|one| one.name.as_str()).collect();
    let agents: Vec<_> = agents.into_iter().map(|(at, table)| agent(&at, table, &country, &names, problems)).collect();
    let bots: Vec<_> = bots.into_iter().map(|(at, table)| bot::bot(&at, table, &country, problems)).collect();
    for (index, (one, _)) in bots.iter().enumerate().filter_map(|(index, one)| Some((index, one.as_ref()?))) {
        if bots[..index].iter().flatten().any(|(other, _)| other.id == one.id) {
            problems.push(Problem {
                key: format!("{at}.bot[{index}].id"),
                message: format!("{:?} is the id of another bot of this account; give it its own", one.id),
            });
        }
    }
    let dids: Vec<_> = dids.into_iter().map(|(at, table)| bot::did(&at, table, &country, problems)).collect();
    let (bots, of_bots): (Vec<_>, Vec<_>) = bots.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
    let dids = dids.into_iter().collect::<Option<Vec<_>>>()?;
    let dids = bot::dids(at, dids, of_bots.into_iter().flatten().collect(), problems);
    Some(Account {
        sid: sid?,
        api_url: api_url?,
        ccm_url: ccm_url?,
        cpaas_url: cpaas_url?,
        portal_url: portal_url?,
        api_key: api_key?,
        api_token: api_token?,
        utc_offset: offset?,
        country,
        open_hooks,
        app_ids,
        contact_choice: contact_choice?,
        calling_times,
        record_calls,
        routing,
        integrations: integrations.into_iter().collect::<Option<_>>()?,
        agents: agents.into_iter().collect::<Option<_>>()?,
        bots,
        dids,
    })
}

fn agent(at: &str, table: &Table, country: &str, integrations: &[&str], problems: &mut Vec<Problem>) -> Option<Agent> {
    let mut r = Reader::new(table, at, problems);
    let number = r.required("number", "the agent's number as \"+919711581199\", or \"sip:…\"").and_then(|typed| {
        if typed.starts_with("sip:") {
            return Some(typed);
        }
        let parsed = phone::parse(&typed, country).map(|number| number.e164);
        if parsed.is_none() {
            r.wrong("number", "is not a phone number; write it as \"+919711581199\", or \"sip:…\"");
        }
        parsed
    });
    let email = r.text("email");
    if email.as_deref().is_some_and(|email| !email.contains('@')) {
        r.wrong("email", "is not an e-mail address");
    }
    let caller_id = r.text("caller_id");
    let click_to_call = r.bool("click_to_call", false);
    let mut crm_user = BTreeMap::new();
    if let Some(users) = r.table("crm_user") {
        for (name, value) in users {
            let known = integrations.contains(&name.as_str());
            match value {
                _ if !known => r.wrong(
                    &format!("crm_user.{name}"),
                    format!("there is no integration of this name; there are: {}", integrations.join(", ")),
                ),
                Value::String(id) => {
                    crm_user.insert(name.clone(), id.clone());
                }
                Value::Integer(id) => {
                    crm_user.insert(name.clone(), id.to_string());
                }
                _ => r.wrong(&format!("crm_user.{name}"), "must be the id of a CRM user"),
            }
        }
    }
    r.finish();
    Some(Agent { number: number?, email, caller_id, click_to_call, crm_user })
}

pub(super) fn url(r: &mut Reader<'_, '_>, key: &str, schemes: &[&str]) -> Option<Url> {
    let text = r.text(key)?;
    let parsed = Url::parse(&text).ok().filter(|url| {
        schemes.contains(&url.scheme())
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if parsed.is_none() {
        // The text is not repeated: a credential may have been typed into it.
        r.wrong(key, "is not an address; write \"https://host\", without user, password or query");
    }
    parsed
}

fn url_or(r: &mut Reader<'_, '_>, key: &str, default: &str) -> Option<Url> {
    match url(r, key, &["http", "https"]) {
        Some(url) => Some(url),
        None => Url::parse(default).ok(),
    }
}

pub(super) fn strip_slash(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

fn parse_offset(text: &str) -> Option<Offset> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ if text.eq_ignore_ascii_case("z") => return Some(Offset::UTC),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    if !(0..=14).contains(&hours) || !(0..60).contains(&minutes) {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

fn to_usize(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(more: &str) -> [String; 4] {
        let text = format!("[[account]]\nsid = \"acme1\"\napi_key = \"k\"\napi_token = \"t\"\n{more}");
        let config = parse("test", &text, &Default::default()).expect("a configuration");
        let account = &config.accounts[0];
        let all = [&account.api_url, &account.ccm_url, &account.cpaas_url, &account.portal_url];
        all.map(|url| url.as_str().trim_end_matches('/').to_owned())
    }

    #[test]
    fn a_region_has_its_addresses_and_each_can_be_another() {
        let singapore = ["https://api.exotel.com", "https://ccm-api.exotel.com", "https://cpaas-api.exotel.com"];
        assert_eq!(addresses("")[..3], singapore);
        assert_eq!(addresses("region = \"singapore\"")[..3], singapore);
        let mumbai = addresses("region = \"mumbai\"\nccm_url = \"http://127.0.0.1:9\"");
        let expected = ["https://api.in.exotel.com", "http://127.0.0.1:9", "https://cpaas-api.in.exotel.com"];
        assert_eq!(mumbai[..3], expected);
        assert_eq!(mumbai[3], "https://my.in.exotel.com");
    }

    #[test]
    fn voicebots_calls_have_bounds() {
        let voicebot = |text: &str| parse("test", text, &Default::default()).map(|it| it.voicebot);
        let usual = voicebot("").expect("the defaults");
        assert_eq!((usual.sessions, usual.silence), (500, Duration::from_secs(30)));
        assert_eq!(voicebot("[voicebot]\nsessions = 2500").expect("as many").sessions, 2500);
        for (text, told) in [
            ("sessions = 2501", "voicebot.sessions: must be at most a quarter of server.connections"),
            ("sessions = 0", "voicebot.sessions"),
            ("silence = \"100ms\"", "voicebot.silence: must be 500ms or more"),
            ("silense = \"1s\"", "did you mean \"silence\"?"),
            ("brief_timeout = \"6s\"", "voicebot.brief_timeout: must be 5s or less"),
            ("frame = \"30ms\"", "voicebot.frame: must be a multiple of 20ms"),
            ("frame = \"2s\"", "voicebot.frame: must be a multiple of 20ms, from 20ms to 1s"),
            ("frame = \"200ms\"", "voicebot.ahead: must be from twice voicebot.frame"),
            ("ahead = \"6s\"", "voicebot.ahead: must be from twice voicebot.frame to 5s"),
            ("queue = \"20ms\"", "voicebot.queue: must be from 1s"),
        ] {
            let error = voicebot(&format!("[voicebot]\n{text}")).expect_err(told).to_string();
            assert!(error.contains(told), "{told}: {error}");
        }
    }

    #[test]
    fn only_regions_are_named_as_places_to_ask_elsewhere() {
        let elsewhere = |more: &str| {
            let text = format!("[[account]]\nsid = \"acme1\"\napi_key = \"k\"\napi_token = \"t\"\n{more}");
            let config = parse("test", &text, &Default::default()).expect("a configuration");
            super::elsewhere(&config.accounts[0]).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(elsewhere(""), ["mumbai"]);
        assert_eq!(elsewhere("region = \"mumbai\""), ["singapore"]);
        assert!(elsewhere("api_url = \"http://127.0.0.1:9\"").is_empty(), "a key is shown to nobody who is not named");
    }

    #[test]
    fn streams_leave_connections_to_callbacks() {
        let live = |text: &str| parse("test", text, &Default::default()).map(|it| it.live);
        let usual = live("").expect("the defaults");
        assert_eq!((usual.heartbeat, usual.streams), (std::time::Duration::from_secs(15), 2000));
        assert_eq!(live("[live]\nheartbeat = \"100ms\"\nstreams = 5000").expect("as many").streams, 5000);
        for wrong in [
            "[live]\nheartbeat = \"16s\"",
            "[live]\nheartbeat = \"0s\"",
            "[live]\nstreams = 0",
            "[live]\nstreams = 5001",
            "[server]\nconnections = 3999",
        ] {
            assert!(live(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sweeps_have_an_interval_and_a_time_with_a_zone() {
        let sweep = |text: &str| parse("test", &format!("[sweep]\n{text}"), &Default::default()).map(|it| it.sweep);
        let usual = sweep("").expect("the defaults");
        assert!(usual.enabled && usual.since.is_none() && usual.overlap > usual.every);
        let since = sweep("since = \"2026-11-01T00:00:00+05:30\"").expect("a time").since;
        assert_eq!(since, Some("2026-10-31T18:30:00Z".parse().expect("a time")));
        for wrong in ["every = \"0s\"", "since = \"2026-11-01\"", "since = \"yesterday\"", "lag = \"5m\""] {
            assert!(sweep(wrong).is_err(), "{wrong}");
        }
    }

    fn context_of(url: &str) -> Result<Context, String> {
        let env = [("PATCHBAY__CONTEXT__URL".to_owned(), url.to_owned())].into();
        parse("test", "", &env).map(|config| config.context).map_err(|error| error.to_string())
    }

    #[test]
    fn the_context_is_in_memory_or_on_redis() {
        assert!(matches!(context_of("memory:").expect("it").url, ContextUrl::Memory));
        for url in [
            "redis://localhost",
            "redis://10.0.0.5:6379/0",
            "rediss://user:p%2Fw@redis.example.com:6380/15",
            "redis://:secret@[::1]:6379/",
        ] {
            assert!(matches!(context_of(url).expect("it").url, ContextUrl::Redis(_)), "{url}");
        }
    }

    #[test]
    fn several_nodes_need_a_key_and_a_context_that_they_share() {
        let read = |more: &[(&str, &str)]| {
            let env = more.iter().map(|(key, value)| (format!("PATCHBAY__{key}"), (*value).to_owned())).collect();
            parse("test", "", &env).map_err(|error| error.to_string())
        };
        let url = ("STORE__URL", "postgres://patchbay:hunter2@db.example.com/calls");
        let error = read(&[url]).expect_err("refused");
        assert!(error.contains("server.master_key_file: must be set") && error.contains("context.url"), "{error}");
        let all = [url, ("SERVER__MASTER_KEY_FILE", "/etc/patchbay/key"), ("CONTEXT__URL", "redis://localhost")];
        let config = read(&all).expect("it");
        assert_eq!(config.store.url.place(), "postgres://db.example.com:5432/calls");
        assert!(!format!("{config:?}").contains("hunter2"));
        for wrong in
            ["postgres:hunter2", "postgres://:hunter2@host/db", "postgresql://u:hunter2@host", "postgres://u:a b@["]
        {
            let error = read(&[("STORE__URL", wrong)]).expect_err("refused");
            assert!(error.contains("store.url: must be \"postgres://") && !error.contains("hunter2"), "{error}");
        }
        let error = read(&[("STORE__LEASE", "10ms")]).expect_err("refused");
        assert!(error.contains("store.lease: must be at least 1s"), "{error}");
    }

    #[test]
    fn a_wrong_address_is_told_without_its_password() {
        for (url, told) in [
            ("http://:hunter2@localhost", "must begin with memory:, redis:// or rediss://"),
            ("redis://:hunter2/x@localhost", "in a password write /"),
            ("redis://user:a?hunter2@localhost", "in a password write /"),
            ("redis://:hunter2@localhost/zero", "no number of a database"),
            ("redis://:hunter2@localhost/99999", "no number of a database"),
            ("rediss://:hunter2@localhost/0#insecure", "takes neither ? nor #"),
            ("redis://:hunter2@localhost?protocol=resp3", "takes neither ? nor #"),
            ("redis:hunter2", "names no host"),
            ("memory", "is not an address"),
        ] {
            let error = context_of(url).expect_err(url);
            assert!(error.contains(told) && error.contains("context.url"), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let shown = format!("{:?}", context_of("redis://:hunter2@localhost"));
        assert!(shown.contains("Redis") && !shown.contains("hunter2"), "{shown}");
    }
}
