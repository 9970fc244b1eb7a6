//! One `[[account.integration]]`: read as its connector's manifest says.

use std::{collections::BTreeMap, sync::Arc};

use jiff::tz::Offset;
use patchbay_kit::{AuthScheme, Authority, Manifest, Origin, Setting, SettingKind, Settings};
use secrecy::{ExposeSecret, SecretString};
use toml::{Table, Value};
use url::Url;

use super::{
    model::Integration,
    reader::{Problem, Reader, distance, strip_slash, url},
};
use crate::{call::compose::Texts, connect::catalogue};

/// Where settings were written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    InFile,
    /// By the API: what the file names by its path is given itself, as nobody shall read this machine's files through it.
    Here,
}

pub(super) fn integration(
    given: Given,
    at: &str,
    table: &Table,
    sid: &str,
    offset: Offset,
    problems: &mut Vec<Problem>,
) -> Option<Integration> {
    let mut r = Reader::new(table, at, problems);
    let id = r.required("connector", "the CRM, such as \"freshdesk\"")?;
    let Some(entry) = catalogue::find(&id) else {
        let known: Vec<&str> = catalogue::all().iter().map(|entry| entry.manifest.id).collect();
        let near = known.iter().find(|known| distance(&id, known) <= 2);
        let hint = near.map(|near| format!("did you mean {near:?}?")).unwrap_or_default();
        r.wrong("connector", format!("{id:?} is not built into this version; there are: {}. {hint}", known.join(", ")));
        return None;
    };
    let manifest = entry.manifest;
    let name = r.text("name").unwrap_or_else(|| id.clone());
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        r.wrong("name", format!("{name:?} must be made of letters, digits, - _ and ."));
    }
    let base_url = url(&mut r, "base_url", &["http", "https"]);
    let quota = r.number("quota", 1..=1_000_000).and_then(|quota| u32::try_from(quota).ok());

    let mut settings = Settings { account: sid.to_owned(), utc_offset: offset, ..Settings::default() };
    let mut secrets = BTreeMap::new();
    for setting in manifest.settings {
        read_setting(given, &mut r, setting, manifest, base_url.as_ref(), &mut settings, &mut secrets);
    }
    settings.secrets = secrets.keys().cloned().collect();
    // Of its hooks, not of the CRM: what flows have in them that were made for Exotel's own connector.
    if manifest.id == "salesforce"
        && let Some(uid) = r.secret("account_uid")
    {
        secrets.insert("account_uid".to_owned(), uid);
    }
    if let (Origin::Setting { setting }, Some(base)) = (manifest.origin, &base_url) {
        // The address that replaces the CRM's own is the CRM's own, as far as the connector is concerned.
        settings.text.entry(setting.to_owned()).or_insert_with(|| strip_slash(base));
    }
    if let Some(defaults) = r.table("defaults") {
        match serde_json::to_value(defaults) {
            Ok(serde_json::Value::Object(map)) => settings.defaults = map,
            _ => r.wrong("defaults", "must be a table of CRM fields"),
        }
    }
    for problem in (entry.problems)(&settings) {
        let (key, message) = problem.split_once(": ").unwrap_or(("", &problem));
        r.wrong(key, message);
    }
    let mut overrides = BTreeMap::new();
    if let Some(templates) = r.table("templates") {
        for (key, value) in templates {
            match value {
                Value::String(text) => {
                    overrides.insert(key.clone(), text.clone());
                }
                _ => r.wrong(&format!("templates.{key:?}"), "must be a string: the text of the template"),
            }
        }
    }
    let texts = match Texts::new(manifest.text, &overrides) {
        Ok(texts) => Some(Arc::new(texts.in_offset(offset))),
        Err(errors) => {
            for error in errors {
                r.wrong("templates", error.to_string());
            }
            None
        }
    };
    let authority = authority(manifest, &settings, base_url.as_ref());
    let origin = match base_url {
        Some(url) => Some(url),
        None => derive_origin(&mut r, manifest, &settings, authority.as_ref()),
    };
    r.finish();
    Some(Integration {
        name,
        manifest,
        origin,
        authority,
        settings,
        secrets,
        tokens_for: String::new(),
        quota_per_minute: quota,
        texts: texts?,
    })
}

