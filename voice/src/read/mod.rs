//! Reading frames of either dialect: as tolerant as peers are careless, with bounds on what one frame may cost.

mod lenient;
mod scan;

use thiserror::Error;

use crate::{
    audio::{Law, g711},
    frame::{Frame, Media},
    payload,
};

/// What one frame may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of a whole frame. Exotel takes no more than 100 kB from us (S1) and sends about 600 bytes at a time (RT).
    pub frame_bytes: usize,
    /// Of any text that is kept; what is longer is cut.
    pub text_bytes: usize,
    /// Of custom parameters, of which Exotel takes three (S1).
    pub parameters: usize,
}

impl Limits {
    pub const DEFAULT: Self = Self { frame_bytes: 256 * 1024, text_bytes: 1024, parameters: 32 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A frame that says nothing. It holds none of the frame's text, so it can be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unreadable {
    #[error("the frame is larger than the limit")]
    TooLarge,
    #[error("the frame is no JSON object")]
    NotJson,
    #[error("the frame names no event")]
    NoEvent,
    #[error("the media frame has no payload")]
    NoPayload,
    #[error("the payload is not base64")]
    NotBase64,
    #[error("the DTMF frame has no digit")]
    NoDigit,
    #[error("the mark has no name")]
    NoName,
}

/// Whether a frame is plainly audio, for whoever only passes it on. `false` says nothing: read it.
pub fn is_media(frame: &[u8]) -> bool {
    scan::media(frame).is_some()
}

/// Reads one direction of one stream. Audio comes out as PCM16, little-endian, in whole samples.
#[derive(Debug, Clone)]
pub struct Reader {
    limits: Limits,
    /// What the audio is where `start` does not say, or there is none.
    unsaid: Law,
    law: Law,
    /// A sample's first byte, when a frame ended in the middle of it.
    odd: Option<u8>,
    coded: Vec<u8>,
}

impl Reader {
    /// Of what Exotel sends.
    pub fn exotel(limits: Limits) -> Self {
        Self::new(limits, Law::Linear)
    }

    /// Of what a server that speaks Twilio Media Streams sends; it never says `start`.
    pub fn twilio(limits: Limits) -> Self {
        Self::new(limits, Law::Mu)
    }

    fn new(limits: Limits, unsaid: Law) -> Self {
        Self { limits, unsaid, law: unsaid, odd: None, coded: Vec::new() }
    }

    /// Reads a frame, text or binary: some stacks hand text over as bytes (RT). Audio is appended to `pcm`, which is
    /// left alone by every other frame and by an error.
    pub fn read(&mut self, frame: &[u8], pcm: &mut Vec<u8>) -> Result<Frame, Unreadable> {
        if frame.len() > self.limits.frame_bytes {
            return Err(Unreadable::TooLarge);
        }
        if let Some(scanned) = scan::media(frame)
            && let Some(pcm_bytes) = self.audio(scanned.payload, pcm, payload::decode_plain)
        {
            let scan::Scanned { sequence, chunk, timestamp_ms, .. } = scanned;
            return Ok(Frame::Media(Media { sequence, chunk, timestamp_ms, pcm_bytes }));
        }
        self.read_patiently(frame, pcm)
    }

    /// The same without the quick way: for tests and measurements that compare the two.
    #[doc(hidden)]
    pub fn read_patiently(&mut self, frame: &[u8], pcm: &mut Vec<u8>) -> Result<Frame, Unreadable> {
        if frame.len() > self.limits.frame_bytes {
            return Err(Unreadable::TooLarge);
        }
        let (mut frame, payload) = lenient::frame(frame, &self.limits, self.unsaid)?;
        match (&mut frame, payload) {
            (Frame::Media(media), Some(payload)) => {
                let bytes = self.audio(payload.as_bytes(), pcm, payload::decode);
                media.pcm_bytes = bytes.ok_or(Unreadable::NotBase64)?;
            }
            // A new stream: what was left over belongs to another.
            (Frame::Start(start), _) => {
                self.law = start.law;
                self.odd = None;
            }
            _ => {}
        }
        Ok(frame)
    }

    /// Appends a payload's audio; how much, or `None` if `decode` does not read it.
    fn audio(
        &mut self,
        payload: &[u8],
        pcm: &mut Vec<u8>,
        decode: impl Fn(&[u8], &mut Vec<u8>) -> bool,
    ) -> Option<usize> {
        let before = pcm.len();
        if self.law != Law::Linear {
            self.coded.clear();
            if !decode(payload, &mut self.coded) {
                return None;
            }
            g711::expand(self.law, &self.coded, pcm);
            return Some(pcm.len() - before);
        }
        pcm.extend(self.odd);
        if !decode(payload, pcm) {
            pcm.truncate(before);
            return None;
        }
        let uneven = (pcm.len() - before) % 2 == 1;
        self.odd = if uneven { pcm.pop() } else { None };
        Some(pcm.len() - before)
    }
}

#[cfg(test)]
mod tests;
