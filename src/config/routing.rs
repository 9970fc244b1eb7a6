//! Reading `[account.routing]`: whom callers are put through to, and what the applets that dial nobody are told.

use jiff::{
    civil::{Date, Time},
    tz::Offset,
};
use toml::Table;

use super::reader::{Problem, Reader};
use crate::call::{
    applet::{Entry, Gather, Playback, Sound, When},
    phone,
    route::{Group, Hours, Routing, Step},
};

/// How a step is written.
const STEPS: &str = "\"hand_over\", \"owner\", \"sticky\", \"group:NAME\", \"fallback\"";
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Greetings and prompts are read out; nobody listens for longer.
const TEXT_CHARS: usize = 2000;

/// What reading depends on.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) country: &'a str,
    pub(super) utc_offset: Offset,
}

pub(super) fn routing(at: &str, table: &Table, place: Place<'_>, problems: &mut Vec<Problem>) -> Routing {
    let default = Routing::default();
    let mut r = Reader::new(table, at, problems);
    let order = steps(&mut r, "order").unwrap_or_else(|| default.order.clone());
    let fallback = r.texts("fallback").unwrap_or_default();
    let fallback: Vec<String> = fallback
        .iter()
        .enumerate()
        .filter_map(|(n, typed)| {
            let number = number(typed, place.country);
            if number.is_none() {
                r.wrong(&format!("fallback[{n}]"), NO_NUMBER);
            }
            number
        })
        .collect();
    let days = |days: i64| std::time::Duration::from_secs(u64::try_from(days).unwrap_or_default() * 86_400);
    let sticky = r.number("sticky_days", 1..=3650).map_or(default.sticky, days);
    let ticket_open = r.number("open_ticket_days", 1..=3650).map_or(default.ticket_open, days);
    let record = r.bool("record", default.record);
    // More than 60 s Exotel does not take (exotel-api §4.7).
    let ring_seconds = r.number("ring_seconds", 5..=60).and_then(|seconds| u32::try_from(seconds).ok());
    let ahead = r.bool("ask_ahead", true);
    let otherwise = r.text("otherwise").filter(|case| !case.trim().is_empty());
    let hours = r.table("hours");
    let groups = r.tables("group");
    let greetings = r.tables("greeting");
    let playbacks = r.tables("playback");
    let gathers = r.tables("gather");
    let cases = r.tables("case");
    r.finish();
    let mut rules = Routing { order, fallback, sticky, ticket_open, record, ring_seconds, ahead, ..default };
    rules.hours = hours.and_then(|table| self::hours(&format!("{at}.hours"), table, place.utc_offset, problems));
    for (at, table) in groups {
        let Some(group) = group(&at, table, place.country, problems) else { continue };
        if rules.groups.iter().any(|other| other.name == group.name) {
            wrong(problems, &at, "name", format!("{:?} is the name of another group", group.name));
        }
        rules.groups.push(group);
    }
    let outside = rules.hours.iter().flat_map(|hours| &hours.outside).map(|step| ("hours.outside", step));
    for (key, step) in rules.order.iter().map(|step| ("order", step)).chain(outside) {
        match step {
            Step::Group(name) if rules.groups.iter().all(|group| group.name != *name) => {
                let there: Vec<&str> = rules.groups.iter().map(|group| group.name.as_str()).collect();
                let message = format!("there is no group {name:?}; there are: {}", there.join(", "));
                wrong(problems, at, key, message);
            }
            Step::Fallback if key == "hours.outside" && rules.fallback.is_empty() => {
                wrong(problems, at, key, "names fallback, and there is none; write fallback = [\"+918047494574\"]");
            }
            _ => {}
        }
    }
    let applets = &mut rules.applets;
    applets.otherwise = otherwise;
    applets.greetings = entries(greetings, problems, |r| spoken(r, "say"));
    applets.playbacks = entries(playbacks, problems, playback);
    applets.gathers = entries(gathers, problems, gather);
    for (at, table) in cases {
        let mut r = Reader::new(table, &at, problems);
        let name = r.required("select", "the name of the case in the Switch Case applet");
        let when = when(&mut r);
        r.finish();
        applets.cases.extend(name.map(|name| Entry { name, when, what: () }));
    }
    rules
}

