//! What differs from one Freshdesk account to the next: mandatory fields, plans, and old tickets.

use std::{sync::Arc, time::Duration};

use patchbay_kit::{Connector, Kind, Retry, Settings};
use patchbay_sandbox::freshdesk::{Freshdesk, Limits};
use patchbay_testkit::{Credentials, Line, drive, sample};
use serde_json::json;

fn connector(defaults: serde_json::Value) -> Arc<dyn Connector> {
    let defaults = defaults.as_object().cloned().unwrap_or_default();
    patchbay_freshdesk::build(&Settings { defaults, ..Settings::default() })
}

fn line(defaults: serde_json::Value) -> Line<Freshdesk> {
    let credentials = Credentials::of([("api_key", "the-key-of-the-admin")]);
    Line::new(connector(defaults), Freshdesk::new("the-key-of-the-admin"), credentials, sample::NOW)
}

/// The detail of the refusal names the very key that mends it.
#[test]
fn a_mandatory_field_is_filled_from_the_defaults() {
    let mut line = line(json!({}));
    line.sandbox.require_field("cf_region");
    let contact = line.run(line.connector.contacts().unwrap().create(&sample::caller())).unwrap();
    let call = sample::call(sample::CALL_SID, Some(contact.at));
    let refused = line.run(line.connector.activities().create(&call)).unwrap_err();
    assert_eq!((refused.kind, refused.retry), (Kind::Invalid, Retry::Never));
    assert!(refused.detail.contains("set `defaults.custom_fields.cf_region`"), "{refused}");
    assert_eq!(line.sandbox.tickets().count(), 0);

    let defaults = json!({"status": 5, "priority": 3, "type": "Incident", "tags": ["voice"],
                          "custom_fields": {"cf_region": "south"}, "subject": "not this one"});
    line.connector = connector(defaults);
    line.run(line.connector.activities().create(&call)).unwrap();
    let ticket = line.sandbox.tickets().next().unwrap();
    assert_eq!((ticket.status, ticket.priority, ticket.source), (5, 3, 3));
    assert_eq!(ticket.tags, ["exotel", "voice"]);
    assert_eq!(ticket.kind.as_deref(), Some("Incident"));
    assert_eq!(ticket.custom_fields["cf_region"], "south");
    assert_eq!(ticket.subject, call.subject);
}

/// Without `updated_since`, Freshdesk lists the last 30 days.
#[test]
fn a_lost_ticket_is_found_months_later() {
    let mut line = line(json!({}));
    let contact = line.run(line.connector.contacts().unwrap().create(&sample::caller())).unwrap();
    let call = sample::call(sample::CALL_SID, Some(contact.at));
    let at = line.run(line.connector.activities().create(&call)).unwrap();
    line.now = sample::NOW.checked_add(Duration::from_secs(60 * 24 * 3600)).unwrap();
    assert_eq!(line.run(line.connector.activities().find(&call).unwrap()), Ok(Some(at)));
}

#[test]
fn a_small_plan_answers_with_a_wait() {
    let mut sandbox = Freshdesk::new("the-key-of-the-admin");
    sandbox.settings.limits = Limits { decimals: true, ..Limits::trial() };
    let credentials = Credentials::of([("api_key", "the-key-of-the-admin")]);
    let connector = connector(json!({}));
    let mut identify = || drive(connector.identify(), connector.as_ref(), &mut sandbox, &credentials, sample::NOW);
    for _ in 0..50 {
        identify().unwrap();
    }
    let failure = identify().unwrap_err();
    assert_eq!((failure.kind, failure.retry), (Kind::RateLimited, Retry::After(Duration::from_secs(60))));
}

/// The headers say the plan's limit, as decimals in some accounts.
#[test]
fn the_allowance_is_read_from_the_headers() {
    let connector = connector(json!({}));
    let mut headers = patchbay_kit::HeaderMap::new();
    let mut reply = patchbay_kit::Response {
        status: patchbay_kit::StatusCode::OK,
        headers: headers.clone(),
        body: patchbay_kit::Bytes::new(),
    };
    assert_eq!(connector.allowance(&reply), None);
    headers.insert("x-ratelimit-total", "700.0".parse().unwrap());
    headers.insert("x-ratelimit-remaining", "699".parse().unwrap());
    reply.headers = headers;
    let allowance = connector.allowance(&reply).unwrap();
    assert_eq!((allowance.limit, allowance.remaining), (Some(700.0), Some(699.0)));
}

/// A contact with an e-mail address that somebody deleted in the browser still blocks its external id.
#[test]
fn a_deleted_contact_is_told_and_not_used() {
    for names_holder in [true, false] {
        let mut line = line(json!({"contact": {"language": "en", "email": "everybody@example.com"}}));
        line.sandbox.settings.conflict_names_holder = names_holder;
        let contacts = Arc::clone(&line.connector);
        let contacts = contacts.contacts().unwrap();
        let made = line.run(contacts.create(&sample::caller())).unwrap();
        let id = made.at.id.parse().unwrap();
        assert_eq!(line.sandbox.contact(id).unwrap().email, None, "an identity came from the defaults");
        line.sandbox.soft_delete_contact(id, sample::NOW);
        let failure = line.run(contacts.create(&sample::caller())).unwrap_err();
        assert_eq!((failure.kind, failure.retry), (Kind::Conflict, Retry::Never));
        assert!(failure.detail.contains("deleted") && failure.detail.contains("restore"), "{failure}");
    }
}
