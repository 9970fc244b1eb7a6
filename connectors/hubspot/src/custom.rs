//! What one customer's HubSpot differs in: the integration's `defaults`, outcomes, and what a missed call leads to.

use patchbay_kit::{
    Defaults, FollowUpKind, Outcome, Settings,
    defaults::{self, Table},
};
use serde_json::Value;

use crate::{CALLER_PROPERTY, batch::Values};

/// Properties of a call that only the call itself can fill.
const CALL_RESERVED: &[&str] = &[
    "hs_timestamp",
    "hs_call_title",
    "hs_call_body",
    "hs_call_direction",
    "hs_call_disposition",
    "hs_call_duration",
    "hs_call_external_account_id",
    "hs_call_external_id",
    "hs_call_from_number",
    "hs_call_recording_url",
    "hs_call_source",
    "hs_call_status",
    "hs_call_to_number",
    "hubspot_owner_id",
];
/// Properties by which contacts are told apart. A constant in one of them would make all callers one contact.
const CONTACT_RESERVED: &[&str] = &["email", "firstname", "phone", CALLER_PROPERTY];
const TASK_RESERVED: &[&str] = &["hs_timestamp", "hs_task_subject", "hs_task_body", "hubspot_owner_id"];
const TICKET_RESERVED: &[&str] = &["subject", "content", "hubspot_owner_id"];

/// The table with an outcome's disposition.
const DISPOSITIONS: &str = "dispositions";
/// HubSpot takes a text for a value, whatever it is.
const PROPERTIES: Table =
    Table { holds: "properties and values", because: "comes from the call", ..Table::of_calls(CALL_RESERVED).scalar() };
const TABLES: &[Table] = &[
    PROPERTIES,
    Table { key: "contact", reserved: CONTACT_RESERVED, ..PROPERTIES },
    Table { key: "task", reserved: TASK_RESERVED, ..PROPERTIES },
    Table { key: "ticket", reserved: TICKET_RESERVED, ..PROPERTIES },
    Table { key: DISPOSITIONS, holds: "outcomes and disposition ids", reserved: &[], scalar: false, ..PROPERTIES },
];
const OUTCOMES: [Outcome; 4] = [Outcome::Answered, Outcome::Voicemail, Outcome::Missed, Outcome::FlowEnded];

/// The extra properties, without what must not be in them.
#[derive(Debug)]
pub(crate) struct Custom {
    defaults: Defaults,
}

impl Custom {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self { defaults: Defaults::of(settings, TABLES) }
    }

    fn values(&self, table: &str) -> Values {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.defaults.fields(table).map(|(key, value)| (key.clone(), Value::from(text(value)))).collect()
    }

    pub(crate) fn call(&self) -> Values {
        self.values("")
    }

    /// With an app's number on the call, HubSpot asks that app for the recording.
    pub(crate) fn fetches_recordings(&self) -> bool {
        self.defaults.get("", "hs_call_app_id").is_some()
    }

    pub(crate) fn contact(&self) -> Values {
        self.values("contact")
    }

    pub(crate) fn task(&self) -> Values {
        self.values("task")
    }

    pub(crate) fn ticket(&self) -> Values {
        self.values("ticket")
    }

    /// The outcome as agents choose it: the integration's own, else one of those every account begins with
    /// (segment's and others' code agree on the ids \[C\]). An empty one is none.
    pub(crate) fn disposition(&self, outcome: Outcome) -> Option<&str> {
        let usual = match outcome {
            // Connected
            Outcome::Answered => "f240bbac-87c9-4f6e-bf70-924b57d47db7",
            // Left voicemail
            Outcome::Voicemail => "b2cf5968-551e-4856-9783-52b3da59a7d0",
            // No answer
            Outcome::Missed => "73a0d17f-1163-4015-bdd5-ec830791da20",
            // The caller spoke with nobody and wanted nobody: no outcome says so.
            Outcome::FlowEnded => "",
        };
        let own = self.defaults.get(DISPOSITIONS, outcome.as_str()).and_then(Value::as_str);
        Some(own.unwrap_or(usual)).filter(|id| !id.is_empty())
    }
}

/// What a missed call leads to; an error is a text that is none of the words.
pub(crate) fn missed(settings: &Settings) -> Result<Option<FollowUpKind>, ()> {
    match settings.text("missed_follow_up") {
        None | Some("task") => Ok(Some(FollowUpKind::Task)),
        Some("ticket") => Ok(Some(FollowUpKind::Ticket)),
        Some("none") => Ok(None),
        Some(_) => Err(()),
    }
}

