//! A websocket of which we are the client, driven by polling, so that a session that is busy elsewhere holds up
//! nothing. Dropping it ends it.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use bytestring::ByteString;
use futures_util::{Sink, Stream};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use patchbay_voice::Limits;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::{
    self,
    client::IntoClientRequest,
    error::{Error, ProtocolError},
    handshake::client::Request,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use url::{Host, Url};

use super::Message;
use crate::{directory::Bot, voice::websocket::WebSocket};

/// Frames that may wait here; what comes beyond stays where what is too old is dropped.
const ROOM: usize = 8;

trait Wire: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Wire for T {}

type Open = WebSocket<Box<dyn Wire>>;
type Opening = Pin<Box<dyn Future<Output = Result<Open, String>>>>;

enum State {
    Opening(Opening),
    Open(Box<Open>),
    Gone,
}

/// What came of it.
pub(super) enum Came {
    /// There is room for more.
    Room,
    Frame(Message),
    Closed,
    /// In words, without the address: a credential may stand in it.
    Failed(Failure),
}

/// How a connection was lost.
pub(super) struct Failure {
    /// It was closed with.
    pub(super) code: Option<u16>,
    pub(super) why: String,
    /// The far side's own words. They are shown to nobody: anything could stand in them.
    pub(super) said: String,
}

pub(super) struct Socket {
    state: State,
    waiting: VecDeque<tungstenite::Message>,
    /// Something was written that may not have gone out.
    unsent: bool,
    limit: usize,
}

/// How a bot's backend is reached, as often as it must be.
pub(super) struct Reach {
    url: Url,
    headers: HeaderMap,
    tls: Arc<rustls::ClientConfig>,
    patience: Duration,
    limit: usize,
}

/// Credentials stand in it.
impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reach({} headers)", self.headers.len())
    }
}

impl Reach {
    /// Where the bot's backend is, with its headers. Its key goes as Exotel would send it: `key:token` as Basic; what
    /// has no colon as a Bearer token.
    ///
    /// # Errors
    /// Why that cannot be, in words.
    pub(super) fn of(bot: &Bot, tls: Arc<rustls::ClientConfig>, patience: Duration) -> Result<Self, String> {
        Self::with_credential(bot, tls, patience, |key| {
            let value = match key.contains(':') {
                true => format!("Basic {}", STANDARD.encode(key)),
                false => format!("Bearer {key}"),
            };
            ("authorization", value)
        })
    }

    /// The same, where the key goes as `credential` says. The bot's own headers win over it.
    ///
    /// # Errors
    /// Why that cannot be, in words.
    pub(super) fn with_credential(
        bot: &Bot,
        tls: Arc<rustls::ClientConfig>,
        patience: Duration,
        credential: impl FnOnce(&str) -> (&'static str, String),
    ) -> Result<Self, String> {
        let url = bot.url().and_then(|address| Url::parse(address).ok()).ok_or("its address is none")?;
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("patchbay/", env!("CARGO_PKG_VERSION"))));
        if let Some((name, value)) = bot.api_key().map(credential) {
            let value = HeaderValue::try_from(value).map_err(|_| "its key is none")?;
            headers.insert(HeaderName::from_static(name), value);
        }
        for (name, value) in bot.headers() {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
        Ok(Self { url, headers, tls, patience, limit: Limits::DEFAULT.frame_bytes })
    }

    /// What a message of its may have at most, in bytes.
    #[must_use]
    pub(super) fn limit(self, bytes: usize) -> Self {
        Self { limit: bytes, ..self }
    }

    /// How long what a connection begins with may take.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// A connection, which begins to be made when it is polled.
    pub(super) fn connect(&self) -> Socket {
        self.connect_after(Duration::ZERO)
    }

    /// The same, not at once.
    pub(super) fn connect_after(&self, wait: Duration) -> Socket {
        let Self { url, headers, tls, patience, limit } = self;
        let (url, headers, tls, patience, limit) = (url.clone(), headers.clone(), Arc::clone(tls), *patience, *limit);
        let opening = async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            let mut request = url.as_str().into_client_request().map_err(|_| "its address is none".to_owned())?;
            request.headers_mut().extend(headers);
            let connected = tokio::time::timeout(patience, connect(url, request, tls, limit)).await;
            connected.unwrap_or_else(|_| Err("did not answer the handshake in time".to_owned()))
        };
        Socket { state: State::Opening(Box::pin(opening)), waiting: VecDeque::new(), unsent: false, limit }
    }
}

impl Socket {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    pub(super) fn has_room(&self) -> bool {
        self.is_open() && self.waiting.len() < ROOM
    }

