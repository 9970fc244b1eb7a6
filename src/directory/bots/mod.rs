//! The voicebots of each account and the DIDs they answer. Of a bot's token only the hash is kept, and its credentials are
//! sealed: whoever has them may speak in the account's name.

mod bot;
mod did;
mod hidden;
mod ticket;
mod tool;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, sync::Arc};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::{
    DirectoryError, NAMESPACE,
    agent::Problem,
    kept::{Entry, Kept, Rows},
};
use crate::{
    config::{Account, Did},
    key::{self, MasterKey},
    store::{DocumentKind, Store, StoreError},
};

pub use bot::{Bot, BotPatch, SEALED_FOR};
pub use did::DidPatch;
pub use ticket::Ticket;
pub use tool::{ToolPatch, ToolShown};

/// One account's.
struct Desk {
    /// Another once the account has changed.
    country: ArcSwap<String>,
    bots: Kept<Rows<Bot>>,
    dids: Kept<Rows<Did>>,
}

/// All accounts' bots and DIDs.
pub struct Bots {
    store: Arc<dyn Store>,
    key: MasterKey,
    desks: ArcSwap<BTreeMap<String, Arc<Desk>>>,
}

impl fmt::Debug for Bots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bots({} accounts)", self.desks.load().len())
    }
}

/// A bot with the token it was just given: the only time that it is there to be shown.
pub struct Made {
    pub bot: Entry<Bot>,
    pub token: String,
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Made({})", self.bot.id)
    }
}

impl Bots {
    /// Reads what the store has of them.
    ///
    /// # Errors
    /// What the store says.
    pub async fn load(accounts: &[Account], store: Arc<dyn Store>, key: MasterKey) -> Result<Self, StoreError> {
        let bots = Self { store, key, desks: ArcSwap::default() };
        bots.follow(&accounts.iter().collect::<Vec<_>>()).await?;
        Ok(bots)
    }

    /// From now on these are the accounts.
    ///
    /// # Errors
    /// What the store says; all stays as it was.
    pub async fn follow(&self, accounts: &[&Account]) -> Result<(), StoreError> {
        let were = self.desks.load_full();
        let mut desks = BTreeMap::new();
        for &account in accounts {
            let desk = match were.get(&account.sid) {
                Some(desk) => Arc::clone(desk),
                None => Arc::new(self.open(account).await?),
            };
            desks.insert(account.sid.clone(), desk);
        }
        for account in accounts {
            desks[&account.sid].country.store(Arc::new(account.country.clone()));
        }
        self.desks.store(Arc::new(desks));
        Ok(())
    }

    async fn open(&self, account: &Account) -> Result<Desk, StoreError> {
        let Self { store, key, .. } = self;
        let bots = account.bots.iter().map(|bot| {
            let given = bot.token.as_ref().map(|token| token.expose_secret().to_owned());
            let token = given.unwrap_or_else(|| bot::token_of_file(&account.sid, &bot.id, key));
            Entry::of_file(bot.id.clone(), Bot::of_file(bot, &token))
        });
        let dids = account.dids.iter().map(|did| {
            let id = Uuid::new_v5(&NAMESPACE, format!("did {}/{}", account.sid, did.number).as_bytes());
            Entry::of_file(id.to_string(), did.clone())
        });
        Ok(Desk {
            country: ArcSwap::from_pointee(account.country.clone()),
            bots: Kept::load(&account.sid, bots.collect(), store, key).await?,
            dids: Kept::load(&account.sid, dids.collect(), store, key).await?,
        })
    }

    /// Reads the store again: after another node has written.
    ///
    /// # Errors
    /// What the store says; what was read before it stays.
    pub async fn reload_all(&self) -> Result<(), StoreError> {
        for desk in self.desks.load_full().values() {
            desk.bots.reload().await?;
            desk.dids.reload().await?;
        }
        Ok(())
    }

    /// An account's bots, as they are now.
    pub fn of(&self, account: &str) -> Arc<Rows<Bot>> {
        self.desks.load().get(account).map(|desk| desk.bots.now()).unwrap_or_default()
    }

    /// An account's DIDs, as they are now.
    pub fn dids(&self, account: &str) -> Arc<Rows<Did>> {
        self.desks.load().get(account).map(|desk| desk.dids.now()).unwrap_or_default()
    }

    /// Whose token this is: account and bot. One that was rotated away is good until its overlap ends.
    pub fn with_token(&self, token: &str, now: Timestamp) -> Option<(String, Entry<Bot>)> {
        let hash = key::hash(token);
        self.desks.load().iter().find_map(|(account, desk)| {
            let bots = desk.bots.now();
            let found = bots.all().find(|entry| entry.profile.takes(&hash, now))?;
            Some((account.clone(), found.clone()))
        })
    }

    /// What lets one call in to a bot, in the place of a token: behind `/voicebot/`. `None`: there is no such bot.
    pub fn ticket(&self, ticket: &Ticket, now: Timestamp) -> Option<(String, Entry<Bot>)> {
        let bot = self.of(&ticket.account).get(&ticket.bot)?.clone();
        Some((ticket.write(&self.key, now), bot))
    }

