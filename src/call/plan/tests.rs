//! What each CRM is to be told, and when: nothing too early, nothing twice, and the same again when it is planned
//! again.

use std::collections::BTreeSet;

use jiff::Timestamp;
use patchbay_kit::TextFormat;

use super::*;
use crate::call::{
    Mapped,
    receipt::Hook,
    tests::{integration, mapping, read, rules},
};

fn state(queries: &[&str]) -> CallState {
    let events: Vec<_> =
        queries.iter().map(|query| read(Hook::CallEvents, &format!("CallSid=c1&{query}"), None, "", 0)).collect();
    CallState::fold(&events).unwrap()
}

fn over(mut state: CallState) -> CallState {
    state.over = true;
    state.ended_at = state.started_at;
    state.total_seconds = Some(27);
    state
}

fn one() -> PlanRules {
    rules(vec![integration("support", TextFormat::Html, true)])
}

fn log(state: &CallState, rules: &PlanRules) -> LogContent {
    match plan(state, rules, &mapping(), 0).swap_remove(0).content {
        Content::Log(log) => *log,
        _ => panic!("the log comes first"),
    }
}

fn kinds(state: &CallState, asked: usize) -> Vec<IntentKind> {
    plan(state, &one(), &mapping(), asked).iter().map(|intent| intent.kind).collect()
}

const ANSWERED: &str = "event=answered&DialCallStatus=completed&DialCallDuration=34";
const RECORDED: &str = "RecordingUrl=https://recordings.exotel.com/a.mp3";
const LOG: [IntentKind; 1] = [IntentKind::Log];
const BOTH: [IntentKind; 2] = [IntentKind::Log, IntentKind::Recording];

#[test]
fn an_unknown_outcome_plans_nothing() {
    let ringing = state(&["event=pop&EventType=Dial&DialWhomNumber=09711581199"]);
    assert!(kinds(&ringing, 0).is_empty());
    // Exotel never came to know of it: a call that was heard of gets its record all the same.
    assert_eq!(kinds(&ringing, 9), LOG);
    // Details said that it is over and were never filled in.
    let mut stuck = ringing;
    stuck.over = true;
    assert!(kinds(&stuck, 2).is_empty());
    assert_eq!(kinds(&stuck, 3), LOG);
}

#[test]
fn the_note_waits_for_the_recording_until_no_more_is_asked() {
    assert_eq!(kinds(&state(&[&format!("{ANSWERED}&{RECORDED}")]), 0), BOTH);
    assert_eq!(kinds(&state(&[ANSWERED]), 0), LOG);
    assert_eq!(kinds(&state(&[ANSWERED]), 3), BOTH);
    assert_eq!(kinds(&state(&[&format!("event=answered&{RECORDED}")]), 0), LOG);
    assert_eq!(kinds(&state(&[&format!("event=answered&{RECORDED}")]), 3), BOTH);
    assert_eq!(kinds(&state(&["event=answered"]), 3), LOG);
    assert_eq!(kinds(&state(&[&format!("event=voicemail&{RECORDED}")]), 0), BOTH);
    assert_eq!(kinds(&state(&["event=voicemail"]), 0), LOG);
    assert_eq!(kinds(&over(state(&["event=voicemail"])), 3), BOTH);
    assert_eq!(kinds(&state(&["event=missed"]), 3), LOG);
    assert_eq!(kinds(&state(&[&format!("event=missed&{RECORDED}")]), 0), BOTH);
}

#[test]
fn a_crm_without_notes_gets_them_in_its_record() {
    let rules = rules(vec![integration("b", TextFormat::Html, true), integration("a", TextFormat::Plain, false)]);
    let known = state(&[&format!("{ANSWERED}&{RECORDED}")]);
    let intents = plan(&known, &rules, &mapping(), 0);
    let shown: Vec<_> = intents.iter().map(|intent| (intent.integration.as_str(), intent.kind)).collect();
    assert_eq!(shown, [("b", IntentKind::Log), ("a", IntentKind::Log), ("b", IntentKind::Recording)]);
    let Content::Log(log) = &intents[1].content else { panic!() };
    assert!(log.activity.body.contains("Call Recording: https://calls.example.com/r/c1?exp=1&sig=abc"));
    assert!(log.activity.body.contains("Call Duration: 34s"));
    let Content::Log(log) = &plan(&state(&[ANSWERED]), &rules, &mapping(), 0)[1].content else { panic!() };
    assert!(!log.activity.body.contains("Recording"));
}

