//! The strict HubSpot, asked without a socket: what it does, and for each operation what it must refuse.

mod objects;
mod searches;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::{SignedDuration, Timestamp};
use patchbay_sandbox::{
    Crm, Reply, Request, Sandbox,
    hubspot::{HubSpot, Kind, Limits},
};
use serde_json::{Value, json};

/// 2026-01-05T06:40:00Z
const START: Timestamp = Timestamp::constant(1_767_595_200, 0);
/// Long enough ago for search to know it.
const BEFORE: Timestamp = Timestamp::constant(1_767_595_200 - 60, 0);

/// An account, and a clock that stands until it is moved.
struct Portal {
    hubspot: HubSpot,
    now: Timestamp,
    token: String,
}

impl Portal {
    fn new() -> Self {
        let hubspot = HubSpot::prepared("pat-na1-1").with_oauth("id", "secret", "refresh");
        Self { hubspot, now: START, token: "pat-na1-1".to_owned() }
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    fn raw(&mut self, method: Method, target: &str, kind: &'static str, body: impl Into<Bytes>) -> Reply {
        let mut headers = HeaderMap::new();
        if !self.token.is_empty() {
            let value = format!("Bearer {}", self.token);
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&value).unwrap());
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        let request = Request::parse(method, target, headers, body.into());
        self.hubspot.handle(&request, self.now)
    }

    fn ask(&mut self, method: Method, target: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = self.raw(method, target, "application/json", body);
        let body =
            if reply.body.is_empty() { Value::Null } else { serde_json::from_slice(&reply.body).expect("a JSON body") };
        (reply.status.as_u16(), body)
    }

    fn get(&mut self, target: &str) -> (u16, Value) {
        self.ask(Method::GET, target, &Value::Null)
    }

    fn post(&mut self, target: &str, body: Value) -> (u16, Value) {
        self.ask(Method::POST, target, &body)
    }

    fn patch(&mut self, target: &str, body: Value) -> (u16, Value) {
        self.ask(Method::PATCH, target, &body)
    }

    fn put(&mut self, target: &str) -> (u16, Value) {
        self.ask(Method::PUT, target, &Value::Null)
    }

    fn upsert(&mut self, sid: &str, properties: Value) -> (u16, Value) {
        let input = json!({"idProperty": "exotel_call_sid", "id": sid, "properties": properties});
        self.post("/crm/v3/objects/calls/batch/upsert", json!({"inputs": [input]}))
    }

    fn call(&mut self, sid: &str) -> String {
        let (status, body) = self.upsert(sid, json!({"hs_timestamp": "1767595200000"}));
        assert_eq!(status, 200, "{body}");
        body["results"][0]["id"].as_str().expect("an id").to_owned()
    }

    fn token_for(&mut self, form: &'static str) -> (u16, Value) {
        let reply = self.raw(Method::POST, "/oauth/v1/token", "application/x-www-form-urlencoded", form);
        (reply.status.as_u16(), serde_json::from_slice(&reply.body).expect("a JSON body"))
    }
}

/// Status and category of a refusal, which must have HubSpot's form.
fn refused((status, body): (u16, Value)) -> (u16, String) {
    assert_eq!(body["status"], "error", "{body}");
    assert!(body["message"].is_string() && body["correlationId"].is_string(), "{body}");
    (status, body["category"].as_str().expect("a category").to_owned())
}

fn no(status: u16, category: &str) -> (u16, String) {
    (status, category.to_owned())
}

/// The code of the one property that was refused.
fn code((status, body): (u16, Value)) -> (u16, String) {
    assert_eq!(refused((status, body.clone())), no(400, "VALIDATION_ERROR"));
    assert_eq!(body["errors"].as_array().map(Vec::len), Some(1), "{body}");
    (status, body["errors"][0]["code"].as_str().expect("a code").to_owned())
}

