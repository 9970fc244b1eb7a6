//! The simulated Exotel as a strict partner: what it refuses of calls, legs, lists, devices and messages, and what it
//! tells of a call that was placed.

use std::time::Duration;

use base64::Engine as _;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use patchbay_sandbox::{
    Reply, Request, Sandbox,
    exotel::{Exotel, HeldDevice, HeldUser, SimulatedCall, Trouble},
};
use serde_json::{Value, json};

/// 2017-03-03 10:48:33 in India.
const BEGUN: Timestamp = Timestamp::constant(1_488_518_313, 0);
const CONNECT: &str = "/v1/Accounts/acme1/Calls/connect.json";
const FORM: &str = "application/x-www-form-urlencoded";
/// What every call needs.
const CALL: [(&str, &str); 3] = [("From", "+919876530240"), ("To", "09052138847"), ("CallerId", "08030754890")];

fn at(seconds: i64) -> Timestamp {
    BEGUN + SignedDuration::from_secs(seconds)
}

fn account() -> Exotel {
    let mut exotel = Exotel::new("acme1", "key", "token");
    exotel.add_exophone("e1", "+918030754890");
    exotel
}

fn ask(exotel: &mut Exotel, method: Method, target: &str, kind: &str, body: &str, now: Timestamp) -> Reply {
    let mut headers = HeaderMap::new();
    let encoded = base64::engine::general_purpose::STANDARD.encode("key:token");
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Basic {encoded}")).unwrap());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
    exotel.handle(&Request::parse(method, target, headers, body.to_owned().into()), now)
}

fn get(exotel: &mut Exotel, target: &str, now: Timestamp) -> Reply {
    ask(exotel, Method::GET, target, "text/plain", "", now)
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn place(exotel: &mut Exotel, more: &[(&str, &str)], now: Timestamp) -> Reply {
    let fields = [&CALL, more].concat();
    ask(exotel, Method::POST, CONNECT, FORM, &form(&fields), now)
}

fn value(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).expect("a JSON body")
}

fn message(reply: &Reply) -> String {
    value(reply)["RestException"]["Message"].as_str().expect("a message").to_owned()
}

fn sid(reply: &Reply) -> String {
    value(reply)["Call"]["Sid"].as_str().expect("a CallSid").to_owned()
}

#[test]
fn a_call_is_placed_only_with_what_it_needs_and_nothing_that_excludes_itself() {
    let mut exotel = account();
    for missing in 0..CALL.len() {
        let mut fields = CALL.to_vec();
        let (name, _) = fields.remove(missing);
        let reply = ask(&mut exotel, Method::POST, CONNECT, FORM, &form(&fields), BEGUN);
        assert_eq!(reply.status, 400, "{name}");
        assert_eq!(message(&reply), format!("Invalid Call Parameters: No '{name}' specified"));
    }
    let long = "x".repeat(129);
    for bad in [
        ("Url", "http://my.exotel.com/acme1/exoml/start_voice/7"),
        ("CallType", "promo"),
        ("TimeLimit", "14401"),
        ("TimeOut", "61"),
        ("TimeOut", "soon"),
        ("Record", "yes"),
        ("RecordingChannels", "triple"),
        ("CustomField", long.as_str()),
        ("StatusCallback", "calls.test"),
        ("StatusCallbackEvents[0]", "sneezed"),
        ("StatusCallbackContentType", "text/xml"),
    ] {
        assert_eq!(place(&mut exotel, &[bad], BEGUN).status, 400, "{bad:?}");
    }
    for (name, wrong) in [("From", "nobody"), ("To", "12"), ("CallerId", "08041111111")] {
        let fields: Vec<_> = CALL.map(|(key, value)| (key, if key == name { wrong } else { value })).into();
        assert_eq!(ask(&mut exotel, Method::POST, CONNECT, FORM, &form(&fields), BEGUN).status, 400, "{name}");
    }
    let foreign = [CALL[0], CALL[2], ("Url", "https://elsewhere.test/exoml")];
    assert_eq!(ask(&mut exotel, Method::POST, CONNECT, FORM, &form(&foreign), BEGUN).status, 400);
    assert!(exotel.placed().is_empty());
    assert_eq!(get(&mut exotel, CONNECT, BEGUN).status, 405);

    let reply = place(&mut exotel, &[("CustomField", "m1"), ("Mood", "good")], BEGUN);
    let call = &value(&reply)["Call"];
    assert_eq!((&call["From"], &call["To"]), (&json!("09876530240"), &json!("09052138847")));
    assert_eq!((&call["Status"], &call["EndTime"]), (&json!("in-progress"), &Value::Null));
    assert_eq!(exotel.placed(), [sid(&reply)]);
    // Exotel would pass over it; a test should not.
    assert_eq!(exotel.surprises().collect::<Vec<_>>(), ["Calls/connect: Mood"]);
}

