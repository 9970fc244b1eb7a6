//! The suite run on Redis, as it should be and as it should not; and what only a server far away can get wrong.

use std::sync::Arc;

use redis::Client;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::context::suite::{self, *};

#[path = "../../../tests/support/redis.rs"]
mod support;

use support::{ChaosProxy, RedisServer};

fn key() -> MasterKey {
    let dir = tempfile::tempdir().expect("a directory");
    MasterKey::load_or_make(None, &dir.path().join("x.db")).expect("a key")
}

/// A node. Where it is to hear of the others, it waits for Redis longer than a caller would: the machine may be busy.
fn node(url: &str, key: &MasterKey, deadline: Duration) -> Arc<RedisContext> {
    let options = RedisOptions { deadline, ..RedisOptions::new(url.into(), None) };
    let node = RedisContext::new(&options, key.clone()).expect("a context");
    tokio::spawn(Arc::clone(&node).keep(CancellationToken::new()));
    node
}

async fn well(node: &RedisContext) {
    until("it is well", async || node.health() == Health::Well).await;
}

async fn degraded(node: &RedisContext) -> String {
    until("it is degraded", async || node.health().is_degraded()).await;
    match node.health() {
        Health::Degraded { reason, .. } => reason,
        Health::Well => String::new(),
    }
}

/// A server, a proxy before it, a master key.
struct Site {
    server: RedisServer,
    proxy: ChaosProxy,
    key: MasterKey,
}

impl Site {
    async fn new() -> Self {
        let server = RedisServer::start();
        let proxy = ChaosProxy::before(server.addr()).await;
        Self { server, proxy, key: key() }
    }

    /// A node behind the proxy, with the deadline that callers have.
    async fn behind(&self) -> Arc<RedisContext> {
        let node = node(&self.proxy.url(), &self.key, DEADLINE);
        well(&node).await;
        node
    }

    /// A node that nothing stands between.
    async fn beside(&self) -> Arc<RedisContext> {
        let node = node(&format!("redis://{}", self.server.addr()), &self.key, PATIENCE);
        well(&node).await;
        node
    }

    /// Redis as it is, without a context.
    async fn raw(&self) -> redis::aio::MultiplexedConnection {
        let client = Client::open(format!("redis://{}", self.server.addr())).expect("a client");
        client.get_multiplexed_async_connection().await.expect("a connection")
    }
}

mod two_nodes {
    use super::*;

    macro_rules! run {
        ($($case:ident,)*) => {
            $(
                #[tokio::test]
                async fn $case() {
                    let site = Site::new().await;
                    let (a, b) = (site.beside().await, site.beside().await);
                    suite::$case(a.clone(), b.clone()).await;
                    assert_eq!((a.health(), b.health()), (Health::Well, Health::Well));
                }
            )*
        };
    }
    for_each_case!(run);
}

/// One node does what memory does, whatever becomes of Redis.
macro_rules! alone {
    ($($case:ident,)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let site = Site::new().await;
                let node = site.behind().await;
                harm(&site);
                suite::$case(node.clone(), node.clone()).await;
                site.proxy.heal();
                well(&node).await;
            }
        )*
    };
}

mod stalled {
    use super::*;

    fn harm(site: &Site) {
        site.proxy.stall();
    }
    for_each_case!(alone);
}

mod refused {
    use super::*;

    fn harm(site: &Site) {
        site.proxy.refuse();
    }
    for_each_case!(alone);
}

mod cut {
    use super::*;

    fn harm(site: &Site) {
        site.proxy.cut();
    }
    for_each_case!(alone);
}

fn digits() -> Fact {
    Fact::Pressed { tag: "pin".to_owned(), digits: "47114711".to_owned() }
}

/// Lets a node know one thing of each kind.
async fn fill(node: &Arc<RedisContext>, open: &Session) {
    node.note(&call("c1"), digits(), at(1)).await;
    node.note(&call("c1"), Fact::HandOver { target: AGENT.to_owned() }, at(2)).await;
    node.learn_owner(&lane("crm"), &number(CALLER), owner(AGENT, at(1)));
    node.appear(open).await;
    node.publish(news("ringing", to(AGENT), Some("c1"))).await;
}

async fn knows(node: &Arc<RedisContext>, open: &Session) {
    until("the digits are known", async || node.call(&call("c1")).await.digits.len() == 1).await;
    until("the hand-over is known", async || node.call(&call("c1")).await.open_hand_over().is_some()).await;
    until("the owner is known", async || node.owner(&lane("crm"), &number(CALLER)).await.is_some()).await;
    until("the session is known", async || node.present(ACCOUNT).await.contains(open)).await;
}

