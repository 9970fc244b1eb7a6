//! The worker that compares Exotel's own list of calls with the calls that are known, and adds what callbacks missed.
//!
//! What the list says goes through the journal like a callback: once when a call is first seen in it, and once when it is
//! over. Everything after that is asked for call by call, as of every other call.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    calls::{Call, CallDirection, CallFilter, CallPage, CallStatus, Verbatim},
    client::ExotelClient,
    error::ExotelError,
    legs::{Leg, LegOrigin},
    read::{Party, v1},
};
use crate::{
    call::{CallEvent, EventKind, Hook, Locale, Receipt, SeenBy, normalise},
    codes::Code,
    store::{CallRef, Duty, Node, Store, StoreError, StoredCall, SweepCursor, Term},
    telemetry::{AccountLabels, Metrics, SweepLabels},
};

/// How long a page waits for its place within Exotel's limit.
const PATIENCE: Duration = Duration::from_secs(60);
/// After no answer. Shorter than the usual round, where that is longer.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// After refused credentials.
const AFTER_REFUSAL: Duration = Duration::from_secs(300);
/// Exotel keeps calls for six months (exotel-api §5.1); a little less, so that the oldest do not go while they are read.
const KEPT: SignedDuration = SignedDuration::from_hours(178 * 24);
/// An account that may not ask for legs is not asked about again before.
const WITHOUT_LEGS: Duration = Duration::from_secs(3600);

/// How an account is swept.
#[derive(Clone, Copy, Debug)]
pub struct SweepRules {
    pub every: Duration,
    /// So much of what was compared is compared again: calls come into the list late, and end later.
    pub overlap: Duration,
    /// Older calls are not added. `None`: since the account was first run here.
    pub since: Option<Timestamp>,
}

/// Why a round ended before its end.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Exotel(#[from] ExotelError),
}

/// Sweeps one account.
#[derive(Debug)]
pub struct Sweeper {
    pub account: String,
    pub client: ExotelClient,
    pub store: Arc<dyn Store>,
    pub node: Arc<Node>,
    pub metrics: Arc<Metrics>,
    /// As the journal's reader reads what is written here.
    pub locale: Locale,
    pub rules: SweepRules,
    /// Wakes the reader of the journal.
    pub journal: Arc<Notify>,
    pub stopping: CancellationToken,
}

/// What is known of a call before a page is read.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    by_callback: bool,
    listed: bool,
    listed_over: bool,
}

impl Known {
    fn of(stored: Option<&StoredCall>) -> Self {
        let events = || stored.iter().flat_map(|call| &call.events);
        let listed = |event: &&CallEvent| event.kind == EventKind::Listed;
        let over = |event: &CallEvent| {
            event.facts.call_status.as_deref().is_some_and(|status| CallStatus::read(status).is_final())
        };
        Self {
            by_callback: events().any(|event| event.kind.seen_by() == Some(SeenBy::Callback)),
            listed: events().any(|event| listed(&event)),
            listed_over: events().filter(listed).any(over),
        }
    }
}

impl Sweeper {
    /// Runs until the service stops.
    pub async fn run(self) {
        // The service's own: told once when it begins, and when it is over.
        let mut in_trouble = false;
        let mut legs_again = Instant::now();
        let duty = Duty::Sweep(self.account.clone());
        while let Some(term) = self.node.take(duty.clone(), &self.stopping).await {
            self.sweep_on(&term, &mut legs_again, &mut in_trouble).await;
            term.end().await;
        }
    }

