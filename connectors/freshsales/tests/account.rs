//! What differs from one Freshsales account to the next: products, settings, mandatory fields, contradictory reports.

mod subject;

use std::{sync::Arc, time::Duration};

use patchbay_kit::{About, Changed, Direction, Kind, NewContact, PhoneNumber, RecordRef, Rendering, Retry, Settings};
use patchbay_sandbox::{
    Crm,
    freshsales::{Freshsales, Gone, JsonCalls, Limits, Person},
};
use patchbay_testkit::{Credentials, Line, sample};
use serde_json::json;
use subject::KEY;

fn line(settings: &Settings) -> Line<Freshsales> {
    let credentials = Credentials::of([("api_key", KEY)]);
    Line::new(patchbay_freshsales::build(settings), Freshsales::new(KEY), credentials, sample::NOW)
}

fn usual() -> Line<Freshsales> {
    line(&subject::Freshsales::usual().settings())
}

fn with(key: &str, value: &str) -> Settings {
    Settings { text: [(key.to_owned(), value.to_owned())].into(), ..Settings::default() }
}

fn defaults(defaults: serde_json::Value) -> Settings {
    Settings { defaults: defaults.as_object().cloned().unwrap_or_default(), ..Settings::default() }
}

/// The sample caller's contact.
fn caller(line: &mut Line<Freshsales>) -> RecordRef {
    let connector = Arc::clone(&line.connector);
    line.run(connector.contacts().unwrap().create(&sample::caller())).unwrap().at
}

#[test]
fn new_contacts_are_written_as_the_settings_say() {
    let abroad = PhoneNumber { e164: "+6591234567".into(), country: "65".into(), national: "91234567".into() };
    for (format, number, written) in [
        ("", sample::number(), "9876543210"),
        ("national", abroad, "+6591234567"),
        ("e164", sample::number(), "+919876543210"),
    ] {
        let mut line = line(&with("number_format", format));
        let connector = Arc::clone(&line.connector);
        let new = NewContact { number: Some(number), ..sample::caller() };
        let made = line.run(connector.contacts().unwrap().create(&new)).unwrap();
        assert_eq!(made.numbers, [written]);
    }
}

/// A repetition changes the contact the first one made, also where the lookup does not know of it yet.
#[test]
fn a_contact_is_made_once_whatever_the_lookup_knows() {
    let mut line = usual();
    line.sandbox.lag(Duration::from_secs(60));
    assert_eq!(caller(&mut line), caller(&mut line));
    let connector = Arc::clone(&line.connector);
    let contacts = connector.contacts().unwrap();
    let withheld = line.run(contacts.create(&sample::withheld())).unwrap();
    assert_eq!(line.run(contacts.create(&sample::withheld())).unwrap().at, withheld.at);
    assert_eq!(line.sandbox.people().count(), 2);
}

#[test]
fn a_mandatory_field_is_filled_from_the_defaults() {
    let mut line = usual();
    line.sandbox.require_contact_field("email");
    line.sandbox.require_contact_field("cf_region");
    let connector = Arc::clone(&line.connector);
    let refused = line.run(connector.contacts().unwrap().create(&sample::caller())).unwrap_err();
    assert_eq!((refused.kind, refused.retry), (Kind::Invalid, Retry::Never));
    for part in ["Email can't be blank", "`defaults.contact`", "`defaults.contact.custom_field`"] {
        assert!(refused.detail.contains(part), "{refused}");
    }
    line.connector = patchbay_freshsales::build(&defaults(json!({"contact": {
        "email": "{number}@calls.example.com", "medium": "call", "custom_field": {"cf_region": "south"},
    }})));
    caller(&mut line);
    let connector = Arc::clone(&line.connector);
    line.run(connector.contacts().unwrap().create(&sample::withheld())).unwrap();
    let emails: Vec<_> = line.sandbox.people().map(|contact| contact.email.clone().unwrap()).collect();
    assert_eq!(emails, ["919876543210@calls.example.com", "withheld@calls.example.com"]);
    assert_eq!(line.sandbox.people().next().unwrap().custom_field["cf_region"], "south");
}