#[test]
fn only_a_living_token_opens_the_account() {
    let mut portal = Portal::new();
    assert_eq!(portal.get("/account-info/v3/details").0, 200);
    for bad in ["", "wrong"] {
        portal.token = bad.to_owned();
        assert_eq!(refused(portal.get("/account-info/v3/details")), no(401, "INVALID_AUTHENTICATION"), "{bad}");
    }
    portal.token = "pat-na1-1".to_owned();
    portal.hubspot.set_token(None);
    assert_eq!(portal.get("/account-info/v3/details").0, 401);
    portal.hubspot.set_token(Some("pat-na1-1"));
    portal.hubspot.close("/crm/v3/owners");
    assert_eq!(refused(portal.get("/crm/v3/owners")), no(403, "MISSING_SCOPES"));
    assert_eq!(portal.get("/account-info/v3/details").0, 200);
}

#[test]
fn a_refresh_token_gives_access_for_half_an_hour_and_stays() {
    let mut portal = Portal::new();
    portal.token.clear();
    let good = "grant_type=refresh_token&client_id=id&client_secret=secret&refresh_token=refresh";
    let (status, issued) = portal.token_for(good);
    assert_eq!((status, &issued["expires_in"], &issued["refresh_token"]), (200, &json!(1800), &json!("refresh")));
    portal.token = issued["access_token"].as_str().unwrap().to_owned();
    assert_eq!(portal.get("/account-info/v3/details").0, 200);
    portal.pass(1800);
    assert_eq!(refused(portal.get("/account-info/v3/details")), no(401, "EXPIRED_AUTHENTICATION"));
    for (form, status) in [
        ("grant_type=refresh_token&client_id=id&client_secret=secret&refresh_token=other", "BAD_REFRESH_TOKEN"),
        ("grant_type=refresh_token&client_id=id&client_secret=no&refresh_token=refresh", "BAD_CLIENT_ID"),
        ("grant_type=password&client_id=id&client_secret=secret", "BAD_GRANT_TYPE"),
        ("grant_type=refresh_token&client_id=id&client_secret=secret", "BAD_REQUEST"),
        ("grant_type=authorization_code&client_id=id&client_secret=secret&code=x&redirect_uri=y", "BAD_AUTH_CODE"),
    ] {
        let (code, body) = portal.token_for(form);
        assert_eq!((code, body["status"].as_str()), (400, Some(status)), "{form}");
    }
    assert_eq!(portal.token_for(good).0, 200, "it does not rotate");
    portal.token.clear();
    assert!(portal.hubspot.expire_tokens());
    portal.hubspot.grants().expect("OAuth").revoke();
    assert_eq!(portal.token_for(good).1["status"], "BAD_REFRESH_TOKEN");
}

#[test]
fn what_is_no_route_is_refused() {
    let mut portal = Portal::new();
    for unknown in ["/nothing", "/crm/v3/objects/calls/1/associations", "/crm/v3/objects/calls/batch/read/x", "/"] {
        assert_eq!(refused(portal.get(unknown)), no(404, "OBJECT_NOT_FOUND"), "{unknown}");
    }
    assert_eq!(refused(portal.get("/crm/v3/objects/rockets/1")), no(400, "VALIDATION_ERROR"));
    for (method, target) in [
        (Method::GET, "/crm/v3/objects/calls/search"),
        (Method::PUT, "/crm/v3/objects/calls/1"),
        (Method::DELETE, "/crm/v3/objects/calls"),
    ] {
        assert_eq!(portal.ask(method, target, &Value::Null).0, 405, "{target}");
    }
}

