//! Bots, DIDs and their test call: kept without their secrets showing, and a telephone that rings once for a key, whatever
//! Exotel does.

mod page;

use http::Method;

use patchbay_sandbox::{Fault, On, exotel::Trouble};
use serde_json::{Value, json};

use crate::rig::{ADMIN, EXOPHONE, KEY, Rig, SID, TOKEN};

const CONNECT: &str = "/v1/Accounts/acme1/Calls/connect.json";
const FLOW: &str = "https://my.exotel.com/acme1/exoml/start_voice/7";
const CUSTOMER: &str = "9876500001";
const OTHER: &str = "acme2";
/// Of a bot: in no answer, no log, no database file.
const SECRETS: [&str; 3] = ["bot-key-hunter2", "bot-url-hunter3", "bot-header-hunter4"];

fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.extra += "\n[dialer]\nwait = \"2s\"\nsettle_after = \"8s\"\n";
    rig.calls_are_short();
    rig
}

struct Reply {
    status: u16,
    text: String,
    body: Value,
}

/// As somebody with this token, under `/api/v1`.
async fn send(rig: &Rig, token: &str, method: &str, path: &str, body: Value) -> Reply {
    keyed(rig, token, method, path, None, body).await
}

async fn keyed(rig: &Rig, token: &str, method: &str, path: &str, key: Option<&str>, body: Value) -> Reply {
    let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
    let mut request = rig.http.request(method, rig.url(&format!("/api/v1{path}"))).bearer_auth(token);
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    let reply = request.body(if body.is_null() { String::new() } else { body.to_string() });
    let reply = reply.send().await.expect("an answer");
    let status = reply.status().as_u16();
    let text = reply.text().await.expect("a body");
    for secret in SECRETS.iter().chain(&[KEY, TOKEN]) {
        assert!(!text.contains(secret), "{path} tells a secret: {text}");
    }
    let body = serde_json::from_str(&text).unwrap_or_default();
    Reply { status, text, body }
}

/// Under the account, as super_admin.
async fn own(rig: &Rig, method: &str, path: &str, body: Value) -> Reply {
    send(rig, ADMIN, method, &format!("/accounts/{SID}{path}"), body).await
}

async fn token(rig: &Rig, role: &str, accounts: &[&str]) -> String {
    let asked = json!({ "label": role, "role": role, "accounts": accounts });
    let made = send(rig, ADMIN, "POST", "/tokens", asked).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["token"].as_str().expect("a token").to_owned()
}

