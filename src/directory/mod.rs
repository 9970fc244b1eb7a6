//! The agents of each account, its bots and its DIDs: those of the file and those that people keep here, as one list that
//! everything reads from memory. A change is durable first, and then seen by all at once.
//!
//! # How the user mapping changes
//!
//! A change is checked against the whole list, written as a document on the version that was read, together with its
//! entry in the log of changes, and only then put into the list in memory; from there the next plan, popup and
//! dial-whom read it. What the file says is read-only, and counts where both name one number. A table that is sent in
//! is durable, sealed, before it is answered 202, and is gone through again after a crash: what is there already is
//! unchanged. Bots and DIDs are lists of the same kind; of a bot's token the hash is kept, its credentials are sealed.

mod agent;
pub mod bots;
mod import;
mod kept;
mod roster;
pub mod sync;
mod table;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, sync::Arc};

use arc_swap::ArcSwap;
use uuid::Uuid;

use crate::{
    config::Account,
    key::MasterKey,
    store::{DocumentKind, Store, StoreError},
};
use kept::Kept;

pub use agent::{Agent, Patch, Place, Problem, Profile, email};
pub use bots::{Bot, BotPatch, Bots, DidPatch, Made, SEALED_FOR as BOT_SEALED_FOR, Ticket, ToolShown};
pub use import::{Job, SEALED_FOR as IMPORT_SEALED_FOR};
pub use kept::{Entry, Rows, Source};
pub use roster::Roster;
pub use sync::{Listed, Synced};
pub use table::ImportError;

/// Of the ids of the file's agents, which must be the same after a restart.
const NAMESPACE: Uuid = uuid::uuid!("7d0a1f5e-4c1a-4a55-9c3c-0b4d6d0d7b0a");

/// Why one of a list is not changed.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("there is no such {}", .0.as_str())]
    Unknown(DocumentKind),
    #[error("this {} is in the configuration file: change it there", .0.as_str())]
    ReadOnly(DocumentKind),
    #[error("{}", told(.0))]
    Invalid(Vec<Problem>),
    #[error("somebody else changed this {} meanwhile: read it again", .0.as_str())]
    Changed(DocumentKind),
    /// It is needed.
    #[error("{0}")]
    InUse(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn told(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// One account's agents, and against what they are checked.
struct Desk {
    /// Another once the account has changed.
    place: ArcSwap<Place>,
    roster: Kept<Roster>,
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

type Step = kept::Step<Profile>;

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
        for &account in accounts {
            let desk = match were.get(&account.sid) {
                Some(desk) => Arc::clone(desk),
                None => {
                    let roster = Kept::load(&account.sid, account_file(account), &self.store, &self.key).await?;
                    Arc::new(Desk { place: ArcSwap::from_pointee(Place::of(account)), roster })
                }
            };
            desks.insert(account.sid.clone(), desk);
        }
        for account in accounts {
            desks[&account.sid].place.store(Arc::new(Place::of(account)));
        }
        self.desks.store(Arc::new(desks));
        Ok(())
    }

    /// The agents of an account, as they are now. Of one that is not there: nobody.
    pub fn of(&self, account: &str) -> Arc<Roster> {
        self.desks.load().get(account).map_or_else(|| Arc::clone(&self.nobody), |desk| desk.roster.now())
    }

    /// Reads the store again: after another node has written.
    ///
    /// # Errors
    /// What the store says; the list stays as it was.
    pub async fn reload_all(&self) -> Result<(), StoreError> {
        for desk in self.desks.load_full().values() {
            desk.roster.reload().await?;
        }
        Ok(())
    }

    /// # Errors
    /// [`DirectoryError`].
    pub async fn make(&self, account: &str, patch: &Patch, by: &str) -> Result<Agent, DirectoryError> {
        let desk = self.desk(account)?;
        let profile = |_: &Roster| patch.onto(&Profile::default(), &desk.place());
        desk.roster.make(Uuid::now_v7().to_string(), profile, by).await
    }

    /// # Errors
    /// [`DirectoryError`].
    pub async fn edit(&self, account: &str, id: &str, patch: &Patch, by: &str) -> Result<Agent, DirectoryError> {
        let desk = self.desk(account)?;
        desk.roster.edit(id, patch.version, |was| patch.onto(was, &desk.place()), by).await
    }

    /// # Errors
    /// [`DirectoryError`].
    pub async fn remove(&self, account: &str, id: &str, version: Option<i64>, by: &str) -> Result<(), DirectoryError> {
        self.desk(account)?.roster.remove(id, version, by).await
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
        let desk = self.desk(account)?;
        let _turn = desk.roster.turn().await;
        let (synced, steps) = sync::plan(&desk.roster.now(), &desk.place(), from, listed);
        if !steps.is_empty() {
            desk.roster.write(steps, by).await?;
        }
        Ok(synced)
    }

    /// All agents as a table.
    pub fn export(&self, account: &str) -> Vec<u8> {
        let Ok(desk) = self.desk(account) else { return Vec::new() };
        table::write(&desk.roster.now(), &desk.place())
    }

    fn desk(&self, account: &str) -> Result<Arc<Desk>, DirectoryError> {
        self.desks.load().get(account).cloned().ok_or(DirectoryError::Unknown(DocumentKind::Agent))
    }
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
        Agent::of_file(id, profile)
    };
    profiles.into_iter().map(agent).collect()
}
