//! One lenient reader for what Exotel answers: JSON or XML, numbers as either, times without a zone, words for nothing.

use std::fmt;

use jiff::{Timestamp, civil, tz::Offset};
use patchbay_kit::{PhoneNumber, Rendering, mask};
use quick_xml::{Reader, escape::unescape, events::Event};
use serde_json::{Map, Value};

use crate::call::{normalise::parse_time, phone};

/// An answer nested deeper, or of more elements, is nobody's.
const DEPTH: usize = 32;
const ELEMENTS: usize = 200_000;

/// What reading an account's answers depends on.
#[derive(Clone, Debug)]
pub struct Naive {
    /// Of Exotel's naive timestamps (exotel-api §1.6).
    pub utc_offset: Offset,
    /// ISO 3166 country of numbers written nationally.
    pub country: String,
}

impl Naive {
    /// As the filters of lists want it: the account's wall clock (exotel-api §1.6). Passing UTC would shift the window.
    pub(super) fn written(&self, at: Timestamp) -> String {
        let clock: civil::DateTime = self.utc_offset.to_datetime(at);
        clock.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    pub(super) fn party(&self, raw: &str) -> Party {
        Party::read(raw, &self.country)
    }
}

/// One end of a call. `Debug` and `Display` are masked.
#[derive(Clone, PartialEq, Eq)]
pub enum Party {
    Number(PhoneNumber),
    /// `sip:…`, or the bare id of a SIP user.
    Sip(String),
    /// Neither: a short code, a withheld number, something of tomorrow's.
    Other(String),
}

impl Party {
    pub fn read(raw: &str, country: &str) -> Self {
        if phone::is_sip(raw) {
            return Self::Sip(raw.trim().to_owned());
        }
        phone::parse(raw, country).map_or_else(|| Self::Other(raw.trim().to_owned()), Self::Number)
    }

    /// As Exotel is to be told of it where it prefers E.164 (exotel-api §1.7).
    pub(super) fn e164(&self) -> String {
        match self {
            Self::Number(number) => number.e164.clone(),
            Self::Sip(text) | Self::Other(text) => text.clone(),
        }
    }
}

impl From<PhoneNumber> for Party {
    fn from(number: PhoneNumber) -> Self {
        Self::Number(number)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => f.write_str(&mask::number(&number.e164)),
            Self::Sip(_) => f.write_str("sip:***"),
            Self::Other(text) => f.write_str(&mask::number(text)),
        }
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As v1 writes numbers itself: `09052161119` (exotel-api §1.7). Other countries have no such form there.
pub(super) fn v1(number: &PhoneNumber) -> String {
    if number.country == "91" { number.render(Rendering::NationalZero) } else { number.e164.clone() }
}

/// A body as a value: JSON, or XML turned into the JSON that Exotel would have written.
pub(super) fn body(bytes: &[u8]) -> Option<Value> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if *first == b'<' { xml(bytes) } else { serde_json::from_slice(bytes).ok() }
}

/// An element being read.
#[derive(Default)]
struct Open {
    name: String,
    text: String,
    children: Vec<(String, Value)>,
}

impl Open {
    fn close(self) -> (String, Value) {
        let Self { name, text, children } = self;
        if children.is_empty() {
            let text = text.trim();
            return (name, if text.is_empty() { Value::Null } else { text.into() });
        }
        // `<Legs><Leg/><Leg/></Legs>` is `"Legs":[{"Leg":{}},{"Leg":{}}]` in v1's JSON (exotel-api §5.1).
        let one = name.strip_suffix('s').unwrap_or_default().to_owned();
        let lists = children.iter().all(|(child, _)| *child == one);
        let repeats = children.len() > 1 && children.windows(2).all(|pair| pair[0].0 == pair[1].0);
        if lists || repeats {
            let each = children.into_iter().map(|(child, value)| Map::from_iter([(child, value)]).into());
            return (name, Value::Array(each.collect()));
        }
        let mut object = Map::new();
        for (child, value) in children {
            object.entry(child).or_insert(value);
        }
        (name, object.into())
    }
}

/// The root's content; `<TwilioResponse>` stands for nothing in the JSON. Entities of a document's own are not resolved.
fn xml(bytes: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Open> = Vec::new();
    for _ in 0..ELEMENTS {
        let closed = match reader.read_event().ok()? {
            Event::Start(tag) => {
                open.push(Open { name: tag.name().as_ref().to_owned(), ..Open::default() });
                if open.len() > DEPTH {
                    return None;
                }
                continue;
            }
            Event::Empty(tag) => (tag.name().as_ref().to_owned(), Value::Null),
            Event::End(_) => open.pop()?.close(),
            Event::Text(text) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&text);
                }
                continue;
            }
            Event::CData(text) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&text);
                }
                continue;
            }
            Event::GeneralRef(name) => {
                if let Some(element) = open.last_mut() {
                    let entity = format!("&{};", &*name);
                    element.text.push_str(&unescape(&entity).ok()?);
                }
                continue;
            }
            Event::Eof => return None,
            _ => continue,
        };
        let Some(parent) = open.last_mut() else {
            return match closed {
                // A page for browsers, from something on the way.
                (name, _) if name.eq_ignore_ascii_case("html") => None,
                (name, value) if name == "TwilioResponse" => Some(value),
                (name, value) => Some(Map::from_iter([(name, value)]).into()),
            };
        };
        parent.children.push(closed);
    }
    None
}

