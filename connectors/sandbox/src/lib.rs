//! Strict stand-ins for the services Patchbay speaks to: they know the real ones' rules and refuse what those refuse.
//!
//! A sandbox is a pure state machine ([`Sandbox`]); sockets, and the faults of a real network, are added by one server
//! for all of them. So a connector's tests can drive a sandbox without a socket, and the demo and the end-to-end tests
//! drive the same one over HTTP.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// Decoded path segments: `["api", "v2", "tickets", "42"]`.
    pub path: Vec<String>,
    /// Decoded query parameters, in order.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The answer to one request.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A service that can be asked; it keeps its state and is handed the time.
pub trait Sandbox: Send + 'static {
    fn handle(&mut self, request: &Request, now: Timestamp) -> Reply;
}
