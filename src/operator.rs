//! Commands that the running service carries out: it alone may hold the store and renew tokens. They reach it by its own
//! API, as super_admin.

use std::{path::Path, process::ExitCode, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{Request, Response};
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use crate::{
    config::{self, Config},
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

    /// # Errors
    /// As [`Operator::post`].
    pub async fn send(&self, request: &Request) -> Result<Value, String> {
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

/// How often it is looked whether the person has consented.
const LOOK: Duration = Duration::from_secs(1);

/// `patchbay connect`: prints the consent's address, and waits until the service has the tokens.
pub async fn connect(path: &Path, integration: &str) -> ExitCode {
    match connected(path, integration).await {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("patchbay: {}", error.trim_end());
            ExitCode::FAILURE
        }
    }
}

async fn connected(path: &Path, integration: &str) -> Result<String, String> {
    let config = config::load(path).map_err(|error| error.to_string())?;
    let transport = Transport::new(config.delivery.connect_timeout)?;
    let service = Operator::of(&config, &transport);
    let (sid, name) = match find(&of_file(&config), integration) {
        Ok(found) => found,
        // It may have been made by the API: the service knows.
        Err(unknown) => {
            find(&of_service(service.as_ref().map_err(String::clone)?).await.map_err(|_| unknown)?, integration)?
        }
    };
    let (service, sid, name) = (service?, sid.as_str(), name.as_str());
    let place = ["api", "v1", "accounts", sid, "integrations", name];
    let before = service.get("integration.show", place).await?;
    let begun =
        service.post("integration.connect", ["api", "v1", "accounts", sid, "integrations", name, "connect"]).await?;
    let text = |key: &str| begun.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    println!("The app in the CRM must have this redirect URL:\n\n  {}\n", text("redirect_uri"));
    println!("Open this address in a browser, log in to the CRM as the user Patchbay shall work as, and consent:\n");
    println!("  {}\n", text("url"));
    let until: Timestamp = text("expires_at").parse().map_err(|_| "the service names no end of the consent")?;
    println!("Waiting until {until} …");
    loop {
        tokio::time::sleep(LOOK).await;
        let now = service.get("integration.show", place).await?;
        let since = |shown: &Value| shown.pointer("/connected/since").cloned();
        let by = now.pointer("/connected/by").and_then(Value::as_str);
        if by == Some("consent") && since(&now) != since(&before) {
            return Ok(format!("{sid}/{name} is connected."));
        }
        if Timestamp::now() > until {
            return Err("nobody consented in time; run this again".to_owned());
        }
    }
}

/// Integrations, by account and name.
type Names = Vec<(String, String)>;

fn of_file(config: &Config) -> Names {
    let all = config.accounts.iter().flat_map(|account| {
        account.integrations.iter().map(|integration| (account.sid.clone(), integration.name.clone()))
    });
    all.collect()
}

async fn of_service(service: &Operator<'_>) -> Result<Names, String> {
    let texts = |list: &Value, of: &str, key: &str| -> Vec<String> {
        let all = list.get(of).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(|one| one.get(key)?.as_str().map(str::to_owned)).collect()
    };
    let accounts = service.get("accounts.list", ["api", "v1", "accounts"]).await?;
    let mut names = Vec::new();
    for sid in texts(&accounts, "accounts", "sid") {
        let listed = service.get("integrations.list", ["api", "v1", "accounts", &sid, "integrations"]).await?;
        names.extend(texts(&listed, "integrations", "name").into_iter().map(|name| (sid.clone(), name)));
    }
    Ok(names)
}

fn find(all: &[(String, String)], wanted: &str) -> Result<(String, String), String> {
    let fits = |(sid, name): &&(String, String)| name == wanted || format!("{sid}/{name}") == wanted;
    let found: Vec<_> = all.iter().filter(fits).collect();
    let names = |of: &mut dyn Iterator<Item = &(String, String)>| {
        of.map(|(sid, name)| format!("{sid}/{name}")).collect::<Vec<_>>().join(", ")
    };
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(format!("there is no integration {wanted:?}; there are: {}", names(&mut all.iter()))),
        _ => Err(format!("several accounts have it; say which: {}", names(&mut found.into_iter()))),
    }
}
