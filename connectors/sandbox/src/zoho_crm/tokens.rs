//! The token server: consent, access tokens for a refresh token, and its refusals, which are successes by their status.

use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use super::ZohoCrm;
use crate::{
    Reply, Request,
    oauth::{Denied, Rules},
};

/// "Token validity", v8, and Kaizen 43.
pub(super) const RULES: Rules = Rules {
    lifetime: Duration::from_secs(3600),
    rotates: false,
    at_most: Some((10, Duration::from_secs(600))),
    living: Some(15),
};

impl ZohoCrm {
    pub(super) fn token(&mut self, request: &Request, now: Timestamp) -> Reply {
        if request.method == Method::GET && request.segments() == ["oauth", "v2", "auth"] {
            let answer = self.grants.consent_at_zoho(request, now);
            return answer.unwrap_or_else(|error| Reply::json(StatusCode::BAD_REQUEST, &json!({"error": error})));
        }
        if request.segments() != ["oauth", "v2", "token"] {
            return Reply::of(StatusCode::NOT_FOUND, "text/html", "<html><body>Page not found</body></html>");
        }
        if request.method != Method::POST {
            return Reply::json(self.settings.token_refusals, &json!({"error": "invalid_request"}));
        }
        // Parameters are taken from the query as well as from the form.
        let mut form = request.form();
        form.extend(request.query.iter().cloned());
        match self.grants.token(&form, now) {
            Ok(issued) => {
                let domain = self.settings.api_domain.clone().unwrap_or_else(|| request.origin());
                let mut body = json!({
                    "access_token": issued.access_token,
                    "scope": "ZohoCRM.modules.ALL ZohoCRM.coql.READ ZohoCRM.users.READ",
                    "api_domain": domain,
                    "token_type": "Bearer",
                    "expires_in": issued.lifetime.as_secs(),
                });
                if let Some(refresh) = issued.refresh_token {
                    body["refresh_token"] = json!(refresh);
                }
                Reply::json(StatusCode::OK, &body)
            }
            Err(denied) => Reply::json(self.settings.token_refusals, &said(denied)),
        }
    }
}

fn said(denied: Denied) -> serde_json::Value {
    match denied {
        Denied::Client => json!({"error": "invalid_client"}),
        Denied::Grant => json!({"error": "invalid_code"}),
        Denied::TooMany => json!({
            "error": "Access Denied",
            "error_description": "You have made too many requests continuously. Please try again after some time.",
            "status": "failure",
        }),
        Denied::Malformed("client_id" | "client_secret") => json!({"error": "invalid_client"}),
        Denied::Malformed("code" | "refresh_token") => json!({"error": "invalid_code"}),
        Denied::Malformed(_) => json!({"error": "invalid_request"}),
    }
}

/// What is said with a status that was ordered from outside.
pub(super) fn refusal(status: StatusCode) -> Reply {
    let denied = match status.as_u16() {
        429 => Denied::TooMany,
        401 => Denied::Client,
        400 => Denied::Grant,
        _ => return Reply::json(status, &json!({"error": "general_error"})),
    };
    Reply::json(status, &said(denied))
}
