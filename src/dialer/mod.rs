//! Click-to-call: intent → dial → settle. One key dials at most once, across crashes and lost answers: a click is durably
//! being dialled before the first byte goes to Exotel, and from there it is only ever looked for.
//!
//! # How a click becomes a call
//!
//! `dialer/` looks whether it may be dialled (agent, switch, hours, numbers), keeps the intent under the hash of its
//! key, makes it durably *dialling*, and asks Exotel once. What came of it and, if it was placed, the call's receipt
//! are one transaction. Whoever asks again with the same key is told; whoever waited longer than `dialer.wait` finds it
//! at `/clicks/{id}`. A DID's test call is a click, too, and so is a call that a bot makes: whom it rings first is the
//! customer, and he is put into a flow, or connected with the bot by a ticket that stands for its token. *Unknown* is
//! settled by the mark in `CustomField`: from a status callback (`decide.rs` sees it before the cursor moves), else
//! from Exotel's list, which is looked at until it would have shown the call. No click is ever dialled by anything but
//! a request with its key.

mod line;
mod look;
mod rules;
mod settle;
mod tell;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    call::{PlacedCall, mark},
    codes::Code,
    config::Account,
    crash,
    exotel::{Dialled, ExotelError, Reach, StatusCallback, StreamUrl},
    store::{Click, ClickState, ClickStep, Clicks, Kept, StoreError},
    telemetry::Metrics,
};

pub use line::Line;
pub use look::heard;
use rules::Checked;
pub use rules::{Agent, BotCall, Breach, Lookup, TestWish, Wish};
use tell::tell;

/// What is put off and not asked for again in this time is not dialled any more: nobody wants to be rung that late.
const STALE: SignedDuration = SignedDuration::from_secs(120);
/// Nor however often it is asked for: its key is worn out.
const WORN_OUT: SignedDuration = SignedDuration::from_mins(30);
/// A dial that nobody here carries out and that is older than any answer is waited for: whoever did has gone.
const ORPHANED: SignedDuration = SignedDuration::from_secs(60);
/// Another node dials it: its answer is looked for this often.
const POLL: Duration = Duration::from_millis(200);
/// Writing how a dial ended is tried again after these; then it counts as an orphan's.
const WRITE_AGAIN: [Duration; 3] = [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5)];

/// The clock, which a test turns by itself.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Where Exotel reaches the voicebot of a click; a credential is in it. `None`: there is no such bot any more.
pub type StreamLink = Arc<dyn Fn(&Click) -> Option<String> + Send + Sync>;

/// Why a wish led to no click, or to none yet.
#[derive(Debug, thiserror::Error)]
pub enum Declined {
    #[error("{0}")]
    Breach(#[from] Breach),
    /// The key was used for another request.
    #[error("this Idempotency-Key was given with another request; a key stands for one call")]
    OtherRequest,
    /// Nothing was dialled, and the same key may be used again then.
    #[error("Exotel's limit of calls is used up; nothing was dialled, ask again in {} s", .0.as_secs().max(1))]
    Busy(Duration),
    /// Likewise.
    #[error("{0}; nothing was dialled, ask again in a moment")]
    Unreachable(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a dial is put off: certainly nothing was carried out.
#[derive(Clone, Debug)]
enum PutOff {
    Busy(Duration),
    Unreachable(String),
}

/// What makes a dialer.
pub struct DialerParts {
    pub account: Account,
    pub agents: Lookup,
    pub line: Arc<dyn Line>,
    pub clicks: Arc<dyn Clicks>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    /// Where Exotel says what becomes of a call; a credential is in it.
    pub status_url: Arc<dyn Fn() -> String + Send + Sync>,
    pub stream_url: StreamLink,
    /// How long whoever asks waits for the answer.
    pub wait: Duration,
    /// When the list is believed that a call is not there.
    pub settle_after: Duration,
    /// Woken when a call was placed: there is more in the journal.
    pub journal: Arc<Notify>,
    pub stopping: CancellationToken,
}

/// The address carries a credential.
impl fmt::Debug for DialerParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DialerParts({})", self.account.sid)
    }
}

/// One account's.
pub struct Dialer {
    parts: DialerParts,
    running: Mutex<HashMap<Uuid, watch::Receiver<Option<PutOff>>>>,
    tasks: Mutex<JoinSet<()>>,
    /// Looks at the list for each click, and when the next is due. In memory only: after a crash it is looked at once.
    looks: Mutex<HashMap<Uuid, (u32, Timestamp)>>,
    wake: Notify,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialer({})", self.parts.account.sid)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Dialer {
    pub fn new(parts: DialerParts) -> Self {
        Self { parts, running: Mutex::default(), tasks: Mutex::default(), looks: Mutex::default(), wake: Notify::new() }
    }

