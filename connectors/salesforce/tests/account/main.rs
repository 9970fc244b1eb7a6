//! What differs from one org to the next: fields, objects, rules, owners.

mod callers;

use std::{sync::Arc, time::Duration};

use patchbay_kit::{
    About, Bytes, CallActivity, Changed, Connector, Contact, Direction, FollowUpKind, HeaderMap, Kind, NewContact,
    Outcome, Owner, RecordRef, Response, Retry, Settings, StatusCode, Tried, TriedStatus,
};
use patchbay_sandbox::{
    Crm,
    salesforce::{DuplicateRule, Field, Kind as FieldKind, Record, Salesforce},
};
use patchbay_testkit::{Credentials, Line, sample};
use serde_json::json;

/// An org, and a connector with these settings.
fn line(fill: impl FnOnce(&mut Settings)) -> Line<Salesforce> {
    let mut settings = Settings::default();
    fill(&mut settings);
    let mut org = Salesforce::new("app", "the-secret-of-the-app", "the-refresh-token").with_set_up();
    let session = org.grants.issue(1, sample::NOW).unwrap().access_token;
    let credentials = Credentials::of([("access_token", &session)]);
    Line::new(patchbay_salesforce::build(&settings), org, credentials, sample::NOW)
}

fn list(settings: &mut Settings, key: &str, entries: &[&str]) {
    settings.lists.insert(key.to_owned(), entries.iter().map(|entry| (*entry).to_owned()).collect());
}

fn defaults(settings: &mut Settings, value: serde_json::Value) {
    settings.defaults = value.as_object().cloned().expect("a table");
}

fn connector(line: &Line<Salesforce>) -> Arc<dyn Connector> {
    Arc::clone(&line.connector)
}

fn create(line: &mut Line<Salesforce>, call: &CallActivity) -> RecordRef {
    line.run(connector(line).activities().create(call)).unwrap()
}

fn update(line: &mut Line<Salesforce>, at: &RecordRef, call: &CallActivity, changed: Changed) {
    assert_eq!(line.run(connector(line).updates().unwrap().update(at, call, changed)), Ok(at.clone()));
}

fn find(line: &mut Line<Salesforce>) -> Vec<Contact> {
    let writings: Vec<String> =
        patchbay_salesforce::MANIFEST.phone.iter().map(|writing| sample::number().render(*writing)).collect();
    line.run(connector(line).contacts().unwrap().find(&writings)).unwrap()
}

fn make(line: &mut Line<Salesforce>, caller: &NewContact) -> Result<Contact, patchbay_kit::Failure> {
    line.run(connector(line).contacts().unwrap().create(caller))
}

fn task(line: &Line<Salesforce>) -> &Record {
    line.sandbox.records_of("Task").next().expect("a task")
}

fn labels(line: &Line<Salesforce>) -> Vec<&'static str> {
    line.sent().iter().map(|sent| sent.label).collect()
}

#[test]
fn every_fact_of_a_call_has_its_field() {
    let mut line =
        line(|settings| settings.utc_offset = jiff::tz::offset(5).saturating_add(jiff::Span::new().minutes(30)));
    let mut call = sample::call(sample::CALL_SID, None);
    call.recording_link = Some("https://calls.example.com/r/1.mp3".to_owned());
    create(&mut line, &call);
    let task = task(&line);
    for (field, value) in [
        ("Exotel_Call_Sid__c", json!(sample::CALL_SID)),
        ("Recording_URL__c", json!("https://calls.example.com/r/1.mp3")),
        ("Call_Direction__c", json!("Inbound")),
        ("Call_Duration__c", json!(34)),
        ("Call_Status__c", json!("answered")),
        ("From__c", json!("09876543210")),
        ("To__c", json!("09711581198")),
        ("Virtual_Number__c", json!("08047494574")),
        ("Start_Time__c", json!("2026-01-15T15:25:00+05:30")),
        ("End_Time__c", json!("2026-01-15T15:30:00+05:30")),
        ("Leg1_Status__c", json!("no-answer")),
        ("Leg2_Status__c", json!("answered")),
        ("CallType", json!("Inbound")),
        ("CallObject", json!(sample::CALL_SID)),
        ("CallDisposition", json!("Answered")),
        ("CallDurationInSeconds", json!(34)),
        ("TaskSubtype", json!("Call")),
        ("Status", json!("Completed")),
        ("ActivityDate", json!("2026-01-15")),
    ] {
        assert_eq!(task.values.get(field), Some(&value), "{field}");
    }
    assert_eq!(labels(&line), ["task.upsert"]);
    let held = line.sandbox.records();
    assert_eq!((held.len(), held[0].talk_seconds, held[0].agent.as_deref()), (1, Some(34), None));

    call.direction = Direction::Outgoing;
    call.key.0 = "out".to_owned();
    create(&mut line, &call);
    let out = line.sandbox.records_of("Task").last().unwrap();
    assert_eq!(
        (out.text("From__c"), out.text("To__c"), out.text("CallType")),
        ("09711581198", "09876543210", "Outbound")
    );
}

