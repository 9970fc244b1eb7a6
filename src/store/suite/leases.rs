//! What one node at a time does: who has it, who gets it next, and what he who lost it can still do, which is nothing.

use super::*;
use crate::store::StoreError;

const HOUR: Duration = Duration::from_secs(3600);

async fn ask(store: &dyn Store, holder: Uuid, duty: &Duty) -> Option<i64> {
    let granted = store.lease(holder, std::slice::from_ref(duty), HOUR).await.expect("lease");
    granted.first().map(|lease| lease.fence)
}

pub(in crate::store) async fn one_node_has_it_until_it_is_given_back(store: &dyn Store) {
    let duty = Duty::Lane(lane(DESK));
    let lease = leased(store, NODE, duty.clone()).await;
    assert_eq!((&lease.duty, lease.holder), (&duty, NODE));
    assert_eq!(ask(store, OTHER, &duty).await, None);
    assert_eq!(ask(store, NODE, &duty).await, Some(lease.fence), "renewed, and the same");
    assert!(ask(store, OTHER, &Duty::Enquiry(ACCOUNT.to_owned())).await.is_some(), "another duty");
    assert!(ask(store, OTHER, &Duty::Token(lane(DESK))).await.is_some(), "of the same name");
    store.release(&lease).await.expect("release");
    let after = leased(store, OTHER, duty.clone()).await;
    assert!(after.fence > lease.fence);
    store.release(&lease).await.expect("release");
    assert_eq!(ask(store, NODE, &duty).await, None, "what is another one's is not given back");
    store.release(&after).await.expect("release");
    assert!(ask(store, NODE, &duty).await.expect("free") > after.fence, "no number comes twice");
}

pub(in crate::store) async fn what_is_not_renewed_falls_to_another(store: &dyn Store) {
    let duty = Duty::Journal;
    let granted = store.lease(NODE, std::slice::from_ref(&duty), Duration::from_millis(1)).await.expect("lease");
    let after = loop {
        if let Some(fence) = ask(store, OTHER, &duty).await {
            break fence;
        }
        tokio::task::yield_now().await;
    };
    assert!(after > granted[0].fence);
    assert_eq!(ask(store, NODE, &duty).await, None);
}

pub(in crate::store) async fn only_what_is_free_is_granted(store: &dyn Store) {
    let duties = ["a", "b", "c"].map(|name| Duty::Lane(lane(name)));
    leased(store, OTHER, duties[1].clone()).await;
    let granted = store.lease(NODE, &duties, HOUR).await.expect("lease");
    let mut granted: Vec<_> = granted.into_iter().map(|lease| lease.duty).collect();
    granted.sort();
    assert_eq!(granted, [duties[0].clone(), duties[2].clone()]);
    assert!(store.lease(NODE, &[], HOUR).await.expect("lease").is_empty());
}

pub(in crate::store) async fn of_many_who_ask_one_is_granted_it(store: &dyn Store) {
    let duty = Duty::Token(lane(DESK));
    leased(store, NODE, Duty::Token(lane("other"))).await;
    for _ in 0..3 {
        let all = (10..30).map(|holder| store.lease(Uuid::from_u128(holder), std::slice::from_ref(&duty), HOUR));
        let granted = futures_util::future::join_all(all).await;
        let granted: Vec<Lease> = granted.into_iter().flat_map(|granted| granted.expect("lease")).collect();
        assert_eq!(granted.len(), 1, "{granted:?}");
        store.release(&granted[0]).await.expect("release");
    }
}

/// The lane in the hands of one node, then of the other.
async fn handed_over(store: &dyn Store, duty: Duty) -> (Lease, Lease) {
    let before = leased(store, NODE, duty.clone()).await;
    store.release(&before).await.expect("release");
    (before, leased(store, OTHER, duty).await)
}

pub(in crate::store) async fn who_lost_the_lane_writes_nothing(store: &dyn Store) {
    decide(store, "a", vec![log("a", "one")], at(1)).await;
    decide(store, "b", vec![log("b", "one")], at(1)).await;
    let taken = take(store, &lane(DESK), Turn::Now(IntentKind::Log), 1, at(2)).await;
    let (before, after) = handed_over(store, Duty::Lane(lane(DESK))).await;
    let done = Settlement { link: Some(link("a", 42)), ..settlement(&taken[0], Next::Done, at(3)) };
    let refused = store.settle(&before, done.clone()).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    let refused = store.claim(&before, &lane(DESK), Turn::Now(IntentKind::Log), 9, at(3)).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    let refused = store.recover(&before, &lane(DESK), at(3), at(3)).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    let file = store.call_file(&call("a")).await.expect("call file").expect("the call");
    assert!(file.links.is_empty() && file.attempts.is_empty());
    assert_eq!(file.deliveries[0].state, DeliveryState::Inflight);
    assert_eq!(store.recover(&after, &lane(DESK), at(3), at(3)).await.expect("recover"), 1);
    let taken = store.claim(&after, &lane(DESK), Turn::Now(IntentKind::Log), 9, at(3)).await.expect("claim");
    assert_eq!(sids(&taken), ["b", "a"]);
    // Under way again, in other hands: what the first one says of it now is void.
    let refused = store.settle(&before, done).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    assert_eq!(delivery(store, &log("a", "")).await.state, DeliveryState::Inflight);
}

pub(in crate::store) async fn who_lost_the_journal_decides_nothing(store: &dyn Store) {
    let seq = store.append(receipt(1)).await.expect("append");
    let (before, after) = handed_over(store, Duty::Journal).await;
    let made = || decision("a", 0, vec![log("a", "one")], at(1));
    let refused = store.decide(vec![made()], Vec::new(), Some((seq, before))).await;
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    assert!(store.calls(&[call("a")]).await.expect("calls").is_empty());
    assert_eq!(store.unread(9).await.expect("unread").len(), 1);
    store.decide(vec![made()], Vec::new(), Some((seq, after))).await.expect("decide");
    assert!(store.unread(9).await.expect("unread").is_empty());
}
