//! The load's own figures are right: every answer counted once, a slow server charged from when the request was due.

use std::{io::BufRead, io::BufReader, net::TcpListener};

use super::*;

fn options(to: SocketAddr) -> LoadOptions {
    LoadOptions {
        to,
        host: to.to_string(),
        path: "/v2/accounts/acme1/call-events".into(),
        authorization: Some("Basic eDp5".into()),
        connections: 3,
        duration: Duration::from_millis(200),
        rate: None,
        callbacks_per_call: 2,
        dial_whom: false,
    }
}

/// A server that answers each request line with `answer`, and hands out the lines it saw.
fn server(answer: &'static [u8]) -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = listener.local_addr().expect("an address");
    let (send, receive) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let send = send.clone();
            thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
                let mut out = stream;
                while let Some(Ok(line)) = lines.next() {
                    if line.is_empty() && out.write_all(answer).is_err() {
                        return;
                    }
                    if line.starts_with("GET") && send.send(line).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (to, receive)
}

#[test]
fn a_closed_loop_counts_every_answer_and_every_call_once() {
    let (to, lines) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK");
    let report = run(&options(to)).expect("a report");
    assert!(report.good(), "{report:?}");
    assert_eq!(report.answers_by_status[&200], report.requests);
    let seen: Vec<String> = lines.try_iter().collect();
    assert_eq!(seen.len() as u64, report.requests);
    let sid = |line: &String| line.split_once("CallSid=").map(|(_, rest)| rest[..32].to_owned());
    let calls: std::collections::BTreeSet<_> = seen.iter().map(sid).collect();
    assert_eq!(calls.len() as u64, report.calls_acknowledged);
    assert!(seen.iter().all(|line| !line.contains('@')), "a stand-in was sent: {}", seen[0]);
}

#[test]
fn a_fixed_rate_is_kept_and_charges_a_slow_server_from_when_the_request_was_due() {
    let (to, lines) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let report = run(&LoadOptions { rate: Some(100), ..options(to) }).expect("a report");
    assert_eq!((report.requests, lines.try_iter().count()), (20, 20));

    // The sixth request is due 5 ms after the beginning, and its latency counts from there.
    let began = Instant::now();
    let schedule = Schedule { began, ends: began + PATIENCE, rate: Some(1000), slot: AtomicU64::new(5), run: 0 };
    assert_eq!(schedule.next(), Some(began + Duration::from_millis(5)));
    assert!(began.elapsed() >= Duration::from_millis(5));
}

#[test]
fn a_refusal_and_a_server_that_is_gone_are_told() {
    let (to, _lines) = server(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let report = run(&LoadOptions { duration: Duration::from_millis(50), ..options(to) }).expect("a report");
    assert!(!report.good() && report.answers_by_status.contains_key(&503), "{report:?}");
    assert_eq!(report.calls_acknowledged, 0);

    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let report = run(&LoadOptions { duration: Duration::from_millis(50), ..options(free) }).expect("a report");
    assert!(report.first_error.as_deref().is_some_and(|error| error.contains("cannot connect")), "{report:?}");
}

#[test]
fn answers_are_read_to_their_end_however_they_come() {
    let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK";
    for cut in 0..whole.len() {
        assert_eq!(Answer::parse(&whole[..cut]), Ok(None), "{cut}");
    }
    assert_eq!(Answer::parse(whole), Ok(Some(Answer { status: 200, closes: true })));
    let chunked = b"HTTP/1.1 401 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n";
    assert_eq!(Answer::parse(&chunked[..chunked.len() - 1]), Ok(None));
    assert_eq!(Answer::parse(chunked), Ok(Some(Answer { status: 401, closes: false })));
    assert!(Answer::parse(b"SSH-2.0-x\r\n\r\n").is_err());
    assert!(Answer::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
}

#[test]
fn requests_have_the_size_of_real_ones() {
    let options = options("127.0.0.1:80".parse().expect("an address"));
    let answered = Template::new(&options, "answered").bytes.len();
    assert!((600..1300).contains(&answered), "{answered}");
    let asks = String::from_utf8(Template::new(&options, ASKS).bytes).expect("text");
    assert!(asks.contains("CallStatus=ringing") && !asks.contains("event="), "{asks}");
}
