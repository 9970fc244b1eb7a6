//! The connector contract: values that describe exchanges with a CRM, and nothing that performs one.
//!
//! A connector depends on this crate and on nothing else that is ours. It never sees a secret, a host name or a
//! clock: it describes requests ([`Request`]), reads replies ([`Response`]) and says what went wrong ([`Failure`]).
//! Sockets, credentials, quotas, timeouts, redaction and retries belong to Patchbay's driver.

mod connector;
pub mod defaults;
mod exchange;
mod failure;
mod manifest;
pub mod mask;
mod phone;
mod record;
pub mod words;

pub use connector::{Activities, Agents, Connector, Contacts, FollowUps, Notes, OpenTickets, Owners, Popups, Updates};
pub use defaults::Defaults;
pub use exchange::{Base, Body, Exchange, Request, Response, Safety, Step};
pub use failure::{About, Failure, Kind, Retry};
pub use manifest::{
    Allowance, Assertion, Assigns, AuthScheme, Authority, Manifest, OAuth, Origin, Quota, Setting, SettingKind,
    Settings, TextFormat, TextRules,
};
pub use phone::{Party, PhoneNumber, Rendering};
pub use record::{
    Agent, CallActivity, CallKey, Changed, Contact, Cursor, Digits, Direction, FollowUp, FollowUpKind, Identity,
    NewContact, Note, Outcome, Owner, Page, Phase, Popup, RecordRef, Text, Ticket, Tried, TriedStatus,
};

// What a connector needs of the vocabulary of others, so that one version of each is in use.
pub use bytes::Bytes;
pub use http::{HeaderMap, HeaderName, Method, StatusCode};
