//! Every CRM there is, each in its own sandbox, configured as its set-up page says.

use std::net::SocketAddr;

use patchbay_sandbox::{
    Crm, Faults, Server, freshchat, freshdesk, freshsales, hubspot, leadsquared, salesforce, zoho_crm, zoho_desk,
};

use super::floor::{FIELDS, Seat, Shape, TICKET};

/// All of them, two of one kind among them.
pub(super) fn all() -> Vec<Seat> {
    vec![desk("desk2"), chat(), sales(), hubspot(), leadsquared(), salesforce(), zoho_crm(), zoho_desk()]
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
    leadsquared_with(|_| ())
}

pub(super) fn leadsquared_with(set: impl FnOnce(&mut leadsquared::Settings)) -> Seat {
    let mut sandbox = leadsquared::LeadSquared::new("lsq-access", "lsq-secret", "orgkey");
    set(&mut sandbox.settings);
    let paths = ["LeadRouteV2", "AgentPopup", "LogCallComplete"].map(|name| sandbox.path(name));
    // Of several leads with one number its look-up gives the one of the latest activity.
    let shape = Shape { several: false, ..FIELDS };
    Seat::new("leadsquared", sandbox, shape, |url| {
        let [route, popup, log] = &paths;
        format!(
            "connector = \"leadsquared\"\nbase_url = \"{url}\"\naccess_key = \"lsq-access\"\n\
             secret_key = \"lsq-secret\"\ncall_route_url = \"https://telephony.example{route}\"\n\
             agent_popup_url = \"https://telephony.example{popup}\"\n\
             call_log_url = \"https://telephony.example{log}\""
        )
    })
}

pub(super) fn sales() -> Seat {
    // Its call logs have no agent but the user whose key it is.
    let shape = Shape { agent: false, ..TICKET };
    Seat::new("sales", freshsales::Freshsales::new("sales-key"), shape, |url| {
        format!(
            "connector = \"freshsales\"\nbase_url = \"{url}\"\ndomain = \"acme.myfreshworks.com\"\napi_key = \"sales-key\""
        )
    })
}

pub(super) fn zoho_crm() -> Seat {
    let mut sandbox = zoho_crm::ZohoCrm::new("zoho-id", "zoho-secret", "zoho-refresh");
    sandbox.grants.rules.at_most = None;
    Seat::new("zoho_crm", sandbox, FIELDS, |url| {
        format!(
            "connector = \"zoho_crm\"\nbase_url = \"{url}\"\naccounts_url = \"{url}\"\nclient_id = \"zoho-id\"\n\
             client_secret = \"zoho-secret\"\nrefresh_token = \"zoho-refresh\""
        )
    })
}

pub(super) fn zoho_desk() -> Seat {
    let mut sandbox = zoho_desk::ZohoDesk::new("desk-id", "desk-secret", "desk-refresh");
    // Tokens are ended here more often than Zoho lets them be renewed.
    sandbox.grants.rules.at_most = None;
    Seat::new("zoho_desk", sandbox, TICKET, |url| {
        format!(
            "connector = \"zoho_desk\"\nbase_url = \"{url}\"\naccounts_url = \"{url}\"\nclient_id = \"desk-id\"\n\
             client_secret = \"desk-secret\"\nrefresh_token = \"desk-refresh\"\norg_id = \"{}\"\ndepartment_id = \"{}\"",
            zoho_desk::ZohoDesk::ORG_ID,
            zoho_desk::ZohoDesk::DEPARTMENT_ID
        )
    })
}

pub(super) fn salesforce() -> Seat {
    let sandbox = salesforce::Salesforce::new("sf-id", "sf-secret", "sf-refresh").with_set_up();
    Seat::new("salesforce", sandbox, FIELDS, |url| {
        format!(
            "connector = \"salesforce\"\nbase_url = \"{url}\"\nclient_id = \"sf-id\"\nclient_secret = \"sf-secret\"\n\
             refresh_token = \"sf-refresh\""
        )
    })
}

/// A sandbox that a test configures itself, and its URL.
pub(super) fn served<S: Crm>(sandbox: S) -> (Server<S>, String) {
    let server = Server::start(SocketAddr::from(([127, 0, 0, 1], 0)), sandbox, Faults::none()).expect("listen");
    let url = server.url();
    (server, url)
}
