//! Calls: placing them, asking for one, and listing all of a stretch of time.

use std::{collections::VecDeque, fmt};

use bytes::Bytes;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use patchbay_kit::{PhoneNumber, Request};
use serde_json::Value;
use url::Url;

use super::{
    client::{ExotelClient, Host},
    error::ExotelError,
    limits::Class,
    read::{self, Party, Said, open_words, v1},
};
use crate::call::phone;

/// Exotel lists at most a month at once (exotel-api §5.1); a month has 28 days at least.
const WINDOW: SignedDuration = SignedDuration::from_hours(28 * 24);
/// The most Exotel lists on one page.
const PAGE: usize = 100;
/// Recommended at once; the most is 100 (exotel-api §5.1).
const SIDS: usize = 20;
/// By so much Exotel's clock and ours may differ.
const SKEW: SignedDuration = SignedDuration::from_mins(2);

open_words! {
    /// Where a call stands (exotel-api §2.2).
    CallStatus {
        Queued = "queued",
        Ringing = "ringing",
        InProgress = "in-progress",
        Completed = "completed",
        Failed = "failed",
        Busy = "busy",
        NoAnswer = "no-answer",
        Canceled = "canceled" | "cancelled",
    }
}

impl CallStatus {
    /// Whether nothing more will happen to it. Of a word of tomorrow's that is not known.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Busy | Self::NoAnswer | Self::Canceled)
    }
}

open_words! {
    /// Who began it (exotel-api §2.2).
    CallDirection {
        Inbound = "inbound" | "incoming",
        /// From the dashboard.
        OutboundDial = "outbound-dial",
        /// By the API, or a campaign.
        OutboundApi = "outbound-api",
    }
}

/// A call as Exotel tells of it. Durations, end and price are there some minutes after its end only.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub sid: String,
    pub from: Option<Party>,
    pub to: Option<Party>,
    /// v1 calls it `PhoneNumberSid` (exotel-api §1.7).
    pub exophone: Option<Party>,
    pub status: CallStatus,
    pub direction: Option<CallDirection>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub total_seconds: Option<u32>,
    /// In the account's currency.
    pub price: Option<String>,
    pub recording_url: Option<Url>,
    /// What whoever placed the call had it carry. Not documented for lists; read where it is there.
    pub custom_field: Option<String>,
    /// Only where it was asked for.
    pub conversation_seconds: Option<u32>,
    pub legs: Vec<CallLeg>,
}

/// What a call's details say of a leg (exotel-api §5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallLeg {
    /// From 1.
    pub number: u32,
    pub status: Option<CallStatus>,
    pub on_call_seconds: Option<u32>,
}

impl Call {
    fn read(said: Said<'_>) -> Option<Self> {
        let details = said.at("Details");
        Some(Self {
            sid: said.text("Sid")?,
            from: said.party("From"),
            to: said.party("To"),
            exophone: said.party("PhoneNumberSid").or_else(|| said.party("PhoneNumber")),
            status: CallStatus::read(&said.text("Status").unwrap_or_default()),
            direction: said.text("Direction").map(|word| CallDirection::read(&word)),
            created_at: said.time("DateCreated"),
            updated_at: said.time("DateUpdated"),
            started_at: said.time("StartTime"),
            ended_at: said.time("EndTime"),
            total_seconds: said.count("Duration"),
            price: said.text("Price"),
            recording_url: said.text("RecordingUrl").and_then(|url| Url::parse(&url).ok()),
            custom_field: said.text("CustomField"),
            conversation_seconds: details.and_then(|details| details.count("ConversationDuration")),
            legs: details.map(legs).unwrap_or_default(),
        })
    }
}

