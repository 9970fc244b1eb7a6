//! A strict Freshsales (Freshworks CRM): it keeps contacts, owners, call logs and notes, and refuses what Freshsales
//! refuses.
//!
//! Facts are from `crm-api.md` §2 (a to f) unless a comment names another source; `[M]` marks, as there, what rests on
//! memory, `[C]` what other people's code found. Where reports contradict each other, both forms are settings, so that
//! a connector can be tried on both. Unknown query parameters are ignored, as Rails does.

mod calls;
mod contacts;
mod held;
mod limits;
mod model;
mod refusal;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

pub use self::{
    limits::Limits,
    model::{Contact, Note, Person, PhoneCall, User},
};
use self::{
    limits::Meter,
    model::{FIRST_USER, SEEDED_AT},
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request, Sandbox};

/// What becomes of a call log that comes as JSON: the two field reports, and the worse half of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonCalls {
    /// Like multipart.
    Work,
    /// The log is made; whose call it is and what the note says are dropped without a word.
    Dropped,
    /// A note in it is a server error.
    NoteFails,
}

/// What a call log for somebody who is not there any more comes to; none of the reports tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    NotFound,
    Invalid,
    /// The log is made, without him.
    Dropped,
}

/// What one Freshsales account differs in from another.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The classic product: its API is under `/api`, and it has leads beside contacts.
    pub classic: bool,
    /// How long `/lookup` does not know of a change. No report tells of any.
    pub lookup_lag: Duration,
    /// Two contacts cannot have one mobile number, and an upsert can go by it: what Exotel tells administrators to switch
    /// on (`crm-api.md` §2.c).
    pub mobile_unique: bool,
    pub json_calls: JsonCalls,
    pub gone: Gone,
    /// The reply to a new call log names its note, as the documented fields suggest.
    pub reply_names_note: bool,
    /// The notes of call logs stand among the notes of the contact.
    pub lists_call_notes: bool,
    /// Lists say how many pages there are.
    pub pages_told: bool,
    /// `per_page` is heeded, and lists come in pages at all.
    pub paged: bool,
    /// Error bodies have one text where others have a list.
    pub message_as_text: bool,
    /// Deactivated users are still listed.
    pub lists_inactive: bool,
    /// The plan's limit; none by default.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            classic: false,
            lookup_lag: Duration::ZERO,
            mobile_unique: true,
            json_calls: JsonCalls::Work,
            gone: Gone::NotFound,
            reply_names_note: true,
            lists_call_notes: true,
            pages_told: true,
            paged: true,
            message_as_text: false,
            lists_inactive: true,
            limits: Limits::none(),
        }
    }
}

/// One Freshsales account with one API key.
#[derive(Clone, Debug)]
pub struct Freshsales {
    /// Open to tests and the demo, also between two requests.
    pub settings: Settings,
    key: String,
    revoked: bool,
    meter: Meter,
    /// Upserts that meet a busy service behind this one.
    busy_upserts: u32,
    users: BTreeMap<u64, User>,
    contacts: BTreeMap<u64, Contact>,
    /// When each contact's numbers were last written.
    written: HashMap<u64, Timestamp>,
    index: contacts::Index,
    calls: BTreeMap<u64, PhoneCall>,
    notes: BTreeMap<u64, Note>,
    notes_of: HashMap<u64, Vec<u64>>,
    contact_fields: BTreeMap<String, bool>,
    outcomes: BTreeSet<u64>,
}

impl Freshsales {
    /// An account whose one key belongs to its first user, "Key Owner".
    pub fn new(key: impl Into<String>) -> Self {
        let mut account = Self {
            settings: Settings::default(),
            key: key.into(),
            revoked: false,
            meter: Meter::default(),
            busy_upserts: 0,
            users: BTreeMap::new(),
            contacts: BTreeMap::new(),
            written: HashMap::new(),
            index: contacts::Index::default(),
            calls: BTreeMap::new(),
            notes: BTreeMap::new(),
            notes_of: HashMap::new(),
            contact_fields: BTreeMap::new(),
            outcomes: BTreeSet::new(),
        };
        account.add_user("Key Owner", "owner@example.com");
        account
    }

    /// An account of the classic product.
    pub fn classic(key: impl Into<String>) -> Self {
        let mut account = Self::new(key);
        account.settings.classic = true;
        account
    }

    /// Revokes the key, as resetting it does: every request is 401 until [`Freshsales::set_key`].
    pub fn revoke_key(&mut self) {
        self.revoked = true;
    }

    /// Gives the account a new key.
    pub fn set_key(&mut self, key: impl Into<String>) {
        self.key = key.into();
        self.revoked = false;
    }

    /// The next upserts are refused because a service behind this one is busy: a 400 that says 429 inside (error list of
    /// integrately.com).
    pub fn busy_upserts(&mut self, how_many: u32) {
        self.busy_upserts = how_many;
    }

    /// Adds an active user.
    pub fn add_user(&mut self, name: &str, email: &str) -> u64 {
        let id = next(&self.users, FIRST_USER);
        let user = User {
            id,
            display_name: name.to_owned(),
            email: email.to_owned(),
            is_active: true,
            work_number: None,
            mobile_number: None,
        };
        self.users.insert(id, user);
        id
    }

    /// Alters a user, to give them a phone number for instance.
    pub fn change_user(&mut self, id: u64, change: impl FnOnce(&mut User)) {
        if let Some(user) = self.users.get_mut(&id) {
            change(user);
            user.id = id;
        }
    }

    /// Adds a contact that has been there for long, with any of its values. Nothing is checked: an old account holds
    /// such things too.
    pub fn add_contact_with(&mut self, fill: impl FnOnce(&mut Contact)) -> u64 {
        let mut contact = Contact::new(Person::Contact, SEEDED_AT);
        fill(&mut contact);
        self.insert_contact(contact, Timestamp::MIN)
    }

