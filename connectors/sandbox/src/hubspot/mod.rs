//! A strict HubSpot: it keeps contacts, calls, tickets, tasks and owners, and refuses what HubSpot refuses.
//!
//! Facts are from `crm-api.md` §7 (a to f) unless a comment names another source; `[M]` marks, as there, what rests on
//! memory. Where HubSpot has more than is played here (companies, deals, lists, other filters), the sandbox refuses it:
//! better a refusal in a test than a silent yes. Query parameters that it does not know are ignored, as HubSpot does.

mod calling;
mod held;
mod limits;
mod model;
mod objects;
mod people;
mod refusal;
mod schema;
mod search;
mod token;

use std::{collections::BTreeMap, time::Duration};

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

pub use self::{
    calling::Told,
    limits::Limits,
    model::{Kind, Object},
    people::Owner,
};
use self::{
    limits::{Meter, is_search},
    model::{SEEDED_AT, Shelf},
    refusal::{Answer, Refusal},
    schema::{Property, Type, standard},
};
use crate::{Reply, Request, Sandbox, oauth::Grants};

/// The account's number.
pub const PORTAL: u64 = 20_502_880;

/// The dispositions every account begins with (`crm-api.md` §7.d).
const DISPOSITIONS: [(&str, &str); 6] = [
    ("9d9162e7-6cf3-4944-bf63-4dff82258764", "Busy"),
    ("f240bbac-87c9-4f6e-bf70-924b57d47db7", "Connected"),
    ("a4c4c377-d246-4b32-a13b-75a56a4cd0ff", "Left live message"),
    ("b2cf5968-551e-4856-9783-52b3da59a7d0", "Left voicemail"),
    ("73a0d17f-1163-4015-bdd5-ec830791da20", "No answer"),
    ("17b47fee-58de-441e-a44c-c6300d46f273", "Wrong number"),
];

/// What one account differs in from another, and where the facts leave a choice: then both can be had.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long search does not know of a change: seconds (§7.c).
    pub index_lag: Duration,
    pub limits: Limits,
    /// A 429 carries `Retry-After`; no public sample does.
    pub retry_after_header: bool,
    /// Search refuses a body without all of its five parts, as the spec has it; live it is said to be laxer.
    pub search_wants_all: bool,
    /// One bad input fails its whole batch with 400; else it is a 207 that names it.
    pub batch_fails_whole: bool,
    /// Associating with what is not there is 404; else 400.
    pub missing_associate_is_404: bool,
    /// An archived record keeps its unique values for itself.
    pub archived_keep_values: bool,
    /// The outcomes a call can have, by id.
    pub dispositions: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            index_lag: Duration::from_secs(10),
            limits: Limits::none(),
            retry_after_header: false,
            search_wants_all: true,
            batch_fails_whole: true,
            missing_associate_is_404: true,
            archived_keep_values: false,
            dispositions: DISPOSITIONS.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect(),
        }
    }
}

/// One HubSpot account, open to a private app's token and, if it was given, to an app with OAuth.
#[derive(Clone, Debug)]
pub struct HubSpot {
    /// Open to tests and the demo, also between two requests.
    pub settings: Settings,
    token: Option<String>,
    grants: Option<Grants>,
    /// Scopes that were taken away: paths that begin so are 403.
    closed: Vec<&'static str>,
    meter: Meter,
    owners: Vec<Owner>,
    schema: BTreeMap<Kind, BTreeMap<String, Property>>,
    shelves: BTreeMap<Kind, Shelf>,
    told: Vec<Told>,
    ready: Vec<String>,
    next_id: u64,
    fail_inside: u32,
}

impl HubSpot {
    /// An account with a private app of this access token. It has no owners and no custom properties yet.
    pub fn new(token: impl Into<String>) -> Self {
        Self {
            settings: Settings::default(),
            token: Some(token.into()),
            grants: None,
            closed: Vec::new(),
            meter: Meter::default(),
            owners: Vec::new(),
            schema: Kind::ALL.into_iter().map(|kind| (kind, standard(kind))).collect(),
            shelves: Kind::ALL.into_iter().map(|kind| (kind, Shelf::default())).collect(),
            told: Vec::new(),
            ready: Vec::new(),
            next_id: 40_000_000_001,
            fail_inside: 0,
        }
    }

    /// The same, set up as the connector's README asks for: `exotel_call_sid` on calls and tasks, `exotel_caller_id`
    /// on contacts, all with unique values.
    pub fn prepared(token: impl Into<String>) -> Self {
        let mut account = Self::new(token);
        account.define(Kind::Calls, "exotel_call_sid", true);
        account.define(Kind::Tasks, "exotel_call_sid", true);
        account.define(Kind::Contacts, "exotel_caller_id", true);
        account
    }

    /// Lets an app with OAuth in, by a refresh token that somebody got earlier.
    #[must_use]
    pub fn with_oauth(mut self, client_id: &str, client_secret: &str, refresh_token: &str) -> Self {
        self.grants = Some(Grants::new(client_id, client_secret, token::RULES).with_refresh_token(refresh_token));
        self
    }

