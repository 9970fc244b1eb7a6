//! Every encoding that Exotel was seen to use, read as the same event; what nobody can read is set aside, never
//! guessed.

use std::{fs, path::Path};

use jiff::Timestamp;
use patchbay_kit::FollowUpKind;
use proptest::prelude::*;
use serde::Deserialize;
use uuid::Uuid;

use super::*;
use crate::call::{FollowUpWish, event::Facts};

fn locale() -> Locale {
    Locale {
        utc_offset: Offset::from_seconds(19_800).unwrap(),
        country: "IN".to_owned(),
        recording_origins: Vec::new(),
    }
}

fn receipt(hook: Hook, query: &str, content_type: Option<&str>, body: &[u8]) -> Receipt {
    Receipt {
        id: Uuid::nil(),
        account: "acme".to_owned(),
        hook,
        received_at: Timestamp::UNIX_EPOCH,
        method: "GET".to_owned(),
        path: "/".to_owned(),
        query: query.to_owned(),
        content_type: content_type.map(str::to_owned),
        body: body.to_vec(),
    }
}

fn event(query: &str) -> CallEvent {
    normalise(&receipt(Hook::CallEvents, query, None, b""), &locale()).unwrap()
}

/// One request as Exotel sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    #[allow(dead_code, reason = "for the reader of the fixture; its presence is what is checked")]
    source: String,
    hook: String,
    method: String,
    #[serde(default)]
    path: String,
    query: String,
    #[serde(default)]
    body: String,
    content_type: Option<String>,
    expect: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    call_sid: String,
    kind: serde_json::Value,
    at: Option<Timestamp>,
    /// Facts, or `at`, that must not be there.
    #[serde(default)]
    absent: Vec<String>,
    #[serde(default)]
    facts: serde_json::Map<String, serde_json::Value>,
}

/// Whether everything `wanted` says is so in `found`.
fn holds(wanted: &serde_json::Value, found: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Object};
    match (wanted, found) {
        (Object(wanted), Object(found)) => {
            wanted.iter().all(|(name, value)| found.get(name).is_some_and(|found| holds(value, found)))
        }
        (Array(wanted), Array(found)) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| holds(wanted, found))
        }
        _ => wanted == found,
    }
}

#[test]
fn every_recorded_request_is_read() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/callbacks");
    let mut read = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let sample: Sample =
            toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        let hook = Hook::parse(&sample.hook.replace('-', "_")).unwrap();
        let mut receipt = receipt(hook, &sample.query, sample.content_type.as_deref(), sample.body.as_bytes());
        receipt.method = sample.method;
        receipt.path = sample.path;
        let event = normalise(&receipt, &locale()).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        assert_eq!(event.call_sid, sample.expect.call_sid, "{path:?}");
        assert_eq!(serde_json::to_value(&event.kind).unwrap(), sample.expect.kind, "{path:?}");
        if let Some(at) = sample.expect.at {
            assert_eq!(event.at, Some(at), "{path:?}");
        }
        let facts = serde_json::to_value(&event.facts).unwrap();
        for (name, wanted) in &sample.expect.facts {
            assert!(holds(wanted, &facts[name]), "{path:?}: {name} is {}", facts[name]);
        }
        for name in &sample.expect.absent {
            let absent = if name == "at" { event.at.is_none() } else { facts.get(name).is_some_and(|it| it.is_null()) };
            assert!(absent, "{path:?}: {name} is there");
        }
        read += 1;
    }
    assert!(read >= 40, "only {read} fixtures found");
}

#[test]
fn without_a_call_sid_a_receipt_is_poison() {
    let poison = |hook, query: &str, content_type: Option<&str>, body: &[u8]| {
        normalise(&receipt(hook, query, content_type, body), &locale()).unwrap_err()
    };
    assert_eq!(poison(Hook::CallEvents, "event=pop", None, b""), Poison::NoCallSid);
    assert_eq!(poison(Hook::CallEvents, "event=pop&CallSid=null", None, b""), Poison::NoCallSid);
    assert_eq!(poison(Hook::CallEvents, &format!("CallSid={}", "a".repeat(500)), None, b""), Poison::NoCallSid);
    assert_eq!(poison(Hook::Status, "", Some("application/json"), b"{\"CallSid\":"), Poison::Unreadable("JSON"));
    let multipart = Some("multipart/form-data; boundary=x");
    assert_eq!(poison(Hook::Status, "", multipart, b"nothing"), Poison::Unreadable("multipart/form-data"));
}

#[test]
fn an_unreadable_body_does_not_cost_the_query() {
    let receipt = receipt(Hook::CallEvents, "event=missed&CallSid=c1", Some("application/json"), b"<html>");
    let event = normalise(&receipt, &locale()).unwrap();
    assert_eq!(event.kind, EventKind::Missed);
    assert_eq!(event.facts.other["unreadable body"], "JSON");
}

