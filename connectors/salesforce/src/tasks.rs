//! A call's record: a task on the caller's record, one for a CallSid whatever happens.

use std::sync::Arc;

use patchbay_kit::{
    Activities, CallActivity, Changed, Exchange, RecordRef, Request, Response, StatusCode, Text, Updates,
};
use serde_json::{Map, Value, json};

use crate::{
    Salesforce,
    objects::{Side, side},
    write::{At, Write, by_key, gone, task},
};

const GONE: &[StatusCode] = &[StatusCode::NOT_FOUND];

impl Activities for Salesforce {
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>> {
        Some(by_key(&self.org, "task.find", &call.key.0))
    }

    /// "REST API Developer Guide, sObject Rows by External ID" \[V\]: sent twice it is one task, so a reply can be lost.
    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        let mut fields = self.org.defaults.under("", Map::new());
        fields.extend(self.org.facts(call));
        fields.insert("TaskSubtype".to_owned(), json!("Call"));
        fields.extend(self.org.ending(call));
        fields.insert("Subject".to_owned(), json!(call.subject));
        fields.insert("Description".to_owned(), json!(call.body));
        if let Some(at) = call.started_at.or(call.ended_at) {
            fields.insert("ActivityDate".to_owned(), json!(self.org.day(at)));
        }
        if let Some(agent) = &call.agent {
            fields.insert("OwnerId".to_owned(), json!(agent.id));
        }
        if let Some(contact) = &call.contact {
            fields.insert(name_of(contact).to_owned(), json!(contact.id));
        }
        let at = At::Key { value: call.key.0.clone(), label: "task.upsert", find: "task.find" };
        self.write(at, fields, call)
    }
}

impl Updates for Salesforce {
    /// By the task's id, so that a task somebody deleted is told and not made anew. An agent's own changes stay: status
    /// and result are written again only when the call has ended otherwise, and who has called when that has changed.
    fn update(&self, at: &RecordRef, call: &CallActivity, changed: Changed) -> Exchange<RecordRef> {
        let mut fields = Map::new();
        if changed.facts {
            fields.extend(self.org.facts(call));
        }
        if changed.outcome {
            fields.extend(self.org.ending(call));
        }
        if changed.subject {
            fields.insert("Subject".to_owned(), json!(call.subject));
        }
        if changed.body {
            fields.insert("Description".to_owned(), json!(call.body));
        }
        if let Some(agent) = call.agent.as_ref().filter(|_| changed.agent) {
            fields.insert("OwnerId".to_owned(), json!(agent.id));
        }
        if let Some(contact) = call.contact.as_ref().filter(|_| changed.contact) {
            // Both sides are said: a lead that stands there cannot stay beside an account, nor an account beside a lead.
            fields.extend([("WhoId".to_owned(), Value::Null), ("WhatId".to_owned(), Value::Null)]);
            fields.insert(name_of(contact).to_owned(), json!(contact.id));
        }
        if fields.is_empty() {
            // Nothing to write; that it is there is still to be known.
            let id = at.id.clone();
            return Request::get("task.show", self.org.path(["sobjects", "Task", &at.id]))
                .query("fields", "Id")
                .done(move |reply| if GONE.contains(&reply.status) { Err(gone(&id)) } else { Ok(task(&id)) })
                .accepting(GONE);
        }
        self.write(At::Id(at.id.clone()), fields, call)
    }

    /// *Comments* on the page of a task, into which agents write.
    fn text(&self, at: &RecordRef) -> Option<Exchange<Text>> {
        #[derive(serde::Deserialize)]
        struct Shown {
            #[serde(rename = "Description")]
            description: Option<String>,
        }
        let id = at.id.clone();
        let show =
            Request::get("task.text", self.org.path(["sobjects", "Task", &at.id])).query("fields", "Description");
        let read = move |reply: &Response| {
            if GONE.contains(&reply.status) {
                return Err(gone(&id));
            }
            Ok(Text(reply.json::<Shown>()?.description.unwrap_or_default()))
        };
        Some(show.done(read).accepting(GONE))
    }
}

impl Salesforce {
    pub(crate) fn write(&self, at: At, fields: Map<String, Value>, call: &CallActivity) -> Exchange<RecordRef> {
        let org = Arc::clone(&self.org);
        let (has_agent, has_contact) = (call.agent.is_some(), call.contact.is_some());
        Write { org, at, fields, has_agent, has_contact, described: false }.exchange()
    }
}

/// The field in which a task names a caller.
pub(crate) fn name_of(contact: &RecordRef) -> &'static str {
    match side(&contact.kind, &contact.id) {
        Side::Who => "WhoId",
        Side::What => "WhatId",
    }
}
