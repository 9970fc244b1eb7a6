//! The agents of each account, those of the file and those that people keep here, as one list that everything reads from
//! memory: planning, popups, dial-whom. A change is durable first, and then seen by all at once.

mod agent;
mod import;
mod roster;
pub mod sync;
mod table;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, sync::Arc};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use crate::{
    config::Account,
    key::MasterKey,
    store::{AuditEntry, Change, Document, DocumentKind, DocumentRef, Store, StoreError, Writing},
};

pub use agent::{Agent, Patch, Place, Problem, Profile, Source, email};
pub use import::{Job, SEALED_FOR};
pub use roster::Roster;
pub use sync::{Listed, Synced};
pub use table::ImportError;

/// Of the ids of the file's agents, which must be the same after a restart.
const NAMESPACE: Uuid = uuid::uuid!("7d0a1f5e-4c1a-4a55-9c3c-0b4d6d0d7b0a");

/// Why an agent is not changed.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("there is no such agent")]
    Unknown,
    #[error("this agent is in the configuration file: change him there")]
    ReadOnly,
    #[error("{}", told(.0))]
    Invalid(Vec<Problem>),
    #[error("somebody else changed this agent meanwhile: read him again")]
    Changed,
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn told(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// One account's agents, and whose turn it is to change them.
struct Desk {
    /// Another once the account has changed.
    place: ArcSwap<Place>,
    roster: ArcSwap<Roster>,
    turn: Arc<Mutex<()>>,
}

impl Desk {
    fn place(&self) -> Arc<Place> {
        self.place.load_full()
    }
}

/// All accounts' agents.
pub struct Agents {
    store: Arc<dyn Store>,
    key: MasterKey,
    desks: ArcSwap<BTreeMap<String, Arc<Desk>>>,
    nobody: Arc<Roster>,
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Agents({} accounts)", self.desks.load().len())
    }
}

/// What becomes of one agent.
#[derive(Clone, Debug)]
pub(in crate::directory) enum Step {
    Make { id: String, profile: Profile },
    Change { id: String, version: i64, profile: Profile },
    Remove { id: String, version: i64 },
}

impl Agents {
    /// Reads what the store has of the accounts' agents.
    ///
    /// # Errors
    /// What the store says.
    pub async fn load(accounts: &[Account], store: Arc<dyn Store>, key: MasterKey) -> Result<Self, StoreError> {
        let agents = Self { store, key, desks: ArcSwap::default(), nobody: Arc::default() };
        agents.follow(&accounts.iter().collect::<Vec<_>>()).await?;
        Ok(agents)
    }

    /// From now on these are the accounts. Of one that was there already only the place is another.
    ///
    /// # Errors
    /// What the store says; all stays as it was.
    pub async fn follow(&self, accounts: &[&Account]) -> Result<(), StoreError> {
        let were = self.desks.load_full();
        let mut desks = BTreeMap::new();
        let mut moved = Vec::new();
        for &account in accounts {
            let place = Place::of(account);
            let desk = match were.get(&account.sid) {
                Some(desk) => {
                    moved.push((Arc::clone(desk), place));
                    Arc::clone(desk)
                }
                None => {
                    let roster = read(&place, account_file(account), self.store.as_ref()).await?;
                    let (place, roster) = (ArcSwap::from_pointee(place), ArcSwap::from_pointee(roster));
                    Arc::new(Desk { place, roster, turn: Arc::default() })
                }
            };
            desks.insert(account.sid.clone(), desk);
        }
        moved.into_iter().for_each(|(desk, place)| desk.place.store(Arc::new(place)));
        self.desks.store(Arc::new(desks));
        Ok(())
    }

    fn desk(&self, account: &str) -> Option<Arc<Desk>> {
        self.desks.load().get(account).map(Arc::clone)
    }

    /// The agents of an account, as they are now. Of one that is not there: nobody.
    pub fn of(&self, account: &str) -> Arc<Roster> {
        self.desk(account).map_or_else(|| Arc::clone(&self.nobody), |desk| desk.roster.load_full())
    }

