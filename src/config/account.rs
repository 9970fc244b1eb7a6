//! An account as the configuration names it: Exotel's addresses and credentials, its rules, integrations, agents and bots.

use std::collections::BTreeMap;

use jiff::tz::Offset;
use toml::{Table, Value};
use url::Url;

use super::{
    bot,
    integration::{Given, integration},
    model::{Account, Agent},
    reader::{Problem, Reader, url},
    routing::{self, Place},
};
use crate::call::{CallingTimes, ContactChoice, Hook, phone, route::Routing};

/// `calling_hours` and `calling_days`; `None`: neither is set.
fn calling_times(r: &mut Reader<'_, '_>) -> Option<CallingTimes> {
    let (hours, days) = (r.text("calling_hours"), r.texts("calling_days"));
    if hours.is_none() && days.is_none() {
        return None;
    }
    let hours = hours.unwrap_or_else(|| "00:00-24:00".to_owned());
    let Some((from, until)) = hours.split_once('-') else {
        r.wrong("calling_hours", format!("{hours:?} are no hours; write \"09:00-18:30\""));
        return None;
    };
    let days = days.unwrap_or_default();
    CallingTimes::read(from, until, &[]).map_err(|wrong| r.wrong("calling_hours", wrong)).ok()?;
    CallingTimes::read(from, until, &days).map_err(|wrong| r.wrong("calling_days", wrong)).ok()
}

/// Exotel's addresses in one region.
struct Region {
    api: &'static str,
    ccm: &'static str,
    cpaas: &'static str,
    portal: &'static str,
}

/// Exotel's addresses by region (exotel-api §1.1).
fn region(name: &str) -> Option<Region> {
    match name {
        "singapore" => Some(SINGAPORE),
        "mumbai" => Some(Region {
            api: "https://api.in.exotel.com",
            ccm: "https://ccm-api.in.exotel.com",
            cpaas: "https://cpaas-api.in.exotel.com",
            portal: "https://my.in.exotel.com",
        }),
        _ => None,
    }
}

