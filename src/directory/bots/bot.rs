//! One voicebot: what is known of it, and how it is checked before it is believed.

use std::{collections::BTreeMap, fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;

use super::{
    hidden,
    tool::{self, ToolPatch, ToolShown},
};
use crate::{
    codes::Code,
    config::{self, Backend, bot as rules, tool::HttpTool},
    directory::{
        agent::{Problem, named},
        kept::{Known, Named},
    },
    key::{self, MasterKey},
    store::{Document, DocumentKind, DocumentRef, StoreError, Writing},
};

/// What its credentials are sealed for, with account and id.
pub const SEALED_FOR: &str = "bot";
/// How long a rotated token goes on working.
const OVERLAP: Duration = Duration::from_secs(7 * 86_400);
const LABEL_CHARS: usize = 100;
/// What a model is told at the start of each call.
const INSTRUCTIONS_CHARS: usize = 32_000;
const KEY_CHARS: usize = 4096;
const HEADERS: usize = 20;
/// Of a backend's address: what may be shown of its query. In anything else a credential may stand.
const SHOWN: [&str; 5] = ["agent_id", "encoding", "model", "sample_rate", "version"];

/// A bot's token, as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Token {
    /// SHA-256, in hexadecimal digits.
    hash: String,
    expires_at: Option<Timestamp>,
}

/// What must be shown to nobody.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Secrets {
    /// In its query a credential may stand.
    url: Option<String>,
    api_key: Option<String>,
    headers: BTreeMap<String, String>,
    options: Map<String, Value>,
    tools: Vec<HttpTool>,
}

/// What is known of a bot, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Bot {
    pub label: Option<String>,
    pub backend: Backend,
    pub instructions: Option<String>,
    pub greeting: Option<String>,
    pub transfer_to: Option<String>,
    pub record: bool,
    pub sample_rate: u32,
    tokens: Vec<Token>,
    secrets: Secrets,
    /// They were sealed with another master key.
    pub secrets_lost: bool,
}

impl fmt::Debug for Bot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bot").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// The part of a document that may be read.
#[derive(Serialize, Deserialize)]
struct Body {
    label: Option<String>,
    backend: Backend,
    instructions: Option<String>,
    #[serde(default)]
    greeting: Option<String>,
    #[serde(default)]
    transfer_to: Option<String>,
    #[serde(default)]
    record: bool,
    sample_rate: u32,
    tokens: Vec<Token>,
}

pub(super) fn new_token() -> Result<String, String> {
    key::token::<24>()
}

pub(super) fn token_of_file(account: &str, bot: &str, key: &MasterKey) -> String {
    URL_SAFE_NO_PAD.encode(key.derive("voicebot token", &[account, bot]))
}

impl Bot {
    /// What a new one begins as: it answers with an echo until it is told otherwise, which making it demands.
    pub(super) fn with_token(token: &str) -> Self {
        Self {
            label: None,
            backend: Backend::Echo,
            instructions: None,
            greeting: None,
            transfer_to: None,
            record: false,
            sample_rate: rules::SAMPLE_RATES[0],
            tokens: vec![Token { hash: key::hash(token), expires_at: None }],
            secrets: Secrets::default(),
            secrets_lost: false,
        }
    }

    pub(super) fn of_file(bot: &config::Bot, token: &str) -> Self {
        let text = |secret: &secrecy::SecretString| secret.expose_secret().to_owned();
        Self {
            label: bot.label.clone(),
            backend: bot.backend,
            instructions: bot.instructions.clone(),
            greeting: bot.greeting.clone(),
            transfer_to: bot.transfer_to.clone(),
            record: bot.record,
            sample_rate: bot.sample_rate,
            secrets: Secrets {
                url: bot.url.as_ref().map(text),
                api_key: bot.api_key.as_ref().map(text),
                headers: bot.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
                options: bot.options.clone(),
                tools: bot.tools.clone(),
            },
            ..Self::with_token(token)
        }
    }

    /// Where the backend is.
    pub fn url(&self) -> Option<&str> {
        self.secrets.url.as_deref()
    }

