//! One request as it was received, kept word for word: parsing comes after it is durable, and can be done again.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Which of our doors a receipt came through; it decides how the receipt is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// `/v2/accounts/{sid}/call-events?event=…`: popup, passthru, IVR, gather and voicemail applets;
    /// `/v2/accounts/{sid}/{dialwhom,connect,gather,greeting,playback,decide,switch}`.
    CallEvents,
    /// `/v2/accounts/{sid}/status`: StatusCallback of outgoing calls.
    Status,
    /// Not a hook of Exotel's: its answer to our question for a call's details, kept in the journal like a callback.
    Details,
    /// Not a hook of Exotel's: a call as its list shows it, kept in the journal like a callback.
    Listed,
    /// `/pop/{sid}`, `/answered/{sid}`, `/missed/{sid}`: Exotel's connector for Freshsales and Freshchat.
    Freshworks,
    /// `/v1/leadsquared/inbound/call/{dialwhom,popup,passthru}`, `/v1/leadsquared/mobile/{sid}/dialwhom`.
    #[serde(rename = "leadsquared")]
    LeadSquared,
    /// `/sfdc/api/inbound/{agentpopup,passthru}`.
    Salesforce,
    /// `/callback/exotel/{sid}/{createpopup,incomingcallhungup,callmissed}`.
    Zoho,
    /// `/v2/integrations/call/inbound_call/{appId}?type=…`.
    IpPstn,
    /// Not a hook of Exotel's: what a person asked of a call, kept in the journal like a callback.
    Person,
    /// Not a hook of Exotel's: what one of its applets was told, written once it had been told.
    Routed,
    /// Not a hook of Exotel's: its answer that a call was placed for a click, kept in the journal like a callback.
    Click,
    /// Not a hook of Exotel's: what a session of the voicebot bridge was, written by the bridge.
    Bot,
}

impl Hook {
    pub const ALL: [Self; 13] = [
        Self::CallEvents,
        Self::Status,
        Self::Details,
        Self::Listed,
        Self::Freshworks,
        Self::LeadSquared,
        Self::Salesforce,
        Self::Zoho,
        Self::IpPstn,
        Self::Person,
        Self::Routed,
        Self::Click,
        Self::Bot,
    ];
    /// Those whose original carries no credential that Patchbay could know by itself: closed, unless the account's
    /// `open_hooks` names them.
    pub const OPENABLE: [Self; 5] = [Self::Freshworks, Self::LeadSquared, Self::Salesforce, Self::Zoho, Self::IpPstn];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallEvents => "call_events",
            Self::Status => "status",
            Self::Details => "details",
            Self::Listed => "listed",
            Self::Freshworks => "freshworks",
            Self::LeadSquared => "leadsquared",
            Self::Salesforce => "salesforce",
            Self::Zoho => "zoho",
            Self::IpPstn => "ip_pstn",
            Self::Person => "person",
            Self::Routed => "routed",
            Self::Click => "click",
            Self::Bot => "bot",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.as_str() == text)
    }
}

/// A request as received. What it carries of credentials (userinfo, hook token, `AccountUid`) is removed before it gets
/// here.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt {
    /// UUIDv7: sortable by time of arrival.
    pub id: Uuid,
    /// Account SID.
    pub account: String,
    pub hook: Hook,
    pub received_at: Timestamp,
    pub method: String,
    /// Without a hook token.
    pub path: String,
    /// The raw query string.
    pub query: String,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
}

/// Query and body hold phone numbers and are not shown.
impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receipt({} {} {} {} bytes)", self.id, self.account, self.hook.as_str(), self.body.len())
    }
}
