//! The Freshdesk family of hooks, which is the canonical one: call events, whom to dial, and status callbacks.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Payload, ServiceConfig},
};

use super::{
    answer,
    intake::{self, Arrived},
};
use crate::{app::Services, call::Hook};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/v2/accounts/{sid}/call-events{slash:/?}", web::to(call_events))
        .route("/v2/accounts/{sid}/dialwhom{slash:/?}", web::to(dial_whom))
        .route("/v2/accounts/{sid}/status{slash:/?}", web::to(status));
}

async fn call_events(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    intake::by_path(request, services, payload, Hook::CallEvents).await
}

async fn dial_whom(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    let sid = request.match_info().get("sid").unwrap_or_default().to_owned();
    let answer = if intake::admitted(&request, &services.doors.load(), Hook::CallEvents, &sid) {
        match Arrived::read(&request, &services, payload).await {
            Ok(arrived) => answer::dial_whom(arrived, &services, Hook::CallEvents, sid).await,
            Err(answer) => answer,
        }
    } else {
        intake::refused()
    };
    intake::count(&services, Hook::CallEvents.as_str(), answer)
}

async fn status(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    intake::by_path(request, services, payload, Hook::Status).await
}
