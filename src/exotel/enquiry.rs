//! The worker that asks Exotel for calls' details until they are complete. Answers go through the journal.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{calls::Told, client::ExotelClient, error::ExotelError};
use crate::{
    call::{Hook, Receipt},
    codes::Code,
    store::{CallRef, Duty, Node, Store, StoreError, Term},
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
/// How long a question waits for its place within Exotel's limit; after that it is put off, like after any failure.
const PATIENCE: Duration = Duration::from_secs(60);
/// After refused credentials.
const AFTER_REFUSAL: Duration = Duration::from_secs(300);

/// How Exotel stands to our questions.
#[derive(Clone, Debug)]
enum Standing {
    Answering,
    Refusing,
    Silent(String),
}

/// The reason of a silence may differ from question to question; it is one silence all the same.
impl PartialEq for Standing {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// Asks for one account.
#[derive(Debug)]
pub struct Enquirer {
    pub account: String,
    pub client: ExotelClient,
    pub store: Arc<dyn Store>,
    pub node: Arc<Node>,
    pub metrics: Arc<Metrics>,
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
        let mut standing = Standing::Answering;
        let duty = Duty::Enquiry(this.account.clone());
        while let Some(term) = this.node.take(duty.clone(), &this.stopping).await {
            this.ask_on(&term, &mut standing).await;
            term.end().await;
        }
    }

    /// Asks as long as it is this node that asks for the account.
    async fn ask_on(self: &Arc<Self>, term: &Term, standing: &mut Standing) {
        let mut asked = HashMap::new();
        while !self.stopping.is_cancelled() {
            let stepped = tokio::select! {
                stepped = self.step(&mut asked, standing) => stepped,
                () = term.lost() => return,
            };
            let wait = match stepped {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(
                        code = %Code::StoreUnavailable, account = %self.account, %error,
                        "which calls' details are missing cannot be read from the store; it is tried on"
                    );
                    // Whose answer did not come into the journal is not known: all of them are asked again.
                    asked.clear();
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = term.lost() => return,
                () = self.stopping.cancelled() => {}
            }
        }
    }

    async fn step(
        self: &Arc<Self>,
        asked: &mut HashMap<String, (Timestamp, Instant)>,
        standing: &mut Standing,
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
                let this = Arc::clone(self);
                asking.spawn(async move { this.ask(call_sid).await });
            }
            let mut now_standing = None;
            while let Some(asked) = asking.join_next().await {
                if let Ok(answer) = asked {
                    now_standing = answer?.or(now_standing);
                }
            }
            if let Some(now_standing) = now_standing.filter(|now_standing| now_standing != standing) {
                self.tell(&now_standing);
                *standing = now_standing;
            }
            if self.stopping.is_cancelled() {
                return Ok(Duration::ZERO);
            }
        }
    }

    /// Once when it changes, not for every question.
    fn tell(&self, standing: &Standing) {
        let account = &self.account;
        match standing {
            Standing::Answering => tracing::info!(%account, "Exotel answers questions for call details again"),
            Standing::Refusing => tracing::error!(
                code = %Code::ExotelUnauthorized, %account,
                "Exotel refuses the account's API key and token; recordings and durations wait. `patchbay check` \
                 says why"
            ),
            Standing::Silent(reason) => tracing::warn!(code = %Code::ExotelNoDetails, %account, reason,
                "Exotel does not say calls' details; recordings and durations wait, and are asked for again"),
        }
    }

    /// Asks once. Returns how Exotel stands to us, if that can be said.
    async fn ask(&self, call_sid: String) -> Result<Option<Standing>, StoreError> {
        let call = CallRef { account: self.account.clone(), call_sid };
        let client = self.client.patient(PATIENCE);
        let told = tokio::select! {
            told = client.told(&call.call_sid) => told,
            () = self.stopping.cancelled() => return Ok(None),
        };
        let (outcome, wait, standing) = match &told {
            Ok(Told::Call(_)) => ("answered", None, Standing::Answering),
            Ok(Told::NoSuchCall(_)) => ("unknown_call", None, Standing::Answering),
            Err(ExotelError::Busy { retry_after }) => ("throttled", Some(*retry_after), Standing::Answering),
            Err(ExotelError::Auth { .. }) => ("refused", Some(AFTER_REFUSAL), Standing::Refusing),
            Err(error) => ("failed", Some(AFTER_FAILURE), Standing::Silent(error.to_string())),
        };
        self.metrics.enquiries.get_or_create(&EnquiryLabels { outcome }).inc();
        match told {
            Ok(Told::Call(body) | Told::NoSuchCall(body)) => self.keep(&call, &body).await?,
            Err(_) => {
                if let Some(wait) = wait {
                    self.store.put_off_enquiry(&call, Timestamp::now() + wait).await?;
                }
            }
        }
        Ok(Some(standing))
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
