//! Properties: what each kind of object has, and which values each takes (`crm-api.md` §7.d, the calls guide).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    HubSpot,
    model::Kind,
    refusal::{Detail, Refusal},
};

/// What a property's value must be. On the wire all are texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    /// Characters at most.
    Html(usize),
    Number,
    /// Milliseconds since 1970 or ISO 8601.
    Time,
    OneOf(&'static [&'static str]),
    Owner,
    Disposition,
    Pipeline,
    Stage,
    Recording,
    ReadOnly,
}

#[derive(Clone, Debug)]
pub(super) struct Property {
    pub(super) kind: Type,
    pub(super) unique: bool,
    pub(super) required: bool,
}

const TEXT_CHARS_MAX: usize = 65_536;
const CALL_STATUS: &[&str] = &[
    "BUSY",
    "CALLING_CRM_USER",
    "CANCELED",
    "COMPLETED",
    "CONNECTING",
    "FAILED",
    "IN_PROGRESS",
    "MISSED",
    "NO_ANSWER",
    "QUEUED",
    "RINGING",
];

pub(super) fn standard(kind: Kind) -> BTreeMap<String, Property> {
    let own: Vec<(&str, Type)> = match kind {
        Kind::Contacts => vec![
            ("firstname", Type::Text),
            ("lastname", Type::Text),
            ("email", Type::Text),
            ("phone", Type::Text),
            ("mobilephone", Type::Text),
            ("company", Type::Text),
            ("lifecyclestage", Type::OneOf(&["subscriber", "lead", "customer", "other"])),
            ("hs_calculated_phone_number", Type::ReadOnly),
            ("hs_calculated_mobile_number", Type::ReadOnly),
            ("hs_searchable_calculated_phone_number", Type::ReadOnly),
            ("hs_searchable_calculated_mobile_number", Type::ReadOnly),
            ("lastmodifieddate", Type::ReadOnly),
            ("createdate", Type::ReadOnly),
        ],
        Kind::Calls => vec![
            ("hs_timestamp", Type::Time),
            ("hs_call_title", Type::Text),
            ("hs_call_body", Type::Html(TEXT_CHARS_MAX)),
            ("hs_call_direction", Type::OneOf(&["INBOUND", "OUTBOUND"])),
            ("hs_call_status", Type::OneOf(CALL_STATUS)),
            ("hs_call_duration", Type::Number),
            ("hs_call_from_number", Type::Text),
            ("hs_call_to_number", Type::Text),
            ("hs_call_disposition", Type::Disposition),
            ("hs_call_recording_url", Type::Recording),
            (
                "hs_call_source",
                Type::OneOf(&["INTEGRATIONS_PLATFORM", "MOBILE", "DESKTOP", "THIRD_PARTY", "ENGAGEMENTS"]),
            ),
            ("hs_call_app_id", Type::Number),
            ("hs_call_external_id", Type::Text),
            ("hs_call_external_account_id", Type::Text),
            ("hs_call_callee_object_id", Type::Number),
            ("hs_call_callee_object_type", Type::OneOf(&["CONTACT", "COMPANY"])),
            ("hs_activity_type", Type::Text),
        ],
        Kind::Tickets => vec![
            ("subject", Type::Text),
            ("content", Type::Html(TEXT_CHARS_MAX)),
            ("hs_pipeline", Type::Pipeline),
            ("hs_pipeline_stage", Type::Stage),
            ("hs_ticket_priority", Type::OneOf(&["LOW", "MEDIUM", "HIGH", "URGENT"])),
            ("source_type", Type::OneOf(&["CHAT", "EMAIL", "FORM", "PHONE"])),
            ("closed_date", Type::ReadOnly),
            ("createdate", Type::ReadOnly),
        ],
        Kind::Tasks => vec![
            ("hs_timestamp", Type::Time),
            ("hs_task_subject", Type::Text),
            ("hs_task_body", Type::Html(TEXT_CHARS_MAX)),
            ("hs_task_status", Type::OneOf(&["NOT_STARTED", "IN_PROGRESS", "WAITING", "COMPLETED", "DEFERRED"])),
            ("hs_task_priority", Type::OneOf(&["NONE", "LOW", "MEDIUM", "HIGH"])),
            ("hs_task_type", Type::OneOf(&["CALL", "EMAIL", "TODO"])),
        ],
    };
    let all = [("hubspot_owner_id", Type::Owner), ("hs_object_id", Type::ReadOnly)];
    let required: &[&str] = match kind {
        Kind::Contacts => &[],
        Kind::Calls | Kind::Tasks => &["hs_timestamp"],
        Kind::Tickets => &["subject", "hs_pipeline_stage"],
    };
    own.into_iter()
        .chain(all)
        .map(|(name, of)| {
            let (unique, required) = (name == "email", required.contains(&name));
            (name.to_owned(), Property { kind: of, unique, required })
        })
        .collect()
}

impl HubSpot {
    /// The names of a kind's unique properties.
    pub(super) fn unique(&self, kind: Kind) -> Vec<String> {
        let schema = self.schema.get(&kind).into_iter().flatten();
        schema.filter(|(_, property)| property.unique).map(|(name, _)| name.clone()).collect()
    }

