//! A ringing call told to HubSpot's calling extension: to show it, never to record it.

use patchbay_kit::{Direction, Exchange, Phase, Popup, Popups, Rendering, Request, Safety, Step};
use serde_json::{Value, json};

use crate::{HubSpot, owners};

impl Popups for HubSpot {
    /// "Calling extensions: Inbound call" \[S\]. It could make the engagement itself, but yields no id for it and knows no
    /// unique property: a second engagement beside the one by CallSid would be the outcome. So `createEngagement` is
    /// false, and only the ringing is told. It takes user ids, records take owner ids.
    fn show(&self, popup: &Popup) -> Option<Exchange<()>> {
        let agent = popup.agent.as_ref().filter(|agent| agent.kind == "agent")?;
        let number = popup.customer.e164()?;
        if popup.phase != Phase::Ringing || popup.direction != Direction::Incoming {
            return None;
        }
        let party = |number: &str| json!({"e164Number": number, "phoneNumberType": "UNKNOWN"});
        let mut call = json!({
            "createEngagement": false,
            "engagementProperties": {},
            "externalCallId": popup.key.0,
            "finalCallStatus": "RINGING",
            "fromNumber": party(number),
            "toNumber": party(&popup.exophone.render(Rendering::E164)),
        });
        if let Some(at) = popup.started_at {
            call["callStartedTimestamp"] = Value::from(at.to_string());
        }
        let owner = Request::get("owner.show", ["crm", "v3", "owners", &agent.id]);
        Some(owner.then(move |reply| {
            let mut call = call.clone();
            let user = reply.json::<owners::Shown>()?.user_id;
            call["potentialRecipientUserIds"] = user.into_iter().map(Value::from).collect();
            let path = ["crm", "v3", "extensions", "calling", "inbound-call"];
            let told = Request::post("popup.show", path).safety(Safety::Idempotent).json(call);
            // Who the caller may be is in the reply; Patchbay has found him already.
            Ok(Step::Then(told.done(|_| Ok(()))))
        }))
    }
}
