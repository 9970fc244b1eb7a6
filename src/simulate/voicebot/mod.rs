//! `patchbay simulate voicebot`: plays Exotel's side of a voicebot's stream against any server, and says rule by rule
//! how it behaves. Exotel itself says nothing: a bot that breaks a rule is a caller who hears gaps, or nobody.

mod calls;
mod hear;
mod load;
mod report;
mod rules;
mod session;
mod sound;
mod wire;
mod words;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use clap::Args;
use futures_util::future::join_all;
use patchbay_voice::Rate;
use tokio::{sync::Semaphore, task::JoinSet};

use super::Wrong;
use calls::{Call, Calls, Line, new_sid};
use report::Report;
use rules::{RULES, Rule};
use sound::Sound;
use wire::{Header, Target};

pub use rules::markdown;

/// After the first of two connections of one call, the second comes.
const SECOND: Duration = Duration::from_millis(300);

/// What `patchbay simulate voicebot` is told.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  patchbay simulate voicebot --to wss://bot.example.com/exotel
  patchbay simulate voicebot --to wss://KEY:TOKEN@bot.example.com/exotel --only barge_in --only rate --json
  patchbay simulate voicebot --to ws://127.0.0.1:8080/voicebot/TOKEN --calls 200 --seconds 30

The query of the address is taken off and sent in start.custom_parameters, as Exotel does; sample-rate in it is the
stream's rate. A call lasts as long as the bot speaks, about 10 s. Exits 0 if no rule failed, 1 if one did, 2 on wrong
usage. docs/VOICEBOTS.md has the rules and where they are known from.")]
pub struct Options {
    /// The bot's server, such as wss://bot.example.com/path
    #[arg(long, value_name = "URL", required_unless_present = "list")]
    to: Option<Hidden>,
    /// The stream's rate; default: sample-rate in the URL's query, else 8000
    #[arg(long, value_name = "HZ", value_parser = rate)]
    rate: Option<Rate>,
    /// Judges this rule; can be given several times. Default: all
    #[arg(long, value_name = "RULE", conflicts_with = "calls")]
    only: Vec<String>,
    /// Lists the rules, and exits
    #[arg(long)]
    list: bool,
    /// How long the bot may take to begin to speak
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = super::duration)]
    listen: Duration,
    /// How many calls are made side by side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    at_once: u32,
    /// The result as JSON
    #[arg(long)]
    json: bool,
    /// A header of the handshake, beside those that Exotel sends
    #[arg(long, value_name = "'NAME: VALUE'", value_parser = wire::header)]
    header: Vec<Header>,
    /// The account's SID, as start says it
    #[arg(long, value_name = "SID", default_value = "exotel535")]
    account: String,
    /// The ExoPhone that is called, as start says it
    #[arg(long, value_name = "NUMBER", default_value = "08047494574")]
    called: String,
    /// Makes a load of so many calls at once instead
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    calls: Option<u32>,
    /// Load: how long each call lasts
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
}

/// An address in which a secret may stand.
#[derive(Clone)]
struct Hidden(String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl From<&str> for Hidden {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    Rate::read(text).ok_or_else(|| "Exotel has 8000, 16000 and 24000".to_owned())
}

pub(super) async fn run(options: &Options) -> Result<bool, Wrong> {
    if options.list {
        for rule in RULES {
            println!("{:<10}  {}", rule.id, rule.expects);
        }
        return Ok(true);
    }
    let rules = chosen(&options.only).map_err(Wrong::Usage)?;
    let to = options.to.as_ref().map(|to| to.0.as_str()).unwrap_or_default();
    let target = Arc::new(Target::new(to, options.header.clone()).map_err(Wrong::Usage)?);
    let asked = target.asked_rate().map(|asked| rate(&asked)).transpose().map_err(Wrong::Usage)?;
    let line = Line {
        account_sid: options.account.clone(),
        called: options.called.clone(),
        rate: options.rate.or(asked).unwrap_or_default(),
        listen: options.listen,
        parameters: target.parameters(),
    };
    let (good, text) = if let Some(calls) = options.calls {
        let report = load::run(&target, &line, calls, options.seconds).await;
        (report.good(), if options.json { json(&report)? } else { report.table() })
    } else {
        let calls = make(&target, &line, &rules, options.at_once as usize).await;
        let report = Report::new(target.shown(), line.rate.hz(), &rules, &calls);
        (report.good(), if options.json { json(&report)? } else { report.table() })
    };
    print!("{text}");
    Ok(good)
}

fn json(report: &impl serde::Serialize) -> Result<String, Wrong> {
    serde_json::to_string_pretty(report).map(|text| text + "\n").map_err(|error| Wrong::Failed(error.to_string()))
}

fn chosen(names: &[String]) -> Result<Vec<&'static Rule>, String> {
    if let Some(unknown) = names.iter().find(|name| !RULES.iter().any(|rule| rule.id == **name)) {
        let known: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        return Err(format!("there is no rule {unknown:?}; there are: {}", known.join(", ")));
    }
    Ok(RULES.iter().filter(|rule| names.is_empty() || names.iter().any(|name| name == rule.id)).collect())
}

/// The calls that some rules need beside the plain one, each once.
fn needed(rules: &[&'static Rule]) -> Vec<Call> {
    let calls: BTreeSet<Call> = rules.iter().flat_map(|rule| rule.calls).copied().collect();
    calls.into_iter().filter(|call| *call != Call::WithQuery).collect()
}

/// Calls that are made together, one shortly after the other: the two of one CallSid, else each alone.
fn turns_of(calls: Vec<Call>) -> Vec<Vec<Call>> {
    let mut turns: Vec<Vec<Call>> = Vec::new();
    for call in calls {
        match turns.last_mut() {
            Some(turn) if call == Call::Second => turn.push(call),
            _ => turns.push(vec![call]),
        }
    }
    turns
}

/// Makes the plain call, and the others if there could be one.
async fn make(target: &Arc<Target>, line: &Line, rules: &[&'static Rule], at_once: usize) -> Calls {
    let mut calls = Calls { queried: target.queried(), all: Vec::new() };
    let plain = target.call(line.plan(Call::Plain, &new_sid('c')), Sound::new(line.rate), false).await;
    let made = plain.is_ok();
    calls.all.push((Call::Plain, plain));
    if !made {
        if calls.queried {
            let plan = line.plan(Call::WithQuery, &new_sid('c'));
            calls.all.push((Call::WithQuery, target.call(plan, Sound::new(line.rate), true).await));
        }
        return calls;
    }
    let turns = Arc::new(Semaphore::new(at_once));
    let mut going = JoinSet::new();
    for turn in turns_of(needed(rules)) {
        let (target, line, turns) = (target.clone(), line.clone(), turns.clone());
        going.spawn(async move {
            let _turn = turns.acquire().await;
            let call_sid = new_sid('c');
            let made = turn.into_iter().enumerate().map(async |(number, call)| {
                tokio::time::sleep(SECOND * number as u32).await;
                let plan = line.plan(call, &call_sid);
                let sound = Sound::new(plan.rate);
                (call, target.call(plan, sound, false).await)
            });
            join_all(made).await
        });
    }
    while let Some(ended) = going.join_next().await {
        calls.all.extend(ended.into_iter().flatten());
    }
    calls.all.sort_by_key(|(call, _)| *call);
    calls
}
