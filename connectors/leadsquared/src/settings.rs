//! The settings beyond the manifest's own rules: what they mean, and which of them do not fit together.

use patchbay_kit::{Failure, Kind, Retry, Settings};

pub(crate) const CALL_LOG_URL: &str = "call_log_url";
pub(crate) const CALL_ROUTE_URL: &str = "call_route_url";
pub(crate) const AGENT_POPUP_URL: &str = "agent_popup_url";

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// What the settings come to.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    /// Both API keys are there.
    pub(crate) keys: bool,
    pub(crate) popups: bool,
    pub(crate) route: bool,
    pub(crate) outbound_popups: bool,
    pub(crate) api_url: Option<String>,
    /// Seconds east of Greenwich of the clock by which times of a call are written.
    pub(crate) times_s: i32,
}

impl Chosen {
    pub(crate) fn of(settings: &Settings) -> Self {
        let by_account = settings.text("call_times") == Some("account");
        Self {
            keys: settings.has("access_key") && settings.has("secret_key"),
            popups: settings.has(AGENT_POPUP_URL),
            route: settings.has(CALL_ROUTE_URL),
            outbound_popups: settings.flag("enable_outbound_popup"),
            api_url: settings.text("api_url").map(str::to_owned),
            times_s: if by_account { settings.utc_offset.seconds() } else { 0 },
        }
    }
}

/// A host, where it is one of LeadSquared's own: tests and proxies have others, about which nothing is known.
fn region(url: &str) -> Option<&str> {
    let host = url.split_once("://")?.1.split(['/', ':']).next()?;
    host.ends_with(".leadsquared.com").then_some(host)
}

/// Keys belong to one region, and only there do they open anything but the authentication.
pub(crate) fn same_region(api_url: Option<&str>, right: &str) -> Result<(), Failure> {
    match (api_url.and_then(region), region(right)) {
        (Some(set), Some(right)) if set != right => Err(Failure::new(Kind::Unauthorized, Retry::Never)
            .because(format!("these keys belong to another region; set `api_url` to https://{right}"))),
        _ => Ok(()),
    }
}

/// What is wrong, one line for each.
pub(crate) fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    let (access, secret) = (settings.has("access_key"), settings.has("secret_key"));
    match (access, secret) {
        (true, false) => problems.push("secret_key: is missing; access_key alone opens nothing".to_owned()),
        (false, true) => problems.push("access_key: is missing; secret_key alone opens nothing".to_owned()),
        _ => {}
    }
    match settings.text("api_url") {
        None if access || secret => {
            problems.push("api_url: is missing; with keys it says where, https://api-in21.leadsquared.com".to_owned());
        }
        Some(url) if url.split_once("://").is_some_and(|(_, rest)| rest.trim_end_matches('/').contains('/')) => {
            problems.push("api_url: must be the host alone, https://api-in21.leadsquared.com, without /v2".to_owned());
        }
        _ => {}
    }
    if settings.text("call_times").is_some_and(|zone| !matches!(zone, "utc" | "account")) {
        problems.push("call_times: must be \"utc\" or \"account\"".to_owned());
    }
    let times = ["call_start_timer", "call_end_timer"].map(|key| (key, settings.text(key)));
    for (key, time) in times {
        if time.is_some_and(|time| !is_time(time)) {
            problems.push(format!("{key}: must be a time of day, HH:MM:SS"));
        }
    }
    if let [(_, Some(start)), (_, Some(end))] = times
        && is_time(start)
        && is_time(end)
        && start >= end
    {
        problems.push("call_end_timer: must be later than call_start_timer".to_owned());
    }
    for day in settings.list("call_allowed_days") {
        if !DAYS.contains(&day.to_ascii_lowercase().as_str()) {
            problems.push(format!("call_allowed_days: {day:?} is no day; they are Monday to Sunday"));
        }
    }
    problems
}

/// `HH:MM:SS`
fn is_time(text: &str) -> bool {
    let mut parts = text.split(':');
    let mut within = |most: u32| {
        parts.next().is_some_and(|part| {
            part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()) && part.parse().is_ok_and(|n: u32| n <= most)
        })
    };
    within(23) && within(59) && within(59) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn settings(secrets: &[&str], text: &[(&str, &str)], days: &[&str]) -> Settings {
        Settings {
            secrets: secrets.iter().map(ToString::to_string).collect::<BTreeSet<_>>(),
            text: text.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect::<BTreeMap<_, _>>(),
            lists: BTreeMap::from([(
                "call_allowed_days".to_owned(),
                days.iter().map(ToString::to_string).collect::<Vec<_>>(),
            )]),
            ..Settings::default()
        }
    }

    #[track_caller]
    fn told(settings: &Settings, keys: &[&str]) {
        let problems = problems(settings);
        let said: Vec<&str> = problems.iter().filter_map(|line| line.split_once(':')).map(|(key, _)| key).collect();
        assert_eq!(said, keys, "{problems:?}");
    }

    #[test]
    fn settings_that_do_not_fit_together_are_told() {
        let url = ("api_url", "https://api-in21.leadsquared.com");
        told(&settings(&[], &[], &[]), &[]);
        told(&settings(&["access_key", "secret_key"], &[url], &["Monday", "sunday"]), &[]);
        told(&settings(&["access_key"], &[], &[]), &["secret_key", "api_url"]);
        told(&settings(&["secret_key"], &[url], &[]), &["access_key"]);
        told(&settings(&[], &[("api_url", "https://api.leadsquared.com/v2/")], &[]), &["api_url"]);
        told(&settings(&[], &[("api_url", "https://api.leadsquared.com/")], &[]), &[]);
        told(&settings(&[], &[("call_times", "IST")], &["Mon"]), &["call_times", "call_allowed_days"]);
        let wrong = [("call_start_timer", "9:00"), ("call_end_timer", "24:00:00")];
        told(&settings(&[], &wrong, &[]), &["call_start_timer", "call_end_timer"]);
        let reversed = [("call_start_timer", "18:00:00"), ("call_end_timer", "09:00:00")];
        told(&settings(&[], &reversed, &[]), &["call_end_timer"]);
    }

    #[test]
    fn only_two_hosts_of_leadsquared_can_disagree() {
        let us = "https://api-us11.leadsquared.com/v2/";
        assert!(same_region(Some("https://api-us11.leadsquared.com"), us).is_ok());
        assert!(same_region(Some("http://127.0.0.1:9101"), us).is_ok());
        assert!(same_region(None, us).is_ok());
        let failure = same_region(Some("https://api-in21.leadsquared.com"), us).unwrap_err();
        assert!(failure.detail.contains("https://api-us11.leadsquared.com"), "{failure}");
    }
}
