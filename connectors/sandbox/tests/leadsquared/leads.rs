//! Leads: how they are found and made, and what is refused.

use patchbay_sandbox::leadsquared::PhoneSearch;

use super::*;

const CREATE: &str = "/v2/LeadManagement.svc/Lead.Create";
const UPSERT: &str = "/v2/LeadManagement.svc/Lead.CreateOrUpdate?postUpdatedLead=false";
const LOOKUP: &str = "/v2/LeadManagement.svc/Leads.Get";

fn by_phone(query: &str) -> String {
    format!("/v2/LeadManagement.svc/RetrieveLeadByPhoneNumber?phone={query}")
}

fn lead(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(name, value)| json!({"Attribute": name, "Value": value})).collect()
}

#[test]
fn a_lead_is_found_at_once_by_its_number_with_or_without_the_country_code() {
    let mut org = Org::new();
    let made = made(org.post(CREATE, lead(&[("FirstName", "Asha"), ("Phone", "+91-9876543210")])));
    for query in ["9876543210", "919876543210", "%2B919876543210", "%2B91-9876543210"] {
        let (_, found) = org.get(&by_phone(query));
        assert_eq!(found[0]["ProspectID"], json!(made), "{query}");
        assert_eq!((&found[0]["FirstName"], &found[0]["Mobile"]), (&json!("Asha"), &Value::Null));
        assert_eq!(found[0]["OwnerIdEmailAddress"], "owner@example.com");
    }
    for query in ["+919876543210", "98765%2043210", "987654321"] {
        assert_eq!(org.get(&by_phone(query)).1, json!([]), "{query}: an unencoded plus is a space");
    }
    org.account.settings.phone_search = PhoneSearch::Exact;
    assert_eq!(org.get(&by_phone("9876543210")).1, json!([]));
    assert_eq!(org.get(&by_phone("%2B91-9876543210")).1[0]["ProspectID"], json!(made));
    refused(org.get(&by_phone("")), "MXMandatoryAttributeMissingException", "phone");
}

#[test]
fn of_several_the_one_with_the_latest_activity_is_found_also_by_mobile() {
    let mut org = Org::new();
    let old = org.lead("9876543210");
    org.pass(10);
    let new = org.account.add_lead_with(|lead| {
        lead.set("Mobile", "+91-9876543210");
        lead.last_activity = START + SignedDuration::from_secs(10);
    });
    assert_eq!(org.get(&by_phone("9876543210")).1[0]["ProspectID"], json!(new));
    org.account.change_lead(&old, org.now, |lead| lead.last_activity = START + SignedDuration::from_secs(20));
    assert_eq!(org.get(&by_phone("9876543210")).1[0]["ProspectID"], json!(old));
    assert_eq!(org.account.contacts()[1].numbers, ["+91-9876543210"]);
    org.account.delete_lead(&old);
    assert_eq!(org.get(&by_phone("9876543210")).1[0]["ProspectID"], json!(new));
}

#[test]
fn a_lead_is_refused_for_what_it_lacks_or_has_wrong() {
    let mut org = Org::new();
    for (pairs, kind, about) in [
        (vec![("Company", "Acme")], "MXMandatoryAttributeMissingException", "FirstName"),
        (vec![("FirstName", "A"), ("Phone", "call me")], "MXInvalidInputException", "Phone"),
        (vec![("FirstName", "A"), ("Phone", "+91 98765 43210")], "MXInvalidInputException", "Phone"),
        (vec![("FirstName", "A"), ("mx_None", "1")], "MXUnknownAttributeException", "mx_None"),
        (vec![("FirstName", "A"), ("SearchBy", "Phone")], "MXUnknownAttributeException", "SearchBy"),
        (vec![("FirstName", "A"), ("FirstName", "B")], "MXInvalidInputException", "FirstName"),
        (vec![("FirstName", "A"), ("OwnerId", "nobody")], "MXUnknownUserException", "User"),
    ] {
        let answer = org.post(CREATE, lead(&pairs));
        assert_eq!(answer.0, 500, "{pairs:?}");
        refused(answer, kind, about);
    }
    assert_eq!(org.post(CREATE, json!({"FirstName": "A"})).0, 400);
    org.content_type = "text/plain";
    assert_eq!(org.post(CREATE, lead(&[("FirstName", "A")])).0, 400);
    org.content_type = "application/json";
    assert_eq!(parsed(org.raw(Method::POST, CREATE, "{")).0, 400);
    org.account.require_field("mx_City");
    let bare = lead(&[("FirstName", "A"), ("Phone", "9876543210")]);
    for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_REQUEST, StatusCode::OK] {
        org.account.settings.error_status = status;
        let answer = org.post(CREATE, bare.clone());
        assert_eq!(answer.0, status.as_u16());
        refused(answer, "MXMandatoryAttributeMissingException", "mx_City");
    }
    assert!(org.account.leads().is_empty());
    org.account.define_field("mx_Other");
    let full = [("FirstName", "A"), ("Phone", "9876543210"), ("mx_City", "Pune"), ("mx_Other", "x")];
    made(org.post(CREATE, lead(&full)));
    assert_eq!(org.account.leads()[0].get("mx_City"), "Pune");
}

