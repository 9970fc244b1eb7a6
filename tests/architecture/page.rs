//! Somebody goes by the drawing of the house with a debugger: what it names is where it says, and nothing is left out.

use std::{collections::BTreeSet, fs};

use crate::{DECISIONS, PAGE, read, root};

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
