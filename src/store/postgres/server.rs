//! Connections to the server: where it is, how one is made, and those that are lent to one transaction each.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts, Transaction,
};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{
    Client, Config, Connection, IsolationLevel, Row, Socket,
    config::{Host, SslMode, TargetSessionAttrs},
    types::ToSql,
};
use url::Url;

use super::{
    fault::Fault,
    tls::{Stream, Tls},
};
use crate::store::StoreError;

/// Transactions side by side. The server's own limit is 100 for all nodes.
const CONNECTIONS: usize = 10;
const CONNECT: Duration = Duration::from_secs(5);
/// How long one operation may take before whoever waits is told that it failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// What holds on every connection. A commit is answered once it is on disk. A node that vanishes in the middle of a
/// transaction must not hold others up for longer than it takes to miss it.
const SESSION: &str = "SET synchronous_commit = on; SET statement_timeout = '12s'; SET lock_timeout = '10s'; \
                       SET idle_in_transaction_session_timeout = '10s'; SET tcp_user_timeout = '10s'; \
                       SET client_min_messages = warning";

/// Where the server is and how it is spoken to.
#[derive(Clone)]
pub(super) struct Server {
    config: Config,
    tls: Tls,
}

impl Server {
    /// # Errors
    /// What in the URL cannot be understood, without quoting it.
    pub(super) fn new(url: &SecretString) -> Result<Self, StoreError> {
        let unusable = |reason: &str| StoreError::Unwritable(format!("store.url: {reason}"));
        let mut url = Url::parse(url.expose_secret()).map_err(|_| unusable("is not a URL"))?;
        let (mut mode, mut authority) = (None, None);
        let mut rest = Vec::new();
        for (key, value) in url.query_pairs() {
            match &*key {
                "sslmode" => mode = Some(value.into_owned()),
                "sslrootcert" => authority = Some(PathBuf::from(value.into_owned())),
                _ => rest.push((key.into_owned(), value.into_owned())),
            }
        }
        url.set_query(None);
        if !rest.is_empty() {
            // Not as a form: the server's side of this does not read `+` as a space.
            let rest: Vec<String> =
                rest.iter().map(|(key, value)| format!("{}={}", quote(key), quote(value))).collect();
            url.set_query(Some(&rest.join("&")));
        }
        let mut config: Config = url.as_str().parse().map_err(|error: tokio_postgres::Error| {
            unusable(&std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string))
        })?;
        let near = config.get_hosts().iter().all(is_near);
        let mode = match mode.as_deref() {
            None if near => SslMode::Disable,
            None | Some("require" | "verify-ca" | "verify-full") => SslMode::Require,
            Some("disable") => SslMode::Disable,
            Some(_) => {
                return Err(unusable("sslmode must be \"require\" (the certificate is verified) or \"disable\""));
            }
        };
        config
            .ssl_mode(mode)
            .application_name("patchbay")
            .connect_timeout(CONNECT)
            .tcp_user_timeout(Duration::from_secs(10))
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(3))
            .keepalives_retries(3)
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        let tls = Tls::new(authority.as_deref()).map_err(|reason| unusable(&reason))?;
        Ok(Self { config, tls })
    }

    /// A connection of its own. Nothing comes over it unless somebody polls the second half.
    pub(super) async fn connect(&self) -> Result<(Client, Connection<Socket, Stream<Socket>>), Fault> {
        let connecting = self.config.connect(self.tls.clone());
        match tokio::time::timeout(CONNECT * 2, connecting).await {
            Ok(connected) => Ok(connected?),
            Err(_) => Err(Fault::Away("PostgreSQL: the server does not answer".to_owned())),
        }
    }

    /// A connection that is polled by a task of its own.
    pub(super) async fn client(&self) -> Result<Client, Fault> {
        let (client, connection) = self.connect().await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the database ended");
            }
        });
        Ok(client)
    }

    /// The same, as it is to be for transactions.
    pub(super) async fn session(&self) -> Result<Client, Fault> {
        let client = self.client().await?;
        client.batch_execute(SESSION).await?;
        Ok(client)
    }

    pub(super) fn pool(&self) -> Result<Pool, StoreError> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(self.config.clone(), self.tls.clone(), recycling);
        let wait = Some(PATIENCE);
        let session = Hook::async_fn(|client: &mut deadpool_postgres::ClientWrapper, _| {
            Box::pin(async move { client.batch_execute(SESSION).await.map_err(HookError::Backend) })
        });
        Pool::builder(manager)
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts { wait, create: wait, recycle: wait })
            .post_create(session)
            .build()
            .map_err(|error| StoreError::Unwritable(error.to_string()))
    }
}

fn quote(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// On this machine.
fn is_near(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|addr: IpAddr| addr.is_loopback()),
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

type Params<'p> = &'p [&'p (dyn ToSql + Sync)];

/// One transaction. Undone unless it is committed, also when it is dropped half-way.
pub(super) struct Tx<'c>(Transaction<'c>);

impl<'c> Tx<'c> {
    pub(super) async fn begin(conn: &'c mut Object) -> Result<Self, Fault> {
        Ok(Self(conn.transaction().await?))
    }

    /// One that sees the database as it is now, whatever others write meanwhile.
    pub(super) async fn look(conn: &'c mut Object) -> Result<Self, Fault> {
        let snapshot = conn.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        Ok(Self(snapshot.start().await?))
    }

    pub(super) async fn commit(self) -> Result<(), Fault> {
        Ok(self.0.commit().await?)
    }

    pub(super) async fn rows(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Fault> {
        let statement = self.0.prepare_cached(sql).await?;
        Ok(self.0.query(&statement, params).await?)
    }

    pub(super) async fn row(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>, Fault> {
        let statement = self.0.prepare_cached(sql).await?;
        Ok(self.0.query_opt(&statement, params).await?)
    }

    /// Returns how many rows.
    pub(super) async fn run(&self, sql: &str, params: Params<'_>) -> Result<u64, Fault> {
        let statement = self.0.prepare_cached(sql).await?;
        Ok(self.0.execute(&statement, params).await?)
    }
}
