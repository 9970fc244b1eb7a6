//! Search, with its lag and the narrow form of its body.

use super::*;

const TARGET: &str = "/crm/v3/objects/contacts/search";

fn filter(property: &str, operator: &str, value: &str) -> Value {
    json!({"propertyName": property, "operator": operator, "value": value})
}

fn body(filters: Vec<Value>) -> Value {
    let groups: Vec<Value> = filters.into_iter().map(|one| json!({"filters": [one]})).collect();
    json!({"filterGroups": groups, "properties": ["phone"], "limit": 10, "after": "0", "sorts": []})
}

pub(super) fn by_phone(number: &str) -> Value {
    body(vec![filter("phone", "EQ", number)])
}

fn found(portal: &mut Portal, body: Value) -> Vec<String> {
    let (status, body) = portal.post(TARGET, body);
    assert_eq!(status, 200, "{body}");
    body["results"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn search_is_seconds_behind_also_with_changes() {
    let mut portal = Portal::new();
    let old = portal.hubspot.add_contact("Asha", "+919876543210", BEFORE);
    assert_eq!(found(&mut portal, by_phone("+919876543210")), std::slice::from_ref(&old), "what was there is indexed");
    let (_, made) = portal.post("/crm/v3/objects/contacts", json!({"properties": {"phone": "+919876543210"}}));
    let made = made["id"].as_str().unwrap().to_owned();
    portal.pass(9);
    assert_eq!(found(&mut portal, by_phone("+919876543210")), std::slice::from_ref(&old));
    portal.pass(1);
    assert_eq!(found(&mut portal, by_phone("+919876543210")), [old.clone(), made.clone()]);
    let now = portal.now;
    portal.hubspot.edit(Kind::Contacts, &made, &[("phone", "1")], now);
    assert_eq!(found(&mut portal, by_phone("+919876543210")).len(), 2, "still as it was");
    portal.hubspot.lag(std::time::Duration::ZERO);
    assert_eq!(found(&mut portal, by_phone("+919876543210")), std::slice::from_ref(&old));
    portal.hubspot.remove(Kind::Contacts, &old, now);
    assert!(found(&mut portal, by_phone("+919876543210")).is_empty());
}

#[test]
fn numbers_are_found_without_their_country_and_by_their_end() {
    let mut portal = Portal::new();
    let asha = portal.hubspot.add_contact("Asha", "+91 98765-43210", BEFORE);
    let bina = portal.hubspot.add(Kind::Contacts, &[("mobilephone", "09876543210")]);
    let phone = "hs_searchable_calculated_phone_number";
    let mobile = "hs_searchable_calculated_mobile_number";
    for one in [filter(phone, "EQ", "9876543210"), filter(phone, "CONTAINS_TOKEN", "*76543210")] {
        assert_eq!(found(&mut portal, body(vec![one])), std::slice::from_ref(&asha));
    }
    let both = body(vec![filter(phone, "EQ", "9876543210"), filter(mobile, "EQ", "9876543210")]);
    assert_eq!(found(&mut portal, both), [asha, bina.clone()]);
    let listed = json!({"propertyName": "mobilephone", "operator": "IN", "values": ["1", "09876543210"]});
    assert_eq!(found(&mut portal, body(vec![listed])), [bina]);
    assert!(found(&mut portal, body(vec![filter(phone, "EQ", "+919876543210")])).is_empty());
}

#[test]
fn results_come_page_by_page() {
    let mut portal = Portal::new();
    for _ in 0..3 {
        portal.hubspot.add_contact("Asha", "1234567", BEFORE);
    }
    let mut page = by_phone("1234567");
    page["limit"] = json!(2);
    let (_, first) = portal.post(TARGET, page.clone());
    assert_eq!((&first["total"], &first["paging"]["next"]["after"]), (&json!(3), &json!("2")));
    page["after"] = json!("2");
    let (_, last) = portal.post(TARGET, page);
    assert_eq!((last["results"].as_array().map(Vec::len), last.get("paging")), (Some(1), None));
}

#[test]
fn a_search_is_refused_unless_well_formed() {
    let mut portal = Portal::new();
    for part in ["filterGroups", "properties", "limit", "after", "sorts"] {
        let mut without = by_phone("1");
        without.as_object_mut().unwrap().remove(part);
        assert_eq!(refused(portal.post(TARGET, without.clone())), no(400, "VALIDATION_ERROR"), "{part}");
        portal.hubspot.settings.search_wants_all = false;
        assert_eq!(portal.post(TARGET, without).0, 200, "{part}");
        portal.hubspot.settings.search_wants_all = true;
    }
    let with = |key: &str, value: Value| {
        let mut body = by_phone("1");
        body[key] = value;
        body
    };
    for (bad, why) in [
        (body(vec![filter("phone", "EQ", "1"); 6]), "six groups"),
        (body(vec![filter("nickname", "EQ", "1")]), "an unknown property"),
        (body(vec![filter("phone", "LIKE", "1")]), "an unknown operator"),
        (body(vec![filter("phone", "EQ", "")]), "no value"),
        (body(vec![json!({"propertyName": "phone", "operator": "IN", "values": ["A"]})]), "upper case"),
        (body(vec![json!({"propertyName": "phone", "operator": "IN", "value": "1"})]), "one value for many"),
        (with("limit", json!(0)), "limit"),
        (with("limit", json!(201)), "limit"),
        (with("after", json!("x")), "after"),
        (with("after", json!(0)), "a number for a text"),
        (with("more", json!(1)), "an unknown field"),
        (with("filterGroups", json!([{"filters": []}])), "an empty group"),
    ] {
        assert_eq!(refused(portal.post(TARGET, bad)), no(400, "VALIDATION_ERROR"), "{why}");
    }
}
