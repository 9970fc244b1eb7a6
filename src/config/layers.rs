//! What lies over what before anything is judged: the file over the defaults, the environment over both, and `${NAME}` in
//! any of them.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::reader::Problem;

/// Environment variables with this prefix override keys of the file.
const PREFIX: &str = "PATCHBAY__";

pub(super) fn parse_table(text: &str, problems: &mut Vec<Problem>) -> Option<Table> {
    match text.parse::<Table>() {
        Ok(table) => Some(table),
        Err(error) => {
            // Neither the offending line (it may hold a secret) nor more than the position is shown.
            let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
            let at = line.map(|line| format!("line {line}")).unwrap_or_default();
            problems.push(Problem { key: at, message: format!("is not TOML: {}", error.message()) });
            None
        }
    }
}

pub(super) fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Puts `PATCHBAY__A__B=x` at `a.b`, `PATCHBAY__ACCOUNT__0__SID=x` at `account[0].sid`.
pub(super) fn override_from(table: &mut Table, env: &BTreeMap<String, String>, problems: &mut Vec<Problem>) {
    for (name, value) in env {
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        let keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        if keys.iter().any(String::is_empty) || !put(table, &keys, value) {
            problems.push(Problem {
                key: name.clone(),
                message: "names no place in the configuration; write PATCHBAY__SECTION__KEY".to_owned(),
            });
        }
    }
}

fn put(table: &mut Table, keys: &[String], value: &str) -> bool {
    let [key, rest @ ..] = keys else { return false };
    if rest.is_empty() {
        table.insert(key.clone(), Value::String(value.to_owned()));
        return true;
    }
    if let Some(index) = rest[0].parse::<usize>().ok().filter(|_| rest.len() > 1) {
        let slot = table.entry(key.clone()).or_insert_with(|| Value::Array(Vec::new()));
        let Value::Array(items) = slot else { return false };
        return match items.get_mut(index) {
            Some(Value::Table(item)) => put(item, &rest[1..], value),
            _ => false,
        };
    }
    let slot = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
    match slot {
        Value::Table(inner) => put(inner, rest, value),
        _ => false,
    }
}

/// Replaces `${NAME}` in every string.
pub(super) fn expand(table: &mut Table, at: &str, env: &BTreeMap<String, String>, problems: &mut Vec<Problem>) {
    for (key, value) in table.iter_mut() {
        let at = if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
        expand_value(value, &at, env, problems);
    }
}

fn expand_value(value: &mut Value, at: &str, env: &BTreeMap<String, String>, problems: &mut Vec<Problem>) {
    match value {
        Value::String(text) => {
            let mut out = String::new();
            let mut rest = text.as_str();
            while let Some(start) = rest.find("${") {
                let Some(len) = rest[start + 2..].find('}') else {
                    let message = "has a ${ without its }; write ${NAME}".to_owned();
                    problems.push(Problem { key: at.to_owned(), message });
                    break;
                };
                let name = &rest[start + 2..start + 2 + len];
                out.push_str(&rest[..start]);
                match env.get(name) {
                    Some(found) => out.push_str(found),
                    None => {
                        // Left as it stands, so that it is not told of as empty as well.
                        out.push_str(&rest[start..start + 3 + len]);
                        problems.push(Problem {
                            key: at.to_owned(),
                            message: format!("the environment variable {name} is not set"),
                        });
                    }
                }
                rest = &rest[start + 3 + len..];
            }
            out.push_str(rest);
            *text = out;
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                expand_value(item, &format!("{at}[{index}]"), env, problems);
            }
        }
        Value::Table(table) => expand(table, at, env, problems),
        _ => {}
    }
}
