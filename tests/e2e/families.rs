//! Flows that were made for Exotel's own connectors, with another host name in them.

use serde_json::{Value, json};

use crate::rig::{AGENT, AGENT_ID, Call, KEY, Rig, SID, TOKEN};

/// Where a family's hooks are: for a popup, after a conversation, for nobody.
#[derive(Clone, Copy, Debug)]
struct Family {
    name: &'static str,
    popup: &'static str,
    answered: &'static str,
    missed: &'static str,
}

const APP: &str = "5b1c9d2e-app";
const FAMILIES: [Family; 5] = [
    Family { name: "freshworks", popup: "/pop/{sid}", answered: "/answered/{sid}", missed: "/missed/{sid}" },
    Family {
        name: "leadsquared",
        popup: "/v1/leadsquared/inbound/call/popup?AccSid={sid}",
        answered: "/v1/leadsquared/inbound/call/passthru?AccSid={sid}",
        missed: "/v1/leadsquared/inbound/call/passthru?AccSid={sid}",
    },
    Family {
        name: "salesforce",
        popup: "/sfdc/api/inbound/agentpopup?AccountSid={sid}&AccountUId=uid-0c1f",
        answered: "/sfdc/api/inbound/passthru?AccountSid={sid}&AccountUid=uid-0c1f&callState=Answered",
        missed: "/sfdc/api/inbound/passthru?AccountSid={sid}&AccountUid=uid-0c1f&callState=missedCall",
    },
    Family {
        name: "zoho",
        popup: "/callback/exotel/{sid}/createpopup",
        answered: "/callback/exotel/{sid}/incomingcallhungup",
        missed: "/callback/exotel/{sid}/callmissed",
    },
    Family {
        name: "ip_pstn",
        popup: "/v2/integrations/call/inbound_call/5b1c9d2e-app?type=popup",
        answered: "/v2/integrations/call/inbound_call/5b1c9d2e-app?type=incomingcallhungup",
        missed: "/v2/integrations/call/inbound_call/5b1c9d2e-app?type=missedcall",
    },
];

/// A hook's path with what Exotel adds to it; the word that the canonical family alone knows is left out.
fn with(path: &str, sid: &str, said: &str) -> String {
    let said = said.split_once('&').map_or("", |(_, rest)| rest);
    let path = path.replace("{sid}", sid);
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}{said}")
}

fn open() -> Rig {
    let mut rig = Rig::new();
    rig.account = format!(
        "open_hooks = [\"freshworks\", \"leadsquared\", \"salesforce\", \"zoho\", \"ip_pstn\"]\napp_ids = [\"{APP}\"]"
    );
    rig.start();
    rig
}

async fn get(rig: &Rig, path: &str) -> (u16, String) {
    let reply = rig.http.get(rig.url(path)).send().await.expect("an answer");
    (reply.status().as_u16(), reply.text().await.expect("a body"))
}