    /// The token server's state, where there is an app with OAuth.
    pub fn grants(&mut self) -> Option<&mut Grants> {
        self.grants.as_mut()
    }

    /// Gives the private app a new token, or none.
    pub fn set_token(&mut self, token: Option<&str>) {
        self.token = token.map(str::to_owned);
    }

    /// Takes the scopes away that paths beginning like this need: `/crm/v3/owners`.
    pub fn close(&mut self, path: &'static str) {
        self.closed.push(path);
    }

    /// Defines a custom property of one line of text.
    pub fn define(&mut self, kind: Kind, name: &str, unique: bool) {
        let property = Property { kind: Type::Text, unique, required: false };
        self.schema.entry(kind).or_default().insert(name.to_owned(), property);
    }

    /// Makes a property required where an object is created.
    pub fn require(&mut self, kind: Kind, name: &str) {
        if let Some(property) = self.schema.get_mut(&kind).and_then(|schema| schema.get_mut(name)) {
            property.required = true;
        }
    }

    /// Adds an owner; his user id is another number than his owner id.
    pub fn add_owner(&mut self, name: &str, email: &str) -> Owner {
        let number = self.owners.len() as u64 + 1;
        let (first, last) = name.split_once(' ').unwrap_or((name, ""));
        let owner = Owner {
            id: (60_000_000 + number).to_string(),
            user_id: 9_000_000 + number,
            email: email.to_owned(),
            first_name: first.to_owned(),
            last_name: last.to_owned(),
            archived: false,
        };
        self.owners.push(owner.clone());
        owner
    }

    /// Archives an owner, as deactivating his user does: nothing can be given to him any more.
    pub fn archive_owner(&mut self, id: &str) -> bool {
        let owner = self.owners.iter_mut().find(|owner| owner.id == id);
        owner.map(|owner| owner.archived = true).is_some()
    }

    /// Adds an object that has been there for long, so that search knows it at once. Nothing is checked.
    pub fn add(&mut self, kind: Kind, values: &[(&str, &str)]) -> String {
        let properties = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.insert(kind, properties, SEEDED_AT, Timestamp::MIN)
    }

    /// Adds a contact's ticket in the support pipeline, as a person who makes one does.
    pub fn add_ticket(&mut self, contact: &str, subject: &str, stage: &str, now: Timestamp) -> String {
        let values = [("subject", subject), ("hs_pipeline", "0"), ("hs_pipeline_stage", stage)];
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let id = self.insert(Kind::Tickets, values, now, now);
        self.associate(Kind::Tickets, &id, Kind::Contacts, contact, now);
        id
    }

    /// Alters an object, as a person does in the browser.
    pub fn edit(&mut self, kind: Kind, id: &str, values: &[(&str, &str)], now: Timestamp) {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.write(kind, id, values, now);
    }

    /// Archives an object, as a person does who deletes it. `false` where there is none.
    pub fn remove(&mut self, kind: Kind, id: &str, now: Timestamp) -> bool {
        if self.shelf(kind).get(id).is_none_or(|object| object.archived) {
            return false;
        }
        let (unique, lag) = (self.unique(kind), self.settings.index_lag);
        self.shelf_mut(kind).change(id, now, lag, &unique, |object| object.archived = true);
        true
    }

    /// All objects of a kind in the order of creation, archived ones too.
    pub fn objects(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.shelf(kind).iter()
    }

    /// One object, archived or not.
    pub fn object(&self, kind: Kind, id: &str) -> Option<&Object> {
        self.shelf(kind).get(id)
    }

    /// The calls that were told with `inbound-call`.
    pub fn told(&self) -> &[Told] {
        &self.told
    }

    /// The calls, by id, whose recordings were said to be ready.
    pub fn ready(&self) -> &[String] {
        &self.ready
    }

    /// All owners, archived ones too.
    pub fn owners(&self) -> &[Owner] {
        &self.owners
    }

    fn shelf(&self, kind: Kind) -> &Shelf {
        &self.shelves[&kind]
    }

    fn shelf_mut(&mut self, kind: Kind) -> &mut Shelf {
        self.shelves.entry(kind).or_default()
    }

