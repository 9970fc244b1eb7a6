//! What a bridge is for beyond audio: a bot that knows who calls, calls that move to another node, calls that are kept.

use std::{net::SocketAddr, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::Method;
use patchbay_sandbox::{
    Fault, Faults, On, Server,
    hubspot::{HubSpot, Kind},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::{
    context::support::RedisServer,
    rig::{Rig, SID},
    stream::{FRAME, Line, OTHER_BOT, end, is_echoed, keeps_quiet, metric, next, rig, sound, with_server},
    voice::{kit, serve},
};

const NULL: Value = Value::Null;

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
    // No more than may be read at once without being taken for a backlog.
    for number in 0..15 {
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
        if heard.len() >= 15 * FRAME {
            break;
        }
    }
    let said: Vec<u8> = (0..15).flat_map(sound).collect();
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
