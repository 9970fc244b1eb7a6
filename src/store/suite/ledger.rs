//! The ledger: who told of which call and where it stands; and how far Exotel's list was compared.

use super::*;
use crate::{
    call::{Seen, SeenBy, SeenPopups},
    store::{LedgerEntry, LedgerFilter, LedgerSeen, Span, SweepCursor},
};

/// A call that began then, told of so, and planned for the desk.
async fn told(store: &dyn Store, sid: &str, began: i64, callback: bool, list: bool) {
    let mut made = decision(sid, 0, vec![log(sid, "one")], at(1000));
    made.state.started_at = Some(at(began));
    let first = if callback { SeenBy::Callback } else { SeenBy::List };
    let popups = if callback { SeenPopups::Dialling } else { SeenPopups::None };
    made.state.seen = Seen { first: Some(first), callback, list, popups };
    store.decide(vec![made], Vec::new(), None).await.expect("decide");
}

async fn some_calls(store: &dyn Store) {
    told(store, "both", 10, true, true).await;
    told(store, "callback", 20, true, false).await;
    told(store, "list", 30, false, true).await;
    told(store, "late", 30, false, true).await;
}

async fn sids(store: &dyn Store, filter: LedgerFilter) -> Vec<String> {
    let page = store.ledger(ACCOUNT, &filter).await.expect("ledger");
    page.items.into_iter().map(|entry| entry.call_sid).collect()
}

pub(in crate::store) async fn shows_calls_by_when_they_began(store: &dyn Store) {
    some_calls(store).await;
    for limit in 1..=5 {
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let filter = LedgerFilter { before, limit, ..LedgerFilter::default() };
            let page = store.ledger(ACCOUNT, &filter).await.expect("ledger");
            seen.extend(page.items.into_iter().map(|entry| entry.call_sid));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["late", "list", "callback", "both"], "{limit} at a time");
    }
    let span = |from, to| Span { from: Some(at(from)), to: Some(at(to)) };
    let within = |from, to| sids(store, LedgerFilter { span: span(from, to), ..LedgerFilter::default() });
    assert_eq!(within(10, 30).await, ["callback", "both"], "the end is outside");
    assert_eq!(within(11, 20).await, Vec::<String>::new());
    let bad = LedgerFilter { before: Some("x".to_owned()), ..LedgerFilter::default() };
    assert!(matches!(store.ledger(ACCOUNT, &bad).await, Err(crate::store::StoreError::BadCursor)));
    assert!(store.ledger("acme2", &LedgerFilter::default()).await.expect("ledger").items.is_empty());
}

pub(in crate::store) async fn shows_calls_by_who_told_of_them_and_where_they_stand(store: &dyn Store) {
    some_calls(store).await;
    let seen = |seen| sids(store, LedgerFilter { seen: Some(seen), ..LedgerFilter::default() });
    assert_eq!(seen(LedgerSeen::Both).await, ["both"]);
    assert_eq!(seen(LedgerSeen::CallbackOnly).await, ["callback"]);
    assert_eq!(seen(LedgerSeen::ListOnly).await, ["late", "list"]);

    // The first that was planned is written, the second waits for somebody, the others wait.
    let claimed = claim(store, IntentKind::Log, at(1001)).await;
    let written = Settlement { link: Some(link("both", 7)), ..settlement(&claimed[0], Next::Done, at(1002)) };
    let lease = leased(store, NODE, Duty::Lane(lane(DESK))).await;
    store.settle(&lease, written).await.expect("settle");
    settle(store, &claimed[1], held(), at(1002)).await;
    let in_state =
        |states: &[DeliveryState]| sids(store, LedgerFilter { states: states.to_vec(), ..LedgerFilter::default() });
    assert_eq!(in_state(&[DeliveryState::Done]).await, ["both"]);
    assert_eq!(in_state(&[DeliveryState::Done, DeliveryState::Held]).await, ["callback", "both"]);
    let missing = |names: &[&str]| {
        let missing_in = names.iter().map(|name| (*name).to_owned()).collect();
        sids(store, LedgerFilter { missing_in, ..LedgerFilter::default() })
    };
    assert_eq!(missing(&[DESK]).await, ["late", "list", "callback"]);
    assert_eq!(missing(&[DESK, "crm"]).await.len(), 4, "in the second nothing is planned");

    let page = store.ledger(ACCOUNT, &LedgerFilter::default()).await.expect("ledger");
    let [.., second, first]: &[LedgerEntry] = &page.items else { panic!("{page:?}") };
    assert_eq!((first.first_by, first.by_callback, first.by_list), (Some(SeenBy::Callback), true, true));
    assert_eq!((first.began_at, first.outcome), (at(10), Some(Outcome::Missed)));
    let standing = &first.integrations[DESK];
    assert_eq!((standing.state, &standing.record), (DeliveryState::Done, &Some(RecordRef::new("ticket", 7))));
    let standing = &second.integrations[DESK];
    assert_eq!((standing.state, standing.reason.as_deref()), (DeliveryState::Held, Some("mapping")));
    assert_eq!(standing.record, None);

    let summary = store.ledger_summary(ACCOUNT, Span::default()).await.expect("summary");
    assert_eq!((summary.calls, summary.both, summary.callback_only, summary.list_only), (4, 1, 1, 2));
    let states = &summary.integrations[DESK];
    assert_eq!((states[&DeliveryState::Done], states[&DeliveryState::Held]), (1, 1));
    assert_eq!(states.values().sum::<u64>(), 4);
    let late = Span { from: Some(at(30)), to: None };
    let summary = store.ledger_summary(ACCOUNT, late).await.expect("summary");
    assert_eq!((summary.calls, summary.list_only, summary.answered), (2, 2, 0));
    assert!(store.ledger_summary("acme2", Span::default()).await.expect("summary").integrations.is_empty());
}

