//! Exotel's end of a voicebot's stream, as it was captured on real calls: for all tests of bots.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use patchbay_voice::{Rate, far::FarSide};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};

use crate::rig::{EXOPHONE, PATIENCE, Rig, SID, TOKEN};

pub(crate) const BOT: &str = "bot-token-0123456789abcdef";
pub(crate) const OTHER_BOT: &str = "other-token-0123456789abcd";
/// Of the backend: in no log and no timeline.
pub(crate) const SECRET: &str = "backend-hunter2";
pub(crate) const CALLER: &str = "09052161119";
pub(crate) const STREAM: &str = "3357459ca698d8c765bac10b0ec418bl";
/// 20 ms at 8 kHz.
pub(crate) const FRAME: usize = 320;

/// A rig with one bot that echoes.
pub(crate) fn rig(more: &str) -> Rig {
    let mut rig = Rig::new();
    rig.account = format!(
        "[[account.bot]]\nid = \"echo\"\ntoken = \"{BOT}\"\nbackend = \"echo\"\nexophones = [\"{EXOPHONE}\"]\n{more}"
    );
    rig
}

pub(crate) fn with_server(backend: &str, url: &str) -> Rig {
    with_bot(backend, url, &format!("key:{SECRET}"), "headers = { X-Team = \"calls\" }")
}

/// A second bot, behind a server or a service. `more` is TOML of it.
pub(crate) fn with_bot(backend: &str, url: &str, api_key: &str, more: &str) -> Rig {
    rig(&format!(
        "[[account.bot]]\nid = \"sales\"\ntoken = \"{OTHER_BOT}\"\nbackend = \"{backend}\"\nurl = \"{url}\"\n\
         api_key = \"{api_key}\"\n{more}\n"
    ))
}

/// Exotel, with one connection.
pub(crate) struct Line {
    pub(crate) ws: WebSocketStream<TcpStream>,
    call_sid: String,
    sequence: u32,
}

impl Line {
    pub(crate) fn over(ws: WebSocketStream<TcpStream>, call_sid: &str) -> Self {
        Self { ws, call_sid: call_sid.to_owned(), sequence: 0 }
    }

