//! Opens what the configuration names: the store, the key, the context.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::{
    accounts::Vault,
    config::{self, Config, ContextUrl, StoreUrl},
    context::{Context, MemoryContext, RedisContext, RedisOptions},
    key::MasterKey,
    store::{PostgresOptions, PostgresStore, SqliteOptions, SqliteStore, Store, StoreError},
};

/// The embedded store is this process's alone as long as it lives: nobody waits for its leases to end.
pub(super) fn lease_ttl(store: &config::Store) -> Duration {
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
    let key = key.and_then(|key| key.with_previous(&config.server.previous_key_files)).map_err(StartError::Key)?;
    Ok(Vault { store, key })
}

/// The context, and what keeps it.
pub(super) fn start_context(
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
