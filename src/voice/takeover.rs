//! How a call gets its connection out of the HTTP server's hands: through them every frame would go by a second task and
//! two queues, and wait for both.

use std::{cell::RefCell, fmt, rc::Rc};

use bytes::BytesMut;
use futures_util::future::LocalBoxFuture;
use tokio::net::TcpStream;

/// Given the connection once the answer to its handshake is out, with what was read of it already.
pub type Taker = Box<dyn FnOnce(TcpStream, BytesMut) -> LocalBoxFuture<'static, ()>>;

/// Lies in the request of a connection that can be taken over; whoever answers 101 says who takes it.
#[derive(Clone, Default)]
pub struct Takeover(Rc<RefCell<Option<Taker>>>);

impl Takeover {
    pub(super) fn by(&self, taker: impl FnOnce(TcpStream, BytesMut) -> LocalBoxFuture<'static, ()> + 'static) {
        *self.0.borrow_mut() = Some(Box::new(taker));
    }

    pub fn taker(&self) -> Option<Taker> {
        self.0.borrow_mut().take()
    }
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Takeover")
    }
}
