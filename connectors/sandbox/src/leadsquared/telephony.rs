//! The telephony API: call logs, their late update, and popups; the same bodies behind keys and behind capability URLs
//! (`crm-api.md` §4.d).

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    LeadSquared, body,
    model::{Activity, Popup, is_guid},
    refusal::{Answer, Refusal},
    settings::LogReply,
};
use crate::{Reply, Request};

const LOG: &[&str] = &[
    "SourceNumber",
    "CallerSource",
    "DestinationNumber",
    "DisplayNumber",
    "StartTime",
    "EndTime",
    "CallDuration",
    "Status",
    "ResourceURL",
    "Direction",
    "CallSessionId",
    "LeadId",
    "Tag",
    "UserId",
    "CallNotes",
    "AgentName",
    "Notes",
];
const POPUP: &[&str] = &[
    "SourceNumber",
    "DestinationNumber",
    "DisplayNumber",
    "Direction",
    "CallSessionId",
    "LeadId",
    "Tag",
    "UserId",
    "Status",
    "CallDuration",
];
/// "You can pass any string of maximum 50 characters."
const SOURCE_CHARS: usize = 50;
/// `[M]`
const NOTES_CHARS: usize = 2000;

impl LeadSquared {
    pub(super) fn log_call(&mut self, request: &Request, now: Timestamp) -> Answer {
        let log = body::object(request, LOG)?;
        let purpose = "call log";
        let source = body::required(&log, "SourceNumber", purpose)?;
        let destination = body::required(&log, "DestinationNumber", purpose)?;
        let display = body::required(&log, "DisplayNumber", purpose)?;
        let session = body::required(&log, "CallSessionId", purpose)?;
        let inbound = direction(&log)?;
        let status = body::required(&log, "Status", purpose)?;
        if !self.settings.statuses.contains(&status) {
            return Err(Refusal::invalid("Status"));
        }
        let zone = self.settings.call_times;
        let started_at = body::time(&body::required(&log, "StartTime", purpose)?, zone, "StartTime")?;
        let ended_at = body::time(&body::required(&log, "EndTime", purpose)?, zone, "EndTime")?;
        if ended_at < started_at {
            return Err(Refusal::invalid("EndTime"));
        }
        let duration_s =
            body::number(&log, "CallDuration")?.ok_or_else(|| Refusal::missing("CallDuration", purpose))?;
        let notes = body::text(&log, "CallNotes")?.unwrap_or_default();
        let recording_url = url(&log, "ResourceURL")?.unwrap_or_default();
        let caller_source = body::text(&log, "CallerSource")?.unwrap_or_default();
        if caller_source.chars().count() > SOURCE_CHARS {
            return Err(Refusal::invalid("CallerSource"));
        }
        if notes.chars().count() > NOTES_CHARS {
            return Err(Refusal::invalid("CallNotes"));
        }
        let (customer, agent) = if inbound { (&source, &destination) } else { (&destination, &source) };
        let user = match body::text(&log, "UserId")? {
            Some(id) => Some(self.active_user(&id)?.id.clone()),
            None => self.user_by_number(agent).map(|user| user.id.clone()),
        };
        let lead = match body::text(&log, "LeadId")? {
            Some(id) => self.known_lead(&id)?,
            None => self.lead_for(customer, caller_source, now)?,
        };
        let same = |activity: &&Activity| self.settings.unique_sessions && activity.session == session;
        let there = self.activities.iter().find(same).map(|activity| activity.id.clone());
        let id = match there {
            Some(id) => id,
            None => {
                let id = self.next_id(0xc);
                self.activities.push(Activity {
                    id: id.clone(),
                    lead: lead.clone(),
                    event: if inbound { 21 } else { 22 },
                    status,
                    display_number: display,
                    started_at,
                    duration_s,
                    recording_url,
                    call_notes: notes,
                    tag: body::text(&log, "Tag")?.unwrap_or_default(),
                    user,
                    source_data: Value::Object(log),
                    session,
                    created_on: now,
                    modified_on: now,
                });
                id
            }
        };
        if let Some(lead) = self.leads.iter_mut().find(|one| one.id == lead) {
            lead.last_activity = now;
        }
        let other = self.next_id(0xd);
        Ok(Reply::json(
            StatusCode::OK,
            &match self.settings.log_reply {
                LogReply::Activity => json!({ "Status": "Success", "Message": { "Id": id } }),
                LogReply::Other => json!({ "Status": "Success", "Message": { "Id": other } }),
                LogReply::Bare => json!({ "Status": "Success" }),
                LogReply::Queued => json!({ "RequestId": other }),
            },
        ))
    }

    fn known_lead(&self, id: &str) -> Result<String, Refusal> {
        match self.lead(id) {
            Some(lead) => Ok(lead.id.clone()),
            // The exception's name is [M].
            None => Err(Refusal::new("MXUnknownProspectException", "Lead does not exist")),
        }
    }

