//! The page "Exotel" of a console that was written for another service: one account's credentials, its DIDs, their test
//! call, at that service's paths and in its words. Behind them is what the account's own endpoints do.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Bytes, Data, Path},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    api::{Answer, ApiError, body, query},
    auth::{Endpoint, delete, get, post, put},
    clicks, dids,
};
use crate::{
    access::{Caller, Role},
    accounts::Asked,
    app::Services,
    config::{Account, Did},
    dialer::Declined,
    directory::{DidPatch, Entry},
    store::ClickState,
};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/v1/integrations/exotel", Role::SuperAdmin, |route| route.to(show))
        .says("get_exotel", "Another console's page: how Exotel is configured, and its DIDs")
        .query::<Which>()
        .gives::<Page>(200),
    put("/api/v1/integrations/exotel", Role::SuperAdmin, |route| route.to(upsert))
        .says("put_exotel", "Gives an account of Exotel its credentials")
        .query::<Which>()
        .body::<Credentials>()
        .gives::<Page>(200),
    post("/api/v1/integrations/exotel/dids", Role::SuperAdmin, |route| route.to(make))
        .says("make_exotel_did", "Adds a DID, in that console's words")
        .query::<Which>()
        .body::<Sent>()
        .gives::<PageDid>(201),
    put("/api/v1/integrations/exotel/dids/{id}", Role::SuperAdmin, |route| route.to(edit))
        .says("edit_exotel_did", "Changes what is named of a DID, in that console's words")
        .query::<Which>()
        .body::<Sent>()
        .gives::<PageDid>(200),
    delete("/api/v1/integrations/exotel/dids/{id}", Role::SuperAdmin, |route| route.to(remove))
        .says("delete_exotel_did", "Removes a DID")
        .query::<Which>()
        .gives_nothing(),
    get("/api/v1/integrations/exotel/test-call-options", Role::Admin, |route| route.to(test_call_options))
        .says("list_exotel_test_call_options", "The DIDs that a test call can be placed to")
        .query::<Which>()
        .gives::<PageOptions>(200),
    post("/api/v1/integrations/exotel/dids/{id}/test-call", Role::Admin, |route| route.to(test_call))
        .noted()
        .says("place_exotel_test_call", "Rings a customer and puts him into the flow of the DID")
        .query::<Which>()
        .body::<TestCall>()
        .gives::<dids::TestCallShown>(200)
        .or(&[502]),
];

#[derive(Deserialize, JsonSchema)]
struct Which {
    /// Needed where there are several accounts.
    account_sid: Option<String>,
}

/// Which account these paths, which name none, speak of: the one that `?account_sid=` says, else the only one that the
/// caller may see. `None`: there is none at all.
fn account(request: &HttpRequest, services: &Services, caller: &Caller) -> Result<Option<Arc<Account>>, ApiError> {
    let roll = services.accounts.load();
    let visible: Vec<&Arc<Account>> =
        roll.iter().map(|running| &running.account).filter(|account| caller.may_see(&account.sid)).collect();
    let Which { account_sid: named } = query(request)?;
    match (named, visible.as_slice()) {
        (Some(sid), visible) => match visible.iter().find(|account| account.sid == sid) {
            Some(account) => Ok(Some(Arc::clone(account))),
            None => Err(ApiError::NotFound(format!("there is no account {sid:?}"))),
        },
        (None, []) => Ok(None),
        (None, [account]) => Ok(Some(Arc::clone(account))),
        (None, several) => {
            let sids: Vec<&str> = several.iter().map(|account| account.sid.as_str()).collect();
            Err(ApiError::Conflict(format!(
                "there are several accounts: say which, as ?account_sid= one of {}",
                sids.join(", ")
            )))
        }
    }
}

fn configured(request: &HttpRequest, services: &Services, caller: &Caller) -> Result<Arc<Account>, ApiError> {
    let found = account(request, services, caller)?;
    found.ok_or_else(|| ApiError::Conflict("there is no account yet: configure its credentials first".to_owned()))
}