/// What an org has no field for is left out; the rest arrives.
#[test]
fn a_field_that_is_not_there_holds_no_call() {
    let mut line = line(|_| {});
    line.sandbox.remove_field("Task", "To__c");
    line.sandbox.define_field(
        "Task",
        "From__c",
        Field { updatable: false, creatable: false, ..Field::of(FieldKind::Text(9)) },
    );
    let call = sample::call(sample::CALL_SID, None);
    let at = create(&mut line, &call);
    assert_eq!(labels(&line), ["task.upsert", "task.describe", "task.upsert"]);
    assert_eq!((task(&line).text("To__c"), task(&line).text("Virtual_Number__c")), ("", "08047494574"));
    update(&mut line, &at, &call, Changed { facts: true, ..Changed::default() });
    assert_eq!(labels(&line)[3..], ["task.update", "task.describe", "task.update"]);

    // Who says which there are is not asked again.
    let mut line = self::line(|settings| list(settings, "call_fields", &["recording_url=Link__c", "digits=Digits__c"]));
    for name in ["Link__c", "Digits__c"] {
        line.sandbox.define_field("Task", name, Field::of(FieldKind::Text(255)));
    }
    create(&mut line, &call);
    assert_eq!(labels(&line), ["task.upsert"]);
    assert_eq!((task(&line).text("Digits__c"), task(&line).text("To__c")), ("language: 2", ""));
}

/// As in orgs whose fields were made for something else.
#[test]
fn a_fact_is_fitted_to_the_field_there_is() {
    let mut line = line(|_| {});
    for (name, kind) in [
        ("Call_Duration__c", FieldKind::Text(2)),
        ("Start_Time__c", FieldKind::Day),
        ("End_Time__c", FieldKind::Text(255)),
        ("From__c", FieldKind::Text(5)),
        ("To__c", FieldKind::Whole),
        ("Call_Status__c", FieldKind::OneOf(&["busy"])),
        ("Leg1_Status__c", FieldKind::Yes),
    ] {
        line.sandbox.define_field("Task", name, Field::of(kind));
    }
    create(&mut line, &sample::call(sample::CALL_SID, None));
    let task = task(&line);
    let held = |field: &str| task.values.get(field).cloned();
    assert_eq!(held("Call_Duration__c"), Some(json!("34")));
    assert_eq!(held("Start_Time__c"), Some(json!("2026-01-15")));
    assert_eq!(held("End_Time__c"), Some(json!("2026-01-15T10:00:00+00:00")));
    assert_eq!(held("From__c"), Some(json!("09876")));
    for none in ["To__c", "Call_Status__c", "Leg1_Status__c"] {
        assert_eq!(held(none), None, "{none}");
    }
    assert_eq!(labels(&line), ["task.upsert", "task.describe", "task.upsert", "task.upsert"]);

    let mut line = self::line(|settings| defaults(settings, json!({"IsReminderSet": "yes"})));
    let failure = line.run(connector(&line).activities().create(&sample::call("x", None))).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Invalid, Retry::Never));
    assert!(failure.detail.contains("`defaults`"), "{failure}");
}

#[test]
fn without_its_external_id_nothing_can_be_written() {
    let mut line = line(|_| {});
    line.sandbox.remove_field("Task", "Exotel_Call_Sid__c");
    let call = sample::call(sample::CALL_SID, None);
    let failure = line.run(connector(&line).activities().create(&call)).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Invalid, Retry::Never));
    assert!(failure.detail.contains("`Exotel_Call_Sid__c`") && failure.detail.contains("call_sid_field"), "{failure}");
    // The field may be of a package, with a prefix.
    let mut line = self::line(|settings| {
        settings.text.insert("call_sid_field".to_owned(), "exotel__Call_Sid__c".to_owned());
    });
    line.sandbox.define_field("Task", "exotel__Call_Sid__c", Field::external_id());
    let at = create(&mut line, &call);
    assert_eq!(line.run(connector(&line).activities().find(&call).unwrap()), Ok(Some(at)));
}

