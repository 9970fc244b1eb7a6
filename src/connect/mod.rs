//! How connectors are reached: the list of them, and the one HTTP client that performs what they describe.

pub mod catalogue;
pub mod transport;
