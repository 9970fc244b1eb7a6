//! Callers: contacts, found by the exact string of a number and made unique by an external id.

use patchbay_kit::{
    Contact, Contacts, Exchange, Failure, Kind, NewContact, PhoneNumber, RecordRef, Rendering, Request, Response,
    Retry, StatusCode, Step,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Freshdesk, PER_PAGE, errors, path};

/// Refusals whose fields are read here: they may name the contact that is there already.
const REFUSED: &[StatusCode] = &[StatusCode::BAD_REQUEST, StatusCode::CONFLICT];
/// Values whose holder is the caller himself.
const OURS: &[&str] = &["unique_external_id", "mobile", "phone"];

#[derive(Deserialize)]
struct Shown {
    id: u64,
    name: Option<String>,
    mobile: Option<String>,
    phone: Option<String>,
    updated_at: Option<String>,
    #[serde(default)]
    deleted: bool,
}

impl From<Shown> for Contact {
    fn from(shown: Shown) -> Self {
        Self {
            at: RecordRef::new("contact", shown.id),
            name: shown.name.unwrap_or_default(),
            numbers: [shown.mobile, shown.phone].into_iter().flatten().filter(|number| !number.is_empty()).collect(),
            // A time in a form nobody expected is no reason to lose the contact: it only ranks several matches.
            updated_at: shown.updated_at.and_then(|at| at.parse().ok()),
            // Freshdesk's contacts have no owner; tickets have.
            owner: None,
        }
    }
}

/// One list filter. One page: 100 contacts under one number are as good as more.
fn listed(filter: &'static str, value: &str) -> Request {
    Request::get("contact.find", path(["contacts"])).query(filter, value).query("per_page", PER_PAGE)
}

fn read(reply: &Response) -> Result<Vec<Contact>, Failure> {
    Ok(reply.json::<Vec<Shown>>()?.into_iter().filter(|one| !one.deleted).map(Contact::from).collect())
}

/// What the search answers when it cannot be had: an account without it, or a query it does not take. Then nobody was
/// found by it, and the filters decide.
const NO_SEARCH: &[StatusCode] = &[StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];

/// Writings that people type, beside those that programs do.
const WRITINGS: [Rendering; 6] = [
    Rendering::E164,
    Rendering::National,
    Rendering::NationalZero,
    Rendering::E164NoPlus,
    Rendering::Hyphenated,
    Rendering::Spaced,
];

#[derive(Deserialize)]
struct Results {
    results: Vec<Shown>,
}

impl Contacts for Freshdesk {
    /// "Freshdesk API v2, Contacts: Filter Contacts" \[V\]: one question for all writings, at most 512 characters with the
    /// double quotes around it; the index is minutes behind.
    fn search(&self, number: &PhoneNumber) -> Option<Exchange<Vec<Contact>>> {
        let mut terms = Vec::new();
        for text in WRITINGS.map(|writing| number.render(writing)) {
            terms.push(format!("phone:'{text}'"));
            terms.push(format!("mobile:'{text}'"));
        }
        let request = Request::get("contact.search", path(["search", "contacts"]))
            .query("query", format!("\"{}\"", terms.join(" OR ")));
        let read = |reply: &Response| {
            if NO_SEARCH.contains(&reply.status) {
                return Ok(Vec::new());
            }
            let found: Results = reply.json()?;
            Ok(found.results.into_iter().filter(|one| !one.deleted).map(Contact::from).collect())
        };
        Some(request.done(read).accepting(NO_SEARCH))
    }

    /// "Freshdesk API v2, Contacts: List All Contacts", filters `mobile` and `phone` \[V\]: two questions, there is no
    /// "or". A filter of the list sees a contact at once; the search (`/search/contacts`) is minutes behind.
    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>> {
        let number = writings.first().cloned().unwrap_or_default();
        listed("mobile", &number).then(move |reply| {
            let by_mobile = read(reply)?;
            Ok(Step::Then(listed("phone", &number).done(move |reply| {
                let mut found = by_mobile.clone();
                for one in read(reply)? {
                    if found.iter().all(|other| other.at != one.at) {
                        found.push(one);
                    }
                }
                Ok(found)
            })))
        })
    }

    /// "Freshdesk API v2, Contacts: Create a Contact" \[V\]: one identity is enough, and `unique_external_id` is one.
    fn create(&self, contact: &NewContact) -> Exchange<Contact> {
        let mut fields = Map::from_iter([
            ("name".to_owned(), Value::from(contact.name.as_str())),
            ("unique_external_id".to_owned(), Value::from(contact.external_id.as_str())),
        ]);
        if let Some(number) = &contact.number {
            fields.insert("mobile".to_owned(), Value::from(number.e164.as_str()));
        }
        Request::post("contact.create", path(["contacts"]))
            .json(self.defaults.under("contact", fields).into())
            .then(|reply| {
                if !REFUSED.contains(&reply.status) {
                    return Ok(Step::Done(reply.json::<Shown>()?.into()));
                }
                // "Freshdesk API v2, Errors": 409 with `duplicate_value`; who holds the value is in
                // `additional_info.user_id` [M], so a refusal without it is as good.
                let errors = errors::field_errors_of(reply);
                let mut taken = errors.iter().filter(|error| error.code == "duplicate_value");
                match taken.find(|error| OURS.contains(&error.field.as_str())).and_then(|error| error.holder) {
                    Some(holder) => Ok(Step::Then(there_already(holder))),
                    None => Err(errors::classify(reply, errors::On::Contact)),
                }
            })
            .accepting(REFUSED)
    }

    fn find_created(&self, external_id: &str) -> Option<Exchange<Option<Contact>>> {
        Some(listed("unique_external_id", external_id).done(|reply| Ok(read(reply)?.into_iter().next())))
    }
}

/// The contact that holds a value of the new one. A deleted contact keeps its values \[M\] and can have no ticket.
fn there_already(id: u64) -> Exchange<Contact> {
    Request::get("contact.show", path(["contacts", &id.to_string()])).done(|reply| {
        let shown: Shown = reply.json()?;
        if shown.deleted {
            // Its id is of eleven digits and would be masked like a number, so it is not named.
            return Err(Failure::new(Kind::Conflict, Retry::Never).code("duplicate_value").because(
                "the caller's contact is deleted in Freshdesk and blocks a new one; restore it, or delete it forever",
            ));
        }
        Ok(shown.into())
    })
}
