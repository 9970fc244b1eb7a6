//! What Exotel knows of a telephone number.

use actix_web::{
    HttpResponse,
    web::{Bytes, Data, Path},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    api::{self, Answer, ApiError},
    auth::{Endpoint, post},
    lines::{country, exotel},
};
use crate::{access::Role, app::Services, call::phone};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    // A number in a path would stand in the log of every proxy.
    post("/api/v1/accounts/{sid}/numbers/look-up", Role::Admin, |route| route.to(look_up))
        .says("look_up_number", "What Exotel knows of a number: its circle, its operator, whether it may be called")
        .body::<LookUp>()
        .gives::<NumberShown>(200),
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LookUp {
    number: String,
}

/// What Exotel knows of a number.
#[derive(Serialize, JsonSchema)]
struct NumberShown {
    number: String,
    /// mobile or landline.
    kind: Option<String>,
    circle: Option<String>,
    circle_name: Option<String>,
    operator: Option<String>,
    operator_name: Option<String>,
    /// On the do-not-disturb register: yes, no or unavailable. Often out of date.
    dnd: Option<String>,
}

/// What Exotel knows of a number: its circle, its operator, whether it may be called.
async fn look_up(services: Data<Services>, sid: Path<String>, bytes: Bytes) -> Answer {
    let LookUp { number } = api::body(&bytes)?;
    let number = phone::parse(&number, &country(&services, &sid));
    let number = number.ok_or_else(|| ApiError::BadRequest("number: is not a telephone number".to_owned()))?;
    let facts = exotel(&services, &sid)?.number_facts(&number).await;
    let facts = facts.map_err(|error| ApiError::Exotel("nothing is known of this number", error))?;
    Ok(HttpResponse::Ok().json(NumberShown {
        number: number.e164,
        kind: facts.kind.as_ref().map(|kind| kind.as_str().to_owned()),
        circle: facts.circle,
        circle_name: facts.circle_name,
        operator: facts.operator,
        operator_name: facts.operator_name,
        dnd: facts.dnd.as_ref().map(|dnd| dnd.as_str().to_owned()),
    }))
}
