//! Which libraries are there twice: a second version costs time to build and room, so it has a reason or does not come in.

use std::{collections::BTreeSet, fs, path::PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Libraries that are there in several versions, and who keeps them apart. None of it is ours to choose; when whoever it is
/// comes along, the line goes.
const SEVERAL: &[(&str, &str)] = &[
    ("base64", "actix-http and postgres-protocol are at 0.22; reqwest, hyper-util and ours at 0.23"),
    ("fallible-iterator", "tokio-postgres is at 0.2, rusqlite at 0.3; a trait and no code"),
    ("foldhash", "of hashbrown, below"),
    ("getrandom", "ring is at 0.2, rand and uuid at 0.4; 0.3 comes with jsonschema, in tests"),
    (
        "hashbrown",
        "rlibphonenumber's dashmap, governor and indexmap each have another; 0.15 when rlibphonenumber is built",
    ),
    ("http", "actix-http 3 is at 0.2, all others at 1"),
    ("logos", "two readers of rlibphonenumber's tables, when it is built"),
    ("logos-codegen", "of logos"),
    ("logos-derive", "of logos"),
    ("r-efi", "of getrandom, on no system of ours"),
    ("strum", "rlibphonenumber is at 0.26; 0.28 comes with jsonschema, in tests"),
    ("strum_macros", "of strum"),
    ("syn", "macros of actix-web and serde are at 3, those of others at 2; when things are built"),
    ("thiserror", "rlibphonenumber is at 1"),
    ("thiserror-impl", "of thiserror"),
    ("wasi", "of getrandom and whoami, on no system of ours"),
    ("windows-sys", "ring is at 0.52, on no system of ours"),
];

#[test]
fn a_library_is_there_once_or_has_a_reason() {
    let lock: toml::Table = fs::read_to_string(root().join("Cargo.lock")).expect("a lock").parse().expect("TOML");
    let packages = lock["package"].as_array().expect("packages");
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let of = |name: &str| names.iter().filter(|other| **other == name).count();
    let several: BTreeSet<&str> = names.iter().copied().filter(|name| of(name) > 1).collect();
    let named: BTreeSet<&str> = SEVERAL.iter().map(|(name, _)| *name).collect();
    let new: Vec<_> = several.difference(&named).collect();
    assert!(new.is_empty(), "a second version has come in: update what wants the old one, or say who does: {new:?}");
    let gone: Vec<_> = named.difference(&several).collect();
    assert!(gone.is_empty(), "there is one version now, so it leaves SEVERAL: {gone:?}");
}
