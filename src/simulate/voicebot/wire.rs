//! The socket below a call: connects as Exotel's client does, and carries out what the session says.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderName, HeaderValue, Request, header};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error, Message,
        handshake::client::generate_key,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};
use url::Url;

use super::{
    hear,
    session::{Act, End, Plan, Record, Session},
    sound::Sound,
};
use crate::connect::transport;

/// Exotel's own (S2).
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A server that takes nothing for so long takes nothing.
const STUCK: Duration = Duration::from_secs(10);
/// Of both ends together; a frame has about 600 bytes, and there may be thousands of calls.
const READ_BUFFER: usize = 4 * 1024;
/// What a careless bot sends at once.
const MESSAGE: usize = 16 << 20;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}
type Socket = WebSocketStream<Box<dyn Stream>>;

/// A header of the handshake beside those that Exotel sends. Its value may be a credential.
#[derive(Clone)]
pub(super) struct Header(HeaderName, HeaderValue);

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ***", self.0)
    }
}

/// # Errors
/// When it is no header.
pub(super) fn header(text: &str) -> Result<Header, String> {
    let pair = text
        .split_once(':')
        .and_then(|(name, value)| Some(Header(name.trim().parse().ok()?, HeaderValue::from_str(value.trim()).ok()?)));
    pair.ok_or_else(|| "write 'Name: value'".to_owned())
}

/// Where the bot is. Its path, query and user may be credentials, so that only the host is ever shown.
#[derive(Clone)]
pub(super) struct Target {
    host: String,
    port: u16,
    tls: Option<Arc<rustls::ClientConfig>>,
    path: String,
    query: Option<String>,
    authorization: Option<String>,
    headers: Vec<Header>,
    handshake: Duration,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Target {
    /// # Errors
    /// When `to` is no address of a WebSocket, or TLS cannot be set up.
    pub(super) fn new(to: &str, headers: Vec<Header>) -> Result<Self, String> {
        // The text is not repeated: a credential may stand in it.
        let wrong = || "--to is not the address of a voicebot; write wss://bot.example.com/path".to_owned();
        let url = Url::parse(to).map_err(|_| wrong())?;
        let tls = match url.scheme() {
            "ws" => None,
            "wss" => Some(Arc::new(transport::tls()?)),
            _ => return Err(wrong()),
        };
        let host = url.host_str().ok_or_else(wrong)?.to_owned();
        let port = url.port().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let authorization = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        });
        let query = url.query().filter(|query| !query.is_empty()).map(str::to_owned);
        let path = url.path().to_owned();
        Ok(Self { host, port, tls, path, query, authorization, headers, handshake: HANDSHAKE })
    }

    #[cfg(test)]
    pub(super) fn patient_for(self, handshake: Duration) -> Self {
        Self { handshake, ..self }
    }

    /// The address without what may be a secret.
    pub(super) fn shown(&self) -> String {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{}:{}/…", self.host, self.port)
    }

    /// What stood in the query: Exotel takes it off and sends it in `start`.
    pub(super) fn parameters(&self) -> Vec<(String, String)> {
        let query = self.query.as_deref().unwrap_or_default();
        let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned();
        pairs.filter(|(key, _)| !is_rate(key)).collect()
    }

    /// The rate that the query asks for, if it does.
    pub(super) fn asked_rate(&self) -> Option<String> {
        let query = self.query.as_deref().unwrap_or_default();
        url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| is_rate(key)).map(|(_, rate)| rate.into_owned())
    }

    pub(super) fn queried(&self) -> bool {
        self.query.is_some()
    }

    fn request(&self, with_query: bool) -> Result<Request<()>, String> {
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        let Self { host, port, path, .. } = self;
        let query = self.query.as_deref().filter(|_| with_query).map(|query| format!("?{query}")).unwrap_or_default();
        let mut request = Request::builder()
            .uri(format!("{scheme}://{host}:{port}{path}{query}"))
            .header(header::HOST, format!("{host}:{port}"))
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, generate_key())
            .header(header::USER_AGENT, "Go-http-client/1.1");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        for Header(name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(()).map_err(|_| "the address cannot stand in a request".to_owned())
    }

    async fn open(&self, with_query: bool) -> Result<Socket, String> {
        let request = self.request(with_query)?;
        let host = self.host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, self.port)).await.map_err(|error| format!("cannot connect: {error}"))?;
        // A frame is not to wait for the next one.
        let _ = stream.set_nodelay(true);
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(|_| "the host is no name".to_owned())?;
                let connector = tokio_rustls::TlsConnector::from(tls.clone());
                Box::new(connector.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?)
            }
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(MESSAGE))
            .max_frame_size(Some(MESSAGE));
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(reply)) => Err(format!("refused with HTTP {}", reply.status().as_u16())),
            Err(error) => Err(format!("no handshake: {error}")),
        }
    }

    /// Makes one call, and says what came of it; an error is why there was none.
    pub(super) async fn call(&self, plan: Plan, sound: Sound, with_query: bool) -> Result<Record, String> {
        let dialled = Instant::now();
        let opened = timeout(self.handshake, self.open(with_query)).await;
        let socket = opened.map_err(|_| format!("no handshake within {} s", self.handshake.as_secs_f64()))??;
        let mut line = Line { socket, dialled, session: Session::new(plan, sound, dialled.elapsed()) };
        line.run().await;
        Ok(line.session.record())
    }
}

