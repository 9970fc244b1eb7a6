//! Freshsales (Freshworks CRM) as Patchbay speaks to it: a call is a call log whose note holds the text, its recording
//! one more note on the contact.
//!
//! Facts carry their source: `[V]` is Freshworks' own documentation ("Freshsales API", then the section), `[C]` code that
//! others run against it, `[M]` memory that no account has confirmed yet. What is unproven is listed in the README.

mod agents;
mod calls;
mod contacts;
mod errors;
mod listed;
mod manifest;
mod notes;
mod settings;
mod text;

use std::sync::Arc;

use patchbay_kit::{
    Activities, Agents, Allowance, Connector, Contacts, Exchange, Failure, FollowUps, Identity, Kind, Manifest, Notes,
    OpenTickets, Owners, Popups, RecordRef, Response, Retry, Settings, Updates,
};
use serde_json::Value;

pub use manifest::MANIFEST;

use settings::Config;

/// One integration with one Freshsales account.
#[derive(Debug)]
struct Freshsales {
    config: Config,
}

/// Makes the connector. Whatever of the settings [`problems`] objects to is left out.
pub fn build(settings: &Settings) -> Arc<dyn Connector> {
    Arc::new(Freshsales { config: Config::of(settings) })
}

/// What is wrong with the settings, one line for each: the key and what would be right.
pub fn problems(settings: &Settings) -> Vec<String> {
    settings::problems(settings)
}

impl Freshsales {
    /// Where the API is: "Freshsales API, Authentication" \[V\], and `/api` for the classic product
    /// ("freshsales.io/api" \[V\]).
    fn path<const N: usize>(&self, rest: [&str; N]) -> Vec<String> {
        let base: &[&str] = if self.config.classic { &["api"] } else { &["crm", "sales", "api"] };
        base.iter().copied().chain(rest).map(str::to_owned).collect()
    }

    /// A failure that needs no request. The contract has no exchange without one, so this is the cheapest there is.
    fn failing<T>(&self, failure: Failure) -> Exchange<T> {
        self.owner_list().done(move |_| Err(failure.clone()))
    }
}

impl Connector for Freshsales {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    /// Nothing documented says whose key it is; the list of owners needs a good one, and is needed anyway.
    fn identify(&self) -> Exchange<Identity> {
        self.owner_list().done(|reply| {
            let count = agents::users(reply)?.len();
            Ok(Identity { account: format!("a Freshsales account with {count} users") })
        })
    }

    fn classify(&self, reply: &Response) -> Failure {
        errors::classify(reply)
    }

    /// Not documented for Freshsales; these are the names other Freshworks products use.
    fn allowance(&self, reply: &Response) -> Option<Allowance> {
        let limit = reply.number("x-ratelimit-total").or_else(|| reply.number("x-ratelimit-limit"));
        Allowance::told(limit, reply.number("x-ratelimit-remaining"))
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

    /// None: a call is shown by an app inside the browser, which is Patchbay's widget.
    fn popups(&self) -> Option<&dyn Popups> {
        None
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }

    /// None: it has deals and tasks, which are no requests of the caller's.
    fn open_tickets(&self) -> Option<&dyn OpenTickets> {
        None
    }

    /// None: the missed call's log is what Exotel's own connector leaves.
    fn follow_ups(&self) -> Option<&dyn FollowUps> {
        None
    }
}

/// Somebody a call log can belong to, in the three ways Freshsales writes what he is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Person {
    /// In lookups and call logs.
    lower: &'static str,
    /// In paths and lists.
    plural: &'static str,
    /// In notes.
    pascal: &'static str,
}

impl Person {
    const CONTACT: Self = Self { lower: "contact", plural: "contacts", pascal: "Contact" };
    /// Of the classic product.
    const LEAD: Self = Self { lower: "lead", plural: "leads", pascal: "Lead" };

    fn of(at: &RecordRef) -> Self {
        if at.kind == Self::LEAD.lower { Self::LEAD } else { Self::CONTACT }
    }
}

/// An id, which Freshsales gives as a number, and some lists as text \[C\].
fn id_in(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Number(id) => Some(id.to_string()),
        Value::String(id) if is_id(id) => Some(id.clone()),
        _ => None,
    }
}

/// Whether it can be the id of a record.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
}

/// An id as Freshsales wants it. What is no number stays a string, which it refuses.
fn id_value(id: &str) -> Value {
    id.parse::<u64>().map_or_else(|_| Value::from(id), Value::from)
}

/// A success without what it must hold. Worth a retry: more often than not a proxy said it.
fn unreadable(what: &str) -> Failure {
    Failure::new(Kind::Malformed, Retry::Backoff).because(format!("Freshsales' reply has no {what}"))
}
