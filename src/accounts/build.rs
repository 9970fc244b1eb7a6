//! Makes the parts that run for an account of its values: driver, lane, Exotel client, dialer, the rules of planning.

use std::{fmt, num::NonZeroU32, sync::Arc};

use jiff::Timestamp;
use patchbay_kit::{Assigns, AuthScheme, SettingKind};
use secrecy::ExposeSecret;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::AccountRules;
use crate::{
    call::{IntegrationRules, Locale, PlanRules, route::Sighting},
    config::{Account, Config, Integration},
    connect::{
        catalogue,
        oauth::{Configured, Keeper, KeeperParts},
        transport::{Credentials, Limits, Transport},
    },
    delivery::{Access, Breaker, Driver, DriverParts, Lane, LaneHandle, LaneParts, Quotas},
    dialer::{self, Dialer, DialerParts},
    directory::{Agents, Bots},
    exotel::{ClientParts, ExotelClient, Hosts, Naive, PerMinute},
    key::MasterKey,
    store::{Clicks, LaneRef, Node, Store},
    telemetry::Metrics,
};

/// Where secrets are kept, and what seals them.
#[derive(Clone, Debug)]
pub struct Vault {
    pub store: Arc<dyn Store>,
    pub key: MasterKey,
}

/// By account and CallSid.
type RecordingLink = Arc<dyn Fn(&str, &str) -> String + Send + Sync>;

/// The links that are handed out for an account; a credential is in them.
#[derive(Clone)]
pub struct Links {
    /// To the recording of a call.
    pub recording: RecordingLink,
    /// Where Exotel says what becomes of a call that is placed, by account.
    pub status: Arc<dyn Fn(&str) -> String + Send + Sync>,
    /// Where Exotel reaches the voicebot of a call that is placed.
    pub stream: dialer::StreamLink,
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Links")
    }
}

/// What all that runs works with.
#[derive(Debug)]
pub struct Around {
    pub config: Arc<Config>,
    pub transport: Transport,
    pub vault: Vault,
    pub node: Arc<Node>,
    pub metrics: Arc<Metrics>,
    /// The user mapping.
    pub agents: Arc<Agents>,
    pub bots: Arc<Bots>,
    pub seen: mpsc::Sender<Sighting>,
    /// Woken when there is more in the journal.
    pub journal: Arc<Notify>,
    pub links: Links,
    pub stopping: CancellationToken,
}

pub(super) fn start_lane(
    account: &Account,
    integration: &Integration,
    around: &Around,
) -> (LaneHandle, JoinHandle<()>) {
    let Around { config, transport, vault, node, metrics, seen, .. } = around;
    let (delivery, stopping) = (&config.delivery, around.stopping.child_token());
    let driver = driver(config, account, integration, Some(vault), transport.clone(), Arc::clone(metrics), stopping);
    Lane::start(LaneParts {
        lane: LaneRef { account: account.sid.clone(), integration: integration.name.clone() },
        driver,
        store: Arc::clone(&vault.store),
        node: Arc::clone(node),
        metrics: Arc::clone(metrics),
        breaker: Breaker::new(delivery.breaker_after, Arc::clone(&delivery.breaker_probe), delivery.held_probe),
        retry: Arc::clone(&delivery.retry),
        give_up_after: delivery.give_up_after,
        ambiguous_wait: delivery.ambiguous_wait,
        window: delivery.window,
        contact_choice: account.contact_choice,
        seen: seen.clone(),
    })
}

