//! Who may call what: every endpoint of the API stands in a table with the role it wants. Each is mounted behind a
//! guard that lets nobody else through; there is no other way into `/api`.
//!
//! # Who may call what
//!
//! Every endpoint stands in a table with the role it wants and is mounted behind a guard (`web/auth.rs`); nothing else
//! is mounted under `/api`, and a test walks all of them with all roles. Sessions and API tokens are looked up with
//! every request, so that what is revoked is of no use at once; an account that is not the caller's looks as one that
//! does not exist. Changes that are no documents are noted in the log before they are carried out, and again when they
//! have ended: the second entry may be lost with the process, the first is there before anything is done. The role
//! `agent` is a person: the agent of the user mapping who has his e-mail, also behind a token that he made.

use std::{net::IpAddr, sync::Arc};

use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest, Route,
    body::BoxBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{Method, StatusCode, header},
    middleware::{Next, from_fn},
    web::{self, Data, ServiceConfig},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    api::ApiError,
    openapi::{self, About, Content},
};
use crate::{
    access::{Caller, Role},
    app::Services,
    store::{AuditEntry, Store, StoreError},
};

/// The session's cookie.
pub(super) const COOKIE: &str = "patchbay_session";
/// What a session that changes something has to say as well.
pub(super) const CSRF: &str = "x-csrf-token";

/// Who is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Anybody: whoever signs in is nobody yet.
    Nobody,
    Role(Role),
}

/// One method of one path, and what is to be known of it: the table that it stands in is also what it is described from.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    pub method: &'static str,
    pub path: &'static str,
    pub wants: Wants,
    /// It changes something and does not write it into the log itself: that it was asked for is written before, and how it
    /// ended afterwards.
    noted: bool,
    to: fn(Route) -> Route,
    pub(super) about: About,
}

impl Endpoint {
    const fn new(method: &'static str, path: &'static str, wants: Wants, to: fn(Route) -> Route) -> Self {
        Self { method, path, wants, noted: false, to, about: About::NOTHING }
    }

    pub(super) const fn noted(self) -> Self {
        Self { noted: true, ..self }
    }

    /// Its name among all, and what it is for.
    pub(super) const fn says(self, id: &'static str, summary: &'static str) -> Self {
        Self { about: About { id, summary, ..self.about }, ..self }
    }

    /// The parameters of its query.
    pub(super) const fn query<T: JsonSchema>(self) -> Self {
        Self { about: About { query: Some(openapi::asked::<T>), ..self.about }, ..self }
    }

    /// A header that it reads, and what for.
    pub(super) const fn header(self, name: &'static str, what: &'static str) -> Self {
        Self { about: About { header: Some((name, what)), ..self.about }, ..self }
    }

    /// Its body.
    pub(super) const fn body<T: JsonSchema>(self) -> Self {
        Self { about: About { body: Content::Json(openapi::asked::<T>), ..self.about }, ..self }
    }

    /// A body that is no JSON, of this type.
    pub(super) const fn body_of(self, media: &'static str) -> Self {
        Self { about: About { body: Content::Other(media), ..self.about }, ..self }
    }

    /// What it answers when all is well.
    pub(super) const fn gives<T: JsonSchema>(self, status: u16) -> Self {
        Self { about: About { status, answer: Content::Json(openapi::answered::<T>), ..self.about }, ..self }
    }

    /// Other statuses with an answer of the same form.
    pub(super) const fn or(self, statuses: &'static [u16]) -> Self {
        Self { about: About { more: statuses, ..self.about }, ..self }
    }

    /// It answers 200 with what is no JSON, of this type.
    pub(super) const fn gives_media(self, media: &'static str) -> Self {
        Self { about: About { status: 200, answer: Content::Other(media), ..self.about }, ..self }
    }

    /// It answers 204.
    pub(super) const fn gives_nothing(self) -> Self {
        Self { about: About { status: 204, answer: Content::None, ..self.about }, ..self }
    }
}

pub(super) const fn open(method: &'static str, path: &'static str, to: fn(Route) -> Route) -> Endpoint {
    Endpoint::new(method, path, Wants::Nobody, to)
}

pub(super) const fn get(path: &'static str, role: Role, to: fn(Route) -> Route) -> Endpoint {
    Endpoint::new("GET", path, Wants::Role(role), to)
}

