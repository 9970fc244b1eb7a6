//! A server that itself speaks Exotel's protocol: frames go through unchanged, both ways, at their own pace.

use std::task::{Context, Poll};

use super::{
    Backend, Form, Heard, Message, Says, Wants,
    socket::{Came, Socket},
};

pub(super) struct Exotel(Socket);

impl Exotel {
    pub(super) fn new(socket: Socket) -> Self {
        Self(socket)
    }
}

impl Backend for Exotel {
    fn form(&self) -> Form {
        Form::Frames
    }

    /// Its protocol has no place for it.
    fn waits_for_brief(&self) -> bool {
        false
    }

    fn takes(&self) -> bool {
        self.0.has_room()
    }

    fn frame(&mut self, frame: Message) {
        self.0.send(frame);
    }

    /// Keys and marks are frames like others.
    fn hear(&mut self, _: Heard<'_>) {}

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Wants> {
        self.0.poll(cx).map(|came| match came {
            Came::Room => Wants::More,
            Came::Frame(frame) => Wants::Frame(frame),
            // Closing is how a server of this protocol says that it is done.
            Came::Closed => Says::Done.into(),
            Came::Failed(failure) => Says::Failed(failure.why).into(),
        })
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_close(cx)
    }
}