/// The APIs of the other regions, by name, where the account's is one of a region's: what may be asked to find out
/// whether the region is wrong.
pub fn elsewhere(account: &Account) -> Vec<(&'static str, Url)> {
    let names = ["singapore", "mumbai"];
    let all = names.iter().filter_map(|name| Some((*name, Url::parse(region(name)?.api).ok()?)));
    let all: Vec<(&'static str, Url)> = all.collect();
    if !all.iter().any(|(_, api)| *api == account.api_url) {
        return Vec::new();
    }
    all.into_iter().filter(|(_, api)| *api != account.api_url).collect()
}

const SINGAPORE: Region = Region {
    api: "https://api.exotel.com",
    ccm: "https://ccm-api.exotel.com",
    cpaas: "https://cpaas-api.exotel.com",
    portal: "https://my.exotel.com",
};

pub(super) fn account(at: &str, table: &Table, problems: &mut Vec<Problem>) -> Option<Account> {
    let mut r = Reader::new(table, at, problems);
    let sid = r.required("sid", "the Account SID from Exotel's dashboard, API Settings");
    if let Some(sid) = sid.as_deref().filter(|sid| !sid.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)))
    {
        r.wrong("sid", format!("{sid:?} is not an Account SID: only letters, digits, - _ and ."));
    }
    let region_name = r.text("region").unwrap_or_else(|| "singapore".to_owned());
    let defaults = region(&region_name);
    if defaults.is_none() {
        r.wrong("region", format!("must be \"singapore\" or \"mumbai\", is {region_name:?}"));
    }
    let Region { api, ccm, cpaas, portal } = defaults.unwrap_or(SINGAPORE);
    let api_url = url_or(&mut r, "api_url", api);
    let ccm_url = url_or(&mut r, "ccm_url", ccm);
    let cpaas_url = url_or(&mut r, "cpaas_url", cpaas);
    let portal_url = url_or(&mut r, "portal_url", portal);
    r.required("api_key", "Exotel's API key; it is also the user name in the hooks' URLs");
    let api_key = r.secret("api_key");
    r.required("api_token", "Exotel's API token; it is also the password in the hooks' URLs");
    let api_token = r.secret("api_token");
    let utc_offset = r.text("utc_offset").unwrap_or_else(|| "+05:30".to_owned());
    let offset = parse_offset(&utc_offset);
    if offset.is_none() {
        r.wrong("utc_offset", format!("{utc_offset:?} is not an offset; write \"+05:30\""));
    }
    let country = r.text("country").unwrap_or_else(|| "IN".to_owned()).to_uppercase();
    if country.len() != 2 || phone::parse("+12015550123", &country).is_none() {
        r.wrong("country", format!("{country:?} is not a country; write two letters such as \"IN\""));
    }
    let open_hooks = r.texts("open_hooks").unwrap_or_default();
    let families = Hook::OPENABLE.map(Hook::as_str);
    for family in open_hooks.iter().filter(|family| !families.contains(&family.as_str())) {
        r.wrong("open_hooks", format!("there is no family {family:?}; there are: {}", families.join(", ")));
    }
    let app_ids = r.texts("app_ids").unwrap_or_default();
    if app_ids.iter().any(|app| app.is_empty() || app.contains('/')) {
        r.wrong("app_ids", "must be the app ids of Exotel's WebRTC integration, as its URLs have them");
    }
    let contact_choice = r.text("contact_choice").map_or(Some(ContactChoice::default()), |text| {
        let choice = ContactChoice::parse(&text);
        if choice.is_none() {
            let known: Vec<&str> = ContactChoice::ALL.map(ContactChoice::as_str).into();
            r.wrong("contact_choice", format!("there is no policy {text:?}; there are: {}", known.join(", ")));
        }
        choice
    });
    let calling_times = calling_times(&mut r);
    let record_calls = r.bool("record_calls", true);
    let routing = r.table("routing");
    let integrations = r.tables("integration");
    let agents = r.tables("agent");
    let bots = r.tables("bot");
    let dids = r.tables("did");
    r.finish();

    let place = Place { country: &country, utc_offset: offset.unwrap_or(Offset::UTC) };
    let routing = routing
        .map_or_else(Routing::default, |table| routing::routing(&format!("{at}.routing"), table, place, problems));
    let integrations: Vec<_> = integrations
        .into_iter()
        .map(|(at, table)| {
            let sid = sid.as_deref().unwrap_or_default();
            integration(Given::InFile, &at, table, sid, offset.unwrap_or(Offset::UTC), problems)
        })
        .collect();
    for (index, one) in integrations.iter().enumerate() {
        let Some(one) = one else { continue };
        if integrations[..index].iter().flatten().any(|other| other.name == one.name) {
            problems.push(Problem {
                key: format!("{at}.integration[{index}].name"),
                message: format!("{:?} is the name of another integration of this account; give it its own", one.name),
            });
        }
    }
    let names: Vec<&str> = integrations.iter().flatten().map(|one| one.name.as_str()).collect();
    let agents: Vec<_> = agents.into_iter().map(|(at, table)| agent(&at, table, &country, &names, problems)).collect();
    let bots: Vec<_> = bots.into_iter().map(|(at, table)| bot::bot(&at, table, &country, problems)).collect();
    for (index, (one, _)) in bots.iter().enumerate().filter_map(|(index, one)| Some((index, one.as_ref()?))) {
        if bots[..index].iter().flatten().any(|(other, _)| other.id == one.id) {
            problems.push(Problem {
                key: format!("{at}.bot[{index}].id"),
                message: format!("{:?} is the id of another bot of this account; give it its own", one.id),
            });
        }
    }
    let dids: Vec<_> = dids.into_iter().map(|(at, table)| bot::did(&at, table, &country, problems)).collect();
    let (bots, of_bots): (Vec<_>, Vec<_>) = bots.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
    let dids = dids.into_iter().collect::<Option<Vec<_>>>()?;
    let dids = bot::dids(at, dids, of_bots.into_iter().flatten().collect(), problems);
    Some(Account {
        sid: sid?,
        api_url: api_url?,
        ccm_url: ccm_url?,
        cpaas_url: cpaas_url?,
        portal_url: portal_url?,
        api_key: api_key?,
        api_token: api_token?,
        utc_offset: offset?,
        country,
        open_hooks,
        app_ids,
        contact_choice: contact_choice?,
        calling_times,
        record_calls,
        routing,
        integrations: integrations.into_iter().collect::<Option<_>>()?,
        agents: agents.into_iter().collect::<Option<_>>()?,
        bots,
        dids,
    })
}

