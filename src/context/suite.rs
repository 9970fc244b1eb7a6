//! What every context must do, wherever it keeps what it knows: one function for each case, run by each context's tests.
//! A case gets two nodes that know nothing yet; where the context is one node's own, both are the same.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use jiff::Timestamp;
use patchbay_kit::PhoneNumber;
use serde_json::json;
use uuid::Uuid;

use super::{
    Admission, Audience, CallContext, Context, Fact, KnownOwner, Limit, Listener, LiveEvent, News, Next, Session,
    Subscription, live::QUEUE,
};
use crate::{
    call::Stage,
    store::{CallRef, LaneRef},
};

/// Gives every case there is to a macro, so that no context's tests can leave one out.
macro_rules! for_each_case {
    ($run:ident) => {
        $run! {
            what_is_noted_of_a_call_is_known,
            the_same_fact_counts_once,
            a_hand_over_is_taken_once,
            an_unknown_call_is_empty,
            the_newest_owner_is_known,
            owners_are_of_one_integration_and_number,
            a_stale_owner_is_still_known,
            sessions_come_and_go,
            an_agent_hears_what_is_for_him,
            a_console_hears_all_of_its_account,
            a_subscriber_begins_with_what_is_going_on,
            a_subscriber_goes_on_where_he_was,
            an_event_nobody_knows_any_more_begins_anew,
            a_slow_subscriber_is_told_so,
            what_is_limited_is_refused_for_a_while,
            limits_are_of_one_name_and_key,
        }
    };
}
pub(super) use for_each_case;

pub(super) type Node = Arc<dyn Context>;

pub(super) const ACCOUNT: &str = "acme1";
pub(super) const AGENT: &str = "+919711581199";
pub(super) const OTHER: &str = "+919945476362";
pub(super) const CALLER: &str = "9876500001";
/// How long anything may take before a test says that it does not happen. Generous: the machine may be busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_900_000_000 + seconds).expect("a time within range")
}

pub(super) fn call(sid: &str) -> CallRef {
    CallRef { account: ACCOUNT.to_owned(), call_sid: sid.to_owned() }
}

pub(super) fn lane(integration: &str) -> LaneRef {
    LaneRef { account: ACCOUNT.to_owned(), integration: integration.to_owned() }
}

pub(super) fn number(national: &str) -> PhoneNumber {
    PhoneNumber { e164: format!("+91{national}"), country: "91".to_owned(), national: national.to_owned() }
}

pub(super) fn owner(number: &str, learnt_at: Timestamp) -> KnownOwner {
    KnownOwner { numbers: vec![number.to_owned()], learnt_at }
}

pub(super) fn session(agent: &str) -> Session {
    Session { account: ACCOUNT.to_owned(), agent: agent.to_owned(), id: Uuid::new_v4() }
}

pub(super) fn news(kind: &str, to: Audience, call: Option<&str>) -> News {
    News {
        account: ACCOUNT.to_owned(),
        to,
        call: call.map(str::to_owned),
        ends: kind == "ended",
        kind: kind.to_owned(),
        data: json!({ "caller": format!("+91{CALLER}") }),
    }
}

pub(super) fn to(agent: &str) -> Audience {
    Audience::Agent(agent.to_owned())
}

pub(super) fn listener(agent: Option<&str>) -> Listener {
    Listener { account: ACCOUNT.to_owned(), agents: agent.map(|agent| vec![agent.to_owned()]) }
}

/// Waits for something that has to be asked for to become true.
pub(super) async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let waiting = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        while !look().await {
            tick.tick().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "never: {what}");
}

/// The next event; there must be one.
pub(super) async fn event(from: &mut Subscription) -> Arc<LiveEvent> {
    match tokio::time::timeout(PATIENCE, from.next()).await {
        Ok(Some(Next::Event(event))) => event,
        other => panic!("no event: {other:?}"),
    }
}

pub(super) async fn heard(from: &mut Subscription) -> (String, Option<String>) {
    let event = event(from).await;
    (event.told.news.kind.clone(), event.told.news.call.clone())
}

pub(super) fn said(kind: &str, call: &str) -> (String, Option<String>) {
    (kind.to_owned(), Some(call.to_owned()))
}

fn pressed(digits: &str) -> Fact {
    Fact::Pressed { tag: "language".to_owned(), digits: digits.to_owned() }
}

fn rung(agent: &str, stage: Stage) -> Fact {
    Fact::Agent { agent: agent.to_owned(), stage }
}

