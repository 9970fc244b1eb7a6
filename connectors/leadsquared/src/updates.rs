//! What is written to a call's activity once more is known.

use std::sync::Arc;

use patchbay_kit::{
    About, CallActivity, Changed, Exchange, Failure, Kind, RecordRef, Request, Retry, Safety, Step, Text, Updates,
};
use serde_json::json;

use crate::{
    LeadSquared, REFUSED, errors, leads,
    search::{ACTIVITY, SESSION, Search},
    v2,
};

/// What a late update writes.
#[derive(Clone)]
struct Late {
    seconds: Option<u32>,
    recording: Option<String>,
    user: Option<String>,
}

impl Late {
    /// "Update Call Recordings/Duration for Phone Call Activities" \[V\]: one of duration and recording must be there, and
    /// the duration is a string. `search` is where the activity is looked for if the id is not its own.
    fn write(self, id: String, search: Option<Arc<Search>>) -> Exchange<RecordRef> {
        let mut body = json!({ "ActivityId": id });
        // What was logged for a call that nobody talked in.
        let nothing = self.recording.is_none().then_some(0);
        let seconds = self.seconds.or(nothing).map(|seconds| seconds.to_string());
        for (field, value) in [("CallDuration", &seconds), ("RecordingURL", &self.recording), ("OwnerId", &self.user)] {
            if let Some(value) = value {
                body[field] = json!(value);
            }
        }
        Request::post("activity.update", v2(["Telephony.svc", "PhoneCallActivity", "Update"]))
            .safety(Safety::Idempotent)
            .json(body)
            .then(move |reply| {
                match &search {
                    // A log's answer names an id, and which one is not documented.
                    Some(search) if errors::is_unknown_activity(reply) && is_id(&id) => {
                        Ok(Step::Then(self.clone().write_found(Arc::clone(search))))
                    }
                    _ => {
                        errors::inside(reply)?;
                        leads::made(reply)?;
                        Ok(Step::Done(RecordRef::new(ACTIVITY, &id)))
                    }
                }
            })
            .accepting(REFUSED)
    }

    /// Looks for the activity first.
    fn write_found(self, search: Arc<Search>) -> Exchange<RecordRef> {
        search.page(
            0,
            None,
            Arc::new(move |found| match found {
                Some(at) => Ok(Step::Then(self.clone().write(at.id, None))),
                None => Err(gone()),
            }),
        )
    }
}

/// Whether it has the form of one of LeadSquared's ids.
fn is_id(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

impl Updates for LeadSquared {
    /// Recording, duration and user; notes, status and times of a logged call cannot be changed.
    fn update(&self, at: &RecordRef, call: &CallActivity, changed: Changed) -> Exchange<RecordRef> {
        let search = Search::of(call, Some(at));
        if !changed.facts
            && !changed.agent
            && let Some(search) = &search
        {
            // Nothing that can be written: the activity is only looked for.
            let then = |found: Option<RecordRef>| found.map(Step::Done).ok_or_else(gone);
            return Arc::clone(search).page(0, None, Arc::new(then));
        }
        let late = Late {
            seconds: call.talk_seconds,
            recording: call.recording_link.clone(),
            user: call.agent.as_ref().filter(|_| changed.agent).map(|agent| agent.id.clone()),
        };
        match search {
            Some(search) if at.kind == SESSION => late.write_found(search),
            search => late.write(at.id.clone(), search),
        }
    }

    /// The text of a logged call is not written again.
    fn text(&self, _: &RecordRef) -> Option<Exchange<Text>> {
        None
    }
}

fn gone() -> Failure {
    Failure::new(Kind::NotFound, Retry::Never)
        .about(About::Record)
        .because("the call's activity has been deleted in LeadSquared")
}
