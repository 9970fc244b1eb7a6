//! Objects: what each takes and refuses, upserts, associations, and reading by a unique value.

use super::*;

#[test]
fn an_upsert_makes_one_record_of_one_call_sid() {
    let mut portal = Portal::new();
    let (status, body) = portal.upsert("sid1", json!({"hs_timestamp": "1767595200000", "hs_call_title": "A"}));
    assert_eq!((status, &body["status"], &body["results"][0]["new"]), (200, &json!("COMPLETE"), &json!(true)));
    let (_, again) = portal.upsert("sid1", json!({"hs_call_title": "B"}));
    assert_eq!((&again["results"][0]["new"], &again["results"][0]["id"]), (&json!(false), &body["results"][0]["id"]));
    assert_eq!(again["results"][0]["properties"]["hs_timestamp"], "1767595200000", "the rest stays");
    assert_eq!(portal.hubspot.records().len(), 1);

    let (status, found) = portal.get("/crm/v3/objects/calls/sid1?idProperty=exotel_call_sid&properties=hs_call_title");
    assert_eq!((status, &found["properties"]["hs_call_title"]), (200, &json!("B")));
    assert_eq!(found["id"], body["results"][0]["id"]);
    for absent in ["/crm/v3/objects/calls/sid?idProperty=exotel_call_sid", "/crm/v3/objects/calls/1"] {
        assert_eq!(refused(portal.get(absent)), no(404, "OBJECT_NOT_FOUND"), "{absent}");
    }
    assert_eq!(
        refused(portal.get("/crm/v3/objects/calls/sid1?idProperty=hs_call_title")),
        no(400, "VALIDATION_ERROR"),
        "its values are not unique"
    );
    let id = found["id"].as_str().unwrap().to_owned();
    assert_eq!(portal.ask(Method::DELETE, &format!("/crm/v3/objects/calls/{id}"), &Value::Null).0, 204);
    assert_eq!(portal.get("/crm/v3/objects/calls/sid1?idProperty=exotel_call_sid").0, 404);
    assert_eq!(portal.get(&format!("/crm/v3/objects/calls/{id}?archived=true")).0, 200);
    assert_eq!(refused(portal.patch(&format!("/crm/v3/objects/calls/{id}"), json!({"properties": {}}))).0, 404);
    assert_ne!(portal.call("sid1"), id, "an archived record is not written to");
    assert_eq!(portal.hubspot.records().len(), 1);
}

#[test]
fn a_batch_is_refused_for_its_form() {
    let mut portal = Portal::new();
    let target = "/crm/v3/objects/calls/batch/upsert";
    let input = |property: &str| json!({"idProperty": property, "id": "s", "properties": {"hs_timestamp": "1"}});
    for (bad, why) in [
        (json!({"inputs": []}), "empty"),
        (json!({"inputs": [input("hs_call_title")]}), "not unique"),
        (json!({"inputs": [input("nothing")]}), "not there"),
        (json!({"inputs": [{"id": "s", "properties": {"hs_timestamp": "1"}}]}), "no idProperty"),
        (json!({"inputs": [input("exotel_call_sid"), input("exotel_call_sid")]}), "twice the same"),
        (json!({"inputs": vec![input("exotel_call_sid"); 101]}), "more than a hundred"),
        (
            json!({"inputs": [{"idProperty": "exotel_call_sid", "id": "s", "properties": {"hs_timestamp": 1}}]}),
            "a number",
        ),
        (json!({"inputs": [{"idProperty": "exotel_call_sid", "id": "s", "properties": {}}]}), "no time"),
        (json!({"input": []}), "unknown field"),
        (Value::Null, "no body"),
    ] {
        assert_eq!(refused(portal.post(target, bad)), no(400, "VALIDATION_ERROR"), "{why}");
    }
    assert_eq!(portal.hubspot.objects(Kind::Calls).count(), 0);
}

