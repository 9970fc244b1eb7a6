//! Bots of OpenAI Realtime: the real binary between a caller in real time and a service that takes nothing but what is
//! published.

use std::{collections::VecDeque, sync::Mutex, time::Duration};

use http::StatusCode;
use patchbay_sandbox::backends::{
    Handshake, Stage,
    openai::{OpenAi, Plan, Turn},
    sound::{is_speech, share_of, tone},
};
use patchbay_voice::Rate;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::{
    rig::Rig,
    stream::{Caller, OTHER_BOT, SECRET, end, keeps_quiet, with_bot},
};

/// What is heard of the caller, and of the bot's greeting and answers.
const CALLER_HZ: f64 = 1000.0;
const GREETING_HZ: f64 = 440.0;
const ANSWER_HZ: f64 = 660.0;
const GREETS: &str = "greeting = \"Namaste, this is Acme.\"\n";

fn greeting() -> Turn {
    Turn::says("Namaste, this is Acme.", GREETING_HZ, 500)
}

fn stage(plan: Plan) -> Stage<OpenAi> {
    Stage::start(OpenAi::door(SECRET, plan)).expect("the service starts")
}

fn rig(stage: &Stage<OpenAi>, more: &str) -> Rig {
    let url = format!("{}/v1/realtime?model=gpt-realtime", stage.url());
    let mut rig = with_bot("openai_realtime", &url, SECRET, more);
    rig.start();
    rig
}

async fn caller(rig: &Rig, call_sid: &str, rate: Rate) -> Caller {
    Caller::of(rig, &format!("/voicebot/{OTHER_BOT}"), call_sid, rate).await
}

/// So much of it as is no silence.
fn loud(pcm: &[u8]) -> Vec<u8> {
    pcm.chunks(320).filter(|some| is_speech(some)).flatten().copied().collect()
}

fn bytes(rate: Rate, ms: u64) -> usize {
    rate.bytes_of_ms(ms) as usize
}

