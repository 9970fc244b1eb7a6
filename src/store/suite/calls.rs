//! Asking for details, the list of calls, forgetting old ones; and the hook tokens.

use super::*;
use crate::store::{CallFilter, HookToken, StoreError};

async fn enquire(store: &dyn Store, sid: &str, due: Option<i64>) {
    let version = store.calls(&[call(sid)]).await.expect("calls").get(&call(sid)).map_or(0, |call| call.version);
    let enquiry = Enquiry { step: 1, due_at: due.map(at) };
    let made = Decision { enquiry, ..decision(sid, version, Vec::new(), at(1)) };
    store.decide(vec![made], Vec::new(), None).await.expect("decide");
}

pub(in crate::store) async fn enquiries_are_due_and_put_off(store: &dyn Store) {
    let due = async |now| {
        let due = store.due_enquiries(ACCOUNT, 10, at(now)).await.expect("due");
        due.into_iter().map(|(call_sid, _)| call_sid).collect::<Vec<_>>()
    };
    assert_eq!(store.next_enquiry(ACCOUNT).await.expect("next"), None);
    enquire(store, "late", Some(50)).await;
    enquire(store, "b", Some(7)).await;
    enquire(store, "a", Some(5)).await;
    enquire(store, "never", None).await;
    assert_eq!(store.next_enquiry(ACCOUNT).await.expect("next"), Some(at(5)));
    assert_eq!(due(4).await, Vec::<String>::new());
    assert_eq!(due(10).await, ["a", "b"]);
    assert_eq!(store.due_enquiries(ACCOUNT, 1, at(10)).await.expect("due"), [("a".to_owned(), at(5))]);
    store.put_off_enquiry(&call("a"), at(20)).await.expect("put off");
    store.put_off_enquiry(&call("never"), at(1)).await.expect("put off");
    assert_eq!(due(30).await, ["b", "a"]);
    let stored = store.calls(&[call("a")]).await.expect("calls");
    assert_eq!(stored[&call("a")].enquiry, Some(Enquiry { step: 1, due_at: Some(at(20)) }));
    enquire(store, "b", None).await;
    assert_eq!(due(30).await, ["a"]);
    assert!(store.due_enquiries("acme2", 10, at(99)).await.expect("due").is_empty());
}

/// A call seen then, with that outcome and these numbers.
async fn seen(store: &dyn Store, sid: &str, second: i64, outcome: Option<Outcome>, customer: &str, exophone: &str) {
    let mut made = decision(sid, 0, vec![log(sid, "one")], at(second));
    made.state.outcome = outcome;
    made.state.customer = (!customer.is_empty()).then(|| customer.to_owned());
    made.state.exophone = Some(exophone.to_owned());
    store.decide(vec![made], Vec::new(), None).await.expect("decide");
}

async fn listed(store: &dyn Store, filter: CallFilter) -> Vec<String> {
    let page = store.list_calls(ACCOUNT, &filter).await.expect("list");
    page.items.into_iter().map(|call| call.call_sid).collect()
}