#[tokio::test]
async fn what_is_known_while_redis_stalls_is_known_to_all_when_it_is_back() {
    let site = Site::new().await;
    let (a, b) = (site.behind().await, site.beside().await);
    let (mut at_a, mut at_b) = (a.subscribe(listener(Some(AGENT)), None), b.subscribe(listener(Some(AGENT)), None));
    let open = session(AGENT);
    site.proxy.stall();
    fill(&a, &open).await;
    assert_eq!(degraded(&a).await, SILENT);
    knows(&a, &open).await;
    assert_eq!(heard(&mut at_a).await, said("ringing", "c1"), "who listens here hears it at once");
    assert_eq!(b.call(&call("c1")).await, CallContext::default());
    assert_eq!(b.owner(&lane("crm"), &number(CALLER)).await, None);

    site.proxy.heal();
    well(&a).await;
    knows(&b, &open).await;
    assert_eq!(heard(&mut at_b).await, said("ringing", "c1"));
    // What was sent into the stall arrives, too, and is told to nobody twice.
    b.publish(news("answered", to(AGENT), Some("c1"))).await;
    assert_eq!(heard(&mut at_b).await, said("answered", "c1"));
    assert_eq!(heard(&mut at_a).await, said("answered", "c1"));
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_is_told_everything_again() {
    let mut site = Site::new().await;
    let node = site.behind().await;
    let open = session(AGENT);
    fill(&node, &open).await;
    site.server.restart_empty();
    knows(&site.beside().await, &open).await;
    well(&node).await;
}

#[tokio::test]
async fn a_redis_that_was_emptied_is_told_everything_again() {
    let site = Site::new().await;
    let node = site.behind().await;
    let open = session(AGENT);
    fill(&node, &open).await;
    redis::cmd("FLUSHALL").query_async::<()>(&mut site.raw().await).await.expect("emptied");
    knows(&site.beside().await, &open).await;
    well(&node).await;
}

#[tokio::test]
async fn live_events_go_on_after_a_restart() {
    let mut site = Site::new().await;
    let (a, b) = (site.behind().await, site.beside().await);
    let mut console = b.subscribe(listener(None), None);
    a.publish(news("ringing", to(AGENT), Some("c1"))).await;
    assert_eq!(heard(&mut console).await, said("ringing", "c1"));
    site.server.restart_empty();
    a.publish(news("answered", to(AGENT), Some("c1"))).await;
    assert_eq!(heard(&mut console).await, said("answered", "c1"));
    a.publish(news("ended", to(AGENT), Some("c1"))).await;
    assert_eq!(heard(&mut console).await, said("ended", "c1"));
}

#[tokio::test]
async fn who_was_cut_off_hears_what_was_told_meanwhile() {
    let site = Site::new().await;
    let (a, b) = (site.beside().await, site.behind().await);
    let mut agent = b.subscribe(listener(Some(AGENT)), None);
    site.proxy.refuse();
    degraded(&b).await;
    for kind in ["ringing", "answered", "ended"] {
        a.publish(news(kind, to(AGENT), Some("c1"))).await;
    }
    site.proxy.heal();
    for kind in ["ringing", "answered", "ended"] {
        assert_eq!(heard(&mut agent).await, said(kind, "c1"));
    }
}

#[tokio::test]
async fn a_node_that_joins_knows_what_is_going_on() {
    let site = Site::new().await;
    let a = site.beside().await;
    let mut there = a.subscribe(listener(None), None);
    a.publish(news("ringing", to(AGENT), Some("over"))).await;
    a.publish(news("ringing", to(AGENT), Some("on"))).await;
    a.publish(news("ended", to(AGENT), Some("over"))).await;
    let first = event(&mut there).await;
    site.proxy.refuse();
    let b = node(&site.proxy.url(), &site.key, DEADLINE);
    let mut early = b.subscribe(listener(Some(AGENT)), None);
    site.proxy.heal();
    assert_eq!(heard(&mut early).await, said("ringing", "on"));
    well(&b).await;
    let mut late = b.subscribe(listener(Some(AGENT)), None);
    assert_eq!(heard(&mut late).await, said("ringing", "on"));
    let mut moved = b.subscribe(listener(Some(AGENT)), Some(first.id));
    assert!(moved.resumed, "an event has the same id on every node");
    assert_eq!(heard(&mut moved).await, said("ringing", "on"));
    assert_eq!(heard(&mut moved).await, said("ended", "over"));
}

#[tokio::test]
async fn a_redis_that_is_not_there_yet_holds_nobody_up() {
    let site = Site::new().await;
    site.proxy.refuse();
    let node = node(&site.proxy.url(), &site.key, DEADLINE);
    assert!(node.health().is_degraded());
    let open = session(AGENT);
    fill(&node, &open).await;
    knows(&node, &open).await;
    site.proxy.heal();
    well(&node).await;
    knows(&site.beside().await, &open).await;
}

#[tokio::test]
async fn limits_go_on_while_redis_is_away_and_when_it_has_forgotten() {
    let mut site = Site::new().await;
    let node = site.behind().await;
    let limit = Limit { name: "sign_in", burst: std::num::NonZeroU32::MIN, per: std::time::Duration::from_secs(3600) };
    assert_eq!(node.admit(&limit, "x").await, Admission::Granted);
    site.proxy.refuse();
    assert_ne!(node.admit(&limit, "x").await, Admission::Granted);
    site.server.restart_empty();
    site.proxy.heal();
    well(&node).await;
    assert_ne!(node.admit(&limit, "x").await, Admission::Granted);
    // What Redis counted counts for who did not see it.
    let other = site.beside().await;
    assert_eq!(other.admit(&limit, "y").await, Admission::Granted);
    until("it is refused", async || node.admit(&limit, "y").await != Admission::Granted).await;
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_is_of_no_use() {
    let site = Site::new().await;
    let node = site.behind().await;
    let wants = async |replicas: u8| {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg("min-replicas-to-write").arg(replicas);
        command.query_async::<()>(&mut site.raw().await).await.expect("set");
    };
    wants(1).await;
    until(
        "it is degraded for that",
        async || matches!(node.health(), Health::Degraded { reason, .. } if reason == "Redis refuses: NOREPLICAS"),
    )
    .await;
    node.note(&call("c1"), digits(), at(1)).await;
    wants(0).await;
    well(&node).await;
    let other = site.beside().await;
    until("it is written", async || !other.call(&call("c1")).await.digits.is_empty()).await;
}

#[tokio::test]
async fn nodes_with_other_master_keys_do_not_mix() {
    let site = Site::new().await;
    let _first = site.behind().await;
    let other = node(&site.proxy.url(), &key(), DEADLINE);
    until(
        "it is told",
        async || matches!(other.health(), Health::Degraded { reason, .. } if reason.contains("the same key file")),
    )
    .await;
}

#[tokio::test]
async fn the_password_opens_and_is_never_shown() {
    let server = RedisServer::with_password(Some("correct-horse"));
    let key = key();
    let url = |password: &str| format!("redis://:{password}@{}/0", server.addr());
    let wrong = node(&url("battery-staple"), &key, DEADLINE);
    until("it is refused", async || {
        matches!(wrong.health(), Health::Degraded { reason, .. } if reason == "Redis refuses user or password")
    })
    .await;
    let options = RedisOptions::new(url("battery-staple").into(), None);
    assert_eq!(greet(&options).await, Err("Redis refuses user or password".to_owned()));
    let right = node(&url("correct-horse"), &key, DEADLINE);
    well(&right).await;
    assert_eq!(greet(&RedisOptions::new(url("correct-horse").into(), None)).await, Ok(()));
    let shown = format!("{wrong:?} {right:?} {options:?}");
    assert!(!shown.contains("battery-staple") && !shown.contains("correct-horse"), "{shown}");
}

#[tokio::test]
async fn nothing_in_redis_can_be_read_or_stays_for_ever() {
    let site = Site::new().await;
    let node = site.beside().await;
    let open = session(AGENT);
    fill(&node, &open).await;
    let limit = Limit { name: "hook", burst: std::num::NonZeroU32::MIN, per: std::time::Duration::from_secs(60) };
    node.admit(&limit, "10.20.30.40").await;
    assert_eq!(node.take_hand_over(&call("c1"), at(3)).await.as_deref(), Some(AGENT));
    let mut raw = site.raw().await;
    let mut keys: Vec<String> = Vec::new();
    until("all is there", async || {
        keys = redis::cmd("KEYS").arg("*").query_async(&mut raw).await.expect("keys");
        // A call, an owner, a session, the stream, a limit, the mark.
        keys.len() == 6
    })
    .await;
    for key in keys {
        let dumped: Vec<u8> = redis::cmd("DUMP").arg(&key).query_async(&mut raw).await.expect("a value");
        let shown = format!("{key} {}", String::from_utf8_lossy(&dumped));
        for secret in [&AGENT[3..], CALLER, "47114711", "10.20.30.40", "ringing", "pin"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        let kept: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut raw).await.expect("a time");
        assert_eq!(kept < 0, key == shelf::MARK, "{key} is kept for {kept} ms");
    }
}

#[tokio::test]
async fn what_was_not_sealed_by_us_is_not_known() {
    let site = Site::new().await;
    let node = site.beside().await;
    node.note(&call("c1"), digits(), at(1)).await;
    let mut raw = site.raw().await;
    let sealed: Vec<(String, Vec<u8>)> =
        redis::cmd("HGETALL").arg("patchbay:call:acme1:c1").query_async(&mut raw).await.expect("facts");
    // Another call's fact, and none at all.
    for (field, value) in [(sealed[0].0.as_str(), sealed[0].1.as_slice()), ("x", b"nonsense")] {
        let mut command = redis::cmd("HSET");
        command.arg("patchbay:call:acme1:c2").arg(field).arg(value);
        command.query_async::<()>(&mut raw).await.expect("written");
    }
    assert_eq!(node.call(&call("c2")).await, CallContext::default());
    assert_eq!(node.health(), Health::Well);
}
