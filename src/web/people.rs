//! What people ask of a call: which CRM object it belongs to, and what is to be done after it. Both go through the journal,
//! so that they are durable, can be replayed, and hold whatever the call's own events say later.

use actix_web::{
    HttpResponse,
    web::{Bytes, Data, Path},
};
use jiff::Timestamp;
use patchbay_kit::{FollowUpKind, RecordRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    api::{self, Answer, ApiError},
    auth::{Endpoint, post},
};
use crate::{
    access::{Caller, Role},
    app::Services,
    call::{Asked, FollowUpWish, PersonRequest, shape},
    store::{CallRef, LaneRef, StoreError},
};

/// The longest text in a request: CRMs cut subjects at 255.
const TEXT_CHARS: usize = 255;
pub(super) const ENDPOINTS: &[Endpoint] = &[
    post("/api/v1/accounts/{sid}/calls/{call_sid}/contact", Role::Agent, |route| route.to(contact))
        .noted()
        .says("choose_contact", "Says which CRM object a call belongs to")
        .body::<Chosen>()
        .gives::<Taken>(202),
    post("/api/v1/accounts/{sid}/calls/{call_sid}/follow-up", Role::Agent, |route| route.to(follow_up))
        .noted()
        .says("follow_up", "Asks for something to be done after a call")
        .body::<Wanted>()
        .gives::<Taken>(202),
];

/// It is durable, and will be done.
#[derive(Serialize, JsonSchema)]
struct Taken {
    receipt: Uuid,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Chosen {
    integration: String,
    kind: String,
    id: String,
}

async fn contact(services: Data<Services>, caller: Caller, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    let call = call(&services, path).await?;
    let Chosen { integration, kind, id } = api::body(&bytes)?;
    for (name, text) in [("kind", &kind), ("id", &id)] {
        if text.trim().is_empty() || text.chars().count() > TEXT_CHARS {
            return Err(ApiError::BadRequest(format!("{name}: must have 1 to {TEXT_CHARS} characters")));
        }
    }
    ask(&services, &caller, call, integration, Asked::Contact { record: RecordRef::new(kind.trim(), id.trim()) }).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    integration: String,
    #[schemars(with = "shape::FollowUpKindShape")]
    kind: FollowUpKind,
    subject: Option<String>,
    due_at: Option<Timestamp>,
}

async fn follow_up(services: Data<Services>, caller: Caller, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    let call = call(&services, path).await?;
    let Wanted { integration, kind, subject, due_at } = api::body(&bytes)?;
    if subject.as_ref().is_some_and(|subject| subject.chars().count() > TEXT_CHARS) {
        return Err(ApiError::BadRequest(format!("subject: at most {TEXT_CHARS} characters")));
    }
    let subject = subject.filter(|subject| !subject.trim().is_empty());
    ask(&services, &caller, call, integration, Asked::FollowUp { wish: FollowUpWish { kind, subject, due_at } }).await
}

/// The call that is meant, if there is one.
async fn call(services: &Services, path: Path<(String, String)>) -> Result<CallRef, ApiError> {
    let (account, call_sid) = path.into_inner();
    let call = CallRef { account, call_sid };
    if services.store.calls(std::slice::from_ref(&call)).await?.is_empty() {
        return Err(ApiError::NotFound("there is no call of this CallSid: see …/calls".to_owned()));
    }
    Ok(call)
}

async fn ask(services: &Services, caller: &Caller, call: CallRef, integration: String, asked: Asked) -> Answer {
    let account = services.account(&call.account);
    let there: Vec<&str> = account.iter().flat_map(|one| &one.integrations).map(|one| one.name.as_str()).collect();
    if !there.contains(&integration.as_str()) {
        return Err(ApiError::BadRequest(format!(
            "integration: there is none of the name {integration:?}; there are: {}",
            there.join(", ")
        )));
    }
    let lane = LaneRef { account: call.account.clone(), integration: integration.clone() };
    if let (Asked::FollowUp { wish }, Some(lane)) = (&asked, services.lane(&lane)) {
        let able = lane.driver().connector.follow_ups().map_or(&[][..], |follow_ups| follow_ups.kinds());
        if !able.contains(&wish.kind) {
            let able: Vec<&str> = able.iter().map(|kind| kind.as_str()).collect();
            let told = if able.is_empty() { "none".to_owned() } else { able.join(", ") };
            return Err(ApiError::BadRequest(format!(
                "kind: {integration} makes no {} after a call; it makes: {told}",
                wish.kind.as_str()
            )));
        }
    }
    let request = PersonRequest { call_sid: call.call_sid, integration, by: caller.who.clone(), asked };
    let id = Uuid::now_v7();
    let receipt = request.receipt(id, &call.account, Timestamp::now());
    let receipt = receipt.map_err(|error| StoreError::Unreadable(error.to_string()))?;
    services.store.append(receipt).await?;
    services.journal.notify_one();
    Ok(HttpResponse::Accepted().json(Taken { receipt: id }))
}