fn agent(at: &str, table: &Table, country: &str, integrations: &[&str], problems: &mut Vec<Problem>) -> Option<Agent> {
    let mut r = Reader::new(table, at, problems);
    let number = r.required("number", "the agent's number as \"+919711581199\", or \"sip:…\"").and_then(|typed| {
        if typed.starts_with("sip:") {
            return Some(typed);
        }
        let parsed = phone::parse(&typed, country).map(|number| number.e164);
        if parsed.is_none() {
            r.wrong("number", "is not a phone number; write it as \"+919711581199\", or \"sip:…\"");
        }
        parsed
    });
    let email = r.text("email");
    if email.as_deref().is_some_and(|email| !email.contains('@')) {
        r.wrong("email", "is not an e-mail address");
    }
    let caller_id = r.text("caller_id");
    let click_to_call = r.bool("click_to_call", false);
    let mut crm_user = BTreeMap::new();
    if let Some(users) = r.table("crm_user") {
        for (name, value) in users {
            let known = integrations.contains(&name.as_str());
            match value {
                _ if !known => r.wrong(
                    &format!("crm_user.{name}"),
                    format!("there is no integration of this name; there are: {}", integrations.join(", ")),
                ),
                Value::String(id) => {
                    crm_user.insert(name.clone(), id.clone());
                }
                Value::Integer(id) => {
                    crm_user.insert(name.clone(), id.to_string());
                }
                _ => r.wrong(&format!("crm_user.{name}"), "must be the id of a CRM user"),
            }
        }
    }
    r.finish();
    Some(Agent { number: number?, email, caller_id, click_to_call, crm_user })
}

fn url_or(r: &mut Reader<'_, '_>, key: &str, default: &str) -> Option<Url> {
    match url(r, key, &["http", "https"]) {
        Some(url) => Some(url),
        None => Url::parse(default).ok(),
    }
}

fn parse_offset(text: &str) -> Option<Offset> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ if text.eq_ignore_ascii_case("z") => return Some(Offset::UTC),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    if !(0..=14).contains(&hours) || !(0..60).contains(&minutes) {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

#[cfg(test)]
mod tests {
    use crate::config::parse;

    fn addresses(more: &str) -> [String; 4] {
        let text = format!("[[account]]\nsid = \"acme1\"\napi_key = \"k\"\napi_token = \"t\"\n{more}");
        let config = parse("test", &text, &Default::default()).expect("a configuration");
        let account = &config.accounts[0];
        let all = [&account.api_url, &account.ccm_url, &account.cpaas_url, &account.portal_url];
        all.map(|url| url.as_str().trim_end_matches('/').to_owned())
    }

    #[test]
    fn a_region_has_its_addresses_and_each_can_be_another() {
        let singapore = ["https://api.exotel.com", "https://ccm-api.exotel.com", "https://cpaas-api.exotel.com"];
        assert_eq!(addresses("")[..3], singapore);
        assert_eq!(addresses("region = \"singapore\"")[..3], singapore);
        let mumbai = addresses("region = \"mumbai\"\nccm_url = \"http://127.0.0.1:9\"");
        let expected = ["https://api.in.exotel.com", "http://127.0.0.1:9", "https://cpaas-api.in.exotel.com"];
        assert_eq!(mumbai[..3], expected);
        assert_eq!(mumbai[3], "https://my.in.exotel.com");
    }

    #[test]
    fn only_regions_are_named_as_places_to_ask_elsewhere() {
        let elsewhere = |more: &str| {
            let text = format!("[[account]]\nsid = \"acme1\"\napi_key = \"k\"\napi_token = \"t\"\n{more}");
            let config = parse("test", &text, &Default::default()).expect("a configuration");
            super::elsewhere(&config.accounts[0]).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(elsewhere(""), ["mumbai"]);
        assert_eq!(elsewhere("region = \"mumbai\""), ["singapore"]);
        assert!(elsewhere("api_url = \"http://127.0.0.1:9\"").is_empty(), "a key is shown to nobody who is not named");
    }
}
