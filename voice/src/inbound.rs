//! The caller's audio while nobody takes it: all of it until the bot's server is there, so that "greeting only, then
//! silence" does not happen; after that only what is still fresh, so that a stall does not become a delay that stays.

use std::time::Duration;

use crate::{audio::Rate, outbound::Queue};

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Before the server has taken what came before it was there. What is older goes.
    pub early_ms: u64,
    /// After that, at most. Exotel keeps what we do not read and sends it in one burst: 9.6 s of it have been seen (KS).
    pub backlog_ms: u64,
    /// What is left of a backlog that was larger: the newest.
    pub fresh_ms: u64,
}

impl Keep {
    pub const DEFAULT: Self = Self { early_ms: 10_000, backlog_ms: 400, fresh_ms: 100 };
}

impl Default for Keep {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Audio on its way from the caller to the bot, as PCM16 in whole samples. After whatever was read without waiting has
/// been pushed, the rest is taken: so a burst is seen as one.
#[derive(Debug, Clone)]
pub struct Inbound {
    rate: Rate,
    keep: Keep,
    queue: Queue,
    /// Whether what came early has been taken.
    live: bool,
    ready: bool,
    dropped_bytes: u64,
}

impl Inbound {
    pub fn new(rate: Rate, keep: Keep) -> Self {
        Self { rate, keep, queue: Queue::default(), live: false, ready: false, dropped_bytes: 0 }
    }

    /// The bot's server is there: what came early is taken, and from then on a backlog is collapsed.
    pub fn ready(&mut self) {
        self.ready = true;
        self.live |= self.queue.len() == 0;
    }

    /// The bot's server is being looked for anew: what is said meanwhile is kept as what came early.
    pub fn away(&mut self) {
        (self.live, self.ready) = (false, false);
    }

    pub fn push(&mut self, pcm: &[u8]) {
        self.queue.push(pcm);
        let Keep { early_ms, backlog_ms, fresh_ms } = self.keep;
        let (limit, left) = if self.live { (backlog_ms, fresh_ms.min(backlog_ms)) } else { (early_ms, early_ms) };
        let (limit, left) = (self.rate.bytes_of_ms(limit) as usize, self.rate.bytes_of_ms(left) as usize);
        if self.queue.len() > limit {
            // Whole samples stay whole; no less than what is too much.
            let old = (self.queue.len() - left).next_multiple_of(2).min(self.queue.len());
            self.queue.skip(old);
            self.dropped_bytes += old as u64;
            self.queue.tidy();
        }
    }

    /// The oldest so many milliseconds: exactly as many, or nothing yet. Nothing at all before the server is there.
    pub fn take(&mut self, ms: u64) -> Option<&[u8]> {
        let bytes = self.rate.bytes_of_ms(ms) as usize;
        if !self.ready {
            return None;
        }
        if bytes == 0 || self.queue.len() < bytes {
            // Less than a frame is as good as nothing: what came early has been taken.
            self.live = true;
            return None;
        }
        Some(self.queue.take(bytes))
    }

    pub fn waiting(&self) -> Duration {
        self.rate.duration(self.queue.len() as u64)
    }

    /// How much has been dropped, ever.
    pub fn dropped(&self) -> Duration {
        self.rate.duration(self.dropped_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 320;

    fn frame(number: u16) -> Vec<u8> {
        number.to_le_bytes().repeat(FRAME / 2)
    }

    fn taken(inbound: &mut Inbound) -> Vec<u16> {
        let mut numbers = Vec::new();
        while let Some(frame) = inbound.take(20) {
            assert!(frame.chunks(2).all(|sample| sample == &frame[..2]), "a frame stays a frame");
            numbers.push(u16::from_le_bytes([frame[0], frame[1]]));
        }
        numbers
    }

    #[test]
    fn what_came_early_is_kept_whole() {
        let mut inbound = Inbound::new(Rate::Hz8000, Keep::DEFAULT);
        (0..100).for_each(|number| inbound.push(&frame(number)));
        assert_eq!(inbound.take(20), None, "nobody is there");
        inbound.ready();
        // It is more than a backlog may be, and more comes before it is taken.
        inbound.push(&frame(100));
        assert_eq!(taken(&mut inbound), (0..=100).collect::<Vec<_>>());
        assert_eq!(inbound.dropped(), Duration::ZERO);
    }

    #[test]
    fn what_is_said_while_the_server_is_away_is_kept_like_what_came_early() {
        let mut inbound = Inbound::new(Rate::Hz8000, Keep::DEFAULT);
        inbound.ready();
        inbound.push(&frame(0));
        assert_eq!(taken(&mut inbound), [0]);
        inbound.away();
        (1..100).for_each(|number| inbound.push(&frame(number)));
        assert_eq!(inbound.take(20), None, "nobody is there");
        inbound.ready();
        assert_eq!(taken(&mut inbound), (1..100).collect::<Vec<_>>());
        (100..200).for_each(|number| inbound.push(&frame(number)));
        assert!(taken(&mut inbound).len() <= 20, "and again only what is fresh");
    }

    #[test]
    fn too_early_is_too_old() {
        let mut inbound = Inbound::new(Rate::Hz8000, Keep { early_ms: 40, ..Keep::DEFAULT });
        (0..10).for_each(|number| inbound.push(&frame(number)));
        inbound.ready();
        assert_eq!(taken(&mut inbound), [8, 9]);
        assert_eq!(inbound.dropped(), Duration::from_millis(160));
    }

    /// The stall of the captures: 9.6 s, then 480 frames at once (KS).
    #[test]
    fn a_backlog_is_collapsed_to_what_is_fresh() {
        let mut inbound = Inbound::new(Rate::Hz8000, Keep::DEFAULT);
        inbound.ready();
        for number in 0..50 {
            inbound.push(&frame(number));
            assert_eq!(taken(&mut inbound), [number]);
        }
        (50..530).for_each(|number| inbound.push(&frame(number)));
        assert!(inbound.waiting() <= Duration::from_millis(Keep::DEFAULT.backlog_ms));
        let left = taken(&mut inbound);
        assert_eq!(left, (530 - left.len() as u16..530).collect::<Vec<_>>(), "the newest, without a hole");
        assert_eq!(inbound.dropped(), Duration::from_millis(20) * (480 - left.len() as u32));
        inbound.push(&frame(530));
        assert_eq!(taken(&mut inbound), [530]);
    }

    #[test]
    fn a_short_hiccup_loses_nothing() {
        let mut inbound = Inbound::new(Rate::Hz16000, Keep::DEFAULT);
        inbound.ready();
        (0..40).for_each(|number| inbound.push(&frame(number)));
        assert_eq!((inbound.waiting(), inbound.dropped()), (Duration::from_millis(400), Duration::ZERO));
    }
}
