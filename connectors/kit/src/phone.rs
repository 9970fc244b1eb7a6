//! A phone number that is known to be one, the ways CRMs store it, and the parties of a call.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number with its country known. Made by the core, which alone parses numbers.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PhoneNumber {
    /// `+919876543210`
    pub e164: String,
    /// Digits of the country code: `91`.
    pub country: String,
    /// Digits of the national significant number: `9876543210`.
    pub national: String,
}

/// Masked: a full number is in no log.
impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::mask::number(&self.e164))
    }
}

/// One way of writing a number. A manifest lists those under which its CRM may have stored it, likeliest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rendering {
    /// `+919876543210`
    E164,
    /// `919876543210`
    E164NoPlus,
    /// `9876543210`
    National,
    /// `09876543210`: as Exotel writes it, and as people in India dial it.
    NationalZero,
    /// `+91-9876543210`
    Hyphenated,
    /// `+91 98765 43210`
    Spaced,
}

impl PhoneNumber {
    pub fn render(&self, as_: Rendering) -> String {
        let Self { e164, country, national } = self;
        match as_ {
            Rendering::E164 => e164.clone(),
            Rendering::E164NoPlus => format!("{country}{national}"),
            Rendering::National => national.clone(),
            Rendering::NationalZero => format!("0{national}"),
            Rendering::Hyphenated => format!("+{country}-{national}"),
            Rendering::Spaced if national.len() == 10 => {
                format!("+{country} {} {}", &national[..5], &national[5..])
            }
            Rendering::Spaced => format!("+{country} {national}"),
        }
    }

    /// Whether `stored`, in whatever writing, can be this number: the digits agree from the end over the whole
    /// national number. CRMs with wildcard searches return more than was asked for.
    pub fn matches(&self, stored: &str) -> bool {
        let digits: String = stored.chars().filter(char::is_ascii_digit).collect();
        digits.strip_suffix(self.national.as_str()).is_some_and(|head| {
            let head = head.trim_start_matches('0');
            head.is_empty() || head == self.country
        })
    }
}

/// A party of a call: what Exotel wrote, and the phone number that is, where it is one. Nobody but the core has to know
/// how Exotel writes.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct Party {
    /// A number in any writing, a SIP address, a word for a withheld number, or nothing.
    pub written: String,
    pub number: Option<PhoneNumber>,
}

/// Deliveries that were stored before the number was kept beside its writing have that alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Text(String),
    Party { written: String, number: Option<PhoneNumber> },
}

impl From<Stored> for Party {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Text(written) => Self { written, number: None },
            Stored::Party { written, number } => Self { written, number },
        }
    }
}

impl Party {
    /// In this writing, where it is a phone number; else as Exotel wrote it.
    pub fn render(&self, as_: Rendering) -> String {
        self.number.as_ref().map_or_else(|| self.written.clone(), |number| number.render(as_))
    }

    /// `+919876543210`; `None` where it is no phone number.
    pub fn e164(&self) -> Option<&str> {
        self.number.as_ref().map(|number| number.e164.as_str())
    }
}

/// Masked: a full number is in no log.
impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::mask::number(&self.written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number() -> PhoneNumber {
        PhoneNumber { e164: "+919876543210".into(), country: "91".into(), national: "9876543210".into() }
    }

    #[test]
    fn every_rendering_matches_its_number() {
        for rendering in [
            Rendering::E164,
            Rendering::E164NoPlus,
            Rendering::National,
            Rendering::NationalZero,
            Rendering::Hyphenated,
            Rendering::Spaced,
        ] {
            assert!(number().matches(&number().render(rendering)), "{rendering:?}");
        }
        assert!(number().matches("0091 98765-43210"));
        assert!(!number().matches("9876543211"));
        assert!(!number().matches("449876543210"));
    }

    #[test]
    fn what_is_no_number_is_shown_as_it_was_written() {
        let party = Party { written: "09876543210".into(), number: Some(number()) };
        assert_eq!(party.render(Rendering::Hyphenated), "+91-9876543210");
        let party = Party { written: "sip:alice".into(), number: None };
        assert_eq!((party.render(Rendering::Hyphenated).as_str(), party.e164()), ("sip:alice", None));
    }

    #[test]
    fn a_party_stored_as_text_is_read() {
        let old: Party = serde_json::from_str("\"09876543210\"").unwrap();
        assert_eq!(old, Party { written: "09876543210".into(), number: None });
        let party = Party { written: "09876543210".into(), number: Some(number()) };
        let stored = serde_json::to_string(&party).unwrap();
        assert_eq!(serde_json::from_str::<Party>(&stored).unwrap(), party);
    }

    #[test]
    fn debug_shows_no_full_number() {
        let party = Party { written: "09876543210".into(), number: Some(number()) };
        assert_eq!(format!("{party:?}"), "*******3210");
        assert_eq!(format!("{:?}", number()), "+91******3210");
    }
}