    pub fn api_key(&self) -> Option<&str> {
        self.secrets.api_key.as_deref()
    }

    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.secrets.headers
    }

    /// Where the backend is, without what may be a credential.
    pub fn url_shown(&self) -> Option<String> {
        hidden::address(self.url()?, &SHOWN)
    }

    /// Laid over what the service is sent first.
    pub fn options(&self) -> &Map<String, Value> {
        &self.secrets.options
    }

    /// The same, without what is called as credentials are.
    pub fn options_shown(&self) -> Map<String, Value> {
        hidden::options(self.options())
    }

    /// Of its own, beside those that every bot has.
    pub fn tools(&self) -> &[HttpTool] {
        &self.secrets.tools
    }

    pub fn tools_shown(&self) -> Vec<ToolShown> {
        self.tools().iter().map(tool::shown).collect()
    }

    /// When the token that was rotated away ends, as long as it still works.
    pub fn old_token_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.tokens.iter().filter_map(|token| token.expires_at).filter(|until| *until > now).max()
    }

    pub(super) fn takes(&self, hash: &str, now: Timestamp) -> bool {
        self.tokens.iter().any(|token| {
            let same: bool = token.hash.as_bytes().ct_eq(hash.as_bytes()).into();
            same && token.expires_at.is_none_or(|until| until > now)
        })
    }

    /// Of those that were rotated away before, the last alone stays beside the new one.
    pub(super) fn rotated(&self, token: &str, now: Timestamp) -> Self {
        let until = now.checked_add(OVERLAP).unwrap_or(now);
        let old = self.tokens.iter().find(|token| token.expires_at.is_none());
        let old = old.map(|old| Token { hash: old.hash.clone(), expires_at: Some(until) });
        let new = Token { hash: key::hash(token), expires_at: None };
        Self { tokens: old.into_iter().chain([new]).collect(), ..self.clone() }
    }
}

impl Known for Bot {
    const KIND: DocumentKind = DocumentKind::Bot;

    fn written(&self, at: &DocumentRef, key: &MasterKey) -> Result<Writing, StoreError> {
        let wordless = |error: serde_json::Error| {
            StoreError::Unwritable(format!("a bot cannot be put in words: {:?}", error.classify()))
        };
        let body = Body {
            label: self.label.clone(),
            backend: self.backend,
            instructions: self.instructions.clone(),
            greeting: self.greeting.clone(),
            transfer_to: self.transfer_to.clone(),
            record: self.record,
            sample_rate: self.sample_rate,
            tokens: self.tokens.clone(),
        };
        let plain = serde_json::to_vec(&self.secrets).map_err(wordless)?;
        let sealed = key.seal(SEALED_FOR, &[&at.account, &at.id], &plain).map_err(StoreError::Unwritable)?;
        let body = serde_json::to_value(body).map_err(wordless)?;
        Ok(Writing { body, sealed: Some(sealed), ..Writing::default() })
    }

    fn read(document: &Document, key: &MasterKey) -> Result<Self, StoreError> {
        let unreadable = |_| StoreError::Unreadable("stored bot is not of a known form".to_owned());
        let Body { label, backend, instructions, greeting, transfer_to, record, sample_rate, tokens } =
            serde_json::from_value(document.says.body.clone()).map_err(unreadable)?;
        let (account, id) = (&document.at.account, &document.at.id);
        let sealed = document.says.sealed.as_deref();
        let opened = sealed.and_then(|sealed| key.open(SEALED_FOR, &[account, id], sealed));
        let secrets = opened.and_then(|plain| serde_json::from_slice::<Secrets>(&plain).ok());
        let secrets_lost = secrets.is_none();
        if secrets_lost {
            tracing::error!(
                code = %Code::WrongMasterKey, account, bot = id,
                "a bot's address and credentials were sealed with another master key, and it cannot answer; give \
                 that key as server.previous_key_files, or give them anew"
            );
        }
        let secrets = secrets.unwrap_or_default();
        Ok(Self {
            label,
            backend,
            instructions,
            greeting,
            transfer_to,
            record,
            sample_rate,
            tokens,
            secrets,
            secrets_lost,
        })
    }

