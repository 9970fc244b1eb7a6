//! The one loop that performs exchanges: quota, credentials, transport, the connector's reading of the reply, trace.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use jiff::Timestamp;
use patchbay_kit::{Connector, Exchange, Failure, Kind, Retry, Safety, Step, mask};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::quota::Quotas;
use crate::{
    connect::transport::{Credentials, Limits, Lost, Transport},
    crash,
    store::ExchangeLog,
    telemetry::{ExchangeLabels, Metrics},
};

/// Exchanges that one chain may take: a page of a page of a page ends here.
const CHAIN: usize = 50;
/// Characters of an error that are kept.
const ERROR_CHARS: usize = 300;

/// Why a chain of exchanges came to no result.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// The CRM answered, and the connector read a failure. `safety` of the request that failed.
    Refused { failure: Failure, safety: Safety, status: u16 },
    /// No answer. `sent`: it may have been carried out all the same.
    Lost { sent: bool, safety: Safety, reason: String },
    /// A limit: not before then.
    Throttled { until: Timestamp },
    /// The service is stopping.
    Stopping,
}

/// What performs exchanges for one integration.
#[derive(Debug)]
pub struct Driver {
    pub connector: Arc<dyn Connector>,
    pub transport: Transport,
    pub origin: Url,
    pub credentials: Credentials,
    pub limits: Limits,
    pub metrics: Arc<Metrics>,
    pub stopping: CancellationToken,
    quotas: Mutex<Quotas>,
}

impl Driver {
    #[expect(clippy::too_many_arguments, reason = "the parts a driver is made of, put together in one place")]
    pub fn new(
        connector: Arc<dyn Connector>,
        transport: Transport,
        origin: Url,
        credentials: Credentials,
        limits: Limits,
        quotas: Quotas,
        metrics: Arc<Metrics>,
        stopping: CancellationToken,
    ) -> Self {
        Self { connector, transport, origin, credentials, limits, metrics, stopping, quotas: Mutex::new(quotas) }
    }

    pub fn quotas(&self) -> MutexGuard<'_, Quotas> {
        self.quotas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Performs a chain of exchanges to its end, writing each into `trace`.
    ///
    /// # Errors
    /// [`Stop`], with what may follow from it.
    pub async fn run<T>(&self, mut exchange: Exchange<T>, trace: &mut Vec<ExchangeLog>) -> Result<T, Stop> {
        for _ in 0..CHAIN {
            let label = exchange.request.label;
            let safety = exchange.request.safety;
            self.wait_for_token(label).await?;
            if safety == Safety::Creates {
                crash::point("delivery.before_send");
            }
            let began = Instant::now();
            let sent = self.transport.send(&self.origin, &self.credentials, &exchange.request, self.limits).await;
            if safety == Safety::Creates {
                crash::point("delivery.after_send");
            }
            let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let mut log = ExchangeLog { label: label.to_owned(), status: None, ms, error: String::new() };
            let reply = match sent {
                Ok(reply) => reply,
                Err(lost) => {
                    self.count(label, 0);
                    log.error = clip(&lost.to_string());
                    let reason = log.error.clone();
                    trace.push(log);
                    return Err(Stop::Lost { sent: !matches!(lost, Lost::NotSent(_)), safety, reason });
                }
            };
            let status = reply.status.as_u16();
            self.count(label, status);
            log.status = Some(status);
            let now = Timestamp::now();
            let seen = self.connector.allowance(&reply);
            if let Some(seen) = seen {
                self.quotas().observe(seen, now);
            }
            let read = if reply.status.is_success() || exchange.accepts.contains(&reply.status) {
                exchange.parse(&reply)
            } else {
                Err(self.connector.classify(&reply))
            };
            match read {
                Ok(step) => {
                    trace.push(log);
                    match step {
                        Step::Done(value) => return Ok(value),
                        Step::Then(next) => exchange = next,
                    }
                }
                Err(mut failure) => {
                    failure.detail = clip(&failure.detail);
                    log.error = clip(&failure.to_string());
                    trace.push(log);
                    if failure.kind == Kind::RateLimited {
                        let until = match failure.retry {
                            Retry::After(wait) => now + wait,
                            _ => now + std::time::Duration::from_secs(60),
                        };
                        if self.quotas().pause(label, until, seen, now) {
                            tracing::info!(connector = self.connector.manifest().id, label, %until,
                                "the CRM's request limit is reached; such requests wait");
                        }
                        return Err(Stop::Throttled { until });
                    }
                    return Err(Stop::Refused { failure, safety, status });
                }
            }
        }
        let failure = Failure::new(Kind::Malformed, Retry::Backoff).because("the CRM's paging does not end");
        Err(Stop::Refused { failure, safety: Safety::Read, status: 200 })
    }

    /// Waits for the quota; not for long, so that what waits can still be overtaken by later facts of its call.
    async fn wait_for_token(&self, label: &'static str) -> Result<(), Stop> {
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
        let began = Timestamp::now();
        loop {
            if self.stopping.is_cancelled() {
                return Err(Stop::Stopping);
            }
            let now = Timestamp::now();
            let taken = self.quotas().take(label, now);
            let Err(ready) = taken else { return Ok(()) };
            if ready > began + PATIENCE {
                return Err(Stop::Throttled { until: ready });
            }
            let wait = std::time::Duration::try_from(ready.duration_since(now)).unwrap_or_default();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stopping.cancelled() => return Err(Stop::Stopping),
            }
        }
    }

    fn count(&self, label: &'static str, status: u16) {
        let labels = ExchangeLabels { connector: self.connector.manifest().id, label, status };
        self.metrics.exchanges.get_or_create(&labels).inc();
    }
}

/// Masks numbers and cuts.
fn clip(text: &str) -> String {
    let masked = mask::text(text);
    match masked.char_indices().nth(ERROR_CHARS) {
        Some((at, _)) => format!("{}…", &masked[..at]),
        None => masked,
    }
}
