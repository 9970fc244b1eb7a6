//! Builds the service from a configuration. `main.rs`, the demo and the tests all run what is built here.

use std::{
    collections::{BTreeSet, HashMap},
    net::{SocketAddr, TcpListener},
    num::NonZeroU32,
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::{Duration, Instant},
};

use actix_web::{
    App, HttpServer,
    dev::{Server, ServerHandle},
    http::KeepAlive,
    web::{self, Data, ServiceConfig},
};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use patchbay_kit::{Assigns, AuthScheme, SettingKind};
use secrecy::ExposeSecret;
use tokio::{
    sync::{Notify, mpsc},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    access::Gate,
    call::{IntegrationRules, Locale, PlanRules, route::Sighting},
    config::{self, Account, Config, ContextUrl, Integration, StoreUrl},
    connect::{
        catalogue,
        expiry::{Expiry, Standing},
        oauth::{Configured, Keeper, KeeperParts},
        transport::{Credentials, Limits, Transport},
    },
    context::{Context, MemoryContext, RedisContext, RedisOptions},
    decide::{AccountRules, Decider},
    delivery::{Access, Breaker, Driver, DriverParts, Health, Lane, LaneHandle, LaneParts, Quotas},
    dialer::{self, Dialer, DialerParts},
    directory::{Agents, Bots},
    exotel::{ClientParts, Enquirer, ExotelClient, Hosts, Naive, PerMinute, SweepRules, Sweeper},
    hooks::{self, Answers, Doors},
    key::MasterKey,
    live::{Live, Teller},
    store::{
        Clicks, DeliveryState, Duty, LaneRef, News, Node, PostgresOptions, PostgresStore, SqliteOptions, SqliteStore,
        Store, StoreError,
    },
    telemetry::{LaneLabels, Metrics},
    web as pages,
};

/// How often settled calls that are old enough are removed.
const PURGE_EVERY: Duration = Duration::from_secs(3600);
/// What is seen and not looked at yet, for callers on the line; more is let go.
const SIGHTINGS: usize = 1000;
/// Rows that one round of removal takes.
const PURGE_ROWS: usize = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {addr}: {error}")]
    Listen { addr: SocketAddr, error: std::io::Error },
    #[error("store {path}: {error}")]
    Store { path: String, error: StoreError },
    #[error("{0}")]
    Key(String),
    #[error("{0}")]
    Transport(String),
    #[error("{0}")]
    Context(String),
}

/// What every request handler may reach.
#[derive(Debug)]
pub struct Services {
    pub config: Config,
    pub store: Arc<dyn Store>,
    pub context: Arc<dyn Context>,
    pub metrics: Arc<Metrics>,
    pub doors: ArcSwap<Doors>,
    pub answers: Answers,
    pub decider: Arc<Decider>,
    /// The user mapping.
    pub agents: Arc<Agents>,
    pub bots: Arc<Bots>,
    pub gate: Gate,
    pub lanes: Arc<HashMap<LaneRef, LaneHandle>>,
    pub exotel: HashMap<String, ExotelClient>,
    /// By account SID.
    pub dialers: HashMap<String, Arc<Dialer>>,
    pub key: MasterKey,
    /// Woken by every durable receipt.
    pub journal: Arc<Notify>,
    pub public_url: Arc<OnceLock<String>>,
    pub started: Instant,
    /// Callbacks are being answered 503: told once, when it begins and when it ends.
    pub refusing: AtomicBool,
    pub backfills: pages::integrations::Backfills,
    pub streams: pages::live::Streams,
    pub stopping: CancellationToken,
}

impl Services {
    /// The address in URLs that are handed out, without a slash at its end.
    pub fn public_url(&self) -> &str {
        self.public_url.get().map_or("", String::as_str)
    }

    pub fn account(&self, sid: &str) -> Option<&Account> {
        self.config.accounts.iter().find(|account| account.sid == sid)
    }

    /// Reads the hook tokens anew, after one was made or expired.
    ///
    /// # Errors
    /// What the store says.
    pub async fn reload_doors(&self) -> Result<(), StoreError> {
        let tokens = self.store.hook_token_hashes(Timestamp::now()).await?;
        self.doors.store(Arc::new(Doors::new(&self.config.accounts, tokens, &self.key)));
        Ok(())
    }
}