#[test]
fn a_call_into_a_flow_goes_to_the_exophone() {
    let mut exotel = account();
    let fields = [CALL[0], CALL[2], ("Url", "http://my.exotel.com/acme1/exoml/start_voice/7")];
    let reply = ask(&mut exotel, Method::POST, CONNECT, FORM, &form(&fields), BEGUN);
    assert_eq!(value(&reply)["Call"]["To"], json!("08030754890"));
}

#[test]
fn a_call_at_a_voicebot_has_one_leg_and_needs_its_websocket() {
    let mut exotel = account();
    let stream = ("StreamUrl", "wss://bot.test/voicebot/t");
    let kind = ("StreamType", "bidirectional");
    for wrong in [
        vec![CALL[0], CALL[2], stream],
        vec![CALL[0], CALL[2], kind, ("StreamUrl", "https://bot.test/")],
        vec![CALL[0], CALL[1], CALL[2], kind, stream],
        vec![CALL[0], CALL[2], stream, ("StreamType", "both")],
    ] {
        assert_eq!(ask(&mut exotel, Method::POST, CONNECT, FORM, &form(&wrong), BEGUN).status, 400, "{wrong:?}");
    }
    let right = [CALL[0], CALL[2], kind, stream, ("TimeLimit", "600")];
    let reply = ask(&mut exotel, Method::POST, CONNECT, FORM, &form(&right), BEGUN);
    assert_eq!(value(&reply)["Call"]["To"], json!("08030754890"));
    let call = exotel.call(&sid(&reply)).expect("the call");
    assert_eq!((call.stream_url.as_deref(), call.talk_seconds), (Some(stream.1), 0));
    assert_eq!(exotel.surprises().count(), 0);
}

#[test]
fn trouble_is_answered_alike_whether_the_call_went_out_or_not() {
    let mut exotel = account();
    exotel.next_connect(Trouble::NoRoute(504));
    exotel.next_connect(Trouble::PlacedAllTheSame(504));
    let replies = [place(&mut exotel, &[], BEGUN), place(&mut exotel, &[], BEGUN)];
    assert_eq!(replies[0].status, 504);
    assert_eq!((replies[0].status, &replies[0].body), (replies[1].status, &replies[1].body));
    assert_eq!(exotel.placed().len(), 1);
}

