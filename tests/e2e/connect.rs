//! A CRM is connected by a person's consent, and stays connected: over restarts, rotated tokens and kills; when it is
//! revoked, its lane is held with one alert, and nothing is lost.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Stdio},
    time::Duration,
};

use patchbay_sandbox::{Crm, Fault, Faults, On, Server, salesforce::Salesforce, zoho_desk::ZohoDesk};
use serde_json::{Value, json};

use crate::rig::{Call, Rig, SID};

/// What the sandboxes call their tokens, and what the rig's apps call their secrets.
const SECRETS: [&str; 5] = ["access-", "refresh-", "code-", "desk-secret", "sf-secret"];

fn serve<S: Crm>(sandbox: S) -> Server<S> {
    Server::start(([127, 0, 0, 1], 0).into(), sandbox, Faults::none()).expect("the sandbox listens")
}

/// A rig with a Zoho Desk that nobody has consented to yet.
fn zoho() -> (Rig, Server<ZohoDesk>) {
    let desk = serve(ZohoDesk::new("desk-id", "desk-secret", "nobodys"));
    let mut rig = Rig::new();
    rig.more = format!(
        "[[account.integration]]\nname = \"zoho\"\nconnector = \"zoho_desk\"\nquota = 1000000\nbase_url = \"{url}\"\n\
         accounts_url = \"{url}\"\nclient_id = \"desk-id\"\nclient_secret = \"desk-secret\"\norg_id = \"{}\"\n\
         department_id = \"{}\"\n",
        ZohoDesk::ORG_ID,
        ZohoDesk::DEPARTMENT_ID,
        url = desk.url(),
    );
    (rig, desk)
}

/// A rig with a Salesforce whose refresh tokens rotate. `refresh_token`: as the configuration has it.
fn salesforce(refresh_token: Option<&str>) -> (Rig, Server<Salesforce>) {
    let mut org = Salesforce::new("sf-id", "sf-secret", "the-first").with_set_up();
    org.grants.rules.rotates = true;
    let org = serve(org);
    let mut rig = Rig::new();
    rig.more = format!(
        "[[account.integration]]\nname = \"sf\"\nconnector = \"salesforce\"\nquota = 1000000\nbase_url = \"{}\"\n\
         client_id = \"sf-id\"\nclient_secret = \"sf-secret\"\n",
        org.url()
    );
    if let Some(token) = refresh_token {
        rig.more.push_str(&format!("refresh_token = \"{token}\"\n"));
    }
    (rig, org)
}

/// Records in the CRM that are about this call.
fn records<S: Crm>(crm: &Server<S>, call: &Call) -> usize {
    crm.with(|crm| crm.records()).iter().filter(|record| record.text.contains(&call.sid)).count()
}

/// How often a token was asked for.
fn asked<S: Crm>(crm: &Server<S>) -> usize {
    crm.requests().iter().filter(|seen| seen.path.ends_with("/token")).count()
}

async fn one_record_each<S: Crm>(rig: &Rig, crm: &Server<S>, calls: &[Call]) {
    for call in calls {
        rig.until(&format!("a record of {}", call.sid), || (records(crm, call) > 0).then_some(())).await;
    }
    rig.settled().await;
    for call in calls {
        assert_eq!((records(crm, call), rig.tickets(&call.sid).len()), (1, 1), "{}", call.sid);
    }
}

async fn missed(rig: &Rig, numbers: std::ops::Range<u32>) -> Vec<Call> {
    let calls: Vec<Call> = numbers.map(|n| Call { talk_s: 0, ..Call::new(n) }).collect();
    for call in &calls {
        assert_eq!(rig.hook(&call.missed()).await, 200);
    }
    calls
}

async fn held(rig: &Rig, name: &str) -> String {
    rig.until_api(&format!("/integrations/{name}"), |shown| {
        (shown["lane"]["state"] == "unauthorized").then(|| shown["lane"]["reason"].as_str().map(str::to_owned))?
    })
    .await
}

async fn metric(rig: &Rig, name: &str, integration: &str) -> String {
    let metrics = rig.http.get(rig.url("/metrics")).send().await.expect("metrics").text().await.expect("text");
    let labels = format!("{name}{{account=\"{SID}\",integration=\"{integration}\"}} ");
    let found = metrics.lines().find_map(|line| line.strip_prefix(&labels));
    found.unwrap_or_else(|| panic!("{labels}: {metrics}")).to_owned()
}

