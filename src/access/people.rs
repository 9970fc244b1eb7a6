//! Users, their passwords, sessions and API tokens: made, listed, changed, revoked.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Caller, Gate, GateError, Hashed, ONE_TIME, Reset, Role, SEALED_FOR, Session, TOKEN_PREFIX, Token, User, body,
    entry, limits, password, same, secret, written,
};
use crate::{
    directory, key,
    store::{AuditEntry, Change, Document, DocumentKind, DocumentRef, StoreError, Writing},
};

const LABEL_CHARS: usize = 100;

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    pub email: String,
    pub role: Role,
    #[serde(default)]
    pub accounts: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UserPatch {
    pub email: Option<String>,
    pub role: Option<Role>,
    pub accounts: Option<BTreeSet<String>>,
    pub disabled: Option<bool>,
    pub version: Option<i64>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    pub label: String,
    /// At most the maker's own; his own where nothing is said.
    pub role: Option<Role>,
    #[serde(default)]
    pub accounts: BTreeSet<String>,
    pub expires_at: Option<Timestamp>,
}

/// A user, as he is shown.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ShownUser {
    pub id: String,
    pub version: i64,
    pub email: String,
    pub role: Role,
    pub accounts: BTreeSet<String>,
    pub disabled: bool,
    pub has_password: bool,
    /// A one-time token is out, and good until then.
    pub one_time_until: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Of one who was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_time: Option<OneTime>,
}

/// What a password is set with. It is shown this once.
#[derive(Clone, Serialize, JsonSchema)]
pub struct OneTime {
    pub token: String,
    pub expires_at: Timestamp,
}

impl fmt::Debug for OneTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OneTime(until {})", self.expires_at)
    }
}

/// A session, as it is shown.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ShownSession {
    pub id: String,
    /// Whose it is.
    pub user: String,
    pub email: Option<String>,
    /// Where he signed in from.
    #[schemars(with = "Option<String>")]
    pub address: Option<IpAddr>,
    pub browser: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// The one that asks.
    pub this: bool,
}

/// An API token, as it is shown.
#[derive(Clone, Serialize, JsonSchema)]
pub struct ShownToken {
    pub id: String,
    pub label: String,
    /// Whose it is. `null`: made with the admin token.
    pub user: Option<String>,
    pub role: Role,
    /// Empty: all that its maker may see.
    pub accounts: BTreeSet<String>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// Of one that was just made: it is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl fmt::Debug for ShownToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShownToken({} {:?})", self.id, self.role)
    }
}

impl Gate {
    /// # Errors
    /// What the store says.
    pub async fn users(&self) -> Result<Vec<ShownUser>, GateError> {
        let documents = self.store.documents("", DocumentKind::User).await?;
        documents.iter().map(|document| Ok(shown_user(document, &body(document)?))).collect()
    }

    /// # Errors
    /// [`GateError::Unknown`].
    pub async fn show_user(&self, id: &str) -> Result<ShownUser, GateError> {
        let (document, user) = self.user(id).await?.ok_or(GateError::Unknown("user"))?;
        Ok(shown_user(&document, &user))
    }

    /// Makes a user. He sets his password with the one-time token that comes with him.
    ///
    /// # Errors
    /// [`GateError`].
    pub async fn make_user(&self, new: NewUser, by: &Caller) -> Result<ShownUser, GateError> {
        let email = directory::email(&new.email).map_err(|error| GateError::Invalid("email", error))?;
        self.accounts_fit(new.role, &new.accounts)?;
        let id = Uuid::new_v4().to_string();
        let (token, reset) = one_time(&id)?;
        let expires_at = reset.expires_at;
        let user = User { email, role: new.role, accounts: new.accounts, disabled: false, reset: Some(reset) };
        let log = entry(&by.who, DocumentKind::User, &id, "made", facts(&user));
        self.put_user(&id, 0, &user, None, Vec::new(), log).await?;
        let mut shown = self.show_user(&id).await?;
        shown.one_time = Some(OneTime { token, expires_at });
        Ok(shown)
    }