/// The client of one account's Exotel; also what `patchbay check` asks through.
pub fn exotel_client(config: &Config, account: &Account, transport: Transport) -> ExotelClient {
    ExotelClient::new(ClientParts {
        sid: account.sid.clone(),
        hosts: Hosts { api: account.api_url.clone(), ccm: account.ccm_url.clone(), portal: account.portal_url.clone() },
        credentials: Credentials::basic(&account.api_key, account.api_token.expose_secret()),
        naive: Naive { utc_offset: account.utc_offset, country: account.country.clone() },
        // Of calls' details a part is left to the customer's other software.
        per_minute: PerMinute {
            details: NonZeroU32::new(config.enquiry.per_minute).unwrap_or(NonZeroU32::MIN),
            ..PerMinute::PUBLISHED
        },
        transport,
        timeout: config.enquiry.request_timeout,
        backoff: ClientParts::backoff(),
    })
}

/// Whether [`exotel_client`] makes the same of both.
pub(super) fn same_exotel(one: &Account, other: &Account) -> bool {
    let secrets =
        |account: &Account| [&account.api_key, &account.api_token].map(|secret| secret.expose_secret().to_owned());
    (&one.api_url, &one.ccm_url, &one.portal_url) == (&other.api_url, &other.ccm_url, &other.portal_url)
        && (one.utc_offset, &one.country) == (other.utc_offset, &other.country)
        && secrets(one) == secrets(other)
}

/// Whom a click names, in the user mapping as it is now.
fn lookup(agents: Arc<Agents>, sid: String, country: String) -> dialer::Lookup {
    Arc::new(move |named| {
        let roster = agents.of(&sid);
        let profile = &roster.named(named, &country)?.profile;
        Some(dialer::Agent {
            number: profile.number.clone()?,
            email: profile.email.clone(),
            caller_id: profile.caller_id.clone(),
            click_to_call: profile.click_to_call,
        })
    })
}

/// Click-to-call of one account. What becomes of its calls Exotel says at a hook whose token is made of the master key,
/// so that it is nowhere stored and every node knows it.
pub(super) fn dialer(
    around: &Around,
    account: &Account,
    client: &ExotelClient,
    stopping: &CancellationToken,
) -> Arc<Dialer> {
    let (status, sid) = (Arc::clone(&around.links.status), account.sid.clone());
    Arc::new(Dialer::new(DialerParts {
        account: account.clone(),
        agents: lookup(Arc::clone(&around.agents), account.sid.clone(), account.country.clone()),
        line: Arc::new(client.clone()),
        clicks: Arc::clone(&around.vault.store) as Arc<dyn Clicks>,
        metrics: Arc::clone(&around.metrics),
        clock: Arc::new(Timestamp::now),
        status_url: Arc::new(move || status(&sid)),
        stream_url: Arc::clone(&around.links.stream),
        wait: around.config.dialer.wait,
        settle_after: around.config.dialer.settle_after,
        journal: Arc::clone(&around.journal),
        stopping: stopping.clone(),
    }))
}

/// The driver of one integration; also what `patchbay check` asks through. Without a vault there are no tokens.
pub fn driver(
    config: &Config,
    account: &Account,
    integration: &Integration,
    vault: Option<&Vault>,
    transport: Transport,
    metrics: Arc<Metrics>,
    stopping: CancellationToken,
) -> Driver {
    let delivery = &config.delivery;
    let manifest = integration.manifest;
    let connector = connector(integration);
    let limits = Limits { request_timeout: delivery.request_timeout, response_bytes: delivery.response_limit_bytes };
    let quotas = Quotas::new(manifest.quotas, delivery.share, integration.quota_per_minute, Timestamp::now());
    let access = access(account, integration, &transport, limits, vault);
    let capabilities = manifest
        .settings
        .iter()
        .filter(|setting| setting.secret && setting.kind == SettingKind::Url)
        .filter_map(|setting| Some((setting.key.to_owned(), integration.secrets.get(setting.key)?.clone())))
        .collect();
    Driver::new(DriverParts {
        connector,
        transport,
        origin: integration.origin.clone(),
        access,
        capabilities,
        limits,
        limit_wait: delivery.limit_wait,
        metrics,
        stopping,
        quotas,
    })
}

