//! The user mapping: kept, searched, brought up to what CRM and Exotel know, taken out and in as a table; and what is
//! changed holds from the next call on.

use patchbay_sandbox::exotel::{HeldDevice, HeldUser};
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{ADMIN, AGENT, AGENT_ID, AGENT2_ID, Call, Rig, SID};

/// An agent of no file.
const NEW: &str = "09811112222";

async fn send(rig: &Rig, method: Method, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
    let url = rig.url(&format!("/api/v1/accounts/{SID}/users{path}"));
    let reply = rig.http.request(method, url).bearer_auth(ADMIN).body(body).send().await.expect("an answer");
    let status = reply.status().as_u16();
    (status, serde_json::from_slice(&reply.bytes().await.expect("a body")).unwrap_or_default())
}

async fn make(rig: &Rig, body: Value) -> Value {
    let (status, made) = send(rig, Method::POST, "", body.to_string()).await;
    assert_eq!(status, 201, "{made}");
    made
}

async fn text(rig: &Rig, path: &str) -> (u16, String) {
    let url = rig.url(&format!("/api/v1/accounts/{SID}/users{path}"));
    let reply = rig.http.get(url).bearer_auth(ADMIN).send().await.expect("an answer");
    let status = reply.status().as_u16();
    if status == 200 {
        let kind = reply.headers()["content-type"].to_str().expect("text");
        assert!(kind.starts_with("text/csv") && reply.headers().contains_key("content-disposition"), "{kind}");
    }
    (status, reply.text().await.expect("a body"))
}

