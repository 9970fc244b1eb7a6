//! Changes of accounts and integrations: read by the configuration's own readers, tried where that is asked for, made durable
//! on the version that was read together with their entry in the log, and in effect when they are answered.

use std::{collections::BTreeSet, fmt, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    Accounts, Running, Vault, build,
    kept::{self, Opened, account_at, integration_at},
};
use crate::{
    config::{Account, Integration, Problem, given},
    connect::oauth::{Keeper, TokenError},
    delivery::Access,
    directory::Source,
    store::{AuditEntry, Change, Document, DocumentKind, DocumentRef, LaneRef, StoreError},
};

/// Behind an integration's name while its new secrets are tried: no name has this sign in it.
const TRIAL: &str = "~trial";

/// Why something is not changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    #[error("there is no such {0}")]
    Unknown(&'static str),
    #[error("this {0} is in the configuration file: change it there")]
    ReadOnly(&'static str),
    #[error("there is such {0} already")]
    Exists(&'static str),
    #[error("{}", told(.0))]
    Invalid(Vec<Problem>),
    #[error("somebody else changed it meanwhile: read it again")]
    Changed,
    /// Whoever was asked does not know these secrets, or was not to be had.
    #[error("nothing was changed: {0}")]
    NotVerified(String),
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for AccountsError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict | StoreError::Taken => Self::Changed,
            other => Self::Store(other),
        }
    }
}

fn told(problems: &[Problem]) -> String {
    let line = |problem: &Problem| match problem.key.as_str() {
        "" => problem.message.clone(),
        key => format!("{key}: {}", problem.message),
    };
    problems.iter().map(line).collect::<Vec<_>>().join("; ")
}

fn invalid(key: &str, message: impl Into<String>) -> AccountsError {
    AccountsError::Invalid(vec![Problem { key: key.to_owned(), message: message.into() }])
}

/// What somebody wants it to be: settings under the names of the configuration, `null` for what shall not be set any more.
#[derive(Clone, Default)]
pub struct Asked {
    pub settings: Map<String, Value>,
    /// On what it was read.
    pub version: Option<i64>,
    /// Whether the secrets are tried before anything is changed.
    pub verify: bool,
}

/// Secrets stand in it.
impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Asked {
    /// Puts it over what there is. Returns the names of what is another now.
    fn onto(&self, was: &mut Opened, is_secret: impl Fn(&str) -> bool, now: Timestamp) -> BTreeSet<String> {
        let mut changed = BTreeSet::new();
        for (key, value) in &self.settings {
            let secret = is_secret(key);
            let place = if secret { &mut was.secrets } else { &mut was.settings };
            let before = if value.is_null() { place.remove(key) } else { place.insert(key.clone(), value.clone()) };
            if before.as_ref() == Some(value).filter(|value| !value.is_null()) {
                continue;
            }
            changed.insert(key.clone());
            if secret && value.is_null() {
                was.since.remove(key);
            } else if secret {
                was.since.insert(key.clone(), now);
            }
        }
        changed
    }

    fn gives(&self, key: &str) -> bool {
        self.settings.get(key).is_some_and(|value| !value.is_null())
    }
}

impl Accounts {
    /// Makes an account.
    ///
    /// # Errors
    /// [`AccountsError`].
    pub async fn make_account(&self, asked: &Asked, by: &str) -> Result<Arc<Running>, AccountsError> {
        let now = Timestamp::now();
        let mut opened = Opened::default();
        let fields = asked.onto(&mut opened, is_account_secret, now);
        let account = given::account(&opened.all()).map_err(AccountsError::Invalid)?;
        if self.get(&account.sid).is_some() {
            return Err(AccountsError::Exists("account"));
        }
        self.apps_are_free(&account)?;
        if asked.verify {
            self.try_account(&account).await?;
        }
        // What an account of this SID left behind does not come back with it.
        let mut changes = self.without_integrations(&account.sid).await?;
        changes.push(self.written(account_at(&account.sid), 0, &opened)?);
        let log = entry(by, &account.sid, DocumentKind::Account, &account.sid, "made", &fields);
        match self.around.vault.store.change(changes, vec![log], now).await {
            Err(StoreError::Conflict) => return Err(AccountsError::Exists("account")),
            changed => changed?,
        }
        self.follow().await?;
        self.get(&account.sid).ok_or(AccountsError::Changed)
    }