async fn one_ticket(rig: &Rig, call: &Call, subject: &str) -> patchbay_sandbox::freshdesk::Ticket {
    rig.ticket(&call.sid).await;
    rig.settled().await;
    let mut tickets = rig.tickets(&call.sid);
    assert_eq!(tickets.len(), 1, "{}", call.sid);
    let ticket = tickets.remove(0);
    assert_eq!(ticket.subject, subject.replace("{}", &call.from));
    ticket
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_of_every_family_makes_the_right_tickets() {
    let rig = open();
    for (at, family) in (0_u32..).zip(FAMILIES) {
        let (answered, missed) = (Call::new(2 * at), Call::new(2 * at + 1));
        rig.simulate(&answered);
        for said in ["Dial", "Ringing", "Answered", "Terminal"] {
            let popup = with(family.popup, SID, &answered.pop(said, AGENT, 4));
            assert_eq!(get(&rig, &popup).await, (200, "OK".to_owned()), "{popup}");
        }
        let after = with(family.answered, SID, &answered.answered());
        assert_eq!(get(&rig, &after).await, (200, "OK".to_owned()), "{after}");
        let popup = with(family.popup, SID, &missed.pop("Dial", AGENT, 4));
        let nobody = with(family.missed, SID, &missed.missed());
        // A slash too many loses nothing.
        let nobody = if nobody.contains("?") { nobody.replacen('?', "/?", 1) } else { nobody };
        assert_eq!((get(&rig, &popup).await.0, get(&rig, &nobody).await.0), (200, 200), "{nobody}");

        let ticket = one_ticket(&rig, &answered, "Incoming Call from {}").await;
        assert_eq!(ticket.responder_id, Some(AGENT_ID), "{}", family.name);
        assert!(rig.note(&answered.sid).await.contains("Call Duration: 8s"), "{}", family.name);
        one_ticket(&rig, &missed, "Missed Call from {}").await;
    }
    let metrics = get(&rig, "/metrics").await.1;
    for family in FAMILIES {
        let line = format!("patchbay_hook_answers_total{{hook=\"{}\",status=\"200\"}} 7", family.name);
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_that_one_family_alone_has() {
    let rig = open();
    let (voicemail, nobody) = (Call::new(1), Call::new(2));
    // The manual's screen shows no more of the word.
    let missed = with("/missed/{sid}?MissedCallType=voi", SID, &voicemail.voicemail());
    assert_eq!(get(&rig, &missed).await.0, 200);
    one_ticket(&rig, &voicemail, "Voicemail from {}").await;
    // Nobody was there to be dialled.
    let state = "/sfdc/api/inbound/passthru?AccountSid={sid}&AccountUid=uid-0c1f&callState=notConnected";
    let said = nobody.missed().replace(&format!("DialWhomNumber={AGENT}"), "DialWhomNumber=");
    assert_eq!(get(&rig, &with(state, SID, &said.replace("&DialCallStatus=no-answer", ""))).await.0, 200);
    assert_eq!(one_ticket(&rig, &nobody, "Missed Call from {}").await.responder_id, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn families_without_a_credential_are_closed() {
    let mut rig = Rig::new();
    rig.account = format!("app_ids = [\"{APP}\"]");
    rig.start();
    for family in FAMILIES {
        let call = Call::new(1);
        let closed = get(&rig, &with(family.answered, SID, &call.answered())).await;
        assert_eq!(closed.0, 401, "{}", family.name);
        // Whether there is such an account, or an app, is not told.
        let elsewhere = with(&family.answered.replace(APP, "no-app"), "nobody", &call.answered());
        assert_eq!(get(&rig, &elsewhere).await, closed, "{}", family.name);
        let head = rig.http.head(rig.url(&with(family.answered, SID, &call.answered()))).send().await;
        assert_eq!(head.expect("an answer").status(), 401, "{}", family.name);
        let reply = rig.http.get(rig.url(&with(family.popup, SID, &Call::new(2).pop("Dial", AGENT, 1))));
        assert_eq!(reply.basic_auth(KEY, Some("wrong")).send().await.expect("an answer").status(), 401);
    }
    assert_eq!(rig.account("/calls").await["calls"], json!([]));
    assert_eq!(rig.account("/receipts").await["receipts"], json!([]));
    let metrics = get(&rig, "/metrics").await.1;
    for family in FAMILIES {
        let line = format!("patchbay_hook_answers_total{{hook=\"{}\",status=\"401\"}} 4", family.name);
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
    // What opens every hook of the account opens these too.
    let call = Call::new(3);
    let reply = rig.http.get(rig.url(&with(FAMILIES[3].missed, SID, &call.missed())));
    assert_eq!(reply.basic_auth(KEY, Some(TOKEN)).send().await.expect("an answer").status(), 200);
    rig.ticket(&call.sid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_token_opens_every_family_by_its_path_or_its_end() {
    let rig = Rig::started();
    let (status, made) = rig.post(&format!("/api/v1/accounts/{SID}/hooks"), json!({ "label": "all" })).await;
    assert_eq!(status, 201, "{made}");
    let token = made["token"].as_str().expect("a token");
    for (at, family) in (0_u32..).zip(FAMILIES) {
        let (whole, end) = (Call::new(2 * at), Call::new(2 * at + 1));
        let path = with(family.missed, SID, &whole.missed());
        assert_eq!(get(&rig, &format!("/h/{token}{path}")).await.0, 200, "{path}");
        one_ticket(&rig, &whole, "Missed Call from {}").await;
        // The last part of the path that is a word, and what of the query says more than the account.
        let (path, query) = family.missed.split_once('?').unwrap_or((family.missed, ""));
        let path = path.trim_end_matches("/{sid}").trim_end_matches(&format!("/{APP}"));
        let word = path.rsplit('/').next().expect("a word");
        let query = query.replace("AccSid={sid}", "").replace("AccountSid={sid}&AccountUid=uid-0c1f&", "");
        let path = with(&format!("/{word}?{query}"), SID, &end.missed());
        assert_eq!(get(&rig, &format!("/h/{token}{path}")).await.0, 200, "{path}");
        one_ticket(&rig, &end, "Missed Call from {}").await;
        // Another account's.
        if family.missed.contains("{sid}") {
            let path = with(family.missed, "acme2", &end.missed());
            assert_eq!(get(&rig, &format!("/h/{token}{path}")).await.0, 404, "{path}");
        }
    }
    assert!(!rig.logs().iter().any(|line| line.contains(token)));
}

#[tokio::test(flavor = "multi_thread")]
async fn families_are_posted_in_every_encoding_and_head_does_nothing() {
    let rig = open();
    let path = "/v1/leadsquared/inbound/call/passthru";
    let form = |call: &Call| call.missed().replace("event=missed", &format!("accsid={SID}"));
    let pairs = |call: &Call| -> Vec<(String, String)> {
        url::form_urlencoded::parse(form(call).as_bytes()).into_owned().collect()
    };
    let (head, urlencoded, multipart, object, bare) =
        (Call::new(1), Call::new(2), Call::new(3), Call::new(4), Call::new(5));
    let reply = rig.http.head(rig.url(&format!("{path}?{}", form(&head)))).send().await.expect("an answer");
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.headers()["content-type"], "text/plain");
    let mut parts = String::new();
    for (name, value) in pairs(&multipart) {
        parts.push_str(&format!("--bound\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"));
    }
    parts.push_str("--bound--\r\n");
    let json = |call: &Call| {
        let members = pairs(call).into_iter().map(|(name, value)| (name, Value::from(value)));
        Value::Object(members.collect()).to_string()
    };
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", form(&urlencoded)),
        ("multipart/form-data; boundary=bound", parts),
        ("application/json", json(&object)),
        ("", json(&bare)),
    ] {
        let request = rig.http.post(rig.url(path)).body(body);
        let request = if content_type.is_empty() { request } else { request.header("content-type", content_type) };
        assert_eq!(request.send().await.expect("an answer").status(), 200, "{content_type}");
    }
    for call in [&urlencoded, &multipart, &object, &bare] {
        one_ticket(&rig, call, "Missed Call from {}").await;
    }
    assert!(rig.tickets(&head.sid).is_empty());
    let put = rig.http.put(rig.url(path)).send().await.expect("an answer");
    assert_eq!(put.status(), 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_several_families_tell_of_is_one_ticket() {
    let rig = open();
    let call = Call::new(1);
    rig.simulate(&call);
    for family in FAMILIES {
        get(&rig, &with(family.popup, SID, &call.pop("Answered", AGENT, 4))).await;
        get(&rig, &with(family.answered, SID, &call.answered())).await;
    }
    assert_eq!(rig.hook(&call.answered()).await, 200);
    rig.note(&call.sid).await;
    let ticket = one_ticket(&rig, &call, "Incoming Call from {}").await;
    assert_eq!(rig.notes(ticket.id).len(), 1);
    // What they said in the same words is one event, seen five times.
    let times = |file: &Value, kind: &str| -> Option<Vec<u64>> {
        let entries = file["timeline"].as_array()?.iter().filter(|entry| entry["kind"] == kind);
        entries.map(|entry| entry["times"].as_u64()).collect()
    };
    rig.until_api(&format!("/calls/{}", call.sid), |file| {
        (times(file, "answered")? == [5] && times(file, "completed")? == [6]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_in_a_parameter_is_kept_nowhere() {
    let mut rig = open();
    let call = Call::new(1);
    assert_eq!(get(&rig, &with(FAMILIES[2].missed, SID, &call.missed())).await.0, 200);
    rig.ticket(&call.sid).await;
    // One that cannot be read is shown, for whoever has to find out why.
    let unread = "/sfdc/api/inbound/passthru?AccountSid=acme1&AccountUid=uid-0c1f&callState=Answered";
    assert_eq!(get(&rig, unread).await.0, 200);
    let post = rig.http.post(rig.url("/sfdc/api/inbound/passthru?AccountSid=acme1")).body("AccountUid=uid-0c1f&x=1");
    assert_eq!(post.send().await.expect("an answer").status(), 200);
    let shown = rig
        .until_api("/receipts", |answer| (answer["receipts"].as_array()?.len() == 2).then(|| answer.to_string()))
        .await;
    assert!(shown.contains("AccountUid=***&callState=Answered") && shown.contains("AccountUid=***&x=1"), "{shown}");
    assert!(!shown.contains("uid-0c1f"), "{shown}");
    assert!(rig.terminate());
    for file in ["patchbay.db", "patchbay.db-wal"] {
        let bytes = std::fs::read(rig.path(file)).unwrap_or_default();
        assert!(!bytes.windows(8).any(|window| window == b"uid-0c1f"), "{file}");
    }
    assert!(!rig.logs().iter().any(|line| line.contains("uid-0c1f")));
}

/// A Salesforce that is not there: its tickets are Freshdesk's, what counts is who is let in.
fn salesforce(name: &str, more: &str) -> String {
    format!(
        "[[account.integration]]\nconnector = \"salesforce\"\nname = \"{name}\"\nbase_url = \"http://127.0.0.1:9\"\n\
         login_url = \"http://127.0.0.1:9\"\nclient_id = \"c\"\nclient_secret = \"s\"\nrefresh_token = \"r\"\n{more}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_uid_opens_the_hooks_of_its_account_alone() {
    if patchbay::connect::catalogue::find("salesforce").is_none() {
        return;
    }
    let mut rig = Rig::new();
    rig.integration = salesforce("sales", "") + &salesforce("migrated", "account_uid = \"1234\"");
    let other = "[[account]]\nsid = \"acme2\"\napi_key = \"k\"\napi_token = \"t\"\n";
    rig.extra.push_str(&format!("\n{other}{}", salesforce("sales", "")));
    rig.start();
    let uid = async |sid: &str| {
        let (status, hooks) = rig.get(&format!("/api/v1/accounts/{sid}/hooks")).await;
        assert_eq!(status, 200, "{hooks}");
        let urls = hooks["families"].as_array().expect("families").iter().filter_map(|one| one["url"].as_str());
        let uids: Vec<&str> = urls.filter_map(|url| Some(url.split_once("&AccountUid=")?.1)).collect();
        uids[0].split('&').next().expect("an AccountUid").to_owned()
    };
    let (own, others) = (uid(SID).await, uid("acme2").await);
    assert_eq!((own.len(), own == others), (36, false));
    let path = |sid: &str, uid: &str, call: &Call| {
        let path = format!("/sfdc/api/inbound/passthru?AccountSid={{sid}}{uid}&callState=missedCall");
        with(&path, sid, &call.missed())
    };
    let closed = get(&rig, &path("nobody", &format!("&AccountUid={own}"), &Call::new(9))).await;
    assert_eq!(closed.0, 401);
    for uid in ["", "&AccountUid=", "&AccountUid=guess", &format!("&AccountUid={others}")] {
        assert_eq!(get(&rig, &path(SID, uid, &Call::new(9))).await, closed, "{uid}");
    }
    let calls: Vec<Call> = (1..4).map(Call::new).collect();
    assert_eq!(get(&rig, &path(SID, &format!("&AccountUId={own}"), &calls[0])).await.0, 200);
    assert_eq!(get(&rig, &path(SID, "&accountuid=1234", &calls[1])).await.0, 200);
    let body = format!("{}&AccountSid={SID}&AccountUid={own}", calls[2].missed());
    let post = rig.http.post(rig.url("/sfdc/api/inbound/passthru?callState=missedCall")).body(body);
    assert_eq!(post.send().await.expect("an answer").status(), 200);
    for call in &calls {
        rig.ticket(&call.sid).await;
    }
    let listed = rig.account("/calls").await.to_string();
    assert!(!listed.contains(&Call::new(9).sid), "{listed}");
    rig.terminate();
    for file in ["patchbay.db", "patchbay.db-wal"] {
        let bytes = std::fs::read(rig.path(file)).unwrap_or_default();
        assert!(!bytes.windows(own.len()).any(|window| window == own.as_bytes()), "{file}");
    }
    assert!(!rig.logs().iter().any(|line| line.contains(&own)));
}

#[tokio::test(flavor = "multi_thread")]
async fn dial_whom_is_answered_at_once_and_tells_of_the_call() {
    let rig = open();
    for (at, path) in (0_u32..).zip([
        "/v1/leadsquared/inbound/call/dialwhom?AccSid={sid}",
        "/v1/leadsquared/mobile/{sid}/dialwhom",
        // So spelled in the manual.
        "/v1/leadssquared/mobile/{sid}/dialwhom",
    ]) {
        let call = Call::new(at);
        let said = format!("x&CallSid={}&CallFrom={}&From={}&CallStatus=ringing", call.sid, call.from, call.from);
        let path = with(path, SID, &said);
        // Freshdesk knows no owners: the flow goes on where nobody is dialled.
        let head = rig.http.head(rig.url(&path)).send().await.expect("an answer");
        let reply = rig.http.get(rig.url(&path)).send().await.expect("an answer");
        assert_eq!((head.status().as_u16(), reply.status().as_u16()), (200, 200), "{path}");
        assert_eq!(head.headers()["content-type"], reply.headers()["content-type"]);
        assert_eq!(reply.headers()["content-type"], "text/plain");
        assert_eq!(reply.text().await.expect("a body"), "");
        let kind = format!("/calls/{}", call.sid);
        rig.until_async("the call is known", async || rig.get(&format!("/api/v1/accounts/{SID}{kind}")).await.0 == 200)
            .await;
        let timeline = rig.account(&kind).await["timeline"].clone();
        let whom = |entry: &&Value| entry["kind"] == "dial_whom";
        assert_eq!(timeline.as_array().expect("a timeline").iter().filter(whom).count(), 1, "{timeline}");
        let request = rig.http.get(rig.url(&path)).header("exotel-version", "1.0");
        let answer: Value =
            serde_json::from_str(&request.send().await.expect("an answer").text().await.expect("a body"))
                .expect("JSON");
        assert_eq!(answer["destination"], json!({ "numbers": [] }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_chooses_is_part_of_the_call() {
    let rig = Rig::started();
    let call = Call::new(1);
    let path = |end: &str| format!("/api/v1/accounts/{SID}/calls/{}/{end}", call.sid);
    let chosen = json!({ "integration": "support", "kind": "contact", "id": "81007555519" });
    assert_eq!(rig.post(&path("contact"), chosen.clone()).await.0, 404);
    rig.hook(&call.missed()).await;
    rig.ticket(&call.sid).await;
    let before = rig.account(&format!("/calls/{}", call.sid)).await["state"].clone();

    let (status, answer) = rig.post(&path("contact"), json!({ "integration": "x", "kind": "c", "id": "1" })).await;
    assert_eq!(status, 400);
    assert!(answer["error"]["message"].as_str().is_some_and(|told| told.contains("support")), "{answer}");
    assert_eq!(rig.post(&path("contact"), json!({ "integration": "support", "kind": "", "id": "1" })).await.0, 400);
    assert_eq!(rig.post(&path("follow-up"), json!({ "integration": "support", "kind": "party" })).await.0, 400);
    let nobody = rig.http.post(rig.url(&path("contact"))).body(chosen.to_string()).send().await.expect("an answer");
    assert_eq!(nobody.status(), 401);

    assert_eq!(
        rig.post(&path("contact"), json!({ "integration": "support", "kind": "contact", "id": "7" })).await.0,
        202
    );
    assert_eq!(rig.post(&path("contact"), chosen).await.0, 202);
    // Freshdesk has no follow-ups; where there are, see `every::more`.
    let (status, answer) =
        rig.post(&path("follow-up"), json!({ "integration": "support", "kind": "task", "subject": "Call back" })).await;
    assert_eq!(status, 400, "{answer}");
    let wanted = json!({ "support": { "kind": "contact", "id": "81007555519" } });
    let mut state = rig
        .until_api(&format!("/calls/{}", call.sid), |file| {
            (file["state"]["choices"] == wanted).then(|| file["state"].clone())
        })
        .await;
    for name in ["choices", "events"] {
        state[name] = before[name].clone();
    }
    assert_eq!(state, before);
}
