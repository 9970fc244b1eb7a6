//! With PhoneBridge: it shows the call and logs it, and there is one record of it all the same.

#[allow(dead_code, reason = "the suite's subject is more than these tests need")]
mod subject;

use std::sync::Arc;

use patchbay_kit::{About, CallActivity, Direction, Kind, Outcome, Phase, RecordRef, Retry, Safety, Settings};
use patchbay_sandbox::{Crm, zoho_crm::ZohoCrm};
use patchbay_testkit::{Line, sample};

fn line() -> Line<ZohoCrm> {
    let (sandbox, credentials) = subject::organisation();
    let settings = Settings { flags: [("phonebridge".to_owned(), true)].into(), ..Settings::default() };
    Line::new(patchbay_zoho_crm::build(&settings), sandbox, credentials, sample::NOW)
}

fn agent(line: &mut Line<ZohoCrm>) -> RecordRef {
    RecordRef::new("agent", line.sandbox.add_agent("Ravi", "ravi@example.com"))
}

fn create(line: &mut Line<ZohoCrm>, call: &CallActivity) -> Result<RecordRef, patchbay_kit::Failure> {
    let connector = Arc::clone(&line.connector);
    line.run(connector.activities().create(call))
}

#[test]
fn a_call_is_shown_and_becomes_one_record() {
    let mut line = line();
    let agent = agent(&mut line);
    let connector = Arc::clone(&line.connector);
    let popups = connector.popups().unwrap();
    for phase in [Phase::Ringing, Phase::Answered] {
        let show = popups.show(&sample::popup(sample::CALL_SID, phase, Some(agent.clone()))).unwrap();
        line.run(show).unwrap();
    }
    assert!(popups.show(&sample::popup(sample::CALL_SID, Phase::Ended, Some(agent.clone()))).is_none());
    assert!(popups.show(&sample::popup(sample::CALL_SID, Phase::Ringing, None)).is_none());
    assert!(line.sandbox.records().is_empty());

    let mut call = sample::call(sample::CALL_SID, None);
    call.agent = Some(agent.clone());
    call.recording_link = Some("https://calls.example.com/r/1.mp3".to_owned());
    let at = create(&mut line, &call).unwrap();
    assert_eq!(at, RecordRef::new("phonebridge_call", sample::CALL_SID));
    // The reply was lost: PhoneBridge knows the call by its id.
    assert_eq!(create(&mut line, &call), Ok(at));
    let records = line.sandbox.records();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].talk_seconds, records[0].recording.as_deref()), (Some(34), call.recording_link.as_deref()));
    assert_eq!(records[0].agent, Some(agent.id));
    let states: Vec<&str> = line.sandbox.notified().iter().map(|one| one.state.as_str()).collect();
    assert_eq!(states, ["ringing", "answered", "ended", "ended"]);
    assert!(line.sandbox.notified().iter().all(|one| one.zohouser.is_some()));
    assert!(connector.updates().is_none() && connector.activities().find(&call).is_none());
    assert!(line.sent().iter().all(|sent| sent.safety != Safety::Creates));
}

#[test]
fn what_was_not_answered_is_told_as_that() {
    for (direction, outcome, state, call_type) in [
        (Direction::Incoming, Outcome::Missed, "missed", "Missed"),
        (Direction::Incoming, Outcome::Voicemail, "missed", "Missed"),
        (Direction::Incoming, Outcome::FlowEnded, "missed", "Missed"),
        (Direction::Outgoing, Outcome::Missed, "noanswer", "Outbound"),
        (Direction::Outgoing, Outcome::Answered, "ended", "Outbound"),
    ] {
        let mut line = line();
        let call = CallActivity { direction, outcome, ..sample::call(sample::CALL_SID, None) };
        create(&mut line, &call).unwrap();
        assert_eq!(line.sandbox.notified()[0].state, state);
        let text = line.sandbox.records()[0].text.clone();
        assert!(text.contains(&format!("Call_Type: {call_type}")) && text.contains("+919876543210"), "{text}");
    }
}

/// No number, or a CallSid that is none: PhoneBridge never heard of the call, and it is a record of ours.
#[test]
fn what_phonebridge_cannot_be_told_is_recorded_all_the_same() {
    let mut line = line();
    for (key, customer) in [(sample::CALL_SID, "sip:alice"), ("with-hyphens", "09876543210")] {
        let call = CallActivity { customer: sample::party(customer), ..sample::call(key, None) };
        let at = create(&mut line, &call).unwrap();
        assert_eq!(at.kind, "call");
        let connector = Arc::clone(&line.connector);
        assert_eq!(line.run(connector.activities().find(&call).unwrap()), Ok(Some(at)));
    }
    assert_eq!((line.sandbox.records().len(), line.sandbox.notified().len()), (2, 0));
}

#[test]
fn refusals_are_told_in_either_form() {
    for in_message in [false, true] {
        let mut line = line();
        line.sandbox.settings.bridge_error_in_message = in_message;
        let connector = Arc::clone(&line.connector);
        assert!(line.run(connector.identify()).unwrap().account.ends_with("with PhoneBridge"));
        line.sandbox.settings.phonebridge = false;
        let failure = line.run(connector.identify()).unwrap_err();
        assert_eq!(failure.remote_code.as_deref(), Some("PROVIDER_NOT_REGISTERED"), "{failure}");
        let failure = create(&mut line, &sample::call(sample::CALL_SID, None)).unwrap_err();
        assert_eq!((failure.kind, failure.retry), (Kind::Forbidden, Retry::Never));
        assert!(failure.detail.contains("`phonebridge = false`"), "{failure}");
        line.sandbox.settings.phonebridge = true;
        line.sandbox.fail_inside(1);
        let failure = create(&mut line, &sample::call(sample::CALL_SID, None)).unwrap_err();
        assert_eq!((failure.kind, failure.retry), (Kind::Unavailable, Retry::Backoff));
        assert!(line.sandbox.expire_tokens());
        let failure = create(&mut line, &sample::call(sample::CALL_SID, None)).unwrap_err();
        assert_eq!((failure.kind, failure.retry), (Kind::Unauthorized, Retry::AfterRefresh));
    }
}

#[test]
fn an_agent_who_is_gone_is_told() {
    let mut line = line();
    let call = CallActivity { agent: Some(RecordRef::new("agent", "1/../2")), ..sample::call(sample::CALL_SID, None) };
    let failure = create(&mut line, &call).unwrap_err();
    assert_eq!((failure.about, failure.retry), (Some(About::Agent), Retry::Never));
}
