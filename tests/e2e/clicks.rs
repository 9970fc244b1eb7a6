//! Click-to-call against a simulated Exotel in every sort of trouble, and through deaths of the process: one key is at most
//! one call, and what becomes of it is known.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use patchbay_sandbox::{Fault, On, exotel::Trouble};
use serde_json::{Value, json};

use crate::rig::{AGENT, EXOPHONE, KEY, Rig, SID, TOKEN};

const CUSTOMER: &str = "+919876500001";
const CONNECT: &str = "/v1/Accounts/acme1/Calls/connect.json";

/// A service whose first agent may click, with short waits.
fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.more = format!(
        "[[account.agent]]\nnumber = \"sip:clicker\"\ncaller_id = \"{EXOPHONE}\"\nclick_to_call = true\n\
         [[account.agent]]\nnumber = \"+919000000001\"\nemail = \"c@example.com\"\ncaller_id = \"{EXOPHONE}\"\n\
         click_to_call = true\n"
    );
    rig.extra += "\n[dialer]\nwait = \"2s\"\nsettle_after = \"4s\"\n";
    rig.calls_are_short();
    rig
}

impl Rig {
    async fn place(&self, key: &str, body: Value) -> (u16, Value) {
        self.try_place(key, body).await.expect("the API answers")
    }

    async fn try_place(&self, key: &str, body: Value) -> Result<(u16, Value), reqwest::Error> {
        let request = self.http.post(self.url(&format!("/api/v1/accounts/{SID}/calls"))).bearer_auth(crate::rig::ADMIN);
        let reply = request.header("Idempotency-Key", key).body(body.to_string()).send().await?;
        let status = reply.status().as_u16();
        Ok((status, serde_json::from_slice(&reply.bytes().await?).unwrap_or_default()))
    }

    async fn settled_click(&self, id: &Value) -> Value {
        let path = format!("/clicks/{}", id.as_str().expect("an id"));
        self.until_api(&path, |click| {
            let settled = ["placed", "refused", "not_placed"].iter().any(|state| click["state"] == *state);
            settled.then(|| click.clone())
        })
        .await
    }

    fn placed(&self) -> Vec<String> {
        self.exotel.with(|exotel| exotel.placed().to_vec())
    }

    fn dials(&self) -> usize {
        let seen = self.exotel.requests();
        seen.iter().filter(|seen| seen.method == Method::POST && seen.path == CONNECT).count()
    }

    /// Posts what Exotel has to say by now; returns where to.
    async fn post_callbacks(&self) -> Vec<String> {
        let due = self.exotel.with(|exotel| exotel.take_callbacks(Timestamp::now()));
        let urls = due.iter().map(|callback| callback.url.clone()).collect();
        for callback in due {
            let request = self.http.post(&callback.url).header("content-type", &callback.content_type);
            let status = request.body(callback.body).send().await.expect("the hook answers").status();
            assert_eq!(status.as_u16(), 200);
        }
        urls
    }

    /// Of one call: once for each leg that answers, and the end, which alone carries the mark.
    async fn post_all_callbacks(&self) -> String {
        let mut told = Vec::new();
        self.until_async("three callbacks", async || {
            told.extend(self.post_callbacks().await);
            told.len() == 3
        })
        .await;
        told.remove(0)
    }
}

