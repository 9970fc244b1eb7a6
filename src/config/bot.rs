//! Voicebots and the DIDs they answer, as the file names them; and what both must be, wherever they are named.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use toml::{Table, Value};
use url::Url;

use super::{
    reader::{Problem, Reader},
    tool::{self, HttpTool},
};
use crate::call::phone;

/// Who the bridge is a client of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// A server that itself speaks Exotel's voicebot protocol.
    Exotel,
    /// A server that speaks Twilio Media Streams.
    Twilio,
    OpenaiRealtime,
    GeminiLive,
    Elevenlabs,
    Deepgram,
    /// Nobody: answers with the caller's own audio.
    Echo,
}

impl Backend {
    pub const ALL: [Self; 7] = [
        Self::Exotel,
        Self::Twilio,
        Self::OpenaiRealtime,
        Self::GeminiLive,
        Self::Elevenlabs,
        Self::Deepgram,
        Self::Echo,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exotel => "exotel",
            Self::Twilio => "twilio",
            Self::OpenaiRealtime => "openai_realtime",
            Self::GeminiLive => "gemini_live",
            Self::Elevenlabs => "elevenlabs",
            Self::Deepgram => "deepgram",
            Self::Echo => "echo",
        }
    }

    /// # Errors
    /// In words, with those there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text.trim());
        found.ok_or_else(|| format!("there is no backend {text:?}; there are: {}", known()))
    }
}

/// A voicebot of the file.
#[derive(Clone)]
pub struct Bot {
    pub id: String,
    pub label: Option<String>,
    /// The last part of its websocket address. `None`: made of the master key.
    pub token: Option<SecretString>,
    pub backend: Backend,
    /// Where the backend is; a credential may stand in its query. None for `echo`.
    pub url: Option<SecretString>,
    pub api_key: Option<SecretString>,
    /// Sent to the backend.
    pub headers: BTreeMap<String, SecretString>,
    pub instructions: Option<String>,
    /// What it says first, of itself.
    pub greeting: Option<String>,
    /// Laid over what the service is sent first. A credential may stand in it.
    pub options: Map<String, Json>,
    /// Whom it hands callers over to where it names nobody.
    pub transfer_to: Option<String>,
    /// Of its own, beside those that every bot has.
    pub tools: Vec<HttpTool>,
    /// What is said is kept as sound.
    pub record: bool,
    /// Samples per second of the audio between Exotel and the bridge.
    pub sample_rate: u32,
}

/// Of its options, that there are some.
impl fmt::Debug for Bot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bot")
            .field("id", &self.id)
            .field("backend", &self.backend)
            .field("options", &self.options.len())
            .field("tools", &self.tools)
            .finish_non_exhaustive()
    }
}

/// A DID: in the file a `[[account.did]]`, or one of a bot's `exophones`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Did {
    /// E.164.
    pub number: String,
    pub label: Option<String>,
    pub bot_id: Option<String>,
    pub flow_url: Option<String>,
}

/// A number stands in it.
impl fmt::Debug for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Did({})", patchbay_kit::mask::number(&self.number))
    }
}

/// What Exotel streams at; the first is what it does unless it is told otherwise.
pub const SAMPLE_RATES: [u32; 3] = [8000, 16_000, 24_000];
/// Fewer characters of a token can be guessed.
const TOKEN_CHARS: usize = 16;
/// Exotel takes 600 in all (exotel-voicebot §1.2).
pub(super) const URL_CHARS: usize = 512;
const ID_CHARS: usize = 64;
/// What stands behind `/exotel/` and is no bot.
const RESERVED: [&str; 3] = ["answer", "callback", "dial-up"];
pub(super) const HEADER_CHARS: usize = 4096;
/// What a bot says first, in some half a minute.
const GREETING_CHARS: usize = 2000;
/// An e-mail address, or `sip:…`.
pub const TARGET_CHARS: usize = 255;
const OPTIONS_BYTES: usize = 64 * 1024;

/// A bot's id: it stands in addresses.
///
/// # Errors
/// In words.
pub fn id(text: &str) -> Result<String, String> {
    let text = text.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if RESERVED.contains(&text) {
        return Err(format!("must be none of {}: they are addresses of their own", RESERVED.join(", ")));
    }
    match !text.is_empty() && text.len() <= ID_CHARS && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err(format!("must be 1 to {ID_CHARS} letters, digits, - and _: it stands in addresses")),
    }
}

