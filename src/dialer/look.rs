//! Looking after clicks that are not settled: what may have been dialled is looked for in Exotel's list, what nobody asks
//! for any more is given up.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    Dialer, STALE, WORN_OUT, call_of, is_orphan, locked, rules,
    settle::{self, Verdict},
    tell,
};
use crate::{
    exotel::{Connect, Likeness},
    store::{Click, ClickFilter, ClickState, ClickStep, Clicks, StoreError},
    telemetry::Metrics,
};

/// By so much Exotel's clock and ours may differ, and a call may be created after it was asked for.
const AROUND: SignedDuration = SignedDuration::from_mins(3);
/// A missed wake-up costs no more than this.
const IDLE: Duration = Duration::from_secs(15);
/// After no answer of Exotel's, at the earliest.
const RETRY: Duration = Duration::from_secs(5);
/// How often a change that somebody else got in before is decided anew.
const TURNS: usize = 5;

impl Dialer {
    /// Runs until the service stops: settles what is unknown, and gives up what nobody asks for any more.
    pub async fn run(self: Arc<Self>) {
        let stopping = self.parts.stopping.clone();
        while !stopping.is_cancelled() {
            let wait = match self.sweep().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(account = %self.parts.account.sid, %error, "the store cannot be asked for clicks");
                    RETRY
                }
            };
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = stopping.cancelled() => {}
            }
        }
        // What is being dialled may still be answered: better known than looked for.
        let mut tasks = std::mem::take(&mut *locked(&self.tasks));
        while tasks.join_next().await.is_some() {}
    }

    /// Looks after every click that is not settled. Returns when to do so again.
    ///
    /// # Errors
    /// What the store says.
    pub async fn sweep(&self) -> Result<Duration, StoreError> {
        let Self { parts, .. } = self;
        let now = self.now();
        let mut unknown = Vec::new();
        let open = parts.clicks.unsettled_clicks(&parts.account.sid).await?;
        locked(&self.looks).retain(|id, _| open.iter().any(|click| click.id == *id));
        for mut click in open {
            let here = locked(&self.running).contains_key(&click.id);
            match click.state {
                ClickState::Intended if !here && now.duration_since(click.updated_at) > STALE => {
                    let reason = "it was never dialled, and nobody asked for it again".to_owned();
                    let given_up = self.step(&mut click, ClickState::NotPlaced { reason }, None).await;
                    ignore_conflict(given_up)?;
                }
                ClickState::Dialling if !here && is_orphan(&click, now) => {
                    if let Some(click) = self.orphan(&click, now).await? {
                        unknown.push(click);
                    }
                }
                ClickState::Unknown { .. } => unknown.push(click),
                _ => {}
            }
        }
        let due: Vec<Click> = unknown
            .iter()
            .filter(|click| locked(&self.looks).get(&click.id).is_none_or(|(_, next)| *next <= now))
            .cloned()
            .collect();
        if !due.is_empty() {
            self.look(due).await?;
        }
        let next = locked(&self.looks).values().map(|(_, next)| *next).min();
        let wait = next.map(|next| Duration::try_from(next.duration_since(self.now())).unwrap_or_default());
        Ok(wait.map_or(IDLE, |wait| wait.clamp(Duration::from_millis(20), IDLE)))
    }

    /// Whoever dialled it has gone: it may have been dialled.
    pub(super) async fn orphan(&self, click: &Click, now: Timestamp) -> Result<Option<Click>, StoreError> {
        let mut click = click.clone();
        let reason = "Patchbay ended while it was dialled".to_owned();
        tracing::warn!(click = %click.id, dialled_at = ?click.dialled_at, %now, "a click was being dialled when Patchbay ended");
        match self.step(&mut click, ClickState::Unknown { reason }, None).await {
            Ok(()) => Ok(Some(click)),
            Err(StoreError::Conflict) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One list for all that is looked for.
    async fn look(&self, due: Vec<Click>) -> Result<(), StoreError> {
        let Self { parts, .. } = self;
        let asked = self.now();
        let dialled = |click: &Click| click.dialled_at.unwrap_or(click.asked_at);
        let first = due.iter().map(dialled).min().unwrap_or(asked);
        let last = due.iter().map(dialled).max().unwrap_or(asked);
        let listed = parts.line.listed(before(first), after(last)).await;
        // A call may have been listed since; what was asked for then is judged by the clock of then.
        for mut click in due {
            let looks = locked(&self.looks).get(&click.id).map_or(0, |(looks, _)| *looks);
            let calls = match &listed {
                Ok(calls) => {
                    let next = settle::next_look(&click, looks, parts.settle_after, asked);
                    locked(&self.looks).insert(click.id, (looks + 1, next));
                    calls
                }
                Err(error) => {
                    // It was no look: nothing is waited for but Exotel.
                    let next = settle::after_failure(&click, asked);
                    locked(&self.looks).insert(click.id, (looks, next));
                    tracing::warn!(click = %click.id, %error, "whether a call was placed cannot be looked up; trying on");
                    continue;
                }
            };
            let Some(connect) = rules::connect(&parts.account, &click) else { continue };
            let rivals = self.rivals(&click, dialled(&click)).await?;
            let taken: Vec<String> = rivals.iter().filter_map(|rival| call_of(rival).map(str::to_owned)).collect();
            let verdict = settle::judge(&click, &connect, calls, &taken, parts.settle_after, asked);
            let (state, how) = match verdict {
                Verdict::Later => continue,
                Verdict::Placed { call_sid } => {
                    (ClickState::Placed { call_sid, status: None }, "by its mark in Exotel's list")
                }
                Verdict::NotPlaced => {
                    let reason = "Exotel does not list it: it was not placed".to_owned();
                    (ClickState::NotPlaced { reason }, "by Exotel's list")
                }
                Verdict::Likely(sids) => {
                    let rivalled = rivals.iter().any(|rival| !rival.state.is_settled() && rival.dialled_at.is_some());
                    match self.of_likely(&click, &connect, sids, rivalled, asked).await {
                        Some(settled) => settled,
                        None => continue,
                    }
                }
            };
            if click.state != state {
                ignore_conflict(self.step(&mut click, state, Some(how)).await)?;
            }
        }
        Ok(())
    }

    /// Calls that it may be, and whose list shows no mark. Their details may; if not, it is the only one there is, and
    /// only if no other click can have led to it.
    async fn of_likely(
        &self,
        click: &Click,
        connect: &Connect,
        sids: Vec<String>,
        rivalled: bool,
        now: Timestamp,
    ) -> Option<(ClickState, &'static str)> {
        let mut left = Vec::new();
        for sid in sids {
            let likeness = match self.parts.line.details(&sid).await {
                Ok(call) => settle::compare(click, connect, &call),
                Err(_) => Likeness::Likely,
            };
            match likeness {
                Likeness::Same => {
                    return Some((
                        ClickState::Placed { call_sid: sid, status: None },
                        "by its mark in the call's details",
                    ));
                }
                Likeness::Likely => left.push(sid),
                Likeness::Other => {}
            }
        }
        let over = now >= settle::believed_at(click, self.parts.settle_after);
        match left.as_slice() {
            [] if over => {
                let reason = "Exotel lists calls of these two, but none with the mark of this one".to_owned();
                Some((ClickState::NotPlaced { reason }, "by Exotel's list"))
            }
            [] => None,
            [sid] if !rivalled => Some((
                ClickState::Placed { call_sid: sid.clone(), status: None },
                "by its people and time, as the only one",
            )),
            _ if over => {
                let count = left.len();
                let reason = format!(
                    "Exotel lists {count} call(s) of these two at that time, shows no mark, and it may be another click's: \
                     look at the dashboard"
                );
                Some((ClickState::Unknown { reason }, "not at all"))
            }
            _ => None,
        }
    }

    /// Other clicks of the same two that may have been dialled around the same time; they may have been asked for, and put
    /// off, long before.
    async fn rivals(&self, click: &Click, dialled: Timestamp) -> Result<Vec<Click>, StoreError> {
        let since = before(dialled).checked_sub(WORN_OUT).unwrap_or(Timestamp::MIN);
        let pair = Some((click.agent.clone(), click.to.clone()));
        let filter = ClickFilter { pair, since: Some(since), limit: 200, ..ClickFilter::default() };
        let mut rivals = self.parts.clicks.list_clicks(&self.parts.account.sid, &filter).await?;
        rivals.retain(|rival| rival.id != click.id);
        Ok(rivals)
    }
}

fn before(at: Timestamp) -> Timestamp {
    at.checked_sub(AROUND).unwrap_or(Timestamp::MIN)
}

fn after(at: Timestamp) -> Timestamp {
    at.checked_add(AROUND).unwrap_or(Timestamp::MAX)
}

fn ignore_conflict(done: Result<(), StoreError>) -> Result<(), StoreError> {
    match done {
        // Somebody else has settled it.
        Err(StoreError::Conflict) => Ok(()),
        done => done,
    }
}

/// Exotel has told of a call that carries this click's mark: it was placed, whatever was thought so far. Told again, it
/// changes nothing.
///
/// # Errors
/// What the store says.
pub async fn heard(
    clicks: &dyn Clicks,
    metrics: &Metrics,
    account: &str,
    id: Uuid,
    call_sid: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    for _ in 0..TURNS {
        let Some(mut click) = clicks.click(account, id).await? else { return Ok(()) };
        let placed = ClickState::Placed { call_sid: call_sid.to_owned(), status: None };
        if !click.state.may_become(&placed) {
            if call_of(&click).is_some_and(|known| known != call_sid) {
                tracing::warn!(click = %id, call = call_sid, "a second call carries the mark of this click");
            }
            return Ok(());
        }
        // No receipt: whoever told of it is in the journal already.
        let step = ClickStep {
            account: account.to_owned(),
            id,
            on_version: click.version,
            state: placed.clone(),
            at: now,
            receipt: None,
        };
        match clicks.step_click(step).await {
            Err(StoreError::Conflict) => continue,
            Err(error) => return Err(error),
            Ok(()) => {
                click.state = placed;
                tell(metrics, &click, Some("by what Exotel told of it"));
                return Ok(());
            }
        }
    }
    Err(StoreError::Conflict)
}