    /// # Errors
    /// [`GateError`].
    pub async fn edit_user(&self, id: &str, patch: UserPatch, by: &Caller) -> Result<ShownUser, GateError> {
        let (document, was) = self.user(id).await?.ok_or(GateError::Unknown("user"))?;
        if patch.version.is_some_and(|version| version != document.version) {
            return Err(GateError::Changed);
        }
        let mut user = was.clone();
        if let Some(email) = patch.email {
            user.email = directory::email(&email).map_err(|error| GateError::Invalid("email", error))?;
        }
        user.role = patch.role.unwrap_or(user.role);
        user.accounts = patch.accounts.unwrap_or(user.accounts);
        user.disabled = patch.disabled.unwrap_or(user.disabled);
        self.accounts_fit(user.role, &user.accounts)?;
        let (before, now) = (facts(&was), facts(&user));
        let differs = |name: &&str| before[*name] != now[*name];
        let changed: Vec<&str> = ["email", "role", "accounts", "disabled"].into_iter().filter(differs).collect();
        if !changed.is_empty() {
            let told = changed.iter().map(|name| ((*name).to_owned(), now[*name].clone())).collect();
            let log = entry(&by.who, DocumentKind::User, id, "changed", Value::Object(told));
            // Whoever is shut out is so now, wherever he is signed in.
            let ended = if user.disabled { self.sessions_of(id).await? } else { Vec::new() };
            self.put_user(id, document.version, &user, document.says.sealed, ended, log).await?;
        }
        self.show_user(id).await
    }

    /// Makes a new one-time token to set the password with. The old password is of no use from now on.
    ///
    /// # Errors
    /// [`GateError`].
    pub async fn reset_password(&self, id: &str, by: &Caller) -> Result<OneTime, GateError> {
        let (document, mut user) = self.user(id).await?.ok_or(GateError::Unknown("user"))?;
        let (token, reset) = one_time(id)?;
        let expires_at = reset.expires_at;
        user.reset = Some(reset);
        let log = entry(&by.who, DocumentKind::User, id, "password reset", json!({}));
        self.put_user(id, document.version, &user, None, self.sessions_of(id).await?, log).await?;
        Ok(OneTime { token, expires_at })
    }

    /// Sets a password by a one-time token, which is used up. Whoever was signed in is not any more.
    ///
    /// # Errors
    /// [`GateError::WrongToken`], [`GateError::TooMany`].
    pub async fn set_password(
        &self,
        token: &str,
        password: SecretString,
        address: Option<IpAddr>,
    ) -> Result<(), GateError> {
        limits::attempt(self.context.as_ref(), address, None).await.map_err(GateError::TooMany)?;
        let id = token.split_once('.').map(|(id, _)| id).unwrap_or_default();
        let found = self.user(id).await?.filter(|(_, user)| !user.disabled);
        let (document, mut user) = found.ok_or(GateError::WrongToken)?;
        let now = Timestamp::now();
        let fits = |reset: &Reset| same(&reset.hash, token) && now < reset.expires_at;
        if !user.reset.as_ref().is_some_and(fits) {
            return Err(GateError::WrongToken);
        }
        password::acceptable(password.expose_secret(), &user.email)
            .map_err(|error| GateError::Invalid("password", error))?;
        let hashed = self.hash(move || Hashed::new(password.expose_secret())).await?.map_err(GateError::NotNow)?;
        let plain = serde_json::to_vec(&hashed)
            .map_err(|_| GateError::NotNow("the password's hash cannot be put in words".to_owned()))?;
        let sealed = self.key.seal(SEALED_FOR, &[id], &plain).map_err(GateError::NotNow)?;
        user.reset = None;
        let log = entry(&user.email, DocumentKind::User, id, "password set", json!({}));
        let ended = self.sessions_of(id).await?;
        match self.put_user(id, document.version, &user, Some(sealed), ended, log).await {
            // Somebody was quicker with the same token.
            Err(GateError::Changed) => Err(GateError::WrongToken),
            other => other,
        }
    }

    /// Removes a user, with his sessions and tokens.
    ///
    /// # Errors
    /// [`GateError`].
    pub async fn remove_user(&self, id: &str, by: &Caller) -> Result<(), GateError> {
        let (document, user) = self.user(id).await?.ok_or(GateError::Unknown("user"))?;
        let mut changes = self.sessions_of(id).await?;
        for token in self.store.documents("", DocumentKind::Token).await? {
            if body::<Token>(&token)?.user.as_deref() == Some(id) {
                changes.push(gone(&token));
            }
        }
        changes.push(gone(&document));
        let log = entry(&by.who, DocumentKind::User, id, "removed", json!({ "email": user.email }));
        Ok(self.store.change(changes, vec![log], Timestamp::now()).await?)
    }

