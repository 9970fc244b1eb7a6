//! Frames to read: those that were seen or documented, and what becomes of them when they are broken.

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::Index};

/// Each frame of `fixtures/frames.jsonl`, with its name.
#[allow(dead_code, reason = "not every test that uses this module wants them")]
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
#[allow(dead_code, reason = "not every test that uses this module wants them")]
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

/// Events of a service, as `fixtures/backends` has them: those it says (`from`), or is sent (`to`).
#[allow(dead_code, reason = "not every test that uses this module wants them")]
pub(crate) fn events(service: &str, direction: &str) -> Vec<serde_json::Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/backends/{service}.jsonl"));
    let text = fs::read_to_string(path).expect("the events");
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON"));
    let events: Vec<_> = lines
        .inspect(|line| assert!(line["source"].as_str().is_some_and(|source| !source.is_empty()), "where is it from?"))
        .filter(|line| line["direction"] == direction)
        .map(|mut line| line["event"].take())
        .collect();
    assert!(!events.is_empty());
    events
}

/// One of these events with some of it changed: cut, overwritten, or with a value of another kind.
#[allow(dead_code, reason = "not every test that uses this module wants them")]
pub(crate) fn broken(events: Vec<serde_json::Value>) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..4),
        proptest::sample::select(vec!["\"", "\\", "{", "}", ":", ",", "null", "1e9", "-1", "[]", "\\u0000", "=", "\n"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let text = proptest::sample::select(events).prop_map(|event| event.to_string().into_bytes());
    let cut = (text.clone(), vec((any::<Index>(), 0usize..6, piece), 1..4)).prop_map(|(mut text, edits)| {
        for (at, removed, piece) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + removed).min(text.len());
            text.splice(at..end, piece);
        }
        text
    });
    let kinds = proptest::sample::select(vec!["null", "-1", "1e300", "[]", "{}", "\"\"", "\"x\"", "true"]);
    let other = (text, any::<Index>(), kinds).prop_map(|(text, at, kind)| {
        let mut event: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let mut places = Vec::new();
        leaves(&event, String::new(), &mut places);
        let place = event.pointer_mut(&places[at.index(places.len())]).expect("a place");
        *place = serde_json::from_str(kind).expect("JSON");
        event.to_string().into_bytes()
    });
    prop_oneof![cut, other]
}

/// Every place of a document, by its pointer.
fn leaves(value: &serde_json::Value, at: String, places: &mut Vec<String>) {
    if let serde_json::Value::Object(members) = value {
        members.iter().for_each(|(name, inner)| leaves(inner, format!("{at}/{name}"), places));
    }
    if let serde_json::Value::Array(inner) = value {
        inner.iter().enumerate().for_each(|(index, inner)| leaves(inner, format!("{at}/{index}"), places));
    }
    places.push(at);
}
