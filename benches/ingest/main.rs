//! Says what durable ingest costs: beside handlers that do less in the same server, on the same disk, in one run. And
//! what follows from it: latency at a fixed rate, the idle process, callbacks in to tickets out. See `docs/BENCHMARKS.md`.

mod popup;
mod send;
mod subject;

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    time::{Duration, Instant},
};

use clap::Parser;
use jiff::Timestamp;
use patchbay::{
    app::Service,
    call::phone,
    config::{self, Config, LogFormat},
    context::KnownOwner,
    simulate::{Percentiles, load::LoadReport},
    store::LaneRef,
    telemetry,
};
use patchbay_sandbox::{Faults, Server, hubspot::HubSpot};

use popup::popup;
use send::{Load, OneByOne, send, send_to};
use subject::{Process, Sandboxes, Subject};

type Error = Box<dyn std::error::Error + Send + Sync>;

const SID: &str = "acme1";
const KEY: &str = "exo-key-5f3c9a";
const TOKEN: &str = "exo-token-81d2bb";
const FD_KEY: &str = "fd-key-77ab01c2";
/// Callers who ask at once whose they are: far above what Exotel lets through for one account.
const WHOM_RATE: u32 = 500;
const WHOM_CONNECTIONS: usize = 8;
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
