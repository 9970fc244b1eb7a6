//! Both ends of every call, Exotel's and the bot's, in one process on one core. So there is one clock, and a frame's way
//! can be measured in one direction. What they cost bounds what can be measured: most calls are read now and then, and only
//! whether something is missing is looked at; every tenth is read at once, and is the one whose latency counts.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io::{self, BufRead, ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use patchbay_voice::{Law, audio::g711, payload};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::LocalSet,
};

use crate::{
    Error,
    mouth::{Mouth, STREAM, Voices},
    seen::Shared,
    tone::Ear,
    wire::{self, Inbox},
};

pub(crate) const SID: &str = "acme1";
const FRAME: u64 = 20_000_000;
/// How often what nobody waits for is read.
const DRAIN: u64 = 100_000_000;
const PROBED: usize = 10;
/// How far a bot's speech is ahead of the ear where the bridge sets the pace, in frames: a bot speaks faster than is heard.
const AHEAD: u8 = 25;
/// Of a connection that is made.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the bot's server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// Exotel's own protocol. Frames of probed calls are echoed at once.
    Exotel,
    /// Twilio's: µ-law.
    Twilio,
    /// The one of OpenAI Realtime: PCM at 24 kHz.
    Openai,
}

impl Dialect {
    pub(crate) fn hz(self) -> u32 {
        match self {
            Self::Exotel | Self::Twilio => 8000,
            Self::Openai => 24_000,
        }
    }

    /// Whether what comes back is the frame that was sent; else the bridge sets the pace.
    pub(crate) fn echoes(self) -> bool {
        self == Self::Exotel
    }
}

/// When the caller's last frames were sent, by their numbers.
struct Sent([AtomicU64; 256]);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Caller,
    Bot,
}

/// One connection, as its end hears it.
struct Hearer {
    side: Side,
    dialect: Dialect,
    inbox: Inbox,
    ear: Ear,
    pcm: Vec<u8>,
    coded: Vec<u8>,
    bytes_heard: u64,
}

impl Hearer {
    fn new(side: Side, dialect: Dialect, inbox: Inbox) -> Self {
        let hz = if side == Side::Bot { dialect.hz() } else { 8000 };
        let ear = Ear::new(hz);
        Self { side, dialect, inbox, ear, pcm: Vec::new(), coded: Vec::new(), bytes_heard: 0 }
    }

    /// What was read: `frame` is told of each number in it, `message` of each message as it is. `false`: it is closed.
    fn hear(
        &mut self,
        shared: &Shared,
        read: &[u8],
        mut frame: impl FnMut(u8),
        mut message: impl FnMut(&[u8]),
    ) -> bool {
        let Self { side, dialect, inbox, ear, pcm, coded, bytes_heard } = self;
        inbox.push(read);
        let missing = ear.missing;
        let open = inbox.each(|text| {
            let key: &[u8] = match (*side, *dialect) {
                (Side::Bot, Dialect::Openai) => b"\"audio\":\"",
                _ => b"\"payload\":\"",
            };
            let Some(audio) = value(text, key) else { return };
            pcm.clear();
            match (*side, *dialect) {
                (Side::Bot, Dialect::Twilio) => {
                    coded.clear();
                    payload::decode(audio, coded);
                    g711::expand(Law::Mu, coded, pcm);
                }
                _ => {
                    payload::decode(audio, pcm);
                }
            }
            *bytes_heard += pcm.len() as u64;
            message(text);
            ear.hear(pcm, |number| {
                if *side == Side::Caller {
                    shared.heard.fetch_add(1, Ordering::Relaxed);
                }
                frame(number);
            });
        });
        shared.missing.fetch_add(ear.missing - missing, Ordering::Relaxed);
        open
    }
}

/// What stands in a JSON string behind this key.
fn value<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let from = text.windows(key.len()).position(|some| some == key)? + key.len();
    let long = text[from..].iter().position(|byte| *byte == b'"')?;
    Some(&text[from..from + long])
}

/// A call whose connections are made.
struct Call {
    caller: TcpStream,
    bot: TcpStream,
    of_caller: Inbox,
    of_bot: Inbox,
}

struct Paced {
    caller: Mouth,
    bot: Mouth,
    /// `None`: the prober reads it.
    hearers: Option<[Hearer; 2]>,
    sent: Option<Arc<Sent>>,
}

