//! The simulated Exotel, asked without a socket at chosen times.

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::{SignedDuration, Timestamp};
use patchbay_sandbox::{
    Reply, Request, Sandbox,
    exotel::{Exotel, RecordingPlan, SimulatedCall},
};
use serde_json::{Value, json};

/// 2017-03-03 10:48:33 in India.
const BEGUN: Timestamp = Timestamp::constant(1_488_518_313, 0);

fn at(seconds: i64) -> Timestamp {
    BEGUN + SignedDuration::from_secs(seconds)
}

fn account() -> Exotel {
    let mut exotel = Exotel::new("acme1", "key", "token");
    exotel.set_public_url("http://exotel.test/");
    let mut call = SimulatedCall::new("c1", "09052161119", "08030752400", BEGUN);
    call.ended_at = Some(at(30));
    call.talk_seconds = 21;
    call.price = Some("0.50".to_owned());
    call.recording = Some(RecordingPlan { available_after_end: Duration::from_secs(300), bytes: "0123456789".into() });
    exotel.add_call(call);
    exotel
}

fn request(method: Method, target: &str, credentials: &str) -> Request {
    let mut headers = HeaderMap::new();
    if !credentials.is_empty() {
        let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Basic {encoded}")).unwrap());
    }
    Request::parse(method, target, headers, Bytes::new())
}

fn get(exotel: &mut Exotel, target: &str, now: Timestamp) -> Reply {
    exotel.handle(&request(Method::GET, target, "key:token"), now)
}

fn body(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).expect("a JSON body")
}

fn text(reply: &Reply) -> String {
    String::from_utf8(reply.body.to_vec()).unwrap()
}

#[test]
fn credentials_are_probed_with_the_account() {
    let mut exotel = account();
    assert_eq!(get(&mut exotel, "/v1/Accounts/acme1.json", BEGUN).status, 200);
    assert!(text(&get(&mut exotel, "/v1/Accounts/acme1", BEGUN)).contains("<Account><Sid>acme1</Sid>"));
    for bad in ["", "key:wrong", "wrong:token", "key:"] {
        let reply = exotel.handle(&request(Method::GET, "/v1/Accounts/acme1.json", bad), BEGUN);
        assert_eq!((reply.status.as_u16(), &body(&reply)["RestException"]["Status"]), (401, &json!(401)), "{bad}");
    }
    for unknown in ["/v1/Accounts/other.json", "/v1/accounts/acme1.json", "/v2/accounts/acme1", "/"] {
        assert_eq!(get(&mut exotel, unknown, BEGUN).status, 404, "{unknown}");
    }
    exotel.settings.plain_unauthorised = true;
    let reply = exotel.handle(&request(Method::GET, "/v1/Accounts/acme1.json", ""), BEGUN);
    assert_eq!(text(&reply), "Authentication is required to view this page.");
    assert_eq!(exotel.handle(&request(Method::POST, "/v1/Accounts/acme1", "key:token"), BEGUN).status, 405);
}

#[test]
fn a_call_has_the_documented_shape_and_order_of_keys() {
    let mut exotel = account();
    let reply = get(&mut exotel, "/v1/Accounts/acme1/Calls/c1.json", at(10));
    let running = concat!(
        r#"{"Call":{"Sid":"c1","ParentCallSid":null,"DateCreated":"2017-03-03 10:48:33","#,
        r#""DateUpdated":"2017-03-03 10:48:33","AccountSid":"acme1","To":"08030752400","From":"09052161119","#,
        r#""PhoneNumberSid":"08030752400","Status":"in-progress","StartTime":"2017-03-03 10:48:33","EndTime":null,"#,
        r#""Duration":null,"Price":null,"Direction":"inbound","AnsweredBy":null,"ForwardedFrom":null,"#,
        r#""CallerName":null,"Uri":"/v1/Accounts/acme1/Calls.json/c1","RecordingUrl":null}}"#
    );
    assert_eq!(text(&reply), running);
}

#[test]
fn facts_and_recording_come_only_some_time_after_the_end() {
    let mut exotel = account();
    let mut call =
        |seconds| body(&get(&mut exotel, "/v1/Accounts/acme1/Calls/c1.json?details=true", at(seconds)))["Call"].take();
    let running = call(29);
    assert_eq!((&running["Status"], &running["Details"]["Leg1Status"]), (&json!("in-progress"), &json!("in-progress")));
    let ended = call(30);
    assert_eq!(
        (&ended["Status"], &ended["Duration"], &ended["Price"]),
        (&json!("completed"), &Value::Null, &Value::Null)
    );
    assert_eq!(ended["Details"]["ConversationDuration"], Value::Null);
    assert_eq!(call(149)["EndTime"], Value::Null);
    let told = call(150);
    assert_eq!((&told["Duration"], &told["Price"]), (&json!(30), &json!("0.50")));
    assert_eq!(told["EndTime"], "2017-03-03 10:49:03");
    assert_eq!(told["RecordingUrl"], Value::Null);
    assert_eq!(
        told["Details"],
        json!({
            "ConversationDuration": 21,
            "Leg1Status": "completed",
            "Leg2Status": "completed",
            "Legs": [{"Leg": {"Id": 1, "OnCallDuration": 30}}, {"Leg": {"Id": 2, "OnCallDuration": 21}}],
        })
    );
    assert_eq!(call(329)["RecordingUrl"], Value::Null);
    assert_eq!(call(330)["RecordingUrl"], "http://exotel.test/exotelrecordings/acme1/c1.mp3");
}

