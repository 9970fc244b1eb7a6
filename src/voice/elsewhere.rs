//! A call's newest connection may come to another node than the one before: all nodes are told of it, and whoever has an
//! older one lets it go.

use std::sync::Arc;

use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    app::Services,
    context::{Audience, Listener, News, Next},
    store::CallRef,
};

/// Nodes are told of it by the stream that agents hear theirs by: under no account, so that nobody else hears it.
const ACCOUNT: &str = "";
const NODES: &str = "voicebots";

#[derive(Serialize, Deserialize)]
struct Taken {
    account: String,
    call_sid: String,
    session: Uuid,
}

/// This node has the call now.
pub(super) fn tell(services: &Data<Services>, call: &CallRef, session: Uuid) {
    let taken = Taken { account: call.account.clone(), call_sid: call.call_sid.clone(), session };
    let news = News {
        account: ACCOUNT.to_owned(),
        to: Audience::Agent(NODES.to_owned()),
        call: None,
        ends: true,
        kind: NODES.to_owned(),
        data: json!(taken),
    };
    let context = Arc::clone(&services.context);
    services.sessions.tell(async move { context.publish(news).await });
}

/// Lets go of what others have taken, until the service stops.
pub async fn heed(services: Arc<Services>) {
    loop {
        let listener = Listener { account: ACCOUNT.to_owned(), agents: Some(vec![NODES.to_owned()]) };
        let mut heard = services.context.subscribe(listener, None);
        loop {
            let next = tokio::select! {
                next = heard.next() => next,
                () = services.stopping.cancelled() => return,
            };
            // Whoever is too slow begins anew: what he missed ends by itself.
            let Some(Next::Event(event)) = next else { break };
            if let Ok(Taken { account, call_sid, session }) = serde_json::from_value(event.told.news.data.clone()) {
                services.sessions.taken_elsewhere(&CallRef { account, call_sid }, session);
            }
        }
    }
}
