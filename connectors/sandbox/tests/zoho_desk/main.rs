//! The strict Zoho Desk, asked without a socket: what it does, and for each operation what it must refuse.

mod contacts;
mod tickets;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use patchbay_sandbox::{
    Crm, Reply, Request, Sandbox,
    zoho_desk::{Times, ZohoDesk},
};
use serde_json::{Value, json};

/// 2026-01-15T10:00:00Z
const START: Timestamp = Timestamp::constant(1_768_471_200, 0);

/// An organisation, a token for it, and a clock that stands until it is moved.
struct Desk {
    zoho: ZohoDesk,
    now: Timestamp,
    token: String,
    org: String,
    agent: String,
}

impl Desk {
    fn new() -> Self {
        let mut zoho = ZohoDesk::new("client", "secret", "refresh");
        let agent = zoho.add_agent("Ravi Kumar", "ravi@example.com");
        let token = zoho.grants.issue(1, START).expect("a token").access_token;
        Self { zoho, now: START, token, org: ZohoDesk::ORG_ID.to_string(), agent }
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn raw(&mut self, method: Method, target: &str, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
        let mut headers = HeaderMap::new();
        let token = format!("Zoho-oauthtoken {}", self.token);
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&token).expect("a header"));
        if !self.org.is_empty() {
            headers.insert("orgId", HeaderValue::from_str(&self.org).expect("a header"));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.zoho.handle(&Request::parse(method, target, headers, body.into()), self.now)
    }

    fn get(&mut self, target: &str) -> (u16, Value) {
        parsed(self.raw(Method::GET, &format!("/api/v1{target}"), "application/json", ""))
    }

    fn post(&mut self, target: &str, body: Value) -> (u16, Value) {
        parsed(self.raw(Method::POST, &format!("/api/v1{target}"), "application/json", body.to_string()))
    }

    fn patch(&mut self, target: &str, body: Value) -> (u16, Value) {
        parsed(self.raw(Method::PATCH, &format!("/api/v1{target}"), "application/json", body.to_string()))
    }

    fn create(&mut self, target: &str, body: Value) -> String {
        let (status, created) = self.post(target, body);
        assert_eq!(status, 200, "{created}");
        created["id"].as_str().expect("an id").to_owned()
    }

    fn ticket(&mut self, contact: &str) -> String {
        self.create("/tickets", ticket(contact, json!({})))
    }

    fn token(&mut self, form: &str) -> (u16, Value) {
        parsed(self.raw(Method::POST, "/oauth/v2/token", "application/x-www-form-urlencoded", form.to_owned()))
    }
}

fn parsed(reply: Reply) -> (u16, Value) {
    let body =
        if reply.body.is_empty() { Value::Null } else { serde_json::from_slice(&reply.body).expect("a JSON body") };
    (reply.status.as_u16(), body)
}

/// A good ticket but for what is put over it; null takes a field away.
fn ticket(contact: &str, over: Value) -> Value {
    let mut body = json!({"subject": "Incoming Call", "description": "From: 987<br>CallSid: 1a2b", "channel": "Phone",
        "departmentId": ZohoDesk::DEPARTMENT_ID.to_string(), "contactId": contact});
    for (key, value) in over.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    body
}

/// The one faulty field of a refusal, which must have Zoho Desk's form.
fn refused((status, body): (u16, Value)) -> (u16, String, String) {
    assert_eq!(body["errorCode"], "INVALID_DATA", "{body}");
    let errors = body["errors"].as_array().expect("errors");
    assert_eq!(errors.len(), 1, "{body}");
    let text = |key: &str| errors[0][key].as_str().expect("text").to_owned();
    (status, text("fieldName"), text("errorType"))
}

fn no(field: &str, kind: &str) -> (u16, String, String) {
    (422, field.to_owned(), kind.to_owned())
}

/// The status and code of a refusal without fields.
fn code((status, body): (u16, Value)) -> (u16, String) {
    assert!(body["message"].is_string(), "{body}");
    (status, body["errorCode"].as_str().unwrap_or_default().to_owned())
}

fn ids(body: &Value) -> Vec<String> {
    body["data"].as_array().expect("a list").iter().map(|item| item["id"].as_str().expect("an id").into()).collect()
}

fn one(id: &str) -> Vec<String> {
    vec![id.to_owned()]
}

