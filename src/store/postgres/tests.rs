//! The suite run on PostgreSQL, and what only several nodes can get wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::Duration,
};

use jiff::Timestamp;
use uuid::Uuid;

use super::{PostgresOptions, PostgresStore, schema};
use crate::{
    call::IntentKind,
    store::{
        DeliveryFilter, DeliveryState, Duty, Lease, News, Seq, SetAside, Store, StoreError, Turn,
        suite::{
            self, ACCOUNT, DESK, NODE, OTHER, at, call, decide, decision, for_each_case, lane, leased, log, receipt,
            up_to,
        },
    },
};

#[path = "../../../tests/support/postgres.rs"]
mod fixture;

use fixture::{PASSWORD, Postgres, connect};

/// One server for all tests of the process, a database for each.
fn server() -> Option<&'static Postgres> {
    static SERVER: OnceLock<Option<Postgres>> = OnceLock::new();
    SERVER.get_or_init(Postgres::start).as_ref()
}

fn options(url: &str) -> PostgresOptions {
    PostgresOptions { url: url.to_owned().into(), queue: 1000, group: 256 }
}

async fn open(url: &str) -> PostgresStore {
    PostgresStore::open(options(url)).await.expect("open")
}

/// A database of its own, or the end of the test where there is no server.
macro_rules! database {
    () => {
        match server() {
            Some(server) => server.database().await,
            None => return,
        }
    };
}

macro_rules! run {
    ($($subject:ident :: $case:ident,)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let url = database!();
                let store = open(&url).await;
                suite::$subject::$case(&store).await;
                store.close().await;
            }
        )*
    };
}
for_each_case!(run);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_become_visible_in_their_order() {
    let url = database!();
    let (one, other) = (open(&url).await, open(&url).await);
    // A node is about to commit, and has its place.
    let mut slow = connect(&url).await;
    let tx = slow.transaction().await.expect("begin");
    tx.batch_execute(
        "WITH head AS (UPDATE journal SET last = last + 1 RETURNING last)
         INSERT INTO receipt SELECT last, gen_random_uuid(), 'acme1', 'call_events', 0, 'GET', '/', '', NULL, '' FROM head",
    )
    .await
    .expect("append");
    let later = tokio::spawn(async move { other.append(receipt(2)).await });
    // Another one comes to append after it.
    let watch = connect(&url).await;
    loop {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let waiting: i64 = watch.query_one(waiting, &[]).await.expect("asked").get(0);
        if waiting > 0 {
            break;
        }
        assert!(!later.is_finished(), "it got a place that is visible before an earlier one");
        tokio::task::yield_now().await;
    }
    assert!(one.unread(9).await.expect("unread").is_empty());
    tx.commit().await.expect("commit");
    assert_eq!(later.await.expect("task").expect("append"), Seq(2));
    let places: Vec<_> = one.unread(9).await.expect("unread").into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(places, [Seq(1), Seq(2)]);
}

