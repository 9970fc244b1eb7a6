//! Writing records: what is checked, and how each record of a request answers for itself.

use http::{Method, StatusCode};
use patchbay_sandbox::{Crm, zoho_crm::Names};
use serde_json::{Value, json};

use super::{Org, call, id, no, refused};

#[test]
fn a_call_is_made_once_under_its_unique_field() {
    let mut org = Org::new();
    let (status, made) = org.write(Method::POST, "/Calls", call(json!({})));
    assert_eq!((status, &made["code"]), (201, &json!("SUCCESS")));
    let (status, again) = org.write(Method::POST, "/Calls", call(json!({"Exotel_CallSid": "1A2B"})));
    assert_eq!(
        (status, &again["code"], &again["details"]["id"]),
        (400, &json!("DUPLICATE_DATA"), &made["details"]["id"])
    );
    org.zoho.settings.duplicate_names = Names::Record;
    let (_, again) = org.write(Method::POST, "/Calls", call(json!({})));
    assert_eq!(again["details"]["duplicate_record"]["id"], made["details"]["id"]);
    org.zoho.settings.duplicate_names = Names::Nothing;
    let (_, again) = org.write(Method::POST, "/Calls", call(json!({})));
    assert_eq!(again["details"].get("id"), None);
    org.zoho.delete_record("Calls", id(&made).parse().unwrap());
    assert_eq!(org.write(Method::POST, "/Calls", call(json!({}))).0, 201, "a deleted call blocks nothing");
}

#[test]
fn every_field_of_a_call_is_checked() {
    let mut org = Org::new();
    for (over, field) in [
        (json!({"Call_Type": "inbound"}), "Call_Type"),
        (json!({"Call_Start_Time": "2026-01-05 12:10"}), "Call_Start_Time"),
        (json!({"Call_Start_Time": "2026-01-05T12:10:00"}), "Call_Start_Time"),
        (json!({"Call_Duration": "34"}), "Call_Duration"),
        (json!({"Call_Duration": 34}), "Call_Duration"),
        (json!({"Subject": "x".repeat(256)}), "Subject"),
        (json!({"Description": "x".repeat(32_001)}), "Description"),
        (json!({"Voice_Recording__s": "ftp://x"}), "Voice_Recording__s"),
        (json!({"Who_Id": {"id": "1"}}), "Who_Id"),
        (json!({"What_Id": {"id": "1"}, "$se_module": "Leads"}), "What_Id"),
        (json!({"Owner": {"id": "1"}}), "Owner"),
        (json!({"Outgoing_Call_Status": "Done"}), "Outgoing_Call_Status"),
    ] {
        assert_eq!(refused(org.write(Method::POST, "/Calls", call(over))), no(400, "INVALID_DATA", field));
    }
    for (over, field) in [
        (json!({"Call_Type": null}), "Call_Type"),
        (json!({"Call_Start_Time": null}), "Call_Start_Time"),
        (json!({"What_Id": {"id": "1"}}), "$se_module"),
    ] {
        assert_eq!(refused(org.write(Method::POST, "/Calls", call(over))), no(400, "MANDATORY_NOT_FOUND", field));
    }
    let mut short = call(json!({}));
    short.as_object_mut().unwrap().remove("Call_Duration");
    assert_eq!(refused(org.write(Method::POST, "/Calls", short.clone())), no(400, "INVALID_DATA", "Call_Duration"));
    short["Call_Type"] = json!("Missed");
    assert_eq!(org.write(Method::POST, "/Calls", short).0, 201);
    org.zoho.settings.lookups_by_path = true;
    let (_, by_path) = org.write(Method::POST, "/Calls", call(json!({"Who_Id": {"id": "1"}, "Exotel_CallSid": "2"})));
    assert_eq!(by_path["details"], json!({"api_name": "id", "json_path": "$.data[0].Who_Id.id"}));
    // What is no field is no error; it is lost.
    org.zoho.drop_field("Calls", "Exotel_CallSid");
    let (status, made) = org.write(Method::POST, "/Calls", call(json!({})));
    assert_eq!(status, 201);
    assert_eq!(org.zoho.record("Calls", id(&made).parse().unwrap()).unwrap().get("Exotel_CallSid"), None);
}