    /// Moves a contact to the recycle bin, as a person does in the browser.
    pub fn delete_contact(&mut self, id: u64) {
        self.change_contact(id, Timestamp::MIN, |contact| contact.deleted = true);
    }

    /// Deletes a call log with its note, as a person does in the browser.
    pub fn delete_call(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.deleted = true;
        if let Some(note) = call.note.and_then(|note| self.notes.get_mut(&note)) {
            note.deleted = true;
        }
    }

    /// Alters a note, as a person does in the browser.
    pub fn change_note(&mut self, id: u64, change: impl FnOnce(&mut Note)) {
        if let Some(note) = self.notes.get_mut(&id) {
            change(note);
        }
    }

    /// Defines a custom field of contacts; an undefined one is refused.
    pub fn define_contact_field(&mut self, name: &str) {
        self.contact_fields.entry(name.to_owned()).or_insert(false);
    }

    /// Makes a field of contacts mandatory; a name that begins with `cf_` is one of `custom_field`.
    pub fn require_contact_field(&mut self, name: &str) {
        self.contact_fields.insert(name.to_owned(), true);
    }

    /// Adds a call outcome.
    pub fn add_outcome(&mut self, id: u64) {
        self.outcomes.insert(id);
    }

    /// All contacts by id, those in the recycle bin too.
    pub fn people(&self) -> impl DoubleEndedIterator<Item = &Contact> {
        self.contacts.values()
    }

    /// One contact, deleted or not.
    pub fn contact(&self, id: u64) -> Option<&Contact> {
        self.contacts.get(&id)
    }

    /// All call logs in the order of creation, deleted ones too.
    pub fn calls(&self) -> impl DoubleEndedIterator<Item = &PhoneCall> {
        self.calls.values()
    }

    /// All notes in the order of creation, deleted ones and those of call logs too.
    pub fn notes(&self) -> impl DoubleEndedIterator<Item = &Note> {
        self.notes.values()
    }

    /// One note, deleted or not.
    pub fn note(&self, id: u64) -> Option<&Note> {
        self.notes.get(&id)
    }

    /// All users by id, deactivated ones too.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    fn route(&mut self, request: &Request, now: Timestamp) -> Answer {
        let segments = request.segments();
        let rest = match segments.as_slice() {
            ["api", rest @ ..] if self.settings.classic => rest,
            ["crm", "sales", "api", rest @ ..] if !self.settings.classic => rest,
            _ => return Err(Refusal::not_found()),
        };
        match (&request.method, rest) {
            (&Method::GET, ["selector", "owners"]) => Ok(self.list_owners()),
            (&Method::GET, ["lookup"]) => self.lookup(request, now),
            (&Method::POST, ["contacts", "upsert"]) => self.upsert(request, now),
            (&Method::GET, [people, id]) => self.show(people, id_of(id)?, request),
            (&Method::GET, [people, id, "notes"]) => self.list_notes(people, id_of(id)?, request),
            (&Method::POST, ["phone_calls"]) => self.create_call(request, now),
            (&Method::POST, ["notes"]) => self.create_note(request, now),
            (&Method::PUT, ["notes", id]) => self.update_note(id_of(id)?, request, now),
            // A method that a resource does not have is a route that does not exist, as with Rails [M].
            _ => Err(Refusal::not_found()),
        }
    }

    /// All at once, as the selectors are (§2.e).
    fn list_owners(&self) -> Reply {
        let listed = self.users.values().filter(|user| user.is_active || self.settings.lists_inactive);
        Reply::json(StatusCode::OK, &json!({"users": listed.map(User::shown).collect::<Vec<Value>>()}))
    }

    /// The key in Freshsales' own scheme, or as the user of HTTP Basic (§2.a).
    fn authorised(&self, request: &Request) -> bool {
        let token = request.bearer("Token").and_then(|given| given.strip_prefix("token="));
        let given = token.map(str::to_owned).or_else(|| request.basic().map(|(user, _)| user));
        !self.revoked && given.is_some_and(|given| given == self.key)
    }

    /// The user whose key it is.
    fn owner(&self) -> u64 {
        FIRST_USER
    }
}

fn next<T>(map: &BTreeMap<u64, T>, first: u64) -> u64 {
    map.last_key_value().map_or(first, |(last, _)| last + 1)
}

/// Something that is no id is no record either.
fn id_of(segment: &str) -> Result<u64, Refusal> {
    segment.parse().map_err(|_| Refusal::not_found())
}

/// A body that must be a JSON object.
fn object(request: &Request) -> Result<serde_json::Map<String, Value>, Refusal> {
    let kind = request.header(http::header::CONTENT_TYPE).unwrap_or_default();
    if !kind.starts_with("application/json") {
        return Err(Refusal::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(body)) => Ok(body),
        _ => Err(Refusal::invalid("Invalid JSON")),
    }
}

impl Sandbox for Freshsales {
    fn handle(&mut self, request: &Request, now: Timestamp) -> Reply {
        if let Err(wait) = self.meter.book(self.settings.limits, now) {
            let wait = self.settings.limits.says_when.then_some(wait);
            return self.refuse(request, StatusCode::TOO_MANY_REQUESTS, wait);
        }
        let answer = if self.authorised(request) { self.route(request, now) } else { Err(Refusal::Login) };
        answer.unwrap_or_else(|refusal| refusal.into_reply(&self.settings))
    }

    fn refuse(&self, _request: &Request, status: StatusCode, retry_after_s: Option<u64>) -> Reply {
        limits::with_wait(Refusal::of_status(status).into_reply(&self.settings), retry_after_s)
    }
}
