//! What is said of the architecture: who may use whom, that every module says why it is there, how long a file may be,
//! and that a crate uses what it names. `docs/ARCHITECTURE.md` draws it; this test holds it.

#[path = "architecture/page.rs"]
mod page;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// How the house is built, and where.
const PAGE: &str = "docs/ARCHITECTURE.md";
/// What was decided, and why: a page each, and the list of them.
const DECISIONS: &str = "docs/decisions";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Dependencies a crate of ours names, without those of its tests.
fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(manifest).expect("a manifest");
    let table: toml::Table = text.parse().expect("TOML");
    let named = table.get("dependencies").and_then(toml::Value::as_table);
    named.map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

/// Manifests of the crates that are ours.
fn manifests() -> Vec<PathBuf> {
    let mut all =
        vec![root().join("Cargo.toml"), root().join("voice/Cargo.toml"), root().join("docs/karibu/Cargo.toml")];
    let connectors = fs::read_dir(root().join("connectors")).expect("connectors");
    all.extend(connectors.map(|entry| entry.expect("an entry").path().join("Cargo.toml")));
    all
}

fn sources(under: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut left = vec![root().join(under)];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            found.push((path.strip_prefix(root()).expect("below the root").to_owned(), text));
        }
    }
    assert!(!found.is_empty(), "{under} has no sources");
    found
}

/// First segments of `crate::…` paths in a source.
fn modules_used(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            // `use crate::{a::b, c::{d, e}}`: the names at the group's own level.
            let (mut depth, mut name) = (0, String::new());
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        used.insert(first(&name));
                        name.clear();
                    }
                    c if depth == 0 => name.push(c),
                    _ => {}
                }
            }
            used.insert(first(&name));
        } else {
            used.insert(first(rest));
        }
    }
    used.remove("");
    used
}

fn first(path: &str) -> String {
    path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn the_kit_is_values_only() {
    let used = dependencies(&root().join("connectors/kit/Cargo.toml"));
    let allowed = ["bytes", "form_urlencoded", "http", "jiff", "percent-encoding", "serde", "serde_json"];
    let allowed: BTreeSet<String> = allowed.map(str::to_owned).into();
    let more: Vec<_> = used.difference(&allowed).collect();
    assert!(more.is_empty(), "no runtime, no HTTP client, no web framework in the contract: {more:?}");
}

/// Frames and audio are values: what a session does with them is tested without a socket, and never waits for one.
#[test]
fn the_voice_crate_does_no_io() {
    let used = dependencies(&root().join("voice/Cargo.toml"));
    let allowed = ["base64", "memchr", "serde_json", "thiserror"].map(str::to_owned).into();
    let more: Vec<_> = used.difference(&allowed).collect();
    assert!(more.is_empty(), "no runtime, no sockets in the voice crate: {more:?}");
    for (path, text) in sources("voice/src") {
        for io in ["std::fs", "std::net", "std::io::Read", "std::thread", "Instant", "SystemTime", "tracing"] {
            assert!(!text.contains(io), "{} names {io}: it takes values and a clock reading", path.display());
        }
    }
}

#[test]
fn a_connector_depends_on_the_kit_alone() {
    let ours = ["kit", "testkit", "sandbox"];
    let mut seen = 0;
    for entry in fs::read_dir(root().join("connectors")).expect("connectors") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if ours.contains(&name.as_str()) {
            continue;
        }
        seen += 1;
        let used = dependencies(&path.join("Cargo.toml"));
        let io = ["tokio", "reqwest", "hyper", "actix-web", "rusqlite"];
        for dependency in &used {
            let of_ours = dependency.starts_with("patchbay") && dependency != "patchbay-kit";
            assert!(!of_ours && !io.contains(&dependency.as_str()), "{name} uses {dependency}");
        }
        assert!(path.join("README.md").exists(), "{name} has no set-up page");
    }
    assert!(seen > 0);
}

