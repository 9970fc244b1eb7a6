//! The JSON API under `/api/v1`: what happened to a call, what waits, sending again, hook tokens.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
    web::{Bytes, Data, Path},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use patchbay_kit::Outcome;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    auth::{Endpoint, delete, get, post},
    openapi::{Failed, ProblemShown, Wrong},
    recording, timeline,
};
use crate::{
    access::{GateError, Role},
    accounts::AccountsError,
    app::Services,
    codes::Code,
    config::{Account, Problem},
    delivery::LaneHandle,
    directory::DirectoryError,
    exotel::ExotelError,
    hooks,
    store::{CallFilter, CallRef, CallSummary, DeliveryFilter, DeliveryState, HookToken, StoreError},
};

/// What a person means by "again": what is wanted and did not get there.
const NOT_THERE: [DeliveryState; 3] = [DeliveryState::Held, DeliveryState::Dead, DeliveryState::Pending];
/// Characters of a set-aside receipt's body that are shown.
const BODY_SHOWN: usize = 4000;
/// The most rows of one page.
const PAGE: u32 = 200;
/// How long a link to a recording from the API works.
const LINK: Duration = Duration::from_secs(15 * 60);
/// How long a rotated hook token goes on working, so that flows can be changed one by one.
const OVERLAP: Duration = Duration::from_secs(7 * 86_400);

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/v1/accounts/{sid}/calls", Role::Agent, |route| route.to(calls))
        .says("list_calls", "Calls, the one last seen first")
        .query::<CallsQuery>()
        .gives::<CallsShown>(200),
    get("/api/v1/accounts/{sid}/calls/{call_sid}", Role::Agent, |route| route.to(call))
        .says("get_call", "A call with its timeline: each event, decision, request to a CRM and answer")
        .gives::<timeline::CallShown>(200),
    post("/api/v1/accounts/{sid}/calls/{call_sid}/resync", Role::Admin, |route| route.to(resync))
        .noted()
        .says("resync_call", "Plans a call anew and sends what did not get there")
        .body::<Resync>()
        .gives::<Sent>(202),
    get("/api/v1/accounts/{sid}/calls/{call_sid}/recording", Role::Agent, |route| route.to(recording_link))
        .says("get_recording", "A short-lived link to a call's recording")
        .gives::<RecordingLink>(200),
    get("/api/v1/accounts/{sid}/deliveries", Role::Admin, |route| route.to(deliveries))
        .says("list_deliveries", "What is to be written into CRMs and how it stands, the newest first")
        .query::<DeliveriesQuery>()
        .gives::<DeliveriesShown>(200),
    post("/api/v1/accounts/{sid}/deliveries/retry", Role::Admin, |route| route.to(retry))
        .noted()
        .says("retry_deliveries", "Sends again what is held, dead or waiting")
        .body::<Retry>()
        .gives::<Sent>(202),
    get("/api/v1/accounts/{sid}/receipts", Role::Admin, |route| route.to(set_aside))
        .says("list_receipts", "Callbacks that could not be read, and why")
        .query::<ReceiptsQuery>()
        .gives::<ReceiptsShown>(200),
    post("/api/v1/accounts/{sid}/receipts/replay", Role::Admin, |route| route.to(replay))
        .noted()
        .says("replay_receipts", "Reads again what could not be read")
        .gives::<Replayed>(202),
    get("/api/v1/accounts/{sid}/hooks", Role::Admin, |route| route.to(list_hooks))
        .says("list_hooks", "The URLs to paste into flows, and the tokens there are")
        .gives::<HooksShown>(200),
    post("/api/v1/accounts/{sid}/hooks", Role::Admin, |route| route.to(make_hook))
        .noted()
        .says("make_hook", "Makes a hook token; it is shown this once")
        .body::<NewHook>()
        .gives::<HookMade>(201),
    post("/api/v1/accounts/{sid}/hooks/{id}/rotate", Role::Admin, |route| route.to(rotate_hook))
        .noted()
        .says("rotate_hook", "Makes a token's successor; the old one goes on working for seven days")
        .gives::<HookMade>(201),
    delete("/api/v1/accounts/{sid}/hooks/{id}", Role::Admin, |route| route.to(delete_hook))
        .noted()
        .says("delete_hook", "Ends a hook token at once")
        .gives_nothing(),
];

