//! Telephones while calls go on: whose device is on, who listens in, hangs up and records; each order goes out once, and
//! stands in the call's timeline and in the log.

use jiff::Timestamp;
use patchbay_sandbox::{
    Fault, On,
    exotel::{HeldDevice, HeldUser, SimulatedCall},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    auth::{Reply, With, admin, send, signed_in, token, user},
    rig::{AGENT, Call, EXOPHONE, Rig, SID},
};

const SUPERVISOR: &str = "+919822223333";

fn path(end: &str) -> String {
    format!("/api/v1/accounts/{SID}{end}")
}

async fn ask(rig: &Rig, method: Method, end: &str, body: Value) -> Reply {
    admin(rig, method, &path(end), body).await
}

/// A call that an agent has taken and that goes on, known here by its popup.
async fn going_on(rig: &Rig, n: u32) -> Call {
    let call = Call { started_at: Timestamp::now(), ..Call::new(n) };
    let mut simulated = SimulatedCall::new(&call.sid, &call.from, EXOPHONE, call.started_at);
    simulated.answered_by = Some(AGENT.to_owned());
    rig.exotel.with(|exotel| exotel.add_call(simulated));
    assert_eq!(rig.hook(&call.pop("Answered", AGENT, 1)).await, 200);
    rig.until_async("the call", async || rig.get(&path(&format!("/calls/{}", call.sid))).await.0 == 200).await;
    call
}

/// Requests that Exotel saw, of this method and to a path that ends so.
fn seen(rig: &Rig, method: &Method, end: &str) -> usize {
    rig.exotel.requests().iter().filter(|seen| seen.method == *method && seen.path.ends_with(end)).count()
}

