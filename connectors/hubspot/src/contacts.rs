//! Callers: contacts, found through a search that is behind, confirmed by what is not, made unique by a property.

use patchbay_kit::{
    Contact, Contacts, Exchange, Failure, Kind, NewContact, PhoneNumber, RecordRef, Request, Response, Retry, Safety,
    StatusCode, Step,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    CALLER_PROPERTY, HubSpot,
    batch::{self, Id, NOT_THERE, path},
    errors::{self, On, Said},
};

/// Refusals that are read here: they may name the contact that is there already.
const REFUSED: &[StatusCode] = &[StatusCode::BAD_REQUEST, StatusCode::CONFLICT];
/// Hits of one search that are looked at, the most that one batch reads.
const HITS: usize = 100;
/// The fewest digits by whose end a number is searched: fewer would find half the account.
const DIGITS_MIN: usize = 7;
const PROPERTIES: &[&str] = &["firstname", "lastname", "phone", "mobilephone", "hubspot_owner_id"];

#[derive(Clone, Deserialize)]
pub(crate) struct Shown {
    id: String,
    #[serde(default)]
    properties: Person,
    #[serde(rename = "updatedAt")]
    updated_at: Option<String>,
    #[serde(default)]
    archived: bool,
}

#[derive(Clone, Default, Deserialize)]
struct Person {
    firstname: Option<String>,
    lastname: Option<String>,
    phone: Option<String>,
    mobilephone: Option<String>,
    hubspot_owner_id: Option<String>,
}

impl From<Shown> for Contact {
    fn from(shown: Shown) -> Self {
        let Person { firstname, lastname, phone, mobilephone, hubspot_owner_id } = shown.properties;
        let name = [firstname, lastname].map(Option::unwrap_or_default).join(" ");
        Self {
            at: RecordRef::new("contact", shown.id),
            name: name.trim().to_owned(),
            numbers: [phone, mobilephone].into_iter().flatten().filter(|number| !number.is_empty()).collect(),
            // A time in a form nobody expected is no reason to lose the contact: it only ranks several matches.
            updated_at: shown.updated_at.and_then(|at| at.parse().ok()),
            owner: hubspot_owner_id.filter(|id| !id.is_empty()).map(|id| RecordRef::new("agent", id)),
        }
    }
}

fn live(all: Vec<Shown>) -> Vec<Contact> {
    all.into_iter().filter(|one| !one.archived).map(Contact::from).collect()
}

#[derive(Deserialize)]
struct Results<T> {
    results: Vec<T>,
}

/// The digits that every writing of the number ends in, where they are writings of a number.
fn national(writings: &[String]) -> Option<String> {
    let dialable = |text: &&String| text.chars().all(|c| c.is_ascii_digit() || " +-().".contains(c));
    let digits =
        writings.iter().filter(dialable).map(|text| text.chars().filter(char::is_ascii_digit).collect::<String>());
    digits.filter(|digits| digits.len() >= DIGITS_MIN).min_by_key(String::len)
}

/// "Search the CRM" \[V\]: five groups at most, one of which must hold. The calculated properties have the number without
/// its country and are searched by their end; the others are searched as people typed them. All five parts of the body
/// are sent: the API description demands them \[S\].
pub(crate) fn search(label: &'static str, writings: &[String]) -> Request {
    // The values of IN must be in lower case.
    let mut typed: Vec<String> = writings.iter().map(|text| text.to_lowercase()).collect();
    typed.dedup();
    let group = |filter: Value| json!({"filters": [filter]});
    let mut groups: Vec<Value> = ["phone", "mobilephone"]
        .map(|name| group(json!({"propertyName": name, "operator": "IN", "values": typed})))
        .to_vec();
    if let Some(digits) = national(writings) {
        let names = ["hs_searchable_calculated_phone_number", "hs_searchable_calculated_mobile_number"];
        groups.extend(names.map(|name| {
            group(json!({"propertyName": name, "operator": "CONTAINS_TOKEN", "value": format!("*{digits}")}))
        }));
    }
    Request::post(label, path(["contacts", "search"])).safety(Safety::Read).json(json!({
        "filterGroups": groups,
        "properties": PROPERTIES,
        "limit": HITS,
        "after": "0",
        "sorts": [],
    }))
}

/// The contacts of a search's reply, as the index has them.
pub(crate) fn hits(reply: &Response) -> Result<Vec<Contact>, Failure> {
    Ok(live(reply.json::<Results<Shown>>()?.results))
}

