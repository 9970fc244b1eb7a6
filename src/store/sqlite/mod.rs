//! The embedded store: SQLite with one writer thread and group commit.
//!
//! Every change is a command to the [`writer`], every question goes to one of the [`reader`]'s connections. What the
//! operations do stands with their subject: [`journal`], [`decide`], [`deliveries`], [`calls`], [`clicks`],
//! [`ledger`], [`tokens`]; the trait is implemented here, in one block, each operation a line.

mod calls;
mod checkpoint;
mod clicks;
mod credentials;
mod decide;
mod deliveries;
mod directory;
mod fault;
mod journal;
mod ledger;
mod place;
mod reader;
mod rows;
mod schema;
mod tokens;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::Timestamp;
use patchbay_kit::Contact;
use rusqlite::{Connection, config::DbConfig};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{
    AuditEntry, AuditFilter, Audited, CallFile, CallFilter, CallRef, CallSummary, Change, Claimed, Click, ClickFilter,
    ClickStep, Clicks, Consent, Decision, Delivery, DeliveryFilter, Depths, Directory, Document, DocumentKind,
    DocumentRef, Duty, HookToken, Kept, LaneRef, Lease, LedgerEntry, LedgerFilter, LedgerSummary, Paged, SealedAt, Seq,
    SetAside, Settlement, Span, Store, StoreError, StoredCall, StoredCredential, SweepCursor, Turn,
    documents::{Draft, REDRIVE_PIECE, Settled},
    lease::OwnLeases,
};
use crate::call::Receipt;
use checkpoint::Checkpointer;
use fault::Fault;
use reader::Readers;
use writer::{Command, Work, Writer};

/// How the embedded store is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    pub path: PathBuf,
    /// Writes that may wait for the writer thread before callers are refused.
    pub queue: usize,
    /// The most that one group commit takes.
    pub group: usize,
    /// How long a reader or writer waits for a lock of another process.
    pub busy_timeout: Duration,
}

/// SQLite, durable: `journal_mode=WAL`, `synchronous=FULL`.
///
/// Times are kept to the millisecond.
#[derive(Debug)]
pub struct SqliteStore {
    /// `None` only while the store is dropped.
    commands: Option<mpsc::Sender<Command>>,
    readers: Readers,
    thread: Mutex<Option<JoinHandle<()>>>,
    commits: Arc<AtomicU64>,
    /// Of this process alone, as the database is.
    leases: Arc<OwnLeases>,
}

impl SqliteStore {
    /// Opens or makes the database and its folder, migrating the schema forward.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`], [`StoreError::InUse`], or that it cannot be opened.
    pub fn open(options: SqliteOptions) -> Result<Self, StoreError> {
        Self::open_with(options, schema::SCRIPTS)
    }

    fn open_with(options: SqliteOptions, scripts: &[&str]) -> Result<Self, StoreError> {
        let path = &options.path;
        let cannot_open = |fault: Fault| match fault {
            Fault::Sql(error) => StoreError::Unwritable(format!("{}: {error}", path.display())),
            Fault::Store(error) => error,
        };
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent)
                .map_err(|error| StoreError::Unwritable(format!("{}: cannot be made: {error}", parent.display())))?;
        }
        let lock = lock(path)?;
        open_private(path).map_err(|error| StoreError::Unwritable(format!("{}: {error}", path.display())))?;
        let conn = open_writer(path, options.busy_timeout, scripts).map_err(cannot_open)?;
        let readers = Readers::open(path, options.busy_timeout).map_err(cannot_open)?;
        let checkpointer = Checkpointer::start(path).map_err(cannot_open)?;
        let (commands, queue) = mpsc::channel(options.queue.max(1));
        let commits = Arc::new(AtomicU64::new(0));
        let writer = Writer::new(conn, checkpointer, queue, options.group, Arc::clone(&commits), lock);
        let writer = writer.map_err(cannot_open)?;
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| StoreError::Unwritable(format!("no thread for the writer: {error}")))?;
        Ok(Self {
            commands: Some(commands),
            readers,
            thread: Mutex::new(Some(thread)),
            commits,
            leases: Arc::default(),
        })
    }

    /// Transactions made durable since the store was opened.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// No token can be stored until this is taken back.
    #[cfg(test)]
    pub(crate) async fn refuse_tokens(&self, refused: bool) {
        let script = if refused {
            "CREATE TEMP TRIGGER refused BEFORE INSERT ON credential BEGIN SELECT RAISE(ABORT, 'refused'); END"
        } else {
            "DROP TRIGGER refused"
        };
        self.write(move |work| Ok(work.conn.execute_batch(script)?)).await.expect("the writer answers");
    }

    fn submit(&self, command: Command) -> Result<(), StoreError> {
        let commands = self.commands.as_ref().ok_or_else(writer::closed)?;
        commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Full,
            mpsc::error::TrySendError::Closed(_) => writer::closed(),
        })
    }

    async fn write<T, F>(&self, run: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Work<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (command, answer) = Command::operation(run);
        self.submit(command)?;
        answer.await.map_err(|_| writer::closed())?
    }
}