    fn now(&self) -> Timestamp {
        (self.parts.clock)()
    }

    /// At start: whoever was dialling when the last process ended has died with it. `alone`: no other node has this store.
    ///
    /// # Errors
    /// What the store says.
    pub async fn recover(&self, alone: bool) -> Result<(), StoreError> {
        let now = self.now();
        for click in self.parts.clicks.unsettled_clicks(&self.parts.account.sid).await? {
            if click.state == ClickState::Dialling && (alone || is_orphan(&click, now)) {
                self.orphan(&click, now).await?;
            }
        }
        Ok(())
    }

    /// Connects an agent with somebody, or tells what became of the click of this key. What has no answer after a while
    /// is returned as it stands.
    ///
    /// # Errors
    /// [`Declined`].
    pub async fn click(self: &Arc<Self>, wish: &Wish) -> Result<Click, Declined> {
        let check = |now| rules::check(&self.parts.account, &self.parts.agents, wish, now);
        self.ask(wish.key, wish.fingerprint, wish.renew_after, check).await
    }

    /// Puts a customer into a flow, as [`Dialer::click`] connects an agent: the same intent, the same settling.
    ///
    /// # Errors
    /// [`Declined`].
    pub async fn test_call(self: &Arc<Self>, wish: &TestWish) -> Result<Click, Declined> {
        let check = |now| rules::check_test(&self.parts.account, wish, now);
        self.ask(wish.key, wish.fingerprint, wish.renew_after, check).await
    }

    /// Connects a customer with a voicebot, as [`Dialer::click`] connects an agent: the same intent, the same settling.
    ///
    /// # Errors
    /// [`Declined`].
    pub async fn bot_call(self: &Arc<Self>, wish: &BotCall) -> Result<Click, Declined> {
        let check = |now| rules::check_bot_call(&self.parts.account, wish, now);
        self.ask(wish.key, wish.fingerprint, None, check).await
    }

    async fn ask(
        self: &Arc<Self>,
        key: [u8; 32],
        fingerprint: [u8; 32],
        renew_after: Option<Duration>,
        check: impl FnOnce(Timestamp) -> Result<Checked, Breach>,
    ) -> Result<Click, Declined> {
        let Self { parts, .. } = &**self;
        let sid = &parts.account.sid;
        let now = self.now();
        // Whoever asks again is told, whatever the hour is by now.
        if renew_after.is_none()
            && let Some(known) = parts.clicks.click_of_key(sid, key).await?
        {
            return self.again(known, fingerprint).await;
        }
        let checked = check(now)?;
        let click = Click {
            id: Uuid::now_v7(),
            account: sid.clone(),
            version: 1,
            key,
            fingerprint,
            agent: checked.agent,
            to: checked.to,
            caller_id: checked.caller_id,
            flow_url: checked.flow_url,
            bot: checked.bot,
            custom_field: checked.custom_field,
            record: checked.record,
            state: ClickState::Intended,
            asked_at: now,
            dialled_at: None,
            updated_at: now,
        };
        let renew_before = renew_after.map(|age| now.checked_sub(age).unwrap_or(Timestamp::MIN));
        crash::point("dialer.before_intent");
        match parts.clicks.intend(click.clone(), renew_before).await? {
            Kept::New => {
                crash::point("dialer.after_intent");
                self.answer(click).await
            }
            Kept::Known(known) => self.again(*known, fingerprint).await,
        }
    }

    async fn again(self: &Arc<Self>, known: Click, fingerprint: [u8; 32]) -> Result<Click, Declined> {
        if known.fingerprint != fingerprint {
            return Err(Declined::OtherRequest);
        }
        self.answer(known).await
    }

