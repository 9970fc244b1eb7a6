//! Tickets and comments: what can be written, what is listed where, and which of them are calls.

use patchbay_sandbox::{
    Crm,
    zoho_desk::{Trash, ZohoDesk},
};
use serde_json::{Value, json};

use super::{Desk, START, code, ids, no, refused, ticket};

fn with_contact() -> (Desk, String) {
    let mut desk = Desk::new();
    let contact = desk.zoho.add_contact("Asha", "+919876543210", START);
    (desk, contact)
}

#[test]
fn a_ticket_is_made_changed_and_listed_without_its_description() {
    let (mut desk, contact) = with_contact();
    desk.zoho.define_field("cf_region", true);
    let over = json!({"assigneeId": desk.agent, "cf": {"cf_region": "south"}, "priority": "High", "phone": "098"});
    let id = desk.create("/tickets", ticket(&contact, over));
    let (_, shown) = desk.get(&format!("/tickets/{id}"));
    assert_eq!(
        (&shown["description"], &shown["assigneeId"]),
        (&json!("From: 987<br>CallSid: 1a2b"), &json!(desk.agent))
    );
    assert_eq!((&shown["statusType"], &shown["cf"]["cf_region"]), (&json!("Open"), &json!("south")));
    let (_, changed) = desk.patch(&format!("/tickets/{id}"), json!({"subject": "Missed", "status": "Closed"}));
    assert_eq!((&changed["subject"], &changed["statusType"]), (&json!("Missed"), &json!("Closed")));
    assert_eq!(changed["priority"], "High", "what is not written stays");
    let (_, listed) = desk.get(&format!("/contacts/{contact}/tickets?sortBy=-createdTime"));
    assert_eq!((&listed["data"][0]["priority"], listed["data"][0].get("description")), (&json!("High"), None));
}

#[test]
fn a_faulty_ticket_is_refused_with_its_field() {
    let (mut desk, contact) = with_contact();
    let gone = desk.zoho.add_contact("Gone", "1", START);
    desk.zoho.trash_contact(gone.parse().expect("an id"), START);
    let off = desk.zoho.add_agent("Off", "off@example.com");
    desk.zoho.deactivate_agent(off.parse().expect("an id"));
    for (over, field, kind) in [
        (json!({"subject": null}), "/subject", "missing"),
        (json!({"subject": ""}), "/subject", "missing"),
        (json!({"subject": "x".repeat(1001)}), "/subject", "invalid"),
        (json!({"description": "x".repeat(65_536)}), "/description", "invalid"),
        (json!({"departmentId": null}), "/departmentId", "missing"),
        (json!({"departmentId": "1"}), "/departmentId", "invalid"),
        (json!({"contactId": null}), "/contactId", "missing"),
        (json!({"contactId": gone}), "/contactId", "invalid"),
        (json!({"assigneeId": off}), "/assigneeId", "invalid"),
        (json!({"assigneeId": "1/2"}), "/assigneeId", "invalid"),
        (json!({"status": "Waiting"}), "/status", "invalid"),
        (json!({"channel": "Pigeon"}), "/channel", "invalid"),
        (json!({"phone": "(098)"}), "/phone", "invalid"),
        (json!({"cf": {"cf_none": "1"}}), "/cf/cf_none", "invalid"),
    ] {
        assert_eq!(refused(desk.post("/tickets", ticket(&contact, over.clone()))), no(field, kind), "{over}");
    }
    assert_eq!(code(desk.post("/tickets", json!({"text": 1}))), (422, "UNPROCESSABLE_ENTITY".into()));
    desk.zoho.define_field("cf_region", true);
    assert_eq!(refused(desk.post("/tickets", ticket(&contact, json!({})))), no("/cf/cf_region", "missing"));
    desk.zoho.define_field("cf_region", false);
    let id = desk.ticket(&contact);
    assert_eq!(
        refused(desk.patch(&format!("/tickets/{id}"), json!({"assigneeId": off}))),
        no("/assigneeId", "invalid")
    );
    assert_eq!(code(desk.patch(&format!("/tickets/{id}"), json!({}))), (422, "UNPROCESSABLE_ENTITY".into()));
    for trash in [Trash::Hidden, Trash::Shown] {
        desk.zoho.settings.trash = trash;
        desk.zoho.change_ticket(id.parse().expect("an id"), START, |ticket| ticket.trashed = true);
        let (status, shown) = desk.get(&format!("/tickets/{id}"));
        assert_eq!(
            (status, shown["isTrashed"] == true),
            if trash == Trash::Shown { (200, true) } else { (404, false) }
        );
        for (status, _) in [
            desk.patch(&format!("/tickets/{id}"), json!({"subject": "x"})),
            desk.post(&format!("/tickets/{id}/comments"), json!({"content": "x"})),
            desk.get(&format!("/tickets/{id}/comments")),
        ] {
            assert_eq!(status, if trash == Trash::Shown { 422 } else { 404 });
        }
        assert_eq!(desk.get(&format!("/contacts/{contact}/tickets")), (204, Value::Null));
    }
}

