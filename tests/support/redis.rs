//! A Redis of a test's own, and a proxy before it that fails as networks do. Shared by unit and end-to-end tests.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
};

/// How long anything may take before a test says that it does not happen. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Redis server on loopback, without persistence: what it is restarted with is nothing.
#[derive(Debug)]
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    dir: TempDir,
    password: Option<&'static str>,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::with_password(None)
    }

    pub(crate) fn with_password(password: Option<&'static str>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let began = Instant::now();
        loop {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let port = free.local_addr().expect("its address").port();
            drop(free);
            // Somebody may have taken the port meanwhile: then it ends at once, and another is tried.
            if let Some(child) = run(dir.path(), port, password) {
                return Self { child, port, dir, password };
            }
            assert!(began.elapsed() < PATIENCE, "redis-server does not start");
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// SIGKILL, and a new one in its place that knows nothing.
    pub(crate) fn restart_empty(&mut self) {
        self.kill();
        let began = Instant::now();
        self.child = loop {
            if let Some(child) = run(self.dir.path(), self.port, self.password) {
                break child;
            }
            assert!(began.elapsed() < PATIENCE, "redis-server does not start again");
        };
    }

    fn kill(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts one and waits until it answers; `None` if it ends before.
fn run(dir: &Path, port: u16, password: Option<&str>) -> Option<Child> {
    let started = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(password.map(|password| ["--requirepass", password]).into_iter().flatten())
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            panic!(
                "there is no redis-server: install it (Debian: apt-get install redis-server), or run ./test.sh as root"
            )
        }
        Err(error) => panic!("redis-server: {error}"),
    };
    let began = Instant::now();
    while !answers(port) {
        if child.try_wait().expect("it can be asked").is_some() {
            return None;
        }
        assert!(began.elapsed() < PATIENCE, "redis-server does not answer");
        std::thread::yield_now();
    }
    Some(child)
}

fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(answer == *b"+PONG" || answer == *b"-NOAU")
    };
    ask().unwrap_or(false)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    /// Connections stay, and are made; no byte passes.
    Stalled,
    /// Connections end as soon as they are made.
    Refusing,
}

/// A TCP proxy that does not do what it should.
#[derive(Debug)]
pub(crate) struct ChaosProxy {
    addr: SocketAddr,
    mode: watch::Sender<Mode>,
    /// Counted up to end all connections there are.
    cut: watch::Sender<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl ChaosProxy {
    pub(crate) async fn before(upstream: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let addr = listener.local_addr().expect("its address");
        let (mode, modes) = watch::channel(Mode::Open);
        let (cut, cuts) = watch::channel(0);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *modes.borrow() != Mode::Refusing {
                    tokio::spawn(pass(client, upstream, modes.clone(), cuts.clone()));
                }
            }
        });
        Self { addr, mode, cut, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/0", self.addr)
    }

    /// Ends all connections; new ones pass.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    pub(crate) fn stall(&self) {
        self.mode.send_replace(Mode::Stalled);
    }

    pub(crate) fn refuse(&self) {
        self.mode.send_replace(Mode::Refusing);
        self.cut();
    }

    pub(crate) fn heal(&self) {
        self.mode.send_replace(Mode::Open);
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn pass(
    client: tokio::net::TcpStream,
    upstream: SocketAddr,
    modes: watch::Receiver<Mode>,
    mut cuts: watch::Receiver<u64>,
) {
    cuts.mark_unchanged();
    let both = async {
        let Ok(server) = tokio::net::TcpStream::connect(upstream).await else { return };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = copy(from_client, to_server, modes.clone()) => {}
            () = copy(from_server, to_client, modes.clone()) => {}
        }
    };
    tokio::select! {
        () = both => {}
        _ = cuts.changed() => {}
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut modes: watch::Receiver<Mode>) {
    let mut chunk = [0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut chunk).await else { return };
        if modes.wait_for(|mode| *mode != Mode::Stalled).await.is_err() || to.write_all(&chunk[..count]).await.is_err()
        {
            return;
        }
    }
}