/// What is wrong with the settings, one line for each.
pub(crate) fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    let app = ["client_id", "client_secret", "refresh_token"].map(|key| (key, settings.has(key)));
    if settings.has("access_token") {
        for (key, _) in app.iter().filter(|(_, given)| *given) {
            problems.push(format!("{key}: belongs to an app with OAuth; leave it out, or leave out access_token"));
        }
    } else if app.iter().all(|(_, given)| !given) {
        problems.push(
            "access_token: set it (a private app), or client_id, client_secret and refresh_token (OAuth)".to_owned(),
        );
    } else {
        // Without a refresh token the app is not connected yet; `patchbay connect` does that.
        for (key, _) in app.iter().filter(|(key, given)| !given && *key != "refresh_token") {
            problems.push(format!("{key}: must be set too, or access_token instead"));
        }
    }
    if missed(settings).is_err() {
        problems.push("missed_follow_up: must be task, ticket or none".to_owned());
    }
    let snake = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if settings.text("call_sid_property").is_some_and(|name| !snake(name) || name.starts_with("hs_")) {
        problems
            .push("call_sid_property: must be the internal name of a property of your own: exotel_call_sid".to_owned());
    }
    problems.extend(defaults::problems(settings, TABLES));
    if let Some(Value::Object(ticket)) = settings.defaults.get("ticket")
        && ticket.contains_key("hs_pipeline") != ticket.contains_key("hs_pipeline_stage")
    {
        problems.push("defaults.ticket: hs_pipeline and hs_pipeline_stage go together".to_owned());
    }
    if let Some(Value::Object(dispositions)) = settings.defaults.get(DISPOSITIONS) {
        for (key, value) in dispositions {
            if !OUTCOMES.iter().any(|outcome| outcome.as_str() == key) {
                problems
                    .push(format!("defaults.dispositions.{key}: is none of answered, voicemail, missed, flow_ended"));
            } else if !value.is_string() {
                problems
                    .push(format!("defaults.dispositions.{key}: must be the id of a disposition, or empty for none"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(secrets: &[&str], texts: &[(&str, &str)], defaults: Value) -> Settings {
        let Value::Object(defaults) = defaults else { panic!("not a table") };
        Settings {
            secrets: secrets.iter().map(|key| (*key).to_owned()).collect(),
            text: texts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            defaults,
            ..Settings::default()
        }
    }

    #[test]
    fn every_problem_is_told_with_its_key() {
        for (secrets, texts, defaults, keys) in [
            (&["access_token"][..], &[][..], json!({}), &[][..]),
            (&["client_secret", "refresh_token"], &[("client_id", "1")], json!({}), &[]),
            (&["client_secret"], &[("client_id", "1")], json!({}), &[]),
            (&[], &[], json!({}), &["access_token"]),
            (&["refresh_token"], &[], json!({}), &["client_id", "client_secret"]),
            (&["access_token", "refresh_token"], &[], json!({}), &["refresh_token"]),
            (&["access_token"], &[("missed_follow_up", "call")], json!({}), &["missed_follow_up"]),
            (&["access_token"], &[("call_sid_property", "Call SID")], json!({}), &["call_sid_property"]),
            (&["access_token"], &[("call_sid_property", "hs_call_title")], json!({}), &["call_sid_property"]),
            (&["access_token"], &[], json!({"hs_call_body": "x", "a": []}), &["defaults.a", "defaults.hs_call_body"]),
            (&["access_token"], &[], json!({"contact": {"phone": "1"}}), &["defaults.contact.phone"]),
            (
                &["access_token"],
                &[],
                json!({"contact": 1, "task": {"x": null}}),
                &["defaults.contact", "defaults.task.x"],
            ),
            (&["access_token"], &[], json!({"ticket": {"hs_pipeline": "1"}}), &["defaults.ticket"]),
            (
                &["access_token"],
                &[],
                json!({"dispositions": {"lost": "x", "missed": 1}}),
                &["defaults.dispositions.lost", "defaults.dispositions.missed"],
            ),
            (&["access_token"], &[], json!({"dispositions": "x"}), &["defaults.dispositions"]),
        ] {
            let told = problems(&settings(secrets, texts, defaults));
            let named: Vec<&str> = told.iter().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
            assert_eq!(named, keys, "{told:?}");
        }
    }

    #[test]
    fn defaults_are_texts_and_never_replace_what_the_call_says() {
        let custom = Custom::of(&settings(
            &[],
            &[],
            json!({"hs_call_app_id": 12, "hs_call_title": "x", "vip": true, "contact": {"email": "a@b.c", "company": "A"},
                "dispositions": {"answered": "", "missed": "own"}}),
        ));
        assert_eq!(Value::Object(custom.call()), json!({"hs_call_app_id": "12", "vip": "true"}));
        assert_eq!(Value::Object(custom.contact()), json!({"company": "A"}));
        assert_eq!(custom.disposition(Outcome::Answered), None);
        assert_eq!(custom.disposition(Outcome::Missed), Some("own"));
        assert_eq!(custom.disposition(Outcome::Voicemail), Some("b2cf5968-551e-4856-9783-52b3da59a7d0"));
    }
}
