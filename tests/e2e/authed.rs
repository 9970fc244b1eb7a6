//! HubSpot asks for a recording in its app's name: a request it signed opens that recording for minutes, no other does.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{Timestamp, ToSpan};
use patchbay_sandbox::{Faults, Server, hubspot::HubSpot};
use serde_json::Value;
use sha2::Sha256;

use crate::rig::{Call, Rig, SID, recording_bytes};

const SECRET: &str = "hs-secret-90c1ffe2";

/// A rig whose account has an app of HubSpot's beside Freshdesk, and a private app of the same connector.
fn rig() -> (Rig, Server<HubSpot>) {
    let mut rig = Rig::new();
    let sandbox = HubSpot::prepared("pat-77aa12").with_oauth("the-app", SECRET, "hs-refresh-7741");
    let hubspot = Server::start(([127, 0, 0, 1], 0).into(), sandbox, Faults::none()).expect("a HubSpot sandbox");
    let url = hubspot.url();
    rig.integration.push_str(&format!(
        "
        [[account.integration]]
        connector = \"hubspot\"
        name = \"sales\"
        base_url = \"{url}\"
        client_id = \"the-app\"
        client_secret = \"{SECRET}\"
        refresh_token = \"hs-refresh-7741\"
        [[account.integration]]
        connector = \"hubspot\"
        name = \"private\"
        base_url = \"{url}\"
        access_token = \"pat-77aa12\""
    ));
    rig.start();
    (rig, hubspot)
}

fn sign(secret: &str, uri: &str, at: Timestamp) -> (String, String) {
    let at = at.as_millisecond().to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(format!("GET{uri}{at}").as_bytes());
    (STANDARD.encode(mac.finalize().into_bytes()), at)
}

/// Asks as HubSpot does, signed with `secret` at `at`.
async fn ask(rig: &Rig, path: &str, secret: &str, at: Timestamp) -> (u16, Value) {
    let url = rig.url(path);
    let (signature, at) = sign(secret, &url, at);
    let request =
        rig.http.get(url).header("X-HubSpot-Signature-v3", signature).header("X-HubSpot-Request-Timestamp", at);
    let reply = request.send().await.expect("an answer");
    let status = reply.status().as_u16();
    (status, serde_json::from_slice(&reply.bytes().await.expect("a body")).expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_hubspot_signed_opens_the_recording() {
    let (rig, hubspot) = rig();
    let call = Call::new(1);
    rig.simulate(&call);
    rig.hook(&call.answered()).await;
    // The note has the recording, so the store knows of it.
    rig.note(&call.sid).await;
    let path = |sid: &str, integration: &str, call: &str, account: &str| {
        format!("/r/authed/{sid}/{integration}/{call}?externalAccountId={account}&appId=77")
    };
    let right = path(SID, "sales", &call.sid, SID);
    let now = Timestamp::now();

    let (status, body) = ask(&rig, &right, SECRET, now).await;
    assert_eq!(status, 200, "{body}");
    let link = body["authenticatedUrl"].as_str().expect("a link");
    let (file, query) = link.split_once('?').expect("a signed link");
    assert!(file.ends_with(".mp3"), "{link}");
    let until: i64 =
        query.split_once("e=").and_then(|(_, rest)| rest.split('&').next()?.parse().ok()).expect("its end");
    assert!((890..=910).contains(&(until - now.as_second())), "{until}");
    let part = rig.http.get(link).header("range", "bytes=100-199").send().await.expect("an answer");
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.expect("a body"), recording_bytes()[100..200]);

    let (_, refused) = ask(&rig, &right, "another-secret", now).await;
    assert!(refused["authenticatedUrl"].is_null() && !refused.to_string().contains(&call.sid), "{refused}");
    let unsigned = rig.http.get(rig.url(&right)).send().await.expect("an answer");
    assert_eq!(unsigned.status(), 401);
    let old = now - 301.seconds();
    for (path, secret, at, expected) in [
        (right.clone(), "another-secret", now, 401),
        (right.clone(), SECRET, old, 401),
        // Another account, another integration, one that is no app and so has no secret, one of another connector.
        (path("acme2", "sales", &call.sid, "acme2"), SECRET, now, 401),
        (path(SID, "nobody", &call.sid, SID), SECRET, now, 401),
        (path(SID, "private", &call.sid, SID), SECRET, now, 401),
        (path(SID, "support", &call.sid, SID), SECRET, now, 401),
        (path(SID, "support", &call.sid, SID), "nobody", now, 401),
        // Signed, and still nothing there: a call of another account's, and one without a recording.
        (path(SID, "sales", &call.sid, "acme2"), SECRET, now, 404),
        (path(SID, "sales", &Call::new(2).sid, SID), SECRET, now, 404),
        (format!("/r/authed/{SID}/sales/{}", call.sid), SECRET, now, 404),
        (format!("{right}&externalAccountId={SID}"), SECRET, now, 404),
    ] {
        assert_eq!(ask(&rig, &path, secret, at).await, (expected, refused.clone()), "{path}");
    }
    // What was signed is the very address.
    let (signature, at) = sign(SECRET, &rig.url(&path(SID, "sales", &Call::new(2).sid, SID)), now);
    let request = rig.http.get(rig.url(&right));
    let moved = request.header("X-HubSpot-Signature-v3", signature).header("X-HubSpot-Request-Timestamp", at);
    assert_eq!(moved.send().await.expect("an answer").status(), 401);

    let missed = Call { talk_s: 0, ..Call::new(3) };
    rig.simulate(&missed);
    rig.hook(&missed.missed()).await;
    rig.ticket(&missed.sid).await;
    assert_eq!(ask(&rig, &path(SID, "sales", &missed.sid, SID), SECRET, now).await, (404, refused));
    assert!(rig.logs().iter().all(|line| !line.contains(SECRET)), "a secret is in a log line");
    drop(hubspot);
}
