//! Records of any module: inserted, upserted, updated, searched, in requests whose parts can fail one by one.

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};
use serde_json::{Map, Value, json};

use super::{
    Names, ZohoCrm,
    refusal::{Answer, Refusal},
    schema::{self, Field, Kind, Refers},
    users::Page,
};
use crate::{Reply, Request, shelf::indexed};

const RECORDS_MAX: usize = 100;
const TRIGGERS: &[&str] = &["workflow", "approval", "blueprint", "pathfinder", "orchestration"];
/// Fields by which an upsert may tell duplicates without their being unique ("Upsert Records", v8).
const CHECKED: &[(&str, &str)] = &[("Leads", "Email"), ("Contacts", "Email"), ("Accounts", "Account_Name")];

#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) id: u64,
    pub(super) values: Map<String, Value>,
    pub(super) created: Timestamp,
    modified: Timestamp,
    deleted: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Module {
    name: &'static str,
    pub(super) fields: Vec<Field>,
    records: BTreeMap<u64, Record>,
}

impl Module {
    pub(super) fn new(name: &'static str, fields: Vec<Field>) -> Self {
        Self { name, fields, records: BTreeMap::new() }
    }

    pub(super) fn insert(&mut self, id: u64, values: Map<String, Value>, now: Timestamp) {
        self.records.insert(id, Record { id, values, created: now, modified: now, deleted: false });
    }

    pub(super) fn record(&self, id: u64) -> Option<&Record> {
        self.records.get(&id).filter(|record| !record.deleted)
    }

    /// Records that are not deleted, oldest first.
    pub(super) fn living(&self) -> impl Iterator<Item = &Record> {
        self.records.values().filter(|record| !record.deleted)
    }

    pub(super) fn delete(&mut self, id: u64) -> bool {
        self.records.get_mut(&id).is_some_and(|record| !std::mem::replace(&mut record.deleted, true))
    }

    fn unique(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.unique)
    }

    /// Who has this value already.
    fn holder(&self, field: &str, value: &Value, but: Option<u64>) -> Option<u64> {
        let same = |record: &&Record| {
            Some(record.id) != but
                && match (record.values.get(field), value) {
                    (Some(Value::String(held)), Value::String(value)) => held.eq_ignore_ascii_case(value),
                    (Some(held), value) => !value.is_null() && held == value,
                    (None, _) => false,
                }
        };
        self.living().find(same).map(|record| record.id)
    }
}

impl Record {
    /// The record with every field of its module, and those that Zoho makes by itself.
    pub(super) fn shown(&self, module: &Module) -> Value {
        let mut shown: Map<String, Value> =
            module.fields.iter().map(|field| (field.name.clone(), Value::Null)).collect();
        shown.extend(self.values.clone());
        let text = |name: &str| self.values.get(name).and_then(Value::as_str).unwrap_or_default();
        let time = |at: Timestamp| if at == Timestamp::MIN { json!("2024-01-01T00:00:00+05:30") } else { time(at) };
        shown.insert("id".into(), json!(self.id.to_string()));
        shown.insert("Created_Time".into(), time(self.created));
        shown.insert("Modified_Time".into(), time(self.modified));
        if matches!(module.name, "Leads" | "Contacts") {
            let name = format!("{} {}", text("First_Name"), text("Last_Name"));
            shown.insert("Full_Name".into(), json!(name.trim()));
        }
        if let Some(seconds) = schema::seconds(text("Call_Duration")) {
            shown.insert("Call_Duration_in_seconds".into(), json!(seconds));
        }
        Value::Object(shown)
    }
}

