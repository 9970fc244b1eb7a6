//! What becomes of the agents when a CRM, or Exotel, lists its own users: who is who, by e-mail and then by number. Who
//! cannot be told is named, with the reason, and nothing is guessed.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::{
    Step,
    agent::{self, Agent, CrmUser, Patch, Place},
    kept::Source,
    roster::{Roster, key},
};

/// Whose users are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    Exotel,
    Integration(String),
}

/// One user of the other side.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    pub id: String,
    pub name: String,
    pub email: Option<String>,
    /// Likeliest first, in any writing.
    pub numbers: Vec<String>,
    pub active: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Id,
    Email,
    Number,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Match {
    pub agent: String,
    pub name: String,
    pub user: String,
    pub by: By,
    /// What was not known of him before.
    pub changed: Vec<&'static str>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Addition {
    pub agent: String,
    pub name: String,
    pub user: String,
    /// Without a number he can neither be called nor be recognised in a call.
    pub needs_number: bool,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(tag = "side", rename_all = "snake_case")]
pub enum Unmatched {
    /// A user of the CRM, or of Exotel.
    User { user: String, name: String, reason: String },
    /// An agent of ours.
    Agent { agent: String, name: String, reason: String },
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Synced {
    pub matched: Vec<Match>,
    pub added: Vec<Addition>,
    pub unmatched: Vec<Unmatched>,
}

pub(super) fn plan(roster: &Roster, place: &Place, from: &From, listed: &[Listed]) -> (Synced, Vec<Step>) {
    let mut plan = Plan {
        roster,
        place,
        from,
        synced: Synced::default(),
        steps: Vec::new(),
        taken: BTreeMap::new(),
        given: BTreeSet::new(),
    };
    // Those whom somebody has told already are nobody else's, whatever their e-mail says.
    let (known, others): (Vec<&Listed>, Vec<&Listed>) =
        listed.iter().partition(|user| roster.agents().any(|agent| plan.id_of(agent) == Some(user.id.as_str())));
    for user in known.into_iter().chain(others) {
        plan.user(user);
    }
    plan.rest(listed);
    (plan.synced, plan.steps)
}

struct Plan<'a> {
    roster: &'a Roster,
    place: &'a Place,
    from: &'a From,
    synced: Synced,
    steps: Vec<Step>,
    /// Agent → the user he was found to be.
    taken: BTreeMap<String, String>,
    /// Numbers that agents get from this list.
    given: BTreeSet<String>,
}

