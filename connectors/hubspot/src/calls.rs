//! A call's record: a call engagement, upserted by its CallSid and then associated with the caller's contact.

use std::sync::Arc;

use jiff::Timestamp;
use patchbay_kit::{
    About, Activities, CallActivity, Changed, Direction, Exchange, Failure, Kind, Outcome, RecordRef, Rendering,
    Request, Response, Retry, Safety, StatusCode, Step, Text, TriedStatus, Updates,
};
use serde_json::Value;

use crate::{
    HubSpot,
    batch::{self, Id, NOT_THERE, Values, path},
    errors::{self, On, Said},
};

/// Refusals whose properties are read here: some can be done without.
const REFUSED: &[StatusCode] = &[StatusCode::BAD_REQUEST];
const REFUSED_OR_GONE: &[StatusCode] = &[StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND];
const GONE: &[StatusCode] = &[StatusCode::NOT_FOUND];

const DISPOSITION: &str = "hs_call_disposition";
const RECORDING: &str = "hs_call_recording_url";
const BODY: &str = "hs_call_body";

/// One write of a call, which is repeated without what HubSpot will not have.
struct Write {
    /// The record; `None` upserts.
    at: Option<String>,
    sid_property: String,
    key: String,
    values: Values,
    /// The call's text, and the link for it should the property for recordings not take it.
    body: String,
    link: Option<String>,
    contact: Option<String>,
    /// Whether HubSpot is told that there is a recording to be asked for.
    announces: bool,
    app: bool,
}

impl Write {
    /// "Calls: Create a call", "Update calls" \[V\]. Properties that are not sent stay.
    fn send(self: Arc<Self>, without: Vec<&'static str>) -> Exchange<RecordRef> {
        let mut values = self.values.clone();
        for property in &without {
            values.remove(*property);
            if let Some(link) = self.link.as_ref().filter(|_| *property == RECORDING) {
                put_link(&mut values, &self.body, link);
            }
        }
        let (request, accepts) = match &self.at {
            None => (batch::upsert("call.upsert", "calls", &self.sid_property, &self.key, &values), REFUSED),
            Some(id) => {
                let body = serde_json::json!({"properties": values});
                (Request::patch("call.update", path(["calls", id])).json(body), REFUSED_OR_GONE)
            }
        };
        request.then(move |reply| self.read(reply, &without)).accepting(accepts)
    }

    fn read(self: &Arc<Self>, reply: &Response, without: &[&'static str]) -> Result<Step<RecordRef>, Failure> {
        if reply.status == StatusCode::NOT_FOUND {
            return Err(gone());
        }
        let refused = |said: Said, failure: Failure| {
            // A portal may have other dispositions, or be narrower about recordings: neither is worth the whole call.
            let spare = [DISPOSITION, RECORDING].into_iter().find(|spare| {
                !without.contains(spare)
                    && self.values.contains_key(*spare)
                    && said.refused.iter().any(|refused| refused.property == *spare)
            });
            match spare {
                Some(spare) => Ok(Step::Then(Arc::clone(self).send([without, &[spare]].concat()))),
                None => Err(failure),
            }
        };
        if reply.status == StatusCode::BAD_REQUEST {
            return refused(Said::of(reply), errors::classify(reply, On::Call, self.app));
        }
        let id = match &self.at {
            Some(_) => reply.json::<Id>()?.id,
            None => match batch::written(reply)? {
                Ok(written) => written.id,
                Err(error) => {
                    return refused(Said::of_body(&error), errors::classify_item(&error, On::Call, self.app));
                }
            },
        };
        let at = RecordRef::new("call", &id);
        let known = self.contact.as_ref().map(|contact| {
            batch::associate("call.associate", ("calls", &id), ("contacts", contact), self.app, at.clone())
        });
        let told = id.parse().ok().filter(|_| self.announces).map(|id| ready(id, at.clone()));
        Ok(match (known, told) {
            (None, None) => Step::Done(at),
            (Some(one), None) | (None, Some(one)) => Step::Then(one),
            (Some(known), Some(told)) => Step::Then(batch::then(known, told)),
        })
    }
}

fn gone() -> Failure {
    Failure::new(Kind::NotFound, Retry::Never)
        .code("OBJECT_NOT_FOUND")
        .about(About::Record)
        .because("the call has been deleted in HubSpot")
}

/// A no to the notice is no reason to hold the call: it is written, and has its link.
const NO_NOTICE: &[StatusCode] = &[StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];

/// "Calling extensions: Recordings and transcripts" \[V\]: HubSpot then asks the app for the recording.
fn ready(engagement: u64, at: RecordRef) -> Exchange<RecordRef> {
    let path = ["crm", "v3", "extensions", "calling", "recordings", "ready"];
    Request::post("recording.ready", path)
        .safety(Safety::Idempotent)
        .json(serde_json::json!({"engagementId": engagement}))
        .done(move |_| Ok(at.clone()))
        .accepting(NO_NOTICE)
}

impl Activities for HubSpot {
    /// By the unique property, which is not behind as search is.
    fn find(&self, call: &CallActivity) -> Option<Exchange<Option<RecordRef>>> {
        let app = self.app;
        let ids = [call.key.0.clone()];
        Some(
            batch::read("call.find", "calls", Some(&self.sid_property), &ids, &["hs_call_title"])
                .done(move |reply| {
                    let found: Vec<Id> = batch::found(reply, On::Call, app)?;
                    Ok(found.into_iter().next().map(|call| RecordRef::new("call", call.id)))
                })
                .accepting(NOT_THERE),
        )
    }

