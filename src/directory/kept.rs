//! A list that people keep: what the file says, read-only, and what the store has, read from memory and changed there once
//! it is durable. Agents, bots and DIDs are three of them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use super::{DirectoryError, agent::Problem};
use crate::{
    codes::Code,
    key::MasterKey,
    store::{AuditEntry, Change, Document, DocumentKind, DocumentRef, Store, StoreError, Writing},
};

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// In the configuration file: read-only here.
    File,
    /// Kept here.
    Store,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Store => "store",
        }
    }
}

/// One of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Entry<P> {
    pub id: String,
    pub source: Source,
    /// Goes up with each change; 0 in the file.
    pub version: i64,
    #[serde(flatten)]
    pub profile: P,
    pub updated_at: Option<Timestamp>,
}

impl<P> Entry<P> {
    pub(super) fn of_file(id: String, profile: P) -> Self {
        Self { id, source: Source::File, version: 0, profile, updated_at: None }
    }
}

/// What is known of one, checked.
pub(in crate::directory) trait Known: Clone + PartialEq + Send + Sync + 'static {
    const KIND: DocumentKind;

    /// As it goes into the store.
    fn written(&self, at: &DocumentRef, key: &MasterKey) -> Result<Writing, StoreError>;

    fn read(document: &Document, key: &MasterKey) -> Result<Self, StoreError>;

    /// The fields that changed, with what they say now: nothing secret, and of numbers the end.
    fn difference(was: Option<&Self>, now: Option<&Self>) -> Value;
}

/// The list as a value, with what its entries are found by.
pub(in crate::directory) trait List: Clone + Default + Send + Sync + 'static {
    type Of: Known;

    fn find(&self, id: &str) -> Option<&Entry<Self::Of>>;

    fn entries(&self) -> impl Iterator<Item = &Entry<Self::Of>>;

    fn put(&mut self, entry: Entry<Self::Of>);

    fn drop(&mut self, id: &str);

    /// Whether what must be one's alone is nobody else's; whose it is, if not.
    fn free(&self, id: Option<&str>, profile: &Self::Of) -> Result<(), Problem>;

    /// Once all changes are in.
    #[must_use]
    fn settled(self) -> Self {
        self
    }

    fn take(&mut self, step: Step<Self::Of>, now: Timestamp) {
        let kept = |id, version, profile| Entry { id, source: Source::Store, version, profile, updated_at: Some(now) };
        match step {
            Step::Make { id, profile } => self.put(kept(id, 1, profile)),
            Step::Change { id, version, profile } => self.put(kept(id, version + 1, profile)),
            Step::Remove { id, .. } => self.drop(&id),
        }
    }
}

/// What becomes of one entry.
#[derive(Clone, Debug)]
pub(in crate::directory) enum Step<P> {
    Make { id: String, profile: P },
    Change { id: String, version: i64, profile: P },
    Remove { id: String, version: i64 },
}

/// One account's list, and whose turn it is to change it.
pub(in crate::directory) struct Kept<L> {
    account: String,
    store: Arc<dyn Store>,
    key: MasterKey,
    list: ArcSwap<L>,
    turn: Mutex<()>,
}

impl<L: List> Kept<L> {
    pub(super) async fn load(
        account: &str,
        file: Vec<Entry<L::Of>>,
        store: &Arc<dyn Store>,
        key: &MasterKey,
    ) -> Result<Self, StoreError> {
        let list = ArcSwap::from_pointee(read(account, file, store.as_ref(), key).await?);
        Ok(Self { account: account.to_owned(), store: Arc::clone(store), key: key.clone(), list, turn: Mutex::new(()) })
    }

