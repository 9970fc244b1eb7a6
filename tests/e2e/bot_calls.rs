//! Exotel's side around a voicebot's stream: calls that are placed for a bot, what its Passthru tells once it has gone, and
//! the addresses that flows made for other platforms have.

use futures_util::SinkExt;
use http::Method;
use jiff::Timestamp;
use patchbay_sandbox::{Fault, On, exotel::SimulatedCall};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

use crate::{
    rig::{ADMIN, AGENT, EXOPHONE, KEY, Rig, SID, TOKEN},
    stream::{CALLER, Line, STREAM, end, is_echoed, known, next},
    voice::serve,
};

const CONNECT: &str = "/v1/Accounts/acme1/Calls/connect.json";
const FLOW: &str = "https://my.exotel.com/acme1/exoml/start_voice/7";
const BOT: &str = "bot-token-0123456789abcdef";
const OTHER_BOT: &str = "other-token-0123456789abcd";
const BARE: &str = "+918047494575";
const CUSTOMER: &str = "9876500001";
/// What a flow's author might have put into the address of his own bot.
const SECRET: &str = "stream-hunter2";

/// A bot that echoes and answers for the ExoPhone; `more` behind it.
fn rig(more: &str) -> Rig {
    let mut rig = Rig::new();
    rig.extra += "\n[dialer]\nwait = \"2s\"\nsettle_after = \"8s\"\n";
    rig.account = format!(
        "[[account.bot]]\nid = \"echo\"\ntoken = \"{BOT}\"\nbackend = \"echo\"\nexophones = [\"{EXOPHONE}\"]\n{more}"
    );
    rig.calls_are_short();
    rig
}

async fn call(rig: &Rig, bot: &str, key: &str, body: Value) -> (u16, Value) {
    let url = rig.url(&format!("/api/v1/accounts/{SID}/bots/{bot}/calls"));
    let mut request = rig.http.post(url).bearer_auth(ADMIN).body(body.to_string());
    if !key.is_empty() {
        request = request.header("Idempotency-Key", key);
    }
    let reply = request.send().await.expect("an answer");
    let status = reply.status().as_u16();
    (status, serde_json::from_slice(&reply.bytes().await.expect("a body")).expect("JSON"))
}

fn dials(rig: &Rig) -> usize {
    rig.exotel.requests().iter().filter(|seen| seen.method == Method::POST && seen.path == CONNECT).count()
}

fn placed(rig: &Rig, call_sid: &str) -> SimulatedCall {
    rig.exotel.with(|exotel| exotel.call(call_sid).cloned()).expect("the call")
}

/// Of an address of ours, what stands behind host and port.
fn path_of(url: &str) -> String {
    let behind = url.split_once("://").expect("a scheme").1;
    behind[behind.find('/').expect("a path")..].to_owned()
}

/// Posts what Exotel has to say of placed calls, until it has said so much.
async fn told_by_exotel(rig: &Rig, count: usize) {
    let mut told = 0;
    rig.until_async("Exotel says what became of it", async || {
        for callback in rig.exotel.with(|exotel| exotel.take_callbacks(Timestamp::now())) {
            let request = rig.http.post(&callback.url).header("content-type", callback.content_type);
            assert_eq!(request.body(callback.body).send().await.expect("an answer").status(), 200);
            told += 1;
        }
        told >= count
    })
    .await;
}

