//! How long it takes until an agent sees who calls: from a callback to the event in his stream.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use patchbay::{app::Service, config};

use crate::{Error, Options, SID, Target, loopback, send::OneByOne, subject::Sandboxes};

/// Exotel's part in what agents see while their phones ring.
const POPUP_CONNECTIONS: u32 = 8;
pub(crate) const POPUP_AGENTS: u32 = 200;
/// Later, a popup is dropped.
const POPUP_PATIENCE: Duration = Duration::from_secs(20);
const ADMIN: &str = "admin-token-0123456789abcdef";

/// Popups of agents who have their event streams open: from when a request was due to the event's arrival.
pub(crate) async fn popup(options: &Options, disk: &Path) -> Result<(), Error> {
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
pub(crate) fn rung(agent: u32) -> String {
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
