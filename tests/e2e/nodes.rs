//! Two nodes on one PostgreSQL: callbacks go to either, one is killed at any moment, the database goes away and comes
//! back. What was acknowledged stands in each CRM exactly once.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use patchbay_sandbox::{Crm, Faults, Server, freshdesk::Freshdesk, zoho_desk::ZohoDesk};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    context::support::{ChaosProxy, RedisServer},
    live::Events,
    rig::{ADMIN, AGENT, Call, FD_KEY, KEY, PATIENCE, Rig, SID, TOKEN},
};

#[path = "../support/postgres.rs"]
mod fixture;

use fixture::{PASSWORD, Postgres};

const DESK_SECRET: &str = "zd-secret-55e0a1";
const DESK_REFRESH: &str = "zd-refresh-9b41c7";

/// One `patchbay serve`.
struct Node {
    child: Child,
    addr: SocketAddr,
}

impl Drop for Node {
    /// SIGKILL.
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Freshdesk by key, a Zoho Desk by rotating tokens, and two nodes between Exotel and them.
struct Nodes {
    rig: Rig,
    desk: Server<ZohoDesk>,
    nodes: [Option<Node>; 2],
    logs: Arc<Mutex<Vec<String>>>,
    /// Counts callbacks, so that they go to either node by turns.
    turn: AtomicU64,
}

impl Nodes {
    /// Nobody is where Redis should be: what is known of calls is no node's truth.
    async fn start(server: &Postgres) -> Self {
        Self::sharing(server, "redis://127.0.0.1:1/0".to_owned()).await
    }

    async fn sharing(server: &Postgres, context: String) -> Self {
        let mut rig = Rig::new();
        let mut sandbox = ZohoDesk::new("desk-id", DESK_SECRET, DESK_REFRESH);
        // Of two refreshes with one token the second is refused: had both nodes asked at once, the lane would be held.
        sandbox.grants.rules.rotates = true;
        sandbox.grants.rules.at_most = None;
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let desk = Server::start(loopback, sandbox, Faults::none()).expect("the Zoho Desk sandbox starts");
        rig.more = format!(
            r#"
            [[account.integration]]
            connector = "zoho_desk"
            base_url = "{url}"
            accounts_url = "{url}"
            client_id = "desk-id"
            client_secret = "{DESK_SECRET}"
            refresh_token = "{DESK_REFRESH}"
            org_id = "{org}"
            department_id = "{department}"
            quota = 1000000
            "#,
            url = desk.url(),
            org = ZohoDesk::ORG_ID,
            department = ZohoDesk::DEPARTMENT_ID,
        );
        let key = rig.path("key");
        std::fs::write(&key, "5e".repeat(32)).expect("a key");
        for (name, value) in [
            ("PATCHBAY__STORE__URL", server.database().await),
            ("PATCHBAY__STORE__LEASE", "2s".to_owned()),
            ("PATCHBAY__CONTEXT__URL", context),
            ("PATCHBAY__SERVER__MASTER_KEY_FILE", key.display().to_string()),
            ("PATCHBAY__SERVER__PUBLIC_URL", "https://calls.example.com".to_owned()),
        ] {
            rig.env.push((name.to_owned(), value));
        }
        let mut nodes = Self { rig, desk, nodes: [None, None], logs: Arc::default(), turn: AtomicU64::new(0) };
        nodes.revive(0);
        nodes.revive(1);
        nodes
    }

    /// Starts a node and waits until it says that it is ready.
    fn revive(&mut self, which: usize) {
        let config = self.rig.config();
        let mut command = self.rig.command(&["serve", "--config", &config.display().to_string()]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let stderr = child.stderr.take().expect("its stderr");
        let logs = Arc::clone(&self.logs);
        let (tell, ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { return };
                let parsed: Value = serde_json::from_str(&line).unwrap_or_default();
                if let (Some("ready"), Some(addr)) = (parsed["message"].as_str(), parsed["addr"].as_str()) {
                    // Nobody listens any more after the first line.
                    let _ = tell.send(addr.parse().expect("an address"));
                }
                logs.lock().expect("the logs").push(format!("{which} {line}"));
            }
        });
        let addr = ready.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no node:\n{}", self.tail()));
        self.nodes[which] = Some(Node { child, addr });
    }

