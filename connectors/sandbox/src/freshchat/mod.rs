//! A strict Freshchat (API v2): it keeps users, agents, conversations and their messages, and refuses what Freshchat
//! refuses.
//!
//! Facts are from `crm-api.md` §3 (a to g) unless a comment names another source; `[M]` marks, as there, what rests on
//! memory. Freshchat's documentation leaves more open than others do, so what is uncertain is a [`Settings`] field, and
//! a connector has to get along with each of its values. What is not played here (images, reply buttons, reports,
//! outbound messages) is refused as unknown: better a refusal in a test than a silent yes.

mod conversations;
mod crm;
mod messages;
mod model;
mod page;
mod refusal;
mod token;
mod users;

use std::{collections::BTreeMap, time::Duration};

use http::{Method, StatusCode, header};
use jiff::Timestamp;
use serde_json::json;

pub use self::{
    model::{Agent, Conversation, Message, User},
    token::token,
};
use self::{
    page::Page,
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request, Sandbox, window::Window};

/// The one channel of a new account.
pub const CHANNEL: &str = "c4a77e10-0000-4000-8000-000000000001";

/// What `POST /users` makes of a `reference_id` that another user has; §3.f only says that it is unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicate {
    /// 409.
    Refused,
    /// That user is the answer.
    Yielded,
    /// Nobody looks: there are two of them.
    Made,
}

/// What one Freshchat account differs in from another, and what is not known of any.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long `GET /users?phone_no=` does not know of a new user. No source says that it lags.
    pub filter_lag: Duration,
    /// Nobody found is a 404, not an empty list.
    pub nobody_is_404: bool,
    pub duplicate: Duplicate,
    /// `GET /users/{id}/conversations` shows status and times beside the ids (seen in public code, §3.d shows ids only).
    pub lists_details: bool,
    /// A new conversation is shown with its messages, and so with their ids.
    pub shows_messages: bool,
    /// Messages come newest first (public code reads them so), else oldest first.
    pub newest_first: bool,
    /// The next page of messages is named by a `link` with a `from_time` (public code), else by its number.
    pub links_messages: bool,
    /// A conversation may begin with a private message.
    pub begins_private: bool,
    /// A private message can be added to a resolved conversation.
    pub resolved_takes_messages: bool,
    /// Error bodies in the older form, `{"error","detail","code","more_info"}` (§3.b).
    pub older_errors: bool,
    /// What creating answers: 200, 201 or 202.
    pub created: StatusCode,
    /// Requests per minute; numbers are not documented (§3.b).
    pub per_minute: Option<u32>,
    /// A 429 says when to come again.
    pub says_retry_after: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            filter_lag: Duration::ZERO,
            nobody_is_404: false,
            duplicate: Duplicate::Refused,
            lists_details: false,
            shows_messages: true,
            newest_first: true,
            links_messages: true,
            begins_private: true,
            resolved_takes_messages: true,
            older_errors: false,
            created: StatusCode::OK,
            per_minute: None,
            says_retry_after: true,
        }
    }
}

/// One Freshchat account with one API token.
#[derive(Clone, Debug)]
pub struct Freshchat {
    /// Open to tests and the demo, also between two requests.
    pub settings: Settings,
    token: String,
    revoked: bool,
    window: Window,
    agents: BTreeMap<String, Agent>,
    channels: BTreeMap<String, String>,
    users: BTreeMap<String, User>,
    conversations: BTreeMap<String, Conversation>,
    /// How many ids were given out, of whatever kind.
    count: u64,
    /// When the last message was written: no two have the same time.
    last_message: Timestamp,
}

impl Freshchat {
    /// An account with one channel ([`CHANNEL`], "Phone") and one agent, "Account Admin". A token that is a JWT is
    /// refused once its `exp` is over (§3.a); [`token()`] makes one.
    pub fn new(token: impl Into<String>) -> Self {
        let mut account = Self {
            settings: Settings::default(),
            token: token.into(),
            revoked: false,
            window: Window::default(),
            agents: BTreeMap::new(),
            channels: BTreeMap::from([(CHANNEL.to_owned(), "Phone".to_owned())]),
            users: BTreeMap::new(),
            conversations: BTreeMap::new(),
            count: 0,
            last_message: Timestamp::MIN,
        };
        account.hire("Account Admin", "admin@example.com");
        account
    }

    /// Gives the account another token, as an administrator does who generates one.
    pub fn set_token(&mut self, token: impl Into<String>) {
        self.token = token.into();
        self.revoked = false;
    }

    /// Every request is 401 until [`Freshchat::set_token`].
    pub fn revoke_token(&mut self) {
        self.revoked = true;
    }

    /// Adds an active agent; yields the id.
    pub fn hire(&mut self, name: &str, email: &str) -> String {
        let id = self.next_id("a9e17000");
        self.agents.insert(id.clone(), Agent::new(&id, name, email));
        id
    }

    /// Alters an agent.
    pub fn change_agent(&mut self, id: &str, change: impl FnOnce(&mut Agent)) {
        if let Some(agent) = self.agents.get_mut(id) {
            change(agent);
        }
    }

    /// Takes an agent out of service: still listed, as `is_deactivated`, and nothing can be assigned to them.
    pub fn deactivate_agent(&mut self, id: &str) {
        self.change_agent(id, |agent| agent.is_deactivated = true);
    }

    /// Adds a channel; yields the id.
    pub fn add_channel(&mut self, name: &str) -> String {
        let id = self.next_id("c4a77e10");
        self.channels.insert(id.clone(), name.to_owned());
        id
    }

