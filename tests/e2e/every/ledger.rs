//! The ledger, and the sweep that completes it: a day on which callbacks are lost, doubled and late, and the service dies.
//!
//! `PATCHBAY_TEST_SEED` makes another day. The long one is
//! `PATCHBAY_TEST_CALLS=3000 cargo test --test e2e -- --ignored a_long_day`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use patchbay_sandbox::{Crm, HeldRecord, exotel::SimulatedCall};
use serde_json::Value;

use super::{
    floor::{Floor, TICKET},
    seats,
    table::{Kind, Played},
};
use crate::rig::{AGENT, AGENT_ID, Call, EXOPHONE, KEY, PATIENCE, Random, Rig, SID, TOKEN};

/// Calls of the day in every run, and of the long one.
const CALLS: u32 = 200;
const CALLS_OF_A_LONG_DAY: u32 = 3000;
/// Calls while the service is dead.
const UNHEARD: u32 = 20;
/// So many calls has a caller on average.
const CALLS_EACH: u32 = 4;
/// Calls that go on at the same time.
const AT_ONCE: usize = 10;

/// How long after it began a call stands in Exotel's list: within the usual overlap.
const LISTED_AFTER: u64 = 300;

/// A callback on its way.
#[derive(Clone)]
struct Sent {
    /// The call's number.
    of: usize,
    /// Query of a call event, or form of a status callback.
    says: String,
    outgoing: bool,
}

/// One call of the day.
struct Lived {
    played: Played,
    outgoing: bool,
    /// Callbacks that were answered 200.
    heard: u32,
}

struct Day {
    floor: Floor,
    random: Random,
    calls: Vec<Lived>,
    /// Callbacks that are still to come: late ones among them.
    late: Vec<Sent>,
    faulty: u32,
    sent: u32,
    callers: u64,
}

impl Day {
    fn begin(calls: u32) -> Self {
        let seed = number("PATCHBAY_TEST_SEED", 20_261_121);
        // Shown when the day fails.
        println!("seed {seed}");
        let mut floor = Floor::new(seats::all());
        floor.rig.exotel.with(|exotel| exotel.settings.list_lag = Duration::from_secs(LISTED_AFTER));
        let since = Timestamp::now() - SignedDuration::from_mins(60);
        floor.rig.extra.push_str(&format!("\n[sweep]\nevery = \"200ms\"\nsince = \"{since}\""));
        floor.rig.start();
        let callers = u64::from(calls / CALLS_EACH);
        Self { floor, random: Random(seed), calls: Vec::new(), late: Vec::new(), faulty: 0, sent: 0, callers }
    }

    /// The next call: as Exotel has it, and the callbacks it would send.
    fn call(&mut self, n: u32) -> Vec<Sent> {
        let kinds = [Kind::Answered, Kind::Answered, Kind::Missed, Kind::Voicemail, Kind::Keyed];
        let kind = kinds[usize::try_from(self.random.below(5)).expect("small")];
        let outgoing = self.random.below(8) == 0 && matches!(kind, Kind::Answered | Kind::Missed);
        let mut played = Played::new(n, kind);
        played.call.from = format!("098765{:05}", self.random.below(self.callers));
        // Some have only just ended, and are not in the list yet.
        let within = if self.random.below(4) == 0 { 10 } else { 1200 };
        let ago = Duration::from_secs(LISTED_AFTER - 10 + self.random.below(within));
        played.call.started_at = Timestamp::now() - ago;
        let call = &played.call;
        match kind {
            Kind::Answered | Kind::Missed => self.floor.rig.simulate(call),
            Kind::Voicemail => self.floor.rig.simulate_voicemail(call),
            Kind::Keyed => {
                let mut keyed = SimulatedCall::new(&call.sid, &call.from, EXOPHONE, call.started_at);
                keyed.ended_at = Some(call.started_at + Duration::from_secs(27));
                keyed.facts_after_end = Duration::ZERO;
                self.floor.rig.exotel.with(|exotel| exotel.add_call(keyed));
            }
        }
        self.floor.rig.exotel.with(|exotel| {
            let mut held = exotel.call(&call.sid).expect("the call").clone();
            if outgoing {
                (held.from, held.to) = (AGENT.to_owned(), call.from.clone());
                (held.direction, held.exophone) = ("outbound-api".to_owned(), EXOPHONE.to_owned());
            } else {
                held.answered_by = (kind == Kind::Answered).then(|| AGENT.to_owned());
            }
            exotel.add_call(held);
        });
        let says = if outgoing { vec![status(call)] } else { played.callbacks() };
        let of = self.calls.len();
        self.calls.push(Lived { played, outgoing, heard: 0 });
        says.into_iter().map(|says| Sent { of, says, outgoing }).collect()
    }

