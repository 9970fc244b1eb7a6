//! The simulated Exotel: plays call flows, or a load of them, against a running service, and voicebot streams against
//! any bot's server.

pub mod cast;
pub mod flow;
mod histogram;
pub mod load;
pub mod play;
pub mod voicebot;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use patchbay_sandbox::{Faults, Server, exotel::Exotel};
use url::Url;
use uuid::Uuid;

pub use histogram::{Histogram, Percentiles};

use cast::{Cast, CastAgent, Instance, Pace};
use flow::{Flow, HookName};
use load::{LoadOptions, LoadReport};
use play::{Answer, Door, Player, Target};

/// Calls that are played side by side; more are played after them.
const AT_ONCE: usize = 256;
/// Wrong usage, as clap's own errors.
const USAGE: u8 = 2;

/// What `patchbay simulate` is told.
#[derive(Clone, Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  patchbay simulate --to http://127.0.0.1:8080 --account exotel535 --key K --token T
  patchbay simulate --to http://127.0.0.1:8080 --account exotel535 --flow missed --calls 5 --speed 1
  patchbay simulate --to http://127.0.0.1:8080 --account exotel535 --load --rate 2000 --duration 30s

Exits 0 if every callback was answered 2xx, 1 if not, 2 on wrong usage. It looks at answers and times only; what a
call became in the CRM is shown by the service's API, or by `patchbay demo`."
)]
pub struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// The running service, such as http://127.0.0.1:8080
    #[arg(long, value_name = "URL", required_unless_present = "list")]
    to: Option<String>,
    /// The account as the service knows it: its SID
    #[arg(long, value_name = "SID", default_value = "exotel535")]
    account: String,
    /// The account's API key; default: the environment variable EXOTEL_KEY
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The account's API token; default: the environment variable EXOTEL_TOKEN
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Come in by this hook token instead of key and token
    #[arg(long, value_name = "TOKEN")]
    hook_token: Option<String>,

    /// Lists the flows there are, and exits
    #[arg(long)]
    list: bool,
    /// Plays this flow; can be given several times. Default: all flows
    #[arg(long, value_name = "NAME", conflicts_with = "load")]
    flow: Vec<String>,
    /// How many calls of each flow
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    calls: u32,
    /// Seconds of a call that pass in one real second; 1 plays calls at their real length
    #[arg(long, value_name = "X", default_value = "60", value_parser = speed)]
    speed: f64,
    /// Serves Exotel's REST side here (call details, recordings), for a service configured with this `api_url`
    #[arg(long, value_name = "ADDR", conflicts_with = "load")]
    exotel: Option<SocketAddr>,
    /// How long the REST side stays up after the last callback
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    stay: Duration,

    /// Makes a load of answered calls instead of playing flows
    #[arg(long)]
    load: bool,
    /// Load: connections that are kept open
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Load: how long
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Load: callbacks per second, latencies measured from when each was due. Default: as many as are answered
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Load: callbacks of each call, 1 to 5
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    callbacks: u8,
    /// Load: the result as JSON
    #[arg(long, requires = "load")]
    json: bool,
}

/// A part of Exotel's that is played in another way.
#[derive(Clone, Debug, Subcommand)]
enum Part {
    /// Plays a voicebot's stream against any server, and tells rule by rule how it behaves
    Voicebot(Box<voicebot::Options>),
}

fn duration(text: &str) -> Result<Duration, String> {
    // A day is more than anybody waits for.
    let read = crate::config::parse_duration(text).filter(|duration| *duration <= Duration::from_secs(86_400));
    read.ok_or_else(|| "write 500ms, 10s or 2m".to_owned())
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed: &f64| speed.is_finite() && (0.01..=10_000.0).contains(speed));
    speed.ok_or_else(|| "write a number from 0.01 to 10000".to_owned())
}

/// Runs the command.
pub async fn run(options: Options) -> ExitCode {
    match carry_out(options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Wrong::Usage(message)) => {
            eprintln!("patchbay simulate: {message}");
            ExitCode::from(USAGE)
        }
        Err(Wrong::Failed(message)) => {
            eprintln!("patchbay simulate: {message}");
            ExitCode::FAILURE
        }
    }
}

