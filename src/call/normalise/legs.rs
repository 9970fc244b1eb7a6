//! `Legs`, `Insights` and `Stream`: the nested parts of a callback, from brackets or JSON (exotel-api §4.3).

use std::collections::{BTreeMap, BTreeSet};

use super::{facts::seconds, fields::Fields};
use crate::call::{event::Leg, stream::without_addresses};

/// A Connect applet tries a handful of agents; a request that names more is somebody's experiment.
const MAX_LEGS: usize = 64;
const MAX_STREAM: usize = 32;

/// `Legs[0][Number]=…`, `Legs=[{…}]`, `Legs={…}`; insights of a leg fill in what the leg itself does not say.
pub(super) fn read(fields: &mut Fields) -> Vec<Leg> {
    let mut legs: BTreeMap<usize, BTreeMap<String, String>> = BTreeMap::new();
    for (path, value) in fields.take_below("Legs") {
        // A single leg may come as an object, without an index.
        let (index, rest) = match path[0].parse::<usize>() {
            Ok(index) => (index, &path[1..]),
            Err(_) => (0, path.as_slice()),
        };
        if rest.is_empty() || (!legs.contains_key(&index) && legs.len() >= MAX_LEGS) {
            continue;
        }
        legs.entry(index).or_default().entry(rest.join(".")).or_insert(value);
    }
    legs.into_values().map(leg).collect()
}

fn leg(mut said: BTreeMap<String, String>) -> Leg {
    let mut take = |names: &[&str]| names.iter().find_map(|name| said.remove(*name));
    Leg {
        number: take(&["number", "phonenumber", "contacturi"]),
        on_call_seconds: seconds(take(&["oncallduration"])),
        ringing_seconds: seconds(take(&["ringingduration", "insights.ringingduration"])),
        status: take(&["status", "insights.status"]),
        cause: take(&["cause"]),
        cause_code: take(&["causecode", "insights.detailedstatus"]),
        disconnected_by: take(&["disconnectedby", "insights.disconnectedby"]),
        answered_by: take(&["answeredby"]),
        amd_cause: take(&["amdcause"]),
    }
}

/// `Details.Leg1Status`, `Details.Leg2Status` and `Details.Legs[].Leg{Id,OnCallDuration}` of call details
/// (exotel-api §5.1).
pub(super) fn of_details(fields: &mut Fields, statuses: [Option<String>; 2]) -> Vec<Leg> {
    let mut by_index: BTreeMap<String, (Option<usize>, Option<u32>)> = BTreeMap::new();
    for (path, value) in fields.take_below("Details") {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["legs", index, "leg", "id"] | ["legs", index, "id"] => {
                by_index.entry((*index).to_owned()).or_default().0 = value.parse().ok();
            }
            ["legs", index, "leg", "oncallduration"] | ["legs", index, "oncallduration"] => {
                by_index.entry((*index).to_owned()).or_default().1 = seconds(Some(value));
            }
            _ => {}
        }
    }
    let mut durations = [None, None];
    for (id, duration) in by_index.into_values() {
        if let Some(slot) = id.and_then(|id| durations.get_mut(id.checked_sub(1)?)) {
            *slot = duration;
        }
    }
    if durations == [None, None] && statuses == [None, None] {
        return Vec::new();
    }
    statuses
        .into_iter()
        .zip(durations)
        .map(|(status, on_call_seconds)| Leg { status, on_call_seconds, ..Leg::default() })
        .collect()
}

/// `Stream[Status]=…`, `Stream={…}`, of a voicebot applet. Where it was configured to connect to is let go: it may hold a
/// credential.
pub(super) fn stream(fields: &mut Fields) -> BTreeMap<String, String> {
    let mut seen = BTreeSet::new();
    fields
        .take_below("Stream")
        .into_iter()
        .map(|(path, value)| (path.join("."), value))
        .filter(|(name, _)| name != "streamurl" && seen.insert(name.clone()))
        .map(|(name, value)| {
            let value = if name == "recordingurl" { value } else { without_addresses(&value) };
            (name, value)
        })
        .take(MAX_STREAM)
        .collect()
}
