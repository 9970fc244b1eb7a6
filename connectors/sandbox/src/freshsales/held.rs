//! What stands in a Freshsales account, in the terms all CRMs share.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;

use super::{Freshsales, model::Note};
use crate::{Crm, HeldContact, HeldRecord};

/// The CallSid a text names: what stands behind `CallSid` and a colon. Freshsales knows nothing of it; a reader sees by
/// it which note belongs to which call log.
fn call_sid(text: &str) -> Option<&str> {
    let (_, behind) = text.split_once("CallSid")?;
    let behind = behind.trim_start().strip_prefix(':')?.trim_start();
    let end = behind.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(behind.len());
    Some(&behind[..end]).filter(|sid| !sid.is_empty())
}

impl Freshsales {
    fn record_of(&self, id: u64, text: String, target: Option<u64>) -> HeldRecord {
        HeldRecord {
            id: id.to_string(),
            text,
            contact: target.map(|id| id.to_string()),
            agent: None,
            talk_seconds: None,
            recording: None,
            public: false,
        }
    }
}

impl Crm for Freshsales {
    /// One record for each call log, with the notes on its person that name the same CallSid; a note that names no call
    /// log's is a record of its own, and so is every call log beyond the first of a call.
    fn records(&self) -> Vec<HeldRecord> {
        let mut of_call: HashMap<&str, usize> = HashMap::new();
        let mut records = Vec::new();
        for call in self.calls.values().filter(|call| !call.deleted) {
            let note = call.note.and_then(|id| self.notes.get(&id)).filter(|note| !note.deleted);
            let mut text = vec![if call.incoming { "incoming" } else { "outgoing" }.to_owned()];
            text.extend(call.outcome_id.map(|outcome| format!("outcome {outcome}")));
            text.extend(note.map(|note| note.description.clone()));
            if let Some(sid) = note.and_then(|note| call_sid(&note.description)) {
                of_call.entry(sid).or_insert(records.len());
            }
            records.push(self.record_of(call.id, text.join("\n"), call.target));
        }
        let own = |note: &&Note| !note.deleted && note.call.is_none();
        for note in self.notes.values().filter(own) {
            match call_sid(&note.description).and_then(|sid| of_call.get(sid)) {
                Some(at) => {
                    records[*at].text.push('\n');
                    records[*at].text.push_str(&note.description);
                }
                None => records.push(self.record_of(note.id, note.description.clone(), note.target)),
            }
        }
        records
    }

    fn contacts(&self) -> Vec<HeldContact> {
        let live = self.contacts.values().filter(|contact| !contact.deleted);
        live.map(|contact| HeldContact {
            id: contact.id.to_string(),
            name: contact.display_name(),
            numbers: [&contact.mobile_number, &contact.work_number].into_iter().flatten().cloned().collect(),
        })
        .collect()
    }

    fn add_contact(&mut self, name: &str, number: &str, now: Timestamp) -> String {
        let mut contact = super::Contact::new(super::Person::Contact, now);
        contact.last_name = Some(name.to_owned());
        contact.mobile_number = Some(number.to_owned());
        self.insert_contact(contact, now).to_string()
    }

    fn add_agent(&mut self, name: &str, email: &str) -> String {
        self.add_user(name, email).to_string()
    }

    fn lag(&mut self, by: Duration) {
        self.settings.lookup_lag = by;
    }
}
