//! Contacts: listed by time without any lag, found through a search that has one (§6.2.c, d).

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    Contact, Trash, ZohoDesk,
    fields::{Fields, Given},
    model::SEEDED_AT,
    query::{Page, only, sorting, time},
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request};

/// The contact's fields that can be written (`[S]` Contact.json).
const WRITABLE: &[&str] = &[
    "lastName",
    "firstName",
    "email",
    "secondaryEmail",
    "phone",
    "mobile",
    "ownerId",
    "cf",
    "type",
    "title",
    "description",
    "accountId",
    "street",
    "city",
    "state",
    "country",
    "zip",
    "twitter",
    "facebook",
    "language",
    "layoutId",
];
/// Of these, those that are kept as they come.
const KEPT: &[&str] = &[
    "secondaryEmail",
    "type",
    "title",
    "description",
    "accountId",
    "street",
    "city",
    "state",
    "country",
    "zip",
    "twitter",
    "facebook",
    "language",
    "layoutId",
];
/// What a list shows of the kept ones.
const LISTED: &[&str] = &["secondaryEmail", "type", "accountId"];

/// A contact's writable values as a body gives them.
struct Change {
    last_name: Option<String>,
    first_name: Given<String>,
    email: Given<String>,
    phone: Given<String>,
    mobile: Given<String>,
    owner_id: Given<u64>,
    more: Map<String, Value>,
    cf: Map<String, Value>,
}

impl Change {
    fn apply(self, contact: &mut Contact, now: Timestamp) {
        if let Some(name) = self.last_name {
            contact.last_name = name;
        }
        let texts = [
            (&mut contact.first_name, self.first_name),
            (&mut contact.email, self.email),
            (&mut contact.phone, self.phone),
            (&mut contact.mobile, self.mobile),
        ];
        for (field, given) in texts {
            if let Some(value) = given {
                *field = value.filter(|text| !text.is_empty());
            }
        }
        if let Some(owner) = self.owner_id {
            contact.owner_id = owner;
        }
        contact.more.extend(self.more);
        contact.cf.extend(self.cf);
        contact.modified_at = now;
    }
}

impl ZohoDesk {
    /// Adds a contact that has been there for long, so that the search knows it at once. Nothing is checked: an old
    /// organisation holds such things too.
    pub fn add_contact_with(&mut self, fill: impl FnOnce(&mut Contact)) -> u64 {
        let mut contact = Contact::new(SEEDED_AT);
        fill(&mut contact);
        self.contacts.insert(contact, Timestamp::MIN)
    }

    /// Puts a contact into the recycle bin, as an agent does in the browser.
    pub fn trash_contact(&mut self, id: u64, now: Timestamp) {
        self.contacts.change(id, now, self.settings.index_lag, |contact| {
            contact.trashed = true;
            contact.modified_at = now;
        });
    }

    /// All contacts by id, those in the recycle bin too.
    pub fn all_contacts(&self) -> impl DoubleEndedIterator<Item = &Contact> {
        self.contacts.iter()
    }

    /// One contact, in the recycle bin or not.
    pub fn contact(&self, id: u64) -> Option<&Contact> {
        self.contacts.get(id)
    }

    /// A contact that is there and not in the recycle bin.
    pub(super) fn live_contact(&self, id: u64) -> Option<&Contact> {
        self.contacts.get(id).filter(|contact| !contact.trashed)
    }

    pub(super) fn listed_contact(&self, contact: &Contact) -> Value {
        let mut shown = json!({
            "id": contact.id.to_string(),
            "firstName": contact.first_name,
            "lastName": contact.last_name,
            "email": contact.email,
            "phone": contact.phone,
            "mobile": contact.mobile,
            "ownerId": contact.owner_id.map(|id| id.to_string()),
            "createdTime": time(&self.settings, contact.created_at),
            "isSpam": false,
            "isEndUser": false,
            "isAnonymous": false,
            "customerHappiness": {"badPercentage": "0", "okPercentage": "0", "goodPercentage": "0"},
        });
        for field in LISTED {
            shown[*field] = contact.more.get(*field).cloned().unwrap_or_default();
        }
        shown
    }

    fn whole_contact(&self, contact: &Contact) -> Value {
        let mut shown = self.listed_contact(contact);
        for (field, value) in &contact.more {
            shown[field] = value.clone();
        }
        shown["cf"] = Value::Object(contact.cf.clone());
        shown["modifiedTime"] = time(&self.settings, contact.modified_at);
        shown["isTrashed"] = contact.trashed.into();
        shown["isDeleted"] = false.into();
        shown
    }

