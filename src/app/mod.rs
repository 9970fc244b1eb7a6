//! Builds the service from a configuration. `main.rs`, the demo and the tests all run what is built here.

mod hand_over;
mod open;
mod serve;

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::{Duration, Instant},
};

use actix_web::{
    dev::ServerHandle,
    web::{self, Data},
};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

pub use crate::accounts::{Vault, driver, exotel_client, needs_vault};
use crate::{
    access::Gate,
    accounts::{Accounts, Around, Links, Roll},
    config::{Account, Config, Voicebot},
    connect::transport::Transport,
    context::Context,
    decide::Decider,
    delivery::{Health, LaneHandle},
    dialer::Dialer,
    directory::{Agents, Bots},
    exotel::ExotelClient,
    hooks::{self, Answers, Doors},
    key::MasterKey,
    live::{Live, Teller},
    reseal,
    store::{LaneRef, News, Node, Store, StoreError},
    telemetry::Metrics,
    voice::{self, Briefs, Sessions},
    web as pages,
};
pub use hand_over::hand_over;
pub(crate) use hand_over::names_somebody;
pub use open::{open_store, open_vault, redis_options, try_store};
pub use serve::http_server;

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
    /// But for its accounts: they are in `accounts`, with those that are kept here.
    pub config: Arc<Config>,
    pub store: Arc<dyn Store>,
    pub context: Arc<dyn Context>,
    pub metrics: Arc<Metrics>,
    pub doors: ArcSwap<Doors>,
    doors_turn: tokio::sync::Mutex<()>,
    pub answers: Answers,
    pub briefs: Briefs,
    pub decider: Arc<Decider>,
    /// The user mapping.
    pub agents: Arc<Agents>,
    pub bots: Arc<Bots>,
    pub gate: Gate,
    pub accounts: Arc<Accounts>,
    pub key: MasterKey,
    /// Woken by every durable receipt.
    pub journal: Arc<Notify>,
    pub public_url: Arc<OnceLock<String>>,
    pub started: Instant,
    /// Callbacks are being answered 503: told once, when it begins and when it ends.
    pub refusing: AtomicBool,
    pub backfills: pages::integrations::Backfills,
    pub streams: pages::live::Streams,
    pub sessions: Arc<Sessions>,
    pub stopping: CancellationToken,
}

impl Services {
    /// The address in URLs that are handed out, without a slash at its end.
    pub fn public_url(&self) -> &str {
        self.public_url.get().map_or("", String::as_str)
    }

    /// Where websockets are opened: the same, in their scheme.
    pub fn websocket_base(&self) -> String {
        websocket(self.public_url())
    }

    pub fn account(&self, sid: &str) -> Option<Arc<Account>> {
        self.accounts.get(sid).map(|running| Arc::clone(&running.account))
    }

    pub fn lane(&self, lane: &LaneRef) -> Option<LaneHandle> {
        self.accounts.load().lane(lane).cloned()
    }

    pub fn lanes(&self) -> Vec<LaneHandle> {
        self.accounts.load().lanes().cloned().collect()
    }

    pub fn lanes_of(&self, sid: &str) -> Vec<LaneHandle> {
        self.accounts.get(sid).map(|running| running.lanes().cloned().collect()).unwrap_or_default()
    }

    pub fn exotel(&self, sid: &str) -> Option<ExotelClient> {
        self.accounts.get(sid).map(|running| running.exotel().clone())
    }

    pub fn dialer(&self, sid: &str) -> Option<Arc<Dialer>> {
        self.accounts.get(sid).map(|running| Arc::clone(running.dialer()))
    }

    /// Reads the hook tokens anew, after one was made or expired, or another account is there.
    ///
    /// # Errors
    /// What the store says.
    pub async fn reload_doors(&self) -> Result<(), StoreError> {
        // One after the other: what was read first must not be put over what was read last.
        let _turn = self.doors_turn.lock().await;
        let tokens = self.store.hook_token_hashes(Timestamp::now()).await?;
        let roll = self.accounts.load();
        self.doors.store(Arc::new(Doors::new(roll.iter().map(|running| &*running.account), tokens, &self.key)));
        Ok(())
    }
}

