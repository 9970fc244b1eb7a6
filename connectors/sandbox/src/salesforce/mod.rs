//! A strict Salesforce org (REST API): it keeps people, tasks and users, and refuses what Salesforce refuses.
//!
//! Facts are from `crm-api.md` §5 and the pages named at each place; `[M]` marks what rests on memory. Where an org has
//! more than is played here (other objects, references between the parts of a composite), the sandbox refuses it as an
//! unknown field, type or resource: better a refusal in a test than a silent yes.

mod composite;
mod crm;
mod ids;
mod query;
mod refusal;
mod rows;
mod schema;
mod search;
mod soql;
mod store;
mod token;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use http::{HeaderName, Method, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use self::{
    refusal::{Answer, Refusal},
    schema::Object,
    store::{Store, Values},
};
pub use self::{
    schema::{Field, Kind},
    store::Record,
};
use crate::{
    Reply, Request, Sandbox,
    oauth::{Grants, Rules},
};

/// A key pair for tests and demonstrations of the JWT flow, known to everybody: PKCS#8 in PEM.
pub const TEST_KEY: &str = include_str!("test_key.pem");
/// The user whom [`TEST_KEY`] stands for.
pub const TEST_USER: &str = "integration@example.com";

/// Versions of the API that are served.
const VERSIONS: std::ops::RangeInclusive<u32> = 50..=67;
/// When what was there from the beginning was made: 2024-01-01T00:00:00Z.
const SEEDED_AT: Timestamp = Timestamp::constant(1_704_067_200, 0);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A duplicate rule on the numbers of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateRule {
    /// The rule warns and lets `allowSave` pass; otherwise it blocks.
    pub only_warns: bool,
    /// Under which name the refusal tells the matches; the API spells it `duplicateResut` `[3P]`, its documentation
    /// `duplicateResult`. `None`: it does not tell.
    pub names_matches: Option<&'static str>,
}

/// What one org differs in from another, and what is not known for certain.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long search does not know of a change (seconds to minutes, §5.c).
    pub index_lag: Duration,
    /// Requests in 24 hours; `None` is unlimited (the header then tells a round number).
    pub daily: Option<u32>,
    /// Records on a page of a query.
    pub query_batch: usize,
    pub duplicate_rule: Option<DuplicateRule>,
    /// An upsert that changed a record answers 204 without a body, as it did before version 46.
    pub upsert_answers_204: bool,
    /// `TaskSubtype` can be changed after creation. "Object Reference, Task" says no.
    pub subtype_is_updatable: bool,
    /// A reference to a deleted record is refused as `INVALID_CROSS_REFERENCE_KEY` with its field; else as
    /// `ENTITY_IS_DELETED` without one. Both are seen `[3P]`.
    pub deleted_reference_names_field: bool,
    /// Audiences of a JWT, beside the sandbox's own address.
    pub audiences: BTreeSet<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            index_lag: Duration::from_secs(60),
            daily: None,
            query_batch: 2000,
            duplicate_rule: None,
            upsert_answers_204: false,
            subtype_is_updatable: false,
            deleted_reference_names_field: true,
            audiences: ["https://login.salesforce.com", "https://test.salesforce.com"].map(String::from).into(),
        }
    }
}

/// One org, with one connected app and its integration user.
#[derive(Clone, Debug)]
pub struct Salesforce {
    /// Open to tests and the demo, also between two requests.
    pub settings: Settings,
    /// The token server, open for its rules, consents and revocations.
    pub grants: Grants,
    client_id: String,
    username: String,
    /// Of the user's key; PKCS#1 in DER.
    certificate: Option<Vec<u8>>,
    integration_user: String,
    objects: Vec<Object>,
    validations: Vec<(String, String)>,
    store: Store,
    open_queries: BTreeMap<String, (Vec<Value>, usize)>,
    cursors: u64,
    used: u32,
    day_began: Option<Timestamp>,
    fails_inside: u32,
}

impl Salesforce {
    /// An org whose app has this id, secret and refresh token. It has the unique external id `Exotel_Call_Sid__c` on
    /// tasks, and no other custom field.
    pub fn new(client_id: &str, client_secret: &str, refresh_token: &str) -> Self {
        // Sessions end after two hours by default (§5.a).
        let rules = Rules { lifetime: Duration::from_secs(7200), rotates: false, at_most: None, living: None };
        let mut org = Self {
            settings: Settings::default(),
            grants: Grants::new(client_id, client_secret, rules).with_refresh_token(refresh_token),
            client_id: client_id.to_owned(),
            username: TEST_USER.to_owned(),
            certificate: None,
            integration_user: String::new(),
            objects: schema::standard(),
            validations: Vec::new(),
            store: Store::default(),
            open_queries: BTreeMap::new(),
            cursors: 0,
            used: 0,
            day_began: None,
            fails_inside: 0,
        };
        org.add("Organization", values(json!({"Name": "Acme Sandbox", "IsSandbox": false})), SEEDED_AT);
        org.integration_user = org.add_user("Integration User", TEST_USER);
        org.define_field("Task", "Exotel_Call_Sid__c", Field::external_id());
        org
    }

