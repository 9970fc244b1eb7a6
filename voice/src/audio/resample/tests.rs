//! What a telephone carries passes the filter clean, what the lower rate cannot carry does not fold back into it.

use proptest::prelude::*;

use super::*;

const PAIRS: [(Rate, Rate); 6] = [
    (Rate::Hz8000, Rate::Hz16000),
    (Rate::Hz16000, Rate::Hz8000),
    (Rate::Hz8000, Rate::Hz24000),
    (Rate::Hz24000, Rate::Hz8000),
    (Rate::Hz16000, Rate::Hz24000),
    (Rate::Hz24000, Rate::Hz16000),
];

fn tone(rate: Rate, hz: f64, amplitude: f64, count: usize) -> Vec<u8> {
    let step = std::f64::consts::TAU * hz / f64::from(rate.hz());
    (0..count).flat_map(|at| ((step * at as f64).sin() * amplitude).round().to_le_i16()).collect()
}

trait ToSample {
    fn to_le_i16(self) -> [u8; 2];
}

impl ToSample for f64 {
    fn to_le_i16(self) -> [u8; 2] {
        (self as i16).to_le_bytes()
    }
}

/// From 50 Hz to the end of the band in one second: every frequency, and a border anywhere in it.
fn sweep(rate: Rate) -> Vec<u8> {
    let (from, to) = (50.0, f64::from(rate.hz()) / 2.0);
    let seconds = |at: u32| f64::from(at) / f64::from(rate.hz());
    let angle = |t: f64| std::f64::consts::TAU * (from * t + (to - from) * t * t / 2.0);
    (0..rate.hz()).flat_map(|at| (angle(seconds(at)).sin() * 30_000.0).to_le_i16()).collect()
}

fn whole(from: Rate, to: Rate, pcm: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Resampler::new(from, to).run(pcm, &mut out).to_vec()
}

/// How much of `pcm` is a tone of `hz` (its amplitude), and how much is anything else (dB below the tone).
fn fit(rate: Rate, hz: f64, pcm: &[u8]) -> (f64, f64) {
    // What the filter does before it is full is no part of the measurement.
    let values: Vec<f64> = samples(pcm).skip(400).map(f64::from).collect();
    let angle = |at: usize| std::f64::consts::TAU * hz / f64::from(rate.hz()) * at as f64;
    // Least squares on a sine and a cosine.
    let (mut ss, mut cc, mut sc, mut sv, mut cv) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        let (s, c) = angle(at).sin_cos();
        ss += s * s;
        cc += c * c;
        sc += s * c;
        sv += s * value;
        cv += c * value;
    }
    let det = ss * cc - sc * sc;
    let (a, b) = ((sv * cc - cv * sc) / det, (cv * ss - sv * sc) / det);
    let (mut power, mut noise) = (0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        let (s, c) = angle(at).sin_cos();
        let fitted = a * s + b * c;
        power += fitted * fitted;
        noise += (value - fitted) * (value - fitted);
    }
    (a.hypot(b), 10.0 * (power / noise).log10())
}

#[test]
fn what_a_telephone_carries_passes_clean() {
    for (from, to) in PAIRS {
        let band = f64::from(from.hz().min(to.hz())) / 2.0;
        for part in [0.02, 0.11, 0.25, 0.43, 0.5, 0.61, 0.77, 0.85] {
            let hz = band * part + 0.37;
            let out = whole(from, to, &tone(from, hz, 20_000.0, from.hz() as usize));
            let (amplitude, snr) = fit(to, hz, &out);
            let gain = 20.0 * (amplitude / 20_000.0).log10();
            assert!(snr >= 80.0, "{from:?} → {to:?} at {hz} Hz: {snr:.1} dB");
            assert!(gain.abs() <= 0.01, "{from:?} → {to:?} at {hz} Hz: {gain:.3} dB");
        }
    }
}

#[test]
fn what_the_lower_rate_cannot_carry_does_not_fold_back() {
    for (from, to) in PAIRS.into_iter().filter(|(from, to)| from > to) {
        let band = f64::from(to.hz()) / 2.0;
        for hz in
            [1.05, 1.2, 1.37, 1.5, 1.8].map(|part| band * part).into_iter().filter(|hz| hz * 2.0 < f64::from(from.hz()))
        {
            let out = whole(from, to, &tone(from, hz, 20_000.0, from.hz() as usize));
            let power: f64 = samples(&out).skip(400).map(|sample| f64::from(sample).powi(2)).sum();
            let mean = power / (out.len() / SAMPLE_BYTES - 400) as f64;
            // Of a tone that has half its amplitude's square as its power; some of what is left is rounding.
            let down = 10.0 * (20_000.0f64.powi(2) / 2.0 / mean.max(1e-9)).log10();
            assert!(down >= 75.0, "{from:?} → {to:?} at {hz} Hz: {down:.1} dB");
        }
    }
}

