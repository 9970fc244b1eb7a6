//! Those who call: looked up by exact strings, made by upsert, shown with their notes (`crm-api.md` §2.c, d, f).

use std::collections::HashMap;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    Freshsales,
    model::{Contact, FIRST_CONTACT, Person},
    next, object,
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request, shelf::indexed};

/// Fields by which people can be looked up and upserted.
const INDEXED: [&str; 4] = ["mobile_number", "work_number", "email", "external_id"];
/// The rest of what a contact can be given here. Freshsales knows more; they are refused, so that a slip is seen.
const OTHER: [&str; 16] = [
    "first_name",
    "last_name",
    "owner_id",
    "custom_field",
    "job_title",
    "address",
    "city",
    "state",
    "zipcode",
    "country",
    "medium",
    "tags",
    "lead_source_id",
    "lifecycle_stage_id",
    "contact_status_id",
    "territory_id",
];
const PER_PAGE: usize = 25;
const PER_PAGE_MAX: usize = 100;

/// Which people hold a value; a benchmark's account has too many to look through.
#[derive(Clone, Debug, Default)]
pub(super) struct Index(HashMap<(&'static str, String), Vec<u64>>);

impl Index {
    fn holders(&self, field: &str, value: &str) -> &[u64] {
        let Some(field) = INDEXED.into_iter().find(|name| *name == field) else { return &[] };
        self.0.get(&(field, key(field, value))).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, contact: &Contact) {
        for field in INDEXED {
            if let Some(value) = held(contact, field) {
                self.0.entry((field, key(field, value))).or_default().push(contact.id);
            }
        }
    }

    fn remove(&mut self, contact: &Contact) {
        for field in INDEXED {
            if let Some(value) = held(contact, field)
                && let Some(ids) = self.0.get_mut(&(field, key(field, value)))
            {
                ids.retain(|id| *id != contact.id);
            }
        }
    }
}

fn key(field: &str, value: &str) -> String {
    if field == "email" { value.to_ascii_lowercase() } else { value.to_owned() }
}

fn held<'a>(contact: &'a Contact, field: &str) -> Option<&'a str> {
    match field {
        "mobile_number" => contact.mobile_number.as_deref(),
        "work_number" => contact.work_number.as_deref(),
        "email" => contact.email.as_deref(),
        "external_id" => contact.external_id.as_deref(),
        _ => None,
    }
}

fn set(contact: &mut Contact, field: &str, value: Option<String>) {
    match field {
        "mobile_number" => contact.mobile_number = value,
        "work_number" => contact.work_number = value,
        "email" => contact.email = value,
        "external_id" => contact.external_id = value,
        "first_name" => contact.first_name = value,
        _ => contact.last_name = value,
    }
}

/// As Freshsales names a field in an error: `MobileNumber is not unique` (error list of integrately.com).
fn camel(field: &str) -> String {
    field
        .split('_')
        .map(|word| {
            word.chars().take(1).map(|c| c.to_ascii_uppercase()).chain(word.chars().skip(1)).collect::<String>()
        })
        .collect()
}

impl Freshsales {
    pub(super) fn insert_contact(&mut self, mut contact: Contact, written: Timestamp) -> u64 {
        contact.id = next(&self.contacts, FIRST_CONTACT);
        let id = contact.id;
        self.index.add(&contact);
        self.written.insert(id, written);
        self.contacts.insert(id, contact);
        id
    }

    pub(super) fn change_contact(&mut self, id: u64, written: Timestamp, change: impl FnOnce(&mut Contact)) {
        let Some(contact) = self.contacts.get_mut(&id) else { return };
        self.index.remove(contact);
        change(contact);
        self.index.add(contact);
        self.written.insert(id, written);
    }

    /// Somebody who is there and not in the recycle bin.
    pub(super) fn live(&self, is: Person, id: u64) -> Option<&Contact> {
        self.contacts.get(&id).filter(|contact| contact.is == is && !contact.deleted)
    }

