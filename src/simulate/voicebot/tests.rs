//! The conformance kit against bots with one fault each: the rule that is broken is named, and no other.

use std::{collections::BTreeSet, sync::Mutex};

use patchbay_voice::{
    Frame, Limits, Reader,
    exotel::{Style, Writer},
    outbound::{Due, Outbound, Pace},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{accept_hdr_async, tungstenite::handshake::server};

use super::{
    rules::Verdict,
    session::{Act, End, Plan, Record, Session},
    *,
};

const MS: fn(u64) -> Duration = Duration::from_millis;
/// What the bots of these tests say is loud.
const LOUD: u8 = 0x10;

/// What a bot gets wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Not even a greeting.
    Mute,
    NoPong,
    IgnoresRate,
    WantsNumbersAsStrings,
    Unaligned,
    Huge,
    Floods,
    Stutters,
    AnotherStream,
    CamelCase,
    Binary,
    NumbersAsNumbers,
    UnnamedMarks,
    OneMark,
    NeverClears,
    FallsOnOddPayloads,
    FallsOnFlatDtmf,
    HangsUpOnAKey,
    DeafAfterDtmf,
    FallsOnUnknown,
    TalksOnAfterStop,
    FailsOnStop,
    IgnoresClose,
    LosesPatience,
    TakesACallOnce,
    CutsOff,
    LeavesInOrder,
    LeavesTooEarly,
}

#[derive(Debug)]
enum Out {
    Text(String),
    Binary(Vec<u8>),
    Close(u16),
    Cut,
}

/// A bot that greets, answers when the caller has spoken, and lets itself be interrupted; but for its fault.
struct Bot {
    fault: Fault,
    /// The calls its server has had.
    had: Arc<Mutex<BTreeSet<String>>>,
    reader: Reader,
    writer: Writer,
    line: Outbound,
    rate: Rate,
    started: bool,
    stopped: bool,
    deaf: bool,
    last_media: Option<Duration>,
    /// Since when the caller is quiet, after having spoken.
    spoken: Option<Duration>,
    left: Vec<u8>,
    next: Duration,
    leaves: Option<Duration>,
    /// How long its greeting and its answers are.
    words: [u64; 2],
}

impl Bot {
    fn new(fault: Fault, had: Arc<Mutex<BTreeSet<String>>>) -> Self {
        Self {
            fault,
            had,
            reader: Reader::exotel(Limits::DEFAULT),
            writer: Writer::new(&Style::default()),
            line: Outbound::new(&Pace::of(Rate::Hz8000)),
            rate: Rate::Hz8000,
            started: false,
            stopped: false,
            deaf: false,
            last_media: None,
            spoken: None,
            left: Vec::new(),
            next: Duration::ZERO,
            leaves: None,
            words: [if fault == Fault::Floods { 7000 } else { 3500 }, 1000],
        }
    }

    fn says(&mut self, now: Duration, ms: u64, out: &mut Vec<Out>) {
        let pcm = vec![LOUD; self.rate.bytes_of_ms(ms) as usize];
        match self.fault {
            Fault::Mute => {}
            Fault::Huge => {
                let mut text = Vec::new();
                self.writer.media(&vec![LOUD; self.rate.bytes_of_ms(8000) as usize], &mut text);
                out.push(Out::Text(String::from_utf8(text).expect("UTF-8")));
            }
            Fault::Stutters => {
                self.left.extend(pcm);
                self.next = self.next.max(now);
            }
            _ => {
                self.line.push(now, self.line.epoch(), &pcm);
                self.line.finish();
                self.line.mark(if self.fault == Fault::OneMark { "end".to_owned() } else { format!("end-{ms}") });
            }
        }
    }

