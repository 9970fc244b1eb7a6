//! Accounts and integrations in the API: made, changed, removed; secrets go in and never come out. What stands in the
//! configuration file is shown, and changed there.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data, Path},
};
use jiff::Timestamp;
use patchbay_kit::{AuthScheme, Origin, Setting, SettingKind};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    api::{Answer, ApiError, body, query},
    auth::{Endpoint, delete, get, patch, post},
    integrations::standing,
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
    get("/api/v1/accounts", Role::Agent, |route| route.to(list)),
    post("/api/v1/accounts", Role::SuperAdmin, |route| route.to(make)),
    get("/api/v1/accounts/{sid}", Role::Admin, |route| route.to(show)),
    patch("/api/v1/accounts/{sid}", Role::Admin, |route| route.to(edit)),
    delete("/api/v1/accounts/{sid}", Role::SuperAdmin, |route| route.to(remove)),
    post("/api/v1/accounts/{sid}/integrations", Role::Admin, |route| route.to(make_integration)),
    patch("/api/v1/accounts/{sid}/integrations/{name}", Role::Admin, |route| route.to(edit_integration)),
    delete("/api/v1/accounts/{sid}/integrations/{name}", Role::Admin, |route| route.to(remove_integration)),
    post("/api/v1/accounts/{sid}/integrations/{name}/rotate", Role::Admin, |route| route.to(rotate)),
    get("/api/v1/connectors", Role::Admin, |route| route.to(connectors)),
    post("/api/v1/keys/reseal", Role::SuperAdmin, |route| route.to(reseal_all)).noted(),
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Removal {
    version: Option<i64>,
}

async fn list(services: Data<Services>, caller: Caller) -> Answer {
    let roll = services.accounts.load();
    let accounts: Vec<Value> = roll
        .iter()
        .filter(|running| caller.may_see(&running.account.sid))
        .map(|running| {
            let Running { account, kept, .. } = &**running;
            json!({
                "sid": account.sid,
                "api": account.api_url.as_str(),
                "country": account.country,
                "source": kept.source,
                "editable": kept.source == Source::Store,
                "version": kept.version,
            })
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "accounts": accounts })))
}

async fn show(services: Data<Services>, sid: Path<String>) -> Answer {
    Ok(HttpResponse::Ok().json(shown(&*running(&services, &sid)?)))
}

fn running(services: &Services, sid: &str) -> Result<std::sync::Arc<Running>, ApiError> {
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

/// That a secret is set, and since when; never a part of it.
fn set<'a>(secrets: impl Iterator<Item = (&'a str, Option<Timestamp>)>) -> Value {
    secrets.map(|(key, at)| (key.to_owned(), json!({ "set": true, "updated_at": at }))).collect::<Map<_, _>>().into()
}

fn shown(running: &Running) -> Value {
    let Running { account, kept, integrations, .. } = running;
    let stored = kept.source == Source::Store;
    json!({
        "sid": account.sid,
        "api": account.api_url.as_str(),
        "country": account.country,
        "source": kept.source,
        "editable": stored,
        "version": kept.version,
        "created_at": kept.created_at,
        "updated_at": kept.updated_at,
        "settings": if stored { kept.settings.clone().into() } else { of_file(account) },
        "secrets": match stored {
            true => set(kept.secrets.iter().map(|(key, at)| (key.as_str(), Some(*at)))),
            false => set(["api_key", "api_token"].into_iter().map(|key| (key, None))),
        },
        "integrations": integrations.keys().collect::<Vec<_>>(),
    })
}

/// Of an account of the file, what can be told without its text.
fn of_file(account: &Account) -> Value {
    json!({
        "sid": account.sid,
        "api_url": account.api_url.as_str(),
        "ccm_url": account.ccm_url.as_str(),
        "cpaas_url": account.cpaas_url.as_str(),
        "portal_url": account.portal_url.as_str(),
        "utc_offset": account.utc_offset.to_string(),
        "country": account.country,
        "open_hooks": account.open_hooks,
        "app_ids": account.app_ids,
        "contact_choice": account.contact_choice.as_str(),
        "record_calls": account.record_calls,
    })
}

/// What an integration is set to, for its place in the API.
pub(super) fn settings(kept: &Kept, integration: Option<&Integration>) -> Value {
    let stored = kept.source == Source::Store;
    let (mut settings, secrets) = match integration {
        Some(integration) if !stored => (of_file_too(integration), {
            let secrets = integration.secrets.keys();
            set(secrets.map(|key| (key.as_str(), None)))
        }),
        _ => (kept.settings.clone(), set(kept.secrets.iter().map(|(key, at)| (key.as_str(), Some(*at))))),
    };
    // They stand above, for what they are.
    for key in ["name", "connector"] {
        settings.remove(key);
    }
    json!({
        "source": kept.source,
        "editable": stored,
        "version": kept.version,
        "created_at": kept.created_at,
        "updated_at": kept.updated_at,
        "settings": settings,
        "secrets": secrets,
    })
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

/// What is built in, and which settings each wants: enough to draw the form of it.
async fn connectors() -> Answer {
    let connectors: Vec<Value> = catalogue::all()
        .iter()
        .map(|entry| {
            let manifest = entry.manifest;
            let mut settings: Vec<Value> = manifest.settings.iter().map(setting).collect();
            if manifest.id == "salesforce" {
                let help = "Of flows that were made for Exotel's own connector; made up where it is not set";
                settings.push(setting(&Setting::secret("account_uid", SettingKind::Text, help)));
            }
            // Every connector has these.
            let own = [
                ("base_url", "url", "Replaces the CRM's own address: a proxy, an installation of one's own"),
                ("quota", "number", "Requests per minute; replaces the CRM's published limit"),
                ("defaults", "table", "CRM fields that every record we make gets"),
                ("templates", "table", "Texts of records, by name; replace those of Patchbay"),
            ];
            settings.extend(own.into_iter().map(|(key, kind, help)| {
                json!({ "key": key, "kind": kind, "required": false, "secret": false, "help": help })
            }));
            json!({
                "id": manifest.id,
                "name": manifest.name,
                "connects_by_consent": matches!(manifest.auth, AuthScheme::OAuth(_)),
                "address": match manifest.origin {
                    Origin::Domain { setting, .. } | Origin::Setting { setting } => json!({ "setting": setting }),
                    Origin::Fixed(url) => json!({ "url": url }),
                    Origin::Token | Origin::BesideAuthority { .. } => Value::Null,
                },
                "settings": settings,
            })
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "connectors": connectors })))
}

fn setting(setting: &Setting) -> Value {
    json!({
        "key": setting.key,
        "kind": match setting.kind {
            SettingKind::Text => "text",
            SettingKind::Bool => "flag",
            SettingKind::Texts => "list",
            SettingKind::Url => "url",
            // By the API its text is given.
            SettingKind::File => "file",
        },
        "required": setting.required,
        "secret": setting.secret || setting.kind == SettingKind::File,
        "help": setting.help,
    })
}