    /// Has the click dialled if that is still to be done, and waits for what becomes of it.
    async fn answer(self: &Arc<Self>, mut click: Click) -> Result<Click, Declined> {
        let deadline = tokio::time::Instant::now() + self.parts.wait;
        loop {
            let running = locked(&self.running).get(&click.id).cloned();
            let running = match (running, &click.state) {
                (_, state) if state.is_settled() => return Ok(click),
                (_, ClickState::Unknown { .. }) => return Ok(click),
                (Some(running), _) => Some(running),
                (None, ClickState::Intended) => Some(self.start(click.clone())),
                (None, _) => None,
            };
            let put_off = match running {
                // The sender is dropped when the dial has ended; before that it may say why it was put off.
                Some(mut running) => {
                    let ended = async { while running.changed().await.is_ok() {} };
                    let in_time = tokio::time::timeout_at(deadline, ended).await.is_ok();
                    let said = running.borrow().clone();
                    said.filter(|_| in_time)
                }
                None => {
                    tokio::time::sleep_until(deadline.min(tokio::time::Instant::now() + POLL)).await;
                    None
                }
            };
            match put_off {
                Some(PutOff::Busy(wait)) => return Err(Declined::Busy(wait)),
                Some(PutOff::Unreachable(reason)) => return Err(Declined::Unreachable(reason)),
                None => {}
            }
            let stored = self.parts.clicks.click(&self.parts.account.sid, click.id).await?;
            click = stored.unwrap_or(click);
            if tokio::time::Instant::now() >= deadline {
                return Ok(click);
            }
        }
    }

    /// Dials in a task of its own: whoever asked may hang up, the click goes on.
    fn start(self: &Arc<Self>, click: Click) -> watch::Receiver<Option<PutOff>> {
        let mut running = locked(&self.running);
        if let Some(known) = running.get(&click.id) {
            return known.clone();
        }
        let (tell, told) = watch::channel(None);
        running.insert(click.id, told.clone());
        let this = Arc::clone(self);
        let mut tasks = locked(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let _ended = Ended { dialer: &this, id: click.id };
            // Nobody has to wait for it.
            let _ = tell.send(this.dial(click.clone()).await);
            this.wake.notify_one();
        });
        told
    }

    /// One dial. Says why it was put off, if it was.
    async fn dial(&self, mut click: Click) -> Option<PutOff> {
        let connect = rules::connect(&self.parts.account, &click);
        let worn_out = self.now().duration_since(click.asked_at) > WORN_OUT;
        let (Some(mut connect), false) = (connect, worn_out) else {
            let reason = "it was asked for too long ago, or its caller id is no telephone number any more".to_owned();
            // An error is another's step; the click is swept up if this one's was lost.
            let _ = self.step(&mut click, ClickState::NotPlaced { reason }, None).await;
            return None;
        };
        if let Reach::Stream(address) = &mut connect.to {
            let Some(url) = (self.parts.stream_url)(&click) else {
                let reason = "there is no such bot any more".to_owned();
                let _ = self.step(&mut click, ClickState::NotPlaced { reason }, None).await;
                return None;
            };
            *address = StreamUrl(url);
        }
        // Of a call into a flow Exotel tells the end alone (exotel-api §2.1).
        connect.callback = Some(StatusCallback { url: (self.parts.status_url)(), answered: click.flow_url.is_none() });
        crash::point("dialer.before_dialling");
        match self.step(&mut click, ClickState::Dialling, None).await {
            Ok(()) => {}
            // Somebody else dials it, or it was given up.
            Err(StoreError::Conflict) => return None,
            Err(error) => {
                tracing::error!(
                    code = %Code::StoreUnavailable, account = %click.account, click = %click.id, %error,
                    "a click cannot be made durable, and is not dialled"
                );
                return Some(PutOff::Unreachable("this cannot be stored now".to_owned()));
            }
        }
        crash::point("dialer.after_dialling");
        let dialled = self.parts.line.connect(&connect).await;
        crash::point("dialer.after_answer");
        let (state, put_off) = match dialled {
            Dialled::Placed(call) => {
                (ClickState::Placed { call_sid: call.sid, status: Some(call.status.as_str().to_owned()) }, None)
            }
            Dialled::Refused(ExotelError::Busy { retry_after }) => {
                (ClickState::Intended, Some(PutOff::Busy(retry_after)))
            }
            Dialled::Refused(error @ ExotelError::Unreachable { .. }) => {
                (ClickState::Intended, Some(PutOff::Unreachable(error.to_string())))
            }
            Dialled::Refused(error) => (refused(&error), None),
            Dialled::Unknown { reason } => (ClickState::Unknown { reason }, None),
        };
        self.end(click, state).await;
        crash::point("dialer.after_end");
        put_off
    }

