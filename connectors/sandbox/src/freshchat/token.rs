//! Freshchat's API tokens: JWTs that say when they end (`crm-api.md` §3.a).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};

/// A token as the settings page of an account gives it, good until `expires_at`. Its signature is nobody's.
pub fn token(expires_at: Timestamp) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({"typ": "JWT", "alg": "HS256", "kid": "custom-oauth-keyid"}));
    let claims = part(json!({"aud": "freshchat", "typ": "Bearer", "sub": "admin", "exp": expires_at.as_second()}));
    format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode("signature"))
}

/// When a token ends, where it is a JWT that says so.
pub(super) fn expiry(token: &str) -> Option<Timestamp> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    Timestamp::from_second(claims.get("exp")?.as_i64()?).ok()
}
