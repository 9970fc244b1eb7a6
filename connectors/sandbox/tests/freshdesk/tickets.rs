//! Tickets: what they keep, what they are refused for, how they are listed.

use super::*;

#[test]
fn tickets_are_searched_by_custom_field_tag_and_day() {
    let mut desk = Desk::new();
    desk.freshdesk.define_field("cf_call");
    let contact = desk.freshdesk.add_contact("Asha", None, None);
    let body = ticket(json!({"requester_id": contact, "tags": ["exotel"], "custom_fields": {"cf_call": "1a2b"}}));
    let id = desk.create("/tickets", body);
    desk.pass(120);
    for (query, hit) in [
        ("cf_call:'1a2b'", true),
        ("cf_call:'1a2'", false),
        ("cf_call:null", false),
        ("tag:'exotel' AND (status:2 OR status:3)", true),
        ("tag:'exotel' AND status:3", false),
        ("agent_id:null", true),
        ("created_at:>'2026-01-05'", true),
        ("created_at:<'2026-01-04'", false),
    ] {
        let query: String = form_urlencoded::byte_serialize(format!("\"{query}\"").as_bytes()).collect();
        let (_, found) = desk.get(&format!("/search/tickets?query={query}"));
        assert_eq!(ids(&found["results"]), if hit { vec![id] } else { vec![] }, "{query}");
    }
}

#[test]
fn a_ticket_keeps_what_it_was_given() {
    let mut desk = Desk::new();
    desk.freshdesk.define_field("cf_call");
    desk.freshdesk.define_field("cf_other");
    let contact = desk.freshdesk.add_contact("Asha", None, None);
    let (status, created) = desk.post(
        "/tickets",
        ticket(json!({"requester_id": contact, "responder_id": AGENT, "group_id": null, "type": "Question",
            "tags": ["exotel", "😀"], "custom_fields": {"cf_call": "1a2b"}})),
    );
    assert_eq!(status, 201);
    for (key, value) in [
        ("requester_id", json!(contact)),
        ("responder_id", json!(AGENT)),
        ("status", json!(2)),
        ("source", json!(3)),
        ("type", json!("Question")),
        ("tags", json!(["exotel", "😀"])),
        ("description", json!("From: 987<br>CallSid: 1a2b")),
        ("description_text", json!("From: 987\nCallSid: 1a2b")),
        ("custom_fields", json!({"cf_call": "1a2b", "cf_other": null})),
        ("created_at", json!("2026-01-05T06:40:00Z")),
    ] {
        assert_eq!(created[key], value, "{key}");
    }
    let id = created["id"].as_u64().unwrap();
    assert_eq!(desk.get(&format!("/tickets/{id}")).1, created);
    assert_eq!(desk.freshdesk.ticket(id).unwrap().subject, "Incoming Call");
    assert_eq!(refused(desk.get(&format!("/tickets/{id}?include=everything"))), no(400, "include", "invalid_value"));
    assert_eq!(refused(desk.get(&format!("/tickets/{id}?page=1"))), no(400, "page", "invalid_field"));
}