pub(super) const fn post(path: &'static str, role: Role, to: fn(Route) -> Route) -> Endpoint {
    Endpoint::new("POST", path, Wants::Role(role), to)
}

pub(super) const fn patch(path: &'static str, role: Role, to: fn(Route) -> Route) -> Endpoint {
    Endpoint::new("PATCH", path, Wants::Role(role), to)
}

pub(super) const fn put(path: &'static str, role: Role, to: fn(Route) -> Route) -> Endpoint {
    Endpoint::new("PUT", path, Wants::Role(role), to)
}

pub(super) const fn delete(path: &'static str, role: Role, to: fn(Route) -> Route) -> Endpoint {
    Endpoint::new("DELETE", path, Wants::Role(role), to)
}

/// Puts the endpoints behind their guards.
pub(super) fn mount(config: &mut ServiceConfig, endpoints: &'static [Endpoint]) {
    for endpoint in endpoints {
        let method = Method::from_bytes(endpoint.method.as_bytes()).unwrap_or(Method::GET);
        let guarded = (endpoint.to)(web::method(method))
            .wrap(from_fn(move |request: ServiceRequest, next: Next<BoxBody>| guard(endpoint, request, next)));
        config.route(endpoint.path, guarded);
    }
}

async fn guard(
    endpoint: &'static Endpoint,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let note = match admit(endpoint, request.request()).await {
        Ok((caller, note)) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            note
        }
        Err(error) => return Ok(request.into_response(error.answer())),
    };
    let answer = next.call(request).await;
    if let Some(note) = note {
        let (status, told) = match &answer {
            Ok(answer) => (answer.status(), answer.response().extensions().get::<Told>().map(|told| told.0.clone())),
            Err(error) => (error.as_response_error().status_code(), None),
        };
        note.ended(status, told).await;
    }
    answer
}

/// What an answer lets the log know beside its status: put among its extensions.
#[derive(Clone, Debug)]
pub(super) struct Told(pub(super) Value);

/// A request that stands in the log and has not ended yet.
struct Note {
    store: Arc<dyn Store>,
    /// The entry of its end, of which only the end is missing. `None`: it is written.
    entry: Option<AuditEntry>,
}

impl Note {
    async fn ended(mut self, status: StatusCode, told: Option<Value>) {
        let Some(mut entry) = self.entry.take() else { return };
        if let (Some(changed), Some(Value::Object(told))) = (entry.changed.as_object_mut(), told) {
            changed.extend(told);
        }
        entry.changed["status"] = json!(status.as_u16());
        write(&*self.store, entry).await;
    }
}

/// Whoever asked has gone, and what he asked for with him; or it panicked. Whether it was done before that is not known.
impl Drop for Note {
    fn drop(&mut self) {
        let (Some(mut entry), Ok(runtime)) = (self.entry.take(), tokio::runtime::Handle::try_current()) else { return };
        entry.changed["status"] = Value::Null;
        entry.changed["told"] = json!("it broke off: whoever asked did not wait for the answer");
        let store = Arc::clone(&self.store);
        runtime.spawn(async move { write(&*store, entry).await });
    }
}

async fn write(store: &dyn Store, entry: AuditEntry) {
    let (id, action) = (entry.id.clone(), entry.action.clone());
    if let Err(error) = store.change(Vec::new(), vec![entry], Timestamp::now()).await {
        tracing::error!(request = %id, action, %error, "how a request ended cannot be written into the log");
    }
}

