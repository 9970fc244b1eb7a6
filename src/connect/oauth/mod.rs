//! Access tokens of one integration: got once for all who need them, kept sealed, renewed before they die.
//!
//! However many tasks and nodes want one, at most one asks the token server: the others wait and read what it stored. A
//! rotated refresh token is durable before its access token is used (architecture, "OAuth refresh").
//!
//! # How an integration comes by its tokens
//!
//! `patchbay connect` asks the running service, which sends a person to the CRM and gets him back at `/oauth/callback`
//! with a code; or the configuration holds a refresh token or a private key. `connect/oauth` exchanges it, seals what
//! it got with the master key and stores it before anybody uses it. Who finds the token stale takes the turn in this
//! process and a lease in the store, looks again whether another has renewed it, and only then asks. A 401 renews once;
//! a refusal by the token server holds the lane.
//!
//! # How access tokens are kept
//!
//! One keeper per integration, tokens sealed with the master key in the store. Of all that need a new one, one asks the
//! token server (a lease among processes, a lock within one), in a task that goes on when who asked has given up; the
//! answer is durable before its access token is used, and never put over a person's newer consent. The one moment that
//! cannot be covered is between the token server's answer and our disk: a refresh token that was rotated then is gone
//! with the process, the lane is held, and `patchbay connect` mends it. Calls of the meantime wait and go out.

mod assertion;
pub mod consent;
mod grant;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use patchbay_kit::{OAuth, Request};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use uuid::Uuid;

use super::transport::{Credentials, Limits, Lost, Transport};
use crate::{
    codes::Code,
    crash,
    key::{self, MasterKey},
    store::{Duty, LaneRef, Lease, Store, StoreError},
};

use grant::{Answer, Denial};
pub use grant::{By, Grant};

/// What tokens are sealed for.
pub const SEALED_FOR: &str = "oauth token";
/// How long somebody who renews keeps the others waiting, should he die meanwhile: beyond the longest exchange, for who
/// takes over would use the same refresh token.
const LEASE: Duration = Duration::from_secs(30);
/// How often those who wait look whether it is done.
const LOOK: Duration = Duration::from_millis(100);
/// After the server said "too many", where the manifest names no period.
const BUSY: Duration = Duration::from_secs(60);
/// After renewing ahead of time came to nothing, the token that is good yet is used for so long before it is tried again.
const PAUSE: Duration = Duration::from_secs(10);
/// Between tries to store a token.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How it is said that nobody has consented yet.
pub const NOT_CONNECTED: &str = "not connected yet";

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("{NOT_CONNECTED}: run `patchbay connect {0}`")]
    NotConnected(LaneRef),
    /// Revoked, expired, or wrong: a person must connect anew.
    #[error("{}", refused(lane, code))]
    Refused { lane: LaneRef, code: String },
    #[error("too many access tokens were asked for; the next one not before {until}")]
    Busy { until: Timestamp },
    #[error("{reason}")]
    Unreachable { reason: String },
}

/// A consent of somebody's does not mend a wrong client.
fn refused(lane: &LaneRef, code: &str) -> String {
    if code.to_ascii_lowercase().contains("client") {
        return format!(
            "the token server refuses the client ({code}): correct `client_id` and `client_secret`, and see that they \
             belong to the server that is asked for tokens (an org, a data centre)"
        );
    }
    format!(
        "the token server refuses the credentials ({code}): run `patchbay connect {lane}`, or correct the configuration"
    )
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
        key::hash(&text)
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
    /// Tokens got under another value are not used: the integration was made anew since, or has another address.
    pub tokens_for: String,
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
    /// Held while a token is asked for.
    turn: tokio::sync::Mutex<Turn>,
}

