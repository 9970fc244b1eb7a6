//! A sentence about what Patchbay does or costs is worth the command that shows it: the commands on those pages find what they
//! name, and so do the sentences.

use std::{collections::BTreeSet, fs, path::PathBuf};

use patchbay::crash::POINTS;

use crate::{files, read};

/// What is promised, and what shows it.
pub(crate) const RELIABILITY: &str = "docs/RELIABILITY.md";
/// What was measured.
pub(crate) const BENCHMARKS: &str = "docs/BENCHMARKS.md";

/// A test as cargo names it, and whether it is only run when asked for.
struct Test {
    name: String,
    ignored: bool,
}

/// The tests of a source file, below the module that it is. Those that a macro makes are not seen.
fn tests_of(file: &str, module: &[&str]) -> Vec<Test> {
    let (mut found, mut inner, mut marked, mut ignored) = (Vec::new(), None, false, false);
    for line in read(file).lines() {
        let code = line.trim();
        // A module in the file: the one that tests are kept in.
        if let Some(name) = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(" {")) {
            inner = Some(name.to_owned());
        }
        if code.starts_with("#[") && code.contains("test") && !code.starts_with("#[cfg") {
            marked = true;
        } else if code.starts_with("#[ignore") {
            ignored = true;
        } else if let Some(rest) = code.strip_prefix("fn ").or_else(|| code.strip_prefix("async fn ")) {
            if marked {
                let name = rest.split(['(', '<']).next().unwrap_or_default();
                let path: Vec<&str> = module.iter().copied().chain(inner.as_deref()).chain([name]).collect();
                found.push(Test { name: path.join("::"), ignored });
            }
            (marked, ignored) = (false, false);
        }
    }
    found
}

/// All tests of a folder of sources, or of one file.
fn tests_under(place: &str) -> Vec<Test> {
    let mut found = Vec::new();
    for file in files(place).iter().filter(|file| file.ends_with(".rs")) {
        let inside = file.strip_prefix(place).unwrap_or_default().trim_matches('/');
        let module: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
        let own = |part: &&str| !["", "mod", "main", "lib"].contains(part);
        let module: Vec<&str> = module.into_iter().filter(own).collect();
        found.extend(tests_of(file, &module));
    }
    found
}

/// The folder of a package of ours.
fn folder_of(package: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![".".to_owned(), "voice".to_owned()];
    folders.extend(
        fs::read_dir(root.join("connectors"))
            .expect("connectors")
            .flatten()
            .map(|entry| format!("connectors/{}", entry.file_name().display())),
    );
    let named = |folder: &String| {
        let manifest = fs::read_to_string(root.join(folder).join("Cargo.toml")).unwrap_or_default();
        manifest.lines().any(|line| line == format!("name = \"{package}\""))
    };
    folders.into_iter().find(named).unwrap_or_else(|| panic!("there is no package {package}"))
}

/// Commands of cargo that a page names: in its blocks and in its sentences, with the variables before them.
fn commands(page: &str) -> Vec<Vec<String>> {
    let (mut found, mut fenced) = (Vec::new(), false);
    let mut add = |text: &str| {
        let text = text.split(" #").next().unwrap_or_default();
        if text.contains("cargo test") || text.contains("cargo bench") {
            found.push(text.split_whitespace().map(str::to_owned).collect());
        }
    };
    for line in page.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            add(line.split_once("$ ").map_or(line, |(_, command)| command));
        } else {
            line.split('`').skip(1).step_by(2).for_each(&mut add);
        }
    }
    found
}

/// Where cargo would look for what a command names: the sources, and for a benchmark all of it in one text.
fn sources_of(words: &[String]) -> Vec<String> {
    let after = |flag: &str| words.iter().skip_while(|word| *word != flag).nth(1).map(String::as_str);
    let folder = folder_of(after("-p").unwrap_or("patchbay"));
    let under = |rest: &str| format!("{folder}/{rest}").trim_start_matches("./").to_owned();
    let either = |kind: &str, name: &str| {
        let (file, whole) = (under(&format!("{kind}/{name}.rs")), under(&format!("{kind}/{name}")));
        let there = |path: &String| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path).exists();
        [file, whole].into_iter().find(there).unwrap_or_else(|| panic!("{words:?}: there is no {name}"))
    };
    match (after("--test"), after("--bench")) {
        (Some(test), _) => vec![either("tests", test)],
        (_, Some(bench)) => vec![either("benches", bench)],
        _ if words.iter().any(|word| word == "--lib") => vec![under("src")],
        _ => vec![under("src"), under("tests")],
    }
}