    fn route(&mut self, request: &Request, now: Timestamp) -> Answer {
        let path = format!("/{}", request.path.join("/"));
        if self.closed.iter().any(|closed| path.starts_with(closed)) {
            return Err(Refusal::scopes("crm.objects"));
        }
        let segments = request.segments();
        let nowhere = || Refusal::of_status(StatusCode::NOT_FOUND);
        let wrong_method = || Refusal::of_status(StatusCode::METHOD_NOT_ALLOWED);
        match (&request.method, segments.as_slice()) {
            (&Method::GET, ["account-info", "v3", "details"]) => Ok(account()),
            (&Method::GET, ["crm", "v3", "owners"]) => self.list_owners(request),
            (&Method::GET, ["crm", "v3", "owners", id]) => self.show_owner(id, request),
            (&Method::GET, ["calling", "v1", "dispositions"]) => Ok(self.list_dispositions()),
            (&Method::GET, ["crm", "v3", "properties", kind, name]) => self.show_property(kind, name),
            (&Method::POST, ["crm", "v3", "extensions", "calling", rest @ ..]) => {
                // A calling extension belongs to an app with OAuth; a private app cannot have one [M].
                if request.bearer("Bearer").is_some_and(|given| self.token.as_deref() == Some(given)) {
                    return Err(Refusal::scopes("crm.extensions_calling_transcripts.write"));
                }
                match rest {
                    ["inbound-call"] => self.inbound_call(request, now),
                    ["recordings", "ready"] => self.recording_ready(request),
                    _ => Err(nowhere()),
                }
            }
            (method, ["crm", "v3", "objects", kind, rest @ ..]) => {
                let kind =
                    Kind::of(kind).ok_or_else(|| Refusal::invalid("Unable to infer object type from the path"))?;
                match (method, rest) {
                    (&Method::POST, []) => self.create(kind, request, now),
                    (&Method::POST, ["search"]) => self.search(kind, request, now),
                    (&Method::POST, ["batch", "upsert"]) => self.upsert(kind, request, now),
                    (&Method::POST, ["batch", "read"]) => self.read_batch(kind, request, now),
                    (_, [] | ["search"] | ["batch", "read" | "upsert"]) => Err(wrong_method()),
                    (_, ["" | "batch", ..]) => Err(nowhere()),
                    (&Method::GET, [id]) => self.show(kind, id, request),
                    (&Method::PATCH, [id]) => self.update(kind, id, request, now),
                    (&Method::DELETE, [id]) => self.archive(kind, id, now),
                    (_, [_]) => Err(wrong_method()),
                    (&Method::PUT, [id, "associations", to, other, type_id]) => {
                        let to = Kind::of(to).ok_or_else(nowhere)?;
                        self.put_association((kind, id), (to, other), Some(type_id), now)
                    }
                    _ => Err(nowhere()),
                }
            }
            (method, ["crm", "v4", "objects", kind, id, "associations", rest @ ..]) => {
                let kind = Kind::of(kind).ok_or_else(nowhere)?;
                match (method, rest) {
                    (&Method::PUT, ["default", to, other]) => {
                        let to = Kind::of(to).ok_or_else(nowhere)?;
                        self.put_association((kind, id), (to, other), None, now)
                    }
                    (&Method::GET, [of]) => self.associations(kind, id, Kind::of(of).ok_or_else(nowhere)?),
                    _ => Err(wrong_method()),
                }
            }
            _ => Err(nowhere()),
        }
    }

    fn show_property(&self, kind: &str, name: &str) -> Answer {
        let schema = Kind::of(kind).and_then(|kind| self.schema.get(&kind));
        let property = schema.and_then(|schema| schema.get(name)).ok_or_else(|| {
            let message = format!("Property {name} does not exist");
            Refusal::new(StatusCode::NOT_FOUND, "OBJECT_NOT_FOUND", message).sub("Properties.PROPERTY_NOT_FOUND")
        })?;
        let shown = json!({"name": name, "label": name, "type": "string", "fieldType": "text",
            "hasUniqueValue": property.unique, "archived": false});
        Ok(Reply::json(StatusCode::OK, &shown))
    }

    fn list_dispositions(&self) -> Reply {
        let list: Vec<Value> = self
            .settings
            .dispositions
            .iter()
            .map(|(id, label)| json!({"id": id, "label": label, "deleted": false}))
            .collect();
        Reply::json(StatusCode::OK, &list)
    }
}

fn account() -> Reply {
    let details = json!({"portalId": PORTAL, "accountType": "STANDARD", "timeZone": "Asia/Kolkata",
        "companyCurrency": "INR", "utcOffset": "+05:30", "utcOffsetMilliseconds": 19_800_000,
        "uiDomain": "app.hubspot.com", "dataHostingLocation": "na1"});
    Reply::json(StatusCode::OK, &details)
}

impl Sandbox for HubSpot {
    fn handle(&mut self, request: &Request, now: Timestamp) -> Reply {
        // Tokens are given out beside the limits of the API.
        if let Some(reply) = self.token_request(request, now) {
            return reply;
        }
        if let Err(policy) = self.meter.book(&self.settings.limits, request, now) {
            return self.meter.refuse(&self.settings.limits, policy);
        }
        let answer = self.authorise(request, now).and_then(|()| self.route(request, now));
        self.meter.stamp(&self.settings.limits, answer.unwrap_or_else(Refusal::into_reply))
    }

    fn refuse(&self, request: &Request, status: StatusCode, retry_after_s: Option<u64>) -> Reply {
        match (status.as_u16(), retry_after_s) {
            (429, seconds) => {
                let policy = if is_search(request) { "SECONDLY" } else { "TEN_SECONDLY_ROLLING" };
                let reply = refusal::too_many(policy);
                match seconds.filter(|_| self.settings.retry_after_header) {
                    Some(seconds) => reply.with(http::header::RETRY_AFTER, seconds.to_string()),
                    None => reply,
                }
            }
            (477, seconds) => refusal::migrating(seconds.unwrap_or(3600)),
            _ => Refusal::of_status(status).into_reply(),
        }
    }
}
