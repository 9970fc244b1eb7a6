//! A caller on the line is answered by the account's rules, at once and in the form his applet wants, whatever the CRM
//! does meanwhile.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use http::Method;
use patchbay_sandbox::{
    Fault, Faults, On, Server,
    hubspot::{HubSpot, Kind},
};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use crate::rig::{AGENT2, Call, EXOPHONE, KEY, Rig, SID, TOKEN};

const HS_TOKEN: &str = "pat-eu1-test-77ab01c2";
const OWNER: &str = "+919811112222";
const FIRST: &str = "+919711581199";
const SECOND: &str = "+919945476362";
const DESK: &str = "+918047494574";
/// Of the configuration.
const DEADLINE: Duration = Duration::from_millis(400);
/// What the way there and back may take on a busy machine, generously.
const TRAVEL: Duration = Duration::from_millis(3500);

const RULES: &str = r#"
    [account.routing]
    order = ["hand_over", "owner", "sticky", "group:support", "fallback"]
    fallback = ["08047494574"]
    ring_seconds = 25
    otherwise = "new"
    [[account.routing.group]]
    name = "support"
    agents = ["avnish@example.com", "09945476362"]
    ring = "together"
    [[account.routing.greeting]]
    when = "known_caller"
    say = "Welcome back."
    [[account.routing.greeting]]
    say = "Welcome to Acme."
    [[account.routing.greeting]]
    name = "tune"
    say = """
https://cdn.example/one.wav
https://cdn.example/two.wav"""
    [[account.routing.playback]]
    start = "This call is recorded."
    during = "https://cdn.example/beep.wav"
    during_every_seconds = 30
    end = "Goodbye."
    [[account.routing.gather]]
    name = "order"
    prompt = "Please enter your order number."
    max_digits = 6
    repeat = 2
    repeat_prompt = "https://cdn.example/again.wav"
    [[account.routing.case]]
    select = "ticket"
    when = "open_ticket"
    [[account.routing.case]]
    select = "known"
    when = "known_caller"
"#;

/// A rig whose HubSpot knows the callers with odd numbers of the first ten, and who owns them.
fn rig(routing: &str) -> (Rig, Server<HubSpot>) {
    let mut rig = Rig::new();
    rig.extra = "[enquiry]\nschedule = [\"10m\"]".to_owned();
    let mut hubspot = HubSpot::prepared(HS_TOKEN);
    let owner = hubspot.add_owner("Rahil Mohammed", "rahil.m@example.com");
    for n in [1, 3, 5, 7, 9] {
        let caller = format!("+91{}", &Call::new(n).from[1..]);
        let email = format!("{n}@example.com");
        hubspot.add(Kind::Contacts, &[("phone", &caller), ("hubspot_owner_id", &owner.id), ("email", &email)]);
    }
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let hubspot = Server::start(loopback, hubspot, Faults::none()).expect("the HubSpot sandbox starts");
    // The owner is known to the mapping by his e-mail address alone.
    rig.more = format!(
        "[[account.integration]]\nconnector = \"hubspot\"\nname = \"crm\"\nbase_url = \"{}\"\n\
         access_token = \"{HS_TOKEN}\"\n[[account.agent]]\nnumber = \"{OWNER}\"\n\
         email = \"Rahil.M@example.com\"\n{routing}",
        hubspot.url()
    );
    rig.agent_email = Some("avnish@example.com".to_owned());
    rig.env.push(("PATCHBAY__HOOKS__ANSWER_DEADLINE".to_owned(), format!("{}ms", DEADLINE.as_millis())));
    rig.env.push(("PATCHBAY__DELIVERY__REQUEST_TIMEOUT".to_owned(), "10s".to_owned()));
    rig.start();
    (rig, hubspot)
}

/// More than are ever asked in one test.
const MANY: usize = 500;