async fn did(rig: &Rig, body: Value) -> Value {
    let made = own(rig, "POST", "/dids", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body
}

fn id(of: &Value) -> &str {
    of["id"].as_str().expect("an id")
}

fn dials(rig: &Rig) -> usize {
    rig.exotel.requests().iter().filter(|seen| seen.method == Method::POST && seen.path == CONNECT).count()
}

fn placed(rig: &Rig) -> Vec<String> {
    rig.exotel.with(|exotel| exotel.placed().to_vec())
}

async fn settled(rig: &Rig, click: &Value) -> Value {
    rig.until_api(&format!("/clicks/{}", id(click)), |click| {
        ["placed", "refused", "not_placed"].iter().any(|state| click["state"] == *state).then(|| click.clone())
    })
    .await
}

fn sales() -> Value {
    json!({
        "id": "sales", "label": "Sales", "backend": "deepgram", "api_key": SECRETS[0],
        "url": format!("wss://agent.example.com/v1?model=x&key={}", SECRETS[1]), "headers": { "X-Team": SECRETS[2] },
        "instructions": "Be brief.", "sample_rate": 16000, "options": { "agent": { "headers": { "x-a": SECRETS[2] } } },
        "tools": [{ "name": "order_status", "description": "Looks up an order.", "url": "http://127.0.0.1/?k=1",
            "headers": { "X-Key": SECRETS[0] } }]
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bots_secrets_go_in_and_its_token_is_shown_once() {
    let mut rig = rig();
    rig.start();
    let made = own(&rig, "POST", "/bots", sales()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let first = made.body["token"].as_str().expect("a token").to_owned();
    let base = rig.url("").replacen("http", "ws", 1);
    assert_eq!(made.body["websocket_url"], format!("{base}/voicebot/{first}"));
    let shown = own(&rig, "GET", "/bots/sales", Value::Null).await;
    assert_eq!(shown.body["websocket_url"], format!("{base}/voicebot/***"));
    assert_eq!(shown.body["url"], "wss://agent.example.com/v1?model=x&key=***");
    assert_eq!((&shown.body["api_key_configured"], &shown.body["headers"]), (&json!(true), &json!(["x-team"])));
    assert_eq!((&shown.body["token"], &shown.body["sample_rate"]), (&Value::Null, &json!(16000)));
    assert_eq!(shown.body["tools"][0]["headers"], json!(["x-key"]));
    assert_eq!(shown.body["options"]["agent"]["headers"]["x-a"], "***");
    let rotated = own(&rig, "POST", "/bots/sales/rotate", Value::Null).await;
    let second = rotated.body["token"].as_str().expect("a token").to_owned();
    assert!(
        rotated.status == 201 && first != second && rotated.body["old_token_until"].is_string(),
        "{}",
        rotated.text
    );
    // What is shown can be sent back, and takes nothing away that is not shown.
    let whole = json!({ "backend": "deepgram", "url": shown.body["url"], "version": 2 });
    let replaced = own(&rig, "PUT", "/bots/sales", whole.clone()).await;
    assert_eq!((replaced.status, &replaced.body["label"]), (200, &Value::Null), "{}", replaced.text);
    assert_eq!(replaced.body["api_key_configured"], true);
    assert_eq!(own(&rig, "PUT", "/bots/sales", whole).await.status, 409, "it was read before that");
    for (body, part) in [
        (sales(), "is the id of another bot"),
        (json!({ "id": "other" }), "backend: is missing"),
        (json!({ "id": "other", "backend": "openai" }), "there are: exotel"),
        (json!({ "id": "a/b", "backend": "echo" }), "it stands in addresses"),
        (json!({ "id": "other", "backend": "echo", "token": "mine" }), "unknown field `token`"),
    ] {
        let refused = own(&rig, "POST", "/bots", body).await;
        assert!(refused.status == 400 && refused.text.contains(part), "{part}: {}", refused.text);
    }
    rig.kill();
    rig.start();
    let listed = own(&rig, "GET", "/bots", Value::Null).await;
    assert_eq!(listed.body["bots"][0]["api_key_configured"], true, "{}", listed.text);
    let cleared = own(&rig, "PATCH", "/bots/sales", json!({ "api_key": null, "headers": { "x-team": null } })).await;
    assert_eq!((&cleared.body["api_key_configured"], &cleared.body["headers"]), (&json!(false), &json!([])));
    let log = send(&rig, ADMIN, "GET", &format!("/accounts/{SID}/audit"), Value::Null).await;
    let removed = own(&rig, "DELETE", "/bots/sales", Value::Null).await;
    assert_eq!(removed.status, 204, "{}", removed.text);
    assert_eq!(own(&rig, "GET", "/bots/sales", Value::Null).await.status, 404);
    assert!(rig.terminate());
    let nowhere = |what: &str, text: &[u8]| {
        for secret in SECRETS.iter().copied().chain([first.as_str(), second.as_str()]) {
            let found = text.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} is in {what}");
        }
    };
    nowhere("the logs", rig.logs().join("\n").as_bytes());
    nowhere("the log of changes", log.text.as_bytes());
    for file in std::fs::read_dir(rig.path("")).expect("a directory") {
        let path = file.expect("a file").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("patchbay.db")) {
            nowhere(&path.display().to_string(), &std::fs::read(&path).expect("read"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_did_has_its_number_alone_and_holds_its_bot() {
    let mut rig = rig();
    rig.start();
    assert_eq!(own(&rig, "POST", "/bots", sales()).await.status, 201);
    let made = did(&rig, json!({ "number": EXOPHONE, "label": "Sales", "bot_id": "sales" })).await;
    assert_eq!(
        (&made["number"], &made["source"], &made["version"]),
        (&json!("+918047494574"), &json!("store"), &json!(1))
    );
    assert!(made["websocket_url"].as_str().is_some_and(|url| url.ends_with("/voicebot/***")), "{made}");
    let path = format!("/dids/{}", id(&made));
    let bot = own(&rig, "GET", "/bots/sales", Value::Null).await;
    assert_eq!(bot.body["exophones"], json!(["+918047494574"]));
    let refused = own(&rig, "DELETE", "/bots/sales", Value::Null).await;
    assert!(refused.status == 409 && refused.text.contains("1 DID(s) lead to this bot"), "{}", refused.text);
    for (method, path, body, part) in [
        ("POST", "/dids", json!({ "number": "+91 80474 94574" }), "is there already"),
        ("POST", "/dids", json!({}), "number: is missing"),
        ("POST", "/dids", json!({ "number": "08047494575", "bot_id": "nobody" }), "there are: sales"),
        ("PATCH", path.as_str(), json!({ "number": "08047494575" }), "cannot be changed"),
        ("PATCH", path.as_str(), json!({ "flow_url": "seven" }), "is not the address of a flow"),
        ("PATCH", path.as_str(), json!({ "flow": FLOW }), "unknown field"),
    ] {
        let refused = own(&rig, method, path, body).await;
        assert!(refused.status == 400 && refused.text.contains(part), "{part}: {}", refused.text);
    }
    let edited = own(&rig, "PATCH", &path, json!({ "flow_url": FLOW, "version": 1 })).await;
    assert_eq!((edited.status, &edited.body["label"], &edited.body["version"]), (200, &json!("Sales"), &json!(2)));
    let stale = own(&rig, "PUT", &path, json!({ "version": 1 })).await;
    assert_eq!((stale.status, &stale.body["error"]["code"]), (409, &json!("conflict")));
    rig.kill();
    rig.start();
    let replaced = own(&rig, "PUT", &path, json!({ "flow_url": FLOW })).await.body;
    assert_eq!(
        (&replaced["label"], &replaced["bot_id"], &replaced["flow_url"]),
        (&json!(null), &json!(null), &json!(FLOW))
    );
    assert_eq!(replaced["websocket_url"], Value::Null);
    assert_eq!(own(&rig, "DELETE", "/bots/sales", Value::Null).await.status, 204);
    assert_eq!(own(&rig, "DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(own(&rig, "GET", &path, Value::Null).await.status, 404);
    assert_eq!(own(&rig, "GET", "/dids", Value::Null).await.body, json!({ "dids": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_file_says_of_bots_and_dids_is_read_only() {
    let mut rig = rig();
    let bot = format!(
        "[[account.bot]]\nid = \"sales\"\nbackend = \"deepgram\"\nurl = \"wss://agent.example.com/?key={}\"\n\
         api_key = \"{}\"\nheaders = {{ X-Team = \"{}\" }}\nexophones = [\"{EXOPHONE}\"]\n\
         transfer_to = \"nigth shift\"\nrecord = true\n",
        SECRETS[1], SECRETS[0], SECRETS[2]
    );
    rig.more = bot + &format!("[[account.did]]\nnumber = \"{EXOPHONE}\"\nlabel = \"Main\"\nflow_url = \"{FLOW}\"\n");
    rig.start();
    let dids = own(&rig, "GET", "/dids", Value::Null).await.body;
    let of_file = &dids["dids"][0];
    assert_eq!((dids["dids"].as_array().map(Vec::len), &of_file["editable"]), (Some(1), &json!(false)), "{dids}");
    assert_eq!((&of_file["label"], &of_file["bot_id"]), (&json!("Main"), &json!("sales")));
    let path = format!("/dids/{}", id(of_file));
    for (method, path) in
        [("PATCH", path.as_str()), ("DELETE", path.as_str()), ("PATCH", "/bots/sales"), ("POST", "/bots/sales/rotate")]
    {
        let refused = own(&rig, method, path, json!({})).await;
        assert!(refused.status == 409 && refused.text.contains("in the configuration file"), "{}", refused.text);
    }
    let refused = own(&rig, "POST", "/dids", json!({ "number": EXOPHONE })).await;
    assert!(refused.status == 400 && refused.text.contains("in the configuration file"), "{}", refused.text);
    // A test call changes nothing, and can be placed.
    let call = format!("/accounts/{SID}{path}/test-call");
    let called = keyed(&rig, ADMIN, "POST", &call, Some("k"), json!({ "to": CUSTOMER })).await;
    assert_eq!(called.status, 201, "{}", called.text);
    // The address of a bot whose token is made up is told to whoever has the key.
    let config = rig.config();
    let checked = rig.command(&["check", "--config", &config.display().to_string()]).output().expect("it runs");
    let told = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(told.contains("sales") && told.contains("/voicebot/"), "{told}");
    // What would only be noticed by a caller.
    for off in ["hands over to \"nigth shift\", where nobody is", "name a directory in voicebot.recordings"] {
        assert!(told.contains(off), "{off}: {told}");
    }
    assert!(SECRETS.iter().all(|secret| !told.contains(secret)), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_rings_the_customer_into_the_flow() {
    let mut rig = rig();
    rig.start();
    let made = did(&rig, json!({ "number": EXOPHONE, "label": "Main", "flow_url": FLOW })).await;
    let flowless = did(&rig, json!({ "number": "08047494575", "label": "Bare" })).await;
    let options = own(&rig, "GET", "/dids/test-call-options", Value::Null).await.body;
    let option = json!({ "id": id(&made), "number": "+918047494574", "label": "Main", "bot_id": null });
    assert_eq!(options, json!({ "dids": [option] }), "those that a call can be placed to, and no more of them");
    let path = format!("/accounts/{SID}/dids/{}/test-call", id(&made));
    let admin = token(&rig, "admin", &[SID]).await;
    let called = keyed(&rig, &admin, "POST", &path, Some("k1"), json!({ "to": CUSTOMER })).await;
    assert_eq!((called.status, &called.body["state"]), (201, &json!("placed")), "{}", called.text);
    assert_eq!(
        (&called.body["to_number"], &called.body["provider_status"]),
        (&json!("+919876500001"), &json!("in-progress"))
    );
    let call_sid = called.body["call_sid"].as_str().expect("a CallSid").to_owned();
    let mark = format!("cxb-test:{} pb:{}", id(&made), id(&called.body).replace('-', ""));
    rig.exotel.with(|exotel| {
        let call = exotel.call(&call_sid).expect("the call");
        assert_eq!((call.from.as_str(), call.exophone.as_str()), ("09876500001", EXOPHONE));
        assert_eq!((call.flow_url.as_deref(), call.custom_field.as_deref()), (Some(FLOW), Some(mark.as_str())));
        assert_eq!(exotel.surprises().collect::<Vec<_>>(), Vec::<&str>::new());
    });
    // Asked again, even after a restart: told, and nobody is rung.
    rig.kill();
    rig.start();
    let again = keyed(&rig, &admin, "POST", &path, Some("k1"), json!({ "to": "0 98765 00001" })).await;
    assert_eq!((again.status, &again.body), (201, &called.body));
    let other = keyed(&rig, &admin, "POST", &path, Some("k1"), json!({ "to": "9876500002" })).await;
    assert_eq!((other.status, &other.body["error"]["code"]), (409, &json!("key_of_another_request")));
    assert_eq!((placed(&rig).len(), dials(&rig)), (1, 1));
    // It is a call like others, the customer's, of no agent.
    let file =
        rig.until_api(&format!("/calls/{call_sid}"), |file| file["timeline"].is_array().then(|| file.clone())).await;
    assert!(file["timeline"].to_string().contains("\"placed\""), "{file:#}");
    let bare = format!("/accounts/{SID}/dids/{}/test-call", id(&flowless));
    let agent = token(&rig, "agent", &[SID]).await;
    for (who, path, key, body, status, part) in [
        (&admin, &path, None, json!({ "to": CUSTOMER }), 400, "Idempotency-Key"),
        (&admin, &path, Some("k2"), json!({ "to": "sip:alice" }), 422, "not_a_number"),
        (&admin, &path, Some("k2"), json!({}), 400, "missing field"),
        (&admin, &bare, Some("k2"), json!({ "to": CUSTOMER }), 422, "no_flow_url"),
        (&agent, &path, Some("k2"), json!({ "to": CUSTOMER }), 403, "forbidden"),
    ] {
        let refused = keyed(&rig, who, "POST", path, key, body).await;
        assert!(refused.status == status && refused.text.contains(part), "{part}: {} {}", refused.status, refused.text);
    }
    assert_eq!(dials(&rig), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_whose_answer_is_lost_is_looked_for_and_not_dialled_again() {
    let mut rig = rig();
    rig.start();
    let made = did(&rig, json!({ "number": EXOPHONE, "flow_url": FLOW })).await;
    let path = format!("/accounts/{SID}/dids/{}/test-call", id(&made));
    let seed = format!("/integrations/exotel/dids/{}/test-call", id(&made));
    for (n, (what, trouble, fault, becomes)) in [
        ("carried out and lost", None, Some(Fault::ResetAfter), "placed"),
        ("500, and placed", Some(Trouble::PlacedAllTheSame(500)), None, "placed"),
        ("500, not placed", Some(Trouble::NoRoute(500)), None, "not_placed"),
    ]
    .into_iter()
    .enumerate()
    {
        for by_seed in [false, true] {
            let before = (placed(&rig).len(), dials(&rig));
            if let Some(trouble) = trouble {
                rig.exotel.with(|exotel| exotel.next_connect(trouble));
            }
            if let Some(fault) = fault {
                rig.exotel.faults().push(On::exactly(Method::POST, CONNECT), fault);
            }
            let to = format!("98765{}1{n:03}", u8::from(by_seed));
            let key = (!by_seed).then(|| format!("k{n}"));
            let ask = async || match by_seed {
                false => keyed(&rig, ADMIN, "POST", &path, key.as_deref(), json!({ "to": to })).await,
                // It knows no keys: the same telephone and DID are the same call as long as its end is not known.
                true => send(&rig, ADMIN, "POST", &seed, json!({ "to_number": to })).await,
            };
            let asked = ask().await;
            // A call that Exotel lists at once may be found before we are answered; one that is not there is not.
            let found = becomes == "placed" && asked.body["state"] == "placed";
            if !found {
                let status = if by_seed { 502 } else { 202 };
                assert_eq!((asked.status, &asked.body["state"]), (status, &json!("unknown")), "{what}: {}", asked.text);
            }
            let again = ask().await;
            assert_eq!(again.body["id"], asked.body["id"], "{what}: {}", again.text);
            assert_eq!(settled(&rig, &asked.body).await["state"], becomes, "{what}");
            let calls = usize::from(becomes == "placed");
            assert_eq!((placed(&rig).len(), dials(&rig)), (before.0 + calls, before.1 + 1), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_is_one_through_the_death_of_the_process() {
    for (point, calls) in [("dialer.after_intent", 1), ("dialer.after_dialling", 0), ("dialer.after_answer", 1)] {
        let mut rig = rig();
        rig.more = format!("[[account.did]]\nnumber = \"{EXOPHONE}\"\nflow_url = \"{FLOW}\"\n");
        rig.env.push(("PATCHBAY_CRASH".to_owned(), point.to_owned()));
        rig.start();
        let dids = own(&rig, "GET", "/dids", Value::Null).await.body;
        let path = format!("/accounts/{SID}/dids/{}/test-call", id(&dids["dids"][0]));
        let url = rig.url(&format!("/api/v1{path}"));
        let request = rig.http.post(url).bearer_auth(ADMIN).header("Idempotency-Key", "k");
        let died = request.body(json!({ "to": CUSTOMER }).to_string()).send().await;
        assert!(died.is_err(), "{point}: it dies");
        rig.kill();
        rig.env.clear();
        rig.start();
        let asked = keyed(&rig, ADMIN, "POST", &path, Some("k"), json!({ "to": CUSTOMER })).await;
        let settled = settled(&rig, &asked.body).await;
        assert_eq!(settled["state"], if calls == 1 { "placed" } else { "not_placed" }, "{point}: {settled:#}");
        assert_eq!((placed(&rig).len(), dials(&rig)), (calls, calls), "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exotel_refuses_is_a_bad_gateway_with_its_words() {
    let mut rig = rig();
    rig.start();
    rig.exotel.with(|exotel| exotel.add_exophone("e1", "+918047494574"));
    let foreign = did(&rig, json!({ "number": "08011112222", "flow_url": FLOW })).await;
    let good = did(&rig, json!({ "number": EXOPHONE, "flow_url": FLOW })).await;
    let mut n = 0;
    for xml in [false, true] {
        rig.exotel.with(|exotel| exotel.settings.always_xml = xml);
        for seed in [false, true] {
            n += 1;
            let path = if seed { "/integrations/exotel".to_owned() } else { format!("/accounts/{SID}") };
            let path = |did: &Value| format!("{path}/dids/{}/test-call", id(did));
            let to = format!("987650000{n}");
            let body = if seed { json!({ "to_number": to }) } else { json!({ "to": to }) };
            let key = format!("k{n}");
            let refused = keyed(&rig, ADMIN, "POST", &path(&foreign), Some(&key), body.clone()).await;
            assert_eq!((refused.status, &refused.body["error"]["code"]), (502, &json!("upstream")), "{}", refused.text);
            assert!(refused.text.contains("is not an ExoPhone of this account"), "{}", refused.text);
            let again = keyed(&rig, ADMIN, "POST", &path(&foreign), Some(&key), body.clone()).await;
            assert_eq!((again.status, &again.body), (502, &refused.body), "it is told again, and not asked again");
            let key = format!("good-{n}");
            let called = keyed(&rig, ADMIN, "POST", &path(&good), Some(&key), body).await;
            assert_eq!(called.status, if seed { 200 } else { 201 }, "{}", called.text);
            assert_eq!(called.body["provider_status"], "in-progress", "{}", called.text);
        }
    }
    assert_eq!((dials(&rig), placed(&rig).len()), (4 + 4, 4));
    rig.exotel.with(patchbay_sandbox::exotel::Exotel::revoke_key);
    let path = format!("/integrations/exotel/dids/{}/test-call", id(&good));
    let refused = send(&rig, ADMIN, "POST", &path, json!({ "to_number": "9876500099" })).await;
    assert!(refused.status == 502 && refused.text.contains("credentials"), "{}", refused.text);
    // What was refused is asked anew by whoever knows no keys.
    let again = send(&rig, ADMIN, "POST", &path, json!({ "to_number": "9876500099" })).await;
    assert!(again.status == 502 && again.body["id"] != refused.body["id"], "{}", again.text);
}