#[test]
fn only_a_living_token_for_this_organisation_opens_it() {
    let mut desk = Desk::new();
    assert_eq!(desk.get("/myinfo").0, 200);
    let good = desk.token.clone();
    "nobodys".clone_into(&mut desk.token);
    assert_eq!(code(desk.get("/myinfo")), (401, "INVALID_OAUTH".into()));
    desk.token.clone_from(&good);
    for org in ["", "1"] {
        org.clone_into(&mut desk.org);
        assert_eq!(code(desk.get("/myinfo")), (403, "OAUTH_ORG_MISMATCH".into()), "{org}");
        assert_eq!(desk.get("/organizations").0, 200);
    }
    let in_query = format!("/myinfo?orgId={}", ZohoDesk::ORG_ID);
    desk.org.clear();
    assert_eq!(desk.get(&in_query).0, 200);
    desk.zoho.settings.org_in_query = false;
    assert_eq!(desk.get(&in_query).0, 403);
    desk.org = ZohoDesk::ORG_ID.to_string();
    desk.pass(3600);
    assert_eq!(desk.get("/myinfo").0, 401);
    assert!(desk.zoho.expire_tokens());
}

#[test]
fn tokens_are_refreshed_and_refused_with_a_200() {
    let mut desk = Desk::new();
    let form = "grant_type=refresh_token&client_id=client&client_secret=secret&refresh_token=refresh";
    let (status, answer) = desk.token(form);
    assert_eq!((status, &answer["expires_in"], &answer["token_type"]), (200, &json!(3600), &json!("Bearer")));
    assert_eq!(answer.get("refresh_token"), None, "a refresh gives no new refresh token");
    answer["access_token"].as_str().expect("a token").clone_into(&mut desk.token);
    assert_eq!(desk.get("/myinfo").0, 200);
    for (bad, error) in [
        (form.replace("=secret", "=x"), "invalid_client"),
        (form.replace("=refresh&", "=x&").replace("refresh_token=refresh", "refresh_token=x"), "invalid_code"),
        (form.replace("grant_type=refresh_token", "grant_type=password"), "unsupported_grant_type"),
        (form.replace("&refresh_token=refresh", ""), "invalid_request"),
    ] {
        assert_eq!(desk.token(&bad), (200, json!({"error": error})), "{bad}");
    }
    while desk.token(form).1["error"].is_null() {}
    assert_eq!(desk.token(form), (200, json!({"error": "Access Denied"})));
    desk.zoho.settings.token_refusal = StatusCode::BAD_REQUEST;
    assert_eq!(desk.token(form).0, 400);
    assert_eq!(
        desk.zoho
            .refuse(
                &Request::parse(Method::POST, "/oauth/v2/token", HeaderMap::new(), Bytes::new()),
                StatusCode::BAD_GATEWAY,
                None
            )
            .status,
        502
    );
}

#[test]
fn a_consent_yields_a_code_that_is_good_once() {
    let mut desk = Desk::new();
    let asked = "/oauth/v2/auth?response_type=code&client_id=client&scope=Desk.tickets.READ&state=a%26b\
        &redirect_uri=https%3A%2F%2Fx%2Fcb";
    let reply = desk.raw(Method::GET, asked, "text/plain", "");
    let to = reply.headers[header::LOCATION].to_str().expect("an address").to_owned();
    assert!(
        to.starts_with("https://x/cb?code=") && to.contains("&location=in&") && to.ends_with("state=a%26b"),
        "{to}"
    );
    let code = to.split_once("code=").and_then(|(_, rest)| rest.split_once('&')).expect("a code").0;
    let form = format!(
        "grant_type=authorization_code&client_id=client&client_secret=secret&redirect_uri=https%3A%2F%2Fx%2Fcb&code={code}"
    );
    assert!(desk.token(&form).1["refresh_token"].is_string());
    assert_eq!(desk.token(&form).1["error"], "invalid_code");
    let (status, _) = parsed(desk.raw(Method::GET, "/oauth/v2/auth?response_type=code", "text/plain", ""));
    assert_eq!(status, 400);
    assert_eq!(parsed(desk.raw(Method::GET, "/oauth/v2/token", "text/plain", "")).0, 405);
}

