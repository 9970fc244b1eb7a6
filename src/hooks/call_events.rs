//! The Freshdesk family of hooks, which is the canonical one, and status callbacks.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Payload, ServiceConfig},
};

use super::intake;
use crate::{app::Services, call::Hook};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/v2/accounts/{sid}/call-events{slash:/?}", web::to(call_events))
        .route("/v2/accounts/{sid}/status{slash:/?}", web::to(status));
}

async fn call_events(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    intake::by_path(request, services, payload, Hook::CallEvents).await
}

async fn status(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    intake::by_path(request, services, payload, Hook::Status).await
}