    /// Writes how a dial ended, as often as it takes; if it cannot be written, the click is an orphan and is looked for.
    async fn end(&self, mut click: Click, state: ClickState) {
        let mut waits = WRITE_AGAIN.iter();
        loop {
            match self.step(&mut click, state.clone(), None).await {
                Ok(()) => return,
                Err(StoreError::Conflict) => {
                    // A status callback was faster than Exotel's answer; what it said stands.
                    tracing::debug!(click = %click.id, "the click was settled while it was dialled");
                    return;
                }
                Err(error) => match waits.next() {
                    Some(wait) => tokio::time::sleep(*wait).await,
                    None => {
                        tracing::error!(
                            code = %Code::StoreUnavailable, account = %click.account, click = %click.id, %error,
                            "how a dial ended cannot be written; it is looked for in Exotel's list"
                        );
                        return;
                    }
                },
            }
        }
    }

    /// Changes the click, and tells. A call that was placed goes into the journal with it.
    async fn step(&self, click: &mut Click, state: ClickState, how: Option<&str>) -> Result<(), StoreError> {
        let Self { parts, .. } = self;
        let now = self.now();
        let receipt = match &state {
            ClickState::Placed { call_sid, .. } => Some(receipt(parts, click, call_sid, now)?),
            _ => None,
        };
        let placed = receipt.is_some();
        let step = ClickStep {
            account: click.account.clone(),
            id: click.id,
            on_version: click.version,
            state: state.clone(),
            at: now,
            receipt,
        };
        parts.clicks.step_click(step).await?;
        click.version += 1;
        click.updated_at = now;
        if state == ClickState::Dialling {
            click.dialled_at = Some(now);
        }
        click.state = state;
        if placed {
            parts.journal.notify_one();
        }
        tell(&parts.metrics, click, how);
        Ok(())
    }
}

/// Takes a dial off the list when its task ends, however it does.
struct Ended<'a> {
    dialer: &'a Dialer,
    id: Uuid,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        locked(&self.dialer.running).remove(&self.id);
    }
}

fn call_of(click: &Click) -> Option<&str> {
    match &click.state {
        ClickState::Placed { call_sid, .. } => Some(call_sid),
        _ => None,
    }
}

fn is_orphan(click: &Click, now: Timestamp) -> bool {
    now.duration_since(click.updated_at) > ORPHANED
}

fn refused(error: &ExotelError) -> ClickState {
    let code = match error {
        ExotelError::Refused { code: Some(code), .. } | ExotelError::NotFound { code: Some(code), .. } => {
            code.to_string()
        }
        ExotelError::Refused { status, .. } | ExotelError::Auth { status } => status.to_string(),
        _ => "404".to_owned(),
    };
    ClickState::Refused { code, message: format!("{error}; {}", error.cure()) }
}

/// The placed call, as it goes into the journal.
fn receipt(
    parts: &DialerParts,
    click: &Click,
    call_sid: &str,
    now: Timestamp,
) -> Result<crate::call::Receipt, StoreError> {
    let account = &parts.account;
    let written = |raw: &str| rules::as_exotel_writes(raw, &account.country);
    let dialled = click.dialled_at.unwrap_or(click.asked_at);
    let rings_customer = click.rings_customer();
    let placed = PlacedCall {
        call_sid: call_sid.to_owned(),
        click: click.id,
        agent: (!rings_customer).then(|| written(&click.agent)),
        agent_email: (parts.agents)(&click.agent).filter(|_| !rings_customer).and_then(|agent| agent.email),
        bot: click.bot.clone(),
        customer: written(if rings_customer { &click.agent } else { &click.to }),
        exophone: written(&click.caller_id),
        custom_field: mark::write(click.id, click.custom_field.as_deref()),
        // Exotel counts in seconds.
        dialled_at: Timestamp::from_second(dialled.as_second()).unwrap_or(dialled),
    };
    placed.receipt(Uuid::now_v7(), &account.sid, now).map_err(|error| StoreError::Unwritable(error.to_string()))
}
