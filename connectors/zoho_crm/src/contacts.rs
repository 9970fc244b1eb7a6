//! Callers: contacts before leads before accounts, found by COQL in all writings at once; the unknown become leads.

use std::sync::Arc;

use patchbay_kit::{Contact, Contacts, Exchange, NewContact, Owner, Owners, PhoneNumber, RecordRef, Request, Step};
use serde_json::{Map, Value, json};

use crate::{
    MANIFEST, ZohoCrm,
    errors::{self, On},
    path,
    query::{self, Answer},
    write::{self, Made},
};

/// A module with people, or companies, in it.
struct Module {
    name: &'static str,
    kind: &'static str,
    names: &'static [&'static str],
    numbers: &'static [&'static str],
}

/// In the order in which a caller is looked for, with the fields of the standard layouts.
const MODULES: [Module; 3] = [
    Module {
        name: "Contacts",
        kind: "contact",
        names: &["First_Name", "Last_Name"],
        numbers: &["Phone", "Mobile", "Home_Phone", "Other_Phone"],
    },
    Module { name: "Leads", kind: "lead", names: &["First_Name", "Last_Name"], numbers: &["Phone", "Mobile"] },
    Module { name: "Accounts", kind: "account", names: &["Account_Name"], numbers: &["Phone"] },
];

/// One search: for whom, and where it stands.
struct Search<T> {
    label: &'static str,
    writings: Vec<String>,
    /// Fields that this organisation has not.
    without: Vec<String>,
    /// Who was found in the modules before.
    found: Vec<Contact>,
    /// Whether the first module that knows the number is enough.
    first: bool,
    done: fn(Vec<Contact>) -> T,
}

impl<T> Clone for Search<T> {
    fn clone(&self) -> Self {
        let Self { label, writings, without, found, first, done } = self;
        let (writings, without, found) = (writings.clone(), without.clone(), found.clone());
        Self { label, writings, without, found, first: *first, done: *done }
    }
}

impl<T: 'static> Search<T> {
    fn new(label: &'static str, writings: Vec<String>, first: bool, done: fn(Vec<Contact>) -> T) -> Self {
        Self { label, writings, without: Vec::new(), found: Vec::new(), first, done }
    }

    /// Asks the modules in turn, from this one on.
    fn from(self, at: usize) -> Exchange<T> {
        let module = &MODULES[at];
        let there = |column: &&&str| !self.without.iter().any(|gone| gone == **column);
        let numbers: Vec<&str> = module.numbers.iter().filter(there).copied().collect();
        let names = module.names.iter().filter(there).copied();
        let columns: Vec<&str> =
            ["id", "Owner", "Modified_Time"].into_iter().chain(names).chain(numbers.clone()).collect();
        let criteria = query::any(numbers.iter().map(|column| query::among(column, &self.writings)));
        let text = format!("select {} from {} where {criteria}", columns.join(","), module.name);
        let numbers: Vec<String> = numbers.into_iter().map(str::to_owned).collect();
        query::ask(self.label, &text, move |answer| {
            let next = |search: Self| match MODULES.get(at + 1) {
                Some(_) if !search.first || search.found.is_empty() => Step::Then(search.from(at + 1)),
                _ => Step::Done((search.done)(search.found)),
            };
            match answer {
                Answer::Rows(rows) => {
                    let mut search = self.clone();
                    search.found.extend(rows.iter().filter_map(|row| shown(row, module)));
                    Ok(next(search))
                }
                Answer::Refused(refusal) if refusal.code == "INVALID_MODULE" => Ok(next(self.clone())),
                // A field that was taken out of the layout: without it, as long as one with numbers is left.
                Answer::Refused(refusal) => match &refusal.column {
                    Some(column) if numbers.len() > 1 && numbers.contains(column) => {
                        let mut search = self.clone();
                        search.without.push(column.clone());
                        Ok(Step::Then(search.from(at)))
                    }
                    _ => Err(refusal.failure(On::Lead)),
                },
            }
        })
    }
}

