//! What stands between the ends: the bridge itself, and what else one could put there. Each is a process on the core that
//! is measured.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
};

use crate::{
    Error,
    ends::{Dialect, SID},
};

const ADMIN: &str = "admin-token-0123456789abcdef";
const BOT: &str = "bot-token-0123456789abcdef";
/// Until it must listen.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Row {
    /// Bytes, and nothing known of them: a read and a write for each message
    Tcp,
    /// The same messages, by Node's `ws`
    Node,
    /// The same messages, by Python's `websockets`
    Python,
    /// The bridge, frames passed on unchanged
    Exotel,
    /// The bridge, to a server of Twilio's protocol: µ-law
    Twilio,
    /// The bridge, to a server of OpenAI's protocol: resampled to 24 kHz and back
    Openai,
}

impl Row {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP relay",
            Self::Node => "Node `ws` relay",
            Self::Python => "Python `websockets` relay",
            Self::Exotel => "bridge, `exotel`",
            Self::Twilio => "bridge, `twilio`",
            Self::Openai => "bridge, `openai_realtime` (24 kHz)",
        }
    }

    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::Tcp | Self::Node | Self::Python | Self::Exotel => Dialect::Exotel,
            Self::Twilio => Dialect::Twilio,
            Self::Openai => Dialect::Openai,
        }
    }
}

/// A process that ends with this.
pub(crate) struct Relay {
    child: Child,
    pub(crate) addr: String,
    pub(crate) path: String,
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) cpu: Duration,
    pub(crate) memory_kb: u64,
}

impl Relay {
    pub(crate) fn used(&self) -> Used {
        let of = PathBuf::from(format!("/proc/{}", self.child.id()));
        let tasks = fs::read_dir(of.join("task")).into_iter().flatten().flatten();
        let nanos = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        let cpu = Duration::from_nanos(nanos.sum());
        let status = fs::read_to_string(of.join("status")).unwrap_or_default();
        let memory =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
        Used { cpu, memory_kb: memory.unwrap_or(0) }
    }

    /// Of this row, towards a bot's server on that port. `Err`: why there is none here.
    pub(crate) fn start(row: Row, core: &str, bot: u16, scratch: &Path, bridge: &Path) -> Result<Self, Error> {
        let to = format!("ws://127.0.0.1:{bot}/bot");
        let on_core = |program: &Path| {
            let mut command = Command::new("taskset");
            command.args(["-c", core]).arg(program);
            command
        };
        let mut command = match row {
            Row::Tcp => {
                let mut command = on_core(&std::env::current_exe()?);
                command.args(["relay", &bot.to_string()]);
                command
            }
            Row::Node => {
                let mut command = on_core(Path::new("node"));
                command.arg(node(scratch)?).arg(&to);
                command
            }
            Row::Python => {
                let mut command = on_core(&python(scratch)?);
                command.arg(source("relay.py")).arg(&to);
                command
            }
            Row::Exotel | Row::Twilio | Row::Openai => return Self::bridge(row, core, &to, scratch, bridge),
        };
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let relay = Self { child, addr: format!("127.0.0.1:{}", line.trim()), path: "/bot".to_owned() };
        if line.trim().is_empty() { Err("it did not start".into()) } else { Ok(relay) }
    }

    fn bridge(row: Row, core: &str, to: &str, scratch: &Path, bridge: &Path) -> Result<Self, Error> {
        let backend = match row {
            Row::Twilio => "twilio",
            Row::Openai => "openai_realtime",
            _ => "exotel",
        };
        let home = scratch.join(format!("bridge-{backend}"));
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        // Nobody is to be reached but the bot's server; one core has one worker.
        let config = format!(
            r#"
            [server]
            listen = "127.0.0.1:{port}"
            admin_token = "{ADMIN}"
            workers = 1
            connections = 20000
            [store]
            url = "sqlite:{}"
            [log]
            level = "error"
            [sweep]
            enabled = false
            [voicebot]
            sessions = 5000
            sessions_per_account = 5000
            [[account]]
            sid = "{SID}"
            api_url = "http://127.0.0.1:9"
            ccm_url = "http://127.0.0.1:9"
            cpaas_url = "http://127.0.0.1:9"
            portal_url = "http://127.0.0.1:9"
            api_key = "exo-key"
            api_token = "exo-token"
            [[account.bot]]
            id = "sales"
            backend = "{backend}"
            url = "{to}"
            api_key = "sk-bench"
            token = "{BOT}"
            "#,
            home.join("bench.db").display()
        );
        let file = home.join("bench.toml");
        fs::write(&file, config)?;
        let child = Command::new("taskset")
            .args(["-c", core])
            .arg(bridge)
            .args(["serve", "--config"])
            .arg(file)
            .stdin(Stdio::null())
            .spawn()?;
        let relay = Self { child, addr: format!("127.0.0.1:{port}"), path: format!("/voicebot/{BOT}") };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(&relay.addr).is_err() {
            if Instant::now() > until {
                return Err("it did not start".into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(relay)
    }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/voice").join(name)
}

fn made(command: &mut Command) -> Result<(), Error> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said.lines().last().unwrap_or("it failed").to_owned().into()) }
}

/// The relay beside the package that it needs.
fn node(scratch: &Path) -> Result<PathBuf, Error> {
    let home = scratch.join("node");
    let relay = home.join("relay.mjs");
    fs::create_dir_all(&home)?;
    fs::copy(source("relay.mjs"), &relay)?;
    if !home.join("node_modules/ws").exists() {
        made(Command::new("npm").args(["install", "--no-audit", "--no-fund", "ws"]).current_dir(&home))?;
    }
    Ok(relay)
}

/// A Python that has the package.
fn python(scratch: &Path) -> Result<PathBuf, Error> {
    let home = scratch.join("python");
    let python = home.join("bin/python");
    let has = |python: &Path| made(Command::new(python).args(["-c", "import websockets"]));
    if has(&python).is_err() {
        made(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        made(Command::new(home.join("bin/pip")).args(["install", "--quiet", "websockets"]))?;
        has(&python)?;
    }
    Ok(python)
}

/// The role of the TCP relay: what any relay has to do, and nothing else.
pub(crate) fn tcp(bot: u16) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?.port());
        loop {
            let (caller, _) = listener.accept().await?;
            tokio::spawn(async move {
                let bot = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, bot)).await?;
                caller.set_nodelay(true)?;
                bot.set_nodelay(true)?;
                let ((from_caller, to_caller), (from_bot, to_bot)) = (caller.into_split(), bot.into_split());
                tokio::spawn(pass_on(from_caller, to_bot));
                pass_on(from_bot, to_caller).await
            });
        }
    })
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> std::io::Result<()> {
    let mut read = vec![0; 4096];
    loop {
        match from.read(&mut read).await? {
            0 => return Ok(()),
            bytes => to.write_all(&read[..bytes]).await?,
        }
    }
}
