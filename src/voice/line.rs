//! Exotel's end of a call: frames in, frames out, each within bounds of size and time.

use std::time::Duration;

use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, MessageStream, ProtocolError};
use bytes::Bytes;
use bytestring::ByteString;
use futures_util::FutureExt;
use patchbay_voice::Limits;

/// How long a frame may take to go out before Exotel is taken for dead: it reads fifty of them a second.
const PATIENCE: Duration = Duration::from_secs(5);

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

    /// Of its own memory: as it came it holds on to all that was read with it.
    pub(super) fn to_keep(&self) -> Self {
        match self {
            Self::Text(text) => Self::Text(ByteString::from(&**text)),
            Self::Binary(bytes) => Self::Binary(Bytes::copy_from_slice(bytes)),
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

pub(super) struct Line {
    out: actix_ws::Session,
    frames: Box<AggregatedMessageStream>,
}

impl Line {
    pub(super) fn new(out: actix_ws::Session, frames: MessageStream) -> Self {
        let limit = Limits::DEFAULT.frame_bytes;
        let frames = frames.max_frame_size(limit).aggregate_continuations().max_continuation_size(limit);
        Self { out, frames: Box::new(frames) }
    }

    /// What comes next. It may be given up at any moment.
    pub(super) async fn next(&mut self) -> Came {
        match self.frames.recv().await {
            Some(Ok(AggregatedMessage::Text(text))) => Came::Frame(Message::Text(text)),
            Some(Ok(AggregatedMessage::Binary(bytes))) => Came::Frame(Message::Binary(bytes)),
            Some(Ok(AggregatedMessage::Ping(said))) => {
                // One that cannot be answered at once is not: another comes.
                let _ = self.out.pong(&said).now_or_never();
                Came::Life
            }
            Some(Ok(AggregatedMessage::Pong(_))) => Came::Life,
            Some(Ok(AggregatedMessage::Close(_))) | None => Came::Closed,
            // The connection itself: most streams end so (§1.5, code 1006).
            Some(Err(ProtocolError::Io(_))) => Came::Closed,
            Some(Err(error)) => Came::Broken(error.to_string()),
        }
    }

    /// What is there already.
    pub(super) fn at_once(&mut self) -> Option<Came> {
        self.next().now_or_never()
    }

    pub(super) async fn send(&mut self, frame: Message) -> Result<(), Gone> {
        let sent = async {
            match frame {
                Message::Text(text) => self.out.text(text).await,
                Message::Binary(bytes) => self.out.binary(bytes).await,
            }
        };
        match tokio::time::timeout(PATIENCE, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }

    pub(super) fn ping(&mut self) {
        // Where there is no room for it, something else is under way.
        let _ = self.out.ping(b"").now_or_never();
    }

    /// Exotel goes on to the flow's next applet.
    pub(super) async fn close(self, code: CloseCode, why: &str) {
        let reason = CloseReason { code, description: Some(why.to_owned()) };
        let _ = tokio::time::timeout(PATIENCE, self.out.close(Some(reason))).await;
    }
}
