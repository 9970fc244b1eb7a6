//! The journal: nothing lost, in order, read once, replayed when asked.

use super::*;
use crate::store::SetAside;

pub(in crate::store) async fn keeps_order_and_content(store: &dyn Store) {
    let mut bare = receipt(3);
    (bare.content_type, bare.body, bare.hook) = (None, Vec::new(), Hook::Details);
    let receipts = [receipt(1), receipt(2), bare];
    let mut appended = Vec::new();
    for receipt in &receipts {
        appended.push((store.append(receipt.clone()).await.expect("append"), receipt.clone()));
    }
    assert!(appended.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert_eq!(store.unread(10).await.expect("unread"), appended);
    assert_eq!(store.unread(2).await.expect("unread"), appended[..2]);
    assert_eq!(store.depths().await.expect("depths").unread_receipts, 3);
}

pub(in crate::store) async fn cursor_moves_on_and_never_back(store: &dyn Store) {
    let first = store.append(receipt(1)).await.expect("append");
    let second = store.append(receipt(2)).await.expect("append");
    store.decide(Vec::new(), Vec::new(), up_to(store, second).await).await.expect("decide");
    store.decide(Vec::new(), Vec::new(), up_to(store, first).await).await.expect("decide");
    assert!(store.unread(10).await.expect("unread").is_empty());
    assert_eq!(store.depths().await.expect("depths").unread_receipts, 0);
    let third = store.append(receipt(3)).await.expect("append");
    assert_eq!(store.unread(10).await.expect("unread"), [(third, receipt(3))]);
}

async fn set_aside(store: &dyn Store, seq: Seq) {
    let aside = SetAside { seq, error: "no CallSid".to_owned(), at: at(9) };
    store.decide(Vec::new(), vec![aside], up_to(store, seq).await).await.expect("decide");
}

pub(in crate::store) async fn set_aside_and_replayed(store: &dyn Store) {
    let first = store.append(receipt(1)).await.expect("append");
    set_aside(store, first).await;
    assert!(store.unread(10).await.expect("unread").is_empty());
    assert_eq!(store.depths().await.expect("depths").set_aside, 1);
    assert_eq!(store.replay_set_aside("somebody else").await.expect("replay"), 0);
    assert_eq!(store.replay_set_aside(ACCOUNT).await.expect("replay"), 1);
    let unread = store.unread(10).await.expect("unread");
    assert_eq!(unread.iter().map(|(_, receipt)| receipt.clone()).collect::<Vec<_>>(), [receipt(1)]);
    assert!(unread[0].0 > first, "it comes by again");
    assert_eq!(store.depths().await.expect("depths").set_aside, 0);
    assert_eq!(store.replay_set_aside(ACCOUNT).await.expect("replay"), 0);
    set_aside(store, unread[0].0).await;
    assert_eq!(store.depths().await.expect("depths").set_aside, 1, "and may be set aside again");
}

pub(in crate::store) async fn purge_leaves_what_is_unread_or_set_aside(store: &dyn Store) {
    let mut seqs = Vec::new();
    for number in 1..=4 {
        seqs.push(store.append(receipt(number)).await.expect("append"));
    }
    set_aside(store, seqs[0]).await;
    store.decide(Vec::new(), Vec::new(), up_to(store, seqs[2]).await).await.expect("decide");
    assert_eq!(store.purge(at(2), 10).await.expect("purge"), 0, "the second is not older than itself");
    assert_eq!(store.purge(at(100), 1).await.expect("purge"), 1);
    assert_eq!(store.purge(at(100), 10).await.expect("purge"), 1);
    assert_eq!(store.purge(at(100), 10).await.expect("purge"), 0);
    assert_eq!(store.replay_set_aside(ACCOUNT).await.expect("replay"), 1);
    let left: Vec<_> = store.unread(10).await.expect("unread").into_iter().map(|(_, receipt)| receipt).collect();
    assert_eq!(left, [receipt(4), receipt(1)]);
}

pub(in crate::store) async fn ping_answers(store: &dyn Store) {
    assert!(store.ping().await.expect("ping") < Duration::from_secs(60));
}
