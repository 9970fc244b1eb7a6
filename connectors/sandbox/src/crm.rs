//! What stands in a CRM, in terms that all of them share: how one set of tests looks into any of them.

use std::time::Duration;

use jiff::Timestamp;

use crate::Sandbox;

/// One record that a call became: a ticket, a task, a call log, a message, a comment on an older ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRecord {
    pub id: String,
    /// Everything that can be read on it, one thing per line: subject, text, fields, and the notes or comments on it.
    pub text: String,
    /// Id of the contact (lead, user …) it is about.
    pub contact: Option<String>,
    /// Id of the agent it is assigned to.
    pub agent: Option<String>,
    /// How long they talked, where this CRM has a field for it.
    pub talk_seconds: Option<u32>,
    /// The link to the recording, where this CRM has a field for it.
    pub recording: Option<String>,
    /// Whether the customer can read any of it.
    pub public: bool,
}

/// A person as the CRM holds him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldContact {
    pub id: String,
    pub name: String,
    /// As stored.
    pub numbers: Vec<String>,
}

/// The common face of all CRM sandboxes.
pub trait Crm: Sandbox {
    /// Every record that calls became and nobody deleted, in order of creation. Nothing is merged: two records of one
    /// call are two here.
    fn records(&self) -> Vec<HeldRecord>;

    /// Everybody who calls, oldest first: contacts, leads, accounts alike.
    fn contacts(&self) -> Vec<HeldContact>;

    /// Adds a contact as a person would, `number` in the CRM's first field for numbers; yields its id.
    fn add_contact(&mut self, name: &str, number: &str, now: Timestamp) -> String;

    /// Adds an active agent; yields the id by which records are assigned to him.
    fn add_agent(&mut self, name: &str, email: &str) -> String;

    /// How far the search for contacts lags behind writes. Nothing where this CRM's does not.
    fn lag(&mut self, by: Duration);

    /// Ends every access token, as their time running out does. `false` where credentials do not expire.
    fn expire_tokens(&mut self) -> bool {
        false
    }

    /// The next `writes` requests that would write are answered as a success whose body says a passing error, and are
    /// not carried out. `false` where this CRM never answers so.
    fn fail_inside(&mut self, writes: u32) -> bool {
        let _ = writes;
        false
    }
}