/// An address in the scheme of websockets.
fn websocket(base: &str) -> String {
    match base.split_once("://") {
        Some(("https", rest)) => format!("wss://{rest}"),
        Some((_, rest)) => format!("ws://{rest}"),
        None => base.to_owned(),
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
    pub async fn start(mut config: Config) -> Result<Self, StartError> {
        let started = Instant::now();
        let metrics = Arc::new(Metrics::default());
        let vault = open_vault(&config).await?;
        let Vault { store, key } = vault.clone();
        let place = config.store.url.place();
        let store_error = |error| StartError::Store { path: place.clone(), error };
        let of_file = std::mem::take(&mut config.accounts);
        let config = Arc::new(config);

        // Listening comes first, so that the address in links is known; requests are served once all stands.
        let listener = TcpListener::bind(config.server.listen)
            .map_err(|error| StartError::Listen { addr: config.server.listen, error })?;
        let addr = listener.local_addr().map_err(|error| StartError::Listen { addr: config.server.listen, error })?;
        let public_url = Arc::new(OnceLock::new());
        let _ = public_url.set(config.server.public_url.clone().unwrap_or_else(|| format!("http://{addr}")));

        if key.has_previous() {
            reseal::all(store.as_ref(), &key).await.map_err(store_error)?;
        }
        let transport = Transport::new(config.delivery.connect_timeout).map_err(StartError::Transport)?;
        let sessions = Arc::new(Sessions::new(transport.clone()).map_err(StartError::Transport)?);
        let stopping = CancellationToken::new();
        let journal = Arc::new(Notify::new());
        let mut workers = JoinSet::new();
        let node = Node::start(Arc::clone(&store), open::lease_ttl(&config.store));
        let context = open::start_context(&config.context, &key, &mut workers, &stopping)?;
        let agents = Agents::load(&[], Arc::clone(&store), key.clone()).await.map_err(store_error)?;
        let agents = Arc::new(agents);
        let bots = Bots::load(&[], Arc::clone(&store), key.clone()).await.map_err(store_error)?;
        let bots = Arc::new(bots);
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
            config: Arc::clone(&config),
            transport,
            vault,
            node: Arc::clone(&node),
            metrics: Arc::clone(&metrics),
            agents: Arc::clone(&agents),
            bots: Arc::clone(&bots),
            seen: seen.clone(),
            journal: Arc::clone(&journal),
            links: links(&key, &public_url, &bots),
            stopping: stopping.clone(),
        };
        let accounts = Accounts::start(around, of_file).await.map_err(store_error)?;
        agents.resume(&stopping).await.map_err(store_error)?;
        let decider = Arc::new(Decider {
            store: Arc::clone(&store),
            node: Arc::clone(&node),
            accounts: Arc::clone(&accounts),
            agents: Arc::clone(&agents),
            metrics: Arc::clone(&metrics),
            wake: Arc::clone(&journal),
            seen,
            live,
            stopping: stopping.clone(),
        });
        workers.spawn(Arc::clone(&decider).run());
        workers.spawn(purge(Arc::clone(&store), config.store.keep, stopping.clone()));
        let Voicebot { recordings, recordings_for, .. } = config.voicebot.clone();
        workers.spawn(voice::sweep(recordings, recordings_for, stopping.clone()));

        let drain = config.server.drain_timeout;
        let there = Arc::clone(&accounts);
        let is_account = Arc::new(move |sid: &str| there.get(sid).is_some());
        let gate = Gate::new(
            Arc::clone(&store),
            Arc::clone(&context),
            key.clone(),
            config.server.admin_token.as_ref(),
            is_account,
        );
        let services = Arc::new(Services {
            config,
            store,
            context,
            metrics,
            doors: ArcSwap::from_pointee(Doors::new([], Vec::new(), &key)),
            doors_turn: Default::default(),
            answers: Answers::default(),
            briefs: Briefs::default(),
            decider,
            agents,
            bots,
            gate,
            accounts,
            key,
            journal,
            public_url,
            started,
            refusing: AtomicBool::new(false),
            backfills: Default::default(),
            streams: Default::default(),
            sessions,
            stopping,
        });
        let changes = services.accounts.changes();
        services.reload_doors().await.map_err(store_error)?;
        workers.spawn(keep_doors(Arc::clone(&services), changes));
        workers.spawn(hear(Arc::clone(&services), Arc::clone(&node)));
        workers.spawn(voice::heed(Arc::clone(&services)));
        let data = Data::from(Arc::clone(&services));
        workers.spawn(hooks::look_ahead(data.clone(), sightings));
        let server = http_server(&services.config.server, listener, move |app| {
            app.app_data(data.clone())
                .configure(hooks::routes)
                .configure(voice::routes)
                .configure(pages::routes)
                .default_service(web::to(pages::not_found));
        })
        .map_err(|error| StartError::Listen { addr, error })?;
        let handle = server.handle();
        let serving = tokio::spawn(server);
        let roll = services.accounts.load();
        if roll.iter().len() == 0 {
            tracing::warn!("there is no account, in the configuration or made by the API: nothing is let in");
        }
        tracing::info!(%addr, public_url = services.public_url(), accounts = roll.iter().len(),
            lanes = roll.lanes().count(), ready_ms = started.elapsed().as_millis(), "ready");
        Ok(Self { services, addr, server: handle, serving, workers, node, drain })
    }

    /// Stops: no new requests, what is under way may finish for the drain timeout, the rest stays durable.
    pub async fn stop(mut self) {
        tracing::info!("stopping");
        self.services.stopping.cancel();
        self.server.stop(true).await;
        let drained = tokio::time::timeout(self.drain, async {
            while self.workers.join_next().await.is_some() {}
            self.services.accounts.ended().await;
        });
        if drained.await.is_err() {
            tracing::warn!("deliveries were still under way; they are looked for and finished at the next start");
            self.workers.abort_all();
        }
        let _ = self.serving.await;
        self.services.sessions.told(self.drain).await;
        // What was still under way is in flight, and whoever takes its lane looks for it first.
        self.node.leave().await;
        self.services.store.close().await;
        tracing::info!("stopped");
    }
}

