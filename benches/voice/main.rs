//! Says how many voicebot calls the bridge holds on one core, beside what else could stand there, and what a call costs.
//! See `docs/BENCHMARKS.md`.

mod ends;
mod mouth;
mod relays;
mod seen;
mod tone;
mod wire;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand, builder::ArgPredicate};
use ends::Dialect;
use relays::{Relay, Row, Used};
use seen::{Seen, Spread};
use serde::de::DeserializeOwned;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Later, it is heard.
const GOAL_MS: f64 = 10.0;
/// The ends themselves are this late at most; else it is they who were measured.
const OWN_MS: f64 = 5.0;

/// `cargo bench --bench voice -- [options]`
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    role: Option<Role>,
    #[arg(long, value_delimiter = ',', value_enum, default_value = "tcp,node,python,exotel,twilio,openai")]
    #[arg(default_value_if("long", ArgPredicate::IsPresent, "exotel,openai"))]
    rows: Vec<Row>,
    /// Calls to begin with, and how many are added until it is too much
    #[arg(long, default_value_t = 100)]
    step: usize,
    #[arg(long, default_value_t = 2000)]
    most: usize,
    /// Of each measurement
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How often a number of calls is tried before it counts as too many: the machine has other things to do, too
    #[arg(long, default_value_t = 3)]
    tries: usize,
    /// Holds so many calls for so many minutes instead, and looks at the memory
    #[arg(long, value_name = "MINUTES", num_args = 0..=1, default_missing_value = "30")]
    long: Option<u64>,
    #[arg(long, default_value_t = 200)]
    calls: usize,
    /// Another bridge than the one that was built with this
    #[arg(long, default_value = env!("CARGO_BIN_EXE_patchbay"), hide_default_value = true)]
    binary: PathBuf,
    /// The core of what is measured, and that of the ends
    #[arg(long, default_value = "1")]
    core: String,
    #[arg(long, default_value = "0")]
    ends_core: String,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Both ends of the calls
    #[command(hide = true)]
    Ends { dialect: Dialect },
    /// The TCP relay
    #[command(hide = true)]
    Relay { bot: u16 },
}

fn main() -> Result<(), Error> {
    let options = Options::parse();
    match options.role {
        Some(Role::Ends { dialect }) => return ends::run(dialect),
        Some(Role::Relay { bot }) => return relays::tcp(bot),
        None => {}
    }
    let busy = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let busy = busy.split(' ').next().unwrap_or("?");
    println!(
        "Load average {busy} before the start; 50 frames a second each way, of 20 ms; {} s a measurement.\n",
        options.seconds
    );
    if let Some(minutes) = options.long {
        return long(&options, minutes);
    }
    let mut rows = Vec::new();
    for row in &options.rows {
        match ramp(&options, *row) {
            Ok(ramped) => rows.push(ramped),
            Err(error) => println!("{}: left out: {error}", row.name()),
        }
    }
    print(&rows);
    Ok(())
}

/// The process on the other core.
struct Ends {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ends {
    /// And the port of the bot's server.
    fn start(core: &str, dialect: Dialect) -> Result<(Self, u16), Error> {
        let dialect = format!("{dialect:?}").to_lowercase();
        let mut child = Command::new("taskset")
            .args(["-c", core])
            .arg(std::env::current_exe()?)
            .args(["ends", &dialect])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (to, from) = (child.stdin.take().ok_or("no input")?, child.stdout.take().ok_or("no output")?);
        let mut ends = Self { child, to, from: BufReader::new(from) };
        let port = ends.answer()?;
        Ok((ends, port))
    }

