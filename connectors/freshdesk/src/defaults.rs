//! The integration's `defaults`: what a customer's Freshdesk demands beyond what Patchbay knows of a call.

use patchbay_kit::{
    Defaults, Settings,
    defaults::{self, Fields, Table},
};
use serde_json::{Value, json};

/// Fields of a ticket that only the call itself can fill. A second identity beside `requester_id` is refused by
/// Freshdesk ("Freshdesk API v2, Tickets: Create a Ticket" \[V\]) or would put every caller's ticket under one person.
const TICKET_RESERVED: &[&str] = &[
    "subject",
    "description",
    "requester_id",
    "responder_id",
    "email",
    "phone",
    "name",
    "facebook_id",
    "twitter_id",
    "unique_external_id",
];
/// Fields by which contacts are told apart. A constant in one of them would make all callers one contact.
const CONTACT_RESERVED: &[&str] =
    &["name", "mobile", "phone", "email", "other_emails", "twitter_id", "facebook_id", "unique_external_id"];
/// Every ticket Patchbay makes can be found by it.
const TAG: &str = "exotel";
/// The longest tag ("Freshdesk API v2, Tickets", ticket attributes).
const TAG_CHARS: usize = 32;

pub(crate) const TABLES: &[Table] = &[Table::of_calls(TICKET_RESERVED), Table::of_contacts(CONTACT_RESERVED)];

/// A new ticket's fields: the integration's over Patchbay's usual ones, those of the call over both.
pub(crate) fn ticket(defaults: &Defaults, call: Fields) -> Value {
    // Source 3 is Phone, status 2 Open, priority 1 Low ("Freshdesk API v2, Tickets", ticket attributes [V]).
    let mut fields = Fields::from_iter([
        ("source".to_owned(), json!(3)),
        ("status".to_owned(), json!(2)),
        ("priority".to_owned(), json!(1)),
    ]);
    fields.extend(defaults.under("", call));
    let mut tags = vec![json!(TAG)];
    if let Some(Value::Array(more)) = fields.get("tags") {
        tags.extend(more.iter().filter(|tag| tag.as_str() != Some(TAG)).cloned());
    }
    fields.insert("tags".to_owned(), Value::Array(tags));
    Value::Object(fields)
}

/// What is wrong with the `defaults`, one line for each.
pub(crate) fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = defaults::problems(settings, TABLES);
    let defaults = &settings.defaults;
    for key in ["status", "priority", "source", "group_id", "product_id"] {
        if defaults.get(key).is_some_and(|value| !value.is_u64()) {
            problems.push(format!("defaults.{key}: must be a whole number"));
        }
    }
    let tag = |value: &Value| value.as_str().is_some_and(|tag| tag.chars().count() <= TAG_CHARS);
    let tags = |value: &Value| value.as_array().is_some_and(|tags| tags.iter().all(tag));
    if defaults.get("tags").is_some_and(|value| !tags(value)) {
        problems.push(format!("defaults.tags: must be a list of texts of at most {TAG_CHARS} characters"));
    }
    if defaults.get("custom_fields").is_some_and(|value| !value.is_object()) {
        problems.push("defaults.custom_fields: must be a table of field names and values".to_owned());
    }
    if defaults.get("contact").and_then(|contact| contact.get("custom_fields")).is_some_and(|value| !value.is_object())
    {
        problems.push("defaults.contact.custom_fields: must be a table of field names and values".to_owned());
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
            "status": 5, "type": "Question", "tags": ["exotel", "voice"], "subject": "x", "responder_id": 9,
            "custom_fields": {"cf_region": "south"}, "contact": {"language": "hi", "email": "all@example.com"},
        }));
        let defaults = Defaults::of(&given, TABLES);
        let call = Fields::from_iter([("subject".to_owned(), json!("Incoming Call"))]);
        assert_eq!(
            ticket(&defaults, call),
            json!({
                "subject": "Incoming Call", "source": 3, "status": 5, "priority": 1, "type": "Question",
                "tags": ["exotel", "voice"], "custom_fields": {"cf_region": "south"},
            })
        );
        let caller = Fields::from_iter([("name".to_owned(), json!("A"))]);
        assert_eq!(Value::Object(defaults.under("contact", caller)), json!({"name": "A", "language": "hi"}));
    }

    #[test]
    fn every_problem_is_told_with_its_key() {
        let told = problems(&settings(json!({
            "description": "x", "status": "open", "tags": "one", "custom_fields": [], "contact": {"email": "a@b.c"},
        })));
        for key in ["description", "status", "tags", "custom_fields", "contact.email"] {
            assert!(told.iter().any(|line| line.starts_with(&format!("defaults.{key}:"))), "{key}: {told:?}");
        }
        assert_eq!(told.len(), 5);
        assert!(problems(&settings(json!({"status": 2, "tags": ["a"], "contact": {"language": "en"}}))).is_empty());
    }
}
