//! Five hundred callers a second are on the line while the CRM is well, slow, silent and broken by turns: each is answered
//! within what Exotel waits, and each whose owner is known gets him.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use patchbay_sandbox::{
    Fault, Faults, Mix, Server,
    hubspot::{HubSpot, Kind},
};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use crate::rig::{Call, EXOPHONE, KEY, Rig, SID, TOKEN};

const HS_TOKEN: &str = "pat-eu1-test-77ab01c2";
const OWNER: &str = "+919811112222";
const DESK: &str = "+918047494574";
/// Requests per second, whatever becomes of those before.
const RATE: u32 = 500;
/// How long the CRM stays as it is.
const SPELL: Duration = Duration::from_secs(1);
/// More are not on the line at once: a machine that cannot answer them gets no more than it has sockets for.
const AT_ONCE: usize = 2000;
/// Callers whose owners are known, and of each spell some whose owner was learnt long ago. Few, because HubSpot lets itself
/// be searched five times a second.
const FRESH: u32 = 10;
const STALE: u32 = 2;

/// What becomes of every request to the CRM.
#[derive(Clone, Copy, Debug)]
enum Crm {
    Well,
    Slow,
    BlackHole,
    Broken,
}

impl Crm {
    fn fault(self) -> Option<Fault> {
        match self {
            Self::Well => None,
            Self::Slow => Some(Fault::StallAfter(Duration::from_secs(2))),
            Self::BlackHole => Some(Fault::BlackHole),
            Self::Broken => Some(Fault::Status(500)),
        }
    }
}

/// From one to the other in every order that may matter.
const DAY: [Crm; 7] = [Crm::Well, Crm::Slow, Crm::BlackHole, Crm::Broken, Crm::BlackHole, Crm::Well, Crm::Slow];

/// Numbers that HubSpot has a contact and an owner for: fresh ones, those of each spell, and one who is heard of late.
fn stale(spell: usize) -> std::ops::Range<u32> {
    let from = FRESH + STALE * u32::try_from(spell).expect("few");
    from..from + STALE
}

fn late() -> u32 {
    stale(DAY.len()).start
}

fn rig() -> (Rig, Server<HubSpot>) {
    let mut rig = Rig::new();
    rig.extra = "[enquiry]\nschedule = [\"10m\"]".to_owned();
    let mut hubspot = HubSpot::prepared(HS_TOKEN);
    let owner = hubspot.add_owner("Rahil Mohammed", "rahil.m@example.com");
    for n in 0..=late() {
        let caller = format!("+91{}", &Call::new(n).from[1..]);
        let email = format!("{n}@example.com");
        hubspot.add(Kind::Contacts, &[("phone", &caller), ("hubspot_owner_id", &owner.id), ("email", &email)]);
    }
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let hubspot = Server::start(loopback, hubspot, Faults::none()).expect("the HubSpot sandbox starts");
    rig.more = format!(
        "[[account.integration]]\nconnector = \"hubspot\"\nname = \"crm\"\nbase_url = \"{}\"\n\
         access_token = \"{HS_TOKEN}\"\nquota = 1000000\n[[account.agent]]\nnumber = \"{OWNER}\"\n\
         email = \"Rahil.M@example.com\"\n[account.routing]\norder = [\"owner\", \"fallback\"]\nfallback = [\"{DESK}\"]\n\
         ask_ahead = false",
        hubspot.url()
    );
    // Longer than the slow CRM takes, so that what is too late for one caller is there for the next.
    rig.env.push(("PATCHBAY__DELIVERY__REQUEST_TIMEOUT".to_owned(), "5s".to_owned()));
    // A line for each of thousands of requests is not what is measured.
    rig.env.push(("PATCHBAY__LOG__LEVEL".to_owned(), "warn,patchbay::app=info".to_owned()));
    rig.start();
    (rig, hubspot)
}

/// Whom a question of the load is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Owner,
    Desk,
}

/// One question: its place in the load decides who calls and in which form it is asked.
struct Question {
    call: Call,
    form: Form,
    expected: Expected,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Plain,
    Numbers,
    Contacts,
    Head,
}

impl Question {
    fn new(n: u32, spell: usize) -> Self {
        let its = stale(spell);
        let (from, expected) = match n % 8 {
            0..5 => (n % FRESH, Expected::Owner),
            5 => (its.start + n / 8 % STALE, Expected::Owner),
            // Somebody nobody has heard of, each once: there the CRM has to be asked.
            _ => (50_000 + n, Expected::Desk),
        };
        let form = match n % 5 {
            0 => Form::Numbers,
            1 => Form::Contacts,
            2 if n.is_multiple_of(3) => Form::Head,
            _ => Form::Plain,
        };
        Self { call: Call { from: Call::new(from).from, ..Call::new(1_000_000 + n) }, form, expected }
    }

    /// Asks it; says what is wrong with the answer.
    async fn ask(&self, http: &reqwest::Client, base: &str) -> Result<(), String> {
        let Call { sid, from, .. } = &self.call;
        let url = format!("{base}?CallSid={sid}&CallFrom={from}&CallTo={EXOPHONE}&CallStatus=ringing");
        let method = if matches!(self.form, Form::Head) { http::Method::HEAD } else { http::Method::GET };
        let mut request = http.request(method, url).basic_auth(KEY, Some(TOKEN));
        match self.form {
            Form::Numbers => request = request.header("Exotel-Version", "1.0"),
            Form::Contacts => request = request.header("Exotel-Version", "1.1"),
            Form::Plain | Form::Head => {}
        }
        let reply = request.send().await.map_err(|error| format!("no answer: {error:?}"))?;
        let (status, kind) = (reply.status().as_u16(), reply.headers().get("content-type").cloned());
        let body = reply.text().await.map_err(|error| format!("no body: {error:?}"))?;
        let number = if self.expected == Expected::Owner { OWNER } else { DESK };
        let (wanted, right) = match self.form {
            Form::Head => ("text/plain", body.is_empty()),
            Form::Plain => ("text/plain", body == number),
            Form::Numbers => ("application/json", destination(&body) == json!({ "numbers": [number] })),
            Form::Contacts => ("application/json", destination(&body) == json!([{ "contact_uri": number }])),
        };
        if status == 200 && kind.is_some_and(|kind| kind == wanted) && right {
            Ok(())
        } else {
            Err(format!("{status} {body:?}, not {:?}", self.expected))
        }
    }
}

