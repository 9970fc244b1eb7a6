//! What differs from one organisation to the next: fields, permissions, limits, and readings of the documentation.

#[allow(dead_code, reason = "the suite's subject is more than these tests need")]
mod subject;

use std::{sync::Arc, time::Duration};

use patchbay_kit::{
    About, CallActivity, Changed, Contact, Direction, FollowUpKind, Kind, Outcome, RecordRef, Retry, Settings,
    StatusCode,
};
use patchbay_sandbox::{
    Crm,
    zoho_crm::{Names, ZohoCrm},
};
use patchbay_testkit::{Line, sample};
use serde_json::{Map, Value, json};

fn settings(text: &[(&str, &str)], defaults: Value) -> Settings {
    let text = text.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Settings { text, defaults: defaults.as_object().cloned().unwrap_or_default(), ..Settings::default() }
}

fn line_with(settings: &Settings) -> Line<ZohoCrm> {
    let (sandbox, credentials) = subject::organisation();
    Line::new(patchbay_zoho_crm::build(settings), sandbox, credentials, sample::NOW)
}

fn line() -> Line<ZohoCrm> {
    line_with(&Settings::default())
}

fn create(line: &mut Line<ZohoCrm>, call: &CallActivity) -> Result<RecordRef, patchbay_kit::Failure> {
    let connector = Arc::clone(&line.connector);
    line.run(connector.activities().create(call))
}

fn caller(line: &mut Line<ZohoCrm>) -> Contact {
    let connector = Arc::clone(&line.connector);
    line.run(connector.contacts().unwrap().create(&sample::caller())).unwrap()
}

fn held(line: &Line<ZohoCrm>, at: &RecordRef) -> Map<String, Value> {
    line.sandbox.record(subject::module(at), at.id.parse().unwrap()).expect("the record").clone()
}

#[test]
fn a_call_has_all_that_is_known_in_fields_of_its_own() {
    let settings = Settings {
        utc_offset: jiff::tz::Offset::from_seconds(19_800).unwrap(),
        ..settings(&[], json!({"Call_Purpose": "Support"}))
    };
    let mut line = line_with(&settings);
    let mut call = sample::call(sample::CALL_SID, Some(caller(&mut line).at));
    call.recording_link = Some("https://calls.example.com/r/1.mp3".to_owned());
    let at = create(&mut line, &call).unwrap();
    let values = held(&line, &at);
    for (field, value) in [
        ("Call_Type", json!("Inbound")),
        ("Call_Start_Time", json!("2026-01-15T15:25:00+05:30")),
        ("Call_Duration", json!("00:34")),
        ("Caller_ID", json!("09876543210")),
        ("Dialled_Number", json!("08047494574")),
        ("Exotel_CallSid", json!(sample::CALL_SID)),
        ("Voice_Recording__s", json!("https://calls.example.com/r/1.mp3")),
        ("Call_Purpose", json!("Support")),
        ("$se_module", json!("Leads")),
    ] {
        assert_eq!(values[field], value, "{field}");
    }
    for (direction, outcome, kind) in [
        (Direction::Incoming, Outcome::Missed, "Missed"),
        (Direction::Incoming, Outcome::Voicemail, "Missed"),
        (Direction::Incoming, Outcome::FlowEnded, "Inbound"),
        (Direction::Outgoing, Outcome::Missed, "Outbound"),
    ] {
        let other = CallActivity {
            direction,
            outcome,
            talk_seconds: None,
            ..sample::call(&format!("{direction:?}{outcome:?}"), None)
        };
        let at = create(&mut line, &other).unwrap();
        assert_eq!(held(&line, &at)["Call_Type"], kind);
    }
    assert_eq!(line.sandbox.records().len(), 5);
}

/// A person may be a contact: that is another field than a lead's.
#[test]
fn a_contact_stands_where_contacts_stand() {
    let mut line = line();
    let id = line.sandbox.add_contact("Asha", "+91 98765 43210", sample::NOW);
    let connector = Arc::clone(&line.connector);
    let writings: Vec<String> = connector.manifest().phone.iter().map(|one| sample::number().render(*one)).collect();
    let found = line.run(connector.contacts().unwrap().find(&writings)).unwrap();
    assert_eq!((found.len(), &found[0].at), (1, &RecordRef::new("contact", &id)));
    assert_eq!(line.sent().len(), 3, "one query for all writings, in each module");
    let at = create(&mut line, &sample::call(sample::CALL_SID, Some(found[0].at.clone()))).unwrap();
    assert_eq!(held(&line, &at)["Who_Id"]["id"], json!(id));
}

