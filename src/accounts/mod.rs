//! The accounts there are, those of the file and those that people keep here, with what runs for each, as one list in memory
//! that everything reads. A change is durable first, and then takes effect at once: what it touches ends and begins anew,
//! the rest runs on.
//!
//! # How an account changes while the service runs
//!
//! `accounts/` holds one list: the file's accounts, and those kept as documents, read by the readers of the
//! configuration. Every reader takes what it needs of it when it needs it; nothing keeps a copy. A change is checked,
//! perhaps tried, written with its entry in the log, and then the list is brought up to what is kept, here at once and
//! on other nodes by news: a lane whose integration is the same runs on, one that is not is told to end, and its
//! successor waits for the duty, which within a node is one task's at a time. Whoever reads a receipt of an account
//! that he does not know looks into the store first; whoever hears of a new integration plans again what came since it
//! was made. Tokens are kept for one making and one address of an integration, and told to no other.

mod build;
mod change;
mod kept;
mod orphans;
mod running;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

pub use build::{Around, Links, Vault, driver, exotel_client, needs_vault};
pub use change::{AccountsError, Asked};
pub use kept::{Entry, Kept, read, sealed_for};
pub use running::{AccountRules, Running};

use crate::{
    config::Account,
    delivery::LaneHandle,
    store::{LaneRef, StoreError},
};
use orphans::Orphans;

/// All accounts as they are now, by SID. A value: a change makes another.
#[derive(Debug, Default)]
pub struct Roll(BTreeMap<String, Arc<Running>>);

impl Roll {
    pub fn get(&self, sid: &str) -> Option<&Arc<Running>> {
        self.0.get(sid)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Running>> {
        self.0.values()
    }

    pub fn lane(&self, lane: &LaneRef) -> Option<&LaneHandle> {
        self.get(&lane.account)?.lane(&lane.integration)
    }

    pub fn lanes(&self) -> impl Iterator<Item = &LaneHandle> {
        self.iter().flat_map(|running| running.lanes())
    }
}

/// The keeper of the list.
pub struct Accounts {
    around: Around,
    /// Those of the file, which nobody changes here.
    file: Vec<Account>,
    roll: ArcSwap<Roll>,
    /// Whose turn it is to bring the list up to what is kept.
    turn: tokio::sync::Mutex<()>,
    /// What runs, and what is ending.
    tasks: Mutex<JoinSet<()>>,
    orphans: Orphans,
    /// Goes up with each change of the list.
    changes: watch::Sender<u64>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Accounts({})", self.roll.load().0.len())
    }
}

impl Accounts {
    /// Begins what runs for the accounts of the file and for those that are kept.
    ///
    /// # Errors
    /// What the store says.
    pub async fn start(around: Around, file: Vec<Account>) -> Result<Arc<Self>, StoreError> {
        let accounts = Arc::new(Self {
            around,
            file,
            roll: ArcSwap::default(),
            turn: Default::default(),
            tasks: Mutex::default(),
            orphans: Orphans::default(),
            changes: watch::Sender::new(0),
        });
        accounts.bring_up(true).await?;
        accounts.spawn(Arc::clone(&accounts).look_for_orphans());
        Ok(accounts)
    }

    /// The list as it is now.
    pub fn load(&self) -> Arc<Roll> {
        self.roll.load_full()
    }

    pub fn get(&self, sid: &str) -> Option<Arc<Running>> {
        self.roll.load().get(sid).map(Arc::clone)
    }

    /// The accounts that stand in the file.
    pub fn of_file(&self) -> &[Account] {
        &self.file
    }

    /// Told of every change of the list.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// There may be something to ask Exotel for.
    pub fn wake_enquirers(&self) {
        self.roll.load().iter().for_each(|running| running.wake_enquirer());
    }

    /// Brings what runs up to what is kept: after a change, here or on another node. When this returns, all that comes in
    /// is done by the new rules; what was under way by the old ones comes to its end beside it.
    ///
    /// # Errors
    /// What the store says; the list stays as it was.
    pub async fn follow(&self) -> Result<(), StoreError> {
        self.bring_up(false).await
    }

    async fn bring_up(&self, beginning: bool) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let Vault { store, key } = &self.around.vault;
        let entries = kept::read(&self.file, store.as_ref(), key, beginning).await?;
        let were = self.roll.load_full();
        let accounts: Vec<&Account> = entries.iter().map(|entry| &*entry.account).collect();
        self.around.agents.follow(&accounts).await?;
        self.around.bots.follow(&accounts).await?;
        let mut roll = BTreeMap::new();
        let (mut changed, mut begun) = (false, Vec::new());
        for entry in entries {
            let sid = entry.account.sid.clone();
            let was = were.get(&sid);
            let running = match was {
                Some(was) if was.is(&entry) => Arc::clone(was),
                _ => {
                    changed = true;
                    let running = Arc::new(self.begin(entry, was.map(|was| &**was)));
                    if was.is_none() {
                        begun.push(Arc::clone(&running));
                    }
                    running
                }
            };
            roll.insert(sid, running);
        }
        let roll = Arc::new(Roll(roll));
        self.roll.store(Arc::clone(&roll));
        for was in were.iter() {
            let now = roll.get(&was.account.sid);
            changed |= now.is_none();
            was.end_but_for(now.map(|now| &**now), &self.around.metrics);
        }
        if changed {
            self.changes.send_modify(|changes| *changes += 1);
            self.orphans.look.notify_one();
        }
        // Whoever ran before the beginning has ended, and nobody else has a store that is not shared.
        let alone = beginning && !self.around.config.store.url.is_shared();
        for running in begun {
            match running.dialer().recover(alone).await {
                Err(error) if beginning => return Err(error),
                // The dialer finds them by itself, a little later.
                Err(error) => tracing::warn!(account = running.account.sid, %error, "clicks cannot be looked at yet"),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Waits until all that ran has come to its end, once it was told to.
    pub async fn ended(&self) {
        loop {
            let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
            if tasks.is_empty() {
                return;
            }
            while tasks.join_next().await.is_some() {}
        }
    }
}

impl Default for Orphans {
    fn default() -> Self {
        Self { look: Notify::new(), holding: Mutex::default() }
    }
}
