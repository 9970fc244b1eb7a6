//! Clicks: one for a key, changed over the version that was read, never from where it may have been dialled back to where it
//! may be.

use super::*;
use crate::store::{Click, ClickFilter, ClickState, ClickStep, Kept, StoreError};

fn click(number: u8) -> Click {
    Click {
        id: Uuid::from_u128(u128::from(number)),
        account: ACCOUNT.to_owned(),
        version: 1,
        key: [number; 32],
        fingerprint: [0xff; 32],
        agent: "+919711581199".to_owned(),
        to: format!("+91987654{number:04}"),
        caller_id: "+918047494574".to_owned(),
        flow_url: None,
        bot: None,
        custom_field: Some("order 7".to_owned()),
        record: true,
        state: ClickState::Intended,
        asked_at: at(i64::from(number)),
        dialled_at: None,
        updated_at: at(i64::from(number)),
    }
}

fn placed(call_sid: &str) -> ClickState {
    ClickState::Placed { call_sid: call_sid.to_owned(), status: Some("in-progress".to_owned()) }
}

fn unknown() -> ClickState {
    ClickState::Unknown { reason: "no answer".to_owned() }
}

fn not_placed() -> ClickState {
    ClickState::NotPlaced { reason: "it is not listed".to_owned() }
}

async fn intend(store: &dyn Store, click: &Click) {
    assert_eq!(store.intend(click.clone(), None).await.expect("intend"), Kept::New);
}

async fn step(store: &dyn Store, number: u8, on_version: i64, state: ClickState, now: i64) -> Result<(), StoreError> {
    let id = Uuid::from_u128(u128::from(number));
    let step = ClickStep { account: ACCOUNT.to_owned(), id, on_version, state, at: at(now), receipt: None };
    store.step_click(step).await
}

async fn stored(store: &dyn Store, number: u8) -> Option<Click> {
    store.click(ACCOUNT, Uuid::from_u128(u128::from(number))).await.expect("read")
}

pub(in crate::store) async fn a_key_has_one_click(store: &dyn Store) {
    intend(store, &click(1)).await;
    let again = Click { id: Uuid::from_u128(9), fingerprint: [3; 32], ..click(1) };
    let known = store.intend(again.clone(), None).await.expect("intend");
    assert_eq!(known, Kept::Known(Box::new(click(1))), "the first, as it was asked");
    assert_eq!(store.click(ACCOUNT, again.id).await.expect("read"), None, "nothing was written");
    assert_eq!(store.click_of_key(ACCOUNT, [1; 32]).await.expect("read"), Some(click(1)));
    assert_eq!(store.click_of_key(ACCOUNT, [2; 32]).await.expect("read"), None);
    // Another account's keys are its own, and so are its clicks.
    assert_eq!(store.intend(Click { account: "acme2".to_owned(), ..again }, None).await.expect("intend"), Kept::New);
    assert_eq!(store.click("acme2", click(1).id).await.expect("read"), None);
    let flow_url = Some("https://my.exotel.com/acme1/exoml/start_voice/7".to_owned());
    let parameters = [("order".to_owned(), "7 & \"8\"".to_owned())].into();
    let bot = Some(crate::call::BotWish { bot: "sales".to_owned(), parameters, limit_seconds: Some(600) });
    let bare = Click { custom_field: None, record: false, agent: "sip:avnish".to_owned(), flow_url, bot, ..click(2) };
    intend(store, &bare).await;
    assert_eq!(stored(store, 2).await, Some(bare));
    assert!(!format!("{:?}", click(1)).contains("9711581199"), "numbers are masked");
}

