//! The strict Freshchat, asked without a socket: what it does, and for each operation what it must refuse.

mod conversations;
mod users;

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use patchbay_sandbox::{
    Crm as _, Request, Sandbox,
    freshchat::{CHANNEL, Freshchat, token},
};
use serde_json::{Value, json};

/// 2026-01-05T06:40:00Z
const START: Timestamp = Timestamp::constant(1_767_595_200, 0);

/// An account with an agent and a customer, and a clock that stands until it is moved.
struct Chat {
    freshchat: Freshchat,
    now: Timestamp,
    authorization: String,
    agent: String,
    user: String,
}

impl Chat {
    fn new() -> Self {
        let token = token(START + Duration::from_secs(3600));
        let mut freshchat = Freshchat::new(&token);
        let agent = freshchat.add_agent("Hariharan L", "hariharan@example.com");
        let user = freshchat.add_contact("Praveen Test", "+919876543210", START);
        Self { freshchat, now: START, authorization: format!("Bearer {token}"), agent, user }
    }

    fn asked(&mut self, method: Method, target: &str, content_type: &'static str, body: String) -> (u16, Value) {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&self.authorization).unwrap());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let request = Request::parse(method, &format!("/v2{target}"), headers, body.into());
        let reply = self.freshchat.handle(&request, self.now);
        let body = serde_json::from_slice(&reply.body).expect("a JSON body");
        (reply.status.as_u16(), body)
    }

    fn get(&mut self, target: &str) -> (u16, Value) {
        self.asked(Method::GET, target, "application/json", String::new())
    }

    fn post(&mut self, target: &str, body: Value) -> (u16, Value) {
        self.asked(Method::POST, target, "application/json", body.to_string())
    }

    fn put(&mut self, target: &str, body: Value) -> (u16, Value) {
        self.asked(Method::PUT, target, "application/json", body.to_string())
    }

    /// A good private message but for what is put over it.
    fn message(&self, over: Value) -> Value {
        with(
            json!({"message_parts": [{"text": {"content": "Incoming call\nCallSid: 1a2b"}}], "message_type": "private",
                "actor_type": "agent", "actor_id": self.agent}),
            over,
        )
    }

    /// A good conversation but for what is put over it.
    fn conversation(&self, over: Value) -> Value {
        with(
            json!({"channel_id": CHANNEL, "status": "assigned", "assigned_agent_id": self.agent,
                "messages": [self.message(json!({"channel_id": CHANNEL}))], "users": [{"id": self.user}]}),
            over,
        )
    }

    fn begin(&mut self) -> String {
        let (status, shown) = self.post("/conversations", self.conversation(json!({})));
        assert_eq!(status, 200, "{shown}");
        shown["conversation_id"].as_str().unwrap().to_owned()
    }
}