/// Hears so much of a tone, behind what he has heard so far.
async fn hears(caller: &Caller, rate: Rate, from: usize, hz: f64, ms: u64) {
    let what = format!("{ms} ms at {hz} Hz");
    let heard = caller
        .until(&what, |ears| {
            let loud = loud(&ears.heard[from.min(ears.heard.len())..]);
            (loud.len() >= bytes(rate, ms)).then_some(loud)
        })
        .await;
    let share = share_of(hz, rate.hz(), &heard[..bytes(rate, ms)]);
    assert!(share > 0.9, "{share} of what is heard is {hz} Hz at {}", rate.hz());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_and_a_model_hear_each_other_at_each_rate() {
    let plan =
        Plan { answers: [greeting(), Turn::says("It is on its way.", ANSWER_HZ, 400)].into(), ..Plan::default() };
    let stage = stage(plan);
    let rig = rig(&stage, &format!("{GREETS}instructions = \"Be brief.\"\n"));
    for (nth, rate) in [Rate::Hz8000, Rate::Hz16000, Rate::Hz24000].into_iter().enumerate() {
        let call_sid = format!("openai-{}", rate.hz());
        let caller = caller(&rig, &call_sid, rate).await;
        hears(&caller, rate, 0, GREETING_HZ, 450).await;
        let (asked, session) = stage.with(nth, |session| (session.asked.clone(), session.session.clone()));
        assert!(
            asked.len() == 1 && asked[0]["instructions"].as_str().is_some_and(|text| text.contains("this is Acme"))
        );
        let instructions = session["instructions"].as_str().expect("instructions");
        assert!(instructions.starts_with("Be brief.") && instructions.contains("+919052161119"), "{instructions}");
        let format = &session["audio"]["input"]["format"];
        assert_eq!(format["type"] == "audio/pcma", rate == Rate::Hz8000, "{format}");
        // What he says is what is heard, and is answered.
        caller.says(&tone(CALLER_HZ, rate.hz(), 600));
        let from = caller.with(|ears| ears.heard.len());
        hears(&caller, rate, from, ANSWER_HZ, 350).await;
        let (heard, at) = stage.with(nth, |session| (loud(&session.heard), session.rate()));
        assert_eq!(at, if rate == Rate::Hz8000 { 8000 } else { 24_000 });
        let share = share_of(CALLER_HZ, at, &heard);
        assert!(share > 0.9 && heard.len() as u32 / (2 * at / 1000) > 500, "{share} of {} bytes", heard.len());
        caller.hangs_up();
        assert_eq!(caller.closed().await, CloseCode::Normal);
        assert_eq!(end(&rig, &call_sid).await["reason"], "stopped");
        stage
            .until(nth, "the session is let go", |session| patchbay_sandbox::backends::Session::side(session).closed)
            .await;
    }
    keeps_quiet(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_interrupts_hears_no_more_of_it_and_the_model_learns_what_was_heard() {
    let long = Turn::says("One two three four five six seven eight nine ten.", ANSWER_HZ, 5000);
    // All of it is there at once; of what was cancelled some still comes.
    let plan = Plan {
        answers: [long, Turn::says("Sorry.", GREETING_HZ, 400)].into(),
        understood: ["Stop."].map(str::to_owned).into(),
        late: 3,
        ..Plan::default()
    };
    let stage = stage(plan);
    let rig = rig(&stage, GREETS);
    let rate = Rate::Hz8000;
    let caller = caller(&rig, "interrupted", rate).await;
    hears(&caller, rate, 0, ANSWER_HZ, 600).await;
    caller.says(&tone(CALLER_HZ, rate.hz(), 400));
    let at = caller.until("what waits is dropped", |ears| ears.clears.first().copied()).await;
    hears(&caller, rate, at, GREETING_HZ, 350).await;
    let (heard, clears) = caller.with(|ears| (ears.heard.clone(), ears.clears.clone()));
    assert_eq!(clears.len(), 1);
    let after = loud(&heard[at..]);
    for hz in [ANSWER_HZ, 3000.0] {
        assert!(share_of(hz, rate.hz(), &after) < 0.05, "{hz} Hz is late");
    }
    let truncated = stage.until(0, "it is told", |session| session.truncated.first().cloned()).await;
    // He heard something of it, and no more than came to him.
    let came = rate.duration(at as u64).as_millis() as u64;
    assert!(truncated.0 == "item_b1" && (300..=came).contains(&truncated.1), "{truncated:?}, {came} ms came");
    caller.hangs_up();
    caller.closed().await;
    assert_eq!(end(&rig, "interrupted").await["barge_ins"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_is_answered_and_keys_are_told() {
    let calls = Turn::Calls { name: "no_such_tool".to_owned(), arguments: json!({ "order": 12 }) };
    let answers = [calls, Turn::says("I could not look it up.", ANSWER_HZ, 300), Turn::says("Two.", GREETING_HZ, 300)];
    let stage = stage(Plan { answers: answers.into(), ..Plan::default() });
    let rig = rig(&stage, GREETS);
    let rate = Rate::Hz8000;
    let caller = caller(&rig, "tools", rate).await;
    hears(&caller, rate, 0, ANSWER_HZ, 250).await;
    let (call, output) = stage.with(0, |session| session.outputs[0].clone());
    assert!(call == "call_1" && output.contains("there is no tool"), "{output}");
    let from = caller.with(|ears| ears.heard.len());
    caller.presses("4");
    caller.presses("2");
    hears(&caller, rate, from, GREETING_HZ, 250).await;
    assert_eq!(stage.with(0, |session| session.texts.clone()), ["The caller pressed 42 on the keypad."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_the_flow_goes_on_and_the_call_says_why() {
    let quiet = Plan::default;
    let fails = Turn::Fails("rate_limit_exceeded".to_owned());
    let plans = [
        Plan { refuses: Some("invalid_value".to_owned()), ..quiet() },
        Plan { answers: [fails.clone(), fails].into(), ..quiet() },
        Plan { insists: Some(json!({ "type": "audio/opus" })), ..quiet() },
        quiet(),
        quiet(),
        quiet(),
    ];
    let plans = Mutex::new(VecDeque::from(plans));
    let stage = Stage::start(move |asked: &Handshake| {
        let plan = plans.lock().expect("it").pop_front().ok_or(StatusCode::UNAUTHORIZED)?;
        OpenAi::door(SECRET, plan)(asked)
    });
    let stage = stage.expect("the service starts");
    let rig = rig(&stage, GREETS);
    type Then = fn(&mut OpenAi);
    let cases: [(&str, &str, Then); 7] = [
        ("refused", "does not take the session's settings: invalid_value", |_| {}),
        ("limited", "fails to answer: rate_limit_exceeded", |_| {}),
        ("opus", "audio/opus", |_| {}),
        ("quota", "nothing left to spend", |session| session.error("insufficient_quota", None)),
        ("an-hour", "an hour at most", |session| session.error("session_expired", None)),
        ("dropped", "broke the connection off", |session| {
            patchbay_sandbox::backends::Session::side(session).script.drop_connection();
        }),
        ("key", "answered the handshake with 401", |_| {}),
    ];
    for (nth, (call_sid, told, then)) in cases.into_iter().enumerate() {
        let caller = caller(&rig, call_sid, Rate::Hz8000).await;
        if call_sid != "key" {
            stage
                .until(nth, "it is asked to greet, or refuses to", |session| {
                    (!session.asked.is_empty() || session.wants_nothing()).then_some(())
                })
                .await;
            stage.with(nth, then);
        }
        assert_eq!(caller.closed().await, CloseCode::Normal, "{call_sid}");
        let end = end(&rig, call_sid).await;
        assert_eq!(end["reason"], "backend_failed", "{call_sid}");
        assert!(end["told"].as_str().is_some_and(|why| why.contains(told)), "{call_sid}: {end}");
    }
    keeps_quiet(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shape_of_before_is_spoken_and_a_service_is_believed_in_what_its_audio_is() {
    // It answers in its own rate whatever it was asked for.
    let plan = Plan {
        answers: [greeting()].into(),
        insists: Some(json!("pcm16")),
        pace: Duration::from_millis(20),
        ..Plan::default()
    };
    let stage = Stage::start(OpenAi::azure_door(SECRET, plan)).expect("the service starts");
    let url = format!("{}/openai/realtime?api-version=2025-04-01-preview&deployment=rt", stage.url());
    let mut rig = with_bot(
        "openai_realtime",
        &url,
        "not-this-one",
        &format!("{GREETS}headers = {{ api-key = \"{SECRET}\" }}\noptions = {{ session = {{ voice = \"verse\" }} }}\n"),
    );
    rig.start();
    let rate = Rate::Hz8000;
    let caller = caller(&rig, "azure", rate).await;
    hears(&caller, rate, 0, GREETING_HZ, 450).await;
    let session: Value = stage.with(0, |session| session.session.clone());
    assert_eq!((&session["voice"], &session["input_audio_format"]), (&json!("verse"), &json!("g711_alaw")));
    caller.says(&tone(CALLER_HZ, rate.hz(), 400));
    stage.until(0, "he is heard", |session| (session.speeches == 1).then_some(())).await;
    keeps_quiet(&rig);
}