    fn difference(was: Option<&Self>, now: Option<&Self>) -> Value {
        let of = |bot: Option<&Self>| {
            let url = bot.and_then(Self::url_shown);
            let names: Option<Vec<String>> = bot.map(|bot| bot.headers().keys().cloned().collect());
            let tools: Option<Vec<&str>> = bot.map(|bot| bot.tools().iter().map(|tool| tool.name.as_str()).collect());
            [
                ("label", json!(bot.and_then(|bot| bot.label.as_ref()))),
                ("backend", json!(bot.map(|bot| bot.backend))),
                ("url", json!(url)),
                ("sample_rate", json!(bot.map(|bot| bot.sample_rate))),
                ("record", json!(bot.map(|bot| bot.record))),
                ("tools", json!(tools.filter(|tools| !tools.is_empty()))),
                ("headers", json!(names.filter(|names| !names.is_empty()))),
            ]
        };
        let told = of(was).into_iter().zip(of(now)).filter(|((_, was), (_, now))| was != now).map(|(_, now)| now);
        let mut told: Map<String, Value> = told.map(|(field, now)| (field.to_owned(), now)).collect();
        // Of these, that they changed.
        let (Some(was), Some(now)) = (was, now) else { return told.into() };
        for (field, same) in [
            ("url", was.secrets.url == now.secrets.url),
            ("headers", was.secrets.headers == now.secrets.headers),
            ("api_key", was.secrets.api_key == now.secrets.api_key),
            ("instructions", was.instructions == now.instructions),
            ("greeting", was.greeting == now.greeting),
            ("options", was.options() == now.options()),
            ("transfer_to", was.transfer_to == now.transfer_to),
            ("tools", was.tools() == now.tools()),
            ("token", was.tokens == now.tokens),
        ] {
            if !same {
                told.entry(field).or_insert("changed".into());
            }
        }
        told.into()
    }
}

impl Named for Bot {
    /// Its id alone is its own.
    fn name(&self) -> Option<&str> {
        None
    }

    fn taken(&self, _: bool) -> Problem {
        Problem::new("id", "is another bot's")
    }
}

/// What is to change of a bot: what is not named stays, `null` takes it away.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BotPatch {
    /// Of a new one.
    pub id: Option<String>,
    #[serde(deserialize_with = "named")]
    pub label: Option<Option<String>>,
    pub backend: Option<String>,
    #[serde(deserialize_with = "named")]
    pub url: Option<Option<String>>,
    #[serde(deserialize_with = "named")]
    pub api_key: Option<Option<String>>,
    pub headers: BTreeMap<String, Option<String>>,
    #[serde(deserialize_with = "named")]
    pub instructions: Option<Option<String>>,
    /// What it says first, of itself.
    #[serde(deserialize_with = "named")]
    pub greeting: Option<Option<String>>,
    /// Laid over what the service is sent first.
    #[serde(deserialize_with = "named")]
    pub options: Option<Option<Map<String, Value>>>,
    /// Whom it hands callers over to where it names nobody.
    #[serde(deserialize_with = "named")]
    pub transfer_to: Option<Option<String>>,
    /// All of its own.
    #[serde(deserialize_with = "named")]
    pub tools: Option<Option<Vec<ToolPatch>>>,
    pub record: Option<bool>,
    pub sample_rate: Option<i64>,
    /// The version that was read: the change is refused if there is a newer one.
    pub version: Option<i64>,
}

impl fmt::Debug for BotPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BotPatch").field("id", &self.id).field("version", &self.version).finish_non_exhaustive()
    }
}

impl BotPatch {
    /// What a whole bot is that says no more than this: what is not named is taken away, but for what nobody can read
    /// and say again.
    #[must_use]
    pub fn whole(self) -> Self {
        Self {
            label: Some(self.label.flatten()),
            url: Some(self.url.flatten()),
            instructions: Some(self.instructions.flatten()),
            greeting: Some(self.greeting.flatten()),
            options: Some(self.options.flatten()),
            transfer_to: Some(self.transfer_to.flatten()),
            tools: Some(self.tools.flatten()),
            record: Some(self.record.unwrap_or_default()),
            sample_rate: Some(self.sample_rate.unwrap_or(i64::from(rules::SAMPLE_RATES[0]))),
            backend: Some(self.backend.unwrap_or_default()),
            ..self
        }
    }

