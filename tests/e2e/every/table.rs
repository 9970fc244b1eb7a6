//! The calls, and what each must have become: the same table for every CRM.

use std::collections::BTreeSet;

use crate::rig::{AGENT, Call};

use super::{
    floor::{Floor, Seat},
    seats,
};

/// A call's callbacks, in the order in which Exotel sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Answered,
    Missed,
    Voicemail,
    Keyed,
}

pub(super) struct Played {
    pub(super) call: Call,
    pub(super) kind: Kind,
}

impl Played {
    pub(super) fn new(n: u32, kind: Kind) -> Self {
        let mut call = Call::new(n);
        if matches!(kind, Kind::Missed | Kind::Keyed) {
            call.talk_s = 0;
        }
        Self { call, kind }
    }

    pub(super) fn callbacks(&self) -> Vec<String> {
        let Self { call, kind } = self;
        match kind {
            Kind::Answered => {
                vec![call.pop("Ringing", AGENT, 3), call.pop("Answered", AGENT, 9), call.answered()]
            }
            Kind::Missed => vec![call.pop("Ringing", AGENT, 3), call.missed()],
            Kind::Voicemail => vec![call.pop("Ringing", AGENT, 3), call.voicemail()],
            Kind::Keyed => vec![call.keyed("ivr", "2", "&ivr_tag_1=lang", 4), call.end()],
        }
    }

    /// What stands in the record's text.
    fn says(&self) -> &'static str {
        match self.kind {
            Kind::Answered => "Incoming Call from",
            Kind::Missed => "Missed Call from",
            Kind::Voicemail => "Voicemail from",
            Kind::Keyed => "Incoming IVR/Gather call from",
        }
    }

    fn recorded(&self) -> bool {
        matches!(self.kind, Kind::Answered | Kind::Voicemail)
    }
}

/// One of each, each from another caller.
pub(super) fn one_of_each() -> Vec<Played> {
    let kinds = [Kind::Answered, Kind::Missed, Kind::Voicemail, Kind::Keyed];
    (1..).zip(kinds).map(|(n, kind)| Played::new(n, kind)).collect()
}

pub(super) async fn play(floor: &Floor, played: &[Played]) {
    for one in played {
        match one.kind {
            Kind::Answered => floor.rig.simulate(&one.call),
            Kind::Voicemail => floor.rig.simulate_voicemail(&one.call),
            Kind::Missed | Kind::Keyed => {}
        }
        for callback in one.callbacks() {
            assert_eq!(floor.rig.hook(&callback).await, 200, "{:?}", one.kind);
        }
    }
}

/// What is wrong with one call in one CRM; nothing, if all is right.
fn wrong(seat: &Seat, played: &Played) -> Option<String> {
    let Played { call, kind } = played;
    let records = seat.of(&call.sid);
    let expected = if played.recorded() && seat.shape.recording_apart { 2 } else { 1 };
    if records.len() != expected {
        return Some(format!("{} records, not {expected}", records.len()));
    }
    let text: String = records.iter().map(|record| record.text.as_str()).collect::<Vec<_>>().join("\n");
    if !text.contains(played.says()) {
        return Some(format!("does not say {:?}: {text}", played.says()));
    }
    if records.iter().any(|record| record.public) {
        return Some("the customer can read it".to_owned());
    }
    let link = format!("/r/acme1/{}.mp3", call.sid);
    let linked =
        text.contains(&link) || records.iter().any(|one| one.recording.as_deref().is_some_and(|it| it.contains(&link)));
    if linked != played.recorded() {
        return Some(format!("recording: {linked}, not {}: {text}", played.recorded()));
    }
    let talk = records[0].talk_seconds;
    if seat.shape.talk && *kind == Kind::Answered && talk != Some(8) {
        return Some(format!("they talked {talk:?} seconds, not 8"));
    }
    if seat.shape.agent && *kind == Kind::Answered && records[0].agent.as_deref() != Some(seat.agent.as_str()) {
        return Some(format!("the agent is {:?}, not {}", records[0].agent, seat.agent));
    }
    if seat.shape.contacts {
        let national = &call.from[1..];
        let his: BTreeSet<String> = seat
            .crm
            .contacts()
            .into_iter()
            .filter(|contact| contact.numbers.iter().any(|number| digits(number).ends_with(national)))
            .map(|contact| contact.id)
            .collect();
        if his.len() != 1 {
            return Some(format!("{} contacts have the caller's number", his.len()));
        }
        if records[0].contact.as_ref() != his.first() {
            return Some(format!("it is {:?}'s and not the caller's ({his:?})", records[0].contact));
        }
    }
    None
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Waits until nothing moves any more, and holds every CRM against the table.
pub(super) async fn check(floor: &Floor, played: &[Played]) {
    floor.settled().await;
    // The recording comes after the call: its enquiry may still be open when deliveries rest.
    let all = || {
        let mut errors = Vec::new();
        for seat in &floor.seats {
            for one in played {
                if let Some(error) = wrong(seat, one) {
                    errors.push(format!("{}, {:?} {}: {error}", seat.name, one.kind, one.call.sid));
                }
            }
        }
        errors
    };
    let began = std::time::Instant::now();
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(50));
    loop {
        let errors = all();
        if errors.is_empty() {
            break;
        }
        if began.elapsed() > crate::rig::PATIENCE {
            let mut standing = String::new();
            for seat in &floor.seats {
                if errors.iter().any(|error| error.starts_with(seat.name)) {
                    standing.push_str(&floor.standing(seat).await);
                }
            }
            panic!("{}\n{standing}", errors.join("\n"));
        }
        tick.tick().await;
    }
    floor.settled().await;
    let errors = all();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_crm_says_the_same_of_every_call() {
    let floor = Floor::started(seats::all());
    let played = one_of_each();
    play(&floor, &played).await;
    check(&floor, &played).await;

    // All of it once more: Exotel repeats itself, and so does whoever replays.
    let before: Vec<_> = floor.seats.iter().map(|seat| (seat.crm.records(), seat.crm.contacts())).collect();
    play(&floor, &played).await;
    for one in &played {
        let path = format!("/api/v1/accounts/acme1/calls/{}/resync", one.call.sid);
        let (status, answer) = floor.rig.post(&path, serde_json::json!({})).await;
        assert_eq!(status, 202, "{answer}");
    }
    check(&floor, &played).await;
    for (seat, (records, contacts)) in floor.seats.iter().zip(before) {
        assert_eq!(seat.crm.records().len(), records.len(), "{}", seat.name);
        assert_eq!(seat.crm.contacts().len(), contacts.len(), "{}", seat.name);
    }
}

/// One number in all its writings is the same person in every CRM.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_found_however_his_number_is_written() {
    let floor = Floor::started(seats::all());
    let writings = |n: u32| {
        let national = format!("98765{n:05}");
        [format!("+91{national}"), national.clone(), format!("0{national}"), format!("91{national}")]
    };
    let mut played = Vec::new();
    let mut known = Vec::new();
    for n in 10..14 {
        let one = Played::new(n, Kind::Missed);
        let written = writings(n)[(n - 10) as usize].clone();
        for (at, seat) in floor.seats.iter().enumerate() {
            if seat.shape.contacts {
                known.push((at, one.call.sid.clone(), seat.crm.add_contact("Asha Rao", &written), written.clone()));
            }
        }
        played.push(one);
    }
    play(&floor, &played).await;
    check(&floor, &played).await;
    for (at, sid, contact, written) in known {
        let seat = &floor.seats[at];
        assert_eq!(seat.of(&sid)[0].contact.as_ref(), Some(&contact), "{} as {written}", seat.name);
    }
}
