//! What a token server answered, and what of it is kept.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{OAuth, Response, mask};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

/// How an integration came by its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// `refresh_token` or the private key in the configuration.
    Configuration,
    /// `patchbay connect`.
    Consent,
}

/// An access token with what belongs to it.
#[derive(Clone)]
pub struct Grant {
    pub access: SecretString,
    pub expires_at: Timestamp,
    /// From then on it is renewed, ahead of its end.
    pub renew_at: Timestamp,
    pub refresh: Option<SecretString>,
    /// The CRM's address, where the token answer says it.
    pub origin: Option<Url>,
    /// The token server these tokens came from, where it is not the configured one.
    pub authority: Option<Url>,
    pub by: By,
    pub since: Timestamp,
    /// Hash of the configuration's own credential when this was stored: another one there now replaces this.
    pub configured: String,
    /// As [`super::KeeperParts::tokens_for`] was then.
    pub tokens_for: String,
}

/// Nothing of the tokens.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("by", &self.by).field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// As it is sealed and stored.
#[derive(Serialize, Deserialize)]
struct Kept {
    access: String,
    expires_at: Timestamp,
    renew_at: Timestamp,
    refresh: Option<String>,
    origin: Option<Url>,
    authority: Option<Url>,
    by: By,
    since: Timestamp,
    configured: String,
    #[serde(default)]
    tokens_for: String,
}

impl Grant {
    /// Whether it can be used for some time yet.
    pub fn fresh(&self, now: Timestamp) -> bool {
        now < self.renew_at
    }

    /// Whether it can be used at all.
    pub fn alive(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let kept = Kept {
            access: self.access.expose_secret().to_owned(),
            expires_at: self.expires_at,
            renew_at: self.renew_at,
            refresh: self.refresh.as_ref().map(|token| token.expose_secret().to_owned()),
            origin: self.origin.clone(),
            authority: self.authority.clone(),
            by: self.by,
            since: self.since,
            configured: self.configured.clone(),
            tokens_for: self.tokens_for.clone(),
        };
        serde_json::to_vec(&kept).unwrap_or_default()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let Kept { access, expires_at, renew_at, refresh, origin, authority, by, since, configured, tokens_for } =
            serde_json::from_slice(bytes).ok()?;
        let (access, refresh) = (access.into(), refresh.map(SecretString::from));
        Some(Self { access, expires_at, renew_at, refresh, origin, authority, by, since, configured, tokens_for })
    }
}

/// When a token of this lifetime is renewed: when a tenth of it is left, five minutes at most.
pub(super) fn renew_at(given: Timestamp, lifetime: Duration) -> Timestamp {
    given + (lifetime - (lifetime / 10).min(Duration::from_secs(300)))
}

/// A token answer that gives one.
pub(super) struct Answer {
    pub(super) access: SecretString,
    pub(super) refresh: Option<SecretString>,
    pub(super) lifetime: Duration,
    pub(super) origin: Option<Url>,
}

/// One that does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// The credential is wrong, revoked or expired: asking again changes nothing.
    Refused { code: String },
    /// Too many tokens were asked for.
    Busy,
    /// The server is in trouble.
    Unwell { reason: String },
}

/// Reads a token answer. Some servers say no with a 200 (crm-api §6.a), so the body decides.
pub(super) fn read(oauth: &OAuth, reply: &Response) -> Result<Answer, Denial> {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(access) = text("access_token").filter(|_| reply.status.is_success()) {
        let seconds = body
            .get("expires_in")
            .and_then(|value| value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok())));
        return Ok(Answer {
            access: access.to_owned().into(),
            refresh: text("refresh_token").map(|token| token.to_owned().into()),
            lifetime: seconds.map_or(oauth.lifetime, Duration::from_secs),
            origin: oauth.origin_key.and_then(text).and_then(|url| Url::parse(url).ok()),
        });
    }
    let code = ["error", "status", "errorCode"].into_iter().find_map(text);
    let said = [code, text("error_description"), text("message")].into_iter().flatten().collect::<Vec<_>>().join(": ");
    let lower = said.to_lowercase();
    // Zoho's limit on access tokens is an "Access Denied" with too many requests in its description.
    let busy = ["too many", "access denied", "access_denied", "rate limit", "throttl"];
    if reply.status.as_u16() == 429 || busy.iter().any(|part| lower.contains(part)) {
        return Err(Denial::Busy);
    }
    let clip = |text: &str| mask::text(text).chars().take(200).collect::<String>();
    match code {
        Some(_) if !reply.status.is_server_error() => Err(Denial::Refused { code: clip(&said) }),
        None if reply.status.is_client_error() => {
            Err(Denial::Refused { code: format!("status {}", reply.status.as_u16()) })
        }
        _ => Err(Denial::Unwell { reason: format!("the token server answered {}", reply.status.as_u16()) }),
    }
}
