//! What happened to a call, in order, as the API and the demo tell it.

use jiff::Timestamp;
use patchbay_kit::RecordRef;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    call::{BotSession, CallState, EventKind, FollowUpWish, Order, StreamTold, route::Routed, shape},
    store::{AttemptOutcome, CallFile, Delivery, DeliveryState, ExchangeLog, Witness, Written},
};

/// One line of a timeline.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Entry {
    pub at: Timestamp,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
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
        #[schemars(with = "Vec<shape::DigitsShape>")]
        digits: Vec<patchbay_kit::Digits>,
        /// A recording's address was in it whose host is not one of Exotel's: it was dropped.
        #[serde(skip_serializing_if = "Option::is_none")]
        refused_recording_host: Option<String>,
        /// A person asked it, of this integration, and so.
        #[serde(skip_serializing_if = "Option::is_none")]
        asked: Option<Box<AskedShown>>,
        /// A person had Exotel do this with the call; one entry when it went out, one when it was known what came of it.
        #[serde(skip_serializing_if = "Option::is_none")]
        ordered: Option<Box<OrderShown>>,
        /// What an applet was told, and why.
        #[serde(skip_serializing_if = "Option::is_none")]
        routed: Option<Box<Routed>>,
        /// Which voicebot had the caller; once that is over, how it went.
        #[serde(skip_serializing_if = "Option::is_none")]
        bot: Option<Box<BotSession>>,
        /// What Exotel says of the voicebot's stream, and why it failed where it did.
        #[serde(skip_serializing_if = "Option::is_none")]
        stream: Option<Box<StreamTold>>,
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

/// An order, and who gave it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OrderShown {
    by: String,
    #[serde(flatten)]
    order: Order,
}

/// What a person asked of a call.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AskedShown {
    by: String,
    integration: Option<String>,
    #[schemars(with = "Option<shape::RecordShape>")]
    record: Option<RecordRef>,
    follow_up: Option<FollowUpWish>,
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
                digits: facts.digits.clone(),
                refused_recording_host: facts.refused_recording_host.clone(),
                asked: facts.asked_by.clone().filter(|_| facts.order.is_none()).map(|by| {
                    Box::new(AskedShown {
                        by,
                        integration: facts.integration.clone(),
                        record: facts.chosen.clone(),
                        follow_up: facts.follow_up.clone(),
                    })
                }),
                ordered: facts
                    .order
                    .clone()
                    .map(|order| Box::new(OrderShown { by: facts.asked_by.clone().unwrap_or_default(), order })),
                routed: facts.routed.clone().map(Box::new),
                bot: facts.bot.clone().map(Box::new),
                stream: StreamTold::of(facts).map(Box::new),
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
#[derive(Debug, Serialize, JsonSchema)]
pub struct CallShown {
    call_sid: String,
    state: StateShown,
    first_seen_at: Timestamp,
    updated_at: Timestamp,
    /// When Exotel is asked for more about it. `null`: nothing is open.
    next_enquiry_at: Option<Timestamp>,
    records: Vec<RecordShown>,
    deliveries: Vec<DeliveryShown>,
    timeline: Vec<Entry>,
}

/// A call's state, without the address of its recording.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StateShown {
    #[serde(flatten)]
    state: CallState,
    /// Whether there is one.
    recording: bool,
    /// Nothing more is to come.
    complete: bool,
}

/// What stands for a call in one CRM.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecordShown {
    integration: String,
    /// `log`, `recording` or `follow_up`.
    kind: &'static str,
    #[schemars(with = "shape::RecordShape")]
    record: RecordRef,
    subject: Option<String>,
}

/// Something that is to be written into a CRM, and how that stands.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DeliveryShown {
    id: uuid::Uuid,
    integration: String,
    call_sid: String,
    kind: &'static str,
    state: DeliveryState,
    /// Why it is not done.
    reason: Option<String>,
    revision: i64,
    /// Tries that failed since it last succeeded or was sent again; every try is in the call's timeline.
    failures: u32,
    due_at: Timestamp,
    /// The record is looked for before it is made.
    probe: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// The whole of a call as the API answers it.
pub fn call(file: &CallFile) -> CallShown {
    let records = file.links.iter().map(|(integration, kind, link)| RecordShown {
        integration: integration.clone(),
        kind: kind.as_str(),
        record: link.at.clone(),
        subject: match &link.written {
            Written::FollowUp(it) => Some(it.subject.clone()),
            Written::Log(activity) => Some(activity.subject.clone()),
            Written::Recording(_) => None,
        },
    });
    CallShown {
        call_sid: file.state.call_sid.clone(),
        state: StateShown {
            recording: file.state.recording_url.is_some(),
            complete: file.state.complete(),
            state: CallState { recording_url: None, ..file.state.clone() },
        },
        first_seen_at: file.first_seen_at,
        updated_at: file.updated_at,
        next_enquiry_at: file.call.enquiry.and_then(|enquiry| enquiry.due_at),
        records: records.collect(),
        deliveries: file.deliveries.iter().map(delivery).collect(),
        timeline: of(file),
    }
}

/// A delivery as the API lists it.
pub fn delivery(one: &Delivery) -> DeliveryShown {
    DeliveryShown {
        id: one.id,
        integration: one.integration.clone(),
        call_sid: one.call_sid.clone(),
        kind: one.kind.as_str(),
        state: one.state,
        reason: one.reason.clone(),
        revision: one.revision,
        failures: one.attempts,
        due_at: one.due_at,
        probe: one.probe,
        created_at: one.created_at,
        updated_at: one.updated_at,
    }
}
