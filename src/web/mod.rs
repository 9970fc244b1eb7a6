//! What people and their tools call: the API, recordings, health and metrics.

pub mod api;
mod health;
pub mod recording;
pub mod timeline;

use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};

pub fn routes(config: &mut ServiceConfig) {
    config
        .route("/healthz", web::get().to(health::healthz))
        .route("/healthz", web::head().to(health::healthz))
        .route("/readyz", web::get().to(health::readyz))
        .route("/readyz", web::head().to(health::readyz))
        .route("/metrics", web::get().to(health::metrics))
        .route("/r/{sid}/{call_sid}", web::get().to(recording::serve))
        .route("/r/{sid}/{call_sid}", web::head().to(recording::serve))
        .configure(api::routes);
}

/// Every path that is nothing.
pub async fn not_found() -> HttpResponse {
    api::ApiError::NotFound("there is nothing at this path".to_owned()).answer()
}
