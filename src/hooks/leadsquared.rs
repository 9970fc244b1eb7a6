//! The hooks of Exotel's connector for LeadSquared: `AccSid` names the account; dial-whom wants to be told the owner.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Payload, ServiceConfig},
};

use super::{
    answer::{self, Applet},
    intake::{self, Arrived},
};
use crate::{app::Services, call::Hook};

pub(super) fn routes(config: &mut ServiceConfig) {
    // The manual's page on mobile calls spells the path with two s; flows were made by copying it.
    config
        .route("/v1/{brand:leadss?quared}/inbound/call/{step:dialwhom|popup|passthru}{slash:/?}", web::to(hook))
        .route("/v1/{brand:leadss?quared}/mobile/{sid}/{step:dialwhom}{slash:/?}", web::to(hook));
}

async fn hook(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    let named = request.match_info().get("sid").map(str::to_owned);
    let answer = match Arrived::read(&request, &services, payload).await {
        Ok(arrived) => {
            let sid = named.or_else(|| arrived.field(intake::ACCOUNT_NAMES)).unwrap_or_default();
            let open = intake::admitted(&request, &services.doors.load(), Hook::LeadSquared, &sid);
            match request.match_info().get("step") {
                _ if !open => intake::refused(),
                Some("dialwhom") => answer::answer(Applet::DialWhom, arrived, &services, Hook::LeadSquared, sid).await,
                _ => arrived.keep(&services, Hook::LeadSquared, sid).await,
            }
        }
        Err(answer) => answer,
    };
    intake::count(&services, Hook::LeadSquared.as_str(), answer)
}