async fn admit(endpoint: &Endpoint, request: &HttpRequest) -> Result<(Option<Caller>, Option<Note>), ApiError> {
    let Wants::Role(role) = endpoint.wants else { return Ok((None, None)) };
    let services = request.app_data::<Data<Services>>().ok_or(ApiError::Unauthorized)?;
    let caller = caller(request, services).await?;
    let reads = matches!(endpoint.method, "GET" | "HEAD");
    if let Some(session) = caller.session.as_ref().filter(|_| !reads) {
        let given = request.headers().get(CSRF).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !services.gate.is_csrf(session, given) {
            let message = format!("a session that changes something sends the `csrf` it was given as {CSRF}");
            return Err(ApiError::Forbidden(message));
        }
    }
    if caller.role < role {
        let message = format!("this wants the role {}; yours is {}", role.as_str(), caller.role.as_str());
        return Err(ApiError::Forbidden(message));
    }
    let account = request.match_info().get("sid");
    if let Some(sid) = account {
        // Somebody else's account looks as one that is not there.
        if sid.contains('%') || !caller.may_see(sid) || services.account(sid).is_none() {
            return Err(ApiError::NotFound(format!("there is no account {sid:?}")));
        }
    }
    let mut note = None;
    if endpoint.noted {
        let parts = request.match_info().iter().filter(|(name, _)| *name != "sid");
        let what: serde_json::Map<_, _> = parts.map(|(name, value)| (name.to_owned(), json!(value))).collect();
        let entry = AuditEntry {
            by: caller.who.clone(),
            account: account.unwrap_or_default().to_owned(),
            kind: "request".to_owned(),
            id: Uuid::now_v7().to_string(),
            action: format!("{} {}", endpoint.method, endpoint.path),
            changed: what.into(),
        };
        let ends = json!({ "request": entry.action });
        let end = AuditEntry { action: "ended".to_owned(), changed: ends, ..entry.clone() };
        services.store.change(Vec::new(), vec![entry], Timestamp::now()).await?;
        note = Some(Note { store: Arc::clone(&services.store), entry: Some(end) });
    }
    Ok((Some(caller), note))
}

/// What a request came with.
pub(super) enum Credential {
    Bearer(SecretString),
    Session(SecretString),
}

impl Credential {
    pub(super) fn of(request: &HttpRequest) -> Option<Self> {
        let bearer = bearer(request).map(|token| Self::Bearer(token.to_owned().into()));
        bearer.or_else(|| cookie(request).map(|secret| Self::Session(secret.into())))
    }

    /// Whose it is now. `None`: nobody's, or not any more.
    pub(super) async fn holder(&self, services: &Services) -> Result<Option<Caller>, StoreError> {
        match self {
            Self::Bearer(token) => services.gate.bearer(token.expose_secret()).await,
            Self::Session(secret) => services.gate.session(secret.expose_secret()).await,
        }
    }
}

async fn caller(request: &HttpRequest, services: &Services) -> Result<Caller, ApiError> {
    let found = match Credential::of(request) {
        Some(credential) => credential.holder(services).await?,
        None if !services.gate.has_admin_token() => return Err(ApiError::Closed),
        None => None,
    };
    found.ok_or(ApiError::Unauthorized)
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = bearer?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie(request: &HttpRequest) -> Option<String> {
    let headers = request.headers().get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
    let mut pairs = headers.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned())
}

/// Where a request comes from. A proxy of ours is near, and says of whom it had it: of what stands in its header, the last
/// is its own word.
pub(super) fn address(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip().to_canonical();
    let near = match peer {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    };
    let said = request.headers().get_all("x-forwarded-for").last().and_then(|value| value.to_str().ok());
    let last = said.and_then(|text| text.rsplit(',').next()?.trim().parse().ok());
    Some(last.filter(|_| near).unwrap_or(peer))
}

/// Whoever the guard let through.
impl FromRequest for Caller {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(request.extensions().get::<Self>().cloned().ok_or(ApiError::Unauthorized))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_near_proxy_is_believed_and_nobody_else() {
        let from = |peer: &str, forwarded: &[&str]| {
            let mut request = TestRequest::default().peer_addr(format!("{peer}:5").parse().expect("an address"));
            for line in forwarded {
                request = request.append_header(("x-forwarded-for", *line));
            }
            address(&request.to_http_request()).map(|address| address.to_string()).unwrap_or_default()
        };
        assert_eq!(from("203.0.113.7", &[]), "203.0.113.7");
        assert_eq!(from("203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
        assert_eq!(from("127.0.0.1", &["198.51.100.1, 198.51.100.2"]), "198.51.100.2");
        assert_eq!(from("10.0.0.1", &["198.51.100.1", "2001:db8::1"]), "2001:db8::1");
        assert_eq!(from("10.0.0.1", &["nonsense"]), "10.0.0.1");
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let of = |lines: &[&str]| {
            let mut request = TestRequest::default();
            for line in lines {
                request = request.append_header((header::COOKIE, *line));
            }
            cookie(&request.to_http_request())
        };
        assert_eq!(of(&["a=1; patchbay_session=x.y; b=2"]).as_deref(), Some("x.y"));
        assert_eq!(of(&["a=1", "patchbay_session=x"]).as_deref(), Some("x"));
        assert_eq!(of(&["xpatchbay_session=x"]), None);
        assert_eq!(of(&[]), None);
    }
}