/// Two nodes take callbacks, and pass the reading of the journal to and fro; a third believes that it still has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_nodes_take_in_is_read_once() {
    const EACH: u128 = 150;
    let url = database!();
    let nodes = [(NODE, Arc::new(open(&url).await)), (OTHER, Arc::new(open(&url).await))];
    let appends: Vec<_> = nodes
        .iter()
        .enumerate()
        .flat_map(|(node, (_, store))| (0..6).map(move |task| (node as u128 * 6 + task, Arc::clone(store))))
        .map(|(task, store)| {
            tokio::spawn(async move {
                for number in 0..EACH / 6 {
                    store.append(receipt(1 + task * EACH + number)).await.expect("append");
                }
            })
        })
        .collect();
    let readers: Vec<_> = nodes
        .into_iter()
        .map(|(holder, store)| {
            tokio::spawn(async move {
                let (mut read, mut late) = (Vec::new(), None::<(Seq, Lease)>);
                loop {
                    if let Some(late) = late.take() {
                        let refused = store.decide(Vec::new(), Vec::new(), Some(late)).await;
                        assert!(matches!(refused, Ok(()) | Err(StoreError::Fenced)), "{refused:?}");
                    }
                    let granted =
                        store.lease(holder, &[Duty::Journal], Duration::from_secs(3600)).await.expect("lease");
                    let Some(lease) = granted.into_iter().next() else { continue };
                    let unread = store.unread(7).await.expect("unread");
                    let aside = |seq| SetAside { seq, error: "read".to_owned(), at: at(1) };
                    let places: Vec<Seq> = unread.iter().map(|(seq, _)| *seq).collect();
                    if let Some(last) = places.last().copied() {
                        let decided = places.iter().copied().map(aside).collect();
                        store.decide(Vec::new(), decided, Some((last, lease.clone()))).await.expect("decide");
                        // The same again, after it may have been given away.
                        late = Some((last, lease.clone()));
                    }
                    read.extend(unread.into_iter().map(|(seq, receipt)| (seq, receipt.id)));
                    store.release(&lease).await.expect("release");
                    let depths = store.depths().await.expect("depths");
                    if depths.set_aside == 2 * EACH as u64 {
                        return read;
                    }
                }
            })
        })
        .collect();
    for append in appends {
        append.await.expect("task");
    }
    let mut read = Vec::new();
    for reader in readers {
        read.extend(reader.await.expect("task"));
    }
    read.sort_unstable();
    let places: Vec<i64> = read.iter().map(|(seq, _)| seq.0).collect();
    assert_eq!(places, (1..=2 * EACH as i64).collect::<Vec<_>>(), "each place once, and none left out");
    assert_eq!(read.iter().map(|(_, id)| id).collect::<BTreeSet<_>>().len(), 2 * EACH as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_decided_by_one_of_two() {
    let url = database!();
    let (one, other) = (open(&url).await, open(&url).await);
    for version in 0..20 {
        let text = |who: &str| vec![decision("a", version, vec![log("a", &format!("{who} {version}"))], at(version))];
        let (first, second) =
            tokio::join!(one.decide(text("one"), Vec::new(), None), other.decide(text("other"), Vec::new(), None));
        let refused = [&first, &second].iter().filter(|done| matches!(done, Err(StoreError::Conflict))).count();
        assert_eq!(refused, 1, "{first:?}, {second:?}");
        assert!(first.is_ok() || second.is_ok());
    }
    assert_eq!(one.calls(&[call("a")]).await.expect("calls")[&call("a")].version, 20);
}

/// Even if two nodes went by the same lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_claimed_once() {
    const CALLS: usize = 120;
    let url = database!();
    let stores = [Arc::new(open(&url).await), Arc::new(open(&url).await)];
    let sids: Vec<_> = (0..CALLS).map(|number| format!("c{number}")).collect();
    let decisions = sids.iter().map(|sid| decision(sid, 0, vec![log(sid, "one")], at(1))).collect();
    stores[0].decide(decisions, Vec::new(), None).await.expect("decide");
    let lease = leased(&*stores[0], NODE, Duty::Lane(lane(DESK))).await;
    let takers: Vec<_> = (0..6)
        .map(|task| {
            let (store, lease) = (Arc::clone(&stores[task % 2]), lease.clone());
            tokio::spawn(async move {
                let mut taken = Vec::new();
                // Rows that another one holds at the moment are left out: nothing found is not the end.
                while store.next_due(&lane(DESK)).await.expect("next due").is_some() {
                    let some = store.claim(&lease, &lane(DESK), Turn::Now(IntentKind::Log), 3, at(2)).await;
                    taken.extend(some.expect("claim").into_iter().map(|one| one.delivery.id));
                }
                taken
            })
        })
        .collect();
    let mut taken = Vec::new();
    for taker in takers {
        taken.extend(taker.await.expect("task"));
    }
    assert_eq!(taken.len(), CALLS);
    assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), CALLS);
}

