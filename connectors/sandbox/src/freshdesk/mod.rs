//! A strict Freshdesk (API v2): it keeps contacts, agents, tickets and notes, and refuses what Freshdesk refuses.
//!
//! Facts are from `crm-api.md` §1 (a to f) unless a comment names another source; `[M]` marks, as there, what rests on
//! memory. Where Freshdesk has more than is played here (attachments, companies, other ticket properties), the sandbox
//! refuses it as an unknown field or route: better a refusal in a test than a silent yes.

mod agents;
mod contacts;
mod conversations;
mod fields;
mod held;
mod limits;
mod model;
mod page;
mod refusal;
mod search;
mod text;
mod tickets;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use http::{Method, StatusCode, header};
use jiff::Timestamp;

pub use self::{
    limits::Limits,
    model::{Agent, Contact, Conversation, Ticket},
};
use self::{
    limits::{Meter, Route},
    model::{FIRST_AGENT, FIRST_CONTACT, FIRST_CONVERSATION, FIRST_TICKET, SEEDED_AT},
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request, Sandbox, shelf::Shelf};

/// What one Freshdesk account differs in from another.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long search does not know of a change: "a few minutes" (§1.c).
    pub index_lag: Duration,
    /// Mobile and phone numbers are unique too, which an account's administrator can ask for.
    pub unique_numbers: bool,
    /// A 409 names the contact that holds the value in `additional_info`; §1.b has no public sample of it.
    pub conflict_names_holder: bool,
    /// The plan's limits; none by default.
    pub limits: Limits,
    /// The allowed ticket statuses: 2 to 5, and an account's own from 6 on (§1.d).
    pub statuses: BTreeSet<u64>,
    /// The allowed ticket types.
    pub types: BTreeSet<String>,
    /// The existing groups.
    pub groups: BTreeSet<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            index_lag: Duration::from_secs(120),
            unique_numbers: false,
            conflict_names_holder: true,
            limits: Limits::none(),
            statuses: (2..=5).collect(),
            types: ["Question", "Incident", "Problem", "Feature Request", "Refund"].map(String::from).into(),
            groups: BTreeSet::new(),
        }
    }
}

/// One Freshdesk account with one API key.
#[derive(Clone, Debug)]
pub struct Freshdesk {
    /// Open to tests and the demo, also between two requests.
    pub settings: Settings,
    key: String,
    revoked: bool,
    owner: u64,
    meter: Meter,
    agents: BTreeMap<u64, Agent>,
    contacts: Shelf<Contact>,
    people: contacts::Index,
    tickets: Shelf<Ticket>,
    tickets_of: HashMap<u64, Vec<u64>>,
    conversations: HashMap<u64, Vec<Conversation>>,
    ticket_of_conversation: HashMap<u64, u64>,
    next_conversation: u64,
    ticket_fields: BTreeMap<String, bool>,
    contact_fields: BTreeSet<String>,
}

impl Freshdesk {
    /// An account whose one key belongs to its first agent, "Key Owner".
    pub fn new(key: impl Into<String>) -> Self {
        let mut account = Self {
            settings: Settings::default(),
            key: key.into(),
            revoked: false,
            owner: FIRST_AGENT,
            meter: Meter::default(),
            agents: BTreeMap::new(),
            contacts: Shelf::starting_at(FIRST_CONTACT),
            people: contacts::Index::default(),
            tickets: Shelf::starting_at(FIRST_TICKET),
            tickets_of: HashMap::new(),
            conversations: HashMap::new(),
            ticket_of_conversation: HashMap::new(),
            next_conversation: FIRST_CONVERSATION,
            ticket_fields: BTreeMap::new(),
            contact_fields: BTreeSet::new(),
        };
        account.add_agent("Key Owner", "owner@example.com", FIRST_AGENT);
        account
    }

    /// The same with a search that is never behind: with no limits either, the account of a benchmark.
    pub fn instant(key: impl Into<String>) -> Self {
        let mut account = Self::new(key);
        account.settings.index_lag = Duration::ZERO;
        account
    }

