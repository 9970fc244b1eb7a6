//! How the tests that all CRMs share look into this one.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{ZohoCrm, schema};
use crate::{Crm, HeldContact, HeldRecord};

impl Crm for ZohoCrm {
    /// The calls that took place; those that are scheduled are follow-ups, like tasks and events.
    fn records(&self) -> Vec<HeldRecord> {
        let calls = self.modules["Calls"].living().filter(|call| !self.scheduled(&call.values));
        calls
            .map(|call| {
                let text = |name: &str| call.values.get(name).and_then(Value::as_str);
                let id = |name: &str| Some(schema::id_of(call.values.get(name)?)?.to_string());
                HeldRecord {
                    id: call.id.to_string(),
                    text: lines(&call.values),
                    contact: id("Who_Id").or_else(|| id("What_Id")),
                    agent: id("Owner"),
                    talk_seconds: text("Call_Duration").and_then(schema::seconds),
                    recording: text("Voice_Recording__s").map(str::to_owned),
                    public: false,
                }
            })
            .collect()
    }

    fn contacts(&self) -> Vec<HeldContact> {
        let mut people: Vec<_> = ["Leads", "Contacts", "Accounts"]
            .iter()
            .flat_map(|module| self.modules[module].living())
            .map(|one| {
                let text = |name: &str| one.values.get(name).and_then(Value::as_str).unwrap_or_default();
                let name = format!("{} {}{}", text("First_Name"), text("Last_Name"), text("Account_Name"));
                let numbers = ["Phone", "Mobile", "Home_Phone", "Other_Phone"].map(text);
                let numbers = numbers.iter().filter(|number| !number.is_empty()).map(|number| (*number).to_owned());
                (
                    one.id,
                    HeldContact { id: one.id.to_string(), name: name.trim().to_owned(), numbers: numbers.collect() },
                )
            })
            .collect();
        people.sort_by_key(|(id, _)| *id);
        people.into_iter().map(|(_, person)| person).collect()
    }

    fn add_contact(&mut self, name: &str, number: &str, now: Timestamp) -> String {
        let id = self.new_id();
        let values = Map::from_iter([("Last_Name".to_owned(), json!(name)), ("Phone".to_owned(), json!(number))]);
        if let Some(contacts) = self.modules.get_mut("Contacts") {
            contacts.insert(id, values, now);
        }
        id.to_string()
    }

    fn add_agent(&mut self, name: &str, email: &str) -> String {
        self.add_user(name, email).to_string()
    }

    fn lag(&mut self, by: Duration) {
        self.settings.index_lag = by;
    }

    fn expire_tokens(&mut self) -> bool {
        self.grants.expire();
        true
    }

    fn fail_inside(&mut self, writes: u32) -> bool {
        self.failing = writes;
        true
    }
}

fn lines(values: &Map<String, Value>) -> String {
    let lines: Vec<String> = values
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}: {text}"),
            other => format!("{name}: {other}"),
        })
        .collect();
    lines.join("\n")
}
