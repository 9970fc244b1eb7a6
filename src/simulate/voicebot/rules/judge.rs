//! What each rule says of the calls that were made: functions of the records alone.

use std::{collections::BTreeMap, time::Duration};

use patchbay_voice::outbound::{PACKET_BYTES, STRICT_BYTES};

use super::{Judgement, Verdict};
use crate::simulate::voicebot::{
    calls::{Call, Calls},
    hear::{Said, Sid, What},
    session::{ANSWER, End, Record},
};

/// What S1 calls 100k.
const LARGEST: usize = 100_000;
const FAR_AHEAD: Duration = Duration::from_secs(5);
/// So often a message may come too late before it is a habit.
const STUTTERS: u64 = 2;
/// A bot that is interrupted is to be quiet after that.
const BARGE_IN: Duration = Duration::from_secs(2);
/// What is on its way may arrive after a stop.
const AFTER_STOP: Duration = Duration::from_secs(1);
/// Less than that says nothing of a rate.
const LEAST: Duration = Duration::from_millis(200);
/// What may be cut off at the end of a call without being missed.
const TAIL: Duration = Duration::from_millis(300);

pub(super) fn pass(came: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Pass, came: came.into() }
}

pub(super) fn warn(came: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Warn, came: came.into() }
}

pub(super) fn fail(came: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::Fail, came: came.into() }
}

pub(super) fn not_applicable(came: impl Into<String>) -> Judgement {
    Judgement { verdict: Verdict::NotApplicable, came: came.into() }
}

const SILENT: &str = "the bot was not heard";

fn seconds(long: Duration) -> String {
    format!("{:.1} s", long.as_secs_f64())
}

fn code(code: Option<u16>) -> String {
    code.map_or_else(|| "no code".to_owned(), |code| code.to_string())
}

fn how(end: &End) -> String {
    match end {
        End::ByServer(said) => format!("the server closed with {}", code(*said)),
        End::ByUs => "closed".to_owned(),
        End::Unanswered => "the close was not answered".to_owned(),
        End::Cut(why) => format!("the connection was cut ({why})"),
        End::Broken(why) => format!("what came was no WebSocket ({why})"),
        End::Stuck => "the server read nothing any more".to_owned(),
    }
}

fn polite(end: &End) -> bool {
    matches!(end, End::ByServer(None | Some(1000 | 1001 | 1005)) | End::ByUs)
}

/// Messages of all calls, each with the call it came in.
fn messages(calls: &Calls) -> impl Iterator<Item = (Call, &Said)> {
    calls.records().flat_map(|(call, record)| record.said.iter().map(move |(_, said)| (call, said)))
}

fn payloads(calls: &Calls) -> Vec<(&Record, usize)> {
    let mut found = Vec::new();
    for (_, record) in calls.records() {
        for (_, said) in &record.said {
            if let What::Media { bytes, .. } = said.what {
                found.push((record, bytes));
            }
        }
    }
    found
}

pub(super) fn handshake(calls: &Calls) -> Judgement {
    match calls.get(Call::Plain) {
        Some(Ok(record)) => pass(format!("{} ms", record.began.as_millis())),
        Some(Err(_)) if calls.record(Call::WithQuery).is_some() => {
            not_applicable("refused without the query: see query")
        }
        Some(Err(why)) => fail(why.clone()),
        None => not_applicable("no call was made"),
    }
}

pub(super) fn query(calls: &Calls) -> Judgement {
    match (calls.queried, calls.get(Call::Plain), calls.get(Call::WithQuery)) {
        (false, ..) => not_applicable("the URL has no query"),
        (true, Some(Ok(_)), _) => pass("taken without it"),
        (true, Some(Err(why)), Some(Ok(_))) => fail(format!("without the query: {why}; with it the call is taken")),
        _ => not_applicable("refused with and without it: see handshake"),
    }
}

