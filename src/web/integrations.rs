//! Integrations in the API: how each stands, trying it, connecting it by consent, giving it the calls of the past.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::ContentType},
    web::{self, Bytes, Data, Path, Query, ServiceConfig},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    accounts,
    api::{Answer, ApiError, body},
    auth::{Endpoint, get, post},
};
use crate::{
    access::Role,
    accounts::Running,
    app::Services,
    codes::Code,
    connect::oauth::{By, Keeper, TokenError, consent},
    delivery::{Access, LaneHandle, LaneStanding},
    store::LaneRef,
};

/// The path of the address that CRMs send a person back to after he consented.
pub const CALLBACK: &str = "/oauth/callback";
/// The longest past that is planned at once.
const DAYS: u32 = 3660;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/v1/accounts/{sid}/integrations", Role::Admin, |route| route.to(list))
        .says("list_integrations", "The account's CRMs and how each stands")
        .gives::<IntegrationsShown>(200),
    get("/api/v1/accounts/{sid}/integrations/{name}", Role::Admin, |route| route.to(show))
        .says("get_integration", "A CRM of the account and how it stands")
        .gives::<IntegrationShown>(200),
    post("/api/v1/accounts/{sid}/integrations/{name}/verify", Role::Admin, |route| route.to(verify))
        .noted()
        .says("verify_integration", "Tries the credentials")
        .gives::<Verified>(200),
    // What comes of it are credentials.
    post("/api/v1/accounts/{sid}/integrations/{name}/connect", Role::SuperAdmin, |route| route.to(connect))
        .noted()
        .says("connect_integration", "Begins a consent: where a person is to go")
        .gives::<ConsentAsked>(200),
    post("/api/v1/accounts/{sid}/integrations/{name}/backfill", Role::Admin, |route| route.to(backfill))
        .noted()
        .says("backfill_integration", "Plans the calls of the past for an integration that came later")
        .body::<Past>()
        .gives::<BackfillShown>(202),
];

/// Where no caller of ours comes, but a person whom the CRM sends back.
pub(super) fn routes(config: &mut ServiceConfig) {
    config.route(CALLBACK, web::get().to(callback));
}

/// How far the calls of the past are planned for an integration.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Backfill {
    pub since: Timestamp,
    pub began_at: Timestamp,
    /// `planning`, `planned`, `failed`: what is planned is then delivered, seen under deliveries.
    pub state: &'static str,
    pub calls: u64,
}

/// The backfills of this process.
#[derive(Debug, Default)]
pub struct Backfills(Mutex<BTreeMap<LaneRef, Backfill>>);

impl Backfills {
    fn of(&self, lane: &LaneRef) -> Option<Backfill> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(lane).cloned()
    }

    fn set(&self, lane: &LaneRef, backfill: Backfill) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(lane.clone(), backfill);
    }
}

async fn list(services: Data<Services>, sid: Path<String>) -> Answer {
    let unknown = || ApiError::NotFound(format!("there is no account {sid:?}"));
    let running = services.accounts.get(&sid).ok_or_else(unknown)?;
    let mut integrations = Vec::new();
    for name in running.integrations.keys() {
        integrations.push(of(&services, &running, name).await?);
    }
    Ok(HttpResponse::Ok().json(IntegrationsShown { integrations }))
}

#[derive(Serialize, JsonSchema)]
struct IntegrationsShown {
    integrations: Vec<IntegrationShown>,
}

