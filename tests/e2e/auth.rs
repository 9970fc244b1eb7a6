//! Who may come in, as what, and how that ends.

use std::collections::BTreeMap;

use patchbay::{
    access::Role,
    web::{Wants, endpoints},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{ADMIN, Rig, SID};

const OTHER: &str = "acme2";
const PASSWORD: &str = "correct horse battery";

/// A second account, for whoever may see only the first.
fn two_accounts() -> Rig {
    let mut rig = Rig::new();
    let url = rig.exotel.url();
    rig.extra += &format!(
        "\n[[account]]\nsid = \"{OTHER}\"\napi_url = \"{url}\"\napi_key = \"${{EXOTEL_KEY}}\"\napi_token = \"${{EXOTEL_TOKEN}}\"\n"
    );
    rig.start();
    rig
}

/// What somebody comes with.
#[derive(Clone, Default)]
pub(crate) struct With {
    pub(crate) bearer: Option<String>,
    pub(crate) cookie: Option<String>,
    pub(crate) csrf: Option<String>,
}

impl With {
    pub(crate) fn bearer(token: &str) -> Self {
        Self { bearer: Some(token.to_owned()), ..Self::default() }
    }
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    cookie: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) text: String,
    pub(crate) body: Value,
}

pub(crate) async fn send(rig: &Rig, method: Method, path: &str, with: &With, body: &Value) -> Reply {
    let mut request = rig.http.request(method, rig.url(path));
    for (name, value) in [("cookie", &with.cookie), ("x-csrf-token", &with.csrf)] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    if let Some(token) = &with.bearer {
        request = request.bearer_auth(token);
    }
    if !body.is_null() {
        request = request.body(body.to_string());
    }
    let reply = request.send().await.expect("an answer");
    let header = |name: &str| Some(reply.headers().get(name)?.to_str().expect("text").to_owned());
    let (status, cookie, retry_after) = (reply.status().as_u16(), header("set-cookie"), header("retry-after"));
    // An event stream has no end to wait for.
    let streams = reply.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream");
    let text = if streams { String::new() } else { reply.text().await.expect("a body") };
    let body = serde_json::from_str(&text).unwrap_or_default();
    Reply { status, cookie: cookie.unwrap_or_default(), retry_after, text, body }
}

pub(crate) async fn admin(rig: &Rig, method: Method, path: &str, body: Value) -> Reply {
    send(rig, method, path, &With::bearer(ADMIN), &body).await
}

/// A user with a password; his id.
pub(crate) async fn user(rig: &Rig, email: &str, role: &str, accounts: &[&str]) -> String {
    let asked = json!({ "email": email, "role": role, "accounts": accounts });
    let made = admin(rig, Method::POST, "/api/v1/users", asked).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let set = json!({ "token": made.body["one_time"]["token"], "password": PASSWORD });
    let set = send(rig, Method::POST, "/api/v1/password", &With::default(), &set).await;
    assert_eq!(set.status, 204, "{}", set.text);
    made.body["id"].as_str().expect("an id").to_owned()
}

async fn sign_in(rig: &Rig, email: &str, password: &str) -> Reply {
    let asked = json!({ "email": email, "password": password });
    send(rig, Method::POST, "/api/v1/session", &With::default(), &asked).await
}

pub(crate) async fn signed_in(rig: &Rig, email: &str) -> With {
    let reply = sign_in(rig, email, PASSWORD).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let cookie = reply.cookie.split(';').next().map(str::to_owned);
    With { cookie, csrf: reply.body["csrf"].as_str().map(str::to_owned), bearer: None }
}

async fn standing(rig: &Rig, with: &With) -> u16 {
    send(rig, Method::GET, "/api/v1/session", with, &Value::Null).await.status
}