impl<'a> Plan<'a> {
    fn id_of<'b>(&self, agent: &'b Agent) -> Option<&'b str> {
        match self.from {
            From::Exotel => agent.profile.exotel_user.as_deref(),
            From::Integration(name) => agent.profile.crm_user.get(name).map(String::as_str),
        }
    }

    fn user(&mut self, user: &Listed) {
        let reason = match self.who(user) {
            Ok(Some((agent, by))) => self.found(user, agent, by),
            Ok(None) => self.add(user),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = reason {
            let (user, name) = (user.id.clone(), user.name.clone());
            self.synced.unmatched.push(Unmatched::User { user, name, reason });
        }
    }

    /// The agent that this user is.
    fn who(&self, user: &Listed) -> Result<Option<(&'a Agent, By)>, String> {
        let told: Vec<&Agent> =
            self.roster.agents().filter(|agent| self.id_of(agent) == Some(user.id.as_str())).collect();
        if let [agent] = told[..] {
            return Ok(Some((agent, By::Id)));
        }
        if told.len() > 1 {
            return Err(format!("{} agents have this user's id: leave it with one", told.len()));
        }
        if !user.active {
            return Err("is deactivated there".to_owned());
        }
        let mails: Vec<&Agent> = user.email.iter().flat_map(|email| self.roster.with_email(email)).collect();
        match mails[..] {
            [agent] => return Ok(Some((agent, By::Email))),
            [] => {}
            _ => return Err(format!("{} agents have this user's e-mail: give one of them the user's id", mails.len())),
        }
        let read = user.numbers.iter().filter_map(|raw| agent::number(raw, &self.place.country).ok());
        let mut found: Vec<&Agent> = Vec::new();
        for agent in read.filter_map(|number| self.roster.with_number(&number)) {
            if !found.iter().any(|other| other.id == agent.id) {
                found.push(agent);
            }
        }
        match found[..] {
            [] => Ok(None),
            [agent] => Ok(Some((agent, By::Number))),
            _ => Err("this user's numbers are those of several agents".to_owned()),
        }
    }

    fn found(&mut self, user: &Listed, agent: &Agent, by: By) -> Result<(), String> {
        if let Some(other) = self.taken.get(&agent.id) {
            return Err(format!("the agent it would be is user {other} already"));
        }
        if let Some(id) = self.id_of(agent).filter(|id| *id != user.id) {
            return Err(format!("the agent it would be is mapped to user {id}: change him if that is wrong"));
        }
        let mut patch = self.named(user);
        let mut changed = Vec::new();
        if self.id_of(agent).is_none() {
            changed.push(match self.from {
                From::Exotel => "exotel_user",
                From::Integration(_) => "crm_user",
            });
        }
        // What is known already was put there by somebody.
        if agent.profile.name.is_none() && !user.name.trim().is_empty() {
            patch.name = Some(Some(user.name.clone()));
            changed.push("name");
        }
        if let (None, Some(email)) = (&agent.profile.email, &user.email) {
            patch.email = Some(Some(email.clone()));
            changed.push("email");
        }
        if agent.profile.number.is_none()
            && let Some(number) = self.number(user)
            && self.roster.with_number(&number).is_none()
            && self.given.insert(key(&number))
        {
            patch.number = Some(Some(number));
            changed.push("number");
        }
        if agent.source == Source::File {
            // Only the id has to be there; without it the e-mail finds him when a call is written.
            if self.id_of(agent).is_none() {
                self.taken.insert(agent.id.clone(), user.id.clone());
                return Err("the agent it is stands in the configuration file, which is read-only here: set the user's id there"
                    .to_owned());
            }
            changed.clear();
        }
        self.taken.insert(agent.id.clone(), user.id.clone());
        if !changed.is_empty() {
            let profile = patch.onto(&agent.profile, self.place).map_err(|problems| super::told(&problems))?;
            self.steps.push(Step::Change { id: agent.id.clone(), version: agent.version, profile });
        }
        let name = agent.profile.label().to_owned();
        self.synced.matched.push(Match { agent: agent.id.clone(), name, user: user.id.clone(), by, changed });
        Ok(())
    }

    fn add(&mut self, user: &Listed) -> Result<(), String> {
        if user.email.is_none() && user.numbers.is_empty() {
            return Err("has neither e-mail nor number: nothing says who it is".to_owned());
        }
        let number = self.number(user);
        if let Some(number) = &number
            && !self.given.insert(key(number))
        {
            return Err("another user of this list has the same number".to_owned());
        }
        if user.email.is_none() && number.is_none() {
            return Err("has no e-mail, and its number is none that can be dialled".to_owned());
        }
        let mut patch = self.named(user);
        let needs_number = number.is_none();
        patch.name = Some(Some(user.name.clone()));
        patch.email = Some(user.email.clone());
        patch.number = Some(number);
        let profile = patch.onto(&Default::default(), self.place).map_err(|problems| super::told(&problems))?;
        let id = Uuid::now_v7().to_string();
        let name = profile.label().to_owned();
        self.synced.added.push(Addition { agent: id.clone(), name, user: user.id.clone(), needs_number });
        self.steps.push(Step::Make { id, profile });
        Ok(())
    }

    /// Agents that the other side does not know.
    fn rest(&mut self, listed: &[Listed]) {
        let emails: BTreeSet<String> =
            listed.iter().filter_map(|user| Some(user.email.as_ref()?.to_lowercase())).collect();
        let numbers = listed.iter().flat_map(|user| &user.numbers);
        let numbers: BTreeSet<String> =
            numbers.filter_map(|raw| Some(key(&agent::number(raw, &self.place.country).ok()?))).collect();
        for agent in self.roster.agents().filter(|agent| !self.taken.contains_key(&agent.id)) {
            let reason = match self.id_of(agent) {
                Some(id) if listed.iter().any(|user| user.id == id) => continue,
                Some(id) => format!("the user {id} he is mapped to is not there any more"),
                None if agent.profile.email.as_ref().is_some_and(|email| emails.contains(&email.to_lowercase()))
                    || agent.profile.number.as_ref().is_some_and(|number| numbers.contains(&key(number))) =>
                {
                    "the user with his e-mail or number is somebody else, or could not be matched: see there".to_owned()
                }
                None if agent.profile.email.is_none() => "nobody there has his number, and he has no e-mail".to_owned(),
                None => "nobody there has his e-mail or his number".to_owned(),
            };
            let (agent, name) = (agent.id.clone(), agent.profile.label().to_owned());
            self.synced.unmatched.push(Unmatched::Agent { agent, name, reason });
        }
    }

    /// The first of a user's numbers that is one.
    fn number(&self, user: &Listed) -> Option<String> {
        user.numbers.iter().find_map(|raw| agent::number(raw, &self.place.country).ok())
    }

    fn named(&self, user: &Listed) -> Patch {
        let mut patch = Patch::default();
        match self.from {
            From::Exotel => patch.exotel_user = Some(Some(user.id.clone())),
            From::Integration(name) => {
                patch.crm_user.insert(name.clone(), Some(CrmUser::Text(user.id.clone())));
            }
        }
        patch
    }
}
