//! Calls that Gemini Live answers: a caller in real time on one side, a strict stand-in of the service on the other.

use http::StatusCode;
use patchbay_sandbox::backends::{
    Session, Stage,
    gemini::{Gemini, IN, Reply, Stand},
    sound,
};
use patchbay_voice::Rate;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::{
    rig::Rig,
    stream::{Caller, Ears, OTHER_BOT, SECRET, end, keeps_quiet, with_bot},
};

const PATH: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
const GREETING: &str = "greeting = \"Welcome to Acme\"\ninstructions = \"Be brief.\"";
/// Tones: the bot's first and second, and the caller's.
const ONE: f64 = 440.0;
const TWO: f64 = 700.0;
const CALLER: f64 = 1000.0;

fn stage(stand: &Stand) -> Stage<Gemini> {
    let stand = stand.clone();
    Stage::start(move |asked| Ok(stand.session(asked))).expect("it starts")
}

fn started(stage: &Stage<Gemini>, more: &str) -> Rig {
    let mut rig = with_bot("gemini_live", &format!("{}{PATH}", stage.url()), SECRET, more);
    rig.start();
    rig
}

async fn caller(rig: &Rig, call_sid: &str, rate: Rate) -> Caller {
    Caller::of(rig, &format!("/voicebot/{OTHER_BOT}"), call_sid, rate).await
}

fn greeting(ms: u64) -> Reply {
    Reply { hz: ONE, ms, words: "Welcome to Acme", ..Reply::default() }
}

/// How many milliseconds of a tone are in it, in pieces of 20.
fn tone_ms(pcm: &[u8], hz: f64, rate: u32) -> u64 {
    let piece = rate as usize / 50 * 2;
    let of_tone = |piece: &&[u8]| sound::is_speech(piece) && sound::share_of(hz, rate, piece) > 0.8;
    20 * pcm.chunks_exact(piece).filter(of_tone).count() as u64
}

/// Until the caller has heard so much of a tone.
async fn hears(caller: &Caller, hz: f64, rate: Rate, ms: u64) {
    let heard = |ears: &mut Ears| (tone_ms(&ears.heard, hz, rate.hz()) >= ms).then_some(());
    caller.until("the bot is heard", heard).await;
}

