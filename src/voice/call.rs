//! The call that a stream is about, and the bot that is to have it.

use std::{collections::BTreeMap, time::Duration};

use patchbay_kit::Direction;
use patchbay_voice::{Law, Rate, Start, backend::Brief};
use uuid::Uuid;

use crate::{
    app::Services,
    call::{BotWish, mark, phone},
    directory::{Bot, Entry},
    store::CallRef,
};

/// How long it is looked up whether the call was placed here.
const LOOK_UP: Duration = Duration::from_millis(300);
/// How a flow may name a bot where its address names none: as a custom parameter (seed 000 has the agent's id there).
const NAMES: [&str; 4] = ["bot_id", "bot", "agent_id", "agent"];

/// Whom a connection is for.
pub(super) enum For {
    /// Its address names the bot; a ticket's, the click whose call it is, too.
    Bot { account: String, bot: Box<Entry<Bot>>, click: Option<Uuid> },
    /// One address for all: the accounts that its credential opens, and the bot that its query named.
    Account { accounts: Vec<String>, bot: Option<String> },
}

/// A call that has started.
pub(super) struct Call {
    pub(super) account: String,
    pub(super) call_sid: String,
    pub(super) stream_sid: Option<String>,
    pub(super) rate: Rate,
    pub(super) law: Law,
    /// As Exotel wrote them: the numbers, and what stood in the query of the flow's address.
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) parameters: BTreeMap<String, String>,
    /// As Exotel wrote them; who is who, as far as the account's DIDs tell.
    pub(super) customer: Option<String>,
    pub(super) exophone: Option<String>,
    pub(super) direction: Option<Direction>,
}

impl Call {
    /// `None`: nothing in it says which call it is.
    pub(super) fn of(services: &Services, account: &str, start: &Start) -> Option<Self> {
        let call_sid = start.call_sid.clone().or_else(|| start.stream_sid.clone())?;
        let (from, to) = (start.from.clone(), start.to.clone());
        // Whoever is called is the ExoPhone, unless it is the ExoPhone that calls.
        let ours = |number: &Option<String>| number.as_deref().is_some_and(|number| is_did(services, account, number));
        let (outgoing, incoming) = (ours(&from) && !ours(&to), ours(&to));
        let (customer, exophone, direction) = match (outgoing, incoming) {
            (true, _) => (to, from, Some(Direction::Outgoing)),
            (false, true) => (from, to, Some(Direction::Incoming)),
            (false, false) => (from, to, None),
        };
        Some(Self {
            account: account.to_owned(),
            call_sid,
            stream_sid: start.stream_sid.clone(),
            rate: start.rate,
            law: start.law,
            from: start.from.clone(),
            to: start.to.clone(),
            parameters: start.custom_parameters.clone(),
            customer,
            exophone,
            direction,
        })
    }

    /// A number as it is told: E.164 where it can be read.
    pub(super) fn told_number(&self, services: &Services, number: Option<&str>) -> Option<String> {
        let number = number?;
        Some(e164(services, &self.account, number).unwrap_or_else(|| number.to_owned()))
    }

    /// What it tells of itself.
    pub(super) fn brief(&self, services: &Services) -> Brief {
        let number = |number: &Option<String>| self.told_number(services, number.as_deref());
        Brief {
            call_sid: self.call_sid.clone(),
            from: number(&self.from),
            to: number(&self.to),
            customer: number(&self.customer),
            exophone: number(&self.exophone),
            direction: self.direction.map(|direction| {
                let word = match direction {
                    Direction::Incoming => "incoming",
                    Direction::Outgoing => "outgoing",
                };
                word.to_owned()
            }),
            parameters: self.parameters.clone(),
            ..Brief::default()
        }
    }
}

/// What is known of a call that was placed here, or by somebody who had it carry something.
#[derive(Debug, Default)]
pub(super) struct Placed {
    wish: Option<BotWish>,
    custom_field: Option<String>,
}