/// A CRM of an account, and how it stands.
#[derive(Serialize, JsonSchema)]
pub(super) struct IntegrationShown {
    name: String,
    connector: String,
    /// `null`: the CRM says it with its tokens.
    address: Option<String>,
    /// Whether there are credentials, and how they were come by.
    connected: Connected,
    /// `null`: it does not run.
    lane: Option<LaneStanding>,
    backfill: Option<Backfill>,
    /// Why it does not run.
    error: Option<String>,
    #[serde(flatten)]
    kept: accounts::KeptShown,
    /// Under the names of the configuration.
    settings: serde_json::Map<String, serde_json::Value>,
    secrets: accounts::SecretsShown,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Connected {
    Yes(bool),
    Since { by: By, since: Timestamp },
}

async fn show(services: Data<Services>, path: Path<(String, String)>) -> Answer {
    let (sid, name) = path.into_inner();
    Ok(HttpResponse::Ok().json(standing(&services, &sid, &name).await?))
}

pub(super) async fn standing(services: &Services, sid: &str, name: &str) -> Result<IntegrationShown, ApiError> {
    let unknown = || ApiError::NotFound("there is no integration of this name: see …/integrations".to_owned());
    of(services, &*services.accounts.get(sid).ok_or_else(unknown)?, name).await
}

async fn of(services: &Services, running: &Running, name: &str) -> Result<IntegrationShown, ApiError> {
    let unknown = || ApiError::NotFound("there is no integration of this name: see …/integrations".to_owned());
    let kept = running.integrations.get(name).ok_or_else(unknown)?;
    let integration = running.integration(name);
    let handle = running.lane(name);
    let connected = match handle.map(keeper) {
        Some(Some(keeper)) => match keeper.standing().await {
            Ok(Some((by, since))) => Connected::Since { by, since },
            Ok(None) => Connected::Yes(false),
            Err(error) => return Err(ApiError::BadRequest(error.to_string())),
        },
        Some(None) => Connected::Yes(true),
        None => Connected::Yes(false),
    };
    let connector = match integration {
        Some(integration) => integration.manifest.id,
        None => kept.settings.get("connector").and_then(serde_json::Value::as_str).unwrap_or_default(),
    };
    Ok(IntegrationShown {
        name: name.to_owned(),
        connector: connector.to_owned(),
        address: integration.and_then(|one| one.origin.as_ref()).map(ToString::to_string),
        connected,
        lane: handle.map(LaneHandle::standing),
        backfill: handle.and_then(|handle| services.backfills.of(handle.lane())),
        error: kept.broken.clone(),
        kept: accounts::kept(kept),
        settings: accounts::settings(kept, integration),
        secrets: accounts::secrets(kept, integration),
    })
}

fn lane(services: &Services, sid: &str, name: &str) -> Result<LaneHandle, ApiError> {
    let wanted = LaneRef { account: sid.to_owned(), integration: name.to_owned() };
    services
        .lane(&wanted)
        .ok_or_else(|| ApiError::NotFound("there is no integration of this name: see …/integrations".to_owned()))
}

fn keeper(lane: &LaneHandle) -> Option<&Arc<Keeper>> {
    match &lane.driver().access {
        Access::Tokens(_, keeper) => Some(keeper),
        Access::Fixed(_) => None,
    }
}

async fn verify(services: Data<Services>, path: Path<(String, String)>) -> Answer {
    let (sid, name) = path.into_inner();
    let lane = lane(&services, &sid, &name)?;
    let mut trace = Vec::new();
    let asked = lane.driver().run(lane.driver().connector.identify(), &mut trace).await;
    lane.probe_now();
    let (who, error) = match asked {
        Ok(identity) => (Some(identity.account), None),
        Err(stop) => (None, Some(stop.told())),
    };
    Ok(HttpResponse::Ok().json(Verified { ok: error.is_none(), who, error }))
}

#[derive(Serialize, JsonSchema)]
struct Verified {
    ok: bool,
    /// Whom the CRM takes us for.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct ConsentAsked {
    /// Where a person is to go and consent.
    url: String,
    /// Where the CRM sends him back to: it has to be among the app's redirect URLs.
    redirect_uri: String,
    expires_at: Timestamp,
}

/// Begins a consent: where the person is to go.
async fn connect(services: Data<Services>, path: Path<(String, String)>) -> Answer {
    let (sid, name) = path.into_inner();
    let lane = lane(&services, &sid, &name)?;
    let keeper = keeper(&lane).ok_or_else(|| {
        ApiError::BadRequest(
            "this integration works with a key from the configuration: there is nothing to connect".to_owned(),
        )
    })?;
    let redirect_uri = format!("{}{CALLBACK}", services.public_url());
    let (url, expires_at) =
        keeper.ask_consent(&redirect_uri).await.map_err(|error| ApiError::BadRequest(error.to_string()))?;
    Ok(HttpResponse::Ok().json(ConsentAsked { url: url.into(), redirect_uri, expires_at }))
}

#[derive(Deserialize)]
struct Returned {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    error: String,
    /// The token server of the person's data centre (crm-api §6.a).
    #[serde(default, rename = "accounts-server")]
    accounts_server: Option<String>,
}

/// Where the CRM sends the person back to. His `state` is the credential: random, good once, for a quarter of an hour.
async fn callback(services: Data<Services>, returned: Query<Returned>) -> HttpResponse {
    let now = Timestamp::now();
    let consent = match services.store.take_consent(consent::hash(&returned.state), now).await {
        Ok(Some(consent)) => consent,
        Ok(None) => {
            return page(StatusCode::BAD_REQUEST, "This link is used up or too old. Run `patchbay connect` again.");
        }
        Err(error) => {
            tracing::error!(
                code = %Code::StoreUnavailable, %error,
                "a consent cannot be looked up in the store; who consented was told to try again"
            );
            return page(
                StatusCode::SERVICE_UNAVAILABLE,
                "The store does not answer now, and nothing was changed. Try again in a minute.",
            );
        }
    };
    let Some(lane) = services.lane(&consent.lane) else {
        return page(StatusCode::BAD_REQUEST, "This integration is not in the configuration any more.");
    };
    let Some(keeper) = keeper(&lane) else {
        return page(StatusCode::BAD_REQUEST, "This integration works with a key from the configuration.");
    };
    if returned.code.is_empty() {
        tracing::warn!(
            code = %Code::ConsentRefused, lane = %consent.lane,
            "the consent was refused in the CRM; nothing was changed. To connect, run `patchbay connect` again"
        );
        let why = if returned.error.is_empty() { "no code came back" } else { "it was refused" };
        return page(StatusCode::BAD_REQUEST, &format!("Not connected: {why}. Run `patchbay connect` again."));
    }
    let keeper = Arc::clone(keeper);
    // The code is good once: a window that is closed too early must not take the tokens with it.
    let connecting = tokio::spawn(async move {
        let connected = keeper.connect(&consent, &returned.code, returned.accounts_server.as_deref()).await;
        match &connected {
            Ok(()) => {
                tracing::info!(lane = %lane.lane(), "connected by consent");
                lane.probe_now();
            }
            Err(error) => {
                tracing::error!(
                    code = %Code::ConsentFailed, lane = %lane.lane(), %error,
                    "the CRM gives no tokens for the consent; nothing was changed. Mend the cause and run `patchbay \
                     connect` again"
                );
            }
        }
        connected.map(|()| lane)
    });
    match connecting.await {
        Ok(Ok(lane)) => page(StatusCode::OK, &format!("{} is connected. You can close this window.", lane.lane())),
        Err(_) => page(StatusCode::INTERNAL_SERVER_ERROR, "Not connected. Run `patchbay connect` again."),
        Ok(Err(error)) => {
            let told = match error {
                TokenError::Refused { code, .. } => format!("the token server refuses it: {code}"),
                other => other.to_string(),
            };
            page(StatusCode::BAD_GATEWAY, &format!("Not connected: {told}. Run `patchbay connect` again."))
        }
    }
}

/// A page for a person; nothing in it comes from the request.
fn page(status: StatusCode, text: &str) -> HttpResponse {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    HttpResponse::build(status)
        .insert_header(("Referrer-Policy", "no-referrer"))
        .insert_header(("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"))
        .content_type(ContentType::html())
        .body(format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>Patchbay</title>\
             <body style='font:16px/1.5 system-ui;max-width:36rem;margin:20vh auto;padding:0 1rem'>\
             <h1 style='font-size:1.2rem'>Patchbay</h1><p>{text}</p></html>\n"
        ))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Past {
    days: Option<u32>,
    since: Option<Timestamp>,
}

#[derive(Serialize, JsonSchema)]
struct BackfillShown {
    backfill: Backfill,
}

/// Plans the calls of the last days for an integration that was added later.
async fn backfill(services: Data<Services>, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    let (sid, name) = path.into_inner();
    let lane = lane(&services, &sid, &name)?.lane().clone();
    let asked: Past = body(&bytes)?;
    let now = Timestamp::now();
    let since = match (asked.days, asked.since) {
        (Some(days @ 1..=DAYS), None) => now.checked_sub(Duration::from_secs(u64::from(days) * 86_400)).ok(),
        (None, Some(since)) if since < now => Some(since),
        _ => None,
    };
    let since = since.ok_or_else(|| {
        ApiError::BadRequest(format!("give `days` (1 to {DAYS}) or `since` (a time that is past), and not both"))
    })?;
    if services.backfills.of(&lane).is_some_and(|running| running.state == "planning") {
        return Err(ApiError::BadRequest("a backfill of this integration is under way".to_owned()));
    }
    let begun = Backfill { since, began_at: now, state: "planning", calls: 0 };
    services.backfills.set(&lane, begun.clone());
    let (services, answer) = (services.into_inner(), begun.clone());
    tokio::spawn(async move {
        let ended = match services.decider.backfill(&lane.account, since).await {
            Ok(calls) => {
                tracing::info!(%lane, calls, "the calls of the past are planned");
                Backfill { state: "planned", calls, ..begun }
            }
            Err(error) => {
                tracing::error!(
                    code = %Code::BackfillBrokeOff, %lane, %error,
                    "a backfill broke off; ask for it again, nothing is doubled"
                );
                Backfill { state: "failed", ..begun }
            }
        };
        services.backfills.set(&lane, ended);
    });
    Ok(HttpResponse::Accepted().json(BackfillShown { backfill: answer }))
}
