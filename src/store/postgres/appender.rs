//! The one task that makes callbacks durable. A flush to disk costs far more than a row, so it takes all that waits into
//! one statement, which is one transaction, and only then tells the callers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use super::{
    fault::Fault,
    rows::{opt_text, text},
    server::{PATIENCE, Server},
    wire::Wire,
};
use crate::{
    call::Receipt,
    codes::Code,
    store::{News, Seq, StoreError, documents},
};

/// Bodies that one transaction takes, beside the bound on their number: a group must fit into memory and into the
/// patience of those who wait for it.
const GROUP_BYTES: usize = 4 << 20;

/// After a failure callers are refused at once for so long: each of them would else wait for another one.
const REFUSE: Duration = Duration::from_millis(500);

/// Places are given out by the row of `journal`, which is held until the commit: of two groups, from one node or two, the
/// later one has the higher places and becomes visible later. So a reader that has come to a place has seen all before
/// it. All is done by the server: a node that dies on the way holds nobody up.
const APPEND: &str = "WITH head AS (
       UPDATE journal SET last = last + cardinality($1::uuid[]) RETURNING last - cardinality($1::uuid[]) AS base)
     INSERT INTO receipt (seq, id, account, hook, received_ms, method, path, query, content_type, body)
     SELECT head.base + new.nth, new.id, new.account, new.hook, new.received_ms, new.method, new.path, new.query,
       new.content_type, new.body
     FROM head, unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
       $9::bytea[]) WITH ORDINALITY
       AS new (id, account, hook, received_ms, method, path, query, content_type, body, nth)
     RETURNING seq";

pub(super) type Append = (Receipt, oneshot::Sender<Result<Seq, StoreError>>);

#[derive(Debug)]
pub(super) enum Command {
    Append(Box<Append>),
    /// Take nothing new, finish what waits, end.
    Close,
}

/// The queue's other end, and its own connection.
pub(super) struct Appender {
    pub(super) server: Server,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) group: usize,
    pub(super) wire: Arc<Wire>,
    pub(super) session: Option<(Client, Statement)>,
}

impl Appender {
    /// Writes until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        let mut arrived = Vec::with_capacity(self.group);
        let mut failed: Option<(Instant, String)> = None;
        while self.commands.recv_many(&mut arrived, self.group).await > 0 {
            let mut waiting = Vec::with_capacity(arrived.len());
            for command in arrived.drain(..) {
                match command {
                    Command::Append(append) => waiting.push(*append),
                    // What is in the queue already is still taken.
                    Command::Close => self.commands.close(),
                }
            }
            let mut waiting = waiting.into_iter().peekable();
            while waiting.peek().is_some() {
                let mut bytes = 0;
                let mut group = Vec::new();
                // At least one, however large.
                while let Some((receipt, _)) = waiting.peek()
                    && (group.is_empty() || bytes + receipt.body.len() + receipt.query.len() <= GROUP_BYTES)
                {
                    bytes += receipt.body.len() + receipt.query.len();
                    group.extend(waiting.next());
                }
                self.take(group, &mut failed).await;
            }
        }
    }

    async fn take(&mut self, group: Vec<Append>, failed: &mut Option<(Instant, String)>) {
        let (receipts, replies): (Vec<Receipt>, Vec<_>) = group.into_iter().unzip();
        let written = match failed {
            Some((at, reason)) if at.elapsed() < REFUSE => Err(reason.clone()),
            _ => {
                let written = match tokio::time::timeout(PATIENCE, self.write(&receipts)).await {
                    Ok(written) => written.map_err(|fault| match fault.of_writing() {
                        StoreError::Unwritable(reason) => reason,
                        other => other.to_string(),
                    }),
                    Err(_) => Err("PostgreSQL: the server does not answer".to_owned()),
                };
                // Once when it begins and once when it ends: what is refused meanwhile is told to those who asked.
                match (&written, failed.is_some()) {
                    (Err(reason), false) => tracing::error!(
                        code = %Code::StoreUnwritable, %reason,
                        "PostgreSQL takes no writes; callbacks are answered 503 until it does, and nothing \
                         acknowledged is lost"
                    ),
                    (Ok(_), true) => tracing::info!("the database is written again"),
                    _ => {}
                }
                *failed = written.as_ref().err().map(|reason| (Instant::now(), reason.clone()));
                if failed.is_some() {
                    // Whatever is still on its way over this connection is not waited for.
                    self.session = None;
                }
                written
            }
        };
        match written {
            Ok(first) => {
                for (seq, reply) in (first..).zip(replies) {
                    // Whoever asked may be gone; what is written stays written.
                    let _ = reply.send(Ok(Seq(seq)));
                }
                self.wire.tell(News::Journal);
            }
            Err(reason) => {
                for reply in replies {
                    let _ = reply.send(Err(StoreError::Unwritable(reason.clone())));
                }
            }
        }
    }

    /// Returns the first place; the others follow it.
    async fn write(&mut self, receipts: &[Receipt]) -> Result<i64, Fault> {
        crate::crash::point("store.before_commit");
        let (client, append) = match self.session.take().filter(|(client, _)| !client.is_closed()) {
            Some(session) => self.session.insert(session),
            None => {
                let session = session(&self.server).await?;
                self.session.insert(session)
            }
        };
        macro_rules! column {
            ($of:expr) => {
                receipts.iter().map($of).collect::<Vec<_>>()
            };
        }
        let ids: Vec<Uuid> = column!(|one| one.id);
        let received: Vec<i64> = column!(|one| one.received_at.as_millisecond());
        let bodies: Vec<&[u8]> = column!(|one| one.body.as_slice());
        let rows = client
            .query(
                &*append,
                &[
                    &ids,
                    &column!(|one| text(&one.account)),
                    &column!(|one| one.hook.as_str()),
                    &received,
                    &column!(|one| text(&one.method)),
                    &column!(|one| text(&one.path)),
                    &column!(|one| text(&one.query)),
                    &column!(|one| opt_text(one.content_type.as_deref())),
                    &bodies,
                ],
            )
            .await?;
        crate::crash::point("store.after_commit");
        let places = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        match places.iter().min() {
            Some(first) if places.len() == receipts.len() => Ok(*first),
            _ => Err(documents::alien("journal").into()),
        }
    }
}

pub(super) async fn session(server: &Server) -> Result<(Client, Statement), Fault> {
    let client = server.session().await?;
    let append = client.prepare(APPEND).await?;
    Ok((client, append))
}
