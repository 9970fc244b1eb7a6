//! Freshdesk (API v2) as Patchbay speaks to it: a call is a ticket, its recording a private note on that ticket.
//!
//! Facts carry their source: `[V]` is Freshdesk's own documentation ("Freshdesk API v2", then the section), `[C]` code
//! that others run against it, `[M]` memory that no account has confirmed yet. What is unproven is listed in the README.

mod agents;
mod contacts;
mod defaults;
mod errors;
mod manifest;
mod notes;
mod open;
mod tickets;

use std::sync::Arc;

use patchbay_kit::{
    Activities, Agents, Allowance, Connector, Contacts, Defaults, Exchange, Failure, FollowUps, Identity, Manifest,
    Notes, OpenTickets, Owners, Popups, Request, Response, Settings, Updates,
};
use serde::Deserialize;
use serde_json::Value;

pub use manifest::MANIFEST;

/// Items on one page of any list, the most Freshdesk gives ("Freshdesk API v2, Pagination" \[V\]).
const PER_PAGE: usize = 100;

/// One integration with one Freshdesk account.
#[derive(Debug)]
struct Freshdesk {
    defaults: Defaults,
}

/// Makes the connector. Whatever of the settings [`problems`] objects to is left out.
pub fn build(settings: &Settings) -> Arc<dyn Connector> {
    Arc::new(Freshdesk { defaults: Defaults::of(settings, defaults::TABLES) })
}

/// What is wrong with the settings, one line for each: the key and what would be right.
pub fn problems(settings: &Settings) -> Vec<String> {
    defaults::problems(settings)
}

impl Connector for Freshdesk {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    /// "Freshdesk API v2, Agents: Currently Authenticated Agent" \[V\]
    fn identify(&self) -> Exchange<Identity> {
        Request::get("agent.me", path(["agents", "me"])).done(|reply| {
            let me: agents::Shown = reply.json()?;
            let name = me.contact.name.unwrap_or_default();
            Ok(Identity {
                account: match me.contact.email {
                    Some(email) if name.is_empty() => email,
                    Some(email) => format!("{name} <{email}>"),
                    None if name.is_empty() => format!("agent {}", me.id),
                    None => name,
                },
            })
        })
    }

    fn classify(&self, reply: &Response) -> Failure {
        errors::classify(reply, errors::On::Ticket)
    }

    /// "Freshdesk API v2, Rate Limit" \[V\]. Some accounts answer decimals, `700.0` \[C\], and a request that is turned
    /// away by a proxy carries no such headers.
    fn allowance(&self, reply: &Response) -> Option<Allowance> {
        Allowance::told(reply.number("x-ratelimit-total"), reply.number("x-ratelimit-remaining"))
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

    /// None: what Freshdesk once had (`/integrations/cti/pop`) belongs to plans and pages that are gone.
    fn popups(&self) -> Option<&dyn Popups> {
        None
    }

    /// None: a contact has no owner here.
    fn owners(&self) -> Option<&dyn Owners> {
        None
    }

    fn open_tickets(&self) -> Option<&dyn OpenTickets> {
        Some(self)
    }

    /// None: the ticket is what is to be done.
    fn follow_ups(&self) -> Option<&dyn FollowUps> {
        None
    }
}

/// What every record shows.
#[derive(Deserialize)]
struct Id {
    id: u64,
}

fn path<const N: usize>(rest: [&str; N]) -> Vec<String> {
    ["api", "v2"].into_iter().chain(rest).map(str::to_owned).collect()
}

/// An id as Freshdesk wants it. What is no number stays a string: Freshdesk's refusal then names the field, and so
/// the contact or the agent it stood for, which is the right verdict on an id that came from somewhere else.
fn id_value(id: &str) -> Value {
    id.parse::<u64>().map_or_else(|_| Value::from(id), Value::from)
}