/// The running service.
#[derive(Debug)]
pub struct Service {
    pub services: Arc<Services>,
    /// Where it listens: with port 0 in the configuration, the port that was given.
    pub addr: SocketAddr,
    server: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
    workers: JoinSet<()>,
    node: Arc<Node>,
    drain: Duration,
}

impl Service {
    /// Opens the store, recovers what the last process left, starts the lanes and listens.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let started = Instant::now();
        let metrics = Arc::new(Metrics::default());
        let Vault { store, key } = open_vault(&config).await?;
        let place = config.store.url.place();
        let store_error = |error| StartError::Store { path: place.clone(), error };

        // Listening comes first, so that the address in links is known; requests are served once all stands.
        let listener = TcpListener::bind(config.server.listen)
            .map_err(|error| StartError::Listen { addr: config.server.listen, error })?;
        let addr = listener.local_addr().map_err(|error| StartError::Listen { addr: config.server.listen, error })?;
        let public_url = Arc::new(OnceLock::new());
        let _ = public_url.set(config.server.public_url.clone().unwrap_or_else(|| format!("http://{addr}")));

        let now = Timestamp::now();
        let transport = Transport::new(config.delivery.connect_timeout).map_err(StartError::Transport)?;
        let vault = Vault { store: Arc::clone(&store), key: key.clone() };
        let stopping = CancellationToken::new();
        let journal = Arc::new(Notify::new());
        let mut workers = JoinSet::new();
        let node = Node::start(Arc::clone(&store), lease_ttl(&config.store));
        for orphan in orphans(&config, store.as_ref()).await.map_err(store_error)? {
            let not_before = config.delivery.ambiguous_wait;
            workers.spawn(hold_orphan(orphan, Arc::clone(&store), Arc::clone(&node), not_before, stopping.clone()));
        }
        let context = start_context(&config.context, &key, &mut workers, &stopping)?;
        let agents = Agents::load(&config.accounts, Arc::clone(&store), key.clone()).await.map_err(store_error)?;
        let agents = Arc::new(agents);
        let bots = Bots::load(&config.accounts, Arc::clone(&store), key.clone()).await.map_err(store_error)?;
        let (seen, sightings) = mpsc::channel(SIGHTINGS);
        let (live, said) = Live::new(Arc::clone(&metrics));
        let teller = Teller {
            context: Arc::clone(&context),
            store: Arc::clone(&store),
            agents: Arc::clone(&agents),
            metrics: Arc::clone(&metrics),
            stopping: stopping.clone(),
        };
        workers.spawn(teller.run(said));
        let around = Around {
            config: &config,
            transport: &transport,
            vault: &vault,
            node: &node,
            metrics: &metrics,
            seen: &seen,
            stopping: &stopping,
        };
        let mut lanes = HashMap::new();
        let mut rules = HashMap::new();
        let mut exotel = HashMap::new();
        let mut dialers = HashMap::new();
        let mut enquiry_wakes = Vec::new();
        for account in &config.accounts {
            for integration in &account.integrations {
                tell_expiry(account, integration, &metrics, now);
                let (handle, running) = start_lane(account, integration, &around);
                lanes.insert(handle.lane().clone(), handle);
                workers.spawn(async move {
                    let _ = running.await;
                });
            }
            rules.insert(account.sid.clone(), account_rules(&config, account, &key, &public_url));
            let client = exotel_client(&config, account, transport.clone());
            let wake = Arc::new(Notify::new());
            let enquirer = Enquirer {
                account: account.sid.clone(),
                client: client.clone(),
                store: Arc::clone(&store),
                node: Arc::clone(&node),
                metrics: Arc::clone(&metrics),
                wake: Arc::clone(&wake),
                journal: Arc::clone(&journal),
                stopping: stopping.clone(),
            };
            enquiry_wakes.push(wake);
            workers.spawn(enquirer.run());
            if config.sweep.enabled {
                let sweeper = Sweeper {
                    account: account.sid.clone(),
                    client: client.clone(),
                    store: Arc::clone(&store),
                    node: Arc::clone(&node),
                    metrics: Arc::clone(&metrics),
                    locale: locale(account),
                    rules: SweepRules {
                        every: config.sweep.every,
                        overlap: config.sweep.overlap,
                        since: config.sweep.since,
                    },
                    journal: Arc::clone(&journal),
                    stopping: stopping.clone(),
                };
                workers.spawn(sweeper.run());
            }
            let dialer = dialer(&config, account, &client, &vault, &metrics, &journal, &public_url, &agents, &stopping);
            dialer.recover(!config.store.url.is_shared()).await.map_err(store_error)?;
            workers.spawn(Arc::clone(&dialer).run());
            dialers.insert(account.sid.clone(), dialer);
            exotel.insert(account.sid.clone(), client);
        }
        let lanes = Arc::new(lanes);
        agents.resume(&stopping).await.map_err(store_error)?;
        let enquiries = Arc::new(Notify::new());
        workers.spawn(fan_out(Arc::clone(&enquiries), enquiry_wakes, stopping.clone()));
        let decider = Arc::new(Decider {
            store: Arc::clone(&store),
            node: Arc::clone(&node),
            accounts: rules,
            agents: Arc::clone(&agents),
            lanes: Arc::clone(&lanes),
            metrics: Arc::clone(&metrics),
            wake: Arc::clone(&journal),
            enquiries,
            seen,
            live,
            stopping: stopping.clone(),
        });
        workers.spawn(Arc::clone(&decider).run());
        workers.spawn(purge(Arc::clone(&store), config.store.keep, stopping.clone()));

