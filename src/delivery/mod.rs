//! From a planned delivery to a record in the CRM: one lane per integration, each with its own quota and breaker.
//!
//! # How "nothing twice" is made
//!
//! A delivery is durably *in flight* before its first request. If the process dies, or the answer to a create gets
//! lost, the next attempt *probes*: it looks for the record in a way that does not lag behind writes (Freshdesk: the
//! caller's list of tickets, by the CallSid in the text) and creates only if it is not there. It waits
//! `delivery.ambiguous_wait` before it looks, because a request whose answer was lost may still be being carried out.
//! Of one call at most one delivery is in flight. A caller is looked for by one task at a time, and a new contact
//! carries a unique external id where the CRM has such a field, so that even a contact whose creation was lost twice
//! over exists once. A CRM that upserts by the CallSid is simply asked again; one that cannot be asked at all
//! (LeadSquared without keys) has the delivery held, and a person who retries it has looked.
//!
//! # How a CRM in trouble is treated
//!
//! 429 pauses the quota's bucket and costs no attempt. Outages in a row open the lane's breaker: rows wait, spend
//! nothing, and go out when `identify()` succeeds. Refused credentials hold the lane with one alert. A refusal that a
//! person must mend (a mandatory field) holds that delivery with the reason. Everything else is tried again along
//! `delivery.retry`, until it is given up by age and count; given up is a state, not an absence.
//!
//! # Latest wins
//!
//! A delivery's content is replaced as long as it has not gone out. A throttled CRM gets one write per call, not five;
//! what is written later is only what differs from what was written last, so that agents' edits stay. Where agents
//! write into the very text that we write (a task's comments, a call's notes), it is read first, and only our part of
//! it is exchanged (`call/compose/merge.rs`). Where a connector has no updates, the record is planned once, when all is
//! known.

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
