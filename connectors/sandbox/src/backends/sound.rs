//! Sounds that are told apart: tones, as PCM16 (little-endian, mono), and what can be measured of what came of them.

use std::f64::consts::TAU;

/// Louder than this is speech, to a service that listens for nothing else.
const SPEECH: f64 = 500.0;

/// A tone of so many milliseconds.
pub fn tone(hz: f64, rate: u32, ms: u64) -> Vec<u8> {
    let samples = u64::from(rate) * ms / 1000;
    let at = |n: u64| (TAU * hz * n as f64 / f64::from(rate)).sin() * 8000.0;
    (0..samples).flat_map(|n| (at(n).round() as i16).to_le_bytes()).collect()
}

fn samples(pcm: &[u8]) -> impl ExactSizeIterator<Item = f64> + Clone + '_ {
    pcm.chunks_exact(2).map(|sample| f64::from(i16::from_le_bytes([sample[0], sample[1]])))
}

/// How loud it is: the root of the mean square.
pub fn loudness(pcm: &[u8]) -> f64 {
    let count = samples(pcm).len().max(1) as f64;
    (samples(pcm).map(|sample| sample * sample).sum::<f64>() / count).sqrt()
}

pub fn is_speech(pcm: &[u8]) -> bool {
    loudness(pcm) > SPEECH
}

/// How much of the sound is a tone of this frequency, 0 to 1 (Goertzel). Silence has none.
pub fn share_of(hz: f64, rate: u32, pcm: &[u8]) -> f64 {
    let count = samples(pcm).len() as f64;
    let energy: f64 = samples(pcm).map(|sample| sample * sample).sum();
    if energy == 0.0 {
        return 0.0;
    }
    let (sine, cosine) = samples(pcm).enumerate().fold((0.0, 0.0), |(sine, cosine), (n, sample)| {
        let angle = TAU * hz * n as f64 / f64::from(rate);
        (sample.mul_add(angle.sin(), sine), sample.mul_add(angle.cos(), cosine))
    });
    2.0 * (sine * sine + cosine * cosine) / (count * energy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_known_by_its_frequency_at_its_rate_alone() {
        let pcm = tone(440.0, 8000, 500);
        assert_eq!(pcm.len(), 8000);
        assert!(share_of(440.0, 8000, &pcm) > 0.99 && is_speech(&pcm));
        for (hz, rate) in [(220.0, 8000), (880.0, 8000), (440.0, 16_000), (440.0, 24_000)] {
            assert!(share_of(hz, rate, &pcm) < 0.05, "{hz} at {rate}");
        }
        assert!(share_of(440.0, 8000, &[0; 320]) == 0.0 && !is_speech(&[9, 0].repeat(160)));
    }
}