/// Planning, delivering and sending again at once, from two nodes: nothing waits for ever, and the sums are right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_at_once_adds_up() {
    let url = database!();
    let stores = [Arc::new(open(&url).await), Arc::new(open(&url).await)];
    let lease = leased(&*stores[0], NODE, Duty::Lane(lane(DESK))).await;
    let mut tasks = Vec::new();
    for (task, store) in [0, 1, 0, 1].into_iter().map(|which| Arc::clone(&stores[which])).enumerate() {
        let lease = lease.clone();
        tasks.push(tokio::spawn(async move {
            for turn in 0..25 {
                let sid = format!("c{}", (task + turn) % 5);
                let version =
                    store.calls(&[call(&sid)]).await.expect("calls").get(&call(&sid)).map_or(0, |call| call.version);
                let intents = vec![log(&sid, &format!("{task} {turn}")), suite::note(&sid, "n")];
                let decided = store.decide(vec![decision(&sid, version, intents, at(1))], Vec::new(), None).await;
                assert!(matches!(decided, Ok(()) | Err(StoreError::Conflict)), "{decided:?}");
                for kind in [IntentKind::Log, IntentKind::Recording] {
                    let taken = store.claim(&lease, &lane(DESK), Turn::Now(kind), 9, at(9)).await.expect("claim");
                    for one in taken {
                        let moment = at(9) + Duration::from_nanos((task * 1000 + turn) as u64);
                        let done = suite::settlement(&one, crate::store::Next::Done, moment);
                        store.settle(&lease, done).await.expect("settle");
                    }
                }
                store.redrive(ACCOUNT, &DeliveryFilter::default(), true, at(3)).await.expect("redrive");
                store.depths().await.expect("depths");
            }
        }));
    }
    for task in tasks {
        task.await.expect("task");
    }
    let listed = stores[0].list_deliveries(ACCOUNT, &DeliveryFilter::default()).await.expect("list").items;
    assert_eq!(listed.len(), 10);
    let mut counted: BTreeMap<DeliveryState, u64> = BTreeMap::new();
    listed.iter().for_each(|one| *counted.entry(one.state).or_default() += 1);
    let depths = stores[1].depths().await.expect("depths").deliveries;
    assert_eq!(depths.into_iter().map(|((_, state), count)| (state, count)).collect::<BTreeMap<_, _>>(), counted);
    // What is blocked is so by the rule, whoever wrote last.
    let raw = connect(&url).await;
    let wrong = "SELECT count(*) FROM delivery AS this WHERE state = 'pending' AND blocked <> EXISTS (
         SELECT 1 FROM delivery AS other WHERE other.call = this.call AND other.integration = this.integration
         AND other.n <> this.n AND (other.state = 'inflight'
           OR (other.kind < this.kind AND other.state NOT IN ('done', 'superseded'))))";
    assert_eq!(raw.query_one(wrong, &[]).await.expect("asked").get::<_, i64>(0), 0);
}

#[tokio::test]
async fn other_nodes_are_told() {
    let url = database!();
    let (one, other) = (open(&url).await, open(&url).await);
    // Until it listens, it is told everything.
    let hear = async |wanted: News| {
        while other.news().await != wanted {}
    };
    hear(News::Credential).await;
    one.append(receipt(1)).await.expect("append");
    hear(News::Journal).await;
    decide(&one, "a", vec![log("a", "one")], at(1)).await;
    hear(News::Work).await;
    let lease = leased(&one, NODE, Duty::Journal).await;
    one.release(&lease).await.expect("release");
    hear(News::Lease).await;
}

#[tokio::test]
async fn two_nodes_that_start_at_once_migrate_once() {
    let url = database!();
    let opened = futures_util::future::join_all((0..4).map(|_| PostgresStore::open(options(&url)))).await;
    for store in opened {
        store.expect("open").ping().await.expect("ping");
    }
}

#[tokio::test]
async fn a_migration_is_whole_or_not_at_all() {
    let url = database!();
    let store = open(&url).await;
    let seq = store.append(receipt(1)).await.expect("append");
    drop(store);
    let broken = [schema::SCRIPTS, &["CREATE TABLE later (x INT); INSERT INTO nowhere VALUES (1);"]].concat();
    PostgresStore::open_with(options(&url), &broken).await.expect_err("refused");
    let scripts = [schema::SCRIPTS, &["CREATE TABLE later (x INT);"]].concat();
    let store = PostgresStore::open_with(options(&url), &scripts).await.expect("nothing of the broken one was left");
    assert_eq!(store.unread(9).await.expect("unread"), [(seq, receipt(1))]);
    let known = u32::try_from(schema::SCRIPTS.len()).expect("few");
    let refused = PostgresStore::open(options(&url)).await.expect_err("refused");
    assert!(matches!(refused, StoreError::NewerSchema { found, known: k } if found == known + 1 && k == known));
}