/// What the call's timeline says of orders, in order.
async fn ordered(rig: &Rig, call: &Call, entries: usize) -> Vec<(Value, Value)> {
    rig.until_api(&format!("/calls/{}", call.sid), |file| {
        let all = file["timeline"].as_array().expect("a timeline");
        let orders = all.iter().map(|entry| &entry["ordered"]).filter(|order| !order.is_null());
        let orders: Vec<_> = orders.map(|order| (order["what"].clone(), order["came_of_it"].clone())).collect();
        (orders.len() >= entries).then_some(orders)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_listens_whispers_barges_in_and_is_hung_up() {
    let rig = Rig::started();
    let call = going_on(&rig, 1).await;
    let monitor = format!("/calls/{}/monitor", call.sid);
    let hang_up = format!("/calls/{}/hangup", call.sid);
    let order = async |end: &str, body: Value| ask(&rig, Method::POST, end, body).await;
    let legs = || rig.exotel.with(|exotel| exotel.held_legs(&call.sid).to_vec());
    assert_eq!(order("/calls/nobody/monitor", json!({ "number": SUPERVISOR, "mode": "listen" })).await.status, 404);
    for (body, part) in [
        (json!({ "mode": "listen" }), "agent or number"),
        (json!({ "mode": "listen", "number": "x" }), "no telephone number"),
        (json!({ "mode": "listen", "agent": "nobody@example.com" }), "no such agent"),
        (json!({ "mode": "shout", "number": SUPERVISOR }), "shout"),
    ] {
        let refused = order(&monitor, body).await;
        assert!(refused.status == 400 && refused.text.contains(part), "{part}: {}", refused.text);
    }
    assert_eq!(order(&monitor, json!({ "mode": "listen", "number": AGENT })).await.status, 409, "he is in it himself");
    let listening = order(&monitor, json!({ "number": SUPERVISOR, "mode": "listen" })).await;
    assert_eq!((listening.status, &listening.body["state"]), (200, &json!("done")), "{}", listening.text);
    let again = order(&monitor, json!({ "number": SUPERVISOR, "mode": "listen" })).await;
    assert_eq!((again.status, &again.body["leg"]), (200, &listening.body["leg"]), "{}", again.text);
    let legs_path = format!("/Calls/{}/Legs.json", call.sid);
    assert_eq!(seen(&rig, &Method::POST, &legs_path), 1, "his telephone rings once");
    let whispering = order(&monitor, json!({ "number": SUPERVISOR, "mode": "whisper" })).await;
    assert_eq!((whispering.status, &whispering.body["leg"]), (200, &listening.body["leg"]), "{}", whispering.text);
    let leg = legs().into_iter().find(|leg| leg.origin == "monitor").expect("a leg");
    let agents = legs().into_iter().find(|leg| leg.number == AGENT).expect("the agent's leg");
    assert_eq!((leg.number.as_str(), leg.last_action.as_str()), ("09822223333", "whisper"));
    assert_eq!(leg.target.as_deref(), Some(agents.sid.as_str()), "the customer does not hear him");
    let back = order(&monitor, json!({ "number": SUPERVISOR, "mode": "listen" })).await;
    assert!(back.status == 409 && back.text.contains("not back"), "{}", back.text);
    let barging = order(&monitor, json!({ "agent": "rahil@example.com", "mode": "barge" })).await;
    assert_eq!(barging.status, 200, "{}", barging.text);
    let shown = ask(&rig, Method::GET, &format!("/calls/{}/legs", call.sid), Value::Null).await;
    assert_eq!((shown.status, &shown.body["going_on"]), (200, &json!(true)), "{}", shown.text);
    assert_eq!(shown.body["legs"].as_array().map(Vec::len), Some(4), "{}", shown.text);
    // One who listens in leaves, then the whole call ends.
    assert_eq!(order(&hang_up, json!({ "leg": "nobody" })).await.status, 409);
    let left = order(&hang_up, json!({ "leg": leg.sid })).await;
    assert_eq!((left.status, &left.body["legs"]), (200, &json!(1)), "{}", left.text);
    assert!(rig.exotel.with(|exotel| exotel.call(&call.sid).is_some_and(|call| call.ended_at.is_none())));
    let ended = order(&hang_up, json!({})).await;
    assert_eq!(ended.status, 200, "{}", ended.text);
    assert!(rig.exotel.with(|exotel| exotel.call(&call.sid).is_some_and(|call| call.ended_at.is_some())));
    for late in
        [order(&hang_up, json!({})).await, order(&monitor, json!({ "number": SUPERVISOR, "mode": "barge" })).await]
    {
        assert!(late.status == 409 && late.text.contains("does not go on"), "{}", late.text);
    }
    let shown = ask(&rig, Method::GET, &format!("/calls/{}/legs", call.sid), Value::Null).await;
    assert_eq!((shown.status, &shown.body["going_on"]), (200, &json!(false)), "{}", shown.text);
    let told = ordered(&rig, &call, 10).await;
    let words = ["listen", "whisper", "barge", "hang_up", "hang_up"];
    let wanted: Vec<_> =
        words.iter().flat_map(|what| [(json!(what), Value::Null), (json!(what), json!("done"))]).collect();
    assert_eq!(told, wanted);
    let log = ask(&rig, Method::GET, "/audit?limit=200", Value::Null).await;
    let ends: Vec<_> =
        log.body["entries"].as_array().expect("entries").iter().filter(|one| one["action"] == "ended").collect();
    let done =
        ends.iter().filter(|one| one["changed"]["came_of_it"] == "done" && one["changed"]["status"] == 200).count();
    assert_eq!(done, 5, "{}", log.text);
    assert!(ends.iter().any(|one| one["changed"]["mode"] == "barge"), "{}", log.text);
    assert!(!log.text.contains("9822223333"), "{}", log.text);
    assert_eq!(
        rig.exotel.with(|exotel| exotel.surprises().map(str::to_owned).collect::<Vec<_>>()),
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_answer_is_lost_is_not_given_again() {
    let rig = Rig::started();
    for (n, end, method, at, body, what) in [
        (1, "monitor", Method::POST, "Legs.json", json!({ "number": SUPERVISOR, "mode": "listen" }), "listen"),
        (2, "recording/start", Method::POST, "recording.json", json!({ "dual": true }), "record"),
        (3, "hangup", Method::PUT, "Legs/*", json!({}), "hang_up"),
    ] {
        for (n, fault) in [(n, Fault::ResetAfter), (n + 10, Fault::ResetBefore), (n + 20, Fault::Status(503))] {
            let call = going_on(&rig, n).await;
            let place = format!("/v1/Accounts/{SID}/Calls/{}/{at}", call.sid);
            let own = |rig: &Rig| {
                let seen = rig.exotel.requests();
                seen.iter().filter(|seen| seen.method == method && seen.path.contains(&call.sid)).count()
            };
            // The first leg's hang-up: with it the call is over, or it is not.
            rig.exotel.faults().push(On::exactly(method.clone(), &place), fault);
            let lost = ask(&rig, Method::POST, &format!("/calls/{}/{end}", call.sid), body.clone()).await;
            let told = format!("{end} {fault:?}: {} {}", lost.status, lost.text);
            assert_eq!((lost.status, &lost.body["state"]), (202, &json!("unknown")), "{told}");
            let legs = usize::from(method == Method::PUT) + 1;
            assert!(own(&rig) <= legs, "each leg is asked about once: {told}");
            let lines = ordered(&rig, &call, 2).await;
            assert_eq!(lines, [(json!(what), Value::Null), (json!(what), json!("unknown"))], "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exotels_no_is_told_in_words_with_the_cure() {
    let rig = Rig::started();
    let call = going_on(&rig, 1).await;
    let end = format!("/calls/{}/recording/start", call.sid);
    let at = On::exactly(Method::POST, &format!("/v1/Accounts/{SID}/Calls/{}/recording.json", call.sid));
    for (fault, status, part) in [
        (Fault::Status(400), 422, "mend what Exotel names"),
        (Fault::Status(402), 422, "balance"),
        (Fault::Status(403), 502, "may lack permissions"),
        (Fault::RateLimited { retry_after_s: 1 }, 429, "limit"),
    ] {
        rig.exotel.faults().push(at.clone(), fault);
        let refused = ask(&rig, Method::POST, &end, json!({})).await;
        assert!(refused.status == status && refused.text.contains(part), "{part}: {} {}", refused.status, refused.text);
        let wait = refused.retry_after.and_then(|wait| wait.parse::<u64>().ok());
        assert_eq!(wait.is_some_and(|wait| wait > 0), status == 429);
    }
    let started = ask(&rig, Method::POST, &end, json!({ "first_leg_only": true })).await;
    assert_eq!(started.status, 200, "{}", started.text);
    assert!(rig.exotel.with(|exotel| exotel.is_taped(&call.sid)));
    let stopped = ask(&rig, Method::POST, &format!("/calls/{}/recording/stop", call.sid), Value::Null).await;
    assert_eq!(stopped.status, 200, "{}", stopped.text);
    assert!(!rig.exotel.with(|exotel| exotel.is_taped(&call.sid)));
    let told = ordered(&rig, &call, 12).await;
    assert_eq!(told.iter().filter(|(_, came_of_it)| came_of_it == "refused").count(), 4, "{told:?}");
    let number = ask(&rig, Method::POST, "/numbers/look-up", json!({ "number": "098765 43210" })).await;
    let wanted = (&json!("+919876543210"), &json!("mobile"), &json!("no"));
    assert_eq!((&number.body["number"], &number.body["kind"], &number.body["dnd"]), wanted, "{}", number.text);
    assert_eq!(ask(&rig, Method::POST, "/numbers/look-up", json!({ "number": "x" })).await.status, 400);
}

/// Exotel's user for the rig's second agent, with a telephone that is on and an app that is not.
fn users(rig: &Rig) {
    let device = |id: &str, contact: &str, available, verified| HeldDevice {
        id: id.to_owned(),
        contact: contact.to_owned(),
        available,
        verified,
        busy: false,
    };
    let held = |id: &str, name: &str, email: &str, devices| HeldUser {
        id: id.to_owned(),
        name: name.to_owned(),
        email: email.to_owned(),
        active_call: None,
        devices,
    };
    rig.exotel.with(|exotel| {
        *exotel.users_mut() = vec![
            held("u1", "Avnish Gupta", "a@elsewhere.example", vec![device("d1", "+919711581199", true, true)]),
            held(
                "u2",
                "Rahil Mohammed",
                "Rahil@example.com",
                vec![
                    device("tel", "+919945476362", true, true),
                    device("app", "sip:rahil", false, true),
                    device("new", "+919845000000", false, false),
                ],
            ),
        ];
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_sees_and_switches_his_own_devices_and_no_others() {
    let mut rig = Rig::new();
    rig.account = format!("ccm_url = \"{}\"", rig.exotel.url());
    rig.start();
    users(&rig);
    let listed = rig.account("/users").await;
    let id = |number: &str| {
        let all = listed["users"].as_array().expect("users");
        let found = all.iter().find(|user| user["number"] == number).and_then(|user| user["id"].as_str());
        found.expect("an agent").to_owned()
    };
    let (own, other) = (id("+919945476362"), id("+919711581199"));
    user(&rig, "rahil@example.com", "agent", &[SID]).await;
    let rahil = signed_in(&rig, "rahil@example.com").await;
    let device = |id: &str| path(&format!("/agents/{id}/device"));
    let as_him = async |method: Method, id: &str, body: Value| send(&rig, method, &device(id), &rahil, &body).await;
    let available = |reply: &Reply| -> Vec<String> {
        let devices = reply.body["devices"].as_array().expect("devices").clone();
        devices.iter().filter(|one| one["available"] == true).map(|one| one["id"].to_string()).collect()
    };
    for id in [own.as_str(), "me"] {
        let shown = as_him(Method::GET, id, Value::Null).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        assert_eq!(
            (&shown.body["exotel_user"], shown.body["devices"].as_array().map(Vec::len)),
            (&json!("u2"), Some(3))
        );
        assert_eq!(available(&shown), ["\"tel\""]);
    }
    assert_eq!(as_him(Method::GET, &other, Value::Null).await.status, 403);
    assert_eq!(as_him(Method::PATCH, &other, json!({ "device": "d1", "on": false })).await.status, 403);
    assert_eq!(as_him(Method::GET, "nobody", Value::Null).await.status, 404);
    for (body, status, part) in [
        (json!({ "on": true }), 400, "tel, app, new"),
        (json!({ "device": "d1", "on": true }), 400, "tel, app, new"),
        (json!({ "device": "new", "on": true }), 409, "not verified"),
        (json!({ "device": "tel" }), 400, "on"),
    ] {
        let refused = as_him(Method::PATCH, "me", body).await;
        assert!(refused.status == status && refused.text.contains(part), "{part}: {}", refused.text);
    }
    let switched = as_him(Method::PATCH, "me", json!({ "device": "app", "on": true })).await;
    assert_eq!((switched.status, available(&switched)), (200, vec!["\"app\"".to_owned()]), "{}", switched.text);
    let off = as_him(Method::POST, &own, json!({ "device": "app", "on": false })).await;
    assert_eq!((off.status, available(&off)), (200, Vec::new()), "{}", off.text);
    // A switch that fails leaves him where he was.
    assert_eq!(as_him(Method::PATCH, "me", json!({ "device": "tel", "on": true })).await.status, 200);
    let app = format!("/v2/accounts/{SID}/users/u2/devices/app");
    rig.exotel.faults().push(On::exactly(Method::PUT, &app), Fault::Status(400));
    let failed = as_him(Method::PATCH, "me", json!({ "device": "app", "on": true })).await;
    assert_eq!(failed.status, 422, "{}", failed.text);
    assert_eq!(available(&as_him(Method::GET, "me", Value::Null).await), ["\"tel\""]);
    // An admin, whose e-mail is nobody's; and by number alone.
    let shown = ask(&rig, Method::GET, &format!("/agents/{other}/device"), Value::Null).await;
    assert_eq!((shown.status, &shown.body["exotel_user"]), (200, &json!("u1")), "{}", shown.text);
    let off = ask(&rig, Method::PATCH, &format!("/agents/{other}/device"), json!({ "on": false })).await;
    assert_eq!((off.status, available(&off)), (200, Vec::new()), "{}", off.text);
    assert_eq!(ask(&rig, Method::GET, "/agents/me/device", Value::Null).await.status, 404);
    let log = ask(&rig, Method::GET, "/audit?limit=200", Value::Null).await;
    let ends: Vec<_> =
        log.body["entries"].as_array().expect("entries").iter().filter(|one| one["action"] == "ended").collect();
    let by_him = ends.iter().filter(|one| one["by"] == "rahil@example.com" && one["changed"]["status"] == 200);
    assert_eq!(by_him.count(), 3, "{}", log.text);
    assert!(ends.iter().any(|one| one["changed"]["status"] == 422), "{}", log.text);
    rig.exotel.with(|exotel| exotel.users_mut().clear());
    let gone = as_him(Method::GET, "me", Value::Null).await;
    assert!(gone.status == 404 && gone.text.contains("co-worker"), "{}", gone.text);
}

/// A rig whose two agents may click.
fn clickers() -> Rig {
    let mut rig = Rig::new();
    let agent = |number: &str, email: &str| {
        format!(
            "[[account.agent]]\nnumber = \"{number}\"\nemail = \"{email}\"\ncaller_id = \"{EXOPHONE}\"\nclick_to_call = true\n"
        )
    };
    rig.more = agent("+919000000001", "one@example.com") + &agent("+919000000002", "two@example.com");
    rig.start();
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_clicks_for_himself_and_sees_his_own_clicks() {
    let rig = clickers();
    user(&rig, "one@example.com", "agent", &[SID]).await;
    user(&rig, "stranger@example.com", "agent", &[SID]).await;
    user(&rig, "boss@example.com", "admin", &[SID]).await;
    let one = signed_in(&rig, "one@example.com").await;
    let stranger = signed_in(&rig, "stranger@example.com").await;
    let boss = signed_in(&rig, "boss@example.com").await;
    let place = async |with: &With, key: &str, agent: &str| {
        let mut request = rig.http.post(rig.url(&path("/calls"))).header("Idempotency-Key", key);
        for (name, value) in [("cookie", &with.cookie), ("x-csrf-token", &with.csrf)] {
            request = value.iter().fold(request, |request, value| request.header(name, value));
        }
        request = with.bearer.iter().fold(request, |request, token| request.bearer_auth(token));
        let body = json!({ "agent": agent, "to": format!("+9198765{:05}", key.len()) });
        let reply = request.body(body.to_string()).send().await.expect("an answer");
        let status = reply.status().as_u16();
        let text = reply.text().await.expect("a body");
        (status, serde_json::from_str::<Value>(&text).unwrap_or_default(), text)
    };
    let (status, mine, text) = place(&one, "k", "One@example.com").await;
    assert_eq!(status, 201, "{text}");
    assert_eq!(place(&one, "kk", "09000000001").await.0, 201, "by his number");
    for agent in ["two@example.com", "+919000000002", "nobody@example.com", ""] {
        let (status, _, text) = place(&one, "kkk", agent).await;
        assert!(status == 403 && text.contains("for himself"), "{agent}: {text}");
    }
    let (status, _, text) = place(&stranger, "kkk", "one@example.com").await;
    assert!(
        status == 403 && text.contains("no agent of the user mapping has the e-mail stranger@example.com"),
        "{text}"
    );
    let (status, theirs, text) = place(&boss, "kkkk", "two@example.com").await;
    assert_eq!(status, 201, "an admin clicks for anybody: {text}");
    // A token is whoever made it: the agent's own is he, an admin's with the role agent is no agent, and one of nobody's too.
    let made = async |with: &With, role: &str| {
        let made = send(&rig, Method::POST, "/api/v1/tokens", with, &json!({ "label": "t", "role": role })).await;
        With::bearer(made.body["token"].as_str().expect("a token"))
    };
    let (own, less) = (made(&one, "agent").await, made(&boss, "agent").await);
    let nobodys = token(&rig, "agent", &[SID]).await;
    assert_eq!(place(&own, "kkkkk", "one@example.com").await.0, 201);
    assert_eq!(place(&own, "kkkkkk", "two@example.com").await.0, 403);
    assert_eq!(place(&less, "kkkkkk", "one@example.com").await.0, 403);
    let (status, _, text) = place(&nobodys, "kkkkkk", "one@example.com").await;
    assert!(status == 403 && text.contains("made with the admin token"), "{text}");
    assert_eq!(place(&token(&rig, "admin", &[SID]).await, "kkkkkk", "one@example.com").await.0, 201);
    assert_eq!(rig.exotel.with(|exotel| exotel.placed().len()), 5);
    // What is seen of it.
    let list = async |with: &With| {
        let list = send(&rig, Method::GET, &path("/clicks"), with, &Value::Null).await;
        assert_eq!(list.status, 200, "{}", list.text);
        list.body["clicks"].as_array().expect("clicks").iter().map(|one| one["agent"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(&boss).await.len(), 5);
    for with in [&one, &own] {
        let seen = list(with).await;
        assert!(seen.len() == 4 && seen.iter().all(|agent| agent == "\"+919000000001\""), "{seen:?}");
    }
    for with in [&stranger, &less, &nobodys] {
        assert!(list(with).await.is_empty());
    }
    let click = |body: &Value| path(&format!("/clicks/{}", body["id"].as_str().expect("an id")));
    for (with, body, status) in
        [(&one, &mine, 200), (&one, &theirs, 404), (&boss, &theirs, 200), (&stranger, &mine, 404)]
    {
        let shown = send(&rig, Method::GET, &click(body), with, &Value::Null).await;
        assert_eq!(shown.status, status, "{}", shown.text);
    }
}
