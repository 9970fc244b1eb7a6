//! What stands in Freshdesk, in the terms all CRMs share.

use std::time::Duration;

use jiff::Timestamp;

use super::Freshdesk;
use crate::{Crm, HeldContact, HeldRecord};

/// The first id of agents that are added without one.
const FIRST_AGENT: u64 = 81_900_000_001;

impl Crm for Freshdesk {
    fn records(&self) -> Vec<HeldRecord> {
        let live = self.tickets().filter(|ticket| !ticket.deleted);
        live.map(|ticket| {
            let notes = self.conversations(ticket.id);
            let mut lines = vec![ticket.subject.clone(), ticket.description.clone()];
            lines.extend(notes.iter().map(|note| note.body.clone()));
            HeldRecord {
                id: ticket.id.to_string(),
                text: lines.join("\n"),
                contact: Some(ticket.requester_id.to_string()),
                agent: ticket.responder_id.map(|id| id.to_string()),
                talk_seconds: None,
                recording: None,
                public: notes.iter().any(|note| !note.private),
            }
        })
        .collect()
    }

    fn contacts(&self) -> Vec<HeldContact> {
        let live = self.contacts().filter(|contact| !contact.deleted);
        live.map(|contact| HeldContact {
            id: contact.id.to_string(),
            name: contact.name.clone(),
            numbers: [&contact.mobile, &contact.phone].into_iter().flatten().cloned().collect(),
        })
        .collect()
    }

    fn add_contact(&mut self, name: &str, number: &str, _: Timestamp) -> String {
        self.add_contact(name, Some(number), None).to_string()
    }

    fn add_agent(&mut self, name: &str, email: &str) -> String {
        let id = FIRST_AGENT + self.agents().count() as u64;
        self.add_agent(name, email, id).to_string()
    }

    fn lag(&mut self, by: Duration) {
        self.settings.index_lag = by;
    }
}