fn with(mut body: Value, over: Value) -> Value {
    for (key, value) in over.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

/// A refusal, which must have Freshchat's form.
fn refused((status, body): (u16, Value)) -> (u16, String) {
    assert_eq!(body["code"].as_u64(), Some(u64::from(status)), "{body}");
    assert!(!body["message"].as_str().unwrap().is_empty());
    (status, body["status"].as_str().unwrap().to_owned())
}

fn no(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

#[test]
fn only_the_token_opens_the_account_and_only_until_it_ends() {
    let mut chat = Chat::new();
    let (status, shown) = chat.get("/accounts/configuration");
    assert_eq!((status, &shown["account_id"]), (200, &json!(105_337)));
    let good = chat.authorization.clone();
    for bad in ["Bearer wrong", "Basic a2V5Olg=", "Bearer", ""] {
        bad.clone_into(&mut chat.authorization);
        assert_eq!(refused(chat.get("/agents")), no(401, "UNAUTHENTICATED"), "{bad}");
    }
    chat.authorization = good;
    chat.freshchat.revoke_token();
    assert_eq!(chat.get("/agents").0, 401);
    chat.freshchat.set_token(token(START + Duration::from_secs(60)));
    chat.authorization = format!("Bearer {}", token(START + Duration::from_secs(60)));
    assert_eq!(chat.get("/agents").0, 200);
    chat.now = START + Duration::from_secs(60);
    let (status, body) = chat.get("/agents");
    assert_eq!((status, body["message"].as_str().unwrap()), (401, "The API token has expired"));
    // A token that is no JWT does not end.
    chat.freshchat.set_token("plain");
    "Bearer plain".clone_into(&mut chat.authorization);
    assert_eq!(chat.get("/agents").0, 200);
}

#[test]
fn what_is_no_route_is_404_and_a_wrong_method_405() {
    let mut chat = Chat::new();
    for unknown in ["/nothing", "/users/", "/conversations//messages", "/agents/x/y"] {
        assert_eq!(refused(chat.get(unknown)), no(404, "NOT_FOUND"), "{unknown}");
    }
    for (target, word) in [
        ("/users/x", "USER"),
        ("/agents/x", "AGENT"),
        ("/conversations/x", "CONVERSATION"),
        ("/users/x/conversations", "USER"),
    ] {
        assert_eq!(refused(chat.get(target)), no(404, &format!("{word}_NOT_FOUND")), "{target}");
    }
    let id = chat.begin();
    for (method, target) in [
        (Method::DELETE, "/agents".to_owned()),
        (Method::POST, "/accounts/configuration".to_owned()),
        (Method::PATCH, format!("/conversations/{id}")),
        (Method::PUT, format!("/conversations/{id}/messages")),
    ] {
        let asked = chat.asked(method, &target, "application/json", "{}".to_owned());
        assert_eq!(refused(asked), no(405, "METHOD_NOT_ALLOWED"), "{target}");
    }
}

#[test]
fn agents_and_channels_are_listed_page_by_page() {
    let mut chat = Chat::new();
    let (_, first) = chat.get("/agents?items_per_page=1");
    assert_eq!(first["agents"].as_array().unwrap().len(), 1);
    assert_eq!(
        first["pagination"],
        json!({"total_items": 2, "total_pages": 2, "current_page": 1, "items_per_page": 1})
    );
    assert_eq!(first["links"]["next_page"]["href"], "/v2/agents?items_per_page=1&page=2");
    let (_, second) = chat.get("/agents?items_per_page=1&page=2");
    assert_eq!((&second["agents"][0]["id"], &second["links"]), (&json!(chat.agent), &json!({})));
    assert_eq!(chat.get("/agents?email=HARIHARAN@example.com").1["agents"].as_array().unwrap().len(), 1);
    let agent = chat.agent.clone();
    chat.freshchat.deactivate_agent(&agent);
    assert_eq!(chat.get(&format!("/agents/{agent}")).1["is_deactivated"], true);
    let other = chat.freshchat.add_channel("Sales");
    let (_, channels) = chat.get("/channels");
    assert_eq!(channels["channels"].as_array().unwrap().len(), 2);
    assert!(channels.to_string().contains(&other));
    for wrong in ["/agents?page=0", "/agents?items_per_page=51", "/agents?name=x", "/channels?page=x"] {
        assert_eq!(refused(chat.get(wrong)), no(400, "INVALID_VALUE"), "{wrong}");
    }
}

#[test]
fn more_than_a_minutes_requests_are_refused_in_its_own_form() {
    let mut chat = Chat::new();
    chat.freshchat.settings.per_minute = Some(2);
    assert_eq!((chat.get("/agents").0, chat.get("/nothing").0), (200, 404));
    assert_eq!(refused(chat.get("/agents")), no(429, "TOO_MANY_REQUESTS"));
    chat.now += Duration::from_secs(60);
    assert_eq!(chat.get("/agents").0, 200);
    let request = Request::parse(Method::GET, "/v2/agents", HeaderMap::new(), String::new().into());
    let wait = |chat: &Chat, retry_after_s| {
        let reply = chat.freshchat.refuse(&request, StatusCode::TOO_MANY_REQUESTS, retry_after_s);
        reply.headers.get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!((wait(&chat, Some(30)), wait(&chat, None)), (Some("30".to_owned()), None));
    chat.freshchat.settings.older_errors = true;
    let (status, body) = chat.get("/users/x");
    assert_eq!((status, &body["error"], &body["code"]), (404, &json!("USER_NOT_FOUND"), &json!(404)));
    assert!(body["detail"].is_string() && body["more_info"].is_string());
}
