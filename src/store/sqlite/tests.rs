//! The suite run on SQLite, and what only an embedded store can get wrong: files, threads, groups.

use std::{sync::mpsc as channel, time::Duration};

use rusqlite::Connection;
use tempfile::TempDir;

use super::{SqliteOptions, SqliteStore, deliveries, schema};
use crate::{
    call::IntentKind,
    store::{
        Duty, Seq, Store, StoreError,
        suite::{self, ACCOUNT, at, claim, decide, for_each_case, log, receipt},
    },
};

fn options(dir: &TempDir) -> SqliteOptions {
    SqliteOptions {
        path: dir.path().join("patchbay.db"),
        queue: 1000,
        group: 256,
        busy_timeout: Duration::from_millis(100),
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn open(dir: &TempDir) -> SqliteStore {
    SqliteStore::open(options(dir)).expect("open")
}

macro_rules! run {
    ($($subject:ident :: $case:ident,)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let dir = folder();
                let store = open(&dir);
                suite::$subject::$case(&store).await;
                store.close().await;
            }
        )*
    };
}
for_each_case!(run);

/// Keeps the writer busy until the returned end is dropped; resolves once it is.
async fn stall(store: &SqliteStore) -> (channel::Sender<()>, impl Future<Output = Result<(), StoreError>>) {
    let (release, released) = channel::channel::<()>();
    let (busy, is_busy) = tokio::sync::oneshot::channel();
    let (command, answer) = super::Command::operation(move |_| {
        let _ = busy.send(());
        // An error is the other end being dropped: that is the signal.
        let _ = released.recv();
        Ok(())
    });
    store.submit(command).expect("submit");
    is_busy.await.expect("the writer is busy");
    (release, async { answer.await.expect("answer") })
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let dir = folder();
    let store = open(&dir);
    let seq = store.append(receipt(1)).await.expect("append");
    decide(&store, "a", vec![log("a", "one")], at(1)).await;
    assert_eq!(claim(&store, IntentKind::Log, at(2)).await.len(), 1);
    drop(store);
    let store = open(&dir);
    assert_eq!(store.unread(9).await.expect("unread"), [(seq, receipt(1))]);
    assert_eq!(suite::recover(&store, at(3), at(3)).await, 1);
    store.close().await;
    store.close().await;
    let store = open(&dir);
    assert_eq!(store.unread(9).await.expect("unread").len(), 1);
}

#[tokio::test]
async fn places_go_on_after_everything_was_purged() {
    let dir = folder();
    let store = open(&dir);
    let seq = store.append(receipt(1)).await.expect("append");
    store.decide(Vec::new(), Vec::new(), suite::up_to(&store, seq).await).await.expect("decide");
    assert_eq!(store.purge(at(99), 9).await.expect("purge"), 1);
    drop(store);
    let store = open(&dir);
    assert!(store.append(receipt(2)).await.expect("append") > seq);
    assert_eq!(store.unread(9).await.expect("unread").len(), 1, "it is not behind the reader");
}

#[tokio::test]
async fn what_waits_is_committed_together() {
    let dir = folder();
    let store = open(&dir);
    let (release, stalled) = stall(&store).await;
    let before = store.commits();
    let appends: Vec<_> = (1..=100).map(|number| store.append(receipt(number))).collect();
    let release = async {
        drop(release);
        stalled.await
    };
    let (appended, stalled) = futures_util::future::join(futures_util::future::join_all(appends), release).await;
    stalled.expect("stalled");
    let seqs: Vec<_> = appended.into_iter().collect::<Result<_, _>>().expect("append");
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(store.commits() - before, 2, "the one that stalled, and all others in one");
}

#[tokio::test]
async fn a_conflict_is_not_everybodys() {
    let dir = folder();
    let store = open(&dir);
    decide(&store, "a", Vec::new(), at(1)).await;
    let (release, stalled) = stall(&store).await;
    let before = store.commits();
    let read = suite::up_to(&store, Seq(9)).await;
    let stale = store.decide(vec![suite::decision("a", 0, Vec::new(), at(2))], Vec::new(), read);
    let good = store.decide(vec![suite::decision("b", 0, Vec::new(), at(2))], Vec::new(), None);
    let release = async {
        drop(release);
        stalled.await
    };
    let (first, stale, good, second, stalled) =
        tokio::join!(store.append(receipt(1)), stale, good, store.append(receipt(2)), release);
    assert!(matches!(stale, Err(StoreError::Conflict)), "{stale:?}");
    good.expect("decide");
    stalled.expect("stalled");
    // The one that stalled, the callbacks, and what may wait for them.
    assert!(store.commits() - before <= 3);
    let unread = store.unread(9).await.expect("unread");
    assert_eq!(unread, [(first.expect("append"), receipt(1)), (second.expect("append"), receipt(2))]);
}

