//! Those who answer: the users of the organisation, listed so that a call is given to the one who took it.

use patchbay_kit::{Agent, Agents, Cursor, Exchange, Page, RecordRef, Request, StatusCode};
use serde::Deserialize;

use crate::{ZohoCrm, errors, path};

/// Users on one page, the most Zoho gives ("Get Users", v8 \[V\]).
const PER_PAGE: usize = 200;

#[derive(Deserialize)]
pub(crate) struct Shown {
    id: String,
    full_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    mobile: Option<String>,
    status: Option<String>,
    /// His id in all of Zoho, by which PhoneBridge knows him \[M\].
    pub(crate) zuid: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Users {
    pub(crate) users: Vec<Shown>,
    #[serde(default)]
    info: Info,
}

#[derive(Default, Deserialize)]
struct Info {
    #[serde(default)]
    more_records: bool,
}

impl Shown {
    pub(crate) fn named(&self) -> String {
        let name = self.full_name.as_deref().or(self.last_name.as_deref()).unwrap_or_default();
        match self.email.as_deref() {
            Some(email) if name.is_empty() => email.to_owned(),
            Some(email) => format!("{name} <{email}>"),
            None => name.to_owned(),
        }
    }
}

impl From<Shown> for Agent {
    fn from(shown: Shown) -> Self {
        let full = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Self {
            at: RecordRef::new("agent", &shown.id),
            name: full(&shown.full_name).or(full(&shown.last_name)).or(full(&shown.email)).unwrap_or_default(),
            email: full(&shown.email),
            numbers: [&shown.mobile, &shown.phone].into_iter().filter_map(full).collect(),
            active: shown.status.as_deref().is_none_or(|status| status == "active"),
        }
    }
}

/// A user by his id. "Get Users", v8 \[V\]
pub(crate) fn user(id: &str) -> Request {
    Request::get("user.show", path(["users", id]))
}

impl Agents for ZohoCrm {
    /// "Get Users", v8 \[V\]
    fn list(&self, from: Option<&Cursor>) -> Exchange<Page<Agent>> {
        let number: usize = from.and_then(|cursor| cursor.0.parse().ok()).unwrap_or(1);
        Request::get("user.list", path(["users"]))
            .query("type", "ActiveUsers")
            .query("per_page", PER_PAGE)
            .query("page", number)
            .done(move |reply| {
                if reply.status == StatusCode::NO_CONTENT {
                    return Ok(Page { items: Vec::new(), next: None });
                }
                if let Some(refusal) = errors::Refusal::in_reply(reply) {
                    return Err(refusal.failure(errors::On::Call));
                }
                let page: Users = reply.json()?;
                let next = page.info.more_records.then(|| Cursor((number + 1).to_string()));
                Ok(Page { items: page.users.into_iter().map(Agent::from).collect(), next })
            })
    }
}