    fn create(&self, call: &CallActivity) -> Exchange<RecordRef> {
        let mut values = self.custom.call();
        let mut set = |name: &str, value: &str| {
            values.insert(name.to_owned(), Value::from(value));
        };
        let (from, to) = match call.direction {
            Direction::Incoming => (&call.customer, &call.exophone),
            Direction::Outgoing => (&call.exophone, &call.customer),
        };
        set("hs_call_title", &call.subject);
        set(BODY, &call.body);
        set("hs_call_direction", if call.direction == Direction::Incoming { "INBOUND" } else { "OUTBOUND" });
        set("hs_call_from_number", &from.render(Rendering::E164));
        set("hs_call_to_number", &to.render(Rendering::E164));
        // What the recording is asked for by ("Recordings and transcripts" [V]); with it goes the app's number, which a
        // customer with such an app puts in the defaults (`hs_call_app_id`).
        set("hs_call_source", "INTEGRATIONS_PLATFORM");
        set("hs_call_external_id", &call.key.0);
        if !self.account.is_empty() {
            set("hs_call_external_account_id", &self.account);
        }
        // Later only if the call has ended otherwise: an agent may have chosen another before the recording is written.
        if let Some(disposition) = self.custom.disposition(call.outcome) {
            set(DISPOSITION, disposition);
        }
        if let Some(agent) = &call.agent {
            set("hubspot_owner_id", &agent.id);
        }
        facts(&mut values, call);
        self.write(None, values, call, true, call.contact.as_ref())
    }
}

impl Updates for HubSpot {
    fn update(&self, at: &RecordRef, call: &CallActivity, changed: Changed) -> Exchange<RecordRef> {
        // Never empty, which might be refused.
        let mut values = Values::from_iter([("hs_call_external_id".to_owned(), Value::from(call.key.0.as_str()))]);
        if changed.subject {
            values.insert("hs_call_title".to_owned(), Value::from(call.subject.as_str()));
        }
        if changed.body {
            values.insert(BODY.to_owned(), Value::from(call.body.as_str()));
        }
        if let Some(agent) = call.agent.as_ref().filter(|_| changed.agent) {
            values.insert("hubspot_owner_id".to_owned(), Value::from(agent.id.as_str()));
        }
        if changed.facts {
            facts(&mut values, call);
        }
        // What was chosen for another ending is wrong for this one, whoever chose it.
        if let Some(disposition) = self.custom.disposition(call.outcome).filter(|_| changed.outcome) {
            values.insert(DISPOSITION.to_owned(), Value::from(disposition));
        }
        let contact = call.contact.as_ref().filter(|_| changed.contact);
        self.write(Some(at.id.clone()), values, call, changed.facts, contact)
    }

