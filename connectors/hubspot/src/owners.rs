//! Those who answer: HubSpot's owners, listed so that a call is given to the one who took it. Records are given to owner
//! ids; a user's id is another number.

use patchbay_kit::{Agent, Agents, Contact, Cursor, Exchange, Owner, Owners, Page, PhoneNumber, RecordRef, Request};
use serde::Deserialize;

use crate::{HubSpot, MANIFEST, contacts};

/// Owners on one page; up to 500 are given ("Owners API" \[S\]).
const PER_PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    id: String,
    pub(crate) user_id: Option<u64>,
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    /// `PERSON` or `QUEUE`; nobody can be dialled at a queue.
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    archived: bool,
}

#[derive(Deserialize)]
struct Listed {
    results: Vec<Shown>,
    #[serde(default)]
    paging: Option<Paging>,
}

#[derive(Deserialize)]
struct Paging {
    next: Option<Next>,
}

#[derive(Deserialize)]
struct Next {
    after: String,
}

impl From<Shown> for Agent {
    fn from(shown: Shown) -> Self {
        let email = shown.email.filter(|email| !email.is_empty());
        let name = [shown.first_name, shown.last_name].map(Option::unwrap_or_default).join(" ");
        let name = Some(name.trim().to_owned()).filter(|name| !name.is_empty()).or_else(|| email.clone());
        Self {
            name: name.unwrap_or_else(|| format!("owner {}", shown.id)),
            at: RecordRef::new("agent", shown.id),
            email,
            // Owners are shown without numbers.
            numbers: Vec::new(),
            active: !shown.archived,
        }
    }
}

impl Agents for HubSpot {
    /// "Owners API: Retrieve a list of owners" \[V\]; archived ones are a list of their own.
    fn list(&self, from: Option<&Cursor>) -> Exchange<Page<Agent>> {
        let mut request = Request::get("owner.list", ["crm", "v3", "owners"]).query("limit", PER_PAGE);
        if let Some(Cursor(after)) = from {
            request = request.query("after", after);
        }
        request.done(|reply| {
            let listed: Listed = reply.json()?;
            let people = listed.results.into_iter().filter(|one| one.kind.as_deref() != Some("QUEUE"));
            let next = listed.paging.and_then(|paging| paging.next).map(|next| Cursor(next.after));
            Ok(Page { items: people.map(Agent::from).collect(), next })
        })
    }
}

impl Owners for HubSpot {
    /// One search: the contact's owner as the index has him. A caller is waiting, so nothing is confirmed.
    fn of(&self, number: &PhoneNumber) -> Exchange<Option<Owner>> {
        let writings: Vec<String> = MANIFEST.phone.iter().map(|rendering| number.render(*rendering)).collect();
        let number = number.clone();
        contacts::search("owner.search", &writings).done(move |reply| {
            let his = |one: &Contact| one.numbers.iter().any(|stored| number.matches(stored));
            let latest = contacts::hits(reply)?.into_iter().filter(his).max_by_key(|one| one.updated_at);
            Ok(latest.and_then(|one| one.owner).map(|at| Owner { at: Some(at), numbers: Vec::new() }))
        })
    }
}
