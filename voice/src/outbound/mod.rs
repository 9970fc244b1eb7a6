//! What is sent to Exotel and when: a queue of our own, so that barge-in finds little to take back; a lead that is kept
//! small, so that nothing arrives too late and nothing lies there too long.
//!
//! It is driven: whoever holds it says what time it is (since any fixed moment), asks [`Outbound::poll`] until there is
//! nothing, and comes back at [`Outbound::next_due`] or when something happened.

mod marks;
mod pace;
mod playout;
mod queue;

pub use marks::Echo;
pub use pace::{PACKET_BYTES, Pace, STRICT_BYTES};
pub(crate) use queue::Queue;

use std::time::Duration;

use marks::Marks;
use pace::Shape;
use playout::Playout;

/// How long the last mark may be late before the line is closed without it (§3: queued time and 2 s).
const FAREWELL: Duration = Duration::from_secs(2);

/// Of what a piece of audio is part. Audio of an earlier one is not wanted any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(u64);

/// What is to be sent now.
#[derive(Debug, PartialEq, Eq)]
pub enum Due<'a> {
    /// PCM16: one message.
    Media(&'a [u8]),
    /// A mark, by the name it has on the wire.
    Mark(&'a str),
    /// All was heard, or would have been by now: close the connection.
    Close,
}

/// What became of audio that was brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// So many bytes of it were taken: all, or as many as there is room for. The rest is to be brought again later.
    Taken(usize),
    /// It belongs to what was interrupted, or the line is being closed: it is not wanted.
    Stale,
}

/// What an interruption found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared {
    /// What audio from now on belongs to.
    pub epoch: Epoch,
    /// How much of this epoch's audio was heard, counted as [`Outbound::position`] counts.
    pub heard: Duration,
    /// How much of it was accepted and will not be heard.
    pub dropped: Duration,
    /// Whether Exotel has some of that: it is to be sent `clear`.
    pub tell: bool,
    /// Marks that were not reached: an agent that waits for their echo gets it now (Twilio).
    pub marks: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Open,
    /// Everything that waits goes out, then a mark.
    Leaving,
    /// For the mark with this number, until then.
    Farewell(u64, Duration),
    Done,
    Closed,
}

/// The audio and marks of one call on their way to Exotel.
#[derive(Debug, Clone)]
pub struct Outbound {
    shape: Shape,
    queue: Queue,
    playout: Playout,
    marks: Marks,
    line: Line,
    epoch: Epoch,
    /// Where this epoch began, in bytes sent.
    epoch_at: u64,
    /// Up to here the audio belongs to utterances that have ended, and waits for nothing.
    ended_at: u64,
    /// Since when what is first in the queue is there.
    since: Duration,
    last_push: Duration,
    /// Whether the far side had nothing a moment ago.
    burst: bool,
    underruns: u64,
}

