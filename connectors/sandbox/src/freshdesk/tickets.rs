//! Tickets: created for exactly one requester, listed by requester without any lag (`crm-api.md` §1.d).

use http::{StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Freshdesk,
    contacts::{By, plausible_email, updated_since},
    fields::{Fields, Given},
    model::{Contact, Conversation, Ticket},
    page::Page,
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request};

/// Who a ticket can be for.
const REQUESTERS: [&str; 6] = ["requester_id", "email", "phone", "facebook_id", "twitter_id", "unique_external_id"];
/// The ticket's own fields that can be written.
const WRITABLE: [&str; 11] = [
    "subject",
    "description",
    "status",
    "priority",
    "source",
    "type",
    "responder_id",
    "group_id",
    "tags",
    "cc_emails",
    "custom_fields",
];
const SUBJECT_CHARS_MAX: usize = 255;
/// Email, portal, phone, chat, feedback widget, outbound email (Freshdesk's API page, ticket properties) `[M]`.
const SOURCES: [u64; 6] = [1, 2, 3, 7, 9, 10];
const PRIORITIES: std::ops::RangeInclusive<u64> = 1..=4;
/// Without `updated_since`, only what was created within the last 30 days is listed (Freshdesk's API page, list of
/// tickets; quoted in airbytehq/airbyte, pull request 6442).
const LISTED_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);
/// `include=conversations` shows up to ten (Freshdesk's API page, view a ticket) `[M]`.
const CONVERSATIONS_INCLUDED: usize = 10;

/// A ticket as it is shown, with what was asked for beside it.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    ticket: &'a Ticket,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requester: Option<Requester<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversations: Option<&'a [Conversation]>,
    spam: bool,
    is_escalated: bool,
    fr_escalated: bool,
    product_id: Option<u64>,
    company_id: Option<u64>,
}

#[derive(Serialize)]
struct Requester<'a> {
    id: u64,
    name: &'a str,
    email: Option<&'a str>,
    mobile: Option<&'a str>,
    phone: Option<&'a str>,
}

/// A ticket's writable values as a body gives them.
#[derive(Debug)]
struct Change {
    subject: Option<String>,
    description: Option<String>,
    status: Option<u64>,
    priority: Option<u64>,
    source: Option<u64>,
    kind: Given<String>,
    responder_id: Given<u64>,
    group_id: Given<u64>,
    tags: Option<Vec<String>>,
    cc_emails: Option<Vec<String>>,
    custom_fields: Map<String, Value>,
}

impl Change {
    fn apply(self, ticket: &mut Ticket, now: Timestamp) {
        fn set<T>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        set(&mut ticket.subject, self.subject);
        if let Some(html) = self.description {
            ticket.describe(html);
        }
        set(&mut ticket.status, self.status);
        set(&mut ticket.priority, self.priority);
        set(&mut ticket.source, self.source);
        set(&mut ticket.kind, self.kind);
        set(&mut ticket.responder_id, self.responder_id);
        set(&mut ticket.group_id, self.group_id);
        set(&mut ticket.tags, self.tags);
        set(&mut ticket.cc_emails, self.cc_emails);
        ticket.custom_fields.extend(self.custom_fields);
        ticket.updated_at = now;
    }
}

impl Freshdesk {
    pub(super) fn insert_ticket(&mut self, mut ticket: Ticket, since: Timestamp) -> u64 {
        for name in self.ticket_fields.keys() {
            // A defined field is always shown, empty or not.
            ticket.custom_fields.entry(name.as_str()).or_insert(Value::Null);
        }
        let requester = ticket.requester_id;
        let id = self.tickets.insert(ticket, since);
        self.tickets_of.entry(requester).or_default().push(id);
        id
    }

    /// Alters a ticket, as an agent does in the browser.
    pub fn change_ticket(&mut self, id: u64, now: Timestamp, change: impl FnOnce(&mut Ticket)) {
        let Some(before) = self.tickets.get(id).map(|ticket| ticket.requester_id) else {
            return;
        };
        self.tickets.change(id, now, self.settings.index_lag, change);
        let after = self.tickets.get(id).map_or(before, |ticket| ticket.requester_id);
        if after != before {
            if let Some(ids) = self.tickets_of.get_mut(&before) {
                ids.retain(|other| *other != id);
            }
            let ids = self.tickets_of.entry(after).or_default();
            let at = ids.partition_point(|other| *other < id);
            ids.insert(at, id);
        }
    }

