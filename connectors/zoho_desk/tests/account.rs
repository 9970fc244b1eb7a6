//! What differs from one organisation to the next: mandatory fields, open tickets, recycle bins, credits.

use std::{sync::Arc, time::Duration};

use patchbay_kit::{
    About, Bytes, CallActivity, Changed, Connector, Contact, HeaderMap, Kind, Outcome, RecordRef, Response, Retry,
    Settings, StatusCode,
};
use patchbay_sandbox::{
    Crm,
    zoho_desk::{Trash, ZohoDesk},
};
use patchbay_testkit::{Credentials, Line, sample};
use serde_json::{Value, json};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn connector(defaults: Value) -> Arc<dyn Connector> {
    let mut settings = Settings { defaults: defaults.as_object().cloned().unwrap_or_default(), ..Settings::default() };
    for (key, id) in [("org_id", ZohoDesk::ORG_ID), ("department_id", ZohoDesk::DEPARTMENT_ID)] {
        settings.text.insert(key.to_owned(), id.to_string());
    }
    patchbay_zoho_desk::build(&settings)
}

fn line() -> Line<ZohoDesk> {
    let mut sandbox = ZohoDesk::new("client", "the-secret", "the-refresh-token");
    // Some of these tests take days.
    sandbox.grants.rules.lifetime = 365 * DAY;
    let token = sandbox.grants.issue(1, sample::NOW).unwrap().access_token;
    Line::new(connector(json!({})), sandbox, Credentials::of([("access_token", &token)]), sample::NOW)
}

fn caller(line: &mut Line<ZohoDesk>) -> Contact {
    line.run(line.connector.contacts().unwrap().create(&sample::caller())).unwrap()
}

fn missed(contact: &Contact) -> CallActivity {
    let mut call = sample::call(sample::CALL_SID, Some(contact.at.clone()));
    call.outcome = Outcome::Missed;
    "Missed Call from <09876543210>".clone_into(&mut call.subject);
    call
}

fn create(line: &mut Line<ZohoDesk>, call: &CallActivity) -> RecordRef {
    line.run(line.connector.activities().create(call)).unwrap()
}

fn find(line: &mut Line<ZohoDesk>, call: &CallActivity) -> Option<RecordRef> {
    line.run(line.connector.activities().find(call).unwrap()).unwrap()
}

fn id(text: &str) -> u64 {
    text.parse().unwrap()
}

/// An older ticket of the caller's, made by hand.
fn older(line: &mut Line<ZohoDesk>, contact: &Contact, status: &str) -> u64 {
    let status = status.to_owned();
    line.sandbox.add_ticket_with(id(&contact.at.id), |ticket| ticket.status = status)
}

#[test]
fn a_missed_call_is_a_private_comment_on_the_open_ticket() {
    for status in ["Open", "Escalated", "On Hold"] {
        let mut line = line();
        let contact = caller(&mut line);
        let ticket = older(&mut line, &contact, status);
        older(&mut line, &contact, "Closed");
        let call = missed(&contact);
        let at = create(&mut line, &call);
        assert_eq!((at.kind.as_str(), line.sandbox.tickets().count()), ("comment", 2), "{status}");
        let comment = line.sandbox.comments_of(ticket).next().unwrap().clone();
        assert_eq!(at.id, format!("{ticket}:{}", comment.id));
        assert!(!comment.public && comment.content_type == "html");
        assert!(comment.content.contains("Missed Call from &lt;09876543210&gt;"), "{}", comment.content);
        assert!(comment.content.contains(&call.body));
        assert_eq!(line.sandbox.records().len(), 1);
    }
}

#[test]
fn a_missed_call_without_an_open_ticket_here_is_a_ticket() {
    let mut line = line();
    let contact = caller(&mut line);
    let sales = line.sandbox.add_department("Sales");
    line.sandbox.add_ticket_with(id(&contact.at.id), |ticket| ticket.department_id = sales);
    older(&mut line, &contact, "Closed");
    let call = missed(&contact);
    let first = create(&mut line, &call);
    assert_eq!(first.kind, "ticket");
    assert_eq!(line.sandbox.ticket(id(&first.id)).unwrap().subject, call.subject);
    let mut again = call;
    again.key.0 = "another".into();
    again.body = "CallSid: another".into();
    line.now += Duration::from_secs(60);
    let second = create(&mut line, &again);
    assert!(second.kind == "comment" && second.id.starts_with(&format!("{}:", first.id)), "{second}");
    assert_eq!(line.sandbox.records().len(), 2, "two calls, two records");
}

