//! What bots have done during calls, and what is left of it: the real binary between a caller, a strict agent that uses
//! tools, and a Freshdesk.

use std::time::Duration;

use patchbay_sandbox::backends::{
    Handshake, Session, Stage,
    deepgram::{Agent, Talk},
    sound,
};
use patchbay_voice::Rate;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::{
    rig::{AGENT2, Call, EXOPHONE, KEY, PATIENCE, Rig, SID, TOKEN},
    stream::{Caller, OTHER_BOT, SECRET, end, keeps_quiet, known, metric, with_bot},
};

const GOODBYE: f64 = 440.0;
const CALLERS: f64 = 620.0;
/// What callers and bots say, in no log.
const SAID: [&str; 2] = ["Where is my order?", "I put you through."];

fn stage() -> Stage<Talk> {
    let agent = Agent::new(SECRET);
    Stage::start(move |asked: &Handshake| agent.door(asked)).expect("a stage")
}

fn rig(stage: &Stage<Talk>, more: &str) -> Rig {
    let routing = "[account.routing]\norder = [\"hand_over\", \"fallback\"]\nfallback = [\"08047494574\"]\n\
                   [[account.routing.group]]\nname = \"support\"\nagents = [\"09945476362\"]\n";
    let mut rig =
        with_bot("deepgram", &format!("{}/v1/agent/converse", stage.url()), SECRET, &format!("{more}\n{routing}"));
    rig.start();
    rig
}

/// A caller, and the agent that is ready for him: the `nth`.
async fn caller(rig: &Rig, stage: &Stage<Talk>, nth: usize, call: &Call) -> Caller {
    let caller = Caller::of(rig, &format!("/voicebot/{OTHER_BOT}"), &call.sid, Rate::Hz8000).await;
    stage.until(nth, "its settings", |talk| talk.settings.clone()).await;
    caller
}

/// What the agent was told of a call of a function.
async fn answered(stage: &Stage<Talk>, id: &str) -> Value {
    let find = |talk: &mut Talk| talk.told.iter().find(|message| message["id"] == id).cloned();
    let answer = stage.until(0, id, find).await;
    serde_json::from_str(answer["content"].as_str().expect("content")).expect("JSON")
}

/// The caller asks something, and the agent hears that he has.
async fn asks(stage: &Stage<Talk>, caller: &Caller) {
    let done = stage.with(0, |talk| talk.ear.heard.len());
    caller.says(&sound::tone(CALLERS, 8000, 400));
    // So much silence behind it that the agent takes it for the end.
    let quiet = |talk: &mut Talk| (talk.ear.heard.len() >= done + 16 * 1400).then_some(());
    stage.until(0, "the end of his turn", quiet).await;
}

async fn dials(rig: &Rig, call: &Call, more: &str) -> String {
    let Call { sid, from, .. } = call;
    let url = rig.url(&format!("/v2/accounts/{SID}/dialwhom?CallSid={sid}&CallFrom={from}&CallTo={EXOPHONE}{more}"));
    let reply = rig.http.get(url).basic_auth(KEY, Some(TOKEN)).send().await.expect("an answer");
    reply.text().await.expect("a body")
}

/// The call, once what was said with its bot is known in full.
async fn talk(rig: &Rig, call: &Call, is_whole: impl Fn(&Value) -> bool) -> Value {
    known(rig, &call.sid).await;
    let path = format!("/calls/{}", call.sid);
    rig.until_api(&path, |file| Some(file["state"]["talks"][0].clone()).filter(&is_whole)).await
}

