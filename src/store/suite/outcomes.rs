//! Settling, sending again, and what can be seen of it.

use std::collections::BTreeMap;

use super::*;
use crate::store::DeliveryFilter;
use patchbay_kit::Contact;

pub(in crate::store) async fn done_is_done(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one")], at(1)).await;
    let taken = claim(store, IntentKind::Log, at(2)).await;
    let done = Settlement { link: Some(link("a", 42)), ..settlement(&taken[0], Next::Done, at(2)) };
    settled(store, done.clone()).await;
    let found = delivery(store, &log("a", "")).await;
    assert_eq!((found.state, found.probe, found.attempts), (DeliveryState::Done, false, 0));
    let file = store.call_file(&call("a")).await.expect("call file").expect("the call");
    assert_eq!(file.attempts, [(log("a", "").id, done.attempt)]);
    assert_eq!(file.links, [(DESK.to_owned(), IntentKind::Log, link("a", 42))]);
    assert!(claim(store, IntentKind::Log, at(99)).await.is_empty());
}

pub(in crate::store) async fn newer_revision_is_pending_at_once(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one"), note("a", "n")], at(1)).await;
    let taken = claim(store, IntentKind::Log, at(2)).await;
    decide(store, "a", vec![log("a", "two"), note("a", "n")], at(3)).await;
    settle(store, &taken[0], Next::Done, at(4)).await;
    let found = delivery(store, &log("a", "")).await;
    assert_eq!((found.state, found.revision, found.attempts), (DeliveryState::Pending, 2, 0));
    assert!(found.due_at <= at(4));
    assert!(claim(store, IntentKind::Recording, at(5)).await.is_empty(), "the record is not as it should be yet");
    carry_out(store, IntentKind::Log, Next::Done, at(5)).await;
    carry_out(store, IntentKind::Recording, Next::Done, at(5)).await;
}

pub(in crate::store) async fn again_counts_only_what_counts(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one")], at(1)).await;
    carry_out(store, IntentKind::Log, again(at(10), true), at(2)).await;
    carry_out(store, IntentKind::Log, again(at(20), false), at(10)).await;
    let found = delivery(store, &log("a", "")).await;
    assert_eq!((found.attempts, found.probe, found.due_at), (1, true, at(20)));
    assert_eq!(found.reason.as_deref(), Some("outage"));
}

pub(in crate::store) async fn contacts_are_kept_and_forgotten(store: &dyn Store) {
    let contact = Contact {
        at: RecordRef::new("contact", 5),
        name: "Asha".to_owned(),
        numbers: Vec::new(),
        updated_at: None,
        owner: None,
    };
    decide(store, "a", vec![log("a", "one")], at(1)).await;
    for (second, told, then) in [(2, Some(contact.clone()), Some(contact)), (4, None, None)] {
        let taken = claim(store, IntentKind::Log, at(second)).await;
        let next = Settlement {
            contact: Some(("caller-a".to_owned(), told)),
            ..settlement(&taken[0], again(at(2), false), at(second))
        };
        settled(store, next).await;
        let taken = claim(store, IntentKind::Log, at(second + 1)).await;
        assert_eq!(taken[0].contact, then);
        let lane = &lane(DESK);
        assert_eq!(store.contact(lane, "caller-a").await.expect("contact"), then);
        assert_eq!(store.contact(lane, "caller-b").await.expect("contact"), None);
        settle(store, &taken[0], again(at(2), false), at(second + 1)).await;
    }
}

pub(in crate::store) async fn attempts_are_trimmed(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one")], at(0)).await;
    for turn in 0..53 {
        carry_out(store, IntentKind::Log, again(at(turn), true), at(turn)).await;
    }
    let file = store.call_file(&call("a")).await.expect("call file").expect("the call");
    let times: Vec<_> = file.attempts.iter().map(|(_, attempt)| attempt.at).collect();
    assert_eq!(times, (3..53).map(at).collect::<Vec<_>>());
}

