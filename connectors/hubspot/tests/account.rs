//! What differs from one HubSpot account to the next: outcomes, required properties, plans, deleted people, and apps.

mod subject;

use std::{sync::Arc, time::Duration};

use patchbay_kit::{CallActivity, Changed, Kind, Outcome, Owner, RecordRef, Retry, Settings, TriedStatus};
use patchbay_sandbox::{
    Crm,
    hubspot::{HubSpot, Kind as Objects, Limits},
};
use patchbay_testkit::{Line, sample, suite::Subject};
use serde_json::{Value, json};

const PRIVATE: subject::HubSpot =
    subject::HubSpot { app: false, batch_fails_whole: true, missing_associate_is_404: true };

/// Long enough ago for search to know it.
fn before() -> jiff::Timestamp {
    sample::NOW - Duration::from_secs(60)
}

fn line(subject: subject::HubSpot) -> Line<HubSpot> {
    Line::new(subject.build(), subject.sandbox(), subject.credentials(), sample::NOW)
}

fn with(texts: &[(&str, &str)], defaults: Value) -> Settings {
    let mut settings = subject::settings(false);
    settings.text.extend(texts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    settings.defaults = defaults.as_object().cloned().unwrap_or_default();
    settings
}

/// The record of a call, written anew.
fn create(line: &mut Line<HubSpot>, call: &CallActivity) -> RecordRef {
    line.run(line.connector.activities().create(call)).unwrap()
}

fn update(line: &mut Line<HubSpot>, at: &RecordRef, call: &CallActivity, changed: Changed) {
    let connector = Arc::clone(&line.connector);
    line.run(connector.updates().unwrap().update(at, call, changed)).unwrap();
}

fn value(line: &Line<HubSpot>, at: &RecordRef, property: &str) -> Option<String> {
    line.sandbox.object(Objects::Calls, &at.id)?.get(property).map(str::to_owned)
}

fn caller(line: &mut Line<HubSpot>) -> RecordRef {
    let connector = Arc::clone(&line.connector);
    line.run(connector.contacts().unwrap().create(&sample::caller())).unwrap().at
}

#[test]
fn a_call_fills_the_properties_hubspot_has_for_it() {
    let mut line = line(PRIVATE);
    let contact = caller(&mut line);
    let mut call = sample::call(sample::CALL_SID, Some(contact.clone()));
    call.recording_link = Some("https://calls.example.com/r/1.mp3?exp=1&sig=abc".to_owned());
    let at = create(&mut line, &call);
    for (property, expected) in [
        ("exotel_call_sid", sample::CALL_SID),
        ("hs_timestamp", "1768470900000"),
        ("hs_call_direction", "INBOUND"),
        ("hs_call_status", "COMPLETED"),
        ("hs_call_duration", "34000"),
        ("hs_call_from_number", "+919876543210"),
        ("hs_call_to_number", "+918047494574"),
        ("hs_call_disposition", "f240bbac-87c9-4f6e-bf70-924b57d47db7"),
        ("hs_call_recording_url", "https://calls.example.com/r/1.mp3?exp=1&sig=abc"),
        ("hs_call_external_id", sample::CALL_SID),
        ("hs_call_external_account_id", "exotel535"),
        ("hs_call_source", "INTEGRATIONS_PLATFORM"),
        ("hs_call_body", &call.body),
    ] {
        assert_eq!(value(&line, &at, property).as_deref(), Some(expected), "{property}");
    }
    let record = line.sandbox.records().pop().unwrap();
    assert_eq!((record.talk_seconds, record.contact), (Some(34), Some(contact.id)));
}

#[test]
fn outcomes_have_their_status_and_disposition() {
    let incoming = patchbay_kit::Direction::Incoming;
    let outgoing = patchbay_kit::Direction::Outgoing;
    let no_answer = Some("73a0d17f-1163-4015-bdd5-ec830791da20");
    for (outcome, direction, tried, status, disposition) in [
        (Outcome::Missed, incoming, TriedStatus::NoAnswer, "MISSED", no_answer),
        (Outcome::Voicemail, incoming, TriedStatus::Busy, "MISSED", Some("b2cf5968-551e-4856-9783-52b3da59a7d0")),
        (Outcome::FlowEnded, incoming, TriedStatus::Unknown, "COMPLETED", None),
        (Outcome::Missed, outgoing, TriedStatus::NoAnswer, "NO_ANSWER", no_answer),
        (Outcome::Missed, outgoing, TriedStatus::Busy, "BUSY", no_answer),
        (Outcome::Missed, outgoing, TriedStatus::Failed, "FAILED", no_answer),
        (Outcome::Missed, outgoing, TriedStatus::Canceled, "CANCELED", no_answer),
    ] {
        let mut line = line(PRIVATE);
        let mut call = sample::call(sample::CALL_SID, None);
        (call.outcome, call.direction) = (outcome, direction);
        call.tried.last_mut().unwrap().status = tried;
        let at = create(&mut line, &call);
        assert_eq!(value(&line, &at, "hs_call_status").as_deref(), Some(status), "{outcome:?} {tried:?}");
        assert_eq!(value(&line, &at, "hs_call_disposition").as_deref(), disposition, "{outcome:?}");
        let customer = if direction == incoming { "hs_call_from_number" } else { "hs_call_to_number" };
        assert_eq!(value(&line, &at, customer).as_deref(), Some("+919876543210"));
    }
}

/// Neither an outcome the account has not, nor a recording it does not like, costs the call.
#[test]
fn what_is_spare_is_left_out_and_the_rest_is_written() {
    for whole in [true, false] {
        let mut line = line(subject::HubSpot { batch_fails_whole: whole, ..PRIVATE });
        line.sandbox.settings.dispositions.clear();
        let mut call = sample::call(sample::CALL_SID, None);
        // By its end a recording, and yet none: there is no path.
        call.recording_link = Some("https://calls.example.mp3".to_owned());
        let at = create(&mut line, &call);
        assert_eq!(value(&line, &at, "hs_call_disposition"), None);
        assert_eq!(value(&line, &at, "hs_call_recording_url"), None);
        let body = value(&line, &at, "hs_call_body").unwrap();
        assert_eq!(body, format!("{}<br><a href=\"https://calls.example.mp3\">Call Recording</a>", call.body));
        assert_eq!(line.sandbox.records().len(), 1);
    }
}

#[test]
fn a_link_hubspot_would_refuse_stands_in_the_text() {
    let mut line = line(PRIVATE);
    let mut call = sample::call(sample::CALL_SID, None);
    let at = create(&mut line, &call);
    call.recording_link = Some("http://127.0.0.1:8080/r/1.mp3?exp=1&sig=abc".to_owned());
    update(&mut line, &at, &call, Changed { facts: true, ..Changed::default() });
    let link = "<a href=\"http://127.0.0.1:8080/r/1.mp3?exp=1&amp;sig=abc\">Call Recording</a>";
    assert_eq!(value(&line, &at, "hs_call_body"), Some(format!("{}<br>{link}", call.body)));
    call.body.push_str("<br>And more");
    update(&mut line, &at, &call, Changed { body: true, ..Changed::default() });
    let body = value(&line, &at, "hs_call_body").unwrap();
    assert!(body.contains("And more") && body.contains(link), "a later text lost the recording: {body}");
    update(&mut line, &at, &call, Changed { subject: true, ..Changed::default() });
    assert_eq!(value(&line, &at, "hs_call_body"), Some(body));
}

/// An agent takes notes in the text and chooses an outcome; the recording comes five minutes later.
#[test]
fn what_an_agent_has_written_stays() {
    let mut line = line(PRIVATE);
    let mut call = sample::call(sample::CALL_SID, None);
    let at = create(&mut line, &call);
    let wrong_number = "17b47fee-58de-441e-a44c-c6300d46f273";
    let edits = [("hs_call_body", "Calls again on Monday"), ("hs_call_disposition", wrong_number)];
    line.sandbox.edit(Objects::Calls, &at.id, &edits, sample::NOW);
    call.recording_link = Some("https://calls.example.com/r/1.mp3".to_owned());
    update(&mut line, &at, &call, Changed { facts: true, ..Changed::default() });
    assert_eq!(value(&line, &at, "hs_call_body").as_deref(), Some("Calls again on Monday"));
    assert_eq!(value(&line, &at, "hs_call_disposition").as_deref(), Some(wrong_number));
    assert!(value(&line, &at, "hs_call_recording_url").is_some());
}

#[test]
fn a_contact_that_is_known_later_is_associated_then() {
    let mut line = line(PRIVATE);
    let mut call = sample::call(sample::CALL_SID, None);
    let at = create(&mut line, &call);
    assert_eq!(line.sandbox.records()[0].contact, None);
    call.contact = Some(caller(&mut line));
    for _ in 0..2 {
        update(&mut line, &at, &call, Changed { contact: true, ..Changed::default() });
    }
    assert_eq!(line.sandbox.records()[0].contact, call.contact.map(|contact| contact.id));
}

/// The detail of the refusal names the very key that mends it.
#[test]
fn a_required_property_is_filled_from_the_defaults() {
    let mut line = line(PRIVATE);
    line.sandbox.define(Objects::Calls, "branch", false);
    line.sandbox.require(Objects::Calls, "branch");
    let call = sample::call(sample::CALL_SID, None);
    let refused = line.run(line.connector.activities().create(&call)).unwrap_err();
    assert_eq!((refused.kind, refused.retry), (Kind::Invalid, Retry::Never));
    assert!(refused.detail.contains("`defaults.branch`"), "{refused}");
    assert_eq!(line.sandbox.records().len(), 0);
    let defaults = json!({"branch": "Pune", "hs_call_app_id": 77, "hs_call_title": "not this one",
        "dispositions": {"answered": "17b47fee-58de-441e-a44c-c6300d46f273"}});
    line.connector = patchbay_hubspot::build(&with(&[], defaults));
    let at = create(&mut line, &call);
    assert_eq!(value(&line, &at, "branch").as_deref(), Some("Pune"));
    assert_eq!(value(&line, &at, "hs_call_app_id").as_deref(), Some("77"));
    assert_eq!(value(&line, &at, "hs_call_title"), Some(call.subject));
    assert!(value(&line, &at, "hs_call_disposition").unwrap().starts_with("17b47fee"));
}

#[test]
fn the_check_names_the_property_that_is_missing() {
    let settings = with(&[("call_sid_property", "call_sid")], json!({}));
    let mut line = line(PRIVATE);
    line.connector = patchbay_hubspot::build(&settings);
    for (objects, name) in
        [(Objects::Calls, "call_sid"), (Objects::Contacts, "exotel_caller_id"), (Objects::Tasks, "call_sid")]
    {
        // Not there, or there without unique values: both are told.
        if objects == Objects::Contacts {
            line.sandbox = HubSpot::new("pat-na1-of-the-app");
            line.sandbox.define(Objects::Calls, "call_sid", true);
        }
        for defined in [false, true] {
            if defined {
                line.sandbox.define(objects, name, false);
            }
            let refused = line.run(line.connector.identify()).unwrap_err();
            assert_eq!(refused.kind, Kind::Invalid);
            assert!(refused.detail.contains(&format!("`{name}`")), "{refused}");
        }
        line.sandbox.define(objects, name, true);
    }
    let identity = line.run(line.connector.identify()).unwrap();
    assert!(identity.account.contains("20502880"), "{identity:?}");
    // A token that may not look at properties proves nothing about them.
    line.sandbox.close("/crm/v3/properties");
    assert!(line.run(line.connector.identify()).is_ok());
    create(&mut line, &sample::call(sample::CALL_SID, None));
    assert_eq!(line.sandbox.objects(Objects::Calls).next().unwrap().get("call_sid"), Some(sample::CALL_SID));
}

#[test]
fn an_error_inside_a_success_passes() {
    let mut line = line(PRIVATE);
    assert!(line.sandbox.fail_inside(1));
    let call = sample::call(sample::CALL_SID, None);
    let failure = line.run(line.connector.activities().create(&call)).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Unavailable, Retry::Backoff));
    assert_eq!(line.sandbox.records().len(), 0);
    create(&mut line, &call);
    assert_eq!(line.sandbox.records().len(), 1);
}

