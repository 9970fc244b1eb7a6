//! The page that another console has for Exotel: its endpoints, as it calls them.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_other_consoles_page_finds_its_endpoints() {
    let mut rig = rig();
    rig.start();
    assert_eq!(own(&rig, "POST", "/bots", sales()).await.status, 201);
    let shown = send(&rig, ADMIN, "GET", "/integrations/exotel", Value::Null).await.body;
    let base = rig.exotel.url();
    let expected = json!({
        "type": "exotel", "account_sid": SID, "api_base_url": base.trim_end_matches('/'), "credentials_configured": true,
        "status": "configured", "dids": []
    });
    assert_eq!(shown, expected);
    let dids = "/integrations/exotel/dids";
    let asked = json!({ "number": "8047494574", "label": "Sales", "bot_id": "sales", "flow_url": FLOW, "extra": 1 });
    let made = send(&rig, ADMIN, "POST", dids, asked).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let address = format!("{}/exotel/sales", rig.url("").replacen("http", "ws", 1));
    let expected = json!({
        "id": id(&made.body), "number": "+918047494574", "label": "Sales", "bot_id": "sales", "flow_url": FLOW,
        "websocket_url": address
    });
    assert_eq!(made.body, expected);
    let one = format!("{dids}/{}", id(&made.body));
    let edited = send(&rig, ADMIN, "PUT", &one, json!({ "bot_id": null, "label": "" })).await;
    assert_eq!((edited.status, &edited.body["websocket_url"]), (200, &json!("")), "{}", edited.text);
    assert_eq!(
        (&edited.body["label"], &edited.body["flow_url"]),
        (&json!(""), &json!(FLOW)),
        "what is not named stays"
    );
    let options = send(&rig, ADMIN, "GET", "/integrations/exotel/test-call-options", Value::Null).await.body;
    assert_eq!((&options["credentials_configured"], &options["dids"][0]["id"]), (&json!(true), &made.body["id"]));
    assert_eq!(options["dids"][0].get("flow_url"), None, "{options}");
    let called = send(&rig, ADMIN, "POST", &format!("{one}/test-call"), json!({ "to_number": "00919876500001" })).await;
    assert_eq!((called.status, &called.body["to_number"]), (200, &json!("+919876500001")), "{}", called.text);
    assert!(called.body["call_sid"].is_string(), "{}", called.text);
    let twice = send(&rig, ADMIN, "POST", &format!("{one}/test-call"), json!({ "to_number": CUSTOMER })).await;
    assert_eq!(
        (twice.body["call_sid"] == called.body["call_sid"], dials(&rig)),
        (true, 1),
        "a second press of the button"
    );
    // Credentials of an account of the file are changed there.
    let put = json!({ "account_sid": SID, "api_key": "new-key", "api_token": "new-token" });
    let refused = send(&rig, ADMIN, "PUT", "/integrations/exotel", put).await;
    assert!(refused.status == 409 && refused.text.contains("in the configuration file"), "{}", refused.text);
    assert!(!refused.text.contains("new-key"), "{}", refused.text);
    let admin = token(&rig, "admin", &[SID]).await;
    for (method, path, body) in [
        ("GET", "/integrations/exotel", Value::Null),
        ("PUT", "/integrations/exotel", json!({})),
        ("POST", dids, json!({ "number": "08047494575" })),
        ("PUT", one.as_str(), json!({})),
        ("DELETE", one.as_str(), Value::Null),
    ] {
        assert_eq!(send(&rig, &admin, method, path, body).await.status, 403, "{method} {path}");
    }
    assert_eq!(send(&rig, &admin, "GET", "/integrations/exotel/test-call-options", Value::Null).await.status, 200);
    assert_eq!(send(&rig, ADMIN, "DELETE", &one, Value::Null).await.status, 204);
    assert_eq!(send(&rig, ADMIN, "DELETE", &one, Value::Null).await.status, 404);
    assert!(rig.logs().iter().all(|line| !line.contains("new-key") && !line.contains("new-token")));
}

