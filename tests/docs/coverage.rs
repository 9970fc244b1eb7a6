//! Of each row on the page of what others have: that it says where it is or why it is not, and that what it names is there.

use std::collections::BTreeSet;

use actix_web::{
    App,
    http::{Method, StatusCode},
    test::{TestRequest, call_service, init_service},
};
use patchbay::{connect::catalogue, hooks, voice, web};
use toml::{Table, Value};

use crate::{COVERAGE, read, uncommented};

/// How each table of coverage begins: what others have, one of three words, and what is said of it.
const HEAD: &str = "| what is there | | where it is here |";

fn rows(page: &str) -> Vec<[&str; 3]> {
    let (mut rows, mut inside) = (Vec::new(), false);
    for line in page.lines() {
        if !line.starts_with('|') {
            inside = false;
        } else if line == HEAD {
            inside = true;
        } else if inside && !line.starts_with("|---") {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let cells: Option<[&str; 3]> = cells.try_into().ok();
            rows.push(cells.unwrap_or_else(|| panic!("{COVERAGE}: these are no three cells: {line}")));
        }
    }
    rows
}

#[test]
fn every_row_of_coverage_says_where_it_is_or_why_it_is_not() {
    let page = read(COVERAGE);
    let count = |wanted: fn(&str) -> bool| page.lines().filter(|line| wanted(line)).count();
    let (tables, headed) = (count(|line| line.starts_with("|---")), count(|line| line == HEAD));
    // The one besides says what the words mean.
    assert!(headed > 1 && tables == headed + 1, "{COVERAGE}: {tables} tables, {headed} of them with the head of rows");
    for [what, word, place] in rows(&page) {
        let enough = match word {
            // Something to look at: an address, a key, a command, a page.
            "`present`" => place.contains('`') || place.contains("]("),
            "`elsewhere`" => !place.is_empty(),
            "`absent`" => place.split_whitespace().count() >= 5,
            _ => panic!("{COVERAGE}: {what}: {word:?} is none of the three words"),
        };
        assert!(!what.is_empty() && enough, "{COVERAGE}: {what}: {word}, but not where, or why: {place}");
    }
}

/// Every key of the configuration: those that the defaults show, those of the example with every connector, and what the
/// connectors want. Of a list's tables the keys of any.
fn keys() -> BTreeSet<String> {
    fn walk(at: &str, table: &Table, keys: &mut BTreeSet<String>) {
        for (name, value) in table {
            let key = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            match value {
                Value::Table(inner) => walk(&key, inner, keys),
                Value::Array(items) => items.iter().filter_map(Value::as_table).for_each(|one| walk(&key, one, keys)),
                _ => {}
            }
            keys.insert(key);
        }
    }
    let mut keys = BTreeSet::new();
    for text in [uncommented(), read("config/examples/every_connector.toml")] {
        walk("", &text.parse().expect("TOML"), &mut keys);
    }
    for entry in catalogue::all() {
        keys.extend(entry.manifest.settings.iter().map(|setting| format!("account.integration.{}", setting.key)));
    }
    keys
}

/// The path that a span on the page of coverage means, if it is an address.
pub(crate) fn address(text: &str) -> Option<String> {
    let path = text.split('?').next().unwrap_or_default();
    match path.strip_prefix('…') {
        Some(rest) => Some(format!("/api/v1/accounts/{{sid}}{rest}")),
        None => path.starts_with('/').then(|| path.to_owned()),
    }
}

/// Whether the page's path is this route's: a word of the page must not be taken for somebody's id.
fn is_of(path: &str, route: &str) -> bool {
    let route = route.replace("{slash:/?}", "");
    let (path, route): (Vec<&str>, Vec<&str>) = (path.split('/').collect(), route.split('/').collect());
    let fits = |(shown, part): (&&str, &&str)| {
        let anything = part.starts_with('{') && !part.contains(':');
        !anything || shown.starts_with('{')
    };
    path.len() == route.len() && path.iter().zip(&route).all(fits)
}

/// The addresses, keys and commands that the page of coverage names as where something is.
#[actix_web::test]
async fn what_coverage_names_is_there() {
    let page = read(COVERAGE);
    let commands = read("src/main.rs");
    let keys = keys();
    let sections: BTreeSet<&str> = keys.iter().filter_map(|key| key.split('.').next()).collect();
    // The routes alone: whatever is behind one fails for want of the service, and what is no route is not found.
    let routes = App::new().configure(hooks::routes).configure(voice::routes).configure(web::routes);
    let routes = init_service(routes).await;
    let (mut addresses, mut settings, mut runs) = (0, 0, 0);
    for [what, _, place] in rows(&page) {
        for span in place.split('`').skip(1).step_by(2) {
            let is_method = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
            let (methods, target) = match span.rsplit_once(' ') {
                Some((methods, target)) if methods.split(", ").all(is_method) => (methods, target),
                _ => ("GET", span),
            };
            if let Some(path) = address(target) {
                for method in methods.split(", ") {
                    let found = if path.starts_with("/api/") {
                        web::endpoints().any(|one| (one.method, one.path) == (method, path.as_str()))
                    } else {
                        let request = TestRequest::with_uri(&path.replace(['{', '}'], ""));
                        let method = Method::from_bytes(method.as_bytes()).expect("a method");
                        let answer = call_service(&routes, request.method(method).to_request()).await;
                        let route = answer.request().match_pattern().unwrap_or_default();
                        answer.status() != StatusCode::NOT_FOUND && is_of(&path, &route)
                    };
                    assert!(found, "{COVERAGE}: {what}: there is no {method} {path}");
                    addresses += 1;
                }
            } else if let Some(command) = span.strip_prefix("patchbay ") {
                let name = command.split(' ').next().unwrap_or_default();
                let variant = format!("Command::{}{}", name[..1].to_uppercase(), &name[1..]);
                assert!(commands.contains(&variant), "{COVERAGE}: {what}: there is no command {span}");
                runs += 1;
            } else if target.split_once('.').is_some_and(|(section, _)| sections.contains(section)) {
                assert!(keys.contains(target), "{COVERAGE}: {what}: there is no key {target}");
                settings += 1;
            }
        }
    }
    // Whoever writes them in another way writes what is not looked at.
    assert!(addresses > 100 && settings > 50 && runs > 10, "{addresses} addresses, {settings} keys, {runs} commands");
}
