//! The integration's `defaults`: what a customer's Zoho Desk demands beyond what Patchbay knows of a call.

use patchbay_kit::Settings;
use serde_json::{Map, Value};

/// Fields of a ticket that only the call itself, or a setting, can fill.
const TICKET_RESERVED: &[&str] =
    &["subject", "description", "contactId", "contact", "departmentId", "assigneeId", "phone", "email"];
/// Fields by which contacts are told apart. A constant in one of them would make all callers one contact.
const CONTACT_RESERVED: &[&str] =
    &["lastName", "firstName", "phone", "mobile", "email", "secondaryEmail", "twitter", "facebook"];

/// The extra fields, without what must not be in them.
pub(crate) struct Defaults {
    ticket: Map<String, Value>,
    contact: Map<String, Value>,
}

/// Only which fields there are: their values may be anything.
impl std::fmt::Debug for Defaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = |map: &Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
        f.debug_struct("Defaults").field("ticket", &keys(&self.ticket)).field("contact", &keys(&self.contact)).finish()
    }
}

impl Defaults {
    pub(crate) fn of(settings: &Settings) -> Self {
        let mut ticket = settings.defaults.clone();
        let taken = ticket.remove("contact");
        let mut contact = match taken {
            Some(Value::Object(contact)) => contact,
            _ => Map::new(),
        };
        ticket.retain(|key, _| !TICKET_RESERVED.contains(&key.as_str()));
        contact.retain(|key, _| !CONTACT_RESERVED.contains(&key.as_str()));
        Self { ticket, contact }
    }

    /// A new ticket's fields: the integration's over Patchbay's usual ones, those of the call over both.
    pub(crate) fn ticket(&self, call: Map<String, Value>) -> Value {
        // "Tickets: Create a ticket" [V]. The status is left to the layout, whose first is the usual "Open".
        let mut fields = Map::from_iter([("channel".to_owned(), Value::from("Phone"))]);
        fields.extend(self.ticket.clone());
        fields.extend(call);
        Value::Object(fields)
    }

    /// A new contact's fields.
    pub(crate) fn contact(&self, caller: Map<String, Value>) -> Value {
        let mut fields = self.contact.clone();
        fields.extend(caller);
        Value::Object(fields)
    }
}

/// What is wrong with the `defaults`, one line for each.
pub(crate) fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    let defaults = &settings.defaults;
    for key in TICKET_RESERVED.iter().filter(|key| **key != "contact" && defaults.contains_key(**key)) {
        problems.push(format!("defaults.{key}: comes from the call or a setting and cannot be set"));
    }
    for key in ["status", "priority", "channel", "category", "subCategory", "classification", "language"] {
        if defaults.get(key).is_some_and(|value| !value.is_string()) {
            problems.push(format!("defaults.{key}: must be a text, as Zoho Desk shows it"));
        }
    }
    custom("defaults", defaults, &mut problems);
    match defaults.get("contact") {
        None => {}
        Some(Value::Object(contact)) => {
            for key in CONTACT_RESERVED.iter().filter(|key| contact.contains_key(**key)) {
                problems.push(format!("defaults.contact.{key}: would make all callers one contact and cannot be set"));
            }
            custom("defaults.contact", contact, &mut problems);
        }
        Some(_) => problems.push("defaults.contact: must be a table of the fields of new contacts".to_owned()),
    }
    problems
}

/// Custom fields stand in `cf`, by their API names. Zoho Desk also takes `customFields`, by labels that anybody can
/// change.
fn custom(table: &str, fields: &Map<String, Value>, problems: &mut Vec<String>) {
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
        let defaults = Defaults::of(&settings(json!({
            "priority": "High", "channel": "Telephony", "subject": "x", "assigneeId": "9", "departmentId": "1",
            "cf": {"cf_region": "south"}, "contact": {"title": "Caller", "email": "all@example.com"},
        })));
        let call = Map::from_iter([("subject".to_owned(), json!("Incoming Call"))]);
        assert_eq!(
            defaults.ticket(call),
            json!({"subject": "Incoming Call", "channel": "Telephony", "priority": "High", "cf": {"cf_region": "south"}})
        );
        let caller = Map::from_iter([("lastName".to_owned(), json!("A"))]);
        assert_eq!(defaults.contact(caller), json!({"lastName": "A", "title": "Caller"}));
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