pub(in crate::store) async fn of_many_who_intend_one_key_one_does(store: &dyn Store) {
    let all = (0..20).map(|n| store.intend(Click { id: Uuid::from_u128(n), ..click(1) }, None));
    let kept = futures_util::future::join_all(all).await;
    let new: Vec<usize> = (0..20).filter(|n| matches!(kept[*n], Ok(Kept::New))).collect();
    assert_eq!(new.len(), 1, "{kept:?}");
    let id = Uuid::from_u128(new[0] as u128);
    assert!(kept.iter().flatten().all(|kept| match kept {
        Kept::New => true,
        Kept::Known(click) => click.id == id,
    }));
    let dial = || ClickStep {
        account: ACCOUNT.to_owned(),
        id,
        on_version: 1,
        state: ClickState::Dialling,
        at: at(5),
        receipt: None,
    };
    let dials = futures_util::future::join_all((0..20).map(|_| store.step_click(dial()))).await;
    assert_eq!(dials.iter().filter(|dialled| dialled.is_ok()).count(), 1, "{dials:?}");
}

pub(in crate::store) async fn a_click_changes_over_the_version_that_was_read(store: &dyn Store) {
    intend(store, &click(1)).await;
    let conflict = |done: Result<(), StoreError>| assert!(matches!(done, Err(StoreError::Conflict)), "{done:?}");
    conflict(step(store, 9, 1, ClickState::Dialling, 2).await);
    conflict(step(store, 1, 1, placed("c1"), 2).await);
    step(store, 1, 1, ClickState::Dialling, 3).await.expect("dialling");
    conflict(step(store, 1, 1, unknown(), 4).await);
    step(store, 1, 2, unknown(), 5).await.expect("unknown");
    conflict(step(store, 1, 3, ClickState::Dialling, 6).await);
    conflict(step(store, 1, 3, ClickState::Intended, 6).await);
    step(store, 1, 3, not_placed(), 60).await.expect("not placed");
    let now = stored(store, 1).await.expect("the click");
    assert_eq!((now.version, &now.state, now.dialled_at, now.updated_at), (4, &not_placed(), Some(at(3)), at(60)));
    step(store, 1, 4, placed("c1"), 70).await.expect("it shows itself after all");
    conflict(step(store, 1, 5, not_placed(), 80).await);
    assert_eq!(stored(store, 1).await.expect("the click").state, placed("c1"));

    // What was certainly not carried out may be dialled again; the last time counts.
    intend(store, &click(2)).await;
    step(store, 2, 1, ClickState::Dialling, 3).await.expect("dialling");
    step(store, 2, 2, ClickState::Intended, 4).await.expect("put off");
    step(store, 2, 3, ClickState::Dialling, 9).await.expect("again");
    let refused = ClickState::Refused { code: "10717".to_owned(), message: "do not disturb".to_owned() };
    step(store, 2, 4, refused.clone(), 10).await.expect("refused");
    let now = stored(store, 2).await.expect("the click");
    assert_eq!((now.state, now.dialled_at), (refused, Some(at(9))));
}

pub(in crate::store) async fn a_placed_click_is_a_receipt_too(store: &dyn Store) {
    let before = store.append(receipt(1)).await.expect("append");
    intend(store, &click(1)).await;
    step(store, 1, 1, ClickState::Dialling, 3).await.expect("dialling");
    let placed = |on_version| ClickStep {
        account: ACCOUNT.to_owned(),
        id: click(1).id,
        on_version,
        state: placed("c1"),
        at: at(4),
        receipt: Some(receipt(2)),
    };
    assert!(matches!(store.step_click(placed(1)).await, Err(StoreError::Conflict)));
    assert_eq!(store.unread(9).await.expect("unread").len(), 1, "a conflict writes nothing");
    store.step_click(placed(2)).await.expect("placed");
    let after = store.append(receipt(3)).await.expect("append");
    let unread = store.unread(9).await.expect("unread");
    let receipts: Vec<_> = unread.iter().map(|(_, receipt)| receipt.clone()).collect();
    assert_eq!(receipts, [receipt(1), receipt(2), receipt(3)]);
    assert!(before < unread[1].0 && unread[1].0 < after);
}

