//! Call logs and popups: what becomes of them, and what is refused.

use jiff::tz::Offset;
use patchbay_sandbox::leadsquared::LogReply;

use super::*;

const UPDATE: &str = "/v2/Telephony.svc/PhoneCallActivity/Update";

/// A good log but for what is put over it.
pub(super) fn log(other: Value) -> Value {
    over(
        json!({"SourceNumber": "+91-9876543210", "DestinationNumber": "+91-9711581199",
            "DisplayNumber": "+91-8047494574", "StartTime": "2026-01-05 06:30:00", "EndTime": "2026-01-05 06:31:02",
            "CallDuration": 62, "Status": "Answered", "Direction": "Inbound", "CallSessionId": "1a2b",
            "CallNotes": "Incoming Call"}),
        other,
    )
}

fn popup(other: Value) -> Value {
    over(
        json!({"SourceNumber": "+91-9876543210", "DestinationNumber": "+91-9711581199",
            "DisplayNumber": "+91-8047494574", "Direction": "Inbound", "CallSessionId": "1a2b"}),
        other,
    )
}

#[test]
fn a_log_is_an_activity_on_the_lead_of_the_number_or_on_a_new_one() {
    let mut org = Org::new();
    let lead = org.lead("9876543210");
    let ravi = org.account.add_user("Ravi", "ravi@example.com");
    org.account.change_user(&ravi, |user| user.phone_main = Some("09711581199".to_owned()));
    let first = made(org.tell("LogCallComplete", log(json!({"UserId": ravi}))));
    assert_eq!(org.account.activity(&first).map(|one| (one.lead.as_str(), one.event)), Some((lead.as_str(), 21)));
    let out = json!({"SourceNumber": "+91-9711581199", "DestinationNumber": "+91-9000000000",
        "Direction": "Outbound", "CallerSource": "Phone Call", "CallDuration": "7", "Status": "NotAnswered"});
    let second = made(org.tell("LogCallComplete", log(out)));
    let made_lead = &org.account.leads()[1];
    assert_eq!((made_lead.get("Phone"), made_lead.get("Source")), ("+91-9000000000", "Phone Call"));
    let activity = org.account.activity(&second).expect("it is there");
    assert_eq!((&activity.lead, activity.event, activity.duration_s), (&made_lead.id, 22, 7));
    let held = org.account.records();
    assert_eq!((held[0].agent.as_ref(), held[0].talk_seconds, held[0].public), (Some(&ravi), Some(62), false));
    assert!(held[0].text.contains("CallSessionId: 1a2b") && held[0].recording.is_none());
    assert_eq!(
        made(org.post("/v2/Telephony.svc/LogCall", log(json!({"LeadId": lead})))),
        org.account.activities()[2].id
    );
}

#[test]
fn a_log_is_refused_for_what_it_lacks_or_has_wrong() {
    let mut org = Org::new();
    org.lead("9876543210");
    let (missing, invalid) = ("MXMandatoryAttributeMissingException", "MXInvalidInputException");
    for field in
        ["SourceNumber", "DestinationNumber", "DisplayNumber", "StartTime", "EndTime", "Status", "CallSessionId"]
    {
        refused(org.tell("LogCallComplete", log(json!({field: ""}))), missing, field);
    }
    for (wrong, kind, about) in [
        (json!({"CallDuration": null}), missing, "CallDuration"),
        (json!({"CallDuration": "a minute"}), invalid, "CallDuration"),
        (json!({"Status": "Gone"}), invalid, "Status"),
        (json!({"Direction": "inwards"}), invalid, "Direction"),
        (json!({"StartTime": "2026-01-05T06:30:00Z"}), invalid, "StartTime"),
        (json!({"EndTime": "2026-01-05 06:29:59"}), invalid, "EndTime"),
        (json!({"ResourceURL": "not a link"}), invalid, "ResourceURL"),
        (json!({"CallerSource": "x".repeat(51)}), invalid, "CallerSource"),
        (json!({"CallNotes": "x".repeat(2001)}), invalid, "CallNotes"),
        (json!({"SourceNumber": "anonymous"}), invalid, "SourceNumber"),
        (json!({"LeadId": "nobody"}), "MXUnknownProspectException", "Lead"),
        (json!({"UserId": "nobody"}), "MXUnknownUserException", "User"),
    ] {
        refused(org.tell("LogCallComplete", log(wrong)), kind, about);
    }
    assert_eq!(org.tell("LogCallComplete", log(json!({"Colour": "red"}))).0, 400);
    assert_eq!(org.tell("LogCallComplete", json!([])).0, 400);
    let user = org.account.add_user("Ravi", "ravi@example.com");
    org.account.deactivate_user(&user);
    refused(org.tell("LogCallComplete", log(json!({"UserId": user}))), "MXUnknownUserException", "inactive");
    org.account.settings.makes_leads = false;
    let stranger = log(json!({"SourceNumber": "+91-9000000000"}));
    refused(org.tell("LogCallComplete", stranger), "MXUnknownProspectException", "number");
    assert!(org.account.activities().is_empty());
}

#[test]
fn the_same_log_twice_is_two_activities_unless_the_session_is_unique() {
    let mut org = Org::new();
    org.lead("9876543210");
    let first = made(org.tell("LogCallComplete", log(json!({}))));
    assert_ne!(made(org.tell("LogCallComplete", log(json!({})))), first);
    org.account.settings.unique_sessions = true;
    assert_eq!(made(org.tell("LogCallComplete", log(json!({})))), first);
    assert_eq!(org.account.activities().len(), 2);
}

