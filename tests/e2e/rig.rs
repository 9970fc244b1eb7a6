//! The rig: starts the real binary against sandboxes, sends callbacks as Exotel does, and looks at what came of them. It is
//! the one way to it for all tests, so it is long.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::{Timestamp, ToSpan, tz::Offset};
use patchbay_sandbox::{
    Faults, Server,
    exotel::{Course, Exotel, RecordingPlan, SimulatedCall},
    freshdesk::{Freshdesk, Ticket},
};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const SID: &str = "acme1";
pub(crate) const KEY: &str = "exo-key-5f3c9a";
pub(crate) const TOKEN: &str = "exo-token-81d2bb";
pub(crate) const FD_KEY: &str = "fd-key-77ab01c2";
pub(crate) const ADMIN: &str = "admin-token-0123456789abcdef";
pub(crate) const AGENT: &str = "09711581199";
pub(crate) const AGENT_ID: u64 = 81_007_555_518;
pub(crate) const AGENT2: &str = "09945476362";
pub(crate) const AGENT2_ID: u64 = 81_025_450_493;
pub(crate) const EXOPHONE: &str = "08047494574";
/// How Exotel is asked, unless a test says otherwise.
const ENQUIRY: &str = r#"[enquiry]
            schedule = ["200ms", "400ms", "800ms", "1s", "1s", "1s"]
            per_minute = 100000"#;
/// How long anything may take before a test says that it does not happen. Generous: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Rig {
    pub(crate) freshdesk: Server<Freshdesk>,
    pub(crate) exotel: Server<Exotel>,
    pub(crate) http: reqwest::Client,
    dir: TempDir,
    /// Behind a lock, so that a test can look whether it is dead while it fires at it.
    child: Mutex<Option<Child>>,
    addr: Option<SocketAddr>,
    logs: Arc<Mutex<Vec<String>>>,
    /// TOML put at the end of the file: more sections.
    pub(crate) extra: String,
    /// TOML put into `[[account]]`.
    pub(crate) account: String,
    /// Of the integration.
    pub(crate) name: String,
    /// TOML put into `[[account.integration]]`.
    pub(crate) integration: String,
    /// TOML after the first integration: more of them.
    pub(crate) more: String,
    /// Of the first agent.
    pub(crate) agent_email: Option<String>,
    pub(crate) env: Vec<(String, String)>,
    /// A configuration in place of the rig's own; then the environment says what has to be otherwise.
    pub(crate) whole: Option<String>,
    /// What the binary is run by: a program that becomes it.
    pub(crate) by: Vec<&'static str>,
}

impl Rig {
    /// Sandboxes without a service.
    pub(crate) fn new() -> Self {
        // A second test in this process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut desk = Freshdesk::new(FD_KEY);
        desk.add_agent("Avnish Gupta", "avnish@example.com", AGENT_ID);
        desk.add_agent("Rahil Mohammed", "rahil@example.com", AGENT2_ID);
        let freshdesk = Server::start(loopback, desk, Faults::none()).expect("the Freshdesk sandbox starts");
        let exotel = Exotel::new(SID, KEY, TOKEN);
        let exotel = Server::start(loopback, exotel, Faults::none()).expect("the simulated Exotel starts");
        let url = exotel.url();
        exotel.with(|exotel| exotel.set_public_url(url));
        Self {
            freshdesk,
            exotel,
            http: reqwest::Client::builder().timeout(PATIENCE).build().expect("an HTTP client"),
            dir: tempfile::tempdir().expect("a directory"),
            child: Mutex::default(),
            addr: None,
            logs: Arc::default(),
            extra: ENQUIRY.to_owned(),
            account: String::new(),
            name: "support".to_owned(),
            integration: "assign_tickets = true".to_owned(),
            more: String::new(),
            agent_email: None,
            env: Vec::new(),
            whole: None,
            by: Vec::new(),
        }
    }

