//! A load of callbacks that costs little to make, because whom it is made for shares the machine: one blocking thread
//! per connection, requests built once and patched in place, answers read no further than needed.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use uuid::Uuid;

use super::histogram::{Histogram, Percentiles};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// After a connection could not be made.
const PAUSE: Duration = Duration::from_millis(100);
const STACK_BYTES: usize = 128 * 1024;
/// The events of a call, in order; a load with fewer callbacks per call leaves out from the front, but for `answered`.
const EVENTS: [&str; 5] = ["Dial", "Ringing", "Answered", "Terminal", "answered"];
/// Instead of an event: a Connect applet that asks whom to dial.
const ASKS: &str = "";
/// The most callbacks of one call.
pub const CALLBACKS_MAX: usize = EVENTS.len();

/// What to send where.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    pub to: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// Path of the hook, without a query.
    pub path: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    pub connections: usize,
    pub duration: Duration,
    /// Requests per second in all; `None`: each connection sends as soon as its last request is answered.
    pub rate: Option<u32>,
    /// Callbacks of each call, 1 to [`CALLBACKS_MAX`], one after the other on one connection.
    pub callbacks_per_call: usize,
    /// Each call asks once whom to dial, and tells of nothing.
    pub dial_whom: bool,
}

/// How it went.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    pub connections: usize,
    /// Requests per second that were to be sent; `None`: as many as possible.
    pub rate: Option<u32>,
    pub requests: u64,
    pub answers_by_status: BTreeMap<u16, u64>,
    /// Requests without an answer, and connections that could not be made.
    pub errors: u64,
    pub first_error: Option<String>,
    /// Distinct CallSids of which at least one callback was answered 2xx.
    pub calls_acknowledged: u64,
    pub seconds: f64,
    /// Answers per second.
    pub per_second: f64,
    /// At a fixed rate from the moment the request was due, else from when it was sent.
    pub latency: Percentiles,
}

impl LoadReport {
    /// Whether every request was answered 2xx.
    pub fn good(&self) -> bool {
        self.requests > 0 && self.errors == 0 && self.answers_by_status.keys().all(|status| (200..300).contains(status))
    }
}

/// Sends the load, and returns when it is over. Blocks: from async code, call it in `spawn_blocking`.
///
/// # Errors
/// When the threads cannot be started.
pub fn run(options: &LoadOptions) -> io::Result<LoadReport> {
    let began = Instant::now();
    let schedule = Arc::new(Schedule {
        began,
        ends: began + options.duration,
        rate: options.rate,
        slot: AtomicU64::new(0),
        run: Uuid::new_v4().as_u128() as u64,
    });
    let mut threads = Vec::with_capacity(options.connections);
    for number in 0..options.connections {
        let (schedule, mut sender) = (Arc::clone(&schedule), Sender::new(options, schedule.run, number));
        let thread = thread::Builder::new().name(format!("load-{number}")).stack_size(STACK_BYTES);
        threads.push(thread.spawn(move || {
            sender.send_all(&schedule);
            sender.tally
        })?);
    }
    let mut all = Tally::default();
    for thread in threads {
        match thread.join() {
            Ok(tally) => all.merge(tally),
            Err(_) => all.fail("a thread of the load generator panicked".to_owned()),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(LoadReport {
        connections: options.connections,
        rate: options.rate,
        requests: all.requests,
        errors: all.errors,
        first_error: all.first_error,
        calls_acknowledged: all.calls_acknowledged,
        seconds,
        per_second: all.latencies.count() as f64 / seconds,
        latency: all.latencies.percentiles(),
        answers_by_status: all.by_status,
    })
}

/// Looks the host up once.
///
/// # Errors
/// When it has no address.
pub fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    (host, port).to_socket_addrs()?.next().ok_or_else(|| io::Error::other(format!("{host} has no address")))
}

/// When requests are due, for all connections together.
struct Schedule {
    began: Instant,
    ends: Instant,
    rate: Option<u32>,
    slot: AtomicU64,
    /// Keeps the CallSids of one run apart from another's.
    run: u64,
}

impl Schedule {
    /// Waits for the next request's turn. Returns the moment its latency counts from; `None` when the load is over.
    ///
    /// At a fixed rate that is the moment the request was due, however late a connection is free for it: a server that
    /// stalls is charged for everything that should have been sent meanwhile.
    fn next(&self) -> Option<Instant> {
        let Some(rate) = self.rate else {
            let now = Instant::now();
            return (now < self.ends).then_some(now);
        };
        let slot = self.slot.fetch_add(1, Ordering::Relaxed);
        let due = self.began + Duration::from_secs_f64(slot as f64 / f64::from(rate.max(1)));
        if due >= self.ends {
            return None;
        }
        let wait = due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        Some(due)
    }
}

#[derive(Default)]
struct Tally {
    requests: u64,
    by_status: BTreeMap<u16, u64>,
    errors: u64,
    first_error: Option<String>,
    calls_acknowledged: u64,
    latencies: Histogram,
}

impl Tally {
    fn fail(&mut self, error: String) {
        self.errors += 1;
        self.first_error.get_or_insert(error);
    }

    fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        for (status, count) in other.by_status {
            *self.by_status.entry(status).or_default() += count;
        }
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.calls_acknowledged += other.calls_acknowledged;
        self.latencies.merge(&other.latencies);
    }
}

