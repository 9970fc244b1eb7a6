//! What a HubSpot account holds: objects of four kinds, all alike a bag of texts, and the versions search still shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::shelf::Past;

/// When what was there from the beginning was made: 2024-01-01T00:00:00Z.
pub(super) const SEEDED_AT: Timestamp = Timestamp::constant(1_704_067_200, 0);

/// The kinds of objects that are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Contacts,
    Calls,
    Tickets,
    Tasks,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Contacts, Self::Calls, Self::Tickets, Self::Tasks];

    /// As it stands in a path, in the plural or the singular or as its type id.
    pub(super) fn of(segment: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| {
            let name = kind.name();
            segment == name || segment == &name[..name.len() - 1] || segment == kind.type_id()
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Contacts => "contacts",
            Self::Calls => "calls",
            Self::Tickets => "tickets",
            Self::Tasks => "tasks",
        }
    }

    pub(super) fn type_id(self) -> &'static str {
        match self {
            Self::Contacts => "0-1",
            Self::Calls => "0-48",
            Self::Tickets => "0-5",
            Self::Tasks => "0-27",
        }
    }

    /// HubSpot's own id for the association between two kinds; `[M]` but for calls to contacts and tickets to contacts.
    pub(super) fn association(self, to: Self) -> Option<u64> {
        match (self, to) {
            (Self::Calls, Self::Contacts) => Some(194),
            (Self::Calls, Self::Tickets) => Some(220),
            (Self::Tickets, Self::Contacts) => Some(16),
            (Self::Tasks, Self::Contacts) => Some(204),
            _ => None,
        }
    }
}

/// One record: all its values are texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub id: String,
    pub properties: BTreeMap<String, String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Deleted by a person or the API; kept, but not shown.
    pub archived: bool,
    /// What it is associated with.
    pub associated: BTreeSet<(Kind, String)>,
}

impl Object {
    /// A property's value; an empty text is none.
    pub fn get(&self, property: &str) -> Option<&str> {
        self.properties.get(property).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The first associated object of this kind.
    pub fn associate(&self, kind: Kind) -> Option<&str> {
        self.associated.iter().find(|(of, _)| *of == kind).map(|(_, id)| id.as_str())
    }

    /// As it is shown, with these properties; one that it has not is `null`.
    pub(super) fn shown(&self, wanted: &[String]) -> Value {
        let at = |time: Timestamp| json!(time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
        let mut properties: serde_json::Map<String, Value> =
            wanted.iter().map(|name| (name.clone(), json!(self.get(name)))).collect();
        properties.insert("hs_object_id".to_owned(), json!(self.id));
        properties.insert("hs_createdate".to_owned(), at(self.created_at));
        properties.insert("hs_lastmodifieddate".to_owned(), at(self.updated_at));
        json!({"id": self.id, "properties": properties, "createdAt": at(self.created_at),
            "updatedAt": at(self.updated_at), "archived": self.archived})
    }
}

/// Objects of one kind, each with its past.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf {
    kept: BTreeMap<u64, (Object, Past<Object>)>,
    /// Unique values: property and value to the object that has it.
    unique: BTreeMap<(String, String), u64>,
}

impl Shelf {
    pub(super) fn insert(&mut self, number: u64, object: Object, since: Timestamp, unique: &[String]) {
        self.index(number, &object, unique);
        self.kept.insert(number, (object, Past::new(since)));
    }

    pub(super) fn get(&self, id: &str) -> Option<&Object> {
        id.parse().ok().and_then(|number: u64| self.kept.get(&number)).map(|(latest, _)| latest)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Object> {
        self.kept.values().map(|(latest, _)| latest)
    }

    /// Who has this value of a unique property, archived or not.
    pub(super) fn holder(&self, property: &str, value: &str) -> Option<&Object> {
        let number = self.unique.get(&(property.to_owned(), value.to_owned()))?;
        self.kept.get(number).map(|(latest, _)| latest)
    }

    /// Alters an object; the version before stays searchable for `lag`.
    pub(super) fn change(
        &mut self,
        id: &str,
        now: Timestamp,
        lag: Duration,
        unique: &[String],
        change: impl FnOnce(&mut Object),
    ) {
        let Ok(number) = id.parse::<u64>() else { return };
        let Some((latest, past)) = self.kept.get_mut(&number) else { return };
        for property in unique {
            if let Some(value) = latest.get(property) {
                let key = (property.clone(), value.to_owned());
                if self.unique.get(&key) == Some(&number) {
                    self.unique.remove(&key);
                }
            }
        }
        past.replace(latest, now, lag);
        change(latest);
        latest.updated_at = now;
        let object = latest.clone();
        self.index(number, &object, unique);
    }

    fn index(&mut self, number: u64, object: &Object, unique: &[String]) {
        for property in unique {
            if let Some(value) = object.get(property) {
                let value = value.to_owned();
                // An archived holder gives way to who took its value after it.
                if !object.archived || !self.unique.contains_key(&(property.clone(), value.clone())) {
                    self.unique.insert((property.clone(), value), number);
                }
            }
        }
    }

    /// The objects as search knows them.
    pub(super) fn as_indexed(&self, now: Timestamp, lag: Duration) -> impl Iterator<Item = &Object> {
        self.kept.values().filter_map(move |(latest, past)| past.as_indexed(latest, now, lag))
    }
}
