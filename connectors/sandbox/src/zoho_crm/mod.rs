//! A strict Zoho CRM (API v8) with its token server and PhoneBridge (v3): one organisation, one client, one consent.
//!
//! Facts are from `crm-api.md` §6 and the pages named beside them; `[M]` marks what rests on memory. Where the public
//! material does not say which of two forms is the real one, both are played and [`Settings`] chooses.

mod bridge;
mod coql;
mod crm;
mod records;
mod refusal;
mod schema;
mod tokens;
mod users;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use http::{HeaderName, Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value};

pub use self::{bridge::Notified, users::User};
use self::{
    records::Module,
    refusal::{Answer, Refusal},
    schema::{Field, Kind},
};
use crate::{Reply, Request, Sandbox, oauth::Grants};

/// The first id; Zoho's are of nineteen digits.
const FIRST_ID: u64 = 4_876_876_000_000_100_001;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How `DUPLICATE_DATA` names the record that has the value already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// `details.id`
    Id,
    /// `details.duplicate_record.id`
    Record,
    Nothing,
}

/// What one organisation, or one reading of the documentation, differs in from another.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long `/search` does not know of a record; COQL and ids know it at once.
    pub index_lag: Duration,
    /// API credits in a rolling day; none counted by default.
    pub credits: Option<usize>,
    /// The status when every record of a request is refused: 400, or 207 or 200 with the errors inside.
    pub refused: StatusCode,
    pub duplicate_names: Names,
    /// `POST /Calls/upsert` works. The page on upsert (v8) does not list Calls among the modules.
    pub calls_upsert: bool,
    /// The field of an outgoing call's status is called `Outbound_Call_Status`, not `Outgoing_Call_Status`; what is sent
    /// under the other name is ignored.
    pub outbound_name: bool,
    /// The type of a call, and the owner of one that is over, cannot be changed ("Kaizen 38 – Calls API").
    pub completed_is_fixed: bool,
    /// A wrong lookup is told as `id` with its path, not by the field's own name.
    pub lookups_by_path: bool,
    /// `OAUTH_SCOPE_MISMATCH` comes with this status.
    pub scope_status: StatusCode,
    /// Parts of the API that the consent does not cover: module names, `coql`, `users`, `phonebridge`.
    pub denied: BTreeSet<String>,
    /// The `api_domain` of the token answer; where the client came from by default.
    pub api_domain: Option<String>,
    /// The status of the token server's refusals; the reference says 200.
    pub token_refusals: StatusCode,
    /// PhoneBridge is switched on for the organisation.
    pub phonebridge: bool,
    /// PhoneBridge puts the error into `message` under a general `code`, as its pages' tables read.
    pub bridge_error_in_message: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            index_lag: Duration::from_secs(60),
            credits: None,
            refused: StatusCode::BAD_REQUEST,
            duplicate_names: Names::Id,
            calls_upsert: false,
            outbound_name: false,
            completed_is_fixed: true,
            lookups_by_path: false,
            scope_status: StatusCode::UNAUTHORIZED,
            denied: BTreeSet::new(),
            api_domain: None,
            token_refusals: StatusCode::OK,
            phonebridge: true,
            bridge_error_in_message: false,
        }
    }
}

/// One organisation.
#[derive(Clone, Debug)]
pub struct ZohoCrm {
    /// Open to tests and the demo, also between two requests.
    pub settings: Settings,
    /// The token server.
    pub grants: Grants,
    users: BTreeMap<u64, User>,
    modules: BTreeMap<&'static str, Module>,
    next_id: u64,
    spent: VecDeque<(Timestamp, usize)>,
    notified: Vec<Notified>,
    failing: u32,
}

impl ZohoCrm {
    /// An organisation set up as the connector's page asks: a client, a refresh token, the field `Exotel_CallSid` on
    /// Calls that takes no value twice, and one user.
    pub fn new(client_id: &str, client_secret: &str, refresh_token: &str) -> Self {
        let names = ["Leads", "Contacts", "Accounts", "Calls", "Tasks", "Events"];
        let module = |name| (name, Module::new(name, schema::fields_of(name, "Outgoing_Call_Status")));
        let mut org = Self {
            settings: Settings::default(),
            grants: Grants::new(client_id, client_secret, tokens::RULES).with_refresh_token(refresh_token),
            users: BTreeMap::new(),
            modules: names.map(module).into(),
            next_id: FIRST_ID,
            spent: VecDeque::new(),
            notified: Vec::new(),
            failing: 0,
        };
        org.add_user("Token Owner", "owner@example.com");
        org.define_field("Calls", "Exotel_CallSid", true);
        org
    }

    /// Adds a custom field for one line of text.
    pub fn define_field(&mut self, module: &str, name: &str, unique: bool) {
        if let Some(module) = self.modules.get_mut(module) {
            module.fields.retain(|field| field.name != name);
            module.fields.push(Field { unique, ..Field::new(name, Kind::Text(255)) });
        }
    }

    /// Takes a field away; what is sent for it is ignored from then on.
    pub fn drop_field(&mut self, module: &str, name: &str) {
        if let Some(module) = self.modules.get_mut(module) {
            module.fields.retain(|field| field.name != name);
        }
    }

    /// Makes a field mandatory, adding it where it is not there.
    pub fn require_field(&mut self, module: &str, name: &str) {
        if let Some(module) = self.modules.get_mut(module) {
            match module.fields.iter_mut().find(|field| field.name == name) {
                Some(field) => field.mandatory = true,
                None => module.fields.push(Field { mandatory: true, ..Field::new(name, Kind::Text(255)) }),
            }
        }
    }