/// One connection.
struct Sender {
    to: SocketAddr,
    templates: Vec<Template>,
    stream: Option<TcpStream>,
    read: Vec<u8>,
    /// First half of every CallSid of this connection.
    run: u64,
    number: u64,
    calls: u64,
    tally: Tally,
}

impl Sender {
    fn new(options: &LoadOptions, run: u64, number: usize) -> Self {
        let wanted = options.callbacks_per_call.clamp(1, CALLBACKS_MAX);
        let (pops, answered) = EVENTS.split_at(CALLBACKS_MAX - 1);
        let events = if options.dial_whom { vec![ASKS] } else { [&pops[..wanted - 1], answered].concat() };
        Self {
            to: options.to,
            templates: events.into_iter().map(|event| Template::new(options, event)).collect(),
            stream: None,
            read: Vec::with_capacity(1024),
            run,
            number: number as u64,
            calls: 0,
            tally: Tally::default(),
        }
    }

    fn send_all(&mut self, schedule: &Schedule) {
        loop {
            self.calls += 1;
            let call = (self.number << 40) | self.calls;
            let mut acknowledged = false;
            for template in 0..self.templates.len() {
                let Some(from) = schedule.next() else {
                    self.tally.calls_acknowledged += u64::from(acknowledged);
                    return;
                };
                self.templates[template].patch(self.run, call);
                self.tally.requests += 1;
                match self.exchange(template) {
                    Ok(status) => {
                        self.tally.latencies.record(from.elapsed());
                        *self.tally.by_status.entry(status).or_default() += 1;
                        acknowledged |= (200..300).contains(&status);
                    }
                    Err(error) => {
                        self.stream = None;
                        self.tally.fail(error);
                        // Only a server that is not there is waited for; it would be asked a million times else.
                        thread::sleep(PAUSE.min(schedule.ends.saturating_duration_since(Instant::now())));
                    }
                }
            }
            self.tally.calls_acknowledged += u64::from(acknowledged);
        }
    }

    fn exchange(&mut self, template: usize) -> Result<u16, String> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(connect(self.to).map_err(|error| format!("cannot connect to {}: {error}", self.to))?),
        };
        stream.write_all(&self.templates[template].bytes).map_err(|error| format!("cannot send: {error}"))?;
        self.read.clear();
        loop {
            let mut chunk = [0; 4096];
            let got = match stream.read(&mut chunk) {
                Ok(0) => return Err("the server closed the connection without an answer".to_owned()),
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Err(format!("no answer within {} s", PATIENCE.as_secs()));
                }
                Err(error) => return Err(format!("cannot read the answer: {error}")),
            };
            self.read.extend_from_slice(&chunk[..got]);
            if let Some(answer) = Answer::parse(&self.read)? {
                if answer.closes {
                    self.stream = None;
                }
                return Ok(answer.status);
            }
        }
    }
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A complete answer.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    closes: bool,
}

