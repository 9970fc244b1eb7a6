//! HubSpot (CRM API v3) as Patchbay speaks to it: a call is a call engagement, upserted by its CallSid.
//!
//! Facts carry their source: `[V]` is HubSpot's own documentation (the guide's name, then the section), `[S]` its
//! published API description, `[C]` code that others run against it, `[M]` memory that no account has confirmed yet.
//! What is unproven is listed in the README.

mod batch;
mod calls;
mod contacts;
mod custom;
mod errors;
mod follow_ups;
mod manifest;
mod open;
mod owners;
mod popups;

use std::sync::Arc;

use patchbay_kit::{
    Activities, Agents, Allowance, Connector, Contacts, Exchange, Failure, FollowUpKind, FollowUps, Identity, Kind,
    Manifest, Notes, OpenTickets, Owners, Popups, Request, Response, Retry, Settings, StatusCode, Step, Updates,
};
use serde::Deserialize;

pub use manifest::MANIFEST;

use custom::Custom;

/// The unique property of contacts that keeps a caller from being made twice.
const CALLER_PROPERTY: &str = "exotel_caller_id";

/// One integration with one HubSpot account.
#[derive(Debug)]
struct HubSpot {
    /// The unique property of calls, tasks and tickets that holds the CallSid.
    sid_property: String,
    /// The Exotel account, which HubSpot names when it asks for a recording.
    account: String,
    custom: Custom,
    /// What a missed call leads to.
    missed: Option<FollowUpKind>,
    /// Whether it is an app with OAuth: only such an app has a calling extension, and tokens that can be renewed.
    app: bool,
}

/// Makes the connector. Whatever of the settings [`problems`] objects to is left out.
pub fn build(settings: &Settings) -> Arc<dyn Connector> {
    Arc::new(HubSpot {
        sid_property: settings.text("call_sid_property").unwrap_or(manifest::SID_PROPERTY).to_owned(),
        account: settings.account.clone(),
        custom: Custom::of(settings),
        missed: custom::missed(settings).unwrap_or(None),
        app: !settings.has("access_token") && settings.has("client_id"),
    })
}

/// What is wrong with the settings, one line for each: the key and what would be right.
pub fn problems(settings: &Settings) -> Vec<String> {
    custom::problems(settings)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    portal_id: u64,
    #[serde(default)]
    ui_domain: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Property {
    #[serde(default)]
    has_unique_value: bool,
}

/// A token that may not look at properties proves nothing about them.
const NO_PROPERTY: &[StatusCode] = &[StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];

impl HubSpot {
    /// The unique properties that must be there, by object.
    fn needed(&self) -> Vec<(&'static str, String)> {
        let follow_up = self.missed.map(|kind| (follow_ups::objects(kind), self.sid_property.clone()));
        [("calls", self.sid_property.clone()), ("contacts", CALLER_PROPERTY.to_owned())]
            .into_iter()
            .chain(follow_up)
            .collect()
    }
}

/// "Properties API: Retrieve properties" \[V\], one after the other.
fn look_at(mut needed: std::vec::IntoIter<(&'static str, String)>, account: String) -> Step<Identity> {
    let Some((objects, name)) = needed.next() else { return Step::Done(Identity { account }) };
    let request = Request::get("property.show", ["crm", "v3", "properties", objects, &name]);
    let looked = request.then(move |reply| {
        let unique = match reply.status {
            StatusCode::FORBIDDEN => true,
            StatusCode::NOT_FOUND => false,
            _ => reply.json::<Property>()?.has_unique_value,
        };
        if !unique {
            return Err(Failure::new(Kind::Invalid, Retry::Never)
                .code("PROPERTY_DOESNT_EXIST")
                .because(format!("HubSpot has no unique property `{name}` on {objects}; make it as the set-up says")));
        }
        Ok(look_at(needed.clone(), account.clone()))
    });
    Step::Then(looked.accepting(NO_PROPERTY))
}

impl Connector for HubSpot {
    fn manifest(&self) -> &'static Manifest {
        &MANIFEST
    }

    /// "Account information API" \[V\]; then the properties without which nothing could be written.
    fn identify(&self) -> Exchange<Identity> {
        let needed = self.needed();
        Request::get("account.show", ["account-info", "v3", "details"]).then(move |reply| {
            let account: Account = reply.json()?;
            let at = account.ui_domain.map(|domain| format!(" at {domain}")).unwrap_or_default();
            Ok(look_at(needed.clone().into_iter(), format!("HubSpot account {}{at}", account.portal_id)))
        })
    }

    fn classify(&self, reply: &Response) -> Failure {
        errors::classify(reply, errors::On::Call, self.app)
    }

    /// "API usage guidelines, Rate limits" \[V\]: the headers of the rolling ten seconds. Search has none.
    fn allowance(&self, reply: &Response) -> Option<Allowance> {
        Allowance::told(reply.number("x-hubspot-ratelimit-max"), reply.number("x-hubspot-ratelimit-remaining"))
    }

    fn activities(&self) -> &dyn Activities {
        self
    }

    fn updates(&self) -> Option<&dyn Updates> {
        Some(self)
    }

    /// None: recording, duration and outcome are properties of the call.
    fn notes(&self) -> Option<&dyn Notes> {
        None
    }

    fn contacts(&self) -> Option<&dyn Contacts> {
        Some(self)
    }

    fn agents(&self) -> Option<&dyn Agents> {
        Some(self)
    }

    /// Only with OAuth: the calling extension is part of an app.
    fn popups(&self) -> Option<&dyn Popups> {
        self.app.then_some(self)
    }

    fn owners(&self) -> Option<&dyn Owners> {
        Some(self)
    }

    fn open_tickets(&self) -> Option<&dyn OpenTickets> {
        Some(self)
    }

    fn follow_ups(&self) -> Option<&dyn FollowUps> {
        Some(self)
    }
}