#[test]
fn the_service_ships_without_the_testkit() {
    assert!(!dependencies(&root().join("Cargo.toml")).contains("patchbay-testkit"));
}

#[test]
fn the_domain_is_pure() {
    for (path, text) in sources("src/call") {
        let used = modules_used(&text);
        let others: Vec<_> = used.iter().filter(|module| *module != "call").collect();
        assert!(others.is_empty(), "{} uses {others:?}", path.display());
        for io in ["tokio", "reqwest", "actix_web", "rusqlite", "std::fs", "std::net", "Timestamp::now", "SystemTime"] {
            assert!(!text.contains(io), "{} names {io}: the domain takes values and a clock reading", path.display());
        }
    }
}

#[test]
fn each_module_uses_only_what_stands_below_it() {
    // What each part may name, from the top down; itself is always allowed.
    let rules: &[(&str, &[&str])] = &[
        ("src/config", &["call", "connect"]),
        ("src/connect", &["crash", "key", "store"]),
        ("src/telemetry", &["config"]),
        ("src/store", &["call", "crash"]),
        ("src/context", &["call", "key", "store"]),
        ("src/exotel", &["call", "connect", "store", "telemetry"]),
        ("src/delivery", &["call", "connect", "crash", "store", "telemetry"]),
        ("src/directory", &["call", "config", "key", "store"]),
        ("src/dialer", &["call", "config", "crash", "exotel", "store", "telemetry"]),
        ("src/live.rs", &["call", "context", "directory", "store", "telemetry"]),
        (
            "src/voice",
            &["app", "call", "config", "connect", "context", "delivery", "directory", "hooks", "store", "telemetry"],
        ),
        ("src/access", &["context", "directory", "key", "store"]),
        (
            "src/accounts",
            &["call", "config", "connect", "delivery", "dialer", "directory", "exotel", "key", "store", "telemetry"],
        ),
        ("src/hooks", &["app", "call", "config", "context", "crash", "directory", "key", "store", "telemetry"]),
        (
            "src/web",
            &[
                "access",
                "accounts",
                "app",
                "call",
                "config",
                "connect",
                "context",
                "delivery",
                "dialer",
                "directory",
                "exotel",
                "hooks",
                "key",
                "live",
                "reseal",
                "store",
                "telemetry",
            ],
        ),
    ];
    for (part, below) in rules {
        let own = part.trim_start_matches("src/");
        for (path, text) in sources(part) {
            for module in modules_used(&text) {
                // The table of codes stands below everything.
                let allowed = module == own || module == "codes" || below.contains(&module.as_str());
                assert!(allowed, "{} uses crate::{module}; {part} may use {below:?}", path.display());
            }
        }
    }
}

/// The layers as the page draws them, from the top down; the last line is for what all may use.
fn layers() -> Vec<Vec<String>> {
    let page = read(PAGE);
    let (_, rest) = page.split_once("### Who may use whom").expect("its heading");
    let (_, rest) = rest.split_once("```\n").expect("a drawing");
    let (drawing, _) = rest.split_once("```").expect("its end");
    // Behind two spaces stands what a layer is.
    let names = |line: &str| line.split("  ").next().unwrap_or_default().split(" · ").map(str::to_owned).collect();
    drawing.lines().filter(|line| !line.trim().is_empty()).map(names).collect()
}

#[test]
fn nothing_uses_what_the_page_draws_above_it() {
    let layers = layers();
    let layer = |module: &str| layers.iter().position(|names| names.iter().any(|name| name == module));
    let mut uses = 0;
    for (path, text) in sources("src") {
        let part = path.components().nth(1).map(|part| part.as_os_str().to_string_lossy().into_owned());
        let own = part.unwrap_or_default().trim_end_matches(".rs").to_owned();
        if own == "lib" {
            continue;
        }
        let at = layer(&own).unwrap_or_else(|| panic!("the page draws no {own}"));
        for module in modules_used(&text) {
            let below = layer(&module).unwrap_or_else(|| panic!("{}: the page draws no {module}", path.display()));
            assert!(below >= at, "{} uses crate::{module}, which stands above {own}", path.display());
            uses += 1;
        }
    }
    assert!(uses > 300, "{uses} uses seen");
}