    /// The sessions of a user; of everybody, for who may see that.
    ///
    /// # Errors
    /// What the store says.
    pub async fn sessions(&self, by: &Caller) -> Result<Vec<ShownSession>, GateError> {
        let mut shown = Vec::new();
        for document in self.live(DocumentKind::Session).await? {
            let session: Session = body(&document)?;
            if !by.owns(Some(&session.user)) {
                continue;
            }
            let email = self.user(&session.user).await?.map(|(_, user)| user.email);
            shown.push(ShownSession {
                this: by.session.as_deref() == Some(document.at.id.as_str()),
                id: document.at.id,
                user: session.user,
                email,
                address: session.address,
                browser: session.browser,
                created_at: document.created_at,
                expires_at: document.says.expires_at,
            });
        }
        Ok(shown)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`GateError::Unknown`]: there is none of this id that he may end.
    pub async fn end_session(&self, id: &str, by: &Caller) -> Result<(), GateError> {
        let found = self.store.document(&DocumentRef::new("", DocumentKind::Session, id)).await?;
        let document = found.ok_or(GateError::Unknown("session"))?;
        let session: Session = body(&document)?;
        if !by.owns(Some(&session.user)) {
            return Err(GateError::Unknown("session"));
        }
        let log = entry(&by.who, DocumentKind::Session, id, "removed", json!({ "user": session.user }));
        Ok(self.store.change(vec![gone(&document)], vec![log], Timestamp::now()).await?)
    }

    /// API tokens of a user; all of them, for who may see that.
    ///
    /// # Errors
    /// What the store says.
    pub async fn tokens(&self, by: &Caller) -> Result<Vec<ShownToken>, GateError> {
        let mut shown = Vec::new();
        for document in self.live(DocumentKind::Token).await? {
            let token: Token = body(&document)?;
            if by.owns(token.user.as_deref()) {
                shown.push(shown_token(&document, &token));
            }
        }
        Ok(shown)
    }

