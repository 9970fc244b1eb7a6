//! Faults over a real socket, asked by a client that sees every byte, or their absence.

use std::{net::SocketAddr, time::Duration};

use base64::Engine as _;
use http::Method;
use patchbay_sandbox::{
    Fault, Faults, Mix, On, Server,
    exotel::{Exotel, RecordingPlan, SimulatedCall},
    freshdesk::{Freshdesk, Limits},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// Long enough for any answer on a busy machine; nothing waits it out.
const PATIENCE: Duration = Duration::from_secs(10);
const BRIEF: Duration = Duration::from_millis(60);

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    fn header(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}

struct Client {
    stream: TcpStream,
    authorization: String,
}

impl Client {
    async fn new(addr: SocketAddr) -> Self {
        Self::with_credentials(addr, "key:X").await
    }

    async fn with_credentials(addr: SocketAddr, credentials: &str) -> Self {
        let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
        let authorization = if credentials.is_empty() { String::new() } else { format!("Basic {encoded}") };
        Self { stream: TcpStream::connect(addr).await.expect("the server listens"), authorization }
    }

    async fn send(&mut self, method: &str, target: &str, body: Option<Value>) {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let mut text = format!("{method} {target} HTTP/1.1\r\nhost: crm.test\r\ncontent-length: {}\r\n", body.len());
        if !self.authorization.is_empty() {
            text.push_str(&format!("authorization: {}\r\n", self.authorization));
        }
        if !body.is_empty() {
            text.push_str("content-type: application/json\r\n");
        }
        self.stream.write_all(format!("{text}\r\n{body}").as_bytes()).await.expect("the request is taken");
    }

    /// The answer, or `None` if the connection ends without a byte.
    async fn receive(&mut self, method: &str) -> Option<Answer> {
        tokio::time::timeout(PATIENCE, self.read(method)).await.expect("an answer or an end")
    }

    async fn read(&mut self, method: &str) -> Option<Answer> {
        let mut bytes = Vec::new();
        let head_len = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await {
                Ok(0) | Err(_) => {
                    assert!(bytes.is_empty(), "half a head");
                    return None;
                }
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            }
        };
        let mut body = bytes.split_off(head_len);
        let head = String::from_utf8(bytes).expect("a head of text");
        let status = head[9..12].parse().expect("a status");
        let mut answer = Answer { status, head, body: Vec::new() };
        let len: usize = answer.header("content-length").map_or(0, |len| len.parse().expect("a length"));
        let missing = if method == "HEAD" { 0 } else { len - body.len() };
        let mut rest = vec![0; missing];
        self.stream.read_exact(&mut rest).await.expect("the whole body");
        body.extend(rest);
        answer.body = body;
        Some(answer)
    }

    async fn ask(&mut self, method: &str, target: &str, body: Option<Value>) -> Option<Answer> {
        self.send(method, target, body).await;
        self.receive(method).await
    }
}

fn contact() -> Option<Value> {
    Some(json!({"name": "Asha", "mobile": "+919876543210"}))
}

fn server(faults: Faults) -> Server<Freshdesk> {
    Server::start(ANYWHERE, Freshdesk::new("key"), faults).expect("a free port")
}

fn held(server: &Server<Freshdesk>) -> usize {
    server.with(|freshdesk| freshdesk.contacts().count())
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let server = server(Faults::none());
    let mut client = Client::new(server.addr()).await;
    assert_eq!(client.ask("POST", "/api/v2/contacts", contact()).await.unwrap().status, 201);
    let found = client.ask("GET", "/api/v2/contacts?mobile=%2B919876543210", None).await.unwrap();
    assert_eq!(found.json()[0]["name"], "Asha");
    let seen = server.requests();
    assert_eq!(server.request_count(), 2);
    assert_eq!(
        (&seen[0].method, seen[0].path.as_str(), seen[0].status),
        (&Method::POST, "/api/v2/contacts", Some(201))
    );
    assert_eq!((seen[1].status, seen[1].fault), (Some(200), None));
}

#[tokio::test]
async fn refusals_of_a_fault_look_like_the_services_own() {
    let server =
        server(Faults::script([Fault::Status(503), Fault::RateLimited { retry_after_s: 7 }, Fault::Status(401)]));
    let mut client = Client::new(server.addr()).await;
    let failed = client.ask("POST", "/api/v2/contacts", contact()).await.unwrap();
    assert_eq!((failed.status, failed.json()), (503, json!({"message": "Service Unavailable"})));
    let limited = client.ask("POST", "/api/v2/contacts", contact()).await.unwrap();
    assert_eq!((limited.status, limited.header("retry-after").as_deref()), (429, Some("7")));
    assert_eq!(limited.json(), json!({"message": "You have exceeded the limit of requests per minute"}));
    let unknown = client.ask("POST", "/api/v2/contacts", contact()).await.unwrap();
    assert_eq!((unknown.status, &unknown.json()["code"]), (401, &json!("invalid_credentials")));
    assert_eq!(held(&server), 0, "nothing was done");
}