#[test]
fn numbers_come_as_strings_where_the_account_does_so() {
    let mut exotel = account();
    exotel.settings.numbers_as_strings = true;
    let call = body(&get(&mut exotel, "/v1/Accounts/acme1/Calls/c1.json?details=true", at(999)));
    assert_eq!(call["Call"]["Duration"], "30");
    assert_eq!(call["Call"]["Details"]["ConversationDuration"], "21");
    assert_eq!(call["Call"]["Details"]["Legs"][0]["Leg"]["OnCallDuration"], "30");
}

#[test]
fn without_json_in_the_path_it_is_xml() {
    let mut exotel = account();
    exotel.change_call("c1", |call| call.from = "<sip:a&b>".to_owned());
    let xml = text(&get(&mut exotel, "/v1/Accounts/acme1/Calls/c1?details=true", at(999)));
    assert!(xml.contains("<TwilioResponse><Call><Sid>c1</Sid><ParentCallSid/>"), "{xml}");
    assert!(xml.contains("<From>&lt;sip:a&amp;b&gt;</From>"), "{xml}");
    assert!(xml.contains("<Legs><Leg><Id>1</Id><OnCallDuration>30</OnCallDuration></Leg><Leg>"), "{xml}");
    let unknown = get(&mut exotel, "/v1/Accounts/acme1/Calls/none", BEGUN);
    assert_eq!(unknown.status, 404);
    assert!(text(&unknown).contains("<RestException><Status>404</Status>"));
}

#[test]
fn unknown_calls_and_bad_validities_are_refused() {
    let mut exotel = account();
    let unknown = get(&mut exotel, "/v1/Accounts/acme1/Calls/none.json", BEGUN);
    assert_eq!(body(&unknown), json!({"RestException": {"Status": 404, "Message": "Not Found"}}));
    for (minutes, status) in [("4", 400), ("5", 200), ("60", 200), ("61", 400), ("x", 400)] {
        let target = format!("/v1/Accounts/acme1/Calls/c1.json?RecordingUrlValidity={minutes}");
        assert_eq!(get(&mut exotel, &target, BEGUN).status, status, "{minutes}");
    }
}

#[test]
fn details_are_limited_per_minute() {
    let mut exotel = account();
    exotel.settings.details_per_minute = Some(2);
    let status = |exotel: &mut Exotel, seconds| get(exotel, "/v1/Accounts/acme1/Calls/c1.json", at(seconds)).status;
    assert_eq!([0, 1, 2].map(|seconds| status(&mut exotel, seconds).as_u16()), [200, 200, 429]);
    assert_eq!(status(&mut exotel, 60), 200);
    assert_eq!(get(&mut exotel, "/v1/Accounts/acme1", at(60)).status, 200, "the account is not counted");
}

#[test]
fn a_recording_needs_time_and_credentials() {
    let mut exotel = account();
    let path = "/exotelrecordings/acme1/c1.mp3";
    assert_eq!(get(&mut exotel, path, at(329)).status, 404);
    assert_eq!(get(&mut exotel, path, at(330)).status, 200);
    assert_eq!(exotel.handle(&request(Method::GET, path, ""), at(330)).status, 401);
    assert_eq!(exotel.handle(&request(Method::POST, path, "key:token"), at(330)).status, 404);
    for other in ["/exotelrecordings/acme1/c1", "/exotelrecordings/acme1/c2.mp3", "/exotelrecordings/other/c1.mp3"] {
        assert_eq!(get(&mut exotel, other, at(330)).status, 404, "{other}");
    }
}

#[test]
fn a_recording_is_given_in_parts() {
    let mut exotel = account();
    let mut part = |range: &str, tag: Option<&str>| {
        let mut asked = request(Method::GET, "/exotelrecordings/acme1/c1.mp3", "key:token");
        asked.headers.insert(header::RANGE, HeaderValue::from_str(range).unwrap());
        if let Some(tag) = tag {
            asked.headers.insert(header::IF_RANGE, HeaderValue::from_str(tag).unwrap());
        }
        let reply = exotel.handle(&asked, at(330));
        let range = reply.headers.get(header::CONTENT_RANGE).map(|range| range.to_str().unwrap().to_owned());
        (reply.status.as_u16(), text(&reply), range)
    };
    assert_eq!(part("bytes=2-4", None), (206, "234".into(), Some("bytes 2-4/10".into())));
    assert_eq!(part("bytes=2-4", Some("\"c1\"")), (206, "234".into(), Some("bytes 2-4/10".into())));
    assert_eq!(part("bytes=2-4", Some("\"other\"")), (200, "0123456789".into(), None));
    assert_eq!(part("bytes=10-", None), (416, String::new(), Some("bytes */10".into())));
}

#[test]
fn a_signed_address_expires() {
    let mut exotel = account();
    exotel.settings.signed_recordings = true;
    let redirect = get(&mut exotel, "/exotelrecordings/acme1/c1.mp3", at(330));
    let signed =
        redirect.headers[header::LOCATION].to_str().unwrap().strip_prefix("http://exotel.test").unwrap().to_owned();
    let mut status =
        |method, credentials, seconds| exotel.handle(&request(method, &signed, credentials), at(seconds)).status;
    assert_eq!(status(Method::GET, "", 629), 200);
    assert_eq!(status(Method::GET, "", 630), 403);
    assert_eq!(status(Method::GET, "key:token", 629), 400);
    assert_eq!(status(Method::PUT, "", 629), 405);
}
