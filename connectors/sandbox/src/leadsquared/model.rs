//! What a LeadSquared organisation holds, as values that tests put there and look into.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// When what was there from the beginning was made: 2024-01-01T00:00:00Z.
pub(super) const SEEDED_AT: Timestamp = Timestamp::constant(1_704_067_200, 0);

/// An id as LeadSquared's look; the kind keeps an id of one sort from passing for one of another.
pub(super) fn guid(kind: u32, number: u64) -> String {
    format!("{kind:08x}-53fa-11f1-bd10-{number:012x}")
}

/// Whether it has the form of an id.
pub(super) fn is_guid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

/// A time as LeadSquared writes it, in UTC.
pub(super) fn written(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A person who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    pub id: String,
    /// By schema name: `FirstName`, `Phone`, `mx_…`. What is not there is null.
    pub fields: BTreeMap<String, String>,
    pub owner: String,
    pub created_on: Timestamp,
    pub modified_on: Timestamp,
    pub last_activity: Timestamp,
}

impl Lead {
    pub(super) fn new(id: &str, owner: &str, now: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            fields: BTreeMap::new(),
            owner: owner.to_owned(),
            created_on: now,
            modified_on: now,
            last_activity: now,
        }
    }

    /// A field's value; empty where it has none.
    pub fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }

    /// Sets a field.
    pub fn set(&mut self, field: &str, value: &str) {
        self.fields.insert(field.to_owned(), value.to_owned());
    }

    pub(super) fn shown(&self, owner: Option<&User>) -> Map<String, Value> {
        let mut shown = Map::new();
        shown.insert("ProspectID".to_owned(), json!(self.id));
        for field in ["FirstName", "LastName", "EmailAddress", "Phone", "Mobile", "Source", "SourceContent", "Company"]
        {
            shown.insert(field.to_owned(), Value::Null);
        }
        for (field, value) in &self.fields {
            shown.insert(field.clone(), json!(value));
        }
        shown.insert("OwnerId".to_owned(), json!(self.owner));
        shown.insert("OwnerIdName".to_owned(), json!(owner.map(|user| &user.name)));
        shown.insert("OwnerIdEmailAddress".to_owned(), json!(owner.map(|user| &user.email)));
        shown.insert("CreatedOn".to_owned(), json!(format!("{}.000", written(self.created_on))));
        shown.insert("ModifiedOn".to_owned(), json!(format!("{}.000", written(self.modified_on))));
        shown.insert("LeadLastModifiedOn".to_owned(), json!(format!("{}.000", written(self.modified_on))));
        shown.insert("ProspectActivityDate_Max".to_owned(), json!(format!("{}.000", written(self.last_activity))));
        shown.insert("StatusCode".to_owned(), json!("0"));
        shown
    }
}

/// A person who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: String,
    pub name: String,
    pub email: String,
    pub active: bool,
    pub telephony_agent_id: Option<String>,
    pub phone_main: Option<String>,
    pub phone_mobile: Option<String>,
    pub associated_phone_numbers: Option<String>,
}

impl User {
    pub(super) fn new(id: &str, name: &str, email: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            email: email.to_owned(),
            active: true,
            telephony_agent_id: None,
            phone_main: None,
            phone_mobile: None,
            associated_phone_numbers: None,
        }
    }

    /// As the user API shows one user (§4.e).
    pub(super) fn shown(&self) -> Value {
        json!({
            "UserId": self.id,
            "FirstName": self.name,
            "LastName": "",
            "EmailAddress": self.email,
            "Role": "Sales_User",
            "StatusCode": u8::from(!self.active),
            "IsPhoneCallAgent": true,
            "TelephonyAgentId": self.telephony_agent_id.as_deref().unwrap_or_default(),
            "PhoneMain": self.phone_main.as_deref().unwrap_or_default(),
            "PhoneMobile": self.phone_mobile.as_deref().unwrap_or_default(),
            "AssociatedPhoneNumbers": self.associated_phone_numbers.as_deref().unwrap_or_default(),
            "AvailabilityStatus": "online",
        })
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = &str> {
        [&self.phone_main, &self.phone_mobile, &self.associated_phone_numbers].into_iter().flatten().map(String::as_str)
    }
}

/// A phone call on a lead's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    pub id: String,
    pub lead: String,
    /// 21 is inbound, 22 outbound.
    pub event: u16,
    pub status: String,
    pub display_number: String,
    /// In UTC.
    pub started_at: Timestamp,
    pub duration_s: u32,
    pub recording_url: String,
    pub call_notes: String,
    pub tag: String,
    /// Whose call it is: the `UserId` of the log, or the user whose number it names.
    pub user: Option<String>,
    /// The log's body as it was posted.
    pub source_data: Value,
    pub session: String,
    pub created_on: Timestamp,
    pub modified_on: Timestamp,
}

impl Activity {
    /// The delimited text that LeadSquared makes of a log, as it has been seen: an empty `UserId` before the real one, the
    /// posted body at the end.
    pub(super) fn note(&self, user: Option<&User>, chars: usize) -> String {
        let duration = self.duration_s.to_string();
        let started = self.started_at.strftime("%-m/%-d/%Y %-I:%M:%S %p").to_string();
        let source_data = self.source_data.to_string();
        let note: String = [
            ("Caller", user.map_or("", |user| user.name.as_str())),
            ("UserId", ""),
            ("UserId", user.map_or("", |user| user.id.as_str())),
            ("Duration", &duration),
            ("Status", &self.status),
            ("CallNotes", &self.call_notes),
            ("ResourceURL", &self.recording_url),
            ("StartTime", &started),
            ("Tag", &self.tag),
            ("DisplayNumber", &self.display_number),
            ("EventNote", ""),
            ("SourceData", &source_data),
        ]
        .iter()
        .map(|(key, value)| format!("{key}{{=}}{value}{{next}}"))
        .collect();
        note.chars().take(chars).collect()
    }
}

/// What was broadcast to an agent's screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Popup {
    pub session: String,
    pub direction: String,
    pub source_number: String,
    pub destination_number: String,
    pub lead: Option<String>,
    pub user: Option<String>,
    pub status: Option<String>,
}