/// The role of the process on the ends' own core: what to do comes in by lines, what was seen goes out.
pub(crate) fn run(dialect: Dialect) -> Result<(), Error> {
    let shared = Arc::new(Shared {
        dialect,
        began: Instant::now(),
        measured: Mutex::default(),
        lost: AtomicU64::default(),
        missing: AtomicU64::default(),
        refused: AtomicU64::default(),
        heard: AtomicU64::default(),
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    let (bots, accepted) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            match serve(stream, dialect) {
                Ok(bot) => drop(bots.send(bot)),
                Err(error) => eprintln!("a bot's server: {error}"),
            }
        }
    });
    let (to_pace, calls) = mpsc::channel();
    let (to_probe, probed) = tokio::sync::mpsc::unbounded_channel();
    thread::spawn({
        let shared = Arc::clone(&shared);
        move || pace(&shared, &calls)
    });
    thread::spawn({
        let shared = Arc::clone(&shared);
        move || probe(&shared, probed)
    });
    let (mut to, mut path, mut made) = (String::new(), String::new(), 0);
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split(' ');
        let (what, first) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match what {
            "to" => {
                to = first.to_owned();
                path = words.next().unwrap_or("/").to_owned();
            }
            "calls" => {
                let wanted: usize = first.parse()?;
                let mut failed = String::new();
                while made < wanted {
                    match connect(&to, &path, made, &accepted) {
                        Ok(call) => begin(call, made, &shared, &to_pace, &to_probe)?,
                        Err(error) => {
                            failed = error.to_string();
                            break;
                        }
                    }
                    made += 1;
                }
                println!("{}", serde_json::to_string(&(made, failed))?);
            }
            "measure" => {
                shared.take(made);
                thread::sleep(Duration::from_secs_f64(first.parse()?));
                println!("{}", serde_json::to_string(&shared.take(made))?);
            }
            _ => return Err(format!("what is {what}?").into()),
        }
    }
    Ok(())
}

/// A bot's server, up to where it could be sent audio.
fn serve(mut stream: TcpStream, dialect: Dialect) -> io::Result<(TcpStream, Inbox)> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut inbox = Inbox::default();
    wire::accept(&mut stream, &mut inbox)?;
    if dialect == Dialect::Openai {
        let mut out = Vec::new();
        wire::text(br#"{"type":"session.created","event_id":"event_0","session":{"type":"realtime"}}"#, None, &mut out);
        stream.write_all(&out)?;
        let mut updated = false;
        while !updated {
            inbox.each(|text| updated |= text.windows(14).any(|some| some == b"session.update"));
            if !updated {
                let mut some = [0; 4096];
                match stream.read(&mut some)? {
                    0 => return Err(ErrorKind::UnexpectedEof.into()),
                    bytes => inbox.push(&some[..bytes]),
                }
            }
        }
        out.clear();
        for text in [
            r#"{"type":"session.updated","event_id":"event_1","session":{"type":"realtime","audio":{"input":{"format":{"type":"audio/pcm","rate":24000}},"output":{"format":{"type":"audio/pcm","rate":24000}}}}}"#,
            r#"{"type":"response.created","event_id":"event_2","response":{"id":"resp_1","status":"in_progress"}}"#,
            r#"{"type":"response.output_item.added","event_id":"event_3","response_id":"resp_1","output_index":0,"item":{"id":"item_1","type":"message","role":"assistant"}}"#,
        ] {
            wire::text(text.as_bytes(), None, &mut out);
        }
        stream.write_all(&out)?;
    }
    Ok((stream, inbox))
}

