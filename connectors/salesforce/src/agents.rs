//! Those who answer: the org's active users, listed so that a call's task is given to the one who took it.

use patchbay_kit::{Agent, Agents, Cursor, Exchange, Owner, Owners, Page, PhoneNumber, RecordRef, Request, Step};
use serde::Deserialize;

use crate::{Salesforce, contacts, query, settings::Org};

/// "Object Reference, User" \[V\]
#[derive(Deserialize)]
struct Shown {
    #[serde(rename = "Id")]
    id: String,
    #[serde(rename = "Name")]
    name: Option<String>,
    #[serde(rename = "Email")]
    email: Option<String>,
    #[serde(rename = "Phone")]
    phone: Option<String>,
    #[serde(rename = "MobilePhone")]
    mobile: Option<String>,
    #[serde(rename = "IsActive", default)]
    active: bool,
}

impl Shown {
    /// The mobile first: it is with him.
    fn numbers(&self) -> Vec<String> {
        [&self.mobile, &self.phone].into_iter().flatten().filter(|number| !number.is_empty()).cloned().collect()
    }
}

/// Who owns something: a user, or a queue, whom nobody can dial. By the id's beginning ("Object Key Prefixes" \[3P\]).
pub(crate) fn owner(id: &str) -> RecordRef {
    let kind = if id.starts_with("00G") { "queue" } else { "agent" };
    RecordRef::new(kind, id)
}

impl Agents for Salesforce {
    /// People only: automated users and visitors of sites have another type ("Object Reference, User: UserType" \[V\]).
    fn list(&self, from: Option<&Cursor>) -> Exchange<Page<Agent>> {
        let request = match from {
            Some(cursor) => Request::get("agent.list", self.org.path(["query", &cursor.0])),
            None => self.org.query(
                "agent.list",
                "SELECT Id, Name, Email, Phone, MobilePhone, IsActive FROM User \
                 WHERE IsActive = true AND UserType = 'Standard' ORDER BY Id",
            ),
        };
        request.done(|reply| {
            let found: query::Records<Shown> = reply.json()?;
            let agent = |shown: Shown| Agent {
                at: RecordRef::new("agent", &shown.id),
                numbers: shown.numbers(),
                name: shown.name.unwrap_or_default(),
                email: shown.email.filter(|email| !email.is_empty()),
                active: shown.active,
            };
            // `/services/data/v62.0/query/01g…-2000`: only its end is of use, whatever host it stands on.
            let next = found.next.as_deref().and_then(|url| url.rsplit('/').next()).map(|last| Cursor(last.to_owned()));
            Ok(Page { items: found.records.into_iter().map(agent).collect(), next })
        })
    }
}

impl Owners for Salesforce {
    /// Two requests at most: who it is, and how his owner is reached. A queue is nobody.
    fn of(&self, number: &PhoneNumber) -> Exchange<Option<Owner>> {
        let writings: Vec<String> = crate::MANIFEST.phone.iter().map(|writing| number.render(*writing)).collect();
        let (org, number) = (std::sync::Arc::clone(&self.org), number.clone());
        self.org.people("owner.find", &writings).then(move |reply| {
            let found = contacts::people(reply, &org)?;
            let first = found.into_iter().find(|one| one.numbers.iter().any(|stored| number.matches(stored)));
            match first.and_then(|contact| contact.owner).filter(|owner| owner.kind == "agent") {
                Some(owner) => Ok(Step::Then(reached(&org, owner))),
                None => Ok(Step::Done(None)),
            }
        })
    }
}

fn reached(org: &Org, owner: RecordRef) -> Exchange<Option<Owner>> {
    let soql = format!(
        "SELECT Id, Name, Phone, MobilePhone, IsActive FROM User WHERE Id = {} AND IsActive = true",
        query::literal(&owner.id)
    );
    org.query("owner.show", &soql).done(move |reply| {
        let found: query::Records<Shown> = reply.json()?;
        Ok(found.records.first().map(|user| Owner { at: Some(owner.clone()), numbers: user.numbers() }))
    })
}
