//! What is off with the voicebots of an account and the DIDs they answer.

use std::{collections::BTreeSet, sync::Arc};

use patchbay_kit::mask;
use serde_json::Value;

use super::exotel::{Findings, Ledger};
use crate::{
    app::names_somebody,
    codes::Code,
    config::{self, Account, Config, Did},
    connect::transport::Transport,
    directory::{Agents, Bot, Bots, Entry},
    exotel::ExoPhone,
    operator::Operator,
};

/// An account's bots and DIDs, those of the file and, where they can be asked for, those of the store.
#[derive(Default)]
pub(super) struct Answering {
    bots: Vec<Checked>,
    dids: Vec<Did>,
    /// The e-mail addresses of agents who have a telephone, in lower case. `None`: not all are known here.
    agents: Option<BTreeSet<String>>,
}

/// What of a bot may be off.
struct Checked {
    id: String,
    /// Its credentials cannot be opened.
    lost: bool,
    transfer_to: Option<String>,
    record: bool,
}

impl Answering {
    pub(super) async fn find(config: &Config, account: &Account, ledger: &Ledger, transport: &Transport) -> Self {
        let found = match ledger {
            Ledger::Store(store) => match super::key(config) {
                Some(key) => {
                    let one = std::slice::from_ref(account);
                    let agents = Agents::load(one, Arc::clone(store), key.clone()).await.ok().map(|agents| {
                        let of = agents.of(&account.sid);
                        let reached = of.agents().filter(|agent| agent.profile.number.is_some());
                        reached.filter_map(|agent| email(agent.profile.email.as_deref())).collect()
                    });
                    Bots::load(one, Arc::clone(store), key).await.ok().map(|bots| {
                        let all = bots.of(&account.sid);
                        let checked = |bot: &Entry<Bot>| Checked {
                            id: bot.id.clone(),
                            lost: bot.profile.secrets_lost,
                            transfer_to: bot.profile.transfer_to.clone(),
                            record: bot.profile.record,
                        };
                        Self {
                            bots: all.all().map(checked).collect(),
                            dids: bots.dids(&account.sid).all().map(|did| did.profile.clone()).collect(),
                            agents,
                        }
                    })
                }
                None => None,
            },
            Ledger::Running => Self::ask(config, account, transport).await,
            Ledger::Nowhere => None,
        };
        found.unwrap_or_else(|| Self {
            bots: account.bots.iter().map(of_file).collect(),
            dids: account.dids.clone(),
            // A store on a server may have more.
            agents: config.store.url.file().map(|_| {
                let agents = account.agents.iter();
                agents.filter_map(|agent| email(agent.email.as_deref())).collect()
            }),
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
        let yes = |one: &Value, key: &str| one.get(key).and_then(Value::as_bool) == Some(true);
        let checked = |bot: &Value| {
            let (transfer_to, record) = (text(bot, "transfer_to"), yes(bot, "record"));
            Some(Checked { id: text(bot, "id")?, lost: yes(bot, "secrets_lost"), transfer_to, record })
        };
        let dids = dids.get("dids")?.as_array()?.iter().filter_map(|did| {
            let (bot_id, flow_url) = (text(did, "bot_id"), text(did, "flow_url"));
            Some(Did { number: text(did, "number")?, label: None, bot_id, flow_url })
        });
        Some(Self { bots: bots.iter().filter_map(checked).collect(), dids: dids.collect(), agents: None })
    }

    pub(super) fn has_bots(&self) -> bool {
        !self.bots.is_empty()
    }

    fn reaches_somebody(&self, account: &Account, target: &str) -> bool {
        names_somebody(account, target, |email| match &self.agents {
            Some(known) => known.contains(&email.to_lowercase()),
            None => email.contains('@'),
        })
    }

    /// What is off, each with its cure. `phones`: the account's ExoPhones, where Exotel tells them.
    pub(super) fn judge(
        &self,
        config: &Config,
        account: &Account,
        phones: Option<&[ExoPhone]>,
        findings: &mut Findings,
    ) {
        let sid = &account.sid;
        let insecure = config.server.public_url.as_deref().is_none_or(|url| !url.starts_with("https://"));
        if self.has_bots() && insecure {
            findings.warn(
                Code::WssNeeded,
                "Exotel connects to voicebots by wss: set server.public_url to an https address",
            );
        }
        for Checked { id, lost, transfer_to, record } in &self.bots {
            if *lost {
                findings.warn(
                    Code::BotSecretsLost,
                    format_args!(
                        "address and credentials of the bot {id:?} were sealed with another master key: give them \
                        anew (PATCH /api/v1/accounts/{sid}/bots/{id})"
                    ),
                );
            }
            let target = transfer_to.as_deref().filter(|target| !self.reaches_somebody(account, target));
            if let Some(target) = target {
                findings.warn(Code::TransferToNobody, format_args!(
                        "the bot {id:?} hands over to {:?}, where nobody is: transfer_to is a group of the routing, the \
                        e-mail address of an agent who has a number, or a number. Until then the flow's Connect applet \
                        decides by its rules",
                        shown(target)
                    ),
                );
            }
            if *record && config.voicebot.recordings.is_none() {
                findings.warn(
                    Code::RecordingsNowhere,
                    format_args!(
                        "the bot {id:?} is to be recorded, and nothing is: name a directory in voicebot.recordings"
                    ),
                );
            }
        }
        for Did { number, bot_id, flow_url, .. } in &self.dids {
            let shown = mask::number(number);
            if let Some(bot) = bot_id.as_ref().filter(|bot| !self.bots.iter().any(|one| one.id == **bot)) {
                findings.warn(
                    Code::DidWithoutBot,
                    format_args!(
                        "the DID {shown} leads to the bot {bot:?}, which is not there: make it, or mend bot_id"
                    ),
                );
            }
            if phones.is_some_and(|phones| !phones.iter().any(|phone| phone.number.e164 == *number)) {
                let of = bot_id.as_ref().map(|bot| format!(" (of the bot {bot:?})")).unwrap_or_default();
                findings.warn(
                    Code::DidNotRented,
                    format_args!(
                        "the DID {shown}{of} is no ExoPhone of this account: mend the number, or rent it in the \
                        dashboard"
                    ),
                );
            }
            let ours = format!("/{sid}/exoml/");
            if flow_url.as_ref().is_some_and(|url| !url.contains(&ours)) {
                findings.warn(
                    Code::FlowUrlForeign,
                    format_args!(
                        "the flow_url of the DID {shown} names no flow of this account: copy it from App Bazaar"
                    ),
                );
            }
        }
    }
}

fn of_file(bot: &config::Bot) -> Checked {
    let (transfer_to, record) = (bot.transfer_to.clone(), bot.record);
    Checked { id: bot.id.clone(), lost: false, transfer_to, record }
}

fn email(of: Option<&str>) -> Option<String> {
    of.map(str::to_lowercase)
}

/// Of what may be a number only its end.
fn shown(target: &str) -> String {
    if target.contains('@') { target.to_owned() } else { mask::text(target) }
}
