//! The hooks, which Exotel calls: credential, then receipt, then answer, and nothing else before the answer.
//!
//! # How many doors are one
//!
//! Each family of hooks says the same few things in its own words: by the path, by `event`, by `callState`, by `type`,
//! or not at all. The receipt knows the family (`Hook`), `call/normalise/kind.rs` alone knows the words; behind it
//! there are only call events. Their identity does not hold the family, so two flows that tell of one thing in the same
//! words tell of one event. What a person asks of a call (which CRM object it belongs to, a follow-up) is a receipt and
//! an event too: the fold puts the latest into `CallState::choices` and `follow_ups`, whenever it comes.

mod answer;
mod call_events;
mod doors;
mod exotel;
mod freshworks;
mod intake;
mod ip_pstn;
mod leadsquared;
mod salesforce;
mod scope;
mod scrub;
mod token;
mod urls;
mod zoho;

use actix_web::web::ServiceConfig;

pub use answer::{Answers, agent_called, look_ahead, owners_of};
pub use doors::{Doors, account_uids, hash_token, status_token};
pub use scope::scopes;
pub use token::opens;
pub use urls::{FamilyUrl, families, sample_urls, voicebot_urls};

/// The routes of all families (contract §3). A slash at the end is let pass: a redirect away from it would lose the call.
pub fn routes(config: &mut ServiceConfig) {
    call_events::routes(config);
    freshworks::routes(config);
    leadsquared::routes(config);
    salesforce::routes(config);
    zoho::routes(config);
    ip_pstn::routes(config);
    exotel::routes(config);
    token::routes(config);
}

/// Whether a path looks like a hook: one that is none is a mistyped flow, and loses calls.
pub fn looks_like_one(path: &str) -> bool {
    ["/v1/lead", "/v2/", "/h/", "/pop", "/answered", "/missed", "/sfdc/", "/callback/", "/voicebot", "/exotel", "/ws/"]
        .iter()
        .any(|start| path.starts_with(start))
}