    /// Changes an account. What is not named stays.
    ///
    /// # Errors
    /// [`AccountsError`].
    pub async fn edit_account(&self, sid: &str, asked: &Asked, by: &str) -> Result<Arc<Running>, AccountsError> {
        let now = Timestamp::now();
        let running = self.get(sid).ok_or(AccountsError::Unknown("account"))?;
        let (document, mut opened) =
            self.opened(account_at(sid), running.kept.source, asked.version, "account").await?;
        if asked.settings.get("sid").is_some_and(|given| given != sid) {
            return Err(invalid("sid", "cannot be changed: make another account"));
        }
        let fields = asked.onto(&mut opened, is_account_secret, now);
        if fields.is_empty() {
            return Ok(running);
        }
        let account = given::account(&opened.all()).map_err(AccountsError::Invalid)?;
        let urls = |of: &Account| [&of.api_url, &of.ccm_url, &of.cpaas_url, &of.portal_url].map(|url| url.origin());
        if urls(&account) != urls(&running.account) {
            given_again(asked, given::ACCOUNT_SECRETS.into_iter())?;
        }
        self.apps_are_free(&account)?;
        if asked.verify {
            self.try_account(&account).await?;
        }
        let change = self.written(account_at(sid), document.version, &opened)?;
        let log = entry(by, sid, DocumentKind::Account, sid, "changed", &fields);
        self.around.vault.store.change(vec![change], vec![log], now).await?;
        self.follow().await?;
        self.get(sid).ok_or(AccountsError::Changed)
    }

    /// Removes an account with its integrations and hook tokens. Its calls and receipts stay.
    ///
    /// # Errors
    /// [`AccountsError`].
    pub async fn remove_account(&self, sid: &str, version: Option<i64>, by: &str) -> Result<(), AccountsError> {
        let now = Timestamp::now();
        let running = self.get(sid).ok_or(AccountsError::Unknown("account"))?;
        let document = self.document(account_at(sid), running.kept.source, version, "account").await?;
        let mut changes = self.without_integrations(sid).await?;
        let names: Vec<String> = changes.iter().map(|change| change.at.id.clone()).collect();
        let gone = |name: &String| entry(by, sid, DocumentKind::Integration, name, "removed", &BTreeSet::new());
        let mut log: Vec<AuditEntry> = names.iter().map(gone).collect();
        changes.push(Change { at: account_at(sid), on_version: document.version, to: None });
        log.push(entry(by, sid, DocumentKind::Account, sid, "removed", &BTreeSet::new()));
        let Vault { store, .. } = &self.around.vault;
        store.change(changes, log, now).await?;
        self.follow().await?;
        for integration in names {
            store.forget_credential(&LaneRef { account: sid.to_owned(), integration }).await?;
        }
        for token in store.hook_tokens(sid).await? {
            store.expire_hook_token(sid, token.id, now).await?;
        }
        Ok(())
    }

    /// Adds an integration to an account. Returns its name.
    ///
    /// # Errors
    /// [`AccountsError`].
    pub async fn make_integration(&self, sid: &str, asked: &Asked, by: &str) -> Result<String, AccountsError> {
        let now = Timestamp::now();
        let running = self.get(sid).ok_or(AccountsError::Unknown("account"))?;
        let mut opened = Opened::default();
        let connector = text(&asked.settings, "connector");
        let fields = asked.onto(&mut opened, |key| given::is_secret(&connector, key), now);
        let integration = read(&opened, &running.account)?;
        let name = integration.name.clone();
        if running.integrations.contains_key(&name) {
            return Err(invalid("name", format!("{name:?} is the name of another integration of this account")));
        }
        let tried = if asked.verify { self.try_integration(&running.account, &integration).await? } else { None };
        let at = integration_at(sid, &name);
        let change = self.written(at.clone(), 0, &opened)?;
        let log = entry(by, sid, DocumentKind::Integration, &name, "made", &fields);
        match self.around.vault.store.change(vec![change], vec![log], now).await {
            Err(StoreError::Conflict) => return Err(AccountsError::Exists("an integration")),
            changed => changed?,
        }
        self.adopt(&running.account, integration, tried).await?;
        self.follow().await?;
        Ok(name)
    }

    /// Changes an integration. What is not named stays; where its address changes, the secrets have to be given again, as
    /// what is kept is told to nobody it was not given for.
    ///
    /// # Errors
    /// [`AccountsError`].
    pub async fn edit_integration(&self, sid: &str, name: &str, asked: &Asked, by: &str) -> Result<(), AccountsError> {
        self.change_integration(sid, name, asked, "changed", by).await
    }

