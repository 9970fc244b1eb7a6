//! One lenient reader for the ways Exotel and people write phone numbers.

use rlibphonenumber::{NumberLengthType, PHONE_NUMBER_UTIL, Region};

use patchbay_kit::{Party, PhoneNumber};

/// The longest writing that is looked at: fifteen digits of E.164, a prefix, and punctuation between.
const MAX_CHARS: usize = 40;
/// Digits of country code and national number together: E.164's fifteen at most.
const DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// Reads a number as Exotel writes it: `09052161119`, `+919876543210`, ` 919876543210` (a `+` decoded to a space),
/// `00919876543210`, `9876543210`, `080 4680 1234`. `None` for SIP addresses, withheld numbers and anything that cannot
/// be a phone number (exotel-api §1.7).
///
/// A number only has to be possible, not assigned: masked and made-up numbers are still one caller each.
pub fn parse(raw: &str, country: &str) -> Option<PhoneNumber> {
    let text = raw.trim();
    if text.is_empty() || text.chars().count() > MAX_CHARS {
        return None;
    }
    let punctuation = |c: char| matches!(c, ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}');
    let (plus, rest) = match text.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if !rest.chars().all(|c| c.is_ascii_digit() || punctuation(c)) {
        return None;
    }
    let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
    let region = country.trim().to_ascii_uppercase().parse::<Region>().ok();
    let international = |digits: &str| possible(&format!("+{digits}"), None);
    if plus {
        return international(&digits);
    }
    if let Some(rest) = digits.strip_prefix("00") {
        return international(rest);
    }
    // A leading space before anything but a trunk zero was a `+` that went through form decoding.
    if raw.starts_with(' ')
        && !digits.starts_with('0')
        && let Some(number) = international(&digits)
    {
        return Some(number);
    }
    region.and_then(|region| possible(&digits, Some(region))).or_else(|| international(&digits))
}

/// A party of a call, from how Exotel wrote it; empty where it wrote nothing.
pub fn party(written: Option<&str>, country: &str) -> Party {
    let written = written.unwrap_or_default().to_owned();
    Party { number: parse(&written, country), written }
}

/// Whether the caller is nobody in particular: nothing said, `anonymous`, `Restricted`, `0`. A SIP address is somebody.
pub fn withheld(raw: &str) -> bool {
    !is_sip(raw) && !raw.chars().any(|c| c.is_ascii_digit() && c != '0')
}

/// Whether this is a SIP address (`sip:Alice`, exotel-api §4.3).
pub fn is_sip(raw: &str) -> bool {
    let raw = raw.trim().as_bytes();
    let scheme = |scheme: &[u8]| raw.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
    scheme(b"sip:") || scheme(b"sips:")
}

/// Whether two writings can be one number, where the country is not known: the longer ends with the shorter, trunk
/// zeros aside. What is not a number is compared as it stands.
pub fn same(one: &str, other: &str) -> bool {
    /// Fewer digits than these are an extension or a short code, and must agree wholly.
    const SURE: usize = 8;
    let significant = |raw: &str| {
        let digits: String = raw.chars().filter(char::is_ascii_digit).collect();
        digits.trim_start_matches('0').to_owned()
    };
    if is_sip(one) || is_sip(other) {
        return one.trim().eq_ignore_ascii_case(other.trim());
    }
    let (one_digits, other_digits) = (significant(one), significant(other));
    if one_digits.len().min(other_digits.len()) < SURE {
        return one.trim().eq_ignore_ascii_case(other.trim());
    }
    one_digits.ends_with(&other_digits) || other_digits.ends_with(&one_digits)
}

fn possible(digits: &str, region: Option<Region>) -> Option<PhoneNumber> {
    let number = PHONE_NUMBER_UTIL.parse(digits, region).ok()?;
    if number.is_possible_with_reason() != Ok(NumberLengthType::IsPossible) {
        return None;
    }
    let country = number.country_code.to_string();
    let national = number.get_national_significant_number();
    DIGITS.contains(&(country.len() + national.len())).then(|| PhoneNumber {
        e164: format!("+{country}{national}"),
        country,
        national,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn e164(raw: &str) -> Option<String> {
        parse(raw, "IN").map(|number| number.e164)
    }

    #[test]
    fn every_writing_of_exotel_is_one_number() {
        for raw in [
            "+919876543210",
            " 919876543210",
            "919876543210",
            "00919876543210",
            "09876543210",
            "9876543210",
            "+91 98765 43210",
            "+91-98765-43210",
            " 9876543210",
            "  +919876543210  ",
        ] {
            assert_eq!(e164(raw).as_deref(), Some("+919876543210"), "{raw:?}");
        }
        let number = parse("09876543210", "in").unwrap();
        assert_eq!((number.country.as_str(), number.national.as_str()), ("91", "9876543210"));
    }

    #[test]
    fn landlines_and_odd_samples_are_numbers() {
        assert_eq!(e164("080 4680 1234").as_deref(), Some("+918046801234"));
        assert_eq!(e164("08047494574").as_deref(), Some("+918047494574"));
        assert_eq!(e164("09999999991").as_deref(), Some("+919999999991"));
        assert_eq!(e164("09052161119").as_deref(), Some("+919052161119"));
        assert_eq!(e164("8224778996").as_deref(), Some("+918224778996"));
    }

    #[test]
    fn foreign_numbers_keep_their_country() {
        assert_eq!(e164("+14155552671").as_deref(), Some("+14155552671"));
        assert_eq!(e164(" 14155552671").as_deref(), Some("+14155552671"));
        assert_eq!(e164("0014155552671").as_deref(), Some("+14155552671"));
        assert_eq!(parse("2079460958", "GB").unwrap().e164, "+442079460958");
    }

    #[test]
    fn what_is_no_number_is_none() {
        for raw in [
            "",
            " ",
            "sip:Alice",
            "sip:08040408080",
            "anonymous",
            "139",
            "0",
            "+",
            "00",
            "0XXXXX38847",
            "98765432109876543210",
        ] {
            assert_eq!(e164(raw), None, "{raw:?}");
        }
        assert_eq!(parse("9876543210", "not a country"), None);
        assert!(parse("+919876543210", "not a country").is_some());
    }

    #[test]
    fn withheld_is_neither_a_number_nor_a_sip_address() {
        assert!(withheld("") && withheld("anonymous") && withheld("0") && withheld("Restricted"));
        assert!(!withheld("139") && !withheld("sip:alice") && !withheld("09876543210"));
    }

    #[test]
    fn writings_of_one_number_are_the_same() {
        assert!(same("09876543210", "+919876543210"));
        assert!(same("9876543210", " 919876543210"));
        assert!(!same("09876543210", "09876543211"));
        assert!(!same("3210", "09876543210"));
        assert!(same("sip:Alice", "sip:alice"));
        assert!(!same("sip:9876543210", "9876543210"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(raw in ".*", country in "[A-Za-z]{0,3}") {
            if let Some(number) = parse(&raw, &country) {
                proptest::prop_assert_eq!(number.e164.clone(), format!("+{}{}", number.country, number.national));
                proptest::prop_assert_eq!(parse(&number.e164, &country), Some(number));
            }
        }

        #[test]
        fn any_digits_are_read_without_panic(raw in "[ +0]{0,3}[0-9]{0,20}") {
            let _ = parse(&raw, "IN");
        }
    }
}