    fn tail(&self) -> String {
        let logs = self.logs.lock().expect("the logs");
        logs[logs.len().saturating_sub(60)..].join("\n")
    }

    fn url(&self, which: usize, path: &str) -> Option<String> {
        self.nodes[which].as_ref().map(|node| format!("http://{}{path}", node.addr))
    }

    /// A callback to one node. `None`: it is dead, or died over it.
    async fn hook(&self, which: usize, query: &str) -> Option<u16> {
        let url = self.url(which, &format!("/v2/accounts/{SID}/call-events?{query}"))?;
        let sent = self.rig.http.get(url).basic_auth(KEY, Some(TOKEN)).send().await;
        Some(sent.ok()?.status().as_u16())
    }

    /// The callbacks of a call, each until one of the nodes has acknowledged it.
    async fn fire(&self, call: &Call, answers: &AtomicU64) {
        for query in [call.pop("Dial", AGENT, 2), call.pop("Answered", AGENT, 9), call.answered(), call.answered()] {
            loop {
                let which = usize::try_from(self.turn.fetch_add(1, Ordering::Relaxed) % 2).expect("one of two");
                match self.hook(which, &query).await {
                    Some(200) => break,
                    Some(status) => assert_eq!(status, 503),
                    None => tokio::task::yield_now().await,
                }
            }
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn get(&self, which: usize, path: &str) -> (u16, Value) {
        let url = self.url(which, path).expect("it lives");
        let reply = self.rig.http.get(url).bearer_auth(ADMIN).send().await.expect("an answer");
        let status = reply.status().as_u16();
        (status, serde_json::from_slice(&reply.bytes().await.expect("a body")).unwrap_or_default())
    }

    fn desk_records(&self, call_sid: &str) -> usize {
        let records = self.desk.with(|desk| Crm::records(desk));
        records.iter().filter(|record| record.text.contains(call_sid)).count()
    }

    /// Waits until each call stands in each CRM and nothing is to be delivered any more.
    async fn settled(&self, calls: &[Call]) {
        for call in calls {
            let there = || {
                let desk = self.rig.freshdesk.with(|desk| {
                    desk.tickets()
                        .any(|one| one.description.contains(&call.sid) && !desk.conversations(one.id).is_empty())
                });
                (desk && self.desk_records(&call.sid) > 0).then_some(())
            };
            let began = Instant::now();
            while there().is_none() {
                assert!(began.elapsed() < PATIENCE, "{} is not in both CRMs\n{}", call.sid, self.tail());
                tokio::task::yield_now().await;
            }
        }
        let quiet = async || {
            let path = format!("/api/v1/accounts/{SID}/deliveries?state=pending,inflight");
            let (status, listed) = self.get(0, &path).await;
            status == 200 && listed["deliveries"].as_array().is_some_and(Vec::is_empty)
        };
        self.rig.until_async("nothing is left to deliver", quiet).await;
    }

    /// Each call one record in each CRM, each caller one contact.
    fn verify(&self, calls: &[Call]) {
        for call in calls {
            assert_eq!(self.rig.tickets(&call.sid).len(), 1, "{}\n{}", call.sid, self.tail());
            let ticket = self.rig.tickets(&call.sid).remove(0);
            assert_eq!(self.rig.notes(ticket.id).len(), 1, "{}", call.sid);
            assert_eq!(self.desk_records(&call.sid), 1, "{}\n{}", call.sid, self.tail());
        }
        let callers: BTreeSet<&str> = calls.iter().map(|call| &call.from[1..]).collect();
        for contacts in
            [self.rig.freshdesk.with(|desk| Crm::contacts(desk)), self.desk.with(|desk| Crm::contacts(desk))]
        {
            for caller in &callers {
                let his =
                    |number: &String| number.chars().filter(char::is_ascii_digit).collect::<String>().ends_with(caller);
                let count = contacts.iter().filter(|contact| contact.numbers.iter().any(his)).count();
                assert_eq!(count, 1, "contacts of one caller");
            }
        }
        for line in self.logs.lock().expect("the logs").iter() {
            for secret in [KEY, TOKEN, FD_KEY, ADMIN, DESK_SECRET, DESK_REFRESH, PASSWORD, "9876543", "9711581199"] {
                assert!(!line.contains(secret), "a secret is in a log line: {line}");
            }
        }
    }

    /// Requests for access tokens that were carried out, and those that were not.
    fn tokens(&self) -> (usize, usize) {
        let asked = self.desk.requests();
        let asked: Vec<_> = asked.iter().filter(|seen| seen.path.ends_with("/oauth/v2/token")).collect();
        let given = asked.iter().filter(|seen| seen.status == Some(200)).count();
        (given, asked.len() - given)
    }
}

fn calls(from: u32, count: u32) -> Vec<Call> {
    // Fewer callers than calls, so that contacts are contended for.
    let call = |n: u32| Call { from: format!("098765{:05}", n % 7), ..Call::new(n) };
    (from..from + count).map(call).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn either_of_two_nodes_may_be_killed_at_any_time() {
    const ROUNDS: u32 = 5;
    const CALLS: u32 = 6;
    let Some(server) = Postgres::start() else { return };
    let mut nodes = Nodes::start(&server).await;
    let answers = AtomicU64::new(0);
    let mut all = calls(0, 1);
    nodes.rig.simulate(&all[0]);
    nodes.fire(&all[0], &answers).await;
    nodes.settled(&all).await;
    assert_eq!(nodes.tokens(), (1, 0));
    for round in 0..ROUNDS {
        let fresh = calls(1 + round * CALLS, CALLS);
        fresh.iter().for_each(|call| nodes.rig.simulate(call));
        // After another number of answers each time, of the 24 there are to be; each node by turns.
        let (victim, after) = (round as usize % 2, answers.load(Ordering::Relaxed) + 3 + u64::from(round) * 5);
        let fired = async { futures_util::future::join_all(fresh.iter().map(|call| nodes.fire(call, &answers))).await };
        {
            let mut fired = std::pin::pin!(fired);
            let due = async {
                while answers.load(Ordering::Relaxed) < after {
                    tokio::task::yield_now().await;
                }
            };
            let mut due = std::pin::pin!(due);
            let early = futures_util::future::select(fired.as_mut(), due.as_mut()).await;
            let early = matches!(early, futures_util::future::Either::Left(_));
            let pid = nodes.nodes[victim].as_ref().expect("it lives").child.id().to_string();
            let killed = std::process::Command::new("kill").args(["-KILL", &pid]).status().expect("kill runs");
            assert!(killed.success());
            if !early {
                fired.await;
            }
        }
        all.extend(fresh);
        nodes.nodes[victim] = None;
        if round % 2 == 0 {
            // The other one finishes all of it alone.
            let living = 1 - victim;
            nodes.nodes.swap(0, living);
            nodes.settled(&all).await;
            nodes.nodes.swap(0, living);
        }
        nodes.revive(victim);
    }
    nodes.settled(&all).await;
    nodes.verify(&all);
    assert_eq!(nodes.tokens(), (1, 0), "a new process finds the token that is alive");

    // Its time is over, and both nodes ask for whom to dial, who is the contact's owner in the CRM.
    assert!(nodes.desk.with(Crm::expire_tokens));
    let known = &all[0].from;
    let asked = (0..20).map(|n| {
        let path = format!("/v2/accounts/{SID}/dialwhom?CallSid={}&CallFrom={known}", Call::new(900 + n).sid);
        let url = nodes.url(n as usize % 2, &path).expect("it lives");
        nodes.rig.http.get(url).basic_auth(KEY, Some(TOKEN)).send()
    });
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.expect("an answer").status(), 200);
    }
    let last = calls(500, 1);
    nodes.rig.simulate(&last[0]);
    nodes.fire(&last[0], &answers).await;
    nodes.settled(&last).await;
    assert_eq!(nodes.tokens(), (2, 0), "one node renews, the other takes what it got");
}

/// What is changed on one node is in effect there when it is answered, and on the other a moment later; whichever reads the
/// journal, no callback of a new account is set aside.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_made_on_one_node_is_there_on_the_other() {
    const NEW: &str = "acme9";
    const DESK_KEY: &str = "desk-key-of-acme9-19f";
    let Some(server) = Postgres::start() else { return };
    let nodes = Nodes::start(&server).await;
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let desk = Server::start(loopback, Freshdesk::new(DESK_KEY), Faults::none()).expect("the sandbox starts");
    let send = async |which: usize, method: Method, path: &str, body: Value| {
        let url = nodes.url(which, &format!("/api/v1/accounts{path}")).expect("it lives");
        let request = nodes.rig.http.request(method, url).bearer_auth(ADMIN).body(body.to_string());
        let reply = request.send().await.expect("an answer");
        (reply.status().as_u16(), reply.text().await.expect("a body"))
    };
    let hook = async |which: usize, query: &str| {
        let url = nodes.url(which, &format!("/v2/accounts/{NEW}/call-events?{query}")).expect("it lives");
        let sent = nodes.rig.http.get(url).basic_auth(KEY, Some(TOKEN)).send().await;
        sent.expect("an answer").status().as_u16()
    };
    let tickets =
        |call: &Call| desk.with(|desk| desk.tickets().filter(|one| one.description.contains(&call.sid)).count());
    let account = json!({ "sid": NEW, "api_url": nodes.rig.exotel.url(), "api_key": KEY, "api_token": TOKEN });
    let integration =
        json!({ "connector": "freshdesk", "base_url": desk.url(), "api_key": DESK_KEY, "quota": 1_000_000 });
    let all: Vec<Call> = (0..6).map(|n| Call { talk_s: 0, ..Call::new(n) }).collect();

