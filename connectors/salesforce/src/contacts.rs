//! Callers: looked for among the org's objects in the integration's order.

use patchbay_kit::{
    Contact, Contacts, Exchange, Failure, Kind, NewContact, PhoneNumber, RecordRef, Response, StatusCode,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Salesforce, agents::owner, errors, objects::Object, query, settings::Org};

/// What the search answers when it cannot be had: an object that is not searchable, a query it does not take. Then
/// nobody was found by it, and the queries decide.
const NO_SEARCH: &[StatusCode] = &[StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];

/// "REST API Developer Guide, Composite: Response Body" \[V\]
#[derive(Deserialize)]
struct Composite {
    #[serde(rename = "compositeResponse")]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    body: Value,
    #[serde(rename = "httpStatusCode")]
    status: u16,
    #[serde(rename = "referenceId")]
    name: String,
}

/// One record as a query or a search shows it.
fn person(shown: &Map<String, Value>, object: &Object) -> Option<Contact> {
    let text = |path: &str| {
        let value = match path.split_once('.') {
            None => shown.get(path),
            Some((parent, field)) => shown.get(parent).and_then(|parent| parent.get(field)),
        };
        value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    Some(Contact {
        at: RecordRef::new(object.kind, text("Id")?),
        name: text(&object.name_field).unwrap_or_default(),
        numbers: object.phones.iter().filter_map(|field| text(field)).collect(),
        // A time in a form nobody expected is no reason to lose the person: it only ranks several matches.
        updated_at: text("LastModifiedDate").and_then(|at| at.parse().ok()),
        owner: text("OwnerId").map(|id| owner(&id)),
    })
}

/// Of several matches the one changed last is taken; so that this is one of the first object that has any, the others
/// say no time.
fn by_priority(mut found: Vec<Contact>) -> Vec<Contact> {
    let first = found.first().map(|one| one.at.kind.clone());
    for one in found.iter_mut().filter(|one| Some(&one.at.kind) != first.as_ref()) {
        one.updated_at = None;
    }
    found
}

/// The answers to [`Org::people`], in order of priority. One part that failed is a failure of the whole: who is taken
/// for unknown is made a second time.
pub(crate) fn people(reply: &Response, org: &Org) -> Result<Vec<Contact>, Failure> {
    let answer: Composite = reply.json()?;
    let mut found = Vec::new();
    for object in &org.objects {
        let part = answer.parts.iter().find(|part| part.name == object.name);
        let part = part.ok_or_else(|| errors::unexpected("leaves a query out"))?;
        let status = StatusCode::from_u16(part.status).map_err(|_| errors::unexpected("has no status"))?;
        let body = Response { status, headers: reply.headers.clone(), body: part.body.to_string().into() };
        if !status.is_success() {
            return Err(errors::classify(&body, org));
        }
        let page: query::Records<Map<String, Value>> = body.json()?;
        found.extend(page.records.iter().filter_map(|shown| person(shown, object)));
    }
    Ok(by_priority(found))
}

impl Contacts for Salesforce {
    fn search(&self, number: &PhoneNumber) -> Option<Exchange<Vec<Contact>>> {
        #[derive(Deserialize)]
        struct Found {
            #[serde(rename = "searchRecords")]
            records: Vec<Map<String, Value>>,
        }
        let request = self.org.search("contact.search", number)?;
        let (org, number) = (std::sync::Arc::clone(&self.org), number.clone());
        let read = move |reply: &Response| {
            if NO_SEARCH.contains(&reply.status) {
                let failure = errors::classify(reply, &org);
                let without = matches!(failure.kind, Kind::Invalid | Kind::Forbidden | Kind::NotFound);
                return if without { Ok(Vec::new()) } else { Err(failure) };
            }
            let answer: Found = reply.json()?;
            let mut found = Vec::new();
            for object in &org.objects {
                let of = |shown: &&Map<String, Value>| {
                    shown.get("attributes").and_then(|about| about.get("type")).and_then(Value::as_str)
                        == Some(object.name)
                };
                let people = answer.records.iter().filter(of).filter_map(|shown| person(shown, object));
                // The index knows pieces, and so more than the number.
                found.extend(people.filter(|one| one.numbers.iter().any(|stored| number.matches(stored))));
            }
            Ok(by_priority(found))
        };
        Some(request.done(read).accepting(NO_SEARCH))
    }

    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>> {
        let org = std::sync::Arc::clone(&self.org);
        self.org.people("contact.find", writings).done(move |reply| people(reply, &org))
    }

    fn create(&self, contact: &NewContact) -> Exchange<Contact> {
        self.make(contact)
    }

    fn find_created(&self, external_id: &str) -> Option<Exchange<Option<Contact>>> {
        let field = self.org.caller_id_field.as_deref()?;
        let request = self.org.created("contact.find_created", field, external_id);
        let key = field.to_owned();
        let org = std::sync::Arc::clone(&self.org);
        const NO_FIELD: &[StatusCode] = &[StatusCode::BAD_REQUEST];
        let read = move |reply: &Response| {
            if NO_FIELD.contains(&reply.status) {
                // Without the field nobody was made by it.
                let absent = |said: &errors::Said| said.code == "INVALID_FIELD" && said.at_fault().contains(&key);
                let none = errors::said(&reply.body).first().is_some_and(absent);
                return if none { Ok(None) } else { Err(errors::classify(reply, &org)) };
            }
            created(reply, &org)
        };
        Some(request.done(read).accepting(NO_FIELD))
    }
}

/// The answer to [`Org::created`].
pub(crate) fn created(reply: &Response, org: &Org) -> Result<Option<Contact>, Failure> {
    let page: query::Records<Map<String, Value>> = reply.json()?;
    Ok(page.records.first().and_then(|shown| person(shown, &org.default_object)))
}
