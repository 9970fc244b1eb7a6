//! Health for machines: is the process there, can it do its work, what do its numbers say.

use actix_web::{HttpResponse, http::header, web::Data};
use serde_json::json;

use crate::{app::Services, codes::Code, context, delivery::Health, telemetry::StateLabels};

/// The process answers.
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// 200 when a callback could be made durable now; what is degraded is named. A CRM that is down does not make the
/// service unready: calls are taken, and delivered later.
pub(super) async fn readyz(services: Data<Services>) -> HttpResponse {
    let ping = services.store.ping().await;
    let mut lanes = serde_json::Map::new();
    let context = services.context.health();
    let mut degraded = context.is_degraded();
    for handle in services.lanes() {
        let health = handle.health();
        degraded |= health != Health::Running;
        lanes.insert(handle.lane().to_string(), json!(handle.standing()));
    }
    let stopping = services.stopping.is_cancelled();
    let status = match (&ping, stopping) {
        (Err(_), _) => "unready",
        (_, true) => "stopping",
        _ if degraded => "degraded",
        _ => "ready",
    };
    let body = json!({
        "status": status,
        "store": match &ping {
            Ok(took) => json!({ "ok": true, "commit_ms": took.as_secs_f64() * 1000.0 }),
            Err(error) => json!({ "ok": false, "code": Code::StoreUnavailable.as_str(), "error": error.to_string() }),
        },
        "context": match context {
            context::Health::Well => json!({ "kind": services.context.kind(), "ok": true }),
            context::Health::Degraded { since, reason } => {
                let code = Code::ContextDegraded.as_str();
                json!({ "kind": services.context.kind(), "ok": false, "code": code, "since": since, "reason": reason })
            }
        },
        "lanes": lanes,
    });
    if ping.is_err() || stopping {
        HttpResponse::ServiceUnavailable().insert_header((header::RETRY_AFTER, "5")).json(body)
    } else {
        HttpResponse::Ok().json(body)
    }
}

pub(super) async fn metrics(services: Data<Services>) -> HttpResponse {
    let metrics = &services.metrics;
    match services.store.depths().await {
        Ok(depths) => {
            metrics.unread_receipts.set(i64::try_from(depths.unread_receipts).unwrap_or(i64::MAX));
            metrics.set_aside_receipts.set(i64::try_from(depths.set_aside).unwrap_or(i64::MAX));
            metrics.deliveries.clear();
            for ((lane, state), count) in depths.deliveries {
                let labels =
                    StateLabels { account: lane.account, integration: lane.integration, state: state.as_str() };
                metrics.deliveries.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        Err(error) => tracing::warn!(
            code = %Code::StoreUnavailable, %error,
            "the counts of receipts and deliveries cannot be read from the store; /metrics shows the last ones"
        ),
    }
    metrics.context_degraded.set(services.context.health().is_degraded().into());
    metrics.up_seconds.set(services.started.elapsed().as_secs_f64());
    HttpResponse::Ok().content_type("application/openmetrics-text; version=1.0.0; charset=utf-8").body(metrics.render())
}
