//! The voicebot bridge: Exotel connects here with a caller's audio, and a backend answers him. What is decided from values
//! alone is in the voice crate; this is sockets, and the order of things.
//!
//! One task per call. It owns both connections, so that whatever ends it ends both; how it ended is told to the journal.

mod backend;
mod brief;
mod call;
mod door;
mod frames;
mod line;
mod recorder;
mod session;
mod sessions;
mod story;
mod takeover;

pub use brief::Briefs;
pub use door::routes;
pub use recorder::sweep;
pub use sessions::Sessions;
pub use takeover::heed;