#[test]
fn one_caller_has_one_identity() {
    let caller = |from: &str| log(&state(&[&format!("event=missed&CallFrom={from}")]), &one()).caller;
    for from in ["09876543210", "%2B919876543210", "+919876543210", "919876543210"] {
        let caller = caller(from);
        assert_eq!(caller.external_id, "exotel:+919876543210", "{from}");
        assert!(caller.number.is_some());
    }
    assert_eq!(caller("09876543210").name, "09876543210");
    assert_eq!(caller("sip:Alice").external_id, "exotel:sip:alice");
    assert_eq!(caller("139").external_id, "exotel:139");
    for from in ["", "anonymous", "null", "0"] {
        let caller = caller(from);
        assert_eq!((caller.external_id.as_str(), caller.name.as_str()), ("exotel:unknown", "Unknown caller"), "{from}");
        assert_eq!(caller.number, None);
    }
}

/// It was the customer who did not answer; the agent for whom it was placed is whose call it is.
#[test]
fn an_outgoing_call_nobody_answered_is_the_agents_who_placed_it() {
    let said = "CallSid=c1&EventType=terminal&Status=no-answer&Direction=outbound-api&From=09711581199&To=09876543210\
                &PhoneNumberSid=08030752400";
    let placed = CallState::fold(&[read(Hook::Status, said, None, "", 0)]).unwrap();
    let log = log(&placed, &one());
    assert_eq!(log.activity.outcome, Outcome::Missed);
    assert_eq!(log.agent.unwrap().crm_user.as_deref(), Some("81007555518"));
    assert!(log.activity.body.contains("Agent: 09711581199"), "{}", log.activity.body);
    // Of several who were rung and did not answer it is nobody's.
    let missed = "event=missed&DialCallStatus=no-answer&DialWhomNumber=09711581199";
    assert_eq!(state(&[missed]).agent(), None);
}

#[test]
fn the_agent_who_answered_is_hinted_at() {
    let answered = |agent: &str| {
        state(&[
            &format!("event=pop&EventType=Dial&DialWhomNumber={agent}&AgentEmail=a%40example.com"),
            &format!("{ANSWERED}&DialWhomNumber={agent}"),
        ])
    };
    let mut rules = one();
    let hint = log(&answered("09711581199"), &rules).agent.unwrap();
    assert_eq!((hint.crm_user.as_deref(), hint.email.as_deref()), (Some("81007555518"), Some("a@example.com")));
    // Somebody answered and nothing is known of him: that is said where the record is written.
    let unmapped = log(&state(&[&format!("{ANSWERED}&DialWhomNumber=09999999999")]), &rules).agent;
    assert_eq!(unmapped, Some(AgentHint { crm_user: None, email: None }));
    let with = |email: &str| Mapped { email: Some(email.to_owned()), ..Mapped::default() };
    let agents = UserMapping::new([
        ("+919999999999".to_owned(), with("b@example.com")),
        ("sip:Bob".to_owned(), with("bob@example.com")),
    ]);
    let email = |agent: &str| {
        let known = state(&[&format!("{ANSWERED}&DialWhomNumber={agent}")]);
        match plan(&known, &rules, &agents, 0).swap_remove(0).content {
            Content::Log(log) => log.agent.and_then(|hint| hint.email),
            _ => panic!("the log comes first"),
        }
    };
    assert_eq!(email("09999999999").as_deref(), Some("b@example.com"));
    assert_eq!(email("sip:bob").as_deref(), Some("bob@example.com"));
    assert_eq!(log(&state(&["event=missed&DialWhomNumber=09711581199"]), &rules).agent, None);
    rules.integrations[0].assign = false;
    assert_eq!(log(&answered("09711581199"), &rules).agent, None);
}

#[test]
fn ids_are_stable_and_never_collide() {
    let known = state(&[&format!("{ANSWERED}&{RECORDED}")]);
    let ids = |rules: &PlanRules| plan(&known, rules, &mapping(), 0).iter().map(|intent| intent.id).collect::<Vec<_>>();
    assert_eq!(ids(&one()), ids(&one()));
    let mut all = BTreeSet::new();
    for (account, integration, call) in
        [("a", "bc", "d"), ("ab", "c", "d"), ("a", "b", "cd"), ("", "abc", "d"), ("a", "bcd", ""), ("ab", "cd", "")]
    {
        for kind in IntentKind::ALL {
            assert!(all.insert(id(account, integration, call, kind)), "{account}/{integration}/{call}");
        }
    }
}

#[test]
fn debug_shows_no_number() {
    let rules = one();
    let shown = format!(
        "{:?} {:?} {:?}",
        rules,
        rules.integrations,
        log(&state(&["event=missed&CallFrom=09876543210"]), &rules)
    );
    assert!(!shown.contains("9711581199") && !shown.contains("09876543210"), "{shown}");
}

mod asking {
    use super::*;

    const SCHEDULE: [Duration; 3] = [Duration::from_secs(20), Duration::from_secs(60), Duration::from_secs(600)];

    fn at(second: i64) -> Timestamp {
        "2023-12-27T06:47:05Z"
            .parse::<Timestamp>()
            .unwrap()
            .checked_add(Duration::from_secs(second.try_into().unwrap()))
            .unwrap()
    }

    fn due(step: usize, second: i64) -> Enquiry {
        Enquiry { step, due_at: Some(at(second)) }
    }

