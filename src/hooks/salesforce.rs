//! The hooks of Exotel's connector for Salesforce: the account is named in the query, and `AccountUid` opens it.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Payload, ServiceConfig},
};

use super::intake::{self, Arrived};
use crate::{app::Services, call::Hook};

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route("/sfdc/api/inbound/{step:agentpopup|passthru}{slash:/?}", web::to(hook));
}

async fn hook(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    let answer = match Arrived::read(&request, &services, payload).await {
        Ok(arrived) => {
            let sid = arrived.field(intake::ACCOUNT_NAMES).unwrap_or_default();
            // The manual writes `AccountUid` and `AccountUId`: names have no case here.
            let uid = arrived.field(&["AccountUid"]);
            let open = {
                let doors = services.doors.load();
                // All are asked, so that it cannot be told from the time which of them failed.
                doors.account_uid(&sid, uid.as_deref()) | intake::admitted(&request, &doors, Hook::Salesforce, &sid)
            };
            if open { arrived.keep(&services, Hook::Salesforce, sid).await } else { intake::refused() }
        }
        Err(answer) => answer,
    };
    intake::count(&services, Hook::Salesforce.as_str(), answer)
}
