//! Contacts, and search with its lag: it is about contacts that the lag hurts.

use super::*;

#[test]
fn a_contact_is_found_by_exactly_its_string_and_at_once() {
    let mut desk = Desk::new();
    let asha =
        desk.create("/contacts", json!({"name": "Asha", "mobile": "9876543210", "unique_external_id": "exotel:1"}));
    let bina = desk.create("/contacts", json!({"name": "Bina", "phone": "9876543210", "email": "bina@example.com"}));
    assert_eq!(ids(&desk.get("/contacts?mobile=9876543210").1), [asha]);
    assert_eq!(ids(&desk.get("/contacts?phone=9876543210").1), [bina]);
    assert_eq!(ids(&desk.get("/contacts?unique_external_id=exotel:1").1), [asha]);
    assert_eq!(ids(&desk.get("/contacts?email=BINA@example.com").1), [bina]);
    for other in ["%2B919876543210", "09876543210", "987654321"] {
        assert_eq!(desk.get(&format!("/contacts?mobile={other}")).1, json!([]), "{other}");
    }
    let (_, shown) = desk.get(&format!("/contacts/{asha}"));
    assert_eq!((&shown["name"], &shown["email"], &shown["custom_fields"]), (&json!("Asha"), &Value::Null, &json!({})));
    assert_eq!((&shown["created_at"], shown.get("deleted")), (&json!("2026-01-05T06:40:00Z"), None));

    desk.pass(10);
    assert_eq!(desk.put(&format!("/contacts/{asha}"), json!({"mobile": "9000000000"})).0, 200);
    assert_eq!(desk.get("/contacts?mobile=9876543210").1, json!([]), "the index follows");
    assert_eq!(ids(&desk.get("/contacts?mobile=9000000000").1), [asha]);
    assert_eq!(ids(&desk.get("/contacts?updated_since=2026-01-05T06:40:05Z").1), [asha]);
    assert_eq!(ids(&desk.get("/contacts?_updated_since=2026-01-05").1), [asha, bina]);
    assert_eq!(refused(desk.get("/contacts?updated_since=yesterday")), no(400, "updated_since", "invalid_value"));
    assert_eq!(refused(desk.get("/contacts?number=1")), no(400, "number", "invalid_field"));
    assert_eq!(refused(desk.get("/contacts?state=lost")), no(400, "state", "invalid_value"));
}

#[test]
fn a_contact_is_refused_for_what_it_lacks_or_has_wrong() {
    let mut desk = Desk::new();
    for (body, expected) in [
        (json!({"mobile": "1"}), no(400, "name", "missing_field")),
        (json!({"name": " ", "mobile": "1"}), no(400, "name", "invalid_value")),
        (json!({"name": 5, "mobile": "1"}), no(400, "name", "datatype_mismatch")),
        (json!({"name": "A"}), no(400, "email", "missing_field")),
        (json!({"name": "A", "mobile": ""}), no(400, "email", "missing_field")),
        (json!({"name": "A", "mobile": 987}), no(400, "mobile", "datatype_mismatch")),
        (json!({"name": "A", "email": "nobody"}), no(400, "email", "invalid_value")),
        (json!({"name": "A", "mobile": "1", "nickname": "a"}), no(400, "nickname", "invalid_field")),
        (json!({"name": "A", "mobile": "1", "custom_fields": {"x": 1}}), no(400, "x", "invalid_field")),
        (json!({"name": "A", "mobile": "1", "tags": "vip"}), no(400, "tags", "datatype_mismatch")),
    ] {
        assert_eq!(refused(desk.post("/contacts", body.clone())), expected, "{body}");
    }
    assert_eq!(desk.freshdesk.contacts().count(), 0);
    let id = desk.create("/contacts", json!({"name": "A", "mobile": "1"}));
    assert_eq!(
        refused(desk.put(&format!("/contacts/{id}"), json!({"mobile": null}))),
        no(400, "email", "missing_field")
    );
    assert_eq!(
        refused(desk.put(&format!("/contacts/{id}"), json!({"name": null}))),
        no(400, "name", "datatype_mismatch")
    );
    assert_eq!(desk.put("/contacts/1", json!({"name": "B"})).0, 404);
    assert_eq!(desk.delete("/contacts/1").0, 404);
}