    /// `GET /lookup?q=…&f=…&entities=…`: the very string, nothing like it (§2.c).
    pub(super) fn lookup(&self, request: &Request, now: Timestamp) -> Answer {
        let field = request.param("f").unwrap_or_default();
        if !INDEXED.contains(&field) {
            return Err(Refusal::invalid("Invalid value for parameter f"));
        }
        let Some(wanted) = request.param("q").filter(|value| !value.is_empty()) else {
            return Err(Refusal::invalid("Parameter q is missing"));
        };
        let entities: Vec<&str> = request.param("entities").unwrap_or_default().split(',').collect();
        let known = |entity: &&str| *entity == "contact" || *entity == "lead" && self.settings.classic;
        if !entities.iter().all(known) {
            return Err(Refusal::invalid("Invalid value for parameter entities"));
        }
        let taken_in = |id: &u64| {
            let since = self.written.get(id).copied().unwrap_or(Timestamp::MIN);
            indexed(since, self.settings.lookup_lag, now)
        };
        let found: Vec<&Contact> = self
            .index
            .holders(field, wanted)
            .iter()
            .filter(|id| taken_in(id))
            .filter_map(|id| self.contacts.get(id))
            .filter(|contact| !contact.deleted && entities.contains(&contact.is.lower()))
            .collect();
        let mut reply = Map::new();
        for person in Person::ALL.into_iter().filter(|person| entities.contains(&person.lower())) {
            let of: Vec<Value> = found.iter().filter(|contact| contact.is == person).map(|one| one.shown()).collect();
            let total = of.len();
            reply.insert(person.plural().to_owned(), json!({person.plural(): of, "meta": {"total": total}}));
        }
        if request.param("include").is_some_and(|include| include.split(',').any(|part| part == "owner")) {
            reply.insert("users".to_owned(), self.owners_of(&found));
        }
        Ok(Reply::json(StatusCode::OK, &Value::Object(reply)))
    }

    fn owners_of(&self, people: &[&Contact]) -> Value {
        let owners = people.iter().filter_map(|contact| self.users.get(&contact.owner_id?));
        Value::Array(owners.map(super::User::shown).collect())
    }

    pub(super) fn show(&self, people: &str, id: u64, request: &Request) -> Answer {
        let person = self.person(people)?;
        let contact = self.live(person, id).ok_or_else(Refusal::not_found)?;
        let mut shown = json!({person.lower(): contact.shown()});
        if request.param("include") == Some("owner") {
            shown["users"] = self.owners_of(&[contact]);
        }
        Ok(Reply::json(StatusCode::OK, &shown))
    }

    fn person(&self, people: &str) -> Result<Person, Refusal> {
        let person = Person::ALL.into_iter().find(|person| person.plural() == people);
        person.filter(|person| *person == Person::Contact || self.settings.classic).ok_or_else(Refusal::not_found)
    }

    /// `GET /contacts/{id}/notes`, newest first [C: code that reads them so; the order is M].
    pub(super) fn list_notes(&self, people: &str, id: u64, request: &Request) -> Answer {
        self.live(self.person(people)?, id).ok_or_else(Refusal::not_found)?;
        let listed: Vec<Value> = self
            .notes_of
            .get(&id)
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .rev()
            .filter_map(|note| self.notes.get(note))
            .filter(|note| !note.deleted && (note.call.is_none() || self.settings.lists_call_notes))
            .map(|note| self.note_shown(note))
            .collect();
        if !self.settings.paged {
            return Ok(Reply::json(StatusCode::OK, &json!({"notes": listed})));
        }
        let number = |name: &str, default: usize| match request.param(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .ok()
                .filter(|number| *number > 0)
                .ok_or_else(|| Refusal::invalid(format!("Invalid value for parameter {name}"))),
        };
        let (page, per_page) = (number("page", 1)?, number("per_page", PER_PAGE)?.min(PER_PAGE_MAX));
        let pages = listed.len().div_ceil(per_page);
        let shown: Vec<&Value> = listed.iter().skip((page - 1).saturating_mul(per_page)).take(per_page).collect();
        let mut reply = json!({"notes": shown});
        if self.settings.pages_told {
            reply["meta"] = json!({"total_pages": pages, "total": listed.len()});
        }
        Ok(Reply::json(StatusCode::OK, &reply))
    }