    pub(crate) async fn try_dial(
        rig: &Rig,
        path: &str,
        credential: Option<(&str, &str)>,
    ) -> Result<WebSocketStream<TcpStream>, u16> {
        let url = rig.url(path);
        let addr = url.trim_start_matches("http://").split('/').next().expect("an address").to_owned();
        let mut request = format!("ws://{addr}{path}").into_client_request().expect("a request");
        request.headers_mut().insert("User-Agent", "Go-http-client/1.1".parse().expect("a value"));
        if let Some((key, token)) = credential {
            let value = format!("Basic {}", STANDARD.encode(format!("{key}:{token}")));
            request.headers_mut().insert("Authorization", value.parse().expect("a value"));
        }
        let tcp = TcpStream::connect(addr).await.expect("it listens");
        match client_async(request, tcp).await {
            Ok((ws, _)) => Ok(ws),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Connected and started, as captured on a real call.
    pub(crate) async fn started(rig: &Rig, path: &str, credential: Option<(&str, &str)>, call_sid: &str) -> Self {
        let ws = Self::try_dial(rig, path, credential).await.expect("a handshake");
        let mut line = Self::over(ws, call_sid);
        line.send(json!({ "event": "connected" })).await;
        line.start(json!({ "encoding": "base64", "sample_rate": "8000", "bit_rate": "128kbps" })).await;
        line
    }

    pub(crate) async fn of_bot(rig: &Rig, call_sid: &str) -> Self {
        Self::started(rig, &format!("/voicebot/{BOT}"), None, call_sid).await
    }

    pub(crate) async fn start(&mut self, format: Value) {
        let start = json!({
            "event": "start", "stream_sid": STREAM, "sequence_number": "1",
            "start": {
                "stream_sid": STREAM, "call_sid": self.call_sid, "account_sid": SID, "from": CALLER, "to": EXOPHONE,
                "media_format": format,
            }
        });
        self.send(start).await;
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.ws.send(Message::text(frame.to_string())).await.expect("it is taken");
    }

    pub(crate) fn media(&mut self, pcm: &[u8]) -> Value {
        self.sequence += 1;
        json!({
            "event": "media", "sequence_number": (self.sequence + 1).to_string(), "stream_sid": STREAM,
            "media": {
                "chunk": self.sequence.to_string(), "timestamp": (self.sequence * 20).to_string(),
                "payload": STANDARD.encode(pcm),
            }
        })
    }

    pub(crate) async fn say(&mut self, pcm: &[u8]) {
        let frame = self.media(pcm);
        self.send(frame).await;
    }

    pub(crate) async fn press(&mut self, digit: &str) {
        let frame = json!({ "event": "dtmf", "sequence_number": "7", "stream_sid": STREAM,
            "dtmf": { "digit": digit, "duration": "100" } });
        self.send(frame).await;
    }

    pub(crate) async fn stop(&mut self) {
        let frame = json!({ "event": "stop", "sequence_number": "20", "stream_sid": STREAM,
            "stop": { "call_sid": self.call_sid, "account_sid": SID, "reason": "callended" } });
        self.send(frame).await;
    }

    /// The next frame; `Err` with the code once it is closed.
    pub(crate) async fn next(&mut self) -> Result<String, CloseCode> {
        next(&mut self.ws).await
    }

    /// So much audio, in frames that Exotel plays without a gap.
    pub(crate) async fn hears(&mut self, bytes: usize) -> Vec<u8> {
        let mut heard = Vec::new();
        while heard.len() < bytes {
            let text = self.next().await.expect("audio");
            let frame: Value = serde_json::from_str(&text).expect("JSON");
            if frame["event"] == "clear" {
                continue;
            }
            assert_eq!((&frame["event"], &frame["stream_sid"]), (&json!("media"), &json!(STREAM)), "{text}");
            let payload = frame["media"]["payload"].as_str().expect("a payload");
            let pcm = STANDARD.decode(payload).expect("base64");
            assert_eq!(pcm.len() % FRAME, 0, "a gap is heard where a message is no multiple of {FRAME}");
            heard.extend(pcm);
        }
        assert_eq!(heard.len(), bytes);
        heard
    }

    /// Sends the mark back that comes, once what was before it is played.
    pub(crate) async fn echo_mark(&mut self) {
        let text = self.next().await.expect("a mark");
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(frame["event"], "mark", "{text}");
        self.send(frame).await;
    }

    pub(crate) async fn closed(&mut self) -> CloseCode {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }
}

/// What a caller has said, heard and done so far.
#[derive(Default)]
pub(crate) struct Ears {
    /// What he still has to say; silence behind it.
    says: Vec<u8>,
    frames: Vec<Value>,
    /// All the bot's audio that came, in order.
    pub(crate) heard: Vec<u8>,
    /// How much of that had come when a `clear` did.
    pub(crate) clears: Vec<usize>,
    pub(crate) closed: Option<CloseCode>,
    hangs_up: bool,
}

/// A caller in real time, as Exotel carries him: a frame every 20 ms, marks back when what stood before them was played.
pub(crate) struct Caller {
    ears: Arc<Mutex<Ears>>,
    call: JoinHandle<()>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.call.abort();
    }
}

impl Caller {
    pub(crate) async fn of(rig: &Rig, path: &str, call_sid: &str, rate: Rate) -> Self {
        let ws = Line::try_dial(rig, path, None).await.expect("a handshake");
        let mut line = Line::over(ws, call_sid);
        line.send(json!({ "event": "connected" })).await;
        line.start(json!({ "encoding": "base64", "sample_rate": rate.hz().to_string(), "bit_rate": "128kbps" })).await;
        let ears = Arc::<Mutex<Ears>>::default();
        let call = tokio::spawn(Self::run(line, rate, Arc::clone(&ears)));
        Self { ears, call }
    }

