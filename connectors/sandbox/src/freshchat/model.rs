//! What a Freshchat account holds, in the shape it shows it (`crm-api.md` §3.c to e).

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

/// When what was there from the beginning was made: 2024-01-01T00:00:00Z.
pub(super) const SEEDED_AT: Timestamp = Timestamp::constant(1_704_067_200, 0);

/// A human who answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agent {
    pub id: String,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    pub phone: Option<String>,
    pub groups: Vec<String>,
    pub is_deactivated: bool,
    pub availability_status: &'static str,
}

impl Agent {
    pub(super) fn new(id: &str, name: &str, email: &str) -> Self {
        let (first, last) = name.split_once(' ').unwrap_or((name, ""));
        Self {
            id: id.to_owned(),
            first_name: first.to_owned(),
            last_name: last.to_owned(),
            email: email.to_owned(),
            phone: None,
            groups: Vec::new(),
            is_deactivated: false,
            availability_status: "AVAILABLE",
        }
    }
}

/// One of a user's `properties`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Property {
    pub name: String,
    pub value: String,
}

/// A customer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct User {
    pub id: String,
    pub first_name: String,
    pub last_name: String,
    pub email: Option<String>,
    /// Under this name it is shown; the filter's is `phone_no`.
    pub phone: Option<String>,
    pub reference_id: Option<String>,
    pub properties: Vec<Property>,
    #[serde(serialize_with = "time")]
    pub created_time: Timestamp,
    #[serde(serialize_with = "time")]
    pub updated_time: Timestamp,
}

/// A message in a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub id: String,
    /// The texts of its parts.
    pub parts: Vec<String>,
    /// `normal` is sent to the customer, `private` is for agents.
    pub message_type: String,
    pub actor_type: String,
    pub actor_id: Option<String>,
    pub created_time: Timestamp,
    /// Whether it came through the API, not from a human.
    pub by_api: bool,
}

impl Message {
    /// Whether only agents see it.
    pub fn is_private(&self) -> bool {
        self.message_type == "private"
    }

    /// All of its text.
    pub fn text(&self) -> String {
        self.parts.join("\n")
    }

    pub(super) fn shown(&self, conversation: &Conversation) -> Value {
        let parts: Vec<Value> = self.parts.iter().map(|text| json!({"text": {"content": text}})).collect();
        json!({"id": self.id, "message_parts": parts, "message_type": self.message_type, "actor_type": self.actor_type,
            "actor_id": self.actor_id, "user_id": conversation.user_id, "conversation_id": conversation.id,
            "channel_id": conversation.channel_id, "created_time": text(self.created_time)})
    }
}

/// A conversation with one customer.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    pub id: String,
    pub user_id: String,
    pub channel_id: String,
    /// `new`, `assigned`, `resolved`, `reopened`; newer accounts have two that wait.
    pub status: String,
    pub assigned_agent_id: Option<String>,
    /// The account's own fields.
    pub properties: Map<String, Value>,
    pub created_time: Timestamp,
    pub updated_time: Timestamp,
    /// Oldest first.
    pub messages: Vec<Message>,
}

impl Conversation {
    pub(super) fn shown(&self) -> Value {
        json!({"conversation_id": self.id, "channel_id": self.channel_id, "status": self.status, "user_id": self.user_id,
            "assigned_agent_id": self.assigned_agent_id, "assigned_group_id": null, "users": [{"id": self.user_id}], "properties": self.properties,
            "created_time": text(self.created_time), "updated_time": text(self.updated_time)})
    }
}

/// `2026-01-05T06:40:00.000Z`
pub(super) fn text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

fn time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*at))
}
