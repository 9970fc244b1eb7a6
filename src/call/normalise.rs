//! From a receipt to what it says: one lenient reader for every encoding Exotel uses.

use jiff::tz::Offset;

use super::{event::CallEvent, receipt::Receipt};

/// What reading an account's callbacks depends on.
#[derive(Clone, Debug)]
pub struct Locale {
    /// Of Exotel's naive timestamps (exotel-api §1.6).
    pub utc_offset: Offset,
    /// ISO 3166 country of numbers written nationally: `IN`.
    pub country: String,
    /// Origins (scheme, host, port) beside Exotel's own hosts that a recording may come from: the account's `api_url`.
    pub recording_origins: Vec<url::Origin>,
}

/// Why a receipt cannot be read. It is set aside with this, and can be replayed once that is mended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    #[error("no CallSid in query or body")]
    NoCallSid,
    #[error("the body is not {0}")]
    Unreadable(&'static str),
}

/// Reads a receipt.
///
/// # Errors
/// [`Poison`] when there is no CallSid to be found in it.
pub fn normalise(receipt: &Receipt, locale: &Locale) -> Result<CallEvent, Poison> {
    let _ = (receipt, locale);
    unimplemented!()
}

/// Whether the account's credentials may be sent to this URL, and an agent to its content: https on one of Exotel's
/// hosts (exotel-api §1.1 Recordings), or one of `extra`.
pub fn recording_allowed(url: &url::Url, extra: &[url::Origin]) -> bool {
    let _ = (url, extra);
    unimplemented!()
}
