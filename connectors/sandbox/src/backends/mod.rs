//! Stand-ins of the services that speak with callers: what each of them wants of a client over its websocket, and what it
//! says back. One server for all of them; each connection is a [`Session`], a pure state machine that is told what came.
//!
//! What a client does wrong is written down, and dropping the [`Stage`] panics if anything was: a test cannot pass by it.

pub mod deepgram;
pub mod ear;
pub mod elevenlabs;
mod g711;
pub mod gemini;
pub mod openai;
pub mod sound;

use std::{
    collections::VecDeque,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        self,
        handshake::server,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// How long anything may take before it does not happen. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A message of a websocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Text(String),
    Binary(Vec<u8>),
}

impl Message {
    pub fn json(value: &Value) -> Self {
        Self::Text(value.to_string())
    }
}

/// What a client asks for before it says anything.
#[derive(Clone)]
pub struct Handshake {
    pub path: String,
    /// Still encoded.
    pub query: String,
    pub headers: HeaderMap,
}

impl Handshake {
    /// A value of the query, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Credentials stand in it.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("path", &self.path).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Act {
    Send(Message),
    /// With words.
    Close(u16, String),
    /// The connection is dropped without a close.
    Drop,
}

/// What a service still says: in order, each so long after the one before it.
#[derive(Debug, Default)]
pub struct Script(VecDeque<(Duration, u64, Act)>);

impl Script {
    pub fn send(&mut self, message: Message) {
        self.send_later(Duration::ZERO, 0, message);
    }

    pub fn json(&mut self, value: &Value) {
        self.send(Message::json(value));
    }

    /// So long after what stands before it. What is not sent by then can be taken back by its tag.
    pub fn send_later(&mut self, wait: Duration, tag: u64, message: Message) {
        self.0.push_back((wait, tag, Act::Send(message)));
    }

    /// What was to be sent under this tag is not sent. Says how many messages that are.
    pub fn take_back(&mut self, tag: u64) -> usize {
        let before = self.0.len();
        self.0.retain(|(_, of, _)| *of != tag);
        before - self.0.len()
    }

    /// How many messages of this tag have not been sent yet.
    pub fn waiting(&self, tag: u64) -> usize {
        self.0.iter().filter(|(_, of, _)| *of == tag).count()
    }

    /// After all that.
    pub fn close(&mut self, code: u16) {
        self.close_saying(code, "");
    }

    /// The same, with words of why.
    pub fn close_saying(&mut self, code: u16, why: &str) {
        self.0.push_back((Duration::ZERO, 0, Act::Close(code, why.to_owned())));
    }

    /// The same, as when a machine dies.
    pub fn drop_connection(&mut self) {
        self.0.push_back((Duration::ZERO, 0, Act::Drop));
    }
}

/// What every session has.
#[derive(Debug, Default)]
pub struct Side {
    pub script: Script,
    /// What the client has done wrong.
    pub wrong: Vec<String>,
    /// With which code the client closed; 1006 if it broke off.
    pub closed: Option<u16>,
}

impl Side {
    pub fn wrong(&mut self, what: impl Into<String>) {
        self.wrong.push(what.into());
    }
}

/// One connection with a service.
pub trait Session: Send + 'static {
    fn side(&mut self) -> &mut Side;

    /// The handshake is done.
    fn opened(&mut self) {}

    fn came(&mut self, message: &Message);
}

/// Decides about a handshake: a session, or the status it is refused with.
type Door<S> = Box<dyn Fn(&Handshake) -> Result<S, StatusCode> + Send + Sync>;

struct Call<S> {
    session: Mutex<S>,
    /// There is something to send.
    more: Notify,
}

struct Shared<S> {
    door: Door<S>,
    calls: Mutex<Vec<Arc<Call<S>>>>,
    refused: Mutex<Vec<StatusCode>>,
    /// Something has happened on some connection.
    news: Notify,
}

/// A service on a socket. Dropping it closes it, and panics if a client did something wrong.
pub struct Stage<S: Session> {
    addr: SocketAddr,
    shared: Arc<Shared<S>>,
    accepting: JoinHandle<()>,
}