#[test]
fn one_request_in_every_encoding_is_one_event() {
    let wire = "CallSid=c1&DialCallStatus=completed&Legs[0][Number]=07200498123&Legs[0][OnCallDuration]=21&CurrentTime=2023-12-27 12:17:26";
    let json = r#"{"CallSid":"c1","DialCallStatus":"completed","Legs":[{"Number":"07200498123","OnCallDuration":21}],"CurrentTime":"2023-12-27 12:17:26"}"#;
    let in_string = r#"{"CallSid":"c1","DialCallStatus":"completed","Legs":"[{\"Number\":\"07200498123\",\"OnCallDuration\":\"21\"}]","CurrentTime":"2023-12-27 12:17:26"}"#;
    let parts: String = url::form_urlencoded::parse(wire.as_bytes())
        .map(|(name, value)| format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"))
        .collect();
    let multipart = format!("{parts}--x--\r\n");
    let all = [
        receipt(Hook::CallEvents, &format!("event=answered&{wire}"), None, b""),
        receipt(Hook::CallEvents, "event=answered", Some("application/x-www-form-urlencoded"), wire.as_bytes()),
        receipt(Hook::CallEvents, "event=answered", Some("application/json"), json.as_bytes()),
        receipt(Hook::CallEvents, "event=answered", None, json.as_bytes()),
        receipt(Hook::CallEvents, "event=answered", Some("application/json"), in_string.as_bytes()),
        receipt(Hook::CallEvents, "event=answered", Some("multipart/form-data; boundary=x"), multipart.as_bytes()),
        receipt(Hook::CallEvents, "event=answered", None, multipart.as_bytes()),
    ];
    let first = normalise(&all[0], &locale()).unwrap();
    assert_eq!(first.facts.legs[0].on_call_seconds, Some(21));
    for (at, receipt) in all.iter().enumerate() {
        assert_eq!(normalise(receipt, &locale()).unwrap(), first, "encoding {at}");
    }
}

#[test]
fn identity_is_what_is_said_and_not_when_it_came() {
    let base = "CallSid=c1&CallFrom=09876543210&DialWhomNumber=09052161119&CurrentTime=2023-12-27+12:17:26";
    let dial = event(&format!("event=pop&EventType=Dial&{base}"));
    let mut later = receipt(Hook::CallEvents, &format!("{base}&EventType=Dial&event=pop&tenant_id=9"), None, b"");
    later.received_at = Timestamp::from_second(1_800_000_000).unwrap();
    assert_eq!(normalise(&later, &locale()).unwrap().id, dial.id);
    for other in [
        format!("event=pop&EventType=Terminal&{base}"),
        format!("event=answered&{base}"),
        format!("event=automated_answered&{base}"),
        format!("event=pop&EventType=Dial&{base}").replace("09052161119", "09052161118"),
        format!("event=pop&EventType=Dial&{base}").replace("c1", "c2"),
        format!("event=answered&{base}&DialCallStatus=completed"),
        format!("event=answered&{base}&RecordingUrl=https://recordings.exotel.com/x.mp3"),
        format!("event=ivr&{base}&digits=1"),
        format!("event=ivr&{base}&digits=2"),
        format!("event=gather&{base}&digits=2"),
    ] {
        assert_ne!(event(&other).id, dial.id, "{other}");
    }
    // The same key at the same menu, a moment later, was pressed again.
    assert_ne!(
        event("event=ivr&CallSid=c1&digits=1&CurrentTime=2023-12-27+12:17:26").id,
        event("event=ivr&CallSid=c1&digits=1&CurrentTime=2023-12-27+12:17:40").id
    );
}

#[test]
fn details_are_new_only_when_they_say_something_new() {
    let details = |status: &str, duration: &str, updated: &str| {
        let body = format!(
            r#"{{"Call":{{"Sid":"c1","Status":"{status}","Duration":{duration},"DateUpdated":"2023-12-27 12:{updated}:05"}}}}"#
        );
        normalise(&receipt(Hook::Details, "", Some("application/json"), body.as_bytes()), &locale()).unwrap()
    };
    let first = details("in-progress", "null", "17");
    assert_eq!(first.id, details("in-progress", "null", "18").id);
    assert_ne!(first.id, details("completed", "null", "18").id);
    assert_ne!(details("completed", "27", "18").id, details("completed", "null", "18").id);
}

#[test]
fn kinds_are_inferred_where_the_url_names_none() {
    let kind = |query: &str| event(&format!("CallSid=c1&{query}")).kind;
    assert_eq!(kind("CallType=completed"), EventKind::Completed);
    assert_eq!(kind("CallType=call&DialCallDuration=7"), EventKind::Completed);
    assert_eq!(kind("CallType=incomplete&DialCallStatus=no-answer"), EventKind::Missed);
    assert_eq!(kind("CallType=client-hangup"), EventKind::Missed);
    assert_eq!(kind("CallType=voicemail"), EventKind::Voicemail);
    assert_eq!(kind("CallType=call-attempt&digits=%221%22"), EventKind::Gathered);
    assert_eq!(kind("CallType=call-attempt"), EventKind::Other("passthru".to_owned()));
    assert_eq!(kind("EventType=%20Dial"), EventKind::Dialing);
    assert_eq!(kind("event=pop&EventType=Whisper"), EventKind::Other("pop whisper".to_owned()));
}

fn at(hook: Hook, path: &str, query: &str) -> CallEvent {
    let receipt = Receipt { path: path.to_owned(), ..receipt(hook, &format!("CallSid=c1&{query}"), None, b"") };
    normalise(&receipt, &locale()).unwrap()
}

#[test]
fn families_name_their_steps_each_in_its_own_way() {
    let kind = |hook, path: &str, query: &str| at(hook, path, query).kind;
    // An account may be called like a step.
    assert_eq!(kind(Hook::Freshworks, "/missed/pop", ""), EventKind::Missed);
    assert_eq!(kind(Hook::Freshworks, "/h/***/answered", ""), EventKind::Completed);
    assert_eq!(kind(Hook::Freshworks, "/missed/acme", "missedcalltype=VOICEMAIL"), EventKind::Voicemail);
    assert_eq!(kind(Hook::Freshworks, "/missed/acme", "MissedCallType=other"), EventKind::Missed);
    assert_eq!(kind(Hook::Zoho, "/callback/exotel/callmissed/incomingcallhungup/", ""), EventKind::Completed);
    for (state, wanted) in [
        ("Answered", EventKind::Completed),
        ("answered", EventKind::Completed),
        ("missedCall", EventKind::Missed),
        ("missed_call", EventKind::Missed),
        ("notConnected", EventKind::Missed),
        ("NotConnected", EventKind::Missed),
        ("somethingElse", EventKind::Other("passthru".to_owned())),
    ] {
        assert_eq!(kind(Hook::Salesforce, "/sfdc/api/inbound/passthru", &format!("callState={state}")), wanted);
    }
    // One URL for all that can become of a call.
    let passthru = |query: &str| kind(Hook::LeadSquared, "/v1/leadsquared/inbound/call/passthru", query);
    assert_eq!(passthru("DialCallStatus=completed"), EventKind::Completed);
    assert_eq!(passthru("CallType=client-hangup"), EventKind::Missed);
    assert_eq!(passthru("CallType=voicemail"), EventKind::Voicemail);
    // The word that the canonical family reads means nothing here.
    assert_eq!(passthru("event=answered&DialCallStatus=busy"), EventKind::Missed);
    assert_eq!(kind(Hook::IpPstn, "/v2/integrations/call/inbound_call/a", "TYPE=MissedCall"), EventKind::Missed);
}

#[test]
fn families_that_tell_of_one_thing_tell_of_one_event() {
    let pop = "CallFrom=09876543210&DialWhomNumber=09711581199&EventType=Dial&CurrentTime=2023-12-27+12:17:06";
    let canonical = event(&format!("event=pop&CallSid=c1&{pop}"));
    for (hook, path, more) in [
        (Hook::Freshworks, "/pop/acme", ""),
        (Hook::LeadSquared, "/v1/leadsquared/inbound/call/popup", "&AccSid=acme"),
        (Hook::Salesforce, "/sfdc/api/inbound/agentpopup", "&AccountSid=acme"),
        (Hook::Zoho, "/callback/exotel/acme/createpopup", ""),
        (Hook::IpPstn, "/v2/integrations/call/inbound_call/a", "&type=popup"),
    ] {
        assert_eq!(at(hook, path, &format!("{pop}{more}")).id, canonical.id, "{hook:?}");
    }
    assert_ne!(at(Hook::Freshworks, "/answered/acme", pop).id, canonical.id);
}

#[test]
fn what_people_ask_is_read_back() {
    let asked = |asked: Asked, at_ms: i64| {
        let request = PersonRequest {
            call_sid: "c1".to_owned(),
            integration: "support".to_owned(),
            by: "admin".to_owned(),
            asked,
        };
        let at = Timestamp::from_millisecond(at_ms).unwrap();
        normalise(&request.receipt(Uuid::nil(), "acme", at).unwrap(), &locale()).unwrap()
    };
    let contact = |id: &str| Asked::Contact { record: patchbay_kit::RecordRef::new("contact", id) };
    let chosen = asked(contact("7"), 1_700_000_000_250);
    assert_eq!((chosen.call_sid.as_str(), &chosen.kind), ("c1", &EventKind::Associated));
    assert_eq!(chosen.at, Some(Timestamp::from_millisecond(1_700_000_000_250).unwrap()));
    assert_eq!(chosen.facts.chosen, Some(patchbay_kit::RecordRef::new("contact", "7")));
    assert_eq!(chosen.facts.integration.as_deref(), Some("support"));
    assert_eq!(chosen.facts.asked_by.as_deref(), Some("admin"));
    assert_ne!(chosen.id, asked(contact("8"), 1_700_000_000_250).id);
    assert_ne!(chosen.id, asked(contact("7"), 1_700_000_000_750).id, "he changed his mind and back");
    let wish = FollowUpWish { kind: FollowUpKind::Task, subject: Some("\"Call\" back".to_owned()), due_at: None };
    let wanted = asked(Asked::FollowUp { wish: wish.clone() }, 0);
    assert_eq!((wanted.kind, wanted.facts.follow_up), (EventKind::FollowUpAsked, Some(wish)));
    let alien = receipt(Hook::Person, "", Some("application/json"), br#"{"call_sid":"c1","asked":"more"}"#);
    assert_eq!(normalise(&alien, &locale()).unwrap().kind, EventKind::Other("person".to_owned()));
}

#[test]
fn sizes_are_capped() {
    let legs: String = (0..500).map(|at| format!("&Legs[{at}][Number]=0987654{at:04}")).collect();
    let others: String = (0..500).map(|at| format!("&x{at}={}", "y".repeat(3000))).collect();
    let event = event(&format!("event=answered&CallSid=c1&digits={}{legs}{others}", "1".repeat(5000)));
    assert_eq!(event.facts.legs.len(), 64);
    assert!(event.facts.other.len() <= 65);
    assert!(event.facts.other.values().all(|value| value.chars().count() <= 500));
    assert!(event.facts.digits[0].value.len() <= 255);
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let receipt = receipt(Hook::CallEvents, "CallSid=c1", Some("application/json"), deep.as_bytes());
    assert!(normalise(&receipt, &locale()).is_ok());
}

#[test]
fn debug_shows_no_number() {
    let event =
        event("event=pop&CallSid=c1&CallFrom=09876543210&DialWhomNumber=09052161119&Legs[0][Number]=09052161119");
    let shown = format!("{event:?}");
    assert!(!shown.contains("09876543210") && !shown.contains("09052161119"), "{shown}");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        hook in prop::sample::select(Hook::ALL.to_vec()),
        query in prop::collection::vec(any::<u8>(), 0..300),
        content_type in prop::option::of(prop::sample::select(vec![
            "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
            "multipart/form-data", "text/plain", "multipart/form-data; boundary=\"",
        ])),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let query = String::from_utf8_lossy(&query);
        let _ = normalise(&receipt(hook, &query, content_type, &body), &locale());
        let _ = normalise(&receipt(hook, &format!("CallSid=c1&{query}"), content_type, &body), &locale());
    }

    #[test]
    fn no_shaped_text_makes_it_panic(
        hook in prop::sample::select(Hook::ALL.to_vec()),
        parts in prop::collection::vec((
            prop::sample::select(vec![
                "event", "EventType", "Status", "CallFrom", "digits", "ivr_tag_1", "gather_tag_99999999999", "Legs",
                "Legs[", "Legs[]", "Legs[0]", "Legs[0][Number]", "Legs[99999999999999999999][Cause]", "Stream[[x]",
                "Insights[DialCallStatus]", "StartTime", "EndTime", "DialCallDuration", "RecordingUrl", "Call[Sid]", "",
                "Details[Legs][0][Leg][Id]", "Details[Legs][0][Leg][OnCallDuration]", "call", "call[call][call]",
            ]),
            ".{0,20}",
        ), 0..12),
    ) {
        let mut query = url::form_urlencoded::Serializer::new("CallSid=c1".to_owned());
        query.extend_pairs(parts);
        let event = normalise(&receipt(hook, &query.finish(), None, b""), &locale());
        prop_assert!(event.is_ok());
    }

    #[test]
    fn no_json_makes_it_panic(text in r#"[\[\]{}":,0-9a-zA-Z ]{0,60}"#) {
        let body = format!(r#"{{"CallSid":"c1","Legs":{text}}}"#);
        let _ = normalise(&receipt(Hook::Status, "", Some("application/json"), body.as_bytes()), &locale());
        let legs: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let read = normalise(&receipt(Hook::CallEvents, &format!("CallSid=c1&Legs={legs}"), None, b""), &locale());
        prop_assert!(read.is_ok());
    }
}

#[test]
fn facts_survive_their_own_serialisation() {
    let event = event("event=ivr&CallSid=c1&digits=1&ivr_tag_1=a&CallFrom=0987654321&Legs[0][Number]=1");
    let facts: Facts = serde_json::from_str(&serde_json::to_string(&event.facts).unwrap()).unwrap();
    assert_eq!(facts, event.facts);
}