#[test]
fn an_account_that_does_not_keep_numbers_unique_is_told_how_to() {
    let mut line = usual();
    line.sandbox.settings.mobile_unique = false;
    let connector = Arc::clone(&line.connector);
    let refused = line.run(connector.contacts().unwrap().create(&sample::caller())).unwrap_err();
    assert_eq!(refused.kind, Kind::Invalid);
    assert!(refused.detail.contains("make it unique"), "{refused}");
}

#[test]
fn what_passes_is_tried_again() {
    let mut line = usual();
    line.sandbox.busy_upserts(1);
    let connector = Arc::clone(&line.connector);
    let busy = line.run(connector.contacts().unwrap().create(&sample::caller())).unwrap_err();
    assert_eq!((busy.kind, busy.retry), (Kind::RateLimited, Retry::After(Duration::from_secs(60))));
    caller(&mut line);

    line.sandbox.settings.limits = Limits { says_when: true, ..Limits::growth() };
    for _ in 0..1000 {
        line.run(connector.identify()).unwrap();
    }
    let failure = line.run(connector.identify()).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::RateLimited, Retry::After(Duration::from_secs(3600))));
    line.sandbox.settings.limits.says_when = false;
    let failure = line.run(connector.identify()).unwrap_err();
    assert_eq!(failure.retry, Retry::After(Duration::from_secs(300)));
}

/// What stands in the account for a missed call, an outgoing one, and one with an outcome from the defaults.
#[test]
fn a_log_says_what_became_of_the_call() {
    let mut line = line(&defaults(json!({"outcome_id": 7})));
    line.sandbox.add_outcome(7);
    let contact = caller(&mut line);
    let mut call = sample::call(sample::CALL_SID, Some(contact));
    call.subject = "Missed Call from <0987>".to_owned();
    let connector = Arc::clone(&line.connector);
    let at = line.run(connector.activities().create(&call)).unwrap();
    call.direction = Direction::Outgoing;
    line.run(connector.activities().create(&call)).unwrap();
    let logs: Vec<_> = line.sandbox.calls().map(|call| (call.incoming, call.outcome_id)).collect();
    assert_eq!(logs, [(true, Some(7)), (false, Some(7))]);
    let note = line.sandbox.note(at.id.parse().unwrap()).unwrap();
    assert!(note.description.starts_with("<div><b>Missed Call from &lt;0987&gt;</b></div>From:"), "{note:?}");
}

#[test]
fn an_agents_edit_of_the_rest_stays() {
    let mut line = usual();
    let contact = caller(&mut line);
    let mut call = sample::call(sample::CALL_SID, Some(contact));
    let connector = Arc::clone(&line.connector);
    let at = line.run(connector.activities().create(&call)).unwrap();
    let id = at.id.parse().unwrap();
    let text = |line: &Line<Freshsales>| line.sandbox.note(id).unwrap().description.clone();
    line.sandbox.change_note(id, |note| note.description.push_str("<br>will call back"));
    call.subject = "Voicemail".to_owned();
    let updates = connector.updates().unwrap();
    let subject = Changed { subject: true, ..Changed::default() };
    line.run(updates.update(&at, &call, subject)).unwrap();
    assert!(text(&line).contains("<b>Voicemail</b>") && text(&line).ends_with("will call back"));

    // A note that has lost its form is written whole, also where the contact is not there to be read.
    line.sandbox.change_note(id, |note| note.description = "mine".to_owned());
    line.run(updates.update(&at, &call, subject)).unwrap();
    assert!(text(&line).starts_with("<div><b>Voicemail</b></div>From:"));
    call.contact = None;
    line.run(updates.update(&at, &call, Changed { body: true, ..Changed::default() })).unwrap();
}