    /// Of ten callbacks, seven come as they should; one is lost, one comes twice, one comes late.
    fn spoil(&mut self, sent: Vec<Sent>) -> Vec<Sent> {
        let mut now = Vec::new();
        for one in sent {
            self.sent += 1;
            let fate = self.random.below(10);
            self.faulty += u32::from(fate < 3);
            match fate {
                0 => {}
                1 => now.extend([one.clone(), one]),
                2 => self.late.push(one),
                _ => now.push(one),
            }
        }
        // What was late comes in the midst of other calls.
        while self.late.len() > AT_ONCE {
            let at = usize::try_from(self.random.below(self.late.len() as u64)).expect("an index");
            now.push(self.late.swap_remove(at));
        }
        now
    }

    async fn send(&mut self, all: Vec<Sent>) {
        let rig = &self.floor.rig;
        let answers = futures_util::future::join_all(all.iter().map(|one| async move {
            let request = if one.outgoing {
                let url = rig.url(&format!("/v2/accounts/{SID}/status"));
                rig.http.post(url).header("content-type", "application/x-www-form-urlencoded").body(one.says.clone())
            } else {
                rig.http.get(rig.url(&format!("/v2/accounts/{SID}/call-events?{}", one.says)))
            };
            request.basic_auth(KEY, Some(TOKEN)).send().await.map(|reply| reply.status().as_u16())
        }))
        .await;
        for (one, answer) in all.iter().zip(answers) {
            // While the service is dead, nobody answers; Exotel does not come back.
            self.calls[one.of].heard += u32::from(answer.is_ok_and(|status| status == 200));
        }
    }

    /// Plays these calls, some at a time.
    async fn play(&mut self, numbers: std::ops::Range<u32>) {
        let numbers: Vec<u32> = numbers.collect();
        for some in numbers.chunks(AT_ONCE) {
            let mut sent = Vec::new();
            for n in some {
                sent.extend(self.call(*n));
            }
            let sent = self.spoil(sent);
            self.send(sent).await;
        }
    }

    fn rig(&self) -> &Rig {
        &self.floor.rig
    }

