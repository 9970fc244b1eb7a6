//! The integration's `defaults`: what a customer's Zoho Desk demands beyond what Patchbay knows of a call.

use patchbay_kit::{
    Defaults, Settings,
    defaults::{self, Fields, Table},
};
use serde_json::Value;

/// Fields of a ticket that only the call itself, or a setting, can fill.
const TICKET_RESERVED: &[&str] =
    &["subject", "description", "contactId", "departmentId", "assigneeId", "phone", "email"];
/// Fields by which contacts are told apart. A constant in one of them would make all callers one contact.
const CONTACT_RESERVED: &[&str] =
    &["lastName", "firstName", "phone", "mobile", "email", "secondaryEmail", "twitter", "facebook"];

pub(crate) const TABLES: &[Table] = &[
    Table { because: "comes from the call or a setting", ..Table::of_calls(TICKET_RESERVED) },
    Table::of_contacts(CONTACT_RESERVED),
];

/// A new ticket's fields: the integration's over Patchbay's usual ones, those of the call over both.
pub(crate) fn ticket(defaults: &Defaults, call: Fields) -> Value {
    // "Tickets: Create a ticket" [V]. The status is left to the layout, whose first is the usual "Open".
    let mut fields = Fields::from_iter([("channel".to_owned(), Value::from("Phone"))]);
    fields.extend(defaults.under("", call));
    Value::Object(fields)
}

/// What is wrong with the `defaults`, one line for each.
pub(crate) fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = defaults::problems(settings, TABLES);
    let defaults = &settings.defaults;
    for key in ["status", "priority", "channel", "category", "subCategory", "classification", "language"] {
        if defaults.get(key).is_some_and(|value| !value.is_string()) {
            problems.push(format!("defaults.{key}: must be a text, as Zoho Desk shows it"));
        }
    }
    custom("defaults", defaults, &mut problems);
    if let Some(Value::Object(contact)) = defaults.get("contact") {
        custom("defaults.contact", contact, &mut problems);
    }
    problems
}

/// Custom fields stand in `cf`, by their API names. Zoho Desk also takes `customFields`, by labels that anybody can
/// change.
fn custom(table: &str, fields: &Fields, problems: &mut Vec<String>) {
    match fields.get("cf") {
        None => {}
        Some(Value::Object(cf)) => {
            for name in cf.keys().filter(|name| !name.starts_with("cf_")) {
                problems.push(format!("{table}.cf.{name}: must be an API name, which begins with cf_"));
            }
        }
        Some(_) => problems.push(format!("{table}.cf: must be a table of API names and values")),
    }
    if fields.contains_key("customFields") {
        problems.push(format!("{table}.customFields: must be {table}.cf, with the fields' API names"));
    }
    for name in fields.keys().filter(|name| name.starts_with("cf_")) {
        problems.push(format!("{table}.{name}: must stand in {table}.cf"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(defaults: Value) -> Settings {
        let Value::Object(defaults) = defaults else { panic!("not a table") };
        Settings { defaults, ..Settings::default() }
    }

    #[test]
    fn defaults_fill_in_and_never_replace_what_the_call_says() {
        let given = settings(json!({
            "priority": "High", "channel": "Telephony", "subject": "x", "assigneeId": "9", "departmentId": "1",
            "cf": {"cf_region": "south"}, "contact": {"title": "Caller", "email": "all@example.com"},
        }));
        let defaults = Defaults::of(&given, TABLES);
        let call = Fields::from_iter([("subject".to_owned(), json!("Incoming Call"))]);
        assert_eq!(
            ticket(&defaults, call),
            json!({"subject": "Incoming Call", "channel": "Telephony", "priority": "High", "cf": {"cf_region": "south"}})
        );
        let caller = Fields::from_iter([("lastName".to_owned(), json!("A"))]);
        assert_eq!(Value::Object(defaults.under("contact", caller)), json!({"lastName": "A", "title": "Caller"}));
    }

    #[test]
    fn every_problem_is_told_with_its_key() {
        let told = problems(&settings(json!({
            "description": "x", "status": 2, "cf": {"Region": "south"}, "cf_region": "south", "customFields": {},
            "contact": {"email": "a@b.c", "cf": []},
        })));
        let keys = ["description", "status", "cf.Region", "cf_region", "customFields", "contact.email", "contact.cf"];
        for key in keys {
            assert!(told.iter().any(|line| line.starts_with(&format!("defaults.{key}:"))), "{key}: {told:?}");
        }
        assert_eq!(told.len(), keys.len());
        let fine = json!({"status": "Open", "cf": {"cf_a": "1"}, "contact": {"title": "Caller"}});
        assert!(problems(&settings(fine)).is_empty());
        assert_eq!(problems(&settings(json!({"contact": 1}))).len(), 1);
    }
}
