//! Conversations with customers (`crm-api.md` §3.d): begun with a message, assigned, resolved.

use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Freshchat,
    messages::Given as GivenMessage,
    model::{Conversation, text},
    page::{Page, body, created},
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request};

/// What a conversation can be.
const STATUSES: &[&str] =
    &["new", "assigned", "resolved", "reopened", "waiting on customer", "waiting on internal team"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenUser {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Begun {
    channel_id: String,
    status: Option<String>,
    assigned_agent_id: Option<String>,
    messages: Vec<GivenMessage>,
    users: Vec<GivenUser>,
    properties: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changed {
    status: Option<String>,
    assigned_agent_id: Option<String>,
    properties: Option<Map<String, Value>>,
}

impl Freshchat {
    /// Resolves a conversation, as an agent does in the inbox.
    pub fn resolve(&mut self, id: &str) {
        self.change_conversation(id, |one| "resolved".clone_into(&mut one.status));
    }

    /// Alters a conversation. Nothing is checked.
    pub fn change_conversation(&mut self, id: &str, change: impl FnOnce(&mut Conversation)) {
        if let Some(one) = self.conversations.get_mut(id) {
            change(one);
        }
    }

    /// Takes a conversation away; the API has no such operation, an account's clean-up does it.
    pub fn delete_conversation(&mut self, id: &str) {
        self.conversations.remove(id);
    }

    fn status(&self, given: Option<String>, agent: Option<&String>) -> Result<Option<String>, Refusal> {
        let Some(status) = given else { return Ok(None) };
        if !STATUSES.contains(&status.as_str()) {
            return Err(Refusal::invalid(format!("status {status} is none of {}", STATUSES.join(", "))));
        }
        if status == "assigned" && agent.is_none() {
            return Err(Refusal::invalid("an assigned conversation needs assigned_agent_id"));
        }
        Ok(Some(status))
    }

    pub(super) fn create_conversation(&mut self, request: &Request, now: Timestamp) -> Answer {
        let Begun { channel_id, status, assigned_agent_id, messages, users, properties } = body(request)?;
        if !self.channels.contains_key(&channel_id) {
            return Err(Refusal::missing("channel"));
        }
        let [GivenUser { id: user_id }] = users.as_slice() else {
            return Err(Refusal::invalid("users must name one user"));
        };
        if !self.users.contains_key(user_id) {
            return Err(Refusal::missing("user"));
        }
        if let Some(agent) = &assigned_agent_id {
            self.active_agent(agent)?;
        }
        let status = self.status(status, assigned_agent_id.as_ref())?;
        if messages.is_empty() {
            return Err(Refusal::invalid("messages must not be empty"));
        }
        for message in &messages {
            self.check_message(message, user_id)?;
            if message.channel_id.as_ref().is_some_and(|channel| *channel != channel_id) {
                return Err(Refusal::invalid("a message's channel_id is not the conversation's"));
            }
            if !self.settings.begins_private && message.is_private() {
                return Err(Refusal::invalid("a conversation cannot begin with a private message"));
            }
        }
        let assigned = if assigned_agent_id.is_some() { "assigned" } else { "new" };
        let id = self.next_id("c0477e25");
        let mut one = Conversation {
            id: id.clone(),
            user_id: user_id.clone(),
            channel_id,
            status: status.unwrap_or_else(|| assigned.to_owned()),
            assigned_agent_id,
            properties: properties.unwrap_or_default(),
            created_time: now,
            updated_time: now,
            messages: Vec::new(),
        };
        for message in messages {
            one.messages.push(self.take(message, now));
        }
        let mut shown = one.shown();
        if self.settings.shows_messages {
            shown["messages"] = one.messages.iter().map(|message| message.shown(&one)).collect();
        }
        self.conversations.insert(id, one);
        created(self.settings.created, &shown)
    }

    pub(super) fn list_conversations(&self, user: &str, request: &Request) -> Answer {
        let page = Page::of(request, &[])?;
        if !self.users.contains_key(user) {
            return Err(Refusal::missing("user"));
        }
        let listed = self.conversations.values().filter(|one| one.user_id == user).map(|one| {
            if self.settings.lists_details {
                json!({"id": one.id, "status": one.status, "channel_id": one.channel_id,
                    "created_time": text(one.created_time)})
            } else {
                json!({"id": one.id, "link": {"rel": "conversation", "href": format!("/v2/conversations/{}", one.id),
                    "method": "GET"}})
            }
        });
        Ok(page.cut("conversations", request, listed))
    }

    pub(super) fn conversation(&self, id: &str) -> Result<&Conversation, Refusal> {
        self.conversations.get(id).ok_or(Refusal::missing("conversation"))
    }

    pub(super) fn show_conversation(&self, id: &str) -> Answer {
        self.conversation(id).map(|one| Reply::json(StatusCode::OK, &one.shown()))
    }

    pub(super) fn update_conversation(&mut self, id: &str, request: &Request, now: Timestamp) -> Answer {
        let held = self.conversation(id)?.assigned_agent_id.clone();
        let Changed { status, assigned_agent_id, properties } = body(request)?;
        if let Some(agent) = &assigned_agent_id {
            self.active_agent(agent)?;
        }
        let agent = assigned_agent_id.or(held);
        let Some(status) = self.status(status, agent.as_ref())? else {
            // Public code always sends it along.
            return Err(Refusal::invalid("status is missing"));
        };
        self.change_conversation(id, |one| {
            one.status = status;
            one.assigned_agent_id = agent;
            one.properties.extend(properties.unwrap_or_default());
            one.updated_time = now;
        });
        self.show_conversation(id)
    }
}
