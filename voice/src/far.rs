//! Exotel's side of a stream, as a model: whoever plays its part against a bot, in a test or in the conformance kit, has
//! to say when a mark comes back, what a `clear` takes away and when there was nothing to play.
//!
//! It plays what it is sent in real time, one message after the other, in packets of 20 ms of which a short one takes as
//! long as a whole one (S1). How much it really buffers has not been seen.

use std::{collections::VecDeque, time::Duration};

use crate::audio::Rate;

const PACKET_MS: u64 = 20;

#[derive(Debug, Clone)]
struct Message {
    starts: Duration,
    ends: Duration,
}

#[derive(Debug, Clone)]
struct Mark {
    name: String,
    due: Duration,
}

/// What the arrival of audio found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// For how long there had been nothing to play. `None`: there still was, or this is the first of all.
    pub dry: Option<Duration>,
    /// How much is unplayed now, with this.
    pub ahead: Duration,
}

/// What plays a bot's messages. It is told the time, since any fixed moment.
#[derive(Debug, Clone)]
pub struct FarSide {
    packet: u64,
    messages: VecDeque<Message>,
    marks: VecDeque<Mark>,
    /// When all will have been played. `None`: nothing has come yet.
    until: Option<Duration>,
}

impl FarSide {
    pub fn new(rate: Rate) -> Self {
        Self { packet: rate.bytes_of_ms(PACKET_MS), messages: VecDeque::new(), marks: VecDeque::new(), until: None }
    }

    /// A message came, with so many bytes of PCM16 in it.
    pub fn media(&mut self, now: Duration, bytes: u64) -> Arrival {
        while self.messages.front().is_some_and(|message| message.ends <= now) {
            self.messages.pop_front();
        }
        let dry = self.until.and_then(|until| now.checked_sub(until)).filter(|dry| !dry.is_zero());
        let starts = self.until.unwrap_or(now).max(now);
        let ends = starts + Duration::from_millis(bytes.div_ceil(self.packet) * PACKET_MS);
        self.messages.push_back(Message { starts, ends });
        self.until = Some(ends);
        Arrival { dry, ahead: ends - now }
    }

    /// A mark came: it goes back when what came before it has been played.
    pub fn mark(&mut self, now: Duration, name: impl Into<String>) {
        let due = self.until.unwrap_or(now).max(now);
        self.marks.push_back(Mark { name: name.into(), due });
    }

    /// `clear` came: messages that have not begun are dropped, the one that has plays to its end (S1). Marks of what is
    /// dropped come back all the same, as if it had been played (SHU). Says how much was dropped.
    pub fn clear(&mut self, now: Duration) -> Duration {
        let before = self.until.unwrap_or(now).max(now);
        self.messages.retain(|message| message.starts <= now && message.ends > now);
        let after = self.messages.back().map_or(now, |message| message.ends);
        self.until = self.until.map(|until| until.min(after));
        for mark in &mut self.marks {
            mark.due = mark.due.min(after);
        }
        before - after
    }

    /// The next mark that goes back now: asked until there is none.
    pub fn poll(&mut self, now: Duration) -> Option<String> {
        let due = self.marks.front().is_some_and(|mark| mark.due <= now);
        due.then(|| self.marks.pop_front()).flatten().map(|mark| mark.name)
    }

    /// When to ask again, if nothing comes before.
    pub fn next_due(&self) -> Option<Duration> {
        self.marks.front().map(|mark| mark.due)
    }

