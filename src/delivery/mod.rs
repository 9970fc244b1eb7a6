//! From a planned delivery to a record in the CRM: one lane per integration, each with its own quota and breaker.

mod backoff;
mod breaker;
mod contact;
mod driver;
mod lane;
mod perform;
mod popup;
mod quota;
mod settle;

pub use breaker::{Breaker, Health};
pub use driver::{Access, Driver, DriverParts, Stop};
pub use lane::{Lane, LaneHandle, LaneParts, LaneStanding};
pub use quota::Quotas;
