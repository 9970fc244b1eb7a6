//! Calls in the API: which there were, what happened to one, planning it again, a link to its recording.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Bytes, Data, Path},
};
use jiff::Timestamp;
use patchbay_kit::Outcome;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    api::{Answer, ApiError, body, limit, query},
    auth::{Endpoint, get, post},
    deliveries::{NOT_THERE, Sent},
    recording, timeline,
};
use crate::{
    access::Role,
    app::Services,
    delivery::LaneHandle,
    store::{CallFilter, CallRef, CallSummary, DeliveryFilter, DeliveryState},
};

/// How long a link to a recording from the API works.
const LINK: Duration = Duration::from_secs(15 * 60);

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/v1/accounts/{sid}/calls", Role::Agent, |route| route.to(calls))
        .says("list_calls", "Calls, the one last seen first")
        .query::<CallsQuery>()
        .gives::<CallsShown>(200),
    get("/api/v1/accounts/{sid}/calls/{call_sid}", Role::Agent, |route| route.to(call))
        .says("get_call", "A call with its timeline: each event, decision, request to a CRM and answer")
        .gives::<timeline::CallShown>(200),
    post("/api/v1/accounts/{sid}/calls/{call_sid}/resync", Role::Admin, |route| route.to(resync))
        .noted()
        .says("resync_call", "Plans a call anew and sends what did not get there")
        .body::<Resync>()
        .gives::<Sent>(202),
    get("/api/v1/accounts/{sid}/calls/{call_sid}/recording", Role::Agent, |route| route.to(recording_link))
        .says("get_recording", "A short-lived link to a call's recording")
        .gives::<RecordingLink>(200),
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CallsQuery {
    /// answered, voicemail, missed or flow_ended.
    #[schemars(with = "Option<String>")]
    outcome: Option<Outcome>,
    /// Customer or ExoPhone, in any writing; compared from the end.
    number: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// The `next` of the page before.
    before: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
struct CallsShown {
    calls: Vec<CallSummary>,
    /// `before` of the next page, if there is one.
    next: Option<String>,
}

async fn calls(request: HttpRequest, services: Data<Services>, sid: Path<String>) -> Answer {
    let asked: CallsQuery = query(&request)?;
    let digits = asked.number.map(|text| {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        // Exotel writes 0 and the national number, people write the country code: the last ten digits are common.
        digits[digits.len().saturating_sub(10)..].trim_start_matches('0').to_owned()
    });
    let filter = CallFilter {
        outcome: asked.outcome,
        number: digits,
        since: asked.since,
        until: asked.until,
        before: asked.before,
        limit: limit(asked.limit),
    };
    let page = services.store.list_calls(&sid, &filter).await?;
    Ok(HttpResponse::Ok().json(CallsShown { calls: page.items, next: page.next }))
}

async fn call(services: Data<Services>, path: Path<(String, String)>) -> Answer {
    let (account, call_sid) = path.into_inner();
    let file = services.store.call_file(&CallRef { account, call_sid }).await?;
    let file = file.ok_or_else(|| ApiError::NotFound("there is no such call".to_owned()))?;
    Ok(HttpResponse::Ok().json(timeline::call(&file)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resync {
    /// Only this integration; all without it.
    integration: Option<String>,
    /// Look for the CRM's records of this call anew: those that are there are written whole, those that are gone (a
    /// ticket deleted by hand) are made again.
    #[serde(default)]
    rewrite: bool,
}

async fn resync(services: Data<Services>, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    let (account, call_sid) = path.into_inner();
    let asked: Resync = body(&bytes)?;
    let call = CallRef { account: account.clone(), call_sid: call_sid.clone() };
    if asked.rewrite {
        services.store.forget_links(&call, asked.integration.as_deref()).await?;
    }
    if !services.decider.replan(&call).await? {
        return Err(ApiError::NotFound("there is no such call".to_owned()));
    }
    let mut states = NOT_THERE.to_vec();
    if asked.rewrite {
        states.push(DeliveryState::Done);
    }
    let filter =
        DeliveryFilter { integration: asked.integration, call_sid: Some(call_sid), states, ..Default::default() };
    let sent = services.store.redrive(&account, &filter, asked.rewrite, Timestamp::now()).await?;
    services.lanes_of(&account).iter().for_each(LaneHandle::wake);
    Ok(HttpResponse::Accepted().json(Sent { deliveries: sent }))
}

#[derive(Serialize, JsonSchema)]
struct RecordingLink {
    url: String,
    expires_at: Timestamp,
}

async fn recording_link(services: Data<Services>, path: Path<(String, String)>) -> Answer {
    let (account, call_sid) = path.into_inner();
    let file = services.store.call_file(&CallRef { account: account.clone(), call_sid: call_sid.clone() }).await?;
    match file.map(|file| file.state.recording_url.is_some()) {
        Some(true) => {}
        Some(false) => return Err(ApiError::NotFound("there is no recording of this call (yet)".to_owned())),
        None => return Err(ApiError::NotFound("there is no such call".to_owned())),
    }
    let expires_at = Timestamp::now() + LINK;
    let url = recording::link(services.public_url(), &services.key, &account, &call_sid, Some(expires_at));
    Ok(HttpResponse::Ok().json(RecordingLink { url, expires_at }))
}