#[test]
fn unique_values_conflict_and_a_deleted_contact_still_blocks() {
    let mut desk = Desk::new();
    let first = desk
        .create("/contacts", json!({"name": "A", "email": "a@example.com", "unique_external_id": "e", "mobile": "1"}));
    let (status, body) = desk.post("/contacts", json!({"name": "B", "email": "A@example.com"}));
    assert_eq!(status, 409);
    assert_eq!(
        body,
        json!({"description": "Validation failed", "errors": [{"field": "email",
            "message": "It should be a unique value", "code": "duplicate_value",
            "additional_info": {"user_id": first}}]})
    );
    desk.freshdesk.settings.conflict_names_holder = false;
    let (_, body) = desk.post("/contacts", json!({"name": "B", "unique_external_id": "e"}));
    assert_eq!(body["errors"][0].get("additional_info"), None);

    let second = desk.create("/contacts", json!({"name": "B", "mobile": "1"}));
    desk.freshdesk.settings.unique_numbers = true;
    let conflict = no(409, "mobile", "duplicate_value");
    assert_eq!(refused(desk.post("/contacts", json!({"name": "C", "mobile": "1"}))), conflict);
    let conflict = no(409, "unique_external_id", "duplicate_value");
    desk.freshdesk.settings.unique_numbers = false;
    assert_eq!(refused(desk.put(&format!("/contacts/{second}"), json!({"unique_external_id": "e"}))), conflict);
    assert_eq!(
        desk.put(&format!("/contacts/{first}"), json!({"unique_external_id": "e"})).0,
        200,
        "its own is no conflict"
    );

    assert_eq!(desk.delete(&format!("/contacts/{first}")).0, 204);
    assert_eq!(desk.get("/contacts?email=a@example.com").1, json!([]));
    assert_eq!(ids(&desk.get("/contacts?email=a@example.com&state=deleted").1), [first]);
    assert_eq!(desk.get(&format!("/contacts/{first}")).1["deleted"], true);
    assert_eq!(refused(desk.post("/contacts", json!({"name": "D", "unique_external_id": "e"}))), conflict);
    assert_eq!(desk.put(&format!("/contacts/{first}"), json!({"name": "E"})).0, 405);
    assert_eq!(desk.delete(&format!("/contacts/{first}")).0, 405);
}

#[test]
fn search_is_behind_by_its_lag_also_with_changes() {
    let mut desk = Desk::new();
    let seeded = desk.freshdesk.add_contact("Old", Some("1"), None);
    let search = "/search/contacts?query=%22phone:'1'%20OR%20mobile:'1'%22";
    assert_eq!(ids(&desk.get(search).1["results"]), [seeded], "what was there from the beginning is indexed");
    let created = desk.create("/contacts", json!({"name": "New", "phone": "1"}));
    desk.pass(119);
    assert_eq!(desk.get(search).1["total"], 1);
    desk.pass(1);
    assert_eq!(ids(&desk.get(search).1["results"]), [seeded, created]);
    desk.put(&format!("/contacts/{created}"), json!({"phone": "2", "name": "Moved"}));
    desk.pass(60);
    desk.put(&format!("/contacts/{created}"), json!({"phone": "3"}));
    desk.pass(59);
    assert_eq!(desk.get(search).1["results"][1]["name"], "New", "still as it was");
    desk.pass(1);
    assert_eq!(ids(&desk.get(search).1["results"]), [seeded]);
    assert_eq!(desk.get("/search/contacts?query=%22phone:'2'%22").1["total"], 1);
    desk.pass(60);
    assert_eq!(desk.get("/search/contacts?query=%22phone:'2'%22").1["total"], 0);
    assert_eq!(ids(&desk.get("/search/contacts?query=%22phone:'3'%22").1["results"]), [created]);
    desk.freshdesk.soft_delete_contact(created, desk.now);
    assert_eq!(desk.get("/search/contacts?query=%22phone:'3'%22").1["total"], 1, "deleted, not yet known");
    desk.pass(120);
    assert_eq!(desk.get("/search/contacts?query=%22phone:'3'%22").1["total"], 0);
}

#[test]
fn an_instant_account_is_searched_without_lag() {
    let mut desk = Desk::new();
    desk.freshdesk = Freshdesk::instant("key");
    let id = desk.create("/contacts", json!({"name": "New", "phone": "1"}));
    assert_eq!(ids(&desk.get("/search/contacts?query=%22phone:'1'%22").1["results"]), [id]);
    desk.put(&format!("/contacts/{id}"), json!({"phone": "2"}));
    assert_eq!(desk.get("/search/contacts?query=%22phone:'1'%22").1["total"], 0);
}

#[test]
fn a_search_is_refused_unless_well_formed() {
    let mut desk = Desk::new();
    let long = format!("/search/contacts?query=%22mobile:'{}'%22", "1".repeat(512));
    for bad in [
        "/search/contacts?query=mobile:'1'",
        "/search/contacts?query='mobile:1'",
        "/search/contacts?query=%22",
        "/search/contacts?query=%22%22",
        "/search/contacts?query=%22mobile:'1%22",
        "/search/contacts?query=%22mobile%22",
        "/search/contacts?query=%22mobile:abc%22",
        "/search/contacts?query=%22mobile:'1'%20mobile:'2'%22",
        "/search/contacts?query=%22mobile:'1'%20OR%22",
        "/search/contacts?query=%22(mobile:'1'%22",
        &long,
    ] {
        assert_eq!(refused(desk.get(bad)), no(400, "query", "invalid_value"), "{bad}");
    }
    assert_eq!(refused(desk.get("/search/contacts")), no(400, "query", "missing_field"));
    assert_eq!(refused(desk.get("/search/contacts?query=%22cf_x:'1'%22")), no(400, "cf_x", "invalid_field"));
    assert_eq!(refused(desk.get("/search/tickets?query=%22subject:'1'%22")), no(400, "subject", "invalid_field"));
    assert_eq!(refused(desk.get("/search/contacts?query=%22active:true%22&page=11")), no(400, "page", "invalid_value"));
    assert_eq!(
        refused(desk.get("/search/contacts?query=%22active:true%22&per_page=5")),
        no(400, "per_page", "invalid_field")
    );
}