#[test]
fn a_number_and_an_address_are_unique() {
    let mut org = Org::new();
    let first = [("FirstName", "A"), ("Phone", "+91-9876543210"), ("EmailAddress", "a@example.com")];
    made(org.post(CREATE, lead(&first)));
    let duplicate = "MXDuplicateEntryException";
    refused(org.post(CREATE, lead(&[("Phone", "9876543210")])), duplicate, "Phone Number already exists");
    refused(org.post(CREATE, lead(&[("EmailAddress", "A@example.com")])), duplicate, "Email");
    org.account.settings.unique_phone = false;
    made(org.post(CREATE, lead(&[("Phone", "9876543210")])));
}

#[test]
fn an_upsert_goes_by_the_field_it_names() {
    let mut org = Org::new();
    let body = lead(&[("Phone", "+91-9876543210"), ("Source", "Phone Call"), ("SearchBy", "Phone")]);
    let first = made(org.post(UPSERT, body.clone()));
    assert_eq!(made(org.post(UPSERT, body)), first);
    let other = lead(&[("Phone", "9876543210"), ("FirstName", "Asha"), ("SearchBy", "Phone")]);
    assert_eq!(made(org.post(UPSERT, other)), first, "it overwrites what it is given");
    assert_eq!((org.account.leads().len(), org.account.leads()[0].get("FirstName")), (1, "Asha"));
    let wrong = lead(&[("Phone", "9876543210"), ("SearchBy", "ProspectID")]);
    refused(org.post(UPSERT, wrong), "MXInvalidInputException", "SearchBy");
    let without = lead(&[("FirstName", "B"), ("SearchBy", "Phone")]);
    refused(org.post(UPSERT, without), "MXMandatoryAttributeMissingException", "Phone");
}

#[test]
fn leads_are_looked_up_by_a_field() {
    let mut org = Org::new();
    org.account.settings.list_lag = std::time::Duration::from_secs(60);
    let id = made(org.post(CREATE, lead(&[("FirstName", "Unknown caller"), ("SourceContent", "exotel:unknown")])));
    let ask = |name: &str, value: &str| {
        json!({"Parameter": {"LookupName": name, "LookupValue": value, "SqlOperator": "="},
            "Columns": {"Include_CSV": "ProspectID,FirstName"}, "Paging": {"PageIndex": 1, "PageSize": 10}})
    };
    assert_eq!(org.post(LOOKUP, ask("SourceContent", "exotel:unknown")).1, json!([]), "behind its writes");
    org.pass(60);
    let found = json!([{"ProspectID": id, "FirstName": "Unknown caller"}]);
    assert_eq!(org.post(LOOKUP, ask("SourceContent", "exotel:unknown")).1, found);
    assert_eq!(org.post(LOOKUP, ask("SourceContent", "other")).1, json!([]));
    refused(org.post(LOOKUP, ask("mx_None", "x")), "MXUnknownAttributeException", "mx_None");
    refused(org.post(LOOKUP, ask("SourceContent", "")), "MXMandatoryAttributeMissingException", "LookupValue");
    refused(org.post(LOOKUP, json!({})), "MXMandatoryAttributeMissingException", "Parameter");
    let like = over(
        ask("FirstName", "x"),
        json!({"Parameter": {"LookupName": "FirstName", "LookupValue": "x", "SqlOperator": "LIKE"}}),
    );
    refused(org.post(LOOKUP, like), "MXInvalidInputException", "SqlOperator");
    let huge = over(ask("FirstName", "x"), json!({"Paging": {"PageIndex": 1, "PageSize": 5001}}));
    refused(org.post(LOOKUP, huge), "MXInvalidInputException", "Paging");
}
