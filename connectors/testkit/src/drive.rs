//! The driver's loop, in process: what the service does with an exchange, without a socket and without waiting.

use std::{collections::BTreeMap, fmt};

use base64::Engine as _;
use jiff::Timestamp;
use patchbay_kit::{
    AuthScheme, Base, Bytes, Connector, Exchange, Failure, HeaderMap, HeaderName, Kind, Request, Response, Retry, Step,
    mask,
};
use patchbay_sandbox::Sandbox;

/// Exchanges that one operation may take. A connector that wants more has lost its way among its own pages.
pub const STEPS_MAX: usize = 20;

/// The secret settings of an integration, by key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials(BTreeMap<String, String>);

impl Credentials {
    /// From pairs of key and secret: `[("api_key", "…")]`.
    pub fn of<const N: usize>(secrets: [(&str, &str); N]) -> Self {
        Self(secrets.into_iter().map(|(key, secret)| (key.to_owned(), secret.to_owned())).collect())
    }

    /// The same keys with secrets that are nobody's.
    #[must_use]
    pub fn wrong(&self) -> Self {
        Self(self.0.keys().map(|key| (key.clone(), "nobodys-secret".to_owned())).collect())
    }

    /// The secrets themselves, to look for them where they must not be.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }

    fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }
}

/// The keys only.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Runs an exchange, and those it leads to, against a sandbox.
///
/// # Errors
/// What the connector makes of a reply that is not what it hoped for.
pub fn drive<T>(
    exchange: Exchange<T>,
    connector: &dyn Connector,
    sandbox: &mut impl Sandbox,
    credentials: &Credentials,
    now: Timestamp,
) -> Result<T, Failure> {
    follow(exchange, connector, |request| {
        let reply = sandbox.handle(&to_sandbox(request, connector.manifest().auth, credentials), now);
        Ok(Response { status: reply.status, headers: reply.headers, body: reply.body })
    })
}

/// The loop itself: sends, classifies or parses, and follows. Numbers in failures are masked, as the driver does.
///
/// # Errors
/// What `send` could not do, what the connector makes of a reply, or that there was no end to it.
pub fn follow<T>(
    mut exchange: Exchange<T>,
    connector: &dyn Connector,
    mut send: impl FnMut(&Request) -> Result<Response, Failure>,
) -> Result<T, Failure> {
    let masked = |mut failure: Failure| {
        failure.detail = mask::text(&failure.detail);
        failure
    };
    for _ in 0..STEPS_MAX {
        let reply = send(&exchange.request)?;
        if !reply.status.is_success() && !exchange.accepts.contains(&reply.status) {
            return Err(masked(connector.classify(&reply)));
        }
        match exchange.parse(&reply).map_err(masked)? {
            Step::Done(value) => return Ok(value),
            Step::Then(next) => exchange = next,
        }
    }
    Err(Failure::new(Kind::Unsupported, Retry::Never).because(format!("no end after {STEPS_MAX} exchanges")))
}

/// Separates the parts of multipart bodies: constant, so that cassettes are.
const BOUNDARY: &str = "----patchbay-testkit-boundary";

/// A connector's request as it arrives at the CRM: written out with all its percent-encoding and read back the way a
/// server does it, so that a fault in the encoding is seen.
///
/// The access token of a connector with OAuth is the credential `access_token`; a capability URL is the credential of
/// its setting's name.
pub fn to_sandbox(request: &Request, auth: AuthScheme, credentials: &Credentials) -> patchbay_sandbox::Request {
    let mut headers = HeaderMap::new();
    let mut set = |name: &str, value: &str| {
        // A value that cannot stand in a header is left out, as a server would never see it.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
            headers.insert(name, value);
        }
    };
    let mut target = request.target();
    match (request.base, auth) {
        (Base::Secret(setting), _) => {
            let url = credentials.get(setting);
            let behind = url.split_once("://").map_or(url, |(_, rest)| rest);
            let path = behind.find('/').map_or("/", |at| &behind[at..]);
            target = format!("{path}{target}");
        }
        (Base::Origin, AuthScheme::Basic { user, password }) => {
            let pair = format!("{}:{password}", credentials.get(user));
            let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
            set("authorization", &format!("Basic {encoded}"));
        }
        (Base::Origin, AuthScheme::Header { name, prefix, secret }) => {
            set(name, &format!("{prefix}{}", credentials.get(secret)));
        }
        (Base::Origin, AuthScheme::Headers(all)) => {
            for (name, secret) in all {
                set(name, credentials.get(secret));
            }
        }
        (Base::Origin, AuthScheme::OAuth(oauth)) => {
            set("authorization", &format!("{}{}", oauth.prefix, credentials.get("access_token")));
        }
    }
    set("host", "sandbox");
    set("accept", "application/json");
    for (name, value) in &request.headers {
        set(name, value);
    }
    let body = match request.payload(BOUNDARY) {
        None => Bytes::new(),
        Some((kind, body)) => {
            set("content-type", &kind);
            body
        }
    };
    patchbay_sandbox::Request::parse(request.method.clone(), &target, headers, body)
}