#[test]
fn callbacks_come_when_things_happen_in_the_form_that_was_asked_for() {
    let mut exotel = account();
    let events = [
        ("StatusCallback", "https://calls.test/s"),
        ("StatusCallbackEvents[0]", "terminal"),
        ("StatusCallbackEvents[1]", "answered"),
        ("StatusCallbackContentType", "application/json"),
        ("CustomField", "m1"),
    ];
    let call = sid(&place(&mut exotel, &events, BEGUN));
    assert!(exotel.take_callbacks(at(4)).is_empty());
    let told = |exotel: &mut Exotel, seconds| -> Vec<Value> {
        let callbacks = exotel.take_callbacks(at(seconds));
        callbacks.iter().map(|callback| serde_json::from_str(&callback.body).expect("JSON")).collect()
    };
    // Each leg's answer comes under the same name (§3).
    let statuses = |body: &Value| [0, 1].map(|leg| body["Legs"][leg]["Status"].as_str().unwrap_or("?").to_owned());
    let [first] = &told(&mut exotel, 5)[..] else { panic!("not one") };
    assert_eq!((&first["EventType"], statuses(first)), (&json!("answered"), ["in-progress".into(), String::new()]));
    assert_eq!(first.get("CustomField"), None, "it comes with the end only");
    let [second] = &told(&mut exotel, 9)[..] else { panic!("not one") };
    assert_eq!(statuses(second), ["in-progress".to_owned(), "in-progress".to_owned()]);
    let [end] = &told(&mut exotel, 22)[..] else { panic!("not one") };
    assert_eq!(
        (&end["CallSid"], &end["EventType"], &end["CustomField"]),
        (&json!(call), &json!("terminal"), &json!("m1"))
    );
    assert_eq!((&end["EndTime"], &end["ConversationDuration"]), (&json!("2017-03-03 10:48:55"), &json!("13")));

    // Without events: one poor callback, in parts.
    place(&mut exotel, &[("StatusCallback", "https://calls.test/s")], BEGUN);
    let [poor] = &exotel.take_callbacks(at(22))[..] else { panic!("not one") };
    assert!(poor.content_type.starts_with("multipart/form-data; boundary="));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(&poor.content_type).unwrap());
    let read = Request::parse(Method::POST, "/", headers, poor.body.clone().into());
    let names: Vec<String> = read.multipart().expect("parts").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["CallSid", "Status", "RecordingUrl", "DateUpdated"]);
}

#[test]
fn a_call_that_is_hung_up_is_answered_by_nobody_afterwards() {
    let mut exotel = account();
    let events = [("StatusCallback", "https://calls.test/s"), ("StatusCallbackEvents[]", "answered")];
    let call = sid(&place(&mut exotel, &events, BEGUN));
    let leg = exotel.held_legs(&call)[0].sid.clone();
    let target = format!("/v1/Accounts/acme1/Calls/{call}/Legs/{leg}.json");
    let reply = ask(&mut exotel, Method::PUT, &target, FORM, "Action=hangup", at(2));
    assert_eq!(value(&reply)["legs"]["LastAction"], json!("hangup"));
    assert_eq!(ask(&mut exotel, Method::PUT, &target, FORM, "Action=hangup", at(3)).status, 404);
    let [end] = &exotel.take_callbacks(at(60))[..] else { panic!("not one") };
    assert!(end.body.contains("terminal"), "{}", end.body);
}

#[test]
fn a_list_has_pages_filters_and_a_lag_and_refuses_what_exotel_refuses() {
    let mut exotel = account();
    for n in 0..5 {
        let from = if n == 4 { "09711581199" } else { "09052138847" };
        exotel.add_call(SimulatedCall::new(format!("c{n}"), from, "08030754890", at(n)));
    }
    let list = |exotel: &mut Exotel, query: &str, seconds| {
        get(exotel, &format!("/v1/Accounts/acme1/Calls.json?{query}"), at(seconds))
    };
    let sids = |reply: &Reply| -> Vec<String> {
        let calls = value(reply)["Calls"].as_array().expect("calls").clone();
        calls.iter().map(|call| call["Sid"].as_str().expect("a CallSid").to_owned()).collect()
    };
    assert_eq!(sids(&list(&mut exotel, "", 60)), ["c4", "c3", "c2", "c1", "c0"]);
    let window = "DateCreated=gte%3A2017-03-03+10%3A48%3A34%3Blte%3A2017-03-03+10%3A48%3A36&SortBy=DateCreated%3Aasc";
    let first = list(&mut exotel, &format!("{window}&PageSize=2"), 60);
    assert_eq!(sids(&first), ["c1", "c2"]);
    let next = value(&first)["Metadata"]["NextPageUri"].as_str().expect("a next page").to_owned();
    let second = get(&mut exotel, &next.replace("/Calls?", "/Calls.json?"), at(60));
    assert_eq!(sids(&second), ["c3"]);
    assert_eq!(value(&second)["Metadata"]["NextPageUri"], Value::Null);
    assert_eq!(sids(&list(&mut exotel, "From=%2B919711581199", 60)), ["c4"]);
    let xml = get(&mut exotel, "/v1/Accounts/acme1/Calls?PageSize=1", at(60));
    assert!(String::from_utf8_lossy(&xml.body).contains("</Metadata><Calls><Call><AccountSid>acme1"));

    exotel.settings.list_lag = Duration::from_secs(30);
    assert_eq!(sids(&list(&mut exotel, "", 32)), ["c2", "c1", "c0"]);
    assert_eq!(get(&mut exotel, "/v1/Accounts/acme1/Calls/c4.json", at(32)).status, 200, "told, though not listed");
    for bad in [
        "PageSize=101",
        "PageSize=0",
        "SortBy=Price:asc",
        "After=nobody",
        "From=1,2",
        "DateCreated=gte:yesterday",
        "DateCreated=gte:2017-01-01+00:00:00;lte:2017-02-03+00:00:00",
    ] {
        assert_eq!(list(&mut exotel, bad, 60).status, 400, "{bad}");
    }
}