impl Drop for SqliteStore {
    /// Waits for the writer, so that whoever opens the same database next finds it free.
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take()
            && thread.join().is_err()
        {
            tracing::error!("the writer thread had panicked");
        }
    }
}

/// # Errors
/// [`StoreError::Fenced`]: somebody else has taken it over.
fn fenced(leases: &OwnLeases, lease: &Lease) -> Result<(), Fault> {
    if leases.holds(lease) { Ok(()) } else { Err(StoreError::Fenced.into()) }
}

/// Two processes would each believe the journal's cursor and the lanes to be theirs alone. SQLite's own locks cannot
/// say so, as they are held only while something is written.
fn lock(database: &Path) -> Result<File, StoreError> {
    let mut path = OsString::from(database);
    path.push(".lock");
    let unusable = |error: std::io::Error| StoreError::Unwritable(format!("{}: {error}", Path::new(&path).display()));
    let file = open_private(Path::new(&path)).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(database.display().to_string())),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// Opens a file, or makes it for our eyes only: the database holds callers' numbers. What SQLite makes beside it takes
/// its permissions from it.
fn open_private(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn open_writer(path: &Path, busy_timeout: Duration, scripts: &[&str]) -> Result<Connection, Fault> {
    let mut conn = Connection::open(path)?;
    conn.busy_timeout(busy_timeout)?;
    steady(&conn)?;
    conn.set_prepared_statement_cache_capacity(64);
    // The page size can only be chosen before the first table. A write-ahead log that is kept at its size is
    // overwritten in place, which flushes faster than a file that grows; hence a limit above where it is folded in.
    conn.execute_batch(
        "PRAGMA page_size = 8192;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA wal_autocheckpoint = 8000;
         PRAGMA journal_size_limit = 100663296;
         PRAGMA cache_size = -16384;
         PRAGMA temp_store = MEMORY;
         PRAGMA mmap_size = 0;",
    )?;
    schema::migrate(&mut conn, scripts)?;
    Ok(conn)
}

/// Keeps SQLite from looking at the values bound to a statement when it plans: it would plan each of them anew with
/// every execution, for a plan that is the same.
fn steady(conn: &Connection) -> Result<(), Fault> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

#[async_trait]
impl Clicks for SqliteStore {
    async fn intend(&self, click: Click, renew_before: Option<Timestamp>) -> Result<Kept, StoreError> {
        self.write(move |work| clicks::intend(work.conn, &click, renew_before)).await
    }

    async fn click(&self, account: &str, id: Uuid) -> Result<Option<Click>, StoreError> {
        let account = account.to_owned();
        self.readers.read(move |conn| clicks::find(conn, &account, id)).await
    }

    async fn click_of_key(&self, account: &str, key: [u8; 32]) -> Result<Option<Click>, StoreError> {
        let account = account.to_owned();
        self.readers.read(move |conn| clicks::of_key(conn, &account, key)).await
    }

    async fn step_click(&self, step: ClickStep) -> Result<(), StoreError> {
        self.write(move |work| clicks::step(work, step)).await
    }

    async fn unsettled_clicks(&self, account: &str) -> Result<Vec<Click>, StoreError> {
        let account = account.to_owned();
        self.readers.read(move |conn| clicks::unsettled(conn, &account)).await
    }

    async fn list_clicks(&self, account: &str, filter: &ClickFilter) -> Result<Vec<Click>, StoreError> {
        let (account, filter) = (account.to_owned(), filter.clone());
        self.readers.read(move |conn| clicks::list(conn, &account, &filter)).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, receipt: Receipt) -> Result<Seq, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.submit(Command::Append(receipt, reply))?;
        answer.await.map_err(|_| writer::closed())?
    }

    async fn unread(&self, limit: usize) -> Result<Vec<(Seq, Receipt)>, StoreError> {
        self.readers.read(move |conn| journal::unread(conn, limit)).await
    }

    async fn calls(&self, refs: &[CallRef]) -> Result<BTreeMap<CallRef, StoredCall>, StoreError> {
        let refs = refs.to_vec();
        self.readers.read(move |conn| calls::stored(conn, refs)).await
    }

    async fn decide(
        &self,
        decisions: Vec<Decision>,
        set_aside: Vec<SetAside>,
        read_up_to: Option<(Seq, Lease)>,
    ) -> Result<(), StoreError> {
        // Documents are made here, not on the one thread everybody waits for.
        let drafts = decisions.into_iter().map(Draft::new).collect::<Result<Vec<_>, _>>()?;
        let leases = Arc::clone(&self.leases);
        self.write(move |work| {
            if let Some((_, lease)) = &read_up_to {
                fenced(&leases, lease)?;
            }
            for draft in &drafts {
                decide::write(work.conn, draft)?;
            }
            journal::set_aside(work.conn, &set_aside)?;
            read_up_to.map_or(Ok(()), |(seq, _)| journal::advance(work.conn, seq))
        })
        .await
    }

    async fn set_aside(&self, account: &str, limit: usize) -> Result<Vec<(Receipt, SetAside)>, StoreError> {
        let account = account.to_owned();
        self.readers.read(move |conn| journal::list_set_aside(conn, &account, limit)).await
    }

    async fn replay_set_aside(&self, account: &str) -> Result<u64, StoreError> {
        let account = account.to_owned();
        self.write(move |work| journal::replay(work, &account)).await
    }

    async fn contact(&self, lane: &LaneRef, external_id: &str) -> Result<Option<Contact>, StoreError> {
        let (lane, external_id) = (lane.clone(), external_id.to_owned());
        self.readers.read(move |conn| deliveries::contact(conn, &lane, &external_id)).await
    }

    async fn claim(
        &self,
        lease: &Lease,
        lane: &LaneRef,
        turn: Turn,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Claimed>, StoreError> {
        let (lane, lease, leases) = (lane.clone(), lease.clone(), Arc::clone(&self.leases));
        self.write(move |work| {
            fenced(&leases, &lease)?;
            deliveries::claim(work.conn, &lane, turn, limit, now)
        })
        .await
    }

    async fn next_due(&self, lane: &LaneRef) -> Result<Option<Timestamp>, StoreError> {
        let lane = lane.clone();
        self.readers.read(move |conn| deliveries::next_due(conn, &lane)).await
    }

    async fn settle(&self, lease: &Lease, settlement: Settlement) -> Result<(), StoreError> {
        let draft = Settled::new(settlement)?;
        let (lease, leases) = (lease.clone(), Arc::clone(&self.leases));
        self.write(move |work| {
            fenced(&leases, &lease)?;
            deliveries::settle(work.conn, &draft)
        })
        .await
    }

    async fn recover(
        &self,
        lease: &Lease,
        lane: &LaneRef,
        not_before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let (lane, lease, leases) = (lane.clone(), lease.clone(), Arc::clone(&self.leases));
        self.write(move |work| {
            fenced(&leases, &lease)?;
            deliveries::recover(work.conn, &lane, not_before, now)
        })
        .await
    }

    async fn hold_lane(&self, lane: &LaneRef, reason: &str, now: Timestamp) -> Result<u64, StoreError> {
        let (lane, reason) = (lane.clone(), reason.to_owned());
        self.write(move |work| deliveries::hold_lane(work.conn, &lane, &reason, now)).await
    }

    async fn due_enquiries(
        &self,
        account: &str,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let account = account.to_owned();
        self.readers.read(move |conn| calls::due_enquiries(conn, &account, limit, now)).await
    }

    async fn put_off_enquiry(&self, call: &CallRef, due_at: Timestamp) -> Result<(), StoreError> {
        let call = call.clone();
        self.write(move |work| calls::put_off_enquiry(work.conn, &call, due_at)).await
    }

    async fn next_enquiry(&self, account: &str) -> Result<Option<Timestamp>, StoreError> {
        let account = account.to_owned();
        self.readers.read(move |conn| calls::next_enquiry(conn, &account)).await
    }

    async fn list_calls(&self, account: &str, filter: &CallFilter) -> Result<Paged<CallSummary>, StoreError> {
        let (account, filter) = (account.to_owned(), filter.clone());
        self.readers.read(move |conn| calls::list(conn, &account, &filter)).await
    }

    async fn call_file(&self, call: &CallRef) -> Result<Option<CallFile>, StoreError> {
        let call = call.clone();
        self.readers.read(move |conn| calls::file(conn, &call)).await
    }

    async fn ledger(&self, account: &str, filter: &LedgerFilter) -> Result<Paged<LedgerEntry>, StoreError> {
        let (account, filter) = (account.to_owned(), filter.clone());
        self.readers.read(move |conn| ledger::list(conn, &account, &filter)).await
    }

    async fn ledger_summary(&self, account: &str, span: Span) -> Result<LedgerSummary, StoreError> {
        let account = account.to_owned();
        self.readers.read(move |conn| ledger::summary(conn, &account, span)).await
    }

    async fn sweep_cursor(&self, account: &str) -> Result<Option<SweepCursor>, StoreError> {
        let account = account.to_owned();
        self.readers.read(move |conn| ledger::sweep_cursor(conn, &account)).await
    }

    async fn put_sweep_cursor(&self, account: &str, cursor: SweepCursor) -> Result<(), StoreError> {
        let account = account.to_owned();
        self.write(move |work| ledger::put_sweep_cursor(work.conn, &account, cursor)).await
    }

    async fn list_deliveries(&self, account: &str, filter: &DeliveryFilter) -> Result<Paged<Delivery>, StoreError> {
        let (account, filter) = (account.to_owned(), filter.clone());
        self.readers.read(move |conn| deliveries::list(conn, &account, &filter)).await
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
        // In pieces: a hundred thousand held deliveries must not keep callbacks waiting for their commit.
        loop {
            filter.limit = match wanted {
                0 => REDRIVE_PIECE,
                _ => u32::try_from(wanted - redriven.len()).unwrap_or(u32::MAX).min(REDRIVE_PIECE),
            };
            let (account, piece) = (account.to_owned(), filter.clone());
            let piece =
                self.write(move |work| deliveries::redrive(work.conn, &account, &piece, even_done, now)).await?;
            redriven.extend(piece.items);
            filter.before = piece.next;
            if filter.before.is_none() || redriven.len() == wanted {
                return Ok(redriven);
            }
        }
    }

    async fn forget_links(&self, call: &CallRef, integration: Option<&str>) -> Result<(), StoreError> {
        let (call, integration) = (call.clone(), integration.map(str::to_owned));
        self.write(move |work| deliveries::forget_links(work.conn, &call, integration.as_deref())).await
    }

    async fn insert_hook_token(&self, token: &HookToken, hash: [u8; 32]) -> Result<(), StoreError> {
        let token = token.clone();
        self.write(move |work| tokens::insert(work.conn, &token, hash)).await
    }

    async fn hook_tokens(&self, account: &str) -> Result<Vec<HookToken>, StoreError> {
        let account = account.to_owned();
        self.readers.read(move |conn| tokens::of_account(conn, &account)).await
    }

    async fn hook_token_hashes(&self, now: Timestamp) -> Result<Vec<(HookToken, [u8; 32])>, StoreError> {
        self.readers.read(move |conn| tokens::valid(conn, now)).await
    }

    async fn expire_hook_token(&self, account: &str, id: Uuid, at: Timestamp) -> Result<bool, StoreError> {
        let account = account.to_owned();
        self.write(move |work| tokens::expire(work.conn, &account, id, at)).await
    }

    async fn credential(&self, lane: &LaneRef) -> Result<Option<StoredCredential>, StoreError> {
        let lane = lane.clone();
        self.readers.read(move |conn| credentials::find(conn, &lane)).await
    }

    async fn put_credential(&self, lane: &LaneRef, on_version: i64, sealed: Vec<u8>) -> Result<(), StoreError> {
        let lane = lane.clone();
        self.write(move |work| credentials::put(work.conn, &lane, on_version, &sealed)).await
    }

    async fn forget_credential(&self, lane: &LaneRef) -> Result<(), StoreError> {
        let lane = lane.clone();
        self.write(move |work| credentials::forget(work.conn, &lane)).await
    }

    async fn lease(&self, holder: Uuid, duties: &[Duty], ttl: Duration) -> Result<Vec<Lease>, StoreError> {
        Ok(self.leases.lease(holder, duties, ttl))
    }

    async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.leases.release(lease);
        Ok(())
    }

    async fn put_consent(&self, hash: [u8; 32], consent: &Consent, now: Timestamp) -> Result<(), StoreError> {
        let consent = consent.clone();
        self.write(move |work| credentials::put_consent(work.conn, hash, &consent, now)).await
    }

    async fn take_consent(&self, hash: [u8; 32], now: Timestamp) -> Result<Option<Consent>, StoreError> {
        self.write(move |work| credentials::take_consent(work.conn, hash, now)).await
    }

    async fn depths(&self) -> Result<Depths, StoreError> {
        self.readers
            .read(|conn| {
                let (unread_receipts, set_aside) = journal::depths(conn)?;
                Ok(Depths { unread_receipts, set_aside, deliveries: deliveries::depths(conn)? })
            })
            .await
    }

    async fn purge(&self, older_than: Timestamp, limit: usize) -> Result<u64, StoreError> {
        // What can go is looked for by a reader, as that may walk over much that must stay; the writer looks again at
        // these alone.
        let receipts = self.readers.read(move |conn| journal::purgeable(conn, older_than, limit)).await?;
        let left = limit.saturating_sub(receipts.len());
        let calls = self.readers.read(move |conn| calls::purgeable(conn, older_than, left)).await?;
        let clicks = self.readers.read(move |conn| clicks::purgeable(conn, older_than)).await?;
        if receipts.is_empty() && calls.is_empty() && !clicks {
            return Ok(0);
        }
        self.write(move |work| {
            let kept = journal::purge(work.conn, &receipts)? + calls::purge(work.conn, &calls, older_than)?;
            Ok(kept + clicks::purge(work.conn, older_than, limit)?)
        })
        .await
    }

    async fn ping(&self) -> Result<Duration, StoreError> {
        let asked = Instant::now();
        self.write(|work| {
            work.conn.prepare_cached("UPDATE ping SET times = times + 1 WHERE one = 1")?.execute([])?;
            Ok(())
        })
        .await?;
        Ok(asked.elapsed())
    }

    async fn close(&self) {
        self.readers.close().await;
        if let Some(commands) = &self.commands {
            // Waits for room where the others are refused. An error means that it is closed already.
            let _ = commands.send(Command::Close).await;
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the writer thread had panicked");
            }
        }
    }
}

