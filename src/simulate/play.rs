//! Plays calls against a service as Exotel would: each callback at its time, calls side by side, answers kept.

use std::{
    fmt,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use tokio::task::JoinSet;
use url::Url;

use super::{
    cast::{Instance, TimedRequest},
    flow::{HookName, MethodName},
};
use crate::connect::transport;

/// Exotel waits 5 s for an applet's answer (exotel-api §4.7); a callback is given longer, to tell slow from lost.
const PATIENCE: Duration = Duration::from_secs(15);

/// What lets Exotel in at the hooks.
#[derive(Clone)]
pub enum Door {
    /// API key and token, in the URL's user and password.
    Basic { key: String, token: String },
    /// `/h/{token}/…`
    HookToken(String),
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(***)",
            Self::HookToken(_) => "HookToken(***)",
        })
    }
}

/// Where callbacks are sent.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where the service is, without a slash at its end.
    base: String,
    account: String,
    door: Door,
}

impl Target {
    /// # Errors
    /// When `base` is no address of a service.
    pub fn new(base: &str, account: &str, door: Door) -> Result<Self, String> {
        let url = Url::parse(base).ok().filter(|url| {
            ["http", "https"].contains(&url.scheme())
                && url.host().is_some()
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none()
        });
        // The text is not repeated: a credential may have been typed into it.
        let url = url.ok_or("--to is not the address of a service; write http://127.0.0.1:8080")?;
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), account: account.to_owned(), door })
    }

    /// The URL of a hook.
    pub fn url(&self, hook: HookName) -> String {
        let Self { base, account, door } = self;
        match door {
            Door::Basic { .. } => format!("{base}/v2/accounts/{account}/{}", hook.as_str()),
            Door::HookToken(token) => format!("{base}/h/{token}/{}", hook.as_str()),
        }
    }

    /// The `Authorization` header, where the door wants one.
    pub fn authorization(&self) -> Option<String> {
        match &self.door {
            Door::Basic { key, token } => Some(format!("Basic {}", STANDARD.encode(format!("{key}:{token}")))),
            Door::HookToken(_) => None,
        }
    }
}

/// One answer, or why there was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When the callback was sent, from the beginning of the playing.
    pub at: Duration,
    pub label: String,
    pub late: bool,
    /// Second and later copies of the same callback.
    pub copy: bool,
    pub status: Result<u16, String>,
    pub latency: Duration,
}

impl Answer {
    /// The contract: an event is answered 2xx once it is durable.
    pub fn good(&self) -> bool {
        self.status.as_ref().is_ok_and(|status| (200..300).contains(status))
    }
}

/// A player of Exotel's part.
#[derive(Clone, Debug)]
pub struct Player {
    client: reqwest::Client,
    target: Target,
}

impl Player {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(target: Target) -> Result<Self, String> {
        let client = client()?;
        Ok(Self { client, target })
    }

    /// Plays calls side by side, all beginning now. Returns the answers of each, in the order of `calls`.
    pub async fn play(&self, calls: &[Instance]) -> Vec<Vec<Answer>> {
        let began = Instant::now();
        let mut playing = JoinSet::new();
        for (number, call) in calls.iter().enumerate() {
            let (player, requests) = (self.clone(), call.requests.clone());
            playing.spawn(async move { (number, player.play_one(&requests, began).await) });
        }
        let mut answers = vec![Vec::new(); calls.len()];
        while let Some(played) = playing.join_next().await {
            if let Ok((number, played)) = played {
                answers[number] = played;
            }
        }
        answers
    }

    async fn play_one(&self, requests: &[TimedRequest], began: Instant) -> Vec<Answer> {
        let mut answers = Vec::new();
        for request in requests {
            tokio::time::sleep_until((began + request.at).into()).await;
            // Copies meet each other in the service, which is harder on it than one after the other.
            let copies = (0..request.copies).map(|copy| self.send(request, copy > 0, began));
            answers.extend(join_all(copies).await);
        }
        answers
    }

    async fn send(&self, request: &TimedRequest, copy: bool, began: Instant) -> Answer {
        let method = match request.method {
            MethodName::Get => reqwest::Method::GET,
            MethodName::Post => reqwest::Method::POST,
        };
        let mut url = self.target.url(request.hook);
        if !request.query.is_empty() {
            url.push('?');
            url.push_str(&request.query);
        }
        let mut builder = self.client.request(method, url);
        if let Some(authorization) = self.target.authorization() {
            builder = builder.header(reqwest::header::AUTHORIZATION, authorization);
        }
        if let Some(kind) = &request.content_type {
            builder = builder.header(reqwest::header::CONTENT_TYPE, kind);
        }
        if !request.body.is_empty() {
            builder = builder.body(request.body.clone());
        }
        let sent = Instant::now();
        let status = match builder.send().await {
            Ok(reply) => Ok(reply.status().as_u16()),
            // Without the URL: it holds numbers and perhaps a token.
            Err(error) => Err(innermost(&error.without_url())),
        };
        Answer {
            at: sent.duration_since(began),
            label: request.label(),
            late: request.late,
            copy,
            status,
            latency: sent.elapsed(),
        }
    }
}

/// An HTTP client of the outside world's, with nothing of the service's own but the roots it trusts.
///
/// # Errors
/// When TLS cannot be set up.
pub(crate) fn client() -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(transport::tls()?)
        // Exotel does not follow one either: a redirect is a mistake in the set-up that should be seen.
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .user_agent(concat!("patchbay-simulate/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("HTTP client: {error}"))
}

/// The cause, without the layers that only say that there is one.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_credential_stands_where_the_door_wants_it_and_in_no_debug() {
        let basic = Door::Basic { key: "key".into(), token: "token".into() };
        let target = Target::new("http://127.0.0.1:8080/", "acme1", basic).expect("a target");
        assert_eq!(target.url(HookName::CallEvents), "http://127.0.0.1:8080/v2/accounts/acme1/call-events");
        assert_eq!(target.authorization().as_deref(), Some("Basic a2V5OnRva2Vu"));
        let token = Target::new("https://calls.example.com/pb", "x", Door::HookToken("t0k".into())).expect("a target");
        assert_eq!(token.url(HookName::Status), "https://calls.example.com/pb/h/t0k/status");
        assert_eq!(token.authorization(), None);
        assert!(!format!("{target:?}{token:?}").contains("t0k"));
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for wrong in ["", "calls.example.com", "ftp://x", "http://u:p@x", "http://x/?a=b"] {
            let error = Target::new(wrong, "acme1", Door::HookToken("t".into())).expect_err("refused");
            assert!(error.contains("http://127.0.0.1:8080") && !error.contains("u:p"), "{error}");
        }
    }
}
