//! What the documentation shows is what the program takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use patchbay::{
    call::compose::Texts,
    config::{self, DEFAULT},
    connect::catalogue,
    connectors,
    simulate::voicebot,
};

/// The pages whose marked parts come from elsewhere, and how they are brought up to date.
const CONNECTORS: &str = "docs/CONNECTORS.md";
const VOICEBOTS: &str = "docs/VOICEBOTS.md";
const CURE: &str = "UPDATE=1 cargo test -p patchbay --test docs";
/// The worked example on it.
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

#[test]
fn the_defaults_and_what_they_show_in_comments_load() {
    loads("default.toml", DEFAULT);
    // What stands in comments is a key once it is uncommented; sentences are not.
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
    let shown = shown.join("\n");
    assert!(shown.contains("\n[[account.integration]]\n") && shown.contains("\nadmin_token ="), "{shown}");
    loads("default.toml, uncommented", &shown);
}

#[test]
fn the_readmes_configurations_load() {
    let mut pages = set_up_pages();
    pages.extend(["README.md", VOICEBOTS].map(str::to_owned));
    for page in pages {
        let blocks = toml_blocks(&read(&page));
        assert!(!blocks.is_empty(), "{page} shows no configuration");
        // A page may show one part of an account at a time: each is read below the account of the first.
        let account = "[[account]]\nsid = \"exotel535\"\napi_key = \"k\"\napi_token = \"t\"\n";
        for block in blocks {
            let whole = if block.contains("[[account]]") { block } else { format!("{account}{block}") };
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

#[test]
fn a_link_in_the_docs_leads_somewhere() {
    let mut pages = set_up_pages();
    pages.extend(
        ["README.md", "docs/ARCHITECTURE.md", CONNECTORS, VOICEBOTS, "connectors/testkit/README.md"].map(str::to_owned),
    );
    pages.extend(files("docs/decisions"));
    for page in pages {
        let text = read(&page);
        let folder = PathBuf::from(&page).parent().map(PathBuf::from).unwrap_or_default();
        for (at, _) in text.match_indices("](") {
            let target: String = text[at + 2..].chars().take_while(|c| *c != ')').collect();
            // Code on the page has brackets, too.
            if target.contains(['"', ' ', '|']) || target.is_empty() {
                continue;
            }
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
                .join(&folder)
                .join(target.split('#').next().unwrap_or_default());
            assert!(path.exists(), "{page} links to {target}, which is not there");
        }
    }
}