/// What can be wrong with a request to the API: code, status, words. What each code means stands in `codes.rs`.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{0}")]
    BadRequest(String),
    #[error("you are not signed in: sign in, or give a token as `Authorization: Bearer …`")]
    Unauthorized,
    /// What was given to come in with is wrong.
    #[error("{0}")]
    SignIn(String),
    #[error("{0}")]
    Forbidden(String),
    #[error("the API is closed: set server.admin_token")]
    Closed,
    #[error("{0}")]
    NotFound(String),
    /// Settings that cannot be, each with what would be right.
    #[error("{}", told(.0))]
    Invalid(Vec<Problem>),
    /// Secrets that were tried in vain.
    #[error("{0}")]
    NotVerified(String),
    /// It is not as whoever asks believes it to be.
    #[error("{0}")]
    Conflict(String),
    #[error("at most {0} bytes")]
    TooLarge(usize),
    #[error("too many attempts: try again in {} s", .0.as_secs() + 1)]
    TooMany(Duration),
    /// So many are open already: of his own, or of all.
    #[error("{0}")]
    Crowded(String),
    #[error("{0}")]
    Full(String),
    /// A CRM, or Exotel, does not answer as it should.
    #[error("{0}")]
    Upstream(String),
    /// What was asked of Exotel, and why it did not do or say it.
    #[error("{0}: {1}; {cure}", cure = .1.cure())]
    Exotel(&'static str, ExotelError),
    #[error("{}", of_store(.0))]
    Store(#[from] StoreError),
}

/// What the caller should know of it: what is his to mend; of the rest, that it is ours.
fn of_store(error: &StoreError) -> String {
    match error {
        StoreError::BadCursor => "before: give the `next` of the page before, as it was answered".to_owned(),
        _ => "the store does not answer now; nothing is lost, try again in a minute".to_owned(),
    }
}

fn told(problems: &[Problem]) -> String {
    AccountsError::Invalid(problems.to_vec()).to_string()
}

impl ApiError {
    fn parts(&self) -> (StatusCode, Code) {
        match self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, Code::BadRequest),
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, Code::Invalid),
            Self::NotVerified(_) => (StatusCode::UNPROCESSABLE_ENTITY, Code::NotVerified),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, Code::Unauthorized),
            Self::SignIn(_) => (StatusCode::UNAUTHORIZED, Code::WrongCredentials),
            Self::Closed => (StatusCode::FORBIDDEN, Code::ApiClosed),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, Code::Forbidden),
            Self::Conflict(_) => (StatusCode::CONFLICT, Code::Conflict),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge),
            Self::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, Code::TooMany),
            Self::Crowded(_) => (StatusCode::TOO_MANY_REQUESTS, Code::TooManyStreams),
            Self::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, Code::TooManyStreams),
            Self::Upstream(_) => (StatusCode::BAD_GATEWAY, Code::Upstream),
            Self::Exotel(_, ExotelError::Busy { .. }) => (StatusCode::TOO_MANY_REQUESTS, Code::ExotelBusy),
            Self::Exotel(_, ExotelError::NotFound { .. }) => (StatusCode::NOT_FOUND, Code::UnknownToExotel),
            Self::Exotel(_, ExotelError::Refused { .. }) => (StatusCode::UNPROCESSABLE_ENTITY, Code::Refused),
            Self::Exotel(_, ExotelError::Unknown { .. }) => (StatusCode::BAD_GATEWAY, Code::Unknown),
            Self::Exotel(..) => (StatusCode::BAD_GATEWAY, Code::Upstream),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, Code::NotFound),
            Self::Store(StoreError::BadCursor) => (StatusCode::BAD_REQUEST, Code::BadRequest),
            Self::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, Code::StoreUnavailable),
        }
    }

    pub(super) fn answer(&self) -> HttpResponse {
        let (status, code) = self.parts();
        if let (Self::Store(error), StatusCode::SERVICE_UNAVAILABLE) = (self, status) {
            tracing::error!(
                code = %Code::StoreUnavailable, %error,
                "the store does not answer the API; the request was answered 503"
            );
        }
        debug_assert!(code.row().statuses.contains(&status.as_u16()), "{code} is not answered {status}");
        let mut answer = HttpResponseBuilder::new(status);
        if status == StatusCode::UNAUTHORIZED {
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if let Self::TooMany(wait) | Self::Exotel(_, ExotelError::Busy { retry_after: wait }) = self {
            answer.insert_header((header::RETRY_AFTER, (wait.as_secs() + 1).to_string()));
        }
        if matches!(self, Self::Crowded(_) | Self::Full(_)) {
            answer.insert_header((header::RETRY_AFTER, "15"));
        }
        let problems = match self {
            Self::Invalid(problems) => Some(problems.iter().map(ProblemShown::of).collect()),
            _ => None,
        };
        answer.json(Failed { error: Wrong { problems, ..Wrong::new(code, self.to_string()) } })
    }
}