#[test]
fn what_is_over_keeps_its_type_and_owner() {
    let mut org = Org::new();
    let agent = org.zoho.add_agent("Ravi", "ravi@example.com");
    let (_, made) = org.write(Method::POST, "/Calls", call(json!({})));
    let at = format!("/Calls/{}", id(&made));
    assert_eq!(org.write(Method::PUT, &at, json!({"Subject": "Other", "Call_Type": "Inbound"})).0, 200);
    assert_eq!(
        refused(org.write(Method::PUT, &at, json!({"Call_Type": "Missed"}))),
        no(400, "INVALID_DATA", "Call_Type")
    );
    let owner = json!({"Owner": {"id": agent}});
    assert_eq!(refused(org.write(Method::PUT, &at, owner.clone())), no(400, "INVALID_DATA", "Owner"));
    org.zoho.settings.completed_is_fixed = false;
    assert_eq!(org.write(Method::PUT, &at, owner).0, 200);
    let (_, shown) = org.get(&at);
    assert_eq!((&shown["data"][0]["Subject"], &shown["data"][0]["Owner"]["id"]), (&json!("Other"), &json!(agent)));
    assert_eq!(shown["data"][0]["Call_Duration_in_seconds"], 34);
    assert_eq!(org.ask(Method::DELETE, &at, Value::Null).0, 200);
    assert_eq!(org.get(&at), (204, Value::Null));
    for gone in [at.as_str(), "/Calls/1", "/Calls/x", "/Calls/1%2F..%2F2"] {
        assert_eq!(refused(org.write(Method::PUT, gone, json!({"Subject": "x"}))).1, "INVALID_DATA", "{gone}");
        assert_eq!(refused(org.ask(Method::DELETE, gone, Value::Null)).1, "INVALID_DATA", "{gone}");
    }
    assert_eq!(refused(org.get("/Calls/x")).1, "INVALID_DATA");
}

#[test]
fn some_of_many_records_can_fail_alone() {
    let mut org = Org::new();
    let (status, body) = org.post("/Leads", json!({"data": [{"Last_Name": "A"}, {"Phone": "1"}]}));
    assert_eq!(status, 207);
    assert_eq!(
        (&body["data"][0]["status"], &body["data"][1]["code"]),
        (&json!("success"), &json!("MANDATORY_NOT_FOUND"))
    );
    assert_eq!(body["data"][1]["details"]["json_path"], "$.data[1].Last_Name");
    for status in [StatusCode::OK, StatusCode::MULTI_STATUS] {
        org.zoho.settings.refused = status;
        assert_eq!(
            refused(org.write(Method::POST, "/Leads", json!({}))),
            no(status.as_u16(), "MANDATORY_NOT_FOUND", "Last_Name")
        );
    }
    assert!(org.zoho.fail_inside(1));
    let before = org.zoho.ids("Leads").len();
    assert_eq!(refused(org.write(Method::POST, "/Leads", json!({"Last_Name": "B"}))), no(200, "INTERNAL_ERROR", ""));
    assert_eq!(org.zoho.ids("Leads").len(), before);
    for bad in [
        json!({}),
        json!({"data": []}),
        json!({"data": {}}),
        json!({"data": [1]}),
        json!({"data": [{}], "trigger": ["x"]}),
    ] {
        assert_eq!(refused(org.post("/Leads", bad)).0, 400);
    }
    assert_eq!(refused(org.post("/Leads", json!({"data": vec![json!({"Last_Name": "C"}); 101]}))).2, "data");
}

#[test]
fn an_upsert_is_for_some_modules_and_by_unique_fields() {
    let mut org = Org::new();
    let body = |field: &str| json!({"data": [call(json!({}))], "duplicate_check_fields": [field]});
    assert_eq!(refused(org.post("/Calls/upsert", body("Exotel_CallSid"))), no(400, "INVALID_MODULE", ""));
    org.zoho.settings.calls_upsert = true;
    let (status, first) = org.post("/Calls/upsert", body("Exotel_CallSid"));
    assert_eq!((status, &first["data"][0]["message"]), (200, &json!("record added")));
    let (_, second) = org.post("/Calls/upsert", body("Exotel_CallSid"));
    assert_eq!(second["data"][0]["message"], "record updated");
    assert_eq!(id(&first["data"][0]), id(&second["data"][0]));
    assert_eq!(refused(org.post("/Calls/upsert", body("Subject"))), no(400, "INVALID_DATA", "duplicate_check_fields"));
    assert_eq!(org.post("/Leads/upsert", json!({"data": [{"Last_Name": "A", "Email": "a@b.c"}]})).0, 200);
}