fn wish() -> Value {
    json!({ "agent": "c@example.com", "to": CUSTOMER, "custom_field": "order 7" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_is_one_call_with_a_timeline_and_one_ticket() {
    let mut rig = rig();
    rig.start();
    let (status, placed) = rig.place("key-1", wish()).await;
    assert_eq!((status, &placed["state"]), (201, &json!("placed")), "{placed:#}");
    let call_sid = placed["call_sid"].as_str().expect("a CallSid").to_owned();
    // It is a call before Exotel says a word of it.
    rig.until_api("/calls?limit=1", |calls| (calls["calls"][0]["call_sid"] == call_sid.as_str()).then_some(())).await;
    let file = rig.account(&format!("/calls/{call_sid}")).await;
    assert!(file["timeline"].to_string().contains("\"placed\""), "{file:#}");
    assert_eq!(rig.place("key-1", wish()).await, (201, placed.clone()), "the same key, the same answer");
    let (status, error) = rig.place("key-1", json!({ "agent": "c@example.com", "to": "+919876500002" })).await;
    assert_eq!((status, &error["error"]["code"]), (409, &json!("key_of_another_request")));
    rig.exotel.with(|exotel| {
        let call = exotel.call(&call_sid).expect("the call");
        let mark = format!("order 7 pb:{}", placed["id"].as_str().expect("an id").replace('-', ""));
        assert_eq!((call.from.as_str(), call.to.as_str()), ("09000000001", "09876500001"));
        assert_eq!((call.exophone.as_str(), call.custom_field.as_deref()), (EXOPHONE, Some(mark.as_str())));
        assert_eq!(exotel.surprises().collect::<Vec<_>>(), Vec::<&str>::new());
    });
    // Answered twice, once for each leg, and the end.
    let listener = rig.post_all_callbacks().await;
    // Whoever reads its address in Exotel's logs can speak for no other hook of the account.
    let base = listener.strip_suffix("/status").expect("the status hook");
    for (path, status) in [
        (format!("/v2/accounts/{SID}/status?CallSid={call_sid}"), 200),
        (format!("/call-events?event=missed&CallSid={call_sid}"), 404),
        (format!("/dialwhom?CallSid={call_sid}"), 404),
        (format!("/callback/exotel/{SID}/callmissed?CallSid={call_sid}"), 404),
        (String::new(), 404),
    ] {
        let reply = rig.http.head(format!("{base}{path}")).send().await.expect("an answer");
        assert_eq!(reply.status().as_u16(), status, "{path}");
    }
    rig.ticket(&call_sid).await;
    rig.settled().await;
    assert_eq!((rig.tickets(&call_sid).len(), rig.placed().len(), rig.dials()), (1, 1, 1));
    let file = rig.account(&format!("/calls/{call_sid}")).await;
    assert_eq!(
        file["call"]["direction"].as_str().or(file["state"]["direction"].as_str()),
        Some("outgoing"),
        "{file:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_with_one_key_are_one_call() {
    let mut rig = rig();
    rig.start();
    rig.exotel.faults().push(On::exactly(Method::POST, CONNECT), Fault::StallAfter(Duration::from_millis(300)));
    let all = futures_util::future::join_all((0..12).map(|_| rig.place("key-1", wish()))).await;
    assert!(all.iter().all(|answer| answer == &all[0] && answer.0 == 201), "{all:#?}");
    assert_eq!((rig.placed().len(), rig.dials()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trouble_is_settled_and_no_key_dials_twice() {
    let mut rig = rig();
    rig.start();
    let troubles = [
        ("carried out and lost", None, Some(Fault::ResetAfter), 202, "placed"),
        ("never carried out", None, Some(Fault::ResetBefore), 202, "not_placed"),
        ("answered late", None, Some(Fault::StallAfter(Duration::from_secs(3))), 202, "placed"),
        ("carried out late", None, Some(Fault::LateCommit(Duration::from_secs(3))), 202, "placed"),
        ("500, and placed", Some(Trouble::PlacedAllTheSame(500)), None, 202, "placed"),
        ("504, and placed", Some(Trouble::PlacedAllTheSame(504)), None, 202, "placed"),
        ("500, not placed", Some(Trouble::NoRoute(500)), None, 202, "not_placed"),
        ("a page of a proxy", None, Some(Fault::Garbage), 202, "not_placed"),
        ("400", None, Some(Fault::Status(400)), 422, "refused"),
    ];
    for (n, (what, trouble, fault, status, becomes)) in troubles.into_iter().enumerate() {
        let before = (rig.placed().len(), rig.dials());
        if let Some(trouble) = trouble {
            rig.exotel.with(|exotel| exotel.next_connect(trouble));
        }
        if let Some(fault) = fault {
            rig.exotel.faults().push(On::exactly(Method::POST, CONNECT), fault);
        }
        let key = format!("key-{n}");
        let body = json!({ "agent": "c@example.com", "to": format!("+9198765001{n:02}") });
        let (got, click) = rig.place(&key, body.clone()).await;
        assert_eq!(got, status, "{what}: {click:#}");
        let settled = rig.settled_click(&click["id"]).await;
        assert_eq!(settled["state"], becomes, "{what}: {settled:#}");
        let (_, again) = rig.place(&key, body).await;
        assert_eq!(again["state"], becomes, "{what}");
        let calls = usize::from(becomes == "placed");
        assert_eq!((rig.placed().len(), rig.dials()), (before.0 + calls, before.1 + 1), "{what}");
    }
    let listed = rig.account("/clicks?state=not_placed").await;
    assert_eq!(listed["clicks"].as_array().map(Vec::len), Some(3), "{listed:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_in_xml_and_lists_without_marks_are_understood() {
    let mut rig = rig();
    rig.exotel.with(|exotel| {
        exotel.settings.always_xml = true;
        exotel.settings.custom_field_listed = false;
        exotel.settings.list_lag = Duration::from_secs(2);
    });
    rig.start();
    let (status, placed) = rig.place("key-1", wish()).await;
    assert_eq!(status, 201, "{placed:#}");
    rig.exotel.faults().push(On::exactly(Method::POST, CONNECT), Fault::ResetAfter);
    let (status, click) = rig.place("key-2", json!({ "agent": "c@example.com", "to": "+919876500002" })).await;
    assert_eq!(status, 202);
    let settled = rig.settled_click(&click["id"]).await;
    assert_eq!(settled["call_sid"], rig.placed()[1].as_str(), "{settled:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_settles_what_the_list_never_shows() {
    let mut rig = rig();
    rig.exotel.with(|exotel| exotel.settings.list_lag = Duration::from_secs(3600));
    rig.start();
    rig.exotel.faults().push(On::exactly(Method::POST, CONNECT), Fault::ResetAfter);
    let (status, click) = rig.place("key-1", wish()).await;
    assert_eq!((status, &click["state"]), (202, &json!("unknown")));
    let path = format!("/clicks/{}", click["id"].as_str().expect("an id"));
    rig.post_all_callbacks().await;
    let placed = rig.until_api(&path, |click| (click["state"] == "placed").then(|| click.clone())).await;
    assert_eq!(placed["call_sid"], rig.placed()[0].as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn exotels_limit_is_told_at_once_and_the_key_is_good_afterwards() {
    let mut rig = rig();
    rig.start();
    rig.exotel.faults().push(On::exactly(Method::POST, CONNECT), Fault::RateLimited { retry_after_s: 1 });
    let request = rig.http.post(rig.url(&format!("/api/v1/accounts/{SID}/calls"))).bearer_auth(crate::rig::ADMIN);
    let reply = request.header("Idempotency-Key", "key-1").body(wish().to_string()).send().await.expect("an answer");
    assert_eq!(reply.status().as_u16(), 429);
    let wait: u64 = reply.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!(wait >= 1);
    assert!(rig.placed().is_empty());
    rig.until_async("a call", async || rig.place("key-1", wish()).await.0 == 201).await;
    assert_eq!(rig.placed().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_dialled_is_told_and_dialled_by_nobody() {
    let mut rig = rig();
    rig.account = "calling_hours = \"00:00-00:01\"\ncalling_days = [\"Monday\"]".to_owned();
    // A day that it is not, in India.
    let today = jiff::tz::Offset::from_seconds(19_800).expect("IST").to_datetime(Timestamp::now()).weekday();
    if today == jiff::civil::Weekday::Monday {
        rig.account = rig.account.replace("Monday", "Thursday");
    }
    rig.start();
    let agents =
        [("c@example.com", "outside_calling_hours"), ("+918888888888", "unknown_agent"), (AGENT, "click_to_call_off")];
    for (agent, code) in agents {
        let (status, error) = rig.place("key", json!({ "agent": agent, "to": CUSTOMER })).await;
        assert_eq!((status, &error["error"]["code"]), (422, &json!(code)), "{error:#}");
    }
    let (status, _) = rig.post(&format!("/api/v1/accounts/{SID}/calls"), wish()).await;
    assert_eq!(status, 400, "a key is needed");
    let (status, _) = rig.place("key", json!({ "agent": "c@example.com" })).await;
    assert_eq!(status, 400);
    assert_eq!(rig.dials(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn through_every_death_one_key_is_one_call_and_known() {
    for (point, calls) in [
        ("dialer.before_intent", 1),
        ("dialer.after_intent", 1),
        ("dialer.before_dialling", 1),
        // It may have been dialled, and was not: it is looked for, and not dialled again.
        ("dialer.after_dialling", 0),
        ("dialer.after_answer", 1),
        ("dialer.after_end", 1),
    ] {
        let mut rig = rig();
        rig.env.push(("PATCHBAY_CRASH".to_owned(), point.to_owned()));
        rig.start();
        assert!(rig.try_place("key-1", wish()).await.is_err(), "{point}: it dies");
        rig.kill();
        rig.env.clear();
        rig.start();
        let (_, click) = rig.place("key-1", wish()).await;
        let settled = rig.settled_click(&click["id"]).await;
        assert_eq!(settled["state"], if calls == 1 { "placed" } else { "not_placed" }, "{point}: {settled:#}");
        assert_eq!((rig.placed().len(), rig.dials()), (calls, calls), "{point}");
        if calls == 1 {
            assert_eq!(settled["call_sid"], rig.placed()[0].as_str(), "{point}");
            let path = format!("/calls/{}", rig.placed()[0]);
            rig.until_async("the call", async || rig.get(&format!("/api/v1/accounts/{SID}{path}")).await.0 == 200)
                .await;
        }
    }
}

/// The account's LeadSquared: only its settings count here.
fn leadsquared(rig: &mut Rig, more: &str) {
    let url = "http://127.0.0.1:9/1/api/Telephony";
    let integration = format!(
        "[[account.integration]]\nconnector = \"leadsquared\"\nbase_url = \"http://127.0.0.1:9\"\n\
         call_route_url = \"{url}/route-secret\"\nagent_popup_url = \"{url}/popup-secret\"\n\
         call_log_url = \"{url}/log-secret\"\n{more}\n"
    );
    rig.more = integration + &rig.more;
}

fn base64() -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(format!("{KEY}:{TOKEN}"))
}

impl Rig {
    async fn leadsquared(&self, method: Method, path: &str) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_str().as_bytes()).expect("a method");
        let request = self.http.request(method, self.url(path)).header("Authorization", base64()).header("AccSid", SID);
        let reply = request.send().await.expect("an answer");
        let status = reply.status().as_u16();
        (status, serde_json::from_slice(&reply.bytes().await.expect("a body")).unwrap_or_default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leadsquareds_own_forms_dial_once_for_two_presses_of_the_button() {
    let mut rig = rig();
    leadsquared(&mut rig, "");
    rig.exotel.with(|exotel| exotel.add_exophone("x1", "+918047494574"));
    rig.start();
    let web = "/v1/leadsquared/outbound/call/connect?AgentNumber=%2B91-9000000001&CustomerNumber=%2B91-9876500001\
               &VirtualNumber=%2B91-8047494574";
    let mobile =
        "/v1/leadsquared/mobile/click2call?From=9000000001&To=9876500001&AccSid=acme1&VirtualNumber=08047494574";
    let (status, first) = rig.leadsquared(Method::GET, web).await;
    assert_eq!((status, &first["status"]), (200, &json!("success")), "{first:#}");
    assert_eq!(first["call_sid"], rig.placed()[0].as_str());
    let (status, second) = rig.leadsquared(Method::POST, mobile).await;
    assert_eq!((status, &second["id"]), (200, &first["id"]), "the same two, a moment later");
    assert_eq!(rig.placed().len(), 1);
    let other = mobile.replace("9876500001", "9876500002");
    assert_eq!(rig.leadsquared(Method::POST, &other).await.1["status"], "success");
    assert_eq!(rig.placed().len(), 2);
    // Nothing but the agent's number tells whose call it is.
    let current = "/v1/leadsquared/mobile/lead/info?AgentNumber=9000000001&AccSid=acme1";
    rig.until_async("the call", async || {
        let (status, info) = rig.leadsquared(Method::GET, current).await;
        status == 200 && info == json!({ "status": "success", "customerNumber": "+91-9876500002" })
    })
    .await;
    let (status, none) = rig.leadsquared(Method::GET, &current.replace("9000000001", "9711581199")).await;
    assert_eq!((status, &none["status"]), (404, &json!("error")));
    let (status, numbers) = rig.leadsquared(Method::GET, "/v1/leadsquared/mobile/didnumbers?AccSid=acme1").await;
    assert_eq!((status, numbers), (200, json!({ "status": "success", "did_list": ["+91-8047494574"] })));
    // HEAD and strangers dial nothing.
    assert_eq!(rig.leadsquared(Method::HEAD, web).await.0, 404);
    let strange = rig.http.get(rig.url(web)).header("AccSid", SID).send().await.expect("an answer");
    assert_eq!(strange.status().as_u16(), 401);
    assert_eq!(rig.leadsquared(Method::GET, &web.replace("9000000001", "9711581199")).await.0, 422);
    assert_eq!(rig.leadsquared(Method::GET, "/v1/leadsquared/outbound/call/connect").await.0, 400);
    assert_eq!(rig.placed().len(), 2);
}

/// The connector for softphones says by `AgentId` which of them rings; the number stands there all the same.
#[tokio::test(flavor = "multi_thread")]
async fn leadsquareds_softphones_ring_where_the_user_mapping_has_them() {
    let mut rig = rig();
    leadsquared(&mut rig, "");
    rig.start();
    for (at, (id, rung)) in
        [("sip:Clicker", "sip:clicker"), ("sip:nobody", "09000000001"), ("", "09000000001")].into_iter().enumerate()
    {
        let click = format!(
            "/v1/leadsquared/outbound/call/connect?AgentNumber=9000000001&CustomerNumber=987650001{at}&AgentId={id}"
        );
        let (status, said) = rig.leadsquared(Method::GET, &click).await;
        assert_eq!((status, &said["status"]), (200, &json!("success")), "{id}: {said:#}");
        let call_sid = said["call_sid"].as_str().expect("a CallSid").to_owned();
        rig.exotel.with(|exotel| assert_eq!(exotel.call(&call_sid).expect("the call").from, rung, "{id}"));
    }
    assert_eq!(rig.placed().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn leadsquareds_configuration_is_shown_without_its_secrets_and_taken_as_it_is() {
    let mut rig = rig();
    leadsquared(
        &mut rig,
        "call_start_timer = \"09:00:00\"\ncall_end_timer = \"09:00:01\"\ncall_allowed_days = [\"Monday\"]",
    );
    rig.start();
    let path = format!("/v1/coc-auth/{SID}/config?app=leadsquared");
    let ask = async |request: reqwest::RequestBuilder, token: &str| {
        let reply = request.header("api-key", KEY).header("api-token", token).send().await.expect("an answer");
        let status = reply.status().as_u16();
        let body: Value = serde_json::from_slice(&reply.bytes().await.expect("a body")).unwrap_or_default();
        (status, body)
    };
    let (status, shown) = ask(rig.http.get(rig.url(&path)), TOKEN).await;
    let inner = &shown["Data"]["leadsquared"];
    assert_eq!((status, &shown["Status"], &inner["isActive"]), (200, &json!("Success"), &json!("true")), "{shown:#}");
    assert_eq!((&inner["callStartTimer"], &inner["callAllowedDays"]), (&json!("09:00:00"), &json!(["Monday"])));
    assert!(inner["callLogAPIURL"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:9/")));
    assert!(!shown.to_string().contains("secret"), "{shown:#}");
    assert_eq!(shown["Data"]["token"], base64());
    assert_eq!(ask(rig.http.get(rig.url(&path)), "wrong").await.0, 401);
    assert_eq!(ask(rig.http.get(rig.url(&path.replace(SID, "nobody"))), TOKEN).await.0, 401);
    assert_eq!(ask(rig.http.get(rig.url(&path.replace("leadsquared", "zoho"))), TOKEN).await.0, 400);
    let url = |end: &str| format!("http://127.0.0.1:9/1/api/Telephony/{end}-secret");
    let mut body = json!({ "isActive": "true", "leadsquared": { "callLogAPIURL": url("log"),
        "callRouteURL": url("route"), "agentPopupURL": url("popup"), "callAllowedDays": ["monday"] } });
    let post = |body: &Value| rig.http.post(rig.url(&path)).body(body.to_string());
    assert_eq!(ask(post(&body), TOKEN).await.0, 200);
    body["leadsquared"]["callLogAPIURL"] = json!(url("other"));
    let (status, told) = ask(post(&body), TOKEN).await;
    assert!(status == 400 && told["Message"].as_str().is_some_and(|told| told.contains("callLogAPIURL")), "{told:#}");
    assert!(!told.to_string().contains("secret"));
    // Its hours are kept, too: a second on Mondays.
    let web = "/v1/leadsquared/outbound/call/connect?AgentNumber=9000000001&CustomerNumber=9876500001";
    let (status, told) = rig.leadsquared(Method::GET, web).await;
    assert_eq!((status, rig.dials()), (422, 0), "{told:#}");
}
