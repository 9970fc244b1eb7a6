//! The driver's loop, in process: what the service does with an exchange, without a socket and without waiting.

use std::{collections::BTreeMap, fmt};

use base64::Engine as _;
use jiff::Timestamp;
use patchbay_kit::{
    AuthScheme, Body, Bytes, Connector, Exchange, Failure, HeaderMap, Kind, Request, Response, Retry, Step, mask,
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

/// A connector's request as it arrives at the CRM: written out with all its percent-encoding and read back the way a
/// server does it, so that a fault in the encoding is seen.
pub fn to_sandbox(request: &Request, auth: AuthScheme, credentials: &Credentials) -> patchbay_sandbox::Request {
    let mut headers = HeaderMap::new();
    let (name, value) = match auth {
        AuthScheme::Basic { user, password } => {
            let pair = format!("{}:{password}", credentials.get(user));
            ("authorization", format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
        }
        AuthScheme::Header { name, prefix, secret } => (name, format!("{prefix}{}", credentials.get(secret))),
    };
    let mut set = |name: &'static str, value: &str| {
        // A value that cannot stand in a header is left out, as a server would never see it.
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    };
    set(name, &value);
    set("host", "sandbox");
    set("accept", "application/json");
    let body = match &request.body {
        Body::Empty => Bytes::new(),
        Body::Json(value) => {
            set("content-type", "application/json");
            value.to_string().into()
        }
        Body::Form(pairs) => {
            set("content-type", "application/x-www-form-urlencoded");
            form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().into()
        }
    };
    patchbay_sandbox::Request::parse(request.method.clone(), &request.target(), headers, body)
}
