//! The configuration as values, complete and valid.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::{Timestamp, tz::Offset};
use patchbay_kit::{Manifest, Settings};
use secrecy::SecretString;
use url::Url;

use super::bot::{Bot, Did};
use crate::call::{CallingTimes, ContactChoice, compose::Texts, route::Routing};

#[derive(Clone, Debug)]
pub struct Config {
    pub server: Server,
    pub store: Store,
    pub context: Context,
    pub log: Log,
    pub delivery: Delivery,
    pub enquiry: Enquiry,
    pub sweep: Sweep,
    pub hooks: Hooks,
    pub dialer: Dialer,
    pub live: Live,
    pub voicebot: Voicebot,
    pub recording: Recording,
    pub accounts: Vec<Account>,
}

#[derive(Clone, Debug)]
pub struct Server {
    pub listen: SocketAddr,
    /// Without a slash at its end. `None`: `http://` and the bound address.
    pub public_url: Option<String>,
    /// `None`: the API is closed.
    pub admin_token: Option<SecretString>,
    pub master_key_file: Option<PathBuf>,
    /// Keys that it replaced: what was sealed or signed with them still counts.
    pub previous_key_files: Vec<PathBuf>,
    pub workers: usize,
    pub body_limit_bytes: usize,
    pub connections: usize,
    pub request_timeout: Duration,
    pub drain_timeout: Duration,
}

#[derive(Clone, Debug)]
pub enum StoreUrl {
    Sqlite(PathBuf),
    Postgres {
        /// With the password in it.
        url: SecretString,
        /// Host and database, to be shown.
        place: String,
    },
}

impl StoreUrl {
    /// Which it is, without secrets.
    pub fn place(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres { place, .. } => place.clone(),
        }
    }

    /// The file the embedded database is in.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres { .. } => None,
        }
    }

    /// Whether several nodes may work on it: then they need a context that they share, too.
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres { .. } => true,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Store {
    pub url: StoreUrl,
    /// After this long a node that is not heard of any more counts as dead.
    pub lease: Duration,
    pub queue: usize,
    pub keep: Duration,
}

#[derive(Clone, Debug)]
pub enum ContextUrl {
    Memory,
    /// With a password in it, perhaps.
    Redis(SecretString),
}

#[derive(Clone, Debug)]
pub struct Context {
    pub url: ContextUrl,
    /// PEM: who signs the server's certificate, if not one of those whom the world knows.
    pub root_certificate: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
}

#[derive(Clone, Debug)]
pub struct Log {
    pub format: LogFormat,
    /// A `tracing` filter.
    pub level: String,
}

#[derive(Clone, Debug)]
pub struct Delivery {
    pub retry: Arc<[Duration]>,
    pub give_up_after: Duration,
    pub ambiguous_wait: Duration,
    pub request_timeout: Duration,
    pub connect_timeout: Duration,
    pub response_limit_bytes: usize,
    pub window: usize,
    pub breaker_after: u32,
    pub breaker_probe: Arc<[Duration]>,
    pub held_probe: Duration,
    /// The longest wait after a CRM's "too many requests".
    pub limit_wait: Duration,
    /// Of a CRM's request limit: above 0, at most 1.
    pub share: f64,
}

#[derive(Clone, Debug)]
pub struct Enquiry {
    pub schedule: Arc<[Duration]>,
    pub request_timeout: Duration,
    pub per_minute: u32,
}

#[derive(Clone, Debug)]
pub struct Sweep {
    pub enabled: bool,
    pub every: Duration,
    pub overlap: Duration,
    /// `None`: since the account was first run here.
    pub since: Option<Timestamp>,
}

/// Event streams of agents and consoles.
#[derive(Clone, Debug)]
pub struct Live {
    /// Between signs of life; with each it is looked whether the stream may go on.
    pub heartbeat: Duration,
    pub streams: usize,
    pub streams_per_agent: usize,
}