    /// Exchanges an integration's secrets, and nothing else.
    ///
    /// # Errors
    /// [`AccountsError`].
    pub async fn rotate(&self, sid: &str, name: &str, asked: &Asked, by: &str) -> Result<(), AccountsError> {
        let running = self.get(sid).ok_or(AccountsError::Unknown("account"))?;
        let kept = running.integrations.get(name).ok_or(AccountsError::Unknown("integration"))?;
        let connector = text(&kept.settings, "connector");
        if kept.source == Source::Store {
            if let Some(open) = asked.settings.keys().find(|key| !given::is_secret(&connector, key)) {
                return Err(invalid(open, "is no secret: change it with PATCH"));
            }
            if asked.settings.is_empty() {
                return Err(invalid("", "give the new secrets, under the names of their settings"));
            }
        }
        self.change_integration(sid, name, asked, "rotated", by).await
    }

    async fn change_integration(
        &self,
        sid: &str,
        name: &str,
        asked: &Asked,
        action: &str,
        by: &str,
    ) -> Result<(), AccountsError> {
        let now = Timestamp::now();
        let running = self.get(sid).ok_or(AccountsError::Unknown("account"))?;
        let kept = running.integrations.get(name).ok_or(AccountsError::Unknown("integration"))?;
        let at = integration_at(sid, name);
        let (document, mut opened) = self.opened(at.clone(), kept.source, asked.version, "integration").await?;
        let connector = text(&opened.settings, "connector");
        for (key, is) in [("connector", connector.as_str()), ("name", name)] {
            if asked.settings.get(key).is_some_and(|given| given != is) {
                return Err(invalid(key, "cannot be changed: make another integration"));
            }
        }
        let fields = asked.onto(&mut opened, |key| given::is_secret(&connector, key), now);
        if fields.is_empty() && !asked.verify {
            return Ok(());
        }
        let integration = read(&opened, &running.account)?;
        if integration.name != name {
            return Err(invalid("name", "cannot be changed: make another integration"));
        }
        let address = |of: &Integration| [&of.origin, &of.authority].map(|url| url.as_ref().map(|url| url.origin()));
        if running.integration(name).is_none_or(|was| address(was) != address(&integration)) {
            given_again(asked, opened.secrets.keys().map(String::as_str))?;
        }
        let tried = if asked.verify { self.try_integration(&running.account, &integration).await? } else { None };
        if fields.is_empty() {
            return Ok(());
        }
        let change = self.written(at, document.version, &opened)?;
        let log = entry(by, sid, DocumentKind::Integration, name, action, &fields);
        self.around.vault.store.change(vec![change], vec![log], now).await?;
        self.adopt(&running.account, integration, tried).await?;
        self.follow().await?;
        Ok(())
    }

    /// Removes an integration. What waits for it is held, its calls stay.
    ///
    /// # Errors
    /// [`AccountsError`].
    pub async fn remove_integration(
        &self,
        sid: &str,
        name: &str,
        version: Option<i64>,
        by: &str,
    ) -> Result<(), AccountsError> {
        let running = self.get(sid).ok_or(AccountsError::Unknown("account"))?;
        let kept = running.integrations.get(name).ok_or(AccountsError::Unknown("integration"))?;
        let at = integration_at(sid, name);
        let document = self.document(at.clone(), kept.source, version, "integration").await?;
        let change = Change { at, on_version: document.version, to: None };
        let log = entry(by, sid, DocumentKind::Integration, name, "removed", &BTreeSet::new());
        let Vault { store, .. } = &self.around.vault;
        store.change(vec![change], vec![log], Timestamp::now()).await?;
        self.follow().await?;
        store.forget_credential(&LaneRef { account: sid.to_owned(), integration: name.to_owned() }).await?;
        Ok(())
    }

    async fn document(
        &self,
        at: DocumentRef,
        source: Source,
        version: Option<i64>,
        what: &'static str,
    ) -> Result<Document, AccountsError> {
        if source == Source::File {
            return Err(AccountsError::ReadOnly(what));
        }
        let document = self.around.vault.store.document(&at).await?.ok_or(AccountsError::Unknown(what))?;
        if version.is_some_and(|version| version != document.version) {
            return Err(AccountsError::Changed);
        }
        Ok(document)
    }

    /// Of what no key opens the secrets are gone, and can be given anew.
    async fn opened(
        &self,
        at: DocumentRef,
        source: Source,
        version: Option<i64>,
        what: &'static str,
    ) -> Result<(Document, Opened), AccountsError> {
        let document = self.document(at, source, version, what).await?;
        let opened = kept::open(&document, &self.around.vault.key).unwrap_or_else(|| kept::without_secrets(&document));
        Ok((document, opened))
    }

    fn written(&self, at: DocumentRef, on_version: i64, opened: &Opened) -> Result<Change, AccountsError> {
        let to = opened.written(&at, &self.around.vault.key)?;
        Ok(Change { at, on_version, to: Some(to) })
    }

