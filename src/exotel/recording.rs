//! Exotel's REST API, as far as it is asked: who we are, a call's details, a recording.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use patchbay_kit::{Request, mask};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{
    call::normalise::recording_allowed,
    connect::transport::{Credentials, Limits, Lost, Transport},
};

/// Bytes of an answer that are read.
const ANSWER: usize = 1024 * 1024;
/// Redirects followed on the way to a recording.
const HOPS: usize = 4;

/// What Exotel said to a question for details.
#[derive(Clone, Debug)]
pub enum Details {
    /// The JSON of the call; what stands in it is read like a callback.
    Call(Bytes),
    /// There is no such call in this account (404).
    Unknown(Bytes),
    /// Too many questions (429).
    Throttled(Duration),
    /// The API key or token is wrong, or the region is (401, 403; exotel-api §1.1).
    Refused(String),
    /// Anything else.
    Failed(String),
}

/// Why there is no recording to pass on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRecording {
    #[error("the recording is not on one of Exotel's hosts")]
    Foreign,
    #[error("Exotel does not have the recording (yet)")]
    NotThere,
    #[error("Exotel refuses the account's credentials for it")]
    Refused,
    #[error("Exotel cannot be reached: {0}")]
    Unreachable(String),
    #[error("Exotel answered {0}")]
    Answered(u16),
}

/// A client for one account.
#[derive(Clone, Debug)]
pub struct ExotelClient {
    sid: String,
    api_url: Url,
    credentials: Credentials,
    transport: Transport,
    timeout: Duration,
}

impl ExotelClient {
    pub fn new(
        transport: Transport,
        sid: &str,
        api_url: &Url,
        key: &SecretString,
        token: &SecretString,
        timeout: Duration,
    ) -> Self {
        Self {
            sid: sid.to_owned(),
            api_url: api_url.clone(),
            credentials: Credentials::basic(key, token.expose_secret()),
            transport,
            timeout,
        }
    }

    async fn get(&self, request: &Request) -> Result<patchbay_kit::Response, Lost> {
        let limits = Limits { request_timeout: self.timeout, response_bytes: ANSWER };
        self.transport.send(&self.api_url, &self.credentials, request, limits).await
    }

    /// `GET /v1/Accounts/{sid}.json`: 200 if and only if key, token, SID and region are right (exotel-api §1.1).
    ///
    /// # Errors
    /// What is wrong, and the likeliest cure.
    pub async fn identify(&self) -> Result<(), String> {
        let request = Request::get("exotel.account", ["v1", "Accounts", &format!("{}.json", self.sid)]);
        match self.get(&request).await {
            Ok(reply) if reply.status.is_success() => Ok(()),
            Ok(reply) => Err(match reply.status.as_u16() {
                401 => "Exotel refuses the API key and token (401): copy them anew from Settings → API, and see that \
                        `region` is that of your dashboard (my.exotel.com: singapore, my.in.exotel.com: mumbai)"
                    .to_owned(),
                403 => "Exotel forbids it (403): the key may lack permissions, or this address is not on the \
                        account's IP list"
                    .to_owned(),
                404 => "Exotel knows no such account (404): check `sid` and `region`".to_owned(),
                status => format!("Exotel answered {status}; try again later"),
            }),
            Err(lost) => Err(format!("{} cannot be asked ({lost}): check `api_url` and the way out", self.host())),
        }
    }

    /// Where the API is, for messages.
    pub fn host(&self) -> String {
        self.api_url.host_str().unwrap_or_default().to_owned()
    }

    /// `GET /v1/Accounts/{sid}/Calls/{CallSid}.json?details=true` (exotel-api §5.1).
    pub async fn details(&self, call_sid: &str) -> Details {
        let file = format!("{call_sid}.json");
        let request = Request::get("exotel.call", ["v1", "Accounts", &self.sid, "Calls", &file]).query("details", true);
        let reply = match self.get(&request).await {
            Ok(reply) => reply,
            Err(lost) => return Details::Failed(lost.to_string()),
        };
        match reply.status {
            status if status.is_success() => Details::Call(reply.body),
            StatusCode::NOT_FOUND => Details::Unknown(reply.body),
            StatusCode::TOO_MANY_REQUESTS => {
                let wait = reply.header("retry-after").and_then(|text| text.trim().parse::<f64>().ok());
                Details::Throttled(Duration::from_secs_f64(wait.filter(|wait| *wait >= 0.0).unwrap_or(30.0).min(600.0)))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Details::Refused(format!("{}", reply.status)),
            status => {
                let body = String::from_utf8_lossy(&reply.body);
                let start: String = body.chars().take(120).collect();
                Details::Failed(format!("{status}: {}", mask::text(&start)))
            }
        }
    }

    /// Opens a recording. Credentials go to Exotel's hosts only; each redirect is judged anew, and one to another host
    /// is followed without them (a signed storage URL refuses requests that carry any; exotel-api §7).
    ///
    /// # Errors
    /// [`NoRecording`].
    pub async fn recording(
        &self,
        url: &Url,
        range: Option<&str>,
        first_byte: Duration,
    ) -> Result<reqwest::Response, NoRecording> {
        let own = [self.api_url.origin()];
        if !recording_allowed(url, &own) {
            return Err(NoRecording::Foreign);
        }
        let mut url = url.clone();
        let mut with_credentials = true;
        for _ in 0..HOPS {
            let mut headers = HeaderMap::new();
            if with_credentials {
                self.credentials.apply(&mut headers);
            }
            if let Some(range) = range.and_then(|range| range.parse().ok()) {
                headers.insert(header::RANGE, range);
            }
            let reply = self
                .transport
                .stream(&url, headers, first_byte)
                .await
                .map_err(|lost| NoRecording::Unreachable(lost.to_string()))?;
            match reply.status() {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => return Ok(reply),
                status if status.is_redirection() => {
                    let location = reply.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
                    let next = location.and_then(|location| url.join(location).ok());
                    let Some(next) = next.filter(|next| recording_allowed(next, &own)) else {
                        return Err(NoRecording::Foreign);
                    };
                    // Once redirected, the place is named by a signature in the URL, not by who we are.
                    with_credentials = false;
                    url = next;
                }
                StatusCode::NOT_FOUND => return Err(NoRecording::NotThere),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(NoRecording::Refused),
                status => return Err(NoRecording::Answered(status.as_u16())),
            }
        }
        Err(NoRecording::Answered(302))
    }
}