    const NEVER: fn(usize) -> Enquiry = |step| Enquiry { step, due_at: None };

    fn ringing() -> CallState {
        state(&["event=pop&EventType=Dial&DialWhomNumber=09711581199&Created=Wed,+27+Dec+2023+12:17:05"])
    }

    #[test]
    fn a_new_call_is_asked_about_after_the_first_step() {
        assert_eq!(enquire(&ringing(), &SCHEDULE, None, false, at(2)), due(0, 22));
        assert_eq!(enquire(&ringing(), &[], None, false, at(2)), NEVER(0));
    }

    #[test]
    fn a_call_in_progress_uses_no_step_and_is_asked_about_ever_less_often() {
        let mut now = 22;
        let mut gaps = Vec::new();
        let mut was = due(0, now);
        for _ in 0..40 {
            let next = enquire(&ringing(), &SCHEDULE, Some(was), true, at(now));
            assert_eq!(next.step, 0);
            let then = next.due_at.unwrap().duration_since(at(0)).as_secs();
            gaps.push(then - now);
            (now, was) = (then, next);
        }
        assert!(gaps.is_sorted() && gaps[0] == 20 && gaps.last() == Some(&300), "{gaps:?}");
    }

    #[test]
    fn answers_about_a_call_that_is_over_use_up_the_schedule() {
        let mut done = over(state(&[ANSWERED]));
        done.started_at = Some(at(0));
        assert_eq!(enquire(&done, &SCHEDULE, Some(due(0, 22)), true, at(22)), due(1, 82));
        assert_eq!(enquire(&done, &SCHEDULE, Some(due(1, 82)), true, at(82)), due(2, 682));
        assert_eq!(enquire(&done, &SCHEDULE, Some(due(2, 682)), true, at(682)), NEVER(3));
        assert_eq!(enquire(&done, &SCHEDULE, Some(NEVER(3)), false, at(700)), NEVER(3));
        done.recording_url = Some("https://recordings.exotel.com/a.mp3".to_owned());
        done.ended_at = Some(at(30));
        assert!(done.complete());
        assert_eq!(enquire(&done, &SCHEDULE, Some(due(0, 22)), true, at(22)), NEVER(1));
    }

    #[test]
    fn news_pull_the_question_forward_and_never_push_it_back() {
        let answered = state(&[ANSWERED]);
        assert_eq!(enquire(&answered, &SCHEDULE, Some(due(0, 300)), false, at(60)), due(0, 80));
        assert_eq!(enquire(&answered, &SCHEDULE, Some(due(2, 682)), false, at(100)), due(2, 120));
        assert_eq!(enquire(&answered, &SCHEDULE, Some(due(0, 61)), false, at(60)), due(0, 61));
        assert_eq!(enquire(&answered, &SCHEDULE, Some(due(0, 50)), false, at(60)), due(0, 50));
    }

    #[test]
    fn what_was_complete_and_is_no_more_is_asked_about_again() {
        let answered = state(&[ANSWERED]);
        assert_eq!(enquire(&answered, &SCHEDULE, Some(NEVER(1)), false, at(100)), due(1, 160));
    }

    #[test]
    fn a_call_older_than_a_week_is_given_up() {
        let week = 7 * 24 * 3600;
        assert!(enquire(&ringing(), &SCHEDULE, Some(due(0, 22)), true, at(week - 1)).due_at.is_some());
        assert_eq!(enquire(&ringing(), &SCHEDULE, Some(due(0, 22)), true, at(week + 1)), NEVER(3));
        assert_eq!(enquire(&ringing(), &SCHEDULE, None, false, at(week + 1)), NEVER(3));
    }

    #[test]
    fn an_old_call_that_the_list_alone_tells_of_is_asked_about_once() {
        let week = 7 * 24 * 3600;
        let mut listed = ringing();
        (listed.seen.callback, listed.seen.list) = (false, true);
        let now = at(week + 1);
        assert_eq!(enquire(&listed, &SCHEDULE, None, false, now), due(2, week + 1));
        assert_eq!(enquire(&listed, &SCHEDULE, Some(due(2, week + 1)), true, now), NEVER(3));
        assert_eq!(enquire(&listed, &SCHEDULE, Some(NEVER(3)), false, now), NEVER(3));
        assert_eq!(enquire(&listed, &[], None, false, now), NEVER(0));
    }

    #[test]
    fn without_a_start_every_answer_uses_up_a_step() {
        let nothing = state(&["event=pop&EventType=Dial&DialWhomNumber=09711581199"]);
        assert_eq!(nothing.started_at, None);
        assert_eq!(enquire(&nothing, &SCHEDULE, Some(due(0, 22)), true, at(22)), due(1, 82));
        assert_eq!(enquire(&nothing, &SCHEDULE, Some(due(2, 22)), true, at(22)), NEVER(3));
    }
}