#[test]
fn each_class_has_its_own_limit_and_too_many_has_two_forms() {
    let mut exotel = account();
    exotel.settings.connect_per_minute = Some(1);
    exotel.settings.legs_per_minute = Some(1);
    let call = sid(&place(&mut exotel, &[], BEGUN));
    assert_eq!(place(&mut exotel, &[], BEGUN).status, 429);
    let legs = format!("/v1/Accounts/acme1/Calls/{call}/ActiveLegs.json");
    assert_eq!(get(&mut exotel, &legs, BEGUN).status, 200);
    let many = get(&mut exotel, &legs, BEGUN);
    assert_eq!((many.status.as_u16(), &value(&many)["RestException"]["Status"]), (429, &json!(429)));
    assert_eq!(get(&mut exotel, &format!("/v1/Accounts/acme1/Calls/{call}.json"), BEGUN).status, 200);
    assert_eq!(place(&mut exotel, &[], at(60)).status, 200);
    let request = Request::parse(Method::GET, "/v2/accounts/acme1/users", HeaderMap::new(), "".into());
    let newer = exotel.refuse(&request, StatusCode::TOO_MANY_REQUESTS, Some(3));
    assert_eq!(value(&newer)["response"]["error"]["code"], json!("RATE_LIMIT_EXCEEDED"));
}

#[test]
fn legs_refuse_what_cannot_be_done_to_them() {
    let mut exotel = account();
    let call = sid(&place(&mut exotel, &[], BEGUN));
    let legs = format!("/v1/Accounts/acme1/Calls/{call}/Legs.json");
    let mut post = |body: &str, now| ask(&mut exotel, Method::POST, &legs, FORM, body, now).status.as_u16();
    assert_eq!(post("Action=listen", BEGUN), 400);
    assert_eq!(post("Action=listen&PhoneNumber=%2B919711581199", BEGUN), 400, "a zero goes before it (§5.2)");
    assert_eq!(post("Action=sing&PhoneNumber=09711581199", BEGUN), 400);
    assert_eq!(post("Action=whisper&PhoneNumber=09711581199", BEGUN), 400);
    assert_eq!(post("Action=whisper&PhoneNumber=09711581199&TargetLegSid=nobody", BEGUN), 404);
    assert_eq!(post("Action=listen&PhoneNumber=09711581199", at(600)), 404, "the call is over");
    let json = r#"{"Action":"barge","PhoneNumber":"09711581199","StatusCallbackEvents[0]":"terminal"}"#;
    assert_eq!(ask(&mut exotel, Method::POST, &legs, "application/json", json, BEGUN).status, 200);
    let ear = exotel.held_legs(&call)[2].sid.clone();
    let leg = format!("/v1/Accounts/acme1/Calls/{call}/Legs/{ear}");
    assert_eq!(ask(&mut exotel, Method::PUT, &leg, FORM, "Action=whisper", BEGUN).status, 400, "never back");
    let reply = get(&mut exotel, &legs, BEGUN);
    assert_eq!(value(&reply)["RestException"]["Description"], json!("Please check the callSID passed"));
    assert_eq!(get(&mut exotel, &legs, at(600)).status, 200);
}

