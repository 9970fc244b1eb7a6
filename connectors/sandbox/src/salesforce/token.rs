//! The token endpoint ("OAuth 2.0 Refresh Token Flow", "OAuth 2.0 JWT Bearer Flow"): its answers have no `expires_in`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Method, StatusCode, header};
use jiff::Timestamp;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

use super::{Salesforce, rows};
use crate::{
    Reply, Request,
    oauth::{Denied, Issued},
};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The family of the tokens that are issued to the user of the key.
const KEY_FAMILY: u64 = u64::MAX;
/// How far ahead a JWT's end may be, with some room for clocks: three minutes are documented.
const JWT_SECONDS: i64 = 180 + 60;

/// Why an assertion is no good.
type Wrong = (&'static str, &'static str);

impl Salesforce {
    pub(super) fn token(&mut self, request: &Request, now: Timestamp) -> Reply {
        if request.method != Method::POST {
            return refused("invalid_request", "must use HTTP POST");
        }
        let form = request.form();
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let Some(grant) = field("grant_type") else {
            return refused("unsupported_grant_type", "grant type not supported");
        };
        if grant == JWT_BEARER {
            let checked = field("assertion").ok_or(("invalid_request", "missing required parameter: assertion"));
            return match checked.and_then(|assertion| self.verify(assertion, request, now)) {
                Err((error, why)) => refused(error, why),
                Ok(()) => match self.grants.issue(KEY_FAMILY, now) {
                    Ok(issued) => self.issued(&issued, request, now),
                    Err(_) => refused("invalid_grant", "login rate exceeded"),
                },
            };
        }
        match self.grants.token(&form, now) {
            Ok(issued) => self.issued(&issued, request, now),
            Err(Denied::Client) if field("client_id") == Some(&self.client_id) => {
                refused("invalid_client", "invalid client credentials")
            }
            Err(Denied::Client) => refused("invalid_client_id", "client identifier invalid"),
            Err(Denied::Grant) if grant == "authorization_code" => {
                refused("invalid_grant", "invalid authorization code")
            }
            Err(Denied::Grant) => refused("invalid_grant", "expired access/refresh token"),
            Err(Denied::TooMany) => refused("invalid_grant", "login rate exceeded"),
            Err(Denied::Malformed("grant_type")) => refused("unsupported_grant_type", "grant type not supported"),
            Err(Denied::Malformed(name)) => refused("invalid_request", &format!("missing required parameter: {name}")),
        }
    }

    /// The page where a person consents, which he does at once. Who cannot be sent back, because the app or the address is
    /// not known, is told on the spot; all else goes back to the app (RFC 6749 §4.1.2.1).
    pub(super) fn consent(&mut self, request: &Request, now: Timestamp) -> Reply {
        if request.method != Method::GET {
            return refused("invalid_request", "must use HTTP GET");
        }
        let given = |name: &str| request.param(name).filter(|value| !value.is_empty());
        if given("client_id") != Some(&self.client_id) {
            return refused("invalid_client_id", "client identifier invalid");
        }
        let Some(redirect_uri) = given("redirect_uri") else {
            return refused("invalid_request", "missing required parameter: redirect_uri");
        };
        let scopes: Vec<&str> = given("scope").unwrap_or_default().split(' ').collect();
        // What an app may ask for differs from app to app; ours asks for the API, and to go on without the person.
        let known = |scope: &&str| ["api", "refresh_token", "offline_access"].contains(scope);
        let error = if given("response_type") != Some("code") {
            Some("unsupported_response_type")
        } else if !scopes.iter().all(known) || !scopes.contains(&"refresh_token") {
            Some("invalid_scope")
        } else if given("code_challenge").is_some() && given("code_challenge_method") != Some("S256") {
            Some("invalid_request")
        } else {
            None
        };
        let mut query = form_urlencoded::Serializer::new(String::new());
        match error {
            Some(error) => query.append_pair("error", error),
            None => query.append_pair("code", &self.grants.consent(redirect_uri, given("code_challenge"), now)),
        };
        if let Some(state) = given("state") {
            query.append_pair("state", state);
        }
        let join = if redirect_uri.contains('?') { '&' } else { '?' };
        Reply::empty(StatusCode::FOUND).with(header::LOCATION, format!("{redirect_uri}{join}{}", query.finish()))
    }

    fn issued(&self, issued: &Issued, request: &Request, now: Timestamp) -> Reply {
        let origin = request.origin();
        let mut answer = json!({
            "access_token": issued.access_token,
            "instance_url": origin,
            "id": format!("{origin}/id/00D5g00000000001AAA/{}", self.integration_user),
            "token_type": "Bearer",
            "issued_at": now.as_millisecond().to_string(),
            "signature": "c2FuZGJveA==",
            "scope": "api refresh_token",
        });
        if let Some(refresh) = &issued.refresh_token {
            answer["refresh_token"] = json!(refresh);
        }
        Reply::json(StatusCode::OK, &answer)
    }

    /// Checks who signed for whom, and until when ("OAuth 2.0 JWT Bearer Flow").
    fn verify(&self, assertion: &str, request: &Request, now: Timestamp) -> Result<(), Wrong> {
        const INVALID: Wrong = ("invalid_grant", "invalid assertion");
        let (signed, signature) = assertion.rsplit_once('.').ok_or(INVALID)?;
        let (head, claims) = signed.split_once('.').ok_or(INVALID)?;
        let read = |part: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
        let (head, claims) = (read(head).ok_or(INVALID)?, read(claims).ok_or(INVALID)?);
        if head["alg"] != "RS256" {
            return Err(("invalid_grant", "algorithm not supported"));
        }
        if claims["iss"] != self.client_id.as_str() {
            return Err(("invalid_client_id", "client identifier invalid"));
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| INVALID)?;
        let key = self.certificate.as_ref().ok_or(("invalid_client", "no certificate on the app"))?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| INVALID)?;
        let origin = request.origin();
        let audience = claims["aud"].as_str().unwrap_or_default();
        if !self.settings.audiences.contains(audience) && audience != origin {
            return Err(("invalid_grant", "audience is invalid"));
        }
        let ends = claims["exp"].as_i64().ok_or(INVALID)?;
        if ends <= now.as_second() {
            return Err(("invalid_grant", "assertion expired"));
        }
        if ends > now.as_second() + JWT_SECONDS {
            return Err(("invalid_grant", "invalid assertion: exp is too far ahead"));
        }
        if claims["sub"] != self.username.as_str() {
            return Err(("invalid_grant", "user hasn't approved this consumer"));
        }
        Ok(())
    }

    /// What the id URL of the token answer would say; cheap, and open to any token.
    pub(super) fn userinfo(&self, now: Timestamp) -> Reply {
        let user = json!({"user_id": self.integration_user, "organization_id": "00D5g00000000001AAA",
                          "preferred_username": self.username, "active": true, "updated_at": rows::moment(now)});
        Reply::json(StatusCode::OK, &user)
    }
}

/// The token endpoint's own form; its refusals are all 400.
fn refused(error: &str, why: &str) -> Reply {
    Reply::json(StatusCode::BAD_REQUEST, &json!({"error": error, "error_description": why}))
}