    fn say(&mut self, line: &str) -> Result<(), Error> {
        writeln!(self.to, "{line}")?;
        Ok(self.to.flush()?)
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    fn calls(&mut self, calls: usize) -> Result<(), Error> {
        self.say(&format!("calls {calls}"))?;
        let (made, why): (usize, String) = self.answer()?;
        if made == calls { Ok(()) } else { Err(format!("call {} of {calls}: {why}", made + 1).into()) }
    }

    fn measure(&mut self, seconds: f64) -> Result<Seen, Error> {
        self.say(&format!("measure {seconds}"))?;
        self.answer()
    }
}

/// So many calls, for a while.
#[derive(Clone, Debug)]
struct Step {
    seen: Seen,
    core: f64,
    memory_kb: u64,
}

impl Step {
    fn measure(ends: &mut Ends, relay: &Relay, seconds: f64) -> Result<Self, Error> {
        let (before, began): (Used, _) = (relay.used(), Instant::now());
        let seen = ends.measure(seconds)?;
        let (after, took) = (relay.used(), began.elapsed());
        Ok(Self { seen, core: (after.cpu - before.cpu).as_secs_f64() / took.as_secs_f64(), memory_kb: after.memory_kb })
    }

    /// What is added to a frame's way: both ways where it comes back, else the way to the bot.
    fn added(&self, dialect: Dialect) -> Spread {
        if dialect.echoes() { self.seen.echo } else { self.seen.up }
    }