    pub(super) fn show_contact(&self, request: &Request, id: u64) -> Answer {
        only(request, &["include"])?;
        let contact = self.contacts.get(id).ok_or_else(Refusal::not_found)?;
        if contact.trashed && self.settings.trash == Trash::Hidden {
            return Err(Refusal::not_found());
        }
        Ok(Reply::json(StatusCode::OK, &self.whole_contact(contact)))
    }

    pub(super) fn list_contacts(&self, request: &Request) -> Answer {
        let page = Page::of(request, &self.settings, 10, 100, &["sortBy", "include", "fields", "viewId", "filterId"])?;
        let by = ["createdTime", "modifiedTime", "firstName", "lastName", "phone", "email", "account"];
        let (by, down) = sorting(request, &by)?;
        let mut listed: Vec<&Contact> = self.contacts.iter().filter(|contact| !contact.trashed).collect();
        match by {
            "modifiedTime" => listed.sort_by_key(|contact| contact.modified_at),
            "firstName" => listed.sort_by(|a, b| a.first_name.cmp(&b.first_name)),
            "lastName" => listed.sort_by(|a, b| a.last_name.cmp(&b.last_name)),
            "phone" => listed.sort_by(|a, b| a.phone.cmp(&b.phone)),
            "email" => listed.sort_by(|a, b| a.email.cmp(&b.email)),
            _ => listed.sort_by_key(|contact| contact.created_at),
        }
        if down {
            listed.reverse();
        }
        page.cut(&self.settings, listed.into_iter().map(|contact| self.listed_contact(contact)))
    }

    pub(super) fn create_contact(&mut self, request: &Request, now: Timestamp) -> Answer {
        only(request, &[])?;
        let change = self.read_contact(request, true)?;
        let mut contact = Contact::new(now);
        change.apply(&mut contact, now);
        self.unique(&contact)?;
        let id = self.contacts.insert(contact, now);
        let contact = self.contacts.get(id).ok_or_else(Refusal::not_found)?;
        Ok(Reply::json(StatusCode::OK, &self.whole_contact(contact)))
    }

    pub(super) fn update_contact(&mut self, id: u64, request: &Request, now: Timestamp) -> Answer {
        only(request, &[])?;
        let mut changed = self.live_contact(id).ok_or_else(Refusal::not_found)?.clone();
        self.read_contact(request, false)?.apply(&mut changed, now);
        self.unique(&changed)?;
        self.contacts.change(id, now, self.settings.index_lag, |contact| *contact = changed.clone());
        Ok(Reply::json(StatusCode::OK, &self.whole_contact(&changed)))
    }

    fn read_contact(&self, request: &Request, creating: bool) -> Result<Change, Refusal> {
        let mut fields = Fields::of(request, WRITABLE)?;
        let change = Change {
            last_name: fields.mandatory("lastName", creating, 200),
            first_name: fields.text("firstName", 40),
            email: fields.text("email", 255),
            phone: fields.number("phone", 50),
            mobile: fields.number("mobile", 50),
            owner_id: fields.id("ownerId"),
            more: fields.rest(KEPT),
            cf: fields.custom(|name| self.contact_fields.contains(name)),
        };
        if change.owner_id.flatten().is_some_and(|owner| !self.agents.contains_key(&owner)) {
            fields.wrong("ownerId", "invalid");
        }
        if let Some(Some(email)) = &change.email
            && !email.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'))
        {
            fields.wrong("email", "invalid");
        }
        fields.finish()?;
        Ok(change)
    }

    /// An e-mail address belongs to one contact, a number where the organisation wants it so.
    fn unique(&self, contact: &Contact) -> Result<(), Refusal> {
        let taken = |value: &Option<String>, of: fn(&Contact) -> &Option<String>| {
            value.is_some() && self.contacts.iter().any(|other| other.id != contact.id && of(other) == value)
        };
        let numbers = self.settings.unique_numbers;
        let errors: Vec<(String, &'static str)> = [
            ("/email", taken(&contact.email, |other| &other.email)),
            ("/phone", numbers && taken(&contact.phone, |other| &other.phone)),
            ("/mobile", numbers && taken(&contact.mobile, |other| &other.mobile)),
        ]
        .into_iter()
        .filter(|(_, taken)| *taken)
        .map(|(field, _)| (field.to_owned(), "duplicate"))
        .collect();
        if errors.is_empty() { Ok(()) } else { Err(Refusal::fields(errors)) }
    }
}
