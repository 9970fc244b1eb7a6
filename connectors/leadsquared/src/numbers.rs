//! Numbers as LeadSquared writes them, where only Exotel's writing is known.

/// Digits of a number within India.
const NATIONAL: usize = 10;

/// A number as it is sent: `+91-9876543210` where it is certain to be one of India's, else as Exotel wrote it.
///
/// Exotel writes numbers of the account's country with a leading zero. That the country is India follows from the
/// account's clock, which no other country Exotel serves shares.
pub(crate) fn written(raw: &str, in_india: bool) -> String {
    let raw = raw.trim();
    let digits: String = raw.chars().filter(char::is_ascii_digit).collect();
    let number = raw.chars().all(|c| c.is_ascii_digit() || "+- ".contains(c));
    if !number {
        return raw.to_owned();
    }
    let national = if raw.starts_with('+') || digits.len() == NATIONAL + 2 {
        // With the country's code; a plus says so of numbers of any length.
        digits.strip_prefix("91").filter(|_| raw.starts_with('+') || in_india)
    } else if in_india {
        Some(digits.strip_prefix('0').unwrap_or(&digits))
    } else {
        None
    };
    match national.filter(|national| national.len() == NATIONAL) {
        Some(national) => format!("+91-{national}"),
        None => raw.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_india_are_written_in_one_way() {
        for raw in ["09876543210", "9876543210", "+919876543210", "919876543210", "+91-9876543210", " +91 98765 43210"]
        {
            assert_eq!(written(raw, true), "+91-9876543210", "{raw}");
        }
    }

    #[test]
    fn what_is_not_certain_stays_as_it_is() {
        assert_eq!(written("+919876543210", false), "+91-9876543210", "the plus says it");
        for raw in ["09876543210", "081234567890", "919876543210"] {
            assert_eq!(written(raw, false), raw);
        }
        for raw in ["+6591234567", "sip:alice@example.com", "anonymous", "139", "", "+14155550123"] {
            assert_eq!(written(raw, true), raw);
        }
    }
}