/// Whom the ticket of a call that this number answered is given to.
async fn responder(rig: &Rig, n: u32, number: &str) -> Option<u64> {
    let call = Call::new(n);
    rig.hook(&call.answered().replace(AGENT, number)).await;
    rig.ticket(&call.sid).await.responder_id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_holds_from_the_next_call_on() {
    let mut rig = Rig::started();
    assert_eq!(responder(&rig, 1, NEW).await, None);
    let made = make(&rig, json!({ "number": NEW, "crm_user": { "support": AGENT2_ID } })).await;
    assert_eq!(
        (&made["number"], &made["source"], &made["version"]),
        (&json!("+919811112222"), &json!("store"), &json!(1))
    );
    assert_eq!(responder(&rig, 2, NEW).await, Some(AGENT2_ID));
    let path = format!("/{}", made["id"].as_str().expect("an id"));
    let other = json!({ "crm_user": { "support": AGENT_ID.to_string() }, "version": 1 }).to_string();
    let (status, changed) = send(&rig, Method::PATCH, &path, other.clone()).await;
    assert_eq!((status, &changed["version"]), (200, &json!(2)), "{changed}");
    assert_eq!(responder(&rig, 3, NEW).await, Some(AGENT_ID));
    let (status, refused) = send(&rig, Method::PATCH, &path, other).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("conflict")), "it was read before that");
    // By e-mail alone, in the CRM's own list.
    let by_email = json!({ "crm_user": { "support": null }, "email": "rahil@example.com" }).to_string();
    assert_eq!(send(&rig, Method::PATCH, &path, by_email).await.0, 200);
    assert_eq!(responder(&rig, 4, NEW).await, Some(AGENT2_ID));
    rig.kill();
    rig.start();
    assert_eq!(responder(&rig, 5, NEW).await, Some(AGENT2_ID), "it outlives a restart");
    assert_eq!(send(&rig, Method::DELETE, &path, "").await.0, 204);
    assert_eq!(responder(&rig, 6, NEW).await, None);
    assert_eq!(send(&rig, Method::GET, &path, "").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_its_reason() {
    let rig = Rig::started();
    let sip = make(&rig, json!({ "number": "sip:meera", "email": "m@example.com", "click_to_call": true })).await;
    assert_eq!(sip["click_to_call"], true);
    for (body, part) in [
        (json!({ "number": "097115-81199" }), "number"),
        (json!({ "number": "SIP:Meera" }), "m@example.com"),
        (json!({ "number": "12" }), "number: is not a phone number"),
        (json!({ "email": "x", "caller_id": "y" }), "caller_id"),
        (json!({ "email": "x@example.com", "click_to_call": true }), "click_to_call"),
        (json!({ "crm_user": { "nowhere": "1" } }), "there are: support"),
        (json!({ "phone": NEW }), "phone"),
    ] {
        let (status, refused) = send(&rig, Method::POST, "", body.to_string()).await;
        assert_eq!(status, 400, "{body}: {refused}");
        assert!(refused["error"]["message"].as_str().is_some_and(|told| told.contains(part)), "{part}: {refused}");
    }
    // What stands in the file is changed there.
    let (_, listed) = send(&rig, Method::GET, "?source=file", "").await;
    assert_eq!(listed["total"], 2, "{listed}");
    let id = listed["users"][0]["id"].as_str().expect("an id");
    assert_eq!(listed["users"][0]["editable"], false);
    for method in [Method::PATCH, Method::DELETE] {
        let (status, refused) = send(&rig, method, &format!("/{id}"), "{}").await;
        assert_eq!(status, 409, "{refused}");
        assert!(refused.to_string().contains("configuration file"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_are_searched_and_paged() {
    let rig = Rig::started();
    for n in 0..23 {
        let caller_id = (n % 2 == 0).then_some("08046801234");
        let body = json!({
            "name": format!("Agent {n:02}"), "number": format!("098111100{n:02}"), "caller_id": caller_id,
            "email": format!("a{n}@example.com"), "click_to_call": n < 3, "crm_user": { "support": 9000 + n }
        });
        make(&rig, body).await;
    }
    let (mut names, mut before) = (Vec::new(), String::new());
    loop {
        let (status, page) = send(&rig, Method::GET, &format!("?source=store&limit=5{before}"), "").await;
        assert_eq!((status, &page["total"]), (200, &json!(23)), "{page}");
        names.extend(page["users"].as_array().expect("users").iter().map(|one| one["name"].to_string()));
        match page["next"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    let sorted = (0..23).map(|n| format!("\"Agent {n:02}\"")).collect::<Vec<_>>();
    assert_eq!(names, sorted);
    for (query, total) in [
        ("?search=agent%201", 10),
        ("?search=A7@EXAMPLE", 1),
        ("?search=9007", 1),
        ("?search=09811110007", 1),
        ("?search=%2B91%2098111%2010007", 1),
        ("?search=8046801234", 12),
        ("?search=nobody", 0),
        ("?click_to_call=true", 3),
        ("?integration=support", 24),
        ("", 25),
    ] {
        let (status, found) = send(&rig, Method::GET, query, "").await;
        assert_eq!((status, &found["total"]), (200, &json!(total)), "{query}: {found}");
    }
    for query in ["?before=zzz", "?source=here", "?serch=x"] {
        assert_eq!(send(&rig, Method::GET, query, "").await.0, 400, "{query}");
    }
}

fn exotel_user(id: &str, email: &str, contacts: &[(&str, bool)]) -> HeldUser {
    let device = |(at, (contact, available)): (usize, &(&str, bool))| HeldDevice {
        id: format!("d{at}"),
        contact: (*contact).to_owned(),
        available: *available,
        verified: true,
        busy: false,
    };
    HeldUser {
        id: id.to_owned(),
        name: format!("User {id}"),
        email: email.to_owned(),
        active_call: None,
        devices: contacts.iter().enumerate().map(device).collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_crms_users_and_exotels_become_agents() {
    const MEERA: u64 = 81_099_000_001;
    let mut rig = Rig::new();
    rig.account = format!("ccm_url = \"{}\"", rig.exotel.url());
    rig.freshdesk.with(|desk| {
        desk.add_agent("Meera Nair", "meera@example.com", MEERA);
        desk.add_agent("Gone", "gone@example.com", MEERA + 1);
        desk.deactivate_agent(MEERA + 1);
    });
    rig.exotel.with(|exotel| {
        exotel.users_mut().extend([
            exotel_user("x1", "Meera@example.com", &[("sip:meera1", false), ("+919811112222", true)]),
            exotel_user("x2", "nobody@example.com", &[("+919945476362", true)]),
            exotel_user("x3", "third@example.com", &[("sip:third1", true)]),
        ]);
    });
    rig.start();
    let (status, synced) = send(&rig, Method::POST, "/sync", json!({ "from": "support" }).to_string()).await;
    assert_eq!(status, 200, "{synced}");
    let count = |name: &str, synced: &Value| synced[name].as_array().map_or(0, Vec::len);
    // Meera, and whose key it is. The desk does not list who is deactivated.
    assert_eq!((count("matched", &synced), count("added", &synced)), (1, 2), "{synced}");
    assert_eq!((&synced["matched"][0]["by"], &synced["added"][1]["needs_number"]), (&json!("id"), &json!(true)));
    assert_eq!(count("unmatched", &synced), 1, "{synced}");
    assert!(synced["unmatched"].to_string().contains("configuration file"), "{synced}");
    assert_eq!(responder(&rig, 1, NEW).await, None);
    let (status, synced) = send(&rig, Method::POST, "/sync", json!({ "from": "exotel" }).to_string()).await;
    assert_eq!(status, 200, "{synced}");
    assert_eq!((count("matched", &synced), count("added", &synced)), (1, 1), "{synced}");
    assert_eq!(synced["matched"][0]["by"], "email", "{synced}");
    assert!(synced["unmatched"].to_string().contains("x2"), "he is in the file: {synced}");
    // Known by number from Exotel, and by id from the CRM.
    assert_eq!(responder(&rig, 2, NEW).await, Some(MEERA));
    let (_, third) = send(&rig, Method::GET, "?search=third", "").await;
    assert_eq!((&third["users"][0]["number"], &third["users"][0]["exotel_user"]), (&json!("sip:third1"), &json!("x3")));
    // Once more: nothing new.
    for from in ["support", "exotel"] {
        let (_, again) = send(&rig, Method::POST, "/sync", json!({ "from": from }).to_string()).await;
        assert_eq!(count("added", &again), 0, "{again}");
        let quiet = again["matched"].as_array().is_some_and(|all| all.iter().all(|one| one["changed"] == json!([])));
        assert!(quiet, "{again}");
    }
    let (status, refused) = send(&rig, Method::POST, "/sync", json!({ "from": "nowhere" }).to_string()).await;
    assert_eq!(status, 400, "{refused}");
    rig.freshdesk.with(patchbay_sandbox::freshdesk::Freshdesk::revoke_key);
    let (status, refused) = send(&rig, Method::POST, "/sync", json!({ "from": "support" }).to_string()).await;
    assert_eq!((status, &refused["error"]["code"]), (502, &json!("upstream")), "{refused}");
}

/// An import once it is done.
async fn done(rig: &Rig, job: &Value) -> Value {
    let path = format!("/users/import/{}", job["id"].as_str().expect("an id"));
    rig.until_api(&path, |job| (job["state"] != "running").then(|| job.clone())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_goes_out_and_comes_in_again() {
    let rig = Rig::started();
    make(&rig, json!({ "number": NEW, "name": "=1+1", "email": "new@example.com", "click_to_call": true })).await;
    let (_, table) = text(&rig, "/export.csv").await;
    assert!(table.starts_with("id,name,number,email,caller_id,click_to_call,crm_user.support"), "{table}");
    assert!(table.contains("'+919811112222") && table.contains("'=1+1") && !table.contains(",+91"), "{table}");
    let (status, job) = send(&rig, Method::POST, "/import", table.clone()).await;
    assert_eq!(status, 202, "{job}");
    let same = done(&rig, &job).await;
    assert_eq!((&same["rows"], &same["unchanged"], &same["bad"]), (&json!(3), &json!(3), &json!(0)), "{same}");
    assert_eq!(text(&rig, "/export.csv").await.1, table, "it came back as it went");
    // Somebody has worked on it: as a file of a form, bad rows among good ones.
    let edited = "number,name,email,click_to_call,crm_user.support\r\n\
        '+919811112222,New name,new@example.com,no,77\r\n\
        098111 13333,Other,,yes,\r\n\
        12,Wrong,,no,\r\n\
        sip:four,Four,=cmd|x,no,\r\n\
        +919811113333,Again,,no,\r\n\
        +919711581199,Of the file,,no,\r\n\
        +919811115555,short\r\n\
        sip:last,Last,last@example.com,,\r\n";
    let form = format!(
        "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\nContent-Type: text/csv\r\n\r\n\
         {edited}\r\n--XX--\r\n"
    );
    let url = rig.url(&format!("/api/v1/accounts/{SID}/users/import"));
    let sent =
        rig.http.post(url).bearer_auth(ADMIN).header("content-type", "multipart/form-data; boundary=XX").body(form);
    let sent = sent.send().await.expect("an answer");
    assert_eq!(sent.status(), 202);
    let job: Value = serde_json::from_slice(&sent.bytes().await.expect("a body")).expect("JSON");
    let job = done(&rig, &job).await;
    let counts = ["state", "rows", "read", "good", "bad", "made", "changed"].map(|name| job[name].clone());
    assert_eq!(json!(counts), json!(["done", 8, 8, 3, 5, 2, 1]), "{job}");
    let path = format!("/import/{}/result.csv", job["id"].as_str().expect("an id"));
    let (_, result) = text(&rig, &path).await;
    let lines: Vec<&str> = result.lines().collect();
    for (line, parts) in [
        (1, ["2,changed", "'+919811112222"]),
        (2, ["3,made", "Other"]),
        (3, ["4,refused", "not a phone number"]),
        (4, ["5,refused", "'=cmd|x"]),
        (5, ["6,refused", "row 3 is about the same agent"]),
        (6, ["7,refused", "configuration file"]),
        (7, ["8,refused", "has 2 cells"]),
        (8, ["9,made", "sip:last"]),
    ] {
        assert!(parts.iter().all(|part| lines[line].contains(part)), "{parts:?}: {}", lines[line]);
    }
    let (_, found) = send(&rig, Method::GET, "?search=new@example.com", "").await;
    assert_eq!((&found["users"][0]["name"], &found["users"][0]["click_to_call"]), (&json!("New name"), &json!(false)));
    assert_eq!(found["users"][0]["crm_user"]["support"], "77");
    // The result can be mended and sent in again; what was good is as it was.
    let (status, job) = send(&rig, Method::POST, "/import", result.replace(",12,Wrong", ",09811114444,Mended")).await;
    assert_eq!(status, 202, "{job}");
    let job = done(&rig, &job).await;
    assert_eq!((&job["made"], &job["unchanged"]), (&json!(1), &json!(3)), "{job}");
    let (_, imports) = send(&rig, Method::GET, "/import", "").await;
    assert_eq!(imports["imports"].as_array().map(Vec::len), Some(3), "{imports}");
    for (file, part) in [("", "empty"), ("phone\n1\n", "there is no column"), ("name\nx\n", "who the agents are")] {
        let (status, refused) = send(&rig, Method::POST, "/import", file).await;
        assert_eq!(status, 400, "{refused}");
        assert!(refused.to_string().contains(part), "{part}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_taken_is_finished_whoever_dies() {
    const ROWS: usize = 700;
    let mut rig = Rig::started();
    let table: String = (0..ROWS).map(|n| format!("Agent {n},a{n}@example.com\n")).collect();
    let (status, job) = send(&rig, Method::POST, "/import", format!("name,email\n{table}")).await;
    assert_eq!(status, 202, "{job}");
    rig.kill();
    rig.start();
    let job = done(&rig, &job).await;
    assert_eq!((&job["state"], &job["good"], &job["bad"]), (&json!("done"), &json!(ROWS), &json!(0)), "{job}");
    let (_, listed) = send(&rig, Method::GET, "?source=store", "").await;
    assert_eq!(listed["total"], ROWS, "each is there once: {}", listed["total"]);
}