const NO_NUMBER: &str = "is not a phone number; write it as \"+919711581199\", or \"sip:…\"";

fn wrong(problems: &mut Vec<Problem>, at: &str, key: &str, message: impl Into<String>) {
    problems.push(Problem { key: format!("{at}.{key}"), message: message.into() });
}

fn number(typed: &str, country: &str) -> Option<String> {
    if phone::is_sip(typed) {
        return Some(typed.trim().to_owned());
    }
    phone::parse(typed, country).map(|number| number.e164)
}

fn steps(r: &mut Reader<'_, '_>, key: &str) -> Option<Vec<Step>> {
    let written = r.texts(key)?;
    let mut steps = Vec::new();
    for text in written {
        match Step::parse(text.trim()) {
            Some(step) => steps.push(step),
            None => r.wrong(key, format!("there is no step {text:?}; there are: {STEPS}")),
        }
    }
    Some(steps)
}

fn group(at: &str, table: &Table, country: &str, problems: &mut Vec<Problem>) -> Option<Group> {
    let mut r = Reader::new(table, at, problems);
    let name = r.required("name", "a short name, used as \"group:NAME\" in order");
    let typed = r.texts("agents").unwrap_or_default();
    if typed.is_empty() {
        r.wrong("agents", "names nobody; write numbers, \"sip:…\", or e-mail addresses of the user mapping");
    }
    let mut members = Vec::new();
    for (n, one) in typed.iter().enumerate() {
        match number(one, country) {
            Some(number) => members.push(number),
            None if one.contains('@') => members.push(one.trim().to_owned()),
            None => r.wrong(&format!("agents[{n}]"), "is neither a phone number nor \"sip:…\" nor an e-mail address"),
        }
    }
    let together = match r.text("ring").as_deref() {
        None | Some("in_turn") => false,
        Some("together") => true,
        Some(other) => {
            r.wrong("ring", format!("must be \"in_turn\" or \"together\", is {other:?}"));
            false
        }
    };
    r.finish();
    Some(Group { name: name?, members, together })
}

fn hours(at: &str, table: &Table, utc_offset: Offset, problems: &mut Vec<Problem>) -> Option<Hours> {
    let mut r = Reader::new(table, at, problems);
    let mut days = [false; 7];
    match r.texts("days") {
        None => days = [true, true, true, true, true, true, false],
        Some(named) => {
            for name in named {
                match DAYS.iter().position(|day| day.eq_ignore_ascii_case(&name)) {
                    Some(day) => days[day] = true,
                    None => r.wrong("days", format!("there is no day {name:?}; there are: {}", DAYS.join(", "))),
                }
            }
        }
    }
    let mut spans = Vec::new();
    let written = r.texts("open").unwrap_or_default();
    if written.is_empty() {
        r.wrong("open", "is missing; write open = [\"09:30-18:30\"]");
    }
    for text in written {
        match span(&text) {
            Some(span) => spans.push(span),
            None => r.wrong("open", format!("{text:?} is not a span of the day; write \"09:30-18:30\"")),
        }
    }
    let mut holidays = std::collections::BTreeSet::new();
    for text in r.texts("holidays").unwrap_or_default() {
        match text.parse::<Date>() {
            Ok(day) => {
                holidays.insert(day);
            }
            Err(_) => r.wrong("holidays", format!("{text:?} is not a day; write \"2026-01-26\"")),
        }
    }
    let outside = steps(&mut r, "outside").unwrap_or_else(|| vec![Step::HandOver]);
    r.finish();
    Some(Hours { utc_offset, days, spans, holidays, outside })
}

/// `09:30-18:30`. `24:00` is the end of a day.
fn span(text: &str) -> Option<(Time, Time)> {
    let (from, until) = text.split_once('-')?;
    let time = |text: &str| -> Option<Time> {
        let (hour, minute) = text.trim().split_once(':')?;
        Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
    };
    let until = if until.trim() == "24:00" { Time::midnight() } else { time(until)? };
    let from = time(from)?;
    // From and until the same would be a whole day or none of it.
    (from != until || from == Time::midnight()).then_some((from, until))
}