    /// The lead of a number, or a new one for it.
    fn lead_for(&mut self, number: &str, source: String, now: Timestamp) -> Result<String, Refusal> {
        if number.chars().filter(char::is_ascii_digit).count() < 5 {
            return Err(Refusal::invalid("SourceNumber"));
        }
        if let Some(lead) = self.lead_of_caller(number) {
            return Ok(lead.id.clone());
        }
        if !self.settings.makes_leads {
            return Err(Refusal::new("MXUnknownProspectException", "No lead has this number"));
        }
        let attributes = BTreeMap::from([("Phone".to_owned(), number.to_owned()), ("Source".to_owned(), source)]);
        self.insert_lead(attributes, now)
    }

    pub(super) fn update_call(&mut self, request: &Request, now: Timestamp) -> Answer {
        let update = body::object(request, &["ActivityId", "RecordingURL", "CallDuration", "OwnerId"])?;
        let purpose = "updating phone call activity";
        let id = body::required(&update, "ActivityId", purpose)?;
        let recording = url(&update, "RecordingURL")?;
        // "Note that this value is passed as a string."
        let duration = match body::text(&update, "CallDuration")? {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| Refusal::invalid("CallDuration"))?),
        };
        if recording.is_none() && duration.is_none() {
            return Err(Refusal::missing("RecordingURL or CallDuration", purpose));
        }
        let owner = match body::text(&update, "OwnerId")? {
            None => None,
            Some(id) => Some(self.active_user(&id)?.id.clone()),
        };
        let Some(activity) = self.activities.iter_mut().find(|activity| activity.id == id) else {
            return Err(Refusal::new("MXUnknownProspectActivityException", "Activity does not exist"));
        };
        if let Some(url) = recording {
            activity.recording_url = url;
        }
        if let Some(seconds) = duration {
            activity.duration_s = seconds;
        }
        if owner.is_some() {
            activity.user = owner;
        }
        activity.modified_on = now;
        let message = json!({ "Id": id, "Message": "Activity updated successfully" });
        Ok(Reply::json(StatusCode::OK, &json!({ "Status": "Success", "Message": message })))
    }

    /// With keys, "you need to pass the LeadId and the corresponding UserId".
    pub(super) fn show_popup(&mut self, request: &Request, with_keys: bool) -> Answer {
        let popup = body::object(request, POPUP)?;
        let purpose = "agent popup";
        let source_number = body::required(&popup, "SourceNumber", purpose)?;
        let destination_number = body::required(&popup, "DestinationNumber", purpose)?;
        body::required(&popup, "DisplayNumber", purpose)?;
        let inbound = direction(&popup)?;
        let session = body::required(&popup, "CallSessionId", purpose)?;
        let lead = match body::text(&popup, "LeadId")? {
            Some(id) => Some(self.known_lead(&id)?),
            None if with_keys => return Err(Refusal::missing("LeadId", purpose)),
            None => self
                .lead_of_caller(if inbound { &source_number } else { &destination_number })
                .map(|one| one.id.clone()),
        };
        let agent = if inbound { &destination_number } else { &source_number };
        let user = match body::text(&popup, "UserId")? {
            Some(id) => Some(self.active_user(&id)?.id.clone()),
            None if with_keys => return Err(Refusal::missing("UserId", purpose)),
            None => self.user_by_number(agent).map(|user| user.id.clone()),
        };
        body::number(&popup, "CallDuration")?;
        self.popups.push(Popup {
            session,
            direction: if inbound { "Inbound" } else { "Outbound" }.to_owned(),
            source_number,
            destination_number,
            lead,
            user,
            status: body::text(&popup, "Status")?,
        });
        let id = self.next_id(0xe);
        let message = json!({ "Id": id, "Message": "Message broadcasted successfully" });
        Ok(Reply::json(StatusCode::OK, &json!({ "Status": "Success", "Message": message })))
    }
}

/// Whether it is inbound.
fn direction(object: &Map<String, Value>) -> Result<bool, Refusal> {
    match body::required(object, "Direction", "telephony")?.as_str() {
        "Inbound" => Ok(true),
        "Outbound" => Ok(false),
        _ => Err(Refusal::invalid("Direction")),
    }
}

/// A link, where there is one.
fn url(object: &Map<String, Value>, key: &str) -> Result<Option<String>, Refusal> {
    match body::text(object, key)? {
        Some(url) if !url.starts_with("https://") && !url.starts_with("http://") || url.contains(' ') => {
            Err(Refusal::invalid(key))
        }
        url => Ok(url),
    }
}

/// Whether an id has the form of one; what has not is refused before it is looked for.
pub(super) fn id(text: &str, key: &str) -> Result<(), Refusal> {
    if is_guid(text) { Ok(()) } else { Err(Refusal::invalid(key)) }
}