    /// Reads the store again: after another node has written.
    ///
    /// # Errors
    /// What the store says; the list stays as it was.
    pub async fn reload_all(&self) -> Result<(), StoreError> {
        for desk in self.desks.load_full().values() {
            let _turn = desk.turn.lock().await;
            self.read_again(desk).await?;
        }
        Ok(())
    }

    /// # Errors
    /// [`DirectoryError`].
    pub async fn make(&self, account: &str, patch: &Patch, by: &str) -> Result<Agent, DirectoryError> {
        let (desk, _turn) = self.turn(account).await?;
        let roster = desk.roster.load_full();
        let profile = patch.onto(&Profile::default(), &desk.place()).map_err(DirectoryError::Invalid)?;
        roster.free(None, &profile).map_err(|problem| DirectoryError::Invalid(vec![problem]))?;
        let id = Uuid::now_v7().to_string();
        self.write(&desk, vec![Step::Make { id: id.clone(), profile }], by).await?;
        desk.roster.load().find(&id).cloned().ok_or(DirectoryError::Unknown)
    }

    /// # Errors
    /// [`DirectoryError`].
    pub async fn edit(&self, account: &str, id: &str, patch: &Patch, by: &str) -> Result<Agent, DirectoryError> {
        let (desk, _turn) = self.turn(account).await?;
        let roster = desk.roster.load_full();
        let was = changeable(&roster, id, patch.version)?;
        let profile = patch.onto(&was.profile, &desk.place()).map_err(DirectoryError::Invalid)?;
        roster.free(Some(id), &profile).map_err(|problem| DirectoryError::Invalid(vec![problem]))?;
        if profile != was.profile {
            let step = Step::Change { id: id.to_owned(), version: was.version, profile };
            self.write(&desk, vec![step], by).await?;
        }
        desk.roster.load().find(id).cloned().ok_or(DirectoryError::Unknown)
    }

    /// # Errors
    /// [`DirectoryError`].
    pub async fn remove(&self, account: &str, id: &str, version: Option<i64>, by: &str) -> Result<(), DirectoryError> {
        let (desk, _turn) = self.turn(account).await?;
        let roster = desk.roster.load_full();
        let was = changeable(&roster, id, version)?;
        let step = Step::Remove { id: id.to_owned(), version: was.version };
        self.write(&desk, vec![step], by).await
    }

    /// Brings the list up to what a CRM or Exotel says of its users.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub async fn sync(
        &self,
        account: &str,
        from: &sync::From,
        listed: &[Listed],
        by: &str,
    ) -> Result<Synced, DirectoryError> {
        let (desk, _turn) = self.turn(account).await?;
        let (synced, steps) = sync::plan(&desk.roster.load_full(), &desk.place(), from, listed);
        if !steps.is_empty() {
            self.write(&desk, steps, by).await?;
        }
        Ok(synced)
    }

    /// All agents as a table.
    pub fn export(&self, account: &str) -> Vec<u8> {
        let Some(desk) = self.desk(account) else { return Vec::new() };
        table::write(&desk.roster.load_full(), &desk.place())
    }

    async fn turn(&self, account: &str) -> Result<(Arc<Desk>, OwnedMutexGuard<()>), DirectoryError> {
        let desk = self.desk(account).ok_or(DirectoryError::Unknown)?;
        let turn = Arc::clone(&desk.turn).lock_owned().await;
        Ok((desk, turn))
    }

    /// Makes the steps durable, and then known. Whoever calls it has the turn.
    async fn write(&self, desk: &Desk, steps: Vec<Step>, by: &str) -> Result<(), DirectoryError> {
        let now = Timestamp::now();
        let was = desk.roster.load_full();
        let (mut changes, mut log) = (Vec::with_capacity(steps.len()), Vec::with_capacity(steps.len()));
        for step in &steps {
            let (id, on_version, to) = match step {
                Step::Make { id, profile } => (id, 0, Some(profile)),
                Step::Change { id, version, profile } => (id, *version, Some(profile)),
                Step::Remove { id, version } => (id, *version, None),
            };
            let before = was.find(id).map(|agent| &agent.profile);
            log.push(AuditEntry {
                by: by.to_owned(),
                account: desk.place().sid.clone(),
                kind: DocumentKind::Agent.as_str().to_owned(),
                id: id.clone(),
                action: match step {
                    Step::Make { .. } => "made",
                    Step::Change { .. } => "changed",
                    Step::Remove { .. } => "removed",
                }
                .to_owned(),
                changed: agent::difference(before, to),
            });
            changes.push(Change {
                at: DocumentRef::new(&desk.place().sid, DocumentKind::Agent, id),
                on_version,
                to: to.map(written).transpose()?,
            });
        }
        match self.store.change(changes, log, now).await {
            Ok(()) => {}
            // Another node has written: whoever asks again sees what.
            Err(StoreError::Conflict | StoreError::Taken) => {
                self.read_again(desk).await?;
                return Err(DirectoryError::Changed);
            }
            Err(error) => return Err(error.into()),
        }
        let mut roster = Roster::clone(&was);
        for step in steps {
            roster.take(step, now);
        }
        desk.roster.store(Arc::new(roster.known()));
        Ok(())
    }

    async fn read_again(&self, desk: &Desk) -> Result<(), StoreError> {
        let file = desk.roster.load().of_file();
        desk.roster.store(Arc::new(read(&desk.place(), file, self.store.as_ref()).await?));
        Ok(())
    }
}

