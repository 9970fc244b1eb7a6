//! Addresses that other voice platforms give to a flow's Passthru applets, so that such flows go on working here (seed 001):
//! what the flow does before the voicebot, and once it has gone. They name no account, so its credential does.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web::{self, Data, Payload, ServiceConfig},
};

use super::{
    answer::{self, Applet},
    intake::{self, Arrived},
};
use crate::{app::Services, call::Hook};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/exotel/{applet:answer|dial-up}{slash:/?}", web::to(applet))
        .route("/exotel/callback/status{slash:/?}", web::to(status));
}

async fn applet(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    let accounts = opened(&request, &services);
    let applet = request.match_info().get("applet").and_then(Applet::of);
    let answer = match applet {
        Some(applet) if !accounts.is_empty() => match answer::read(&request, &services, payload).await {
            Ok(arrived) => {
                let sid = meant(&accounts, &arrived);
                answer::answer(applet, arrived, &services, Hook::CallEvents, sid).await
            }
            Err(answer) => answer,
        },
        _ => intake::refused(),
    };
    intake::count(&services, Hook::CallEvents.as_str(), answer)
}

async fn status(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    let accounts = opened(&request, &services);
    let answer = if accounts.is_empty() {
        intake::refused()
    } else {
        match Arrived::read(&request, &services, payload).await {
            Ok(arrived) => {
                let sid = meant(&accounts, &arrived);
                arrived.keep(&services, Hook::Status, sid).await
            }
            Err(answer) => answer,
        }
    };
    intake::count(&services, Hook::Status.as_str(), answer)
}

/// The accounts whose credential the request has.
fn opened(request: &HttpRequest, services: &Services) -> Vec<String> {
    let authorization = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let doors = services.doors.load();
    let roll = services.accounts.load();
    let opened = roll.iter().filter(|running| doors.basic(&running.account.sid, authorization));
    opened.map(|running| running.account.sid.clone()).collect()
}

/// Of several the one that the request names.
fn meant(accounts: &[String], arrived: &Arrived) -> String {
    let named = arrived.field(intake::ACCOUNT_NAMES);
    let found = accounts.iter().find(|sid| Some(*sid) == named.as_ref());
    found.or(accounts.first()).cloned().unwrap_or_default()
}
