//! Voicebots' calls over real sockets: Exotel's part is played as it was captured on real calls, a bot's server by the test.

use std::{net::SocketAddr, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Method};
use patchbay_sandbox::{
    Fault, Faults, On, Server,
    hubspot::{HubSpot, Kind},
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, handshake::server, protocol::frame::coding::CloseCode},
};

use crate::{
    context::support::RedisServer,
    rig::{EXOPHONE, KEY, PATIENCE, Rig, SID, TOKEN},
};

const BOT: &str = "bot-token-0123456789abcdef";
const OTHER_BOT: &str = "other-token-0123456789abcd";
/// Of the backend: in no log and no timeline.
const SECRET: &str = "backend-hunter2";
const CALLER: &str = "09052161119";
const STREAM: &str = "3357459ca698d8c765bac10b0ec418bl";
const NULL: Value = Value::Null;
/// 20 ms at 8 kHz.
const FRAME: usize = 320;

/// A rig with one bot that echoes.
fn rig(more: &str) -> Rig {
    let mut rig = Rig::new();
    rig.account = format!(
        "[[account.bot]]\nid = \"echo\"\ntoken = \"{BOT}\"\nbackend = \"echo\"\nexophones = [\"{EXOPHONE}\"]\n{more}"
    );
    rig
}

fn with_server(backend: &str, url: &str) -> Rig {
    rig(&format!(
        "[[account.bot]]\nid = \"sales\"\ntoken = \"{OTHER_BOT}\"\nbackend = \"{backend}\"\nurl = \"{url}\"\n\
         api_key = \"key:{SECRET}\"\nheaders = {{ X-Team = \"calls\" }}\n"
    ))
}

/// Exotel, with one connection.
struct Line {
    ws: WebSocketStream<TcpStream>,
    call_sid: String,
    sequence: u32,
}