impl actix_web::ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.parts().0
    }

    fn error_response(&self) -> HttpResponse {
        self.answer()
    }
}

pub(super) type Answer = Result<HttpResponse, ApiError>;

impl From<DirectoryError> for ApiError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Unknown(_) => Self::NotFound(error.to_string()),
            DirectoryError::Invalid(_) => Self::BadRequest(error.to_string()),
            DirectoryError::ReadOnly(_) | DirectoryError::Changed(_) | DirectoryError::InUse(_) => {
                Self::Conflict(error.to_string())
            }
            DirectoryError::Store(error) => Self::Store(error),
        }
    }
}

impl From<AccountsError> for ApiError {
    fn from(error: AccountsError) -> Self {
        match error {
            AccountsError::Unknown(_) => Self::NotFound(error.to_string()),
            AccountsError::Invalid(problems) => Self::Invalid(problems),
            AccountsError::ReadOnly(_) | AccountsError::Exists(_) | AccountsError::Changed => {
                Self::Conflict(error.to_string())
            }
            AccountsError::NotVerified(_) => Self::NotVerified(error.to_string()),
            AccountsError::Store(error) => Self::Store(error),
        }
    }
}

impl From<GateError> for ApiError {
    fn from(error: GateError) -> Self {
        match error {
            GateError::WrongPassword | GateError::WrongToken => Self::SignIn(error.to_string()),
            GateError::TooMany(wait) => Self::TooMany(wait),
            GateError::Unknown(_) => Self::NotFound(error.to_string()),
            GateError::Invalid(..) => Self::BadRequest(error.to_string()),
            GateError::Changed | GateError::Taken => Self::Conflict(error.to_string()),
            GateError::Forbidden(_) => Self::Forbidden(error.to_string()),
            GateError::NotNow(reason) => Self::Store(StoreError::Unwritable(reason)),
            GateError::Store(error) => Self::Store(error),
        }
    }
}

pub(super) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, ApiError> {
    serde_html_form::from_str(request.query_string()).map_err(|error| ApiError::BadRequest(format!("query: {error}")))
}

/// An empty body is an empty object.
pub(super) fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, ApiError> {
    let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| ApiError::BadRequest(format!("body: {error}")))
}

/// What may be said of a removal: the version that was read, if another shall not be removed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Removal {
    pub(super) version: Option<i64>,
}

