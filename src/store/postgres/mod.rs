//! The store of several nodes: PostgreSQL, which all of them share.
//!
//! Callbacks go through one task with group commit, the [`appender`]; everything else is a transaction on one of the
//! [`server`]'s connections. What one node does and others wait for is told over the [`wire`]. What the operations do
//! stands with their subject: [`journal`], [`decide`], [`deliveries`], [`calls`], [`clicks`], [`tokens`], [`leases`],
//! [`ledger`]; the trait is implemented here, in one block, each operation a line.

mod appender;
mod calls;
mod clicks;
mod credentials;
mod decide;
mod deliveries;
mod directory;
mod fault;
mod journal;
mod leases;
mod ledger;
mod rows;
mod schema;
mod server;
mod tls;
mod tokens;
mod wire;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use deadpool_postgres::Pool;
use jiff::Timestamp;
use patchbay_kit::Contact;
use secrecy::SecretString;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use uuid::Uuid;

use super::{
    AuditEntry, AuditFilter, Audited, CallFile, CallFilter, CallRef, CallSummary, Change, Claimed, Click, ClickFilter,
    ClickStep, Clicks, Consent, Decision, Delivery, DeliveryFilter, Depths, Directory, Document, DocumentKind,
    DocumentRef, Duty, HookToken, Kept, LaneRef, Lease, LedgerEntry, LedgerFilter, LedgerSummary, News, Paged,
    SealedAt, Seq, SetAside, Settlement, Span, Store, StoreError, StoredCall, StoredCredential, SweepCursor, Turn,
    documents::{Draft, REDRIVE_PIECE, Settled},
};
use crate::call::Receipt;
use appender::{Appender, Command};
use fault::Fault;
use server::{PATIENCE, Server, Tx};
use wire::Wire;

/// How the store of several nodes is opened.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// `postgres://user:password@host/database`.
    pub url: SecretString,
    /// Callbacks that may wait to be written before callers are refused.
    pub queue: usize,
    /// The most that one group commit takes.
    pub group: usize,
}

/// PostgreSQL, durable: `synchronous_commit=on`.
///
/// Times are kept to the millisecond.
pub struct PostgresStore {
    appends: mpsc::Sender<Command>,
    pool: Pool,
    wire: Arc<Wire>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresStore")
    }
}

/// One transaction: begun, done, committed, in bounded time.
macro_rules! writing {
    ($store:expr, |$tx:ident| $operation:expr) => {
        bounded(async {
            let mut conn = $store.pool.get().await?;
            let tx = Tx::begin(&mut conn).await?;
            let done = {
                let $tx = &tx;
                $operation.await?
            };
            tx.commit().await?;
            Ok(done)
        })
        .await
        .map_err(Fault::of_writing)
    };
}

/// One look at the database as it is now, in bounded time.
macro_rules! looking {
    ($store:expr, |$tx:ident| $question:expr) => {
        bounded(async {
            let mut conn = $store.pool.get().await?;
            let tx = Tx::look(&mut conn).await?;
            let answer = {
                let $tx = &tx;
                $question.await?
            };
            tx.commit().await?;
            Ok(answer)
        })
        .await
        .map_err(Fault::of_reading)
    };
}

async fn bounded<T>(operation: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    match tokio::time::timeout(PATIENCE, operation).await {
        Ok(done) => done,
        Err(_) => Err(Fault::Away("PostgreSQL: the server does not answer".to_owned())),
    }
}

impl PostgresStore {
    /// Connects, and makes the tables or migrates them forward.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`], or why it cannot be used, in words that hold no password.
    pub async fn open(options: PostgresOptions) -> Result<Self, StoreError> {
        Self::open_with(options, schema::SCRIPTS).await
    }

    /// Connects, and makes nothing.
    ///
    /// # Errors
    /// Why it cannot be used, in words that hold no password.
    pub async fn try_out(url: &SecretString) -> Result<(), StoreError> {
        let client = Server::new(url)?.client().await.map_err(Fault::of_reading)?;
        client.simple_query("SELECT 1").await.map(|_| ()).map_err(|error| Fault::from(error).of_reading())
    }

    async fn open_with(options: PostgresOptions, scripts: &[&str]) -> Result<Self, StoreError> {
        let server = Server::new(&options.url)?;
        let mut client = server.client().await.map_err(Fault::of_writing)?;
        schema::migrate(&mut client, scripts).await.map_err(Fault::of_writing)?;
        drop(client);
        let pool = server.pool()?;
        let (appends, commands) = mpsc::channel(options.queue.max(1));
        let wire = Arc::new(Wire::default());
        let appender = Appender {
            server: server.clone(),
            commands,
            group: options.group.max(1),
            wire: Arc::clone(&wire),
            session: Some(appender::session(&server).await.map_err(Fault::of_writing)?),
        };
        let tasks = vec![tokio::spawn(appender.run()), tokio::spawn(Arc::clone(&wire).run(server))];
        Ok(Self { appends, pool, wire, tasks: Mutex::new(tasks) })
    }
}

