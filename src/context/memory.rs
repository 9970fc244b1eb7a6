//! The context of a single node: what it knows itself is all there is.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use patchbay_kit::PhoneNumber;

use super::{
    Admission, CallContext, Context, EventId, Fact, Health, KnownOwner, Limit, Listener, LiveEvent, News, Session,
    Subscription, facts::Noted, live::Told, local::Local,
};
use crate::store::{CallRef, LaneRef};

#[derive(Debug, Default)]
pub struct MemoryContext(Local);

#[async_trait]
impl Context for MemoryContext {
    async fn note(&self, call: &CallRef, fact: Fact, at: Timestamp) {
        let noted = Noted { at, fact };
        self.0.note(call, [(noted.id(), noted)]);
    }

    async fn call(&self, call: &CallRef) -> CallContext {
        self.0.call(call)
    }

    async fn take_hand_over(&self, call: &CallRef, at: Timestamp) -> Option<String> {
        self.0.take_hand_over(call, at)
    }

    fn learn_owner(&self, lane: &LaneRef, number: &PhoneNumber, owner: KnownOwner) {
        self.0.learn_owner(&(lane.clone(), number.clone()), owner);
    }

    async fn owner(&self, lane: &LaneRef, number: &PhoneNumber) -> Option<KnownOwner> {
        self.0.owner(&(lane.clone(), number.clone()))
    }

    async fn appear(&self, session: &Session) {
        self.0.appear(session);
    }

    async fn leave(&self, session: &Session) {
        self.0.leave(session);
    }

    async fn present(&self, account: &str) -> Vec<Session> {
        self.0.present(account)
    }

    async fn publish(&self, news: News) {
        self.0.hub.tell_here(Told::now(news));
    }

    fn subscribe(&self, listener: Listener, after: Option<EventId>) -> Subscription {
        self.0.hub.subscribe(listener, after)
    }

    fn going_on(&self, account: &str) -> Vec<Arc<LiveEvent>> {
        self.0.hub.going_on(account)
    }

    async fn admit(&self, limit: &Limit, key: &str) -> Admission {
        self.0.limits.admit(limit, key)
    }

    fn health(&self) -> Health {
        Health::Well
    }

    fn kind(&self) -> &'static str {
        "memory"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::suite::{self, Node, for_each_case};

    macro_rules! run {
        ($($case:ident,)*) => {
            $(
                #[tokio::test]
                async fn $case() {
                    let node: Node = Arc::new(MemoryContext::default());
                    suite::$case(Arc::clone(&node), node).await;
                }
            )*
        };
    }
    for_each_case!(run);
}
