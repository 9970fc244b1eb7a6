//! What the documentation shows is what the program takes.

#[path = "docs/commands.rs"]
mod commands;
#[path = "docs/coverage.rs"]
mod coverage;
#[path = "docs/names.rs"]
mod names;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use patchbay::{
    call::compose::Texts,
    codes,
    config::{self, DEFAULT},
    connect::catalogue,
    connectors,
    simulate::voicebot,
    telemetry::Metrics,
    web,
};

/// The pages whose marked parts come from elsewhere, and how they are brought up to date.
const CONNECTORS: &str = "docs/CONNECTORS.md";
const VOICEBOTS: &str = "docs/VOICEBOTS.md";
const ERRORS: &str = "docs/ERRORS.md";
const OPERATING: &str = "docs/OPERATING.md";
/// The page of what others have, row by row.
const COVERAGE: &str = "docs/COVERAGE.md";
const CURE: &str = "UPDATE=1 cargo test -p patchbay --test docs";
/// The worked example of the page of connectors.
const EXAMPLE: &str = "docs/karibu";

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A value for every variable that a text names: an address where the name says so.
fn env(text: &str) -> BTreeMap<String, String> {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split_once('}'));
    let value = |name: &str| match name.ends_with("_URL") {
        true => "https://telephony.example/1/api/Telephony/x".to_owned(),
        false => "x".repeat(32),
    };
    names.map(|(name, _)| (name.to_owned(), value(name))).collect()
}

fn loads(name: &str, text: &str) -> config::Config {
    config::parse(name, text, &env(text)).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The set-up pages of the connectors that are built in.
fn set_up_pages() -> Vec<String> {
    catalogue::all().iter().map(|entry| format!("connectors/{}/README.md", entry.manifest.id)).collect()
}

/// Every file under a folder, as paths from the root.
fn files(under: &str) -> BTreeSet<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut left) = (BTreeSet::new(), vec![root.join(under)]);
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").path()));
        } else {
            found.insert(path.strip_prefix(&root).expect("below the root").display().to_string());
        }
    }
    found
}

/// The blocks of a page that are fenced as TOML.
fn toml_blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<Vec<&str>> = None;
    for line in page.lines() {
        match (&mut block, line.trim()) {
            (None, "```toml") => block = Some(Vec::new()),
            (Some(lines), "```") => {
                blocks.push(lines.join("\n"));
                block = None;
            }
            (Some(lines), _) => lines.push(line),
            (None, _) => {}
        }
    }
    blocks
}

/// The defaults with what they show in comments: that is a key once it is uncommented; sentences are not.
fn uncommented() -> String {
    let shown: Vec<String> = DEFAULT
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest.starts_with('[') || rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) =>
            {
                rest.to_owned()
            }
            _ => line.to_owned(),
        })
        .collect();
    shown.join("\n")
}

#[test]
fn the_defaults_and_what_they_show_in_comments_load() {
    loads("default.toml", DEFAULT);
    let shown = uncommented();
    assert!(shown.contains("\n[[account.integration]]\n") && shown.contains("\nadmin_token ="), "{shown}");
    loads("default.toml, uncommented", &shown);
}

#[test]
fn the_readmes_configurations_load() {
    let mut pages = set_up_pages();
    pages.extend(["README.md", OPERATING, VOICEBOTS].map(str::to_owned));
    for page in pages {
        let blocks = toml_blocks(&read(&page));
        assert!(!blocks.is_empty(), "{page} shows no configuration");
        // A page may show one part of an account at a time: each is read below an account, and what belongs to an
        // integration below the one that the page shows first.
        let account = "[[account]]\nsid = \"exotel535\"\napi_key = \"k\"\napi_token = \"t\"\n";
        for block in &blocks {
            let whole = if block.contains("[[account]]") {
                block.clone()
            } else if block.starts_with("[account.integration.") {
                format!("{account}{}\n{block}", blocks[0])
            } else if block.starts_with("[server]") {
                // Parts of the file that are none of an account's: they may have to stand together.
                block.clone()
            } else {
                format!("{account}{block}")
            };
            loads(&page, &whole);
        }
    }
}

