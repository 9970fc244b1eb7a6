//! The page "Exotel" of a console that was written for another service: one account's credentials, its DIDs, their test
//! call, at that service's paths and in its words. Behind them is what the account's own endpoints do.

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Bytes, Data, Path},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    api::{Answer, ApiError, body},
    auth::{Endpoint, delete, get, post, put},
    bots, clicks, dids,
};
use crate::{
    access::{Caller, Role},
    app::Services,
    config::{Account, Did},
    dialer::Declined,
    directory::{DidPatch, Entry},
    store::ClickState,
};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/v1/integrations/exotel", Role::SuperAdmin, |route| route.to(show)),
    put("/api/v1/integrations/exotel", Role::SuperAdmin, |route| route.to(upsert)).noted(),
    post("/api/v1/integrations/exotel/dids", Role::SuperAdmin, |route| route.to(make)),
    put("/api/v1/integrations/exotel/dids/{id}", Role::SuperAdmin, |route| route.to(edit)),
    delete("/api/v1/integrations/exotel/dids/{id}", Role::SuperAdmin, |route| route.to(remove)),
    get("/api/v1/integrations/exotel/test-call-options", Role::Admin, |route| route.to(test_call_options)),
    post("/api/v1/integrations/exotel/dids/{id}/test-call", Role::Admin, |route| route.to(test_call)).noted(),
];

/// Which account these paths, which name none, speak of: the one that `?account_sid=` says, else the only one that the
/// caller may see. `None`: there is none at all.
fn account<'s>(
    request: &HttpRequest,
    services: &'s Services,
    caller: &Caller,
) -> Result<Option<&'s Account>, ApiError> {
    let visible: Vec<&Account> =
        services.config.accounts.iter().filter(|account| caller.may_see(&account.sid)).collect();
    let pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
    let named = pairs.filter(|(name, _)| name == "account_sid").map(|(_, sid)| sid.into_owned()).last();
    match (named, visible.as_slice()) {
        (Some(sid), visible) => match visible.iter().copied().find(|account| account.sid == sid) {
            Some(account) => Ok(Some(account)),
            None => Err(ApiError::NotFound(format!("there is no account {sid:?}"))),
        },
        (None, []) => Ok(None),
        (None, [account]) => Ok(Some(*account)),
        (None, several) => {
            let sids: Vec<&str> = several.iter().map(|account| account.sid.as_str()).collect();
            Err(ApiError::Conflict(format!(
                "there are several accounts: say which, as ?account_sid= one of {}",
                sids.join(", ")
            )))
        }
    }
}

fn configured<'s>(request: &HttpRequest, services: &'s Services, caller: &Caller) -> Result<&'s Account, ApiError> {
    let found = account(request, services, caller)?;
    found.ok_or_else(|| ApiError::Conflict("there is no account yet: configure its credentials first".to_owned()))
}

/// The address is that of seed and console alike: by the bot's id, no credential in it.
fn did_shown(services: &Services, did: &Entry<Did>) -> Value {
    let Did { number, label, bot_id, flow_url } = &did.profile;
    let address = bot_id.as_ref().map(|id| format!("{}/exotel/{id}", bots::websocket_base(services)));
    json!({
        "id": did.id,
        "number": number,
        "label": label.as_deref().unwrap_or_default(),
        "bot_id": bot_id,
        "flow_url": flow_url.as_deref().unwrap_or_default(),
        "websocket_url": address.unwrap_or_default(),
    })
}

fn shown(services: &Services, account: Option<&Account>) -> Value {
    let dids = account.map(|account| services.bots.dids(&account.sid)).unwrap_or_default();
    let dids: Vec<Value> = dids.all().map(|did| did_shown(services, did)).collect();
    json!({
        "type": "exotel",
        "account_sid": account.map(|account| account.sid.as_str()),
        "api_base_url": account.map(|account| account.api_url.as_str().trim_end_matches('/')),
        // An account is not made without them.
        "credentials_configured": account.is_some(),
        "status": if account.is_some() { "configured" } else { "not_configured" },
        "dids": dids,
    })
}

async fn show(request: HttpRequest, services: Data<Services>, caller: Caller) -> Answer {
    Ok(HttpResponse::Ok().json(shown(&services, account(&request, &services, &caller)?)))
}

/// Empty texts are as good as none: a field that was left as it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Credentials {
    account_sid: Option<String>,
    api_key: Option<String>,
    api_token: Option<String>,
    api_base_url: Option<String>,
}