#[async_trait]
impl Directory for SqliteStore {
    async fn documents(&self, account: &str, kind: DocumentKind) -> Result<Vec<Document>, StoreError> {
        let account = account.to_owned();
        self.readers.read(move |conn| directory::list(conn, &account, kind)).await
    }

    async fn document(&self, at: &DocumentRef) -> Result<Option<Document>, StoreError> {
        let at = at.clone();
        self.readers.read(move |conn| directory::find(conn, &at)).await
    }

    async fn document_named(
        &self,
        account: &str,
        kind: DocumentKind,
        name: &str,
    ) -> Result<Option<Document>, StoreError> {
        let (account, name) = (account.to_owned(), name.to_owned());
        self.readers.read(move |conn| directory::named(conn, &account, kind, &name)).await
    }

    async fn change(&self, changes: Vec<Change>, log: Vec<AuditEntry>, now: Timestamp) -> Result<(), StoreError> {
        let draft = super::directory::Draft::new(changes, log)?;
        self.write(move |work| directory::change(work.conn, &draft, now)).await
    }

    async fn sealed(&self) -> Result<Vec<SealedAt>, StoreError> {
        self.readers.read(directory::sealed).await
    }

    async fn reseal(&self, at: &SealedAt, was: &[u8], to: Vec<u8>) -> Result<bool, StoreError> {
        let (at, was) = (at.clone(), was.to_vec());
        self.write(move |work| directory::reseal(work.conn, &at, &was, &to)).await
    }

    async fn audit(&self, filter: &AuditFilter) -> Result<Paged<Audited>, StoreError> {
        let filter = filter.clone();
        self.readers.read(move |conn| directory::audit(conn, &filter)).await
    }

    async fn forget(&self, now: Timestamp, log_before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.write(move |work| directory::forget(work.conn, now, log_before, limit)).await
    }
}
