//! A strict Zoho Desk (API v1) with its token server: it keeps contacts, agents, tickets and comments, and refuses what
//! Zoho Desk refuses.
//!
//! Facts are from `crm-api.md` §6 unless a comment names another source: `[S]` is Zoho's own OpenAPI description
//! (`zoho/zohodesk-oas`, v1.0), `[M]` memory. Where Zoho Desk has more than is played here, the sandbox refuses it as an
//! unknown field, parameter or route: better a refusal in a test than a silent yes. Where the sources disagree or say
//! nothing, the form is one of [`Settings`].

mod comments;
mod contacts;
mod credits;
mod crm;
mod fields;
mod model;
mod people;
mod query;
mod refusal;
mod search;
mod tickets;
mod tokens;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use http::{HeaderName, Method, StatusCode, header};
use jiff::Timestamp;

pub use self::model::{Agent, Comment, Contact, Ticket};
use self::{
    credits::Meter,
    model::{FIRST_AGENT, FIRST_COMMENT, FIRST_CONTACT, FIRST_TICKET},
    refusal::{Answer, Refusal},
};
use crate::{
    Reply, Request, Sandbox,
    oauth::{Grants, Rules},
    shelf::Shelf,
};

/// Access tokens live an hour, ten may be asked for in ten minutes, fifteen live at once (§6.a).
const RULES: Rules = Rules {
    lifetime: Duration::from_secs(3600),
    rotates: false,
    at_most: Some((10, Duration::from_secs(600))),
    living: Some(15),
};

/// How a time is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// `2026-01-15T10:00:00.000Z`, as the schemas have it.
    Text,
    /// Milliseconds, as the examples beside those schemas have it `[S]`.
    Millis,
}

/// What a deleted record is to who asks for it by its id. No source says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trash {
    /// 404, as if it had never been.
    Hidden,
    /// Shown with `isTrashed`, and refused with 422 where it is written.
    Shown,
}

/// What one organisation differs in from another, and what the sources leave open.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long the search does not know of a change. Others have seen hours; the lists by id and by time know at once.
    pub index_lag: Duration,
    /// The same for the list of a contact's tickets, whose scopes name the search too `[S]`.
    pub contact_tickets_lag: Duration,
    /// The search takes `phone` and `mobile`: the public documentation has them, `[S]` has not.
    pub search_by_number: bool,
    /// The numbers of contacts are unique, which an administrator can ask for.
    pub unique_numbers: bool,
    pub times: Times,
    pub trash: Trash,
    /// An empty list is 204 without a body; else `{"data":[]}`.
    pub empty_is_204: bool,
    /// The index of the first record of a list: 0 `[S]`, 1 in older clients.
    pub first_index: usize,
    /// `orgId` is taken as a query parameter too, as `[S]` has it; else only as a header.
    pub org_in_query: bool,
    /// API credits a day. `None` is unlimited, without headers.
    pub credits: Option<u32>,
    /// How a token request is refused: 200 with the error inside (§6.a), or 400.
    pub token_refusal: StatusCode,
    /// The allowed ticket statuses, each with its type.
    pub statuses: BTreeMap<String, &'static str>,
    pub channels: BTreeSet<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let statuses = [("Open", "Open"), ("Escalated", "Open"), ("On Hold", "On Hold"), ("Closed", "Closed")];
        Self {
            index_lag: Duration::from_secs(120),
            contact_tickets_lag: Duration::ZERO,
            search_by_number: true,
            unique_numbers: false,
            times: Times::Text,
            trash: Trash::Hidden,
            empty_is_204: true,
            first_index: 0,
            org_in_query: true,
            credits: None,
            token_refusal: StatusCode::OK,
            statuses: statuses.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect(),
            channels: ["Phone", "Email", "Web", "Chat", "Forums"].map(String::from).into(),
        }
    }
}

/// One organisation in Zoho Desk, with one department and one OAuth client.
#[derive(Clone, Debug)]
pub struct ZohoDesk {
    /// Open to tests and the demo, also between two requests.
    pub settings: Settings,
    pub grants: Grants,
    org_id: u64,
    departments: BTreeMap<u64, String>,
    meter: Meter,
    agents: BTreeMap<u64, Agent>,
    contacts: Shelf<Contact>,
    tickets: Shelf<Ticket>,
    comments: BTreeMap<u64, Comment>,
    next_agent: u64,
    next_comment: u64,
    ticket_fields: BTreeMap<String, bool>,
    contact_fields: BTreeSet<String>,
}

impl ZohoDesk {
    /// The organisation's id.
    pub const ORG_ID: u64 = 60_001_280_952;
    /// The id of its one department, "Support".
    pub const DEPARTMENT_ID: u64 = 7_000_000_006_907;

    /// An organisation whose OAuth client has these credentials, with a refresh token that somebody got earlier.
    pub fn new(client_id: &str, client_secret: &str, refresh_token: &str) -> Self {
        Self {
            settings: Settings::default(),
            grants: Grants::new(client_id, client_secret, RULES).with_refresh_token(refresh_token),
            org_id: Self::ORG_ID,
            departments: BTreeMap::from([(Self::DEPARTMENT_ID, "Support".to_owned())]),
            meter: Meter::default(),
            agents: BTreeMap::new(),
            contacts: Shelf::starting_at(FIRST_CONTACT),
            tickets: Shelf::starting_at(FIRST_TICKET),
            comments: BTreeMap::new(),
            next_agent: FIRST_AGENT,
            next_comment: FIRST_COMMENT,
            ticket_fields: BTreeMap::new(),
            contact_fields: BTreeSet::new(),
        }
    }

    /// Adds a department; yields its id.
    pub fn add_department(&mut self, name: &str) -> u64 {
        let id = self.departments.keys().last().map_or(Self::DEPARTMENT_ID, |id| id + 1);
        self.departments.insert(id, name.to_owned());
        id
    }