    assert_eq!(send(0, Method::POST, "", account).await.0, 201);
    let made = send(0, Method::POST, &format!("/{NEW}/integrations"), integration).await;
    assert_eq!(made.0, 201, "{}", made.1);
    // At once, whichever of the two reads the journal.
    assert_eq!(hook(0, &all[0].missed()).await, 200);
    nodes.rig.until("a ticket", || (tickets(&all[0]) == 1).then_some(())).await;
    nodes.rig.until_async("the other node lets it in", async || hook(1, &all[1].missed()).await == 200).await;
    nodes.rig.until("a ticket by the other", || (tickets(&all[1]) == 1).then_some(())).await;
    let aside = send(0, Method::GET, &format!("/{NEW}/receipts"), Value::Null).await.1;
    assert_eq!(aside, r#"{"receipts":[]}"#, "nothing was set aside");

    // The key is exchanged in the CRM, and told to one node.
    desk.with(|desk| desk.set_key("desk-key-next"));
    assert_eq!(hook(0, &all[2].missed()).await, 200);
    let rotate = format!("/{NEW}/integrations/freshdesk/rotate");
    let rotated = send(1, Method::POST, &rotate, json!({ "api_key": "desk-key-next" })).await;
    assert_eq!(rotated.0, 200, "{}", rotated.1);
    assert_eq!(hook(1, &all[3].missed()).await, 200);
    for call in &all[2..4] {
        nodes.rig.until("a ticket by the new key", || (tickets(call) > 0).then_some(())).await;
    }
    let gone = send(1, Method::DELETE, &format!("/{NEW}"), Value::Null).await;
    assert_eq!(gone.0, 204, "{}", gone.1);
    assert_eq!(hook(1, &all[4].missed()).await, 401);
    nodes.rig.until_async("and the other", async || hook(0, &all[5].missed()).await == 401).await;
    for call in &all[..4] {
        assert_eq!(tickets(call), 1, "{}\n{}", call.sid, nodes.tail());
    }
    for line in nodes.logs.lock().expect("the logs").iter() {
        assert!(!line.contains(DESK_KEY) && !line.contains("desk-key-next"), "a secret is in a log line: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_and_comes_back_loses_nothing() {
    let Some(mut server) = Postgres::start_own() else { return };
    let nodes = Nodes::start(&server).await;
    let answers = AtomicU64::new(0);
    let mut all = calls(0, 4);
    all.iter().for_each(|call| nodes.rig.simulate(call));
    futures_util::future::join_all(all.iter().map(|call| nodes.fire(call, &answers))).await;
    // Whatever of it is under way just now.
    server.word("stop");
    let late = calls(10, 2);
    late.iter().for_each(|call| nodes.rig.simulate(call));
    for (which, call) in late.iter().enumerate() {
        assert_eq!(nodes.hook(which, &call.answered()).await, Some(503));
        let (status, body) = nodes.get(which, "/readyz").await;
        assert_eq!((status, body["store"]["ok"].as_bool()), (503, Some(false)), "{body}");
        assert!(!body.to_string().contains(PASSWORD), "{body}");
    }
    let config = nodes.rig.config();
    let check = |rig: &Rig| {
        let output = rig.command(&["check", "--config", &config.display().to_string()]).output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let told = check(&nodes.rig);
    assert!(told.contains("FAIL  postgres://127.0.0.1") && !told.contains(PASSWORD), "{told}");
    server.word("start");
    for (which, call) in late.iter().enumerate() {
        let again = async || nodes.hook(which, &call.answered()).await == Some(200);
        nodes.rig.until_async("callbacks are taken again", again).await;
    }
    all.extend(late);
    nodes.settled(&all).await;
    nodes.verify(&all);
    let told = check(&nodes.rig);
    assert!(told.contains("ok    postgres://127.0.0.1") && told.contains("zoho_desk: Zoho Desk"), "{told}");
    assert_eq!(nodes.tokens().1, 0, "beside nodes that run, by their token: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_is_told_the_streams_of_both_tell() {
    let Some(server) = Postgres::start() else { return };
    let redis = RedisServer::start();
    let proxy = ChaosProxy::before(redis.addr()).await;
    let nodes = Nodes::sharing(&server, proxy.url()).await;
    let shared = async |which: usize| nodes.get(which, "/readyz").await.1["context"]["ok"] == true;
    nodes.rig.until_async("the context is shared", async || shared(0).await && shared(1).await).await;
    let agent = format!("/api/v1/accounts/{SID}/agents/{AGENT}");
    let open = async |which: usize| {
        let url = nodes.url(which, &format!("{agent}/events")).expect("it lives");
        Events::open(url, |request| request.bearer_auth(ADMIN)).await
    };
    let mut streams = [open(0).await, open(1).await];
    for (which, call) in calls(0, 2).iter().enumerate() {
        assert_eq!(nodes.hook(which, &call.pop("Dial", AGENT, 2)).await, Some(200));
        let [one, other] = [streams[0].next().await, streams[1].next().await];
        assert_eq!(one.call(), (call.sid.as_str(), "dialing"));
        assert_eq!(one, other, "the same under the same id");
    }
    // Each node knows that he is at the other as well, and what rings.
    let (status, shown) = nodes.get(1, &agent).await;
    let shown = &shown["agents"][0];
    assert_eq!(
        (status, &shown["streams"], shown["calls"].as_array().map(Vec::len)),
        (200, &2.into(), Some(2)),
        "{shown}"
    );

    // Without Redis the node that reads the journal tells its own; the other hears of it when Redis is back.
    proxy.refuse();
    nodes.rig.until_async("it is away", async || !shared(0).await && !shared(1).await).await;
    let late = &calls(10, 1)[0];
    assert_eq!(nodes.hook(0, &late.pop("Dial", AGENT, 2)).await, Some(200));
    let [one, other] = &mut streams;
    let (heard, waits) = match futures_util::future::select(Box::pin(one.next()), Box::pin(other.next())).await {
        futures_util::future::Either::Left((heard, waits)) | futures_util::future::Either::Right((heard, waits)) => {
            (heard, waits)
        }
    };
    assert_eq!(heard.call(), (late.sid.as_str(), "dialing"));
    proxy.heal();
    assert_eq!(waits.await.call(), (late.sid.as_str(), "dialing"));
    drop(nodes);
}
