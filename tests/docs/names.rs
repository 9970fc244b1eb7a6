//! What an operator looks up by its name is there: the endpoints of the page of the API, and the metrics to watch.

use std::collections::BTreeSet;

use patchbay::web;

use crate::{OPERATING, coverage::address, read};

const API: &str = "docs/API.md";

/// The page of the API has every endpoint, and no other.
#[test]
fn the_page_of_the_api_names_every_endpoint() {
    // Ids have short names on the page.
    let shape = |path: &str| -> String {
        let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    let there: BTreeSet<String> = web::endpoints().map(|one| shape(one.path)).collect();
    let page = read(API);
    let mut named = BTreeSet::new();
    // What is fenced are requests with values in them.
    for text in page.split("```").step_by(2) {
        for span in text.split('`').skip(1).step_by(2) {
            let target = span.rsplit_once(' ').map_or(span, |(_, target)| target);
            let path = address(target).filter(|path| path.starts_with("/api/") && path != "/api/v1");
            named.extend(path.map(|path| shape(&path)));
        }
    }
    let unknown: Vec<&String> = named.difference(&there).collect();
    assert!(unknown.is_empty(), "{API} names what is not there: {unknown:#?}");
    let left: Vec<&String> = there.difference(&named).collect();
    assert!(left.is_empty(), "{API} does not name {left:#?}");
}

/// What is to be watched is counted.
#[test]
fn the_metrics_that_pages_name_are_there() {
    let source = read("src/telemetry/mod.rs");
    let known = |name: &str| {
        let name = name.trim_start_matches("patchbay_").trim_end_matches("_total").trim_end_matches("_seconds");
        source.contains(&format!("\"{name}\""))
    };
    let mut named = 0;
    for page in ["README.md", OPERATING] {
        let text = read(page);
        for (at, _) in text.match_indices("patchbay_") {
            let name: String = text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            // A family of them: `patchbay_voice_…`.
            let family = name.ends_with('_') && source.contains(&format!("\"{}", &name["patchbay_".len()..]));
            assert!(family || known(&name), "{page}: there is no metric {name}");
            named += 1;
        }
    }
    assert!(named > 10, "{named}");
}
