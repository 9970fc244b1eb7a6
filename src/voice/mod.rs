//! The voicebot bridge: Exotel connects here with a caller's audio, and a backend answers him. What is decided from values
//! alone is in the voice crate; this is sockets, and the order of things.
//!
//! One task per call. It owns both connections, so that whatever ends it ends both; how it ended is told to the journal.

mod backend;
mod brief;
mod call;
mod door;
mod elsewhere;
mod frames;
mod hang_up;
mod line;
mod recorder;
mod session;
mod sessions;
mod story;
mod takeover;
mod talk;
mod tools;
mod websocket;

pub use brief::Briefs;
pub use door::{routes, stream_url};
pub use elsewhere::heed;
pub use recorder::sweep;
pub use sessions::Sessions;
pub use takeover::{Takeover, Taker};