fn hand_over(target: &str) -> Fact {
    Fact::HandOver { target: target.to_owned() }
}

/// What both nodes know of a call in the end.
async fn both_know(a: &Node, b: &Node, call: &CallRef, look: impl Fn(&CallContext) -> bool) {
    until("the first node knows it", async || look(&a.call(call).await)).await;
    until("the second node knows it", async || look(&b.call(call).await)).await;
}

pub(super) async fn what_is_noted_of_a_call_is_known(a: Node, b: Node) {
    let call = call("c1");
    a.note(&call, pressed("1"), at(1)).await;
    a.note(&call, rung(AGENT, Stage::Ringing), at(2)).await;
    b.note(&call, rung(AGENT, Stage::Ended), at(4)).await;
    b.note(&call, rung(OTHER, Stage::Dialing), at(5)).await;
    a.note(&call, Fact::Offered { number: AGENT.to_owned() }, at(1)).await;
    b.note(&call, Fact::Offered { number: OTHER.to_owned() }, at(4)).await;
    // Heard late, and no news any more.
    b.note(&call, rung(AGENT, Stage::Dialing), at(1)).await;
    let wanted = CallContext {
        digits: vec![("language".to_owned(), "1".to_owned())],
        agents: vec![(AGENT.to_owned(), Stage::Ended), (OTHER.to_owned(), Stage::Dialing)],
        offered: vec![AGENT.to_owned(), OTHER.to_owned()],
        ..CallContext::default()
    };
    both_know(&a, &b, &call, |known| *known == wanted).await;
}

pub(super) async fn the_same_fact_counts_once(a: Node, b: Node) {
    let call = call("c1");
    a.note(&call, pressed("1"), at(1)).await;
    a.note(&call, pressed("12"), at(3)).await;
    b.note(&call, pressed("1"), at(1)).await;
    both_know(&a, &b, &call, |known| known.digits == [("language".to_owned(), "12".to_owned())]).await;
}

pub(super) async fn a_hand_over_is_taken_once(a: Node, b: Node) {
    let call = call("c1");
    assert_eq!(b.take_hand_over(&call, at(0)).await, None);
    a.note(&call, hand_over(AGENT), at(1)).await;
    assert_eq!(b.take_hand_over(&call, at(2)).await.as_deref(), Some(AGENT));
    assert_eq!(a.take_hand_over(&call, at(3)).await, None);
    assert_eq!(b.take_hand_over(&call, at(3)).await, None);
    // The bot got the call again, and hands it over again, to the same.
    b.note(&call, hand_over(AGENT), at(4)).await;
    assert_eq!(a.take_hand_over(&call, at(5)).await.as_deref(), Some(AGENT));
    assert_eq!(b.take_hand_over(&call, at(6)).await, None);
    // Of two that ask at once one gets it.
    b.note(&call, hand_over(OTHER), at(7)).await;
    let (one, two) = futures_util::future::join(a.take_hand_over(&call, at(8)), b.take_hand_over(&call, at(8))).await;
    assert_eq!(one.iter().chain(&two).collect::<Vec<_>>(), [OTHER]);
}

pub(super) async fn an_unknown_call_is_empty(a: Node, b: Node) {
    a.note(&call("c1"), pressed("1"), at(1)).await;
    assert_eq!(b.call(&call("c2")).await, CallContext::default());
    let others = CallRef { account: "acme2".to_owned(), call_sid: "c1".to_owned() };
    assert_eq!(b.call(&others).await, CallContext::default());
}

pub(super) async fn the_newest_owner_is_known(a: Node, b: Node) {
    let (lane, number) = (lane("crm"), number(CALLER));
    assert_eq!(a.owner(&lane, &number).await, None);
    a.learn_owner(&lane, &number, owner(AGENT, at(5)));
    until("the other node knows it", async || b.owner(&lane, &number).await == Some(owner(AGENT, at(5)))).await;
    // Asked earlier, answered later.
    b.learn_owner(&lane, &number, owner(OTHER, at(3)));
    b.learn_owner(&lane, &number, owner(OTHER, at(7)));
    b.learn_owner(&lane, &number, owner(AGENT, at(6)));
    for node in [&a, &b] {
        until("the newest is known", async || node.owner(&lane, &number).await == Some(owner(OTHER, at(7)))).await;
    }
}