#[test]
fn sql_and_http_each_have_one_place() {
    for (path, text) in sources("src") {
        let place = path.to_string_lossy().into_owned();
        if !place.starts_with("src/store/") {
            assert!(!text.contains("rusqlite"), "{place}: SQL belongs below src/store");
        }
        let client =
            place == "src/connect/transport.rs" || place.starts_with("src/simulate") || place.starts_with("src/demo");
        if !client {
            assert!(!text.contains("reqwest::Client"), "{place}: there is one HTTP client, src/connect/transport.rs");
        }
    }
}

#[test]
fn the_api_is_mounted_behind_its_guard_alone() {
    // Health, recordings, the way back from a consent and what LeadSquared calls, with its own credential, are no part of it.
    let others = ["src/web/auth.rs", "src/web/mod.rs", "src/web/integrations.rs", "src/web/leadsquared.rs"];
    for (path, text) in sources("src/web") {
        let place = path.to_string_lossy().into_owned();
        let mounts = text.contains(".route(") || text.contains("web::resource(") || text.contains("web::scope(");
        assert!(
            !mounts || others.contains(&place.as_str()),
            "{place}: an endpoint belongs into its table, with its role"
        );
        assert!(!text.contains(".route(\"/api"), "{place} mounts an endpoint beside the guard");
    }
}

/// Lower case, without the `s` of a plural, and none of the small ones.
fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() > 3);
    words.map(|word| word.to_lowercase().trim_end_matches('s').to_owned()).collect()
}

/// The first sentence of a source's own documentation; none if it does not begin with that.
fn first_sentence(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//! "));
    let first = lines.collect::<Vec<_>>().join(" ");
    first.split_once(". ").map_or(first.clone(), |(sentence, _)| sentence.to_owned())
}

/// Whoever opens a file reads in its first sentence what it is there for: something that its name has not said yet.
#[test]
fn every_module_says_why_it_exists() {
    for part in ["src", "connectors", "voice", "benches", "tests", "docs/karibu"] {
        for (path, text) in sources(part) {
            let said = first_sentence(&text);
            let place = path.to_string_lossy();
            assert!(!said.is_empty(), "{place} does not begin with its reason (`//! …`)");
            let named = words(&place.replace('_', " "));
            let more = words(&said).difference(&named).count();
            assert!(more > 3, "{place} says little more than its name: {said:?}");
        }
    }
}

#[test]
fn a_sentence_that_says_no_more_than_the_name_is_seen() {
    let said = first_sentence("//! The hooks: what Exotel\n//! calls. And why they do.\n\nuse std;");
    assert_eq!(said, "The hooks: what Exotel calls");
    let named = words("src/hooks/mod.rs");
    assert_eq!(words(&said).difference(&named).count(), 3, "{said}");
    assert_eq!(first_sentence("use std;\n//! late"), "");
}

/// What a person must act on or should know of can be looked up: no such line without its code.
#[test]
fn every_warning_and_error_in_the_log_has_its_code() {
    for (path, text) in sources("src") {
        let of_ours = !path.starts_with("src/simulate") && !path.starts_with("src/demo");
        for level in ["tracing::warn!(", "tracing::error!("].into_iter().filter(|_| of_ours) {
            for (at, _) in text.match_indices(level) {
                let said = text[at + level.len()..].trim_start();
                let line = text[..at].lines().count();
                assert!(
                    said.starts_with("code = "),
                    "{}:{line}: a line of this level begins with its code",
                    path.display()
                );
            }
        }
    }
}

