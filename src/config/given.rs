//! Accounts and integrations that do not stand in the file: read by the very readers of the file, so that what may be said
//! and how a mistake is told is the same.

use patchbay_kit::SettingKind;
use serde_json::{Map, Value as Json};
use toml::{Table, Value};

use super::{
    account,
    integration::{Given, integration as read_integration},
    model::{Account, Integration},
    reader::Problem,
};
use crate::connect::catalogue;

/// What has a place of its own in the API.
const ELSEWHERE: [(&str, &str); 3] = [
    ("integration", "integrations are made one by one, at …/integrations"),
    ("agent", "agents are made at …/users"),
    ("bot", "voicebots are made at …/bots"),
];

/// Reads an account.
///
/// # Errors
/// Everything that is wrong with it.
pub fn account(settings: &Map<String, Json>) -> Result<Account, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut table = table(settings, &mut problems);
    for (key, cure) in ELSEWHERE {
        if table.remove(key).is_some() {
            problems.push(Problem { key: key.to_owned(), message: cure.to_owned() });
        }
    }
    let read = account::account("", &table, &mut problems);
    ended(read, problems)
}

/// Reads an integration of an account.
///
/// # Errors
/// Everything that is wrong with it.
pub fn integration(settings: &Map<String, Json>, of: &Account) -> Result<Integration, Vec<Problem>> {
    let mut problems = Vec::new();
    let table = table(settings, &mut problems);
    let read = read_integration(Given::Here, "", &table, &of.sid, of.utc_offset, &mut problems);
    ended(read, problems)
}

/// The keys of an account whose values are shown to nobody.
pub const ACCOUNT_SECRETS: [&str; 2] = ["api_key", "api_token"];

/// Whether the value of an integration's key is shown to nobody.
pub fn is_secret(connector: &str, key: &str) -> bool {
    let manifest = catalogue::find(connector).map(|entry| entry.manifest);
    let setting = manifest.and_then(|manifest| manifest.settings.iter().find(|setting| setting.key == key));
    match setting {
        Some(setting) => setting.secret || setting.kind == SettingKind::File,
        None => key == "account_uid",
    }
}

fn ended<T>(read: Option<T>, mut problems: Vec<Problem>) -> Result<T, Vec<Problem>> {
    for problem in &mut problems {
        // There is nothing above it.
        problem.key = problem.key.trim_start_matches('.').to_owned();
    }
    match read {
        Some(read) if problems.is_empty() => Ok(read),
        _ => Err(problems),
    }
}

fn table(settings: &Map<String, Json>, problems: &mut Vec<Problem>) -> Table {
    let mut table = Table::new();
    for (key, value) in settings {
        match toml(value) {
            Some(value) => {
                table.insert(key.clone(), value);
            }
            None => problems.push(Problem {
                key: key.clone(),
                message: "holds null, or a number that is too large; leave out what is not set".to_owned(),
            }),
        }
    }
    table
}

fn toml(value: &Json) -> Option<Value> {
    Some(match value {
        Json::Null => return None,
        Json::Bool(flag) => Value::Boolean(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::Integer(number),
            // What is whole and beyond TOML's integers is no fraction.
            (None, Some(number)) if number.fract() != 0.0 => Value::Float(number),
            _ => return None,
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(toml).collect::<Option<_>>()?),
        Json::Object(map) => {
            let pairs = map.iter().map(|(key, value)| Some((key.clone(), toml(value)?)));
            Value::Table(pairs.collect::<Option<_>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Json) -> Map<String, Json> {
        value.as_object().expect("an object").clone()
    }

    fn acme() -> Map<String, Json> {
        map(json!({ "sid": "acme1", "api_key": "k", "api_token": "t" }))
    }

    fn told<T>(read: Result<T, Vec<Problem>>) -> String {
        let problems = read.err().expect("refused");
        problems.iter().map(|problem| format!("{}: {}\n", problem.key, problem.message)).collect()
    }

    #[test]
    fn an_account_is_read_as_in_the_file() {
        let mut given = acme();
        given.insert("country".to_owned(), json!("in"));
        given.insert("routing".to_owned(), json!({ "order": ["owner"], "ring_seconds": 20 }));
        let read = account(&given).expect("an account");
        assert_eq!((read.country.as_str(), read.routing.order.len(), read.routing.ring_seconds), ("IN", 1, Some(20)));
        assert_eq!(account(&acme()).expect("an account").api_url.as_str(), "https://api.exotel.com/");
        let mut wrong = acme();
        for (key, value) in [
            ("sid", json!("a b")),
            ("regoin", json!("mumbai")),
            ("open_hooks", json!(["nosuch"])),
            ("routing", json!({ "nosuch": true })),
            ("integration", json!([])),
            ("utc_offset", json!(null)),
        ] {
            wrong.insert(key.to_owned(), value);
        }
        let told = told(account(&wrong));
        for part in
            ["sid: ", "did you mean \"region\"", "open_hooks: ", "routing.nosuch: ", "integration: ", "utc_offset: "]
        {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!told.lines().any(|line| line.starts_with('.')), "{told}");
    }

    #[test]
    fn an_integration_is_read_as_in_the_file_but_for_files() {
        let of = account(&acme()).expect("an account");
        let read = |more: Json| {
            let mut given = map(json!({ "connector": "freshdesk", "domain": "acme.freshdesk.com", "api_key": "x" }));
            given.extend(map(more));
            integration(&given, &of)
        };
        assert_eq!(read(json!({})).expect("an integration").name, "freshdesk");
        assert_eq!(
            read(json!({ "defaults": { "type": "Call", "priority": 2 } })).expect("it").settings.defaults["priority"],
            2
        );
        assert!(told(read(json!({ "domain": "a b", "quota": 0, "${HOME}": "x" }))).contains("quota: must be between"));
        assert!(read(json!({ "api_key": "${HOME}" })).expect("it").secrets.contains_key("api_key"), "taken as it is");
        let key = |key: &str| {
            let given = map(json!({
                "connector": "salesforce", "login_url": "https://login.salesforce.com", "client_id": "c",
                "username": "u@example.com", "private_key_file": key,
            }));
            integration(&given, &of)
        };
        let told = told(key("/etc/passwd"));
        assert!(told.contains("private_key_file: must be the text"), "{told}");
        let text = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(key(text).expect("it").secrets.contains_key("private_key_file"));
        for (connector, name, secret) in [
            ("freshdesk", "api_key", true),
            ("freshdesk", "domain", false),
            ("salesforce", "private_key_file", true),
            ("salesforce", "account_uid", true),
            ("zoho_desk", "refresh_token", true),
            ("leadsquared", "call_log_url", true),
            ("freshdesk", "base_url", false),
        ] {
            assert_eq!(is_secret(connector, name), secret, "{connector} {name}");
        }
    }
}
