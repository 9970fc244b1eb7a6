//! A bot hands its caller over to a human: from wherever the bot runs, by the API.

use actix_web::{
    HttpResponse,
    web::{Bytes, Data, Path},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    api::{self, Answer, ApiError},
    auth::{Endpoint, post},
};
use crate::{
    access::Role,
    app::{self, Services},
    store::CallRef,
};

/// As long as a CallSid may be.
const CALL_SID_CHARS: usize = 128;

pub(super) const ENDPOINTS: &[Endpoint] =
    &[post("/api/v1/accounts/{sid}/calls/{call_sid}/hand-over", Role::Agent, |route| route.to(hand_over))
        .noted()
        .says("hand_over", "Names whom the call's next Connect applet is to dial")
        .body::<HandOver>()
        .gives::<HandOver>(202)];

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HandOver {
    /// A number, `sip:…`, the e-mail address of an agent of the user mapping, or a group of the account's routing.
    target: String,
}

async fn hand_over(services: Data<Services>, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    let (account, call_sid) = path.into_inner();
    let HandOver { target } = api::body(&bytes)?;
    if call_sid.chars().count() > CALL_SID_CHARS {
        return Err(ApiError::NotFound("there is no call of this CallSid: see …/calls".to_owned()));
    }
    let target = target.trim().to_owned();
    let noted = app::hand_over(&services, &CallRef { account, call_sid }, &target).await;
    noted.map_err(|why| ApiError::BadRequest(format!("target: {why}")))?;
    Ok(HttpResponse::Accepted().json(HandOver { target }))
}
