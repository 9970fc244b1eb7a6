//! Recordings: fetched with the account's credentials from Exotel's hosts, and from nowhere else.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use url::Url;

use super::client::ExotelClient;
use crate::call::normalise::recording_allowed;

/// Redirects followed on the way to a recording.
const HOPS: usize = 4;

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

impl ExotelClient {
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
        let own = [self.hosts().api.origin()];
        if !recording_allowed(url, &own) {
            return Err(NoRecording::Foreign);
        }
        let mut url = url.clone();
        let mut with_credentials = true;
        for _ in 0..HOPS {
            let mut headers = HeaderMap::new();
            if with_credentials {
                self.credentials().apply(&mut headers);
            }
            if let Some(range) = range.and_then(|range| range.parse().ok()) {
                headers.insert(header::RANGE, range);
            }
            let reply = self
                .transport()
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