pub(super) async fn owners_are_of_one_integration_and_number(a: Node, b: Node) {
    a.learn_owner(&lane("crm"), &number(CALLER), owner(AGENT, at(1)));
    let known = async |node: &Node| node.owner(&lane("crm"), &number(CALLER)).await.is_some();
    until("it is known", async || known(&a).await && known(&b).await).await;
    for node in [&a, &b] {
        assert_eq!(node.owner(&lane("desk"), &number(CALLER)).await, None);
        assert_eq!(node.owner(&lane("crm"), &number("9876500002")).await, None);
    }
}

pub(super) async fn a_stale_owner_is_still_known(a: Node, b: Node) {
    let now = Timestamp::now();
    let long_ago = now - Duration::from_secs(86_400);
    a.learn_owner(&lane("crm"), &number(CALLER), owner(AGENT, long_ago));
    until("it is known", async || {
        b.owner(&lane("crm"), &number(CALLER)).await.is_some_and(|owner| !owner.is_fresh(now))
    })
    .await;
    a.learn_owner(&lane("crm"), &number(CALLER), owner(AGENT, now));
    until("it is fresh", async || {
        b.owner(&lane("crm"), &number(CALLER)).await.is_some_and(|owner| owner.is_fresh(now))
    })
    .await;
}

pub(super) async fn sessions_come_and_go(a: Node, b: Node) {
    let (first, second, third) = (session(AGENT), session(AGENT), session(OTHER));
    a.appear(&first).await;
    b.appear(&second).await;
    b.appear(&third).await;
    a.appear(&first).await;
    let mut all = vec![first.clone(), second.clone(), third.clone()];
    all.sort();
    for node in [&a, &b] {
        until("all are there", async || node.present(ACCOUNT).await == all).await;
        assert!(node.present("acme2").await.is_empty());
    }
    b.leave(&second).await;
    b.leave(&third).await;
    for node in [&a, &b] {
        until("one is left", async || node.present(ACCOUNT).await == std::slice::from_ref(&first)).await;
    }
}

pub(super) async fn an_agent_hears_what_is_for_him(a: Node, b: Node) {
    let mut mine = b.subscribe(listener(Some(AGENT)), None);
    let mut of_another =
        b.subscribe(Listener { account: "acme2".to_owned(), agents: Some(vec![AGENT.to_owned()]) }, None);
    a.publish(news("ringing", to(OTHER), Some("c1"))).await;
    a.publish(news("ringing", to(AGENT), Some("c2"))).await;
    a.publish(news("paused", Audience::Everyone, None)).await;
    b.publish(news("answered", to(AGENT), Some("c2"))).await;
    assert_eq!(heard(&mut mine).await, said("ringing", "c2"));
    assert_eq!(heard(&mut mine).await, ("paused".to_owned(), None));
    let last = event(&mut mine).await;
    assert_eq!(last.told.news, news("answered", to(AGENT), Some("c2")));
    b.publish(News { account: "acme2".to_owned(), ..news("theirs", to(AGENT), None) }).await;
    assert_eq!(heard(&mut of_another).await, ("theirs".to_owned(), None));
}

pub(super) async fn a_console_hears_all_of_its_account(a: Node, b: Node) {
    let mut console = a.subscribe(listener(None), None);
    b.publish(News { account: "acme2".to_owned(), ..news("theirs", Audience::Everyone, None) }).await;
    b.publish(news("ringing", to(AGENT), Some("c1"))).await;
    b.publish(news("ringing", to(OTHER), Some("c2"))).await;
    let (first, second) = (event(&mut console).await, event(&mut console).await);
    assert_eq!(first.told.news.call.as_deref(), Some("c1"));
    assert_eq!(second.told.news.call.as_deref(), Some("c2"));
    assert!(first.id < second.id, "{first:?} {second:?}");
}

pub(super) async fn a_subscriber_begins_with_what_is_going_on(a: Node, b: Node) {
    let mut watching = b.subscribe(listener(None), None);
    a.publish(news("ringing", to(AGENT), Some("over"))).await;
    a.publish(news("ringing", to(OTHER), Some("over"))).await;
    a.publish(news("ringing", to(AGENT), Some("on"))).await;
    a.publish(news("ringing", to(OTHER), Some("on"))).await;
    a.publish(news("noise", Audience::Everyone, None)).await;
    a.publish(news("ended", Audience::Everyone, Some("over"))).await;
    a.publish(news("answered", to(AGENT), Some("on"))).await;
    a.publish(news("ended", to(OTHER), Some("on"))).await;
    for _ in 0..8 {
        event(&mut watching).await;
    }
    for agent in [Some(AGENT), None] {
        let mut fresh = b.subscribe(listener(agent), None);
        assert!(!fresh.resumed);
        assert_eq!(heard(&mut fresh).await, said("answered", "on"), "the last word of what has not ended");
        a.publish(news("new", to(AGENT), None)).await;
        assert_eq!(heard(&mut fresh).await.0, "new", "and nothing else of the past");
    }
    let mut other = b.subscribe(listener(Some(OTHER)), None);
    a.publish(news("new", to(OTHER), None)).await;
    assert_eq!(heard(&mut other).await.0, "new");
}