    /// Sandboxes and a running service.
    pub(crate) fn started() -> Self {
        let mut rig = Self::new();
        rig.start();
        rig
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The configuration as a file; every run of one rig has the same store and, once known, the same port.
    pub(crate) fn config(&self) -> PathBuf {
        let listen = self.listen();
        let text = format!(
            r#"
            [server]
            listen = "{listen}"
            admin_token = "{ADMIN}"
            drain_timeout = "5s"
            [store]
            url = "sqlite:{db}"
            [log]
            format = "json"
            level = "info,patchbay=debug"
            [delivery]
            retry = ["100ms", "200ms", "400ms"]
            ambiguous_wait = "1500ms"
            request_timeout = "1s"
            breaker_probe = ["100ms", "200ms"]
            held_probe = "300ms"
            limit_wait = "1s"
            {extra}
            [[account]]
            sid = "{SID}"
            api_url = "{exotel}"
            api_key = "${{EXOTEL_KEY}}"
            api_token = "${{EXOTEL_TOKEN}}"
            {account}
            [[account.integration]]
            connector = "freshdesk"
            name = "{name}"
            base_url = "{freshdesk}"
            api_key = "${{FRESHDESK_KEY}}"
            quota = 1000000
            {integration}
            {more}
            [[account.agent]]
            number = "+919711581199"
            {email}
            crm_user = {{ {name} = "{AGENT_ID}" }}
            [[account.agent]]
            number = "{AGENT2}"
            email = "rahil@example.com"
            "#,
            db = self.path("patchbay.db").display(),
            exotel = self.exotel.url(),
            freshdesk = self.freshdesk.url(),
            extra = self.extra,
            account = self.account,
            name = self.name,
            integration = self.integration,
            more = self.more,
            email = self.agent_email.as_ref().map(|email| format!("email = {email:?}")).unwrap_or_default(),
        );
        let path = self.path("patchbay.toml");
        std::fs::write(&path, self.whole.as_ref().unwrap_or(&text)).expect("the configuration is written");
        path
    }

    /// Any port at first, and the same from then on.
    fn listen(&self) -> String {
        self.addr.map_or_else(|| "127.0.0.1:0".to_owned(), |addr| addr.to_string())
    }

    /// `patchbay …` with the rig's environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut words = self.by.iter().copied().chain([env!("CARGO_BIN_EXE_patchbay")]);
        let mut command = Command::new(words.next().expect("the binary at least"));
        command
            .args(words)
            .args(args)
            .current_dir(self.dir.path())
            .env("EXOTEL_KEY", KEY)
            .env("EXOTEL_TOKEN", TOKEN)
            .env("FRESHDESK_KEY", FD_KEY)
            .envs(self.whole.is_some().then(|| ("PATCHBAY__SERVER__LISTEN", self.listen())))
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the service and waits until it says that it is ready.
    pub(crate) fn start(&mut self) {
        assert!(self.try_start(), "the service does not start:\n{}", self.logs().join("\n"));
    }

    /// The same; `false` if the process ended before it was ready.
    pub(crate) fn try_start(&mut self) -> bool {
        assert!(self.child.get_mut().expect("the child").is_none(), "it is running");
        let config = self.config();
        let mut child = self
            .command(&["serve", "--config", &config.display().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("its stderr");
        let logs = Arc::clone(&self.logs);
        let (tell, ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { return };
                let parsed: Option<Value> = serde_json::from_str(&line).ok();
                if let Some(addr) = parsed
                    .filter(|line| line["message"] == "ready")
                    .and_then(|line| line["addr"].as_str()?.parse().ok())
                {
                    // Nobody listens any more after the first line.
                    let _ = tell.send(addr);
                }
                logs.lock().expect("the logs").push(line);
            }
        });
        *self.child.get_mut().expect("the child") = Some(child);
        match ready.recv_timeout(PATIENCE) {
            Ok(addr) => {
                self.addr = Some(addr);
                true
            }
            Err(_) => {
                self.kill();
                false
            }
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut child) = child {
            // It may have died already: that is what the crash tests want.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The service's.
    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().expect("the child").as_ref().expect("it runs").id()
    }

    /// Whether the process has ended.
    pub(crate) fn dead(&self) -> bool {
        let mut child = self.child.lock().expect("the child");
        child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// SIGTERM; returns whether it ended by itself, and well.
    pub(crate) fn terminate(&mut self) -> bool {
        let Some(mut child) = self.child.get_mut().expect("the child").take() else { return false };
        let pid = child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        let began = Instant::now();
        loop {
            match child.try_wait().expect("the process can be asked") {
                Some(status) => return status.success(),
                None if began.elapsed() > PATIENCE => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return false;
                }
                None => std::thread::yield_now(),
            }
        }
    }

    pub(crate) fn logs(&self) -> Vec<String> {
        self.logs.lock().expect("the logs").clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr.expect("the service was started"))
    }

    /// A callback by GET with the account's credential.
    pub(crate) async fn hook(&self, query: &str) -> u16 {
        self.try_hook(query).await.expect("the service answers")
    }

    pub(crate) async fn try_hook(&self, query: &str) -> Result<u16, reqwest::Error> {
        let url = self.url(&format!("/v2/accounts/{SID}/call-events?{query}"));
        Ok(self.http.get(url).basic_auth(KEY, Some(TOKEN)).send().await?.status().as_u16())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let reply = self.http.get(self.url(path)).bearer_auth(ADMIN).send().await.expect("the API answers");
        let status = reply.status().as_u16();
        (status, serde_json::from_slice(&reply.bytes().await.expect("a body")).unwrap_or_default())
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let request = self.http.post(self.url(path)).bearer_auth(ADMIN).body(body.to_string());
        let reply = request.send().await.expect("the API answers");
        let status = reply.status().as_u16();
        (status, serde_json::from_slice(&reply.bytes().await.expect("a body")).unwrap_or_default())
    }

    /// `/api/v1/accounts/{sid}` + path.
    pub(crate) async fn account(&self, path: &str) -> Value {
        let (status, body) = self.get(&format!("/api/v1/accounts/{SID}{path}")).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Tickets that are about this call.
    pub(crate) fn tickets(&self, call_sid: &str) -> Vec<Ticket> {
        self.freshdesk.with(|desk| {
            desk.tickets().filter(|ticket| !ticket.deleted && ticket.description.contains(call_sid)).cloned().collect()
        })
    }

    /// Notes on a ticket, as text with tags.
    pub(crate) fn notes(&self, ticket: u64) -> Vec<String> {
        self.freshdesk.with(|desk| desk.conversations(ticket).iter().map(|note| note.body.clone()).collect())
    }

    /// The one ticket of a call, once it is there.
    pub(crate) async fn ticket(&self, call_sid: &str) -> Ticket {
        self.until(&format!("a ticket of {call_sid}"), || self.tickets(call_sid).into_iter().next()).await
    }

    /// The one note of a call's ticket, once it is there.
    pub(crate) async fn note(&self, call_sid: &str) -> String {
        let ticket = self.ticket(call_sid).await;
        self.until(&format!("a note on ticket {}", ticket.id), || self.notes(ticket.id).into_iter().next()).await
    }

    /// Waits for something to become true.
    pub(crate) async fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "never: {what}\n{}", self.tail());
            tick.tick().await;
        }
    }

    /// Waits for something that has to be asked for to become true.
    pub(crate) async fn until_async(&self, what: &str, mut look: impl AsyncFnMut() -> bool) {
        let began = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while !look().await {
            assert!(began.elapsed() < PATIENCE, "never: {what}\n{}", self.tail());
            tick.tick().await;
        }
    }

    /// Waits for an answer of the API to become what is wanted.
    pub(crate) async fn until_api<T>(&self, path: &str, mut look: impl FnMut(&Value) -> Option<T>) -> T {
        let began = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            let answer = self.account(path).await;
            if let Some(found) = look(&answer) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "never at {path}: {answer:#}\n{}", self.tail());
            tick.tick().await;
        }
    }

    /// Calls that Exotel places are taken at once, and over a second later; its list has their CustomField.
    pub(crate) fn calls_are_short(&self) {
        self.exotel.with(|exotel| {
            exotel.settings.custom_field_listed = true;
            exotel.settings.course = Course {
                first_rings: Duration::ZERO,
                second_rings: Duration::ZERO,
                talks: Duration::from_secs(1),
                ..Default::default()
            };
        });
    }

    /// Waits until nothing is to be delivered and nothing to be read any more.
    pub(crate) async fn settled(&self) {
        self.until_api("/deliveries?state=pending,inflight", |answer| {
            answer["deliveries"].as_array().filter(|rows| rows.is_empty()).map(|_| ())
        })
        .await;
    }

    fn tail(&self) -> String {
        let logs = self.logs();
        logs[logs.len().saturating_sub(25)..].join("\n")
    }

    /// Tells the simulated Exotel of a call.
    pub(crate) fn simulate(&self, call: &Call) {
        let mut simulated = SimulatedCall::new(&call.sid, &call.from, EXOPHONE, call.started_at);
        simulated.status = if call.talk_s > 0 { "completed" } else { "no-answer" }.to_owned();
        simulated.ended_at = Some(call.started_at + Duration::from_secs(27));
        simulated.facts_after_end = Duration::ZERO;
        simulated.talk_seconds = call.talk_s;
        if call.talk_s > 0 {
            simulated.recording =
                Some(RecordingPlan { available_after_end: call.recording_after, bytes: recording_bytes().into() });
        }
        self.exotel.with(|exotel| exotel.add_call(simulated));
    }
}

