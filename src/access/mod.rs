//! Who may use the API: the holder of the admin token, users who sign in, and holders of API tokens. What they hold is
//! kept here as hashes only, and every request looks it up: what is revoked is of no use from then on, on every node.

mod limits;
mod password;
mod people;

use std::{collections::BTreeSet, fmt, net::IpAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{
    codes::Code,
    context::Context,
    directory::Agent,
    key::{self, MasterKey},
    store::{AuditEntry, Change, Document, DocumentKind, DocumentRef, Store, StoreError, Writing},
};

use password::Hashed;
pub use people::{NewToken, NewUser, OneTime, ShownSession, ShownToken, ShownUser, UserPatch};

/// What an API token begins with: so that it is told from the admin token, and found where it was left by mistake.
const TOKEN_PREFIX: &str = "pbt_";
/// How long one sign-in is good for.
const SESSION: Duration = Duration::from_secs(12 * 3600);
/// How long a one-time token is good for.
const ONE_TIME: Duration = Duration::from_secs(3 * 86_400);
/// Passwords that are hashed at once: each takes 19 MiB and a processor.
const HASHING: usize = 2;
/// Of what is shown of a browser.
const BROWSER_CHARS: usize = 200;
/// What passwords are sealed for.
pub const SEALED_FOR: &str = "password";
/// The caller that has no name of its own.
const ADMIN_TOKEN: &str = "admin_token";

/// What somebody may do. Ordered: the later may do all that the earlier may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// See the calls of one account, and say what belongs to them.
    Agent,
    /// Run one account, or several.
    Admin,
    /// All of it.
    SuperAdmin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Agent, Self::Admin, Self::SuperAdmin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Admin => "admin",
            Self::SuperAdmin => "super_admin",
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Caller {
    /// For the log of changes.
    pub who: String,
    pub role: Role,
    /// `None`: all there are.
    pub accounts: Option<BTreeSet<String>>,
    /// The user he is, if he is one.
    pub user: Option<String>,
    /// That user's: by it an agent is found in the user mapping. A token has that of whoever made it, and none if that was
    /// nobody but the holder of the admin token.
    pub email: Option<String>,
    /// The session he came with.
    pub session: Option<String>,
    /// He came with an API token.
    pub by_token: bool,
}

impl Caller {
    /// Whether an account is one of his.
    pub fn may_see(&self, account: &str) -> bool {
        self.accounts.as_ref().is_none_or(|accounts| accounts.contains(account))
    }

    /// Whether this agent of the user mapping is he.
    pub fn is_agent(&self, agent: &Agent) -> bool {
        let emails = self.email.as_ref().zip(agent.profile.email.as_ref());
        emails.is_some_and(|(own, his)| own.eq_ignore_ascii_case(his))
    }

    /// Whether what belongs to this user is his.
    fn owns(&self, user: Option<&str>) -> bool {
        self.role == Role::SuperAdmin || (user.is_some() && self.user.as_deref() == user)
    }
}

/// Why somebody is not let in, or something is not done.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    #[error("e-mail or password is wrong")]
    WrongPassword,
    #[error("this one-time token is used up, too old, or none")]
    WrongToken,
    #[error("too many attempts; wait")]
    TooMany(Duration),
    #[error("there is no such {0}")]
    Unknown(&'static str),
    #[error("{0}: {1}")]
    Invalid(&'static str, String),
    #[error("somebody else changed it meanwhile: read it again")]
    Changed,
    #[error("email: there is a user with it already")]
    Taken,
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("{0}")]
    NotNow(String),
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for GateError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::Changed,
            StoreError::Taken => Self::Taken,
            other => Self::Store(other),
        }
    }
}

/// A user as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct User {
    email: String,
    role: Role,
    accounts: BTreeSet<String>,
    disabled: bool,
    /// A one-time token that is out.
    reset: Option<Reset>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Reset {
    hash: String,
    expires_at: Timestamp,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Session {
    user: String,
    hash: String,
    address: Option<IpAddr>,
    browser: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Token {
    label: String,
    /// `None`: made with the admin token.
    user: Option<String>,
    role: Role,
    accounts: BTreeSet<String>,
    hash: String,
}

/// A sign-in that succeeded.
pub struct SignedIn {
    pub caller: Caller,
    /// For the cookie.
    pub secret: SecretString,
    pub expires_at: Timestamp,
    pub lasts: Duration,
}

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SignedIn").field(&self.caller.user).finish()
    }
}

/// Whether there is an account of this SID, now.
struct IsAccount(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl fmt::Debug for IsAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IsAccount")
    }
}

