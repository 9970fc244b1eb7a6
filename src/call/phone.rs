//! One lenient reader for the ways Exotel and people write phone numbers.

use patchbay_kit::PhoneNumber;

/// Reads a number as Exotel writes it: `09052161119`, `+919876543210`, ` 919876543210` (a `+` decoded to a space),
/// `00919876543210`, `9876543210`, `080 4680 1234`. `None` for SIP addresses, withheld numbers and anything that cannot
/// be a phone number (exotel-api §1.7).
pub fn parse(raw: &str, country: &str) -> Option<PhoneNumber> {
    let _ = (raw, country);
    unimplemented!()
}
