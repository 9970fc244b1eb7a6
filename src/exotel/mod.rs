//! Exotel's side: its REST client, one module for each resource, and the worker that asks it for calls' details.
//!
//! # How Exotel is asked
//!
//! What only asks is repeated a few times while Exotel is out of order; what dials or sends goes out once, whatever
//! happens. Placing a call has three answers: placed, refused, and *unknown*, which is looked for in the list of calls,
//! by the mark it carries or by its people and time, before anything is dialled again. Each class of API has a budget
//! that lets no minute see more than its limit; who finds it used up waits, or is told until when. A status of success
//! does not make a success: every form of an error body is known, also inside a 200.

mod account;
mod calls;
mod client;
mod enquiry;
mod error;
mod exophones;
mod heartbeat;
mod legs;
mod limits;
mod listing;
mod numbers;
mod read;
mod recording;
mod sms;
mod streams;
mod sweep;
mod users;

#[cfg(test)]
mod tests;

pub use calls::{
    Call, CallDirection, CallLeg, CallStatus, Channels, Connect, Dialled, Likeness, Reach, StatusCallback, StreamUrl,
    Told,
};
pub use client::{ClientParts, ExotelClient, Hosts};
pub use enquiry::Enquirer;
pub use error::ExotelError;
pub use exophones::ExoPhone;
pub use heartbeat::{Heartbeat, Line, LineStatus};
pub use legs::{Ear, Leg, LegOrigin, Monitor, Tape};
pub use limits::PerMinute;
pub use listing::{CallFilter, CallPage, CallPages, Verbatim};
pub use numbers::{Dnd, NumberFacts, NumberKind};
pub use read::{Naive, Party};
pub use recording::NoRecording;
pub use sms::{Sms, SmsKind, SmsStatus, SmsTold};
pub use streams::Streams;
pub use sweep::{SweepRules, Sweeper};
pub use users::{Device, DeviceKind, DeviceStatus, User, Who};
