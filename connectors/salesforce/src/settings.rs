//! What one org differs in from another: names of fields and objects, and fields that must be filled.

use jiff::tz::Offset;
use patchbay_kit::{
    Defaults, Settings,
    defaults::{self, Table},
};

use crate::{
    facts::Fact,
    objects::Object,
    query::{is_name, is_path},
};

const CALL_SID_FIELD: &str = "Exotel_Call_Sid__c";
const CALLER_ID_FIELD: &str = "Exotel_Caller_Id__c";
const VERSION: &str = "62.0";
/// Does without a field.
const NONE: &str = "none";

/// Fields of a task that only the call itself can fill.
const TASK_RESERVED: &[&str] =
    &["Subject", "Description", "WhoId", "WhatId", "CallObject", "CallDurationInSeconds", "TaskSubtype"];
/// Fields by which people are told apart. A constant in one of them would make all callers one.
const CONTACT_RESERVED: &[&str] =
    &["LastName", "Name", "Phone", "MobilePhone", "SuppliedPhone", "SuppliedName", "Email"];

const TABLES: &[Table] = &[
    Table::of_calls(TASK_RESERVED),
    Table {
        holds: "the fields of new leads (or contacts, accounts, cases)",
        because: "would make all callers one",
        ..Table::of_contacts(CONTACT_RESERVED)
    },
];

/// The settings as they are used.
pub(crate) struct Org {
    /// As it stands in paths: `v62.0`.
    pub(crate) version: String,
    pub(crate) default_object: Object,
    /// In order of priority.
    pub(crate) objects: Vec<Object>,
    pub(crate) call_sid_field: String,
    pub(crate) caller_id_field: Option<String>,
    /// Which fact goes into which field of the org's own.
    pub(crate) call_fields: Vec<(Fact, String)>,
    pub(crate) missed_status: String,
    pub(crate) utc_offset: Offset,
    pub(crate) defaults: Defaults,
}

/// Only names: the values of defaults may be anything.
impl std::fmt::Debug for Org {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let objects: Vec<&str> = self.objects.iter().map(|object| object.name).collect();
        f.debug_struct("Org")
            .field("version", &self.version)
            .field("default_object", &self.default_object.name)
            .field("objects", &objects)
            .field("call_sid_field", &self.call_sid_field)
            .finish_non_exhaustive()
    }
}

impl Org {
    pub(crate) fn of(settings: &Settings) -> Self {
        let named = |key: &str| settings.text(key).filter(|name| is_name(name));
        let mut objects: Vec<Object> = Vec::new();
        for object in settings.list("object_priority").iter().filter_map(|entry| Object::parse(entry)) {
            if objects.iter().all(|other| other.name != object.name) {
                objects.push(object);
            }
        }
        if objects.is_empty() {
            objects = ["Contact", "Lead", "Account"].into_iter().filter_map(Object::named).collect();
        }
        let default_object = settings.text("default_object").and_then(Object::named).filter(may_be_default);
        let default_object = default_object.or_else(|| Object::named("Lead")).unwrap_or_else(|| objects[0].clone());
        // Whom Patchbay makes it must find again.
        let default_object = match objects.iter().find(|object| object.name == default_object.name) {
            Some(searched) => searched.clone(),
            None => {
                objects.push(default_object.clone());
                default_object
            }
        };
        let call_sid_field = named("call_sid_field").unwrap_or(CALL_SID_FIELD).to_owned();
        let caller_id_field = named("caller_id_field").unwrap_or(CALLER_ID_FIELD);
        let defaults = Defaults::of(settings, TABLES).without("", &call_sid_field).without("contact", caller_id_field);
        let version = settings.text("api_version").and_then(version).unwrap_or_else(|| format!("v{VERSION}"));
        Self {
            version,
            default_object,
            objects,
            call_sid_field,
            caller_id_field: Some(caller_id_field).filter(|field| *field != NONE).map(str::to_owned),
            call_fields: match settings.lists.get("call_fields") {
                Some(entries) => entries.iter().filter_map(|entry| call_field(entry)).collect(),
                None => Fact::usual(),
            },
            missed_status: settings.text("missed_status").unwrap_or("Not Started").to_owned(),
            utc_offset: settings.utc_offset,
            defaults,
        }
    }
}

/// An opportunity needs a stage and a closing date, which no call has.
fn may_be_default(object: &Object) -> bool {
    object.name != "Opportunity"
}

/// `62.0`, `v62.0` or `62` as it stands in paths.
fn version(text: &str) -> Option<String> {
    let number = text.trim_start_matches('v');
    let number: u32 = number.strip_suffix(".0").unwrap_or(number).parse().ok()?;
    Some(format!("v{number}.0"))
}

fn call_field(entry: &str) -> Option<(Fact, String)> {
    let (fact, field) = entry.split_once('=')?;
    Some((Fact::parse(fact.trim())?, Some(field.trim()).filter(|field| is_name(field))?.to_owned()))
}

