//! What the settings say, and what is wrong with them: where the API is, how numbers are written, the `defaults`.

use patchbay_kit::{
    Defaults, PhoneNumber, Rendering, Settings,
    defaults::{self, Fields, Table},
};
use serde_json::Value;

/// Fields of a call log that only the call itself can fill.
const CALL_RESERVED: &[&str] = &["call_direction", "targetable", "targetable_type", "targetable_id", "note", "notes"];
/// Fields by which contacts are told apart, or which the caller fills.
const CONTACT_RESERVED: &[&str] = &["mobile_number", "work_number", "first_name", "last_name", "external_id"];
/// Fields that Freshsales keeps unique: a constant in them would make all callers one contact.
const CONTACT_UNIQUE: &[&str] = &["email", "emails"];
const TABLES: &[Table] = &[
    Table::of_calls(CALL_RESERVED).scalar(),
    Table { because: "comes from the caller", ..Table::of_contacts(CONTACT_RESERVED) },
];
/// Stands for the caller's digits in a text of `defaults.contact`.
const NUMBER: &str = "{number}";
/// What it becomes where the caller withheld his number.
const WITHHELD: &str = "withheld";

/// The settings, read. Cheap enough to be carried into the second exchange of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The classic product has another path, and leads beside contacts.
    pub(crate) classic: bool,
    pub(crate) calls_as_json: bool,
    e164: bool,
    pub(crate) defaults: Defaults,
}

/// The host of a domain as people type it.
fn host(domain: &str) -> String {
    let rest = domain.split_once("://").map_or(domain, |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or_default().trim().to_ascii_lowercase()
}

impl Config {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            classic: settings.text("domain").is_some_and(|domain| host(domain).ends_with(".freshsales.io")),
            calls_as_json: settings.flag("calls_as_json"),
            e164: settings.text("number_format") == Some("e164"),
            defaults: Defaults::of(settings, TABLES),
        }
    }

    /// How a new contact's number is written. Ten digits say nothing of their country, so only India's are cut to them.
    pub(crate) fn written(&self, number: &PhoneNumber) -> String {
        let national = !self.e164 && number.country == "91";
        number.render(if national { Rendering::National } else { Rendering::E164 })
    }

    /// A new contact's fields: the integration's under those of the caller.
    pub(crate) fn contact(&self, number: Option<&PhoneNumber>, caller: Fields) -> Value {
        let digits = number.map_or(WITHHELD, |number| number.e164.trim_start_matches('+'));
        let extra = self.defaults.fields("contact").filter(|(key, value)| !is_shared(key, value));
        let mut fields: Fields = extra.map(|(key, value)| (key.clone(), value.clone())).collect();
        for value in fields.values_mut() {
            fill_in(value, digits);
        }
        fields.extend(caller);
        Value::Object(fields)
    }
}

fn fill_in(value: &mut Value, digits: &str) {
    match value {
        Value::String(text) if text.contains(NUMBER) => *text = text.replace(NUMBER, digits),
        Value::Object(fields) => fields.values_mut().for_each(|value| fill_in(value, digits)),
        Value::Array(items) => items.iter_mut().for_each(|value| fill_in(value, digits)),
        _ => {}
    }
}

/// A unique field that would be the same for all.
fn is_shared(key: &str, value: &Value) -> bool {
    CONTACT_UNIQUE.contains(&key) && !value.as_str().is_some_and(|text| text.contains(NUMBER))
}

/// What is wrong with the settings, one line for each: the key and what would be right.
pub(crate) fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(format) = settings.text("number_format")
        && !["national", "e164"].contains(&format)
    {
        problems.push("number_format: must be \"national\" or \"e164\"".to_owned());
    }
    problems.extend(defaults::problems(settings, TABLES));
    if let Some(Value::Object(contact)) = settings.defaults.get("contact") {
        for (key, _) in contact.iter().filter(|(key, value)| is_shared(key, value)) {
            problems
                .push(format!("defaults.contact.{key}: must contain {NUMBER}, else all callers would be one contact"));
        }
        if contact.get("custom_field").is_some_and(|value| !value.is_object()) {
            problems.push("defaults.contact.custom_field: must be a table of field names and values".to_owned());
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(domain: &str, format: &str, defaults: Value) -> Settings {
        let Value::Object(defaults) = defaults else { panic!("not a table") };
        let text = [("domain", domain), ("number_format", format)].map(|(key, value)| (key.into(), value.into()));
        Settings { text: text.into(), defaults, ..Settings::default() }
    }

    fn number(country: &str) -> PhoneNumber {
        PhoneNumber { e164: format!("+{country}9876543210"), country: country.into(), national: "9876543210".into() }
    }

    #[test]
    fn the_domain_says_which_product_it_is() {
        for (domain, classic) in [
            ("acme.myfreshworks.com", false),
            ("acme.freshsales.io", true),
            ("https://Acme.FreshSales.io/contacts", true),
            ("acme", false),
            ("freshsales.io.example.com", false),
            ("", false),
        ] {
            assert_eq!(Config::of(&settings(domain, "", json!({}))).classic, classic, "{domain}");
        }
    }

    #[test]
    fn only_indias_numbers_are_cut_to_ten_digits() {
        let config = |format| Config::of(&settings("acme", format, json!({})));
        assert_eq!(config("").written(&number("91")), "9876543210");
        assert_eq!(config("national").written(&number("65")), "+659876543210");
        assert_eq!(config("e164").written(&number("91")), "+919876543210");
    }

    #[test]
    fn defaults_fill_in_and_never_replace_what_the_call_says() {
        let config = Config::of(&settings(
            "acme",
            "",
            json!({
                "outcome_id": 7, "note": "x", "deep": {},
                "contact": {"medium": "call", "last_name": "X", "email": "{number}@calls.example.com",
                    "custom_field": {"cf_of": "{number}"}},
            }),
        ));
        assert_eq!(Value::Object(config.defaults.under("", Fields::new())), json!({"outcome_id": 7}));
        let caller = || Fields::from_iter([("last_name".to_owned(), json!("A"))]);
        assert_eq!(
            config.contact(Some(&number("91")), caller()),
            json!({"last_name": "A", "medium": "call", "email": "919876543210@calls.example.com",
                "custom_field": {"cf_of": "919876543210"}})
        );
        assert_eq!(config.contact(None, caller())["email"], "withheld@calls.example.com");
        assert!(!format!("{config:?}").contains("calls.example.com"));
        let shared = Config::of(&settings("acme", "", json!({"contact": {"email": "all@example.com"}})));
        assert_eq!(shared.contact(None, caller()), json!({"last_name": "A"}));
    }

    #[test]
    fn every_problem_is_told_with_its_key() {
        let told = problems(&settings(
            "acme",
            "local",
            json!({"targetable": 1, "deep": [], "contact": {"email": "a@b.c", "mobile_number": "1", "custom_field": 1}}),
        ));
        for key in [
            "number_format",
            "defaults.targetable",
            "defaults.deep",
            "defaults.contact.email",
            "defaults.contact.mobile_number",
            "defaults.contact.custom_field",
        ] {
            assert!(told.iter().any(|line| line.starts_with(&format!("{key}:"))), "{key}: {told:?}");
        }
        assert_eq!(told.len(), 6, "{told:?}");
        assert_eq!(problems(&settings("acme", "", json!({"contact": 1}))).len(), 1);
        assert_eq!(problems(&settings("acme", "e164", json!({"outcome_id": 7}))), Vec::<String>::new());
    }
}