/// The links that are handed out for accounts.
fn links(key: &MasterKey, public_url: &Arc<OnceLock<String>>, bots: &Arc<Bots>) -> Links {
    let (bots, there) = (Arc::clone(bots), Arc::clone(public_url));
    let (signs, at) = (key.clone(), Arc::clone(public_url));
    let (made_of, on) = (key.clone(), Arc::clone(public_url));
    let base = |url: &Arc<OnceLock<String>>| url.get().cloned().unwrap_or_default();
    Links {
        recording: Arc::new(move |sid, call_sid| pages::recording::link(&base(&at), &signs, sid, call_sid, None)),
        status: Arc::new(move |sid| format!("{}/h/{}/status", base(&on), hooks::status_token(sid, &made_of))),
        stream: Arc::new(move |click| voice::stream_url(&bots, &websocket(&base(&there)), click, Timestamp::now())),
    }
}

/// Whoever changes an account here waits for the doors himself; this is for what was found to be changed.
async fn keep_doors(services: Arc<Services>, mut changes: watch::Receiver<u64>) {
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = services.stopping.cancelled() => return,
        }
        if let Err(error) = services.reload_doors().await {
            tracing::warn!(%error, "who may come in cannot be read anew; it is with the next change");
        }
    }
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
                services.lanes().iter().for_each(LaneHandle::wake);
                services.accounts.wake_enquirers();
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
                let lanes = services.lanes();
                lanes.iter().filter(|lane| lane.health() != Health::Running).for_each(LaneHandle::probe_now);
            }
            News::Accounts => {
                let were = services.accounts.load();
                match services.accounts.follow().await {
                    Ok(()) => plan_meantime(&services, &were),
                    Err(error) => {
                        tracing::warn!(%error, "accounts, which another node has changed, cannot be read; trying on");
                    }
                }
            }
        }
    }
}

/// Between the making of an integration on another node and the news of it, this one may have decided calls without it:
/// they are planned again. What is planned already stays as it is.
fn plan_meantime(services: &Arc<Services>, were: &Roll) {
    for running in services.accounts.load().iter() {
        let sid = &running.account.sid;
        let known = |name: &String| were.get(sid).is_some_and(|was| was.integrations.contains_key(name));
        let new = running.integrations.iter().filter(|(name, _)| !known(name));
        let Some(since) = new.filter_map(|(_, kept)| kept.created_at).min() else { continue };
        let (services, sid) = (Arc::clone(services), sid.clone());
        tokio::spawn(async move {
            if let Err(error) = services.decider.backfill(&sid, since).await {
                tracing::warn!(account = sid, %error, "calls that came while an integration was made may not be in it; \
                    resync them, or ask for a backfill");
            }
        });
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
