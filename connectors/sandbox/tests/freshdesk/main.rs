//! The strict Freshdesk, asked without a socket: what it does, and for each operation what it must refuse.

mod contacts;
mod notes_and_limits;
mod tickets;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::{SignedDuration, Timestamp};
use patchbay_sandbox::{
    Reply, Request, Sandbox,
    freshdesk::{Freshdesk, Limits},
};
use serde_json::{Value, json};

/// 2026-01-05T06:40:00Z
const START: Timestamp = Timestamp::constant(1_767_595_200, 0);
const AGENT: u64 = 8001;

/// An account, and a clock that stands until it is moved.
struct Desk {
    freshdesk: Freshdesk,
    now: Timestamp,
    key: &'static str,
}

impl Desk {
    fn new() -> Self {
        let mut freshdesk = Freshdesk::new("key");
        freshdesk.add_agent("Ravi", "ravi@example.com", AGENT);
        Self { freshdesk, now: START, key: "key:X" }
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn raw(&mut self, method: Method, target: &str, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
        let mut headers = HeaderMap::new();
        let encoded = base64::engine::general_purpose::STANDARD.encode(self.key);
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Basic {encoded}")).unwrap());
        headers.insert(header::HOST, HeaderValue::from_static("acme.test"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let request = Request::parse(method, &format!("/api/v2{target}"), headers, body.into());
        self.freshdesk.handle(&request, self.now)
    }

    fn get(&mut self, target: &str) -> (u16, Value) {
        parsed(self.raw(Method::GET, target, "application/json", ""))
    }

    fn post(&mut self, target: &str, body: Value) -> (u16, Value) {
        parsed(self.raw(Method::POST, target, "application/json", body.to_string()))
    }

    fn put(&mut self, target: &str, body: Value) -> (u16, Value) {
        parsed(self.raw(Method::PUT, target, "application/json", body.to_string()))
    }

    fn delete(&mut self, target: &str) -> (u16, Value) {
        parsed(self.raw(Method::DELETE, target, "application/json", ""))
    }

    fn create(&mut self, target: &str, body: Value) -> u64 {
        let (status, created) = self.post(target, body);
        assert_eq!(status, 201, "{created}");
        created["id"].as_u64().expect("an id")
    }

    fn ticket(&mut self, requester: u64) -> u64 {
        self.create("/tickets", ticket(json!({"requester_id": requester})))
    }
}

fn parsed(reply: Reply) -> (u16, Value) {
    let body =
        if reply.body.is_empty() { Value::Null } else { serde_json::from_slice(&reply.body).expect("a JSON body") };
    (reply.status.as_u16(), body)
}

/// A good ticket but for what is put over it.
fn ticket(over: Value) -> Value {
    let mut body = json!({"subject": "Incoming Call", "description": "From: 987<br>CallSid: 1a2b",
        "status": 2, "priority": 1, "source": 3});
    for (key, value) in over.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

/// The one error of a refusal, which must have Freshdesk's form.
fn refused((status, body): (u16, Value)) -> (u16, String, String) {
    assert_eq!(body["description"], "Validation failed", "{body}");
    let errors = body["errors"].as_array().expect("errors");
    assert_eq!(errors.len(), 1, "{body}");
    let text = |key: &str| errors[0][key].as_str().expect("text").to_owned();
    assert!(!text("message").is_empty());
    (status, text("field"), text("code"))
}

fn no(status: u16, field: &str, code: &str) -> (u16, String, String) {
    (status, field.to_owned(), code.to_owned())
}

fn ids(body: &Value) -> Vec<u64> {
    body.as_array().expect("a list").iter().map(|item| item["id"].as_u64().expect("an id")).collect()
}

#[test]
fn only_the_key_opens_the_account() {
    let mut desk = Desk::new();
    for good in ["key:X", "key:anything"] {
        desk.key = good;
        assert_eq!(desk.get("/agents/me").0, 200);
    }
    for bad in ["wrong:X", "X:key", "key"] {
        desk.key = bad;
        let (status, body) = desk.get("/agents/me");
        assert_eq!((status, &body["code"]), (401, &json!("invalid_credentials")), "{bad}");
        assert!(body["message"].is_string());
    }
    desk.key = "key:X";
    desk.freshdesk.revoke_key();
    assert_eq!(desk.get("/agents/me").0, 401);
    desk.freshdesk.set_key("new");
    desk.key = "new:X";
    assert_eq!(desk.get("/agents/me").0, 200);
}

#[test]
fn what_is_no_route_is_404_without_a_body_and_a_wrong_method_is_405() {
    let mut desk = Desk::new();
    for unknown in ["/nothing", "/tickets/x", "/tickets/1", "/contacts/1", "/agents/1", "/tickets//notes", "/tickets/"]
    {
        assert_eq!(desk.get(unknown), (404, Value::Null), "{unknown}");
    }
    let contact = desk.freshdesk.add_contact("Asha", None, None);
    let id = desk.ticket(contact);
    for (method, target, allow) in [
        (Method::DELETE, "/tickets".to_owned(), "GET, POST"),
        (Method::POST, "/agents/me".to_owned(), "GET"),
        (Method::POST, "/search/tickets".to_owned(), "GET"),
        (Method::GET, format!("/tickets/{id}/notes"), "POST"),
        (Method::PATCH, format!("/tickets/{id}"), "GET, PUT, DELETE"),
    ] {
        let reply = desk.raw(method, &target, "application/json", "");
        assert_eq!((reply.status.as_u16(), reply.headers[header::ALLOW].to_str().unwrap()), (405, allow), "{target}");
    }
}

#[test]
fn agents_are_listed_filtered_and_paged() {
    let mut desk = Desk::new();
    desk.freshdesk.change_agent(AGENT, |agent| agent.mobile = Some("+919000000001".to_owned()));
    let reply = desk.raw(Method::GET, "/agents?per_page=1", "application/json", "");
    let link = reply.headers[header::LINK].to_str().unwrap();
    assert_eq!(link, "<http://acme.test/api/v2/agents?per_page=1&page=2>; rel=\"next\"");
    let (_, second) = desk.get("/agents?per_page=1&page=2");
    assert_eq!(second[0]["contact"]["email"], "owner@example.com");
    assert!(!desk.raw(Method::GET, "/agents?per_page=1&page=2", "application/json", "").headers.contains_key("link"));
    assert_eq!(ids(&desk.get("/agents?mobile=%2B919000000001").1), [AGENT]);
    assert_eq!(ids(&desk.get("/agents?mobile=+919000000001").1), [0; 0], "an unencoded plus is a space");
    assert_eq!(ids(&desk.get("/agents?email=RAVI@example.com").1), [AGENT]);
    assert_eq!(desk.get(&format!("/agents/{AGENT}")).1["contact"]["name"], "Ravi");
    desk.freshdesk.deactivate_agent(AGENT);
    assert_eq!(desk.get("/agents").1.as_array().unwrap().len(), 1);
    assert_eq!(desk.get(&format!("/agents/{AGENT}")).0, 404);
    assert_eq!(refused(desk.get("/agents?per_page=101")), no(400, "per_page", "invalid_value"));
    assert_eq!(refused(desk.get("/agents?page=0")), no(400, "page", "invalid_value"));
    assert_eq!(refused(desk.get("/agents?name=Ravi")), no(400, "name", "invalid_field"));
    assert_eq!(refused(desk.get("/agents?state=lazy")), no(400, "state", "invalid_value"));
}
