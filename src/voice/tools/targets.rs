//! Whom a model may hand a caller over to: those that the account has. A number that a caller talked it into is none.

use serde_json::{Value, json};

use crate::{app::Services, directory::Bot};

/// Of an account with more agents a model is told the groups, and may still name an agent by his address.
const TOLD: usize = 50;

pub(super) struct Targets {
    /// Where it names nobody. `None`: the flow decides.
    pub(super) usual: Option<String>,
    groups: Vec<String>,
    /// E-mail address and name.
    agents: Vec<(String, String)>,
}

impl Targets {
    pub(super) fn new(usual: Option<String>, groups: Vec<String>, agents: Vec<(String, String)>) -> Self {
        Self { usual, groups, agents }
    }

    pub(super) fn of(services: &Services, account: &str, bot: &Bot) -> Self {
        let groups = services.account(account).map(|account| {
            let groups = account.routing.groups.iter();
            groups.map(|group| group.name.clone()).collect()
        });
        let roster = services.agents.of(account);
        // Whom nobody can call is no target.
        let agents = roster.agents().filter(|agent| agent.profile.number.is_some()).filter_map(|agent| {
            let email = agent.profile.email.clone()?;
            Some((email, agent.profile.name.clone().unwrap_or_default()))
        });
        Self::new(bot.transfer_to.clone(), groups.unwrap_or_default(), agents.collect())
    }

    /// JSON Schema of the argument; `None` where there is nobody to choose among.
    pub(super) fn schema(&self) -> Option<Value> {
        let (names, told) = self.told()?;
        let usual = match &self.usual {
            Some(_) => "without it, the usual one",
            None => "without it, whoever is responsible for the caller",
        };
        let described = |list: &[String]| format!("To whom; {usual}. There are: {}.", list.join(", "));
        Some(match self.agents.len() <= TOLD {
            true => json!({ "type": "string", "enum": names, "description": described(&told) }),
            false => {
                json!({ "type": "string", "description": format!("{} Or the e-mail address of a colleague.", described(&told)) })
            }
        })
    }

    /// What a model may choose from, as it names it and as it is explained.
    fn told(&self) -> Option<(Vec<String>, Vec<String>)> {
        let (mut names, mut told) = (self.groups.clone(), self.groups.clone());
        if self.agents.len() <= TOLD {
            for (email, name) in &self.agents {
                names.push(email.clone());
                told.push(if name.is_empty() { email.clone() } else { format!("{email} ({name})") });
            }
        }
        (!names.is_empty() || !self.agents.is_empty()).then_some((names, told))
    }

    /// Whom it means.
    ///
    /// # Errors
    /// For the model, in words.
    pub(super) fn find(&self, named: &str) -> Result<String, String> {
        let named = named.trim();
        if self.usual.as_deref() == Some(named) {
            return Ok(named.to_owned());
        }
        let name = named.strip_prefix("group:").unwrap_or(named).trim().to_lowercase();
        if let Some(group) = self.groups.iter().find(|group| group.to_lowercase() == name) {
            return Ok(group.clone());
        }
        let by_email = || self.agents.iter().find(|(email, _)| email.to_lowercase() == name);
        let mut by_name = self.agents.iter().filter(|(_, called)| called.to_lowercase() == name);
        let only = || by_name.next().filter(|_| by_name.next().is_none());
        if let Some((email, _)) = by_email().or_else(only) {
            return Ok(email.clone());
        }
        let names = self.told().map(|(names, _)| names).unwrap_or_default();
        Err(match names.is_empty() {
            true => "target: there is nobody to choose; leave it out".to_owned(),
            false => format!("target: there is no such colleague or group; there are: {}", names.join(", ")),
        })
    }
}
