//! LeadSquared's answer to what all CRM sandboxes are asked.

use std::time::Duration;

use jiff::Timestamp;

use super::LeadSquared;
use crate::{Crm, HeldContact, HeldRecord};

impl Crm for LeadSquared {
    fn records(&self) -> Vec<HeldRecord> {
        self.activities
            .iter()
            .map(|activity| {
                let lines = [
                    format!("Direction: {}", if activity.event == 21 { "Inbound" } else { "Outbound" }),
                    format!("Status: {}", activity.status),
                    format!("Display number: {}", activity.display_number),
                    format!("Started at: {}", activity.started_at),
                    format!("Duration: {}", activity.duration_s),
                    format!("Recording: {}", activity.recording_url),
                    format!("CallSessionId: {}", activity.session),
                    activity.call_notes.clone(),
                    activity.source_data.to_string(),
                ];
                HeldRecord {
                    id: activity.id.clone(),
                    text: lines.join("\n"),
                    contact: Some(activity.lead.clone()),
                    agent: activity.user.clone(),
                    talk_seconds: Some(activity.duration_s),
                    recording: Some(activity.recording_url.clone()).filter(|url| !url.is_empty()),
                    public: false,
                }
            })
            .collect()
    }

    fn contacts(&self) -> Vec<HeldContact> {
        self.leads
            .iter()
            .map(|lead| HeldContact {
                id: lead.id.clone(),
                name: format!("{} {}", lead.get("FirstName"), lead.get("LastName")).trim().to_owned(),
                numbers: ["Phone", "Mobile"]
                    .map(|field| lead.get(field).to_owned())
                    .into_iter()
                    .filter(|number| !number.is_empty())
                    .collect(),
            })
            .collect()
    }

    fn add_contact(&mut self, name: &str, number: &str, now: Timestamp) -> String {
        self.add_lead_with(|lead| {
            lead.set("FirstName", name);
            lead.set("Phone", number);
            (lead.created_on, lead.modified_on, lead.last_activity) = (now, now, now);
        })
    }

    fn add_agent(&mut self, name: &str, email: &str) -> String {
        self.add_user(name, email)
    }

    /// The search by number is not known to lag; [`super::Settings::list_lag`] is about the lists.
    fn lag(&mut self, _by: Duration) {}

    fn fail_inside(&mut self, writes: u32) -> bool {
        self.failing_inside = writes;
        true
    }
}
