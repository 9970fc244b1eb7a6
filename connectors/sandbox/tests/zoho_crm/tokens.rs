//! The token server and the limits: refusals that are successes by their status.

use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::{Org, no, refused};

#[test]
fn a_token_opens_for_an_hour_and_says_where() {
    let mut org = Org::new();
    let (status, body) = org.refresh();
    assert_eq!((status, &body["api_domain"], &body["expires_in"]), (200, &json!("http://zoho.test"), &json!(3600)));
    assert!(body.get("refresh_token").is_none());
    assert_eq!(org.get("/users").0, 200);
    org.pass(3600);
    assert_eq!(refused(org.get("/users")), no(401, "INVALID_TOKEN", ""));
    org.token = String::new();
    assert_eq!(refused(org.get("/users")), no(401, "AUTHENTICATION_FAILURE", ""));
}

#[test]
fn refusals_come_with_200() {
    let mut org = Org::new();
    let good = [
        ("grant_type", "refresh_token"),
        ("client_id", "id"),
        ("client_secret", "secret"),
        ("refresh_token", "refresh"),
    ];
    for (at, error) in [(0, "invalid_request"), (1, "invalid_client"), (2, "invalid_client"), (3, "invalid_code")] {
        let mut form = good;
        form[at].1 = "wrong";
        assert_eq!(org.form("/oauth/v2/token", &form), (200, json!({"error": error})));
        assert_eq!(org.form("/oauth/v2/token", &form[..at]).1.get("access_token"), None);
    }
    assert_eq!(org.raw(Method::GET, "/oauth/v2/token", "text/plain", "").status, StatusCode::OK);
    assert_eq!(org.raw(Method::POST, "/oauth/v3/token", "text/plain", "").status, StatusCode::NOT_FOUND);
}

#[test]
fn ten_tokens_in_ten_minutes_and_fifteen_at_once() {
    let mut org = Org::new();
    let first = org.token.clone();
    org.pass(1);
    for _ in 0..9 {
        assert!(org.refresh().1["access_token"].is_string());
    }
    let (status, body) = org.refresh();
    assert_eq!((status, &body["error"]), (200, &json!("Access Denied")));
    org.zoho.settings.token_refusals = StatusCode::BAD_REQUEST;
    assert_eq!(org.refresh().0, 400);
    org.pass(600);
    for _ in 0..6 {
        assert!(org.refresh().1["access_token"].is_string());
    }
    org.token = first;
    assert_eq!(refused(org.get("/users")).1, "INVALID_TOKEN", "the sixteenth kills the oldest");
}

#[test]
fn credits_are_told_from_half_on_and_end_in_429_without_a_time() {
    let mut org = Org::new();
    org.zoho.settings.credits = Some(3);
    let left = |org: &mut Org| {
        let reply = org.raw(Method::GET, "/crm/v8/users", "application/json", "");
        reply.headers.get("x-api-credits-remaining").map(|left| left.to_str().unwrap().to_owned())
    };
    assert_eq!(left(&mut org), None);
    assert_eq!(left(&mut org).as_deref(), Some("1"));
    assert_eq!(left(&mut org).as_deref(), Some("0"));
    let reply = org.raw(Method::GET, "/crm/v8/users", "application/json", "");
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(!reply.headers.contains_key(header::RETRY_AFTER));
    assert_eq!(refused(super::parsed(reply)), no(429, "TOO_MANY_REQUESTS", ""));
    org.pass(24 * 3600);
    org.token = org.refresh().1["access_token"].as_str().unwrap().to_owned();
    assert_eq!(org.ask(Method::GET, "/users", Value::Null).0, 200);
}

#[test]
fn ordered_refusals_have_the_form_of_the_service_asked() {
    use patchbay_sandbox::{Request, Sandbox as _};
    let org = Org::new();
    let ask = |target: &str, status| {
        let request = Request::parse(Method::POST, target, http::HeaderMap::new(), bytes::Bytes::new());
        super::parsed(org.zoho.refuse(&request, status, Some(30)))
    };
    assert_eq!(refused(ask("/crm/v8/Calls", StatusCode::TOO_MANY_REQUESTS)), no(429, "TOO_MANY_REQUESTS", ""));
    assert_eq!(refused(ask("/crm/v8/Calls", StatusCode::FORBIDDEN)), no(403, "NO_PERMISSION", ""));
    assert_eq!(refused(ask("/crm/v8/Calls", StatusCode::BAD_GATEWAY)), no(502, "INTERNAL_ERROR", ""));
    assert_eq!(ask("/oauth/v2/token", StatusCode::UNAUTHORIZED).1["error"], "invalid_client");
    assert_eq!(ask("/phonebridge/v3/callnotify", StatusCode::INTERNAL_SERVER_ERROR).1["code"], "INTERNAL_ERROR");
}