/// A benchmark's parts, rows and options are those that it takes.
fn is_a_benchmark(words: &[String]) {
    let text: String = sources_of(words).iter().flat_map(|place| files(place)).map(|file| read(&file)).collect();
    let strings: BTreeSet<&str> = text.split('"').flat_map(|part| part.split(',')).collect();
    let mut options = words.iter().skip_while(|word| *word != "--").skip(1).peekable();
    while let Some(option) = options.next() {
        let name = option.strip_prefix("--").unwrap_or_else(|| panic!("{words:?}: {option} is no option"));
        assert!(text.contains(&format!("    {name}: ")), "{words:?}: no option {option}");
        let Some(value) = options.next_if(|next| !next.starts_with("--")) else { continue };
        if value.parse::<f64>().is_err() {
            value.split(',').for_each(|one| assert!(strings.contains(one), "{words:?}: there is no {one}"));
        }
    }
}

/// Something is run by the command, and each of its words finds something.
fn is_a_test(words: &[String]) {
    let all: Vec<Test> = sources_of(words).iter().flat_map(|place| tests_under(place)).collect();
    let mut filters = Vec::new();
    let mut rest = words.iter().skip_while(|word| *word != "cargo").skip(2);
    while let Some(word) = rest.next() {
        if ["-p", "--test", "--skip", "--test-threads"].contains(&word.as_str()) {
            rest.next();
        } else if !word.starts_with('-') {
            filters.push(word.as_str());
        }
    }
    let asked = words.iter().any(|word| word == "--ignored");
    if filters.is_empty() {
        filters.push("");
    }
    for filter in filters {
        let found = all.iter().any(|test| test.ignored == asked && test.name.contains(filter));
        assert!(found, "{}: no test is called {filter:?}", words.join(" "));
    }
    for variable in words.iter().take_while(|word| *word != "cargo").filter_map(|word| word.split_once('=')) {
        let known = files("tests")
            .iter()
            .chain(&files("voice/tests"))
            .any(|file| file.ends_with(".rs") && read(file).contains(&format!("\"{}\"", variable.0)));
        assert!(known, "{}: no test reads {}", words.join(" "), variable.0);
    }
}

#[test]
fn a_command_behind_a_promise_or_a_figure_finds_what_it_names() {
    for (page, least) in [(RELIABILITY, 15), (BENCHMARKS, 6)] {
        let commands = commands(&read(page));
        assert!(commands.len() >= least, "{page}: {} commands are seen", commands.len());
        for words in commands {
            if words.iter().any(|word| word == "bench") { is_a_benchmark(&words) } else { is_a_test(&words) }
        }
    }
}

/// The tests, files and points to die at that the page of promises names in its sentences.
#[test]
fn what_a_promise_names_is_there() {
    let page = read(RELIABILITY);
    let places = ["src", "tests", "voice", "connectors"];
    let all: Vec<Test> = places.iter().flat_map(|place| tests_under(place)).collect();
    let points: BTreeSet<&str> = POINTS.iter().copied().collect();
    let sections: BTreeSet<&str> = points.iter().filter_map(|point| point.split('.').next()).collect();
    let (mut tests, mut files, mut named) = (0, 0, BTreeSet::new());
    for span in page.split('`').skip(1).step_by(2) {
        let is_name = span.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if is_name && span.matches('_').count() > 3 {
            let there = |test: &Test| test.name.rsplit("::").next() == Some(span);
            assert!(all.iter().any(there), "{RELIABILITY}: there is no test {span}");
            tests += 1;
        } else if places.iter().any(|place| span.starts_with(&format!("{place}/"))) && !span.contains(['{', ' ']) {
            assert!(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(span).exists(), "{RELIABILITY}: no file {span}");
            files += 1;
        } else if span.split_once('.').is_some_and(|(section, _)| sections.contains(section)) && !span.contains(' ') {
            named.insert(span);
        }
    }
    for point in &points {
        assert!(named.contains(point), "{RELIABILITY} does not name the point {point}");
    }
    assert!(tests > 30 && files > 3, "{tests} tests and {files} files are seen");
}