enum Wrong {
    Usage(String),
    Failed(String),
}

async fn carry_out(options: Options) -> Result<bool, Wrong> {
    if let Some(Part::Voicebot(options)) = &options.part {
        return voicebot::run(options).await;
    }
    let flows = flow::flows().map_err(|error| Wrong::Failed(error.to_string()))?;
    if options.list {
        for flow in &flows {
            println!("{:<16} {:>2} callbacks  {}", flow.name, flow.callbacks.len(), flow.title);
        }
        return Ok(true);
    }
    let flows = chosen(flows, &options.flow).map_err(Wrong::Usage)?;
    let key = options.key.clone().or_else(|| std::env::var("EXOTEL_KEY").ok());
    let token = options.token.clone().or_else(|| std::env::var("EXOTEL_TOKEN").ok());
    let credentials = key.zip(token);
    let door = match (&options.hook_token, &credentials) {
        (Some(token), _) => Door::HookToken(token.clone()),
        (None, Some((key, token))) => Door::Basic { key: key.clone(), token: token.clone() },
        (None, None) => {
            return Err(Wrong::Usage(
                "give the account's --key and --token (or EXOTEL_KEY and EXOTEL_TOKEN), or a --hook-token".to_owned(),
            ));
        }
    };
    let to = options.to.as_deref().unwrap_or_default();
    let target = Target::new(to, &options.account, door).map_err(Wrong::Usage)?;
    if options.load {
        return make_load(&options, &target).await;
    }
    let exotel = match (options.exotel, credentials) {
        (None, _) => None,
        (Some(addr), Some((key, token))) => {
            Some(serve(addr, Exotel::new(&options.account, key, token)).map_err(Wrong::Failed)?)
        }
        (Some(_), None) => {
            return Err(Wrong::Usage("--exotel asks for the account's --key and --token, so give them".to_owned()));
        }
    };
    let player = Player::new(target).map_err(Wrong::Failed)?;
    play_flows(&options, &flows, &player, exotel.as_ref()).await
}

fn chosen(flows: Vec<Flow>, names: &[String]) -> Result<Vec<Flow>, String> {
    if let Some(unknown) = names.iter().find(|name| !flows.iter().any(|flow| flow.name == **name)) {
        let known: Vec<&str> = flows.iter().map(|flow| flow.name.as_str()).collect();
        return Err(format!("there is no flow {unknown:?}; there are: {}", known.join(", ")));
    }
    Ok(flows.into_iter().filter(|flow| names.is_empty() || names.contains(&flow.name)).collect())
}

/// Puts a simulated Exotel on a socket.
///
/// # Errors
/// When it cannot listen there.
pub fn serve(addr: SocketAddr, exotel: Exotel) -> Result<Server<Exotel>, String> {
    let server = Server::start(addr, exotel, Faults::default())
        .map_err(|error| format!("the simulated Exotel cannot listen on {addr}: {error}"))?;
    let url = server.url();
    server.with(|exotel| exotel.set_public_url(url));
    Ok(server)
}

/// A CallSid nobody has had yet: 32 hexadecimal digits.
pub fn new_call_sid() -> String {
    Uuid::new_v4().simple().to_string()
}

async fn play_flows(
    options: &Options,
    flows: &[Flow],
    player: &Player,
    exotel: Option<&Server<Exotel>>,
) -> Result<bool, Wrong> {
    let began = Instant::now();
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let planned: Vec<(u32, &Flow)> =
        (0..options.calls).flat_map(|round| flows.iter().map(move |flow| (round, flow))).collect();
    for batch in planned.chunks(AT_ONCE) {
        let pace = Pace { begins: Timestamp::now(), speed: options.speed };
        let calls: Vec<Instance> = batch
            .iter()
            .enumerate()
            .map(|(number, (round, flow))| {
                let caller = u64::from(*round) * flows.len() as u64 + number as u64;
                flow.instantiate(invented(caller, &options.account, exotel), pace)
            })
            .collect();
        if let Some(exotel) = exotel {
            exotel.with(|exotel| calls.iter().for_each(|call| exotel.add_call(call.call.clone())));
        }
        for (call, answers) in calls.iter().zip(player.play(&calls).await) {
            let flow = flows.iter().find(|flow| flow.name == call.name);
            rows.entry(flow.map_or("", |flow| flow.name.as_str())).or_default().add(&answers);
        }
    }
    let mut all = Row::default();
    println!("{}", Row::HEAD);
    for flow in flows {
        if let Some(row) = rows.get(flow.name.as_str()) {
            println!("{}", row.line(&flow.name));
            all.merge(row);
        }
    }
    println!("{}  in {:.1} s", all.line("all"), began.elapsed().as_secs_f64());
    for (error, times) in &all.errors {
        println!("{times} × {error}");
    }
    if let Some(exotel) = exotel {
        println!("The simulated Exotel stays at {} for {} s; Ctrl-C ends it.", exotel.url(), options.stay.as_secs());
        tokio::select! {
            () = tokio::time::sleep(options.stay) => {}
            () = crate::signal::wait() => {}
        }
        println!("It was asked {} times.", exotel.request_count());
    }
    Ok(all.good == all.answers && all.answers > 0)
}

