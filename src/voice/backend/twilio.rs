//! A server that speaks Twilio Media Streams: to it we are Twilio, so that an agent written for Twilio takes calls of
//! Exotel unchanged.

use std::task::{Context, Poll};

use bytestring::ByteString;
use patchbay_voice::{Frame, Limits, Rate, Reader, audio::Resampler, twilio};

use super::{
    Backend, Brief, Call, Form, Heard, Message, Says, Wants,
    socket::{Came, Socket},
};

pub(super) struct Twilio {
    socket: Socket,
    reader: Reader,
    writer: twilio::Writer,
    /// Twilio has 8 kHz and nothing else.
    down: Resampler,
    up: Resampler,
    pcm: Vec<u8>,
    resampled: Vec<u8>,
    printed: Vec<u8>,
    stream_sid: String,
    call_sid: String,
    account_sid: String,
    begun: bool,
    stopped: bool,
}

impl Twilio {
    pub(super) fn new(socket: Socket, call: &Call) -> Self {
        let stream_sid = call.stream_sid.as_ref().unwrap_or(&call.call_sid).clone();
        Self {
            socket,
            reader: Reader::twilio(Limits::DEFAULT),
            writer: twilio::Writer::new(&stream_sid),
            down: Resampler::new(call.rate, Rate::Hz8000),
            up: Resampler::new(Rate::Hz8000, call.rate),
            pcm: Vec::new(),
            resampled: Vec::new(),
            printed: Vec::new(),
            stream_sid,
            call_sid: call.call_sid.clone(),
            account_sid: call.account.clone(),
            begun: false,
            stopped: false,
        }
    }

    fn send_printed(&mut self) {
        let text = String::from_utf8_lossy(&self.printed).into_owned();
        self.socket.send(Message::Text(ByteString::from(text)));
    }

    /// What a frame wants, if anything.
    fn read(&mut self, frame: &Message) -> Option<Says> {
        self.pcm.clear();
        match self.reader.read(frame.bytes(), &mut self.pcm) {
            Ok(Frame::Media(_)) => {
                let Self { up, pcm, resampled, .. } = self;
                resampled.clear();
                Some(Says::Audio(up.run(pcm, resampled).to_vec()))
            }
            Ok(Frame::Mark { name }) => Some(Says::Mark(name)),
            Ok(Frame::Clear) => {
                // What the filter still has of the old is not wanted either.
                self.up.reset();
                Some(Says::Clear)
            }
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(%error, "a frame of a bot's server cannot be read");
                None
            }
        }
    }
}

impl Backend for Twilio {
    fn form(&self) -> Form {
        Form::Audio
    }

    /// Twilio names neither party in `start`, nor who they are: agents expect that among its parameters.
    fn begin(&mut self, brief: Brief) {
        self.writer.connected(&mut self.printed);
        self.send_printed();
        let variables = brief.variables();
        let parameters: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let Self { writer, printed, stream_sid, call_sid, account_sid, .. } = self;
        let told = twilio::Call { stream_sid, call_sid, account_sid, parameters: &parameters };
        writer.start(&told, printed);
        self.send_printed();
        self.begun = true;
    }

    fn takes(&self) -> bool {
        self.begun && self.socket.has_room()
    }

    fn hear(&mut self, heard: Heard<'_>) {
        match heard {
            Heard::Audio(pcm) => {
                let Self { down, writer, resampled, printed, .. } = self;
                resampled.clear();
                writer.media(down.run(pcm, resampled), printed);
            }
            Heard::Dtmf(key) => self.writer.dtmf(&key.digit, &mut self.printed),
            Heard::Mark(name) => self.writer.mark(name, &mut self.printed),
            Heard::Cleared { .. } | Heard::Answered(_) => return,
        }
        self.send_printed();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Wants> {
        loop {
            return Poll::Ready(match std::task::ready!(self.socket.poll(cx)) {
                Came::Room => Wants::More,
                Came::Frame(frame) => match self.read(&frame) {
                    Some(says) => says.into(),
                    None => continue,
                },
                Came::Closed => Says::Done.into(),
                Came::Failed(failure) => Says::Failed(failure.why).into(),
            });
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.begun && !std::mem::replace(&mut self.stopped, true) {
            let Self { writer, printed, stream_sid, call_sid, account_sid, .. } = self;
            let told = twilio::Call { stream_sid, call_sid, account_sid, parameters: &[] };
            writer.stop(&told, printed);
            self.send_printed();
        }
        self.socket.poll_close(cx)
    }
}
