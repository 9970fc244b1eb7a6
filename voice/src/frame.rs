//! A frame as a value, the same for both dialects, so that a session does not care whose words it read.

use std::{collections::BTreeMap, fmt};

use crate::audio::{Law, Rate};

/// What a peer said. `Debug` shows neither numbers nor digits nor the values of parameters: those are the caller's, and
/// a parameter may be a token.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    Connected,
    Start(Box<Start>),
    /// Its audio stands in the buffer that was given to the reader.
    Media(Media),
    Dtmf(Dtmf),
    /// The echo of a mark of ours, or a mark that an agent's server wants echoed.
    Mark {
        name: String,
    },
    Clear,
    Stop(Stop),
    /// An event nobody has told us of: to be logged by its name, and passed by.
    Unknown {
        event: String,
    },
}

/// The start of a stream. All SIDs are opaque: real ones are neither hex nor prefixed (CAP, KS).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Start {
    /// From inside `start` or beside it, whichever is there.
    pub stream_sid: Option<String>,
    pub call_sid: Option<String>,
    pub account_sid: Option<String>,
    /// In any writing: `+91…`, `0…`.
    pub from: Option<String>,
    pub to: Option<String>,
    /// What stood in the query of the bot's URL, which Exotel takes off before it connects (IVR, MIRA). HTML's escapes
    /// are undone.
    pub custom_parameters: BTreeMap<String, String>,
    /// What whoever placed the call had it carry. Documented for no stream; one project looks for it (KS).
    pub custom_field: Option<String>,
    pub law: Law,
    /// What the audio is taken for: 8 kHz where nothing usable is said.
    pub rate: Rate,
    /// The rate as it was said, for whoever wonders about a strange voice.
    pub said_rate: Option<String>,
}

/// What is said of a piece of audio beside it. For diagnostics alone: the documents disagree about all of them (S1, D1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Media {
    pub sequence: Option<u64>,
    pub chunk: Option<u64>,
    pub timestamp_ms: Option<u64>,
    /// Bytes of PCM that came with it: whole samples, with what an earlier frame left over.
    pub pcm_bytes: usize,
}

/// A key the caller pressed.
#[derive(Clone, PartialEq, Eq)]
pub struct Dtmf {
    pub digit: String,
    pub duration_ms: Option<u64>,
}

/// The end of a stream, if it is told at all: 2 of 7 real calls had one (KS).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stop {
    pub call_sid: Option<String>,
    pub account_sid: Option<String>,
    /// `stopped` or `callended` (S1, D1).
    pub reason: Option<String>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("Connected"),
            Self::Start(start) => start.fmt(f),
            Self::Media(media) => media.fmt(f),
            Self::Dtmf(dtmf) => dtmf.fmt(f),
            Self::Mark { name } => f.debug_struct("Mark").field("name", name).finish(),
            Self::Clear => f.write_str("Clear"),
            Self::Stop(stop) => stop.fmt(f),
            Self::Unknown { event } => f.debug_struct("Unknown").field("event", event).finish(),
        }
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key may be a whole escaped document with a value in it (#52587541174), so only their count is shown.
        f.debug_struct("Start")
            .field("stream_sid", &self.stream_sid)
            .field("call_sid", &self.call_sid)
            .field("account_sid", &self.account_sid)
            .field("from", &self.from.as_ref().map(|_| "***"))
            .field("to", &self.to.as_ref().map(|_| "***"))
            .field("custom_parameters", &self.custom_parameters.len())
            .field("law", &self.law)
            .field("rate", &self.rate)
            .field("said_rate", &self.said_rate)
            .finish()
    }
}

impl fmt::Debug for Dtmf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Callers type card numbers.
        f.debug_struct("Dtmf").field("digit", &"*").field("duration_ms", &self.duration_ms).finish()
    }
}
