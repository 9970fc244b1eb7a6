//! What Exotel meets at the door.

use std::time::Duration;

use serde_json::json;

use crate::rig::{Call, KEY, Rig, SID, TOKEN};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_told_nothing() {
    let rig = Rig::started();
    let ask = |sid: &str, key: &str, token: &str| {
        let url = rig.url(&format!("/v2/accounts/{sid}/call-events?{}", Call::new(1).missed()));
        let request = rig.http.get(url).basic_auth(key, Some(token));
        async move {
            let reply = request.send().await.expect("an answer");
            (reply.status().as_u16(), reply.text().await.expect("a body"))
        }
    };
    let wrong = ask(SID, KEY, "wrong").await;
    assert_eq!(wrong.0, 401);
    assert_eq!(ask("nobody", KEY, TOKEN).await, wrong);
    assert_eq!(ask(SID, TOKEN, KEY).await, wrong);
    let none = rig.http.get(rig.url(&format!("/v2/accounts/{SID}/call-events"))).send().await.expect("an answer");
    assert_eq!(none.status(), 401);
    assert_eq!(rig.account("/calls").await["calls"], json!([]));
    assert_eq!(ask(SID, KEY, TOKEN).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn get_head_and_post_in_every_encoding() {
    let rig = Rig::started();
    let url = |query: &str| rig.url(&format!("/v2/accounts/{SID}/call-events{query}"));
    let authorised = |request: reqwest::RequestBuilder| request.basic_auth(KEY, Some(TOKEN));

    let head = Call::new(1);
    let reply = authorised(rig.http.head(url(&format!("?{}", head.missed())))).send().await.expect("an answer");
    assert_eq!(reply.status(), 200);

    let form = Call::new(2);
    let request =
        rig.http.post(url("")).header("content-type", "application/x-www-form-urlencoded").body(form.missed());
    assert_eq!(authorised(request).send().await.expect("an answer").status(), 200);

    let multipart = Call::new(3);
    let mut body = String::new();
    for (name, value) in url::form_urlencoded::parse(multipart.missed().as_bytes()) {
        body.push_str(&format!("--bound\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"));
    }
    body.push_str("--bound--\r\n");
    let request = rig.http.post(url("")).header("content-type", "multipart/form-data; boundary=bound").body(body);
    assert_eq!(authorised(request).send().await.expect("an answer").status(), 200);

    let json_call = Call::new(4);
    let fields: serde_json::Map<String, serde_json::Value> = url::form_urlencoded::parse(json_call.missed().as_bytes())
        .filter(|(name, _)| name != "event")
        .map(|(name, value)| (name.into_owned(), json!(value)))
        .collect();
    let request = rig
        .http
        .post(url("?event=missed"))
        .header("content-type", "application/json")
        .body(serde_json::Value::Object(fields).to_string());
    assert_eq!(authorised(request).send().await.expect("an answer").status(), 200);

    for call in [&form, &multipart, &json_call] {
        assert_eq!(rig.ticket(&call.sid).await.subject, format!("Missed Call from {}", call.from));
    }
    // HEAD has no effect: by now the others, sent later, have their tickets.
    assert!(rig.tickets(&head.sid).is_empty());

    // A slash too many in the flow's URL loses no call.
    let slash = Call::new(5);
    let request = rig.http.get(url(&format!("/?{}", slash.missed())));
    assert_eq!(authorised(request).send().await.expect("an answer").status(), 200);
    rig.ticket(&slash.sid).await;

    let reply = authorised(rig.http.put(url(""))).send().await.expect("an answer");
    assert_eq!(reply.status(), 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_token_opens_its_account_until_it_is_taken_away() {
    let rig = Rig::started();
    let hooks = format!("/api/v1/accounts/{SID}/hooks");
    let (status, made) = rig.post(&hooks, json!({ "label": "support flow" })).await;
    assert_eq!(status, 201, "{made}");
    let token = made["token"].as_str().expect("a token").to_owned();
    let id = made["id"].as_str().expect("an id").to_owned();
    let send = |token: &str, path: &str, call: &Call| {
        let request = rig.http.get(rig.url(&format!("/h/{token}{path}?{}", call.missed())));
        async move { request.send().await.expect("an answer").status().as_u16() }
    };
    let (first, second) = (Call::new(1), Call::new(2));
    assert_eq!(send(&token, "/call-events", &first).await, 200);
    assert_eq!(send(&token, &format!("/v2/accounts/{SID}/call-events"), &second).await, 200);
    assert_eq!(send(&token, "/v2/accounts/other/call-events", &second).await, 404);
    assert_eq!(send("guess", "/call-events", &second).await, 404);
    rig.ticket(&first.sid).await;
    rig.ticket(&second.sid).await;

    // Two are valid while one is rotated; nothing that is listed is a token.
    let (status, rotated) = rig.post(&format!("{hooks}/{id}/rotate"), json!({})).await;
    assert_eq!(status, 201, "{rotated}");
    let new = rotated["token"].as_str().expect("a token").to_owned();
    assert_eq!(send(&token, "/call-events", &first).await, 200);
    assert_eq!(send(&new, "/call-events", &first).await, 200);
    let listed = rig.account("/hooks").await.to_string();
    assert!(!listed.contains(&token) && !listed.contains(&new), "{listed}");

    let gone = rig.http.delete(rig.url(&format!("{hooks}/{id}"))).bearer_auth(crate::rig::ADMIN).send().await;
    assert_eq!(gone.expect("an answer").status(), 204);
    assert_eq!(send(&token, "/call-events", &first).await, 404);
    assert_eq!(send(&new, "/call-events", &first).await, 200);
    assert!(!rig.logs().iter().any(|line| line.contains(&token) || line.contains(&new)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_one_applet_opens_that_one_alone() {
    let rig = Rig::started();
    let hooks = format!("/api/v1/accounts/{SID}/hooks");
    let (status, refused) = rig.post(&hooks, json!({ "scope": "call_events/nothing" })).await;
    assert!(status == 400 && refused.to_string().contains("call_events?event=pop"), "{refused}");
    let made = async |scope: &str| {
        let (status, made) = rig.post(&hooks, json!({ "label": "x", "scope": scope })).await;
        assert_eq!((status, &made["scope"]), (201, &json!(scope)), "{made}");
        made
    };
    let missed = made("call_events?event=missed").await;
    let whom = made("call_events/dialwhom").await;
    let family = made("call_events").await;
    let urls = |made: &serde_json::Value| -> Vec<String> {
        made["urls"].as_array().expect("urls").iter().filter_map(|one| Some(one["url"].as_str()?.to_owned())).collect()
    };
    assert!(matches!(urls(&missed).as_slice(), [only] if only.ends_with("/call-events?event=missed")), "{missed}");
    assert!(matches!(urls(&whom).as_slice(), [only] if only.ends_with("/dialwhom")), "{whom}");
    assert!(urls(&family).len() > 10 && family["status_callback"].is_null(), "{family}");
    let call = Call::new(1);
    let send = async |made: &serde_json::Value, path: &str| {
        let url = rig.url(&format!("/h/{}{path}", made["token"].as_str().expect("a token")));
        let reply = rig.http.get(url).send().await.expect("an answer");
        (reply.status().as_u16(), reply.text().await.expect("a body"))
    };
    let said = call.missed();
    let end = call.missed().replace("event=missed", "event=end");
    let unscoped = format!("/call-events?{}", said.replace("event=missed&", ""));
    for (token, path, status) in [
        (&missed, format!("/call-events?{said}"), 200),
        (&missed, format!("/v2/accounts/{SID}/call-events?{said}"), 200),
        (&missed, format!("/call-events?{end}"), 404),
        (&missed, unscoped.clone(), 404),
        (&missed, "/status?CallSid=x1".to_owned(), 404),
        (&missed, format!("/dialwhom?{said}"), 404),
        (&whom, format!("/dialwhom?{said}"), 200),
        (&whom, format!("/call-events?{said}"), 404),
        (&whom, format!("/pop/{SID}?{said}"), 404),
        (&family, format!("/call-events?{end}"), 200),
        (&family, unscoped, 200),
        (&family, format!("/dialwhom?{said}"), 200),
        (&family, "/status?CallSid=x1".to_owned(), 404),
        (&family, format!("/callback/exotel/{SID}/callmissed?{said}"), 404),
    ] {
        let (got, text) = send(token, &path).await;
        assert_eq!(got, status, "{} at {path}", token["scope"]);
        if got == 404 {
            assert_eq!(text, send(&json!({ "token": "guess" }), &path).await.1, "as an unknown token");
        }
    }
    // Its successor opens no more than it did.
    let id = missed["id"].as_str().expect("an id");
    let (status, rotated) = rig.post(&format!("{hooks}/{id}/rotate"), json!({})).await;
    assert_eq!((status, &rotated["scope"]), (201, &missed["scope"]), "{rotated}");
    assert_eq!(send(&rotated, &format!("/call-events?{said}")).await.0, 200);
    assert_eq!(send(&missed, &format!("/call-events?{said}")).await.0, 200, "for some days more");
    assert_eq!(send(&rotated, &format!("/call-events?{end}")).await.0, 404);
    rig.ticket(&call.sid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_nobody_can_read_is_set_aside_and_stops_nobody() {
    let rig = Rig::started();
    assert_eq!(rig.hook("event=missed&From=09876500001").await, 200);
    let call = Call::new(2);
    assert_eq!(rig.hook(&call.missed()).await, 200);
    rig.ticket(&call.sid).await;
    let metrics = rig.http.get(rig.url("/metrics")).send().await.expect("metrics").text().await.expect("text");
    assert!(metrics.contains("patchbay_set_aside_receipts 1"), "{metrics}");
    let (status, answer) = rig.post(&format!("/api/v1/accounts/{SID}/receipts/replay"), json!({})).await;
    assert_eq!((status, &answer["receipts"]), (202, &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_is_refused() {
    let mut rig = Rig::new();
    rig.env.push(("PATCHBAY__SERVER__BODY_LIMIT".to_owned(), "2048".to_owned()));
    rig.start();
    let url = rig.url(&format!("/v2/accounts/{SID}/call-events"));
    let request = rig.http.post(&url).basic_auth(KEY, Some(TOKEN)).body("x=".to_owned() + &"y".repeat(4000));
    assert_eq!(request.send().await.expect("an answer").status(), 413);
    assert_eq!(rig.hook(&format!("x={}", "y".repeat(4000))).await, 413);
    let call = Call::new(1);
    let reply = rig.http.get(format!("{url}?{}", call.missed())).timeout(Duration::from_secs(5));
    assert_eq!(reply.basic_auth(KEY, Some(TOKEN)).send().await.expect("an answer").status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_callback_of_an_outgoing_call_becomes_a_ticket() {
    let rig = Rig::started();
    // exotel-api §3, terminal with AMD (S:193-232), numbers invented.
    let body = json!({
        "CallSid": "f3dec10279a310e2831754a4ec841a5f", "ConversationDuration": "13", "EventType": "terminal",
        "DateCreated": "2026-05-15 16:46:13", "DateUpdated": "2026-05-15 16:46:50", "Direction": "outbound-api",
        "From": "09711581199", "To": "09876500012", "PhoneNumberSid": "08047494574", "Status": "completed",
        "StartTime": "2026-05-15 16:46:13", "EndTime": "2026-05-15 16:46:50", "DisconnectedBy": "Callee",
        "Legs": [
            { "OnCallDuration": "26", "RingingDuration": "5", "Status": "completed", "AnsweredBy": "NA", "AmdCause": "" },
            { "OnCallDuration": "13", "RingingDuration": "4", "Status": "completed", "AnsweredBy": "HUMAN" },
        ],
    });
    let url = rig.url(&format!("/v2/accounts/{SID}/status"));
    let request = rig.http.post(url).basic_auth(KEY, Some(TOKEN)).header("content-type", "application/json");
    assert_eq!(request.body(body.to_string()).send().await.expect("an answer").status(), 200);
    let ticket = rig.ticket("f3dec10279a310e2831754a4ec841a5f").await;
    assert_eq!(ticket.subject, "Outgoing Call to 09876500012");
    assert!(ticket.description.contains("Answered by: a human"), "{}", ticket.description);
    let call = rig.account("/calls/f3dec10279a310e2831754a4ec841a5f").await;
    assert_eq!(call["state"]["amd"]["answered_by"], "human", "{call}");
}
