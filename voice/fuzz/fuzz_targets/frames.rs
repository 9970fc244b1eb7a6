//! A stream of frames, as a peer with any intention could send it: nothing panics, audio is no more than what came can
//! hold, the quick way reads what the patient way reads, and what was read can be printed and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use patchbay_voice::{Frame, Limits, Rate, Reader, exotel, payload};

/// A byte of base64 is three quarters of one; G.711 makes two of it. One byte may have waited.
fn most(frame: &[u8]) -> usize {
    frame.len() * 3 / 2 + 2
}

fuzz_target!(|stream: &[u8]| {
    for make in [Reader::exotel, Reader::twilio] {
        let (mut quick, mut patient) = (make(Limits::DEFAULT), make(Limits::DEFAULT));
        let mut law = None;
        for frame in stream.split(|byte| *byte == b'\n') {
            let (mut pcm, mut other) = (Vec::new(), Vec::new());
            let read = quick.read(frame, &mut pcm);
            let again = patient.read_patiently(frame, &mut other);
            assert_eq!(read.is_ok(), again.is_ok());
            assert_eq!(pcm, other);
            assert!(pcm.len() <= most(frame) && pcm.len() % 2 == 0);
            match read {
                Ok(Frame::Start(start)) => {
                    assert!(start.custom_parameters.len() <= Limits::DEFAULT.parameters);
                    law = Some((start.law, start.rate));
                }
                Ok(Frame::Media(media)) => assert_eq!(media.pcm_bytes, pcm.len()),
                Ok(_) => assert!(pcm.is_empty()),
                Err(error) => {
                    assert!(pcm.is_empty());
                    assert!(error.to_string().len() < 500, "an error does not repeat what came");
                }
            }
            if pcm.is_empty() {
                continue;
            }
            let (law, rate) = law.unwrap_or((patchbay_voice::Law::Linear, Rate::Hz8000));
            let style = exotel::Style { stream_sid: Some("s".to_owned()), law, rate, numbered: true };
            let mut printed = Vec::new();
            exotel::Writer::new(&style).media(&pcm, &mut printed);
            let document: serde_json::Value = serde_json::from_slice(&printed).expect("what is printed is JSON");
            let text = document["media"]["payload"].as_str().expect("a payload");
            let mut coded = Vec::new();
            assert!(payload::decode(text.as_bytes(), &mut coded));
        }
    }
});
