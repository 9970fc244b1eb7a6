//! Accounts and integrations made by the API: they work at once and after a restart, change while calls come in, and their
//! secrets come out nowhere; also when the master key is exchanged.

use std::{net::SocketAddr, time::Duration};

use patchbay_sandbox::{
    Crm, Faults, Server,
    exotel::{Exotel, RecordingPlan, SimulatedCall},
    freshdesk::Freshdesk,
    salesforce::Salesforce,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{ADMIN, AGENT, Call, EXOPHONE, FD_KEY, Rig, SID};

const NEW: &str = "acme9";
const NEW_KEY: &str = "exo-key-of-acme9-c41";
const NEW_TOKEN: &str = "exo-token-of-acme9-7e0";
const DESK_KEY: &str = "desk-key-of-acme9-19f";
const NEXT_KEY: &str = "desk-key-next-55d0aa";

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn desk(key: &str) -> Server<Freshdesk> {
    Server::start(loopback(), Freshdesk::new(key), Faults::none()).expect("the Freshdesk sandbox starts")
}

fn exotel() -> Server<Exotel> {
    let server = Server::start(loopback(), Exotel::new(NEW, NEW_KEY, NEW_TOKEN), Faults::none()).expect("it starts");
    let url = server.url();
    server.with(|exotel| exotel.set_public_url(url));
    server
}

/// `/api/v1` + path, as whoever has the admin token.
async fn send(rig: &Rig, method: Method, path: &str, body: Value) -> (u16, Value) {
    let request = rig.http.request(method, rig.url(&format!("/api/v1{path}"))).bearer_auth(ADMIN);
    let reply = request.body(body.to_string()).send().await.expect("an answer");
    let status = reply.status().as_u16();
    let text = reply.text().await.expect("a body");
    for secret in [NEW_KEY, NEW_TOKEN, DESK_KEY, NEXT_KEY, FD_KEY] {
        assert!(!text.contains(secret), "a secret is in an answer: {text}");
    }
    (status, serde_json::from_str(&text).unwrap_or_default())
}

async fn made(rig: &Rig, path: &str, body: Value) -> Value {
    let (status, made) = send(rig, Method::POST, path, body).await;
    assert_eq!(status, 201, "{made}");
    made
}

fn account(exotel: &Server<Exotel>) -> Value {
    json!({
        "sid": NEW, "api_url": exotel.url(), "api_key": NEW_KEY, "api_token": NEW_TOKEN,
        "routing": { "order": ["fallback"], "fallback": ["+919811110001"] },
    })
}

fn integration(desk: &Server<Freshdesk>, name: &str, key: &str) -> Value {
    json!({ "connector": "freshdesk", "name": name, "base_url": desk.url(), "api_key": key, "quota": 1_000_000 })
}

/// Something at a hook of the new account.
async fn hook(rig: &Rig, applet: &str, query: &str) -> (u16, String) {
    let url = rig.url(&format!("/v2/accounts/{NEW}/{applet}?{query}"));
    let reply = rig.http.get(url).basic_auth(NEW_KEY, Some(NEW_TOKEN)).send().await.expect("an answer");
    (reply.status().as_u16(), reply.text().await.expect("a body"))
}

fn tickets(desk: &Server<Freshdesk>, call: &Call) -> usize {
    desk.with(|desk| desk.tickets().filter(|one| !one.deleted && one.description.contains(&call.sid)).count())
}

/// Everything that was written to disk or log.
fn nowhere(rig: &Rig, secrets: &[&str]) {
    let mut all = rig.logs().join("\n").into_bytes();
    for name in ["patchbay.db", "patchbay.db-wal"] {
        all.extend(std::fs::read(rig.path(name)).unwrap_or_default());
    }
    assert!(all.len() > 10_000, "there is something to look at");
    for secret in secrets {
        let found = all.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "a secret lies readable in the database or the log: {secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_made_by_the_api_works_at_once_and_after_a_restart() {
    let (exotel, desk) = (exotel(), desk(DESK_KEY));
    let mut rig = Rig::started();
    let calls: Vec<Call> = (1..5).map(Call::new).collect();
    assert_eq!(hook(&rig, "call-events", &calls[0].answered()).await.0, 401, "it is not there yet");

    let mut wrong = account(&exotel);
    (wrong["api_token"], wrong["verify"]) = (json!("nobody's"), json!(true));
    let (status, refused) = send(&rig, Method::POST, "/accounts", wrong).await;
    assert_eq!((status, &refused["error"]["code"]), (422, &json!("not_verified")), "{refused}");
    let mut right = account(&exotel);
    right["verify"] = json!(true);
    let shown = made(&rig, "/accounts", right).await;
    assert_eq!((&shown["source"], &shown["version"], &shown["editable"]), (&json!("store"), &json!(1), &json!(true)));
    assert_eq!(shown["secrets"]["api_key"]["set"], true, "{shown}");
    let mut wrong = integration(&desk, "help", "nobody's");
    wrong["verify"] = json!(true);
    let path = format!("/accounts/{NEW}/integrations");
    let (status, refused) = send(&rig, Method::POST, &path, wrong).await;
    assert_eq!((status, &refused["error"]["code"]), (422, &json!("not_verified")), "{refused}");
    let mut right = integration(&desk, "help", DESK_KEY);
    right["verify"] = json!(true);
    let shown = made(&rig, &path, right).await;
    assert_eq!((&shown["connector"], &shown["settings"]["quota"]), (&json!("freshdesk"), &json!(1_000_000)), "{shown}");
    assert_eq!(shown["secrets"]["api_key"]["set"], true, "{shown}");

    assert_eq!(hook(&rig, "call-events", &calls[0].answered()).await.0, 200);
    rig.until("a ticket in its own CRM", || (tickets(&desk, &calls[0]) == 1).then_some(())).await;
    assert!(rig.tickets(&calls[0].sid).is_empty(), "and in no other's");
    let whom = async || hook(&rig, "dialwhom", &format!("CallSid={}&CallFrom=09876500009", "a".repeat(32))).await.1;
    assert_eq!(whom().await.trim(), "+919811110001");
    let other = json!({ "version": 1, "routing": { "order": ["fallback"], "fallback": ["+919811110002"] } });
    let (status, edited) = send(&rig, Method::PATCH, &format!("/accounts/{NEW}"), other.clone()).await;
    assert_eq!((status, &edited["version"]), (200, &json!(2)), "{edited}");
    let whom = hook(&rig, "dialwhom", &format!("CallSid={}&CallFrom=09876500009", "b".repeat(32))).await.1;
    assert_eq!(whom.trim(), "+919811110002", "by the new rules");
    assert_eq!(send(&rig, Method::PATCH, &format!("/accounts/{NEW}"), other).await.0, 409, "it was read before that");

    // `patchbay check` tries what is kept, through the service or, where none runs, itself.
    let check = |rig: &Rig| {
        let output =
            rig.command(&["check", "--config", &rig.config().display().to_string()]).output().expect("it runs");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
        told
    };
    let told = check(&rig);
    assert!(told.contains("acme9/help: knows us (asked through the running service)"), "{told}");
    rig.kill();
    let told = check(&rig);
    assert!(told.contains("ok    acme9/help: Freshdesk at") && told.contains("ok    acme9: Exotel at"), "{told}");
    rig.start();
    assert_eq!(hook(&rig, "call-events", &calls[1].answered()).await.0, 200);
    rig.until("a ticket after a restart", || (tickets(&desk, &calls[1]) == 1).then_some(())).await;
    let (_, log) = send(&rig, Method::GET, &format!("/accounts/{NEW}/audit"), Value::Null).await;
    // That the check asked to verify is in it, too.
    let all = log["entries"].as_array().expect("entries").iter();
    let entries: Vec<&Value> = all.filter(|one| one["kind"] != "request").collect();
    let told: Vec<(&str, &str)> = entries
        .iter()
        .map(|one| (one["kind"].as_str().expect("a kind"), one["action"].as_str().expect("an action")))
        .collect();
    assert_eq!(told, [("account", "changed"), ("integration", "made"), ("account", "made")]);
    assert_eq!(entries[0]["changed"], json!({ "fields": ["routing"] }));

    // A token of its own opens its hooks, as long as the account is there.
    let token = made(&rig, &format!("/accounts/{NEW}/hooks"), json!({})).await;
    let by_token = format!("/h/{}/call-events?{}", token["token"].as_str().expect("a token"), calls[2].answered());
    assert_eq!(rig.http.get(rig.url(&by_token)).send().await.expect("an answer").status(), 200);
    rig.until("a ticket by the token", || (tickets(&desk, &calls[2]) == 1).then_some(())).await;
    let (status, gone) = send(&rig, Method::DELETE, &format!("/accounts/{NEW}?version=2"), Value::Null).await;
    assert_eq!(status, 204, "{gone}");
    assert_eq!(hook(&rig, "call-events", &calls[3].answered()).await.0, 401);
    assert_eq!(rig.http.get(rig.url(&by_token)).send().await.expect("an answer").status(), 404);
    assert_eq!(send(&rig, Method::GET, &format!("/accounts/{NEW}/calls"), Value::Null).await.0, 404);
    // Its calls, those that asked for whom to dial among them, are there again with it; its integrations and tokens are not.
    made(&rig, "/accounts", account(&exotel)).await;
    let (_, listed) = send(&rig, Method::GET, &format!("/accounts/{NEW}/calls"), Value::Null).await;
    assert_eq!(listed["calls"].as_array().map(Vec::len), Some(5), "{listed}");
    let (_, listed) = send(&rig, Method::GET, &path, Value::Null).await;
    assert_eq!(listed["integrations"], json!([]));
    assert_eq!(rig.http.get(rig.url(&by_token)).send().await.expect("an answer").status(), 404);
    nowhere(&rig, &[NEW_KEY, NEW_TOKEN, DESK_KEY]);
}

/// Something is changed while these calls come in.
async fn meanwhile(rig: &Rig, calls: &[Call], change: impl Future<Output = ()>) {
    let fire = futures_util::future::join_all(calls.iter().map(async |call| {
        for query in [call.pop("Dial", AGENT, 2), call.missed(), call.missed()] {
            assert_eq!(rig.hook(&query).await, 200);
        }
    }));
    futures_util::future::join(fire, change).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integration_comes_changes_and_goes_while_calls_come_in() {
    let second = desk(DESK_KEY);
    let mut rig = Rig::new();
    // What Exotel answers would plan calls anew.
    rig.extra = "[enquiry]\nschedule = [\"1h\"]".to_owned();
    rig.start();
    let path = format!("/accounts/{SID}/integrations");
    let one = format!("{path}/second");
    let all: Vec<Call> = (0..60).map(|n| Call { talk_s: 0, ..Call::new(n) }).collect();
    let stretch = |which: usize| &all[which * 10..(which + 1) * 10];
    let there = async |which: usize| {
        for call in stretch(which) {
            rig.until(&format!("a ticket of {}", call.sid), || (tickets(&second, call) > 0).then_some(())).await;
        }
    };
    let ok = async |method: Method, path: &str, body: Value, wanted: u16| {
        let (status, answer) = send(&rig, method, path, body).await;
        assert_eq!(status, wanted, "{answer}");
    };
    meanwhile(&rig, stretch(0), async {
        made(&rig, &path, integration(&second, "second", DESK_KEY)).await;
    })
    .await;
    meanwhile(&rig, stretch(1), ok(Method::PATCH, &one, json!({ "assign_tickets": true }), 200)).await;
    there(1).await;
    // The key is exchanged in the CRM first: what comes until it is rotated here waits.
    second.with(|desk| desk.set_key(NEXT_KEY));
    meanwhile(&rig, stretch(2), async {
        ok(Method::POST, &format!("{one}/rotate"), json!({ "api_key": "nobody's" }), 422).await;
        ok(Method::POST, &format!("{one}/rotate"), json!({ "api_key": NEXT_KEY }), 200).await;
    })
    .await;
    there(2).await;
    meanwhile(&rig, stretch(3), ok(Method::DELETE, &one, Value::Null, 204)).await;
    meanwhile(&rig, stretch(4), async {}).await;
    rig.settled().await;
    let (_, held) =
        send(&rig, Method::GET, &format!("/accounts/{SID}/deliveries?state=held&limit=200"), Value::Null).await;
    let held = held["deliveries"].as_array().expect("rows").clone();
    for row in &held {
        assert_eq!(row["integration"], "second", "{row}");
        assert!(row["reason"].as_str().is_some_and(|reason| reason.contains("no integration of this name")), "{row}");
    }
    // With its name comes what was held for it, and what was under way is looked for.
    meanwhile(&rig, stretch(5), async {
        made(&rig, &path, integration(&second, "second", NEXT_KEY)).await;
        rig.post(&format!("/api/v1/accounts/{SID}/deliveries/retry"), json!({ "state": "held" })).await;
    })
    .await;
    // What came last may be in the journal still, and not among the deliveries.
    for call in stretch(5) {
        rig.until(&format!("a ticket of {}", call.sid), || (!rig.tickets(&call.sid).is_empty()).then_some(())).await;
    }
    rig.settled().await;
    for (at, call) in all.iter().enumerate() {
        assert_eq!(rig.tickets(&call.sid).len(), 1, "{at}: {}", call.sid);
        let tickets = tickets(&second, call);
        // In the stretches in which it came and went, those that came before or after are not in it.
        let wanted = match at / 10 {
            1 | 2 => 1..=1,
            4 => 0..=0,
            _ => 0..=1,
        };
        assert!(wanted.contains(&tickets), "{at}: {tickets} of {}", call.sid);
    }
    for row in &held {
        let call = all.iter().find(|call| row["call_sid"] == call.sid).expect("one of them");
        assert_eq!(tickets(&second, call), 1, "it was held, and sent again: {row}");
    }
    nowhere(&rig, &[DESK_KEY, NEXT_KEY]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_what_would_be_right() {
    let (exotel, desk) = (exotel(), desk(DESK_KEY));
    let rig = Rig::started();
    let own = format!("/accounts/{SID}");
    // What stands in the file is changed there.
    for (method, path, body) in [
        (Method::PATCH, own.clone(), json!({ "country": "US" })),
        (Method::DELETE, own.clone(), Value::Null),
        (Method::PATCH, format!("{own}/integrations/support"), json!({ "assign_tickets": false })),
        (Method::DELETE, format!("{own}/integrations/support"), Value::Null),
        (Method::POST, format!("{own}/integrations/support/rotate"), json!({ "api_key": "x", "force": true })),
    ] {
        let (status, refused) = send(&rig, method.clone(), &path, body).await;
        assert_eq!(status, 409, "{method} {path}: {refused}");
        assert!(refused.to_string().contains("change it there"), "{refused}");
    }
    let (_, shown) = send(&rig, Method::GET, &own, Value::Null).await;
    assert_eq!((&shown["source"], &shown["editable"]), (&json!("file"), &json!(false)), "{shown}");
    assert_eq!(
        send(&rig, Method::POST, "/accounts", json!({ "sid": SID, "api_key": "k", "api_token": "t" })).await.0,
        409
    );

    let problems = async |method: Method, path: &str, body: Value| {
        let (status, refused) = send(&rig, method, path, body).await;
        assert_eq!((status, &refused["error"]["code"]), (400, &json!("invalid")), "{refused}");
        let problems = refused["error"]["problems"].as_array().expect("problems").clone();
        problems.iter().map(|one| format!("{}: {}\n", one["key"], one["message"])).collect::<String>()
    };
    let told = problems(
        Method::POST,
        "/accounts",
        json!({ "sid": "a b", "regoin": "mumbai", "api_key": "k", "routing": { "order": ["nobody"] }, "agent": [] }),
    )
    .await;
    for part in ["\"sid\": ", "did you mean \\\"region\\\"", "\"api_token\": \"is missing", "\"routing.order", "/users"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    made(&rig, "/accounts", account(&exotel)).await;
    assert_eq!(send(&rig, Method::POST, "/accounts", account(&exotel)).await.0, 409);
    let path = format!("/accounts/{NEW}/integrations");
    let told = problems(Method::POST, &path, json!({ "connector": "freshdsk" })).await;
    assert!(told.contains("did you mean \\\"freshdesk\\\""), "{told}");
    made(&rig, &path, integration(&desk, "help", DESK_KEY)).await;
    let told = problems(Method::POST, &path, integration(&desk, "help", DESK_KEY)).await;
    assert!(told.contains("another integration of this account"), "{told}");
    let told = problems(Method::POST, &format!("{path}/help/rotate"), json!({ "assign_tickets": true })).await;
    assert!(told.contains("is no secret"), "{told}");
    // What is kept is told to no other address than the one it was given for.
    let thief = crate::accounts::desk("whatever comes");
    let told = problems(Method::PATCH, &format!("{path}/help"), json!({ "base_url": thief.url() })).await;
    assert!(told.contains("\"api_key\": \"must be given again"), "{told}");
    let told = problems(Method::PATCH, &format!("/accounts/{NEW}"), json!({ "api_url": thief.url() })).await;
    assert!(told.contains("\"api_key\"") && told.contains("\"api_token\""), "{told}");
    assert_eq!(thief.request_count(), 0);
    // Its own name may be said, no other.
    assert_eq!(send(&rig, Method::PATCH, &format!("{path}/help"), json!({ "name": "help" })).await.0, 200);
    let told = problems(Method::PATCH, &format!("{path}/help"), json!({ "name": "other" })).await;
    assert!(told.contains("cannot be changed"), "{told}");

    let (status, listed) = send(&rig, Method::GET, "/connectors", Value::Null).await;
    assert_eq!(status, 200);
    let desk = listed["connectors"].as_array().expect("a list").iter().find(|one| one["id"] == "freshdesk");
    let key =
        desk.and_then(|one| one["settings"].as_array()?.iter().find(|one| one["key"] == "api_key")).expect("a key");
    assert_eq!((&key["secret"], &key["kind"]), (&json!(true), &json!("text")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_was_tried_is_the_one_that_is_used() {
    let mut org = Salesforce::new("sf-id", "sf-secret", "the-first").with_set_up();
    // Good once: had the trial thrown its successor away, nothing would go out.
    org.grants.rules.rotates = true;
    let org = Server::start(loopback(), org, Faults::none()).expect("the sandbox starts");
    let mut rig = Rig::started();
    let settings = json!({
        "connector": "salesforce", "name": "sf", "base_url": org.url(), "client_id": "sf-id", "quota": 1_000_000,
        "client_secret": "sf-secret", "refresh_token": "the-first", "verify": true,
    });
    let shown = made(&rig, &format!("/accounts/{SID}/integrations"), settings).await;
    assert_eq!(shown["connected"]["by"], "configuration", "{shown}");
    let written =
        |call: &Call| org.with(|org| Crm::records(org)).iter().filter(|record| record.text.contains(&call.sid)).count();
    let calls: Vec<Call> = (1..3).map(|n| Call { talk_s: 0, ..Call::new(n) }).collect();
    assert_eq!(rig.hook(&calls[0].missed()).await, 200);
    rig.until("a task", || (written(&calls[0]) == 1).then_some(())).await;
    rig.kill();
    rig.start();
    assert_eq!(rig.hook(&calls[1].missed()).await, 200);
    rig.until("a task after a restart", || (written(&calls[1]) == 1).then_some(())).await;
    let asked = org.requests().iter().filter(|seen| seen.path.ends_with("/token")).count();
    assert_eq!(asked, 1, "one token for the trial and all that came after");
    nowhere(&rig, &["sf-secret", "the-first"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_is_exchanged_and_nothing_is_lost() {
    const PASSWORD: &str = "correct horse battery";
    let (exotel, desk) = (exotel(), desk(DESK_KEY));
    let mut org = Salesforce::new("sf-id", "sf-secret", "the-first").with_set_up();
    org.grants.rules.rotates = true;
    let org = Server::start(loopback(), org, Faults::none()).expect("the sandbox starts");
    let mut rig = Rig::new();
    rig.more = format!(
        "[[account.integration]]\nname = \"sf\"\nconnector = \"salesforce\"\nquota = 1000000\nbase_url = \"{}\"\n\
         client_id = \"sf-id\"\nclient_secret = \"sf-secret\"\nrefresh_token = \"the-first\"\n",
        org.url()
    );
    for (name, digit) in [("a", "a1"), ("b", "b2")] {
        std::fs::write(rig.path(name), digit.repeat(32)).expect("a key");
    }
    let keys = |rig: &mut Rig, current: &str, previous: Option<&str>| {
        rig.env.retain(|(name, _)| !name.contains("KEY_FILE"));
        let path = |name: &str| rig.path(name).display().to_string();
        let mut env = vec![("PATCHBAY__SERVER__MASTER_KEY_FILE".to_owned(), path(current))];
        env.extend(previous.map(|name| ("PATCHBAY__SERVER__PREVIOUS_KEY_FILES".to_owned(), path(name))));
        rig.env.extend(env);
    };
    keys(&mut rig, "a", None);
    rig.start();
    made(&rig, "/accounts", account(&exotel)).await;
    made(&rig, &format!("/accounts/{NEW}/integrations"), integration(&desk, "help", DESK_KEY)).await;
    let user = made(&rig, "/users", json!({ "email": "me@example.com", "role": "super_admin" })).await;
    let set = json!({ "token": user["one_time"]["token"], "password": PASSWORD });
    assert_eq!(send(&rig, Method::POST, "/password", set).await.0, 204);
    let (call, talked) = (Call { talk_s: 0, ..Call::new(1) }, Call::new(2));
    let mut simulated = SimulatedCall::new(&talked.sid, &talked.from, EXOPHONE, talked.started_at);
    (simulated.status, simulated.talk_seconds) = ("completed".to_owned(), 8);
    simulated.ended_at = Some(talked.started_at + Duration::from_secs(27));
    simulated.facts_after_end = Duration::ZERO;
    let bytes = crate::rig::recording_bytes().into();
    simulated.recording = Some(RecordingPlan { available_after_end: Duration::ZERO, bytes });
    exotel.with(|exotel| exotel.add_call(simulated));
    assert_eq!(rig.hook(&call.missed()).await, 200);
    assert_eq!(hook(&rig, "call-events", &talked.answered()).await.0, 200);
    let written =
        |call: &Call| org.with(|org| Crm::records(org)).iter().filter(|record| record.text.contains(&call.sid)).count();
    rig.until("a task", || (written(&call) == 1).then_some(())).await;
    let note = rig.until("a link", || {
        desk.with(|desk| {
            let ticket = desk.tickets().find(|one| one.description.contains(&talked.sid))?.id;
            desk.conversations(ticket).iter().map(|note| note.body.clone()).next()
        })
    });
    let note = note.await;
    let link = note.split('"').find(|part| part.contains("/r/")).expect("a link").replace("&amp;", "&");
    let recording = async |rig: &Rig| rig.http.get(&link).send().await.expect("an answer").status().as_u16();
    assert_eq!(recording(&rig).await, 200);

    let works = async |rig: &Rig, n: u32| {
        let (call, other) = (Call { talk_s: 0, ..Call::new(n) }, Call { talk_s: 0, ..Call::new(n + 1) });
        assert_eq!(rig.hook(&call.missed()).await, 200);
        assert_eq!(hook(rig, "call-events", &other.missed()).await.0, 200);
        rig.until("the file's tokens are good", || (written(&call) == 1).then_some(())).await;
        rig.until("the kept secrets are good", || (tickets(&desk, &other) == 1).then_some(())).await;
        let sign_in = json!({ "email": "me@example.com", "password": PASSWORD });
        assert_eq!(send(rig, Method::POST, "/session", sign_in).await.0, 200, "and the password");
    };
    rig.kill();
    keys(&mut rig, "b", Some("a"));
    rig.start();
    works(&rig, 10).await;
    assert_eq!(recording(&rig).await, 200, "a link that was given out");
    let (status, told) = send(&rig, Method::POST, "/keys/reseal", Value::Null).await;
    assert_eq!((status, &told["resealed"], &told["unreadable"]), (200, &json!(0), &json!(0)), "at the start: {told}");
    assert!(told["current"].as_u64().is_some_and(|current| current >= 4), "{told}");
    rig.kill();
    keys(&mut rig, "b", None);
    rig.start();
    works(&rig, 20).await;
    assert_eq!(recording(&rig).await, 403, "signed with a key that is no more");
    // And with the wrong key alone: what cannot be opened is told, and is not lost.
    rig.kill();
    keys(&mut rig, "a", None);
    rig.start();
    assert_eq!(hook(&rig, "call-events", &Call::new(30).missed()).await.0, 401);
    rig.kill();
    keys(&mut rig, "a", Some("b"));
    rig.start();
    works(&rig, 40).await;
    let asked = org.requests().iter().filter(|seen| seen.path.ends_with("/token")).count();
    assert_eq!(asked, 1, "the token that was sealed first is used to the end");
    nowhere(&rig, &[NEW_KEY, NEW_TOKEN, DESK_KEY, "sf-secret", "the-first", PASSWORD]);
}
