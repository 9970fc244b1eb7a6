//! What stands in the account, for the tests that look into any CRM.

use std::time::Duration;

use jiff::Timestamp;

use super::{HubSpot, Kind};
use crate::{Crm, HeldContact, HeldRecord};

impl Crm for HubSpot {
    fn records(&self) -> Vec<HeldRecord> {
        let live = self.objects(Kind::Calls).filter(|call| !call.archived);
        live.map(|call| {
            let lines: Vec<&str> = call.properties.values().map(String::as_str).collect();
            let duration_ms = call.get("hs_call_duration").and_then(|text| text.parse::<u64>().ok());
            HeldRecord {
                id: call.id.clone(),
                text: lines.join("\n"),
                contact: call.associate(Kind::Contacts).map(str::to_owned),
                agent: call.get("hubspot_owner_id").map(str::to_owned),
                talk_seconds: duration_ms.and_then(|ms| u32::try_from(ms / 1000).ok()),
                recording: call.get("hs_call_recording_url").map(str::to_owned),
                public: false,
            }
        })
        .collect()
    }

    fn contacts(&self) -> Vec<HeldContact> {
        let live = self.objects(Kind::Contacts).filter(|contact| !contact.archived);
        live.map(|contact| {
            let part = |name: &str| contact.get(name).unwrap_or_default();
            HeldContact {
                id: contact.id.clone(),
                name: format!("{} {}", part("firstname"), part("lastname")).trim().to_owned(),
                numbers: ["phone", "mobilephone"]
                    .iter()
                    .filter_map(|name| contact.get(name))
                    .map(str::to_owned)
                    .collect(),
            }
        })
        .collect()
    }

    fn add_contact(&mut self, name: &str, number: &str, now: Timestamp) -> String {
        let (first, last) = name.split_once(' ').unwrap_or((name, ""));
        let values = [("firstname", first), ("lastname", last), ("phone", number)];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.insert(Kind::Contacts, values.into(), now, now)
    }

    fn add_agent(&mut self, name: &str, email: &str) -> String {
        self.add_owner(name, email).id
    }

    fn lag(&mut self, by: Duration) {
        self.settings.index_lag = by;
    }

    fn expire_tokens(&mut self) -> bool {
        self.grants.as_mut().map(super::Grants::expire).is_some()
    }

    fn fail_inside(&mut self, writes: u32) -> bool {
        self.fail_inside = writes;
        true
    }
}
