//! What a bot may have done beside what Patchbay does itself: an HTTP endpoint of the account's own, as a tool of its model.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use toml::Table;
use url::Url;

use super::{
    bot::{HEADER_CHARS, URL_CHARS},
    reader::{Problem, Reader},
};

/// What every bot of a service can do: these names are taken.
pub const BUILT_IN: [&str; 4] = ["transfer_to_human", "end_call", "set_field", "note"];
/// Models choose badly among many, and services take no more than some dozens.
pub const TOOLS: usize = 32;
/// What every service takes.
const NAME_CHARS: usize = 64;
const DESCRIPTION_CHARS: usize = 1024;
const SCHEMA_BYTES: usize = 16 * 1024;
/// A caller waits for it.
const TIMEOUT_SECONDS: std::ops::RangeInclusive<i64> = 1..=60;
const HEADERS: usize = 20;

/// How an endpoint is asked. All of them carry the arguments as a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    #[default]
    Post,
    Put,
    Patch,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
        }
    }

    /// # Errors
    /// In words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let found = [Self::Post, Self::Put, Self::Patch].into_iter().find(|one| one.as_str() == text.trim());
        found.ok_or_else(|| "must be POST, PUT or PATCH: the arguments are the body".to_owned())
    }
}

/// One of a bot's own tools.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpTool {
    pub name: String,
    /// By which the model decides when to use it.
    pub description: String,
    /// JSON Schema of the arguments.
    pub parameters: Value,
    /// In its query a credential may stand.
    pub url: String,
    #[serde(default)]
    pub method: Method,
    /// Their values are secret.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub timeout_seconds: u32,
}

impl fmt::Debug for HttpTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpTool({})", self.name)
    }
}

impl HttpTool {
    pub const TIMEOUT_SECONDS: u32 = 10;

    /// Of one that takes no arguments.
    pub fn no_parameters() -> Value {
        json!({ "type": "object", "properties": {} })
    }

    /// Everything that is wrong with it: the field, and what, without its secrets.
    pub fn problems(&self) -> Vec<(String, String)> {
        let Self { name, description, parameters, url, method: _, headers, timeout_seconds } = self;
        let mut wrong = Vec::new();
        let mut say = |field: &str, message: String| wrong.push((field.to_owned(), message));
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        // Of one service a name may not begin with a digit.
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins || name.len() > NAME_CHARS || !name.chars().all(plain) {
            say("name", format!("must be 1 to {NAME_CHARS} letters, digits, _ and -, and begin with a letter"));
        } else if BUILT_IN.contains(&name.as_str()) {
            say("name", format!("is a tool that every bot has: {}", BUILT_IN.join(", ")));
        }
        if description.trim().is_empty() || description.chars().count() > DESCRIPTION_CHARS {
            say("description", format!("must be 1 to {DESCRIPTION_CHARS} characters: by it the model decides"));
        }
        if parameters.get("type").and_then(Value::as_str) != Some("object") {
            say(
                "parameters",
                "must be a JSON Schema of an object: { type = \"object\", properties = { … } }".to_owned(),
            );
        } else if parameters.to_string().len() > SCHEMA_BYTES {
            say("parameters", format!("at most {SCHEMA_BYTES} bytes"));
        }
        if !is_endpoint(url) {
            say("url", "is not an address; write \"https://host/path\", and a credential into headers".to_owned());
        }
        for (name, value) in headers {
            let known = http::HeaderName::from_bytes(name.as_bytes()).is_ok();
            // What the client says itself.
            let ours = ["host", "content-length", "content-type", "transfer-encoding", "connection"];
            let sent = http::HeaderValue::from_str(value).is_ok() && value.len() <= HEADER_CHARS;
            if !known || !sent || ours.contains(&name.to_ascii_lowercase().as_str()) {
                say(&format!("headers.{name}"), "is not a header that can be sent".to_owned());
            }
        }
        if headers.len() > HEADERS {
            say("headers", format!("at most {HEADERS}"));
        }
        if !TIMEOUT_SECONDS.contains(&i64::from(*timeout_seconds)) {
            let (from, to) = (TIMEOUT_SECONDS.start(), TIMEOUT_SECONDS.end());
            say("timeout", format!("must be {from} to {to} seconds: a caller waits for it"));
        }
        wrong
    }
}

fn is_endpoint(text: &str) -> bool {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    url.is_some_and(|url| {
        url.username().is_empty() && url.password().is_none() && url.fragment().is_none() && text.len() <= URL_CHARS
    })
}

/// `[[account.bot.tool]]`: all of them.
pub(super) fn tools(tables: Vec<(String, &Table)>, problems: &mut Vec<Problem>) -> Vec<HttpTool> {
    let mut tools: Vec<HttpTool> = Vec::new();
    for (at, table) in tables {
        let Some(tool) = tool(&at, table, problems) else { continue };
        if tools.iter().any(|other| other.name == tool.name) {
            let message = format!("{:?} is the name of another tool of this bot", tool.name);
            problems.push(Problem { key: format!("{at}.name"), message });
        }
        tools.push(tool);
    }
    if tools.len() > TOOLS {
        problems.push(Problem { key: "account.bot.tool".to_owned(), message: format!("at most {TOOLS} of a bot") });
    }
    tools
}

fn tool(at: &str, table: &Table, problems: &mut Vec<Problem>) -> Option<HttpTool> {
    let mut r = Reader::new(table, at, problems);
    let name = r.required("name", "a short name for the model, as \"order_status\"");
    let description = r.required("description", "when the model is to use it");
    let parameters = object(&mut r, "parameters");
    let url = r.required("url", "the address that is asked");
    let method = r.text("method").map(|text| Method::parse(&text).map_err(|message| r.wrong("method", message)));
    let mut headers = BTreeMap::new();
    for (name, value) in r.table("headers").into_iter().flatten() {
        match value.as_str() {
            Some(text) => drop(headers.insert(name.to_ascii_lowercase(), text.to_owned())),
            None => r.wrong(&format!("headers.{name}"), "must be a string"),
        }
    }
    let timeout = r.duration("timeout").map_or(u64::from(HttpTool::TIMEOUT_SECONDS), |timeout| timeout.as_secs());
    let tool = HttpTool {
        name: name?,
        description: description?,
        parameters: parameters.map_or_else(HttpTool::no_parameters, Value::Object),
        url: url?,
        method: method.transpose().ok()?.unwrap_or_default(),
        headers,
        timeout_seconds: u32::try_from(timeout).unwrap_or(u32::MAX),
    };
    for (field, message) in tool.problems() {
        r.wrong(&field, message);
    }
    r.finish();
    Some(tool)
}

/// An object, as a table or as text in JSON.
pub(super) fn object(r: &mut Reader<'_, '_>, key: &str) -> Option<Map<String, Value>> {
    let read = match r.value(key)? {
        toml::Value::String(text) => serde_json::from_str(text).ok(),
        other => serde_json::to_value(other).ok(),
    };
    match read {
        Some(Value::Object(object)) => Some(object),
        // It may hold a secret, so it is not repeated.
        _ => {
            r.wrong(key, "must be a table, or an object in JSON");
            None
        }
    }
}
