//! The one loop that performs exchanges: quota, credentials, transport, the connector's reading of the reply, trace.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use patchbay_kit::{Base, Connector, Exchange, Failure, Kind, RecordRef, Request, Retry, Safety, Step, mask};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::quota::Quotas;
use crate::{
    codes::Code,
    connect::{
        oauth::{Grant, Keeper, TokenError},
        transport::{Credentials, Limits, Lost, Transport},
    },
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
    /// Several contacts have the caller's number, and a person is to choose.
    Several { candidates: Vec<RecordRef> },
    /// The service is stopping.
    Stopping,
    /// Any of these, after an earlier request of the same chain had created something: it is looked for before it is
    /// created again.
    AfterCreation(Box<Stop>),
}

impl Stop {
    pub fn code(&self) -> Code {
        match self {
            Self::Refused { failure, .. } => failure.kind.into(),
            Self::Lost { .. } => Code::CrmNoAnswer,
            Self::Throttled { .. } => Code::CrmRateLimited,
            Self::Several { .. } => Code::SeveralContacts,
            Self::Stopping => Code::ServiceStopping,
            Self::AfterCreation(stop) => stop.code(),
        }
    }

    /// In words, for a person who asked; the code stands before them.
    pub fn told(&self) -> String {
        match self {
            Self::Refused { failure, .. } => failure.to_string(),
            Self::Lost { reason, .. } => format!("{}: {reason}", self.code()),
            Self::Throttled { until } => format!("{}: the CRM takes no more requests until {until}", self.code()),
            Self::Several { candidates } => {
                let listed: Vec<String> = candidates.iter().map(ToString::to_string).collect();
                format!(
                    "{}: {} contacts have this number: {}. Choose one (POST …/calls/{{call_sid}}/contact)",
                    self.code(),
                    listed.len(),
                    listed.join(", ")
                )
            }
            Self::Stopping => format!("{}: the service is stopping", self.code()),
            Self::AfterCreation(stop) => stop.told(),
        }
    }
}

/// As whom requests are made.
#[derive(Debug)]
pub enum Access {
    Fixed(Credentials),
    /// By an access token, behind the manifest's prefix.
    Tokens(&'static str, Arc<Keeper>),
}

/// What a driver is made of.
#[derive(Debug)]
pub struct DriverParts {
    pub connector: Arc<dyn Connector>,
    pub transport: Transport,
    /// `None`: the token answer says it, or there are only capability URLs.
    pub origin: Option<Url>,
    pub access: Access,
    /// By setting.
    pub capabilities: BTreeMap<String, SecretString>,
    pub limits: Limits,
    /// The longest wait after "too many requests".
    pub limit_wait: Duration,
    pub metrics: Arc<Metrics>,
    pub stopping: CancellationToken,
    pub quotas: Quotas,
}

/// What performs exchanges for one integration.
#[derive(Debug)]
pub struct Driver {
    pub connector: Arc<dyn Connector>,
    pub stopping: CancellationToken,
    pub access: Access,
    transport: Transport,
    origin: Option<Url>,
    capabilities: BTreeMap<String, SecretString>,
    limits: Limits,
    limit_wait: Duration,
    metrics: Arc<Metrics>,
    quotas: Mutex<Quotas>,
}

/// Where one request goes and as whom.
struct Target {
    base: Url,
    credentials: Credentials,
    /// The token among the credentials.
    grant: Option<Arc<Grant>>,
}

impl Driver {
    pub fn new(parts: DriverParts) -> Self {
        let DriverParts {
            connector,
            transport,
            origin,
            access,
            capabilities,
            limits,
            limit_wait,
            metrics,
            stopping,
            quotas,
        } = parts;
        let quotas = Mutex::new(quotas);
        Self { connector, stopping, access, transport, origin, capabilities, limits, limit_wait, metrics, quotas }
    }

    /// The CRM's host, as far as it is known before the first token.
    pub fn host(&self) -> &str {
        self.origin.as_ref().and_then(Url::host_str).unwrap_or("its own address")
    }

    async fn target(&self, request: &Request) -> Result<Target, Stop> {
        if let Base::Secret(setting) = request.base {
            let url = self.capabilities.get(setting).and_then(|url| Url::parse(url.expose_secret()).ok());
            let base = url.ok_or_else(|| unset(&format!("{setting} is not set")))?;
            return Ok(Target { base, credentials: Credentials::none(), grant: None });
        }
        let (credentials, grant) = match &self.access {
            Access::Fixed(credentials) => (credentials.clone(), None),
            Access::Tokens(prefix, keeper) => {
                let grant = keeper.token().await.map_err(|error| self.no_token(error))?;
                (Credentials::token(prefix, &grant.access), Some(grant))
            }
        };
        let said = grant.as_ref().and_then(|grant| grant.origin.clone());
        let base = self.origin.clone().or(said);
        let base = base.ok_or_else(|| unset("the CRM's address is not known: its token answer does not say it"))?;
        Ok(Target { base, credentials, grant })
    }