/// Calls that voicebots have.
#[derive(Clone, Debug)]
pub struct Voicebot {
    /// At once, on this node.
    pub sessions: usize,
    pub sessions_per_account: usize,
    /// Without a sign of life from Exotel.
    pub silence: Duration,
    /// Until the backend must have answered the handshake.
    pub connect_timeout: Duration,
    /// How long a bot's first word waits for who is calling.
    pub brief_timeout: Duration,
    /// Of a message to Exotel.
    pub frame: Duration,
    /// How much Exotel is to have that is not played yet.
    pub ahead: Duration,
    /// No message is shorter than Exotel says it must be.
    pub strict_frames: bool,
    /// `sequence_number`, `chunk` and `timestamp` in what goes to Exotel.
    pub numbered_frames: bool,
    /// How much a bot may say before it is heard.
    pub queue: Duration,
    /// Where calls of bots that record are kept. `None`: none is.
    pub recordings: Option<PathBuf>,
    pub recordings_for: Duration,
}

#[derive(Clone, Debug)]
pub struct Hooks {
    /// How long a caller on the line waits for an answer that a CRM has to be asked for.
    pub answer_deadline: Duration,
}

#[derive(Clone, Debug)]
pub struct Dialer {
    /// How long whoever has clicked waits for Exotel's answer, before he is told that it is still dialled.
    pub wait: Duration,
    /// When Exotel's list is believed that a call is not there.
    pub settle_after: Duration,
}

#[derive(Clone, Debug)]
pub struct Recording {
    pub link_ttl: Duration,
    pub limit_bytes: u64,
    pub timeout: Duration,
}

/// An Exotel account: our tenant.
#[derive(Clone, Debug)]
pub struct Account {
    pub sid: String,
    /// Without a slash at its end.
    pub api_url: Url,
    /// Users and their devices.
    pub ccm_url: Url,
    /// ExoML.
    pub cpaas_url: Url,
    pub portal_url: Url,
    pub api_key: SecretString,
    pub api_token: SecretString,
    pub utc_offset: Offset,
    /// ISO 3166, two letters.
    pub country: String,
    pub open_hooks: Vec<String>,
    /// Apps of Exotel's WebRTC integrations (IP-PSTN) that are this account's.
    pub app_ids: Vec<String>,
    /// Which of several contacts with a caller's number is taken.
    pub contact_choice: ContactChoice,
    /// When click-to-call places calls. `None`: always.
    pub calling_times: Option<CallingTimes>,
    /// Whether calls that are placed are recorded.
    pub record_calls: bool,
    /// Whom callers are put through to.
    pub routing: Routing,
    pub integrations: Vec<Integration>,
    pub agents: Vec<Agent>,
    pub bots: Vec<Bot>,
    pub dids: Vec<Did>,
}

/// One account's configured use of a connector.
#[derive(Clone, Debug)]
pub struct Integration {
    pub name: String,
    pub manifest: &'static Manifest,
    /// Where the CRM is: `base_url`, or what the manifest makes of the settings. `None`: the token answer says it, or
    /// only capability URLs are used.
    pub origin: Option<Url>,
    /// Where tokens come from, for a connector with OAuth.
    pub authority: Option<Url>,
    /// What the connector may see.
    pub settings: Settings,
    /// What it may not: by setting.
    pub secrets: BTreeMap<String, SecretString>,
    /// Tokens that were got under another value are not its own: it was made anew since, or its address is another. Empty:
    /// it stands in the file.
    pub tokens_for: String,
    /// Requests per minute; replaces the manifest's.
    pub quota_per_minute: Option<u32>,
    pub texts: Arc<Texts>,
}

/// An agent as the file maps him.
#[derive(Clone, Debug)]
pub struct Agent {
    /// E.164, or `sip:…`.
    pub number: String,
    pub email: Option<String>,
    pub caller_id: Option<String>,
    pub click_to_call: bool,
    /// Integration name → CRM user id.
    pub crm_user: BTreeMap<String, String>,
}
