//! The worker that asks Exotel for calls' details until they are complete. Answers go through the journal.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::client::{Details, ExotelClient};
use crate::{
    call::{Hook, Receipt},
    store::{CallRef, Store, StoreError},
    telemetry::{EnquiryLabels, Metrics},
};

/// Questions under way at once, per account.
const WINDOW: usize = 4;
const IDLE: Duration = Duration::from_secs(15);
/// What is due and was asked already is looked at again after this.
const SHORTEST: Duration = Duration::from_millis(20);
/// An answer is in the journal at once and read a moment later; the question stays due until then, and is not asked
/// again before this. Kept in memory only: after a crash it is simply asked again.
const READING: Duration = Duration::from_secs(30);
/// After no answer, or one that says nothing.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// After refused credentials.
const AFTER_REFUSAL: Duration = Duration::from_secs(300);

/// Asks for one account.
#[derive(Debug)]
pub struct Enquirer {
    pub account: String,
    pub client: ExotelClient,
    pub store: Arc<dyn Store>,
    pub metrics: Arc<Metrics>,
    pub per_minute: NonZeroU32,
    /// Woken when something is to be asked.
    pub wake: Arc<Notify>,
    /// Wakes the reader of the journal.
    pub journal: Arc<Notify>,
    pub stopping: CancellationToken,
}

impl Enquirer {
    /// Runs until the service stops.
    pub async fn run(self) {
        let this = Arc::new(self);
        let limiter: Arc<DefaultDirectRateLimiter> = Arc::new(RateLimiter::direct(Quota::per_minute(this.per_minute)));
        let mut refused = false;
        let mut asked = HashMap::new();
        while !this.stopping.is_cancelled() {
            let wait = match this.step(&limiter, &mut asked, &mut refused).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(account = %this.account, %error, "the store cannot be asked for open questions");
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = this.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = this.stopping.cancelled() => {}
            }
        }
    }

    async fn step(
        self: &Arc<Self>,
        limiter: &Arc<DefaultDirectRateLimiter>,
        asked: &mut HashMap<String, (Timestamp, Instant)>,
        refused: &mut bool,
    ) -> Result<Duration, StoreError> {
        loop {
            let now = Timestamp::now();
            asked.retain(|_, (_, at)| at.elapsed() < READING);
            let mut due = self.store.due_enquiries(&self.account, WINDOW + asked.len(), now).await?;
            due.retain(|(call_sid, due_at)| asked.get(call_sid).is_none_or(|(at, _)| at != due_at));
            due.truncate(WINDOW);
            if due.is_empty() {
                let next = self.store.next_enquiry(&self.account).await?;
                let wait = next.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
                return Ok(wait.map_or(IDLE, |wait| wait.clamp(SHORTEST, IDLE)));
            }
            asked.extend(due.iter().map(|(call_sid, due_at)| (call_sid.clone(), (*due_at, Instant::now()))));
            let mut asking = JoinSet::new();
            for (call_sid, _) in due {
                let (this, limiter) = (Arc::clone(self), Arc::clone(limiter));
                asking.spawn(async move { this.ask(call_sid, &limiter).await });
            }
            let mut now_refused = None;
            while let Some(answered) = asking.join_next().await {
                if let Ok(answer) = answered {
                    now_refused = answer?.or(now_refused);
                }
            }
            match now_refused {
                Some(true) if !*refused => {
                    *refused = true;
                    tracing::error!(account = %self.account,
                        "Exotel refuses the account's API key and token; recordings and durations wait. \
                         `patchbay check` says more");
                }
                Some(false) if *refused => {
                    *refused = false;
                    tracing::info!(account = %self.account, "Exotel accepts the account's credentials again");
                }
                _ => {}
            }
            if self.stopping.is_cancelled() {
                return Ok(Duration::ZERO);
            }
        }
    }

    /// Asks once. Returns whether the credentials were refused, if that can be said.
    async fn ask(&self, call_sid: String, limiter: &DefaultDirectRateLimiter) -> Result<Option<bool>, StoreError> {
        tokio::select! {
            () = limiter.until_ready() => {}
            () = self.stopping.cancelled() => return Ok(None),
        }
        let call = CallRef { account: self.account.clone(), call_sid };
        let details = self.client.details(&call.call_sid).await;
        let (outcome, wait, verdict) = match &details {
            Details::Call(_) => ("answered", None, Some(false)),
            Details::Unknown(_) => ("unknown_call", None, Some(false)),
            Details::Throttled(wait) => ("throttled", Some(*wait), Some(false)),
            Details::Refused(_) => ("refused", Some(AFTER_REFUSAL), Some(true)),
            Details::Failed(reason) => {
                tracing::warn!(account = %self.account, call = %call.call_sid, reason, "Exotel did not say a call's details");
                ("failed", Some(AFTER_FAILURE), None)
            }
        };
        self.metrics.enquiries.get_or_create(&EnquiryLabels { outcome }).inc();
        match details {
            Details::Call(body) | Details::Unknown(body) => self.keep(&call, &body).await?,
            _ => {
                if let Some(wait) = wait {
                    self.store.put_off_enquiry(&call, Timestamp::now() + wait).await?;
                }
            }
        }
        Ok(verdict)
    }

    /// An answer is a receipt like any callback.
    async fn keep(&self, call: &CallRef, body: &Bytes) -> Result<(), StoreError> {
        let receipt = Receipt {
            id: Uuid::now_v7(),
            account: call.account.clone(),
            hook: Hook::Details,
            received_at: Timestamp::now(),
            method: "GET".to_owned(),
            path: format!("/v1/Accounts/{}/Calls/{}.json", call.account, call.call_sid),
            query: "details=true".to_owned(),
            content_type: Some("application/json".to_owned()),
            body: body.to_vec(),
        };
        self.store.append(receipt).await?;
        self.journal.notify_one();
        Ok(())
    }
}