impl Call {
    /// What it was placed with; what the flow says itself stands.
    pub(super) fn add(&mut self, placed: Option<&Placed>) {
        let Some(wish) = placed.and_then(|placed| placed.wish.as_ref()) else { return };
        // Its numbers stand as in a call that came: the flow is the ExoPhone's.
        self.direction = Some(Direction::Outgoing);
        for (name, value) in &wish.parameters {
            self.parameters.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

impl For {
    /// What is known of the call from when it was placed. A caller waits: what is not known soon is not known.
    pub(super) async fn placed(&self, services: &Services, call: &Call) -> Option<Placed> {
        let known = async {
            if let Self::Bot { click: Some(click), .. } = self {
                let wish = services.store.click(&call.account, *click).await.ok().flatten()?.bot;
                return Some(Placed { wish, custom_field: None });
            }
            let of = CallRef { account: call.account.clone(), call_sid: call.call_sid.clone() };
            let known = services.store.calls(std::slice::from_ref(&of)).await.ok()?.remove(&of)?;
            let facts = || known.events.iter().map(|event| &event.facts);
            Some(Placed {
                wish: facts().find_map(|facts| facts.placed_for_bot.clone()),
                custom_field: facts().find_map(|facts| facts.custom_field.clone()),
            })
        };
        tokio::time::timeout(LOOK_UP, known).await.ok().flatten()
    }

    /// Whose call this is.
    pub(super) fn account(&self, start: &Start) -> String {
        match self {
            Self::Bot { account, .. } => account.clone(),
            Self::Account { accounts, .. } => {
                let named = accounts.iter().find(|sid| start.account_sid.as_ref() == Some(*sid));
                named.or(accounts.first()).cloned().unwrap_or_default()
            }
        }
    }

    /// Who is to have it.
    ///
    /// # Errors
    /// Why nobody is, in words.
    pub(super) fn bot(
        &self,
        services: &Services,
        account: &str,
        start: &Start,
        placed: Option<&Placed>,
    ) -> Result<Entry<Bot>, String> {
        let named = match self {
            Self::Bot { bot, .. } => return Ok(Entry::clone(bot)),
            Self::Account { bot, .. } => bot.as_ref(),
        };
        let bots = services.bots.of(account);
        let named = named.or_else(|| NAMES.iter().find_map(|name| start.custom_parameters.get(*name)));
        if let Some(id) = named.filter(|id| !id.is_empty()) {
            return bots.get(id).cloned().ok_or_else(|| "the flow names a bot that is not there".to_owned());
        }
        // Whoever placed the call knew whom it is for; the DID only knows who takes those that come.
        let wish = placed.and_then(|placed| placed.wish.as_ref()).map(|wish| wish.bot.as_str());
        let fields = [start.custom_field.as_deref(), placed.and_then(|placed| placed.custom_field.as_deref())];
        let named = wish.or_else(|| fields.into_iter().flatten().find_map(mark::bot));
        if let Some(id) = named {
            return bots.get(id).cloned().ok_or_else(|| "the call was placed for a bot that is not there".to_owned());
        }
        // Others' calls may carry an agent's id, or anything else.
        if let Some(bot) = fields.into_iter().flatten().find_map(|field| bots.get(mark::own(field))) {
            return Ok(bot.clone());
        }
        let numbers = [&start.to, &start.from];
        let of_number = numbers.into_iter().flatten().find_map(|number| did_bot(services, account, number));
        if let Some(id) = of_number {
            return bots.get(&id).cloned().ok_or_else(|| "its DID leads to a bot that is not there".to_owned());
        }
        let mut all = bots.all();
        match (all.next(), all.next()) {
            (Some(only), None) => Ok(only.clone()),
            _ => Err("no DID of the call leads to a bot, and the flow names none".to_owned()),
        }
    }
}

fn e164(services: &Services, account: &str, number: &str) -> Option<String> {
    let country = services.account(account)?.country.clone();
    phone::parse(number, &country).map(|number| number.e164)
}

fn is_did(services: &Services, account: &str, number: &str) -> bool {
    let Some(number) = e164(services, account, number) else { return false };
    services.bots.dids(account).all().any(|did| did.profile.number == number)
}

fn did_bot(services: &Services, account: &str, number: &str) -> Option<String> {
    let number = e164(services, account, number)?;
    let dids = services.bots.dids(account);
    dids.all().find(|did| did.profile.number == number).and_then(|did| did.profile.bot_id.clone())
}
