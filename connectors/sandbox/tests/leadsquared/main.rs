//! The strict LeadSquared, asked without a socket: what it does, and for each operation what it must refuse.

mod activities;
mod leads;
mod telephony;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use patchbay_sandbox::{
    Crm, Reply, Request, Sandbox,
    leadsquared::{CONNECTOR, LeadSquared, NoRoute, RouteReply},
};
use serde_json::{Value, json};

/// 2026-01-05T06:40:00Z
const START: Timestamp = Timestamp::constant(1_767_595_200, 0);

/// An organisation, and a clock that stands until it is moved.
struct Org {
    account: LeadSquared,
    now: Timestamp,
    keys: (&'static str, &'static str),
    content_type: &'static str,
}

impl Org {
    fn new() -> Self {
        let account = LeadSquared::new("access", "secret", "org-key");
        Self { account, now: START, keys: ("access", "secret"), content_type: "application/json" }
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn raw(&mut self, method: Method, target: &str, body: impl Into<Bytes>) -> Reply {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-lsq-accesskey", self.keys.0), ("x-lsq-secretkey", self.keys.1)] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        self.account.handle(&Request::parse(method, target, headers, body.into()), self.now)
    }

    fn get(&mut self, target: &str) -> (u16, Value) {
        parsed(self.raw(Method::GET, target, ""))
    }

    fn post(&mut self, target: &str, body: Value) -> (u16, Value) {
        parsed(self.raw(Method::POST, target, body.to_string()))
    }

    /// Posts to a capability URL.
    fn tell(&mut self, operation: &str, body: Value) -> (u16, Value) {
        self.post(&self.account.path(operation), body)
    }

    fn lead(&mut self, phone: &str) -> String {
        self.account.add_contact("Asha", phone, self.now)
    }
}

fn parsed(reply: Reply) -> (u16, Value) {
    let text = String::from_utf8(reply.body.to_vec()).expect("text");
    (reply.status.as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// The id in a success.
#[track_caller]
fn made((status, body): (u16, Value)) -> String {
    assert_eq!((status, &body["Status"]), (200, &json!("Success")), "{body}");
    body["Message"]["Id"].as_str().expect("an id").to_owned()
}

/// The exception of a refusal, which must have LeadSquared's form, and what its message is about.
#[track_caller]
fn refused((status, body): (u16, Value), kind: &str, about: &str) {
    assert_eq!((&body["Status"], &body["ExceptionType"]), (&json!("Error"), &json!(kind)), "{status} {body}");
    assert!(body["ExceptionMessage"].as_str().is_some_and(|message| message.contains(about)), "{about}: {body}");
}

fn over(mut good: Value, other: Value) -> Value {
    for (key, value) in other.as_object().expect("an object") {
        good[key] = value.clone();
    }
    good
}

const USERS: &str = "/v2/UserManagement.svc/Users.Get";
const AUTHENTICATION: &str = "/v2/Authentication.svc/UserByAccessKey.Get";

#[test]
fn only_the_keys_open_the_api() {
    let mut org = Org::new();
    let (status, body) = org.get(AUTHENTICATION);
    assert_eq!((status, &body["Name"], &body["DefaultCountryCode"]), (200, &json!("Key Owner"), &json!("91")));
    assert_eq!(org.get("/v2/UserManagement.svc/Users.Get?accessKey=no").0, 200, "headers come first");
    for bad in [("access", "no"), ("no", "secret"), ("", "")] {
        org.keys = bad;
        let answer = org.get(USERS);
        assert_eq!(answer.0, 401);
        refused(answer, "MXUnAuthorizedAccessException", "Key");
        assert_eq!(org.get(AUTHENTICATION).0, 401);
    }
    org.keys = ("access", "secret");
    org.account.revoke_keys();
    assert_eq!(org.get(USERS).0, 401);
    assert_eq!(org.get(&format!("{}?caller_id=1", org.account.path("LeadRouteV2"))).0, 401);
    org.account.set_keys("new", "secret");
    org.keys = ("new", "secret");
    assert_eq!(org.get(USERS).0, 200);
}

#[test]
fn keys_of_another_region_are_refused_but_for_the_authentication() {
    let mut org = Org::new();
    org.account.settings.other_region = Some("https://api-us11.leadsquared.com".to_owned());
    refused(org.get(USERS), "MXUnAuthorizedAccessException", "api-us11");
    let (status, body) = org.get(AUTHENTICATION);
    assert_eq!(status, 200);
    assert_eq!(body["LSQCommonServiceURLs"]["api"], "https://api-us11.leadsquared.com/v2/");
}

#[test]
fn a_capability_url_is_right_or_nobodys() {
    let mut org = Org::new();
    let right = org.account.path("LeadRouteV2");
    assert_eq!(org.get(&format!("{right}?caller_id=9876543210")).0, 200);
    for wrong in ["org-key", CONNECTOR] {
        let target = right.replace(wrong, "nobodys");
        assert_eq!(org.get(&format!("{target}?caller_id=9876543210")).0, 401, "{wrong}");
    }
    org.account.settings.unknown_connector = StatusCode::NOT_FOUND;
    assert_eq!(org.get("/1/api/Telephony/LeadRouteV2/nobodys/secret?caller_id=1").0, 404);
    org.account.settings.org_segment = true;
    assert_eq!(org.get(&format!("{right}?caller_id=1")).0, 404, "the form without the segment");
    assert_eq!(org.get(&format!("{}?caller_id=1", org.account.path("LeadRouteV2"))).0, 200);
}

#[test]
fn what_is_no_route_is_404_and_a_wrong_method_is_405() {
    let mut org = Org::new();
    for unknown in ["/", "/v2", "/v2/Telephony.svc", "/v2/LeadManagement.svc/Lead.Capture", "/v1/x"] {
        assert_eq!(org.get(unknown).0, 404, "{unknown}");
    }
    assert_eq!(org.get(&org.account.path("OpportunityRoute")).0, 404);
    assert_eq!(org.get("/v2/Telephony.svc/LogCall").0, 405);
    assert_eq!(org.post(USERS, json!({})).0, 405);
    assert_eq!(org.get(&org.account.path("LogCallComplete")).0, 405);
}

#[test]
fn the_limit_is_told_under_429_or_inside_a_200_and_passes() {
    let mut org = Org::new();
    org.account.settings.limit = Some(2);
    for inside in [false, true] {
        org.pass(5);
        org.account.settings.limit_inside = inside;
        assert_eq!((org.get(USERS).0, org.get(USERS).0), (200, 200));
        assert_eq!(org.get(AUTHENTICATION).0, 200, "the authentication is not counted");
        let answer = org.get(USERS);
        assert_eq!(answer.0, if inside { 200 } else { 429 });
        refused(answer, "MXAPIRateLimitExceededException", "2 in 5 second(s)");
    }
    org.pass(4);
    refused(org.get(USERS), "MXAPIRateLimitExceededException", "limit");
    org.pass(1);
    assert!(org.get(USERS).1.is_array());
}

#[test]
fn an_injected_refusal_has_the_services_form() {
    let mut org = Org::new();
    let request = Request::parse(Method::GET, USERS, HeaderMap::new(), Bytes::new());
    for (status, kind) in [
        (StatusCode::TOO_MANY_REQUESTS, "MXAPIRateLimitExceededException"),
        (StatusCode::UNAUTHORIZED, "MXUnAuthorizedAccessException"),
        (StatusCode::SERVICE_UNAVAILABLE, "Exception"),
    ] {
        let reply = org.account.refuse(&request, status, Some(30));
        assert!(!reply.headers.contains_key(header::RETRY_AFTER), "none is documented");
        let answer = parsed(reply);
        assert_eq!(answer.0, status.as_u16());
        refused(answer, kind, "");
    }
    assert!(org.account.fail_inside(1));
    assert!(!org.account.expire_tokens());
    assert_eq!(org.get(USERS).0, 200, "reading does not use it up");
    let lead = json!([{"Attribute": "FirstName", "Value": "A"}]);
    let answer = org.post("/v2/LeadManagement.svc/Lead.Create", lead.clone());
    assert_eq!(answer.0, 200);
    refused(answer, "MXAPIRateLimitExceededException", "limit");
    assert!(org.account.leads().is_empty());
    made(org.post("/v2/LeadManagement.svc/Lead.Create", lead));
}

#[test]
fn users_are_listed_whole_and_shown_while_active() {
    let mut org = Org::new();
    let ravi = org.account.add_agent("Ravi", "ravi@example.com");
    org.account.change_user(&ravi, |user| user.phone_main = Some("+91-9711581199".to_owned()));
    let show = format!("/v2/UserManagement.svc/User/Retrieve/ByUserId?userId={ravi}");
    assert_eq!(org.get(&show).1[0]["PhoneMain"], "+91-9711581199");
    org.account.deactivate_user(&ravi);
    let (_, listed) = org.get(USERS);
    assert_eq!((&listed[0]["StatusCode"], &listed[1]["StatusCode"]), (&json!(0), &json!(1)));
    assert_eq!((&listed[1]["ID"], &listed[1]["EmailAddress"]), (&json!(ravi), &json!("ravi@example.com")));
    assert_eq!(org.get(&show).1, json!([]));
    let nobody = "/v2/UserManagement.svc/User/Retrieve/ByUserId";
    refused(org.get(nobody), "MXMandatoryAttributeMissingException", "userId");
}

#[test]
fn a_caller_is_routed_to_the_owner_of_his_lead_in_any_of_the_forms() {
    let mut org = Org::new();
    let ravi = org.account.add_user("Ravi", "ravi@example.com");
    org.account.change_user(&ravi, |user| user.phone_main = Some("+91-9711581199".to_owned()));
    let lead = org.lead("+91-9876543210");
    org.account.change_lead(&lead, org.now, |lead| lead.owner.clone_from(&ravi));
    let ask =
        |caller: &str| format!("/1/api/Telephony/LeadRouteV2/org-key/{CONNECTOR}?caller_id={caller}&agentInfo=true");
    for (form, number) in [
        (RouteReply::User, "/PhoneMain"),
        (RouteReply::Enveloped, "/Message/PhoneMain"),
        (RouteReply::Number, ""),
        (RouteReply::Text, ""),
    ] {
        org.account.settings.route_reply = form;
        let (status, body) = org.get(&ask("9876543210"));
        assert_eq!((status, body.pointer(number)), (200, Some(&json!("+91-9711581199"))), "{form:?}");
    }
    let without = ask("9876543210").replace("&agentInfo=true", "");
    assert_eq!(org.get(&without).1, "+91-9711581199");
    for (form, body) in [
        (NoRoute::EmptyObject, json!({})),
        (NoRoute::Null, Value::Null),
        (NoRoute::Empty, json!("")),
        (NoRoute::Enveloped, json!({"Status": "Success", "Message": null})),
    ] {
        org.account.settings.no_route = form;
        assert_eq!(org.get(&ask("9000000000")), (200, body), "{form:?}");
    }
    org.account.settings.no_route = NoRoute::Error;
    refused(org.get(&ask("9000000000")), "MXLeadNotFoundException", "");
    org.account.deactivate_user(&ravi);
    refused(org.get(&ask("9876543210")), "MXLeadNotFoundException", "");
    refused(org.get(&ask("")), "MXMandatoryAttributeMissingException", "caller_id");
}
