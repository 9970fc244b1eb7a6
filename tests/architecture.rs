//! What is said of the architecture: who may use whom, that every module says why it is there, and how long a file may
//! be. `docs/ARCHITECTURE.md` draws it; this test holds it.

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
                let allowed = module == own || below.contains(&module.as_str());
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

/// The code spans of a page that are one word, line by line, without what stands in fences.
fn spans(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    page.lines().enumerate().flat_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        let spans = line.split('`').skip(1).step_by(2);
        spans.filter(move |span| !fenced && !fence && !span.contains(' ')).map(move |span| (at + 1, span))
    })
}

/// Whether a source has a function of that name; of `Type::name` the name counts.
fn has_function(text: &str, called: &str) -> bool {
    let name = called.rsplit("::").next().unwrap_or(called);
    ["(", "<"].iter().any(|after| text.contains(&format!("fn {name}{after}")))
}

/// Somebody with a debugger goes by this page: each file it names is there, and each function is in the file named before.
#[test]
fn the_files_and_functions_of_the_architecture_are_there() {
    let (page, root) = (read(PAGE), root());
    let (mut paths, mut functions) = (0, 0);
    let mut source: Option<String> = None;
    for (line, span) in spans(&page) {
        if let Some(called) = span.strip_suffix("()") {
            let file = source.as_deref().unwrap_or_else(|| panic!("{PAGE}:{line}: {span} stands in no file"));
            assert!(has_function(&read(file), called), "{PAGE}:{line}: {file} has no function {called}");
            functions += 1;
        } else if span.ends_with(".rs") || (span.ends_with('/') && !span.starts_with('/')) {
            assert!(root.join(span).exists(), "{PAGE}:{line}: there is no {span}");
            source = span.ends_with(".rs").then(|| span.to_owned());
            paths += 1;
        }
    }
    assert!(paths > 60 && functions > 40, "{paths} paths, {functions} functions");
}

/// The drawing has every room: the entries of `src` and the crates beside it, and nothing that is not there.
#[test]
fn the_drawing_of_the_rooms_is_complete() {
    let page = read(PAGE);
    let (_, rest) = page.split_once("## The rooms").expect("its heading");
    let (_, rest) = rest.split_once("```\n").expect("a drawing");
    let (tree, _) = rest.split_once("```").expect("its end");
    let root = root();
    let mut drawn = BTreeSet::new();
    let mut folder = String::new();
    for line in tree.lines().filter(|line| !line.trim().is_empty()) {
        let name = line.split_whitespace().next().unwrap_or_default();
        match line.starts_with("  ") {
            false => {
                folder = name.to_owned();
                drawn.insert(name.to_owned());
            }
            // What goes on with the line above stands further in.
            true if line.starts_with("   ") => continue,
            true => {
                drawn.insert(format!("{folder}{name}"));
            }
        }
    }
    for name in &drawn {
        assert!(root.join(name).exists(), "the drawing has {name}, which is not there");
    }
    for entry in fs::read_dir(root.join("src")).expect("src") {
        let entry = entry.expect("an entry");
        let end = if entry.path().is_dir() { "/" } else { "" };
        let name = format!("src/{}{end}", entry.file_name().to_string_lossy());
        // The second half of a room stands in its folder, under the room's own name.
        let half = name.ends_with('/') && root.join(format!("{}.rs", name.trim_end_matches('/'))).exists();
        assert!(half || drawn.contains(&name), "{PAGE} does not draw {name}");
    }
}

/// What a part does is told in that part; the page says where, under which heading.
#[test]
fn what_is_told_in_the_code_has_its_heading_there() {
    let page = read(PAGE);
    let (_, section) = page.split_once("## Where each part tells of itself").expect("its heading");
    let rows: Vec<(&str, &str)> =
        section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix("` |")?.split_once(" | `")).collect();
    assert!(rows.len() > 20, "{rows:?}");
    for (what, place) in rows {
        assert!(read(place).contains(&format!("//! # {what}\n")), "{place} has no part called {what:?}");
    }
}

/// The list of decisions has each of them, under its own title.
#[test]
fn every_decision_is_in_the_list() {
    let index = format!("{DECISIONS}/README.md");
    let list = read(&index);
    let entries = fs::read_dir(root().join(DECISIONS)).expect("the decisions");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let pages: Vec<String> = names.filter(|name| name != "README.md").collect();
    for name in &pages {
        let text = read(&format!("{DECISIONS}/{name}"));
        let title = text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a title");
        let number = &name[..4];
        let row = format!("| [{number}]({name}) | {title} |");
        assert!(list.contains(&row), "{index} has no line {row}");
    }
    let rows = list.lines().filter(|line| line.starts_with("| [")).count();
    assert_eq!(rows, pages.len(), "{index} has lines for what is not there");
}

/// Files beyond this are divided, or have a reason.
const LINES: usize = 500;

/// What is one thing, though long. A file that is divided leaves this list.
const LONG: &[(&str, &str)] = &[
    ("connectors/sandbox/src/backends/openai.rs", "one session of the service, whose events only make sense together"),
    ("src/call/tests.rs", "recorded flows and what any order of them must lead to: one rig, one subject"),
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
