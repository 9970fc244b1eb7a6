//! The calling extension: an inbound call told to HubSpot, which answers who it may be (`crm-api.md` §7.d).

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    HubSpot, PORTAL,
    model::Kind,
    refusal::{Answer, Refusal},
    schema::national,
};
use crate::{Reply, Request};

const STATUSES: [&str; 13] = [
    "BUSY",
    "CALLING_CRM_USER",
    "CANCELED",
    "COMPLETED",
    "CONNECTING",
    "FAILED",
    "HOLD",
    "IN_PROGRESS",
    "MISSED",
    "NO_ANSWER",
    "QUEUED",
    "RINGING",
    "UNKNOWN",
];
const NUMBER_TYPES: [&str; 12] = [
    "FIXED_LINE",
    "FIXED_LINE_OR_MOBILE",
    "MOBILE",
    "PAGER",
    "PERSONAL_NUMBER",
    "PREMIUM_RATE",
    "SHARED_COST",
    "TOLL_FREE",
    "UAN",
    "UNKNOWN",
    "VOICEMAIL",
    "VOIP",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Inbound {
    create_engagement: bool,
    engagement_properties: BTreeMap<String, String>,
    external_call_id: String,
    final_call_status: String,
    from_number: Number,
    to_number: Number,
    potential_recipient_user_ids: Vec<u64>,
    call_started_timestamp: Option<Timestamp>,
    duration_seconds: Option<u64>,
    user_id: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Number {
    e164_number: String,
    phone_number_type: String,
    #[serde(rename = "extension")]
    _extension: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Ready {
    engagement_id: u64,
}

/// A call that was told with `inbound-call`, whether or not it became an engagement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub external_call_id: String,
    pub status: String,
    pub recipients: Vec<u64>,
    pub engagement: Option<String>,
}

impl HubSpot {
    pub(super) fn inbound_call(&mut self, request: &Request, now: Timestamp) -> Answer {
        let call: Inbound = serde_json::from_slice(&request.body).map_err(|error| Refusal::json(&error.to_string()))?;
        let e164 = |number: &Number| {
            let digits = number.e164_number.strip_prefix('+').unwrap_or_default();
            (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !STATUSES.contains(&call.final_call_status.as_str()) {
            return Err(Refusal::json("finalCallStatus is none of its values"));
        }
        for number in [&call.from_number, &call.to_number] {
            if !NUMBER_TYPES.contains(&number.phone_number_type.as_str()) {
                return Err(Refusal::json("phoneNumberType is none of its values"));
            }
            if !e164(number) {
                return Err(Refusal::invalid("e164Number is not in E.164 format"));
            }
        }
        let users = call.potential_recipient_user_ids.iter().chain(&call.user_id);
        for user in users {
            if !self.owners.iter().any(|owner| owner.user_id == *user && !owner.archived) {
                return Err(Refusal::invalid(format!("User {user} does not exist")));
            }
        }
        let matches = self.callers(&call.from_number.e164_number, now);
        let engagement = if call.create_engagement {
            let mut values = call.engagement_properties;
            for (name, value) in [
                ("hs_timestamp", call.call_started_timestamp.unwrap_or(now).as_millisecond().to_string()),
                ("hs_call_external_id", call.external_call_id.clone()),
                ("hs_call_direction", "INBOUND".to_owned()),
                ("hs_call_from_number", call.from_number.e164_number),
                ("hs_call_to_number", call.to_number.e164_number),
                ("hs_call_duration", (call.duration_seconds.unwrap_or(0) * 1000).to_string()),
            ] {
                values.insert(name.to_owned(), value);
            }
            self.check(Kind::Calls, &values, None, true)?;
            Some(self.insert(Kind::Calls, values, now, now))
        } else {
            None
        };
        self.told.push(Told {
            external_call_id: call.external_call_id,
            status: call.final_call_status,
            recipients: call.potential_recipient_user_ids,
            engagement,
        });
        Ok(Reply::json(StatusCode::OK, &json!({"callerIdMatches": matches})))
    }

    /// A recording can be fetched from the app: it needs the app's number and the ids it is asked for by.
    pub(super) fn recording_ready(&mut self, request: &Request) -> Answer {
        let ready: Ready = serde_json::from_slice(&request.body).map_err(|error| Refusal::json(&error.to_string()))?;
        let id = ready.engagement_id.to_string();
        let call = self.shelf(Kind::Calls).get(&id).filter(|call| !call.archived);
        let call = call.ok_or_else(|| Refusal::object(&id))?;
        let needed = ["hs_call_app_id", "hs_call_external_id", "hs_call_external_account_id"];
        if let Some(name) = needed.iter().find(|name| call.get(name).is_none()) {
            return Err(Refusal::invalid(format!("{name} is not set on engagement {id}")));
        }
        self.ready.push(id);
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    }

    fn callers(&self, number: &str, now: Timestamp) -> Vec<Value> {
        let wanted = national(number);
        let his = |one: &&super::Object| {
            !one.archived
                && ["phone", "mobilephone"]
                    .iter()
                    .any(|name| one.get(name).is_some_and(|held| national(held) == wanted))
        };
        let people = self.shelf(Kind::Contacts).as_indexed(now, self.settings.index_lag).filter(his);
        people
            .map(|one| {
                json!({"callerIdType": "CONTACT", "email": one.get("email"), "firstName": one.get("firstname"),
                    "lastName": one.get("lastname"), "objectCoordinates": {"portalId": PORTAL,
                    "objectId": one.id.parse::<u64>().ok(), "objectTypeId": "0-1"}})
            })
            .collect()
    }
}
