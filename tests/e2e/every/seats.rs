//! Every CRM there is, each in its own sandbox, configured as its set-up page says.

use patchbay_sandbox::{freshchat, freshdesk, hubspot, leadsquared};

use super::floor::{FIELDS, Seat, Shape, TICKET};

/// All of them, two of one kind among them.
pub(super) fn all() -> Vec<Seat> {
    vec![desk("desk2"), chat(), hubspot(), leadsquared()]
}

pub(super) fn desk(name: &'static str) -> Seat {
    Seat::new(name, freshdesk::Freshdesk::new("key-of-desk-two"), TICKET, |url| {
        format!("connector = \"freshdesk\"\nbase_url = \"{url}\"\napi_key = \"key-of-desk-two\"\nassign_tickets = true")
    })
}

pub(super) fn chat() -> Seat {
    let shape = Shape { recording_apart: true, ..TICKET };
    Seat::new("chat", freshchat::Freshchat::new("freshchat-token"), shape, |url| {
        format!(
            "connector = \"freshchat\"\nbase_url = \"{url}\"\ndomain = \"acme.freshchat.com\"\n\
             api_key = \"freshchat-token\"\nchannel_id = \"{}\"",
            freshchat::CHANNEL
        )
    })
}

pub(super) fn hubspot() -> Seat {
    let sandbox = hubspot::HubSpot::prepared("nobody").with_oauth("hub-id", "hub-secret", "hub-refresh");
    Seat::new("hubspot", sandbox, FIELDS, |url| {
        format!(
            "connector = \"hubspot\"\nbase_url = \"{url}\"\nclient_id = \"hub-id\"\nclient_secret = \"hub-secret\"\n\
             refresh_token = \"hub-refresh\""
        )
    })
}

pub(super) fn leadsquared() -> Seat {
    let sandbox = leadsquared::LeadSquared::new("lsq-access", "lsq-secret", "orgkey");
    let paths = ["LeadRouteV2", "AgentPopup", "LogCallComplete"].map(|name| sandbox.path(name));
    Seat::new("leadsquared", sandbox, FIELDS, |url| {
        let [route, popup, log] = &paths;
        format!(
            "connector = \"leadsquared\"\nbase_url = \"{url}\"\naccess_key = \"lsq-access\"\n\
             secret_key = \"lsq-secret\"\ncall_route_url = \"https://telephony.example{route}\"\n\
             agent_popup_url = \"https://telephony.example{popup}\"\n\
             call_log_url = \"https://telephony.example{log}\""
        )
    })
}