fn alerts(rig: &Rig) -> Vec<String> {
    rig.logs().into_iter().filter(|line| line.contains("refuses the credentials; deliveries wait")).collect()
}

/// `patchbay connect`, running: what it has printed so far is read as it comes.
pub(crate) struct Connecting {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Connecting {
    /// Until it has said where to go.
    pub(crate) fn start(rig: &Rig, integration: &str) -> (Self, String) {
        let config = rig.config().display().to_string();
        let mut command = rig.command(&["connect", integration, "--config", &config]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("its output"));
        let (mut line, mut asked) = (String::new(), false);
        // Above it stands what the CRM has to know.
        while !(asked && line.trim_start().starts_with("http")) {
            asked |= line.starts_with("Open this address");
            line.clear();
            if stdout.read_line(&mut line).expect("a line") == 0 {
                let mut error = String::new();
                let _ = child.stderr.take().expect("its errors").read_to_string(&mut error);
                panic!("it names no address: {error}");
            }
        }
        (Self { child, stdout }, line.trim().to_owned())
    }

    /// Its exit code and the rest of what it says.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).expect("its output");
        (self.child.wait().expect("it ends").code(), said)
    }
}

/// Where the consent's page sends the person.
async fn consent(rig: &Rig, url: &str) -> String {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let reply = http.get(url).send().await.expect("the consent's page");
    assert_eq!(reply.status(), 302, "{url}");
    let to = reply.headers()["location"].to_str().expect("text").to_owned();
    assert!(to.starts_with(&rig.url("/oauth/callback?")), "{to}");
    to
}

/// The page that is shown to the person.
async fn page(rig: &Rig, url: &str) -> (u16, String) {
    let reply = rig.http.get(url).send().await.expect("the callback answers");
    assert!(reply.headers()["content-type"].to_str().expect("text").starts_with("text/html"));
    assert_eq!(reply.headers()["referrer-policy"], "no-referrer", "the address holds a code");
    (reply.status().as_u16(), reply.text().await.expect("a page"))
}

/// Begins a consent by the API; yields where to go.
async fn begin(rig: &Rig, integration: &str) -> String {
    let (status, begun) =
        rig.post(&format!("/api/v1/accounts/{SID}/integrations/{integration}/connect"), json!({})).await;
    assert_eq!(status, 200, "{begun}");
    begun["url"].as_str().expect("where to go").to_owned()
}

async fn connect(rig: &Rig, integration: &str) {
    let to = consent(rig, &begin(rig, integration).await).await;
    let (status, text) = page(rig, &to).await;
    assert_eq!(status, 200, "{text}");
}

