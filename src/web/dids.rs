//! DIDs in the API, and their test call: a customer is rung, and put into the flow of the number.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
    web::{Bytes, Data, Path},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    api::{Answer, ApiError, body, query},
    auth::{Endpoint, delete, get, patch, post, put},
    bots, clicks,
    users::Removal,
};
use crate::{
    access::{Caller, Role},
    app::Services,
    call::phone,
    config::Did,
    dialer::{Declined, TestWish},
    directory::{DidPatch, Entry, Source},
    store::{Click, ClickState},
};

/// Of who brings no key, the same telephone and DID within this time are the same test call.
const SAME_CALL: Duration = Duration::from_secs(20);

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/v1/accounts/{sid}/dids", Role::Admin, |route| route.to(list)),
    post("/api/v1/accounts/{sid}/dids", Role::SuperAdmin, |route| route.to(make)),
    get("/api/v1/accounts/{sid}/dids/test-call-options", Role::Admin, |route| route.to(test_call_options)),
    get("/api/v1/accounts/{sid}/dids/{id}", Role::Admin, |route| route.to(show)),
    patch("/api/v1/accounts/{sid}/dids/{id}", Role::SuperAdmin, |route| route.to(edit)),
    put("/api/v1/accounts/{sid}/dids/{id}", Role::SuperAdmin, |route| route.to(replace)),
    delete("/api/v1/accounts/{sid}/dids/{id}", Role::SuperAdmin, |route| route.to(remove)),
    post("/api/v1/accounts/{sid}/dids/{id}/test-call", Role::Admin, |route| route.to(test_call)).noted(),
];

fn shown(services: &Services, sid: &str, did: &Entry<Did>) -> Value {
    let bot = did.profile.bot_id.as_deref().filter(|id| services.bots.of(sid).get(id).is_some());
    let mut shown = serde_json::to_value(did).unwrap_or_default();
    shown["websocket_url"] = json!(bot.map(|_| bots::hidden_url(services)));
    shown["editable"] = json!(did.source == Source::Store);
    shown
}

/// The DIDs that a test call can be placed to, without anything else of them.
pub(super) fn options(services: &Services, sid: &str) -> Vec<Value> {
    let dids = services.bots.dids(sid);
    let usable = dids.all().filter(|did| did.profile.flow_url.is_some());
    let shown = |did: &Entry<Did>| {
        let Did { number, label, bot_id, .. } = &did.profile;
        json!({ "id": did.id, "number": number, "label": label, "bot_id": bot_id })
    };
    usable.map(shown).collect()
}

pub(super) fn found(services: &Services, sid: &str, id: &str) -> Result<Entry<Did>, ApiError> {
    let found = services.bots.dids(sid).get(id).cloned();
    found.ok_or_else(|| ApiError::NotFound("there is no such did".to_owned()))
}

async fn list(services: Data<Services>, sid: Path<String>) -> Answer {
    let dids = services.bots.dids(&sid);
    let items: Vec<Value> = dids.all().map(|did| shown(&services, &sid, did)).collect();
    Ok(HttpResponse::Ok().json(json!({ "dids": items })))
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
    Ok(HttpResponse::Ok().json(json!({ "dids": options(&services, &sid) })))
}

#[derive(Deserialize)]
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
    let account = services.account(sid).zip(services.dialers.get(sid));
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

/// What became of it. What Exotel refuses is its answer: whoever asks us has asked for nothing wrong.
pub(super) fn told(sid: &str, did: &Entry<Did>, click: &Click, status: StatusCode) -> HttpResponse {
    let mut shown = json!({
        "id": click.id,
        "state": click.state.as_str(),
        "did_id": did.id,
        "number": did.profile.number,
        "to_number": click.agent,
        "call_sid": Value::Null,
        "provider_status": Value::Null,
    });
    if let Some(advice) = clicks::advice(&click.state) {
        shown["message"] = advice.into();
    }
    let (status, code) = match &click.state {
        ClickState::Placed { call_sid, status: word } => {
            shown["call_sid"] = call_sid.as_str().into();
            shown["provider_status"] = word.as_deref().into();
            (status, None)
        }
        ClickState::Refused { .. } => (StatusCode::BAD_GATEWAY, Some("upstream")),
        ClickState::NotPlaced { .. } => (status, Some("not_placed")),
        _ if status == StatusCode::BAD_GATEWAY => (status, Some("unknown")),
        _ => (status, None),
    };
    if let Some(code) = code {
        shown["error"] = json!({ "code": code, "message": shown["message"] });
    }
    let place = format!("/api/v1/accounts/{sid}/clicks/{}", click.id);
    HttpResponseBuilder::new(status).insert_header((header::LOCATION, place)).json(shown)
}
