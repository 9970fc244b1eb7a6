//! A websocket, at either end of it, for thousands at once: what comes is read into one buffer per thread, and a
//! connection keeps only what is not whole yet. A buffer of its own, of which each frame is cut, costs it kilobytes. Its
//! words and errors are tungstenite's.

use std::{
    cell::RefCell,
    io::{self, Cursor},
    mem,
    pin::Pin,
    str,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_tungstenite::tungstenite::{
    Message, Utf8Bytes,
    error::{CapacityError, Error, ProtocolError},
    handshake::{
        client::{Request, Response, generate_request},
        derive_accept_key,
        machine::TryParse,
    },
    protocol::{
        CloseFrame, Role,
        frame::{
            FrameHeader,
            coding::{CloseCode, Control, Data, OpCode},
        },
    },
};

/// What is read at once, for all connections of a thread.
const READ_BYTES: usize = 16 * 1024;
/// What may wait to go out before more is taken.
const FULL_BYTES: usize = 8 * 1024;
/// Answers to pings that nobody reads are not made beyond it.
const STUCK_BYTES: usize = 64 * 1024;
/// Of a control frame (RFC 6455 §5.5).
const CONTROL_BYTES: u64 = 125;
/// Of the answer to a handshake.
const HEAD_BYTES: usize = 16 * 1024;
/// Masks that are made at once.
const MASKS: usize = 256;

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
    static RANDOM: RefCell<Vec<[u8; 4]>> = const { RefCell::new(Vec::new()) };
}

pub(super) struct WebSocket<S> {
    stream: S,
    role: Role,
    /// Of a message's bytes.
    limit: usize,
    /// What was read and not looked at yet; up to `seen` it was.
    rest: Vec<u8>,
    seen: usize,
    /// A message whose end has not come.
    pieces: Option<(Data, Vec<u8>)>,
    unsent: Vec<u8>,
    close_sent: bool,
    close_came: bool,
    /// Nothing comes any more.
    ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Of a connection whose handshake is over, and what was read of it already.
    pub(super) fn new(stream: S, role: Role, limit: usize, early: Vec<u8>) -> Self {
        Self {
            stream,
            role,
            limit,
            rest: early,
            seen: 0,
            pieces: None,
            unsent: Vec::new(),
            close_sent: false,
            close_came: false,
            ended: false,
        }
    }

    /// As a client.
    ///
    /// # Errors
    /// What the server does not keep to, or that it answers otherwise.
    pub(super) async fn connect(mut stream: S, request: Request, limit: usize) -> Result<Self, Error> {
        let (head, key) = generate_request(request)?;
        stream.write_all(&head).await?;
        stream.flush().await?;
        let mut read = Vec::new();
        loop {
            if let Some((bytes, answer)) = Response::try_parse(&read)? {
                accepted(answer, &key)?;
                return Ok(Self::new(stream, Role::Client, limit, read.split_off(bytes)));
            }
            if read.len() > HEAD_BYTES || stream.read_buf(&mut read).await? == 0 {
                return Err(Error::Protocol(ProtocolError::HandshakeIncomplete));
            }
        }
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut sent = 0;
        let all = loop {
            if sent == self.unsent.len() {
                break Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.stream).poll_write(cx, &self.unsent[sent..]) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(bytes)) => sent += bytes,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        match sent == self.unsent.len() {
            // What was used last is what the processor still has: the next connection takes it.
            true => self.unsent = Vec::new(),
            false => drop(self.unsent.drain(..sent)),
        }
        ready!(all)?;
        Pin::new(&mut self.stream).poll_flush(cx).map_err(Error::Io)
    }

    fn put(&mut self, opcode: OpCode, payload: &[u8]) {
        let mask = (self.role == Role::Client).then(mask);
        let header = FrameHeader { opcode, mask, ..FrameHeader::default() };
        let long = payload.len() as u64;
        self.unsent.reserve(header.len(long) + payload.len());
        // Writing into a Vec does not fail.
        let _ = header.format(long, &mut self.unsent);
        let from = self.unsent.len();
        self.unsent.extend_from_slice(payload);
        if let Some(mask) = mask {
            apply(mask, &mut self.unsent[from..]);
        }
    }

    fn put_close(&mut self, said: Option<&CloseFrame>) {
        if mem::replace(&mut self.close_sent, true) {
            return;
        }
        let mut payload = Vec::new();
        if let Some(CloseFrame { code, reason }) = said {
            payload.extend_from_slice(&u16::from(*code).to_be_bytes());
            // As many whole characters as there is room for.
            let mut most = reason.len().min(CONTROL_BYTES as usize - 2);
            while !reason.is_char_boundary(most) {
                most -= 1;
            }
            payload.extend_from_slice(&reason.as_bytes()[..most]);
        }
        self.put(OpCode::Control(Control::Close), &payload);
    }

