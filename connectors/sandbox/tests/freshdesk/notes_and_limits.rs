//! Notes on tickets, and the limits per minute: what they take, what they refuse, and what the headers then say.

use super::*;

#[test]
fn notes_are_written_listed_and_rewritten() {
    let mut desk = Desk::new();
    let contact = desk.freshdesk.add_contact("Asha", None, None);
    let id = desk.ticket(contact);
    let notes = format!("/tickets/{id}/notes");
    let (status, note) = desk.post(
        &notes,
        json!({"body": "<a href=\"x\">Call Recording</a>", "private": true,
        "user_id": AGENT, "notify_emails": ["ravi@example.com"]}),
    );
    assert_eq!(status, 201);
    assert_eq!(
        (&note["body_text"], &note["private"], &note["user_id"]),
        (&json!("Call Recording"), &json!(true), &json!(AGENT))
    );
    let note = note["id"].as_u64().unwrap();
    let (_, rewritten) = desk.put(&format!("/conversations/{note}"), json!({"body": "Call Duration: 34s"}));
    assert_eq!(rewritten["body"], "Call Duration: 34s");
    for number in 1..12 {
        desk.create(&notes, json!({"body": format!("note {number}"), "private": false}));
    }
    let (_, listed) = desk.get(&format!("/tickets/{id}/conversations?per_page=5&page=3"));
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let (_, shown) = desk.get(&format!("/tickets/{id}?include=conversations"));
    assert_eq!(shown["conversations"].as_array().unwrap().len(), 10, "no more are included");
    assert_eq!(shown["conversations"][0]["body"], "Call Duration: 34s");
    assert_eq!(desk.freshdesk.conversations(id).len(), 12);

    for (body, expected) in [
        (json!({}), no(400, "body", "missing_field")),
        (json!({"body": ""}), no(400, "body", "invalid_value")),
        (json!({"body": 1}), no(400, "body", "datatype_mismatch")),
        (json!({"body": "x", "private": "yes"}), no(400, "private", "datatype_mismatch")),
        (json!({"body": "x", "user_id": 999}), no(400, "user_id", "invalid_value")),
        (json!({"body": "x", "notify_emails": ["x"]}), no(400, "notify_emails", "invalid_value")),
        (json!({"body": "x", "ticket_id": 1}), no(400, "ticket_id", "invalid_field")),
    ] {
        assert_eq!(refused(desk.post(&notes, body.clone())), expected, "{body}");
    }
    assert_eq!(desk.post("/tickets/999/notes", json!({"body": "x"})).0, 404);
    assert_eq!(refused(desk.get(&format!("/tickets/{id}/conversations?order=1"))), no(400, "order", "invalid_field"));
    assert_eq!(refused(desk.put(&format!("/conversations/{note}"), json!({}))), no(400, "body", "missing_field"));
    let private = json!({"body": "x", "private": false});
    assert_eq!(refused(desk.put(&format!("/conversations/{note}"), private)), no(400, "private", "invalid_field"));
    assert_eq!(desk.put("/conversations/1", json!({"body": "x"})).0, 404);
    let foreign = desk.freshdesk.add_note(id, AGENT, "by hand", desk.now);
    let (status, body) = desk.put(&format!("/conversations/{foreign}"), json!({"body": "x"}));
    assert_eq!((status, &body["code"]), (403, &json!("access_denied")));
}

#[test]
fn limits_are_per_minute_in_all_and_in_part() {
    let mut desk = Desk::new();
    let contact = desk.freshdesk.add_contact("Asha", None, None);
    let id = desk.ticket(contact);
    assert!(!desk.raw(Method::GET, "/agents/me", "application/json", "").headers.contains_key("x-ratelimit-total"));
    desk.freshdesk.settings.limits = Limits { total: Some(10), tickets_list: Some(1), ..Limits::none() };
    let left = |reply: &Reply| {
        let header = |name: &str| reply.headers[name].to_str().unwrap().parse::<u32>().unwrap();
        (reply.status.as_u16(), header("x-ratelimit-remaining"), header("x-ratelimit-used-currentrequest"))
    };
    let get = |target: &str, desk: &mut Desk| desk.raw(Method::GET, target, "application/json", "");
    assert_eq!(left(&get("/agents/me", &mut desk)), (200, 9, 1));
    assert_eq!(left(&get("/tickets?include=description", &mut desk)), (200, 6, 3));
    assert_eq!(left(&get(&format!("/tickets/{id}?include=conversations"), &mut desk)), (200, 4, 2));
    let limited = get("/tickets", &mut desk);
    assert_eq!((limited.status.as_u16(), limited.headers["retry-after"].to_str().unwrap()), (429, "60"));
    assert_eq!(left(&get("/nothing", &mut desk)), (404, 3, 1), "invalid requests count");
    desk.key = "wrong:X";
    assert_eq!(left(&get("/agents/me", &mut desk)), (401, 2, 1), "those of strangers too");
    desk.key = "key:X";
    desk.pass(30);
    assert_eq!(left(&get("/contacts", &mut desk)), (200, 1, 1));
    assert_eq!(left(&get("/contacts", &mut desk)), (200, 0, 1));
    let limited = get("/contacts", &mut desk);
    assert_eq!((limited.status.as_u16(), limited.headers["retry-after"].to_str().unwrap()), (429, "30"));
    assert_eq!(parsed(limited).1, json!({"message": "You have exceeded the limit of requests per minute"}));
    desk.pass(30);
    assert_eq!(left(&get("/tickets", &mut desk)), (200, 9, 1));
}

#[test]
fn every_part_of_a_plan_has_its_own_limit() {
    let mut desk = Desk::new();
    let contact = desk.freshdesk.add_contact("Asha", None, None);
    let id = desk.ticket(contact);
    desk.freshdesk.settings.limits = Limits {
        ticket_create: Some(1),
        ticket_update: Some(1),
        tickets_list: Some(1),
        contacts_list: Some(1),
        ..Limits::none()
    };
    for expected in [false, true] {
        let statuses = [
            desk.post("/tickets", ticket(json!({"requester_id": contact}))).0,
            desk.put(&format!("/tickets/{id}"), json!({"status": 3})).0,
            desk.get("/tickets").0,
            desk.get("/contacts").0,
        ];
        assert_eq!(statuses.map(|status| status == 429), [expected; 4]);
    }
    assert_eq!(desk.get(&format!("/tickets/{id}")).0, 200);
    assert_eq!(desk.post(&format!("/tickets/{id}/notes"), json!({"body": "x"})).0, 201);
    assert_eq!(Limits::enterprise().ticket_create, Some(280));
    assert_eq!(
        (Limits::growth().total, Limits::pro().contacts_list, Limits::trial().total),
        (Some(200), Some(100), Some(50))
    );
}
