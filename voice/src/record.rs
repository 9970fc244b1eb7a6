//! A call as it was heard, to be kept: the caller left, the bot right, each at its time. Samples in, samples out; a file is
//! somebody else's.

use std::{collections::VecDeque, time::Duration};

use crate::{
    audio::{Rate, SAMPLE_BYTES},
    outbound::Queue,
};

/// What is later than this may still be put right: audio that comes in a burst, words that are taken back.
const GRACE: Duration = Duration::from_secs(1);
/// Frames that came within so much of each other were read at once: a burst, whose last sample is of now.
const AT_ONCE: Duration = Duration::from_millis(10);
/// How uneven a network may be before a gap is a gap.
const SLACK: Duration = Duration::from_millis(100);
/// What a bot may have said and nobody heard yet; beyond it nothing is kept.
const UNHEARD: Duration = Duration::from_secs(120);

/// Two channels on one clock, which begins with the stream.
#[derive(Debug, Clone)]
pub struct Mixer {
    rate: Rate,
    /// Samples that were taken. Both queues begin there.
    taken: u64,
    left: Queue,
    right: Queue,
    /// Of the caller's, what came last, and when.
    burst: Vec<u8>,
    burst_at: Duration,
    /// What the bot said and what was not played through yet: first and last sample of each message.
    messages: VecDeque<(u64, u64)>,
}

impl Mixer {
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            taken: 0,
            left: Queue::default(),
            right: Queue::default(),
            burst: Vec::new(),
            burst_at: Duration::ZERO,
            messages: VecDeque::new(),
        }
    }

    fn sample_at(&self, time: Duration) -> u64 {
        let samples = time.as_nanos() * u128::from(self.rate.bytes_per_second()) / SAMPLE_BYTES as u128 / 1_000_000_000;
        u64::try_from(samples).unwrap_or(u64::MAX)
    }

    fn end_of(&self, queue: &Queue) -> u64 {
        self.taken + samples(queue.len())
    }

    /// PCM16 of the caller's that has come now.
    pub fn heard(&mut self, now: Duration, pcm: &[u8]) {
        if now > self.burst_at + AT_ONCE {
            self.settle();
        }
        self.burst_at = now;
        self.burst.extend_from_slice(pcm);
    }

    /// Puts what came last at its time: where it follows what was before, right behind it.
    fn settle(&mut self) {
        // Half a sample waits for its other half.
        let half = (!self.burst.len().is_multiple_of(SAMPLE_BYTES)).then(|| self.burst.pop()).flatten();
        let came = samples(self.burst.len());
        let (until, slack) = (self.sample_at(self.burst_at), self.sample_at(SLACK));
        let end = self.end_of(&self.left);
        let begins = until.saturating_sub(came);
        if begins > end + slack {
            self.left.pad(bytes(begins - end));
        }
        // What came too late for its place would make all that follows late.
        let end = self.end_of(&self.left);
        let over = (end + came).saturating_sub(until + slack).min(came);
        self.left.push(&self.burst[bytes(over)..]);
        self.burst.clear();
        self.burst.extend(half);
    }

    /// PCM16 that is sent now: it is heard once what was sent before is.
    pub fn said(&mut self, now: Duration, pcm: &[u8]) {
        let begins = self.sample_at(now).max(self.end_of(&self.right));
        let ends = begins + samples(pcm.len());
        if ends > self.sample_at(now + UNHEARD) {
            return;
        }
        self.right.pad(bytes(begins - self.end_of(&self.right)));
        self.right.push(&pcm[..bytes(ends - begins)]);
        self.messages.push_back((begins, ends));
        self.forget_played(now);
    }

    /// What was not heard yet will not be: but for the message that is being played (S1).
    pub fn cleared(&mut self, now: Duration) {
        self.forget_played(now);
        let now = self.sample_at(now);
        let playing = self.messages.front().filter(|(begins, _)| *begins <= now).map(|(_, ends)| *ends);
        let heard = playing.unwrap_or(now).max(self.taken);
        self.right.cut(bytes(heard - self.taken));
        self.messages.retain(|(_, ends)| Some(*ends) == playing);
    }

    fn forget_played(&mut self, now: Duration) {
        let now = self.sample_at(now);
        while self.messages.front().is_some_and(|(_, ends)| *ends <= now) {
            self.messages.pop_front();
        }
    }

    /// Appends what nothing will change any more, left and right in turns.
    pub fn take(&mut self, now: Duration, out: &mut Vec<u8>) {
        self.settle_old(now);
        self.mix(self.sample_at(now.saturating_sub(GRACE)), out);
    }

    /// The rest, up to now: what the bot said and nobody has heard is no part of the call.
    pub fn finish(&mut self, now: Duration, out: &mut Vec<u8>) {
        self.settle();
        self.mix(self.sample_at(now), out);
    }

    fn settle_old(&mut self, now: Duration) {
        if now > self.burst_at + AT_ONCE {
            self.settle();
        }
    }

    fn mix(&mut self, until: u64, out: &mut Vec<u8>) {
        let more = bytes(until.saturating_sub(self.taken));
        let Self { left, right, .. } = self;
        let (left, right) = (left.take(more), right.take(more));
        out.reserve(2 * more);
        let at = |side: &[u8], at: usize| {
            side.get(at..at + SAMPLE_BYTES).map_or([0; SAMPLE_BYTES], |pair| [pair[0], pair[1]])
        };
        for sample in (0..more).step_by(SAMPLE_BYTES) {
            out.extend(at(left, sample));
            out.extend(at(right, sample));
        }
        self.taken = self.taken.max(until);
        self.left.tidy();
        self.right.tidy();
    }
}

