//! The domain from end to end: recorded flows in, records out, in every order.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use jiff::{Timestamp, tz::Offset};
use proptest::prelude::*;
use serde::Deserialize;
use uuid::Uuid;

use patchbay_kit::{Assigns, AuthScheme, Manifest, Origin, TextFormat, TextRules};

use super::{compose::Texts, plan::Enquiry, state::AnsweredBy, *};

pub(super) static MANIFEST: Manifest = Manifest {
    id: "test",
    name: "Test",
    origin: Origin::Domain { setting: "domain", suffixes: &[".example"] },
    auth: AuthScheme::Basic { user: "api_key", password: "X" },
    settings: &[],
    quotas: &[],
    text: TextRules { format: TextFormat::Html, subject_chars: 255, body_chars: 30_000 },
    phone: &[],
    writings_per_find: 1,
    record: "ticket",
    assigns: Assigns::Flag("assign_tickets"),
    record_facts: false,
};

pub(super) fn locale() -> Locale {
    Locale {
        utc_offset: Offset::from_seconds(19_800).unwrap(),
        country: "IN".to_owned(),
        recording_origins: Vec::new(),
    }
}

pub(super) fn read(hook: Hook, query: &str, content_type: Option<&str>, body: &str, received_at: i64) -> CallEvent {
    let receipt = Receipt {
        id: Uuid::nil(),
        account: "acme".to_owned(),
        hook,
        received_at: Timestamp::from_second(received_at).unwrap(),
        method: "GET".to_owned(),
        path: "/".to_owned(),
        query: query.to_owned(),
        content_type: content_type.map(str::to_owned),
        body: body.as_bytes().to_vec(),
    };
    normalise(&receipt, &locale()).unwrap()
}

pub(super) fn texts(format: TextFormat) -> Arc<Texts> {
    let rules = TextRules { format, ..MANIFEST.text };
    Arc::new(Texts::new(rules, &BTreeMap::new()).unwrap().in_offset(locale().utc_offset))
}

pub(super) fn integration(name: &str, format: TextFormat, notes: bool) -> IntegrationRules {
    IntegrationRules {
        name: name.to_owned(),
        manifest: &MANIFEST,
        notes,
        popups: false,
        updates: true,
        follow_up: None,
        follow_up_kinds: &[],
        mask_numbers: false,
        assign: true,
        texts: texts(format),
    }
}

/// One agent, who is the same user in the CRM of every integration there is in these tests.
pub(super) fn mapping() -> UserMapping {
    let names = ["support", "a", "b", "html", "plain", "noteless"];
    let crm_user = names.into_iter().map(|name| (name.to_owned(), "81007555518".to_owned())).collect();
    UserMapping::new([("+919711581199".to_owned(), Mapped { email: None, crm_user })])
}