        let tokens = store.hook_token_hashes(now).await.map_err(store_error)?;
        let doors = ArcSwap::from_pointee(Doors::new(&config.accounts, tokens, &key));
        let drain = config.server.drain_timeout;
        let sids = config.accounts.iter().map(|account| account.sid.clone());
        let gate = Gate::new(Arc::clone(&store), key.clone(), config.server.admin_token.as_ref(), sids);
        let services = Arc::new(Services {
            config,
            store,
            context,
            metrics,
            doors,
            answers: Answers::default(),
            decider,
            agents,
            bots: Arc::new(bots),
            gate,
            lanes,
            exotel,
            dialers,
            key,
            journal,
            public_url,
            started,
            refusing: AtomicBool::new(false),
            backfills: Default::default(),
            streams: Default::default(),
            stopping,
        });
        workers.spawn(hear(Arc::clone(&services), Arc::clone(&node)));
        let data = Data::from(Arc::clone(&services));
        workers.spawn(hooks::look_ahead(data.clone(), sightings));
        let server = http_server(&services.config.server, listener, move |app| {
            app.app_data(data.clone())
                .configure(hooks::routes)
                .configure(pages::routes)
                .default_service(web::to(pages::not_found));
        })
        .map_err(|error| StartError::Listen { addr, error })?;
        let handle = server.handle();
        let serving = tokio::spawn(server);
        if services.config.accounts.is_empty() {
            tracing::warn!("there is no [[account]] in the configuration: nothing is let in");
        }
        for account in &services.config.accounts {
            let bots: Vec<String> = services.bots.of(&account.sid).all().map(|bot| bot.id.clone()).collect();
            if !bots.is_empty() {
                tracing::warn!(account = account.sid, bots = bots.join(", "), "{}", config::bot::UNANSWERED);
            }
        }
        tracing::info!(%addr, public_url = services.public_url(), accounts = services.config.accounts.len(),
            lanes = services.lanes.len(), ready_ms = started.elapsed().as_millis(), "ready");
        Ok(Self { services, addr, server: handle, serving, workers, node, drain })
    }

    /// Stops: no new requests, what is under way may finish for the drain timeout, the rest stays durable.
    pub async fn stop(mut self) {
        tracing::info!("stopping");
        self.services.stopping.cancel();
        self.server.stop(true).await;
        let drained = tokio::time::timeout(self.drain, async {
            while self.workers.join_next().await.is_some() {}
            for lane in self.services.lanes.values() {
                if let Access::Tokens(_, keeper) = &lane.driver().access {
                    keeper.settled().await;
                }
            }
        });
        if drained.await.is_err() {
            tracing::warn!("deliveries were still under way; they are looked for and finished at the next start");
            self.workers.abort_all();
        }
        let _ = self.serving.await;
        // What was still under way is in flight, and whoever takes its lane looks for it first.
        self.node.leave().await;
        self.services.store.close().await;
        tracing::info!("stopped");
    }
}