pub(crate) async fn token(rig: &Rig, role: &str, accounts: &[&str]) -> With {
    let asked = json!({ "label": format!("{role} of {accounts:?}"), "role": role, "accounts": accounts });
    let made = admin(rig, Method::POST, "/api/v1/tokens", asked).await;
    assert_eq!(made.status, 201, "{}", made.text);
    With::bearer(made.body["token"].as_str().expect("a token"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_wants_its_role() {
    let rig = two_accounts();
    let agent = token(&rig, "agent", &[SID]).await;
    let own = token(&rig, "admin", &[SID]).await;
    let other = token(&rig, "admin", &[OTHER]).await;
    let all = token(&rig, "super_admin", &[]).await;
    let callers: [(&str, &With, Option<Role>); 6] = [
        ("nobody", &With::default(), None),
        ("a wrong token", &With::bearer("pbt_00000000-0000-4000-8000-000000000000.x"), None),
        ("agent", &agent, Some(Role::Agent)),
        ("admin", &own, Some(Role::Admin)),
        ("admin of another", &other, Some(Role::Admin)),
        ("super_admin", &all, Some(Role::SuperAdmin)),
    ];
    let mut seen = BTreeMap::new();
    for endpoint in endpoints() {
        *seen.entry((endpoint.method, endpoint.path)).or_insert(0) += 1;
        let path = endpoint.path.replace("{sid}", SID).replace("{name}", "support");
        let id = "00000000-0000-4000-8000-000000000000";
        let path = ["{id}", "{call_sid}", "{job}"].iter().fold(path, |path, part| path.replace(part, id));
        assert!(path.starts_with("/api/") && !path.contains('{'), "{path}");
        let method = Method::from_bytes(endpoint.method.as_bytes()).expect("a method");
        let of_account = endpoint.path.contains("{sid}");
        for (name, with, role) in &callers {
            let reply = send(&rig, method.clone(), &path, with, &json!({})).await;
            let told = format!("{method} {path} as {name}: {} {}", reply.status, reply.text);
            match (endpoint.wants, role) {
                // What wants nothing answers, or wants something said.
                (Wants::Nobody, _) if endpoint.method == "GET" => assert_eq!(reply.status, 200, "{told}"),
                (Wants::Nobody, _) => assert_eq!(reply.status, 400, "{told}"),
                (Wants::Role(_), None) => assert_eq!(reply.status, 401, "{told}"),
                (Wants::Role(wanted), Some(role)) if *role < wanted => assert_eq!(reply.status, 403, "{told}"),
                (Wants::Role(_), Some(_)) if of_account && *name == "admin of another" => {
                    assert_eq!(reply.status, 404, "{told}");
                    let nowhere = path.replacen(SID, "nowhere", 1);
                    let nowhere = send(&rig, method.clone(), &nowhere, with, &json!({})).await;
                    assert_eq!(reply.text.replace(SID, "nowhere"), nowhere.text, "{told}");
                }
                (Wants::Role(_), Some(_)) => assert!(![401, 403].contains(&reply.status), "{told}"),
            }
        }
    }
    assert!(seen.len() > 40 && seen.values().all(|times| *times == 1), "{seen:?}");
    let accounts = send(&rig, Method::GET, "/api/v1/accounts", &own, &Value::Null).await.body;
    assert_eq!(accounts["accounts"].as_array().map(Vec::len), Some(1), "{accounts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_signs_in_and_out() {
    let rig = two_accounts();
    user(&rig, "Avnish@Example.com", "admin", &[SID]).await;
    let reply = sign_in(&rig, " avnish@example.com", PASSWORD).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    for part in ["patchbay_session=", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(reply.cookie.contains(part), "{}", reply.cookie);
    }
    let secret = reply.cookie.split(['=', ';']).nth(1).expect("a secret").to_owned();
    assert!(!reply.text.contains(&secret), "scripts do not see it: {}", reply.text);
    let with = signed_in(&rig, "avnish@example.com").await;
    assert_eq!(standing(&rig, &with).await, 200);
    let path = format!("/api/v1/accounts/{SID}/users");
    let new = json!({ "email": "new@example.com" });
    // Reading wants the cookie alone, changing wants what no other site knows.
    for csrf in [None, Some("0".repeat(32))] {
        let forged = With { csrf, ..with.clone() };
        assert_eq!(send(&rig, Method::GET, &path, &forged, &Value::Null).await.status, 200);
        assert_eq!(send(&rig, Method::POST, &path, &forged, &new).await.status, 403);
    }
    assert_eq!(send(&rig, Method::POST, &path, &with, &new).await.status, 201);
    let elsewhere = format!("/api/v1/accounts/{OTHER}/users");
    assert_eq!(send(&rig, Method::GET, &elsewhere, &with, &Value::Null).await.status, 404);
    // One session is ended from another.
    let sessions = send(&rig, Method::GET, "/api/v1/sessions", &with, &Value::Null).await.body;
    let sessions = sessions["sessions"].as_array().expect("sessions").clone();
    assert_eq!(sessions.len(), 2, "{sessions:?}");
    let first = With { cookie: Some(format!("patchbay_session={secret}")), ..With::default() };
    assert_eq!(standing(&rig, &first).await, 200);
    let id = sessions.iter().find(|one| one["this"] == false).and_then(|one| one["id"].as_str()).expect("an id");
    assert_eq!(send(&rig, Method::DELETE, &format!("/api/v1/sessions/{id}"), &with, &Value::Null).await.status, 204);
    assert_eq!(standing(&rig, &first).await, 401);
    let out = send(&rig, Method::DELETE, "/api/v1/session", &with, &Value::Null).await;
    assert_eq!(out.status, 204, "{}", out.text);
    assert!(out.cookie.contains("Max-Age=0"), "{}", out.cookie);
    assert_eq!(standing(&rig, &with).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_shut_out_is_so_everywhere_at_once() {
    let rig = two_accounts();
    let id = user(&rig, "a@example.com", "admin", &[SID]).await;
    let path = format!("/api/v1/users/{id}");
    let session = signed_in(&rig, "a@example.com").await;
    let made = send(&rig, Method::POST, "/api/v1/tokens", &session, &json!({ "label": "mine" })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let token = With::bearer(made.body["token"].as_str().expect("a token"));
    assert_eq!(standing(&rig, &token).await, 200);
    // What he may do follows his user, also for what he holds already.
    let less = admin(&rig, Method::PATCH, &path, json!({ "role": "agent" })).await;
    assert_eq!(less.status, 200, "{}", less.text);
    let users = format!("/api/v1/accounts/{SID}/users");
    for with in [&session, &token] {
        assert_eq!(send(&rig, Method::GET, &users, with, &Value::Null).await.status, 403);
    }
    // A reset ends the sessions and the password.
    let reset = admin(&rig, Method::POST, &format!("{path}/reset"), Value::Null).await;
    assert_eq!(reset.status, 200, "{}", reset.text);
    assert_eq!(standing(&rig, &session).await, 401);
    assert_eq!(sign_in(&rig, "a@example.com", PASSWORD).await.status, 401);
    let again = json!({ "token": reset.body["one_time"]["token"], "password": "another horse battery" });
    let set = async |body: &Value| send(&rig, Method::POST, "/api/v1/password", &With::default(), body).await.status;
    let weak = json!({ "token": reset.body["one_time"]["token"], "password": "short" });
    assert_eq!(set(&weak).await, 400);
    assert_eq!(set(&again).await, 204);
    assert_eq!(set(&again).await, 401, "it is good once");
    let renewed = sign_in(&rig, "a@example.com", "another horse battery").await;
    let session = With { cookie: renewed.cookie.split(';').next().map(str::to_owned), ..With::default() };
    assert_eq!(standing(&rig, &session).await, 200);
    assert_eq!(admin(&rig, Method::PATCH, &path, json!({ "disabled": true })).await.status, 200);
    for with in [&session, &token] {
        assert_eq!(standing(&rig, with).await, 401);
    }
    assert_eq!(sign_in(&rig, "a@example.com", "another horse battery").await.status, 401);
    assert_eq!(admin(&rig, Method::PATCH, &path, json!({ "disabled": false })).await.status, 200);
    assert_eq!(standing(&rig, &session).await, 401, "the session is gone");
    assert_eq!(standing(&rig, &token).await, 200);
    assert_eq!(admin(&rig, Method::DELETE, &path, Value::Null).await.status, 204);
    assert_eq!(standing(&rig, &token).await, 401);
    assert_eq!(admin(&rig, Method::GET, &path, Value::Null).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_email_and_a_wrong_password_are_told_apart_by_nothing_and_not_tried_without_end() {
    let rig = Rig::started();
    user(&rig, "a@example.com", "super_admin", &[]).await;
    let invited = json!({ "email": "invited@example.com", "role": "super_admin" });
    assert_eq!(admin(&rig, Method::POST, "/api/v1/users", invited).await.status, 201);
    let mut answers = Vec::new();
    for (email, password) in [
        ("a@example.com", "wrong horse battery"),
        ("nobody@example.com", PASSWORD),
        ("invited@example.com", PASSWORD),
        ("invited@example.com", ""),
    ] {
        let reply = sign_in(&rig, email, password).await;
        answers.push((reply.status, reply.text, reply.cookie));
    }
    assert!(answers.iter().all(|answer| answer == &answers[0] && answer.0 == 401), "{answers:?}");
    let mut refused = None;
    for _ in 0..20 {
        let reply = sign_in(&rig, "a@example.com", "wrong horse battery").await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
        assert_eq!(reply.status, 401, "{}", reply.text);
    }
    let refused = refused.expect("it is refused in the end");
    assert!(refused.retry_after.is_some_and(|seconds| seconds.parse::<u64>().is_ok_and(|seconds| seconds > 0)));
    assert_eq!(sign_in(&rig, "A@example.com ", PASSWORD).await.status, 429, "the right one is not tried either");
    assert_eq!(sign_in(&rig, "b@example.com", PASSWORD).await.status, 401, "another e-mail is");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_once_is_nowhere_afterwards() {
    let mut rig = two_accounts();
    user(&rig, "a@example.com", "admin", &[SID]).await;
    let session = signed_in(&rig, "a@example.com").await;
    let ask = async |rig: &Rig, body: Value| send(rig, Method::POST, "/api/v1/tokens", &session, &body).await;
    for (more, why) in [
        (json!({ "label": "x", "role": "super_admin" }), "role"),
        (json!({ "label": "x", "accounts": [OTHER] }), "accounts"),
        (json!({ "label": " " }), "label"),
        (json!({ "label": "x", "expires_at": "2020-01-01T00:00:00Z" }), "expires_at"),
    ] {
        let refused = ask(&rig, more).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert!(refused.text.contains(why), "{why}: {}", refused.text);
    }
    let made = ask(&rig, json!({ "label": "reports", "role": "agent", "expires_at": "2999-01-01T00:00:00Z" })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let secret = made.body["token"].as_str().expect("a token").to_owned();
    let with = With::bearer(&secret);
    let chained = send(&rig, Method::POST, "/api/v1/tokens", &with, &json!({ "label": "x" })).await;
    assert_eq!(chained.status, 403, "{}", chained.text);
    // Nobody else's tokens are seen or revoked, not even of one's own account.
    let stranger = token(&rig, "admin", &[SID]).await;
    let id = made.body["id"].as_str().expect("an id");
    let path = format!("/api/v1/tokens/{id}");
    assert_eq!(send(&rig, Method::DELETE, &path, &stranger, &Value::Null).await.status, 404);
    let listed = send(&rig, Method::GET, "/api/v1/tokens", &stranger, &Value::Null).await;
    assert_eq!(listed.body["tokens"].as_array().map(Vec::len), Some(0), "{}", listed.text);
    let listed = send(&rig, Method::GET, "/api/v1/tokens", &session, &Value::Null).await;
    assert!(listed.text.contains("reports"), "{}", listed.text);
    let cookie = session.cookie.clone().expect("a cookie").replace("patchbay_session=", "");
    let halves = [&secret, &cookie].map(|secret| secret.split_once('.').expect("two parts").1.to_owned());
    rig.kill();
    let mut kept = rig.logs().join("\n").into_bytes();
    for file in ["patchbay.db", "patchbay.db-wal"] {
        kept.extend(std::fs::read(rig.path(file)).unwrap_or_default());
    }
    assert!(kept.windows(id.len()).any(|part| part == id.as_bytes()), "the right file is looked at");
    for secret in halves.iter().map(String::as_str).chain([PASSWORD]) {
        assert!(!kept.windows(secret.len()).any(|part| part == secret.as_bytes()), "it lies there readable");
    }
    rig.start();
    assert_eq!(standing(&rig, &with).await, 200, "it outlives a restart");
    assert_eq!(send(&rig, Method::DELETE, &path, &session, &Value::Null).await.status, 204);
    assert_eq!(standing(&rig, &with).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_checked() {
    let rig = Rig::started();
    user(&rig, "a@example.com", "agent", &[SID]).await;
    for (body, status) in [
        (json!({ "email": "A@EXAMPLE.com", "role": "super_admin" }), 409),
        (json!({ "email": "b", "role": "super_admin" }), 400),
        (json!({ "email": "b@example.com", "role": "owner" }), 400),
        (json!({ "email": "b@example.com", "role": "admin" }), 400),
        (json!({ "email": "b@example.com", "role": "super_admin", "accounts": [SID] }), 400),
        (json!({ "email": "b@example.com", "role": "admin", "accounts": ["nowhere"] }), 400),
        (json!({ "email": "b@example.com", "role": "agent", "accounts": [] }), 400),
    ] {
        let reply = admin(&rig, Method::POST, "/api/v1/users", body.clone()).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.text);
    }
    let users = admin(&rig, Method::GET, "/api/v1/users", Value::Null).await;
    assert_eq!(users.body["users"].as_array().map(Vec::len), Some(1), "{}", users.text);
    assert!(!users.text.contains("hash") && users.text.contains("has_password"), "{}", users.text);
    let path = format!("/api/v1/users/{}", users.body["users"][0]["id"].as_str().expect("an id"));
    let version = &users.body["users"][0]["version"];
    let first = json!({ "accounts": [SID], "role": "admin", "version": version });
    assert_eq!(admin(&rig, Method::PATCH, &path, first.clone()).await.status, 200);
    assert_eq!(admin(&rig, Method::PATCH, &path, first).await.status, 409, "it was read before that");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_in_the_log() {
    let rig = two_accounts();
    let id = user(&rig, "a@example.com", "admin", &[SID]).await;
    let session = signed_in(&rig, "a@example.com").await;
    let users = format!("/api/v1/accounts/{SID}/users");
    let new = json!({ "number": "+919811112222", "email": "new@example.com" });
    let agent = send(&rig, Method::POST, &users, &session, &new).await.body["id"].clone();
    let hooks = format!("/api/v1/accounts/{SID}/hooks");
    assert_eq!(send(&rig, Method::POST, &hooks, &session, &json!({ "label": "x" })).await.status, 201);
    let of_account = format!("/api/v1/accounts/{SID}/audit");
    let log = send(&rig, Method::GET, &of_account, &session, &Value::Null).await;
    let entries = log.body["entries"].as_array().expect("entries").clone();
    let told: Vec<_> = entries.iter().map(|one| (one["by"].as_str(), one["action"].as_str())).collect();
    let by = Some("a@example.com");
    // Newest first: that it was asked for was written before it was done, and how it ended afterwards, under one id.
    let asked = "POST /api/v1/accounts/{sid}/hooks";
    assert_eq!(told, [(by, Some("ended")), (by, Some(asked)), (by, Some("made"))], "{}", log.text);
    assert_eq!(
        (&entries[0]["id"], &entries[0]["changed"]),
        (&entries[1]["id"], &json!({ "request": asked, "status": 201 }))
    );
    assert_eq!((&entries[2]["id"], &entries[2]["changed"]["email"]), (&agent, &json!("new@example.com")));
    assert!(!log.text.contains("9811112222"), "{}", log.text);
    let elsewhere = format!("/api/v1/accounts/{OTHER}/audit");
    assert_eq!(send(&rig, Method::GET, &elsewhere, &session, &Value::Null).await.status, 404);
    let narrow = format!("{of_account}?account={OTHER}");
    assert_eq!(send(&rig, Method::GET, &narrow, &session, &Value::Null).await.status, 400);
    // All of it, page by page: the user made, his password, his session, and those above.
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let page = admin(&rig, Method::GET, &format!("/api/v1/audit?limit=2{before}"), Value::Null).await;
        seen.extend(page.body["entries"].as_array().expect("entries").clone());
        match page.body["next"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    let actions: Vec<_> = seen.iter().filter_map(|one| one["action"].as_str()).collect();
    assert_eq!(actions, ["ended", asked, "made", "made", "password set", "made"], "{seen:?}");
    assert_eq!((&seen[5]["by"], &seen[5]["id"]), (&json!("admin_token"), &json!(id)));
    let text = json!(seen).to_string();
    assert!(!text.contains(PASSWORD) && !text.contains("hash"), "{text}");
}
