//! What one click comes to, case by case: dialled once, refused, unknown and looked for, or known by its mark.

use super::*;

const FLOW: &str = "https://my.exotel.com/acme1/exoml/start_voice/7";

fn test_wish(key: u8) -> TestWish {
    TestWish {
        key: [key; 32],
        fingerprint: [key; 32],
        renew_after: None,
        customer: "98765 43210".to_owned(),
        did: EXOPHONE.to_owned(),
        flow_url: Some(FLOW.to_owned()),
        custom_field: format!("cxb-test:{}", "x".repeat(200)),
    }
}

#[test]
fn a_test_call_is_dialled_and_looked_for_as_a_click_is() {
    // Exotel shows no mark: of a call into a flow the DID is where it went.
    for marks in [true, false] {
        scene([Fate::PlacedUnknown(1, 3)], async |world, dialer| {
            world.with(|inner| (inner.marks_listed, inner.marks_in_details) = (marks, marks));
            let asked = dialer.test_call(&test_wish(1)).await.expect("a click");
            assert_eq!((asked.agent.as_str(), asked.to.as_str()), ("+919876543210", EXOPHONE));
            assert_eq!(asked.flow_url.as_deref(), Some(FLOW));
            world.settle().await;
            world.turn(seconds(3)).await;
            assert_eq!(world.states(), ["unknown"]);
            let _ = dialer.test_call(&test_wish(1)).await.expect("told, and not dialled again");
            pass(&world, &dialer, seconds(60)).await;
            assert_eq!(world.states(), ["placed"]);
            assert!(matches!(dialer.click(&wish(1, 2)).await, Err(Declined::OtherRequest)), "a key is one call's");
            world.with(|inner| {
                assert_eq!(inner.dials.values().collect::<Vec<_>>(), [&1]);
                let mark = inner.rung[0].mark.as_deref().expect("a mark");
                assert!(mark.starts_with("cxb-test:xxx") && mark.chars().count() == 128, "{mark}");
                let placed: PlacedCall = serde_json::from_slice(&inner.receipts[0].body).expect("a placed call");
                assert_eq!((placed.agent, placed.customer.as_str()), (None, "09876543210"));
                assert_eq!(placed.exophone, "08047494574");
            });
        });
    }
}

#[test]
fn one_key_dials_once_however_often_it_is_asked() {
    scene([Fate::Placed(2)], async |world, dialer| {
        for _ in 0..5 {
            let click = dialer.click(&wish(1, 1)).await.expect("a click");
            assert!(!click.state.is_settled());
            world.settle().await;
        }
        world.turn(seconds(2)).await;
        let placed = dialer.click(&wish(1, 1)).await.expect("a click");
        let status = Some("in-progress".to_owned());
        assert_eq!(placed.state, ClickState::Placed { call_sid: "call-0".to_owned(), status });
        assert!(matches!(dialer.click(&wish(1, 2)).await, Err(Declined::OtherRequest)));
        assert_eq!(world.with(|inner| (inner.rung.len(), inner.receipts.len())), (1, 1));
        let _ = dialer.click(&wish(2, 1)).await.expect("another key, another call");
        world.turn(seconds(3)).await;
        assert_eq!(world.with(|inner| inner.clicks.len()), 2);
    });
}

#[test]
fn what_was_certainly_not_carried_out_is_dialled_when_it_is_asked_for_again() {
    scene([Fate::Busy, Fate::Unreachable, Fate::Placed(0)], async |world, dialer| {
        let _ = dialer.click(&wish(1, 1)).await;
        world.settle().await;
        assert_eq!(world.states(), ["intended"]);
        let _ = dialer.click(&wish(1, 1)).await;
        world.settle().await;
        assert_eq!(world.states(), ["intended"]);
        let _ = dialer.click(&wish(1, 1)).await;
        world.settle().await;
        assert_eq!(world.states(), ["placed"]);
    });
    // But not long after.
    scene([Fate::Busy, Fate::Placed(0)], async |world, dialer| {
        let _ = dialer.click(&wish(1, 1)).await;
        world.settle().await;
        pass(&world, &dialer, seconds(150)).await;
        let given_up = dialer.click(&wish(1, 1)).await.expect("a click");
        assert!(matches!(given_up.state, ClickState::NotPlaced { .. }), "{given_up:?}");
        assert!(world.with(|inner| inner.rung.is_empty()));
    });
}

#[test]
fn a_lost_answer_is_found_in_the_list_and_not_before_it_can_be() {
    for (marks_listed, marks_in_details) in [(true, true), (false, true), (false, false)] {
        scene([Fate::PlacedUnknown(3, 1)], async |world, dialer| {
            world.with(|inner| {
                inner.lag_s = 15;
                (inner.marks_listed, inner.marks_in_details) = (marks_listed, marks_in_details);
            });
            let _ = dialer.click(&wish(1, 1)).await;
            world.turn(seconds(1)).await;
            assert_eq!(world.states(), ["unknown"]);
            pass(&world, &dialer, seconds(10)).await;
            assert_eq!(world.states(), ["unknown"]);
            pass(&world, &dialer, seconds(49)).await;
            assert_eq!(world.states(), ["placed"]);
            assert_eq!(world.with(|inner| inner.receipts.len()), 1);
        });
    }
}

