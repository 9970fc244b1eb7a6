//! What makes two callbacks one: everything they say that a call is folded from.

use jiff::Timestamp;
use uuid::{Uuid, uuid};

use crate::call::{
    event::{EventId, EventKind, Facts},
    person::CameOfIt,
    receipt::Hook,
};

const NAMESPACE: Uuid = uuid!("6f1d6a30-5f5b-4b0c-9d3a-2c54f0a1c0de");

/// Hashes what an event says. Only fields that are there go in, by name: a field that Patchbay learns to read later does
/// not change the identity of the events that never had it.
///
/// Exotel's own clock is part of it, since a caller may press the same key at the same menu again; but an answer to our own
/// question is the same for as long as it says the same.
pub(super) fn of(hook: Hook, call_sid: &str, kind: &EventKind, at: Option<Timestamp>, facts: &Facts) -> EventId {
    let mut said = Said(Vec::new());
    // Two families that tell of one thing in the same words tell of one event.
    let door = if Hook::OPENABLE.contains(&hook) { Hook::CallEvents } else { hook };
    said.text("hook", Some(door.as_str()));
    said.text("call", Some(call_sid));
    said.text("kind", Some(&format!("{kind:?}")));
    if !matches!(kind, EventKind::Detailed | EventKind::Listed) {
        said.time("at", at);
    }
    said.text("direction", facts.direction.map(|direction| format!("{direction:?}")).as_deref());
    said.text("customer", facts.customer.as_deref());
    said.text("exophone", facts.exophone.as_deref());
    said.text("agent", facts.agent.as_deref());
    said.text("email", facts.agent_email.as_deref());
    said.text("call_status", facts.call_status.as_deref());
    said.text("dial_call_status", facts.dial_call_status.as_deref());
    said.text("call_type", facts.call_type.as_deref());
    said.text("automatic", facts.automatic.then_some("yes"));
    for leg in &facts.legs {
        said.text("leg", Some(""));
        said.text("number", leg.number.as_deref());
        said.number("on_call", leg.on_call_seconds);
        said.text("status", leg.status.as_deref());
        said.text("cause", leg.cause.as_deref());
        said.text("cause_code", leg.cause_code.as_deref());
        said.text("answered_by", leg.answered_by.as_deref());
    }
    said.text("keyed_at", facts.keyed_at.map(|keyed_at| format!("{keyed_at:?}")).as_deref());
    for digits in &facts.digits {
        said.text("tag", Some(&digits.tag));
        said.text("digits", Some(&digits.value));
    }
    said.time("started_at", facts.started_at);
    said.time("ended_at", facts.ended_at);
    said.number("dial_seconds", facts.dial_seconds);
    said.number("conversation_seconds", facts.conversation_seconds);
    said.number("total_seconds", facts.total_seconds);
    said.text("recording", facts.recording_url.as_deref());
    said.text("refused", facts.refused_recording_host.as_deref());
    said.text("custom_field", facts.custom_field.as_deref());
    for (name, value) in &facts.stream {
        said.text("stream", Some(name));
        said.text("value", Some(value));
    }
    said.text("stream_recording", facts.stream_recording_url.as_deref());
    said.text("placed_for_bot", facts.placed_for_bot.as_ref().map(|wish| wish.bot.as_str()));
    said.text("integration", facts.integration.as_deref());
    if let Some(record) = &facts.chosen {
        said.text("chosen_kind", Some(&record.kind));
        said.text("chosen_id", Some(&record.id));
    }
    if let Some(wish) = &facts.follow_up {
        said.text("follow_up", Some(&format!("{:?}", wish.kind)));
        said.text("subject", wish.subject.as_deref());
        said.time("due_at", wish.due_at);
    }
    if let Some(order) = &facts.order {
        said.text("order", Some(&order.id.to_string()));
        said.text("came_of_it", order.came_of_it.map(CameOfIt::as_str));
    }
    if let Some(bot) = &facts.bot {
        said.text("session", Some(&bot.session.to_string()));
        said.number("part", bot.part.as_ref().map(|part| part.number));
    }
    if facts.routed.is_some() || facts.asked_by.is_some() {
        // An applet that asks twice is told twice. Who changes his mind and back within a second has asked three times.
        said.text("at_ms", at.map(|at| at.as_millisecond().to_string()).as_deref());
    }
    EventId(Uuid::new_v5(&NAMESPACE, &said.0))
}

/// Names and values with their lengths before them, so that no two sequences run into one.
struct Said(Vec<u8>);

impl Said {
    fn text(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        for part in [name, value] {
            self.0.extend_from_slice(&(part.len() as u64).to_be_bytes());
            self.0.extend_from_slice(part.as_bytes());
        }
    }

    fn number(&mut self, name: &str, value: Option<u32>) {
        self.text(name, value.map(|value| value.to_string()).as_deref());
    }

    fn time(&mut self, name: &str, value: Option<Timestamp>) {
        self.text(name, value.map(|value| value.as_second().to_string()).as_deref());
    }
}