#[test]
fn times_are_read_in_the_zone_of_the_organisation() {
    let mut org = Org::new();
    org.account.settings.call_times = Offset::from_seconds(19_800).unwrap();
    let id = made(
        org.tell("LogCallComplete", log(json!({"StartTime": "2026-01-05 12:00:00", "EndTime": "2026-01-05 12:01:02"}))),
    );
    let activity = org.account.activity(&id).expect("it is there");
    assert_eq!(activity.started_at.to_string(), "2026-01-05T06:30:00Z");
}

#[test]
fn a_log_is_answered_in_each_of_the_forms() {
    let mut org = Org::new();
    for form in [LogReply::Activity, LogReply::Other, LogReply::Bare, LogReply::Queued] {
        org.account.settings.log_reply = form;
        let (status, body) = org.tell("LogCallComplete", log(json!({})));
        let id = org.account.activities().last().expect("it is there").id.clone();
        assert_eq!(status, 200);
        match form {
            LogReply::Activity => assert_eq!(body["Message"]["Id"], json!(id)),
            LogReply::Other => assert!(body["Message"]["Id"].is_string() && body["Message"]["Id"] != json!(id)),
            LogReply::Bare => assert_eq!(body, json!({"Status": "Success"})),
            LogReply::Queued => assert!(body["RequestId"].is_string()),
        }
    }
}

#[test]
fn a_late_recording_or_duration_is_written_and_nothing_else() {
    let mut org = Org::new();
    org.lead("9876543210");
    let id = made(org.tell("LogCallComplete", log(json!({}))));
    let user = org.account.add_user("Ravi", "ravi@example.com");
    org.pass(60);
    let update = json!({"ActivityId": id, "RecordingURL": "https://r/1.mp3", "CallDuration": "65", "OwnerId": user});
    assert_eq!(made(org.post(UPDATE, update)), id);
    let activity = org.account.activity(&id).expect("it is there");
    assert_eq!(
        (activity.recording_url.as_str(), activity.duration_s, activity.user.as_ref()),
        ("https://r/1.mp3", 65, Some(&user))
    );
    assert_eq!((activity.created_on, activity.modified_on), (START, org.now));
    assert_eq!(org.account.records()[0].recording.as_deref(), Some("https://r/1.mp3"));
    for (wrong, kind, about) in [
        (json!({"RecordingURL": "https://r/1.mp3"}), "MXMandatoryAttributeMissingException", "ActivityId"),
        (json!({"ActivityId": id}), "MXMandatoryAttributeMissingException", "RecordingURL"),
        (json!({"ActivityId": id, "OwnerId": user}), "MXMandatoryAttributeMissingException", "CallDuration"),
        (json!({"ActivityId": id, "CallDuration": 65}), "MXInvalidInputException", "CallDuration"),
        (json!({"ActivityId": id, "RecordingURL": "r"}), "MXInvalidInputException", "RecordingURL"),
        (json!({"ActivityId": id, "CallDuration": "1", "OwnerId": "x"}), "MXUnknownUserException", "User"),
        (json!({"ActivityId": "x", "CallDuration": "1"}), "MXUnknownProspectActivityException", "Activity"),
    ] {
        refused(org.post(UPDATE, wrong), kind, about);
    }
    assert_eq!(org.post(UPDATE, json!({"ActivityId": id, "CallDuration": "1", "Status": "x"})).0, 400);
    org.account.delete_activity(&id);
    let gone = json!({"ActivityId": id, "CallDuration": "1"});
    refused(org.post(UPDATE, gone), "MXUnknownProspectActivityException", "Activity");
}

#[test]
fn a_popup_is_broadcast_to_the_user_it_names_or_whose_number_it_is() {
    let mut org = Org::new();
    let lead = org.lead("9876543210");
    let ravi = org.account.add_user("Ravi", "ravi@example.com");
    org.account.change_user(&ravi, |user| user.phone_mobile = Some("9711581199".to_owned()));
    made(org.tell("AgentPopup", popup(json!({}))));
    made(org.tell("AgentPopup", popup(json!({"UserId": ravi, "LeadId": lead, "Status": "Answered"}))));
    for shown in org.account.popups() {
        assert_eq!((shown.user.as_ref(), shown.lead.as_ref()), (Some(&ravi), Some(&lead)));
    }
    let keys = "/v2/Telephony.svc/ShowAgentPopup";
    made(org.post(keys, popup(json!({"UserId": ravi, "LeadId": lead}))));
    let missing = "MXMandatoryAttributeMissingException";
    refused(org.post(keys, popup(json!({"UserId": ravi}))), missing, "LeadId");
    refused(org.post(keys, popup(json!({"LeadId": lead}))), missing, "UserId");
    for field in ["SourceNumber", "DestinationNumber", "DisplayNumber", "Direction", "CallSessionId"] {
        refused(org.tell("AgentPopup", popup(json!({field: null}))), missing, field);
    }
    refused(org.tell("AgentPopup", popup(json!({"LeadId": "x"}))), "MXUnknownProspectException", "Lead");
    refused(org.tell("AgentPopup", popup(json!({"UserId": "x"}))), "MXUnknownUserException", "User");
    refused(org.tell("AgentPopup", popup(json!({"CallDuration": "x"}))), "MXInvalidInputException", "CallDuration");
    assert_eq!(org.tell("AgentPopup", popup(json!({"CallNotes": "x"}))).0, 400);
    assert_eq!(org.account.popups().len(), 3);
}