    /// A ticket that is there and not deleted.
    pub(super) fn live_ticket(&self, id: u64) -> Result<&Ticket, Refusal> {
        self.tickets.get(id).filter(|ticket| !ticket.deleted).ok_or(Refusal::NotFound)
    }

    fn shown<'a>(&'a self, ticket: &'a Ticket, described: bool, requester: bool) -> Shown<'a> {
        let requester = if requester { self.contacts.get(ticket.requester_id) } else { None };
        Shown {
            ticket,
            description: described.then_some(ticket.description.as_str()),
            description_text: described.then_some(ticket.description_text.as_str()),
            requester: requester.map(|contact| Requester {
                id: contact.id,
                name: &contact.name,
                email: contact.email.as_deref(),
                mobile: contact.mobile.as_deref(),
                phone: contact.phone.as_deref(),
            }),
            conversations: None,
            spam: false,
            is_escalated: false,
            fr_escalated: false,
            product_id: None,
            company_id: None,
        }
    }

    pub(super) fn show_ticket(&self, id: u64, request: &Request) -> Answer {
        let ticket = self.live_ticket(id)?;
        if let Some((name, _)) = request.query.iter().find(|(name, _)| name != "include") {
            return Err(Refusal::field(name, "invalid_field", "Unexpected/invalid field in request"));
        }
        let included = included(request, &["conversations", "requester"])?;
        let mut shown = self.shown(ticket, true, included.contains(&"requester"));
        if included.contains(&"conversations") {
            let all = self.conversations(id);
            shown.conversations = Some(&all[..all.len().min(CONVERSATIONS_INCLUDED)]);
        }
        Ok(Reply::json(StatusCode::OK, &shown))
    }

    pub(super) fn list_tickets(&self, request: &Request, now: Timestamp) -> Answer {
        let filters =
            ["requester_id", "email", "unique_external_id", "updated_since", "order_by", "order_type", "include"];
        let page = Page::of(request, &filters)?;
        let included = included(request, &["description", "requester"])?;
        let ascending = match request.param("order_type") {
            None | Some("desc") => false,
            Some("asc") => true,
            Some(_) => {
                return Err(Refusal::field(
                    "order_type",
                    "invalid_value",
                    "It should be one of these values: 'asc,desc'",
                ));
            }
        };
        let order_by = request.param("order_by").unwrap_or("created_at");
        if !["created_at", "updated_at", "status", "due_by"].contains(&order_by) {
            let message = "It should be one of these values: 'created_at,due_by,updated_at,status'";
            return Err(Refusal::field("order_by", "invalid_value", message));
        }
        let since = updated_since(request)?;
        let listed = |ticket: &&Ticket| {
            !ticket.deleted
                && match since {
                    Some(since) => ticket.updated_at >= since,
                    None => now.duration_since(ticket.created_at) <= LISTED_FOR,
                }
        };
        let described = included.contains(&"description");
        let with_requester = included.contains(&"requester");

        let found: Box<dyn DoubleEndedIterator<Item = &Ticket>> = match self.requester_filter(request)? {
            Some(requester) => {
                let ids = self.tickets_of.get(&requester).map_or(&[][..], Vec::as_slice);
                Box::new(ids.iter().filter_map(|id| self.tickets.get(*id)).filter(listed))
            }
            None => Box::new(self.tickets.iter().filter(listed)),
        };
        // Ids are given in the order of creation, so the usual order needs no sorting.
        let ordered: Box<dyn Iterator<Item = &Ticket>> = if ["created_at", "due_by"].contains(&order_by) {
            if ascending { Box::new(found) } else { Box::new(found.rev()) }
        } else {
            let mut all: Vec<&Ticket> = found.collect();
            all.sort_by_key(
                |ticket| if order_by == "status" { (ticket.status, None) } else { (0, Some(ticket.updated_at)) },
            );
            if !ascending {
                all.reverse();
            }
            Box::new(all.into_iter())
        };
        Ok(page.cut(request, ordered.map(|ticket| self.shown(ticket, described, with_requester))))
    }

