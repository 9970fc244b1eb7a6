//! Whom a caller gets: the first step that names somebody decides, and whoever asks again after a failure is told the
//! next.

use super::*;

const A: &str = "+919711581199";
const B: &str = "+919945476362";
const C: &str = "+919811112222";
const D: &str = "+918047494574";

const NOON: &str = "2026-11-20T06:00:00Z";

fn texts(numbers: &[&str]) -> Vec<String> {
    numbers.iter().map(|&number| number.to_owned()).collect()
}

fn owner(numbers: &[&str]) -> Vec<Owner> {
    vec![Owner { integration: "crm".to_owned(), numbers: texts(numbers), source: Source::Cache }]
}

fn rules(order: &[&str]) -> Routing {
    let group =
        |name: &str, members: &[&str], together| Group { name: name.to_owned(), members: texts(members), together };
    Routing {
        order: order.iter().map(|step| Step::parse(step).expect("a step")).collect(),
        groups: vec![group("support", &["Rahil@Example.com", C], false), group("all", &[B, C], true)],
        fallback: texts(&[D]),
        ..Routing::default()
    }
}

fn known() -> Known {
    Known { agents: [("rahil@example.com".to_owned(), B.to_owned())].into(), ..Known::default() }
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn told(rules: &Routing, known: &Known) -> (String, Vec<String>, bool) {
    let decision = route(rules, known, at("2026-11-20T06:00:00Z"));
    (decision.rule, decision.numbers, decision.more)
}

#[test]
fn the_first_step_that_names_somebody_decides() {
    let all = ["hand_over", "owner", "sticky", "group:support", "fallback"];
    let owned = Known { owners: owner(&[A]), ..known() };
    let stuck = Known { sticky: Some(C.to_owned()), ..known() };
    let handed = |to: &str| Known { hand_over: Some(to.to_owned()), ..owned.clone() };
    for (order, known, rule, numbers, more) in [
        (&all[..], owned.clone(), "owner", &[A][..], true),
        (&all, stuck.clone(), "sticky", &[C], true),
        (&all, known(), "group:support", &[B, C], true),
        (&all, handed("sip:ravi"), "hand_over", &["sip:ravi"], true),
        (&all, handed("support"), "hand_over", &[B, C], true),
        (&all, handed("rahil@example.com"), "hand_over", &[B], true),
        // A bot that names nobody there is changes nothing.
        (&all, handed("nobody@example.com"), "owner", &[A], true),
        (&["fallback", "owner"], owned.clone(), "fallback", &[D], true),
        (&["owner"], owned.clone(), "owner", &[A], false),
        (&["owner"], stuck, "nobody", &[], false),
        (&["group:nowhere"], owned, "nobody", &[], false),
    ] {
        assert_eq!(told(&rules(order), &known), (rule.to_owned(), texts(numbers), more), "{order:?}");
    }
}

#[test]
fn asked_again_the_next_who_was_not_tried_is_named() {
    let rules = rules(&["owner", "sticky", "group:support", "fallback"]);
    let again = |offered: &[&str], last: Option<&str>| Known {
        owners: owner(&[A]),
        // The last agent is the owner: nobody is dialled twice.
        sticky: Some("09711581199".to_owned()),
        offered: texts(offered),
        last_dialled: last.map(str::to_owned),
        failed: last.is_some(),
        ..known()
    };
    for (offered, last, rule, numbers, more) in [
        (&[][..], None, "owner", &[A][..], true),
        (&[A], None, "group:support", &[B, C], true),
        (&[A], Some("09711581199"), "group:support", &[B, C], true),
        // It came back after the first of two: the second is still to be tried.
        (&[A, B, C], Some("09945476362"), "group:support", &[C], true),
        (&[A, B, C], Some(C), "fallback", &[D], false),
        (&[A, B, C, D], Some(D), "tried_all", &[], false),
        // The same request twice.
        (&[A, B, C, D], None, "repeated", &[D], false),
        (&[D, A, B, C], None, "repeated", &[B, C], false),
    ] {
        let known = again(offered, last);
        assert_eq!(told(&rules, &known), (rule.to_owned(), texts(numbers), more), "{offered:?} {last:?}");
    }
}

#[test]
fn the_same_question_once_more_is_told_from_one_after_a_failed_attempt() {
    let decision = route(&rules(&["owner", "fallback"]), &Known { owners: owner(&[A]), ..known() }, at(NOON));
    let after = |dialled: Option<&str>| Attempt { dialled: dialled.map(str::to_owned), failed: dialled.is_some() };
    let given = |after: Attempt| Given {
        applet: "dialwhom".to_owned(),
        at: at(NOON),
        after,
        decision: decision.clone(),
        tried: false,
    };
    let (first, second) = (vec![given(after(None))], vec![given(after(None)), given(after(Some(A)))]);
    let rung = vec![Given { tried: true, ..given(after(None)) }];
    for (given, applet, after, ms, repeated) in [
        (&first, "dialwhom", after(None), 0, true),
        (&first, "dialwhom", after(None), 1999, true),
        // Another node's clock is ahead.
        (&first, "dialwhom", after(None), -300, true),
        (&first, "dialwhom", after(None), 2000, false),
        (&first, "connect", after(None), 0, false),
        // He was busy: that takes no time at all.
        (&first, "dialwhom", after(Some(A)), 0, false),
        (&rung, "dialwhom", after(None), 500, false),
        (&second, "dialwhom", after(Some(A)), 500, true),
        (&second, "dialwhom", after(None), 500, false),
        (&Vec::new(), "dialwhom", after(None), 0, false),
    ] {
        let now = at(NOON) + SignedDuration::from_millis(ms);
        let said = repeats(given, applet, &after, now);
        assert_eq!(said.map(|given| given.decision.numbers.clone()), repeated.then(|| texts(&[A])), "{after:?} {ms}");
    }
}

#[test]
fn who_is_rung_together_was_tried_together() {
    let rules = rules(&["group:all", "fallback"]);
    let first = route(&rules, &known(), at("2026-11-20T06:00:00Z"));
    assert!(first.together && first.more && first.numbers == texts(&[B, C]));
    let again = Known { offered: texts(&[B, C]), last_dialled: Some(B.to_owned()), failed: true, ..known() };
    assert_eq!(told(&rules, &again), ("fallback".to_owned(), texts(&[D]), false));
}

#[test]
fn outside_of_business_hours_other_steps_are_taken() {
    let mut rules = rules(&["owner"]);
    let time = |text: &str| text.parse().expect("a time of day");
    rules.hours = Some(Hours {
        utc_offset: Offset::from_seconds(19_800).expect("IST"),
        days: [true, true, true, true, true, false, false],
        spans: vec![(time("09:30"), time("13:00")), (time("22:00"), time("02:00"))],
        holidays: [time_date("2026-11-19")].into(),
        outside: vec![Step::Fallback],
    });
    for (now, open) in [
        // Friday, 20 November 2026, 09:30 IST is 04:00 UTC.
        ("2026-11-20T03:59:59Z", false),
        ("2026-11-20T04:00:00Z", true),
        ("2026-11-20T07:30:00Z", false),
        // Through the night, also into Saturday.
        ("2026-11-20T16:30:00Z", true),
        ("2026-11-20T20:29:59Z", true),
        ("2026-11-20T20:30:00Z", false),
        ("2026-11-21T04:00:00Z", false),
        // A holiday, and the night after it that is not Friday's.
        ("2026-11-19T04:00:00Z", false),
        ("2026-11-19T19:30:00Z", false),
    ] {
        assert_eq!(rules.is_open(at(now)), open, "{now}");
        let known = Known { owners: owner(&[A]), ..known() };
        let decision = route(&rules, &known, at(now));
        let expected = if open { ("owner", texts(&[A])) } else { ("fallback", texts(&[D])) };
        assert_eq!((decision.rule.as_str(), decision.numbers), expected, "{now}");
        assert_eq!(decision.outside_hours, !open);
    }
}

fn time_date(text: &str) -> Date {
    text.parse().expect("a date")
}

#[test]
fn nobody_is_asked_for_what_does_not_decide() {
    let now = at("2026-11-20T06:00:00Z");
    let wanted = |order: &[&str], known: &Known| wants(&rules(order), known, now);
    assert_eq!(wanted(&["hand_over", "owner", "sticky", "fallback"], &known()), (true, true));
    assert_eq!(wanted(&["fallback", "owner", "sticky"], &known()), (false, false));
    assert_eq!(wanted(&["owner", "group:support", "sticky"], &known()), (true, false));
    let handed = Known { hand_over: Some(A.to_owned()), ..known() };
    assert_eq!(wanted(&["hand_over", "owner"], &handed), (false, false));
    let again = Known { offered: texts(&[D]), ..known() };
    assert_eq!(wanted(&["fallback", "owner"], &again), (true, false));
}

#[test]
fn debug_shows_no_numbers() {
    let decision = route(&rules(&["fallback"]), &known(), at("2026-11-20T06:00:00Z"));
    assert_eq!(format!("{decision:?}"), "Decision(1 numbers by fallback)");
}
