//! Base64 as peers write it: quickly where it is as it should be, patiently where it is not.

use std::sync::LazyLock;

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurposeConfig},
};

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
type Quick = base64::engine::Simd;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Quick = base64::engine::GeneralPurpose;

/// The standard alphabet, padded or not. What else peers write goes the patient way.
static QUICK: LazyLock<Quick> = LazyLock::new(|| {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    return Quick::standard(config);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return Quick::new(&base64::alphabet::STANDARD, config);
});

/// Appends what `text` stands for, if it is plain base64; nothing otherwise.
pub(crate) fn decode_plain(text: &[u8], out: &mut Vec<u8>) -> bool {
    let before = out.len();
    out.resize(before + text.len().div_ceil(4) * 3, 0);
    match QUICK.decode_slice(text, &mut out[before..]) {
        Ok(bytes) => {
            out.truncate(before + bytes);
            true
        }
        Err(_) => {
            out.truncate(before);
            false
        }
    }
}

/// Appends what `text` stands for: either alphabet, padding or none, also in the middle where pieces were glued, white
/// space anywhere, and a last symbol that is half a byte let go. Something else in it: nothing is appended.
pub fn decode(text: &[u8], out: &mut Vec<u8>) -> bool {
    decode_plain(text, out) || decode_patiently(text, out)
}

fn decode_patiently(text: &[u8], out: &mut Vec<u8>) -> bool {
    let before = out.len();
    let (mut bits, mut held) = (0u32, 0u32);
    for &symbol in text {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => {
                // The end of a piece: what is left of its last byte is filling.
                (bits, held) = (0, 0);
                continue;
            }
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            _ => {
                out.truncate(before);
                return false;
            }
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    true
}

/// Appends `bytes` as base64, padded: what every peer reads.
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let before = out.len();
    out.resize(before + bytes.len().div_ceil(3) * 4, 0);
    let written = QUICK.encode_slice(bytes, &mut out[before..]).unwrap_or(0);
    out.truncate(before + written);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(text.as_bytes(), &mut out).then_some(out)
    }

    #[test]
    fn a_frame_of_20_ms_is_428_characters() {
        let mut text = Vec::new();
        encode(&[7; 320], &mut text);
        assert_eq!((text.len(), text.last()), (428, Some(&b'=')));
    }

    #[test]
    fn what_peers_get_wrong_is_read() {
        assert_eq!(decoded("AQIDBA=="), Some(vec![1, 2, 3, 4]));
        assert_eq!(decoded("AQIDBA"), Some(vec![1, 2, 3, 4]), "no padding");
        assert_eq!(decoded("AQIDBA="), Some(vec![1, 2, 3, 4]), "half of it");
        assert_eq!(decoded("AQID\r\nBA== "), Some(vec![1, 2, 3, 4]), "lines");
        assert_eq!(decoded("AQ==AgM="), Some(vec![1, 2, 3]), "glued pieces");
        assert_eq!(decoded("--__"), decoded("++//"), "the other alphabet");
        assert_eq!(decoded("AQIDB"), Some(vec![1, 2, 3]), "half a byte");
        assert_eq!(decoded(""), Some(vec![]));
        assert_eq!(decoded("AQ*D"), None);
    }

    proptest! {
        /// Both ways say the same wherever the quick one says anything.
        #[test]
        fn the_quick_way_and_the_patient_way_agree(text in "[A-Za-z0-9+/=]{0,80}") {
            let (mut quick, mut patient) = (vec![9], vec![9]);
            if decode_plain(text.as_bytes(), &mut quick) {
                prop_assert!(decode_patiently(text.as_bytes(), &mut patient));
                prop_assert_eq!(&quick, &patient);
            } else {
                prop_assert_eq!(quick, vec![9]);
            }
        }

        #[test]
        fn what_is_encoded_reads_back(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            let (mut text, mut back) = (Vec::new(), Vec::new());
            encode(&bytes, &mut text);
            prop_assert!(decode(&text, &mut back));
            prop_assert_eq!(back, bytes);
        }
    }
}
