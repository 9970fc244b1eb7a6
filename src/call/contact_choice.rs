//! Which of several people with one number a call is put on: the account's own choice, for no CRM makes it.

/// Which of several contacts with the caller's number a call is put on: the account's policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContactChoice {
    /// The one changed last.
    #[default]
    MostRecent,
    /// The first in the CRM's own order: kinds of objects by the integration's settings, where it has them.
    Priority,
    /// None: a person chooses.
    Ask,
}

impl ContactChoice {
    pub const ALL: [Self; 3] = [Self::MostRecent, Self::Priority, Self::Ask];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::MostRecent => "most_recent",
            Self::Priority => "priority",
            Self::Ask => "ask",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.as_str() == text)
    }
}
