//! What the integration's settings make of the records: names of fields, extra fields, what a missed call leaves to do.

use jiff::tz::Offset;
use patchbay_kit::{
    Defaults, FollowUpKind, Settings,
    defaults::{self, Fields, Table},
};

use crate::errors::On;

const CALL_SID_FIELD: &str = "Exotel_CallSid";
/// Fields that only the call itself can fill.
const CALL_RESERVED: &[&str] = &[
    "Subject",
    "Description",
    "Call_Type",
    "Call_Start_Time",
    "Call_Duration",
    "Voice_Recording__s",
    "Outgoing_Call_Status",
    "Outbound_Call_Status",
    "Who_Id",
    "What_Id",
    "$se_module",
    "Owner",
    "id",
];
/// Fields by which people are told apart. A constant in one of them would make all callers one.
const LEAD_RESERVED: &[&str] = &["Last_Name", "Phone", "Mobile", "Email", "id"];
const FOLLOW_UP_RESERVED: &[&str] = &[
    "Subject",
    "Event_Title",
    "Description",
    "Due_Date",
    "Start_DateTime",
    "End_DateTime",
    "Call_Type",
    "Call_Start_Time",
    "Who_Id",
    "What_Id",
    "$se_module",
    "id",
];

const CALLS: Table = Table { holds: "field names and values", ..Table::of_calls(CALL_RESERVED) };
const TABLES: &[Table] = &[
    CALLS,
    Table { key: On::Lead.table(), reserved: LEAD_RESERVED, ..CALLS },
    Table { key: On::Task.table(), reserved: FOLLOW_UP_RESERVED, ..CALLS },
    Table { key: On::Event.table(), reserved: FOLLOW_UP_RESERVED, ..CALLS },
    Table { key: On::PlannedCall.table(), reserved: FOLLOW_UP_RESERVED, ..CALLS },
];

/// One integration's choices.
#[derive(Clone, Debug)]
pub(crate) struct Custom {
    pub(crate) call_sid_field: String,
    pub(crate) phonebridge: bool,
    pub(crate) missed_follow_up: Option<FollowUpKind>,
    pub(crate) offset: Offset,
    defaults: Defaults,
}

impl Custom {
    pub(crate) fn of(settings: &Settings) -> Self {
        let call_sid_field = settings.text("call_sid_field").filter(|name| is_name(name)).unwrap_or(CALL_SID_FIELD);
        Self {
            call_sid_field: call_sid_field.to_owned(),
            phonebridge: settings.flag("phonebridge"),
            missed_follow_up: settings.text("missed_follow_up").map_or(Some(FollowUpKind::Task), follow_up),
            offset: settings.utc_offset,
            defaults: Defaults::of(settings, TABLES).without("", call_sid_field),
        }
    }

    /// A new record's fields: the integration's, and over them those that are given.
    pub(crate) fn filled(&self, on: On, given: Fields) -> Fields {
        self.defaults.under(on.table(), given)
    }
}

/// Those that Zoho CRM has.
fn follow_up(text: &str) -> Option<FollowUpKind> {
    FollowUpKind::parse(text).filter(|kind| *kind != FollowUpKind::Ticket)
}

/// An API name: it stands in queries, where nothing could escape it.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= 100
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What is wrong with the settings, one line for each: the key and what would be right.
pub(crate) fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    let field = settings.text("call_sid_field").unwrap_or(CALL_SID_FIELD);
    if !is_name(field) {
        problems.push("call_sid_field: must be the API name of a field: letters, digits and underscores".to_owned());
    } else if CALL_RESERVED.contains(&field) {
        problems.push(format!("call_sid_field: `{field}` is written with something else; make a field of its own"));
    }
    if settings.text("missed_follow_up").is_some_and(|text| text != "none" && follow_up(text).is_none()) {
        problems.push("missed_follow_up: must be task, call, event or none".to_owned());
    }
    if let Some(url) = settings.text("accounts_url")
        && url.split_once("://").is_none_or(|(_, rest)| rest.trim_end_matches('/').contains('/'))
    {
        problems.push("accounts_url: must be an address without a path, as https://accounts.zoho.in".to_owned());
    }
    problems.extend(defaults::problems(settings, TABLES));
    if settings.defaults.contains_key(field) {
        problems.push(format!("defaults.{field}: holds the CallSid and cannot be set"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settings(text: &[(&str, &str)], defaults: Value) -> Settings {
        let text = text.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Settings { text, defaults: defaults.as_object().cloned().unwrap_or_default(), ..Settings::default() }
    }

    #[test]
    fn defaults_fill_in_and_never_replace_what_the_call_says() {
        let custom = Custom::of(&settings(
            &[],
            json!({"Call_Purpose": "Support", "Subject": "x", "Exotel_CallSid": "x",
                   "lead": {"Company": "Unknown", "Phone": "1"}}),
        ));
        let given = |key: &str, value: &str| Fields::from_iter([(key.to_owned(), json!(value))]);
        let call = Value::Object(custom.filled(On::Call, given("Subject", "Incoming")));
        assert_eq!(call, json!({"Call_Purpose": "Support", "Subject": "Incoming"}));
        let lead = Value::Object(custom.filled(On::Lead, given("Last_Name", "A")));
        assert_eq!(lead, json!({"Company": "Unknown", "Last_Name": "A"}));
        assert_eq!(custom.filled(On::Task, Fields::new()), Fields::new());
    }

    #[test]
    fn every_problem_is_told_with_its_key() {
        let text = [
            ("call_sid_field", "Call Sid'"),
            ("missed_follow_up", "ticket"),
            ("accounts_url", "https://accounts.zoho.in/oauth/v2"),
        ];
        let told = problems(&settings(&text, json!({"Owner": "1", "task": 1, "lead": {"Phone": "1"}})));
        for key in [
            "call_sid_field",
            "missed_follow_up",
            "accounts_url",
            "defaults.Owner",
            "defaults.task",
            "defaults.lead.Phone",
        ] {
            assert!(told.iter().any(|line| line.starts_with(&format!("{key}:"))), "{key}: {told:?}");
        }
        assert_eq!(told.len(), 6, "{told:?}");
        let fine =
            [("call_sid_field", "CallSid__c"), ("accounts_url", "http://127.0.0.1:9/"), ("missed_follow_up", "none")];
        assert_eq!(problems(&settings(&fine, json!({"Call_Purpose": "x", "lead": {}}))), [""; 0]);
        assert!(problems(&settings(&[("call_sid_field", "Subject")], json!({})))[0].starts_with("call_sid_field:"));
    }
}
