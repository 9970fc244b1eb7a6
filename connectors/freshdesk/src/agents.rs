//! Those who answer: Freshdesk's agents, listed so that a call's ticket is given to the one who took it.

use patchbay_kit::{Agent, Agents, Cursor, Exchange, Page, RecordRef, Request};
use serde::Deserialize;

use crate::{Freshdesk, PER_PAGE, path};

/// "Freshdesk API v2, Agents", agent attributes \[V\]: the person is one level down.
#[derive(Deserialize)]
pub(crate) struct Shown {
    pub(crate) id: u64,
    #[serde(default)]
    pub(crate) contact: Person,
    /// Not in the documented attributes \[M\].
    deactivated: Option<bool>,
}

#[derive(Default, Deserialize)]
pub(crate) struct Person {
    pub(crate) name: Option<String>,
    pub(crate) email: Option<String>,
    phone: Option<String>,
    mobile: Option<String>,
    active: Option<bool>,
}

impl From<Shown> for Agent {
    fn from(shown: Shown) -> Self {
        let numbers = [shown.contact.mobile, shown.contact.phone].into_iter().flatten();
        Self {
            at: RecordRef::new("agent", shown.id),
            name: shown.contact.name.unwrap_or_default(),
            email: shown.contact.email.filter(|email| !email.is_empty()),
            numbers: numbers.filter(|number| !number.is_empty()).collect(),
            // Who is listed is in service unless something says otherwise.
            active: shown.contact.active.unwrap_or(true) && !shown.deactivated.unwrap_or(false),
        }
    }
}

impl Agents for Freshdesk {
    /// "Freshdesk API v2, Agents: List All Agents" \[V\]; needs the key of an administrator.
    fn list(&self, from: Option<&Cursor>) -> Exchange<Page<Agent>> {
        let number: usize = from.and_then(|cursor| cursor.0.parse().ok()).unwrap_or(1);
        Request::get("agent.list", path(["agents"])).query("per_page", PER_PAGE).query("page", number).done(
            move |reply| {
                let items: Vec<Agent> = reply.json::<Vec<Shown>>()?.into_iter().map(Agent::from).collect();
                // A page that is not full is the last, whatever a proxy makes of the `link` header.
                let next = (items.len() >= PER_PAGE).then(|| Cursor((number + 1).to_string()));
                Ok(Page { items, next })
            },
        )
    }
}
