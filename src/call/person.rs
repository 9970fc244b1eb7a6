//! What people ask of a call: the API writes it into the journal, `normalise` reads it back, so that it is as durable and
//! as free of order as what Exotel says.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use patchbay_kit::{FollowUpKind, RecordRef};

use super::receipt::{Hook, Receipt};

/// Something to be done after a call, as a person wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FollowUpWish {
    #[schemars(with = "super::shape::FollowUpKindShape")]
    pub kind: FollowUpKind,
    #[serde(default)]
    pub subject: Option<String>,
    #[serde(default)]
    pub due_at: Option<Timestamp>,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "asked", rename_all = "snake_case")]
pub enum Asked {
    /// This call belongs to that object of the CRM.
    Contact {
        record: RecordRef,
    },
    FollowUp {
        wish: FollowUpWish,
    },
    Order {
        order: Order,
    },
}

/// Something that Exotel is to do with a call while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    Listen,
    Whisper,
    Barge,
    HangUp,
    Record,
    StopRecording,
}

impl OrderKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Whisper => "whisper",
            Self::Barge => "barge",
            Self::HangUp => "hang_up",
            Self::Record => "record",
            Self::StopRecording => "stop_recording",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CameOfIt {
    Done,
    /// Nothing was done.
    Refused,
    /// Exotel's answer was lost.
    Unknown,
}

impl CameOfIt {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// An order: told before it goes out, and again when it is known what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    pub id: Uuid,
    pub what: OrderKind,
    /// The telephone that rings for it, masked.
    #[serde(default)]
    pub rings: Option<String>,
    /// `None`: it goes out now.
    #[serde(default)]
    pub came_of_it: Option<CameOfIt>,
    /// Why not, or why that is not known.
    #[serde(default)]
    pub told: Option<String>,
}

/// One request of a person's: the body of its receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonRequest {
    pub call_sid: String,
    /// Which integration it is about; an order is about none.
    #[serde(default)]
    pub integration: String,
    /// Who asked.
    pub by: String,
    #[serde(flatten)]
    pub asked: Asked,
}

impl PersonRequest {
    /// As it goes into the journal.
    ///
    /// # Errors
    /// Never for what can be asked; serialising has an error all the same.
    pub fn receipt(&self, id: Uuid, account: &str, at: Timestamp) -> Result<Receipt, serde_json::Error> {
        let end = match self.asked {
            Asked::Contact { .. } => "contact",
            Asked::FollowUp { .. } => "follow-up",
            Asked::Order { .. } => "orders",
        };
        Ok(Receipt {
            id,
            account: account.to_owned(),
            hook: Hook::Person,
            received_at: at,
            method: "POST".to_owned(),
            path: format!("/api/v1/accounts/{account}/calls/{}/{end}", self.call_sid),
            query: String::new(),
            content_type: Some("application/json".to_owned()),
            body: serde_json::to_vec(self)?,
        })
    }
}