fn legs(details: Said<'_>) -> Vec<CallLeg> {
    let said = details.at("Legs").map(|legs| legs.each("Leg")).unwrap_or_default();
    let duration = |number| {
        let leg = said.iter().find(|leg| leg.count("Id") == Some(number))?;
        leg.count("OnCallDuration")
    };
    let status = |number: u32| details.text(&format!("Leg{number}Status")).map(|word| CallStatus::read(&word));
    (1..=2)
        .map(|number| CallLeg { number, status: status(number), on_call_seconds: duration(number) })
        .filter(|leg| leg.status.is_some() || leg.on_call_seconds.is_some())
        .collect()
}

/// Whom the first leg is connected with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The second leg.
    Party(Party),
    /// A flow, by its address.
    Flow(String),
    /// A voicebot, by that of its websocket (exotel-voicebot §4.3).
    Stream(StreamUrl),
}

/// Where a voicebot is reached: the last part of its path is a credential.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamUrl(pub String);

impl fmt::Debug for StreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamUrl(***)")
    }
}

open_words! {
    Channels { Single = "single", Dual = "dual" }
}

/// Where Exotel is to say what became of it.
#[derive(Clone, PartialEq, Eq)]
pub struct StatusCallback {
    pub url: String,
    /// Also when a leg is answered, not only at the end.
    pub answered: bool,
}

/// The URL carries the credential that lets Exotel in.
impl fmt::Debug for StatusCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StatusCallback(***, answered: {})", self.answered)
    }
}

impl StatusCallback {
    pub(super) fn form(&self, form: &mut Vec<(String, String)>) {
        form.push(("StatusCallback".to_owned(), self.url.clone()));
        form.push(("StatusCallbackContentType".to_owned(), "application/json".to_owned()));
        let events = if self.answered { &["terminal", "answered"][..] } else { &["terminal"] };
        for (index, event) in events.iter().enumerate() {
            form.push((format!("StatusCallbackEvents[{index}]"), (*event).to_owned()));
        }
    }
}

/// A call to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Rings first.
    pub from: Party,
    pub to: Reach,
    /// An ExoPhone of the account.
    pub caller_id: PhoneNumber,
    /// `None`: not recorded. Always said: Exotel's own pages differ on what happens otherwise.
    pub record: Option<Channels>,
    pub ring_seconds: Option<u32>,
    pub limit_seconds: Option<u32>,
    /// At most 128 characters. The mark by which a call is found again whose placing is not known of.
    pub custom_field: Option<String>,
    pub callback: Option<StatusCallback>,
}

/// What became of placing a call. There is no fourth thing, and a caller that forgets the third does not compile.
#[derive(Clone, Debug, PartialEq)]
pub enum Dialled {
    /// The first leg was handed to the operator.
    Placed(Box<Call>),
    /// Nobody was rung.
    Refused(ExotelError),
    /// Somebody may have been rung, or may yet be: to be looked for in the list of calls before it is dialled again.
    Unknown { reason: String },
}

/// Whether a listed call is the one that was to be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// It carries our mark.
    Same,
    /// Same people, same ExoPhone, right time; there is no mark to be seen.
    Likely,
    Other,
}

impl Connect {
    fn form(&self) -> Vec<(String, String)> {
        let mut form = vec![("From".to_owned(), self.from.e164())];
        let mut say = |name: &str, value: String| form.push((name.to_owned(), value));
        match &self.to {
            Reach::Party(to) => say("To", to.e164()),
            Reach::Flow(address) => say("Url", address.clone()),
            Reach::Stream(StreamUrl(address)) => {
                say("StreamUrl", address.clone());
                say("StreamType", "bidirectional".to_owned());
            }
        }
        say("CallerId", v1(&self.caller_id));
        say("CallType", "trans".to_owned());
        say("Record", self.record.is_some().to_string());
        if let Some(channels) = &self.record {
            say("RecordingChannels", channels.as_str().to_owned());
        }
        if let Some(seconds) = self.ring_seconds {
            say("TimeOut", seconds.to_string());
        }
        if let Some(seconds) = self.limit_seconds {
            say("TimeLimit", seconds.to_string());
        }
        if let Some(mark) = &self.custom_field {
            say("CustomField", mark.clone());
        }
        if let Some(callback) = &self.callback {
            callback.form(&mut form);
        }
        form
    }