/// A token that a person chose.
///
/// # Errors
/// In words, without it.
pub fn token(text: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    match (TOKEN_CHARS..=URL_CHARS).contains(&text.len()) && text.chars().all(plain) {
        true => Ok(()),
        false => Err(format!(
            "must be at least {TOKEN_CHARS} letters, digits, - _ . and ~: it stands in an address, and is its credential"
        )),
    }
}

/// Where a backend is.
///
/// # Errors
/// In words, without it: a credential may have been typed into it.
pub fn backend_url(text: &str) -> Result<String, String> {
    let text = text.trim();
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "ws" | "wss")
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
            && text.len() <= URL_CHARS
    });
    match url {
        Some(_) => Ok(text.to_owned()),
        None => {
            Err("is not an address; write \"wss://host/path\", and a credential as api_key or into headers".to_owned())
        }
    }
}

/// Of a backend and its address: whether they go together.
///
/// # Errors
/// In words.
pub fn reaches(backend: Backend, has_url: bool) -> Result<(), String> {
    match (backend, has_url) {
        (Backend::Echo, true) => Err("is not used by echo, which asks nobody; take it away".to_owned()),
        (Backend::Echo, false) | (_, true) => Ok(()),
        (other, false) => Err(format!("is missing; {} is reached at one", other.as_str())),
    }
}

/// A header that a backend is sent.
///
/// # Errors
/// In words, without its value.
pub fn header(name: &str, value: &str) -> Result<(), String> {
    // What the handshake says itself.
    let ours = ["host", "connection", "upgrade"].contains(&name.to_ascii_lowercase().as_str())
        || name.to_ascii_lowercase().starts_with("sec-websocket-");
    let named = http::HeaderName::from_bytes(name.as_bytes()).is_ok();
    let valued = http::HeaderValue::from_str(value).is_ok() && value.len() <= HEADER_CHARS;
    match named && valued && !ours {
        true => Ok(()),
        false => Err("is not a header that can be sent".to_owned()),
    }
}

/// What a bot says first.
///
/// # Errors
/// In words.
pub fn greeting(text: &str) -> Result<String, String> {
    match text.chars().count() <= GREETING_CHARS {
        true => Ok(text.trim().to_owned()),
        false => Err(format!("at most {GREETING_CHARS} characters")),
    }
}

/// Whom a bot hands over to. Whether that is somebody is seen when it does: agents come and go.
///
/// # Errors
/// In words.
pub fn transfer_to(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.chars().count() <= TARGET_CHARS && !text.chars().any(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(format!("at most {TARGET_CHARS} characters, on one line")),
    }
}

/// What is laid over a service's first message.
///
/// # Errors
/// In words, without it.
pub fn options(given: Map<String, Json>) -> Result<Map<String, Json>, String> {
    match serde_json::to_vec(&given).is_ok_and(|text| text.len() <= OPTIONS_BYTES) {
        true => Ok(given),
        false => Err(format!("at most {OPTIONS_BYTES} bytes")),
    }
}

/// # Errors
/// In words.
pub fn sample_rate(rate: i64) -> Result<u32, String> {
    let found = SAMPLE_RATES.into_iter().find(|known| i64::from(*known) == rate);
    found.ok_or_else(|| format!("must be {}, is {rate}", SAMPLE_RATES.map(|rate| rate.to_string()).join(", ")))
}

/// The address of a flow, as Exotel is told to put a call into it.
///
/// # Errors
/// In words.
pub fn flow_url(text: &str) -> Result<String, String> {
    let text = text.trim();
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && text.len() <= URL_CHARS
    });
    match url {
        Some(_) => Ok(text.to_owned()),
        None => {
            Err("is not the address of a flow; write \"https://my.exotel.com/<sid>/exoml/start_voice/<flow>\""
                .to_owned())
        }
    }
}

/// A number as it is kept.
///
/// # Errors
/// In words.
pub fn did_number(text: &str, country: &str) -> Result<String, String> {
    let parsed = phone::parse(text, country).map(|number| number.e164);
    parsed.ok_or_else(|| "is not a phone number; write an ExoPhone as \"+918047494574\"".to_owned())
}

fn checked<T>(r: &mut Reader<'_, '_>, key: &str, read: Result<T, String>) -> Option<T> {
    read.map_err(|message| r.wrong(key, message)).ok()
}

