//! Single records, and the upsert by the CallSid.

use patchbay_sandbox::salesforce::{DuplicateRule, Field, Kind};

use super::*;

const TASK: &str = "/sobjects/Task/Exotel_Call_Sid__c";

#[test]
fn an_upsert_is_one_record_however_often_it_comes() {
    let mut org = Org::new();
    let first = org.patch(&format!("{TASK}/1a2b"), json!({"Subject": "Incoming Call", "TaskSubtype": "Call"}));
    assert_eq!((first.0, &first.1["created"], &first.1["success"]), (201, &json!(true), &json!(true)));
    let id = first.1["id"].as_str().unwrap().to_owned();
    let again = org.patch(&format!("{TASK}/1a2b"), json!({"Description": "more"}));
    assert_eq!((again.0, &again.1["created"], &again.1["id"]), (200, &json!(false), &json!(id)));
    let task = org.salesforce.record(&id).unwrap();
    assert_eq!((task.text("Subject"), task.text("Description")), ("Incoming Call", "more"));
    assert_eq!(task.text("OwnerId"), org.salesforce.integration_user());

    org.salesforce.settings.upsert_answers_204 = true;
    assert_eq!(org.patch(&format!("{TASK}/1a2b"), json!({"Description": "less"})), (204, Value::Null));
    assert_eq!(org.get(&format!("{TASK}/1a2b?fields=Id,Description")).1["Description"], "less");
    assert_eq!(refused(org.get(&format!("{TASK}/other"))), no(404, "NOT_FOUND"));
    assert_eq!(refused(org.patch(&format!("{TASK}/other?updateOnly=true"), json!({}))), no(404, "NOT_FOUND"));
    assert_eq!(
        refused(org.patch(&format!("{TASK}/1a2b"), json!({"Exotel_Call_Sid__c": "1a2b"}))),
        no(400, "INVALID_FIELD")
    );
    assert_eq!(refused(org.patch(&format!("{TASK}/{}", "x".repeat(256)), json!({}))), no(400, "STRING_TOO_LONG"));
    // The recycle bin blocks no value.
    org.salesforce.delete(&id, START);
    assert_eq!(org.patch(&format!("{TASK}/1a2b"), json!({"Subject": "Incoming Call"})).0, 201);
}

#[test]
fn an_external_id_that_is_not_there_or_not_unique_is_told() {
    let mut org = Org::new();
    for field in ["Nothing__c", "Subject"] {
        let answer = org.patch(&format!("/sobjects/Task/{field}/1a2b"), json!({"Subject": "x"}));
        assert!(answer.1[0]["message"].as_str().unwrap().contains(field));
        assert_eq!(refused(answer), no(404, "NOT_FOUND"));
    }
    org.salesforce.define_field("Task", "Exotel_Call_Sid__c", Field { unique: false, ..Field::external_id() });
    for _ in 0..2 {
        org.create("Task", json!({"Subject": "x", "Exotel_Call_Sid__c": "1a2b"}));
    }
    let (status, urls) = org.patch(&format!("{TASK}/1a2b"), json!({"Subject": "y"}));
    assert_eq!((status, urls.as_array().unwrap().len()), (300, 2));
    org.salesforce.define_field("Task", "Exotel_Call_Sid__c", Field::external_id());
    let twice = org.post("/sobjects/Task", json!({"Subject": "x", "Exotel_Call_Sid__c": "1a2b"}));
    assert_eq!(refused(twice), no(400, "DUPLICATE_VALUE"));
}

