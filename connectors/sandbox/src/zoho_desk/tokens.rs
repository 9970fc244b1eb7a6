//! The token server, on its real paths: consent and `/oauth/v2/token` (§6.a).

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use super::ZohoDesk;
use crate::{
    Reply, Request,
    oauth::{Denied, Issued},
};

/// An error in the token server's form: an `error` and nothing else.
pub(super) fn refusal(status: StatusCode, error: &str) -> Reply {
    Reply::json(status, &json!({"error": error}))
}

impl ZohoDesk {
    pub(super) fn token_server(&mut self, request: &Request, rest: &[&str], now: Timestamp) -> Reply {
        match (&request.method, rest) {
            (&Method::POST, ["token"]) => self.token(request, now),
            (&Method::GET, ["auth"]) => {
                let answer = self.grants.consent_at_zoho(request, now);
                answer.unwrap_or_else(|error| refusal(StatusCode::BAD_REQUEST, error))
            }
            (_, ["token" | "auth"]) => refusal(StatusCode::METHOD_NOT_ALLOWED, "invalid_method"),
            _ => refusal(StatusCode::NOT_FOUND, "not_found"),
        }
    }

    /// Parameters are taken from the form and from the query alike.
    fn token(&mut self, request: &Request, now: Timestamp) -> Reply {
        let mut form = request.form();
        form.extend(request.query.iter().cloned());
        match self.grants.token(&form, now) {
            Ok(Issued { access_token, refresh_token, lifetime }) => {
                let mut answer = json!({
                    "access_token": access_token,
                    "api_domain": "https://www.zohoapis.in",
                    "token_type": "Bearer",
                    "expires_in": lifetime.as_secs(),
                });
                if let Some(token) = refresh_token {
                    answer["refresh_token"] = token.into();
                }
                Reply::json(StatusCode::OK, &answer)
            }
            Err(denied) => {
                let error = match denied {
                    Denied::Client => "invalid_client",
                    Denied::Grant => "invalid_code",
                    Denied::TooMany => "Access Denied",
                    Denied::Malformed("grant_type") => "unsupported_grant_type",
                    Denied::Malformed(_) => "invalid_request",
                };
                refusal(self.settings.token_refusal, error)
            }
        }
    }
}