    /// The call that a ticket lets in, and its bot, if that is still there.
    pub fn with_ticket(&self, text: &str, now: Timestamp) -> Option<(Ticket, Entry<Bot>)> {
        let ticket = Ticket::read(text, &self.key, now)?;
        let bot = self.of(&ticket.account).get(&ticket.bot)?.clone();
        Some((ticket, bot))
    }

    /// # Errors
    /// [`DirectoryError`].
    pub async fn make(&self, account: &str, patch: &BotPatch, by: &str) -> Result<Made, DirectoryError> {
        let token = bot::new_token().map_err(StoreError::Unwritable)?;
        let id = patch.id.as_deref().unwrap_or_default();
        let id = crate::config::bot::id(id).map_err(|told| DirectoryError::Invalid(vec![Problem::new("id", told)]))?;
        let profile = |bots: &Rows<Bot>| {
            if bots.get(&id).is_some() {
                return Err(vec![Problem::new("id", format!("{id:?} is the id of another bot; give it its own"))]);
            }
            if patch.backend.is_none() {
                let words = crate::config::Backend::ALL.map(crate::config::Backend::as_str).join(", ");
                return Err(vec![Problem::new("backend", format!("is missing; one of {words}"))]);
            }
            patch.onto(&Bot::with_token(&token))
        };
        let bot = self.desk(account, DocumentKind::Bot)?.bots.make(id.clone(), profile, by).await?;
        Ok(Made { bot, token })
    }

    /// # Errors
    /// [`DirectoryError`].
    pub async fn edit(
        &self,
        account: &str,
        id: &str,
        patch: &BotPatch,
        by: &str,
    ) -> Result<Entry<Bot>, DirectoryError> {
        let desk = self.desk(account, DocumentKind::Bot)?;
        if patch.id.as_ref().is_some_and(|other| other != id) {
            let problem = Problem::new("id", "cannot be changed: it stands in addresses; make another bot");
            return Err(DirectoryError::Invalid(vec![problem]));
        }
        desk.bots.edit(id, patch.version, |was| patch.onto(was), by).await
    }

    /// A new token; the one before goes on working for a while, so that flows can be changed one by one.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub async fn rotate(&self, account: &str, id: &str, by: &str) -> Result<Made, DirectoryError> {
        let token = bot::new_token().map_err(StoreError::Unwritable)?;
        let now = Timestamp::now();
        let desk = self.desk(account, DocumentKind::Bot)?;
        let bot = desk.bots.edit(id, None, |was| Ok(was.rotated(&token, now)), by).await?;
        Ok(Made { bot, token })
    }

    /// A bot that a DID leads to is not removed: its callers would reach nobody.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub async fn remove(&self, account: &str, id: &str, version: Option<i64>, by: &str) -> Result<(), DirectoryError> {
        let desk = self.desk(account, DocumentKind::Bot)?;
        // Nobody attaches it meanwhile.
        let _turn = desk.dids.turn().await;
        let of_it = desk.dids.now().all().filter(|did| did.profile.bot_id.as_deref() == Some(id)).count();
        if of_it > 0 && desk.bots.now().get(id).is_some() {
            let message = format!("{of_it} DID(s) lead to this bot: give them another first");
            return Err(DirectoryError::InUse(message));
        }
        desk.bots.remove(id, version, by).await
    }

    /// # Errors
    /// [`DirectoryError`].
    pub async fn make_did(&self, account: &str, patch: &DidPatch, by: &str) -> Result<Entry<Did>, DirectoryError> {
        let desk = self.desk(account, DocumentKind::Did)?;
        let profile = |_: &Rows<Did>| patch.onto(None, &desk.country.load(), &desk.bots.now());
        desk.dids.make(Uuid::now_v7().to_string(), profile, by).await
    }

    /// # Errors
    /// [`DirectoryError`].
    pub async fn edit_did(
        &self,
        account: &str,
        id: &str,
        patch: &DidPatch,
        by: &str,
    ) -> Result<Entry<Did>, DirectoryError> {
        let desk = self.desk(account, DocumentKind::Did)?;
        let profile = |was: &Did| patch.onto(Some(was), &desk.country.load(), &desk.bots.now());
        desk.dids.edit(id, patch.version, profile, by).await
    }

    /// # Errors
    /// [`DirectoryError`].
    pub async fn remove_did(
        &self,
        account: &str,
        id: &str,
        version: Option<i64>,
        by: &str,
    ) -> Result<(), DirectoryError> {
        self.desk(account, DocumentKind::Did)?.dids.remove(id, version, by).await
    }

    fn desk(&self, account: &str, kind: DocumentKind) -> Result<Arc<Desk>, DirectoryError> {
        self.desks.load().get(account).cloned().ok_or(DirectoryError::Unknown(kind))
    }
}

/// The token of a bot of the file that names none, for whoever has to paste its address.
pub fn token_of_file(account: &str, bot: &str, key: &MasterKey) -> String {
    bot::token_of_file(account, bot, key)
}
