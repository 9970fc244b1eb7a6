//! What follows from a missed call: a task or a ticket, upserted by the CallSid as the call itself is.

use std::sync::Arc;

use patchbay_kit::{
    CallActivity, Exchange, Failure, FollowUp, FollowUpKind, FollowUps, RecordRef, Response, StatusCode, Step,
};
use serde_json::Value;

use crate::{
    HubSpot,
    batch::{self, Id, NOT_THERE, Values},
    calls::millis,
    errors::{self, On},
};

const REFUSED: &[StatusCode] = &[StatusCode::BAD_REQUEST];

/// The objects of a kind, in the plural as paths have them.
pub(crate) fn objects(kind: FollowUpKind) -> &'static str {
    if kind == FollowUpKind::Ticket { "tickets" } else { "tasks" }
}

fn on(kind: FollowUpKind) -> On {
    if kind == FollowUpKind::Ticket { On::Ticket } else { On::Task }
}

fn record(kind: FollowUpKind) -> &'static str {
    if kind == FollowUpKind::Ticket { "ticket" } else { "task" }
}

impl FollowUps for HubSpot {
    fn kinds(&self) -> &'static [FollowUpKind] {
        &[FollowUpKind::Task, FollowUpKind::Ticket]
    }

    fn for_missed(&self) -> Option<FollowUpKind> {
        self.missed
    }

    fn find(&self, _on: &RecordRef, _of: &CallActivity, it: &FollowUp) -> Option<Exchange<Option<RecordRef>>> {
        let (app, kind) = (self.app, it.kind);
        let label = if kind == FollowUpKind::Ticket { "ticket.find" } else { "task.find" };
        let ids = [it.key.0.clone()];
        Some(
            batch::read(label, objects(kind), Some(&self.sid_property), &ids, &["hs_object_id"])
                .done(move |reply| {
                    let found: Vec<Id> = batch::found(reply, on(kind), app)?;
                    Ok(found.into_iter().next().map(|one| RecordRef::new(record(kind), one.id)))
                })
                .accepting(NOT_THERE),
        )
    }

    /// "Tasks: Create a task", "Tickets: Create tickets" \[V\].
    fn create(&self, call: &RecordRef, of: &CallActivity, it: &FollowUp) -> Exchange<RecordRef> {
        let ticket = it.kind == FollowUpKind::Ticket;
        let mut values = Values::new();
        let mut set = |name: &str, value: &str| {
            values.insert(name.to_owned(), Value::from(value));
        };
        if ticket {
            // The support pipeline that every account begins with, and its first stage.
            set("hs_pipeline", "0");
            set("hs_pipeline_stage", "1");
            set("source_type", "PHONE");
        } else {
            set("hs_task_status", "NOT_STARTED");
            set("hs_task_type", "CALL");
        }
        values.extend(if ticket { self.custom.ticket() } else { self.custom.task() });
        let mut set = |name: &str, value: &str| {
            values.insert(name.to_owned(), Value::from(value));
        };
        if ticket {
            set("subject", &it.subject);
            set("content", &it.body);
        } else {
            set("hs_timestamp", &millis(it.due_at));
            set("hs_task_subject", &it.subject);
            set("hs_task_body", &it.body);
        }
        if let Some(agent) = &of.agent {
            set("hubspot_owner_id", &agent.id);
        }
        let write = Arc::new(Write {
            kind: it.kind,
            contact: of.contact.as_ref().map(|contact| contact.id.clone()),
            call: call.id.clone(),
            app: self.app,
        });
        let label = if ticket { "ticket.upsert" } else { "task.upsert" };
        batch::upsert(label, objects(it.kind), &self.sid_property, &it.key.0, &values)
            .then(move |reply| write.read(reply))
            .accepting(REFUSED)
    }
}

struct Write {
    kind: FollowUpKind,
    contact: Option<String>,
    call: String,
    app: bool,
}

impl Write {
    fn read(&self, reply: &Response) -> Result<Step<RecordRef>, Failure> {
        if reply.status == StatusCode::BAD_REQUEST {
            return Err(errors::classify(reply, on(self.kind), self.app));
        }
        let id = batch::written(reply)?.map_err(|error| errors::classify_item(&error, on(self.kind), self.app))?.id;
        let at = RecordRef::new(record(self.kind), &id);
        let ticket = self.kind == FollowUpKind::Ticket;
        let linked = |at: RecordRef| {
            batch::associate("call.associate_ticket", ("calls", &self.call), ("tickets", &id), self.app, at)
        };
        let Some(contact) = &self.contact else {
            return Ok(if ticket { Step::Then(linked(at)) } else { Step::Done(at) });
        };
        let label = if ticket { "ticket.associate" } else { "task.associate" };
        let known = batch::associate(label, (objects(self.kind), &id), ("contacts", contact), self.app, at.clone());
        if !ticket {
            return Ok(Step::Then(known));
        }
        // A ticket also stands beside its call; between tasks and calls no such association is documented.
        Ok(Step::Then(batch::then(known, linked(at))))
    }
}
