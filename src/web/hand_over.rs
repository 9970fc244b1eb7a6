//! A bot hands its caller over to a human: from wherever the bot runs, by the API. The flow's next Connect applet asks
//! whom to dial, and is told.

use actix_web::{
    HttpResponse,
    web::{Bytes, Data, Path},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    api::{self, Answer, ApiError},
    auth::{Endpoint, post},
};
use crate::{access::Role, app::Services, call::phone, context::Fact, store::CallRef};

/// The longest target: an e-mail address, or `sip:…`.
const TARGET_CHARS: usize = 255;
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

/// The call need not be known: a bot may be quicker than the callbacks that tell of it.
async fn hand_over(services: Data<Services>, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    let (account, call_sid) = path.into_inner();
    let HandOver { target } = api::body(&bytes)?;
    let target = target.trim();
    if target.is_empty() || target.chars().count() > TARGET_CHARS {
        return Err(ApiError::BadRequest(format!("target: must have 1 to {TARGET_CHARS} characters")));
    }
    if call_sid.chars().count() > CALL_SID_CHARS {
        return Err(ApiError::NotFound("there is no such call".to_owned()));
    }
    if !reaches_somebody(&services, &account, target) {
        return Err(ApiError::BadRequest(
            "target: must be a phone number, \"sip:…\", the e-mail address of an agent in the user mapping, or a group of \
             the account's routing"
                .to_owned(),
        ));
    }
    let target = target.to_owned();
    let fact = Fact::HandOver { target: target.clone() };
    services.context.note(&CallRef { account, call_sid }, fact, Timestamp::now()).await;
    Ok(HttpResponse::Accepted().json(HandOver { target }))
}

fn reaches_somebody(services: &Services, account: &str, target: &str) -> bool {
    let Some(account) = services.account(account) else { return false };
    let group = target.strip_prefix("group:").unwrap_or(target);
    let agents = services.agents.of(&account.sid);
    phone::is_sip(target)
        || phone::parse(target, &account.country).is_some()
        || account.routing.groups.iter().any(|one| one.name == group)
        || agents.with_email(target).any(|agent| agent.profile.number.is_some())
}
