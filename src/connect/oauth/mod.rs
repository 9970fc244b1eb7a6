//! Access tokens of one integration: got once for all who need them, kept sealed, renewed before they die.
//!
//! However many tasks and nodes want one, at most one asks the token server: the others wait and read what it stored. A
//! rotated refresh token is durable before its access token is used (architecture, "OAuth refresh").

mod assertion;
pub mod consent;
mod grant;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use patchbay_kit::{OAuth, Request};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;
use uuid::Uuid;

use super::transport::{Credentials, Limits, Lost, Transport};
use crate::{
    key::MasterKey,
    store::{Duty, LaneRef, Lease, Store, StoreError},
};

use grant::{Answer, Denial};
pub use grant::{By, Grant};

/// What tokens are sealed for.
const PURPOSE: &str = "oauth token";
/// How long somebody who renews keeps the others waiting, should he die meanwhile.
const LEASE: Duration = Duration::from_secs(30);
/// How often those who wait look whether it is done.
const LOOK: Duration = Duration::from_millis(100);
/// After the server said "too many", where the manifest names no period.
const BUSY: Duration = Duration::from_secs(60);

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("not connected yet: run `patchbay connect {0}`")]
    NotConnected(LaneRef),
    /// Revoked, expired, or wrong: a person must connect anew.
    #[error(
        "the token server refuses the credentials ({code}): run `patchbay connect {lane}`, or correct the configuration"
    )]
    Refused { lane: LaneRef, code: String },
    #[error("too many access tokens were asked for; the next one not before {until}")]
    Busy { until: Timestamp },
    #[error("{reason}")]
    Unreachable { reason: String },
}

/// Where the integration's own credential comes from, if the configuration holds one.
#[derive(Clone, Debug)]
pub enum Configured {
    Nothing,
    RefreshToken(SecretString),
    /// Private key in PEM, and the user it stands for.
    Assertion {
        key: SecretString,
        subject: String,
    },
}

impl Configured {
    /// Tells one credential from another without holding it.
    fn hash(&self) -> String {
        let text = match self {
            Self::Nothing => return String::new(),
            Self::RefreshToken(token) => token.expose_secret().to_owned(),
            Self::Assertion { key, subject } => format!("{subject}\n{}", key.expose_secret()),
        };
        Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What a keeper is made of.
#[derive(Debug)]
pub struct KeeperParts {
    pub lane: LaneRef,
    pub oauth: &'static OAuth,
    pub client_id: String,
    pub client_secret: Option<SecretString>,
    pub configured: Configured,
    pub authority: Url,
    pub store: Arc<dyn Store>,
    pub key: MasterKey,
    pub transport: Transport,
    pub limits: Limits,
}

/// The keeper of one integration's tokens.
pub struct Keeper {
    parts: KeeperParts,
    configured_hash: String,
    /// Of this process, among all that share the store.
    holder: Uuid,
    held: Mutex<Option<Arc<Grant>>>,
    /// Held while a token is asked for; when the last ones were given.
    turn: tokio::sync::Mutex<VecDeque<Timestamp>>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keeper({})", self.parts.lane)
    }
}

impl Keeper {
    pub fn new(parts: KeeperParts) -> Self {
        let configured_hash = parts.configured.hash();
        Self { parts, configured_hash, holder: Uuid::new_v4(), held: Mutex::new(None), turn: Default::default() }
    }

    pub fn lane(&self) -> &LaneRef {
        &self.parts.lane
    }

    /// A token that is good now.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn token(&self) -> Result<Arc<Grant>, TokenError> {
        match self.held() {
            Some(grant) if grant.fresh(Timestamp::now(), self.parts.oauth.lifetime) => Ok(grant),
            _ => self.renew(None).await,
        }
    }