    fn hear(&mut self, now: Duration, text: &str, out: &mut Vec<Out>) {
        let mut pcm = Vec::new();
        let Ok(frame) = self.reader.read(text.as_bytes(), &mut pcm) else { return };
        if self.deaf {
            return;
        }
        match frame {
            Frame::Start(start) => {
                self.rate = if self.fault == Fault::IgnoresRate { Rate::Hz8000 } else { start.rate };
                let stream_sid = match self.fault {
                    Fault::AnotherStream => Some("of-another-call".to_owned()),
                    _ => start.stream_sid,
                };
                let numbered = self.fault == Fault::NumbersAsNumbers;
                self.writer = Writer::new(&Style { stream_sid, rate: self.rate, numbered, ..Style::default() });
                let pace = Pace { strict: true, ..Pace::of(self.rate) };
                self.line = Outbound::new(&match self.fault {
                    Fault::Floods => Pace { ahead_ms: 60_000, burst_ms: 60_000, ..pace },
                    _ => pace,
                });
                let first = self.had.lock().expect("the calls").insert(start.call_sid.unwrap_or_default());
                if self.fault == Fault::TakesACallOnce && !first {
                    out.push(Out::Close(1008));
                }
                if self.fault == Fault::WantsNumbersAsStrings && text.contains("\"sequence_number\":1,") {
                    out.push(Out::Close(1011));
                }
                if matches!(self.fault, Fault::CutsOff | Fault::LeavesTooEarly) {
                    self.leaves = Some(now + MS(1000));
                }
                self.started = true;
                self.says(now, self.words[0], out);
                if self.fault == Fault::LeavesInOrder {
                    self.line.hang_up();
                }
            }
            Frame::Media(media) => {
                self.last_media = Some(now);
                if self.fault == Fault::FallsOnOddPayloads && media.pcm_bytes % 320 != 0 {
                    out.push(Out::Cut);
                }
                if sound::is_loud(&pcm) {
                    self.spoken = Some(now);
                    let speaking = self.line.position() > self.line.heard(now);
                    if speaking && !self.stopped && self.fault != Fault::NeverClears && self.line.clear(now).tell {
                        self.print(out, |writer, text| writer.clear(text));
                    }
                } else if self.spoken.is_some_and(|at| now > at + MS(200)) && !self.stopped {
                    self.spoken = None;
                    self.says(now, self.words[1], out);
                }
            }
            Frame::Dtmf(_)
                if self.fault == Fault::FallsOnFlatDtmf && text.starts_with(r#"{"event":"dtmf","digit""#) =>
            {
                out.push(Out::Close(1011));
            }
            Frame::Dtmf(_) if self.fault == Fault::HangsUpOnAKey => out.push(Out::Close(1000)),
            Frame::Dtmf(_) if self.fault == Fault::DeafAfterDtmf => self.deaf = true,
            Frame::Mark { name } => {
                self.line.echoed(now, &name);
            }
            Frame::Unknown { .. } if self.fault == Fault::FallsOnUnknown => out.push(Out::Close(1011)),
            Frame::Stop(_) => {
                self.stopped = true;
                match self.fault {
                    Fault::TalksOnAfterStop => self.says(now, 5000, out),
                    Fault::FailsOnStop => out.push(Out::Close(1011)),
                    // What a bot does whose socket is closed by others.
                    Fault::IgnoresClose | Fault::NoPong => {}
                    _ => out.push(Out::Close(1000)),
                }
            }
            _ => {}
        }
    }

    fn print(&mut self, out: &mut Vec<Out>, print: impl FnOnce(&mut Writer, &mut Vec<u8>)) {
        let mut text = Vec::new();
        print(&mut self.writer, &mut text);
        let text = String::from_utf8(text).expect("UTF-8");
        out.push(match self.fault {
            Fault::Binary => Out::Binary(text.into_bytes()),
            Fault::CamelCase => Out::Text(text.replace("stream_sid", "streamSid")),
            Fault::NumbersAsNumbers => Out::Text(text.replace("\"chunk\":\"", "\"chunk\":1,\"x\":\"")),
            Fault::UnnamedMarks => Out::Text(text.replace("\"name\"", "\"label\"")),
            Fault::OneMark if text.contains("pb-") => {
                let (head, _) = text.split_once("pb-").expect("a mark");
                Out::Text(format!("{head}end\"}}}}"))
            }
            _ => Out::Text(text),
        });
    }

    fn poll(&mut self, now: Duration, out: &mut Vec<Out>) {
        if self.deaf {
            return;
        }
        while !self.left.is_empty() && now >= self.next {
            let bytes = (self.rate.bytes_of_ms(200) as usize).min(self.left.len());
            let pcm: Vec<u8> = self.left.drain(..bytes).collect();
            self.print(out, |writer, text| writer.media(&pcm, text));
            self.next = now + MS(240);
        }
        loop {
            let due = match self.line.poll(now) {
                None => break,
                Some(Due::Media(pcm)) => Ok(pcm.to_vec()),
                Some(Due::Mark(name)) => Err(Some(name.to_owned())),
                Some(Due::Close) => Err(None),
            };
            match due {
                Ok(mut pcm) => {
                    if self.fault == Fault::Unaligned {
                        pcm.extend([LOUD; 6]);
                    }
                    self.print(out, |writer, text| writer.media(&pcm, text));
                }
                Err(Some(name)) => self.print(out, |writer, text| writer.mark(&name, text)),
                Err(None) => out.push(Out::Close(1000)),
            }
        }
        if self.leaves.is_some_and(|at| now >= at) {
            out.push(if self.fault == Fault::CutsOff { Out::Cut } else { Out::Close(1000) });
        }
        if self.impatient_at().is_some_and(|at| now >= at) {
            out.push(Out::Close(1000));
        }
    }

    fn impatient_at(&self) -> Option<Duration> {
        self.last_media.filter(|_| self.fault == Fault::LosesPatience && !self.stopped).map(|at| at + MS(1000))
    }

    fn next_due(&self) -> Option<Duration> {
        let stutter = (!self.left.is_empty()).then_some(self.next);
        [self.line.next_due(), stutter, self.leaves, self.impatient_at()].into_iter().flatten().min()
    }
}

/// Plays some calls with one bot's server, by a clock that nobody waits for; each begins so long after the first.
fn play(fault: Fault, plans: Vec<(Duration, Plan)>) -> Vec<Record> {
    let had = Arc::default();
    let mut lines: Vec<(Session, Bot, bool)> = plans
        .into_iter()
        .map(|(begins, plan)| {
            let sound = Sound::new(plan.rate);
            (Session::new(plan, sound, begins), Bot::new(fault, Arc::clone(&had)), false)
        })
        .collect();
    let begins: Vec<Duration> = lines.iter().map(|(session, ..)| session.next_due().expect("a beginning")).collect();
    let mut now = Duration::ZERO;
    while lines.iter().any(|(session, ..)| !session.over()) {
        assert!(now < Duration::from_secs(300), "{fault:?}: a call does not end");
        let mut next: Option<Duration> = None;
        for ((session, bot, opened), begins) in lines.iter_mut().zip(&begins) {
            if now < *begins || session.over() {
                next = next.into_iter().chain((!session.over()).then_some(*begins)).min();
                continue;
            }
            let mut out = Vec::new();
            if !*opened {
                *opened = true;
                session.opening(now).iter().for_each(|text| bot.hear(now, text, &mut out));
            }
            while let Some(act) = session.poll(now) {
                match act {
                    Act::Text(text) => bot.hear(now, &text, &mut out),
                    Act::Ping if fault != Fault::NoPong => session.ponged(),
                    Act::Close if fault != Fault::IgnoresClose => session.ended(now, End::ByUs),
                    Act::Ping | Act::Close => {}
                }
            }
            bot.poll(now, &mut out);
            for out in out {
                let sid = session.stream_sid().to_owned();
                if session.over() {
                    break;
                }
                match out {
                    Out::Text(text) => session.heard(now, hear::read(text.as_bytes(), false, &sid)),
                    Out::Binary(bytes) => session.heard(now, hear::read(&bytes, true, &sid)),
                    Out::Close(code) => session.ended(now, End::ByServer(Some(code))),
                    Out::Cut => session.ended(now, End::Cut("reset".to_owned())),
                }
            }
            if !session.over() {
                next = next.into_iter().chain(session.next_due()).chain(bot.next_due()).min();
            }
        }
        // What came this moment may be answered in the next.
        now = next.unwrap_or_default().max(now + MS(1));
    }
    lines.into_iter().map(|(session, ..)| session.record()).collect()
}

fn line() -> Line {
    Line {
        account_sid: "acme1".to_owned(),
        called: "08047494574".to_owned(),
        rate: Rate::Hz8000,
        listen: MS(500),
        parameters: Vec::new(),
    }
}

fn report(fault: Fault) -> Report {
    let (line, rules) = (line(), chosen(&[]).expect("all"));
    let mut calls = Calls::default();
    let mut wanted = needed(&rules);
    wanted.insert(0, Call::Plain);
    for turn in turns_of(wanted) {
        let call_sid = new_sid('c');
        let plan = |(number, call): (usize, &Call)| (SECOND * number as u32, line.plan(*call, &call_sid));
        let records = play(fault, turn.iter().enumerate().map(plan).collect());
        calls.all.extend(turn.into_iter().zip(records.into_iter().map(Ok)));
    }
    Report::new("ws://a-bot".to_owned(), 8000, &rules, &calls)
}

fn found(report: &Report, verdict: Verdict) -> Vec<&'static str> {
    report.rules.iter().filter(|finding| finding.verdict == verdict).map(|finding| finding.rule).collect()
}

