//! When somebody speaks, as a service notices it: by how loud it is.

use super::sound;

/// So long must it be quiet before he has finished.
const PAUSE_MS: u64 = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Starts,
    Stops,
}

/// What came of a caller's audio, and whether he speaks.
#[derive(Debug, Default)]
pub struct Ear {
    /// All of it: PCM16.
    pub heard: Vec<u8>,
    speaks: bool,
    quiet_ms: u64,
}

impl Ear {
    pub fn hears(&mut self, pcm: &[u8], rate: u32) -> Option<Turn> {
        self.heard.extend_from_slice(pcm);
        if sound::is_speech(pcm) {
            self.quiet_ms = 0;
            return (!std::mem::replace(&mut self.speaks, true)).then_some(Turn::Starts);
        }
        self.quiet_ms += pcm.len() as u64 * 1000 / (2 * u64::from(rate));
        (self.quiet_ms >= PAUSE_MS && std::mem::take(&mut self.speaks)).then_some(Turn::Stops)
    }

    /// The loud part of what came: what he has said, without what was silent around it.
    pub fn speech(&self) -> &[u8] {
        let loud = |frame: &[u8]| sound::is_speech(frame);
        let frames: Vec<&[u8]> = self.heard.chunks(320).collect();
        let first = frames.iter().position(|frame| loud(frame)).unwrap_or(frames.len());
        let last = frames.iter().rposition(|frame| loud(frame)).map_or(first, |at| at + 1);
        let end = (last * 320).min(self.heard.len());
        &self.heard[(first * 320).min(end)..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_starts_with_a_sound_and_stops_after_a_pause() {
        let mut ear = Ear::default();
        let (speech, silence) = (sound::tone(440.0, 8000, 20), vec![0; 320]);
        assert_eq!(ear.hears(&silence, 8000), None);
        assert_eq!(ear.hears(&speech, 8000), Some(Turn::Starts));
        assert_eq!(ear.hears(&speech, 8000), None);
        let turns: Vec<_> = (0..20).map(|_| ear.hears(&silence, 8000)).collect();
        assert_eq!(turns.iter().position(Option::is_some), Some(14));
        assert_eq!(turns[14], Some(Turn::Stops));
        assert_eq!(ear.speech(), speech.repeat(2));
    }
}