    /// Sweeps as long as it is this node that sweeps the account.
    async fn sweep_on(&self, term: &Term, legs_again: &mut Instant, in_trouble: &mut bool) {
        while !self.stopping.is_cancelled() {
            let round = tokio::select! {
                round = self.round(legs_again) => round,
                () = term.lost() => return,
                () = self.stopping.cancelled() => return,
            };
            let (outcome, wait) = match &round {
                Ok(()) => ("done", self.rules.every),
                Err(Trouble::Exotel(ExotelError::Busy { retry_after })) => ("throttled", *retry_after),
                Err(Trouble::Exotel(ExotelError::Auth { .. })) => ("refused", AFTER_REFUSAL),
                Err(_) => ("failed", AFTER_FAILURE.min(self.rules.every)),
            };
            self.metrics.sweep_rounds.get_or_create(&SweepLabels { account: self.account.clone(), outcome }).inc();
            self.tell(&round, in_trouble);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = term.lost() => return,
                () = self.stopping.cancelled() => {}
            }
        }
    }

    fn tell(&self, round: &Result<(), Trouble>, in_trouble: &mut bool) {
        let account = &self.account;
        match round {
            // That is what limits are for.
            Err(Trouble::Exotel(ExotelError::Busy { .. })) => {}
            Err(error) if !*in_trouble => {
                *in_trouble = true;
                tracing::warn!(
                    code = %Code::ListNotCompared, %account, %error,
                    "Exotel's list of calls cannot be compared with what is known; it is tried on, from where it \
                     came to"
                );
            }
            Ok(()) if *in_trouble => {
                *in_trouble = false;
                tracing::info!(%account, "Exotel's list of calls is compared again");
            }
            _ => {}
        }
    }

    /// Compares everything since the last time, less the overlap. What was compared stays so, also when it is broken off.
    async fn round(&self, legs_again: &mut Instant) -> Result<(), Trouble> {
        let now = Timestamp::now();
        let mut cursor = self.cursor(now).await?;
        // The first start: nothing can have been missed yet.
        if cursor.reached >= now {
            return Ok(());
        }
        let overlap = SignedDuration::try_from(self.rules.overlap).unwrap_or(SignedDuration::ZERO);
        let kept = now.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
        let from = cursor.reached.checked_sub(overlap).unwrap_or(cursor.since).max(cursor.since).max(kept);
        let mut pages = self.client.patient(PATIENCE).calls_between(from, now, CallFilter::default()).sparing();
        while let Some(page) = pages.next().await {
            let page = page?;
            self.take(&page, cursor.since, legs_again).await?;
            // Pages come oldest first.
            let last = page.calls.iter().filter_map(|call| call.created_at).max();
            let last = last.unwrap_or(cursor.reached).min(now);
            self.reach(&mut cursor, last).await?;
        }
        self.reach(&mut cursor, now).await?;
        Ok(())
    }

    async fn reach(&self, cursor: &mut SweepCursor, at: Timestamp) -> Result<(), StoreError> {
        if at > cursor.reached {
            cursor.reached = at;
            self.store.put_sweep_cursor(&self.account, *cursor).await?;
        }
        let labels = AccountLabels { account: self.account.clone() };
        self.metrics.sweep_reached.get_or_create(&labels).set(cursor.reached.as_second());
        Ok(())
    }

    /// Where to go on. A `since` that was moved back has everything from there compared.
    async fn cursor(&self, now: Timestamp) -> Result<SweepCursor, StoreError> {
        let was = self.store.sweep_cursor(&self.account).await?;
        let since = self.rules.since.or(was.map(|was| was.since)).unwrap_or(now);
        let reached = match was {
            Some(was) if was.since <= since => was.reached.max(since),
            _ => since,
        };
        let cursor = SweepCursor { since, reached };
        if was != Some(cursor) {
            self.store.put_sweep_cursor(&self.account, cursor).await?;
        }
        Ok(cursor)
    }

    /// Writes down what is news of a page.
    async fn take(&self, page: &CallPage, since: Timestamp, legs_again: &mut Instant) -> Result<(), Trouble> {
        let named = |call: &Call| CallRef { account: self.account.clone(), call_sid: call.sid.clone() };
        let refs: Vec<CallRef> = page.calls.iter().map(named).collect();
        let stored = self.store.calls(&refs).await?;
        let (mut receipts, mut missed) = (Vec::new(), 0);
        for ((call, verbatim), reference) in page.calls.iter().zip(&page.verbatim).zip(&refs) {
            let known = Known::of(stored.get(reference));
            let over = call.status.is_final();
            // To the second: that is what the list counts in.
            let too_old = call.created_at.is_some_and(|created| created.as_second() < since.as_second());
            if too_old || known.listed_over || (known.listed && !over) {
                continue;
            }
            let agents = match known.by_callback {
                true => Vec::new(),
                false => self.agents(call, legs_again).await,
            };
            let receipt = self.receipt(verbatim, &agents);
            // What could not be read would be written down with every round anew.
            if let Err(error) = normalise(&receipt, &self.locale) {
                tracing::warn!(
                    code = %Code::ExotelUnreadable, account = %self.account, %error,
                    "a call in Exotel's list cannot be read; it is passed over, and its callbacks count"
                );
                continue;
            }
            if over {
                let outcome = if known.by_callback { "known" } else { "missed" };
                missed += u32::from(!known.by_callback);
                let labels = SweepLabels { account: self.account.clone(), outcome };
                self.metrics.sweep_calls.get_or_create(&labels).inc();
            }
            receipts.push(receipt);
        }
        if receipts.is_empty() {
            return Ok(());
        }
        // Together, so that they share a flush.
        future::try_join_all(receipts.into_iter().map(|receipt| self.store.append(receipt))).await?;
        self.journal.notify_one();
        if missed > 0 {
            tracing::info!(account = %self.account, missed, "added calls that no callback had told of");
        }
        Ok(())
    }

    /// The agents of a call that the list alone tells of: only its legs name them, and those Exotel has to enable
    /// (exotel-api §5.2). Without them the call is written all the same.
    async fn agents(&self, call: &Call, again: &mut Instant) -> Vec<Value> {
        let incoming = call.direction == Some(CallDirection::Inbound) && call.status == CallStatus::Completed;
        if !incoming || Instant::now() < *again {
            return Vec::new();
        }
        match self.client.patient(PATIENCE).legs(&call.sid).await {
            Ok(legs) => legs.iter().filter(|leg| is_agents(leg, call)).filter_map(written).collect(),
            Err(error) => {
                if let ExotelError::Auth { .. } = error {
                    *again = Instant::now() + WITHOUT_LEGS;
                }
                tracing::debug!(account = %self.account, %error, "Exotel does not say a call's legs");
                Vec::new()
            }
        }
    }

    fn receipt(&self, Verbatim(call): &Verbatim, agents: &[Value]) -> Receipt {
        let mut body = json!({ "Call": call });
        if !agents.is_empty() {
            body["Legs"] = json!(agents);
        }
        Receipt {
            id: Uuid::now_v7(),
            account: self.account.clone(),
            hook: Hook::Listed,
            received_at: Timestamp::now(),
            method: "GET".to_owned(),
            path: format!("/v1/Accounts/{}/Calls.json", self.account),
            query: String::new(),
            content_type: Some("application/json".to_owned()),
            body: body.to_string().into_bytes(),
        }
    }
}

/// Whether a leg is an agent's: dialled by the flow, and not the ExoPhone itself.
fn is_agents(leg: &Leg, call: &Call) -> bool {
    leg.origin == LegOrigin::OutboundDial && leg.party.is_some() && leg.party != call.exophone && leg.party != call.to
}

/// A leg as a passthru would have written it.
fn written(leg: &Leg) -> Option<Value> {
    let number = match leg.party.as_ref()? {
        Party::Number(number) => v1(number),
        Party::Sip(text) | Party::Other(text) => text.clone(),
    };
    Some(json!({ "Number": number, "Status": leg.status.as_str(), "OnCallDuration": leg.on_call_seconds }))
}

#[cfg(test)]
mod tests {
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
}
