//! Marks: the only way Exotel has of saying what was played. Each goes out under a number of our own, so that the echo of
//! one that was cleared is known for what it is, even if its name is used again.

use std::{collections::VecDeque, time::Duration};

/// How many may be under way: an agent that sends more of them than that does not wait for any.
const LIMIT: usize = 512;
/// What our numbers begin with on the wire.
const PREFIX: &str = "pb-";

/// What an echo says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Echo {
    /// These were reached, in order: the one that was echoed, after those before it whose echo was lost.
    Played(Vec<String>),
    /// A mark that was cleared: nothing was played (SHU).
    Cleared,
    /// None of ours.
    Unknown,
}

#[derive(Debug, Clone)]
struct Queued {
    name: String,
    /// Where in the stream it stands, in bytes.
    at: u64,
}

#[derive(Debug, Clone)]
struct Sent {
    number: u64,
    /// `None` is one of our own.
    name: Option<String>,
    at: u64,
    /// When what stands before it will have been played at the earliest.
    due: Duration,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    queued: VecDeque<Queued>,
    sent: VecDeque<Sent>,
    numbers: u64,
    wire: String,
}

/// Where the mark stood that was echoed, and when that was to be played at the earliest.
pub(super) struct Reached {
    pub(super) number: u64,
    pub(super) at: u64,
    pub(super) due: Duration,
    pub(super) names: Vec<String>,
}

impl Marks {
    /// Whether there was room for it.
    pub(super) fn push(&mut self, name: String, at: u64) -> bool {
        let room = self.queued.len() + self.sent.len() < LIMIT;
        if room {
            self.queued.push_back(Queued { name, at });
        }
        room
    }

    pub(super) fn ready(&self, sent: u64) -> bool {
        self.queued.front().is_some_and(|mark| mark.at <= sent)
    }

    /// The next one, as it is called on the wire.
    pub(super) fn send(&mut self, at: u64, due: Duration) -> &str {
        let name = self.queued.pop_front().map(|mark| mark.name);
        self.number(name, at, due);
        &self.wire
    }

    /// One of our own, with its number.
    pub(super) fn send_own(&mut self, at: u64, due: Duration) -> (u64, &str) {
        let number = self.number(None, at, due);
        (number, &self.wire)
    }

    fn number(&mut self, name: Option<String>, at: u64, due: Duration) -> u64 {
        use std::fmt::Write as _;
        self.numbers += 1;
        self.sent.push_back(Sent { number: self.numbers, name, at, due });
        self.wire.clear();
        // Writing into a String does not fail.
        let _ = write!(self.wire, "{PREFIX}{}", self.numbers);
        self.numbers
    }

    /// The oldest that has not come back.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.sent.front().map(|mark| mark.at)
    }

    pub(super) fn echoed(&mut self, wire: &str) -> Result<Reached, Echo> {
        let number = wire.strip_prefix(PREFIX).and_then(|number| number.parse().ok());
        let Some(number) = number.filter(|number| (1..=self.numbers).contains(number)) else {
            return Err(Echo::Unknown);
        };
        let Ok(place) = self.sent.binary_search_by_key(&number, |mark| mark.number) else {
            // Cleared, or come back before: neither says anything new.
            return Err(Echo::Cleared);
        };
        let (at, due) = (self.sent[place].at, self.sent[place].due);
        let names = self.sent.drain(..=place).filter_map(|mark| mark.name).collect();
        Ok(Reached { number, at, due, names })
    }

    /// Forgets all, and says which there were.
    pub(super) fn clear(&mut self) -> Vec<String> {
        let sent = self.sent.drain(..).filter_map(|mark| mark.name);
        sent.chain(self.queued.drain(..).map(|mark| mark.name)).collect()
    }
}