#[test]
fn every_limit_has_its_own_wait() {
    let mut line = line(PRIVATE);
    line.sandbox.settings.limits = Limits { ten_secondly: Some(6), daily: Some(8), search_secondly: Some(1) };
    let connector = Arc::clone(&line.connector);
    let owners = connector.owners().unwrap();
    line.run(owners.of(&sample::number())).unwrap();
    let seconds = |seconds| Retry::After(Duration::from_secs(seconds));
    let failure = line.run(owners.of(&sample::number())).unwrap_err();
    assert_eq!((failure.remote_code.as_deref(), failure.retry), (Some("SECONDLY"), seconds(1)));
    let mut last = None;
    while last.is_none() {
        last = line.run(connector.activities().find(&sample::call("x", None)).unwrap()).err();
    }
    let failure = last.unwrap();
    assert_eq!((failure.remote_code.as_deref(), failure.retry), (Some("TEN_SECONDLY_ROLLING"), seconds(10)));
    line.now += Duration::from_secs(10);
    line.run(connector.activities().find(&sample::call("x", None)).unwrap()).unwrap();
    let failure = line.run(connector.activities().find(&sample::call("x", None)).unwrap()).unwrap_err();
    assert_eq!((failure.remote_code.as_deref(), failure.retry), (Some("DAILY"), seconds(3600)));
    assert_eq!(failure.kind, Kind::RateLimited);
}