pub(super) async fn a_subscriber_goes_on_where_he_was(a: Node, b: Node) {
    let mut first = b.subscribe(listener(Some(AGENT)), None);
    let mut there = a.subscribe(listener(None), None);
    for kind in ["ringing", "answered"] {
        a.publish(news(kind, to(AGENT), Some("c1"))).await;
    }
    a.publish(news("ringing", to(OTHER), Some("c2"))).await;
    a.publish(news("ended", to(AGENT), Some("c1"))).await;
    let seen = event(&mut first).await;
    for _ in 0..2 {
        event(&mut first).await;
    }
    for _ in 0..4 {
        event(&mut there).await;
    }
    drop(first);
    // Wherever he comes back to.
    for node in [&a, &b] {
        let mut again = node.subscribe(listener(Some(AGENT)), Some(seen.id.to_string().parse().expect("an id")));
        assert!(again.resumed);
        assert_eq!(heard(&mut again).await, said("answered", "c1"));
        assert_eq!(heard(&mut again).await, said("ended", "c1"));
    }
}

pub(super) async fn an_event_nobody_knows_any_more_begins_anew(a: Node, b: Node) {
    let mut watching = b.subscribe(listener(None), None);
    a.publish(news("ringing", to(AGENT), Some("c1"))).await;
    event(&mut watching).await;
    let mut fresh = b.subscribe(listener(Some(AGENT)), Some("5-0".parse().expect("an id")));
    assert!(!fresh.resumed);
    assert_eq!(heard(&mut fresh).await, said("ringing", "c1"));
    assert!("5".parse::<super::EventId>().is_err() && "x-1".parse::<super::EventId>().is_err());
}

pub(super) async fn a_slow_subscriber_is_told_so(a: Node, b: Node) {
    let mut slow = b.subscribe(listener(Some(AGENT)), None);
    let mut quick = b.subscribe(listener(Some(AGENT)), None);
    for _ in 0..=QUEUE {
        a.publish(news("ringing", to(AGENT), None)).await;
        event(&mut quick).await;
    }
    for _ in 0..QUEUE {
        event(&mut slow).await;
    }
    assert_eq!(slow.next().await, Some(Next::TooSlow));
    assert_eq!(slow.next().await, None);
    a.publish(news("paused", to(AGENT), None)).await;
    assert_eq!(heard(&mut quick).await.0, "paused", "others do not suffer");
}

fn limit(name: &'static str, burst: u32, per: Duration) -> Limit {
    Limit { name, burst: NonZeroU32::new(burst).expect("some"), per }
}

fn refused(admission: Admission) -> bool {
    matches!(admission, Admission::Refused { retry_after } if !retry_after.is_zero())
}

pub(super) async fn what_is_limited_is_refused_for_a_while(a: Node, b: Node) {
    let hourly = limit("sign_in", 3, Duration::from_secs(3600));
    for node in [&a, &b, &a] {
        assert_eq!(node.admit(&hourly, "avnish@example.com").await, Admission::Granted);
    }
    for node in [&a, &b] {
        assert!(refused(node.admit(&hourly, "avnish@example.com").await));
    }
    // Being refused does not count: it comes back by itself.
    let short = limit("short", 1, Duration::from_millis(20));
    assert_eq!(a.admit(&short, "x").await, Admission::Granted);
    until("it is granted again", async || b.admit(&short, "x").await == Admission::Granted).await;
}

pub(super) async fn limits_are_of_one_name_and_key(a: Node, b: Node) {
    let [one, other] = ["sign_in", "hook"].map(|name| limit(name, 1, Duration::from_secs(3600)));
    assert_eq!(a.admit(&one, "10.0.0.1").await, Admission::Granted);
    assert!(refused(b.admit(&one, "10.0.0.1").await));
    assert_eq!(b.admit(&one, "10.0.0.2").await, Admission::Granted);
    assert_eq!(b.admit(&other, "10.0.0.1").await, Admission::Granted);
}