    /// Whether `call`, from the list, is what came of this, sent at `asked_at`.
    pub fn compare(&self, call: &Call, asked_at: Timestamp) -> Likeness {
        match (&self.custom_field, &call.custom_field) {
            (Some(ours), Some(theirs)) if ours == theirs => return Likeness::Same,
            (_, Some(_)) => return Likeness::Other,
            (_, None) => {}
        }
        let same = |ours: &Party, theirs: &Option<Party>| {
            theirs.as_ref().is_some_and(|theirs| phone::same(&ours.e164(), &theirs.e164()))
        };
        let caller_id = Party::Number(self.caller_id.clone());
        // Of a call into a flow, `To` is the ExoPhone (exotel-api §2.2). What it is into a stream is not documented.
        let to = match &self.to {
            Reach::Party(to) => same(to, &call.to),
            Reach::Flow(_) => same(&caller_id, &call.to),
            Reach::Stream(_) => call.to.is_none() || same(&caller_id, &call.to) || same(&self.from, &call.to),
        };
        let when = call.created_at.or(call.started_at);
        // Exotel goes on originating for 30 s, and the answer may have been waited for as long.
        let in_time = when.is_some_and(|when| {
            let since = when.duration_since(asked_at);
            since > -SKEW && since < SKEW + SignedDuration::from_mins(1)
        });
        let by_api = call.direction.as_ref().is_none_or(|direction| *direction != CallDirection::Inbound);
        let exophone = call.exophone.is_none() || same(&caller_id, &call.exophone);
        if in_time && by_api && exophone && to && same(&self.from, &call.from) {
            Likeness::Likely
        } else {
            Likeness::Other
        }
    }
}

/// What Exotel says of a call, as it is kept: in JSON, whatever it came in.
#[derive(Clone, PartialEq, Eq)]
pub enum Told {
    Call(Bytes),
    /// There is no such call in this account.
    NoSuchCall(Bytes),
}

/// The bytes hold numbers.
impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(bytes) => write!(f, "Call({} bytes)", bytes.len()),
            Self::NoSuchCall(bytes) => write!(f, "NoSuchCall({} bytes)", bytes.len()),
        }
    }
}

/// Which calls are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    pub from: Vec<PhoneNumber>,
    pub to: Vec<PhoneNumber>,
    /// ExoPhones, five at most.
    pub exophones: Vec<PhoneNumber>,
    pub status: Option<CallStatus>,
    pub direction: Option<CallDirection>,
}

/// A listed call as Exotel wrote it, in JSON: for the journal.
#[derive(Clone, PartialEq)]
pub struct Verbatim(pub Value);

/// It holds numbers.
impl fmt::Debug for Verbatim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verbatim(***)")
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct CallPage {
    pub calls: Vec<Call>,
    /// The same, word for word, in the same order.
    pub verbatim: Vec<Verbatim>,
    /// How many there are in this window, over all pages.
    pub total: Option<u32>,
}

/// All calls of a stretch of time, page by page, oldest first.
#[derive(Debug)]
pub struct CallPages {
    client: ExotelClient,
    filter: CallFilter,
    windows: VecDeque<(Timestamp, Timestamp)>,
    cursor: Option<(&'static str, String)>,
    class: Class,
}

impl CallPages {
    /// The same, leaving most of the account's limit to everybody else: nobody waits for it.
    #[must_use]
    pub fn sparing(mut self) -> Self {
        self.class = Class::Sweep;
        self
    }

