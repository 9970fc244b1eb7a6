//! The Freshdesk family of hooks, which is the canonical one: call events, applets that wait for an answer, and status
//! callbacks.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Payload, ServiceConfig},
};

use super::{
    answer::{self, Applet},
    intake,
};
use crate::{app::Services, call::Hook};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/v2/accounts/{sid}/call-events{slash:/?}", web::to(call_events))
        .route(
            "/v2/accounts/{sid}/{applet:dialwhom|connect|gather|greeting|playback|decide|switch}{slash:/?}",
            web::to(applet),
        )
        .route("/v2/accounts/{sid}/status{slash:/?}", web::to(status));
}

async fn call_events(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    intake::by_path(request, services, payload, Hook::CallEvents).await
}

async fn applet(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    let sid = request.match_info().get("sid").unwrap_or_default().to_owned();
    let applet = request.match_info().get("applet").and_then(Applet::of);
    let admitted = intake::admitted(&request, &services.doors.load(), Hook::CallEvents, &sid);
    let answer = match applet {
        Some(applet) if admitted => match answer::read(&request, &services, payload).await {
            Ok(arrived) => answer::answer(applet, arrived, &services, Hook::CallEvents, sid).await,
            Err(answer) => answer,
        },
        _ => intake::refused(),
    };
    intake::count(&services, Hook::CallEvents.as_str(), answer)
}

async fn status(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    intake::by_path(request, services, payload, Hook::Status).await
}
