//! Strict stand-ins for the services Patchbay speaks to: they know the real ones' rules and refuse what those refuse.
//!
//! A sandbox is a pure state machine ([`Sandbox`]); sockets, and the faults of a real network, are added by one server
//! for all of them. So a connector's tests can drive a sandbox without a socket, and the demo and the end-to-end tests
//! drive the same one over HTTP.

pub mod backends;
mod crm;
pub mod exotel;
mod fault;
pub mod freshchat;
pub mod freshdesk;
pub mod freshsales;
pub mod hubspot;
pub mod leadsquared;
mod message;
pub mod oauth;
pub mod salesforce;
mod server;
mod shelf;
mod window;
pub mod zoho_crm;
pub mod zoho_desk;

pub use crm::{Crm, HeldContact, HeldRecord};
pub use fault::{Fault, Faults, Mix, On};
pub use message::{Reply, Request};
pub use server::{Seen, Server};

use http::StatusCode;
use jiff::Timestamp;

/// A service that can be asked; it keeps its state and is handed the time.
pub trait Sandbox: Send + 'static {
    /// Carries one request out. `now` is the only clock a sandbox has.
    fn handle(&mut self, request: &Request, now: Timestamp) -> Reply;

    /// Says no in the service's own form, without touching its state: how injected faults reach the client looking
    /// like the service's own. The request is handed in because some services choose the form by the path.
    fn refuse(&self, request: &Request, status: StatusCode, retry_after_s: Option<u64>) -> Reply;
}