#[test]
fn several_tasks_of_one_call_are_told() {
    let mut line = line(|_| {});
    line.sandbox.define_field("Task", "Exotel_Call_Sid__c", Field { unique: false, ..Field::external_id() });
    for _ in 0..2 {
        line.sandbox.add_record("Task", json!({"Subject": "x", "Exotel_Call_Sid__c": sample::CALL_SID}));
    }
    let call = sample::call(sample::CALL_SID, None);
    let failure = line.run(connector(&line).activities().create(&call)).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Conflict, Retry::Never));
}

#[test]
fn what_the_org_demands_comes_from_the_defaults() {
    let call = sample::call(sample::CALL_SID, None);
    let mut first = line(|_| {});
    first.sandbox.demand("Type", "Choose a type");
    let failure = first.run(connector(&first).activities().create(&call)).unwrap_err();
    assert!(failure.detail.contains("Choose a type") && failure.detail.contains("`defaults`"), "{failure}");

    let mut line = line(|settings| {
        defaults(settings, json!({"Type": "Call", "Subject": "not this", "contact": {"Company": "Walk-in"}}));
    });
    line.sandbox.demand("Type", "Choose a type");
    create(&mut line, &call);
    assert_eq!((task(&line).text("Type"), task(&line).text("Subject")), ("Call", call.subject.as_str()));
    make(&mut line, &sample::caller()).unwrap();
    assert_eq!(line.sandbox.records_of("Lead").next().unwrap().text("Company"), "Walk-in");
}

#[test]
fn a_missed_call_is_open_until_somebody_closes_it() {
    let mut line = line(|_| {});
    let mut call = sample::call(sample::CALL_SID, None);
    call.outcome = Outcome::Missed;
    (call.talk_seconds, call.tried[1].status) = (None, TriedStatus::Busy);
    let at = create(&mut line, &call);
    assert_eq!((task(&line).text("Status"), task(&line).text("CallDisposition")), ("Not Started", "Missed"));
    assert_eq!((task(&line).text("Call_Status__c"), task(&line).text("Leg2_Status__c")), ("missed", "busy"));
    line.sandbox.set(&at.id, "Status", json!("Completed"), sample::NOW);
    call.total_seconds = Some(70);
    update(&mut line, &at, &call, Changed { facts: true, body: true, ..Changed::default() });
    assert_eq!(task(&line).text("Status"), "Completed", "what the agent did was undone");

    call.key.0 = "other".to_owned();
    call.tried = vec![Tried { number: sample::party("1"), status: TriedStatus::Failed, talk_seconds: None }];
    create(&mut line, &call);
    let other = line.sandbox.records_of("Task").last().unwrap();
    assert_eq!((other.text("CallDisposition"), other.text("Call_Status__c")), ("Not connected", "not_connected"));
}

/// Who calls may be chosen later; a lead cannot stand beside anything else.
#[test]
fn a_task_moves_to_another_object() {
    let mut line = line(|_| {});
    let lead = line.sandbox.add_record("Lead", json!({"LastName": "L", "Company": "C"}));
    let account = line.sandbox.add_record("Account", json!({"Name": "A"}));
    let contact = line.sandbox.add_record("Contact", json!({"LastName": "C"}));
    let mut call = sample::call(sample::CALL_SID, Some(RecordRef::new("lead", &lead)));
    let at = create(&mut line, &call);
    for (kind, id, who, what) in [
        ("account", &account, "", account.as_str()),
        ("lead", &lead, lead.as_str(), ""),
        ("contact", &contact, contact.as_str(), ""),
        ("account", &account, "", account.as_str()),
    ] {
        call.contact = Some(RecordRef::new(kind, id));
        update(&mut line, &at, &call, Changed { contact: true, ..Changed::default() });
        assert_eq!((task(&line).text("WhoId"), task(&line).text("WhatId")), (who, what), "{kind}");
    }
}

#[test]
fn a_queue_can_own_what_nobody_is_given() {
    let mut org = Salesforce::new("a", "b", "c");
    let queue = org.add_queue("Sales");
    let mut line = line(|settings| defaults(settings, json!({"OwnerId": queue})));
    assert_eq!(line.sandbox.add_queue("Sales"), queue);
    let mut call = sample::call(sample::CALL_SID, None);
    let at = create(&mut line, &call);
    assert_eq!(task(&line).text("OwnerId"), queue);
    let user = line.sandbox.add_user("Ravi", "ravi@example.com");
    call.agent = Some(RecordRef::new("agent", &user));
    update(&mut line, &at, &call, Changed { agent: true, ..Changed::default() });
    assert_eq!(task(&line).text("OwnerId"), user);

    // Going on without the agent would not help where it is the default that is refused.
    let mut org = Salesforce::new("a", "b", "c");
    let gone = org.add_user("Gone", "gone@example.com");
    let mut line = self::line(|settings| defaults(settings, json!({"OwnerId": gone})));
    assert_eq!(line.sandbox.add_user("Gone", "gone@example.com"), gone);
    line.sandbox.deactivate_user(&gone);
    let failure = line.run(connector(&line).activities().create(&sample::call("x", None))).unwrap_err();
    assert_eq!((failure.kind, failure.about), (Kind::Invalid, None));
    assert!(failure.detail.contains("defaults.OwnerId"), "{failure}");
    call.key.0 = "y".to_owned();
    call.agent = Some(RecordRef::new("agent", &gone));
    let failure = line.run(connector(&line).activities().create(&call)).unwrap_err();
    assert_eq!(failure.about, Some(About::Agent));
}