    /// The first frame of what was read: how much of it that was, and the message that it makes. `None`: it is not there
    /// as a whole.
    fn frame(&mut self, read: &mut [u8]) -> Result<Option<(usize, Option<Message>)>, Error> {
        let mut cursor = Cursor::new(&*read);
        let Some((header, long)) = FrameHeader::parse(&mut cursor)? else { return Ok(None) };
        let head = cursor.position() as usize;
        let wrong = |error| Err(Error::Protocol(error));
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return wrong(ProtocolError::NonZeroReservedBits);
        }
        match (self.role, header.mask) {
            (Role::Server, None) => return wrong(ProtocolError::UnmaskedFrameFromClient),
            (Role::Client, Some(_)) => return wrong(ProtocolError::MaskedFrameFromServer),
            _ => {}
        }
        match header.opcode {
            OpCode::Control(_) if !header.is_final => return wrong(ProtocolError::FragmentedControlFrame),
            OpCode::Control(_) if long > CONTROL_BYTES => return wrong(ProtocolError::ControlFrameTooBig),
            OpCode::Data(Data::Continue) if self.pieces.is_none() => {
                return wrong(ProtocolError::UnexpectedContinueFrame);
            }
            OpCode::Data(data @ (Data::Text | Data::Binary)) if self.pieces.is_some() => {
                return wrong(ProtocolError::ExpectedFragment(data));
            }
            _ => {}
        }
        let before = self.pieces.as_ref().map_or(0, |(_, before)| before.len() as u64);
        if before.saturating_add(long) > self.limit as u64 && matches!(header.opcode, OpCode::Data(_)) {
            let (size, max_size) = ((before.saturating_add(long)) as usize, self.limit);
            return Err(Error::Capacity(CapacityError::MessageTooLong { size, max_size }));
        }
        let Some(payload) = read.get_mut(head..head + long as usize) else { return Ok(None) };
        if let Some(mask) = header.mask {
            apply(mask, payload);
        }
        let message = match header.opcode {
            OpCode::Control(Control::Ping) => {
                if self.unsent.len() < STUCK_BYTES && !self.close_sent {
                    self.put(OpCode::Control(Control::Pong), payload);
                }
                Some(Message::Ping(Bytes::copy_from_slice(payload)))
            }
            OpCode::Control(Control::Pong) => Some(Message::Pong(Bytes::copy_from_slice(payload))),
            OpCode::Control(Control::Close) => {
                let said = closed(payload)?;
                self.close_came = true;
                self.put_close(said.as_ref());
                Some(Message::Close(said))
            }
            OpCode::Data(Data::Continue) => {
                let Some((_, before)) = &mut self.pieces else { return wrong(ProtocolError::UnexpectedContinueFrame) };
                before.extend_from_slice(payload);
                match self.pieces.take_if(|_| header.is_final) {
                    Some((data, whole)) => Some(message(data, whole.into())?),
                    None => None,
                }
            }
            OpCode::Data(data) if header.is_final => Some(message(data, Bytes::copy_from_slice(payload))?),
            OpCode::Data(data) => {
                self.pieces = Some((data, payload.to_vec()));
                None
            }
            OpCode::Control(Control::Reserved(code)) => return wrong(ProtocolError::UnknownControlFrameType(code)),
        };
        Ok(Some((head + long as usize, message)))
    }

    /// The next message of what was read before.
    fn kept(&mut self) -> Result<Option<Message>, Error> {
        while self.seen < self.rest.len() {
            let mut rest = mem::take(&mut self.rest);
            let frame = self.frame(&mut rest[self.seen..]);
            self.rest = rest;
            let Some((bytes, message)) = frame? else { return Ok(None) };
            self.seen += bytes;
            if self.seen == self.rest.len() {
                (self.rest, self.seen) = (Vec::new(), 0);
            }
            if message.is_some() {
                return Ok(message);
            }
        }
        Ok(None)
    }

    /// What comes next, as far as it is there. `None`: nothing comes any more.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Message>, Error>> {
        loop {
            // What a ping or a close is answered with; if there is no room, reading goes on.
            if !self.unsent.is_empty()
                && let Poll::Ready(sent) = self.poll_unsent(cx)
            {
                sent?;
            }
            if self.close_came {
                return Poll::Ready(Ok(None));
            }
            if let Some(message) = self.kept()? {
                return Poll::Ready(Ok(Some(message)));
            }
            let message = READ.with_borrow_mut(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
                let mut read = buffer.filled_mut();
                if read.is_empty() {
                    return Poll::Ready(match self.close_sent {
                        true => Ok(None),
                        false => Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)),
                    });
                }
                // Mostly it is one frame, and whole.
                let mut message = None;
                if self.rest.is_empty()
                    && let Some((bytes, whole)) = self.frame(read)?
                {
                    read = &mut read[bytes..];
                    message = whole;
                }
                self.rest.drain(..mem::take(&mut self.seen));
                self.rest.extend_from_slice(read);
                Poll::Ready(Ok(Some(message)))
            });
            match ready!(message)? {
                Some(Some(message)) => return Poll::Ready(Ok(Some(message))),
                Some(None) => {}
                None => return Poll::Ready(Ok(None)),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for WebSocket<S> {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let next = ready!(this.poll_message(cx)).transpose();
        this.ended = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<Message> for WebSocket<S> {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = self.get_mut();
        // Several that are sent at once go out as one.
        if this.unsent.len() < FULL_BYTES { Poll::Ready(Ok(())) } else { this.poll_unsent(cx) }
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        let this = self.get_mut();
        if this.close_sent {
            return match message {
                Message::Close(_) => Ok(()),
                _ => Err(Error::Protocol(ProtocolError::SendAfterClosing)),
            };
        }
        match message {
            Message::Text(text) => this.put(OpCode::Data(Data::Text), text.as_bytes()),
            Message::Binary(bytes) => this.put(OpCode::Data(Data::Binary), &bytes),
            Message::Ping(bytes) => this.put(OpCode::Control(Control::Ping), &bytes),
            Message::Pong(bytes) => this.put(OpCode::Control(Control::Pong), &bytes),
            Message::Close(said) => this.put_close(said.as_ref()),
            Message::Frame(_) => {}
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.get_mut().poll_unsent(cx)
    }

    /// That it is over is told; whether the far side says so, too, is not waited for.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = self.get_mut();
        this.put_close(None);
        this.poll_unsent(cx)
    }
}

fn message(data: Data, payload: Bytes) -> Result<Message, Error> {
    match data {
        Data::Text => Ok(Message::Text(Utf8Bytes::try_from(payload).map_err(|error| Error::Utf8(error.to_string()))?)),
        Data::Binary | Data::Continue | Data::Reserved(_) => Ok(Message::Binary(payload)),
    }
}

fn closed(payload: &[u8]) -> Result<Option<CloseFrame>, Error> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(None) } else { Err(Error::Protocol(ProtocolError::InvalidCloseSequence)) };
    };
    let code = CloseCode::from(u16::from_be_bytes(*code));
    if !code.is_allowed() {
        return Err(Error::Protocol(ProtocolError::InvalidCloseSequence));
    }
    let reason = str::from_utf8(reason).map_err(|error| Error::Utf8(error.to_string()))?;
    Ok(Some(CloseFrame { code, reason: reason.into() }))
}

