//! Reading call activities: those of one lead, and those of a time (`crm-api.md` §4.d).

use http::StatusCode;
use jiff::{Timestamp, tz::Offset};
use serde_json::{Map, Value, json};

use super::{
    LeadSquared, body,
    model::{Activity, User, written},
    refusal::{Answer, Refusal},
    telephony,
};
use crate::{Reply, Request, shelf::indexed};

/// "This API will retrieve the details of up to 25 activities in a single call", unless more are asked for.
const ROWS: u32 = 25;
const PAGE_MAX: u32 = 1000;

impl LeadSquared {
    fn user_of(&self, activity: &Activity) -> Option<&User> {
        activity.user.as_deref().and_then(|id| self.user(id))
    }

    fn fields(&self, activity: &Activity) -> Map<String, Value> {
        let user = self.user_of(activity);
        let fields = json!({
            "ActivityEvent_Note": activity.note(user, self.settings.note_chars),
            "Status": activity.status,
            "Owner": user.map_or(&self.owner, |user| &user.id),
            "CreatedBy": user.map_or(&self.owner, |user| &user.id),
            "mx_Custom_1": activity.display_number,
            "mx_Custom_2": written(activity.started_at),
            "mx_Custom_3": activity.duration_s.to_string(),
            "mx_Custom_4": activity.recording_url,
            "mx_Custom_6": super::CONNECTOR,
            "mx_Custom_7": activity.status,
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    /// Newest first `[M]` or oldest first; `Offset` "specifies the page number", and begins with 0 in the
    /// documentation's example.
    pub(super) fn activities_of_lead(&self, request: &Request) -> Answer {
        let lead = request.param("leadId").ok_or_else(|| Refusal::missing("leadId", "retrieving activities"))?;
        telephony::id(lead, "leadId")?;
        let asked = body::object(request, &["Parameter", "Paging"])?;
        let event = match asked.get("Parameter") {
            Some(Value::Object(parameter)) => body::number(parameter, "ActivityEvent")?,
            _ => None,
        };
        let (page, rows) = match asked.get("Paging") {
            Some(Value::Object(paging)) => {
                (body::number(paging, "Offset")?.unwrap_or(0), body::number(paging, "RowCount")?.unwrap_or(ROWS))
            }
            _ => (0, ROWS),
        };
        if rows == 0 || rows > PAGE_MAX {
            return Err(Refusal::invalid("RowCount"));
        }
        let wanted = |activity: &&Activity| {
            activity.lead == lead && event.is_none_or(|event| u32::from(activity.event) == event)
        };
        let mut of_lead: Vec<&Activity> = self.activities.iter().filter(wanted).collect();
        if !self.settings.oldest_first {
            of_lead.reverse();
        }
        let shown = cut(&of_lead, page, rows).map(|activity| {
            json!({
                "Id": activity.id,
                "EventCode": activity.event,
                "EventName": if activity.event == 21 { "Inbound Phone Call Activity" } else { "Outbound Phone Call Activity" },
                "ActivityScore": 0,
                "CreatedOn": written(activity.created_on),
                "ModifiedOn": written(activity.modified_on),
                "ActivityType": 3,
                "IsEmailType": false,
                "Type": if activity.event == 21 { "Inbound" } else { "Outbound" },
                "RelatedProspectId": activity.lead,
                "Data": [{ "Key": "Duration", "Value": activity.duration_s.to_string() }],
                "ActivityFields": self.fields(activity),
            })
        });
        Ok(listed("ProspectActivities", of_lead.len(), shown.collect()))
    }

    /// By the time of the last change, both ends included; the event is mandatory.
    pub(super) fn activities_by_event(&self, request: &Request, now: Timestamp) -> Answer {
        let asked = body::object(request, &["Parameter", "Paging", "Sorting"])?;
        let purpose = "retrieving activities";
        let Some(Value::Object(parameter)) = asked.get("Parameter") else {
            return Err(Refusal::missing("Parameter", purpose));
        };
        let event = body::number(parameter, "ActivityEvent")?.ok_or_else(|| Refusal::invalid("ActivityEvent"))?;
        let from = body::time(&body::required(parameter, "FromDate", purpose)?, Offset::UTC, "FromDate")?;
        let to = body::time(&body::required(parameter, "ToDate", purpose)?, Offset::UTC, "ToDate")?;
        let (page, size) = match asked.get("Paging") {
            Some(Value::Object(paging)) => {
                (body::number(paging, "PageIndex")?.unwrap_or(1), body::number(paging, "PageSize")?.unwrap_or(ROWS))
            }
            _ => (1, ROWS),
        };
        if page == 0 || size == 0 || size > PAGE_MAX {
            let message = format!("PageSize can not be more than {PAGE_MAX}");
            return Err(Refusal::new("MXInvalidInputException", message));
        }
        let descending = match asked.get("Sorting") {
            Some(Value::Object(sorting)) => body::number(sorting, "Direction")? == Some(1),
            _ => false,
        };
        let mut of_time: Vec<&Activity> = self
            .activities
            .iter()
            .filter(|activity| u32::from(activity.event) == event)
            .filter(|activity| from <= activity.modified_on && activity.modified_on <= to)
            .filter(|activity| indexed(activity.modified_on, self.settings.list_lag, now))
            .collect();
        if descending {
            of_time.reverse();
        }
        let shown = cut(&of_time, page - 1, size).map(|activity| {
            let user = self.user_of(activity);
            let mut shown = self.fields(activity);
            for (key, value) in [
                ("ProspectActivityId", json!(activity.id)),
                ("RelatedProspectId", json!(activity.lead)),
                ("ActivityEvent", json!(activity.event.to_string())),
                ("CreatedOn", json!(written(activity.created_on))),
                ("ModifiedOn", json!(written(activity.modified_on))),
                ("CreatedByName", json!(user.map(|user| &user.name))),
                ("CreatedByEmailAddress", json!(user.map(|user| &user.email))),
            ] {
                shown.insert(key.to_owned(), value);
            }
            Value::Object(shown)
        });
        Ok(listed("List", of_time.len(), shown.collect()))
    }
}

fn cut<'a>(all: &'a [&'a Activity], page: u32, size: u32) -> impl Iterator<Item = &'a Activity> {
    let skip = usize::try_from(page.saturating_mul(size)).unwrap_or(usize::MAX);
    all.iter().copied().skip(skip).take(usize::try_from(size).unwrap_or(usize::MAX))
}

/// The key of the list is not there when the list is empty, as has been seen.
fn listed(key: &str, count: usize, rows: Vec<Value>) -> Reply {
    let mut reply = Map::new();
    reply.insert("RecordCount".to_owned(), json!(count));
    if !rows.is_empty() {
        reply.insert(key.to_owned(), Value::Array(rows));
    }
    Reply::json(StatusCode::OK, &reply)
}
