//! Documents: what people keep here (agents, bots, DIDs, users, their sessions and tokens, imports), and the log of who changed what.
//! Few and small, read whole; each is changed on a version, together with its entry in the log.

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LaneRef, Paged, StoreError, documents::to_json};

/// What sort of thing a document is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// Of the user mapping.
    Agent,
    /// Who may sign in.
    User,
    Session,
    /// Of the API.
    Token,
    /// A file of agents that was sent in.
    Import,
    /// A voicebot.
    Bot,
    /// A telephone number and what answers it.
    Did,
    /// Of Exotel; its settings, and sealed its secrets.
    Account,
    /// One of an account's, likewise.
    Integration,
}

impl DocumentKind {
    pub const ALL: [Self; 9] = [
        Self::Agent,
        Self::User,
        Self::Session,
        Self::Token,
        Self::Import,
        Self::Bot,
        Self::Did,
        Self::Account,
        Self::Integration,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::User => "user",
            Self::Session => "session",
            Self::Token => "token",
            Self::Import => "import",
            Self::Bot => "bot",
            Self::Did => "did",
            Self::Account => "account",
            Self::Integration => "integration",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One document's place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentRef {
    /// Empty: of the service itself.
    pub account: String,
    pub kind: DocumentKind,
    pub id: String,
}

impl DocumentRef {
    pub fn new(account: &str, kind: DocumentKind, id: &str) -> Self {
        Self { account: account.to_owned(), kind, id: id.to_owned() }
    }
}

/// What a document says.
#[derive(Clone, Default, PartialEq)]
pub struct Writing {
    /// Of its account and kind no other has it: an agent's or a DID's number, a user's e-mail.
    pub name: Option<String>,
    pub body: Value,
    /// What must not lie in the store readable: sealed with the master key.
    pub sealed: Option<Vec<u8>>,
    /// It may be removed from then on.
    pub expires_at: Option<Timestamp>,
}

/// Numbers and hashes stand in it.
impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writing").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// A document as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub at: DocumentRef,
    /// From 1, one more with each change.
    pub version: i64,
    pub says: Writing,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// One document made, changed or removed, if it is still at the version that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub at: DocumentRef,
    /// 0: there must be none yet.
    pub on_version: i64,
    /// `None`: it is removed.
    pub to: Option<Writing>,
}

/// Where something lies sealed in the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SealedAt {
    Document(DocumentRef),
    /// Tokens of an integration.
    Credential(LaneRef),
}

/// Who did what. Nothing secret stands in it, and of numbers only the end.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct AuditEntry {
    /// A user's e-mail, an API token's label, or `admin_token`.
    pub by: String,
    /// Empty: of the service itself.
    pub account: String,
    pub kind: String,
    pub id: String,
    /// `made`, `changed`, `removed`, …
    pub action: String,
    /// The fields that changed, with what they say now.
    pub changed: Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Audited {
    pub seq: i64,
    pub at: Timestamp,
    #[serde(flatten)]
    pub entry: AuditEntry,
}

/// Which entries to list. Newest first; `before` is the cursor of the page before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub account: Option<String>,
    pub before: Option<String>,
    /// 0: the default of 50.
    pub limit: u32,
}

/// Documents and the log of their changes: a part of every [`super::Store`].
#[async_trait]
pub trait Directory: Send + Sync + fmt::Debug + 'static {
    /// All of one account and kind, the oldest first.
    async fn documents(&self, account: &str, kind: DocumentKind) -> Result<Vec<Document>, StoreError>;

    async fn document(&self, at: &DocumentRef) -> Result<Option<Document>, StoreError>;

    async fn document_named(
        &self,
        account: &str,
        kind: DocumentKind,
        name: &str,
    ) -> Result<Option<Document>, StoreError>;

    /// Writes the changes and their entries in the log, all or nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if a document is not at its `on_version`, [`StoreError::Taken`] if another has its name.
    async fn change(&self, changes: Vec<Change>, log: Vec<AuditEntry>, now: Timestamp) -> Result<(), StoreError>;

    /// Everything that lies sealed, by its place.
    async fn sealed(&self) -> Result<Vec<SealedAt>, StoreError>;

    /// Exchanges what lies sealed there for the same sealed anew; its version stays. `false`: it was changed meanwhile.
    async fn reseal(&self, at: &SealedAt, was: &[u8], to: Vec<u8>) -> Result<bool, StoreError>;

    async fn audit(&self, filter: &AuditFilter) -> Result<Paged<Audited>, StoreError>;

    /// Removes documents whose time is over, and entries of the log older than that. Returns how many rows.
    async fn forget(&self, now: Timestamp, log_before: Timestamp, limit: usize) -> Result<u64, StoreError>;
}

/// Changes with their texts made, before a transaction begins.
pub(super) struct Draft {
    pub(super) changes: Vec<(Change, String)>,
    pub(super) log: Vec<(AuditEntry, String)>,
}

impl Draft {
    pub(super) fn new(changes: Vec<Change>, log: Vec<AuditEntry>) -> Result<Self, StoreError> {
        let changes = changes
            .into_iter()
            .map(|change| {
                let body = change.to.as_ref().map(|to| to_json("a document", &to.body)).transpose()?;
                Ok((change, body.unwrap_or_default()))
            })
            .collect::<Result<_, StoreError>>()?;
        let log = log
            .into_iter()
            .map(|entry| {
                let changed = to_json("an entry of the log", &entry.changed)?;
                Ok((entry, changed))
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Self { changes, log })
    }
}