fn apply(mask: [u8; 4], payload: &mut [u8]) {
    let (fours, rest) = payload.as_chunks_mut::<4>();
    let key = u32::from_ne_bytes(mask);
    fours.iter_mut().for_each(|four| *four = (u32::from_ne_bytes(*four) ^ key).to_ne_bytes());
    rest.iter_mut().zip(mask).for_each(|(byte, key)| *byte ^= key);
}

/// Nobody could have guessed it (RFC 6455 §5.3).
fn mask() -> [u8; 4] {
    RANDOM.with_borrow_mut(|masks| {
        if masks.is_empty() {
            let mut made = [0; 4 * MASKS];
            // It fails where nothing is random at all; then masks are of no use, and of no harm.
            let _ = SystemRandom::new().fill(&mut made);
            masks.extend_from_slice(made.as_chunks::<4>().0);
        }
        masks.pop().unwrap_or_default()
    })
}

fn accepted(answer: Response, key: &str) -> Result<(), Error> {
    if answer.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::Http(Box::new(answer)));
    }
    let says = |name: http::HeaderName, what: &str| {
        let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case(what)))
    };
    let wrong = |error| Err(Error::Protocol(error));
    if !says(http::header::UPGRADE, "websocket") {
        return wrong(ProtocolError::MissingUpgradeWebSocketHeader);
    }
    if !says(http::header::CONNECTION, "upgrade") {
        return wrong(ProtocolError::MissingConnectionUpgradeHeader);
    }
    let accept = answer.headers().get(http::header::SEC_WEBSOCKET_ACCEPT);
    if accept.is_none_or(|accept| accept.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
        return wrong(ProtocolError::SecWebSocketAcceptKeyMismatch);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