/// Every example loads, and one of them has an integration with each connector in it, with every setting named.
#[test]
fn the_examples_load_and_show_every_setting() {
    for name in files("config/examples") {
        loads(&name, &read(&name));
    }
    let name = "config/examples/every_connector.toml";
    let text = read(name);
    let config = loads(name, &text);
    let shown: BTreeSet<&str> =
        config.accounts.iter().flat_map(|account| &account.integrations).map(|one| one.manifest.id).collect();
    for entry in catalogue::all() {
        let manifest = entry.manifest;
        assert!(shown.contains(manifest.id), "{name} has no {}", manifest.id);
        let start = text.find(&format!("connector = \"{}\"", manifest.id)).expect("its integration");
        let rest = &text[start..];
        let section = &rest[..rest.find("\n[[").unwrap_or(rest.len())];
        for setting in manifest.settings {
            let named = section.lines().any(|line| {
                let line = line.trim_start_matches("# ");
                line.strip_prefix(setting.key).is_some_and(|rest| rest.trim_start().starts_with('='))
            });
            assert!(named, "{name}: {} does not show `{}`", manifest.id, setting.key);
        }
    }
}

/// What a mark says stands below it: a command's output, or a file in a fence of its own.
fn from(source: &str) -> String {
    if source == "patchbay connectors --markdown" {
        return connectors::markdown();
    }
    if source == "patchbay simulate voicebot --list" {
        return voicebot::markdown();
    }
    if source == "src/codes.rs" {
        return codes::markdown();
    }
    let text = read(source);
    let language = match Path::new(source).extension().and_then(|extension| extension.to_str()) {
        Some("rs") => "rust",
        // A page shows blocks of its own, and the configuration in it is not this page's.
        Some("md") => "markdown",
        Some(other) => other,
        None => "text",
    };
    let fence = if text.contains("```") { "````" } else { "```" };
    format!("{fence}{language}\n{text}{fence}\n")
}

/// The page with what is between its marks replaced, and the sources that its marks name.
fn marked(page: &str) -> (String, Vec<String>) {
    let (mut whole, mut sources, mut rest) = (String::new(), Vec::new(), page);
    while let Some((before, after)) = rest.split_once("<!-- from: ") {
        let (source, after) = after.split_once(" -->\n").expect("a whole mark");
        let (_, after) = after.split_once("<!-- end -->").unwrap_or_else(|| panic!("{source} has no end"));
        whole.push_str(&format!("{before}<!-- from: {source} -->\n{}<!-- end -->", from(source)));
        sources.push(source.to_owned());
        rest = after;
    }
    whole.push_str(rest);
    (whole, sources)
}

/// The page as its sources have it, and what they are; it has to be that, or is made so.
fn held(name: &str) -> (String, Vec<String>) {
    let page = read(name);
    let (whole, sources) = marked(&page);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name), &whole).expect("written");
    } else if page != whole {
        let line = page.lines().zip(whole.lines()).position(|(was, is)| was != is).unwrap_or_default() + 1;
        panic!("{name} differs from what it shows, from line {line} on; `{CURE}` rewrites it");
    }
    (whole, sources)
}

#[test]
fn the_page_of_voicebots_shows_the_rules() {
    let (whole, sources) = held(VOICEBOTS);
    assert_eq!(sources, ["patchbay simulate voicebot --list"]);
    assert!(whole.contains("| `barge_in` |"), "{whole}");
}

#[test]
fn the_page_of_connectors_shows_what_is_there() {
    let (whole, sources) = held(CONNECTORS);
    assert!(sources.iter().any(|source| source.starts_with("patchbay ")), "the table is not marked");
    // One cassette of each kind would be too much; everything else of the example is on the page.
    for file in files(EXAMPLE).iter().filter(|file| !file.contains("/cassettes/")) {
        assert!(sources.contains(file), "{CONNECTORS} does not show {file}");
    }
    let (again, _) = marked(&whole);
    assert_eq!(again, whole, "a file of the example holds a mark");
}

/// The lines that add a connector are those which the ones that are there have.
#[test]
fn the_lines_that_add_a_connector_are_as_others_have_them() {
    let page = read(CONNECTORS);
    let lines: Vec<(&str, &str)> = page
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(file, line)| line.contains("karibu") && (file.ends_with(".toml") || file.ends_with(".rs")))
        .collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    for (file, line) in lines {
        let text = read(file);
        for entry in catalogue::all() {
            let id = entry.manifest.id;
            // A package has a hyphen where its folder and its module have an underscore.
            let known =
                line.replace("patchbay-karibu", &format!("patchbay-{}", id.replace('_', "-"))).replace("karibu", id);
            assert!(text.lines().any(|there| there.trim() == known), "{file} has no line {known:?}");
        }
    }
}

