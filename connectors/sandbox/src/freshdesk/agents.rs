//! Agents: read-only here, as the connector only reads them (`crm-api.md` §1.e).

use http::StatusCode;

use super::{
    Freshdesk,
    page::Page,
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request};

impl Freshdesk {
    pub(super) fn show_agent(&self, id: u64) -> Answer {
        match self.agents.get(&id).filter(|agent| agent.active) {
            Some(agent) => Ok(Reply::json(StatusCode::OK, agent)),
            None => Err(Refusal::NotFound),
        }
    }

    pub(super) fn list_agents(&self, request: &Request) -> Answer {
        let page = Page::of(request, &["email", "mobile", "phone", "state"])?;
        let occasional = match request.param("state") {
            None => None,
            Some("fulltime") => Some(false),
            Some("occasional") => Some(true),
            Some(_) => {
                let message = "It should be one of these values: 'fulltime,occasional'";
                return Err(Refusal::field("state", "invalid_value", message));
            }
        };
        let is = |filter: &str, value: Option<&str>| request.param(filter).is_none_or(|wanted| value == Some(wanted));
        let listed = self.agents.values().filter(|agent| {
            agent.active
                && occasional.is_none_or(|wanted| agent.occasional == wanted)
                && request.param("email").is_none_or(|wanted| agent.email.eq_ignore_ascii_case(wanted))
                && is("mobile", agent.mobile.as_deref())
                && is("phone", agent.phone.as_deref())
        });
        Ok(page.cut(request, listed))
    }

    /// Whether a ticket can be given to them.
    pub(super) fn is_active_agent(&self, id: u64) -> bool {
        self.agents.get(&id).is_some_and(|agent| agent.active)
    }
}
