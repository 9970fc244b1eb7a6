//! A PostgreSQL server for tests: the one of `PATCHBAY_TEST_POSTGRES`, else one of their own, made from the binaries of
//! this machine in a temporary directory. It ends when the tests do, however they end.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use tokio_postgres::{Client, NoTls};

const USER: &str = "patchbay";
pub(crate) const PASSWORD: &str = "pg-password-4c1f";
const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps a server of the binaries in $1 at port $2, with the password $3 of the user $4, started and stopped by words on its input; when that ends, so does the server.
const KEEPER: &str = r#"
    dir=$(mktemp -d "${TMPDIR:-/tmp}/patchbay-postgres.XXXXXX") || exit 1
    trap 'kill -QUIT "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
    printf '%s' "$3" >"$dir/password"
    "$1/initdb" -D "$dir/data" -U "$4" --pwfile="$dir/password" -A scram-sha-256 -E UTF8 --locale=C --no-sync \
        >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
    while read -r word; do
        case $word in
        start)
            "$1/postgres" -D "$dir/data" -c listen_addresses=127.0.0.1 -c port="$2" -c unix_socket_directories= \
                -c max_connections=300 -c fsync=off >>"$dir/log" 2>&1 &
            pid=$! ;;
        stop) kill -INT "$pid"; wait "$pid" ;;
        esac
        echo "$word"
    done
"#;

/// A running server.
#[derive(Debug)]
pub(crate) struct Postgres {
    /// Of its `postgres` database.
    url: String,
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    keeper: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Postgres {
    /// The given server, or a new one. `None`: there is no PostgreSQL here, which is said where nobody can miss it.
    pub(crate) fn start() -> Option<Self> {
        if let Ok(url) = std::env::var("PATCHBAY_TEST_POSTGRES") {
            return Some(Self { url, own: None });
        }
        Self::start_own()
    }

    /// A new one, which the test may stop.
    pub(crate) fn start_own() -> Option<Self> {
        let Some(bin) = binaries() else {
            // Not by eprintln!, which is shown only of tests that fail.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: there is no PostgreSQL server here; install Debian's postgresql, or set PATCHBAY_TEST_POSTGRES"
            );
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut command = unprivileged();
        command.args(["sh", "-c", KEEPER, "keeper"]).arg(bin).args([&port.to_string(), PASSWORD, USER]);
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command.spawn().expect("a shell starts");
        let words = keeper.stdin.take().expect("its input");
        let answers = BufReader::new(keeper.stdout.take().expect("its output"));
        let url = format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres");
        let mut server = Self { url, own: Some(Own { keeper, words, answers }) };
        server.word("start");
        Some(server)
    }

    /// `stop`: ends every connection and the server; `start`: it is there again, with all it had.
    pub(crate) fn word(&mut self, word: &str) {
        let own = self.own.as_mut().expect("a server of the test's own");
        writeln!(own.words, "{word}").expect("the keeper listens");
        let mut answer = String::new();
        own.answers.read_line(&mut answer).expect("the keeper answers");
        assert_eq!(answer.trim_end(), word, "the server cannot be made");
    }

    /// Makes an empty database. Returns its URL.
    pub(crate) async fn database(&self) -> String {
        let name = format!("patchbay_test_{}", uuid::Uuid::new_v4().simple());
        let client = connect(&self.url).await;
        client.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0")).await.expect("a database");
        let mut url = url::Url::parse(&self.url).expect("a URL");
        url.set_path(&name);
        url.to_string()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(Own { mut keeper, words, .. }) = self.own.take() {
            drop(words);
            let _ = keeper.wait();
        }
    }
}

/// A connection, once the server is up.
pub(crate) async fn connect(url: &str) -> Client {
    let began = Instant::now();
    loop {
        match tokio_postgres::connect(url, NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                return client;
            }
            Err(error) => assert!(began.elapsed() < PATIENCE, "the server does not come up: {error:?}"),
        }
        tokio::task::yield_now().await;
    }
}

/// Where `initdb` and `postgres` are: in the path, or where Debian puts them; the newest.
fn binaries() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<_> = debian.map(|version| version.path().join("bin")).collect();
    debian.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::split_paths(&path).chain(debian.into_iter().rev());
    all.into_iter().find(|folder: &PathBuf| ["initdb", "postgres"].iter().all(|name| folder.join(name).exists()))
}

/// The server refuses to run as root.
fn unprivileged() -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    if !root {
        return Command::new("env");
    }
    let known = Command::new("id").arg("postgres").output().is_ok_and(|id| id.status.success());
    let mut command = Command::new("runuser");
    command.args(["-u", if known { "postgres" } else { "nobody" }, "--"]);
    assert!(
        Path::new("/usr/sbin/runuser").exists() || Path::new("/sbin/runuser").exists(),
        "runuser is needed as root"
    );
    command
}
