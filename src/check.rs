//! `patchbay check`: is this configuration right, and what is to be done next?

mod bots;
mod exotel;
mod recipe;

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use jiff::Timestamp;
use patchbay_kit::{Agent, Kind};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    accounts,
    app::{self, StartError, Vault},
    codes::Code,
    config::{self, Account, Config, Integration},
    connect::{
        expiry::{Expiry, Standing},
        oauth::NOT_CONNECTED,
        transport::Transport,
    },
    context,
    delivery::Stop,
    key::MasterKey,
    operator::Operator,
    store::StoreError,
    telemetry::Metrics,
};
use exotel::Ledger;

/// Tries a configuration: one line for each credential, with the cause and the cure; then what to paste where.
pub async fn run(path: &Path) -> ExitCode {
    let mut config = match config::load(path) {
        Ok(config) => config,
        Err(error) => {
            eprint!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let transport = match Transport::new(config.delivery.connect_timeout) {
        Ok(transport) => transport,
        Err(error) => {
            eprintln!("patchbay: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut tokens = Tokens::find(&config).await;
    let ledger = Ledger::find(&config, &tokens).await;
    if let (Tokens::Needless, Ledger::Store(store)) = (&tokens, &ledger)
        && let Some(key) = key(&config)
    {
        // What is kept there may need tokens, too.
        tokens = Tokens::Vault(Vault { store: Arc::clone(store), key });
    }
    let told = match take_in(&mut config, &tokens).await {
        Ok(broken) => tell(&config, path, &transport, &tokens, &ledger).await.map(|failures| failures + broken),
        Err(error) => Err(error),
    };
    ledger.close(&tokens).await;
    if let Tokens::Vault(vault) = tokens {
        vault.store.close().await;
    }
    ended(told.map(|failures| if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}

/// The master key, if there is one yet: it is made when the service starts first, and a check makes nothing.
fn key(config: &Config) -> Option<MasterKey> {
    let database = config.store.url.file().unwrap_or(Path::new(""));
    let key = MasterKey::load(config.server.master_key_file.as_deref(), database)?;
    key.with_previous(&config.server.previous_key_files).ok()
}

/// Puts the accounts that are kept in the store beside those of the file, where it can be opened. Returns how many cannot
/// be run.
async fn take_in(config: &mut Config, tokens: &Tokens) -> io::Result<u32> {
    let Tokens::Vault(Vault { store, key }) = tokens else { return Ok(0) };
    let entries = match accounts::read(&config.accounts, store.as_ref(), key, false).await {
        Ok(entries) => entries,
        Err(error) => {
            let (place, code) = (config.store.url.place(), Code::StoreUnavailable);
            line(format_args!("FAIL  {place}: {code}: accounts kept there cannot be read: {error}"))?;
            return Ok(1);
        }
    };
    let mut failures = 0;
    for entry in &entries {
        for (name, kept) in &entry.integrations {
            if let Some(reason) = &kept.broken {
                failures += 1;
                line(format_args!("FAIL  {}/{name}: {}: {reason}", entry.account.sid, Code::CannotBeRun))?;
            }
        }
    }
    config.accounts = entries.into_iter().map(|entry| Account::clone(&entry.account)).collect();
    Ok(failures)
}

/// Has the running service try the integrations that were made by its API. Returns how many failed.
async fn ask_of_kept(config: &Config, transport: &Transport) -> io::Result<u32> {
    let kept = async {
        let service = Operator::of(config, transport)?;
        let of_store = |list: &Value, of: &str, id: &str| -> Vec<String> {
            let all = list.get(of).and_then(Value::as_array).into_iter().flatten();
            let kept = all.filter(|one| id == "sid" || one.get("source").is_some_and(|source| source == "store"));
            kept.filter_map(|one| one.get(id)?.as_str().map(str::to_owned)).collect()
        };
        let accounts = service.get("accounts.list", ["api", "v1", "accounts"]).await?;
        let mut lines = Vec::new();
        for sid in of_store(&accounts, "accounts", "sid") {
            let path = ["api", "v1", "accounts", &sid, "integrations"];
            let integrations = service.get("integrations.list", path).await?;
            for name in of_store(&integrations, "integrations", "name") {
                let path = ["api", "v1", "accounts", &sid, "integrations", &name, "verify"];
                let answer = service.post("integration.verify", path).await;
                lines.push((format!("{sid}/{name}"), answer));
            }
        }
        Ok::<_, String>(lines)
    };
    let lines = match kept.await {
        Ok(lines) => lines,
        Err(error) => {
            let code = Code::NotTried;
            line(format_args!("warn  {code}: accounts and integrations made by the API are not tried: {error}"))?;
            return Ok(0);
        }
    };
    let mut failures = 0;
    for (place, answer) in lines {
        let refused = match &answer {
            Err(error) => Some(format!("{}: {error}", Code::NotTried)),
            Ok(answer) => answer.get("error").and_then(Value::as_str).map(str::to_owned),
        };
        match refused {
            Some(error) => {
                failures += 1;
                line(format_args!("FAIL  {place}: {error}"))?;
            }
            None => line(format_args!("ok    {place}: knows us (asked through the running service)"))?,
        }
    }
    Ok(failures)
}

/// `println!` would panic when what reads us (`head`) has gone; that is no failure but the end of what there is to do.
fn ended(told: io::Result<ExitCode>) -> ExitCode {
    match told {
        Ok(code) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("patchbay: cannot be printed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn line(text: std::fmt::Arguments<'_>) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// Everything `patchbay check` says; returns how many credentials failed.
async fn tell(
    config: &Config,
    path: &Path,
    transport: &Transport,
    tokens: &Tokens,
    ledger: &Ledger,
) -> io::Result<u32> {
    let accounts = config.accounts.len();
    line(format_args!("ok    {}: read, {accounts} account{}", path.display(), plural(accounts)))?;
    let mut failures = 0;
    if config.accounts.is_empty() {
        let code = Code::NoAccounts;
        line(format_args!(
            "warn  {code}: no [[account]], and none made by the API that can be seen: nothing will be let in"
        ))?;
    }
    if config.server.admin_token.is_none() {
        line(format_args!("warn  {}: server.admin_token is not set: the API is closed", Code::ApiClosed))?;
    }
    if config.server.public_url.is_none() {
        let code = Code::NoPublicUrl;
        line(format_args!(
            "warn  {code}: server.public_url is not set: links to recordings will only work on this machine"
        ))?;
    }
    if let Some(options) = app::redis_options(&config.context) {
        match context::greet(&options).await {
            Ok(()) => line(format_args!("ok    context: Redis answers"))?,
            Err(cause) => {
                failures += 1;
                line(format_args!("FAIL  context: {}: {cause}; see [context] url", Code::ContextDegraded))?;
            }
        }
    }
    let mut letters = Vec::new();
    let place = config.store.url.place();
    match app::try_store(&config.store).await {
        None => {}
        Some(Ok(())) => line(format_args!("ok    {place}: lets us in"))?,
        Some(Err(cause)) => {
            failures += 1;
            line(format_args!("FAIL  {place}: {}: {cause}", Code::StoreUnavailable))?;
        }
    }
    for account in &config.accounts {
        let findings = exotel::look(config, account, transport, ledger, &config::elsewhere(account)).await;
        findings.lines.iter().try_for_each(|text| line(format_args!("{text}")))?;
        failures += findings.failures;
        letters.extend(findings.letter());
        failures += check_account(config, account, path, transport, tokens).await?;
    }
    if matches!(tokens, Tokens::Running) || matches!(ledger, Ledger::Running) {
        failures += ask_of_kept(config, transport).await?;
    }
    let key = key(config);
    for account in &config.accounts {
        line(format_args!("\n{}", recipe::flow(config, account, key.as_ref())))?;
    }
    letters.iter().try_for_each(|letter| line(format_args!("{letter}")))?;
    for account in &config.accounts {
        line(format_args!("\n{}", recipe::test_call(config, account)))?;
    }
    Ok(failures)
}

async fn check_account(
    config: &Config,
    account: &Account,
    path: &Path,
    transport: &Transport,
    tokens: &Tokens,
) -> io::Result<u32> {
    let mut failures = 0;
    for integration in &account.integrations {
        let place = format!("{}/{}", account.sid, integration.name);
        match check_integration(config, account, integration, transport, tokens).await {
            Ok(lines) => lines.iter().try_for_each(|text| line(format_args!("{text}")))?,
            // Nothing is wrong: it is what is to be done next.
            Err(cause) if cause.contains(NOT_CONNECTED) => {
                failures += 1;
                let code = Code::NotConnected;
                line(format_args!(
                    "FAIL  {place}: {code}: nobody has consented yet: start `patchbay serve`, then run `patchbay connect {place} \
                     --config {}`",
                    path.display()
                ))?;
            }
            Err(cause) => {
                failures += 1;
                line(format_args!("FAIL  {place}: {cause}"))?;
            }
        }
    }
    if !account.open_hooks.is_empty() {
        line(format_args!(
            "warn  {}: {}: anybody who knows the Account SID may send events to {}: put hook tokens into the flows, and \
             take open_hooks away",
            account.sid,
            Code::HooksOpen,
            account.open_hooks.join(", ")
        ))?;
    }
    Ok(failures)
}

/// Where access tokens are to be had.
enum Tokens {
    /// No integration needs any.
    Needless,
    Vault(Vault),
    /// With the service that runs: it alone may renew them, or a rotated one would be lost.
    Running,
    Broken(String),
}

impl Tokens {
    async fn find(config: &Config) -> Self {
        let needed = config.accounts.iter().flat_map(|account| &account.integrations).any(app::needs_vault);
        if !needed {
            return Self::Needless;
        }
        match app::open_vault(config).await {
            Ok(vault) => Self::Vault(vault),
            Err(StartError::Store { error: StoreError::InUse(_), .. }) => Self::Running,
            Err(error) => Self::Broken(error.to_string()),
        }
    }
}

/// Has the running service try the credentials it holds.
async fn ask_service(
    config: &Config,
    account: &Account,
    integration: &Integration,
    transport: &Transport,
) -> Result<Vec<String>, String> {
    let not_tried = |error: String| format!("{}: {error}", Code::NotTried);
    let service = Operator::of(config, transport).map_err(not_tried)?;
    let path = ["api", "v1", "accounts", &account.sid, "integrations", &integration.name, "verify"];
    let answer = service.post("integration.verify", path).await.map_err(not_tried)?;
    let place = format!("{}/{}", account.sid, integration.name);
    let name = integration.manifest.name;
    match answer.get("as").and_then(Value::as_str) {
        Some(who) => Ok(vec![format!("ok    {place}: {name} knows us, as {who} (asked through the running service)")]),
        None => Err(answer.get("error").and_then(Value::as_str).unwrap_or("no answer").to_owned()),
    }
}

async fn check_integration(
    config: &Config,
    account: &Account,
    integration: &Integration,
    transport: &Transport,
    tokens: &Tokens,
) -> Result<Vec<String>, String> {
    let vault = match tokens {
        Tokens::Vault(vault) => Some(vault),
        Tokens::Running if app::needs_vault(integration) => {
            return ask_service(config, account, integration, transport).await;
        }
        Tokens::Broken(error) if app::needs_vault(integration) => {
            return Err(format!("{}: {error}", Code::CannotStart));
        }
        _ => None,
    };
    let metrics = Arc::new(Metrics::default());
    let stopping = CancellationToken::new();
    let driver = app::driver(config, account, integration, vault, transport.clone(), metrics, stopping);
    let place = format!("{}/{}", account.sid, integration.name);
    let name = integration.manifest.name;
    let host = driver.host().to_owned();
    let explain = |stop: Stop| match stop {
        // Who has a code of its own, or something that is set up missing, is the CRM.
        Stop::Refused { failure, status: 404, .. }
            if failure.kind == Kind::NotFound && failure.remote_code.is_none() =>
        {
            format!("{}: {host} is there, and is no {name} (404): check the domain", Code::CrmNotFound)
        }
        Stop::Refused { failure, status, .. } => format!("{failure} ({name} at {host} answered {status})"),
        Stop::Lost { reason, .. } => {
            let code = Code::CrmNoAnswer;
            format!("{code}: {name} at {host} cannot be reached ({reason}): check the domain, and the way out")
        }
        Stop::Throttled { until } => {
            format!("{}: {name} says too many requests; try again after {until}", Code::CrmRateLimited)
        }
        Stop::Several { .. } | Stop::Stopping | Stop::AfterCreation(_) => stop.told(),
    };
    let (now, ends) = (Timestamp::now(), Expiry::of(integration.manifest.auth, &integration.secrets));
    if let Some(ends) = ends.filter(|ends| ends.standing(now) == Standing::Past) {
        return Err(format!("{}: {name} at {host}: {}", Code::CredentialEnds, ends.told(now)));
    }
    let mut trace = Vec::new();
    let identity = driver.run(driver.connector.identify(), &mut trace).await.map_err(explain)?;
    let mut lines = vec![format!("ok    {place}: {name} at {host} knows us, as {}", identity.account)];
    lines.extend(ends.map(|ends| {
        let told = ends.told(now);
        match ends.standing(now) {
            Standing::Far => format!("ok    {place}: {told}"),
            _ => format!("warn  {place}: {}: {told}", Code::CredentialEnds),
        }
    }));
    let mapped: Vec<_> = account.agents.iter().filter_map(|agent| agent.crm_user.get(&integration.name)).collect();
    let Some(agents) = driver.connector.agents() else { return Ok(lines) };
    let (mut known, mut from) = (Vec::new(), None);
    loop {
        let page = driver.run(agents.list(from.as_ref()), &mut trace).await.map_err(explain)?;
        known.extend(page.items);
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    // As calls are assigned: by the user mapping, else by e-mail.
    let is_known = |agent: &&config::Agent| match (agent.crm_user.get(&integration.name), &agent.email) {
        (Some(id), _) => known.iter().any(|one| one.at.id == *id),
        (None, Some(email)) => has_email(&known, email),
        (None, None) => false,
    };
    let ours = account.agents.iter().filter(is_known).count();
    lines.push(format!(
        "ok    {place}: {} agent{} in {name}; of the {} [[account.agent]], {ours} found there",
        known.len(),
        plural(known.len()),
        account.agents.len()
    ));
    let code = Code::AgentNotInCrm;
    for agent in account.agents.iter().filter(|agent| !agent.crm_user.contains_key(&integration.name)) {
        let Some(email) = &agent.email else { continue };
        if !has_email(&known, email) {
            lines.push(format!(
                "warn  {place}: {code}: {name} has no agent with the e-mail {email}: his calls will not be assigned; mend \
                 email, or set crm_user"
            ));
        }
    }
    for id in mapped {
        match known.iter().find(|agent| agent.at.id == *id) {
            Some(agent) if agent.active => {}
            Some(agent) => lines.push(format!(
                "warn  {place}: {code}: agent {id} ({}) is deactivated in {name}: his calls will not be assigned",
                agent.name
            )),
            None => lines.push(format!("warn  {place}: {code}: {name} has no agent {id}: check crm_user")),
        }
    }
    Ok(lines)
}

fn has_email(known: &[Agent], email: &str) -> bool {
    known.iter().any(|one| one.email.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(email)))
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