pub(super) fn rate(calls: &Calls) -> Judgement {
    let (Some(plain), Some(other)) = (calls.record(Call::Plain), calls.get(Call::OtherRate)) else {
        return not_applicable("the call was not made");
    };
    let other = match other {
        Ok(other) => other,
        Err(why) => return fail(format!("at the other rate the handshake was refused: {why}")),
    };
    if plain.rate.duration(plain.media_bytes) < LEAST {
        return not_applicable(SILENT);
    }
    let (slow, fast) = if plain.rate < other.rate { (plain, other) } else { (other, plain) };
    let rates = f64::from(fast.rate.hz()) / f64::from(slow.rate.hz());
    let bytes = fast.media_bytes as f64 / slow.media_bytes.max(1) as f64;
    let came = format!(
        "at {} Hz {:.1} times the bytes of {} Hz, where {rates:.1} times are expected",
        fast.rate.hz(),
        bytes,
        slow.rate.hz()
    );
    // Halfway between a bot that minds the rate and one that does not, in proportion; a bot does not always say the same.
    let half = rates.sqrt();
    if other.media_bytes == 0 {
        warn(format!("at {} Hz the bot was not heard", other.rate.hz()))
    } else if bytes < half * 0.85 {
        fail(came)
    } else if bytes < half * 1.15 {
        warn(format!("undecided: {came}"))
    } else {
        pass(came)
    }
}

/// Whether a call outlived what was tried in it.
fn outlived(calls: &Calls, call: Call) -> Judgement {
    let record = match calls.get(call) {
        None => return not_applicable("the call was not made"),
        Some(Err(why)) => return fail(format!("the handshake was refused: {why}")),
        Some(Ok(record)) => record,
    };
    let plain = calls.record(Call::Plain);
    let leaves = plain.is_some_and(|plain| plain.ended_by_itself().is_some());
    match (record.ended_by_itself(), record.tried) {
        (Some(_), None) => return not_applicable("the server ended the call before this could be tried"),
        (Some(_), Some(_)) if leaves => {
            return not_applicable("the server ends every call by itself, so this could not be told from that");
        }
        (Some((at, end)), Some(tried)) => {
            return fail(format!("{} after it {}", seconds(at.saturating_sub(tried)), how(end)));
        }
        (None, _) => {}
    }
    if record.pinged && !record.ponged && plain.is_some_and(|plain| plain.ponged) {
        return fail("after it the server answered no ping any more, as it had in the plain call");
    }
    if plain.is_some_and(Record::spoke) && !record.spoke() && call != Call::NoStop {
        return warn("the call went on, but the bot was not heard, as it was in the plain call");
    }
    let asked = record.asked.is_some() && call != Call::NoStop;
    if plain.is_some_and(|plain| plain.answered) && asked && !record.answered {
        return warn("the call went on, but the caller was not answered, as he was in the plain call");
    }
    pass("the call went on")
}

pub(super) fn shapes(calls: &Calls) -> Judgement {
    let of = |call: Call| (call, outlived(calls, call));
    let judged: Vec<(Call, Judgement)> =
        calls.all.iter().filter(|(call, _)| matches!(call, Call::Shaped(_))).map(|(call, _)| of(*call)).collect();
    for verdict in [Verdict::Fail, Verdict::Warn, Verdict::NotApplicable] {
        let such: Vec<String> = judged
            .iter()
            .filter(|(_, judgement)| judgement.verdict == verdict)
            .map(|(call, judgement)| format!("{}: {}", call.name(), judgement.came))
            .collect();
        if !such.is_empty() {
            return Judgement { verdict, came: such.join("; ") };
        }
    }
    pass(format!("{} writings beside the captured one were taken", judged.len()))
}

pub(super) fn frames(calls: &Calls) -> Judgement {
    let broken = calls.records().find_map(|(_, record)| match &record.end {
        Some((_, end @ End::Broken(_))) => Some(how(end)),
        _ => None,
    });
    if let Some(came) = broken {
        return fail(came);
    }
    let count = |fault: fn(&Said) -> Option<&'static str>| {
        let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
        messages(calls).filter_map(|(_, said)| fault(said)).for_each(|fault| *faults.entry(fault).or_default() += 1);
        let told: Vec<String> = faults.iter().map(|(fault, times)| format!("{times} × {fault}")).collect();
        told.join(", ")
    };
    let (wrong, careless) = (count(|said| said.wrong), count(|said| said.careless));
    if !wrong.is_empty() {
        fail(wrong)
    } else if !careless.is_empty() {
        warn(careless)
    } else {
        match messages(calls).count() {
            0 => not_applicable("the bot sent no message"),
            number => pass(format!("{number} messages")),
        }
    }
}