    /// Adds a record that has been there for long. Nothing is checked: an old organisation holds such things too.
    pub fn add_record(&mut self, module: &str, values: Value) -> u64 {
        let id = self.new_id();
        if let (Some(module), Value::Object(values)) = (self.modules.get_mut(module), values) {
            module.insert(id, values, Timestamp::MIN);
        }
        id
    }

    /// What a record that is not deleted holds.
    pub fn record(&self, module: &str, id: u64) -> Option<&Map<String, Value>> {
        self.modules.get(module)?.record(id).map(|record| &record.values)
    }

    /// Ids of a module's records that are not deleted, oldest first.
    pub fn ids(&self, module: &str) -> Vec<u64> {
        self.modules.get(module).map(|module| module.living().map(|record| record.id).collect()).unwrap_or_default()
    }

    /// Deletes a record as a person would.
    pub fn delete_record(&mut self, module: &str, id: u64) {
        if let Some(module) = self.modules.get_mut(module) {
            module.delete(id);
        }
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Whether the consent covers a part of the API.
    fn allowed(&self, part: &str) -> Result<(), Refusal> {
        if !self.settings.denied.contains(part) {
            return Ok(());
        }
        let message = "invalid oauth scope to access this URL";
        Err(Refusal::new(self.settings.scope_status, "OAUTH_SCOPE_MISMATCH", message))
    }

    /// 401 without the header, and with a token that is not, or no longer, good.
    fn authorised(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        let Some(token) = request.bearer("Zoho-oauthtoken") else {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "AUTHENTICATION_FAILURE", "Authentication failed"));
        };
        if self.grants.knows(token, now) {
            Ok(())
        } else {
            Err(Refusal::new(StatusCode::UNAUTHORIZED, "INVALID_TOKEN", "invalid oauth token"))
        }
    }

    /// Books a request's credits: one, or one for each ten records written.
    fn book(&mut self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        let Some(credits) = self.settings.credits else { return Ok(()) };
        while self.spent.front().is_some_and(|(at, _)| *at + DAY <= now) {
            self.spent.pop_front();
        }
        if self.spent() >= credits {
            return Err(Refusal::of_status(StatusCode::TOO_MANY_REQUESTS));
        }
        let written = serde_json::from_slice::<Value>(&request.body).ok();
        let written = written.and_then(|body| Some(body.get("data")?.as_array()?.len())).unwrap_or(1);
        self.spent.push_back((now, written.div_ceil(10).max(1)));
        Ok(())
    }

    fn spent(&self) -> usize {
        self.spent.iter().map(|(_, cost)| cost).sum()
    }

    /// From half of the credits on, the reply says what is left.
    fn stamp(&self, reply: Reply) -> Reply {
        match self.settings.credits {
            Some(credits) if 2 * self.spent() >= credits => {
                let left = credits.saturating_sub(self.spent());
                reply.with(HeaderName::from_static("x-api-credits-remaining"), left.to_string())
            }
            _ => reply,
        }
    }

    fn route(&mut self, request: &Request, now: Timestamp) -> Answer {
        let segments = request.segments();
        let ["crm", "v8", rest @ ..] = segments.as_slice() else { return Err(Refusal::url()) };
        if rest.contains(&"") {
            return Err(Refusal::url());
        }
        match (&request.method, rest) {
            (&Method::POST, ["coql"]) => self.allowed("coql").and_then(|()| self.coql(request)),
            (&Method::GET, ["users", ..]) if rest.len() <= 2 => {
                self.allowed("users").and_then(|()| self.show_users(request, rest.get(1).copied()))
            }
            (&Method::GET, ["settings", "fields"]) => self.show_fields(request),
            (_, ["coql"] | ["users", ..] | ["settings", "fields"]) => Err(Refusal::method()),
            (method, [module, rest @ ..]) => {
                let known = *self.modules.get_key_value(*module).ok_or_else(|| Refusal::module(module))?.0;
                self.allowed(known)?;
                match (method, rest) {
                    (&Method::POST, []) => self.insert(known, request, now),
                    (&Method::POST, ["upsert"]) => self.upsert(known, request, now),
                    (&Method::GET, ["search"]) => self.search(known, request, now),
                    (&Method::GET, [id]) => self.show(known, id),
                    (&Method::PUT, [id]) => self.update(known, id, request, now),
                    (&Method::DELETE, [id]) => self.delete(known, id),
                    (_, [] | [_]) => Err(Refusal::method()),
                    _ => Err(Refusal::url()),
                }
            }
            _ => Err(Refusal::url()),
        }
    }
}

/// Which of the three services a path belongs to.
fn is(request: &Request, service: &str) -> bool {
    request.path.first().is_some_and(|first| first == service)
}

impl Sandbox for ZohoCrm {
    fn handle(&mut self, request: &Request, now: Timestamp) -> Reply {
        if is(request, "oauth") {
            return self.token(request, now);
        }
        if is(request, "phonebridge") {
            return self.bridge(request, now);
        }
        let answer = self
            .authorised(request, now)
            .and_then(|()| self.book(request, now))
            .and_then(|()| self.route(request, now));
        self.stamp(answer.unwrap_or_else(Refusal::into_reply))
    }

    /// Zoho says of no limit when it ends, so `retry_after_s` is nowhere in it.
    fn refuse(&self, request: &Request, status: StatusCode, _retry_after_s: Option<u64>) -> Reply {
        if is(request, "oauth") {
            return tokens::refusal(status);
        }
        let refusal = Refusal::of_status(status);
        if is(request, "phonebridge") {
            return self.bridge_refusal(status, refusal.code);
        }
        refusal.into_reply()
    }
}