    /// Revokes the key, as an administrator does: every request is 401 until [`Freshdesk::set_key`].
    pub fn revoke_key(&mut self) {
        self.revoked = true;
    }

    /// Gives the account a new key.
    pub fn set_key(&mut self, key: impl Into<String>) {
        self.key = key.into();
        self.revoked = false;
    }

    /// Adds an agent under this id, or replaces the one who has it.
    pub fn add_agent(&mut self, name: &str, email: &str, id: u64) -> u64 {
        self.agents.insert(id, Agent::new(id, name, email));
        id
    }

    /// Alters an agent, to give them a phone number for instance.
    pub fn change_agent(&mut self, id: u64, change: impl FnOnce(&mut Agent)) {
        if let Some(agent) = self.agents.get_mut(&id) {
            change(agent);
            agent.id = id;
        }
    }

    /// Takes an agent out of service: no longer listed, and no ticket can be given to them.
    pub fn deactivate_agent(&mut self, id: u64) {
        self.change_agent(id, |agent| agent.active = false);
    }

    /// Adds a contact that has been there for long, so that search knows it at once.
    pub fn add_contact(&mut self, name: &str, mobile: Option<&str>, phone: Option<&str>) -> u64 {
        self.add_contact_with(|contact| {
            contact.name = name.to_owned();
            contact.mobile = mobile.map(str::to_owned);
            contact.phone = phone.map(str::to_owned);
        })
    }

    /// Adds a contact with any of its values. Nothing is checked: an old account holds such things too.
    pub fn add_contact_with(&mut self, fill: impl FnOnce(&mut Contact)) -> u64 {
        let mut contact = Contact::new(SEEDED_AT);
        fill(&mut contact);
        self.insert_contact(contact, Timestamp::MIN)
    }

    /// Adds a ticket that has been there for long, created by hand. Nothing is checked.
    pub fn add_ticket_with(&mut self, requester: u64, fill: impl FnOnce(&mut Ticket)) -> u64 {
        let mut ticket = Ticket::new(requester, SEEDED_AT);
        fill(&mut ticket);
        self.insert_ticket(ticket, Timestamp::MIN)
    }

    /// Defines a custom field of tickets; an undefined one is refused as `invalid_field`.
    pub fn define_field(&mut self, name: &str) {
        self.ticket_fields.entry(name.to_owned()).or_insert(false);
    }

    /// Defines a custom field of tickets, mandatory for agents: creating without it is refused as `missing_field`.
    pub fn require_field(&mut self, name: &str) {
        self.ticket_fields.insert(name.to_owned(), true);
    }

    /// Defines a custom field of contacts.
    pub fn define_contact_field(&mut self, name: &str) {
        self.contact_fields.insert(name.to_owned());
    }

    /// All contacts by id, soft-deleted ones too.
    pub fn contacts(&self) -> impl DoubleEndedIterator<Item = &Contact> {
        self.contacts.iter()
    }

    /// One contact, soft-deleted or not.
    pub fn contact(&self, id: u64) -> Option<&Contact> {
        self.contacts.get(id)
    }

    /// All tickets by id, which is the order of creation; deleted ones too.
    pub fn tickets(&self) -> impl DoubleEndedIterator<Item = &Ticket> {
        self.tickets.iter()
    }

    /// One ticket, deleted or not.
    pub fn ticket(&self, id: u64) -> Option<&Ticket> {
        self.tickets.get(id)
    }

    /// The notes of a ticket, oldest first.
    pub fn conversations(&self, ticket: u64) -> &[Conversation] {
        self.conversations.get(&ticket).map_or(&[], Vec::as_slice)
    }

