//! Accounts and integrations as documents: what may be read of them stands open, their secrets lie sealed beside it, each
//! document's for itself. Together with those of the file they are the list there is.

use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use url::Url;

use crate::{
    codes::Code,
    config::{Account, Integration, Problem, given},
    directory::Source,
    key::MasterKey,
    store::{Document, DocumentKind, DocumentRef, Store, StoreError, Writing},
};

/// How an account or an integration stands where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub source: Source,
    /// Goes up with each change; 0 in the file.
    pub version: i64,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    /// As it was given, without its secrets. Of the file: nothing.
    pub settings: Map<String, Value>,
    /// Which secrets are set, and since when.
    pub secrets: BTreeMap<String, Timestamp>,
    /// Why it does not run.
    pub broken: Option<String>,
}

impl Kept {
    fn of_file() -> Self {
        Self {
            source: Source::File,
            version: 0,
            created_at: None,
            updated_at: None,
            settings: Map::new(),
            secrets: BTreeMap::new(),
            broken: None,
        }
    }

    fn of(document: &Document, body: Body) -> Self {
        Self {
            source: Source::Store,
            version: document.version,
            created_at: Some(document.created_at),
            updated_at: Some(document.updated_at),
            settings: body.settings,
            secrets: body.secrets,
            broken: None,
        }
    }
}

/// One account of the list.
#[derive(Clone, Debug)]
pub struct Entry {
    /// With all its integrations, those of the file and those that are kept.
    pub account: Arc<Account>,
    pub kept: Kept,
    /// Those that do not run among them, with why.
    pub integrations: BTreeMap<String, Kept>,
}

/// The open part of a document.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Body {
    settings: Map<String, Value>,
    secrets: BTreeMap<String, Timestamp>,
}

/// A document with its secrets opened.
#[derive(Clone, Default)]
pub(super) struct Opened {
    pub(super) settings: Map<String, Value>,
    pub(super) secrets: Map<String, Value>,
    pub(super) since: BTreeMap<String, Timestamp>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("secrets", &self.since).finish_non_exhaustive()
    }
}

impl Opened {
    /// What the readers of the configuration want.
    pub(super) fn all(&self) -> Map<String, Value> {
        self.settings.iter().chain(&self.secrets).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// # Errors
    /// When it cannot be sealed.
    pub(super) fn written(&self, at: &DocumentRef, key: &MasterKey) -> Result<Writing, StoreError> {
        let unwritable = |_| StoreError::Unwritable("a document cannot be put in words".to_owned());
        let body = Body { settings: self.settings.clone(), secrets: self.since.clone() };
        let plain = serde_json::to_vec(&self.secrets).map_err(unwritable)?;
        let sealed = key.seal(purpose(at.kind), &parts(at), &plain).map_err(StoreError::Unwritable)?;
        let body = serde_json::to_value(body).map_err(unwritable)?;
        Ok(Writing { body, sealed: Some(sealed), ..Writing::default() })
    }
}

/// What an account's or an integration's secrets are sealed for.
fn purpose(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Account => "account",
        _ => "integration",
    }
}

fn parts(at: &DocumentRef) -> [&str; 2] {
    [&at.account, &at.id]
}

pub(super) fn account_at(sid: &str) -> DocumentRef {
    DocumentRef::new("", DocumentKind::Account, sid)
}

pub(super) fn integration_at(sid: &str, name: &str) -> DocumentRef {
    DocumentRef::new(sid, DocumentKind::Integration, name)
}

/// How a document of ours is sealed, for who seals all anew.
pub fn sealed_for(at: &DocumentRef) -> (&'static str, [&str; 2]) {
    (purpose(at.kind), parts(at))
}

fn body(document: &Document) -> Body {
    serde_json::from_value(document.says.body.clone()).unwrap_or_default()
}

