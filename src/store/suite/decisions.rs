//! Decisions: all or nothing, on the version they were made on, and each rule of upserting by itself.

use super::*;
use crate::store::{DeliveryFilter, SetAside, StoreError, StoredCall};
use patchbay_kit::Contact;

pub(in crate::store) async fn a_call_is_stored_and_read_back(store: &dyn Store) {
    let seq = store.append(receipt(1)).await.expect("append");
    let enquiry = Enquiry { step: 2, due_at: Some(at(60)) };
    let witnessed = vec![Witnessed { seq, event: event("a", 1) }];
    let made = Decision { witnessed, enquiry, ..decision("a", 0, vec![log("a", "one")], at(5)) };
    store.decide(vec![made], Vec::new(), up_to(store, seq).await).await.expect("decide");
    let calls = store.calls(&[call("a"), call("b")]).await.expect("calls");
    let stored = StoredCall { version: 1, events: vec![event("a", 1)], enquiry: Some(enquiry) };
    assert_eq!(calls.into_iter().collect::<Vec<_>>(), [(call("a"), stored.clone())]);
    let file = store.call_file(&call("a")).await.expect("call file").expect("the call");
    assert_eq!((file.call, file.state), (stored, state("a")));
    assert_eq!((file.first_seen_at, file.updated_at), (at(1), at(5)));
    assert_eq!(file.witnesses.len(), 1);
    assert_eq!((file.witnesses[0].seq, file.witnesses[0].receipt), (seq, receipt(1).id));
    assert_eq!((file.witnesses[0].received_at, file.witnesses[0].event), (at(1), event("a", 1).id));
    assert!(store.call_file(&call("b")).await.expect("call file").is_none());
}

pub(in crate::store) async fn conflict_writes_nothing(store: &dyn Store) {
    let seq = store.append(receipt(1)).await.expect("append");
    decide(store, "a", Vec::new(), at(1)).await;
    let good = decision("b", 0, vec![log("b", "one")], at(2));
    for stale in [0, 2] {
        let bad = decision("a", stale, vec![log("a", "one")], at(2));
        let refused = store.decide(vec![good.clone(), bad], Vec::new(), up_to(store, seq).await).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    }
    let calls = store.calls(&[call("a"), call("b")]).await.expect("calls");
    assert_eq!(calls.into_values().map(|call| call.version).collect::<Vec<_>>(), [1]);
    assert_eq!(store.unread(10).await.expect("unread").len(), 1);
    assert!(store.depths().await.expect("depths").deliveries.is_empty());
}

pub(in crate::store) async fn the_same_event_is_kept_once_with_every_witness(store: &dyn Store) {
    let mut seqs: Vec<Seq> = Vec::new();
    for number in 1..=3 {
        seqs.push(store.append(receipt(number)).await.expect("append"));
    }
    let witness = |seq| Witnessed { seq, event: event("a", 1) };
    let first = Decision { witnessed: vec![witness(seqs[0])], ..decision("a", 0, Vec::new(), at(1)) };
    let then = Decision { witnessed: vec![witness(seqs[1]), witness(seqs[2])], ..decision("a", 1, Vec::new(), at(2)) };
    store.decide(vec![first, then], Vec::new(), up_to(store, seqs[2]).await).await.expect("decide");
    let file = store.call_file(&call("a")).await.expect("call file").expect("the call");
    assert_eq!(file.call.events, [event("a", 1)]);
    assert_eq!(file.witnesses.iter().map(|witness| witness.seq).collect::<Vec<_>>(), seqs);
}

pub(in crate::store) async fn a_new_intent_is_pending_at_once(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one")], at(5)).await;
    let found = delivery(store, &log("a", "one")).await;
    assert_eq!((found.state, found.due_at, found.revision), (DeliveryState::Pending, at(5), 1));
    assert_eq!((found.attempts, found.probe, &found.reason), (0, false, &None));
    assert_eq!((found.content, found.created_at), (log("a", "one").content, at(5)));
}

