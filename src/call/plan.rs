//! What each CRM should now be made to say, and what is still to be asked of Exotel.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use patchbay_kit::{CallActivity, Manifest, Note, PhoneNumber};

use super::{compose::Texts, state::CallState};

/// What sort of record an intent is about. Ordered: of one call, the earlier must be settled before the later starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentKind {
    /// The call's record itself.
    Log,
    /// Recording and duration, on the record.
    Recording,
}

impl IntentKind {
    pub const ALL: [Self; 2] = [Self::Log, Self::Recording];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Recording => "recording",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Whom the record is about, before a contact is found for him.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// `None`: withheld, or a SIP address.
    pub number: Option<PhoneNumber>,
    /// Name of a contact that has to be made: the number as Exotel wrote it, or `Unknown caller`.
    pub name: String,
    /// The same for the same caller, always; becomes `NewContact::external_id`.
    pub external_id: String,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({:?})", self.number)
    }
}

/// The answering agent, before a CRM user is found for him.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentHint {
    /// From the user mapping.
    pub crm_user: Option<String>,
    pub email: Option<String>,
}

impl fmt::Debug for AgentHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentHint(mapped: {})", self.crm_user.is_some())
    }
}

/// A call's record as it should be; contact and agent are found when it is delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogContent {
    pub activity: CallActivity,
    pub caller: Caller,
    pub agent: Option<AgentHint>,
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    Log(Box<LogContent>),
    Recording(Note),
}

/// One thing a CRM should now be made to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// uuid5 over account, integration, call and kind: planning again gives the same id.
    pub id: Uuid,
    pub integration: String,
    pub kind: IntentKind,
    pub content: Content,
}

/// What planning for one integration depends on.
#[derive(Clone, Debug)]
pub struct IntegrationRules {
    pub name: String,
    pub manifest: &'static Manifest,
    /// The connector has [`patchbay_kit::Notes`]: recording and duration become a note, else part of the record.
    pub notes: bool,
    /// Records are assigned to the answering agent.
    pub assign: bool,
    pub texts: Arc<Texts>,
    /// The user mapping: agent's number in E.164 or `sip:…` → CRM user id.
    pub crm_users: BTreeMap<String, String>,
}

/// What planning for one account depends on.
#[derive(Clone)]
pub struct PlanRules {
    pub account: String,
    pub country: String,
    pub integrations: Vec<IntegrationRules>,
    /// The user mapping: agent's number in E.164 or `sip:…` → e-mail.
    pub agent_emails: BTreeMap<String, String>,
    /// Patchbay's own signed link to a call's recording.
    pub recording_link: Arc<dyn Fn(&str) -> String + Send + Sync>,
    /// When, after the call's end became known, its details are asked for, until they are complete.
    pub enquiry_schedule: Arc<[Duration]>,
}

impl fmt::Debug for PlanRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanRules").field("account", &self.account).finish_non_exhaustive()
    }
}

/// Plans for a call: all intents that now hold, in order of kind. A call whose outcome is not known yet has none.
///
/// `asked` is the number of questions for details that the schedule has used up, so that a note does not wait for a
/// recording that will not come.
pub fn plan(state: &CallState, rules: &PlanRules, asked: usize) -> Vec<Intent> {
    let _ = (state, rules, asked);
    unimplemented!()
}

/// Where asking Exotel for a call's details stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enquiry {
    /// Steps of the schedule used up. Questions answered "still in progress" use none.
    pub step: usize,
    pub due_at: Option<Timestamp>,
}

/// When Exotel is to be asked for this call's details next; `due_at` is `None` when nothing is left to ask or the
/// schedule is used up. `was` is how it stood; `answered`: this planning follows an answer of Exotel's.
pub fn enquire(
    state: &CallState,
    schedule: &[Duration],
    was: Option<Enquiry>,
    answered: bool,
    now: Timestamp,
) -> Enquiry {
    let _ = (state, schedule, was, answered, now);
    unimplemented!()
}