#[test]
fn a_task_is_refused_for_what_it_has_wrong() {
    let mut org = Org::new();
    let asha = org.salesforce.add_contact("Asha", "1", START);
    let account = org.create("Account", json!({"Name": "Acme"}));
    let lead = org.create("Lead", json!({"LastName": "L", "Company": "C"}));
    let gone = org.create("Lead", json!({"LastName": "G", "Company": "C"}));
    org.salesforce.delete(&gone, START);
    let ravi = org.salesforce.add_user("Ravi", "ravi@example.com");
    org.salesforce.deactivate_user(&ravi);
    let queue = org.salesforce.add_queue("Sales");
    for (body, code) in [
        (json!({"Colour": "red"}), "INVALID_FIELD"),
        (json!({"Subject": 5}), "JSON_PARSER_ERROR"),
        (json!({"CallDurationInSeconds": "34"}), "JSON_PARSER_ERROR"),
        (json!({"ActivityDate": "today"}), "JSON_PARSER_ERROR"),
        (json!({"Subject": "x".repeat(256)}), "STRING_TOO_LONG"),
        (json!({"Description": "x".repeat(32_001)}), "STRING_TOO_LONG"),
        (json!({"CallType": "Sideways"}), "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        (json!({"IsClosed": true}), "INVALID_FIELD_FOR_INSERT_UPDATE"),
        (json!({"WhoId": "nobody"}), "MALFORMED_ID"),
        (json!({"WhoId": account}), "FIELD_INTEGRITY_EXCEPTION"),
        (json!({"WhoId": lead, "WhatId": account}), "FIELD_INTEGRITY_EXCEPTION"),
        (json!({"WhoId": "0035g00000zzzzz"}), "INVALID_CROSS_REFERENCE_KEY"),
        (json!({"WhoId": gone}), "INVALID_CROSS_REFERENCE_KEY"),
        (json!({"OwnerId": ravi}), "INACTIVE_OWNER_OR_USER"),
    ] {
        assert_eq!(refused(org.patch(&format!("{TASK}/1a2b"), body.clone())), no(400, code), "{body}");
    }
    org.salesforce.settings.deleted_reference_names_field = false;
    assert_eq!(refused(org.patch(&format!("{TASK}/1a2b"), json!({"WhoId": gone}))), no(400, "ENTITY_IS_DELETED"));
    assert_eq!(refused(org.patch(&format!("{TASK}/1a2b"), json!([]))), no(400, "JSON_PARSER_ERROR"));
    let reply = org.raw(Method::PATCH, &format!("{DATA}{TASK}/1a2b"), "text/plain", "{}");
    assert_eq!(refused(parsed(reply)), no(415, "UNSUPPORTED_MEDIA_TYPE"));
    org.salesforce.demand("Type", "Choose a type");
    assert_eq!(refused(org.patch(&format!("{TASK}/1a2b"), json!({}))), no(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION"));
    assert_eq!(org.salesforce.records_of("Task").count(), 0);

    let fine =
        json!({"Type": "Call", "WhoId": asha, "WhatId": account, "OwnerId": queue, "ActivityDate": "2026-01-05"});
    assert_eq!(org.patch(&format!("{TASK}/1a2b"), fine).0, 201);
    let subtype = json!({"TaskSubtype": "Call"});
    assert_eq!(
        refused(org.patch(&format!("{TASK}/1a2b"), subtype.clone())),
        no(400, "INVALID_FIELD_FOR_INSERT_UPDATE")
    );
    org.salesforce.settings.subtype_is_updatable = true;
    assert_eq!(org.patch(&format!("{TASK}/1a2b"), subtype).0, 200);
}

#[test]
fn a_row_is_shown_changed_and_deleted_by_its_id() {
    let mut org = Org::new();
    let id = org.create("Lead", json!({"LastName": "Asha", "Company": "Unknown", "Phone": "+919876543210"}));
    let row = format!("/sobjects/Lead/{id}");
    assert_eq!(org.get(&format!("/sobjects/Lead/{}", &id[..15])).1["Name"], "Asha", "the short id is the same");
    assert_eq!(org.patch(&row, json!({"Phone": null, "FirstName": "A."})), (204, Value::Null));
    let (_, shown) = org.get(&format!("{row}?fields=Name,Phone,IsConverted"));
    assert_eq!((&shown["Name"], &shown["Phone"]), (&json!("A. Asha"), &Value::Null));
    assert_eq!(shown["IsConverted"], false);
    assert_eq!(refused(org.get(&format!("{row}?fields=Colour"))), no(400, "INVALID_FIELD"));
    assert_eq!(refused(org.patch(&row, json!({"Company": null}))), no(400, "REQUIRED_FIELD_MISSING"));
    assert_eq!(refused(org.post("/sobjects/Lead", json!({"LastName": "x"}))), no(400, "REQUIRED_FIELD_MISSING"));
    assert_eq!(refused(org.post("/sobjects/Case", json!({"Name": "x"}))), no(400, "INVALID_FIELD"));
    for other in ["/sobjects/Lead/x", "/sobjects/Lead/00Q5g00000zzzzz", &format!("/sobjects/Task/{id}")] {
        assert_eq!(refused(org.patch(other, json!({}))), no(404, "NOT_FOUND"), "{other}");
    }
    assert_eq!(org.send(Method::DELETE, &row, &json!({})).0, 204);
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        assert_eq!(refused(org.send(method, &row, &json!({}))), no(404, "ENTITY_IS_DELETED"));
    }
}

#[test]
fn a_duplicate_rule_stops_or_warns() {
    let mut org = Org::new();
    let lead = json!({"LastName": "A", "Company": "C", "Phone": "1"});
    let first = org.create("Lead", lead.clone());
    for (only_warns, allowed, fine) in
        [(true, false, false), (true, true, true), (false, true, false), (false, false, false)]
    {
        org.salesforce.settings.duplicate_rule =
            Some(DuplicateRule { only_warns, names_matches: Some("duplicateResut") });
        org.headers = if allowed { vec![("sforce-duplicate-rule-header", "allowSave=true")] } else { Vec::new() };
        let answer = org.post("/sobjects/Lead", lead.clone());
        assert_eq!(answer.0 == 201, fine, "{only_warns} {allowed}");
        if !fine {
            let matches = &answer.1[0]["duplicateResut"]["matchResults"][0]["matchRecords"];
            assert_eq!(matches[0]["record"]["Id"], json!(first));
            assert_eq!(refused(answer), no(400, "DUPLICATES_DETECTED"));
        }
    }
}

#[test]
fn what_an_object_has_is_described() {
    let mut org = Org::new();
    org.salesforce.define_field("Task", "Call_Status__c", Field::of(Kind::Text(255)));
    let (_, shown) = org.get("/sobjects/Task/describe");
    let field = |name: &str| shown["fields"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
    assert_eq!(field("Call_Status__c").unwrap()["updateable"], true);
    assert_eq!(field("Exotel_Call_Sid__c").unwrap()["externalId"], true);
    assert_eq!(field("TaskSubtype").unwrap()["updateable"], false);
    org.salesforce.remove_field("Task", "Call_Status__c");
    let (_, shown) = org.get("/sobjects/Task/describe");
    assert!(shown["fields"].as_array().unwrap().iter().all(|one| one["name"] != "Call_Status__c"));
    assert_eq!(refused(org.get("/sobjects/Nothing/describe")), no(404, "NOT_FOUND"));
}