#[test]
fn one_bad_input_fails_its_batch_or_is_named_in_a_207() {
    for whole in [true, false] {
        let mut portal = Portal::new();
        portal.hubspot.settings.batch_fails_whole = whole;
        let (status, body) = portal.upsert("s", json!({"hs_timestamp": "1", "hubspot_owner_id": "1"}));
        if whole {
            assert_eq!(code((status, body)), (400, "INVALID_OWNER_ID".to_owned()));
        } else {
            assert_eq!(
                (status, &body["numErrors"], body["results"].as_array().map(Vec::len)),
                (207, &json!(1), Some(0))
            );
            assert_eq!(
                (&body["errors"][0]["category"], &body["errors"][0]["context"]["ids"][0]),
                (&json!("VALIDATION_ERROR"), &json!("s"))
            );
        }
        assert_eq!(portal.hubspot.records().len(), 0);
        assert!(portal.hubspot.fail_inside(1));
        let (status, body) = portal.upsert("s", json!({"hs_timestamp": "1"}));
        assert_eq!((status, &body["errors"][0]["category"]), (207, &json!("INTERNAL_ERROR")));
        assert_eq!(portal.hubspot.records().len(), 0);
        portal.call("s");
    }
}

#[test]
fn every_property_takes_only_its_own_values() {
    let mut portal = Portal::new();
    let ravi = portal.hubspot.add_owner("Ravi Rao", "ravi@example.com");
    let id = portal.call("sid");
    let target = format!("/crm/v3/objects/calls/{id}");
    for (name, value, expected) in [
        ("nickname", "x", "PROPERTY_DOESNT_EXIST"),
        ("hs_timestamp", "yesterday", "INVALID_LONG"),
        ("hs_call_direction", "incoming", "INVALID_OPTION"),
        ("hs_call_status", "ANSWERED", "INVALID_OPTION"),
        ("hs_call_duration", "34s", "INVALID_LONG"),
        ("hs_call_disposition", "Connected", "INVALID_OPTION"),
        ("hs_call_recording_url", "http://calls.example.com/1.mp3", "INVALID_URL"),
        ("hs_call_recording_url", "https://calls.example.com/1?as=.mp3", "INVALID_URL"),
        ("hubspot_owner_id", &ravi.user_id.to_string(), "INVALID_OWNER_ID"),
        ("hs_object_id", "1", "READ_ONLY_VALUE"),
        ("hs_call_body", &"x".repeat(65_537), "PROPERTY_VALUE_TOO_LONG"),
    ] {
        let answer = portal.patch(&target, json!({"properties": {name: value}}));
        assert_eq!(code(answer), (400, expected.to_owned()), "{name}");
    }
    for (name, value) in [
        ("hs_timestamp", "2026-01-05T06:40:00Z"),
        ("hs_call_recording_url", "https://calls.example.com/r/1.mp3?sig=1"),
        ("hubspot_owner_id", &ravi.id),
        ("hs_call_disposition", "f240bbac-87c9-4f6e-bf70-924b57d47db7"),
        ("hs_call_duration", "34000"),
        ("hs_call_body", &"x".repeat(65_536)),
    ] {
        assert_eq!(portal.patch(&target, json!({"properties": {name: value}})).0, 200, "{name}");
    }
    let record = portal.hubspot.records().pop().expect("a record");
    assert_eq!((record.talk_seconds, record.agent), (Some(34), Some(ravi.id.clone())));
    assert!(record.recording.is_some_and(|link| link.contains("/r/1.mp3")));
    portal.hubspot.archive_owner(&ravi.id);
    assert_eq!(code(portal.patch(&target, json!({"properties": {"hubspot_owner_id": ravi.id}}))).0, 400);
    for (bad, why) in [(json!({}), "no properties"), (json!({"properties": {"hs_call_title": null}}), "null")] {
        assert_eq!(refused(portal.patch(&target, bad)), no(400, "VALIDATION_ERROR"), "{why}");
    }
    assert_eq!(refused(portal.patch("/crm/v3/objects/calls/7", json!({"properties": {}}))).0, 404);
}

