//! The records of the org, each with its past.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::shelf::Past;

/// A record's values by field name.
pub(super) type Values = Map<String, Value>;

/// A record.
#[derive(Clone, Debug)]
pub struct Record {
    /// `Contact`, `Task` …
    pub object: &'static str,
    /// In its long form.
    pub id: String,
    /// By field name; what is empty is not there.
    pub values: Map<String, Value>,
    /// In the recycle bin.
    pub deleted: bool,
    past: Past<Values>,
}

impl Record {
    /// A text value; empty where there is none.
    pub fn text(&self, field: &str) -> &str {
        self.values.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn value(&self, field: &str) -> Value {
        match field {
            "Id" => json!(self.id),
            "IsDeleted" => json!(self.deleted),
            // Opportunities and cases are closed by a stage or status of that name, tasks when they are done.
            "IsClosed" => {
                let state = if self.object == "Opportunity" { self.text("StageName") } else { self.text("Status") };
                json!(state.starts_with("Closed") || state == "Completed")
            }
            "Name" if matches!(self.object, "Contact" | "Lead") => {
                json!([self.text("FirstName"), self.text("LastName")].join(" ").trim())
            }
            _ => self.values.get(field).cloned().unwrap_or(Value::Null),
        }
    }

    /// The values as search knows them.
    pub(super) fn indexed(&self, now: Timestamp, lag: Duration) -> Option<&Values> {
        self.past.as_indexed(&self.values, now, lag)
    }
}

/// All records, in order of creation for each object.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    records: BTreeMap<String, Record>,
    /// Who holds a value of an external id field: a benchmark's org has too many records to look through.
    holders: HashMap<(String, String), Vec<String>>,
    counts: BTreeMap<&'static str, u64>,
    order: Vec<String>,
}

impl Store {
    pub(super) fn next_number(&mut self, object: &'static str) -> u64 {
        let count = self.counts.entry(object).or_default();
        *count += 1;
        *count
    }

    pub(super) fn insert(&mut self, object: &'static str, id: &str, values: Values, keys: &[String], since: Timestamp) {
        self.hold(object, id, &values, keys);
        self.order.push(id.to_owned());
        let record = Record { object, id: id.to_owned(), values, deleted: false, past: Past::new(since) };
        self.records.insert(id.to_owned(), record);
    }

    pub(super) fn get(&self, id: &str) -> Option<&Record> {
        self.records.get(id)
    }

    /// Alters a record; the version before stays searchable for `lag`.
    pub(super) fn change(
        &mut self,
        id: &str,
        keys: &[String],
        now: Timestamp,
        lag: Duration,
        change: impl FnOnce(&mut Record),
    ) {
        let Some(record) = self.records.get_mut(id) else { return };
        let before = record.values.clone();
        change(record);
        record.past.replace(&before, now, lag);
        let (object, values) = (record.object, record.values.clone());
        for key in keys {
            if let Some(held) = before.get(key).and_then(Value::as_str)
                && let Some(ids) = self.holders.get_mut(&(format!("{object}.{key}"), held.to_owned()))
            {
                ids.retain(|other| other != id);
            }
        }
        self.hold(object, id, &values, keys);
    }

    fn hold(&mut self, object: &str, id: &str, values: &Values, keys: &[String]) {
        for key in keys {
            if let Some(value) = values.get(key).and_then(Value::as_str) {
                self.holders.entry((format!("{object}.{key}"), value.to_owned())).or_default().push(id.to_owned());
            }
        }
    }

    /// The records that hold a value of an external id field and are not deleted.
    pub(super) fn holders(&self, object: &str, field: &str, value: &str) -> Vec<String> {
        let ids = self.holders.get(&(format!("{object}.{field}"), value.to_owned()));
        let alive = |id: &&String| self.records.get(*id).is_some_and(|record| !record.deleted);
        ids.into_iter().flatten().filter(alive).cloned().collect()
    }

    /// The records of an object that are not deleted, in order of creation.
    pub(super) fn of<'a>(&'a self, object: &'a str) -> impl Iterator<Item = &'a Record> + 'a {
        self.all().filter(move |record| record.object == object)
    }

    /// All records that are not deleted, in order of creation.
    pub(super) fn all(&self) -> impl Iterator<Item = &Record> {
        self.order.iter().filter_map(|id| self.records.get(id)).filter(|record| !record.deleted)
    }
}
