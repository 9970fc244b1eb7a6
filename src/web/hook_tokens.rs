//! Hooks in the API: the URLs to paste into flows, and the tokens that open them.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    web::{Bytes, Data, Path},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    api::{Answer, ApiError, body},
    auth::{Endpoint, delete, get, post},
};
use crate::{access::Role, app::Services, config::Account, hooks, store::HookToken};

/// How long a rotated hook token goes on working, so that flows can be changed one by one.
const OVERLAP: Duration = Duration::from_secs(7 * 86_400);

pub(super) const ENDPOINTS: &[Endpoint] = &[
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
