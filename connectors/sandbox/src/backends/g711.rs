//! G.711 by its definition, slow and plain: the bridge's own tables are held against it.

/// G.711 by its definition: what a code stands for.
fn value(a_law: bool, code: u8) -> i16 {
    if a_law {
        let code = code ^ 0x55;
        let (exponent, mantissa) = (i32::from(code >> 4 & 7), i32::from(code & 15));
        let size = match exponent {
            0 => (mantissa << 4) + 8,
            _ => ((mantissa << 4) + 0x108) << (exponent - 1),
        };
        return if code & 0x80 != 0 { size as i16 } else { -size as i16 };
    }
    let code = !code;
    let (exponent, mantissa) = (i32::from(code >> 4 & 7), i32::from(code & 15));
    let size = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    if code & 0x80 != 0 { -size as i16 } else { size as i16 }
}

pub(super) fn expand(a_law: bool, coded: &[u8]) -> Vec<u8> {
    coded.iter().flat_map(|code| value(a_law, *code).to_le_bytes()).collect()
}

/// The code that stands for the nearest.
pub(super) fn compress(a_law: bool, pcm: &[u8]) -> Vec<u8> {
    let table: Vec<(u8, i32)> = (0..=255).map(|code| (code, i32::from(value(a_law, code)))).collect();
    let samples = pcm.chunks_exact(2).map(|sample| i32::from(i16::from_le_bytes([sample[0], sample[1]])));
    let nearest =
        |sample: i32| table.iter().min_by_key(|(_, stands)| (stands - sample).abs()).map_or(0, |(code, _)| *code);
    samples.map(nearest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_laws_are_those_of_the_standard() {
        // ITU-T G.711: the codes of silence, of the loudest and of a step in between.
        for (a_law, code, stands) in [
            (true, 0xd5, 8),
            (true, 0x55, -8),
            (true, 0xaa, 32_256),
            (true, 0x2a, -32_256),
            (true, 0x80, 5504),
            (false, 0xff, 0),
            (false, 0x80, 32_124),
            (false, 0x00, -32_124),
            (false, 0xcf, 924),
        ] {
            assert_eq!(value(a_law, code), stands, "{code:x}");
        }
        assert_eq!(compress(true, &8i16.to_le_bytes()), [0xd5]);
    }
}
