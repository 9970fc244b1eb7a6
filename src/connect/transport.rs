//! The only HTTP client: performs what connectors and the Exotel client describe, within bounds of time and size.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use patchbay_kit::{AuthScheme, Request, Response};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Nothing reached the far side: sending again is safe.
    #[error("cannot connect: {0}")]
    NotSent(String),
    /// The request may have been carried out.
    #[error("no reply: {0}")]
    MaybeSent(String),
    /// There is one, and it is longer than is read.
    #[error("the reply is longer than {0} bytes")]
    TooLong(usize),
}

/// Bounds of one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub request_timeout: Duration,
    pub response_bytes: usize,
}

/// The process's HTTP client. Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct Transport {
    client: reqwest::Client,
}

impl Transport {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(connect_timeout: Duration) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls()?)
            // A redirect could take credentials to another host: whoever sees a 3xx decides.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(Duration::from_secs(60))
            .user_agent(concat!("patchbay/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("HTTP client: {}", why(&error)))?;
        Ok(Self { client })
    }

    /// Sends a connector's request to `base` as `credentials` and reads the whole reply.
    pub async fn send(
        &self,
        base: &Url,
        credentials: &Credentials,
        request: &Request,
        limits: Limits,
    ) -> Result<Response, Lost> {
        let url = format!("{}{}", base.as_str().trim_end_matches('/'), request.target());
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in &request.headers {
            // What cannot stand in a header is left out; the CRM's refusal names what it misses.
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        credentials.apply(&mut headers);
        let mut builder =
            self.client.request(request.method.clone(), url).timeout(limits.request_timeout).headers(headers);
        // 128 random bits do not occur in a text by chance, nor by a caller's intent.
        let boundary = format!("patchbay-{}", uuid::Uuid::new_v4().simple());
        if let Some((kind, body)) = request.payload(&boundary) {
            builder = builder.header(header::CONTENT_TYPE, kind).body(body);
        }
        let reply = builder.send().await.map_err(|error| lost(&error))?;
        let (status, headers) = (reply.status(), reply.headers().clone());
        let body = read(reply, limits.response_bytes).await?;
        Ok(Response { status, headers, body })
    }

    /// Asks an endpoint that no connector describes, and reads the whole reply, whatever its status.
    pub async fn ask(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Vec<u8>,
        limits: Limits,
    ) -> Result<Response, Lost> {
        let sent = self.client.request(method, url.clone()).timeout(limits.request_timeout).headers(headers).body(body);
        let reply = sent.send().await.map_err(|error| lost(&error))?;
        let (status, headers) = (reply.status(), reply.headers().clone());
        let body = read(reply, limits.response_bytes).await?;
        Ok(Response { status, headers, body })
    }

    /// A `GET` whose body is streamed by the caller.
    pub async fn stream(&self, url: &Url, headers: HeaderMap, first_byte: Duration) -> Result<reqwest::Response, Lost> {
        let sent = self.client.get(url.clone()).headers(headers).send();
        match tokio::time::timeout(first_byte, sent).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(lost(&error)),
            Err(_) => Err(Lost::MaybeSent("timed out".to_owned())),
        }
    }
}

/// TLS with the roots that are compiled in: no container needs a package for them.
///
/// # Errors
/// When the provider offers no usable protocol version.
pub fn tls() -> Result<rustls::ClientConfig, String> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    Ok(rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

async fn read(reply: reqwest::Response, limit: usize) -> Result<Bytes, Lost> {
    let mut body = BytesMut::new();
    let mut chunks = reply.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Lost::MaybeSent(why(&error)))?;
        if body.len() + chunk.len() > limit {
            return Err(Lost::TooLong(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn lost(error: &reqwest::Error) -> Lost {
    if error.is_connect() || error.is_builder() { Lost::NotSent(why(error)) } else { Lost::MaybeSent(why(error)) }
}

/// The innermost cause, in words, without the URL: its query may hold a phone number.
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::eq(cause as *const dyn std::error::Error as *const (), std::ptr::from_ref(error).cast()) {
        return "the connection failed".to_owned();
    }
    cause.to_string()
}

/// Credentials as they go over the wire: headers. `Debug` shows only their names.
#[derive(Clone, Default)]
pub struct Credentials(Vec<(HeaderName, HeaderValue)>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "Credentials({}: ***)", names.join(", "))
    }
}

impl Credentials {
    pub fn basic(user: &SecretString, password: &str) -> Self {
        let value = format!("Basic {}", STANDARD.encode(format!("{}:{password}", user.expose_secret())));
        Self(vec![(header::AUTHORIZATION, hidden(&value))])
    }

    /// None: a capability URL needs no other.
    pub fn none() -> Self {
        Self::default()
    }

    /// An access token behind its prefix (`Bearer `).
    pub fn token(prefix: &str, token: &SecretString) -> Self {
        Self(vec![(header::AUTHORIZATION, hidden(&format!("{prefix}{}", token.expose_secret())))])
    }

    /// As a manifest says, from an integration's secret settings; for OAuth, which has no fixed ones, none.
    pub fn of(scheme: AuthScheme, secrets: &BTreeMap<String, SecretString>) -> Self {
        let empty = SecretString::from(String::new());
        let secret = |key: &str| secrets.get(key).unwrap_or(&empty);
        let named = |name: &str, value: &str| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap_or(header::AUTHORIZATION), hidden(value))
        };
        match scheme {
            AuthScheme::Basic { user, password } => Self::basic(secret(user), password),
            AuthScheme::Header { name, prefix, secret: key } => {
                Self(vec![named(name, &format!("{prefix}{}", secret(key).expose_secret()))])
            }
            AuthScheme::Headers(all) if all.iter().all(|(_, key)| secrets.contains_key(*key)) => {
                Self(all.iter().map(|(name, key)| named(name, secret(key).expose_secret())).collect())
            }
            AuthScheme::Headers(_) | AuthScheme::OAuth(_) => Self::none(),
        }
    }

    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            headers.insert(name.clone(), value.clone());
        }
    }
}

fn hidden(value: &str) -> HeaderValue {
    // A secret that is no header value (a line break in it) cannot be right; the far side's 401 will say so.
    let mut value = HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}
