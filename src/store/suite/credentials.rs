//! Tokens of integrations, and consents that are waited for.

use super::*;
use crate::store::{Consent, StoreError};

pub(in crate::store) async fn tokens_are_written_over_the_version_that_was_read(store: &dyn Store) {
    let sealed = async |lane: &LaneRef| store.credential(lane).await.expect("read").map(|it| (it.version, it.sealed));
    let put = async |on, sealed: &[u8]| store.put_credential(&lane(DESK), on, sealed.to_vec()).await;
    assert_eq!(sealed(&lane(DESK)).await, None);
    assert!(matches!(put(1, b"early").await, Err(StoreError::Conflict)), "there is nothing to write over");
    put(0, b"\0one\xff").await.expect("the first");
    assert_eq!(sealed(&lane(DESK)).await, Some((1, b"\0one\xff".to_vec())));
    assert!(matches!(put(0, b"first, too").await, Err(StoreError::Conflict)));
    put(1, b"two").await.expect("over the first");
    assert!(matches!(put(1, b"late").await, Err(StoreError::Conflict)));
    assert_eq!(sealed(&lane(DESK)).await, Some((2, b"two".to_vec())), "a conflict writes nothing");
    // Of one integration and of one account alone.
    let stranger = LaneRef { account: "acme2".to_owned(), integration: DESK.to_owned() };
    assert_eq!((sealed(&lane("other")).await, sealed(&stranger).await), (None, None));
    store.put_credential(&stranger, 0, b"his".to_vec()).await.expect("his first");
    assert_eq!(sealed(&lane(DESK)).await, Some((2, b"two".to_vec())));
    assert!(!format!("{:?}", store.credential(&stranger).await).contains("104"), "not even sealed is it shown");
}

pub(in crate::store) async fn of_many_who_write_over_one_version_one_does(store: &dyn Store) {
    for on in 0..3 {
        let desk = lane(DESK);
        let writers = (0..20).map(|writer| store.put_credential(&desk, on, vec![writer]));
        let written = futures_util::future::join_all(writers).await;
        let won: Vec<usize> = (0..20).filter(|writer| written[*writer].is_ok()).collect();
        assert_eq!(won.len(), 1, "{written:?}");
        let stored = store.credential(&lane(DESK)).await.expect("read").expect("tokens");
        assert_eq!((stored.version, usize::from(stored.sealed[0])), (on + 1, won[0]));
    }
}

pub(in crate::store) async fn a_consent_is_good_once_and_for_a_time(store: &dyn Store) {
    let consent = |sealed: &[u8], until| Consent { lane: lane(DESK), sealed: sealed.to_vec(), expires_at: at(until) };
    let take = async |hash, now| store.take_consent([hash; 32], at(now)).await.expect("take");
    store.put_consent([1; 32], &consent(b"one", 100), at(0)).await.expect("put");
    store.put_consent([2; 32], &consent(b"two", 200), at(0)).await.expect("a second one beside it");
    assert_eq!(take(9, 1).await, None);
    assert_eq!(take(1, 99).await, Some(consent(b"one", 100)));
    assert_eq!(take(1, 99).await, None, "it was taken");
    assert_eq!(take(2, 200).await, None, "its time is over");
    assert_eq!(take(2, 1).await, None, "and it comes not back");
    // Those whose time is over are forgotten when the next comes.
    store.put_consent([3; 32], &consent(b"three", 100), at(0)).await.expect("put");
    store.put_consent([4; 32], &consent(b"four", 300), at(100)).await.expect("put");
    assert_eq!(take(3, 1).await, None);
    let all = (0..20).map(|_| store.take_consent([4; 32], at(101)));
    let taken = futures_util::future::join_all(all).await;
    assert_eq!(taken.iter().filter(|taken| matches!(taken, Ok(Some(_)))).count(), 1);
    assert!(!format!("{:?}", consent(b"five", 1)).contains("102"), "not even sealed is it shown");
}
