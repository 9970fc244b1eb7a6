//! Signing in and out, users, API tokens, and the log of who changed what.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data, Path},
};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use super::{
    api::{Answer, ApiError, body, limit, query},
    auth::{COOKIE, Endpoint, address, delete, get, open, patch, post},
};
use crate::{
    access::{Caller, NewToken, NewUser, Role, UserPatch},
    app::Services,
    store::AuditFilter,
};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    open("POST", "/api/v1/session", |route| route.to(sign_in)),
    open("POST", "/api/v1/password", |route| route.to(set_password)),
    get("/api/v1/session", Role::Agent, |route| route.to(session)),
    delete("/api/v1/session", Role::Agent, |route| route.to(sign_out)),
    get("/api/v1/sessions", Role::Agent, |route| route.to(sessions)),
    delete("/api/v1/sessions/{id}", Role::Agent, |route| route.to(end_session)),
    get("/api/v1/tokens", Role::Agent, |route| route.to(tokens)),
    post("/api/v1/tokens", Role::Agent, |route| route.to(make_token)),
    delete("/api/v1/tokens/{id}", Role::Agent, |route| route.to(remove_token)),
    get("/api/v1/users", Role::SuperAdmin, |route| route.to(users)),
    post("/api/v1/users", Role::SuperAdmin, |route| route.to(make_user)),
    get("/api/v1/users/{id}", Role::SuperAdmin, |route| route.to(user)),
    patch("/api/v1/users/{id}", Role::SuperAdmin, |route| route.to(edit_user)),
    delete("/api/v1/users/{id}", Role::SuperAdmin, |route| route.to(remove_user)),
    post("/api/v1/users/{id}/reset", Role::SuperAdmin, |route| route.to(reset_password)),
    get("/api/v1/audit", Role::SuperAdmin, |route| route.to(audit)),
    get("/api/v1/accounts/{sid}/audit", Role::Admin, |route| route.to(audit_of_account)),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    email: String,
    password: String,
}

async fn sign_in(request: HttpRequest, services: Data<Services>, bytes: Bytes) -> Answer {
    let SignIn { email, password } = body(&bytes)?;
    let browser = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed = services.gate.sign_in(&email, password.into(), address(&request), browser).await?;
    let cookie = baked(&services, signed.secret.expose_secret(), signed.lasts.as_secs());
    Ok(HttpResponse::Ok()
        .insert_header((header::SET_COOKIE, cookie))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(standing(&services, &signed.caller, Some(signed.expires_at))))
}

/// No script reads it, no page of another site sends it, and where the service is reached by TLS it goes no other way.
fn baked(services: &Services, value: &str, seconds: u64) -> String {
    let secure = if services.public_url().starts_with("https://") { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
}

fn standing(services: &Services, caller: &Caller, expires_at: Option<Timestamp>) -> serde_json::Value {
    json!({
        "who": caller.who,
        "role": caller.role,
        "accounts": caller.accounts,
        "user": caller.user,
        "email": caller.email,
        "csrf": caller.session.as_ref().map(|session| services.gate.csrf(session)),
        "expires_at": expires_at,
    })
}

async fn session(services: Data<Services>, caller: Caller) -> Answer {
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(standing(&services, &caller, None)))
}

async fn sign_out(services: Data<Services>, caller: Caller) -> Answer {
    let session = caller.session.as_ref();
    let session = session.ok_or_else(|| ApiError::BadRequest("you are not signed in: you have a token".to_owned()))?;
    services.gate.end_session(session, &caller).await?;
    Ok(HttpResponse::NoContent().insert_header((header::SET_COOKIE, baked(&services, "", 0))).finish())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    token: String,
    password: String,
}

async fn set_password(request: HttpRequest, services: Data<Services>, bytes: Bytes) -> Answer {
    let NewPassword { token, password } = body(&bytes)?;
    services.gate.set_password(&token, password.into(), address(&request)).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn sessions(services: Data<Services>, caller: Caller) -> Answer {
    Ok(HttpResponse::Ok().json(json!({ "sessions": services.gate.sessions(&caller).await? })))
}

async fn end_session(services: Data<Services>, caller: Caller, id: Path<String>) -> Answer {
    services.gate.end_session(&id, &caller).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn tokens(services: Data<Services>, caller: Caller) -> Answer {
    Ok(HttpResponse::Ok().json(json!({ "tokens": services.gate.tokens(&caller).await? })))
}

async fn make_token(services: Data<Services>, caller: Caller, bytes: Bytes) -> Answer {
    let asked: NewToken = body(&bytes)?;
    Ok(HttpResponse::Created().json(services.gate.make_token(asked, &caller).await?))
}

async fn remove_token(services: Data<Services>, caller: Caller, id: Path<String>) -> Answer {
    services.gate.remove_token(&id, &caller).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn users(services: Data<Services>) -> Answer {
    Ok(HttpResponse::Ok().json(json!({ "users": services.gate.users().await? })))
}

async fn user(services: Data<Services>, id: Path<String>) -> Answer {
    Ok(HttpResponse::Ok().json(services.gate.show_user(&id).await?))
}

async fn make_user(services: Data<Services>, caller: Caller, bytes: Bytes) -> Answer {
    let asked: NewUser = body(&bytes)?;
    Ok(HttpResponse::Created().json(services.gate.make_user(asked, &caller).await?))
}

async fn edit_user(services: Data<Services>, caller: Caller, id: Path<String>, bytes: Bytes) -> Answer {
    let asked: UserPatch = body(&bytes)?;
    Ok(HttpResponse::Ok().json(services.gate.edit_user(&id, asked, &caller).await?))
}

async fn reset_password(services: Data<Services>, caller: Caller, id: Path<String>) -> Answer {
    Ok(HttpResponse::Ok().json(json!({ "one_time": services.gate.reset_password(&id, &caller).await? })))
}

async fn remove_user(services: Data<Services>, caller: Caller, id: Path<String>) -> Answer {
    services.gate.remove_user(&id, &caller).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    account: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
}

async fn audit(request: HttpRequest, services: Data<Services>) -> Answer {
    let AuditQuery { account, before, limit } = query(&request)?;
    log(&services, account, before, limit).await
}

async fn audit_of_account(request: HttpRequest, services: Data<Services>, sid: Path<String>) -> Answer {
    let AuditQuery { account, before, limit } = query(&request)?;
    if account.is_some_and(|account| account != *sid) {
        return Err(ApiError::BadRequest("account: this is the log of one".to_owned()));
    }
    log(&services, Some(sid.into_inner()), before, limit).await
}

async fn log(services: &Services, account: Option<String>, before: Option<String>, asked: Option<u32>) -> Answer {
    let page = services.store.audit(&AuditFilter { account, before, limit: limit(asked) }).await?;
    Ok(HttpResponse::Ok().json(json!({ "entries": page.items, "next": page.next })))
}