impl Outbound {
    pub fn new(pace: &Pace) -> Self {
        let shape = Shape::of(pace);
        Self {
            shape,
            queue: Queue::default(),
            playout: Playout::new(shape.rate),
            marks: Marks::default(),
            line: Line::Open,
            epoch: Epoch::default(),
            epoch_at: 0,
            ended_at: 0,
            since: Duration::ZERO,
            last_push: Duration::ZERO,
            burst: false,
            underruns: 0,
        }
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How much audio this epoch has been given: where the next piece will stand in it.
    pub fn position(&self) -> Duration {
        self.shape.rate.duration(self.end() - self.epoch_at)
    }

    /// How much of this epoch's audio has been heard.
    pub fn heard(&self, now: Duration) -> Duration {
        let played = self.playout.played(now, self.marks.oldest());
        self.shape.rate.duration(played.saturating_sub(self.epoch_at))
    }

    /// How much waits here.
    pub fn queued(&self) -> Duration {
        self.shape.duration(self.queue.len())
    }

    /// How often the far side had nothing left before an utterance had ended, ever. Where nobody tells its end, a pause
    /// is one, too.
    pub fn underruns(&self) -> u64 {
        self.underruns
    }

    /// Brings audio: any number of bytes, also half a sample.
    pub fn push(&mut self, now: Duration, epoch: Epoch, pcm: &[u8]) -> Pushed {
        if epoch != self.epoch || self.line != Line::Open {
            return Pushed::Stale;
        }
        let room = self.shape.queue.saturating_sub(self.queue.len());
        let taken = &pcm[..pcm.len().min(room)];
        if !taken.is_empty() {
            if self.queue.len() == 0 {
                self.since = now;
            }
            self.last_push = now;
            self.queue.push(taken);
        }
        Pushed::Taken(taken.len())
    }

    /// Sets a mark behind all audio that was brought. `false`: there are too many.
    pub fn mark(&mut self, name: impl Into<String>) -> bool {
        self.line == Line::Open && self.marks.push(name.into(), self.end())
    }

    /// The utterance has ended: what is left of a unit is filled up with silence, and waits no longer.
    pub fn finish(&mut self) {
        let rest = self.queue.len() % self.shape.unit;
        if rest > 0 {
            // Half a sample says nothing.
            if rest % 2 == 1
                && let Some(half) = self.queue.last_mut()
            {
                *half = 0;
            }
            self.queue.pad(self.shape.unit - rest);
        }
        self.ended_at = self.end();
    }

    /// Closes politely: what waits is played, then a last mark comes back, or does not.
    pub fn hang_up(&mut self) {
        if self.line == Line::Open {
            self.finish();
            self.line = Line::Leaving;
        }
    }

    /// The caller speaks: nothing of what waits is wanted, and what Exotel has is to be taken back. One step, so that
    /// nothing of the old can come between.
    pub fn clear(&mut self, now: Duration) -> Cleared {
        let played = self.playout.played(now, self.marks.oldest());
        let tell = played < self.playout.sent;
        let heard = self.shape.rate.duration(played.saturating_sub(self.epoch_at));
        let dropped = self.position().saturating_sub(heard);
        self.playout.clear(now);
        self.queue.clear();
        let marks = self.marks.clear();
        self.epoch = Epoch(self.epoch.0 + 1);
        self.epoch_at = self.playout.sent;
        self.ended_at = self.playout.sent;
        if let Line::Farewell(..) = self.line {
            // Its mark may have gone with the rest.
            self.line = Line::Leaving;
        }
        Cleared { epoch: self.epoch, heard, dropped, tell, marks }
    }

    /// A mark came back.
    pub fn echoed(&mut self, now: Duration, wire: &str) -> Echo {
        match self.marks.echoed(wire) {
            Ok(reached) => {
                self.playout.echoed(now, reached.at, reached.due);
                if let Line::Farewell(number, _) = self.line
                    && number == reached.number
                {
                    self.line = Line::Done;
                }
                Echo::Played(reached.names)
            }
            Err(echo) => echo,
        }
    }

    /// What is to be sent now, if anything: asked until there is nothing.
    pub fn poll(&mut self, now: Duration) -> Option<Due<'_>> {
        self.queue.tidy();
        if self.marks.ready(self.playout.sent) {
            let due = self.playout.until.max(now);
            return Some(Due::Mark(self.marks.send(self.playout.sent, due)));
        }
        if let Some((due, bytes)) = self.message() {
            if due > now {
                self.burst = false;
                return None;
            }
            return Some(Due::Media(self.send(now, bytes)));
        }
        match self.line {
            Line::Leaving => {
                let due = self.playout.until.max(now);
                let (number, wire) = self.marks.send_own(self.playout.sent, due);
                self.line = Line::Farewell(number, due + FAREWELL);
                Some(Due::Mark(wire))
            }
            Line::Farewell(_, until) if now < until => None,
            Line::Farewell(..) | Line::Done => {
                self.line = Line::Closed;
                Some(Due::Close)
            }
            Line::Open | Line::Closed => None,
        }
    }

    /// When to ask again, if nothing happens before. `None`: not until something does.
    pub fn next_due(&self) -> Option<Duration> {
        if self.marks.ready(self.playout.sent) {
            return Some(Duration::ZERO);
        }
        if let Some((due, _)) = self.message() {
            return Some(due);
        }
        match self.line {
            Line::Leaving | Line::Done => Some(Duration::ZERO),
            Line::Farewell(_, until) => Some(until),
            Line::Open | Line::Closed => None,
        }
    }

    /// The next message: when it is due, and how much of the queue it has (with silence added where that is more).
    fn message(&self) -> Option<(Duration, usize)> {
        let shape = &self.shape;
        let (queued, until) = (self.queue.len(), self.playout.until);
        let whole = queued - queued % shape.unit;
        let with_room = |bytes: usize| {
            let allowed = if self.burst { shape.burst } else { shape.ahead };
            (until + shape.duration(bytes)).saturating_sub(allowed)
        };
        if queued == 0 {
            return None;
        }
        if whole >= shape.frame {
            return Some((with_room(shape.frame), shape.frame));
        }
        let ended = self.ended_at.saturating_sub(self.playout.sent) as usize;
        if ended >= shape.least {
            return Some((with_room(ended), ended));
        }
        if ended == queued {
            return Some((with_room(shape.least), shape.least));
        }
        if whole >= shape.least {
            // Less than a frame, and more to come: not before the far side needs it, and at the start not before a
            // frame could have gathered.
            let dry = until <= self.since;
            let due = if dry { self.since + shape.duration(shape.frame) } else { until.saturating_sub(shape.low) };
            return Some((due, whole));
        }
        // Less than may be sent, and nothing follows: as good as an end.
        Some((until.max(self.last_push + shape.idle), queued.next_multiple_of(shape.unit).max(shape.least)))
    }

    fn send(&mut self, now: Duration, bytes: usize) -> &[u8] {
        if bytes > self.queue.len() {
            self.finish();
            let missing = bytes.saturating_sub(self.queue.len());
            self.queue.pad(missing);
        }
        let dry = self.playout.until <= now;
        self.burst |= dry;
        let within = self.playout.sent > self.ended_at.max(self.epoch_at);
        self.underruns += u64::from(dry && within);
        self.since = now;
        self.playout.send(now, bytes);
        self.queue.take(bytes)
    }

    /// Where the next byte will stand in the stream.
    fn end(&self) -> u64 {
        self.playout.sent + self.queue.len() as u64
    }
}

#[cfg(test)]
mod tests;
