//! The one way to Exotel: hosts, credentials, limits, retries where they are safe, and the judging of what comes back.

use std::{sync::Arc, time::Duration};

use patchbay_kit::{Request, Response, Safety, mask};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::{
    error::ExotelError,
    limits::{Budgets, Class, PerMinute},
    read::{self, Naive, Said},
};
use crate::connect::transport::{Credentials, Limits, Lost, Transport};

/// Bytes of an answer that are read: a page of a hundred calls has some eighty thousand.
const ANSWER: usize = 4 * 1024 * 1024;
/// Exotel goes on originating a call for up to 30 s before it answers (exotel-api §2); giving up sooner would only leave
/// more calls of which nobody knows whether they were placed.
const DIALLING: Duration = Duration::from_secs(40);
/// Between the attempts of a request that may be repeated.
const BACKOFF: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1500)];
/// After a 429 that does not say for how long.
const PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// So long a request waits for its place, unless it is told otherwise: as somebody does who has clicked.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of a message of Exotel's, so much is passed on.
const MESSAGE_CHARS: usize = 200;

/// Where an account's APIs are (exotel-api §1.1).
#[derive(Clone, Debug)]
pub struct Hosts {
    /// v1, v2 and v2_beta.
    pub api: Url,
    /// Users and their devices.
    pub ccm: Url,
    /// The dashboard, in whose name flows are addressed.
    pub portal: Url,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Host {
    Api,
    Ccm,
}

/// What makes a client.
#[derive(Debug)]
pub struct ClientParts {
    pub sid: String,
    pub hosts: Hosts,
    pub credentials: Credentials,
    pub naive: Naive,
    pub per_minute: PerMinute,
    pub transport: Transport,
    /// Of one question; what dials is given longer.
    pub timeout: Duration,
    /// Between the attempts of a request that may be repeated; as many follow the first.
    pub backoff: Vec<Duration>,
}

impl ClientParts {
    /// The usual backoff.
    pub fn backoff() -> Vec<Duration> {
        BACKOFF.to_vec()
    }
}

#[derive(Debug)]
struct Shared {
    parts: ClientParts,
    budgets: Budgets,
}

/// A client for one account. Cheap to clone; the account's limits are shared by all clones.
#[derive(Clone, Debug)]
pub struct ExotelClient {
    shared: Arc<Shared>,
    patience: Duration,
}

/// What came back, and what it means.
pub(super) struct Answer {
    pub(super) reply: Response,
    pub(super) judged: Result<Value, ExotelError>,
}

impl ExotelClient {
    /// A client that waits some seconds when a limit is used up, and otherwise says until when it is.
    pub fn new(parts: ClientParts) -> Self {
        let budgets = Budgets::new(parts.per_minute);
        Self { shared: Arc::new(Shared { parts, budgets }), patience: PATIENCE }
    }

    /// The same, waiting so long for a place within the account's limits: longer where nobody sits in front of it, not
    /// at all where the answer is wanted at once.
    #[must_use]
    pub fn patient(&self, patience: Duration) -> Self {
        Self { shared: Arc::clone(&self.shared), patience }
    }

    /// Where the API is, for messages.
    pub fn host(&self) -> String {
        self.hosts().api.host_str().unwrap_or_default().to_owned()
    }

    pub(super) fn hosts(&self) -> &Hosts {
        &self.shared.parts.hosts
    }

    pub(super) fn sid(&self) -> &str {
        &self.shared.parts.sid
    }

    pub(super) fn naive(&self) -> &Naive {
        &self.shared.parts.naive
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.shared.parts.credentials
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.shared.parts.transport
    }

    /// The path of a v1 resource of this account, capital A and all.
    pub(super) fn v1<const N: usize>(&self, rest: [&str; N]) -> Vec<String> {
        ["v1", "Accounts", self.sid()].into_iter().chain(rest).map(str::to_owned).collect()
    }

    /// The path of a v2 resource: here it is a small one.
    pub(super) fn v2<const N: usize>(&self, rest: [&str; N]) -> Vec<String> {
        ["v2", "accounts", self.sid()].into_iter().chain(rest).map(str::to_owned).collect()
    }

