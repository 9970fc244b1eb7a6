//! What is to be done after a call: a task beside the call's own, held by an external id that the CallSid gives.

use patchbay_kit::{CallActivity, Exchange, FollowUp, FollowUpKind, FollowUps, RecordRef};
use serde_json::{Map, json};

use crate::{
    Salesforce,
    tasks::name_of,
    write::{At, by_key},
};

/// Of the same field as the call's own, so that this one, too, is there once.
fn key(it: &FollowUp) -> String {
    format!("{}:{}", it.key.0, it.kind.as_str())
}

impl FollowUps for Salesforce {
    fn kinds(&self) -> &'static [FollowUpKind] {
        &[FollowUpKind::Task]
    }

    /// None: the task of a missed call is itself open (`missed_status`).
    fn for_missed(&self) -> Option<FollowUpKind> {
        None
    }

    fn find(&self, _on: &RecordRef, _of: &CallActivity, it: &FollowUp) -> Option<Exchange<Option<RecordRef>>> {
        Some(by_key(&self.org, "follow_up.find", &key(it)))
    }

    fn create(&self, _on: &RecordRef, of: &CallActivity, it: &FollowUp) -> Exchange<RecordRef> {
        let mut fields = Map::from_iter([
            ("Subject".to_owned(), json!(it.subject)),
            ("Description".to_owned(), json!(it.body)),
            ("TaskSubtype".to_owned(), json!("Task")),
            ("ActivityDate".to_owned(), json!(self.org.day(it.due_at))),
            ("IsReminderSet".to_owned(), json!(true)),
            ("ReminderDateTime".to_owned(), json!(self.org.moment(it.due_at))),
        ]);
        if let Some(agent) = &of.agent {
            fields.insert("OwnerId".to_owned(), json!(agent.id));
        }
        if let Some(contact) = &of.contact {
            fields.insert(name_of(contact).to_owned(), json!(contact.id));
        }
        let at = At::Key { value: key(it), label: "follow_up.upsert", find: "follow_up.find" };
        self.write(at, fields, of)
    }
}