#[test]
fn what_is_required_must_be_there() {
    let mut portal = Portal::new();
    for (kind, good) in [
        ("calls", json!({"hs_timestamp": "1767595200000"})),
        ("tasks", json!({"hs_timestamp": "1767595200000", "hs_task_subject": "Call back"})),
        ("tickets", json!({"subject": "Missed", "hs_pipeline": "0", "hs_pipeline_stage": "1"})),
    ] {
        let target = format!("/crm/v3/objects/{kind}");
        let (status, body) = portal.post(&target, json!({"properties": {}}));
        assert_eq!(refused((status, body.clone())), no(400, "VALIDATION_ERROR"), "{kind}");
        assert!(body["context"]["properties"][0].is_string(), "{body}");
        assert_eq!(portal.post(&target, json!({"properties": good})).0, 201, "{kind}");
    }
    portal.hubspot.require(Kind::Contacts, "email");
    let lacking = portal.post("/crm/v3/objects/contacts", json!({"properties": {"phone": "1"}}));
    assert_eq!(lacking.1["context"]["properties"], json!(["email"]));
    let ticket = json!({"subject": "Missed", "hs_pipeline": "9", "hs_pipeline_stage": "1"});
    assert_eq!(code(portal.post("/crm/v3/objects/tickets", json!({"properties": ticket}))).1, "INVALID_PIPELINE");
}

#[test]
fn a_unique_value_has_one_holder() {
    let mut portal = Portal::new();
    let with = |value: &str| json!({"properties": {"exotel_caller_id": value, "phone": "+919876543210"}});
    let (status, made) = portal.post("/crm/v3/objects/contacts", with("c"));
    assert_eq!(status, 201);
    assert_eq!(code(portal.post("/crm/v3/objects/contacts", with("c"))).1, "CONFLICTING_UNIQUE_VALUE");
    let (_, other) = portal.post("/crm/v3/objects/contacts", with("d"));
    let target = format!("/crm/v3/objects/contacts/{}", other["id"].as_str().unwrap());
    assert_eq!(code(portal.patch(&target, with("c"))).1, "CONFLICTING_UNIQUE_VALUE");
    assert_eq!(portal.patch(&target, with("d")).0, 200, "its own is no conflict");
    assert_eq!(portal.patch(&target, with("e")).0, 200);
    assert_eq!(portal.post("/crm/v3/objects/contacts", with("d")).0, 201, "given free");

    let email = json!({"properties": {"email": "a@example.com"}});
    let (_, holder) = portal.post("/crm/v3/objects/contacts", email.clone());
    let (status, body) = portal.post("/crm/v3/objects/contacts", email);
    assert_eq!((status, &body["category"]), (409, &json!("CONFLICT")));
    assert!(body["message"].as_str().unwrap().ends_with(holder["id"].as_str().unwrap()));

    let id = made["id"].as_str().unwrap().to_owned();
    let now = portal.now;
    portal.hubspot.remove(Kind::Contacts, &id, now);
    portal.hubspot.settings.archived_keep_values = true;
    assert_eq!(code(portal.post("/crm/v3/objects/contacts", with("c"))).1, "CONFLICTING_UNIQUE_VALUE");
    portal.hubspot.settings.archived_keep_values = false;
    assert_eq!(portal.post("/crm/v3/objects/contacts", with("c")).0, 201);
}