    /// Whose tickets are asked for; someone unknown has none.
    fn requester_filter(&self, request: &Request) -> Result<Option<u64>, Refusal> {
        if let Some(text) = request.param("requester_id") {
            let id = text.parse::<u64>();
            return id
                .map(Some)
                .map_err(|_| Refusal::field("requester_id", "invalid_value", "It should be a/an Positive Integer"));
        }
        for by in [By::Email, By::External] {
            if let Some(value) = request.param(by.field()) {
                return Ok(Some(self.people.holders(by, value).first().copied().unwrap_or(0)));
            }
        }
        Ok(None)
    }

    pub(super) fn create_ticket(&mut self, request: &Request, now: Timestamp) -> Answer {
        let known: Vec<&str> = REQUESTERS.iter().chain(&WRITABLE).chain(&["name"]).copied().collect();
        let mut fields = Fields::of(request, &known)?;
        let change = self.read_ticket(&mut fields, true);
        let requester = self.read_requester(&mut fields);
        fields.finish()?;
        let Some(requester) = requester else {
            return Err(Refusal::field("requester_id", "missing_field", REQUESTER_MISSING));
        };
        // Only now that nothing else is wrong: a refused ticket leaves no contact behind.
        let requester_id = match requester {
            Person::Known(id) => id,
            Person::New(contact) => {
                self.unique(&contact)?;
                self.insert_contact(Contact { created_at: now, updated_at: now, ..*contact }, now)
            }
        };
        let mut ticket = Ticket::new(requester_id, now);
        change.apply(&mut ticket, now);
        let id = self.insert_ticket(ticket, now);
        let reply = Reply::json(StatusCode::CREATED, &self.shown(self.live_ticket(id)?, true, false));
        Ok(reply.with(header::LOCATION, format!("{}/api/v2/tickets/{id}", request.origin())))
    }

    pub(super) fn update_ticket(&mut self, id: u64, request: &Request, now: Timestamp) -> Answer {
        self.live_ticket(id)?;
        let known: Vec<&str> = WRITABLE.iter().chain(&["requester_id"]).copied().collect();
        let mut fields = Fields::of(request, &known)?;
        let change = self.read_ticket(&mut fields, false);
        let requester = fields.id("requester_id");
        if let Some(requester) = requester {
            self.check_requester(&mut fields, requester.unwrap_or(0));
        }
        fields.finish()?;
        self.change_ticket(id, now, |ticket| {
            if let Some(requester) = requester.flatten() {
                ticket.requester_id = requester;
            }
            change.apply(ticket, now);
        });
        Ok(Reply::json(StatusCode::OK, &self.shown(self.live_ticket(id)?, true, false)))
    }

    pub(super) fn delete_ticket(&mut self, id: u64, now: Timestamp) -> Answer {
        self.live_ticket(id)?;
        self.change_ticket(id, now, |ticket| {
            ticket.deleted = true;
            ticket.updated_at = now;
        });
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    }

    fn read_ticket(&self, fields: &mut Fields, creating: bool) -> Change {
        let change = Change {
            subject: fields.mandatory("subject", creating, SUBJECT_CHARS_MAX),
            description: fields.mandatory("description", creating, usize::MAX),
            status: fields.one_of("status", self.settings.statuses.iter().copied()),
            priority: fields.one_of("priority", PRIORITIES),
            source: fields.one_of("source", SOURCES.into_iter()),
            kind: fields.string("type"),
            responder_id: fields.id("responder_id"),
            group_id: fields.id("group_id"),
            tags: fields.tags(),
            cc_emails: fields.strings("cc_emails"),
            custom_fields: fields.custom(|name| self.ticket_fields.contains_key(name)),
        };
        if let Some(Some(kind)) = &change.kind
            && !self.settings.types.contains(kind)
        {
            let allowed: Vec<&str> = self.settings.types.iter().map(String::as_str).collect();
            let message = format!("It should be one of these values: '{}'", allowed.join(","));
            fields.wrong("type", "invalid_value", message);
        }
        if let Some(Some(id)) = change.responder_id
            && !self.is_active_agent(id)
        {
            fields.wrong("responder_id", "invalid_value", "There is no agent matching the given responder_id");
        }
        if let Some(Some(id)) = change.group_id
            && !self.settings.groups.contains(&id)
        {
            fields.wrong("group_id", "invalid_value", "There is no group matching the given group_id");
        }
        if change.cc_emails.iter().flatten().any(|email| !plausible_email(email)) {
            let message = "It should contain elements that are in the 'valid email address' format";
            fields.wrong("cc_emails", "invalid_value", message);
        }
        let required = self.ticket_fields.iter().filter(|(_, required)| **required).map(|(name, _)| name);
        for name in required {
            let blank = |value: &Value| value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
            // An update may leave a mandatory field out, but not empty it.
            if change.custom_fields.get(name).map_or(creating, blank) {
                fields.wrong(name, "missing_field", "It should not be blank as this is a mandatory field");
            }
        }
        change
    }

