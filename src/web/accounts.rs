//! Accounts and integrations in the API: made, changed, removed; secrets go in and never come out. What stands in the
//! configuration file is shown, and changed there.

use std::{collections::BTreeMap, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data, Path},
};
use jiff::Timestamp;
use patchbay_kit::{AuthScheme, Setting, SettingKind};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    api::{Answer, ApiError, Removal, body, query},
    auth::{Endpoint, delete, get, patch, post},
    integrations::{IntegrationShown, standing},
};
use crate::{
    access::{Caller, Role},
    accounts::{Asked, Kept, Running},
    app::Services,
    config::{Account, Integration, Problem},
    connect::catalogue,
    directory::Source,
    reseal,
};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/v1/accounts", Role::Agent, |route| route.to(list))
        .says("list_accounts", "The accounts that the caller may see")
        .gives::<AccountsShown>(200),
    post("/api/v1/accounts", Role::SuperAdmin, |route| route.to(make))
        .says("make_account", "Makes an account, of the settings that `[[account]]` has in the configuration")
        .body::<Map<String, Value>>()
        .gives::<AccountShown>(201),
    get("/api/v1/accounts/{sid}", Role::Admin, |route| route.to(show))
        .says("get_account", "An account's settings; of its secrets, that they are set")
        .gives::<AccountShown>(200),
    patch("/api/v1/accounts/{sid}", Role::Admin, |route| route.to(edit))
        .says("edit_account", "Changes the settings that are named; null takes one away")
        .body::<Map<String, Value>>()
        .gives::<AccountShown>(200),
    delete("/api/v1/accounts/{sid}", Role::SuperAdmin, |route| route.to(remove))
        .says("remove_account", "Removes an account with its integrations and hook tokens; its calls stay")
        .query::<Removal>()
        .gives_nothing(),
    post("/api/v1/accounts/{sid}/integrations", Role::Admin, |route| route.to(make_integration))
        .says("make_integration", "Adds an integration, of the settings that its connector has in the configuration")
        .body::<Map<String, Value>>()
        .gives::<IntegrationShown>(201),
    patch("/api/v1/accounts/{sid}/integrations/{name}", Role::Admin, |route| route.to(edit_integration))
        .says("edit_integration", "Changes the settings that are named; null takes one away")
        .body::<Map<String, Value>>()
        .gives::<IntegrationShown>(200),
    delete("/api/v1/accounts/{sid}/integrations/{name}", Role::Admin, |route| route.to(remove_integration))
        .says("remove_integration", "Removes an integration; what waits for it is held")
        .query::<Removal>()
        .gives_nothing(),
    post("/api/v1/accounts/{sid}/integrations/{name}/rotate", Role::Admin, |route| route.to(rotate))
        .says("rotate_integration", "New secrets, tried before they replace the old ones unless `force` is true")
        .body::<Map<String, Value>>()
        .gives::<IntegrationShown>(200),
    get("/api/v1/connectors", Role::Admin, |route| route.to(connectors))
        .says("list_connectors", "What is built in, and which settings each wants")
        .gives::<ConnectorsShown>(200),
    post("/api/v1/keys/reseal", Role::SuperAdmin, |route| route.to(reseal_all))
        .noted()
        .says("reseal", "Seals everything with the current master key")
        .gives::<reseal::Summary>(200),
];

/// Settings, and beside them what is said of the change.
struct Read {
    asked: Asked,
    force: bool,
}

fn read(bytes: &Bytes) -> Result<Read, ApiError> {
    let mut settings: Map<String, Value> = body(bytes)?;
    let wrong = |key: &str, message: &str| {
        ApiError::Invalid(vec![Problem { key: key.to_owned(), message: message.to_owned() }])
    };
    let version = settings.remove("version").filter(|value| !value.is_null());
    let version =
        version.map(|value| value.as_i64().ok_or_else(|| wrong("version", "must be the `version` that was read")));
    let mut flag = |key: &str| match settings.remove(key) {
        None => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| wrong(key, "must be true or false")),
    };
    let (verify, force) = (flag("verify")?, flag("force")?);
    Ok(Read { asked: Asked { settings, version: version.transpose()?, verify }, force })
}