/// Invented people: numbers in the forms of the fact sheet's samples.
fn invented(caller: u64, account: &str, exotel: Option<&Server<Exotel>>) -> Cast {
    let call_sid = new_call_sid();
    let recording_url = match exotel {
        Some(server) => server.with(|exotel| exotel.recording_url(&call_sid)),
        None => format!("https://recordings.exotel.com/exotelrecordings/{account}/{call_sid}.mp3"),
    };
    Cast {
        customer: format!("098765{:05}", caller % 100_000),
        exophone: "08047494574".to_owned(),
        agents: agents(),
        recording_url,
        call_sid,
    }
}

/// The two agents of every invented call.
pub fn agents() -> [CastAgent; 2] {
    [("09711581199", "avnish@example.com"), ("09052161119", "meera@example.com")]
        .map(|(number, email)| CastAgent { number: number.to_owned(), email: email.to_owned() })
}

/// A line of the table: what became of the callbacks of one flow.
#[derive(Default)]
struct Row {
    calls: u64,
    answers: u64,
    good: u64,
    by_status: BTreeMap<u16, u64>,
    errors: BTreeMap<String, u64>,
    latencies: Histogram,
}

impl Row {
    const HEAD: &str = "flow                      calls  callbacks  answers            p50 ms   max ms";

    fn add(&mut self, answers: &[Answer]) {
        self.calls += 1;
        for answer in answers {
            self.answers += 1;
            self.good += u64::from(answer.good());
            self.latencies.record(answer.latency);
            match &answer.status {
                Ok(status) => *self.by_status.entry(*status).or_default() += 1,
                Err(error) => *self.errors.entry(error.clone()).or_default() += 1,
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.answers += other.answers;
        self.good += other.good;
        for (status, times) in &other.by_status {
            *self.by_status.entry(*status).or_default() += times;
        }
        for (error, times) in &other.errors {
            *self.errors.entry(error.clone()).or_default() += times;
        }
        self.latencies.merge(&other.latencies);
    }

    fn line(&self, name: &str) -> String {
        let mut said: Vec<String> =
            self.by_status.iter().map(|(status, times)| format!("{times} × {status}")).collect();
        let lost: u64 = self.errors.values().sum();
        if lost > 0 {
            said.push(format!("{lost} × none"));
        }
        let Percentiles { p50_ms, max_ms, .. } = self.latencies.percentiles();
        format!(
            "{name:<25} {:>5} {:>10}  {:<16} {p50_ms:>8.1} {max_ms:>8.1}",
            self.calls,
            self.answers,
            said.join(", ")
        )
    }
}

async fn make_load(options: &Options, target: &Target) -> Result<bool, Wrong> {
    let url = Url::parse(&target.url(HookName::CallEvents)).map_err(|error| Wrong::Usage(error.to_string()))?;
    if url.scheme() != "http" {
        return Err(Wrong::Usage("a load is made over http only: TLS would cost more than the requests".to_owned()));
    }
    let (host, port) = (url.host_str().unwrap_or_default().to_owned(), url.port_or_known_default().unwrap_or(80));
    let load = LoadOptions {
        to: load::resolve(host.trim_matches(['[', ']']), port)
            .map_err(|error| Wrong::Failed(format!("{host}: {error}")))?,
        host: format!("{host}:{port}"),
        path: url.path().to_owned(),
        authorization: target.authorization(),
        connections: options.connections as usize,
        duration: options.duration,
        rate: options.rate,
        callbacks_per_call: usize::from(options.callbacks),
        dial_whom: false,
    };
    let report = tokio::task::spawn_blocking(move || load::run(&load))
        .await
        .map_err(|error| Wrong::Failed(error.to_string()))?
        .map_err(|error| Wrong::Failed(format!("{} connections cannot be started: {error}", options.connections)))?;
    if options.json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| Wrong::Failed(error.to_string()))?;
        println!("{text}");
    } else {
        print!("{}", table(&report));
    }
    Ok(report.good())
}

