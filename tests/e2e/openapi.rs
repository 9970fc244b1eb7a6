//! The API is as it says of itself: every operation of the description is called, and every answer is held against it.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    lines::{going_on, ordered, users},
    rig::{ADMIN, AGENT_ID, Call, EXOPHONE, Rig, SID},
};

/// The description, and what was called of it.
struct Walk<'a> {
    rig: &'a Rig,
    document: Value,
    /// Operation → its method and path.
    operations: BTreeMap<String, (Method, String)>,
    called: BTreeSet<String>,
    places: BTreeMap<&'static str, String>,
}

impl<'a> Walk<'a> {
    async fn begin(rig: &'a Rig) -> Self {
        let (status, document) = rig.get("/api/openapi.json").await;
        assert_eq!(status, 200);
        assert_eq!(document["openapi"], "3.1.0");
        let mut operations = BTreeMap::new();
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for (method, operation) in
                methods.as_object().expect("methods").iter().filter(|(key, _)| *key != "parameters")
            {
                let method = method.to_uppercase().parse().expect("a method");
                let id = operation["operationId"].as_str().expect("an id").to_owned();
                assert!(operations.insert(id, (method, path.clone())).is_none());
            }
        }
        let places = BTreeMap::from([("sid", SID.to_owned()), ("name", "support".to_owned())]);
        Self { rig, document, operations, called: BTreeSet::new(), places }
    }

    /// What stands in paths from now on.
    fn put(&mut self, name: &'static str, value: &Value) {
        self.places.insert(name, value.as_str().expect("a text").to_owned());
    }

    /// Calls an operation by its id, with its body or its query; it must succeed, and as described.
    async fn call(&mut self, id: &str, said: Value) -> Value {
        let (method, path) = self.operations.get(id).unwrap_or_else(|| panic!("there is no {id}")).clone();
        let mut filled =
            self.places.iter().fold(path.clone(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value));
        assert!(!filled.contains('{'), "{filled}: what stands there?");
        let described = self.document["paths"][path.as_str()][method.as_str().to_lowercase()].clone();
        let mut bytes = None;
        let body = &described["requestBody"]["content"];
        if let Some(schema) = body.pointer("/application~1json/schema") {
            held(&self.document, schema, &said, &format!("what {id} is asked"));
            bytes = Some(said.to_string());
        } else if let Value::String(text) = &said {
            bytes = Some(text.clone());
        } else if let Value::Object(fields) = &said {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let query: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
            filled.push_str(&format!("?{}", query.join("&")));
        }
        let mut request = self.rig.http.request(method, self.rig.url(&filled)).bearer_auth(ADMIN);
        if let Some(body) = bytes {
            request = request.body(body);
        }
        for parameter in described["parameters"].as_array().into_iter().flatten().filter(|it| it["in"] == "header") {
            request = request.header(parameter["name"].as_str().expect("a name"), format!("key-of-{id}"));
        }
        let reply = request.send().await.expect("an answer");
        let status = reply.status().as_u16();
        let media =
            reply.headers().get("content-type").and_then(|media| media.to_str().ok()).unwrap_or_default().to_owned();
        let answer = described["responses"].get(status.to_string());
        let media = media.split(';').next().unwrap_or_default();
        self.called.insert(id.to_owned());
        if media == "text/event-stream" {
            // It does not end by itself.
            assert!(answer.is_some_and(|answer| answer["content"].get(media).is_some()), "{id}: {status} {media}");
            return Value::Null;
        }
        let text = reply.text().await.expect("a body");
        let answer = answer.unwrap_or_else(|| panic!("{id} answers {status}, which is not described: {text}"));
        let Some(content) = answer.get("content") else {
            assert_eq!(text, "", "{id} says something");
            return Value::Null;
        };
        let content = content.get(media).unwrap_or_else(|| panic!("{id} answers {media:?}: {text}"));
        if media != "application/json" {
            return Value::String(text);
        }
        let answered = serde_json::from_str(&text).expect("JSON");
        held(&self.document, &content["schema"], &answered, &format!("what {id} answers"));
        answered
    }

    /// That what is wrong is answered as described.
    async fn wrong(&self, method: Method, path: &str, status: u16) {
        let request = self.rig.http.request(method, self.rig.url(path)).bearer_auth(ADMIN).body("{\"nonsense\":1}");
        let reply = request.send().await.expect("an answer");
        assert_eq!(reply.status().as_u16(), status, "{path}");
        let answered = serde_json::from_slice(&reply.bytes().await.expect("a body")).expect("JSON");
        let schema = &self.document["components"]["responses"]["Error"]["content"]["application/json"]["schema"];
        held(&self.document, schema, &answered, path);
    }
}

