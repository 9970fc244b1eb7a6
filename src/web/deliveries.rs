//! What waits in the API: deliveries, receipts that could not be read, and sending or reading them again.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Bytes, Data, Path},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    api::{Answer, ApiError, body, limit, query},
    auth::{Endpoint, get, post},
    timeline,
};
use crate::{
    access::Role,
    app::Services,
    delivery::LaneHandle,
    store::{DeliveryFilter, DeliveryState},
};

/// What a person means by "again": what is wanted and did not get there.
pub(super) const NOT_THERE: [DeliveryState; 3] = [DeliveryState::Held, DeliveryState::Dead, DeliveryState::Pending];
/// Characters of a set-aside receipt's body that are shown.
const BODY_SHOWN: usize = 4000;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/v1/accounts/{sid}/deliveries", Role::Admin, |route| route.to(deliveries))
        .says("list_deliveries", "What is to be written into CRMs and how it stands, the newest first")
        .query::<DeliveriesQuery>()
        .gives::<DeliveriesShown>(200),
    post("/api/v1/accounts/{sid}/deliveries/retry", Role::Admin, |route| route.to(retry))
        .noted()
        .says("retry_deliveries", "Sends again what is held, dead or waiting")
        .body::<Retry>()
        .gives::<Sent>(202),
    get("/api/v1/accounts/{sid}/receipts", Role::Admin, |route| route.to(set_aside))
        .says("list_receipts", "Callbacks that could not be read, and why")
        .query::<ReceiptsQuery>()
        .gives::<ReceiptsShown>(200),
    post("/api/v1/accounts/{sid}/receipts/replay", Role::Admin, |route| route.to(replay))
        .noted()
        .says("replay_receipts", "Reads again what could not be read")
        .gives::<Replayed>(202),
];

/// Ids of deliveries that are tried again now.
#[derive(Serialize, JsonSchema)]
pub(super) struct Sent {
    pub(super) deliveries: Vec<Uuid>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeliveriesQuery {
    /// One or several: `state=held&state=dead`, or `state=held,dead`.
    #[serde(default)]
    state: Vec<String>,
    integration: Option<String>,
    call_sid: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
struct DeliveriesShown {
    deliveries: Vec<timeline::DeliveryShown>,
    next: Option<String>,
}

fn states(names: &[String]) -> Result<Vec<DeliveryState>, ApiError> {
    let names = names.iter().flat_map(|name| name.split(',')).map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| {
            DeliveryState::parse(name).ok_or_else(|| {
                let known = DeliveryState::ALL.map(DeliveryState::as_str).join(", ");
                ApiError::BadRequest(format!("there is no state {name:?}; there are: {known}"))
            })
        })
        .collect()
}

async fn deliveries(request: HttpRequest, services: Data<Services>, sid: Path<String>) -> Answer {
    let asked: DeliveriesQuery = query(&request)?;
    let filter = DeliveryFilter {
        ids: Vec::new(),
        states: states(&asked.state)?,
        integration: asked.integration,
        call_sid: asked.call_sid,
        before: asked.before,
        limit: limit(asked.limit),
    };
    let page = services.store.list_deliveries(&sid, &filter).await?;
    let deliveries = page.items.iter().map(timeline::delivery).collect();
    Ok(HttpResponse::Ok().json(DeliveriesShown { deliveries, next: page.next }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Retry {
    #[serde(default)]
    ids: Vec<Uuid>,
    /// Also as `state`, and as a single word.
    #[serde(default, alias = "state", deserialize_with = "one_or_many")]
    states: Vec<String>,
    integration: Option<String>,
    call_sid: Option<String>,
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

async fn retry(services: Data<Services>, sid: Path<String>, bytes: Bytes) -> Answer {
    let asked: Retry = body(&bytes)?;
    let mut states = states(&asked.states)?;
    if states.is_empty() && asked.ids.is_empty() && asked.call_sid.is_none() && asked.integration.is_none() {
        return Err(ApiError::BadRequest("say which: ids, states (held, dead, …), integration or call_sid".to_owned()));
    }
    if states.is_empty() && asked.ids.is_empty() {
        states = NOT_THERE.to_vec();
    }
    let filter = DeliveryFilter {
        ids: asked.ids,
        states,
        integration: asked.integration,
        call_sid: asked.call_sid,
        before: None,
        limit: 0,
    };
    let sent = services.store.redrive(&sid, &filter, false, Timestamp::now()).await?;
    services.lanes_of(&sid).iter().for_each(LaneHandle::probe_now);
    Ok(HttpResponse::Accepted().json(Sent { deliveries: sent }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReceiptsQuery {
    limit: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
struct ReceiptsShown {
    receipts: Vec<ReceiptShown>,
}

#[derive(Serialize, JsonSchema)]
struct ReceiptShown {
    id: Uuid,
    hook: &'static str,
    received_at: Timestamp,
    error: String,
    method: String,
    path: String,
    query: String,
    content_type: Option<String>,
    /// Its first 4 000 characters.
    body: String,
}

/// Callbacks that were answered 200 and could not be read: what came, and why.
async fn set_aside(request: HttpRequest, services: Data<Services>, sid: Path<String>) -> Answer {
    let asked: ReceiptsQuery = query(&request)?;
    let found = services.store.set_aside(&sid, limit(asked.limit) as usize).await?;
    let receipts = found
        .into_iter()
        .map(|(receipt, aside)| ReceiptShown {
            id: receipt.id,
            hook: receipt.hook.as_str(),
            received_at: receipt.received_at,
            error: aside.error,
            body: String::from_utf8_lossy(&receipt.body).chars().take(BODY_SHOWN).collect(),
            method: receipt.method,
            path: receipt.path,
            query: receipt.query,
            content_type: receipt.content_type,
        })
        .collect();
    Ok(HttpResponse::Ok().json(ReceiptsShown { receipts }))
}

/// How many are read again.
#[derive(Serialize, JsonSchema)]
struct Replayed {
    receipts: u64,
}

async fn replay(services: Data<Services>, sid: Path<String>) -> Answer {
    let receipts = services.store.replay_set_aside(&sid).await?;
    services.journal.notify_one();
    Ok(HttpResponse::Accepted().json(Replayed { receipts }))
}
