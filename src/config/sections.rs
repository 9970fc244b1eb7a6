//! The service's own sections, `[server]` to `[recording]`: each key read, and what it must be.

use std::{path::PathBuf, time::Duration};

use jiff::Timestamp;
use secrecy::ExposeSecret;
use toml::Table;
use url::Url;

use super::{
    model::{
        Context, ContextUrl, Delivery, Dialer, Enquiry, Hooks, Live, Log, LogFormat, Recording, Server, Store,
        StoreUrl, Sweep, Voicebot,
    },
    reader::{Problem, Reader, strip_slash, url},
};

/// The shortest admin token that is let through.
const ADMIN_TOKEN_CHARS: usize = 24;

pub(super) fn server(table: &Table, problems: &mut Vec<Problem>) -> Option<Server> {
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

pub(super) fn store(table: &Table, problems: &mut Vec<Problem>) -> Option<Store> {
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

pub(super) fn context(table: &Table, problems: &mut Vec<Problem>) -> Option<Context> {
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

pub(super) fn log(table: &Table, problems: &mut Vec<Problem>) -> Option<Log> {
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

pub(super) fn delivery(table: &Table, problems: &mut Vec<Problem>) -> Option<Delivery> {
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

pub(super) fn enquiry(table: &Table, problems: &mut Vec<Problem>) -> Option<Enquiry> {
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

pub(super) fn sweep(table: &Table, problems: &mut Vec<Problem>) -> Option<Sweep> {
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

pub(super) fn hooks(table: &Table, problems: &mut Vec<Problem>) -> Option<Hooks> {
    let mut r = Reader::new(table, "hooks", problems);
    let answer_deadline = r.duration("answer_deadline");
    if answer_deadline.is_some_and(|deadline| deadline > ANSWER_DEADLINE) {
        r.wrong("answer_deadline", "must be at most 4500ms: Exotel waits 5 s, and then goes on without an answer");
    }
    r.finish();
    Some(Hooks { answer_deadline: answer_deadline? })
}

pub(super) fn dialer(table: &Table, problems: &mut Vec<Problem>) -> Option<Dialer> {
    let mut r = Reader::new(table, "dialer", problems);
    let wait = r.duration("wait");
    let settle_after = r.duration("settle_after");
    r.finish();
    Some(Dialer { wait: wait?, settle_after: settle_after? })
}

/// Presence ends after three of these.
const HEARTBEATS: std::ops::RangeInclusive<std::time::Duration> =
    std::time::Duration::from_millis(100)..=std::time::Duration::from_secs(15);

pub(super) fn live(table: &Table, problems: &mut Vec<Problem>) -> Option<Live> {
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

pub(super) fn voicebot(table: &Table, problems: &mut Vec<Problem>) -> Option<Voicebot> {
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

pub(super) fn recording(table: &Table, problems: &mut Vec<Problem>) -> Option<Recording> {
    let mut r = Reader::new(table, "recording", problems);
    let link_ttl = r.duration("link_ttl");
    let limit = r.number("limit", 1024..=i64::MAX);
    let timeout = r.duration("timeout");
    r.finish();
    Some(Recording { link_ttl: link_ttl?, limit_bytes: u64::try_from(limit?).ok()?, timeout: timeout? })
}

fn to_usize(number: i64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

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