#[test]
fn what_is_not_listed_within_a_minute_was_not_placed_and_the_key_dials_no_more() {
    scene([Fate::NotPlacedUnknown(0), Fate::Placed(0)], async |world, dialer| {
        let _ = dialer.click(&wish(1, 1)).await;
        world.settle().await;
        pass(&world, &dialer, seconds(54)).await;
        assert_eq!(world.states(), ["unknown"]);
        pass(&world, &dialer, seconds(2)).await;
        assert_eq!(world.states(), ["not_placed"]);
        let told = dialer.click(&wish(1, 1)).await.expect("a click");
        assert!(matches!(told.state, ClickState::NotPlaced { .. }));
        world.settle().await;
        assert!(world.with(|inner| inner.rung.is_empty()), "the same key dials no more");
        let _ = dialer.click(&wish(2, 1)).await;
        world.settle().await;
        assert_eq!(world.with(|inner| inner.rung.len()), 1, "a new one does");
    });
}

#[test]
fn where_no_mark_is_shown_a_call_that_may_be_anothers_settles_nothing() {
    scene([Fate::PlacedUnknown(0, 0), Fate::NotPlacedUnknown(0)], async |world, dialer| {
        world.with(|inner| (inner.marks_listed, inner.marks_in_details) = (false, false));
        let first = dialer.click(&wish(1, 1)).await.expect("a click");
        let second = dialer.click(&wish(2, 1)).await.expect("a click");
        world.settle().await;
        pass(&world, &dialer, seconds(120)).await;
        assert_eq!(world.states(), ["unknown", "unknown"]);
        let told = dialer.click(&wish(2, 1)).await.expect("a click");
        assert!(matches!(&told.state, ClickState::Unknown { reason } if reason.contains("dashboard")), "{told:?}");
        // A status callback settles one, and with it the other.
        let process = Process { world: Arc::clone(&world), life: 0 };
        heard(&process, &metrics(), "acme1", first.id, "call-0", world.now()).await.expect("heard");
        pass(&world, &dialer, seconds(400)).await;
        let of = |id| world.with(|inner| inner.clicks[&id].state.as_str());
        assert_eq!((of(first.id), of(second.id)), ("placed", "not_placed"));
    });
}

#[test]
fn a_callback_with_the_mark_settles_at_once_and_corrects_what_was_thought() {
    scene([Fate::NotPlacedUnknown(0), Fate::Placed(30)], async |world, dialer| {
        let click = dialer.click(&wish(1, 1)).await.expect("a click");
        world.settle().await;
        pass(&world, &dialer, seconds(60)).await;
        assert_eq!(world.states(), ["not_placed"]);
        let process = Process { world: Arc::clone(&world), life: 0 };
        for sid in ["late", "late", "another"] {
            heard(&process, &metrics(), "acme1", click.id, sid, world.now()).await.expect("heard");
        }
        let state = |id| world.with(|inner| inner.clicks[&id].state.clone());
        assert_eq!(state(click.id), ClickState::Placed { call_sid: "late".to_owned(), status: None });
        // Before Exotel's own answer, too.
        let next = dialer.click(&wish(2, 1)).await.expect("a click");
        world.settle().await;
        heard(&process, &metrics(), "acme1", next.id, "call-0", world.now()).await.expect("heard");
        world.turn(seconds(30)).await;
        assert_eq!(state(next.id), ClickState::Placed { call_sid: "call-0".to_owned(), status: None });
        heard(&process, &metrics(), "acme1", Uuid::nil(), "call-0", world.now()).await.expect("nobody's");
    });
}

#[test]
fn a_made_up_key_is_good_for_a_while_and_as_long_as_nothing_is_known() {
    scene([Fate::NotPlacedUnknown(0), Fate::Placed(0), Fate::Placed(0)], async |world, dialer| {
        let again = Wish { renew_after: Some(seconds(20)), ..wish(1, 1) };
        let _ = dialer.click(&again).await;
        world.settle().await;
        pass(&world, &dialer, seconds(40)).await;
        let _ = dialer.click(&again).await;
        world.settle().await;
        assert_eq!(world.states(), ["unknown"], "what may have been dialled is not dialled again");
        pass(&world, &dialer, seconds(20)).await;
        for (wait, calls) in [(0, 1), (10, 1), (21, 2)] {
            world.turn(seconds(wait)).await;
            let _ = dialer.click(&again).await;
            world.settle().await;
            assert_eq!(world.with(|inner| inner.rung.len()), calls, "after {wait} s");
        }
    });
}