#[test]
fn a_ticket_is_refused_for_what_it_lacks_or_has_wrong() {
    let mut desk = Desk::new();
    desk.freshdesk.define_field("cf_call");
    let contact = desk.freshdesk.add_contact("Asha", None, None);
    for (over, expected) in [
        (json!({}), no(400, "requester_id", "missing_field")),
        (json!({"requester_id": null}), no(400, "requester_id", "missing_field")),
        (json!({"requester_id": 999}), no(400, "requester_id", "invalid_value")),
        (json!({"requester_id": contact.to_string()}), no(400, "requester_id", "datatype_mismatch")),
        (json!({"requester_id": contact, "email": "a@example.com"}), no(400, "email", "invalid_field")),
        (json!({"phone": "9876543210"}), no(400, "name", "missing_field")),
        (json!({"phone": "9876543210", "name": " "}), no(400, "name", "missing_field")),
        (json!({"phone": 9_876_543_210_u64, "name": "A"}), no(400, "phone", "datatype_mismatch")),
        (json!({"email": "nobody"}), no(400, "email", "invalid_value")),
        (json!({"facebook_id": "fb"}), no(400, "facebook_id", "invalid_value")),
        (json!({"requester_id": contact, "responder_id": 999}), no(400, "responder_id", "invalid_value")),
        (json!({"requester_id": contact, "responder_id": "x"}), no(400, "responder_id", "datatype_mismatch")),
        (json!({"requester_id": contact, "group_id": 5}), no(400, "group_id", "invalid_value")),
        (json!({"requester_id": contact, "status": 9}), no(400, "status", "invalid_value")),
        (json!({"requester_id": contact, "status": "2"}), no(400, "status", "datatype_mismatch")),
        (json!({"requester_id": contact, "status": 2.5}), no(400, "status", "datatype_mismatch")),
        (json!({"requester_id": contact, "priority": 0}), no(400, "priority", "invalid_value")),
        (json!({"requester_id": contact, "source": 4}), no(400, "source", "invalid_value")),
        (json!({"requester_id": contact, "type": "Call"}), no(400, "type", "invalid_value")),
        (json!({"requester_id": contact, "subject": ""}), no(400, "subject", "invalid_value")),
        (json!({"requester_id": contact, "subject": "x".repeat(256)}), no(400, "subject", "invalid_value")),
        (json!({"requester_id": contact, "subject": null}), no(400, "subject", "datatype_mismatch")),
        (json!({"requester_id": contact, "description": 7}), no(400, "description", "datatype_mismatch")),
        (json!({"requester_id": contact, "tags": "exotel"}), no(400, "tags", "datatype_mismatch")),
        (json!({"requester_id": contact, "tags": [1]}), no(400, "tags", "datatype_mismatch")),
        (json!({"requester_id": contact, "tags": ["x".repeat(33)]}), no(400, "tags", "invalid_value")),
        (json!({"requester_id": contact, "priorty": 1}), no(400, "priorty", "invalid_field")),
        (json!({"requester_id": contact, "custom_fields": {"cf_x": "1"}}), no(400, "cf_x", "invalid_field")),
        (json!({"requester_id": contact, "custom_fields": []}), no(400, "custom_fields", "datatype_mismatch")),
        (json!({"requester_id": contact, "cc_emails": ["x"]}), no(400, "cc_emails", "invalid_value")),
    ] {
        assert_eq!(refused(desk.post("/tickets", ticket(over.clone()))), expected, "{over}");
    }
    let (_, body) = desk.post("/tickets", json!({}));
    let fields: Vec<&str> = body["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["subject", "description", "requester_id"], "all at once");
    for bad in ["", "{", "[]", "null"] {
        let (status, body) = parsed(desk.raw(Method::POST, "/tickets", "application/json", bad));
        assert_eq!((status, &body["code"]), (400, &json!("invalid_json")), "{bad}");
    }
    assert_eq!(desk.raw(Method::POST, "/tickets", "text/plain", "{}").status, 415);
    assert_eq!(desk.freshdesk.tickets().count(), 0);
    assert_eq!(desk.freshdesk.contacts().count(), 1, "a refused ticket makes no contact");

    let longest = ticket(json!({"requester_id": contact, "subject": "क".repeat(255), "tags": ["x".repeat(32)]}));
    desk.create("/tickets", longest);
    desk.freshdesk.deactivate_agent(AGENT);
    let expected = no(400, "responder_id", "invalid_value");
    assert_eq!(
        refused(desk.post("/tickets", ticket(json!({"requester_id": contact, "responder_id": AGENT})))),
        expected
    );
}

#[test]
fn a_mandatory_custom_field_cannot_be_left_out() {
    let mut desk = Desk::new();
    desk.freshdesk.require_field("cf_reason");
    let contact = desk.freshdesk.add_contact("Asha", None, None);
    for custom in [json!({}), json!({"cf_reason": null}), json!({"cf_reason": ""})] {
        let body = ticket(json!({"requester_id": contact, "custom_fields": custom}));
        assert_eq!(refused(desk.post("/tickets", body)), no(400, "cf_reason", "missing_field"));
    }
    let id = desk.create("/tickets", ticket(json!({"requester_id": contact, "custom_fields": {"cf_reason": "call"}})));
    assert_eq!(desk.put(&format!("/tickets/{id}"), json!({"status": 4})).0, 200);
    let emptied = json!({"custom_fields": {"cf_reason": null}});
    assert_eq!(refused(desk.put(&format!("/tickets/{id}"), emptied)), no(400, "cf_reason", "missing_field"));
}

#[test]
fn a_ticket_by_phone_makes_a_contact_only_where_the_very_string_is_unknown() {
    let mut desk = Desk::new();
    let asha = desk.freshdesk.add_contact("Asha", Some("9876543210"), None);
    let requester = |desk: &mut Desk, phone: &str| {
        let (_, created) = desk.post("/tickets", ticket(json!({"phone": phone, "name": "Caller"})));
        created["requester_id"].as_u64().unwrap()
    };
    assert_eq!(requester(&mut desk, "9876543210"), asha);
    let made = requester(&mut desk, "+919876543210");
    assert_ne!(made, asha, "another rendering is another person to Freshdesk");
    assert_eq!(requester(&mut desk, "+919876543210"), made);
    assert_eq!(desk.freshdesk.contact(made).unwrap().phone.as_deref(), Some("+919876543210"));
    let by_id = desk.create("/tickets", ticket(json!({"unique_external_id": "exotel:9"})));
    let requester = desk.freshdesk.ticket(by_id).unwrap().requester_id;
    assert_eq!(desk.freshdesk.contact(requester).unwrap().unique_external_id.as_deref(), Some("exotel:9"));
}

#[test]
fn tickets_are_listed_by_requester_at_once_and_in_order() {
    let mut desk = Desk::new();
    let asha = desk.freshdesk.add_contact("Asha", None, None);
    let bina = desk.freshdesk.add_contact("Bina", None, None);
    let first = desk.ticket(asha);
    desk.pass(60);
    let other = desk.ticket(bina);
    let second = desk.ticket(asha);
    let third = desk.ticket(asha);
    let list = |desk: &mut Desk, more: &str| desk.get(&format!("/tickets?requester_id={asha}{more}")).1;
    assert_eq!(ids(&list(&mut desk, "")), [third, second, first]);
    assert_eq!(ids(&list(&mut desk, "&order_by=created_at&order_type=asc")), [first, second, third]);
    assert_eq!(ids(&list(&mut desk, "&per_page=2&page=2")), [first]);
    assert_eq!(ids(&list(&mut desk, "&updated_since=2026-01-05T06:41:00Z")), [third, second]);
    assert_eq!(ids(&desk.get("/tickets").1), [third, second, other, first]);
    assert_eq!(list(&mut desk, "")[0].get("description"), None);
    assert_eq!(list(&mut desk, "&include=description")[0]["description_text"], "From: 987\nCallSid: 1a2b");
    assert_eq!(list(&mut desk, "&include=requester")[0]["requester"]["name"], "Asha");

    desk.pass(5);
    desk.put(&format!("/tickets/{first}"), json!({"status": 5}));
    assert_eq!(ids(&list(&mut desk, "&order_by=updated_at")), [first, third, second]);
    assert_eq!(ids(&list(&mut desk, "&order_by=status"))[0], first);
    desk.put(&format!("/tickets/{third}"), json!({"requester_id": bina}));
    assert_eq!(ids(&list(&mut desk, "")), [second, first], "moved to another requester");
    assert_eq!(ids(&desk.get(&format!("/tickets?requester_id={bina}")).1), [third, other]);

    desk.pass(30 * 24 * 3600 + 1);
    assert_eq!(list(&mut desk, ""), json!([]), "after 30 days only by updated_since");
    assert_eq!(ids(&list(&mut desk, "&updated_since=2020-01-01T00:00:00Z")), [second, first]);

    for (bad, field, code) in [
        ("&order_by=subject", "order_by", "invalid_value"),
        ("&order_type=down", "order_type", "invalid_value"),
        ("&include=all", "include", "invalid_value"),
        ("&per_page=101", "per_page", "invalid_value"),
        ("&status=2", "status", "invalid_field"),
    ] {
        assert_eq!(refused(desk.get(&format!("/tickets?requester_id={asha}{bad}"))), no(400, field, code));
    }
    assert_eq!(refused(desk.get("/tickets?requester_id=Asha")), no(400, "requester_id", "invalid_value"));

    desk.put(&format!("/tickets/{first}"), json!({"requester_id": bina}));
    let (_, moved) = desk.get(&format!("/tickets?requester_id={bina}&updated_since=2020-01-01"));
    assert_eq!(ids(&moved), [third, other, first], "moved tickets take their place by creation");
}

#[test]
fn a_ticket_is_updated_in_part_or_not_at_all() {
    let mut desk = Desk::new();
    let contact = desk.freshdesk.add_contact("Asha", None, None);
    let id = desk.ticket(contact);
    desk.pass(5);
    let (status, updated) =
        desk.put(&format!("/tickets/{id}"), json!({"responder_id": AGENT, "description": "<b>x</b>"}));
    assert_eq!((status, &updated["responder_id"], &updated["status"]), (200, &json!(AGENT), &json!(2)));
    assert_eq!((&updated["description_text"], &updated["updated_at"]), (&json!("x"), &json!("2026-01-05T06:40:05Z")));
    assert_eq!(desk.put(&format!("/tickets/{id}"), json!({"responder_id": null})).1["responder_id"], Value::Null);
    for (body, expected) in [
        (json!({"responder_id": 999, "status": 4}), no(400, "responder_id", "invalid_value")),
        (json!({"requester_id": 999}), no(400, "requester_id", "invalid_value")),
        (json!({"phone": "1"}), no(400, "phone", "invalid_field")),
        (json!({"subject": null}), no(400, "subject", "datatype_mismatch")),
        (json!({"status": null}), no(400, "status", "invalid_value")),
    ] {
        assert_eq!(refused(desk.put(&format!("/tickets/{id}"), body.clone())), expected, "{body}");
    }
    assert_eq!(desk.freshdesk.ticket(id).unwrap().status, 2);
    assert_eq!(desk.put("/tickets/999", json!({"status": 4})), (404, Value::Null));
}

#[test]
fn a_deleted_ticket_is_gone_with_all_that_hung_on_it() {
    let mut desk = Desk::new();
    let contact = desk.freshdesk.add_contact("Asha", None, None);
    let id = desk.ticket(contact);
    let note = desk.create(&format!("/tickets/{id}/notes"), json!({"body": "x"}));
    assert_eq!(desk.delete(&format!("/tickets/{id}")).0, 204);
    assert_eq!(desk.get(&format!("/tickets/{id}")), (404, Value::Null));
    assert_eq!(desk.delete(&format!("/tickets/{id}")).0, 404);
    assert_eq!(desk.put(&format!("/tickets/{id}"), json!({"status": 2})).0, 404);
    assert_eq!(desk.post(&format!("/tickets/{id}/notes"), json!({"body": "y"})).0, 404);
    assert_eq!(desk.get(&format!("/tickets/{id}/conversations")).0, 404);
    assert_eq!(desk.put(&format!("/conversations/{note}"), json!({"body": "y"})).0, 404);
    assert_eq!(desk.get(&format!("/tickets?requester_id={contact}")).1, json!([]));
}