    /// The same with a search that is never behind: the org of a benchmark.
    pub fn instant(client_id: &str, client_secret: &str, refresh_token: &str) -> Self {
        let mut org = Self::new(client_id, client_secret, refresh_token);
        org.settings.index_lag = Duration::ZERO;
        org
    }

    /// Lets [`TEST_USER`] in by JWT, signed with [`TEST_KEY`].
    #[must_use]
    pub fn with_test_key(mut self) -> Self {
        let pem: String = TEST_KEY.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, pem).ok();
        let pair = der.and_then(|der| ring::rsa::KeyPair::from_pkcs8(&der).ok());
        self.certificate = pair.map(|pair| pair.public().as_ref().to_vec());
        self
    }

    /// Every custom field of the connector's set-up page: those of calls on tasks, and the callers' id on leads.
    #[must_use]
    pub fn with_set_up(mut self) -> Self {
        let line = || Field::of(Kind::Text(255));
        self.define_field("Task", "Recording_URL__c", Field::of(Kind::Url));
        self.define_field("Task", "Call_Duration__c", Field::of(Kind::Whole));
        for name in ["Call_Direction__c", "Call_Status__c", "From__c", "To__c", "Virtual_Number__c"] {
            self.define_field("Task", name, line());
        }
        for name in ["Start_Time__c", "End_Time__c"] {
            self.define_field("Task", name, Field::of(Kind::Moment));
        }
        for name in ["Leg1_Status__c", "Leg2_Status__c"] {
            self.define_field("Task", name, line());
        }
        self.define_field("Lead", "Exotel_Caller_Id__c", Field::external_id());
        self
    }

    /// Defines a custom field, or replaces a field's definition.
    pub fn define_field(&mut self, object: &str, name: &str, field: Field) {
        if let Some(object) = self.objects.iter_mut().find(|one| one.name == object) {
            object.fields.insert(name.to_owned(), field);
        }
    }

    /// Takes a field away, or from the sight of the integration's user (field-level security): both look the same.
    pub fn remove_field(&mut self, object: &str, name: &str) {
        if let Some(object) = self.objects.iter_mut().find(|one| one.name == object) {
            object.fields.remove(name);
        }
    }

    /// A validation rule: records with this field must have a value in it.
    pub fn demand(&mut self, field: &str, message: &str) {
        self.validations.push((field.to_owned(), message.to_owned()));
    }

    /// Adds a record that has been there for long, so that search knows it at once. Nothing is checked.
    ///
    /// # Panics
    /// When there is no such object, or `values` is no object.
    pub fn add_record(&mut self, object: &str, values: Value) -> String {
        let object = self.objects.iter().find(|one| one.name == object).expect("an object of the org").name;
        let mut values = self::values(values);
        if object == "Lead" {
            values.entry("IsConverted").or_insert_with(|| json!(false));
        }
        self.add(object, values, Timestamp::MIN)
    }

    /// Adds an active user.
    pub fn add_user(&mut self, name: &str, email: &str) -> String {
        let user = json!({"Name": name, "Username": email, "Email": email, "IsActive": true, "UserType": "Standard"});
        self.add("User", values(user), SEEDED_AT)
    }

    /// Adds a queue, which can own records and is nobody.
    pub fn add_queue(&mut self, name: &str) -> String {
        self.add("Group", values(json!({"Name": name, "Type": "Queue"})), SEEDED_AT)
    }

    /// Takes a user out of service.
    pub fn deactivate_user(&mut self, id: &str) {
        self.alter(id, SEEDED_AT, |user| {
            user.values.insert("IsActive".to_owned(), json!(false));
        });
    }

    /// Changes a value as a person would, without any check.
    pub fn set(&mut self, id: &str, field: &str, value: Value, now: Timestamp) {
        self.alter(id, now, |record| {
            record.values.insert(field.to_owned(), value);
        });
    }

    /// Puts a record into the recycle bin.
    pub fn delete(&mut self, id: &str, now: Timestamp) {
        self.alter(id, now, |record| record.deleted = true);
    }

    /// A record, also one in the recycle bin.
    pub fn record(&self, id: &str) -> Option<&Record> {
        self.store.get(id)
    }

    /// The records of an object that are not deleted, in order of creation.
    pub fn records_of<'a>(&'a self, object: &'a str) -> impl Iterator<Item = &'a Record> + 'a {
        self.store.of(object)
    }

    /// Who the requests come from, and who owns what nobody is given.
    pub fn integration_user(&self) -> &str {
        &self.integration_user
    }

    fn add(&mut self, object: &'static str, values: Values, since: Timestamp) -> String {
        let prefix = self.objects.iter().find(|one| one.name == object).map_or("000", |one| one.prefix);
        let id = ids::id(prefix, self.store.next_number(object));
        self.store.insert(object, &id, values, &self.keys(object), since);
        id
    }

    fn alter(&mut self, id: &str, now: Timestamp, change: impl FnOnce(&mut Record)) {
        let Some(object) = self.store.get(id).map(|record| record.object) else { return };
        self.store.change(id, &self.keys(object), now, self.settings.index_lag, change);
    }

    /// The external id fields of an object.
    fn keys(&self, object: &str) -> Vec<String> {
        let object = self.objects.iter().find(|one| one.name == object);
        let fields = object.into_iter().flat_map(|object| &object.fields);
        fields.filter(|(_, field)| field.external_id).map(|(name, _)| name.clone()).collect()
    }

    /// What a request with a session comes to. Also for the parts of a composite.
    fn route(&mut self, request: &Request, now: Timestamp) -> Answer {
        let segments = request.segments();
        let ["services", "data", version, rest @ ..] = segments.as_slice() else {
            return Err(Refusal::not_found());
        };
        let number = version.strip_prefix('v').and_then(|number| number.strip_suffix(".0")?.parse().ok());
        if !number.is_some_and(|number| VERSIONS.contains(&number)) || rest.iter().any(|segment| segment.is_empty()) {
            return Err(Refusal::not_found());
        }
        let method = &request.method;
        if self.fails_inside > 0 && (*method == Method::POST || *method == Method::PATCH) && rest[0] == "sobjects" {
            self.fails_inside -= 1;
            let error = json!({"statusCode": "UNABLE_TO_LOCK_ROW", "fields": [],
                               "message": "unable to obtain exclusive access to this record"});
            return Ok(Reply::json(StatusCode::OK, &json!({"id": null, "success": false, "errors": [error]})));
        }
        match (method, rest) {
            (&Method::GET, ["query"]) => self.query(request),
            (&Method::GET, ["query", cursor]) => self.query_more(cursor, request),
            (&Method::GET, ["search"]) => self.search(request, now),
            (&Method::POST, ["composite"]) => self.composite(request, now),
            (&Method::POST, ["sobjects", object]) => self.create(object, request, now),
            (&Method::GET, ["sobjects", object, "describe"]) => self.describe(object),
            (_, ["sobjects", object, id]) => self.row(object, id, request, now),
            (_, ["sobjects", object, field, value]) => self.keyed([object, field, value], request, now),
            (_, ["query" | "search" | "composite"] | ["query" | "sobjects", _]) => Err(Refusal::method(method)),
            _ => Err(Refusal::not_found()),
        }
    }

    /// Books a request, or says that the day's are used up.
    fn book(&mut self, now: Timestamp) -> Result<(), Refusal> {
        let began = *self.day_began.get_or_insert(now);
        if began + DAY <= now {
            (self.day_began, self.used) = (Some(now), 0);
        }
        if self.settings.daily.is_some_and(|most| self.used >= most) {
            let message = "TotalRequests Limit exceeded.";
            return Err(Refusal::new(StatusCode::FORBIDDEN, "REQUEST_LIMIT_EXCEEDED", message));
        }
        self.used += 1;
        Ok(())
    }

    fn authorised(&self, request: &Request, now: Timestamp) -> bool {
        request.bearer("Bearer").is_some_and(|token| self.grants.knows(token, now))
    }
}

