//! DIDs in the API, and their test call: a customer is rung, and put into the flow of the number.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
    web::{Bytes, Data, Path},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    api::{Answer, ApiError, Removal, body, query},
    auth::{Endpoint, delete, get, patch, post, put},
    bots, clicks,
    openapi::Wrong,
};
use crate::{
    access::{Caller, Role},
    app::Services,
    call::phone,
    codes::Code,
    config::Did,
    dialer::{Declined, TestWish},
    directory::{DidPatch, Entry, Source},
    store::{Click, ClickState},
};

/// Of who brings no key, the same telephone and DID within this time are the same test call.
const SAME_CALL: Duration = Duration::from_secs(20);

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/v1/accounts/{sid}/dids", Role::Admin, |route| route.to(list))
        .says("list_dids", "The account's DIDs, those of the file first")
        .gives::<DidsShown>(200),
    post("/api/v1/accounts/{sid}/dids", Role::SuperAdmin, |route| route.to(make))
        .says("make_did", "Adds a DID")
        .body::<DidPatch>()
        .gives::<DidShown>(201),
    get("/api/v1/accounts/{sid}/dids/test-call-options", Role::Admin, |route| route.to(test_call_options))
        .says("list_test_call_options", "The DIDs that a test call can be placed to")
        .gives::<Options>(200),
    get("/api/v1/accounts/{sid}/dids/{id}", Role::Admin, |route| route.to(show))
        .says("get_did", "A DID")
        .gives::<DidShown>(200),
    patch("/api/v1/accounts/{sid}/dids/{id}", Role::SuperAdmin, |route| route.to(edit))
        .says("edit_did", "Changes what is named of a DID; null takes it away")
        .body::<DidPatch>()
        .gives::<DidShown>(200),
    put("/api/v1/accounts/{sid}/dids/{id}", Role::SuperAdmin, |route| route.to(replace))
        .says("replace_did", "Takes away what is not named of a DID")
        .body::<DidPatch>()
        .gives::<DidShown>(200),
    delete("/api/v1/accounts/{sid}/dids/{id}", Role::SuperAdmin, |route| route.to(remove))
        .says("delete_did", "Removes a DID")
        .query::<Removal>()
        .gives_nothing(),
    post("/api/v1/accounts/{sid}/dids/{id}/test-call", Role::Admin, |route| route.to(test_call))
        .noted()
        .says("place_test_call", "Rings a customer and puts him into the flow of the DID; once for each key")
        .header(clicks::KEY, "New for each call, the same when the same is asked again.")
        .body::<TestCall>()
        .gives::<TestCallShown>(201)
        .or(&[202, 502]),
];

/// A DID, and where what answers it is reached.
#[derive(Serialize, JsonSchema)]
struct DidShown {
    #[serde(flatten)]
    did: Entry<Did>,
    /// Of its bot, the token hidden.
    websocket_url: Option<String>,
    editable: bool,
}

#[derive(Serialize, JsonSchema)]
struct DidsShown {
    dids: Vec<DidShown>,
}

fn shown(services: &Services, sid: &str, did: &Entry<Did>) -> DidShown {
    let bot = did.profile.bot_id.as_deref().filter(|id| services.bots.of(sid).get(id).is_some());
    DidShown {
        did: did.clone(),
        websocket_url: bot.map(|_| bots::hidden_url(services)),
        editable: did.source == Source::Store,
    }
}