/// An answered call or a voicemail is a matter of its own.
#[test]
fn other_calls_are_tickets_whatever_is_open() {
    for outcome in [Outcome::Answered, Outcome::Voicemail, Outcome::FlowEnded] {
        let mut line = line();
        let contact = caller(&mut line);
        older(&mut line, &contact, "Open");
        let call = CallActivity { outcome, ..missed(&contact) };
        assert_eq!(create(&mut line, &call).kind, "ticket", "{outcome:?}");
    }
}

#[test]
fn a_missed_calls_comment_is_found_changed_and_remarked_on() {
    let mut line = line();
    let contact = caller(&mut line);
    let ticket = older(&mut line, &contact, "Open");
    let mut call = missed(&contact);
    line.loses_creations = true;
    line.run(line.connector.activities().create(&call)).unwrap_err();
    line.loses_creations = false;
    let at = find(&mut line, &call).expect("the comment whose reply was lost");
    assert_eq!((at.kind.as_str(), line.sandbox.comments_of(ticket).count()), ("comment", 1));
    let other = CallActivity { key: patchbay_kit::CallKey("another".into()), ..call.clone() };
    assert_eq!(find(&mut line, &other), None);

    "Voicemail from 09876543210".clone_into(&mut call.subject);
    let connector = Arc::clone(&line.connector);
    let updates = connector.updates().unwrap();
    let changed = Changed { subject: true, ..Changed::default() };
    assert_eq!(line.run(updates.update(&at, &call, changed)), Ok(at.clone()));
    assert!(line.sandbox.comments_of(ticket).next().unwrap().content.contains("Voicemail from"));
    assert_eq!(line.run(updates.update(&at, &call, Changed { facts: true, ..Changed::default() })), Ok(at.clone()));

    let notes = connector.notes().unwrap();
    let note = sample::note(sample::CALL_SID);
    assert_eq!(line.run(notes.find(&at, &call, &note).unwrap()), Ok(None), "the call's own comment is no note on it");
    let written = line.run(notes.create(&at, &call, &note)).unwrap();
    assert_eq!(line.run(notes.find(&at, &call, &note).unwrap()), Ok(Some(written.clone())));
    assert_eq!(line.run(notes.update(&written, &call, &note)), Ok(written));
    assert_eq!(find(&mut line, &call), Some(at.clone()), "the note is not taken for the call");
    let records = line.sandbox.records();
    assert!(records.len() == 1 && !records[0].public && records[0].text.contains("Call Recording"));

    line.sandbox.change_ticket(ticket, sample::NOW, |ticket| ticket.trashed = true);
    for trash in [Trash::Hidden, Trash::Shown] {
        line.sandbox.settings.trash = trash;
        let failure = line.run(updates.update(&at, &call, changed)).unwrap_err();
        assert_eq!(failure.about, Some(About::Record), "{failure}");
    }
}

/// Between the look at the list and the comment, or where the list is behind.
#[test]
fn a_ticket_that_goes_meanwhile_is_made_anew() {
    for trash in [Trash::Hidden, Trash::Shown] {
        let mut line = line();
        line.sandbox.settings.trash = trash;
        line.sandbox.settings.contact_tickets_lag = DAY;
        let contact = caller(&mut line);
        let ticket = older(&mut line, &contact, "Open");
        line.sandbox.change_ticket(ticket, sample::NOW, |ticket| ticket.trashed = true);
        assert_eq!(create(&mut line, &missed(&contact)).kind, "ticket");
        assert_eq!(line.sandbox.records().len(), 1);
    }
}

#[test]
fn a_lost_ticket_is_found_months_later_and_among_many() {
    let mut line = line();
    let contact = caller(&mut line);
    let call = sample::call(sample::CALL_SID, Some(contact.at.clone()));
    for before in 0..30 {
        older(&mut line, &contact, if before % 2 == 0 { "Open" } else { "Closed" });
    }
    let at = create(&mut line, &call);
    for after in 0..30 {
        line.now += DAY;
        create(&mut line, &sample::call(&format!("after{after}"), Some(contact.at.clone())));
    }
    assert_eq!(find(&mut line, &call), Some(at));
}