fn closed() -> StoreError {
    StoreError::Unwritable("the store is closed".to_owned())
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        // The appender ends by itself when its queue does.
        self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..).skip(1).for_each(|task| task.abort());
    }
}

#[async_trait]
impl Clicks for PostgresStore {
    async fn intend(&self, click: Click, renew_before: Option<Timestamp>) -> Result<Kept, StoreError> {
        writing!(self, |tx| clicks::intend(tx, &click, renew_before))
    }

    async fn click(&self, account: &str, id: Uuid) -> Result<Option<Click>, StoreError> {
        looking!(self, |tx| clicks::find(tx, account, id))
    }

    async fn click_of_key(&self, account: &str, key: [u8; 32]) -> Result<Option<Click>, StoreError> {
        looking!(self, |tx| clicks::of_key(tx, account, key))
    }

    async fn step_click(&self, step: ClickStep) -> Result<(), StoreError> {
        writing!(self, |tx| clicks::step(tx, &step))?;
        if step.receipt.is_some() {
            self.wire.tell(News::Journal);
        }
        Ok(())
    }

    async fn unsettled_clicks(&self, account: &str) -> Result<Vec<Click>, StoreError> {
        looking!(self, |tx| clicks::unsettled(tx, account))
    }

    async fn list_clicks(&self, account: &str, filter: &ClickFilter) -> Result<Vec<Click>, StoreError> {
        looking!(self, |tx| clicks::list(tx, account, filter))
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn append(&self, receipt: Receipt) -> Result<Seq, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.appends.try_send(Command::Append(Box::new((receipt, reply)))).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Full,
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        answer.await.map_err(|_| closed())?
    }

    async fn unread(&self, limit: usize) -> Result<Vec<(Seq, Receipt)>, StoreError> {
        looking!(self, |tx| journal::unread(tx, limit))
    }

    async fn calls(&self, refs: &[CallRef]) -> Result<BTreeMap<CallRef, StoredCall>, StoreError> {
        looking!(self, |tx| calls::stored(tx, refs))
    }

    async fn decide(
        &self,
        decisions: Vec<Decision>,
        set_aside: Vec<SetAside>,
        read_up_to: Option<(Seq, Lease)>,
    ) -> Result<(), StoreError> {
        let drafts = decisions.into_iter().map(Draft::new).collect::<Result<Vec<_>, _>>()?;
        writing!(self, |tx| async {
            let mut held = decide::hold(tx, &drafts).await?;
            if let Some((_, lease)) = &read_up_to {
                leases::check(tx, lease).await?;
            }
            for draft in &drafts {
                decide::write(tx, &mut held, draft).await?;
            }
            journal::set_aside(tx, &set_aside).await?;
            match &read_up_to {
                Some((seq, _)) => journal::advance(tx, *seq).await,
                None => Ok(()),
            }
        })?;
        if !drafts.is_empty() {
            self.wire.tell(News::Work);
        }
        Ok(())
    }

    async fn set_aside(&self, account: &str, limit: usize) -> Result<Vec<(Receipt, SetAside)>, StoreError> {
        looking!(self, |tx| journal::list_set_aside(tx, account, limit))
    }

    async fn replay_set_aside(&self, account: &str) -> Result<u64, StoreError> {
        let replayed = writing!(self, |tx| journal::replay(tx, account))?;
        self.wire.tell(News::Journal);
        Ok(replayed)
    }

    async fn contact(&self, lane: &LaneRef, external_id: &str) -> Result<Option<Contact>, StoreError> {
        looking!(self, |tx| deliveries::contact(tx, lane, external_id))
    }