impl Rig {
    /// Tells the simulated Exotel of a call that no agent took and that left a recording.
    pub(crate) fn simulate_voicemail(&self, call: &Call) {
        let mut simulated = SimulatedCall::new(&call.sid, &call.from, EXOPHONE, call.started_at);
        simulated.status = "completed".to_owned();
        simulated.ended_at = Some(call.started_at + Duration::from_secs(27));
        simulated.facts_after_end = Duration::ZERO;
        simulated.talk_seconds = 0;
        simulated.recording =
            Some(RecordingPlan { available_after_end: call.recording_after, bytes: recording_bytes().into() });
        self.exotel.with(|exotel| exotel.add_call(simulated));
    }
}

impl Drop for Rig {
    /// What must never be in a log is looked for after every test, whatever it was about.
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            return;
        }
        for line in self.logs() {
            for secret in [KEY, TOKEN, FD_KEY, ADMIN, "exotelrecordings"] {
                assert!(!line.contains(secret), "a secret is in a log line: {line}");
            }
            for number in ["9876543", "9711581199", "9945476362", "8047494574"] {
                assert!(!line.contains(number), "a phone number is in a log line: {line}");
            }
        }
    }
}

pub(crate) fn recording_bytes() -> Vec<u8> {
    (0..50_000u32).map(|n| u8::try_from(n % 251).expect("below 251")).collect()
}

