//! The strict Zoho CRM, asked without a socket: what it does, and for each operation what it must refuse.

mod phonebridge;
mod queries;
mod records;
mod tokens;

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use patchbay_sandbox::{Crm, Reply, Request, Sandbox, zoho_crm::ZohoCrm};
use serde_json::{Value, json};

/// 2026-01-05T06:40:00Z
const START: Timestamp = Timestamp::constant(1_767_595_200, 0);

/// An organisation, a living access token, and a clock that stands until it is moved.
struct Org {
    zoho: ZohoCrm,
    now: Timestamp,
    token: String,
}

impl Org {
    fn new() -> Self {
        let mut org = Self { zoho: ZohoCrm::new("id", "secret", "refresh"), now: START, token: String::new() };
        org.token = org.refresh().1["access_token"].as_str().expect("a token").to_owned();
        org
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn raw(&mut self, method: Method, target: &str, kind: &'static str, body: impl Into<Bytes>) -> Reply {
        let mut headers = HeaderMap::new();
        if !self.token.is_empty() {
            let value = HeaderValue::from_str(&format!("Zoho-oauthtoken {}", self.token)).unwrap();
            headers.insert(header::AUTHORIZATION, value);
        }
        headers.insert(header::HOST, HeaderValue::from_static("zoho.test"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        self.zoho.handle(&Request::parse(method, target, headers, body.into()), self.now)
    }

    fn ask(&mut self, method: Method, target: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        parsed(self.raw(method, &format!("/crm/v8{target}"), "application/json", body))
    }

    fn get(&mut self, target: &str) -> (u16, Value) {
        self.ask(Method::GET, target, Value::Null)
    }

    fn post(&mut self, target: &str, body: Value) -> (u16, Value) {
        self.ask(Method::POST, target, body)
    }

    /// Writes one record; what became of it.
    fn write(&mut self, method: Method, target: &str, record: Value) -> (u16, Value) {
        let (status, body) = self.ask(method, target, json!({"data": [record]}));
        assert_eq!(body["data"].as_array().expect("data").len(), 1);
        (status, body["data"][0].clone())
    }

    fn form(&mut self, target: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        parsed(self.raw(Method::POST, target, "application/x-www-form-urlencoded", body))
    }

    fn refresh(&mut self) -> (u16, Value) {
        self.form(
            "/oauth/v2/token",
            &[
                ("grant_type", "refresh_token"),
                ("client_id", "id"),
                ("client_secret", "secret"),
                ("refresh_token", "refresh"),
            ],
        )
    }
}

fn parsed(reply: Reply) -> (u16, Value) {
    let body =
        if reply.body.is_empty() { Value::Null } else { serde_json::from_slice(&reply.body).expect("a JSON body") };
    (reply.status.as_u16(), body)
}

/// Status, code and field of a refusal, which must have Zoho's form.
fn refused((status, body): (u16, Value)) -> (u16, String, String) {
    assert_eq!(body["status"], "error", "{body}");
    assert!(body["details"].is_object() && body["message"].is_string(), "{body}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (status, text(&body["code"]), text(&body["details"]["api_name"]))
}

fn no(status: u16, code: &str, field: &str) -> (u16, String, String) {
    (status, code.to_owned(), field.to_owned())
}

fn id(written: &Value) -> String {
    written["details"]["id"].as_str().unwrap_or_else(|| panic!("no id in {written}")).to_owned()
}

/// A good call but for what is put over it.
fn call(over: Value) -> Value {
    let mut call = json!({"Subject": "Incoming call", "Call_Type": "Inbound", "Call_Duration": "00:34",
        "Call_Start_Time": "2026-01-05T12:10:00+05:30", "Exotel_CallSid": "1a2b"});
    for (key, value) in over.as_object().expect("an object") {
        call[key] = value.clone();
    }
    call
}

#[test]
fn what_is_no_route_module_or_method_is_told_apart() {
    let mut org = Org::new();
    for unknown in ["/Calls//x", "/Calls/", "/Calls/1/2/3"] {
        assert_eq!(refused(org.get(unknown)), no(404, "INVALID_URL_PATTERN", ""), "{unknown}");
    }
    assert_eq!(refused(org.get("/Tickets/1")), no(400, "INVALID_MODULE", ""));
    assert_eq!(refused(org.ask(Method::PATCH, "/Calls/1", Value::Null)), no(400, "INVALID_REQUEST_METHOD", ""));
    assert_eq!(refused(org.get("/coql")), no(400, "INVALID_REQUEST_METHOD", ""));
    assert_eq!(org.raw(Method::GET, "/nothing", "text/plain", "").status, StatusCode::NOT_FOUND);
}

#[test]
fn users_are_listed_by_state_and_page() {
    let mut org = Org::new();
    let ravi = org.zoho.add_agent("Ravi K", "ravi@example.com");
    let (_, body) = org.get("/users?type=ActiveUsers&per_page=1");
    assert_eq!(
        (body["users"][0]["email"].as_str(), &body["info"]["more_records"]),
        (Some("owner@example.com"), &json!(true))
    );
    assert_eq!(org.get("/users?type=ActiveUsers&per_page=1&page=2").1["users"][0]["id"], json!(ravi));
    assert_eq!(org.get("/users?type=CurrentUser").1["users"][0]["full_name"], "Token Owner");
    org.zoho.deactivate_user(ravi.parse().unwrap());
    assert_eq!(org.get("/users?type=ActiveUsers").1["users"].as_array().unwrap().len(), 1);
    assert_eq!(org.get(&format!("/users/{ravi}")).1["users"][0]["status"], "disabled");
    assert_eq!(org.get("/users?page=9"), (204, Value::Null));
    assert_eq!(refused(org.get("/users?type=Lazy")), no(400, "INVALID_DATA", "type"));
    assert_eq!(refused(org.get("/users?per_page=201")), no(400, "INVALID_DATA", "per_page"));
    assert_eq!(refused(org.get("/users/x")).1, "INVALID_DATA");
    org.zoho.settings.denied = BTreeSet::from(["users".to_owned()]);
    assert_eq!(refused(org.get("/users")), no(401, "OAUTH_SCOPE_MISMATCH", ""));
    org.zoho.settings.scope_status = StatusCode::FORBIDDEN;
    assert_eq!(refused(org.get("/users")).0, 403);
}

#[test]
fn fields_say_what_is_unique() {
    let mut org = Org::new();
    let (_, body) = org.get("/settings/fields?module=Calls");
    let field = |name: &str| body["fields"].as_array().unwrap().iter().find(|one| one["api_name"] == name).cloned();
    assert_eq!(field("Exotel_CallSid").unwrap()["unique"], json!({"casesensitive": false}));
    assert_eq!(field("Subject").unwrap()["unique"], json!({}));
    assert_eq!(refused(org.get("/settings/fields")).1, "MANDATORY_NOT_FOUND");
}

#[test]
fn what_calls_became_is_one_record_each_and_follow_ups_are_none() {
    let mut org = Org::new();
    let contact = org.zoho.add_contact("Asha", "9876543210", START);
    let (_, made) =
        org.write(Method::POST, "/Calls", call(json!({"Who_Id": contact, "Voice_Recording__s": "https://r/1"})));
    let later = json!({"Call_Type": "Outbound", "Outgoing_Call_Status": "Scheduled", "Exotel_CallSid": null});
    let mut later = call(later);
    later.as_object_mut().unwrap().remove("Call_Duration");
    assert_eq!(org.write(Method::POST, "/Calls", later).0, 201);
    let records = org.zoho.records();
    assert_eq!(records.len(), 1);
    assert_eq!((&records[0].id, records[0].talk_seconds), (&id(&made), Some(34)));
    assert_eq!((records[0].contact.as_ref(), records[0].recording.as_deref()), (Some(&contact), Some("https://r/1")));
    assert!(records[0].text.contains("Exotel_CallSid: 1a2b") && !records[0].public);
    assert_eq!(org.zoho.contacts()[0].numbers, ["9876543210"]);
}