fn shown(row: &Map<String, Value>, module: &Module) -> Option<Contact> {
    let text = |key: &str| row.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let names: Vec<&str> = module.names.iter().filter_map(|name| text(name)).collect();
    let owner = row.get("Owner").and_then(|owner| owner.get("id").unwrap_or(owner).as_str());
    Some(Contact {
        at: RecordRef::new(module.kind, text("id")?),
        name: names.join(" "),
        numbers: module.numbers.iter().filter_map(|field| text(field)).map(str::to_owned).collect(),
        // A time in a form nobody expected is no reason to lose the contact: it only ranks several matches.
        updated_at: text("Modified_Time").and_then(|at| at.parse().ok()),
        owner: owner.map(|id| RecordRef::new("agent", id)),
    })
}

impl Contacts for ZohoCrm {
    /// None: `/search` takes one writing and lags, while a query takes all of them and does not.
    fn search(&self, _: &PhoneNumber) -> Option<Exchange<Vec<Contact>>> {
        None
    }

    /// "Query API", v8 \[V\]; it reads the database, not the search's index. Three queries: contacts, leads, accounts.
    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>> {
        Search::new("contact.find", writings.to_vec(), false, |found| found).from(0)
    }

    /// "Insert Records", v8, Leads \[V\]
    fn create(&self, contact: &NewContact) -> Exchange<Contact> {
        let mut fields = Map::from_iter([("Last_Name".to_owned(), json!(contact.name))]);
        if let Some(number) = &contact.number {
            fields.insert("Phone".to_owned(), json!(number.e164));
        }
        let (name, numbers) = (contact.name.clone(), contact.number.iter().map(|number| number.e164.clone()).collect());
        let made = Arc::new(move |id: &str, numbers: &Vec<String>| Contact {
            at: RecordRef::new("lead", id),
            name: name.clone(),
            numbers: numbers.clone(),
            updated_at: None,
            owner: None,
        });
        let numbers: Vec<String> = numbers;
        write::insert("lead.create", On::Lead, self.custom.filled(On::Lead, fields), move |it| match it {
            Made::New(id) => Ok(Step::Done(made(id, &numbers))),
            // An organisation can make numbers unique; then this lead is the caller's.
            Made::There { id: Some(id), field: "Phone" } => Ok(Step::Then(lead(id))),
            Made::There { field, .. } => Err(write::taken(field)),
        })
    }

    /// None: leads have no field for it.
    fn find_created(&self, _: &str) -> Option<Exchange<Option<Contact>>> {
        None
    }
}

/// The lead with this id. "Get Records", v8 \[V\]
fn lead(id: &str) -> Exchange<Contact> {
    Request::get("lead.show", path(["Leads", id])).done(|reply| {
        let body: Value = reply.json()?;
        let row = body.pointer("/data/0").and_then(Value::as_object);
        // 204 where it is gone again, or where the number belongs to a record of another module.
        row.and_then(|row| shown(row, &MODULES[1]))
            .ok_or_else(|| if body.is_object() { write::taken("Phone") } else { errors::malformed() })
    })
}

impl Owners for ZohoCrm {
    /// One query where the caller is a contact, two where he is a lead. Where the owner is reached is not asked for: that
    /// would be one request more while the caller waits, and the user mapping knows it.
    fn of(&self, number: &PhoneNumber) -> Exchange<Option<Owner>> {
        let writings = MANIFEST.phone.iter().map(|writing| number.render(*writing)).collect();
        Search::new("owner.find", writings, true, |found| {
            let owned = found.into_iter().filter(|one| one.owner.is_some());
            let last = owned.max_by_key(|one| one.updated_at);
            last.map(|one| Owner { at: one.owner, numbers: Vec::new() })
        })
        .from(0)
    }
}
