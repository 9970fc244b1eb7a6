//! Those who answer: Freshchat's agents, listed so that a conversation is given to the one who had the call.

use std::sync::Arc;

use patchbay_kit::{
    About, Agent, Agents, Cursor, Exchange, Failure, Kind, Page, RecordRef, Request, Response, Retry, Step,
};
use serde::Deserialize;

use crate::{Account, Freshchat, PER_PAGE, path};

/// "Freshchat API, Agents" \[V\].
#[derive(Deserialize)]
struct Shown {
    id: String,
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    is_deactivated: Option<bool>,
    is_deleted: Option<bool>,
}

impl From<Shown> for Agent {
    fn from(shown: Shown) -> Self {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            at: RecordRef::new("agent", shown.id),
            name: full_name(shown.first_name, shown.last_name),
            email: filled(shown.email),
            numbers: filled(shown.phone).into_iter().collect(),
            active: !shown.is_deactivated.unwrap_or(false) && !shown.is_deleted.unwrap_or(false),
        }
    }
}

/// First and last name as one.
pub(crate) fn full_name(first: Option<String>, last: Option<String>) -> String {
    let parts: Vec<String> = [first, last].into_iter().flatten().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

/// Where a list says how far it goes: in `pagination` or in `links`, in some accounts in neither \[C\].
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Paging {
    pagination: Option<Pagination>,
    links: Option<Links>,
}

#[derive(Deserialize)]
struct Pagination {
    total_pages: Option<usize>,
}

#[derive(Deserialize)]
struct Links {
    next_page: Option<Link>,
}

#[derive(Deserialize)]
struct Link {
    href: Option<String>,
}

impl Paging {
    /// The number of the last page, where it is said.
    pub(crate) fn last(&self) -> Option<usize> {
        self.pagination.as_ref()?.total_pages
    }

    /// Whether another page follows this one of so many items.
    pub(crate) fn goes_on(&self, number: usize, items: usize) -> bool {
        if items == 0 {
            return false;
        }
        match (self.last(), &self.links) {
            (Some(last), _) => number < last,
            (None, Some(links)) => links.next_page.as_ref().is_some_and(|link| link.href.is_some()),
            (None, None) => items >= PER_PAGE,
        }
    }
}

#[derive(Deserialize)]
struct Listed {
    agents: Vec<Shown>,
    #[serde(flatten)]
    paging: Paging,
}

/// "Freshchat API, Agents: List all agents" \[V\].
fn list(number: usize) -> Request {
    Request::get("agent.list", path(["agents"])).query("page", number).query("items_per_page", PER_PAGE)
}

fn read(reply: &Response, number: usize) -> Result<(Vec<Agent>, bool), Failure> {
    let Listed { agents, paging } = reply.json()?;
    let more = paging.goes_on(number, agents.len());
    Ok((agents.into_iter().map(Agent::from).collect(), more))
}

impl Agents for Freshchat {
    fn list(&self, from: Option<&Cursor>) -> Exchange<Page<Agent>> {
        let number: usize = from.and_then(|cursor| cursor.0.parse().ok()).unwrap_or(1);
        list(number).done(move |reply| {
            let (items, more) = read(reply, number)?;
            Ok(Page { items, next: more.then(|| Cursor((number + 1).to_string())) })
        })
    }
}

/// Goes on with an agent in whose name can be written what no agent had: the one of the settings, else whoever is in
/// service first. A private message needs an agent as its author.
pub(crate) fn stand_in<T: 'static>(
    account: &Account,
    then: impl Fn(&str) -> Exchange<T> + Send + Sync + 'static,
) -> Exchange<T> {
    if let Some(actor) = &account.defaults.actor {
        return then(actor);
    }
    let then = Arc::new(then);
    list(1).then(move |reply| match read(reply, 1)?.0.into_iter().find(|agent| agent.active) {
        Some(agent) => Ok(Step::Then(then(&agent.at.id))),
        None => Err(Failure::new(Kind::Invalid, Retry::Never)
            .about(About::Agent)
            .because("no agent is in service to write in the name of; set `defaults.actor_id`")),
    })
}
