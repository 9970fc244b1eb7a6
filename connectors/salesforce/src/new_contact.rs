//! A caller nobody knows becomes a record of the default object, once.

use std::sync::Arc;

use patchbay_kit::{
    Contact, Exchange, Failure, Kind, NewContact, PhoneNumber, RecordRef, Request, Response, Retry, StatusCode, Step,
};
use serde_json::{Map, Value, json};

use crate::{Salesforce, contacts, errors, objects::Object, settings::Org, write};

const REFUSED: &[StatusCode] = &[StatusCode::BAD_REQUEST];

/// A creation, with what is needed to try it without the external id.
struct Making {
    org: Arc<Org>,
    contact: NewContact,
    /// The field of the external id, as long as it is written.
    key: Option<String>,
}

impl Salesforce {
    pub(crate) fn make(&self, contact: &NewContact) -> Exchange<Contact> {
        let org = Arc::clone(&self.org);
        let key = org.caller_id_field.clone();
        Making { org, contact: contact.clone(), key }.exchange()
    }
}

impl Making {
    /// "REST API Developer Guide, sObject Basic Information" \[V\]. Not an upsert: that would write the number over the
    /// name that an agent has given him since.
    fn exchange(self) -> Exchange<Contact> {
        let object = self.org.default_object.name;
        let mut fields = fields(&self.contact, &self.org.default_object);
        if object == "Lead" {
            // Required, and unknown ("Object Reference, Lead" [V]).
            fields.insert("Company".to_owned(), json!("Unknown"));
        }
        // What the customer sets is his own choice, a company instead of "Unknown" too.
        fields.extend(self.org.defaults.under("contact", Map::new()));
        if let Some(key) = &self.key {
            fields.insert(key.clone(), json!(self.contact.external_id));
        }
        let this = Arc::new(self);
        Request::post("contact.create", this.org.path(["sobjects", object]))
            // Patchbay has looked for him by his number; a rule that only warns is for people ("REST API Developer
            // Guide, Duplicate Rule Header" [V]).
            .header("Sforce-Duplicate-Rule-Header", "allowSave=true")
            .json(Value::Object(fields))
            .then(move |reply| this.read(reply))
            .accepting(REFUSED)
    }

    fn read(self: &Arc<Self>, reply: &Response) -> Result<Step<Contact>, Failure> {
        if !REFUSED.contains(&reply.status) {
            let id = write::made(reply, &self.org)?;
            return Ok(Step::Done(Contact {
                at: RecordRef::new(self.org.default_object.kind, id),
                name: self.contact.name.clone(),
                numbers: self.contact.number.iter().map(|number| number.e164.clone()).collect(),
                updated_at: None,
                owner: None,
            }));
        }
        let said = errors::said(&reply.body).into_iter().next().unwrap_or_default();
        match (said.code.as_str(), &self.key) {
            // The org has not made the field, or not for this user: it can be done without.
            ("INVALID_FIELD" | "INVALID_FIELD_FOR_INSERT_UPDATE", Some(key)) if said.at_fault().contains(key) => {
                Ok(Step::Then(self.without_key()))
            }
            ("DUPLICATE_VALUE", Some(key)) if said.message.contains(key.as_str()) => {
                let this = Arc::clone(self);
                let there = self.org.created("contact.find_created", key, &self.contact.external_id);
                Ok(Step::Then(there.then(move |reply| {
                    Ok(match contacts::created(reply, &this.org)? {
                        Some(contact) => Step::Done(contact),
                        // He has been converted, and the lead keeps the value; somebody has taken his number off what
                        // it became.
                        None => Step::Then(this.without_key()),
                    })
                })))
            }
            ("DUPLICATES_DETECTED", _) => {
                match (matched(&reply.body, &self.org.default_object), &self.contact.number) {
                    (Some(id), Some(number)) => Ok(Step::Then(self.same(&id, number.clone()))),
                    _ => Err(errors::classify(reply, &self.org)),
                }
            }
            _ => Err(errors::classify(reply, &self.org)),
        }
    }

    fn without_key(&self) -> Exchange<Contact> {
        Self { org: Arc::clone(&self.org), contact: self.contact.clone(), key: None }.exchange()
    }

    /// Whom a duplicate rule takes for the same. By the same number he is; by a similar name he need not be.
    fn same(self: &Arc<Self>, id: &str, number: PhoneNumber) -> Exchange<Contact> {
        let org = Arc::clone(&self.org);
        self.org.created("contact.duplicate", "Id", id).done(move |reply| {
            let same = contacts::created(reply, &org)?
                .filter(|other| other.numbers.iter().any(|stored| number.matches(stored)));
            same.ok_or_else(|| {
                Failure::new(Kind::Conflict, Retry::Never).code("DUPLICATES_DETECTED").because(
                    "a duplicate rule takes the new caller for somebody with another number; let the integration's \
                     user pass the rule, or let it only warn",
                )
            })
        })
    }
}

/// Name and number, where the object has them, cut to what its fields hold ("Object Reference" \[V\]).
fn fields(contact: &NewContact, object: &Object) -> Map<String, Value> {
    let cut = |most: usize| json!(contact.name.chars().take(most).collect::<String>());
    let (name, most, usual) = match object.name {
        "Account" => ("Name", 255, "Phone"),
        "Case" => ("SuppliedName", 80, "SuppliedPhone"),
        _ => ("LastName", 80, "Phone"),
    };
    // Where he is looked for, so that he is found again.
    let phone = object.own_phones().next().unwrap_or(usual);
    let mut fields = Map::from_iter([(name.to_owned(), cut(most))]);
    if let Some(number) = &contact.number {
        fields.insert(phone.to_owned(), json!(number.e164));
    }
    if object.name == "Case" {
        fields.insert("Subject".to_owned(), cut(255));
        fields.insert("Origin".to_owned(), json!("Phone"));
    }
    fields
}

/// The first record that a duplicate rule names; the API spells the key `duplicateResut` \[3P\], its documentation
/// `duplicateResult`.
fn matched(body: &[u8], object: &Object) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let result = ["duplicateResut", "duplicateResult"].into_iter().find_map(|key| body.get(0)?.get(key))?;
    let matches = result.get("matchResults")?.as_array()?;
    let records = matches.iter().filter_map(|one| one.get("matchRecords")?.as_array()).flatten();
    let mut records = records.filter_map(|one| one.get("record"));
    let of = |record: &&Value| record.pointer("/attributes/type").and_then(Value::as_str) == Some(object.name);
    records.find(of)?.get("Id")?.as_str().map(str::to_owned)
}
