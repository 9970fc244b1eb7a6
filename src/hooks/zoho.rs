//! The hooks of Exotel's connectors for Zoho Desk and Zoho CRM, for flows that were made for them. Their passthrus are
//! synchronous, the caller waits for the answer, and anything but a plain 200 would send him down the other branch of
//! the flow (exotel-api §4.1).

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Payload, ServiceConfig},
};

use super::intake;
use crate::{app::Services, call::Hook};

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route("/callback/exotel/{sid}/{step:createpopup|incomingcallhungup|callmissed}{slash:/?}", web::to(hook));
}

async fn hook(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    intake::by_path(request, services, payload, Hook::Zoho).await
}
