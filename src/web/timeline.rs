//! What happened to a call, in order, as the API and the demo tell it.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    call::{CallState, EventKind, route::Routed},
    store::{AttemptOutcome, CallFile, Delivery, ExchangeLog, Witness, Written},
};

/// One line of a timeline.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    pub at: Timestamp,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum What {
    /// Exotel said something; `times`: in so many receipts.
    Event {
        kind: EventKind,
        /// By Exotel's clock.
        exotel_at: Option<Timestamp>,
        times: usize,
        agent: Option<String>,
        status: Option<String>,
        digits: Vec<Value>,
        /// A recording's address was in it whose host is not one of Exotel's: it was dropped.
        #[serde(skip_serializing_if = "Option::is_none")]
        refused_recording_host: Option<String>,
        /// A person asked it, of this integration, and so.
        #[serde(skip_serializing_if = "Option::is_none")]
        asked: Option<Value>,
        /// A person had Exotel do this with the call; one entry when it went out, one when it was known what came of it.
        #[serde(skip_serializing_if = "Option::is_none")]
        ordered: Option<Box<Value>>,
        /// What an applet was told, and why.
        #[serde(skip_serializing_if = "Option::is_none")]
        routed: Option<Routed>,
    },
    /// Something is to be written into a CRM.
    Planned { delivery: uuid::Uuid, integration: String, kind: &'static str },
    /// It was tried.
    Attempt {
        delivery: uuid::Uuid,
        integration: String,
        kind: &'static str,
        revision: i64,
        outcome: AttemptOutcome,
        remote_code: Option<String>,
        detail: String,
        duration_ms: u64,
        exchanges: Vec<ExchangeLog>,
    },
}

/// The timeline of a call, oldest first.
pub fn of(file: &CallFile) -> Vec<Entry> {
    let mut entries = Vec::new();
    for event in &file.call.events {
        let seen: Vec<&Witness> = file.witnesses.iter().filter(|one| one.event == event.id).collect();
        let at = seen.iter().map(|one| one.received_at).min().unwrap_or(event.received_at);
        let facts = &event.facts;
        entries.push(Entry {
            at,
            what: What::Event {
                kind: event.kind.clone(),
                exotel_at: event.at,
                times: seen.len(),
                agent: facts.agent.clone(),
                status: facts.dial_call_status.clone().or_else(|| facts.call_status.clone()),
                digits: facts.digits.iter().map(|one| json!({ "tag": one.tag, "value": one.value })).collect(),
                refused_recording_host: facts.refused_recording_host.clone(),
                asked: facts.asked_by.as_ref().filter(|_| facts.order.is_none()).map(|by| {
                    json!({
                        "by": by,
                        "integration": facts.integration,
                        "record": facts.chosen,
                        "follow_up": facts.follow_up,
                    })
                }),
                ordered: facts.order.as_ref().map(|order| {
                    let mut told = json!(order);
                    told["by"] = json!(facts.asked_by);
                    Box::new(told)
                }),
                routed: facts.routed.clone(),
            },
        });
    }
    for delivery in &file.deliveries {
        entries.push(Entry {
            at: delivery.created_at,
            what: What::Planned {
                delivery: delivery.id,
                integration: delivery.integration.clone(),
                kind: delivery.kind.as_str(),
            },
        });
    }
    for (id, attempt) in &file.attempts {
        let Some(delivery) = file.deliveries.iter().find(|delivery| delivery.id == *id) else { continue };
        entries.push(Entry {
            at: attempt.at,
            what: What::Attempt {
                delivery: *id,
                integration: delivery.integration.clone(),
                kind: delivery.kind.as_str(),
                revision: attempt.revision,
                outcome: attempt.outcome,
                remote_code: attempt.remote_code.clone(),
                detail: attempt.detail.clone(),
                duration_ms: attempt.duration_ms,
                exchanges: attempt.exchanges.clone(),
            },
        });
    }
    entries.sort_by_key(|entry| entry.at);
    entries
}

/// The whole of a call as the API answers it.
pub fn call(file: &CallFile) -> Value {
    let CallState { call_sid, .. } = &file.state;
    let records: Vec<Value> = file
        .links
        .iter()
        .map(|(integration, kind, link)| {
            json!({
                "integration": integration,
                "kind": kind.as_str(),
                "record": link.at,
                "subject": match &link.written {
                    Written::FollowUp(it) => Some(&it.subject),
                    Written::Log(activity) => Some(&activity.subject),
                    Written::Recording(_) => None,
                },
            })
        })
        .collect();
    json!({
        "call_sid": call_sid,
        "state": state(&file.state),
        "first_seen_at": file.first_seen_at,
        "updated_at": file.updated_at,
        "next_enquiry_at": file.call.enquiry.and_then(|enquiry| enquiry.due_at),
        "records": records,
        "deliveries": file.deliveries.iter().map(delivery).collect::<Vec<_>>(),
        "timeline": of(file),
    })
}

/// A call's state, without the address of its recording.
fn state(state: &CallState) -> Value {
    let mut value = json!(state);
    if let Some(map) = value.as_object_mut() {
        map.remove("recording_url");
        map.insert("recording".to_owned(), json!(state.recording_url.is_some()));
        map.insert("complete".to_owned(), json!(state.complete()));
    }
    value
}

/// A delivery as the API lists it.
pub fn delivery(one: &Delivery) -> Value {
    json!({
        "id": one.id,
        "integration": one.integration,
        "call_sid": one.call_sid,
        "kind": one.kind.as_str(),
        "state": one.state,
        "reason": one.reason,
        "revision": one.revision,
        // Tries that failed since it last succeeded or was sent again; every try is in the call's timeline.
        "failures": one.attempts,
        "due_at": one.due_at,
        "probe": one.probe,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
    })
}
