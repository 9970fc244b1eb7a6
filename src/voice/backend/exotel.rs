//! A server that itself speaks Exotel's protocol: frames go through unchanged, both ways, at their own pace.

use std::task::{Context, Poll};

use super::{
    Backend, Form, Heard, Says,
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

    fn takes(&self) -> bool {
        self.0.has_room()
    }

    fn hear(&mut self, heard: Heard<'_>) {
        // Keys and marks are frames like others.
        if let Heard::Frame(frame) = heard {
            self.0.send(frame);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Says> {
        self.0.poll(cx).map(|came| match came {
            Came::Room => Says::Ready,
            Came::Frame(frame) => Says::Frame(frame),
            // Closing is how a server of this protocol says that it is done.
            Came::Closed => Says::Done,
            Came::Failed(why) => Says::Failed(why),
        })
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_close(cx)
    }
}
