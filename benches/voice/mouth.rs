//! What speaks at either end: audio that is printed once, and a connection that is never waited for.

use std::{io::Write, net::TcpStream};

use patchbay_voice::{Law, audio::g711, payload};

use crate::{ends::Dialect, tone};

/// Of one that is not read: beyond it frames are let go.
const STUCK_BYTES: usize = 1 << 20;
pub(crate) const STREAM: &str = "3357459ca698d8c765bac10b0ec418bl";

/// The payloads of all numbers, printed once.
pub(crate) struct Voices {
    caller: Vec<Vec<u8>>,
    bot: Vec<Vec<u8>>,
}

impl Voices {
    pub(crate) fn new(dialect: Dialect) -> Self {
        let printed = |hz: u32, law: Law| {
            let one = |number| {
                let pcm = tone::frame(number, hz);
                let mut text = Vec::new();
                match law {
                    Law::Linear => payload::encode(&pcm, &mut text),
                    law => {
                        let mut coded = Vec::new();
                        g711::compress(law, &pcm, &mut coded);
                        payload::encode(&coded, &mut text);
                    }
                }
                text
            };
            (0..=255).map(one).collect()
        };
        let law = if dialect == Dialect::Twilio { Law::Mu } else { Law::Linear };
        Self { caller: printed(8000, Law::Linear), bot: printed(dialect.hz(), law) }
    }

    /// As Exotel sends it (as captured; exotel-voicebot §2).
    pub(crate) fn of_caller(&self, number: u64, out: &mut Vec<u8>) {
        let (chunk, sequence, ms) = (number + 1, number + 2, number * 20);
        let head = format!(
            "{{\"event\":\"media\",\"sequence_number\":\"{sequence}\",\"stream_sid\":\"{STREAM}\",\"media\":\
             {{\"chunk\":\"{chunk}\",\"timestamp\":\"{ms}\",\"payload\":\""
        );
        out.clear();
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&self.caller[number as usize % 256]);
        out.extend_from_slice(b"\"}}");
    }

    pub(crate) fn of_bot(&self, dialect: Dialect, number: u64, out: &mut Vec<u8>) {
        out.clear();
        let (head, tail): (&[u8], &[u8]) = match dialect {
            Dialect::Exotel => (
                br#"{"event":"media","stream_sid":"3357459ca698d8c765bac10b0ec418bl","media":{"payload":""#,
                br#""}}"#,
            ),
            Dialect::Twilio => (
                br#"{"event":"media","streamSid":"3357459ca698d8c765bac10b0ec418bl","media":{"payload":""#,
                br#""}}"#,
            ),
            Dialect::Openai => (
                br#"{"type":"response.output_audio.delta","event_id":"event_1","response_id":"resp_1","item_id":"item_1","output_index":0,"content_index":0,"delta":""#,
                br#""}"#,
            ),
        };
        out.extend_from_slice(head);
        out.extend_from_slice(&self.bot[number as usize % 256]);
        out.extend_from_slice(tail);
    }
}

/// One connection, as its end sends on it.
pub(crate) struct Mouth {
    pub(crate) stream: TcpStream,
    pub(crate) number: u64,
    pub(crate) unsent: Vec<u8>,
}

impl Mouth {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, number: 0, unsent: Vec::new() }
    }

    /// `false`: there is no room.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        if self.unsent.len() > STUCK_BYTES {
            self.flush();
            return false;
        }
        if self.unsent.is_empty() {
            let sent = written(&self.stream, bytes);
            self.unsent.extend_from_slice(&bytes[sent..]);
        } else {
            self.unsent.extend_from_slice(bytes);
            self.flush();
        }
        true
    }

    pub(crate) fn flush(&mut self) {
        let sent = written(&self.stream, &self.unsent);
        self.unsent.drain(..sent);
    }
}

/// How much of it goes out at once. A connection that is gone is found by who reads it.
fn written(mut stream: &TcpStream, bytes: &[u8]) -> usize {
    stream.write(bytes).unwrap_or(0)
}
