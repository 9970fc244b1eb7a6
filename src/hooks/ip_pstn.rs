//! The hook of Exotel's WebRTC integrations (IP-PSTN): the path names an app, which is one account's.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Payload, ServiceConfig},
};

use super::intake::{self, Arrived};
use crate::{app::Services, call::Hook};

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route("/v2/integrations/call/inbound_call/{app}{slash:/?}", web::to(hook));
}

async fn hook(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    let answer = match Arrived::read(&request, &services, payload).await {
        Ok(arrived) => {
            let app = request.match_info().get("app").unwrap_or_default();
            let known = services.doors.load().app(app).map(str::to_owned);
            let sid = known.or_else(|| arrived.field(intake::ACCOUNT_NAMES)).unwrap_or_default();
            if intake::admitted(&request, &services.doors.load(), Hook::IpPstn, &sid) {
                arrived.keep(&services, Hook::IpPstn, sid).await
            } else {
                intake::refused()
            }
        }
        Err(answer) => answer,
    };
    intake::count(&services, Hook::IpPstn.as_str(), answer)
}
