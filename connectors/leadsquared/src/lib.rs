//! LeadSquared as Patchbay speaks to it: a call is a phone call activity on the caller's lead, logged through the
//! capability URLs of the organisation's Universal Telephony Connector; with API keys, leads are looked for and made
//! first, a lost log can be asked for, and a recording that comes late is written to the activity.
//!
//! Facts carry their source: `[V]` is LeadSquared's own documentation (apidocs.leadsquared.com, the page's title after
//! it), `[C]` code and notes of people who run against it, `[M]` memory that no account has confirmed yet. What is
//! unproven is listed in the README.

mod activities;
mod defaults;
mod errors;
mod leads;
mod manifest;
mod note;
mod popups;
mod search;
mod settings;
mod updates;
mod users;

use std::sync::Arc;

use patchbay_kit::{
    Activities, Agents, Allowance, Connector, Contacts, Defaults, Exchange, Failure, FollowUps, Identity, Manifest,
    Notes, OpenTickets, Owners, Popups, Request, Response, Settings, StatusCode, Step, Updates,
};
use serde::Deserialize;

pub use manifest::MANIFEST;

use settings::{CALL_ROUTE_URL, Chosen};

/// One integration with one LeadSquared organisation.
#[derive(Clone, Debug)]
struct LeadSquared {
    defaults: Defaults,
    chosen: Chosen,
}

/// Makes the connector. Whatever of the settings [`problems`] objects to is left out.
pub fn build(settings: &Settings) -> Arc<dyn Connector> {
    Arc::new(LeadSquared { defaults: Defaults::of(settings, defaults::TABLES), chosen: Chosen::of(settings) })
}

/// What is wrong with the settings, one line for each: the key and what would be right.
pub fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = settings::problems(settings);
    problems.extend(defaults::problems(settings));
    problems
}

/// "Authenticate a User" \[V\]: what is shown of the keys' owner, but for `PassPhrase`, whatever that may hold.
#[derive(Deserialize)]
struct KeyOwner {
    #[serde(rename = "Id")]
    id: Option<String>,
    #[serde(rename = "Name")]
    name: Option<String>,
    #[serde(rename = "EmailAddress")]
    email: Option<String>,
    #[serde(rename = "OrgDisplayName")]
    organisation: Option<String>,
    #[serde(rename = "LSQCommonServiceURLs")]
    urls: Option<Urls>,
}

#[derive(Deserialize)]
struct Urls {
    api: Option<String>,
}

/// A caller whom nobody has: asked for only to see whether the URL is one of LeadSquared's.
const NOBODY: &str = "0000000000";

impl LeadSquared {
    /// The route URL is the only capability that can be tried without leaving anything behind; the other two are of the
    /// same connector.
    fn try_route(account: String) -> Exchange<Identity> {
        Request::get_from("route.try", CALL_ROUTE_URL)
            .query("caller_id", NOBODY)
            .query("agentInfo", true)
            .done(move |reply| {
                // Whatever is said of a caller whom nobody has, it is LeadSquared that says it.
                users::owner(reply).map(|_| Identity { account: account.clone() })
            })
            .accepting(users::NO_MATCH)
    }
}

impl Connector for LeadSquared {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    fn identify(&self) -> Exchange<Identity> {
        if !self.chosen.keys {
            return Self::try_route("Universal Telephony Connector (its URLs; no API keys)".to_owned());
        }
        let api_url = self.chosen.api_url.clone();
        // The only API that answers on every region's host, and names the right one ("Authenticate a User" [V]).
        Request::get("user.me", v2(["Authentication.svc", "UserByAccessKey.Get"])).then(move |reply| {
            errors::inside(reply)?;
            let owner: KeyOwner = reply.json()?;
            if let Some(right) = owner.urls.and_then(|urls| urls.api) {
                settings::same_region(api_url.as_deref(), &right)?;
            }
            let who = match (owner.name, owner.email) {
                (Some(name), Some(email)) => format!("{name} <{email}>"),
                (Some(name), None) => name,
                (None, Some(email)) => email,
                (None, None) => format!("user {}", owner.id.as_deref().unwrap_or("without a name")),
            };
            Ok(Step::Then(Self::try_route(match owner.organisation {
                Some(organisation) => format!("{who}, {organisation}"),
                None => who,
            })))
        })
    }

    fn classify(&self, reply: &Response) -> Failure {
        errors::classify(reply)
    }

    /// None: no header tells of the budget.
    fn allowance(&self, _reply: &Response) -> Option<Allowance> {
        None
    }

    fn activities(&self) -> &dyn Activities {
        self
    }

    fn updates(&self) -> Option<&dyn Updates> {
        self.chosen.keys.then_some(self as &dyn Updates)
    }

    /// None: recording and duration are fields of the activity.
    fn notes(&self) -> Option<&dyn Notes> {
        None
    }

    fn contacts(&self) -> Option<&dyn Contacts> {
        self.chosen.keys.then_some(self as &dyn Contacts)
    }

    fn agents(&self) -> Option<&dyn Agents> {
        self.chosen.keys.then_some(self as &dyn Agents)
    }

    fn popups(&self) -> Option<&dyn Popups> {
        self.chosen.popups.then_some(self as &dyn Popups)
    }

    fn owners(&self) -> Option<&dyn Owners> {
        self.chosen.route.then_some(self as &dyn Owners)
    }

    /// None: a lead has activities, which are neither open nor closed.
    fn open_tickets(&self) -> Option<&dyn OpenTickets> {
        None
    }

    /// None: what follows from a call is the organisation's own automation on the activity.
    fn follow_ups(&self) -> Option<&dyn FollowUps> {
        None
    }
}

/// A path of the v2 API.
fn v2<const N: usize>(rest: [&str; N]) -> Vec<String> {
    ["v2"].into_iter().chain(rest).map(str::to_owned).collect()
}

/// Refusals whose exception is read here: validation comes under 500 ("Error Handling" \[V\]), and 400 has been seen \[C\].
const REFUSED: &[StatusCode] = &[StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_REQUEST];
