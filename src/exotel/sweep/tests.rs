//! The sweep against a simulated list: each call is written down when it is first seen and when it is over, and no
//! more.

use std::{collections::BTreeMap, net::SocketAddr};

use jiff::tz::Offset;
use patchbay_sandbox::{
    Fault, Faults, On, Server,
    exotel::{Exotel, SimulatedCall},
};
use secrecy::SecretString;
use tempfile::TempDir;

use super::{
    super::{ClientParts, Hosts, Naive, PerMinute},
    *,
};
use crate::{
    call::{CallState, plan::Enquiry},
    connect::transport::{Credentials, Transport},
    store::{Decision, SqliteOptions, SqliteStore, Witnessed},
};

const SID: &str = "acme1";
const HOUR: Duration = Duration::from_secs(3600);

struct Rig {
    exotel: Server<Exotel>,
    store: Arc<dyn Store>,
    now: Timestamp,
    _dir: TempDir,
}

impl Rig {
    fn new() -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let exotel = Server::start(loopback, Exotel::new(SID, "k3y", "t0ken"), Faults::none()).expect("Exotel");
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("patchbay.db");
        let options = SqliteOptions { path, queue: 1000, group: 100, busy_timeout: Duration::from_secs(5) };
        let store = Arc::new(SqliteStore::open(options).expect("a store"));
        Self { exotel, store, now: Timestamp::now(), _dir: dir }
    }

    /// As after a start: it knows what is in the store.
    fn sweeper(&self, since: Option<Duration>) -> Sweeper {
        let url: url::Url = self.exotel.url().parse().expect("a URL");
        let client = ExotelClient::new(ClientParts {
            sid: SID.to_owned(),
            hosts: Hosts { api: url.clone(), ccm: url.clone(), portal: url },
            credentials: Credentials::basic(&SecretString::from("k3y".to_owned()), "t0ken"),
            naive: Naive { utc_offset: Offset::from_seconds(19_800).unwrap(), country: "IN".to_owned() },
            per_minute: PerMinute {
                details: 100_000.try_into().unwrap(),
                legs: 100_000.try_into().unwrap(),
                ..PerMinute::PUBLISHED
            },
            transport: Transport::new(Duration::from_secs(5)).expect("a client"),
            timeout: Duration::from_secs(20),
            backoff: Vec::new(),
        });
        Sweeper {
            account: SID.to_owned(),
            client,
            store: Arc::clone(&self.store),
            node: Node::start(Arc::clone(&self.store), HOUR),
            metrics: Arc::default(),
            locale: locale(),
            rules: SweepRules { every: HOUR, overlap: HOUR / 2, since: since.map(|ago| self.now - ago) },
            journal: Arc::default(),
            stopping: CancellationToken::new(),
        }
    }

    fn add(&self, sid: &str, ago: Duration, change: impl FnOnce(&mut SimulatedCall)) {
        let mut call = SimulatedCall::new(sid, "09052138847", "08030754890", self.now - ago);
        call.ended_at = Some(call.started_at + Duration::from_secs(30));
        call.facts_after_end = Duration::ZERO;
        change(&mut call);
        self.exotel.with(|exotel| exotel.add_call(call));
    }

    /// Sweeps once, and yields what came into the journal for it, by call.
    async fn round(&self, sweeper: &Sweeper) -> BTreeMap<String, String> {
        sweeper.round(&mut Instant::now()).await.expect("a round");
        self.read().await
    }

    /// The journal's reader, as far as it matters here.
    async fn read(&self) -> BTreeMap<String, String> {
        let mut read = BTreeMap::new();
        for (seq, receipt) in self.store.unread(1000).await.expect("unread") {
            let event = normalise(&receipt, &locale()).expect("readable");
            let sid = event.call_sid.clone();
            let call = CallRef { account: SID.to_owned(), call_sid: sid.clone() };
            let was = self.store.calls(std::slice::from_ref(&call)).await.expect("calls").remove(&call);
            let events = was.iter().flat_map(|was| &was.events).chain([&event]);
            let lease = self.store.lease(Uuid::nil(), &[Duty::Journal], HOUR).await.expect("a lease").remove(0);
            let decision = Decision {
                state: CallState::fold(events).expect("a call"),
                on_version: was.as_ref().map_or(0, |was| was.version),
                witnessed: vec![Witnessed { seq, event }],
                call,
                intents: Vec::new(),
                enquiry: Enquiry { step: 0, due_at: None },
                backfill: false,
                at: self.now,
            };
            self.store.decide(vec![decision], Vec::new(), Some((seq, lease))).await.expect("decide");
            let body = String::from_utf8(receipt.body).expect("text");
            assert!(read.insert(sid, body).is_none(), "twice in one round");
        }
        read
    }

    async fn reached(&self) -> Timestamp {
        self.store.sweep_cursor(SID).await.expect("a cursor").expect("it began").reached
    }
}