    /// Every record of every CRM, by the call it is about.
    fn records(&self) -> BTreeMap<&'static str, BTreeMap<String, Vec<HeldRecord>>> {
        let support = self.rig().freshdesk.with(|desk| Crm::records(desk));
        let all = self.floor.seats.iter().map(|seat| (seat.name, seat.crm.records())).chain([("support", support)]);
        let by_call = |records: Vec<HeldRecord>| {
            let mut by_call: BTreeMap<String, Vec<HeldRecord>> = BTreeMap::new();
            for record in records {
                by_call.entry(call_sid(&record.text)).or_default().push(record);
            }
            by_call
        };
        all.map(|(name, records)| (name, by_call(records))).collect()
    }

    /// What stands otherwise than it should, of one call in one CRM.
    fn wrong(&self, lived: &Lived, crm: &str, records: &[HeldRecord]) -> Option<String> {
        let Lived { played: Played { call, kind }, outgoing, heard } = lived;
        let seat = self.floor.seats.iter().find(|seat| seat.name == crm);
        let shape = seat.map_or(TICKET, |seat| seat.shape);
        let recorded = matches!(kind, Kind::Answered | Kind::Voicemail);
        let expected = if recorded && shape.recording_apart { 2 } else { 1 };
        let text: String = records.iter().map(|record| record.text.as_str()).collect::<Vec<_>>().join("\n");
        let link = format!("/r/{SID}/{}.mp3", call.sid);
        let linked = text.contains(&link)
            || records.iter().any(|one| one.recording.as_deref().is_some_and(|address| address.contains(&link)));
        // Of a call that the list alone tells of, its legs tell who took it.
        let agent = seat.map_or_else(|| AGENT_ID.to_string(), |seat| seat.agent.clone());
        let shown = records.first().and_then(|record| record.agent.as_ref());
        let says = match kind {
            Kind::Answered => "Incoming Call from",
            Kind::Missed => "Missed Call from",
            _ => "",
        };
        // Where nothing can be edited, what comes late is said in one more message; never is the same said twice.
        let texts: BTreeSet<&str> = records.iter().map(|record| record.text.as_str()).collect();
        let once = if shape.recording_apart {
            records.len() >= expected && texts.len() == records.len()
        } else {
            records.len() == expected
        };
        let wrong = if !once {
            format!("{} records, not {expected}", records.len())
        } else if linked != recorded {
            format!("recording: {linked}")
        } else if !*outgoing && !text.contains(says) {
            format!("does not say {says:?}")
        } else if !*outgoing && *kind == Kind::Answered && shape.agent && shown != Some(&agent) {
            format!("the agent is {shown:?}, not {agent}")
        } else {
            return None;
        };
        Some(format!("{crm}, {}, {kind:?}, outgoing {outgoing}, {heard} callbacks heard: {wrong}: {text}", call.sid))
    }

    fn all_wrong(&self) -> Vec<String> {
        let records = self.records();
        let of = |lived: &Lived| {
            let its = |(crm, by_call): (&&'static str, &BTreeMap<String, Vec<HeldRecord>>)| {
                let its = by_call.get(&lived.played.call.sid).map(Vec::as_slice).unwrap_or_default();
                self.wrong(lived, crm, its)
            };
            records.iter().filter_map(its).collect::<Vec<_>>()
        };
        self.calls.iter().flat_map(of).collect()
    }

    /// Waits until nothing changes any more, or nothing is left to wait for: a day is as long as the machine needs.
    async fn until_over(&self, what: &str, mut left: impl AsyncFnMut(&Self) -> String) {
        let (mut last, mut since) = (String::new(), Instant::now());
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        loop {
            let now = left(self).await;
            if now.is_empty() {
                return;
            }
            if now != last {
                (last, since) = (now, Instant::now());
            }
            assert!(since.elapsed() < PATIENCE, "never: {what}: {last}");
            tick.tick().await;
        }
    }

    /// The whole ledger, page by page.
    async fn ledger(&self) -> BTreeMap<String, Value> {
        let (mut entries, mut before) = (BTreeMap::new(), String::new());
        loop {
            let page = self.rig().account(&format!("/ledger?limit=70{before}")).await;
            for entry in page["calls"].as_array().expect("calls") {
                let sid = entry["call_sid"].as_str().expect("a CallSid").to_owned();
                assert!(entries.insert(sid, entry.clone()).is_none(), "twice: {entry}");
            }
            match page["next"].as_str() {
                Some(next) => before = format!("&before={next}"),
                None => return entries,
            }
        }
    }
}

/// The callback at the end of a call that was placed for an agent.
fn status(call: &Call) -> String {
    let (status, second) = if call.talk_s > 0 { ("completed", "completed") } else { ("no-answer", "no-answer") };
    format!(
        "CallSid={}&EventType=terminal&Status={status}&From={AGENT}&To={}&PhoneNumberSid={EXOPHONE}\
         &Direction=outbound-api&StartTime={}&EndTime={}&ConversationDuration={}&Legs%5B0%5D%5BStatus%5D=completed\
         &Legs%5B1%5D%5BStatus%5D={second}&DateUpdated={}",
        call.sid,
        call.from,
        call.at(0),
        call.at(27),
        call.talk_s,
        call.at(27),
    )
}

/// The CallSid that a text holds; these are all of one form.
fn call_sid(text: &str) -> String {
    let prefix = &Call::new(0).sid[..24];
    text.find(prefix).and_then(|at| text.get(at..at + 32)).unwrap_or_default().to_owned()
}

/// A number of the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_lost_doubled_and_late_callbacks_ends_with_nothing_missing_and_nothing_twice() {
    live(CALLS).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn a_long_day_of_lost_doubled_and_late_callbacks() {
    live(u32::try_from(number("PATCHBAY_TEST_CALLS", CALLS_OF_A_LONG_DAY.into())).expect("not so many")).await;
}

