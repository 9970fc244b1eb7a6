//! Reading call activities back, by lead and by time.

use super::{telephony::log, *};

const BY_EVENT: &str = "/v2/ProspectActivity.svc/CustomActivity/RetrieveByActivityEvent";

fn of_lead(lead: &str) -> String {
    format!("/v2/ProspectActivity.svc/Retrieve?leadId={lead}")
}

fn window(from: &str, to: &str, size: u32) -> Value {
    json!({"Parameter": {"FromDate": from, "ToDate": to, "ActivityEvent": 21},
        "Paging": {"PageIndex": 1, "PageSize": size}, "Sorting": {"ColumnName": "ProspectActivityId", "Direction": 0}})
}

#[test]
fn the_activities_of_a_lead_are_read_newest_first_and_by_page() {
    let mut org = Org::new();
    let lead = org.lead("9876543210");
    let ids: Vec<String> = (0..3)
        .map(|n| made(org.tell("LogCallComplete", log(json!({"CallSessionId": format!("s{n}"), "LeadId": lead})))))
        .collect();
    let (_, all) = org.post(&of_lead(&lead), json!({"Parameter": {"ActivityEvent": 21}}));
    assert_eq!((&all["RecordCount"], &all["ProspectActivities"][0]["Id"]), (&json!(3), &json!(ids[2])));
    let note = all["ProspectActivities"][0]["ActivityFields"]["ActivityEvent_Note"].as_str().unwrap();
    assert!(note.contains("{next}Status{=}Answered{next}") && note.contains(r#""CallSessionId":"s2""#), "{note}");
    assert!(note.contains("StartTime{=}1/5/2026 6:30:00 AM"), "{note}");
    let paged = json!({"Parameter": {"ActivityEvent": 21}, "Paging": {"Offset": "1", "RowCount": "2"}});
    let (_, second) = org.post(&of_lead(&lead), paged);
    assert_eq!((&second["RecordCount"], &second["ProspectActivities"][0]["Id"]), (&json!(3), &json!(ids[0])));
    let (_, none) = org.post(&of_lead(&lead), json!({"Parameter": {"ActivityEvent": 22}}));
    assert_eq!(none, json!({"RecordCount": 0}), "no list where there is nothing");
    org.account.settings.oldest_first = true;
    let (_, all) = org.post(&of_lead(&lead), json!({}));
    assert_eq!(all["ProspectActivities"][0]["Id"], json!(ids[0]));
    org.account.settings.note_chars = 20;
    let (_, cut) = org.post(&of_lead(&lead), json!({}));
    let note = &cut["ProspectActivities"][0]["ActivityFields"]["ActivityEvent_Note"];
    assert_eq!(note.as_str().map(|note| note.chars().count()), Some(20));

    refused(org.post(&of_lead("x"), json!({})), "MXInvalidInputException", "leadId");
    refused(org.post("/v2/ProspectActivity.svc/Retrieve", json!({})), "MXMandatoryAttributeMissingException", "leadId");
    let huge = json!({"Paging": {"Offset": 0, "RowCount": 1001}});
    refused(org.post(&of_lead(&lead), huge), "MXInvalidInputException", "RowCount");
    assert_eq!(org.post(&of_lead(&lead), json!({"Sorting": {}})).0, 400);
}

#[test]
fn the_activities_of_a_time_go_by_their_last_change() {
    let mut org = Org::new();
    let lead = org.lead("9876543210");
    let first = made(org.tell("LogCallComplete", log(json!({"LeadId": lead}))));
    let (_, found) = org.post(BY_EVENT, window("2026-01-05 06:40:00", "2026-01-05 06:40:00", 10));
    assert_eq!(found["RecordCount"], 1);
    let row = &found["List"][0];
    assert_eq!((&row["ProspectActivityId"], &row["RelatedProspectId"]), (&json!(first), &json!(lead)));
    assert_eq!((&row["ActivityEvent"], &row["mx_Custom_3"]), (&json!("21"), &json!("62")));
    org.pass(60);
    let update = json!({"ActivityId": first, "CallDuration": "63"});
    made(org.post("/v2/Telephony.svc/PhoneCallActivity/Update", update));
    let (_, none) = org.post(BY_EVENT, window("2026-01-05 06:40:00", "2026-01-05 06:40:59", 10));
    assert_eq!(none, json!({"RecordCount": 0}), "it has moved on");
    org.account.settings.list_lag = std::time::Duration::from_secs(5);
    let (_, none) = org.post(BY_EVENT, window("2026-01-05 06:40:00", "2026-01-05 06:50:00", 10));
    assert_eq!(none["RecordCount"], 0, "behind its writes");

    let invalid = "MXInvalidInputException";
    let without = json!({"Parameter": {"FromDate": "2026-01-05 06:40:00", "ToDate": "2026-01-05 06:40:00"}});
    refused(org.post(BY_EVENT, without), invalid, "ActivityEvent");
    refused(org.post(BY_EVENT, window("yesterday", "2026-01-05 06:40:00", 10)), invalid, "FromDate");
    refused(
        org.post(BY_EVENT, window("2026-01-05 06:40:00", "", 10)),
        "MXMandatoryAttributeMissingException",
        "ToDate",
    );
    let huge = window("2026-01-05 06:40:00", "2026-01-05 06:50:00", 1001);
    refused(org.post(BY_EVENT, huge), invalid, "PageSize can not be more than 1000");
    refused(org.post(BY_EVENT, json!({})), "MXMandatoryAttributeMissingException", "Parameter");
}
