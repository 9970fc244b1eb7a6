//! Signing in and out, users, API tokens, and the log of who changed what.

use std::collections::BTreeSet;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data, Path},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::{
    api::{Answer, ApiError, body, limit, query},
    auth::{COOKIE, Endpoint, address, delete, get, open, patch, post},
};
use crate::{
    access::{Caller, NewToken, NewUser, OneTime, Role, ShownSession, ShownToken, ShownUser, UserPatch},
    app::Services,
    store::{AuditFilter, Audited},
};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    open("POST", "/api/v1/session", |route| route.to(sign_in))
        .says("sign_in", "Signs in with e-mail and password; the session is in the cookie")
        .body::<SignIn>()
        .gives::<Standing>(200),
    open("POST", "/api/v1/password", |route| route.to(set_password))
        .says("set_password", "Sets a password with a one-time token")
        .body::<NewPassword>()
        .gives_nothing(),
    get("/api/v1/session", Role::Agent, |route| route.to(session))
        .says("get_session", "Who the caller is")
        .gives::<Standing>(200),
    delete("/api/v1/session", Role::Agent, |route| route.to(sign_out))
        .says("sign_out", "Ends the session")
        .gives_nothing(),
    get("/api/v1/sessions", Role::Agent, |route| route.to(sessions))
        .says("list_sessions", "The caller's sessions; all of them for super_admin")
        .gives::<SessionsShown>(200),
    delete("/api/v1/sessions/{id}", Role::Agent, |route| route.to(end_session))
        .says("end_session", "Ends a session at once")
        .gives_nothing(),
    get("/api/v1/tokens", Role::Agent, |route| route.to(tokens))
        .says("list_tokens", "The caller's API tokens; all of them for super_admin")
        .gives::<TokensShown>(200),
    post("/api/v1/tokens", Role::Agent, |route| route.to(make_token))
        .says("make_token", "Makes an API token; it is shown this once")
        .body::<NewToken>()
        .gives::<ShownToken>(201),
    delete("/api/v1/tokens/{id}", Role::Agent, |route| route.to(remove_token))
        .says("delete_token", "Ends an API token at once")
        .gives_nothing(),
    get("/api/v1/users", Role::SuperAdmin, |route| route.to(users))
        .says("list_users", "Who may sign in")
        .gives::<UsersShown>(200),
    post("/api/v1/users", Role::SuperAdmin, |route| route.to(make_user))
        .says("make_user", "Makes a user, with a one-time token to set his password")
        .body::<NewUser>()
        .gives::<ShownUser>(201),
    get("/api/v1/users/{id}", Role::SuperAdmin, |route| route.to(user))
        .says("get_user", "A user")
        .gives::<ShownUser>(200),
    patch("/api/v1/users/{id}", Role::SuperAdmin, |route| route.to(edit_user))
        .says("edit_user", "Changes a user")
        .body::<UserPatch>()
        .gives::<ShownUser>(200),
    delete("/api/v1/users/{id}", Role::SuperAdmin, |route| route.to(remove_user))
        .says("delete_user", "Removes a user, with his sessions and tokens")
        .gives_nothing(),
    post("/api/v1/users/{id}/reset", Role::SuperAdmin, |route| route.to(reset_password))
        .says("reset_password", "Makes a one-time token to set the password anew with")
        .gives::<Reset>(200),
    get("/api/v1/audit", Role::SuperAdmin, |route| route.to(audit))
        .says("list_audit", "Who changed what, the latest first")
        .query::<AuditQuery>()
        .gives::<AuditShown>(200),
    get("/api/v1/accounts/{sid}/audit", Role::Admin, |route| route.to(audit_of_account))
        .says("list_account_audit", "Who changed what in one account, the latest first")
        .query::<AuditQuery>()
        .gives::<AuditShown>(200),
];

#[derive(Deserialize, JsonSchema)]
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

/// Who somebody is to the API.
#[derive(Serialize, JsonSchema)]
struct Standing {
    /// A user's e-mail, a token's label, or `admin_token`.
    who: String,
    role: Role,
    /// `null`: all there are.
    accounts: Option<BTreeSet<String>>,
    user: Option<String>,
    /// By which the role `agent` finds himself in the user mapping.
    email: Option<String>,
    /// What a session sends with every change.
    csrf: Option<String>,
    expires_at: Option<Timestamp>,
}

fn standing(services: &Services, caller: &Caller, expires_at: Option<Timestamp>) -> Standing {
    Standing {
        who: caller.who.clone(),
        role: caller.role,
        accounts: caller.accounts.clone(),
        user: caller.user.clone(),
        email: caller.email.clone(),
        csrf: caller.session.as_ref().map(|session| services.gate.csrf(session)),
        expires_at,
    }
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

#[derive(Deserialize, JsonSchema)]
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

#[derive(Serialize, JsonSchema)]
struct SessionsShown {
    sessions: Vec<ShownSession>,
}

async fn sessions(services: Data<Services>, caller: Caller) -> Answer {
    Ok(HttpResponse::Ok().json(SessionsShown { sessions: services.gate.sessions(&caller).await? }))
}

async fn end_session(services: Data<Services>, caller: Caller, id: Path<String>) -> Answer {
    services.gate.end_session(&id, &caller).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Serialize, JsonSchema)]
struct TokensShown {
    tokens: Vec<ShownToken>,
}

async fn tokens(services: Data<Services>, caller: Caller) -> Answer {
    Ok(HttpResponse::Ok().json(TokensShown { tokens: services.gate.tokens(&caller).await? }))
}

async fn make_token(services: Data<Services>, caller: Caller, bytes: Bytes) -> Answer {
    let asked: NewToken = body(&bytes)?;
    Ok(HttpResponse::Created().json(services.gate.make_token(asked, &caller).await?))
}

async fn remove_token(services: Data<Services>, caller: Caller, id: Path<String>) -> Answer {
    services.gate.remove_token(&id, &caller).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Serialize, JsonSchema)]
struct UsersShown {
    users: Vec<ShownUser>,
}

async fn users(services: Data<Services>) -> Answer {
    Ok(HttpResponse::Ok().json(UsersShown { users: services.gate.users().await? }))
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

#[derive(Serialize, JsonSchema)]
struct Reset {
    one_time: OneTime,
}

async fn reset_password(services: Data<Services>, caller: Caller, id: Path<String>) -> Answer {
    Ok(HttpResponse::Ok().json(Reset { one_time: services.gate.reset_password(&id, &caller).await? }))
}

async fn remove_user(services: Data<Services>, caller: Caller, id: Path<String>) -> Answer {
    services.gate.remove_user(&id, &caller).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize, JsonSchema)]
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

#[derive(Serialize, JsonSchema)]
struct AuditShown {
    entries: Vec<Audited>,
    next: Option<String>,
}

async fn log(services: &Services, account: Option<String>, before: Option<String>, asked: Option<u32>) -> Answer {
    let page = services.store.audit(&AuditFilter { account, before, limit: limit(asked) }).await?;
    Ok(HttpResponse::Ok().json(AuditShown { entries: page.items, next: page.next }))
}