/// Where something is kept.
#[derive(Serialize, JsonSchema)]
pub(super) struct KeptShown {
    source: Source,
    /// What stands in the file is changed there.
    editable: bool,
    version: i64,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

pub(super) fn kept(kept: &Kept) -> KeptShown {
    KeptShown {
        source: kept.source,
        editable: kept.source == Source::Store,
        version: kept.version,
        created_at: kept.created_at,
        updated_at: kept.updated_at,
    }
}

/// Which secrets are set; never a part of one.
pub(super) type SecretsShown = BTreeMap<String, SecretShown>;

#[derive(Serialize, JsonSchema)]
pub(super) struct SecretShown {
    set: bool,
    updated_at: Option<Timestamp>,
}

#[derive(Serialize, JsonSchema)]
struct AccountsShown {
    accounts: Vec<AccountListed>,
}

#[derive(Serialize, JsonSchema)]
struct AccountListed {
    sid: String,
    /// Exotel's API.
    api: String,
    /// ISO 3166, two letters.
    country: String,
    #[serde(flatten)]
    kept: KeptShown,
}

#[derive(Serialize, JsonSchema)]
struct AccountShown {
    #[serde(flatten)]
    listed: AccountListed,
    /// Under the names of the configuration.
    settings: Map<String, Value>,
    secrets: SecretsShown,
    /// Their names.
    integrations: Vec<String>,
}

fn listed(running: &Running) -> AccountListed {
    let account = &running.account;
    AccountListed {
        sid: account.sid.clone(),
        api: account.api_url.to_string(),
        country: account.country.clone(),
        kept: kept(&running.kept),
    }
}

async fn list(services: Data<Services>, caller: Caller) -> Answer {
    let roll = services.accounts.load();
    let seen = roll.iter().filter(|running| caller.may_see(&running.account.sid));
    let accounts = seen.map(|running| listed(running)).collect();
    Ok(HttpResponse::Ok().json(AccountsShown { accounts }))
}

async fn show(services: Data<Services>, sid: Path<String>) -> Answer {
    Ok(HttpResponse::Ok().json(shown(&*running(&services, &sid)?)))
}

fn running(services: &Services, sid: &str) -> Result<Arc<Running>, ApiError> {
    services.accounts.get(sid).ok_or_else(|| ApiError::NotFound(format!("there is no account {sid:?}")))
}

async fn make(services: Data<Services>, caller: Caller, bytes: Bytes) -> Answer {
    let made = services.accounts.make_account(&read(&bytes)?.asked, &caller.who).await?;
    services.reload_doors().await?;
    let at = format!("/api/v1/accounts/{}", made.account.sid);
    Ok(HttpResponse::Created().insert_header((header::LOCATION, at)).json(shown(&made)))
}

async fn edit(services: Data<Services>, caller: Caller, sid: Path<String>, bytes: Bytes) -> Answer {
    let edited = services.accounts.edit_account(&sid, &read(&bytes)?.asked, &caller.who).await?;
    services.reload_doors().await?;
    Ok(HttpResponse::Ok().json(shown(&edited)))
}

async fn remove(request: HttpRequest, services: Data<Services>, caller: Caller, sid: Path<String>) -> Answer {
    let Removal { version } = query(&request)?;
    services.accounts.remove_account(&sid, version, &caller.who).await?;
    services.reload_doors().await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn make_integration(services: Data<Services>, caller: Caller, sid: Path<String>, bytes: Bytes) -> Answer {
    let name = services.accounts.make_integration(&sid, &read(&bytes)?.asked, &caller.who).await?;
    services.reload_doors().await?;
    let at = format!("/api/v1/accounts/{sid}/integrations/{name}");
    let shown = standing(&services, &sid, &name).await?;
    Ok(HttpResponse::Created().insert_header((header::LOCATION, at)).json(shown))
}

async fn edit_integration(
    services: Data<Services>,
    caller: Caller,
    path: Path<(String, String)>,
    bytes: Bytes,
) -> Answer {
    let (sid, name) = path.into_inner();
    services.accounts.edit_integration(&sid, &name, &read(&bytes)?.asked, &caller.who).await?;
    services.reload_doors().await?;
    Ok(HttpResponse::Ok().json(standing(&services, &sid, &name).await?))
}

/// New secrets: the CRM must know them before they replace the old ones, unless somebody knows better.
async fn rotate(services: Data<Services>, caller: Caller, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    let (sid, name) = path.into_inner();
    let Read { asked, force } = read(&bytes)?;
    let asked = Asked { verify: !force, ..asked };
    services.accounts.rotate(&sid, &name, &asked, &caller.who).await?;
    services.reload_doors().await?;
    Ok(HttpResponse::Ok().json(standing(&services, &sid, &name).await?))
}

async fn remove_integration(
    request: HttpRequest,
    services: Data<Services>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Answer {
    let (sid, name) = path.into_inner();
    let Removal { version } = query(&request)?;
    services.accounts.remove_integration(&sid, &name, version, &caller.who).await?;
    services.reload_doors().await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn reseal_all(services: Data<Services>) -> Answer {
    Ok(HttpResponse::Ok().json(reseal::all(services.store.as_ref(), &services.key).await?))
}

fn set<'a>(secrets: impl Iterator<Item = (&'a String, Option<Timestamp>)>) -> SecretsShown {
    secrets.map(|(key, updated_at)| (key.clone(), SecretShown { set: true, updated_at })).collect()
}

fn since(kept: &Kept) -> SecretsShown {
    set(kept.secrets.iter().map(|(key, at)| (key, Some(*at))))
}

fn shown(running: &Running) -> AccountShown {
    let Running { account, kept, integrations, .. } = running;
    let stored = kept.source == Source::Store;
    let of_files = ["api_key", "api_token"].map(str::to_owned);
    AccountShown {
        listed: listed(running),
        settings: if stored { kept.settings.clone() } else { of_file(account) },
        secrets: if stored { since(kept) } else { set(of_files.iter().map(|key| (key, None))) },
        integrations: integrations.keys().cloned().collect(),
    }
}

/// Of an account of the file, what can be told without its text.
fn of_file(account: &Account) -> Map<String, Value> {
    let settings = [
        ("sid", json!(account.sid)),
        ("api_url", json!(account.api_url.as_str())),
        ("ccm_url", json!(account.ccm_url.as_str())),
        ("cpaas_url", json!(account.cpaas_url.as_str())),
        ("portal_url", json!(account.portal_url.as_str())),
        ("utc_offset", json!(account.utc_offset.to_string())),
        ("country", json!(account.country)),
        ("open_hooks", json!(account.open_hooks)),
        ("app_ids", json!(account.app_ids)),
        ("contact_choice", json!(account.contact_choice.as_str())),
        ("record_calls", json!(account.record_calls)),
    ];
    settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What an integration is set to, for its place in the API.
pub(super) fn settings(kept: &Kept, integration: Option<&Integration>) -> Map<String, Value> {
    let mut settings = match integration.filter(|_| kept.source == Source::File) {
        Some(integration) => of_file_too(integration),
        None => kept.settings.clone(),
    };
    // They stand above, for what they are.
    for key in ["name", "connector"] {
        settings.remove(key);
    }
    settings
}

pub(super) fn secrets(kept: &Kept, integration: Option<&Integration>) -> SecretsShown {
    match integration.filter(|_| kept.source == Source::File) {
        Some(integration) => set(integration.secrets.keys().map(|key| (key, None))),
        None => since(kept),
    }
}

fn of_file_too(integration: &Integration) -> Map<String, Value> {
    let set = &integration.settings;
    let texts = set.text.iter().map(|(key, text)| (key.clone(), json!(text)));
    let flags = set.flags.iter().map(|(key, flag)| (key.clone(), json!(flag)));
    let lists = set.lists.iter().map(|(key, list)| (key.clone(), json!(list)));
    let mut settings: Map<String, Value> = texts.chain(flags).chain(lists).collect();
    if !set.defaults.is_empty() {
        settings.insert("defaults".to_owned(), set.defaults.clone().into());
    }
    if let Some(quota) = integration.quota_per_minute {
        settings.insert("quota".to_owned(), json!(quota));
    }
    settings
}

#[derive(Serialize, JsonSchema)]
struct ConnectorsShown {
    connectors: Vec<ConnectorShown>,
}

#[derive(Serialize, JsonSchema)]
struct ConnectorShown {
    id: &'static str,
    name: &'static str,
    /// Whether it may be connected by a person's consent.
    consent: bool,
    settings: Vec<SettingShown>,
}

#[derive(Serialize, JsonSchema)]
struct SettingShown {
    key: &'static str,
    /// `text`, `flag`, `list`, `url`, `file` (its text is given), `number` or `table`.
    kind: &'static str,
    required: bool,
    secret: bool,
    help: &'static str,
}

/// What is built in, and which settings each wants: enough to draw the form of it.
async fn connectors() -> Answer {
    let connectors = catalogue::all().iter().map(|entry| {
        let manifest = entry.manifest;
        let mut settings: Vec<SettingShown> = manifest.settings.iter().map(setting).collect();
        if manifest.id == "salesforce" {
            let help = "Of flows that were made for Exotel's own connector; made up where it is not set";
            settings.push(setting(&Setting::secret("account_uid", SettingKind::Text, help)));
        }
        settings.extend(OWN.map(|(key, kind, help)| SettingShown { key, kind, required: false, secret: false, help }));
        let consent = matches!(manifest.auth, AuthScheme::OAuth(_));
        ConnectorShown { id: manifest.id, name: manifest.name, consent, settings }
    });
    Ok(HttpResponse::Ok().json(ConnectorsShown { connectors: connectors.collect() }))
}

/// What every connector has.
const OWN: [(&str, &str, &str); 4] = [
    ("base_url", "url", "Replaces the CRM's own address: a proxy, an installation of one's own"),
    ("quota", "number", "Requests per minute; replaces the CRM's published limit"),
    ("defaults", "table", "CRM fields that every record we make gets"),
    ("templates", "table", "Texts of records, by name; replace those of Patchbay"),
];

fn setting(setting: &Setting) -> SettingShown {
    SettingShown {
        key: setting.key,
        kind: match setting.kind {
            SettingKind::Text => "text",
            SettingKind::Bool => "flag",
            SettingKind::Texts => "list",
            SettingKind::Url => "url",
            SettingKind::File => "file",
        },
        required: setting.required,
        secret: setting.secret || setting.kind == SettingKind::File,
        help: setting.help,
    }
}
