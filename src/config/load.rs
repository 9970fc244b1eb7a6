//! Reading a configuration: the compiled-in defaults, the file over them, the environment over both.

use std::{collections::BTreeMap, path::Path};

use super::{
    account::account,
    layers::{expand, merge, override_from, parse_table},
    model::{Config, Context, ContextUrl, Server, Store, StoreUrl},
    reader::{ConfigError, Problem, Reader},
    sections,
};

/// The defaults, as the documentation of every key.
pub const DEFAULT: &str = include_str!("../../config/default.toml");

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

    let server = sections::server(section("server")?, problems);
    let store = sections::store(section("store")?, problems);
    if let (Some(Server { master_key_file: None, .. }), Some(Store { url: StoreUrl::Postgres { .. }, .. })) =
        (&server, &store)
    {
        let message = "must be set where store.url is PostgreSQL: make the file with `openssl rand -hex 32`, and give \
                       every node the same";
        problems.push(Problem { key: "server.master_key_file".to_owned(), message: message.to_owned() });
    }
    let context = sections::context(section("context")?, problems);
    if let (Some(store), Some(Context { url: ContextUrl::Memory, .. })) = (&store, &context)
        && store.url.is_shared()
    {
        let message = "several nodes share this store, and must share the context: write \"redis://host:6379/0\"";
        problems.push(Problem { key: "context.url".to_owned(), message: message.to_owned() });
    }
    let log = sections::log(section("log")?, problems);
    let delivery = sections::delivery(section("delivery")?, problems);
    let enquiry = sections::enquiry(section("enquiry")?, problems);
    let sweep = sections::sweep(section("sweep")?, problems);
    let hooks = sections::hooks(section("hooks")?, problems);
    let dialer = sections::dialer(section("dialer")?, problems);
    let live = sections::live(section("live")?, problems);
    if let (Some(live), Some(server)) = (&live, &server)
        && live.streams > server.connections / 2
    {
        let message = "must be at most half of server.connections: callbacks need the others";
        problems.push(Problem { key: "live.streams".to_owned(), message: message.to_owned() });
    }
    let voicebot = sections::voicebot(section("voicebot")?, problems);
    if let (Some(voicebot), Some(server)) = (&voicebot, &server)
        && voicebot.sessions > server.connections / 4
    {
        let message = "must be at most a quarter of server.connections: callbacks need the others";
        problems.push(Problem { key: "voicebot.sessions".to_owned(), message: message.to_owned() });
    }
    let recording = sections::recording(section("recording")?, problems);
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
