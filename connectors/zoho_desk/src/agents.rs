//! Those who answer: Zoho Desk's agents, listed so that a call's ticket is given to the one who took it.

use patchbay_kit::{Agent, Agents, Cursor, Exchange, Page, RecordRef, Request};
use serde::Deserialize;

use crate::{ZohoDesk, path, wire};

/// The most there are on a page of agents (\[S\] Agent.json).
const AGENTS_PER_PAGE: usize = 200;

/// "Agents", agent attributes \[V\].
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: wire::Id,
    name: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    email_id: Option<String>,
    phone: Option<String>,
    mobile: Option<String>,
    /// `ACTIVE`, `DISABLED`, `DELETED`.
    status: Option<String>,
}

impl From<Shown> for Agent {
    fn from(shown: Shown) -> Self {
        let parts = [shown.first_name, shown.last_name].map(Option::unwrap_or_default);
        let name = shown.name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| parts.join(" "));
        let numbers = [shown.mobile, shown.phone].into_iter().flatten();
        Self {
            at: RecordRef::new("agent", shown.id.0),
            name: name.trim().to_owned(),
            email: shown.email_id.filter(|email| !email.is_empty()),
            numbers: numbers.filter(|number| !number.is_empty()).collect(),
            // Who is listed is in service unless it is said otherwise.
            active: shown.status.is_none_or(|status| status.eq_ignore_ascii_case("active")),
        }
    }
}

impl Agents for ZohoDesk {
    /// "Agents: List agents" \[V\]. Whether the first has the index 0 (\[S\]) or 1 (older clients \[C\]) is not settled, so
    /// the next page may begin with the last one of this page: the cursor remembers who that was.
    fn list(&self, from: Option<&Cursor>) -> Exchange<Page<Agent>> {
        let (index, last) = from.and_then(|cursor| cursor.0.split_once(':')).unwrap_or_default();
        let (index, last) = (index.parse::<usize>().unwrap_or_default(), last.to_owned());
        self.api
            .to(Request::get("agent.list", path(["agents"])).query("from", index).query("limit", AGENTS_PER_PAGE))
            .done(move |reply| {
                let mut items: Vec<Agent> = wire::items::<Shown>(reply)?.into_iter().map(Agent::from).collect();
                // A page that is not full is the last.
                let full = items.len() >= AGENTS_PER_PAGE;
                let next = items
                    .last()
                    .filter(|_| full)
                    .map(|agent| Cursor(format!("{}:{}", index + AGENTS_PER_PAGE, agent.at.id)));
                items.retain(|agent| agent.at.id != last);
                Ok(Page { items, next })
            })
    }
}