/// Exotel's clock may be set to another zone than the account's settings say.
#[test]
fn a_call_that_seems_to_be_later_than_its_ticket_is_found() {
    let mut line = line();
    let contact = caller(&mut line);
    let mut call = sample::call(sample::CALL_SID, Some(contact.at.clone()));
    let at = create(&mut line, &call);
    call.started_at = call.started_at.map(|started| started + Duration::from_secs(19_800));
    assert_eq!(find(&mut line, &call), Some(at.clone()));
    call.started_at = None;
    assert_eq!(find(&mut line, &call), Some(at));
}

#[test]
fn who_withholds_his_number_is_one_contact() {
    let mut line = line();
    let connector = Arc::clone(&line.connector);
    let contacts = connector.contacts().unwrap();
    line.loses_creations = true;
    line.run(contacts.create(&sample::withheld())).unwrap_err();
    line.loses_creations = false;
    let first = line.run(contacts.create(&sample::withheld())).unwrap();
    for other in 0..120 {
        line.sandbox.add_contact(&format!("Contact {other}"), "1", sample::NOW);
    }
    assert_eq!(line.sandbox.all_contacts().count(), 121);
    line.now += DAY;
    assert_eq!(line.run(contacts.create(&sample::withheld())).unwrap().at, first.at, "by the search, among many");
    // A namesake with a number is somebody else; and who is in the recycle bin is not used again.
    line.sandbox.add_contact("Unknown caller", "+919000000000", sample::NOW);
    line.sandbox.trash_contact(id(&first.at.id), line.now);
    let next = line.run(contacts.create(&sample::withheld())).unwrap();
    assert!(next.at != first.at && next.numbers.is_empty());
}

/// The search goes on finding who went into the recycle bin a moment ago.
#[test]
fn a_deleted_contact_is_not_found_again() {
    for trash in [Trash::Hidden, Trash::Shown] {
        let mut line = line();
        line.sandbox.settings.trash = trash;
        let there = line.sandbox.add_contact("Asha", &sample::number().national, sample::NOW);
        line.sandbox.trash_contact(id(&there), line.now);
        let connector = Arc::clone(&line.connector);
        let contacts = connector.contacts().unwrap();
        assert_eq!(line.run(contacts.search(&sample::number()).unwrap()).unwrap().len(), 1, "the index is behind");
        assert_eq!(line.run(contacts.find(&[sample::number().national])), Ok(Vec::new()));
        let failure = line
            .run(connector.activities().create(&sample::call("1a", Some(RecordRef::new("contact", there)))))
            .unwrap_err();
        assert_eq!(failure.about, Some(About::Contact), "{failure}");
    }
}

#[test]
fn where_numbers_are_unique_the_holder_is_the_caller() {
    let mut line = line();
    line.sandbox.settings.unique_numbers = true;
    let there = line.sandbox.add_contact("Asha", &sample::number().e164, sample::NOW);
    assert_eq!(caller(&mut line).at.id, there);
    line.sandbox.trash_contact(id(&there), line.now);
    let failure = line.run(line.connector.contacts().unwrap().create(&sample::caller())).unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::Conflict, Retry::Never));
    assert!(failure.detail.contains("recycle bin"), "{failure}");
}

#[test]
fn a_contacts_owner_and_an_agents_numbers_are_read() {
    let mut line = line();
    let agent = line.sandbox.add_agent_with("Ravi Kumar", "ravi@example.com", |agent| {
        agent.mobile = Some("+919711581198".into());
    });
    let there = line.sandbox.add_contact_with(|contact| {
        contact.first_name = Some("Asha".into());
        contact.last_name = "Rao".into();
        contact.phone = Some("+91 98765 43210".into());
        contact.owner_id = Some(agent);
    });
    let connector = Arc::clone(&line.connector);
    let found = line.run(connector.contacts().unwrap().search(&sample::number()).unwrap()).unwrap();
    assert_eq!((found[0].at.id.as_str(), found[0].name.as_str()), (there.to_string().as_str(), "Asha Rao"));
    assert_eq!(found[0].owner, Some(RecordRef::new("agent", agent)));
    let page = line.run(connector.agents().unwrap().list(None)).unwrap();
    assert_eq!(
        (page.items[0].name.as_str(), page.items[0].numbers.as_slice()),
        ("Ravi Kumar", ["+919711581198".into()].as_slice())
    );
}