/// The headers say the plan's limit; a search has none.
#[test]
fn the_allowance_is_read_from_the_headers() {
    let connector = PRIVATE.build();
    let mut reply = patchbay_kit::Response {
        status: patchbay_kit::StatusCode::OK,
        headers: patchbay_kit::HeaderMap::new(),
        body: patchbay_kit::Bytes::new(),
    };
    assert_eq!(connector.allowance(&reply), None);
    reply.headers.insert("x-hubspot-ratelimit-max", "100".parse().unwrap());
    reply.headers.insert("x-hubspot-ratelimit-remaining", "97".parse().unwrap());
    let allowance = connector.allowance(&reply).unwrap();
    assert_eq!((allowance.limit, allowance.remaining), (Some(100.0), Some(97.0)));
}

#[test]
fn a_deleted_contact_blocks_or_makes_room() {
    for keeps in [true, false] {
        let mut line = line(PRIVATE);
        line.sandbox.settings.archived_keep_values = keeps;
        let made = caller(&mut line);
        line.sandbox.remove(Objects::Contacts, &made.id, sample::NOW);
        let connector = Arc::clone(&line.connector);
        let again = line.run(connector.contacts().unwrap().create(&sample::caller()));
        if keeps {
            let failure = again.unwrap_err();
            assert_eq!((failure.kind, failure.retry), (Kind::Conflict, Retry::Never));
            assert!(failure.detail.contains("deleted") && failure.detail.contains("restore"), "{failure}");
        } else {
            assert_ne!(again.unwrap().at, made);
        }
    }
}