/// The keeper of who may come in.
#[derive(Debug)]
pub struct Gate {
    store: Arc<dyn Store>,
    context: Arc<dyn Context>,
    key: MasterKey,
    admin: Option<[u8; 32]>,
    is_account: IsAccount,
    hashing: Arc<Semaphore>,
}

impl Gate {
    pub fn new(
        store: Arc<dyn Store>,
        context: Arc<dyn Context>,
        key: MasterKey,
        admin_token: Option<&SecretString>,
        is_account: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    ) -> Self {
        Self {
            store,
            key,
            admin: admin_token.map(|token| Sha256::digest(token.expose_secret().as_bytes()).into()),
            is_account: IsAccount(is_account),
            context,
            hashing: Arc::new(Semaphore::new(HASHING)),
        }
    }

    /// Whether there is an admin token at all.
    pub fn has_admin_token(&self) -> bool {
        self.admin.is_some()
    }

    /// Whose bearer token this is. `None`: nobody's.
    ///
    /// # Errors
    /// What the store says.
    pub async fn bearer(&self, token: &str) -> Result<Option<Caller>, StoreError> {
        if let Some(rest) = token.strip_prefix(TOKEN_PREFIX) {
            return self.token_holder(rest).await;
        }
        let given: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let same = self.admin.is_some_and(|expected| given.ct_eq(&expected).into());
        Ok(same.then(|| Caller {
            who: ADMIN_TOKEN.to_owned(),
            role: Role::SuperAdmin,
            accounts: None,
            user: None,
            email: None,
            session: None,
            by_token: false,
        }))
    }

    /// Whose session this is. `None`: nobody's, or it is over.
    ///
    /// # Errors
    /// What the store says.
    pub async fn session(&self, secret: &str) -> Result<Option<Caller>, StoreError> {
        let Some((document, session)) = self.held::<Session>(DocumentKind::Session, secret).await? else {
            return Ok(None);
        };
        if !same(&session.hash, secret) {
            return Ok(None);
        }
        let Some((_, user)) = self.user(&session.user).await?.filter(|(_, user)| !user.disabled) else {
            return Ok(None);
        };
        Ok(Some(caller(&session.user, &user, Some(document.at.id))))
    }

    /// What a request of a session that changes something must say as well: a page of somebody else's cannot know it.
    pub fn csrf(&self, session: &str) -> String {
        self.key.sign("csrf", &[session])
    }

    pub fn is_csrf(&self, session: &str, given: &str) -> bool {
        self.key.verify("csrf", &[session], given)
    }

    async fn token_holder(&self, secret: &str) -> Result<Option<Caller>, StoreError> {
        let Some((_, token)) = self.held::<Token>(DocumentKind::Token, secret).await? else { return Ok(None) };
        if !same(&token.hash, secret) {
            return Ok(None);
        }
        let (mut role, mut accounts, mut who) = (token.role, token.accounts, format!("token {}", token.label));
        let mut email = None;
        if let Some(id) = &token.user {
            // It can do no more than whoever made it can now.
            let Some((_, user)) = self.user(id).await?.filter(|(_, user)| !user.disabled) else { return Ok(None) };
            role = role.min(user.role);
            if user.role != Role::SuperAdmin {
                accounts = match accounts.is_empty() {
                    // Made for all there are, by somebody who has less now.
                    true => user.accounts,
                    false => accounts.intersection(&user.accounts).cloned().collect(),
                };
            }
            who = format!("{who} of {}", user.email);
            email = Some(user.email);
        }
        let accounts = (role != Role::SuperAdmin).then_some(accounts);
        Ok(Some(Caller { who, role, accounts, user: token.user, email, session: None, by_token: true }))
    }

    /// The document that a secret names, if its time is not over.
    async fn held<T: DeserializeOwned>(
        &self,
        kind: DocumentKind,
        secret: &str,
    ) -> Result<Option<(Document, T)>, StoreError> {
        let Some(id) = secret.split_once('.').and_then(|(id, _)| Uuid::try_parse(id).ok()) else { return Ok(None) };
        let found = self.store.document(&DocumentRef::new("", kind, &id.to_string())).await?;
        let now = Timestamp::now();
        let Some(found) = found.filter(|found| found.says.expires_at.is_none_or(|at| now < at)) else {
            return Ok(None);
        };
        let body = body(&found)?;
        Ok(Some((found, body)))
    }

