//! Freshchat in the terms that all CRMs share: every message is a record, for none can be changed afterwards.

use std::time::Duration;

use jiff::Timestamp;

use super::Freshchat;
use crate::{Crm, HeldContact, HeldRecord};

impl Crm for Freshchat {
    /// A message each. What a call became later (a recording, a correction) is a message of its own.
    fn records(&self) -> Vec<HeldRecord> {
        let mut all: Vec<_> = self.messages().collect();
        all.sort_by_key(|(_, message)| message.created_time);
        all.into_iter()
            .map(|(conversation, message)| HeldRecord {
                id: message.id.clone(),
                text: message.text(),
                contact: Some(conversation.user_id.clone()),
                agent: conversation.assigned_agent_id.clone(),
                talk_seconds: None,
                recording: None,
                public: !message.is_private(),
            })
            .collect()
    }

    fn contacts(&self) -> Vec<HeldContact> {
        self.users()
            .map(|user| HeldContact {
                id: user.id.clone(),
                name: format!("{} {}", user.first_name, user.last_name).trim().to_owned(),
                numbers: user.phone.iter().cloned().collect(),
            })
            .collect()
    }

    fn add_contact(&mut self, name: &str, number: &str, now: Timestamp) -> String {
        self.add_user(|user| {
            name.clone_into(&mut user.first_name);
            user.phone = Some(number.to_owned());
            (user.created_time, user.updated_time) = (now, now);
        })
    }

    fn add_agent(&mut self, name: &str, email: &str) -> String {
        self.hire(name, email)
    }

    fn lag(&mut self, by: Duration) {
        self.settings.filter_lag = by;
    }

    // `expire_tokens` stays `false`: the token lives long, and only a person can make the next one. What happens when
    // it ends is tried with [`super::token()`].
}
