//! What the bytes of a call's audio are: 16-bit samples, little-endian, mono, at one of three rates, or G.711.

pub mod g711;
mod resample;

pub use resample::Resampler;

use std::time::Duration;

/// Bytes of a sample.
pub const SAMPLE_BYTES: usize = 2;

/// Samples per second, of those that Exotel speaks (S5, D3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rate {
    #[default]
    Hz8000,
    Hz16000,
    Hz24000,
}

impl Rate {
    pub const ALL: [Self; 3] = [Self::Hz8000, Self::Hz16000, Self::Hz24000];

    /// `8000`, `16000Hz`, `24000 Hz`: peers write all of them (AS bridge.py). `None` for any other rate.
    pub fn read(said: &str) -> Option<Self> {
        let said = said.trim();
        let digits = said.find(|c: char| !c.is_ascii_digit()).unwrap_or(said.len());
        let (digits, unit) = said.split_at(digits);
        // A number that was printed as a fraction is the number.
        let unit = unit.strip_prefix(".0").unwrap_or(unit).trim();
        if !unit.is_empty() && !unit.eq_ignore_ascii_case("hz") {
            return None;
        }
        Self::ALL.into_iter().find(|rate| digits.parse() == Ok(rate.hz()))
    }

    pub const fn hz(self) -> u32 {
        match self {
            Self::Hz8000 => 8_000,
            Self::Hz16000 => 16_000,
            Self::Hz24000 => 24_000,
        }
    }

    /// Bytes of PCM16 per second.
    pub const fn bytes_per_second(self) -> u64 {
        self.hz() as u64 * SAMPLE_BYTES as u64
    }

    /// Bytes of PCM16 in so many milliseconds; a whole number at each rate.
    pub const fn bytes_of_ms(self, ms: u64) -> u64 {
        self.bytes_per_second() / 1000 * ms
    }

    /// How long so much PCM16 plays.
    pub const fn duration(self, bytes: u64) -> Duration {
        let per_second = self.bytes_per_second();
        let rest = bytes % per_second * 1_000_000_000 / per_second;
        Duration::new(bytes / per_second, rest as u32)
    }
}

/// How a sample is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Law {
    #[default]
    Linear,
    /// G.711 µ-law.
    Mu,
    /// G.711 A-law.
    A,
}

impl Law {
    /// From the words of `media_format.encoding`: `base64`, `raw` and `audio/x-raw` all are PCM (CAP, D3, D1), as is
    /// whatever does not name a law.
    pub fn read(said: &str) -> Self {
        let said = said.to_ascii_lowercase();
        let named = |names: [&str; 3]| names.iter().any(|name| said.contains(name));
        // "mulaw" holds "ulaw", and no name of one law is a part of the other's.
        if named(["ulaw", "u-law", "pcmu"]) {
            Self::Mu
        } else if named(["alaw", "a-law", "pcma"]) {
            Self::A
        } else {
            Self::Linear
        }
    }
}

/// The samples in some bytes; a byte that is half of one is not among them.
pub fn samples(pcm: &[u8]) -> impl ExactSizeIterator<Item = i16> + '_ {
    pcm.as_chunks::<SAMPLE_BYTES>().0.iter().map(|bytes| i16::from_le_bytes(*bytes))
}

/// Appends samples as bytes.
pub fn write(samples: &[i16], pcm: &mut Vec<u8>) {
    pcm.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_peers_write_them() {
        for (said, rate) in [
            ("8000", Some(Rate::Hz8000)),
            ("16000Hz", Some(Rate::Hz16000)),
            (" 24000 hz ", Some(Rate::Hz24000)),
            ("8000.0", Some(Rate::Hz8000)),
            ("44100", None),
            ("8", None),
            ("80000", None),
            ("8000kHz", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(Rate::read(said), rate, "{said:?}");
        }
    }

    #[test]
    fn laws_are_read_as_peers_write_them() {
        for (said, law) in [
            ("base64", Law::Linear),
            ("raw", Law::Linear),
            ("audio/x-raw", Law::Linear),
            ("pcm", Law::Linear),
            ("audio/x-mulaw;rate=8000", Law::Mu),
            ("PCMU", Law::Mu),
            ("g711_ulaw", Law::Mu),
            ("audio/x-alaw", Law::A),
            ("PCMA", Law::A),
            ("", Law::Linear),
        ] {
            assert_eq!(Law::read(said), law, "{said:?}");
        }
    }

    #[test]
    fn twenty_milliseconds_are_as_the_table_says() {
        let bytes = Rate::ALL.map(|rate| rate.bytes_of_ms(20));
        assert_eq!(bytes, [320, 640, 960]);
        for rate in Rate::ALL {
            assert_eq!(rate.duration(rate.bytes_of_ms(12_345)), Duration::from_millis(12_345));
        }
    }
}