#[test]
fn a_success_that_says_no_is_none() {
    let mut line = line(|_| {});
    for operation in ["task", "contact"] {
        assert!(line.sandbox.fail_inside(1));
        let failure = match operation {
            "task" => line.run(connector(&line).activities().create(&sample::call("x", None))).unwrap_err(),
            _ => make(&mut line, &sample::caller()).unwrap_err(),
        };
        assert_eq!((failure.kind, failure.retry), (Kind::Conflict, Retry::Backoff), "{operation}");
        assert_eq!(failure.remote_code.as_deref(), Some("UNABLE_TO_LOCK_ROW"));
    }
    assert!(line.sandbox.records().is_empty());
}

#[test]
fn what_an_agent_chose_after_a_call_stays_unless_it_ended_otherwise() {
    let mut line = line(|_| {});
    let mut call = CallActivity { outcome: Outcome::Missed, tried: Vec::new(), ..sample::call("x", None) };
    let at = create(&mut line, &call);
    // Nobody was there to be dialled.
    assert_eq!((task(&line).text("CallDisposition"), task(&line).text("Status")), ("Not connected", "Not Started"));
    for (field, choice) in [("CallDisposition", "Spam"), ("Status", "Completed")] {
        line.sandbox.set(&at.id, field, json!(choice), sample::NOW);
    }
    update(&mut line, &at, &call, Changed { facts: true, ..Changed::default() });
    assert_eq!((task(&line).text("CallDisposition"), task(&line).text("Status")), ("Spam", "Completed"));
    line.sandbox.set(&at.id, "Status", json!("Not Started"), sample::NOW);
    call.outcome = Outcome::Answered;
    update(&mut line, &at, &call, Changed { outcome: true, ..Changed::default() });
    assert_eq!((task(&line).text("CallDisposition"), task(&line).text("Status")), ("Answered", "Completed"));
}

#[test]
fn the_day_s_budget_is_read_and_its_end_survived() {
    let mut line = line(|_| {});
    // Two requests each.
    line.sandbox.settings.daily = Some(4);
    line.run(connector(&line).identify()).unwrap();
    line.run(connector(&line).identify()).unwrap();
    let failure = line.run(connector(&line).identify()).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::RateLimited, Retry::After(Duration::from_secs(900))));

    for (header, expected) in [
        ("api-usage=18/5000", Some((5000.0, 4982.0))),
        ("api-usage=25/5000; per-app-api-usage=17/250(appName=sample)", Some((5000.0, 4975.0))),
        ("api-usage=6000/5000", Some((5000.0, 0.0))),
        ("api-usage=many/5000", None),
        ("18/5000", None),
        ("", None),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("sforce-limit-info", header.parse().unwrap());
        let reply = Response { status: StatusCode::OK, headers, body: Bytes::new() };
        let read = line.connector.allowance(&reply).map(|read| (read.limit.unwrap(), read.remaining.unwrap()));
        assert_eq!(read, expected, "{header}");
    }
}

#[test]
fn what_is_to_be_done_is_one_task_of_its_own() {
    let mut line = line(|_| {});
    let call = sample::call(sample::CALL_SID, None);
    let at = create(&mut line, &call);
    let it = sample::follow_up(sample::CALL_SID, FollowUpKind::Task);
    let connector = connector(&line);
    let follow_ups = connector.follow_ups().unwrap();
    assert_eq!(follow_ups.for_missed(), None);
    let made = line.run(follow_ups.create(&at, &call, &it)).unwrap();
    assert_eq!(line.run(follow_ups.create(&at, &call, &it)), Ok(made.clone()));
    let task = line.sandbox.record(&made.id).unwrap();
    assert_eq!((task.text("Status"), task.text("ReminderDateTime")), ("Not Started", "2026-01-15T11:00:00+00:00"));
    assert_eq!(line.sandbox.records().len(), 1, "it is no record of a call");
    assert_eq!(line.run(connector.activities().find(&call).unwrap()), Ok(Some(at)));
}