#[test]
fn what_a_person_has_deleted_is_told() {
    let mut line = usual();
    let contact = caller(&mut line);
    let call = sample::call(sample::CALL_SID, Some(contact.clone()));
    let connector = Arc::clone(&line.connector);
    let at = line.run(connector.activities().create(&call)).unwrap();
    let log = line.sandbox.calls().next().unwrap().id;
    line.sandbox.delete_call(log);
    let all = Changed { subject: true, body: true, ..Changed::default() };
    let failure = line.run(connector.updates().unwrap().update(&at, &call, all)).unwrap_err();
    assert_eq!((failure.kind, failure.about), (Kind::NotFound, Some(About::Record)));
    assert_eq!(line.run(connector.activities().find(&call).unwrap()), Ok(None));
    line.sandbox.delete_contact(contact.id.parse().unwrap());
    assert_eq!(line.run(connector.activities().find(&call).unwrap()), Ok(None));
    let notes = connector.notes().unwrap();
    let failure = line.run(notes.create(&at, &call, &sample::note(sample::CALL_SID))).unwrap_err();
    assert_eq!((failure.kind, failure.about), (Kind::NotFound, Some(About::Record)));
    let failure = line.run(notes.update(&at, &call, &sample::note(sample::CALL_SID))).unwrap_err();
    assert_eq!((failure.kind, failure.about), (Kind::NotFound, None));
}

/// A log whose note the reply does not name is looked up when there is something to change.
#[test]
fn a_log_without_a_named_note_is_changed_all_the_same() {
    let mut line = usual();
    line.sandbox.settings.reply_names_note = false;
    let contact = caller(&mut line);
    let mut call = sample::call(sample::CALL_SID, Some(contact));
    let connector = Arc::clone(&line.connector);
    let at = line.run(connector.activities().create(&call)).unwrap();
    assert_eq!(at.kind, "call_log");
    let noted = line.run(connector.activities().find(&call).unwrap()).unwrap().unwrap();
    call.body = format!("Voicemail<br>CallSid: {}", sample::CALL_SID);
    let changed = Changed { body: true, ..Changed::default() };
    let updates = connector.updates().unwrap();
    assert_eq!(line.run(updates.update(&at, &call, changed)), Ok(noted));
    assert!(line.sandbox.notes().next().unwrap().description.contains("Voicemail"));
    let note = sample::note(sample::CALL_SID);
    line.run(connector.notes().unwrap().create(&at, &call, &note)).unwrap();

    line.sandbox.settings.lists_call_notes = false;
    let failure = line.run(updates.update(&at, &call, changed)).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Unsupported, Retry::Never));
}

/// Where notes of logs do not stand among the contact's, a lost log cannot be found: the README says so.
#[test]
fn a_log_whose_note_is_not_listed_is_not_found() {
    let mut line = usual();
    line.sandbox.settings.lists_call_notes = false;
    let contact = caller(&mut line);
    let call = sample::call(sample::CALL_SID, Some(contact));
    let connector = Arc::clone(&line.connector);
    let at = line.run(connector.activities().create(&call)).unwrap();
    assert_eq!(line.run(connector.activities().find(&call).unwrap()), Ok(None));
    let changed = Changed { subject: true, body: true, ..Changed::default() };
    assert_eq!(line.run(connector.updates().unwrap().update(&at, &call, changed)), Ok(at));
}

