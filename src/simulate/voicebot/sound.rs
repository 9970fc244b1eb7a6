//! What the caller of a simulated call sounds like: a voice that a detector of speech takes for one by its loudness and
//! its syllables, and a line that is not quite silent. It says nothing: no recording of a person is shipped.

use std::{f64::consts::TAU, fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use patchbay_voice::{Rate, audio};

/// Of one frame, and of how many of them there are before they come again.
pub(super) const FRAME_MS: u64 = 20;
const FRAMES: usize = 50;
/// Of the voice, and how many of its overtones there are.
const PITCH_HZ: f64 = 140.0;
const OVERTONES: u32 = 8;
/// As loud as a telephone voice is; the quiet line's energy was measured as about 9 (UD).
const LOUD: f64 = 4_000.0;
const QUIET: u32 = 5;

/// Frames as base64, since the same ones are sent over and over.
#[derive(Clone)]
pub(super) struct Sound {
    voice: Arc<[String]>,
    quiet: Arc<[String]>,
}

impl fmt::Debug for Sound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sound")
    }
}

impl Sound {
    pub(super) fn new(rate: Rate) -> Self {
        let per_frame = rate.bytes_of_ms(FRAME_MS) as usize / audio::SAMPLE_BYTES;
        let mut noise = 7u32;
        let frames = |sample: &mut dyn FnMut(f64) -> i16| -> Arc<[String]> {
            let frame = |number: usize| {
                let samples: Vec<i16> =
                    (0..per_frame).map(|at| sample((number * per_frame + at) as f64 / f64::from(rate.hz()))).collect();
                let mut pcm = Vec::new();
                audio::write(&samples, &mut pcm);
                STANDARD.encode(pcm)
            };
            (0..FRAMES).map(frame).collect()
        };
        let voice = frames(&mut |at| {
            // Four syllables a second.
            let syllable = (TAU * 2.0 * at).sin().abs();
            let tones = (1..=OVERTONES).map(|n| (TAU * PITCH_HZ * f64::from(n) * at).sin() / f64::from(n));
            (LOUD * syllable * tones.sum::<f64>()) as i16
        });
        let quiet = frames(&mut |_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((noise >> 16) % (2 * QUIET + 1)) as i16 - QUIET as i16
        });
        Self { voice, quiet }
    }

    pub(super) fn frame(&self, speaks: bool, number: u64) -> &str {
        let frames = if speaks { &self.voice } else { &self.quiet };
        &frames[number as usize % FRAMES]
    }
}

/// From this on somebody speaks; a quiet line and comfort noise stay far below.
const HEARD: u16 = 300;

pub(super) fn is_loud(pcm: &[u8]) -> bool {
    audio::samples(pcm).any(|sample| sample.unsigned_abs() >= HEARD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_20_ms_and_a_voice_is_told_from_a_quiet_line() {
        for rate in Rate::ALL {
            let sound = Sound::new(rate);
            let pcm = |speaks, number| STANDARD.decode(sound.frame(speaks, number)).expect("base64");
            assert_eq!(pcm(true, 3).len() as u64, rate.bytes_of_ms(20));
            assert_eq!(pcm(true, 3), pcm(true, 53));
            let loud = (0..50).filter(|number| is_loud(&pcm(true, *number))).count();
            assert!(loud > 40, "{loud} of 50 frames of a voice are loud");
            assert!(!(0..50).any(|number| is_loud(&pcm(false, number))));
        }
    }
}
