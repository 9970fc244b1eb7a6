//! Between the nodes: what one of them has done and others may have to act on at once. Hints only; whoever misses one
//! finds the same out of the tables a little later.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;

use super::{fault::Fault, server::Server};
use crate::store::News;

const CHANNEL: &str = "patchbay";
/// Between attempts to connect.
const PAUSE: Duration = Duration::from_secs(1);

/// Accounts first: what else is told may be of one that is new.
const ALL: [News; 8] =
    [News::Accounts, News::Journal, News::Work, News::Lease, News::Tokens, News::Credential, News::Agents, News::Bots];

fn name(news: News) -> &'static str {
    match news {
        News::Journal => "journal",
        News::Work => "work",
        News::Lease => "lease",
        News::Tokens => "tokens",
        News::Credential => "credential",
        News::Agents => "agents",
        News::Bots => "bots",
        News::Accounts => "accounts",
    }
}

/// News that wait to be taken, each kind once.
#[derive(Debug, Default)]
struct Board {
    kinds: AtomicU8,
    posted: Notify,
}

impl Board {
    fn post(&self, news: News) {
        self.kinds.fetch_or(1 << news as u8, Ordering::SeqCst);
        self.posted.notify_one();
    }

    fn post_all(&self) {
        ALL.into_iter().for_each(|news| self.post(news));
    }

    async fn take(&self) -> News {
        loop {
            let kinds = self.kinds.load(Ordering::SeqCst);
            if let Some(news) = ALL.into_iter().find(|news| kinds & (1 << *news as u8) != 0) {
                self.kinds.fetch_and(!(1 << news as u8), Ordering::SeqCst);
                return news;
            }
            self.posted.notified().await;
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Wire {
    told: Board,
    heard: Board,
}

impl Wire {
    /// Tells the other nodes. After the commit of what is told of, and not in it: transactions that tell something wait
    /// for each other.
    pub(super) fn tell(&self, news: News) {
        self.told.post(news);
    }

    pub(super) async fn hear(&self) -> News {
        self.heard.take().await
    }

    /// Carries news until it is aborted.
    pub(super) async fn run(self: Arc<Self>, server: Server) {
        loop {
            if let Err(fault) = self.carry(&server).await {
                tracing::debug!(error = %fault.of_reading(), "other nodes are not heard");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Over one connection, until it ends.
    async fn carry(&self, server: &Server) -> Result<(), Fault> {
        let (client, mut connection) = server.connect().await?;
        // Its own words come back to it: what this node has done it knows.
        let own = AtomicI32::new(0);
        let mut talk = pin!(async {
            client.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
            let row = client.query_one("SELECT pg_backend_pid()", &[]).await?;
            own.store(row.try_get(0)?, Ordering::SeqCst);
            // What others told while there was no connection is not known.
            self.heard.post_all();
            let tell = client.prepare("SELECT pg_notify($1, $2)").await?;
            loop {
                let news = self.told.take().await;
                client.execute(&tell, &[&CHANNEL, &name(news)]).await?;
            }
        });
        loop {
            tokio::select! {
                ended = &mut talk => return ended,
                message = poll_fn(|cx| connection.poll_message(cx)) => match message {
                    Some(Ok(AsyncMessage::Notification(note))) => {
                        let news = ALL.into_iter().find(|news| name(*news) == note.payload());
                        if let Some(news) = news.filter(|_| note.process_id() != own.load(Ordering::SeqCst)) {
                            self.heard.post(news);
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                    None => return Ok(()),
                },
            }
        }
    }
}