    /// The calling widget and the timeline let agents write into it ("Calls: Properties", `hs_call_body` \[V\]).
    fn text(&self, at: &RecordRef) -> Option<Exchange<Text>> {
        #[derive(serde::Deserialize)]
        struct Shown {
            properties: std::collections::BTreeMap<String, Option<String>>,
        }
        let show = Request::get("call.text", path(["calls", &at.id])).query("properties", BODY);
        let read = |reply: &Response| {
            if reply.status == StatusCode::NOT_FOUND {
                return Err(gone());
            }
            let mut shown: Shown = reply.json()?;
            Ok(Text(shown.properties.remove(BODY).flatten().unwrap_or_default()))
        };
        Some(show.done(read).accepting(GONE))
    }
}

impl HubSpot {
    fn write(
        &self,
        at: Option<String>,
        mut values: Values,
        call: &CallActivity,
        with_facts: bool,
        contact: Option<&RecordRef>,
    ) -> Exchange<RecordRef> {
        let link =
            call.recording_link.clone().filter(|link| ["https://", "http://"].iter().any(|s| link.starts_with(s)));
        // HubSpot refuses the whole call for a recording it does not like; such a link goes into the text, and into
        // every text that is written later.
        if let Some(link) = &link {
            if !is_recording(link) && (with_facts || values.contains_key(BODY)) {
                put_link(&mut values, &call.body, link);
            } else if with_facts && is_recording(link) {
                values.insert(RECORDING.to_owned(), Value::from(link.as_str()));
            }
        }
        let write = Write {
            at,
            sid_property: self.sid_property.clone(),
            key: call.key.0.clone(),
            values,
            body: call.body.clone(),
            link,
            contact: contact.map(|contact| contact.id.clone()),
            announces: with_facts && call.recording_link.is_some() && self.app && self.custom.fetches_recordings(),
            app: self.app,
        };
        Arc::new(write).send(Vec::new())
    }
}

/// Times and outcome.
fn facts(values: &mut Values, call: &CallActivity) {
    let mut set = |name: &str, value: String| {
        values.insert(name.to_owned(), Value::from(value));
    };
    // Required; milliseconds since 1970, as a text like all values.
    if let Some(at) = call.started_at.or(call.ended_at) {
        set("hs_timestamp", millis(at));
    }
    set("hs_call_status", status(call).to_owned());
    if let Some(seconds) = call.talk_seconds {
        set("hs_call_duration", (u64::from(seconds) * 1000).to_string());
    }
}

pub(crate) fn millis(at: Timestamp) -> String {
    at.as_millisecond().to_string()
}

/// "Calls: Properties", `hs_call_status` \[V\]
fn status(call: &CallActivity) -> &'static str {
    let last = call.tried.last().map(|tried| tried.status);
    match (call.outcome, call.direction, last) {
        (Outcome::Answered | Outcome::FlowEnded, _, _) => "COMPLETED",
        (_, Direction::Incoming, _) | (Outcome::Voicemail, _, _) => "MISSED",
        (_, _, Some(TriedStatus::Busy)) => "BUSY",
        (_, _, Some(TriedStatus::Failed)) => "FAILED",
        (_, _, Some(TriedStatus::Canceled)) => "CANCELED",
        _ => "NO_ANSWER",
    }
}

/// HTTPS, and the path, not the query, ends in `.mp3` or `.wav`: "Calls: Properties", `hs_call_recording_url` [V, C].
fn is_recording(link: &str) -> bool {
    let path = link.split(['?', '#']).next().unwrap_or_default();
    link.starts_with("https://") && [".mp3", ".wav"].iter().any(|end| path.ends_with(end))
}

/// A text that has the link already is not written for its sake: an agent may have written into it since.
fn put_link(values: &mut Values, body: &str, link: &str) {
    let text = with_link(body, link);
    if values.contains_key(BODY) || text != body {
        values.insert(BODY.to_owned(), Value::from(text));
    }
}

/// The text with the link in it, once.
fn with_link(body: &str, link: &str) -> String {
    let escaped = link.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    if body.contains(&escaped) {
        return body.to_owned();
    }
    format!("{body}<br><a href=\"{escaped}\">Call Recording</a>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_goes_into_a_text_once_and_as_text() {
        let once = with_link("CallSid: 1a2b", "http://a/r?x=1&y=\"<b>");
        assert_eq!(once, "CallSid: 1a2b<br><a href=\"http://a/r?x=1&amp;y=&quot;&lt;b&gt;\">Call Recording</a>");
        assert_eq!(with_link(&once, "http://a/r?x=1&y=\"<b>"), once);
    }

    #[test]
    fn a_text_that_has_the_link_is_not_written_for_it() {
        let mut values = Values::default();
        put_link(&mut values, "CallSid: 1a2b http://a/r", "http://a/r");
        assert!(values.is_empty());
        put_link(&mut values, "CallSid: 1a2b", "http://a/r");
        assert_eq!(values[BODY], "CallSid: 1a2b<br><a href=\"http://a/r\">Call Recording</a>");
    }

    #[test]
    fn only_the_path_of_a_link_tells_its_kind() {
        assert!(is_recording("https://calls.example.com/r/1.mp3?exp=1&sig=abc"));
        for other in ["http://a/1.mp3", "https://a/r/1?as=.mp3", "https://a/r#.wav", ""] {
            assert!(!is_recording(other), "{other}");
        }
    }
}