/// `[[account.bot]]`, and the numbers of its `exophones`.
pub(super) fn bot(at: &str, table: &Table, country: &str, problems: &mut Vec<Problem>) -> Option<(Bot, Vec<Did>)> {
    let mut r = Reader::new(table, at, problems);
    let own = r.required("id", "a short name of the bot").and_then(|text| checked(&mut r, "id", id(&text)));
    let label = r.text("label");
    let token = r.text("token").and_then(|text| checked(&mut r, "token", token(&text)).map(|()| text.into()));
    let words = Backend::ALL.map(Backend::as_str).join(", ");
    let backend = r.required("backend", &format!("one of {words}"));
    let backend = backend.and_then(|text| checked(&mut r, "backend", Backend::parse(&text)));
    let url = r.text("url");
    if let Some(backend) = backend {
        checked(&mut r, "url", reaches(backend, url.is_some()));
    }
    let url = url.and_then(|text| checked(&mut r, "url", backend_url(&text)));
    let api_key = r.secret("api_key");
    let mut headers = BTreeMap::new();
    for (name, value) in r.table("headers").into_iter().flatten() {
        let key = format!("headers.{name}");
        match value {
            Value::String(text) => {
                if checked(&mut r, &key, header(name, text)).is_some() {
                    headers.insert(name.to_ascii_lowercase(), text.clone().into());
                }
            }
            _ => r.wrong(&key, "must be a string"),
        }
    }
    let instructions = r.text("instructions");
    let greeting = r.text("greeting").and_then(|text| checked(&mut r, "greeting", greeting(&text)));
    let options = tool::object(&mut r, "options").and_then(|given| checked(&mut r, "options", options(given)));
    let transfer_to = r.text("transfer_to").and_then(|text| checked(&mut r, "transfer_to", transfer_to(&text)));
    let tools = r.tables("tool");
    let record = r.bool("record", false);
    let rate = r.number("sample_rate", 1..=i64::from(u32::MAX)).unwrap_or(i64::from(SAMPLE_RATES[0]));
    let rate = checked(&mut r, "sample_rate", sample_rate(rate));
    let mut dids = Vec::new();
    for (at, text) in r.texts("exophones").unwrap_or_default().iter().enumerate() {
        if let Some(number) = checked(&mut r, &format!("exophones[{at}]"), did_number(text, country)) {
            dids.push(Did { number, label: None, bot_id: own.clone(), flow_url: None });
        }
    }
    r.finish();
    let tools = tool::tools(tools, problems);
    let bot = Bot {
        id: own?,
        label,
        token,
        backend: backend?,
        url: url.map(SecretString::from),
        api_key,
        headers,
        instructions,
        greeting: greeting.filter(|text| !text.is_empty()),
        options: options.unwrap_or_default(),
        transfer_to: transfer_to.filter(|text| !text.is_empty()),
        tools,
        record,
        sample_rate: rate?,
    };
    Some((bot, dids))
}

/// `[[account.did]]`. Its bot may be one that is kept in the store: whether it is there, `patchbay check` says.
pub(super) fn did(at: &str, table: &Table, country: &str, problems: &mut Vec<Problem>) -> Option<Did> {
    let mut r = Reader::new(table, at, problems);
    let number = r.required("number", "the ExoPhone as \"+918047494574\"");
    let number = number.and_then(|text| checked(&mut r, "number", did_number(&text, country)));
    let label = r.text("label");
    let bot_id = r.text("bot_id").and_then(|text| checked(&mut r, "bot_id", id(&text)));
    let flow = r.text("flow_url").and_then(|text| checked(&mut r, "flow_url", flow_url(&text)));
    r.finish();
    Some(Did { number: number?, label, bot_id, flow_url: flow })
}

/// All DIDs of an account: a bot's `exophones` and a `[[account.did]]` of one number are one DID.
pub(super) fn dids(at: &str, named: Vec<Did>, of_bots: Vec<Did>, problems: &mut Vec<Problem>) -> Vec<Did> {
    let mut all: Vec<Did> = Vec::new();
    let mut wrong = |key: String, message: &str| problems.push(Problem { key, message: message.to_owned() });
    for (index, did) in named.into_iter().enumerate() {
        match all.iter().any(|other| other.number == did.number) {
            true => wrong(format!("{at}.did[{index}].number"), "is the number of another DID; name each once"),
            false => all.push(did),
        }
    }
    for did in of_bots {
        let id = did.bot_id.clone().unwrap_or_default();
        match all.iter_mut().find(|other| other.number == did.number) {
            None => all.push(did),
            Some(other) if other.bot_id.is_none() => other.bot_id = did.bot_id,
            Some(other) if other.bot_id == did.bot_id => {}
            Some(_) => wrong(
                format!("{at}.bot"),
                &format!("an ExoPhone of {id:?} is given to another bot as well; one bot answers it"),
            ),
        }
    }
    all
}

#[cfg(test)]
mod tests;
