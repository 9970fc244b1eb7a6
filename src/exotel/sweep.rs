//! The worker that compares Exotel's own list of calls with the calls that are known, and adds what callbacks missed.
//!
//! What the list says goes through the journal like a callback: once when a call is first seen in it, and once when it is
//! over. Everything after that is asked for call by call, as of every other call.
//!
//! # How what was missed is found
//!
//! `exotel/sweep.rs` compares Exotel's list with the known calls, page by page behind a durable place, and writes down
//! as receipts what is news: a call that is first listed, a call that is over. The list is a witness like a callback;
//! what it does not know is asked for call by call. Who told of a call is folded with it and kept in columns beside it:
//! the ledger (`web/ledger.rs`) sets them side by side with the states of its records, so that "nothing is missing" can
//! be counted.

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
    calls::{Call, CallDirection, CallStatus},
    client::ExotelClient,
    error::ExotelError,
    legs::{Leg, LegOrigin},
    listing::{CallFilter, CallPage, Verbatim},
    read::{Party, v1},
};
use crate::{
    call::{CallEvent, EventKind, Hook, Locale, Receipt, SeenBy, normalise},
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
                tracing::warn!(%account, %error,
                    "Exotel's list of calls cannot be compared; it is tried on, from where it came to");
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
                tracing::warn!(account = %self.account, %error, "a call in Exotel's list cannot be read; it is passed over");
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
mod tests;