    /// Exactly one identity; all but `requester_id` and `facebook_id` make a contact where there is none.
    fn read_requester(&self, fields: &mut Fields) -> Option<Person> {
        let given: Vec<&str> = REQUESTERS.into_iter().filter(|name| fields.has(name)).collect();
        let name = fields.string_within("name", 255).flatten().filter(|name| !name.trim().is_empty());
        match given.as_slice() {
            [] => {
                fields.wrong("requester_id", "missing_field", REQUESTER_MISSING);
                None
            }
            ["requester_id"] => {
                let id = fields.id("requester_id").flatten()?;
                self.check_requester(fields, id);
                Some(Person::Known(id))
            }
            [field] => {
                let by = [By::Email, By::Phone, By::Facebook, By::Twitter, By::External]
                    .into_iter()
                    .find(|by| by.field() == *field)?;
                let value = fields.string_within(field, 255).flatten()?;
                self.person(fields, by, value, name)
            }
            [_, others @ ..] => {
                for field in others {
                    let message = format!("Exactly one of {} identifies the requester", REQUESTERS.join(", "));
                    fields.wrong(field, "invalid_field", message);
                }
                None
            }
        }
    }

    fn person(&self, fields: &mut Fields, by: By, value: String, name: Option<String>) -> Option<Person> {
        if by == By::Email && !plausible_email(&value) {
            fields.wrong("email", "invalid_value", "It should be in the 'valid email address' format");
            return None;
        }
        if by == By::Phone && name.is_none() {
            // Mandatory whether or not the number is known (§1.d).
            fields.wrong("name", "missing_field", "It should be a/an String");
            return None;
        }
        let mut holders = self.people.holders(by, &value).to_vec();
        if by == By::Phone {
            // [M] A caller's number is also looked for among the mobile numbers.
            holders.extend(self.people.holders(By::Mobile, &value));
        }
        if let Some(id) = holders.into_iter().find(|id| self.live_contact(*id).is_some()) {
            return Some(Person::Known(id));
        }
        if by == By::Facebook {
            fields.wrong("facebook_id", "invalid_value", "There is no contact matching the given facebook_id");
            return None;
        }
        let mut contact = Contact::new(Timestamp::UNIX_EPOCH);
        contact.name = name.unwrap_or_else(|| value.split('@').next().unwrap_or_default().to_owned());
        by.set(&mut contact, Some(value));
        Some(Person::New(Box::new(contact)))
    }

    /// A requester is a contact, or an agent.
    fn check_requester(&self, fields: &mut Fields, id: u64) {
        if self.live_contact(id).is_none() && !self.is_active_agent(id) {
            fields.wrong("requester_id", "invalid_value", "There is no contact matching the given requester_id");
        }
    }
}

const REQUESTER_MISSING: &str = "It should be a/an Positive Integer; one of requester_id, email, phone, facebook_id, \
    twitter_id, unique_external_id is needed";

/// Who a new ticket is for.
enum Person {
    Known(u64),
    New(Box<Contact>),
}

fn included<'a>(request: &'a Request, known: &[&str]) -> Result<Vec<&'a str>, Refusal> {
    let included: Vec<&str> = request.param("include").map_or(Vec::new(), |list| list.split(',').collect());
    if included.iter().all(|part| known.contains(part)) {
        return Ok(included);
    }
    let message = format!("It should be one of these values: '{}'", known.join(","));
    Err(Refusal::field("include", "invalid_value", message))
}