#[tokio::test]
async fn what_cannot_be_used_is_told_with_its_cure() {
    let url = database!();
    let refused = async |url: &str| {
        let options = options(url);
        assert!(!format!("{options:?}").contains(PASSWORD));
        let error = PostgresStore::open(options).await.expect_err("refused").to_string();
        assert!(!error.contains(PASSWORD) && !error.contains("wrong-one"), "{error}");
        error
    };
    let error = refused(&url.replace(PASSWORD, "wrong-one")).await;
    assert!(error.contains("correct the user and the password"), "{error}");
    let (base, name) = url.rsplit_once('/').expect("a path");
    let error = refused(&format!("{base}/nowhere")).await;
    assert!(error.contains("createdb"), "{error}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
    let error = refused(&format!("postgres://patchbay:{PASSWORD}@{free}/x")).await;
    assert!(error.contains("refused"), "{error}");
    let error = refused(&format!("{url}?sslmode=prefer")).await;
    assert!(error.contains("sslmode"), "{error}");
    let error = refused(&format!("{url}?sslmode=require")).await;
    assert!(error.contains("TLS"), "{error}");
    let raw = connect(&url).await;
    let guest = format!("guest_{}", Uuid::new_v4().simple());
    raw.batch_execute(&format!("CREATE ROLE {guest} LOGIN PASSWORD '{PASSWORD}'")).await.expect("a role");
    let mut other = url::Url::parse(&url).expect("a URL");
    other.set_username(&guest).expect("a user");
    let error = refused(other.as_str()).await;
    assert!(error.contains("GRANT CREATE"), "{error}");
    // Who may not make tables can use those that are there.
    drop(open(&url).await);
    let rights = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {guest}");
    raw.batch_execute(&rights).await.expect("rights");
    let store = open(other.as_str()).await;
    let seq = store.append(receipt(1)).await.expect("append");
    store
        .decide(vec![decision("a", 0, vec![log("a", "one")], at(1))], Vec::new(), up_to(&store, seq).await)
        .await
        .expect("decide");
    drop(store);
    raw.batch_execute(&format!("DROP OWNED BY {guest}; DROP ROLE {guest}")).await.expect("the role goes");
    assert!(!name.is_empty());
}

#[tokio::test]
async fn after_closing_nothing_is_taken() {
    let url = database!();
    let store = open(&url).await;
    let append = store.append(receipt(1));
    let (appended, ()) = tokio::join!(append, store.close());
    appended.expect("what was queued is finished");
    assert!(matches!(store.append(receipt(2)).await, Err(StoreError::Unwritable(_))));
    assert!(matches!(store.unread(1).await, Err(StoreError::Unreadable(_))));
    let store = open(&url).await;
    assert_eq!(store.unread(9).await.expect("unread").len(), 1);
    assert!(store.purge(Timestamp::now(), 9).await.is_ok());
}

/// A plan that walks over all that is pending makes every decision slower the longer a CRM is away.
#[tokio::test]
async fn lanes_find_their_deliveries_by_their_index() {
    let url = database!();
    drop(open(&url).await);
    let raw = connect(&url).await;
    raw.batch_execute("SET enable_seqscan = off; SET enable_bitmapscan = off").await.expect("set");
    let ask = "EXPLAIN SELECT due_ms FROM delivery WHERE account = 'a' AND integration = 'b' AND kind = 10
         AND state = 'pending' AND NOT blocked AND NOT low AND due_ms <= 5 ORDER BY due_ms, n LIMIT 9";
    let plan: Vec<String> = raw.query(ask, &[]).await.expect("plan").iter().map(|row| row.get(0)).collect();
    assert!(plan.iter().any(|line| line.contains("delivery_ready")), "{plan:?}");
    assert!(!plan.iter().any(|line| line.contains("Sort")), "{plan:?}");
}