impl<S: Session> fmt::Debug for Stage<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl<S: Session> Stage<S> {
    /// Listens on a port of its own and serves from the current tokio runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(door: impl Fn(&Handshake) -> Result<S, StatusCode> + Send + Sync + 'static) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            door: Box::new(door),
            calls: Mutex::default(),
            refused: Mutex::default(),
            news: Notify::new(),
        });
        let accepting = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                let mut open = tokio::task::JoinSet::new();
                while let Ok((tcp, _)) = listener.accept().await {
                    open.spawn(serve(tcp, Arc::clone(&shared)));
                }
            }
        });
        Ok(Self { addr, shared, accepting })
    }

    /// `ws://127.0.0.1:…`, without a path.
    pub fn url(&self) -> String {
        format!("ws://{}", self.addr)
    }

    /// How many connections there were.
    pub fn count(&self) -> usize {
        lock(&self.shared.calls).len()
    }

    /// What handshakes were refused with.
    pub fn refused(&self) -> Vec<StatusCode> {
        lock(&self.shared.refused).clone()
    }

    /// Does something with one connection, the first is 0: looks at it, or has the service say something.
    ///
    /// # Panics
    /// If there was none yet.
    pub fn with<T>(&self, nth: usize, act: impl FnOnce(&mut S) -> T) -> T {
        let call = lock(&self.shared.calls).get(nth).cloned();
        call.map(|call| call.with(act)).expect("a connection")
    }

    /// Looks at one connection, which may have to come first, until there is something.
    ///
    /// # Panics
    /// When it does not come about.
    pub async fn until<T>(&self, nth: usize, what: &str, mut look: impl FnMut(&mut S) -> Option<T>) -> T {
        let found = async {
            loop {
                let news = self.shared.news.notified();
                let call = lock(&self.shared.calls).get(nth).cloned();
                if let Some(found) = call.and_then(|call| call.with(&mut look)) {
                    return found;
                }
                // Between looking and waiting it may have happened; a look now and then costs nothing.
                let _ = timeout(Duration::from_millis(100), news).await;
            }
        };
        match timeout(PATIENCE, found).await {
            Ok(found) => found,
            Err(_) => panic!("{what}: has not come about; what was wrong: {:?}", self.wrong()),
        }
    }

    /// What clients have done wrong, on any connection.
    pub fn wrong(&self) -> Vec<String> {
        let calls = lock(&self.shared.calls).clone();
        calls.iter().flat_map(|call| lock(&call.session).side().wrong.clone()).collect()
    }
}

impl<S: Session> Drop for Stage<S> {
    fn drop(&mut self) {
        self.accepting.abort();
        let wrong = self.wrong();
        if !std::thread::panicking() {
            assert!(wrong.is_empty(), "the client did what the service does not take: {wrong:#?}");
        }
    }
}

