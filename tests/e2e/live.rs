//! Event streams as a browser has them open: what an agent hears while his phone rings, and when he hears no more.

use patchbay_sandbox::{Faults, Server, leadsquared::LeadSquared};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::rig::{ADMIN, AGENT, AGENT2, Call, PATIENCE, Rig, SID};

const AVNISH: &str = "avnish@example.com";
const RAHIL: &str = "rahil@example.com";
const PASSWORD: &str = "correct horse battery";
/// A heartbeat that a test can wait for.
const QUICK: &str = "\n[live]\nheartbeat = \"200ms\"\n";

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Heard {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

impl Heard {
    /// CallSid and state.
    pub(crate) fn call(&self) -> (&str, &str) {
        assert_eq!(self.kind, "call", "{self:?}");
        (self.data["call_sid"].as_str().expect("a CallSid"), self.data["state"].as_str().expect("a state"))
    }
}

/// An open stream.
pub(crate) struct Events {
    reply: Response,
    text: String,
}

impl Events {
    /// Opens one and reads how it begins. `Err`: it is refused.
    pub(crate) async fn try_open(
        url: String,
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<(Self, bool), (u16, Option<String>)> {
        // Without the limit on a whole request that the rig's client has.
        let reply = with(reqwest::Client::new().get(url)).send().await.expect("an answer");
        if reply.status() != 200 {
            let after = reply.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
            return Err((reply.status().as_u16(), after));
        }
        assert_eq!(reply.headers()["content-type"], "text/event-stream");
        assert_eq!(reply.headers()["cache-control"], "no-store");
        let mut events = Self { reply, text: String::new() };
        let begin = events.next().await;
        assert_eq!(begin.kind, "begin", "{begin:?}");
        Ok((events, begin.data["resumed"] == true))
    }

    pub(crate) async fn open(url: String, with: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Self {
        Self::try_open(url, with).await.expect("it opens").0
    }

    /// The next event; `None` when the stream has ended as it should.
    async fn try_next(&mut self) -> Option<Heard> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let mut heard = Heard::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("id", id)) => heard.id = id.to_owned(),
                        Some(("event", kind)) => heard.kind = kind.to_owned(),
                        Some(("data", data)) => heard.data = serde_json::from_str(data).expect("JSON"),
                        _ => {}
                    }
                }
                if heard.kind.is_empty() {
                    continue;
                }
                return Some(heard);
            }
            let chunk = self.reply.chunk().await.expect("the connection holds")?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("whole characters"));
        }
    }

    pub(crate) async fn next(&mut self) -> Heard {
        let heard = tokio::time::timeout(PATIENCE, self.try_next()).await;
        heard.expect("something is heard").expect("the stream goes on")
    }

    async fn ended(&mut self) {
        let heard = tokio::time::timeout(PATIENCE, self.try_next()).await;
        assert_eq!(heard.expect("something is heard"), None);
    }
}

fn admin(request: RequestBuilder) -> RequestBuilder {
    request.bearer_auth(ADMIN)
}

fn path(of: &str) -> String {
    format!("/api/v1/accounts/{SID}{of}")
}

/// Two agents whom the user mapping knows by their addresses.
fn started(more: &str) -> Rig {
    let mut rig = Rig::new();
    rig.agent_email = Some(AVNISH.to_owned());
    rig.extra += more;
    rig.start();
    rig
}

async fn send(rig: &Rig, method: Method, path: &str, cookie: &str, csrf: &str, body: Value) -> (u16, Value) {
    let request = rig.http.request(method, rig.url(path)).header("cookie", cookie).header("x-csrf-token", csrf);
    let reply = request.body(body.to_string()).send().await.expect("an answer");
    (reply.status().as_u16(), serde_json::from_slice(&reply.bytes().await.expect("a body")).unwrap_or_default())
}

/// The cookie of one who has signed in, and a token that he has made.
async fn signed_in(rig: &Rig, email: &str) -> (String, String) {
    let (status, made) = rig.post("/api/v1/users", json!({ "email": email, "role": "agent", "accounts": [SID] })).await;
    assert_eq!(status, 201, "{made}");
    let set = json!({ "token": made["one_time"]["token"], "password": PASSWORD });
    assert_eq!(rig.post("/api/v1/password", set).await.0, 204);
    let body = json!({ "email": email, "password": PASSWORD }).to_string();
    let reply = rig.http.post(rig.url("/api/v1/session")).body(body).send().await.expect("an answer");
    let cookie = reply.headers()["set-cookie"].to_str().expect("text").split(';').next().expect("a cookie").to_owned();
    let signed: Value = serde_json::from_slice(&reply.bytes().await.expect("a body")).expect("JSON");
    let csrf = signed["csrf"].as_str().expect("a csrf token");
    let (status, made) = send(rig, Method::POST, "/api/v1/tokens", &cookie, csrf, json!({ "label": "widget" })).await;
    assert_eq!(status, 201, "{made}");
    (cookie, made["token"].as_str().expect("a token").to_owned())
}