pub(super) fn rules(integrations: Vec<IntegrationRules>) -> PlanRules {
    PlanRules {
        account: "acme".to_owned(),
        country: "IN".to_owned(),
        integrations,
        recording_link: Arc::new(|sid| format!("https://calls.example.com/r/{sid}?exp=1&sig=abc")),
        enquiry_schedule: [20, 60, 300].map(Duration::from_secs).into(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flow {
    name: String,
    #[serde(rename = "title")]
    _title: String,
    #[serde(rename = "source")]
    _source: String,
    call: Details,
    callback: Vec<Callback>,
    expect: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Details {
    status: String,
    direction: String,
    lasts_s: i64,
    talk_s: u32,
    recording_after_s: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Callback {
    after_s: i64,
    hook: String,
    #[serde(rename = "method")]
    _method: String,
    query: String,
    #[serde(default)]
    body: String,
    content_type: Option<String>,
    #[serde(default = "once")]
    repeat: usize,
    #[serde(default)]
    late_s: i64,
}

fn once() -> usize {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    outcome: patchbay_kit::Outcome,
    subject: String,
    body_has: Vec<String>,
    note_has: Vec<String>,
    agent: Option<String>,
}

const START: i64 = 1_703_659_625;
const SID: &str = "56ad12c0e29d4c1f9a7e3b5d8c6f1227";
const FROM: &str = "08660512345";
const TO: &str = "08046801234";
const AGENT: &str = "09711581199";
const RECORDING: &str = "https://recordings.exotel.com/exotelrecordings/acme/56ad12c0e29d.mp3";

fn fill(template: &str, at: i64, escape: bool) -> String {
    let local = |second: i64| locale().utc_offset.to_datetime(Timestamp::from_second(second).unwrap());
    let naive = |second| local(second).strftime("%Y-%m-%d %H:%M:%S").to_string();
    let mail = |second| local(second).strftime("%a, %d %b %Y %H:%M:%S").to_string();
    let values = [
        ("CallSid", SID.to_owned()),
        ("From", FROM.to_owned()),
        ("To", TO.to_owned()),
        ("Agent1", AGENT.to_owned()),
        ("Agent1Email", "avnish@example.com".to_owned()),
        ("Agent2", "09945476362".to_owned()),
        ("Agent2Email", "rahil@example.com".to_owned()),
        ("Created", mail(START)),
        ("StartTime", naive(START)),
        ("Now", naive(at)),
        ("NowPlus5", mail(at + 300)),
        ("RecordingUrl", RECORDING.to_owned()),
    ];
    values.iter().fold(template.to_owned(), |text, (name, value)| {
        let escaped: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        text.replace(&format!("{{{name}}}"), if escape { &escaped } else { value })
    })
}

impl Flow {
    fn all() -> Vec<Self> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/flows");
        let mut flows: Vec<Self> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|error| panic!("{path:?}: {error}"))
            })
            .collect();
        flows.sort_by(|one, other| one.name.cmp(&other.name));
        assert!(flows.len() >= 10);
        flows
    }

    /// The callbacks' events, in order of delivery, repetitions and all.
    fn delivered(&self) -> Vec<CallEvent> {
        let mut order: Vec<&Callback> = self.callback.iter().collect();
        order.sort_by_key(|callback| callback.after_s + callback.late_s);
        let mut events = Vec::new();
        for callback in order {
            let at = START + callback.after_s;
            let hook = Hook::parse(&callback.hook.replace('-', "_")).unwrap();
            let form = callback.content_type.as_deref() == Some("application/x-www-form-urlencoded");
            for again in 0..callback.repeat {
                events.push(read(
                    hook,
                    &fill(&callback.query, at, true),
                    callback.content_type.as_deref(),
                    &fill(&callback.body, at, form),
                    at + callback.late_s + i64::try_from(again).unwrap(),
                ));
            }
        }
        events
    }

    /// What Exotel answers, asked so many seconds after the call's start.
    fn detailed(&self, asked_s: i64) -> CallEvent {
        let call = &self.call;
        let over = asked_s > call.lasts_s;
        let outgoing = call.direction.starts_with("outbound");
        let recorded = call.recording_after_s.is_some_and(|after| asked_s > call.lasts_s + after);
        let text = |yes: bool, value: &str| if yes { format!("\"{value}\"") } else { "null".to_owned() };
        let second = match (call.talk_s, call.status.as_str()) {
            (0, "completed") => None,
            (0, status) => Some(status),
            _ => Some("completed"),
        };
        let body = format!(
            r#"{{"Call":{{"Sid":"{SID}","From":"{from}","To":"{to}","PhoneNumberSid":"{TO}","Status":{status},"StartTime":"{{StartTime}}","EndTime":{end},"Duration":{duration},"Direction":"{direction}","RecordingUrl":{recording},"Details":{{"ConversationDuration":{talk},"Leg1Status":{leg1},"Leg2Status":{leg2},"Legs":[]}}}}}}"#,
            from = if outgoing { AGENT } else { FROM },
            to = if outgoing { FROM } else { TO },
            status = text(true, if over { &call.status } else { "in-progress" }),
            end = text(over, "{Now}"),
            duration = if over { call.lasts_s.to_string() } else { "null".to_owned() },
            direction = call.direction,
            recording = text(recorded, RECORDING),
            talk = if over { call.talk_s.to_string() } else { "null".to_owned() },
            leg1 = text(over, "completed"),
            leg2 = text(over && second.is_some(), second.unwrap_or_default()),
        );
        let body = fill(&body, START + call.lasts_s, false);
        read(Hook::Details, "", Some("application/json"), &body, START + asked_s)
    }

    /// All that is ever heard of the call.
    fn heard(&self) -> Vec<CallEvent> {
        let mut events = self.delivered();
        events.extend([self.detailed(1), self.detailed(self.call.lasts_s + 1), self.detailed(self.call.lasts_s + 600)]);
        events
    }
}

fn distinct(events: &[CallEvent]) -> Vec<CallEvent> {
    let mut seen = std::collections::BTreeSet::new();
    events.iter().filter(|event| seen.insert(event.id)).cloned().collect()
}

/// Every order of the slice, each shown once (Heap's algorithm).
pub(super) fn permutations<T>(items: &mut [T], left: usize, show: &mut impl FnMut(&[T])) {
    if left <= 1 {
        return show(items);
    }
    for at in 0..left {
        permutations(items, left - 1, show);
        items.swap(if left.is_multiple_of(2) { at } else { 0 }, left - 1);
    }
}

#[test]
fn every_flow_leads_to_the_expected_records() {
    for flow in Flow::all() {
        let state = CallState::fold(&flow.heard()).unwrap();
        assert_eq!(state.outcome, Some(flow.expect.outcome), "{}: {state:?}", flow.name);
        assert!(state.over, "{}", flow.name);
        assert!(state.complete(), "{}: {state:?}", flow.name);
        let agent = flow.expect.agent.as_deref().map(|agent| fill(agent, START, false));
        assert_eq!(state.answered_by().map(|agent| agent.agent.clone()), agent, "{}", flow.name);

        let rules = rules(vec![
            integration("html", TextFormat::Html, true),
            integration("plain", TextFormat::Plain, true),
            integration("noteless", TextFormat::Html, false),
        ]);
        let intents = plan(&state, &rules, &mapping(), 0);
        let mut notes = Vec::new();
        for intent in &intents {
            match &intent.content {
                Content::Log(log) => {
                    assert_eq!(log.activity.subject, fill(&flow.expect.subject, START, false), "{}", flow.name);
                    let more: &[String] = if intent.integration == "noteless" { &flow.expect.note_has } else { &[] };
                    for wanted in flow.expect.body_has.iter().chain(more) {
                        let wanted = fill(wanted, START, false);
                        assert!(
                            log.activity.body.contains(&wanted),
                            "{}: {wanted} in {}",
                            flow.name,
                            log.activity.body
                        );
                    }
                    assert_eq!(log.caller.external_id, "exotel:+918660512345", "{}", flow.name);
                    let mapped = log.agent.as_ref().and_then(|agent| agent.crm_user.as_deref());
                    assert_eq!(mapped, (agent.as_deref() == Some(AGENT)).then_some("81007555518"), "{}", flow.name);
                }
                Content::Recording(note) => notes.push(note.body.clone()),
                Content::FollowUp(_) => panic!("nobody asked for one"),
            }
        }
        assert_eq!(intents.len() - notes.len(), 3, "{}", flow.name);
        assert_eq!(notes.len(), if flow.expect.note_has.is_empty() { 0 } else { 2 }, "{}: {notes:?}", flow.name);
        for (note, wanted) in notes.iter().flat_map(|note| flow.expect.note_has.iter().map(move |it| (note, it))) {
            assert!(note.contains(&fill(wanted, START, false)), "{}: {wanted} in {note}", flow.name);
        }
    }
}

#[test]
fn callbacks_alone_conclude_a_call_unless_the_last_one_is_lost() {
    for flow in Flow::all() {
        let state = CallState::fold(&flow.delivered()).unwrap();
        let lost = matches!(flow.name.as_str(), "lost_passthru" | "ivr_abandoned");
        assert_eq!(state.outcome, (!lost).then_some(flow.expect.outcome), "{}", flow.name);
        assert!(!state.over && !state.complete(), "{}", flow.name);
    }
}

#[test]
fn a_subject_never_changes_once_it_is_written_in_order() {
    for flow in Flow::all() {
        let events = flow.heard();
        let mut subjects = Vec::new();
        for upto in 1..=events.len() {
            let state = CallState::fold(&events[..upto]).unwrap();
            if let Some(outcome) = state.outcome {
                subjects.push(texts(TextFormat::Html).subject(&state, outcome));
            }
        }
        subjects.dedup();
        assert_eq!(subjects, [fill(&flow.expect.subject, START, false)], "{}", flow.name);
    }
}

#[test]
fn every_order_of_a_trace_gives_one_state() {
    for flow in Flow::all() {
        let mut events = distinct(&flow.heard());
        while events.len() > 7 {
            // The answer "still in progress" and the earliest popups say the least.
            events.remove(0);
        }
        let wanted = CallState::fold(&events).unwrap();
        let mut orders = 0;
        let mut shuffled = events.clone();
        let left = shuffled.len();
        permutations(&mut shuffled, left, &mut |order| {
            orders += 1;
            assert_eq!(CallState::fold(order).unwrap(), wanted, "{}", flow.name);
        });
        assert_eq!(orders, (1..=events.len()).product::<usize>(), "{}", flow.name);
    }
}

#[test]
fn exotels_enquiry_ends_with_complete_details() {
    for flow in Flow::all() {
        let schedule = [20, 60, 300].map(Duration::from_secs);
        let mut events = flow.delivered();
        let mut now = Timestamp::from_second(START + 2).unwrap();
        let mut enquiry: Option<Enquiry> = None;
        let mut answered = false;
        for round in 0.. {
            let state = CallState::fold(&events).unwrap();
            let next = plan::enquire(&state, &schedule, enquiry, answered, now);
            enquiry = Some(next);
            let Some(due_at) = next.due_at else {
                assert!(state.complete(), "{}", flow.name);
                break;
            };
            assert!(due_at > now && round < 20, "{}", flow.name);
            now = due_at;
            events.push(flow.detailed(now.as_second() - START));
            answered = true;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn repetition_and_order_do_not_show(which in 0..11_usize, picks in prop::collection::vec(any::<prop::sample::Index>(), 0..40)) {
        let flows = Flow::all();
        let events = distinct(&flows[which % flows.len()].heard());
        let wanted = CallState::fold(&events).unwrap();
        // Each event at least once, some again with another time of arrival, all in an arbitrary order.
        let mut trace = events.clone();
        for pick in &picks {
            let mut again = pick.get(&events).clone();
            again.received_at = Timestamp::from_second(2_000_000_000).unwrap();
            let at = pick.index(trace.len());
            trace.insert(at, again);
            let (one, other) = (pick.index(trace.len()), (at * 7 + 3) % trace.len());
            trace.swap(one, other);
        }
        prop_assert_eq!(CallState::fold(&trace).unwrap(), wanted);
    }

    /// Events nobody would send together are folded all the same, in one way.
    #[test]
    fn any_mixture_folds_the_same_in_any_order(
        parts in prop::collection::vec((0..6_usize, 0..8_usize, 0..5_usize, 0..60_i64), 1..12),
        seed in any::<u64>(),
    ) {
        let kinds = ["pop&EventType=Dial", "pop&EventType=Terminal", "answered", "missed", "gather", "end"];
        let says = [
            "", "DialCallStatus=completed", "DialCallStatus=no-answer", "CallType=client-hangup", "CallType=voicemail",
            "digits=1", "RecordingUrl=https%3A%2F%2Frecordings.exotel.com%2Fx.mp3", "Legs[0][Number]=09711581199&Legs[0][OnCallDuration]=5",
        ];
        let agents = ["", "09711581199", "+919711581199", "09945476362", "sip:alice"];
        let mut events: Vec<CallEvent> = parts
            .iter()
            .map(|(kind, say, agent, at)| {
                let now = fill("{Now}", START + at, true);
                let agent: String = url::form_urlencoded::byte_serialize(agents[*agent].as_bytes()).collect();
                let query = format!("CallSid=c1&event={}&{}&DialWhomNumber={agent}&CurrentTime={now}", kinds[*kind], says[*say]);
                read(Hook::CallEvents, &query, None, "", 0)
            })
            .collect();
        let wanted = CallState::fold(&events).unwrap();
        let mut random = seed;
        for at in (1..events.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            events.swap(at, usize::try_from(random >> 33).unwrap() % (at + 1));
        }
        prop_assert_eq!(CallState::fold(&events).unwrap(), wanted.clone());
        events.extend(events.clone());
        prop_assert_eq!(CallState::fold(&events).unwrap(), wanted);
    }
}

#[test]
fn no_events_are_no_call() {
    assert_eq!(CallState::fold([]), None);
}

/// A click's call as Exotel tells of it: placed, answered once for each leg, ended; as JSON, and as multipart.
fn click_to_call(second: &str, as_json: bool) -> Vec<CallEvent> {
    let placed = PlacedCall {
        call_sid: "c1".to_owned(),
        click: Uuid::from_u128(7),
        agent: Some("09711581199".to_owned()),
        bot: None,
        agent_email: Some("avnish@example.com".to_owned()),
        customer: "09876543210".to_owned(),
        exophone: "08047494574".to_owned(),
        custom_field: mark::write(Uuid::from_u128(7), Some("order 7")),
        dialled_at: Timestamp::from_second(1_000).unwrap(),
    };
    let receipt = placed.receipt(Uuid::nil(), "acme", Timestamp::from_second(1_001).unwrap()).unwrap();
    let common = [
        ("CallSid", "c1"),
        ("From", "09711581199"),
        ("To", "09876543210"),
        ("PhoneNumberSid", "08047494574"),
        ("Direction", "outbound-api"),
    ];
    let says = |more: &[(&str, &str)], legs: [(&str, &str, &str); 2], at: i64| {
        let fields = common.iter().chain(more).copied();
        if as_json {
            let legs = legs.map(|(status, talked, by)| {
                serde_json::json!({ "Status": status, "OnCallDuration": talked, "AnsweredBy": by, "AmdCause": "" })
            });
            let mut body: serde_json::Map<_, _> =
                fields.map(|(name, value)| (name.to_owned(), serde_json::Value::from(value))).collect();
            body.insert("Legs".to_owned(), legs.to_vec().into());
            let body = serde_json::Value::from(body).to_string();
            return read(Hook::Status, "", Some("application/json"), &body, at);
        }
        let mut body = String::new();
        let mut part = |name: &str, value: &str| {
            body += &format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        };
        fields.for_each(|(name, value)| part(name, value));
        for (index, (status, talked, by)) in legs.into_iter().enumerate() {
            part(&format!("Legs[{index}][Status]"), status);
            part(&format!("Legs[{index}][OnCallDuration]"), talked);
            part(&format!("Legs[{index}][AnsweredBy]"), by);
        }
        read(Hook::Status, "", Some("multipart/form-data; boundary=x"), &(body + "--x--\r\n"), at)
    };
    let going = [("EventType", "answered"), ("Status", "in-progress")];
    let talked = if second == "completed" { "13" } else { "0" };
    let mark = placed.custom_field.as_str();
    let over =
        [("EventType", "terminal"), ("Status", "completed"), ("ConversationDuration", talked), ("CustomField", mark)];
    let by = if second == "completed" { "MACHINE" } else { "NA" };
    vec![
        normalise(&receipt, &locale()).unwrap(),
        says(&going, [("in-progress", "", "NA"), ("", "", "")], 1_005),
        says(&going, [("in-progress", "", "NA"), ("in-progress", "", "")], 1_009),
        says(&over, [("completed", "26", "NA"), (second, talked, by)], 1_030),
    ]
}

#[test]
fn status_callbacks_complete_a_click_in_either_encoding() {
    let [json, multipart] = [true, false].map(|as_json| click_to_call("completed", as_json));
    assert_eq!(json.iter().map(|event| event.id).collect::<std::collections::BTreeSet<_>>().len(), 4, "each leg's own");
    for events in [json, multipart] {
        for given in [events.clone(), events.iter().rev().cloned().collect()] {
            let state = CallState::fold(&given).unwrap();
            assert_eq!(state.direction, patchbay_kit::Direction::Outgoing);
            assert_eq!(state.outcome, Some(patchbay_kit::Outcome::Answered));
            assert_eq!((state.customer.as_deref(), state.talk_seconds), (Some("09876543210"), Some(13)));
            assert_eq!(state.agent().map(|agent| agent.agent.as_str()), Some("09711581199"));
            assert_eq!(state.custom_field.as_deref().and_then(mark::read), Some(Uuid::from_u128(7)));
            assert_eq!(state.amd.map(|amd| amd.answered_by), Some(AnsweredBy::Machine), "not the agent's NA");
        }
        let legs = &events[3].facts.legs;
        assert_eq!(legs[1].answered_by.as_deref(), Some("MACHINE"), "{legs:?}");
    }
    let missed = CallState::fold(&click_to_call("no-answer", true)).unwrap();
    assert_eq!((missed.outcome, missed.amd), (Some(patchbay_kit::Outcome::Missed), None), "NA says nothing");
}

#[test]
fn a_placed_call_is_a_call_at_once_and_is_asked_about_when_nobody_says_more() {
    let events = click_to_call("completed", true);
    let now = Timestamp::from_second(1_001).unwrap();
    let state = CallState::fold(&events[..1]).unwrap();
    let agent = state.agent().expect("the agent");
    assert_eq!((agent.agent.as_str(), agent.status), ("09711581199", AttemptStatus::Dialing));
    assert_eq!((state.outcome, state.started_at), (None, Some(Timestamp::from_second(1_000).unwrap())));
    let popups_too = IntegrationRules { popups: true, ..integration("desk", TextFormat::Html, true) };
    let rules = rules(vec![popups_too]);
    assert!(plan(&state, &rules, &UserMapping::default(), 0).is_empty(), "there is nothing to write yet");
    let enquiry = super::plan::enquire(&state, &rules.enquiry_schedule, None, false, now);
    assert!(enquiry.due_at.is_some(), "callbacks may be lost");
    // Whoever has clicked is shown whom he is connected with, once: later callbacks ring nowhere.
    let shown = popups(&state, &events[..1], &rules.integrations[0], &rules, &UserMapping::default());
    assert_eq!(shown.len(), 1);
    assert_eq!((shown[0].direction, shown[0].phase), (patchbay_kit::Direction::Outgoing, patchbay_kit::Phase::Ringing));
    assert_eq!(shown[0].agent_number.e164(), Some("+919711581199"));
    assert!(popups(&state, &events[1..], &rules.integrations[0], &rules, &UserMapping::default()).is_empty());
}