/// An account that the other page makes works like any: its hooks are open from then on, and with the new credentials alone
/// once it was given others.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_page_makes_an_account_and_gives_it_other_credentials() {
    let mut rig = rig();
    rig.start();
    let page = "/integrations/exotel";
    let missing = send(&rig, ADMIN, "PUT", page, json!({ "account_sid": OTHER, "api_key": "first-key" })).await;
    assert!(missing.status == 400 && missing.text.contains("api_token"), "{}", missing.text);
    let mut credentials = json!({
        "account_sid": OTHER, "api_key": "first-key", "api_token": "first-token", "api_base_url": rig.exotel.url(),
    });
    let made = send(&rig, ADMIN, "PUT", page, credentials.clone()).await;
    assert_eq!(made.status, 200, "{}", made.text);
    assert_eq!(
        (&made.body["account_sid"], &made.body["credentials_configured"], &made.body["status"]),
        (&json!(OTHER), &json!(true), &json!("configured"))
    );
    let hook = async |token: &str| {
        let url = rig.url(&format!("/v2/accounts/{OTHER}/call-events?event=missed&CallSid=1"));
        rig.http.get(url).basic_auth("first-key", Some(token)).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(hook("first-token").await, 200);
    // What is left empty in a form stays as it is.
    credentials["api_key"] = json!("");
    credentials["api_token"] = json!("second-token");
    let changed = send(&rig, ADMIN, "PUT", page, credentials).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!((hook("first-token").await, hook("second-token").await), (401, 200));
    for secret in ["first-key", "first-token", "second-token"] {
        assert!(!made.text.contains(secret) && !changed.text.contains(secret), "{secret}");
        assert!(rig.logs().iter().all(|line| !line.contains(secret)), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_accounts_the_other_page_is_told_which() {
    let mut rig = rig();
    let url = rig.exotel.url();
    rig.extra += &format!(
        "\n[[account]]\nsid = \"{OTHER}\"\napi_url = \"{url}\"\napi_key = \"${{EXOTEL_KEY}}\"\napi_token = \"${{EXOTEL_TOKEN}}\"\n"
    );
    rig.start();
    let several = send(&rig, ADMIN, "GET", "/integrations/exotel", Value::Null).await;
    assert!(several.status == 409 && several.text.contains("?account_sid= one of"), "{}", several.text);
    let asked = json!({ "number": EXOPHONE, "flow_url": FLOW });
    for sid in [SID, OTHER] {
        let path = format!("/integrations/exotel/dids?account_sid={sid}");
        assert_eq!(send(&rig, ADMIN, "POST", &path, asked.clone()).await.status, 201, "each has its own numbers");
        let shown =
            send(&rig, ADMIN, "GET", &format!("/integrations/exotel?account_sid={sid}"), Value::Null).await.body;
        assert_eq!((&shown["account_sid"], shown["dids"].as_array().map(Vec::len)), (&json!(sid), Some(1)));
    }
    let nowhere = send(&rig, ADMIN, "GET", "/integrations/exotel?account_sid=nowhere", Value::Null).await;
    assert_eq!(nowhere.status, 404);
    // Whoever may see one alone need not say which, and sees no other.
    let admin = token(&rig, "admin", &[OTHER]).await;
    let options = send(&rig, &admin, "GET", "/integrations/exotel/test-call-options", Value::Null).await.body;
    let own = send(&rig, ADMIN, "GET", &format!("/accounts/{OTHER}/dids"), Value::Null).await.body;
    assert_eq!(options["dids"][0]["id"], own["dids"][0]["id"]);
    let theirs = format!("/integrations/exotel/test-call-options?account_sid={SID}");
    assert_eq!(send(&rig, &admin, "GET", &theirs, Value::Null).await.status, 404);
}