/// Nobody else has the file open: whoever had something to do when the last process ended has died with it.
#[tokio::test]
async fn a_new_start_waits_for_no_lease_of_the_last() {
    let dir = folder();
    let duty = || Duty::Token(suite::lane(suite::DESK));
    let store = open(&dir);
    suite::leased(&store, suite::NODE, duty()).await;
    drop(store);
    let store = open(&dir);
    suite::leased(&store, suite::OTHER, duty()).await;
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let dir = folder();
    let store = SqliteStore::open(SqliteOptions { queue: 2, ..options(&dir) }).expect("open");
    let (release, stalled) = stall(&store).await;
    let (refused, first, second, stalled) = tokio::join!(
        biased;
        async { store.ping().await.map(|_| ()) },
        store.append(receipt(1)),
        async {
            // The two above fill the queue.
            let refused = store.append(receipt(2)).await;
            drop(release);
            refused
        },
        stalled,
    );
    refused.expect("ping");
    first.expect("append");
    assert!(matches!(second, Err(StoreError::Full)), "{second:?}");
    stalled.expect("stalled");
    store.append(receipt(3)).await.expect("there is room again");
}

#[tokio::test]
async fn a_full_disk_is_told_and_overcome() {
    let dir = folder();
    let store = open(&dir);
    let seq = store.append(receipt(1)).await.expect("append");
    let limit = |pages: &'static str| {
        store.write(move |work| {
            work.conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
            Ok(())
        })
    };
    limit("1").await.expect("limit");
    let mut large = receipt(2);
    large.body = vec![7; 1 << 20];
    let (release, stalled) = stall(&store).await;
    let release = async {
        drop(release);
        stalled.await
    };
    // Whoever shares the transaction is refused as well: it would have been one flush for all.
    let (refused, with_it, stalled) = tokio::join!(store.append(large.clone()), store.append(receipt(3)), release);
    stalled.expect("stalled");
    assert!(matches!(refused, Err(StoreError::Unwritable(_))), "{refused:?}");
    assert!(matches!(with_it, Err(StoreError::Unwritable(_))), "{with_it:?}");
    assert_eq!(store.unread(9).await.expect("reading goes on").len(), 1);
    limit("1000000").await.expect("limit");
    assert_eq!(store.append(large).await.expect("append"), Seq(seq.0 + 1), "no place is lost");
    store.ping().await.expect("ping");
}

#[tokio::test]
async fn after_closing_nothing_is_taken() {
    let dir = folder();
    let store = open(&dir);
    let append = store.append(receipt(1));
    let (appended, ()) = tokio::join!(append, store.close());
    appended.expect("what was queued is finished");
    assert!(matches!(store.append(receipt(2)).await, Err(StoreError::Unwritable(_))));
    assert!(matches!(store.unread(1).await, Err(StoreError::Unreadable(_))));
    assert!(!dir.path().join("patchbay.db-wal").exists(), "the log is folded in");
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let dir = folder();
    let store = open(&dir);
    let refused = SqliteStore::open(options(&dir)).expect_err("refused");
    assert!(matches!(&refused, StoreError::InUse(path) if path.ends_with("patchbay.db")), "{refused}");
    drop(store);
    open(&dir);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let dir = folder();
    drop(open(&dir));
    let conn = Connection::open(options(&dir).path).expect("open");
    conn.pragma_update(None, "user_version", 99).expect("pragma");
    drop(conn);
    let refused = SqliteStore::open(options(&dir)).expect_err("refused");
    let known = u32::try_from(schema::SCRIPTS.len()).expect("few");
    assert!(matches!(refused, StoreError::NewerSchema { found: 99, known: k } if k == known), "{refused}");
}

#[tokio::test]
async fn a_database_of_version_1_is_migrated() {
    let dir = folder();
    let store = SqliteStore::open_with(options(&dir), &schema::SCRIPTS[..1]).expect("open");
    let seq = store.append(receipt(1)).await.expect("append");
    drop(store);
    let broken = [schema::SCRIPTS[0], "CREATE TABLE later (x); INSERT INTO nowhere VALUES (1);"];
    SqliteStore::open_with(options(&dir), &broken).expect_err("refused");
    let scripts = [schema::SCRIPTS[0], "CREATE TABLE later (x);"];
    let store = SqliteStore::open_with(options(&dir), &scripts).expect("nothing of the broken one was left behind");
    assert_eq!(store.unread(9).await.expect("unread"), [(seq, receipt(1))]);
    drop(store);
    let conn = Connection::open(options(&dir).path).expect("open");
    let version: u32 = conn.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("version");
    assert_eq!(version, 2);
    let tables: u32 = conn
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'later'", [], |row| row.get(0))
        .expect("tables");
    assert_eq!(tables, 1);
}