fn keeps_quiet(rig: &Rig) {
    let seen: Vec<String> = rig.exotel.with(|exotel| {
        let calls = exotel.placed().iter().filter_map(|sid| exotel.call(sid)?.stream_url.clone());
        calls.filter_map(|url| Some(url.rsplit('/').next()?.to_owned())).collect()
    });
    for line in rig.logs() {
        for secret in seen.iter().map(String::as_str).chain([BOT, OTHER_BOT, SECRET, CUSTOMER, CALLER, TOKEN]) {
            assert!(!line.contains(secret), "{secret}: {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_rings_a_customer_and_the_record_says_that_they_spoke() {
    let mut rig = rig("");
    rig.start();
    let body = json!({ "to": CUSTOMER, "parameters": { "order": "7" }, "time_limit": 600, "record": false });
    let (status, click) = call(&rig, "echo", "k1", body.clone()).await;
    assert_eq!((status, &click["state"], &click["bot"]), (201, &json!("placed"), &json!("echo")), "{click:#}");
    let call_sid = click["call_sid"].as_str().expect("a CallSid").to_owned();
    let made = placed(&rig, &call_sid);
    let mark = format!("bot:echo pb:{}", click["id"].as_str().expect("an id").replace('-', ""));
    assert_eq!((made.from.as_str(), made.exophone.as_str()), ("09876500001", EXOPHONE));
    assert_eq!((made.custom_field.as_deref(), made.flow_url.as_deref()), (Some(mark.as_str()), None));
    let stream = made.stream_url.expect("an address");
    assert!(stream.starts_with(&rig.url("/voicebot/").replacen("http", "ws", 1)), "{stream}");
    assert_eq!(rig.exotel.with(|exotel| exotel.surprises().count()), 0);
    // A ticket is for this bot, and nobody makes another of it.
    let path = path_of(&stream);
    let forged = format!("{}x", path);
    assert_eq!(Line::try_dial(&rig, &forged, None).await.err(), Some(404));
    let mut line = Line::started(&rig, &path, None, &call_sid).await;
    is_echoed(&mut line, 5).await;
    line.stop().await;
    assert_eq!(line.closed().await, CloseCode::Normal);
    end(&rig, &call_sid).await;
    // Whoever asks again is told, also after a restart, and nobody is rung.
    rig.kill();
    rig.start();
    let again = call(&rig, "echo", "k1", body.clone()).await;
    assert_eq!(again, (201, click));
    let other = call(&rig, "echo", "k1", json!({ "to": CUSTOMER })).await;
    assert_eq!((other.0, &other.1["error"]["code"]), (409, &json!("key_of_another_request")));
    assert_eq!(dials(&rig), 1);
    told_by_exotel(&rig, 2).await;
    let ticket = rig.ticket(&call_sid).await;
    assert_eq!(ticket.subject, "Outgoing Call to 09876500001");
    assert!(ticket.description.contains("Bot: echo, "), "{}", ticket.description);
    let file = rig.account(&format!("/calls/{call_sid}")).await;
    let state = &file["state"];
    assert_eq!((&state["outcome"], &state["direction"]), (&json!("answered"), &json!("outgoing")), "{state:#}");
    assert_eq!((&state["attempts"], &state["bot"]["spoke"]), (&json!([]), &json!(true)), "{state:#}");
    assert_eq!(rig.tickets(&call_sid).len(), 1);
    keeps_quiet(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_called_is_told_with_what_would_be_right() {
    let mut rig = rig(&format!(
        "[[account.bot]]\nid = \"idle\"\ntoken = \"{OTHER_BOT}\"\nbackend = \"echo\"\n\
         [[account.did]]\nnumber = \"{BARE}\"\n"
    ));
    rig.start();
    let many: Value = (0..21).map(|n| (format!("p{n}"), json!("x"))).collect::<serde_json::Map<_, _>>().into();
    for (bot, key, body, status, code) in [
        ("echo", "", json!({ "to": CUSTOMER }), 400, "bad_request"),
        ("nobody", "k", json!({ "to": CUSTOMER }), 404, "not_found"),
        ("idle", "k", json!({ "to": CUSTOMER }), 422, "no_did"),
        ("echo", "k", json!({ "to": CUSTOMER, "exophone": "+918000000000" }), 422, "unknown_did"),
        ("echo", "k", json!({ "to": "sip:alice" }), 422, "not_a_number"),
        ("echo", "k", json!({ "to": EXOPHONE }), 422, "the_did_itself"),
        ("echo", "k", json!({ "to": CUSTOMER, "parameters": many }), 422, "too_much"),
        ("echo", "k", json!({ "to": CUSTOMER, "parameters": { "a b": "x" } }), 422, "too_much"),
        ("echo", "k", json!({ "to": CUSTOMER, "time_limit": 14_401 }), 422, "out_of_range"),
        ("echo", "k", json!({ "to": CUSTOMER, "nonsense": 1 }), 400, "bad_request"),
    ] {
        let refused = call(&rig, bot, key, body).await;
        assert_eq!((refused.0, &refused.1["error"]["code"]), (status, &json!(code)), "{:#}", refused.1);
    }
    // A token of the role agent is a person's, or nobody's.
    let asked = json!({ "label": "agent", "role": "agent", "accounts": [SID] });
    let (status, made) = rig.post("/api/v1/tokens", asked).await;
    assert_eq!(status, 201);
    let url = rig.url(&format!("/api/v1/accounts/{SID}/bots/echo/calls"));
    let request = rig.http.post(url).bearer_auth(made["token"].as_str().expect("a token"));
    let request = request.header("Idempotency-Key", "k").body(json!({ "to": CUSTOMER }).to_string());
    assert_eq!(request.send().await.expect("an answer").status(), 403);
    assert_eq!(dials(&rig), 0);
    // A DID that is given counts, whosever it is.
    let (status, click) = call(&rig, "idle", "k", json!({ "to": CUSTOMER, "exophone": BARE })).await;
    assert_eq!((status, &click["caller_id"]), (201, &json!(BARE)), "{click:#}");
    let night = format!("calling_hours = \"00:00-00:01\"\n{}", rig.account);
    rig.kill();
    rig.account = night;
    rig.start();
    let refused = call(&rig, "echo", "k9", json!({ "to": CUSTOMER })).await;
    assert_eq!((refused.0, &refused.1["error"]["code"]), (422, &json!("outside_calling_hours")));
    assert_eq!(dials(&rig), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bots_call_is_one_through_the_death_of_the_process() {
    for (point, calls) in [("dialer.after_intent", 1), ("dialer.after_dialling", 0), ("dialer.after_answer", 1)] {
        let mut rig = rig("");
        rig.env.push(("PATCHBAY_CRASH".to_owned(), point.to_owned()));
        rig.start();
        let url = rig.url(&format!("/api/v1/accounts/{SID}/bots/echo/calls"));
        let request = rig.http.post(url).bearer_auth(ADMIN).header("Idempotency-Key", "k");
        let body = json!({ "to": CUSTOMER, "parameters": { "order": "7" } });
        assert!(request.body(body.to_string()).send().await.is_err(), "{point}: it dies");
        rig.kill();
        rig.env.clear();
        rig.start();
        let (_, asked) = call(&rig, "echo", "k", body).await;
        let path = format!("/clicks/{}", asked["id"].as_str().expect("an id"));
        let wanted = if calls == 1 { "placed" } else { "not_placed" };
        rig.until_api(&path, |click| (click["state"] == wanted).then_some(())).await;
        assert_eq!(rig.exotel.with(|exotel| exotel.placed().len()), calls, "{point}");
        assert_eq!(dials(&rig), calls, "{point}");
    }
}

/// `start`, with what else is in it, on the one address for all.
async fn on_shared(rig: &Rig, path: &str, call_sid: &str, more: Value) -> Line {
    let ws = Line::try_dial(rig, path, Some((KEY, TOKEN))).await.expect("a handshake");
    let mut line = Line::over(ws, call_sid);
    let mut start = json!({ "stream_sid": STREAM, "call_sid": call_sid, "account_sid": SID, "from": CALLER, "to": EXOPHONE,
        "media_format": { "encoding": "base64", "sample_rate": "8000" } });
    for (name, value) in more.as_object().into_iter().flatten() {
        start[name] = value.clone();
    }
    line.send(json!({ "event": "start", "stream_sid": STREAM, "start": start })).await;
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_that_a_call_was_placed_for_has_it_before_the_dids() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}/media", listener.local_addr().expect("an address"));
    let mut rig = rig(&format!(
        "[[account.bot]]\nid = \"sales\"\ntoken = \"{OTHER_BOT}\"\nbackend = \"twilio\"\nurl = \"{url}\"\n\
         [[account.did]]\nnumber = \"{BARE}\"\nbot_id = \"echo\"\nflow_url = \"{FLOW}\"\n"
    ));
    rig.start();
    let body = json!({ "to": CUSTOMER, "exophone": BARE, "parameters": { "order": "7", "lang": "hi" } });
    let (status, click) = call(&rig, "sales", "k1", body).await;
    assert_eq!(status, 201, "{click:#}");
    let call_sid = click["call_sid"].as_str().expect("a CallSid").to_owned();
    let made = placed(&rig, &call_sid);
    assert_eq!((made.flow_url.as_deref(), made.stream_url), (Some(FLOW), None), "the DID has a flow");
    known(&rig, &call_sid).await;
    // The flow's address names no bot: Exotel says the CallSid, and what the flow itself says stands.
    let mut line = on_shared(&rig, "/ws/exotel", &call_sid, json!({ "custom_parameters": { "lang": "en" } })).await;
    let (mut server, ..) = serve(&listener).await;
    let mut hears =
        async || -> Value { serde_json::from_str(&next(&mut server).await.expect("a frame")).expect("JSON") };
    assert_eq!(hears().await["event"], "connected");
    let told = hears().await;
    let parameters = &told["start"]["customParameters"];
    assert_eq!((&parameters["order"], &parameters["lang"]), (&json!("7"), &json!("en")), "{told}");
    line.stop().await;
    line.closed().await;
    // Calls that others placed: what they carry, where Exotel says it, in either form.
    let field = |text: &str| json!({ "customField": text });
    for (call_sid, path, more, bot) in [
        ("others1", "/ws/exotel", field("sales"), "sales"),
        ("others2", "/ws/exotel", field("bot:sales order 9"), "sales"),
        ("others3", "/ws/exotel", field("order 9"), "echo"),
        ("others4", "/ws/exotel?bot_id=echo", field("sales"), "echo"),
        ("others5", "/exotel/echo", field("sales"), "echo"),
        ("others6", "/ws/exotel", json!({ "CustomField": "sales", "custom_parameters": { "bot_id": "echo" } }), "echo"),
        ("others7", "/ws/exotel", field("bot:gone"), "nobody"),
    ] {
        let mut line = on_shared(&rig, path, call_sid, more).await;
        match bot {
            "echo" => is_echoed(&mut line, 5).await,
            "sales" => drop(serve(&listener).await),
            _ => {}
        }
        // Some have ended by themselves by then.
        let stop = json!({ "event": "stop", "stop": { "call_sid": call_sid } });
        let _ = line.ws.send(Message::text(stop.to_string())).await;
        line.closed().await;
        end(&rig, call_sid).await;
        let state = rig.account(&format!("/calls/{call_sid}")).await["state"].clone();
        let had = state["bot"]["bot"].as_str().unwrap_or("nobody");
        assert_eq!(had, bot, "{call_sid}: {state:#}");
    }
    // A Passthru before the applet that says it is as good.
    let said = rig.hook(&format!("CallSid=others8&CallFrom={CALLER}&CallTo={EXOPHONE}&CustomField=sales")).await;
    assert_eq!(said, 200);
    known(&rig, "others8").await;
    let mut line = on_shared(&rig, "/ws/exotel", "others8", Value::Null).await;
    drop(serve(&listener).await);
    line.closed().await;
    assert_eq!(end(&rig, "others8").await["reason"], "backend_failed");
    keeps_quiet(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_stream_becomes_part_of_the_call() {
    let mut rig = rig("");
    rig.start();
    let mut line = Line::started(&rig, &format!("/voicebot/{BOT}"), None, "through").await;
    is_echoed(&mut line, 5).await;
    line.stop().await;
    line.closed().await;
    end(&rig, "through").await;
    // Asynchronous by GET, and once more by POST, as Exotel repeats itself; `+` as it is.
    let passthru = format!(
        "CallSid=through&Direction=incoming&CallFrom=+919052161119&CallTo={EXOPHONE}&Stream[StreamSID]=s1\
         &Stream[Status]=completed&Stream[Duration]=28&Stream[DisconnectedBy]=user\
         &Stream[RecordingUrl]=https://recordings.exotel.com/exotelrecordings/acme1/s1.mp3\
         &Stream[StreamUrl]=wss://k:{SECRET}@bot.example.com/voicebot/{SECRET}"
    );
    assert_eq!(rig.hook(&passthru).await, 200);
    let url = rig.url(&format!("/v2/accounts/{SID}/call-events"));
    let stream = json!({ "StreamSID": "s1", "Status": "completed", "Duration": "28", "DisconnectedBy": "user",
        "StreamUrl": format!("wss://bot.example.com/{SECRET}") });
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("CallSid", "through")
        .append_pair("Stream", &stream.to_string())
        .finish();
    let request = rig.http.post(&url).basic_auth(KEY, Some(TOKEN));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    let file = rig
        .until_api("/calls/through", |file| {
            let told = file["timeline"].as_array()?.iter().filter(|entry| entry["stream"].is_object()).count();
            (told == 2).then(|| file.clone())
        })
        .await;
    let state = &file["state"];
    assert_eq!(state["streams"].as_array().map(Vec::len), Some(1), "{state:#}");
    assert_eq!((&state["outcome"], &state["recording"]), (&json!("answered"), &json!(true)), "{state:#}");
    // The first writing may be from what the stream alone has said, which has the number in another form.
    rig.ticket("through").await;
    let written = || {
        let ticket = &rig.tickets("through")[0];
        ticket.subject == "Incoming Call from +919052161119"
            && ticket.description.contains("Bot: echo, 28 s, ended by the caller")
    };
    rig.until("the record says it", || written().then_some(())).await;
    // One that failed is told with its reason, and answers nobody.
    let failed = "CallSid=failed&CallFrom=09052161119&Stream[StreamSID]=s2&Stream[Status]=failed&Stream[DisconnectedBy]=NA\
         &Stream[DetailedStatus]=Streaming_call_throttled";
    let broken = format!(
        "CallSid=broken&CallFrom=09052161119&Stream[StreamSID]=s3&Stream[Status]=failed\
         &Stream[Error]=3009 failed to establish ws conn wss://bot.example.com/{SECRET} dial tcp: no such host"
    );
    for (call_sid, query, reason) in
        [("failed", failed, "Streaming_call_throttled"), ("broken", broken.as_str(), "3009 failed to establish")]
    {
        assert_eq!(rig.hook(query).await, 200);
        known(&rig, call_sid).await;
        let file = rig.account(&format!("/calls/{call_sid}")).await;
        let told = file["timeline"][0]["stream"].to_string();
        assert!(told.contains(reason) && told.contains("\"failed\""), "{told}");
        assert_ne!(file["state"]["outcome"], "answered");
    }
    // Wherever it went: the address is gone before it is kept.
    rig.kill();
    for name in ["patchbay.db", "patchbay.db-wal"] {
        let kept = std::fs::read(rig.path(name)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&kept).contains(SECRET), "{name}");
    }
    keeps_quiet(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_of_other_platforms_find_their_addresses() {
    let mut rig = rig(&format!("[[account.did]]\nnumber = \"{BARE}\"\n"));
    rig.start();
    let ask = async |method: Method, path: &str, version: Option<&str>| {
        let mut request = rig.http.request(method, rig.url(path)).basic_auth(KEY, Some(TOKEN));
        if let Some(version) = version {
            request = request.header("Exotel-Version", version);
        }
        let reply = request.send().await.expect("an answer");
        assert!(!reply.headers().contains_key("location"), "a branch, no redirect");
        (reply.status().as_u16(), reply.text().await.expect("a body"))
    };
    let call = format!("CallSid=seed1&CallFrom={CALLER}");
    // Before the bot: is there one for this DID?
    for (to, status) in [(EXOPHONE, 200), ("08047494575", 302), ("08000000000", 302)] {
        for method in [Method::GET, Method::POST] {
            let answer = ask(method, &format!("/exotel/answer?{call}&CallTo={to}"), None).await;
            assert_eq!(answer.0, status, "{to}: {}", answer.1);
        }
    }
    known(&rig, "seed1").await;
    // Once it has gone: is a human to go on?
    let dial_up = format!("/exotel/dial-up/?{call}&CallTo={EXOPHONE}&Stream[StreamSID]=s1&Stream[Status]=completed");
    assert_eq!(ask(Method::GET, &dial_up, None).await.0, 302);
    let decide = format!("/v2/accounts/{SID}/decide?rule=hand_over&{call}");
    assert_eq!(ask(Method::GET, &decide, None).await.0, 302);
    let hand_over = format!("/api/v1/accounts/{SID}/calls/seed1/hand-over");
    assert_eq!(rig.post(&hand_over, json!({ "target": AGENT })).await.0, 202);
    // The Passthru asks as often as it likes; the Connect applet takes him.
    for _ in 0..2 {
        assert_eq!(ask(Method::GET, &dial_up, None).await.0, 200);
        assert_eq!(ask(Method::POST, &decide, None).await.0, 200);
    }
    let (status, text) = ask(Method::GET, &dial_up, Some("1.0")).await;
    let named: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((status, &named["destination"]["numbers"]), (200, &json!(["+919711581199"])), "{named}");
    assert_eq!(ask(Method::GET, &dial_up, None).await.0, 302, "he has been taken");
    // What became of the call is told at one address for all.
    let form = format!("CallSid=seed2&Direction=outbound-api&From={CALLER}&PhoneNumberSid={EXOPHONE}&Status=no-answer");
    let request = rig.http.post(rig.url("/exotel/callback/status")).basic_auth(KEY, Some(TOKEN));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    known(&rig, "seed2").await;
    let state = rig.account("/calls/seed2").await["state"].clone();
    assert_eq!(state["outcome"], "missed");
    // Nobody else gets in; behind a hook token they are open as all hooks are.
    for path in ["/exotel/answer", "/exotel/dial-up", "/exotel/callback/status"] {
        let none = rig.http.get(rig.url(path)).send().await.expect("an answer");
        assert_eq!(none.status(), 401, "{path}");
        let wrong = rig.http.get(rig.url(path)).basic_auth(KEY, Some("wrong")).send().await.expect("an answer");
        assert_eq!(wrong.status(), 401, "{path}");
    }
    let (status, hook) = rig.post(&format!("/api/v1/accounts/{SID}/hooks"), json!({ "label": "flow" })).await;
    assert_eq!(status, 201);
    let urls: Vec<&str> = hook["families"]
        .as_array()
        .expect("families")
        .iter()
        .filter(|url| url["family"] == "voicebot")
        .map(|url| url["url"].as_str().expect("a URL"))
        .collect();
    assert_eq!(urls.len(), 4, "{hook:#}");
    let answer = rig.http.get(format!("{}?{call}&CallTo={EXOPHONE}", urls[0])).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    keeps_quiet(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_written_for_twilio_hangs_up_as_it_knows_how() {
    let mut rig = rig(&format!("[[account.bot]]\nid = \"idle\"\ntoken = \"{OTHER_BOT}\"\nbackend = \"echo\"\n"));
    rig.start();
    let hang_up = async |account: &str, call_sid: &str, user: &str, password: &str, form: &'static str| {
        let url = rig.url(&format!("/2010-04-01/Accounts/{account}/Calls/{call_sid}.json"));
        let request = rig.http.post(url).basic_auth(user, Some(password));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let reply = request.send().await.expect("an answer");
        let status = reply.status().as_u16();
        let body: Value = serde_json::from_slice(&reply.bytes().await.expect("a body")).expect("JSON");
        (status, body)
    };
    let mut line = Line::started(&rig, &format!("/voicebot/{BOT}"), None, "ends").await;
    is_echoed(&mut line, 5).await;
    let done = "Status=completed";
    for (account, call_sid, user, password, form, status, code) in [
        (SID, "ends", SID, "wrong", done, 401, 20003),
        (SID, "ends", "other", BOT, done, 401, 20003),
        ("other", "ends", SID, BOT, done, 401, 20003),
        (SID, "ends", SID, OTHER_BOT, done, 404, 20404),
        (SID, "nothing", SID, BOT, done, 404, 20404),
        (SID, "ends", SID, BOT, "Url=http://x", 400, 20001),
    ] {
        let answer = hang_up(account, call_sid, user, password, form).await;
        assert_eq!((answer.0, &answer.1["code"]), (status, &json!(code)), "{}", answer.1);
    }
    is_echoed(&mut line, 5).await;
    // What is said is heard first.
    for number in 0..5 {
        line.say(&[number + 1; 320]).await;
    }
    let answer = hang_up(SID, "ends", SID, BOT, done).await;
    assert_eq!((answer.0, &answer.1["status"]), (200, &json!("completed")));
    loop {
        match line.next().await {
            Ok(text) if text.contains("\"mark\"") => line.send(serde_json::from_str(&text).expect("JSON")).await,
            Ok(_) => {}
            Err(code) => break assert_eq!(code, CloseCode::Normal),
        }
    }
    let told = end(&rig, "ends").await;
    assert_eq!(told["reason"], "bot_done", "{told}");
    assert!(told["told"].as_str().is_some_and(|why| why.contains("API")), "{told}");
    assert_eq!(hang_up(SID, "ends", SID, BOT, done).await.0, 404, "it is over");
    // The account's own credential ends any of its sessions.
    let mut line = Line::started(&rig, &format!("/voicebot/{BOT}"), None, "by-account").await;
    is_echoed(&mut line, 5).await;
    assert_eq!(hang_up(SID, "by-account", KEY, TOKEN, done).await.0, 200);
    line.echo_mark().await;
    assert_eq!(line.closed().await, CloseCode::Normal);
    keeps_quiet(&rig);
}

/// An answer that is lost is looked for by the mark, which stands behind the bot's id.
#[tokio::test(flavor = "multi_thread")]
async fn a_bots_call_whose_answer_is_lost_is_found_again() {
    let mut rig = rig("");
    rig.start();
    rig.exotel.faults().push(On::exactly(Method::POST, CONNECT), Fault::ResetAfter);
    let body = json!({ "to": CUSTOMER, "parameters": { "order": "7" } });
    let (_, click) = call(&rig, "echo", "k1", body).await;
    let path = format!("/clicks/{}", click["id"].as_str().expect("an id"));
    let click = rig.until_api(&path, |click| (click["state"] == "placed").then(|| click.clone())).await;
    assert_eq!((dials(&rig), &click["bot"]), (1, &json!("echo")));
}