/// `None`: no master key here opens it.
pub(super) fn open(document: &Document, key: &MasterKey) -> Option<Opened> {
    let plain = key.open(purpose(document.at.kind), &parts(&document.at), document.says.sealed.as_deref()?)?;
    let Body { settings, secrets } = body(document);
    Some(Opened { settings, secrets: serde_json::from_slice(&plain).ok()?, since: secrets })
}

pub(super) fn without_secrets(document: &Document) -> Opened {
    Opened { settings: body(document).settings, ..Opened::default() }
}

/// Tells one making of an integration, and one address of it, from another: what was got for that is told to no other.
pub(super) fn tokens_for(created_at: Timestamp, integration: &Integration) -> String {
    let url = |url: &Option<Url>| url.as_ref().map(Url::to_string).unwrap_or_default();
    let text = format!("{created_at}\n{}\n{}", url(&integration.origin), url(&integration.authority));
    Sha256::digest(text.as_bytes())[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn told(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect::<Vec<_>>().join("; ")
}

const SEALED: &str = "its secrets were sealed with another master key: give that one (server.previous_key_files), or give \
                      the secrets anew";

/// All there are: those of the file, which count where a name is in both, and those that are kept. `tell`: what is passed
/// over is logged.
///
/// # Errors
/// What the store says.
pub async fn read(file: &[Account], store: &dyn Store, key: &MasterKey, tell: bool) -> Result<Vec<Entry>, StoreError> {
    let mut accounts: Vec<(Account, Kept)> = file.iter().map(|account| (account.clone(), Kept::of_file())).collect();
    for document in store.documents("", DocumentKind::Account).await? {
        let sid = &document.at.id;
        if file.iter().any(|account| account.sid == *sid) {
            if tell {
                tracing::warn!(
                    code = %Code::Shadowed, account = sid,
                    "an account made by the API stands in the configuration file as well: the file's is taken"
                );
            }
            continue;
        }
        let read = open(&document, key).ok_or_else(|| SEALED.to_owned());
        match read.and_then(|opened| given::account(&opened.all()).map_err(|problems| told(&problems))) {
            Ok(account) => accounts.push((account, Kept::of(&document, body(&document)))),
            Err(reason) if tell => {
                tracing::error!(
                    code = %Code::CannotBeRun, account = sid, reason,
                    "an account made by the API cannot be run, and its hooks are closed; mend it by the API"
                );
            }
            Err(_) => {}
        }
    }
    let mut entries = Vec::with_capacity(accounts.len());
    for (mut account, kept) in accounts {
        let mut integrations: BTreeMap<String, Kept> =
            account.integrations.iter().map(|one| (one.name.clone(), Kept::of_file())).collect();
        for document in store.documents(&account.sid, DocumentKind::Integration).await? {
            let (sid, name) = (&account.sid, &document.at.id);
            if integrations.contains_key(name) {
                if tell {
                    tracing::warn!(
                        code = %Code::Shadowed, account = sid, integration = name,
                        "an integration made by the API has a name that the configuration file gives to another: \
                         the file's is taken"
                    );
                }
                continue;
            }
            let mut kept = Kept::of(&document, body(&document));
            let read = open(&document, key).ok_or_else(|| SEALED.to_owned());
            match read
                .and_then(|opened| given::integration(&opened.all(), &account).map_err(|problems| told(&problems)))
            {
                Ok(mut integration) => {
                    integration.tokens_for = tokens_for(document.created_at, &integration);
                    account.integrations.push(integration);
                }
                Err(reason) => {
                    if tell {
                        tracing::error!(
                            code = %Code::CannotBeRun, account = sid, integration = name, reason,
                            "an integration made by the API cannot be run, and its deliveries are held; mend it by \
                             the API, then retry them"
                        );
                    }
                    kept.broken = Some(reason);
                }
            }
            integrations.insert(name.clone(), kept);
        }
        entries.push(Entry { account: Arc::new(account), kept, integrations });
    }
    Ok(entries)
}