#[test]
fn owners_are_no_users_and_come_page_by_page() {
    let mut portal = Portal::new();
    let ravi = portal.hubspot.add_owner("Ravi Rao", "ravi@example.com");
    let asha = portal.hubspot.add_owner("Asha", "asha@example.com");
    assert_ne!(ravi.id, ravi.user_id.to_string());
    let (_, page) = portal.get("/crm/v3/owners?limit=1");
    assert_eq!((&page["results"][0]["id"], &page["results"][0]["userId"]), (&json!(ravi.id), &json!(ravi.user_id)));
    let after = page["paging"]["next"]["after"].as_str().expect("more").to_owned();
    let (_, page) = portal.get(&format!("/crm/v3/owners?limit=1&after={after}"));
    assert_eq!((&page["results"][0]["id"], page.get("paging")), (&json!(asha.id), None));
    assert_eq!(portal.get("/crm/v3/owners?email=RAVI@example.com").1["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(portal.get(&format!("/crm/v3/owners/{}?idProperty=userId", ravi.user_id)).1["id"], json!(ravi.id));
    assert!(portal.hubspot.archive_owner(&ravi.id) && !portal.hubspot.archive_owner("1"));
    assert_eq!(refused(portal.get(&format!("/crm/v3/owners/{}", ravi.id))), no(404, "OBJECT_NOT_FOUND"));
    assert_eq!(portal.get("/crm/v3/owners?archived=true").1["results"][0]["userId"], Value::Null);
    for bad in ["limit=0", "limit=501", "limit=x", "after=x"] {
        assert_eq!(refused(portal.get(&format!("/crm/v3/owners?{bad}"))), no(400, "VALIDATION_ERROR"), "{bad}");
    }
    assert_eq!(refused(portal.get("/crm/v3/owners/1?idProperty=email")), no(400, "VALIDATION_ERROR"));
}

#[test]
fn limits_have_windows_of_their_own_and_a_form_of_their_own() {
    let mut portal = Portal::new();
    portal.hubspot.settings.limits = Limits { ten_secondly: Some(2), daily: Some(6), search_secondly: Some(1) };
    let policy = |(status, body): (u16, Value)| {
        (status, body["policyName"].as_str().map(str::to_owned), body["errorType"] == "RATE_LIMIT")
    };
    let reply = portal.raw(Method::GET, "/account-info/v3/details", "application/json", "");
    assert_eq!(reply.headers["x-hubspot-ratelimit-remaining"], "1");
    assert_eq!(reply.headers["x-hubspot-ratelimit-daily-remaining"], "5");
    assert_eq!(portal.get("/account-info/v3/details").0, 200);
    let full = (429, Some("TEN_SECONDLY_ROLLING".to_owned()), true);
    assert_eq!(policy(portal.get("/account-info/v3/details")), full);
    let search = searches::by_phone("1");
    let reply = portal.raw(Method::POST, "/crm/v3/objects/contacts/search", "application/json", search.to_string());
    assert_eq!((reply.status.as_u16(), reply.headers.contains_key("x-hubspot-ratelimit-max")), (200, false));
    let again = portal.post("/crm/v3/objects/contacts/search", search.clone());
    assert_eq!(policy(again), (429, Some("SECONDLY".to_owned()), true));
    portal.pass(1);
    assert_eq!(portal.post("/crm/v3/objects/contacts/search", search).0, 200);
    portal.pass(9);
    for _ in 0..2 {
        assert_eq!(portal.get("/account-info/v3/details").0, 200);
    }
    portal.pass(10);
    assert_eq!(policy(portal.get("/account-info/v3/details")), (429, Some("DAILY".to_owned()), true));
    portal.pass(24 * 3600);
    assert_eq!(portal.get("/account-info/v3/details").0, 200);
    for plan in [Limits::starter(), Limits::professional(), Limits::public_app()] {
        assert!(plan.search_secondly == Some(5) && plan.ten_secondly.is_some());
    }
}

#[test]
fn an_ordered_refusal_looks_like_hubspots_own() {
    let mut portal = Portal::new();
    let request = Request::parse(Method::GET, "/crm/v3/owners", HeaderMap::new(), Bytes::new());
    for (status, retry_after, category) in [
        (400, None, "VALIDATION_ERROR"),
        (401, None, "INVALID_AUTHENTICATION"),
        (403, None, "MISSING_SCOPES"),
        (409, None, "CONFLICT"),
        (423, None, "LOCKED"),
        (477, Some("60"), "MIGRATION_IN_PROGRESS"),
        (503, None, "INTERNAL_ERROR"),
    ] {
        let code = http::StatusCode::from_u16(status).unwrap();
        let reply = portal.hubspot.refuse(&request, code, Some(60));
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(refused((reply.status.as_u16(), body)), no(status, category));
        let header = reply.headers.get(header::RETRY_AFTER).map(|value| value.to_str().unwrap());
        assert_eq!(header, retry_after, "{status}");
    }
    for given in [false, true] {
        portal.hubspot.settings.retry_after_header = given;
        let reply = portal.hubspot.refuse(&request, http::StatusCode::TOO_MANY_REQUESTS, Some(7));
        assert_eq!(reply.headers.contains_key(header::RETRY_AFTER), given);
    }
}

#[test]
fn an_inbound_call_names_the_callers_and_makes_an_engagement_only_if_asked() {
    let mut portal = Portal::new();
    let ravi = portal.hubspot.add_owner("Ravi Rao", "ravi@example.com");
    let asha = portal.hubspot.add_contact("Asha", "09876543210", BEFORE);
    let call = json!({"createEngagement": false, "engagementProperties": {}, "externalCallId": "1a2b",
        "finalCallStatus": "RINGING", "fromNumber": {"e164Number": "+919876543210", "phoneNumberType": "MOBILE"},
        "toNumber": {"e164Number": "+918047100000", "phoneNumberType": "FIXED_LINE"},
        "potentialRecipientUserIds": [ravi.user_id]});
    let target = "/crm/v3/extensions/calling/inbound-call";
    assert_eq!(refused(portal.post(target, call.clone())), no(403, "MISSING_SCOPES"), "a private app has no extension");
    let form = "grant_type=refresh_token&client_id=id&client_secret=secret&refresh_token=refresh";
    portal.token = portal.token_for(form).1["access_token"].as_str().unwrap().to_owned();
    let (status, body) = portal.post(target, call.clone());
    assert_eq!((status, body["callerIdMatches"][0]["objectCoordinates"]["objectId"].to_string()), (200, asha));
    assert_eq!((portal.hubspot.records().len(), portal.hubspot.told().len()), (0, 1));
    let with = |key: &str, value: Value| {
        let mut call = call.clone();
        call[key] = value;
        call
    };
    for (bad, why) in [
        (with("finalCallStatus", json!("GONE")), "a status"),
        (with("externalCallId", json!(5)), "a text"),
        (with("potentialRecipientUserIds", json!([1])), "a user"),
        (with("potentialRecipientUserIds", json!([ravi.id.parse::<u64>().unwrap()])), "an owner is no user"),
        (with("fromNumber", json!({"e164Number": "09876543210", "phoneNumberType": "MOBILE"})), "E.164"),
        (with("fromNumber", json!({"e164Number": "+919876543210", "phoneNumberType": "CELL"})), "a type"),
        (with("fromNumber", json!({"e164Number": "+919876543210"})), "the type is missing"),
        (with("more", json!(1)), "an unknown field"),
    ] {
        assert_eq!(refused(portal.post(target, bad)), no(400, "VALIDATION_ERROR"), "{why}");
    }
    let (status, _) = portal.post(target, with("createEngagement", json!(true)));
    assert_eq!((status, portal.hubspot.records().len()), (200, 1));
    assert!(portal.hubspot.told()[1].engagement.is_some());
}

#[test]
fn a_recording_is_ready_only_for_a_call_that_says_where_it_is() {
    let mut portal = Portal::new();
    let (target, id) = ("/crm/v3/extensions/calling/recordings/ready", portal.call("sid"));
    let ready = json!({"engagementId": id.parse::<u64>().unwrap()});
    assert_eq!(refused(portal.post(target, ready.clone())), no(403, "MISSING_SCOPES"));
    let form = "grant_type=refresh_token&client_id=id&client_secret=secret&refresh_token=refresh";
    portal.token = portal.token_for(form).1["access_token"].as_str().unwrap().to_owned();
    assert_eq!(refused(portal.post(target, ready.clone())), no(400, "VALIDATION_ERROR"));
    assert_eq!(refused(portal.post(target, json!({"engagementId": id}))), no(400, "VALIDATION_ERROR"));
    assert_eq!(refused(portal.post(target, json!({"engagementId": 7}))), no(404, "OBJECT_NOT_FOUND"));
    let values = [("hs_call_app_id", "77"), ("hs_call_external_id", "sid"), ("hs_call_external_account_id", "acme")];
    portal.hubspot.edit(Kind::Calls, &id, &values, START);
    assert_eq!(portal.post(target, ready), (204, Value::Null));
    assert_eq!(portal.hubspot.ready(), std::slice::from_ref(&id));
}
