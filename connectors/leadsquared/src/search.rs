//! Looking for a call's activity on the timeline of its lead.

use std::sync::Arc;

use patchbay_kit::{
    CallActivity, Direction, Exchange, Failure, Kind, RecordRef, Request, Response, Retry, Safety, Step,
};
use serde_json::{Value, json};

use crate::{errors, note, v2};

/// Activities on one page; up to 25 come by themselves, more for the asking ("Get Activities of a Lead" \[V\]).
const ROWS: usize = 100;
/// Pages of a lead's calls that are looked through. The one lead of those who withhold their number has more than these.
const PAGES: usize = 5;
/// The record is an activity whose id is known.
pub(crate) const ACTIVITY: &str = "activity";
/// The record is the activity of this CallSid: the log was taken, and its answer named no activity.
pub(crate) const SESSION: &str = "session";

/// What follows once it is known whether the activity is there.
pub(crate) type Then<T> = Arc<dyn Fn(Option<RecordRef>) -> Result<Step<T>, Failure> + Send + Sync>;

/// The list in which an activity is looked for.
#[derive(Clone)]
pub(crate) struct Search {
    lead: String,
    /// 21 is an inbound, 22 an outbound phone call \[C\].
    event: u16,
    key: String,
    /// The activity's own id, where it is known; it goes before the CallSid.
    id: Option<String>,
}

impl Search {
    pub(crate) fn of(call: &CallActivity, at: Option<&RecordRef>) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            lead: call.contact.as_ref()?.id.clone(),
            event: match call.direction {
                Direction::Incoming => 21,
                Direction::Outgoing => 22,
            },
            key: call.key.0.clone(),
            id: at.filter(|at| at.kind == ACTIVITY).map(|at| at.id.clone()),
        }))
    }

    /// "Get Activities of a Lead" \[V\]: the lead's own timeline, not an index. `Offset` "specifies the page number", and
    /// is 0 in the page's example.
    pub(crate) fn page<T: 'static>(
        self: Arc<Self>,
        number: usize,
        so_far: Option<RecordRef>,
        then: Then<T>,
    ) -> Exchange<T> {
        Request::post("activity.find", v2(["ProspectActivity.svc", "Retrieve"]))
            .safety(Safety::Read)
            .query("leadId", &self.lead)
            .json(json!({
                "Parameter": { "ActivityEvent": self.event },
                "Paging": { "Offset": number.to_string(), "RowCount": ROWS.to_string() },
            }))
            .then(move |reply| {
                errors::inside(reply)?;
                let (listed, all) = activities(reply)?;
                let mut so_far = so_far.clone();
                for activity in &listed {
                    let Some(id) = text(activity, &["Id", "ProspectActivityId"]) else { continue };
                    if self.id.as_deref() == Some(id) {
                        return then(Some(RecordRef::new(ACTIVITY, id)));
                    }
                    if so_far.is_none() && note::tells_of(activity, &self.key) {
                        so_far = Some(RecordRef::new(ACTIVITY, id));
                    }
                }
                let found = so_far.is_some() && self.id.is_none();
                if found || listed.is_empty() || (number + 1) * ROWS >= all {
                    return then(so_far);
                }
                if number + 1 >= PAGES {
                    return if so_far.is_some() || newest_first(&listed) { then(so_far) } else { Err(too_many()) };
                }
                Ok(Step::Then(Arc::clone(&self).page(number + 1, so_far, Arc::clone(&then))))
            })
    }
}

/// The activities of a page and how many there are in all. The list is left out where it is empty \[C\].
fn activities(reply: &Response) -> Result<(Vec<Value>, usize), Failure> {
    #[derive(serde::Deserialize)]
    struct Page {
        #[serde(rename = "RecordCount")]
        count: usize,
        #[serde(rename = "ProspectActivities", default)]
        activities: Vec<Value>,
    }
    let page: Page = reply.json()?;
    Ok((page.activities, page.count))
}

/// In what order they come is not documented.
fn newest_first(listed: &[Value]) -> bool {
    let times: Vec<&str> = listed.iter().filter_map(|activity| text(activity, &["CreatedOn"])).collect();
    times.is_sorted_by(|a, b| a >= b)
}

fn too_many() -> Failure {
    let calls = PAGES * ROWS;
    Failure::new(Kind::Unsupported, Retry::Never)
        .because(format!("the lead has more than {calls} calls, oldest first; look for this one in LeadSquared"))
}

/// The first of these texts that is there.
fn text<'a>(activity: &'a Value, pointers: &[&str]) -> Option<&'a str> {
    pointers.iter().find_map(|pointer| activity.pointer(&format!("/{pointer}"))?.as_str())
}
