//! Messages (`crm-api.md` §3.d): written once and never edited, there is no operation for it. `normal` ones go to the
//! customer, and so does a message that does not say what it is.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;

use super::{
    Freshchat,
    model::{Message, text},
    page::{Page, body, created},
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request};

/// The longest text of one part. Not documented; taken low `[M]`.
const TEXT_CHARS_MAX: usize = 5000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    content: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    text: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    message_parts: Vec<Part>,
    message_type: Option<String>,
    actor_type: String,
    actor_id: Option<String>,
    pub(super) channel_id: Option<String>,
}

impl Given {
    fn kind(&self) -> &str {
        self.message_type.as_deref().unwrap_or("normal")
    }

    pub(super) fn is_private(&self) -> bool {
        self.kind() == "private"
    }
}

impl Freshchat {
    /// Adds a message that a human wrote: to the customer, or a private one.
    pub fn say(&mut self, conversation: &str, text: &str, message_type: &str, now: Timestamp) {
        let mut message = self.message(vec![text.to_owned()], message_type, now);
        message.by_api = false;
        self.change_conversation(conversation, |one| one.messages.push(message));
    }

    fn message(&mut self, parts: Vec<String>, message_type: &str, now: Timestamp) -> Message {
        let next = self.last_message.saturating_add(SignedDuration::from_millis(1)).unwrap_or(now);
        self.last_message = now.max(next);
        Message {
            id: self.next_id("3e55a9e0"),
            parts,
            message_type: message_type.to_owned(),
            actor_type: "agent".to_owned(),
            actor_id: None,
            created_time: self.last_message,
            by_api: true,
        }
    }

    /// Makes the message of what was checked before.
    pub(super) fn take(&mut self, given: Given, now: Timestamp) -> Message {
        let kind = given.kind().to_owned();
        let parts = given.message_parts.into_iter().map(|part| part.text.content).collect();
        let mut message = self.message(parts, &kind, now);
        message.actor_type = given.actor_type;
        message.actor_id = given.actor_id;
        message
    }

    pub(super) fn check_message(&self, given: &Given, user: &str) -> Result<(), Refusal> {
        if given.message_parts.is_empty() {
            return Err(Refusal::invalid("message_parts must not be empty"));
        }
        for Part { text } in &given.message_parts {
            if text.content.trim().is_empty() {
                return Err(Refusal::invalid("a text must not be empty"));
            }
            if text.content.chars().count() > TEXT_CHARS_MAX {
                return Err(Refusal::invalid(format!("a text has more than {TEXT_CHARS_MAX} characters")));
            }
        }
        if !["normal", "private"].contains(&given.kind()) {
            return Err(Refusal::invalid("message_type must be normal or private"));
        }
        match (given.actor_type.as_str(), given.actor_id.as_deref()) {
            ("agent", Some(agent)) => self.active_agent(agent).map(|_| ()),
            ("user", Some(_)) if given.is_private() => Err(Refusal::invalid("a user writes no private messages")),
            ("user", Some(id)) if id == user => Ok(()),
            ("user", Some(_)) => Err(Refusal::missing("user")),
            ("agent" | "user", None) => Err(Refusal::invalid("actor_id is missing")),
            _ => Err(Refusal::invalid("actor_type must be agent or user")),
        }
    }

    pub(super) fn create_message(&mut self, conversation: &str, request: &Request, now: Timestamp) -> Answer {
        let one = self.conversation(conversation)?;
        let (user, resolved) = (one.user_id.clone(), one.status == "resolved");
        let given: Given = body(request)?;
        self.check_message(&given, &user)?;
        if resolved && !self.settings.resolved_takes_messages {
            return Err(Refusal::invalid("the conversation is resolved"));
        }
        let message = self.take(given, now);
        // What the customer is to answer opens the conversation again, a remark among agents does not [M].
        let opens = resolved && !message.is_private();
        let shown = message.shown(self.conversation(conversation)?);
        self.change_conversation(conversation, |one| {
            one.messages.push(message);
            one.updated_time = now;
            if opens {
                "reopened".clone_into(&mut one.status);
            }
        });
        created(self.settings.created, &shown)
    }

    pub(super) fn list_messages(&self, conversation: &str, request: &Request) -> Answer {
        let one = self.conversation(conversation)?;
        let page = Page::of(request, &["from_time"])?;
        let from = match request.param("from_time").map(str::parse::<Timestamp>) {
            None => None,
            Some(Ok(at)) => Some(at),
            Some(Err(_)) => return Err(Refusal::invalid("from_time is not a time")),
        };
        let newest_first = self.settings.newest_first;
        let mut all: Vec<&Message> = one.messages.iter().collect();
        if newest_first {
            all.reverse();
        }
        // It names the message to begin with, whichever way they run.
        let begun = all.into_iter().skip_while(|message| {
            from.is_some_and(
                |from| if newest_first { message.created_time > from } else { message.created_time < from },
            )
        });
        let mut rest: Vec<&Message> = begun.collect();
        let (shown, more) = page.part(rest.drain(..));
        let mut reply = json!({"messages": shown.iter().map(|message| message.shown(one)).collect::<Vec<_>>()});
        if more && self.settings.links_messages {
            let next = self.next_of(one, shown.last().map(|message| message.id.as_str()), newest_first);
            let href = format!(
                "/v2/conversations/{conversation}/messages?page=1&items_per_page={}&from_time={}",
                page.per_page,
                next.map(|message| text(message.created_time)).unwrap_or_default()
            );
            reply["link"] = json!({"rel": "messages", "href": href, "method": "GET"});
        }
        Ok(Reply::json(StatusCode::OK, &reply))
    }

    fn next_of<'a>(&self, one: &'a super::Conversation, last: Option<&str>, newest_first: bool) -> Option<&'a Message> {
        let at = one.messages.iter().position(|message| Some(message.id.as_str()) == last)?;
        if newest_first { one.messages.get(at.checked_sub(1)?) } else { one.messages.get(at + 1) }
    }
}
