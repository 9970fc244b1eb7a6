//! Calls that a Deepgram agent answers: the real binary between Exotel's end of a stream and a strict agent.

use std::time::Duration;

use patchbay_sandbox::backends::{
    Handshake, Session, Stage,
    deepgram::{Agent, Talk},
    sound,
};
use patchbay_voice::Rate;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::{
    rig::Rig,
    stream::{Caller, OTHER_BOT, SECRET, end, keeps_quiet, with_bot},
};

const GREETING: f64 = 440.0;
const ANSWER: f64 = 880.0;
const LATE: f64 = 1500.0;
const CALLERS: f64 = 620.0;

fn stage(agent: Agent) -> Stage<Talk> {
    Stage::start(move |asked: &Handshake| agent.door(asked)).expect("a stage")
}

fn rig(stage: &Stage<Talk>, more: &str) -> Rig {
    with_bot("deepgram", &format!("{}/v1/agent/converse", stage.url()), SECRET, more)
}

async fn call(rig: &Rig, call_sid: &str, rate: Rate) -> Caller {
    Caller::of(rig, &format!("/voicebot/{OTHER_BOT}"), call_sid, rate).await
}

async fn settings(stage: &Stage<Talk>, nth: usize) -> Value {
    stage.until(nth, "its settings", |talk| talk.settings.clone()).await
}

