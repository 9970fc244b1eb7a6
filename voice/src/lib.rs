//! The pure half of the voicebot bridge: what stands in a frame, what its audio is worth in milliseconds, and when the
//! next one is due. Nothing here knows a socket, a runtime or a clock; who calls it says what time it is.
//!
//! Tags such as S1, D1, CAP, KS, PC stand for public sources of what is known of the protocol. Where they contradict
//! each other, reading takes all of them and printing does what every known peer takes.
//!
//! | part | says |
//! |---|---|
//! | [`read`] | what a frame of Exotel, or of a server that speaks Twilio Media Streams, means: [`Frame`] |
//! | [`exotel`], [`twilio`] | how a frame is printed for either |
//! | [`audio`] | rates, G.711, resampling |
//! | [`backend`] | what a bot's server is told and wants; the services among them |
//! | [`outbound`] | what is to be sent to Exotel, and when; what of it was heard |
//! | [`inbound`] | what is kept of the caller's audio while nobody takes it |
//! | [`record`] | a call as it was heard, to be kept |
//! | [`far`] | a model of Exotel's own side, for whoever plays it |

pub mod audio;
pub mod backend;
pub mod exotel;
pub mod far;
mod frame;
pub mod inbound;
mod json;
pub mod outbound;
pub mod payload;
pub mod read;
pub mod record;
pub mod twilio;

pub use audio::{Law, Rate};
pub use frame::{Dtmf, Frame, Media, Start, Stop};
pub use read::{Limits, Reader, Unreadable};
