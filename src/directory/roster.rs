//! The list of one account's agents, with what they are found by. A value: a change makes another.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use patchbay_kit::mask;

use super::{
    agent::{Agent, Problem, Profile},
    kept::{List, Source},
};
use crate::call::{Mapped, UserMapping, phone};

/// What a number is compared by: SIP addresses whatever their case.
pub(super) fn key(number: &str) -> String {
    if phone::is_sip(number) { number.trim().to_lowercase() } else { number.to_owned() }
}

#[derive(Clone, Default)]
pub struct Roster {
    by_id: BTreeMap<String, Agent>,
    by_number: HashMap<String, BTreeSet<String>>,
    by_email: HashMap<String, BTreeSet<String>>,
    mapping: UserMapping,
}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roster({} agents)", self.by_id.len())
    }
}

impl Roster {
    /// Agents with ids from 0.
    #[cfg(test)]
    pub fn of(profiles: impl IntoIterator<Item = Profile>) -> Self {
        let mut roster = Self::default();
        for (at, profile) in profiles.into_iter().enumerate() {
            roster.put(Agent { id: at.to_string(), source: Source::Store, version: 1, profile, updated_at: None });
        }
        roster.settled()
    }

    pub fn agents(&self) -> impl ExactSizeIterator<Item = &Agent> {
        self.by_id.values()
    }

    /// Who has this number, as [`super::Profile::number`] has it.
    pub fn with_number(&self, number: &str) -> Option<&Agent> {
        self.by_id.get(self.by_number.get(&key(number))?.first()?)
    }

    pub fn with_email(&self, email: &str) -> impl Iterator<Item = &Agent> {
        let ids = self.by_email.get(&email.to_lowercase());
        ids.into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }

    /// Whom somebody means who writes a number, `sip:…` or an e-mail address.
    pub fn named(&self, named: &str, country: &str) -> Option<&Agent> {
        let number = phone::parse(named, country).map_or_else(|| named.to_owned(), |number| number.e164);
        self.with_number(&number).or_else(|| self.with_email(named).next())
    }

    /// What planning needs of them.
    pub fn mapping(&self) -> &UserMapping {
        &self.mapping
    }

    pub fn find(&self, id: &str) -> Option<&Agent> {
        self.by_id.get(id)
    }
}

impl List for Roster {
    type Of = Profile;

    fn find(&self, id: &str) -> Option<&Agent> {
        self.by_id.get(id)
    }

    fn entries(&self) -> impl Iterator<Item = &Agent> {
        self.by_id.values()
    }

    fn put(&mut self, agent: Agent) {
        self.drop(&agent.id);
        let id = agent.id.clone();
        if let Some(number) = &agent.profile.number {
            self.by_number.entry(key(number)).or_default().insert(id.clone());
        }
        if let Some(email) = &agent.profile.email {
            self.by_email.entry(email.to_lowercase()).or_default().insert(id.clone());
        }
        self.by_id.insert(id, agent);
    }

    fn drop(&mut self, id: &str) {
        let Some(was) = self.by_id.remove(id) else { return };
        let mut forget = |index: Index| {
            let (map, name) = match index {
                Index::Number(name) => (&mut self.by_number, name),
                Index::Email(name) => (&mut self.by_email, name),
            };
            if let Some(ids) = map.get_mut(&name) {
                ids.remove(id);
                if ids.is_empty() {
                    map.remove(&name);
                }
            }
        };
        if let Some(number) = &was.profile.number {
            forget(Index::Number(key(number)));
        }
        if let Some(email) = &was.profile.email {
            forget(Index::Email(email.to_lowercase()));
        }
    }

    fn free(&self, id: Option<&str>, profile: &Profile) -> Result<(), Problem> {
        let Some(number) = &profile.number else { return Ok(()) };
        let ids = self.by_number.get(&key(number));
        match ids.into_iter().flatten().find(|other| Some(other.as_str()) != id).and_then(|id| self.find(id)) {
            None => Ok(()),
            Some(other) => {
                let of_file = if other.source == Source::File { ", in the configuration file" } else { "" };
                let whose = match other.profile.name.as_ref().or(other.profile.email.as_ref()) {
                    Some(name) => format!("{name}{of_file}"),
                    None => format!("agent {}{of_file}", other.id),
                };
                Err(Problem::new("number", format!("{} is the number of {whose}", mask::number(number))))
            }
        }
    }

    /// Makes the mapping anew. Of two with one number, the file's agent counts.
    fn settled(mut self) -> Self {
        let mut agents: Vec<&Agent> = self.by_id.values().collect();
        agents.sort_by_key(|agent| agent.source == Source::File);
        let mapped = agents.into_iter().filter_map(|agent| {
            let Profile { number, email, crm_user, .. } = &agent.profile;
            Some((number.clone()?, Mapped { email: email.clone(), crm_user: crm_user.clone() }))
        });
        self.mapping = UserMapping::new(mapped);
        self
    }
}

enum Index {
    Number(String),
    Email(String),
}
