//! The modules of an organisation and the fields they have: what may be written, and in which form.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::refusal::Refusal;

/// What a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One line, so many characters.
    Text(usize),
    /// Several lines, so many characters; it cannot stand in criteria.
    Area(usize),
    Phone,
    Email,
    Url,
    Pick(&'static [&'static str]),
    DateTime,
    Date,
    /// `mm:ss`.
    Length,
    /// A record of this module.
    Lookup(&'static str),
    /// A record of the module that `$se_module` names.
    Parent,
    User,
    /// Shown, never written: what is sent for it is ignored.
    Computed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) mandatory: bool,
    pub(super) unique: bool,
}

impl Field {
    pub(super) fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind, mandatory: false, unique: false }
    }

    /// The type as `GET /settings/fields` calls it.
    pub(super) fn data_type(&self) -> &'static str {
        match self.kind {
            Kind::Text(_) | Kind::Computed => "text",
            Kind::Area(_) => "textarea",
            Kind::Phone => "phone",
            Kind::Email => "email",
            Kind::Url => "website",
            Kind::Pick(_) | Kind::Length => "picklist",
            Kind::DateTime => "datetime",
            Kind::Date => "date",
            Kind::Lookup(_) | Kind::Parent => "lookup",
            Kind::User => "ownerlookup",
        }
    }
}

/// The fields every organisation has, as far as they are played here ("Insert Records", v8, and Kaizen 38).
pub(super) fn fields_of(module: &str, outgoing_status: &'static str) -> Vec<Field> {
    const CALL_TYPES: &[&str] = &["Inbound", "Outbound", "Missed"];
    let required = |name, kind| Field { mandatory: true, ..Field::new(name, kind) };
    let mut fields = vec![
        Field::new("id", Kind::Computed),
        Field::new("Created_Time", Kind::Computed),
        Field::new("Modified_Time", Kind::Computed),
        Field::new("Owner", Kind::User),
        Field::new("Description", Kind::Area(32_000)),
    ];
    fields.extend(match module {
        "Leads" => vec![
            required("Last_Name", Kind::Text(80)),
            Field::new("First_Name", Kind::Text(40)),
            Field::new("Full_Name", Kind::Computed),
            Field::new("Company", Kind::Text(200)),
            Field::new("Phone", Kind::Phone),
            Field::new("Mobile", Kind::Phone),
            Field::new("Email", Kind::Email),
            Field::new("Lead_Source", Kind::Text(120)),
        ],
        "Contacts" => vec![
            required("Last_Name", Kind::Text(80)),
            Field::new("First_Name", Kind::Text(40)),
            Field::new("Full_Name", Kind::Computed),
            Field::new("Phone", Kind::Phone),
            Field::new("Mobile", Kind::Phone),
            Field::new("Home_Phone", Kind::Phone),
            Field::new("Other_Phone", Kind::Phone),
            Field::new("Email", Kind::Email),
            Field::new("Account_Name", Kind::Lookup("Accounts")),
            Field::new("Lead_Source", Kind::Text(120)),
        ],
        "Accounts" => vec![required("Account_Name", Kind::Text(200)), Field::new("Phone", Kind::Phone)],
        "Calls" => vec![
            Field::new("Subject", Kind::Text(255)),
            required("Call_Type", Kind::Pick(CALL_TYPES)),
            required("Call_Start_Time", Kind::DateTime),
            Field::new("Call_Duration", Kind::Length),
            Field::new("Call_Duration_in_seconds", Kind::Computed),
            Field::new("CTI_Entry", Kind::Computed),
            Field::new(outgoing_status, Kind::Pick(&["Completed", "Scheduled", "Overdue", "Cancelled"])),
            Field::new("Call_Purpose", Kind::Text(120)),
            Field::new("Call_Result", Kind::Text(120)),
            Field::new("Caller_ID", Kind::Text(50)),
            Field::new("Dialled_Number", Kind::Text(50)),
            Field::new("Voice_Recording__s", Kind::Url),
            Field::new("Who_Id", Kind::Lookup("Contacts")),
            Field::new("What_Id", Kind::Parent),
        ],
        "Tasks" => vec![
            required("Subject", Kind::Text(255)),
            Field::new("Due_Date", Kind::Date),
            Field::new("Status", Kind::Text(120)),
            Field::new("Priority", Kind::Text(120)),
            Field::new("Who_Id", Kind::Lookup("Contacts")),
            Field::new("What_Id", Kind::Parent),
        ],
        _ => vec![
            required("Event_Title", Kind::Text(255)),
            required("Start_DateTime", Kind::DateTime),
            required("End_DateTime", Kind::DateTime),
            Field::new("Who_Id", Kind::Lookup("Contacts")),
            Field::new("What_Id", Kind::Parent),
        ],
    });
    fields
}

