//! The same calls while everything goes wrong: limits in each CRM's own form, errors inside successes, tokens that die,
//! lost answers, black holes, and a service that is killed.

use std::time::Duration;

use patchbay_sandbox::{Fault, Mix, On};

use super::{
    floor::Floor,
    seats,
    table::{Kind, Played, check, one_of_each, play},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_in_each_crms_own_form_delays_and_loses_nothing() {
    let floor = Floor::started(seats::all());
    for seat in &floor.seats {
        for _ in 0..3 {
            seat.crm.faults().push(On::any(), Fault::RateLimited { retry_after_s: 1 });
        }
    }
    let played = one_of_each();
    play(&floor, &played).await;
    check(&floor, &played).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_inside_a_success_is_not_taken_for_one() {
    let floor = Floor::started(seats::all());
    let able = floor.seats.iter().filter(|seat| seat.crm.fail_inside(2)).count();
    assert!(able > 0, "no CRM answers so");
    let played = one_of_each();
    play(&floor, &played).await;
    check(&floor, &played).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_die_in_the_middle_are_renewed() {
    let floor = Floor::started(seats::all());
    let mut played = one_of_each();
    play(&floor, &played).await;
    check(&floor, &played).await;
    let expired = floor.seats.iter().filter(|seat| seat.crm.expire_tokens()).count();
    assert!(expired > 0, "no CRM's credentials expire");
    let more: Vec<Played> = (20..24).map(|n| Played::new(n, Kind::Answered)).collect();
    play(&floor, &more).await;
    played.extend(more);
    check(&floor, &played).await;
}

/// Each request that writes is carried out and not answered, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_not_repeated() {
    let floor = Floor::started(seats::all());
    for seat in &floor.seats {
        let mut faults = seat.crm.faults();
        for method in [http::Method::POST, http::Method::PUT, http::Method::PATCH] {
            for _ in 0..3 {
                faults.push(On::under(method.clone(), ""), Fault::ResetAfter);
            }
        }
    }
    let played = one_of_each();
    play(&floor, &played).await;
    check(&floor, &played).await;
}

/// Neither CRM can keep a second contact out by itself: he is looked for, although nobody was found a moment before.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_making_was_not_answered_is_made_once() {
    let floor = Floor::started(vec![seats::zoho_desk(), seats::zoho_crm()]);
    for seat in &floor.seats {
        for path in ["/api/v1/contacts", "/crm/v8/Leads"] {
            seat.crm.faults().push(On::under(http::Method::POST, path), Fault::ResetAfter);
        }
    }
    let played = [Played::new(1, Kind::Missed)];
    play(&floor, &played).await;
    check(&floor, &played).await;
}

/// One CRM takes requests and never answers; the others have every call meanwhile, and it has them afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_delays_nobody_else() {
    let mut floor = Floor::started(seats::all());
    for hole in 0..floor.seats.len() {
        let n = 30 + 4 * u32::try_from(hole).expect("few");
        let played: Vec<Played> = (n..n + 2).map(|n| Played::new(n, Kind::Missed)).collect();
        floor.seats[hole].crm.faults().set_mix(Some(Mix { seed: 1, per_mille: vec![(Fault::BlackHole, 1000)] }));
        play(&floor, &played).await;
        for (at, seat) in floor.seats.iter().enumerate().filter(|(at, _)| *at != hole) {
            for one in &played {
                let what = format!("a record in {} while {} is a hole", seat.name, floor.seats[hole].name);
                floor.rig.until(&what, || seat.of(&one.call.sid).first().map(|_| ())).await;
            }
            assert!(at != hole);
        }
        for one in &played {
            assert!(floor.seats[hole].of(&one.call.sid).is_empty(), "{}", floor.seats[hole].name);
        }
        floor.seats[hole].crm.faults().set_mix(None);
        check(&floor, &played).await;
    }
    assert!(floor.rig.terminate(), "it does not stop");
}

/// Faults of all sorts at random, an index that lags, tokens that die, and the process killed again and again.
#[tokio::test(flavor = "multi_thread")]
async fn kills_and_faults_lose_and_double_nothing_in_any_crm() {
    let mut floor = Floor::started(seats::all());
    for (at, seat) in floor.seats.iter().enumerate() {
        seat.crm.lag(Duration::from_secs(2));
        seat.crm.faults().set_mix(Some(weather(7 + at as u64)));
    }
    let mut played = Vec::new();
    for round in 0..4 {
        let some: Vec<Played> =
            one_of_each().into_iter().zip(50 + 4 * round..).map(|(one, n)| Played::new(n, one.kind)).collect();
        play(&floor, &some).await;
        played.extend(some);
        for seat in &floor.seats {
            seat.crm.expire_tokens();
        }
        // The moment is as good as any other: it comes when each CRM has been asked a few times more.
        let seen: u64 = floor.seats.iter().map(|seat| seat.crm.requests()).sum();
        floor
            .rig
            .until("more requests", || {
                (floor.seats.iter().map(|seat| seat.crm.requests()).sum::<u64>() > seen + 5).then_some(())
            })
            .await;
        floor.rig.kill();
        floor.rig.start();
    }
    for seat in &floor.seats {
        seat.crm.faults().clear();
        seat.crm.faults().set_mix(None);
    }
    check(&floor, &played).await;
}

/// One request in five meets something.
fn weather(seed: u64) -> Mix {
    let per_mille = vec![
        (Fault::Status(500), 30),
        (Fault::Status(503), 20),
        (Fault::RateLimited { retry_after_s: 1 }, 20),
        (Fault::ResetBefore, 30),
        (Fault::ResetAfter, 50),
        (Fault::LateCommit(Duration::from_millis(1200)), 20),
        (Fault::Garbage, 20),
        (Fault::BlackHole, 10),
    ];
    Mix { seed, per_mille }
}