#[test]
fn lists_are_newest_first_paged_and_by_department() {
    let (mut desk, contact) = with_contact();
    let sales = desk.zoho.add_department("Sales");
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(desk.ticket(&contact));
        desk.pass(1);
    }
    let elsewhere = desk.create("/tickets", ticket(&contact, json!({"departmentId": sales})));
    let of = format!("/contacts/{contact}/tickets");
    made.reverse();
    let department = ZohoDesk::DEPARTMENT_ID;
    assert_eq!(ids(&desk.get(&format!("{of}?sortBy=-createdTime&departmentId={department}")).1), made);
    assert_eq!(ids(&desk.get(&format!("{of}?sortBy=-createdTime&limit=2&from=2")).1), made[1..]);
    assert_eq!(ids(&desk.get(&format!("/tickets?departmentId={sales}&sortBy=-createdTime")).1), [elsewhere]);
    assert_eq!(ids(&desk.get("/tickets?channel=Phone&status=Open&limit=1").1), [made[2].clone()]);
    for wrong in ["limit=101", "sortBy=subject", "departmentId=x", "fields=cf_x"] {
        assert_eq!(code(desk.get(&format!("{of}?{wrong}"))), (422, "UNPROCESSABLE_ENTITY".into()), "{wrong}");
    }
    assert_eq!(code(desk.get("/tickets?sortBy=age")), (422, "UNPROCESSABLE_ENTITY".into()));
    assert_eq!(code(desk.get("/contacts/1/tickets")), (404, "URL_NOT_FOUND".into()));
    desk.zoho.settings.contact_tickets_lag = std::time::Duration::from_secs(60);
    assert_eq!(desk.get(&of), (204, Value::Null));
    assert_eq!(ids(&desk.get("/tickets").1).len(), 4, "the list of all knows at once");
}

#[test]
fn comments_are_made_changed_and_refused() {
    let (mut desk, contact) = with_contact();
    let of = format!("/tickets/{}/comments", desk.ticket(&contact));
    let id = desk.create(&of, json!({"content": "a", "contentType": "html", "isPublic": false}));
    assert_eq!(desk.get(&of).1["data"][0]["isPublic"], false);
    assert_eq!(desk.patch(&format!("{of}/{id}"), json!({"content": "b"})).1["content"], "b");
    assert_eq!(desk.get(&format!("{of}/{id}")).1["isPublic"], false, "a change of the text leaves it private");
    let said = desk.create(&of, json!({"content": "c"}));
    assert_eq!(desk.get(&format!("{of}/{said}")).1["isPublic"], true);
    assert_eq!(ids(&desk.get(&format!("{of}?sortBy=-commentedTime&limit=1")).1), [said]);
    for (body, field, kind) in [
        (json!({"isPublic": false}), "/content", "missing"),
        (json!({"content": "x".repeat(32_001)}), "/content", "invalid"),
        (json!({"content": "x", "contentType": "rtf"}), "/contentType", "invalid"),
        (json!({"content": "x", "isPublic": "no"}), "/isPublic", "invalid"),
    ] {
        assert_eq!(refused(desk.post(&of, body.clone())), no(field, kind), "{body}");
    }
    assert_eq!(refused(desk.patch(&format!("{of}/{id}"), json!({"content": ""}))), no("/content", "missing"));
    assert_eq!(code(desk.post(&of, json!({"body": "x"}))), (422, "UNPROCESSABLE_ENTITY".into()));
    assert_eq!(code(desk.get(&format!("{of}?limit=101"))), (422, "UNPROCESSABLE_ENTITY".into()));
    let ticket = desk.zoho.tickets().next().expect("a ticket").id;
    let by_hand = desk.zoho.add_comment(ticket, "an agent's", false, START);
    assert_eq!(code(desk.patch(&format!("{of}/{by_hand}"), json!({"content": "x"}))), (403, "FORBIDDEN".into()));
    assert_eq!(code(desk.get(&format!("{of}/1"))), (404, "URL_NOT_FOUND".into()));
    let other = desk.ticket(&contact);
    assert_eq!(code(desk.get(&format!("/tickets/{other}/comments/{id}"))), (404, "URL_NOT_FOUND".into()));
}

#[test]
fn a_call_is_a_ticket_or_a_comment_on_an_older_one() {
    let (mut desk, contact) = with_contact();
    let old = desk.zoho.add_ticket_with(contact.parse().expect("an id"), |ticket| ticket.subject = "Help".into());
    assert!(desk.zoho.records().is_empty(), "a ticket made by hand is no call");
    let id = desk.ticket(&contact);
    desk.create(&format!("/tickets/{id}/comments"), json!({"content": "Duration<br>CallSid: 1a2b", "isPublic": false}));
    desk.create(&format!("/tickets/{old}/comments"), json!({"content": "Missed<br>CallSid: 3c", "isPublic": false}));
    desk.create(&format!("/tickets/{old}/comments"), json!({"content": "<a href=x>R</a> CallSid: 3c"}));
    desk.create(&format!("/tickets/{old}/comments"), json!({"content": "No recording<br>CallSid: 3c"}));
    let records = desk.zoho.records();
    assert_eq!(records.len(), 2);
    assert!(records[0].text.contains("Duration") && !records[0].public);
    assert!(records[1].text.contains("Missed") && records[1].text.contains("<a href=x>R</a>") && records[1].public);
    assert_eq!(records[1].contact, Some(contact));
    desk.create(&format!("/tickets/{old}/comments"), json!({"content": "Missed<br>CallSid: 3c", "isPublic": false}));
    assert_eq!(desk.zoho.records().len(), 3, "the same call twice is two records");
}
