//! A call's record: a phone call activity of the lead's, made by a call log.

use std::{sync::Arc, time::Duration};

use patchbay_kit::{
    Activities, CallActivity, Direction, Exchange, Failure, Kind, Outcome, Party, RecordRef, Rendering, Request,
    Response, Retry, Step,
};
use serde_json::{Map, Value, json};

use crate::{
    LeadSquared, defaults, errors, note,
    search::{ACTIVITY, SESSION, Search},
    settings::CALL_LOG_URL,
};

impl Activities for LeadSquared {
    /// With keys, among the calls of the caller's lead. Without them nothing can be asked.
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>> {
        let search = Search::of(call, None).filter(|_| self.chosen.keys)?;
        Some(search.page(0, None, Arc::new(|found| Ok(Step::Done(found)))))
    }

    /// "Post a Call Log" \[V\], by the capability URL of the telephony connector (LogCallComplete takes the same body).
    /// Whether a second log with the same `CallSessionId` is the first is not documented, so it counts as another. And so
    /// nothing more is asked once the log is taken: a failure after it would have it sent again.
    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        let key = call.key.0.clone();
        Request::post_to("call.log", CALL_LOG_URL).json(defaults::log(&self.defaults, self.log(call))).done(
            move |reply| {
                errors::inside(reply)?;
                Ok(match logged(reply)? {
                    Some(id) => RecordRef::new(ACTIVITY, id),
                    None => RecordRef::new(SESSION, &key),
                })
            },
        )
    }
}

/// The activity's id, where a log's answer names it. `{"RequestId"}` is the answer of the asynchronous host.
fn logged(reply: &Response) -> Result<Option<String>, Failure> {
    let body: Value = reply.json()?;
    let success = body.get("Status").and_then(Value::as_str).is_some_and(|said| said.eq_ignore_ascii_case("success"));
    if !success && !body.get("RequestId").is_some_and(Value::is_string) {
        return Err(
            Failure::new(Kind::Malformed, Retry::Backoff).because("LeadSquared does not say that it took the log")
        );
    }
    Ok(body.pointer("/Message/Id").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned))
}

impl LeadSquared {
    /// A call as a log says it.
    fn log(&self, call: &CallActivity) -> Map<String, Value> {
        let number = |party: &Party| party.render(Rendering::Hyphenated);
        let exophone = number(&call.exophone);
        // A log without a lead makes one by this number: a word in its place is left out, and the log refused for it.
        let customer = Some(number(&call.customer))
            .filter(|text| call.contact.is_some() || text.bytes().any(|byte| byte.is_ascii_digit()))
            .unwrap_or_default();
        // Whom nobody was put through to is logged as having reached the ExoPhone.
        let agent = call.agent_number().map_or_else(|| exophone.clone(), number);
        let (source, destination) = match call.direction {
            Direction::Incoming => (customer, agent),
            Direction::Outgoing => (agent, customer),
        };
        let mut log = Map::from_iter([
            ("SourceNumber".to_owned(), json!(source)),
            ("DestinationNumber".to_owned(), json!(destination)),
            ("DisplayNumber".to_owned(), json!(exophone)),
            ("CallDuration".to_owned(), json!(call.talk_seconds.unwrap_or_default())),
            ("Status".to_owned(), json!(status(call.outcome))),
            ("Direction".to_owned(), json!(direction(call.direction))),
            ("CallSessionId".to_owned(), json!(call.key.0)),
            ("CallNotes".to_owned(), json!(note::composed(&call.subject, &call.body))),
        ]);
        let lasted = Duration::from_secs(call.total_seconds.or(call.talk_seconds).unwrap_or_default().into());
        let started_at = call.started_at.or_else(|| call.ended_at?.checked_sub(lasted).ok());
        let ended_at = call.ended_at.or_else(|| call.started_at?.checked_add(lasted).ok()).max(started_at);
        // By a clock so far east of Greenwich: added to the time itself, it is written without a zone.
        let by = Duration::from_secs(self.chosen.times_s.unsigned_abs().into());
        for (field, at) in [("StartTime", started_at), ("EndTime", ended_at)] {
            let shifted =
                at.and_then(|at| if self.chosen.times_s < 0 { at.checked_sub(by) } else { at.checked_add(by) }.ok());
            if let Some(at) = shifted {
                log.insert(field.to_owned(), json!(at.strftime("%Y-%m-%d %H:%M:%S").to_string()));
            }
        }
        for (field, value) in [
            ("ResourceURL", call.recording_link.as_deref()),
            ("LeadId", call.contact.as_ref().map(|lead| lead.id.as_str())),
            ("UserId", call.agent.as_ref().map(|agent| agent.id.as_str())),
        ] {
            if let Some(value) = value {
                log.insert(field.to_owned(), json!(value));
            }
        }
        log
    }
}

/// Only these two have been seen stored \[C\]; the documentation's list of them was not to be had. What sort of call it was
/// stands in the notes.
fn status(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "Answered",
        Outcome::Voicemail | Outcome::Missed | Outcome::FlowEnded => "NotAnswered",
    }
}

pub(crate) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Incoming => "Inbound",
        Direction::Outgoing => "Outbound",
    }
}