    /// `POST /contacts/upsert` (§2.f): changes whoever holds the identifier, else makes somebody who does.
    pub(super) fn upsert(&mut self, request: &Request, now: Timestamp) -> Answer {
        let body = object(request)?;
        let identifier = match body.get("unique_identifier").and_then(Value::as_object) {
            Some(one) if one.len() == 1 => one,
            _ => return Err(Refusal::invalid("unique_identifier is missing")),
        };
        let (field, value) = identifier
            .iter()
            .find_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .ok_or_else(|| Refusal::invalid("unique_identifier is invalid"))?;
        let field = if field == "emails" { "email" } else { field };
        let unique =
            ["email", "external_id"].contains(&field) || field == "mobile_number" && self.settings.mobile_unique;
        if !unique || value.is_empty() {
            return Err(Refusal::invalid(format!("{field} is not a unique field")));
        }
        let Some(given) = body.get("contact").and_then(Value::as_object) else {
            return Err(Refusal::invalid("contact is missing"));
        };
        if self.busy_upserts > 0 {
            self.busy_upserts -= 1;
            return Err(Refusal::invalid(
                "UCR contact fetch failure :: response_code :: 429 :: response :: Too many requests",
            ));
        }
        let holder = self.index.holders(field, value).iter().find_map(|id| self.live(Person::Contact, *id)).cloned();
        let creating = holder.is_none();
        let mut contact = holder.unwrap_or_else(|| Contact::new(Person::Contact, now));
        set(&mut contact, field, Some(value.to_owned()));
        self.fill(&mut contact, given, creating)?;
        contact.updated_at = now;
        let id = if creating {
            self.insert_contact(contact, now)
        } else {
            let id = contact.id;
            self.change_contact(id, now, |held| *held = contact);
            id
        };
        let shown = self.contacts.get(&id).map(Contact::shown);
        let status = if creating { StatusCode::CREATED } else { StatusCode::OK };
        Ok(Reply::json(status, &json!({"contact": shown})))
    }

    /// Checks all that is given and puts it in; every fault is told at once.
    fn fill(&self, contact: &mut Contact, given: &Map<String, Value>, creating: bool) -> Result<(), Refusal> {
        let mut faults = Vec::new();
        for (name, value) in given {
            match name.as_str() {
                "custom_field" => match value.as_object() {
                    Some(fields) => {
                        for (name, value) in fields {
                            if self.contact_fields.contains_key(name) && name.starts_with("cf_") {
                                contact.custom_field.insert(name.clone(), value.clone());
                            } else {
                                faults.push(format!("{name} is not a valid field"));
                            }
                        }
                    }
                    None => faults.push("CustomField is invalid".to_owned()),
                },
                "owner_id" => match value.as_u64().filter(|id| self.users.get(id).is_some_and(|user| user.is_active)) {
                    Some(id) => contact.owner_id = Some(id),
                    None => faults.push("Owner is invalid".to_owned()),
                },
                name if INDEXED.contains(&name) || ["first_name", "last_name"].contains(&name) => match value {
                    Value::String(text) => set(contact, name, Some(text.clone()).filter(|text| !text.is_empty())),
                    Value::Null => set(contact, name, None),
                    _ => faults.push(format!("{} is invalid", camel(name))),
                },
                name if OTHER.contains(&name) => {
                    contact.more.insert(name.to_owned(), value.clone());
                }
                name => faults.push(format!("{name} is not a valid field")),
            }
        }
        if contact.first_name.is_none() && contact.last_name.is_none() && contact.email.is_none() {
            faults.push("LastName can't be blank".to_owned());
        }
        for (name, _) in self.contact_fields.iter().filter(|(_, required)| creating && **required) {
            let shown = contact.shown();
            let value = if name.starts_with("cf_") { &shown["custom_field"][name] } else { &shown[name] };
            if value.is_null() || value == "" {
                faults.push(format!("{} can't be blank", camel(name)));
            }
        }
        for field in INDEXED {
            let unique =
                ["email", "external_id"].contains(&field) || field == "mobile_number" && self.settings.mobile_unique;
            let Some(value) = held(contact, field).filter(|_| unique) else { continue };
            let others = self.index.holders(field, value).iter().filter(|id| **id != contact.id);
            if others.filter_map(|id| self.live(Person::Contact, *id)).next().is_some() {
                faults.push(format!("{} is not unique", camel(field)));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Refusal::Errors(StatusCode::BAD_REQUEST, faults)) }
    }
}