/// The reply to the first was lost, and the field is unique: the second becomes a change of the first, however Zoho
/// names the one that is there, or does not.
#[test]
fn a_call_is_made_once() {
    for names in [Names::Id, Names::Record, Names::Nothing] {
        for refused in [StatusCode::BAD_REQUEST, StatusCode::MULTI_STATUS, StatusCode::OK] {
            let mut line = line();
            line.sandbox.settings.duplicate_names = names;
            line.sandbox.settings.refused = refused;
            let mut call = sample::call(sample::CALL_SID, None);
            let first = create(&mut line, &call).unwrap();
            call.talk_seconds = Some(61);
            assert_eq!(create(&mut line, &call), Ok(first.clone()));
            assert_eq!(line.sandbox.records().len(), 1);
            assert_eq!(held(&line, &first)["Call_Duration"], "01:01");
        }
    }
}

#[test]
fn who_owns_a_call_that_is_over_stays_its_owner() {
    let mut line = line();
    let mut call = sample::call(sample::CALL_SID, None);
    let at = create(&mut line, &call).unwrap();
    call.agent = Some(RecordRef::new("agent", line.sandbox.add_agent("Ravi", "ravi@example.com")));
    let connector = Arc::clone(&line.connector);
    let changed = Changed { agent: true, ..Changed::default() };
    let failure = line.run(connector.updates().unwrap().update(&at, &call, changed)).unwrap_err();
    assert_eq!((failure.about, failure.retry), (Some(About::Agent), Retry::Never));
}

#[test]
fn a_mandatory_field_is_filled_from_the_defaults() {
    let mut line = line();
    line.sandbox.require_field("Calls", "Region");
    let call = sample::call(sample::CALL_SID, None);
    let refused = create(&mut line, &call).unwrap_err();
    assert_eq!((refused.kind, refused.retry), (Kind::Invalid, Retry::Never));
    assert!(refused.detail.contains("set `defaults.Region`"), "{refused}");
    line.connector = patchbay_zoho_crm::build(&settings(&[], json!({"Region": "south"})));
    let at = create(&mut line, &call).unwrap();
    assert_eq!(held(&line, &at)["Region"], "south");
}

/// Leads have a company in the standard layout, people on the phone have not.
#[test]
fn a_lead_gets_the_company_that_is_asked_for() {
    for (defaults, company) in [(json!({}), "+919876543210"), (json!({"lead": {"Company": "Unknown"}}), "Unknown")] {
        let mut line = line_with(&settings(&[], defaults));
        line.sandbox.require_field("Leads", "Company");
        let made = caller(&mut line);
        assert_eq!(held(&line, &made.at)["Company"], company);
    }
    let mut line = line();
    line.sandbox.require_field("Leads", "City");
    let connector = Arc::clone(&line.connector);
    let failure = line.run(connector.contacts().unwrap().create(&sample::caller())).unwrap_err();
    assert!(failure.detail.contains("set `defaults.lead.City`"), "{failure}");
}

#[test]
fn unique_numbers_lead_to_the_one_who_has_it() {
    let mut line = line();
    line.sandbox.define_field("Leads", "Phone", true);
    let first = caller(&mut line);
    assert_eq!(caller(&mut line).at, first.at);
    line.sandbox.settings.duplicate_names = Names::Nothing;
    let connector = Arc::clone(&line.connector);
    let failure = line.run(connector.contacts().unwrap().create(&sample::caller())).unwrap_err();
    assert_eq!(failure.kind, Kind::Conflict);
}

/// Fields that were taken out of a layout are not asked for again and again, and cost nobody his record.
#[test]
fn fields_that_are_not_there_are_done_without() {
    let mut line = line();
    for (module, field) in [("Contacts", "Home_Phone"), ("Contacts", "Other_Phone"), ("Leads", "Mobile")] {
        line.sandbox.drop_field(module, field);
    }
    let made = caller(&mut line);
    let connector = Arc::clone(&line.connector);
    let found = line.run(connector.contacts().unwrap().find(&["+919876543210".to_owned()])).unwrap();
    assert_eq!(found.iter().map(|one| &one.at).collect::<Vec<_>>(), [&made.at]);
    line.sandbox.drop_field("Leads", "Phone");
    let failure = line.run(connector.contacts().unwrap().find(&["+919876543210".to_owned()])).unwrap_err();
    assert_eq!(failure.kind, Kind::Invalid, "without numbers nobody can be found");
}