/// What came before there was a ledger came by callbacks, with the popups that its events tell of.
#[tokio::test]
async fn calls_of_a_database_without_a_ledger_are_in_it_after_the_migration() {
    let dir = folder();
    drop(SqliteStore::open_with(options(&dir), &schema::SCRIPTS[..4]).expect("open"));
    let conn = Connection::open(options(&dir).path).expect("open");
    conn.execute_batch(
        r#"INSERT INTO call (n, account, call_sid, version, first_seen_ms, updated_ms, enquiry_step, outcome, state)
             VALUES (1, 'acme1', 'c1', 1, 5000, 5000, 0, 'answered', '{"direction":"incoming"}'),
                    (2, 'acme1', 'c2', 1, 6000, 6000, 0, 'answered', '{"direction":"incoming"}');
           INSERT INTO event (call, event_id, body) VALUES (1, x'01', '{"kind":"dialing"}'),
             (1, x'02', '{"kind":"answered"}'), (2, x'03', '{"kind":{"other":"x"}}');"#,
    )
    .expect("old rows");
    drop(conn);
    let store = open(&dir);
    let summary = store.ledger_summary("acme1", Default::default()).await.expect("summary");
    assert_eq!((summary.calls, summary.callback_only, summary.answered_with_ringing), (2, 2, 1));
    let page = store.ledger("acme1", &Default::default()).await.expect("ledger");
    let began: Vec<_> = page.items.iter().map(|entry| entry.began_at.as_millisecond()).collect();
    assert_eq!(began, [6000, 5000]);
    assert!(page.items.iter().all(|entry| entry.first_by == Some(crate::call::SeenBy::Callback)));
}

#[tokio::test]
async fn the_connection_is_durable() {
    let dir = folder();
    let store = open(&dir);
    let ask = |pragma: &'static str| {
        store.write(move |work| Ok(work.conn.query_row(pragma, [], |row| row.get::<_, rusqlite::types::Value>(0))?))
    };
    assert_eq!(ask("PRAGMA synchronous").await.expect("pragma"), rusqlite::types::Value::Integer(2));
    let mode = ask("PRAGMA journal_mode").await.expect("pragma");
    assert_eq!(mode, rusqlite::types::Value::Text("wal".to_owned()));
    assert_eq!(ask("PRAGMA foreign_keys").await.expect("pragma"), rusqlite::types::Value::Integer(1));
}

/// A plan that walks over all that is pending makes every decision slower the longer a CRM is away.
#[tokio::test]
async fn lanes_and_calls_find_their_deliveries_without_sorting_or_scanning() {
    let dir = folder();
    let store = open(&dir);
    for (sql, index) in [(deliveries::READY, "delivery_ready"), (deliveries::REFRESH, "delivery_of_call")] {
        let plan = store
            .write(move |work| {
                let mut statement = work.conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let nothing = vec![None::<i64>; statement.parameter_count()];
                let lines = statement
                    .query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3))?
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(lines)
            })
            .await
            .expect("plan");
        let steps: Vec<_> = plan.iter().filter(|step| !step.starts_with("CORRELATED")).collect();
        assert!(!steps.is_empty());
        for step in steps {
            assert!(step.starts_with("SEARCH ") && step.contains(index), "{plan:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_lose_nothing() {
    let dir = folder();
    let store = std::sync::Arc::new(open(&dir));
    let tasks: Vec<_> = (0..8_u128)
        .map(|task| {
            let store = std::sync::Arc::clone(&store);
            tokio::spawn(async move {
                let sid = format!("call-{task}");
                for turn in 0..50 {
                    let seq = store.append(receipt(task * 1000 + turn)).await.expect("append");
                    decide(&*store, &sid, vec![log(&sid, &format!("turn {turn}"))], at(1)).await;
                    assert!(store.unread(1000).await.expect("unread").iter().any(|(found, _)| *found == seq));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("task");
    }
    let unread = store.unread(1000).await.expect("unread");
    assert_eq!(unread.len(), 400);
    let mut ids: Vec<_> = unread.iter().map(|(_, receipt)| receipt.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 400);
    let calls = store.list_calls(ACCOUNT, &crate::store::CallFilter::default()).await.expect("list");
    assert_eq!(calls.items.len(), 8);
    assert!(store.commits() < 1600, "they shared commits");
}
