//! Comparing numbers as LeadSquared's search does.

use super::settings::{PhoneSearch, Settings};

/// The digits of a number, without the default country code.
pub(super) fn national(number: &str, country_code: &str) -> String {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    match digits.strip_prefix(country_code) {
        Some(rest) if number.trim_start().starts_with('+') || rest.len() >= 10 => rest.to_owned(),
        _ => digits,
    }
}

/// Whether two numbers are the same, whatever their punctuation.
pub(super) fn same(a: &str, b: &str, country_code: &str) -> bool {
    let (a, b) = (national(a, country_code), national(b, country_code));
    !a.is_empty() && a == b
}

/// Whether a search by `query` finds what is stored.
pub(super) fn finds(settings: &Settings, query: &str, stored: &str) -> bool {
    if stored.is_empty() || query.is_empty() {
        return false;
    }
    let plain = query.strip_prefix('+').unwrap_or(query).chars().all(|c| c.is_ascii_digit());
    stored == query
        || settings.phone_search == PhoneSearch::Digits && plain && same(query, stored, &settings.country_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_code_is_told_from_the_first_digits_of_a_number() {
        assert_eq!(national("+91-9876543210", "91"), "9876543210");
        assert_eq!(national("919876543210", "91"), "9876543210");
        assert_eq!(national("9198765432", "91"), "9198765432", "ten digits that begin like a code");
        assert_eq!(national("+6512345678", "65"), "12345678");
    }

    #[test]
    fn the_documented_search_goes_by_digits_and_takes_no_punctuation() {
        let mut settings = Settings::default();
        for query in ["9876543210", "919876543210", "+919876543210", "+91-9876543210"] {
            assert!(finds(&settings, query, "+91-9876543210"), "{query}");
        }
        for query in ["98765 43210", "+91 9876543210", "09876543210", "", " 919876543210"] {
            assert!(!finds(&settings, query, "+91-9876543210"), "{query}");
        }
        settings.phone_search = PhoneSearch::Exact;
        assert!(!finds(&settings, "9876543210", "+91-9876543210"));
        assert!(finds(&settings, "+91-9876543210", "+91-9876543210"));
    }
}