    /// The next page; `None` after the last. After an error, the same page is asked for again.
    pub async fn next(&mut self) -> Option<Result<CallPage, ExotelError>> {
        let (from, to) = *self.windows.front()?;
        let naive = self.client.naive();
        let numbers = |all: &[PhoneNumber]| {
            let all: Vec<&str> = all.iter().map(|number| number.e164.as_str()).collect();
            all.join(",")
        };
        let created = format!("gte:{};lte:{}", naive.written(from), naive.written(to));
        let CallFilter { from, to, exophones, status, direction } = &self.filter;
        let mut request = Request::get("exotel.calls", self.client.v1(["Calls.json"]))
            .query("DateCreated", created)
            .query("PageSize", PAGE)
            .query("SortBy", "DateCreated:asc");
        for (name, values) in [("From", from), ("To", to), ("PhoneNumber", exophones)] {
            if !values.is_empty() {
                request = request.query(name, numbers(values));
            }
        }
        if let Some(status) = status {
            request = request.query("Status", status.as_str());
        }
        if let Some(direction) = direction {
            request = request.query("Direction", direction.as_str());
        }
        if let Some((name, at)) = &self.cursor {
            request = request.query(name, at);
        }
        let read = |said: Said<'_>| {
            let calls = calls(&said)?;
            let verbatim = verbatim(&said);
            let meta = said.at("Metadata");
            let next = meta.and_then(|meta| meta.text("NextPageUri"));
            Some((CallPage { calls, verbatim, total: meta.and_then(|meta| meta.count("Total")) }, next))
        };
        let (page, next) = match self.client.ask(Host::Api, self.class, request, read).await {
            Ok(read) => read,
            Err(error) => return Some(Err(error)),
        };
        match next.as_deref().map(cursor) {
            None => {
                self.windows.pop_front();
                self.cursor = None;
            }
            Some(next) if next.is_some() && next != self.cursor => self.cursor = next,
            // Ending here would pass over calls in silence.
            Some(_) => {
                let reason = "the list goes on, and does not say where".to_owned();
                return Some(Err(ExotelError::Unreadable { reason }));
            }
        }
        Some(Ok(page))
    }
}

/// Where a list goes on. Only the place is taken from the address: host, path and filter stay ours.
fn cursor(uri: &str) -> Option<(&'static str, String)> {
    let (_, query) = uri.split_once('?')?;
    ["After", "Before", "Page", "Offset"].into_iter().find_map(|name| {
        let (_, value) = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name)?;
        (!value.is_empty()).then(|| (name, value.into_owned()))
    })
}

/// A call that cannot be read would be one that a sweep passes over: then the page is not read at all.
fn calls(said: &Said<'_>) -> Option<Vec<Call>> {
    match said.at("Calls") {
        Some(list) => list.each("Call").into_iter().map(Call::read).collect(),
        // In XML an empty list says nothing; that it is one, its metadata say.
        None => said.at("Metadata").map(|_| Vec::new()),
    }
}

fn verbatim(said: &Said<'_>) -> Vec<Verbatim> {
    let listed = said.at("Calls").map(|list| list.each("Call")).unwrap_or_default();
    listed.iter().map(|call| Verbatim(call.value().clone())).collect()
}

impl ExotelClient {
    /// `POST Calls/connect` (exotel-api §2). Sent once, whatever happens.
    pub async fn connect(&self, call: &Connect) -> Dialled {
        let request = Request::post("exotel.connect", self.v1(["Calls", "connect.json"])).form(call.form());
        match self.ask(Host::Api, Class::Connect, request, |said| Call::read(said.at("Call")?)).await {
            Ok(call) => Dialled::Placed(Box::new(call)),
            Err(ExotelError::Unknown { reason } | ExotelError::Unreadable { reason }) => Dialled::Unknown { reason },
            Err(no) => Dialled::Refused(no),
        }
    }

    /// `GET Calls/{CallSid}.json?details=true` (exotel-api §5.1).
    ///
    /// # Errors
    /// [`ExotelError::NotFound`] where there is no such call, and the others.
    pub async fn call(&self, call_sid: &str) -> Result<Call, ExotelError> {
        let request = self.details_request(call_sid);
        self.ask(Host::Api, Class::Details, request, |said| Call::read(said.at("Call")?)).await
    }

