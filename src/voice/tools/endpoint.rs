//! A bot's own tool: an HTTP endpoint of the account's, asked during the call within bounds of time and size. Whoever
//! may set up a bot may name any address, also one of the private network: there most of them are. A redirect is not
//! followed, so that an answer cannot lead elsewhere.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Map, Value, json};
use url::Url;

use super::super::call::Call;
use crate::{
    app::Services,
    config::tool::HttpTool,
    connect::transport::{Limits, Transport},
};

/// Of an answer: a model reads it while the caller waits.
const ANSWER_BYTES: usize = 32 * 1024;
/// Of what an endpoint says of a failure.
const FAILURE_CHARS: usize = 1000;

/// What endpoints are told of the call.
pub(super) struct About(Map<String, Value>);

/// Numbers stand in it.
impl fmt::Debug for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("About")
    }
}

impl About {
    pub(super) fn of(services: &Services, call: &Call, bot: &str) -> Self {
        let told = json!({
            "call_sid": call.call_sid,
            "account": call.account,
            "bot": bot,
            "from": call.told_number(services, call.from.as_deref()),
            "to": call.told_number(services, call.to.as_deref()),
            "direction": call.direction,
            "parameters": call.parameters,
        });
        let Value::Object(told) = told else { return Self(Map::new()) };
        Self(told)
    }

    /// `id` is the service's own of this use of the tool.
    pub(super) fn body(&self, tool: &HttpTool, id: &str, arguments: Value) -> Vec<u8> {
        let mut body = self.0.clone();
        body.insert("tool".to_owned(), tool.name.clone().into());
        body.insert("id".to_owned(), id.into());
        body.insert("arguments".to_owned(), arguments);
        Value::Object(body).to_string().into_bytes()
    }
}

/// Asks, once.
///
/// # Errors
/// For the model, in words.
pub(super) async fn ask(transport: Transport, tool: HttpTool, body: Vec<u8>) -> Result<Value, String> {
    let url = Url::parse(&tool.url).map_err(|_| "the address of this tool is none".to_owned())?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/plain"));
    for (name, value) in &tool.headers {
        if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    let method = http::Method::from_bytes(tool.method.as_str().as_bytes()).unwrap_or(http::Method::POST);
    let limits =
        Limits { request_timeout: Duration::from_secs(u64::from(tool.timeout_seconds)), response_bytes: ANSWER_BYTES };
    let reply = transport.ask(method, &url, headers, body, limits).await.map_err(|lost| lost.to_string())?;
    let said = String::from_utf8_lossy(&reply.body);
    if reply.status.is_success() {
        return Ok(serde_json::from_str(&said).unwrap_or_else(|_| json!({ "result": said.trim() })));
    }
    let said: String = said.trim().chars().take(FAILURE_CHARS).collect();
    Err(match reply.status.is_redirection() || said.is_empty() {
        true => format!("the endpoint answered {}", reply.status.as_u16()),
        false => format!("the endpoint answered {}: {said}", reply.status.as_u16()),
    })
}