/// The agent's entry in the list of agents.
async fn agent(rig: &Rig, email: &str) -> Value {
    let listed = rig.account("/agents").await;
    let found = listed["agents"].as_array().expect("agents").iter().find(|one| one["email"] == email);
    found.unwrap_or_else(|| panic!("{listed}")).clone()
}

async fn metric(rig: &Rig, name: &str) -> String {
    let reply = rig.http.get(rig.url("/metrics")).send().await.expect("metrics");
    let text = reply.text().await.expect("text");
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.rsplit(' ').next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_agent_hears_of_his_own_calls_alone() {
    let rig = started("");
    let (cookie, _) = signed_in(&rig, AVNISH).await;
    let (_, token) = signed_in(&rig, RAHIL).await;
    // A caller whom the CRM came to know by an earlier call.
    let earlier = Call::new(1);
    assert_eq!(rig.hook(&earlier.missed()).await, 200);
    rig.ticket(&earlier.sid).await;
    rig.settled().await;

    let of = |of: &str| rig.url(&path(of));
    let mut avnish = Events::open(of("/agents/me/events"), |request| request.header("cookie", &cookie)).await;
    let mut rahil = Events::open(of(&format!("/agents/{RAHIL}/events")), |request| request.bearer_auth(&token)).await;
    let mut console = Events::open(of("/events"), admin).await;
    let call = Call { from: earlier.from.clone(), ..Call::new(2) };
    // What is decided on together is told as what it comes to: each step is waited for.
    for query in [call.keyed("gather", "4711", "&gather_tag_1=order", 1), call.pop("Dial", AGENT, 2)] {
        assert_eq!(rig.hook(&query).await, 200);
    }
    let first = avnish.next().await;
    assert_eq!(first.call(), (call.sid.as_str(), "dialing"));
    let data = &first.data;
    assert_eq!(
        (&data["direction"], &data["digits"]),
        (&json!("incoming"), &json!([{ "tag": "order", "value": "4711" }]))
    );
    assert_eq!(data["customer"]["number"], json!(format!("+91{}", &call.from[1..])));
    assert_eq!(data["exophone"]["number"], "+918047494574");
    assert_eq!(
        (&data["contacts"][0]["integration"], &data["contacts"][0]["kind"]),
        (&json!("support"), &json!("contact"))
    );
    assert_eq!(
        (data["contacts"][0]["name"].as_str(), &data["agent"]["id"]),
        (Some(call.from.as_str()), &agent(&rig, AVNISH).await["id"])
    );
    assert_eq!(rig.hook(&call.pop("Dial", AGENT2, 2)).await, 200);
    assert_eq!(rahil.next().await.call(), (call.sid.as_str(), "dialing"));
    // It overtakes its own ringing.
    for query in [call.pop("Answered", AGENT2, 9), call.pop("Ringing", AGENT2, 5)] {
        assert_eq!(rig.hook(&query).await, 200);
    }
    let over = avnish.next().await;
    assert_eq!((over.call(), &over.data["over"]), ((call.sid.as_str(), "ended"), &json!("taken_elsewhere")));
    assert_eq!(rahil.next().await.call(), (call.sid.as_str(), "answered"));
    assert_eq!(agent(&rig, RAHIL).await["calls"][0]["state"], "answered");
    assert_eq!(agent(&rig, AVNISH).await["calls"], json!([]));
    // The end of the call, without a word of the attempt.
    assert_eq!(rig.hook(&call.answered()).await, 200);
    let last = rahil.next().await;
    assert_eq!((last.call(), &last.data["over"]), ((call.sid.as_str(), "ended"), &json!("call")));
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(console.next().await);
    }
    assert!(all.contains(&first) && all.contains(&last), "{all:?}");
    assert!(all.is_sorted_by_key(|heard| {
        heard.id.split('-').map(|part| part.parse().expect("a number")).collect::<Vec<u64>>()
    }));

    // Somebody else is nobody, and the whole account is not for agents.
    let his = agent(&rig, RAHIL).await;
    for named in [his["id"].as_str().expect("an id"), RAHIL, "+919945476362", AGENT2, "nobody@example.com", "x"] {
        let refused =
            Events::try_open(of(&format!("/agents/{named}/events")), |request| request.header("cookie", &cookie));
        assert_eq!(refused.await.err(), Some((404, None)), "{named}");
        let shown = rig.http.get(of(&format!("/agents/{named}"))).header("cookie", &cookie).send().await;
        assert_eq!(shown.expect("an answer").status(), 404, "{named}");
    }
    for closed in ["/events", "/agents"] {
        let refused = rig.http.get(of(closed)).header("cookie", &cookie).send().await.expect("an answer");
        assert_eq!(refused.status(), 403, "{closed}");
    }
    for named in [AVNISH, AGENT, "+919711581199", "me"] {
        let shown =
            rig.http.get(of(&format!("/agents/{named}"))).header("cookie", &cookie).send().await.expect("an answer");
        let shown: Value = serde_json::from_slice(&shown.bytes().await.expect("a body")).expect("JSON");
        let shown = &shown["agents"][0];
        assert_eq!((&shown["email"], &shown["present"]), (&json!(AVNISH), &json!(true)), "{named}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_goes_on_where_he_was_or_begins_with_what_rings() {
    let rig = started("");
    let of = rig.url(&path(&format!("/agents/{AVNISH}/events")));
    let (mut first, resumed) = Events::try_open(of.clone(), admin).await.expect("it opens");
    assert!(!resumed);
    let (over, call) = (Call::new(1), Call::new(2));
    assert_eq!(rig.hook(&over.pop("Dial", AGENT, 2)).await, 200);
    assert_eq!(first.next().await.call(), (over.sid.as_str(), "dialing"));
    for query in [over.pop("Terminal", AGENT, 9), call.pop("Dial", AGENT, 2)] {
        assert_eq!(rig.hook(&query).await, 200);
    }
    let ended = first.next().await;
    assert_eq!(ended.call(), (over.sid.as_str(), "ended"));
    assert_eq!(first.next().await.call(), (call.sid.as_str(), "dialing"));
    drop(first);
    assert_eq!(rig.hook(&call.pop("Ringing", AGENT, 4)).await, 200);
    rig.until_async("it is known", async || agent(&rig, AVNISH).await["calls"][0]["state"] == "ringing").await;
    let id = ended.id.clone();
    let (mut again, resumed) =
        Events::try_open(of.clone(), |request| admin(request).header("last-event-id", &id)).await.expect("it opens");
    assert!(resumed);
    assert_eq!(again.next().await.call(), (call.sid.as_str(), "dialing"));
    assert_eq!(again.next().await.call(), (call.sid.as_str(), "ringing"));
    for query in [String::new(), "?last_event_id=17-0".to_owned()] {
        let (mut fresh, resumed) = Events::try_open(format!("{of}{query}"), admin).await.expect("it opens");
        assert!(!resumed);
        assert_eq!(fresh.next().await.call(), (call.sid.as_str(), "ringing"), "the last word of what rings");
    }
    assert_eq!(rig.hook(&call.pop("Terminal", AGENT, 9)).await, 200);
    assert_eq!(again.next().await.call(), (call.sid.as_str(), "ended"));
    let mut fresh = Events::open(format!("{of}?last_event_id="), admin).await;
    let next = Call::new(3);
    assert_eq!(rig.hook(&next.pop("Dial", AGENT, 1)).await, 200);
    assert_eq!(fresh.next().await.call(), (next.sid.as_str(), "dialing"), "and nothing of what is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_popup_that_is_read_too_late_is_dropped_and_counted() {
    let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let lsq = LeadSquared::new("lsq-access", "lsq-secret", "orgkey");
    let lsq = Server::start(loopback, lsq, Faults::none()).expect("the LeadSquared sandbox starts");
    let capability = |name: &str| format!("https://telephony.example{}", lsq.with(|lsq| lsq.path(name)));
    let mut rig = Rig::new();
    rig.agent_email = Some(AVNISH.to_owned());
    rig.more = format!(
        "[[account.integration]]\nname = \"lsq\"\nconnector = \"leadsquared\"\nbase_url = \"{}\"\n\
         call_route_url = \"{}\"\nagent_popup_url = \"{}\"\ncall_log_url = \"{}\"\n",
        lsq.url(),
        capability("LeadRouteV2"),
        capability("AgentPopup"),
        capability("LogCallComplete")
    );
    rig.start();
    let in_crm = || lsq.with(|lsq| lsq.popups().len());
    let (seen, late) = (Call::new(1), Call::new(2));
    assert_eq!(rig.hook(&seen.pop("Dial", AGENT, 1)).await, 200);
    rig.until_async("it is told", async || agent(&rig, AVNISH).await["calls"][0]["state"] == "dialing").await;
    rig.until("the CRM is told", || (in_crm() == 1).then_some(())).await;
    assert!(rig.terminate());
    // A popup that came while nobody could read it, a minute ago; and the end of the first, likewise.
    let db = rusqlite::Connection::open(rig.path("patchbay.db")).expect("the database");
    for (id, from, to) in [(1, seen.sid.as_str(), late.sid.as_str()), (2, "EventType=Dial", "EventType=Terminal")] {
        let rows = db.execute(
            "INSERT INTO receipt (id, account, hook, received_ms, method, path, query, content_type, body)
             SELECT randomblob(16), account, hook, received_ms - 60000 - ?3, method, path, replace(query, ?1, ?2), content_type, body
             FROM receipt WHERE seq = 1",
            (from, to, id),
        );
        assert_eq!(rows.expect("a row"), 1);
    }
    drop(db);
    rig.start();
    let told = "patchbay_live_events_total{account=\"acme1\",outcome=\"told\"}";
    let dropped = "patchbay_live_events_total{account=\"acme1\",outcome=\"late\"}";
    rig.until_async("the end is told", async || metric(&rig, told).await == "1").await;
    assert_eq!(metric(&rig, dropped).await, "1");
    assert_eq!(agent(&rig, AVNISH).await["calls"], json!([]));
    let popups = "patchbay_popups_total{account=\"acme1\",integration=\"lsq\",outcome=\"dropped\"}";
    rig.until_async("the CRM's are counted, too", async || metric(&rig, popups).await == "2").await;
    assert_eq!(in_crm(), 1);
    let (status, _) = rig.get(&path(&format!("/calls/{}", late.sid))).await;
    assert_eq!(status, 200, "the call is known all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_what_it_was_opened_by() {
    let mut rig = started(QUICK);
    let (cookie, token) = signed_in(&rig, AVNISH).await;
    let of = rig.url(&path("/agents/me/events"));
    let mut by_token = Events::open(of.clone(), |request| request.bearer_auth(&token)).await;
    let mut by_cookie = Events::open(of, |request| request.header("cookie", &cookie)).await;
    assert_eq!(agent(&rig, AVNISH).await["streams"], 2);
    let (_, sessions) = send(&rig, Method::GET, "/api/v1/session", &cookie, "", json!({})).await;
    let (csrf, id) = (sessions["csrf"].as_str().expect("it"), token[4..].split('.').next().expect("an id"));
    let revoked = send(&rig, Method::DELETE, &format!("/api/v1/tokens/{id}"), &cookie, csrf, json!({})).await;
    assert_eq!(revoked.0, 204, "{revoked:?}");
    by_token.ended().await;
    rig.until_async("he has left there", async || agent(&rig, AVNISH).await["streams"] == 1).await;
    // The other one goes on, until he signs out.
    let call = Call::new(1);
    assert_eq!(rig.hook(&call.pop("Dial", AGENT, 1)).await, 200);
    assert_eq!(by_cookie.next().await.call(), (call.sid.as_str(), "dialing"));
    assert_eq!(send(&rig, Method::DELETE, "/api/v1/session", &cookie, csrf, json!({})).await.0, 204);
    by_cookie.ended().await;
    rig.until_async("he is gone", async || agent(&rig, AVNISH).await["present"] == false).await;

    let new = json!({ "number": "+919811112222", "email": "new@example.com" });
    let (status, made) = rig.post(&path("/users"), new).await;
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().expect("an id");
    let mut removed = Events::open(rig.url(&path(&format!("/agents/{id}/events"))), admin).await;
    let reply = rig.http.delete(rig.url(&path(&format!("/users/{id}")))).bearer_auth(ADMIN).send().await;
    assert_eq!(reply.expect("an answer").status(), 204);
    removed.ended().await;

    // A closed browser leaves, too; and a service that stops waits for no stream.
    drop(Events::open(rig.url(&path(&format!("/agents/{RAHIL}/events"))), admin).await);
    rig.until_async("he is gone", async || agent(&rig, RAHIL).await["present"] == false).await;
    let mut open = Events::open(rig.url(&path("/events")), admin).await;
    assert_eq!(open.next().await.call(), (call.sid.as_str(), "dialing"), "the call that still rings");
    assert!(rig.terminate());
    open.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_limited_for_each_and_in_all() {
    let rig = started(&format!("{QUICK}streams = 3\nstreams_per_agent = 2\n"));
    let of = |named: &str| rig.url(&path(&format!("/agents/{named}/events")));
    let first = Events::open(of(AVNISH), admin).await;
    let _second = Events::open(of(AGENT), admin).await;
    let refused = Events::try_open(of("+919711581199"), admin).await.err();
    assert_eq!(refused, Some((429, Some("15".to_owned()))));
    let _other = Events::open(of(RAHIL), admin).await;
    let refused = Events::try_open(of(RAHIL), admin).await.err();
    assert_eq!(refused, Some((503, Some("15".to_owned()))));
    assert_eq!(metric(&rig, "patchbay_event_streams").await, "3");
    drop(first);
    rig.until_async("there is room again", async || Events::try_open(of(AVNISH), admin).await.is_ok()).await;
}