fn locale() -> Locale {
    let utc_offset = Offset::from_seconds(19_800).unwrap();
    Locale { utc_offset, country: "IN".to_owned(), recording_origins: Vec::new() }
}

fn sids(read: &BTreeMap<String, String>) -> Vec<&str> {
    read.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn what_was_before_the_first_start_is_not_added_unless_it_is_asked_for() {
    let rig = Rig::new();
    rig.add("before", HOUR, |_| ());
    rig.add("long_before", 3 * HOUR, |_| ());
    assert!(rig.round(&rig.sweeper(None)).await.is_empty());
    assert_eq!(rig.exotel.request_count(), 0, "nothing can have been missed yet");
    let begun = rig.reached().await;
    assert!(rig.round(&rig.sweeper(None)).await.is_empty(), "nor is it after a restart");
    assert!(rig.reached().await >= begun);
    assert_eq!(sids(&rig.round(&rig.sweeper(Some(2 * HOUR))).await), ["before"]);
    assert_eq!(sids(&rig.round(&rig.sweeper(Some(4 * HOUR))).await), ["long_before"], "moved back still further");
}

#[tokio::test]
async fn a_call_is_written_down_when_it_is_first_seen_and_when_it_is_over() {
    let rig = Rig::new();
    rig.add("over", HOUR, |_| ());
    rig.add("going_on", HOUR / 4, |call| call.ended_at = None);
    let sweeper = rig.sweeper(Some(2 * HOUR));
    assert_eq!(sids(&rig.round(&sweeper).await), ["going_on", "over"]);
    assert!(rig.round(&sweeper).await.is_empty(), "it is news once");
    rig.exotel.with(|exotel| exotel.change_call("going_on", |call| call.ended_at = Some(rig.now)));
    assert_eq!(sids(&rig.round(&rig.sweeper(Some(2 * HOUR))).await), ["going_on"]);
    assert!(rig.round(&rig.sweeper(Some(2 * HOUR))).await.is_empty());
}

#[tokio::test]
async fn a_call_that_comes_into_the_list_late_is_found_within_the_overlap() {
    let rig = Rig::new();
    let sweeper = rig.sweeper(Some(2 * HOUR));
    rig.round(&sweeper).await;
    rig.add("late", HOUR / 3, |_| ());
    rig.add("too_late", HOUR, |_| ());
    assert_eq!(sids(&rig.round(&sweeper).await), ["late"]);
}

#[tokio::test]
async fn a_sweep_that_is_broken_off_goes_on_from_the_page_it_came_to() {
    let rig = Rig::new();
    for n in 0..250_u32 {
        rig.add(&format!("call{n:03}"), 50 * HOUR - n * Duration::from_secs(600), |_| ());
    }
    let sweeper = rig.sweeper(Some(100 * HOUR));
    // The first page comes, the second does not.
    let list = || On::exactly(http::Method::GET, "/v1/Accounts/acme1/Calls.json");
    rig.exotel.faults().push_pass(list()).push(list(), Fault::Status(500));
    let broken = sweeper.round(&mut Instant::now()).await;
    assert!(matches!(broken, Err(Trouble::Exotel(_))), "{broken:?}");
    assert_eq!(rig.read().await.len(), 100);
    let page_end = rig.now - (50 * HOUR - 99 * Duration::from_secs(600));
    assert_eq!(rig.reached().await.as_second(), page_end.as_second());
    let rest = rig.round(&rig.sweeper(Some(100 * HOUR))).await;
    assert_eq!((rest.len(), rest.contains_key("call099")), (150, false));
    assert!(rig.reached().await > rig.now - HOUR);
}

#[tokio::test]
async fn only_of_a_call_nobody_told_of_are_the_legs_asked_for() {
    let rig = Rig::new();
    for sid in ["told", "untold", "missed", "to_a_machine"] {
        rig.add(sid, HOUR, |call| {
            call.answered_by = (sid != "to_a_machine").then(|| "09711581199".to_owned());
            call.status = if sid == "missed" { "no-answer" } else { "completed" }.to_owned();
        });
    }
    let callback = Receipt {
        id: Uuid::now_v7(),
        account: SID.to_owned(),
        hook: Hook::CallEvents,
        received_at: rig.now,
        method: "GET".to_owned(),
        path: String::new(),
        query: "CallSid=told&event=answered".to_owned(),
        content_type: None,
        body: Vec::new(),
    };
    rig.store.append(callback).await.expect("append");
    rig.read().await;
    let read = rig.round(&rig.sweeper(Some(2 * HOUR))).await;
    assert_eq!(read.len(), 4);
    let agent = |sid: &str| read[sid].contains("09711581199");
    assert_eq!(["told", "untold", "missed", "to_a_machine"].map(agent), [false, true, false, false]);
    let asked = rig.exotel.requests().iter().filter(|seen| seen.path.ends_with("/Legs.json")).count();
    assert_eq!(asked, 2);
}