#[test]
fn a_log_that_is_nobodys_is_told() {
    let settings = subject::Freshsales { calls_as_json: true, ..subject::Freshsales::usual() }.settings();
    let mut line = line(&settings);
    line.sandbox.settings.json_calls = JsonCalls::Dropped;
    let contact = caller(&mut line);
    let call = sample::call(sample::CALL_SID, Some(contact));
    let connector = Arc::clone(&line.connector);
    let failure = line.run(connector.activities().create(&call)).unwrap_err();
    assert_eq!((failure.kind, failure.retry, failure.about), (Kind::Invalid, Retry::Never, None));
    assert!(failure.detail.contains("calls_as_json"), "{failure}");
    line.sandbox.settings.json_calls = JsonCalls::NoteFails;
    let failure = line.run(connector.activities().create(&call)).unwrap_err();
    assert_eq!(failure.kind, Kind::Unavailable);
    assert_eq!(line.sandbox.calls().count(), 1);

    let mut line = usual();
    line.sandbox.settings.gone = Gone::Dropped;
    let contact = caller(&mut line);
    line.sandbox.delete_contact(contact.id.parse().unwrap());
    let call = sample::call(sample::CALL_SID, Some(contact));
    let failure = line.run(line.connector.activities().create(&call)).unwrap_err();
    assert_eq!((failure.kind, failure.about), (Kind::NotFound, Some(About::Contact)));
}

/// The classic product: another path, and leads beside contacts.
#[test]
fn a_lead_is_a_caller_too() {
    let mut line = line(&with("domain", "acme.freshsales.io"));
    line.sandbox.settings.classic = true;
    let lead = line.sandbox.add_contact_with(|lead| {
        lead.is = Person::Lead;
        lead.last_name = Some("Asha".to_owned());
        lead.work_number = Some("+919876543210".to_owned());
    });
    let connector = Arc::clone(&line.connector);
    let found = line.run(connector.contacts().unwrap().find(&["+919876543210".to_owned()])).unwrap();
    assert_eq!(found[0].at, RecordRef::new("lead", lead));
    let call = sample::call(sample::CALL_SID, Some(found[0].at.clone()));
    let at = line.run(connector.activities().create(&call)).unwrap();
    assert_eq!(line.run(connector.activities().find(&call).unwrap()), Ok(Some(at.clone())));
    line.run(connector.notes().unwrap().create(&at, &call, &sample::note(sample::CALL_SID))).unwrap();
    assert!(line.sandbox.notes().all(|note| note.target == Some(lead)));
    assert_eq!(line.sandbox.records().len(), 1);
}

#[test]
fn the_owner_comes_with_the_lookup() {
    for writing in [Rendering::National, Rendering::E164] {
        let mut line = usual();
        let ravi = line.sandbox.add_user("Ravi", "ravi@example.com");
        line.sandbox.change_user(ravi, |user| {
            user.mobile_number = Some("+919000000001".to_owned());
            user.work_number = Some("0802345678".to_owned());
        });
        line.sandbox.add_contact_with(|contact| {
            contact.mobile_number = Some(sample::number().render(writing));
            contact.owner_id = Some(ravi);
        });
        let connector = Arc::clone(&line.connector);
        let owners = connector.owners().unwrap();
        let owner = line.run(owners.of(&sample::number())).unwrap().unwrap();
        assert_eq!(owner.at, Some(RecordRef::new("agent", ravi)));
        assert_eq!(owner.numbers, ["+919000000001", "0802345678"]);
        let found = line.run(connector.contacts().unwrap().find(&[sample::number().render(writing)])).unwrap();
        assert_eq!(found[0].owner, owner.at);
        line.sandbox.change_user(ravi, |user| user.is_active = false);
        assert_eq!(line.run(owners.of(&sample::number())), Ok(None), "out of service");
    }
}

/// No documentation names such headers; where they come they are read.
#[test]
fn the_allowance_is_read_where_there_is_one() {
    let connector = patchbay_freshsales::build(&Settings::default());
    let mut reply = patchbay_kit::Response {
        status: patchbay_kit::StatusCode::OK,
        headers: patchbay_kit::HeaderMap::new(),
        body: patchbay_kit::Bytes::new(),
    };
    assert_eq!(connector.allowance(&reply), None);
    reply.headers.insert("x-ratelimit-limit", "1000".parse().unwrap());
    reply.headers.insert("x-ratelimit-remaining", "999".parse().unwrap());
    let allowance = connector.allowance(&reply).unwrap();
    assert_eq!((allowance.limit, allowance.remaining), (Some(1000.0), Some(999.0)));
}
