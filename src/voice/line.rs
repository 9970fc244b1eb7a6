//! Exotel's end of a call: frames in, frames out, each within bounds of size and time.

use std::{pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_util::{FutureExt, Sink, SinkExt, StreamExt, future::poll_fn};
use patchbay_voice::Limits;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::tungstenite::{
    self, Utf8Bytes,
    error::{Error, ProtocolError},
    protocol::{CloseFrame, Role, frame::coding::CloseCode},
};

use super::websocket::WebSocket;

/// How long a frame may take to go out before Exotel is taken for dead: it reads fifty of them a second.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long Exotel may take to close, too, once it was told. Before that the connection is not let go: what is unread
/// then breaks it off, and what we said last with it.
const FAREWELL: Duration = Duration::from_secs(2);

/// A frame as it came, and as it goes on where nobody is to change it.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Text(ByteString),
    Binary(Bytes),
}

impl Message {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl From<Message> for tungstenite::Message {
    fn from(frame: Message) -> Self {
        match frame {
            // It is valid: it was one before.
            Message::Text(text) => Self::Text(Utf8Bytes::try_from(text.into_bytes()).unwrap_or_default()),
            Message::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

/// What came from Exotel.
pub(super) enum Came {
    Frame(Message),
    /// A pong, or the ping that was answered: it is there.
    Life,
    Closed,
    /// What is no websocket any more, in words.
    Broken(String),
}

/// Nobody takes what is sent.
#[derive(Debug)]
pub(super) struct Gone;

pub(super) struct Line(WebSocket<TcpStream>);

impl Line {
    /// Of a connection whose handshake is over, and what was read of it already.
    pub(super) fn new(stream: TcpStream, early: BytesMut) -> Self {
        // A frame is due when it is there.
        let _ = stream.set_nodelay(true);
        Self(WebSocket::new(stream, Role::Server, Limits::DEFAULT.frame_bytes, early.into()))
    }

    /// What comes next. It may be given up at any moment.
    pub(super) async fn next(&mut self) -> Came {
        match self.0.next().await {
            Some(Ok(tungstenite::Message::Text(text))) => match ByteString::try_from(Bytes::from(text)) {
                Ok(text) => Came::Frame(Message::Text(text)),
                Err(error) => Came::Broken(error.to_string()),
            },
            Some(Ok(tungstenite::Message::Binary(bytes))) => Came::Frame(Message::Binary(bytes)),
            // A ping is answered below us, with the next look at what comes.
            Some(Ok(
                tungstenite::Message::Ping(_) | tungstenite::Message::Pong(_) | tungstenite::Message::Frame(_),
            )) => Came::Life,
            Some(Ok(tungstenite::Message::Close(_))) | None => Came::Closed,
            // The connection itself: most streams end so (§1.5, code 1006).
            Some(Err(
                Error::Io(_)
                | Error::ConnectionClosed
                | Error::AlreadyClosed
                | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
            )) => Came::Closed,
            Some(Err(error)) => Came::Broken(error.to_string()),
        }
    }

    /// What is there already.
    pub(super) fn at_once(&mut self) -> Option<Came> {
        self.next().now_or_never()
    }

    pub(super) async fn send(&mut self, frame: Message) -> Result<(), Gone> {
        match timeout(PATIENCE, self.0.send(frame.into())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }

    pub(super) fn ping(&mut self) {
        let ping = poll_fn(|cx| {
            let mut out = Pin::new(&mut self.0);
            // Where there is no room for it, something else is under way.
            std::task::ready!(out.as_mut().poll_ready(cx))?;
            out.as_mut().start_send(tungstenite::Message::Ping(Bytes::new()))?;
            out.poll_flush(cx)
        });
        let _: Option<Result<(), Error>> = ping.now_or_never();
    }

    /// Exotel goes on to the flow's next applet.
    pub(super) async fn close(mut self, code: CloseCode, why: &'static str) {
        let reason = CloseFrame { code, reason: why.into() };
        if let Ok(Ok(())) = timeout(PATIENCE, self.0.send(tungstenite::Message::Close(Some(reason)))).await {
            let _ = timeout(FAREWELL, async { while let Some(Ok(_)) = self.0.next().await {} }).await;
        }
    }
}