fn changeable<'a>(roster: &'a Roster, id: &str, version: Option<i64>) -> Result<&'a Agent, DirectoryError> {
    let agent = roster.find(id).ok_or(DirectoryError::Unknown)?;
    match agent.source {
        Source::File => Err(DirectoryError::ReadOnly),
        Source::Store if version.is_some_and(|version| version != agent.version) => Err(DirectoryError::Changed),
        Source::Store => Ok(agent),
    }
}

fn written(profile: &Profile) -> Result<Writing, StoreError> {
    let body = serde_json::to_value(profile)
        .map_err(|error| StoreError::Unwritable(format!("an agent cannot be put in words: {:?}", error.classify())))?;
    Ok(Writing { name: profile.number.as_deref().map(roster::key), body, ..Writing::default() })
}

/// A number that stands in the file twice is one agent, of whom both say something; where both do, the later counts.
fn account_file(account: &Account) -> Vec<Agent> {
    let mut profiles: Vec<Profile> = Vec::new();
    for agent in &account.agents {
        let own = |profile: &Profile| profile.number.as_deref().map(roster::key) == Some(roster::key(&agent.number));
        let at = profiles.iter().position(own).unwrap_or_else(|| {
            profiles.push(Profile { number: Some(agent.number.clone()), ..Profile::default() });
            profiles.len() - 1
        });
        let profile = &mut profiles[at];
        profile.email = agent.email.clone().or(profile.email.take());
        profile.caller_id = agent.caller_id.clone().or(profile.caller_id.take());
        profile.click_to_call |= agent.click_to_call;
        profile.crm_user.extend(agent.crm_user.clone());
    }
    let agent = |profile: Profile| {
        let name = format!("{}/{}", account.sid, profile.number.as_deref().map(roster::key).unwrap_or_default());
        let id = Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string();
        Agent { id, source: Source::File, version: 0, profile, updated_at: None }
    };
    profiles.into_iter().map(agent).collect()
}

/// One agent of the store whose number the file has got since is passed over: the file's stands.
async fn read(place: &Place, file: Vec<Agent>, store: &dyn Store) -> Result<Roster, StoreError> {
    let mut roster = Roster::default();
    for agent in file {
        roster.put(agent);
    }
    for document in store.documents(&place.sid, DocumentKind::Agent).await? {
        let Document { at, version, says, updated_at, .. } = document;
        let profile: Profile = serde_json::from_value(says.body)
            .map_err(|_| StoreError::Unreadable("stored agent is not of a known form".to_owned()))?;
        let agent = Agent { id: at.id, source: Source::Store, version, profile, updated_at: Some(updated_at) };
        if roster.free(Some(&agent.id), &agent.profile).is_err() {
            tracing::warn!(
                account = place.sid,
                agent = agent.id,
                "an agent kept here has a number that the configuration file gives to another: the file's is taken"
            );
        }
        roster.put(agent);
    }
    Ok(roster.known())
}