    async fn user(&self, id: &str) -> Result<Option<(Document, User)>, StoreError> {
        let found = self.store.document(&DocumentRef::new("", DocumentKind::User, id)).await?;
        found.map(|found| Ok((body(&found)?, found))).transpose().map(|found| found.map(|(user, found)| (found, user)))
    }

    /// Signs somebody in. An e-mail that nobody has, a wrong password and a user who is shut out take the same time and
    /// get the same answer.
    ///
    /// # Errors
    /// [`GateError::WrongPassword`], [`GateError::TooMany`].
    pub async fn sign_in(
        &self,
        email: &str,
        password: SecretString,
        address: Option<IpAddr>,
        browser: &str,
    ) -> Result<SignedIn, GateError> {
        let email = email.trim().to_lowercase();
        limits::attempt(self.context.as_ref(), address, Some(&email)).await.map_err(GateError::TooMany)?;
        let found = self.store.document_named("", DocumentKind::User, &email).await?;
        let found = found.map(|found| Ok::<_, StoreError>((body::<User>(&found)?, found))).transpose()?;
        let hashed = found.as_ref().and_then(|(_, document)| self.hashed(document));
        let known = hashed.is_some();
        let right = self.hash(move || hashed.unwrap_or_else(Hashed::nobodys).is(password.expose_secret())).await?;
        let Some((user, document)) = found.filter(|(user, _)| right && known && !user.disabled) else {
            tracing::warn!(
                code = %Code::SignInRefused, address = ?address,
                "a sign-in was refused: the e-mail or the password is wrong"
            );
            return Err(GateError::WrongPassword);
        };
        let now = Timestamp::now();
        let id = Uuid::new_v4().to_string();
        let secret = secret(&id)?;
        let session = Session {
            user: document.at.id.clone(),
            hash: key::hash(&secret),
            address,
            browser: browser.chars().filter(|c| !c.is_control()).take(BROWSER_CHARS).collect(),
        };
        let expires_at = now + SESSION;
        let to = Writing { body: written(&session)?, expires_at: Some(expires_at), ..Writing::default() };
        let log = entry(&user.email, DocumentKind::Session, &id, "made", json!({ "user": user.email }));
        let at = DocumentRef::new("", DocumentKind::Session, &id);
        self.store.change(vec![Change { at, on_version: 0, to: Some(to) }], vec![log], now).await?;
        let caller = caller(&document.at.id, &user, Some(id));
        Ok(SignedIn { caller, secret: secret.into(), expires_at, lasts: SESSION })
    }

    fn hashed(&self, document: &Document) -> Option<Hashed> {
        let opened = self.key.open(SEALED_FOR, &[&document.at.id], document.says.sealed.as_deref()?)?;
        serde_json::from_slice(&opened).ok()
    }

    /// Hashing takes a processor for as long as it takes: not one of those that answer callbacks.
    async fn hash<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, GateError> {
        let ended = || GateError::NotNow("the service is stopping".to_owned());
        let place = Arc::clone(&self.hashing).acquire_owned().await.map_err(|_| ended())?;
        let hashed = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        hashed.await.map_err(|_| ended())
    }
}

fn caller(id: &str, user: &User, session: Option<String>) -> Caller {
    Caller {
        who: user.email.clone(),
        role: user.role,
        accounts: (user.role != Role::SuperAdmin).then(|| user.accounts.clone()),
        user: Some(id.to_owned()),
        email: Some(user.email.clone()),
        session,
        by_token: false,
    }
}

fn body<T: DeserializeOwned>(document: &Document) -> Result<T, StoreError> {
    serde_json::from_value(document.says.body.clone())
        .map_err(|_| StoreError::Unreadable(format!("stored {} is not of a known form", document.at.kind.as_str())))
}

fn written<T: Serialize>(body: &T) -> Result<Value, StoreError> {
    serde_json::to_value(body).map_err(|_| StoreError::Unwritable("a document cannot be put in words".to_owned()))
}

fn entry(by: &str, kind: DocumentKind, id: &str, action: &str, changed: Value) -> AuditEntry {
    AuditEntry {
        by: by.to_owned(),
        account: String::new(),
        kind: kind.as_str().to_owned(),
        id: id.to_owned(),
        action: action.to_owned(),
        changed,
    }
}

/// What somebody is given to come in with: the document it is about, and 256 bits that cannot be guessed.
fn secret(id: &str) -> Result<String, GateError> {
    let token = key::token::<32>().map_err(GateError::NotNow)?;
    Ok(format!("{id}.{token}"))
}

fn same(expected: &str, secret: &str) -> bool {
    key::hash(secret).as_bytes().ct_eq(expected.as_bytes()).into()
}
