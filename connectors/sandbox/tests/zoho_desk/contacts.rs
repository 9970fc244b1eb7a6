//! Contacts: what can be written, what a search knows, and what it does not know yet.

use patchbay_sandbox::{Crm, zoho_desk::Trash};
use serde_json::{Value, json};

use super::{Desk, code, ids, no, one, refused};

fn found(desk: &mut Desk, query: &str) -> Vec<String> {
    match desk.get(&format!("/contacts/search?{query}")) {
        (204, Value::Null) => Vec::new(),
        (200, body) => ids(&body),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_contact_is_made_shown_and_changed() {
    let mut desk = Desk::new();
    desk.zoho.define_contact_field("cf_origin");
    let id = desk.create(
        "/contacts",
        json!({"lastName": "Asha", "phone": "+919876543210", "ownerId": desk.agent,
        "description": "a caller", "cf": {"cf_origin": "call"}}),
    );
    let (_, shown) = desk.get(&format!("/contacts/{id}"));
    assert_eq!((&shown["phone"], &shown["cf"]["cf_origin"]), (&json!("+919876543210"), &json!("call")));
    assert_eq!((&shown["ownerId"], &shown["description"]), (&json!(desk.agent), &json!("a caller")));
    assert_eq!(desk.patch(&format!("/contacts/{id}"), json!({"mobile": "098"})).1["mobile"], "098");
    assert_eq!(desk.zoho.contacts()[0].numbers, ["+919876543210", "098"]);
}

#[test]
fn a_faulty_contact_is_refused_with_its_field() {
    let mut desk = Desk::new();
    let first = desk.create("/contacts", json!({"lastName": "A", "email": "a@example.com", "phone": "098"}));
    for (body, field, kind) in [
        (json!({"phone": "1"}), "/lastName", "missing"),
        (json!({"lastName": " "}), "/lastName", "missing"),
        (json!({"lastName": null}), "/lastName", "missing"),
        (json!({"lastName": 7}), "/lastName", "invalid"),
        (json!({"lastName": "x".repeat(201)}), "/lastName", "invalid"),
        (json!({"lastName": "A", "phone": "1".repeat(51)}), "/phone", "invalid"),
        (json!({"lastName": "A", "phone": "<b>"}), "/phone", "invalid"),
        (json!({"lastName": "A", "email": "nobody"}), "/email", "invalid"),
        (json!({"lastName": "A", "email": "a@example.com"}), "/email", "duplicate"),
        (json!({"lastName": "A", "ownerId": "1"}), "/ownerId", "invalid"),
        (json!({"lastName": "A", "cf": {"cf_none": "1"}}), "/cf/cf_none", "invalid"),
        (json!({"lastName": "A", "cf": 1}), "/cf", "invalid"),
    ] {
        assert_eq!(refused(desk.post("/contacts", body.clone())), no(field, kind), "{body}");
    }
    desk.create("/contacts", json!({"lastName": "B", "phone": "098"}));
    desk.zoho.settings.unique_numbers = true;
    assert_eq!(refused(desk.post("/contacts", json!({"lastName": "C", "phone": "098"}))), no("/phone", "duplicate"));
    assert_eq!(refused(desk.patch(&format!("/contacts/{first}"), json!({"lastName": ""}))), no("/lastName", "missing"));
    assert_eq!(code(desk.post("/contacts", json!({"name": "A"}))), (422, "UNPROCESSABLE_ENTITY".into()));
    assert_eq!(code(desk.post("/contacts", json!([]))), (422, "UNPROCESSABLE_ENTITY".into()));
    let empty = desk.raw(http::Method::POST, "/api/v1/contacts", "application/json", "");
    assert_eq!(code(super::parsed(empty)), (422, "EMPTY_PAYLOAD".into()));
    let form = desk.raw(http::Method::POST, "/api/v1/contacts", "text/plain", "{}");
    assert_eq!(code(super::parsed(form)), (415, "UNSUPPORTED_MEDIA_TYPE".into()));
    assert_eq!(code(desk.patch("/contacts/1", json!({"lastName": "A"}))), (404, "URL_NOT_FOUND".into()));
    assert_eq!(code(desk.get(&format!("/contacts/{first}?x=1"))), (422, "UNPROCESSABLE_ENTITY".into()));
}

#[test]
fn the_search_is_behind_and_the_list_is_not() {
    let mut desk = Desk::new();
    let old = desk.zoho.add_contact("Old", "+91 98765 43210", desk.now);
    desk.pass(1);
    let new = desk.create("/contacts", json!({"lastName": "New", "mobile": "9876543210"}));
    assert_eq!(found(&mut desk, "phone=*98765*43210*"), one(&old));
    assert_eq!(found(&mut desk, "mobile=*9876543210*"), [""; 0], "it is not there yet");
    assert_eq!(ids(&desk.get("/contacts?sortBy=-createdTime&limit=1").1), one(&new));
    desk.pass(120);
    assert_eq!(found(&mut desk, "mobile=*9876543210*"), one(&new));
    assert_eq!(found(&mut desk, "mobile=9876543210"), one(&new));
    assert_eq!(found(&mut desk, "phone=%2B91+98765+43210"), one(&old));
    assert_eq!(found(&mut desk, "phone=+91+98765+43210"), [""; 0], "an unencoded plus is a space");
    assert_eq!(found(&mut desk, "_all=*43210&sortBy=-createdTime"), [new.clone(), old]);
    desk.zoho.trash_contact(new.parse().expect("an id"), desk.now);
    assert_eq!(found(&mut desk, "lastName=new"), one(&new), "nor does it know of the recycle bin yet");
    assert_eq!(desk.get(&format!("/contacts/{new}")).0, 404);
    desk.zoho.settings.trash = Trash::Shown;
    assert_eq!(desk.get(&format!("/contacts/{new}")).1["isTrashed"], true);
    desk.pass(120);
    assert_eq!(found(&mut desk, "lastName=new"), [""; 0]);
    desk.zoho.settings.search_by_number = false;
    for wrong in ["phone=*1*", "", "_all=", "_all=a&limit=101", "_all=a&sortBy=name", "_all=a&page=1"] {
        let refusal = desk.get(&format!("/contacts/search?{wrong}"));
        assert_eq!(code(refusal), (422, "UNPROCESSABLE_ENTITY".into()), "{wrong}");
    }
    assert_eq!(code(desk.get("/contacts?sortBy=-age")), (422, "UNPROCESSABLE_ENTITY".into()));
}
