//! A simulated Exotel, the REST side of it that Patchbay asks: account, calls placed, told and listed, legs, ExoPhones,
//! users, numbers, text messages, recordings.
//!
//! Facts are from `exotel-api.md`: §1.2 (credentials), §1.3 (JSON or XML), §1.5 (error bodies), §1.6 (times), §2 and §3
//! (placing a call, and its callbacks), §5 (everything else), §7 (recordings). What a real one does to a request on its
//! way, answering late or not at all, is the server's to play ([`crate::Fault`]).

mod call;
mod connect;
mod course;
mod directory;
mod legs;
mod list;
mod params;
mod recording;
mod render;
mod sms;

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    time::Duration,
};

use http::{Method, StatusCode, header};
use jiff::Timestamp;

pub use self::{
    call::{RecordingPlan, SimulatedCall},
    connect::Trouble,
    course::{Callback, Course},
    directory::{HeldDevice, HeldExoPhone, HeldUser},
    legs::HeldLeg,
    sms::HeldSms,
};
use self::{course::Pending, recording::Signed};
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
    /// Calls placed per minute; Exotel's is 200.
    pub connect_per_minute: Option<u32>,
    /// Questions about legs, and actions on them, per minute; Exotel's is 200.
    pub legs_per_minute: Option<u32>,
    /// A recording answers 302 to a signed address, as where recordings lie in S3 (§7).
    pub signed_recordings: bool,
    /// v1 answers in XML although it is asked for JSON, as a gateway in front of it may.
    pub always_xml: bool,
    /// The newer APIs' errors come with status 200, and the real one inside (§1.5).
    pub errors_inside: bool,
    /// How long after it began a call appears in lists.
    pub list_lag: Duration,
    /// Streams of voicebots there may be at once; none where voicebots are not enabled.
    pub streams: Option<u32>,
    /// What `Date` in its answers is ahead of the time, in seconds; behind it where negative.
    pub clock_ahead_s: i64,
    /// Lists show `CustomField`. Whether Exotel's do is not documented.
    pub custom_field_listed: bool,
    /// What becomes of calls that are placed.
    pub course: Course,
    /// The recording of placed calls that are to be recorded.
    pub placed_recording: Option<RecordingPlan>,
    /// One message, too, comes as a list (§5.8).
    pub sms_as_list: bool,
    /// Numbers on the do-not-disturb register, as v1 writes them.
    pub do_not_disturb: HashSet<String>,
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
    /// Of calls that were placed, in that order.
    placed: Vec<String>,
    legs: HashMap<String, Vec<HeldLeg>>,
    taped: HashSet<String>,
    pending: Vec<Pending>,
    troubles: VecDeque<Trouble>,
    exophones: Vec<HeldExoPhone>,
    users: Vec<HeldUser>,
    messages: Vec<HeldSms>,
    surprises: BTreeSet<String>,
    details: Window,
    connects: Window,
    leg_uses: Window,
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
            placed: Vec::new(),
            legs: HashMap::new(),
            taped: HashSet::new(),
            pending: Vec::new(),
            troubles: VecDeque::new(),
            exophones: Vec::new(),
            users: Vec::new(),
            messages: Vec::new(),
            surprises: BTreeSet::new(),
            details: Window::default(),
            connects: Window::default(),
            leg_uses: Window::default(),
            signed: HashMap::new(),
            tokens: SplitMix64(0x9e37),
        }
    }

    /// Sets the URL under which this server is reached, for the recordings' addresses.
    pub fn set_public_url(&mut self, url: impl Into<String>) {
        self.public_url = url.into().trim_end_matches('/').to_owned();
    }

    /// Gives the account another key than everybody has.
    pub fn revoke_key(&mut self) {
        self.key = format!("{:016x}", self.tokens.next());
    }

    /// Adds a call, or replaces the one with this CallSid.
    pub fn add_call(&mut self, call: SimulatedCall) {
        let legs = self.first_legs(&call);
        self.legs.insert(call.call_sid.clone(), legs);
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

    /// CallSids of the calls that were placed, oldest first.
    pub fn placed(&self) -> &[String] {
        &self.placed
    }

    /// The next call to be placed meets this.
    pub fn next_connect(&mut self, trouble: Trouble) {
        self.troubles.push_back(trouble);
    }

    /// Parameters that were sent and that nobody documents. Exotel ignores them; whoever sent them was mistaken.
    pub fn surprises(&self) -> impl Iterator<Item = &str> {
        self.surprises.iter().map(String::as_str)
    }

    fn surprised(&mut self, place: &str, names: Vec<String>) {
        self.surprises.extend(names.into_iter().map(|name| format!("{place}: {name}")));
    }

    /// As this account writes numbers.
    fn number(&self, number: u64) -> serde_json::Value {
        if self.settings.numbers_as_strings { number.to_string().into() } else { number.into() }
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
        } else if is_v2(request) {
            self.v2_failure(request, StatusCode::UNAUTHORIZED, 1010, "Authorization Required")
        } else {
            render::exception(request, StatusCode::UNAUTHORIZED, "Authorization Required")
        };
        reply.with(header::WWW_AUTHENTICATE, "Basic realm=\"Exotel API\"")
    }

    fn account(&self, request: &Request) -> Reply {
        render::account(request, &self.sid)
    }

    /// What an account without voicebots is told is not documented.
    fn active_streams(&self, request: &Request) -> Reply {
        match self.settings.streams {
            Some(most) => {
                let said = serde_json::json!({ "ActiveStreamCount": 0, "ThrottleLimit": most });
                render::document(request, StatusCode::OK, &[("Stream", said)])
            }
            None => render::exception(request, StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    fn call_details(&mut self, request: &Request, call_sid: &str, now: Timestamp) -> Reply {
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

/// What is counted together (§1.4).
#[derive(Clone, Copy)]
enum Class {
    Details,
    Connect,
    Legs,
}

impl Exotel {
    /// Counts the request; `false` where the limit is used up.
    fn admit(&mut self, class: Class, now: Timestamp) -> bool {
        let settings = &self.settings;
        let (window, limit) = match class {
            Class::Details => (&mut self.details, settings.details_per_minute),
            Class::Connect => (&mut self.connects, settings.connect_per_minute),
            Class::Legs => (&mut self.leg_uses, settings.legs_per_minute),
        };
        let Some(limit) = limit else { return true };
        let left = window.left(limit, now) > 0;
        if left {
            window.book(1);
        }
        left
    }

    fn v1(&mut self, request: &Request, rest: &[&str], now: Timestamp) -> Reply {
        // The `.json` belongs to the last segment, whatever that is.
        let mut bare = rest.to_vec();
        if let Some(last) = bare.last_mut() {
            *last = render::bare(last);
        }
        let class = match bare.as_slice() {
            ["Calls", "connect"] => Some(Class::Connect),
            ["Calls"] | ["Calls", _] => Some(Class::Details),
            ["Calls", _, ..] => Some(Class::Legs),
            _ => None,
        };
        if class.is_some_and(|class| !self.admit(class, now)) {
            return self.refuse(request, StatusCode::TOO_MANY_REQUESTS, None);
        }
        match (&request.method, bare.as_slice()) {
            (&Method::POST, ["Calls", "connect"]) => self.connect(request, now),
            (&Method::GET, ["Calls"]) => self.list(request, now),
            (&Method::GET, ["Calls", call]) if *call != "connect" => self.call_details(request, call, now),
            (&Method::GET, ["Calls", call, "Legs"]) => self.ended_legs(request, call, now),
            (&Method::POST, ["Calls", call, "Legs"]) => self.monitor(request, call, now),
            (&Method::PUT, ["Calls", call, "Legs", leg]) => self.change_leg(request, call, leg, now),
            (&Method::GET, ["Calls", call, "ActiveLegs"]) => self.active_legs(request, call, now),
            (&Method::POST, ["Calls", call, "recording"]) => self.tape(request, call, now),
            // Its case matters, and its answer is XML (§1.1, §5.1).
            (&Method::GET, ["ActiveStreams"]) if rest == ["ActiveStreams"] => self.active_streams(request),
            (&Method::GET, ["Numbers", number]) => self.number_facts(request, number),
            (&Method::POST, ["Sms", "send"]) => self.send_sms(request, now),
            (&Method::GET, ["SMS" | "Sms", "Messages", sid]) => self.sms(request, sid, now),
            (
                _,
                ["Calls"]
                | ["Calls", _]
                | ["Calls", _, "Legs" | "ActiveLegs" | "recording"]
                | ["Calls", _, "Legs", _]
                | ["Numbers", _]
                | ["Sms", "send"]
                | ["SMS" | "Sms", "Messages", _],
            ) => render::exception(request, StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
            _ => render::exception(request, StatusCode::NOT_FOUND, "Not Found"),
        }
    }
}

/// Whether this is of the newer APIs, which say no in their own way.
fn is_v2(request: &Request) -> bool {
    request.path.first().is_some_and(|first| first == "v2")
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
        let reply = self.answer(request, now);
        if self.settings.clock_ahead_s == 0 {
            return reply;
        }
        let told = now.checked_add(jiff::SignedDuration::from_secs(self.settings.clock_ahead_s)).unwrap_or(now);
        reply.with(header::DATE, told.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
    }

    fn refuse(&self, request: &Request, status: StatusCode, retry_after_s: Option<u64>) -> Reply {
        if status == StatusCode::UNAUTHORIZED {
            return self.unauthorised(request);
        }
        if is_v2(request) && status == StatusCode::TOO_MANY_REQUESTS {
            let error = "Rate limit exceeded. Please retry after some time.";
            let body = serde_json::json!({
                "request_id": "xyz123",
                "http_code": 429,
                "response": {"error": {"code": "RATE_LIMIT_EXCEEDED", "message": error}},
            });
            return Reply::json(status, &body);
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

impl Exotel {
    fn answer(&mut self, request: &Request, now: Timestamp) -> Reply {
        // A gateway that answers in XML does not see what it was asked for.
        let stripped = self.settings.always_xml.then(|| {
            let mut stripped = request.clone();
            if let Some(last) = stripped.path.last_mut() {
                *last = render::bare(last).to_owned();
            }
            stripped
        });
        let request = stripped.as_ref().unwrap_or(request);
        let segments = request.segments();
        let sid = self.sid.clone();
        let ours = |given: &str| given == sid;
        // The capital A matters, and so does the small one of the newer APIs (§1.1).
        match (&request.method, segments.as_slice()) {
            (&Method::GET, ["v1", "Accounts", sid]) if ours(render::bare(sid)) => self.account(request),
            (_, ["v1", "Accounts", sid]) if ours(render::bare(sid)) => {
                render::exception(request, StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
            }
            (_, ["v1", "Accounts", sid, rest @ ..]) if ours(sid) => self.v1(request, rest, now),
            (&Method::GET, ["v2_beta", "Accounts", sid, "IncomingPhoneNumbers"]) if ours(sid) => {
                self.list_exophones(request)
            }
            (&Method::PUT, ["v2_beta", "Accounts", sid, "IncomingPhoneNumbers", phone]) if ours(sid) => {
                self.point_exophone(request, phone)
            }
            (&Method::GET, ["v2", "accounts", sid, "incoming-phone-numbers", phone]) if ours(sid) => {
                self.line(request, phone)
            }
            (&Method::GET, ["v2", "accounts", sid, "users"]) if ours(sid) => self.list_users(request),
            (&Method::PUT, ["v2", "accounts", sid, "users", user, "devices", device]) if ours(sid) => {
                self.change_device(request, user, device)
            }
            (&Method::GET | &Method::HEAD, ["exotelrecordings", sid, file]) if ours(sid) => {
                self.recording(request, file, now)
            }
            _ if is_v2(request) => self.v2_failure(request, StatusCode::NOT_FOUND, 1000, "Not Found"),
            _ => render::exception(request, StatusCode::NOT_FOUND, "Not Found"),
        }
    }
}
