//! What is to be done after a call: a task, a planned call or an event beside the call, about the same person.

use std::time::Duration;

use jiff::tz::TimeZone;
use patchbay_kit::{CallActivity, Exchange, FollowUp, FollowUpKind, FollowUps, RecordRef, Step, words};
use serde_json::{Map, Value, json};

use crate::{
    ZohoCrm, calls,
    errors::On,
    query::{self, Answer},
    write::{self, Made},
};

/// How long an event is planned to take.
const EVENT: Duration = Duration::from_secs(30 * 60);

fn on(kind: FollowUpKind) -> On {
    match kind {
        FollowUpKind::Call => On::PlannedCall,
        FollowUpKind::Event => On::Event,
        FollowUpKind::Task | FollowUpKind::Ticket => On::Task,
    }
}

/// The CallSid in the unique field of a planned call, whose call has it as it is.
fn planned(it: &FollowUp) -> String {
    format!("{}-follow-up", it.key)
}

fn at(kind: FollowUpKind, id: &str) -> RecordRef {
    RecordRef::new(
        match on(kind) {
            On::PlannedCall => "call",
            On::Event => "event",
            _ => "task",
        },
        id,
    )
}

impl FollowUps for ZohoCrm {
    fn kinds(&self) -> &'static [FollowUpKind] {
        &[FollowUpKind::Task, FollowUpKind::Call, FollowUpKind::Event]
    }

    fn for_missed(&self) -> Option<FollowUpKind> {
        self.custom.missed_follow_up
    }

    /// A planned call by its unique field; the others by their subject, and of those the one whose description has the
    /// CallSid: a text of several lines can be read by a query and not asked for ("Query API: Limitations", v8 \[V\]).
    fn find(&self, _: &RecordRef, _: &CallActivity, it: &FollowUp) -> Option<Exchange<Option<RecordRef>>> {
        let (module, subject) = match on(it.kind) {
            On::PlannedCall => return Some(self.call_with("planned_call.find", &planned(it))),
            On::Event => ("Events", "Event_Title"),
            _ => ("Tasks", "Subject"),
        };
        let label = if module == "Events" { "event.find" } else { "task.find" };
        let text = format!(
            "select id,Description from {module} where {subject} = {} order by Created_Time desc limit 200",
            query::quoted(&it.subject)
        );
        let (kind, key) = (it.kind, it.key.0.clone());
        Some(query::ask(label, &text, move |answer| match answer {
            Answer::Rows(rows) => {
                let text =
                    |row: &Map<String, Value>, name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
                let its =
                    rows.iter().find(|row| text(row, "Description").is_some_and(|text| words::mentions(&text, &key)));
                Ok(Step::Done(its.and_then(|row| text(row, "id")).map(|id| at(kind, &id))))
            }
            Answer::Refused(refusal) => Err(refusal.failure(on(kind))),
        }))
    }

    /// "Insert Records", v8, Tasks, Calls and Events \[V\]; a call with the status "Scheduled" is one that is to come
    /// ("Kaizen 38 – Calls API" \[V\]).
    fn create(&self, _: &RecordRef, of: &CallActivity, it: &FollowUp) -> Exchange<RecordRef> {
        let due =
            |after: Duration| json!(calls::time(it.due_at.checked_add(after).unwrap_or(it.due_at), self.custom.offset));
        let (label, fields) = match on(it.kind) {
            On::PlannedCall => (
                "planned_call.create",
                vec![
                    ("Subject", json!(it.subject)),
                    ("Call_Type", json!("Outbound")),
                    ("Call_Start_Time", due(Duration::ZERO)),
                    ("Outgoing_Call_Status", json!("Scheduled")),
                    ("Outbound_Call_Status", json!("Scheduled")),
                    (self.custom.call_sid_field.as_str(), json!(planned(it))),
                ],
            ),
            On::Event => (
                "event.create",
                vec![
                    ("Event_Title", json!(it.subject)),
                    ("Start_DateTime", due(Duration::ZERO)),
                    ("End_DateTime", due(EVENT)),
                ],
            ),
            _ => {
                let day = it.due_at.to_zoned(TimeZone::fixed(self.custom.offset)).date();
                ("task.create", vec![("Subject", json!(it.subject)), ("Due_Date", json!(day.to_string()))])
            }
        };
        let mut fields: Map<String, Value> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        fields.insert("Description".to_owned(), json!(it.body));
        fields.extend(of.contact.iter().flat_map(calls::link));
        fields.extend(of.agent.as_ref().map(calls::owner));
        let (kind, sid_field) = (it.kind, self.custom.call_sid_field.clone());
        write::insert(label, on(kind), self.custom.filled(on(kind), fields), move |made| match made {
            Made::New(id) => Ok(Step::Done(at(kind, id))),
            Made::There { id: Some(id), field } if field == sid_field => Ok(Step::Done(at(kind, id))),
            Made::There { field, .. } => Err(write::taken(field)),
        })
    }
}