/// Lanes with something to deliver that are not in the configuration any more (renamed, removed).
async fn orphans(config: &Config, store: &dyn Store) -> Result<BTreeSet<LaneRef>, StoreError> {
    let known = |lane: &LaneRef| {
        config.accounts.iter().any(|account| {
            account.sid == lane.account && account.integrations.iter().any(|one| one.name == lane.integration)
        })
    };
    let depths = store.depths().await?.deliveries;
    let waiting = depths.into_iter().filter(|((lane, state), count)| {
        matches!(state, DeliveryState::Pending | DeliveryState::Inflight) && *count > 0 && !known(lane)
    });
    Ok(waiting.map(|((lane, _), _)| lane).collect())
}

/// What was planned for such a lane would wait unseen: it is held, with what to do; once no other node runs it.
async fn hold_orphan(
    lane: LaneRef,
    store: Arc<dyn Store>,
    node: Arc<Node>,
    ambiguous_wait: Duration,
    stopping: CancellationToken,
) {
    let reason = "there is no integration of this name in the configuration any more: give it its name back and \
                  retry this delivery, or resync the call to write it into the integrations there are";
    let Some(term) = node.take(Duty::Lane(lane.clone()), &stopping).await else { return };
    let now = Timestamp::now();
    let held = async {
        store.recover(term.lease(), &lane, now + ambiguous_wait, now).await?;
        store.hold_lane(&lane, reason, now).await
    };
    match held.await {
        Ok(held) => {
            tracing::error!(%lane, held, "deliveries wait for an integration that is not in the configuration any more; \
                they are held. Give it its name back and retry them, or resync their calls");
        }
        Err(error) => {
            tracing::error!(%lane, %error, "deliveries wait for an integration that is not in the configuration \
            any more, and cannot be held")
        }
    }
    term.end().await;
}

/// Acts on what other nodes have done, as if it had been done here.
async fn hear(services: Arc<Services>, node: Arc<Node>) {
    loop {
        let news = tokio::select! {
            news = services.store.news() => news,
            () = services.stopping.cancelled() => return,
        };
        match news {
            News::Journal => services.journal.notify_one(),
            News::Work => {
                services.lanes.values().for_each(LaneHandle::wake);
                services.decider.enquiries.notify_one();
            }
            News::Lease => node.nudge(),
            News::Tokens => {
                if let Err(error) = services.reload_doors().await {
                    tracing::warn!(%error, "hook tokens of other nodes cannot be read");
                }
            }
            News::Agents => {
                if let Err(error) = services.agents.reload_all().await {
                    tracing::warn!(%error, "the user mapping, which another node has changed, cannot be read");
                }
            }
            News::Bots => {
                if let Err(error) = services.bots.reload_all().await {
                    tracing::warn!(%error, "bots and DIDs, which another node has changed, cannot be read");
                }
            }
            News::Credential => {
                services.lanes.values().filter(|lane| lane.health() != Health::Running).for_each(LaneHandle::probe_now);
            }
        }
    }
}

/// The HTTP server as the service runs it, with what `routes` puts there; the benchmark measures others in it.
///
/// # Errors
/// When the socket cannot be listened on.
pub fn http_server<F>(config: &config::Server, listener: TcpListener, routes: F) -> std::io::Result<Server>
where
    F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    let server = HttpServer::new(move || App::new().configure(&routes))
        .workers(config.workers)
        .max_connections(config.connections.div_ceil(config.workers))
        .backlog(4096)
        .keep_alive(KeepAlive::Timeout(Duration::from_secs(75)))
        .client_request_timeout(config.request_timeout)
        .shutdown_timeout(config.drain_timeout.as_secs().max(1))
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

/// The embedded store is this process's alone as long as it lives: nobody waits for its leases to end.
fn lease_ttl(store: &config::Store) -> Duration {
    match store.url {
        StoreUrl::Sqlite(_) => Duration::from_secs(24 * 3600),
        StoreUrl::Postgres { .. } => store.lease,
    }
}

