//! One HTTP/1.1 server for every sandbox, and the place where faults happen to requests.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::{Instant, Sleep},
};

use crate::{Fault, Faults, Reply, Request, Sandbox};

/// Freshdesk's own bound, 20 MB of attachments, is the largest of the services played here.
const BODY_BYTES_MAX: usize = 20 * 1024 * 1024;
/// How many requests the journal remembers.
const JOURNAL_LEN: usize = 4096;
/// In how many pieces a [`Fault::Slow`] answer comes.
const TRICKLE_PIECES: u32 = 8;

/// One request as the journal remembers it: what was asked and how it went, never headers or bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub at: Timestamp,
    pub method: Method,
    /// The path as it came, still encoded, without the query.
    pub path: String,
    /// The status given; none where no answer was, or has yet been, given.
    pub status: Option<u16>,
    /// What was made to go wrong with it.
    pub fault: Option<Fault>,
}

/// A sandbox on a socket. Dropping it closes it.
pub struct Server<S> {
    addr: SocketAddr,
    shared: Arc<Shared<S>>,
    accepting: JoinHandle<()>,
}

struct Shared<S> {
    sandbox: Mutex<S>,
    faults: Mutex<Faults>,
    journal: Mutex<Journal>,
    /// Requests that are carried out whether or not their client still waits ([`Fault::LateCommit`]).
    late: Mutex<JoinSet<()>>,
}

impl<S> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl<S: Sandbox> Server<S> {
    /// Listens on `addr` (port 0 picks one) and serves from the current tokio runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(addr: SocketAddr, sandbox: S, faults: Faults) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            sandbox: Mutex::new(sandbox),
            faults: Mutex::new(faults),
            journal: Mutex::new(Journal::default()),
            late: Mutex::new(JoinSet::new()),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { addr, shared, accepting })
    }

    /// Looks at, or alters, the sandbox between two requests.
    pub fn with<T>(&self, look: impl FnOnce(&mut S) -> T) -> T {
        look(&mut lock(&self.shared.sandbox))
    }
}