impl HubSpot {
    /// Contacts as they are now, by id or by the caller's property.
    fn read_contacts(&self, property: Option<&str>, ids: &[String]) -> Exchange<Vec<Contact>> {
        let app = self.app;
        let label = if property.is_some() { "contact.find_created" } else { "contact.read" };
        batch::read(label, "contacts", property, ids, PROPERTIES)
            .done(move |reply| Ok(live(batch::found(reply, On::Contact, app)?)))
            .accepting(NOT_THERE)
    }
}

impl Contacts for HubSpot {
    /// None: there is one search, and [`Contacts::find`] has to go through it anyway.
    fn search(&self, _number: &PhoneNumber) -> Option<Exchange<Vec<Contact>>> {
        None
    }

    /// The search is seconds behind, so who is found is read again (he may be gone, or have another number by now), and
    /// who is not is asked for as the caller that Patchbay may have made a moment ago.
    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>> {
        let made = writings.iter().find(|text| text.starts_with('+')).map(|e164| vec![format!("exotel:{e164}")]);
        let made = made.map(|ids| self.read_contacts(Some(CALLER_PROPERTY), &ids));
        // The exchange that confirms differs by what is found, and an exchange outlives its connector.
        let app = self.app;
        search("contact.search", writings).then(move |reply| {
            let ids: Vec<String> = reply.json::<Results<Id>>()?.results.into_iter().map(|one| one.id).collect();
            if ids.is_empty() {
                return Ok(made.clone().map_or(Step::Done(Vec::new()), Step::Then));
            }
            let confirm = batch::read("contact.read", "contacts", None, &ids, PROPERTIES);
            let confirmed = confirm.done(move |reply| Ok(live(batch::found(reply, On::Contact, app)?)));
            Ok(Step::Then(confirmed.accepting(NOT_THERE)))
        })
    }

    /// "Contacts: Create contacts" \[V\]. A plain creation, not an upsert: that would write over what people have changed
    /// in a contact that is there.
    fn create(&self, contact: &NewContact) -> Exchange<Contact> {
        let mut values = self.custom.contact();
        values.insert("firstname".to_owned(), Value::from(contact.name.as_str()));
        values.insert(CALLER_PROPERTY.to_owned(), Value::from(contact.external_id.as_str()));
        if let Some(number) = &contact.number {
            values.insert("phone".to_owned(), Value::from(number.e164.as_str()));
        }
        let app = self.app;
        let holder = self.read_contacts(Some(CALLER_PROPERTY), std::slice::from_ref(&contact.external_id));
        Request::post("contact.create", path(["contacts"]))
            .json(json!({"properties": values, "associations": []}))
            .then(move |reply| {
                if !REFUSED.contains(&reply.status) {
                    return Ok(Step::Done(reply.json::<Shown>()?.into()));
                }
                let said = Said::of(reply);
                if let Some(id) = said.existing() {
                    let by_id = batch::read("contact.read", "contacts", None, &[id], PROPERTIES);
                    let read = move |reply: &Response| Ok(live(batch::found(reply, On::Contact, app)?));
                    return Ok(Step::Then(the_one(by_id.done(read).accepting(NOT_THERE))));
                }
                if said.refused.iter().any(|refused| refused.property == CALLER_PROPERTY && refused.taken()) {
                    return Ok(Step::Then(the_one(holder.clone())));
                }
                Err(errors::classify(reply, On::Contact, app))
            })
            .accepting(REFUSED)
    }

    fn find_created(&self, external_id: &str) -> Option<Exchange<Option<Contact>>> {
        let found = self.read_contacts(Some(CALLER_PROPERTY), &[external_id.to_owned()]);
        let (request, accepts) = (found.request.clone(), found.accepts);
        let first = move |reply: &Response| match found.parse(reply)? {
            Step::Done(all) => Ok(all.into_iter().next()),
            Step::Then(_) => Ok(None),
        };
        Some(request.done(first).accepting(accepts))
    }
}

/// The contact that holds the new one's value. One that was deleted may keep its values \[M\] and can have no call.
fn the_one(found: Exchange<Vec<Contact>>) -> Exchange<Contact> {
    let (request, accepts) = (found.request.clone(), found.accepts);
    request
        .done(move |reply| {
            let there = match found.parse(reply)? {
                Step::Done(all) => all.into_iter().next(),
                Step::Then(_) => None,
            };
            there.ok_or_else(|| {
                Failure::new(Kind::Conflict, Retry::Never).code("CONFLICTING_UNIQUE_VALUE").because(
                    "the caller's contact is deleted in HubSpot and blocks a new one; restore it, or delete it for good",
                )
            })
        })
        .accepting(accepts)
}