#[test]
fn a_missing_field_for_the_call_sid_is_told_before_the_first_call() {
    let mut line = line();
    let connector = Arc::clone(&line.connector);
    assert_eq!(line.run(connector.identify()).unwrap().account, "Token Owner <owner@example.com>");
    line.sandbox.define_field("Calls", "Exotel_CallSid", false);
    assert!(line.run(connector.identify()).unwrap().account.contains("no duplicates"));
    line.sandbox.drop_field("Calls", "Exotel_CallSid");
    let failure = line.run(connector.identify()).unwrap_err();
    assert!(failure.detail.contains("Exotel_CallSid") && failure.detail.contains("call_sid_field"), "{failure}");
    let call = sample::call(sample::CALL_SID, None);
    let failure = line.run(connector.activities().find(&call).unwrap()).unwrap_err();
    assert!(failure.detail.contains("call_sid_field"), "{failure}");
    line.sandbox.define_field("Calls", "Sid", true);
    line.connector = patchbay_zoho_crm::build(&settings(&[("call_sid_field", "Sid")], json!({})));
    let at = create(&mut line, &call).unwrap();
    assert_eq!(held(&line, &at)["Sid"], sample::CALL_SID);
    let connector = Arc::clone(&line.connector);
    line.run(connector.identify()).unwrap();
}

#[test]
fn a_scope_that_is_missing_is_no_expired_token() {
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        let mut line = line();
        line.sandbox.settings.scope_status = status;
        line.sandbox.settings.denied = ["coql".to_owned()].into();
        let connector = Arc::clone(&line.connector);
        let failure = line.run(connector.contacts().unwrap().find(&["1".to_owned()])).unwrap_err();
        assert_eq!((failure.kind, failure.retry), (Kind::Forbidden, Retry::Never));
        assert!(failure.detail.contains("scopes"));
    }
}

#[test]
fn an_error_inside_a_success_is_an_error() {
    let mut line = line();
    assert!(line.sandbox.fail_inside(1));
    let call = sample::call(sample::CALL_SID, None);
    let failure = create(&mut line, &call).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Unavailable, Retry::Backoff));
    assert!(line.sandbox.records().is_empty());
    create(&mut line, &call).unwrap();
}

#[test]
fn used_up_credits_wait_longer_than_a_crowd() {
    let mut line = line();
    line.sandbox.settings.credits = Some(1);
    let call = sample::call(sample::CALL_SID, None);
    create(&mut line, &call).unwrap();
    let failure = create(&mut line, &call).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::RateLimited, Retry::After(Duration::from_secs(900))));
    assert!(line.sandbox.expire_tokens());
    let failure = create(&mut line, &call).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Unauthorized, Retry::AfterRefresh));
}

#[test]
fn the_owner_of_the_record_changed_last_takes_the_calls() {
    let mut line = line();
    let ravi = line.sandbox.add_agent("Ravi", "ravi@example.com");
    line.sandbox.add_record("Contacts", json!({"Last_Name": "Old", "Phone": "09876543210", "Owner": {"id": "1"}}));
    let values = json!({"data": [{"Last_Name": "New", "Mobile": "9876543210", "Owner": {"id": ravi}}]});
    let request = patchbay_kit::Request::post("x.y", ["crm", "v8", "Contacts"]).json(values);
    line.run(request.done(|_| Ok(()))).unwrap();
    let connector = Arc::clone(&line.connector);
    let owner = line.run(connector.owners().unwrap().of(&sample::number())).unwrap().unwrap();
    assert_eq!(owner.at, Some(RecordRef::new("agent", ravi)));
}

#[test]
fn a_missed_call_leaves_what_the_settings_say() {
    for (setting, kind) in [
        ("", Some(FollowUpKind::Task)),
        ("call", Some(FollowUpKind::Call)),
        ("event", Some(FollowUpKind::Event)),
        ("none", None),
    ] {
        let connector = patchbay_zoho_crm::build(&settings(&[("missed_follow_up", setting)], json!({})));
        assert_eq!(connector.follow_ups().unwrap().for_missed(), kind, "{setting}");
    }
    let mut line = line();
    let agent = RecordRef::new("agent", line.sandbox.add_agent("Ravi", "ravi@example.com"));
    let contact = caller(&mut line).at;
    let call = CallActivity { agent: Some(agent.clone()), ..sample::call(sample::CALL_SID, Some(contact)) };
    let at = create(&mut line, &call).unwrap();
    let connector = Arc::clone(&line.connector);
    for (kind, day) in [
        (FollowUpKind::Task, ("Due_Date", "2026-01-15")),
        (FollowUpKind::Call, ("Call_Start_Time", "2026-01-15T11:00:00+00:00")),
        (FollowUpKind::Event, ("End_DateTime", "2026-01-15T11:30:00+00:00")),
    ] {
        let it = sample::follow_up(sample::CALL_SID, kind);
        let made = line.run(connector.follow_ups().unwrap().create(&at, &call, &it)).unwrap();
        let values = held(&line, &made);
        assert_eq!((&values[day.0], &values["Owner"]["id"]), (&json!(day.1), &json!(agent.id)));
        assert_eq!(values["$se_module"], "Leads");
    }
    assert_eq!(line.sandbox.records().len(), 1, "what is to come is no call that was");
}
