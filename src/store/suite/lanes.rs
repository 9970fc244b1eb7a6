//! What a lane may take, and what becomes of it when the lane's process ends.

use super::*;
use patchbay_kit::Contact;

pub(in crate::store) async fn takes_the_oldest_that_are_due(store: &dyn Store) {
    for (sid, due) in [("late", 50), ("old", 1), ("new", 7), ("middle", 3)] {
        decide(store, sid, vec![log(sid, "one")], at(due)).await;
    }
    let first = take(store, &lane(DESK), Turn::Now(IntentKind::Log), 2, at(10)).await;
    assert_eq!(sids(&first), ["old", "middle"]);
    assert!(first.iter().all(|one| one.delivery.state == DeliveryState::Inflight));
    assert_eq!(sids(&claim(store, IntentKind::Log, at(10)).await), ["new"]);
    assert!(claim(store, IntentKind::Log, at(10)).await.is_empty());
    assert_eq!(sids(&claim(store, IntentKind::Log, at(50)).await), ["late"]);
}

pub(in crate::store) async fn takes_of_its_own_lane_and_kind_only(store: &dyn Store) {
    let other = intent("a", "other", IntentKind::Log, "one");
    decide(store, "a", vec![log("a", "one"), other.clone()], at(1)).await;
    assert!(claim(store, IntentKind::Recording, at(2)).await.is_empty());
    let taken = claim(store, IntentKind::Log, at(2)).await;
    assert_eq!(taken.iter().map(|one| one.delivery.id).collect::<Vec<_>>(), [log("a", "").id]);
    // A slow integration does not hold the call up in another one.
    let taken = take(store, &lane("other"), Turn::Now(IntentKind::Log), 10, at(2)).await;
    assert_eq!(taken.iter().map(|one| one.delivery.id).collect::<Vec<_>>(), [other.id]);
    let stranger = LaneRef { account: "acme2".to_owned(), integration: DESK.to_owned() };
    assert!(take(store, &stranger, Turn::Now(IntentKind::Log), 10, at(2)).await.is_empty());
}

pub(in crate::store) async fn later_kind_waits_for_the_earlier(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one"), note("a", "n")], at(1)).await;
    assert!(claim(store, IntentKind::Recording, at(2)).await.is_empty());
    let taken = claim(store, IntentKind::Log, at(2)).await;
    assert!(claim(store, IntentKind::Recording, at(3)).await.is_empty());
    settle(store, &taken[0], again(at(10), true), at(3)).await;
    assert!(claim(store, IntentKind::Recording, at(4)).await.is_empty());
    carry_out(store, IntentKind::Log, Next::Done, at(10)).await;
    assert_eq!(claim(store, IntentKind::Recording, at(11)).await.len(), 1);
}

pub(in crate::store) async fn later_kind_waits_for_held_and_dead(store: &dyn Store) {
    for (sid, next) in [("a", held()), ("b", dead())] {
        decide(store, sid, vec![log(sid, "one"), note(sid, "n")], at(1)).await;
        carry_out(store, IntentKind::Log, next, at(2)).await;
        assert!(claim(store, IntentKind::Recording, at(99)).await.is_empty());
        assert_eq!(delivery(store, &note(sid, "")).await.state, DeliveryState::Pending);
    }
}

pub(in crate::store) async fn one_in_flight_of_a_call_and_integration(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one"), note("a", "n")], at(1)).await;
    carry_out(store, IntentKind::Log, Next::Done, at(2)).await;
    let note_taken = claim(store, IntentKind::Recording, at(3)).await;
    // The record changes while its note is being written.
    decide(store, "a", vec![log("a", "two"), note("a", "n")], at(4)).await;
    assert!(claim(store, IntentKind::Log, at(5)).await.is_empty());
    settle(store, &note_taken[0], again(at(6), true), at(5)).await;
    assert!(claim(store, IntentKind::Recording, at(7)).await.is_empty(), "now the record comes first again");
    carry_out(store, IntentKind::Log, Next::Done, at(7)).await;
    carry_out(store, IntentKind::Recording, Next::Done, at(8)).await;
}

