//! Says what 20 ms of a call cost, beside what plain libraries would take for the same in the same run:
//! `cargo bench -p patchbay-voice`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use patchbay_voice::{Law, Limits, Rate, Reader, audio, audio::Resampler, audio::g711, exotel, twilio};
use serde::{Deserialize, Serialize};

/// What a measurement takes, and how often it is made; what is said is the median.
const ROUND: Duration = Duration::from_millis(40);
const ROUNDS: usize = 15;
const SID: &str = "3357459ca698d8c765bac10b0ec418bl";

type Work<'a> = Box<dyn FnMut() + 'a>;

/// As serde's own documentation would have one write it.
#[derive(Deserialize, Serialize)]
struct Plain<'a> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<&'a str>,
    stream_sid: &'a str,
    media: PlainMedia<'a>,
}

#[derive(Deserialize, Serialize)]
struct PlainMedia<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<&'a str>,
    payload: &'a str,
}

fn main() {
    // Not silence: a quiet line's noise, which is no kinder to a branch than speech.
    let mut seed = 1u32;
    let mut noise = |samples: usize| {
        let mut pcm = Vec::new();
        for _ in 0..samples {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            pcm.extend_from_slice(&((seed >> 16) as i16 / 4).to_le_bytes());
        }
        pcm
    };
    let (frame_8k, frame_24k, message) = (noise(160), noise(480), noise(800));
    let payload = STANDARD.encode(&frame_8k);
    let inbound = format!(
        r#"{{"event":"media","sequence_number":"101","stream_sid":"{SID}","media":{{"chunk":"100","timestamp":"2000","payload":"{payload}"}}}}"#
    )
    .into_bytes();
    let mut coded = Vec::new();
    g711::compress(Law::Mu, &frame_8k, &mut coded);
    let (coded, of_agent) = (&coded, {
        let payload = STANDARD.encode(&coded);
        format!(r#"{{"event":"media","streamSid":"{SID}","media":{{"payload":"{payload}"}}}}"#).into_bytes()
    });

    let mut reader = Reader::exotel(Limits::DEFAULT);
    let mut patient = reader.clone();
    let mut agents = Reader::twilio(Limits::DEFAULT);
    let style = exotel::Style { stream_sid: Some(SID.to_owned()), ..exotel::Style::default() };
    let (mut writer, mut numbered) =
        (exotel::Writer::new(&style), exotel::Writer::new(&exotel::Style { numbered: true, ..style.clone() }));
    let (mut quarter, mut to_agent) = (writer.clone(), twilio::Writer::new(SID));
    let mut buffers: [Vec<u8>; 16] = Default::default();
    let [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15] = &mut buffers;
    let way = |from, to| Resampler::new(from, to);
    let (mut up, mut down) = (way(Rate::Hz8000, Rate::Hz24000), way(Rate::Hz24000, Rate::Hz8000));
    let (mut up_two, mut same) = (way(Rate::Hz8000, Rate::Hz16000), way(Rate::Hz8000, Rate::Hz8000));

    let mut works: Vec<(&str, Work<'_>)> = vec![
        ("read a media frame of 320 bytes", {
            let inbound = &inbound;
            Box::new(move || {
                b0.clear();
                let _ = black_box(reader.read(black_box(inbound), b0));
            })
        }),
        ("  … the patient way", {
            let inbound = &inbound;
            Box::new(move || {
                b1.clear();
                let _ = black_box(patient.read_patiently(black_box(inbound), b1));
            })
        }),
        ("  … serde_json::Value and base64", {
            let inbound = &inbound;
            Box::new(move || {
                let value: serde_json::Value = serde_json::from_slice(black_box(inbound)).expect("JSON");
                black_box(STANDARD.decode(value["media"]["payload"].as_str().expect("text")).expect("base64"));
            })
        }),
        ("  … serde_json into borrowed fields, and base64", {
            let inbound = &inbound;
            Box::new(move || {
                let plain: Plain<'_> = serde_json::from_slice(black_box(inbound)).expect("JSON");
                black_box(STANDARD.decode(plain.media.payload).expect("base64"));
            })
        }),
        ("know a media frame, to pass it on", {
            let inbound = &inbound;
            Box::new(move || {
                black_box(patchbay_voice::read::is_media(black_box(inbound)));
            })
        }),
        ("read a Twilio frame of 160 bytes, to PCM", {
            let of_agent = &of_agent;
            Box::new(move || {
                b2.clear();
                let _ = black_box(agents.read(black_box(of_agent), b2));
            })
        }),
        ("print a media frame of 320 bytes", {
            let pcm = &frame_8k;
            Box::new(move || {
                quarter.media(black_box(pcm), b3);
                black_box(&*b3);
            })
        }),
        ("  … serde_json and base64", {
            let pcm = &frame_8k;
            Box::new(move || {
                let payload = STANDARD.encode(black_box(pcm));
                let media = PlainMedia { chunk: None, timestamp: None, payload: &payload };
                let plain = Plain { event: "media", sequence_number: None, stream_sid: SID, media };
                black_box(serde_json::to_string(&plain).expect("JSON"));
            })
        }),
        ("print a media frame of 1600 bytes (100 ms)", {
            let pcm = &message;
            Box::new(move || {
                writer.media(black_box(pcm), b4);
                black_box(&*b4);
            })
        }),
        ("  … with numbers", {
            let pcm = &message;
            Box::new(move || {
                numbered.media(black_box(pcm), b5);
                black_box(&*b5);
            })
        }),
        ("  … serde_json and base64", {
            let pcm = &message;
            Box::new(move || {
                let payload = STANDARD.encode(black_box(pcm));
                let media = PlainMedia { chunk: None, timestamp: None, payload: &payload };
                let plain = Plain { event: "media", sequence_number: None, stream_sid: SID, media };
                black_box(serde_json::to_string(&plain).expect("JSON"));
            })
        }),
        ("print a Twilio frame of 160 bytes, from PCM", {
            let pcm = &frame_8k;
            Box::new(move || {
                to_agent.media(black_box(pcm), b6);
                black_box(&*b6);
            })
        }),
        ("µ-law from PCM, 160 samples", {
            let pcm = &frame_8k;
            Box::new(move || {
                b7.clear();
                g711::compress(Law::Mu, black_box(pcm), b7);
            })
        }),
        ("µ-law to PCM, 160 samples", {
            Box::new(move || {
                b8.clear();
                g711::expand(Law::Mu, black_box(coded), b8);
            })
        }),
        ("A-law from PCM, 160 samples", {
            let pcm = &frame_8k;
            Box::new(move || {
                b9.clear();
                g711::compress(Law::A, black_box(pcm), b9);
            })
        }),
        ("resample 8 → 24 kHz, 20 ms", {
            let pcm = &frame_8k;
            Box::new(move || {
                black_box(up.run(black_box(pcm), b10));
            })
        }),
        ("resample 24 → 8 kHz, 20 ms", {
            let pcm = &frame_24k;
            Box::new(move || {
                black_box(down.run(black_box(pcm), b11));
            })
        }),
        ("resample 8 → 16 kHz, 20 ms", {
            let pcm = &frame_8k;
            Box::new(move || {
                black_box(up_two.run(black_box(pcm), b12));
            })
        }),
        ("resample 8 → 8 kHz, 20 ms", {
            let pcm = &frame_8k;
            Box::new(move || {
                black_box(same.run(black_box(pcm), b13));
            })
        }),
        ("samples out of bytes and back, 160", {
            let pcm = &frame_8k;
            Box::new(move || {
                b14.clear();
                let samples: Vec<i16> = audio::samples(black_box(pcm)).collect();
                audio::write(&samples, b14);
            })
        }),
        ("base64 of 320 bytes there and back", {
            let pcm = &frame_8k;
            let mut back = Vec::new();
            Box::new(move || {
                b15.clear();
                back.clear();
                patchbay_voice::payload::encode(black_box(pcm), b15);
                black_box(patchbay_voice::payload::decode(b15, &mut back));
            })
        }),
    ];

    // The order goes round, so that none has the quiet moments to itself.
    let mut taken = vec![Vec::new(); works.len()];
    for round in 0..ROUNDS {
        for at in 0..works.len() {
            let at = (at + round) % works.len();
            taken[at].push(nanoseconds(&mut works[at].1));
        }
    }
    println!("{:52} {:>10} {:>10}", "", "median", "best");
    for ((name, _), mut taken) in works.iter().zip(taken) {
        taken.sort_by(f64::total_cmp);
        println!("{name:52} {:>7.0} ns {:>7.0} ns", taken[taken.len() / 2], taken[0]);
    }
}

/// Of one time, on the processor: others may be using it as well.
fn nanoseconds(work: &mut Work<'_>) -> f64 {
    let (mut times, begun, used) = (0u64, Instant::now(), on_processor());
    loop {
        for _ in 0..100 {
            work();
        }
        times += 100;
        let passed = begun.elapsed();
        if passed >= ROUND {
            let used = on_processor().zip(used).map(|(now, before)| now - before);
            return used.unwrap_or(passed.as_nanos() as u64) as f64 / times as f64;
        }
    }
}

/// Nanoseconds that this thread has run, where Linux says so.
fn on_processor() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}
