//! Voicebots' calls over real sockets: Exotel's part is played as it was captured on real calls, a bot's server by the test.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::SinkExt;
use http::HeaderMap;
use patchbay_sandbox::backends::sound::{is_speech, loudness, share_of, tone};
use patchbay_voice::Rate;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{Message, handshake::server, protocol::frame::coding::CloseCode},
};

use crate::{
    rig::{KEY, PATIENCE, Rig, TOKEN},
    stream::{
        BOT, CALLER, Caller, FRAME, Line, OTHER_BOT, SECRET, STREAM, end, ends, is_echoed, keeps_quiet, known, metric,
        next, rig, sound, with_server,
    },
};

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
    let mut line = Line::over(ws, "odd");
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
        "[[account.bot]]\nid = \"second\"\ntoken = \"{OTHER_BOT}\"\nbackend = \"twilio\"\nurl = \"wss://agent.example.com\"\n\
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

#[tokio::test(flavor = "multi_thread")]
async fn at_each_rate_a_tone_stays_a_tone() {
    let mut rig = rig("");
    rig.start();
    for rate in Rate::ALL {
        let call_sid = format!("tone-{}", rate.hz());
        let caller = Caller::of(&rig, &format!("/voicebot/{BOT}"), &call_sid, rate).await;
        caller.says(&tone(440.0, rate.hz(), 400));
        let heard =
            caller.until("he hears himself", |ears| (loudness(&ears.heard) > 500.0).then(|| ears.heard.clone()));
        heard.await;
        caller.presses("#");
        assert_eq!(caller.closed().await, CloseCode::Normal);
        let loud: Vec<u8> =
            caller.with(|ears| ears.heard.chunks(320).filter(|some| is_speech(some)).flatten().copied().collect());
        assert!(share_of(440.0, rate.hz(), &loud) > 0.9, "at {}", rate.hz());
        assert_eq!(end(&rig, &call_sid).await["barge_ins"], 0);
    }
}

/// A bot's server: one connection, with the headers that it came with.
pub(crate) async fn serve(listener: &TcpListener) -> (WebSocketStream<TcpStream>, HeaderMap, String) {
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
    let mut line = Line::over(ws, "through");
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

/// The kit that others hold their bots against, against this bridge: 20 rules, none of which it breaks.
#[tokio::test(flavor = "multi_thread")]
async fn the_bridge_keeps_the_rules_that_the_kit_knows() {
    let mut rig = rig("");
    rig.start();
    kit(&rig).await;
}

/// What the kit finds; nothing that a bot must do is not done.
pub(crate) async fn kit(rig: &Rig) -> Value {
    let to = rig.url(&format!("/voicebot/{BOT}")).replacen("http", "ws", 1);
    let args = ["simulate", "voicebot", "--to", &to, "--listen", "1s", "--at-once", "20", "--json"];
    let mut command = rig.command(&args);
    let ran = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("it runs");
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{told}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert!(!told.contains(BOT), "the address is the credential");
    serde_json::from_str(&told).expect("JSON")
}