fn searches(hubspot: &Server<HubSpot>, fault: Option<Fault>) {
    hubspot.faults().clear();
    for _ in 0..MANY {
        let Some(fault) = fault else { return };
        hubspot.faults().push(On::exactly(Method::POST, "/crm/v3/objects/contacts/search"), fault);
    }
}

fn url(rig: &Rig, applet: &str, call: &Call, more: &str) -> String {
    let Call { sid, from, .. } = call;
    rig.url(&format!("/v2/accounts/{SID}/{applet}?CallSid={sid}&CallFrom={from}&CallTo={EXOPHONE}{more}"))
}

/// Sends a request, whose answer comes in time.
async fn send(request: RequestBuilder) -> Response {
    let began = Instant::now();
    let reply = request.basic_auth(KEY, Some(TOKEN)).send().await.expect("an answer");
    assert!(began.elapsed() < DEADLINE + TRAVEL, "{:?}", began.elapsed());
    reply
}

async fn body(reply: Response) -> String {
    reply.text().await.expect("a body")
}

/// Whom to dial, in the plain form.
async fn whom(rig: &Rig, call: &Call, more: &str) -> String {
    let reply = send(rig.http.get(url(rig, "dialwhom", call, more))).await;
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.headers()["content-type"], "text/plain");
    body(reply).await
}

/// The owner is known: the question that the first caller was too early for has been answered.
async fn learnt(rig: &Rig, call: &Call) {
    let probe = Call { sid: format!("{}0", &call.sid[1..]), ..call.clone() };
    rig.until_async("the owner is known", async || {
        let fresh = Call { sid: uuid::Uuid::new_v4().simple().to_string(), ..probe.clone() };
        whom(rig, &fresh, "").await == OWNER
    })
    .await;
}

/// What the call's timeline says that its applets were told.
async fn told(rig: &Rig, call: &Call, count: usize) -> Vec<Value> {
    rig.until_async("the answers are in the timeline", async || timeline(rig, call).await.len() == count).await;
    timeline(rig, call).await
}

