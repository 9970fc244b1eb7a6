//! Freshchat (API v2) as Patchbay speaks to it: a call is a private message in the conversation that its agent and its
//! customer have, and what becomes known later is one more.
//!
//! Facts carry their source: `[V]` is Freshchat's own documentation ("Freshchat API", then the section), `[C]` code that
//! others run against it, `[M]` memory that no account has confirmed yet. What is unproven is listed in the README.

mod agents;
mod contacts;
mod conversations;
mod defaults;
mod errors;
mod manifest;
mod messages;
mod notes;
mod scan;

use std::sync::Arc;

use patchbay_kit::{
    Activities, Agents, Allowance, Connector, Contacts, Exchange, Failure, FollowUps, Identity, Kind, Manifest, Notes,
    OpenTickets, Owners, Popups, Request, Response, Retry, Settings, StatusCode, Step, Updates,
};
use serde::Deserialize;
use serde_json::Value;

pub use manifest::MANIFEST;

use defaults::Defaults;

/// Items on one page of any list, the most Freshchat gives \[C\].
const PER_PAGE: usize = 50;
/// What answers for something that is not there.
const NOT_FOUND: &[StatusCode] = &[StatusCode::NOT_FOUND];
/// What the list of channels may answer without the account being any worse for it.
const NO_CHANNELS: &[StatusCode] = &[StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];

/// One integration with one Freshchat account.
#[derive(Debug)]
struct Freshchat {
    account: Arc<Account>,
}

/// What the integration's settings say.
#[derive(Debug)]
struct Account {
    /// The channel in which calls are written down.
    channel: String,
    defaults: Defaults,
}

/// Makes the connector. Whatever of the settings [`problems`] objects to is left out.
pub fn build(settings: &Settings) -> Arc<dyn Connector> {
    let channel = settings.text("channel_id").unwrap_or_default().to_owned();
    Arc::new(Freshchat { account: Arc::new(Account { channel, defaults: Defaults::of(settings) }) })
}

/// What is wrong with the settings, one line for each: the key and what would be right.
pub fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    if settings.text("channel_id").is_none_or(|id| !is_id(id)) {
        problems.push(
            "channel_id: must be the id of the channel (topic) for calls, as GET /v2/channels shows it".to_owned(),
        );
    }
    if settings.text("domain").is_some_and(|domain| domain.contains("freshdesk.com")) {
        problems.push(
            "domain: must be the address of the chat, acme.freshchat.com or acme.myfreshworks.com, not of Freshdesk"
                .to_owned(),
        );
    }
    problems.extend(defaults::problems(settings));
    problems
}

impl Connector for Freshchat {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    /// "Freshchat API, Account configuration" \[C\]; then the channels, so that a wrong `channel_id` is seen before the
    /// first call is.
    fn identify(&self) -> Exchange<Identity> {
        let account = Arc::clone(&self.account);
        Request::get("account.show", path(["accounts", "configuration"])).then(move |reply| {
            let shown: Configuration = reply.json()?;
            let id = [shown.account_id, shown.organisation_id, shown.app_id].into_iter().flatten().find_map(word);
            let who = id.map_or_else(|| "Freshchat".to_owned(), |id| format!("account {id}"));
            let account = Arc::clone(&account);
            let channels = Request::get("channel.list", path(["channels"])).query("page", 1);
            Ok(Step::Then(channels.query("items_per_page", PER_PAGE).done(named(account, who)).accepting(NO_CHANNELS)))
        })
    }

    fn classify(&self, reply: &Response) -> Failure {
        errors::classify(reply)
    }

    /// None: no headers are documented.
    fn allowance(&self, _: &Response) -> Option<Allowance> {
        None
    }

    fn activities(&self) -> &dyn Activities {
        self
    }

    fn updates(&self) -> Option<&dyn Updates> {
        Some(self)
    }

    fn notes(&self) -> Option<&dyn Notes> {
        Some(self)
    }