/// Holds a value against a schema of the document. What is not described is not let pass either.
fn held(document: &Value, schema: &Value, value: &Value, what: &str) {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    strict(&mut whole, true);
    for schema in whole["components"]["schemas"].as_object_mut().expect("schemas").values_mut() {
        strict(schema, true);
    }
    let validator: Validator = jsonschema::draft202012::new(&whole).expect("a schema");
    let errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what}:\n{}\n{value:#}", errors.join("\n"));
}

/// An object has the properties that are described, and no others. The branches of a choice are parts of one object.
fn strict(schema: &mut Value, whole: bool) {
    let Some(map) = schema.as_object_mut() else { return };
    let objects = map.contains_key("properties") || map.contains_key("oneOf");
    if whole && objects && !map.contains_key("additionalProperties") && !map.contains_key("enum") {
        map.insert("unevaluatedProperties".to_owned(), false.into());
    }
    for (key, inner) in map.iter_mut() {
        match key.as_str() {
            "properties" => inner.as_object_mut().into_iter().flatten().for_each(|(_, one)| strict(one, true)),
            "items" | "additionalProperties" => strict(inner, true),
            "oneOf" | "anyOf" | "allOf" => {
                inner.as_array_mut().into_iter().flatten().for_each(|one| strict(one, false));
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_as_described() {
    let mut rig = Rig::new();
    rig.more =
        format!("[[account.agent]]\nnumber = \"+919000000001\"\ncaller_id = \"{EXOPHONE}\"\nclick_to_call = true\n");
    rig.account = format!("ccm_url = \"{}\"", rig.exotel.url());
    rig.start();
    let mut walk = Walk::begin(&rig).await;
    let call = Call::new(1);
    rig.simulate(&call);
    assert_eq!(rig.hook(&call.answered()).await, 200);
    rig.note(&call.sid).await;
    rig.settled().await;
    walk.put("call_sid", &json!(call.sid));
    let nothing = || json!({});

    walk.call("get_openapi", nothing()).await;

    // Calls, and what becomes of them.
    walk.call("list_accounts", nothing()).await;
    walk.call("list_calls", json!({ "limit": 1 })).await;
    walk.call("choose_contact", json!({ "integration": "support", "kind": "contact", "id": "7" })).await;
    walk.call("hand_over", json!({ "target": "+919711581199" })).await;
    walk.call("get_recording", nothing()).await;
    walk.call("list_deliveries", json!({ "state": "done" })).await;
    walk.call("resync_call", json!({ "integration": "support" })).await;
    walk.call("retry_deliveries", json!({ "states": ["held"] })).await;
    walk.call("get_call", nothing()).await;
    walk.call("list_ledger", nothing()).await;
    walk.call("export_ledger", nothing()).await;
    walk.call("count_ledger", nothing()).await;
    // Freshdesk makes no follow-ups: that is told as what is wrong.
    let follow_up = format!("/api/v1/accounts/{SID}/calls/{}/follow-up", call.sid);
    walk.wrong(Method::POST, &follow_up, 400).await;
    walk.called.insert("follow_up".to_owned());

    // What could not be read.
    assert_eq!(rig.hook("event=answered&CallFrom=1").await, 200);
    rig.until_api("/receipts", |answer| answer["receipts"].as_array().filter(|all| !all.is_empty()).map(|_| ())).await;
    walk.call("list_receipts", json!({ "limit": 5 })).await;
    walk.call("replay_receipts", nothing()).await;

    // Hooks.
    let made = walk.call("make_hook", json!({ "label": "one" })).await;
    walk.put("id", &made["id"]);
    let next = walk.call("rotate_hook", nothing()).await;
    walk.put("id", &next["id"]);
    walk.call("list_hooks", nothing()).await;
    walk.call("delete_hook", nothing()).await;

    // Integrations.
    walk.call("list_integrations", nothing()).await;
    walk.call("verify_integration", nothing()).await;
    walk.call("backfill_integration", json!({ "days": 1 })).await;
    walk.call("get_integration", nothing()).await;
    // Freshdesk has a key: there is nothing to consent to.
    walk.wrong(Method::POST, &format!("/api/v1/accounts/{SID}/integrations/support/connect"), 400).await;
    walk.called.insert("connect_integration".to_owned());

    // Accounts and integrations that are made here.
    walk.call("get_account", nothing()).await;
    walk.call("list_connectors", nothing()).await;
    walk.call("reseal", nothing()).await;
    walk.call("make_account", json!({ "sid": "acme9", "api_key": "k", "api_token": "t" })).await;
    walk.put("sid", &json!("acme9"));
    walk.put("name", &json!("help"));
    let help = json!({ "connector": "freshdesk", "name": "help", "domain": "acme", "api_key": "k" });
    walk.call("make_integration", help).await;
    walk.wrong(Method::POST, "/api/v1/accounts/acme9/integrations", 400).await;
    walk.call("edit_integration", json!({ "assign_tickets": true })).await;
    walk.call("rotate_integration", json!({ "api_key": "other", "force": true })).await;
    walk.call("remove_integration", json!({ "version": 3 })).await;
    walk.call("edit_account", json!({ "country": "IN" })).await;
    walk.call("remove_account", nothing()).await;
    walk.put("sid", &json!(SID));
    walk.put("name", &json!("support"));

    // Click-to-call.
    let placed = walk.call("place_call", json!({ "agent": "+919000000001", "to": "09876500001" })).await;
    walk.put("id", &placed["id"]);
    walk.call("get_click", nothing()).await;
    walk.call("list_clicks", json!({ "state": "placed" })).await;

    // Calls that go on, and the agents' telephones.
    let going = going_on(&rig, 2).await;
    walk.put("call_sid", &json!(going.sid));
    walk.call("list_legs", nothing()).await;
    walk.call("monitor_call", json!({ "mode": "listen", "number": "+919822223333" })).await;
    walk.call("start_recording", json!({ "dual": true })).await;
    walk.call("stop_recording", nothing()).await;
    walk.call("hang_up", nothing()).await;
    ordered(&rig, &going, 8).await;
    walk.call("get_call", nothing()).await;
    walk.call("look_up_number", json!({ "number": "09876543210" })).await;
    users(&rig);
    let found = walk.call("list_agents", json!({ "search": "9711", "limit": 10 })).await;
    walk.put("id", &found["users"][0]["id"]);
    walk.call("get_device", nothing()).await;
    walk.call("switch_device", json!({ "device": "d1", "on": false })).await;
    walk.call("switch_device_too", json!({ "device": "d1", "on": true })).await;

    // Bots and DIDs, and another console's page of them.
    let tool = json!({ "name": "order_status", "description": "Looks up an order.", "url": "http://127.0.0.1/" });
    let bot = json!({ "id": "sales", "backend": "echo", "options": { "voice": "cedar" }, "tools": [tool] });
    let made = walk.call("make_bot", bot).await;
    walk.put("id", &made["id"]);
    walk.call("rotate_bot", nothing()).await;
    walk.call("edit_bot", json!({ "label": "Sales", "instructions": null })).await;
    walk.call("replace_bot", json!({ "backend": "echo" })).await;
    walk.call("get_bot", nothing()).await;
    walk.call("list_bots", nothing()).await;
    let flow = format!("https://my.exotel.com/{SID}/exoml/start_voice/7");
    let made = walk.call("make_did", json!({ "number": EXOPHONE, "bot_id": "sales" })).await;
    walk.put("id", &json!("sales"));
    let calling = json!({ "to": "09876500003", "parameters": { "order": "7" }, "time_limit": 60 });
    walk.call("place_bot_call", calling).await;
    walk.put("id", &made["id"]);
    walk.call("edit_did", json!({ "label": "Main", "bot_id": null })).await;
    walk.call("replace_did", json!({ "flow_url": flow })).await;
    walk.call("get_did", nothing()).await;
    walk.call("list_dids", nothing()).await;
    walk.call("list_test_call_options", nothing()).await;
    walk.call("place_test_call", json!({ "to": "09876500002" })).await;
    walk.call("delete_did", json!({ "version": 3 })).await;
    let one = json!({ "number": EXOPHONE, "label": "Main", "flow_url": flow });
    let made = walk.call("make_exotel_did", one).await;
    walk.put("id", &made["id"]);
    walk.call("edit_exotel_did", json!({ "bot_id": "sales" })).await;
    walk.call("get_exotel", json!({ "account_sid": SID })).await;
    walk.call("list_exotel_test_call_options", nothing()).await;
    walk.call("place_exotel_test_call", json!({ "to_number": "09876500003" })).await;
    walk.call("delete_exotel_did", nothing()).await;
    walk.put("id", &json!("sales"));
    walk.call("delete_bot", nothing()).await;
    // The account is in the file: it is changed there.
    walk.wrong(Method::PUT, "/api/v1/integrations/exotel", 409).await;
    walk.called.insert("put_exotel".to_owned());

    // The user mapping.
    let made = walk.call("make_agent", json!({ "number": "09811112222", "crm_user": { "support": AGENT_ID } })).await;
    walk.put("id", &made["id"]);
    walk.call("get_agent", nothing()).await;
    walk.call("get_live_agent", nothing()).await;
    walk.call("hear_agent", nothing()).await;
    walk.call("list_live_agents", nothing()).await;
    walk.call("hear_account", json!({ "last_event_id": "1-0" })).await;
    walk.call("edit_agent", json!({ "name": "Asha", "email": null })).await;
    walk.call("delete_agent", json!({ "version": 2 })).await;
    walk.call("sync_agents", json!({ "from": "support" })).await;
    walk.call("export_agents", nothing()).await;
    let job = walk.call("import_agents", json!("number,name\n09811113333,Ravi\nnonsense,\n")).await;
    walk.put("job", &job["id"]);
    let path = format!("/users/import/{}", job["id"].as_str().expect("an id"));
    rig.until_api(&path, |answer| (answer["state"] == "done").then_some(())).await;
    walk.call("get_import", nothing()).await;
    walk.call("list_imports", nothing()).await;
    walk.call("export_import_result", nothing()).await;

    // Who may do what.
    let user = json!({ "email": "asha@example.com", "role": "admin", "accounts": [SID] });
    let made = walk.call("make_user", user).await;
    walk.put("id", &made["id"]);
    walk.call("list_users", nothing()).await;
    walk.call("get_user", nothing()).await;
    walk.call("edit_user", json!({ "role": "agent" })).await;
    let again = walk.call("reset_password", nothing()).await;
    let password = "a long password that nobody guesses";
    walk.call("set_password", json!({ "token": again["one_time"]["token"], "password": password })).await;
    walk.call("sign_in", json!({ "email": "asha@example.com", "password": password })).await;
    walk.call("get_session", nothing()).await;
    let sessions = walk.call("list_sessions", nothing()).await;
    let user = walk.places["id"].clone();
    walk.put("id", &sessions["sessions"][0]["id"]);
    walk.call("end_session", nothing()).await;
    walk.put("id", &json!(user));
    walk.call("delete_user", nothing()).await;
    let made = walk.call("make_token", json!({ "label": "one" })).await;
    walk.call("list_tokens", nothing()).await;
    walk.put("id", &made["id"]);
    walk.call("delete_token", nothing()).await;
    // The admin token is no session that could end.
    let session = rig.http.delete(rig.url("/api/v1/session")).bearer_auth(ADMIN).send().await.expect("an answer");
    assert_eq!(session.status().as_u16(), 400);
    walk.called.insert("sign_out".to_owned());
    walk.call("list_audit", json!({ "account": SID })).await;
    walk.call("list_account_audit", nothing()).await;

    let all: BTreeSet<String> = walk.operations.keys().cloned().collect();
    let left: Vec<&String> = all.difference(&walk.called).collect();
    assert!(left.is_empty(), "not called: {left:?}");
}