    /// The same, as Exotel said it: for the journal.
    ///
    /// # Errors
    /// [`ExotelError`]; that there is no such call is an answer.
    pub async fn told(&self, call_sid: &str) -> Result<Told, ExotelError> {
        let answer = self.send(Host::Api, Class::Details, &self.details_request(call_sid)).await?;
        let plain = |body: &Bytes| match read::body(body) {
            Some(value) if body.trim_ascii_start().starts_with(b"<") => Bytes::from(value.to_string()),
            _ => body.clone(),
        };
        match answer.judged {
            Ok(value) if Said::new(&value, self.naive()).at("Call").is_some() => {
                Ok(Told::Call(plain(&answer.reply.body)))
            }
            Ok(_) => Err(ExotelError::Unreadable { reason: "there is no call in it".to_owned() }),
            Err(ExotelError::NotFound { .. }) if answer.reply.status == StatusCode::NOT_FOUND => {
                Ok(Told::NoSuchCall(plain(&answer.reply.body)))
            }
            Err(error) => Err(error),
        }
    }

    fn details_request(&self, call_sid: &str) -> Request {
        let file = format!("{call_sid}.json");
        Request::get("exotel.call", self.v1(["Calls", &file])).query("details", true)
    }

    /// All calls created from `from` to `to`, both included, to the second. A call may appear in the list some time
    /// after it was placed. Exotel keeps six months.
    pub fn calls_between(&self, from: Timestamp, to: Timestamp, filter: CallFilter) -> CallPages {
        CallPages { client: self.clone(), filter, windows: windows(from, to), cursor: None, class: Class::Details }
    }

    /// These calls; what Exotel does not know is missing.
    ///
    /// # Errors
    /// [`ExotelError`].
    pub async fn calls_by_sid(&self, call_sids: &[&str]) -> Result<Vec<Call>, ExotelError> {
        let mut found = Vec::new();
        for some in call_sids.chunks(SIDS) {
            let request = Request::get("exotel.calls", self.v1(["Calls.json"]))
                .query("Sid", some.join(","))
                .query("PageSize", PAGE);
            found.extend(self.ask(Host::Api, Class::Details, request, |said| calls(&said)).await?);
        }
        Ok(found)
    }
}

/// Whole seconds, for that is what Exotel counts in; each window begins a second after the one before ended.
fn windows(from: Timestamp, to: Timestamp) -> VecDeque<(Timestamp, Timestamp)> {
    let second = SignedDuration::from_secs(1);
    let mut windows = VecDeque::new();
    let mut begin = Timestamp::from_second(from.as_second()).unwrap_or(from);
    while begin <= to {
        let end = begin.checked_add(WINDOW).map_or(to, |end| end.min(to));
        windows.push_back((begin, end));
        let Ok(next) = Timestamp::from_second(end.as_second()).and_then(|end| end.checked_add(second)) else { break };
        begin = next;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_long_stretch_is_asked_for_in_windows_without_gap_and_without_overlap() {
        let month = 28 * 24 * 3600;
        assert_eq!(Vec::from(windows(at(10), at(20))), [(at(10), at(20))]);
        let cut = Vec::from(windows(at(0), at(month * 2)));
        assert_eq!(cut, [(at(0), at(month)), (at(month + 1), at(month * 2))]);
        assert!(windows(at(20), at(10)).is_empty());
    }

    #[test]
    fn only_the_place_is_taken_from_a_next_page() {
        let uri = "https://evil.example/v1/Accounts/other/Calls?PageSize=100&SortBy=x&After=a%2Bb%3D&Before=";
        assert_eq!(cursor(uri), Some(("After", "a+b=".to_owned())));
        assert_eq!(cursor("/v1/Accounts/acme/Calls?PageSize=2"), None);
        assert_eq!(cursor("/v1/Accounts/acme/Calls"), None);
    }
}