async fn timeline(rig: &Rig, call: &Call) -> Vec<Value> {
    let (_, file) = rig.get(&format!("/api/v1/accounts/{SID}/calls/{}", call.sid)).await;
    let entries = file["timeline"].as_array().cloned().unwrap_or_default();
    entries.into_iter().filter(|entry| entry["kind"] == "routed").map(|entry| entry["routed"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_again_for_a_call_the_next_one_is_dialled() {
    let (rig, _hubspot) = rig(RULES);
    let call = Call::new(1);
    learnt(&rig, &call).await;
    assert_eq!(whom(&rig, &call, "").await, OWNER);
    let failed = |agent: &str| format!("&DialCallStatus=no-answer&DialWhomNumber={agent}");
    assert_eq!(whom(&rig, &call, &failed("09811112222")).await, format!("{FIRST},{SECOND}"));
    // One of those who are rung together stands for all.
    assert_eq!(whom(&rig, &call, &failed(AGENT2)).await, DESK);
    assert_eq!(whom(&rig, &call, &failed(EXOPHONE)).await, "");

    let told = told(&rig, &call, 4).await;
    let rules: Vec<&str> = told.iter().filter_map(|one| one["rule"].as_str()).collect();
    assert_eq!(rules, ["owner", "group:support", "fallback", "tried_all"]);
    assert_eq!((&told[0]["source"], &told[0]["integration"]), (&json!("cache"), &json!("crm")));
    assert_eq!(told[1]["numbers"], json!([FIRST, SECOND]));
    assert!(told.iter().all(|one| one["applet"] == "dialwhom" && one["took_ms"].is_u64()), "{told:?}");

    // A stranger has no owner: the group is next.
    assert_eq!(whom(&rig, &Call::new(2), "").await, format!("{FIRST},{SECOND}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_once_more_has_the_same_answer() {
    let (rig, _hubspot) = rig(RULES);
    let call = Call::new(1);
    learnt(&rig, &call).await;
    let everybody = format!("{FIRST},{SECOND}");
    let failed = "&DialCallStatus=no-answer&DialWhomNumber=09811112222";
    // Exotel did not hear an answer, and asks again; of several at once each may be the first.
    for (more, expected) in
        [("", OWNER), (failed, &everybody), ("&DialCallStatus=no-answer&DialWhomNumber=09945476362", DESK)]
    {
        assert_eq!(send(rig.http.head(url(&rig, "dialwhom", &call, more))).await.status(), 200);
        let at_once = futures_util::future::join_all((0..8).map(|_| whom(&rig, &call, more))).await;
        assert_eq!(at_once, [expected; 8], "{more}");
    }
    // The timeline says once what was said in the same words.
    rig.until_async("what was told is in the timeline", async || {
        let told = timeline(&rig, &call).await;
        ["owner", "group:support", "fallback", "repeated"]
            .iter()
            .all(|rule| told.iter().any(|one| one["rule"] == *rule))
    })
    .await;
    let told = timeline(&rig, &call).await;
    assert!(!told.iter().any(|one| one["rule"] == "tried_all" || one["rule"] == "nobody"), "{told:?}");

    // A popup says that the owner was rung and did not answer: the next question is another one, however soon it comes.
    let other = Call { from: call.from.clone(), ..Call::new(3) };
    assert_eq!(rig.hook(&other.pop("Dial", "09811112222", 1)).await, 200);
    let available = async |status: u16| {
        let decided = url(&rig, "decide", &call, "&rule=owner_available");
        send(no_redirects().get(decided)).await.status() == status
    };
    rig.until_async("he is busy", async || available(302).await).await;
    assert_eq!(whom(&rig, &other, "").await, OWNER);
    assert_eq!(rig.hook(&other.pop("Terminal", "09811112222", 2)).await, 200);
    rig.until_async("he is free", async || available(200).await).await;
    assert_eq!(whom(&rig, &other, "").await, everybody);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bots_hand_over_is_dialled_once() {
    let (rig, _hubspot) = rig(RULES);
    let call = Call::new(1);
    learnt(&rig, &call).await;
    let path = format!("/api/v1/accounts/{SID}/calls/{}/hand-over", call.sid);
    for wrong in ["", "nobody@example.com", "12"] {
        assert_eq!(rig.post(&path, json!({ "target": wrong })).await.0, 400, "{wrong:?}");
    }
    let (status, answer) = rig.post(&path, json!({ "target": "Avnish@example.com" })).await;
    assert_eq!((status, &answer["target"]), (202, &json!("Avnish@example.com")));
    // HEAD takes nothing away.
    assert_eq!(send(rig.http.head(url(&rig, "dialwhom", &call, ""))).await.status(), 200);
    assert_eq!(whom(&rig, &call, "").await, FIRST);
    assert_eq!(whom(&rig, &call, "&DialCallStatus=busy&DialWhomNumber=09711581199").await, OWNER);
    assert_eq!(told(&rig, &call, 2).await[0]["rule"], "hand_over");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_spoke_with_a_caller_last_is_dialled_again() {
    let (rig, _hubspot) = rig(RULES);
    let (was, now) = (Call::new(2), Call { from: Call::new(2).from, ..Call::new(4) });
    assert_eq!(rig.hook(&was.answered()).await, 200);
    rig.ticket(&was.sid).await;
    assert_eq!(whom(&rig, &now, "").await, FIRST);
    assert_eq!(told(&rig, &now, 1).await[0]["rule"], "sticky");
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_of_business_hours_others_are_dialled() {
    // Open on no day that comes soon.
    let closed =
        RULES.to_owned() + "[account.routing.hours]\ndays = []\nopen = [\"00:00-24:00\"]\noutside = [\"fallback\"]\n";
    let (rig, _hubspot) = rig(&closed);
    let call = Call::new(1);
    assert_eq!(whom(&rig, &call, "").await, DESK);
    let told = told(&rig, &call, 1).await;
    assert_eq!((&told[0]["rule"], &told[0]["outside_hours"]), (&json!("fallback"), &json!(true)));
    let reply = send(no_redirects().get(url(&rig, "decide", &call, "&rule=business_hours"))).await;
    assert_eq!(reply.status(), 302);
}

/// The one 302 there is: nothing follows it.
fn no_redirects() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("an HTTP client")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_applet_gets_the_body_that_the_manual_shows() {
    let (rig, _hubspot) = rig(RULES);
    let stranger = Call::new(2);
    let fixtures = include_str!("../fixtures/answers.toml").parse::<toml::Table>().expect("TOML");
    let cases = fixtures["answer"].as_array().expect("answers");
    assert!(cases.len() > 8);
    for (n, case) in (100..).zip(cases) {
        let text = |key: &str| case.get(key).and_then(toml::Value::as_str);
        let call = Call { sid: Call::new(n).sid, ..stranger.clone() };
        let url = url(&rig, text("applet").expect("an applet"), &call, text("query").unwrap_or_default());
        let versioned = |request: RequestBuilder| match text("version") {
            Some(version) => request.header("Exotel-Version", version),
            None => request,
        };
        let source = text("source").expect("where it stands");
        // HEAD first: it has no effect on what GET says.
        let head = send(versioned(no_redirects().head(&url))).await;
        let get = send(versioned(no_redirects().get(&url))).await;
        assert_eq!(head.status(), get.status(), "{source}");
        for name in ["content-type", "content-length"] {
            assert_eq!(head.headers().get(name), get.headers().get(name), "{source}: {name}");
        }
        assert_eq!(get.headers()["content-type"], text("content_type").expect("a type"), "{source}");
        let status = case.get("status").and_then(toml::Value::as_integer).unwrap_or(200);
        assert_eq!(i64::from(get.status().as_u16()), status, "{source}");
        assert!(get.headers().get("location").is_none());
        let expected = text("body").expect("a body");
        let said = body(get).await;
        if text("content_type") == Some("application/json") {
            let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
            assert_eq!(json(&said), json(expected), "{source}");
        } else {
            assert_eq!(said, expected.trim(), "{source}");
        }
        // POST as GET, for another call.
        let call = Call { sid: Call::new(n + 500).sid, ..stranger.clone() };
        let post = send(versioned(no_redirects().post(self::url(
            &rig,
            text("applet").expect("an applet"),
            &call,
            text("query").unwrap_or_default(),
        ))))
        .await;
        assert_eq!(body(post).await, said, "{source}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_hold_by_what_patchbay_has_heard() {
    let (rig, _hubspot) = rig(RULES);
    let decide = async |call: &Call, rule: &str| {
        send(no_redirects().get(url(&rig, "decide", call, &format!("&rule={rule}")))).await.status().as_u16()
    };
    let stranger = Call::new(2);
    for rule in ["known_caller", "open_ticket", "owner_available"] {
        assert_eq!(decide(&stranger, rule).await, 302, "{rule}");
    }
    assert_eq!(decide(&stranger, "business_hours").await, 200);
    // A mistyped flow goes on.
    assert_eq!(decide(&stranger, "busness_hours").await, 200);

    let was = Call { sid: Call::new(20).sid, ..stranger.clone() };
    assert_eq!(rig.hook(&was.missed()).await, 200);
    rig.ticket(&was.sid).await;
    rig.until_async("he is known", async || decide(&stranger, "known_caller").await == 200).await;
    rig.until_async("his ticket is, too", async || decide(&stranger, "open_ticket").await == 200).await;
    let select = send(rig.http.get(url(&rig, "switch", &stranger, ""))).await;
    assert_eq!(body(select).await, "{\"select\":\"ticket\"}");
    let greeting = send(rig.http.get(url(&rig, "greeting", &stranger, ""))).await;
    assert_eq!(body(greeting).await, "Welcome back.");

    // His owner is free until a popup says that he is rung in another call.
    let owned = Call::new(1);
    learnt(&rig, &owned).await;
    assert_eq!(decide(&owned, "owner_available").await, 200);
    let other = Call::new(8);
    assert_eq!(rig.hook(&other.pop("Dial", "09811112222", 1)).await, 200);
    rig.until_async("he is busy", async || decide(&owned, "owner_available").await == 302).await;
    assert_eq!(rig.hook(&other.pop("Terminal", "09811112222", 9)).await, 200);
    rig.until_async("he is free", async || decide(&owned, "owner_available").await == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_read_is_answered_all_the_same() {
    let (rig, _hubspot) = rig(RULES);
    let everybody = format!("{FIRST},{SECOND}");
    let post = |kind: &str, body: Vec<u8>| {
        let url = rig.url(&format!("/v2/accounts/{SID}/dialwhom"));
        rig.http.post(url).header("content-type", kind).body(body)
    };
    for request in [
        post("application/json", b"{\"CallSid\":".to_vec()),
        post("multipart/form-data; boundary=x", b"--y".to_vec()),
        post("text/plain", vec![0xff; 64]),
        post("application/json", vec![b' '; 300_000]),
        rig.http.get(rig.url(&format!("/v2/accounts/{SID}/dialwhom?CallFrom=sip:alice&CallSid=%00"))),
    ] {
        let reply = send(request).await;
        assert_eq!(reply.status(), 200);
        assert_eq!(body(reply).await, everybody);
    }
    assert_eq!(send(rig.http.put(rig.url(&format!("/v2/accounts/{SID}/dialwhom")))).await.status(), 405);
    let closed = rig.http.get(rig.url(&format!("/v2/accounts/{SID}/greeting"))).send().await.expect("an answer");
    assert_eq!(closed.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_crm_does_callers_are_answered_in_time() {
    let (rig, hubspot) = rig(RULES);
    for n in [1, 3, 5] {
        learnt(&rig, &Call::new(n)).await;
    }
    let group = format!("{FIRST},{SECOND}");
    let two_seconds = Fault::StallAfter(Duration::from_secs(2));
    let broken = Fault::Status(500);
    let mut sid = 1000;
    for fault in [None, Some(two_seconds), Some(Fault::BlackHole), Some(broken)] {
        searches(&hubspot, fault);
        let mut load = tokio::task::JoinSet::new();
        for n in 0..60 {
            sid += 1;
            // Every fourth is somebody nobody has heard of: there the CRM has to be asked.
            let from = if n % 4 == 3 { 10_000 + sid } else { [1, 3, 5][n % 3] };
            let call = Call { from: Call::new(from).from, ..Call::new(sid) };
            let request = rig.http.get(url(&rig, "dialwhom", &call, ""));
            let expected = if n % 4 == 3 { group.clone() } else { OWNER.to_owned() };
            load.spawn(async move {
                let reply = send(request).await;
                assert_eq!(reply.status(), 200);
                assert_eq!(body(reply).await, expected, "{n}");
            });
        }
        let mut answered = 0;
        while let Some(one) = load.join_next().await {
            one.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
            answered += 1;
        }
        assert_eq!(answered, 60);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_whom_the_crm_cannot_name_now_is_not_taken_for_nobody() {
    let (rig, hubspot) = rig(RULES);
    let call = Call::new(1);
    // His contact is found, and its owner's id; who that is, is not.
    hubspot.faults().push(On::under(Method::GET, "/crm/v3/owners"), Fault::Status(500));
    assert_eq!(whom(&rig, &call, "").await, format!("{FIRST},{SECOND}"));
    assert_eq!(hubspot.faults().waiting(), 0);
    // Had "nobody" been remembered, it would be believed for a minute.
    learnt(&rig, &call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_rings_has_its_owner_asked_for_ahead() {
    let (rig, hubspot) = rig(RULES);
    let call = Call::new(1);
    let before = hubspot.request_count();
    assert_eq!(rig.hook(&call.keyed("ivr", "1", "", 2)).await, 200);
    rig.until("HubSpot is asked", || (hubspot.request_count() > before).then_some(())).await;
    // Nobody has asked whom to dial. Once he does, the CRM may be gone.
    let file = format!("/api/v1/accounts/{SID}/calls/{}", call.sid);
    rig.until_async("the call is there", async || rig.get(&file).await.0 == 200).await;
    rig.until_async("his owner is known", async || {
        let decided = url(&rig, "decide", &call, "&rule=known_caller");
        // This one asks no CRM: it holds once the question of before is answered.
        send(no_redirects().get(decided)).await.status() == 200
    })
    .await;
    hubspot.faults().go_down();
    let asked = hubspot.request_count();
    assert_eq!(whom(&rig, &call, "").await, OWNER);
    assert_eq!(hubspot.request_count(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_a_contact_that_a_record_was_written_for_is_known() {
    let (rig, hubspot) = rig(&RULES.replacen("[account.routing]", "[account.routing]\nask_ahead = false", 1));
    let (was, now) = (Call::new(3), Call { from: Call::new(3).from, ..Call::new(30) });
    assert_eq!(rig.hook(&was.answered()).await, 200);
    rig.until("HubSpot has the call", || {
        hubspot.with(|hubspot| hubspot.objects(Kind::Calls).next().is_some()).then_some(())
    })
    .await;
    rig.until_async("its contact's owner is known", async || {
        let decided = url(&rig, "decide", &now, "&rule=owner_available");
        // HEAD asks nobody.
        send(no_redirects().head(decided)).await.status() == 200
    })
    .await;
    hubspot.faults().go_down();
    assert_eq!(whom(&rig, &now, "").await, OWNER);
    // He is named at once, and asked for anew: nobody knows since when the contact has been his.
    assert_eq!(told(&rig, &now, 1).await[0]["source"], "stale");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_token_opens_every_applet() {
    let (rig, _hubspot) = rig(RULES);
    let (_, made) = rig.post(&format!("/api/v1/accounts/{SID}/hooks"), json!({ "label": "flow" })).await;
    let token = made["token"].as_str().expect("a token");
    for (path, expected) in [
        ("dialwhom", format!("{FIRST},{SECOND}")),
        ("v1/leadsquared/mobile/acme1/dialwhom", format!("{FIRST},{SECOND}")),
        ("greeting", "Welcome to Acme.".to_owned()),
        ("v2/accounts/acme1/switch", "{\"select\":\"new\"}".to_owned()),
    ] {
        let call = Call::new(2);
        let reply = rig.http.get(rig.url(&format!("/h/{token}/{path}?CallFrom={}", call.from))).send().await;
        let reply = reply.expect("an answer");
        assert_eq!(body(reply).await, expected, "{path}");
    }
    // Too large to be read: answered, and the token is nowhere kept.
    let reply =
        rig.http.post(rig.url(&format!("/h/{token}/dialwhom?CallSid=x1"))).body(vec![b'x'; 300_000]).send().await;
    assert_eq!(reply.expect("an answer").status(), 200);
    rig.until_async("the call is there", async || rig.get(&format!("/api/v1/accounts/{SID}/calls/x1")).await.0 == 200)
        .await;
    let database = std::fs::read(rig.path("patchbay.db-wal")).expect("the log");
    assert!(!database.windows(token.len()).any(|bytes| bytes == token.as_bytes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_nothing_keeps_no_caller_waiting() {
    let (rig, _hubspot) = rig(RULES);
    let call = Call::new(1);
    learnt(&rig, &call).await;
    std::fs::remove_file(rig.path("patchbay.db")).expect("removed");
    rig.until_async("callbacks are refused", async || rig.hook(&Call::new(2).missed()).await == 503).await;
    assert_eq!(whom(&rig, &call, "").await, OWNER);
    let greeting = send(rig.http.get(url(&rig, "greeting", &call, ""))).await;
    assert_eq!((greeting.status().as_u16(), body(greeting).await.as_str()), (200, "Welcome back."));
}