/// A time as Zoho writes it, in the organisation's own zone: India's.
fn time(at: Timestamp) -> Value {
    let india = Offset::from_seconds(19_800).unwrap_or(Offset::UTC);
    json!(at.to_zoned(TimeZone::fixed(india)).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

/// What became of one record of a request.
type Outcome = Result<(u64, &'static str), Refusal>;

impl ZohoCrm {
    pub(super) fn insert(&mut self, module: &'static str, request: &Request, now: Timestamp) -> Answer {
        let (records, _) = body_of(request)?;
        Ok(self.each(&records, StatusCode::CREATED, now, |org, given| org.insert_one(module, given, now)))
    }

    pub(super) fn upsert(&mut self, module: &'static str, request: &Request, now: Timestamp) -> Answer {
        if matches!(module, "Tasks" | "Events") || module == "Calls" && !self.settings.calls_upsert {
            return Err(Refusal::module(module));
        }
        let (records, body) = body_of(request)?;
        let checked: Vec<String> = match body.get("duplicate_check_fields") {
            None => self.modules[module].unique().map(|field| field.name.clone()).collect(),
            Some(fields) => {
                let names = fields.as_array().map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned));
                names.map(Iterator::collect).unwrap_or_default()
            }
        };
        let usable = |name: &String| {
            CHECKED.contains(&(module, name.as_str())) || self.modules[module].unique().any(|field| field.name == *name)
        };
        if !checked.iter().all(usable) {
            let details = json!({"api_name": "duplicate_check_fields"});
            return Err(Refusal { details, ..Refusal::bad("INVALID_DATA", "invalid data") });
        }
        Ok(self.each(&records, StatusCode::OK, now, |org, given| {
            let held = checked.iter().find_map(|name| org.modules[module].holder(name, given.get(name)?, None));
            match held {
                Some(id) => org.update_one(module, id, given, now),
                None => org.insert_one(module, given, now),
            }
        }))
    }

    pub(super) fn update(&mut self, module: &'static str, id: &str, request: &Request, now: Timestamp) -> Answer {
        let (records, _) = body_of(request)?;
        let known = id.parse().ok().filter(|id| self.modules[module].record(*id).is_some());
        Ok(self.each(&records, StatusCode::OK, now, |org, given| match known {
            Some(id) => org.update_one(module, id, given, now),
            None => Err(Refusal::gone(id)),
        }))
    }

    pub(super) fn show(&self, module: &'static str, id: &str) -> Answer {
        let module = &self.modules[module];
        let Some(record) = id.parse().ok().and_then(|id| module.record(id)) else {
            return if id.parse::<u64>().is_ok() {
                Ok(Reply::empty(StatusCode::NO_CONTENT))
            } else {
                Err(Refusal::gone(id))
            };
        };
        Ok(Reply::json(StatusCode::OK, &json!({"data": [record.shown(module)]})))
    }

    pub(super) fn delete(&mut self, module: &'static str, id: &str) -> Answer {
        let known = id.parse().map_err(|_| Refusal::gone(id))?;
        if !self.modules.get_mut(module).is_some_and(|module| module.delete(known)) {
            return Err(Refusal::gone(id));
        }
        Ok(Reply::json(StatusCode::OK, &json!({"data": [success(known, "record deleted")]})))
    }

    /// By the exact text of any of its numbers, or by its e-mail address, as the index knows it.
    pub(super) fn search(&self, module: &'static str, request: &Request, now: Timestamp) -> Answer {
        let module = &self.modules[module];
        let (kind, wanted) = match (request.param("phone"), request.param("email")) {
            (Some(phone), _) => (Kind::Phone, phone),
            (None, Some(email)) => (Kind::Email, email),
            (None, None) => {
                return Err(Refusal::bad("MANDATORY_NOT_FOUND", "criteria, email, phone or word is needed"));
            }
        };
        let page = Page::of(request)?;
        let lag = self.settings.index_lag;
        let found = module.living().filter(|record| {
            indexed(record.created, lag, now)
                && module.fields.iter().any(|field| {
                    field.kind == kind && record.values.get(&field.name).and_then(Value::as_str) == Some(wanted)
                })
        });
        Ok(page.cut("data", found.map(|record| record.shown(module))))
    }

    /// Carries each record out by itself. The request succeeds if one did; where none did, the status is a setting.
    fn each(
        &mut self,
        records: &[Map<String, Value>],
        done: StatusCode,
        now: Timestamp,
        mut one: impl FnMut(&mut Self, &Map<String, Value>) -> Outcome,
    ) -> Reply {
        if self.failing > 0 {
            self.failing -= 1;
            let failed = Refusal::of_status(StatusCode::INTERNAL_SERVER_ERROR).shown();
            return Reply::json(StatusCode::OK, &json!({"data": vec![failed; records.len()]}));
        }
        let (mut shown, mut failed) = (Vec::new(), 0);
        for (at, given) in records.iter().enumerate() {
            shown.push(match one(self, given) {
                Ok((id, said)) => {
                    let mut success = success(id, said);
                    success["details"]["Modified_Time"] = time(now);
                    success
                }
                Err(refusal) => {
                    failed += 1;
                    let mut refusal = refusal.shown();
                    if let Some(path) = refusal["details"]["json_path"].as_str() {
                        refusal["details"]["json_path"] = json!(path.replace("[0]", &format!("[{at}]")));
                    }
                    refusal
                }
            });
        }
        let status = match failed {
            0 => done,
            failed if failed < records.len() => StatusCode::MULTI_STATUS,
            _ => self.settings.refused,
        };
        Reply::json(status, &json!({"data": shown}))
    }

    fn insert_one(&mut self, module: &'static str, given: &Map<String, Value>, now: Timestamp) -> Outcome {
        let mut values = self.read(module, given)?;
        for field in self.modules[module].fields.iter().filter(|field| field.mandatory) {
            if values.get(&field.name).is_none_or(Value::is_null) {
                return Err(Refusal::missing(&field.name));
            }
        }
        let scheduled = self.scheduled(&values);
        if module == "Calls" && !scheduled && values["Call_Type"] != "Missed" && !values.contains_key("Call_Duration") {
            return Err(Refusal::invalid("Call_Duration", "text"));
        }
        self.without_duplicates(module, &values, None)?;
        if let Some(owner) = self.owner() {
            values.entry("Owner").or_insert(json!({"id": owner.id.to_string()}));
        }
        let id = self.new_id();
        if let Some(module) = self.modules.get_mut(module) {
            module.insert(id, values, now);
        }
        Ok((id, "record added"))
    }

    fn update_one(&mut self, module: &'static str, id: u64, given: &Map<String, Value>, now: Timestamp) -> Outcome {
        let values = self.read(module, given)?;
        self.without_duplicates(module, &values, Some(id))?;
        let over = |held: &Map<String, Value>| !self.scheduled(held);
        if module == "Calls"
            && self.settings.completed_is_fixed
            && let Some(record) = self.modules[module].record(id)
        {
            for (field, fixed) in [("Call_Type", true), ("Owner", over(&record.values))] {
                if fixed && values.get(field).is_some_and(|value| record.values.get(field) != Some(value)) {
                    let details = json!({"api_name": field, "json_path": format!("$.data[0].{field}")});
                    return Err(Refusal { details, ..Refusal::bad("INVALID_DATA", "the field cannot be updated") });
                }
            }
        }
        if let Some(record) = self.modules.get_mut(module).and_then(|module| module.records.get_mut(&id)) {
            record.values.extend(values);
            record.modified = now;
        }
        Ok((id, "record updated"))
    }

    /// The values that the module's fields take; a name that is no field of it is ignored, as Zoho does.
    fn read(&self, module: &str, given: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
        let there = |what: Refers<'_>| match what {
            Refers::User(id) => self.users.get(&id).is_some_and(|user| user.active),
            Refers::Record(module, id) => self.modules.get(module).is_some_and(|module| module.record(id).is_some()),
        };
        let mut values = Map::new();
        for field in &self.modules[module].fields {
            let Some(value) = given.get(self.name_of(field)) else { continue };
            let read = schema::read(field, value, given, &there).map_err(|refusal| self.by_path(field, refusal))?;
            if field.kind != Kind::Computed {
                values.insert(field.name.clone(), read);
            }
            if field.kind == Kind::Parent {
                values.insert("$se_module".into(), given["$se_module"].clone());
            }
        }
        Ok(values)
    }

    /// The name a field is written under.
    fn name_of<'a>(&self, field: &'a Field) -> &'a str {
        match field.name.as_str() {
            "Outgoing_Call_Status" if self.settings.outbound_name => "Outbound_Call_Status",
            name => name,
        }
    }

    fn by_path(&self, field: &Field, refusal: Refusal) -> Refusal {
        if !self.settings.lookups_by_path || !matches!(field.kind, Kind::Lookup(_) | Kind::Parent | Kind::User) {
            return refusal;
        }
        let details = json!({"api_name": "id", "json_path": format!("$.data[0].{}.id", field.name)});
        Refusal { details, ..refusal }
    }

    /// A call that is still to come.
    pub(super) fn scheduled(&self, values: &Map<String, Value>) -> bool {
        values.get("Outgoing_Call_Status").is_some_and(|status| status == "Scheduled")
    }

    fn without_duplicates(&self, name: &str, values: &Map<String, Value>, but: Option<u64>) -> Result<(), Refusal> {
        let module = &self.modules[name];
        for field in module.unique() {
            let Some(holder) = values.get(&field.name).and_then(|value| module.holder(&field.name, value, but)) else {
                continue;
            };
            let mut details = json!({"api_name": field.name, "json_path": format!("$.data[0].{}", field.name)});
            match self.settings.duplicate_names {
                Names::Id => details["id"] = json!(holder.to_string()),
                Names::Record => {
                    details["duplicate_record"] = json!({"id": holder.to_string(), "module": {"api_name": name}});
                }
                Names::Nothing => {}
            }
            return Err(Refusal { details, ..Refusal::bad("DUPLICATE_DATA", "duplicate data") });
        }
        Ok(())
    }
}