/// What is wrong with the settings, one line for each.
pub(crate) fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    let mut told = |line: &str| problems.push(line.to_owned());
    match (settings.has("username"), settings.has("private_key_file")) {
        (true, false) => told("private_key_file: is needed with username, to sign in by certificate"),
        (false, true) => told("username: is needed with private_key_file: the user whom the key lets in"),
        (true, true) if settings.has("refresh_token") => {
            told("refresh_token: take it out, or username and private_key_file: one way to sign in is right");
        }
        (true, true) => {}
        (false, false) if !settings.has("client_secret") => {
            told("client_secret: is needed, or username and private_key_file to sign in by certificate");
        }
        (false, false) => {}
    }
    if let Some(name) = settings.text("default_object") {
        match Object::named(name) {
            None => told("default_object: must be Lead, Contact, Account or Case"),
            Some(object) if !may_be_default(&object) => {
                told(
                    "default_object: an Opportunity needs a closing date; Lead, Contact, Account or Case would be right",
                );
            }
            Some(_) => {}
        }
    }
    let mut seen: Vec<&str> = Vec::new();
    for entry in settings.list("object_priority") {
        match Object::parse(entry) {
            None => told(&format!(
                "object_priority: \"{entry}\" is none of Account, Contact, Lead, Opportunity, Case, with or without \
                 fields, as in Contact(Phone, HomePhone)"
            )),
            Some(object) if seen.contains(&object.name) => {
                told(&format!("object_priority: {} stands twice", object.name));
            }
            Some(object) => seen.push(object.name),
        }
    }
    for key in ["call_sid_field", "caller_id_field"] {
        if settings.text(key).is_some_and(|name| !is_name(name)) {
            told(&format!("{key}: must be the API name of a field, as Exotel_Call_Sid__c"));
        }
    }
    for entry in settings.list("call_fields").iter().filter(|entry| call_field(entry).is_none()) {
        told(&format!(
            "call_fields: \"{entry}\" must be a fact and a field, as recording_url=Recording_URL__c; facts are {}",
            Fact::names()
        ));
    }
    if settings.text("api_version").is_some_and(|text| version(text).is_none()) {
        told("api_version: must be a version of the REST API, as 62.0");
    }
    let sid = settings.text("call_sid_field").unwrap_or(CALL_SID_FIELD);
    for key in settings.defaults.keys().filter(|key| *key != "contact" && !TASK_RESERVED.contains(&key.as_str())) {
        if key == sid {
            told(&format!("defaults.{key}: comes from the call and cannot be set"));
        } else if !is_path(key) || key.contains('.') {
            told(&format!("defaults.{key}: must be the API name of a field of tasks"));
        }
    }
    problems.extend(defaults::problems(settings, TABLES));
    problems
}

#[cfg(test)]
mod tests {
    use patchbay_kit::defaults::Fields;
    use serde_json::{Value, json};

    use super::*;

    fn settings(texts: &[(&str, &str)], lists: &[(&str, &[&str])], secrets: &[&str], defaults: Value) -> Settings {
        let owned = |text: &&str| (*text).to_owned();
        Settings {
            text: texts.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect(),
            lists: lists.iter().map(|(key, list)| ((*key).to_owned(), list.iter().map(owned).collect())).collect(),
            secrets: secrets.iter().map(owned).collect(),
            defaults: defaults.as_object().cloned().unwrap_or_default(),
            ..Settings::default()
        }
    }

    #[test]
    fn every_problem_is_told_with_its_key() {
        for (texts, secrets, key) in [
            (&[][..], &[][..], "client_secret"),
            (&[("username", "a@b.c")], &[], "private_key_file"),
            (&[], &["private_key_file", "client_secret"], "username"),
            (&[("username", "a@b.c")], &["private_key_file", "refresh_token"], "refresh_token"),
            (&[("default_object", "Opportunity")], &["client_secret"], "default_object"),
            (&[("default_object", "Thing")], &["client_secret"], "default_object"),
            (&[("call_sid_field", "a' OR 'b")], &["client_secret"], "call_sid_field"),
            (&[("api_version", "latest")], &["client_secret"], "api_version"),
        ] {
            let told = problems(&settings(texts, &[], secrets, Value::Null));
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(&format!("{key}:")), "{told:?}");
        }
        let lists: &[(&str, &[&str])] = &[
            ("object_priority", &["Lead", "Lead(Phone)", "Thing"]),
            ("call_fields", &["end=End__c", "mood=Mood__c", "end"]),
        ];
        let defaults = json!({"WhoId": "x", "Exotel_Call_Sid__c": "x", "no field": 1, "Type": "Call",
                              "contact": {"Phone": "1", "Company": "Walk-in"}});
        let told = problems(&settings(&[], lists, &["client_secret"], defaults));
        assert_eq!(told.len(), 8, "{told:?}");
        assert_eq!(problems(&settings(&[("username", "a@b.c")], &[], &["private_key_file"], Value::Null)), [""; 0]);
    }

    #[test]
    fn what_is_wrong_is_left_out_and_the_default_object_is_searched() {
        let lists: &[(&str, &[&str])] =
            &[("object_priority", &["Account", "Thing"]), ("call_fields", &["end=End__c", "x=y"])];
        let defaults = json!({"Type": "Call", "Subject": "x", "contact": {"Company": "Walk-in", "Phone": "1"}});
        let texts = [("caller_id_field", "none"), ("api_version", "v64"), ("call_sid_field", "a b")];
        let org = Org::of(&settings(&texts, lists, &[], defaults));
        assert_eq!(org.objects.iter().map(|object| object.name).collect::<Vec<_>>(), ["Account", "Lead"]);
        assert_eq!((org.version.as_str(), org.call_sid_field.as_str()), ("v64.0", CALL_SID_FIELD));
        assert_eq!((org.caller_id_field, org.call_fields.len()), (None, 1));
        assert_eq!(Value::Object(org.defaults.under("", Fields::new())), json!({"Type": "Call"}));
        assert_eq!(Value::Object(org.defaults.under("contact", Fields::new())), json!({"Company": "Walk-in"}));
        let usual = Org::of(&Settings::default());
        assert_eq!(usual.objects.iter().map(|object| object.name).collect::<Vec<_>>(), ["Contact", "Lead", "Account"]);
        assert_eq!(usual.default_object.name, "Lead");
    }
}