/// A DID that a test call can be placed to, without anything else of it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TestCallOption")]
pub(super) struct Choice {
    id: String,
    number: String,
    label: Option<String>,
    bot_id: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TestCallOptions")]
struct Options {
    dids: Vec<Choice>,
}

pub(super) fn options(services: &Services, sid: &str) -> Vec<Choice> {
    let dids = services.bots.dids(sid);
    let usable = dids.all().filter(|did| did.profile.flow_url.is_some());
    let shown = |did: &Entry<Did>| {
        let Did { number, label, bot_id, .. } = did.profile.clone();
        Choice { id: did.id.clone(), number, label, bot_id }
    };
    usable.map(shown).collect()
}

pub(super) fn found(services: &Services, sid: &str, id: &str) -> Result<Entry<Did>, ApiError> {
    let found = services.bots.dids(sid).get(id).cloned();
    found.ok_or_else(|| ApiError::NotFound("there is no such DID: see …/dids".to_owned()))
}

async fn list(services: Data<Services>, sid: Path<String>) -> Answer {
    let dids = services.bots.dids(&sid);
    let dids = dids.all().map(|did| shown(&services, &sid, did)).collect();
    Ok(HttpResponse::Ok().json(DidsShown { dids }))
}

async fn show(services: Data<Services>, path: Path<(String, String)>) -> Answer {
    let (sid, id) = path.into_inner();
    Ok(HttpResponse::Ok().json(shown(&services, &sid, &found(&services, &sid, &id)?)))
}

async fn make(services: Data<Services>, caller: Caller, sid: Path<String>, bytes: Bytes) -> Answer {
    let asked: DidPatch = body(&bytes)?;
    let made = services.bots.make_did(&sid, &asked, &caller.who).await?;
    Ok(HttpResponse::Created().json(shown(&services, &sid, &made)))
}

async fn edit(services: Data<Services>, caller: Caller, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    change(&services, &caller, path, body(&bytes)?).await
}

async fn replace(services: Data<Services>, caller: Caller, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    let asked: DidPatch = body(&bytes)?;
    change(&services, &caller, path, asked.whole()).await
}

async fn change(services: &Services, caller: &Caller, path: Path<(String, String)>, asked: DidPatch) -> Answer {
    let (sid, id) = path.into_inner();
    let did = services.bots.edit_did(&sid, &id, &asked, &caller.who).await?;
    Ok(HttpResponse::Ok().json(shown(services, &sid, &did)))
}

async fn remove(
    request: HttpRequest,
    services: Data<Services>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Answer {
    let (sid, id) = path.into_inner();
    let Removal { version } = query(&request)?;
    services.bots.remove_did(&sid, &id, version, &caller.who).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn test_call_options(services: Data<Services>, sid: Path<String>) -> Answer {
    Ok(HttpResponse::Ok().json(Options { dids: options(&services, &sid) }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TestCall {
    /// The telephone that is to ring.
    #[serde(alias = "to_number")]
    to: String,
}

async fn test_call(
    request: HttpRequest,
    services: Data<Services>,
    path: Path<(String, String)>,
    bytes: Bytes,
) -> Answer {
    let (sid, id) = path.into_inner();
    let did = found(&services, &sid, &id)?;
    let key = clicks::key(&request)?.ok_or_else(clicks::no_key)?;
    let TestCall { to } = body(&bytes)?;
    Ok(match place(&services, &sid, &did, &to, Some(key)).await? {
        Ok(click) => told(&sid, &did, &click, clicks::status(&click.state)),
        Err(declined) => clicks::refusal(&declined, declined_status(&declined)),
    })
}

/// Has the call placed, once for a key. Without one, a second press of the button is the same call.
pub(super) async fn place(
    services: &Services,
    sid: &str,
    did: &Entry<Did>,
    to: &str,
    key: Option<[u8; 32]>,
) -> Result<Result<Click, Declined>, ApiError> {
    let account = services.account(sid).zip(services.dialer(sid));
    let (account, dialer) = account.ok_or_else(|| ApiError::NotFound("there is no such account".to_owned()))?;
    let one = phone::parse(to, &account.country).map_or_else(|| to.trim().to_owned(), |number| number.e164);
    let fingerprint = clicks::hash(&["test call", &did.id, &one]);
    let wish = TestWish {
        key: key.unwrap_or(fingerprint),
        fingerprint,
        renew_after: key.is_none().then_some(SAME_CALL),
        customer: to.to_owned(),
        did: did.profile.number.clone(),
        flow_url: did.profile.flow_url.clone(),
        custom_field: format!("cxb-test:{}", did.id),
    };
    Ok(dialer.test_call(&wish).await)
}

/// That Exotel cannot be reached is Exotel's trouble.
fn declined_status(declined: &Declined) -> StatusCode {
    match declined {
        Declined::Unreachable(_) => StatusCode::BAD_GATEWAY,
        declined => clicks::parts(declined).0,
    }
}

/// A test call, and what became of it.
#[derive(Serialize, JsonSchema)]
pub(super) struct TestCallShown {
    /// Of its click.
    id: Uuid,
    /// As of a click.
    state: &'static str,
    did_id: String,
    number: String,
    to_number: String,
    call_sid: Option<String>,
    /// Where it stood in Exotel's answer.
    provider_status: Option<String>,
    /// What is to be done about it, where something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Wrong>,
}

/// What became of it. What Exotel refuses is its answer: whoever asks us has asked for nothing wrong.
pub(super) fn told(sid: &str, did: &Entry<Did>, click: &Click, status: StatusCode) -> HttpResponse {
    let (mut call_sid, mut provider_status) = (None, None);
    let (status, code) = match &click.state {
        ClickState::Placed { call_sid: sid, status: word } => {
            (call_sid, provider_status) = (Some(sid.clone()), word.clone());
            (status, None)
        }
        ClickState::Refused { .. } => (StatusCode::BAD_GATEWAY, Some(Code::Upstream)),
        ClickState::NotPlaced { .. } => (status, Some(Code::NotPlaced)),
        _ if status == StatusCode::BAD_GATEWAY => (status, Some(Code::Unknown)),
        _ => (status, None),
    };
    let message = clicks::advice(&click.state);
    let shown = TestCallShown {
        id: click.id,
        state: click.state.as_str(),
        did_id: did.id.clone(),
        number: did.profile.number.clone(),
        to_number: click.agent.clone(),
        call_sid,
        provider_status,
        error: code.map(|code| Wrong::new(code, message.clone().unwrap_or_default())),
        message,
    };
    let place = format!("/api/v1/accounts/{sid}/clicks/{}", click.id);
    HttpResponseBuilder::new(status).insert_header((header::LOCATION, place)).json(shown)
}