pub(super) fn stream_sid(calls: &Calls) -> Judgement {
    let count = |sid: Sid| messages(calls).filter(|(_, said)| said.sid == sid && said.wrong.is_none()).count();
    let [right, camel, absent, wrong] = [Sid::Right, Sid::Camel, Sid::Absent, Sid::Wrong].map(count);
    match (right, camel, absent, wrong) {
        (0, 0, 0, 0) => not_applicable("the bot sent no message"),
        (right, _, _, 0) if camel + absent == 0 => pass(format!("{right} messages")),
        (_, camel, absent, 0) => warn(format!("{camel} messages have streamSid instead, {absent} name no stream")),
        (.., wrong) => fail(format!("{wrong} messages name a stream that start did not")),
    }
}

pub(super) fn alignment(calls: &Calls) -> Judgement {
    let payloads = payloads(calls);
    if payloads.is_empty() {
        return not_applicable(SILENT);
    }
    let off: Vec<usize> =
        payloads.iter().filter(|(_, bytes)| bytes % PACKET_BYTES != 0).map(|(_, bytes)| *bytes).collect();
    if let Some(example) = off.first() {
        return fail(format!("{} of {} payloads, such as one of {example} bytes", off.len(), payloads.len()));
    }
    let uneven = |record: &Record, bytes: usize| !(bytes as u64).is_multiple_of(record.rate.bytes_of_ms(20));
    match payloads.iter().find(|(record, bytes)| uneven(record, *bytes)) {
        Some((record, bytes)) => warn(format!(
            "multiples of 320 bytes, but not of 20 ms at {} Hz, such as one of {bytes} bytes",
            record.rate.hz()
        )),
        None => pass(format!("{} payloads", payloads.len())),
    }
}

pub(super) fn size(calls: &Calls) -> Judgement {
    let payloads = payloads(calls);
    let sizes = || payloads.iter().map(|(_, bytes)| *bytes);
    let (Some(smallest), Some(largest)) = (sizes().min(), sizes().max()) else {
        return not_applicable(SILENT);
    };
    let came = format!("{smallest} to {largest} bytes");
    if largest > LARGEST {
        fail(came)
    } else if smallest < STRICT_BYTES {
        warn(came)
    } else {
        pass(came)
    }
}

pub(super) fn ahead(calls: &Calls) -> Judgement {
    match calls.records().map(|(_, record)| record.most_ahead).max() {
        None | Some(Duration::ZERO) => not_applicable(SILENT),
        Some(most) if most > FAR_AHEAD => warn(format!("up to {} ahead", seconds(most))),
        Some(most) => pass(format!("up to {} ahead", seconds(most))),
    }
}

pub(super) fn starving(calls: &Calls) -> Judgement {
    let most = calls.records().filter(|(_, record)| record.spoke()).max_by_key(|(_, record)| record.stutters);
    match most {
        None => not_applicable(SILENT),
        Some((call, record)) if record.stutters > STUTTERS => warn(format!(
            "{} times in {} a message came after all before it had been played",
            record.stutters,
            call.name()
        )),
        Some(_) => pass("no gaps"),
    }
}

pub(super) fn marks(calls: &Calls) -> Judgement {
    let (mut sent, mut unnamed, mut again) = (0u64, 0u64, 0u64);
    for (_, record) in calls.records() {
        let mut names: Vec<&str> = Vec::new();
        for (_, said) in &record.said {
            let What::Mark(name) = &said.what else { continue };
            sent += 1;
            match name.as_deref() {
                None => unnamed += 1,
                Some(name) if names.contains(&name) => again += 1,
                Some(name) => names.push(name),
            }
        }
    }
    match (sent, unnamed, again) {
        (0, ..) => not_applicable("no mark was sent"),
        (_, 0, 0) => pass(format!("{sent} marks")),
        (_, 0, again) => warn(format!("{again} of {sent} marks have a name that had been used in the call")),
        (_, unnamed, _) => fail(format!("{unnamed} of {sent} marks have no name")),
    }
}