/// Who does not hear that it was written tells it again; by then the delivery may be under way anew.
pub(in crate::store) async fn an_outcome_told_twice_counts_once(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one")], at(1)).await;
    let taken = claim(store, IntentKind::Log, at(2)).await;
    let outcome = settlement(&taken[0], again(at(3), true), at(2));
    settled(store, outcome.clone()).await;
    assert_eq!(claim(store, IntentKind::Log, at(3)).await.len(), 1);
    settled(store, outcome).await;
    let found = delivery(store, &log("a", "")).await;
    assert_eq!((found.state, found.attempts), (DeliveryState::Inflight, 1));
    assert_eq!(store.call_file(&call("a")).await.expect("call file").expect("the call").attempts.len(), 1);
}

/// One call in each state; the sids are the states' names.
async fn one_of_each(store: &dyn Store) {
    for (sid, next) in [
        ("done", Some(Next::Done)),
        ("held", Some(held())),
        ("dead", Some(dead())),
        ("inflight", None),
        ("pending", Some(again(at(500), true))),
    ] {
        decide(store, sid, vec![log(sid, "one")], at(1)).await;
        let taken = claim(store, IntentKind::Log, at(2)).await;
        if let Some(next) = next {
            settle(store, &taken[0], next, at(2)).await;
        }
    }
    decide(store, "superseded", vec![log("superseded", "one")], at(1)).await;
    decide(store, "superseded", Vec::new(), at(2)).await;
}

async fn states(store: &dyn Store) -> BTreeMap<String, DeliveryState> {
    let listed = store.list_deliveries(ACCOUNT, &DeliveryFilter::default()).await.expect("list");
    listed.items.into_iter().map(|one| (one.call_sid, one.state)).collect()
}

pub(in crate::store) async fn redrive_by_state_and_id(store: &dyn Store) {
    one_of_each(store).await;
    assert!(states(store).await.iter().all(|(sid, state)| sid == state.as_str()));
    let filter = DeliveryFilter { ids: vec![log("held", "").id, log("done", "").id], ..DeliveryFilter::default() };
    let others = store.redrive("acme2", &filter, false, at(9)).await.expect("redrive");
    assert!(others.is_empty(), "they are not that account's");
    assert_eq!(store.redrive(ACCOUNT, &filter, false, at(9)).await.expect("redrive"), [log("held", "").id]);
    let found = delivery(store, &log("held", "")).await;
    assert_eq!((found.state, found.due_at, found.attempts), (DeliveryState::Pending, at(9), 0));
    assert_eq!((found.probe, &found.reason), (true, &None), "what must be looked for stays to be looked for");
    let filter = DeliveryFilter { states: vec![DeliveryState::Dead], ..DeliveryFilter::default() };
    assert_eq!(store.redrive(ACCOUNT, &filter, false, at(9)).await.expect("redrive"), [log("dead", "").id]);
    let all = store.redrive(ACCOUNT, &DeliveryFilter::default(), false, at(10)).await.expect("redrive");
    assert_eq!(all.len(), 4);
    let found = delivery(store, &log("pending", "")).await;
    assert_eq!((found.due_at, found.attempts), (at(10), 0));
    let states = states(store).await;
    assert_eq!((states["inflight"], states["done"]), (DeliveryState::Inflight, DeliveryState::Done));
    assert!(states.values().filter(|state| **state == DeliveryState::Pending).count() == 4);
}

pub(in crate::store) async fn redrive_of_done_raises_the_revision(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one"), note("a", "n")], at(1)).await;
    carry_out(store, IntentKind::Log, Next::Done, at(2)).await;
    carry_out(store, IntentKind::Recording, Next::Done, at(2)).await;
    let filter = DeliveryFilter { call_sid: Some("a".to_owned()), ..DeliveryFilter::default() };
    assert!(store.redrive(ACCOUNT, &filter, false, at(5)).await.expect("redrive").is_empty());
    assert_eq!(store.redrive(ACCOUNT, &filter, true, at(5)).await.expect("redrive").len(), 2);
    let found = delivery(store, &log("a", "")).await;
    assert_eq!((found.state, found.revision), (DeliveryState::Pending, 2));
    assert!(claim(store, IntentKind::Recording, at(6)).await.is_empty(), "in order, as ever");
    carry_out(store, IntentKind::Log, Next::Done, at(6)).await;
    carry_out(store, IntentKind::Recording, Next::Done, at(6)).await;
    assert_eq!(delivery(store, &note("a", "")).await.revision, 2);
}