    /// Another token than `spent`, which the CRM refused.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn renew(&self, spent: Option<&Grant>) -> Result<Arc<Grant>, TokenError> {
        let usable = |grant: &Grant| {
            grant.fresh(Timestamp::now(), self.parts.oauth.lifetime)
                && spent.is_none_or(|spent| spent.access.expose_secret() != grant.access.expose_secret())
        };
        let mut given = self.turn.lock().await;
        if let Some(grant) = self.held().filter(|grant| usable(grant)) {
            return Ok(grant);
        }
        // Another node may be at it, or have done it.
        let began = Timestamp::now();
        let (stored, lease) = loop {
            let stored = self.read().await?;
            if let Some(grant) = stored.as_ref().filter(|grant| usable(grant)) {
                return Ok(self.hold(grant.clone()));
            }
            let duty = Duty::Token(self.parts.lane.clone());
            let leases = self.parts.store.lease(self.holder, &[duty], LEASE).await.map_err(unreadable)?;
            if let Some(lease) = leases.into_iter().next() {
                // Between the look and the lease the other one may have finished.
                let stored = self.read().await?;
                if let Some(grant) = stored.as_ref().filter(|grant| usable(grant)) {
                    self.release(&lease).await;
                    return Ok(self.hold(grant.clone()));
                }
                break (stored, lease);
            }
            if Timestamp::now() > began + 2 * LEASE {
                return Err(unreachable("another node is renewing the token and does not come to an end"));
            }
            tokio::time::sleep(LOOK).await;
        };
        let renewed = self.ask(stored.as_ref(), &mut given).await;
        self.release(&lease).await;
        match renewed {
            Ok(grant) => Ok(self.hold(grant)),
            // Renewed ahead of time in vain: what there is does until it dies.
            Err(error) => match stored.filter(|old| old.expires_at > Timestamp::now() && spent.is_none()) {
                Some(old) if !matches!(error, TokenError::Refused { .. }) => {
                    tracing::warn!(lane = %self.parts.lane, %error, "the access token could not be renewed; it is good \
                        until it expires, and renewing is tried on");
                    Ok(self.hold(old))
                }
                _ => Err(error),
            },
        }
    }

    /// One exchange with the token server, and its result made durable.
    async fn ask(&self, stored: Option<&Grant>, given: &mut VecDeque<Timestamp>) -> Result<Grant, TokenError> {
        let now = Timestamp::now();
        let Self { parts, .. } = self;
        if let Some((most, per)) = parts.oauth.at_most {
            while given.front().is_some_and(|at| *at + per <= now) {
                given.pop_front();
            }
            // Half of what is allowed: other nodes, and a restart, have the same limit.
            if given.len() >= (most as usize).div_ceil(2) {
                let until = given.front().map_or(now + per, |first| *first + per);
                return Err(TokenError::Busy { until });
            }
        }
        let authority = stored.and_then(|stored| stored.authority.clone());
        let at = authority.as_ref().unwrap_or(&parts.authority);
        let mut form = Vec::new();
        let refresh = match (stored.and_then(|stored| stored.refresh.as_ref()), &parts.configured) {
            (Some(stored), _) => stored.clone(),
            (None, Configured::RefreshToken(token)) => token.clone(),
            (None, Configured::Assertion { key, subject }) => {
                let audience = at.as_str().trim_end_matches('/');
                let signed = assertion::sign(key.expose_secret(), &parts.client_id, subject, audience, now)
                    .map_err(|code| TokenError::Refused { lane: parts.lane.clone(), code })?;
                form.push(("grant_type", assertion::GRANT_TYPE.to_owned()));
                form.push(("assertion", signed));
                SecretString::from(String::new())
            }
            (None, Configured::Nothing) => return Err(TokenError::NotConnected(parts.lane.clone())),
        };
        if form.is_empty() {
            form.push(("grant_type", "refresh_token".to_owned()));
            form.push(("refresh_token", refresh.expose_secret().to_owned()));
            form.extend(self.client());
        }
        given.push_back(now);
        let answer = self.exchange(at, form).await?;
        let keeps = !matches!((&parts.configured, stored), (Configured::Assertion { .. }, None));
        let grant = Grant {
            access: answer.access,
            expires_at: now + answer.lifetime,
            refresh: answer.refresh.or_else(|| keeps.then(|| refresh.clone())),
            origin: answer.origin.or_else(|| stored.and_then(|stored| stored.origin.clone())),
            authority,
            by: stored.map_or(By::Configuration, |stored| stored.by),
            since: stored.map_or(now, |stored| stored.since),
            configured: self.configured_hash.clone(),
            version: 0,
        };
        self.keep(grant).await
    }

    fn client(&self) -> Vec<(&'static str, String)> {
        let secret = self.parts.client_secret.as_ref();
        let secret = secret.map(|secret| ("client_secret", secret.expose_secret().to_owned()));
        std::iter::once(("client_id", self.parts.client_id.clone())).chain(secret).collect()
    }

    /// Sends a token request.
    async fn exchange(&self, at: &Url, form: Vec<(&'static str, String)>) -> Result<Answer, TokenError> {
        let Self { parts, .. } = self;
        let form = form.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let path = parts.oauth.token.trim_start_matches('/').split('/');
        let request = Request::post("token.get", path).form(form);
        let sent = parts.transport.send(at, &Credentials::none(), &request, parts.limits).await;
        let reply = sent.map_err(|lost| match lost {
            Lost::NotSent(reason) | Lost::MaybeSent(reason) => unreachable(&format!("the token server: {reason}")),
            Lost::TooLong(_) => unreachable("the token server's reply is too long"),
        })?;
        grant::read(parts.oauth, &reply).map_err(|denial| match denial {
            Denial::Refused { code } => TokenError::Refused { lane: parts.lane.clone(), code },
            Denial::Busy => {
                let per = parts.oauth.at_most.map_or(BUSY, |(_, per)| per);
                TokenError::Busy { until: Timestamp::now() + per }
            }
            Denial::Unwell { reason } => unreachable(&reason),
        })
    }

    /// Makes a grant durable over whatever is stored: only who has the lease, or a person's consent, comes here.
    async fn keep(&self, mut grant: Grant) -> Result<Grant, TokenError> {
        let LaneRef { account, integration } = &self.parts.lane;
        loop {
            let sealed = self.parts.key.seal(PURPOSE, &[account, integration], &grant.to_bytes());
            let sealed = sealed.map_err(|reason| unreachable(&reason))?;
            let on =
                self.parts.store.credential(&self.parts.lane).await.map_err(unreadable)?.map_or(0, |was| was.version);
            match self.parts.store.put_credential(&self.parts.lane, on, sealed).await {
                Ok(()) => {
                    grant.version = on + 1;
                    return Ok(grant);
                }
                Err(StoreError::Conflict) => {}
                // A rotated refresh token that is not stored is lost with this process: written until it is.
                Err(error) => {
                    tracing::error!(lane = %self.parts.lane, %error, "a renewed token cannot be stored; trying on");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// What is stored, unless the configuration has another credential since.
    async fn read(&self) -> Result<Option<Grant>, TokenError> {
        let LaneRef { account, integration } = &self.parts.lane;
        let Some(stored) = self.parts.store.credential(&self.parts.lane).await.map_err(unreadable)? else {
            return Ok(None);
        };
        let Some(plain) = self.parts.key.open(PURPOSE, &[account, integration], &stored.sealed) else {
            tracing::warn!(lane = %self.parts.lane, "the stored token was sealed with another master key and is no use");
            return Ok(None);
        };
        let grant = Grant::from_bytes(&plain, stored.version);
        Ok(grant.filter(|grant| grant.configured == self.configured_hash))
    }

    /// The tokens as they stand, for who wants to see whether there are any.
    ///
    /// # Errors
    /// What the store says.
    pub async fn standing(&self) -> Result<Option<(By, Timestamp)>, TokenError> {
        Ok(self.read().await?.map(|grant| (grant.by, grant.since)))
    }

    async fn release(&self, lease: &Lease) {
        if let Err(error) = self.parts.store.release(lease).await {
            tracing::warn!(lane = %self.parts.lane, %error, "the turn to renew the token could not be given back");
        }
    }

    fn held(&self) -> Option<Arc<Grant>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, grant: Grant) -> Arc<Grant> {
        let grant = Arc::new(grant);
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&grant));
        grant
    }
}

fn unreachable(reason: &str) -> TokenError {
    TokenError::Unreachable { reason: reason.to_owned() }
}

fn unreadable(error: StoreError) -> TokenError {
    TokenError::Unreachable { reason: format!("the store: {error}") }
}