#[test]
fn the_newer_apis_refuse_in_their_own_form_and_case() {
    let mut exotel = account();
    let device = |id: &str, available, verified| HeldDevice {
        id: id.to_owned(),
        contact: format!("+91971158119{}", id.len()),
        available,
        verified,
        busy: false,
    };
    exotel.users_mut().push(HeldUser {
        id: "u1".to_owned(),
        name: "Avnish".to_owned(),
        email: "a@example.com".to_owned(),
        active_call: None,
        devices: vec![device("d", true, true), device("dd", false, true), device("ddd", false, false)],
    });
    let put = |exotel: &mut Exotel, id: &str, body: &str| {
        let target = format!("/v2/accounts/acme1/users/u1/devices/{id}");
        let reply = ask(exotel, Method::PUT, &target, "application/json", body, BEGUN);
        (reply.status.as_u16(), value(&reply)["response"]["error_data"]["code"].as_u64().unwrap_or_default())
    };
    assert_eq!(put(&mut exotel, "dd", r#"{"available":true}"#), (403, 10_810));
    assert_eq!(put(&mut exotel, "ddd", r#"{"available":true}"#), (409, 10_809));
    assert_eq!(put(&mut exotel, "d", r#"{"colour":"red"}"#), (400, 1002));
    exotel.settings.errors_inside = true;
    assert_eq!(put(&mut exotel, "dd", r#"{"available":true}"#), (200, 10_810));
    exotel.settings.errors_inside = false;
    assert_eq!(get(&mut exotel, "/v2/accounts/acme1/users?limit=51", BEGUN).status, 400);
    assert_eq!(get(&mut exotel, "/v2/accounts/acme1/users", BEGUN).status, 200);
    for wrong in ["/v2/Accounts/acme1/users", "/v1/accounts/acme1/Calls.json", "/v1/Accounts/other/Calls.json"] {
        assert_eq!(get(&mut exotel, wrong, BEGUN).status, 404, "{wrong}");
    }
    let nobody = Request::parse(Method::GET, "/v2/accounts/acme1/users", HeaderMap::new(), "".into());
    let reply = exotel.handle(&nobody, BEGUN);
    assert_eq!((reply.status.as_u16(), &value(&reply)["response"]["error_data"]["code"]), (401, &json!(1010)));
}

#[test]
fn messages_need_a_sender_somebody_and_a_text_that_is_what_it_says() {
    let mut exotel = account();
    let target = "/v1/Accounts/acme1/Sms/send.json";
    let mut send = |fields: &[(&str, &str)]| {
        let fields: Vec<_> = [("From", "ACMEIN"), ("To", "09052138847"), ("Body", "Hi")]
            .into_iter()
            .filter(|(key, _)| !fields.iter().any(|(other, _)| other == key))
            .chain(fields.iter().copied().filter(|(_, value)| !value.is_empty()))
            .collect();
        ask(&mut exotel, Method::POST, target, FORM, &form(&fields), BEGUN).status.as_u16()
    };
    assert_eq!(send(&[]), 200);
    let long = "x".repeat(2001);
    for bad in [("From", ""), ("To", ""), ("Body", ""), ("To", "me"), ("Body", long.as_str()), ("Body", "नमस्ते")]
    {
        assert_eq!(send(&[bad]), 400, "{}", bad.0);
    }
    assert_eq!(send(&[("Body", "नमस्ते"), ("EncodingType", "unicode")]), 200);
    assert_eq!(exotel.messages().len(), 2);
}
