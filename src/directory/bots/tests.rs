//! Bots and DIDs are checked before they are believed, and their secrets are shown to nobody.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::directory::kept::{Known, List, Source};

fn patch(value: Value) -> BotPatch {
    serde_json::from_value(value).expect("a patch")
}

fn did(value: Value) -> DidPatch {
    serde_json::from_value(value).expect("a patch")
}

fn made(value: Value) -> Bot {
    patch(value).onto(&Bot::with_token("t")).expect("a bot")
}

fn tool(name: &str) -> Value {
    json!({
        "name": name, "description": "Looks up an order.", "url": "http://127.0.0.1/orders?key=hunter8",
        "headers": { "X-Key": "hunter9" }
    })
}

fn full() -> Value {
    json!({
        "id": "sales", "label": " Sales ", "backend": "deepgram", "url": "wss://agent.example.com/v1?model=x&key=hunter2",
        "api_key": "hunter3", "headers": { "X-Team": "hunter4" }, "instructions": "Be brief.", "sample_rate": 16000,
        "greeting": "Hello.", "options": { "voice": "cedar", "key": "hunter7" }, "transfer_to": "support", "record": true,
        "tools": [tool("order_status")]
    })
}

#[test]
fn a_bot_is_checked_and_its_secrets_are_shown_to_nobody() {
    let bot = made(full());
    assert_eq!(
        (bot.label.as_deref(), bot.sample_rate, bot.headers()["x-team"].as_str()),
        (Some("Sales"), 16_000, "hunter4")
    );
    assert_eq!(bot.url_shown().as_deref(), Some("wss://agent.example.com/v1?model=x&key=***"));
    assert!(!format!("{bot:?} {:?}", patch(full())).contains("hunter"));
    let same = json!({ "url": bot.url_shown() });
    assert_eq!(patch(same).onto(&bot).expect("a bot"), bot, "what is shown can be sent back");
    let mut shown = json!({ "options": bot.options_shown(), "tools": bot.tools_shown() });
    assert!(!shown.to_string().contains("hunter") && shown["options"]["voice"] == "cedar", "{shown}");
    shown["tools"][0]["headers"] = json!({});
    assert_eq!(patch(shown).onto(&bot).expect("a bot"), bot, "nor are headers that are not named");
    let other = patch(
        json!({ "tools": [{ "name": "order_status", "description": "d", "url": "http://x/", "headers": { "x-key": null } }] }),
    );
    let other = other.onto(&bot).expect("a bot");
    assert_eq!((other.tools()[0].url.as_str(), other.tools()[0].headers.len()), ("http://x/", 0));
    let told = Bot::difference(Some(&bot), Some(&other));
    assert_eq!(told, json!({ "tools": "changed" }));
    let bare = patch(json!({ "backend": "deepgram", "url": bot.url_shown() })).whole().onto(&bot).expect("a bot");
    assert!(bare.tools().is_empty() && bare.options().is_empty() && !bare.record && bare.greeting.is_none());
    // What is not named stays, null takes away.
    let now =
        patch(json!({ "label": null, "api_key": null, "headers": { "x-team": null, "x-other": "1" } })).onto(&bot);
    let now = now.expect("a bot");
    assert_eq!((now.label, now.secrets_lost), (None, false));
    let told = Bot::difference(
        Some(&bot),
        Some(&patch(json!({ "api_key": "hunter5", "headers": { "x-team": "hunter6" } })).onto(&bot).expect("a bot")),
    );
    assert_eq!(told, json!({ "api_key": "changed", "headers": "changed" }));
    assert!(!Bot::difference(None, Some(&bot)).to_string().contains("hunter"));
    let problems = |value: Value| {
        let refused = patch(value).onto(&bot).expect_err("refused");
        refused.into_iter().map(|problem| problem.to_string()).collect::<Vec<_>>().join("; ")
    };
    for (value, told) in [
        (json!({ "backend": "openai" }), "there are: exotel, twilio"),
        (json!({ "backend": "echo" }), "url: is not used by echo"),
        (json!({ "url": null }), "url: is missing; deepgram"),
        (json!({ "url": "https://hunter2@x" }), "url: is not an address"),
        (json!({ "sample_rate": 11025 }), "sample_rate: must be 8000"),
        (json!({ "headers": { "Sec-WebSocket-Key": "hunter2" } }), "headers.Sec-WebSocket-Key"),
        (json!({ "tools": [tool("end_call")] }), "tools[0].name: is a tool that every bot has"),
        (json!({ "tools": [tool("a"), tool("a")] }), "tools[1].name: \"a\" is the name of another"),
        (json!({ "transfer_to": "a\nb", "greeting": "x".repeat(2001) }), "greeting: at most"),
        (json!({ "label": "a\nb", "api_key": "a\nb" }), "label: at most 100 characters, on one line; api_key"),
    ] {
        let problems = problems(value);
        assert!(problems.contains(told) && !problems.contains("hunter"), "{told}: {problems}");
    }
    assert!(serde_json::from_value::<BotPatch>(json!({ "exophones": [] })).is_err(), "a key that is none is told");
}