fn is_rate(key: &str) -> bool {
    // One page has it with an underscore (D7).
    ["sample-rate", "sample_rate"].contains(&key)
}

struct Line {
    socket: Socket,
    dialled: Instant,
    session: Session,
}

impl Line {
    fn now(&self) -> Duration {
        self.dialled.elapsed()
    }

    async fn run(&mut self) {
        for text in self.session.opening(self.now()) {
            self.send(Message::text(text)).await;
        }
        while !self.session.over() {
            while let Some(act) = self.session.poll(self.now()) {
                let message = match act {
                    Act::Text(text) => Message::text(text),
                    Act::Ping => Message::Ping(Vec::new().into()),
                    Act::Close => Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })),
                };
                self.send(message).await;
            }
            let due = self.session.next_due().map(|due| self.dialled + due);
            tokio::select! {
                heard = self.socket.next() => self.heard(heard),
                () = async { if let Some(due) = due { sleep_until(due).await } }, if due.is_some() => {}
            }
        }
        // A server that closes wants to hear so from us, too; if it does not, it is not waited for.
        let _ = timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }

    async fn send(&mut self, message: Message) {
        let sent = timeout(STUCK, self.socket.send(message)).await;
        match sent {
            Ok(Ok(())) => {}
            // What the server said at the end is still to be read.
            Ok(Err(_)) => {
                let last = timeout(Duration::from_secs(1), self.socket.next()).await;
                self.heard(last.unwrap_or(None));
            }
            Err(_) => self.session.ended(self.now(), End::Stuck),
        }
    }

    fn heard(&mut self, heard: Option<Result<Message, Error>>) {
        let now = self.now();
        let closed = self.session.closed();
        match heard {
            Some(Ok(Message::Text(text))) => {
                let said = hear::read(text.as_bytes(), false, self.session.stream_sid());
                self.session.heard(now, said);
            }
            Some(Ok(Message::Binary(bytes))) => {
                let said = hear::read(&bytes, true, self.session.stream_sid());
                self.session.heard(now, said);
            }
            Some(Ok(Message::Pong(_))) => self.session.ponged(),
            Some(Ok(Message::Ping(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(_))) if closed => self.session.ended(now, End::ByUs),
            Some(Ok(Message::Close(frame))) => {
                self.session.ended(now, End::ByServer(frame.map(|frame| frame.code.into())));
            }
            None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) if closed => {
                self.session.ended(now, End::ByUs);
            }
            None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => {
                self.session.ended(now, End::Cut("without a close".to_owned()));
            }
            Some(Err(error @ (Error::Utf8(_) | Error::Capacity(_)))) => {
                self.session.ended(now, End::Broken(error.to_string()));
            }
            Some(Err(Error::Protocol(error))) => {
                use tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
                self.session.ended(
                    now,
                    match error {
                        ResetWithoutClosingHandshake => End::Cut("without a close".to_owned()),
                        error => End::Broken(error.to_string()),
                    },
                );
            }
            Some(Err(error)) => self.session.ended(now, End::Cut(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_taken_off_and_the_user_becomes_a_header() {
        let to = "wss://key:to%2Fken@bot.example.com/voicebot/s3cret?queue=premium&sample-rate=16000";
        let target = Target::new(to, vec![header("X-Api-Key: abc").expect("a header")]).expect("a target");
        let request = target.request(false).expect("a request");
        assert_eq!(request.uri().to_string(), "wss://bot.example.com:443/voicebot/s3cret");
        assert_eq!(request.headers()["authorization"], "Basic a2V5OnRvL2tlbg==");
        assert_eq!((&request.headers()["x-api-key"], &request.headers()["user-agent"]).0, "abc");
        assert!(!request.headers().contains_key("origin"));
        let with = target.request(true).expect("a request").uri().to_string();
        assert!(with.ends_with("/s3cret?queue=premium&sample-rate=16000"), "{with}");
        assert_eq!(target.parameters(), [("queue".to_owned(), "premium".to_owned())]);
        assert_eq!(target.asked_rate().as_deref(), Some("16000"));
        let shown = format!("{target:?} {:?}", target.headers);
        assert!(shown.contains("bot.example.com"), "{shown}");
        for hidden in ["s3cret", "premium", "key:to", "ken", "abc"] {
            assert!(!shown.contains(hidden), "{hidden} in {shown}");
        }
    }

    #[test]
    fn what_is_no_address_or_header_is_refused_without_being_repeated() {
        for wrong in ["", "bot.example.com", "https://u:p@bot.example.com", "wss://"] {
            let error = Target::new(wrong, Vec::new()).expect_err("refused");
            assert!(error.contains("wss://bot.example.com/path") && !error.contains("u:p"), "{error}");
        }
        assert!(header("no colon").is_err() && header("a b: c").is_err());
    }
}
