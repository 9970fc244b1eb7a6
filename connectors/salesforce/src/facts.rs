//! A call's facts as fields of its task: Salesforce's own for calls, and those that the set-up page adds.

use jiff::Timestamp;
use patchbay_kit::{CallActivity, Direction, Outcome, TriedStatus};
use serde_json::{Map, Value, json};

use crate::settings::Org;

/// Something that is known of a call and has no field of Salesforce's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    RecordingUrl,
    Direction,
    Duration,
    TotalDuration,
    Status,
    From,
    To,
    VirtualNumber,
    Start,
    End,
    Leg1Status,
    Leg2Status,
    Digits,
}

/// By its name in `call_fields`, and the field that it goes to where that is not set (the screen "Call Details").
const FACTS: [(Fact, &str, Option<&str>); 13] = [
    (Fact::RecordingUrl, "recording_url", Some("Recording_URL__c")),
    (Fact::Direction, "direction", Some("Call_Direction__c")),
    (Fact::Duration, "duration", Some("Call_Duration__c")),
    (Fact::TotalDuration, "total_duration", None),
    (Fact::Status, "status", Some("Call_Status__c")),
    (Fact::From, "from", Some("From__c")),
    (Fact::To, "to", Some("To__c")),
    (Fact::VirtualNumber, "virtual_number", Some("Virtual_Number__c")),
    (Fact::Start, "start", Some("Start_Time__c")),
    (Fact::End, "end", Some("End_Time__c")),
    (Fact::Leg1Status, "leg1_status", Some("Leg1_Status__c")),
    (Fact::Leg2Status, "leg2_status", Some("Leg2_Status__c")),
    (Fact::Digits, "digits", None),
];

impl Fact {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        FACTS.iter().find(|(_, known, _)| *known == name).map(|(fact, _, _)| *fact)
    }

    pub(crate) fn names() -> String {
        FACTS.map(|(_, name, _)| name).join(", ")
    }

    /// The fields of the set-up page.
    pub(crate) fn usual() -> Vec<(Self, String)> {
        FACTS.iter().filter_map(|(fact, _, field)| Some((*fact, (*field)?.to_owned()))).collect()
    }

    /// `None`: nothing is known of it, and so nothing is written over what stands there.
    fn of(self, call: &CallActivity, org: &Org) -> Option<Value> {
        let incoming = call.direction == Direction::Incoming;
        let agent = || call.agent_number().unwrap_or(&call.exophone);
        let leg = |at: usize| call.tried.get(at).map(|tried| json!(tried.status.as_str()));
        match self {
            Self::RecordingUrl => call.recording_link.as_ref().map(|link| json!(link)),
            Self::Direction => Some(json!(if incoming { "Inbound" } else { "Outbound" })),
            Self::Duration => call.talk_seconds.map(|seconds| json!(seconds)),
            Self::TotalDuration => call.total_seconds.map(|seconds| json!(seconds)),
            Self::Status => Some(json!(status(call))),
            Self::From => Some(json!((if incoming { &call.customer } else { agent() }).written)),
            Self::To => Some(json!((if incoming { agent() } else { &call.customer }).written)),
            Self::VirtualNumber => Some(json!(call.exophone.written)),
            Self::Start => call.started_at.map(|at| json!(org.moment(at))),
            Self::End => call.ended_at.map(|at| json!(org.moment(at))),
            Self::Leg1Status => leg(0),
            Self::Leg2Status => leg(1),
            Self::Digits => {
                let pressed = call.digits.iter().map(|digits| format!("{}: {}", digits.tag, digits.value));
                Some(pressed.collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty()).map(Value::from)
            }
        }
    }
}

/// Nobody was there to be dialled, or none of those who were could even be rung.
fn not_connected(call: &CallActivity) -> bool {
    call.outcome == Outcome::Missed && call.tried.iter().all(|tried| tried.status == TriedStatus::Failed)
}

fn status(call: &CallActivity) -> &'static str {
    if not_connected(call) { "not_connected" } else { call.outcome.as_str() }
}

impl Org {
    /// A time as both a field of times and one of text take it.
    pub(crate) fn moment(&self, at: Timestamp) -> String {
        at.to_zoned(self.utc_offset.to_time_zone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// The day on the account's clock: a task's day has no time zone.
    pub(crate) fn day(&self, at: Timestamp) -> String {
        at.to_zoned(self.utc_offset.to_time_zone()).strftime("%Y-%m-%d").to_string()
    }

    /// What people choose too, after the call: written again only where the call has ended otherwise.
    pub(crate) fn ending(&self, call: &CallActivity) -> [(String, Value); 2] {
        let disposition = match call.outcome {
            Outcome::Answered => "Answered",
            Outcome::Voicemail => "Voicemail",
            Outcome::Missed if not_connected(call) => "Not connected",
            Outcome::Missed => "Missed",
            Outcome::FlowEnded => "Ended in the flow",
        };
        // A voicebot says more of its call than that it ended.
        let disposition = call.disposition.as_deref().unwrap_or(disposition);
        [("CallDisposition".to_owned(), json!(disposition)), ("Status".to_owned(), self.status_of(call.outcome))]
    }

    /// Everything else that is a fact. "Object Reference, Task" \[V\] for Salesforce's own fields.
    pub(crate) fn facts(&self, call: &CallActivity) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut set = |name: &str, value: Value| {
            fields.insert(name.to_owned(), value);
        };
        set("CallType", json!(if call.direction == Direction::Incoming { "Inbound" } else { "Outbound" }));
        set("CallObject", json!(call.key.0));
        if let Some(seconds) = call.talk_seconds {
            set("CallDurationInSeconds", json!(seconds));
        }
        for (fact, field) in &self.call_fields {
            if let Some(value) = fact.of(call, self) {
                set(field, value);
            }
        }
        fields
    }

    /// Whether a task is done when it is made.
    fn status_of(&self, outcome: Outcome) -> Value {
        match outcome {
            Outcome::Missed | Outcome::Voicemail => json!(self.missed_status),
            Outcome::Answered | Outcome::FlowEnded => {
                self.defaults.get("", "Status").cloned().unwrap_or_else(|| json!("Completed"))
            }
        }
    }
}
