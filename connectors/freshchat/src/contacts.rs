//! Callers: Freshchat's users, found by the exact string of a number and made unique by a `reference_id`.

use patchbay_kit::{
    Contact, Contacts, Exchange, Failure, NewContact, PhoneNumber, RecordRef, Request, Response, StatusCode, Step,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    Freshchat, NOT_FOUND, PER_PAGE,
    agents::full_name,
    errors::{classify, speaks},
    path,
};

/// Refusals that can mean that the user is there already.
const TAKEN: &[StatusCode] = &[StatusCode::CONFLICT];

/// "Freshchat API, Users" \[V\].
#[derive(Deserialize)]
struct Shown {
    id: String,
    first_name: Option<String>,
    last_name: Option<String>,
    phone: Option<String>,
    reference_id: Option<String>,
    updated_time: Option<String>,
}

impl From<Shown> for Contact {
    fn from(shown: Shown) -> Self {
        Self {
            at: RecordRef::new("user", shown.id),
            name: full_name(shown.first_name, shown.last_name),
            numbers: shown.phone.into_iter().filter(|number| !number.is_empty()).collect(),
            // A time in a form nobody expected is no reason to lose the user: it only ranks several matches.
            updated_at: shown.updated_time.and_then(|at| at.parse().ok()),
            owner: None,
        }
    }
}

#[derive(Deserialize)]
struct Listed {
    users: Vec<Shown>,
}

/// One filter of the list. One page: 50 users under one number are as good as more.
fn filtered(label: &'static str, filter: &'static str, value: &str) -> Request {
    Request::get(label, path(["users"])).query(filter, value).query("items_per_page", PER_PAGE)
}

/// Nobody is an empty list, or a 404: there is no public sample.
fn read(reply: &Response) -> Result<Vec<Shown>, Failure> {
    if NOT_FOUND.contains(&reply.status) {
        return if speaks(reply) { Ok(Vec::new()) } else { Err(classify(reply)) };
    }
    Ok(reply.json::<Listed>()?.users)
}

/// The user with this `reference_id` among those listed; were the filter not heeded, that would be everybody.
fn read_referenced(reply: &Response, id: &str) -> Result<Option<Contact>, Failure> {
    Ok(read(reply)?.into_iter().find(|user| user.reference_id.as_deref() == Some(id)).map(Contact::from))
}

fn referenced(id: &str) -> Request {
    filtered("user.find_reference", "reference_id", id)
}

impl Contacts for Freshchat {
    /// None: `phone_no` asks for one writing, and it is what [`Contacts::find`] asks with.
    fn search(&self, _: &PhoneNumber) -> Option<Exchange<Vec<Contact>>> {
        None
    }

    /// "Freshchat API, Users: List users", filter `phone_no` \[C\]: the filter is called so, the field `phone`.
    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>> {
        let number = writings.first().map_or("", String::as_str);
        filtered("user.find", "phone_no", number)
            .done(|reply| Ok(read(reply)?.into_iter().map(Contact::from).collect()))
            .accepting(NOT_FOUND)
    }

    /// "Freshchat API, Users: Create a user" \[V\]. What it makes of a `reference_id` that is taken is not known, so it is
    /// asked for first: also where it were made a second time, a lost reply costs no second user.
    fn create(&self, contact: &NewContact) -> Exchange<Contact> {
        let mut fields = Map::from_iter([
            ("first_name".to_owned(), Value::from(contact.name.as_str())),
            ("reference_id".to_owned(), Value::from(contact.external_id.as_str())),
            ("properties".to_owned(), self.account.defaults.user_properties()),
        ]);
        if let Some(number) = &contact.number {
            fields.insert("phone".to_owned(), Value::from(number.e164.as_str()));
        }
        let id = contact.external_id.clone();
        referenced(&id)
            .then(move |reply| {
                if let Some(there) = read_referenced(reply, &id)? {
                    return Ok(Step::Done(there));
                }
                Ok(Step::Then(made(fields.clone(), id.clone())))
            })
            .accepting(NOT_FOUND)
    }

    fn find_created(&self, external_id: &str) -> Option<Exchange<Option<Contact>>> {
        let id = external_id.to_owned();
        Some(referenced(external_id).done(move |reply| read_referenced(reply, &id)).accepting(NOT_FOUND))
    }
}

fn made(fields: Map<String, Value>, id: String) -> Exchange<Contact> {
    Request::post("user.create", path(["users"]))
        .json(Value::Object(fields))
        .then(move |reply| {
            if !TAKEN.contains(&reply.status) {
                return Ok(Step::Done(reply.json::<Shown>()?.into()));
            }
            // Somebody else has made him meanwhile.
            let (refused, id) = (classify(reply), id.clone());
            let holder = referenced(&id.clone())
                .done(move |reply| read_referenced(reply, &id)?.ok_or_else(|| refused.clone()))
                .accepting(NOT_FOUND);
            Ok(Step::Then(holder))
        })
        .accepting(TAKEN)
}