    pub fn quotas(&self) -> MutexGuard<'_, Quotas> {
        self.quotas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Performs a chain of exchanges to its end, writing each into `trace`.
    ///
    /// # Errors
    /// [`Stop`], with what may follow from it.
    pub async fn run<T>(&self, exchange: Exchange<T>, trace: &mut Vec<ExchangeLog>) -> Result<T, Stop> {
        let mut created = false;
        let ended = self.follow(exchange, trace, &mut created).await;
        ended.map_err(|stop| if created { Stop::AfterCreation(Box::new(stop)) } else { stop })
    }

    async fn follow<T>(
        &self,
        mut exchange: Exchange<T>,
        trace: &mut Vec<ExchangeLog>,
        created: &mut bool,
    ) -> Result<T, Stop> {
        let mut renewed = false;
        for _ in 0..CHAIN {
            let label = exchange.request.label;
            let safety = exchange.request.safety;
            let target = self.target(&exchange.request).await?;
            self.wait_for_quota(label).await?;
            if safety == Safety::Creates {
                crash::point("delivery.before_send");
            }
            let began = Instant::now();
            let sent = self.transport.send(&target.base, &target.credentials, &exchange.request, self.limits).await;
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
                        Step::Then(next) => {
                            *created |= safety == Safety::Creates;
                            exchange = next;
                        }
                    }
                }
                Err(mut failure) => {
                    failure.detail = clip(&failure.detail);
                    log.error = clip(&failure.to_string());
                    trace.push(log);
                    // A token that died before its time was refused before anything was carried out: once with another.
                    if failure.retry == Retry::AfterRefresh
                        && !renewed
                        && let (Access::Tokens(_, keeper), Some(grant)) = (&self.access, &target.grant)
                    {
                        renewed = true;
                        keeper.renew(Some(grant)).await.map_err(|error| self.no_token(error))?;
                        continue;
                    }
                    if failure.kind == Kind::RateLimited {
                        let wait = match failure.retry {
                            Retry::After(wait) => wait,
                            _ => Duration::from_secs(60),
                        };
                        let until = now + wait.min(self.limit_wait);
                        if self.quotas().pause(label, until, seen, now) {
                            tracing::info!(
                                code = %Code::CrmRateLimited, connector = self.connector.manifest().id, label, %until,
                                "the CRM takes no more such requests until then; they wait"
                            );
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
    async fn wait_for_quota(&self, label: &'static str) -> Result<(), Stop> {
        const PATIENCE: Duration = Duration::from_secs(5);
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
            let wait = Duration::try_from(ready.duration_since(now)).unwrap_or_default();
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stopping.cancelled() => return Err(Stop::Stopping),
            }
        }
    }

    /// What follows from there being no token: a person must connect, or the token server is asked again later.
    fn no_token(&self, error: TokenError) -> Stop {
        match error {
            TokenError::NotConnected(_) | TokenError::Refused { .. } => {
                let failure = Failure::new(Kind::Unauthorized, Retry::Never).because(&error);
                Stop::Refused { failure, safety: Safety::Read, status: 401 }
            }
            TokenError::Busy { until } => Stop::Throttled { until: until.min(Timestamp::now() + self.limit_wait) },
            // Nothing was sent to the CRM itself.
            TokenError::Unreachable { reason } => {
                Stop::Lost { sent: false, safety: Safety::Read, reason: clip(&reason) }
            }
        }
    }

    fn count(&self, label: &'static str, status: u16) {
        let labels = ExchangeLabels { connector: self.connector.manifest().id, label, status };
        self.metrics.exchanges.get_or_create(&labels).inc();
    }
}

fn unset(what: &str) -> Stop {
    let failure = Failure::new(Kind::Unsupported, Retry::Never).because(what);
    Stop::Refused { failure, safety: Safety::Read, status: 0 }
}

/// Masks numbers and cuts.
fn clip(text: &str) -> String {
    let masked = mask::text(text);
    match masked.char_indices().nth(ERROR_CHARS) {
        Some((at, _)) => format!("{}…", &masked[..at]),
        None => masked,
    }
}
