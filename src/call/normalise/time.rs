//! Exotel's timestamps: naive, with an offset, or in the manner of mail; placeholders are none (exotel-api §1.6).

use jiff::{Timestamp, civil, tz::Offset};

/// Years a call can have happened in. Outside of them lie the placeholders: `0000-00-00 00:00:00`,
/// `1970-01-01 05:30:00` (exotel-api §0 quirk 3), `0001-01-01T00:00:00Z`.
const YEARS: std::ops::RangeInclusive<i16> = 1990..=2199;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Reads a timestamp. One without an offset, or with an impossible one (`+50:30` stands in an official sample), is in
/// `naive`. Anything unreadable is `None`: a wrong time is no reason to lose the event.
pub fn parse(text: &str, naive: Offset) -> Option<Timestamp> {
    let text = text.trim();
    if !text.is_ascii() || text.len() > 64 {
        return None;
    }
    let (date, rest) = if text.starts_with(|c: char| c.is_ascii_alphabetic()) { mail(text)? } else { iso(text)? };
    let (time, offset) = clock(rest.trim())?;
    if !YEARS.contains(&date.year()) {
        return None;
    }
    offset.unwrap_or(naive).to_timestamp(date.to_datetime(time)).ok()
}

/// `2023-12-27 12:17:26`, `2023-12-27T12:17:26…`
fn iso(text: &str) -> Option<(civil::Date, &str)> {
    let (date, rest) = text.split_at_checked(10)?;
    let mut parts = date.split('-');
    let year = parts.next()?.parse().ok()?;
    let month = parts.next()?.parse().ok()?;
    let day = parts.next()?.parse().ok()?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    Some((civil::Date::new(year, month, day).ok()?, rest))
}

/// `Wed, 27 Dec 2023 12:17:05`; the weekday says nothing new.
fn mail(text: &str) -> Option<(civil::Date, &str)> {
    let (_, text) = text.split_once(',')?;
    let mut parts = text.trim_start().splitn(4, ' ');
    let day = parts.next()?.parse().ok()?;
    let month = parts.next()?.get(..3)?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let year = parts.next()?.parse().ok()?;
    let date = civil::Date::new(year, i8::try_from(month).ok()?, day).ok()?;
    Some((date, parts.next()?))
}

/// `12:17:26`, with a fraction and an offset or neither.
fn clock(text: &str) -> Option<(civil::Time, Option<Offset>)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.')).unwrap_or(text.len());
    let (time, zone) = text.split_at(end);
    let mut parts = time.split('.').next()?.split(':');
    let hour = parts.next()?.parse().ok()?;
    let minute = parts.next()?.parse().ok()?;
    let second: i8 = parts.next().unwrap_or("0").parse().ok()?;
    Some((civil::Time::new(hour, minute, second.min(59), 0).ok()?, zone_offset(zone.trim())))
}

fn zone_offset(zone: &str) -> Option<Offset> {
    if zone.eq_ignore_ascii_case("z") || zone.eq_ignore_ascii_case("gmt") || zone.eq_ignore_ascii_case("utc") {
        return Some(Offset::UTC);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 = digits.get(2..4).unwrap_or("0").parse().ok()?;
    // The world's offsets go from -12:00 to +14:00.
    if hours > 14 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<String> {
        parse(text, Offset::from_seconds(19_800).unwrap()).map(|at| at.to_string())
    }

    #[test]
    fn every_format_is_one_instant() {
        for text in [
            "2023-12-27 12:17:05",
            "2023-12-27T12:17:05",
            " 2023-12-27 12:17:05 ",
            "Wed, 27 Dec 2023 12:17:05",
            "Wed, 27 December 2023 12:17:05",
            "Wed, 27 Dec 2023 12:17:05 +0530",
            "2023-12-27 12:17:05+05:30",
            "2023-12-27T12:17:05+05:30",
            "2023-12-27T06:47:05Z",
            "2023-12-27T06:47:05.123456789Z",
            "2023-12-27T12:17:05+50:30",
            "Wed, 27 Dec 2023 06:47:05 GMT",
        ] {
            assert_eq!(at(text).as_deref(), Some("2023-12-27T06:47:05Z"), "{text}");
        }
    }

    #[test]
    fn placeholders_and_nonsense_are_none() {
        for text in [
            "1970-01-01 05:30:00",
            "1970-01-01 05:30:00+05:30",
            "0000-00-00 00:00:00",
            "0001-01-01T00:00:00Z",
            "",
            "soon",
            "2023-13-45 99:99:99",
            "2023-12-27",
            "Wed, 27 Dec",
            "२०२३-12-27 12:17:05",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in ".{0,70}", shaped in "[0-9]{1,5}-[0-9]{1,3}-[0-9]{1,3}[ T][0-9:.+-]{0,20}") {
            let _ = at(&text);
            let _ = at(&shaped);
        }
    }
}
