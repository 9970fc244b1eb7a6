//! Printing Twilio's side of Media Streams: the bridge plays Twilio for a server that speaks it, so that agents written
//! for Twilio take calls of Exotel unchanged.

use crate::{
    audio::{Law, Rate, g711},
    json, payload,
};

/// What is told about a call at its start.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub stream_sid: &'a str,
    pub call_sid: &'a str,
    pub account_sid: &'a str,
    /// Twilio names neither party in `start`: agents expect them here (fonoster).
    pub parameters: &'a [(&'a str, &'a str)],
}

impl std::fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Parameters hold the caller's number.
        f.debug_struct("Call").field("stream_sid", &self.stream_sid).field("call_sid", &self.call_sid).finish()
    }
}

/// Prints frames into a buffer whose content is replaced; each is valid UTF-8. Always G.711 µ-law at 8 kHz: Twilio has
/// nothing else.
#[derive(Debug, Clone)]
pub struct Writer {
    /// `,"streamSid":"…"}`: how every frame of a stream ends.
    tail: Vec<u8>,
    sequence: u64,
    chunk: u64,
    /// Of PCM, sent so far.
    sent_bytes: u64,
    coded: Vec<u8>,
}

impl Writer {
    pub fn new(stream_sid: &str) -> Self {
        let mut tail = b",\"streamSid\":".to_vec();
        json::string(stream_sid, &mut tail);
        tail.push(b'}');
        Self { tail, sequence: 0, chunk: 0, sent_bytes: 0, coded: Vec::new() }
    }

    pub fn connected(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(br#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
    }

    pub fn start(&mut self, call: &Call<'_>, out: &mut Vec<u8>) {
        self.head("start", out);
        out.extend_from_slice(b",\"start\":{\"accountSid\":");
        json::string(call.account_sid, out);
        out.extend_from_slice(b",\"streamSid\":");
        json::string(call.stream_sid, out);
        out.extend_from_slice(b",\"callSid\":");
        json::string(call.call_sid, out);
        out.extend_from_slice(
            br#","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"#,
        );
        out.extend_from_slice(b"\"customParameters\":{");
        for (at, (key, value)) in call.parameters.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            json::string(key, out);
            out.push(b':');
            json::string(value, out);
        }
        out.extend_from_slice(b"}}");
        out.extend_from_slice(&self.tail);
    }

    /// The caller's audio, given as PCM16 at 8 kHz.
    pub fn media(&mut self, pcm: &[u8], out: &mut Vec<u8>) {
        self.head("media", out);
        self.chunk += 1;
        out.extend_from_slice(b",\"media\":{\"track\":\"inbound\",\"chunk\":");
        json::number(self.chunk, out);
        out.extend_from_slice(b",\"timestamp\":");
        json::number(self.sent_bytes * 1000 / Rate::Hz8000.bytes_per_second(), out);
        out.extend_from_slice(b",\"payload\":\"");
        self.coded.clear();
        g711::compress(Law::Mu, pcm, &mut self.coded);
        payload::encode(&self.coded, out);
        out.extend_from_slice(b"\"}");
        out.extend_from_slice(&self.tail);
        self.sent_bytes += pcm.len() as u64;
    }

    pub fn dtmf(&mut self, digit: &str, out: &mut Vec<u8>) {
        self.head("dtmf", out);
        out.extend_from_slice(b",\"dtmf\":{\"track\":\"inbound_track\",\"digit\":");
        json::string(digit, out);
        out.push(b'}');
        out.extend_from_slice(&self.tail);
    }

    /// The echo of a mark of the agent's: played, or dropped by its `clear`.
    pub fn mark(&mut self, name: &str, out: &mut Vec<u8>) {
        self.head("mark", out);
        out.extend_from_slice(b",\"mark\":{\"name\":");
        json::string(name, out);
        out.push(b'}');
        out.extend_from_slice(&self.tail);
    }

    pub fn stop(&mut self, call: &Call<'_>, out: &mut Vec<u8>) {
        self.head("stop", out);
        out.extend_from_slice(b",\"stop\":{\"accountSid\":");
        json::string(call.account_sid, out);
        out.extend_from_slice(b",\"callSid\":");
        json::string(call.call_sid, out);
        out.push(b'}');
        out.extend_from_slice(&self.tail);
    }

    fn head(&mut self, event: &str, out: &mut Vec<u8>) {
        self.sequence += 1;
        out.clear();
        out.extend_from_slice(b"{\"event\":\"");
        out.extend_from_slice(event.as_bytes());
        out.extend_from_slice(b"\",\"sequenceNumber\":");
        json::number(self.sequence, out);
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

    /// As twilio.com/docs/voice/media-streams/websocket-messages shows them.
    #[test]
    fn a_call_is_printed_as_twilio_prints_it() {
        let call = Call { stream_sid: "MZ1", call_sid: "CA1", account_sid: "AC1", parameters: &[("from", "0XXX")] };
        let mut writer = Writer::new("MZ1");
        let connected = printed(|out| writer.connected(out));
        assert_eq!(connected, r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
        let start = printed(|out| writer.start(&call, out));
        let wanted = concat!(
            r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1","streamSid":"MZ1","callSid":"CA1","#,
            r#""tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"#,
            r#""customParameters":{"from":"0XXX"}},"streamSid":"MZ1"}"#
        );
        assert_eq!(start, wanted);
        printed(|out| writer.media(&[0; 320], out));
        let media = printed(|out| writer.media(&[0, 0, 0, 0, 0, 0], out));
        let wanted = concat!(
            r#"{"event":"media","sequenceNumber":"3","media":{"track":"inbound","chunk":"2","timestamp":"20","#,
            r#""payload":"////"},"streamSid":"MZ1"}"#
        );
        assert_eq!(media, wanted);
        let dtmf = printed(|out| writer.dtmf("5", out));
        let wanted =
            r#"{"event":"dtmf","sequenceNumber":"4","dtmf":{"track":"inbound_track","digit":"5"},"streamSid":"MZ1"}"#;
        assert_eq!(dtmf, wanted);
        let mark = printed(|out| writer.mark("my label", out));
        assert_eq!(mark, r#"{"event":"mark","sequenceNumber":"5","mark":{"name":"my label"},"streamSid":"MZ1"}"#);
        let stop = printed(|out| writer.stop(&call, out));
        let wanted =
            r#"{"event":"stop","sequenceNumber":"6","stop":{"accountSid":"AC1","callSid":"CA1"},"streamSid":"MZ1"}"#;
        assert_eq!(stop, wanted);
    }
}