    async fn without_integrations(&self, sid: &str) -> Result<Vec<Change>, StoreError> {
        let documents = self.around.vault.store.documents(sid, DocumentKind::Integration).await?;
        let gone = |document: Document| Change { at: document.at, on_version: document.version, to: None };
        Ok(documents.into_iter().map(gone).collect())
    }

    fn apps_are_free(&self, account: &Account) -> Result<(), AccountsError> {
        let roll = self.load();
        let others = roll.iter().filter(|other| other.account.sid != account.sid);
        let taken: BTreeSet<&String> = others.flat_map(|other| &other.account.app_ids).collect();
        match account.app_ids.iter().find(|app| taken.contains(app)) {
            Some(app) => {
                Err(invalid("app_ids", format!("{app:?} is another account's already; an app belongs to one account")))
            }
            None => Ok(()),
        }
    }

    async fn try_account(&self, account: &Account) -> Result<(), AccountsError> {
        let client = build::exotel_client(&self.around.config, account, self.around.transport.clone());
        let refused = |error: crate::exotel::ExotelError| {
            AccountsError::NotVerified(format!("Exotel at {}: {error}; {}", client.host(), error.cure()))
        };
        client.identify().await.map_err(refused)
    }

    /// Asks the CRM whom it takes us for. Where tokens had to be got for that, they come back with who got them.
    async fn try_integration(
        &self,
        account: &Account,
        integration: &Integration,
    ) -> Result<Option<Arc<Keeper>>, AccountsError> {
        let tried = Integration { name: format!("{}{TRIAL}", integration.name), ..integration.clone() };
        let driver = self.driver(account, &tried);
        let asked = driver.run(driver.connector.identify(), &mut Vec::new()).await;
        if let Access::Tokens(_, keeper) = &driver.access {
            keeper.settled().await;
            self.around.vault.store.forget_credential(keeper.lane()).await?;
        }
        match (asked, &driver.access) {
            (Err(stop), _) => Err(AccountsError::NotVerified(stop.told().replace(TRIAL, ""))),
            (Ok(_), Access::Tokens(_, keeper)) => Ok(Some(Arc::clone(keeper))),
            (Ok(_), Access::Fixed(_)) => Ok(None),
        }
    }

    fn driver(&self, account: &Account, integration: &Integration) -> crate::delivery::Driver {
        let around = &self.around;
        build::driver(
            &around.config,
            account,
            integration,
            Some(&around.vault),
            around.transport.clone(),
            Arc::clone(&around.metrics),
            around.stopping.child_token(),
        )
    }

    /// Puts the tokens that were got on trial where the integration's lane looks for them: a refresh token may be good once.
    async fn adopt(
        &self,
        account: &Account,
        mut integration: Integration,
        tried: Option<Arc<Keeper>>,
    ) -> Result<(), AccountsError> {
        let Some(tried) = tried else { return Ok(()) };
        let at = integration_at(&account.sid, &integration.name);
        let Some(document) = self.around.vault.store.document(&at).await? else { return Ok(()) };
        integration.tokens_for = kept::tokens_for(document.created_at, &integration);
        let Access::Tokens(_, keeper) = &self.driver(account, &integration).access else { return Ok(()) };
        keeper.adopt(&tried).await.map_err(|error: TokenError| AccountsError::NotVerified(error.to_string()))
    }
}

fn is_account_secret(key: &str) -> bool {
    given::ACCOUNT_SECRETS.contains(&key)
}

fn text(settings: &Map<String, Value>, key: &str) -> String {
    settings.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn read(opened: &Opened, of: &Account) -> Result<Integration, AccountsError> {
    given::integration(&opened.all(), of).map_err(AccountsError::Invalid)
}

/// What is kept is told to nobody it was not given for.
fn given_again<'a>(asked: &Asked, secrets: impl Iterator<Item = &'a str>) -> Result<(), AccountsError> {
    let missing: Vec<Problem> = secrets
        .filter(|key| !asked.gives(key))
        .map(|key| Problem {
            key: key.to_owned(),
            message: "must be given again, as the address is another now: what is kept is told to nobody else"
                .to_owned(),
        })
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(AccountsError::Invalid(missing)) }
}

fn entry(by: &str, sid: &str, kind: DocumentKind, id: &str, action: &str, fields: &BTreeSet<String>) -> AuditEntry {
    AuditEntry {
        by: by.to_owned(),
        account: sid.to_owned(),
        kind: kind.as_str().to_owned(),
        id: id.to_owned(),
        action: action.to_owned(),
        changed: json!({ "fields": fields }),
    }
}
