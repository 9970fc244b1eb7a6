//! What the documentation shows is what the program takes.

use std::{collections::BTreeMap, fs, path::PathBuf};

use patchbay::{
    call::compose::Texts,
    config::{self, DEFAULT},
};

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn env() -> BTreeMap<String, String> {
    ["PATCHBAY_ADMIN_TOKEN", "EXOTEL_KEY", "EXOTEL_TOKEN", "FRESHDESK_KEY"]
        .map(|name| (name.to_owned(), "x".repeat(32)))
        .into()
}

fn loads(name: &str, text: &str) {
    config::parse(name, text, &env()).unwrap_or_else(|error| panic!("{error}\n{text}"));
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
                if rest.starts_with("[[") || rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) =>
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
    for page in ["README.md", "connectors/freshdesk/README.md"] {
        let blocks = toml_blocks(&read(page));
        assert!(!blocks.is_empty(), "{page} shows no configuration");
        // A page may show one part of an account at a time: each is read below the account of the first.
        let account = "[[account]]\nsid = \"exotel535\"\napi_key = \"k\"\napi_token = \"t\"\n";
        for block in blocks {
            let whole = if block.contains("[[account]]") { block } else { format!("{account}{block}") };
            loads(page, &whole);
        }
    }
}

#[test]
fn every_template_is_named_where_overriding_is_explained() {
    let page = read("docs/CONNECTORS.md");
    for name in Texts::names() {
        let (stem, part) = name.split_once('.').expect("a stem and a part");
        let whole = page.contains(&format!("`{name}`"));
        let parts = page.contains(&format!("`{stem}`")) && page.contains(&format!("`.{part}`"));
        assert!(whole || parts, "{name} is not in docs/CONNECTORS.md");
    }
}

#[test]
fn a_link_in_the_docs_leads_somewhere() {
    for page in ["README.md", "docs/ARCHITECTURE.md", "docs/CONNECTORS.md", "connectors/freshdesk/README.md"] {
        let text = read(page);
        let folder = PathBuf::from(page).parent().map(PathBuf::from).unwrap_or_default();
        for (at, _) in text.match_indices("](") {
            let target: String = text[at + 2..].chars().take_while(|c| *c != ')').collect();
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
