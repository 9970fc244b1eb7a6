//! What is off with the voicebots of an account and the DIDs they answer.

use std::{path::Path, sync::Arc};

use patchbay_kit::mask;
use serde_json::Value;

use super::exotel::{Findings, Ledger};
use crate::{
    config::{Account, Config, Did},
    connect::transport::Transport,
    directory::{Bots, bots::token_of_file},
    exotel::ExoPhone,
    key::MasterKey,
    operator::Operator,
};

/// An account's bots and DIDs, those of the file and, where they can be asked for, those of the store.
#[derive(Default)]
pub(super) struct Answering {
    bots: Vec<String>,
    /// Of them, those whose credentials cannot be opened.
    lost: Vec<String>,
    dids: Vec<Did>,
}

impl Answering {
    pub(super) async fn find(config: &Config, account: &Account, ledger: &Ledger, transport: &Transport) -> Self {
        let found = match ledger {
            Ledger::Store(store) => match master_key(config) {
                Some(key) => Bots::load(std::slice::from_ref(account), Arc::clone(store), key).await.ok().map(|bots| {
                    let all = bots.of(&account.sid);
                    Self {
                        bots: all.all().map(|bot| bot.id.clone()).collect(),
                        lost: all.all().filter(|bot| bot.profile.secrets_lost).map(|bot| bot.id.clone()).collect(),
                        dids: bots.dids(&account.sid).all().map(|did| did.profile.clone()).collect(),
                    }
                }),
                None => None,
            },
            Ledger::Running => Self::ask(config, account, transport).await,
            Ledger::Nowhere => None,
        };
        found.unwrap_or_else(|| Self {
            bots: account.bots.iter().map(|bot| bot.id.clone()).collect(),
            lost: Vec::new(),
            dids: account.dids.clone(),
        })
    }

    /// From the running service.
    async fn ask(config: &Config, account: &Account, transport: &Transport) -> Option<Self> {
        let service = Operator::of(config, transport).ok()?;
        let place = |what| ["api", "v1", "accounts", account.sid.as_str(), what];
        let bots = service.get("bots.list", place("bots")).await.ok()?;
        let dids = service.get("dids.list", place("dids")).await.ok()?;
        let text = |one: &Value, key: &str| one.get(key).and_then(Value::as_str).map(str::to_owned);
        let bots = bots.get("bots")?.as_array()?;
        let lost = |bot: &&Value| bot.get("secrets_lost").and_then(Value::as_bool) == Some(true);
        let dids = dids.get("dids")?.as_array()?.iter().filter_map(|did| {
            let (bot_id, flow_url) = (text(did, "bot_id"), text(did, "flow_url"));
            Some(Did { number: text(did, "number")?, label: None, bot_id, flow_url })
        });
        Some(Self {
            bots: bots.iter().filter_map(|bot| text(bot, "id")).collect(),
            lost: bots.iter().filter(lost).filter_map(|bot| text(bot, "id")).collect(),
            dids: dids.collect(),
        })
    }

    pub(super) fn has_bots(&self) -> bool {
        !self.bots.is_empty()
    }

    /// What is off, each with its cure. `phones`: the account's ExoPhones, where Exotel tells them.
    pub(super) fn judge(&self, config: &Config, sid: &str, phones: Option<&[ExoPhone]>, findings: &mut Findings) {
        let insecure = config.server.public_url.as_deref().is_none_or(|url| !url.starts_with("https://"));
        if self.has_bots() && insecure {
            findings.say("warn", "Exotel connects to voicebots by wss: set server.public_url to an https address");
        }
        for bot in &self.lost {
            findings.say(
                "warn",
                format_args!(
                    "address and credentials of the bot {bot:?} were sealed with another master key: give them \
                    anew (PATCH /api/v1/accounts/{sid}/bots/{bot})"
                ),
            );
        }
        for Did { number, bot_id, flow_url, .. } in &self.dids {
            let shown = mask::number(number);
            if let Some(bot) = bot_id.as_ref().filter(|bot| !self.bots.contains(bot)) {
                findings.say(
                    "warn",
                    format_args!(
                        "the DID {shown} leads to the bot {bot:?}, which is not there: make it, or mend bot_id"
                    ),
                );
            }
            if phones.is_some_and(|phones| !phones.iter().any(|phone| phone.number.e164 == *number)) {
                let of = bot_id.as_ref().map(|bot| format!(" (of the bot {bot:?})")).unwrap_or_default();
                findings.say(
                    "warn",
                    format_args!(
                        "the DID {shown}{of} is no ExoPhone of this account: mend the number, or rent it in the \
                        dashboard"
                    ),
                );
            }
            let ours = format!("/{sid}/exoml/");
            if flow_url.as_ref().is_some_and(|url| !url.contains(&ours)) {
                findings.say(
                    "warn",
                    format_args!(
                        "the flow_url of the DID {shown} names no flow of this account: copy it from App Bazaar"
                    ),
                );
            }
        }
    }
}

fn master_key(config: &Config) -> Option<MasterKey> {
    // The key is made when the service starts first; a check makes nothing.
    let database = config.store.url.file().unwrap_or(Path::new(""));
    MasterKey::load(config.server.master_key_file.as_deref(), database)
}

/// The addresses of the file's bots whose token is made up: nothing else shows it.
pub(super) fn paste(config: &Config, account: &Account, public: &str) -> Vec<(String, String)> {
    let Some(key) = master_key(config) else { return Vec::new() };
    let base = public.replacen("http", "ws", 1);
    let made_up = account.bots.iter().filter(|bot| bot.token.is_none());
    let url = |id: &str| format!("{base}/voicebot/{}", token_of_file(&account.sid, id, &key));
    made_up.map(|bot| (bot.id.clone(), url(&bot.id))).collect()
}