impl Answer {
    /// `None`: more is to come.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, String> {
        let Some(head_len) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return if bytes.len() > 64 * 1024 { Err("the answer's head does not end".to_owned()) } else { Ok(None) };
        };
        let head = std::str::from_utf8(&bytes[..head_len]).map_err(|_| "the answer is not HTTP".to_owned())?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok());
        let status: u16 = status.ok_or_else(|| "the answer is not HTTP/1".to_owned())?;
        let (mut length, mut chunked, mut closes) = (None, false, false);
        for line in lines {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse::<usize>().ok();
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.to_ascii_lowercase().ends_with("chunked");
            } else if name.eq_ignore_ascii_case("connection") {
                closes = value.eq_ignore_ascii_case("close");
            }
        }
        let body = &bytes[head_len + 4..];
        let complete = match length {
            _ if chunked => body.ends_with(b"0\r\n\r\n"),
            _ if matches!(status, 204 | 304) => true,
            Some(length) => body.len() >= length,
            None => return Err("the answer says neither its length nor that it comes in chunks".to_owned()),
        };
        Ok(complete.then_some(Self { status, closes }))
    }
}

/// A request whose CallSid and caller are replaced in place.
struct Template {
    bytes: Vec<u8>,
    call_sids: Vec<usize>,
    callers: Vec<usize>,
}

/// Stand-ins that occur nowhere else in a request; the caller's first digits, behind a 0, are everybody's.
const CALL_SID: &str = "@CallSid@@@@@@@@@@@@@@@@@@@@@@@@";
const CALLER: &str = "@Caller@";
const _: () = assert!(CALL_SID.len() == 32 && CALLER.len() == 8);

impl Template {
    fn new(options: &LoadOptions, event: &str) -> Self {
        let mut query = match event {
            ASKS => "CallStatus=ringing&CallType=call-attempt&DialWhomNumber=".to_owned(),
            "answered" => "event=answered&DialWhomNumber=09711581199".to_owned(),
            _ => "event=pop&DialWhomNumber=09711581199".to_owned(),
        };
        let _ = write!(
            query,
            "&CallSid={CALL_SID}&CallFrom=098{CALLER}&CallTo=08047494574&Direction=incoming\
             &Created=Wed%2C+27+Dec+2023+12%3A17%3A05&From=098{CALLER}&To=08047494574\
             &CurrentTime=2023-12-27+12%3A17%3A32"
        );
        // The names of exotel-api §4.2, §4.3 and §4.6.
        if event == ASKS {
            query.push_str("&DialCallDuration=0&flow_id=249196&tenant_id=113828");
        } else if event != "answered" {
            let status = if event == "Terminal" { "free" } else { "busy" };
            let _ = write!(query, "&Status={status}&EventType={event}&AgentEmail=avnish%40example.com");
        } else {
            let _ = write!(
                query,
                "&CallStatus=completed&DialCallDuration=8&StartTime=2023-12-27+12%3A17%3A05\
                 &EndTime=1970-01-01+05%3A30%3A00&CallType=completed&flow_id=249196&tenant_id=113828\
                 &DialCallStatus=completed&ProcessStatus=null\
                 &RecordingUrl=https%3A%2F%2Frecordings.exotel.com%2Fexotelrecordings%2Facme1%2F{CALL_SID}.mp3\
                 &RecordingAvailableBy=Wed%2C+27+Dec+2023+12%3A22%3A32\
                 &Legs=%5B%7B%22Number%22%3A%2209711581199%22%2C%22Type%22%3A%22single%22%2C\
                 %22OnCallDuration%22%3A%228%22%2C%22CauseCode%22%3A%22NORMAL_CLEARING%22%2C\
                 %22Cause%22%3A%2216%22%2C%22DisconnectedBy%22%3A%22Caller%22%7D%5D"
            );
        }
        let mut text = format!("GET {}?{query} HTTP/1.1\r\nHost: {}\r\n", options.path, options.host);
        if let Some(authorization) = &options.authorization {
            let _ = write!(text, "Authorization: {authorization}\r\n");
        }
        text.push_str("User-Agent: Exotel\r\nAccept: */*\r\n\r\n");
        let places = |what: &str| text.match_indices(what).map(|(at, _)| at).collect();
        Self { call_sids: places(CALL_SID), callers: places(CALLER), bytes: text.into_bytes() }
    }

    fn patch(&mut self, run: u64, call: u64) {
        let (mut call_sid, mut caller) = ([0; 32], [0; 8]);
        hex(run, &mut call_sid[..16]);
        hex(call, &mut call_sid[16..]);
        let mut left = call;
        for digit in caller.iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
        for at in &self.call_sids {
            self.bytes[*at..at + 32].copy_from_slice(&call_sid);
        }
        for at in &self.callers {
            self.bytes[*at..at + 8].copy_from_slice(&caller);
        }
    }
}

fn hex(mut value: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

#[cfg(test)]
mod tests;