/// A code that nothing says any more leads a reader of the page astray.
#[test]
fn every_code_is_given_out_somewhere() {
    let own = Path::new("src/codes.rs");
    let said: String = sources("src").into_iter().filter(|(path, _)| path != own).map(|(_, text)| text).collect();
    // What the connectors say goes by the kit's kinds.
    let kinds =
        "CrmUnauthorized CrmForbidden CrmNotFound CrmConflict CrmInvalid CrmUnsupported CrmUnavailable CrmMalformed";
    for row in patchbay::codes::TABLE {
        let name = format!("{:?}", row.code);
        let used = said
            .match_indices(&format!("Code::{name}"))
            .any(|(at, found)| !said[at + found.len()..].starts_with(|next: char| next.is_ascii_alphanumeric()));
        assert!(used || kinds.split(' ').any(|kind| kind == name), "nothing gives out {}", row.word);
    }
}

/// Files beyond this are divided, or have a reason.
const LINES: usize = 500;

/// What is one thing, though long. A file that is divided leaves this list.
const LONG: &[(&str, &str)] = &[
    ("connectors/sandbox/src/backends/openai.rs", "one session of the service, whose events only make sense together"),
    ("src/call/tests.rs", "recorded flows and what any order of them must lead to: one rig, one subject"),
    ("src/codes.rs", "one table, which one looks through as a whole"),
    ("src/connect/oauth/tests.rs", "keepers against one token server that knows the rules"),
    ("src/simulate/voicebot/tests.rs", "one bot with every fault, and that each is named"),
    (
        "src/store/postgres/mod.rs",
        "a trait is implemented in one block; each operation is a line, its work is its subject's",
    ),
    (
        "src/store/sqlite/mod.rs",
        "a trait is implemented in one block; each operation is a line, its work is its subject's",
    ),
    ("src/voice/session.rs", "one task owns both connections of a call: what it waits for stands in one place"),
    ("tests/e2e/rig.rs", "the one way from a test to the real binary"),
    (
        "voice/src/backend/gemini/mod.rs",
        "one conversation's state: what was asked, said, heard, and over which connection",
    ),
    ("voice/src/backend/gemini/tests.rs", "one service, against what it has published"),
    ("voice/src/backend/openai/mod.rs", "one conversation's state: what was asked, said, heard"),
    ("voice/tests/openai.rs", "one service, against what it has published"),
];

#[test]
fn a_long_file_has_a_reason() {
    let mut long = BTreeSet::new();
    for under in ["src", "connectors", "tests", "voice", "benches", "docs/karibu"] {
        for (path, text) in sources(under) {
            if text.lines().count() > LINES {
                long.insert(path.to_string_lossy().into_owned());
            }
        }
    }
    let named: BTreeSet<String> = LONG.iter().map(|(path, _)| (*path).to_owned()).collect();
    let without: Vec<_> = long.difference(&named).collect();
    assert!(without.is_empty(), "beyond {LINES} lines: divide them, or give the reason in LONG: {without:?}");
    let no_more: Vec<_> = named.difference(&long).collect();
    assert!(no_more.is_empty(), "not beyond {LINES} lines any more, so not in LONG: {no_more:?}");
}

#[test]
fn a_dependency_is_used() {
    for manifest in manifests() {
        let place = manifest.parent().expect("a folder").strip_prefix(root()).expect("below the root").to_owned();
        let source = sources(&place.join("src").to_string_lossy());
        for dependency in dependencies(&manifest) {
            let name = dependency.replace('-', "_");
            let used = source.iter().any(|(_, text)| {
                text.match_indices(&name).any(|(at, _)| {
                    let part = |c: char| c.is_alphanumeric() || c == '_';
                    !text[..at].ends_with(part) && !text[at + name.len()..].starts_with(part)
                })
            });
            assert!(used, "{} names {dependency}, and nothing in its src uses it", manifest.display());
        }
    }
}