fn when(r: &mut Reader<'_, '_>) -> Option<When> {
    let text = r.text("when")?;
    let when = When::parse(&text);
    if when.is_none() {
        let rules: Vec<&str> = crate::call::applet::Rule::ALL.map(|rule| rule.as_str()).into();
        r.wrong("when", format!("there is no rule {text:?}; there are: {}, each also with \"not \"", rules.join(", ")));
    }
    when
}

fn entries<T>(
    tables: Vec<(String, &Table)>,
    problems: &mut Vec<Problem>,
    what: impl Fn(&mut Reader<'_, '_>) -> Option<T>,
) -> Vec<Entry<T>> {
    let mut entries = Vec::new();
    for (at, table) in tables {
        let mut r = Reader::new(table, &at, problems);
        let name = r.text("name").unwrap_or_default();
        let when = when(&mut r);
        let what = what(&mut r);
        r.finish();
        entries.extend(what.map(|what| Entry { name, when, what }));
    }
    entries
}

/// A text that is read out, or addresses of recordings.
fn spoken(r: &mut Reader<'_, '_>, key: &str) -> Option<String> {
    let text = r.required(key, "a text that is read out, or the address of a recording")?;
    if text.chars().count() > TEXT_CHARS {
        r.wrong(key, format!("must have at most {TEXT_CHARS} characters"));
        return None;
    }
    Some(text.trim().to_owned())
}

fn sound(r: &mut Reader<'_, '_>, key: &str) -> Option<Sound> {
    r.text(key).filter(|text| !text.trim().is_empty()).map(|text| Sound::of(&text))
}

fn playback(r: &mut Reader<'_, '_>) -> Option<Playback> {
    let playback = Playback {
        start: sound(r, "start"),
        start_to_both: r.bool("start_to_both", true),
        during: sound(r, "during"),
        during_after_seconds: small(r, "during_after_seconds", 0, 5),
        during_every_seconds: small(r, "during_every_seconds", 1, 10),
        end: sound(r, "end"),
    };
    if playback.start.is_none() && playback.during.is_none() && playback.end.is_none() {
        r.wrong("start", "is missing, and during and end are, too: there is nothing to be heard");
        return None;
    }
    Some(playback)
}

/// Within Exotel's bounds and by its own defaults (exotel-api §4.8).
fn gather(r: &mut Reader<'_, '_>) -> Option<Gather> {
    let prompt = spoken(r, "prompt");
    let finish_on_key = r.text("finish_on_key").unwrap_or_else(|| "#".to_owned());
    let keys = "0123456789*#";
    if finish_on_key.chars().count() > 1 || !finish_on_key.chars().all(|key| keys.contains(key)) {
        r.wrong("finish_on_key", "must be one of 0 to 9, * and #, or \"\" for none");
    }
    let gather = Gather {
        prompt: Sound::of(prompt.as_deref().unwrap_or_default()),
        max_digits: r.number("max_digits", 1..=255).and_then(|n| u32::try_from(n).ok()).unwrap_or(255),
        finish_on_key,
        timeout_seconds: small(r, "timeout_seconds", 1, 5),
        repeat: small(r, "repeat", 0, 0),
        repeat_prompt: sound(r, "repeat_prompt"),
    };
    prompt.map(|_| gather)
}

