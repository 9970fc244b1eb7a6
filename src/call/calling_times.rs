//! When agents may call: hours of the day and days of the week, by the account's clock.

use jiff::{
    Timestamp,
    civil::{Time, Weekday},
    tz::Offset,
};

const DAYS: [(Weekday, &str); 7] = [
    (Weekday::Monday, "Monday"),
    (Weekday::Tuesday, "Tuesday"),
    (Weekday::Wednesday, "Wednesday"),
    (Weekday::Thursday, "Thursday"),
    (Weekday::Friday, "Friday"),
    (Weekday::Saturday, "Saturday"),
    (Weekday::Sunday, "Sunday"),
];

/// From a time of day on, until another, on some days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallingTimes {
    from: Time,
    /// Not itself; the last second of the day stands for its end.
    until: Time,
    days: Vec<Weekday>,
}

impl CallingTimes {
    /// Reads them as people write them: `09:00` or `09:00:00`, `Monday` or `mon`; no days are all days.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn read(from: &str, until: &str, days: &[String]) -> Result<Self, String> {
        let (from, until) = (time(from)?, time(until)?);
        if from >= until {
            return Err("the end must be later than the beginning, on the same day".to_owned());
        }
        let mut known = Vec::new();
        for word in days {
            known.push(day(word).ok_or_else(|| format!("{word:?} is no day; they are Monday to Sunday"))?);
        }
        if known.is_empty() {
            known = DAYS.map(|(day, _)| day).to_vec();
        }
        Ok(Self { from, until, days: known })
    }

    /// Whether calls may be placed now.
    pub fn open(&self, now: Timestamp, clock: Offset) -> bool {
        let here = clock.to_datetime(now);
        let (time, last) = (here.time(), Time::constant(23, 59, 59, 0));
        self.days.contains(&here.weekday()) && self.from <= time && (time < self.until || self.until >= last)
    }

    /// In words.
    pub fn told(&self) -> String {
        let names = DAYS.iter().filter(|(day, _)| self.days.contains(day)).map(|(_, name)| *name);
        let days =
            if self.days.len() == DAYS.len() { "every day".to_owned() } else { names.collect::<Vec<_>>().join(", ") };
        format!("{days} from {} to {}", self.from.strftime("%H:%M"), self.until.strftime("%H:%M"))
    }

    /// The days, by their English names.
    pub fn day_names(&self) -> Vec<&'static str> {
        DAYS.iter().filter(|(day, _)| self.days.contains(day)).map(|(_, name)| *name).collect()
    }

    /// Beginning and end, `HH:MM:SS`.
    pub fn bounds(&self) -> [String; 2] {
        [self.from, self.until].map(|time| time.strftime("%H:%M:%S").to_string())
    }
}

fn time(text: &str) -> Result<Time, String> {
    let wrong = || format!("{text:?} is no time of day; write 09:00 or 09:00:00");
    let text = text.trim();
    let parts: Vec<&str> = text.split(':').collect();
    if !matches!(parts.len(), 2 | 3) || parts.iter().any(|part| part.len() != 2) {
        return Err(wrong());
    }
    let mut numbers = parts.iter().map(|part| part.parse::<i8>());
    let mut next = || numbers.next().unwrap_or(Ok(0)).map_err(|_| wrong());
    let (hour, minute, second) = (next()?, next()?, next()?);
    if (hour, minute, second) == (24, 0, 0) {
        return Ok(Time::constant(23, 59, 59, 0));
    }
    Time::new(hour, minute, second, 0).map_err(|_| wrong())
}

fn day(word: &str) -> Option<Weekday> {
    let word = word.trim().to_ascii_lowercase();
    let named = |name: &str| {
        let name = name.to_ascii_lowercase();
        word == name || word == name[..3]
    };
    DAYS.iter().find(|(_, name)| named(name)).map(|(day, _)| *day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(from: &str, until: &str, days: &[&str]) -> Result<CallingTimes, String> {
        CallingTimes::read(from, until, &days.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn hours_and_days_are_the_accounts_own() {
        let office = times("09:00", "18:30:00", &["Monday", "fri"]).unwrap();
        let ist = Offset::from_seconds(19_800).unwrap();
        // 2026-11-23 is a Monday.
        for (now, open) in [
            ("2026-11-23T03:29:59Z", false),
            ("2026-11-23T03:30:00Z", true),
            ("2026-11-23T12:59:59Z", true),
            ("2026-11-23T13:00:00Z", false),
            ("2026-11-24T05:00:00Z", false),
            // Friday here, still Thursday in Greenwich.
            ("2026-11-26T20:00:00Z", false),
            ("2026-11-27T03:30:00Z", true),
        ] {
            assert_eq!(office.open(at(now), ist), open, "{now}");
        }
        assert!(!office.open(at("2026-11-23T03:30:00Z"), Offset::UTC));
        assert_eq!(office.told(), "Monday, Friday from 09:00 to 18:30");
    }

    #[test]
    fn the_end_of_the_day_belongs_to_it() {
        for until in ["23:59:59", "24:00"] {
            let always = times("00:00", until, &[]).unwrap();
            assert!(always.open(at("2026-11-23T23:59:59.7Z"), Offset::UTC), "{until}");
            assert_eq!(always.day_names().len(), 7);
        }
    }

    #[test]
    fn what_is_no_time_is_told() {
        for (from, until, days) in [
            ("9:00", "18:00", &[][..]),
            ("09:00", "25:00", &[]),
            ("09:00", "09:00", &[]),
            ("22:00", "06:00", &[]),
            ("09:00", "18:00", &["Mo"]),
            ("", "18:00", &[]),
        ] {
            assert!(times(from, until, days).is_err(), "{from} {until} {days:?}");
        }
    }
}