    fn contacts(&self) -> Option<&dyn Contacts> {
        Some(self)
    }

    fn agents(&self) -> Option<&dyn Agents> {
        Some(self)
    }

    /// None: what an agent sees of a call before it is over is Patchbay's own widget.
    fn popups(&self) -> Option<&dyn Popups> {
        None
    }

    /// None: a user belongs to nobody, only his conversations are assigned.
    fn owners(&self) -> Option<&dyn Owners> {
        None
    }

    /// None: what is open here is the conversation that the call itself goes into.
    fn open_tickets(&self) -> Option<&dyn OpenTickets> {
        None
    }

    /// None: an unassigned conversation in the inbox is what is to be done.
    fn follow_ups(&self) -> Option<&dyn FollowUps> {
        None
    }
}

/// Ids are numbers or texts here.
#[derive(Deserialize)]
struct Configuration {
    account_id: Option<Value>,
    organisation_id: Option<Value>,
    app_id: Option<Value>,
}

#[derive(Deserialize)]
struct Channels {
    #[serde(default)]
    channels: Vec<Channel>,
}

#[derive(Deserialize)]
struct Channel {
    id: String,
    name: Option<String>,
}

/// Says which channel of the account is written into.
fn named(account: Arc<Account>, who: String) -> impl Fn(&Response) -> Result<Identity, Failure> + Send + Sync {
    move |reply| {
        if NO_CHANNELS.contains(&reply.status) {
            return Ok(Identity { account: who.clone() });
        }
        let Channels { channels } = reply.json()?;
        let account = match channels.iter().find(|channel| channel.id == account.channel) {
            Some(channel) => format!("{who}, channel {}", channel.name.as_deref().unwrap_or(&channel.id)),
            // There may be more than one page of them.
            None if channels.len() >= PER_PAGE => who.clone(),
            None => return Err(no_such(&channels)),
        };
        Ok(Identity { account })
    }
}

/// Not told as if all were right: every call would be held.
fn no_such(channels: &[Channel]) -> Failure {
    let shown = |one: &Channel| format!("{} ({})", one.id, one.name.as_deref().unwrap_or("without a name"));
    let there = channels.iter().map(shown).collect::<Vec<_>>().join(", ");
    let there = if there.is_empty() { "none".to_owned() } else { there };
    Failure::new(Kind::Invalid, Retry::Never)
        .because(format!("the token is right, and there is no channel with the id in `channel_id`; there are: {there}"))
}

fn word(value: Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn path<const N: usize>(rest: [&str; N]) -> Vec<String> {
    std::iter::once("v2").chain(rest).map(str::to_owned).collect()
}

/// Whether a text can be an id of theirs: a UUID or a number.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Whether two texts say the same: how Freshchat treats spaces and line ends in what it takes is not known.
fn same(one: &str, other: &str) -> bool {
    one.split_whitespace().eq(other.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_make_no_difference_and_all_else_does() {
        assert!(same("Call Duration: 34s\r\nCallSid : 1a2b ", "Call Duration: 34s\nCallSid : 1a2b"));
        assert!(!same("Call Duration: 34s", "Call Duration: 35s"));
    }

    #[test]
    fn every_problem_is_told_with_its_key() {
        let mut settings = Settings::default();
        let told = |settings: &Settings, key: &str| {
            problems(settings).iter().any(|line| line.starts_with(&format!("{key}: must be")))
        };
        assert!(told(&settings, "channel_id"));
        settings.text.insert("channel_id".to_owned(), "Phone Calls".to_owned());
        settings.text.insert("domain".to_owned(), "acme.freshdesk.com".to_owned());
        assert!(told(&settings, "channel_id") && told(&settings, "domain"));
        settings.text.insert("channel_id".to_owned(), "c4a77e10-0000-4000-8000-000000000001".to_owned());
        settings.text.insert("domain".to_owned(), "acme.freshchat.com/v2".to_owned());
        assert_eq!(problems(&settings), [""; 0]);
    }
}
