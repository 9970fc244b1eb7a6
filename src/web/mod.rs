//! What people and their tools call: the API, recordings, health and metrics.

mod access;
mod accounts;
pub mod api;
mod auth;
mod authed;
mod bot_calls;
mod bots;
mod calls;
mod clicks;
mod deliveries;
mod devices;
mod dids;
mod exotel;
mod hand_over;
mod health;
mod hook_tokens;
pub mod integrations;
mod leadsquared;
pub mod ledger;
mod lines;
pub mod live;
mod numbers;
mod openapi;
mod people;
pub mod recording;
pub mod timeline;
mod users;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, ServiceConfig},
};

pub use auth::{Endpoint, Wants};

use crate::{app::Services, hooks, telemetry::HookLabels};

pub fn routes(config: &mut ServiceConfig) {
    config
        .route("/healthz", web::get().to(health::healthz))
        .route("/healthz", web::head().to(health::healthz))
        .route("/readyz", web::get().to(health::readyz))
        .route("/readyz", web::head().to(health::readyz))
        .route("/metrics", web::get().to(health::metrics))
        .route("/metrics", web::head().to(health::metrics))
        .route("/r/{sid}/{call_sid}", web::get().to(recording::serve))
        .route("/r/{sid}/{call_sid}", web::head().to(recording::serve))
        .route("/r/authed/{sid}/{integration}/{external_id}", web::get().to(authed::serve))
        .configure(integrations::routes)
        .configure(leadsquared::routes);
    for endpoints in TABLES {
        auth::mount(config, endpoints);
    }
}

/// All that is called under `/api`, with the role that each wants. The first that fits is taken: what is named stands before
/// what has an id in the same place.
const TABLES: &[&[Endpoint]] = &[
    access::ENDPOINTS,
    accounts::ENDPOINTS,
    bot_calls::ENDPOINTS,
    bots::ENDPOINTS,
    calls::ENDPOINTS,
    clicks::ENDPOINTS,
    deliveries::ENDPOINTS,
    devices::ENDPOINTS,
    dids::ENDPOINTS,
    exotel::ENDPOINTS,
    hand_over::ENDPOINTS,
    hook_tokens::ENDPOINTS,
    integrations::ENDPOINTS,
    ledger::ENDPOINTS,
    lines::ENDPOINTS,
    live::ENDPOINTS,
    numbers::ENDPOINTS,
    openapi::ENDPOINTS,
    people::ENDPOINTS,
    users::ENDPOINTS,
];

pub fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    TABLES.iter().copied().flatten()
}

/// Every path that is nothing. One that looks like a hook is counted as such: a mistyped flow loses calls.
pub async fn not_found(request: HttpRequest, services: Data<Services>) -> HttpResponse {
    if hooks::looks_like_one(request.path()) {
        services.metrics.hook_answers.get_or_create(&HookLabels { hook: "unknown", status: 404 }).inc();
    }
    api::ApiError::NotFound("there is nothing at this path".to_owned()).answer()
}