#[test]
fn the_delay_is_as_stated() {
    for (from, to) in PAIRS {
        let mut pcm = vec![0; from.hz() as usize / 10 * SAMPLE_BYTES];
        pcm[..SAMPLE_BYTES].copy_from_slice(&16_000i16.to_le_bytes());
        let out = whole(from, to, &pcm);
        // The middle of what a single sample becomes.
        let (mut sum, mut moment) = (0.0, 0.0);
        for (at, sample) in samples(&out).enumerate() {
            sum += f64::from(sample);
            moment += f64::from(sample) * at as f64;
        }
        let delay_ms = moment / sum / f64::from(to.hz()) * 1000.0;
        let stated = if from == Rate::Hz8000 || to == Rate::Hz8000 { 3.0 } else { 1.5 };
        assert!((delay_ms - stated).abs() < 0.06, "{from:?} → {to:?}: {delay_ms:.2} ms");
    }
}

#[test]
fn silence_and_the_loudest_stay_what_they_are() {
    for (from, to) in PAIRS {
        for value in [0, i16::MAX, i16::MIN, 1, -1, 300] {
            let mut pcm = Vec::new();
            super::super::write(&vec![value; 2000], &mut pcm);
            let out = whole(from, to, &pcm);
            let settled = samples(&out).skip(500).all(|sample| i32::from(sample).abs_diff(value.into()) <= 3);
            assert!(settled, "{from:?} → {to:?}: {value}");
        }
    }
}

/// Full scale with the taps' own signs: no sum may wrap.
#[test]
fn no_input_overflows() {
    for (from, to) in PAIRS {
        let path = Path::between(from, to).expect("a path");
        for phase in 0..path.filter.phases {
            let taps = path.filter.phase(phase);
            for part in taps.chunks(path.filter.part) {
                assert!(part.len() == path.filter.part && part.len() % 8 == 0);
                let worst: i64 = part.iter().map(|tap| i64::from(*tap).abs() * 32_768).sum();
                assert!(worst < i64::from(i32::MAX), "{from:?} → {to:?}");
            }
            // And what comes out is held, not wrapped.
            let loud: Vec<i16> = taps.iter().map(|tap| if *tap < 0 { i16::MIN } else { i16::MAX }).collect();
            assert_eq!(dot(path.filter, taps, &loud), i16::MAX);
        }
    }
}

#[test]
fn equal_rates_are_no_work() {
    let pcm = [1, 2, 3, 4];
    let mut out = Vec::new();
    let mut same = Resampler::new(Rate::Hz16000, Rate::Hz16000);
    assert!(std::ptr::eq(same.run(&pcm, &mut out), &raw const pcm[..]));
    assert_eq!(out.capacity(), 0);
}

#[test]
fn a_frame_stays_as_long_as_it_was() {
    for (from, to) in PAIRS {
        let mut resampler = Resampler::new(from, to);
        let mut out = Vec::new();
        for _ in 0..50 {
            let frame = vec![0; from.bytes_of_ms(20) as usize];
            assert_eq!(resampler.run(&frame, &mut out).len() as u64, to.bytes_of_ms(20), "{from:?} → {to:?}");
        }
    }
}

#[test]
fn what_is_kept_has_a_bound() {
    let mut resampler = Resampler::new(Rate::Hz24000, Rate::Hz8000);
    resampler.run(&vec![0; 1_000_000], &mut Vec::new());
    assert!(resampler.window.capacity() <= 2 * (144 + BLOCK_SAMPLES), "{}", resampler.window.capacity());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// No cut is heard: the pieces, put together, are the whole to the bit.
    #[test]
    fn a_sweep_through_any_cut_equals_the_whole(
        pair in 0..PAIRS.len(),
        cuts in proptest::collection::vec(0usize..1500, 1..60),
    ) {
        let (from, to) = PAIRS[pair];
        let pcm = sweep(from);
        let mut resampler = Resampler::new(from, to);
        let (mut pieces, mut out, mut rest) = (Vec::new(), Vec::new(), pcm.as_slice());
        let mut cuts = cuts.into_iter().cycle();
        while !rest.is_empty() {
            let cut = (cuts.next().expect("endless").max(1) * SAMPLE_BYTES).min(rest.len());
            let (piece, more) = rest.split_at(cut);
            pieces.extend_from_slice(resampler.run(piece, &mut out));
            rest = more;
        }
        prop_assert_eq!(pieces, whole(from, to, &pcm));
    }
}