    /// How much is unplayed.
    pub fn ahead(&self, now: Duration) -> Duration {
        self.until.unwrap_or(now).saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outbound::{Due, Outbound, Pace};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn side() -> FarSide {
        FarSide::new(Rate::Hz8000)
    }

    #[test]
    fn messages_play_one_after_the_other_and_a_short_packet_takes_its_whole_time() {
        let mut side = side();
        assert_eq!(side.media(MS(100), 1600), Arrival { dry: None, ahead: MS(100) });
        // Twelve packets and 256 bytes: the last of them is short (S1's own example, 4096).
        assert_eq!(side.media(MS(150), 4096), Arrival { dry: None, ahead: MS(50 + 260) });
        assert_eq!(side.ahead(MS(460)), MS(0));
        assert_eq!(side.media(MS(500), 320), Arrival { dry: Some(MS(40)), ahead: MS(20) });
        assert_eq!(FarSide::new(Rate::Hz24000).media(MS(0), 960).ahead, MS(20));
    }

    #[test]
    fn a_mark_comes_back_when_what_stood_before_it_was_played() {
        let mut side = side();
        side.mark(MS(5), "at once");
        assert_eq!(side.poll(MS(5)).as_deref(), Some("at once"));
        side.media(MS(10), 3200);
        side.mark(MS(11), "a");
        side.media(MS(12), 320);
        side.mark(MS(12), "b");
        assert_eq!((side.poll(MS(209)), side.next_due()), (None, Some(MS(210))));
        assert_eq!((side.poll(MS(210)).as_deref(), side.poll(MS(210))), (Some("a"), None));
        assert_eq!((side.poll(MS(900)).as_deref(), side.next_due()), (Some("b"), None));
    }

    /// S1's example: two messages of 5 s, and a clear at second 3.
    #[test]
    fn a_clear_drops_what_has_not_begun_and_its_marks_come_back() {
        let mut side = side();
        side.media(MS(0), 80_000);
        side.media(MS(0), 80_000);
        side.mark(MS(0), "end");
        assert_eq!(side.clear(MS(3000)), MS(5000));
        assert_eq!((side.ahead(MS(3000)), side.next_due()), (MS(2000), Some(MS(5000))));
        assert_eq!(side.media(MS(3000), 320).ahead, MS(2020));
        assert_eq!(side.clear(MS(9000)), MS(0));
        assert_eq!(side.poll(MS(9000)).as_deref(), Some("end"));
    }

    /// Three seconds of speech, paced by our own side, and when it then closes.
    fn closes_at(rate: Rate) -> Option<Duration> {
        let (mut side, mut out) = (FarSide::new(rate), Outbound::new(&Pace::of(rate)));
        out.push(MS(0), out.epoch(), &vec![1; rate.bytes_of_ms(3000) as usize]);
        out.hang_up();
        for now in (0..9000).map(MS) {
            while let Some(name) = side.poll(now) {
                out.echoed(now, &name);
            }
            while let Some(due) = out.poll(now) {
                match due {
                    Due::Media(pcm) => {
                        let arrival = side.media(now, pcm.len() as u64);
                        assert_eq!(arrival.dry, None, "{rate:?} at {now:?}");
                        assert!(arrival.ahead <= MS(300), "{rate:?} at {now:?}: {arrival:?}");
                    }
                    Due::Mark(name) => side.mark(now, name),
                    Due::Close => return Some(now),
                }
            }
        }
        None
    }

    #[test]
    fn what_paces_our_side_leaves_it_neither_dry_nor_full_and_closes_when_all_was_played() {
        for rate in Rate::ALL {
            assert_eq!(closes_at(rate), Some(MS(3000)), "{rate:?}");
        }
    }

    proptest! {
        /// Marks come back in their order, each once, and none is forgotten; nothing is unplayed for longer than it lasts.
        #[test]
        fn no_mark_is_lost_or_overtaken(steps in proptest::collection::vec((0..3u8, 0..400u64, 0..5000u64), 1..60)) {
            let (mut side, mut now, mut sent, mut back, mut bytes) = (side(), 0, 0u32, Vec::new(), 0);
            for (what, wait, size) in steps {
                now += wait;
                match what {
                    0 => {
                        bytes += size.next_multiple_of(320);
                        side.media(MS(now), size);
                    }
                    1 => {
                        side.mark(MS(now), sent.to_string());
                        sent += 1;
                    }
                    _ => {
                        side.clear(MS(now));
                    }
                }
                prop_assert!(side.ahead(MS(now)) <= MS(bytes / 16));
                back.extend(std::iter::from_fn(|| side.poll(MS(now))));
            }
            back.extend(std::iter::from_fn(|| side.poll(MS(now + bytes / 16))));
            prop_assert_eq!(back, (0..sent).map(|number| number.to_string()).collect::<Vec<_>>());
        }
    }
}