#[test]
fn a_rotated_token_works_for_its_overlap_and_no_longer() {
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    let later = |days: u64| now + Duration::from_secs(days * 86_400);
    let bot = Bot::with_token("first").rotated("second", now);
    let takes = |bot: &Bot, token: &str, at: Timestamp| bot.takes(&bot::hash(token), at);
    assert!(takes(&bot, "first", later(6)) && takes(&bot, "second", later(6)));
    assert!(!takes(&bot, "first", later(7)) && takes(&bot, "second", later(700)) && !takes(&bot, "third", now));
    assert_eq!((bot.old_token_until(now), bot.old_token_until(later(7))), (Some(later(7)), None));
    let bot = bot.rotated("third", later(1));
    assert!(!takes(&bot, "first", later(1)) && takes(&bot, "second", later(2)) && takes(&bot, "third", later(9)));
}

#[test]
fn a_bot_is_sealed_and_opened_for_its_own_place_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = MasterKey::load_or_make(None, &dir.path().join("a.db")).expect("a key");
    let at = crate::store::DocumentRef::new("acme1", DocumentKind::Bot, "sales");
    let bot = made(full());
    let says = bot.written(&at, &key).expect("written");
    assert!(!says.body.to_string().contains("hunter"), "{}", says.body);
    let now = Timestamp::UNIX_EPOCH;
    let document = crate::store::Document { at, version: 1, says, created_at: now, updated_at: now };
    assert_eq!(Bot::read(&document, &key).expect("read"), bot);
    let other = MasterKey::load_or_make(None, &dir.path().join("b.db")).expect("a key");
    let lost = Bot::read(&document, &other).expect("still there");
    assert!(lost.secrets_lost && lost.api_key().is_none() && lost.label == bot.label);
}