impl<S: Session> Call<S> {
    fn with<T>(&self, act: impl FnOnce(&mut S) -> T) -> T {
        let done = act(&mut lock(&self.session));
        self.more.notify_one();
        done
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve<S: Session>(tcp: TcpStream, shared: Arc<Shared<S>>) {
    let mut made = None;
    #[allow(clippy::result_large_err, reason = "the refusal is the library's own type")]
    let handshake = accept_hdr_async(tcp, |request: &server::Request, answer: server::Response| {
        let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
        match (shared.door)(&Handshake { path, query, headers: request.headers().clone() }) {
            Ok(session) => {
                made = Some(session);
                Ok(answer)
            }
            Err(status) => {
                lock(&shared.refused).push(status);
                let mut refusal = server::ErrorResponse::new(None);
                *refusal.status_mut() = status;
                Err(refusal)
            }
        }
    });
    let (Ok(ws), Some(mut session)) = (handshake.await, made) else { return };
    session.opened();
    let call = Arc::new(Call { session: Mutex::new(session), more: Notify::new() });
    lock(&shared.calls).push(Arc::clone(&call));
    let code = talk(ws, &call, &shared.news).await;
    lock(&call.session).side().closed.get_or_insert(code);
    shared.news.notify_waiters();
}

/// Until either side ends it. Says how the client did.
async fn talk<S: Session>(mut ws: WebSocketStream<TcpStream>, call: &Call<S>, news: &Notify) -> u16 {
    let (mut said_at, mut quiet) = (Instant::now(), true);
    loop {
        news.notify_waiters();
        let next = lock(&call.session).side().script.0.front().map(|(wait, ..)| *wait);
        if quiet && next.is_some() {
            // What is said after a pause waits from now.
            said_at = Instant::now();
        }
        quiet = next.is_none();
        let due = async {
            match next {
                Some(wait) => tokio::time::sleep_until(said_at + wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            came = ws.next() => match came {
                Some(Ok(tungstenite::Message::Text(text))) => {
                    lock(&call.session).came(&Message::Text(text.to_string()));
                }
                Some(Ok(tungstenite::Message::Binary(bytes))) => {
                    lock(&call.session).came(&Message::Binary(bytes.to_vec()));
                }
                Some(Ok(tungstenite::Message::Close(said))) => {
                    // Driven on, so that the close is answered.
                    while let Some(Ok(_)) = ws.next().await {}
                    return said.map_or(1005, |said| said.code.into());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return 1006,
            },
            () = call.more.notified() => {}
            () = due => {
                let Some((_, _, act)) = lock(&call.session).side().script.0.pop_front() else { continue };
                said_at = Instant::now();
                let sent = match act {
                    Act::Send(Message::Text(text)) => ws.send(tungstenite::Message::text(text)).await,
                    Act::Send(Message::Binary(bytes)) => ws.send(tungstenite::Message::binary(bytes)).await,
                    Act::Close(code, why) => {
                        let frame = CloseFrame { code: CloseCode::from(code), reason: why.into() };
                        ws.close(Some(frame)).await
                    }
                    Act::Drop => return 1006,
                };
                if sent.is_err() {
                    return 1006;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::client_async;

    use super::*;

    /// Says everything back, and does not like "bad".
    #[derive(Default)]
    struct Parrot(Side);

    impl Session for Parrot {
        fn side(&mut self) -> &mut Side {
            &mut self.0
        }

        fn opened(&mut self) {
            self.0.script.send(Message::Text("hello".to_owned()));
        }

        fn came(&mut self, message: &Message) {
            if *message == Message::Text("bad".to_owned()) {
                self.0.wrong("bad");
            }
            self.0.script.send(message.clone());
        }
    }

    fn stage() -> Stage<Parrot> {
        let door = |asked: &Handshake| match asked.query("key").as_deref() {
            Some("right one") => Ok(Parrot::default()),
            _ => Err(StatusCode::UNAUTHORIZED),
        };
        Stage::start(door).expect("it starts")
    }

    async fn dial(stage: &Stage<Parrot>, target: &str) -> Option<WebSocketStream<TcpStream>> {
        let tcp = TcpStream::connect(stage.addr).await.expect("it listens");
        client_async(format!("{}{target}", stage.url()), tcp).await.ok().map(|(ws, _)| ws)
    }

    async fn hears(ws: &mut WebSocketStream<TcpStream>) -> String {
        ws.next().await.expect("something").expect("a message").to_string()
    }

    #[tokio::test]
    async fn who_may_is_served_and_told_what_the_test_wants_in_order() {
        let stage = stage();
        assert!(dial(&stage, "/x?key=wrong").await.is_none());
        assert_eq!((stage.refused(), stage.count()), (vec![StatusCode::UNAUTHORIZED], 0));
        let mut ws = dial(&stage, "/x?key=right+one").await.expect("a handshake");
        ws.send(tungstenite::Message::text("a")).await.expect("sent");
        assert_eq!((hears(&mut ws).await, hears(&mut ws).await), ("hello".to_owned(), "a".to_owned()));
        stage.with(0, |parrot| {
            let script = &mut parrot.side().script;
            script.send_later(Duration::from_millis(1), 7, Message::Text("b".to_owned()));
            script.send_later(Duration::from_secs(3600), 8, Message::Text("never".to_owned()));
            script.send(Message::Text("c".to_owned()));
            assert_eq!(script.take_back(8), 1);
            script.close(1011);
        });
        assert_eq!((hears(&mut ws).await, hears(&mut ws).await), ("b".to_owned(), "c".to_owned()));
        let Some(Ok(tungstenite::Message::Close(Some(said)))) = ws.next().await else { panic!("a close") };
        assert_eq!(u16::from(said.code), 1011);
        drop(ws);
        stage.until(0, "it ends", |parrot| parrot.side().closed).await;
    }

    #[tokio::test]
    #[should_panic(expected = "the client did what the service does not take")]
    async fn what_a_client_does_wrong_fails_the_test() {
        let stage = stage();
        let mut ws = dial(&stage, "/?key=right+one").await.expect("a handshake");
        ws.send(tungstenite::Message::text("bad")).await.expect("sent");
        stage.until(0, "it is seen", |parrot| parrot.side().wrong.first().cloned()).await;
    }
}
