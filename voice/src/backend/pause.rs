//! When somebody has stopped speaking, by how loud he is: for services that do not say it. Only figures hang on it.

use crate::{Rate, audio::samples};

/// Mean of the samples' sizes below which nobody speaks, however quiet the line is: real silence has some 9 (UD).
const QUIET: u32 = 150;
/// How much louder than the line itself a voice is.
const ABOVE: u32 = 4;
/// Less than that is a click.
const SPEECH_MS: u64 = 100;
/// Longer than between two words.
const PAUSE_MS: u64 = 200;

/// One speaker.
#[derive(Debug)]
pub(super) struct Pause {
    rate: Rate,
    /// How loud the line is when nobody speaks, as far as that has been heard; in sixteenths.
    floor: u32,
    loud_bytes: u64,
    quiet_bytes: u64,
}

impl Pause {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, floor: u32::MAX, loud_bytes: 0, quiet_bytes: 0 }
    }

    /// What he says next, some 20 ms of it. Whether he has just stopped: 200 ms ago.
    pub(super) fn hears(&mut self, pcm: &[u8]) -> bool {
        let count = samples(pcm).len() as u64;
        let sum: u64 = samples(pcm).map(|sample| u64::from(sample.unsigned_abs())).sum();
        let Some(mean) = sum.checked_div(count) else { return false };
        let mean = mean as u32;
        // What is quieter is the line; what is louder may be, if it stays.
        self.floor = (mean * 16).min(self.floor.saturating_add(self.floor / 256 + 1));
        let bytes = pcm.len() as u64;
        if mean > QUIET && mean > (self.floor / 16).saturating_mul(ABOVE) {
            self.loud_bytes += bytes;
            self.quiet_bytes = 0;
            return false;
        }
        self.quiet_bytes += bytes;
        if self.quiet_bytes < self.rate.bytes_of_ms(PAUSE_MS) {
            return false;
        }
        let spoke = self.speaks();
        self.loud_bytes = 0;
        spoke
    }

    /// Whether he is in the middle of it, as far as is known.
    pub(super) fn speaks(&self) -> bool {
        self.loud_bytes >= self.rate.bytes_of_ms(SPEECH_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(level: i16) -> Vec<u8> {
        (0..160).flat_map(|at| if at % 2 == 0 { level } else { -level }.to_le_bytes()).collect()
    }

    /// How often he has stopped.
    fn stops(pause: &mut Pause, level: i16, frames: usize) -> usize {
        (0..frames).filter(|_| pause.hears(&frame(level))).count()
    }

    #[test]
    fn who_spoke_and_is_quiet_has_stopped_once() {
        for line in [9, 120] {
            let mut pause = Pause::new(Rate::Hz8000);
            assert_eq!(stops(&mut pause, line, 50), 0, "nobody has spoken");
            for _ in 0..3 {
                assert_eq!(stops(&mut pause, 4000, 40), 0);
                assert!(pause.speaks());
                assert_eq!(stops(&mut pause, line, 9), 0, "as long as between two words");
                assert_eq!(stops(&mut pause, line, 50), 1);
                assert!(!pause.speaks());
            }
            assert_eq!(stops(&mut pause, 4000, 2) + stops(&mut pause, line, 50), 0, "a click");
        }
    }

    #[test]
    fn a_line_that_is_loud_by_itself_is_no_speech() {
        let mut pause = Pause::new(Rate::Hz8000);
        assert_eq!(stops(&mut pause, 2000, 500), 0);
        assert!(!pause.speaks());
        assert!(!pause.hears(&[]) && !pause.hears(&[1]));
    }
}