    /// All agents by id, deactivated ones too.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values()
    }

    /// All users, oldest first.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// All conversations, oldest first.
    pub fn conversations(&self) -> impl DoubleEndedIterator<Item = &Conversation> {
        self.conversations.values()
    }

    /// All messages that came through the API, oldest first within each conversation.
    pub fn messages(&self) -> impl Iterator<Item = (&Conversation, &Message)> {
        self.conversations
            .values()
            .flat_map(|one| one.messages.iter().map(move |message| (one, message)))
            .filter(|(_, message)| message.by_api)
    }

    /// What the customers were sent, which should be nothing: a call is none of their chat.
    pub fn told_customers(&self) -> Vec<&Message> {
        self.messages().map(|(_, message)| message).filter(|message| !message.is_private()).collect()
    }

    /// An id in the form of theirs; the first part tells the kinds apart, the last one grows.
    fn next_id(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}-0000-4000-8000-{:012x}", self.count)
    }

    fn active_agent(&self, id: &str) -> Result<&Agent, Refusal> {
        self.agents.get(id).filter(|agent| !agent.is_deactivated).ok_or(Refusal::missing("agent"))
    }

    fn configuration(&self) -> Answer {
        let shown =
            json!({"account_id": 105_337, "organisation_id": 441_802, "app_id": "f0e1d2c3-acme", "bundle_id": 77});
        Ok(Reply::json(StatusCode::OK, &shown))
    }

    fn list_agents(&self, request: &Request) -> Answer {
        let page = Page::of(request, &["sort_by", "sort_order", "email", "is_deactivated", "groups"])?;
        let email = request.param("email");
        let listed =
            self.agents.values().filter(|agent| email.is_none_or(|email| agent.email.eq_ignore_ascii_case(email)));
        Ok(page.cut("agents", request, listed))
    }

    fn show_agent(&self, id: &str) -> Answer {
        self.agents.get(id).map(|agent| Reply::json(StatusCode::OK, agent)).ok_or(Refusal::missing("agent"))
    }

    fn list_channels(&self, request: &Request) -> Answer {
        let page = Page::of(request, &["sort_by", "sort_order", "locale"])?;
        let listed =
            self.channels.iter().map(|(id, name)| json!({"id": id, "name": name, "enabled": true, "public": true}));
        Ok(page.cut("channels", request, listed))
    }

    fn route(&mut self, request: &Request, now: Timestamp) -> Answer {
        let segments = request.segments();
        let ["v2", rest @ ..] = segments.as_slice() else {
            return Err(Refusal::no_route());
        };
        if rest.contains(&"") {
            return Err(Refusal::no_route());
        }
        match (&request.method, rest) {
            (&Method::GET, ["accounts", "configuration"]) => self.configuration(),
            (&Method::GET, ["agents"]) => self.list_agents(request),
            (&Method::GET, ["agents", id]) => self.show_agent(id),
            (&Method::GET, ["channels"]) => self.list_channels(request),
            (&Method::GET, ["users"]) => self.filter_users(request, now),
            (&Method::POST, ["users"]) => self.create_user(request, now),
            (&Method::GET, ["users", id]) => self.show_user(id),
            (&Method::PUT, ["users", id]) => self.update_user(id, request, now),
            (&Method::GET, ["users", id, "conversations"]) => self.list_conversations(id, request),
            (&Method::POST, ["conversations"]) => self.create_conversation(request, now),
            (&Method::GET, ["conversations", id]) => self.show_conversation(id),
            (&Method::PUT, ["conversations", id]) => self.update_conversation(id, request, now),
            (&Method::GET, ["conversations", id, "messages"]) => self.list_messages(id, request),
            (&Method::POST, ["conversations", id, "messages"]) => self.create_message(id, request, now),
            (_, ["accounts", "configuration"] | ["agents" | "channels" | "users" | "conversations"])
            | (_, ["agents" | "users" | "conversations", _])
            | (_, ["users", _, "conversations"] | ["conversations", _, "messages"]) => Err(Refusal::method()),
            _ => Err(Refusal::no_route()),
        }
    }

    fn authorised(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        let given = request.bearer("Bearer");
        if self.revoked || given != Some(self.token.as_str()) {
            return Err(Refusal::credentials("Invalid API token"));
        }
        if token::expiry(&self.token).is_some_and(|at| at <= now) {
            return Err(Refusal::credentials("The API token has expired"));
        }
        Ok(())
    }
}

impl Sandbox for Freshchat {
    fn handle(&mut self, request: &Request, now: Timestamp) -> Reply {
        if let Some(limit) = self.settings.per_minute {
            if self.window.left(limit, now) == 0 {
                let wait = self.settings.says_retry_after.then(|| self.window.retry_after_s(now));
                return self.refuse(request, StatusCode::TOO_MANY_REQUESTS, wait);
            }
            self.window.book(1);
        }
        let answer = self.authorised(request, now).and_then(|()| self.route(request, now));
        answer.unwrap_or_else(|refusal| refusal.into_reply(self.settings.older_errors))
    }

    fn refuse(&self, _request: &Request, status: StatusCode, retry_after_s: Option<u64>) -> Reply {
        let reply = Refusal::of_status(status).into_reply(self.settings.older_errors);
        match retry_after_s {
            Some(seconds) => reply.with(header::RETRY_AFTER, seconds.to_string()),
            None => reply,
        }
    }
}