#[tokio::test]
async fn a_reset_before_leaves_nothing_and_a_reset_after_leaves_the_record() {
    let server = server(Faults::none());
    for (fault, left) in [(Fault::ResetBefore, 0), (Fault::ResetAfter, 1)] {
        server.faults().push(On::exactly(Method::POST, "/api/v2/contacts"), fault);
        let mut client = Client::new(server.addr()).await;
        assert!(client.ask("POST", "/api/v2/contacts", contact()).await.is_none(), "{fault:?}: not a byte");
        assert_eq!(held(&server), left, "{fault:?}");
        let seen = server.requests().pop().unwrap();
        assert_eq!((seen.status, seen.fault), (None, Some(fault)));
    }
}

#[tokio::test]
async fn a_stall_holds_the_answer_back_and_not_the_deed() {
    let server = server(Faults::script([Fault::StallAfter(PATIENCE * 100)]));
    let mut client = Client::new(server.addr()).await;
    client.send("POST", "/api/v2/contacts", contact()).await;
    until(|| held(&server) == 1).await;
    assert_eq!(server.requests()[0].status, None, "not answered yet");
}

#[tokio::test]
async fn a_late_commit_happens_even_when_the_client_has_gone() {
    let server = server(Faults::script([Fault::LateCommit(BRIEF)]));
    let mut client = Client::new(server.addr()).await;
    client.send("POST", "/api/v2/contacts", contact()).await;
    until(|| server.request_count() == 1).await;
    assert_eq!(held(&server), 0, "not yet");
    drop(client);
    until(|| held(&server) == 1).await;

    server.faults().push(On::any(), Fault::LateCommit(BRIEF));
    let answer = Client::new(server.addr()).await.ask("POST", "/api/v2/contacts", contact()).await;
    assert_eq!(answer.unwrap().status, 201, "and who waits is answered");
}

#[tokio::test]
async fn a_black_hole_never_answers() {
    let server = server(Faults::script([Fault::BlackHole]));
    let mut client = Client::new(server.addr()).await;
    client.send("POST", "/api/v2/contacts", contact()).await;
    assert!(tokio::time::timeout(BRIEF, client.read("POST")).await.is_err());
    assert_eq!(held(&server), 0);
    assert_eq!(server.requests()[0].fault, Some(Fault::BlackHole));
}

#[tokio::test]
async fn a_slow_answer_comes_whole_in_the_end() {
    let server = server(Faults::script([Fault::Slow(BRIEF)]));
    let before = std::time::Instant::now();
    let mut client = Client::new(server.addr()).await;
    let answer = client.ask("POST", "/api/v2/contacts", contact()).await.unwrap();
    assert!(before.elapsed() >= BRIEF * 7 / 8);
    assert_eq!(answer.json()["name"], "Asha");
    assert_eq!(client.ask("GET", "/api/v2/contacts", None).await.unwrap().status, 200, "the connection lives on");
}

#[tokio::test]
async fn garbage_is_html_with_a_200() {
    let server = server(Faults::script([Fault::Garbage]));
    let answer = Client::new(server.addr()).await.ask("POST", "/api/v2/contacts", contact()).await.unwrap();
    assert_eq!((answer.status, answer.header("content-type").as_deref()), (200, Some("text/html; charset=utf-8")));
    assert_eq!(held(&server), 0);
}