/// A call that callbacks are about.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) sid: String,
    pub(crate) from: String,
    pub(crate) started_at: Timestamp,
    pub(crate) talk_s: u64,
    /// After its end, which is 27 s after its start.
    pub(crate) recording_after: Duration,
}

impl Call {
    /// The `n`th call of a test: its own CallSid and its own caller.
    pub(crate) fn new(n: u32) -> Self {
        Self {
            sid: format!("{:032x}", 0x5eed_0000_0000_u64 + u64::from(n)),
            from: format!("098765{n:05}"),
            // So long ago that Exotel knows all of it.
            started_at: Timestamp::now() - 10.minutes(),
            talk_s: 8,
            recording_after: Duration::ZERO,
        }
    }

    pub(crate) fn at(&self, after_s: i64) -> String {
        let offset = Offset::from_seconds(19_800).expect("IST");
        let at = offset.to_datetime(self.started_at + after_s.seconds());
        at.strftime("%Y-%m-%d+%H%%3A%M%%3A%S").to_string()
    }

    fn common(&self, after_s: i64) -> String {
        let Self { sid, from, .. } = self;
        format!(
            "CallSid={sid}&CallFrom={from}&CallTo={EXOPHONE}&Direction=incoming&From={from}&To={EXOPHONE}\
             &StartTime={}&CurrentTime={}&flow_id=249196&tenant_id=113828",
            self.at(0),
            self.at(after_s)
        )
    }

    /// `event=pop`.
    pub(crate) fn pop(&self, event_type: &str, agent: &str, after_s: i64) -> String {
        let status = if event_type == "Terminal" { "free" } else { "busy" };
        format!("event=pop&{}&DialWhomNumber={agent}&Status={status}&EventType={event_type}", self.common(after_s))
    }

    /// `event=answered`, without a recording yet.
    pub(crate) fn answered(&self) -> String {
        format!(
            "event=answered&{}&CallStatus=completed&CallType=completed&DialCallStatus=completed&DialCallDuration=19\
             &DialWhomNumber={AGENT}&EndTime=1970-01-01+05%3A30%3A00&Legs%5B0%5D%5BNumber%5D={AGENT}\
             &Legs%5B0%5D%5BType%5D=single&Legs%5B0%5D%5BOnCallDuration%5D=8&Legs%5B0%5D%5BCause%5D=16\
             &Legs%5B0%5D%5BCauseCode%5D=NORMAL_CLEARING&ProcessStatus=null&ForwardedFrom=null",
            self.common(27)
        )
    }

    pub(crate) fn missed(&self) -> String {
        format!(
            "event=missed&{}&CallStatus=no-answer&CallType=incomplete&DialCallStatus=no-answer&DialCallDuration=0\
             &DialWhomNumber={AGENT}&EndTime=1970-01-01+05%3A30%3A00",
            self.common(31)
        )
    }

    /// `event=ivr` or `event=gather`.
    pub(crate) fn keyed(&self, event: &str, digits: &str, tag: &str, after_s: i64) -> String {
        format!(
            "event={event}&{}&CallStatus=in-progress&CallType=call-attempt&digits=%22{digits}%22{tag}",
            self.common(after_s)
        )
    }

    /// `event=voicemail`, without a recording yet.
    pub(crate) fn voicemail(&self) -> String {
        format!("event=voicemail&{}&CallStatus=completed&CallType=voicemail", self.common(26))
    }

    pub(crate) fn end(&self) -> String {
        format!("event=end&{}&CallStatus=in-progress&CallType=call-attempt", self.common(20))
    }
}

/// SplitMix64: every choice of a run comes from its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}