    /// Asks, and reads what was answered. Where `read` does not find what it needs, the answer is
    /// [`ExotelError::Unreadable`], or, of a request that changes something, [`ExotelError::Unknown`].
    pub(super) async fn ask<T>(
        &self,
        host: Host,
        class: Class,
        request: Request,
        read: impl FnOnce(Said<'_>) -> Option<T>,
    ) -> Result<T, ExotelError> {
        let safety = request.safety;
        let value = self.send(host, class, &request).await?.judged?;
        read(Said::new(&value, self.naive())).ok_or_else(|| odd(safety, "what was asked for is not in it"))
    }

    /// Sends within the account's limits. What only asks, or leaves the same however often it is sent, is repeated a
    /// few times while Exotel is out of order; what dials or sends never is.
    pub(super) async fn send(&self, host: Host, class: Class, request: &Request) -> Result<Answer, ExotelError> {
        let Shared { parts, budgets } = &*self.shared;
        let base = match host {
            Host::Api => &parts.hosts.api,
            Host::Ccm => &parts.hosts.ccm,
        };
        let once = request.safety == Safety::Creates;
        let request_timeout = if once { parts.timeout.max(DIALLING) } else { parts.timeout };
        let limits = Limits { request_timeout, response_bytes: ANSWER };
        let mut waits = parts.backoff.iter().filter(|_| !once);
        loop {
            budgets.take(class, self.patience).await?;
            let sent = match parts.transport.send(base, &parts.credentials, request, limits).await {
                Ok(reply) => {
                    let judged = judge(&reply, request.safety);
                    Ok(Answer { reply, judged })
                }
                Err(lost) => Err(judge_lost(&lost, request.safety)),
            };
            let error = match &sent {
                Ok(answer) => answer.judged.as_ref().err(),
                Err(error) => Some(error),
            };
            let wait = match error {
                Some(ExotelError::Busy { retry_after }) => {
                    budgets.pause(class, *retry_after);
                    // The limit's own wait comes before the next attempt.
                    waits.next().map(|_| Duration::ZERO)
                }
                Some(ExotelError::Unreachable { .. } | ExotelError::Unknown { .. }) => waits.next().copied(),
                _ => None,
            };
            match wait {
                Some(wait) => tokio::time::sleep(spread(wait)).await,
                None => return sent,
            }
        }
    }
}

/// By a quarter either way, so that what failed together does not come back together.
fn spread(wait: Duration) -> Duration {
    let thousandths = 750 + u32::from(Uuid::new_v4().as_bytes()[0]) * 2;
    wait * thousandths / 1000
}

fn judge_lost(lost: &Lost, safety: Safety) -> ExotelError {
    let reason = lost.to_string();
    match lost {
        Lost::NotSent(_) => ExotelError::Unreachable { reason },
        Lost::MaybeSent(_) if safety == Safety::Read => ExotelError::Unreachable { reason },
        Lost::TooLong(_) if safety == Safety::Read => ExotelError::Unreadable { reason },
        Lost::MaybeSent(_) | Lost::TooLong(_) => ExotelError::Unknown { reason },
    }
}

/// An answer that says yes and does not say to what.
fn odd(safety: Safety, reason: &str) -> ExotelError {
    let reason = format!("an answer without meaning: {reason}");
    match safety {
        Safety::Read => ExotelError::Unreadable { reason },
        Safety::Idempotent | Safety::Creates => ExotelError::Unknown { reason },
    }
}

/// What an answer means: its body, or why there is none. A status of success does not mean success (exotel-api §1.5).
pub(super) fn judge(reply: &Response, safety: Safety) -> Result<Value, ExotelError> {
    let body = read::body(&reply.body);
    let fault = body.as_ref().and_then(fault);
    let status = match (&fault, reply.status.is_success()) {
        (Some(Fault { status: Some(inner), .. }), true) => *inner,
        _ => reply.status.as_u16(),
    };
    if fault.is_none() && reply.status.is_success() {
        return body.ok_or_else(|| odd(safety, "neither JSON nor XML"));
    }
    let code = fault.as_ref().and_then(|fault| fault.code);
    let message = fault.map(|fault| fault.message).filter(|message| !message.is_empty());
    let message = message.unwrap_or_else(|| match body {
        // Of a page for browsers, only that it came.
        Some(_) => reply.status.canonical_reason().unwrap_or("no reason given").to_owned(),
        None => shown(&String::from_utf8_lossy(&reply.body)),
    });
    Err(match status {
        401 => ExotelError::Auth { status },
        // 403 is also how the newer APIs refuse a single thing, with a code for it.
        403 if code.is_none_or(|code| code == 1010) => ExotelError::Auth { status },
        404 => ExotelError::NotFound { code, message },
        429 => ExotelError::Busy { retry_after: retry_after(reply) },
        408 | 500.. => {
            let reason = format!("{status}: {message}");
            match safety {
                Safety::Read => ExotelError::Unreachable { reason },
                Safety::Idempotent | Safety::Creates => ExotelError::Unknown { reason },
            }
        }
        300..=399 => {
            let message = "Exotel answers with a redirect, which is not followed: check `api_url`".to_owned();
            ExotelError::Refused { status, code, message }
        }
        _ => ExotelError::Refused { status, code, message },
    })
}

fn retry_after(reply: &Response) -> Duration {
    reply.retry_after().unwrap_or(PAUSE).min(LONGEST_PAUSE)
}

/// What an error body says.
struct Fault {
    status: Option<u16>,
    code: Option<i64>,
    message: String,
}

/// Every form of an error body (exotel-api §1.4, §1.5), also inside an answer of success.
fn fault(body: &Value) -> Option<Fault> {
    // Nothing in an error is a time or a number of somebody's.
    let naive = Naive { utc_offset: jiff::tz::Offset::UTC, country: String::new() };
    let said = Said::new(body, &naive);
    let status_of = |said: &Said<'_>, names: &[&str]| {
        names.iter().find_map(|name| said.integer(name)).and_then(|status| u16::try_from(status).ok())
    };
    let worded = |said: &Said<'_>, names: &[&str]| {
        let words: Vec<String> = names.iter().filter_map(|name| said.text(name)).collect();
        shown(&words.join(": "))
    };
    if let Some(exception) = said.at("RestException") {
        let message = worded(&exception, &["Message", "Description"]);
        return Some(Fault { status: status_of(&exception, &["Status", "Code"]), code: None, message });
    }
    let outer = status_of(&said, &["http_code"]).filter(|status| *status >= 400);
    let inner = said.at("response").map(|response| response.each("response"));
    // Of several results, the answer is an error only if nothing succeeded.
    let parts = inner.unwrap_or_default();
    let failed = |part: &&Said<'_>| {
        part.integer("code").is_some_and(|code| code >= 400)
            || part.text("status").is_some_and(|status| status == "failure")
    };
    let first = parts.first().filter(|_| parts.iter().all(|part| failed(&part)));
    if let Some(part) = first {
        let data = part.at("error_data");
        return Some(Fault {
            status: status_of(part, &["code"]).or(outer),
            code: data.and_then(|data| data.integer("code")),
            message: data.map(|data| worded(&data, &["message", "description"])).unwrap_or_default(),
        });
    }
    if let Some(error) = parts.first().and_then(|part| part.at("error")) {
        return Some(Fault { status: outer, code: error.integer("code"), message: worded(&error, &["message"]) });
    }
    if said.yes("success") == Some(false) {
        return Some(Fault {
            status: status_of(&said, &["status"]).or(outer),
            code: said.integer("code"),
            message: worded(&said, &["message"]),
        });
    }
    outer.map(|status| Fault { status: Some(status), code: None, message: worded(&said, &["message"]) })
}

/// A foreign text, without numbers of people and not longer than need be.
fn shown(text: &str) -> String {
    let start: String = text.trim().chars().take(MESSAGE_CHARS).collect();
    mask::text(&start)
}