    /// As it is now.
    pub(super) fn now(&self) -> Arc<L> {
        self.list.load_full()
    }

    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Reads the store again: after another node has written.
    pub(super) async fn reload(&self) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        self.read_again().await
    }

    pub(super) async fn make(
        &self,
        id: String,
        profile: impl FnOnce(&L) -> Result<L::Of, Vec<Problem>>,
        by: &str,
    ) -> Result<Entry<L::Of>, DirectoryError> {
        let _turn = self.turn().await;
        let list = self.now();
        let profile = profile(&list).map_err(DirectoryError::Invalid)?;
        list.free(None, &profile).map_err(|problem| DirectoryError::Invalid(vec![problem]))?;
        self.write(vec![Step::Make { id: id.clone(), profile }], by).await?;
        self.one(&id)
    }

    pub(super) async fn edit(
        &self,
        id: &str,
        version: Option<i64>,
        profile: impl FnOnce(&L::Of) -> Result<L::Of, Vec<Problem>>,
        by: &str,
    ) -> Result<Entry<L::Of>, DirectoryError> {
        let _turn = self.turn().await;
        let list = self.now();
        let was = changeable(&*list, id, version)?;
        let profile = profile(&was.profile).map_err(DirectoryError::Invalid)?;
        list.free(Some(id), &profile).map_err(|problem| DirectoryError::Invalid(vec![problem]))?;
        if profile != was.profile {
            let step = Step::Change { id: id.to_owned(), version: was.version, profile };
            self.write(vec![step], by).await?;
        }
        self.one(id)
    }

    pub(super) async fn remove(&self, id: &str, version: Option<i64>, by: &str) -> Result<(), DirectoryError> {
        let _turn = self.turn().await;
        let list = self.now();
        let was = changeable(&*list, id, version)?;
        self.write(vec![Step::Remove { id: id.to_owned(), version: was.version }], by).await
    }

    fn one(&self, id: &str) -> Result<Entry<L::Of>, DirectoryError> {
        self.list.load().find(id).cloned().ok_or(DirectoryError::Unknown(L::Of::KIND))
    }

    /// Makes the steps durable, and then known. Whoever calls it has the turn.
    pub(super) async fn write(&self, steps: Vec<Step<L::Of>>, by: &str) -> Result<(), DirectoryError> {
        let now = Timestamp::now();
        let was = self.now();
        let (mut changes, mut log) = (Vec::with_capacity(steps.len()), Vec::with_capacity(steps.len()));
        for step in &steps {
            let (id, on_version, to, action) = match step {
                Step::Make { id, profile } => (id, 0, Some(profile), "made"),
                Step::Change { id, version, profile } => (id, *version, Some(profile), "changed"),
                Step::Remove { id, version } => (id, *version, None, "removed"),
            };
            log.push(AuditEntry {
                by: by.to_owned(),
                account: self.account.clone(),
                kind: L::Of::KIND.as_str().to_owned(),
                id: id.clone(),
                action: action.to_owned(),
                changed: L::Of::difference(was.find(id).map(|entry| &entry.profile), to),
            });
            let at = DocumentRef::new(&self.account, L::Of::KIND, id);
            let to = to.map(|profile| profile.written(&at, &self.key)).transpose()?;
            changes.push(Change { at, on_version, to });
        }
        match self.store.change(changes, log, now).await {
            Ok(()) => {}
            // Another node has written: whoever asks again sees what.
            Err(StoreError::Conflict | StoreError::Taken) => {
                self.read_again().await?;
                return Err(DirectoryError::Changed(L::Of::KIND));
            }
            Err(error) => return Err(error.into()),
        }
        let mut list = L::clone(&was);
        for step in steps {
            list.take(step, now);
        }
        self.list.store(Arc::new(list.settled()));
        Ok(())
    }

    async fn read_again(&self) -> Result<(), StoreError> {
        let file = self.list.load().entries().filter(|entry| entry.source == Source::File).cloned().collect();
        self.list.store(Arc::new(read(&self.account, file, self.store.as_ref(), &self.key).await?));
        Ok(())
    }
}

fn changeable<'a, L: List>(list: &'a L, id: &str, version: Option<i64>) -> Result<&'a Entry<L::Of>, DirectoryError> {
    let entry = list.find(id).ok_or(DirectoryError::Unknown(L::Of::KIND))?;
    match entry.source {
        Source::File => Err(DirectoryError::ReadOnly(L::Of::KIND)),
        Source::Store if version.is_some_and(|version| version != entry.version) => {
            Err(DirectoryError::Changed(L::Of::KIND))
        }
        Source::Store => Ok(entry),
    }
}

/// One of the store that has what the file has got since is put behind it; one with the very id of a file's is passed over.
async fn read<L: List>(
    account: &str,
    file: Vec<Entry<L::Of>>,
    store: &dyn Store,
    key: &MasterKey,
) -> Result<L, StoreError> {
    let mut list = L::default();
    for entry in file {
        list.put(entry);
    }
    for document in store.documents(account, L::Of::KIND).await? {
        let profile = L::Of::read(&document, key)?;
        let Document { at, version, updated_at, .. } = document;
        let shadowed = list.find(&at.id).is_some();
        if shadowed || list.free(Some(&at.id), &profile).is_err() {
            let (kind, id) = (L::Of::KIND.as_str(), &at.id);
            tracing::warn!(
                code = %Code::Shadowed, account,
                kind,
                id,
                "what was made by the API has what the configuration file gives to another: the file's is taken"
            );
        }
        if !shadowed {
            list.put(Entry { id: at.id, source: Source::Store, version, profile, updated_at: Some(updated_at) });
        }
    }
    Ok(list.settled())
}

/// A short list: looked through from its beginning.
#[derive(Clone)]
pub struct Rows<P>(BTreeMap<String, Entry<P>>);

impl<P> Default for Rows<P> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<P> fmt::Debug for Rows<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({})", self.0.len())
    }
}

impl<P> Rows<P> {
    pub fn get(&self, id: &str) -> Option<&Entry<P>> {
        self.0.get(id)
    }

    /// The file's first.
    pub fn all(&self) -> impl Iterator<Item = &Entry<P>> {
        let of = |source| self.0.values().filter(move |entry| entry.source == source);
        of(Source::File).chain(of(Source::Store))
    }
}

/// Of what a row must have alone.
pub(in crate::directory) trait Named: Known {
    fn name(&self) -> Option<&str>;

    /// That another has it.
    fn taken(&self, by_file: bool) -> Problem;
}

impl<P: Named> List for Rows<P> {
    type Of = P;

    fn find(&self, id: &str) -> Option<&Entry<P>> {
        self.0.get(id)
    }

    fn entries(&self) -> impl Iterator<Item = &Entry<P>> {
        self.0.values()
    }

    fn put(&mut self, entry: Entry<P>) {
        self.0.insert(entry.id.clone(), entry);
    }

    fn drop(&mut self, id: &str) {
        self.0.remove(id);
    }

    fn free(&self, id: Option<&str>, profile: &P) -> Result<(), Problem> {
        let Some(name) = profile.name() else { return Ok(()) };
        let other = |entry: &&Entry<P>| Some(entry.id.as_str()) != id && entry.profile.name() == Some(name);
        match self.all().find(other) {
            None => Ok(()),
            Some(other) => Err(profile.taken(other.source == Source::File)),
        }
    }
}