    /// Defines a custom field of tickets (`cf_…`); without the mandatory ones, creating is refused.
    pub fn define_field(&mut self, name: &str, mandatory: bool) {
        self.ticket_fields.insert(name.to_owned(), mandatory);
    }

    /// Defines a custom field of contacts.
    pub fn define_contact_field(&mut self, name: &str) {
        self.contact_fields.insert(name.to_owned());
    }

    fn route(&mut self, request: &Request, now: Timestamp) -> Answer {
        let segments = request.segments();
        let ["api", "v1", rest @ ..] = segments.as_slice() else {
            return Err(Refusal::not_found());
        };
        if rest.contains(&"") {
            return Err(Refusal::not_found());
        }
        self.authorised(request, rest, now)?;
        match (&request.method, rest) {
            (&Method::GET, ["organizations"]) => self.list_organizations(request),
            (&Method::GET, ["departments"]) => self.list_departments(request),
            (&Method::GET, ["departments", id]) => self.show_department(request, id_of(id)?),
            (&Method::GET, ["myinfo"]) => self.show_myself(request),
            (&Method::GET, ["agents"]) => self.list_agents(request),
            (&Method::GET, ["agents", id]) => self.show_agent(request, id_of(id)?),
            (&Method::GET, ["contacts", "search"]) => self.search_contacts(request, now),
            (&Method::GET, ["contacts"]) => self.list_contacts(request),
            (&Method::POST, ["contacts"]) => self.create_contact(request, now),
            (&Method::GET, ["contacts", id]) => self.show_contact(request, id_of(id)?),
            (&Method::PATCH, ["contacts", id]) => self.update_contact(id_of(id)?, request, now),
            (&Method::GET, ["contacts", id, "tickets"]) => self.list_tickets_of(id_of(id)?, request, now),
            (&Method::GET, ["tickets"]) => self.list_tickets(request),
            (&Method::POST, ["tickets"]) => self.create_ticket(request, now),
            (&Method::GET, ["tickets", id]) => self.show_ticket(request, id_of(id)?),
            (&Method::PATCH, ["tickets", id]) => self.update_ticket(id_of(id)?, request, now),
            (&Method::GET, ["tickets", id, "comments"]) => self.list_comments(id_of(id)?, request),
            (&Method::POST, ["tickets", id, "comments"]) => self.create_comment(id_of(id)?, request, now),
            (&Method::GET, ["tickets", id, "comments", comment]) => {
                self.show_comment(request, id_of(id)?, id_of(comment)?)
            }
            (&Method::PATCH, ["tickets", id, "comments", comment]) => {
                self.update_comment(id_of(id)?, id_of(comment)?, request, now)
            }
            (
                _,
                ["organizations" | "departments" | "myinfo" | "agents" | "contacts" | "tickets"]
                | ["departments" | "agents" | "contacts" | "tickets", _]
                | ["contacts", _, "tickets"]
                | ["tickets", _, "comments"]
                | ["tickets", _, "comments", _],
            ) => Err(Refusal::coded(
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                "The HTTP method used is not allowed for this resource.",
            )),
            _ => Err(Refusal::not_found()),
        }
    }

    /// The token, and that it is for this organisation. Only the list of organisations needs no `orgId`.
    fn authorised(&self, request: &Request, rest: &[&str], now: Timestamp) -> Result<(), Refusal> {
        if !request.bearer("Zoho-oauthtoken").is_some_and(|token| self.grants.knows(token, now)) {
            return Err(Refusal::of_status(StatusCode::UNAUTHORIZED));
        }
        let in_query = request.param("orgId").filter(|_| self.settings.org_in_query);
        let org = request.header(HeaderName::from_static("orgid")).or(in_query);
        if rest == ["organizations"] || org == Some(self.org_id.to_string().as_str()) {
            return Ok(());
        }
        Err(Refusal::coded(
            StatusCode::FORBIDDEN,
            "OAUTH_ORG_MISMATCH",
            "The orgId in the request does not match the organisation of the OAuth token.",
        ))
    }
}

/// Something that is no id is no resource either.
fn id_of(segment: &str) -> Result<u64, Refusal> {
    segment.parse().map_err(|_| Refusal::not_found())
}

impl Sandbox for ZohoDesk {
    fn handle(&mut self, request: &Request, now: Timestamp) -> Reply {
        if let ["oauth", "v2", rest @ ..] = request.segments().as_slice() {
            return self.token_server(request, rest, now);
        }
        if let Err(retry_after_s) = self.meter.book(self.settings.credits, request, now) {
            let reply = self.refuse(request, StatusCode::TOO_MANY_REQUESTS, Some(retry_after_s));
            return self.meter.stamp(self.settings.credits, reply);
        }
        let answer = self.route(request, now);
        self.meter.stamp(self.settings.credits, answer.unwrap_or_else(Refusal::into_reply))
    }

    /// A 429 with `Retry-After` is the day's credits used up; without it, too many requests at once (§6.2.b).
    fn refuse(&self, request: &Request, status: StatusCode, retry_after_s: Option<u64>) -> Reply {
        if request.segments().first() == Some(&"oauth") {
            return tokens::refusal(status, "general_error");
        }
        let refusal = match (status, retry_after_s) {
            (StatusCode::TOO_MANY_REQUESTS, Some(_)) => {
                Refusal::coded(status, "THRESHOLD_EXCEEDED", "The limit of API credits for the day has been reached.")
            }
            _ => Refusal::of_status(status),
        };
        let reply = refusal.into_reply();
        match retry_after_s {
            Some(seconds) => reply.with(header::RETRY_AFTER, seconds.to_string()),
            None => reply,
        }
    }
}