pub(super) fn limit(asked: Option<u32>) -> u32 {
    asked.unwrap_or(50).clamp(1, PAGE)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CallsQuery {
    /// answered, voicemail, missed or flow_ended.
    #[schemars(with = "Option<String>")]
    outcome: Option<Outcome>,
    /// Customer or ExoPhone, in any writing; compared from the end.
    number: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// The `next` of the page before.
    before: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
struct CallsShown {
    calls: Vec<CallSummary>,
    /// `before` of the next page, if there is one.
    next: Option<String>,
}

async fn calls(request: HttpRequest, services: Data<Services>, sid: Path<String>) -> Answer {
    let asked: CallsQuery = query(&request)?;
    let digits = asked.number.map(|text| {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        // Exotel writes 0 and the national number, people write the country code: the last ten digits are common.
        digits[digits.len().saturating_sub(10)..].trim_start_matches('0').to_owned()
    });
    let filter = CallFilter {
        outcome: asked.outcome,
        number: digits,
        since: asked.since,
        until: asked.until,
        before: asked.before,
        limit: limit(asked.limit),
    };
    let page = services.store.list_calls(&sid, &filter).await?;
    Ok(HttpResponse::Ok().json(CallsShown { calls: page.items, next: page.next }))
}

async fn call(services: Data<Services>, path: Path<(String, String)>) -> Answer {
    let (account, call_sid) = path.into_inner();
    let file = services.store.call_file(&CallRef { account, call_sid }).await?;
    let file = file.ok_or_else(|| ApiError::NotFound("there is no call of this CallSid: see …/calls".to_owned()))?;
    Ok(HttpResponse::Ok().json(timeline::call(&file)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resync {
    /// Only this integration; all without it.
    integration: Option<String>,
    /// Look for the CRM's records of this call anew: those that are there are written whole, those that are gone (a
    /// ticket deleted by hand) are made again.
    #[serde(default)]
    rewrite: bool,
}

/// Ids of deliveries that are tried again now.
#[derive(Serialize, JsonSchema)]
struct Sent {
    deliveries: Vec<Uuid>,
}

async fn resync(services: Data<Services>, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    let (account, call_sid) = path.into_inner();
    let asked: Resync = body(&bytes)?;
    let call = CallRef { account: account.clone(), call_sid: call_sid.clone() };
    if asked.rewrite {
        services.store.forget_links(&call, asked.integration.as_deref()).await?;
    }
    if !services.decider.replan(&call).await? {
        return Err(ApiError::NotFound("there is no call of this CallSid: see …/calls".to_owned()));
    }
    let mut states = NOT_THERE.to_vec();
    if asked.rewrite {
        states.push(DeliveryState::Done);
    }
    let filter =
        DeliveryFilter { integration: asked.integration, call_sid: Some(call_sid), states, ..Default::default() };
    let sent = services.store.redrive(&account, &filter, asked.rewrite, Timestamp::now()).await?;
    wake(&services, &account);
    Ok(HttpResponse::Accepted().json(Sent { deliveries: sent }))
}

fn wake(services: &Services, account: &str) {
    services.lanes_of(account).iter().for_each(LaneHandle::wake);
}

#[derive(Serialize, JsonSchema)]
struct RecordingLink {
    url: String,
    expires_at: Timestamp,
}

async fn recording_link(services: Data<Services>, path: Path<(String, String)>) -> Answer {
    let (account, call_sid) = path.into_inner();
    let file = services.store.call_file(&CallRef { account: account.clone(), call_sid: call_sid.clone() }).await?;
    match file.map(|file| file.state.recording_url.is_some()) {
        Some(true) => {}
        Some(false) => {
            let message = "Exotel has not given out a recording of this call; it does some minutes after its end, if the \
                           flow records";
            return Err(ApiError::NotFound(message.to_owned()));
        }
        None => return Err(ApiError::NotFound("there is no call of this CallSid: see …/calls".to_owned())),
    }
    let expires_at = Timestamp::now() + LINK;
    let url = recording::link(services.public_url(), &services.key, &account, &call_sid, Some(expires_at));
    Ok(HttpResponse::Ok().json(RecordingLink { url, expires_at }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeliveriesQuery {
    /// One or several: `state=held&state=dead`, or `state=held,dead`.
    #[serde(default)]
    state: Vec<String>,
    integration: Option<String>,
    call_sid: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
struct DeliveriesShown {
    deliveries: Vec<timeline::DeliveryShown>,
    next: Option<String>,
}

fn states(names: &[String]) -> Result<Vec<DeliveryState>, ApiError> {
    let names = names.iter().flat_map(|name| name.split(',')).map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| {
            DeliveryState::parse(name).ok_or_else(|| {
                let known = DeliveryState::ALL.map(DeliveryState::as_str).join(", ");
                ApiError::BadRequest(format!("there is no state {name:?}; there are: {known}"))
            })
        })
        .collect()
}

async fn deliveries(request: HttpRequest, services: Data<Services>, sid: Path<String>) -> Answer {
    let asked: DeliveriesQuery = query(&request)?;
    let filter = DeliveryFilter {
        ids: Vec::new(),
        states: states(&asked.state)?,
        integration: asked.integration,
        call_sid: asked.call_sid,
        before: asked.before,
        limit: limit(asked.limit),
    };
    let page = services.store.list_deliveries(&sid, &filter).await?;
    let deliveries = page.items.iter().map(timeline::delivery).collect();
    Ok(HttpResponse::Ok().json(DeliveriesShown { deliveries, next: page.next }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Retry {
    #[serde(default)]
    ids: Vec<Uuid>,
    /// Also as `state`, and as a single word.
    #[serde(default, alias = "state", deserialize_with = "one_or_many")]
    states: Vec<String>,
    integration: Option<String>,
    call_sid: Option<String>,
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

async fn retry(services: Data<Services>, sid: Path<String>, bytes: Bytes) -> Answer {
    let asked: Retry = body(&bytes)?;
    let mut states = states(&asked.states)?;
    if states.is_empty() && asked.ids.is_empty() && asked.call_sid.is_none() && asked.integration.is_none() {
        return Err(ApiError::BadRequest("say which: ids, states (held, dead, …), integration or call_sid".to_owned()));
    }
    if states.is_empty() && asked.ids.is_empty() {
        states = NOT_THERE.to_vec();
    }
    let filter = DeliveryFilter {
        ids: asked.ids,
        states,
        integration: asked.integration,
        call_sid: asked.call_sid,
        before: None,
        limit: 0,
    };
    let sent = services.store.redrive(&sid, &filter, false, Timestamp::now()).await?;
    services.lanes_of(&sid).iter().for_each(LaneHandle::probe_now);
    Ok(HttpResponse::Accepted().json(Sent { deliveries: sent }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReceiptsQuery {
    limit: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
struct ReceiptsShown {
    receipts: Vec<ReceiptShown>,
}

#[derive(Serialize, JsonSchema)]
struct ReceiptShown {
    id: Uuid,
    hook: &'static str,
    received_at: Timestamp,
    error: String,
    method: String,
    path: String,
    query: String,
    content_type: Option<String>,
    /// Its first 4 000 characters.
    body: String,
}

/// Callbacks that were answered 200 and could not be read: what came, and why.
async fn set_aside(request: HttpRequest, services: Data<Services>, sid: Path<String>) -> Answer {
    let asked: ReceiptsQuery = query(&request)?;
    let found = services.store.set_aside(&sid, limit(asked.limit) as usize).await?;
    let receipts = found
        .into_iter()
        .map(|(receipt, aside)| ReceiptShown {
            id: receipt.id,
            hook: receipt.hook.as_str(),
            received_at: receipt.received_at,
            error: aside.error,
            body: String::from_utf8_lossy(&receipt.body).chars().take(BODY_SHOWN).collect(),
            method: receipt.method,
            path: receipt.path,
            query: receipt.query,
            content_type: receipt.content_type,
        })
        .collect();
    Ok(HttpResponse::Ok().json(ReceiptsShown { receipts }))
}

/// How many are read again.
#[derive(Serialize, JsonSchema)]
struct Replayed {
    receipts: u64,
}

async fn replay(services: Data<Services>, sid: Path<String>) -> Answer {
    let receipts = services.store.replay_set_aside(&sid).await?;
    services.journal.notify_one();
    Ok(HttpResponse::Accepted().json(Replayed { receipts }))
}

#[derive(Serialize, JsonSchema)]
struct HooksShown {
    /// The canonical ones, with the place of the account's Exotel API key and token.
    urls: Vec<AppletUrl>,
    /// Those of Exotel's own connectors, for the account's CRMs.
    families: Vec<hooks::FamilyUrl>,
    tokens: Vec<HookToken>,
    /// What a token may be made for.
    scopes: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct AppletUrl {
    /// Where in a flow it is pasted.
    applet: &'static str,
    url: String,
}

async fn list_hooks(services: Data<Services>, sid: Path<String>) -> Answer {
    let tokens = services.store.hook_tokens(&sid).await?;
    let base = basic_base(services.public_url(), &sid);
    let families = families(&services, &sid, "<hook_token>");
    Ok(HttpResponse::Ok().json(HooksShown { urls: urls(&base), families, tokens, scopes: hooks::scopes() }))
}

/// Hook URLs with the place for the account's key and token, as in Exotel's own connectors.
fn basic_base(public_url: &str, sid: &str) -> String {
    let (scheme, rest) = public_url.split_once("://").unwrap_or(("https", public_url));
    format!("{scheme}://<exotel_api_key>:<exotel_api_token>@{rest}/v2/accounts/{sid}")
}

fn urls(base: &str) -> Vec<AppletUrl> {
    hooks::sample_urls(base).into_iter().map(|(applet, url)| AppletUrl { applet, url }).collect()
}

/// The URLs of Exotel's own connectors, for those that fit this account.
fn families(services: &Services, sid: &str, token: &str) -> Vec<hooks::FamilyUrl> {
    let account = services.account(sid);
    let of = |account: &Account| hooks::families(account, services.public_url(), token, Some(&services.key));
    let mut urls = account.as_deref().map(of).unwrap_or_default();
    // Of the file's bots it knows itself.
    let kept_here =
        account.is_some_and(|account| account.bots.is_empty()) && services.bots.of(sid).all().next().is_some();
    if kept_here {
        urls.extend(hooks::voicebot_urls(services.public_url(), token));
    }
    urls
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewHook {
    #[serde(default)]
    label: String,
    /// A family of hooks, or the applet it is for; without one the token opens all of them.
    scope: Option<String>,
}

/// A new hook token. It is kept as a hash only: this is the one time that it is shown.
#[derive(Serialize, JsonSchema)]
struct HookMade {
    id: Uuid,
    label: String,
    scope: Option<String>,
    created_at: Timestamp,
    token: String,
    urls: Vec<AppletUrl>,
    families: Vec<hooks::FamilyUrl>,
    /// `null`: its scope does not open it.
    status_callback: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<Replaced>,
}

#[derive(Serialize, JsonSchema)]
struct Replaced {
    id: Uuid,
    /// It opens the hooks until then.
    expires_at: Timestamp,
}

async fn make_hook(services: Data<Services>, sid: Path<String>, bytes: Bytes) -> Answer {
    let asked: NewHook = body(&bytes)?;
    if asked.label.chars().count() > 100 {
        return Err(ApiError::BadRequest("label: at most 100 characters".to_owned()));
    }
    let known = hooks::scopes();
    if let Some(other) = asked.scope.as_ref().filter(|scope| !known.contains(scope)) {
        let known = known.join(", ");
        return Err(ApiError::BadRequest(format!("scope: there is none of the name {other:?}; there are: {known}")));
    }
    Ok(HttpResponse::Created().json(new_token(&services, &sid, asked.label, asked.scope).await?))
}

/// Makes a token; this is the only time it is shown.
async fn new_token(services: &Services, sid: &str, label: String, scope: Option<String>) -> Result<HookMade, ApiError> {
    let token = random_token();
    let made = HookToken {
        id: Uuid::now_v7(),
        account: sid.to_owned(),
        label,
        scope,
        created_at: Timestamp::now(),
        expires_at: None,
    };
    services.store.insert_hook_token(&made, hooks::hash_token(&token)).await?;
    services.reload_doors().await?;
    let base = format!("{}/h/{token}", services.public_url());
    // Without a scope, also those that open by something else than the token.
    let opened = |url: &str| made.scope.is_none() || hooks::opens(url, &token, sid, made.scope.as_deref());
    let mut urls = urls(&base);
    urls.retain(|one| opened(&one.url));
    let mut families = families(services, sid, &token);
    families.retain(|one| opened(&one.url));
    let status_callback = Some(format!("{base}/status")).filter(|url| opened(url));
    Ok(HookMade {
        id: made.id,
        label: made.label,
        scope: made.scope,
        created_at: made.created_at,
        urls,
        families,
        status_callback,
        token,
        replaces: None,
    })
}

fn random_token() -> String {
    // Two random UUIDs hold 244 bits of the system's randomness.
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    bytes[16..].copy_from_slice(Uuid::new_v4().as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

async fn rotate_hook(services: Data<Services>, path: Path<(String, Uuid)>) -> Answer {
    let (sid, id) = path.into_inner();
    let tokens = services.store.hook_tokens(&sid).await?;
    let old = tokens.into_iter().find(|token| token.id == id && token.expires_at.is_none());
    let old = old.ok_or_else(|| ApiError::NotFound("there is no such token, or it was rotated before".to_owned()))?;
    let expires_at = Timestamp::now() + OVERLAP;
    services.store.expire_hook_token(&sid, id, expires_at).await?;
    let mut made = new_token(&services, &sid, old.label, old.scope).await?;
    made.replaces = Some(Replaced { id, expires_at });
    Ok(HttpResponse::Created().json(made))
}

async fn delete_hook(services: Data<Services>, path: Path<(String, Uuid)>) -> Answer {
    let (sid, id) = path.into_inner();
    if !services.store.expire_hook_token(&sid, id, Timestamp::now()).await? {
        return Err(ApiError::NotFound("there is no such token".to_owned()));
    }
    services.reload_doors().await?;
    Ok(HttpResponse::NoContent().finish())
}
