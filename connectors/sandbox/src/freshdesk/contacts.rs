//! Contacts: found by exact strings without any lag, unique by some of their values (`crm-api.md` §1.b to d).

use std::collections::HashMap;

use http::StatusCode;
use jiff::Timestamp;

use super::{
    Freshdesk,
    fields::{Fields, Given},
    model::Contact,
    page::Page,
    refusal::{Answer, FieldError, Holder, Refusal},
};
use crate::{Reply, Request};

/// The contact's fields that can be written.
const WRITABLE: &[&str] = &[
    "name",
    "email",
    "phone",
    "mobile",
    "twitter_id",
    "unique_external_id",
    "address",
    "custom_fields",
    "description",
    "job_title",
    "language",
    "tags",
    "time_zone",
];

/// What a contact can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Email,
    Phone,
    Mobile,
    Twitter,
    Facebook,
    External,
}

impl By {
    const ALL: [Self; 6] = [Self::Email, Self::Phone, Self::Mobile, Self::Twitter, Self::Facebook, Self::External];

    /// The field's name.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Mobile => "mobile",
            Self::Twitter => "twitter_id",
            Self::Facebook => "facebook_id",
            Self::External => "unique_external_id",
        }
    }

    fn of(self, contact: &Contact) -> Option<&str> {
        let value = match self {
            Self::Email => &contact.email,
            Self::Phone => &contact.phone,
            Self::Mobile => &contact.mobile,
            Self::Twitter => &contact.twitter_id,
            Self::Facebook => &contact.facebook_id,
            Self::External => &contact.unique_external_id,
        };
        value.as_deref()
    }

    /// Sets the field.
    pub(super) fn set(self, contact: &mut Contact, value: Option<String>) {
        let field = match self {
            Self::Email => &mut contact.email,
            Self::Phone => &mut contact.phone,
            Self::Mobile => &mut contact.mobile,
            Self::Twitter => &mut contact.twitter_id,
            Self::Facebook => &mut contact.facebook_id,
            Self::External => &mut contact.unique_external_id,
        };
        *field = value;
    }

    fn key(self, value: &str) -> String {
        if self == Self::Email { value.to_ascii_lowercase() } else { value.to_owned() }
    }
}

/// Which contacts hold a value; a benchmark's account has too many of them to look through.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    maps: [HashMap<String, Vec<u64>>; By::ALL.len()],
}

impl Index {
    /// The ids of those who hold this very string, soft-deleted ones too.
    pub(super) fn holders(&self, by: By, value: &str) -> &[u64] {
        self.maps[by as usize].get(&by.key(value)).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, contact: &Contact) {
        for by in By::ALL {
            if let Some(value) = by.of(contact) {
                self.maps[by as usize].entry(by.key(value)).or_default().push(contact.id);
            }
        }
    }

    fn remove(&mut self, contact: &Contact) {
        for by in By::ALL {
            if let Some(value) = by.of(contact)
                && let Some(ids) = self.maps[by as usize].get_mut(&by.key(value))
            {
                ids.retain(|id| *id != contact.id);
            }
        }
    }
}

/// A contact's writable values as a body gives them.
#[derive(Debug)]
struct Change {
    name: Option<String>,
    identities: Vec<(By, Option<String>)>,
    address: Given<String>,
    description: Given<String>,
    job_title: Given<String>,
    language: Given<String>,
    time_zone: Given<String>,
    tags: Option<Vec<String>>,
    custom_fields: serde_json::Map<String, serde_json::Value>,
}

impl Change {
    fn apply(self, contact: &mut Contact, now: Timestamp) {
        if let Some(name) = self.name {
            contact.name = name;
        }
        for (by, value) in self.identities {
            by.set(contact, value);
        }
        let texts = [
            (&mut contact.address, self.address),
            (&mut contact.description, self.description),
            (&mut contact.job_title, self.job_title),
            (&mut contact.language, self.language),
            (&mut contact.time_zone, self.time_zone),
        ];
        for (field, given) in texts {
            if let Some(value) = given {
                *field = value;
            }
        }
        if let Some(tags) = self.tags {
            contact.tags = tags;
        }
        contact.custom_fields.extend(self.custom_fields);
        contact.updated_at = now;
    }
}