/// What those who ask for tokens leave to the next.
#[derive(Default)]
struct Turn {
    /// When the last ones were asked for.
    asked: VecDeque<Timestamp>,
    /// How the last try failed, and when.
    failed: Option<(Instant, TokenError)>,
    /// A person is needed: what there is may live for some minutes yet, and is used no more. Else the lane would go on
    /// and be held in turns until it dies.
    doomed: bool,
}

/// What the store has of an integration.
struct Found {
    /// 0: nothing.
    version: i64,
    /// Unless the configuration has another credential since.
    grant: Option<Grant>,
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
    pub async fn token(self: &Arc<Self>) -> Result<Arc<Grant>, TokenError> {
        let now = Timestamp::now();
        match self.held() {
            Some(grant) if grant.fresh(now) => Ok(grant),
            // Nobody waits for him who renews it ahead of time.
            Some(grant) if grant.alive(now) && self.turn.try_lock().is_err() => Ok(grant),
            _ => self.renew(None).await,
        }
    }

    /// Another token than `spent`, which the CRM refused.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn renew(self: &Arc<Self>, spent: Option<&Grant>) -> Result<Arc<Grant>, TokenError> {
        let (keeper, spent, since) = (Arc::clone(self), spent.cloned(), Instant::now());
        // In a task of its own: who asked may not wait to the end (a popup that comes too late), and a rotated refresh
        // token that is not stored would be gone with him.
        let renewing = tokio::spawn(async move { keeper.renewed(spent.as_ref(), since).await });
        renewing.await.unwrap_or_else(|_| Err(unreachable("renewing the token ended abnormally")))
    }

    /// Resolves when no token is being asked for.
    pub async fn settled(&self) {
        drop(self.turn.lock().await);
    }

    async fn renewed(&self, spent: Option<&Grant>, since: Instant) -> Result<Arc<Grant>, TokenError> {
        let mut turn = self.turn.lock().await;
        if let Some(grant) = self.held().filter(|grant| usable(grant, spent)) {
            return Ok(grant);
        }
        let good_yet = || self.held().filter(|old| spent.is_none() && old.alive(Timestamp::now()));
        if let Some((at, error)) = &turn.failed {
            match good_yet() {
                Some(old) if at.elapsed() < PAUSE => return Ok(old),
                // Who waited while another one asked in vain has his answer.
                _ if *at >= since => return Err(error.clone()),
                _ => {}
            }
        }
        let renewed = self.lead(spent, &mut turn).await;
        turn.failed = renewed.as_ref().err().map(|error| (Instant::now(), error.clone()));
        let error = match renewed {
            Ok(grant) => {
                turn.doomed = false;
                return Ok(self.hold(grant));
            }
            Err(error) => error,
        };
        if needs_a_person(&error) {
            turn.doomed = true;
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        match good_yet() {
            Some(old) => {
                tracing::warn!(
                    code = %Code::TokenNotRenewed, lane = %self.parts.lane, %error,
                    "the access token cannot be renewed; it is used until it ends, and renewing is tried on"
                );
                Ok(old)
            }
            None => Err(error),
        }
    }

    /// What another node has stored, else a new one: whoever has the lease asks.
    async fn lead(&self, spent: Option<&Grant>, turn: &mut Turn) -> Result<Grant, TokenError> {
        let lease = LEASE + self.parts.limits.request_timeout;
        let (began, duty) = (Timestamp::now(), [Duty::Token(self.parts.lane.clone())]);
        let turns = loop {
            if let Some(grant) = self.read().await?.grant {
                if usable(&grant, spent) {
                    return Ok(grant);
                }
                if !turn.doomed {
                    self.hold(grant);
                }
            }
            let turns = self.parts.store.lease(self.holder, &duty, lease).await.map_err(unreadable)?;
            if !turns.is_empty() {
                break turns;
            }
            if Timestamp::now() > began + 2 * lease {
                return Err(unreachable("another node is renewing the token and does not come to an end"));
            }
            tokio::time::sleep(LOOK).await;
        };
        let led = self.led(spent, turn).await;
        for lease in &turns {
            self.release(lease).await;
        }
        led
    }

    /// With the lease.
    async fn led(&self, spent: Option<&Grant>, turn: &mut Turn) -> Result<Grant, TokenError> {
        // Between the look and the lease the other one may have finished.
        let found = self.read().await?;
        if let Some(grant) = found.grant.as_ref().filter(|grant| usable(grant, spent)) {
            return Ok(grant.clone());
        }
        let asked = self.ask(&found, turn).await;
        if let Err(TokenError::Refused { .. }) = asked {
            // A person may have connected anew while the old one was being refused.
            let now = self.read().await?;
            if let Some(grant) = now.grant.filter(|grant| now.version != found.version && usable(grant, spent)) {
                return Ok(grant);
            }
        }
        asked
    }

    /// One exchange with the token server, and its result made durable.
    async fn ask(&self, found: &Found, turn: &mut Turn) -> Result<Grant, TokenError> {
        let now = Timestamp::now();
        let Self { parts, .. } = self;
        if let Some((most, per)) = parts.oauth.at_most {
            while turn.asked.front().is_some_and(|at| *at + per <= now) {
                turn.asked.pop_front();
            }
            // Half of what is allowed: other nodes, and a restart, have the same limit.
            if turn.asked.len() >= (most as usize).div_ceil(2) {
                let until = turn.asked.front().map_or(now + per, |first| *first + per);
                return Err(TokenError::Busy { until });
            }
        }
        let stored = found.grant.as_ref();
        let authority = stored.and_then(|stored| stored.authority.clone());
        let at = authority.as_ref().unwrap_or(&parts.authority);
        let refresh = match (stored.and_then(|stored| stored.refresh.as_ref()), &parts.configured) {
            (Some(token), _) | (None, Configured::RefreshToken(token)) => Some(token.clone()),
            (None, Configured::Assertion { .. }) => None,
            (None, Configured::Nothing) => return Err(TokenError::NotConnected(parts.lane.clone())),
        };
        let mut form = Vec::new();
        match (&refresh, &parts.configured) {
            (None, Configured::Assertion { key, subject }) => {
                let audience = at.as_str().trim_end_matches('/');
                let signed = assertion::sign(key.expose_secret(), &parts.client_id, subject, audience, now)
                    .map_err(|code| TokenError::Refused { lane: parts.lane.clone(), code })?;
                form.push(("grant_type", assertion::GRANT_TYPE.to_owned()));
                form.push(("assertion", signed));
            }
            _ => {
                form.push(("grant_type", "refresh_token".to_owned()));
                form.extend(refresh.as_ref().map(|token| ("refresh_token", token.expose_secret().to_owned())));
                form.extend(self.client());
            }
        }
        turn.asked.push_back(now);
        let answer = self.exchange(at, form).await?;
        crash::point("token.before_keep");
        let grant = Grant {
            renew_at: grant::renew_at(now, answer.lifetime),
            access: answer.access,
            expires_at: now + answer.lifetime,
            refresh: answer.refresh.or(refresh),
            origin: answer.origin.or_else(|| stored.and_then(|stored| stored.origin.clone())),
            authority,
            by: stored.map_or(By::Configuration, |stored| stored.by),
            since: stored.map_or(now, |stored| stored.since),
            configured: self.configured_hash.clone(),
            tokens_for: parts.tokens_for.clone(),
        };
        let grant = self.keep(grant, found.version, true).await?;
        crash::point("token.after_keep");
        Ok(grant)
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

    /// Makes a grant durable over version `on`. Where there is another by now, one that `yields` leaves it and takes it
    /// instead: it is a person's new consent, or of a node that took over. A consent itself stands above whatever is there.
    async fn keep(&self, grant: Grant, mut on: i64, yields: bool) -> Result<Grant, TokenError> {
        let LaneRef { account, integration } = &self.parts.lane;
        loop {
            let sealed = self.parts.key.seal(SEALED_FOR, &[account, integration], &grant.to_bytes());
            let sealed = sealed.map_err(|reason| unreachable(&reason))?;
            let error = match self.parts.store.put_credential(&self.parts.lane, on, sealed).await {
                Ok(()) => return Ok(grant),
                Err(StoreError::Conflict) => match self.read().await {
                    Ok(Found { grant: Some(theirs), .. }) if yields => return Ok(theirs),
                    Ok(found) => {
                        on = found.version;
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            // A rotated refresh token that is not stored is lost with this process: written until it is.
            tracing::error!(
                code = %Code::TokenNotStored, lane = %self.parts.lane, error,
                "a new token cannot be stored; it is tried every second. Mend the database before Patchbay is ended"
            );
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }

    async fn read(&self) -> Result<Found, TokenError> {
        let LaneRef { account, integration } = &self.parts.lane;
        let Some(stored) = self.parts.store.credential(&self.parts.lane).await.map_err(unreadable)? else {
            return Ok(Found { version: 0, grant: None });
        };
        let plain = self.parts.key.open(SEALED_FOR, &[account, integration], &stored.sealed);
        if plain.is_none() {
            tracing::error!(
                code = %Code::WrongMasterKey, lane = %self.parts.lane,
                "the stored token was sealed with another master key and is not used; give that key as \
                 server.previous_key_files, or connect again"
            );
        }
        let grant = plain.and_then(|plain| Grant::from_bytes(&plain)).filter(|grant| self.holds(grant));
        Ok(Found { version: stored.version, grant })
    }

    /// Whether a stored grant stands beside the configuration: another credential there replaces it; none, after a person
    /// has consented, does not.
    fn holds(&self, grant: &Grant) -> bool {
        let of_ours =
            grant.configured == self.configured_hash || (self.configured_hash.is_empty() && grant.by == By::Consent);
        of_ours && grant.tokens_for == self.parts.tokens_for
    }

    /// Takes over what another keeper got by the same credential, when it was tried before it became this one's.
    ///
    /// # Errors
    /// What the store says.
    pub async fn adopt(&self, tried: &Keeper) -> Result<(), TokenError> {
        let Some(grant) = tried.held() else { return Ok(()) };
        let grant = Grant {
            configured: self.configured_hash.clone(),
            tokens_for: self.parts.tokens_for.clone(),
            ..Grant::clone(&grant)
        };
        let grant = self.keep(grant, 0, false).await?;
        self.hold(grant);
        Ok(())
    }

    /// The tokens as they stand, for who wants to see whether there are any.
    ///
    /// # Errors
    /// What the store says.
    pub async fn standing(&self) -> Result<Option<(By, Timestamp)>, TokenError> {
        Ok(self.read().await?.grant.map(|grant| (grant.by, grant.since)))
    }

    async fn release(&self, lease: &Lease) {
        if let Err(error) = self.parts.store.release(lease).await {
            tracing::warn!(
                code = %Code::LeaseNotGivenBack, lane = %self.parts.lane, %error,
                "the turn to renew the token cannot be given back; it ends by itself"
            );
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

/// Whether it has its time before it, and is another than the one that was refused.
fn usable(grant: &Grant, spent: Option<&Grant>) -> bool {
    let refused = spent.is_some_and(|spent| spent.access.expose_secret() == grant.access.expose_secret());
    grant.fresh(Timestamp::now()) && !refused
}

/// Whether asking again changes nothing.
fn needs_a_person(error: &TokenError) -> bool {
    matches!(error, TokenError::Refused { .. } | TokenError::NotConnected(_))
}

fn unreachable(reason: &str) -> TokenError {
    TokenError::Unreachable { reason: reason.to_owned() }
}

fn unreadable(error: StoreError) -> TokenError {
    TokenError::Unreachable { reason: format!("the store: {error}") }
}