    /// Makes an API token. This is the only time it is shown.
    ///
    /// # Errors
    /// [`GateError::Invalid`]: among others, that it could do more than its maker.
    pub async fn make_token(&self, new: NewToken, by: &Caller) -> Result<ShownToken, GateError> {
        if by.by_token {
            // It would outlive its own revocation.
            return Err(GateError::Forbidden("a token makes no tokens: sign in, or use the admin token"));
        }
        let label = new.label.trim().to_owned();
        if label.is_empty() || label.chars().count() > LABEL_CHARS || label.chars().any(char::is_control) {
            let wanted = format!("1 to {LABEL_CHARS} characters that say what it is for");
            return Err(GateError::Invalid("label", wanted));
        }
        let now = Timestamp::now();
        if new.expires_at.is_some_and(|at| at <= now) {
            return Err(GateError::Invalid("expires_at", "is past".to_owned()));
        }
        let role = new.role.unwrap_or(by.role);
        if role > by.role {
            return Err(GateError::Invalid("role", format!("may be {} at most, as yours is", by.role.as_str())));
        }
        let mut accounts = new.accounts;
        if let (true, Some(own)) = (accounts.is_empty(), &by.accounts) {
            accounts.clone_from(own);
        }
        if let Some(other) = accounts.iter().find(|account| !by.may_see(account)) {
            return Err(GateError::Invalid("accounts", format!("there is no account {other:?}")));
        }
        self.accounts_fit(role, &accounts)?;
        let id = Uuid::new_v4().to_string();
        let secret = secret(&id)?;
        let token = Token { label, user: by.user.clone(), role, accounts, hash: key::hash(&secret) };
        let told =
            json!({ "label": token.label, "role": role, "accounts": token.accounts, "expires_at": new.expires_at });
        let log = entry(&by.who, DocumentKind::Token, &id, "made", told);
        let at = DocumentRef::new("", DocumentKind::Token, &id);
        let to = Writing { body: written(&token)?, expires_at: new.expires_at, ..Writing::default() };
        self.store.change(vec![Change { at: at.clone(), on_version: 0, to: Some(to) }], vec![log], now).await?;
        let document = self.store.document(&at).await?.ok_or(GateError::Unknown("token"))?;
        let mut shown = shown_token(&document, &token);
        shown.token = Some(format!("{TOKEN_PREFIX}{secret}"));
        Ok(shown)
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// [`GateError::Unknown`]: there is none of this id that he may revoke.
    pub async fn remove_token(&self, id: &str, by: &Caller) -> Result<(), GateError> {
        let found = self.store.document(&DocumentRef::new("", DocumentKind::Token, id)).await?;
        let document = found.ok_or(GateError::Unknown("token"))?;
        let token: Token = body(&document)?;
        if !by.owns(token.user.as_deref()) {
            return Err(GateError::Unknown("token"));
        }
        let log = entry(&by.who, DocumentKind::Token, id, "removed", json!({ "label": token.label }));
        Ok(self.store.change(vec![gone(&document)], vec![log], Timestamp::now()).await?)
    }

    /// Those whose time is not over.
    async fn live(&self, kind: DocumentKind) -> Result<Vec<Document>, StoreError> {
        let now = Timestamp::now();
        let mut documents = self.store.documents("", kind).await?;
        documents.retain(|document| document.says.expires_at.is_none_or(|at| now < at));
        Ok(documents)
    }

    async fn sessions_of(&self, user: &str) -> Result<Vec<Change>, GateError> {
        let mut found = Vec::new();
        for document in self.store.documents("", DocumentKind::Session).await? {
            if body::<Session>(&document)?.user == user {
                found.push(gone(&document));
            }
        }
        Ok(found)
    }

    async fn put_user(
        &self,
        id: &str,
        on_version: i64,
        user: &User,
        sealed: Option<Vec<u8>>,
        mut changes: Vec<Change>,
        log: AuditEntry,
    ) -> Result<(), GateError> {
        let to = Writing { name: Some(user.email.to_lowercase()), body: written(user)?, sealed, expires_at: None };
        changes.push(Change { at: DocumentRef::new("", DocumentKind::User, id), on_version, to: Some(to) });
        Ok(self.store.change(changes, vec![log], Timestamp::now()).await?)
    }

    fn accounts_fit(&self, role: Role, accounts: &BTreeSet<String>) -> Result<(), GateError> {
        if let Some(unknown) = accounts.iter().find(|account| !(self.is_account.0)(account)) {
            return Err(GateError::Invalid("accounts", format!("there is no account {unknown:?}")));
        }
        let wrong = match (role, accounts.len()) {
            (Role::SuperAdmin, 1..) => "a super_admin has all of them: leave it out",
            (Role::Admin, 0) => "name those that are his",
            (Role::Agent, 0 | 2..) => "name the one that is his",
            _ => return Ok(()),
        };
        Err(GateError::Invalid("accounts", wrong.to_owned()))
    }
}

fn one_time(id: &str) -> Result<(String, Reset), GateError> {
    let token = secret(id)?;
    let reset = Reset { hash: key::hash(&token), expires_at: Timestamp::now() + ONE_TIME };
    Ok((token, reset))
}

fn gone(document: &Document) -> Change {
    Change { at: document.at.clone(), on_version: document.version, to: None }
}

fn facts(user: &User) -> Value {
    json!({ "email": user.email, "role": user.role, "accounts": user.accounts, "disabled": user.disabled })
}

fn shown_user(document: &Document, user: &User) -> ShownUser {
    ShownUser {
        id: document.at.id.clone(),
        version: document.version,
        email: user.email.clone(),
        role: user.role,
        accounts: user.accounts.clone(),
        disabled: user.disabled,
        has_password: document.says.sealed.is_some(),
        one_time_until: user.reset.as_ref().map(|reset| reset.expires_at),
        created_at: document.created_at,
        updated_at: document.updated_at,
        one_time: None,
    }
}

fn shown_token(document: &Document, token: &Token) -> ShownToken {
    ShownToken {
        id: document.at.id.clone(),
        label: token.label.clone(),
        user: token.user.clone(),
        role: token.role,
        accounts: token.accounts.clone(),
        created_at: document.created_at,
        expires_at: document.says.expires_at,
        token: None,
    }
}