pub(in crate::store) async fn counts_popups_and_exophones_nobody_hears_of(store: &dyn Store) {
    let all = [
        // ExoPhone, told by callback, outcome, popups.
        ("a", "08040000001", true, Some(Outcome::Answered), SeenPopups::None),
        ("b", "08040000001", true, Some(Outcome::Answered), SeenPopups::Dialling),
        ("c", "08040000001", true, Some(Outcome::Answered), SeenPopups::Ringing),
        ("d", "08040000001", true, Some(Outcome::Missed), SeenPopups::Ringing),
        ("e", "08040000001", false, None, SeenPopups::None),
        ("f", "08040000002", false, Some(Outcome::Answered), SeenPopups::None),
        ("g", "08040000002", false, Some(Outcome::Missed), SeenPopups::None),
    ];
    for (sid, exophone, callback, outcome, popups) in all {
        let mut made = decision(sid, 0, Vec::new(), at(1));
        made.state.exophone = Some(exophone.to_owned());
        made.state.outcome = outcome;
        made.state.seen = Seen { first: None, callback, list: true, popups };
        store.decide(vec![made], Vec::new(), None).await.expect("decide");
    }
    // Nobody's flow tells of those that were placed.
    let mut placed = decision("h", 0, Vec::new(), at(1));
    placed.state.exophone = Some("08040000003".to_owned());
    placed.state.direction = Direction::Outgoing;
    placed.state.seen = Seen { list: true, ..Seen::default() };
    store.decide(vec![placed], Vec::new(), None).await.expect("decide");

    let summary = store.ledger_summary(ACCOUNT, Span::default()).await.expect("summary");
    let popups = (summary.answered, summary.answered_with_popups, summary.answered_with_ringing);
    assert_eq!((popups, summary.open), ((3, 2, 1), 1));
    let silent: Vec<_> = summary.silent_exophones.iter().map(|one| (one.exophone.as_str(), one.calls)).collect();
    assert_eq!(silent, [("08040000002", 2)]);
}

pub(in crate::store) async fn keeps_how_far_the_list_was_compared(store: &dyn Store) {
    let cursor = async || store.sweep_cursor(ACCOUNT).await.expect("cursor");
    assert_eq!(cursor().await, None);
    for reached in [5, 9, 2] {
        let reached = SweepCursor { since: at(1), reached: at(reached) };
        store.put_sweep_cursor(ACCOUNT, reached).await.expect("put");
        assert_eq!(cursor().await, Some(reached));
    }
    assert_eq!(store.sweep_cursor("acme2").await.expect("cursor"), None);
}
