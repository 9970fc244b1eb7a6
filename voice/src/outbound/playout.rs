//! What the far side is doing with what it was sent: a model that never thinks it has more time than it has, put right
//! by marks.

use std::{collections::VecDeque, time::Duration};

use crate::audio::{Rate, SAMPLE_BYTES};

/// How many messages may be on their way; beyond that, the oldest are taken for played.
const MESSAGES: usize = 256;

#[derive(Debug, Clone)]
pub(super) struct Playout {
    rate: Rate,
    /// Bytes sent, ever.
    pub(super) sent: u64,
    /// When all of it will have been played, if each byte began to play when it could.
    pub(super) until: Duration,
    /// Those that may not have been played yet, and the rest of one that a clear left playing.
    messages: VecDeque<Message>,
    /// Played for certain, or never to be.
    floor: u64,
    /// How far behind the model the last echo was: the far side's own buffer, and the way there and back.
    lag: Duration,
    /// Whether this side echoes marks at all.
    echoes: bool,
}

/// When a message plays, as the model has it.
#[derive(Debug, Clone, Copy)]
struct Message {
    starts: Duration,
    ends: Duration,
}

impl Playout {
    pub(super) fn new(rate: Rate) -> Self {
        let (until, lag) = (Duration::ZERO, Duration::ZERO);
        Self { rate, sent: 0, until, messages: VecDeque::new(), floor: 0, lag, echoes: false }
    }

    pub(super) fn send(&mut self, now: Duration, bytes: usize) {
        let playing = self.model_time(now);
        while self.messages.front().is_some_and(|message| message.ends <= playing) || self.messages.len() >= MESSAGES {
            self.messages.pop_front();
        }
        let starts = self.until.max(now);
        self.until = starts + self.rate.duration(bytes as u64);
        self.messages.push_back(Message { starts, ends: self.until });
        self.sent += bytes as u64;
    }

    pub(super) fn echoed(&mut self, now: Duration, at: u64, due: Duration) {
        self.floor = self.floor.max(at);
        self.lag = now.saturating_sub(due);
        self.echoes = true;
    }

    /// How much has been played: what marks say, by time from there on, and never past a mark that has not come back.
    pub(super) fn played(&self, now: Duration, oldest: Option<u64>) -> u64 {
        let left = self.until.saturating_sub(self.model_time(now));
        let per_second = u128::from(self.rate.bytes_per_second());
        // Rounded up: half a sample is not heard.
        let left = (left.as_nanos() * per_second).div_ceil(1_000_000_000) as u64;
        let by_time = self.sent.saturating_sub(left.next_multiple_of(SAMPLE_BYTES as u64));
        let bound = oldest.filter(|_| self.echoes).unwrap_or(self.sent);
        by_time.min(bound).max(self.floor)
    }

    /// What was sent is dropped, all but the message that is being played (S1).
    pub(super) fn clear(&mut self, now: Duration) {
        let playing = self.model_time(now);
        self.messages.retain(|message| message.starts <= playing && message.ends > playing);
        self.until = self.messages.back().map_or(self.until.min(now), |message| message.ends);
        self.floor = self.sent;
    }

    /// What the model called the moment that the far side is at now.
    fn model_time(&self, now: Duration) -> Duration {
        now.saturating_sub(self.lag)
    }
}
