//! What a Freshsales account holds, in the shape it shows it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

// The ranges do not meet, so that an id of one kind never passes for one of another. All are beyond 32 bits, as
// Freshsales' are.
pub(super) const FIRST_USER: u64 = 60_000_000_001;
pub(super) const FIRST_CONTACT: u64 = 70_000_000_001;
pub(super) const FIRST_CALL: u64 = 80_000_000_001;
pub(super) const FIRST_NOTE: u64 = 90_000_000_001;

/// When what was there from the beginning was made: 2024-01-01T00:00:00Z.
pub(super) const SEEDED_AT: Timestamp = Timestamp::constant(1_704_067_200, 0);

/// What a caller is: everybody a contact, but for accounts of the classic product, which have leads too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Person {
    Contact,
    Lead,
}

impl Person {
    pub(super) const ALL: [Self; 2] = [Self::Contact, Self::Lead];

    /// As `entities` and as call logs say it.
    pub(super) fn lower(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Lead => "lead",
        }
    }

    /// As paths and lists say it.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Contact => "contacts",
            Self::Lead => "leads",
        }
    }

    /// As notes say it.
    pub(super) fn pascal(self) -> &'static str {
        match self {
            Self::Contact => "Contact",
            Self::Lead => "Lead",
        }
    }
}

/// A person who calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    pub id: u64,
    pub is: Person,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub mobile_number: Option<String>,
    pub work_number: Option<String>,
    pub email: Option<String>,
    pub external_id: Option<String>,
    pub owner_id: Option<u64>,
    pub custom_field: Map<String, Value>,
    /// Whatever else of his fields was given.
    pub more: Map<String, Value>,
    /// In the recycle bin: neither found nor shown.
    pub deleted: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Contact {
    pub(super) fn new(is: Person, now: Timestamp) -> Self {
        Self {
            id: 0,
            is,
            first_name: None,
            last_name: None,
            mobile_number: None,
            work_number: None,
            email: None,
            external_id: None,
            owner_id: None,
            custom_field: Map::new(),
            more: Map::new(),
            deleted: false,
            created_at: now,
            updated_at: now,
        }
    }

    /// First and last name, as the account shows them.
    pub fn display_name(&self) -> String {
        [&self.first_name, &self.last_name].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn shown(&self) -> Value {
        let mut shown = json!({
            "id": self.id,
            "first_name": self.first_name,
            "last_name": self.last_name,
            "display_name": self.display_name(),
            "mobile_number": self.mobile_number,
            "work_number": self.work_number,
            "email": self.email,
            "external_id": self.external_id,
            "owner_id": self.owner_id,
            "custom_field": self.custom_field,
            "is_deleted": self.deleted,
            "created_at": timestamp(self.created_at),
            "updated_at": timestamp(self.updated_at),
        });
        for (name, value) in &self.more {
            shown[name.as_str()] = value.clone();
        }
        shown
    }
}

/// A person who answers: an owner of contacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: u64,
    pub display_name: String,
    pub email: String,
    pub is_active: bool,
    pub work_number: Option<String>,
    pub mobile_number: Option<String>,
}

impl User {
    pub(super) fn shown(&self) -> Value {
        json!({
            "id": self.id,
            "display_name": self.display_name,
            "email": self.email,
            "is_active": self.is_active,
            "work_number": self.work_number,
            "mobile_number": self.mobile_number,
        })
    }
}

/// A call log. It can be made and, in the browser, deleted; nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneCall {
    pub id: u64,
    pub incoming: bool,
    /// Whose call it is.
    pub target: Option<u64>,
    pub note: Option<u64>,
    /// What else was given: `outcome_id`.
    pub outcome_id: Option<u64>,
    pub user_id: u64,
    pub deleted: bool,
    pub created_at: Timestamp,
}

/// A note: of a call log, or on its own on a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub id: u64,
    /// HTML as it was given.
    pub description: String,
    pub target: Option<u64>,
    /// The call log it was given with.
    pub call: Option<u64>,
    pub deleted: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A time as Freshsales writes it.
pub(super) fn timestamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