/// The seat on the page is no file that is compiled: what it calls is what the other seats call.
#[test]
fn the_seat_is_made_as_the_others_are() {
    let page = read(CONNECTORS);
    let (_, section) = page.split_once("### A seat in the end-to-end tests").expect("its heading");
    let block = section.split("```").nth(1).and_then(|block| block.strip_prefix("text\n")).expect("the seat");
    let seats = read("tests/e2e/every/seats.rs");
    let names = |text: &str| -> BTreeSet<String> {
        let split = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        split.filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let known = names(&seats);
    let code: String = block.lines().filter(|line| !line.starts_with("//")).collect::<Vec<_>>().join("\n");
    for name in names(&code).iter().filter(|name| !name.to_lowercase().contains("karibu")) {
        assert!(known.contains(name), "no seat has {name}");
    }
    assert!(code.contains("Seat::new("), "{code}");
}

#[test]
fn every_template_is_named_where_overriding_is_explained() {
    let page = read(CONNECTORS);
    for name in Texts::names() {
        let (stem, part) = name.split_once('.').expect("a stem and a part");
        let whole = page.contains(&format!("`{name}`"));
        let parts = page.contains(&format!("`{stem}`")) && page.contains(&format!("`.{part}`"));
        assert!(whole || parts, "{name} is not in docs/CONNECTORS.md");
    }
}

/// What the headings of a page are linked to by.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| {
        let kept = |c: char| match c {
            ' ' => Some('-'),
            _ => (c.is_alphanumeric() || "-_".contains(c)).then_some(c),
        };
        line.trim_start_matches('#').trim().to_lowercase().chars().filter_map(kept).collect()
    })
}

#[test]
fn a_link_in_the_docs_leads_somewhere() {
    let mut pages: BTreeSet<String> = set_up_pages().into_iter().collect();
    pages.extend(["README.md", "connectors/testkit/README.md"].map(str::to_owned));
    // A page of the worked example stands in another folder there; where it is shown, its links are looked at.
    pages.extend(files("docs").into_iter().filter(|file| file.ends_with(".md") && !file.starts_with(EXAMPLE)));
    for page in pages {
        let text = read(&page);
        let folder = PathBuf::from(&page).parent().map(PathBuf::from).unwrap_or_default();
        for (at, _) in text.match_indices("](") {
            let target: String = text[at + 2..].chars().take_while(|c| *c != ')').collect();
            // Code on the page has brackets, too.
            if target.contains(['"', ' ', '|']) || target.is_empty() {
                continue;
            }
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target.as_str(), ""));
            let there = if file.is_empty() { PathBuf::from(&page) } else { folder.join(file) };
            let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(there);
            assert!(path.exists(), "{page} links to {target}, which is not there");
            if !anchor.is_empty() {
                let text = fs::read_to_string(&path).expect("a page");
                assert!(anchors(&text).any(|one| one == anchor), "{page} links to {target}: no heading is called so");
            }
        }
    }
}

#[test]
fn the_page_of_errors_is_the_table_of_codes() {
    let (page, sources) = held(ERRORS);
    assert_eq!(sources, ["src/codes.rs"]);
    for row in codes::TABLE {
        assert_eq!(page.matches(&format!("\n### `{}`", row.word)).count(), 1, "{}", row.word);
    }
}

/// The page of words, and the words of others that it has in `code` behind each of ours.
const GLOSSARY: &str = "docs/GLOSSARY.md";

#[test]
fn each_thing_has_one_word() {
    let page = read(GLOSSARY);
    let rows = page.lines().filter(|line| line.starts_with("| ")).skip(1);
    let replaced: BTreeMap<String, String> = rows
        .flat_map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [word, _, _, others] = cells.as_slice() else { panic!("four cells: {row}") };
            let others = others.split('`').skip(1).step_by(2).map(str::to_owned);
            others.map(|other| (other, (*word).to_owned())).collect::<Vec<_>>()
        })
        .collect();
    assert!(replaced.len() > 8, "the table of words was read");

    let mut texts = vec![("config/default.toml".to_owned(), DEFAULT.to_owned())];
    let pages = fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs")).expect("docs");
    let pages = pages.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let pages = pages.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}"));
    // What others have is told in their words.
    for name in pages.filter(|name| name != COVERAGE && name != GLOSSARY).chain(["README.md".to_owned()]) {
        let text = read(&name);
        texts.push((name, text));
    }
    texts.extend(web::endpoints().map(|one| ("the API's paths".to_owned(), one.path.replace(['-', '_'], " "))));
    texts.push(("the metrics".to_owned(), Metrics::default().render().replace('_', " ")));

    for (place, text) in texts {
        let text = text.to_lowercase();
        for (other, ours) in &replaced {
            let whole = text.match_indices(other.as_str()).any(|(at, _)| !text[..at].ends_with(char::is_alphanumeric));
            assert!(!whole, "{place} says {other:?}; our word is {ours:?} ({GLOSSARY})");
        }
    }
}
