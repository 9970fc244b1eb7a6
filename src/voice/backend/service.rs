//! A service as a backend: the connection under a dialect of the voice crate, made again where the service wants that.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytestring::ByteString;
use patchbay_voice::backend::{self, Brief, Dialect, Ended, Heard, Out, Says, Then};
use tokio::time::{Instant, Sleep};

use super::{
    Backend, Form, Message, Wants,
    socket::{Came, Failure, Reach, Socket},
};

/// A service sends seconds of audio in one message.
const MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// Connections in a row on which nothing came: a service that ends each of them is not there. The next one waits so long.
const IN_VAIN: [Duration; 3] = [Duration::ZERO, Duration::from_millis(250), Duration::from_millis(750)];

pub(super) struct Service {
    reach: Reach,
    socket: Socket,
    dialect: Box<dyn Dialect>,
    out: Out,
    brief: Option<Brief>,
    /// The socket is open, and the dialect knows.
    opened: bool,
    in_vain: usize,
    quiet: Option<Pin<Box<Sleep>>>,
    /// Until when it must take the caller's audio: he hears nothing meanwhile.
    ready_by: Option<Pin<Box<Sleep>>>,
}

impl Service {
    pub(super) fn new(reach: Reach, dialect: Box<dyn Dialect>) -> Self {
        let reach = reach.limit(MESSAGE_BYTES);
        let socket = reach.connect();
        Self {
            reach,
            socket,
            dialect,
            out: Out::default(),
            brief: None,
            opened: false,
            in_vain: 0,
            quiet: None,
            ready_by: None,
        }
    }

    /// The dialect speaks once there is a connection, and somebody to speak of.
    fn open(&mut self) {
        if !self.opened
            && self.socket.is_open()
            && let Some(brief) = &self.brief
        {
            self.opened = true;
            self.dialect.opened(brief, &mut self.out);
            self.ready_by = Some(Box::pin(tokio::time::sleep(self.reach.patience())));
            self.send();
        }
    }

    fn send(&mut self) {
        if self.out.reconnect {
            self.connect_again();
        }
        if self.out.send.is_empty() {
            return;
        }
        for message in self.out.send.drain(..) {
            self.socket.send(match message {
                backend::Message::Text(text) => Message::Text(ByteString::from(text)),
                backend::Message::Binary(bytes) => Message::Binary(bytes.into()),
            });
        }
        self.wait();
    }

    /// From now on nothing is sent.
    fn wait(&mut self) {
        let Some(after) = self.dialect.keep_alive() else { return };
        let at = Instant::now() + after;
        match &mut self.quiet {
            Some(quiet) => quiet.as_mut().reset(at),
            None => self.quiet = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }

    /// What was to be sent on the old connection is not sent on the new one: the dialect begins anew.
    fn connect_again(&mut self) {
        self.out.reconnect = false;
        self.out.send.clear();
        // A session that is still open elsewhere is not gone on with: it is said that this one ends, if it can be.
        let _ = self.socket.poll_close(&mut Context::from_waker(Waker::noop()));
        let wait = IN_VAIN.get(self.in_vain).or(IN_VAIN.last()).copied().unwrap_or_default();
        self.socket = self.reach.connect_after(wait);
        self.opened = false;
        self.in_vain += 1;
    }

    fn ended(&mut self, ended: Ended) -> Option<Says> {
        let told = match &ended {
            Ended::Failed { why, .. } => why.clone(),
            Ended::Closed => "closed the connection".to_owned(),
        };
        // One that was never there cannot be gone on with.
        let then = match self.opened || self.in_vain > 0 {
            true => self.dialect.ended(ended),
            false => Then::Failed(told.clone()),
        };
        match then {
            Then::Done => Some(Says::Done),
            Then::Reconnect if self.in_vain < IN_VAIN.len() => {
                self.connect_again();
                None
            }
            Then::Reconnect => Some(Says::Failed(told)),
            Then::Failed(why) => Some(Says::Failed(why)),
        }
    }

    /// It is connected, and has been waited for in vain all the same.
    fn poll_late(&mut self, cx: &mut Context<'_>) {
        let Some(by) = &mut self.ready_by else { return };
        let ready = !self.opened || self.dialect.takes();
        if ready || by.as_mut().poll(cx).is_ready() {
            self.ready_by = None;
        }
        if !ready && self.ready_by.is_none() {
            self.out.say(Says::Failed("is connected, and did not get ready in time".to_owned()));
        }
    }

    /// The service has been quiet for long: what keeps it is sent.
    fn poll_quiet(&mut self, cx: &mut Context<'_>) {
        while let Some(quiet) = &mut self.quiet
            && quiet.as_mut().poll(cx).is_ready()
        {
            if self.opened {
                self.dialect.idle(&mut self.out);
                self.send();
            }
            self.wait();
        }
    }
}

impl Backend for Service {
    fn form(&self) -> Form {
        Form::Audio
    }

    fn begin(&mut self, brief: Brief) {
        self.brief = Some(brief);
        self.open();
    }

    fn takes(&self) -> bool {
        self.opened && self.socket.has_room() && self.dialect.takes()
    }

    fn away(&self) -> bool {
        self.in_vain > 0
    }

    fn hear(&mut self, heard: Heard<'_>) {
        self.dialect.hear(heard, &mut self.out);
        // What is said while there is no connection belongs to none; the dialect has been told.
        if !self.opened {
            self.out.send.clear();
        }
        self.send();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Wants> {
        self.poll_quiet(cx);
        self.poll_late(cx);
        loop {
            if let Some(says) = self.out.says.pop_front() {
                return Poll::Ready(says.into());
            }
            // What a service says of itself when it is connected waits until the dialect can hear it: whoever begins it
            // asks again.
            if self.brief.is_none() && self.socket.is_open() {
                return Poll::Pending;
            }
            match ready!(self.socket.poll(cx)) {
                Came::Room => {
                    self.open();
                    return Poll::Ready(Wants::More);
                }
                Came::Frame(frame) => {
                    self.in_vain = 0;
                    let binary = matches!(frame, Message::Binary(_));
                    self.dialect.came(frame.bytes(), binary, &mut self.out);
                    self.send();
                }
                Came::Closed => {
                    if let Some(says) = self.ended(Ended::Closed) {
                        return Poll::Ready(says.into());
                    }
                }
                Came::Failed(Failure { code, why, said }) => {
                    if let Some(says) = self.ended(Ended::Failed { code, why, said }) {
                        return Poll::Ready(says.into());
                    }
                }
            }
        }
    }

    fn rest(&mut self) -> Vec<Says> {
        self.dialect.over(&mut self.out);
        mem::take(&mut self.out.says).into()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket.poll_close(cx)
    }
}
