//! A simulated Exotel, the REST side of it that Patchbay reads: account, call details, recordings.
//!
//! Facts are from `exotel-api.md`: §1.2 (credentials), §1.3 (JSON or XML), §1.5 (error bodies), §1.6 (times), §2.2 and
//! §5.1 (a call), §7 (recordings).

mod call;
mod recording;
mod render;

use std::collections::HashMap;

use http::{Method, StatusCode, header};
use jiff::Timestamp;

pub use self::call::{RecordingPlan, SimulatedCall};
use self::recording::Signed;
use crate::{Reply, Request, Sandbox, fault::SplitMix64, window::Window};

/// What one Exotel account differs in from another.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// 401 is the plain text of old gateways instead of a RestException (§1.5).
    pub plain_unauthorised: bool,
    /// Numbers come as strings, `"Duration":"17"` (§0, first quirk).
    pub numbers_as_strings: bool,
    /// Call details per minute; Exotel's is 200 (§1.4). None is unlimited.
    pub details_per_minute: Option<u32>,
    /// A recording answers 302 to a signed address, as where recordings lie in S3 (§7).
    pub signed_recordings: bool,
}

/// One Exotel account with one API key.
#[derive(Clone, Debug)]
pub struct Exotel {
    /// Open to tests and the demo, also between two requests.
    pub settings: Settings,
    sid: String,
    key: String,
    token: String,
    public_url: String,
    calls: HashMap<String, SimulatedCall>,
    details: Window,
    signed: HashMap<String, Signed>,
    tokens: SplitMix64,
}

impl Exotel {
    /// An account without calls.
    pub fn new(sid: impl Into<String>, key: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            settings: Settings::default(),
            sid: sid.into(),
            key: key.into(),
            token: token.into(),
            public_url: "http://localhost".to_owned(),
            calls: HashMap::new(),
            details: Window::default(),
            signed: HashMap::new(),
            tokens: SplitMix64(0x9e37),
        }
    }

    /// Sets the URL under which this server is reached, for the recordings' addresses.
    pub fn set_public_url(&mut self, url: impl Into<String>) {
        self.public_url = url.into().trim_end_matches('/').to_owned();
    }

    /// Adds a call, or replaces the one with this CallSid.
    pub fn add_call(&mut self, call: SimulatedCall) {
        self.calls.insert(call.call_sid.clone(), call);
    }

    /// A call as it was simulated.
    pub fn call(&self, call_sid: &str) -> Option<&SimulatedCall> {
        self.calls.get(call_sid)
    }

    /// Alters a call: ends it, gives it a recording.
    pub fn change_call(&mut self, call_sid: &str, change: impl FnOnce(&mut SimulatedCall)) {
        if let Some(call) = self.calls.get_mut(call_sid) {
            change(call);
            call.call_sid = call_sid.to_owned();
        }
    }

    /// All calls, in no order.
    pub fn calls(&self) -> impl Iterator<Item = &SimulatedCall> {
        self.calls.values()
    }

    /// Where a call's recording is, or will be.
    pub fn recording_url(&self, call_sid: &str) -> String {
        format!("{}/exotelrecordings/{}/{call_sid}.mp3", self.public_url, self.sid)
    }

    fn authorised(&self, request: &Request) -> bool {
        request.basic().is_some_and(|(key, token)| key == self.key && token == self.token)
    }

    fn unauthorised(&self, request: &Request) -> Reply {
        let reply = if self.settings.plain_unauthorised {
            let text = "Authentication is required to view this page.";
            Reply::of(StatusCode::UNAUTHORIZED, "text/plain; charset=utf-8", text)
        } else {
            render::exception(request, StatusCode::UNAUTHORIZED, "Authorization Required")
        };
        reply.with(header::WWW_AUTHENTICATE, "Basic realm=\"Exotel API\"")
    }

    fn account(&self, request: &Request) -> Reply {
        render::account(request, &self.sid)
    }

    fn call_details(&mut self, request: &Request, call_sid: &str, now: Timestamp) -> Reply {
        if let Some(limit) = self.settings.details_per_minute {
            if self.details.left(limit, now) == 0 {
                return self.refuse(request, StatusCode::TOO_MANY_REQUESTS, None);
            }
            self.details.book(1);
        }
        // Minutes, 5 to 60 (§7); only its range is played here.
        let validity = request.param("RecordingUrlValidity");
        if validity.is_some_and(|minutes| !minutes.parse().is_ok_and(|minutes: u32| (5..=60).contains(&minutes))) {
            return render::exception(request, StatusCode::BAD_REQUEST, "Invalid RecordingUrlValidity");
        }
        match self.calls.get(call_sid) {
            Some(call) => render::call(request, self, call, now),
            None => render::exception(request, StatusCode::NOT_FOUND, "Not Found"),
        }
    }
}

impl Sandbox for Exotel {
    fn handle(&mut self, request: &Request, now: Timestamp) -> Reply {
        let segments = request.segments();
        // The signed address carries its credentials in itself, and takes no others.
        if let ["signed", token] = segments.as_slice() {
            return self.signed_recording(request, token, now);
        }
        if !self.authorised(request) {
            return self.unauthorised(request);
        }
        let ours = |sid: &str| sid == self.sid;
        // The capital A matters (§1.1).
        match (&request.method, segments.as_slice()) {
            (&Method::GET, ["v1", "Accounts", sid]) if ours(render::bare(sid)) => self.account(request),
            (&Method::GET, ["v1", "Accounts", sid, "Calls", call]) if ours(sid) => {
                self.call_details(request, render::bare(call), now)
            }
            (&Method::GET | &Method::HEAD, ["exotelrecordings", sid, file]) if ours(sid) => {
                self.recording(request, file, now)
            }
            (_, ["v1", "Accounts", sid] | ["v1", "Accounts", sid, "Calls", _]) if ours(render::bare(sid)) => {
                render::exception(request, StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
            }
            _ => render::exception(request, StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    fn refuse(&self, request: &Request, status: StatusCode, retry_after_s: Option<u64>) -> Reply {
        if status == StatusCode::UNAUTHORIZED {
            return self.unauthorised(request);
        }
        let message = match status {
            // v1's words are not documented; these are ExoML's (§1.4).
            StatusCode::TOO_MANY_REQUESTS => "Rate limit exceeded. Please retry after some time.",
            _ => status.canonical_reason().unwrap_or("Error"),
        };
        let reply = render::exception(request, status, message);
        match retry_after_s {
            Some(seconds) => reply.with(header::RETRY_AFTER, seconds.to_string()),
            None => reply,
        }
    }
}
