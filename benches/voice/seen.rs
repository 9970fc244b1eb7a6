//! What was seen at both ends, and what of it is told.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use serde::{Deserialize, Serialize};

use crate::ends::Dialect;

/// Milliseconds, of what was seen.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
    pub(crate) count: usize,
}

impl Spread {
    pub(crate) fn of(mut seen: Vec<u64>) -> Self {
        seen.sort_unstable();
        let at = |share: f64| {
            let last = seen.len().saturating_sub(1);
            seen.get((last as f64 * share).ceil() as usize).map_or(0.0, |nanos| *nanos as f64 / 1e6)
        };
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1.0), count: seen.len() }
    }
}

/// What was seen in a while.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) calls: usize,
    /// Connections that ended.
    pub(crate) lost: u64,
    /// Frames that were never heard, at either end.
    pub(crate) missing: u64,
    /// Frames that could not be sent, because what was sent before was not read.
    pub(crate) refused: u64,
    /// Frames heard by callers.
    pub(crate) heard: u64,
    /// From the caller to the bot and back.
    pub(crate) echo: Spread,
    /// From the caller to the bot.
    pub(crate) up: Spread,
    /// How much later than the most punctual one audio came to the caller.
    pub(crate) jitter: Spread,
    /// How late our own frames were.
    pub(crate) late: Spread,
}

#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) echo: Vec<u64>,
    pub(crate) up: Vec<u64>,
    pub(crate) jitter: Vec<u64>,
    pub(crate) late: Vec<u64>,
}

pub(crate) struct Shared {
    pub(crate) dialect: Dialect,
    pub(crate) began: Instant,
    pub(crate) measured: Mutex<Measured>,
    pub(crate) lost: AtomicU64,
    pub(crate) missing: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) heard: AtomicU64,
}

impl Shared {
    pub(crate) fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    pub(crate) fn note(&self, what: impl FnOnce(&mut Measured)) {
        what(&mut self.measured.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn take(&self, calls: usize) -> Seen {
        let mut measured = Measured::default();
        self.note(|of| measured = std::mem::take(of));
        let taken = |of: &AtomicU64| of.swap(0, Ordering::Relaxed);
        Seen {
            calls,
            lost: self.lost.load(Ordering::Relaxed),
            missing: taken(&self.missing),
            refused: taken(&self.refused),
            heard: taken(&self.heard),
            echo: Spread::of(measured.echo),
            up: Spread::of(measured.up),
            jitter: Spread::of(measured.jitter),
            late: Spread::of(measured.late),
        }
    }
}