pub(in crate::store) async fn a_key_that_is_renewed_is_given_up_once_settled(store: &dyn Store) {
    intend(store, &click(1)).await;
    let next = |number: u8| Click { key: [1; 32], ..click(number) };
    let renew = async |number, before| store.intend(next(number), Some(at(before))).await.expect("intend");
    let known = |kept: Kept| matches!(&kept, Kept::Known(click) if click.id == Uuid::from_u128(1));
    assert!(known(renew(2, 100).await), "it is not settled, however old");
    step(store, 1, 1, ClickState::Dialling, 3).await.expect("dialling");
    step(store, 1, 2, unknown(), 4).await.expect("unknown");
    assert!(known(renew(2, 100).await));
    step(store, 1, 3, placed("c1"), 5).await.expect("placed");
    assert!(known(renew(2, 1).await), "asked just now");
    assert!(known(store.intend(next(2), None).await.expect("intend")), "who does not renew has it for ever");
    assert_eq!(renew(2, 2).await, Kept::New, "asked long ago");
    assert_eq!(store.click_of_key(ACCOUNT, [1; 32]).await.expect("read").map(|click| click.id), Some(next(2).id));
    assert_eq!(stored(store, 1).await.expect("it stays").state, placed("c1"));
    // Nobody was rung: whoever clicks again means it.
    step(store, 2, 1, not_placed(), 6).await.expect("not placed");
    assert_eq!(renew(3, 0).await, Kept::New);
}

pub(in crate::store) async fn unsettled_and_listed(store: &dyn Store) {
    for number in 1..=5 {
        intend(store, &click(number)).await;
    }
    for number in 2..=5 {
        step(store, number, 1, ClickState::Dialling, 10).await.expect("dialling");
    }
    step(store, 3, 2, unknown(), 11).await.expect("unknown");
    step(store, 4, 2, placed("c4"), 11).await.expect("placed");
    step(store, 5, 2, unknown(), 11).await.expect("unknown");
    step(store, 5, 3, not_placed(), 12).await.expect("not placed");
    let ids = |clicks: Vec<Click>| clicks.iter().map(|click| click.id.as_u128()).collect::<Vec<_>>();
    assert_eq!(ids(store.unsettled_clicks(ACCOUNT).await.expect("unsettled")), [1, 2, 3]);
    assert!(store.unsettled_clicks("acme2").await.expect("unsettled").is_empty());
    let list = async |filter: ClickFilter| ids(store.list_clicks(ACCOUNT, &filter).await.expect("list"));
    assert_eq!(list(ClickFilter::default()).await, [5, 4, 3, 2, 1]);
    let states = ["placed", "not_placed"].map(str::to_owned).to_vec();
    assert_eq!(list(ClickFilter { states, ..Default::default() }).await, [5, 4]);
    assert_eq!(list(ClickFilter { since: Some(at(3)), limit: 2, ..Default::default() }).await, [5, 4]);
    let pair = Some((click(4).agent, click(4).to));
    assert_eq!(list(ClickFilter { pair, ..Default::default() }).await, [4]);
    let of = async |agents: &[&str]| {
        let agents = Some(agents.iter().map(|&agent| agent.to_owned()).collect());
        list(ClickFilter { agents, ..Default::default() }).await
    };
    assert_eq!(of(&["sip:nobody", &click(4).agent]).await, [5, 4, 3, 2, 1]);
    assert!(of(&[]).await.is_empty() && of(&["sip:nobody"]).await.is_empty());
}

pub(in crate::store) async fn purge_leaves_the_unsettled(store: &dyn Store) {
    for number in 1..=3 {
        intend(store, &click(number)).await;
    }
    step(store, 1, 1, not_placed(), 10).await.expect("not placed");
    step(store, 2, 1, not_placed(), 20).await.expect("not placed");
    assert_eq!(store.purge(at(20), 9).await.expect("purge"), 1);
    assert_eq!(store.purge(at(20), 9).await.expect("purge"), 0);
    assert!(stored(store, 1).await.is_none() && stored(store, 2).await.is_some() && stored(store, 3).await.is_some());
    // With the click its key is forgotten.
    intend(store, &Click { id: Uuid::from_u128(7), ..click(1) }).await;
}