    async fn claim(
        &self,
        lease: &Lease,
        lane: &LaneRef,
        turn: Turn,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Claimed>, StoreError> {
        writing!(self, |tx| deliveries::claim(tx, lease, lane, turn, limit, now))
    }

    async fn next_due(&self, lane: &LaneRef) -> Result<Option<Timestamp>, StoreError> {
        looking!(self, |tx| deliveries::next_due(tx, lane))
    }

    async fn settle(&self, lease: &Lease, settlement: Settlement) -> Result<(), StoreError> {
        let draft = Settled::new(settlement)?;
        writing!(self, |tx| deliveries::settle(tx, lease, &draft))
    }

    async fn recover(
        &self,
        lease: &Lease,
        lane: &LaneRef,
        not_before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        writing!(self, |tx| deliveries::recover(tx, lease, lane, not_before, now))
    }

    async fn hold_lane(&self, lane: &LaneRef, reason: &str, now: Timestamp) -> Result<u64, StoreError> {
        writing!(self, |tx| deliveries::hold_lane(tx, lane, reason, now))
    }

    async fn due_enquiries(
        &self,
        account: &str,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<(String, Timestamp)>, StoreError> {
        looking!(self, |tx| calls::due_enquiries(tx, account, limit, now))
    }

    async fn put_off_enquiry(&self, call: &CallRef, due_at: Timestamp) -> Result<(), StoreError> {
        writing!(self, |tx| calls::put_off_enquiry(tx, call, due_at))
    }

    async fn next_enquiry(&self, account: &str) -> Result<Option<Timestamp>, StoreError> {
        looking!(self, |tx| calls::next_enquiry(tx, account))
    }

    async fn list_calls(&self, account: &str, filter: &CallFilter) -> Result<Paged<CallSummary>, StoreError> {
        looking!(self, |tx| calls::list(tx, account, filter))
    }

    async fn call_file(&self, call: &CallRef) -> Result<Option<CallFile>, StoreError> {
        looking!(self, |tx| calls::file(tx, call))
    }

    async fn ledger(&self, account: &str, filter: &LedgerFilter) -> Result<Paged<LedgerEntry>, StoreError> {
        looking!(self, |tx| ledger::list(tx, account, filter))
    }

    async fn ledger_summary(&self, account: &str, span: Span) -> Result<LedgerSummary, StoreError> {
        looking!(self, |tx| ledger::summary(tx, account, span))
    }

    async fn sweep_cursor(&self, account: &str) -> Result<Option<SweepCursor>, StoreError> {
        looking!(self, |tx| ledger::sweep_cursor(tx, account))
    }

    async fn put_sweep_cursor(&self, account: &str, cursor: SweepCursor) -> Result<(), StoreError> {
        writing!(self, |tx| ledger::put_sweep_cursor(tx, account, cursor))
    }

    async fn list_deliveries(&self, account: &str, filter: &DeliveryFilter) -> Result<Paged<Delivery>, StoreError> {
        looking!(self, |tx| deliveries::list(tx, account, filter))
    }

    async fn redrive(
        &self,
        account: &str,
        filter: &DeliveryFilter,
        even_done: bool,
        now: Timestamp,
    ) -> Result<Vec<Uuid>, StoreError> {
        let mut redriven = Vec::new();
        let mut filter = filter.clone();
        let wanted = filter.limit as usize;
        // In pieces: a hundred thousand held deliveries must not hold their calls for as long as all of them take.
        loop {
            filter.limit = match wanted {
                0 => REDRIVE_PIECE,
                _ => u32::try_from(wanted - redriven.len()).unwrap_or(u32::MAX).min(REDRIVE_PIECE),
            };
            let piece = writing!(self, |tx| deliveries::redrive(tx, account, &filter, even_done, now))?;
            redriven.extend(piece.items);
            filter.before = piece.next;
            self.wire.tell(News::Work);
            if filter.before.is_none() || redriven.len() == wanted {
                return Ok(redriven);
            }
        }
    }

    async fn forget_links(&self, call: &CallRef, integration: Option<&str>) -> Result<(), StoreError> {
        writing!(self, |tx| deliveries::forget_links(tx, call, integration))
    }

    async fn insert_hook_token(&self, token: &HookToken, hash: [u8; 32]) -> Result<(), StoreError> {
        writing!(self, |tx| tokens::insert(tx, token, hash))?;
        self.wire.tell(News::Tokens);
        Ok(())
    }

    async fn hook_tokens(&self, account: &str) -> Result<Vec<HookToken>, StoreError> {
        looking!(self, |tx| tokens::of_account(tx, account))
    }

    async fn hook_token_hashes(&self, now: Timestamp) -> Result<Vec<(HookToken, [u8; 32])>, StoreError> {
        looking!(self, |tx| tokens::valid(tx, now))
    }

    async fn expire_hook_token(&self, account: &str, id: Uuid, at: Timestamp) -> Result<bool, StoreError> {
        let expired = writing!(self, |tx| tokens::expire(tx, account, id, at))?;
        self.wire.tell(News::Tokens);
        Ok(expired)
    }

    async fn credential(&self, lane: &LaneRef) -> Result<Option<StoredCredential>, StoreError> {
        looking!(self, |tx| credentials::find(tx, lane))
    }

    async fn put_credential(&self, lane: &LaneRef, on_version: i64, sealed: Vec<u8>) -> Result<(), StoreError> {
        writing!(self, |tx| credentials::put(tx, lane, on_version, &sealed))?;
        self.wire.tell(News::Credential);
        Ok(())
    }

    async fn forget_credential(&self, lane: &LaneRef) -> Result<(), StoreError> {
        writing!(self, |tx| credentials::forget(tx, lane))
    }

    async fn lease(&self, holder: Uuid, duties: &[Duty], ttl: Duration) -> Result<Vec<Lease>, StoreError> {
        writing!(self, |tx| leases::take(tx, holder, duties, ttl))
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        if writing!(self, |tx| leases::give_back(tx, lease))? {
            self.wire.tell(News::Lease);
        }
        Ok(())
    }

    async fn news(&self) -> News {
        self.wire.hear().await
    }

    async fn put_consent(&self, hash: [u8; 32], consent: &Consent, now: Timestamp) -> Result<(), StoreError> {
        writing!(self, |tx| credentials::put_consent(tx, hash, consent, now))
    }

    async fn take_consent(&self, hash: [u8; 32], now: Timestamp) -> Result<Option<Consent>, StoreError> {
        writing!(self, |tx| credentials::take_consent(tx, hash, now))
    }

    async fn depths(&self) -> Result<Depths, StoreError> {
        let ((unread_receipts, set_aside), deliveries) =
            writing!(self, |tx| async { Ok::<_, Fault>((journal::depths(tx).await?, deliveries::depths(tx).await?)) })?;
        Ok(Depths { unread_receipts, set_aside, deliveries })
    }

    async fn purge(&self, older_than: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let receipts = writing!(self, |tx| journal::purge(tx, older_than, limit))?;
        let left = limit.saturating_sub(usize::try_from(receipts).unwrap_or(usize::MAX));
        let calls = writing!(self, |tx| calls::purge(tx, older_than, left))?;
        Ok(receipts + calls + writing!(self, |tx| clicks::purge(tx, older_than, limit))?)
    }

    async fn ping(&self) -> Result<Duration, StoreError> {
        let asked = Instant::now();
        writing!(self, |tx| tx.run("UPDATE ping SET times = times + 1", &[]))?;
        Ok(asked.elapsed())
    }

    async fn close(&self) {
        // An error means that it is closed already.
        let _ = self.appends.send(Command::Close).await;
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let mut tasks = tasks.into_iter();
        if let Some(appender) = tasks.next()
            && appender.await.is_err()
        {
            tracing::error!("the appending task had panicked");
        }
        tasks.for_each(|task| task.abort());
        self.pool.close();
    }
}

#[async_trait]
impl Directory for PostgresStore {
    async fn documents(&self, account: &str, kind: DocumentKind) -> Result<Vec<Document>, StoreError> {
        looking!(self, |tx| directory::list(tx, account, kind))
    }

    async fn document(&self, at: &DocumentRef) -> Result<Option<Document>, StoreError> {
        looking!(self, |tx| directory::find(tx, at))
    }

    async fn document_named(
        &self,
        account: &str,
        kind: DocumentKind,
        name: &str,
    ) -> Result<Option<Document>, StoreError> {
        looking!(self, |tx| directory::named(tx, account, kind, name))
    }

    async fn change(&self, changes: Vec<Change>, log: Vec<AuditEntry>, now: Timestamp) -> Result<(), StoreError> {
        let changed = |kinds: &[DocumentKind]| changes.iter().any(|change| kinds.contains(&change.at.kind));
        let told = [
            (News::Accounts, changed(&[DocumentKind::Account, DocumentKind::Integration])),
            (News::Agents, changed(&[DocumentKind::Agent])),
            (News::Bots, changed(&[DocumentKind::Bot, DocumentKind::Did])),
        ];
        let draft = super::directory::Draft::new(changes, log)?;
        writing!(self, |tx| directory::change(tx, &draft, now))?;
        for (news, _) in told.into_iter().filter(|(_, told)| *told) {
            self.wire.tell(news);
        }
        Ok(())
    }

    async fn sealed(&self) -> Result<Vec<SealedAt>, StoreError> {
        looking!(self, |tx| directory::sealed(tx))
    }

    async fn reseal(&self, at: &SealedAt, was: &[u8], to: Vec<u8>) -> Result<bool, StoreError> {
        writing!(self, |tx| directory::reseal(tx, at, was, &to))
    }

    async fn audit(&self, filter: &AuditFilter) -> Result<Paged<Audited>, StoreError> {
        looking!(self, |tx| directory::audit(tx, filter))
    }

    async fn forget(&self, now: Timestamp, log_before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        writing!(self, |tx| directory::forget(tx, now, log_before, limit))
    }
}
