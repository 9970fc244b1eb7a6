//! The dialer against an Exotel and a store made up here, with a clock that only the test turns: no sockets, no disk, no
//! waiting. The random runs let the process die at every operation, and look whether anything was dialled twice or lost.

mod cases;
mod runs;

use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    num::NonZeroUsize,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    thread,
    time::Instant,
};

use async_trait::async_trait;

use super::*;
use crate::{
    call::Receipt,
    exotel::{Call, CallDirection, CallStatus, Connect, Party},
    store::ClickFilter,
};

const AGENT: &str = "+919711581199";
const EXOPHONE: &str = "+918047494574";

/// SplitMix64: every choice of a run comes from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// What becomes of a request to place a call.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Placed and answered after so many seconds.
    Placed(u64),
    /// Placed after the first; after the second the answer is lost.
    PlacedUnknown(u64, u64),
    /// Not placed, and the answer does not tell.
    NotPlacedUnknown(u64),
    Refused,
    Busy,
    Unreachable,
}

/// A call that somebody's telephone rang for.
struct Rung {
    sid: String,
    mark: Option<String>,
    from: Party,
    to: Party,
    at: Timestamp,
    listed_at: Timestamp,
    /// When its status callback comes, if it does.
    told_at: Option<Timestamp>,
}

struct Inner {
    now: Timestamp,
    /// The process that lives: operations of another one never come to an end.
    life: u64,
    crashes: bool,
    random: Random,
    clicks: BTreeMap<Uuid, Click>,
    keys: BTreeMap<[u8; 32], Uuid>,
    receipts: Vec<Receipt>,
    rung: Vec<Rung>,
    /// Requests that may have been carried out, by click.
    dials: BTreeMap<Uuid, u32>,
    fates: VecDeque<Fate>,
    marks_listed: bool,
    marks_in_details: bool,
    lag_s: u64,
    troubled: bool,
    /// How often somebody has looked at all this or changed it.
    looks: u64,
}

#[derive(Debug)]
struct World {
    inner: Mutex<Inner>,
    turned: Notify,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World at {}", self.now)
    }
}

fn start() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a time")
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl World {
    fn new(seed: u64) -> Arc<Self> {
        let inner = Inner {
            now: start(),
            life: 0,
            crashes: false,
            random: Random(seed),
            clicks: BTreeMap::new(),
            keys: BTreeMap::new(),
            receipts: Vec::new(),
            rung: Vec::new(),
            dials: BTreeMap::new(),
            fates: VecDeque::new(),
            marks_listed: true,
            marks_in_details: true,
            lag_s: 0,
            troubled: false,
            looks: 0,
        };
        Arc::new(Self { inner: Mutex::new(inner), turned: Notify::new() })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = locked(&self.inner);
        inner.looks += 1;
        look(&mut inner)
    }

    fn now(&self) -> Timestamp {
        self.with(|inner| inner.now)
    }

    async fn until(&self, at: Timestamp) {
        loop {
            let turned = self.turned.notified();
            if self.now() >= at {
                return;
            }
            turned.await;
        }
    }

    /// Lets everything go on that can: whoever goes on looks at the world, at least every other time it is his turn.
    async fn settle(&self) {
        let looks = || locked(&self.inner).looks;
        let (mut seen, mut idle) = (looks(), 0);
        while idle < 4 {
            turn_of_others().await;
            let now = looks();
            idle = if now == seen { idle + 1 } else { 0 };
            seen = now;
        }
    }

    async fn turn(&self, by: Duration) {
        self.with(|inner| inner.now += by);
        self.turned.notify_waiters();
        self.settle().await;
    }

    fn states(&self) -> Vec<&'static str> {
        self.with(|inner| inner.clicks.values().map(|click| click.state.as_str()).collect())
    }
}

