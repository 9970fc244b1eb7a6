//! The record of a call: one under Calls, made unique by the field that holds the CallSid.
//!
//! It is inserted, and where the unique field says that it is there already, changed: an upsert by hand. Zoho's own
//! upsert does not name Calls among its modules ("Upsert Records", v8 \[V\]), while every insert checks unique fields
//! ("Insert Records", v8 \[V\]).

use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};
use patchbay_kit::{
    Activities, CallActivity, Changed, Direction, Exchange, Failure, Outcome, RecordRef, Request, Response, StatusCode,
    Step, Text, Updates,
};
use serde_json::{Map, Value, json};

use crate::{
    ZohoCrm, bridge,
    errors::{self, On},
    path,
    query::{self, Answer},
    write::{self, Made},
};

pub(crate) fn at(id: &str) -> RecordRef {
    RecordRef::new("call", id)
}

/// ISO 8601 with an offset, without fractions ("Kaizen 38 – Calls API" \[V\]).
pub(crate) fn time(at: Timestamp, offset: Offset) -> String {
    at.to_zoned(TimeZone::fixed(offset)).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// Whom a record is about: contacts stand in a field of their own, everybody else in `What_Id` beside the module's name
/// ("Kaizen 38 – Calls API" \[V\]).
pub(crate) fn link(contact: &RecordRef) -> Vec<(String, Value)> {
    let id = json!({"id": contact.id});
    let module = match contact.kind.as_str() {
        "lead" => "Leads",
        "account" => "Accounts",
        _ => return vec![("Who_Id".to_owned(), id)],
    };
    vec![("What_Id".to_owned(), id), ("$se_module".to_owned(), json!(module))]
}

pub(crate) fn owner(agent: &RecordRef) -> (String, Value) {
    ("Owner".to_owned(), json!({"id": agent.id}))
}

/// Times, duration and recording.
fn facts(call: &CallActivity, offset: Offset) -> Vec<(String, Value)> {
    let seconds = match call.outcome {
        Outcome::FlowEnded => call.talk_seconds.or(call.total_seconds),
        Outcome::Answered | Outcome::Voicemail | Outcome::Missed => call.talk_seconds,
    };
    let seconds = seconds.unwrap_or(0);
    // `mm:ss`; mandatory for a call that took place ("Kaizen 38 – Calls API" [V]).
    let mut facts = vec![("Call_Duration".to_owned(), json!(format!("{:02}:{:02}", seconds / 60, seconds % 60)))];
    if let Some(started) = call.started_at.or(call.ended_at) {
        facts.push(("Call_Start_Time".to_owned(), json!(time(started, offset))));
    }
    if let Some(link) = &call.recording_link {
        // A field of the standard layout that takes a URL [C].
        facts.push(("Voice_Recording__s".to_owned(), json!(link)));
    }
    facts
}

impl ZohoCrm {
    /// All of a call, but for what Zoho does not let anybody change later.
    fn changeable(&self, call: &CallActivity) -> Map<String, Value> {
        let mut fields = Map::from_iter(facts(call, self.custom.offset));
        fields.insert("Subject".to_owned(), json!(call.subject));
        fields.insert("Description".to_owned(), json!(call.body));
        fields.extend(call.contact.iter().flat_map(link));
        fields
    }

    fn whole(&self, call: &CallActivity) -> Map<String, Value> {
        let mut fields = self.changeable(call);
        let (kind, from, to) = match (call.direction, call.outcome) {
            (Direction::Incoming, Outcome::Answered | Outcome::FlowEnded) => {
                ("Inbound", &call.customer, &call.exophone)
            }
            (Direction::Incoming, Outcome::Voicemail | Outcome::Missed) => ("Missed", &call.customer, &call.exophone),
            (Direction::Outgoing, _) => ("Outbound", &call.exophone, &call.customer),
        };
        fields.insert("Call_Type".to_owned(), json!(kind));
        fields.insert("Caller_ID".to_owned(), json!(from.written));
        fields.insert("Dialled_Number".to_owned(), json!(to.written));
        fields.insert(self.custom.call_sid_field.clone(), json!(call.key.0));
        if call.direction == Direction::Outgoing {
            // The name differs between captures; the one that is no field is ignored [C].
            for name in ["Outgoing_Call_Status", "Outbound_Call_Status"] {
                fields.insert(name.to_owned(), json!("Completed"));
            }
        }
        fields.extend(call.agent.as_ref().map(owner));
        self.custom.filled(On::Call, fields)
    }

    /// The record whose field for CallSids holds this.
    pub(crate) fn call_with(&self, label: &'static str, sid: &str) -> Exchange<Option<RecordRef>> {
        with_sid(label, &self.custom.call_sid_field, sid, |found| Ok(Step::Done(found.map(at))))
    }
}

fn with_sid<T>(
    label: &'static str,
    field: &str,
    sid: &str,
    then: impl Fn(Option<&str>) -> Result<Step<T>, Failure> + Send + Sync + 'static,
) -> Exchange<T> {
    let text = format!("select id from Calls where {field} = {} limit 1", query::quoted(sid));
    query::ask(label, &text, move |answer| match answer {
        Answer::Rows(rows) => then(rows.first().and_then(|row| row.get("id")?.as_str())),
        Answer::Refused(refusal) => Err(refusal.failure(On::Call)),
    })
}

impl Activities for ZohoCrm {
    /// `None` where PhoneBridge makes the record: it cannot be asked, and need not be, as it knows a call by its id.
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>> {
        if self.custom.phonebridge && bridge::knows(call) {
            return None;
        }
        Some(self.call_with("call.find", &call.key.0))
    }

    /// "Insert Records", v8, and "Kaizen 38 – Calls API" \[V\]
    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        if self.custom.phonebridge
            && let Some(logged) = bridge::log(call)
        {
            return logged;
        }
        let (field, sid) = (self.custom.call_sid_field.clone(), call.key.0.clone());
        // Type and owner of a call that is over cannot be changed ("Kaizen 38 – Calls API" [V]).
        let again = self.changeable(call);
        write::insert("call.create", On::Call, self.whole(call), move |made| match made {
            Made::New(id) => Ok(Step::Done(at(id))),
            Made::There { id: Some(id), field: held } if held == field => {
                Ok(Step::Then(write::update("call.update", On::Call, id, again.clone(), at)))
            }
            Made::There { id: None, field: held } if held == field => {
                let (again, taken) = (again.clone(), field.clone());
                Ok(Step::Then(with_sid("call.find", &field, &sid, move |found| match found {
                    Some(id) => Ok(Step::Then(write::update("call.update", On::Call, id, again.clone(), at))),
                    None => Err(write::taken(&taken)),
                })))
            }
            Made::There { field, .. } => Err(write::taken(field)),
        })
    }
}

