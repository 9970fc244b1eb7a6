//! The calls, callers and notes of the tests, with everything in them that has broken an integration before.

use jiff::Timestamp;
use patchbay_kit::{
    CallActivity, CallKey, Digits, Direction, FollowUp, FollowUpKind, NewContact, Note, Outcome, Party, Phase,
    PhoneNumber, Popup, RecordRef, Tried, TriedStatus,
};

/// When the tests take place: 2026-01-15T10:00:00Z.
pub const NOW: Timestamp = Timestamp::constant(1_768_471_200, 0);

/// Every character that means something to a URL, a query language, JSON or HTML, and one beyond 16 bits.
pub const AWKWARD: &str = "+ & ' \" # 😀 % %2B / ? = ; \\ <i>x</i> \u{202e}é";

/// A CallSid as Exotel writes them.
pub const CALL_SID: &str = "27ba29be09721e231a10dd5e9885158p";

/// The caller's number.
pub fn number() -> PhoneNumber {
    PhoneNumber { e164: "+919876543210".into(), country: "91".into(), national: "9876543210".into() }
}

/// An unknown caller.
pub fn caller() -> NewContact {
    NewContact { number: Some(number()), name: "+919876543210".into(), external_id: "exotel:+919876543210".into() }
}

/// A caller who withheld his number.
pub fn withheld() -> NewContact {
    NewContact { number: None, name: "Unknown caller".into(), external_id: "exotel:withheld".into() }
}

/// A party as Exotel writes it: with a zero, a number within India; else a SIP address or a word.
pub fn party(written: &str) -> Party {
    let national = written.strip_prefix('0').filter(|rest| rest.len() == 10).map(str::to_owned);
    let number = |national| PhoneNumber { e164: format!("+91{national}"), country: "91".into(), national };
    Party { written: written.to_owned(), number: national.map(number) }
}

/// An answered call.
pub fn call(key: &str, contact: Option<RecordRef>) -> CallActivity {
    CallActivity {
        key: CallKey(key.to_owned()),
        outcome: Outcome::Answered,
        direction: Direction::Incoming,
        subject: "Incoming Call from 09876543210 (Created automatically)".to_owned(),
        body: format!("From: 09876543210<br>CallSid: {key}"),
        customer: party("09876543210"),
        exophone: party("08047494574"),
        started_at: NOW.checked_sub(std::time::Duration::from_secs(300)).ok(),
        ended_at: Some(NOW),
        talk_seconds: Some(34),
        total_seconds: Some(58),
        tried: vec![
            Tried { number: party("09711581199"), status: TriedStatus::NoAnswer, talk_seconds: None },
            Tried { number: party("09711581198"), status: TriedStatus::Answered, talk_seconds: Some(34) },
        ],
        recording_link: None,
        digits: vec![Digits { tag: "language".to_owned(), value: "2".to_owned() }],
        disposition: None,
        contact,
        agent: None,
    }
}

/// The recording's note.
pub fn note(key: &str) -> Note {
    Note {
        key: CallKey(key.to_owned()),
        body: format!(
            "<a href=\"https://calls.example.com/r/{n}?a=1&amp;b=2\">Call Recording</a><br>Call Duration: 34s<br>CallSid: {key}",
            n = key.len()
        ),
    }
}

/// A call as it is shown to the agent it rings.
pub fn popup(key: &str, phase: Phase, agent: Option<RecordRef>) -> Popup {
    Popup {
        key: CallKey(key.to_owned()),
        phase,
        direction: Direction::Incoming,
        customer: party("09876543210"),
        exophone: party("08047494574"),
        agent_number: party("09711581198"),
        agent,
        contact: None,
        started_at: Some(NOW),
        talk_seconds: (phase == Phase::Ended).then_some(34),
    }
}

/// What is to be done after a missed call.
pub fn follow_up(key: &str, kind: FollowUpKind) -> FollowUp {
    FollowUp {
        key: CallKey(key.to_owned()),
        kind,
        subject: "Call back 09876543210".to_owned(),
        body: format!("Missed call<br>CallSid: {key}"),
        due_at: NOW.checked_add(std::time::Duration::from_secs(3600)).unwrap_or(NOW),
    }
}
