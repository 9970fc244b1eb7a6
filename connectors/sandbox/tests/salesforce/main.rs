//! The strict Salesforce, asked without a socket: what it does, and for each operation what it must refuse.

mod reading;
mod tokens;
mod writing;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use patchbay_sandbox::{Crm, Reply, Request, Sandbox, salesforce::Salesforce};
use serde_json::{Value, json};

/// 2026-01-05T06:40:00Z
const START: Timestamp = Timestamp::constant(1_767_595_200, 0);
const DATA: &str = "/services/data/v62.0";

/// An org, a session in it, and a clock that stands until it is moved.
struct Org {
    salesforce: Salesforce,
    now: Timestamp,
    token: String,
    headers: Vec<(&'static str, &'static str)>,
}

impl Org {
    fn new() -> Self {
        let salesforce = Salesforce::new("app", "secret", "refresh").with_test_key();
        let mut org = Self { salesforce, now: START, token: String::new(), headers: Vec::new() };
        org.log_in();
        org
    }

    fn log_in(&mut self) {
        let (_, answer) =
            self.form("grant_type=refresh_token&refresh_token=refresh&client_id=app&client_secret=secret");
        self.token = answer["access_token"].as_str().expect("a token").to_owned();
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn raw(&mut self, method: Method, target: &str, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
        let mut headers = HeaderMap::new();
        let token = HeaderValue::from_str(&format!("Bearer {}", self.token)).unwrap();
        headers.insert(header::AUTHORIZATION, token);
        headers.insert(header::HOST, HeaderValue::from_static("acme.test"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        for (name, value) in &self.headers {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let request = Request::parse(method, target, headers, body.into());
        self.salesforce.handle(&request, self.now)
    }

    fn form(&mut self, body: &str) -> (u16, Value) {
        let kind = "application/x-www-form-urlencoded";
        parsed(self.raw(Method::POST, "/services/oauth2/token", kind, body.to_owned()))
    }

    fn send(&mut self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        parsed(self.raw(method, &format!("{DATA}{path}"), "application/json", body.to_string()))
    }

    fn get(&mut self, path: &str) -> (u16, Value) {
        parsed(self.raw(Method::GET, &format!("{DATA}{path}"), "application/json", ""))
    }

    fn post(&mut self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::POST, path, &body)
    }

    fn patch(&mut self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::PATCH, path, &body)
    }

    fn create(&mut self, object: &str, body: Value) -> String {
        let (status, made) = self.post(&format!("/sobjects/{object}"), body);
        assert_eq!(status, 201, "{made}");
        made["id"].as_str().expect("an id").to_owned()
    }

    fn query(&mut self, soql: &str) -> (u16, Value) {
        let q: String = form_urlencoded::byte_serialize(soql.as_bytes()).collect();
        self.get(&format!("/query?q={q}"))
    }

    fn search(&mut self, sosl: &str) -> (u16, Value) {
        let q: String = form_urlencoded::byte_serialize(sosl.as_bytes()).collect();
        self.get(&format!("/search?q={q}"))
    }
}

fn parsed(reply: Reply) -> (u16, Value) {
    let body =
        if reply.body.is_empty() { Value::Null } else { serde_json::from_slice(&reply.body).expect("a JSON body") };
    (reply.status.as_u16(), body)
}

/// Status and code of a refusal, which must have Salesforce's form.
fn refused((status, body): (u16, Value)) -> (u16, String) {
    let errors = body.as_array().unwrap_or_else(|| panic!("{body}"));
    assert_eq!(errors.len(), 1, "{body}");
    assert!(errors[0]["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    (status, errors[0]["errorCode"].as_str().expect("a code").to_owned())
}

fn no(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn only_a_session_opens_the_org() {
    let mut org = Org::new();
    let good = org.token.clone();
    assert_eq!(org.query("SELECT Id, Name FROM Organization LIMIT 1").1["records"][0]["Name"], "Acme Sandbox");
    for bad in ["", "nobodys"] {
        bad.clone_into(&mut org.token);
        assert_eq!(refused(org.get("/query?q=SELECT+Id+FROM+User")), no(401, "INVALID_SESSION_ID"));
    }
    good.clone_into(&mut org.token);
    org.pass(7200);
    assert_eq!(refused(org.get("/query?q=SELECT+Id+FROM+User")), no(401, "INVALID_SESSION_ID"));
    org.log_in();
    assert_eq!(org.query("SELECT Id FROM User").0, 200);
    assert!(org.salesforce.expire_tokens());
    assert_eq!(refused(org.query("SELECT Id FROM User")), no(401, "INVALID_SESSION_ID"));
}

#[test]
fn what_is_no_resource_is_404_and_a_wrong_method_405() {
    let mut org = Org::new();
    let versions = parsed(org.raw(Method::GET, "/services/data/", "application/json", "")).1;
    assert!(versions.as_array().unwrap().iter().any(|one| one["version"] == "62.0"));
    for path in ["/nothing", "/sobjects/Nothing/describe", "/query/", "/sobjects/Task/x/y/z", "/sobjects//1"] {
        assert_eq!(refused(org.get(path)).0, 404, "{path}");
    }
    for target in ["/services/data/v9.0/query", "/services/data/62.0/query", "/services"] {
        assert_eq!(parsed(org.raw(Method::GET, target, "application/json", "")).0, 404, "{target}");
    }
    let wrong = [
        (Method::POST, "/query"),
        (Method::PATCH, "/search"),
        (Method::GET, "/composite"),
        (Method::PUT, "/sobjects/Task"),
        (Method::POST, "/sobjects/Task/Exotel_Call_Sid__c/1"),
    ];
    for (method, path) in wrong {
        assert_eq!(refused(org.send(method, path, &json!({}))), no(405, "METHOD_NOT_ALLOWED"), "{path}");
    }
}

/// Salesforce has no 429 and never says when.
#[test]
fn too_much_is_403_with_a_code_of_its_own() {
    let mut org = Org::new();
    org.salesforce.settings.daily = Some(2);
    let reply = org.raw(Method::GET, &format!("{DATA}/query?q=SELECT+Id+FROM+User"), "application/json", "");
    assert_eq!(reply.headers["sforce-limit-info"], "api-usage=1/2");
    org.query("SELECT Id FROM User");
    assert_eq!(refused(org.query("SELECT Id FROM User")), no(403, "REQUEST_LIMIT_EXCEEDED"));
    org.pass(24 * 3600);
    org.log_in();
    assert_eq!(org.query("SELECT Id FROM User").0, 200);

    let asked = Request::parse(Method::GET, DATA, HeaderMap::new(), Bytes::new());
    let reply = org.salesforce.refuse(&asked, StatusCode::TOO_MANY_REQUESTS, Some(7));
    assert!(!reply.headers.contains_key(header::RETRY_AFTER));
    assert_eq!(refused(parsed(reply)), no(403, "REQUEST_LIMIT_EXCEEDED"));
    for (status, code) in [(401, "INVALID_SESSION_ID"), (503, "SERVER_UNAVAILABLE"), (500, "UNKNOWN_EXCEPTION")] {
        let status = StatusCode::from_u16(status).unwrap();
        let reply = org.salesforce.refuse(&asked, status, None);
        assert_eq!(refused(parsed(reply)), no(status.as_u16(), code));
    }
}

#[test]
fn what_calls_became_is_seen_from_outside() {
    let mut org = Org::new();
    let asha = org.salesforce.add_contact("Asha", "+919876543210", START);
    let ravi = org.salesforce.add_agent("Ravi", "ravi@example.com");
    org.salesforce.define_field(
        "Task",
        "Recording_URL__c",
        patchbay_sandbox::salesforce::Field::of(patchbay_sandbox::salesforce::Kind::Url),
    );
    let task = json!({"Subject": "Incoming Call", "TaskSubtype": "Call", "WhoId": asha, "OwnerId": ravi,
                      "CallDurationInSeconds": 34, "Recording_URL__c": "https://calls.example.com/1.mp3"});
    org.patch("/sobjects/Task/Exotel_Call_Sid__c/1a2b", task);
    org.create("Task", json!({"Subject": "Call back", "TaskSubtype": "Task"}));
    let records = org.salesforce.records();
    assert_eq!(records.len(), 1, "a task that is no call is no call's record");
    assert_eq!((records[0].contact.as_deref(), records[0].agent.as_deref()), (Some(&*asha), Some(&*ravi)));
    assert_eq!((records[0].talk_seconds, records[0].public), (Some(34), false));
    assert_eq!(records[0].recording.as_deref(), Some("https://calls.example.com/1.mp3"));
    assert!(records[0].text.contains("Exotel_Call_Sid__c: 1a2b") && records[0].text.contains("Incoming Call"));
    assert_eq!(org.salesforce.contacts()[0].numbers, ["+919876543210"]);
    assert!(org.salesforce.fail_inside(1));
    let (status, body) = org.patch("/sobjects/Task/Exotel_Call_Sid__c/1a2b", json!({"Subject": "Lost"}));
    assert_eq!((status, &body["success"]), (200, &json!(false)));
    assert_eq!(body["errors"][0]["statusCode"], "UNABLE_TO_LOCK_ROW");
    assert!(!org.salesforce.records()[0].text.contains("Lost"), "it was carried out all the same");
}