    /// Refuses what the kind's properties do not take; `creating` asks for the required ones too.
    pub(super) fn check(
        &self,
        kind: Kind,
        values: &BTreeMap<String, String>,
        itself: Option<&str>,
        creating: bool,
    ) -> Result<(), Refusal> {
        let Some(schema) = self.schema.get(&kind) else { return Err(Refusal::invalid("Unable to infer object type")) };
        let mut errors = Vec::new();
        for (name, value) in values {
            let mut wrong = |code: &'static str, message: String| {
                errors.push(Detail { message, code, property: Some(name.clone()) });
            };
            match schema.get(name) {
                None => wrong("PROPERTY_DOESNT_EXIST", format!("Property \"{name}\" does not exist")),
                Some(property) => {
                    if let Some((code, message)) = self.value_error(&property.kind, name, value) {
                        wrong(code, message);
                    }
                }
            }
        }
        if !errors.is_empty() {
            return Err(Refusal::properties(errors));
        }
        for (name, property) in schema {
            let Some(value) = values.get(name).filter(|value| property.unique && !value.is_empty()) else { continue };
            let holder = self.shelf(kind).holder(name, value).filter(|holder| Some(holder.id.as_str()) != itself);
            let holder = holder.filter(|holder| !holder.archived || self.settings.archived_keep_values);
            if let Some(holder) = holder {
                let email = kind == Kind::Contacts && name == "email";
                return Err(if email {
                    Refusal::contact_exists(&holder.id)
                } else {
                    Refusal::conflict(name, &holder.id)
                });
            }
        }
        let lacks = |name: &str| values.get(name).is_none_or(String::is_empty);
        let missing: Vec<&str> = schema
            .iter()
            .filter(|(name, property)| creating && property.required && lacks(name))
            .map(|(name, _)| name.as_str())
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(Refusal::required(kind.name(), &missing)) }
    }

    fn value_error(&self, of: &Type, name: &str, value: &str) -> Option<(&'static str, String)> {
        if value.is_empty() && *of != Type::ReadOnly {
            return None;
        }
        let chars = value.chars().count();
        match of {
            Type::Text if chars > TEXT_CHARS_MAX => Some(("PROPERTY_VALUE_TOO_LONG", format!("{name} is too long"))),
            Type::Html(most) if chars > *most => Some(("PROPERTY_VALUE_TOO_LONG", format!("{name} is too long"))),
            Type::Number if value.parse::<f64>().is_err() => {
                Some(("INVALID_LONG", format!("{value} was not a valid long.")))
            }
            Type::Time if value.parse::<i64>().is_err() && value.parse::<Timestamp>().is_err() => {
                Some(("INVALID_LONG", format!("{value} was not a valid long.")))
            }
            Type::OneOf(allowed) if !allowed.contains(&value) => Some((
                "INVALID_OPTION",
                format!("{value} was not one of the allowed options: [{}]", allowed.join(", ")),
            )),
            Type::Disposition if !self.settings.dispositions.contains_key(value) => {
                Some(("INVALID_OPTION", format!("{value} was not one of the allowed options")))
            }
            Type::Pipeline if value != "0" => Some(("INVALID_PIPELINE", format!("Pipeline {value} does not exist"))),
            Type::Stage if !["1", "2", "3", "4"].contains(&value) => {
                Some(("INVALID_PIPELINE_STAGE", format!("Stage {value} does not exist")))
            }
            Type::Owner if !self.owners.iter().any(|owner| owner.id == value && !owner.archived) => {
                Some(("INVALID_OWNER_ID", format!("Owner {value} does not exist")))
            }
            Type::Recording if !is_recording(value) => {
                Some(("INVALID_URL", format!("{name} must be an HTTPS link to a file that ends in .mp3 or .wav")))
            }
            Type::ReadOnly => Some(("READ_ONLY_VALUE", format!("\"{name}\" is a read only property"))),
            _ => None,
        }
    }
}

/// HTTPS, and the path, not the query, ends in `.mp3` or `.wav` (§7.d).
fn is_recording(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else { return false };
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    path.contains('/') && [".mp3", ".wav"].iter().any(|end| path.ends_with(end))
}

/// The digits without the country code, as HubSpot's calculated properties hold them; nothing for what is no number.
pub(super) fn national(number: &str) -> Option<String> {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let foreign = number.chars().any(|c| !(c.is_ascii_digit() || " +-().\u{a0}".contains(c)));
    let international = number.trim_start().starts_with('+') || digits.len() == 12;
    let rest = if international {
        ["91", "44", "1"].iter().find_map(|code| digits.strip_prefix(code)).unwrap_or(&digits)
    } else {
        digits.trim_start_matches('0')
    };
    (!foreign && (7..=12).contains(&rest.len())).then(|| rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_writing_has_the_same_national_digits() {
        for written in ["+919876543210", "919876543210", "9876543210", "09876543210", "+91-98765 43210"] {
            assert_eq!(national(written).as_deref(), Some("9876543210"), "{written}");
        }
        for other in ["", "sip:a@b", "12", "Asha"] {
            assert_eq!(national(other), None, "{other}");
        }
    }

    #[test]
    fn a_recording_is_https_and_its_path_ends_in_a_sound() {
        assert!(is_recording("https://calls.example.com/r/1.mp3?sig=x"));
        for bad in ["http://a/1.mp3", "https://a/1?x=.mp3", "https://a/1", "https://a/1.mp4", "https://.mp3"] {
            assert!(!is_recording(bad), "{bad}");
        }
    }
}