/// The detail of the refusal names the very key that mends it.
#[test]
fn a_mandatory_field_is_filled_from_the_defaults() {
    let mut line = line();
    line.sandbox.define_field("cf_region", true);
    let contact = caller(&mut line);
    let call = sample::call(sample::CALL_SID, Some(contact.at));
    let refused = line.run(line.connector.activities().create(&call)).unwrap_err();
    assert_eq!((refused.kind, refused.retry), (Kind::Invalid, Retry::Never));
    assert!(refused.detail.contains("set `defaults.cf.cf_region`"), "{refused}");
    line.connector = connector(json!({"priority": "High", "cf": {"cf_region": "south"}, "subject": "not this one"}));
    let at = create(&mut line, &call);
    let ticket = line.sandbox.ticket(id(&at.id)).unwrap();
    assert_eq!((&ticket.more["priority"], &ticket.cf["cf_region"]), (&json!("High"), &json!("south")));
    assert_eq!((ticket.channel.as_deref(), ticket.phone.as_deref()), (Some("Phone"), Some("09876543210")));
    assert_eq!(ticket.subject, call.subject);
}

/// A ticket's `phone` takes only some characters; a call must not be refused for what the caller's side looks like.
#[test]
fn an_odd_caller_is_left_out_of_the_phone_field() {
    for (customer, kept) in [("sip:asha@example.com", true), ("sip:a(b)@example.com", false), ("", false)] {
        let mut line = line();
        let contact = caller(&mut line);
        let call = CallActivity { customer: sample::party(customer), ..sample::call("1a", Some(contact.at)) };
        let at = create(&mut line, &call);
        assert_eq!(line.sandbox.ticket(id(&at.id)).unwrap().phone.is_some(), kept, "{customer}");
    }
}

#[test]
fn a_wrong_organisation_or_department_is_told() {
    let mut line = line();
    let with = |key: &str| {
        let mut settings = Settings::default();
        for one in ["org_id", "department_id"] {
            let right = if one == "org_id" { ZohoDesk::ORG_ID } else { ZohoDesk::DEPARTMENT_ID };
            settings.text.insert(one.to_owned(), if one == key { "1".into() } else { right.to_string() });
        }
        patchbay_zoho_desk::build(&settings)
    };
    assert_eq!(line.run(line.connector.identify()).unwrap().account, "department Support");
    for (key, kind) in [("org_id", Kind::Unauthorized), ("department_id", Kind::Invalid)] {
        line.connector = with(key);
        let failure = line.run(line.connector.identify()).unwrap_err();
        assert_eq!((failure.kind, failure.retry), (kind, Retry::Never));
        assert!(failure.detail.contains(&format!("`{key}`")), "{failure}");
    }
}

#[test]
fn an_expired_token_and_spent_credits_are_told_apart() {
    let mut line = line();
    line.sandbox.settings.credits = Some(3);
    let connector = Arc::clone(&line.connector);
    for _ in 0..3 {
        line.run(connector.identify()).unwrap();
    }
    let spent = line.run(connector.identify()).unwrap_err();
    assert_eq!((spent.kind, spent.retry), (Kind::RateLimited, Retry::After(DAY)));
    line.sandbox.settings.credits = None;
    line.sandbox.expire_tokens();
    let expired = line.run(connector.identify()).unwrap_err();
    assert_eq!((expired.kind, expired.retry), (Kind::Unauthorized, Retry::AfterRefresh));
}

/// A request's weight is what it cost of the credits.
#[test]
fn the_allowance_is_read_from_the_headers() {
    let connector = connector(json!({}));
    let mut reply = Response { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() };
    assert_eq!(connector.allowance(&reply), None);
    reply.headers.insert("x-rate-limit-remaining-v3", "49990".parse().unwrap());
    assert_eq!(connector.allowance(&reply).unwrap().remaining, Some(49_990.0));
    reply.headers.insert("x-rate-limit-request-weight-v3", "3".parse().unwrap());
    let allowance = connector.allowance(&reply).unwrap();
    assert_eq!((allowance.limit, allowance.remaining), (None, Some(16_663.0)));
    reply.headers.insert("x-rate-limit-remaining-v3", "NaN".parse().unwrap());
    assert_eq!(connector.allowance(&reply), None);
}
