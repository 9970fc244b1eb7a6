//! PhoneBridge: it logs a call by itself, once for each id.

use http::Method;
use patchbay_sandbox::Crm;
use serde_json::json;

use super::{Org, START};

const PATH: &str = "/phonebridge/v3/callnotify";
const ENDED: [(&str, &str); 7] = [
    ("type", "received"),
    ("state", "ended"),
    ("id", "1a2b"),
    ("from", "+919876543210"),
    ("to", "+919711581199"),
    ("start_time", "2026-01-05 06:40:00"),
    ("duration", "34"),
];

#[test]
fn a_call_is_shown_and_logged_once() {
    let mut org = Org::new();
    let contact = org.zoho.add_contact("Asha", "09876543210", START);
    for state in ["ringing", "answered"] {
        let mut form = ENDED[..5].to_vec();
        form[1].1 = state;
        assert_eq!(org.form(PATH, &form), (200, json!({"status": "success", "code": "SUCCESS"})));
    }
    assert!(org.zoho.records().is_empty(), "what is not over is no record");
    assert_eq!(org.form(PATH, &ENDED).0, 200);
    let mut again = ENDED.to_vec();
    again.push(("voiceuri", "https://r/1"));
    assert_eq!(org.form(PATH, &again).0, 200);
    let records = org.zoho.records();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].talk_seconds, records[0].recording.as_deref()), (Some(34), Some("https://r/1")));
    assert_eq!(records[0].contact, Some(contact));
    assert_eq!(org.zoho.notified().len(), 4);
}

#[test]
fn what_is_missing_or_wrong_is_refused() {
    let mut org = Org::new();
    for (at, (name, _)) in ENDED.iter().enumerate() {
        let mut form = ENDED.to_vec();
        form.remove(at);
        let (status, body) = org.form(PATH, &form);
        assert_eq!((status, body["code"].as_str()), (400, Some("REQUIRED_PARAM_MISSING")), "{}", name);
    }
    for (at, wrong) in [
        (0, "incoming"),
        (1, "over"),
        (2, "1a-2b"),
        (3, "919876543210"),
        (3, " 919876543210"),
        (5, "2026-01-05T06:40:00Z"),
        (6, "x"),
    ] {
        let mut form = ENDED.to_vec();
        form[at].1 = wrong;
        assert_eq!(org.form(PATH, &form).0, 400, "{wrong}");
    }
    let mut form = ENDED.to_vec();
    form.push(("zohouser", "1"));
    assert_eq!(org.form(PATH, &form).0, 400);
    org.zoho.settings.bridge_error_in_message = true;
    let (_, body) = org.form(PATH, &ENDED[..3]);
    assert_eq!(body, json!({"status": "error", "code": "SC_BAD_REQUEST", "message": "REQUIRED_PARAM_MISSING"}));
    assert!(org.zoho.records().is_empty());
}

#[test]
fn it_has_to_be_switched_on_and_can_fail_inside_a_success() {
    let mut org = Org::new();
    assert_eq!(org.raw(Method::DELETE, "/phonebridge/v3/integrate", "text/plain", "").status, 200);
    assert_eq!(org.form(PATH, &ENDED).1["code"], "PROVIDER_NOT_REGISTERED");
    assert_eq!(org.form("/phonebridge/v3/integrate", &[]).0, 200);
    org.zoho.fail_inside(1);
    let (status, body) = org.form(PATH, &ENDED);
    assert_eq!((status, &body["status"], org.zoho.records().len()), (200, &json!("error"), 0));
    let reply = org.raw(Method::GET, "/phonebridge/v3/users", "text/plain", "");
    assert_eq!(super::parsed(reply).1["users"][0]["email"], "owner@example.com");
    assert_eq!(org.form("/phonebridge/v3/nothing", &[]).0, 404);
    org.zoho.grants.expire();
    assert_eq!(org.form(PATH, &ENDED).0, 401);
}
