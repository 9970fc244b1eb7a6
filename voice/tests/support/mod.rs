//! Frames to read: those that were seen or documented, and what becomes of them when they are broken.

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::Index};

/// Each frame of `fixtures/frames.jsonl`, with its name.
pub(crate) fn corpus() -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/frames.jsonl");
    let text = fs::read_to_string(path).expect("the corpus");
    let frames: Vec<_> = text
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
            let text = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("no {key}: {line}")).to_owned();
            assert!(!text("source").is_empty(), "where is it from?");
            (text("name"), text("frame").into_bytes())
        })
        .collect();
    assert!(frames.len() > 20);
    frames
}

/// A frame of the corpus with some of it changed: cut, doubled, overwritten, or two of them glued together.
pub(crate) fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let frames: Vec<Vec<u8>> = corpus().into_iter().map(|(_, frame)| frame).collect();
    let piece = prop_oneof![
        vec(any::<u8>(), 0..4),
        proptest::sample::select(vec![
            "\"", "\\", "{", "}", ":", ",", "null", "1e9", "-1", "[]", "\\u0000", "media", "payload", "=", "\n"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let edit = (any::<Index>(), 0usize..6, piece);
    let frame = proptest::sample::select(frames.clone());
    (frame, vec(edit, 0..4), proptest::option::weighted(0.1, proptest::sample::select(frames))).prop_map(
        |(mut frame, edits, glued)| {
            for (at, removed, piece) in edits {
                let at = at.index(frame.len() + 1);
                let end = (at + removed).min(frame.len());
                frame.splice(at..end, piece);
            }
            frame.extend(glued.into_iter().flatten());
            frame
        },
    )
}

/// A media frame that a peer could send, in any order and writing.
#[allow(dead_code, reason = "not every test that uses this module wants them")]
pub(crate) fn media_frame() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![
        any::<u32>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| format!("\"{number}\"")),
        Just("\"007\"".to_owned()),
        Just("007".to_owned()),
        Just("null".to_owned()),
        Just("\"x\"".to_owned()),
        Just("1.5".to_owned()),
    ];
    let payload = prop_oneof![
        8 => vec(any::<u8>(), 0..40).prop_map(|bytes| {
            let mut text = Vec::new();
            patchbay_voice::payload::encode(&bytes, &mut text);
            String::from_utf8(text).expect("ASCII")
        }),
        1 => "[A-Za-z0-9+/=_\\-]{0,12}",
        1 => Just("AQID\\nBA==".to_owned()),
        1 => Just("AQ\u{e9}D".to_owned()),
    ];
    let space = proptest::sample::select(vec!["", " ", "\n"]);
    (vec(number, 3), payload, space, any::<[bool; 6]>(), any::<u8>()).prop_map(|(numbers, payload, s, has, order)| {
        let sequence = if has[0] { "sequence_number" } else { "sequenceNumber" };
        let mut inner = vec![format!("\"payload\":{s}\"{payload}\"")];
        if has[1] {
            inner.push(format!("\"chunk\"{s}:{}", numbers[0]));
        }
        if has[2] {
            inner.insert(0, format!("{s}\"timestamp\":{}", numbers[1]));
        }
        if has[3] {
            inner.push("\"track\":\"inbound\"".to_owned());
        }
        let mut outer = vec![
            "\"event\":\"media\"".to_owned(),
            format!("\"{sequence}\":{s}{}", numbers[2]),
            "\"stream_sid\":\"3357459ca698d8c765bac10b0ec418bl\"".to_owned(),
            format!("\"media\":{{{}}}", inner.join(&format!("{s},{s}"))),
        ];
        if has[4] {
            outer.remove(2);
        }
        if has[5] {
            outer.push("\"stream_sid\":\"again\"".to_owned());
        }
        let shift = usize::from(order) % outer.len();
        outer.rotate_left(shift);
        format!("{s}{{{}}}{s}", outer.join(",")).into_bytes()
    })
}
