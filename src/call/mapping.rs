//! The user mapping, as planning needs it: what is known of an account's agents, by their number.

use std::{collections::BTreeMap, fmt};

use super::phone;

/// What is known of one agent that a CRM may know too.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Mapped {
    pub email: Option<String>,
    /// Integration → CRM user id.
    pub crm_user: BTreeMap<String, String>,
}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapped({} integrations)", self.crm_user.len())
    }
}

/// Agents by number.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserMapping {
    /// E.164, or `sip:…` in small letters.
    by_number: BTreeMap<String, Mapped>,
}

/// Agents' numbers and e-mails stand in it.
impl fmt::Debug for UserMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserMapping({} agents)", self.by_number.len())
    }
}

impl UserMapping {
    /// From E.164 or `sip:…`.
    pub fn new(agents: impl IntoIterator<Item = (String, Mapped)>) -> Self {
        let key = |number: String| if phone::is_sip(&number) { number.trim().to_lowercase() } else { number };
        Self { by_number: agents.into_iter().map(|(number, mapped)| (key(number), mapped)).collect() }
    }

    /// The agent with this number, however Exotel wrote it.
    pub fn of(&self, agent: &str, country: &str) -> Option<&Mapped> {
        match phone::parse(agent, country) {
            Some(number) => self.by_number.get(&number.e164),
            None => self.by_number.get(&agent.trim().to_lowercase()),
        }
    }
}
