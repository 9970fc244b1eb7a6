//! Who is measured: the service, as a process or in this one, and handlers that do less in the same server; and the CRM and
//! the Exotel that they need.

use std::{
    hint::black_box,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    dev::ServerHandle,
    http::header,
    web::{self, Data, ServiceConfig},
};
use jiff::Timestamp;
use patchbay::{
    app::{Service, http_server},
    call::{Hook, Receipt},
    hooks::Doors,
    key::MasterKey,
    simulate::load::LoadReport,
    store::{SqliteOptions, SqliteStore, Store},
};
use patchbay_sandbox::{Faults, Server, exotel::Exotel, freshdesk::Freshdesk};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    Error, FD_KEY, KEY, SID, TOKEN, Target, loopback, parse,
    send::{Load, send},
};

/// A target that runs, in the service's own HTTP server with its settings, on a database of its own.
pub(crate) struct Subject {
    pub(crate) addr: SocketAddr,
    running: Running,
    _sandboxes: Sandboxes,
    _dir: TempDir,
}

enum Running {
    Handler(ServerHandle, Option<Arc<dyn Store>>),
    Service(Box<Service>),
}

impl Subject {
    pub(crate) async fn start(target: Target, disk: &Path) -> Result<Self, Error> {
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

    pub(crate) async fn load(&self, load: Load) -> Result<LoadReport, Error> {
        send(self.addr, load).await
    }

    /// Receipts that the journal reader has decided on.
    pub(crate) fn read(&self) -> u64 {
        match &self.running {
            Running::Handler(..) => 0,
            Running::Service(service) => service.services.metrics.events.get(),
        }
    }

    pub(crate) async fn stop(self) {
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
pub(crate) struct Sandboxes {
    pub(crate) freshdesk: Server<Freshdesk>,
    pub(crate) exotel: Server<Exotel>,
}

impl Sandboxes {
    pub(crate) fn start() -> Result<Self, Error> {
        Ok(Self {
            freshdesk: Server::start(loopback(), Freshdesk::instant(FD_KEY), Faults::none())?,
            exotel: Server::start(loopback(), Exotel::new(SID, KEY, TOKEN), Faults::none())?,
        })
    }

    pub(crate) fn config(&self, dir: &Path, listen: SocketAddr, level: &str, integration: &str) -> String {
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
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(config: &Path) -> Result<Self, Error> {
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
    pub(crate) fn answers(&mut self, addr: SocketAddr) -> bool {
        let asked = TcpStream::connect(addr).and_then(|mut stream| {
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        asked.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    pub(crate) fn resident_mb(&self) -> Result<f64, Error> {
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