    /// All agents by id, deactivated ones too.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values()
    }

    fn route(&mut self, request: &Request, now: Timestamp) -> Answer {
        let segments = request.segments();
        let ["api", "v2", rest @ ..] = segments.as_slice() else {
            return Err(Refusal::NotFound);
        };
        if rest.contains(&"") {
            return Err(Refusal::NotFound);
        }
        match (&request.method, rest) {
            (&Method::GET, ["agents", "me"]) => self.show_agent(self.owner),
            (&Method::GET, ["agents"]) => self.list_agents(request),
            (&Method::GET, ["agents", id]) => self.show_agent(id_of(id)?),
            (_, ["agents", ..]) if rest.len() <= 2 => Err(Refusal::method(request, "GET")),

            (&Method::GET, ["contacts"]) => self.list_contacts(request),
            (&Method::POST, ["contacts"]) => self.create_contact(request, now),
            (_, ["contacts"]) => Err(Refusal::method(request, "GET, POST")),
            (&Method::GET, ["contacts", id]) => self.show_contact(id_of(id)?),
            (&Method::PUT, ["contacts", id]) => self.update_contact(id_of(id)?, request, now),
            (&Method::DELETE, ["contacts", id]) => self.delete_contact(id_of(id)?, request, now),
            (_, ["contacts", _]) => Err(Refusal::method(request, "GET, PUT, DELETE")),

            (&Method::GET, ["search", "contacts"]) => self.search_contacts(request, now),
            (&Method::GET, ["search", "tickets"]) => self.search_tickets(request, now),
            (_, ["search", "contacts" | "tickets"]) => Err(Refusal::method(request, "GET")),

            (&Method::GET, ["tickets"]) => self.list_tickets(request, now),
            (&Method::POST, ["tickets"]) => self.create_ticket(request, now),
            (_, ["tickets"]) => Err(Refusal::method(request, "GET, POST")),
            (&Method::GET, ["tickets", id]) => self.show_ticket(id_of(id)?, request),
            (&Method::PUT, ["tickets", id]) => self.update_ticket(id_of(id)?, request, now),
            (&Method::DELETE, ["tickets", id]) => self.delete_ticket(id_of(id)?, now),
            (_, ["tickets", _]) => Err(Refusal::method(request, "GET, PUT, DELETE")),

            (&Method::POST, ["tickets", id, "notes"]) => self.create_note(id_of(id)?, request, now),
            (_, ["tickets", _, "notes"]) => Err(Refusal::method(request, "POST")),
            (&Method::GET, ["tickets", id, "conversations"]) => self.list_conversations(id_of(id)?, request),
            (_, ["tickets", _, "conversations"]) => Err(Refusal::method(request, "GET")),
            (&Method::PUT, ["conversations", id]) => self.update_conversation(id_of(id)?, request, now),
            (_, ["conversations", _]) => Err(Refusal::method(request, "PUT")),
            _ => Err(Refusal::NotFound),
        }
    }

    /// Any password does: the key is the user (§1.a).
    fn authorised(&self, request: &Request) -> bool {
        !self.revoked && request.basic().is_some_and(|(user, _)| user == self.key)
    }
}

/// Something that is no id is no resource either.
fn id_of(segment: &str) -> Result<u64, Refusal> {
    segment.parse().map_err(|_| Refusal::NotFound)
}

impl Sandbox for Freshdesk {
    fn handle(&mut self, request: &Request, now: Timestamp) -> Reply {
        // Invalid requests count too (§1.b), so the meter comes before everything else.
        if let Err(retry_after_s) = self.meter.book(&self.settings.limits, Route::of(request), now) {
            let reply = self.refuse(request, StatusCode::TOO_MANY_REQUESTS, Some(retry_after_s));
            return self.meter.stamp(&self.settings.limits, reply);
        }
        let answer = if self.authorised(request) { self.route(request, now) } else { Err(Refusal::credentials()) };
        self.meter.stamp(&self.settings.limits, answer.unwrap_or_else(Refusal::into_reply))
    }

    fn refuse(&self, _request: &Request, status: StatusCode, retry_after_s: Option<u64>) -> Reply {
        let reply = Refusal::of_status(status).into_reply();
        match retry_after_s {
            Some(seconds) => reply.with(header::RETRY_AFTER, seconds.to_string()),
            None => reply,
        }
    }
}
