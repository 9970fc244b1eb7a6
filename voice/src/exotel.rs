//! Printing what Exotel is told: three kinds of frame, in the one writing that every known peer of Exotel uses (S1, D1).

use crate::{
    audio::{Law, Rate, g711},
    json, payload,
};

/// How a stream's frames are printed.
#[derive(Debug, Clone, Default)]
pub struct Style {
    /// As `start` named it; a frame without one is taken as well (PC).
    pub stream_sid: Option<String>,
    pub law: Law,
    pub rate: Rate,
    /// `sequence_number`, `chunk` and `timestamp`, which most peers leave out, and one says are wanted (AS media.py).
    pub numbered: bool,
}

/// Prints frames into a buffer that is used again and again: its content is replaced, and what it holds afterwards is
/// one frame, valid UTF-8.
#[derive(Debug, Clone)]
pub struct Writer {
    law: Law,
    rate: Rate,
    numbered: bool,
    /// What follows the event in every frame: nothing, or the stream.
    stream: Vec<u8>,
    sequence: u64,
    chunk: u64,
    /// Of PCM, sent so far.
    sent_bytes: u64,
    coded: Vec<u8>,
}

impl Writer {
    pub fn new(style: &Style) -> Self {
        let mut stream = Vec::new();
        if let Some(sid) = &style.stream_sid {
            stream.extend_from_slice(b",\"stream_sid\":");
            json::string(sid, &mut stream);
        }
        let Style { law, rate, numbered, .. } = *style;
        Self { law, rate, numbered, stream, sequence: 0, chunk: 0, sent_bytes: 0, coded: Vec::new() }
    }

    /// Audio, given as PCM16 at the stream's rate.
    pub fn media(&mut self, pcm: &[u8], out: &mut Vec<u8>) {
        self.head("media", out);
        out.extend_from_slice(b",\"media\":{");
        if self.numbered {
            self.chunk += 1;
            out.extend_from_slice(b"\"chunk\":");
            json::number(self.chunk, out);
            out.extend_from_slice(b",\"timestamp\":");
            json::number(self.sent_bytes * 1000 / self.rate.bytes_per_second(), out);
            out.push(b',');
        }
        out.extend_from_slice(b"\"payload\":\"");
        match self.law {
            Law::Linear => payload::encode(pcm, out),
            law => {
                self.coded.clear();
                g711::compress(law, pcm, &mut self.coded);
                payload::encode(&self.coded, out);
            }
        }
        out.extend_from_slice(b"\"}}");
        self.sent_bytes += pcm.len() as u64;
    }

    /// A mark, which comes back when what was sent before it has been played.
    pub fn mark(&mut self, name: &str, out: &mut Vec<u8>) {
        self.head("mark", out);
        out.extend_from_slice(b",\"mark\":{\"name\":");
        json::string(name, out);
        out.extend_from_slice(b"}}");
    }

    /// Drops what was sent and is not being played yet. It has no number (S1).
    pub fn clear(&mut self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(b"{\"event\":\"clear\"");
        out.extend_from_slice(&self.stream);
        out.push(b'}');
    }

    fn head(&mut self, event: &str, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(b"{\"event\":\"");
        out.extend_from_slice(event.as_bytes());
        out.push(b'"');
        if self.numbered {
            self.sequence += 1;
            out.extend_from_slice(b",\"sequence_number\":");
            json::number(self.sequence, out);
        }
        out.extend_from_slice(&self.stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(print: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"what was there before".to_vec();
        print(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn frames_are_printed_as_documented() {
        let mut writer = Writer::new(&Style { stream_sid: Some("MZ1".into()), ..Style::default() });
        let media = printed(|out| writer.media(&[1, 2, 3, 4], out));
        assert_eq!(media, r#"{"event":"media","stream_sid":"MZ1","media":{"payload":"AQIDBA=="}}"#);
        let mark = printed(|out| writer.mark("turn-3 \"end\"", out));
        assert_eq!(mark, r#"{"event":"mark","stream_sid":"MZ1","mark":{"name":"turn-3 \"end\""}}"#);
        assert_eq!(printed(|out| writer.clear(out)), r#"{"event":"clear","stream_sid":"MZ1"}"#);
    }

    #[test]
    fn numbers_are_strings_where_they_are_wanted() {
        let mut writer = Writer::new(&Style { numbered: true, ..Style::default() });
        printed(|out| writer.media(&[0; 1600], out));
        let media = printed(|out| writer.media(&[0; 3], out));
        let wanted =
            r#"{"event":"media","sequence_number":"2","media":{"chunk":"2","timestamp":"100","payload":"AAAA"}}"#;
        assert_eq!(media, wanted);
        let mark = printed(|out| writer.mark("m", out));
        assert_eq!(mark, r#"{"event":"mark","sequence_number":"3","mark":{"name":"m"}}"#);
        assert_eq!(printed(|out| writer.clear(out)), r#"{"event":"clear"}"#);
    }

    #[test]
    fn a_stream_of_g711_is_answered_in_it() {
        let mut writer = Writer::new(&Style { law: Law::Mu, ..Style::default() });
        let media = printed(|out| writer.media(&[0; 320], out));
        assert!(media.contains(&"/".repeat(212)), "160 bytes of 0xff: {media}");
    }

    #[test]
    fn no_frame_costs_memory() {
        let mut writer = Writer::new(&Style { stream_sid: Some("s".repeat(32)), ..Style::default() });
        let mut out = Vec::new();
        writer.media(&[0; 1600], &mut out);
        let (place, capacity) = (out.as_ptr(), out.capacity());
        for _ in 0..100 {
            writer.media(&[7; 1600], &mut out);
            writer.mark("m", &mut out);
            writer.clear(&mut out);
        }
        assert_eq!((out.as_ptr(), out.capacity()), (place, capacity));
    }
}
