//! The integration's `defaults`: what an organisation wants in call logs and new leads beyond what Patchbay knows.

use patchbay_kit::Settings;
use serde_json::{Map, Value, json};

/// What a call log takes that is not the call's own ("Post a Call Log" [V]).
const LOG: &[&str] = &["CallerSource", "Tag"];
/// "You can pass any string of maximum 50 characters."
const SOURCE_CHARS: usize = 50;
/// Attributes by which leads are told apart. A constant in one of them would make all callers one lead.
const LEAD_RESERVED: &[&str] =
    &["FirstName", "Phone", "Mobile", "EmailAddress", "SourceContent", "SearchBy", "ProspectID"];
/// Where a lead comes from, in LeadSquared's reports.
const SOURCE: &str = "Phone Call";

/// The extra values, without what must not be among them.
#[derive(Clone)]
pub(crate) struct Defaults {
    log: Map<String, Value>,
    lead: Map<String, Value>,
}

/// Only which there are: their values may be anything.
impl std::fmt::Debug for Defaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = |map: &Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
        f.debug_struct("Defaults").field("log", &keys(&self.log)).field("lead", &keys(&self.lead)).finish()
    }
}

impl Defaults {
    pub(crate) fn of(settings: &Settings) -> Self {
        let lead = match settings.defaults.get("lead") {
            Some(Value::Object(lead)) => lead.clone(),
            _ => Map::new(),
        };
        let usable = |key: &str, value: &Value| LOG.contains(&key) && short(value);
        Self {
            log: settings.defaults.clone().into_iter().filter(|(key, value)| usable(key, value)).collect(),
            lead: lead
                .into_iter()
                .filter(|(key, value)| !LEAD_RESERVED.contains(&key.as_str()) && scalar(value))
                .collect(),
        }
    }

    /// A call log: the integration's values under those of the call.
    pub(crate) fn log(&self, call: Map<String, Value>) -> Value {
        let mut log = Map::from_iter([("CallerSource".to_owned(), json!(SOURCE))]);
        log.extend(self.log.clone());
        log.extend(call);
        Value::Object(log)
    }

    /// A new lead, as pairs of attribute and value ("Create a Lead" [V]).
    pub(crate) fn lead(&self, caller: &[(&str, &str)]) -> Value {
        let pair = |name: &str, value: Value| json!({ "Attribute": name, "Value": value });
        let mut pairs: Vec<Value> = caller.iter().map(|(name, value)| pair(name, json!(value))).collect();
        if !self.lead.contains_key("Source") {
            pairs.push(pair("Source", json!(SOURCE)));
        }
        pairs.extend(self.lead.iter().map(|(name, value)| pair(name, value.clone())));
        Value::Array(pairs)
    }
}

fn scalar(value: &Value) -> bool {
    value.is_string() || value.is_number() || value.is_boolean()
}

fn short(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.chars().count() <= SOURCE_CHARS)
}

/// What is wrong with the `defaults`, one line for each.
pub(crate) fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    for (key, value) in &settings.defaults {
        match key.as_str() {
            "lead" => {}
            key if !LOG.contains(&key) => {
                let known = LOG.join("` and `");
                problems.push(format!("defaults.{key}: a call log takes `{known}`; lead fields go in defaults.lead"));
            }
            key if !short(value) => {
                problems.push(format!("defaults.{key}: must be a text of at most {SOURCE_CHARS} characters"));
            }
            _ => {}
        }
    }
    match settings.defaults.get("lead") {
        None => {}
        Some(Value::Object(lead)) => {
            for (key, value) in lead {
                if LEAD_RESERVED.contains(&key.as_str()) {
                    problems.push(format!("defaults.lead.{key}: comes from the call and cannot be set"));
                } else if !scalar(value) {
                    problems.push(format!("defaults.lead.{key}: must be a text, a number or true or false"));
                }
            }
        }
        Some(_) => problems.push("defaults.lead: must be a table of the fields of new leads".to_owned()),
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
        let defaults = Defaults::of(&settings(json!({
            "Tag": "South", "CallSessionId": "x", "lead": {"mx_City": "Pune", "Phone": "1", "Source": "Voice"},
        })));
        let call = Map::from_iter([("Status".to_owned(), json!("Answered"))]);
        assert_eq!(defaults.log(call), json!({"CallerSource": "Phone Call", "Tag": "South", "Status": "Answered"}));
        let pair = |name: &str, value: &str| json!({"Attribute": name, "Value": value});
        let lead = json!([pair("FirstName", "A"), pair("Source", "Voice"), pair("mx_City", "Pune")]);
        assert_eq!(defaults.lead(&[("FirstName", "A")]), lead);
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