fn success(id: u64, said: &str) -> Value {
    json!({"code": "SUCCESS", "details": {"id": id.to_string()}, "message": said, "status": "success"})
}

type Fields = Map<String, Value>;

/// The records of a body, and the body.
fn body_of(request: &Request) -> Result<(Vec<Fields>, Fields), Refusal> {
    let body: Fields = serde_json::from_slice(&request.body)
        .map_err(|_| Refusal::bad("INVALID_DATA", "body is not in proper format"))?;
    let top = |name: &str, code, expected: &str| {
        let details = json!({"expected_data_type": expected, "api_name": name});
        Refusal { details, ..Refusal::bad(code, "invalid data") }
    };
    let data = body.get("data").ok_or_else(|| top("data", "MANDATORY_NOT_FOUND", "jsonarray"))?;
    let records: Option<Vec<Fields>> =
        data.as_array().and_then(|list| list.iter().map(|one| one.as_object().cloned()).collect());
    let records = records.filter(|records| (1..=RECORDS_MAX).contains(&records.len()));
    let records = records.ok_or_else(|| top("data", "INVALID_DATA", "jsonarray"))?;
    if let Some(trigger) = body.get("trigger") {
        let known = |one: &Value| one.as_str().is_some_and(|one| TRIGGERS.contains(&one));
        if !trigger.as_array().is_some_and(|list| list.iter().all(known)) {
            return Err(top("trigger", "INVALID_DATA", "jsonarray"));
        }
    }
    Ok((records, body))
}
