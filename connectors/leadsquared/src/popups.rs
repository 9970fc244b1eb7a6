//! The popup that LeadSquared shows an agent by itself.

use patchbay_kit::{Direction, Exchange, Phase, Popup, Popups, Rendering, Request, Safety};
use serde_json::{Value, json};

use crate::{LeadSquared, activities::direction, errors, settings::AGENT_POPUP_URL};

impl Popups for LeadSquared {
    /// "Show Agent Pop-Up" \[V\], by the capability URL of the telephony connector. The user is found by his number where
    /// `UserId` is missing. Told when it rings: what a second message for the same call does is not documented.
    fn show(&self, popup: &Popup) -> Option<Exchange<()>> {
        if popup.phase != Phase::Ringing || popup.direction == Direction::Outgoing && !self.chosen.outbound_popups {
            return None;
        }
        let customer = popup.customer.render(Rendering::Hyphenated);
        let agent = popup.agent_number.render(Rendering::Hyphenated);
        let (source, destination) = match popup.direction {
            Direction::Incoming => (customer, agent),
            Direction::Outgoing => (agent, customer),
        };
        let mut body = json!({
            "SourceNumber": source,
            "DestinationNumber": destination,
            "DisplayNumber": popup.exophone.render(Rendering::Hyphenated),
            "Direction": direction(popup.direction),
            "CallSessionId": popup.key.0,
        });
        for (field, at) in [("LeadId", &popup.contact), ("UserId", &popup.agent)] {
            if let Some(at) = at {
                body[field] = json!(at.id);
            }
        }
        // Shown twice it is the same popup of the same session.
        let request = Request::post_to("popup.show", AGENT_POPUP_URL).safety(Safety::Idempotent).json(body);
        Some(request.done(|reply| {
            errors::inside(reply)?;
            reply.json::<Value>().map(|_| ())
        }))
    }
}
