//! The Freshdesk family of hooks, which is the canonical one, status callbacks, and both behind a hook token.

use std::{sync::atomic::Ordering, time::Instant};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web::{self, Data, Payload, ServiceConfig},
};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    app::Services,
    call::{Hook, Receipt},
    crash,
    telemetry::HookLabels,
};

/// The routes of this family (contract §3). A slash at the end is let pass: a redirect away from it would lose the call.
pub fn routes(config: &mut ServiceConfig) {
    config
        .route("/v2/accounts/{sid}/call-events{slash:/?}", web::to(call_events))
        .route("/v2/accounts/{sid}/status{slash:/?}", web::to(status))
        .route("/h/{token}/{rest:.*}", web::to(by_token))
        .route("/h/{token}", web::to(by_token));
}

/// The URLs to paste into an account's flow, by applet.
pub fn sample_urls(base: &str) -> Vec<(&'static str, String)> {
    let url = |event: &str| format!("{base}/call-events?event={event}");
    vec![
        ("Connect applet, \"Create popup…\"", url("pop")),
        ("Passthru after the conversation", url("answered")),
        ("the same, when every call shall be marked as an automatic ticket", url("automated_answered")),
        ("Passthru under \"If nobody answers…\"", url("missed")),
        ("Passthru after a key of an IVR", format!("{}&ivr_tag_1=<meaning of the key>", url("ivr"))),
        ("Passthru after a Gather", format!("{}&gather_tag_1=<meaning of the digits>", url("gather"))),
        ("Passthru at the end of an IVR or Gather flow", url("end")),
        ("Passthru after a Voicemail applet", url("voicemail")),
    ]
}

async fn call_events(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    by_credential(request, services, payload, Hook::CallEvents).await
}

async fn status(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    by_credential(request, services, payload, Hook::Status).await
}

async fn by_credential(request: HttpRequest, services: Data<Services>, payload: Payload, hook: Hook) -> HttpResponse {
    let began = Instant::now();
    let sid = request.match_info().get("sid").unwrap_or_default();
    let authorization = request.headers().get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
    let answer = if services.doors.load().basic(sid, authorization) {
        let (account, path) = (sid.to_owned(), request.path().to_owned());
        take(&request, &services, payload, hook, account, path, began).await
    } else {
        // The same for a wrong credential and for an account that does not exist. Exotel ignores the challenge; a
        // person with a browser gets to type the credential.
        HttpResponse::Unauthorized()
            .insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"patchbay\""))
            .content_type("text/plain")
            .body("Authentication is required.\n")
    };
    count(&services, hook.as_str(), answer)
}

/// `/h/{token}/…`: the token names the account; what follows may be a whole hook path or only its end.
async fn by_token(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    let began = Instant::now();
    let token = request.match_info().get("token").unwrap_or_default();
    let rest = request.match_info().get("rest").unwrap_or_default().trim_matches('/');
    let account = services.doors.load().token(token, Timestamp::now()).map(str::to_owned);
    let place = account.as_deref().and_then(|account| hook_of(rest, account));
    let answer = match (account, place) {
        (Some(account), Some(hook)) => {
            take(&request, &services, payload, hook, account, format!("/h/***/{rest}"), began).await
        }
        // An unknown token, an expired one, and a right one at a place that does not exist: the same.
        _ => HttpResponse::NotFound().content_type("text/plain").body("There is nothing here.\n"),
    };
    count(&services, "token", answer)
}

/// Which hook a path behind a token means; the SID in it, if any, must be the token's account.
fn hook_of(rest: &str, account: &str) -> Option<Hook> {
    let rest = match rest.strip_prefix("v2/accounts/") {
        Some(behind) => behind.strip_prefix(account)?.strip_prefix('/')?,
        None => rest,
    };
    match rest {
        "" | "call-events" => Some(Hook::CallEvents),
        "status" => Some(Hook::Status),
        _ => None,
    }
}

async fn take(
    request: &HttpRequest,
    services: &Data<Services>,
    payload: Payload,
    hook: Hook,
    account: String,
    path: String,
    began: Instant,
) -> HttpResponse {
    match *request.method() {
        Method::GET | Method::POST => {}
        // HEAD shows the headers of GET and does nothing.
        Method::HEAD => return accepted(),
        _ => {
            return HttpResponse::MethodNotAllowed()
                .insert_header((header::ALLOW, "GET, HEAD, POST"))
                .content_type("text/plain")
                .body("Use GET, HEAD or POST.\n");
        }
    }
    let limit = services.config.server.body_limit_bytes;
    if request.query_string().len() > limit {
        return too_large(limit);
    }
    let body = if *request.method() == Method::POST {
        let patience = services.config.server.request_timeout;
        match tokio::time::timeout(patience, payload.to_bytes_limited(limit)).await {
            Ok(Ok(Ok(body))) => body.to_vec(),
            Ok(Ok(Err(_))) => return say(StatusCode::BAD_REQUEST, "The body broke off."),
            Ok(Err(_)) => return too_large(limit),
            Err(_) => return say(StatusCode::REQUEST_TIMEOUT, "The body did not come in time."),
        }
    } else {
        Vec::new()
    };
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let receipt = Receipt {
        id: Uuid::now_v7(),
        account,
        hook,
        received_at: Timestamp::now(),
        method: request.method().as_str().to_owned(),
        path,
        query: request.query_string().to_owned(),
        content_type: content_type.map(str::to_owned),
        body,
    };
    match services.store.append(receipt).await {
        Ok(_) => {
            crash::point("ingest.after_append");
            services.journal.notify_one();
            services.metrics.ingest_seconds.observe(began.elapsed().as_secs_f64());
            if services.refusing.swap(false, Ordering::Relaxed) {
                tracing::info!("callbacks are taken again");
            }
            accepted()
        }
        Err(error) => {
            // Once, not for every callback: the metrics count them.
            if !services.refusing.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "callbacks cannot be made durable; Exotel is told 503 until they can");
            }
            HttpResponse::ServiceUnavailable()
                .insert_header((header::RETRY_AFTER, "5"))
                .content_type("text/plain")
                .body("This cannot be stored now; please send it again.\n")
        }
    }
}

fn say(status: StatusCode, text: &str) -> HttpResponse {
    HttpResponse::build(status).content_type("text/plain").body(format!("{text}\n"))
}

fn accepted() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("OK")
}

fn too_large(limit: usize) -> HttpResponse {
    HttpResponse::PayloadTooLarge()
        .content_type("text/plain")
        .body(format!("At most {limit} bytes (server.body_limit).\n"))
}

fn count(services: &Services, hook: &'static str, answer: HttpResponse) -> HttpResponse {
    let status: StatusCode = answer.status();
    services.metrics.hook_answers.get_or_create(&HookLabels { hook, status: status.as_u16() }).inc();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_token_the_whole_path_or_its_end_may_stand() {
        for path in ["", "call-events", "v2/accounts/acme1/call-events"] {
            assert_eq!(hook_of(path, "acme1"), Some(Hook::CallEvents), "{path}");
        }
        assert_eq!(hook_of("v2/accounts/acme1/status", "acme1"), Some(Hook::Status));
        for path in ["v2/accounts/other/call-events", "v2/accounts/acme1", "v2/accounts/acme1x/status", "x"] {
            assert_eq!(hook_of(path, "acme1"), None, "{path}");
        }
    }
}