/// A part of an answer, asked by name. What is not there, and what says nothing, is `None`; a name is found in any case
/// (`legs`, `Legs`; `MetaData`, `Metadata`).
#[derive(Clone, Copy)]
pub(super) struct Said<'a> {
    value: &'a Value,
    naive: &'a Naive,
}

impl<'a> Said<'a> {
    pub(super) fn new(value: &'a Value, naive: &'a Naive) -> Self {
        Self { value, naive }
    }

    pub(super) fn at(&self, name: &str) -> Option<Self> {
        let object = self.value.as_object()?;
        let found = object.get(name).or_else(|| {
            let same = |(key, value)| {
                let key: &String = key;
                key.eq_ignore_ascii_case(name).then_some(value)
            };
            object.iter().find_map(same)
        })?;
        (!found.is_null()).then_some(Self { value: found, ..*self })
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    pub(super) fn is_object(&self) -> bool {
        self.value.is_object()
    }

    /// One thing, several, or several each in its wrapper (`{"Leg":{…}}`): exotel-api §5.1, §5.5, §5.8.
    pub(super) fn each(&self, wrapper: &str) -> Vec<Self> {
        let bare = |one: Self| one.at(wrapper).filter(Self::is_object).unwrap_or(one);
        match self.value {
            Value::Array(all) => all.iter().map(|value| bare(Self { value, ..*self })).collect(),
            Value::Object(_) => vec![bare(*self)],
            _ => Vec::new(),
        }
    }

    /// Texts and numbers alike, trimmed; the words for nothing are none (exotel-api §0 quirk 6).
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let text = match self.at(name)?.value {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Bool(yes) => yes.to_string(),
            _ => return None,
        };
        (!text.is_empty() && text != "null").then_some(text)
    }

    pub(super) fn count(&self, name: &str) -> Option<u32> {
        self.integer(name).and_then(|number| u32::try_from(number).ok())
    }

    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        let text = self.text(name)?;
        // `"2.0"` too; what is after the point is not of interest.
        text.split('.').next()?.parse().ok()
    }

    pub(super) fn yes(&self, name: &str) -> Option<bool> {
        match self.text(name)?.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Some(true),
            "false" | "0" | "no" => Some(false),
            _ => None,
        }
    }

    pub(super) fn time(&self, name: &str) -> Option<Timestamp> {
        parse_time(&self.text(name)?, self.naive.utc_offset)
    }

    pub(super) fn party(&self, name: &str) -> Option<Party> {
        Some(self.naive.party(&self.text(name)?))
    }

    pub(super) fn number(&self, name: &str) -> Option<PhoneNumber> {
        match self.party(name)? {
            Party::Number(number) => Some(number),
            Party::Sip(_) | Party::Other(_) => None,
        }
    }
}

/// An enumeration of Exotel's that may have more words tomorrow.
macro_rules! open_words {
    ($(#[$about:meta])* $name:ident { $($(#[$says:meta])* $word:ident = $first:literal $(| $more:literal)*),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$says])* $word,)+
            /// A word that is not in the documentation.
            Other(String),
        }

        impl $name {
            pub fn read(word: &str) -> Self {
                match word.trim().to_ascii_lowercase().as_str() {
                    $($first $(| $more)* => Self::$word,)+
                    _ => Self::Other(word.trim().to_owned()),
                }
            }

            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$word => $first,)+
                    Self::Other(word) => word,
                }
            }
        }
    };
}
pub(super) use open_words;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn xml_becomes_the_json_exotel_would_have_written() {
        let text = concat!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<TwilioResponse><Call><Sid>c1</Sid><ParentCallSid/>",
            "<To>A &amp; B &#43;</To><Legs><Leg><Id>1</Id></Leg><Leg><Id>2</Id></Leg></Legs></Call></TwilioResponse>"
        );
        let expected = json!({"Call": {"Sid": "c1", "ParentCallSid": null, "To": "A & B +",
            "Legs": [{"Leg": {"Id": "1"}}, {"Leg": {"Id": "2"}}]}});
        assert_eq!(body(text.as_bytes()), Some(expected));
        let one = "<TwilioResponse><Legs><Sid>l1</Sid><Uri>/x</Uri></Legs></TwilioResponse>";
        assert_eq!(body(one.as_bytes()), Some(json!({"Legs": {"Sid": "l1", "Uri": "/x"}})));
    }

    #[test]
    fn what_is_no_document_is_none() {
        let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
        let entity = "<!DOCTYPE x [<!ENTITY e \"boom\">]><TwilioResponse><Sid>&e;</Sid></TwilioResponse>";
        for text in [
            "",
            "  ",
            "<html><body>Hello</body></html>",
            "<html>",
            "<a></b>",
            "Authentication is required",
            "{",
            &deep,
            entity,
        ] {
            assert_eq!(body(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn nothing_shows_a_whole_number() {
        for raw in ["09876543210", "+919876543210", "sip:9876543210", "9876543"] {
            let party = Party::read(raw, "IN");
            assert!(!format!("{party:?} {party}").contains(raw.trim_start_matches(['+', '0'])), "{party:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in ".{0,200}", tags in "(<[a-c]/?>|</[a-c]>|&[a-z]{1,3};|x){0,40}") {
            let _ = body(bytes.as_bytes());
            let _ = body(tags.as_bytes());
        }
    }
}
