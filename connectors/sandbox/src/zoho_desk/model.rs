//! What an organisation holds, and the shelf it is held on.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value};

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

/// What can stand on a [`Shelf`].
pub(super) trait Record: Clone {
    fn set_id(&mut self, id: u64);
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

/// Records by id, each with the versions that a search may still be showing.
#[derive(Clone, Debug)]
pub(super) struct Shelf<T> {
    next: u64,
    records: BTreeMap<u64, Kept<T>>,
}

#[derive(Clone, Debug)]
struct Kept<T> {
    latest: T,
    since: Timestamp,
    older: Vec<(Timestamp, T)>,
}

impl<T: Record> Shelf<T> {
    pub(super) fn starting_at(first: u64) -> Self {
        Self { next: first, records: BTreeMap::new() }
    }

    /// Adds a record under the next id.
    pub(super) fn insert(&mut self, mut record: T, since: Timestamp) -> u64 {
        let id = self.next;
        self.next += 1;
        record.set_id(id);
        self.records.insert(id, Kept { latest: record, since, older: Vec::new() });
        id
    }

    pub(super) fn get(&self, id: u64) -> Option<&T> {
        self.records.get(&id).map(|kept| &kept.latest)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.records.values().map(|kept| &kept.latest)
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Alters a record; the version before stays what a search knows until it has taken in the new one.
    pub(super) fn change(&mut self, id: u64, now: Timestamp, change: impl FnOnce(&mut T)) {
        if let Some(kept) = self.records.get_mut(&id) {
            kept.older.push((kept.since, kept.latest.clone()));
            kept.since = now;
            change(&mut kept.latest);
        }
    }

    /// The records as an index that is `lag` behind knows them.
    pub(super) fn as_indexed(&self, now: Timestamp, lag: Duration) -> impl DoubleEndedIterator<Item = &T> {
        let taken_in = move |since: Timestamp| since.checked_add(lag).is_ok_and(|from| from <= now);
        self.records.values().filter_map(move |kept| {
            if taken_in(kept.since) {
                return Some(&kept.latest);
            }
            kept.older.iter().rev().find(|(since, _)| taken_in(*since)).map(|(_, version)| version)
        })
    }
}