impl Freshdesk {
    pub(super) fn insert_contact(&mut self, contact: Contact, since: Timestamp) -> u64 {
        let id = self.contacts.insert(contact, since);
        if let Some(contact) = self.contacts.get(id) {
            self.people.add(contact);
        }
        id
    }

    fn alter_contact(&mut self, id: u64, now: Timestamp, change: impl FnOnce(&mut Contact)) {
        if let Some(contact) = self.contacts.get(id) {
            self.people.remove(contact);
        }
        self.contacts.change(id, now, self.settings.index_lag, change);
        if let Some(contact) = self.contacts.get(id) {
            self.people.add(contact);
        }
    }

    /// Soft-deletes a contact, as an agent does in the browser: it is no longer found but still blocks its values.
    pub fn soft_delete_contact(&mut self, id: u64, now: Timestamp) {
        self.alter_contact(id, now, |contact| {
            contact.deleted = true;
            contact.updated_at = now;
        });
    }

    /// A contact that is there and not soft-deleted.
    pub(super) fn live_contact(&self, id: u64) -> Option<&Contact> {
        self.contacts.get(id).filter(|contact| !contact.deleted)
    }

    pub(super) fn show_contact(&self, id: u64) -> Answer {
        self.contacts.get(id).map(|contact| Reply::json(StatusCode::OK, contact)).ok_or(Refusal::NotFound)
    }