fn says_nothing_of_it(rig: &Rig) {
    keeps_quiet(rig);
    for line in rig.logs() {
        assert!(!SAID.iter().any(|said| line.contains(said)) && !line.contains("refund"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bots_hand_over_is_played_out_and_dialled_once() {
    let stage = stage();
    let rig = rig(&stage, "");
    let call = Call::new(1);
    let caller = caller(&rig, &stage, 0, &call).await;
    let declared =
        stage.with(0, |talk| talk.settings.clone().expect("settings")["agent"]["think"]["functions"].clone());
    let transfer = &declared[0]["parameters"]["properties"]["target"];
    assert_eq!(
        (&declared[0]["name"], &transfer["enum"]),
        (&json!("transfer_to_human"), &json!(["support", "rahil@example.com"]))
    );
    // A number that a caller talked it into is nobody's.
    stage.with(0, |talk| talk.calls("fc_1", "transfer_to_human", &json!({ "target": "+919000000000" })));
    let refused = answered(&stage, "fc_1").await;
    assert!(refused["error"].as_str().is_some_and(|told| told.contains("there are: support")), "{refused}");
    assert_eq!(dials(&rig, &Call::new(2), "").await, "+918047494574", "nobody has asked for this call yet");
    let goodbye = sound::tone(GOODBYE, 8000, 1500);
    stage.with(0, |talk| {
        talk.says(&[(SAID[1], &goodbye)], 3200, Duration::ZERO);
        let wish = json!({ "target": "support", "reason": "wants a refund", "summary": "Ordered twice." });
        talk.calls("fc_2", "transfer_to_human", &wish);
    });
    assert_eq!(caller.closed().await, CloseCode::Normal);
    assert!(caller.with(|ears| ears.heard[..goodbye.len()] == goodbye), "what it was saying is heard first");
    assert_eq!(dials(&rig, &call, "").await, format!("+91{}", &AGENT2[1..]));
    let failed = format!("&DialCallStatus=busy&DialWhomNumber={AGENT2}");
    assert_eq!(dials(&rig, &call, &failed).await, "+918047494574", "once");
    let ended = end(&rig, &call.sid).await;
    assert_eq!((&ended["reason"], &ended["tools"][0]["calls"]), (&json!("handed_over"), &json!(2)), "{ended}");
    assert_eq!(ended["tools"][0]["failed"], 1);
    let talk = talk(&rig, &call, |talk| talk["hand_over"].is_object()).await;
    let wish = json!({ "target": "support", "reason": "wants a refund", "summary": "Ordered twice." });
    assert_eq!((&talk["hand_over"], &talk["transcript"][0]["text"]), (&wish, &json!(SAID[1])));
    stage.until(0, "the agent is let go", |talk| talk.side().closed).await;
    assert!(!stage.with(0, |talk| talk.told.iter().any(|one| one["id"] == "fc_2")), "it says nothing to that");
    assert!(metric(&rig, "patchbay_voice_tools_total{tool=\"transfer_to_human\",result=\"done\"} 1").await);
    says_nothing_of_it(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bot_found_out_stands_in_the_ticket() {
    let stage = stage();
    let rig = rig(&stage, "");
    let call = Call::new(1);
    let caller = caller(&rig, &stage, 0, &call).await;
    asks(&stage, &caller).await;
    let tone = sound::tone(GOODBYE, 8000, 600);
    stage.with(0, |talk| {
        talk.says(&[("It comes tomorrow.", &tone)], 3200, Duration::ZERO);
        talk.calls("fc_1", "set_field", &json!({ "name": "order_number", "value": "4711" }));
        talk.calls("fc_2", "note", &json!({ "text": "Call back <b>soon</b>" }));
    });
    for id in ["fc_1", "fc_2"] {
        assert_eq!(answered(&stage, id).await["result"], "kept");
    }
    // The flow tells of its end before the bot does: its record is made, and what is told later is put into it.
    assert_eq!(rig.hook(&call.end()).await, 200);
    rig.ticket(&call.sid).await;
    stage.with(0, |talk| {
        talk.says(&[("Goodbye!", &tone)], 3200, Duration::ZERO);
        talk.calls("fc_3", "end_call", &json!({ "outcome": "answered in full" }));
    });
    assert_eq!(caller.closed().await, CloseCode::Normal);
    assert!(caller.with(|ears| ears.heard.len()) >= 2 * tone.len(), "what it said last is heard");
    let ended = end(&rig, &call.sid).await;
    assert_eq!((&ended["reason"], &ended["told"]), (&json!("bot_done"), &json!("the bot ended the call")));
    assert!(ended["turns"]["count"] == 1 && ended["turns"]["max_ms"].is_u64(), "{ended}");
    let wanted = [
        "<div>Outcome: answered in full</div>",
        "<div>order_number: 4711</div>",
        "<div>Note: Call back &lt;b&gt;soon&lt;/b&gt;</div>",
        " Caller: Where is my order?</div>",
        " Bot: It comes tomorrow.</div>",
        " Bot: Goodbye!</div>",
    ];
    let whole = |rig: &Rig| {
        let ticket = rig.tickets(&call.sid).pop()?;
        wanted.iter().all(|part| ticket.description.contains(part)).then_some(())
    };
    rig.until("all of it is in the ticket", || whole(&rig)).await;
    rig.settled().await;
    assert_eq!(rig.tickets(&call.sid).len(), 1);
    let file = rig.account(&format!("/calls/{}", call.sid)).await;
    let parts = file["timeline"].as_array().expect("entries").iter().filter(|entry| entry["kind"] == "bot_said");
    assert!(parts.clone().count() > 1 && parts.clone().all(|entry| entry["bot"]["part"].is_object()), "{file}");
    assert!(metric(&rig, "patchbay_voice_turn_seconds_count{backend=\"deepgram\"} 1").await);
    says_nothing_of_it(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_a_crash_is_kept() {
    let stage = stage();
    let mut rig = rig(&stage, "");
    let call = Call::new(1);
    let caller = caller(&rig, &stage, 0, &call).await;
    asks(&stage, &caller).await;
    let is_there = |talk: &Value| talk["transcript"][0]["text"] == SAID[0];
    let before = talk(&rig, &call, is_there).await;
    rig.kill();
    caller.closed().await;
    rig.start();
    assert_eq!(talk(&rig, &call, is_there).await, before);
    assert_eq!(rig.hook(&call.end()).await, 200);
    let ticket = rig.ticket(&call.sid).await;
    assert!(ticket.description.contains(SAID[0]), "{}", ticket.description);
    rig.settled().await;
    assert_eq!(rig.tickets(&call.sid).len(), 1);
}

/// An endpoint: one request, and the connection it came on.
async fn asked(listener: &TcpListener) -> (String, Value, TcpStream) {
    let (mut tcp, _) = timeout(PATIENCE, listener.accept()).await.expect("it is asked").expect("a connection");
    let mut read = Vec::new();
    loop {
        let mut part = [0; 4096];
        let count = timeout(PATIENCE, tcp.read(&mut part)).await.expect("more of it").expect("bytes");
        read.extend(&part[..count]);
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            return (head.to_ascii_lowercase(), body, tcp);
        }
    }
}

async fn answers(tcp: &mut TcpStream, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let reply = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}");
    tcp.write_all(reply.as_bytes()).await.expect("it is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_an_endpoint_does_the_call_goes_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    let stage = stage();
    let tool = |name: &str, more: &str| {
        format!(
            "[[account.bot.tool]]\nname = \"{name}\"\ndescription = \"Looks up an order.\"\n\
             url = \"http://{at}/orders?k=1\"\nheaders = {{ X-Key = \"{SECRET}\" }}\n{more}"
        )
    };
    let tools = [tool("order_status", "method = \"PUT\"\n"), tool("slow", "timeout = \"1s\"\n")];
    let rig = rig(&stage, &tools.concat());
    let call = Call::new(1);
    let caller = caller(&rig, &stage, 0, &call).await;
    let uses = |id: &str, name: &str| stage.with(0, |talk| talk.calls(id, name, &json!({ "order": "7" })));
    // While it takes its time the caller hears the bot.
    uses("fc_1", "order_status");
    let (head, body, mut tcp) = asked(&listener).await;
    assert!(head.starts_with("put /orders?k=1 http/1.1") && head.contains(&format!("x-key: {SECRET}")), "{head}");
    assert_eq!(
        (&body["tool"], &body["id"], &body["arguments"]),
        (&json!("order_status"), &json!("fc_1"), &json!({ "order": "7" }))
    );
    assert_eq!(
        (&body["call_sid"], &body["bot"], &body["from"]),
        (&json!(call.sid), &json!("sales"), &json!("+919052161119"))
    );
    let tone = sound::tone(GOODBYE, 8000, 1000);
    stage.with(0, |talk| talk.says(&[("One moment.", &tone)], 3200, Duration::ZERO));
    caller.until("the bot", |ears| (ears.heard.len() >= tone.len()).then_some(())).await;
    answers(&mut tcp, "200 OK", "", "{\"status\":\"shipped\"}").await;
    assert_eq!(answered(&stage, "fc_1").await, json!({ "status": "shipped" }));
    let cases = [
        ("fc_2", "200 OK", "", "on its way", json!({ "result": "on its way" })),
        ("fc_3", "500 Oops", "", "no such order", json!({ "error": "the endpoint answered 500: no such order" })),
        ("fc_4", "302 Found", "location: /elsewhere\r\n", "", json!({ "error": "the endpoint answered 302" })),
    ];
    for (id, status, headers, body, told) in cases {
        uses(id, "order_status");
        let (_, _, mut tcp) = asked(&listener).await;
        answers(&mut tcp, status, headers, body).await;
        assert_eq!(answered(&stage, id).await, told);
    }
    uses("fc_5", "order_status");
    let (_, _, mut tcp) = asked(&listener).await;
    answers(&mut tcp, "200 OK", "", &"x".repeat(40_000)).await;
    assert!(answered(&stage, "fc_5").await["error"].as_str().is_some_and(|told| told.contains("longer than")));
    uses("fc_6", "slow");
    let (_, _, held) = asked(&listener).await;
    assert!(answered(&stage, "fc_6").await["error"].as_str().is_some_and(|told| told.contains("timed out")));
    drop(held);
    // Nobody wants the answer any more: the request is broken off.
    uses("fc_7", "order_status");
    let (_, _, mut tcp) = asked(&listener).await;
    let withdrawn = json!({ "type": "FunctionCallCancelled", "functions": [{ "id": "fc_7", "name": "order_status" }] });
    stage.with(0, |talk| talk.side().script.json(&withdrawn));
    let read = timeout(PATIENCE, tcp.read(&mut [0; 16])).await.expect("it is broken off");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    caller.hangs_up();
    caller.closed().await;
    let ended = end(&rig, &call.sid).await;
    let used = |name: &str| ended["tools"].as_array().expect("tools").iter().find(|one| one["name"] == name).cloned();
    let (order, slow) = (used("order_status").expect("used"), used("slow").expect("used"));
    assert_eq!((&order["calls"], &order["failed"], &slow["failed"]), (&json!(6), &json!(3), &json!(1)), "{ended}");
    assert!(metric(&rig, "patchbay_voice_tools_total{tool=\"own\",result=\"withdrawn\"} 1").await);
    assert!(!rig.account(&format!("/calls/{}", call.sid)).await.to_string().contains(SECRET));
    says_nothing_of_it(&rig);
}