#[test]
fn a_did_is_checked_and_written_one_way() {
    let mut bots = Rows::default();
    bots.put(Entry::of_file("sales".to_owned(), Bot::with_token("t")));
    let flow = "https://my.exotel.com/acme1/exoml/start_voice/7";
    let all = json!({ "number": "080474 94574", "label": "Sales", "bot_id": "sales", "flow_url": flow });
    let was = did(all).onto(None, "IN", &bots).expect("a DID");
    assert_eq!((was.number.as_str(), was.bot_id.as_deref()), ("+918047494574", Some("sales")));
    assert!(!format!("{was:?}").contains("8047494574"));
    let told = Did::difference(Some(&was), None);
    assert!(!told.to_string().contains("8047494574") && told["bot_id"].is_null(), "{told}");
    let now = did(json!({ "number": "08047494574", "bot_id": "" })).onto(Some(&was), "IN", &bots).expect("a DID");
    assert_eq!((now.bot_id, now.label.as_deref()), (None, Some("Sales")), "what is not named stays");
    let now = did(json!({ "label": "New" })).whole().onto(Some(&was), "IN", &bots).expect("a DID");
    assert_eq!((now.number.as_str(), now.bot_id, now.flow_url), ("+918047494574", None, None));
    for (value, was, told) in [
        (json!({}), None, "number: is missing"),
        (json!({ "number": "12" }), None, "number: is not a phone number"),
        (json!({ "number": "08047494575" }), Some(&was), "number: cannot be changed"),
        (json!({ "bot_id": "other" }), Some(&was), "bot_id: there is no such bot; there are: sales"),
        (json!({ "flow_url": "7", "label": "x".repeat(101) }), Some(&was), "label: at most 100"),
        (
            json!({ "flow_url": "https://u:hunter2@my.exotel.com/" }),
            Some(&was),
            "flow_url: is not the address of a flow",
        ),
    ] {
        let problems = did(value).onto(was, "IN", &bots).expect_err(told);
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(problems.join("; ").contains(told) && !problems.join("").contains("hunter"), "{told}: {problems:?}");
    }
}

#[test]
fn the_files_row_stands_before_the_stores() {
    let row = |number: &str| Did { number: number.to_owned(), label: None, bot_id: None, flow_url: None };
    let mut rows = Rows::default();
    rows.put(Entry { id: "a".to_owned(), source: Source::Store, version: 1, profile: row("+1"), updated_at: None });
    rows.put(Entry::of_file("b".to_owned(), row("+2")));
    assert_eq!(rows.all().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert!(rows.free(None, &row("+1")).is_err() && rows.free(Some("a"), &row("+1")).is_ok());
    let told = rows.free(Some("a"), &row("+2")).expect_err("taken").to_string();
    assert!(told.contains("configuration file"), "{told}");
}

#[tokio::test]
async fn a_bot_is_found_by_its_token_and_a_later_account_has_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.db");
    let key = MasterKey::load_or_make(None, &path).expect("a key");
    let options = crate::store::SqliteOptions { path, queue: 8, group: 8, busy_timeout: Duration::from_secs(5) };
    let store: Arc<dyn Store> = Arc::new(crate::store::SqliteStore::open(options).expect("a store"));
    let account = |sid: &str, bot: &str| {
        let text = format!("[[account]]\nsid = \"{sid}\"\napi_key = \"k\"\napi_token = \"t\"\n[[account.bot]]\n{bot}");
        crate::config::parse("test", &text, &Default::default()).expect("a configuration").accounts.remove(0)
    };
    let first = account("acme1", "id = \"a\"\nbackend = \"echo\"\ntoken = \"given-0123456789abcdef\"\n");
    let second = account("acme2", "id = \"a\"\nbackend = \"echo\"\n");
    let bots = Bots::load(std::slice::from_ref(&first), Arc::clone(&store), key.clone()).await.expect("loaded");
    let now = Timestamp::now();
    let whose = |token: &str| bots.with_token(token, now).map(|(account, bot)| (account, bot.id));
    assert_eq!(whose("given-0123456789abcdef"), Some(("acme1".to_owned(), "a".to_owned())));
    let made_up = token_of_file("acme2", "a", &key);
    assert_eq!((whose(&made_up), whose("")), (None, None));
    bots.follow(&[&first, &second]).await.expect("followed");
    assert_eq!(whose(&made_up), Some(("acme2".to_owned(), "a".to_owned())));
    let made = bots.make("acme2", &patch(full()), "somebody").await.expect("made");
    assert_eq!(whose(&made.token), Some(("acme2".to_owned(), "sales".to_owned())));
    let again = bots.rotate("acme2", "sales", "somebody").await.expect("rotated");
    assert_eq!(whose(&made.token), whose(&again.token), "both, for a while");
    bots.follow(&[&first]).await.expect("followed");
    assert_eq!((whose(&again.token), bots.of("acme2").all().count()), (None, 0));
    store.close().await;
}