impl Updates for ZohoCrm {
    /// "Update Records", v8 \[V\]
    fn update(&self, at: &RecordRef, call: &CallActivity, changed: Changed) -> Exchange<RecordRef> {
        // The CallSid is there already: it stands for "nothing", which Zoho does not take.
        let mut fields = Map::from_iter([(self.custom.call_sid_field.clone(), json!(call.key.0))]);
        if changed.subject {
            fields.insert("Subject".to_owned(), json!(call.subject));
        }
        if changed.body {
            fields.insert("Description".to_owned(), json!(call.body));
        }
        if changed.facts {
            fields.extend(facts(call, self.custom.offset));
        }
        if changed.contact {
            fields.extend(call.contact.iter().flat_map(link));
        }
        if changed.agent {
            fields.extend(call.agent.as_ref().map(owner));
        }
        if fields.len() > 1 {
            fields.remove(&self.custom.call_sid_field);
        }
        write::update("call.update", On::Call, &at.id, fields, self::at)
    }

    /// "Get Records", v8 \[V\], by the record's id. *Description* is where agents write what was said.
    ///
    /// Where PhoneBridge made the record, it has no id that could be asked for.
    fn text(&self, at: &RecordRef) -> Option<Exchange<Text>> {
        if at.kind != self::at("").kind {
            return None;
        }
        let show = Request::get("call.text", path(["Calls", &at.id])).query("fields", "Description");
        let read = |reply: &Response| {
            if GONE.contains(&reply.status) {
                return Err(errors::gone());
            }
            let body: Value = reply.json()?;
            let text = body.pointer("/data/0/Description").and_then(Value::as_str);
            Ok(Text(text.unwrap_or_default().to_owned()))
        };
        Some(show.done(read).accepting(GONE))
    }
}

/// "Status Codes", v8 \[V\]: nothing is there, or nothing under this id.
const GONE: &[StatusCode] = &[StatusCode::NO_CONTENT, StatusCode::NOT_FOUND];