/// A contact that is there keeps what people have made of it.
#[test]
fn a_caller_who_is_there_is_not_written_over() {
    let mut line = line(PRIVATE);
    let made = caller(&mut line);
    line.sandbox.edit(Objects::Contacts, &made.id, &[("firstname", "Asha"), ("lastname", "Rao")], sample::NOW);
    let connector = Arc::clone(&line.connector);
    let again = line.run(connector.contacts().unwrap().create(&sample::caller())).unwrap();
    assert_eq!((again.at, again.name.as_str()), (made, "Asha Rao"));
}

/// The index still has his old number, or has him though he is deleted; what is found is read again.
#[test]
fn what_the_index_still_has_is_not_taken_for_what_is_there() {
    for deleted in [false, true] {
        let mut line = line(PRIVATE);
        let asha = line.sandbox.add_contact("Asha", &sample::number().e164, before());
        if deleted {
            line.sandbox.remove(Objects::Contacts, &asha, sample::NOW);
        } else {
            line.sandbox.edit(Objects::Contacts, &asha, &[("phone", "+911111111111")], sample::NOW);
        }
        let connector = Arc::clone(&line.connector);
        let found = line.run(connector.contacts().unwrap().find(&[sample::number().e164])).unwrap();
        assert_eq!(found.len(), usize::from(!deleted));
        assert!(!found.iter().flat_map(|one| &one.numbers).any(|number| sample::number().matches(number)));
        let searches = line.sent().iter().filter(|sent| sent.label == "contact.search").count();
        assert_eq!((searches, line.sent().len()), (1, 2), "one search, one reading");
    }
}

#[test]
fn the_owner_of_a_caller_takes_his_calls() {
    let mut line = line(PRIVATE);
    let ravi = line.sandbox.add_owner("Ravi Rao", "ravi@example.com");
    let contact = line.sandbox.add_contact("Asha", "09876543210", before());
    let connector = Arc::clone(&line.connector);
    let owners = connector.owners().unwrap();
    assert_eq!(line.run(owners.of(&sample::number())), Ok(None), "nobody's");
    line.sandbox.edit(Objects::Contacts, &contact, &[("hubspot_owner_id", &ravi.id)], before());
    let owner = Owner { at: Some(RecordRef::new("agent", &ravi.id)), numbers: Vec::new() };
    assert_eq!(line.run(owners.of(&sample::number())), Ok(Some(owner)));
    let found = line.run(connector.contacts().unwrap().find(&["09876543210".to_owned()])).unwrap();
    assert_eq!(found[0].owner, Some(RecordRef::new("agent", &ravi.id)));
}