fn read_setting(
    given: Given,
    r: &mut Reader<'_, '_>,
    setting: &Setting,
    manifest: &Manifest,
    base_url: Option<&Url>,
    settings: &mut Settings,
    secrets: &mut BTreeMap<String, SecretString>,
) {
    let key = setting.key;
    let origin = matches!(manifest.origin, Origin::Domain { setting, .. } if setting == key);
    // The CRM's own address is not needed where another replaces it.
    if setting.required && !(origin && base_url.is_some()) {
        r.required(key, setting.help);
    }
    match setting.kind {
        SettingKind::Bool => {
            let flag = r.bool(key, false);
            settings.flags.insert(key.to_owned(), flag);
        }
        SettingKind::Texts => {
            if let Some(texts) = r.texts(key) {
                settings.lists.insert(key.to_owned(), texts);
            }
        }
        SettingKind::Text if setting.secret => {
            if let Some(secret) = r.secret(key) {
                secrets.insert(key.to_owned(), secret);
            }
        }
        SettingKind::Text => {
            if let Some(text) = r.text(key) {
                settings.text.insert(key.to_owned(), text);
            }
        }
        SettingKind::Url if setting.secret => {
            let Some(typed) = r.text(key).filter(|typed| !typed.is_empty()) else { return };
            match capability(&typed, base_url) {
                Some(url) => {
                    secrets.insert(key.to_owned(), String::from(url).into());
                }
                // The address itself is the secret, so it is not repeated.
                None => r.wrong(key, format!("is not an address; {}", setting.help)),
            }
        }
        SettingKind::Url => {
            if let Some(url) = url(r, key, &["http", "https"]) {
                settings.text.insert(key.to_owned(), strip_slash(&url));
            }
        }
        SettingKind::File if given == Given::Here => {
            let Some(text) = r.secret(key) else { return };
            if text.expose_secret().trim().contains('\n') {
                secrets.insert(key.to_owned(), text);
            } else {
                r.wrong(key, "must be the text of the file here, with its lines, and not its path");
            }
        }
        SettingKind::File => {
            let Some(path) = r.text(key).filter(|path| !path.is_empty()) else { return };
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    secrets.insert(key.to_owned(), text.into());
                }
                Err(error) => r.wrong(key, format!("{path}: {error}; {}", setting.help)),
            }
        }
    }
}

/// A capability URL: at `base_url`, where that is set; without a query, which requests bring themselves.
fn capability(typed: &str, base_url: Option<&Url>) -> Option<Url> {
    let mut url = Url::parse(typed.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    url.set_query(None);
    url.set_fragment(None);
    if let Some(base) = base_url {
        url.set_scheme(base.scheme()).ok()?;
        url.set_host(base.host_str()).ok()?;
        url.set_port(base.port()).ok()?;
    }
    Some(url)
}

/// Where the integration's tokens come from, if it has any.
fn authority(manifest: &Manifest, settings: &Settings, base_url: Option<&Url>) -> Option<Url> {
    let AuthScheme::OAuth(oauth) = manifest.auth else { return None };
    match oauth.authority {
        Authority::Setting { setting, default } => match (settings.text(setting), base_url) {
            (Some(typed), _) => Url::parse(typed).ok(),
            // What replaces the CRM's own address serves its tokens, too.
            (None, Some(base)) => Some(base.clone()),
            (None, None) => Url::parse(default).ok(),
        },
        Authority::Origin => match (base_url, manifest.origin) {
            (Some(base), _) => Some(base.clone()),
            (None, Origin::Fixed(url)) => Url::parse(url).ok(),
            _ => None,
        },
    }
}

/// The CRM's address from the setting that names it: the domain may be typed with a scheme, a path or without its end.
fn derive_origin(
    r: &mut Reader<'_, '_>,
    manifest: &Manifest,
    settings: &Settings,
    authority: Option<&Url>,
) -> Option<Url> {
    let (setting, suffixes) = match manifest.origin {
        Origin::Domain { setting, suffixes } => (setting, suffixes),
        Origin::Fixed(url) => return Url::parse(url).ok(),
        Origin::Token => return None,
        Origin::Setting { setting } => return Url::parse(settings.text(setting)?).ok(),
        Origin::BesideAuthority { from, to } => {
            let mut url = authority?.clone();
            let host = url.host_str()?.strip_prefix(from).map(|rest| format!("{to}{rest}"));
            // An address that does not look like the CRM's own (a test's, a proxy's) is taken to serve both.
            if let Some(host) = host {
                url.set_host(Some(&host)).ok()?;
            }
            return Some(url);
        }
    };
    let typed = settings.text.get(setting)?.trim();
    let host = typed.split_once("://").map_or(typed, |(_, rest)| rest);
    let host = host.split(['/', '?', '#']).next().unwrap_or_default().trim_end_matches('.').to_lowercase();
    let named = suffixes.iter().find(|suffix| host.ends_with(*suffix));
    let suffix = named.or(suffixes.first()).copied().unwrap_or_default();
    let label = host.strip_suffix(suffix).unwrap_or(&host);
    let dashed = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let parts = label.split('.').count();
    // One label before the suffix; more only where the whole name was typed (`api.in.freshchat.com`).
    let fits = label.split('.').all(dashed) && (parts == 1 || named.is_some());
    let url = fits.then(|| Url::parse(&format!("https://{label}{suffix}")).ok()).flatten();
    if url.is_none() {
        r.wrong(setting, format!("{typed:?} is not a {} address; write \"acme{suffix}\"", manifest.name));
    }
    url
}