impl<S> Server<S> {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it listens, as the beginning of a URL: `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The faults in force, to be changed. No request is judged while the guard is held.
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.shared.faults)
    }

    /// What came, oldest first, as far as the journal reaches back.
    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.shared.journal).seen.iter().cloned().collect()
    }

    /// How many requests came, also those the journal has forgotten.
    pub fn request_count(&self) -> u64 {
        let journal = lock(&self.shared.journal);
        journal.forgotten + journal.seen.len() as u64
    }

    /// Closes the port and every connection, and returns when both are closed.
    pub async fn stop(mut self) {
        self.close();
        // A cancelled task is what was asked for; nothing else can come of it.
        let _ = (&mut self.accepting).await;
    }

    fn close(&self) {
        self.accepting.abort();
        lock(&self.shared.late).abort_all();
    }
}

impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        self.close();
    }
}

/// The lock, also after a panic of a holder: a test that failed elsewhere should not fail here too.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Journal {
    seen: VecDeque<Seen>,
    forgotten: u64,
}

impl Journal {
    fn note(&mut self, seen: Seen) -> u64 {
        if self.seen.len() == JOURNAL_LEN {
            self.seen.pop_front();
            self.forgotten += 1;
        }
        self.seen.push_back(seen);
        self.forgotten + self.seen.len() as u64 - 1
    }

    fn settle(&mut self, number: u64, status: StatusCode) {
        let entry = number.checked_sub(self.forgotten).and_then(|at| self.seen.get_mut(usize::try_from(at).ok()?));
        if let Some(seen) = entry {
            seen.status = Some(status.as_u16());
        }
    }
}

async fn accept<S: Sandbox>(listener: TcpListener, shared: Arc<Shared<S>>) {
    // The connections live in this task, so that ending it ends them.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
                // Out of file descriptors, mostly; asking again at once would only burn the CPU.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve<S: Sandbox>(stream: TcpStream, shared: Arc<Shared<S>>) {
    // Replies are written in one piece; waiting for more would add 40 ms to each.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|incoming| answer(Arc::clone(&shared), incoming));
    // An error here is a client that went away or a fault that was ordered; the journal has both.
    // No timer is given to hyper: it would close a connection that is idle for half a minute under a pooling client.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Why a service call ends without an answer: hyper then drops the connection.
#[derive(Debug)]
struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is dropped")
    }
}

impl std::error::Error for Dropped {}

async fn answer<S: Sandbox>(
    shared: Arc<Shared<S>>,
    incoming: hyper::Request<Incoming>,
) -> Result<hyper::Response<Payload>, Dropped> {
    let (parts, body) = incoming.into_parts();
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => Some(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => None,
        Err(_) => return Err(Dropped),
    };
    let oversized = body.is_none();
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let request = Request::parse(parts.method, target, parts.headers, body.unwrap_or_default());
    let fault = if oversized { None } else { lock(&shared.faults).take(&request) };
    let number = lock(&shared.journal).note(Seen {
        at: Timestamp::now(),
        method: request.method.clone(),
        path: parts.uri.path().to_owned(),
        status: None,
        fault,
    });

    let mut over = None;
    let reply = if oversized {
        lock(&shared.sandbox).refuse(&request, StatusCode::PAYLOAD_TOO_LARGE, None)
    } else {
        match fault {
            None => shared.carry_out(&request),
            Some(Fault::Status(status)) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                lock(&shared.sandbox).refuse(&request, status, None)
            }
            Some(Fault::RateLimited { retry_after_s }) => {
                lock(&shared.sandbox).refuse(&request, StatusCode::TOO_MANY_REQUESTS, Some(retry_after_s))
            }
            Some(Fault::ResetBefore) => return Err(Dropped),
            Some(Fault::ResetAfter) => {
                shared.carry_out(&request);
                return Err(Dropped);
            }
            Some(Fault::StallAfter(pause)) => {
                let reply = shared.carry_out(&request);
                tokio::time::sleep(pause).await;
                reply
            }
            Some(Fault::LateCommit(pause)) => shared.carry_out_late(request, pause).await.ok_or(Dropped)?,
            Some(Fault::BlackHole) => std::future::pending().await,
            Some(Fault::Slow(pause)) => {
                over = Some(pause);
                shared.carry_out(&request)
            }
            Some(Fault::Garbage) => Reply::of(
                StatusCode::OK,
                "text/html; charset=utf-8",
                "<!DOCTYPE html><html><body><h1>We will be back soon</h1></body></html>",
            ),
        }
    };
    lock(&shared.journal).settle(number, reply.status);

    let mut response = hyper::Response::new(Payload::new(reply.body, over));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    Ok(response)
}

impl<S: Sandbox> Shared<S> {
    fn carry_out(&self, request: &Request) -> Reply {
        lock(&self.sandbox).handle(request, Timestamp::now())
    }

    /// Carries it out in a task of its own: hyper drops the service call of a client that went away.
    async fn carry_out_late(self: &Arc<Self>, request: Request, pause: Duration) -> Option<Reply> {
        let (send, receive) = tokio::sync::oneshot::channel();
        let shared = Arc::clone(self);
        {
            let mut late = lock(&self.late);
            while late.try_join_next().is_some() {}
            late.spawn(async move {
                tokio::time::sleep(pause).await;
                // Nobody may be listening any more; that is the point of this fault.
                let _ = send.send(shared.carry_out(&request));
            });
        }
        receive.await.ok()
    }
}

/// A body that is there at once, or comes piece by piece.
struct Payload {
    rest: Bytes,
    trickle: Option<Trickle>,
}

struct Trickle {
    piece_bytes: usize,
    every: Duration,
    pause: Pin<Box<Sleep>>,
}

impl Payload {
    fn new(body: Bytes, over: Option<Duration>) -> Self {
        let trickle = over.map(|over| {
            let every = over / TRICKLE_PIECES;
            let piece_bytes = body.len().div_ceil(TRICKLE_PIECES as usize).max(1);
            Trickle { piece_bytes, every, pause: Box::pin(tokio::time::sleep(every)) }
        });
        Self { rest: body, trickle }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = match &mut this.trickle {
            None => std::mem::take(&mut this.rest),
            Some(trickle) => {
                std::task::ready!(trickle.pause.as_mut().poll(context));
                trickle.pause.as_mut().reset(Instant::now() + trickle.every);
                this.rest.split_to(trickle.piece_bytes.min(this.rest.len()))
            }
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