#[test]
fn a_right_bot_passes() {
    let report = report(Fault::None);
    assert!(report.good());
    assert_eq!(found(&report, Verdict::Fail), [""; 0], "{}", report.table());
    assert_eq!(found(&report, Verdict::Warn), [""; 0], "{}", report.table());
    // It left the end to the caller, and its URL has no query.
    assert_eq!(found(&report, Verdict::NotApplicable), ["query", "goodbye"], "{}", report.table());
    let longest = report.table().lines().map(|line| line.chars().count()).max();
    assert!(longest.is_some_and(|longest| longest <= 101), "{}", report.table());
}

#[test]
fn each_fault_is_named_and_no_other() {
    let mut wrong = Vec::new();
    for (fault, fails, warns) in [
        (Fault::NoPong, &[] as &[&str], &[] as &[&str]),
        (Fault::IgnoresRate, &["rate"], &["starving", "alignment"]),
        (Fault::WantsNumbersAsStrings, &["shapes"], &[]),
        (Fault::Unaligned, &["alignment"], &[]),
        (Fault::Huge, &["size"], &["ahead", "barge_in", "alignment"]),
        (Fault::Floods, &[], &["ahead"]),
        (Fault::Stutters, &[], &["starving", "barge_in", "size"]),
        (Fault::AnotherStream, &["stream_sid"], &[]),
        (Fault::CamelCase, &[], &["stream_sid"]),
        (Fault::Binary, &["frames"], &[]),
        (Fault::NumbersAsNumbers, &[], &["frames"]),
        (Fault::UnnamedMarks, &["marks"], &[]),
        (Fault::OneMark, &[], &["marks"]),
        (Fault::NeverClears, &[], &["barge_in"]),
        (Fault::FallsOnOddPayloads, &["payloads"], &[]),
        (Fault::FallsOnFlatDtmf, &["dtmf"], &[]),
        (Fault::HangsUpOnAKey, &[], &["dtmf"]),
        (Fault::DeafAfterDtmf, &[], &["dtmf"]),
        (Fault::FallsOnUnknown, &["unknown"], &[]),
        (Fault::TalksOnAfterStop, &["stop"], &[]),
        (Fault::FailsOnStop, &["stop"], &[]),
        (Fault::IgnoresClose, &["no_stop"], &[]),
        (Fault::LosesPatience, &["stall"], &[]),
        (Fault::TakesACallOnce, &["second"], &[]),
        (Fault::CutsOff, &["goodbye"], &[]),
        (Fault::LeavesInOrder, &[], &[]),
        (Fault::LeavesTooEarly, &[], &["goodbye"]),
    ] {
        let report = report(fault);
        let (failed, warned) = (found(&report, Verdict::Fail), found(&report, Verdict::Warn));
        // The first is the fault itself, the others what it may bring with it.
        let expected = failed == fails
            && warned.iter().all(|rule| warns.contains(rule))
            && warns.first().is_none_or(|rule| warned.contains(rule));
        if !expected || report.good() != fails.is_empty() {
            wrong.push(format!("{fault:?}: {}", report.table()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What can be judged of a bot that says nothing is judged, and the rest is said to be open.
#[test]
fn a_bot_that_says_nothing_fails_nothing_it_did_not_do() {
    let report = report(Fault::Mute);
    assert_eq!(found(&report, Verdict::Fail), [""; 0], "{}", report.table());
    let passed = found(&report, Verdict::Pass);
    assert_eq!(passed, ["handshake", "shapes", "payloads", "dtmf", "unknown", "stop", "no_stop", "stall", "second"]);
}

#[test]
fn an_unknown_rule_is_told_with_those_there_are() {
    let error = chosen(&["nonsense".to_owned()]).err().expect("refused");
    assert!(RULES.iter().all(|rule| error.contains(rule.id)), "{error}");
    let one = chosen(&["stall".to_owned()]).expect("a rule");
    assert_eq!(needed(&one), [Call::Stall], "no call is made for nothing");
    let ids: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), RULES.len());
}

#[test]
fn a_report_can_be_read_by_programs() {
    let report: serde_json::Value =
        serde_json::from_str(&json(&report(Fault::Binary)).ok().expect("JSON")).expect("JSON");
    assert_eq!((&report["failed"], &report["rate"]), (&1.into(), &8000.into()));
    let frames = report["rules"].as_array().expect("rules").iter().find(|rule| rule["rule"] == "frames");
    let frames = frames.expect("the rule");
    assert_eq!(frames["verdict"], "fail");
    for key in ["expected", "came", "why", "source", "cure"] {
        assert!(frames[key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
    }
}

/// A server on a socket: plays the bot in real time for whoever `admits` lets in by his path and query.
async fn served(fault: Fault, admits: fn(&str) -> bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let to = format!("ws://{}/bot", listener.local_addr().expect("an address"));
    let had = Arc::default();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Where time passes, it is short of words.
            let bot = Bot { words: [400, 200], ..Bot::new(fault, Arc::clone(&had)) };
            tokio::spawn(serve(stream, bot, admits));
        }
    });
    to
}

async fn serve(stream: TcpStream, mut bot: Bot, admits: fn(&str) -> bool) {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::{Message, http::StatusCode, protocol::CloseFrame};
    #[expect(clippy::result_large_err, reason = "the library's own signature")]
    let door = |request: &server::Request, response: server::Response| {
        let asked = request.uri().to_string();
        if admits(&asked) {
            return Ok(response);
        }
        let mut refused = server::ErrorResponse::new(None);
        *refused.status_mut() = StatusCode::FORBIDDEN;
        Err(refused)
    };
    let Ok(mut socket) = accept_hdr_async(stream, door).await else { return };
    let began = std::time::Instant::now();
    loop {
        let mut out = Vec::new();
        bot.poll(began.elapsed(), &mut out);
        let due = bot.next_due().map_or(Duration::from_secs(60), |due| due.saturating_sub(began.elapsed()));
        if out.is_empty() {
            match tokio::time::timeout(due, socket.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => bot.hear(began.elapsed(), text.as_str(), &mut out),
                Ok(Some(Ok(_))) | Err(_) => {}
                Ok(_) => return,
            }
        }
        for out in out {
            let sent = match out {
                Out::Text(text) => socket.send(Message::text(text)).await,
                Out::Binary(bytes) => socket.send(Message::binary(bytes)).await,
                Out::Close(code) => socket.close(Some(CloseFrame { code: code.into(), reason: "".into() })).await,
                Out::Cut => return,
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

async fn judged(to: &str, rules: &[&str]) -> Report {
    let rules = chosen(&rules.iter().map(|rule| (*rule).to_owned()).collect::<Vec<_>>()).expect("rules");
    let target = Target::new(to, Vec::new()).expect("a target").patient_for(Duration::from_secs(30));
    let calls = make(&Arc::new(target), &line(), &rules, 20).await;
    Report::new("ws://a-bot".to_owned(), 8000, &rules, &calls)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_bot_on_a_socket_passes() {
    let to = served(Fault::None, |_| true).await;
    let report = judged(&to, &["handshake", "frames", "stream_sid", "alignment", "stop", "no_stop", "second"]).await;
    assert_eq!(found(&report, Verdict::Pass).len(), report.rules.len(), "{}", report.table());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_falls_on_a_socket_is_caught() {
    let to = served(Fault::FallsOnOddPayloads, |_| true).await;
    let report = judged(&to, &["handshake", "payloads"]).await;
    assert_eq!(found(&report, Verdict::Fail), ["payloads"], "{}", report.table());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_wants_the_query_is_told_that_it_will_not_come() {
    let to = served(Fault::Mute, |asked| asked.contains("token=t0k")).await;
    let report = judged(&format!("{to}?token=t0k"), &[]).await;
    assert_eq!(found(&report, Verdict::Fail), ["query"], "{}", report.table());
    assert!(!report.table().contains("t0k"));
    let report = judged(&to, &[]).await;
    assert_eq!(found(&report, Verdict::Fail), ["handshake"], "{}", report.table());
    assert_eq!(found(&report, Verdict::NotApplicable).len(), RULES.len() - 1);
}

#[tokio::test]
async fn a_server_that_is_too_slow_or_not_there_fails_the_handshake() {
    // It takes the connection, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let to = format!("ws://{}/", silent.local_addr().expect("an address"));
    let target = Target::new(&to, Vec::new()).expect("a target").patient_for(MS(50));
    let rules = chosen(&[]).expect("rules");
    let calls = make(&Arc::new(target), &line(), &rules, 1).await;
    let report = Report::new("ws://a-bot".to_owned(), 8000, &rules, &calls);
    assert_eq!(found(&report, Verdict::Fail), ["handshake"], "{}", report.table());
    drop(silent);
    let report = judged(&to, &[]).await;
    assert_eq!(found(&report, Verdict::Fail), ["handshake"], "{}", report.table());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_counts_who_was_taken_and_who_was_dropped() {
    let target = |to: &str| Arc::new(Target::new(to, Vec::new()).expect("a target"));
    let report = load::run(&target(&served(Fault::None, |_| true).await), &line(), 3, 1).await;
    assert!(report.good(), "{}", report.table());
    assert_eq!((report.taken, report.kept, report.heard), (3, 3, 3));
    assert!(report.audio_seconds > 0.5 && report.messages > 3, "{}", report.table());
    let report = load::run(&target(&served(Fault::None, |_| false).await), &line(), 3, 1).await;
    assert!(!report.good());
    assert_eq!(report.errors.into_iter().collect::<Vec<_>>(), [("refused with HTTP 403".to_owned(), 3)]);
}
