//! G.711: eight bits a sample, of which both laws make about fourteen. Tables made when the program is built, one look
//! each.

use super::{Law, SAMPLE_BYTES, samples};

static MU_EXPANDED: [i16; 256] = expanded(Law::Mu);
static A_EXPANDED: [i16; 256] = expanded(Law::A);
/// By a sample's upper 14 bits: the lower two do not count.
static MU_COMPRESSED: [u8; 1 << 14] = {
    let mut table = [0; 1 << 14];
    let mut at = 0;
    while at < table.len() {
        table[at] = mu_of((at as u16) << 2);
        at += 1;
    }
    table
};
/// By a sample's upper 12 bits.
static A_COMPRESSED: [u8; 1 << 12] = {
    let mut table = [0; 1 << 12];
    let mut at = 0;
    while at < table.len() {
        table[at] = a_of((at as u16) << 4);
        at += 1;
    }
    table
};

/// Appends PCM16 for so many coded samples. Linear ones are PCM16 already.
pub fn expand(law: Law, coded: &[u8], pcm: &mut Vec<u8>) {
    let table = match law {
        Law::Linear => return pcm.extend_from_slice(coded),
        Law::Mu => &MU_EXPANDED,
        Law::A => &A_EXPANDED,
    };
    let before = pcm.len();
    pcm.resize(before + coded.len() * SAMPLE_BYTES, 0);
    for (to, code) in pcm[before..].as_chunks_mut::<SAMPLE_BYTES>().0.iter_mut().zip(coded) {
        *to = table[usize::from(*code)].to_le_bytes();
    }
}

/// Appends coded samples for PCM16; a byte that is half a sample is passed by.
pub fn compress(law: Law, pcm: &[u8], coded: &mut Vec<u8>) {
    match law {
        Law::Linear => coded.extend_from_slice(pcm),
        Law::Mu => coded.extend(samples(pcm).map(|sample| MU_COMPRESSED[usize::from(sample as u16 >> 2)])),
        Law::A => coded.extend(samples(pcm).map(|sample| A_COMPRESSED[usize::from(sample as u16 >> 4)])),
    }
}

const fn expanded(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < table.len() {
        table[code] = match law {
            Law::A => of_a(code as u8),
            _ => of_mu(code as u8),
        };
        code += 1;
    }
    table
}

/// The bias of µ-law, of samples with 16 bits.
const BIAS: i16 = 33 << 2;

const fn of_mu(code: u8) -> i16 {
    let code = !code;
    let (segment, step) = ((code >> 4) & 7, (code & 15) as i16);
    let magnitude = (((step << 3) + BIAS) << segment) - BIAS;
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

const fn of_a(code: u8) -> i16 {
    let code = code ^ 0x55;
    let (segment, step) = ((code >> 4) & 7, (code & 15) as i16);
    let magnitude = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    if code & 0x80 != 0 { magnitude } else { -magnitude }
}

/// The magnitude of a sample as G.711's reference has it: one's complement, so that both signs have as many steps.
const fn magnitude(sample: u16) -> u16 {
    if sample & 0x8000 == 0 { sample } else { !sample }
}

const fn mu_of(sample: u16) -> u8 {
    let biased = (magnitude(sample) >> 2) + 33;
    let biased = if biased > 0x1fff { 0x1fff } else { biased };
    // The segment's leading one stands at bit 5 to 12.
    let segment = 10 - biased.leading_zeros() as u16;
    let step = (biased >> (segment + 1)) & 15;
    let code = !((segment << 4 | step) as u8) & 0x7f;
    if sample & 0x8000 == 0 { code | 0x80 } else { code }
}

const fn a_of(sample: u16) -> u8 {
    let scaled = magnitude(sample) >> 4;
    let code = if scaled < 32 {
        scaled as u8
    } else {
        let segment = 12 - scaled.leading_zeros() as u16;
        (segment << 4 | (scaled >> (segment - 1)) & 15) as u8
    };
    (if sample & 0x8000 == 0 { code | 0x80 } else { code }) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(law: Law, code: u8) -> i16 {
        let mut pcm = Vec::new();
        expand(law, &[code], &mut pcm);
        samples(&pcm).next().expect("a sample")
    }

    fn compressed(law: Law, sample: i16) -> u8 {
        let mut coded = Vec::new();
        compress(law, &sample.to_le_bytes(), &mut coded);
        coded[0]
    }

    /// Tables 2a and 2b of G.711, for 14 bits: a code is its segment and step between the decision values.
    fn mu_by_decision_values(sample: i16) -> u8 {
        let sign = if sample < 0 { 0 } else { 0x80 };
        let value = i32::from(if sample < 0 { !sample } else { sample }) >> 2;
        // Decision value x(n): 0, 1, 3, 5, … 31, 35, … 8159.
        let mut upper = 1;
        let mut code = 0u8;
        let mut width = 2;
        while code < 127 && value >= upper {
            code += 1;
            if code > 15 && code.is_multiple_of(16) {
                width *= 2;
            }
            upper += width;
        }
        sign | (0x7f - code)
    }

    /// Tables 1a and 1b, for 12 bits and the sign: 0, 1, 2 … 32, 34, … 2048.
    fn a_by_decision_values(sample: i16) -> u8 {
        let sign = if sample < 0 { 0 } else { 0x80 };
        let value = i32::from(if sample < 0 { !sample } else { sample }) >> 4;
        let mut upper = 1;
        let mut code = 0u8;
        let mut width = 1;
        while code < 127 && value >= upper {
            code += 1;
            if code > 16 && code.is_multiple_of(16) {
                width *= 2;
            }
            upper += width;
        }
        (sign | code) ^ 0x55
    }

    #[test]
    fn every_sample_has_the_code_of_its_interval() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(compressed(Law::Mu, sample), mu_by_decision_values(sample), "µ {sample}");
            assert_eq!(compressed(Law::A, sample), a_by_decision_values(sample), "A {sample}");
        }
    }

    /// As the ITU's own tool (G.191) writes the inverse.
    #[test]
    fn every_code_has_the_value_of_the_itu_formula() {
        for code in 0..=u8::MAX {
            let mantissa = !i32::from(code);
            let exponent = (mantissa >> 4) & 7;
            let step = 4 << (exponent + 1);
            let value = (0x80 << exponent) + step * (mantissa & 15) + step / 2 - 4 * 33;
            let sign = if code < 0x80 { -1 } else { 1 };
            assert_eq!(i32::from(expanded(Law::Mu, code)), sign * value, "µ {code}");

            let toggled = i32::from(code ^ 0x55);
            let exponent = (toggled & 0x7f) >> 4;
            let mut value = toggled & 15;
            if exponent > 0 {
                value += 16;
            }
            value = (value << 4) + 8;
            if exponent > 1 {
                value <<= exponent - 1;
            }
            let sign = if code > 127 { 1 } else { -1 };
            assert_eq!(i32::from(expanded(Law::A, code)), sign * value, "A {code}");
        }
    }

    #[test]
    fn a_code_survives_being_a_sample() {
        for code in 0..=u8::MAX {
            // µ-law has two zeros, of which one is made.
            let wanted = if code == 0x7f { 0xff } else { code };
            assert_eq!(compressed(Law::Mu, expanded(Law::Mu, code)), wanted);
            assert_eq!(compressed(Law::A, expanded(Law::A, code)), code);
        }
    }

    #[test]
    fn half_a_sample_is_passed_by() {
        let mut coded = Vec::new();
        compress(Law::Mu, &[0, 0, 1], &mut coded);
        assert_eq!(coded, [0xff]);
    }
}
