//! What proves a connector: the driver's loop without a socket, a behaviour suite, and cassettes.
//!
//! A connector for a tenth CRM is one crate under `connectors/`, one dependency line in the service's `Cargo.toml` and
//! one line in its catalogue. Its README is its set-up page. Its tests are three files:
//!
//! - `tests/behaviour.rs` implements [`suite::Subject`] (how to build the connector, its sandbox, and how to look into
//!   that sandbox) and calls [`suite::run`]. Which cases run follows from the parts the connector holds.
//! - `tests/cassettes.rs` calls [`cassette::replay`] on the connector's `cassettes/` directory: what goes over the
//!   wire, written down exchange by exchange with the section of the documentation it is from.
//! - `tests/suite_bites.rs` breaks the connector on purpose, in the ways of a [`broken::Fault`], and says which cases
//!   must see it ([`broken::assert_seen`]).
//!
//! [`drive()`] is the loop for tests of a connector's own.

pub mod broken;
pub mod cassette;
mod drive;
mod line;
pub mod sample;
pub mod suite;

pub use drive::{Credentials, STEPS_MAX, drive, follow, to_sandbox};
pub use line::{Line, Sent};