async fn upsert(request: HttpRequest, services: Data<Services>, caller: Caller, bytes: Bytes) -> Answer {
    let asked: Credentials = body(&bytes)?;
    let sid = asked.account_sid.as_deref().map(str::trim).filter(|sid| !sid.is_empty());
    let sid = match (sid, account(&request, &services, &caller)) {
        (Some(sid), _) => sid.to_owned(),
        (None, Ok(Some(account))) => account.sid.clone(),
        (None, Ok(None)) => return Err(ApiError::BadRequest("account_sid: is missing".to_owned())),
        (None, Err(error)) => return Err(error),
    };
    keep_credentials(&services, &sid, &asked, &caller.who).await?;
    Ok(HttpResponse::Ok().json(shown(&services, services.account(&sid))))
}

/// Where credentials come into the store, once accounts are kept there: all that is missing behind this endpoint.
async fn keep_credentials(services: &Services, sid: &str, asked: &Credentials, _by: &str) -> Result<(), ApiError> {
    let Credentials { api_key, api_token, api_base_url, .. } = asked;
    let _ = (api_key, api_token, api_base_url);
    Err(ApiError::Conflict(match services.account(sid) {
        Some(_) => "this account is in the configuration file: change it there".to_owned(),
        None => format!("there is no account {sid:?}, and none can be made here: put it into the configuration file"),
    }))
}

/// What that console sends, and whatever else it does.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Sent {
    number: Option<String>,
    #[serde(deserialize_with = "some")]
    label: Option<Option<String>>,
    #[serde(deserialize_with = "some")]
    bot_id: Option<Option<String>>,
    #[serde(deserialize_with = "some")]
    flow_url: Option<Option<String>>,
}

fn some<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(from).map(Some)
}

impl From<Sent> for DidPatch {
    fn from(sent: Sent) -> Self {
        let Sent { number, label, bot_id, flow_url } = sent;
        Self { number, label, bot_id, flow_url, version: None }
    }
}

async fn make(request: HttpRequest, services: Data<Services>, caller: Caller, bytes: Bytes) -> Answer {
    let account = configured(&request, &services, &caller)?;
    let sent: Sent = body(&bytes)?;
    let made = services.bots.make_did(&account.sid, &sent.into(), &caller.who).await?;
    Ok(HttpResponse::Created().json(did_shown(&services, &made)))
}

async fn edit(
    request: HttpRequest,
    services: Data<Services>,
    caller: Caller,
    id: Path<String>,
    bytes: Bytes,
) -> Answer {
    let account = configured(&request, &services, &caller)?;
    let sent: Sent = body(&bytes)?;
    let edited = services.bots.edit_did(&account.sid, &id, &sent.into(), &caller.who).await?;
    Ok(HttpResponse::Ok().json(did_shown(&services, &edited)))
}

async fn remove(request: HttpRequest, services: Data<Services>, caller: Caller, id: Path<String>) -> Answer {
    let account = configured(&request, &services, &caller)?;
    services.bots.remove_did(&account.sid, &id, None, &caller.who).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn test_call_options(request: HttpRequest, services: Data<Services>, caller: Caller) -> Answer {
    let account = account(&request, &services, &caller)?;
    let dids = account.map(|account| dids::options(&services, &account.sid)).unwrap_or_default();
    Ok(HttpResponse::Ok().json(json!({ "credentials_configured": account.is_some(), "dids": dids })))
}

#[derive(Deserialize)]
struct TestCall {
    to_number: String,
}

async fn test_call(
    request: HttpRequest,
    services: Data<Services>,
    caller: Caller,
    id: Path<String>,
    bytes: Bytes,
) -> Answer {
    let account = configured(&request, &services, &caller)?;
    let did = dids::found(&services, &account.sid, &id)?;
    let TestCall { to_number } = body(&bytes)?;
    let key = clicks::key(&request)?;
    // Its words for an answer are two: Exotel has placed it, or the gateway is bad. What is not known is no success.
    Ok(match dids::place(&services, &account.sid, &did, &to_number, key).await? {
        Ok(click) => {
            let status = match &click.state {
                ClickState::Placed { .. } => StatusCode::OK,
                ClickState::NotPlaced { .. } => StatusCode::UNPROCESSABLE_ENTITY,
                _ => StatusCode::BAD_GATEWAY,
            };
            dids::told(&account.sid, &did, &click, status)
        }
        Err(declined @ (Declined::Busy(_) | Declined::Unreachable(_))) => {
            clicks::refusal(&declined, StatusCode::BAD_GATEWAY)
        }
        Err(declined) => clicks::refusal(&declined, clicks::parts(&declined).0),
    })
}
