//! Calls: placing them, with an answer that may be unknown, and asking for one with its details.

use std::fmt;

use bytes::Bytes;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use patchbay_kit::{PhoneNumber, Request};
use url::Url;

use super::{
    client::{ExotelClient, Host},
    error::ExotelError,
    limits::Class,
    read::{self, Party, Said, open_words, v1},
};
use crate::call::phone;

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
    pub(super) fn read(said: Said<'_>) -> Option<Self> {
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
}
