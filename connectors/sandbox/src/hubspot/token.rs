//! HubSpot's token server, on the API's own origin, with error bodies of its own form (`crm-api.md` §7.a).

use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use super::{HubSpot, PORTAL, refusal::Refusal};
use crate::{
    Reply, Request,
    oauth::{Denied, Rules},
};

/// Half an hour; the refresh token stays what it is.
pub(super) const RULES: Rules =
    Rules { lifetime: Duration::from_secs(1800), rotates: false, at_most: None, living: None };

impl HubSpot {
    /// The answer, where the request is to the token server.
    pub(super) fn token_request(&mut self, request: &Request, now: Timestamp) -> Option<Reply> {
        match (&request.method, request.segments().as_slice()) {
            (&Method::POST, ["oauth", "v1" | "v3" | "2026-03", "token"]) => Some(self.token(request, now)),
            (&Method::GET, ["oauth", "v1", "access-tokens", token]) => {
                let known = self.grants.as_ref().is_some_and(|grants| grants.knows(token, now));
                let body = json!({"token": token, "hub_id": PORTAL, "user": "owner@example.com", "expires_in": 1800});
                let refused = || Refusal::of_status(StatusCode::NOT_FOUND).into_reply();
                Some(if known { Reply::json(StatusCode::OK, &body) } else { refused() })
            }
            _ => None,
        }
    }

    fn token(&mut self, request: &Request, now: Timestamp) -> Reply {
        let form = request.form();
        let given = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let Some(grants) = &mut self.grants else { return denied("BAD_CLIENT_ID", "invalid_client") };
        match grants.token(&form, now) {
            Ok(issued) => {
                // A refresh token is always in the answer, also where it is the one that was sent.
                let refresh = issued.refresh_token.or_else(|| given("refresh_token"));
                let body = json!({"token_type": "bearer", "access_token": issued.access_token,
                    "refresh_token": refresh, "expires_in": issued.lifetime.as_secs()});
                Reply::json(StatusCode::OK, &body)
            }
            Err(Denied::Client) => denied("BAD_CLIENT_ID", "invalid_client"),
            Err(Denied::Grant) if given("grant_type").as_deref() == Some("authorization_code") => {
                denied("BAD_AUTH_CODE", "invalid_grant")
            }
            Err(Denied::Grant) => denied("BAD_REFRESH_TOKEN", "invalid_grant"),
            Err(Denied::TooMany) => super::refusal::too_many("SECONDLY"),
            Err(Denied::Malformed("grant_type")) => denied("BAD_GRANT_TYPE", "unsupported_grant_type"),
            Err(Denied::Malformed(_)) => denied("BAD_REQUEST", "invalid_request"),
        }
    }

    /// Lets a living token in.
    pub(super) fn authorise(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        let given = request.bearer("Bearer").unwrap_or_default();
        let private = self.token.as_deref() == Some(given) && !given.is_empty();
        if private || self.grants.as_ref().is_some_and(|grants| grants.knows(given, now)) {
            return Ok(());
        }
        // One of ours that has run out is told apart from one that never was (airbytehq/airbyte issue 74726).
        if given.starts_with("access-") && self.grants.is_some() {
            let message = "The OAuth token used to make this call expired 1 second(s) ago.";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "EXPIRED_AUTHENTICATION", message));
        }
        Err(Refusal::of_status(StatusCode::UNAUTHORIZED))
    }
}

/// HubSpot's own words beside the standard's (RFC 6749).
fn denied(status: &str, error: &str) -> Reply {
    let message = match status {
        "BAD_REFRESH_TOKEN" => "missing or invalid refresh token",
        "BAD_CLIENT_ID" => "missing or invalid client id",
        "BAD_AUTH_CODE" => "missing or unknown auth code",
        _ => "missing or invalid parameter",
    };
    let body = json!({"status": status, "message": message, "error": error, "error_description": message,
        "correlationId": "00000000-0000-4000-8000-000000000000"});
    Reply::json(StatusCode::BAD_REQUEST, &body)
}