fn values(value: Value) -> Values {
    match value {
        Value::Object(values) => values,
        other => panic!("no object: {other}"),
    }
}

impl Sandbox for Salesforce {
    fn handle(&mut self, request: &Request, now: Timestamp) -> Reply {
        match request.segments().as_slice() {
            ["services", "oauth2", "token"] => return self.token(request, now),
            ["services", "oauth2", "authorize"] => return self.consent(request, now),
            // The list of versions is open to everybody.
            ["services", "data"] | ["services", "data", ""] => {
                let versions = VERSIONS.map(|version| {
                    json!({"label": version.to_string(), "url": format!("/services/data/v{version}.0"),
                           "version": format!("{version}.0")})
                });
                return Reply::json(StatusCode::OK, &versions.collect::<Vec<_>>());
            }
            _ => {}
        }
        if !self.authorised(request, now) {
            return Refusal::session().into_reply();
        }
        if request.segments() == ["services", "oauth2", "userinfo"] {
            return self.userinfo(now);
        }
        let answer = self.book(now).and_then(|()| self.route(request, now));
        let usage = format!("api-usage={}/{}", self.used, self.settings.daily.unwrap_or(100_000));
        answer.unwrap_or_else(Refusal::into_reply).with(HeaderName::from_static("sforce-limit-info"), usage)
    }

    fn refuse(&self, request: &Request, status: StatusCode, retry_after_s: Option<u64>) -> Reply {
        if request.segments() == ["services", "oauth2", "token"] && status.is_client_error() {
            return Reply::json(
                StatusCode::BAD_REQUEST,
                &json!({"error": "invalid_grant", "error_description": "expired access/refresh token"}),
            );
        }
        let reply = Refusal::of_status(status).into_reply();
        match retry_after_s {
            // A 503 may come from the load balancer, which knows the header; the API itself never says when.
            Some(seconds) if status.is_server_error() => reply.with(header::RETRY_AFTER, seconds.to_string()),
            _ => reply,
        }
    }
}