async fn live(calls: u32) {
    let mut day = Day::begin(calls);
    // A call nobody tells of, which goes on all day.
    let long = Call::new(70_000);
    let going_on = SimulatedCall::new(&long.sid, &long.from, EXOPHONE, long.started_at);
    day.rig().exotel.with(|exotel| exotel.add_call(going_on));

    let unheard = calls / 2..calls / 2 + UNHEARD;
    day.play(0..unheard.start).await;
    day.floor.rig.kill();
    day.play(unheard.clone()).await;
    day.floor.rig.start();
    day.play(unheard.end..calls).await;
    let late = std::mem::take(&mut day.late);
    day.send(late).await;
    println!("{} callbacks, {} lost, doubled or late", day.sent, day.faulty);
    assert!((day.sent / 4..day.sent * 2 / 5).contains(&day.faulty), "{} of {}", day.faulty, day.sent);

    // Looked at again until it is over, like every call.
    let crms: Vec<&str> = day.floor.seats.iter().map(|seat| seat.name).chain(["support"]).collect();
    let states = |entry: &Value, wanted: &str| crms.iter().all(|crm| entry["integrations"][crm]["state"] == wanted);
    day.until_over("it is listed", async |day| match day.ledger().await.get(&long.sid) {
        Some(entry) if states(entry, "open") => String::new(),
        other => format!("{other:?}"),
    })
    .await;
    assert!(day.rig().tickets(&long.sid).is_empty());
    day.rig().exotel.with(|exotel| {
        exotel.change_call(&long.sid, |call| {
            (call.ended_at, call.facts_after_end) = (Some(Timestamp::now()), Duration::ZERO);
        });
    });

    let total = u64::from(calls) + 1;
    day.until_over("nothing is missing", async |day| {
        let summary = day.rig().account("/ledger/summary").await;
        let complete = |crm: &&str| summary["integrations"][crm]["missing"] == 0;
        let all = summary["calls"] == total && summary["open"] == 0 && summary["seen"]["callback"] == 0;
        if all && crms.iter().all(complete) {
            return String::new();
        }
        // Without the sweep's place, which is another every time.
        ["calls", "seen", "open", "integrations"].map(|name| summary[name].to_string()).concat()
    })
    .await;
    // Recordings come behind.
    day.until_over("every CRM has every call as it was", async |day| {
        let wrong = day.all_wrong();
        if wrong.is_empty() { String::new() } else { format!("{}: {:#?}", wrong.len(), &wrong[..wrong.len().min(5)]) }
    })
    .await;
    day.floor.settled().await;
    let wrong = day.all_wrong();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (crm, by_call) in day.records() {
        assert_eq!(by_call.len() as u64, total, "in {crm} there is nothing else");
        assert!(by_call[&long.sid].len() == 1, "in {crm}: {:?}", by_call[&long.sid]);
    }

    let ledger = day.ledger().await;
    assert_eq!(ledger.len() as u64, total);
    for Lived { played, heard, .. } in &day.calls {
        let entry = &ledger[&played.call.sid];
        assert_eq!((entry["seen"]["callback"] == true, entry["seen"]["list"] == true), (*heard > 0, true), "{entry}");
        assert!(states(entry, "done"), "{entry}");
    }
    // Some of those whose callbacks the dead service missed had a late one that came when it lived again.
    let silent = day.calls.iter().filter(|lived| lived.heard == 0).count();
    assert!(silent >= usize::try_from(UNHEARD).expect("few") / 2, "{silent} calls nobody told of");
    let only = day.rig().account("/ledger?seen=list&limit=200").await;
    assert_eq!(only["calls"].as_array().map(Vec::len), Some((silent + 1).min(200)));

    let csv = day.rig().http.get(day.rig().url(&format!("/api/v1/accounts/{SID}/ledger.csv")));
    let csv = csv.bearer_auth(crate::rig::ADMIN).send().await.expect("an answer").text().await.expect("a file");
    assert_eq!(csv.lines().count() as u64, total + 1);
    assert!(csv.starts_with("\"call_sid\",\"started_at\""), "{csv}");
    let file = day.rig().account(&format!("/calls/{}", long.sid)).await;
    assert!(file["timeline"].as_array().expect("a timeline").iter().any(|line| line["kind"] == "listed"), "{file}");
}
