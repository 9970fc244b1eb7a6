//! The hooks of Exotel's connector for Freshsales and Freshchat, whose flows go on working under another host name.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Payload, ServiceConfig},
};

use super::intake;
use crate::{app::Services, call::Hook};

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route("/{step:pop|answered|missed}/{sid}{slash:/?}", web::to(hook));
}

async fn hook(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    intake::by_path(request, services, payload, Hook::Freshworks).await
}
