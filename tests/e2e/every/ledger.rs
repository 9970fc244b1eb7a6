//! The ledger, and the sweep that completes it: a day on which callbacks are lost, doubled and late, and the service dies.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use patchbay_sandbox::{Crm, HeldRecord, exotel::SimulatedCall};
use serde_json::Value;

use super::{
    floor::Floor,
    seats,
    table::{Kind, Played},
};
use crate::rig::{AGENT, AGENT_ID, Call, EXOPHONE, KEY, Rig, SID, TOKEN};

/// Calls of the day, and those of them while the service is dead.
const CALLS: u32 = 300;
const UNHEARD: std::ops::Range<u32> = 150..170;
/// Fewer than calls.
const CALLERS: u64 = 80;
/// Calls that go on at the same time.
const AT_ONCE: usize = 10;

/// SplitMix64: the whole day comes from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

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
}

impl Day {
    fn begin(seed: u64) -> Self {
        println!("seed {seed}");
        let mut floor = Floor::new(vec![seats::hubspot(), seats::zoho_desk()]);
        let since = Timestamp::now() - SignedDuration::from_mins(60);
        // The usual overlap: calls come into the list up to 25 minutes after they began.
        floor.rig.extra.push_str(&format!("\n[sweep]\nevery = \"200ms\"\nsince = \"{since}\""));
        floor.rig.start();
        Self { floor, random: Random(seed), calls: Vec::new(), late: Vec::new(), faulty: 0, sent: 0 }
    }

    /// The next call: as Exotel has it, and the callbacks it would send.
    fn call(&mut self, n: u32) -> Vec<Sent> {
        let kinds = [Kind::Answered, Kind::Answered, Kind::Missed, Kind::Voicemail, Kind::Keyed];
        let kind = kinds[usize::try_from(self.random.below(5)).expect("small")];
        let outgoing = self.random.below(8) == 0 && matches!(kind, Kind::Answered | Kind::Missed);
        let mut played = Played::new(n, kind);
        played.call.from = format!("098765{:05}", self.random.below(CALLERS));
        let ago = SignedDuration::from_secs(300 + i64::try_from(self.random.below(1200)).expect("small"));
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

    /// Every record of every CRM.
    fn records(&self) -> BTreeMap<&'static str, Vec<HeldRecord>> {
        let mut all: BTreeMap<_, _> = self.floor.seats.iter().map(|seat| (seat.name, seat.crm.records())).collect();
        all.insert("support", self.rig().freshdesk.with(|desk| Crm::records(desk)));
        all
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

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_lost_doubled_and_late_callbacks_ends_with_nothing_missing_and_nothing_twice() {
    let mut day = Day::begin(20_261_121);
    // A call nobody tells of, which goes on all day.
    let long = Call::new(70_000);
    let going_on = SimulatedCall::new(&long.sid, &long.from, EXOPHONE, long.started_at);
    day.rig().exotel.with(|exotel| exotel.add_call(going_on));

    day.play(0..UNHEARD.start).await;
    day.floor.rig.kill();
    day.play(UNHEARD).await;
    day.floor.rig.start();
    day.play(UNHEARD.end..CALLS).await;
    let late = std::mem::take(&mut day.late);
    day.send(late).await;
    println!("{} callbacks, {} lost, doubled or late", day.sent, day.faulty);
    assert!((day.sent / 4..day.sent * 2 / 5).contains(&day.faulty), "{} of {}", day.faulty, day.sent);

    // Looked at again until it is over, like every call.
    day.rig()
        .until_api("/ledger?seen=list&limit=200", |ledger| {
            let entry = ledger["calls"].as_array()?.iter().find(|entry| entry["call_sid"] == *long.sid)?;
            ["support", "hubspot", "zoho_desk"].map(|name| &entry["integrations"][name]["state"] == "open")[..]
                .iter()
                .all(|open| *open)
                .then_some(())
        })
        .await;
    assert!(day.rig().tickets(&long.sid).is_empty());
    day.rig().exotel.with(|exotel| {
        exotel.change_call(&long.sid, |call| {
            (call.ended_at, call.facts_after_end) = (Some(Timestamp::now()), Duration::ZERO);
        });
    });

    let total = u64::from(CALLS) + 1;
    day.rig()
        .until_api("/ledger/summary", |summary| {
            let missing = ["support", "hubspot", "zoho_desk"].map(|name| summary["integrations"][name]["missing"] == 0);
            (summary["calls"] == total
                && summary["seen"]["callback"] == 0
                && summary["open"] == 0
                && missing.iter().all(|none| *none))
            .then_some(())
        })
        .await;
    day.floor.settled().await;

    let ledger = day.ledger().await;
    assert_eq!(ledger.len() as u64, total);
    let records = day.records();
    let mut unheard = 0;
    for lived in &day.calls {
        let Lived { played: Played { call, kind }, outgoing, heard } = lived;
        let entry = &ledger[&call.sid];
        assert_eq!((entry["seen"]["callback"] == true, entry["seen"]["list"] == true), (*heard > 0, true), "{entry}");
        unheard += usize::from(*heard == 0);
        for (crm, records) in &records {
            assert_eq!(entry["integrations"][crm]["state"], "done", "{crm}: {entry}");
            let its: Vec<_> = records.iter().filter(|record| record.text.contains(&call.sid)).collect();
            let [record] = its.as_slice() else { panic!("{} records of {} in {crm}: {entry}", its.len(), call.sid) };
            let expected = match (kind, outgoing) {
                (Kind::Answered, false) => "Incoming Call from",
                (Kind::Missed, false) => "Missed Call from",
                _ => "",
            };
            assert!(record.text.contains(expected), "{kind:?}, heard {heard}, in {crm}: {}", record.text);
            // Of a call that the list alone tells of, its legs tell who took it.
            if *crm == "support" && *kind == Kind::Answered && !outgoing {
                assert_eq!(record.agent, Some(AGENT_ID.to_string()), "heard {heard}: {}", record.text);
            }
        }
    }
    for (crm, records) in &records {
        assert_eq!(records.len() as u64, total, "in {crm} there is nothing else");
    }
    // Some of those whose callbacks the dead service missed had a late one that came when it lived again.
    assert!(unheard >= UNHEARD.len() / 2, "{unheard} calls nobody told of");
    let only = day.rig().account("/ledger?seen=list&limit=200").await;
    assert_eq!(only["calls"].as_array().map(Vec::len), Some(unheard + 1));

    let csv = day.rig().http.get(day.rig().url(&format!("/api/v1/accounts/{SID}/ledger.csv")));
    let csv = csv.bearer_auth(crate::rig::ADMIN).send().await.expect("an answer").text().await.expect("a file");
    assert_eq!(csv.lines().count() as u64, total + 1);
    assert!(csv.starts_with("\"call_sid\",\"started_at\""), "{csv}");
    let file = day.rig().account(&format!("/calls/{}", long.sid)).await;
    assert!(file["timeline"].as_array().expect("a timeline").iter().any(|line| line["kind"] == "listed"), "{file}");
}