fn destination(body: &str) -> Value {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    body["destination"].clone()
}

/// The owners of the fresh are known because they have called, those of the stale because a record was written: when his
/// contact was found, nobody can say since when he has been that agent's.
async fn learn(rig: &Rig) {
    let as_caller = |n: u32| Call { sid: uuid::Uuid::new_v4().simple().to_string(), ..Call::new(n) };
    for n in 0..FRESH {
        rig.until_async("a fresh owner is known", async || whom(rig, &as_caller(n)).await == OWNER).await;
    }
    for n in FRESH..late() {
        assert_eq!(rig.hook(&as_caller(n).answered()).await, 200);
    }
    for n in FRESH..late() {
        let call = as_caller(n);
        // HEAD asks nobody.
        let url = rig.url(&format!(
            "/v2/accounts/{SID}/decide?rule=owner_available&CallSid={}&CallFrom={}",
            call.sid, call.from
        ));
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        rig.until_async("a stale owner is known", async || {
            let reply = client.head(&url).basic_auth(KEY, Some(TOKEN)).send().await.expect("an answer");
            reply.status() == 200
        })
        .await;
    }
}

async fn whom(rig: &Rig, call: &Call) -> String {
    let url = rig.url(&format!("/v2/accounts/{SID}/dialwhom?CallSid={}&CallFrom={}", call.sid, call.from));
    let reply = rig.http.get(url).basic_auth(KEY, Some(TOKEN)).send().await.expect("an answer");
    assert_eq!(reply.status(), 200);
    reply.text().await.expect("a body")
}

/// Of the service's own clock: how many dial-whoms it answered, and how many of them within this.
async fn answered_within(rig: &Rig, seconds: &str) -> (u64, u64) {
    let metrics = rig.http.get(rig.url("/metrics")).send().await.expect("metrics").text().await.expect("text");
    let count = |line: String| {
        let found = metrics.lines().find_map(|at| at.strip_prefix(line.as_str()));
        found.and_then(|count| count.trim().parse().ok()).unwrap_or_else(|| panic!("{line} is not in\n{metrics}"))
    };
    let labels = "applet=\"dialwhom\"";
    (
        count(format!("patchbay_answer_seconds_count{{{labels}}}")),
        count(format!("patchbay_answer_seconds_bucket{{le=\"{seconds}\",{labels}}}")),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_callers_a_second_are_answered_whatever_the_crm_does() {
    let (rig, hubspot) = rig();
    learn(&rig).await;
    let (before, _) = answered_within(&rig, "5.0").await;

    let base = rig.url(&format!("/v2/accounts/{SID}/dialwhom"));
    let (wrong, places) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(AT_ONCE)));
    let spell = AtomicUsize::new(usize::MAX);
    let a_spell = RATE * u32::try_from(SPELL.as_secs()).expect("short");
    let total = a_spell * u32::try_from(DAY.len()).expect("few");
    let mut load = JoinSet::new();
    let began = Instant::now();
    for n in 0..total {
        // Due at its time, however the ones before it fare.
        tokio::time::sleep_until(began + Duration::from_secs(1) * n / RATE).await;
        let at = usize::try_from(n / a_spell).expect("few");
        if spell.swap(at, Ordering::Relaxed) != at {
            let mix = DAY[at].fault().map(|fault| Mix { seed: 1, per_mille: vec![(fault, 1000)] });
            hubspot.faults().set_mix(mix);
        }
        let place = Arc::clone(&places).acquire_owned().await.expect("a place");
        let (http, base, wrong) = (rig.http.clone(), base.clone(), Arc::clone(&wrong));
        load.spawn(async move {
            if let Err(error) = Question::new(n, at).ask(&http, &base).await {
                wrong.lock().expect("the list").push(format!("{n}, CRM {:?}: {error}", DAY[at]));
            }
            drop(place);
        });
    }
    let sent = began.elapsed();
    // The CRM is slow now: who calls for the first time is not waited for, and his owner is there for the next call.
    let newcomer = || Call { sid: uuid::Uuid::new_v4().simple().to_string(), ..Call::new(late()) };
    assert_eq!(whom(&rig, &newcomer()).await, DESK);
    let mut more = 1;
    rig.until_async("his owner is known", async || {
        more += 1;
        whom(&rig, &newcomer()).await == OWNER
    })
    .await;
    while let Some(one) = load.join_next().await {
        one.expect("a question");
    }
    let wrong = wrong.lock().expect("the list").clone();
    println!("{total} questions in {sent:?}, {:.0} a second", f64::from(total) / sent.as_secs_f64());
    assert!(wrong.is_empty(), "{} of {total}: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);

    // By the service's own clock, which knows nothing of how busy the generator was.
    for within in ["0.1", "0.5", "1.0", "2.5"] {
        println!("{:?} within {within} s", answered_within(&rig, within).await);
    }
    let (answered, in_time) = answered_within(&rig, "5.0").await;
    assert_eq!((answered - before, in_time), (u64::from(total) + more, answered));
}
