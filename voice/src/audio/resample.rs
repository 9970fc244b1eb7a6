//! From one rate to another, remembering what came before, so that a frame's border is not heard.

use std::sync::OnceLock;

use super::{Rate, SAMPLE_BYTES, samples};

/// The point in a filter's inverse.
const INVERSE_BITS: u32 = 40;
/// Input that is taken in one go, so that what is kept has a bound.
const BLOCK_SAMPLES: usize = 480;

/// A polyphase filter: a windowed sinc (Kaiser) of 96 or 144 taps in integers, so that the same input gives the same
/// output however it is cut into frames.
///
/// What it is worth, held by tests: everything up to 85 % of the lower rate's band (3.4 kHz at 8 kHz: what a telephone
/// carries) passes within ±0.01 dB, with a signal to noise of at least 80 dB; what lies above 105 % of that band is at
/// least 75 dB down. It delays by 3.0 ms between 8 kHz and any other rate, and by 1.5 ms between 16 and 24 kHz.
///
/// Between equal rates there is nothing to do, and nothing is done: what comes in is handed back.
#[derive(Debug, Clone)]
pub struct Resampler {
    path: Option<Path>,
    /// What the filter still looks back at, then what is new.
    window: Vec<i16>,
    /// Which phase the next output is of; beyond the filter's phases it is that of a later input.
    phase: usize,
}

/// One pair of rates.
#[derive(Debug, Clone, Copy)]
struct Path {
    filter: &'static Filter,
    /// How far an output is from the one before, in phases.
    step: usize,
}

/// `phases` filters in a row, each with its taps turned round: the oldest sample first.
#[derive(Debug)]
struct Filter {
    phases: usize,
    taps: usize,
    /// Taps that are summed up in 32 bits.
    part: usize,
    /// By what a sum is multiplied to be a sample: what is one, in a coefficient, is as large as leaves each of them
    /// in sixteen bits and each part's sum in 32, whatever comes.
    inverse: i64,
    coefficients: Vec<i16>,
}

impl Resampler {
    pub fn new(from: Rate, to: Rate) -> Self {
        let path = Path::between(from, to);
        let window = path.map(|path| vec![0; path.filter.taps - 1]).unwrap_or_default();
        Self { path, window, phase: 0 }
    }

    /// The next piece of audio at the other rate: `pcm` itself where the rates are the same, else made in `out`, whose
    /// content is replaced. `pcm` must be whole samples.
    pub fn run<'a>(&mut self, pcm: &'a [u8], out: &'a mut Vec<u8>) -> &'a [u8] {
        let Some(Path { filter, step }) = self.path else { return pcm };
        out.clear();
        for block in pcm.chunks(BLOCK_SAMPLES * SAMPLE_BYTES) {
            self.window.extend(samples(block));
            let fresh = self.window.len() - (filter.taps - 1);
            // Outputs of this block: those whose newest sample is in it.
            let phases = filter.phases;
            let outputs = (fresh * phases).saturating_sub(self.phase).div_ceil(step);
            let before = out.len();
            out.resize(before + outputs * SAMPLE_BYTES, 0);
            // Counted on, not divided: there are many of them.
            let (mut at, mut phase) = (self.phase / phases, self.phase % phases);
            for bytes in out[before..].as_chunks_mut::<SAMPLE_BYTES>().0 {
                let sample = dot(filter, filter.phase(phase), &self.window[at..at + filter.taps]);
                *bytes = sample.to_le_bytes();
                phase += step;
                while phase >= phases {
                    phase -= phases;
                    at += 1;
                }
            }
            self.phase = at * phases + phase - fresh * phases;
            self.window.drain(..fresh);
        }
        out
    }

    /// Forgets what came before: after a jump in the audio.
    pub fn reset(&mut self) {
        self.window.fill(0);
        self.phase = 0;
    }
}