    /// What is too much.
    fn fault(&self, dialect: Dialect) -> Option<String> {
        let Seen { lost, missing, refused, heard, jitter, late, .. } = &self.seen;
        let p99 = self.added(dialect).p99;
        if *lost > 0 {
            Some(format!("{lost} connections ended"))
        } else if *missing > 0 {
            Some(format!("{missing} frames missing"))
        } else if *refused > 0 {
            Some(format!("{refused} frames not taken"))
        } else if *heard == 0 {
            Some("nothing heard".to_owned())
        } else if p99 > GOAL_MS {
            Some(format!("p99 {p99:.1} ms"))
        } else if !dialect.echoes() && jitter.p99 > GOAL_MS {
            Some(format!("jitter p99 {:.1} ms", jitter.p99))
        } else if late.p99 > OWN_MS {
            Some(format!("the ends themselves {:.1} ms late", late.p99))
        } else {
            None
        }
    }
}

struct Ramped {
    row: Row,
    held: Vec<Step>,
    stopped_by: String,
}

fn ramp(options: &Options, row: Row) -> Result<Ramped, Error> {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (mut ends, port) = Ends::start(&options.ends_core, row.dialect())?;
    let relay = Relay::start(row, &options.core, port, scratch, &options.binary)?;
    ends.say(&format!("to {} {}", relay.addr, relay.path))?;
    let mut held = Vec::new();
    for calls in (options.step..=options.most).step_by(options.step) {
        let stopped_by = match ends.calls(calls) {
            Err(error) if held.is_empty() => return Err(error),
            Err(error) => error.to_string(),
            Ok(()) => {
                // What the beginning of so many calls has cost is over.
                ends.measure(1.0)?;
                let mut best: Option<Step> = None;
                for _ in 0..options.tries {
                    let step = Step::measure(&mut ends, &relay, options.seconds)?;
                    let fault = step.fault(row.dialect());
                    let Spread { p50, p99, p999, .. } = step.added(row.dialect());
                    eprintln!(
                        "{}: {calls} calls: {:.2} of a core, {p50:.2} {p99:.2} {p999:.2} ms, jitter {:.2}, ends late {:.2}, \
                         {} kB, {} missing{}",
                        row.name(),
                        step.core,
                        step.seen.jitter.p99,
                        step.seen.late.p99,
                        step.memory_kb,
                        step.seen.missing,
                        fault.as_ref().map(|fault| format!(": {fault}")).unwrap_or_default()
                    );
                    let good = fault.is_none();
                    best = Some(step);
                    if good {
                        break;
                    }
                }
                match best {
                    Some(step) => match step.fault(row.dialect()) {
                        None => {
                            held.push(step);
                            continue;
                        }
                        Some(fault) => fault,
                    },
                    None => "not tried".to_owned(),
                }
            }
        };
        return Ok(Ramped { row, held, stopped_by: format!("{calls} calls: {stopped_by}") });
    }
    Ok(Ramped { row, held, stopped_by: "was not looked for".to_owned() })
}

fn print(rows: &[Ramped]) {
    let held = |row: &Ramped| row.held.last().map_or(0, |step| step.seen.calls);
    let most = rows.iter().find(|ramped| ramped.row == Row::Tcp).map(held).filter(|calls| *calls > 0);
    println!(
        "| | calls held | of the TCP relay's | core | added p50 | p99 | p99.9 ms | jitter p99 ms | kB a call | too much was |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for ramped in rows {
        let Ramped { row, held: steps, stopped_by } = ramped;
        let (Some(first), Some(last)) = (steps.first(), steps.last()) else {
            println!("| {} | 0 | | | | | | | | {stopped_by} |", row.name());
            continue;
        };
        let calls = held(ramped);
        let share = most.map_or("-".to_owned(), |most| format!("{:.0} %", 100.0 * calls as f64 / most as f64));
        let more = calls - first.seen.calls;
        let each = match more {
            0 => "-".to_owned(),
            more => format!("{:.0}", (last.memory_kb.saturating_sub(first.memory_kb)) as f64 / more as f64),
        };
        let Spread { p50, p99, p999, .. } = last.added(row.dialect());
        println!(
            "| {} | {calls} | {share} | {:.2} | {p50:.2} | {p99:.2} | {p999:.2} | {:.2} | {each} | {stopped_by} |",
            row.name(),
            last.core,
            last.seen.jitter.p99
        );
    }
    println!("\nAt {} calls:\n", rows.iter().filter_map(|row| Some(row.held.first()?.seen.calls)).max().unwrap_or(0));
    println!("| | core | added p50 | p99 | p99.9 ms | jitter p99 ms |\n|---|---|---|---|---|---|");
    for Ramped { row, held, .. } in rows {
        if let Some(step) = held.first() {
            let Spread { p50, p99, p999, .. } = step.added(row.dialect());
            let jitter = step.seen.jitter.p99;
            println!("| {} | {:.2} | {p50:.2} | {p99:.2} | {p999:.2} | {jitter:.2} |", row.name(), step.core);
        }
    }
}

/// Memory over a long time.
fn long(options: &Options, minutes: u64) -> Result<(), Error> {
    println!("{} calls for {minutes} minutes:\n", options.calls);
    println!(
        "| | MB after 1 min | at the end | kB a minute | core | worst p99 of 10 s | missing | lost |\n|---|---|---|---|---|---|---|---|"
    );
    for row in &options.rows {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (mut ends, port) = Ends::start(&options.ends_core, row.dialect())?;
        let relay = match Relay::start(*row, &options.core, port, scratch, &options.binary) {
            Ok(relay) => relay,
            Err(error) => {
                println!("| {}: left out: {error} |", row.name());
                continue;
            }
        };
        ends.say(&format!("to {} {}", relay.addr, relay.path))?;
        ends.calls(options.calls)?;
        ends.measure(60.0)?;
        let began = Instant::now();
        let mut points: Vec<(f64, f64)> = Vec::new();
        let (mut missing, mut lost, mut worst, mut core) = (0, 0, 0.0f64, 0.0);
        while began.elapsed() < Duration::from_secs((minutes * 60).saturating_sub(60)) {
            let step = Step::measure(&mut ends, &relay, 10.0)?;
            points.push((began.elapsed().as_secs_f64() / 60.0, step.memory_kb as f64));
            missing += step.seen.missing;
            lost = step.seen.lost;
            worst = worst.max(step.added(row.dialect()).p99);
            core += step.core;
        }
        let (Some(first), Some(last)) = (points.first(), points.last()) else { continue };
        println!(
            "| {} | {:.1} | {:.1} | {:.1} | {:.2} | {worst:.2} ms | {missing} | {lost} |",
            row.name(),
            first.1 / 1024.0,
            last.1 / 1024.0,
            slope(&points),
            core / points.len() as f64
        );
    }
    Ok(())
}

/// By least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let many = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / many, y + point.1 / many));
    let (up, down) = points.iter().fold((0.0, 0.0), |(up, down), point| {
        (up + (point.0 - x) * (point.1 - y), down + (point.0 - x) * (point.0 - x))
    });
    if down > 0.0 { up / down } else { 0.0 }
}
