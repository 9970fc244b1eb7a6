//! The context on Redis, seen from outside: what it is good for, and what losing it costs.

#[path = "../support/redis.rs"]
pub(crate) mod support;

use serde_json::Value;

use crate::{
    owners::{OWNER, whom, with_owners},
    rig::{Call, Rig},
};
use support::{ChaosProxy, RedisServer};

async fn readyz(rig: &Rig) -> Value {
    let (status, body) = rig.get("/readyz").await;
    assert_eq!(status, 200, "{body}");
    body
}

async fn metric(rig: &Rig) -> String {
    let reply = rig.http.get(rig.url("/metrics")).send().await.expect("metrics");
    let text = reply.text().await.expect("text");
    let line = text.lines().find(|line| line.starts_with("patchbay_context_degraded "));
    line.unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_answered_while_redis_is_away_and_it_heals_by_itself() {
    let mut server = RedisServer::start();
    let proxy = ChaosProxy::before(server.addr()).await;
    let (mut rig, hubspot) = with_owners(Some(proxy.url()));
    let call = Call::new(1);
    let shared = async |rig: &Rig| readyz(rig).await["context"]["ok"] == true;
    rig.until_async("the context is shared", async || shared(&rig).await).await;
    assert_eq!(readyz(&rig).await["context"]["kind"], "redis");
    rig.until_async("HubSpot names him", async || whom(&rig, &call).await == OWNER).await;

    proxy.stall();
    assert_eq!(whom(&rig, &call).await, OWNER);
    hubspot.faults().go_down();
    assert_eq!(whom(&rig, &call).await, OWNER, "as it was said to this node");
    rig.until_async("it is told", async || !shared(&rig).await).await;
    let told = readyz(&rig).await;
    assert_eq!(told["status"], "degraded", "{told}");
    assert!(told["context"]["reason"].as_str().is_some_and(|reason| reason.contains("does not answer")), "{told}");
    assert_eq!(metric(&rig).await, "patchbay_context_degraded 1");

    // It lost everything meanwhile, and is told it again.
    server.restart_empty();
    proxy.heal();
    rig.until_async("it healed", async || shared(&rig).await).await;
    assert_eq!(metric(&rig).await, "patchbay_context_degraded 0");

    // Another process knows what this one heard.
    rig.kill();
    rig.start();
    rig.until_async("it is remembered", async || whom(&rig, &call).await == OWNER).await;
    proxy.refuse();
    assert_eq!(whom(&rig, &call).await, OWNER, "and knows it itself from then on");
    assert!(!rig.logs().iter().any(|line| line.contains("9945476362")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_starts_without_redis_and_check_says_so() {
    let server = RedisServer::with_password(Some("correct-horse"));
    let url = |password: &str| format!("redis://:{password}@{}/0", server.addr());
    let (mut rig, _hubspot) = with_owners(Some(url("battery-staple")));
    assert_eq!(whom(&rig, &Call::new(1)).await, OWNER);
    assert_eq!(readyz(&rig).await["status"], "degraded");
    let check = |rig: &Rig| {
        let out =
            rig.command(&["check", "--config", &rig.config().display().to_string()]).output().expect("check runs");
        format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
    };
    let said = check(&rig);
    assert!(said.contains("FAIL  context: context_degraded: Redis refuses user or password"), "{said}");
    rig.kill();
    for (name, value) in &mut rig.env {
        if name == "PATCHBAY__CONTEXT__URL" {
            *value = url("correct-horse");
        }
    }
    let right = check(&rig);
    assert!(right.contains("ok    context: Redis answers"), "{right}");
    let shown = format!("{said}{right}{}", rig.logs().join("\n"));
    assert!(!shown.contains("battery-staple") && !shown.contains("correct-horse"));
}
