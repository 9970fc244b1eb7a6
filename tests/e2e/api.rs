//! What happened to a call can be asked from outside.

use serde_json::json;

use crate::rig::{AGENT, Call, Rig, SID};

#[tokio::test(flavor = "multi_thread")]
async fn the_api_wants_the_token() {
    let rig = Rig::started();
    for token in ["", "wrong", "admin-token-0123456789abcdeF"] {
        let url = rig.url(&format!("/api/v1/accounts/{SID}/calls"));
        let reply = rig.http.get(url).bearer_auth(token).send().await.expect("an answer");
        assert_eq!(reply.status(), 401);
        let body = reply.text().await.expect("a body");
        assert!(body.contains("unauthorized") && !body.contains("admin-token"), "{body}");
    }
    let (status, body) = rig.get("/api/v1/accounts/nobody/calls").await;
    assert_eq!((status, &body["error"]["code"]), (404, &json!("not_found")));
    let (status, body) = rig.get(&format!("/api/v1/accounts/{SID}/calls?before=zzz")).await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("bad_request")));
    let (status, body) = rig.get(&format!("/api/v1/accounts/{SID}/calls?outcom=missed")).await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("bad_request")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calls_timeline_tells_each_event_attempt_and_exchange() {
    let rig = Rig::started();
    let call = Call::new(1);
    rig.simulate(&call);
    rig.hook(&call.pop("Dial", AGENT, 2)).await;
    rig.hook(&call.pop("Dial", AGENT, 2)).await;
    rig.hook(&call.answered()).await;
    rig.note(&call.sid).await;
    rig.settled().await;
    let file = rig.account(&format!("/calls/{}", call.sid)).await;
    assert_eq!(file["state"]["outcome"], "answered", "{file:#}");
    let timeline = file["timeline"].as_array().expect("a timeline");
    let event = |kind: &str| timeline.iter().find(|line| line["type"] == "event" && line["kind"] == kind);
    assert_eq!(event("dialing").map(|line| &line["times"]), Some(&json!(2)), "{file:#}");
    assert!(event("completed").is_some() && event("detailed").is_some(), "{file:#}");
    let delivered: Vec<&str> = timeline
        .iter()
        .filter(|line| line["type"] == "attempt" && line["outcome"] == "delivered")
        .filter_map(|line| line["kind"].as_str())
        .collect();
    assert!(delivered.contains(&"log") && delivered.contains(&"recording"), "{file:#}");
    assert!(file.to_string().contains("ticket.create"), "{file:#}");
    assert_eq!(file["records"].as_array().map(Vec::len), Some(2), "{file:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_searched_and_paged() {
    let rig = Rig::started();
    for n in 0..25 {
        let call = Call::new(n);
        rig.hook(&if n % 5 == 0 { call.answered() } else { call.missed() }).await;
    }
    for n in 0..25 {
        rig.ticket(&Call::new(n).sid).await;
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut path = "/calls?limit=10".to_owned();
    loop {
        let page = rig.account(&path).await;
        let calls = page["calls"].as_array().expect("calls");
        seen.extend(calls.iter().filter_map(|call| call["call_sid"].as_str().map(str::to_owned)));
        match page["next"].as_str() {
            Some(next) => path = format!("/calls?limit=10&before={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 25);
    let answered = rig.account("/calls?outcome=answered").await;
    assert_eq!(answered["calls"].as_array().map(Vec::len), Some(5));
    // However it is written.
    for number in ["09876500007", "%2B919876500007", "9876500007"] {
        let found = rig.account(&format!("/calls?number={number}")).await;
        assert_eq!(found["calls"].as_array().map(Vec::len), Some(1), "{number}: {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_again_makes_nothing_twice() {
    let rig = Rig::started();
    let call = Call::new(1);
    rig.simulate(&call);
    rig.hook(&call.answered()).await;
    rig.note(&call.sid).await;
    rig.settled().await;
    let path = format!("/api/v1/accounts/{SID}/calls/{}/resync", call.sid);
    for body in [json!({}), json!({ "rewrite": true }), json!({ "integration": "support", "rewrite": true })] {
        let (status, answer) = rig.post(&path, body).await;
        assert_eq!(status, 202, "{answer}");
        rig.settled().await;
    }
    let tickets = rig.tickets(&call.sid);
    assert_eq!(tickets.len(), 1);
    assert_eq!(rig.notes(tickets[0].id).len(), 1);
    let (status, _) = rig.post(&format!("/api/v1/accounts/{SID}/calls/unknown/resync"), json!({})).await;
    assert_eq!(status, 404);
    let (status, _) = rig.post(&format!("/api/v1/accounts/{SID}/deliveries/retry"), json!({})).await;
    assert_eq!(status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integration_can_be_verified() {
    let rig = Rig::started();
    let path = format!("/api/v1/accounts/{SID}/integrations/support/verify");
    let (status, answer) = rig.post(&path, json!({})).await;
    assert_eq!((status, &answer["ok"]), (200, &json!(true)), "{answer}");
    rig.freshdesk.with(patchbay_sandbox::freshdesk::Freshdesk::revoke_key);
    let (_, answer) = rig.post(&path, json!({})).await;
    assert_eq!(answer["ok"], false, "{answer}");
}