fn small(r: &mut Reader<'_, '_>, key: &str, least: i64, default: u32) -> u32 {
    r.number(key, least..=3600).and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Routing, String> {
        let table: Table = text.parse().expect("TOML");
        let mut problems = Vec::new();
        let place = Place { country: "IN", utc_offset: Offset::from_seconds(19_800).expect("IST") };
        let rules = routing("account[0].routing", &table, place, &mut problems);
        if problems.is_empty() {
            return Ok(rules);
        }
        Err(problems.iter().map(|one| format!("{}: {}\n", one.key, one.message)).collect())
    }

    #[test]
    fn every_rule_can_be_written() {
        let rules = read(
            r#"
            order = ["hand_over", "owner", "sticky", "group:support", "fallback"]
            sticky_days = 14
            fallback = ["080 4749 4574", "sip:desk"]
            ring_seconds = 25
            otherwise = "new"
            [hours]
            days = ["mon", "SAT"]
            open = ["09:30-13:00", "14:00-24:00"]
            holidays = ["2026-01-26"]
            outside = ["fallback"]
            [[group]]
            name = "support"
            agents = ["avnish@example.com", "09711581199"]
            ring = "together"
            [[greeting]]
            when = "not business_hours"
            say = "We are closed."
            [[playback]]
            end = "https://cdn.example/bye.wav"
            [[gather]]
            name = "order"
            prompt = "Your order, please."
            max_digits = 6
            [[case]]
            select = "known"
            when = "known_caller"
            "#,
        )
        .expect("rules");
        assert_eq!(rules.order.len(), 5);
        assert_eq!(rules.fallback, ["+918047494574", "sip:desk"]);
        assert_eq!(rules.groups[0].members, ["avnish@example.com", "+919711581199"]);
        assert!(rules.groups[0].together && rules.record && rules.ahead);
        assert_eq!(rules.sticky.as_secs(), 14 * 86_400);
        let hours = rules.hours.expect("hours");
        assert_eq!(hours.days, [true, false, false, false, false, true, false]);
        assert_eq!((hours.spans.len(), hours.holidays.len()), (2, 1));
        assert_eq!(hours.outside, [Step::Fallback]);
        assert_eq!(rules.applets.greetings[0].when, When::parse("not business_hours"));
        assert_eq!(rules.applets.gathers[0].what.max_digits, 6);
        assert_eq!(rules.applets.cases[0].name, "known");
        assert_eq!(read("").expect("defaults"), Routing { ahead: true, ..Routing::default() });
    }

    #[test]
    fn what_is_wrong_is_told_with_what_would_be_right() {
        for (text, told) in [
            ("order = [\"boss\"]", "order: there is no step \"boss\"; there are: \"hand_over\""),
            ("order = [\"group:night\"]", "order: there is no group \"night\""),
            ("fallback = [\"12\"]", "fallback[0]: is not a phone number"),
            ("ring_seconds = 90", "ring_seconds: must be between 5 and 60"),
            ("[hours]\ndays = [\"mon\"]", "hours.open: is missing"),
            ("[hours]\nopen = [\"9-18\"]", "\"9-18\" is not a span of the day"),
            ("[hours]\nopen = [\"09:00-09:00\"]", "is not a span of the day"),
            ("[hours]\nopen = [\"09:00-18:00\"]\noutside = [\"fallback\"]", "hours.outside: names fallback"),
            ("[hours]\nopen = [\"09:00-18:00\"]\ndays = [\"monday\"]", "there is no day \"monday\""),
            ("[hours]\nopen = [\"09:00-18:00\"]\nholidays = [\"26.1.\"]", "\"26.1.\" is not a day"),
            ("[[group]]\nname = \"a\"", "agents: names nobody"),
            (
                "[[group]]\nname = \"a\"\nagents = [\"x\"]\nring = \"round\"",
                "ring: must be \"in_turn\" or \"together\"",
            ),
            ("[[greeting]]\nsay = \"\"", "say: is empty"),
            ("[[greeting]]\nsay = \"x\"\nwhen = \"vip\"", "there is no rule \"vip\"; there are: known_caller"),
            ("[[playback]]\nname = \"x\"", "there is nothing to be heard"),
            ("[[gather]]\nprompt = \"x\"\nfinish_on_key = \"##\"", "must be one of 0 to 9, * and #"),
            ("[[case]]\nwhen = \"known_caller\"", "select: is missing"),
            ("ordr = []", "there is no such key; did you mean \"order\"?"),
        ] {
            let problems = read(text).expect_err(text);
            assert!(problems.contains(told), "{text}: {problems}");
        }
    }
}