pub(in crate::store) async fn redrive_takes_all_or_as_many_as_asked(store: &dyn Store) {
    let sids: Vec<_> = (0..520).map(|number| format!("c{number}")).collect();
    let decisions = sids.iter().map(|sid| decision(sid, 0, vec![log(sid, "one")], at(1))).collect();
    store.decide(decisions, Vec::new(), None).await.expect("decide");
    let few = DeliveryFilter { limit: 3, ..DeliveryFilter::default() };
    assert_eq!(store.redrive(ACCOUNT, &few, false, at(2)).await.expect("redrive").len(), 3);
    let all = store.redrive(ACCOUNT, &DeliveryFilter::default(), false, at(3)).await.expect("redrive");
    assert_eq!(all.len(), 520);
}

pub(in crate::store) async fn deliveries_are_listed_by_page(store: &dyn Store) {
    one_of_each(store).await;
    let other = intent("done", "other", IntentKind::Log, "one");
    decide(store, "done", vec![log("done", "one"), other], at(9)).await;
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let filter = DeliveryFilter {
            integration: Some(DESK.to_owned()),
            states: vec![DeliveryState::Done, DeliveryState::Held, DeliveryState::Dead, DeliveryState::Superseded],
            before,
            limit: 3,
            ..DeliveryFilter::default()
        };
        let page = store.list_deliveries(ACCOUNT, &filter).await.expect("list");
        seen.extend(page.items.into_iter().map(|one| one.call_sid));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["superseded", "dead", "held", "done"], "newest first");
    let of_call = DeliveryFilter { call_sid: Some("done".to_owned()), ..DeliveryFilter::default() };
    assert_eq!(store.list_deliveries(ACCOUNT, &of_call).await.expect("list").items.len(), 2);
    assert!(store.list_deliveries("acme2", &of_call).await.expect("list").items.is_empty());
    let nonsense = DeliveryFilter { before: Some("x".to_owned()), ..DeliveryFilter::default() };
    let refused = store.list_deliveries(ACCOUNT, &nonsense).await;
    assert!(matches!(refused, Err(crate::store::StoreError::BadCursor)), "{refused:?}");
}

pub(in crate::store) async fn forgets_links(store: &dyn Store) {
    let other = intent("a", "other", IntentKind::Log, "one");
    decide(store, "a", vec![log("a", "one"), other], at(1)).await;
    for integration in [DESK, "other"] {
        let taken = take(store, &lane(integration), Turn::Now(IntentKind::Log), 1, at(2)).await;
        let done = Settlement { link: Some(link("a", 42)), ..settlement(&taken[0], Next::Done, at(2)) };
        settled(store, done).await;
    }
    let left = async || {
        let file = store.call_file(&call("a")).await.expect("call file").expect("the call");
        file.links.into_iter().map(|(integration, ..)| integration).collect::<Vec<_>>()
    };
    store.forget_links(&call("a"), Some(DESK)).await.expect("forget");
    assert_eq!(left().await, ["other"]);
    store.forget_links(&call("a"), None).await.expect("forget");
    assert!(left().await.is_empty());
    store.forget_links(&call("nobody"), None).await.expect("forget");
}

pub(in crate::store) async fn depths_follow_every_move(store: &dyn Store) {
    one_of_each(store).await;
    let depths = store.depths().await.expect("depths").deliveries;
    let each = DeliveryState::ALL.map(|state| ((lane(DESK), state), 1));
    assert_eq!(depths, BTreeMap::from(each));
    store.redrive(ACCOUNT, &DeliveryFilter::default(), true, at(9)).await.expect("redrive");
    let depths = store.depths().await.expect("depths").deliveries;
    let moved = [((lane(DESK), DeliveryState::Pending), 5), ((lane(DESK), DeliveryState::Inflight), 1)];
    assert_eq!(depths, BTreeMap::from(moved));
}
