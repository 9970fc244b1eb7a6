//! The voicebot bridge: Exotel connects here with a caller's audio, and a backend answers him. What is decided from values
//! alone is in the voice crate; this is sockets, and the order of things.
//!
//! One task per call. It owns both connections, so that whatever ends it ends both; how it ended is told to the journal.
//!
//! # How a bot has a caller
//!
//! Exotel connects to `/voicebot/{token}`; the handshake is answered at once, for Exotel waits ten seconds for it, and
//! with the answer the connection leaves the HTTP server: the session has it. `start` says which call it is: a second
//! connection for it takes over, and one too many is closed, so that the flow goes on. From then on one task owns both
//! ends, Exotel's and the backend's, and there is nothing to be left behind: whatever ends it ends both. A backend is
//! told what was heard and asked what is to be said, and never waits in between; it takes audio (then pace, marks and
//! barge-in are the session's, by the voice crate) or Exotel's frames (then they go through unchanged). Who calls is
//! gathered while it connects, for `brief_timeout` at most, from memory first; what the caller says meanwhile is kept;
//! later, what is too old is dropped rather than heard late. A session ends with `stop`, a close, silence, or the bot:
//! what it says is played first, and its last mark waited for. On SIGTERM none begins, and those that go on may end by
//! themselves until shortly before `drain_timeout`. Begin and end are receipts in the journal, also of a task that was
//! dropped.

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