async fn a_call(rate: Rate) {
    let transfer = Reply {
        heard: "I want to talk to sales",
        calls: Some(("look_up", json!({ "order": "7" }))),
        hz: TWO,
        ms: 400,
        words: "One moment",
        burst: true,
    };
    let stand = Stand::new([greeting(600), transfer, Reply { hz: ONE, ms: 300, words: "Thanks", ..Reply::default() }]);
    let stage = stage(&stand);
    let tool = "[[account.bot.tool]]\nname = \"look_up\"\ndescription = \"Finds an order.\"\nurl = \"http://127.0.0.1:9/\"\n\
                parameters = { type = \"object\", properties = { order = { type = \"string\" } }, additionalProperties = false }\n";
    let options = "options = { setup = { model = \"models/live-1\", generationConfig = { speechConfig = { languageCode = \"hi-IN\" } } } }";
    let rig = started(&stage, &format!("{GREETING}\n{options}\n{tool}"));
    let caller = caller(&rig, "whole", rate).await;
    hears(&caller, ONE, rate, 540).await;
    let setup = stage.with(0, |gemini| gemini.setup.clone()).expect("a setup");
    assert_eq!((&setup["model"], &setup["sessionResumption"]), (&json!("models/live-1"), &json!({})));
    let speech = &setup["generationConfig"];
    assert_eq!(
        (&speech["responseModalities"], &speech["speechConfig"]["languageCode"]),
        (&json!(["AUDIO"]), &json!("hi-IN"))
    );
    let told = setup["systemInstruction"]["parts"][0]["text"].as_str().expect("text").to_owned();
    assert!(told.starts_with("Be brief.") && told.contains("+919052161119"), "{told}");
    // The caller is heard as he speaks; a tool is called and answered; the bot speaks to it.
    caller.says(&sound::tone(CALLER, rate.hz(), 600));
    stage.until(0, "the tool is answered", |gemini| gemini.answers.get("function-call-1").cloned()).await;
    let heard = stage.with(0, |gemini| gemini.heard.clone());
    assert!((540..=640).contains(&tone_ms(&heard, CALLER, IN)), "{}", tone_ms(&heard, CALLER, IN));
    hears(&caller, TWO, rate, 340).await;
    for digit in ["4", "2", "#"] {
        caller.presses(digit);
    }
    stage.until(0, "keys are told", |gemini| gemini.texts.iter().any(|text| text.contains("42#")).then_some(())).await;
    hears(&caller, ONE, rate, 760).await;
    caller.hangs_up();
    assert_eq!(caller.closed().await, CloseCode::Normal);
    let end = end(&rig, "whole").await;
    assert_eq!((&end["reason"], &end["dropped_ms"], &end["barge_ins"]), (&json!("stopped"), &json!(0), &json!(0)));
    let whole = |call: &Value| {
        let lines = call["state"]["talks"][0]["transcript"].as_array()?.iter();
        let said: Vec<String> = lines.map(|line| format!("{}: {}", line["speaker"], line["text"])).collect();
        (said.len() == 4).then_some(said)
    };
    let said = rig.until_api("/calls/whole", whole).await.join("\n").replace('"', "");
    assert_eq!(said, "bot: Welcome to Acme\ncaller: I want to talk to sales\nbot: One moment\nbot: Thanks");
    stage.until(0, "the connection is closed", |gemini| gemini.side().closed).await;
    assert_eq!(stage.with(0, |gemini| gemini.texts.len()), 2, "the greeting and the keys");
    keeps_quiet(&rig);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_greeted_heard_and_answered() {
    a_call(Rate::Hz8000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_greeted_heard_and_answered_at_16_khz() {
    a_call(Rate::Hz16000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_speaks_over_the_bot_silences_it() {
    let long = Reply { burst: true, ..greeting(8000) };
    let sorry = Reply { heard: "Stop", hz: TWO, ms: 400, words: "Sorry", ..Reply::default() };
    let stand = Stand::new([long, sorry]);
    stand.plan().stragglers = true;
    let stage = stage(&stand);
    let rig = started(&stage, GREETING);
    let rate = Rate::Hz8000;
    let caller = caller(&rig, "barge", rate).await;
    hears(&caller, ONE, rate, 500).await;
    caller.says(&sound::tone(CALLER, rate.hz(), 500));
    let at = caller.until("what was said is taken back", |ears| ears.clears.first().copied()).await;
    hears(&caller, TWO, rate, 340).await;
    let after = caller.with(|ears| ears.heard[at..].to_vec());
    assert_eq!(tone_ms(&after, ONE, rate.hz()), 0, "nothing of it after that");
    assert_eq!(tone_ms(&after, 3000.0, rate.hz()), 0, "nor of what the service still sent");
    assert!(caller.with(|ears| tone_ms(&ears.heard, ONE, rate.hz())) < 6000, "of 8 s that were generated at once");
    assert_eq!(stage.with(0, |gemini| gemini.interrupted), 1);
    caller.hangs_up();
    caller.closed().await;
    assert_eq!(end(&rig, "barge").await["barge_ins"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_ends_is_made_anew_and_the_caller_does_not_notice() {
    let answer = Reply { heard: "Are you there", hz: TWO, ms: 400, words: "I am", ..Reply::default() };
    let stand = Stand::new([greeting(400), answer.clone(), answer.clone()]);
    let stage = stage(&stand);
    let rig = started(&stage, GREETING);
    let rate = Rate::Hz8000;
    let caller = caller(&rig, "resumed", rate).await;
    hears(&caller, ONE, rate, 340).await;
    // Announced: it is left while nobody speaks.
    stage.with(0, |gemini| gemini.goes_away("50s"));
    let setup = stage.until(1, "a new one", |gemini| gemini.setup.clone()).await;
    let handle = setup["sessionResumption"]["handle"].as_str().expect("a handle").to_owned();
    assert!(handle.starts_with("handle-"), "{handle}");
    caller.says(&sound::tone(CALLER, rate.hz(), 600));
    hears(&caller, TWO, rate, 340).await;
    let heard = stage.with(1, |gemini| (tone_ms(&gemini.heard, CALLER, IN), gemini.texts.clone()));
    assert!((540..=640).contains(&heard.0) && heard.1.is_empty(), "{heard:?}");
    stage.until(0, "the old one is closed", |gemini| gemini.side().closed).await;
    // And without a word, while the caller speaks: what he says until there is another one is kept.
    stage.until(1, "its turn is over", |gemini| gemini.is_done().then_some(())).await;
    stand.plan().slow_ms = 1500;
    stage.with(1, |gemini| gemini.ends(1011, "Deadline expired before operation could complete."));
    caller.says(&sound::tone(CALLER, rate.hz(), 800));
    hears(&caller, TWO, rate, 700).await;
    let heard = stage.with(2, |gemini| tone_ms(&gemini.heard, CALLER, IN));
    let before = stage.with(1, |gemini| tone_ms(&gemini.heard, CALLER, IN)) - 600;
    assert!((700..=840).contains(&(heard + before)), "{heard} after {before}");
    caller.hangs_up();
    caller.closed().await;
    let end = end(&rig, "resumed").await;
    assert_eq!((&end["reason"], &end["dropped_ms"]), (&json!("stopped"), &json!(0)));
    assert_eq!((stage.count(), stage.refused()), (3, Vec::<StatusCode>::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_cannot_be_gone_on_with_is_told_what_was_said() {
    let answer = Reply { heard: "Where is my order", hz: TWO, ms: 400, words: "On its way", ..Reply::default() };
    let go_on = Reply { hz: CALLER, ms: 400, words: "As I said", ..Reply::default() };
    let stand = Stand::new([greeting(400), Reply { ms: 5000, ..answer }, go_on]);
    let stage = stage(&stand);
    let rig = started(&stage, GREETING);
    let rate = Rate::Hz8000;
    let caller = caller(&rig, "fresh", rate).await;
    hears(&caller, ONE, rate, 340).await;
    caller.says(&sound::tone(CALLER, rate.hz(), 400));
    hears(&caller, TWO, rate, 500).await;
    stand.plan().forgetful = true;
    stage.with(0, |gemini| gemini.ends(1011, "Internal error encountered."));
    // The handle is refused, then nobody is greeted again.
    let text = stage.until(2, "it is told to go on", |gemini| gemini.texts.first().cloned()).await;
    assert!(text.contains("Go on from there"), "{text}");
    let refused = stage.with(1, |gemini| gemini.setup.clone()).expect("a setup");
    assert!(refused["sessionResumption"]["handle"].is_string());
    let setup = stage.with(2, |gemini| gemini.setup.clone()).expect("a setup");
    assert_eq!(setup["sessionResumption"], json!({}));
    let told = setup["systemInstruction"]["parts"][0]["text"].as_str().expect("text").to_owned();
    let so_far = "- you: Welcome to Acme\n- caller: Where is my order\n- you: On";
    assert!(told.contains(so_far) && told.contains("do not greet again"), "{told}");
    hears(&caller, CALLER, rate, 340).await;
    caller.hangs_up();
    caller.closed().await;
    assert_eq!(end(&rig, "fresh").await["reason"], "stopped");
}

/// A call that ends because the service does. Says why.
async fn failed(rig: &Rig, call_sid: &str) -> String {
    let caller = caller(rig, call_sid, Rate::Hz8000).await;
    assert_eq!(caller.closed().await, CloseCode::Normal);
    let told = end(rig, call_sid).await;
    assert_eq!(told["reason"], "backend_failed", "{told}");
    told["told"].as_str().expect("why").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_cannot_go_on_lets_the_flow_go_on() {
    let stand = Stand::new([]);
    stand.plan().key = Some("another".to_owned());
    let stage = stage(&stand);
    let rig = started(&stage, "");
    let told = failed(&rig, "key").await;
    assert!(told.contains("refuses the key"), "{told}");
    assert_eq!(stage.count(), 1, "another try would be none");
    // A service that ends every connection is not asked for ever.
    stand.plan().key = None;
    let closing = Stage::start({
        let stand = stand.clone();
        move |asked| {
            let mut session = stand.session(asked);
            session.ends(1011, "The service is currently unavailable.");
            Ok(session)
        }
    });
    let closing = closing.expect("it starts");
    drop(rig);
    let rig = started(&closing, "");
    let told = failed(&rig, "unavailable").await;
    assert!(told.contains("1011"), "{told}");
    assert!((2..=4).contains(&closing.count()));
    drop(rig);
    // The handshake itself.
    let door = Stage::<Gemini>::start(|_| Err(StatusCode::FORBIDDEN)).expect("it starts");
    let rig = started(&door, "");
    let told = failed(&rig, "forbidden").await;
    assert!(told.contains("403"), "{told}");
    keeps_quiet(&rig);
}