pub(super) fn barge_in(calls: &Calls) -> Judgement {
    let record = match calls.get(Call::BargeIn) {
        Some(Ok(record)) => record,
        Some(Err(why)) => return not_applicable(format!("the call could not be made: {why}")),
        None => return not_applicable("the call was not made"),
    };
    let Some(barge_in) = record.barge_in.filter(|barge_in| barge_in.speaking) else {
        return not_applicable("the bot was not speaking when the caller began to");
    };
    let on = barge_in.spoke_until.saturating_sub(barge_in.at);
    match barge_in.cleared {
        Some((at, dropped)) if at <= barge_in.at + BARGE_IN => {
            let after = at.saturating_sub(barge_in.at).as_millis();
            pass(format!("clear after {after} ms, which took {} away", seconds(dropped)))
        }
        Some((at, _)) => warn(format!("clear after {}", seconds(at.saturating_sub(barge_in.at)))),
        None if record.ended_by_itself().is_some() => not_applicable("the server ended the call"),
        None if on < BARGE_IN => not_applicable("the bot had no more to say, and there was nothing to clear"),
        None => warn(format!("no clear; the bot spoke on for {}", seconds(on))),
    }
}

pub(super) fn payloads_taken(calls: &Calls) -> Judgement {
    outlived(calls, Call::Payloads)
}

pub(super) fn dtmf(calls: &Calls) -> Judgement {
    let judged = outlived(calls, Call::Dtmf);
    // Hanging up or handing over may be what a key means to this bot.
    match calls.record(Call::Dtmf).and_then(|record| record.ended_by_itself()) {
        Some((_, end)) if judged.verdict == Verdict::Fail && polite(end) => {
            warn(format!("{}, in order: if that is what the key means to the bot, all is well", judged.came))
        }
        _ => judged,
    }
}

pub(super) fn unknown(calls: &Calls) -> Judgement {
    outlived(calls, Call::Unknown)
}

pub(super) fn stall(calls: &Calls) -> Judgement {
    outlived(calls, Call::Stall)
}

pub(super) fn second(calls: &Calls) -> Judgement {
    outlived(calls, Call::Second)
}

pub(super) fn stop(calls: &Calls) -> Judgement {
    let Some(record) = calls.record(Call::Plain) else { return not_applicable("the call was not made") };
    let Some(stopped) = record.stopped else {
        return not_applicable("the server ended the call before it was stopped");
    };
    let late = |(at, said): &&(Duration, Said)| matches!(said.what, What::Media { .. }) && *at > stopped + AFTER_STOP;
    let late = record.said.iter().filter(late).count();
    if late > 0 {
        return fail(format!("{late} pieces of audio came later than {} after stop", seconds(AFTER_STOP)));
    }
    match &record.end {
        Some((at, End::ByServer(said))) if polite(&End::ByServer(*said)) => {
            pass(format!("the server closed after {} with {}", seconds(at.saturating_sub(stopped)), code(*said)))
        }
        Some((_, End::ByUs)) => pass("the bot fell silent, and answered the close"),
        // Whether a close is answered is another rule.
        Some((_, End::Unanswered)) | None => pass("the bot fell silent"),
        Some((_, end @ End::Cut(_))) => warn(how(end)),
        Some((_, end)) => fail(how(end)),
    }
}

pub(super) fn no_stop(calls: &Calls) -> Judgement {
    let judged = outlived(calls, Call::NoStop);
    let record = calls.record(Call::NoStop);
    match record.and_then(|record| Some((record.closed?, record.end.as_ref()?))) {
        None => judged,
        Some((_, (_, End::Unanswered))) => {
            fail(format!("{} after the close it had not been answered", seconds(ANSWER)))
        }
        Some((closed, (at, _))) => pass(format!("over {} ms after the close", at.saturating_sub(closed).as_millis())),
    }
}

pub(super) fn goodbye(calls: &Calls) -> Judgement {
    let Some(record) = calls.record(Call::Plain) else { return not_applicable("the call was not made") };
    match record.ended_by_itself() {
        None => not_applicable("the bot left the end to the caller"),
        Some((at, end)) if !polite(end) => fail(format!("after {} {}", seconds(at - record.began), how(end))),
        Some((_, end)) if record.unplayed > TAIL => {
            warn(format!("{} while {} had not been played", how(end), seconds(record.unplayed)))
        }
        Some((_, end)) => pass(how(end)),
    }
}