pub(in crate::store) async fn listed_newest_first_by_page(store: &dyn Store) {
    // Three of them in the same second: the cursor must neither repeat nor skip.
    for (sid, second) in [("a", 1), ("b", 5), ("c", 5), ("d", 5), ("e", 9)] {
        seen(store, sid, second, Some(Outcome::Missed), "09052161119", "08046801234").await;
    }
    for limit in 1..=6 {
        let (mut sids, mut before) = (Vec::new(), None);
        loop {
            let filter = CallFilter { before, limit, ..CallFilter::default() };
            let page = store.list_calls(ACCOUNT, &filter).await.expect("list");
            sids.extend(page.items.into_iter().map(|call| call.call_sid));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(sids, ["e", "d", "c", "b", "a"], "in pages of {limit}");
    }
    let page = store.list_calls(ACCOUNT, &CallFilter { limit: 1, ..CallFilter::default() }).await.expect("list");
    let first = &page.items[0];
    assert_eq!((first.outcome, first.talk_seconds), (Some(Outcome::Missed), Some(42)));
    assert_eq!((first.first_seen_at, first.started_at), (at(9), Some(at(0))));
    assert_eq!(first.deliveries.clone().into_iter().collect::<Vec<_>>(), [(DeliveryState::Pending, 1)]);
    assert!(store.list_calls("acme2", &CallFilter::default()).await.expect("list").items.is_empty());
}

pub(in crate::store) async fn listed_by_outcome_number_and_time(store: &dyn Store) {
    seen(store, "a", 1, Some(Outcome::Missed), "09052161119", "08046801234").await;
    seen(store, "b", 2, Some(Outcome::Answered), "+91 90521 61119", "08046801234").await;
    seen(store, "c", 3, None, "", "08046801119").await;
    seen(store, "d", 4, Some(Outcome::Answered), "09052161118", "08046801234").await;
    let number = |number: &str| CallFilter { number: Some(number.to_owned()), ..CallFilter::default() };
    assert_eq!(listed(store, number("1119")).await, ["c", "b", "a"], "customer and ExoPhone");
    assert_eq!(listed(store, number("90521 61119")).await, ["b", "a"], "however it is written");
    assert_eq!(listed(store, number("6801234")).await, ["d", "b", "a"]);
    assert_eq!(listed(store, number("0000")).await, Vec::<String>::new());
    assert_eq!(listed(store, number("sip")).await, Vec::<String>::new());
    assert_eq!(listed(store, number("")).await.len(), 4);
    let answered = CallFilter { outcome: Some(Outcome::Answered), ..CallFilter::default() };
    assert_eq!(listed(store, answered).await, ["d", "b"]);
    let both = CallFilter { outcome: Some(Outcome::Answered), ..number("1119") };
    assert_eq!(listed(store, both).await, ["b"]);
    let span = CallFilter { since: Some(at(2)), until: Some(at(4)), ..CallFilter::default() };
    assert_eq!(listed(store, span).await, ["c", "b"], "since is within, until is not");
    let page = store.list_calls(ACCOUNT, &CallFilter { limit: 2, ..number("1119") }).await.expect("list");
    let rest = CallFilter { before: page.next, ..number("1119") };
    assert_eq!(listed(store, rest).await, ["a"]);
}

pub(in crate::store) async fn a_cursor_of_nobody_is_refused(store: &dyn Store) {
    for nonsense in ["", "x", "1", "1-x", "x-1"] {
        let filter = CallFilter { before: Some(nonsense.to_owned()), ..CallFilter::default() };
        let refused = store.list_calls(ACCOUNT, &filter).await;
        assert!(matches!(refused, Err(StoreError::BadCursor)), "{nonsense}: {refused:?}");
    }
}

pub(in crate::store) async fn purge_leaves_the_unfinished(store: &dyn Store) {
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
            let link = Some(link(sid, 42));
            settled(store, Settlement { link, ..settlement(&taken[0], next, at(2)) }).await;
        }
    }
    enquire(store, "asked", Some(50)).await;
    enquire(store, "bare", None).await;
    decide(store, "young", Vec::new(), at(900)).await;
    assert_eq!(store.purge(at(800), 100).await.expect("purge"), 2, "done and bare");
    let left = listed(store, CallFilter::default()).await;
    assert_eq!(left, ["young", "asked", "pending", "inflight", "dead", "held"]);
    assert!(store.call_file(&call("done")).await.expect("call file").is_none());
    let depths = store.depths().await.expect("depths").deliveries;
    assert_eq!(depths.values().sum::<u64>(), 4);
    // The same call again is a new call, with nothing left of the old one.
    decide(store, "done", vec![log("done", "one")], at(901)).await;
    let file = store.call_file(&call("done")).await.expect("call file").expect("the call");
    assert!(file.attempts.is_empty() && file.links.is_empty());
    assert_eq!(file.deliveries[0].state, DeliveryState::Pending);
}

pub(in crate::store) async fn purge_takes_the_oldest_first(store: &dyn Store) {
    for (sid, second) in [("a", 1), ("b", 2), ("c", 3)] {
        decide(store, sid, Vec::new(), at(second)).await;
    }
    assert_eq!(store.purge(at(800), 2).await.expect("purge"), 2);
    assert_eq!(listed(store, CallFilter::default()).await, ["c"]);
}

pub(in crate::store) async fn hook_tokens_live_and_expire(store: &dyn Store) {
    let token = |number: u128, account: &str| HookToken {
        id: Uuid::from_u128(number),
        account: account.to_owned(),
        label: format!("token {number}"),
        scope: (number == 2).then(|| "status".to_owned()),
        created_at: at(i64::try_from(number).expect("a small number")),
        expires_at: None,
    };
    for (number, account) in [(1, ACCOUNT), (2, ACCOUNT), (3, "acme2")] {
        let hash = [u8::try_from(number).expect("a small number"); 32];
        store.insert_hook_token(&token(number, account), hash).await.expect("insert");
    }
    assert_eq!(store.hook_tokens(ACCOUNT).await.expect("tokens"), [token(1, ACCOUNT), token(2, ACCOUNT)]);
    let expire = async |account: &str, number, second| {
        store.expire_hook_token(account, Uuid::from_u128(number), at(second)).await.expect("expire")
    };
    assert!(!expire(ACCOUNT, 9, 50).await);
    assert!(!expire("acme2", 1, 50).await, "another account's");
    assert!(expire(ACCOUNT, 1, 50).await);
    assert!(expire(ACCOUNT, 1, 90).await, "there is one, and it ends no later for that");
    let valid = async |second| {
        let hashes = store.hook_token_hashes(at(second)).await.expect("hashes");
        hashes.into_iter().map(|(_, hash)| hash[0]).collect::<Vec<_>>()
    };
    assert_eq!(valid(49).await, [1, 2, 3]);
    assert_eq!(valid(50).await, [2, 3]);
    assert_eq!(store.hook_tokens(ACCOUNT).await.expect("tokens")[0].expires_at, Some(at(50)));
}
