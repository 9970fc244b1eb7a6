//! What a Freshdesk account holds, in the shape it shows it.

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::text;
use crate::shelf::Record;

// The ranges do not meet, so that an id of one kind never passes for one of another. All but the tickets' are beyond
// 32 bits, as Freshdesk's are.
pub(super) const FIRST_TICKET: u64 = 1;
pub(super) const FIRST_CONTACT: u64 = 70_000_000_001;
pub(super) const FIRST_AGENT: u64 = 80_000_000_001;
pub(super) const FIRST_CONVERSATION: u64 = 90_000_000_001;

/// When what was there from the beginning was made: 2024-01-01T00:00:00Z.
pub(super) const SEEDED_AT: Timestamp = Timestamp::constant(1_704_067_200, 0);

/// A person who calls or writes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contact {
    pub id: u64,
    pub name: String,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub mobile: Option<String>,
    pub twitter_id: Option<String>,
    /// Only matched, never shown by Freshdesk.
    #[serde(skip)]
    pub facebook_id: Option<String>,
    pub unique_external_id: Option<String>,
    pub active: bool,
    /// Soft-deleted; shown only then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    pub company_id: Option<u64>,
    pub address: Option<String>,
    pub description: Option<String>,
    pub job_title: Option<String>,
    pub language: Option<String>,
    pub time_zone: Option<String>,
    pub tags: Vec<String>,
    pub custom_fields: Map<String, Value>,
    #[serde(serialize_with = "seconds")]
    pub created_at: Timestamp,
    #[serde(serialize_with = "seconds")]
    pub updated_at: Timestamp,
}

impl Contact {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            id: 0,
            name: String::new(),
            email: None,
            phone: None,
            mobile: None,
            twitter_id: None,
            facebook_id: None,
            unique_external_id: None,
            active: false,
            deleted: false,
            company_id: None,
            address: None,
            description: None,
            job_title: None,
            language: Some("en".to_owned()),
            time_zone: Some("Chennai".to_owned()),
            tags: Vec::new(),
            custom_fields: Map::new(),
            created_at: now,
            updated_at: now,
        }
    }
}

/// A person who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    pub id: u64,
    pub name: String,
    pub email: String,
    pub phone: Option<String>,
    pub mobile: Option<String>,
    pub available: bool,
    pub occasional: bool,
    /// False once deactivated.
    pub active: bool,
    pub created_at: Timestamp,
}

impl Agent {
    pub(super) fn new(id: u64, name: &str, email: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            email: email.to_owned(),
            phone: None,
            mobile: None,
            available: true,
            occasional: false,
            active: true,
            created_at: SEEDED_AT,
        }
    }
}

impl Serialize for Agent {
    /// The person's own data is one level down, in `contact` (§1.e).
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let made = text::timestamp(self.created_at);
        let shown = serde_json::json!({
            "id": self.id,
            "available": self.available,
            "occasional": self.occasional,
            "type": "support_agent",
            "ticket_scope": 1,
            "signature": null,
            "group_ids": [],
            "role_ids": [],
            "available_since": null,
            "created_at": made,
            "updated_at": made,
            "contact": {
                "active": self.active,
                "name": self.name,
                "email": self.email,
                "phone": self.phone,
                "mobile": self.mobile,
                "job_title": null,
                "language": "en",
                "time_zone": "Chennai",
                "last_login_at": null,
                "created_at": made,
                "updated_at": made,
            },
        });
        shown.serialize(serializer)
    }
}

/// A ticket; in [`super::Freshdesk`] its notes are kept beside it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ticket {
    pub id: u64,
    pub subject: String,
    /// HTML as it was given. Shown where one ticket is shown, and in lists on request.
    #[serde(skip)]
    pub description: String,
    /// The same without tags.
    #[serde(skip)]
    pub description_text: String,
    pub requester_id: u64,
    pub responder_id: Option<u64>,
    pub group_id: Option<u64>,
    pub status: u64,
    pub priority: u64,
    pub source: u64,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub tags: Vec<String>,
    pub cc_emails: Vec<String>,
    pub custom_fields: Map<String, Value>,
    #[serde(skip)]
    pub deleted: bool,
    #[serde(serialize_with = "seconds")]
    pub created_at: Timestamp,
    #[serde(serialize_with = "seconds")]
    pub updated_at: Timestamp,
}

impl Ticket {
    pub(super) fn new(requester_id: u64, now: Timestamp) -> Self {
        Self {
            id: 0,
            subject: String::new(),
            description: String::new(),
            description_text: String::new(),
            requester_id,
            responder_id: None,
            group_id: None,
            status: 2,
            priority: 1,
            source: 2,
            kind: None,
            tags: Vec::new(),
            cc_emails: Vec::new(),
            custom_fields: Map::new(),
            deleted: false,
            created_at: now,
            updated_at: now,
        }
    }

    /// Sets the description and what is derived from it.
    pub fn describe(&mut self, html: impl Into<String>) {
        self.description = html.into();
        self.description_text = text::of_html(&self.description);
    }
}

/// A note on a ticket.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conversation {
    pub id: u64,
    pub ticket_id: u64,
    /// HTML as it was given.
    pub body: String,
    /// The same without tags.
    pub body_text: String,
    pub private: bool,
    pub incoming: bool,
    /// In whose name it stands.
    pub user_id: u64,
    /// 2 is a note.
    pub source: u64,
    #[serde(rename = "to_emails")]
    pub notify_emails: Vec<String>,
    /// Whether the API key's owner wrote it; only those can be edited.
    #[serde(skip)]
    pub own: bool,
    #[serde(serialize_with = "seconds")]
    pub created_at: Timestamp,
    #[serde(serialize_with = "seconds")]
    pub updated_at: Timestamp,
}

fn seconds<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text::timestamp(*at))
}

impl Record for Contact {
    fn set_id(&mut self, id: u64) {
        self.id = id;
    }
}

impl Record for Ticket {
    fn set_id(&mut self, id: u64) {
        self.id = id;
    }
}