/// A DID in that console's words; what is not set is empty.
#[derive(Serialize, JsonSchema)]
struct PageDid {
    id: String,
    number: String,
    label: String,
    bot_id: Option<String>,
    flow_url: String,
    /// By the bot's id: no credential is in it.
    websocket_url: String,
}

fn did_shown(services: &Services, did: &Entry<Did>) -> PageDid {
    let Did { number, label, bot_id, flow_url } = did.profile.clone();
    let address = bot_id.as_ref().map(|id| format!("{}/exotel/{id}", services.websocket_base()));
    PageDid {
        id: did.id.clone(),
        number,
        label: label.unwrap_or_default(),
        bot_id,
        flow_url: flow_url.unwrap_or_default(),
        websocket_url: address.unwrap_or_default(),
    }
}

/// An account of Exotel, without its credentials.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ExotelPage")]
struct Page {
    r#type: &'static str,
    account_sid: Option<String>,
    api_base_url: Option<String>,
    credentials_configured: bool,
    /// configured or not_configured.
    status: &'static str,
    dids: Vec<PageDid>,
}

fn shown(services: &Services, account: Option<&Account>) -> Page {
    let dids = account.map(|account| services.bots.dids(&account.sid)).unwrap_or_default();
    Page {
        r#type: "exotel",
        account_sid: account.map(|account| account.sid.clone()),
        api_base_url: account.map(|account| account.api_url.as_str().trim_end_matches('/').to_owned()),
        // An account is not made without them.
        credentials_configured: account.is_some(),
        status: if account.is_some() { "configured" } else { "not_configured" },
        dids: dids.all().map(|did| did_shown(services, did)).collect(),
    }
}

async fn show(request: HttpRequest, services: Data<Services>, caller: Caller) -> Answer {
    Ok(HttpResponse::Ok().json(shown(&services, account(&request, &services, &caller)?.as_deref())))
}

/// Empty texts are as good as none: a field that was left as it is.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Credentials {
    account_sid: Option<String>,
    api_key: Option<String>,
    api_token: Option<String>,
    api_base_url: Option<String>,
}

/// Makes the account, or gives the one that is there other credentials.
async fn upsert(request: HttpRequest, services: Data<Services>, caller: Caller, bytes: Bytes) -> Answer {
    let Credentials { account_sid, api_key, api_token, api_base_url } = body(&bytes)?;
    let given = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let sid = match (given(account_sid), account(&request, &services, &caller)) {
        (Some(sid), _) => sid,
        (None, Ok(Some(account))) => account.sid.clone(),
        (None, Ok(None)) => return Err(ApiError::BadRequest("account_sid: is missing".to_owned())),
        (None, Err(error)) => return Err(error),
    };
    let settings = [("api_key", api_key), ("api_token", api_token), ("api_url", api_base_url)];
    let settings = settings.into_iter().filter_map(|(key, text)| Some((key.to_owned(), Value::from(given(text)?))));
    let mut asked = Asked { settings: settings.collect(), ..Asked::default() };
    let running = match services.account(&sid) {
        Some(_) => services.accounts.edit_account(&sid, &asked, &caller.who).await?,
        None => {
            asked.settings.insert("sid".to_owned(), sid.into());
            services.accounts.make_account(&asked, &caller.who).await?
        }
    };
    services.reload_doors().await?;
    Ok(HttpResponse::Ok().json(shown(&services, Some(&running.account))))
}

/// What that console sends, and whatever else it does.
#[derive(Default, Deserialize, JsonSchema)]
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

#[derive(Serialize, JsonSchema)]
struct PageOptions {
    credentials_configured: bool,
    dids: Vec<dids::Choice>,
}

async fn test_call_options(request: HttpRequest, services: Data<Services>, caller: Caller) -> Answer {
    let account = account(&request, &services, &caller)?;
    let dids = account.as_ref().map(|account| dids::options(&services, &account.sid)).unwrap_or_default();
    Ok(HttpResponse::Ok().json(PageOptions { credentials_configured: account.is_some(), dids }))
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "PageTestCall")]
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