/// The first message of this kind that the agent was told, beside audio.
async fn told(stage: &Stage<Talk>, nth: usize, kind: &str) -> Value {
    let find = |talk: &mut Talk| talk.told.iter().find(|message| message["type"] == kind).cloned();
    stage.until(nth, kind, find).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deepgram_agent_and_a_caller_hear_each_other_at_any_rate() {
    for rate in Rate::ALL {
        let stage = stage(Agent { welcomes: false, ..Agent::new(SECRET) });
        let mut rig = rig(
            &stage,
            "instructions = \"Be brief.\"\ngreeting = \"Hello, this is Acme.\"\n\
             options = { agent = { think = { provider = { temperature = 0.5 } } } }\n\
             [[account.bot.tool]]\nname = \"order_status\"\ndescription = \"Looks up an order.\"\n\
             url = \"http://127.0.0.1:9/orders\"\n",
        );
        rig.start();
        let caller = call(&rig, "both", rate).await;
        // What the caller says before it is there is kept.
        caller.says(&sound::tone(CALLERS, rate.hz(), 600));
        stage.until(0, "a connection", |_| Some(())).await;
        stage.with(0, Talk::welcome);
        let settings = settings(&stage, 0).await;
        assert_eq!(settings["audio"]["output"]["sample_rate"], rate.hz());
        let agent = &settings["agent"];
        assert_eq!(
            (&agent["greeting"], &agent["think"]["provider"]["temperature"]),
            (&json!("Hello, this is Acme."), &json!(0.5))
        );
        let prompt = agent["think"]["prompt"].as_str().expect("a prompt");
        assert!(prompt.starts_with("Be brief.\n\n") && prompt.contains("+919052161119"), "{prompt}");
        let functions = agent["think"]["functions"].as_array().expect("functions");
        assert!(functions.iter().any(|function| function["name"] == "order_status"), "{functions:?}");
        let half = rate.bytes_of_ms(500) as usize;
        let speech = |talk: &mut Talk| (talk.ear.speech().len() >= half).then(|| talk.ear.speech().to_vec());
        let speech = stage.until(0, "what the caller says", speech).await;
        let share = sound::share_of(CALLERS, rate.hz(), &speech[half / 5..half]);
        assert!(share > 0.95, "{share} at {rate:?}");
        let tone = sound::tone(GREETING, rate.hz(), 1000);
        // In odd pieces.
        stage.with(0, |talk| talk.says(&[("Hello, this is Acme.", &tone)], 1601, Duration::ZERO));
        let heard =
            caller.until("the greeting", |ears| (ears.heard.len() >= tone.len()).then(|| ears.heard.clone())).await;
        assert!(heard[..tone.len()] == tone, "as it was said at {rate:?}");
        caller.hangs_up();
        caller.closed().await;
        stage.until(0, "the agent is let go", |talk| talk.side().closed).await;
        assert_eq!(end(&rig, "both").await["reason"], "stopped");
        keeps_quiet(&rig);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_speaks_over_a_deepgram_agent_is_listened_to() {
    let stage = stage(Agent { late: sound::tone(LATE, 8000, 500), ..Agent::new(SECRET) });
    let mut rig = rig(&stage, "");
    rig.start();
    let caller = call(&rig, "over", Rate::Hz8000).await;
    settings(&stage, 0).await;
    let long = sound::tone(GREETING, 8000, 4000);
    let sentences = [("Once upon a time", long.as_slice()), ("there was a call.", long.as_slice())];
    stage.with(0, |talk| talk.says(&sentences, 3200, Duration::from_millis(50)));
    caller.until("some of it", |ears| (ears.heard.len() > 8000).then_some(())).await;
    caller.says(&sound::tone(CALLERS, 8000, 400));
    let at = caller.until("it is taken back", |ears| ears.clears.first().copied()).await;
    assert!(at < 2 * long.len(), "{at}");
    let answer = sound::tone(ANSWER, 8000, 1000);
    // He has spoken, so that it may.
    stage.until(0, "his turn", |talk| (talk.ear.heard.len() - talk.ear.speech().len() > 9600).then_some(())).await;
    stage.with(0, |talk| talk.says(&[("Yes?", &answer)], 3200, Duration::ZERO));
    let wanted = at + answer.len();
    let heard = caller.until("the answer", |ears| (ears.heard.len() >= wanted).then(|| ears.heard.split_off(at))).await;
    assert!(heard[..answer.len()] == answer, "nothing of the old is in it, nor what came late");
    // He speaks again once all of that was heard: nothing is taken back.
    let pause = vec![0; Rate::Hz8000.bytes_of_ms(2000) as usize];
    caller.says(&[pause, sound::tone(CALLERS, 8000, 400)].concat());
    stage.until(0, "his next turn", |talk| (talk.turns == 2).then_some(())).await;
    stage.with(0, |talk| talk.fails("CLIENT_MESSAGE_TIMEOUT"));
    assert_eq!(caller.closed().await, CloseCode::Normal);
    let told = end(&rig, "over").await;
    assert_eq!((&told["reason"], &told["barge_ins"]), (&json!("backend_failed"), &json!(1)), "{told}");
    assert_eq!(told["told"], "the agent failed (CLIENT_MESSAGE_TIMEOUT)");
    keeps_quiet(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deepgram_agent_is_told_keys_and_what_came_of_its_functions() {
    let stage = stage(Agent::new(SECRET));
    let mut rig = rig(&stage, "");
    rig.start();
    let caller = call(&rig, "keys", Rate::Hz8000).await;
    settings(&stage, 0).await;
    for digit in ["1", "7", "#"] {
        caller.presses(digit);
    }
    assert_eq!(told(&stage, 0, "InjectUserMessage").await["content"], "The caller pressed 17# on the keypad.");
    stage.with(0, |talk| talk.calls("fc_1", "no_such_tool", &json!({ "order": "7" })));
    let answer = told(&stage, 0, "FunctionCallResponse").await;
    assert_eq!((&answer["id"], &answer["name"]), (&json!("fc_1"), &json!("no_such_tool")));
    assert!(answer["content"].as_str().is_some_and(|content| content.contains("error")), "{answer}");
    caller.hangs_up();
    caller.closed().await;
    keeps_quiet(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_deepgram_agent_fails_the_flow_goes_on_and_the_call_says_why() {
    let right = Agent::new(SECRET);
    for (call_sid, agent, told) in [
        ("key", Agent { key: "another".to_owned(), ..right.clone() }, "answered the handshake with 401"),
        (
            "model",
            Agent { refuses: Some("INVALID_SETTINGS".to_owned()), ..right.clone() },
            "in agent.think, a model is not available",
        ),
    ] {
        let stage = stage(agent);
        let mut rig = rig(&stage, "");
        rig.start();
        let caller = call(&rig, call_sid, Rate::Hz8000).await;
        assert_eq!(caller.closed().await, CloseCode::Normal, "{call_sid}");
        let ended = end(&rig, call_sid).await;
        assert_eq!(ended["reason"], "backend_failed", "{ended}");
        let why = ended["told"].as_str().unwrap_or_default();
        assert!(why.contains(told), "{why}");
        keeps_quiet(&rig);
    }
    // One that never says Welcome keeps no caller waiting.
    let silent = stage(Agent { welcomes: false, ..right.clone() });
    let mut impatient = rig(&silent, "");
    impatient.extra += "\n[voicebot]\nconnect_timeout = \"2s\"\n";
    impatient.start();
    let caller = call(&impatient, "silent", Rate::Hz8000).await;
    assert_eq!(caller.closed().await, CloseCode::Normal);
    assert_eq!(end(&impatient, "silent").await["told"], "is connected, and did not get ready in time");
    let stage = stage(right);
    let mut rig = rig(&stage, "");
    rig.start();
    let caller = call(&rig, "dies", Rate::Hz8000).await;
    settings(&stage, 0).await;
    stage.with(0, |talk| talk.side().script.drop_connection());
    caller.closed().await;
    assert_eq!(end(&rig, "dies").await["reason"], "backend_failed");
}