fn table(report: &LoadReport) -> String {
    let statuses: Vec<String> =
        report.answers_by_status.iter().map(|(status, times)| format!("{times} × {status}")).collect();
    let Percentiles { p50_ms, p90_ms, p99_ms, p999_ms, max_ms } = report.latency;
    let pace = match report.rate {
        Some(rate) => format!("{rate} callbacks/s, latency from when each was due"),
        None => "each connection as fast as it is answered".to_owned(),
    };
    let mut text = format!(
        "load      {} connections, {pace}\n\
         sent      {} callbacks in {:.1} s\n\
         answers   {} ({:.0}/s)\n\
         errors    {}{}\n\
         calls     {} acknowledged\n",
        report.connections,
        report.requests,
        report.seconds,
        if statuses.is_empty() { "none".to_owned() } else { statuses.join(", ") },
        report.per_second,
        report.errors,
        report.first_error.as_ref().map(|error| format!(", the first: {error}")).unwrap_or_default(),
        report.calls_acknowledged,
    );
    text.push_str(&format!(
        "latency   p50 {p50_ms:.2} ms   p90 {p90_ms:.2} ms   p99 {p99_ms:.2} ms   p99.9 {p999_ms:.2} ms   \
         max {max_ms:.2} ms\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn parse(arguments: &str) -> Result<Options, String> {
        let arguments = std::iter::once("simulate").chain(arguments.split_whitespace());
        Cli::try_parse_from(arguments).map(|cli| cli.options).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_read_and_refused() {
        let options = parse("--to http://x --load --duration 2m --rate 2000 --callbacks 3").expect("options");
        assert_eq!((options.duration, options.rate), (Duration::from_secs(120), Some(2000)));
        assert!(parse("--list").is_ok());
        assert!(parse("voicebot --to wss://bot.example.com/path --only rate --only stall").is_ok());
        for (wrong, cure) in [
            ("", "--to"),
            ("--to http://x --duration 5", "write 500ms, 10s or 2m"),
            ("--to http://x --speed 0", "0.01"),
            ("--to http://x --load --flow a", "cannot be used with"),
            ("--to http://x --json", "--load"),
            ("voicebot", "--to"),
            ("voicebot --to ws://x --only rate --calls 2", "cannot be used with"),
        ] {
            let error = parse(wrong).expect_err(wrong);
            assert!(error.contains(cure), "{wrong}: {error}");
        }
    }

    #[test]
    fn an_unknown_flow_is_told_with_those_there_are() {
        let all = flow::flows().expect("the flows");
        let error = chosen(all.clone(), &["nonsense".to_owned()]).expect_err("refused");
        assert!(all.iter().all(|flow| error.contains(&flow.name)), "{error}");
        assert_eq!(chosen(all.clone(), &[]).expect("all").len(), all.len());
    }

    #[test]
    fn a_row_counts_answers_and_losses() {
        let answer = |status| Answer {
            at: Duration::ZERO,
            label: String::new(),
            late: false,
            copy: false,
            status,
            latency: Duration::from_millis(2),
        };
        let mut row = Row::default();
        row.add(&[answer(Ok(200)), answer(Ok(503)), answer(Err("connection refused".to_owned()))]);
        assert_eq!((row.calls, row.answers, row.good), (1, 3, 1));
        let line = row.line("x");
        assert!(line.contains("1 × 200, 1 × 503, 1 × none"), "{line}");
    }
}
