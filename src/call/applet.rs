//! What the applets that dial nobody are told: which of an account's texts, prompts and cases applies to a call.

use std::collections::BTreeSet;

/// Something that is true of a call or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// A CRM has him, as far as Patchbay has heard.
    KnownCaller,
    /// A ticket was made of a call of his lately.
    OpenTicket,
    /// He has an owner who is not in another call, and it is not out of hours.
    OwnerAvailable,
    BusinessHours,
    /// A bot has said who is to go on with the call, and nobody has asked for him yet.
    HandOver,
}

impl Rule {
    pub const ALL: [Self; 5] =
        [Self::KnownCaller, Self::OpenTicket, Self::OwnerAvailable, Self::BusinessHours, Self::HandOver];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::KnownCaller => "known_caller",
            Self::OpenTicket => "open_ticket",
            Self::OwnerAvailable => "owner_available",
            Self::BusinessHours => "business_hours",
            Self::HandOver => "hand_over",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == text)
    }
}

/// A rule, or its opposite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    pub rule: Rule,
    pub holds: bool,
}

impl When {
    /// `known_caller`, `not known_caller`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (rule, holds) = match text.strip_prefix("not ") {
            Some(rule) => (rule.trim(), false),
            None => (text, true),
        };
        Some(Self { rule: Rule::parse(rule)?, holds })
    }
}

/// One of several things an applet may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// As a flow's URL names it (`?name=…`); of a switch, the case.
    pub name: String,
    /// `None`: always.
    pub when: Option<When>,
    pub what: T,
}

/// Something to be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sound {
    /// Read out.
    Text(String),
    /// The address of a recording.
    Audio(String),
}

impl Sound {
    /// What looks like an address is one.
    pub fn of(text: &str) -> Self {
        let text = text.trim();
        let address = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
        if address && !text.contains(char::is_whitespace) {
            Self::Audio(text.to_owned())
        } else {
            Self::Text(text.to_owned())
        }
    }

    /// As it stands in the configuration.
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Audio(text) => text,
        }
    }
}

/// What is heard around a conversation (exotel-api §4.10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Playback {
    pub start: Option<Sound>,
    /// The caller hears it, too.
    pub start_to_both: bool,
    pub during: Option<Sound>,
    pub during_after_seconds: u32,
    pub during_every_seconds: u32,
    pub end: Option<Sound>,
}

/// How keys are asked for (exotel-api §4.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gather {
    pub prompt: Sound,
    pub max_digits: u32,
    pub finish_on_key: String,
    pub timeout_seconds: u32,
    pub repeat: u32,
    pub repeat_prompt: Option<Sound>,
}

/// All that an account's applets are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applets {
    /// A text, or addresses of recordings, one a line.
    pub greetings: Vec<Entry<String>>,
    pub playbacks: Vec<Entry<Playback>>,
    pub gathers: Vec<Entry<Gather>>,
    pub cases: Vec<Entry<()>>,
    /// The case where none of those applies.
    pub otherwise: Option<String>,
}

/// The entries a URL means: those of the name it gives; where it gives none, or one that is not there, those without a
/// name, and if there are none of these either, all.
pub fn meant<'a, T>(entries: &'a [Entry<T>], name: Option<&str>) -> Vec<&'a Entry<T>> {
    let of = |name: &str| entries.iter().filter(|entry| entry.name == name).collect::<Vec<_>>();
    let named = name.map(of).unwrap_or_default();
    let nameless = || of("");
    match (named.is_empty(), nameless().is_empty()) {
        (false, _) => named,
        (true, false) => nameless(),
        (true, true) => entries.iter().collect(),
    }
}

/// The rules on which these depend.
pub fn rules<T>(entries: &[&Entry<T>]) -> BTreeSet<Rule> {
    entries.iter().filter_map(|entry| entry.when).map(|when| when.rule).collect()
}

/// The first that applies, of these rules those hold.
pub fn first<'a, T>(entries: &[&'a Entry<T>], holding: &BTreeSet<Rule>) -> Option<&'a Entry<T>> {
    let applies = |entry: &&&Entry<T>| entry.when.is_none_or(|when| holding.contains(&when.rule) == when.holds);
    entries.iter().find(applies).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_as_they_are_asked() {
        for rule in Rule::ALL {
            assert_eq!(When::parse(rule.as_str()), Some(When { rule, holds: true }));
            assert_eq!(When::parse(&format!("not {}", rule.as_str())), Some(When { rule, holds: false }));
        }
        assert_eq!(When::parse("not"), None);
        assert_eq!(When::parse("vip"), None);
    }

    #[test]
    fn what_looks_like_an_address_is_one() {
        assert_eq!(Sound::of(" https://cdn.example/a.wav "), Sound::Audio("https://cdn.example/a.wav".to_owned()));
        for text in ["Welcome.", "See https://cdn.example/a.wav", "https://cdn.example and more"] {
            assert_eq!(Sound::of(text), Sound::Text(text.to_owned()));
        }
    }

    #[test]
    fn the_first_entry_that_applies_is_told() {
        let entry = |name: &str, when: &str, what: u8| Entry { name: name.to_owned(), when: When::parse(when), what };
        let entries = [
            entry("vip", "known_caller", 1),
            entry("vip", "", 2),
            entry("", "not business_hours", 3),
            entry("", "", 4),
        ];
        let told = |name: Option<&str>, holding: &[Rule]| {
            let meant = meant(&entries, name);
            first(&meant, &holding.iter().copied().collect()).map(|entry| entry.what)
        };
        assert_eq!(told(Some("vip"), &[Rule::KnownCaller]), Some(1));
        assert_eq!(told(Some("vip"), &[]), Some(2));
        assert_eq!(told(None, &[]), Some(3));
        assert_eq!(told(None, &[Rule::BusinessHours]), Some(4));
        // A name that is not there is a mistyped flow: he hears what everybody hears.
        assert_eq!(told(Some("wip"), &[Rule::BusinessHours]), Some(4));
        let named = &entries[..2];
        assert_eq!(first(&meant(named, None), &[].into()).map(|entry| entry.what), Some(2));
        assert_eq!(first(&meant::<u8>(&[], Some("vip")), &[].into()), None);
        assert_eq!(rules(&meant(&entries, Some("vip"))), [Rule::KnownCaller].into());
    }
}