fn samples(bytes: usize) -> u64 {
    (bytes / SAMPLE_BYTES) as u64
}

fn bytes(samples: u64) -> usize {
    usize::try_from(samples).unwrap_or(usize::MAX / SAMPLE_BYTES) * SAMPLE_BYTES
}

/// What a WAV file of so much audio begins with: 16 bits, two channels.
pub fn wav_header(rate: Rate, audio_bytes: u64) -> [u8; WAV_HEADER_BYTES] {
    const CHANNELS: u16 = 2;
    let frame = CHANNELS * SAMPLE_BYTES as u16;
    let per_second = u32::try_from(rate.bytes_per_second()).unwrap_or(u32::MAX);
    let audio = u32::try_from(audio_bytes).unwrap_or(u32::MAX - 36);
    let mut header = [0; WAV_HEADER_BYTES];
    let parts: [&[u8]; 13] = [
        b"RIFF",
        &audio.saturating_add(36).to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16_u32.to_le_bytes(),
        &1_u16.to_le_bytes(),
        &CHANNELS.to_le_bytes(),
        &(per_second / SAMPLE_BYTES as u32).to_le_bytes(),
        &(per_second * u32::from(CHANNELS)).to_le_bytes(),
        &frame.to_le_bytes(),
        &16_u16.to_le_bytes(),
        b"data",
        &audio.to_le_bytes(),
    ];
    let mut at = 0;
    for part in parts {
        header[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    header
}

pub const WAV_HEADER_BYTES: usize = 44;

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate::Hz8000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// So many milliseconds of one sample's value.
    fn sound(value: i16, ms: u64) -> Vec<u8> {
        value.to_le_bytes().repeat(8 * ms as usize)
    }

    fn channels(mixed: &[u8]) -> (Vec<i16>, Vec<i16>) {
        let pairs = mixed
            .chunks_exact(4)
            .map(|four| (i16::from_le_bytes([four[0], four[1]]), i16::from_le_bytes([four[2], four[3]])));
        pairs.unzip()
    }

    /// Runs of equal samples, in milliseconds.
    fn runs(channel: &[i16]) -> Vec<(i16, usize)> {
        let runs = channel.chunk_by(|a, b| a == b);
        runs.map(|run| (run[0], run.len() / 8)).collect()
    }

    #[test]
    fn both_are_heard_at_their_time_and_what_was_taken_back_is_not() {
        let (mut mixer, mut out) = (Mixer::new(RATE), Vec::new());
        for at in 1..=50 {
            mixer.heard(ms(at * 20), &sound(1, 20));
            mixer.take(ms(at * 20), &mut out);
        }
        // Three messages of 100 ms at once; interrupted while the second is played.
        for value in [7, 8, 9] {
            mixer.said(ms(200 + u64::from(value as u16)), &sound(value, 100));
        }
        mixer.cleared(ms(350));
        mixer.said(ms(600), &sound(5, 100));
        mixer.finish(ms(1000), &mut out);
        let (left, right) = channels(&out);
        assert_eq!(runs(&left), [(1, 1000)]);
        assert_eq!(runs(&right), [(0, 207), (7, 100), (8, 100), (0, 193), (5, 100), (0, 300)]);
    }

    #[test]
    fn a_burst_is_put_where_it_was_said_and_a_gap_stays_one() {
        let (mut mixer, mut out) = (Mixer::new(RATE), Vec::new());
        mixer.heard(ms(20), &sound(1, 20));
        // Nothing is read for 500 ms; then all of it at once, in halves of samples.
        let late = sound(2, 500);
        for piece in late.chunks(333) {
            mixer.heard(ms(520), piece);
        }
        mixer.heard(ms(2000), &sound(3, 20));
        mixer.finish(ms(2000), &mut out);
        assert_eq!(runs(&channels(&out).0), [(1, 20), (2, 500), (0, 1460), (3, 20)]);
    }

    #[test]
    fn what_comes_after_its_time_was_taken_makes_nothing_else_late() {
        let (mut mixer, mut out) = (Mixer::new(RATE), Vec::new());
        mixer.take(ms(5000), &mut out);
        mixer.heard(ms(5000), &sound(1, 5000));
        mixer.heard(ms(5200), &sound(2, 20));
        mixer.finish(ms(5200), &mut out);
        let (left, _) = channels(&out);
        assert_eq!(left.len(), 5200 * 8);
        // No later than a network may be uneven: it came 100 ms after the end of the burst.
        assert!(runs(&left).ends_with(&[(2, 20), (0, 80)]), "{:?}", runs(&left));
    }

    /// Whatever comes when, and whenever it is taken: the same, as long as the call, and never more kept than is new.
    #[test]
    fn when_it_is_taken_changes_nothing() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..200 {
            let (mut often, mut once) = (Mixer::new(RATE), Mixer::new(RATE));
            let (mut in_pieces, mut whole) = (Vec::new(), Vec::new());
            let mut now = Duration::ZERO;
            for step in 0..200_i16 {
                now += ms(random(60));
                let long = sound(step, 20 * (1 + random(4)));
                match random(8) {
                    0..=4 => [&mut often, &mut once].map(|mixer| mixer.heard(now, &long)),
                    5 | 6 => [&mut often, &mut once].map(|mixer| mixer.said(now, &long)),
                    _ => [&mut often, &mut once].map(|mixer| mixer.cleared(now)),
                };
                if random(3) == 0 {
                    often.take(now, &mut in_pieces);
                    assert!(often.left.len() <= bytes(often.sample_at(GRACE + SLACK)) + often.burst.len());
                }
            }
            often.finish(now, &mut in_pieces);
            once.finish(now, &mut whole);
            assert!(in_pieces == whole);
            assert_eq!(whole.len() as u64, 4 * once.sample_at(now));
        }
    }

    #[test]
    fn the_header_says_what_is_behind_it() {
        let header = wav_header(Rate::Hz16000, 64_000);
        assert_eq!(&header[..4], b"RIFF");
        assert_eq!(u32::from_le_bytes([header[4], header[5], header[6], header[7]]), 64_036);
        assert_eq!(&header[8..16], b"WAVEfmt ");
        assert_eq!(u32::from_le_bytes([header[24], header[25], header[26], header[27]]), 16_000);
        assert_eq!(u32::from_le_bytes([header[28], header[29], header[30], header[31]]), 64_000, "bytes a second");
        assert_eq!((header[22], header[32], header[34]), (2, 4, 16));
        assert_eq!(&header[36..40], b"data");
    }
}
