//! Tokens of integrations: nobody writes over what he has not read.

use super::*;
use crate::store::{Consent, StoreError};

pub(in crate::store) async fn written_over_the_version_that_was_read(store: &dyn Store) {
    let lane = lane(DESK);
    assert!(store.credential(&lane).await.expect("credential").is_none());
    let refused = store.put_credential(&lane, 1, vec![0]).await;
    assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    store.put_credential(&lane, 0, vec![1]).await.expect("put");
    let refused = store.put_credential(&lane, 0, vec![2]).await;
    assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    store.put_credential(&lane, 1, vec![3]).await.expect("put");
    let stored = store.credential(&lane).await.expect("credential").expect("there is one");
    assert_eq!((stored.version, stored.sealed), (2, vec![3]));
}

pub(in crate::store) async fn a_consent_is_good_once_and_for_its_time(store: &dyn Store) {
    let consent = |until| Consent { lane: lane(DESK), sealed: vec![7], expires_at: at(until) };
    store.put_consent([1; 32], &consent(50), at(1)).await.expect("put");
    store.put_consent([2; 32], &consent(10), at(1)).await.expect("put");
    assert!(store.take_consent([3; 32], at(5)).await.expect("take").is_none());
    assert!(store.take_consent([2; 32], at(10)).await.expect("take").is_none(), "its time is over");
    assert!(store.take_consent([1; 32], at(5)).await.expect("take").is_some_and(|taken| taken == consent(50)));
    assert!(store.take_consent([1; 32], at(5)).await.expect("take").is_none(), "good once");
}