#[test]
fn what_is_no_route_is_404_and_a_wrong_method_is_405() {
    let mut desk = Desk::new();
    for unknown in
        ["/nothing", "/tickets/x", "/tickets/1", "/contacts/1", "/agents/1", "/tickets//comments", "/tickets/"]
    {
        assert_eq!(code(desk.get(unknown)), (404, "URL_NOT_FOUND".into()), "{unknown}");
    }
    for target in ["/tickets", "/agents", "/departments/1", "/contacts/1/tickets"] {
        assert_eq!(code(desk.patch(target, json!({}))), (405, "METHOD_NOT_ALLOWED".into()), "{target}");
    }
}

#[test]
fn agents_and_departments_are_listed_and_unknown_parameters_refused() {
    let mut desk = Desk::new();
    let other = desk.zoho.add_agent("Avnish", "avnish@example.com");
    let (_, all) = desk.get("/agents?limit=200&from=0&status=ACTIVE");
    assert_eq!(ids(&all), [desk.agent.clone(), other.clone()]);
    assert_eq!(all["data"][0]["emailId"], "ravi@example.com");
    assert_eq!(ids(&desk.get("/agents?limit=1&from=1").1), one(&other));
    assert_eq!(desk.get("/agents?from=2"), (204, Value::Null));
    desk.zoho.settings.empty_is_204 = false;
    assert_eq!(desk.get("/agents?from=2"), (200, json!({"data": []})));
    desk.zoho.settings.first_index = 1;
    assert_eq!(ids(&desk.get("/agents?limit=1&from=1").1), one(&desk.agent));
    desk.zoho.deactivate_agent(other.parse().expect("an id"));
    assert_eq!(ids(&desk.get("/agents?status=ACTIVE").1), one(&desk.agent));
    assert_eq!(desk.get(&format!("/agents/{other}")).1["status"], "DISABLED");
    for wrong in [
        "/agents?limit=201",
        "/agents?limit=0",
        "/agents?from=x",
        "/agents?status=LAZY",
        "/agents?name=Ravi",
        "/departments/7000000006907?a=b",
        "/organizations?a=b",
        "/myinfo?a=b",
    ] {
        assert_eq!(code(desk.get(wrong)), (422, "UNPROCESSABLE_ENTITY".into()), "{wrong}");
    }
    assert_eq!(desk.get("/departments").1["data"][0]["name"], "Support");
    assert_eq!(desk.get("/departments/7000000006907").1["name"], "Support");
}

#[test]
fn credits_run_out_and_headers_tell_of_them() {
    let mut desk = Desk::new();
    desk.zoho.settings.credits = Some(5);
    let reply = desk.raw(Method::GET, "/api/v1/agents", "application/json", "");
    assert_eq!(reply.headers["x-rate-limit-request-weight-v3"], "3");
    assert_eq!(reply.headers["x-rate-limit-remaining-v3"], "2");
    assert_eq!(desk.get("/myinfo").0, 200);
    desk.pass(3000);
    let reply = desk.raw(Method::GET, "/api/v1/agents", "application/json", "");
    assert_eq!(reply.headers[header::RETRY_AFTER], "83400");
    assert_eq!(code(parsed(reply)), (429, "THRESHOLD_EXCEEDED".into()));
    let request = Request::parse(Method::GET, "/api/v1/agents", HeaderMap::new(), Bytes::new());
    let busy = desk.zoho.refuse(&request, StatusCode::TOO_MANY_REQUESTS, None);
    assert!(!busy.headers.contains_key(header::RETRY_AFTER));
    assert_eq!(code(parsed(busy)), (429, "TOO_MANY_REQUESTS".into()));
    desk.pass(24 * 3600);
    desk.token = desk.zoho.grants.issue(1, desk.now).expect("a token").access_token;
    assert_eq!(desk.get("/agents").0, 200);
}

#[test]
fn times_are_text_or_milliseconds() {
    let mut desk = Desk::new();
    let contact = desk.zoho.add_contact("Asha", "+919876543210", START);
    let target = format!("/tickets/{}", desk.ticket(&contact));
    assert_eq!(desk.get(&target).1["createdTime"], "2026-01-15T10:00:00.000Z");
    desk.zoho.settings.times = Times::Millis;
    assert_eq!(desk.get(&target).1["createdTime"], 1_768_471_200_000_u64);
}