/// Whether the server of a store that several nodes share lets us in; `None`: the store has no server.
pub async fn try_store(config: &config::Store) -> Option<Result<(), StoreError>> {
    let StoreUrl::Postgres { url, .. } = &config.url else { return None };
    Some(PostgresStore::try_out(url).await)
}

/// The store of a configuration, for a look into it.
///
/// # Errors
/// [`StartError`]; with [`StoreError::InUse`] in it where the embedded store is a running service's.
pub async fn open_store(config: &config::Store) -> Result<Arc<dyn Store>, StartError> {
    let named = |error| StartError::Store { path: config.url.place(), error };
    match &config.url {
        StoreUrl::Sqlite(path) => {
            let (path, queue) = (path.clone(), config.queue);
            let options = SqliteOptions { path, queue, group: 1024, busy_timeout: Duration::from_secs(5) };
            match tokio::task::spawn_blocking(move || SqliteStore::open(options)).await {
                Ok(opened) => Ok(Arc::new(opened.map_err(named)?)),
                Err(error) => Err(named(StoreError::Unreadable(error.to_string()))),
            }
        }
        StoreUrl::Postgres { url, .. } => {
            let options = PostgresOptions { url: url.clone(), queue: config.queue, group: 1024 };
            Ok(Arc::new(PostgresStore::open(options).await.map_err(named)?))
        }
    }
}

/// A credential that ends takes a whole lane with it: it is told once at start, and in a metric that can be watched.
fn tell_expiry(account: &Account, integration: &Integration, metrics: &Metrics, now: Timestamp) {
    let Some(ends) = Expiry::of(integration.manifest.auth, &integration.secrets) else { return };
    let (account, integration) = (account.sid.clone(), integration.name.clone());
    if ends.standing(now) != Standing::Far {
        tracing::warn!(%account, %integration, "the credential in {}", ends.told(now));
    }
    metrics.credential_expires.get_or_create(&LaneLabels { account, integration }).set(ends.at.as_second());
}

/// What all lanes work with.
struct Around<'a> {
    config: &'a Config,
    transport: &'a Transport,
    vault: &'a Vault,
    node: &'a Arc<Node>,
    metrics: &'a Arc<Metrics>,
    seen: &'a mpsc::Sender<Sighting>,
    stopping: &'a CancellationToken,
}