/// Neither the database with all that stands beside it nor the logs hold a token in clear.
fn nothing_in_clear(rig: &Rig, more: &[&str]) {
    let holds = |bytes: &[u8], secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    let secrets: Vec<&str> = SECRETS.iter().chain(more).copied().collect();
    let mut seen = 0;
    for name in ["patchbay.db", "patchbay.db-wal", "patchbay.db-shm", "patchbay.db.lock", "patchbay.db.key"] {
        let Ok(bytes) = std::fs::read(rig.path(name)) else { continue };
        seen += bytes.len();
        for secret in &secrets {
            assert!(!holds(&bytes, secret), "{secret:?} is in {name}");
        }
    }
    assert!(seen > 10_000, "there is a database");
    for line in rig.logs() {
        assert!(!secrets.iter().any(|secret| line.contains(secret)), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_consents_and_what_has_waited_goes_out() {
    let (mut rig, desk) = zoho();
    rig.start();
    let mut calls = missed(&rig, 1..4).await;
    let reason = held(&rig, "zoho").await;
    assert!(reason.contains("run `patchbay connect acme1/zoho`"), "{reason}");
    assert_eq!(rig.account("/integrations/zoho").await["connected"], json!(false));
    assert_eq!(metric(&rig, "patchbay_lane_held", "zoho").await, "1");
    assert_eq!(metric(&rig, "patchbay_lane_held", "support").await, "0");
    let (_, ready) = rig.get("/readyz").await;
    assert_eq!(
        (&ready["status"], &ready["lanes"]["acme1/zoho"]["state"]),
        (&json!("degraded"), &json!("unauthorized"))
    );
    let config = rig.config().display().to_string();
    let check = || {
        let output = rig.command(&["check", "--config", &config]).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = tokio::task::block_in_place(check);
    assert!(code == Some(1) && said.contains("FAIL  acme1/zoho") && said.contains("patchbay connect"), "{said}");

    let (running, url) = tokio::task::block_in_place(|| Connecting::start(&rig, "zoho"));
    assert!(url.starts_with(&format!("{}/oauth/v2/auth?", desk.url())), "{url}");
    let back = consent(&rig, &url).await;
    let (status, text) = page(&rig, &back).await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("acme1/zoho is connected"), "{text}");
    let (code, said) = tokio::task::block_in_place(|| running.ended());
    assert!(code == Some(0) && said.contains("acme1/zoho is connected."), "{code:?}: {said}");

    one_record_each(&rig, &desk, &calls).await;
    let shown = rig.account("/integrations/zoho").await;
    assert_eq!((&shown["connected"]["by"], &shown["lane"]["state"]), (&json!("consent"), &json!("running")));
    assert_eq!(metric(&rig, "patchbay_lane_held", "zoho").await, "0");
    let (code, said) = tokio::task::block_in_place(check);
    assert!(code == Some(0) && said.contains("(asked through the running service)"), "{said}");
    assert_eq!(asked(&desk), 1, "the code's exchange");

    // The same link again is nobody's, and takes nothing away.
    let (status, text) = page(&rig, &back).await;
    assert!(status == 400 && text.contains("used up or too old"), "{status}: {text}");

    // The token lives on over a restart, and over a kill.
    assert!(rig.terminate());
    nothing_in_clear(&rig, &[]);
    rig.start();
    calls.extend(missed(&rig, 4..6).await);
    one_record_each(&rig, &desk, &calls).await;
    rig.kill();
    nothing_in_clear(&rig, &[]);
    rig.start();
    calls.extend(missed(&rig, 6..8).await);
    one_record_each(&rig, &desk, &calls).await;
    assert_eq!(asked(&desk), 1, "it is alive: no other was asked for");
    assert_eq!(alerts(&rig).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_without_a_living_state_is_refused_in_words() {
    let (mut rig, desk) = zoho();
    rig.start();
    let back = consent(&rig, &begin(&rig, "zoho").await).await;
    let state = |url: &str| url.split_once("&state=").expect("a state").1.to_owned();
    let callback = |query: &str| rig.url(&format!("/oauth/callback?{query}"));

    for query in
        ["", "code=code-1", "code=code-1&state=", "code=code-1&state=guessed", "state=%00%ff", "error=access_denied"]
    {
        let (status, text) = page(&rig, &callback(query)).await;
        assert!(status == 400 && text.contains("used up or too old"), "{query}: {status} {text}");
        assert!(text.contains("Run `patchbay connect` again"), "it tells what to do: {text}");
    }
    // Its time is over: as if a quarter of an hour had passed.
    let late = |rig: &Rig| {
        let database = rusqlite::Connection::open(rig.path("patchbay.db")).expect("the database opens");
        database.busy_timeout(Duration::from_secs(10)).expect("a timeout");
        assert_eq!(database.execute("UPDATE consent SET expires_ms = 1", []).expect("written"), 1);
    };
    tokio::task::block_in_place(|| late(&rig));
    let (status, text) = page(&rig, &back).await;
    assert!(status == 400 && text.contains("used up or too old"), "{status}: {text}");

    // The person says no: that is told, and its state is used up.
    let refused =
        callback(&format!("error=access_denied&state={}", state(&consent(&rig, &begin(&rig, "zoho").await).await)));
    let (status, text) = page(&rig, &refused).await;
    assert!(status == 400 && text.contains("Not connected: it was refused"), "{status}: {text}");
    assert!(page(&rig, &refused).await.1.contains("used up"));

    // A code that the token server does not know; a token server that is not the CRM's.
    for (query, told) in [
        ("code=%3Cscript%3E", "the token server refuses it: invalid_code"),
        ("code=code-1&accounts-server=https%3A%2F%2Fevil.example", "a token server that is not the CRM"),
    ] {
        let state = state(&consent(&rig, &begin(&rig, "zoho").await).await);
        let (status, text) = page(&rig, &callback(&format!("{query}&state={state}"))).await;
        assert!(status == 502 && text.contains(told), "{status}: {text}");
        assert!(!text.contains("script") && !text.contains(&state), "{text}");
    }
    assert_eq!(desk.with(|desk| desk.grants.issued_count()), 0, "nobody got a token");
    assert_eq!(rig.account("/integrations/zoho").await["connected"], json!(false));
    // None of it is in the way of the one that is right.
    connect(&rig, "zoho").await;
    let calls = missed(&rig, 1..2).await;
    one_record_each(&rig, &desk, &calls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_is_wrong() {
    let (mut rig, _desk) = zoho();
    let run = |rig: &Rig, integration: &str| {
        let config = rig.config().display().to_string();
        let output = rig.command(&["connect", integration, "--config", &config]).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let error = tokio::task::block_in_place(|| run(&rig, "zoho"));
    assert!(error.contains("start `patchbay serve`"), "{error}");
    rig.start();
    let error = tokio::task::block_in_place(|| run(&rig, "zogo"));
    assert!(error.contains("there are: acme1/support, acme1/zoho"), "{error}");
    let error = tokio::task::block_in_place(|| run(&rig, "acme1/support"));
    assert!(error.contains("there is nothing to connect"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_tokens_go_on_over_kills() {
    let (mut rig, org) = salesforce(Some("the-first"));
    rig.start();
    let mut calls = Vec::new();
    for round in 0..6 {
        let n = 10 + 2 * round;
        org.with(Crm::expire_tokens);
        if round % 2 == 1 {
            // It dies with the rotated token stored and its access token used for nothing yet.
            rig.kill();
            rig.env = vec![("PATCHBAY_CRASH".to_owned(), "token.after_keep:1".to_owned())];
            rig.start();
            calls.extend(missed(&rig, n..n + 1).await);
            rig.until("its death", || rig.dead().then_some(())).await;
            rig.kill();
            rig.env.clear();
            rig.start();
        }
        calls.extend(missed(&rig, n + 1..n + 2).await);
        one_record_each(&rig, &org, &calls).await;
        if round % 2 == 0 {
            rig.kill();
            rig.start();
        }
    }
    assert_eq!(asked(&org), 6, "one renewal for each time the token was ended");
    assert_eq!(alerts(&rig), Vec::<String>::new());
    assert_eq!(metric(&rig, "patchbay_lane_held", "sf").await, "0");
    let shown = rig.account("/integrations/sf").await;
    assert_eq!(shown["connected"]["by"], "configuration");
    assert!(rig.terminate());
    nothing_in_clear(&rig, &["the-first"]);
}

/// Between the token server's answer and our disk nobody can help: what was rotated is gone with the process. Even then
/// nothing is lost but a person's minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_that_died_unstored_is_mended_by_connecting() {
    let (mut rig, org) = salesforce(Some("the-first"));
    rig.env = vec![("PATCHBAY_CRASH".to_owned(), "token.before_keep:1".to_owned())];
    rig.start();
    let mut calls = missed(&rig, 1..3).await;
    rig.until("its death", || rig.dead().then_some(())).await;
    rig.kill();
    rig.env.clear();
    rig.start();
    let reason = held(&rig, "sf").await;
    assert!(reason.contains("invalid_grant") && reason.contains("run `patchbay connect acme1/sf`"), "{reason}");
    calls.extend(missed(&rig, 3..5).await);
    connect(&rig, "sf").await;
    one_record_each(&rig, &org, &calls).await;
    assert_eq!(alerts(&rig).len(), 1);
    // The consent stands above the configuration's token, which is dead, over a restart too.
    rig.kill();
    rig.start();
    org.with(Crm::expire_tokens);
    calls.extend(missed(&rig, 5..6).await);
    one_record_each(&rig, &org, &calls).await;
    assert_eq!(rig.account("/integrations/sf").await["connected"]["by"], "consent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_holds_the_lane_with_one_alert_and_loses_nothing() {
    let (mut rig, org) = salesforce(None);
    rig.start();
    connect(&rig, "sf").await;
    let mut calls = missed(&rig, 1..3).await;
    one_record_each(&rig, &org, &calls).await;
    assert_eq!(alerts(&rig), Vec::<String>::new());

    org.with(|org| org.grants.revoke());
    calls.extend(missed(&rig, 3..23).await);
    let reason = held(&rig, "sf").await;
    assert!(reason.contains("run `patchbay connect acme1/sf`"), "{reason}");
    assert_eq!(metric(&rig, "patchbay_lane_held", "sf").await, "1");
    // However often it is tried, and whoever calls meanwhile: it is told once.
    let before = asked(&org);
    rig.until("some more tries", || (asked(&org) >= before + 3).then_some(())).await;
    calls.extend(missed(&rig, 23..25).await);
    let (_, verified) = rig.post(&format!("/api/v1/accounts/{SID}/integrations/sf/verify"), json!({})).await;
    assert!(verified["error"].as_str().is_some_and(|error| error.contains("patchbay connect acme1/sf")), "{verified}");
    assert_eq!(alerts(&rig).len(), 1, "{:?}", alerts(&rig));
    for call in &calls[2..] {
        rig.ticket(&call.sid).await;
        assert_eq!(records(&org, call), 0);
    }
    // All of them wait, and have spent no attempt.
    let waits = |row: &Value| row["failures"] == 0 && row["state"] == "pending" && row["probe"] == false;
    let all = |answer: &Value| {
        answer["deliveries"].as_array().filter(|rows| rows.len() >= 22 && rows.iter().all(waits)).map(|_| ())
    };
    rig.until_api("/deliveries?integration=sf&state=pending,held,dead&limit=200", all).await;

    // A kill meanwhile changes nothing; the new process tells it anew, once.
    rig.kill();
    rig.start();
    held(&rig, "sf").await;
    let (running, url) = tokio::task::block_in_place(|| Connecting::start(&rig, "sf"));
    let back = consent(&rig, &url).await;
    assert_eq!(page(&rig, &back).await.0, 200);
    let (code, said) = tokio::task::block_in_place(|| running.ended());
    assert_eq!(code, Some(0), "{said}");
    one_record_each(&rig, &org, &calls).await;
    assert_eq!(alerts(&rig).len(), 2, "one of each process");
    assert_eq!(metric(&rig, "patchbay_lane_held", "sf").await, "0");
    nothing_in_clear(&rig, &[]);
}

/// Revoked while the CRM itself is down: the outage must not hide that a person is needed.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_token_server_is_told_during_an_outage_too() {
    let (mut rig, desk) = zoho();
    // So short a life that it ends during the outage.
    desk.with(|desk| desk.grants.rules.lifetime = Duration::from_secs(2));
    rig.start();
    connect(&rig, "zoho").await;
    for _ in 0..2000 {
        desk.faults().push(On::under(None, "/api"), Fault::Status(503));
    }
    let calls = missed(&rig, 1..8).await;
    rig.until_api("/integrations/zoho", |shown| (shown["lane"]["state"] == "down").then_some(())).await;
    desk.with(|desk| desk.grants.revoke());
    let reason = held(&rig, "zoho").await;
    assert!(reason.contains("patchbay connect acme1/zoho"), "{reason}");
    assert_eq!(alerts(&rig).len(), 1);
    // Tried so often that the CRM's limit on tokens is near: the cure is told on.
    let before = asked(&desk);
    for _ in 0..20 {
        let (_, verified) = rig.post(&format!("/api/v1/accounts/{SID}/integrations/zoho/verify"), json!({})).await;
        assert_eq!(verified["ok"], false);
    }
    assert!(asked(&desk) < before + 5, "{} and {before}", asked(&desk));
    assert_eq!(held(&rig, "zoho").await, reason);
    desk.faults().clear();
    desk.with(|desk| desk.grants.rules.lifetime = Duration::from_secs(3600));
    connect(&rig, "zoho").await;
    one_record_each(&rig, &desk, &calls).await;
    assert_eq!(alerts(&rig).len(), 1);
}