/// What a value refers to, for the check that it is there.
pub(super) enum Refers<'a> {
    User(u64),
    Record(&'a str, u64),
}

/// Reads one value of a record, or says what is wrong with it. `there` knows which users and records exist.
pub(super) fn read(
    field: &Field,
    given: &Value,
    all: &Map<String, Value>,
    there: &dyn Fn(Refers<'_>) -> bool,
) -> Result<Value, Refusal> {
    if given.is_null() {
        return if field.mandatory { Err(Refusal::missing(&field.name)) } else { Ok(Value::Null) };
    }
    let name = field.name.as_str();
    let wrong = |expected: &str| Err(Refusal::invalid(name, expected));
    let text = given.as_str();
    let short = |text: &str, most: usize| text.chars().count() <= most;
    match field.kind {
        Kind::Computed => Ok(Value::Null),
        Kind::Text(most) | Kind::Area(most) => match text {
            // An empty text is no value.
            Some("") if field.mandatory => Err(Refusal::missing(name)),
            Some(text) if short(text, most) => Ok(json!(text)),
            Some(_) => {
                let details = json!({"maximum_length": most, "api_name": name});
                Err(Refusal { details, ..Refusal::bad("INVALID_DATA", "invalid data") })
            }
            None => wrong("text"),
        },
        Kind::Phone => match text {
            Some(text) if short(text, 30) => Ok(json!(text)),
            _ => wrong("phone"),
        },
        Kind::Email => match text {
            Some(text) if text.contains('@') && !text.contains(' ') => Ok(json!(text)),
            _ => wrong("email"),
        },
        Kind::Url => match text {
            Some(text) if text.starts_with("http") && short(text, 450) => Ok(json!(text)),
            _ => wrong("website"),
        },
        Kind::Pick(values) => match text {
            Some(text) if values.contains(&text) => Ok(json!(text)),
            _ => wrong("picklist"),
        },
        Kind::DateTime => match text {
            // ISO 8601 with an offset and without fractions.
            Some(text) if text.len() >= 20 && !text.contains('.') && text.parse::<Timestamp>().is_ok() => {
                Ok(json!(text))
            }
            _ => wrong("datetime"),
        },
        Kind::Date => match text {
            Some(text) if text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok() => Ok(json!(text)),
            _ => wrong("date"),
        },
        Kind::Length => match text.and_then(seconds) {
            Some(_) => Ok(given.clone()),
            None => wrong("text"),
        },
        Kind::User => match id_of(given) {
            Some(id) if there(Refers::User(id)) => Ok(json!({"id": id.to_string()})),
            _ => wrong("bigint"),
        },
        Kind::Lookup(module) => match id_of(given) {
            Some(id) if there(Refers::Record(module, id)) => Ok(json!({"id": id.to_string()})),
            _ => wrong("bigint"),
        },
        Kind::Parent => {
            let module = all.get("$se_module").and_then(Value::as_str).ok_or_else(|| Refusal::missing("$se_module"))?;
            match id_of(given) {
                Some(id) if there(Refers::Record(module, id)) => Ok(json!({"id": id.to_string()})),
                _ => wrong("bigint"),
            }
        }
    }
}

/// An id as text or in an object, as Zoho takes both.
pub(super) fn id_of(given: &Value) -> Option<u64> {
    given.get("id").unwrap_or(given).as_str()?.parse().ok()
}

/// The seconds of `mm:ss`.
pub(super) fn seconds(length: &str) -> Option<u32> {
    let (minutes, seconds) = length.split_once(':')?;
    let digits = |text: &str| text.len() >= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (true, true) = (digits(minutes), digits(seconds) && seconds.len() == 2) else { return None };
    let (minutes, seconds): (u32, u32) = (minutes.parse().ok()?, seconds.parse().ok()?);
    (seconds < 60).then(|| minutes.checked_mul(60)?.checked_add(seconds)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_minutes_and_seconds() {
        assert_eq!(seconds("00:34"), Some(34));
        assert_eq!(seconds("75:10"), Some(4510));
        for bad in ["34", "0:34", "00:60", "00:5", "-1:00", "aa:bb", ""] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
