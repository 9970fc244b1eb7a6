//! Calls that an ElevenLabs agent answers: the real binary between Exotel's end of a stream and a strict agent.

use std::time::Duration;

use patchbay_sandbox::backends::{
    Handshake, Session, Stage,
    elevenlabs::{Agent, Conversation},
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
const CALLERS: f64 = 620.0;

fn stage(agent: Agent) -> Stage<Conversation> {
    Stage::start(move |asked: &Handshake| agent.door(asked)).expect("a stage")
}

fn rig(stage: &Stage<Conversation>, more: &str) -> Rig {
    with_bot("elevenlabs", &format!("{}/v1/convai/conversation?agent_id=agent_1", stage.url()), SECRET, more)
}

async fn call(rig: &Rig, call_sid: &str, rate: Rate) -> Caller {
    Caller::of(rig, &format!("/voicebot/{OTHER_BOT}"), call_sid, rate).await
}

/// The next message of this kind that the agent was told, beside audio.
async fn told(stage: &Stage<Conversation>, nth: usize, kind: &str) -> Value {
    let find = |talk: &mut Conversation| talk.told.iter().find(|message| message["type"] == kind).cloned();
    stage.until(nth, kind, find).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_elevenlabs_agent_and_a_caller_hear_each_other_at_any_rate() {
    for (rate, of_agent) in
        [(Rate::Hz8000, 8000), (Rate::Hz8000, 16_000), (Rate::Hz16000, 16_000), (Rate::Hz16000, 24_000)]
    {
        let stage = stage(Agent { needs: vec!["from".to_owned(), "owner".to_owned()], ..Agent::new(SECRET, of_agent) });
        let mut rig = rig(&stage, "instructions = \"Be brief.\"\ngreeting = \"Hello, this is Acme.\"");
        rig.start();
        let caller = call(&rig, "both", rate).await;
        let first = stage.until(0, "the call is told of", |talk| talk.first.clone()).await;
        let agent = &first["conversation_config_override"]["agent"];
        assert_eq!(agent["first_message"], "Hello, this is Acme.");
        assert!(agent["prompt"]["prompt"].as_str().is_some_and(|prompt| prompt.starts_with("Be brief.\n\n")));
        assert_eq!(first["dynamic_variables"]["from"], "+919052161119");
        stage.with(0, |talk| {
            talk.ping();
            talk.says("Hello, this is Acme.", &sound::tone(GREETING, of_agent, 1000), 400, Duration::ZERO);
        });
        told(&stage, 0, "pong").await;
        let second = rate.bytes_of_ms(1000) as usize;
        let heard = caller.until("the greeting", |ears| (ears.heard.len() >= second).then(|| ears.heard.clone())).await;
        let share = sound::share_of(GREETING, rate.hz(), &heard[second / 10..second * 9 / 10]);
        assert!(share > 0.95, "{share} at {rate:?}, {of_agent}");
        caller.says(&sound::tone(CALLERS, rate.hz(), 600));
        let half = (of_agent * 2 * 500 / 1000) as usize;
        let speech = |talk: &mut Conversation| (talk.ear.speech().len() >= half).then(|| talk.ear.speech().to_vec());
        let speech = stage.until(0, "what the caller says", speech).await;
        let share = sound::share_of(CALLERS, of_agent, &speech[half / 5..half]);
        assert!(share > 0.95, "{share} at {rate:?}, {of_agent}");
        caller.hangs_up();
        caller.closed().await;
        stage.until(0, "the agent is let go", |talk| talk.side().closed).await;
        assert_eq!(end(&rig, "both").await["reason"], "stopped");
        keeps_quiet(&rig);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_speaks_over_an_elevenlabs_agent_is_listened_to() {
    let stage = stage(Agent::new(SECRET, 16_000));
    let mut rig = rig(&stage, "");
    rig.start();
    let caller = call(&rig, "over", Rate::Hz8000).await;
    let about = told(&stage, 0, "contextual_update").await;
    assert!(about["text"].as_str().is_some_and(|text| text.contains("+919052161119")), "{about}");
    // Faster than it can be heard: five seconds at once, and more that is never sent.
    stage.with(0, |talk| {
        talk.says("Once upon a time", &sound::tone(GREETING, 16_000, 5000), 1000, Duration::ZERO);
    });
    caller.until("some of it", |ears| (ears.heard.len() > 8000).then_some(())).await;
    caller.says(&sound::tone(CALLERS, 8000, 400));
    let at = caller.until("it is taken back", |ears| ears.clears.first().copied()).await;
    let left = Rate::Hz8000.bytes_of_ms(4800) as usize;
    assert!(at < left, "most of it was never sent to Exotel: {at}");
    stage.with(0, |talk| talk.says("Yes?", &sound::tone(ANSWER, 16_000, 1000), 250, Duration::ZERO));
    let heard =
        caller.until("the answer", |ears| (ears.heard.len() >= at + 15_000).then(|| ears.heard.split_off(at))).await;
    // Nothing of the old is in it.
    for part in heard[..14_400].chunks(1600).skip(1) {
        let share = sound::share_of(ANSWER, 8000, part);
        assert!(share > 0.9, "{share}");
    }
    stage.with(0, Conversation::hangs_up);
    assert_eq!(caller.closed().await, CloseCode::Normal);
    let told = end(&rig, "over").await;
    assert_eq!((&told["reason"], &told["barge_ins"]), (&json!("bot_done"), &json!(1)), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_elevenlabs_agent_is_told_keys_and_what_came_of_its_tools() {
    let stage = stage(Agent::new(SECRET, 8000));
    let mut rig = rig(&stage, "");
    rig.start();
    let caller = call(&rig, "keys", Rate::Hz8000).await;
    told(&stage, 0, "contextual_update").await;
    caller.presses("4");
    caller.presses("2");
    assert_eq!(told(&stage, 0, "user_message").await["text"], "The caller pressed 42 on the keypad.");
    stage.with(0, |talk| talk.calls("toolu_1", "no_such_tool", &json!({ "order": "7" })));
    let result = told(&stage, 0, "client_tool_result").await;
    assert_eq!((&result["tool_call_id"], &result["is_error"]), (&json!("toolu_1"), &json!(true)), "{result}");
    caller.hangs_up();
    caller.closed().await;
    keeps_quiet(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_elevenlabs_agent_fails_the_flow_goes_on_and_the_call_says_why() {
    let right = Agent::new(SECRET, 8000);
    for (call_sid, agent, told) in [
        ("key", Agent { key: "another".to_owned(), ..right.clone() }, "answered the handshake with 401"),
        ("override", Agent { overrides: false, ..right.clone() }, "does not allow what the bot overrides"),
        ("variable", Agent { needs: vec!["shop".to_owned()], ..right.clone() }, "names a dynamic variable"),
        (
            "format",
            Agent { output_format: Some("pcm_44100".to_owned()), ..right.clone() },
            "output format is pcm_44100",
        ),
    ] {
        let stage = stage(agent);
        let mut rig = rig(&stage, "greeting = \"Hello.\"");
        rig.start();
        let caller = call(&rig, call_sid, Rate::Hz8000).await;
        assert_eq!(caller.closed().await, CloseCode::Normal, "{call_sid}");
        let ended = end(&rig, call_sid).await;
        assert_eq!(ended["reason"], "backend_failed", "{ended}");
        let why = ended["told"].as_str().unwrap_or_default();
        assert!(why.contains(told), "{why}");
        keeps_quiet(&rig);
    }
    // In the middle of a call: an error, and a machine that dies.
    let stage = stage(right);
    let mut rig = rig(&stage, "");
    rig.start();
    let caller = call(&rig, "error", Rate::Hz8000).await;
    stage.until(0, "the call is told of", |talk| talk.first.clone()).await;
    stage.with(0, |talk| talk.fails(1002, "llm_error"));
    caller.closed().await;
    assert_eq!(end(&rig, "error").await["told"], "the agent's language model failed (llm_error)");
    let caller = call(&rig, "dies", Rate::Hz8000).await;
    stage.until(1, "the call is told of", |talk| talk.first.clone()).await;
    stage.with(1, |talk| talk.side().script.drop_connection());
    caller.closed().await;
    assert_eq!(end(&rig, "dies").await["reason"], "backend_failed");
}
