//! The integration's `defaults`: what an organisation wants in call logs and new leads beyond what Patchbay knows.

use patchbay_kit::{
    Defaults, Settings,
    defaults::{self, Fields, Table},
};
use serde_json::{Value, json};

/// What a call log takes that is not the call's own ("Post a Call Log" \[V\]).
const LOG: &[&str] = &["CallerSource", "Tag"];
/// "You can pass any string of maximum 50 characters."
const SOURCE_CHARS: usize = 50;
/// Attributes by which leads are told apart. A constant in one of them would make all callers one lead.
const LEAD_RESERVED: &[&str] =
    &["FirstName", "Phone", "Mobile", "EmailAddress", "SourceContent", "SearchBy", "ProspectID"];
/// Where a lead comes from, in LeadSquared's reports.
const SOURCE: &str = "Phone Call";

/// The extra attributes of new leads.
const LEAD: Table = Table {
    key: "lead",
    holds: "the fields of new leads",
    because: "comes from the call",
    ..Table::of_contacts(LEAD_RESERVED).scalar()
};
pub(crate) const TABLES: &[Table] = &[Table::of_calls(&[]), LEAD];

/// A call log: the integration's values under those of the call.
pub(crate) fn log(defaults: &Defaults, call: Fields) -> Value {
    let mut log = Fields::from_iter([("CallerSource".to_owned(), json!(SOURCE))]);
    let usable = defaults.fields("").filter(|(key, value)| LOG.contains(&key.as_str()) && short(value));
    log.extend(usable.map(|(key, value)| (key.clone(), value.clone())));
    log.extend(call);
    Value::Object(log)
}

/// A new lead, as pairs of attribute and value ("Create a Lead" \[V\]).
pub(crate) fn lead(defaults: &Defaults, caller: &[(&str, &str)]) -> Value {
    let pair = |name: &str, value: Value| json!({ "Attribute": name, "Value": value });
    let mut pairs: Vec<Value> = caller.iter().map(|(name, value)| pair(name, json!(value))).collect();
    if defaults.get("lead", "Source").is_none() {
        pairs.push(pair("Source", json!(SOURCE)));
    }
    pairs.extend(defaults.fields("lead").map(|(name, value)| pair(name, value.clone())));
    Value::Array(pairs)
}

fn short(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.chars().count() <= SOURCE_CHARS)
}

/// What is wrong with the `defaults`, one line for each.
pub(crate) fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = defaults::problems(settings, &[LEAD]);
    for (key, value) in settings.defaults.iter().filter(|(key, _)| *key != "lead") {
        if !LOG.contains(&key.as_str()) {
            let known = LOG.join("` and `");
            problems.push(format!("defaults.{key}: a call log takes `{known}`; lead fields go in defaults.lead"));
        } else if !short(value) {
            problems.push(format!("defaults.{key}: must be a text of at most {SOURCE_CHARS} characters"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(defaults: Value) -> Settings {
        let Value::Object(defaults) = defaults else { panic!("not a table") };
        Settings { defaults, ..Settings::default() }
    }

    #[test]
    fn defaults_fill_in_and_never_replace_what_the_call_says() {
        let given = settings(json!({
            "Tag": "South", "CallSessionId": "x", "lead": {"mx_City": "Pune", "Phone": "1", "Source": "Voice"},
        }));
        let defaults = Defaults::of(&given, TABLES);
        let call = Fields::from_iter([("Status".to_owned(), json!("Answered"))]);
        assert_eq!(log(&defaults, call), json!({"CallerSource": "Phone Call", "Tag": "South", "Status": "Answered"}));
        let pair = |name: &str, value: &str| json!({"Attribute": name, "Value": value});
        let pairs = json!([pair("FirstName", "A"), pair("Source", "Voice"), pair("mx_City", "Pune")]);
        assert_eq!(lead(&defaults, &[("FirstName", "A")]), pairs);
    }

    #[test]
    fn every_problem_is_told_with_its_key() {
        let told = problems(&settings(json!({
            "Status": "Answered", "CallerSource": "x".repeat(51), "lead": {"Phone": "1", "mx_List": []},
        })));
        for key in ["Status", "CallerSource", "lead.Phone", "lead.mx_List"] {
            assert!(told.iter().any(|line| line.starts_with(&format!("defaults.{key}:"))), "{key}: {told:?}");
        }
        assert_eq!(told.len(), 4);
        assert!(problems(&settings(json!({"Tag": "a", "lead": {"mx_City": "Pune"}}))).is_empty());
        assert_eq!(problems(&settings(json!({"lead": "x"}))).len(), 1);
    }
}