    async fn run(mut line: Line, rate: Rate, ears: Arc<Mutex<Ears>>) {
        let lock = || ears.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, frame) = (Instant::now(), rate.bytes_of_ms(20) as usize);
        let mut far = FarSide::new(rate);
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    let (mut pcm, frames, hangs_up) = {
                        let mut ears = lock();
                        let count = ears.says.len().min(frame);
                        (ears.says.drain(..count).collect::<Vec<u8>>(), std::mem::take(&mut ears.frames), ears.hangs_up)
                    };
                    pcm.resize(frame, 0);
                    let mut send = vec![line.media(&pcm)];
                    send.extend(frames);
                    let now = began.elapsed();
                    send.extend(std::iter::from_fn(|| far.poll(now)).map(mark));
                    for frame in send {
                        // The other side may have closed: that is read below.
                        let _ = line.ws.send(Message::text(frame.to_string())).await;
                    }
                    if hangs_up {
                        line.stop().await;
                        lock().hangs_up = false;
                    }
                }
                came = line.ws.next() => {
                    let text = match came {
                        Some(Ok(Message::Text(text))) => text,
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                        Some(Ok(Message::Close(said))) => {
                            lock().closed = Some(said.map_or(CloseCode::Status, |said| said.code));
                            return;
                        }
                        Some(Ok(other)) => panic!("{other:?}"),
                        Some(Err(_)) | None => {
                            lock().closed = Some(CloseCode::Abnormal);
                            return;
                        }
                    };
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    let now = began.elapsed();
                    match frame["event"].as_str() {
                        Some("media") => {
                            let payload = frame["media"]["payload"].as_str().expect("a payload");
                            let pcm = STANDARD.decode(payload).expect("base64");
                            far.media(now, pcm.len() as u64);
                            lock().heard.extend(pcm);
                        }
                        Some("mark") => far.mark(now, frame["mark"]["name"].as_str().expect("a name")),
                        Some("clear") => {
                            far.clear(now);
                            let mut ears = lock();
                            let at = ears.heard.len();
                            ears.clears.push(at);
                        }
                        _ => panic!("{text}"),
                    }
                }
            }
        }
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Ears) -> T) -> T {
        look(&mut self.ears.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// He says this next.
    pub(crate) fn says(&self, pcm: &[u8]) {
        self.with(|ears| ears.says.extend(pcm));
    }

    pub(crate) fn presses(&self, digit: &str) {
        let frame = json!({ "event": "dtmf", "sequence_number": "7", "stream_sid": STREAM,
            "dtmf": { "digit": digit, "duration": "100" } });
        self.with(|ears| ears.frames.push(frame));
    }

    pub(crate) fn hangs_up(&self) {
        self.with(|ears| ears.hangs_up = true);
    }

    pub(crate) async fn until<T>(&self, what: &str, mut look: impl FnMut(&mut Ears) -> Option<T>) -> T {
        let by = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.with(&mut look) {
                return found;
            }
            assert!(Instant::now() < by, "{what}: has not come about");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn closed(&self) -> CloseCode {
        self.until("the call is let go", |ears| ears.closed).await
    }
}

fn mark(name: String) -> Value {
    json!({ "event": "mark", "sequence_number": "15", "stream_sid": STREAM, "mark": { "name": name } })
}

pub(crate) async fn next(ws: &mut WebSocketStream<TcpStream>) -> Result<String, CloseCode> {
    loop {
        match timeout(PATIENCE, ws.next()).await.expect("something comes") {
            Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
            Some(Ok(Message::Close(said))) => return Err(said.map_or(CloseCode::Status, |said| said.code)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(other)) => panic!("{other:?}"),
            Some(Err(_)) | None => return Err(CloseCode::Abnormal),
        }
    }
}

/// 20 ms that are told apart from any other.
pub(crate) fn sound(number: u16) -> Vec<u8> {
    (number + 1).to_le_bytes().repeat(FRAME / 2)
}

/// Speaks for so many frames, a few at a time, and hears them all again.
pub(crate) async fn is_echoed(line: &mut Line, frames: u16) {
    let (mut said, mut heard) = (Vec::new(), Vec::new());
    for number in 0..frames {
        line.say(&sound(number)).await;
        said.extend(sound(number));
        if number % 5 == 4 {
            heard.extend(line.hears(5 * FRAME).await);
        }
    }
    assert!(heard == said, "whole and in order");
}

/// How the call's sessions ended, as its timeline says, once there are so many.
pub(crate) async fn ends(rig: &Rig, call_sid: &str, count: usize) -> Vec<Value> {
    rig.until_api(&format!("/calls/{call_sid}"), |call| {
        let events = call["timeline"].as_array()?.iter().filter(|entry| entry["kind"] == "bot_ended");
        let ends: Vec<Value> = events.map(|entry| entry["bot"].clone()).collect();
        (ends.len() == count).then_some(ends)
    })
    .await
}

/// The same; the API knows the call once its first receipt was read.
pub(crate) async fn known(rig: &Rig, call_sid: &str) {
    let path = format!("/api/v1/accounts/{SID}/calls/{call_sid}");
    rig.until_async("the call is known", async || rig.get(&path).await.0 == 200).await;
}

pub(crate) async fn end(rig: &Rig, call_sid: &str) -> Value {
    known(rig, call_sid).await;
    ends(rig, call_sid, 1).await[0]["end"].clone()
}

pub(crate) async fn metric(rig: &Rig, line: &str) -> bool {
    let text = rig.http.get(rig.url("/metrics")).send().await.expect("metrics").text().await.expect("text");
    text.lines().any(|one| one == line)
}

pub(crate) fn keeps_quiet(rig: &Rig) {
    for line in rig.logs() {
        for secret in [BOT, OTHER_BOT, SECRET, CALLER, TOKEN] {
            assert!(!line.contains(secret), "{secret}: {line}");
        }
    }
}
