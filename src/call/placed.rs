//! A call that Exotel has placed for a click: it goes into the journal at once, so that there is a call before Exotel says a
//! word of it, and one however it is told of later.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use patchbay_kit::{Direction, mask};

use super::{
    event::Facts,
    receipt::{Hook, Receipt},
};

/// A voicebot that a call is placed for, and what it is told of it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BotWish {
    /// Its id.
    pub bot: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// When Exotel ends the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_seconds: Option<u32>,
}

/// What is told to a bot may be anything.
impl fmt::Debug for BotWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BotWish({}, {} parameters)", self.bot, self.parameters.len())
    }
}

/// What is known of it: the body of its receipt. Numbers stand as Exotel writes them, so that all that is said of the
/// call later says the same.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedCall {
    #[serde(rename = "CallSid")]
    pub call_sid: String,
    pub click: Uuid,
    /// None in a test call, and in one for a voicebot: a flow takes it.
    pub agent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot: Option<BotWish>,
    pub agent_email: Option<String>,
    pub customer: String,
    pub exophone: String,
    pub custom_field: String,
    /// When Exotel was asked to place it.
    pub dialled_at: Timestamp,
}

impl fmt::Debug for PlacedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agent = self.agent.as_deref().map_or_else(|| "a flow".to_owned(), mask::number);
        write!(f, "PlacedCall({} for {agent} to {})", self.call_sid, mask::number(&self.customer))
    }
}

impl PlacedCall {
    /// As it goes into the journal.
    ///
    /// # Errors
    /// Never for what can be in it; serialising has an error all the same.
    pub fn receipt(&self, id: Uuid, account: &str, at: Timestamp) -> Result<Receipt, serde_json::Error> {
        Ok(Receipt {
            id,
            account: account.to_owned(),
            hook: Hook::Click,
            received_at: at,
            method: "POST".to_owned(),
            path: format!("/api/v1/accounts/{account}/clicks/{}", self.click),
            query: String::new(),
            content_type: Some("application/json".to_owned()),
            body: serde_json::to_vec(self)?,
        })
    }

    /// What it says of the call.
    pub(super) fn facts(self) -> Facts {
        Facts {
            direction: Some(Direction::Outgoing),
            agent: self.agent,
            agent_email: self.agent_email,
            customer: Some(self.customer),
            exophone: Some(self.exophone),
            custom_field: Some(self.custom_field),
            started_at: Some(self.dialled_at),
            placed_for_bot: self.bot,
            ..Facts::default()
        }
    }
}
