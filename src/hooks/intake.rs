//! What every family of hooks shares: reading a request, making it durable, and the few answers there are.

use std::{sync::atomic::Ordering, time::Instant};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method, StatusCode,
        header::{self, HeaderValue},
    },
    web::{Data, Payload},
};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Doors, scrub};
use crate::{
    app::Services,
    call::{
        Hook, Receipt,
        normalise::{self, Asking},
    },
    crash,
    store::StoreError,
    telemetry::HookLabels,
};

/// How the families that name the account in a parameter call it.
pub(super) const ACCOUNT_NAMES: &[&str] = &["AccSid", "AccountSid", "ExotelAccountSid"];

/// A query longer than this is none of Exotel's: it sends some two kilobytes.
const MOST_QUERY: usize = 64 * 1024;

/// A request with its body, as it came. Nothing of it is believed yet.
pub(super) struct Arrived {
    began: Instant,
    method: Method,
    path: String,
    pub(super) query: String,
    pub(super) content_type: Option<String>,
    /// `Exotel-Version`: the form of the answer that is wanted.
    pub(super) version: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Arrived {
    /// Reads the body, within the limits of size and time. HEAD has none.
    pub(super) async fn read(
        request: &HttpRequest,
        services: &Services,
        payload: Payload,
    ) -> Result<Self, HttpResponse> {
        let began = Instant::now();
        let limit = services.config.server.body_limit_bytes;
        if !matches!(*request.method(), Method::GET | Method::HEAD | Method::POST) {
            return Err(HttpResponse::MethodNotAllowed()
                .insert_header((header::ALLOW, "GET, HEAD, POST"))
                .content_type("text/plain")
                .body("Use GET, HEAD or POST.\n"));
        }
        if request.query_string().len() > limit {
            return Err(too_large(limit));
        }
        let body = if *request.method() == Method::POST {
            let patience = services.config.server.request_timeout;
            match tokio::time::timeout(patience, payload.to_bytes_limited(limit)).await {
                Ok(Ok(Ok(body))) => body.to_vec(),
                Ok(Ok(Err(_))) => return Err(say(StatusCode::BAD_REQUEST, "The body broke off.")),
                Ok(Err(_)) => return Err(too_large(limit)),
                Err(_) => return Err(say(StatusCode::REQUEST_TIMEOUT, "The body did not come in time.")),
            }
        } else {
            Vec::new()
        };
        let header = |name: &str| Some(request.headers().get(name)?.to_str().ok()?.trim().to_owned());
        Ok(Self {
            began,
            method: request.method().clone(),
            path: request.path().to_owned(),
            query: request.query_string().to_owned(),
            content_type: header("content-type"),
            version: header("exotel-version"),
            body,
        })
    }

    /// A request of which no body is read: the caller on the line gets an answer all the same.
    pub(super) fn without_body(request: &HttpRequest) -> Self {
        let header = |name: &str| Some(request.headers().get(name)?.to_str().ok()?.trim().to_owned());
        let query = request.query_string();
        Self {
            began: Instant::now(),
            method: request.method().clone(),
            path: request.path().to_owned(),
            query: if query.len() <= MOST_QUERY { query.to_owned() } else { String::new() },
            content_type: None,
            version: header("exotel-version"),
            body: Vec::new(),
        }
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// What an applet asks in it.
    pub(super) fn asking(&self) -> Asking {
        normalise::asking(&self.query, self.content_type.as_deref(), &self.body)
    }

    /// The same, with another path: one without the token.
    pub(super) fn at(self, path: String) -> Self {
        Self { path, ..self }
    }

    /// HEAD shows the headers of GET and does nothing.
    pub(super) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// What query or body say under the first of these names that says something.
    pub(super) fn field(&self, names: &[&str]) -> Option<String> {
        normalise::field(&self.query, self.content_type.as_deref(), &self.body, names)
    }

    /// Makes the request durable, and answers it.
    pub(super) async fn keep(self, services: &Services, hook: Hook, account: String) -> HttpResponse {
        if self.is_head() {
            return accepted();
        }
        match self.store(services, hook, account).await {
            Ok(()) => accepted(),
            Err(_) => HttpResponse::ServiceUnavailable()
                .insert_header((header::RETRY_AFTER, "5"))
                .content_type("text/plain")
                .body("This cannot be stored now; please send it again.\n"),
        }
    }

    /// Makes the request durable, without the credentials in it.
    pub(super) async fn store(self, services: &Services, hook: Hook, account: String) -> Result<(), StoreError> {
        let began = self.began;
        let receipt = Receipt {
            id: Uuid::now_v7(),
            account,
            hook,
            received_at: Timestamp::now(),
            method: self.method.as_str().to_owned(),
            path: self.path,
            query: scrub::query(&self.query),
            body: scrub::body(self.content_type.as_deref(), self.body),
            content_type: self.content_type,
        };
        match services.store.append(receipt).await {
            Ok(_) => {
                crash::point("ingest.after_append");
                services.journal.notify_one();
                services.metrics.ingest_seconds.observe(began.elapsed().as_secs_f64());
                if services.refusing.swap(false, Ordering::Relaxed) {
                    tracing::info!("callbacks are taken again");
                }
                Ok(())
            }
            Err(error) => {
                // Once, not for every callback: the metrics count them.
                if !services.refusing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "callbacks cannot be made durable; Exotel is told 503 until they can");
                }
                Err(error)
            }
        }
    }
}

/// A hook whose path names the account.
pub(super) async fn by_path(
    request: HttpRequest,
    services: Data<Services>,
    payload: Payload,
    hook: Hook,
) -> HttpResponse {
    let sid = request.match_info().get("sid").unwrap_or_default().to_owned();
    let answer = if admitted(&request, &services.doors.load(), hook, &sid) {
        match Arrived::read(&request, &services, payload).await {
            Ok(arrived) => arrived.keep(&services, hook, sid).await,
            Err(answer) => answer,
        }
    } else {
        refused()
    };
    count(&services, hook.as_str(), answer)
}

/// Whether the request may use this account's hooks of this family: by the account's own credential, or because the
/// family is open there. Both are asked, so that it takes the same time whatever the account.
pub(super) fn admitted(request: &HttpRequest, doors: &Doors, hook: Hook, sid: &str) -> bool {
    let authorization = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    doors.basic(sid, authorization) | doors.open(hook, sid)
}

/// The same for a wrong credential and for an account that does not exist. Exotel ignores the challenge; a person with
/// a browser gets to type the credential.
pub(super) fn refused() -> HttpResponse {
    HttpResponse::Unauthorized()
        .insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"patchbay\""))
        .content_type("text/plain")
        .body("Authentication is required.\n")
}

pub(super) fn accepted() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("OK")
}

pub(super) fn count(services: &Services, hook: &'static str, answer: HttpResponse) -> HttpResponse {
    let status: StatusCode = answer.status();
    services.metrics.hook_answers.get_or_create(&HookLabels { hook, status: status.as_u16() }).inc();
    answer
}

fn say(status: StatusCode, text: &str) -> HttpResponse {
    HttpResponse::build(status).content_type("text/plain").body(format!("{text}\n"))
}

fn too_large(limit: usize) -> HttpResponse {
    HttpResponse::PayloadTooLarge()
        .content_type("text/plain")
        .body(format!("At most {limit} bytes (server.body_limit).\n"))
}
