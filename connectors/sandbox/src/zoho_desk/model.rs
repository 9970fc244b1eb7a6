//! What an organisation holds, as values that tests put there and look into.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::shelf::Record;

// The ranges do not meet, so that an id of one kind never passes for one of another.
pub(super) const FIRST_CONTACT: u64 = 7_000_000_100_001;
pub(super) const FIRST_TICKET: u64 = 7_000_000_300_001;
pub(super) const FIRST_COMMENT: u64 = 7_000_000_500_001;
pub(super) const FIRST_AGENT: u64 = 7_000_000_700_001;

/// When what was there from the beginning was made: 2024-01-01T00:00:00Z.
pub(super) const SEEDED_AT: Timestamp = Timestamp::constant(1_704_067_200, 0);

/// A person who calls or writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    pub id: u64,
    pub first_name: Option<String>,
    pub last_name: String,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub mobile: Option<String>,
    pub owner_id: Option<u64>,
    /// In the recycle bin.
    pub trashed: bool,
    /// What else was written, by field.
    pub more: Map<String, Value>,
    pub cf: Map<String, Value>,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
}

impl Contact {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            id: 0,
            first_name: None,
            last_name: String::new(),
            email: None,
            phone: None,
            mobile: None,
            owner_id: None,
            trashed: false,
            more: Map::new(),
            cf: Map::new(),
            created_at: now,
            modified_at: now,
        }
    }

    pub(super) fn full_name(&self) -> String {
        match &self.first_name {
            Some(first) => format!("{first} {}", self.last_name),
            None => self.last_name.clone(),
        }
    }
}

/// A person who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    pub id: u64,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    pub phone: Option<String>,
    pub mobile: Option<String>,
    /// Else `DISABLED`.
    pub active: bool,
    pub departments: Vec<u64>,
}

/// A ticket; its comments are kept beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    pub id: u64,
    pub number: u64,
    pub subject: String,
    /// HTML as it was given. Shown where one ticket is shown, not in lists.
    pub description: Option<String>,
    pub contact_id: u64,
    pub department_id: u64,
    pub assignee_id: Option<u64>,
    pub status: String,
    pub channel: Option<String>,
    pub phone: Option<String>,
    /// In the recycle bin.
    pub trashed: bool,
    /// Whether it came through the API.
    pub by_api: bool,
    /// What else was written, by field.
    pub more: Map<String, Value>,
    pub cf: Map<String, Value>,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
}

impl Ticket {
    pub(super) fn new(contact_id: u64, department_id: u64, now: Timestamp) -> Self {
        Self {
            id: 0,
            number: 0,
            subject: String::new(),
            description: None,
            contact_id,
            department_id,
            assignee_id: None,
            status: "Open".to_owned(),
            channel: None,
            phone: None,
            trashed: false,
            by_api: false,
            more: Map::new(),
            cf: Map::new(),
            created_at: now,
            modified_at: now,
        }
    }
}

/// A comment on a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    pub id: u64,
    pub ticket_id: u64,
    /// As it was given.
    pub content: String,
    /// `html` or `plainText`.
    pub content_type: String,
    /// Whether the customer sees it.
    pub public: bool,
    /// Whether the API wrote it; only those can be edited by it.
    pub own: bool,
    pub commented_at: Timestamp,
    pub modified_at: Option<Timestamp>,
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