#[test]
fn associations_are_made_once_and_only_between_what_is_there() {
    let mut portal = Portal::new();
    let (call, contact) = (portal.call("sid"), portal.hubspot.add_contact("Asha", "+919876543210", BEFORE));
    let default = format!("/crm/v4/objects/calls/{call}/associations/default/contacts/{contact}");
    let typed = format!("/crm/v3/objects/calls/{call}/associations/contacts/{contact}/194");
    for target in [&default, &default, &typed] {
        assert_eq!(portal.put(target).0, 200, "{target}");
    }
    let (_, listed) = portal.get(&format!("/crm/v4/objects/calls/{call}/associations/contacts"));
    assert_eq!(listed["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(portal.hubspot.records()[0].contact.as_deref(), Some(contact.as_str()));
    let (_, shown) = portal.get(&format!("/crm/v3/objects/calls/{call}?associations=contacts"));
    assert_eq!(shown["associations"]["contacts"]["results"][0], json!({"id": contact, "type": "call_to_contact"}));

    let wrong_type = typed.replace("/194", "/195");
    assert_eq!(refused(portal.put(&wrong_type)), no(400, "VALIDATION_ERROR"));
    let no_call = default.replace(&call, "7");
    assert_eq!(refused(portal.put(&no_call)), no(404, "OBJECT_NOT_FOUND"));
    let now = portal.now;
    portal.hubspot.remove(Kind::Contacts, &contact, now);
    assert_eq!(refused(portal.put(&default)), no(404, "OBJECT_NOT_FOUND"));
    portal.hubspot.settings.missing_associate_is_404 = false;
    assert_eq!(refused(portal.put(&default)), no(400, "VALIDATION_ERROR"));

    let task = |to: &str, type_id: u64| {
        json!({"properties": {"hs_timestamp": "1"}, "associations": [{"to": {"id": to},
            "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id}]}]})
    };
    let asha = portal.hubspot.add_contact("Asha", "+919876543210", BEFORE);
    assert_eq!(portal.post("/crm/v3/objects/tasks", task(&asha, 204)).0, 201);
    assert_eq!(refused(portal.post("/crm/v3/objects/tasks", task(&asha, 194))).0, 400, "another kind's type");
    assert_eq!(refused(portal.post("/crm/v3/objects/tasks", task("7", 204))).0, 400);
    assert_eq!(portal.hubspot.objects(Kind::Tasks).count(), 1, "a refused one leaves nothing");
}

#[test]
fn properties_and_dispositions_can_be_read() {
    let mut portal = Portal::new();
    portal.hubspot.define(Kind::Calls, "plain", false);
    for (name, unique) in [("exotel_call_sid", true), ("plain", false)] {
        assert_eq!(portal.get(&format!("/crm/v3/properties/calls/{name}")).1["hasUniqueValue"], json!(unique));
    }
    assert_eq!(refused(portal.get("/crm/v3/properties/calls/nothing")), no(404, "OBJECT_NOT_FOUND"));
    let (_, list) = portal.get("/calling/v1/dispositions");
    assert_eq!(list.as_array().map(Vec::len), Some(6));
}

#[test]
fn a_batch_is_read_without_lag_and_names_what_is_not_there() {
    let mut portal = Portal::new();
    let target = "/crm/v3/objects/contacts/batch/read";
    let asha = portal.hubspot.add_contact("Asha", "+919876543210", BEFORE);
    let read = |ids: &[&str]| {
        let inputs: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
        json!({"inputs": inputs, "properties": ["phone"], "propertiesWithHistory": []})
    };
    let (status, body) = portal.post(target, read(&[&asha]));
    assert_eq!((status, &body["results"][0]["properties"]["phone"]), (200, &json!("+919876543210")));
    let now = portal.now;
    portal.hubspot.remove(Kind::Contacts, &asha, now);
    let (status, body) = portal.post(target, read(&[&asha, "7"]));
    assert_eq!((status, body["results"].as_array().map(Vec::len)), (207, Some(0)));
    assert_eq!(body["errors"][0]["context"]["ids"], json!([asha, "7"]));
    let mut by_phone = read(&["1"]);
    by_phone["idProperty"] = json!("phone");
    let mut without = read(&["1"]);
    without.as_object_mut().unwrap().remove("properties");
    for bad in [read(&[]), read(&["1"; 101]), by_phone, without, Value::Null] {
        assert_eq!(refused(portal.post(target, bad)), no(400, "VALIDATION_ERROR"));
    }
}
