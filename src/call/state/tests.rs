//! How a call ended, by whoever told of it, in any order, once or often: the fold comes to the same state.

use super::*;
use crate::call::{
    receipt::Hook,
    tests::{locale, read},
};

fn applet(query: &str) -> CallEvent {
    read(Hook::CallEvents, &format!("CallSid=c1&{query}"), None, "", 0)
}

fn details(json: &str) -> CallEvent {
    let body = format!(r#"{{"Call":{{"Sid":"c1",{json}}}}}"#);
    read(Hook::Details, "", Some("application/json"), &body, 0)
}

fn status(form: &str) -> CallEvent {
    read(Hook::Status, "", Some("application/x-www-form-urlencoded"), &format!("CallSid=c1&{form}"), 0)
}

fn fold(events: &[CallEvent]) -> CallState {
    CallState::fold(events).unwrap()
}

fn outcome(events: &[CallEvent]) -> Option<Outcome> {
    fold(events).outcome
}

fn listed(json: &str) -> CallEvent {
    let body = format!(r#"{{"Call":{{"Sid":"c1","Direction":"inbound",{json}}}}}"#);
    read(Hook::Listed, "", Some("application/json"), &body, 0)
}

#[test]
fn the_list_concludes_what_failed_and_leaves_the_rest_to_the_details() {
    for status in ["no-answer", "busy", "failed", "canceled"] {
        let failed = listed(&format!(r#""Status":"{status}""#));
        assert_eq!(outcome(std::slice::from_ref(&failed)), Some(Outcome::Missed), "{status}");
        assert!(fold(std::slice::from_ref(&failed)).listed_over);
        // Whoever knows more is believed.
        assert_eq!(outcome(&[failed.clone(), applet("event=voicemail")]), Some(Outcome::Voicemail));
        assert_eq!(outcome(&[failed, applet("event=answered&DialCallStatus=completed")]), Some(Outcome::Answered));
    }
    let completed = listed(r#""Status":"completed","EndTime":"2023-12-27 12:17:32","Duration":"27""#);
    assert_eq!(outcome(std::slice::from_ref(&completed)), None, "with whom, the list does not know");
    let state = fold(std::slice::from_ref(&completed));
    assert!(state.listed_over && !state.complete() && state.total_seconds == Some(27), "{state:?}");
    assert_eq!(state.final_outcome(), Outcome::FlowEnded, "nobody is known to have been tried");
    let going_on = listed(r#""Status":"in-progress""#);
    assert_eq!((outcome(std::slice::from_ref(&going_on)), fold(&[going_on]).listed_over), (None, false));
    // Placed for an agent: the list names him, and not whether he was reached.
    let placed = read(
        Hook::Listed,
        "",
        Some("application/json"),
        r#"{"Call":{"Sid":"c1","Status":"completed","Direction":"outbound-api","From":"09711581199","To":"09052161119","PhoneNumber":"08046801234"}}"#,
        0,
    );
    let state = fold(&[placed]);
    assert_eq!((state.outcome, state.placed_for.as_deref()), (None, Some("09711581199")));
    assert_eq!((state.customer.as_deref(), state.exophone.as_deref()), (Some("09052161119"), Some("08046801234")));
}

#[test]
fn an_agents_leg_beside_a_listed_call_tells_who_took_it() {
    let body = |talked: &str| {
        format!(
            r#"{{"Call":{{"Sid":"c1","Direction":"inbound","Status":"completed"}},
                "Legs":[{{"Number":"09711581199","Status":"no-answer","OnCallDuration":0}},
                        {{"Number":"09945476362","Status":"completed","OnCallDuration":{talked}}}]}}"#
        )
    };
    let with = |talked| read(Hook::Listed, "", Some("application/json"), &body(talked), 0);
    let state = fold(&[with("8")]);
    assert_eq!(state.outcome, Some(Outcome::Answered));
    assert_eq!(state.answered_by().map(|it| (it.agent.as_str(), it.talk_seconds)), Some(("09945476362", Some(8))));
    assert_eq!(state.attempts.len(), 2);
    assert_eq!(state.talk_seconds, None, "how long they talked the details say");
    assert_eq!(outcome(&[with("0")]), None, "a leg that did not last is no conversation");
}

#[test]
fn who_told_of_a_call_is_kept_and_who_was_first() {
    let early = |event: CallEvent, at: i64| CallEvent { received_at: Timestamp::from_second(at).unwrap(), ..event };
    let (list, popup) = (listed(r#""Status":"in-progress""#), applet("event=pop&EventType=Dial"));
    let seen = |events: &[CallEvent]| fold(events).seen;
    let only = seen(std::slice::from_ref(&list));
    assert_eq!((only.first, only.callback, only.list), (Some(SeenBy::List), false, true));
    assert!(only.by_list_alone());
    let both = seen(&[early(list.clone(), 9), early(popup.clone(), 8)]);
    assert_eq!((both.first, both.callback, both.list), (Some(SeenBy::Callback), true, true));
    assert_eq!(seen(&[early(list, 8), early(popup.clone(), 9)]).first, Some(SeenBy::List));
    assert_eq!(both.popups, SeenPopups::Dialling);
    assert_eq!(seen(&[popup, applet("event=pop&EventType=Ringing")]).popups, SeenPopups::Ringing);
    let asked = seen(&[details(OVER)]);
    assert_eq!((asked.first, asked.callback), (None, false), "what we ask ourselves tells of no call");
}

const OVER: &str = r#""Status":"completed","EndTime":"2023-12-27 12:17:32","Duration":"27""#;

#[test]
fn dial_call_status_beats_the_url_that_was_called() {
    for contradiction in [
        "DialCallStatus=canceled",
        "DialCallStatus=no-answer",
        "DialCallStatus=busy",
        "DialCallStatus=failed",
        "CallType=client-hangup",
        "CallType=incomplete",
    ] {
        assert_eq!(
            outcome(&[applet(&format!("event=answered&{contradiction}"))]),
            Some(Outcome::Missed),
            "{contradiction}"
        );
    }
    assert_eq!(outcome(&[applet("event=missed&DialCallStatus=completed")]), Some(Outcome::Answered));
    assert_eq!(outcome(&[applet("event=answered")]), Some(Outcome::Answered));
    assert_eq!(outcome(&[applet("event=missed")]), Some(Outcome::Missed));
    assert_eq!(outcome(&[applet("event=end&DialCallStatus=no-answer")]), Some(Outcome::Missed));
    assert_eq!(outcome(&[applet("event=gather&DialCallStatus=completed&digits=15246")]), Some(Outcome::Answered));
}

#[test]
fn voicemail_beats_missed_and_the_end_of_the_flow_but_not_answered() {
    let voicemail = applet("event=voicemail&DialCallStatus=no-answer");
    assert_eq!(outcome(&[voicemail.clone(), applet("event=missed"), applet("event=end")]), Some(Outcome::Voicemail));
    assert_eq!(outcome(&[applet("event=missed&CallType=voicemail")]), Some(Outcome::Voicemail));
    assert_eq!(
        outcome(&[voicemail.clone(), applet("event=answered&DialCallStatus=completed")]),
        Some(Outcome::Answered)
    );
    // Whether Exotel counts the message as conversation is not known.
    let message = details(&format!(r#"{OVER},"Details":{{"ConversationDuration":14,"Leg2Status":"no-answer"}}"#));
    assert_eq!(outcome(&[voicemail, message]), Some(Outcome::Voicemail));
}

#[test]
fn popups_alone_never_conclude_a_call() {
    let popups = [
        applet("event=pop&EventType=Dial&DialWhomNumber=09711581199"),
        applet("event=pop&EventType=Answered&DialWhomNumber=09711581199"),
        applet("event=pop&EventType=Terminal&DialWhomNumber=09711581199"),
    ];
    assert_eq!(outcome(&popups), None);
    let with = |json: &str| outcome(&[popups[0].clone(), popups[2].clone(), details(json)]);
    assert_eq!(with(&format!(r#"{OVER},"Details":{{"ConversationDuration":8}}"#)), Some(Outcome::Answered));
    assert_eq!(with(&format!(r#"{OVER},"Details":{{"Leg2Status":"completed"}}"#)), Some(Outcome::Answered));
    assert_eq!(with(&format!(r#"{OVER},"Details":{{"Leg2Status":"no-answer"}}"#)), Some(Outcome::Missed));
    assert_eq!(with(&format!(r#"{OVER},"Details":{{"ConversationDuration":0}}"#)), Some(Outcome::Missed));
    assert_eq!(with(r#""Status":"in-progress""#), None);
    // `completed` a moment ago, durations not filled in: too early to call it missed, too late to lose it.
    let early = fold(&[popups[0].clone(), details(r#""Status":"completed","EndTime":null"#)]);
    assert_eq!((early.outcome, early.over, early.complete()), (None, true, false));
    assert_eq!(early.final_outcome(), Outcome::Missed);
    // An agent took the call, says the popup, and the details say nothing to the contrary.
    let taken = [popups[0].clone(), popups[1].clone(), details(OVER)];
    assert_eq!(outcome(&taken), Some(Outcome::Answered));
}

#[test]
fn details_of_a_call_without_attempts_end_the_flow() {
    let keyed = applet("event=ivr&digits=1");
    assert_eq!(outcome(std::slice::from_ref(&keyed)), None);
    assert_eq!(outcome(&[keyed.clone(), details(OVER)]), Some(Outcome::FlowEnded));
    assert_eq!(outcome(&[keyed.clone(), details(r#""Status":"canceled","EndTime":null"#)]), Some(Outcome::FlowEnded));
    let tried = details(&format!(r#"{OVER},"Details":{{"Leg2Status":"no-answer"}}"#));
    assert_eq!(outcome(&[keyed, tried]), Some(Outcome::Missed));
    assert_eq!(outcome(&[applet("event=end"), details(r#""Status":"no-answer""#)]), Some(Outcome::FlowEnded));
}

#[test]
fn an_end_before_the_agents_are_tried_gives_way_to_what_follows() {
    let end = applet("event=end&digits=1&CurrentTime=2023-12-27+12:17:10");
    let dial = applet("event=pop&EventType=Dial&DialWhomNumber=09711581199&CurrentTime=2023-12-27+12:17:12");
    let ended = applet("event=pop&EventType=Terminal&DialWhomNumber=09711581199&CurrentTime=2023-12-27+12:17:40");
    assert_eq!(outcome(&[end.clone(), dial.clone(), ended.clone()]), Some(Outcome::FlowEnded));
    let answered = applet("event=answered&DialCallStatus=completed");
    assert_eq!(outcome(&[end.clone(), dial.clone(), ended.clone(), answered]), Some(Outcome::Answered));
    assert_eq!(outcome(&[end, dial, ended, details(OVER)]), Some(Outcome::Missed));
}

#[test]
fn status_callbacks_conclude_on_the_end_of_the_call_alone() {
    let parties = "Direction=outbound-api&From=09052161119&To=09876543210&PhoneNumberSid=08030752400";
    let first = status(&format!("EventType=answered&Status=in-progress&{parties}&Legs[0][Status]=in-progress"));
    assert_eq!(outcome(std::slice::from_ref(&first)), None);
    let end = |rest: &str| outcome(&[first.clone(), status(&format!("EventType=terminal&{parties}&{rest}"))]);
    assert_eq!(end("Status=completed&ConversationDuration=13"), Some(Outcome::Answered));
    assert_eq!(end("Status=completed"), Some(Outcome::Answered));
    assert_eq!(end("Status=completed&ConversationDuration=0&Legs[1][Status]=no-answer"), Some(Outcome::Missed));
    assert_eq!(end("Status=no-answer"), Some(Outcome::Missed));
    assert_eq!(end("Status=cancelled"), Some(Outcome::Missed));
    let monitor =
        status("LegSid=l1&Origin=monitor&Status=completed&EventType=terminal&PhoneNumber=09876543219&OnCallDuration=9");
    let state = fold(&[first, monitor]);
    assert_eq!((state.outcome, state.ended_at, state.attempts.len()), (None, None, 1));
    assert_eq!(state.direction, Direction::Outgoing);
    assert_eq!(state.customer.as_deref(), Some("09876543210"));
    assert_eq!(state.attempts[0].agent, "09052161119");
}

#[test]
fn a_lost_status_callback_is_made_good_by_details() {
    let placed = r#""Direction":"outbound-api","From":"09052161119","To":"09876543210","PhoneNumberSid":"08030752400""#;
    let state = fold(&[details(&format!("{placed},{OVER}"))]);
    assert_eq!(state.outcome, Some(Outcome::Answered));
    assert_eq!(state.answered_by().unwrap().agent, "09052161119");
    let silent = format!(r#"{placed},{OVER},"Details":{{"ConversationDuration":0,"Leg2Status":"busy"}}"#);
    assert_eq!(outcome(&[details(&silent)]), Some(Outcome::Missed));
}

#[test]
fn a_null_never_replaces_a_value_and_details_know_better() {
    let answered = applet(
        "event=answered&CallFrom=09876543210&DialCallStatus=completed&DialCallDuration=19&DialWhomNumber=09711581199&RecordingUrl=https://recordings.exotel.com/a.mp3",
    );
    let state = fold(&[answered.clone(), applet("event=end&RecordingUrl=null&CallFrom=&DialWhomNumber=")]);
    assert_eq!(state.recording_url.as_deref(), Some("https://recordings.exotel.com/a.mp3"));
    assert_eq!(state.customer.as_deref(), Some("09876543210"));
    assert_eq!(state.talk_seconds, Some(19));
    let filled = details(&format!(r#"{OVER},"From":"+919876543210","Details":{{"ConversationDuration":8}}"#));
    let state = fold(&[filled, answered]);
    assert_eq!((state.talk_seconds, state.total_seconds), (Some(8), Some(27)));
    assert_eq!(state.customer.as_deref(), Some("09876543210"), "the writing that the record shows stays");
    assert!(state.complete());
}

#[test]
fn the_answered_leg_tells_how_long_they_talked() {
    let legs =
        "Legs[0][Number]=09711581199&Legs[0][OnCallDuration]=0&Legs[1][Number]=09945476362&Legs[1][OnCallDuration]=21";
    let answered = applet(&format!(
        "event=answered&DialCallStatus=completed&DialCallDuration=50&DialWhomNumber=09945476362&{legs}"
    ));
    let state = fold(std::slice::from_ref(&answered));
    assert_eq!(state.talk_seconds, Some(21));
    // Not filled in yet.
    let early = details(r#""Status":"completed","Details":{"ConversationDuration":0}"#);
    assert_eq!(fold(&[answered, early]).talk_seconds, Some(21));
}

#[test]
fn agents_are_listed_once_in_the_order_they_were_tried() {
    let pop = |agent: &str, what: &str, second: u32| {
        applet(&format!("event=pop&EventType={what}&DialWhomNumber={agent}&CurrentTime=2023-12-27+12:17:{second:02}"))
    };
    let legs =
        "Legs[0][Number]=09711581199&Legs[0][OnCallDuration]=0&Legs[1][Number]=09945476362&Legs[1][OnCallDuration]=5";
    let passthru = applet(&format!(
        "event=answered&DialCallStatus=completed&DialWhomNumber=09945476362&{legs}&CurrentTime=2023-12-27+12:18:30"
    ));
    // The first agent's popups are lost, the second's number is written otherwise.
    let state = fold(&[pop("%2B919945476362", "Dial", 30), passthru]);
    let agents: Vec<_> = state.attempts.iter().map(|attempt| (attempt.agent.as_str(), attempt.status)).collect();
    assert_eq!(agents, [("09711581199", AttemptStatus::NotAnswered), ("+919945476362", AttemptStatus::Answered)]);
    assert_eq!(state.attempts[1].talk_seconds, Some(5));

    // Nobody says who answered: he whose attempt ended last.
    let parallel = [
        pop("09711581199", "Dial", 1),
        pop("09945476362", "Dial", 2),
        pop("09711581199", "Terminal", 50),
        pop("09945476362", "Terminal", 20),
        details(&format!(r#"{OVER},"Details":{{"ConversationDuration":8}}"#)),
    ];
    assert_eq!(fold(&parallel).answered_by().unwrap().agent, "09711581199");
}

#[test]
fn untagged_steps_are_numbered_by_kind_in_order() {
    let step = |what: &str, value: &str, second: u32| {
        applet(&format!("event={what}&digits=%22{value}%22&CurrentTime=2023-12-27+12:17:{second:02}"))
    };
    let state = fold(&[
        step("gather", "2587", 40),
        step("ivr", "2", 10),
        step("ivr&ivr_tag_7=lang_english", "3", 20),
        step("ivr", "2", 30),
        step("ivr", "2", 30),
        step("end", "2587", 45),
    ]);
    let shown: Vec<_> = state.digits.iter().map(|step| format!("{}={}", step.tag, step.value)).collect();
    assert_eq!(shown, ["ivr_tag_1=2", "lang_english=3", "ivr_tag_2=2", "gather_tag_1=2587"]);
    // The last step's own passthru was lost.
    let state = fold(&[step("ivr", "2", 10), step("end", "99", 45)]);
    assert_eq!(state.digits.last().unwrap().value, "99");
}

#[test]
fn the_latest_choice_of_each_integration_counts_and_changes_nothing_else() {
    use crate::call::{Asked, FollowUpWish, PersonRequest, normalise};
    use patchbay_kit::FollowUpKind;
    let asked = |integration: &str, second: i64, asked: Asked| {
        let (call_sid, by) = ("c1".to_owned(), "admin".to_owned());
        let request = PersonRequest { call_sid, integration: integration.to_owned(), by, asked };
        let at = Timestamp::from_second(1_800_000_000 + second).unwrap();
        normalise(&request.receipt(uuid::Uuid::nil(), "acme", at).unwrap(), &locale()).unwrap()
    };
    let contact = |id: &str| Asked::Contact { record: RecordRef::new("contact", id) };
    let wish = |kind| FollowUpWish { kind, subject: None, due_at: None };
    let call =
        [applet("event=missed&CallFrom=09876543210&StartTime=2023-12-27+12:17:05&CurrentTime=2023-12-27+12:17:32")];
    let events = [
        asked("crm", 3, contact("third")),
        asked("crm", 1, contact("first")),
        call[0].clone(),
        asked("desk", 2, contact("other")),
        asked("crm", 2, contact("second")),
        asked("desk", 5, Asked::FollowUp { wish: wish(FollowUpKind::Ticket) }),
        asked("desk", 4, Asked::FollowUp { wish: wish(FollowUpKind::Task) }),
    ];
    let mut state = fold(&events);
    assert_eq!(state.choices["crm"].id, "third");
    assert_eq!(state.choices["desk"].id, "other");
    assert_eq!(state.follow_ups.len(), 1);
    assert_eq!(state.follow_ups["desk"], wish(FollowUpKind::Ticket));
    let mut backwards = events.clone();
    backwards.reverse();
    assert_eq!(fold(&backwards), state);
    // Rows that were stored before there were choices.
    let mut old = serde_json::to_value(fold(&call)).unwrap();
    old.as_object_mut().unwrap().retain(|name, _| name != "choices" && name != "follow_ups");
    assert_eq!(serde_json::from_value::<CallState>(old).unwrap(), fold(&call));
    (state.choices, state.follow_ups, state.events) = (BTreeMap::new(), BTreeMap::new(), 1);
    assert_eq!(state, fold(&call));
}

#[test]
fn who_was_to_be_dialled_makes_a_lost_call_a_missed_one() {
    let whom = read(Hook::LeadSquared, "CallSid=c1&CallFrom=09876543210&CallTo=08046801234", None, "", 0);
    // Its path says what it is; the reader of tests gives none.
    let whom = CallEvent { kind: EventKind::DialWhom, ..whom };
    let state = fold(std::slice::from_ref(&whom));
    assert_eq!((state.outcome, state.customer.as_deref()), (None, Some("09876543210")));
    assert_eq!(outcome(&[whom.clone(), details(OVER)]), Some(Outcome::Missed));
    assert_eq!(outcome(&[whom, applet("event=answered")]), Some(Outcome::Answered));
}

#[test]
fn debug_shows_no_number() {
    let state =
        fold(&[applet("event=gather&CallFrom=09876543210&CallTo=08046801234&digits=4321&DialWhomNumber=09711581199")]);
    let shown = format!("{state:?}");
    assert!(!shown.contains("09876543210") && !shown.contains("09711581199") && !shown.contains("4321\""), "{shown}");
    assert_eq!(locale().country, "IN");
}