pub(in crate::store) async fn equal_content_changes_nothing(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one"), note("a", "n")], at(1)).await;
    carry_out(store, IntentKind::Log, Next::Done, at(2)).await;
    carry_out(store, IntentKind::Recording, held(), at(2)).await;
    let before = (delivery(store, &log("a", "one")).await, delivery(store, &note("a", "n")).await);
    decide(store, "a", vec![log("a", "one"), note("a", "n")], at(9)).await;
    assert_eq!((delivery(store, &log("a", "one")).await, delivery(store, &note("a", "n")).await), before);
}

pub(in crate::store) async fn other_content_while_pending_keeps_its_time(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one")], at(1)).await;
    carry_out(store, IntentKind::Log, again(at(60), true), at(2)).await;
    decide(store, "a", vec![log("a", "two")], at(3)).await;
    let found = delivery(store, &log("a", "two")).await;
    assert_eq!((found.state, found.due_at, found.revision), (DeliveryState::Pending, at(60), 2));
    assert_eq!((found.content, found.attempts, found.probe), (log("a", "two").content, 1, true));
}

pub(in crate::store) async fn other_content_after_done_is_pending_again(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one")], at(1)).await;
    carry_out(store, IntentKind::Log, Next::Done, at(2)).await;
    decide(store, "a", vec![log("a", "two")], at(9)).await;
    let found = delivery(store, &log("a", "two")).await;
    assert_eq!((found.state, found.due_at, found.revision), (DeliveryState::Pending, at(9), 2));
}

pub(in crate::store) async fn other_content_leaves_held_and_dead(store: &dyn Store) {
    for (sid, next, state) in [("a", held(), DeliveryState::Held), ("b", dead(), DeliveryState::Dead)] {
        decide(store, sid, vec![log(sid, "one")], at(1)).await;
        carry_out(store, IntentKind::Log, next, at(2)).await;
        decide(store, sid, vec![log(sid, "two")], at(3)).await;
        let found = delivery(store, &log(sid, "two")).await;
        assert_eq!((found.state, found.revision), (state, 2));
        assert_eq!(found.content, log(sid, "two").content);
        assert!(found.reason.is_some());
    }
}

pub(in crate::store) async fn other_content_in_flight_stays_in_flight(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one")], at(1)).await;
    assert_eq!(claim(store, IntentKind::Log, at(2)).await.len(), 1);
    decide(store, "a", vec![log("a", "two")], at(3)).await;
    let found = delivery(store, &log("a", "two")).await;
    assert_eq!((found.state, found.revision), (DeliveryState::Inflight, 2));
    assert!(claim(store, IntentKind::Log, at(9)).await.is_empty());
}

pub(in crate::store) async fn unwanted_is_superseded_and_may_come_back(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one")], at(1)).await;
    decide(store, "b", vec![log("b", "one")], at(1)).await;
    decide(store, "a", Vec::new(), at(2)).await;
    assert_eq!(delivery(store, &log("a", "")).await.state, DeliveryState::Superseded);
    assert_eq!(sids(&claim(store, IntentKind::Log, at(3)).await), ["b"]);
    // Never delivered, and wanted again: that its content is the same is no reason to leave it.
    decide(store, "a", vec![log("a", "one")], at(4)).await;
    let found = delivery(store, &log("a", "")).await;
    assert_eq!((found.state, found.due_at, found.revision), (DeliveryState::Pending, at(4), 1));
    // Held and dead are superseded too, done is not.
    carry_out(store, IntentKind::Log, held(), at(4)).await;
    decide(store, "a", Vec::new(), at(5)).await;
    assert_eq!(delivery(store, &log("a", "")).await.state, DeliveryState::Superseded);
    decide(store, "a", vec![log("a", "two")], at(6)).await;
    let found = delivery(store, &log("a", "")).await;
    assert_eq!((found.state, found.due_at, found.revision), (DeliveryState::Pending, at(6), 2));
    carry_out(store, IntentKind::Log, Next::Done, at(7)).await;
    decide(store, "a", Vec::new(), at(8)).await;
    assert_eq!(delivery(store, &log("a", "")).await.state, DeliveryState::Done);
}