/// Goes to the end of the runtime's queue. Its own `yield_now` looks at clock and timers every time, which takes longer than
/// all that is tried here.
async fn turn_of_others() {
    let mut passed = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// One process's way to the world.
#[derive(Clone, Debug)]
struct Process {
    world: Arc<World>,
    life: u64,
}

impl Process {
    /// The process may die here; a dead one's operations go no further.
    async fn point(&self) {
        let dead = self.world.with(|inner| {
            if inner.crashes && inner.life == self.life && inner.random.one_in(25) {
                inner.life += 1;
            }
            inner.life != self.life
        });
        if dead {
            pending::<()>().await;
        }
    }
}

#[async_trait]
impl Line for Process {
    async fn connect(&self, call: &Connect) -> Dialled {
        self.point().await;
        let (fate, now) = self.world.with(|inner| {
            let random = &mut inner.random;
            let fate = match random.below(8) {
                0..=2 => Fate::Placed(random.below(3)),
                3 => Fate::PlacedUnknown(random.below(31), random.below(41)),
                4 => Fate::NotPlacedUnknown(random.below(41)),
                5 => Fate::Refused,
                6 => Fate::Busy,
                _ => Fate::Unreachable,
            };
            let fate = inner.fates.pop_front().unwrap_or(fate);
            let id = call.custom_field.as_deref().and_then(mark::read).expect("every call is marked");
            if !matches!(fate, Fate::Busy | Fate::Unreachable) {
                *inner.dials.entry(id).or_default() += 1;
            }
            if let Fate::Placed(after) | Fate::PlacedUnknown(after, _) = fate {
                let sid = format!("call-{}", inner.rung.len());
                let at = inner.now + seconds(after);
                let told = inner.random.one_in(2).then(|| at + seconds(5 + inner.random.below(60)));
                let told_at = told.filter(|_| inner.troubled);
                let listed_at = at + seconds(inner.lag_s);
                let to = match &call.to {
                    crate::exotel::Reach::Party(to) => to.clone(),
                    crate::exotel::Reach::Flow(_) | crate::exotel::Reach::Stream(_) => call.caller_id.clone().into(),
                };
                let mark = call.custom_field.clone();
                inner.rung.push(Rung { sid, mark, from: call.from.clone(), to, at, listed_at, told_at });
            }
            (fate, inner.now)
        });
        let number = self.world.with(|inner| inner.rung.len()).saturating_sub(1);
        let dialled = match fate {
            Fate::Placed(after) => {
                let call = self.world.with(|inner| shown(&inner.rung[number], true));
                self.world.until(now + seconds(after)).await;
                Dialled::Placed(Box::new(call))
            }
            Fate::PlacedUnknown(_, after) | Fate::NotPlacedUnknown(after) => {
                self.world.until(now + seconds(after)).await;
                Dialled::Unknown { reason: "504".to_owned() }
            }
            Fate::Refused => {
                Dialled::Refused(ExotelError::Refused { status: 400, code: Some(10_717), message: "no".to_owned() })
            }
            Fate::Busy => Dialled::Refused(ExotelError::Busy { retry_after: seconds(7) }),
            Fate::Unreachable => Dialled::Refused(ExotelError::Unreachable { reason: "refused".to_owned() }),
        };
        self.point().await;
        dialled
    }

    async fn listed(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Call>, ExotelError> {
        self.point().await;
        self.world.with(|inner| {
            if inner.troubled && inner.random.one_in(4) {
                return Err(ExotelError::Unreachable { reason: "500".to_owned() });
            }
            let listed =
                inner.rung.iter().filter(|call| call.listed_at <= inner.now && from <= call.at && call.at <= to);
            Ok(listed.map(|call| shown(call, inner.marks_listed)).collect())
        })
    }

    async fn details(&self, call_sid: &str) -> Result<Call, ExotelError> {
        self.point().await;
        self.world.with(|inner| {
            let found = inner.rung.iter().find(|call| call.sid == call_sid);
            let found = found.map(|call| shown(call, inner.marks_in_details));
            found.ok_or(ExotelError::NotFound { code: None, message: "Not Found".to_owned() })
        })
    }
}

fn shown(call: &Rung, with_mark: bool) -> Call {
    Call {
        sid: call.sid.clone(),
        from: Some(call.from.clone()),
        to: Some(call.to.clone()),
        exophone: Some(Party::read(EXOPHONE, "IN")),
        status: CallStatus::InProgress,
        direction: Some(CallDirection::OutboundApi),
        created_at: Some(call.at),
        updated_at: None,
        started_at: Some(call.at),
        ended_at: None,
        total_seconds: None,
        price: None,
        recording_url: None,
        custom_field: call.mark.clone().filter(|_| with_mark),
        conversation_seconds: None,
        legs: Vec::new(),
    }
}

#[async_trait]
impl Clicks for Process {
    async fn intend(&self, click: Click, renew_before: Option<Timestamp>) -> Result<Kept, StoreError> {
        self.point().await;
        let kept = self.world.with(|inner| {
            if let Some(known) = inner.keys.get(&click.key).and_then(|id| inner.clicks.get(id)) {
                let stays = renew_before.is_none_or(|before| {
                    let failed = matches!(known.state, ClickState::Refused { .. } | ClickState::NotPlaced { .. });
                    !known.state.is_settled() || !failed && known.asked_at >= before
                });
                if stays {
                    return Kept::Known(Box::new(known.clone()));
                }
            }
            inner.keys.insert(click.key, click.id);
            inner.clicks.insert(click.id, click);
            Kept::New
        });
        self.point().await;
        Ok(kept)
    }

    async fn click(&self, _account: &str, id: Uuid) -> Result<Option<Click>, StoreError> {
        self.point().await;
        Ok(self.world.with(|inner| inner.clicks.get(&id).cloned()))
    }

    async fn click_of_key(&self, _account: &str, key: [u8; 32]) -> Result<Option<Click>, StoreError> {
        self.point().await;
        Ok(self.world.with(|inner| inner.keys.get(&key).and_then(|id| inner.clicks.get(id)).cloned()))
    }

    async fn step_click(&self, step: ClickStep) -> Result<(), StoreError> {
        self.point().await;
        let done = self.world.with(|inner| {
            let Some(click) = inner.clicks.get_mut(&step.id) else { return Err(StoreError::Conflict) };
            if click.version != step.on_version || !click.state.may_become(&step.state) {
                return Err(StoreError::Conflict);
            }
            click.version += 1;
            if step.state == ClickState::Dialling {
                click.dialled_at = Some(step.at);
            }
            (click.state, click.updated_at) = (step.state, step.at);
            inner.receipts.extend(step.receipt);
            Ok(())
        });
        self.point().await;
        done
    }

    async fn unsettled_clicks(&self, _account: &str) -> Result<Vec<Click>, StoreError> {
        self.point().await;
        let unsettled = |click: &&Click| !click.state.is_settled();
        Ok(self.world.with(|inner| inner.clicks.values().filter(unsettled).cloned().collect()))
    }

    async fn list_clicks(&self, _account: &str, filter: &ClickFilter) -> Result<Vec<Click>, StoreError> {
        self.point().await;
        let fits = |click: &&Click| {
            filter.pair.as_ref().is_none_or(|(agent, to)| (agent, to) == (&click.agent, &click.to))
                && filter.agents.as_ref().is_none_or(|agents| agents.contains(&click.agent))
                && filter.since.is_none_or(|since| click.asked_at >= since)
        };
        Ok(self.world.with(|inner| inner.clicks.values().filter(fits).cloned().collect()))
    }
}

fn dialer(world: &Arc<World>) -> (Arc<Dialer>, Process) {
    static ACCOUNT: OnceLock<Account> = OnceLock::new();
    let account = ACCOUNT.get_or_init(account);
    let process = Process { world: Arc::clone(world), life: world.with(|inner| inner.life) };
    let clock = Arc::clone(world);
    let parts = DialerParts {
        account: account.clone(),
        agents: Arc::new(|named| {
            let (number, caller_id) = (AGENT.to_owned(), Some(EXOPHONE.to_owned()));
            (named == AGENT).then_some(Agent { number, email: None, caller_id, click_to_call: true })
        }),
        line: Arc::new(process.clone()),
        clicks: Arc::new(process.clone()),
        metrics: metrics(),
        clock: Arc::new(move || clock.now()),
        status_url: Arc::new(String::new),
        stream_url: Arc::new(|_| Some(String::new())),
        // The test's clock is turned by the test: nobody waits.
        wait: Duration::ZERO,
        settle_after: seconds(55),
        journal: Arc::default(),
        stopping: CancellationToken::new(),
    };
    (Arc::new(Dialer::new(parts)), process)
}

/// Made once: there are thousands of runs.
fn metrics() -> Arc<Metrics> {
    static METRICS: OnceLock<Arc<Metrics>> = OnceLock::new();
    Arc::clone(METRICS.get_or_init(Arc::default))
}

fn account() -> Account {
    let text = format!(
        "[[account]]\nsid = \"acme1\"\napi_key = \"k\"\napi_token = \"t\"\n[[account.agent]]\nnumber = \"{AGENT}\"\n\
         caller_id = \"{EXOPHONE}\"\nclick_to_call = true\n"
    );
    let mut config = crate::config::parse("test", &text, &Default::default()).expect("a configuration");
    config.accounts.remove(0)
}

fn wish(key: u8, to: u64) -> Wish {
    Wish {
        key: [key; 32],
        fingerprint: [u8::try_from(to).expect("few"); 32],
        renew_after: None,
        agent: AGENT.to_owned(),
        to: format!("+9198765{to:05}"),
        caller_id: None,
        custom_field: None,
        record: None,
        times: None,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// A world with these fates, run to its end.
fn scene<F: Future<Output = ()>>(
    fates: impl IntoIterator<Item = Fate>,
    play: impl FnOnce(Arc<World>, Arc<Dialer>) -> F,
) {
    let world = World::new(7);
    world.with(|inner| inner.fates.extend(fates));
    runtime().block_on(async {
        let (dialer, _) = dialer(&world);
        play(world, dialer).await;
    });
}

/// Turns the clock, sweeping as often as the dialer wants to.
async fn pass(world: &World, dialer: &Dialer, mut left: Duration) {
    while !left.is_zero() {
        let wait = dialer.sweep().await.expect("the store answers").min(left);
        world.turn(wait).await;
        left -= wait;
    }
    dialer.sweep().await.expect("the store answers");
}
