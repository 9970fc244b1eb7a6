//! Those who answer: Freshsales' users, whom it calls owners, listed so that a call log is given to the one who took
//! it.

use patchbay_kit::{Agent, Agents, Cursor, Exchange, Failure, Page, RecordRef, Request, Response};
use serde_json::Value;

use crate::{Freshsales, id_in, unreadable};

impl Freshsales {
    /// "Freshsales API, Selectors: owners" \[V\]: all of them at once.
    pub(crate) fn owner_list(&self) -> Request {
        Request::get("owner.list", self.path(["selector", "owners"]))
    }
}

pub(crate) fn users(reply: &Response) -> Result<Vec<Value>, Failure> {
    let body: Value = reply.json()?;
    body.get("users").and_then(Value::as_array).cloned().ok_or_else(|| unreadable("list of users"))
}

/// His numbers, the one he carries with him first.
pub(crate) fn numbers(user: &Value) -> Vec<String> {
    ["mobile_number", "work_number"]
        .into_iter()
        .filter_map(|field| user.get(field)?.as_str().filter(|number| !number.is_empty()).map(str::to_owned))
        .collect()
}

fn agent(user: &Value) -> Option<Agent> {
    let text = |key: &str| user.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    Some(Agent {
        at: RecordRef::new("agent", id_in(user.get("id"))?),
        name: text("display_name").unwrap_or_default(),
        email: text("email"),
        numbers: numbers(user),
        // Who is listed is in service unless something says otherwise.
        active: user.get("is_active").and_then(Value::as_bool).unwrap_or(true),
    })
}

impl Agents for Freshsales {
    fn list(&self, _: Option<&Cursor>) -> Exchange<Page<Agent>> {
        self.owner_list().done(|reply| Ok(Page { items: users(reply)?.iter().filter_map(agent).collect(), next: None }))
    }
}
