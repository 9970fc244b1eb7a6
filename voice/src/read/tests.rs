//! Frames as they were captured and as documents have them, in both spellings: read alike, and bounded.

use super::*;
use crate::{Dtmf, Rate, Start, Stop};

fn exotel() -> Reader {
    Reader::exotel(Limits::DEFAULT)
}

fn frame(text: &str) -> Frame {
    exotel().read(text.as_bytes(), &mut Vec::new()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn start(text: &str) -> Start {
    match frame(text) {
        Frame::Start(start) => *start,
        other => panic!("{other:?}"),
    }
}

#[test]
fn simple_frames_are_read() {
    assert_eq!(frame(r#"{ "event": "connected" }"#), Frame::Connected);
    assert_eq!(frame(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#), Frame::Connected);
    assert_eq!(frame(r#"{"event":"clear","stream_sid":"s"}"#), Frame::Clear);
    assert_eq!(frame(r#"{"event":"mark","mark":{"name":"a \"b\""}}"#), Frame::Mark { name: "a \"b\"".into() });
    assert_eq!(frame(r#"{"event":"silence","x":[1]}"#), Frame::Unknown { event: "silence".into() });
    let stop = Stop { call_sid: Some("c".into()), account_sid: None, reason: Some("callended".into()) };
    assert_eq!(frame(r#"{"event":"stop","stop":{"call_sid":"c","reason":"callended"}}"#), Frame::Stop(stop));
    assert_eq!(frame(r#"{"event":"stop"}"#), Frame::Stop(Stop::default()));
}

#[test]
fn digits_are_read_nested_and_flat_strings_and_numbers() {
    let five = |duration_ms| Frame::Dtmf(Dtmf { digit: "5".into(), duration_ms });
    assert_eq!(frame(r#"{"event":"dtmf","dtmf":{"digit":"5","duration":"100"}}"#), five(Some(100)));
    assert_eq!(frame(r#"{"event":"dtmf","dtmf":{"digit":5,"duration":100}}"#), five(Some(100)));
    assert_eq!(frame(r#"{"event":"dtmf","digit":"5"}"#), five(None));
    assert_eq!(frame(r#"{"event":"dtmf","streamSid":"s","dtmf":{"track":"inbound_track","digit":"5"}}"#), five(None));
}

#[test]
fn what_start_leaves_out_is_not_made_up() {
    assert_eq!(start(r#"{"event":"start"}"#), Start::default());
    assert_eq!(start(r#"{"event":"start","start":null,"stream_sid":null}"#), Start::default());
    let start = start(r#"{"event":"start","streamSid":"beside","start":{"callSid":7,"media_format":"?"}}"#);
    assert_eq!((start.stream_sid.as_deref(), start.call_sid.as_deref()), (Some("beside"), Some("7")));
}

#[test]
fn the_rate_is_the_one_said_in_start() {
    let rate =
        |said: &str| start(&format!(r#"{{"event":"start","start":{{"media_format":{{"sample_rate":{said}}}}}}}"#));
    assert_eq!(rate("\"16000\"").rate, Rate::Hz16000);
    assert_eq!(rate("24000").rate, Rate::Hz24000);
    assert_eq!(rate("\"16000 Hz\"").rate, Rate::Hz16000);
    assert_eq!(rate("\"44100\"").rate, Rate::Hz8000);
    assert_eq!(rate("\"44100\"").said_rate.as_deref(), Some("44100"));
    assert_eq!(rate("null").rate, Rate::Hz8000);
}

#[test]
fn escaped_parameters_are_unescaped() {
    let start = start(
        r#"{"event":"start","start":{"custom_parameters":{"{&quot;lead&quot;:42}":"","a&amp;b":"x &lt; y","n":7,"z":null}}}"#,
    );
    let wanted = [("a&b", "x < y"), ("n", "7"), ("z", ""), ("{\"lead\":42}", "")];
    let found: Vec<_> = start.custom_parameters.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(found, wanted);
}

#[test]
fn what_a_placed_call_carries_is_read_wherever_it_stands() {
    for text in [
        r#"{"event":"start","start":{"call_sid":"c1","customField":"bot:sales"}}"#,
        r#"{"event":"start","custom_field":"bot:sales","start":{"call_sid":"c1","custom_parameters":{}}}"#,
        r#"{"event":"start","start":{"CustomField":"bot:sales"}}"#,
    ] {
        assert_eq!(start(text).custom_field.as_deref(), Some("bot:sales"), "{text}");
    }
    assert_eq!(start(r#"{"event":"start","start":{"call_sid":"c1"}}"#).custom_field, None);
}

#[test]
fn audio_is_read_however_it_is_written() {
    for text in [
        r#"{"event":"media","sequence_number":"3","stream_sid":"s","media":{"chunk":"2","timestamp":"20","payload":"AQIDBA=="}}"#,
        r#"{"event": "media", "sequence_number": 3, "media": {"payload": "AQIDBA==", "chunk": 2, "timestamp": 20}}"#,
        r#"{"media":{"payload":"AQIDBA","chunk":"2","timestamp":"20"},"sequenceNumber":"3","event":"media"}"#,
        r#"{"event":"media","sequence_number":"3","media":{"chunk":" 2","timestamp":"20","payload":"AQID\nBA=="}}"#,
        r#"{"event":"media","sequence_number":"3","media":{"chunk":2,"timestamp":20,"payload":"AQIDBA==","new":[]}}"#,
        r#"{"event":"media","sequenceNumber":"3","media":{"track":"inbound","chunk":"2","timestamp":"20","payload":"AQIDBA=="},"streamSid":"s"}"#,
    ] {
        let mut pcm = vec![9];
        let media = Media { sequence: Some(3), chunk: Some(2), timestamp_ms: Some(20), pcm_bytes: 4 };
        assert_eq!(exotel().read(text.as_bytes(), &mut pcm), Ok(Frame::Media(media)), "{text}");
        assert_eq!(pcm, [9, 1, 2, 3, 4], "{text}");
    }
}

#[test]
fn slashes_may_be_escaped() {
    let mut pcm = Vec::new();
    let mut reader = exotel();
    reader.read(br#"{"event":"media","media":{"payload":"\/\/\/\/"}}"#, &mut pcm).expect("audio");
    reader.read(br#"{"event":"media","payload":"__--"}"#, &mut pcm).expect("audio");
    assert_eq!(pcm, [0xff, 0xff, 0xff, 0xff, 0xff, 0xbe]);
}

#[test]
fn half_a_sample_waits_for_its_other_half() {
    let mut reader = exotel();
    let mut pcm = Vec::new();
    for payload in ["AQID", "", "BA==", "BQ=="] {
        let text = format!(r#"{{"event":"media","media":{{"payload":"{payload}"}}}}"#);
        reader.read(text.as_bytes(), &mut pcm).expect("audio");
    }
    assert_eq!(pcm, [1, 2, 3, 4], "the fifth byte waits");
    let broken = reader.read(br#"{"event":"media","media":{"payload":"*"}}"#, &mut pcm);
    assert_eq!((broken, pcm.len()), (Err(Unreadable::NotBase64), 4));
    reader.read(br#"{"event":"media","media":{"payload":"Bg=="}}"#, &mut pcm).expect("audio");
    assert_eq!(pcm, [1, 2, 3, 4, 5, 6], "a broken frame loses only itself");
    reader.read(br#"{"event":"media","media":{"payload":"Bw=="}}"#, &mut pcm).expect("audio");
    reader.read(br#"{"event":"start"}"#, &mut pcm).expect("start");
    reader.read(br#"{"event":"media","media":{"payload":"AQI="}}"#, &mut pcm).expect("audio");
    assert_eq!(pcm[6..], [1, 2], "another stream is another stream's");
}

#[test]
fn a_stream_that_says_g711_is_expanded() {
    let mut reader = exotel();
    let mut pcm = Vec::new();
    let start = br#"{"event":"start","start":{"media_format":{"encoding":"audio/x-mulaw;rate=8000"}}}"#;
    reader.read(start, &mut pcm).expect("start");
    reader.read(br#"{"event":"media","media":{"payload":"/wA="}}"#, &mut pcm).expect("audio");
    assert_eq!(pcm, [0, 0, 0x84, 0x82], "0 and -32124");
    let mut of_agent = Vec::new();
    let agent = &mut Reader::twilio(Limits::DEFAULT);
    agent.read(br#"{"event":"media","streamSid":"s","media":{"payload":"/wA="}}"#, &mut of_agent).expect("audio");
    assert_eq!(of_agent, pcm);
}

#[test]
fn what_says_nothing_is_an_error_and_no_more() {
    for (text, error) in [
        ("", Unreadable::NotJson),
        ("[]", Unreadable::NotJson),
        ("{\"event\":\"media\"", Unreadable::NotJson),
        ("{}", Unreadable::NoEvent),
        (r#"{"event":7}"#, Unreadable::NoEvent),
        (r#"{"event":"media"}"#, Unreadable::NoPayload),
        (r#"{"event":"media","media":{"payload":7}}"#, Unreadable::NoPayload),
        (r#"{"event":"media","media":{"payload":"ä"}}"#, Unreadable::NotBase64),
        (r#"{"event":"dtmf"}"#, Unreadable::NoDigit),
        (r#"{"event":"mark","mark":{}}"#, Unreadable::NoName),
    ] {
        let mut pcm = vec![1];
        assert_eq!(exotel().read(text.as_bytes(), &mut pcm), Err(error), "{text}");
        assert_eq!(pcm, [1]);
    }
    assert_eq!(exotel().read(&[0xff, 0xfe], &mut Vec::new()), Err(Unreadable::NotJson));
    let deep = "[".repeat(100_000);
    assert_eq!(exotel().read(deep.as_bytes(), &mut Vec::new()), Err(Unreadable::NotJson));
}

#[test]
fn a_frame_costs_no_more_than_its_limits() {
    let limits = Limits { frame_bytes: 400, text_bytes: 10, parameters: 2 };
    let mut reader = Reader::exotel(limits);
    let long = format!(r#"{{"event":"{}"}}"#, "x".repeat(400));
    assert_eq!(reader.read(long.as_bytes(), &mut Vec::new()), Err(Unreadable::TooLarge));
    let long = format!(r#"{{"event":"{}"}}"#, "x".repeat(300));
    assert_eq!(reader.read(long.as_bytes(), &mut Vec::new()), Ok(Frame::Unknown { event: "x".repeat(10) }));
    let start = br#"{"event":"start","start":{"call_sid":"0123456789abc","custom_parameters":{"a":"0123456789abc","b":"","c":""}}}"#;
    let Ok(Frame::Start(start)) = reader.read(start, &mut Vec::new()) else { panic!("no start") };
    assert_eq!(start.call_sid.as_deref(), Some("0123456789"));
    assert_eq!(start.custom_parameters.len(), 2);
    assert_eq!(start.custom_parameters["a"], "0123456789");
}

#[test]
fn debug_shows_nothing_of_the_caller() {
    let text = r#"{"event":"start","start":{"call_sid":"c1","from":"+919876543210","to":"08047491899","custom_parameters":{"secret-key":"secret-value"}}}"#;
    let shown = format!("{:?} {:?}", frame(text), frame(r#"{"event":"dtmf","digit":"7"}"#));
    assert!(shown.contains("c1"), "{shown}");
    for hidden in ["9876543210", "8047491899", "secret", "7\""] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
}

#[test]
fn plain_audio_is_known_without_reading_it() {
    assert!(is_media(br#"{"event":"media","stream_sid":"s","media":{"payload":"AQIDBA=="}}"#));
    for other in [
        r#"{"event":"start","media":{"payload":"AQIDBA=="}}"#,
        r#"{"event":"media","event":"stop","media":{"payload":""}}"#,
        r#"{"event":"media","media":{"payload":"AQIDBA=="}} x"#,
        r#"{"event":"media","media":{}}"#,
        r#"{"event":"media","media":{"chunk":01,"payload":""}}"#,
    ] {
        assert!(!is_media(other.as_bytes()), "{other}");
    }
}
