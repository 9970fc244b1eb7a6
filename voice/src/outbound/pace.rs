//! How much is sent at a time, and how far ahead of the ear.

use std::time::Duration;

use crate::audio::Rate;

/// What Exotel cuts messages into, and waits for, however little is in it (S1).
pub const PACKET_BYTES: usize = 320;
/// What Exotel says a message has at least; in the field it takes 320 (UD), 640 (PC, RA), 1600 (AS).
pub const STRICT_BYTES: usize = 3200;
/// 20 ms at each rate are whole packets, and what a call's clock counts in.
const UNIT_MS: u64 = 20;

/// How audio goes out. What does not fit together is put right rather than refused: see [`Pace::frame_ms`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub rate: Rate,
    /// Of a message, 20 to 1000; taken down to a multiple of 20. Small ones make barge-in quick, since Exotel plays a
    /// message that it has begun to its end (S1).
    pub frame_ms: u64,
    /// How much Exotel is to have unplayed; at least two messages.
    pub ahead_ms: u64,
    /// How much it may have right after it had nothing, so that a greeting does not stutter at its start.
    pub burst_ms: u64,
    /// Whether no message may be below [`STRICT_BYTES`].
    pub strict: bool,
    /// How much may wait here.
    pub queue_ms: u64,
    /// How long a piece of a unit waits for the rest of it, once all else was played, before it is taken for the end of
    /// an utterance: for agents that do not say where one ends.
    pub idle_ms: u64,
}

impl Pace {
    pub const fn of(rate: Rate) -> Self {
        Self { rate, frame_ms: 100, ahead_ms: 300, burst_ms: 300, strict: false, queue_ms: 60_000, idle_ms: 200 }
    }
}

/// A pace, in bytes and with everything consistent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) rate: Rate,
    pub(super) unit: usize,
    pub(super) frame: usize,
    /// Of a message, with silence if need be.
    pub(super) least: usize,
    pub(super) ahead: Duration,
    pub(super) burst: Duration,
    /// How near its end the far side comes before it gets less than a frame.
    pub(super) low: Duration,
    pub(super) idle: Duration,
    pub(super) queue: usize,
}

impl Shape {
    pub(super) fn of(pace: &Pace) -> Self {
        let rate = pace.rate;
        let unit = rate.bytes_of_ms(UNIT_MS) as usize;
        let least = if pace.strict { STRICT_BYTES.next_multiple_of(unit) } else { unit };
        let frame_ms = pace.frame_ms.clamp(UNIT_MS, 1000) / UNIT_MS * UNIT_MS;
        let frame = (rate.bytes_of_ms(frame_ms) as usize).max(least);
        let long = rate.duration(frame as u64);
        let ahead = Duration::from_millis(pace.ahead_ms).max(long * 2);
        Self {
            rate,
            unit,
            frame,
            least,
            ahead,
            burst: Duration::from_millis(pace.burst_ms).max(ahead),
            low: long.min(Duration::from_millis(2 * UNIT_MS)),
            idle: Duration::from_millis(pace.idle_ms),
            queue: (rate.bytes_of_ms(pace.queue_ms) as usize).max(frame),
        }
    }

    pub(super) fn duration(&self, bytes: usize) -> Duration {
        self.rate.duration(bytes as u64)
    }
}