/// What both hold, multiplied and summed up, a part at a time. A plain loop over sixteen bits is what a compiler has a
/// vector instruction for.
fn dot(filter: &Filter, coefficients: &[i16], window: &[i16]) -> i16 {
    let parts = coefficients.chunks_exact(filter.part).zip(window.chunks_exact(filter.part));
    let whole: i64 = parts
        .map(|(coefficients, window)| {
            let products = coefficients.iter().zip(window).map(|(one, other)| i32::from(*one) * i32::from(*other));
            i64::from(products.sum::<i32>())
        })
        .sum();
    let rounded = (whole * filter.inverse + (1 << (INVERSE_BITS - 1))) >> INVERSE_BITS;
    rounded.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

impl Path {
    fn between(from: Rate, to: Rate) -> Option<Self> {
        // Made when a first call needs it, then shared by all.
        static FILTERS: [OnceLock<Filter>; 6] = [const { OnceLock::new() }; 6];
        use Rate::{Hz8000, Hz16000, Hz24000};
        // Phases, step and taps: the rates' ratio, and a filter that is as long in time whichever way it is used.
        let (place, phases, step, taps) = match (from, to) {
            (Hz8000, Hz16000) => (0, 2, 1, 48),
            (Hz16000, Hz8000) => (1, 1, 2, 96),
            (Hz8000, Hz24000) => (2, 3, 1, 48),
            (Hz24000, Hz8000) => (3, 1, 3, 144),
            (Hz16000, Hz24000) => (4, 3, 2, 48),
            (Hz24000, Hz16000) => (5, 2, 3, 72),
            _ => return None,
        };
        let band = f64::from(from.hz().min(to.hz())) / 2.0;
        let filter = FILTERS[place].get_or_init(|| Filter::new(phases, taps, band / (f64::from(from.hz()))));
        Some(Self { filter, step })
    }
}

impl Filter {
    /// A low pass for `band`, a part of the input's rate.
    fn new(phases: usize, taps: usize, band: f64) -> Self {
        /// Where half is left, as a part of the band: a little below it, since what folds back is heard and what a
        /// telephone never carried is not missed.
        const CUTOFF: f64 = 0.95;
        /// Kaiser's shape, for about 75 dB.
        const BETA: f64 = 7.3;

        let length = phases * taps;
        let cutoff = band * CUTOFF / phases as f64;
        let centre = (length - 1) as f64 / 2.0;
        let ideal = |at: usize| {
            let off = at as f64 - centre;
            let angle = std::f64::consts::TAU * cutoff * off;
            let sinc = if off == 0.0 { 1.0 } else { angle.sin() / angle };
            let edge = off / (centre + 0.5);
            sinc * bessel(BETA * (1.0 - edge * edge).sqrt())
        };
        // Each phase by itself passes a constant unchanged: else silence with an offset would hum. The oldest first.
        let exact: Vec<f64> = (0..phases)
            .flat_map(|phase| {
                let row: Vec<f64> = (0..taps).rev().map(|tap| ideal(phase + tap * phases)).collect();
                let sum: f64 = row.iter().sum();
                row.into_iter().map(move |tap| tap / sum)
            })
            .collect();
        // One phase is on the faster rate, where each tap has less: two parts leave room for finer steps.
        let part = if phases == 1 { taps / 2 } else { taps };
        let largest = exact.iter().copied().fold(0.0, f64::max);
        let loudest = exact.chunks(part).map(|part| part.iter().map(|tap| tap.abs()).sum()).fold(0.0, f64::max);
        // A little below what fits, for what rounding adds.
        let unit = (32_700.0 / largest).min(65_400.0 / loudest).floor();
        let mut coefficients: Vec<i16> = exact.iter().map(|tap| (tap * unit).round() as i16).collect();
        for row in coefficients.chunks_mut(taps) {
            // What rounding took, where it is noticed least.
            let sum: i32 = row.iter().map(|tap| i32::from(*tap)).sum();
            if let Some(largest) = row.iter_mut().max() {
                *largest += (unit as i32 - sum) as i16;
            }
        }
        let inverse = ((1u64 << INVERSE_BITS) as f64 / unit).round() as i64;
        Self { phases, taps, part, inverse, coefficients }
    }

    fn phase(&self, phase: usize) -> &[i16] {
        &self.coefficients[phase * self.taps..][..self.taps]
    }
}

/// The modified Bessel function of the first kind, of order zero.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        let factor = x / 2.0 / f64::from(k);
        term *= factor * factor;
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests;
