//! How connectors are reached: the list of them, their tokens, and the one HTTP client that performs what they describe.

pub mod catalogue;
pub mod expiry;
pub mod oauth;
pub mod transport;