pub(in crate::store) async fn superseded_earlier_kind_frees_the_later(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one"), note("a", "n")], at(1)).await;
    decide(store, "a", vec![note("a", "n")], at(2)).await;
    assert_eq!(claim(store, IntentKind::Recording, at(3)).await.len(), 1);
}

pub(in crate::store) async fn next_due_is_of_what_can_be_taken(store: &dyn Store) {
    let next = async || store.next_due(&lane(DESK)).await.expect("next due");
    assert_eq!(next().await, None);
    decide(store, "a", vec![log("a", "one"), note("a", "n")], at(1)).await;
    assert_eq!(next().await, Some(at(1)));
    let taken = claim(store, IntentKind::Log, at(2)).await;
    assert_eq!(next().await, None, "the note waits for the record, not for a time");
    settle(store, &taken[0], again(at(60), false), at(2)).await;
    assert_eq!(next().await, Some(at(60)));
    carry_out(store, IntentKind::Log, Next::Done, at(60)).await;
    assert_eq!(next().await, Some(at(1)));
    assert_eq!(store.next_due(&lane("other")).await.expect("next due"), None);
}

pub(in crate::store) async fn brings_links_and_contact(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one"), note("a", "n")], at(1)).await;
    let taken = claim(store, IntentKind::Log, at(2)).await;
    assert!(taken[0].links.is_empty() && taken[0].contact.is_none());
    let contact = Contact {
        at: RecordRef::new("contact", 5),
        name: "Asha".to_owned(),
        numbers: vec!["+919052161119".to_owned()],
        owner: None,
        updated_at: None,
    };
    let done = Settlement {
        link: Some(link("a", 42)),
        contact: Some(("caller-a".to_owned(), Some(contact.clone()))),
        ..settlement(&taken[0], Next::Done, at(2))
    };
    settled(store, done).await;
    let taken = claim(store, IntentKind::Recording, at(3)).await;
    assert_eq!(taken[0].links.clone().into_iter().collect::<Vec<_>>(), [(IntentKind::Log, link("a", 42))]);
    assert!(taken[0].contact.is_none(), "a note needs none");
    settle(store, &taken[0], Next::Done, at(3)).await;
    decide(store, "a", vec![log("a", "two"), note("a", "n")], at(4)).await;
    let taken = claim(store, IntentKind::Log, at(5)).await;
    assert_eq!((taken[0].links.len(), &taken[0].contact), (1, &Some(contact)));
}

pub(in crate::store) async fn recovers_what_was_in_flight(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one")], at(1)).await;
    decide(store, "b", vec![log("b", "one")], at(50)).await;
    assert_eq!(claim(store, IntentKind::Log, at(2)).await.len(), 1);
    assert_eq!(recover(store, at(30), at(20)).await, 1);
    let found = delivery(store, &log("a", "")).await;
    assert_eq!((found.state, found.probe, found.due_at), (DeliveryState::Pending, true, at(30)));
    assert!(!delivery(store, &log("b", "")).await.probe);
    assert!(claim(store, IntentKind::Log, at(29)).await.is_empty());
    assert!(claim(store, IntentKind::Log, at(30)).await[0].delivery.probe);
    assert_eq!(recover(store, at(30), at(20)).await, 1);
    assert_eq!(recover(store, at(30), at(20)).await, 0);
}

pub(in crate::store) async fn recovery_puts_the_kinds_in_order_again(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one"), note("a", "n")], at(1)).await;
    carry_out(store, IntentKind::Log, Next::Done, at(2)).await;
    assert_eq!(claim(store, IntentKind::Recording, at(3)).await.len(), 1);
    decide(store, "a", vec![log("a", "two"), note("a", "n")], at(4)).await;
    assert_eq!(recover(store, at(5), at(5)).await, 1);
    assert!(claim(store, IntentKind::Recording, at(9)).await.is_empty());
    carry_out(store, IntentKind::Log, Next::Done, at(9)).await;
    carry_out(store, IntentKind::Recording, Next::Done, at(9)).await;
}

/// Plans a call of the past for an integration that came later.
async fn decide_past(store: &dyn Store, sid: &str, intents: Vec<Intent>, at: Timestamp) {
    let version = store.calls(&[call(sid)]).await.expect("calls").get(&call(sid)).map_or(0, |call| call.version);
    let past = Decision { backfill: true, ..decision(sid, version, intents, at) };
    store.decide(vec![past], Vec::new(), None).await.expect("decide");
}