#[tokio::test]
async fn an_outage_ends_when_it_is_lifted() {
    let server = server(Faults::down());
    assert!(Client::new(server.addr()).await.ask("GET", "/api/v2/contacts", None).await.is_none());
    let mut client = Client::new(server.addr()).await;
    assert_eq!(client.ask("GET", "/api/v2/contacts", None).await.unwrap().status, 503);
    server.faults().lift();
    assert_eq!(client.ask("GET", "/api/v2/contacts", None).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_mix_spares_what_it_does_not_hit() {
    let server = server(Faults::mix(Mix { seed: 1, per_mille: vec![(Fault::Status(500), 500)] }));
    let mut client = Client::new(server.addr()).await;
    for _ in 0..100 {
        client.ask("POST", "/api/v2/contacts", contact()).await.unwrap();
    }
    let seen = server.requests();
    let failed = seen.iter().filter(|seen| seen.status == Some(500)).count();
    assert!((30..70).contains(&failed), "{failed}");
    assert_eq!(held(&server), 100 - failed);
}

#[tokio::test]
async fn a_body_beyond_bounds_is_refused_in_the_services_form() {
    let server = server(Faults::none());
    let mut client = Client::new(server.addr()).await;
    let head = format!(
        "POST /api/v2/contacts HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-length: {}\r\n\r\n",
        client.authorization,
        64 * 1024 * 1024
    );
    // Told by its length alone; not a byte of it need be sent.
    client.stream.write_all(head.as_bytes()).await.unwrap();
    client.stream.write_all(&[b' '; 1024]).await.unwrap();
    let filler = vec![b' '; 1024 * 1024];
    for _ in 0..24 {
        if client.stream.write_all(&filler).await.is_err() {
            break;
        }
    }
    // What was not read of the body may turn the answer into a reset; what matters is that it was refused.
    until(|| server.requests().first().is_some_and(|seen| seen.status == Some(413))).await;
}

#[tokio::test]
async fn a_stopped_server_lets_go_of_port_and_connections() {
    let server = server(Faults::none());
    let addr = server.addr();
    let mut client = Client::new(addr).await;
    assert_eq!(client.ask("GET", "/api/v2/contacts", None).await.unwrap().status, 200);
    server.stop().await;
    assert!(TcpStream::connect(addr).await.is_err());
    assert!(client.receive("GET").await.is_none());
}

#[tokio::test]
async fn limits_are_told_in_headers() {
    let server = server(Faults::none());
    server.with(|freshdesk| {
        freshdesk.settings.limits = Limits { total: Some(2), decimals: true, ..Limits::none() };
    });
    let mut client = Client::new(server.addr()).await;
    let first = client.ask("GET", "/api/v2/agents/me", None).await.unwrap();
    assert_eq!(first.header("x-ratelimit-total").as_deref(), Some("2.0"));
    assert_eq!(first.header("x-ratelimit-remaining").as_deref(), Some("1.0"));
    assert_eq!(first.header("x-ratelimit-used-currentrequest").as_deref(), Some("1.0"));
    client.ask("GET", "/api/v2/agents/me", None).await.unwrap();
    let third = client.ask("GET", "/api/v2/agents/me", None).await.unwrap();
    assert_eq!(third.status, 429);
    let seconds: u64 = third.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
}

#[tokio::test]
async fn a_recording_is_fetched_through_a_redirect_without_credentials() {
    let mut exotel = Exotel::new("acme1", "key", "token");
    let begun = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(10);
    let mut call = SimulatedCall::new("c1", "09876543210", "08030752400", begun);
    call.ended_at = Some(begun + jiff::SignedDuration::from_mins(1));
    call.recording = Some(RecordingPlan { available_after_end: Duration::ZERO, bytes: "0123456789".into() });
    exotel.add_call(call);
    let server = Server::start(ANYWHERE, exotel, Faults::none()).unwrap();
    let url = server.url();
    server.with(|exotel| exotel.set_public_url(&url));
    let path = |url: &str| url.strip_prefix(&server.url()).expect("on this server").to_owned();

    let mut trusted = Client::with_credentials(server.addr(), "key:token").await;
    let call = trusted.ask("GET", "/v1/Accounts/acme1/Calls/c1.json", None).await.unwrap().json();
    let recording = path(call["Call"]["RecordingUrl"].as_str().unwrap());
    let whole = trusted.ask("GET", &recording, None).await.unwrap();
    assert_eq!((whole.status, whole.body.as_slice()), (200, b"0123456789".as_slice()));
    let head = trusted.ask("HEAD", &recording, None).await.unwrap();
    assert_eq!((head.status, head.header("content-length").as_deref()), (200, Some("10")));

    server.with(|exotel| exotel.settings.signed_recordings = true);
    let redirect = trusted.ask("GET", &recording, None).await.unwrap();
    assert_eq!(redirect.status, 302);
    let signed = path(&redirect.header("location").unwrap());
    assert_eq!(trusted.ask("GET", &signed, None).await.unwrap().status, 400, "credentials must not go along");
    let mut anonymous = Client::with_credentials(server.addr(), "").await;
    assert_eq!(anonymous.ask("GET", &recording, None).await.unwrap().status, 401);
    assert_eq!(anonymous.ask("GET", &signed, None).await.unwrap().body, b"0123456789");
    assert_eq!(anonymous.ask("GET", "/signed/0", None).await.unwrap().status, 403);
}

/// Waits for what another task is about to do.
async fn until(mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    });
    waited.await.expect("it happens in time");
}