/// A call as Exotel begins one, up to where the bot's server has it, too.
fn connect(to: &str, path: &str, made: usize, accepted: &mpsc::Receiver<(TcpStream, Inbox)>) -> io::Result<Call> {
    let mut caller = TcpStream::connect(to)?;
    caller.set_nodelay(true)?;
    caller.set_read_timeout(Some(PATIENCE))?;
    let mut of_caller = Inbox::default();
    wire::ask(&mut caller, to, path)?;
    wire::answered(&mut caller, &mut of_caller)?;
    let mut out = Vec::new();
    wire::text(br#"{"event":"connected"}"#, Some(1), &mut out);
    let start = serde_json::json!({
        "event": "start", "sequence_number": "1", "stream_sid": STREAM,
        "start": {
            "stream_sid": STREAM, "call_sid": format!("b0c8aea60aceb0007fc5a1b{made:09}"), "account_sid": SID,
            "from": "09052161119", "to": "08047494574",
            "media_format": { "encoding": "base64", "sample_rate": "8000", "bit_rate": "128kbps" },
        },
    });
    wire::text(start.to_string().as_bytes(), Some(2), &mut out);
    caller.write_all(&out)?;
    let (bot, of_bot) = accepted.recv_timeout(PATIENCE).map_err(|_| io::Error::other("no bot was asked in time"))?;
    Ok(Call { caller, bot, of_caller, of_bot })
}

struct Probe {
    call: Call,
    sent: Arc<Sent>,
}

fn begin(
    call: Call,
    made: usize,
    shared: &Shared,
    to_pace: &mpsc::Sender<Paced>,
    to_probe: &tokio::sync::mpsc::UnboundedSender<Probe>,
) -> Result<(), Error> {
    for stream in [&call.caller, &call.bot] {
        stream.set_nonblocking(true)?;
    }
    let (caller, bot) = (Mouth::new(call.caller.try_clone()?), Mouth::new(call.bot.try_clone()?));
    let gone = || "a thread is gone";
    if made.is_multiple_of(PROBED) {
        let sent = Arc::new(Sent([const { AtomicU64::new(0) }; 256]));
        to_pace.send(Paced { caller, bot, hearers: None, sent: Some(Arc::clone(&sent)) }).map_err(|_| gone())?;
        to_probe.send(Probe { call, sent }).map_err(|_| gone())?;
    } else {
        let of = |side, inbox| Hearer::new(side, shared.dialect, inbox);
        let hearers = Some([of(Side::Caller, call.of_caller), of(Side::Bot, call.of_bot)]);
        to_pace.send(Paced { caller, bot, hearers, sent: None }).map_err(|_| gone())?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Caller,
    Bot,
    Drain,
}

/// Sends all frames when they are due, spread over time as calls are, and reads what nobody waits for.
fn pace(shared: &Shared, new: &mpsc::Receiver<Paced>) {
    let voices = Voices::new(shared.dialect);
    let mut calls: Vec<Paced> = Vec::new();
    let mut due: BinaryHeap<Reverse<(u64, usize, Turn)>> = BinaryHeap::new();
    let (mut text, mut out, mut read) = (Vec::new(), Vec::new(), vec![0; 1 << 16]);
    loop {
        while let Ok(call) = new.try_recv() {
            let at = calls.len();
            let now = shared.now();
            // The golden ratio: however many there are, they are spread evenly.
            let phase = |of: usize| (of as f64 * 0.618_034).fract();
            due.push(Reverse((now + (phase(at) * FRAME as f64) as u64, at, Turn::Caller)));
            if call.hearers.is_some() || !shared.dialect.echoes() {
                due.push(Reverse((now + (phase(at + 7) * FRAME as f64) as u64, at, Turn::Bot)));
            }
            if call.hearers.is_some() {
                due.push(Reverse((now + (phase(at) * DRAIN as f64) as u64, at, Turn::Drain)));
            }
            calls.push(call);
        }
        let mut late = Vec::new();
        while let Some(Reverse((when, at, turn))) = due.peek().copied() {
            let now = shared.now();
            if when > now {
                break;
            }
            due.pop();
            let call = &mut calls[at];
            let next = match turn {
                Turn::Caller => {
                    late.push(now - when);
                    voices.of_caller(call.caller.number, &mut text);
                    out.clear();
                    wire::text(&text, Some(now as u32 | 1), &mut out);
                    if let Some(sent) = &call.sent {
                        sent.0[call.caller.number as usize % 256].store(now, Ordering::Relaxed);
                    }
                    call.caller.number += 1;
                    shared.refused.fetch_add(u64::from(!call.caller.send(&out)), Ordering::Relaxed);
                    FRAME
                }
                Turn::Bot => {
                    let first = call.bot.number == 0 && !shared.dialect.echoes();
                    for _ in 0..if first { AHEAD } else { 1 } {
                        voices.of_bot(shared.dialect, call.bot.number, &mut text);
                        out.clear();
                        wire::text(&text, None, &mut out);
                        call.bot.number += 1;
                        shared.refused.fetch_add(u64::from(!call.bot.send(&out)), Ordering::Relaxed);
                    }
                    FRAME
                }
                Turn::Drain => {
                    let open = call.hearers.as_mut().is_none_or(|hearers| {
                        let [caller, bot] = hearers;
                        drain(&call.caller.stream, caller, shared, &mut read)
                            && drain(&call.bot.stream, bot, shared, &mut read)
                    });
                    if !open {
                        shared.lost.fetch_add(1, Ordering::Relaxed);
                        call.hearers = None;
                        continue;
                    }
                    DRAIN
                }
            };
            due.push(Reverse((when + next, at, turn)));
        }
        if !late.is_empty() {
            shared.note(|of| of.late.append(&mut late));
        }
        let until = due.peek().map_or(1_000_000, |Reverse((when, ..))| when.saturating_sub(shared.now()));
        thread::sleep(Duration::from_nanos(until.clamp(20_000, 1_000_000)));
    }
}

/// `false`: it is over.
fn drain(mut stream: &TcpStream, hearer: &mut Hearer, shared: &Shared, read: &mut [u8]) -> bool {
    match stream.read(read) {
        Ok(0) => false,
        Ok(bytes) => hearer.hear(shared, &read[..bytes], |_| {}, |_| {}),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// Reads probed calls at once.
fn probe(shared: &Arc<Shared>, mut new: tokio::sync::mpsc::UnboundedReceiver<Probe>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        while let Some(Probe { call, sent }) = new.recv().await {
            let open = |stream| tokio::net::TcpStream::from_std(stream);
            let (Ok(caller), Ok(bot)) = (open(call.caller), open(call.bot)) else {
                shared.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let of = |side, inbox| Hearer::new(side, shared.dialect, inbox);
            let (of_caller, of_bot) = (of(Side::Caller, call.of_caller), of(Side::Bot, call.of_bot));
            tokio::task::spawn_local(as_caller(caller, of_caller, Arc::clone(shared), Arc::clone(&sent)));
            tokio::task::spawn_local(as_bot(bot, of_bot, Arc::clone(shared), sent));
        }
    });
}

async fn as_caller(mut stream: tokio::net::TcpStream, mut hearer: Hearer, shared: Arc<Shared>, sent: Arc<Sent>) {
    let mut read = vec![0; 1 << 14];
    let mut punctual = i64::MAX;
    while let Ok(bytes @ 1..) = stream.read(&mut read).await {
        let now = shared.now();
        let echoes = shared.dialect.echoes();
        let before = hearer.bytes_heard;
        let echoed = |number: u8| {
            if echoes {
                let since = sent.0[usize::from(number)].load(Ordering::Relaxed);
                shared.note(|of| of.echo.push(now.saturating_sub(since)));
            }
        };
        if !hearer.hear(&shared, &read[..bytes], echoed, |_| {}) {
            break;
        }
        if hearer.bytes_heard > before {
            // 16 bytes a millisecond.
            let offset = now as i64 - (before * 1_000_000 / 16) as i64;
            punctual = punctual.min(offset);
            shared.note(|of| of.jitter.push((offset - punctual) as u64));
        }
    }
    shared.lost.fetch_add(1, Ordering::Relaxed);
}

async fn as_bot(mut stream: tokio::net::TcpStream, mut hearer: Hearer, shared: Arc<Shared>, sent: Arc<Sent>) {
    let mut read = vec![0; 1 << 14];
    let mut out = Vec::new();
    while let Ok(bytes @ 1..) = stream.read(&mut read).await {
        let now = shared.now();
        out.clear();
        let came = |number: u8| {
            let since = sent.0[usize::from(number)].load(Ordering::Relaxed);
            shared.note(|of| of.up.push(now.saturating_sub(since)));
        };
        let echo = |text: &[u8]| {
            if shared.dialect.echoes() {
                wire::text(text, None, &mut out);
            }
        };
        if !hearer.hear(&shared, &read[..bytes], came, echo) {
            break;
        }
        if !out.is_empty() && stream.write_all(&out).await.is_err() {
            break;
        }
    }
    shared.lost.fetch_add(1, Ordering::Relaxed);
}