    pub(super) fn list_contacts(&self, request: &Request) -> Answer {
        const EXACT: [By; 4] = [By::Email, By::Mobile, By::Phone, By::External];
        let known = [
            "email",
            "mobile",
            "phone",
            "unique_external_id",
            "company_id",
            "state",
            "updated_since",
            "_updated_since",
        ];
        let page = Page::of(request, &known)?;
        let since = updated_since(request)?;
        let company = match request.param("company_id").map(str::parse::<u64>) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => {
                return Err(Refusal::field("company_id", "invalid_value", "It should be a/an Positive Integer"));
            }
        };
        let state = request.param("state");
        if state.is_some_and(|state| !["blocked", "deleted", "unverified", "verified"].contains(&state)) {
            let message = "It should be one of these values: 'blocked,deleted,unverified,verified'";
            return Err(Refusal::field("state", "invalid_value", message));
        }
        let wanted = |contact: &&Contact| {
            EXACT.iter().all(|by| {
                request
                    .param(by.field())
                    .is_none_or(|value| by.of(contact).is_some_and(|held| by.key(held) == by.key(value)))
            }) && company.is_none_or(|company| contact.company_id == Some(company))
                && since.is_none_or(|since| contact.updated_at >= since)
                && contact.deleted == (state == Some("deleted"))
                && match state {
                    Some("verified") => contact.active,
                    Some("unverified") => !contact.active,
                    Some("blocked") => false,
                    _ => true,
                }
        };
        // Without an indexed filter everything is looked through.
        match EXACT.iter().find_map(|by| Some((*by, request.param(by.field())?))) {
            Some((by, value)) => {
                let mut ids = self.people.holders(by, value).to_vec();
                ids.sort_unstable();
                Ok(page.cut(request, ids.iter().filter_map(|id| self.contacts.get(*id)).filter(wanted)))
            }
            None => Ok(page.cut(request, self.contacts.iter().filter(wanted))),
        }
    }

    pub(super) fn create_contact(&mut self, request: &Request, now: Timestamp) -> Answer {
        let change = self.read_contact(request, true)?;
        let mut contact = Contact::new(now);
        change.apply(&mut contact, now);
        needs_identity(&contact)?;
        self.unique(&contact)?;
        let id = self.insert_contact(contact, now);
        let shown = self.contacts.get(id).map(|contact| Reply::json(StatusCode::CREATED, contact));
        let location = format!("{}/api/v2/contacts/{id}", request.origin());
        shown.map(|reply| reply.with(http::header::LOCATION, location)).ok_or(Refusal::NotFound)
    }

    pub(super) fn update_contact(&mut self, id: u64, request: &Request, now: Timestamp) -> Answer {
        let contact = self.contacts.get(id).ok_or(Refusal::NotFound)?;
        if contact.deleted {
            // A soft-deleted one can only be looked at.
            return Err(Refusal::method(request, "GET"));
        }
        let change = self.read_contact(request, false)?;
        let mut changed = contact.clone();
        change.apply(&mut changed, now);
        needs_identity(&changed)?;
        self.unique(&changed)?;
        self.alter_contact(id, now, |contact| *contact = changed);
        self.show_contact(id)
    }

    pub(super) fn delete_contact(&mut self, id: u64, request: &Request, now: Timestamp) -> Answer {
        if self.contacts.get(id).ok_or(Refusal::NotFound)?.deleted {
            return Err(Refusal::method(request, "GET"));
        }
        self.soft_delete_contact(id, now);
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    }

    fn read_contact(&self, request: &Request, creating: bool) -> Result<Change, Refusal> {
        let mut fields = Fields::of(request, WRITABLE)?;
        let name = fields.mandatory("name", creating, 255);
        let mut identities = Vec::new();
        for by in By::ALL.into_iter().filter(|by| *by != By::Facebook) {
            if let Some(value) = fields.string_within(by.field(), 255) {
                let value = value.filter(|value| !value.is_empty());
                if by == By::Email && value.as_deref().is_some_and(|value| !plausible_email(value)) {
                    fields.wrong("email", "invalid_value", "It should be in the 'valid email address' format");
                }
                identities.push((by, value));
            }
        }
        let change = Change {
            name,
            identities,
            address: fields.string("address"),
            description: fields.string("description"),
            job_title: fields.string("job_title"),
            language: fields.string("language"),
            time_zone: fields.string("time_zone"),
            tags: fields.tags(),
            custom_fields: fields.custom(|name| self.contact_fields.contains(name)),
        };
        fields.finish()?;
        Ok(change)
    }

    /// 409 if another contact, soft-deleted or not, holds a value that must be unique.
    pub(super) fn unique(&self, contact: &Contact) -> Result<(), Refusal> {
        let always = [By::Email, By::Twitter, By::External];
        let checked = By::ALL
            .into_iter()
            .filter(|by| always.contains(by) || self.settings.unique_numbers && matches!(by, By::Mobile | By::Phone));
        let errors: Vec<FieldError> = checked
            .filter_map(|by| {
                let holder = self.people.holders(by, by.of(contact)?).iter().find(|id| **id != contact.id)?;
                let mut error = FieldError::new(by.field(), "duplicate_value", "It should be a unique value");
                if self.settings.conflict_names_holder {
                    error.additional_info = Some(Holder { user_id: *holder });
                }
                Some(error)
            })
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(Refusal::Fields(StatusCode::CONFLICT, errors)) }
    }
}

/// One of these must be there (§1.d).
fn needs_identity(contact: &Contact) -> Result<(), Refusal> {
    let identities = [By::Email, By::Phone, By::Mobile, By::Twitter, By::External];
    if identities.iter().any(|by| by.of(contact).is_some()) {
        return Ok(());
    }
    let message = "Please fill at least 1 of email, phone, mobile, twitter_id, unique_external_id fields";
    Err(Refusal::field("email", "missing_field", message))
}

/// Enough to tell an address from a name or a number.
pub(super) fn plausible_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && host.contains('.') && !text.contains(|c: char| c.is_whitespace() || c == ',')
    })
}

/// `updated_since`, which Freshdesk's clients also spell `_updated_since` with contacts.
pub(super) fn updated_since(request: &Request) -> Result<Option<Timestamp>, Refusal> {
    let name = if request.param("_updated_since").is_some() { "_updated_since" } else { "updated_since" };
    let Some(text) = request.param(name) else {
        return Ok(None);
    };
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    match text.parse::<Timestamp>().ok().or_else(|| day().map(|day| day.timestamp())) {
        Some(since) => Ok(Some(since)),
        None => {
            Err(Refusal::field(name, "invalid_value", "It should be in the 'combined date and time ISO8601' format"))
        }
    }
}