    /// The bot as it is then.
    ///
    /// # Errors
    /// Everything that is wrong with it, not only the first.
    pub(super) fn onto(&self, was: &Bot) -> Result<Bot, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut now = was.clone();
        let mut take = |field: &str, given: &Option<Option<String>>, read: &dyn Fn(&str) -> Result<String, String>| {
            let given = given.as_ref()?;
            match given.as_deref().filter(|text| !text.trim().is_empty()).map(read).transpose() {
                Ok(value) => Some(value),
                Err(message) => {
                    problems.push(Problem::new(field, message));
                    None
                }
            }
        };
        if let Some(value) = take("label", &self.label, &label) {
            now.label = value;
        }
        // Who sends back what he was shown means what there is.
        let shown = was.url_shown();
        let address = |text: &str| match Some(text) == shown.as_deref() {
            true => Ok(was.url().unwrap_or_default().to_owned()),
            false => rules::backend_url(text),
        };
        if let Some(value) = take("url", &self.url, &address) {
            now.secrets.url = value;
        }
        if let Some(value) = take("api_key", &self.api_key, &secret) {
            now.secrets.api_key = value;
        }
        if let Some(value) = take("instructions", &self.instructions, &instructions) {
            now.instructions = value;
        }
        if let Some(value) = take("greeting", &self.greeting, &rules::greeting) {
            now.greeting = value;
        }
        if let Some(value) = take("transfer_to", &self.transfer_to, &rules::transfer_to) {
            now.transfer_to = value;
        }
        if let Some(given) = &self.options {
            let given = given.clone().unwrap_or_default();
            match rules::options(hidden::given(given, was.options())) {
                Ok(options) => now.secrets.options = options,
                Err(message) => problems.push(Problem::new("options", message)),
            }
        }
        if let Some(given) = &self.tools {
            now.secrets.tools = tool::onto(given.as_deref().unwrap_or_default(), was.tools(), &mut problems);
        }
        now.record = self.record.unwrap_or(was.record);
        for (name, value) in &self.headers {
            let key = name.to_ascii_lowercase();
            match value {
                None => drop(now.secrets.headers.remove(&key)),
                Some(value) => match rules::header(name, value) {
                    Ok(()) => drop(now.secrets.headers.insert(key, value.clone())),
                    Err(message) => problems.push(Problem::new(&format!("headers.{name}"), message)),
                },
            }
        }
        if now.secrets.headers.len() > HEADERS {
            problems.push(Problem::new("headers", format!("at most {HEADERS}")));
        }
        match self.backend.as_deref().map(Backend::parse) {
            Some(Ok(backend)) => now.backend = backend,
            Some(Err(message)) => problems.push(Problem::new("backend", message)),
            None => {}
        }
        match self.sample_rate.map(rules::sample_rate) {
            Some(Ok(rate)) => now.sample_rate = rate,
            Some(Err(message)) => problems.push(Problem::new("sample_rate", message)),
            None => {}
        }
        let told = |field: &str| problems.iter().any(|problem| problem.field == field);
        if !told("url")
            && !told("backend")
            && let Err(message) = rules::reaches(now.backend, now.secrets.url.is_some())
        {
            problems.push(Problem::new("url", message));
        }
        now.secrets_lost &= now.secrets == was.secrets;
        if problems.is_empty() { Ok(now) } else { Err(problems) }
    }
}

pub(super) fn label(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.chars().count() <= LABEL_CHARS && !text.chars().any(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(format!("at most {LABEL_CHARS} characters, on one line")),
    }
}

fn instructions(text: &str) -> Result<String, String> {
    match text.chars().count() <= INSTRUCTIONS_CHARS {
        true => Ok(text.to_owned()),
        false => Err(format!("at most {INSTRUCTIONS_CHARS} characters")),
    }
}

fn secret(text: &str) -> Result<String, String> {
    match text.len() <= KEY_CHARS && !text.chars().any(char::is_control) {
        true => Ok(text.trim().to_owned()),
        false => Err(format!("at most {KEY_CHARS} characters, on one line")),
    }
}