    pub(super) fn send(&mut self, frame: Message) {
        self.waiting.push_back(frame.into());
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Came> {
        let came = match &mut self.state {
            State::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                Ok(open) => {
                    self.state = State::Open(Box::new(open));
                    return Poll::Ready(Came::Room);
                }
                Err(why) => Came::Failed(Failure { code: None, why, said: String::new() }),
            },
            State::Open(_) => ready!(self.poll_open(cx)),
            State::Gone => return Poll::Pending,
        };
        if matches!(came, Came::Closed | Came::Failed(..)) {
            self.state = State::Gone;
        }
        Poll::Ready(came)
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Came> {
        let full = self.waiting.len() >= ROOM;
        match self.poll_send(cx) {
            Poll::Ready(Err(error)) => return Poll::Ready(ended(&error, self.limit)),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        if full && self.has_room() {
            return Poll::Ready(Came::Room);
        }
        loop {
            let State::Open(open) = &mut self.state else { return Poll::Pending };
            return Poll::Ready(match ready!(Pin::new(&mut **open).poll_next(cx)) {
                Some(Ok(tungstenite::Message::Text(text))) => match ByteString::try_from(Bytes::from(text)) {
                    Ok(text) => Came::Frame(Message::Text(text)),
                    Err(_) => continue,
                },
                Some(Ok(tungstenite::Message::Binary(bytes))) => Came::Frame(Message::Binary(bytes)),
                Some(Ok(tungstenite::Message::Close(said))) => closed(said),
                // Pings are answered below us, with what goes out next.
                Some(Ok(_)) => {
                    self.unsent = true;
                    match self.poll_send(cx) {
                        Poll::Ready(Err(error)) => ended(&error, self.limit),
                        Poll::Ready(Ok(())) | Poll::Pending => continue,
                    }
                }
                Some(Err(error)) => ended(&error, self.limit),
                None => Came::Closed,
            });
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let State::Open(open) = &mut self.state else { return Poll::Ready(Ok(())) };
        let mut open = Pin::new(&mut **open);
        while !self.waiting.is_empty() {
            ready!(open.as_mut().poll_ready(cx))?;
            if let Some(frame) = self.waiting.pop_front() {
                open.as_mut().start_send(frame)?;
                self.unsent = true;
            }
        }
        if self.unsent {
            ready!(open.as_mut().poll_flush(cx))?;
            self.unsent = false;
        }
        Poll::Ready(Ok(()))
    }

    /// What waits goes out, then the close.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sent = ready!(self.poll_send(cx));
        if let (Ok(()), State::Open(open)) = (sent, &mut self.state) {
            let _ = ready!(Pin::new(&mut **open).poll_close(cx));
        }
        self.state = State::Gone;
        Poll::Ready(())
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({} waiting)", self.waiting.len())
    }
}

async fn connect(url: Url, request: Request, tls: Arc<rustls::ClientConfig>, limit: usize) -> Result<Open, String> {
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => ip.to_string(),
        None => return Err("its address is none".to_owned()),
    };
    let port = url.port_or_known_default().unwrap_or(443);
    let lost = |error: std::io::Error| format!("cannot be reached: {error}");
    let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(lost)?;
    // A frame is due when it is there.
    tcp.set_nodelay(true).map_err(lost)?;
    let wire: Box<dyn Wire> = if url.scheme() == "wss" {
        let name = ServerName::try_from(host).map_err(|_| "its address is none".to_owned())?;
        Box::new(TlsConnector::from(tls).connect(name, tcp).await.map_err(lost)?)
    } else {
        Box::new(tcp)
    };
    WebSocket::connect(wire, request, limit).await.map_err(|error| why(&error, limit))
}

fn closed(said: Option<CloseFrame>) -> Came {
    match said {
        None => Came::Closed,
        Some(said) if matches!(said.code, CloseCode::Normal | CloseCode::Away | CloseCode::Status) => Came::Closed,
        Some(said) => {
            let code = u16::from(said.code);
            let why = format!("closed the connection with code {code}");
            Came::Failed(Failure { code: Some(code), why, said: said.reason.to_string() })
        }
    }
}

fn ended(error: &Error, limit: usize) -> Came {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => Came::Closed,
        error => Came::Failed(Failure { code: None, why: why(error, limit), said: String::new() }),
    }
}

/// In words. None of them are the far side's own, which could hold anything.
fn why(error: &Error, limit: usize) -> String {
    match error {
        Error::Http(answer) => format!("answered the handshake with {}", answer.status().as_u16()),
        Error::Io(error) => format!("the connection was lost: {}", error.kind()),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => "broke the connection off".to_owned(),
        Error::Capacity(_) => format!("sent a message of more than {limit} bytes"),
        Error::Protocol(error) => format!("does not keep to the protocol: {error}"),
        _ => "the connection failed".to_owned(),
    }
}
