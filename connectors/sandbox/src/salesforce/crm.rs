//! The org in the terms that all CRM sandboxes share.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Record, Salesforce};
use crate::{Crm, HeldContact, HeldRecord};

/// Where people's numbers are.
const NUMBERS: [&str; 6] = ["Phone", "MobilePhone", "HomePhone", "OtherPhone", "AssistantPhone", "SuppliedPhone"];

impl Crm for Salesforce {
    fn records(&self) -> Vec<HeldRecord> {
        // What is to be done after a call is a task too, and no call.
        let calls = self.records_of("Task").filter(|task| task.text("TaskSubtype") == "Call");
        calls.map(|task| self.held(task)).collect()
    }

    fn contacts(&self) -> Vec<HeldContact> {
        let people = self.store.all().filter(|record| matches!(record.object, "Contact" | "Lead" | "Account" | "Case"));
        people
            .map(|record| HeldContact {
                id: record.id.clone(),
                name: record
                    .value(if record.object == "Case" { "SuppliedName" } else { "Name" })
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                numbers: NUMBERS
                    .iter()
                    .map(|field| record.text(field).to_owned())
                    .filter(|number| !number.is_empty())
                    .collect(),
            })
            .collect()
    }

    fn add_contact(&mut self, name: &str, number: &str, now: Timestamp) -> String {
        self.add(
            "Contact",
            super::values(json!({"LastName": name, "Phone": number, "OwnerId": self.integration_user})),
            now,
        )
    }

    fn add_agent(&mut self, name: &str, email: &str) -> String {
        self.add_user(name, email)
    }

    fn lag(&mut self, by: Duration) {
        self.settings.index_lag = by;
    }

    fn expire_tokens(&mut self) -> bool {
        self.grants.expire();
        true
    }

    /// Answers to single records have `success` and `errors` like those to collections; that they ever come with 200
    /// and a no is not proven.
    fn fail_inside(&mut self, writes: u32) -> bool {
        self.fails_inside = writes;
        true
    }
}

impl Salesforce {
    fn held(&self, task: &Record) -> HeldRecord {
        let line = |(name, value): (&String, &Value)| match value {
            Value::String(text) => format!("{name}: {text}"),
            other => format!("{name}: {other}"),
        };
        let given = |field: &str| Some(task.text(field)).filter(|text| !text.is_empty()).map(str::to_owned);
        HeldRecord {
            id: task.id.clone(),
            text: task.values.iter().map(line).collect::<Vec<_>>().join("\n"),
            contact: given("WhoId").or_else(|| given("WhatId")),
            // Every task has an owner; the integration's user is nobody's choice.
            agent: given("OwnerId").filter(|owner| *owner != self.integration_user),
            talk_seconds: task
                .values
                .get("CallDurationInSeconds")
                .and_then(Value::as_u64)
                .and_then(|s| s.try_into().ok()),
            recording: given("Recording_URL__c"),
            public: false,
        }
    }
}