pub(in crate::store) async fn what_comes_back_by_itself_is_looked_for_if_it_was_tried(store: &dyn Store) {
    for (call, tried) in [("a", true), ("b", false)] {
        decide(store, call, vec![log(call, "one")], at(1)).await;
        let again = Next::Again { due_at: at(2), counts: tried, probe: false, reason: "lost".to_owned() };
        carry_out(store, IntentKind::Log, again, at(1)).await;
        let held = Next::Held { reason: "nobody can say".to_owned(), probe: false };
        carry_out(store, IntentKind::Log, held, at(2)).await;
        decide(store, call, Vec::new(), at(3)).await;
        decide(store, call, vec![log(call, "one")], at(4)).await;
        let found = delivery(store, &log(call, "")).await;
        assert_eq!((found.state, found.attempts, found.probe), (DeliveryState::Pending, 0, tried));
        carry_out(store, IntentKind::Log, Next::Done, at(5)).await;
    }
}

pub(in crate::store) async fn unwanted_in_flight_is_left_alone(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one")], at(1)).await;
    let claimed = claim(store, IntentKind::Log, at(2)).await;
    decide(store, "a", Vec::new(), at(3)).await;
    assert_eq!(delivery(store, &log("a", "")).await.state, DeliveryState::Inflight);
    settle(store, &claimed[0], Next::Done, at(4)).await;
    assert_eq!(delivery(store, &log("a", "")).await.state, DeliveryState::Done);
}

/// A caller says what he likes. What holds a NUL may lose it; nothing else of the batch is lost for it.
pub(in crate::store) async fn a_nul_is_no_obstacle(store: &dyn Store) {
    let mut said = receipt(1);
    (said.query, said.content_type) = ("n=\0".to_owned(), Some("text/\0".to_owned()));
    let seq = store.append(said).await.expect("append");
    let sid = "a\0b";
    let mut made = decision(sid, 0, vec![log(sid, "on\0e")], at(5));
    (made.state.customer, made.state.exophone) = (Some("09\0".to_owned()), Some("\0".to_owned()));
    made.witnessed = vec![Witnessed { seq, event: event(sid, 1) }];
    store.decide(vec![made], Vec::new(), up_to(store, seq).await).await.expect("decide");
    let calls = store.calls(&[call(sid)]).await.expect("calls");
    assert_eq!(calls[&call(sid)].events, [event(sid, 1)]);
    let taken = claim(store, IntentKind::Log, at(6)).await;
    assert_eq!(taken[0].delivery.content, log(sid, "on\0e").content);
    let held = Next::Held { reason: "n\0t".to_owned(), probe: false };
    let contact = Contact { at: RecordRef::new("contact", 5), name: "\0".to_owned(), ..contact_of_nobody() };
    let told = Settlement {
        contact: Some((format!("caller-{sid}"), Some(contact.clone()))),
        ..settlement(&taken[0], held, at(6))
    };
    settled(store, told).await;
    let set_aside = vec![SetAside { seq, error: "a \0 in it".to_owned(), at: at(7) }];
    store.decide(Vec::new(), set_aside, None).await.expect("decide");
    assert_eq!(store.set_aside(ACCOUNT, 9).await.expect("set aside").len(), 1);
    store.redrive(ACCOUNT, &DeliveryFilter::default(), false, at(8)).await.expect("redrive");
    assert_eq!(claim(store, IntentKind::Log, at(9)).await[0].contact, Some(contact));
}

fn contact_of_nobody() -> Contact {
    Contact { at: RecordRef::new("", ""), name: String::new(), numbers: Vec::new(), updated_at: None, owner: None }
}