fn start_lane(account: &Account, integration: &Integration, around: &Around<'_>) -> (LaneHandle, JoinHandle<()>) {
    let &Around { config, transport, vault, node, metrics, seen, stopping } = around;
    let delivery = &config.delivery;
    let driver =
        driver(config, account, integration, Some(vault), transport.clone(), Arc::clone(metrics), stopping.clone());
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
#[expect(clippy::too_many_arguments, reason = "all that the service has, each once")]
fn dialer(
    config: &Config,
    account: &Account,
    client: &ExotelClient,
    vault: &Vault,
    metrics: &Arc<Metrics>,
    journal: &Arc<Notify>,
    public_url: &Arc<OnceLock<String>>,
    agents: &Arc<Agents>,
    stopping: &CancellationToken,
) -> Arc<Dialer> {
    let token = hooks::status_token(&account.sid, &vault.key);
    let public_url = Arc::clone(public_url);
    Arc::new(Dialer::new(DialerParts {
        account: account.clone(),
        agents: lookup(Arc::clone(agents), account.sid.clone(), account.country.clone()),
        line: Arc::new(client.clone()),
        clicks: Arc::clone(&vault.store) as Arc<dyn Clicks>,
        metrics: Arc::clone(metrics),
        clock: Arc::new(Timestamp::now),
        status_url: Arc::new(move || format!("{}/h/{token}/status", public_url.get().map_or("", String::as_str))),
        wait: config.dialer.wait,
        settle_after: config.dialer.settle_after,
        journal: Arc::clone(journal),
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

/// Where tokens are kept, and what seals them.
#[derive(Clone, Debug)]
pub struct Vault {
    pub store: Arc<dyn Store>,
    pub key: MasterKey,
}

/// The vault of a configuration.
///
/// # Errors
/// [`StartError`]; with [`StoreError::InUse`] in it where the embedded store is a running service's.
pub async fn open_vault(config: &Config) -> Result<Vault, StartError> {
    let store = open_store(&config.store).await?;
    let file = config.server.master_key_file.as_deref();
    let key = match (&config.store.url, file) {
        (StoreUrl::Postgres { .. }, Some(file)) => MasterKey::load_shared(file),
        (StoreUrl::Postgres { .. }, None) => {
            Err("server.master_key_file must be set: every node needs the same".to_owned())
        }
        (StoreUrl::Sqlite(path), file) => MasterKey::load_or_make(file, path),
    };
    Ok(Vault { store, key: key.map_err(StartError::Key)? })
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

/// The context, and what keeps it.
fn start_context(
    config: &config::Context,
    key: &MasterKey,
    workers: &mut JoinSet<()>,
    stopping: &CancellationToken,
) -> Result<Arc<dyn Context>, StartError> {
    let Some(options) = redis_options(config) else { return Ok(Arc::new(MemoryContext::default())) };
    let context = RedisContext::new(&options, key.clone()).map_err(StartError::Context)?;
    workers.spawn(Arc::clone(&context).keep(stopping.clone()));
    Ok(context)
}

/// Where Redis is, if the context is there; also what `patchbay check` asks.
pub fn redis_options(config: &config::Context) -> Option<RedisOptions> {
    match &config.url {
        ContextUrl::Memory => None,
        ContextUrl::Redis(url) => Some(RedisOptions::new(url.clone(), config.root_certificate.clone())),
    }
}

fn locale(account: &Account) -> Locale {
    Locale {
        utc_offset: account.utc_offset,
        country: account.country.clone(),
        recording_origins: vec![account.api_url.origin()],
    }
}

fn account_rules(
    config: &Config,
    account: &Account,
    key: &MasterKey,
    public_url: &Arc<OnceLock<String>>,
) -> AccountRules {
    let integrations = account
        .integrations
        .iter()
        .map(|integration| IntegrationRules {
            name: integration.name.clone(),
            manifest: integration.manifest,
            notes: connector(integration).notes().is_some(),
            popups: connector(integration).popups().is_some(),
            updates: connector(integration).updates().is_some(),
            assign: match integration.manifest.assigns {
                Assigns::Always => true,
                Assigns::Flag(flag) => integration.settings.flag(flag),
                Assigns::Never => false,
            },
            follow_up: connector(integration).follow_ups().and_then(|follow_ups| follow_ups.for_missed()),
            follow_up_kinds: connector(integration).follow_ups().map_or(&[][..], |follow_ups| follow_ups.kinds()),
            mask_numbers: integration.settings.flag("mask_numbers"),
            texts: Arc::clone(&integration.texts),
        })
        .collect();
    let (key, public_url, sid) = (key.clone(), Arc::clone(public_url), account.sid.clone());
    AccountRules {
        locale: locale(account),
        plan: PlanRules {
            account: account.sid.clone(),
            country: account.country.clone(),
            integrations,
            recording_link: Arc::new(move |call_sid| {
                pages::recording::link(public_url.get().map_or("", String::as_str), &key, &sid, call_sid, None)
            }),
            enquiry_schedule: Arc::clone(&config.enquiry.schedule),
        },
    }
}

async fn fan_out(from: Arc<Notify>, to: Vec<Arc<Notify>>, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = from.notified() => to.iter().for_each(|wake| wake.notify_one()),
            () = stopping.cancelled() => return,
        }
    }
}

async fn purge(store: Arc<dyn Store>, keep: Duration, stopping: CancellationToken) {
    loop {
        let Ok(older_than) = Timestamp::now().checked_sub(keep) else { return };
        match store.purge(older_than, PURGE_ROWS).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "removed old, settled calls and their callbacks"),
            Err(error) => tracing::warn!(%error, "old calls could not be removed"),
        }
        if let Err(error) = store.forget(Timestamp::now(), older_than, PURGE_ROWS).await {
            tracing::warn!(%error, "sessions that are over could not be removed");
        }
        tokio::select! {
            () = tokio::time::sleep(PURGE_EVERY) => {}
            () = stopping.cancelled() => return,
        }
    }
}