/// Whether an integration's access tokens are got and renewed: such it has only where the vault is.
pub fn needs_vault(integration: &Integration) -> bool {
    match integration.manifest.auth {
        AuthScheme::OAuth(oauth) => oauth.fixed.is_none_or(|fixed| !integration.secrets.contains_key(fixed)),
        _ => false,
    }
}

fn access(
    account: &Account,
    integration: &Integration,
    transport: &Transport,
    limits: Limits,
    vault: Option<&Vault>,
) -> Access {
    let fixed = || Access::Fixed(Credentials::of(integration.manifest.auth, &integration.secrets));
    let AuthScheme::OAuth(oauth) = integration.manifest.auth else { return fixed() };
    if let Some(token) = oauth.fixed.and_then(|setting| integration.secrets.get(setting)) {
        return Access::Fixed(Credentials::token(oauth.prefix, token));
    }
    let (Some(authority), Some(vault)) = (integration.authority.clone(), vault) else { return fixed() };
    let assertion = oauth.assertion.and_then(|assertion| {
        let subject = integration.settings.text(assertion.subject)?.to_owned();
        Some(Configured::Assertion { key: integration.secrets.get(assertion.key_file)?.clone(), subject })
    });
    let refresh = integration.secrets.get("refresh_token").cloned().map(Configured::RefreshToken);
    let keeper = Keeper::new(KeeperParts {
        lane: LaneRef { account: account.sid.clone(), integration: integration.name.clone() },
        oauth,
        client_id: integration.settings.text("client_id").unwrap_or_default().to_owned(),
        client_secret: integration.secrets.get("client_secret").cloned(),
        configured: assertion.or(refresh).unwrap_or(Configured::Nothing),
        tokens_for: integration.tokens_for.clone(),
        authority,
        store: Arc::clone(&vault.store),
        key: vault.key.clone(),
        transport: transport.clone(),
        limits,
    });
    Access::Tokens(oauth.prefix, Arc::new(keeper))
}

fn connector(integration: &Integration) -> Arc<dyn patchbay_kit::Connector> {
    let entry = catalogue::all().iter().find(|entry| std::ptr::eq(entry.manifest, integration.manifest));
    // The manifest came out of the catalogue when the configuration was read.
    let entry = entry.expect("a manifest of the catalogue");
    (entry.build)(&integration.settings)
}

pub(super) fn locale(account: &Account) -> Locale {
    Locale {
        utc_offset: account.utc_offset,
        country: account.country.clone(),
        recording_origins: vec![account.api_url.origin()],
    }
}

pub(super) fn account_rules(around: &Around, account: &Account) -> AccountRules {
    let integrations = account
        .integrations
        .iter()
        .map(|integration| {
            let connector = connector(integration);
            IntegrationRules {
                name: integration.name.clone(),
                manifest: integration.manifest,
                notes: connector.notes().is_some(),
                popups: connector.popups().is_some(),
                updates: connector.updates().is_some(),
                assign: match integration.manifest.assigns {
                    Assigns::Always => true,
                    Assigns::Flag(flag) => integration.settings.flag(flag),
                    Assigns::Never => false,
                },
                follow_up: connector.follow_ups().and_then(|follow_ups| follow_ups.for_missed()),
                follow_up_kinds: connector.follow_ups().map_or(&[][..], |follow_ups| follow_ups.kinds()),
                mask_numbers: integration.settings.flag("mask_numbers"),
                texts: Arc::clone(&integration.texts),
            }
        })
        .collect();
    let (link, sid) = (Arc::clone(&around.links.recording), account.sid.clone());
    AccountRules {
        locale: locale(account),
        plan: PlanRules {
            account: account.sid.clone(),
            country: account.country.clone(),
            integrations,
            recording_link: Arc::new(move |call_sid| link(&sid, call_sid)),
            enquiry_schedule: Arc::clone(&around.config.enquiry.schedule),
        },
    }
}
