//! Says what durable ingest costs: beside handlers that do less in the same server, on the same disk, in one run. And
//! what follows from it: latency at a fixed rate, the idle process, callbacks in to tickets out. See `README.md` here.

use std::{
    collections::BTreeMap,
    fs::File,
    hint::black_box,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest, HttpResponse,
    dev::ServerHandle,
    http::header,
    web::{self, Data, ServiceConfig},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Parser;
use jiff::Timestamp;
use patchbay::{
    app::{Service, http_server},
    call::{Hook, Receipt, phone},
    config::{self, Config, LogFormat},
    context::KnownOwner,
    hooks::Doors,
    key::MasterKey,
    simulate::{
        Percentiles,
        load::{self, LoadOptions, LoadReport},
    },
    store::{LaneRef, SqliteOptions, SqliteStore, Store},
    telemetry,
};
use patchbay_sandbox::{Faults, Server, exotel::Exotel, freshdesk::Freshdesk, hubspot::HubSpot};
use tempfile::TempDir;
use uuid::Uuid;

type Error = Box<dyn std::error::Error + Send + Sync>;

const SID: &str = "acme1";
const KEY: &str = "exo-key-5f3c9a";
const TOKEN: &str = "exo-token-81d2bb";
const FD_KEY: &str = "fd-key-77ab01c2";
/// Callers who ask at once whose they are: far above what Exotel lets through for one account.
const WHOM_RATE: u32 = 500;
const WHOM_CONNECTIONS: usize = 8;
/// Exotel's part in what agents see while their phones ring.
const POPUP_CONNECTIONS: u32 = 8;
const POPUP_AGENTS: u32 = 200;
/// Later, a popup is dropped.
const POPUP_PATIENCE: Duration = Duration::from_secs(20);
const ADMIN: &str = "admin-token-0123456789abcdef";
/// How long deliveries may take in all.
const PATIENCE: Duration = Duration::from_secs(300);

/// `cargo bench --bench ingest -- [options]`
#[derive(Debug, Parser)]
struct Options {
    /// Parts to run, of: ingest, rate, whom, popup, idle, delivery
    #[arg(long, value_delimiter = ',', default_value = "ingest,rate,whom,popup,idle,delivery")]
    parts: Vec<String>,
    /// Targets of the ingest part, by letter
    #[arg(long, default_value = "abcsd")]
    targets: String,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Of one measurement at full load
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Callbacks per second of the rate part
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    #[arg(long, default_value_t = 10)]
    rate_seconds: u64,
    /// Popups per second of the popup part
    #[arg(long, default_value_t = 500)]
    popup_rate: u32,
    /// Calls of the delivery part
    #[arg(long, default_value_t = 3000)]
    calls: u32,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured in the ingest part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Bare,
    Reads,
    Single,
    Grouped,
    Service,
}

impl Target {
    const ALL: [Self; 5] = [Self::Bare, Self::Reads, Self::Single, Self::Grouped, Self::Service];

    fn letter(self) -> char {
        match self {
            Self::Bare => 'a',
            Self::Reads => 'b',
            Self::Single => 'c',
            Self::Grouped => 's',
            Self::Service => 'd',
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Bare => "answers 200",
            Self::Reads => "parses, authenticates, stores nothing",
            Self::Single => "stores, one commit per request",
            Self::Grouped => "stores, group commit, no journal reader",
            Self::Service => "the whole service",
        }
    }
}

fn main() -> Result<(), Error> {
    let options = Options::parse();
    telemetry::init(&config::Log { format: LogFormat::Human, level: "error".to_owned() });
    // A second one in this process finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(options))
}

async fn run(options: Options) -> Result<(), Error> {
    let disk = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let wants = |part: &str| options.parts.iter().any(|wanted| wanted == part);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let busy = busy.split(' ').next().unwrap_or("?").to_owned();
    let flush = flush(disk)?;
    println!("{} cores, load average {busy} before the start", cores);
    println!("disk: {}; a flush (fdatasync of 4 KiB appended): median {}", file_system(disk), ms(flush));
    if wants("ingest") {
        ingest(&options, disk).await?;
    }
    if wants("rate") {
        rate(&options, disk, flush).await?;
    }
    if wants("whom") {
        whom(&options, disk).await?;
    }
    if wants("popup") {
        popup(&options, disk).await?;
    }
    if wants("idle") {
        idle(disk).await?;
    }
    if wants("delivery") {
        delivery(&options, disk).await?;
    }
    Ok(())
}

// ---- What is measured ------------------------------------------------------------------------------------------------

async fn ingest(options: &Options, disk: &Path) -> Result<(), Error> {
    let targets: Vec<Target> =
        Target::ALL.into_iter().filter(|target| options.targets.contains(target.letter())).collect();
    println!(
        "\nIngest, {} connections, {} rounds of {} s, a fresh database each:",
        options.connections, options.rounds, options.seconds
    );
    let mut rates: BTreeMap<char, Vec<f64>> = BTreeMap::new();
    let mut reports: BTreeMap<char, LoadReport> = BTreeMap::new();
    let mut read_meanwhile = Vec::new();
    for round in 0..options.rounds {
        // Rotated, so that no target always follows the same other.
        for at in 0..targets.len() {
            let target = targets[(at + round) % targets.len()];
            let subject = Subject::start(target, disk).await?;
            let load = |duration| Load { connections: options.connections, rate: None, duration };
            subject.load(load(Duration::from_millis(500))).await?;
            let before = subject.read();
            let report = subject.load(load(Duration::from_secs(options.seconds))).await?;
            if target == Target::Service {
                read_meanwhile.push((subject.read() - before) as f64 / report.seconds);
            }
            subject.stop().await;
            rates.entry(target.letter()).or_default().push(report.per_second);
            reports.insert(target.letter(), report);
        }
    }
    let of = |target: Target| rates.get(&target.letter()).map(|rates| median(rates));
    let share = |rate: f64, of: Option<f64>| of.map_or("-".to_owned(), |of| format!("{:.0} %", 100.0 * rate / of));
    println!("  {:<44} {:>9} {:>8} {:>8} {:>9} {:>9}  all rounds", "", "req/s", "of (a)", "of (b)", "p50 ms", "p99 ms");
    for target in targets {
        let (Some(rate), Some(report)) = (of(target), reports.get(&target.letter())) else { continue };
        let all: Vec<String> = rates[&target.letter()].iter().map(|rate| format!("{rate:.0}")).collect();
        println!(
            "  ({}) {:<40} {rate:>9.0} {:>8} {:>8} {:>9.2} {:>9.2}  {}",
            target.letter(),
            target.title(),
            share(rate, of(Target::Bare)),
            share(rate, of(Target::Reads)),
            report.latency.p50_ms,
            report.latency.p99_ms,
            all.join(" ")
        );
    }
    if !read_meanwhile.is_empty() {
        println!("  in (d), the journal reader decided on {:.0} receipts/s meanwhile", median(&read_meanwhile));
    }
    println!("  goal: (d) at least 40 % of (a) and 65 % of (b)");
    Ok(())
}

async fn rate(options: &Options, disk: &Path, flush: Duration) -> Result<(), Error> {
    println!(
        "\n{} callbacks/s, open loop, {} s, {} connections; latency from when a request was due:",
        options.rate, options.rate_seconds, options.connections
    );
    println!("  {:<44} {:>9} {:>9} {:>9} {:>9}", "", "p50 ms", "p99 ms", "p99.9 ms", "max ms");
    let mut p99 = Vec::new();
    for round in 0..=options.rounds {
        // The first is what the load generator and the machine add.
        let target = if round == 0 { Target::Bare } else { Target::Service };
        let subject = Subject::start(target, disk).await?;
        let load = |duration| Load { connections: options.connections, rate: Some(options.rate), duration };
        subject.load(load(Duration::from_secs(1))).await?;
        let LoadReport { latency, .. } = subject.load(load(Duration::from_secs(options.rate_seconds))).await?;
        subject.stop().await;
        println!(
            "  ({}) {:<40} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
            target.letter(),
            target.title(),
            latency.p50_ms,
            latency.p99_ms,
            latency.p999_ms,
            latency.max_ms
        );
        if target == Target::Service {
            p99.push(latency.p99_ms);
        }
    }
    let goal = 1.5 + 2.0 * flush.as_secs_f64() * 1000.0;
    println!("  goal: p99 below 1.5 ms + two flushes = {goal:.2} ms; median p99 {:.2} ms", median(&p99));
    Ok(())
}

/// Dial-whom of callers whose owners are remembered: what a caller on the line waits for.
async fn whom(options: &Options, disk: &Path) -> Result<(), Error> {
    println!(
        "\n{WHOM_RATE} dial-whom requests/s, owners remembered, open loop, {} s, {WHOM_CONNECTIONS} connections:",
        options.rate_seconds
    );
    println!("  {:<44} {:>9} {:>9} {:>9} {:>9}", "", "p50 ms", "p99 ms", "p99.9 ms", "max ms");
    let path = format!("/v2/accounts/{SID}/dialwhom");
    let duration = Duration::from_secs(options.rate_seconds);
    let load = || Load { connections: WHOM_CONNECTIONS, rate: Some(WHOM_RATE), duration };
    let row = |target: Target, title: &str, latency: Percentiles| {
        println!(
            "  ({}) {title:<40} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
            target.letter(),
            latency.p50_ms,
            latency.p99_ms,
            latency.p999_ms,
            latency.max_ms
        );
    };
    // What the load generator and the machine add.
    let bare = Subject::start(Target::Bare, disk).await?;
    let LoadReport { latency, .. } = send_to(bare.addr, path.clone(), load()).await?;
    bare.stop().await;
    row(Target::Bare, "answers a constant", latency);
    for _ in 0..options.rounds {
        let (sandboxes, dir) = (Sandboxes::start()?, tempfile::tempdir_in(disk)?);
        let hubspot = Server::start(loopback(), HubSpot::prepared(FD_KEY), Faults::none())?;
        let crm = format!(
            "[[account.integration]]\nconnector = \"hubspot\"\nname = \"crm\"\nbase_url = \"{}\"\naccess_token = \"{FD_KEY}\"",
            hubspot.url()
        );
        let service = Service::start(parse(&sandboxes.config(dir.path(), loopback(), "error", &crm))?).await?;
        let lane = LaneRef { account: SID.to_owned(), integration: "crm".to_owned() };
        // The callers of the load generator, as each of its connections counts them.
        let calls = u64::from(WHOM_RATE) * options.rate_seconds / WHOM_CONNECTIONS as u64 * 2;
        for connection in 0..=WHOM_CONNECTIONS as u64 {
            for call in 1..=calls {
                let caller = format!("098{:08}", ((connection << 40) | call) % 100_000_000);
                let number = phone::parse(&caller, "IN").ok_or("not a number")?;
                let owner = KnownOwner { numbers: vec!["+919711581199".to_owned()], learnt_at: Timestamp::now() };
                service.services.context.learn_owner(&lane, &number, owner);
            }
        }
        let LoadReport { latency, .. } = send_to(service.addr, path.clone(), load()).await?;
        let asked = hubspot.requests().iter().filter(|seen| seen.path.ends_with("/search")).count();
        service.stop().await;
        if asked > 0 {
            return Err(format!("the CRM was asked {asked} times: these were not the remembered ones").into());
        }
        row(Target::Service, "the whole service, owner remembered", latency);
    }
    Ok(())
}

async fn idle(disk: &Path) -> Result<(), Error> {
    println!("\nThe process, fresh, with one account and one integration:");
    let (sandboxes, dir) = (Sandboxes::start()?, tempfile::tempdir_in(disk)?);
    let mut ready = Vec::new();
    let mut memory = Vec::new();
    for _ in 0..3 {
        let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let path = dir.path().join("patchbay.toml");
        std::fs::write(&path, sandboxes.config(dir.path(), listen, "warn", ""))?;
        let began = Instant::now();
        let mut child = Process::start(&path)?;
        while !child.answers(listen) {
            if began.elapsed() > Duration::from_secs(30) {
                return Err("the process does not become ready".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        ready.push(began.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep(Duration::from_secs(2)).await;
        memory.push(child.resident_mb()?);
    }
    println!("  start to ready {:.0} ms (goal: below 1000)", median(&ready));
    println!("  idle memory {:.1} MB resident (goal: below 60)", median(&memory));
    Ok(())
}

async fn delivery(options: &Options, disk: &Path) -> Result<(), Error> {
    println!("\nDelivery, {} calls against a Freshdesk sandbox in this process:", options.calls);
    let sandboxes = Sandboxes::start()?;
    let dir = tempfile::tempdir_in(disk)?;
    let config = parse(&sandboxes.config(dir.path(), loopback(), "error", "quota = 1000000"))?;
    let service = Service::start(config).await?;
    let tickets = || sandboxes.freshdesk.with(|desk| desk.tickets().count());
    let noted = || {
        sandboxes
            .freshdesk
            .with(|desk| desk.tickets().filter(|ticket| !desk.conversations(ticket.id).is_empty()).count())
    };
    // One at a time first: how long a ticket takes when nothing else is to be done.
    let mut alone = Vec::new();
    let mut sender = OneByOne::connect(service.addr)?;
    for one in 1..=50 {
        let began = Instant::now();
        sender.call(one)?;
        while noted() < one {
            if began.elapsed() > PATIENCE {
                return Err("a ticket does not come".into());
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        alone.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    let (before, asked) = (tickets(), sandboxes.freshdesk.request_count());
    let rate = options.rate;
    let began = Instant::now();
    let duration = Duration::from_secs_f64(f64::from(options.calls) / f64::from(rate));
    let report = send(service.addr, Load { connections: 16, rate: Some(rate), duration }).await?;
    let sent = began.elapsed();
    let wanted = before + usize::try_from(report.calls_acknowledged)?;
    let mut all_tickets = None;
    loop {
        if all_tickets.is_none() && tickets() >= wanted {
            all_tickets = Some(began.elapsed());
        }
        if all_tickets.is_some() && noted() >= wanted {
            break;
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("{} of {wanted} tickets after {} s", tickets(), PATIENCE.as_secs()).into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let all = began.elapsed();
    let exchanges = sandboxes.freshdesk.request_count() - asked;
    let calls = report.calls_acknowledged as f64;
    println!("  alone: callback to ticket and note, median {:.1} ms", median(&alone));
    println!(
        "  sustained: {:.0} calls/s from the first callback to the last note: a ticket, a note and {:.1} requests each",
        calls / all.as_secs_f64(),
        exchanges as f64 / calls
    );
    println!(
        "  callbacks sent within {:.2} s, last ticket after {:.2} s, last note after {:.2} s: a lag of {:.2} s",
        sent.as_secs_f64(),
        all_tickets.unwrap_or(all).as_secs_f64(),
        all.as_secs_f64(),
        (all - sent).as_secs_f64()
    );
    if tickets() != wanted {
        return Err(format!("{} tickets for {wanted} calls", tickets()).into());
    }
    service.stop().await;
    Ok(())
}

/// Popups of agents who have their event streams open: from when a request was due to the event's arrival.
async fn popup(options: &Options, disk: &Path) -> Result<(), Error> {
    println!(
        "\n{} popups/s to {POPUP_AGENTS} agents with open event streams, open loop, {} s, {POPUP_CONNECTIONS} \
         connections; from when a request was due to the event's arrival:",
        options.popup_rate, options.rate_seconds
    );
    let rate = options.popup_rate;
    println!("  {:<44} {:>9} {:>9} {:>9} {:>9}", "", "p50 ms", "p99 ms", "p99.9 ms", "max ms");
    for _ in 0..options.rounds {
        let (sandboxes, dir) = (Sandboxes::start()?, tempfile::tempdir_in(disk)?);
        let agents: String =
            (0..POPUP_AGENTS).map(|n| format!("[[account.agent]]\nnumber = \"+91{}\"\n", rung(n))).collect();
        let text = sandboxes.config(dir.path(), loopback(), "error", &agents);
        let env = BTreeMap::from([("PATCHBAY__SERVER__ADMIN_TOKEN".to_owned(), ADMIN.to_owned())]);
        let service = Service::start(config::parse("benchmark", &text, &env)?).await?;
        let addr = service.addr;
        let seconds = u32::try_from(options.rate_seconds)?;
        let popups = rate * seconds;
        let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
        let mut streams = Vec::new();
        for agent in 0..POPUP_AGENTS {
            streams.push(stream(addr, agent, arrived.clone()).await?);
        }
        let began = Instant::now() + Duration::from_millis(100);
        let due = move |n: u32| began + Duration::from_secs_f64(f64::from(n) / f64::from(rate));
        let senders: Vec<_> = (0..POPUP_CONNECTIONS)
            .map(|connection| {
                std::thread::spawn(move || {
                    let mut line = OneByOne::connect(addr)?;
                    for n in (connection..popups).step_by(POPUP_CONNECTIONS as usize) {
                        std::thread::sleep(due(n).saturating_duration_since(Instant::now()));
                        line.popup(n)?;
                    }
                    Ok::<_, Error>(())
                })
            })
            .collect();
        let mut took = Vec::new();
        let all = async {
            while took.len() < popups as usize {
                let Some((n, at)) = arrivals.recv().await else { break };
                took.push(Instant::saturating_duration_since(&at, due(n)).as_secs_f64() * 1000.0);
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(options.rate_seconds) + POPUP_PATIENCE, all).await;
        for sender in senders {
            sender.join().map_err(|_| "a thread of the load panicked")??;
        }
        streams.into_iter().for_each(|stream| stream.abort());
        service.stop().await;
        if in_time.is_err() || took.len() < popups as usize {
            return Err(format!("{} of {popups} popups arrived", took.len()).into());
        }
        took.sort_by(f64::total_cmp);
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        println!(
            "  ({}) {:<40} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
            Target::Service.letter(),
            Target::Service.title(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    }
    Ok(())
}

/// An agent's number as it is dialled, without the country.
fn rung(agent: u32) -> String {
    format!("97115{agent:05}")
}

/// Opens an agent's event stream; tells the number of each call it hears of, and when.
async fn stream(
    to: SocketAddr,
    agent: u32,
    arrived: tokio::sync::mpsc::UnboundedSender<(u32, Instant)>,
) -> Result<tokio::task::JoinHandle<()>, Error> {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(to).await?;
    let path = format!("/api/v1/accounts/{SID}/agents/+91{}/events", rung(agent));
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {ADMIN}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut lines = tokio::io::BufReader::new(stream).lines();
    loop {
        match lines.next_line().await? {
            Some(line) if line == "event: begin" => break,
            Some(line) if line.starts_with("HTTP/1.1") && !line.contains("200") => return Err(line.into()),
            Some(_) => {}
            None => return Err("a stream ended".into()),
        }
    }
    Ok(tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let call = line.split_once("\"call_sid\":\"").and_then(|(_, rest)| rest.split('"').next());
            if let Some(n) = call.and_then(|call| u32::from_str_radix(call, 16).ok()) {
                // Nobody listens any more once all are there.
                let _ = arrived.send((n, Instant::now()));
            }
        }
    }))
}

// ---- Who is measured -------------------------------------------------------------------------------------------------

/// A target that runs, in the service's own HTTP server with its settings, on a database of its own.
struct Subject {
    addr: SocketAddr,
    running: Running,
    _sandboxes: Sandboxes,
    _dir: TempDir,
}

enum Running {
    Handler(ServerHandle, Option<Arc<dyn Store>>),
    Service(Box<Service>),
}

impl Subject {
    async fn start(target: Target, disk: &Path) -> Result<Self, Error> {
        let sandboxes = Sandboxes::start()?;
        let dir = tempfile::tempdir_in(disk)?;
        let config = parse(&sandboxes.config(dir.path(), loopback(), "error", ""))?;
        let handler = |store: Option<Arc<dyn Store>>| {
            let key = MasterKey::load_or_make(None, &dir.path().join("bench.db"))?;
            let doors = Doors::new(&config.accounts, Vec::new(), &key);
            let state = Data::new(State { doors, store: store.clone() });
            let listener = TcpListener::bind(loopback())?;
            let addr = listener.local_addr()?;
            let server = http_server(&config.server, listener, move |app: &mut ServiceConfig| {
                let path = "/v2/accounts/{sid}/{hook}";
                let route = match target {
                    Target::Bare => web::to(answer),
                    _ => web::to(read),
                };
                app.app_data(state.clone()).route(path, route);
            })?;
            let handle = server.handle();
            tokio::spawn(server);
            Ok::<_, Error>((addr, Running::Handler(handle, store)))
        };
        let store = |group| {
            let (path, queue) = (dir.path().join("patchbay.db"), config.store.queue);
            let store = SqliteStore::open(SqliteOptions { path, queue, group, busy_timeout: Duration::from_secs(5) })?;
            Ok::<_, Error>(Some(Arc::new(store) as Arc<dyn Store>))
        };
        let (addr, running) = match target {
            Target::Bare | Target::Reads => handler(None)?,
            Target::Single => handler(store(1)?)?,
            Target::Grouped => handler(store(1024)?)?,
            Target::Service => {
                let service = Service::start(config).await?;
                (service.addr, Running::Service(Box::new(service)))
            }
        };
        Ok(Self { addr, running, _sandboxes: sandboxes, _dir: dir })
    }

    async fn load(&self, load: Load) -> Result<LoadReport, Error> {
        send(self.addr, load).await
    }

    /// Receipts that the journal reader has decided on.
    fn read(&self) -> u64 {
        match &self.running {
            Running::Handler(..) => 0,
            Running::Service(service) => service.services.metrics.events.get(),
        }
    }

    async fn stop(self) {
        match self.running {
            Running::Handler(handle, store) => {
                handle.stop(true).await;
                if let Some(store) = store {
                    store.close().await;
                }
            }
            Running::Service(service) => service.stop().await,
        }
    }
}

struct State {
    doors: Doors,
    store: Option<Arc<dyn Store>>,
}

async fn answer() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("OK")
}

/// What every handler has to do with a callback, whether it stores it or not.
async fn read(request: HttpRequest, state: Data<State>) -> HttpResponse {
    let sid = request.match_info().get("sid").unwrap_or_default();
    let authorization = request.headers().get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
    if !state.doors.basic(sid, authorization) {
        return HttpResponse::Unauthorized().finish();
    }
    let receipt = Receipt {
        id: Uuid::now_v7(),
        account: sid.to_owned(),
        hook: Hook::CallEvents,
        received_at: Timestamp::now(),
        method: request.method().as_str().to_owned(),
        path: request.path().to_owned(),
        query: request.query_string().to_owned(),
        content_type: None,
        body: Vec::new(),
    };
    match &state.store {
        None => {
            let pairs: Vec<(String, String)> =
                url::form_urlencoded::parse(receipt.query.as_bytes()).into_owned().collect();
            black_box((pairs, receipt));
        }
        Some(store) => {
            if store.append(receipt).await.is_err() {
                return HttpResponse::ServiceUnavailable().finish();
            }
        }
    }
    answer().await
}

/// The CRM and Exotel's API, both in this process.
struct Sandboxes {
    freshdesk: Server<Freshdesk>,
    exotel: Server<Exotel>,
}

impl Sandboxes {
    fn start() -> Result<Self, Error> {
        Ok(Self {
            freshdesk: Server::start(loopback(), Freshdesk::instant(FD_KEY), Faults::none())?,
            exotel: Server::start(loopback(), Exotel::new(SID, KEY, TOKEN), Faults::none())?,
        })
    }

    fn config(&self, dir: &Path, listen: SocketAddr, level: &str, integration: &str) -> String {
        format!(
            r#"
            [server]
            listen = "{listen}"
            [store]
            url = "sqlite:{db}"
            [log]
            level = "{level}"
            [[account]]
            sid = "{SID}"
            api_url = "{exotel}"
            api_key = "{KEY}"
            api_token = "{TOKEN}"
            [[account.integration]]
            connector = "freshdesk"
            base_url = "{freshdesk}"
            api_key = "{FD_KEY}"
            {integration}
            "#,
            db = dir.join("patchbay.db").display(),
            exotel = self.exotel.url(),
            freshdesk = self.freshdesk.url(),
        )
    }
}

/// `patchbay serve`; killed when it is dropped.
struct Process(Child);

impl Process {
    fn start(config: &Path) -> Result<Self, Error> {
        let child = Command::new(env!("CARGO_BIN_EXE_patchbay"))
            .arg("serve")
            .arg("--config")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()?;
        Ok(Self(child))
    }

    /// Whether it says of itself that it can do its work.
    fn answers(&mut self, addr: SocketAddr) -> bool {
        let asked = TcpStream::connect(addr).and_then(|mut stream| {
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        asked.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    fn resident_mb(&self) -> Result<f64, Error> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// ---- The load --------------------------------------------------------------------------------------------------------

struct Load {
    connections: usize,
    rate: Option<u32>,
    duration: Duration,
}

async fn send(to: SocketAddr, load: Load) -> Result<LoadReport, Error> {
    send_to(to, format!("/v2/accounts/{SID}/call-events"), load).await
}

async fn send_to(to: SocketAddr, path: String, load: Load) -> Result<LoadReport, Error> {
    let to_whom = path.ends_with("/dialwhom");
    let options = LoadOptions {
        to,
        host: to.to_string(),
        path,
        authorization: Some(authorization()),
        connections: load.connections,
        duration: load.duration,
        rate: load.rate,
        callbacks_per_call: 1,
        dial_whom: to_whom,
    };
    let report = tokio::task::spawn_blocking(move || load::run(&options)).await??;
    if report.good() {
        Ok(report)
    } else {
        Err(format!("not every callback was answered 200: {:?} {:?}", report.answers_by_status, report.first_error)
            .into())
    }
}

/// A connection for single calls.
struct OneByOne(TcpStream);

impl OneByOne {
    fn connect(to: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// An agent's phone is being dialled.
    fn popup(&mut self, number: u32) -> Result<(), Error> {
        self.ask(&format!(
            "event=pop&CallSid={number:032x}&CallFrom=098{number:08}&CallTo=08047494574&Direction=incoming\
             &Created=Wed%2C+27+Dec+2023+12%3A17%3A05&CurrentTime=2023-12-27+12%3A17%3A05&DialWhomNumber=0{}\
             &Status=busy&EventType=Dial",
            rung(number % POPUP_AGENTS)
        ))
    }

    fn call(&mut self, number: usize) -> Result<(), Error> {
        let call = format!("{number:032x}");
        self.ask(&format!(
            "event=answered&CallSid={call}&CallFrom=097{number:08}\
             &CallTo=08047494574&Direction=incoming&Created=Wed%2C+27+Dec+2023+12%3A17%3A05\
             &DialWhomNumber=09711581199&CallStatus=completed&DialCallDuration=8&CallType=completed\
             &DialCallStatus=completed&StartTime=2023-12-27+12%3A17%3A05\
             &RecordingUrl=https%3A%2F%2Frecordings.exotel.com%2Fexotelrecordings%2Facme1%2F{call}.mp3"
        ))
    }

    fn ask(&mut self, query: &str) -> Result<(), Error> {
        let request = format!(
            "GET /v2/accounts/{SID}/call-events?{query} HTTP/1.1\r\n\
             Host: bench\r\nAuthorization: {}\r\n\r\n",
            authorization()
        );
        self.0.write_all(request.as_bytes())?;
        let mut answer = [0; 1024];
        let got = self.0.read(&mut answer)?;
        if answer[..got].starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err("a callback was not answered 200".into()) }
    }
}

fn authorization() -> String {
    format!("Basic {}", STANDARD.encode(format!("{KEY}:{TOKEN}")))
}

// ---- Small things ----------------------------------------------------------------------------------------------------

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn parse(text: &str) -> Result<Config, Error> {
    Ok(config::parse("benchmark", text, &BTreeMap::new())?)
}

/// The median time to append 4 KiB to a file and flush it.
fn flush(disk: &Path) -> Result<Duration, Error> {
    let dir = tempfile::tempdir_in(disk)?;
    let mut file = File::create(dir.path().join("flush"))?;
    let mut times = Vec::new();
    for _ in 0..300 {
        let began = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// Kind and mount point of the file system a directory is on.
fn file_system(dir: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let found = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(mount, _)| dir.starts_with(mount))
        .max_by_key(|(mount, _)| mount.len());
    match found {
        Some((_, "tmpfs")) => "tmpfs, which is no disk: flushes cost nothing here".to_owned(),
        Some((mount, kind)) => format!("{kind} on {mount}"),
        None => "unknown".to_owned(),
    }
}

fn ms(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