impl Line {
    async fn try_dial(
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
    async fn started(rig: &Rig, path: &str, credential: Option<(&str, &str)>, call_sid: &str) -> Self {
        let ws = Self::try_dial(rig, path, credential).await.expect("a handshake");
        let mut line = Self { ws, call_sid: call_sid.to_owned(), sequence: 0 };
        line.send(json!({ "event": "connected" })).await;
        line.start(json!({ "encoding": "base64", "sample_rate": "8000", "bit_rate": "128kbps" })).await;
        line
    }

    async fn of_bot(rig: &Rig, call_sid: &str) -> Self {
        Self::started(rig, &format!("/voicebot/{BOT}"), None, call_sid).await
    }

    async fn start(&mut self, format: Value) {
        let start = json!({
            "event": "start", "stream_sid": STREAM, "sequence_number": "1",
            "start": {
                "stream_sid": STREAM, "call_sid": self.call_sid, "account_sid": SID, "from": CALLER, "to": EXOPHONE,
                "media_format": format,
            }
        });
        self.send(start).await;
    }

    async fn send(&mut self, frame: Value) {
        self.ws.send(Message::text(frame.to_string())).await.expect("it is taken");
    }

    fn media(&mut self, pcm: &[u8]) -> Value {
        self.sequence += 1;
        json!({
            "event": "media", "sequence_number": (self.sequence + 1).to_string(), "stream_sid": STREAM,
            "media": {
                "chunk": self.sequence.to_string(), "timestamp": (self.sequence * 20).to_string(),
                "payload": STANDARD.encode(pcm),
            }
        })
    }

    async fn say(&mut self, pcm: &[u8]) {
        let frame = self.media(pcm);
        self.send(frame).await;
    }

    async fn press(&mut self, digit: &str) {
        let frame = json!({ "event": "dtmf", "sequence_number": "7", "stream_sid": STREAM,
            "dtmf": { "digit": digit, "duration": "100" } });
        self.send(frame).await;
    }

    async fn stop(&mut self) {
        let frame = json!({ "event": "stop", "sequence_number": "20", "stream_sid": STREAM,
            "stop": { "call_sid": self.call_sid, "account_sid": SID, "reason": "callended" } });
        self.send(frame).await;
    }

    /// The next frame; `Err` with the code once it is closed.
    async fn next(&mut self) -> Result<String, CloseCode> {
        next(&mut self.ws).await
    }

    /// So much audio, in frames that Exotel plays without a gap.
    async fn hears(&mut self, bytes: usize) -> Vec<u8> {
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
    async fn echo_mark(&mut self) {
        let text = self.next().await.expect("a mark");
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(frame["event"], "mark", "{text}");
        self.send(frame).await;
    }

    async fn closed(&mut self) -> CloseCode {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }
}

async fn next(ws: &mut WebSocketStream<TcpStream>) -> Result<String, CloseCode> {
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
fn sound(number: u16) -> Vec<u8> {
    (number + 1).to_le_bytes().repeat(FRAME / 2)
}

/// Speaks for so many frames, a few at a time, and hears them all again.
async fn is_echoed(line: &mut Line, frames: u16) {
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
async fn ends(rig: &Rig, call_sid: &str, count: usize) -> Vec<Value> {
    rig.until_api(&format!("/calls/{call_sid}"), |call| {
        let events = call["timeline"].as_array()?.iter().filter(|entry| entry["kind"] == "bot_ended");
        let ends: Vec<Value> = events.map(|entry| entry["bot"].clone()).collect();
        (ends.len() == count).then_some(ends)
    })
    .await
}

/// The same; the API knows the call once its first receipt was read.
async fn known(rig: &Rig, call_sid: &str) {
    let path = format!("/api/v1/accounts/{SID}/calls/{call_sid}");
    rig.until_async("the call is known", async || rig.get(&path).await.0 == 200).await;
}

async fn end(rig: &Rig, call_sid: &str) -> Value {
    known(rig, call_sid).await;
    ends(rig, call_sid, 1).await[0]["end"].clone()
}

async fn metric(rig: &Rig, line: &str) -> bool {
    let text = rig.http.get(rig.url("/metrics")).send().await.expect("metrics").text().await.expect("text");
    text.lines().any(|one| one == line)
}

fn keeps_quiet(rig: &Rig) {
    for line in rig.logs() {
        for secret in [BOT, OTHER_BOT, SECRET, CALLER, TOKEN] {
            assert!(!line.contains(secret), "{secret}: {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_hears_himself_whole_and_the_call_tells_of_it() {
    let mut rig = rig("");
    rig.start();
    let mut line = Line::of_bot(&rig, "echo1").await;
    is_echoed(&mut line, 50).await;
    assert!(metric(&rig, "patchbay_voice_sessions_active{backend=\"echo\"} 1").await);
    // He interrupts: what he hears after it is new.
    line.press("*").await;
    is_echoed(&mut line, 10).await;
    line.press("#").await;
    line.echo_mark().await;
    assert_eq!(line.closed().await, CloseCode::Normal);
    let end = end(&rig, "echo1").await;
    assert_eq!((&end["reason"], &end["heard_ms"], &end["said_ms"]), (&json!("bot_done"), &json!(1200), &json!(1200)));
    assert_eq!((&end["barge_ins"], &end["dropped_ms"]), (&json!(1), &json!(0)));
    assert!(end["first_audio_ms"].is_u64() && end["duration_ms"].as_u64() >= end["first_audio_ms"].as_u64(), "{end}");
    let call = rig.account("/calls/echo1").await;
    assert_eq!((&call["state"]["customer"], &call["state"]["direction"]), (&json!(CALLER), &json!("incoming")));
    let begun = call["timeline"].as_array().expect("entries").iter().find(|one| one["kind"] == "bot_started");
    let begun = begun.expect("its start");
    assert_eq!((&begun["bot"]["bot"], &begun["bot"]["backend"]), (&json!("echo"), &json!("echo")));
    assert!(metric(&rig, "patchbay_voice_sessions_active{backend=\"echo\"} 0").await);
    assert!(metric(&rig, "patchbay_voice_sessions_total{backend=\"echo\",end=\"bot_done\"} 1").await);
    keeps_quiet(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn however_a_stream_ends_it_has_ended() {
    let mut rig = rig("");
    rig.start();
    let mut stopped = Line::of_bot(&rig, "stopped").await;
    is_echoed(&mut stopped, 5).await;
    stopped.stop().await;
    assert_eq!(stopped.closed().await, CloseCode::Normal);
    let told = end(&rig, "stopped").await;
    assert_eq!((&told["reason"], &told["told"]), (&json!("stopped"), &json!("callended")));
    // Five of seven real calls had no stop (KS).
    let mut closed = Line::of_bot(&rig, "closed").await;
    closed.ws.close(None).await.expect("closed");
    assert_eq!(end(&rig, "closed").await["reason"], "closed");
    let mut broken_off = Line::of_bot(&rig, "broken-off").await;
    is_echoed(&mut broken_off, 5).await;
    drop(broken_off);
    assert_eq!(end(&rig, "broken-off").await["reason"], "closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_takes_the_call_over() {
    let mut rig = rig("");
    rig.extra += "\n[voicebot]\nsessions_per_account = 1\n";
    rig.start();
    let mut first = Line::of_bot(&rig, "twice").await;
    is_echoed(&mut first, 5).await;
    let mut second = Line::of_bot(&rig, "twice").await;
    assert_eq!(first.closed().await, CloseCode::Normal);
    is_echoed(&mut second, 5).await;
    known(&rig, "twice").await;
    assert_eq!(ends(&rig, "twice", 1).await[0]["end"]["reason"], "replaced");
    // The one place there is has not become two.
    let mut other = Line::of_bot(&rig, "full").await;
    assert_eq!(other.closed().await, CloseCode::Again);
    assert_eq!(end(&rig, "full").await["reason"], "full");
    assert!(metric(&rig, "patchbay_voice_sessions_total{backend=\"echo\",end=\"full\"} 1").await);
    second.stop().await;
    second.closed().await;
    ends(&rig, "twice", 2).await;
    let mut third = Line::of_bot(&rig, "room").await;
    is_echoed(&mut third, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_peers_get_wrong_is_heard_all_the_same() {
    let mut rig = rig("");
    rig.start();
    let ws = Line::try_dial(&rig, &format!("/voicebot/{BOT}/"), None).await.expect("a handshake");
    let mut line = Line { ws, call_sid: "odd".to_owned(), sequence: 0 };
    line.send(json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" })).await;
    line.start(json!({ "encoding": "audio/x-raw", "sample_rate": 8000, "bit_rate": "16" })).await;
    let pcm: Vec<u8> = (0..5).flat_map(sound).collect();
    // Cut in the middle of a sample, without padding, and as bytes.
    line.send(json!({ "event": "media", "media": { "payload": STANDARD.encode(&pcm[..701]) } })).await;
    for noise in [
        "",
        "{",
        "[1]",
        "{\"event\":\"silence\"}",
        "{\"event\":\"media\"}",
        "{\"event\":\"mark\",\"mark\":{\"name\":\"x\"}}",
    ] {
        line.ws.send(Message::text(noise)).await.expect("it is taken");
    }
    let rest = STANDARD.encode(&pcm[701..]);
    let frame = json!({ "event": "media", "media": { "chunk": 2, "payload": rest.trim_end_matches('=') } });
    line.ws.send(Message::binary(frame.to_string().into_bytes())).await.expect("it is taken");
    assert_eq!(line.hears(pcm.len()).await, pcm);
    line.stop().await;
    line.closed().await;
    assert_eq!(end(&rig, "odd").await["heard_ms"], 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_gets_a_bot() {
    let mut rig = rig(&format!(
        "[[account.bot]]\nid = \"second\"\ntoken = \"{OTHER_BOT}\"\nbackend = \"deepgram\"\nurl = \"wss://agent.example.com\"\n\
         sample_rate = 16000\n"
    ));
    rig.start();
    let dial = async |path: &str, credential| Line::try_dial(&rig, path, credential).await.err();
    let right = Some((KEY, TOKEN));
    for (path, credential, status) in [
        ("/voicebot/nobody-0123456789abcdef", None, Some(404)),
        ("/voicebot/nobody-0123456789abcdef", right, Some(404)),
        ("/exotel/echo", None, Some(401)),
        ("/exotel/echo", Some((KEY, "wrong")), Some(401)),
        ("/exotel/nobody", None, Some(401)),
        ("/exotel/nobody", right, Some(404)),
        ("/ws/exotel", None, Some(401)),
        ("/ws/exotel", right, None),
    ] {
        assert_eq!(dial(path, credential).await, status, "{path}");
    }
    // By the id of a bot, and by the number that was called.
    for (path, call_sid) in [("/exotel/echo", "by-id"), ("/ws/exotel?workspace_id=cm12abcd0001", "by-number")] {
        let mut line = Line::started(&rig, path, right, call_sid).await;
        is_echoed(&mut line, 5).await;
        line.stop().await;
        line.closed().await;
        assert_eq!(end(&rig, call_sid).await["reason"], "stopped");
    }
    // A bot whose backend is not built: the flow goes on, and the call says why.
    let mut line = Line::started(&rig, &format!("/voicebot/{OTHER_BOT}"), None, "unbuilt").await;
    assert_eq!(line.closed().await, CloseCode::Normal);
    let told = end(&rig, "unbuilt").await;
    assert_eq!(told["reason"], "no_bot");
    assert!(told["told"].as_str().is_some_and(|why| why.contains("deepgram is not built")), "{told}");
    let warned = rig.logs().into_iter().filter(|line| line.contains("not built into this version: nothing answers"));
    let warned: Vec<String> = warned.collect();
    assert!(warned.len() == 1 && warned[0].contains("second") && !warned[0].contains("echo"), "{warned:?}");
    // An https address asks for the websocket of each call.
    let base = rig.url("").replacen("http", "ws", 1);
    for (token, wanted) in
        [(BOT, format!("{base}/voicebot/{BOT}")), (OTHER_BOT, format!("{base}/voicebot/{OTHER_BOT}?sample-rate=16000"))]
    {
        let url = rig.url(&format!("/voicebot/{token}?CallSid=1&CallFrom={CALLER}"));
        for request in [rig.http.get(&url), rig.http.post(&url).body("CallSid=1")] {
            let reply = request.send().await.expect("an answer");
            assert_eq!(reply.status(), 200);
            let body: Value = serde_json::from_slice(&reply.bytes().await.expect("a body")).expect("JSON");
            assert_eq!(body, json!({ "url": wanted }));
        }
    }
    let nobody = rig.http.get(rig.url("/voicebot/nobody-0123456789abcdef")).send().await.expect("an answer");
    assert_eq!(nobody.status(), 404);
    keeps_quiet(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_half_dead_is_given_up() {
    let mut rig = rig("");
    rig.extra += "\n[voicebot]\nsilence = \"600ms\"\n";
    rig.start();
    // Nothing is read, so that no ping is answered.
    let line = Line::of_bot(&rig, "silent").await;
    assert_eq!(end(&rig, "silent").await["reason"], "silent");
    drop(line);
    // Who answers pings is there, though he says nothing for longer than that.
    let mut alive = Line::of_bot(&rig, "alive").await;
    assert!(timeout(Duration::from_secs(2), alive.next()).await.is_err(), "it goes on");
    alive.stop().await;
    alive.closed().await;
    assert_eq!(end(&rig, "alive").await["reason"], "stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_lets_calls_end_and_then_ends_them() {
    let mut rig = rig("");
    rig.start();
    let mut ends = Line::of_bot(&rig, "ends").await;
    let mut stays = Line::of_bot(&rig, "stays").await;
    is_echoed(&mut ends, 5).await;
    is_echoed(&mut stays, 5).await;
    let stopping = tokio::task::spawn_blocking(move || {
        let well = rig.terminate();
        (rig, well)
    });
    // Both go on meanwhile; one ends by itself.
    is_echoed(&mut ends, 5).await;
    ends.stop().await;
    assert_eq!(ends.closed().await, CloseCode::Normal);
    stays.echo_mark().await;
    assert_eq!(stays.closed().await, CloseCode::Normal);
    let (mut rig, well) = stopping.await.expect("it ends");
    assert!(well);
    rig.start();
    assert_eq!(end(&rig, "ends").await["reason"], "stopped");
    assert_eq!(end(&rig, "stays").await["reason"], "stopping");
}

/// A bot's server: one connection, with the headers that it came with.
async fn serve(listener: &TcpListener) -> (WebSocketStream<TcpStream>, HeaderMap, String) {
    let (tcp, _) = timeout(PATIENCE, listener.accept()).await.expect("somebody connects").expect("a connection");
    let (mut headers, mut uri) = (HeaderMap::new(), String::new());
    #[allow(clippy::result_large_err, reason = "the refusal is the library's own type")]
    let ws = accept_hdr_async(tcp, |request: &server::Request, answer: server::Response| {
        headers = request.headers().clone();
        uri = request.uri().to_string();
        Ok(answer)
    });
    (ws.await.expect("a handshake"), headers, uri)
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_go_through_unchanged_to_a_server_that_speaks_exotel() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}/agent?serviceHost=acme", listener.local_addr().expect("an address"));
    let mut rig = with_server("exotel", &url);
    rig.start();
    let ws = Line::try_dial(&rig, &format!("/voicebot/{OTHER_BOT}"), None).await.expect("a handshake");
    let mut line = Line { ws, call_sid: "through".to_owned(), sequence: 0 };
    // What is said before the server is there is kept. Odd writings are its own to read.
    let mut said = vec![json!({ "event": "connected", "version": 2 }).to_string()];
    said.push(format!(
        "{{\"event\":\"start\", \"start\" : {{\"stream_sid\":\"{STREAM}\",\"call_sid\":\"through\",\"from\":\"{CALLER}\"}},\"x\":[1]}}"
    ));
    said.extend((0..10).map(|number| line.media(&sound(number)).to_string()));
    said.push("{\"event\":\"something new\"}".to_owned());
    for frame in &said {
        line.ws.send(Message::text(frame.clone())).await.expect("it is taken");
    }
    let (mut server, headers, uri) = serve(&listener).await;
    assert_eq!(uri, "/agent?serviceHost=acme");
    let basic = format!("Basic {}", STANDARD.encode(format!("key:{SECRET}")));
    assert!(headers["authorization"] == basic && headers["x-team"] == "calls");
    for frame in &said {
        assert_eq!(next(&mut server).await.as_ref(), Ok(frame));
    }
    // The other way: pace, sizes and names are the server's own.
    let answers = [
        json!({ "event": "media", "streamSid": STREAM, "media": { "payload": STANDARD.encode([7; 1600]) } })
            .to_string(),
        format!("{{\"event\":\"mark\",\"stream_sid\":\"{STREAM}\",  \"mark\":{{\"name\":\"turn-3\"}}}}"),
        json!({ "event": "clear", "stream_sid": STREAM }).to_string(),
    ];
    for frame in &answers {
        server.send(Message::text(frame.clone())).await.expect("it is taken");
    }
    for frame in &answers {
        assert_eq!(line.next().await.as_ref(), Ok(frame));
    }
    line.press("5").await;
    assert!(next(&mut server).await.expect("a key").contains("\"digit\":\"5\""));
    line.stop().await;
    assert!(next(&mut server).await.expect("the end").contains("callended"));
    assert_eq!(next(&mut server).await, Err(CloseCode::Status), "closed, not broken off");
    let told = end(&rig, "through").await;
    assert_eq!((&told["reason"], &told["heard_ms"], &told["said_ms"]), (&json!("stopped"), &json!(200), &json!(100)));
    assert_eq!((&told["barge_ins"], &told["dropped_ms"]), (&json!(1), &json!(0)));
    keeps_quiet(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_done_or_fails_lets_the_flow_go_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}/agent?token={SECRET}", listener.local_addr().expect("an address"));
    let mut rig = with_server("exotel", &url);
    rig.start();
    let path = format!("/voicebot/{OTHER_BOT}");
    let mut line = Line::started(&rig, &path, None, "done").await;
    let (mut server, ..) = serve(&listener).await;
    server.close(None).await.expect("closed");
    assert_eq!(line.next().await, Err(CloseCode::Normal), "at once, and without a frame of ours");
    assert_eq!(end(&rig, "done").await["reason"], "bot_done");
    let mut line = Line::started(&rig, &path, None, "broken-off").await;
    let (server, ..) = serve(&listener).await;
    drop(server);
    assert_eq!(line.closed().await, CloseCode::Normal);
    assert_eq!(end(&rig, "broken-off").await["reason"], "backend_failed");
    drop(listener);
    let mut line = Line::started(&rig, &path, None, "down").await;
    assert_eq!(line.closed().await, CloseCode::Normal);
    let told = end(&rig, "down").await;
    assert_eq!(told["reason"], "backend_failed");
    assert!(told["told"].as_str().is_some_and(|why| why.contains("cannot be reached")), "{told}");
    let shown = rig.account("/calls/down").await.to_string();
    assert!(!shown.contains(SECRET), "{shown}");
    keeps_quiet(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_written_for_twilio_takes_calls_unchanged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}/media", listener.local_addr().expect("an address"));
    let mut rig = with_server("twilio", &url);
    rig.start();
    let mut line = Line::started(&rig, &format!("/voicebot/{OTHER_BOT}"), None, "twilio").await;
    for _ in 0..5 {
        line.say(&[0; FRAME]).await;
    }
    let (mut server, ..) = serve(&listener).await;
    let mut hears =
        async || -> Value { serde_json::from_str(&next(&mut server).await.expect("a frame")).expect("JSON") };
    assert_eq!(hears().await["event"], "connected");
    let start = hears().await;
    assert_eq!(
        (&start["start"]["callSid"], &start["start"]["customParameters"]["from"]),
        (&json!("twilio"), &json!("+919052161119"))
    );
    for _ in 0..5 {
        let media = hears().await;
        assert_eq!(STANDARD.decode(media["media"]["payload"].as_str().expect("audio")).expect("base64"), [0xff; 160]);
    }
    // It speaks for 100 ms, wants to know when that was heard, and is told.
    for frame in [
        json!({ "event": "media", "streamSid": STREAM, "media": { "payload": STANDARD.encode([0xff; 800]) } }),
        json!({ "event": "mark", "streamSid": STREAM, "mark": { "name": "turn-3" } }),
    ] {
        server.send(Message::text(frame.to_string())).await.expect("it is taken");
    }
    assert_eq!(line.hears(5 * FRAME).await, [0; 5 * FRAME]);
    line.echo_mark().await;
    let mark: Value = serde_json::from_str(&next(&mut server).await.expect("a mark")).expect("JSON");
    assert_eq!((&mark["event"], &mark["mark"]["name"]), (&json!("mark"), &json!("turn-3")));
    // The caller speaks: what waits is dropped at both ends, and its mark comes at once.
    for frame in [
        json!({ "event": "media", "streamSid": STREAM, "media": { "payload": STANDARD.encode([0xff; 80_000]) } }),
        json!({ "event": "mark", "streamSid": STREAM, "mark": { "name": "turn-4" } }),
        json!({ "event": "clear", "streamSid": STREAM }),
    ] {
        server.send(Message::text(frame.to_string())).await.expect("it is taken");
    }
    let mark: Value = serde_json::from_str(&next(&mut server).await.expect("a mark")).expect("JSON");
    assert_eq!(mark["mark"]["name"], "turn-4");
    server.close(None).await.expect("closed");
    line.stop().await;
    line.closed().await;
    let told = end(&rig, "twilio").await;
    assert_eq!((&told["barge_ins"], &told["heard_ms"]), (&json!(1), &json!(100)), "{told}");
}

/// Two nodes that share the context: Exotel connects again, and another of them has the call.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_takes_the_call_over_from_another_node() {
    let redis = RedisServer::start();
    let (mut here, mut there) = (rig(""), rig(""));
    let key = here.path("shared.key");
    std::fs::write(&key, "5f".repeat(32)).expect("a key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("its own");
    for node in [&mut here, &mut there] {
        node.env.push(("PATCHBAY__CONTEXT__URL".to_owned(), format!("redis://{}/0", redis.addr())));
        node.env.push(("PATCHBAY__SERVER__MASTER_KEY_FILE".to_owned(), key.display().to_string()));
        node.start();
        node.until_async("it is shared", async || node.get("/readyz").await.1["context"]["ok"] == true).await;
    }
    let mut first = Line::of_bot(&here, "moves").await;
    is_echoed(&mut first, 5).await;
    let mut other = Line::of_bot(&here, "stays").await;
    let mut second = Line::of_bot(&there, "moves").await;
    assert_eq!(first.closed().await, CloseCode::Normal);
    assert_eq!(end(&here, "moves").await["reason"], "replaced");
    is_echoed(&mut second, 5).await;
    is_echoed(&mut other, 5).await;
    // And back.
    let mut third = Line::of_bot(&here, "moves").await;
    assert_eq!(second.closed().await, CloseCode::Normal);
    is_echoed(&mut third, 5).await;
}

const HS_TOKEN: &str = "pat-hunter4";
const REFUND: &str = "Where is my \"refund\"?";

/// A bot for Twilio, a Freshdesk that knows its caller, and a HubSpot that knows whose contact he is.
fn with_crms(url: &str) -> (Rig, Server<HubSpot>) {
    let mut rig = with_server("twilio", url);
    rig.freshdesk.with(|desk| {
        let asha = desk.add_contact("Asha Rao", Some("+919052161119"), None);
        desk.add_ticket_with(asha, |ticket| REFUND.clone_into(&mut ticket.subject));
        desk.add_ticket_with(asha, |ticket| {
            "Settled long ago".clone_into(&mut ticket.subject);
            ticket.status = 5;
        });
    });
    let mut hubspot = HubSpot::prepared(HS_TOKEN);
    let owner = hubspot.add_owner("Rahil Mohammed", "rahil@example.com");
    hubspot.add(Kind::Contacts, &[("phone", "+919052161119"), ("hubspot_owner_id", &owner.id)]);
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let hubspot = Server::start(loopback, hubspot, Faults::none()).expect("the HubSpot sandbox starts");
    rig.more = format!(
        "[[account.integration]]\nconnector = \"hubspot\"\nname = \"crm\"\nbase_url = \"{}\"\n\
         access_token = \"{HS_TOKEN}\"\n",
        hubspot.url()
    );
    rig.env.push(("PATCHBAY__DELIVERY__REQUEST_TIMEOUT".to_owned(), "20s".to_owned()));
    (rig, hubspot)
}

/// What a bot's server is told at the start of a call, and what it hears first.
async fn told_at_start(rig: &Rig, listener: &TcpListener, call_sid: &str) -> (Value, Vec<u8>) {
    let mut line = Line::started(rig, &format!("/voicebot/{OTHER_BOT}"), None, call_sid).await;
    // He speaks before anybody listens.
    for _ in 0..5 {
        line.say(&[0; FRAME]).await;
    }
    let (mut server, ..) = serve(listener).await;
    let mut hears =
        async || -> Value { serde_json::from_str(&next(&mut server).await.expect("a frame")).expect("JSON") };
    assert_eq!(hears().await["event"], "connected");
    let start = hears().await;
    let mut heard = Vec::new();
    while heard.len() < 5 * FRAME / 2 {
        let media = hears().await;
        heard.extend(STANDARD.decode(media["media"]["payload"].as_str().expect("audio")).expect("base64"));
    }
    line.stop().await;
    line.closed().await;
    (start["start"]["customParameters"].clone(), heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_knows_who_calls_before_its_first_word() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (mut rig, hubspot) = with_crms(&format!("ws://{}/media", listener.local_addr().expect("an address")));
    // Nobody is waited for longer than a busy machine needs.
    rig.extra += "\n[voicebot]\nbrief_timeout = \"5s\"\n";
    rig.start();
    let (told, heard) = told_at_start(&rig, &listener, "known").await;
    assert_eq!(
        (&told["contact_name"], &told["owner"], &told["call_sid"]),
        (&json!("Asha Rao"), &json!("Rahil Mohammed"), &json!("known")),
        "{told}"
    );
    let tickets = told["open_tickets"].as_str().expect("tickets");
    assert!(tickets.ends_with(REFUND) && !tickets.contains("Settled"), "{tickets}");
    assert_eq!(heard, vec![0xff; 5 * FRAME / 2], "his first words are kept");
    for line in [
        "patchbay_voice_briefs_total{part=\"contact\",outcome=\"known\"} 1",
        "patchbay_voice_briefs_total{part=\"owner\",outcome=\"known\"} 1",
        "patchbay_voice_briefs_total{part=\"open_tickets\",outcome=\"known\"} 1",
        "patchbay_voice_brief_seconds_count{backend=\"twilio\"} 1",
    ] {
        assert!(metric(&rig, line).await, "{line}");
    }
    // Who has called before is known at once, whatever has become of the CRMs.
    rig.freshdesk.faults().go_down();
    hubspot.faults().go_down();
    let (again, _) = told_at_start(&rig, &listener, "again").await;
    let same = |name: &str| again[name] == told[name];
    assert!(same("contact_name") && same("owner") && same("open_tickets"), "{again}");
    for line in rig.logs() {
        for secret in ["Asha", REFUND, HS_TOKEN] {
            assert!(!line.contains(secret), "{secret}: {line}");
        }
    }
    keeps_quiet(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_crm_keeps_no_caller_waiting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (mut rig, hubspot) = with_crms(&format!("ws://{}/media", listener.local_addr().expect("an address")));
    rig.extra += "\n[voicebot]\nbrief_timeout = \"200ms\"\n";
    rig.start();
    for _ in 0..20 {
        let slow = Fault::StallAfter(Duration::from_secs(2));
        rig.freshdesk.faults().push(On::under(Method::GET, "/api/v2/search"), slow);
        hubspot.faults().push(On::under(Method::POST, "/crm/v3/objects/contacts/search"), slow);
    }
    let (told, heard) = told_at_start(&rig, &listener, "slow").await;
    assert_eq!((&told["from"], &told["contact_name"], &told["open_tickets"]), (&json!("+919052161119"), &NULL, &NULL));
    assert_eq!(heard.len(), 5 * FRAME / 2);
    assert!(metric(&rig, "patchbay_voice_briefs_total{part=\"contact\",outcome=\"late\"} 1").await);
    // The question went on, and the next call finds it answered.
    let mut calls = 0;
    loop {
        calls += 1;
        let (told, _) = told_at_start(&rig, &listener, &format!("later{calls}")).await;
        if told["contact_name"] == "Asha Rao" && told["open_tickets"].is_string() {
            break;
        }
        assert!(calls < 200, "it is never known");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_documentation_at_its_word_gets_what_it_says() {
    let mut rig = rig("");
    rig.extra += "\n[voicebot]\nstrict_frames = true\nnumbered_frames = true\nframe = \"60ms\"\nahead = \"400ms\"\n";
    rig.start();
    let mut line = Line::of_bot(&rig, "strict").await;
    for number in 0..25 {
        line.say(&sound(number)).await;
    }
    let mut heard = Vec::new();
    for chunk in 1_u32.. {
        let frame: Value = serde_json::from_str(&line.next().await.expect("audio")).expect("JSON");
        let pcm = STANDARD.decode(frame["media"]["payload"].as_str().expect("a payload")).expect("base64");
        assert!(pcm.len() >= 3200 && pcm.len().is_multiple_of(FRAME), "{}", pcm.len());
        assert_eq!(
            (&frame["media"]["chunk"], &frame["sequence_number"]),
            (&json!(chunk.to_string()), &json!(chunk.to_string()))
        );
        assert_eq!(frame["media"]["timestamp"], (heard.len() / 16).to_string());
        heard.extend(pcm);
        if heard.len() >= 25 * FRAME {
            break;
        }
    }
    let said: Vec<u8> = (0..25).flat_map(sound).collect();
    assert!(heard.starts_with(&said) && heard[said.len()..].iter().all(|byte| *byte == 0));
    line.stop().await;
    line.closed().await;
    let told = kit(&rig).await;
    let size = told["rules"].as_array().expect("rules").iter().find(|rule| rule["rule"] == "size").expect("the rule");
    assert_eq!(size["verdict"], "pass", "{size}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_recorded_as_it_was_heard() {
    let mut rig = rig("");
    rig.account = rig.account.replacen("backend = \"echo\"", "backend = \"echo\"\nrecord = true", 1);
    let directory = rig.path("recordings");
    rig.extra += &format!("\n[voicebot]\nrecordings = {:?}\n", directory.display().to_string());
    rig.start();
    let mut line = Line::of_bot(&rig, "rec..orded").await;
    // As fast as a caller speaks, and no faster: a recording has the call's own clock.
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    for number in 0..25 {
        clock.tick().await;
        line.say(&sound(number)).await;
    }
    line.hears(25 * FRAME).await;
    line.stop().await;
    line.closed().await;
    let file = rig.until_api("/calls/rec..orded", |call| {
        let timeline = call["timeline"].as_array()?;
        let end = timeline.iter().find(|entry| entry["kind"] == "bot_ended")?;
        assert_eq!(end["bot"]["end"].get("recording_lost_ms"), None);
        Some(end["bot"]["recording"].as_str().expect("a recording").to_owned())
    });
    let file = file.await;
    assert!(file.starts_with(&format!("{SID}/")) && file.contains("/rec__orded-"), "{file}");
    let wav = rig.until("it is written", || {
        let wav = std::fs::read(directory.join(&file)).ok()?;
        let size = u32::from_le_bytes(wav.get(40..44)?.try_into().ok()?);
        (wav.len() > 44 + 15 * 2 * FRAME && wav.len() as u64 == 44 + u64::from(size)).then_some(wav)
    });
    let wav = wav.await;
    assert_eq!((&wav[..4], wav[22], u32::from_le_bytes([wav[24], wav[25], wav[26], wav[27]])), (&b"RIFF"[..], 2, 8000));
    let side =
        |from: usize| -> Vec<u8> { wav[44..].chunks_exact(4).flat_map(|both| [both[from], both[from + 1]]).collect() };
    // Each frame is told apart: in both channels there are all of them in order, the bot's behind the caller's.
    let order = |side: &[u8]| {
        let mut seen: Vec<u16> = side.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect();
        seen.retain(|value| *value != 0);
        seen.dedup();
        seen
    };
    let (caller, bot) = (side(0), side(2));
    for side in [&caller, &bot] {
        let order = order(side);
        assert!(order[0] == 1 && order.len() > 10 && order.is_sorted_by(|a, b| a < b), "{order:?}");
    }
    let first = |side: &[u8]| side.iter().position(|byte| *byte != 0);
    assert!(first(&caller) <= first(&bot));
}

/// The kit that others hold their bots against, against this bridge: 20 rules, none of which it breaks.
#[tokio::test(flavor = "multi_thread")]
async fn the_bridge_keeps_the_rules_that_the_kit_knows() {
    let mut rig = rig("");
    rig.start();
    kit(&rig).await;
}

/// What the kit finds; nothing that a bot must do is not done.
async fn kit(rig: &Rig) -> Value {
    let to = rig.url(&format!("/voicebot/{BOT}")).replacen("http", "ws", 1);
    let args = ["simulate", "voicebot", "--to", &to, "--listen", "1s", "--at-once", "20", "--json"];
    let mut command = rig.command(&args);
    let ran = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("it runs");
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{told}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert!(!told.contains(BOT), "the address is the credential");
    serde_json::from_str(&told).expect("JSON")
}