async fn claim_past(store: &dyn Store, now: Timestamp) -> Vec<Claimed> {
    take(store, &lane(DESK), Turn::Backfill, 10, now).await
}

pub(in crate::store) async fn the_past_waits_while_anything_of_now_is_due(store: &dyn Store) {
    for (sid, due) in [("old", 1), ("older", 0)] {
        decide_past(store, sid, vec![log(sid, "one"), note(sid, "n")], at(due)).await;
    }
    decide(store, "new", vec![log("new", "one"), note("new", "n")], at(5)).await;
    for kind in IntentKind::ALL {
        assert!(!sids(&claim(store, kind, at(4)).await).iter().any(|sid| sid.starts_with("old")), "not by its kind");
    }
    assert!(claim_past(store, at(5)).await.is_empty(), "the new one is due");
    let now = claim(store, IntentKind::Log, at(5)).await;
    assert_eq!(sids(&now), ["new"]);
    // Its note waits for its record, not for a place: the past may go meanwhile, the oldest first.
    let past = claim_past(store, at(6)).await;
    assert_eq!(sids(&past), ["older", "old"]);
    assert!(past.iter().all(|one| one.delivery.kind == IntentKind::Log));
    settle(store, &now[0], Next::Done, at(6)).await;
    for one in &past {
        settle(store, one, Next::Done, at(6)).await;
    }
    assert!(claim_past(store, at(7)).await.is_empty(), "a note of now goes before those of the past");
    carry_out(store, IntentKind::Recording, Next::Done, at(7)).await;
    assert_eq!(sids(&claim_past(store, at(8)).await), ["older", "old"]);
    // Another integration's present is none of ours.
    decide_past(store, "past", vec![log("past", "one")], at(9)).await;
    decide(store, "x", vec![intent("x", "other", IntentKind::Log, "one")], at(9)).await;
    assert_eq!(sids(&claim_past(store, at(9)).await), ["past"]);
}

pub(in crate::store) async fn what_is_not_due_yet_does_not_keep_the_past_waiting(store: &dyn Store) {
    decide(store, "new", vec![log("new", "one")], at(1)).await;
    carry_out(store, IntentKind::Log, again(at(50), true), at(2)).await;
    decide_past(store, "old", vec![log("old", "one"), note("old", "n")], at(3)).await;
    assert_eq!(store.next_due(&lane(DESK)).await.expect("next due"), Some(at(3)), "the past is looked at, too");
    let past = claim_past(store, at(4)).await;
    assert_eq!(sids(&past), ["old"]);
    settle(store, &past[0], again(at(60), true), at(4)).await;
    assert_eq!(store.next_due(&lane(DESK)).await.expect("next due"), Some(at(50)));
    assert!(claim_past(store, at(59)).await.is_empty());
    assert!(claim_past(store, at(60)).await.is_empty(), "by now the new one is due");
    carry_out(store, IntentKind::Log, Next::Done, at(60)).await;
    assert_eq!(sids(&claim_past(store, at(60)).await), ["old"]);
}

pub(in crate::store) async fn news_of_a_call_of_the_past_are_not_of_the_past(store: &dyn Store) {
    decide_past(store, "a", vec![log("a", "one")], at(1)).await;
    let past = claim_past(store, at(2)).await;
    settle(store, &past[0], Next::Done, at(2)).await;
    // Planned again as it is: nothing to do.
    decide_past(store, "a", vec![log("a", "one")], at(3)).await;
    assert!(claim_past(store, at(4)).await.is_empty());
    decide(store, "a", vec![log("a", "two"), note("a", "n")], at(5)).await;
    let taken = [claim(store, IntentKind::Log, at(6)).await, claim_past(store, at(6)).await].concat();
    assert_eq!(sids(&taken), ["a"], "the record is written once more, in whichever turn");
    settle(store, &taken[0], Next::Done, at(6)).await;
    assert_eq!(claim(store, IntentKind::Recording, at(7)).await.len(), 1, "its note is of now");
}
