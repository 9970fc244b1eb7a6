//! A command's way to the service that runs with the same configuration: its own API, as super_admin.

use std::time::Duration;

use patchbay_kit::{Request, Response};
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use crate::{
    config::Config,
    connect::transport::{Credentials, Limits, Transport},
};

/// The service, as its operator reaches it.
#[derive(Debug)]
pub struct Operator<'a> {
    at: Url,
    credentials: Credentials,
    transport: &'a Transport,
}

impl<'a> Operator<'a> {
    /// # Errors
    /// In words: what the configuration lacks.
    pub fn of(config: &Config, transport: &'a Transport) -> Result<Self, String> {
        let token: &SecretString =
            config.server.admin_token.as_ref().ok_or("server.admin_token is not set: the service cannot be asked")?;
        let mut listen = config.server.listen;
        if listen.ip().is_unspecified() {
            listen.set_ip(if listen.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
        }
        let at = Url::parse(&format!("http://{listen}")).map_err(|error| error.to_string())?;
        Ok(Self { at, credentials: Credentials::token("Bearer ", token), transport })
    }

    /// # Errors
    /// In words: that it does not run, or what it said.
    pub async fn post<const N: usize>(&self, label: &'static str, path: [&str; N]) -> Result<Value, String> {
        self.send(&Request::post(label, path)).await
    }

    /// # Errors
    /// As [`Operator::post`].
    pub async fn get<const N: usize>(&self, label: &'static str, path: [&str; N]) -> Result<Value, String> {
        self.send(&Request::get(label, path)).await
    }

    async fn send(&self, request: &Request) -> Result<Value, String> {
        let limits = Limits { request_timeout: Duration::from_secs(60), response_bytes: 1024 * 1024 };
        let sent = self.transport.send(&self.at, &self.credentials, request, limits).await;
        let Response { status, body, .. } = sent
            .map_err(|lost| format!("the service at {} does not answer ({lost}); start `patchbay serve`", self.at))?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let said = answer.pointer("/error/message").or(answer.get("error")).and_then(Value::as_str);
        Err(said.map_or_else(|| format!("the service answered {status}"), str::to_owned))
    }
}
