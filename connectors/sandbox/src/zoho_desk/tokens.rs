//! The token server, on its real paths: consent and `/oauth/v2/token` (§6.a).

use http::{Method, StatusCode, header};
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
            (&Method::GET, ["auth"]) => self.consent(request, now),
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

    /// The person consents at once. The redirect says which data centre he belongs to.
    fn consent(&mut self, request: &Request, now: Timestamp) -> Reply {
        let given = |name: &str| request.param(name).filter(|value| !value.is_empty());
        let (Some(redirect_uri), Some(_), Some(_)) = (given("redirect_uri"), given("client_id"), given("scope")) else {
            return refusal(StatusCode::BAD_REQUEST, "invalid_request");
        };
        if given("response_type") != Some("code") {
            return refusal(StatusCode::BAD_REQUEST, "invalid_response_type");
        }
        let code = self.grants.consent(redirect_uri, given("code_challenge"), now);
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("code", &code)
            .append_pair("location", "in")
            .append_pair("accounts-server", &request.origin());
        if let Some(state) = given("state") {
            query.append_pair("state", state);
        }
        let join = if redirect_uri.contains('?') { '&' } else { '?' };
        Reply::empty(StatusCode::FOUND).with(header::LOCATION, format!("{redirect_uri}{join}{}", query.finish()))
    }
}
